"""An appointment taken apart for the compose lane, with everything that a calendar knows of it.

Moments are aware and in UTC; which wall clock they were meant by says the zone. Nobody is invited by anything here: attendees
and organiser are data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

from connectors.base import Address, Attachment

PatternKind: TypeAlias = Literal["daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"]
Weekday: TypeAlias = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
Index: TypeAlias = Literal["first", "second", "third", "fourth", "last"]

WEEK: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""The days in the order in which Python counts them."""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a zone's clocks change in a year: the nth weekday of a month (5: the last), or a day of the month with ``weekday``
    None. ``minute`` is that of the day, by the clock before the change."""

    month: int
    weekday: Weekday | None
    nth: int
    minute: int = 0


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone as the source has it. ``name`` is a name of Windows or IANA, or whatever a program made up.

    ``offset`` and ``summer`` are minutes east of UTC, as far as the source tells the rules; ``to_summer`` and ``to_standard``
    say when the clocks change, None where they don't.
    """

    name: str
    offset: int | None = None
    summer: int | None = None
    to_summer: Turn | None = None
    to_standard: Turn | None = None


@dataclass(frozen=True, slots=True)
class Recurrence:
    """How a series repeats. What a ``kind`` does not need is left at its default.

    ``days`` holds weekdays; of a relative kind they are alternatives, so that all seven mean any day. ``start`` and ``end`` are
    dates by the zone's clock; with neither ``end`` nor ``count`` it goes on for ever.
    """

    kind: PatternKind
    start: date
    interval: int = 1
    days: tuple[Weekday, ...] = ()
    first_day: Weekday = "sunday"
    day: int = 1
    month: int = 1
    index: Index = "first"
    end: date | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who was asked to come, and what was answered."""

    person: Address
    role: Literal["required", "optional", "resource"] = "required"
    response: Literal["none", "organizer", "tentative", "accepted", "declined"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An appointment, a meeting, or a series of either. ``odd`` names each thing that could not be read as it was meant.

    ``zone`` is the one in which it begins. ``reminder`` is minutes before the start; None: off. ``mine`` says that the mailbox's
    owner called the meeting. ``exceptions`` are occurrences that were changed, ``deleted`` the moments at which those that were
    taken out would have begun; both only of a series.
    """

    subject: str = field(default="", repr=False)
    body: str = field(default="", repr=False)
    body_kind: Literal["html", "text"] = "text"
    location: str = field(default="", repr=False)
    start: datetime
    end: datetime
    zone: Zone | None = None
    end_zone: Zone | None = None
    all_day: bool = False
    recurrence: Recurrence | None = None
    exceptions: tuple[Occurrence, ...] = ()
    deleted: tuple[datetime, ...] = ()
    cancelled: bool = False
    mine: bool = False
    organizer: Address | None = None
    attendees: tuple[Attendee, ...] = field(default=(), repr=False)
    reminder: int | None = None
    show_as: Literal["free", "tentative", "busy", "oof", "workingElsewhere"] = "busy"
    importance: Literal["low", "normal", "high"] = "normal"
    sensitivity: Literal["normal", "personal", "private", "confidential"] = "normal"
    categories: tuple[str, ...] = ()
    uid: str = ""
    submitted: datetime | None = None
    received: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a series that is not as the series says. ``original`` is when it would have begun.

    ``whole`` is False if the source told no more of it than when it is; then the event's other fields are those of the series.
    """

    original: datetime
    event: Event
    whole: bool = True
