"""Carries out the writes of one mailbox in their order, as many at once as it has slots, over all its lots together.

A carrier goes from one write to the next, so that no write stands in line for a slot with a task and a wait of its own; a lot is
over when the last of its writes is, and the carriers are then already busy with the next one.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from connectors.base import Doubt, Outcome, Unsent, Write
from connectors.errors import Unavailable
from connectors.pacer import Stopped


class _Lot:
    """Writes that came together, and what became of them."""

    __slots__ = ("done", "left", "outcomes")

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.left = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Carriers:
    """The carriers of one mailbox: ``carry`` does one write, ``stop`` leaves what has not begun. Used on the loop only."""

    def __init__(self, carry: Callable[[Write], Awaitable[Outcome]], at_once: int, stop: threading.Event) -> None:
        self._carry = carry
        self._at_once = at_once
        self._stop = stop
        self._waiting: deque[tuple[_Lot, int, Write]] = deque()
        self._busy: set[asyncio.Task[None]] = set()

    async def all(self, writes: Sequence[Write]) -> list[Outcome]:
        """Carry out each write once; one outcome each, in their order. Raises only what is a bug in ``carry``.

        When the loop ends, what was under way is in doubt, and what had not begun is unsent.
        """
        if not writes:
            return []
        lot = _Lot(len(writes))
        self._waiting.extend((lot, index, write) for index, write in enumerate(writes))
        for _ in range(min(self._at_once - len(self._busy), len(writes))):
            task = asyncio.ensure_future(self._work())
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        try:
            await lot.done
        except asyncio.CancelledError:
            # The client is closing: what is under way still gets its outcome, which only a look can settle.
            self._waiting = deque(one for one in self._waiting if one[0] is not lot)
            for task in self._busy:
                task.cancel()
            await asyncio.wait(self._busy) if self._busy else None
        ended = Unsent(Unavailable("the program ended before this could leave", did_nothing=True))
        return [ended if outcome is None else outcome for outcome in lot.outcomes]

    async def _work(self) -> None:
        while self._waiting:
            lot, index, write = self._waiting.popleft()
            if self._stop.is_set():
                lot.put(index, Unsent(Stopped()))
                continue
            try:
                lot.put(index, await self._carry(write))
            except asyncio.CancelledError:
                lot.put(index, Doubt(Unavailable("the program ended while this was under way")))
                raise
            except BaseException as error:
                if not lot.done.done():
                    lot.done.set_exception(error)
