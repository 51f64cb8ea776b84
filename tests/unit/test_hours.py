"""Hours of the week: what is written, and which moments lie in them, over nights and the two days of daylight saving."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.waves.hours import BadHours, Hours, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")


def hours(text: str, zone: str = "Europe/Berlin") -> Hours:
    found = parse_hours(text, zone)
    assert found is not None
    return found


def berlin(text: str) -> float:
    """Seconds since 1970 of a moment on Berlin's clocks."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (
            "Mon-Fri 08:00-18:00",
            ["2026-11-23 08:00", "2026-11-27 17:59"],
            ["2026-11-23 07:59", "2026-11-27 18:00", "2026-11-28 12:00"],
        ),
        ("mon-fri 08:00-18:00", ["2026-11-23 08:00"], ["2026-11-28 12:00"]),
        ("Sat 00:00-24:00", ["2026-11-28 00:00", "2026-11-28 23:59"], ["2026-11-27 23:59", "2026-11-29 00:00"]),
        (
            "Fri 22:00-06:00",
            ["2026-11-27 22:00", "2026-11-28 05:59"],
            ["2026-11-28 22:00", "2026-11-27 05:59", "2026-11-28 06:00"],
        ),
        ("Sun 22:00-06:00", ["2026-11-29 23:00", "2026-11-30 05:00"], ["2026-11-30 22:00"]),
        ("Sat-Mon 10:00-11:00", ["2026-11-28 10:00", "2026-11-29 10:00", "2026-11-30 10:00"], ["2026-12-01 10:00"]),
        ("Mon 08:00-09:00, Tue 10:00-11:00", ["2026-11-23 08:30", "2026-11-24 10:30"], ["2026-11-24 08:30"]),
    ],
)
def test_a_moment_lies_in_the_hours_that_are_written(text: str, inside: list[str], outside: list[str]) -> None:
    found = hours(text)
    assert [found.hold(berlin(moment)) for moment in inside] == [True] * len(inside)
    assert [found.hold(berlin(moment)) for moment in outside] == [False] * len(outside)


def test_no_text_means_no_hours() -> None:
    assert parse_hours("") is None
    assert parse_hours("  ", "Europe/Berlin") is None


@pytest.mark.parametrize(("day", "opens"), [("2026-03-27", 7), ("2026-03-30", 6), ("2026-10-23", 6), ("2026-10-26", 7)])
def test_people_come_at_eight_before_and_after_the_clocks_are_changed(day: str, opens: int) -> None:
    found = hours("Mon-Fri 08:00-18:00")
    opening = datetime.fromisoformat(f"{day} {opens:02d}:00").replace(tzinfo=UTC).timestamp()
    assert [found.hold(opening - 1), found.hold(opening)] == [False, True]
    assert [found.hold(opening + 10 * 3600 - 1), found.hold(opening + 10 * 3600)] == [True, False]


def count(found: Hours, day: str) -> int:
    """Minutes of these hours on a day of Berlin and the night around it."""
    begin = int(berlin(f"{day} 00:00"))
    return sum(found.hold(begin + minute * 60) for minute in range(30 * 60))


def test_an_hour_that_the_clocks_leave_out_never_comes_and_one_that_comes_twice_counts_twice() -> None:
    night = hours("Sun 02:00-03:00")
    assert [count(night, day) for day in ("2026-03-22", "2026-03-29", "2026-10-25", "2026-11-01")] == [60, 0, 120, 60]


def test_a_night_over_the_change_of_clocks_ends_when_the_clock_says_so() -> None:
    night = hours("Sat 22:00-06:00")
    for before, long in (("2026-03-28", 7 * 60), ("2026-10-24", 9 * 60)):
        begin = int(berlin(f"{before} 12:00"))
        assert sum(night.hold(begin + minute * 60) for minute in range(24 * 60)) == long


def test_without_a_zone_this_machines_clock_counts() -> None:
    moment = datetime(2026, 11, 25, 12, 30)  # noqa: DTZ001 - this machine's own time is meant
    assert hours("Wed 12:30-12:31", "").hold(moment.timestamp())
    assert not hours("Wed 12:31-12:32", "").hold(moment.timestamp())


@given(st.text(max_size=30) | st.from_regex(r"[A-Za-z]{3}(-[A-Za-z]{3})? \d\d:\d\d-\d\d:\d\d", fullmatch=True))
def test_whatever_is_written_is_understood_or_refused_with_a_mend(text: str) -> None:
    try:
        found = parse_hours(text, "UTC")
    except BadHours as error:
        said = str(error)
    else:
        said = ";" if found is None or len(found.spans) == text.count(",") + 1 else "spans were lost"
    assert ";" in said
