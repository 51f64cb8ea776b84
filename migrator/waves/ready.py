"""Whether a mailbox is in step with its source, so that it may be cut over: a pure function of what its last pass found.

SYNCING ─► READY     a pass ran to its end, nothing is open, nothing that can't go is without a person's approval,
                     and the source counts what we count
READY ─► SYNCING     a later pass found otherwise
"""

from __future__ import annotations

from dataclasses import dataclass

from state.model import MailboxState


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What stands after a pass that ran to its end, as numbers of items. ``stayed`` are refused or withheld, ``approved`` those
    of them that a person let stay behind; ``off`` is what the source's own counts differ by."""

    pending: int = 0
    stayed: int = 0
    approved: int = 0
    off: int = 0


def what_is_missing(found: Found) -> str:
    """Why the mailbox is not in step, in one sentence; empty if it is."""
    if found.pending:
        return f"{found.pending:,} items are still open."
    if found.off:
        return f"The source counts {found.off:,} items more or less than its listings show."
    if (left := found.stayed - found.approved) > 0:
        return f"{left:,} items can't go and nobody approved that."
    return ""


def state_after(state: MailboxState, found: Found) -> MailboxState:
    """The state of a mailbox after a pass that ran to its end; from the lock on, only a cutover moves it."""
    if state in (MailboxState.SEEDING, MailboxState.SYNCING, MailboxState.READY):
        return MailboxState.SYNCING if what_is_missing(found) else MailboxState.READY
    return state
