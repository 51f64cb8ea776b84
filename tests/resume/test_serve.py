"""``serve`` as a process, between the two simulated servers: killed at random, paused by another process, and gone on with."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_world import Real, contents

from connectors.lab.server import Lab, LabPlan
from state.model import MailboxState
from state.plans import WaveState
from state.store import Ledger

pytestmark = pytest.mark.timeout(240)

MAILBOXES = 3


class Served(Real):
    """Several mailboxes, and a process that serves them."""

    def __init__(self, lab: Lab, **keys: object) -> None:
        self.lab = lab
        self.lane = "import"
        self.folder: Path = lab.folder
        self.config: Path = lab.config_file
        self.configure(lane="import", settle_horizon=0.3, lease=2.0, **keys)

    def serve(self) -> subprocess.Popen[str]:
        return self.start("serve", "--tick", "0.2")

    def differing(self) -> Counter[tuple[object, ...]]:
        ours = sum((contents(one) for one in self.lab.source.mailboxes.values()), Counter[tuple[object, ...]]())
        theirs = sum((contents(one) for one in self.lab.target.mailboxes.values()), Counter[tuple[object, ...]]())
        return (ours - theirs) + (theirs - ours)

    def standing(self) -> Counter[MailboxState]:
        if not (self.folder / "migrator.db").exists():
            return Counter()
        try:
            with Ledger.open(self.url) as ledger:
                return Counter(row.state for row in ledger.mailboxes())
        except Exception:  # it is being made at this moment
            return Counter()

    def arrived_at_all(self) -> int:
        """Items that all targets hold."""
        return sum(len(one.items) for one in self.lab.target.mailboxes.values())

    def all_ready(self) -> bool:
        return self.standing()[MailboxState.READY] == MAILBOXES

    def events(self, out: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=MAILBOXES, items=25, tenant_latency=0.03)) as lab:
        yield Served(lab)


def test_killed_and_started_again_it_goes_on_and_a_pause_survives(served: Served) -> None:
    assert served.run("wave", "import", str(served.folder / "waves.csv")).code == 0
    with Ledger.open(served.url) as ledger:
        held_back = ledger.mailboxes()[-1]
    assert served.run("wave", "move", held_back.source, "--into", "later").code == 0
    assert served.run("wave", "pause", "later", "--why", "a holiday").code == 0
    process = served.serve()
    served.wait_for(lambda: served.arrived_at_all() >= 5, process)
    served.kill(process)
    process = served.serve()
    served.wait_for(lambda: served.standing()[MailboxState.READY] == MAILBOXES - 1, process)
    assert served.standing()[MailboxState.PLANNED] == 1, "the pause survived the death of the process that was told of it"
    with Ledger.open(served.url) as ledger:
        waits = {one.mailbox_id: one.about["why"] for one in ledger.plans.observed("waits")}
        assert "wave resume later" in waits[held_back.id]
    assert served.run("wave", "resume", "later").code == 0
    served.wait_for(served.all_ready, process)
    process.terminate()
    ended = served.finish(process)
    assert not served.differing()
    told = Counter(event["event"] for event in served.events(ended.out))
    assert told["ended"] >= MAILBOXES - 1
    assert told["waits"] >= 1


@pytest.mark.full
@pytest.mark.parametrize("processes", ["1", "2"])
def test_killed_at_random_again_and_again_schedules_and_pauses_survive(served: Served, processes: str) -> None:
    draw = random.Random(7)
    assert served.run("wave", "import", str(served.folder / "waves.csv")).code == 0
    with Ledger.open(served.url) as ledger:
        name = ledger.mailboxes()[0].wave
    assert served.run("wave", "start", name, "--every-hours", "7", "--pilot").code == 0
    for _ in range(12):
        process = served.start("serve", "--tick", "0.2", "--processes", processes)
        time.sleep(draw.uniform(0.8, 2.5))
        served.kill(process)
    process = served.start("serve", "--tick", "0.2", "--processes", processes)
    served.wait_for(served.all_ready, process, 120.0)
    served.kill(process)
    assert not served.differing()
    with Ledger.open(served.url) as ledger:
        kept = ledger.plans.waves()[name]
        assert (kept.state, kept.details["every_hours"], kept.details["pilot"]) == (WaveState.OPEN, 7.0, True)


@pytest.mark.full
def test_a_pause_by_another_process_ends_what_is_under_way_and_it_goes_on_later(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=150, tenant_latency=0.2)) as lab:
        served = Served(lab)
        process = served.serve()
        served.wait_for(lambda: served.arrived_at_all() >= 5, process)
        with Ledger.open(served.url) as ledger:
            name = ledger.mailboxes()[0].wave
        assert served.run("wave", "pause", name).code == 0
        served.wait_for(lambda: served.standing()[MailboxState.PAUSED] == 1, process)
        assert served.arrived_at_all() < 150
        assert served.run("wave", "resume", name).code == 0
        served.wait_for(lambda: served.standing()[MailboxState.READY] == 1, process)
        served.kill(process)
        assert not served.differing()
