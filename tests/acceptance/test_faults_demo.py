"""The demo over hostile wires, in its short form: a share of all requests fails, and everything is there once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from connectors.lab.faults import KINDS


@pytest.mark.timeout(400)
def test_a_twentieth_of_all_requests_fails_and_nothing_is_lost_and_nothing_twice() -> None:
    words = ["--json", "demo", "--faults", "0.05", "--mailboxes", "2", "--items", "150"]
    done = subprocess.run([sys.executable, "-m", "migrator", *words], capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert (told["lost"], told["twice"], told["unnamed"], told["differences"]) == (0, 0, 0, 0)
    assert told["items"] >= 300
    assert set(told["refused"]) <= {"no-lane", "note-needs-import"}
    assert told["idle"]["writes"] == 0
    assert told["sent_to_people"] == 0
    assert set(told["passes"]) == {"import", "compose"}
    assert set(told["faults_by_kind"]) >= {kind.name for kind in KINDS if kind.rare and kind.seeded}
    assert 0.02 < told["faults"] / told["requests"] < 0.2
