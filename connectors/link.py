"""The cap of the line that both sides share, in bytes a second over the whole process."""

from __future__ import annotations

from collections.abc import Callable

from connectors.budgets import SHORTEST, Budget

NAME = "link"

WINDOW = 2.0
"""Seconds of the line that may be owed when something leaves. So in any T seconds no more than T + 2 seconds' worth leaves
and one body more; what comes after a body that is larger than all that waits until its debt is paid."""

_LOOK = 1.0
"""Seconds after which somebody who stands behind others looks again."""


class Link(Budget):
    """A budget whose capacity is a rate. Thread-safe; waits for nothing. Shared by every pacer of the process.

    ``rate`` is asked in bytes a second each time, because it can differ by the hour; 0 lets everything pass. What leaves is paid
    for at the rate of that moment. What comes in is only known once it is there: it is charged then, from the moment that it was
    asked for, and who comes next waits.
    """

    def __init__(self, rate: Callable[[], float]) -> None:
        super().__init__(NAME, float("inf"), WINDOW, unit="upload_bytes", margin=0.0)
        self._rate = rate
        self._paid_at = float("-inf")

    def charge(self, amount: float, began: float) -> None:
        """So many bytes have come in with the answer to a request that left at ``began``."""
        with self._lock:
            self._pay(amount, began)

    def start(self, amount: float, now: float) -> None:
        """The request leaves: its bytes go over the line from now on."""
        with self._lock:
            self._held -= amount
            self._pay(amount, now)

    def depart(self, amount: float, now: float) -> None:
        """The request is over, which is nothing to the line: it was paid for as it left."""

    def holds(self, now: float) -> float:
        """Nothing is kept for one who waits for a slot of a slow mailbox, or the others would wait for it with an idle line: so
        the line may be full again when its turn comes.
        """
        with self._lock:
            over = self._owed(now) - WINDOW
            return max(over, SHORTEST) if over > 0 else 0.0

    def used(self, now: float) -> float:
        """Bytes that are not paid for yet."""
        with self._lock:
            return self._owed(now) * self._rate()

    def _owed(self, now: float) -> float:
        """Seconds until all is paid for."""
        return max(0.0, self._paid_at - now) if self._rate() > 0 else 0.0

    def _pay(self, amount: float, since: float) -> None:
        rate = self._rate()
        if rate > 0:
            self._paid_at = max(self._paid_at, since) + amount / rate

    def _wait(self, amount: float, now: float, place: object | None) -> float:
        rate = self._rate()
        if not amount or rate <= 0:
            return 0.0
        ahead = 0.0
        for other, wanted in self._line.items():
            if other is place:
                break
            ahead += wanted
        wait = self._owed(now) + ahead / rate - WINDOW
        # Of those ahead, somebody may give up before it leaves.
        return max(SHORTEST, min(wait, _LOOK)) if ahead else max(0.0, wait)
