"""When a series takes place: its dates by rule, and their moments by its zone. Pure; both faces and sample data use it."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from connectors.zones import zone_of

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
INDEXES = ("first", "second", "third", "fourth", "last")
KINDS = ("daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly")
_LAST_YEAR = 2199
_MOST = 20_000


@dataclass(slots=True)
class Rule:
    """A series' rule. ``start`` is its first date by the zone's clock; with neither ``end`` nor ``count`` it never ends."""

    kind: str
    start: date
    interval: int = 1
    days: list[str] = field(default_factory=list)
    first_day: str = "sunday"
    day: int = 1
    month: int = 1
    index: str = "first"
    end: date | None = None
    count: int | None = None

    def told(self) -> dict[str, Any]:
        """It as values of JSON."""
        held = asdict(self)
        return {**held, "start": self.start.isoformat(), "end": self.end and self.end.isoformat()}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Rule:
        """The rule that ``told`` gave."""
        end = told.get("end")
        dates = {"start": date.fromisoformat(told["start"]), "end": date.fromisoformat(end) if end else None}
        return cls(**{**told, **dates})

    def dates(self) -> Iterator[date]:
        """The dates of the series, in order, at most twenty thousand."""
        given = 0
        for one in self._candidates():
            if (self.end is not None and one > self.end) or (self.count is not None and given >= self.count) or given >= _MOST:
                return
            if one >= self.start:
                given += 1
                yield one

    def _candidates(self) -> Iterator[date]:
        step = max(1, self.interval)
        if self.kind == "daily":
            at = self.start
            while at.year < _LAST_YEAR:
                yield at
                at += timedelta(days=step)
        elif self.kind == "weekly":
            wanted = {DAYS.index(day) for day in self.days} or {self.start.weekday()}
            at = self.start - timedelta(days=(self.start.weekday() - DAYS.index(self.first_day)) % 7)
            while at.year < _LAST_YEAR:
                yield from (at + timedelta(days=n) for n in range(7) if (at + timedelta(days=n)).weekday() in wanted)
                at += timedelta(weeks=step)
        else:
            yearly = self.kind.endswith("Yearly")
            year, month = self.start.year, self.month if yearly else self.start.month
            while year < _LAST_YEAR:
                yield self._in_month(year, month)
                if yearly:
                    year += step
                else:
                    year, month = year + (month - 1 + step) // 12, (month - 1 + step) % 12 + 1

    def _in_month(self, year: int, month: int) -> date:
        last = calendar.monthrange(year, month)[1]
        if self.kind.startswith("absolute"):
            return date(year, month, min(self.day, last))
        wanted = {DAYS.index(day) for day in self.days} or {self.start.weekday()}
        fitting = [number for number in range(1, last + 1) if date(year, month, number).weekday() in wanted]
        place = INDEXES.index(self.index)
        return date(year, month, fitting[-1] if place == 4 else fitting[min(place, len(fitting) - 1)])


class Custom(tzinfo):
    """A zone that a program made up: minutes east of UTC in winter and summer, and when its clocks change.

    A change is month, weekday or None, number (5 is the last) or day of the month, and the minute of the day.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Minutes east at a wall clock."""
        winter, summer = timedelta(minutes=self.told["offset"]), timedelta(minutes=self.told.get("summer") or 0)
        on, off = self.told.get("to_summer"), self.told.get("to_standard")
        if moment is None or not on or not off:
            return winter
        wall = moment.replace(tzinfo=None)
        begin, end = _turn(wall.year, on), _turn(wall.year, off)
        inside = begin <= wall < end if begin < end else not end <= wall < begin
        return summer if inside else winter

    def dst(self, moment: datetime | None) -> timedelta:
        return self.utcoffset(moment) - timedelta(minutes=self.told["offset"])

    def tzname(self, moment: datetime | None) -> str:
        return "Custom"


def _turn(year: int, turn: list[Any]) -> datetime:
    month, weekday, number, minute = turn
    if weekday is None:
        day = number
    else:
        last = calendar.monthrange(year, month)[1]
        fitting = [one for one in range(1, last + 1) if date(year, month, one).weekday() == DAYS.index(weekday)]
        day = fitting[-1] if number >= 5 else fitting[number - 1]
    return datetime(year, month, day) + timedelta(minutes=minute)  # noqa: DTZ001 - by the wall clock


def zone_for(name: str, custom: dict[str, Any] | None = None) -> tzinfo:
    """The zone of a name or of a description; UTC for one that nobody knows."""
    if custom:
        return Custom(custom)
    return zone_of(name) or UTC
