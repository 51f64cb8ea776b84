"""An appointment as Graph takes it: nobody is invited, times keep their clocks, and what is lost has a name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.base import Address, Attachment, Refusal
from connectors.event import Attendee, Event, Occurrence, Recurrence, Turn, Zone
from connectors.graph import extended as x
from connectors.graph.convert import BODY_LIMIT
from connectors.graph.event_json import PEOPLE_FIRST, PEOPLE_LAST, Composed, compose
from migrator import fidelity

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
BERLIN = Zone("W. Europe Standard Time")
OLGA = Address("Olga Outside", "olga@outside.example")
EVENT = Event(subject="Plan", body="Bring it", start=START, end=START + timedelta(hours=1), zone=BERLIN, location="Room 3")
WEEKLY = Recurrence("weekly", date(2026, 3, 2), days=("monday", "thursday"), first_day="monday")
ALL_DAY = replace(
    EVENT, start=datetime(2026, 3, 1, 23, tzinfo=UTC), end=datetime(2026, 3, 2, 23, tzinfo=UTC), all_day=True
)  # fmt: skip
FILE = Attachment("a.eml", "message/rfc822", b"eA==", 1)


def composed(event: Event, **more: Any) -> Composed:
    found = compose(event, item_class="IPM.Appointment", now=NOW, orphans=False, **more)
    assert isinstance(found, Composed), found
    return found


def fields(event: Event) -> dict[str, Any]:
    return composed(event).fields


def refused(event: Event) -> str:
    found = compose(event, item_class="IPM.Appointment", now=NOW, orphans=False)
    assert isinstance(found, Refusal)
    return found.reason


def test_a_plain_appointment_loses_nothing_and_keeps_the_clock_on_its_wall() -> None:
    found = composed(EVENT)
    assert (found.degraded, found.follows) == ((), False)
    assert found.fields["start"] == {"dateTime": "2026-03-02T09:00:00", "timeZone": "W. Europe Standard Time"}
    assert found.fields["end"]["dateTime"] == "2026-03-02T10:00:00"
    assert (found.fields["isAllDay"], found.fields["isReminderOn"]) == (False, False)
    assert found.fields["location"] == {"displayName": "Room 3"}
    assert not {"attendees", "isOnlineMeeting", "isDraft", "recurrence"} & found.fields.keys()


def test_whole_days_begin_and_end_at_midnight_by_their_own_clock() -> None:
    found = fields(ALL_DAY)
    assert (found["isAllDay"], found["start"]["dateTime"], found["end"]["dateTime"]) == (
        True,
        "2026-03-02T00:00:00",
        "2026-03-03T00:00:00",
    )


@pytest.mark.parametrize("kind", ["html", "text"])
def test_people_are_text_and_data_and_never_attendees(kind: Any) -> None:
    people = (Attendee(OLGA, "required", "accepted"), Attendee(Address("Saal", "saal@contoso.test"), "resource"))
    meeting = replace(EVENT, attendees=people, organizer=OLGA, body_kind=kind, body="<html><body><p>Hi</p></body></html>")
    found = composed(meeting)
    assert "attendees" not in found.fields
    text = found.fields["body"]["content"]
    assert text.index(PEOPLE_FIRST) < text.index("olga@outside.example") < text.index("(accepted)") < text.index(PEOPLE_LAST)
    assert text.index(PEOPLE_LAST) < text.index("Hi")
    [kept] = [one["value"] for one in found.fields["singleValueExtendedProperties"] if one["id"] == x.ATTENDEES]
    assert orjson.loads(kept)["attendees"][0] == ["Olga Outside", "olga@outside.example", "required", "accepted"]
    assert found.degraded == ("attendees", "organizer")


def test_a_meeting_to_come_that_the_owner_called_stays_behind_until_the_operator_says_otherwise() -> None:
    later = NOW + timedelta(days=3)
    meeting = replace(EVENT, start=later, end=later + timedelta(hours=1), mine=True, attendees=(Attendee(OLGA),))
    assert refused(meeting) == "meeting-without-attendees"
    assert isinstance(compose(meeting, item_class="IPM.Appointment", now=NOW, orphans=True), Composed)
    assert composed(replace(meeting, mine=False)).degraded == ("attendees",)
    assert composed(replace(meeting, attendees=())).degraded == ()
    assert composed(replace(meeting, start=START, end=START)).degraded == ("attendees",)


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        (replace(WEEKLY, end=date(2026, 5, 1)), False),
        (replace(WEEKLY, end=date(2026, 7, 1)), True),
        (WEEKLY, True),
        (replace(WEEKLY, count=3), False),
        (replace(WEEKLY, count=300), True),
    ],
    ids=["ended", "ends later", "never ends", "a few", "many"],
)
def test_a_series_is_to_come_as_long_as_it_may_take_place_again(rule: Recurrence, hit: bool) -> None:
    series = replace(EVENT, recurrence=rule, mine=True, attendees=(Attendee(OLGA),))
    found = compose(series, item_class="IPM.Appointment", now=NOW, orphans=False)
    assert isinstance(found, Refusal) is hit


def test_no_reminder_goes_off_on_arrival() -> None:
    soon = NOW + timedelta(minutes=10)
    assert fields(replace(EVENT, reminder=15))["isReminderOn"] is False
    assert fields(replace(EVENT, start=soon, end=soon, reminder=15))["isReminderOn"] is False
    later = fields(replace(EVENT, start=soon, end=soon, reminder=5))
    assert (later["isReminderOn"], later["reminderMinutesBeforeStart"]) == (True, 5)
    assert fields(replace(EVENT, recurrence=WEEKLY, reminder=15))["isReminderOn"] is True
    assert fields(replace(EVENT, recurrence=replace(WEEKLY, end=date(2026, 4, 1)), reminder=15))["isReminderOn"] is False


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        (Recurrence("daily", date(2026, 3, 2), 3), {"type": "daily", "interval": 3}),
        (WEEKLY, {"type": "weekly", "interval": 1, "daysOfWeek": ["monday", "thursday"], "firstDayOfWeek": "monday"}),
        (Recurrence("absoluteMonthly", date(2026, 3, 2), day=2), {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 2}),
        (
            Recurrence("relativeMonthly", date(2026, 3, 2), 2, days=("monday",), index="first"),
            {"type": "relativeMonthly", "interval": 2, "daysOfWeek": ["monday"], "index": "first"},
        ),
        (
            Recurrence("absoluteYearly", date(2026, 3, 2), day=2, month=3),
            {"type": "absoluteYearly", "interval": 1, "dayOfMonth": 2, "month": 3},
        ),
        (
            Recurrence("relativeYearly", date(2026, 3, 2), days=("monday",), month=3, index="last"),
            {"type": "relativeYearly", "interval": 1, "daysOfWeek": ["monday"], "index": "last", "month": 3},
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Recurrence) else "",
)
def test_each_kind_of_series_says_what_it_needs_and_no_more(rule: Recurrence, pattern: dict[str, Any]) -> None:
    found = fields(replace(EVENT, recurrence=rule))["recurrence"]
    assert found["pattern"] == pattern
    assert found["range"] == {"type": "noEnd", "startDate": "2026-03-02", "recurrenceTimeZone": "W. Europe Standard Time"}


def test_a_series_that_can_not_be_is_refused_by_name() -> None:
    assert refused(replace(EVENT, recurrence=replace(WEEKLY, end=date(2026, 1, 1)))) == "recurrence"
    assert refused(replace(EVENT, recurrence=replace(WEEKLY, count=5000))) == "recurrence"
    assert refused(replace(EVENT, odd=("recurrence",))) == "recurrence"


def test_a_zone_that_a_program_made_up_is_known_by_its_clock() -> None:
    rules = Zone("My zone", 60, 120, Turn(3, "sunday", 5, 120), Turn(10, "sunday", 5, 180))
    found = composed(replace(EVENT, zone=rules, recurrence=WEEKLY))
    assert found.fields["start"]["dateTime"] == "2026-03-02T09:00:00"
    assert found.fields["start"]["timeZone"] != "UTC"
    assert found.degraded == ()
    assert composed(replace(EVENT, zone=Zone("odd", 61))).degraded == ("time-zone",)


def test_a_made_up_clock_that_no_country_keeps_any_more_is_said_of_a_series_that_goes_on() -> None:
    of_then = Zone("Eastern, of then", -300, -240, Turn(4, "sunday", 1, 120), Turn(10, "sunday", 5, 120))
    start = datetime(2003, 3, 3, 14, tzinfo=UTC)
    then = replace(EVENT, zone=of_then, start=start, end=start + timedelta(hours=1))
    goes_on = replace(WEEKLY, start=date(2003, 3, 3))
    assert composed(replace(then, recurrence=goes_on)).degraded == ("time-zone",)
    assert composed(replace(then, recurrence=replace(goes_on, end=date(2004, 3, 1)))).degraded == ()
    assert composed(then).degraded == ()


def test_the_second_of_two_equal_hours_is_told_by_utc() -> None:
    twice = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 2:30 in Berlin, for the second time
    found = fields(replace(EVENT, start=twice, end=twice + timedelta(hours=2)))
    assert found["start"] == {"dateTime": "2026-10-25T01:30:00", "timeZone": "UTC"}
    assert found["end"] == {"dateTime": "2026-10-25T04:30:00", "timeZone": "W. Europe Standard Time"}


def test_of_a_changed_occurrence_only_what_differs_is_said() -> None:
    original = START + timedelta(days=3)
    own = replace(EVENT, start=original + timedelta(hours=2), end=original + timedelta(hours=3), subject="Other", odd=())
    series = replace(EVENT, recurrence=WEEKLY, exceptions=(Occurrence(original, own),), deleted=(START,))
    found = composed(series)
    [change] = found.exceptions
    assert change.fields.keys() == {"start", "end", "subject"}
    assert (change.original, change.fields["start"]["dateTime"], change.attachments) == (original, "2026-03-05T11:00:00", None)
    assert (found.deleted, found.follows) == ((START,), True)


LOST: dict[str, Event] = {
    "characters": replace(EVENT, subject="half \ud83d"),
    "subject": replace(EVENT, subject="s" * 300),
    "location": replace(EVENT, location="l" * 300),
    "body": replace(EVENT, body="b" * (BODY_LIMIT + 1)),
    "nested-attachments": replace(EVENT, attachments=(FILE,)),
    "attendees": replace(EVENT, attendees=(Attendee(OLGA),)),
    "cancelled": replace(EVENT, cancelled=True),
    "time-zone": replace(EVENT, zone=Zone("nobody's")),
    "all-day": replace(ALL_DAY, start=START),
    "end": replace(EVENT, odd=("end",)),
    "exception-details": replace(EVENT, odd=("exception-details",)),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_has_a_row_in_the_table(name: str) -> None:
    assert composed(LOST[name]).degraded == (name,)
    assert name in fidelity.names("appointment")


def test_so_many_attendees_are_text_alone() -> None:
    crowd = tuple(Attendee(Address("N" * 200, f"n{number}@outside.example")) for number in range(200))
    assert composed(replace(EVENT, attendees=crowd)).degraded == ("attendees", "attendee-data")
