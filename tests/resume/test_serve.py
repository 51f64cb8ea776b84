"""``serve`` as a process, between the two simulated servers: killed at random, paused by another process, and gone on with."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
        if self.url.startswith("sqlite") and not (self.folder / "migrator.db").exists():
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
def served(tmp_path: Path, either_place: str) -> Iterator[Served]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=MAILBOXES, items=25, tenant_latency=0.03)) as lab:
        yield Served(lab, url=either_place)


def test_killed_and_started_again_it_goes_on_and_a_pause_survives(served: Served) -> None:
    assert served.run("wave", "import", str(served.folder / "waves.csv")).code == 0
    with Ledger.open(served.url) as ledger:
        held_back = ledger.mailboxes()[-1]
    assert served.run("wave", "move", held_back.source, "--into", "later").code == 0
    assert served.run("wave", "pause", "later", "--why", "a holiday").code == 0
    process = served.serve()
    served.wait_for(lambda: served.arrived_at_all() >= 5, process, 100.0)
    served.kill(process)
    process = served.serve()
    served.wait_for(lambda: served.standing()[MailboxState.READY] == MAILBOXES - 1, process, 100.0)
    assert served.standing()[MailboxState.PLANNED] == 1, "the pause survived the death of the process that was told of it"
    with Ledger.open(served.url) as ledger:
        waits = {one.mailbox_id: one.about["why"] for one in ledger.plans.observed("waits")}
        assert "wave resume later" in waits[held_back.id]
    assert served.run("wave", "resume", "later").code == 0
    served.wait_for(served.all_ready, process, 100.0)
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
def test_a_pause_by_another_process_ends_what_is_under_way_and_it_goes_on_later(tmp_path: Path, either_place: str) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=150, tenant_latency=0.2)) as lab:
        served = Served(lab, url=either_place)
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


@pytest.mark.full
def test_schedules_pauses_and_approvals_survive_random_deaths_and_the_pilot_goes_first(tmp_path: Path, either_place: str) -> None:
    draw = random.Random(11)
    with Lab(LabPlan(folder=tmp_path, mailboxes=4, items=60, tenant_latency=0.01)) as lab:
        served = Served(lab, url=either_place)
        served.configure(lane="compose")
        addresses = list(lab.source.mailboxes)
        waves = dict(zip(addresses, ("pilot", "pilot", "wave1", "later"), strict=True))
        targets = list(lab.target.mailboxes)
        lines = [f"{wave},{source},{target}" for (source, wave), target in zip(waves.items(), targets, strict=True)]
        (served.folder / "waves.csv").write_text("wave,source,target\n" + "\n".join(lines) + "\n", "utf-8")
        assert served.run("wave", "import", str(served.folder / "waves.csv")).code == 0
        assert served.run("wave", "start", "pilot", "--pilot", "--every-hours", "9").code == 0
        assert served.run("wave", "pause", "later", "--why", "their building moves").code == 0

        def deaths(number: int) -> None:
            for _ in range(number):
                process = served.serve()
                time.sleep(draw.uniform(0.8, 2.5))
                served.kill(process)

        def served_until(seen: Callable[[], bool]) -> None:
            process = served.serve()
            served.wait_for(seen, process, 120.0)
            served.kill(process)

        deaths(4)
        served_until(lambda: served.standing()[MailboxState.SYNCING] == 2)
        assert served.standing() == {MailboxState.SYNCING: 2, MailboxState.PLANNED: 2}, "what can't go is not approved yet"
        reasons = {one["reason"] for one in json.loads(served.run("errors", "list", "pilot").out)["items"]}
        assert reasons
        for reason in reasons:
            assert served.run("errors", "approve", "--reason", reason, "--why", "their owners know").code == 0
        deaths(4)
        served_until(lambda: served.standing()[MailboxState.READY] == 2 and served.standing()[MailboxState.SYNCING] == 1)
        assert served.standing()[MailboxState.PLANNED] == 1, "the paused one"
        with Ledger.open(served.url) as ledger:
            rows = {row.source: row for row in ledger.mailboxes()}
            first = min(one.started for one in ledger.passes(rows[addresses[2]].id))
            approved = max(ledger.approvals.last_decided().values())
            assert first > approved, "the other wave began once the pilot was READY"
            assert ledger.plans.waves()["later"].state is WaveState.PAUSED
            assert ledger.plans.waves()["pilot"].details == {"pilot": True, "every_hours": 9.0}
            counts = ledger.approvals.approved_counts()
            assert all(counts[rows[address].id] > 0 for address in addresses[:2])
