"""Appointments for the compose lane: what is asked of Exchange for them, and the ``Event`` that the answers describe. Pure.

A calendar item is asked for by its own properties, not as MIME, which knows neither changed occurrences nor answers. What does
not come with it, changed occurrences and the content of attachments, is asked for afterwards by ``source``, for a whole lot at
once. Shapes are those of the vendor's schema (types.xsd: CalendarItemType).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from lxml import etree

from connectors.base import Address, Attachment
from connectors.errors import Unavailable
from connectors.event import WEEK, Attendee, Event, Index, Occurrence, PatternKind, Recurrence, Turn, Weekday, Zone
from connectors.ews.answer import T, left_out
from connectors.ews.asking import get_items
from connectors.ews.marks import importance_of, sensitivity_of
from connectors.ews.soap import Prop, extended, moment, number, truth

_FIELDS = (
    "item:ItemClass", "item:Subject", "item:Sensitivity", "item:Body", "item:Attachments", "item:Categories", "item:Importance",
    "item:ReminderIsSet", "item:ReminderMinutesBeforeStart", "calendar:UID", "calendar:Start", "calendar:End",
    "calendar:OriginalStart", "calendar:IsAllDayEvent", "calendar:LegacyFreeBusyStatus", "calendar:Location",
    "calendar:IsMeeting", "calendar:IsCancelled", "calendar:MyResponseType", "calendar:Organizer", "calendar:RequiredAttendees",
    "calendar:OptionalAttendees", "calendar:Resources", "calendar:Recurrence", "calendar:ModifiedOccurrences",
    "calendar:DeletedOccurrences", "calendar:StartTimeZone", "calendar:EndTimeZone",
)  # fmt: skip
_SHAPE = (
    "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:BodyType>Best</t:BodyType><t:AdditionalProperties>"
    + "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in _FIELDS)
    + "".join(
        f'<t:ExtendedFieldURI PropertyTag="{one.value}" PropertyType="SystemTime"/>' for one in (Prop.SUBMITTED, Prop.RECEIVED)
    )
    + "</t:AdditionalProperties></m:ItemShape>"
)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_BUSY: dict[str, Literal["free", "tentative", "busy", "oof", "workingElsewhere"]] = {
    "Free": "free", "Tentative": "tentative", "Busy": "busy", "OOF": "oof", "WorkingElsewhere": "workingElsewhere",
}  # fmt: skip
_RESPONSE: dict[str, Literal["none", "organizer", "tentative", "accepted", "declined"]] = {
    "Organizer": "organizer", "Tentative": "tentative", "Accept": "accepted", "Decline": "declined",
}  # fmt: skip
_KINDS: dict[str, PatternKind] = {
    "DailyRecurrence": "daily", "WeeklyRecurrence": "weekly", "AbsoluteMonthlyRecurrence": "absoluteMonthly",
    "RelativeMonthlyRecurrence": "relativeMonthly", "AbsoluteYearlyRecurrence": "absoluteYearly",
    "RelativeYearlyRecurrence": "relativeYearly",
}  # fmt: skip
_INDEX: dict[str, Index] = {"First": "first", "Second": "second", "Third": "third", "Fourth": "fourth", "Last": "last"}
_GROUPS: dict[str, tuple[Weekday, ...]] = {"day": WEEK, "weekday": WEEK[:5], "weekendday": WEEK[5:]}
_DURATION = re.compile(r"(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$")
_NOT_CONTENT = frozenset({f"{T}ItemId", f"{T}AttachmentId", f"{T}LastModifiedTime", f"{T}Size"})


def is_event(item_class: str) -> bool:
    """Whether an item of this class is an appointment."""
    folded = item_class.casefold()
    return folded == "ipm.appointment" or folded.startswith("ipm.appointment.")


def get_events(ids: Sequence[str]) -> str:
    """GetItem with everything that the compose lane carries of appointments and of single occurrences."""
    return get_items(_SHAPE, ids)


@dataclass(frozen=True, slots=True)
class Listed:
    """An attachment as its item lists it; its content is still to come. ``id`` dies with the item's version."""

    id: str
    name: str
    content_type: str
    size: int
    content_id: str | None
    inline: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed occurrence as its series lists it."""

    id: str
    original: datetime
    start: datetime
    end: datetime


@dataclass(slots=True)
class Draft:
    """An event of which parts are still to come: changed occurrences, and the contents of its attachments and of theirs."""

    item_class: str
    event: Event
    digest: Any
    listed: tuple[Listed, ...] = ()
    changed: tuple[Changed, ...] = ()

    def take(self, changed: Changed, draft: Draft | None, attachments: Sequence[Attachment]) -> None:
        """Take in a changed occurrence; None where the source would not show it, and only its time is known."""
        if draft is None:
            bare = replace(
                self.event, start=changed.start, end=changed.end, recurrence=None, exceptions=(), deleted=(), odd=(),
            )  # fmt: skip
            found = Occurrence(changed.original, bare, whole=False)
            odd = tuple(dict.fromkeys((*self.event.odd, "exception-details")))
        else:
            own = replace(draft.event, attachments=tuple(attachments), exceptions=(), deleted=(), recurrence=None)
            found = Occurrence(changed.original, own)
            odd = tuple(dict.fromkeys((*self.event.odd, *own.odd)))
            self.digest.update(draft.digest.digest())
        self.event = replace(self.event, exceptions=(*self.event.exceptions, found), odd=odd)

    def attach(self, attachments: Sequence[Attachment]) -> None:
        """Take in the attachments with their contents."""
        self.event = replace(self.event, attachments=tuple(attachments))
        for one in attachments:
            self.digest.update(one.content)


def draft_of(element: Any, owner: str) -> Draft:
    """What a calendar item says. ``owner`` is the mailbox's address. Raises Unavailable for one that has no time."""
    digest = hashlib.blake2b(digest_size=8)
    for text in _content(element):
        digest.update(text.encode("utf-8", "surrogatepass"))
    return Draft(
        item_class=element.findtext(f"{T}ItemClass") or "IPM.Appointment",
        event=_event(element, owner),
        digest=digest,
        listed=tuple(_listed(element)),
        changed=tuple(_changed(element)),
    )


def _content(element: Any) -> Iterator[str]:
    for one in element.iterchildren("*"):
        if one.tag not in _NOT_CONTENT:
            yield f"{one.tag}={one.text or ''}{[value for name, value in one.items() if name != 'ChangeKey']}"
            yield from _content(one)


def _event(element: Any, owner: str) -> Event:
    start, end = moment(element.findtext(f"{T}Start")), moment(element.findtext(f"{T}End"))
    if start is None:
        raise Unavailable("The source sent an appointment without its time.", code="no content")
    odd: list[str] = []
    told = extended(element)
    if end is None or end < start:
        end, odd = start, ["end"]
    if left_out(element):
        odd.append("characters")
    body = element.find(f"{T}Body")
    people = [
        Attendee(_address(one.find(f"{T}Mailbox")), role, _RESPONSE.get(one.findtext(f"{T}ResponseType") or "", "none"))
        for name, role in _ROLES
        for one in element.iterfind(f"{T}{name}/{T}Attendee")
    ]
    organizer = element.find(f"{T}Organizer/{T}Mailbox")
    caller = None if organizer is None else _address(organizer)
    minutes = number(element.findtext(f"{T}ReminderMinutesBeforeStart"))
    recurrence = _recurrence(element.find(f"{T}Recurrence"), odd)
    gone = (moment(one.text) for one in element.iterfind(f"{T}DeletedOccurrences/{T}DeletedOccurrence/{T}Start"))
    return Event(
        subject=element.findtext(f"{T}Subject") or "",
        body="" if body is None else body.text or "",
        body_kind="html" if body is not None and body.get("BodyType") == "HTML" else "text",
        location=element.findtext(f"{T}Location") or "",
        start=start,
        end=end,
        zone=_zone(element.find(f"{T}StartTimeZone")),
        end_zone=_zone(element.find(f"{T}EndTimeZone")),
        all_day=truth(element.findtext(f"{T}IsAllDayEvent")),
        recurrence=recurrence,
        deleted=tuple(one for one in gone if one is not None),
        cancelled=truth(element.findtext(f"{T}IsCancelled")),
        mine=_is_mine(element, caller, owner),
        organizer=caller,
        attendees=tuple(people),
        reminder=(minutes or 0) if truth(element.findtext(f"{T}ReminderIsSet")) else None,
        show_as=_BUSY.get(element.findtext(f"{T}LegacyFreeBusyStatus") or "", "busy"),
        importance=importance_of(element),
        sensitivity=sensitivity_of(element),
        categories=tuple(one.text or "" for one in element.iterfind(f"{T}Categories/{T}String")),
        uid=element.findtext(f"{T}UID") or "",
        submitted=moment(told.get(Prop.SUBMITTED)),
        received=moment(told.get(Prop.RECEIVED)),
        odd=tuple(odd),
    )


_ROLES: tuple[tuple[str, Literal["required", "optional", "resource"]], ...] = (
    ("RequiredAttendees", "required"),
    ("OptionalAttendees", "optional"),
    ("Resources", "resource"),
)


def _is_mine(element: Any, caller: Address | None, owner: str) -> bool:
    """Whether the owner called it: the server says so, or names the owner; in doubt, where it names nobody, yes."""
    response = element.findtext(f"{T}MyResponseType") or "Unknown"
    if response != "Unknown":
        return response == "Organizer"
    return caller is None or caller.address.casefold() == owner.casefold() or not caller.address


def _address(mailbox: Any) -> Address:
    if mailbox is None:
        return Address()
    return Address(mailbox.findtext(f"{T}Name") or "", mailbox.findtext(f"{T}EmailAddress") or "")


def _listed(element: Any) -> Iterator[Listed]:
    for one in element.iterfind(f"{T}Attachments/*"):
        own = one.find(f"{T}AttachmentId")
        if own is None or etree.QName(one).localname not in ("FileAttachment", "ItemAttachment"):
            continue
        nested = etree.QName(one).localname == "ItemAttachment"
        yield Listed(
            id=own.get("Id") or "",
            name=one.findtext(f"{T}Name") or "",
            content_type="message/rfc822" if nested else one.findtext(f"{T}ContentType") or "",
            size=number(one.findtext(f"{T}Size")) or 0,
            content_id=one.findtext(f"{T}ContentId") or None,
            inline=truth(one.findtext(f"{T}IsInline")),
        )


def attachment_of(listed: Listed, held: Any) -> Attachment | None:
    """A listed attachment with the content of its answer; None if the answer has none."""
    content = None if held is None else held.findtext(f"{T}Content")
    if content is None and held is not None:
        content = held.findtext(f"*/{T}MimeContent")
    if content is None:
        return None
    coded = content.encode().translate(None, b" \t\r\n")
    padding = 2 if coded.endswith(b"==") else 1 if coded.endswith(b"=") else 0
    size = len(coded) // 4 * 3 - padding
    return Attachment(listed.name, listed.content_type, coded, size, listed.content_id, listed.inline)


def _changed(element: Any) -> Iterator[Changed]:
    for one in element.iterfind(f"{T}ModifiedOccurrences/{T}Occurrence"):
        own = one.find(f"{T}ItemId")
        original, start, end = (moment(one.findtext(f"{T}{name}")) for name in ("OriginalStart", "Start", "End"))
        if own is not None and original is not None and start is not None:
            yield Changed(own.get("Id") or "", original, start, end or start)


# -- series and zones


def _recurrence(element: Any, odd: list[str]) -> Recurrence | None:
    if element is None:
        return None
    pattern, span = None, None
    for one in element.iterchildren("*"):
        name = etree.QName(one).localname
        if name in _KINDS:
            pattern = one
        elif name.endswith("Recurrence"):
            span = one
    start = None if span is None else _day(span.findtext(f"{T}StartDate"))
    if pattern is None or span is None or start is None:
        odd.append("recurrence")
        return None
    month = pattern.findtext(f"{T}Month")
    return Recurrence(
        kind=_KINDS[etree.QName(pattern).localname],
        start=start,
        interval=number(pattern.findtext(f"{T}Interval")) or 1,
        days=_days(pattern.findtext(f"{T}DaysOfWeek")),
        first_day=_weekday(pattern.findtext(f"{T}FirstDayOfWeek")) or "sunday",
        day=number(pattern.findtext(f"{T}DayOfMonth")) or 1,
        month=_MONTHS.index(month) + 1 if month in _MONTHS else 1,
        index=_INDEX.get(pattern.findtext(f"{T}DayOfWeekIndex") or "", "first"),
        end=_day(span.findtext(f"{T}EndDate")),
        count=number(span.findtext(f"{T}NumberOfOccurrences")),
    )


def _day(text: str | None) -> date | None:
    """A date of the wire, which may bear a zone behind it."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _weekday(text: str | None) -> Weekday | None:
    folded = (text or "").strip().casefold()
    return next((day for day in WEEK if day == folded), None)


def _days(text: str | None) -> tuple[Weekday, ...]:
    found: list[Weekday] = []
    for word in (text or "").split():
        found += _GROUPS.get(word.casefold()) or [day for day in WEEK if day == word.casefold()]
    return tuple(dict.fromkeys(found))


def _zone(element: Any) -> Zone | None:
    """A zone as the server defines it; its rules are those that hold last, because older years have others."""
    if element is None:
        return None
    name = element.get("Id") or element.get("Name") or ""
    bias = {one.get("Id"): _minutes(one.get("Bias")) for one in element.iterfind(f"{T}Periods/{T}Period")}
    if not bias:
        return Zone(name) if name else None
    last = [to.text for to in element.iterfind(f"{T}Transitions/*/{T}To")][-1:]
    group = next((one for one in element.iterfind(f"{T}TransitionsGroups/{T}TransitionsGroup") if one.get("Id") in last), None)
    turns: list[tuple[str | None, Turn | None]] = []
    for one in [] if group is None else group.iterchildren("*"):
        turns.append((one.findtext(f"{T}To"), _turn(one)))
    if len(turns) == 2 and all(turn is not None for _, turn in turns):
        (first, to_first), (second, to_second) = turns
        one, other = -(bias.get(first) or 0), -(bias.get(second) or 0)
        if one > other:
            return Zone(name, other, one, to_first, to_second)
        return Zone(name, one, other, to_second, to_first) if other > one else Zone(name, one)
    only = (turns[0][0] if turns else None) or (last[0] if last else None)
    told = bias.get(only, next(iter(bias.values())))
    return Zone(name, -(told or 0))


def _turn(element: Any) -> Turn | None:
    month, minute = number(element.findtext(f"{T}Month")), _minutes(element.findtext(f"{T}TimeOffset"))
    if month is None:
        return None
    day = number(element.findtext(f"{T}Day"))
    if day is not None:
        return Turn(month, None, day, minute)
    weekday, count = _weekday(element.findtext(f"{T}DayOfWeek")), number(element.findtext(f"{T}Occurrence"))
    return None if weekday is None or count is None else Turn(month, weekday, 5 if count < 0 else count, minute)


def _minutes(text: str | None) -> int:
    """Minutes of a duration such as ``-PT1H30M``."""
    found = _DURATION.match(text or "")
    if found is None:
        return 0
    days, hours, minutes = (int(found[place] or 0) for place in (2, 3, 4))
    total = timedelta(days=days, hours=hours, minutes=minutes).total_seconds() // 60
    return int(-total if found[1] else total)
