"""How a task repeats, as EWS shows it [XSD: TaskRecurrenceType]."""

from __future__ import annotations

from typing import Any

import orjson

from .truth import Item

RECURRENCE = "task recurrence"
"""Where an item holds how it repeats: JSON in Graph's words, or the name of a pattern of EWS that Graph has no word for."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def task_recurrence(item: Item) -> str:
    """``t:Recurrence`` of a task; nothing if it doesn't repeat."""
    held = item.extended.get(RECURRENCE)
    if not isinstance(held, str):
        return ""
    if not held.startswith("{"):
        return f"<t:Recurrence><t:{held}><t:Interval>1</t:Interval></t:{held}>{_span({'startDate': '2026-01-01'})}</t:Recurrence>"
    told = orjson.loads(held)
    return f"<t:Recurrence>{_pattern(told['pattern'])}{_span(told['range'])}</t:Recurrence>"


def _pattern(told: dict[str, Any]) -> str:
    kind = told["type"][0].upper() + told["type"][1:] + "Recurrence"
    days = " ".join(one.capitalize() for one in told.get("daysOfWeek", ()))
    month = f"<t:Month>{_MONTHS[told.get('month', 1) - 1]}</t:Month>"
    interval = f"<t:Interval>{told['interval']}</t:Interval>"
    if kind == "DailyRecurrence":
        inner = interval
    elif kind == "WeeklyRecurrence":
        first = str(told.get("firstDayOfWeek", "sunday")).capitalize()
        inner = f"{interval}<t:DaysOfWeek>{days}</t:DaysOfWeek><t:FirstDayOfWeek>{first}</t:FirstDayOfWeek>"
    elif kind == "AbsoluteMonthlyRecurrence":
        inner = f"{interval}<t:DayOfMonth>{told['dayOfMonth']}</t:DayOfMonth>"
    elif kind == "AbsoluteYearlyRecurrence":
        inner = f"<t:DayOfMonth>{told['dayOfMonth']}</t:DayOfMonth>{month}"
    else:
        index = f"<t:DaysOfWeek>{days}</t:DaysOfWeek><t:DayOfWeekIndex>{told['index'].capitalize()}</t:DayOfWeekIndex>"
        inner = f"{interval}{index}" if kind == "RelativeMonthlyRecurrence" else f"{index}{month}"
    return f"<t:{kind}>{inner}</t:{kind}>"


def _span(told: dict[str, Any]) -> str:
    start = f"<t:StartDate>{told['startDate']}</t:StartDate>"
    if told.get("endDate"):
        return f"<t:EndDateRecurrence>{start}<t:EndDate>{told['endDate']}</t:EndDate></t:EndDateRecurrence>"
    if told.get("numberOfOccurrences"):
        number = told["numberOfOccurrences"]
        return f"<t:NumberedRecurrence>{start}<t:NumberOfOccurrences>{number}</t:NumberOfOccurrences></t:NumberedRecurrence>"
    return f"<t:NoEndRecurrence>{start}</t:NoEndRecurrence>"
