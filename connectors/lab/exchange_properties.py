"""MAPI properties as EWS asks for them: the path of a property, its value in an item or a folder, and its text on the wire.

Types and tags are those of MAPI [MS docs: MS-OXPROPS]; attributes are those of ``t:ExtendedFieldURI`` [XSD].
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from .exchange_call import b64, invalid, text, when
from .truth import Item, Person, seeded_bytes

_SETS = {
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "Common": "00062008-0000-0000-c000-000000000046",
    "PublicStrings": "00020329-0000-0000-c000-000000000046",
    "Address": "00062004-0000-0000-c000-000000000046",
    "InternetHeaders": "00020386-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
    "Task": "00062003-0000-0000-c000-000000000046",
    "Sharing": "00062040-0000-0000-c000-000000000046",
}
_TYPE_NAMES = {
    "ApplicationTime", "Binary", "Boolean", "CLSID", "Currency", "Double", "Error", "Float", "Integer", "Long", "Null", "Object",
    "Short", "SystemTime", "String",
}  # fmt: skip
_TASK, _COMMON, _STRINGS, _HEADERS = _SETS["Task"], _SETS["Common"], _SETS["PublicStrings"], _SETS["InternetHeaders"]

Place = int | tuple[str, str | int]
"""Where a property is: its tag, or its set (lower case) and its name or number."""


@dataclass(frozen=True, slots=True)
class Path:
    """One property as asked for: where it is, its type's word, and the opening of its ExtendedProperty element."""

    place: Place
    kind: str
    opening: str

    def write(self, value: object, unlawful: bool = False) -> str:
        """The ExtendedProperty element with the value, or nothing where the value has another type or there is none."""
        if value is None:
            return ""
        if self.kind.endswith("Array"):
            if not isinstance(value, list) or not value:
                return ""
            shown = [_show(one, self.kind[:-5], unlawful) for one in value]
            if None in shown:
                return ""
            inner = "".join(f"<t:Value>{one}</t:Value>" for one in shown)
            return f"{self.opening}<t:Values>{inner}</t:Values></t:ExtendedProperty>"
        one = _show(value, self.kind, unlawful)
        return "" if one is None else f"{self.opening}<t:Value>{one}</t:Value></t:ExtendedProperty>"


def _show(value: object, kind: str, unlawful: bool) -> str | None:
    if kind == "SystemTime":
        return when(value) if isinstance(value, datetime) else None
    if kind == "String":
        return text(value, unlawful) if isinstance(value, str) else None
    if kind == "Boolean":
        return ("true" if value else "false") if isinstance(value, bool) else None
    if kind in ("Integer", "Long", "Short"):
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
    if kind in ("Double", "Float", "ApplicationTime", "Currency"):
        return repr(value) if isinstance(value, float | int) and not isinstance(value, bool) else None
    if kind == "Binary":
        return b64(value) if isinstance(value, bytes) else None
    return text(value, unlawful) if isinstance(value, str) else None


def read_path(element: Any) -> Path:
    """The property of a ``t:ExtendedFieldURI``; ErrorSchemaValidation or ErrorInvalidExtendedProperty if there is none such."""
    given = element.attrib
    kind = given.get("PropertyType", "")
    if kind.removesuffix("Array") not in _TYPE_NAMES:
        raise invalid("The 'PropertyType' attribute is invalid or missing.", element)
    tag, number, name = given.get("PropertyTag"), given.get("PropertyId"), given.get("PropertyName")
    guid, known = given.get("PropertySetId"), given.get("DistinguishedPropertySetId")
    try:
        if tag is not None and not (number or name or guid or known):
            place: Place = int(tag, 0)
            shown = f'PropertyTag="0x{place:x}"'
        elif (guid is None) != (known is None) and (number is None) != (name is None) and tag is None:
            owner = _SETS[known] if known is not None else str(uuid.UUID(guid))
            place = owner, name if name is not None else int(number or "", 10)
            shown = f'DistinguishedPropertySetId="{known}"' if known else f'PropertySetId="{owner}"'
            shown += f' PropertyName="{text(name)}"' if name is not None else f' PropertyId="{place[1]}"'
        else:
            raise invalid("The attributes of ExtendedFieldURI do not fit together.", element)
    except (ValueError, KeyError):
        raise invalid("An attribute of ExtendedFieldURI is invalid.", element) from None
    opening = f'<t:ExtendedProperty><t:ExtendedFieldURI {shown} PropertyType="{kind}"/>'
    return Path(place, kind, opening)


_PLAIN = re.compile(r"(\w+) 0x([0-9a-fA-F]{1,8})")
_NAMED = re.compile(r"(\w+) \{([0-9a-fA-F-]{36})\} (?:Name (.+)|Id 0x([0-9a-fA-F]{1,8}))", re.DOTALL)


@lru_cache(maxsize=20_000)
def place_of(key: str) -> tuple[Place, str] | None:
    """The place and the type's word of a key of ``extended``; None if it is no property's text."""
    if plain := _PLAIN.fullmatch(key):
        return int(plain[2], 16), plain[1]
    if named := _NAMED.fullmatch(key):
        return (named[2].lower(), named[3] if named[3] is not None else int(named[4], 16)), named[1]
    return None


def _flag_number(item: Item) -> int | None:
    return {"flagged": 2, "complete": 1}.get(item.flag)


def _name(person: Person | None) -> str | None:
    return person.name if person is not None else None


def _address(person: Person | None) -> str | None:
    return person.address if person is not None else None


def _kind_of_address(person: Person | None) -> str | None:
    return None if person is None else ("EX" if person.address.startswith("/") else "SMTP")


def _flags(item: Item) -> int:
    return (1 if item.is_read else 0) | (8 if item.is_draft else 0) | (0x10 if item.parts else 0)


def _names(people: list[Person]) -> str:
    return "; ".join(person.name or person.address for person in people)


def _header(item: Item, wanted: str) -> str | None:
    for line in re.split(r"\r?\n(?![ \t])", item.headers or ""):
        name, colon, value = line.partition(":")
        if colon and name.lower() == wanted.lower():
            return re.sub(r"\r?\n[ \t]+", " ", value).strip()
    return None


_BY_TAG: dict[int, Callable[[Item], object]] = {
    0x0017: lambda item: item.importance,
    0x001A: lambda item: item.item_class,
    0x0023: lambda item: item.wants_delivery_receipt,
    0x0029: lambda item: item.wants_read_receipt,
    0x0036: lambda item: item.sensitivity,
    0x0037: lambda item: item.subject,
    0x0039: lambda item: item.submitted,
    0x0042: lambda item: _name(item.author),
    0x0064: lambda item: _kind_of_address(item.author),
    0x0065: lambda item: _address(item.author),
    0x0070: lambda item: re.sub(r"^((re|fw|fwd|aw|wg): *)+", "", item.subject, flags=re.IGNORECASE),
    0x007D: lambda item: item.headers,
    0x0C1A: lambda item: _name(item.sender),
    0x0C1E: lambda item: _kind_of_address(item.sender),
    0x0C1F: lambda item: _address(item.sender),
    0x0E02: lambda item: _names(item.bcc),
    0x0E03: lambda item: _names(item.cc),
    0x0E04: lambda item: _names(item.to),
    0x0E06: lambda item: item.received,
    0x0E07: _flags,
    0x0E08: lambda item: item.size,
    0x0E1B: lambda item: bool(item.parts),
    0x0E1D: lambda item: re.sub(r"^((re|fw|fwd|aw|wg): *)+", "", item.subject, flags=re.IGNORECASE),
    0x0E2B: lambda item: 1 if item.flag == "flagged" else None,
    0x1000: lambda item: item.words,
    0x1013: lambda item: None if item.body_html is None else item.body_html.encode("utf-8", "replace"),
    0x1035: lambda item: item.message_id,
    0x1039: lambda item: item.references,
    0x1042: lambda item: item.in_reply_to,
    0x1090: _flag_number,
    0x1091: lambda item: item.flag_completed,
    0x3007: lambda item: item.created,
    0x3008: lambda item: item.modified,
    0x300B: lambda item: item.search_key or None,
    0x5D01: lambda item: _address(item.sender),
    0x5D02: lambda item: _address(item.author),
    0x65E0: lambda item: seeded_bytes("source key", item.id, length=22),
    0x65E2: lambda item: seeded_bytes("store", length=16) + struct.pack(">Q", item.change)[2:],
}
_BY_NAME: dict[tuple[str, str | int], Callable[[Item], object]] = {
    (_TASK, 0x8104): lambda item: item.flag_start,
    (_TASK, 0x8105): lambda item: item.flag_due,
    (_COMMON, 0x8516): lambda item: item.flag_start,
    (_COMMON, 0x8517): lambda item: item.flag_due,
    (_COMMON, 0x8530): lambda item: "Follow up" if item.flag != "notFlagged" else None,
    (_STRINGS, "Keywords"): lambda item: item.categories or None,
}


def value_of(item: Item, path: Path) -> object:
    """The property's value in an item; None if the item doesn't have it, or has it in another type.

    A path without a type takes any. What the item holds under ``extended`` comes first, then what its fields say.
    """
    for key, value in item.extended.items():
        known = place_of(key)
        if known is not None and known[0] == path.place and path.kind in (known[1], ""):
            return value
    place = path.place
    if isinstance(place, int):
        getter = _BY_TAG.get(place)
        return getter(item) if getter is not None else None
    named = _BY_NAME.get(place)
    if named is not None:
        return named(item)
    if place[0] == _HEADERS and isinstance(place[1], str):
        return _header(item, place[1])
    return None


def reader(path: Path, unlawful: bool) -> Callable[[Item], str]:
    """A function from an item to the ExtendedProperty element of that property."""
    place = path.place
    getter = _BY_TAG.get(place) if isinstance(place, int) else None
    write, kind = path.write, path.kind
    if getter is None or kind.endswith("Array"):
        return lambda item: write(value_of(item, path), unlawful)

    get, opening, closing = getter, path.opening + "<t:Value>", "</t:Value></t:ExtendedProperty>"

    def read(item: Item) -> str:
        value = value_of(item, path) if item.extended else get(item)
        if value is None:
            return ""
        shown = _show(value, kind, unlawful)
        return "" if shown is None else opening + shown + closing

    return read


def own_value(extended: dict[str, object], place: Place) -> object:
    """What ``extended`` holds at a place, whatever its type's word."""
    for key, value in extended.items():
        known = place_of(key)
        if known is not None and known[0] == place:
            return value
    return None


def appointment(item: Item, number: int) -> object:
    """A property of the calendar's set."""
    return own_value(item.extended, (_SETS["Appointment"], number))


def task(item: Item, number: int) -> object:
    """A property of the tasks' set."""
    return own_value(item.extended, (_TASK, number))


def common(item: Item, number: int) -> object:
    """A property of the common set."""
    return own_value(item.extended, (_COMMON, number))


def address(item: Item, number: int) -> object:
    """A property of the contacts' set."""
    return own_value(item.extended, (_SETS["Address"], number))


def named_address(item: Item, name: str) -> object:
    """A property of the contacts' set that has a name in words."""
    return own_value(item.extended, (_SETS["Address"], name))


def meeting(item: Item, number: int) -> object:
    """A property of the meetings' set."""
    return own_value(item.extended, (_SETS["Meeting"], number))
