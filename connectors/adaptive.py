"""How many requests at once a server bears, learnt from its answers: fewer by half when it suffers, one more after a good minute.

It suffers when it says so (``pushed_back``), or when its answers take more than twice as long as at the best of ten minutes.
Like is compared with like: answers to the same operation and of about the same size.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
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
"""Seconds of answers that are judged together; longer until there are ``FEWEST``."""

FIRST = 8
"""How many there are at first: the best times are learnt under little load. They double until the server suffers once."""

FEWEST = 8
FEWEST_ALIKE = 3
"""Answers of one kind without which their median is chance and becomes no best time."""

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
        self._last_answer = self._clock()
        self._changed = clock()
        self._halved = float("-inf")
        self._span_began = self._changed
        self._span: defaultdict[Hashable, list[float]] = defaultdict(list)
        self._bests: defaultdict[Hashable, deque[tuple[float, float]]] = defaultdict(deque)

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
            if began - self._last_answer >= SPAN:
                self._begin_span(began)  # what was before a rest is old
            self._last_answer = now
            self._span[like].append(now - began)
            if now - self._span_began >= SPAN and sum(map(len, self._span.values())) >= FEWEST:
                slowness = self._slowness(now)
                self._begin_span(now)
                self._decide(now, slowness=slowness, judged=True)

    def pushed_back(self, began: float) -> None:
        """The server said of a request that left at ``began`` that it is asked too much."""
        now = self._clock()
        with self._learning:
            if began > self._halved:
                self._decide(now, pushed_back=True)

    def _begin_span(self, now: float) -> None:
        self._span.clear()
        self._span_began = now

    def _decide(self, now: float, *, pushed_back: bool = False, slowness: float | None = None, judged: bool = False) -> None:
        cap = min(self._most, max(1, self._cap())) if self._cap is not None else self._most
        suffers = pushed_back or (slowness is not None and slowness > SLOW)
        # Of a capped hour nothing is learnt but that even its few were too many.
        before = min(self._limit, cap) if suffers else self._limit
        after = next_limit(before, self._most, pushed_back=pushed_back, slowness=slowness, quiet=now - self._changed)
        if judged and self._young and not suffers:
            after = min(2 * before, self._most)
        if suffers:
            self._young = False
            self._halved = now
            self._begin_span(now)
            if after < before:
                _log.info("the source is asked less at once", what=self.name, limit=after, before=before)
        if suffers or after != before:
            self._changed = now
        self._limit = after
        allowed = min(after, cap)
        if allowed != self.n:
            self.resize(allowed)

    def _slowness(self, now: float) -> float | None:
        """The median of this span's times, each over the best of its kind; what is seen becomes a best time itself."""
        found: list[float] = []
        for like, times in self._span.items():
            bests = self._bests[like]
            while bests and bests[0][0] <= now - REMEMBERED:
                bests.popleft()
            if bests:
                best = max(NOTICEABLE, min(seconds for _, seconds in bests))
                found.extend(each / best for each in times)
            if len(times) >= FEWEST_ALIKE:
                bests.append((now, median(times)))
        return median(found) if len(found) >= FEWEST_ALIKE else None
