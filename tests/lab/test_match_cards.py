"""``wave check`` between the two simulated servers: whose mailboxes these are, and what becomes of a pair of two people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.lab.server import Lab, LabPlan
from migrator import cli, logs
from state.store import Ledger

Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=2, items=3)) as running:
        yield running


@pytest.fixture
def shell(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    def type_it(*words: str) -> tuple[int, str]:
        code = cli.run(["-c", str(lab.config_file), *words])
        return code, capsys.readouterr().out

    yield type_it
    logs.take_down()


def test_a_pair_of_two_people_is_held_until_somebody_says_that_it_is_right(lab: Lab, shell: Shell) -> None:
    first, second = lab.source.mailboxes
    target = next(iter(lab.target.mailboxes.values()))
    target.display_name = "Somebody Else"
    assert shell("wave", "import", str(lab.folder / "waves.csv"))[0] == 0
    code, out = shell("--json", "wave", "check")
    cards = {one["source"]: one for one in json.loads(out)["pairs"]}
    assert (code, cards[first]["ok"], cards[second]["ok"]) == (4, False, True)
    assert cards[first]["target_name"] == "Somebody Else"
    assert cards[second]["object_id"]
    code, out = shell("--json", "run")
    states = {one["source"]: (one["state"], one["listed"]) for one in json.loads(out)["mailboxes"]}
    assert code == 4
    assert states[first] == ("HELD", 0), "nothing was read or written of it"
    assert states[second][0] in ("READY", "SYNCING")
    assert not target.items
    assert shell("wave", "check", "--accept", first)[0] == 65, "somebody has to say why"
    assert shell("wave", "check", "--accept", first, "--why", "she married", "--who", "ops")[0] == 0
    _, out = shell("wave", "check")
    assert "Accepted by ops: she married" in out
    assert shell("run", first)[0] in (0, 2)
    assert target.items
    with Ledger.open(f"sqlite:///{(lab.folder / 'migrator.db').as_posix()}") as ledger:
        assert [(act.who, act.why) for act in ledger.plans.acts(what="wave accept")] == [("ops", "she married")]


def test_who_is_not_there_on_the_other_side_is_told(lab: Lab, shell: Shell, tmp_path: Path) -> None:
    [first, _] = lab.source.mailboxes
    file = tmp_path / "typo.csv"
    file.write_text(f"source,target\n{first},nobody@nowhere.example\n", "utf-8")
    assert shell("wave", "import", str(file))[0] == 0
    code, out = shell("wave", "check", first)
    assert code == 4
    assert "The target's directory knows nobody of that address." in out
