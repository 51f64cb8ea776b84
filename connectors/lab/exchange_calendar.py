"""Calendar items as EWS shows them: series with their rule and their changed and deleted occurrences, and zones as definitions.

Order and names are the schema's [XSD: CalendarItemType, RecurrenceType, TimeZoneDefinitionType].
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .appointments import EXCEPTION_CLASS, Diary, diary_of, occasions
from .exchange_call import text, when
from .exchange_ids import change_key, item_id
from .recurring import DAYS, Rule
from .truth import Item

if TYPE_CHECKING:
    from .exchange_shape import Shape

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_CUSTOM = "tzone://Microsoft/Custom"


def kind_of(item: Item) -> str:
    """Whether it is single, the master of a series, or one changed occurrence."""
    if item.item_class == EXCEPTION_CLASS:
        return "Exception"
    if "#" in item.id:
        return "Occurrence"
    return "RecurringMaster" if diary_of(item).rule is not None else "Single"


def original_start(_: Shape, item: Item) -> str:
    """When a changed occurrence would have begun."""
    mark = item.id.partition("#")[2]
    if not mark:
        return ""
    return f"<t:OriginalStart>{datetime.strptime(mark, '%Y%m%dT%H%M%S').isoformat()}Z</t:OriginalStart>"  # noqa: DTZ007


def _days(days: list[str]) -> str:
    if set(days) == set(DAYS):
        return "Day"
    if set(days) == set(DAYS[:5]):
        return "Weekday"
    if set(days) == set(DAYS[5:]):
        return "WeekendDay"
    return days[0].capitalize() if days else "Monday"


def _pattern(rule: Rule) -> str:
    interval = f"<t:Interval>{rule.interval}</t:Interval>"
    relative = f"<t:DaysOfWeek>{_days(rule.days)}</t:DaysOfWeek><t:DayOfWeekIndex>{rule.index.capitalize()}</t:DayOfWeekIndex>"
    absolute, month = f"<t:DayOfMonth>{rule.day}</t:DayOfMonth>", f"<t:Month>{_MONTHS[rule.month - 1]}</t:Month>"
    match rule.kind:
        case "daily":
            tag, inner = "Daily", interval
        case "weekly":
            days = " ".join(day.capitalize() for day in rule.days)
            first = f"<t:FirstDayOfWeek>{rule.first_day.capitalize()}</t:FirstDayOfWeek>"
            tag, inner = "Weekly", f"{interval}<t:DaysOfWeek>{days}</t:DaysOfWeek>{first}"
        case "absoluteMonthly":
            tag, inner = "AbsoluteMonthly", interval + absolute
        case "relativeMonthly":
            tag, inner = "RelativeMonthly", interval + relative
        case "absoluteYearly":
            tag, inner = "AbsoluteYearly", absolute + month
        case _:
            tag, inner = "RelativeYearly", relative + month
    return f"<t:{tag}Recurrence>{inner}</t:{tag}Recurrence>"


def recurrence(_: Shape, item: Item) -> str:
    """The rule of a series."""
    rule = diary_of(item).rule
    if rule is None:
        return ""
    start = f"<t:StartDate>{rule.start.isoformat()}</t:StartDate>"
    if rule.count is not None:
        inner = f"<t:NumberedRecurrence>{start}<t:NumberOfOccurrences>{rule.count}</t:NumberOfOccurrences></t:NumberedRecurrence>"
    elif rule.end is not None:
        inner = f"<t:EndDateRecurrence>{start}<t:EndDate>{rule.end.isoformat()}</t:EndDate></t:EndDateRecurrence>"
    else:
        inner = f"<t:NoEndRecurrence>{start}</t:NoEndRecurrence>"
    return f"<t:Recurrence>{_pattern(rule)}{inner}</t:Recurrence>"


def modified(shape: Shape, item: Item) -> str:
    """The changed occurrences of a series, each with an id of its own."""
    diary = diary_of(item)
    if not diary.changes:
        return ""
    owner, found = shape.call.box_of(), []
    changed = {one.original for one in diary.changes}
    for one in occasions(item, None, max(changed) + timedelta(days=1)):
        if one.changed:
            own = item_id(owner, f"{item.id}#{one.original.strftime('%Y%m%dT%H%M%S')}")
            found.append(
                f'<t:Occurrence><t:ItemId Id="{own}" ChangeKey="{change_key(owner, item.change)}"/><t:Start>{when(one.start)}'
                f"</t:Start><t:End>{when(one.end)}</t:End><t:OriginalStart>{when(one.original)}</t:OriginalStart></t:Occurrence>"
            )
    return f"<t:ModifiedOccurrences>{''.join(found)}</t:ModifiedOccurrences>" if found else ""


def deleted(_: Shape, item: Item) -> str:
    """When the occurrences that were taken out would have begun."""
    gone = sorted(diary_of(item).deleted)
    inner = "".join(f"<t:DeletedOccurrence><t:Start>{when(one)}</t:Start></t:DeletedOccurrence>" for one in gone)
    return f"<t:DeletedOccurrences>{inner}</t:DeletedOccurrences>" if inner else ""


def zone(tag: str) -> Any:
    """``t:StartTimeZone`` or ``t:EndTimeZone``: a name alone where Windows has it, else the whole definition."""

    def show(_: Shape, item: Item) -> str:
        diary = diary_of(item)
        if diary.custom is None:
            return f'<t:{tag} Id="{text(diary.zone)}" Name="{text(diary.zone)}"/>'
        return f'<t:{tag} Id="{_CUSTOM}" Name="{text(diary.zone)}">{_definition(diary)}</t:{tag}>'

    return show


def zone_id(item: Item) -> str:
    """The name by which the zone goes."""
    diary = diary_of(item)
    return diary.zone if diary.custom is None else _CUSTOM


def _bias(minutes: int) -> str:
    return f"{'-' if minutes > 0 else ''}PT{abs(minutes)}M"


def _definition(diary: Diary) -> str:
    told = diary.custom or {}
    winter, summer = told["offset"], told.get("summer")
    periods = f'<t:Period Bias="{_bias(winter)}" Name="Standard" Id="std"/>'
    if summer is None or not told.get("to_summer"):
        transition = '<t:Transition><t:To Kind="Period">std</t:To></t:Transition>'
        return f'<t:Periods>{periods}</t:Periods><t:Transitions Id="0">{transition}</t:Transitions>'
    periods += f'<t:Period Bias="{_bias(summer)}" Name="Daylight" Id="dlt"/>'
    group = _turn("dlt", told["to_summer"]) + _turn("std", told["to_standard"])
    return (
        f'<t:Periods>{periods}</t:Periods><t:TransitionsGroups><t:TransitionsGroup Id="0">{group}</t:TransitionsGroup>'
        '</t:TransitionsGroups><t:Transitions><t:Transition><t:To Kind="Group">0</t:To></t:Transition></t:Transitions>'
    )


def _turn(to: str, turn: list[Any]) -> str:
    month, weekday, number, minute = turn
    head = f'<t:To Kind="Period">{to}</t:To><t:TimeOffset>PT{minute}M</t:TimeOffset><t:Month>{month}</t:Month>'
    if weekday is None:
        return f"<t:RecurringDateTransition>{head}<t:Day>{number}</t:Day></t:RecurringDateTransition>"
    count = -1 if number >= 5 else number
    day = f"<t:DayOfWeek>{weekday.capitalize()}</t:DayOfWeek><t:Occurrence>{count}</t:Occurrence>"
    return f"<t:RecurringDayTransition>{head}{day}</t:RecurringDayTransition>"
