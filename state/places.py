"""Mailboxes and their folders in the ledger: planned, moved from state to state, listed, and placed in the target.

Functions work within the transaction of the connection that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, TextClause, insert, select, text, update

from state.model import ASIDE, MAILBOX_MOVES, FolderRow, IllegalMove, MailboxRow, MailboxState
from state.records import FOLDER_COLUMNS, chunks, cleaned, folder_of, mailbox_of
from state.schema import folders, installation, mailboxes

Listed = tuple[str, str | None, str, str, str | None, int]
"""A source folder as listed: source_id, parent_source_id, name, kind, role, total."""

_LISTED: Final = ("source_id", "parent_source_id", "name", "kind", "role", "total")
_AT_ONCE: Final = 500


def plan_mailbox(db: Connection, wave: str, source: str, target: str) -> MailboxRow:
    """The row of a source address, made if there is none; raises ValueError if it has another target."""
    # Whoever plans holds the one row that all share, so that two processes can't plan one mailbox twice.
    db.execute(select(installation.c.id).with_for_update())
    table = mailboxes.c
    query = select(mailboxes).where(table.source_folded == source.casefold())
    found = db.execute(query).one_or_none()
    if found is None:
        db.execute(insert(mailboxes).values(source=source, target=target, wave=wave, **new_mailbox(source)))
    elif found.target.casefold() != target.casefold():
        raise ValueError(f"The ledger has it going to {found.target}, not to {target}.")
    elif found.wave != wave:
        db.execute(update(mailboxes).where(table.id == found.id).values(wave=wave))
    return mailbox_of(db.execute(query).one())


def move_mailbox(db: Connection, mailbox_id: int, state: MailboxState, cause: str) -> MailboxRow:
    """Put a mailbox into a state; raises IllegalMove."""
    came_from = _came_from(mailbox(db, mailbox_id, lock=True), state)
    values = {"state": state.value, "came_from": came_from, "cause": cleaned(cause)}
    db.execute(update(mailboxes).where(mailboxes.c.id == mailbox_id).values(values))
    return mailbox(db, mailbox_id)


def record_folders(db: Connection, mailbox_id: int, listed: Sequence[Listed], generation: int) -> list[FolderRow]:
    """Record a whole tree as listed in a round; all folders ever seen."""
    table = folders.c
    known = {found.source_id: found for found in folders_of(db, mailbox_id)}
    told = {folder[0]: dict(zip(_LISTED, folder, strict=True)) for folder in listed}
    changed = False
    new: list[dict[str, Any]] = []
    for source_id, values in told.items():
        found = known.get(source_id)
        if found is None:
            new.append(values)
        elif found.absent or any(getattr(found, name) != value for name, value in values.items()):
            # Most of a tree is as it was, and a statement for each of its folders costs more than all of the rest.
            db.execute(update(folders).where(table.id == found.id).values({**values, "absent": 0}))
            changed = True
    if new:
        blank = {"mailbox_id": mailbox_id, "fingerprint": "", "complete": False, "generation": 0, "absent": 0, "told": generation}
        db.execute(insert(folders), [{**values, **blank} for values in new])
    if any(source_id not in told for source_id in known):
        here = (table.mailbox_id == mailbox_id) & (table.told != generation)
        for some in chunks([found.id for source_id, found in known.items() if source_id not in told], _AT_ONCE):
            db.execute(update(folders).where(here & table.id.in_(some)).values(absent=table.absent + 1, told=generation))
        changed = True
    return folders_of(db, mailbox_id) if changed or new else list(known.values())


def new_mailbox(source: str) -> dict[str, Any]:
    """The columns of a mailbox that nothing happened to yet, but for its wave, source and target."""
    return {
        "source_folded": source.casefold(),
        "state": MailboxState.PLANNED.value,
        "cause": "",
        "epoch": 0,
        "lease_until": 0.0,
        "sequence": 0,
        "generation": 0,
        "claimed": False,
    }


def mailbox(db: Connection, mailbox_id: int, *, lock: bool = False) -> MailboxRow:
    """One mailbox, and none else may change it if ``lock``; raises LookupError if there is none."""
    query = select(mailboxes).where(mailboxes.c.id == mailbox_id)
    found = db.execute(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise LookupError(f"the ledger has no mailbox {mailbox_id}")
    return mailbox_of(found)


def _came_from(now: MailboxRow, state: MailboxState) -> MailboxState | None:
    """What the mailbox remembers once it is in ``state``; raises IllegalMove if it can't go there."""
    if state is now.state:
        return now.came_from
    legal = state in MAILBOX_MOVES[now.state]
    if now.state in ASIDE and state not in ASIDE:
        legal = legal and state is now.came_from
    if not legal:
        back = f" (it goes back to {now.came_from})" if now.came_from else ""
        raise IllegalMove(f"mailbox {now.id}: {now.state} can't become {state}{back}")
    if state not in ASIDE:
        return None
    return now.came_from if now.state in ASIDE else now.state


def folders_of(db: Connection, mailbox_id: int) -> list[FolderRow]:
    """All folders of a mailbox, in the order in which they were first met."""
    columns = (folders.c[name] for name in FOLDER_COLUMNS)
    query = select(*columns).where(folders.c.mailbox_id == mailbox_id).order_by(folders.c.id)
    return [folder_of(found) for found in db.execute(query)]


@lru_cache
def _changing(names: tuple[str, ...]) -> TextClause:
    """The statement that changes these columns. Every page of a pass runs one, and putting it together costs more than that."""
    told = ", ".join(f"{folders.c[name].name} = :{name}" for name in names)
    return text(f"UPDATE folders SET {told} WHERE id = :of_id AND mailbox_id = :of_mailbox")


def change_folder(db: Connection, mailbox_id: int, folder_id: int, **values: Any) -> None:
    """Change columns of a folder; raises LookupError if the mailbox has no such folder."""
    if not db.execute(_changing(tuple(values)), {**values, "of_id": folder_id, "of_mailbox": mailbox_id}).rowcount:
        raise LookupError(f"mailbox {mailbox_id} has no folder {folder_id}")
