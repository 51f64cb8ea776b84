"""Budgets, slots and the pacer. Clocks are ours; the only real waits are those of threads for one another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from heapq import heapify, heappop, heappush
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.budgets import Bell
from connectors.errors import Halt, Throttled, Unavailable
from connectors.pacer import Budget, Cost, Pacer, Slots, Stopped, next_delay

T = TypeVar("T")


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Kept:
    """A memory in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, float] = {}

    def hint(self, scope: str, until_wall: float) -> None:
        self.kept[scope] = until_wall

    def hints(self) -> dict[str, float]:
        return self.kept


class Script:
    """A request that ends as scripted, and remembers when it left."""

    def __init__(self, clock: Callable[[], float], *endings: Exception | str) -> None:
        self.clock = clock
        self.endings = list(endings)
        self.left: list[float] = []

    def __call__(self) -> str:
        self.left.append(self.clock())
        ending = self.endings.pop(0) if self.endings else "done"
        if isinstance(ending, Exception):
            raise ending
        return ending


def in_thread(pacer: Pacer, fn: Callable[[], T], **options: Any) -> T:
    return pacer.call(fn, **options)


def in_loop(pacer: Pacer, fn: Callable[[], T], **options: Any) -> T:
    async def request() -> T:
        return fn()

    return asyncio.run(pacer.acall(request, **options))


both_faces = pytest.mark.parametrize("run", [in_thread, in_loop], ids=["call", "acall"])


# ---- how long


@pytest.mark.parametrize(
    ("attempt", "error", "chance", "seconds"),
    [
        (1, Throttled("", after=2.128), 0.9, 2.128),
        (7, Throttled("", after=0.5), 0.0, 0.5),
        (1, Throttled("", after=0.0), 0.9, 0.0),
        (1, Throttled("", after=-3.0), 0.9, 0.0),
        (1, Throttled("", after=600.0), 0.9, 600.0),
        (1, Throttled(""), 0.0, 0.5),
        (2, Throttled(""), 0.0, 1.0),
        (3, Throttled(""), 0.5, 3.0),
        (7, Throttled(""), 0.0, 30.0),
        (5000, Throttled(""), 0.0, 30.0),
        (1, Unavailable(""), 0.0, 0.25),
        (2, Unavailable(""), 0.0, 0.375),
        (5000, Unavailable(""), 0.0, 7.5),
        (1, None, 0.0, 0.25),
    ],
)
def test_the_delay_follows_the_hint_and_grows_without_one(
    attempt: int, error: Exception | None, chance: float, seconds: float
) -> None:
    assert next_delay(attempt, error, lambda: chance) == pytest.approx(seconds)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_delay_without_a_hint_is_longer_than_a_minute(attempt: int, chance: float) -> None:
    assert 0 < next_delay(attempt, Unavailable(""), lambda: chance) <= 15
    assert 0 < next_delay(attempt, Throttled(""), lambda: chance) <= 60


# ---- budgets


def heaviest(left: list[tuple[float, int]], window: float) -> int:
    """The most that left in any half-open window, single oversize requests not counted."""
    return max((sum(size for at, size in left if start <= at < start + window) for start, _ in left), default=0)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(1, 100)), max_size=60),
    st.integers(100, 300),
    st.floats(1, 30),
)
def test_no_window_holds_more_than_the_capacity(asked: list[tuple[float, int]], capacity: int, window: float) -> None:
    budget, clock, left = Budget("b", capacity, window), Clock(), []
    for pause, amount in asked:
        clock.now += pause
        while wait := budget.take(amount, clock.now):
            clock.now += wait
        budget.depart(amount, clock.now)
        left.append((clock.now, amount))
    assert heaviest(left, window) <= capacity


@given(st.lists(st.integers(1, 700), min_size=1, max_size=30))
def test_an_oversize_amount_leaves_alone_and_pays_its_debt(amounts: list[int]) -> None:
    capacity, window = 100, 10.0
    budget, clock = Budget("b", capacity, window), Clock()
    began = clock.now
    for amount in amounts:
        while wait := budget.take(amount, clock.now):
            clock.now += wait
        if amount > capacity:
            assert budget.used(clock.now) == amount
        budget.depart(amount, clock.now)
    # Whatever the sizes, the last but one has been paid for at the budget's rate before the last could leave.
    assert clock.now - began >= (sum(amounts[:-1]) - capacity) / capacity * window - window


def test_the_server_counts_no_more_than_the_capacity_however_long_each_request_was_on_its_way() -> None:
    clock, arrived = Clock(), list[tuple[float, int]]()
    pacer = Pacer([Budget("requests", 10, 10.0)], clock=clock, sleep=clock.sleep)

    def send(way: float) -> None:
        clock.now += way
        arrived.append((clock.now, 1))

    for way in [0.5] * 10 + [0.01] * 30:
        pacer.call(lambda way=way: send(way))  # type: ignore[misc]
    assert heaviest(arrived, 10.0) == 10


def test_an_oversize_amount_leaves_only_when_nothing_else_counts() -> None:
    budget = Budget("b", 100, 10, margin=0)
    assert budget.take(1, 0) == 0
    budget.depart(1, 0)
    assert budget.take(250, 4) == 6
    assert budget.take(250, 10) == 0
    budget.depart(250, 10)
    assert budget.take(50, 29.9) > 0
    assert budget.take(50, 30) == 0  # two whole windows are paid, of the third half is left


def test_a_large_amount_is_not_overtaken_by_small_ones_for_ever() -> None:
    budget, clock = Budget("b", 100, 10), Clock()
    budget.take(90, clock.now)
    budget.depart(90, clock.now)
    large, small, tiny = object(), object(), object()
    assert budget.take(80, clock.now, large) > 0
    assert budget.take(30, clock.now, small) > 0
    clock.now += 11
    assert budget.take(30, clock.now, small) > 0, "the large one came first"
    assert budget.take(20, clock.now, tiny) > 0, "and the small one before the tiny one"
    assert budget.take(80, clock.now, large) == 0
    assert budget.take(30, clock.now, small) > 0


@pytest.mark.parametrize(
    ("amounts", "lost"), [([1], 0), ([30], 10), ([7, 30, 1], 25), ([99, 1], 1), ([100], 0), ([51], 49), ([3, 250, 10], 25)]
)
def test_a_crowd_in_line_uses_the_whole_budget(amounts: list[int], lost: int) -> None:
    """Forty senders that wake when they were told to. ``lost`` is what of a window stays free because the first in line is
    larger than that, which is the price of not being overtaken."""
    budget, windows, sent, asks = Budget("b", 100, 10), 40, 0, 0
    crowd = [(0.0, n, object()) for n in range(40)]
    heapify(crowd)
    while crowd[0][0] < windows * 10:
        now, n, place = heappop(crowd)
        asks += 1
        amount = amounts[n % len(amounts)]
        if wait := budget.take(amount, now, place):
            heappush(crowd, (now + wait, n, place))
        else:
            budget.depart(amount, now)
            sent += amount
            heappush(crowd, (now, n, object()))
    assert sent >= (100 - lost) * windows * 0.97
    assert sent <= 100 * (windows + 3)
    assert asks < 60 * 40 * windows, "nobody may spin"


def test_who_leaves_the_line_holds_nobody_up() -> None:
    budget = Budget("b", 100, 10)
    budget.take(90, 0)
    large, small = object(), object()
    assert budget.take(80, 0, large) > 0
    assert budget.take(5, 0, small) > 0
    budget.leave(large)
    assert budget.take(5, 0, small) == 0


def test_what_does_not_leave_does_not_count() -> None:
    budget = Budget("b", 100, 10)
    assert budget.take(100, 0) == 0
    assert budget.take(1, 0) > 0
    budget.give_back(100)
    assert budget.take(100, 0) == 0


def test_a_budget_is_exact_under_threads() -> None:
    budget, taken = Budget("b", 500, 1e9), []
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: budget.take(1, 0.0), range(1000)))
    assert taken.count(0.0) == 500


@pytest.mark.parametrize(("capacity", "window"), [(0, 1), (1, 0), (-1, 1)])
def test_a_budget_of_nothing_is_a_mistake(capacity: float, window: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Budget("b", capacity, window)


# ---- slots


def test_no_more_than_four_threads_are_in_at_once() -> None:
    slots, lock, inside, most = Slots(4), threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        assert slots.acquire()
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.0005)
        with lock:
            inside -= 1
        slots.release()

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(120)))
    assert most == 4


def test_threads_and_two_loops_share_the_slots_and_nobody_is_forgotten() -> None:
    slots, lock, inside, most, done = Slots(3), threading.Lock(), 0, 0, 0

    def count(step: int) -> None:
        nonlocal inside, most, done
        with lock:
            inside += step
            most = max(most, inside)
            done += step < 0

    async def one() -> None:
        assert await slots.acquire_async()
        count(1)
        await asyncio.sleep(0.0005)
        count(-1)
        slots.release()

    async def many() -> None:
        await asyncio.gather(*(one() for _ in range(60)))

    def by_thread() -> None:
        for _ in range(30):
            assert slots.acquire()
            count(1)
            count(-1)
            slots.release()

    workers = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(2)]
    workers += [threading.Thread(target=by_thread) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert done == 180
    assert most <= 3


def test_slots_are_given_in_the_order_of_asking() -> None:
    async def story() -> list[int]:
        slots, order = Slots(1), []

        async def one(n: int) -> None:
            await slots.acquire_async()
            order.append(n)
            slots.release()

        await slots.acquire_async()
        tasks = [asyncio.ensure_future(one(n)) for n in range(5)]
        await asyncio.sleep(0)
        slots.release()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(story()) == [0, 1, 2, 3, 4]


def test_a_cancelled_waiter_leaves_no_gap_even_if_its_slot_was_just_granted() -> None:
    async def story() -> None:
        slots = Slots(1)
        await slots.acquire_async()
        waiting = [asyncio.ensure_future(slots.acquire_async()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        slots.release()
        waiting[1].cancel()  # granted, but not yet told
        await asyncio.wait_for(waiting[2], 5)
        slots.release()
        assert await asyncio.wait_for(slots.acquire_async(), 5)

    asyncio.run(story())


def test_a_slot_meant_for_a_loop_that_is_closed_goes_to_the_next() -> None:
    slots = Slots(1)
    assert slots.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(slots.acquire_async())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    slots.release()
    assert slots.acquire()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()


# ---- the pacer


@both_faces
def test_a_hint_is_waited_for_exactly_and_accounted_for(run: Callable[..., Any]) -> None:
    clock = Clock()
    pacer = Pacer(clock=clock, sleep=clock.sleep)
    script = Script(clock, Throttled("", after=2.125), Throttled("", after=0.25))
    assert run(pacer, script, write=True) == "done"
    assert clock.slept == [2.125, 0.25]
    assert pacer.waited == {"server": 2.375}
    copy = pacer.waited()
    run(pacer, Script(clock, Throttled("", after=1.0)))
    assert (copy, pacer.waited()) == ({"server": 2.375}, {"server": 3.375})


@both_faces
def test_a_hint_for_a_named_budget_is_waited_for_under_its_name(run: Callable[..., Any]) -> None:
    clock = Clock()
    pacer = Pacer([Budget("upload_bytes", 10, 1, unit="upload_bytes")], clock=clock, sleep=clock.sleep)
    run(pacer, Script(clock, Throttled("", after=3.0, budget="upload_bytes")), cost=Cost(1, 5))
    assert pacer.waited() == {"upload_bytes": 3.0}


@both_faces
@pytest.mark.parametrize(
    ("write", "error", "tries"),
    [
        (False, Unavailable("", did_nothing=False), 2),
        (False, Unavailable("", did_nothing=True), 2),
        (True, Unavailable("", did_nothing=True), 2),
        (True, Unavailable("", did_nothing=False), 1),
        (False, Halt(""), 1),
        (False, Stopped(), 1),
        (True, Throttled("", after=0.0), 2),
    ],
)
def test_a_write_is_repeated_only_if_it_did_nothing(run: Callable[..., Any], write: bool, error: Exception, tries: int) -> None:
    clock = Clock()
    script = Script(clock, error)
    pacer = Pacer(clock=clock, sleep=clock.sleep)
    if tries == 1:
        with pytest.raises(type(error)) as raised:
            run(pacer, script, write=write)
        assert raised.value is error
    else:
        assert run(pacer, script, write=write) == "done"
    assert len(script.left) == tries


@both_faces
def test_the_last_error_is_raised_when_the_attempts_are_used_up(run: Callable[..., Any]) -> None:
    clock = Clock()
    errors = [Unavailable(str(n)) for n in range(3)]
    with pytest.raises(Unavailable) as raised:
        run(Pacer(clock=clock, sleep=clock.sleep, attempts=3), Script(clock, *errors))
    assert raised.value is errors[-1]


@both_faces
def test_patience_ends_in_an_outage_that_did_nothing(run: Callable[..., Any]) -> None:
    clock = Clock()
    script = Script(clock, *(Throttled("busy", after=10.0, code="http 429") for _ in range(20)))
    with pytest.raises(Unavailable) as raised:
        run(Pacer(clock=clock, sleep=clock.sleep, patience=35), script, write=True)
    assert raised.value.did_nothing
    assert raised.value.code == "http 429"
    assert len(script.left) == 4


def test_a_hint_longer_than_the_patience_is_not_waited_for() -> None:
    clock = Clock()
    pacer = Pacer(clock=clock, sleep=clock.sleep, patience=35)
    script = Script(clock, Throttled("", after=3600.0))
    with pytest.raises(Unavailable):
        pacer.call(script)
    with pytest.raises(Unavailable, match="asked to wait"):
        pacer.call(script)
    assert len(script.left) == 1
    assert clock.slept == []


@both_faces
def test_the_wait_for_a_budget_is_accounted_for_and_counts_for_no_patience(run: Callable[..., Any]) -> None:
    clock = Clock()
    pacer = Pacer([Budget("requests", 1, 100, margin=0)], clock=clock, sleep=clock.sleep, patience=5)
    script = Script(clock)
    for _ in range(3):
        run(pacer, script)
    assert script.left == [1000.0, 1100.0, 1200.0]
    assert pacer.waited() == {"requests": 200.0}


@both_faces
def test_every_attempt_takes_from_the_budgets(run: Callable[..., Any]) -> None:
    clock = Clock()
    requests, upload = Budget("requests", 100, 1000), Budget("upload_bytes", 100, 1000, unit="upload_bytes")
    pacer = Pacer([requests, upload], clock=clock, sleep=clock.sleep)
    run(pacer, Script(clock, Throttled("", after=1.0), Throttled("", after=1.0)), cost=Cost(2, 10))
    assert (requests.used(clock.now), upload.used(clock.now)) == (6, 30)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 40), st.one_of(st.none(), st.floats(0.01, 20))), min_size=1, max_size=40)
)
@settings(max_examples=60, deadline=None)
def test_nothing_leaves_while_blocked_and_no_window_is_overfull(story: list[tuple[float, int, float | None]]) -> None:
    clock = Clock()
    pacer = Pacer([Budget("upload_bytes", 50, 10, unit="upload_bytes")], clock=clock, sleep=clock.sleep, patience=1e9)
    blocked, left = 0.0, []

    def request(size: int, hint: float | None) -> Callable[[], None]:
        open_hint = [hint]

        def once() -> None:
            nonlocal blocked
            assert clock.now >= blocked
            left.append((clock.now, size))
            if (after := open_hint.pop() if open_hint else None) is not None:
                blocked = clock.now + after
                raise Throttled("", after=after)

        return once

    for pause, size, hint in story:
        clock.now += pause
        pacer.call(request(size, hint), cost=Cost(1, size))
    assert heaviest(left, 10) <= 50


def test_a_slot_is_free_while_its_user_waits_for_a_budget_or_after_a_hint() -> None:
    clock, slots = Clock(), Slots(1)

    def sleep(seconds: float) -> None:
        assert slots.acquire(), "the slot must be free now"
        slots.release()
        clock.sleep(seconds)

    pacer = Pacer([Budget("requests", 1, 10)], slots=[slots], clock=clock, sleep=sleep)
    pacer.call(Script(clock, Throttled("", after=30.0), Unavailable("")))
    assert len(clock.slept) >= 3


@both_faces
def test_a_request_that_stood_in_line_for_a_slot_heeds_a_hint_that_came_meanwhile(run: Callable[..., Any]) -> None:
    clock, slots = Clock(), Slots(1)
    inside, go, second_did_something = threading.Event(), threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        if threading.current_thread().name == "second":
            clock.sleep(seconds)
            second_did_something.set()
        else:
            assert second_did_something.wait(5)

    pacer = Pacer(slots=[slots], clock=clock, sleep=sleep)

    def throttled_once() -> None:
        if not inside.is_set():
            inside.set()
            assert go.wait(5)
            raise Throttled("", after=50.0)

    script = Script(clock)

    def second() -> None:
        try:
            run(pacer, script)
        finally:
            second_did_something.set()

    threads = [threading.Thread(target=run, args=(pacer, throttled_once)), threading.Thread(target=second, name="second")]
    threads[0].start()
    assert inside.wait(5)
    threads[1].start()
    until = time.monotonic() + 5
    while not slots._line and time.monotonic() < until:
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(10)
    assert script.left == [1050.0]


def test_four_slots_are_never_exceeded_by_coroutines() -> None:
    inside = most = 0
    pacer = Pacer(slots=[Slots(4)])

    async def request() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1

    async def story() -> None:
        await asyncio.gather(*(pacer.acall(request) for _ in range(60)))

    asyncio.run(story())
    assert most == 4
    assert pacer.waited()["slots"] > 0


@both_faces
@pytest.mark.parametrize("obstacle", ["budget", "hint", "slot", "outage"])
def test_every_wait_wakes_when_asked_to_stop(run: Callable[..., Any], obstacle: str) -> None:
    stop, slots, budget = threading.Event(), Slots(1), Budget("requests", 1, 1e6)
    pacer = Pacer([budget], slots=[slots], stop=stop, patience=1e9)
    script = Script(time.monotonic)
    if obstacle == "budget":
        pacer.call(Script(time.monotonic))
    elif obstacle == "hint":
        budget.block(time.monotonic() + 1e6)
    elif obstacle == "slot":
        slots.acquire()
    else:
        script.endings = [Unavailable("") for _ in range(1000)]
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Stopped) as raised:
        run(pacer, script)
    timer.join()
    assert raised.value.did_nothing
    assert time.monotonic() - began < 60
    assert obstacle == "outage" or script.left == []
    if obstacle == "slot":
        slots.release()
    assert slots.acquire(), "no slot is lost"


@both_faces
def test_who_has_no_need_to_wait_is_not_stopped(run: Callable[..., Any]) -> None:
    stop = threading.Event()
    stop.set()
    assert run(Pacer([Budget("requests", 9, 9)], slots=[Slots(1)], stop=stop), Script(time.monotonic)) == "done"


def test_a_cancelled_call_gives_back_what_it_held() -> None:
    budget, slots = Budget("requests", 10, 1e6), Slots(1)
    pacer = Pacer([budget], slots=[slots])

    async def story() -> None:
        assert slots.acquire()
        task = asyncio.ensure_future(pacer.acall(_never, cost=Cost(7)))
        await asyncio.sleep(0.01)
        assert budget.used(time.monotonic()) == 7
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.used(time.monotonic()) == 0

    asyncio.run(story())


async def _never() -> None:
    raise AssertionError("it must not leave")


def test_an_error_of_ours_passes_through_and_frees_the_slot() -> None:
    slots = Slots(1)
    pacer = Pacer(slots=[slots])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            pacer.call(lambda: 1 // 0)
        with pytest.raises(KeyboardInterrupt):
            pacer.call(_interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_hint_outlives_the_process_and_only_its_own_scope_waits_for_it() -> None:
    kept, wall = Kept(), Clock()
    first = Pacer(clock=wall, wall=wall, sleep=wall.sleep, memory=kept, scope="anna", patience=10)
    with pytest.raises(Unavailable):
        first.call(Script(wall, Throttled("", after=300.0)))
    assert kept.kept == {"anna/server": 1300.0}
    wall.now = 1100.0
    clock = Clock()
    heir = Pacer(clock=clock, wall=wall, sleep=clock.sleep, memory=kept, scope="anna")
    heir.call(Script(clock))
    assert clock.slept == [200.0]
    other = Pacer(clock=clock, wall=wall, sleep=clock.sleep, memory=kept, scope="ben")
    other.call(Script(clock))
    assert clock.slept == [200.0]


def test_a_short_hint_is_not_worth_remembering() -> None:
    kept, clock = Kept(), Clock()
    Pacer(clock=clock, wall=clock, sleep=clock.sleep, memory=kept).call(Script(clock, Throttled("", after=1.0)))
    assert kept.kept == {}


def test_a_short_hint_does_not_replace_a_long_one_that_is_remembered() -> None:
    kept, clock = Kept(), Clock()
    budget = Budget("requests", 100, 1)
    pacer = Pacer([budget], clock=clock, wall=clock, sleep=clock.sleep, memory=kept, scope="anna")
    budget.block(clock.now + 300)
    pacer._block(budget, 10.0)
    assert kept.kept == {"anna/requests": clock.now + 300}


def test_an_event_has_one_bell_whose_thread_ends_when_nobody_listens() -> None:
    event = threading.Event()
    bell, heard = Bell.of(event), threading.Event()
    assert Bell.of(event) is bell
    bell.listen(1, heard.set)
    event.set()
    assert heard.wait(5)
    until = time.monotonic() + 5
    while bell._watched and time.monotonic() < until:
        time.sleep(0.001)
    assert not bell._watched


def run_all(*coroutines: Coroutine[Any, Any, Any]) -> None:
    async def together() -> None:
        await asyncio.gather(*coroutines)

    asyncio.run(together())


def test_coroutines_that_retry_at_the_same_time_keep_their_own_count() -> None:
    clock = Clock()
    pacer = Pacer(clock=clock, sleep=clock.sleep, attempts=3)

    async def one(script: Script) -> None:
        async def request() -> str:
            await asyncio.sleep(0)
            return script()

        assert await pacer.acall(request) == "done"

    scripts = [Script(clock, Unavailable(""), Unavailable("")) for _ in range(20)]
    run_all(*(one(script) for script in scripts))
    assert [len(script.left) for script in scripts] == [3] * 20


@both_faces
def test_a_request_that_succeeds_at_once_needs_no_loop_of_retries(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("building the loop costs more than all else of a call")

    monkeypatch.setattr("connectors.pacer.Retrying", never)
    monkeypatch.setattr("connectors.pacer.AsyncRetrying", never)
    clock = Clock()
    assert run(Pacer(clock=clock, sleep=clock.sleep), Script(clock)) == "done"
    with pytest.raises(Halt):
        run(Pacer(clock=clock, sleep=clock.sleep), Script(clock, Halt("")))
