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
    for state, (count, size) in ledger.totals(mailbox_id).items():
        if state in PENDING or state is ItemState.BACKFILL:
            required = state in PENDING
            items[required] += count
            sizes[required] += size
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
"""Between two sweeps, where the wave says nothing."""

_AT_LEAST = 10.0
"""Seconds of old mail that a sweep carries however late it is, or a mailbox with much late mail would never end."""


def until_when(
    kind: PassKind, state: MailboxState, began: float, now: float, minutes: float, sweep_minutes: float, *, asked: bool
) -> float | None:  # fmt: skip
    """Until when (wall-clock seconds) a pass that began then may carry old mail; ``now`` or earlier: none, None: to its end.

    A final pass carries none, because a person waits for it. A sweep stops when the next one is due, whatever is left: mail that
    still comes to the old side must not wait for years of old mail. In BACKFILLING there is nothing else to do, whatever
    ``minutes`` says. ``asked`` is the operator's word that it takes what it takes.
    """
    if kind is PassKind.FINAL:
        return now
    if asked:
        return None
    if kind is not PassKind.SWEEP:
        return now + minutes * 60
    due = max(began + sweep_minutes * 60, now + _AT_LEAST)
    return due if state is MailboxState.BACKFILLING else min(due, now + minutes * 60)
