"""Waves that somebody paused, in whichever process, and blackouts that begin: what is under way ends at its next lot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from migrator.waves.schedule import BLACKOUT, HELD_BACK, plan_of
from state.model import MailboxRow
from state.plans import WaveRow, WaveState
from state.store import Ledger

LOOKED_FOR_PAUSES = 1.0
"""Seconds between two looks at whether a wave under way was paused."""


class Asked(threading.Event):
    """Set when somebody asked this mailbox to stop, or all of them."""

    def __init__(self, everybody: threading.Event) -> None:
        super().__init__()
        self._everybody = everybody
        self.why = ""
        """Why this mailbox alone was asked to."""

    def is_set(self) -> bool:
        return super().is_set() or self._everybody.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = 0.2 if until is None else min(0.2, until - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True


class Pauses:
    """One thread that sees whether a wave with mailboxes under way was paused by somebody, and asks those to stop.

    With ``blackouts`` it also asks those to stop that a blackout of their wave holds back, once it begins.
    """

    def __init__(self, ledger: Ledger, *, blackouts: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._blackouts = blackouts
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[MailboxRow, Asked]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="pauses", daemon=True)

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def watch(self, mailbox: MailboxRow, asked: Asked) -> None:
        """Ask this mailbox to stop once its wave is paused."""
        with self._lock:
            self._under_way[mailbox.id] = (mailbox, asked)

    def let_go(self, mailbox: MailboxRow) -> None:
        """It is through."""
        with self._lock:
            self._under_way.pop(mailbox.id, None)

    def _look(self) -> None:
        while not self._done.wait(LOOKED_FOR_PAUSES):
            with self._lock:
                under_way = list(self._under_way.values())
            if not under_way:
                continue
            try:
                waves = self._ledger.plans.waves()
            except Exception:  # noqa: S112 - the passes meet the same trouble where it can be told
                continue
            for mailbox, asked in under_way:
                wave = waves.get(mailbox.wave)
                if (why := why_not(wave) or self._dark(mailbox, wave)) and not asked.is_set():
                    asked.why = why
                    asked.set()

    def _dark(self, mailbox: MailboxRow, wave: WaveRow | None) -> str:
        """That the blackout of its wave has begun; empty for those that no blackout holds back."""
        if not self._blackouts or wave is None or (mailbox.came_from or mailbox.state) not in HELD_BACK:
            return ""
        hours = plan_of(wave.name, wave).blackout
        return BLACKOUT if hours is not None and hours.hold(self._clock()) else ""


def why_not(wave: WaveRow | None) -> str:
    """Why the mailboxes of this wave may not run, in one sentence; empty if they may."""
    if wave is None or wave.state is WaveState.OPEN:
        return ""
    verb = "resume" if wave.state is WaveState.PAUSED else "start"
    return f"Its wave {wave.name} is {wave.state.value}; `migrator wave {verb} {wave.name}` lets it go on."
