"""What is asked of Exchange about tasks, and how the answer becomes a ``Task``; pure. [MS-OXOTASK, MS-OXPROPS]

Days of a task are midnights by the clock on the wall, written as if they were UTC, so that the day is that of the value as it
stands. A pattern that begins anew when the task is done (a regeneration) is none that a calendar can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, cast

from connectors.base import Attachment
from connectors.contact import Task
from connectors.event import WEEK, Index, PatternKind, Recurrence, Weekday
from connectors.ews.answer import T, left_out
from connectors.ews.asking import get_items
from connectors.ews.contacts import COMMON, body_of, kept_of, key_of, path_of
from connectors.ews.marks import importance_of, sensitivity_of
from connectors.ews.soap import extended, moment, number, truth

TASK = "00062003-0000-0000-c000-000000000046"
KEPT: tuple[tuple[str, str, str, int], ...] = (
    ("mileage", "String", COMMON, 0x8534),
    ("billing", "String", COMMON, 0x8535),
    ("total-work", "Integer", TASK, 0x8111),
    ("actual-work", "Integer", TASK, 0x8110),
    ("role", "String", TASK, 0x8127),
    ("assigned", "Integer", TASK, 0x8129),
)
"""What To Do has no place for: name, type, set and number. ``assigned`` is whose task it is; 0: the owner's own."""

_START, _DUE, _DONE = (TASK, 0x8104), (TASK, 0x8105), (TASK, 0x810F)
_REMINDS, _REMINDER = (COMMON, 0x8503), (COMMON, 0x8502)
_PERCENT = (TASK, 0x8102)
_COMPANIES, _PEOPLE = (COMMON, 0x8539), (COMMON, 0x853A)
_FIELDS = (
    "item:ItemClass", "item:Subject", "item:Sensitivity", "item:Importance", "item:Categories", "item:Body", "item:Attachments",
    "task:IsRecurring", "task:Recurrence", "task:Status",
)  # fmt: skip
SHAPE = (
    "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:BodyType>Best</t:BodyType><t:AdditionalProperties>"
    + "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in _FIELDS)
    + "".join(path_of(place, "SystemTime") for place in (_START, _DUE, _DONE, _REMINDER))
    + path_of(_REMINDS, "Boolean")
    + path_of(_PERCENT, "Double")
    + "".join(path_of((space, own), kind) for _, kind, space, own in KEPT)
    + "".join(path_of(place, "StringArray") for place in (_COMPANIES, _PEOPLE))
    + "</t:AdditionalProperties></m:ItemShape>"
)

Status = Literal["notStarted", "inProgress", "completed", "waitingOnOthers", "deferred"]
_STATUS: dict[str, Status] = {
    "InProgress": "inProgress",
    "Completed": "completed",
    "WaitingOnOthers": "waitingOnOthers",
    "Deferred": "deferred",
}
_PATTERNS: dict[str, PatternKind] = {
    "DailyRecurrence": "daily",
    "WeeklyRecurrence": "weekly",
    "AbsoluteMonthlyRecurrence": "absoluteMonthly",
    "RelativeMonthlyRecurrence": "relativeMonthly",
    "AbsoluteYearlyRecurrence": "absoluteYearly",
    "RelativeYearlyRecurrence": "relativeYearly",
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_GROUPS: dict[str, tuple[Weekday, ...]] = {"day": WEEK, "weekday": WEEK[:5], "weekendday": WEEK[5:]}


def get_tasks(ids: Sequence[str]) -> str:
    """GetItem with everything of tasks but the content of their attachments."""
    return get_items(SHAPE, ids)


def task_of(element: Any, attached: Sequence[tuple[Attachment, bool]] = ()) -> Task:
    """The task that an element of GetItem and its attachments describe."""
    told = extended(element)
    kind, body = body_of(element)
    holder = element.find(f"{T}Recurrence")
    return Task(
        subject=element.findtext(f"{T}Subject") or "",
        body=body,
        body_kind=kind,
        start=_day(told.get(key_of(_START))),
        due=_day(told.get(key_of(_DUE))),
        completed=_day(told.get(key_of(_DONE))),
        reminder=moment(told.get(key_of(_REMINDER))) if truth(told.get(key_of(_REMINDS))) else None,
        status=_STATUS.get(element.findtext(f"{T}Status") or "", "notStarted"),
        percent=_percent(told.get(key_of(_PERCENT))),
        importance=importance_of(element),
        sensitivity=sensitivity_of(element),
        categories=tuple(one.text or "" for one in element.iterfind(f"{T}Categories/{T}String")),
        repeats=truth(element.findtext(f"{T}IsRecurring")) or holder is not None,
        repeat=None if holder is None else recurrence_of(holder),
        attachments=tuple(one for one, _ in attached),
        kept=kept_of(told, KEPT),
        companies=_several(element, _COMPANIES[1]),
        people=_several(element, _PEOPLE[1]),
        unlawful=left_out(element),
    )


def _day(text: str | None) -> date | None:
    found = moment(text)
    return found.date() if found is not None and found.year < 4500 else None


def _percent(text: str | None) -> float:
    try:
        return round(float(text or 0) * 100, 4)
    except ValueError:
        return 0.0


def _several(element: Any, own: int) -> tuple[str, ...]:
    for prop in element.iterfind(f"{T}ExtendedProperty"):
        uri = prop.find(f"{T}ExtendedFieldURI")
        if uri is not None and uri.get("PropertyId") == str(own):
            return tuple(one.text for one in prop.iterfind(f"{T}Values/{T}Value") if one.text)
    return ()


def recurrence_of(holder: Any) -> Recurrence | None:
    """The pattern and range of a ``t:Recurrence``; None for a pattern that no calendar can tell, or that can't be read."""
    pattern, span = next(iter(holder), None), next(iter(list(holder)[1:]), None)
    if pattern is None or span is None:
        return None
    kind = _PATTERNS.get(_name(pattern))
    start = moment((span.findtext(f"{T}StartDate") or "")[:10])
    if kind is None or start is None:
        return None
    end = moment((span.findtext(f"{T}EndDate") or "")[:10])
    words = (pattern.findtext(f"{T}DaysOfWeek") or "").split()
    month = pattern.findtext(f"{T}Month") or ""
    return Recurrence(
        kind=kind,
        start=start.date(),
        interval=number(pattern.findtext(f"{T}Interval")) or 1,
        days=_days(words),
        first_day=cast(Weekday, (pattern.findtext(f"{T}FirstDayOfWeek") or "Sunday").lower()),
        day=number(pattern.findtext(f"{T}DayOfMonth")) or 1,
        month=_MONTHS.index(month) + 1 if month in _MONTHS else 1,
        index=cast(Index, (pattern.findtext(f"{T}DayOfWeekIndex") or "First").lower()),
        end=end.date() if end else None,
        count=number(span.findtext(f"{T}NumberOfOccurrences")),
    )


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _days(words: Sequence[str]) -> tuple[Weekday, ...]:
    found: list[Weekday] = []
    for word in words:
        folded = word.casefold()
        found += _GROUPS.get(folded) or [one for one in WEEK if one == folded]
    return tuple(dict.fromkeys(found))
