"""A target mailbox with what look-ups need: wire ids, message ids and stamps, kept in step with the mailbox's history."""

from __future__ import annotations

import base64
import re
import threading
from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from .tenant_factory import new_permissions, new_settings
from .truth import Box, Item, Mailbox, seeded_bytes

STAMP_ENDING = "name migrationstamp"
SPECIAL = (
    "msgfolderroot", "inbox", "drafts", "sentitems", "deleteditems", "junkemail", "outbox", "archive", "conversationhistory",
    "calendar", "contacts", "tasks", "notes", "journal",
)  # fmt: skip


_PROPERTY = re.compile(
    r"(?:String|Integer|Short|Long|Double|Float|Boolean|Binary|SystemTime|CLSID|Currency|ApplicationTime)(?:Array)?"
    r" (?:0x[0-9a-f]{1,8}|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\} (?:Name .+|Id 0x[0-9a-f]{1,8}))",
    re.IGNORECASE | re.DOTALL,
)


def is_property(name: str) -> bool:
    """Whether an extended property can be named so [learn.microsoft.com/graph/api/resources/extended-properties-overview]."""
    return _PROPERTY.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def levelled(name: str) -> str:
    """An extended property's name as the server compares it: type, set and number without regard to case and leading zeros,
    a name in words by the letter. Takes whatever is named in truth, too."""
    head, words, own = name.partition(" Name ")
    before, _, number = head.rpartition(" ")
    if number[:2].lower() == "0x" and not words:
        try:
            return f"{before.lower()} {int(number, 16):#x}"
        except ValueError:
            return name.lower()
    return head.lower() + words + own


def when(text: str) -> datetime:
    """A time of the wire. Raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shown_time(moment: datetime | None) -> str | None:
    """A time as Graph writes it: whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wire_of(*parts: object, length: int) -> str:
    """An id as the wire shows it: always the same for the same parts."""
    return base64.urlsafe_b64encode(seeded_bytes(*parts, length=length)).decode()


class Index:
    """One mailbox's wire. Ids: 72 characters that survive a move, or 152 that do not."""

    def __init__(self, mailbox: Mailbox, size_delta: int) -> None:
        self.mailbox = mailbox
        self.size_delta = size_delta
        self.by_wire: dict[str, str] = {}
        self.by_message_id: dict[str, dict[str, None]] = defaultdict(dict)
        self.by_stamp: dict[str, dict[str, None]] = defaultdict(dict)
        self.folders: dict[str, str] = {}
        self._keys: dict[str, tuple[str, str, str, str]] = {}
        self._read = 0
        self.born: dict[str, datetime] = {}
        self.categories: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.settings = new_settings()
        self.permissions = new_permissions()
        self.lock = threading.RLock()

    def catch_up(self) -> None:
        """Take in what happened to the mailbox since, whoever did it."""
        history = self.mailbox.history
        while self._read < len(history):
            event = history[self._read]
            self._read += 1
            if event.what.startswith("folder"):
                wire = self.folder_wire(event.folder_id)
                if event.folder_id in self.mailbox.boxes:
                    self.folders[wire] = event.folder_id
                else:
                    self.folders.pop(wire, None)
            elif event.item_id:
                self._take_in(event.item_id)

    def _take_in(self, item_id: str) -> None:
        if (keys := self._keys.pop(item_id, None)) is not None:
            immutable, classic, message_id, stamp = keys
            self.by_wire.pop(immutable, None)
            self.by_wire.pop(classic, None)
            self.by_message_id[message_id].pop(item_id, None)
            self.by_stamp[stamp].pop(item_id, None)
        item = self.mailbox.items.get(item_id)
        if item is None:
            return
        stamp = next((str(v) for k, v in item.extended.items() if k.lower().endswith(STAMP_ENDING)), "").lower()
        keys = (self.immutable(item), self.classic(item), (item.message_id or "").strip(), stamp)
        self._keys[item_id] = keys
        self.by_wire[keys[0]] = self.by_wire[keys[1]] = item_id
        if keys[2]:
            self.by_message_id[keys[2]][item_id] = None
        if stamp:
            self.by_stamp[stamp][item_id] = None

    def immutable(self, item: Item) -> str:
        return wire_of("immutable", item.id, length=54)

    def classic(self, item: Item) -> str:
        return wire_of("classic", item.id, item.folder_id, length=114)

    def wire(self, item: Item, immutable: bool) -> str:
        """An item's id on the wire."""
        return self.immutable(item) if immutable else self.classic(item)

    def folder_wire(self, box_id: str) -> str:
        """A folder's id on the wire, always the same."""
        return wire_of("folder", box_id, length=90)

    def item(self, wire: str) -> Item | None:
        """The item of a wire id, of either kind."""
        return self.mailbox.items.get(self.by_wire.get(wire, ""))

    def folder(self, wire: str) -> Box | None:
        """The folder of a wire id or a well-known name."""
        if wire.lower() in SPECIAL:
            if wire.lower() == "msgfolderroot":
                return self.mailbox.boxes.get(self.mailbox.root_id)
            return self.mailbox.by_role(wire.lower())
        return self.mailbox.boxes.get(self.folders.get(wire, ""))

    def change_key(self, change: int) -> str:
        """A change key; another one after every change."""
        return base64.b64encode(
            b"\x09\x00\x00\x00" + seeded_bytes(self.mailbox.guid, length=12) + change.to_bytes(8, "big")
        ).decode()

    def size(self, item: Item) -> int:
        """The size as this store counts it, which is not the source's."""
        return item.size + self.size_delta


def property_of(item: Item, name: str, size: int) -> str | None:
    """An extended property's value as text; None if the item has none such."""
    known = _KNOWN.get(levelled(name))
    if known is not None:
        value = known(item)
    elif levelled(name) == "integer 0xe08":
        value = size
    else:
        wanted = levelled(name)
        value = next((v for k, v in item.extended.items() if levelled(k) == wanted), None)
    return None if value is None else shown_value(value)


def shown_value(value: object) -> str:
    """A property's value as text, which every value is on the wire."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return shown_time(value) or ""
    return str(value)


def _flags(item: Item) -> int:
    return (1 if item.is_read else 0) | (8 if item.is_draft else 4) | (0x10 if item.parts else 0)


_KNOWN: dict[str, Any] = {
    levelled(name): read
    for name, read in {
        "Integer 0x0E07": _flags,
        "SystemTime 0x0E06": lambda item: item.received,
        "SystemTime 0x0039": lambda item: item.submitted,
        "String 0x007D": lambda item: item.headers,
        "String 0x1042": lambda item: item.in_reply_to,
        "String 0x1039": lambda item: item.references,
        "String 0x001A": lambda item: item.item_class,
        "Integer 0x0036": lambda item: item.sensitivity,
        "Binary 0x300B": lambda item: item.search_key or None,
        "String 0x1035": lambda item: item.message_id,
        "String 0x0037": lambda item: item.subject,
        "String 0x1000": lambda item: item.words,
        "Integer 0x0017": lambda item: item.importance,
        "Boolean 0x0029": lambda item: item.wants_read_receipt,
    }.items()
}


def set_property(item: Item, name: str, value: str) -> bool:
    """Set an extended property from its text; False if its name can't be read or the value is none of its type."""
    if not is_property(name):
        return False
    wanted = levelled(name)
    try:
        match wanted:
            case "integer 0xe07":
                flags = int(value)
                item.is_draft, item.is_read = bool(flags & 8), item.is_read or bool(flags & 1)
            case "systemtime 0xe06":
                item.received = when(value)
            case "systemtime 0x39":
                item.submitted = when(value)
            case "string 0x7d":
                item.headers = value
            case "string 0x1042":
                item.in_reply_to = value
            case "string 0x1039":
                item.references = value
            case "string 0x1a":
                item.item_class = value
            case "integer 0x36":
                item.sensitivity = int(value)
            case "integer 0x17":
                item.importance = int(value)
            case "string 0x37":
                item.subject = value
            case "boolean 0x29":
                item.wants_read_receipt = _truth(value)
            case _:
                key = next((k for k in item.extended if levelled(k) == wanted), name)
                item.extended[key] = _typed(name.partition(" ")[0].lower(), value)
    except ValueError:
        return False
    return True


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("true", "1")


def _typed(kind: str, value: str) -> object:
    if kind in ("integer", "long", "short"):
        return int(value)
    if kind == "boolean":
        return _truth(value)
    if kind == "systemtime":
        return when(value)
    if kind == "binary":
        return base64.b64decode(value, validate=True)
    return value
