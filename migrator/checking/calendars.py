"""The independent checker, by time: what takes place when, as each server expands it itself, compared per series.

A recurrence can be equal in every property and still take place on other days, and different in its words and take place on the
same ones. So both servers are asked for the occurrences of two years back and two ahead, and each series passes, is degraded for
a reason that has a name, or fails with the times that are missing, extra or moved. Nobody's subject is read.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

from connectors.base import Entry, Folder, Role, Source, item_key
from connectors.reading_calendar import CalendarReader, CalendarsHidden, Occasion, Series, span_of
from connectors.zones import zone_of
from migrator.checking.verify import folder_paths
from state.model import ItemState, Mark, Row
from state.store import Ledger

YEARS = 2
"""How far back and ahead it looks."""

MOST_TIMES = 50
"""Times of one kind that are kept for one series; beyond that they are only counted."""

_STEP, _MARGIN, _DAY = timedelta(days=366), timedelta(days=1), timedelta(days=1)
_CHUNK = 500
_CUSTOM_UTC = "tzone://microsoft/utc"

WHY = {
    "time-zone": "the target keeps it by another clock than the source, and every time in these years is the same",
    "time-zone-unknown": "the source's clock has no name that the target knows, so a near one was taken; the lane said so",
    "exceptions": "the target did not have the occurrence that was to be changed; the lane said so",
    "all-day": "one side shows it as lasting whole days, the other by the hour",
    "changed-since": "it was changed at the source since the last pass; run again",
    "times": "it takes place at other times",
}
"""What each reason of a series that does not pass means."""

Time = tuple[datetime, datetime, bool]
"""Begin, end, and whether it lasts whole days."""


@dataclass(frozen=True, slots=True)
class SeriesDifference:
    """A series, or a single appointment, that does not pass. ``key`` is its ledger key; ``verdict`` is degraded or fail.

    ``why`` is a key of WHY. Times are ISO 8601 in UTC, a date alone for what lasts whole days, in order, at most MOST_TIMES of
    each; ``moved`` are pairs of what it was to be and what it is. ``count`` is how many occurrences differ.
    """

    folder: str
    key: str
    verdict: str
    why: str
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    count: int = 0

    @property
    def sentence(self) -> str:
        """It for people."""
        parts = [
            f"{word} {_some(times)}"
            for word, times in (
                ("missing", self.missing), ("extra", self.extra), ("moved", [f"{old} to {new}" for old, new in self.moved]),
            )
            if times
        ]  # fmt: skip
        return f"series {self.key}: {WHY[self.why]}{': ' if parts else ''}{'; '.join(parts)}."


@dataclass(frozen=True, slots=True)
class CalendarVerdict:
    """What the comparison of one mailbox's calendars found.

    ``figures`` counts series, single appointments among them: series (compared), pass, degraded, fail; target_wins (changed by
    the target's user since), not_carried (refused, withheld, filtered or still to come), absent (not in that calendar of the
    target, which the comparison of items names), unnamed (the source does not say what its occurrences belong to); and
    occurrences of them at the source. ``hidden`` is a sentence if a side shows no calendars at all; then nothing was compared.
    """

    differences: tuple[SeriesDifference, ...]
    figures: dict[str, int]
    hidden: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarJob:
    """One mailbox to compare. ``now`` is the middle of the years that are looked at; ``stop`` is heeded between spans."""

    ledger: Ledger
    mailbox_id: int
    source: Source
    ours: CalendarReader
    theirs: CalendarReader
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Group:
    """Series that share a key at the source, mostly one alone, and what they differ in so far."""

    rows: list[Row] = field(default_factory=list)
    zones: list[tuple[str, str]] = field(default_factory=list)
    theirs_changed: bool = False
    ours_changed: bool = False
    missing: list[Time] = field(default_factory=list)
    extra: list[Time] = field(default_factory=list)


def verify_calendars(job: CalendarJob) -> CalendarVerdict:
    """Compare when everything takes place that arrived, calendar by calendar. Reads only; may be run at any time."""
    figures: Counter[str] = Counter()
    differences: list[SeriesDifference] = []
    said = _said(job.ledger, job.mailbox_id)
    placed = {row.source_id: row for row in job.ledger.folders(job.mailbox_id)}
    folders = [folder for folder in job.source.folders() if folder.role is not Role.ROOT]
    names = folder_paths(folders)
    try:
        for folder in folders:
            place = placed.get(folder.id)
            if place is None or place.target_id is None or not _is_calendar(folder.kind):
                continue
            groups, owners = _groups(job, folder, place.target_id, figures)
            if groups:
                _expand(job, folder.id, place.target_id, groups, owners, figures)
            for group in groups.values():
                differences.extend(_judge(names[folder.id], group, said, job.now, figures))
            if job.stop.is_set():
                figures["stopped"] = 1
                break
    except CalendarsHidden as hidden:
        return CalendarVerdict((), {}, str(hidden))
    return CalendarVerdict(tuple(differences), dict(figures))


def _is_calendar(kind: str) -> bool:
    folded = kind.casefold()
    return folded == "ipf.appointment" or folded.startswith("ipf.appointment.")


def _is_appointment(entry: Entry) -> bool:
    folded = entry.facts.item_class.casefold()
    return folded == "ipm.appointment" or folded.startswith("ipm.appointment.")


# -- which series are to be compared


def _groups(job: CalendarJob, folder: Folder, target_id: str, figures: Counter[str]) -> tuple[dict[str, _Group], dict[str, str]]:
    """The series of a folder that arrived, by their key at the source; and that key by the key of each copy."""
    ids = {item_key(entry.id): entry.id for entry in job.source.inventory(folder) if _is_appointment(entry)}
    rows: dict[bytes, Row] = {}
    for keys in _cut(list(ids)):
        rows |= job.ledger.rows(job.mailbox_id, keys)
    arrived = {key: row for key, row in rows.items() if row.state is ItemState.DONE and row.target is not None}
    figures["not_carried"] += len(ids) - len(arrived)
    if not arrived:
        return {}, {}
    ours = {one.id: one for one in job.ours.series(folder.id, list(ids.values()))}
    theirs = {one.id: one for one in job.theirs.series(target_id, [row.target for row in arrived.values() if row.target])}
    groups: dict[str, _Group] = {}
    owners: dict[str, str] = {}
    unclear: set[str] = set()
    for key, id_ in ids.items():
        one, row = ours.get(id_), arrived.get(key)
        if one is None:
            continue
        if row is None:
            unclear.add(one.key)  # its occurrences can't be told from those of a namesake
            continue
        copy = theirs.get(row.target or "")
        if why := _left_out(row, one, copy):
            figures[why] += 1
            unclear.add(one.key)
        elif copy is not None:
            _take(groups.setdefault(one.key, _Group()), row, one, copy)
            owners[copy.key] = one.key
    for name in unclear & groups.keys():
        figures["not_carried"] += len(groups.pop(name).rows)
    return groups, owners


def _left_out(row: Row, one: Series, copy: Series | None) -> str:
    if row.marks & Mark.TARGET_WINS:
        return "target_wins"
    if not one.key:
        return "unnamed"
    return "" if copy is not None else "absent"


def _take(group: _Group, row: Row, one: Series, copy: Series) -> None:
    group.rows.append(row)
    group.zones.append((one.zone, copy.zone))
    group.ours_changed = group.ours_changed or _changed(row.version, one.version)
    group.theirs_changed = group.theirs_changed or _changed(row.target_version, copy.version)


def _changed(kept: bytes, version: str) -> bool:
    return bool(kept and version) and hashlib.blake2b(version.encode(), digest_size=8).digest() != kept


def _cut(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK))


# -- what takes place


def _expand(
    job: CalendarJob,
    folder_id: str,
    target_id: str,
    groups: dict[str, _Group],
    owners: dict[str, str],
    figures: Counter[str],
) -> None:
    """Note what each series lacks and what it has beyond, span by span, so that memory holds a year at a time."""
    clocks = {key: group.zones[0][0] for key, group in groups.items()}
    for low, high in pairwise(_edges(job.now)):
        if job.stop.is_set():
            figures["stopped"] = 1
            return
        wide = low - _MARGIN, high + _MARGIN
        mine = _times(((one.key, one) for one in job.ours.occasions(folder_id, *wide)), clocks, low, high)
        named = ((owners.get(one.key, ""), one) for one in job.theirs.occasions(target_id, *wide))
        other = _times(named, clocks, low, high)
        for key, group in groups.items():
            ours, theirs = mine.get(key, Counter()), other.get(key, Counter())
            figures["occurrences"] += ours.total()
            if ours != theirs:
                group.missing += sorted((ours - theirs).elements())
                group.extra += sorted((theirs - ours).elements())


def _edges(now: datetime) -> list[datetime]:
    whole = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = whole - timedelta(days=366 * YEARS), whole + timedelta(days=366 * YEARS)
    found = [first]
    while found[-1] < last:
        found.append(min(found[-1] + _STEP, last))
    return found


def _times(
    given: Iterable[tuple[str, Occasion]], clocks: dict[str, str], low: datetime, high: datetime
) -> dict[str, Counter[Time]]:
    """What begins between two moments by key of the series, in the form that both wires share. Others are left out."""
    found: dict[str, Counter[Time]] = {}
    for key, one in given:
        zone = clocks.get(key)
        if zone is None:
            continue
        told = one if one.zone or not one.all_day else Occasion(one.key, one.start, one.end, True, zone)
        begin, end = span_of(told)
        if low <= begin < high:
            found.setdefault(key, Counter())[begin, end, one.all_day] += 1
    return found


# -- the verdict of one series


def _judge(folder: str, group: _Group, said: frozenset[str], now: datetime, figures: Counter[str]) -> Iterator[SeriesDifference]:
    number = len(group.rows)
    missing, extra, moved = _paired(group.missing, group.extra)
    verdict, why = _verdict(group, missing, extra, moved, said, now)
    if verdict == "target_wins":
        figures["target_wins"] += number
        return
    figures["series"] += number
    figures[verdict] += number
    if verdict == "pass":
        return
    for row in group.rows:
        yield SeriesDifference(
            folder,
            row.key.hex(),
            verdict,
            why,
            tuple(_told(one) for one in missing[:MOST_TIMES]),
            tuple(_told(one) for one in extra[:MOST_TIMES]),
            tuple((_told(old), _told(new)) for old, new in moved[:MOST_TIMES]),
            len(missing) + len(extra) + len(moved),
        )


def _verdict(
    group: _Group,
    missing: list[Time],
    extra: list[Time],
    moved: list[tuple[Time, Time]],
    said: frozenset[str],
    now: datetime,
) -> tuple[str, str]:
    """Pass, degraded, fail or target_wins, and why."""
    told = any(row.marks & Mark.DEGRADED for row in group.rows)
    nameless = told and "time-zone" in said and any(_clock(one) is None for one, _ in group.zones)
    if not (missing or extra or moved):
        if nameless:
            return "degraded", "time-zone-unknown"
        alike = all(same_clock(one, other, now) for one, other in group.zones)
        return ("pass", "") if alike else ("degraded", "time-zone")
    if group.theirs_changed:
        return "target_wins", ""
    if group.ours_changed:
        return "fail", "changed-since"
    if not (missing or extra):
        if all(old[:2] == new[:2] for old, new in moved):
            return "degraded", "all-day"
        if nameless:
            return "degraded", "time-zone-unknown"
    # One that the target's series does not have is missing; if it has another one of that day, that stayed where it was.
    if told and "exceptions" in said and len(missing) >= len(extra):
        return "degraded", "exceptions"
    return "fail", "times"


def _paired(missing: list[Time], extra: list[Time]) -> tuple[list[Time], list[Time], list[tuple[Time, Time]]]:
    """What is missing, what is extra, and pairs of both that lie within a day of one another: those were moved."""
    alone, free, moved = [], sorted(extra), []
    for one in sorted(missing):
        near = min(free, key=partial(_apart, one), default=None)
        if near is None or abs(near[0] - one[0]) > _DAY:
            alone.append(one)
        else:
            free.remove(near)
            moved.append((one, near))
    return alone, free, moved


def _apart(one: Time, other: Time) -> timedelta:
    return abs(other[0] - one[0])


def same_clock(one: str, other: str, now: datetime) -> bool:
    """Whether two names of zones stand for one clock in these years. What nobody can tell, a clock without a known name among
    it, counts as one: then the times themselves, which are equal, are all there is to go by."""
    mine, theirs = _clock(one), _clock(other)
    if mine is None or theirs is None:
        return True
    moments = (now + timedelta(days=days) for days in range(-366 * YEARS, 366 * YEARS, 10))
    return all(moment.astimezone(mine).utcoffset() == moment.astimezone(theirs).utcoffset() for moment in moments)


def _clock(name: str) -> ZoneInfo | None:
    return zone_of("UTC") if name.casefold() == _CUSTOM_UTC else zone_of(name)


def _said(ledger: Ledger, mailbox_id: int) -> frozenset[str]:
    """Names of what a lane said that it could not carry whole, in any pass over the mailbox."""
    names: set[str] = set()
    for run in ledger.passes(mailbox_id):
        if not run.figures:
            names |= {"time-zone", "exceptions"}  # it was killed, and what it said of its items with it
        names.update(word.removeprefix("degraded.") for word in run.figures if word.startswith("degraded."))
    return frozenset(names)


def _told(one: Time) -> str:
    return one[0].date().isoformat() if one[2] else one[0].strftime("%Y-%m-%dT%H:%MZ")


def _some(times: Sequence[str]) -> str:
    shown = ", ".join(times[:5])
    return f"{shown} and {len(times) - 5} more" if len(times) > 5 else shown
