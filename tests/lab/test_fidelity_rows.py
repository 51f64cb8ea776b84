"""Rows of the fidelity table that no other suite carries: appointments, what only the import lane takes, what mail loses.

Each is carried from server to server of the lab and looked for in the target's own store, so that a row fails when it promises
too much as well as when it promises too little. Mail's kept rows are in test_deep.py, its degraded ones in test_fidelity.py,
contacts and tasks in test_contacts.py and test_tasks.py, other kinds as messages in test_others_as.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

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
)
from connectors.lab.people import an_empty
from connectors.lab.recurring import Rule
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Mailbox, Part, Person
from migrator import app, cli, config, fidelity

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
    }


ELSEWHERE = {"characters", "end", "exceptions", "exception-details"}
"""Carried by tests/unit/test_graph_events.py and test_ews_source.py: no store of the lab can hold what leads to them."""


@dataclass(slots=True)
class World:
    """Both mailboxes after a pass by the compose lane, and its figures."""

    source: Mailbox
    target: Mailbox
    figures: Counter[str] = field(default_factory=Counter)

    def pair(self, subject: str) -> tuple[Item, Item]:
        ours, theirs = (
            next(one for one in box.items.values() if one.subject[:200] == subject[:200]) for box in (self.source, self.target)
        )
        return ours, theirs


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    calendar, inbox = mailbox.by_role("calendar"), mailbox.by_role("inbox")
    assert calendar is not None
    assert inbox is not None
    mail = Item(subject="mail", body_text="x", message_id="<m@x.example>", submitted=AGO, received=AGO, created=AGO, modified=AGO)
    day = appointment("day", AGO.replace(hour=0), 24, extended={ALL_DAY: True})
    for number, item in enumerate([full(), series(), *odd().values(), appointment("over", extended={REMINDS: True}), day, mail]):
        item.id, item.search_key = f"row{number:021}", bytes([number]) * 16
        item.folder_id = inbox.id if item is mail else calendar.id
        mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("rows"), source=estate, mailboxes=1)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "compose"]) == 0
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            [run] = ledger.passes()
        [target] = lab.target.mailboxes.values()
        yield World(mailbox, target, Counter(run.figures))


def own(name: str) -> Callable[[Item], object]:
    return lambda item: getattr(item, name)


def of(key: str) -> Callable[[Item], object]:
    return lambda item: item.extended.get(key)


def parts(*names: str) -> Callable[[Item], object]:
    return lambda item: sorted(str([getattr(part, name) for name in names]) for part in item.parts)


KEPT: dict[str, tuple[str, Callable[[Item], object]]] = {
    "class": ("full", own("item_class")), "subject": ("full", own("subject")), "html": ("full", own("body_html")),
    "text": ("series", lambda item: (item.words or "").strip()), "start": ("full", of(START)), "end": ("full", of(END)),
    "all-day": ("day", of(ALL_DAY)), "location": ("full", of(PLACE)),
    "shown-as": ("full", of(BUSY)), "reminder": ("full", lambda item: (item.extended[REMINDS], item.extended[REMINDER])),
    "recurrence": ("series", lambda item: (diary_of(item).rule or Rule("", AGO.date())).days),
    "occurrences": ("series", lambda item: [(one.start, one.end) for one in occasions(item)]),
    "importance": ("full", own("importance")), "sensitivity": ("full", own("sensitivity")),
    "categories": ("full", lambda item: sorted(item.categories)), "submitted": ("full", own("submitted")),
    "received": ("full", own("received")), "attachment-name": ("full", parts("name")),
    "attachment-type": ("full", parts("content_type")),
    "attachment-size": ("full", lambda item: sorted(len(part.content) for part in item.parts)),
    "attachment-content": ("full", parts("content")), "attachment-inline": ("full", parts("inline")),
    "attachment-content-id": ("full", parts("content_id")),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_of_an_appointment_is_in_the_target_as_it_was(world: World, name: str) -> None:
    subject, read = KEPT[name]
    ours, theirs = world.pair(subject)
    assert read(ours)
    assert read(theirs) == read(ours)


LOST: dict[str, tuple[str, Callable[[Item], object]]] = {
    "uid": ("full", lambda item: diary_of(item).uid),
    "answer": ("theirs", of(RESPONSE)),
    "reminder-over": ("over", of(REMINDS)),
    "search-key": ("full", own("search_key")),
    "created": ("full", own("created")),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_of_an_appointment_is_not_there(world: World, name: str) -> None:
    subject, read = LOST[name]
    ours, theirs = world.pair(subject)
    assert read(ours)
    assert read(theirs) != read(ours)


@pytest.mark.parametrize("name", odd())
def test_what_is_degraded_of_an_appointment_is_said(world: World, name: str) -> None:
    # A crowd has attendees, too, and so has whoever was asked by somebody else.
    more = {"attendees": 2, "organizer": 0}.get(name, 0)
    assert world.figures[f"degraded.{name}"] == 1 + more


def test_these_are_the_rows_of_appointments() -> None:
    assert fidelity.what("appointment", "kept") == KEPT.keys()
    assert fidelity.what("appointment", "lost") == LOST.keys()
    assert fidelity.what("appointment", "degraded") == odd().keys() | ELSEWHERE


@pytest.mark.parametrize("name", ["search_key", "created", "mime"])
def test_what_is_lost_of_mail_is_not_there(world: World, name: str) -> None:
    assert name.replace("_", "-") in fidelity.what("mail", "lost")
    ours, theirs = world.pair("mail")
    assert getattr(theirs, name) != getattr(ours, name) or (name == "mime" and theirs.mime is None)


KINDS = {
    "mail": ("IPM.Note", "IPM.Post", "REPORT", "IPM.Schedule.Meeting"), "appointment": ("IPM.Appointment",),
    "contact": ("IPM.Contact",), "task": ("IPM.Task",), "list": ("IPM.DistList",), "note": ("IPM.StickyNote",),
    "journal": ("IPM.Activity",), "any other class": ("IPM.Vendor", "IPM.Microsoft"),
}  # fmt: skip
_OF_THE_PLACE = {"id", "change", "folder_id", "created", "modified", "search_key", "parts"}


def test_every_property_of_every_kind_is_kept_by_the_import_lane(tmp_path: Path) -> None:
    assert {line.kind for line in fidelity.TABLE if line.lane == "import"} == {*KINDS, "every kind"}
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0, everything=True)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "import"]) == 0
        [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    copies = {(item.item_class, item.subject): item for item in target.items.values()}
    met = set()
    for item in source.items.values():
        copy = copies[item.item_class, item.subject]
        met.add(next(kind for kind, classes in KINDS.items() if item.item_class.startswith(classes)))
        for name in set(Item.__slots__) - _OF_THE_PLACE:
            assert getattr(copy, name) == getattr(item, name), (item.item_class, name)
        assert parts("name", "content_type", "content", "inline", "content_id", "kind", "photo")(copy) == parts(
            "name", "content_type", "content", "inline", "content_id", "kind", "photo"
        )(item)
    assert met == KINDS.keys()


def test_what_only_the_import_lane_takes_is_refused_by_name_in_the_other(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0, everything=True)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "compose"]) == 2
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            reasons = {one.reason for one in ledger.refusals()}
        [target] = lab.target.mailboxes.values()
    assert reasons == {"list-needs-import", "note-needs-import", "journal-needs-import", "no-lane", "meeting-without-attendees"}
    for kind in ("list", "note", "journal", "any other class"):
        assert "every property" in fidelity.what(kind, "lost")
        assert not [item for item in target.items.values() if item.item_class.startswith(KINDS[kind])]
