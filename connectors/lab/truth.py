"""What the simulated mailboxes really hold, apart from any wire.

Both faces, the Exchange server and the tenant, are views over these values; tests and ``migrator lab dump`` look here.
"""

from __future__ import annotations

import hashlib
import html
import re
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .setups import Setup


def now() -> datetime:
    """The present moment in UTC, whole milliseconds, as Exchange stores times."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(slots=True)
class Person:
    """A name and an address as a message holds them; the address may be empty or no SMTP address."""

    name: str = ""
    address: str = ""


@dataclass(slots=True)
class Part:
    """One attachment. ``kind`` is ``file`` or ``message`` (a nested message; ``content`` is then its RFC 5322 bytes).

    ``photo`` marks the picture of a contact.
    """

    name: str
    content_type: str
    content: bytes
    inline: bool = False
    content_id: str | None = None
    kind: str = "file"
    id: str = ""
    photo: bool = False


@dataclass(slots=True)
class Item:
    """One item of a mailbox, of any class. Times are aware and in UTC; None where the item has none.

    ``mime`` is the original RFC 5322 text, byte for byte, where the item came from such; it travels inside the export stream.
    ``extended`` holds further MAPI properties: key is the text that both wires use, e.g. ``Integer 0x1080`` or
    ``String {guid} Name X``; values are str, int, bool, bytes, datetime or lists of those.
    """

    id: str = ""
    change: int = 0
    folder_id: str = ""
    item_class: str = "IPM.Note"
    subject: str = ""
    body_text: str | None = None
    body_html: str | None = None
    sender: Person | None = None
    author: Person | None = None
    to: list[Person] = field(default_factory=list)
    cc: list[Person] = field(default_factory=list)
    bcc: list[Person] = field(default_factory=list)
    reply_to: list[Person] = field(default_factory=list)
    message_id: str | None = None
    in_reply_to: str | None = None
    references: str | None = None
    headers: str | None = None
    search_key: bytes = b""
    submitted: datetime | None = None
    received: datetime | None = None
    created: datetime | None = None
    modified: datetime | None = None
    is_read: bool = False
    is_draft: bool = False
    importance: int = 1
    sensitivity: int = 0
    categories: list[str] = field(default_factory=list)
    flag: str = "notFlagged"
    flag_start: datetime | None = None
    flag_due: datetime | None = None
    flag_completed: datetime | None = None
    wants_read_receipt: bool = False
    wants_delivery_receipt: bool = False
    parts: list[Part] = field(default_factory=list)
    mime: bytes | None = None
    extended: dict[str, object] = field(default_factory=dict)

    @property
    def words(self) -> str | None:
        """The text of the body; made from its HTML where it has no other, as a store does. None without a body."""
        if self.body_text is not None or self.body_html is None:
            return self.body_text
        return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?i)<(?:br|/p|/div)[^>]*>", "\r\n", self.body_html)))

    @property
    def size(self) -> int:
        """Bytes as a store would count them, roughly."""
        texts = (self.body_text or "", self.body_html or "", self.subject, self.headers or "")
        return 500 + sum(len(text) for text in texts) + sum(len(part.content) + 200 for part in self.parts)


@dataclass(slots=True)
class Box:
    """One folder. ``role`` is a distinguished id as the source's wire names it (``inbox``), or None."""

    id: str
    parent_id: str | None
    name: str
    kind: str = "IPF.Note"
    role: str | None = None
    hidden: bool = False
    change: int = 0
    extended: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """One line of a mailbox's history, in order: what happened to which item or folder.

    ``what`` is ``new``, ``edit``, ``read``, ``gone``, ``folder-new``, ``folder-edit`` or ``folder-gone``.
    """

    number: int
    what: str
    folder_id: str
    item_id: str = ""


@dataclass(slots=True)
class Mailbox:
    """One mailbox: folders, items, and the history from which every kind of sync state is answered."""

    address: str
    display_name: str
    guid: str
    root_id: str
    boxes: dict[str, Box] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    by_folder: dict[str, dict[str, None]] = field(default_factory=dict)
    _below: dict[str | None, dict[str, None]] = field(default_factory=dict, repr=False)
    history: list[Event] = field(default_factory=list)
    clock: int = 0
    sent: list[dict[str, object]] = field(default_factory=list)
    """Whatever this mailbox would have e-mailed to anybody: invitations, updates, cancellations, receipts."""
    setup: Setup = field(default_factory=Setup)
    """Rules, categories and the like, as the source has them."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def tick(self, what: str, folder_id: str, item_id: str = "") -> int:
        """Write one line of history and return its number."""
        self.clock += 1
        self.history.append(Event(self.clock, what, folder_id, item_id))
        return self.clock

    def add_box(self, box: Box) -> Box:
        """Take in a folder; its name must be free below its parent, in any case."""
        self.boxes[box.id] = box
        self.by_folder.setdefault(box.id, {})
        self._below.setdefault(box.parent_id, {})[box.id] = None
        box.change = self.tick("folder-new", box.id)
        return box

    def move_box(self, box: Box, parent_id: str | None) -> None:
        """Put a folder below another one."""
        self._below.setdefault(box.parent_id, {}).pop(box.id, None)
        self._below.setdefault(parent_id, {})[box.id] = None
        box.parent_id = parent_id
        box.change = self.tick("folder-edit", box.id)

    def add(self, item: Item) -> Item:
        """Take in an item, which already has its id and folder."""
        self.items[item.id] = item
        self.by_folder.setdefault(item.folder_id, {})[item.id] = None
        item.change = self.tick("new", item.folder_id, item.id)
        return item

    def touch(self, item: Item, what: str = "edit") -> None:
        """Note that an item changed: ``edit`` for content, ``read`` for the read flag alone."""
        item.change = self.tick(what, item.folder_id, item.id)

    def remove(self, item_id: str) -> Item:
        """Take an item out for good."""
        item = self.items.pop(item_id)
        self.by_folder[item.folder_id].pop(item_id, None)
        self.tick("gone", item.folder_id, item_id)
        return item

    def items_in(self, folder_id: str) -> list[Item]:
        """The folder's items, in the order they came."""
        return [self.items[item_id] for item_id in self.by_folder.get(folder_id, {})]

    def children(self, folder_id: str) -> list[Box]:
        """The folders directly below one."""
        return [box for own in self._below.get(folder_id, ()) if (box := self.boxes.get(own)) is not None]

    def by_role(self, role: str) -> Box | None:
        """The special folder of that role."""
        return next((box for box in self.boxes.values() if box.role == role), None)

    def path(self, box: Box) -> str:
        """Names from the top, joined by ``/``."""
        names: list[str] = []
        at: Box | None = box
        while at is not None and at.id != self.root_id:
            names.append(at.name)
            at = self.boxes.get(at.parent_id or "")
        return "/".join(reversed(names))

    def walk(self) -> Iterator[Box]:
        """Every folder below the top, parents before children."""
        queue = deque([self.root_id])
        while queue:
            for box in self.children(queue.popleft()):
                yield box
                queue.append(box.id)


@dataclass(slots=True)
class Estate:
    """All mailboxes of one side, by lower-case address."""

    mailboxes: dict[str, Mailbox] = field(default_factory=dict)

    def get(self, address: str) -> Mailbox | None:
        """The mailbox of an address, in any case."""
        return self.mailboxes.get(address.lower())

    def add(self, mailbox: Mailbox) -> Mailbox:
        self.mailboxes[mailbox.address.lower()] = mailbox
        return mailbox


def seeded_bytes(*parts: object, length: int = 16) -> bytes:
    """Bytes that depend on the parts alone, so that the same seed makes the same lab."""
    return hashlib.shake_128("\x1f".join(map(str, parts)).encode()).digest(length)
