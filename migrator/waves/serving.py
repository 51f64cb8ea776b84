"""``serve``: looks at the ledger again and again, and runs what is due there (``schedule``) with the code of ``run``.

    look ─► decide ─► begin what is due ─► tell what waits, for what and until when ─► look again when a pass ends or after a tick

Everything it knows is in the ledger: killed and started again it goes on, and what people change there in the meantime (waves, a
pause, an approval, a new spreadsheet) counts at the next look. Only a lease keeps a mailbox from it that a dead process had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from migrator.counts import iso
from migrator.status import sentences
from migrator.waves.schedule import PRIORITY, Candidate, Decision, Wait, decide, plan_of, seconds_of
from migrator.waves.wave import HALTED, Ending, Run, Wave
from migrator.workers.processes import Crowd
from state.model import LedgerAway, MailboxRow, PassKind
from state.store import Ledger

TICK = 5.0
"""Seconds between two looks while nothing ends here."""

ALIVE = "serve"
"""The scope of the hint that says until when a process that serves is to be taken for alive."""

WAITS = "waits"
"""The kind of observation that says what a mailbox waits for: ``until`` (ISO 8601 in UTC, or null) and ``why``."""

_ALIVE_FOR = 60.0
_ALIVE_EVERY = 20.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell. ``what``: serving, began, ended, waits, trouble, stopped; ``about`` has the rest."""

    at: float
    what: str
    sentence: str
    about: Mapping[str, Any] = field(default_factory=dict)


Say = Callable[[Event], None]


class Hands(Protocol):
    """Whoever carries mailboxes for it: threads of this process, or worker processes."""

    def begin(self, mailbox: MailboxRow) -> None: ...

    def ended(self, timeout: float) -> Sequence[Ending]:
        """The mailboxes that came to an end since the last call; waits so long for the first one."""
        ...

    def halted(self) -> str:
        """Why nobody can proceed; empty if somebody can."""
        ...


class Threads:
    """Carries in threads of this process."""

    def __init__(self, run: Run, wave: Wave) -> None:
        self._run = run
        self._wave = wave
        self._going: list[Future[Ending]] = []
        self._woken = threading.Event()

    def begin(self, mailbox: MailboxRow) -> None:
        """Run one pass over a mailbox."""
        task = self._wave.begin(mailbox)
        self._going.append(task)
        task.add_done_callback(lambda _: self._woken.set())

    def ended(self, timeout: float) -> Sequence[Ending]:
        """The mailboxes that came to an end since the last call; waits so long for the first one."""
        until = time.monotonic() + timeout
        while not self._run.stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._woken.wait(min(0.5, left)):
                break
            self._wave.look_for_room()
        self._woken.clear()
        done = [task for task in self._going if task.done()]
        self._going = [task for task in self._going if not task.done()]
        return [task.result() for task in done]

    def halted(self) -> str:
        """Why nobody can proceed; empty if somebody can."""
        return self._wave.halted.sentence


class Processes:
    """Carries in worker processes, which come and go as there is work."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def begin(self, mailbox: MailboxRow) -> None:
        """Hand a mailbox out."""
        self._crowd.give([mailbox])

    def ended(self, timeout: float) -> Sequence[Ending]:
        """The mailboxes that came to an end since the last call; waits so long for the first one."""
        until = time.monotonic() + timeout
        self._crowd.step(0.05)
        while not (found := self._crowd.taken()) and (left := until - time.monotonic()) > 0:
            self._crowd.step(min(0.5, left))
            if self._crowd.stopped:
                return self._crowd.taken()
        return found

    def halted(self) -> str:
        """Why nobody can proceed; empty if somebody can."""
        return self._crowd.why


class Serving:
    """The loop. ``refresh`` takes a changed waves file in before each look, and says in a sentence what is wrong with it."""

    def __init__(
        self,
        ledger: Ledger,
        hands: Hands,
        say: Say,
        *,
        at_once: int,
        stop: threading.Event,
        tick: float = TICK,
        refresh: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._hands = hands
        self._say = say
        self._at_once = at_once
        self._stop = stop
        self._tick = tick
        self._refresh = refresh
        self._clock = clock
        self._here: dict[int, MailboxRow] = {}
        self._told: dict[int, Wait] = {}
        self._trouble: dict[str, str] = {}
        self._alive = 0.0

    def go(self) -> int:
        """Serve until somebody stops it (0) or nobody can proceed (5)."""
        self._tell("serving", "Serving; everything is in the ledger, so it may be stopped or killed at any time.")
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._once()
                self._in_trouble("ledger", "")
            except LedgerAway as error:
                sentence = sentences(str(error), error.mend)
                self._in_trouble("ledger", sentence)
                if error.mend:
                    self._stop.set()
                    return self._end(HALTED, sentence)
            # Looking at ten thousand mailboxes takes a while; it must not be all that this process does.
            self._reap(max(self._tick, 10 * (time.monotonic() - began)) if self._tick else 0.0)
        while self._here:
            self._reap(self._tick, stopping=True)
        halted = self._hands.halted()
        return self._end(HALTED if halted else 0, halted or "Stopped; start it again whenever you like.")

    def _end(self, code: int, sentence: str) -> int:
        with suppress(LedgerAway):
            self._ledger.hint(ALIVE, 0.0)
        self._tell("stopped", sentence, exit_code=code)
        return code

    def _once(self) -> None:
        self._in_trouble("file", self._refresh())
        rows, decision = look(self._ledger, self._clock(), frozenset(self._here))
        for mailbox_id in decision.due[: max(0, self._at_once - len(self._here))]:
            row = rows[mailbox_id]
            self._here[mailbox_id] = row
            self._told.pop(mailbox_id, None)
            self._hands.begin(row)
        self._tell_waits(rows, decision)
        if (now := self._clock()) - self._alive > _ALIVE_EVERY:
            self._ledger.hint(ALIVE, now + _ALIVE_FOR)
            self._alive = now

    def _reap(self, timeout: float, *, stopping: bool = False) -> None:
        if stopping:
            time.sleep(0.05)
        for ending in self._hands.ended(timeout):
            self._here.pop(ending.mailbox.id, None)

    def _tell_waits(self, rows: Mapping[int, MailboxRow], decision: Decision) -> None:
        """Tell what is new among the waits, and keep it where others see it."""
        new = {one.mailbox_id: one for one in decision.waits if self._told.get(one.mailbox_id) != one}
        self._told |= new
        self._ledger.plans.observe_all(WAITS, {one: {"until": iso(wait.until), "why": wait.why} for one, wait in new.items()})
        for mailbox_id, wait in new.items():
            row = rows[mailbox_id]
            until = f" until {iso(wait.until)}" if wait.until is not None else ""
            about = {"wave": row.wave, "mailbox": row.source, "until": iso(wait.until), "why": wait.why}
            self._tell("waits", f"{row.source} waits{until}: {wait.why}", **about)

    def _in_trouble(self, over: str, sentence: str) -> None:
        """Tell trouble once, not at each look."""
        if sentence and sentence != self._trouble.get(over):
            self._tell("trouble", sentence)
        self._trouble[over] = sentence

    def _tell(self, what: str, sentence: str, **about: Any) -> None:
        self._say(Event(self._clock(), what, sentence, about))


def look(ledger: Ledger, now: float, here: frozenset[int]) -> tuple[dict[int, MailboxRow], Decision]:
    """All mailboxes of the ledger, and what is due of them; ``here`` are those that this process has."""
    rows = {row.id: row for row in ledger.mailboxes()}
    said = ledger.plans.waves()
    details = ledger.plans.details()
    passes = ledger.plans.last_passes()
    decided = ledger.approvals.last_decided()
    plans = {name: plan_of(name, said.get(name)) for name in {row.wave for row in rows.values()}}
    candidates = []
    for row in rows.values():
        mine = details.get(row.id, {})
        last, tries = passes.get(row.id, (None, 0))
        priority = mine.get("priority")
        candidates.append(
            Candidate(
                mailbox_id=row.id,
                wave=row.wave,
                source=row.source,
                state=row.state,
                came_from=row.came_from,
                cause=row.cause,
                priority=priority if isinstance(priority, int) else PRIORITY,
                start_after=seconds_of(mine.get("start_after")),
                complete_after=seconds_of(mine.get("complete_after")),
                kind=last.kind if last else None,
                passed=last.state if last else None,
                began=last.started if last else None,
                ended=last.ended if last else None,
                tries=tries,
                decided=decided.get(row.id),
                leased=row.lease_until if row.owner else 0.0,
                here=row.id in here,
            )
        )
    return rows, decide(now, plans, candidates)


class Telling:
    """Tells what the passes do, as a ``waves.Watcher``."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.time) -> None:
        self._say = say
        self._clock = clock

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        """Told when a mailbox's pass begins."""
        about = {"wave": mailbox.wave, "mailbox": mailbox.source, "kind": kind.value}
        self._say(Event(self._clock(), "began", f"{mailbox.source}: {kind.value} pass begins", about))

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        """Told whenever something was done."""

    def ended(self, ending: Ending) -> None:
        """Told when a mailbox is through, one way or the other."""
        row = ending.mailbox
        counts = {"done": ending.done, "refused": ending.refused + ending.withheld, "pending": ending.pending}
        about = {
            "wave": row.wave,
            "mailbox": row.source,
            "state": row.state.value,
            "cause": ending.cause,
            "exit_code": ending.code,
        }
        sentence = f"{row.source}: {row.state.value}, {ending.done:,} carried" + (f"; {ending.cause}" if ending.cause else "")
        self._say(Event(self._clock(), "ended", sentence, about | counts))
