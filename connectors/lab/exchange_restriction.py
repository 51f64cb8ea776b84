"""Restrictions and sort orders of FindItem and FindFolder, as far as a migration may use them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .exchange_call import Fault, T, invalid
from .exchange_properties import Path, read_path

Read = Callable[[Any, Path], object]
Test = Callable[[Any], bool]

_TAGS = {
    "item:Subject": 0x0037,
    "item:DateTimeReceived": 0x0E06,
    "item:DateTimeSent": 0x0039,
    "item:DateTimeCreated": 0x3007,
    "item:LastModifiedTime": 0x3008,
    "item:ItemClass": 0x001A,
    "item:Size": 0x0E08,
    "item:HasAttachments": 0x0E1B,
    "message:InternetMessageId": 0x1035,
    "folder:DisplayName": 0x3001,
    "folder:FolderClass": 0x3613,
}


def _path(element: Any) -> Path:
    if element.tag == T + "ExtendedFieldURI":
        return read_path(element)
    tag = _TAGS.get(element.get("FieldURI", "")) if element.tag == T + "FieldURI" else None
    if tag is None:
        raise Fault("ErrorUnsupportedPathForQuery", "The property can't be used in a restriction or a sort order.")
    return Path(tag, "", "")


def _like(value: object, shown: str) -> object:
    """The constant in the type of the value that it is compared with; None if it is none such."""
    try:
        if isinstance(value, bool):
            return shown in ("true", "1")
        if isinstance(value, int):
            return int(shown)
        if isinstance(value, bytes):
            return base64.b64decode(shown)
        if isinstance(value, datetime):
            found = datetime.fromisoformat(shown)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None
    return shown.casefold()


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "IsEqualTo": lambda one, other: bool(one == other),
    "IsNotEqualTo": lambda one, other: bool(one != other),
    "IsGreaterThan": lambda one, other: bool(one > other),
    "IsGreaterThanOrEqualTo": lambda one, other: bool(one >= other),
    "IsLessThan": lambda one, other: bool(one < other),
    "IsLessThanOrEqualTo": lambda one, other: bool(one <= other),
}


def matcher(element: Any, read: Read) -> Test:
    """A function that tells whether an item or folder fits; a fault if the restriction can't be understood."""
    parts = list(element.iterchildren("*"))
    name = element.tag.removeprefix(T)
    if not parts:
        raise invalid(f"The element '{name}' has incomplete content.", element)
    if name in ("And", "Or"):
        tests = [matcher(part, read) for part in parts]
        return lambda one: all(test(one) for test in tests) if name == "And" else any(test(one) for test in tests)
    if name == "Not":
        inner = matcher(parts[0], read)
        return lambda one: not inner(one)
    path = _path(parts[0])
    if name == "Exists":
        return lambda one: read(one, path) is not None
    constant = element.find(f".//{T}Constant")
    if constant is None or name not in (*_COMPARE, "Contains"):
        raise Fault("ErrorUnsupportedQueryFilter", "The restriction isn't supported.")
    shown = constant.get("Value", "")
    if name == "Contains":
        return lambda one: shown.casefold() in str(read(one, path) or "").casefold()
    compare = _COMPARE[name]

    def test(one: Any) -> bool:
        value = read(one, path)
        wanted = _like(value, shown)
        if value is None or wanted is None:
            return bool(name == "IsNotEqualTo")
        return compare(value.casefold() if isinstance(value, str) else value, wanted)

    return test


def sorter(element: Any, read: Read) -> Callable[[list[Any]], list[Any]]:
    """A function that puts items into the order of an ``m:SortOrder``; what lacks the property comes first."""
    orders = []
    for order in element.iterchildren("*"):
        parts = list(order.iterchildren("*"))
        if order.tag != T + "FieldOrder" or len(parts) != 1 or order.get("Order") not in ("Ascending", "Descending"):
            raise invalid("The sort order is invalid.", order)
        orders.append((_path(parts[0]), order.get("Order") == "Descending"))

    def key(one: Any, path: Path) -> tuple[bool, Any]:
        value = read(one, path)
        return (value is not None, value if value is not None else 0)

    def put_in_order(found: list[Any]) -> list[Any]:
        for path, backwards in reversed(orders):
            found = sorted(found, key=lambda one, path=path: key(one, path), reverse=backwards)  # type: ignore[misc]
        return found

    return put_in_order
