"""What follows for one row, as steps that the ledger can carry out. Pure: no I/O, no clock."""

from __future__ import annotations

from msgspec.structs import replace

from connectors.base import Lane, Refusal, TargetRef, short_hash
from migrator.engine import plan
from state.model import NO_MARKS, ItemState, Mark, Open, Row, Step, Work

Pair = tuple[Row, Open]

TARGET_CHANGED = "target-changed"
"""Reason of an item that was changed by the target's user, and is left as that user has it."""

AFTER_FLIP = "after-cutover"
"""Reason of an item whose change at the source came after cutover, and is not carried over."""

REPLACED = "replaced"
"""Code of an intent whose new copy is there and whose old copy is still to be removed."""


def before(opened: Open) -> ItemState:
    """The state to which a row returns when its write did nothing."""
    return ItemState.DOOMED if opened.work is Work.REMOVE else ItemState.LISTED


def refuse(row: Row, opened: Open, refusal: Refusal) -> Step:
    kept = replace(opened, reason=refusal.reason, detail=refusal.detail, code=refusal.code)
    return Step(row, replace(row, state=ItemState.REFUSED), kept)


def yield_to_target(row: Row, opened: Open) -> Step:
    """The target's user was there first; the row stays on the list of open things only so that it can be shown."""
    return Step(row, replace(row, state=ItemState.DONE, marks=row.marks | Mark.TARGET_WINS), theirs(opened))


def theirs(opened: Open) -> Open:
    detail = f"Its user changed it in the target since, so a change at the source ({opened.work}) was not carried over."
    return replace(opened, reason=TARGET_CHANGED, detail=detail, code="", batch=0, intended_at=0.0, old_target=None)


def after_write(was: Row, there: Row, opened: Open) -> Step:
    """What follows once a write is known to have happened: done, or whatever the source asked for in the meantime."""
    if opened.work is Work.REMOVE:
        return Step(was, forget(there), None)
    if opened.reason == plan.CHANGED_SINCE:
        owed = replace(opened, work=Work.UPDATE, reason="", code="", batch=0, intended_at=0.0, old_target=None)
        return Step(was, replace(there, state=ItemState.LISTED, digest=b""), owed)
    # What was sent again stays on the list of open things until its surplus was looked for.
    return Step(was, replace(there, state=ItemState.DONE), opened if there.marks & Mark.REWRITTEN else None)


def forget(row: Row) -> Row:
    """The row of an item that the target no longer holds for us."""
    return replace(row, state=ItemState.GONE, target=None, target_version=b"", digest=b"")


def adopted(row: Row, target: str, version: str, *, here: bool) -> Row:
    """The row of an item that was in the target before us. Lying elsewhere is taken for its owner's wish; nobody can tell."""
    marks = row.marks | Mark.ADOPTED | (NO_MARKS if here else Mark.TARGET_WINS)
    return replace(row, state=ItemState.DONE, target=target, target_version=short_hash(version), marks=marks)


def same_as_left(row: Row, opened: Open, there: TargetRef | None) -> bool:
    """Whether the target still is as we left it; an answer without a version can't tell, and counts as unchanged.

    A row judged before its first attempt is not judged again: what changed since may be our own write.
    """
    if there is None:
        return False
    return bool(opened.code) or not row.target_version or not there.version or short_hash(there.version) == row.target_version


def could_tell_somebody(lot: plan.Lot, row: Row) -> bool:
    """Replacing an unread mail that asks for a receipt deletes its old copy, which can send a not-read receipt."""
    return lot.work is Work.UPDATE and lot.lane is Lane.COMPOSE and not may_be_removed_quietly(row)


def may_be_removed_quietly(row: Row) -> bool:
    """Deleting a meeting can send cancellations; deleting an unread mail that asks for a receipt can send one."""
    unread = not row.marks & Mark.READ or bool(row.marks & Mark.FLAG_WITHHELD)
    # A composed copy never has attendees, whoever attends at the source.
    invited = row.marks & Mark.ATTENDEES and (row.lane != Lane.COMPOSE or row.marks & Mark.ADOPTED)
    return not invited and not (row.marks & Mark.RECEIPT and unread)
