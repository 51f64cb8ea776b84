"""The source is asked as much at once as it bears: simulated servers whose answers slow down, or who refuse, under load."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep as wait

import pytest
from ews_script import Answer, Request, Time, fault, page, scripted
from hypothesis import given
from hypothesis import strategies as st

from connectors.adaptive import MINUTE, REMEMBERED, AdaptiveSlots, next_limit
from connectors.base import Folder
from connectors.budgets import Slots
from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.source import ExchangeSource
from migrator.app import Hints
from state.store import Ledger

# ---- the decision


@pytest.mark.parametrize(
    ("limit", "seen", "after"),
    [
        (20, {"pushed_back": True}, 10),
        (3, {"pushed_back": True}, 1),
        (1, {"pushed_back": True}, 1),
        (20, {"slowness": 2.01}, 10),
        (20, {"slowness": 2.0}, 20),
        (20, {"slowness": 2.01, "quiet": 3600.0}, 10),
        (10, {"quiet": MINUTE}, 11),
        (10, {"quiet": MINUTE - 1}, 10),
        (10, {"quiet": 3600.0}, 11),
        (20, {"quiet": MINUTE}, 20),
    ],
)
def test_it_halves_when_the_server_suffers_and_dares_one_more_after_a_minute(
    limit: int, seen: dict[str, float], after: int
) -> None:
    assert next_limit(limit, 20, **seen) == after  # type: ignore[arg-type]


@given(st.integers(1, 1000), st.integers(1, 1000), st.booleans(), st.none() | st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_limit_stays_between_one_and_what_is_configured(
    limit: int, most: int, pushed: bool, slowness: float | None, quiet: float
) -> None:
    assert 1 <= next_limit(limit, most, pushed_back=pushed, slowness=slowness, quiet=quiet) <= most


# ---- simulated servers


BASE = 0.5
"""Seconds an answer takes without load."""


class Simulated:
    """A server that bears ``bears`` requests at once, and a crowd that always has more to ask than is allowed."""

    def __init__(
        self, bears: int, most: int, *, refuses: bool = False, cap: Callable[[], int] | None = None, noise: float = 0.0
    ) -> None:
        self.now, self.bears, self.refuses, self.noise = 0.0, bears, refuses, noise
        self.chance = random.Random(1)
        self.slots = AdaptiveSlots(most, clock=lambda: self.now, cap=cap)
        self.limits: list[int] = []
        self.served = self.refused = self.under_way = 0
        self._ends: list[tuple[float, int, float, bool]] = []
        self._number = itertools.count()

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            while self.under_way < self.slots.n:
                self._leave()
            end, _, began, refused = heapq.heappop(self._ends)
            if end > until:
                heapq.heappush(self._ends, (end, -1, began, refused))
                self.now = until
                return
            self.now = end
            if refused:
                self.refused += 1
                self.slots.pushed_back(began)
            else:
                self.served += 1
                self.slots.answered("SyncFolderItems", began)
            self.under_way -= 1
            self.slots.release()
            self.limits.append(self.slots.n)

    def _leave(self) -> None:
        assert self.slots.acquire()
        self.under_way += 1
        full = self.refuses and self.under_way > self.bears
        takes = BASE / 4 if full else BASE * max(1.0, self.under_way / self.bears) * self.chance.lognormvariate(0, self.noise)
        heapq.heappush(self._ends, (self.now + takes, next(self._number), self.now, full))


def test_a_server_whose_answers_slow_down_gets_as_much_as_it_bears() -> None:
    server = Simulated(bears=8, most=64)
    server.run(600)
    assert max(server.limits) > 16, "it was found out where it ends"
    server.limits.clear()
    before = server.served
    server.run(3600)
    assert min(server.limits) >= 1
    assert max(server.limits) <= 2 * 8 + 2, "twice the best time means twice what it bears"
    assert server.served - before >= 0.95 * 3600 * 8 / BASE, "and nothing of what it could serve is left lying"


@pytest.mark.parametrize(("most", "seconds"), [(3, 3600), (20, 1800)])
def test_a_server_whose_times_vary_by_nature_does_not_suffer(most: int, seconds: float) -> None:
    server = Simulated(bears=100, most=most, noise=0.7)  # one answer in three takes twice the median, or less than half of it
    server.run(300)
    server.limits.clear()
    server.run(seconds)
    assert sum(server.limits) >= 0.95 * most * len(server.limits)


def test_a_server_that_refuses_is_asked_less_and_hardly_ever_refuses_again() -> None:
    server = Simulated(bears=8, most=64, refuses=True)
    server.run(60)
    assert server.slots.n <= 8
    server.limits.clear()
    refused, served = server.refused, server.served
    server.run(3600)
    assert max(server.limits) <= 9
    assert server.refused - refused <= 9 * 3600 / (4 * MINUTE), "a crowd of nine, once in the minutes it takes to climb back"
    assert server.served - served >= 0.6 * 3600 * 8 / BASE


def test_a_server_that_recovers_gets_all_that_is_configured_again_and_no_more() -> None:
    server = Simulated(bears=4, most=20, refuses=True)
    server.run(600)
    assert server.slots.n <= 5
    server.bears = 100
    server.run(20 * MINUTE)
    assert server.slots.n == 20
    server.run(20 * MINUTE)
    assert max(server.limits) == 20


def test_a_server_that_always_suffers_is_still_asked_one_at_a_time() -> None:
    server = Simulated(bears=0, most=20, refuses=True)
    server.run(30)
    assert server.slots.n == 1
    assert min(server.limits) == 1


def test_one_crowd_of_refusals_halves_once() -> None:
    now = [100.0]
    slots = AdaptiveSlots(8, clock=lambda: now[0])
    now[0] = 101.0
    for _ in range(8):
        slots.pushed_back(100.5)
    assert slots.n == 4
    slots.pushed_back(101.5)
    assert slots.n == 2


def test_a_best_time_is_forgotten_after_ten_minutes() -> None:
    now = [0.0]
    slots = AdaptiveSlots(8, clock=lambda: now[0])

    def answers(seconds: float, times: int) -> None:
        for _ in range(times):
            began = now[0]
            now[0] += seconds
            slots.answered("GetItem", began)

    answers(0.2, 100)
    now[0] += REMEMBERED
    answers(2.0, 100)
    assert slots.n == 8, "a server that has become slow for good is no reason to ask ever less"
    answers(6.0, 100)
    assert slots.n < 8


def test_large_answers_are_not_held_against_small_ones() -> None:
    now = [0.0]
    slots = AdaptiveSlots(16, clock=lambda: now[0])
    for seconds, like in ((0.2, "small"), (5.0, "large")):
        for _ in range(100):
            began = now[0]
            now[0] += seconds
            slots.answered(like, began)
    assert slots.n == 16


# ---- the hour


def test_a_cap_is_obeyed_from_its_hour_on_and_lifted_after_it() -> None:
    hour = [20]
    server = Simulated(bears=100, most=20, cap=lambda: hour[0])
    server.run(120)
    assert server.slots.n == 20
    hour[0] = 5
    server.run(60)
    assert (server.slots.n, server.under_way) == (5, 5)
    hour[0] = 20
    server.run(1)
    assert (server.slots.n, server.under_way) == (20, 20)
    hour[0] = 99
    server.run(60)
    assert server.slots.n == 20, "never above what is configured"


def test_a_capped_server_that_suffers_is_asked_less_than_the_cap() -> None:
    server = Simulated(bears=2, most=20, refuses=True, cap=lambda: 6)
    server.run(30)
    assert server.slots.n <= 3


# ---- slots whose number changes


def test_fewer_slots_take_effect_as_they_are_released_and_more_at_once() -> None:
    slots, inside, done = Slots(3), threading.Semaphore(0), threading.Event()
    for _ in range(3):
        assert slots.acquire()
    slots.resize(1)

    def one_more() -> None:
        assert slots.acquire()
        inside.release()
        assert done.wait(5)
        slots.release()

    threads = [threading.Thread(target=one_more) for _ in range(3)]
    for thread in threads:
        thread.start()
    slots.release()
    slots.release()
    assert not inside.acquire(timeout=0.05), "one of the three is still out, and one is all there is"
    slots.release()
    assert inside.acquire(timeout=5)
    assert not inside.acquire(timeout=0.05)
    slots.resize(3)
    assert inside.acquire(timeout=5)
    assert inside.acquire(timeout=5)
    done.set()
    for thread in threads:
        thread.join(5)
    with pytest.raises(ValueError, match="at least one"):
        slots.resize(0)


# ---- over the wire


INBOX = Folder("f-inbox", None, "Inbox")


def server_at(url: str, time: Time, ledger: Ledger | None = None, **more: str) -> ExchangeServer:
    settings = Exchange(url=url, username="u", password="p", auth="basic", **more)  # type: ignore[arg-type]
    hints = None if ledger is None else Hints(ledger)
    return ExchangeServer(settings, clock=time.clock, wall=time.clock, sleep=time.sleep, memory=hints, random=lambda: 0.5)


def changes(server: ExchangeServer, mailbox: str = "anna@lab.test") -> None:
    source = ExchangeSource(server, mailbox)
    try:
        source.changes(INBOX, None)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("refusal", "access", "of_server", "of_mailbox"),
    [
        (fault("ErrorServerBusy", BackOffMilliseconds=2500), "impersonation", 8, 1),
        (fault("ErrorServerBusy", BackOffMilliseconds=2500), "full-access", 4, 1),
        (Answer(status=503, headers={"Retry-After": "7"}), "impersonation", 4, 1),
    ],
)
def test_who_is_told_to_wait_asks_for_less_at_once(refusal: Answer, access: str, of_server: int, of_mailbox: int) -> None:
    time = Time()
    with scripted([refusal, page()]) as served:
        server = server_at(served.url, time, access=access)
        source = ExchangeSource(server, "anna@lab.test")
        source.changes(INBOX, None)
        assert (server.slots.n, source.client.slots.n) == (of_server, of_mailbox)
        source.close()


def test_no_more_calls_than_the_hour_allows_are_under_way_over_all_mailboxes() -> None:
    lock, inside, most, allowed = threading.Lock(), 0, 0, [2]

    def answer(_: Request) -> bytes:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        wait(0.02)
        with lock:
            inside -= 1
        return page()

    with scripted(answer) as served:
        settings = Exchange(url=served.url, username="u", password="p", auth="basic", connections_per_server=6)
        server = ExchangeServer(settings, cap=lambda: allowed[0])
        for now, least in ((2, 1), (6, 3), (1, 1)):
            most, allowed[0] = 0, now
            with ThreadPoolExecutor(10) as threads:
                list(threads.map(lambda number: changes(server, f"p{number}@lab.test"), range(30)))
            assert least <= most <= now


def test_a_whole_server_that_asks_to_wait_is_heard_by_every_mailbox() -> None:
    time = Time()
    with scripted([Answer(status=503, headers={"Retry-After": "50"}), page()]) as served:
        server = server_at(served.url, time)
        server.gate.block(time.now + 50)
        changes(server, "ben@lab.test")
    assert time.waits[0] == pytest.approx(50)


def test_a_hint_of_minutes_outlives_the_process_for_its_mailbox_alone(ledger: Ledger) -> None:
    time = Time()
    with scripted([fault("ErrorServerBusy", BackOffMilliseconds=300_000), page()]) as served:
        killed = server_at(served.url, time, ledger)
        killed.sleep = _killed
        with pytest.raises(_Killed):
            changes(killed)
        time.now += 100
        changes(server_at(served.url, time, ledger), "ben@lab.test")
        assert time.waits == []
        changes(server_at(served.url, time, ledger))
        assert time.waits == [pytest.approx(200)]


def test_a_hint_for_the_whole_server_outlives_the_process_for_all(ledger: Ledger) -> None:
    time = Time()
    with scripted([Answer(status=503, headers={"Retry-After": "120"}), page()]) as served:
        killed = server_at(served.url, time, ledger)
        killed.sleep = _killed
        with pytest.raises(_Killed):
            changes(killed)
        changes(server_at(served.url, time, ledger), "ben@lab.test")
    assert time.waits == [pytest.approx(120)]


class _Killed(BaseException):
    pass


def _killed(_: float) -> None:
    raise _Killed
