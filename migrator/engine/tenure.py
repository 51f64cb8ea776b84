"""How long this process may still write into a mailbox: its lease, as last renewed.

The epoch fences the ledger, but no server knows of it. What keeps a process that was stopped and wakes up again from writing
beside its heir is this clock: a request that may write leaves only while the lease still outlives its answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from state.model import Fenced, Lease
from state.store import Ledger


class Tenure:
    """One mailbox's lease of ``seconds``, taken at ``began`` (wall-clock seconds, because a monotonic clock may stop in suspend).

    ``answer`` is how many seconds the answer to a request may take. Used by several threads: each only ever moves the end on.
    """

    __slots__ = ("_answer", "_clock", "_ledger", "_seconds", "_until", "lease")

    def __init__(
        self, ledger: Ledger, lease: Lease, seconds: float, answer: float, began: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.lease = lease
        self._ledger = ledger
        self._seconds = seconds
        # A lease shorter than the longest answer would let nothing leave at all; half of it then has to do.
        self._answer = min(answer, seconds / 2)
        self._until = began + seconds
        self._clock = clock

    def renew(self) -> None:
        """Hold the lease for its whole length from now. Raises Fenced when another process has taken the mailbox over."""
        asked = self._clock()  # before the ledger answers: the lease never ends earlier there than it does here
        self._ledger.renew(self.lease, self._seconds)
        self._until = max(self._until, asked + self._seconds)

    def keep(self) -> None:
        """Renew it once a quarter of it has passed."""
        if self._until - self._clock() < self._seconds * 3 / 4:
            self.renew()

    def may_leave(self) -> bool:
        """Whether a request that leaves now is answered before an heir can begin."""
        return self._until - self._clock() > self._answer


@contextmanager
def kept_alive(tenure: Tenure, seconds: float) -> Iterator[None]:
    """Renew a lease of ``seconds`` in time, in a thread of its own: one answer may take longer than the lease lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(seconds / 3):
            try:
                tenure.renew()
            except Fenced:
                return  # the next write meets the same, and ends there
            except Exception:  # noqa: S112 - trouble of the ledger is told where something is written down
                continue

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
