"""The part of OData's $filter that Outlook's resources understand: comparisons, and, or, and ``any`` over extended properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .appointments import END, START
from .tenant_call import Call, GraphError
from .tenant_index import STAMP_ENDING, Index, is_property, property_of, when
from .truth import Item

_TOKEN = re.compile(
    r"\s*(?:(?P<any>singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\2/id eq '(?P<id>(?:[^']|'')*)'"
    r" and \2/value eq '(?P<value>(?:[^']|'')*)'\s*\))"
    r"|(?P<par>[()])|(?P<text>'(?:[^']|'')*')|(?P<word>[^\s()']+))",
    re.IGNORECASE,
)


def _wall(item: Item, key: str) -> str | None:
    """A moment as text by the clock of UTC, which is how the filter compares it."""
    value = item.extended.get(key)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else None


_FIELDS: dict[str, Callable[[Item], object]] = {
    "internetMessageId": lambda item: item.message_id,
    "sentDateTime": lambda item: item.submitted,
    "receivedDateTime": lambda item: item.received,
    "createdDateTime": lambda item: item.created,
    "lastModifiedDateTime": lambda item: item.modified,
    "isRead": lambda item: item.is_read,
    "isDraft": lambda item: item.is_draft,
    "subject": lambda item: item.subject,
    "start/dateTime": lambda item: _wall(item, START),
    "end/dateTime": lambda item: _wall(item, END),
    "hasAttachments": lambda item: any(not part.inline for part in item.parts),
}
_KINDS = {name: datetime if name.endswith("DateTime") else bool if name[:2] in ("is", "ha") else str for name in _FIELDS}
_WORDS = re.compile(r"'(?:[^']|'')*'|[A-Za-z]+")
_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ge": lambda a, b: a is not None and a >= b,  # type: ignore[operator]
    "gt": lambda a, b: a is not None and a > b,  # type: ignore[operator]
    "le": lambda a, b: a is not None and a <= b,  # type: ignore[operator]
    "lt": lambda a, b: a is not None and a < b,  # type: ignore[operator]
}


@dataclass(slots=True)
class Filter:
    """A filter read. ``near`` are the ids of items that can match, None if every item has to be looked at."""

    test: Callable[[Item], bool]
    near: set[str] | None


def read_filter(text: str, index: Index) -> Filter:
    """Read a filter. Raises GraphError for what Outlook would refuse."""
    tokens: list[re.Match[str]] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused()
        tokens.append(found)
        at = found.end()
    reader = _Reader(tokens, index)
    result = reader.either()
    if reader.at != len(tokens):
        raise _refused()
    return result


def ordered(call: Call, items: list[Item]) -> list[Item]:
    """The items as $orderby wants them; what it names has to come first in a filter, in the same order. Raises GraphError.

    [learn.microsoft.com/graph/api/user-list-messages]
    """
    asked = [one.split() for one in call.query.get("$orderby", "").split(",") if one.strip()]
    for words in asked:
        if words[0] not in _FIELDS or len(words) > 2 or words[1:] not in ([], ["asc"], ["desc"]):
            raise _refused()
    named = [word for word in _WORDS.findall(call.query.get("$filter", "")) if word in _FIELDS]
    if asked and named and list(dict.fromkeys(named))[: len(asked)] != [words[0] for words in asked]:
        raise GraphError(400, "InefficientFilter", "The restriction or sort order is too complex for this operation.")
    for words in reversed(asked):
        read, down = _FIELDS[words[0]], words[-1] == "desc"
        without = [item for item in items if read(item) is None]
        items = sorted((item for item in items if read(item) is not None), key=read, reverse=down)  # type: ignore[arg-type]
        items = items + without if down else without + items
    return items


def _refused() -> GraphError:
    return GraphError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")


class _Reader:
    def __init__(self, tokens: list[re.Match[str]], index: Index) -> None:
        self.tokens, self.index, self.at = tokens, index, 0

    def _word(self) -> str:
        return self.tokens[self.at].group(0).strip() if self.at < len(self.tokens) else ""

    def either(self) -> Filter:
        found = self.both()
        while self._word().lower() == "or":
            self.at += 1
            one, other = found, self.both()
            near = one.near | other.near if one.near is not None and other.near is not None else None
            found = Filter(lambda item, a=one, b=other: a.test(item) or b.test(item), near)  # type: ignore[misc]
        return found

    def both(self) -> Filter:
        found = self.one()
        while self._word().lower() == "and":
            self.at += 1
            one, other = found, self.one()
            near = one.near if other.near is None else other.near if one.near is None else one.near & other.near
            found = Filter(lambda item, a=one, b=other: a.test(item) and b.test(item), near)  # type: ignore[misc]
        return found

    def one(self) -> Filter:
        if self.at >= len(self.tokens):
            raise _refused()
        token = self.tokens[self.at]
        self.at += 1
        if token.group("any"):
            return self._any(token.group("id").replace("''", "'"), token.group("value").replace("''", "'"))
        if token.group("par") == "(":
            found = self.either()
            if self._word() != ")":
                raise _refused()
            self.at += 1
            return found
        field, operator, value = token.group("word") or "", self._word().lower(), ""
        self.at += 1
        if self.at < len(self.tokens):
            value = self.tokens[self.at].group(0).strip()
        self.at += 1
        if field not in _FIELDS or operator not in _COMPARE:
            raise _refused()
        return self._comparison(field, operator, value)

    def _any(self, name: str, value: str) -> Filter:
        if not is_property(name):
            raise _refused()
        wanted = value.lower()
        # The property's name counts with its case, its value without [MS docs: singleValueLegacyExtendedProperty].
        near = set(self.index.by_stamp.get(wanted, ())) if name.lower().endswith(STAMP_ENDING) else None
        return Filter(lambda item: (property_of(item, name, 0) or "\0").lower() == wanted, near)

    def _comparison(self, field: str, operator: str, text: str) -> Filter:
        read, compare = _FIELDS[field], _COMPARE[operator]
        value: object
        near = None
        if text.startswith("'"):
            value = text[1:-1].replace("''", "'")
            if field == "internetMessageId" and operator == "eq":
                near = set(self.index.by_message_id.get(str(value), ()))
                return Filter(lambda item: (item.message_id or "").strip() == value, near)
        elif text.lower() in ("true", "false"):
            value = text.lower() == "true"
        else:
            try:
                value = when(text)
            except ValueError:
                raise _refused() from None
        if not isinstance(value, _KINDS[field]):
            raise _refused()
        exact = value

        def test(item: Item) -> bool:
            found = read(item)
            if isinstance(found, datetime):
                found = found.replace(microsecond=0)
            return compare(found, exact)

        return Filter(test, near)
