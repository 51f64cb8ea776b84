"""The worlds in which the contract is tested: a mailbox, its connector, and what its user does behind the connector's back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from connectors.base import (
    Address,
    Change,
    Destination,
    Facts,
    Folder,
    Identity,
    Item,
    Lane,
    Message,
    Put,
    Ref,
    Role,
    Source,
    hash_subject,
    identify,
)
from connectors.memory import Content, MemoryDestination, MemoryMailbox, MemorySource, MemoryTarget
from connectors.memory_target import pack

WHEN = datetime(2023, 5, 17, 9, 30, 12, tzinfo=UTC)


# ---- source


class SourceWorld(Protocol):
    """A source mailbox that a test may change. Ids are those that the source shows."""

    source: Source

    def special(self, role: Role) -> str: ...
    def add_folder(self, name: str, parent: str | None = None) -> str: ...
    def rename_folder(self, folder_id: str, name: str) -> None: ...
    def move_folder(self, folder_id: str, parent: str | None) -> None: ...
    def delete_folder(self, folder_id: str) -> None: ...
    def put(self, folder_id: str, subject: str) -> str: ...
    def edit(self, item_id: str, subject: str) -> None: ...
    def mark_read(self, item_id: str) -> None: ...
    def copy(self, item_id: str, folder_id: str) -> str: ...
    def move(self, item_id: str, folder_id: str) -> str: ...
    def delete(self, item_id: str) -> None: ...
    def foreign_cursor(self) -> str: ...


class MemorySourceWorld(MemoryMailbox):
    """A mailbox in memory, read in small pages."""

    def __init__(self, page_size: int = 3) -> None:
        super().__init__()
        self.source: Source = MemorySource(self, page_size=page_size)

    def edit(self, item_id: str, subject: str) -> None:  # type: ignore[override]
        super().edit(item_id, subject=subject)

    def foreign_cursor(self) -> str:
        other = MemoryMailbox()
        folder = next(MemorySource(other).folders())
        return MemorySource(other).changes(folder, None).cursor


def read(source: Source, folder: Folder, cursor: str | None = None) -> tuple[list[Change], str]:
    """All changes since a cursor, and the cursor after them."""
    changes: list[Change] = []
    for _ in range(1000):
        page = source.changes(folder, cursor)
        changes.extend(page.changes)
        cursor = page.cursor
        if page.last:
            return changes, cursor
    raise AssertionError("the feed has no end")


def folder_of(source: Source, folder_id: str) -> Folder:
    """The folder as the source shows it now."""
    return next(folder for folder in source.folders() if folder.id == folder_id)


def puts(changes: list[Change]) -> dict[str, Put]:
    return {change.ref.id: change for change in changes if isinstance(change, Put)}


# ---- destination


@dataclass(frozen=True, slots=True)
class Sample:
    """An item to write, and what a look-up knows of it."""

    item: Item
    identity: Identity


class DestinationWorld(Protocol):
    """A target mailbox; ``again`` opens it anew, as a later process would."""

    destination: Destination

    def again(self) -> Destination: ...
    def mail(self, lane: Lane, subject: str = "Hello", message_id: str | None = None, name: str = "") -> Sample: ...
    def mark_read(self, target_id: str) -> None: ...
    def delete(self, target_id: str) -> None: ...
    def rename_folder(self, folder_id: str, name: str) -> None: ...
    def delete_folder(self, folder_id: str) -> None: ...
    def folder_name(self, folder_id: str) -> str: ...
    def parent_of(self, folder_id: str) -> str | None: ...
    def sent(self) -> int: ...


def composed(subject: str, message_id: str) -> tuple[Message, Facts]:
    """A plain mail and its facts as a source lists them."""
    message = Message(
        subject=subject,
        body="Good morning",
        sender=Address("Anna", "anna@source.example"),
        to=(Address("Ben", "ben@source.example"),),
        message_id=message_id,
        submitted=WHEN,
        received=WHEN,
    )
    key = hashlib.blake2b(message_id.encode(), digest_size=16).digest()
    facts = Facts(
        search_key=key, message_id=message_id, subject_hash=hash_subject(subject), submitted=WHEN, received=WHEN, is_read=False
    )
    return message, facts


class MemoryDestinationWorld:
    """A target in memory. ``switches`` are those of ``MemoryDestination``."""

    def __init__(self, **switches: object) -> None:
        self.target = MemoryTarget()
        self._switches = switches
        self.destination = self.again()

    def again(self) -> Destination:
        return MemoryDestination(self.target, **self._switches)  # type: ignore[arg-type]

    def mail(self, lane: Lane, subject: str = "Hello", message_id: str | None = None, name: str = "") -> Sample:
        message, facts = composed(subject, message_id or f"<{subject}@source.example>")
        content = Content(message=message, search_key=facts.search_key or b"")
        item = Item(
            ref=Ref(name or subject, "v1", content.size),
            lane=lane,
            item_class="IPM.Note",
            digest=b"12345678",
            stream=pack(content) if lane is Lane.IMPORT else None,
            message=message if lane is Lane.COMPOSE else None,
        )
        return Sample(item, identify(facts))

    def mark_read(self, target_id: str) -> None:
        self.target.mark_read(target_id)

    def delete(self, target_id: str) -> None:
        self.target.delete(target_id)

    def rename_folder(self, folder_id: str, name: str) -> None:
        self.target.rename_folder(folder_id, name)

    def delete_folder(self, folder_id: str) -> None:
        self.target.delete_folder(folder_id)

    def folder_name(self, folder_id: str) -> str:
        return self.target.boxes[folder_id].name

    def parent_of(self, folder_id: str) -> str | None:
        return self.target.boxes[folder_id].parent_id

    def sent(self) -> int:
        return len(self.target.sent)
