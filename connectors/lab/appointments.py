"""What the truth knows of an appointment beyond an item's own fields: its series, zone, answers, and changed occurrences.

Start, end, place and the like are MAPI properties of the item, as ever. The rest is one JSON text among them, under KEY, so that
it travels in export streams and in copies of the item like everything else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from .exchange_properties import own_value
from .recurring import Rule, zone_for
from .truth import Item, Part, Person

KEY = "lab calendar"
_SET, _SHARED = "00062002-0000-0000-c000-000000000046", "00062008-0000-0000-c000-000000000046"
START, END = f"SystemTime {{{_SET}}} Id 0x820D", f"SystemTime {{{_SET}}} Id 0x820E"
PLACE, BUSY = f"String {{{_SET}}} Id 0x8208", f"Integer {{{_SET}}} Id 0x8205"
ALL_DAY, RECURRING = f"Boolean {{{_SET}}} Id 0x8215", f"Boolean {{{_SET}}} Id 0x8223"
STATE, RESPONSE = f"Integer {{{_SET}}} Id 0x8217", f"Integer {{{_SET}}} Id 0x8218"
REMINDS, REMINDER = f"Boolean {{{_SHARED}}} Id 0x8503", f"Integer {{{_SHARED}}} Id 0x8501"
EXCEPTION_CLASS = "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}"
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Change:
    """One changed occurrence: when it would have begun, and what differs from the series; ``fields`` are an item's, by name."""

    original: datetime
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Diary:
    """The rest of an appointment. ``zone`` is a name; ``custom`` describes a zone that has none (see ``recurring.Custom``).

    ``answers`` are the attendees' responses by address; ``uid`` is empty where the item's own id makes one.
    """

    zone: str = "UTC"
    custom: dict[str, Any] | None = None
    rule: Rule | None = None
    changes: list[Change] = field(default_factory=list)
    deleted: list[datetime] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    uid: str = ""
    transaction: str = ""

    @property
    def clock(self) -> tzinfo:
        """The zone's clock."""
        return zone_for(self.zone, self.custom)


@dataclass(slots=True)
class Occasion:
    """One occurrence of a series, or the only one of a single appointment."""

    original: datetime
    start: datetime
    end: datetime
    changed: bool = False


def diary_of(item: Item) -> Diary:
    """What the item says of itself; that of a single appointment in UTC if it says nothing."""
    text = item.extended.get(KEY)
    if not isinstance(text, str):
        return Diary()
    told = json.loads(text)
    changes = [Change(datetime.fromisoformat(one["original"]), one["fields"]) for one in told.pop("changes")]
    deleted = [datetime.fromisoformat(one) for one in told.pop("deleted")]
    rule = told.pop("rule")
    return Diary(**told, changes=changes, deleted=deleted, rule=Rule.of(rule) if rule else None)


def keep(item: Item, diary: Diary) -> None:
    """Let the item say that of itself."""
    changes = [{"original": one.original.isoformat(), "fields": one.fields} for one in diary.changes]
    told = {
        "zone": diary.zone, "custom": diary.custom, "rule": diary.rule and diary.rule.told(), "changes": changes,
        "deleted": [one.isoformat() for one in diary.deleted], "answers": diary.answers, "uid": diary.uid,
        "transaction": diary.transaction,
    }  # fmt: skip
    item.extended[KEY] = json.dumps(told, ensure_ascii=True)
    if diary.rule is not None:
        item.extended[RECURRING] = True
    else:
        item.extended.pop(RECURRING, None)


def is_appointment(item: Item) -> bool:
    """Whether it lies in a calendar as itself."""
    folded = item.item_class.lower()
    return folded == "ipm.appointment" or folded.startswith("ipm.appointment.")


def span(item: Item) -> tuple[datetime, datetime]:
    """When it, or its first occurrence, begins and ends."""
    start, end = item.extended.get(START), item.extended.get(END)
    first = start if isinstance(start, datetime) else item.created or datetime(2020, 1, 1, tzinfo=UTC)
    return first, end if isinstance(end, datetime) else first


def by_rule(item: Item, diary: Diary | None = None) -> Iterator[datetime]:
    """The moments at which a series' occurrences begin by its rule, whatever became of them; of a single one its start."""
    diary = diary or diary_of(item)
    start, _ = span(item)
    if diary.rule is None:
        yield start
        return
    wall = start.astimezone(diary.clock)
    for day in diary.rule.dates():
        local = datetime(day.year, day.month, day.day, wall.hour, wall.minute, wall.second, tzinfo=diary.clock)
        yield local.astimezone(UTC)


def occasions(item: Item, low: datetime | None = None, high: datetime | None = None) -> Iterator[Occasion]:
    """What takes place between two moments, in the order of the rule; deleted occurrences are left out.

    Changed occurrences that the rule does not have are held by a store all the same, as after its rule was changed.
    """
    diary = diary_of(item)
    start, end = span(item)
    changes = {one.original: one for one in diary.changes}
    deleted = set(diary.deleted)
    for original in _originals(item, diary):
        if original in deleted:
            continue
        change = changes.get(original)
        if change is None:
            found = Occasion(original, original, original + (end - start))
        else:
            other = occurrence(item, change)
            found = Occasion(original, *span(other), changed=True)
        if high is not None and found.start >= high and original >= high:
            return
        if low is None or found.end > low or found.start >= low:
            yield found


def _originals(item: Item, diary: Diary) -> Iterator[datetime]:
    """The moments of the rule, and between them those of changed occurrences that it does not have."""
    waiting = sorted(one.original for one in diary.changes)
    for original in by_rule(item, diary):
        while waiting and waiting[0] < original:
            yield waiting.pop(0)
        if waiting and waiting[0] == original:
            waiting.pop(0)
        yield original
    yield from waiting


_PLAIN = ("subject", "body_text", "body_html", "importance", "sensitivity", "categories")
_HELD = {"place": PLACE, "busy": BUSY, "all_day": ALL_DAY, "reminds": REMINDS, "reminder": REMINDER}


def occurrence(item: Item, change: Change) -> Item:
    """A changed occurrence as an item of its own, whose id names the series and the moment."""
    start, end = span(item)
    extended = {key: value for key, value in item.extended.items() if key not in (KEY, RECURRING)}
    extended[START], extended[END] = change.original, change.original + (end - start)
    found = replace(item, extended=extended, item_class=EXCEPTION_CLASS, parts=list(item.parts), mime=None)
    for name, value in change.fields.items():
        if name in _PLAIN:
            setattr(found, name, value)
        elif name in _HELD:
            extended[_HELD[name]] = value
        elif name in ("start", "end"):
            extended[START if name == "start" else END] = datetime.fromisoformat(value)
        elif name == "parts":
            found.parts = [_part(one) for one in value]
    if "start" in change.fields and "end" not in change.fields:
        moved = datetime.fromisoformat(change.fields["start"])
        extended[END] = moved + (end - start)
    diary = diary_of(item)
    keep(found, Diary(zone=diary.zone, custom=diary.custom, answers=diary.answers, uid=diary.uid))
    found.id = f"{item.id}#{change.original.strftime('%Y%m%dT%H%M%S')}"
    return found


def find_occurrence(items: dict[str, Item], own: str) -> Item | None:
    """The occurrence of an id that ``occurrence`` made, changed or not; None if the series has none such."""
    series, _, mark = own.partition("#")
    item = items.get(series)
    if item is None:
        return None
    original = datetime.strptime(mark, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    diary = diary_of(item)
    if original in diary.deleted:
        return None
    known = next((one for one in diary.changes if abs(one.original - original) < _MINUTE), None)
    if known is not None:
        return occurrence(item, known)
    return occurrence(item, Change(original)) if original in set(by_rule(item, diary)) else None


def told_part(part: Part) -> dict[str, Any]:
    """An attachment as values of JSON."""
    return {
        "name": part.name, "content_type": part.content_type, "content": base64.b64encode(part.content).decode(),
        "inline": part.inline, "content_id": part.content_id, "kind": part.kind, "id": part.id,
    }  # fmt: skip


def _part(told: dict[str, Any]) -> Part:
    return Part(**{**told, "content": base64.b64decode(told["content"])})


def attendees(item: Item) -> list[Person]:
    """Whoever is asked to come."""
    return [*item.to, *item.cc, *item.bcc]


def text_of(item: Item, key: str) -> str:
    """A text property of the item."""
    value = item.extended.get(key)
    return value if isinstance(value, str) else ""


def shared(item: Item, number: int) -> object:
    """A property of the set that all items share."""
    return own_value(item.extended, (_SHARED, number))
