"""Between the ledger's values and its tables: what is read becomes values, steps become parameters of statements.

The statements that every batch runs are written out here, in words that SQLite and Postgres share.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import BigInteger, Connection, Double, Integer, LargeBinary, SmallInteger, Text

from state.columns import Columns
from state.model import (
    ITEM_MOVES,
    FolderRow,
    IllegalMove,
    ItemState,
    MailboxRow,
    MailboxState,
    Mark,
    Open,
    PassKind,
    PassRow,
    PassState,
    Row,
    Step,
    Work,
)
from state.packing import pack_id, pack_optional, unpack_id, unpack_optional
from state.schema import items, open_items, tallies

Statement: TypeAlias = str | Columns

_ITEM: Final = (
    "key",
    "folder_id",
    "state",
    "version",
    "identity",
    "size",
    "modified",
    "marks",
    "generation",
    "lane",
    "target",
    "target_version",
    "digest",
)
_OPEN: Final = (
    "item_id",
    "source_version",
    "work",
    "facts",
    "epoch",
    "batch",
    "intended_at",
    "old_target",
    "reason",
    "detail",
    "code",
)

ITEM_COLUMNS: Final = ", ".join(f"items.{name}" for name in (*_ITEM, "id"))
"""What ``row_of`` reads, in its order."""
OPEN_COLUMNS: Final = ", ".join(f"open_items.{name}" for name in _OPEN)
"""What ``open_of`` reads, in its order."""

_STATES: Final = {state.value: state for state in ItemState}
_WORKS: Final = {work.value: work for work in Work}
_MARKS: Final = {number: Mark(number) for number in range(256)}


def _set(names: Iterable[str], form: str) -> str:
    return ", ".join(form.format(name) for name in names)


_INSERT_ITEM = (
    f"INSERT INTO items ({', '.join(_ITEM)}, mailbox_id) VALUES ({', '.join('?' * (len(_ITEM) + 1))})"
    f" ON CONFLICT (mailbox_id, key) DO UPDATE SET {_set(_ITEM[1:], '{0} = excluded.{0}')}"
)
_UPDATE_ITEM = f"UPDATE items SET {_set(_ITEM[1:], '{0} = ?')} WHERE mailbox_id = ? AND key = ?"
# The number alone would do, were it not that a number may come again once its row is gone.
_UPDATE_NUMBERED = f"UPDATE items SET {_set(_ITEM[1:], '{0} = ?')} WHERE id = ? AND mailbox_id = ? AND key = ?"
_DELETE_ITEM = "DELETE FROM items WHERE mailbox_id = ? AND key = ?"
_UPSERT_OPEN = (
    f"INSERT INTO open_items ({', '.join(_OPEN)}, mailbox_id, folder_id, state, item) VALUES"
    f" ({', '.join('?' * (len(_OPEN) + 3))}, (SELECT id FROM items WHERE mailbox_id = ? AND key = ?))"
    f" ON CONFLICT (item) DO UPDATE SET {_set((*_OPEN, 'folder_id', 'state'), '{0} = excluded.{0}')}"
)
_UPSERT_NUMBERED = _UPSERT_OPEN.replace("(SELECT id FROM items WHERE mailbox_id = ? AND key = ?)", "?")
_DELETE_NUMBERED = "DELETE FROM open_items WHERE item = ?"
_DELETE_OPEN = "DELETE FROM open_items WHERE item = (SELECT id FROM items WHERE mailbox_id = ? AND key = ?)"
_ADD_TALLY = (
    "INSERT INTO tallies (mailbox_id, folder_id, state, items, bytes) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (mailbox_id, folder_id, state)"
    " DO UPDATE SET items = tallies.items + excluded.items, bytes = tallies.bytes + excluded.bytes"
)
_FENCE = "UPDATE mailboxes SET sequence = sequence + 1 WHERE id = ? AND epoch = ?"


_WORDS: Final = {
    BigInteger: "bigint",
    Integer: "int",
    SmallInteger: "smallint",
    Double: "double precision",
    LargeBinary: "bytea",
    Text: "text",
}
_TYPES: Final = {
    column.name: _WORDS[type(column.type)] for table in (items, open_items, tallies) for column in table.columns
}  # fmt: skip


class Statements:
    """The hot statements in the words of one database: for rows one by one on SQLite, for whole columns on Postgres."""

    def __init__(self, *, sqlite: bool) -> None:
        one_by_one = (lambda text, _names: text) if sqlite else _over_columns
        key = ("mailbox_id", "key")
        placed = (*_OPEN, "mailbox_id", "folder_id", "state")
        self.fence = _FENCE if sqlite else _FENCE.replace("?", "%s")
        self.insert_item: Statement = one_by_one(_INSERT_ITEM, (*_ITEM, "mailbox_id"))
        self.update_item: Statement = one_by_one(_UPDATE_ITEM, (*_ITEM[1:], *key))
        self.update_numbered: Statement = one_by_one(_UPDATE_NUMBERED, (*_ITEM[1:], "id", *key))
        self.delete_item: Statement = one_by_one(_DELETE_ITEM, key)
        self.upsert_open: Statement = one_by_one(_UPSERT_OPEN, (*placed, *key))
        self.upsert_numbered: Statement = one_by_one(_UPSERT_NUMBERED, (*placed, "item"))
        self.delete_open: Statement = one_by_one(_DELETE_OPEN, key)
        self.delete_numbered: Statement = one_by_one(_DELETE_NUMBERED, ("item",))
        self.add_tally: Statement = one_by_one(_ADD_TALLY, ("mailbox_id", "folder_id", "state", "items", "bytes"))


def _over_columns(text: str, names: Sequence[str]) -> Columns:
    """The same statement over all rows at once: each ``?`` becomes its column of them."""
    parts = text.split("?")
    text = "".join(f"{part}v.c{number}" for number, part in enumerate(parts[:-1])) + parts[-1]
    if text.startswith("INSERT"):
        head, _, rest = text.partition(" VALUES (")
        values, conflict, end = rest.partition(") ON CONFLICT")
        text = f"{head} SELECT {values} FROM {{rows}}{conflict[1:]}{end}"
    else:
        verb = " FROM {rows} WHERE" if text.startswith("UPDATE") else " USING {rows} WHERE"
        text = text.replace(" WHERE", verb, 1)
    return Columns(text, [_TYPES[name] for name in names])


@dataclass(slots=True)
class Writes:
    """What steps come down to, made ready by the calling thread so that the writer only runs statements.

    What is ``numbered`` is about rows whose number is known, which spares two look-ups of a key an item.
    """

    inserts: list[tuple[Any, ...]] = field(default_factory=list)
    updates: list[tuple[Any, ...]] = field(default_factory=list)
    numbered: list[tuple[Any, ...]] = field(default_factory=list)
    opens_numbered: list[tuple[Any, ...]] = field(default_factory=list)
    closes_numbered: list[tuple[Any, ...]] = field(default_factory=list)
    opens: list[tuple[Any, ...]] = field(default_factory=list)
    closes: list[tuple[Any, ...]] = field(default_factory=list)
    deletes: list[tuple[Any, ...]] = field(default_factory=list)
    tallies: list[tuple[Any, ...]] = field(default_factory=list)

    def run(self, connection: Connection, words: Statements) -> None:
        """Carry everything out, within the transaction of ``connection``."""
        run = many(connection)
        if self.deletes:
            run(words.delete_open, self.deletes)
            run(words.delete_item, self.deletes)
        if self.inserts:
            run(words.insert_item, self.inserts)
        for statement, updates in ((words.update_item, self.updates), (words.update_numbered, self.numbered)):
            if updates and (changed := run(statement, updates)) != len(updates):
                raise IllegalMove(f"{len(updates) - changed} of {len(updates)} rows to change are not in the ledger")
        if self.opens_numbered:
            run(words.upsert_numbered, self.opens_numbered)
        if self.closes_numbered:
            run(words.delete_numbered, self.closes_numbered)
        if self.opens:
            run(words.upsert_open, self.opens)
        if self.closes:
            run(words.delete_open, self.closes)
        if self.tallies:
            run(words.add_tally, self.tallies)


def many(connection: Connection) -> Callable[[Statement, list[tuple[Any, ...]]], int]:
    """What runs a statement for each tuple, and says how many rows it changed."""
    if connection.dialect.name != "sqlite":

        def run(statement: Statement, values: list[tuple[Any, ...]]) -> int:
            if isinstance(statement, Columns):
                return connection.exec_driver_sql(statement.text, statement.values(values)).rowcount
            return connection.exec_driver_sql(statement, values).rowcount

        return run
    # Straight to the driver: with twenty rows at a time, SQLAlchemy's way there costs half as much as the rows.
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    return lambda statement, values: driver.executemany(cast(str, statement), values).rowcount


def writes_of(mailbox_id: int, steps: Sequence[Step], *, gone: Row | None = None) -> Writes:
    """Make steps ready. Of several about one row, the last stands. Raises IllegalMove before anything is written.

    ``gone`` is a row that is taken out of the sums besides.
    """
    writes = Writes()
    counts: dict[tuple[int, int], list[int]] = {}
    if gone is not None:
        _count(counts, gone, -1)
    for step in steps:
        if step.old is not None:
            check_move(step.old, step.new)
    if len({step.new.key for step in steps}) != len(steps):
        steps = _last_of_each(steps)
    for step in steps:
        old, new, opened = step.old, step.new, step.open
        key, state = new.key, int(new.state)
        # Only what the same transaction has just met under this number may be named by it alone.
        number = old.number if old is not None and old is not new else 0
        if old is None:
            writes.inserts.append((*_item(new, state), mailbox_id))
        else:
            if number:
                writes.numbered.append((*_item(new, state)[1:], number, mailbox_id, key))
            elif old is not new:
                writes.updates.append((*_item(new, state)[1:], mailbox_id, key))
            if old.state is not new.state or old.folder_id != new.folder_id or old.size != new.size:
                _count(counts, old, -1)
                _count(counts, new, 1)
        if opened is not None:
            place = (*_opened(opened), mailbox_id, new.folder_id, state)
            if number:
                writes.opens_numbered.append((*place, number))
            else:
                writes.opens.append((*place, mailbox_id, key))
        elif number:
            writes.closes_numbered.append((number,))
        elif old is not None:
            writes.closes.append((mailbox_id, key))
        if old is None:
            _count(counts, new, 1)
    writes.tallies = _sums(mailbox_id, counts)
    return writes


def rekey_of(mailbox_id: int, left: Row, came: Row | None, new: Row, opened: Open | None) -> Writes:
    """Make ready that ``new`` takes over from ``left``, which goes, and from ``came``, which had its key already."""
    writes = writes_of(mailbox_id, [Step(came, new, opened)], gone=left)
    if left.key != new.key:
        writes.deletes.append((mailbox_id, left.key))
    return writes


def check_move(old: Row, new: Row) -> None:
    """Raise IllegalMove unless ``new`` may follow on ``old``."""
    if new.state not in ITEM_MOVES[old.state]:
        raise IllegalMove(f"row {new.key.hex()}: {old.state.name} can't become {new.state.name}")
    if old.key != new.key:
        raise IllegalMove(f"row {new.key.hex()}: a step keeps its key, {old.key.hex()} became it")


def _last_of_each(steps: Sequence[Step]) -> list[Step]:
    merged: dict[bytes, Step] = {}
    for step in steps:
        before = merged.get(step.new.key)
        merged[step.new.key] = step if before is None else Step(before.old, step.new, step.open)
    return list(merged.values())


def _count(counts: dict[tuple[int, int], list[int]], row: Row, sign: int) -> None:
    sums = counts.setdefault((row.folder_id, int(row.state)), [0, 0])
    sums[0] += sign
    sums[1] += sign * row.size


def _sums(mailbox_id: int, counts: Mapping[tuple[int, int], list[int]]) -> list[tuple[Any, ...]]:
    # Always in the same order, so that two transactions never wait on each other in a circle.
    return [(mailbox_id, folder, state, n, size) for (folder, state), (n, size) in sorted(counts.items()) if n or size]


def _item(row: Row, state: int) -> tuple[Any, ...]:
    target = row.target
    return (
        row.key,
        row.folder_id,
        state,
        row.version,
        row.identity,
        row.size,
        row.modified,
        int(row.marks),
        row.generation,
        str(row.lane),
        None if target is None else pack_id(target),
        row.target_version,
        row.digest,
    )


def _opened(opened: Open) -> tuple[Any, ...]:
    return (
        pack_id(opened.item_id),
        pack_id(opened.source_version),
        str(opened.work),
        opened.facts,
        opened.epoch,
        opened.batch,
        opened.intended_at,
        pack_optional(opened.old_target),
        cleaned(opened.reason),
        cleaned(opened.detail),
        cleaned(opened.code),
    )


def cleaned(text: str) -> str:
    """Text that any database takes: no NUL and no lone surrogates, which servers' answers may hold."""
    if text.isascii() and "\0" not in text:
        return str(text)
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


def row_of(found: Sequence[Any]) -> Row:
    """A row from the columns of ``ITEM_COLUMNS``; more may follow."""
    marks = found[7]
    return Row(
        key=found[0],
        folder_id=found[1],
        state=_STATES[found[2]],
        version=found[3],
        identity=found[4],
        size=found[5],
        modified=found[6],
        marks=_MARKS[marks] if marks < 256 else Mark(marks),
        generation=found[8],
        lane=found[9],
        target=unpack_optional(found[10]),
        target_version=found[11],
        digest=found[12],
        number=found[13],
    )


def open_of(found: Sequence[Any]) -> Open:
    """An open part from the columns of ``OPEN_COLUMNS``."""
    return Open(
        item_id=unpack_id(found[0]),
        source_version=unpack_id(found[1]),
        work=_WORKS[found[2]],
        facts=found[3],
        epoch=found[4],
        batch=found[5],
        intended_at=found[6],
        old_target=unpack_optional(found[7]),
        reason=found[8],
        detail=found[9],
        code=found[10],
    )


def pair_of(found: Sequence[Any]) -> tuple[Row, Open]:
    """A row and its open part from both lists of columns."""
    return row_of(found), open_of(found[len(_ITEM) + 1 :])


def mailbox_of(found: Any) -> MailboxRow:
    """A mailbox from a row of its table."""
    return MailboxRow(
        id=found.id,
        wave=found.wave,
        source=found.source,
        target=found.target,
        state=MailboxState(found.state),
        came_from=None if found.came_from is None else MailboxState(found.came_from),
        cause=found.cause,
        epoch=found.epoch,
        owner=found.owner,
        lease_until=found.lease_until,
        sequence=found.sequence,
        generation=found.generation,
        claimed=found.claimed,
        trusts_stamps=found.trusts_stamps,
    )


FOLDER_COLUMNS: Final = FolderRow.__struct_fields__
"""What ``folder_of`` reads, in its order."""


def folder_of(found: Sequence[Any]) -> FolderRow:
    """A folder from the columns of ``FOLDER_COLUMNS``."""
    return FolderRow(**dict(zip(FOLDER_COLUMNS, found, strict=True)))


def pass_of(found: Any) -> PassRow:
    """A pass from a row of its table."""
    return PassRow(
        id=found.id,
        mailbox_id=found.mailbox_id,
        kind=PassKind(found.kind),
        state=PassState(found.state),
        started=found.started,
        ended=found.ended,
        cause=found.cause,
        figures=json.loads(found.figures),
    )


def chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """``values`` in runs of at most ``size``."""
    for at in range(0, len(values), size):
        yield values[at : at + size]
