"""When it will be done: what passes brought, as a range; and what a board is told of it."""

from __future__ import annotations

import math

import pytest

from migrator.forecast import Holding, Load, Rates, Span, Stretch, finish, rates, still_to_carry
from migrator.reporting.facts import Forecast, Light, MailboxLine, ReasonLine, WaveLine
from migrator.reporting.forecast import forecast
from migrator.reporting.gathering import moment
from migrator.reporting.verdict import verdict, wanted, why_date
from state.model import MailboxState

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 100 * DAY


def test_a_rate_counts_the_hours_in_which_passes_ran_and_all_hours_since() -> None:
    nights = [Stretch(NOW - 2 * DAY, NOW - 2 * DAY + 12 * HOUR, 12e9), Stretch(NOW - DAY, NOW - DAY + 12 * HOUR, 12e9)]
    found = rates(nights, NOW)
    assert math.isclose(found.running, 1e9)
    assert math.isclose(found.overall, 0.5e9)


def test_passes_side_by_side_are_one_stretch_of_time() -> None:
    both = [Stretch(NOW - 2 * HOUR, NOW, 2e9), Stretch(NOW - HOUR, NOW, 2e9)]
    assert math.isclose(rates(both, NOW).running, 2e9)


def test_what_lies_before_the_window_counts_by_its_later_part() -> None:
    assert math.isclose(rates([Stretch(NOW - 2 * DAY, NOW, 48e9)], NOW, window=DAY).running, 1e9)
    assert rates([Stretch(NOW - 9 * DAY, NOW - 8 * DAY, 1e9)], NOW, window=DAY) == Rates()


def test_without_any_pass_there_is_no_range() -> None:
    told = forecast(both(5), Rates(), NOW, NOW + DAY)
    assert (told.early, told.late, told.light) == (None, None, None)


def test_nothing_left_is_done_now() -> None:
    assert forecast(both(0), Rates(), NOW).late == NOW


@pytest.mark.parametrize(("days", "light"), [(10, Light.GREEN), (2, Light.AMBER), (0.5, Light.RED)])
def test_the_promise_is_held_against_both_ends(days: float, light: Light) -> None:
    told = forecast(both(24), Rates(running=1, overall=0.5), NOW, NOW + days * DAY)
    assert told.early == NOW + DAY
    assert told.late == NOW + 24 / (0.5 * 0.75) * HOUR
    assert told.light is light


def test_what_was_never_listed_is_taken_for_as_large_as_the_others() -> None:
    known = [Holding(Load(size, size), Load(0, 0), read=True) for size in (1, 2, 3, 4, 100)]
    unread = [Holding(Load(0), Load(0), read=False)] * 10
    assert still_to_carry(unread, known + unread) == (Load(30, 30), Load(1000, 1000))
    assert still_to_carry(unread, unread) == still_to_carry(known, known) == (Load(0, 0), Load(0, 0))


def test_what_is_left_without_a_size_is_judged_by_its_items() -> None:
    rate = Rates(running=1, overall=1, running_items=10, overall_items=5)
    assert finish((Load(50), Load(50)), rate) == Span(5 * HOUR, 50 / (5 * 0.75) * HOUR)
    assert forecast((Load(50), Load(50)), rate, NOW).open


def test_of_items_and_bytes_the_harsher_sets_the_far_end() -> None:
    rate = Rates(running=100, overall=100, running_items=1, overall_items=1)
    assert finish((Load(50, 100), Load(50, 100)), rate) == Span(HOUR, 50 / 0.75 * HOUR)


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        ("2026-12-04T18:00:00+01:00", "", 1796403600.0),
        ("2026-12-04 18:00", "Europe/Berlin", 1796403600.0),
        ("2026-12-04", "", 1796342400.0),
        ("next week", "", None),
        ("", "", None),
        (None, "", None),
    ],
)
def test_a_promised_day_is_read_as_the_spreadsheet_means_it(text: object, zone: str, seconds: float | None) -> None:
    assert moment(text, zone) == seconds


def both(size: int) -> tuple[Load, Load]:
    return Load(0, size), Load(0, size)


def line(number: int = 1, state: MailboxState = MailboxState.SYNCING, **values: object) -> MailboxLine:
    told = {"listed": 10, "done": 10, "last_pass_at": NOW, **values}
    return MailboxLine(
        id=number,
        wave="w",
        source=f"u{number}@a.test",
        target=f"u{number}@b.test",
        state=state,
        came_from=None,
        cause="c",
        **told,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "light", "key"),
    [
        ([], Light.AMBER, "verdict.nothing"),
        ([line()], Light.GREEN, "verdict.whole"),
        ([line(refused=2, approved=2)], Light.GREEN, "verdict.approved"),
        ([line(refused=2)], Light.AMBER, "verdict.refused"),
        ([line(backfill=2)], Light.AMBER, "verdict.backfill"),
        ([line(unaccounted=1)], Light.AMBER, "verdict.unaccounted"),
        ([line(), line(2, last_pass_at=None)], Light.AMBER, "verdict.unread"),
        ([line(counted=12, last_pass_state="FAILED")], Light.AMBER, "verdict.pending"),
        ([line(counted=12, last_pass_state="DONE")], Light.GREEN, "verdict.whole"),
        ([line(pending=1, refused=2)], Light.AMBER, "verdict.pending"),
        ([line(state=MailboxState.HELD, pending=1)], Light.RED, "verdict.held"),
        ([line(state=MailboxState.HELD, balance=-1)], Light.RED, "verdict.unbalanced"),
    ],
)
def test_the_light_tells_the_worst_thing(lines: list[MailboxLine], light: Light, key: str) -> None:
    found, sentence = verdict(lines)
    assert (found, sentence.key) == (light, key)


def wave(due: float | None, *, moved: int = 0, state: str = "OPEN", late: float = NOW + DAY) -> WaveLine:
    light = forecast(both(24), Rates(1, 1), NOW, due).light
    return WaveLine(
        name="w", state=state, mailboxes=2, moved=moved, ready=0, aside=0, closed=0, listed=1, done=1, pending=1, backfill=0,
        stayed=0,
        bytes=1, bytes_pending=24, oldest_pass=None, forecast=Forecast(early=NOW + DAY, late=late, left=24, due=due, light=light),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("waves", "key"),
    [
        ([wave(None)], "date.none-range"),
        ([wave(NOW - DAY)], "date.overdue"),
        ([wave(NOW - DAY, moved=2)], "date.holds"),
        ([wave(NOW + DAY / 2)], "date.broken"),
        ([wave(NOW + 1.1 * DAY)], "date.shaky"),
        ([wave(NOW + 9 * DAY)], "date.holds"),
        ([wave(NOW + 9 * DAY, state="PAUSED")], "date.but-still"),
        ([wave(NOW + 9 * DAY, state="PAUSED", moved=2)], "date.holds"),
    ],
)
def test_whether_the_date_holds_is_told_with_its_reason(waves: list[WaveLine], key: str) -> None:
    assert why_date([line()], waves, waves[0].forecast, NOW).key == key


def test_a_mailbox_that_needs_a_person_is_no_yes() -> None:
    waves = [wave(NOW + 9 * DAY)]
    assert why_date([line(state=MailboxState.HELD)], waves, waves[0].forecast, NOW).key == "date.but-stuck"


def test_decisions_name_who_and_until_when() -> None:
    lines = [
        line(1, MailboxState.HELD, owner="K. Weber"),
        line(2, MailboxState.HELD, owner="K. Weber"),
        line(3, refused=4, approved=1, complete_after=NOW + 2 * DAY),
        line(4),
    ]
    reasons = [ReasonLine(state="REFUSED", reason="too-large", items=4, bytes=9, mailboxes=1, approved=1)]
    found = wanted(lines, [wave(NOW + 5 * DAY, state="PAUSED")], reasons, [4], [2])
    told = [(one.saying.key, one.saying.values.get("n"), one.who, one.until) for one in found]
    assert told == [
        ("wanted.stuck-some", 2, "K. Weber", NOW + 5 * DAY),
        ("wanted.match", 1, "", NOW + 5 * DAY),
        ("wanted.withdrawn", 1, "K. Weber", None),
        ("wanted.reason", 3, "", NOW + 2 * DAY),
        ("wanted.wave-paused", 2, "", NOW + 5 * DAY),
    ]


def test_a_mailbox_set_aside_keeps_the_stage_that_it_came_from() -> None:
    held = MailboxLine(
        id=1, wave="w", source="a", target="b", state=MailboxState.HELD, came_from=MailboxState.SWEEPING, cause=""
    )  # fmt: skip
    assert held.moved
    assert held.share is None
