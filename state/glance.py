"""The ledger's sums over all mailboxes, in plain SQL over whatever connection there is: for views that have to answer at once.

``look`` opens a ledger with its database's own driver, because loading SQLAlchemy takes longer than all questions here together.
Nothing here reads rows of items, so the size of the ledger hardly matters. Changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from state.model import ItemState, MailboxRow, MailboxState, PassKind, PassState
from state.revision import HEAD

Ask: TypeAlias = Callable[[str, tuple[Any, ...]], Sequence[Sequence[Any]]]

RECENT: Final = 3
"""Passes of each mailbox that are read."""

_SQLITE: Final = "sqlite:///"
_MAILBOX: Final = (
    "id", "wave", "source", "target", "state", "came_from", "cause", "epoch", "owner", "lease_until", "sequence", "generation",
    "claimed", "trusts_stamps",
)  # fmt: skip
_COLUMNS: Final = "p.mailbox_id, p.id, p.kind, p.state, p.started, p.ended, p.figures"
_STATES: Final = {state.value: state for state in ItemState}


class Done(msgspec.Struct, frozen=True, gc=False, rename={"settle": "waited.settle", "aside": "folders_unchanged"}):
    """The figures of a pass that say how much it did: items by what was done to them, bytes, folders that it left aside, and
    seconds that it waited for the settle horizon."""

    created: float = 0
    updated: float = 0
    flagged: float = 0
    moved: float = 0
    removed: float = 0
    adopted: float = 0
    refused: float = 0
    withheld: float = 0
    bytes: float = 0
    aside: float = 0
    settle: float = 0

    @property
    def items(self) -> int:
        """Items that were dealt with."""
        arrived = self.created + self.updated + self.flagged + self.moved + self.removed + self.adopted
        return int(arrived + self.refused + self.withheld)


class Ran(msgspec.Struct, frozen=True, gc=False):
    """One pass in brief. Times in wall-clock seconds."""

    mailbox_id: int
    id: int
    kind: PassKind
    state: PassState
    started: float
    ended: float | None
    figures: str

    @property
    def done(self) -> Done:
        """What it did, read now: of many passes nobody asks that."""
        return _done(self.figures)


_KINDS: Final = {kind.value: kind for kind in PassKind}
_ENDINGS: Final = {state.value: state for state in PassState}
_MAILBOXES: Final = {state.value: state for state in MailboxState}
_done = msgspec.json.Decoder(Done).decode


class CantLook(Exception):
    """The ledger can't be read this way; opening it as usual says why, in words."""


@dataclass(frozen=True, slots=True)
class Held:
    """Items and bytes of one mailbox, by state."""

    items: dict[ItemState, int]
    bytes: dict[ItemState, int]


class Glance:
    """Sums and last words of all mailboxes. Made by ``look``, or by ``Ledger.glance`` over its own connections."""

    def __init__(self, ask: Ask, *, sqlite: bool) -> None:
        self._ask = ask
        self._sqlite = sqlite

    def revision(self) -> str:
        """The revision of the ledger's schema."""
        return str(self._ask("SELECT max(version_num) FROM alembic_version", ())[0][0])

    def mailboxes(self, wave: str | None = None) -> list[MailboxRow]:
        """All mailboxes, or those of one wave, in the order in which they were planned."""
        where, values = ("", ()) if wave is None else (f" WHERE wave = {self._mark}", (wave,))
        found = self._ask(f"SELECT {', '.join(_MAILBOX)} FROM mailboxes{where} ORDER BY id", values)
        return [_mailbox(one) for one in found]

    def held(self) -> dict[int, Held]:
        """Items and bytes of every mailbox that has any."""
        text = "SELECT mailbox_id, state, sum(items), sum(bytes) FROM tallies WHERE items <> 0 GROUP BY mailbox_id, state"
        found: dict[int, Held] = defaultdict(lambda: Held({}, {}))
        for mailbox_id, number, items, size in self._ask(text, ()):
            mine, state = found[mailbox_id], _STATES[number]
            mine.items[state], mine.bytes[state] = int(items), int(size)
        return dict(found)

    def approved(self) -> Counter[int]:
        """How many of what did not go a person let stay behind, by mailbox."""
        text = (
            "SELECT d.mailbox_id, count(*) FROM decisions d"
            " JOIN items i ON i.mailbox_id = d.mailbox_id AND i.key = d.key JOIN open_items o ON o.item = i.id"
            f" WHERE o.state IN ({ItemState.REFUSED.value}, {ItemState.WITHHELD.value}) AND d.decision = 'approved'"
            " AND d.version = i.version AND d.reason = o.reason AND d.id ="
            " (SELECT max(l.id) FROM decisions l WHERE l.mailbox_id = d.mailbox_id AND l.key = d.key) GROUP BY d.mailbox_id"
        )
        return Counter({mailbox_id: int(number) for mailbox_id, number in self._ask(text, ())})

    def passes(self) -> dict[int, list[Ran]]:
        """The last few passes of every mailbox that had any, newest first."""
        among = f"SELECT q.id FROM passes q WHERE q.mailbox_id = m.id ORDER BY q.id DESC LIMIT {RECENT}"
        join = f"JOIN passes p ON p.id IN ({among})"
        if not self._sqlite:
            # Postgres would ask that for every pair of a mailbox and a pass.
            join = f"CROSS JOIN LATERAL ({among.replace('q.id FROM', 'q.* FROM')}) p"
        found: dict[int, list[Ran]] = defaultdict(list)
        for one in self._ask(f"SELECT {_COLUMNS} FROM mailboxes m {join}", ()):
            found[one[0]].append(_pass(one))
        for mine in found.values():
            mine.sort(key=lambda one: one.id, reverse=True)
        return dict(found)

    def seeds(self, last: int = 30) -> list[Ran]:
        """The last first passes of any mailboxes, newest first: they say how fast this pair of servers is."""
        text = (
            f"SELECT {_COLUMNS} FROM passes p WHERE p.kind = 'seed' AND p.ended IS NOT NULL ORDER BY p.id DESC LIMIT {int(last)}"
        )
        return [_pass(one) for one in self._ask(text, ())]

    def ended_since(self, moment: float) -> list[Ran]:
        """The passes of any mailboxes that ended after a moment (wall-clock seconds), in no order."""
        return [_pass(one) for one in self._ask(f"SELECT {_COLUMNS} FROM passes p WHERE p.ended > {self._mark}", (moment,))]

    def observed(self, kind: str) -> dict[int, dict[str, Any]]:
        """The last sight of one kind, by mailbox."""
        found = self._ask(f"SELECT mailbox_id, about FROM observations WHERE kind = {self._mark}", (kind,))
        return {mailbox_id: msgspec.json.decode(about, type=dict[str, Any]) for mailbox_id, about in found}

    def waves(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """State and details of the waves that somebody said something about."""
        found = self._ask("SELECT name, state, details FROM waves ORDER BY name", ())
        return {name: (state, msgspec.json.decode(details, type=dict[str, Any])) for name, state, details in found}

    def answered(self, question: str) -> tuple[str, float]:
        """The last answer of probes to a question that is about the target alone, and when; empty and 0 if there is none."""
        text = f"SELECT answer, at FROM answers WHERE question = {self._mark} ORDER BY at DESC LIMIT 1"
        found = self._ask(text, (question,))
        return (str(found[0][0]), float(found[0][1])) if found else ("", 0.0)

    def hinted(self, scope: str) -> float:
        """Until when a hint of this scope holds, in wall-clock seconds; 0 if there is none."""
        found = self._ask(f"SELECT until FROM hints WHERE scope = {self._mark}", (scope,))
        return float(found[0][0]) if found else 0.0

    def confirmed(self) -> dict[int, dict[str, str]]:
        """What became of each step outside of this program, by mailbox and step."""
        found: dict[int, dict[str, str]] = defaultdict(dict)
        for mailbox_id, step, result in self._ask("SELECT mailbox_id, step, result FROM confirmations", ()):
            found[mailbox_id][step] = result
        return dict(found)

    @property
    def _mark(self) -> str:
        return "?" if self._sqlite else "%s"


@contextmanager
def look(url: str) -> Iterator[Glance]:
    """A ledger that is there, for reading. Raises CantLook for anything that is odd about it."""
    if url.startswith(_SQLITE):
        try:
            with closing(sqlite3.connect(url.removeprefix(_SQLITE), timeout=60.0, isolation_level=None)) as db:
                yield _checked(Glance(lambda text, values: db.execute(text, values).fetchall(), sqlite=True))
        except sqlite3.Error as error:
            raise CantLook from error
        return
    import psycopg

    try:
        with psycopg.connect(url, autocommit=True) as server:
            # The texts are those of this file; what they ask for is handed over beside them.
            yield _checked(Glance(lambda text, values: server.execute(text.encode(), values).fetchall(), sqlite=False))
    except psycopg.Error as error:
        raise CantLook from error


def _checked(glance: Glance) -> Glance:
    if glance.revision() != HEAD:
        raise CantLook
    return glance


def _mailbox(found: Sequence[Any]) -> MailboxRow:
    (number, wave, source, target, state, came_from, cause, epoch, owner, lease_until, sequence, generation, claimed, trusts) = (
        found
    )
    return MailboxRow(
        id=number,
        wave=wave,
        source=source,
        target=target,
        state=_MAILBOXES[state],
        came_from=None if came_from is None else _MAILBOXES[came_from],
        cause=cause,
        epoch=epoch,
        owner=owner,
        lease_until=lease_until,
        sequence=sequence,
        generation=generation,
        claimed=bool(claimed),
        trusts_stamps=bool(trusts),
    )


def _pass(found: Sequence[Any]) -> Ran:
    mailbox_id, number, kind, state, started, ended, figures = found
    return Ran(mailbox_id, number, _KINDS[kind], _ENDINGS[state], started, ended, figures)
