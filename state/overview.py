"""Sums over the whole ledger, for reports: a few statements whatever its size, each answered from an index or a small table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, func, select

from state.model import ItemState
from state.schema import folders, items, mailboxes, open_items, tallies

T = TypeVar("T")

STAYED: Final = (ItemState.REFUSED, ItemState.WITHHELD, ItemState.FILTERED)
"""The states whose rows say why they did not go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StayedSum:
    """Items of one mailbox that did not go, by state and reason. ``bytes`` by the source's own sizes."""

    mailbox_id: int
    state: ItemState
    reason: str
    items: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSum:
    """One folder: where it lies, how many items the source counts in it, and its rows by state."""

    mailbox_id: int
    folder_id: int
    path: str
    counted: int
    held: Mapping[ItemState, int]


class _Reading(Protocol):
    def __call__(self, unit: Callable[[Connection], T]) -> T: ...


class Overview:
    """The ledger's part for reports. Made by ``Ledger.overview``."""

    def __init__(self, read: _Reading) -> None:
        self._read = read

    def stayed(self) -> list[StayedSum]:
        """What did not go, by mailbox, state and reason."""
        opened = open_items.c
        # From the mailboxes on, so that each is a look-up in the index: most open rows of a seed are only waiting.
        query = (
            select(opened.mailbox_id, opened.state, opened.reason, func.count(), func.sum(items.c.size))
            .select_from(
                mailboxes.join(open_items, opened.mailbox_id == mailboxes.c.id).join(items, items.c.id == opened.item)
            )
            .where(opened.state.in_([state.value for state in STAYED]))
            .group_by(opened.mailbox_id, opened.state, opened.reason)
            .order_by(opened.mailbox_id, opened.state, opened.reason)
        )  # fmt: skip

        def unit(db: Connection) -> list[StayedSum]:
            return [
                StayedSum(mailbox_id=one[0], state=ItemState(one[1]), reason=one[2], items=int(one[3]), bytes=int(one[4] or 0))
                for one in db.execute(query)
            ]

        return self._read(unit)

    def rows(self) -> dict[int, int]:
        """How many rows there are of each mailbox, counted one by one."""
        query = select(items.c.mailbox_id, func.count()).group_by(items.c.mailbox_id)
        return self._read(lambda db: {one[0]: int(one[1]) for one in db.execute(query)})

    def folders(self, mailbox_id: int | None = None) -> list[FolderSum]:
        """Every folder that the source shows or that rows lie in, with its rows by state, by mailbox and path; of one or all."""
        place = select(
            folders.c.id, folders.c.mailbox_id, folders.c.source_id, folders.c.parent_source_id, folders.c.name, folders.c.total,
            folders.c.absent,
        ).order_by(folders.c.mailbox_id, folders.c.id)  # fmt: skip
        sums = select(tallies.c.folder_id, tallies.c.state, tallies.c["items"])
        if mailbox_id is not None:
            place = place.where(folders.c.mailbox_id == mailbox_id)
            sums = sums.where(tallies.c.mailbox_id == mailbox_id)

        def unit(db: Connection) -> list[FolderSum]:
            held: dict[int, dict[ItemState, int]] = {}
            for folder_id, state, number in db.execute(sums):
                held.setdefault(folder_id, {})[ItemState(state)] = int(number)
            places = list(db.execute(place))
            named = {(one.mailbox_id, one.source_id): one for one in places}
            found = [
                FolderSum(
                    mailbox_id=one.mailbox_id,
                    folder_id=one.id,
                    path=_path(one, named),
                    counted=0 if one.absent else int(one.total),
                    held=held.get(one.id, {}),
                )
                for one in places
                if not one.absent or any(held.get(one.id, {}).values())
            ]
            return sorted(found, key=lambda one: (one.mailbox_id, one.path.casefold()))

        return self._read(unit)

    def counted(self) -> dict[int, tuple[int, int]]:
        """By mailbox: how many folders the source shows, and how many items it counts in them."""
        query = (
            select(folders.c.mailbox_id, func.count(), func.sum(folders.c.total))
            .where(folders.c.absent == 0)
            .group_by(folders.c.mailbox_id)
        )
        return self._read(lambda db: {one[0]: (int(one[1]), int(one[2] or 0)) for one in db.execute(query)})


def _path(one: Any, named: Mapping[tuple[int, str], Any]) -> str:
    parts, seen = [one.name], {one.id}
    while (above := named.get((one.mailbox_id, one.parent_source_id or ""))) is not None and above.id not in seen:
        one = above
        seen.add(one.id)
        parts.append(one.name)
    return "/".join(reversed(parts))
