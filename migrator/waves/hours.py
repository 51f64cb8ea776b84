"""Hours of the week as people write them, ``Mon-Fri 08:00-18:00``, and whether a moment lies in them.

What counts is what the clock on the wall shows: on the two nights when that is put forward or back, an hour that is left out
never comes, and one that comes twice lies in them twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)", re.IGNORECASE)


class BadHours(Exception):
    """What was given is no span of hours, or no time zone: the rest of a sentence that begins with the key, with the mend."""


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of the day from ``start`` to ``end`` on each of ``days`` (0 is Monday); over midnight if the end is earlier."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        # The hours after midnight belong to the day on which the span began.
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Hours:
    """Some hours of every week in a time zone; None is this machine's."""

    spans: tuple[Span, ...]
    zone: tzinfo | None

    def hold(self, wall: float) -> bool:
        """Whether this moment, in seconds since 1970, lies in them."""
        shown = datetime.fromtimestamp(wall, self.zone)
        minute = shown.hour * 60 + shown.minute
        return any(span.holds(shown.weekday(), minute) for span in self.spans)


def parse_hours(text: str, zone: str = "") -> Hours | None:
    """Read spans with commas between them; None if the text is empty. Raises BadHours, also for the zone (see ``parse_zone``)."""
    found = parse_zone(zone)
    if not text.strip():
        return None
    return Hours(tuple(_span(part.strip()) for part in text.split(",")), found)


def parse_zone(name: str) -> tzinfo | None:
    """A time zone by its name in the IANA's list, such as Europe/Berlin; None, this machine's, if empty. Raises BadHours."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone, no such path, a folder of the list
        raise BadHours("names no time zone; write one such as Europe/Berlin, or leave it empty for this machine's") from None


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadHours('is not written like "Mon-Fri 08:00-18:00" (several with commas between them); write it so')
    first, last, *times = match.groups()
    start, end = _minute(times[0], times[1]), _minute(times[2], times[3])
    if start in (end, _DAY_MINUTES):
        raise BadHours("has a span without any hours in it; let it end later than it starts, all day is 00:00-24:00")
    one, other = _day(first), _day(last or first)
    return Span(frozenset((one + more) % 7 for more in range((other - one) % 7 + 1)), start, end)


def _day(text: str) -> int:
    try:
        return _DAYS.index(text.lower())
    except ValueError:
        raise BadHours("names a day that is none of Mon, Tue, Wed, Thu, Fri, Sat and Sun; write one of these") from None


def _minute(hour: str, minute: str) -> int:
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY_MINUTES:
        raise BadHours("has a time that no clock shows; times go from 00:00 to 24:00")
    return found
