"""The rest of what a mailbox can hold: one of everything beside the mail that ``people`` makes up.

Series of each pattern with exceptions and deletions, meetings of both sides, contacts with photo, lists, tasks that repeat,
notes, journal entries, classes that nobody knows, folders that are deep, foreign or oddly named.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from . import oddities
from .appointments import ALL_DAY, BUSY, END, PLACE, REMINDER, REMINDS, RESPONSE, START, STATE, Change, Diary, keep
from .exchange_tasks import RECURRENCE
from .people import make_path
from .recurring import DAYS, Rule
from .tongues import STRANGERS
from .truth import Estate, Item, Mailbox, Part, Person, seeded_bytes

_TASK, _COMMON = "{00062003-0000-0000-c000-000000000046}", "{00062008-0000-0000-c000-000000000046}"
_NOTE, _LOG = "{0006200e-0000-0000-c000-000000000046}", "{0006200a-0000-0000-c000-000000000046}"
_NAMES = (
    "2019/2020", "back\\slash", "Ends with a dot.", "50 % & <more>", "colon: star* question?", "تقارير", "דוחות", "報告 🎉",
    "Ünïcödé " * 20, "n" * 250, "con", "a'quote\"d",
)  # fmt: skip
_DEEP, _DEEPEST = "Deep", "the deepest"
_BASE = datetime(2025, 9, 1, 9, tzinfo=UTC)  # a Monday
_HOUR = timedelta(hours=1)


def furnish_everything(estate: Estate, seed: int, deep: int) -> None:
    """Put one of everything into each mailbox; the same estate and seed make the same.

    The first mailbox has folders within folders, so many of them, with an item in the last one.
    """
    for number, mailbox in enumerate(estate.mailboxes.values()):
        _folders(mailbox, 0 if number else deep)
        dice = random.Random(f"everything {seed} {mailbox.address}")
        for turn, (place, item) in enumerate(_all(mailbox, dice)):
            mark = (mailbox.guid, "everything", seed, turn)
            item.id, item.search_key = seeded_bytes(*mark, length=12).hex(), seeded_bytes("key", *mark)
            item.folder_id = place
            mailbox.add(item)


def _folders(mailbox: Mailbox, deep: int) -> None:
    for name in _NAMES:
        make_path(mailbox, ["Odd names", name])
    if deep:
        make_path(mailbox, [_DEEP, *(f"level {level}" for level in range(deep - 2)), _DEEPEST])
    make_path(mailbox, ["Journal"], "IPF.Journal")
    for role, kind, name in (
        ("calendar", "IPF.Appointment", "Holidays"), ("contacts", "IPF.Contact", "Suppliers"), ("tasks", "IPF.Task", "House"),
    ):  # fmt: skip
        box = mailbox.by_role(role)
        if box is not None:
            make_path(mailbox, [box.name, name], kind)


def _all(mailbox: Mailbox, dice: random.Random) -> Iterator[tuple[str, Item]]:
    """Everything, with the id of the folder where it lies."""
    roles = {box.role: box.id for box in mailbox.boxes.values() if box.role}
    me, other = Person(mailbox.display_name, mailbox.address), Person(*STRANGERS[0])
    inner = {(box.kind, box.name): box.id for box in mailbox.boxes.values()}
    for item in _messages(me, other):
        yield roles["inbox"], item
    for box in list(mailbox.walk()):
        if box.name in _NAMES or box.name == _DEEPEST:
            yield box.id, _item("IPM.Note", f"Within {box.name}"[:300], author=other, to=[me], received=_BASE)
    for item in _meetings(me, other):
        yield roles["calendar"], item
    yield inner["IPF.Appointment", "Holidays"], _appointment("Holiday", _BASE.replace(hour=0), 24, more={ALL_DAY: True})
    for item in _contacts(dice):
        yield roles["contacts"], item
    yield inner["IPF.Contact", "Suppliers"], _contact("Paper & Co", {"String 0x3A16": "Paper & Co"})
    for item in _tasks():
        yield roles["tasks"], item
    yield inner["IPF.Task", "House"], _task("Paint the fence")
    yield (
        roles["notes"],
        _item("IPM.StickyNote", "Milk", body_text="Milk\r\nBread", extended={f"Integer {_NOTE} Id 0x8B00": 3}, is_read=True),
    )
    yield inner["IPF.Journal", "Journal"], _journal()
    for item_class in ("IPM.Vendor.Ticket", "IPM.Microsoft.Unheard.Of", "IPM.Note.Custom.Form"):
        extended: dict[str, object] = {"String {00020329-0000-0000-c000-000000000046} Name Ticket": "T-42"}
        yield roles["inbox"], _item(item_class, f"A form of its own: {item_class}", body_text="Fields", extended=extended)


def _item(item_class: str, subject: str, **fields: Any) -> Item:
    told: dict[str, Any] = {
        "created": _BASE, "modified": _BASE, "submitted": _BASE, "body_text": f"About: {subject}", "message_id": None, **fields,
    }  # fmt: skip
    return Item(item_class=item_class, subject=subject, **told)


# -- messages


def _messages(me: Person, other: Person) -> Iterator[Item]:
    common: dict[str, Any] = {"author": other, "sender": other, "to": [me], "received": _BASE}
    yield _item("IPM.Post", "A post in a folder", author=me, sender=me, received=_BASE)
    times = {f"SystemTime {oddities.APPOINTMENT} Id 0x820D": _BASE, f"SystemTime {oddities.APPOINTMENT} Id 0x820E": _BASE + _HOUR}
    for last in ("Request", "Resp.Pos", "Resp.Neg", "Resp.Tent", "Canceled"):
        subject = f"Meeting {last.lower()}"
        yield _item(
            f"IPM.Schedule.Meeting.{last}", subject, message_id=f"<{last.lower()}@fjord.example>", extended=dict(times), **common
        )
    yield _item("REPORT.IPM.Note.IPNRN", "Read: plan", message_id="<read@fjord.example>", **common)
    yield _item("IPM.Note", "A subject that does not end; " * 20, message_id="<long@fjord.example>", **common)
    yield _item("IPM.Note", "Half a sign \u200f and arabic تقرير", message_id="<arabic@fjord.example>", **common)
    yield _item("IPM.Note.SMIME.MultipartSigned", "Signed", message_id="<signed@fjord.example>", mime=_SIGNED, **common)
    winmail = Part("winmail.dat", "application/ms-tnef", b"\x78\x9f\x3e\x22" + bytes(64))
    yield _item("IPM.Note", "By another program", message_id="<tnef@fjord.example>", parts=[winmail], **common)


_SIGNED = (
    b"From: soren@fjord.example\r\nTo: me@contoso.test\r\nSubject: Signed\r\nMessage-ID: <signed@fjord.example>\r\n"
    b"Date: Mon, 01 Sep 2025 09:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSigned words.\r\n--b\r\n"
    b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=smime.p7s\r\n\r\nMIIBfake\r\n--b--\r\n"
)

# -- the calendar


def _appointment(
    subject: str,
    start: datetime,
    hours: float = 1,
    *,
    diary: Diary | None = None,
    more: Mapping[str, object] = MappingProxyType({}),
    **fields: Any,
) -> Item:
    extended = {START: start, END: start + timedelta(hours=hours), BUSY: 2, PLACE: "Room 3", **more}
    item = _item("IPM.Appointment", subject, extended=extended, is_read=True, **fields)
    if diary is not None:
        keep(item, diary)
    return item


def _meetings(me: Person, other: Person) -> Iterator[Item]:
    first = _BASE.date()
    ends: dict[str, dict[str, Any]] = {"count": {"count": 9}, "date": {"end": first + timedelta(days=400)}, "never": {}}
    rules = {
        "daily": Rule("daily", first, 2), "weekly": Rule("weekly", first, days=[DAYS[0], DAYS[2]]),
        "monthly": Rule("absoluteMonthly", first, day=1), "by weekday": Rule("relativeMonthly", first, days=[DAYS[0]]),
        "yearly": Rule("absoluteYearly", first, day=1, month=9),
        "by weekday of a month": Rule("relativeYearly", first, days=[DAYS[0]], month=9),
    }  # fmt: skip
    for number, (name, rule) in enumerate(rules.items()):
        ending, bounds = list(ends.items())[number % 3]
        for key, value in bounds.items():
            setattr(rule, key, value)
        yield _appointment(f"Series, {name}, to a {ending}", _BASE, diary=Diary(rule=rule))
    rule = Rule("weekly", first, days=[DAYS[0]], count=10)
    weeks = [_BASE + timedelta(weeks=number) for number in range(10)]
    moved = Change(weeks[2], {"start": (weeks[2] + 3 * _HOUR).isoformat(), "subject": "Round, moved", "place": "Room 9"})
    longer = Change(weeks[4], {"start": weeks[4].isoformat(), "end": (weeks[4] + 2 * _HOUR).isoformat()})
    yield _appointment("Round", _BASE, diary=Diary(rule=rule, changes=[moved, longer], deleted=[weeks[6], weeks[7]]))
    yield _appointment(
        "In Berlin", _BASE, diary=Diary(zone="Europe/Berlin", rule=Rule("weekly", first, days=[DAYS[0]], count=40))
    )
    custom = {"offset": 210, "summer": 270, "to_summer": [3, None, 21, 0], "to_standard": [9, None, 21, 0]}
    yield _appointment("By a clock of one's own", _BASE, diary=Diary(zone="Made up", custom=custom))
    yield _appointment("All day", _BASE.replace(hour=0), 24, more={ALL_DAY: True})
    yield _appointment("Three days", _BASE.replace(hour=0), 72, more={ALL_DAY: True, BUSY: 3})
    yield _appointment("Private", _BASE, sensitivity=2, categories=["Red category"], more={REMINDS: True, REMINDER: 15})
    yield _appointment("With a plan", _BASE, parts=[Part("plan.pdf", "application/pdf", b"%PDF-1.4 plan")])
    guests = [Person(f"Guest {number}", f"guest{number}@outside.example") for number in range(4)]
    for name, organiser, when in (
        ("mine", me, _BASE),
        ("theirs", other, _BASE),
        ("mine, to come", me, datetime(2096, 9, 3, 9, tzinfo=UTC)),
    ):
        mine = organiser is me
        state = {STATE: 1 if mine else 3, RESPONSE: 1 if mine else 3}
        people: dict[str, Any] = {"author": organiser, "sender": organiser, "to": guests, "cc": [other]}
        yield _appointment(f"Meeting, {name}", when, diary=Diary(answers={guests[0].address: "Accept"}), more=state, **people)
    cancelled = {STATE: 7, RESPONSE: 5}
    yield _appointment("Canceled: Meeting", _BASE, author=other, sender=other, to=guests[:1], more=cancelled)


# -- contacts, tasks, journal


def _contact(name: str, extended: dict[str, object], **fields: Any) -> Item:
    return _item("IPM.Contact", name, body_text=None, is_read=True, extended={"String 0x3001": name, **extended}, **fields)


def _contacts(dice: random.Random) -> Iterator[Item]:
    address = oddities.ADDRESS
    full: dict[str, object] = {
        "String 0x3A06": "Zoë", "String 0x3A11": "O'Hara", "String 0x3A16": "Bank & Co", "String 0x3A17": "Clerk",
        "String 0x3A08": "+49 221 555 0100", "String 0x3A1C": "+49 170 555 0100",
        "SystemTime 0x3A42": datetime(1970, 2, 3, 11, 59, tzinfo=UTC),
        f"String {address} Id 0x8083": "zoe@bank.example", f"String {address} Id 0x8082": "SMTP",
        f"String {address} Id 0x8045": "1 Road", f"String {address} Id 0x8046": "Köln", f"String {address} Id 0x804F": "field 1",
    }  # fmt: skip
    photo = Part("ContactPicture.jpg", "image/jpeg", b"\xff\xd8\xff\xe0" + dice.randbytes(2000), photo=True)
    yield _contact("Zoë O'Hara", full, categories=["Red category"], parts=[photo])
    yield _contact("Only a fax", {"String 0x3A24": "+49 221 555 0199"})
    yield _contact("With a file", {}, parts=[Part("card.txt", "text/plain", b"card")])
    yield _contact("To call back", {"Integer 0x1090": 2})
    members = [f"guest{number}@outside.example".encode() for number in range(3)]
    yield _item("IPM.DistList", "Our guests", is_read=True, extended={f"BinaryArray {address} Id 0x8055": members})


def _task(subject: str, more: Mapping[str, object] = MappingProxyType({}), **fields: Any) -> Item:
    extended: dict[str, object] = {f"Integer {_TASK} Id 0x8101": 0, f"Boolean {_TASK} Id 0x811C": False, **more}
    return _item("IPM.Task", subject, is_read=True, extended=extended, **fields)


def _tasks() -> Iterator[Item]:
    due, day = f"SystemTime {_TASK} Id 0x8105", datetime(2026, 9, 1, tzinfo=UTC)
    done = {f"Integer {_TASK} Id 0x8101": 2, f"Boolean {_TASK} Id 0x811C": True, f"Double {_TASK} Id 0x8102": 1.0}
    yield _task("Done", {**done, f"SystemTime {_TASK} Id 0x810F": day})
    yield _task("Half done", {f"Integer {_TASK} Id 0x8101": 1, f"Double {_TASK} Id 0x8102": 0.5, due: day}, sensitivity=2)
    weekly = (
        '{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["tuesday"],"firstDayOfWeek":"monday"},'
        f'"range":{{"type":"noEnd","startDate":"{date(2026, 9, 1)}"}}}}'
    )
    yield _task("Every week", {RECURRENCE: weekly, f"Boolean {_TASK} Id 0x8126": True, due: day})
    yield _task("With a file", parts=[Part("list.txt", "text/plain", b"one, two")])
    yield _task("Far away", {f"String {_COMMON} Id 0x8534": "100 km"}, importance=2)


def _journal() -> Item:
    extended: dict[str, object] = {
        f"String {_LOG} Id 0x8700": "Phone call", f"SystemTime {_LOG} Id 0x8706": _BASE,
        f"SystemTime {_LOG} Id 0x8708": _BASE + _HOUR,
        f"Integer {_LOG} Id 0x8707": 60,
    }  # fmt: skip
    return _item("IPM.Activity", "Talked to the bank", body_text="They call back.", is_read=True, extended=extended)
