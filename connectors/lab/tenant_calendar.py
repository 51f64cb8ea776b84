"""An appointment as Graph's event: how one is read from a request, judged, and shown. No requests in here.

[learn.microsoft.com/graph/api/resources/event, recurrencepattern, recurrencerange; graph/outlook-schedule-recurring-events]
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.zones import zone_of

from .appointments import (
    ALL_DAY,
    BUSY,
    END,
    PLACE,
    REMINDER,
    REMINDS,
    START,
    Change,
    Diary,
    Occasion,
    diary_of,
    is_appointment,
    keep,
    occasions,
    occurrence,
    span,
)
from .recurring import DAYS, INDEXES, KINDS, Rule
from .tenant_call import PROPERTIES, GraphError, check
from .tenant_index import Index, shown_time
from .truth import Item

ATTENDEES = "attendees"
"""Where an item's extended properties hold the addresses of its attendees."""

_TIME = {"dateTime": str, "timeZone": str}
_PERSON = {"emailAddress": {"name": str, "address": str}}
_PATTERN: dict[str, Any] = {
    "type": str, "interval": int, "month": int, "dayOfMonth": int, "daysOfWeek": [str], "firstDayOfWeek": str, "index": str,
}  # fmt: skip
_RANGE: dict[str, Any] = {
    "type": str, "startDate": str, "endDate": str, "recurrenceTimeZone": str, "numberOfOccurrences": int,
}  # fmt: skip
_WRITABLE: dict[str, Any] = {
    **dict.fromkeys(("subject", "importance", "sensitivity", "showAs", "transactionId", "onlineMeetingProvider"), str),
    **dict.fromkeys(
        ("isAllDay", "isReminderOn", "isOnlineMeeting", "isDraft", "responseRequested", "allowNewTimeProposals", "hideAttendees"),
        bool,
    ),
    "reminderMinutesBeforeStart": int,
    "body": {"contentType": str, "content": str},
    "start": _TIME,
    "end": _TIME,
    "location": {"displayName": str, "locationType": str, "uniqueId": str, "uniqueIdType": str},
    "categories": [str],
    "attendees": [{"type": str, **_PERSON}],
    "recurrence": {"pattern": _PATTERN, "range": _RANGE},
    **PROPERTIES,
}
_IMPORTANCE, _SENSITIVITY = ("low", "normal", "high"), ("normal", "personal", "private", "confidential")
_SHOWN_AS = ("free", "tentative", "busy", "oof", "workingElsewhere")
_MOST = 999


def _bad(text: str, code: str = "ErrorPropertyValidationFailure") -> GraphError:
    return GraphError(400, code, text)


def look_over(given: dict[str, Any]) -> dict[str, Any]:
    """The body itself if all its properties are known and of their types. Raises GraphError."""
    people = given.get("attendees")
    if people is not None and not (isinstance(people, list) and all(isinstance(one, dict) for one in people)):
        raise GraphError(400, "RequestBodyRead", "The attendees can't be read.")
    return check(given, _WRITABLE, "event")


def moment(given: dict[str, Any]) -> tuple[datetime, str]:
    """A moment of a dateTimeTimeZone, and its zone's name. Raises GraphError."""
    name = str(given.get("timeZone") or "UTC")
    clock = zone_of(name)
    if clock is None:
        raise _bad("A valid TimeZone value must be specified.", "TimeZoneNotSupportedException")
    try:
        wall = datetime.fromisoformat(str(given.get("dateTime")).removesuffix("Z"))
    except ValueError:
        raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.") from None
    return wall.replace(tzinfo=clock).astimezone(UTC), name


def apply_times(item: Item, given: dict[str, Any], diary: Diary) -> None:
    """Set begin, end and whether it lasts whole days. Raises GraphError."""
    if given.get("start") is not None:
        item.extended[START], diary.zone = moment(given["start"])
        diary.custom = None
    if given.get("end") is not None:
        item.extended[END], _ = moment(given["end"])
    if "isAllDay" in given:
        item.extended[ALL_DAY] = bool(given["isAllDay"])
    start, end = span(item)
    if end < start:
        raise _bad("The end of an event can't lie before its start.")
    if item.extended.get(ALL_DAY):
        walls = [one.astimezone(diary.clock) for one in (start, end)]
        if any((wall.hour, wall.minute, wall.second) != (0, 0, 0) for wall in walls) or end <= start:
            raise _bad("Events that last all day begin and end at midnight, in one time zone.")


def apply(item: Item, given: dict[str, Any]) -> None:
    """Set the fields that have nothing to do with time. Raises GraphError."""
    if "subject" in given:
        item.subject = str(given["subject"] or "")[:255]
    if (body := given.get("body")) is not None:
        content = str(body.get("content") or "")
        is_html = str(body.get("contentType", "text")).lower() == "html"
        item.body_html, item.body_text = (content, None) if is_html else (None, content)
    if (place := given.get("location")) is not None:
        item.extended[PLACE] = str(place.get("displayName") or "")
    if given.get("categories") is not None:
        item.categories = [str(one) for one in given["categories"]]
    for name, words in (("importance", _IMPORTANCE), ("sensitivity", _SENSITIVITY)):
        if given.get(name) is not None:
            setattr(item, name, _word(words, given[name]))
    if given.get("showAs") is not None:
        item.extended[BUSY] = _word(_SHOWN_AS, given["showAs"])
    if given.get("isReminderOn") is not None:
        item.extended[REMINDS] = bool(given["isReminderOn"])
    if given.get("reminderMinutesBeforeStart") is not None:
        item.extended[REMINDER] = int(given["reminderMinutesBeforeStart"])


def _word(words: tuple[str, ...], told: Any) -> int:
    try:
        return words.index(str(told))
    except ValueError:
        raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.") from None


def read_rule(given: dict[str, Any], item: Item, diary: Diary) -> Rule:
    """The rule of a series. Even what its kind ignores is judged [field notes]. Raises GraphError."""
    pattern, bounds = given.get("pattern") or {}, given.get("range") or {}
    kind, span_kind = pattern.get("type"), bounds.get("type")
    days = [str(day) for day in pattern.get("daysOfWeek") or ()]
    if kind not in KINDS or span_kind not in ("endDate", "noEnd", "numbered"):
        raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.")
    needed = {
        "weekly": ("daysOfWeek",), "absoluteMonthly": ("dayOfMonth",), "relativeMonthly": ("daysOfWeek",),
        "absoluteYearly": ("dayOfMonth", "month"), "relativeYearly": ("daysOfWeek", "month"),
    }.get(kind, ())  # fmt: skip
    if any(not pattern.get(name) for name in needed) or any(day not in DAYS for day in days):
        raise _bad("The recurrence pattern lacks what its type needs.")
    if not 1 <= int(pattern.get("interval") or 0) <= _MOST or bounds.get("recurrenceTimeZone") == "":
        raise _bad("The recurrence pattern holds a value that is out of range.")
    if not 1 <= int(pattern.get("dayOfMonth") or 1) <= 31 or not 1 <= int(pattern.get("month") or 1) <= 12:
        raise _bad("The recurrence pattern holds a value that is out of range.")
    try:
        start = date.fromisoformat(str(bounds.get("startDate")))
        end = date.fromisoformat(str(bounds["endDate"])) if span_kind == "endDate" else None
    except (ValueError, KeyError):
        raise _bad("The recurrence range lacks its dates.") from None
    count = int(bounds.get("numberOfOccurrences") or 0) if span_kind == "numbered" else None
    if start != span(item)[0].astimezone(diary.clock).date() or (end is not None and end < start):
        raise _bad("The start of the recurrence range is not that of the event.")
    if count is not None and not 1 <= count <= _MOST:
        raise _bad("The recurrence range holds a value that is out of range.")
    index = str(pattern.get("index") or "first")
    if index not in INDEXES:
        raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.")
    return Rule(
        kind=kind,
        start=start,
        interval=int(pattern["interval"]),
        days=days,
        first_day=str(pattern.get("firstDayOfWeek") or "sunday"),
        day=int(pattern.get("dayOfMonth") or 1),
        month=int(pattern.get("month") or 1),
        index=index,
        end=end,
        count=count,
    )


def change_occurrence(item: Item, original: datetime, given: dict[str, Any]) -> None:
    """Change one occurrence of a series; it may not reach its neighbours' days. Raises GraphError."""
    diary = diary_of(item)
    change = next((one for one in diary.changes if one.original == original), None)
    if change is None:
        change = Change(original)
        diary.changes.append(change)
    one = occurrence(item, change)
    own = diary_of(one)
    before = span(one)
    apply_times(one, given, own)
    apply(one, given)
    if span(one) != before:
        _check_neighbours(item, original, span(one), diary)
        change.fields |= {"start": span(one)[0].isoformat(), "end": span(one)[1].isoformat()}
    if "isAllDay" in given:
        change.fields["all_day"] = bool(one.extended.get(ALL_DAY))
    for name in ("subject", "body_text", "body_html", "importance", "sensitivity", "categories"):
        if getattr(one, name) != getattr(item, name):
            change.fields[name] = getattr(one, name)
    for name, key in (("place", PLACE), ("busy", BUSY), ("reminds", REMINDS), ("reminder", REMINDER)):
        if one.extended.get(key) != item.extended.get(key):
            change.fields[name] = one.extended.get(key)
    keep(item, diary)


def _check_neighbours(item: Item, original: datetime, at: tuple[datetime, datetime], diary: Diary) -> None:
    clock = diary.clock
    before = after = None
    for one in occasions(item, None, original + timedelta(days=800)):
        if one.original < original:
            before = one
        elif one.original > original and after is None:
            after = one
    day = at[0].astimezone(clock).date()
    if (before is not None and day <= before.start.astimezone(clock).date()) or (
        after is not None and day >= after.start.astimezone(clock).date()
    ):
        raise GraphError(
            400, "ErrorOccurrenceCrossingBoundary", "Modified occurrence is crossing or overlapping adjacent occurrence."
        )


# -- showing


def _zoned(value: datetime) -> dict[str, str]:
    return {"dateTime": value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}


def shown_rule(diary: Diary) -> dict[str, Any] | None:
    """A series' rule with everything that the service fills in."""
    rule = diary.rule
    if rule is None:
        return None
    return {
        "pattern": {
            "type": rule.kind, "interval": rule.interval, "month": rule.month if rule.kind.endswith("Yearly") else 0,
            "dayOfMonth": rule.day if rule.kind.startswith("absolute") else 0, "daysOfWeek": list(rule.days),
            "firstDayOfWeek": rule.first_day, "index": rule.index,
        },
        "range": {
            "type": "numbered" if rule.count else "endDate" if rule.end else "noEnd", "startDate": rule.start.isoformat(),
            "endDate": rule.end.isoformat() if rule.end else "0001-01-01",
            "recurrenceTimeZone": "tzone://Microsoft/Custom" if diary.custom else diary.zone,
            "numberOfOccurrences": rule.count or 0,
        },
    }  # fmt: skip


def show(index: Index, item: Item, wire: str, *, master: str = "", occasion: Occasion | None = None) -> dict[str, Any]:
    """An event as Graph shows it, times in UTC; ``occasion`` says that it is one occurrence of the series ``master``."""
    diary, held = diary_of(item), item.extended
    start, end = span(item)
    is_html = item.body_html is not None
    kind = "seriesMaster" if diary.rule is not None else "singleInstance"
    if occasion is not None:
        kind = "exception" if occasion.changed else "occurrence"
    zone = "tzone://Microsoft/Custom" if diary.custom else diary.zone
    author = item.author or item.sender
    busy = held.get(BUSY)
    return {
        "@odata.etag": f'W/"{index.change_key(item.change)}"',
        "id": wire,
        "changeKey": index.change_key(item.change),
        "createdDateTime": shown_time(item.created),
        "lastModifiedDateTime": shown_time(item.modified or item.created),
        "subject": item.subject,
        "body": {"contentType": "html" if is_html else "text", "content": (item.body_html if is_html else item.body_text) or ""},
        "start": _zoned(start),
        "end": _zoned(end),
        "originalStartTimeZone": zone,
        "originalEndTimeZone": zone,
        "originalStart": shown_time(occasion.original) if occasion is not None else None,
        "isAllDay": bool(held.get(ALL_DAY)),
        "location": {"displayName": held.get(PLACE) or ""},
        "showAs": _SHOWN_AS[busy] if isinstance(busy, int) and busy < len(_SHOWN_AS) else "free",
        "importance": _IMPORTANCE[item.importance],
        "sensitivity": _SENSITIVITY[item.sensitivity],
        "categories": list(item.categories),
        "isReminderOn": bool(held.get(REMINDS)),
        "reminderMinutesBeforeStart": held.get(REMINDER) if isinstance(held.get(REMINDER), int) else 15,
        "hasAttachments": any(not part.inline for part in item.parts),
        "isOnlineMeeting": False,
        "isDraft": item.is_draft,
        "isCancelled": False,
        "isOrganizer": True,
        "type": kind,
        "seriesMasterId": master or None,
        "recurrence": shown_rule(diary),
        "transactionId": diary.transaction or None,
        "attendees": [
            {"type": "required", "emailAddress": {"name": one, "address": one}} for one in people_of(item)
        ],
        **({"organizer": {"emailAddress": {"name": author.name, "address": author.address}}} if author else {}),
    }  # fmt: skip


def people_of(item: Item) -> list[str]:
    """The addresses of whoever is told when an event changes or goes: of one that was imported, those in its stream."""
    held = item.extended.get(ATTENDEES)
    if isinstance(held, list):
        return list(held)
    return [one.address for one in (*item.to, *item.cc, *item.bcc)] if is_appointment(item) else []
