"""Decides, from what a page says and what the ledger knows, what is to be done. Pure: no I/O, no clock.

fold     a page's changes, one an item
meet     one change and the row it meets ─► the row's next step, or None when nothing follows
match    items that left one folder and items that came into another ─► moves
choose   the lane of a row
batches  rows ─► lots of the size that both sides like
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from connectors.base import Change, Drop, Facts, Lane, Limits, Put, ReadFlag, Refusal, identify, item_key, short_hash
from state.model import ItemState, Mark, Open, Row, Step, Work

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Facts)

CHANGED_SINCE = "changed-since"
"""Reason of an intent whose item changed at the source while its answer was still out: settle it, then list it again."""


NEW: Final = frozenset({ItemState.LISTED, ItemState.BACKFILL, ItemState.FILTERED})
"""Where a row stands whose item is not in the target yet; if it came from elsewhere, it can take over the copy of its old row."""


def pack_facts(facts: Facts) -> bytes:
    """What the ledger keeps of a listing while a row is open."""
    return _ENCODER.encode(facts)


def unpack_facts(packed: bytes) -> Facts:
    """The facts that ``pack_facts`` packed; plain mail if none were kept."""
    return _DECODER.decode(packed) if packed else Facts()


class _OnlyClass(msgspec.Struct):
    item_class: str = Facts().item_class


_CLASS_DECODER = msgspec.msgpack.Decoder(_OnlyClass)


def class_in(packed: bytes) -> str:
    """The item class in the facts that ``pack_facts`` packed, without reading the rest."""
    return _CLASS_DECODER.decode(packed).item_class if packed else _OnlyClass().item_class


def identity_of(facts: Facts) -> bytes:
    """The surest rung of an item's identity, by which a drop in one folder meets a put in another; empty if it has none."""
    rungs = identify(facts).rungs
    return rungs[0] if rungs else b""


def chunks(found: Iterable[T], size: int) -> Iterator[list[T]]:
    """The elements in lists of ``size``, the last one shorter; reads no further than it gives."""
    elements = iter(found)
    while chunk := list(itertools.islice(elements, size)):
        yield chunk


def fold(changes: Iterable[Change]) -> dict[bytes, Change]:
    """One change an item, in the order of first mention: two writes of one item in one page would race over the slots."""
    folded: dict[bytes, Change] = {}
    for change in changes:
        key = item_key(change.ref.id if isinstance(change, Put) else change.id)
        earlier = folded.get(key)
        if isinstance(change, ReadFlag) and isinstance(earlier, Put):
            ref = replace(earlier.ref, version=change.version or earlier.ref.version)
            change = Put(ref, replace(earlier.facts, is_read=change.is_read))
        folded[key] = change
    return folded


def marks_of(facts: Facts) -> Mark:
    """The small facts that a row keeps. What the server did not say counts as yes: silence is guarded by doubt."""
    return _MARKS[bool(facts.is_read), facts.has_attendees is not False, facts.wants_receipt is not False]


# Every combination once: putting flags together for each item took longer than all else that is decided about it.
_MARKS = {
    (read, attendees, receipt): Mark(Mark.READ * read | Mark.ATTENDEES * attendees | Mark.RECEIPT * receipt)
    for read, attendees, receipt in itertools.product((False, True), repeat=3)
}

_FROM_LISTING = Mark.READ | Mark.ATTENDEES | Mark.RECEIPT


def _kept(row: Row, told: Mark) -> Mark:
    """What a row's marks add to those of a new listing. Its copy stays unread in the target if reading it could tell somebody."""
    there = row.target is not None or row.state is ItemState.INTENDED
    unread = there and bool(told & Mark.READ) and bool(row.marks & Mark.RECEIPT) and not row.marks & Mark.READ
    return (row.marks & ~_FROM_LISTING) | (Mark.FLAG_WITHHELD if unread else Mark(0))


def meet(key: bytes, change: Change, row: Row | None, opened: Open | None, *, folder_id: int, generation: int) -> Step | None:
    """What follows for a row from one change; None when nothing does.

    ``opened`` is the row's open part if it has one. ``generation`` is the listing round under way.
    """
    if isinstance(change, Put):
        return _meet_put(key, change, row, opened, folder_id, generation)
    if row is None or row.folder_id != folder_id:
        return None  # never carried, or already known to be elsewhere
    if isinstance(change, ReadFlag):
        return _meet_flag(change, row, opened, generation)
    return _meet_drop(change, row, opened, generation)


def _meet_put(key: bytes, put: Put, row: Row | None, opened: Open | None, folder_id: int, generation: int) -> Step | None:
    version = short_hash(put.ref.version)
    if row is not None and row.version == version and row.folder_id == folder_id:
        if row.state is ItemState.DOOMED:
            # It was missed by one listing and met by the next: it never left. What was still owed to it is owed again.
            back = replace(row, generation=generation)
            if row.digest:
                return Step(row, replace(back, state=ItemState.DONE), None)
            owed = Open(item_id=put.ref.id, source_version=put.ref.version, work=Work.UPDATE, facts=pack_facts(put.facts))
            return Step(row, replace(back, state=ItemState.LISTED), owed)
        if row.state is not ItemState.GONE:
            return None if row.generation == generation else Step(row, replace(row, generation=generation), opened)
    marks = marks_of(put.facts)
    work = Work.CREATE
    target: str | None = None
    if row is not None:
        marks |= _kept(row, marks)
        target = row.target
        if row.state is ItemState.INTENDED and opened is not None:
            changed = replace(opened, source_version=put.ref.version, facts=pack_facts(put.facts), reason=CHANGED_SINCE)
            return Step(row, replace(row, version=version, marks=marks, generation=generation), changed)
        work = Work.UPDATE if target is not None else Work.CREATE
    new = Row(
        key=key,
        folder_id=folder_id,
        state=ItemState.LISTED,
        version=version,
        identity=identity_of(put.facts),
        size=put.ref.size or put.facts.size,
        modified=int(put.facts.modified.timestamp()) if put.facts.modified else 0,
        marks=marks,
        generation=generation,
        target=target,
        target_version=row.target_version if row else b"",
        lane=row.lane if row and target else "",
    )
    return Step(row, new, Open(item_id=put.ref.id, source_version=put.ref.version, work=work, facts=pack_facts(put.facts)))


def _meet_flag(flag: ReadFlag, row: Row, opened: Open | None, generation: int) -> Step | None:
    marks = (row.marks | Mark.READ) if flag.is_read else (row.marks & ~Mark.READ)
    version = short_hash(flag.version) or row.version
    if marks == row.marks and version == row.version:
        return None
    new = replace(row, marks=marks | _kept(row, marks), version=version)
    match row.state:
        case ItemState.DONE if marks != row.marks:
            if flag.is_read and row.marks & Mark.RECEIPT:
                # Marking it read could send a receipt to its sender; that is listed instead of done.
                return Step(row, replace(new, marks=marks | Mark.FLAG_WITHHELD), None)
            kept = opened.facts if opened is not None else b""  # of a row that is still to be recounted
            work = Open(item_id=flag.id, source_version=flag.version, work=Work.FLAG, facts=kept)
            return Step(row, replace(new, state=ItemState.LISTED, marks=marks & ~Mark.FLAG_WITHHELD), work)
        case ItemState.DONE | ItemState.GONE | ItemState.DOOMED:
            return Step(row, new, opened)
        case ItemState.INTENDED if opened is not None:
            return Step(row, new, replace(opened, source_version=flag.version or opened.source_version, reason=CHANGED_SINCE))
        case _:
            return Step(
                row, new, opened if opened is None else replace(opened, source_version=flag.version or opened.source_version)
            )


def _meet_drop(drop: Drop, row: Row, opened: Open | None, generation: int) -> Step | None:
    if row.state in (ItemState.DOOMED, ItemState.GONE):
        return None
    return miss(row, opened, generation, item_id=drop.id)


def miss(row: Row, opened: Open | None, generation: int, *, item_id: str = "") -> Step:
    """What follows when an item is no longer in its folder at the source: doomed if the target holds it, else gone.

    A row without digest owes its target something; dooming one that does keeps that in mind.
    """
    kept = opened or Open(item_id=item_id)
    row_after = replace(row, digest=b"") if row.state is ItemState.LISTED else row
    if row.state is ItemState.INTENDED:
        return Step(row, replace(row_after, generation=generation), replace(kept, work=Work.REMOVE, reason=""))
    if row.target is not None:
        return Step(
            row, replace(row_after, state=ItemState.DOOMED, generation=generation), replace(kept, work=Work.REMOVE, reason="")
        )
    return Step(row, replace(row, state=ItemState.GONE, generation=generation), None)


@dataclass(frozen=True, slots=True)
class Move:
    """An item that left one place and came into another under a new id; the target's copy can follow instead of being doubled."""

    left: Row
    came: Row
    opened: Open

    @property
    def same_folder(self) -> bool:
        """The source gave the item a new id without moving it (a restore, a hop between servers)."""
        return self.left.folder_id == self.came.folder_id

    @property
    def unchanged(self) -> bool:
        """Nothing but the place changed, as far as a listing tells."""
        return bool(self.left.digest) and self.left.size == self.came.size and self.left.modified == self.came.modified != 0


def match(left: Sequence[Row], came: Sequence[tuple[Row, Open]], movable: Sequence[str]) -> list[Move]:
    """Pair doomed rows with rows that were never carried, by identity; each at most once.

    Copies share an identity, so pairs that also agree in size and time of change go first. Classes that the target can't move
    are left alone unless the folder stayed the same, which needs no move.
    """
    waiting: dict[bytes, list[tuple[Row, Open]]] = defaultdict(list)
    for row, opened in came:
        if row.state in NEW and opened.work is Work.CREATE and row.target is None and row.identity:
            waiting[row.identity].append((row, opened))
    moves: list[Move] = []
    for exact in (True, False):
        taken = {move.left.key for move in moves}
        for row in left:
            if row.key in taken or row.state is not ItemState.DOOMED or row.target is None:
                continue
            candidates = waiting.get(row.identity, [])
            for candidate in candidates:
                move = Move(row, *candidate)
                if exact and not move.unchanged:
                    continue
                if not move.same_folder and not carries(movable, class_in(move.opened.facts)):
                    continue
                candidates.remove(candidate)
                moves.append(move)
                break
    return moves


def follow(move: Move) -> tuple[Row, Open | None]:
    """The row that takes the place of the doomed one: same target, new key, and what is still to be done about it."""
    kept = replace(
        move.came,
        target=move.left.target,
        target_version=move.left.target_version,
        lane=move.left.lane,
        digest=move.left.digest,
        marks=move.came.marks | _kept(move.left, move.came.marks),
    )
    if not move.same_folder:
        owed = "" if move.unchanged else CHANGED_SINCE
        return replace(kept, state=ItemState.LISTED), replace(move.opened, work=Work.MOVE, reason=owed)
    if move.unchanged:
        return replace(kept, state=ItemState.DONE), None
    return replace(kept, state=ItemState.LISTED), replace(move.opened, work=Work.UPDATE, reason="")


def carries(prefixes: Sequence[str], item_class: str) -> bool:
    """Whether a lane or a power that names these class prefixes covers an item class; case does not count."""
    folded = item_class.casefold()
    for prefix in prefixes:
        wanted = prefix.casefold()
        if not wanted or folded == wanted or folded.startswith(wanted + "."):
            return True
    return False


def choose(
    item_class: str,
    kept: str,
    wanted: str,
    offers: frozenset[Lane],
    accepts: Mapping[Lane, Sequence[str]],
    *,
    import_last: bool = False,
    narrow: Collection[Lane] = (),
) -> Lane | None:
    """The lane of an item: the one it is bound to (``kept``), else the operator's, else import before compose; the other way
    round with ``import_last``, for what a probe found the import to refuse. ``narrow`` are lanes that take nothing of its size.

    None if no lane carries it.
    """
    order = (Lane.COMPOSE, Lane.IMPORT) if import_last else (Lane.IMPORT, Lane.COMPOSE)
    for lane in order:
        if (kept and lane != kept) or (wanted != "auto" and lane != wanted):
            continue
        if lane in offers and lane not in narrow and carries(accepts.get(lane, ()), item_class):
            return lane
    return None


_IMPORT_ONLY = {
    "ipm.distlist": Refusal(
        "list-needs-import", "Graph v1.0 has no personal distribution lists; only the import lane carries them."
    ),
    "ipm.stickynote": Refusal("note-needs-import", "Graph has no resource for sticky notes; only the import lane carries them."),
    "ipm.activity": Refusal(
        "journal-needs-import", "Graph has no resource for journal entries; only the import lane carries them."
    ),
}


def without_lane(item_class: str) -> Refusal:
    """Why no lane that is open carries an item of this class."""
    for prefix, refusal in _IMPORT_ONLY.items():
        if carries((prefix,), item_class):
            return refusal
    return Refusal("no-lane", f"No lane that is open carries the class {item_class}.")


def too_large(size: int, open_to: Collection[Lane], most: Mapping[Lane, float]) -> Refusal:
    """Why an item of that size is not even fetched: every lane that is open to its class takes less. ``most`` is in bytes."""
    takes = ", ".join(f"{lane} {most[lane] / 1e6:,.0f} MB" for lane in Lane if lane in open_to)
    return Refusal("too-large-to-carry", f"It has {size / 1e6:,.1f} MB; at the most the lanes that are open to it take: {takes}.")


@dataclass(frozen=True, slots=True)
class Lot:
    """Rows that are fetched and written together: one folder, one lane, one kind of work."""

    lane: Lane
    work: Work
    folder_id: int
    rows: tuple[tuple[Row, Open], ...]


def batches(rows: Iterable[tuple[Row, Open, Lane]], limits: Limits) -> Iterator[Lot]:
    """Cut rows into lots that stay below the limits in number and bytes; a row larger than the limit travels alone."""
    current: list[tuple[Row, Open]] = []
    shape: tuple[Lane, Work, int] | None = None
    weight = 0
    for row, opened, lane in rows:
        now = (lane, opened.work, row.folder_id)
        size = row.size if opened.work in (Work.CREATE, Work.UPDATE) else 0
        if (
            current
            and shape is not None
            and (now != shape or len(current) >= limits.fetch_items or weight + size > limits.fetch_bytes)
        ):
            yield Lot(*shape, tuple(current))
            current, weight = [], 0
        shape = now
        current.append((row, opened))
        weight += size
    if current and shape is not None:
        yield Lot(*shape, tuple(current))


@dataclass(frozen=True, slots=True)
class Rails:
    """How many removals one pass may carry out without being asked."""

    max_deletes: int
    max_share: float
    approved: bool = False

    def allow(self, doomed: int, held: int) -> bool:
        """True if ``doomed`` removals out of ``held`` items are within the rails, or a person approved them."""
        return self.approved or doomed <= self.max_deletes or (held > 0 and doomed / held <= self.max_share)
