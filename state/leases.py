"""Who may change a mailbox: one owner at a time, by the clock; and no earlier owner ever again, by the epoch.

Functions work within the transaction of the connection that they are given.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Float, cast, func, select, update

from state.model import Fenced, Lease, LeaseHeld
from state.records import many
from state.schema import mailboxes


def fence(db: Connection, lease: Lease, statement: str) -> None:
    """Prove that the lease is still the last one; raises Fenced. Locks the mailbox until the transaction ends."""
    if not many(db)(statement, [(lease.mailbox_id, lease.epoch)]):
        raise Fenced(f"Mailbox {lease.mailbox_id} was taken over by another process; nothing of this was kept.")


def take(db: Connection, mailbox_id: int, owner: str, seconds: float, now: float | None) -> Lease:
    """A new lease with a new epoch; raises LeaseHeld while another owner's runs, LookupError if there is no such mailbox."""
    table = mailboxes.c
    query = select(table.epoch, table.owner, table.lease_until).where(table.id == mailbox_id).with_for_update()
    held = db.execute(query).one_or_none()
    if held is None:
        raise LookupError(f"the ledger has no mailbox {mailbox_id}")
    now = clock(db) if now is None else now
    if held.owner is not None and held.owner != owner and held.lease_until > now:
        left = max(1, round(held.lease_until - now))
        raise LeaseHeld(f"Mailbox {mailbox_id} is held by {held.owner} for {left} more seconds.", held.owner, held.lease_until)
    lease = Lease(mailbox_id, held.epoch + 1, owner)
    values = {"epoch": lease.epoch, "owner": owner, "lease_until": now + seconds}
    db.execute(update(mailboxes).where(table.id == mailbox_id).values(values))
    return lease


def extend(db: Connection, lease: Lease, seconds: float) -> None:
    """Let a lease end so many seconds from now."""
    change(db, lease, owner=lease.owner, lease_until=clock(db) + seconds)


def give_back(db: Connection, lease: Lease) -> None:
    """End a lease at once, if it is still the last one."""
    change(db, lease, owner=None, lease_until=0.0)


def change(db: Connection, lease: Lease, **values: Any) -> None:
    """Change the mailbox of a lease, if that is still the last one."""
    mine = (mailboxes.c.id == lease.mailbox_id) & (mailboxes.c.epoch == lease.epoch)
    db.execute(update(mailboxes).where(mine).values(values))


def clock(db: Connection) -> float:
    """Wall-clock seconds: the database's where it is a server, because those who share it may differ."""
    if db.dialect.name == "sqlite":
        return time.time()
    return float(db.scalar(select(cast(func.extract("epoch", func.clock_timestamp()), Float))) or 0.0)
