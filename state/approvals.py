"""What a person decided about items that can't go, and where their content is kept.

An approval is of one version of an item and of one reason. It ends when the item changes at its source, when it is refused for
another reason, and when somebody decides anew. That an item is skipped is of the item: only a new decision ends it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, text

from state.model import Choice, Decision, ItemState, Kept, Lease, Step
from state.records import Statements, chunks, cleaned, writes_of
from state.schema import decisions, items, kept, open_items

T = TypeVar("T")

STAYED: Final = frozenset({ItemState.REFUSED, ItemState.WITHHELD})
"""The states of what did not go."""

SKIPPED: Final = "skipped"
"""The reason of what a person leaves behind for good."""

_SUPERFLUOUS: Final = (ItemState.DONE,)
"""Once an item is there its content need not be kept beside the ledger too."""

_AT_ONCE: Final = 512

_KEEP = (
    "INSERT INTO kept (mailbox_id, key, at, bytes, file, sha256) VALUES (:mailbox_id, :key, :at, :bytes, :file, :sha256)"
    " ON CONFLICT (mailbox_id, key) DO UPDATE SET at = excluded.at, bytes = excluded.bytes, file = excluded.file,"
    " sha256 = excluded.sha256"
)


class _Transaction(Protocol):
    def __call__(self, unit: Callable[[Connection], T], *, durable: bool = True) -> T: ...


class _Fenced(Protocol):
    def __call__(self, lease: Lease, unit: Callable[[Connection], T], *, durable: bool = True) -> T: ...


class _Reading(Protocol):
    def __call__(self, unit: Callable[[Connection], T]) -> T: ...


class Approvals:
    """The ledger's part for people. Made by ``Ledger.approvals``; one method is one transaction."""

    def __init__(self, read: _Reading, write: _Transaction, fenced: _Fenced, words: Statements) -> None:
        self._read = read
        self._write = write
        self._fenced = fenced
        self._words = words

    def decide(self, decided: Sequence[Decision]) -> None:
        """Write down what a person decided."""
        if decided:
            self._write(lambda db: _record(db, decided))

    def retry(self, lease: Lease, steps: Sequence[Step], decided: Sequence[Decision]) -> None:
        """Put rows back on the work list and write down who wanted that, together. Raises Fenced and IllegalMove."""
        writes = writes_of(lease.mailbox_id, steps)

        def unit(db: Connection) -> None:
            writes.run(db, self._words)
            _record(db, decided)

        self._fenced(lease, unit)

    def decisions(self, mailbox_id: int | None = None, key: bytes | None = None) -> list[Decision]:
        """All decisions, oldest first: of one mailbox or all, of one item or all."""
        query = select(decisions).order_by(decisions.c.id)
        for column, wanted in ((decisions.c.mailbox_id, mailbox_id), (decisions.c.key, key)):
            if wanted is not None:
                query = query.where(column == wanted)
        return self._read(lambda db: [_decision_of(found) for found in db.execute(query)])

    def last_decided(self) -> dict[int, float]:
        """When somebody last decided something about an item of each mailbox, in wall-clock seconds."""
        query = select(decisions.c.mailbox_id, func.max(decisions.c.at)).group_by(decisions.c.mailbox_id)
        return self._read(lambda db: {found[0]: float(found[1]) for found in db.execute(query)})

    def approved(self, mailbox_id: int | None = None) -> dict[int, frozenset[bytes]]:
        """The keys of what did not go and was approved as it is now, by mailbox; mailboxes without any are missing."""

        def unit(db: Connection) -> dict[int, frozenset[bytes]]:
            found: dict[int, set[bytes]] = defaultdict(set)
            for one in db.execute(_approved(decisions.c.mailbox_id, decisions.c.key, mailbox_id=mailbox_id)):
                found[one[0]].add(one[1])
            return {number: frozenset(keys) for number, keys in found.items()}

        return self._read(unit)

    def approved_counts(self, mailbox_id: int | None = None) -> Counter[int]:
        """How many that are, by mailbox."""

        def unit(db: Connection) -> Counter[int]:
            query = _approved(decisions.c.mailbox_id, func.count(), mailbox_id=mailbox_id).group_by(decisions.c.mailbox_id)
            return Counter({one[0]: int(one[1]) for one in db.execute(query)})

        return self._read(unit)

    def approved_by(self, mailbox_id: int | None = None) -> dict[int, Counter[str]]:
        """The same by mailbox and by who approved."""

        def unit(db: Connection) -> dict[int, Counter[str]]:
            query = _approved(decisions.c.mailbox_id, decisions.c.who, func.count(), mailbox_id=mailbox_id)
            found: dict[int, Counter[str]] = defaultdict(Counter)
            for one in db.execute(query.group_by(decisions.c.mailbox_id, decisions.c.who)):
                found[one[0]][one[1]] = int(one[2])
            return dict(found)

        return self._read(unit)

    def skipped(self, mailbox_id: int) -> frozenset[bytes]:
        """The keys of what a person leaves behind for good, in one mailbox."""
        later = decisions.alias("later")
        newest = select(func.max(later.c.id)).where(later.c.mailbox_id == mailbox_id, later.c.key == decisions.c.key)
        query = select(decisions.c.key).where(
            decisions.c.mailbox_id == mailbox_id,
            decisions.c.decision == Choice.SKIPPED.value,
            decisions.c.id == newest.scalar_subquery(),
        )
        return self._read(lambda db: frozenset(found[0] for found in db.execute(query)))

    def keep(self, one: Kept) -> None:
        """Write down where the content of an item lies; the last word counts."""
        values = {name: getattr(one, name) for name in Kept.__dataclass_fields__}
        self._write(lambda db: db.execute(text(_KEEP), values), durable=False)

    def kept(self, mailbox_id: int | None = None) -> list[Kept]:
        """Everything that is kept, of one mailbox or all."""
        query = select(kept).order_by(kept.c.mailbox_id, kept.c.file)
        if mailbox_id is not None:
            query = query.where(kept.c.mailbox_id == mailbox_id)
        return self._read(lambda db: [_kept_of(found) for found in db.execute(query)])

    def superfluous(self, mailbox_id: int) -> list[Kept]:
        """What is kept of items that have arrived in the meantime, or whose row another one took over."""
        mine = and_(items.c.mailbox_id == kept.c.mailbox_id, items.c.key == kept.c.key)
        query = (
            select(kept)
            .select_from(kept.outerjoin(items, mine))
            .where(kept.c.mailbox_id == mailbox_id)
            .where(items.c.id.is_(None) | items.c.state.in_([state.value for state in _SUPERFLUOUS]))
        )
        return self._read(lambda db: [_kept_of(found) for found in db.execute(query)])

    def let_go(self, mailbox_id: int, keys: Sequence[bytes]) -> None:
        """Forget where the content of these items lies."""

        def unit(db: Connection) -> None:
            for some in chunks(keys, _AT_ONCE):
                db.execute(delete(kept).where(kept.c.mailbox_id == mailbox_id, kept.c.key.in_(list(some))))

        if keys:
            self._write(unit, durable=False)


def _record(connection: Connection, decided: Sequence[Decision]) -> None:
    rows = [
        {
            "at": one.at,
            "mailbox_id": one.mailbox_id,
            "key": one.key,
            "version": one.version,
            "reason": cleaned(one.reason),
            "decision": one.decision.value,
            "who": cleaned(one.who),
            "why": cleaned(one.why),
        }
        for one in decided
    ]
    connection.execute(insert(decisions), rows)


def _approved(*columns: Any, mailbox_id: int | None) -> Select[Any]:
    """Decisions that are the last about their item, say approved or skipped, and still fit the row."""
    later = decisions.alias("later")
    newest = (
        select(func.max(later.c.id))
        .where(later.c.mailbox_id == decisions.c.mailbox_id, later.c.key == decisions.c.key)
        .scalar_subquery()
    )
    opened = open_items.c
    query = (
        select(*columns)
        .select_from(
            decisions.join(items, and_(items.c.mailbox_id == decisions.c.mailbox_id, items.c.key == decisions.c.key)).join(
                open_items, opened.item == items.c.id
            )
        )
        .where(opened.state.in_([state.value for state in sorted(STAYED)]))
        .where(decisions.c.id == newest)
        .where(
            or_(
                and_(
                    decisions.c.decision == Choice.APPROVED.value,
                    decisions.c.version == items.c.version,
                    decisions.c.reason == opened.reason,
                ),
                and_(decisions.c.decision == Choice.SKIPPED.value, opened.reason == SKIPPED),
            )
        )
    )
    return query if mailbox_id is None else query.where(decisions.c.mailbox_id == mailbox_id)


def _decision_of(found: Any) -> Decision:
    return Decision(
        mailbox_id=found.mailbox_id,
        key=found.key,
        version=found.version,
        reason=found.reason,
        decision=Choice(found.decision),
        who=found.who,
        why=found.why,
        at=found.at,
    )


def _kept_of(found: Any) -> Kept:
    return Kept(
        mailbox_id=found.mailbox_id,
        key=found.key,
        file=found.file,
        sha256=found.sha256,
        bytes=found.bytes,
        at=found.at,
    )
