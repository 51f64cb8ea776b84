"""The contract's readable reference, source side: a mailbox in memory, and the Source that reads it.

``MemoryMailbox`` is what a person sees and changes; ``MemorySource`` is what a server would tell of it. The other side is
``MemoryTarget`` and ``MemoryDestination``, offered here too.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pybase64

from connectors.base import (
    Attachment,
    Change,
    Drop,
    Entry,
    Facts,
    Fetched,
    Folder,
    Gone,
    Item,
    Lane,
    Limits,
    Message,
    Page,
    Put,
    ReadFlag,
    Ref,
    Refusal,
    Role,
    digest_of,
)
from connectors.errors import StaleCursor
from connectors.memory_destination import MemoryDestination
from connectors.memory_target import (
    COMPOSE_CLASSES,
    Box,
    Content,
    MemoryTarget,
    covers,
    descendants,
    facts_of,
    pack,
    standard_boxes,
)

__all__ = ["Content", "MemoryDestination", "MemoryMailbox", "MemorySource", "MemoryTarget"]

EPOCH = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
"""Time of the first change in a mailbox in memory; each change is a minute later than the one before."""

_NAMES = itertools.count(1)


@dataclass(slots=True)
class Stored:
    """One item as it is now."""

    id: str
    folder_id: str
    content: Content
    created: datetime
    modified: datetime
    version: int
    size: int

    @property
    def change_key(self) -> str:
        return f"v{self.version}"


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    item_id: str
    what: str  # put, read, gone


class MemoryMailbox:
    """A mailbox to read from, and all that its user can do. Thread-safe. Ids are new after a move, as an Exchange server's are.

    Every special folder is there. ``inbox`` and the like are found by ``special``. Methods take and give ids.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.name = f"box{next(_NAMES)}"
        self.build = "1.0.0.0"
        self.boxes: dict[str, Box] = standard_boxes(f"{self.name}-f")
        self.items: dict[str, Stored] = {}
        self.clock = 0
        self.lineage = 0
        self._feeds: dict[str, list[_Event]] = {}
        self._numbers = itertools.count(1)

    # ---- folders

    def special(self, role: Role) -> str:
        """The id of a special folder."""
        return next(box.id for box in self.boxes.values() if box.role is role)

    def add_folder(self, name: str, parent: str | None = None, *, kind: str = "IPF.Note", hidden: bool = False) -> str:
        """Make a folder; directly below the top without ``parent``."""
        with self.lock:
            new = Box(self._new_id("f"), parent, name, kind, hidden=hidden)
            self.boxes[new.id] = new
            return new.id

    def rename_folder(self, folder_id: str, name: str) -> None:
        with self.lock:
            self.boxes[folder_id].name = name

    def move_folder(self, folder_id: str, parent: str | None) -> None:
        """The folder keeps its id, and so do its items."""
        with self.lock:
            self.boxes[folder_id].parent_id = parent

    def delete_folder(self, folder_id: str) -> None:
        """Delete it for good with all that is below."""
        with self.lock:
            for each in descendants(self.boxes, folder_id):
                for item in [item for item in self.items.values() if item.folder_id == each]:
                    self.delete(item.id)
                del self.boxes[each]

    # ---- items

    def put(
        self,
        folder_id: str,
        subject: str = "",
        *,
        item_class: str = "IPM.Note",
        size: int | None = None,
        message_id: str | None = "",
        search_key: bytes | None = None,
        has_attendees: bool = False,
        start: datetime | None = None,
        attachments: Sequence[Attachment] = (),
        **fields: Any,
    ) -> str:
        """A new item; ``fields`` are those of ``Message``. Message id, search key and times are made up unless given."""
        with self.lock:
            number, now = next(self._numbers), self._tick()
            made = f"<{self.name}.{number}@memory.example>" if covers(("IPM.Note",), item_class) else None
            times = {"submitted": now, "received": now + timedelta(seconds=2)} if made else {}
            message = replace(
                Message(subject=subject, message_id=made if message_id == "" else message_id, attachments=tuple(attachments)),
                **{**times, **fields},
            )
            key = (
                search_key
                if search_key is not None
                else hashlib.blake2b(f"{self.name}/{number}".encode(), digest_size=16).digest()
            )
            content = Content(item_class=item_class, message=message, search_key=key, has_attendees=has_attendees, start=start)
            return self._store(folder_id, content, size, now)

    def copy(self, item_id: str, folder_id: str) -> str:
        """A copy has its original's search key, message id and times."""
        with self.lock:
            old = self.items[item_id]
            return self._store(folder_id, old.content, old.size, self._tick())

    def edit(self, item_id: str, *, size: int | None = None, **fields: Any) -> None:
        """Change the content; ``fields`` are those of ``Message``."""
        with self.lock:
            item = self.items[item_id]
            item.content = replace(item.content, message=replace(item.content.message, **fields))
            item.size = size or item.content.size
            self._changed(item, "put")

    def mark_read(self, item_id: str, is_read: bool = True) -> None:
        with self.lock:
            item = self.items[item_id]
            item.content = replace(item.content, message=replace(item.content.message, is_read=is_read))
            self._changed(item, "read")

    def move(self, item_id: str, folder_id: str) -> str:
        """Move an item; it gets a new id, and nothing else of it changes."""
        with self.lock:
            item = self._take_out(item_id)
            item.id, item.folder_id = self._new_id("i"), folder_id
            self.items[item.id] = item
            self._tick()
            self._log(item, "put")
            return item.id

    def delete(self, item_id: str) -> None:
        """Delete an item for good."""
        with self.lock:
            self._take_out(item_id)

    def restore(self) -> dict[str, str]:
        """Give every item a new id, as after a restore; no cursor outlives it. Returns new ids by old ones."""
        with self.lock:
            self.expire_cursors()
            return {item_id: self.move(item_id, self.items[item_id].folder_id) for item_id in list(self.items)}

    def expire_cursors(self) -> None:
        """From now on every cursor given so far is foreign."""
        with self.lock:
            self.lineage += 1

    # ---- what a source needs to know

    def events(self, folder_id: str) -> list[_Event]:
        return self._feeds.setdefault(folder_id, [])

    def in_folder(self, folder_id: str) -> list[Stored]:
        return [item for item in self.items.values() if item.folder_id == folder_id]

    def _store(self, folder_id: str, content: Content, size: int | None, now: datetime) -> str:
        if folder_id not in self.boxes:
            raise LookupError("no such folder")
        item = Stored(self._new_id("i"), folder_id, content, now, now, self.clock, content.size if size is None else size)
        self.items[item.id] = item
        self._log(item, "put")
        return item.id

    def _take_out(self, item_id: str) -> Stored:
        item = self.items.pop(item_id)
        self._tick()
        self._log(item, "gone")
        return item

    def _changed(self, item: Stored, what: str) -> None:
        item.modified = self._tick()
        item.version = self.clock
        self._log(item, what)

    def _log(self, item: Stored, what: str) -> None:
        self.events(item.folder_id).append(_Event(self.clock, item.id, what))

    def _tick(self) -> datetime:
        self.clock += 1
        return EPOCH + timedelta(minutes=self.clock)

    def _new_id(self, kind: str) -> str:
        # Two ids that differ in case alone are two ids, as on a real server.
        number = next(self._numbers)
        return f"{self.name}-{kind}{number // 2}{'aA'[number % 2]}"


class MemorySource:
    """``connectors.base.Source`` over a ``MemoryMailbox``. ``page_size`` is how many changes a page has.

    A cursor is bound to its mailbox and folder, and holds where a listing began and how far it came, so that what happens
    while pages are read is told by the next listing. ``cannot_read`` gives the refusal of an item that can't be fetched.
    ``stamps``: change stamps that move with every change, none, or ones that lie: they move with the number of items alone.
    """

    def __init__(
        self,
        mailbox: MemoryMailbox,
        *,
        page_size: int = 512,
        limits: Limits | None = None,
        offers: frozenset[Lane] = frozenset(Lane),
        cannot_read: Callable[[str], Refusal | None] = lambda _: None,
        stamps: Literal["honest", "none", "lying"] = "honest",
    ) -> None:
        self.mailbox = mailbox
        self._page_size = page_size
        self._limits = limits or Limits()
        self._offers = offers
        self._cannot_read = cannot_read
        self._stamps = stamps
        self._figures: Counter[str] = Counter()

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def offers(self) -> frozenset[Lane]:
        return self._offers

    @property
    def build(self) -> str:
        return self.mailbox.build

    def folders(self) -> Iterator[Folder]:
        mailbox = self.mailbox
        with mailbox.lock:
            self._figures["requests.folders"] += 1
            top = [box.id for box in mailbox.boxes.values() if box.parent_id is None]
            found = [mailbox.boxes[each] for root in top for each in descendants(mailbox.boxes, root)]
            listed = [self._folder(box) for box in found]
        return iter(listed)

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        mailbox = self.mailbox
        with mailbox.lock:
            self._figures["requests.changes"] += 1
            base, at, began = self._read_cursor(folder, cursor)
            first: dict[str, int] = {}
            for event in mailbox.events(folder.id):
                if base < event.number <= began:
                    first.setdefault(event.item_id, event.number)
            ahead = [item_id for item_id, number in first.items() if number > at]
            told = ahead[: self._page_size]
            last = len(told) == len(ahead)
            found = [self._change(folder.id, item_id, base) for item_id in told]
            after = (began, began, 0) if last else (base, first[told[-1]], began)
            return Page(tuple(each for each in found if each is not None), self._cursor(folder, *after), last)

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        for ref in refs:
            with self.mailbox.lock:
                self._figures["requests.fetch"] += 1
                fetched = self._fetched(ref, lane)
            yield fetched

    def inventory(self, folder: Folder) -> Iterator[Entry]:
        with self.mailbox.lock:
            self._figures["requests.inventory"] += 1
            items = self.mailbox.in_folder(folder.id)
            entries = [Entry(item.id, _facts(item), item.change_key) for item in items]
        return iter(entries)

    def figures(self) -> dict[str, float]:
        return {"bytes.sent": 0.0, "bytes.received": 0.0, **self._figures}

    def close(self) -> None:
        """Nothing is held."""

    def _folder(self, box: Box) -> Folder:
        items = self.mailbox.in_folder(box.id)
        unread = sum(not item.content.message.is_read for item in items)
        events = self.mailbox.events(box.id)
        changed = events[-1].number if events and self._stamps == "honest" else 0
        return Folder(
            id=box.id,
            parent_id=box.parent_id,
            name=box.name,
            kind=box.kind,
            role=box.role,
            total=len(items),
            unread=unread,
            hidden=box.hidden,
            change_stamp=None if self._stamps == "none" else f"{changed}.{len(items)}.{unread if changed else 0}",
        )

    def _change(self, folder_id: str, item_id: str, base: int) -> Change | None:
        """What to tell of an item since ``base``; None if it came and went in between."""
        events = [event for event in self.mailbox.events(folder_id) if event.item_id == item_id]
        item = self.mailbox.items.get(item_id)
        if item is None or item.folder_id != folder_id:
            return Drop(item_id) if any(event.number <= base for event in events) else None
        if all(event.what == "read" for event in events if event.number > base):
            return ReadFlag(item_id, item.content.message.is_read, item.change_key)
        return Put(Ref(item_id, item.change_key, item.size), _facts(item))

    def _fetched(self, ref: Ref, lane: Lane) -> Fetched:
        item = self.mailbox.items.get(ref.id)
        if item is None:
            return Gone(ref)
        refusal = self._cannot_read(ref.id)
        if refusal is None and lane is Lane.COMPOSE and not covers(COMPOSE_CLASSES, item.content.item_class):
            refusal = Refusal("no-lane", "only mail can be composed")
        if refusal is not None:
            return refusal
        packed = pack(item.content)
        self._figures["bytes.received"] += len(packed)
        return Item(
            ref=Ref(item.id, item.change_key, item.size),
            lane=lane,
            item_class=item.content.item_class,
            digest=digest_of(packed),
            stream=packed if lane is Lane.IMPORT else None,
            message=item.content.message if lane is Lane.COMPOSE else None,
        )

    def _cursor(self, folder: Folder, *numbers: int) -> str:
        text = ":".join([self.mailbox.name, str(self.mailbox.lineage), folder.id, *map(str, numbers)])
        return pybase64.b64encode(text.encode()).decode()

    def _read_cursor(self, folder: Folder, cursor: str | None) -> tuple[int, int, int]:
        """Where the listing starts, how far it came, and where it ends."""
        now = self.mailbox.clock
        if cursor is None:
            return 0, 0, now
        try:
            name, lineage, folder_id, base, at, began = pybase64.b64decode(cursor, validate=True).decode().split(":")
        except ValueError:
            raise StaleCursor("this cursor is none of ours", code="cursor") from None
        if (name, lineage, folder_id) != (self.mailbox.name, str(self.mailbox.lineage), folder.id):
            raise StaleCursor("this cursor belongs elsewhere", code="cursor")
        return int(base), int(at), int(began) or now


def _facts(item: Stored) -> Facts:
    return facts_of(item.content, size=item.size, created=item.created, modified=item.modified)
