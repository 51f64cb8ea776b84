"""An appointment of ours as the JSON that Graph takes; pure.

Never with attendees: those are invited at once, and no switch prevents it [learn.microsoft.com/graph/api/user-post-events]. They
are kept as text on top of the body, and as data in an extended property, from which they can be restored. What is inherent to
this way is named: the organiser becomes the owner of the mailbox, and a cancelled meeting is one that says so in its subject.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import orjson
import pybase64

from connectors.base import Address, Attachment, Refusal
from connectors.event import WEEK, Event, Occurrence, Recurrence
from connectors.graph import extended as x
from connectors.graph.convert import ATTACHMENT_COUNT, BODY_LIMIT, SUBJECT_LIMIT, UPLOAD_LIMIT, raw_size, safe_text
from connectors.graph.zoning import named

PEOPLE_FIRST, PEOPLE_LAST = "[People of this meeting, kept as text]", "[End of the people of this meeting]"
"""The lines between which a meeting's people stand in its body; whoever compares bodies leaves out what is between them."""

PROPERTY_LIMIT = 30_000
"""Characters of the property that holds attendees; the server's own limit for one of this kind is 32 KB."""

_BODY_TAG = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_DAY = timedelta(days=1)
_LONGEST = {"daily": 1, "weekly": 7, "absoluteMonthly": 31, "relativeMonthly": 31, "absoluteYearly": 366, "relativeYearly": 366}
_EXCHANGE_CLASS = "ipm.appointment"


@dataclass(frozen=True, slots=True)
class Composed:
    """A creating request without stamp, and what follows it: attachments, changes of occurrences, and occurrences to take out.

    ``clock`` is that by which the event was written, ``degraded`` the names of what can't be carried whole.
    """

    fields: dict[str, Any]
    attachments: tuple[Attachment, ...]
    exceptions: tuple[Change, ...]
    deleted: tuple[datetime, ...]
    clock: tzinfo
    degraded: tuple[str, ...]

    @property
    def follows(self) -> bool:
        """Whether anything has to follow before the event is whole."""
        return bool(self.attachments or self.exceptions or self.deleted)


@dataclass(frozen=True, slots=True)
class Change:
    """What one occurrence is made into. ``attachments`` is None where they are those of the series."""

    original: datetime
    start: datetime
    fields: dict[str, Any]
    attachments: tuple[Attachment, ...] | None


def compose(event: Event, *, item_class: str, now: datetime, orphans: bool) -> Composed | Refusal:
    """The requests for an appointment, or why it can't go at all. ``orphans``: meetings may lose their attendees."""
    if event.mine and event.attendees and ends(event) > now and not orphans:
        return Refusal(
            "meeting-without-attendees",
            "its organiser could not reach the attendees from the target any more, because they arrive as text alone",
        )
    if "recurrence" in event.odd:
        return Refusal("recurrence", "the source tells no rule by which the series repeats")
    lost = list(event.odd)
    zone, clock, sure = _clock_of(event, now)
    if not sure and (event.zone is not None or event.recurrence is not None):
        lost.append("time-zone")
    fields = _content(event, lost)
    fields |= _times(event, zone, clock, lost)
    fields |= _reminder(event, ends(event), now)
    attachments = list(event.attachments)
    if (apart := _body_apart(fields, event.body_kind)) is not None:
        attachments.append(apart)
        lost.append("body")
    if (refused := _refused(attachments)) is not None:
        return refused
    if event.recurrence is not None:
        series = _series(event, event.recurrence, zone, clock)
        if isinstance(series, Refusal):
            return series
        fields["recurrence"] = series
    fields["singleValueExtendedProperties"] = properties = []
    if (told := _people_as_data(event, lost)) is not None:
        properties.append(x.pair(x.ATTENDEES, told))
    for name, when in ((x.SUBMITTED, event.submitted), (x.RECEIVED, event.received)):
        if when is not None:
            properties.append(x.pair(name, x.written(when)))
    if item_class.casefold() != _EXCHANGE_CLASS:
        properties.append(x.pair(x.ITEM_CLASS, item_class))
    changes: list[Change] = []
    for one in event.exceptions:
        if (refused := _refused(one.event.attachments)) is not None:
            return refused
        changes.append(_change(event, one, zone, clock, now, lost))
    if any(each.content_type.casefold() == "message/rfc822" for each in _all_attachments(event)):
        lost.append("nested-attachments")
    return Composed(
        fields=fields,
        attachments=tuple(attachments),
        exceptions=tuple(changes),
        deleted=event.deleted if event.recurrence is not None else (),
        clock=clock,
        degraded=tuple(dict.fromkeys(lost)),
    )


def _clock_of(event: Event, now: datetime) -> tuple[str, tzinfo, bool]:
    """What ``named`` says of the event's zone; for a series that goes on, of these years rather than of those when it began.

    Countries change their clocks, and a clock that a program made up does not follow: the name that fitted when the series began
    may not fit any more. What is still to come counts, and that not all of it fits is said.
    """
    found = named(event.zone, event.start)
    if event.recurrence is None or event.zone is None or not found[2] or event.start >= now or ends(event) <= now:
        return found
    later = named(event.zone, now)
    if later[0] == found[0]:
        return found
    return (*(later if later[2] else found)[:2], False)


def ends(event: Event) -> datetime:
    """When the event, or the last occurrence of its series, is over; never too early, the end of time for one without end."""
    rule = event.recurrence
    length = event.end - event.start
    moved = max((one.event.end for one in event.exceptions), default=event.end)
    if rule is None:
        return event.end
    if rule.end is not None:
        last = datetime.combine(rule.end, time.min, tzinfo=UTC) + _DAY * 2
    elif rule.count is not None:
        try:
            last = event.start + timedelta(days=_LONGEST[rule.kind] * max(rule.interval, 1) * rule.count)
        except OverflowError:
            last = datetime.max.replace(tzinfo=UTC)
    else:
        return datetime.max.replace(tzinfo=UTC)
    try:
        return max(last + length, moved)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _all_attachments(event: Event) -> Sequence[Attachment]:
    return (*event.attachments, *(each for one in event.exceptions for each in one.event.attachments))


def _refused(attachments: Sequence[Attachment]) -> Refusal | None:
    if len(attachments) > ATTACHMENT_COUNT:
        return Refusal("too-many-attachments", f"it has {len(attachments)} attachments; the target takes {ATTACHMENT_COUNT}")
    if any(raw_size(each) > UPLOAD_LIMIT for each in attachments):
        return Refusal("too-large", "one of its attachments is larger than the 150 MB that the target takes")
    return None


# -- fields


def _content(event: Event, lost: list[str]) -> dict[str, Any]:
    subject, odd = safe_text(event.subject)
    body, odd_body = safe_text(event.body)
    place, odd_place = safe_text(event.location)
    if odd or odd_body or odd_place:
        lost.append("characters")
    if len(subject) > SUBJECT_LIMIT:
        subject = subject[:SUBJECT_LIMIT]
        lost.append("subject")
    if len(place) > SUBJECT_LIMIT:
        place = place[:SUBJECT_LIMIT]
        lost.append("location")
    if event.cancelled:
        lost.append("cancelled")
    if event.attendees:
        lost.append("attendees")
        body = _with_people(event, body)
    if event.organizer is not None and not event.mine and event.attendees:
        lost.append("organizer")
    return {
        "subject": subject,
        "body": {"contentType": event.body_kind, "content": body},
        "location": {"displayName": place},
        "showAs": event.show_as,
        "importance": event.importance,
        "sensitivity": event.sensitivity,
        "categories": [safe_text(each)[0] for each in event.categories],
    }


def _times(event: Event, zone: str, clock: tzinfo, lost: list[str]) -> dict[str, Any]:
    if event.all_day:
        first, last = _whole_days(event, clock, lost)
        start, end = (f"{day.isoformat()}T00:00:00" for day in (first, last))
        return {
            "start": {"dateTime": start, "timeZone": zone},
            "end": {"dateTime": end, "timeZone": zone},
            "isAllDay": True,
        }
    end_zone, end_clock, sure = named(event.end_zone, event.end)
    if event.end_zone is None or not sure or event.recurrence is not None:
        end_zone, end_clock = zone, clock
    return {
        "start": _wall(event.start, zone, clock, event),
        "end": _wall(event.end, end_zone, end_clock, event),
        "isAllDay": False,
    }


def _wall(moment: datetime, zone: str, clock: tzinfo, event: Event) -> dict[str, str]:
    wall = moment.astimezone(clock).replace(microsecond=0)
    if event.recurrence is None and wall.replace(fold=0).astimezone(UTC) != wall.astimezone(UTC):
        # The second of two equal hours when the clocks go back has no wall clock of its own.
        return {"dateTime": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}
    return {"dateTime": wall.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": zone}


def _whole_days(event: Event, clock: tzinfo, lost: list[str]) -> tuple[date, date]:
    """The first day and the one after the last. What does not begin at midnight by its own clock is moved to the nearest."""
    start, end = event.start.astimezone(clock), event.end.astimezone(clock)
    if (start.hour, start.minute, end.hour, end.minute) != (0, 0, 0, 0):
        lost.append("all-day")
    half = timedelta(hours=12)
    first = (start.replace(tzinfo=None) + half).date()
    last = (end.replace(tzinfo=None) + half).date()
    return first, max(last, first + _DAY)


def _reminder(event: Event, over: datetime, now: datetime) -> dict[str, Any]:
    """None goes off on arrival: that of what is over, or that should have gone off by now, is off."""
    if event.reminder is None:
        return {"isReminderOn": False}
    minutes = max(0, min(event.reminder, 20_160 * 52))
    due = event.start - timedelta(minutes=minutes)
    on = over > now if event.recurrence is not None else due > now
    return {"isReminderOn": on, "reminderMinutesBeforeStart": minutes}


def _body_apart(fields: dict[str, Any], kind: str) -> Attachment | None:
    content = fields["body"]["content"]
    if len(content) * 6 < BODY_LIMIT or len(orjson.dumps(content)) <= BODY_LIMIT:
        return None
    told = "The text of this appointment is too large for its body; it is attached."
    fields["body"] = {"contentType": "text", "content": told}
    name, mime = ("body.html", "text/html; charset=utf-8") if kind == "html" else ("body.txt", "text/plain; charset=utf-8")
    return Attachment(name=name, content_type=mime, content=pybase64.b64encode(content.encode()))


# -- series


def _series(event: Event, rule: Recurrence, zone: str, clock: tzinfo) -> dict[str, Any] | Refusal:
    """The rule; only what a kind needs, because even what is ignored is validated [field notes]."""
    first = _whole_days(event, clock, [])[0] if event.all_day else event.start.astimezone(clock).date()
    if rule.end is not None and rule.end < first:
        return Refusal("recurrence", "its series ends before its first occurrence")
    if rule.interval < 1 or rule.interval > 999 or not (rule.count is None or 1 <= rule.count <= 999):
        return Refusal("recurrence", "its series repeats in steps, or so often, as the target does not count")
    days = list(rule.days or (WEEK[first.weekday()],))
    pattern: dict[str, Any] = {"type": rule.kind, "interval": rule.interval}
    if rule.kind == "weekly":
        pattern |= {"daysOfWeek": days, "firstDayOfWeek": rule.first_day}
    elif rule.kind.startswith("relative"):
        pattern |= {"daysOfWeek": days, "index": rule.index}
    elif rule.kind.startswith("absolute"):
        pattern |= {"dayOfMonth": rule.day}
    if rule.kind.endswith("Yearly"):
        pattern |= {"month": rule.month}
    span: dict[str, Any] = {"type": "noEnd", "startDate": first.isoformat(), "recurrenceTimeZone": zone}
    if rule.count is not None:
        span |= {"type": "numbered", "numberOfOccurrences": rule.count}
    elif rule.end is not None:
        span |= {"type": "endDate", "endDate": rule.end.isoformat()}
    return {"pattern": pattern, "range": span}


def _change(series: Event, one: Occurrence, zone: str, clock: tzinfo, now: datetime, lost: list[str]) -> Change:
    """What has to be said of one occurrence: where it is, and what differs from the series."""
    own = one.event
    fields = _times(own, zone, clock, lost)
    if own.all_day == series.all_day:
        del fields["isAllDay"]
    if one.whole:
        ours, theirs = _content(own, lost), _content(series, [])
        fields |= {name: value for name, value in ours.items() if value != theirs[name]}
        if _body_apart(fields, own.body_kind) is not None if "body" in fields else False:
            lost.append("body")
        if own.reminder != series.reminder:
            fields |= _reminder(own, own.end, now)
    alike = [_look(each) for each in own.attachments] == [_look(each) for each in series.attachments]
    return Change(one.original, own.start, fields, None if alike or not one.whole else own.attachments)


def _look(attachment: Attachment) -> tuple[str, int]:
    return attachment.name, raw_size(attachment)


# -- people


def _shown(person: Address) -> str:
    name, address = safe_text(person.name)[0].strip(), safe_text(person.address)[0].strip()
    return f"{name} <{address}>" if name and address and name != address else name or address or "?"


def _lines(event: Event) -> list[str]:
    lines = [PEOPLE_FIRST]
    if event.organizer is not None and (event.organizer.name or event.organizer.address):
        lines.append(f"Organiser: {_shown(event.organizer)}")
    for role, word in (("required", "Required"), ("optional", "Optional"), ("resource", "Resources")):
        who = [
            _shown(one.person) + (f" ({one.response})" if one.response not in ("none", "organizer") else "")
            for one in event.attendees
            if one.role == role
        ]
        if who:
            lines.append(f"{word}: {'; '.join(who)}")
    return [*lines, PEOPLE_LAST]


def _with_people(event: Event, body: str) -> str:
    lines = _lines(event)
    if event.body_kind == "text":
        return "\r\n".join(lines) + ("\r\n\r\n" + body if body else "\r\n")
    told = "".join(f"<div>{html.escape(line)}</div>" for line in lines) + "<br>"
    found = _BODY_TAG.search(body)
    return body[: found.end()] + told + body[found.end() :] if found else told + body


def _people_as_data(event: Event, lost: list[str]) -> str | None:
    """Attendees, answers and organiser as text that a program can read; None if there is nobody."""
    if not event.attendees:
        return None
    caller = event.organizer or Address()
    told = {
        "organizer": [safe_text(caller.name)[0], safe_text(caller.address)[0]],
        "attendees": [
            [safe_text(one.person.name)[0], safe_text(one.person.address)[0], one.role, one.response] for one in event.attendees
        ],
        "uid": safe_text(event.uid)[0],
    }
    text = orjson.dumps(told).decode()
    if len(text) > PROPERTY_LIMIT:
        lost.append("attendee-data")
        return None
    return text
