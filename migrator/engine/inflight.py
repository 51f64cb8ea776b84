"""How many bytes of mail a process holds in memory at once, over all its mailboxes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from connectors.budgets import Bell
from connectors.pacer import Stopped

IN_FLIGHT: Final = 48_000_000
"""Bytes, where the config says nothing else."""

_LOTS, _LEAST = 4, 750_000
"""Lots of each mailbox that fit in at once, and the bytes below which a lot would cost too many requests."""


class Share:
    """What one lot holds of a pool. To be called from any thread, and more than once."""

    __slots__ = ("_held", "_pool")

    def __init__(self, pool: Pool | None, held: int) -> None:
        self._pool = pool
        self._held = held

    def shrink(self, to: int) -> None:
        """Hold no more than this from now on."""
        if self._pool is not None:
            self._pool._lower(self, to)

    def give_back(self) -> None:
        """Hold nothing any more."""
        self.shrink(0)


class _Waiter:
    __slots__ = ("amount", "awake", "granted", "owner")

    def __init__(self, amount: int, owner: object) -> None:
        self.amount, self.owner = amount, owner
        self.awake = threading.Event()
        self.granted = False


class Pool:
    """A number of bytes, taken before something is fetched and given back when it has been written. Thread-safe.

    ``parties`` is how many mailboxes share it.

    Who comes first is served first, whatever it wants, so that nobody starves. What is larger than the whole pool goes when
    nothing else is held. Never more than ``size`` is held but by such a one alone.
    """

    def __init__(self, size: int = IN_FLIGHT, parties: int = 1) -> None:
        self.size = size
        self.lot = max(_LEAST, size // (_LOTS * parties))
        """Bytes of mail that one lot should not exceed, so that all parties have theirs under way."""
        self._lock = threading.Lock()
        self._held = 0
        self._line: deque[_Waiter] = deque()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    def take(self, amount: int, stop: threading.Event, owner: object = None) -> Share:
        """Wait for one's turn and for so many bytes. Raises Stopped when ``stop`` is set, or ``owner`` gave up."""
        with self._lock:
            if not self._line and self._fits(amount):
                self._held += amount
                return Share(self, amount)
            waiter = _Waiter(amount, owner)
            self._line.append(waiter)
        bell = Bell.of(stop)
        bell.listen(waiter, waiter.awake.set)
        waiter.awake.wait()
        bell.ignore(waiter)
        with self._lock:
            if not waiter.granted:
                if waiter in self._line:
                    self._line.remove(waiter)
                self._serve()  # whoever stood behind it
                raise Stopped("stopped while waiting for memory")
        return Share(self, amount)

    def give_up(self, owner: object) -> None:
        """Let whatever waits for this owner raise Stopped."""
        with self._lock:
            for waiter in [one for one in self._line if one.owner is owner]:
                self._line.remove(waiter)
                waiter.awake.set()
            self._serve()

    def _fits(self, amount: int) -> bool:
        return not self._held or self._held + amount <= self.size

    def _serve(self) -> None:
        while self._line and self._fits(self._line[0].amount):
            waiter = self._line.popleft()
            self._held += waiter.amount
            waiter.granted = True
            waiter.awake.set()

    def _lower(self, share: Share, to: int) -> None:
        with self._lock:
            if to < share._held:
                self._held -= share._held - to
                share._held = to
                self._serve()


NOTHING: Final = Share(None, 0)
"""The share of a lot that fetches nothing."""
