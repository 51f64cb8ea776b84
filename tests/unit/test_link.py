"""The cap of the line: what leaves and what comes in, over all pacers of the process, at the rate of the hour."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from time import sleep as wait

import pytest
from ews_script import Time, page, scripted
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Folder
from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.source import ExchangeSource
from connectors.link import WINDOW, Link
from connectors.pacer import Cost, Pacer, Slots
from migrator.config import Config, load
from migrator.parts import connections_of, link_of

MONDAY = 1795424400.0
"""2026-11-23 09:00 UTC, a Monday at ten in Berlin."""


def pacer(link: Link, time: Time) -> Pacer:
    return Pacer([link], clock=time.clock, sleep=time.sleep)


def test_a_body_larger_than_the_window_runs_into_debt_that_the_next_ones_wait_for() -> None:
    time = Time()
    link = Link(lambda: 100.0)
    one, left = pacer(link, time), list[float]()
    for size in (1000, 1000, 50, 50, 50, 50):
        one.call(lambda: left.append(time.now - 1000), cost=Cost(1, size))
    assert left == pytest.approx([0, 8, 18, 18.5, 19, 19.5])
    assert one.waited() == {"link": pytest.approx(19.5)}


def test_the_line_is_one_for_all_pacers_and_what_costs_no_bytes_passes() -> None:
    time = Time()
    link = Link(lambda: 100.0)
    up, other = pacer(link, time), pacer(link, time)
    up.call(lambda: None, cost=Cost(1, 1000))
    other.call(lambda: None, cost=Cost(1, 0))
    assert time.now == 1000.0
    other.call(lambda: None, cost=Cost(1, 1))
    assert time.now == pytest.approx(1000 + 10 - WINDOW, abs=0.02)
    assert (up.waited(), list(other.waited())) == ({}, ["link"])


def test_no_cap_at_this_hour_lets_everything_pass() -> None:
    time, rate = Time(), [0.0]
    link = Link(lambda: rate[0])
    one = pacer(link, time)
    for _ in range(100):
        one.call(lambda: None, cost=Cost(1, 10**9))
    assert time.now == 1000.0
    rate[0] = 10.0
    one.call(lambda: None, cost=Cost(1, 100))
    one.call(lambda: None, cost=Cost(1, 100))
    one.call(lambda: None, cost=Cost(1, 100))
    assert time.now == 1018.0
    rate[0] = 0.0
    one.call(lambda: None, cost=Cost(1, 10**9))
    assert time.now == 1018.0, "the debt ends with the cap"


def test_who_waits_for_a_slot_of_a_slow_mailbox_keeps_nobody_from_the_line() -> None:
    time = Time()
    link = Link(lambda: 100.0)
    other, slots = pacer(link, time), Slots(1)
    slow = Pacer([link], slots=[slots], clock=time.clock, sleep=time.sleep)
    assert slots.acquire()
    left: list[float] = []
    waiting = threading.Thread(target=slow.call, args=(lambda: left.append(time.now),), kwargs={"cost": Cost(1, 1000)})
    waiting.start()
    until = monotonic() + 5
    while not slots._line and monotonic() < until:
        wait(0.001)
    other.call(lambda: None, cost=Cost(1, 1000))
    assert time.now == 1000.0
    slots.release()
    waiting.join(5)
    assert left == [1008.0], "and what has left meanwhile is waited for, without the slot"


def test_an_answer_is_paid_for_from_the_moment_that_it_was_asked_for() -> None:
    time = Time()
    link = Link(lambda: 100.0)
    one = pacer(link, time)

    def download() -> None:
        began = time.now
        time.now += 10
        link.charge(1000, began)

    for _ in range(5):
        one.call(download, cost=Cost(1, 1))
    assert time.now - 1000 == pytest.approx(50, abs=0.5), "a line that is no faster than the cap is used all the time"


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=40),
    st.integers(50, 200),
)
def test_over_any_stretch_of_time_no_more_goes_over_the_line_than_it_is_allowed(
    story: list[tuple[float, int, int]], rate: int
) -> None:
    time, gone = Time(), list[tuple[float, float]]()
    link = Link(lambda: float(rate))
    one = pacer(link, time)

    def request(up: int, down: int) -> Callable[[], None]:
        def once() -> None:
            gone.append((time.now, up + down))
            link.charge(down, time.now)

        return once

    for pause, up, down in story:
        time.now += pause
        one.call(request(up, down), cost=Cost(1, up))
    largest = max(size for _, size in gone)
    for index, (start, _) in enumerate(gone):
        total = 0.0
        for at, size in gone[index:]:
            total += size
            assert total <= rate * (at - start + WINDOW) + largest + 1e-6


def test_what_a_call_downloads_is_charged_and_the_next_one_waits_for_it() -> None:
    time = Time()
    link = Link(lambda: 1000.0)
    with scripted([page("x" * 20_000)]) as served:
        settings = Exchange(url=served.url, username="u", password="p", auth="basic")
        server = ExchangeServer(settings, clock=time.clock, sleep=time.sleep, link=link)
        source = ExchangeSource(server, "anna@lab.test")
        try:
            source.changes(Folder("f", None, "Inbox"), None)
            assert time.waits == []
            source.changes(Folder("f", None, "Inbox"), None)
            figures = source.figures()
        finally:
            source.close()
    assert figures["waited.link"] == pytest.approx(sum(time.waits))
    assert sum(time.waits) == pytest.approx((figures["bytes.received"] + figures["bytes.sent"]) / 2 / 1000 - WINDOW, abs=0.1)


# ---- by the hour, as the config says


def config_of(tmp_path_factory: pytest.TempPathFactory, source: str = "", run: str = "") -> Config:
    file = tmp_path_factory.mktemp("config") / "migrator.toml"
    file.write_text(
        '[source]\nurl = "https://mail.lab.test/EWS/Exchange.asmx"\nusername = "u"\npassword = "env:P"\n'
        f'{source}\n[target]\ntenant_id = "t"\nclient_id = "c"\nsecret = "env:S"\n[run]\n{run}\n',
        "utf-8",
    )
    return load(file)


def test_the_cap_of_the_line_differs_by_the_hour(tmp_path_factory: pytest.TempPathFactory) -> None:
    wall = [MONDAY]
    berlin = 'link_hours = "Mon-Fri 08:00-18:00"\nlink_time_zone = "Europe/Berlin"\nlink_mbit_in_hours = 8.0'
    for run, by_day, by_night in ((berlin, 1e6, 0.0), (berlin + "\nlink_mbit = 80", 1e6, 1e7), ("link_mbit = 80", 1e7, 1e7)):
        link = link_of(config_of(tmp_path_factory, run=run), lambda: wall[0])
        assert link is not None
        wall[0] = MONDAY
        assert link._rate() == by_day
        wall[0] = MONDAY + 8 * 3600
        assert link._rate() == by_night
    assert link_of(config_of(tmp_path_factory)) is None


def test_the_source_gets_fewer_calls_from_the_first_minute_of_business_and_all_again_after_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wall = [MONDAY - 2 * 3600 - 1]
    more = 'connections_per_server = 7\nbusiness_hours = "Mon-Fri 08:00-18:00"\nbusiness_time_zone = "Europe/Berlin"\n'
    cap = connections_of(config_of(tmp_path_factory, source=more + "business_connections = 2"), lambda: wall[0])
    settings = Exchange(url="https://x", username="u", password="p", connections_per_server=7)
    server = ExchangeServer(settings, cap=cap)
    for _ in range(7):
        assert server.slots.acquire()
    wall[0] += 1
    for _ in range(5):
        server.slots.release()
    assert server.slots.n == 2
    assert server.slots._taken == 2, "who was under way has ended, and nobody new has begun"
    wall[0] = MONDAY + 8 * 3600 - 1
    server.slots.look()
    assert server.slots.n == 2
    wall[0] += 1
    for _ in range(5):
        assert server.slots.acquire()
    assert server.slots.n == 7
