"""Forecasts are ranges, rest on what passes took, and say nothing where nothing is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.forecast import (
    NOTHING,
    Load,
    Sample,
    Span,
    Tick,
    arriving,
    carrying,
    duration,
    final_pass,
    overhead,
    rate,
    remaining,
    samples,
    span,
    together,
)
from state.model import PassKind, PassRow, PassState

SEED, DELTA = PassKind.SEED, PassKind.DELTA


def a_pass(kind: PassKind, seconds: float, state: PassState = PassState.DONE, ended: float = 1000.0, **figures: float) -> PassRow:
    return PassRow(id=1, mailbox_id=1, kind=kind, state=state, started=ended - seconds, ended=ended, cause="", figures=figures)


def sample(kind: PassKind, seconds: float, items: int, size: int = 0, *, whole: bool = True, ended: float = 0.0) -> Sample:
    return Sample(kind, seconds, items, size, whole, ended)


def test_a_pass_becomes_a_sample_without_its_wait_for_a_lost_answer() -> None:
    told = {"created": 90, "refused": 10, "bytes": 5_000_000, "waited.settle": 120.0, "listed": 100}
    [one] = samples([a_pass(SEED, 220.0, **told)])
    assert (one.seconds, one.items, one.bytes, one.whole) == (100.0, 100, 5_000_000, True)


def test_a_pass_that_left_folders_aside_is_no_measure_of_a_final_one() -> None:
    [one] = samples([a_pass(DELTA, 3.0, folders_unchanged=12)])
    assert not one.whole


def test_what_was_broken_off_counts_only_if_it_carried_enough() -> None:
    broken = [a_pass(SEED, 10.0, PassState.PAUSED, created=5), a_pass(SEED, 10.0, PassState.PAUSED, created=500)]
    assert [one.items for one in samples(broken)] == [500]
    running = PassRow(id=1, mailbox_id=1, kind=SEED, state=PassState.RUNNING, started=0, ended=None, cause="", figures={})
    assert samples([running]) == []


def test_items_and_bytes_are_both_asked_and_the_range_holds_both() -> None:
    some = [sample(SEED, 100.0, 1000, 100_000_000), sample(SEED, 50.0, 1000, 100_000_000)]
    found = carrying(Load(100, 100_000_000), some)
    assert found == Span(5.0, 100.0), "5 s if items count, 100 s if bytes do"


def test_one_sample_alone_is_doubted() -> None:
    assert carrying(Load(100), [sample(SEED, 100.0, 100)]) == Span(80.0, 150.0)


def test_nothing_known_is_no_forecast_and_nothing_to_do_is_no_time() -> None:
    assert carrying(Load(10), []) is None
    assert carrying(Load(10), [sample(DELTA, 2.0, 3)]) is None, "three items say nothing about speed"
    assert carrying(Load(0), []) == NOTHING
    assert final_pass(Load(0), []) is None


def test_a_final_pass_reads_every_folder_so_quick_deltas_are_only_its_least() -> None:
    quick = [sample(DELTA, 2.0, 0, whole=False), sample(DELTA, 3.0, 0, whole=False)]
    assert overhead(quick) == Span(2.0, 3.0)
    assert overhead(quick, whole=True) == Span(2.0, 12.0)
    assert overhead([*quick, sample(DELTA, 8.0, 0)], whole=True) == Span(6.4, 12.0)


def test_a_final_pass_takes_the_listing_and_what_is_open_and_what_has_come_since() -> None:
    some = [sample(DELTA, 10.0, 0), sample(DELTA, 10.0, 0), sample(SEED, 1000.0, 1000), sample(SEED, 1000.0, 1000)]
    assert final_pass(Load(0), some) == Span(10.0, 10.0)
    assert final_pass(Load(20), some) == Span(30.0, 30.0)
    assert final_pass(Load(20), some, arriving=30) == Span(60.0, 60.0)


def test_what_arrives_is_told_by_the_passes_after_the_first() -> None:
    some = [sample(DELTA, 1.0, 60, ended=7200.0), sample(DELTA, 1.0, 60, ended=3600.0), sample(SEED, 1.0, 9999, ended=0.0)]
    assert arriving(some, 1800.0) == 30.0
    assert arriving(some[1:], 1800.0) == 0.0, "one pass after the first says nothing about a speed"


def test_several_mailboxes_take_no_less_than_the_longest() -> None:
    spans = [Span(10, 20), Span(10, 20), Span(100, 200)]
    assert together(spans, 3) == Span(100, 200)
    assert together(spans, 1) == Span(120, 240)
    assert together([Span(10, 20), None], 1) == Span(20, 40), "the unknown one is taken to be like the others"
    assert together([None], 4) is None
    assert together([], 4) == NOTHING


def test_the_rate_and_what_remains_follow_the_ticks() -> None:
    ticks = [Tick(0.0, 0, 100, 0), Tick(10.0, 20, 80, 2000), Tick(20.0, 60, 40, 6000)]
    assert rate(ticks) == (3.0, 300.0)
    assert remaining(ticks) == Span(10.0, 20.0)
    assert remaining([Tick(0.0, 5, 10), Tick(5.0, 5, 10)]) is None, "nothing moves"
    assert remaining([Tick(0.0, 5, 0)]) == NOTHING


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "?"),
        (NOTHING, "0 s"),
        (Span(4.2, 4.4), "4 s"),
        (Span(10, 20), "10-20 s"),
        (Span(0.2, 1.2), "1 s"),
        (Span(0.2, 2.0), "1-2 s"),
        (Span(30, 300), "30 s-5 min"),
        (Span(120, 180), "2-3 min"),
        (Span(5400, 9000), "1.5-2.5 h"),
        (Span(86400 * 3, 86400 * 4), "3-4 d"),
    ],
)
def test_a_range_is_short_and_says_its_unit(found: Span | None, text: str) -> None:
    assert span(found) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0 s"), (59.0, "59 s"), (89.0, "89 s"), (150.0, "2 min"), (5400.0, "1.5 h")])
def test_a_duration_is_in_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ANY_SAMPLE = st.builds(
    Sample,
    st.sampled_from(PassKind),
    st.floats(0.001, 1e5),
    st.integers(0, 10**6),
    st.integers(0, 10**12),
    st.booleans(),
    st.floats(0, 1e9),
)


@given(st.lists(ANY_SAMPLE, max_size=8), st.integers(0, 10**6), st.integers(0, 10**12))
def test_a_forecast_is_never_upside_down(some: list[Sample], items: int, size: int) -> None:
    found = final_pass(Load(items, size), some)
    assert found is None or 0 <= found.least <= found.most
