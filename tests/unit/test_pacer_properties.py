"""What holds of the pacer whatever is asked and answered: many requests at once in a loop whose time is simulated."""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.budgets import MARGIN
from connectors.errors import Throttled, Unavailable, WireError
from connectors.link import WINDOW, Link
from connectors.pacer import Budget, Cost, Pacer, Slots, Stopped

WINDOW_SECONDS = 10.0
CLOSE = 1e-6


class Leap(selectors.SelectSelector):
    """Instead of waiting for the time of the next timer, it is that time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0 if timeout is not None else 5)
        if not found and timeout is None:
            raise AssertionError("everybody waits, and for nothing")
        if not found and timeout:
            self.now += timeout
        self.turns += 1
        assert self.turns < 200_000, "somebody spins"
        return found


class Simulation(asyncio.SelectorEventLoop):
    """A loop that needs no time; what waits in it waits as long as it should."""

    def __init__(self) -> None:
        self._leap = Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.now if hasattr(self, "_leap") else 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ends after ``seconds``; the last of a request is always a success."""

    seconds: float
    error: str = ""
    after: float | None = None
    budget: str = "server"
    way: float = 0.5
    """After which share of its time the server counts it."""

    def raises(self) -> WireError | None:
        if self.error == "throttled":
            return Throttled("", after=self.after, budget=self.budget)
        return Unavailable("", did_nothing=True) if self.error else None


@dataclass(frozen=True, slots=True)
class Request:
    """One call: when it is made, what it costs, how its attempts end, and after how long it is called off."""

    at: float
    requests: int
    upload: int
    endings: tuple[Ending, ...]
    called_off: float | None = None


SECONDS = st.floats(0, 8).map(lambda value: round(value, 3))
WAYS = st.sampled_from([0.0, 0.3, 1.0])
ENDINGS = st.one_of(
    st.builds(Ending, SECONDS, st.just("unavailable"), way=WAYS),
    st.builds(
        Ending,
        SECONDS,
        st.just("throttled"),
        st.none() | st.floats(0.001, 30).map(lambda value: round(value, 3)),
        st.sampled_from(["server", "requests", "upload_bytes", "unheard of"]),
        WAYS,
    ),
)
REQUESTS = st.builds(
    Request,
    st.floats(0, 30).map(lambda value: round(value, 3)),
    st.integers(0, 6),
    st.one_of(st.just(0), st.integers(1, 50), st.integers(101, 450)),
    st.tuples(st.lists(ENDINGS, max_size=3), SECONDS, WAYS).map(lambda all_: (*all_[0], Ending(all_[1], way=all_[2]))),
)
STORIES = st.lists(REQUESTS, min_size=1, max_size=25)


@dataclass(slots=True)
class World:
    """A pacer over two budgets and two lots of slots, and everything that left it."""

    slots_each: tuple[int, int]
    loop: Simulation = field(default_factory=Simulation)
    stop: threading.Event = field(default_factory=threading.Event)
    left: list[tuple[float, Request]] = field(default_factory=list)
    counted: list[tuple[float, Request]] = field(default_factory=list)
    """When the server counted what left."""
    inside: int = 0
    most: int = 0
    spent: float = 0.0
    """Seconds of calls that were not seconds of requests."""
    blocked: dict[str, float] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    slots: tuple[Slots, ...] = ()
    pacer: Pacer = field(init=False)

    def __post_init__(self) -> None:
        self.budgets = (
            Budget("requests", 8, WINDOW_SECONDS, unit="requests"),
            Budget("upload_bytes", 100, WINDOW_SECONDS, unit="upload_bytes"),
            *self.budgets,
        )
        self.slots = tuple(Slots(n, f"slots {index}") for index, n in enumerate(self.slots_each))
        self.pacer = Pacer(
            self.budgets, slots=self.slots, stop=self.stop, clock=self.loop.time, random=lambda: 0.5, patience=1e9, attempts=99
        )

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()  # ends the thread that would ring for it
        self.loop.close()

    def play(self, story: list[Request]) -> None:
        async def together() -> None:
            await asyncio.gather(*map(self._one, story))

        self.loop.run_until_complete(together())

    async def _one(self, request: Request) -> None:
        await asyncio.sleep(request.at)
        call = asyncio.ensure_future(self._call(request))
        if request.called_off is not None:
            await asyncio.wait([call], timeout=request.called_off)
            call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            assert request.called_off is not None

    async def _call(self, request: Request) -> None:
        endings, cost = iter(request.endings), Cost(request.requests, request.upload)

        async def attempt() -> None:
            now = self.loop.time()
            for name in self._concern(request):
                assert now >= self.blocked.get(name, 0.0) - CLOSE, f"it left while {name} was blocked"
            self.left.append((now, request))
            counted = now
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                ending = next(endings)
                await asyncio.sleep(ending.seconds * ending.way)
                counted = self.loop.time()
                await asyncio.sleep(ending.seconds * (1 - ending.way))
                self.spent -= ending.seconds
                if (error := ending.raises()) is not None:
                    if isinstance(error, Throttled) and error.after is not None:
                        known = error.budget if error.budget in ("requests", "upload_bytes") else "server"
                        self.blocked[known] = max(self.blocked.get(known, 0.0), self.loop.time() + error.after)
                    raise error
            finally:
                self.inside -= 1
                self.counted.append((counted, request))

        began = self.loop.time()
        await self.pacer.acall(attempt, cost=cost, write=True)
        self.spent += self.loop.time() - began

    @staticmethod
    def _concern(request: Request) -> Iterator[str]:
        yield "server"
        if request.requests:
            yield "requests"
        if request.upload:
            yield "upload_bytes"


def check_windows(departures: list[tuple[float, int]], capacity: float) -> None:
    """No window holds more than the capacity, but for one that is larger by itself: it is alone and is paid for afterwards."""
    ordered = sorted((at, size) for at, size in departures if size)
    for index, (at, size) in enumerate(ordered):
        after = ordered[index + 1 :]
        if size > capacity:
            paid = at + (math.ceil(size / capacity) - 1) * WINDOW_SECONDS
            assert all(other >= max(paid, at) - CLOSE for other, _ in after)
            assert all(other <= at - WINDOW_SECONDS + CLOSE for other, _ in ordered[:index])
        else:
            within = [amount for other, amount in after if other < at + WINDOW_SECONDS - CLOSE]
            assert all(amount <= capacity for amount in within), "a larger one waits until nothing counts"
            assert size + sum(within) <= capacity


# ---- what holds


@given(STORIES, st.tuples(st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=60, deadline=None)
def test_no_budget_is_overdrawn_no_hint_is_ignored_and_every_wait_is_named(story: list[Request], slots: tuple[int, int]) -> None:
    with World(slots) as world:
        world.play(story)
        assert len(world.left) == sum(len(request.endings) for request in story), "every attempt that was due was made"
        check_windows([(at, request.requests) for at, request in world.counted], 8)
        check_windows([(at, request.upload) for at, request in world.counted], 100)
        assert world.most <= min(slots)
        assert sum(world.pacer.waited().values()) == pytest.approx(world.spent, abs=1e-3)
        assert set(world.pacer.waited()) <= {"server", "requests", "upload_bytes", "unavailable", "slots 0", "slots 1"}
        is_clean(world)


@given(
    st.lists(st.tuples(REQUESTS, st.none() | SECONDS), min_size=1, max_size=20),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@settings(max_examples=30, deadline=None)
def test_whoever_is_called_off_leaves_no_gap_and_takes_nothing_along(
    story: list[tuple[Request, float | None]], slots: tuple[int, int]
) -> None:
    with World(slots) as world:
        world.play([Request(one.at, one.requests, one.upload, one.endings, off) for one, off in story])
        check_windows([(at, request.upload) for at, request in world.counted], 100)
        assert world.most <= min(slots)
        is_clean(world)
        # And the next one is served as if nothing had been.
        world.loop.run_until_complete(asyncio.wait_for(world._call(Request(0, 1, 1, (Ending(0),))), 10_000))


def is_clean(world: World) -> None:
    assert [slots._taken for slots in world.slots] == [0, 0]
    assert [(budget._held, budget._line) for budget in world.budgets] == [(0.0, {})] * len(world.budgets)


@given(st.floats(0.001, 500), SECONDS)
@settings(max_examples=100, deadline=None)
def test_fractions_of_a_hint_are_waited_for_and_not_one_more(after: float, seconds: float) -> None:
    with World((1, 1)) as world:
        world.play([Request(0, 1, 0, (Ending(seconds, "throttled", after), Ending(0)))])
        [first, second] = [at for at, _ in world.left]
        assert second - first == pytest.approx(seconds + after, abs=1e-5)


@given(STORIES, st.integers(20, 200))
@settings(max_examples=30, deadline=None)
def test_the_line_is_never_asked_for_more_than_its_rate(story: list[Request], rate: int) -> None:
    with World((4, 4), budgets=(Link(lambda: float(rate)),)) as world:
        world.play(story)
        gone = [(at, request.upload) for at, request in world.left if request.upload]
        for index, (start, _) in enumerate(gone):
            total = 0.0
            largest = max(size for _, size in gone[index:])
            for at, size in gone[index:]:
                total += size
                assert total <= rate * (at - start + WINDOW) + largest + CLOSE
        assert sum(world.pacer.waited().values()) == pytest.approx(world.spent, abs=1e-3)
        is_clean(world)


def test_who_waits_for_the_line_is_served_in_order_and_at_its_rate_however_long_a_transfer_takes() -> None:
    with World((4, 4)) as world:
        world.pacer = Pacer([Link(lambda: 30.0)], slots=world.slots, stop=world.stop, clock=world.loop.time)
        world.play([Request(number / 1000, 0, 90 + number, (Ending(3.0),)) for number in range(6)])
        times, sizes = [at for at, _ in world.left], [request.upload for _, request in world.left]
        assert sizes == [90 + number for number in range(6)]
        assert times[-1] - times[0] == pytest.approx(sum(sizes[:-1]) / 30 - WINDOW, abs=0.1)


@given(STORIES)
@settings(max_examples=30, deadline=None)
def test_nobody_waits_longer_than_the_budgets_and_the_hints_demand(story: list[Request]) -> None:
    """Without hints and errors the last one leaves at most one window late for each window's worth of work before it."""
    calm = [Request(one.at, one.requests, one.upload, (one.endings[-1],)) for one in story]
    with World((99, 99)) as world:
        world.play(calm)
        needed = 1 + math.ceil(sum(one.requests for one in calm) / 4) + sum(math.ceil(one.upload / 50) for one in calm)
        assert max(at for at, _ in world.left) <= 1000 + 31 + needed * WINDOW_SECONDS * (1 + 2 * MARGIN)


def test_a_stop_ends_all_waits_of_the_simulation_too() -> None:
    with World((1, 1)) as world:
        world.budgets[0].block(world.loop.time() + 1e9)

        async def story() -> Mapping[str, float]:
            call = asyncio.ensure_future(world._call(Request(0, 1, 0, (Ending(0),))))
            await asyncio.sleep(0)
            world.stop.set()
            with pytest.raises(Stopped):
                await call
            return world.pacer.waited()

        world.loop.run_until_complete(story())
        is_clean(world)
