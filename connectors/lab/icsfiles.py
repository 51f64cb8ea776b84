"""Calendar files as source appointments: what each VEVENT says, as Exchange's own import would hold it [RFC 5545].

Whatever can't be read is left out, and the appointment is there all the same. A rule that Exchange has no pattern for (by the
hour, on several days of a month, by week or day of the year) becomes a single appointment, as at its own import.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from connectors.zones import zone_of

from .appointments import (
    ALL_DAY,
    BUSY,
    END,
    PLACE,
    REMINDER,
    REMINDS,
    RESPONSE,
    START,
    STATE,
    Change,
    Diary,
    by_rule,
    diary_of,
    keep,
)
from .recurring import DAYS, INDEXES, Rule
from .truth import Item, Part, Person

_FOLD = re.compile(r"\r?\n[ \t]")
_PARAMETER = re.compile(r';([\w-]+)=((?:"[^"]*"|[^;:"])*)')
_DURATION = re.compile(r"([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")
_SHORT = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_ANSWERS = {"ACCEPTED": "Accept", "DECLINED": "Decline", "TENTATIVE": "Tentative"}
_MOST = 999


@dataclass(slots=True)
class _Line:
    """One property: its value, and its parameters by upper-case name."""

    value: str
    told: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Block:
    """A component: its properties by upper-case name, and the components within."""

    name: str
    lines: dict[str, list[_Line]] = field(default_factory=dict)
    inner: list[_Block] = field(default_factory=list)

    def first(self, name: str) -> _Line | None:
        return self.lines.get(name, [None])[0]

    def text(self, name: str) -> str:
        line = self.first(name)
        return _unescaped(line.value) if line is not None else ""


def read_calendar(content: bytes, owner: Person) -> Iterator[Item]:
    """The appointments of a file, without id and folder; a series with its changed occurrences is one. Never fails."""
    top = _blocks(content)
    zones = {zone.text("TZID"): zone for zone in _within(top, "VTIMEZONE")}
    series: dict[str, Item] = {}
    changed: list[_Block] = []
    for block in _within(top, "VEVENT"):
        if block.first("RECURRENCE-ID") is not None and block.text("UID") in series:
            changed.append(block)
            continue
        item = _item(block, zones, owner)
        if item is not None:
            uid = block.text("UID")
            series.setdefault(uid if uid not in series else f"{uid} {len(series)}", item)
    for block in changed:
        _take_change(series[block.text("UID")], block, zones, owner)
    yield from series.values()


def _blocks(content: bytes) -> _Block:
    text = content.decode("utf-8-sig", "replace").replace("\0", "")
    top = _Block("")
    stack = [top]
    for raw in _FOLD.sub("", text).splitlines():
        head, colon, value = _parted(raw)
        if not colon:
            continue
        name, _, _ = head.partition(";")
        name = name.strip().upper()
        if name == "BEGIN":
            block = _Block(value.strip().upper())
            stack[-1].inner.append(block)
            stack.append(block)
        elif name == "END":
            if len(stack) > 1:
                stack.pop()
        else:
            told = {key.upper(): one.strip('"') for key, one in _PARAMETER.findall(head)}
            stack[-1].lines.setdefault(name, []).append(_Line(value, told))
    return top


def _parted(line: str) -> tuple[str, str, str]:
    """A line at its first colon that stands in no quotes."""
    quoted = False
    for at, sign in enumerate(line):
        if sign == '"':
            quoted = not quoted
        elif sign == ":" and not quoted:
            return line[:at], ":", line[at + 1 :]
    return line, "", ""


def _within(block: _Block, name: str) -> Iterator[_Block]:
    for one in block.inner:
        if one.name == name:
            yield one
        yield from _within(one, name)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\r\n" if found[1] in "nN" else found[1], text)


def _item(block: _Block, zones: dict[str, _Block], owner: Person) -> Item | None:
    begin = _moment(block.first("DTSTART"), zones)
    if begin is None:
        return None
    start, name, whole = begin
    end = _end(block, zones, start, whole)
    created = (_moment(block.first("CREATED") or block.first("DTSTAMP"), zones) or (start, "", False))[0]
    item = Item(
        item_class="IPM.Appointment",
        subject=" ".join(block.text("SUMMARY").split())[:255],
        body_text=block.text("DESCRIPTION"),
        created=created.replace(microsecond=0),
        modified=created.replace(microsecond=0),
        is_read=True,
        categories=[one for line in block.lines.get("CATEGORIES", []) for one in map(str.strip, line.value.split(",")) if one],
        sensitivity={"PRIVATE": 2, "CONFIDENTIAL": 3}.get(block.text("CLASS").upper(), 0),
        importance={"1": 2, "2": 2, "3": 2, "4": 2, "9": 0, "8": 0, "7": 0, "6": 0}.get(block.text("PRIORITY").strip(), 1),
    )
    item.extended = {
        START: start,
        END: end,
        ALL_DAY: whole,
        PLACE: " ".join(block.text("LOCATION").split())[:255],
        BUSY: 0 if block.text("TRANSP").upper() == "TRANSPARENT" else 2,
    }
    diary = Diary(zone=name, uid=block.text("UID")[:200])
    if name not in ("", "UTC") and zone_of(name) is None:
        diary.custom = _custom(zones.get(name))
        diary.zone = name if diary.custom else "UTC"
    _people(item, diary, block, owner)
    _alarm(item, block)
    item.parts = list(_parts(block))
    rule = block.first("RRULE")
    if rule is not None:
        diary.rule = _rule(rule.value, start, diary.clock, zones)
    if diary.rule is not None:
        diary.deleted = sorted(set(_gone(block, zones, start, diary)))
    keep(item, diary)
    return item


def _end(block: _Block, zones: dict[str, _Block], start: datetime, whole: bool) -> datetime:
    told = _moment(block.first("DTEND"), zones)
    if told is not None and told[0] >= start:
        return told[0] if not whole or told[0] > start else start + timedelta(days=1)
    length = _duration(block.text("DURATION"))
    if length is not None and length >= timedelta(0):
        return start + length
    return start + timedelta(days=1) if whole else start


def _moment(line: _Line | None, zones: dict[str, _Block]) -> tuple[datetime, str, bool] | None:
    """A moment in UTC, the name of its zone, and whether it is a whole day."""
    if line is None:
        return None
    text, name = line.value.strip(), line.told.get("TZID", "").strip()
    try:
        if re.fullmatch(r"\d{8}", text):
            return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time(), tzinfo=UTC), "UTC", True  # noqa: DTZ007
        wall = datetime.strptime(text.rstrip("Zz"), "%Y%m%dT%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None
    if not 1602 < wall.year < 4000:
        return None
    if text[-1:] in "Zz":
        return wall.replace(tzinfo=UTC), "UTC", False
    clock = _clock(name, zones)
    return wall.replace(tzinfo=clock).astimezone(UTC), name if clock is not UTC else "UTC", False


def _clock(name: str, zones: dict[str, _Block]) -> tzinfo:
    known = zone_of(name) if name else UTC
    if known is not None:
        return known
    told = _custom(zones.get(name))
    return Diary(custom=told).clock if told else UTC


def _custom(block: _Block | None) -> dict[str, object] | None:
    """A described zone as ``recurring.Custom`` takes it: the newest of its winters and summers; None if it makes no sense."""
    if block is None:
        return None
    winter = next((one for one in reversed(block.inner) if one.name == "STANDARD"), None)
    summer = next((one for one in reversed(block.inner) if one.name == "DAYLIGHT"), None)
    winter = winter or summer
    offset = _offset(winter)
    if winter is None or offset is None:
        return None
    told: dict[str, object] = {"offset": offset}
    other, on, off = _offset(summer), _turn(summer), _turn(winter)
    if summer is not None and summer is not winter and other is not None and on and off and other != offset:
        told |= {"summer": other, "to_summer": on, "to_standard": off}
    return told


def _offset(block: _Block | None) -> int | None:
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)(?::?\d\d)?", block.text("TZOFFSETTO").strip()) if block is not None else None
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def _turn(block: _Block | None) -> list[object] | None:
    if block is None:
        return None
    rule = dict(one.split("=", 1) for one in block.text("RRULE").upper().split(";") if "=" in one)
    day = re.fullmatch(r"([+-]?\d)([A-Z]{2})", rule.get("BYDAY", ""))
    start = re.fullmatch(r"\d{8}T(\d\d)(\d\d)\d\d", block.text("DTSTART").strip())
    if day is None or day[2] not in _SHORT or start is None or not rule.get("BYMONTH", "").isdigit():
        return None
    number = int(day[1])
    return [int(rule["BYMONTH"]), DAYS[_SHORT[day[2]]], 5 if number < 0 else number, int(start[1]) * 60 + int(start[2])]


def _duration(text: str) -> timedelta | None:
    found = _DURATION.match(text.strip().upper())
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(found[place] or 0) for place in range(2, 7))
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if found[1] == "-" else length


def _person(line: _Line) -> Person:
    address = re.sub(r"^mailto:", "", line.value.strip(), flags=re.IGNORECASE)
    return Person(line.told.get("CN", "") or address, address)


def _people(item: Item, diary: Diary, block: _Block, owner: Person) -> None:
    caller = block.first("ORGANIZER")
    for line in block.lines.get("ATTENDEE", []):
        person = _person(line)
        role, kind = line.told.get("ROLE", "").upper(), line.told.get("CUTYPE", "").upper()
        where = item.bcc if kind in ("RESOURCE", "ROOM") else item.cc if role == "OPT-PARTICIPANT" else item.to
        where.append(person)
        if (answer := _ANSWERS.get(line.told.get("PARTSTAT", "").upper())) is not None:
            diary.answers[person.address] = answer
    if caller is not None or item.to:
        item.author = item.sender = _person(caller) if caller is not None else owner
    meets = bool(item.to or item.cc or item.bcc)
    mine = item.author is None or item.author.address.casefold() == owner.address.casefold()
    item.extended[STATE] = (1 if meets else 0) | (4 if block.text("STATUS").upper() == "CANCELLED" else 0)
    item.extended[RESPONSE] = 1 if mine else 5


def _alarm(item: Item, block: _Block) -> None:
    for alarm in block.inner:
        before = _duration(alarm.text("TRIGGER")) if alarm.name == "VALARM" else None
        if before is not None and before <= timedelta(0):
            item.extended |= {REMINDS: True, REMINDER: min(int(-before.total_seconds() // 60), 40_320)}
            return


def _parts(block: _Block) -> Iterator[Part]:
    for number, line in enumerate(block.lines.get("ATTACH", []), 1):
        if line.told.get("ENCODING", "").upper() == "BASE64":
            try:
                content = base64.b64decode("".join(line.value.split()), validate=True)
            except ValueError:
                continue
            name = line.told.get("FILENAME") or line.told.get("X-FILENAME") or f"attachment{number}"
            yield Part(name, line.told.get("FMTTYPE", "application/octet-stream"), content)


def _rule(text: str, start: datetime, clock: tzinfo, zones: dict[str, _Block]) -> Rule | None:
    told = dict(one.split("=", 1) for one in text.strip().upper().split(";") if "=" in one)
    first = start.astimezone(clock).date()
    days = re.findall(r"([+-]?\d*)(MO|TU|WE|TH|FR|SA|SU)", told.get("BYDAY", ""))
    if not told.keys() <= {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "WKST"}:
        return None
    try:
        rule = _pattern(told, days, first)
        if rule is None:
            return None
        rule.interval = int(told.get("INTERVAL", "1"))
        rule.count = int(told["COUNT"]) if "COUNT" in told else None
        until = _moment(_Line(told["UNTIL"]), zones) if "UNTIL" in told else None
    except ValueError:
        return None
    rule.end = None if until is None else until[0].date() if until[2] else until[0].astimezone(clock).date()
    rule.first_day = DAYS[_SHORT.get(told.get("WKST", "MO"), 0)]
    if not 1 <= rule.interval <= 99 or (rule.count is not None and not 1 <= rule.count <= _MOST):
        return None
    return rule if next(rule.dates(), None) == first else None


def _pattern(told: dict[str, str], days: list[tuple[str, str]], first: date) -> Rule | None:
    """The pattern of Exchange's that a rule is; None if there is none such."""
    kind, plain = told.get("FREQ"), [DAYS[_SHORT[day]] for number, day in days if not number]
    month = int(told.get("BYMONTH", first.month))
    if kind == "DAILY" and not days and "BYMONTHDAY" not in told and "BYMONTH" not in told:
        return Rule("daily", first)
    if kind == "WEEKLY" and "BYMONTH" not in told and len(plain) == len(days):
        return Rule("weekly", first, days=plain or [DAYS[first.weekday()]])
    if kind not in ("MONTHLY", "YEARLY") or (kind == "MONTHLY" and "BYMONTH" in told):
        return None
    name = "Monthly" if kind == "MONTHLY" else "Yearly"
    if not days:
        return Rule("absolute" + name, first, day=int(told.get("BYMONTHDAY", first.day)), month=month)
    numbers = {number for number, _ in days} - {""} or {told.get("BYSETPOS", "")}
    if (
        "BYMONTHDAY" in told
        or len(numbers) != 1
        or (number := numbers.pop()) not in ("1", "2", "3", "4", "-1", "+1", "+2", "+3", "+4")
    ):
        return None
    index = INDEXES[4] if number == "-1" else INDEXES[int(number) - 1]
    return Rule("relative" + name, first, days=[DAYS[_SHORT[day]] for _, day in days], index=index, month=month)


def _gone(block: _Block, zones: dict[str, _Block], start: datetime, diary: Diary) -> Iterator[datetime]:
    """Occurrences that were taken out and that the series has."""
    wall = start.astimezone(diary.clock)
    dates = set(diary.rule.dates()) if diary.rule is not None else set()
    for line in block.lines.get("EXDATE", []):
        for text in line.value.split(","):
            told = _moment(_Line(text, line.told), zones)
            if told is None:
                continue
            day = told[0].date() if told[2] else told[0].astimezone(diary.clock).date()
            if day in dates:
                yield datetime.combine(day, wall.time(), tzinfo=diary.clock).astimezone(UTC)


def _take_change(item: Item, block: _Block, zones: dict[str, _Block], owner: Person) -> None:
    """Put one changed occurrence into its series, if the series has it."""
    diary = diary_of(item)
    told, own = _moment(block.first("RECURRENCE-ID"), zones), _item(block, zones, owner)
    if diary.rule is None or told is None or own is None:
        return
    original = next((one for one in by_rule(item, diary) if abs(one - told[0]) < timedelta(hours=1)), None)
    if original is None or original in diary.deleted or any(one.original == original for one in diary.changes):
        return
    start, end = own.extended[START], own.extended[END]
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    if start.astimezone(diary.clock).date() != original.astimezone(diary.clock).date():
        return  # one that crosses its neighbours can't be
    fields: dict[str, object] = {"start": start.isoformat(), "end": end.isoformat()}
    for name in ("subject", "body_text"):
        if block.first("SUMMARY" if name == "subject" else "DESCRIPTION") is not None and getattr(own, name) != getattr(
            item, name
        ):
            fields[name] = getattr(own, name)
    if block.first("LOCATION") is not None and own.extended[PLACE] != item.extended[PLACE]:
        fields["place"] = own.extended[PLACE]
    diary.changes.append(Change(original, fields))
    keep(item, diary)
