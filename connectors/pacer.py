"""The only one who waits, and who says on which budget.

    call ─► budgets ─► slot ─► the request ─► Throttled?   the budget is blocked for all, wait, again
                                          └► Unavailable? a read, or a write that did nothing: wait, again
                                          └► anything else: to the caller

A slot is held for one request and never while waiting. Nothing leaves while its budget is blocked by a server's hint.
What a request takes of a budget counts until a window after its answer: it arrived no later than that, however long its way.
"""

from __future__ import annotations

import asyncio
import random as chance
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying

from connectors.budgets import Bell, Budget, Cost, Slots, resolve
from connectors.errors import Throttled, Unavailable, WireError

__all__ = ["Budget", "Cost", "Memory", "Pacer", "Slots", "Stopped", "next_delay"]

T = TypeVar("T")

LONGEST_THROTTLED = 60.0
LONGEST_UNAVAILABLE = 15.0
REMEMBERED_FROM = 5.0
"""Seconds from which a hint is worth remembering beyond this process."""

SERVER = "server"
"""Name of the budget that holds the hints which name no budget of ours."""


LEASE_OVER = "the lease on the mailbox ran out before the request could leave"


class Stopped(Unavailable):
    """Somebody asked to stop; for the request at hand nothing was done. It is never tried again here."""

    def __init__(self, message: str = "stopped by the operator", *, code: str = "") -> None:
        super().__init__(message, code=code, did_nothing=True)


class _TooLong(Unavailable):
    """A hint asks for more than our patience; trying again would only wait."""


class Memory(Protocol):
    """Where hints outlive the process. Called from any thread, also from an event loop's: it must not block for long."""

    def hint(self, scope: str, until_wall: float) -> None:
        """Keep that nothing of this scope may leave before this time (seconds since 1970)."""
        ...

    def hints(self) -> Mapping[str, float]:
        """All hints kept, by scope; those that have passed may be missing."""
        ...


def next_delay(attempt: int, error: BaseException | None, random: Callable[[], float]) -> float:
    """Seconds to wait after ``attempt`` (from 1) ended in ``error``. Pure; ``random`` gives 0 to below 1.

    A throttled request waits exactly as long as the server says, fractions kept; without a hint 1, 2, 4, … up to 60 s, of
    which a random half is left out. An unavailable server is asked again after 0.5, 0.75, 1.1, … up to 15 s, likewise.
    """
    if isinstance(error, Throttled):
        if error.after is not None:
            return max(0.0, error.after)
        longest = LONGEST_THROTTLED if attempt > 6 else min(LONGEST_THROTTLED, 2.0 ** (attempt - 1))
    else:
        longest = LONGEST_UNAVAILABLE if attempt > 9 else min(LONGEST_UNAVAILABLE, 0.5 * 1.5 ** (attempt - 1))
    return longest * (0.5 + 0.5 * random())


class Waited(dict[str, float]):
    """Seconds waited so far, by budget; requests that wait at the same time count each. Called, it gives a copy.

    ``unavailable`` is the wait for a server that was away, and the slots have their own name.
    """

    def __call__(self) -> dict[str, float]:
        return self.copy()


class _Ticket:
    """What one attempt has still to get from the budgets, and what it holds of them."""

    def __init__(self, bill: list[tuple[Budget, float]]) -> None:
        self._bill = bill
        self._held = 0

    def next_wait(self, now: float) -> tuple[Budget, float] | None:
        """The budget in the way and for how long; None if everything is held and nothing is blocked."""
        for budget, _ in self._bill[: self._held]:
            if wait := budget.holds(now):
                return budget, wait
        for budget, amount in self._bill[self._held :]:
            if wait := budget.take(amount, now, self):
                return budget, wait
            self._held += 1
        return None

    def start(self, now: float) -> None:
        for budget, amount in self._bill:
            budget.start(amount, now)

    def depart(self, now: float) -> None:
        for budget, amount in self._bill:
            budget.depart(amount, now)

    def abandon(self) -> None:
        for index, (budget, amount) in enumerate(self._bill):
            if index < self._held:
                budget.give_back(amount)
            else:
                budget.leave(self)


class Pacer:
    """Paces the requests of one scope: its budgets, its slots, its waits and repetitions. Thread-safe.

    Budgets and slots may be shared between pacers; slots are taken in their order. ``stop`` wakes every wait at once.
    ``patience`` is how many seconds one call waits for a server before its last error is raised; waits for our own budgets
    don't count. ``attempts`` is how often an unavailable server is asked. ``scope`` is the name under which ``memory`` keeps
    hints. ``sleep`` replaces every wait in tests; it returns when the seconds have passed by ``clock``.
    """

    def __init__(
        self,
        budgets: Iterable[Budget] = (),
        *,
        slots: Iterable[Slots] = (),
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
        random: Callable[[], float] = chance.random,
        memory: Memory | None = None,
        scope: str = "",
        patience: float = 900.0,
        attempts: int = 12,
    ) -> None:
        self._budgets = tuple(budgets)
        self._gate = Budget(SERVER, float("inf"), 1.0, unit="")
        self._slots = tuple(slots)
        self._stop = stop or threading.Event()
        self._bell = Bell.of(self._stop)
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._random = random
        self._memory = memory
        self._scope = scope
        self._patience = patience
        self._attempts = attempts
        self._lock = threading.Lock()
        self.waited = Waited()
        if memory is not None:
            kept = memory.hints()
            for budget in (self._gate, *self._budgets):
                left = kept.get(self._scope_of(budget), 0.0) - wall()
                if left > 0:
                    budget.block(clock() + left)

    def call(self, fn: Callable[[], T], *, cost: Cost = Cost(), write: bool = False) -> T:
        """Do one request in this thread, as often as it takes, and return what it returned.

        ``fn`` sends one request and raises what its answer means; it may be called again. With ``write`` it is only after
        an answer, or a failure, that says that nothing was done. Raises Stopped, and what ``fn`` raised at last; Throttled
        becomes Unavailable when the patience is at its end.
        """
        try:
            return self._attempt(fn, cost)
        except (Throttled, Unavailable) as error:
            if not _again(error, write):
                raise
            first: list[WireError] = [error]

        def attempt() -> T:
            if first:
                raise first.pop()
            return self._attempt(fn, cost)

        retrying = Retrying(sleep=lambda _: None, before_sleep=self._rest, **self._rules(write))
        result: T = retrying(attempt)
        return result

    async def acall(self, fn: Callable[[], Awaitable[T]], *, cost: Cost = Cost(), write: bool = False) -> T:
        """The same in a coroutine. A cancelled call leaves no trace in budgets or slots."""
        try:
            return await self._attempt_async(fn, cost)
        except (Throttled, Unavailable) as error:
            if not _again(error, write):
                raise
            first: list[WireError] = [error]

        async def attempt() -> T:
            if first:
                raise first.pop()
            return await self._attempt_async(fn, cost)

        retrying = AsyncRetrying(sleep=_no_sleep, before_sleep=self._rest_async, **self._rules(write))
        result: T = await retrying(attempt)
        return result

    # ---- one attempt

    def _attempt(self, fn: Callable[[], T], cost: Cost) -> T:
        ticket = self._ticket(cost)
        try:
            while True:
                while wait := ticket.next_wait(self._clock()):
                    self._check(*wait)
                    self._pause(wait[0].name, wait[1])
                self._enter()
                if ticket.next_wait(self._clock()) is None:
                    break
                # While it stood in line for the slot, the server said to wait.
                self._release()
        except BaseException:
            ticket.abandon()
            raise
        try:
            ticket.start(self._clock())
            return fn()
        except Throttled as error:
            self._heed(error)
            raise
        finally:
            ticket.depart(self._clock())
            self._release()

    async def _attempt_async(self, fn: Callable[[], Awaitable[T]], cost: Cost) -> T:
        ticket = self._ticket(cost)
        try:
            while True:
                while wait := ticket.next_wait(self._clock()):
                    self._check(*wait)
                    await self._pause_async(wait[0].name, wait[1])
                await self._enter_async()
                if ticket.next_wait(self._clock()) is None:
                    break
                self._release()
        except BaseException:
            ticket.abandon()
            raise
        try:
            ticket.start(self._clock())
            return await fn()
        except Throttled as error:
            self._heed(error)
            raise
        finally:
            ticket.depart(self._clock())
            self._release()

    def _ticket(self, cost: Cost) -> _Ticket:
        bill: list[tuple[Budget, float]] = [(self._gate, 0)]
        for budget in self._budgets:
            amount = getattr(cost, budget.unit) if budget.unit else 0
            if amount or not budget.unit:
                bill.append((budget, amount))
        return _Ticket(bill)

    def _check(self, budget: Budget, wait: float) -> None:
        """A hint longer than the patience is no wait but an outage, and is named as one."""
        if budget.blocked(self._clock()) > self._patience:
            raise _TooLong(f"the server asked to wait {wait:.0f} s ({budget.name})", code="throttled", did_nothing=True)

    def _heed(self, error: Throttled) -> None:
        """Block the budget before the slot is free, or the next in line would leave against the hint."""
        if error.after is not None:
            self._block(self._named(error.budget), error.after)

    def _enter(self) -> None:
        held = 0
        try:
            for slots in self._slots:
                began = self._clock()
                got = slots.acquire(self._bell)
                self._account(slots.name, began)
                if not got:
                    raise Stopped
                held += 1
        except BaseException:
            self._release(held)
            raise

    async def _enter_async(self) -> None:
        held = 0
        try:
            for slots in self._slots:
                if slots.take_free():
                    held += 1
                    continue
                began = self._clock()
                got = await slots.acquire_async(self._bell)
                self._account(slots.name, began)
                if not got:
                    raise Stopped
                held += 1
        except BaseException:
            self._release(held)
            raise

    def _release(self, held: int | None = None) -> None:
        for slots in reversed(self._slots[:held]):
            slots.release()

    # ---- repeating

    def _rules(self, write: bool) -> dict[str, Any]:
        """How tenacity repeats. It comes in only after the first attempt has failed, whose error it then meets as the first:
        its objects cost more than all else of a call, and one can't be shared, since it keeps the state of an iteration."""
        return {
            "wait": self._delay,
            "stop": self._enough,
            "retry": lambda state: _again(_error_of(state), write),
            "retry_error_callback": _give_up,
        }

    def _delay(self, state: RetryCallState) -> float:
        error = _error_of(state)
        delay = next_delay(state.attempt_number, error, self._random)
        if isinstance(error, Throttled) and error.after is None:
            self._block(self._named(error.budget), delay)
        return delay

    def _enough(self, state: RetryCallState) -> bool:
        tired = isinstance(_error_of(state), Unavailable) and state.attempt_number >= self._attempts
        return tired or state.idle_for + state.upcoming_sleep > self._patience

    def _rest(self, state: RetryCallState) -> None:
        self._pause(self._reason(state), state.upcoming_sleep)

    async def _rest_async(self, state: RetryCallState) -> None:
        await self._pause_async(self._reason(state), state.upcoming_sleep)

    def _reason(self, state: RetryCallState) -> str:
        error = _error_of(state)
        return self._named(error.budget).name if isinstance(error, Throttled) else "unavailable"

    def _named(self, name: str) -> Budget:
        return next((budget for budget in self._budgets if budget.name == name), self._gate)

    def _block(self, budget: Budget, seconds: float) -> None:
        budget.block(self._clock() + seconds)
        left = budget.blocked(self._clock())  # a hint that came before may reach further
        if self._memory is not None and left >= REMEMBERED_FROM:
            self._memory.hint(self._scope_of(budget), self._wall() + left)

    def _scope_of(self, budget: Budget) -> str:
        return f"{budget.scope or self._scope}/{budget.name}"

    # ---- waiting

    def _pause(self, name: str, seconds: float) -> None:
        began = self._clock()
        if self._sleep is not None:
            self._sleep(seconds)
            stopped = self._stop.is_set()
        else:
            stopped = self._stop.wait(seconds)
        self._account(name, began)
        if stopped:
            raise Stopped

    async def _pause_async(self, name: str, seconds: float) -> None:
        began = self._clock()
        if self._sleep is not None:
            self._sleep(seconds)
            await asyncio.sleep(0)
        elif not self._stop.is_set():
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(seconds, resolve, future)
            self._bell.listen(future, lambda: loop.call_soon_threadsafe(resolve, future))
            try:
                await future
            finally:
                timer.cancel()
                self._bell.ignore(future)
        self._account(name, began)
        if self._stop.is_set():
            raise Stopped

    def _account(self, name: str, began: float) -> None:
        seconds = self._clock() - began
        if seconds > 0:
            with self._lock:
                self.waited[name] = self.waited.get(name, 0.0) + seconds


def _again(error: BaseException | None, write: bool) -> bool:
    """Whether a request that ended so may be sent again."""
    if isinstance(error, Stopped | _TooLong):
        return False
    if isinstance(error, Unavailable):
        return error.did_nothing or not write
    return isinstance(error, Throttled)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


async def _no_sleep(_: float) -> None:
    """The wait itself is done before, where it is accounted for."""


def _give_up(state: RetryCallState) -> NoReturn:
    error = _error_of(state)
    if isinstance(error, Throttled):
        raise Unavailable(f"{error} (still, after {state.idle_for:.0f} s)", code=error.code, did_nothing=True) from error
    assert isinstance(error, WireError)
    raise error
