"""A target in memory as the eyes of a cutover want it; ``graph.looking`` is the same of a real one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from connectors.base import Entry, Role
from connectors.memory_target import MemoryTarget

_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryLook:
    """Looks at a ``MemoryTarget``; the MIME of a message is its subject and its text."""

    def __init__(self, target: MemoryTarget) -> None:
        self._target = target

    def newest(self, limit: int) -> Sequence[Entry]:
        """The newest messages of the inbox, newest first."""
        entries = self._in(self._target.special(Role.INBOX))
        return sorted(entries, key=lambda entry: entry.facts.received or _NEVER, reverse=True)[:limit]

    def everything(self) -> Iterator[tuple[str, Entry]]:
        """Every item of every folder, with the folder's path."""
        with self._target.lock:
            places = {folder_id: self._target.path(folder_id) for folder_id in self._target.boxes}
        for folder_id, path in places.items():
            for entry in self._in(folder_id):
                yield path, entry

    def content(self, item_id: str) -> bytes | None:
        """A message as text; None if it is gone."""
        found = self._target.items.get(item_id)
        if found is None:
            return None
        return f"Subject: {found.content.message.subject}\r\n\r\n{found.content.message.body}".encode()

    def _in(self, folder_id: str) -> list[Entry]:
        with self._target.lock:
            items = self._target.in_folder(folder_id)
            return [Entry(item.id, item.facts, item.change_key, item.stamp) for item in items]
