"""One run over several processes, for real: everything arrives once, whichever of them is killed, and it ends as one would."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_world import Ended, Real, contents

from connectors.lab.server import Lab, LabPlan
from migrator.waves.wave import Ending
from migrator.workers.orders import Begin
from migrator.workers.processes import Crowd, Spread
from state.model import MailboxRow, PassKind
from state.store import Ledger

MAILBOXES = 3

pytestmark = pytest.mark.timeout(300)


class Many(Real):
    """The same world with several mailboxes."""

    def __init__(self, lab: Lab, **keys: object) -> None:
        self.lab = lab
        self.lane = "import"
        self.folder = lab.folder
        self.config = lab.config_file
        self.configure(lane="import", **keys)

    def finish(self, process: subprocess.Popen[str], patience: float = 200.0) -> Ended:
        return super().finish(process, patience)

    def arrived(self) -> int:
        return sum(len(mailbox.items) for mailbox in self.lab.target.mailboxes.values())

    def differences(self) -> dict[str, list[tuple[object, ...]]]:
        lost: list[tuple[object, ...]] = []
        twice: list[tuple[object, ...]] = []
        for ours, theirs in zip(self.lab.source.mailboxes.values(), self.lab.target.mailboxes.values(), strict=True):
            here, there = contents(ours), contents(theirs)
            lost += (here - there).elements()
            twice += (there - here).elements()
        return {"lost": sorted(lost, key=repr), "twice": sorted(twice, key=repr)}

    def events(self) -> list[dict[str, Any]]:
        """The log of all processes, as it was written."""
        lines = (self.folder / "migrator.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def workers(self) -> list[int]:
        """Process numbers of all workers that were ever started."""
        try:
            return [event["process"] for event in self.events() if event["event"] == "a worker process begins"]
        except FileNotFoundError:
            return []


def told(ended: Ended) -> list[dict[str, Any]]:
    return list(json.loads(ended.out)["mailboxes"])


def alive(process: int) -> bool:
    """Whether there is such a process; POSIX."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(seen: Callable[[], bool], what: str, patience: float = 200.0) -> None:
    until = time.monotonic() + patience
    while not seen():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def both(*, at_length: str) -> pytest.MarkDecorator:
    """On SQLite and on Postgres, one of them only where the long suites are asked for: each run is three processes and more."""
    names = [pytest.param(name, marks=pytest.mark.full) if name in at_length else name for name in ("sqlite", "postgres")]
    return pytest.mark.parametrize("many", names, indirect=True)


@pytest.fixture
def many(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Many]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=MAILBOXES, items=15, tenant_latency=0.02)) as lab:
        keys = {"url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
        yield Many(lab, lease=20.0, settle_horizon=1.0, **keys)


posix = pytest.mark.skipif(os.name != "posix", reason="asks the system for a process by its number, in POSIX's way")


@both(at_length="sqlite postgres")
def test_two_processes_move_everything_once_and_end_as_one_would(many: Many) -> None:
    ended = many.run("run", "--processes", "2")
    assert ended.code in (0, 2), ended
    assert many.differences() == {"lost": [], "twice": []}
    mailboxes = told(ended)
    assert [one["source"] for one in mailboxes] == list(many.lab.source.mailboxes)
    assert all(one["done"] > 0 and one["pending"] == 0 and one["kind"] == "seed" for one in mailboxes)
    assert max(one["exit_code"] for one in mailboxes) == ended.code
    # The log of all is one file, each line whole; each mailbox's end is there once.
    ends = Counter(event["mailbox"] for event in many.events() if event["event"] == "mailbox ended")
    assert ends == Counter(list(many.lab.source.mailboxes))
    assert len(many.workers()) == 2
    # One process finds nothing left, and ends with the same code.
    again = many.run("run", "--processes", "1")
    assert (again.code, sum(one["figures"].get("created", 0) for one in told(again))) == (ended.code, 0)
    assert len(many.workers()) == 2


@posix
@both(at_length="postgres")
def test_a_worker_that_is_killed_loses_nothing_and_its_mailboxes_go_on_at_once(many: Many) -> None:
    process = many.start("run", "--processes", "2")
    many.wait_for(lambda: many.arrived() > 5, process, 200.0)
    many_of = many.workers()
    os.kill(many_of[0], 9)
    ended = many.finish(process)
    assert ended.code in (0, 2), ended
    assert many.differences() == {"lost": [], "twice": []}
    assert [one["source"] for one in told(ended)] == list(many.lab.source.mailboxes)
    # The log of all is one file, each line whole; each mailbox's end is there once.
    ends = Counter(event["mailbox"] for event in many.events() if event["event"] == "mailbox ended")
    assert ends == Counter(list(many.lab.source.mailboxes))
    died = [event for event in many.events() if event["event"] == "a worker process ended before its time"]
    assert [event["process"] for event in died] == many_of[:1]
    assert not any(alive(worker) for worker in many.workers())


@posix
@both(at_length="sqlite postgres")
def test_workers_end_when_their_run_is_killed(many: Many) -> None:
    process = many.start("run", "--processes", "2")
    many.wait_for(lambda: many.arrived() > 5, process, 200.0)
    workers = many.workers()
    assert len(workers) == 2
    process.kill()
    wait_until(lambda: not any(alive(worker) for worker in workers), "a worker outlived its run")
    process.communicate(timeout=30)
    # They gave their mailboxes back, so that nobody waits for a lease.
    ended = many.run("run", "--processes", "2")
    assert ended.code in (0, 2), ended
    assert many.differences() == {"lost": [], "twice": []}


@posix
@both(at_length="sqlite postgres")
def test_asked_to_stop_it_stops_all_its_workers_and_goes_on_later(many: Many) -> None:
    process = many.start("run", "--processes", "2")
    many.wait_for(lambda: many.arrived() > 5, process, 200.0)
    process.terminate()
    ended = many.finish(process)
    assert ended.code == 3, ended
    assert {one["exit_code"] for one in told(ended)} <= {0, 2, 3}
    assert not any(alive(worker) for worker in many.workers())
    on = many.run("run", "--processes", "2")
    assert on.code in (0, 2), on
    assert many.differences() == {"lost": [], "twice": []}


@pytest.mark.full
def test_what_stops_everybody_is_said_of_every_mailbox(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=MAILBOXES, items=10)) as lab:
        many = Many(lab)
        text = many.config.read_text("utf-8")
        many.config.write_text(text.replace("client_id", 'client_id = "00000000-0000-0000-0000-000000000000" #', 1), "utf-8")
        codes = {}
        for processes in ("1", "2"):
            ended = many.run("run", "--processes", processes)
            codes[processes] = (ended.code, sorted(one["exit_code"] for one in told(ended)))
        assert codes["2"][0] == codes["1"][0] == 5, codes


class Silent:
    """Whoever watches a run sees nothing here."""

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None: ...

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None: ...

    def ended(self, ending: Ending) -> None: ...


def test_where_no_worker_can_be_started_each_mailbox_says_so_and_nothing_is_tried_for_ever(tmp_path: Path) -> None:
    url = f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
    begin = Begin(
        config=str(tmp_path / "missing.toml"), ledger=url, lane=None, approve_deletes=False, dry_run=False, rebuild="",
        at_once=1, part=0, parts=1,
    )  # fmt: skip
    with Ledger.open(url) as ledger:
        rows = [ledger.plan_mailbox("w", f"{name}@a", f"{name}@b") for name in ("anna", "ben")]
        spread = Spread(ledger=ledger, begin=begin, processes=1, at_once=1, stop=threading.Event(), watcher=Silent())
        endings = Crowd(spread).carry(rows)
    assert [(ending.mailbox.source, ending.code) for ending in endings] == [("anna@a", 70), ("ben@a", 70)]
    assert all("no worker process could be started" in ending.cause for ending in endings)
