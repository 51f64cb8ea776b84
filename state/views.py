"""What is only read: rows, the work list, sums and lists for people. All functions take a connection and change nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from state.model import ItemState, Open, Row, Tally
from state.packing import pack_id, unpack_id
from state.records import ITEM_COLUMNS, OPEN_COLUMNS, chunks, open_of, pair_of, row_of
from state.schema import folders, items, notes, open_items, tallies

_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An item that did not go, or was not changed, and why. ``key`` is the row's."""

    mailbox_id: int
    folder_name: str
    key: bytes
    state: ItemState
    size: int
    reason: str
    detail: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBack:
    """How many items of a folder one of the operator's rules keeps back."""

    mailbox_id: int
    folder_id: int
    rule: str
    items: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that happened, in a sentence. ``at`` is wall-clock seconds; without a mailbox it is about all of them."""

    id: int
    at: float
    mailbox_id: int | None
    kind: str
    text: str


def rows(connection: Connection, mailbox_id: int, keys: Sequence[bytes]) -> dict[bytes, Row]:
    """The rows of these keys; keys that are not known are missing."""
    text = f"SELECT {ITEM_COLUMNS} FROM items WHERE mailbox_id = {{}} AND key "
    return {found[0]: row_of(found) for found in _by_bytes(connection, text, mailbox_id, keys)}


def opens(connection: Connection, mailbox_id: int, keys: Sequence[bytes]) -> dict[bytes, Open]:
    """The open parts of these keys' rows; keys that have none are missing."""
    text = (
        f"SELECT items.key, {OPEN_COLUMNS} FROM items JOIN open_items ON open_items.item = items.id"
        " WHERE items.mailbox_id = {} AND items.key "
    )
    return {found[0]: open_of(found[1:]) for found in _by_bytes(connection, text, mailbox_id, keys)}


def owners(connection: Connection, mailbox_id: int, targets: Sequence[str]) -> dict[str, bytes]:
    """Which rows hold these target ids, in any state. One scan of the mailbox's rows for every 10,000 of them."""
    text = "SELECT target, key FROM items WHERE mailbox_id = {} AND target "
    packed = [pack_id(target) for target in dict.fromkeys(targets)]
    return {unpack_id(target): key for target, key in _by_bytes(connection, text, mailbox_id, packed, 10_000)}


def open_rows(
    connection: Connection,
    mailbox_id: int,
    states: Sequence[int],
    folder_id: int | None,
    works: Sequence[str] | None,
    limit: int | None,
) -> list[tuple[Row, Open]]:
    """The work list, by folder and then in the order in which rows were first met."""
    mark = _mark(connection)
    where = [f"open_items.mailbox_id = {mark}"]
    values: list[Any] = [mailbox_id]
    for column, wanted in (("state", states), ("work", works)):
        if wanted is not None:
            # One value is compared, not looked for in a list: then the index gives the order too.
            among = f"= {mark}" if len(wanted) == 1 else f"IN ({', '.join([mark] * len(wanted))})"
            where.append(f"open_items.{column} {among}")
            values.extend(wanted)
    if folder_id is not None:
        where.append(f"open_items.folder_id = {mark}")
        values.append(folder_id)
    text = (
        f"SELECT {ITEM_COLUMNS}, {OPEN_COLUMNS} FROM open_items JOIN items ON items.id = open_items.item"
        f" WHERE {' AND '.join(where)} ORDER BY open_items.folder_id, open_items.item"
    )
    if limit is not None:
        text += f" LIMIT {mark}"
        values.append(limit)
    return [pair_of(found) for found in connection.exec_driver_sql(text, tuple(values))]


def waiting(
    connection: Connection, mailbox_id: int, state: int, work: str, after: tuple[int, int], limit: int
) -> list[tuple[tuple[int, int], tuple[Row, Open]]]:
    """The next ``limit`` open rows of one state and work behind a place in their order, each with its own place."""
    mark = _mark(connection)
    text = (
        f"SELECT {ITEM_COLUMNS}, {OPEN_COLUMNS}, open_items.folder_id, open_items.item"
        " FROM open_items JOIN items ON items.id = open_items.item"
        f" WHERE open_items.mailbox_id = {mark} AND open_items.state = {mark} AND open_items.work = {mark}"
        f" AND (open_items.folder_id, open_items.item) > ({mark}, {mark})"
        f" ORDER BY open_items.folder_id, open_items.item LIMIT {mark}"
    )
    found = connection.exec_driver_sql(text, (mailbox_id, state, work, *after, limit))
    return [((int(one[-2]), int(one[-1])), pair_of(one[:-2])) for one in found]


def folder_rows(
    connection: Connection, mailbox_id: int, after: bytes, folder_id: int | None, missed_before: int | None, limit: int
) -> list[Row]:
    """The next ``limit`` rows of a folder (None: of all) behind the key ``after``, by key."""
    mark = _mark(connection)
    text = f"SELECT {ITEM_COLUMNS} FROM items WHERE mailbox_id = {mark} AND key > {mark}"
    values: list[Any] = [mailbox_id, after]
    for condition, wanted in ((f" AND folder_id = {mark}", folder_id), (f" AND generation < {mark}", missed_before)):
        if wanted is not None:
            text += condition
            values.append(wanted)
    text += f" ORDER BY key LIMIT {mark}"
    return [row_of(found) for found in connection.exec_driver_sql(text, (*values, limit))]


def sums(connection: Connection, mailbox_id: int | None, states: Collection[ItemState] | None) -> list[tuple[int, Tally]]:
    """The tallies as they are kept, with their mailbox, of some states or of all; empty ones are left out."""
    table = tallies.c  # whose .items is a method
    query = select(table.mailbox_id, table.folder_id, table.state, table["items"], table["bytes"]).where(
        (table["items"] != 0) | (table["bytes"] != 0)
    )
    if mailbox_id is not None:
        query = query.where(table.mailbox_id == mailbox_id)
    if states is not None:
        query = query.where(table.state.in_(sorted(states)))
    query = query.order_by(table.mailbox_id, table.folder_id, table.state)
    return [(found[0], _tally(found[1:])) for found in connection.execute(query)]


def totals(connection: Connection, mailbox_id: int) -> dict[ItemState, tuple[int, int]]:
    """Rows and bytes of a mailbox by state, over all its folders; every state is there."""
    mark = _mark(connection)
    text = f"SELECT state, SUM(items), SUM(bytes) FROM tallies WHERE mailbox_id = {mark} GROUP BY state"
    found = dict.fromkeys(ItemState, (0, 0))
    found |= {ItemState(state): (int(count), int(size)) for state, count, size in connection.exec_driver_sql(text, (mailbox_id,))}
    return found


def recount(connection: Connection, mailbox_id: int) -> list[Tally]:
    """The same sums, counted from the rows themselves."""
    table = items.c
    query = (
        select(table.folder_id, table.state, func.count(), func.sum(table.size))
        .where(table.mailbox_id == mailbox_id)
        .group_by(table.folder_id, table.state)
        .order_by(table.folder_id, table.state)
    )
    return [_tally(found) for found in connection.execute(query)]


def loose_ends(connection: Connection, mailbox_id: int) -> tuple[int, int]:
    """Rows that lack their open part, and open parts that lack their row."""
    wanting = [state.value for state in (ItemState.LISTED, ItemState.INTENDED, ItemState.DOOMED, ItemState.BACKFILL)]
    opened = open_items.c
    mine = (items.c.mailbox_id == mailbox_id) & items.c.state.in_(wanting)
    bare = (
        select(func.count())
        .select_from(items.outerjoin(open_items, opened.item == items.c.id))
        .where(mine, opened.item.is_(None))
    )
    lost = (
        select(func.count())
        .select_from(open_items.outerjoin(items, opened.item == items.c.id))
        .where(opened.mailbox_id == mailbox_id, items.c.id.is_(None))
    )
    return int(connection.scalar(bare) or 0), int(connection.scalar(lost) or 0)


def kept_back(connection: Connection, mailbox_id: int | None) -> list[KeptBack]:
    """What rules keep back, by mailbox, folder and rule. Reads the open parts of filtered rows only."""
    opened = open_items.c
    number, size = func.count().label("items"), func.sum(items.c.size).label("bytes")
    query = (
        select(opened.mailbox_id, opened.folder_id, opened.reason.label("rule"), number, size)
        .join(items, items.c.id == opened.item)
        .where(opened.state == ItemState.FILTERED.value)
        .group_by(opened.mailbox_id, opened.folder_id, opened.reason)
        .order_by(opened.mailbox_id, opened.folder_id, opened.reason)
    )
    if mailbox_id is not None:
        query = query.where(opened.mailbox_id == mailbox_id)
    return [KeptBack(**{**found._mapping, "bytes": int(found.bytes)}) for found in connection.execute(query)]


def refusals(connection: Connection, mailbox_id: int | None, limit: int | None) -> list[Refused]:
    """What did not go and why, by mailbox and folder."""
    return _told(connection, mailbox_id, limit, (ItemState.REFUSED, ItemState.WITHHELD))


def left_alone(connection: Connection, mailbox_id: int | None, limit: int | None) -> list[Refused]:
    """What the target's user changed and is left so, though the source changed too, by mailbox and folder."""
    return _told(connection, mailbox_id, limit, (ItemState.DONE, ItemState.GONE), with_reason=True)


def _told(
    connection: Connection, mailbox_id: int | None, limit: int | None, states: Sequence[ItemState], *, with_reason: bool = False
) -> list[Refused]:
    opened = open_items.c
    query = (
        select(
            opened.mailbox_id,
            folders.c.name.label("folder_name"),
            items.c.key,
            opened.state,
            items.c.size,
            opened.reason,
            opened.detail,
            opened.code,
        )
        .join(items, items.c.id == opened.item)
        .join(folders, folders.c.id == opened.folder_id)
        .where(opened.state.in_([state.value for state in states]))
        .order_by(opened.mailbox_id, opened.folder_id, opened.item)
    )
    if with_reason:
        query = query.where(opened.reason != "")
    query = _narrowed(query, opened.mailbox_id, mailbox_id, limit)
    return [Refused(**{**found._mapping, "state": ItemState(found.state)}) for found in connection.execute(query)]


def notes_of(connection: Connection, mailbox_id: int | None, last: int | None) -> list[Note]:
    """The last notes, newest first."""
    query = _narrowed(select(notes).order_by(notes.c.id.desc()), notes.c.mailbox_id, mailbox_id, last)
    return [Note(**found._mapping) for found in connection.execute(query)]


def _narrowed(query: Select[Any], column: Any, mailbox_id: int | None, limit: int | None) -> Select[Any]:
    if mailbox_id is not None:
        query = query.where(column == mailbox_id)
    return query if limit is None else query.limit(limit)


def _tally(found: Any) -> Tally:
    folder_id, state, count, size = found
    return Tally(folder_id, ItemState(state), int(count), int(size))


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"


def _by_bytes(
    connection: Connection, text: str, mailbox_id: int, wanted: Sequence[bytes], at_once: int = _AT_ONCE
) -> Iterator[Sequence[Any]]:
    """Rows of a SELECT that ends in a column of bytes, where that column is one of ``wanted``."""
    mark = _mark(connection)
    for chunk in chunks(wanted, at_once):
        if mark == "?":
            # As many places as a full chunk has: one statement for the driver to keep. A value may come twice.
            places, values = len(chunk), list(chunk)
            if places > 8:
                places = 1 << (places - 1).bit_length()
                values += [chunk[0]] * (places - len(chunk))
            yield from connection.exec_driver_sql(f"{text.format(mark)} IN ({', '.join(mark * places)})", (mailbox_id, *values))
        else:
            yield from connection.exec_driver_sql(f"{text.format(mark)} = ANY({mark})", (mailbox_id, list(chunk)))
