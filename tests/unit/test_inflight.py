"""The process holds no more mail than its pool, nobody waits for ever, and who came first goes first."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pacer import Stopped
from migrator.engine.inflight import NOTHING, Pool, Share

SIZE = 100


def waiting(pool: Pool, number: int) -> None:
    until = monotonic() + 20
    while len(pool._line) != number:
        assert monotonic() < until, f"{len(pool._line)} wait, not {number}"
        sleep(0.001)


@settings(deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=12), st.integers(0, 1000))
def test_it_never_holds_too_much_and_everybody_is_served_in_turn(amounts: list[int], seed: int) -> None:
    chance = random.Random(seed)  # not drawn from as we go: how much is held at a time depends on the threads
    pool, stop, order = Pool(SIZE), threading.Event(), list[int]()
    held: dict[int, Share] = {}

    def take(number: int) -> None:
        share = pool.take(amounts[number], stop)
        order.append(number)
        held[number] = share

    threads = []
    for number in range(len(amounts)):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        # One after the other, so that who came first is known.
        until = monotonic() + 20
        while number not in held and len(pool._line) + len(held) <= number:
            assert monotonic() < until
            sleep(0)
    given_back = 0
    while given_back < len(amounts):
        until = monotonic() + 20
        while not held.keys() - {-1}:
            assert monotonic() < until, "nobody is served although nothing is held"
            sleep(0)
        now = {number: amounts[number] for number in list(held)}
        assert pool.held <= SIZE or pool.held in amounts
        assert sum(now.values()) <= pool.held
        number = chance.choice(sorted(now))
        held.pop(number).give_back()
        given_back += 1
    for thread in threads:
        thread.join(20)
    assert pool.held == 0
    assert sorted(order) == list(range(len(amounts)))


def test_who_came_first_goes_first_even_if_a_later_one_would_fit() -> None:
    pool, stop = Pool(SIZE), threading.Event()
    first = pool.take(60, stop)
    order: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(lambda: (pool.take(90, stop), order.append("large"))[0])
        waiting(pool, 1)
        small = threads.submit(lambda: (pool.take(10, stop), order.append("small"))[0])
        waiting(pool, 2)
        first.give_back()
        large.result(20)
        small.result(20)
    assert pool.held == 100


def test_what_is_larger_than_the_pool_goes_alone() -> None:
    pool, stop = Pool(SIZE), threading.Event()
    small = pool.take(10, stop)
    with ThreadPoolExecutor(1) as threads:
        large: Future[Share] = threads.submit(pool.take, 1000, stop)
        waiting(pool, 1)
        small.give_back()
        large.result(20).give_back()
    assert pool.held == 0


def test_a_stop_wakes_whoever_waits_and_lets_the_others_on() -> None:
    pool, stop, other = Pool(SIZE), threading.Event(), threading.Event()
    pool.take(60, stop)
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(pool.take, 90, stop)
        waiting(pool, 1)
        small = threads.submit(pool.take, 10, other)
        waiting(pool, 2)
        stop.set()
        with pytest.raises(Stopped):
            large.result(20)
        small.result(20)


def test_whoever_gives_up_stands_in_nobody_s_way() -> None:
    pool, stop = Pool(SIZE), threading.Event()
    pool.take(60, stop)
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(pool.take, 90, stop, "anna")
        waiting(pool, 1)
        small = threads.submit(pool.take, 10, stop, "ben")
        waiting(pool, 2)
        pool.give_up("anna")
        with pytest.raises(Stopped):
            large.result(20)
        small.result(20)


def test_a_share_shrinks_never_grows_and_is_given_back_once() -> None:
    pool, stop = Pool(SIZE), threading.Event()
    share = pool.take(50, stop)
    share.shrink(20)
    share.shrink(40)
    assert pool.held == 20
    share.give_back()
    share.give_back()
    assert pool.held == 0
    NOTHING.give_back()
