"""What a server allows: so much in so many seconds (Budget), and so many requests at once (Slots)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

MARGIN = 0.002
"""Share of a window added to it, because two clocks are never quite the same."""

SHORTEST = 0.005
"""Seconds that somebody in a line waits at least, so that one who woke too early does not spin."""

UNKNOWN = 0.25
"""Seconds until the next look when all that stands in the way has not left yet."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one attempt of a request takes from the budgets; ``upload_bytes`` are those of its body as sent."""

    requests: int = 1
    upload_bytes: int = 0


GRAIN = 1 / 4000
"""The share of a window that may be lost by counting together what left within it."""


class Budget:
    """One documented limit: at most ``capacity`` in any ``window`` seconds. Thread-safe; waits for nothing.

    Who is told to wait may hold a place in the line, so that a large amount is not overtaken for ever by small ones. An
    amount counts from ``take`` on, and its window begins with ``depart``, which has to be said once the server has counted it:
    requests take unequally long to arrive, the answer is what proves it. One that is larger than the capacity leaves when
    nothing else counts and runs into debt: what it has too much weighs on the windows after it. ``unit`` names the field of
    ``Cost`` that it limits; empty for a budget that only holds a server's hints. ``scope`` is the name under which its hints
    are remembered; empty: that of the pacer. All times are of the caller's clock.
    """

    def __init__(
        self,
        name: str,
        capacity: float,
        window: float,
        *,
        unit: Literal["requests", "upload_bytes", ""] = "requests",
        margin: float = MARGIN,
        scope: str = "",
    ) -> None:
        if capacity <= 0 or window <= 0:
            raise ValueError("a budget needs a capacity and a window above zero")
        self.name = name
        self.capacity = capacity
        self.window = window
        self.unit = unit
        self.scope = scope
        self._stretched = window * (1 + margin)
        self._lock = threading.Lock()
        self._gone: deque[tuple[float, float]] = deque()  # when it left, how much; times rise
        self._begun = float("-inf")  # when the first of the newest entry left
        self._sum = 0.0
        self._held = 0.0
        self._line: dict[object, float] = {}
        self._blocked_until = float("-inf")

    def take(self, amount: float, now: float, place: object | None = None) -> float:
        """Seconds to wait before asking again; 0 means that the amount now counts, and ``depart`` or ``give_back`` must follow.

        ``place`` stands for one who asks again and again: the first in line is served first.
        """
        with self._lock:
            wait = self._blocked_until - now
            if wait <= 0:
                wait = self._wait(amount, now, place)
            if wait <= 0:
                self._held += amount
                self._line.pop(place, None)
                return 0.0
            if place is not None:
                self._line.setdefault(place, amount)
            return max(wait, SHORTEST)

    def start(self, amount: float, now: float) -> None:
        """The request leaves. Until ``depart`` nobody knows when the server counts it."""

    def depart(self, amount: float, now: float) -> None:
        """The request is over, answered or not: its window begins."""
        with self._lock:
            self._held -= amount
            self._sum += amount
            at, left = max(now, self._gone[-1][0] if self._gone else now), amount
            # In debt, the surplus is dated into the windows to come; nothing else fits in before it is their time.
            while left > self.capacity:
                self._gone.append((at, self.capacity))
                at, left = at + self._stretched, left - self.capacity
            if not left:
                return
            # Many that left within a GRAIN of the window are one entry, dated by the last of them: what is kept must not grow
            # with the number of requests.
            if self._gone and at - self._begun < self._stretched * GRAIN:
                left += self._gone.pop()[1]
            else:
                self._begun = at
            self._gone.append((at, left))

    def give_back(self, amount: float) -> None:
        """The request does not leave after all."""
        with self._lock:
            self._held -= amount

    def leave(self, place: object) -> None:
        """Who stood in line comes no more."""
        with self._lock:
            self._line.pop(place, None)

    def block(self, until: float) -> None:
        """Let nothing leave before ``until``; an earlier time than the one known changes nothing."""
        with self._lock:
            self._blocked_until = max(self._blocked_until, until)

    def blocked(self, now: float) -> float:
        """Seconds for which the server's hint still holds; 0 if it does not."""
        with self._lock:
            return max(0.0, self._blocked_until - now)

    def holds(self, now: float) -> float:
        """Seconds for which one that has its amount may still not leave; asked once it could, because of what came meanwhile."""
        return self.blocked(now)

    def used(self, now: float) -> float:
        """What counts at the moment, debt and requests about to leave included."""
        with self._lock:
            self._forget(now)
            return self._sum + self._held

    def _forget(self, now: float) -> None:
        while self._gone and self._gone[0][0] + self._stretched <= now:
            self._sum -= self._gone.popleft()[1]
        if not self._gone:
            self._sum = 0.0

    def _wait(self, amount: float, now: float, place: object | None) -> float:
        if not amount:
            return 0.0
        self._forget(now)
        ahead = 0.0
        for other, wanted in self._line.items():
            if other is place:
                break
            ahead += wanted
        counts = self._sum + self._held
        over = counts + ahead + amount - self.capacity
        if over <= 0 or not (ahead or counts):
            return 0.0
        if not counts:
            return SHORTEST  # there is room now, for those ahead
        over = min(over, counts)
        expired = 0.0
        for at, size in self._gone:
            expired += size
            if expired >= over:
                return max(at + self._stretched - now, SHORTEST)
        return UNKNOWN


class Bell:
    """Rings for coroutines and queued threads when a ``threading.Event`` is set, at once and without polling.

    A thread watches while somebody listens, and ends about a second after the last one has gone.
    """

    _all: ClassVar[weakref.WeakKeyDictionary[threading.Event, Bell]] = weakref.WeakKeyDictionary()
    _all_lock = threading.Lock()

    def __init__(self, event: threading.Event) -> None:
        self._event = weakref.ref(event)
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[], object]] = {}
        self._watched = False

    @classmethod
    def of(cls, event: threading.Event) -> Bell:
        """The one bell of an event."""
        with cls._all_lock:
            return cls._all.setdefault(event, cls(event))

    def listen(self, key: object, callback: Callable[[], object]) -> None:
        """Call back once, from another thread, when the event is set; soon if it is set already."""
        event = self._event()
        if event is None:
            return
        with self._lock:
            self._listeners[key] = callback
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, args=(event,), name="stop-bell", daemon=True).start()

    def ignore(self, key: object) -> None:
        """Stop listening."""
        with self._lock:
            self._listeners.pop(key, None)

    def _watch(self, event: threading.Event) -> None:
        while True:
            rung = event.wait(1.0)
            with self._lock:
                callbacks = list(self._listeners.values()) if rung else []
                if rung:
                    self._listeners.clear()
            for callback in callbacks:
                with contextlib.suppress(RuntimeError):  # the loop that listened is closed
                    callback()
            with self._lock:
                if not self._listeners:
                    self._watched = False
                    return


class _Waiter:
    __slots__ = ("granted", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.granted = False


class Slots:
    """How many requests may be under way at once, over threads and event loops together; first come, first served.

    A slot is held for one HTTP request and handed straight to the next in line, so that nobody overtakes. Their number can
    change: fewer take effect as slots are released, more at once.
    """

    def __init__(self, n: int, name: str = "slots") -> None:
        if n < 1:
            raise ValueError("slots need at least one")
        self.n = n
        self.name = name
        self._lock = threading.Lock()
        self._taken = 0
        self._line: deque[_Waiter] = deque()

    def acquire(self, bell: Bell | None = None) -> bool:
        """Take a slot in a thread; False if the bell rang first."""
        here = threading.Event()
        waiter = self._join(here.set)
        if waiter is None:
            return True
        if bell is not None:
            bell.listen(waiter, here.set)
        try:
            while not here.wait(1.0):  # bounded, because Ctrl-C does not interrupt an endless wait on Windows
                pass
        except BaseException:
            if self._granted(waiter):
                self.release()
            raise
        finally:
            if bell is not None:
                bell.ignore(waiter)
        return self._granted(waiter)

    async def acquire_async(self, bell: Bell | None = None) -> bool:
        """Take a slot in a coroutine; False if the bell rang first. A cancelled one leaves no gap."""
        loop, home = asyncio.get_running_loop(), threading.get_ident()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            # Most slots are released on the waiter's own loop, which then need not be woken through its socket.
            if threading.get_ident() == home:
                resolve(future)
            else:
                loop.call_soon_threadsafe(resolve, future)

        waiter = self._join(wake)
        if waiter is None:
            return True
        if bell is not None:
            bell.listen(waiter, waiter.wake)
        try:
            await future
        except BaseException:
            if self._granted(waiter):
                self.release()
            raise
        finally:
            if bell is not None:
                bell.ignore(waiter)
        return self._granted(waiter)

    def release(self) -> None:
        """Hand the slot to the next in line."""
        with self._lock:
            self._taken -= 1
        self._serve()

    def resize(self, n: int) -> None:
        """Change how many there are. Who has a slot keeps it until its release."""
        if n < 1:
            raise ValueError("slots need at least one")
        with self._lock:
            self.n = n
        self._serve()

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._line or self._taken >= self.n:
                    return
                waiter = self._line.popleft()
                waiter.granted = True
                self._taken += 1
            try:
                waiter.wake()
            except RuntimeError:  # its loop is closed, so it will never use the slot
                with self._lock:
                    self._taken -= 1

    def take_free(self) -> bool:
        """Take a slot if one is free and nobody is in line; False if not, and nothing waits."""
        with self._lock:
            return self._took()

    def _took(self) -> bool:
        """Take a free slot; the lock is held."""
        free = self._taken < self.n and not self._line
        self._taken += free
        return free

    def _join(self, wake: Callable[[], object]) -> _Waiter | None:
        with self._lock:
            if self._took():
                return None
            waiter = _Waiter(wake)
            self._line.append(waiter)
            return waiter

    def _granted(self, waiter: _Waiter) -> bool:
        """Whether the waiter got its slot; one that did not leaves the line."""
        with self._lock:
            if not waiter.granted:
                self._line.remove(waiter)
            return waiter.granted


def resolve(future: asyncio.Future[None]) -> None:
    """End a wait; for a future that is done already, nothing."""
    if not future.done():
        future.set_result(None)
