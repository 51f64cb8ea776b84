"""What a cutover waits for, and what may follow after it.

Calendar, contacts, tasks and everything else that is no mail is required, and so is mail since the mailbox's date (``since`` in
the spreadsheet, else ``run.required_since``). Older mail that the target does not hold yet is BACKFILL: each pass carries it
after everything else, and it has a line of its own in the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from connectors.reading import is_mail
from state.model import PENDING, ItemState, MailboxState, PassKind

if TYPE_CHECKING:
    from connectors.base import Facts
    from state.store import Ledger


@dataclass(frozen=True, slots=True)
class Parts:
    """What is still to carry of one mailbox, in items and bytes. ``required`` is what a cutover waits for."""

    required: int
    required_bytes: int
    backfill: int
    backfill_bytes: int


def open_parts(ledger: Ledger, mailbox_id: int) -> Parts:
    """How much of a mailbox is open, by what a cutover waits for. Reads sums only, whatever the size of the ledger."""
    items, sizes = {True: 0, False: 0}, {True: 0, False: 0}
    for _, tally in ledger.tallies(mailbox_id):
        if tally.state in PENDING or tally.state is ItemState.BACKFILL:
            required = tally.state in PENDING
            items[required] += tally.items
            sizes[required] += tally.bytes
    return Parts(items[True], sizes[True], items[False], sizes[False])


def day_of(facts: Facts) -> date | None:
    """The day of an item, in UTC: when it arrived, else when it was sent, else made; None if the listing tells none of these."""
    when: datetime | None = facts.received or facts.submitted or facts.created
    return None if when is None else when.astimezone(UTC).date()


def is_backfill(facts: Facts, since: date) -> bool:
    """Whether an item may follow after the cutover: mail from before ``since``. Mail without a date is required."""
    if not is_mail(facts.item_class):
        return False
    day = day_of(facts)
    return day is not None and day < since


SWEEP_MINUTES = 15.0
"""The most that a sweep goes on with old mail: new mail that still comes to the old side must not wait for it."""


def minutes_for(kind: PassKind, state: MailboxState, minutes: float, *, asked: bool) -> float | None:
    """How long a pass may carry old mail after everything else; 0: not at all, None: as long as it takes.

    A final pass carries none, because a person waits for it. A mailbox that is BACKFILLING, or whose operator ``asked``, takes
    all the time it needs; else ``minutes`` bounds it.
    """
    if kind is PassKind.FINAL:
        return 0.0
    if asked or state is MailboxState.BACKFILLING:
        return None
    return min(minutes, SWEEP_MINUTES) if kind is PassKind.SWEEP else minutes
