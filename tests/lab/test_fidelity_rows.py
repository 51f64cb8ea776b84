"""Appointments by both lanes: every row that the fidelity table has of them, and whether it says the truth.

Each is carried from server to server of the lab and looked for in the target's own store, so that a row fails when it promises
too much as well as when it promises too little. Mail is in test_fidelity_mail.py, contacts and tasks in test_contacts.py and
test_tasks.py, other kinds in test_fidelity_others.py; test_fidelity_table.py holds all of them against the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fidelity_world import Case, Row, World, carried, of, own, parts, people, same_in_all

from connectors.lab.appointments import (
    ALL_DAY,
    BUSY,
    END,
    PLACE,
    REMINDER,
    REMINDS,
    RESPONSE,
    START,
    STATE,
    Change,
    Diary,
    diary_of,
    keep,
    occasions,
    occurrence,
)
from connectors.lab.recurring import Rule
from connectors.lab.truth import Item, Part, Person

SOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=20)
AGO = datetime(2024, 1, 8, 9, tzinfo=UTC)
CROWD = [Person("N" * 200, f"n{number}@outside.example") for number in range(200)]
OLGA = Person("Olga Outside", "olga@outside.example")
INNER = b"Subject: Inside\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nWithin.\r\n"


def appointment(subject: str, start: datetime = AGO, hours: int = 1, **more: Any) -> Item:
    extended = {START: start, END: start + timedelta(hours=hours), BUSY: 2, PLACE: "Room 3", **more.pop("extended", {})}
    given: dict[str, Any] = {
        "item_class": "IPM.Appointment", "created": AGO, "modified": AGO, "submitted": AGO, "received": AGO, "is_read": True,
        "body_text": "Agenda", **more,
    }  # fmt: skip
    return Item(subject=subject, extended=extended, **given)


def full() -> Item:
    item = appointment(
        "full", SOON, body_text=None, body_html="<html><body><p>Bring <b>it</b></p></body></html>", importance=2, sensitivity=2,
        categories=["Red", "Müller"], extended={BUSY: 3, REMINDS: True, REMINDER: 15},
        parts=[
            Part("plan.pdf", "application/pdf", b"%PDF-1.4 plan"),
            Part("logo.png", "image/png", b"\x89PNG logo", inline=True, content_id="logo@contoso"),
        ],
    )  # fmt: skip
    keep(item, Diary(zone="Europe/Berlin", uid="of its own"))
    return item


def series() -> Item:
    item = appointment("series")
    rule = Rule("weekly", AGO.date(), days=["monday"], count=6)
    moved = Change(AGO + timedelta(weeks=1), {"start": (AGO + timedelta(weeks=1, hours=2)).isoformat(), "subject": "Moved"})
    keep(item, Diary(rule=rule, changes=[moved], deleted=[AGO + timedelta(weeks=2)]))
    return item


def strayed() -> Item:
    """A series with a changed occurrence on a day that its rule does not have any more."""
    item, off = appointment("strayed"), AGO + timedelta(days=3)
    keep(item, Diary(rule=Rule("weekly", AGO.date(), days=["monday"], count=6), changes=[Change(off, {"subject": "Off"})]))
    return item


def untold() -> Item:
    """A series with a changed occurrence that the source lists, but does not show."""
    item, moved = appointment("untold"), AGO + timedelta(weeks=1)
    later = (moved + timedelta(hours=3)).isoformat()
    change = Change(moved, {"start": later, "subject": "Untold of"})
    keep(item, Diary(rule=Rule("weekly", AGO.date(), days=["monday"], count=6), changes=[change]))
    return item


def odd() -> dict[str, Item]:
    """Appointments that the lane can't carry whole, by the name under which it says so."""
    zone = appointment("zone")
    keep(
        zone,
        Diary(
            zone="Nobody's",
            custom={"offset": 211, "summer": 271, "to_summer": [3, "sunday", 5, 120], "to_standard": [7, "sunday", 1, 90]},
        ),
    )
    meeting = {STATE: 1, RESPONSE: 1}
    return {
        "characters": appointment("chars\x01 that XML forbids"),
        "subject": appointment("s" * 300),
        "location": appointment("place", extended={PLACE: "p" * 300}),
        "body": appointment("long", body_text="b" * 3_700_000),
        "nested-attachments": appointment("nested", parts=[Part("Inside", "message/rfc822", INNER, kind="message")]),
        "attendees": appointment("asked", to=[OLGA], extended=meeting),
        "attendee-data": appointment("crowd", to=CROWD, extended=meeting),
        "organizer": appointment("theirs", to=[OLGA], author=OLGA, sender=OLGA, extended={STATE: 3, RESPONSE: 3}),
        "cancelled": appointment("Canceled: off", extended={STATE: 7, RESPONSE: 3}),
        "time-zone": zone,
        "all-day": appointment("whole", AGO, 24, extended={ALL_DAY: True}),
        "end": appointment("ended", hours=-1),
        "exceptions": strayed(),
        "exception-details": untold(),
    }


def everything() -> dict[str, Item]:
    day = appointment("day", AGO.replace(hour=0), 24, extended={ALL_DAY: True})
    return {"full": full(), "series": series(), "over": appointment("over", extended={REMINDS: True}), "day": day, **odd()}


@pytest.fixture(scope="module", params=["compose", "import"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    items = everything()
    place, moved = list(items).index("exception-details"), AGO + timedelta(weeks=1)
    hidden = f"row{place:021}#{moved:%Y%m%dT%H%M%S}"
    switches: dict[str, Any] = {"illegal_characters": True, "item_errors": {hidden: "ErrorItemCorrupt"}}
    with carried(tmp_path_factory.mktemp("rows"), request.param, items, lambda _: "calendar", **switches) as world:
        yield world


COMPOSE = pytest.mark.parametrize("world", ["compose"], indirect=True)
IMPORT = pytest.mark.parametrize("world", ["import"], indirect=True)


def author(item: Item) -> object:
    return item.author and item.author.address


def subjects(item: Item) -> object:
    return [occurrence(item, one).subject for one in diary_of(item).changes]


def times(item: Item) -> object:
    return [(one.start, one.end) for one in occasions(item)]


KEPT: dict[str, Case] = {
    "class": ("full", own("item_class")), "subject": ("full", own("subject")), "html": ("full", own("body_html")),
    "text": ("series", lambda item: (item.words or "").strip()), "start": ("full", of(START)), "end": ("full", of(END)),
    "all-day": ("day", of(ALL_DAY)), "location": ("full", of(PLACE)),
    "shown-as": ("full", of(BUSY)), "reminder": ("full", lambda item: (item.extended[REMINDS], item.extended[REMINDER])),
    "recurrence": ("series", lambda item: (diary_of(item).rule or Rule("", AGO.date())).days),
    "occurrences": ("series", times),
    "importance": ("full", own("importance")), "sensitivity": ("full", own("sensitivity")),
    "categories": ("full", lambda item: sorted(item.categories)), "submitted": ("full", own("submitted")),
    "received": ("full", own("received")), "attachment-name": ("full", parts("name")),
    "attachment-type": ("full", parts("content_type")),
    "attachment-size": ("full", lambda item: sorted(len(part.content) for part in item.parts)),
    "attachment-content": ("full", parts("content")), "attachment-inline": ("full", parts("inline")),
    "attachment-content-id": ("full", parts("content_id")),
}  # fmt: skip
DEGRADED: dict[str, Case] = {
    "characters": ("characters", own("subject")), "subject": ("subject", own("subject")), "location": ("location", of(PLACE)),
    "body": ("body", own("body_text")), "nested-attachments": ("nested-attachments", parts("kind")),
    "attendees": ("attendees", people("to")), "attendee-data": ("attendee-data", people("to")),
    "organizer": ("organizer", author), "cancelled": ("cancelled", of(STATE)),
    "time-zone": ("time-zone", lambda item: diary_of(item).zone), "all-day": ("all-day", of(START)), "end": ("end", of(END)),
    "exceptions": ("exceptions", times), "exception-details": ("exception-details", subjects),
}  # fmt: skip
LOST: dict[str, Case] = {
    "uid": ("full", lambda item: diary_of(item).uid),
    "answer": ("organizer", of(RESPONSE)),
    "reminder-over": ("over", of(REMINDS)),
    "search-key": ("full", own("search_key")),
    "created": ("full", own("created")),
}
ROWS: set[Row] = {
    *(
        ("compose", "appointment", name, fate)
        for fate, some in (("kept", KEPT), ("degraded", DEGRADED), ("lost", LOST))
        for name in some
    ),
    ("import", "appointment", "every property", "kept"),
}


@COMPOSE
@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_of_an_appointment_is_in_the_target_as_it_was(world: World, name: str) -> None:
    key, read = KEPT[name]
    ours, theirs = world.pair(key)
    assert read(ours)
    assert read(theirs) == read(ours)


@COMPOSE
@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_of_an_appointment_is_not_there_and_not_told_of_it(world: World, name: str) -> None:
    key, read = LOST[name]
    ours, theirs = world.pair(key)
    assert read(ours)
    assert read(theirs) != read(ours)
    assert name not in world.degraded


@COMPOSE
@pytest.mark.parametrize("name", DEGRADED)
def test_what_is_degraded_of_an_appointment_is_said_and_not_as_it_was(world: World, name: str) -> None:
    key, read = DEGRADED[name]
    ours, theirs = world.pair(key)
    assert read(theirs) != read(ours)
    # A crowd has attendees, too, and so has whoever was asked by somebody else.
    assert world.degraded[name] == 1 + {"attendees": 2}.get(name, 0)


@COMPOSE
def test_an_occurrence_that_is_not_told_whole_is_where_it_was_moved_to(world: World) -> None:
    ours, theirs = world.pair("exception-details")
    assert times(theirs) == times(ours)


@COMPOSE
def test_of_appointments_nothing_else_is_said_to_be_less_and_every_difference_is_explained(world: World) -> None:
    assert world.degraded.keys() == DEGRADED.keys()
    assert world.unexplained() == []


@IMPORT
@pytest.mark.parametrize("key", everything())
def test_nothing_of_an_appointment_is_less_by_the_import_lane(world: World, key: str) -> None:
    same_in_all(*world.pair(key))


@IMPORT
def test_nothing_is_said_to_be_less_by_the_import_lane(world: World) -> None:
    assert not world.degraded
    assert world.unexplained() == []
