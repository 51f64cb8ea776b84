"""How many requests at once a server bears, learnt from its answers: fewer by half when it suffers, one more after a good minute.

It suffers when it says so (``pushed_back``), or when its answers take more than twice as long as at the best of ten minutes.
Like is compared with like: answers to the same operation and of about the same size.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from statistics import median

import structlog

from connectors.budgets import Bell, Slots

SLOW = 2.0
"""How often the best time half of the answers may take before that counts as suffering."""

MINUTE = 60.0
"""Seconds without a change after which one more is dared."""

REMEMBERED = 600.0
"""Seconds for which a best time stands."""

SPAN = 15.0
"""Seconds of answers that are judged together; longer until there are ``FEWEST`` of a kind."""

FEWEST = 20
"""Answers of one kind without which their median is chance: the best of ten minutes' worth of such would be luck."""

FIRST = 8
"""How many there are at first: the best times are learnt under little load. They double until the server suffers once."""

NOTICEABLE = 0.05
"""Seconds below which a best time counts as this: a server that takes 3 ms instead of 1 does not suffer."""

_log = structlog.get_logger(__name__)


def next_limit(limit: int, most: int, *, pushed_back: bool = False, slowness: float | None = None, quiet: float = 0.0) -> int:
    """The limit after what was seen. Pure; never below 1, never above ``most``.

    ``slowness`` is the median of times over their best, None if nothing is known; ``quiet`` is seconds since the last change.
    """
    if pushed_back or (slowness is not None and slowness > SLOW):
        limit //= 2
    elif quiet >= MINUTE:
        limit += 1
    return max(1, min(limit, most))


@dataclass(slots=True)
class _Alike:
    """Answers that may be compared: those of the present span, and the medians of the spans before."""

    began: float = 0.0
    last: float = 0.0
    times: list[float] = field(default_factory=list)
    medians: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, began: float, now: float) -> None:
        if not self.times or began - self.last >= SPAN:  # what was before a rest is old
            self.times.clear()
            self.began = began
        self.last = now
        self.times.append(now - began)

    def slowness(self, now: float) -> float | None:
        """Ends the span, if it is long enough: its median over the best one that is known, None if none is."""
        if len(self.times) < FEWEST or now - self.began < SPAN:
            return None
        while self.medians and self.medians[0][0] <= now - REMEMBERED:
            self.medians.popleft()
        best = min((seconds for _, seconds in self.medians), default=None)
        own = median(self.times)
        self.medians.append((now, own))
        self.times.clear()
        return None if best is None else own / max(best, NOTICEABLE)


class AdaptiveSlots(Slots):
    """Slots whose number moves between 1 and ``most``. Thread-safe.

    ``cap`` says how many are allowed at this hour, whatever the server bears. ``clock`` is in seconds. What left before the
    last halving tells of the old load and is not heard, so that one crowd of refusals halves once.
    """

    def __init__(
        self,
        most: int,
        name: str = "slots",
        *,
        clock: Callable[[], float] = time.monotonic,
        cap: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(min(most, FIRST), name)
        self._most = most
        self._clock = clock
        self._cap = cap
        self._learning = threading.Lock()
        self._limit = self.n
        self._young = True
        self._changed = clock()
        self._halved = float("-inf")
        self._alike: defaultdict[Hashable, _Alike] = defaultdict(_Alike)

    def acquire(self, bell: Bell | None = None) -> bool:
        self.look()
        return super().acquire(bell)

    async def acquire_async(self, bell: Bell | None = None) -> bool:
        self.look()
        return await super().acquire_async(bell)

    def release(self) -> None:
        self.look()
        super().release()

    def look(self) -> None:
        """Obey the cap of this hour, and dare one more if it is time."""
        now = self._clock()
        with self._learning:
            self._decide(now)

    def answered(self, like: Hashable, began: float) -> None:
        """A request that left at ``began`` has its answer; ``like`` names those that it may be compared with."""
        now = self._clock()
        with self._learning:
            if began <= self._halved:
                return
            alike = self._alike[like]
            alike.add(began, now)
            slowness = alike.slowness(now)
            if slowness is not None:
                self._decide(now, slowness=slowness)

    def pushed_back(self, began: float) -> None:
        """The server said of a request that left at ``began`` that it is asked too much."""
        now = self._clock()
        with self._learning:
            if began > self._halved:
                self._decide(now, pushed_back=True)

    def _decide(self, now: float, *, pushed_back: bool = False, slowness: float | None = None) -> None:
        cap = min(self._most, max(1, self._cap())) if self._cap is not None else self._most
        suffers = pushed_back or (slowness is not None and slowness > SLOW)
        quiet = now - self._changed
        # Of a capped hour nothing is learnt but that even its few were too many.
        before = min(self._limit, cap) if suffers else self._limit
        after = next_limit(before, self._most, pushed_back=pushed_back, slowness=slowness, quiet=quiet)
        if suffers:
            self._young = False
            self._halved = now
            for alike in self._alike.values():
                alike.times.clear()
            if after < before:
                _log.info("the source is asked less at once", what=self.name, limit=after, before=before)
        elif self._young and slowness is not None and quiet >= SPAN:
            after = min(2 * before, self._most)
        if suffers or after != before:
            self._changed = now
        self._limit = after
        allowed = min(after, cap)
        if allowed != self.n:
            self.resize(allowed)
