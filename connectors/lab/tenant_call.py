"""One request to the tenant and its answer, apart from HTTP, so that parts of a batch are answered like requests of their own."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_plus

import orjson

from .tenant_index import Index, is_property
from .truth import Item

TOP_DEFAULT, TOP_MOST = 10, 1000
FOUR_MB = 4 * 1024 * 1024

_MAIL_CLASSES = ("ipm.note", "report", "ipm.schedule", "ipm.post", "ipm.sharing", "ipm.recall", "ipm.outlook")

Shape = type | list[Any] | dict[str, Any]
"""What a value has to be: of a type, a list of such, or an object whose properties are given."""

PROPERTIES: dict[str, Any] = {
    "singleValueExtendedProperties": [{"id": str, "value": str}],
    "multiValueExtendedProperties": [{"id": str, "value": [str]}],
}


@dataclass(slots=True)
class Call:
    """A request as the handlers see it. ``names`` are the parts of the path that the route named."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base: str
    app: str = ""
    names: dict[str, str] = field(default_factory=dict)
    index: Index | None = None
    import_base: str = ""
    session_seconds: float = 3600.0
    visible_after: float = 0.0
    created_now: bool = True
    well_known_names: bool = False
    tenant_id: str = ""
    uploads: dict[str, Any] = field(default_factory=dict)
    sessions: dict[str, Any] = field(default_factory=dict)

    @property
    def box(self) -> Index:
        """The mailbox at hand."""
        if self.index is None:
            raise GraphError(404, "ErrorInvalidUser", "The requested user is invalid.")
        return self.index

    @property
    def immutable(self) -> bool:
        """Whether ids that survive a move are asked for."""
        return 'idtype="immutableid"' in self.headers.get("prefer", "").lower()

    def mailbox_id(self) -> str:
        """The mailbox as the import and export interface names it."""
        return f"MBX:{self.box.mailbox.guid}@{self.tenant_id}"

    def visible(self, item: Item) -> bool:
        """Whether lists and filters show an item yet."""
        born = self.box.born.get(item.id)
        return not self.visible_after or born is None or (datetime.now(UTC) - born).total_seconds() >= self.visible_after

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises GraphError."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise GraphError(400, "UnableToDeserializePostBody", "were unable to deserialize") from None
        if not isinstance(found, dict):
            raise GraphError(400, "UnableToDeserializePostBody", "were unable to deserialize")
        return found


@dataclass(slots=True)
class Answer:
    """An answer: a body for JSON, or raw bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def written(self) -> bytes:
        """The body as bytes."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else orjson.dumps(self.body)


class GraphError(Exception):
    """An error answer of Graph's: status, code and message."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}

    def answer(self) -> Answer:
        """It as an answer."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        inner = {"date": stamp, "request-id": "00000000-0000-0000-0000-000000000000"}
        return Answer(self.status, {"error": {"code": self.code, "message": self.message, "innerError": inner}}, self.headers)


def fits(value: Any, shape: Shape) -> bool:
    """Whether a value of JSON is of a shape; null always is, and what is OData's own is not looked at."""
    if value is None:
        return True
    if isinstance(shape, list):
        return isinstance(value, list) and all(one is not None and fits(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            "@odata" in name or (name in shape and fits(inner, shape[name])) for name, inner in value.items()
        )
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


def check(given: dict[str, Any], shape: dict[str, Any], kind: str) -> dict[str, Any]:
    """The body itself if all its properties are known and of their types. Raises GraphError."""
    for name, value in given.items():
        if not fits({name: value}, shape):
            text = f"The property '{name}' does not exist on type 'microsoft.graph.{kind}' or is of another type."
            raise GraphError(400, "RequestBodyRead", text)
    return given


def read_query(text: str) -> dict[str, str]:
    """The options of a query string."""
    found: dict[str, str] = {}
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            found[unquote_plus(name)] = unquote_plus(value)
    return found


def is_mail(item: Item) -> bool:
    """Whether an item is shown as a message."""
    return item.item_class.lower().startswith(_MAIL_CLASSES)


def gone(what: str = "object") -> GraphError:
    """It is not there."""
    return GraphError(404, "ErrorItemNotFound", f"The specified {what} was not found in the store.")


def find(call: Call, name: str = "message") -> Item:
    """The item that the path names; one that is no mail is no message. Raises GraphError."""
    item = call.box.item(call.names[name])
    if item is None or (name == "message" and not is_mail(item)):
        raise gone()
    return item


def page(call: Call, rows: list[Any], shown: Any, context: str) -> Answer:
    """One page of a collection: ``shown(row)`` of as many rows as asked for, and a link to the rest."""
    try:
        top, start = int(call.query.get("$top", TOP_DEFAULT)), int(call.query.get("$skip", 0))
        if token := call.query.get("$skiptoken"):
            start = int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    except ValueError:
        top = start = 0
    if not 1 <= top <= TOP_MOST or start < 0:
        raise GraphError(400, "ErrorInvalidUrlQueryFilter", "The value of $top or $skip is out of range.")
    expanded(call)  # what can't be read is refused, even where there is nothing to show
    body: dict[str, Any] = {"@odata.context": f"{call.base}/v1.0/$metadata#{context}"}
    if call.query.get("$count", "").lower() == "true":
        body["@odata.count"] = len(rows)
    body["value"] = [shown(row) for row in rows[start : start + top]]
    if start + top < len(rows):
        token = base64.urlsafe_b64encode(str(start + top).encode()).decode().rstrip("=")
        kept = {name: value for name, value in call.query.items() if name not in ("$skip", "$skiptoken")}
        kept["$skiptoken"] = token
        options = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in kept.items())
        body["@odata.nextLink"] = f"{call.base}{call.path}?{options}"
    return Answer(200, body)


_IDS = re.compile(r"id eq '((?:[^']|'')*)'")


def expanded(call: Call) -> list[str]:
    """The names of extended properties that $expand asks for."""
    asked = call.query.get("$expand", "")
    if "singleValueExtendedProperties" not in asked:
        return []
    names = [name.replace("''", "'") for name in _IDS.findall(asked)]
    if not all(map(is_property, names)):
        raise GraphError(400, "ErrorInvalidUrlQuery", "The id of an extended property can't be read.")
    return names


def chosen(call: Call, shown: dict[str, Any], always: tuple[str, ...] = ("id",)) -> dict[str, Any]:
    """Only what $select asks for."""
    asked = call.query.get("$select")
    if not asked:
        return shown
    wanted = {*asked.split(","), *always, "singleValueExtendedProperties", "attachments"}
    return {name: value for name, value in shown.items() if name in wanted or name.startswith("@")}
