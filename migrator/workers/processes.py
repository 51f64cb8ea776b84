"""Spreads the mailboxes of one run over worker processes, and hears of them as if they were carried here.

    this process ─ orders ─► worker ─► its mailboxes, a thread each        a worker that dies: its mailboxes go to another,
                 ◄─ news ──                                                once; what kills two workers is a bug

A mailbox is handed out as soon as a worker has room for it, the largest first, so that none is left alone at the end. The
budgets that all mailboxes share are divided among the workers that are there. The ledger needs no more than it has: a lease and
an epoch for each mailbox.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import IO, Any, cast

import msgspec

from migrator import logs
from migrator.parts import Share as Part
from migrator.waves.wave import BUG, HALTED, PAUSED, Ending, Watcher, tally
from migrator.workers.orders import (
    Began,
    Begin,
    Carry,
    Did,
    Ended,
    Enough,
    Halted,
    Heed,
    Hinted,
    News,
    Ready,
    Said,
    Share,
    Speaker,
    Stop,
    ending_of,
    news,
)
from state.model import LeaseHeld, LedgerError, MailboxRow, MailboxState
from state.store import Ledger

_LIVES = 2
"""Workers that one mailbox may have under it when they die; and those that may end before they are set up."""

_ENDING = 60.0
"""Seconds for a worker to end once it has had enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What a run in several processes works with. ``begin`` is what each worker is told first, with its own part filled in."""

    ledger: Ledger
    begin: Begin
    processes: int
    at_once: int
    stop: threading.Event
    watcher: Watcher
    no_room: Callable[[], str] = lambda: ""


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    speaker: Speaker
    room: int
    owner: str = ""
    running: dict[int, MailboxRow] = field(default_factory=dict)
    enough: bool = False


class Crowd:
    """The worker processes of one run. ``carry`` does the run."""

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._workers: list[_Worker] = []
        self._heard: SimpleQueue[tuple[_Worker, News | None]] = SimpleQueue()
        self._waiting: deque[MailboxRow] = deque()
        self._endings: dict[int, Ending] = {}
        self._deaths: Counter[int] = Counter()
        self._stillborn = 0
        self._why = ""
        self._code = PAUSED
        self._stopped = False
        self._log = logs.logger("migrator.run")

    def carry(self, mailboxes: Sequence[MailboxRow]) -> list[Ending]:
        """Run one pass over each mailbox and return how each ended, in their order."""
        self.give(largest_first(self._spread.ledger, mailboxes))
        try:
            while len(self._endings) < len(mailboxes):
                self.step()
            self._dismiss()
        finally:
            self.kill()
        return [self._endings[mailbox.id] for mailbox in mailboxes]

    def give(self, mailboxes: Sequence[MailboxRow]) -> None:
        """Hand these out, too, in their order, as soon as there is room for them."""
        self._waiting.extend(mailboxes)

    def step(self, timeout: float = 0.5) -> None:
        """Hand out what there is room for, and hear what there is to hear; waits so long for the first word."""
        self._look_around()
        self._hand_out()
        try:
            self._hear(*self._heard.get(timeout=timeout))
            while True:
                self._hear(*self._heard.get_nowait())
        except Empty:
            return

    def taken(self) -> list[Ending]:
        """The mailboxes that came to an end, each told once."""
        found = list(self._endings.values())
        self._endings.clear()
        return found

    @property
    def stopped(self) -> bool:
        """Whether the workers were told to stop."""
        return self._stopped

    @property
    def why(self) -> str:
        """Why nobody can proceed; empty if somebody can."""
        return self._why

    def kill(self) -> None:
        """End all workers that are left, whatever they are at; that loses nothing."""
        self.end_at_once()
        for worker in self._workers:
            worker.process.wait()
            worker.speaker.close()

    def end_at_once(self) -> None:
        """Kill all workers without waiting for them; may be called by a signal."""
        for worker in list(self._workers):
            worker.process.kill()

    # ---- handing out

    def _look_around(self) -> None:
        if not self._why and (sentence := self._spread.no_room()):
            self._halt(sentence, HALTED)
        if self._spread.stop.is_set() and not self._stopped:
            self._stopped = True
            for worker in self._workers:
                worker.speaker.say(Stop(self._why, self._code))

    def _halt(self, sentence: str, code: int) -> None:
        if not self._why:
            self._why, self._code = sentence, code
        self._spread.stop.set()
        self._look_around()

    def _hand_out(self) -> None:
        barren = self._stillborn >= _LIVES
        if self._stopped or (barren and not self._workers):
            sentence = f"Not begun: {self._why or 'stopped before its turn; run again.'}"
            code = self._code
            if not self._stopped:
                sentence, code = "Not begun: no worker process could be started; the log file has the details.", BUG
            while self._waiting:
                self._end_here(self._waiting.popleft(), code, sentence)
            return
        while self._waiting:
            free = [worker for worker in self._workers if len(worker.running) < worker.room and not worker.enough]
            if not barren and len(self._workers) < self._spread.processes and all(worker.running for worker in free):
                free = [self._start()]
            if not free:
                return
            worker = min(free, key=lambda one: len(one.running))
            row = self._waiting.popleft()
            worker.running[row.id] = row
            worker.speaker.say(Carry(row))
        for worker in self._workers:
            if not worker.running and not worker.enough:
                worker.enough = True
                worker.speaker.say(Enough())

    def _start(self) -> _Worker:
        """One more worker. It inherits no pipe but its own, so that the end of this process is the end of its orders."""
        spread = self._spread
        part = len(self._workers)
        room = Part(part, spread.processes).of_number(spread.at_once)
        process = subprocess.Popen(
            [sys.executable, "-m", "migrator.workers.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        worker = _Worker(process, Speaker(cast(IO[bytes], process.stdin)), room)
        self._workers.append(worker)
        worker.speaker.say(msgspec.structs.replace(spread.begin, at_once=room, part=part, parts=spread.processes))
        self._share_anew()
        threading.Thread(target=self._listen, args=(worker,), name="news", daemon=True).start()
        self._log.info("a worker process begins", process=process.pid)
        return worker

    def _share_anew(self) -> None:
        """Divide the common budgets among the workers that are there, or will be."""
        active = [worker for worker in self._workers if not worker.enough]
        parts = min(self._spread.processes, len(active) + len(self._waiting))
        for part, worker in enumerate(active):
            worker.speaker.say(Share(part, max(parts, len(active))))

    # ---- hearing

    def _listen(self, worker: _Worker) -> None:
        try:
            with cast(IO[bytes], worker.process.stdout) as pipe:
                for one in news(pipe):
                    self._heard.put((worker, one))
        finally:
            self._heard.put((worker, None))

    def _hear(self, worker: _Worker, told: News | None) -> None:
        watcher = self._spread.watcher
        match told:
            case None:
                self._bury(worker)
            case Ready(owner):
                worker.owner = owner
            case Began(mailbox, kind):
                watcher.began(mailbox, kind)
            case Did(mailbox_id, word, items, size):
                if (row := worker.running.get(mailbox_id)) is not None:
                    watcher.did(row, word, items, size)
            case Ended():
                self._end(worker, ending_of(told))
            case Halted(sentence, code):
                self._halt(sentence, code)
            case Hinted(scope, until):
                for other in self._workers:
                    if other is not worker:
                        other.speaker.say(Heed(scope, until))
            case Said(level, line):
                logs.repeat(level, line)

    def _end(self, worker: _Worker, ending: Ending) -> None:
        worker.running.pop(ending.mailbox.id, None)
        self._endings[ending.mailbox.id] = ending
        self._spread.watcher.ended(ending)

    def _end_here(self, row: MailboxRow, code: int, cause: str) -> None:
        """How a mailbox ends that no worker can tell of."""
        ledger = self._spread.ledger
        ending = Ending(mailbox=row, kind=None, code=code, cause=cause)
        try:
            counts: dict[str, Any] = tally(ledger, row.id)
            ending = replace(ending, mailbox=ledger.mailbox(row.id), **counts)
        except LedgerError as error:
            self._log.warning("the ledger did not say where a mailbox stands", mailbox=row.source, exc_info=error)
        self._endings[row.id] = ending
        self._spread.watcher.ended(ending)

    # ---- workers that end

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended: as it was told to, or with mailboxes under it, which go to another."""
        try:
            code = worker.process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        worker.speaker.close()
        self._workers.remove(worker)
        if worker.enough and not worker.running:
            self._share_anew()
            return
        self._log.warning("a worker process ended before its time", process=worker.process.pid, ended_with=code)
        self._stillborn += not worker.owner
        for row in reversed(worker.running.values()):
            # Who was never set up did not die over a mailbox.
            self._deaths[row.id] += bool(worker.owner)
            row = self._take_back(worker, row)
            if self._stopped:
                self._end_here(row, self._code, "Its process ended before it was stopped in good order; run again.")
            elif self._deaths[row.id] < _LIVES:
                self._waiting.appendleft(row)
            else:
                self._end_here(row, BUG, f"This is a bug: {_LIVES} processes died over it; run it alone to see why.")
        self._share_anew()

    def _take_back(self, worker: _Worker, row: MailboxRow) -> MailboxRow:
        """Free the mailbox of a process that is known to be dead: nobody needs to wait until its lease is over. As it is now."""
        ledger = self._spread.ledger
        try:
            if worker.owner:
                with contextlib.suppress(LeaseHeld):  # it had given it back, and somebody else has it
                    ledger.release(ledger.lease(row.id, worker.owner, 1.0))
                return ledger.mailbox(row.id)
        except LedgerError as error:
            self._log.warning("a mailbox could not be taken back", mailbox=row.source, exc_info=error)
        return row

    def _dismiss(self) -> None:
        for worker in self._workers:
            worker.enough = True
            worker.speaker.say(Enough())
        while self._workers:
            try:
                self._hear(*self._heard.get(timeout=_ENDING))
            except Empty:
                return


def largest_first(ledger: Ledger, mailboxes: Sequence[MailboxRow]) -> list[MailboxRow]:
    """In which order mailboxes are handed out: first those that were never through, then by the bytes that are known of them."""
    sizes: Counter[int] = Counter()
    for mailbox_id, one in ledger.tallies():
        sizes[mailbox_id] += one.bytes
    seeding = (MailboxState.PLANNED, MailboxState.SEEDING)
    return sorted(mailboxes, key=lambda row: ((row.came_from or row.state) not in seeding, -sizes[row.id]))
