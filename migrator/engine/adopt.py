"""Finds in the target what is already there, before anything new is created: an earlier tool, a lost ledger, native delivery.

    owed    rows that want to be created       ┐
    there   what the target's folders hold     ┴─► by stamp ─► by identity, in the same folder ─► by identity, elsewhere

Both sides are laid down in a private database on disk, so that memory does not depend on the size of a mailbox. Copies share an
identity, so each target item is taken once, and of k rows and m items min(k, m) are adopted.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from msgspec.structs import replace

from connectors.base import Lane, identify, key_in, nearby
from migrator.engine import plan
from migrator.engine.crew import Crew
from migrator.engine.steps import adopted
from state.model import ItemState, Row, Step, Work

Match = tuple[bytes, str]
"""A row's key and the target item that is taken for it."""

_AT_ONCE = 1000

_TABLES = """
CREATE TABLE owed (key BLOB PRIMARY KEY, folder TEXT, size INTEGER, taken INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE owed_rung (key BLOB, rung BLOB);
CREATE TABLE there (
    id TEXT PRIMARY KEY, folder TEXT, version TEXT, key BLOB, stamped INTEGER, size INTEGER, taken INTEGER DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE there_rung (rung BLOB, id TEXT);
CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_INDEXES = "CREATE INDEX rungs_there ON there_rung (rung); CREATE INDEX rungs_owed ON owed_rung (key);"


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many rows were found in the target, how many of those in another folder, and how much there belongs to no row."""

    rows: int
    elsewhere: int
    strangers: int


def adopt(crew: Crew, *, lost: bool = False) -> Adopted:
    """Give rows that want to be created the copy that the target already holds. Writes to the ledger only.

    With ``lost`` rows that are done, but whose copy is not where the ledger says, look for one too: the ledger may be older than
    the target. What an adopted copy differs in is its owner's business; what lies in another folder stays there.
    """
    with closing(sqlite3.connect("")) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
        strangers = _lay_down_target(crew, db)
        _lay_down_owed(crew, db, lost)
        db.executescript(_INDEXES)
        taken = elsewhere = 0
        for match in (_by_stamp(db), _by_identity(db, "AND there.folder = owed.folder"), _by_identity(db, "")):
            for chunk in plan.chunks(match, _AT_ONCE):
                elsewhere += _settle(crew, db, chunk)
                taken += len(chunk)
    crew.count("adopted", taken)
    return Adopted(taken, elsewhere, strangers - taken)


def _lay_down_target(crew: Crew, db: sqlite3.Connection) -> int:
    """Everything that the placed folders hold and no row owns; returns how much that is."""
    held = {row.target_id for row in crew.folders.values() if row.target_id is not None} | set(crew.destination.aside)
    strangers = 0
    for folder_id in sorted(held):
        for entries in plan.chunks(crew.destination.inventory(folder_id), 10 * _AT_ONCE):
            crew.halt_if_asked()
            owned = crew.ledger.owners(crew.lease.mailbox_id, [entry.id for entry in entries])
            db.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(each,) for each in owned])
            free = [entry for entry in entries if entry.id not in owned]
            strangers += len(free)
            db.executemany(
                "INSERT OR IGNORE INTO there (id, folder, version, key, stamped, size) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (one.id, folder_id, one.version, key_in(one.stamp or ""), one.stamp is not None, one.facts.size)
                    for one in free
                ],
            )
            # Half of a composed copy is no copy. Its stamp says so, and whoever made it will make it again.
            whole = [one for one in free if one.stamp is None or key_in(one.stamp) is not None]
            rungs = [(rung, one.id) for one in whole for rung in nearby(one.facts)]
            db.executemany("INSERT INTO there_rung VALUES (?, ?)", rungs)
    return strangers


def _lay_down_owed(crew: Crew, db: sqlite3.Connection, lost: bool) -> None:
    # Also what a rule keeps back: if the target holds it, it is there, and must not come again when the rule goes.
    mine = (crew.ledger.waiting(crew.lease.mailbox_id, state, Work.CREATE) for state in sorted(plan.NEW))
    for chunk in plan.chunks(itertools.chain.from_iterable(mine), _AT_ONCE):
        _owe(crew, db, [row for row, _ in chunk])
        rungs = [(row.key, rung) for row, opened in chunk for rung in identify(plan.unpack_facts(opened.facts)).rungs]
        db.executemany("INSERT INTO owed_rung VALUES (?, ?)", rungs)
    if not lost:
        return
    for rows in plan.chunks(crew.ledger.folder_rows(crew.lease.mailbox_id, None), _AT_ONCE):
        done = [row for row in rows if row.state is ItemState.DONE and row.target is not None]
        missing = [row for row in done if not db.execute("SELECT 1 FROM seen WHERE id = ?", (row.target,)).fetchone()]
        _owe(crew, db, missing)
        db.executemany("INSERT INTO owed_rung VALUES (?, ?)", [(row.key, row.identity) for row in missing if row.identity])


def _owe(crew: Crew, db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    values = [(row.key, crew.folders[row.folder_id].target_id, row.size) for row in rows if row.folder_id in crew.folders]
    db.executemany("INSERT OR IGNORE INTO owed (key, folder, size) VALUES (?, ?, ?)", values)


def _by_stamp(db: sqlite3.Connection) -> Iterator[Match]:
    # Laid down first, because a table is not to be changed while it is read.
    db.execute(
        "CREATE TABLE stamped AS SELECT owed.key AS key, min(there.id) AS id FROM owed JOIN there USING (key) GROUP BY owed.key"
    )
    for key, item in db.execute("SELECT key, id FROM stamped"):
        _take(db, key, item)
        yield key, item


def _by_identity(db: sqlite3.Connection, place: str) -> Iterator[Match]:
    nearest = (
        "SELECT there.id FROM owed JOIN owed_rung ON owed_rung.key = owed.key JOIN there_rung USING (rung)"
        " JOIN there ON there.id = there_rung.id"
        f" WHERE owed.key = ? AND NOT there.taken {place} ORDER BY abs(there.size - owed.size), there.id LIMIT 1"
    )
    after = b""
    while True:
        keys = db.execute("SELECT key FROM owed WHERE NOT taken AND key > ? ORDER BY key LIMIT 1000", (after,)).fetchall()
        if not keys:
            return
        for (key,) in keys:
            found = db.execute(nearest, (key,)).fetchone()
            if found is not None:
                _take(db, key, found[0])
                yield key, found[0]
        after = keys[-1][0]


def _take(db: sqlite3.Connection, key: bytes, item: str) -> None:
    db.execute("UPDATE owed SET taken = 1 WHERE key = ?", (key,))
    db.execute("UPDATE there SET taken = 1 WHERE id = ?", (item,))


def _settle(crew: Crew, db: sqlite3.Connection, matches: Sequence[Match]) -> int:
    """Write down what was found; returns how many copies lie in another folder than their source item."""
    rows = crew.ledger.rows(crew.lease.mailbox_id, [key for key, _ in matches])
    steps: list[Step] = []
    elsewhere = 0
    for key, item in matches:
        row = rows[key]
        folder, version, stamped = db.execute("SELECT folder, version, stamped FROM there WHERE id = ?", (item,)).fetchone()
        here = folder == crew.folders[row.folder_id].target_id
        elsewhere += not here
        there = adopted(row, item, version, here=here)
        steps.append(Step(row, replace(there, lane=Lane.COMPOSE.value if stamped else ""), None))
    crew.guard_lease()
    crew.ledger.settle(crew.lease, steps)
    return elsewhere
