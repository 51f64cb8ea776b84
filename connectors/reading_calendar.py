"""What takes place when in a calendar, as a server itself expands it: the contract of whoever reads that back to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from connectors.zones import zone_of

_HALF, _DAY = timedelta(hours=12), timedelta(days=1)


class CalendarsHidden(Exception):
    """The server does not let this account see calendars. Its text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Series:
    """One appointment as it is stored: a single one, or a series by its rule.

    ``key`` is what its occasions are named by; series that share one can't be told apart there. Empty: none of them are named.
    ``zone`` is the name that the server has for its clock, empty if it tells none.
    """

    id: str
    key: str
    version: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One occurrence, or the only one. Times are aware; ``all_day`` ones begin and end at midnight by a clock ``zone``."""

    key: str
    start: datetime
    end: datetime
    all_day: bool = False
    zone: str = ""


class CalendarReader(Protocol):
    """Reads one mailbox's calendars. Raises CalendarsHidden where they may not be seen, else what a connector raises."""

    def series(self, folder_id: str, ids: Sequence[str]) -> Iterator[Series]:
        """The appointments of these ids in that folder, in any order; those that are gone are left out."""
        ...

    def occasions(self, folder_id: str, low: datetime, high: datetime) -> Iterator[Occasion]:
        """Every occurrence of that folder that begins at ``low`` or later and before ``high``, in any order, each once."""
        ...

    def close(self) -> None: ...


def day_of(moment: datetime, zone: str) -> date:
    """The day whose midnight a moment is meant to be, by its own clock if that is known.

    Servers write an all-day event either by its clock or as midnight of no clock at all; what is neither is the nearest midnight.
    """
    clock = zone_of(zone) if zone else None
    if clock is not None:
        local = moment.astimezone(clock)
        if (local.hour, local.minute) == (0, 0):
            return local.date()
    whole = moment.astimezone(UTC)
    if (whole.hour, whole.minute) == (0, 0):
        return whole.date()
    return ((moment.astimezone(clock) if clock is not None else whole) + _HALF).date()


def span_of(one: Occasion) -> tuple[datetime, datetime]:
    """When it begins and ends, in a form that both wires share: whole seconds in UTC, days from midnight of no clock."""
    if not one.all_day:
        return one.start.astimezone(UTC).replace(microsecond=0), one.end.astimezone(UTC).replace(microsecond=0)
    first, last = day_of(one.start, one.zone), day_of(one.end, one.zone)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return begin, max(datetime(last.year, last.month, last.day, tzinfo=UTC), begin + _DAY)
