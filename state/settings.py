"""What became of each setting of a mailbox: rules, categories, automatic replies and the like.

A row is INTENDED before its write leaves and CARRIED, or SWITCHED on at the operator's word, once the answer is there. What is
LISTED or SCRIPTED is told anew by every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, delete, func, select, text, update

from state.model import Lease
from state.records import cleaned
from state.schema import settings

T = TypeVar("T")


class SettingState(StrEnum):
    """What became of a setting."""

    INTENDED = "intended"
    CARRIED = "carried"
    SWITCHED = "switched"
    LISTED = "listed"
    SCRIPTED = "scripted"


TOLD: Final = (SettingState.LISTED, SettingState.SCRIPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting. ``name`` and ``why`` are for people; ``target`` and ``stored`` recognise it in the target.

    ``waits``: it is there, and off until the operator says more. ``at`` in wall-clock seconds.
    """

    key: bytes
    kind: str
    name: str
    state: SettingState
    why: str = ""
    waits: bool = False
    target: str = ""
    stored: bytes = b""
    at: float = 0.0


_KEEP = text(
    "INSERT INTO settings (mailbox_id, key, at, waits, kind, name, state, why, target, stored)"
    " VALUES (:mailbox_id, :key, :at, :waits, :kind, :name, :state, :why, :target, :stored)"
    " ON CONFLICT (mailbox_id, key) DO UPDATE SET at = excluded.at, waits = excluded.waits, name = excluded.name,"
    " state = excluded.state, why = excluded.why, target = excluded.target, stored = excluded.stored"
)


class _Fenced(Protocol):
    def __call__(self, lease: Lease, unit: Callable[[Connection], T], *, durable: bool = True) -> T: ...


class _Reading(Protocol):
    def __call__(self, unit: Callable[[Connection], T]) -> T: ...


class SettingRows:
    """The ledger's part for settings. Made by ``Ledger.settings``; one method is one transaction."""

    def __init__(self, read: _Reading, fenced: _Fenced) -> None:
        self._read = read
        self._fenced = fenced

    def keep(self, lease: Lease, row: SettingRow) -> None:
        """Write down one setting; the last word counts. Raises Fenced."""
        self._fenced(lease, lambda db: db.execute(_KEEP, _values(lease.mailbox_id, row)))

    def tell(self, lease: Lease, rows: Sequence[SettingRow]) -> None:
        """Replace everything that is LISTED or SCRIPTED by these rows, and write down the others beside. Raises Fenced."""

        def unit(db: Connection) -> None:
            mine = settings.c.mailbox_id == lease.mailbox_id
            db.execute(delete(settings).where(mine, settings.c.state.in_([one.value for one in TOLD])))
            known = {one.key: SettingState(one.state) for one in db.execute(select(settings.c.key, settings.c.state).where(mine))}
            # What was carried once stays remembered as that, so that nobody writes again what the target's user removed.
            for row in rows:
                if known.get(row.key) in (None, SettingState.INTENDED):
                    db.execute(_KEEP, _values(lease.mailbox_id, row))
                else:
                    own = mine & (settings.c.key == row.key)
                    state = row.state if row.state is SettingState.SWITCHED else known[row.key]
                    values = {"why": cleaned(row.why), "waits": row.waits, "state": state.value}
                    db.execute(update(settings).where(own).values(values))

        self._fenced(lease, unit)

    def rows(self, mailbox_id: int) -> list[SettingRow]:
        """Everything that is known of a mailbox, by kind and name."""
        query = (
            select(settings).where(settings.c.mailbox_id == mailbox_id).order_by(settings.c.kind, settings.c.name, settings.c.key)
        )
        return self._read(lambda db: [_row_of(found) for found in db.execute(query)])

    def counts(self) -> dict[int, dict[str, int]]:
        """By mailbox how many are carried, waiting, listed and scripted; mailboxes whose settings nobody wrote are missing."""
        query = select(settings.c.mailbox_id, settings.c.state, settings.c.waits, func.count()).group_by(
            settings.c.mailbox_id, settings.c.state, settings.c.waits
        )

        def unit(db: Connection) -> dict[int, dict[str, int]]:
            found: dict[int, Counter[str]] = {}
            for mailbox_id, state, waits, number in db.execute(query):
                tally = found.setdefault(mailbox_id, Counter(carried=0, waiting=0, listed=0, scripted=0))
                word = "carried" if state == SettingState.SWITCHED else state
                if word in tally:
                    tally[word] += number
                tally["waiting"] += number if waits else 0
            return {mailbox_id: dict(tally) for mailbox_id, tally in found.items()}

        return self._read(unit)


def _values(mailbox_id: int, row: SettingRow) -> dict[str, Any]:
    return {
        "mailbox_id": mailbox_id,
        "key": row.key,
        "at": row.at,
        "waits": row.waits,
        "kind": row.kind,
        "name": cleaned(row.name),
        "state": row.state.value,
        "why": cleaned(row.why),
        "target": row.target,
        "stored": row.stored,
    }


def _row_of(found: Any) -> SettingRow:
    return SettingRow(
        key=found.key,
        kind=found.kind,
        name=found.name,
        state=SettingState(found.state),
        why=found.why,
        waits=found.waits,
        target=found.target,
        stored=found.stored,
        at=found.at,
    )
