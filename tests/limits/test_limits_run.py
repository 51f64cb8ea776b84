"""The engine under the documented limits: it uses nearly all of the budget that binds, and the tenant never has to refuse.

The short form of ``limits_run.py``: budgets and windows are tenths or twentieths of the documented ones, rates are a few times
the documented rates, so that the processor binds nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from arrivals import Arrival, slots_busy, use_of
from limits_run import CASES, LEAST_USE, Case, compare, figures, run_case, together

BYTES = Case(name="bytes", binds="upload_bytes", size=75_000, speed=2.5, windows=3.2, scale=10)
CROWD = next(case for case in CASES if case.name == "crowd")
REQUESTS = Case(name="requests", binds="requests", speed=2.5, windows=3.2, scale=20)


def came(times: Sequence[float], size: int = 1, broke: str = "") -> list[Arrival]:
    return [Arrival(came=at, went=at + 0.2, size=size, broke=broke) for at in times]


def steady(rate: float, seconds: float) -> list[Arrival]:
    return came([number / rate for number in range(int(rate * seconds) + 1)])


def used(arrivals: Sequence[Arrival], budget: float = 100, window: float = 10) -> float:
    return use_of(arrivals, [one.size for one in arrivals], budget, window).mean


def test_an_even_stream_uses_its_share_of_the_budget() -> None:
    assert used(steady(10, 60)) == pytest.approx(1.0, abs=0.01)
    assert used(steady(5, 60)) == pytest.approx(0.5, abs=0.01)


def test_a_burst_in_every_window_uses_all_of_it_wherever_the_run_ends() -> None:
    for tail in (1, 50, 100):
        bursts = [number * 10 + part / 100 for number in range(5) for part in range(100)]
        assert used(came([*bursts, *(50 + part / 100 for part in range(tail))])) == pytest.approx(1.0, abs=0.02)


def test_what_stood_still_half_of_the_time_is_seen() -> None:
    assert used(came([number * 20 + part / 100 for number in range(5) for part in range(100)])) == pytest.approx(0.5, abs=0.03)


def test_the_first_window_is_left_out() -> None:
    assert used([*came([0.0] * 900), *came([10 + number / 5 for number in range(200)])]) == pytest.approx(0.5, abs=0.02)


def test_a_run_without_two_whole_windows_after_the_first_says_so() -> None:
    with pytest.raises(ValueError, match="no two whole windows"):
        used(steady(10, 25))


def test_slots_count_by_the_time_that_they_were_taken() -> None:
    assert slots_busy(came([0, 1, 2, 3]), 4, 0, 4) == pytest.approx(4 * 0.2 / 16)
    assert slots_busy(came([0], broke="MailboxConcurrency"), 4, 0, 4) == 0


@pytest.mark.parametrize(
    ("arrivals", "said"),
    [
        (steady(10, 60), ""),
        (steady(9, 60), "only 90.0% of the budget requests was used; nothing ever waited for it"),
        ([*steady(10, 60), *came([61.0], broke="requests")], "the tenant had to refuse 1 requests (requests)"),
    ],
)
def test_a_run_is_judged_by_what_arrived(arrivals: list[Arrival], said: str) -> None:
    case = replace(REQUESTS, scale=100, speed=0.6)
    assert case.budget == (100, 10)
    found = figures(case, arrivals, {"target.waited.requests": 0.0})
    assert found["wrong"].startswith(said)
    assert bool(found["wrong"]) == bool(said)


def test_too_many_taken_slots_are_named_because_then_they_may_bind() -> None:
    arrivals = [replace(one, went=one.came + 0.4) for one in steady(10, 60)]
    assert "% of the slots were taken" in figures(replace(REQUESTS, scale=100, speed=0.6), arrivals, {})["wrong"]


def of_slots(name: str, used: float, **more: Any) -> dict[str, Any]:
    return {"case": name, "used": used, "slots_busy": used, "requests": 10, "MB": 1.5, "refused": {}, "wrong": "", **more}


def test_mailboxes_at_once_are_told_as_sums_and_means_and_what_was_refused_in_any() -> None:
    found = together(CROWD, [of_slots("crowd", 0.9), of_slots("crowd", 0.8, refused={"requests": 2}, wrong="the tenant had to")])
    assert (found["requests"], found["MB"], found["mailboxes"]) == (20, 3.0, 2)
    assert (found["used"], found["least_used"]) == (pytest.approx(0.85), 0.8)
    assert (found["refused"], found["wrong"]) == ({"requests": 2}, "the tenant had to")


@pytest.mark.parametrize(("alone", "together", "lost"), [(0.99, 0.97, False), (0.99, 0.95, True), (None, 0.96, True)])
def test_a_crowd_is_held_against_one_mailbox_alone(alone: float | None, together: float, lost: bool) -> None:
    crowd = of_slots("crowd", together)
    compare([*([of_slots("slots-1s", alone)] if alone else []), crowd])
    assert bool(crowd["wrong"]) == lost


def measured(case: Case) -> dict[str, Any]:
    """One run; once more at half the speed if the machine was too busy for the budget to bind."""
    found = run_case(case)
    if found["used"] < LEAST_USE and not found["refused"]:
        found = run_case(replace(case, speed=case.speed / 2))
    return found


@pytest.mark.full
@pytest.mark.timeout(240)
def test_the_binding_budget_is_used_and_nothing_has_to_be_refused() -> None:
    with ThreadPoolExecutor(2) as threads:
        by_bytes, by_requests = threads.map(measured, (BYTES, REQUESTS))
    for found in (by_bytes, by_requests):
        assert found["wrong"] == "", found
        assert found["refused"] == {}
        assert found["used"] >= LEAST_USE
        assert found["use"]["most"] <= 1
    assert by_bytes["waited"]["upload_bytes"] > 0
    assert by_requests["waited"]["requests"] > 0
