"""The time zone by which Graph is told of an event: a name that it knows, with the same clock; pure.

Graph takes names of Windows and many of IANA [learn.microsoft.com/graph/api/resources/datetimetimezone]. A zone that a program
made up has a name that nobody knows, but often the clock of one that has: that is looked for among those of Windows.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from connectors.event import WEEK, Turn, Zone
from connectors.zones import WINDOWS, zone_of

_YEARS = 3
"""Years over which two clocks have to agree to count as one."""

_OURS = ("utc", "tzone://microsoft/utc")


def named(zone: Zone | None, near: datetime) -> tuple[str, tzinfo, bool]:
    """A name that Graph takes, its clock, and whether that is the zone's own clock as far as anybody can tell.

    ``near`` is when the event takes place. Where no name has that clock it is UTC.
    """
    if zone is None or zone.name.casefold() in _OURS:
        return "UTC", UTC, zone is not None
    known = zone_of(zone.name)
    if known is not None:
        return zone.name.strip(), known, True
    if zone.offset is not None:
        found = _alike(zone, near.year)
        if found is not None:
            return found, zone_of(found) or UTC, True
    return "UTC", UTC, False


@lru_cache(maxsize=256)
def _alike(zone: Zone, year: int) -> str | None:
    """The first name of Windows whose clock is the zone's over some years."""
    moments = [
        datetime(year, month, day, hour, tzinfo=UTC) + timedelta(days=366 * turn)
        for turn in range(_YEARS)
        for month in range(1, 13)
        for day in range(1, 29, 3)
        for hour in (3, 15)
    ]
    wanted = [offset_at(zone, moment) for moment in moments]
    for name in WINDOWS:
        clock = zone_of(name)
        if clock is None:
            continue
        if all(moment.astimezone(clock).utcoffset() == offset for moment, offset in zip(moments, wanted, strict=True)):
            return name
    return None


def offset_at(zone: Zone, moment: datetime) -> timedelta:
    """How far east the zone's own rules put a moment."""
    standard = timedelta(minutes=zone.offset or 0)
    if zone.summer is None or zone.to_summer is None or zone.to_standard is None:
        return standard
    summer = timedelta(minutes=zone.summer)
    year = (moment + standard).year
    begin = _turned(zone.to_summer, year) - standard
    end = _turned(zone.to_standard, year) - summer
    inside = begin <= moment < end if begin < end else not end <= moment < begin
    return summer if inside else standard


def _turned(turn: Turn, year: int) -> datetime:
    """When the clocks change, by the clock before the change; as if that were UTC."""
    if turn.weekday is None:
        day = turn.nth
    else:
        last = calendar.monthrange(year, turn.month)[1]
        fitting = [one for one in range(1, last + 1) if WEEK[date(year, turn.month, one).weekday()] == turn.weekday]
        day = fitting[-1] if turn.nth >= 5 else fitting[turn.nth - 1]
    return datetime(year, turn.month, day, tzinfo=UTC) + timedelta(minutes=turn.minute)
