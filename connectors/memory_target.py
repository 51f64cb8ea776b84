"""A target mailbox in memory, and what its user does with it; the other half of the contract's readable reference.

It outlives the destinations that write to it, as a tenant outlives our process.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pybase64

from connectors.base import (
    Claim,
    Facts,
    Message,
    Role,
    hash_subject,
)

COMPOSE_CLASSES = ("IPM.Note", "REPORT", "IPM.Post")

_KINDS = {
    Role.CALENDAR: "IPF.Appointment",
    Role.CONTACTS: "IPF.Contact",
    Role.TASKS: "IPF.Task",
    Role.NOTES: "IPF.StickyNote",
    Role.JOURNAL: "IPF.Journal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What makes up an item on either side; an export stream is this, packed."""

    item_class: str = "IPM.Note"
    message: Message = field(default_factory=Message)
    search_key: bytes = b""
    has_attendees: bool = False
    start: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes, roughly as a store would count them."""
        message = self.message
        return 500 + len(message.subject) + len(message.body) + sum(len(each.content) for each in message.attachments)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Content)


def pack(content: Content) -> bytes:
    """An export stream in base64."""
    return pybase64.b64encode(_ENCODER.encode(content))


def unpack(stream: bytes) -> Content:
    """The content of an export stream. Raises ValueError if it is damaged."""
    return _DECODER.decode(pybase64.b64decode(stream, validate=True))


def facts_of(content: Content, *, size: int, created: datetime, modified: datetime) -> Facts:
    """What a listing tells of an item."""
    message = content.message
    return Facts(
        item_class=content.item_class,
        size=size,
        search_key=content.search_key or None,
        message_id=message.message_id,
        subject_hash=hash_subject(message.subject),
        submitted=message.submitted,
        received=message.received,
        created=created,
        modified=modified,
        start=content.start,
        is_read=message.is_read,
        has_attendees=content.has_attendees,
        wants_receipt=message.wants_read_receipt or message.wants_delivery_receipt,
    )


def covers(prefixes: Iterable[str], item_class: str) -> bool:
    """Whether a class is one of those or below one of them."""
    folded = item_class.casefold()
    return any(not each or folded == each.casefold() or folded.startswith(each.casefold() + ".") for each in prefixes)


@dataclass(slots=True)
class Box:
    """One folder of either side."""

    id: str
    parent_id: str | None
    name: str
    kind: str = "IPF.Note"
    role: Role | None = None
    hidden: bool = False


def standard_boxes(prefix: str) -> dict[str, Box]:
    """One folder for each role but the top itself."""
    boxes = (Box(f"{prefix}-{role}", None, role.value.title(), _KINDS.get(role, "IPF.Note"), role) for role in Role)
    return {box.id: box for box in boxes if box.role is not Role.ROOT}


def descendants(boxes: Mapping[str, Box], top: str) -> list[str]:
    """The folder and all below it, parents before children."""
    found = [top]
    for each in found:
        found.extend(box.id for box in boxes.values() if box.parent_id == each)
    return found


@dataclass(slots=True)
class Kept:
    """One item of the target as it is now."""

    id: str
    folder_id: str
    content: Content
    created: datetime
    modified: datetime
    version: int
    size: int
    stamp: str | None = None
    visible_from: float = 0.0

    @property
    def change_key(self) -> str:
        return f"t{self.version}"

    @property
    def facts(self) -> Facts:
        return facts_of(self.content, size=self.size, created=self.created, modified=self.modified)


class MemoryTarget:
    """A target mailbox and what its user can do with it. Thread-safe. ``sent`` stays empty: nothing here can e-mail anybody.

    ``clock`` gives seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.boxes: dict[str, Box] = standard_boxes("target")
        self.items: dict[str, Kept] = {}
        self.claim: Claim | None = None
        self.sent: list[object] = []
        self._numbers = itertools.count(1)

    # ---- what a test looks at

    def in_folder(self, folder_id: str) -> list[Kept]:
        """The items of a folder."""
        return [item for item in self.items.values() if item.folder_id == folder_id]

    def special(self, role: Role) -> str:
        """The id of a special folder."""
        return next(box.id for box in self.boxes.values() if box.role is role)

    def path(self, folder_id: str) -> str:
        """Names from the top, joined by ``/``."""
        box = self.boxes[folder_id]
        return box.name if box.parent_id is None else f"{self.path(box.parent_id)}/{box.name}"

    # ---- what a user does

    def mark_read(self, item_id: str, is_read: bool = True) -> None:
        with self.lock:
            item = self.items[item_id]
            self.change(item, replace(item.content, message=replace(item.content.message, is_read=is_read)))

    def edit(self, item_id: str, **fields: Any) -> None:
        """Change the content; ``fields`` are those of ``Message``."""
        with self.lock:
            item = self.items[item_id]
            self.change(item, replace(item.content, message=replace(item.content.message, **fields)))

    def move(self, item_id: str, folder_id: str) -> None:
        """Move an item, which keeps its id."""
        with self.lock:
            item = self.items[item_id]
            item.folder_id = folder_id
            self.change(item, item.content)

    def delete(self, item_id: str) -> None:
        with self.lock:
            del self.items[item_id]

    def rename_folder(self, folder_id: str, name: str) -> None:
        with self.lock:
            self.boxes[folder_id].name = name

    def delete_folder(self, folder_id: str) -> None:
        """Delete it for good with all that is below."""
        with self.lock:
            for each in descendants(self.boxes, folder_id):
                for item in self.in_folder(each):
                    del self.items[item.id]
                del self.boxes[each]

    def deliver(self, folder_id: str, content: Content) -> str:
        """An item that came by another way than ours."""
        return self.add(folder_id, content).id

    # ---- what a destination does

    def add(
        self, folder_id: str, content: Content, *, stamp: str | None = None, lag: float = 0.0, size: int | None = None
    ) -> Kept:
        with self.lock:
            item = Kept(
                id=self.new_id("item"),
                folder_id=folder_id,
                content=content,
                created=self.now(),
                modified=self.now(),
                version=next(self._numbers),
                size=content.size if size is None else size,
                stamp=stamp,
                visible_from=self.clock() + lag,
            )
            self.items[item.id] = item
            return item

    def change(self, item: Kept, content: Content) -> None:
        item.content, item.version, item.modified = content, next(self._numbers), self.now()

    def new_id(self, kind: str) -> str:
        number = next(self._numbers)
        return f"target-{kind}{number // 2}{'aA'[number % 2]}"

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)
