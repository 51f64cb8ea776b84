"""Sums over the whole ledger, for reports: a few statements whatever its size, each answered from an index or a small table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, func, select

from state.model import ItemState
from state.schema import folders, items, mailboxes, open_items

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

    def counted(self) -> dict[int, tuple[int, int]]:
        """By mailbox: how many folders the source shows, and how many items it counts in them."""
        query = (
            select(folders.c.mailbox_id, func.count(), func.sum(folders.c.total))
            .where(folders.c.absent == 0)
            .group_by(folders.c.mailbox_id)
        )
        return self._read(lambda db: {one[0]: (int(one[1]), int(one[2] or 0)) for one in db.execute(query)})
