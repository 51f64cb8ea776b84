"""What the ledger remembers, as plain values, and the moves that are legal.

    item      LISTED ─► INTENDED ─► DONE | REFUSED | WITHHELD        FILTERED: a rule keeps it back
                 ▲          │        │
                 └──────────┘        ├─► LISTED (it changed at the source)
              (looked up: not there) └─► DOOMED (it left the source) ─► GONE
              BACKFILL ─► INTENDED   old mail, carried after everything else
    pass      RUNNING ─► DONE | PAUSED | FAILED
    mailbox   PLANNED ─► SEEDING ─► SYNCING ⇄ READY ─► LOCKED ─► FINAL ─► ROUTED ─► SWEEPING ─► BACKFILLING ─► CLOSED
              PAUSED, HELD and FAILED remember where they came from and go back there

A row that still wants something done has an ``Open`` beside it; the two tables together are the work list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

import msgspec
from msgspec.structs import astuple


class IllegalMove(Exception):
    """A state was about to change in a way that no table allows: a bug."""


class ItemState(IntEnum):
    """Where an item stands. Stored as this number, so numbers never change their meaning."""

    LISTED = 1  # seen at the source; something is to be done in the target
    INTENDED = 2  # about to be sent, or sent and not yet answered
    DONE = 3  # the target holds it as the source had it
    REFUSED = 4  # it can never go as it is; a reason is kept
    WITHHELD = 5  # it could go, but somebody might be e-mailed; a reason is kept
    FILTERED = 6  # a named rule of the operator keeps it back
    DOOMED = 7  # it left the source; the target still holds it
    GONE = 8  # it left the source and the target does not hold it for us
    BACKFILL = 9  # not yet carried, and older than what a cutover waits for


_KEPT_BACK = frozenset({ItemState.FILTERED, ItemState.BACKFILL})

ITEM_MOVES: dict[ItemState, frozenset[ItemState]] = {
    ItemState.LISTED: frozenset(ItemState),
    ItemState.INTENDED: frozenset(ItemState) - {ItemState.FILTERED, ItemState.BACKFILL},
    ItemState.DONE: frozenset(
        {ItemState.DONE, ItemState.LISTED, ItemState.INTENDED, ItemState.DOOMED, ItemState.GONE, ItemState.WITHHELD}
    ),
    ItemState.REFUSED: frozenset({ItemState.REFUSED, ItemState.LISTED, ItemState.GONE, ItemState.DOOMED}) | _KEPT_BACK,
    ItemState.WITHHELD: frozenset(
        {ItemState.WITHHELD, ItemState.LISTED, ItemState.GONE, ItemState.DOOMED, ItemState.DONE} | _KEPT_BACK
    ),
    ItemState.FILTERED: frozenset({ItemState.LISTED, ItemState.DONE, ItemState.GONE}) | _KEPT_BACK,
    ItemState.DOOMED: frozenset(
        {ItemState.DOOMED, ItemState.LISTED, ItemState.INTENDED, ItemState.GONE, ItemState.DONE, ItemState.WITHHELD}
    ),
    ItemState.GONE: frozenset({ItemState.GONE, ItemState.LISTED}) | _KEPT_BACK,
    ItemState.BACKFILL: frozenset(
        {ItemState.LISTED, ItemState.INTENDED, ItemState.DONE, ItemState.REFUSED, ItemState.WITHHELD, ItemState.GONE} | _KEPT_BACK
    ),
}

SETTLED = frozenset({ItemState.DONE, ItemState.REFUSED, ItemState.WITHHELD, ItemState.FILTERED, ItemState.GONE})
"""Nothing is to be done about these until the source or the operator says so."""

PENDING = frozenset({ItemState.LISTED, ItemState.INTENDED})
"""A mailbox with any of these is not complete; BACKFILL is none of them, because a cutover does not wait for it."""


class Work(StrEnum):
    """What an open row wants done in the target."""

    CREATE = "create"
    UPDATE = "update"
    FLAG = "flag"
    MOVE = "move"
    REMOVE = "remove"


class Mark(IntFlag):
    """Small facts of a row that outlive its open part."""

    READ = 1  # the read flag, as last carried over
    ATTENDEES = 2  # has attendees, or the server did not say
    RECEIPT = 4  # asks for a read receipt, or the server did not say
    FLAG_WITHHELD = 8  # the read flag was not carried over, because that could send a receipt
    DEGRADED = 16  # arrived with something less than the source has
    TARGET_WINS = 32  # a source change was not carried over, because the target was changed by its user
    ADOPTED = 64  # found in the target, not written by us
    REWRITTEN = 128  # sent again after a look did not find it: a late first copy may still turn up


NO_MARKS = Mark(0)


class PassKind(StrEnum):
    """The same code with a different starting point and different rails."""

    SEED = "seed"
    DELTA = "delta"
    FINAL = "final"
    SWEEP = "sweep"


class PassState(StrEnum):
    RUNNING = "RUNNING"
    DONE = "DONE"
    PAUSED = "PAUSED"
    FAILED = "FAILED"


PASS_MOVES: dict[PassState, frozenset[PassState]] = {
    PassState.RUNNING: frozenset({PassState.DONE, PassState.PAUSED, PassState.FAILED}),
    PassState.DONE: frozenset(),
    PassState.PAUSED: frozenset(),
    PassState.FAILED: frozenset(),
}


class MailboxState(StrEnum):
    """Where a mailbox stands, in the words of the report."""

    PLANNED = "PLANNED"  # in a wave, nothing read yet
    SEEDING = "SEEDING"  # its first pass is not complete
    SYNCING = "SYNCING"  # seeded; passes keep it in step
    READY = "READY"  # in step; may be cut over
    LOCKED = "LOCKED"  # the source takes no more changes by its user
    FINAL = "FINAL"  # the last pass ran clean
    ROUTED = "ROUTED"  # new mail goes to the target
    SWEEPING = "SWEEPING"  # late mail is still being collected
    BACKFILLING = "BACKFILLING"  # only old mail is left to carry
    CLOSED = "CLOSED"  # finished and signed off
    PAUSED = "PAUSED"  # the operator or a limit stopped it
    HELD = "HELD"  # something about this mailbox needs a person
    FAILED = "FAILED"  # a bug stopped it


_ASIDE = frozenset({MailboxState.PAUSED, MailboxState.HELD, MailboxState.FAILED})

MAILBOX_MOVES: dict[MailboxState, frozenset[MailboxState]] = {
    MailboxState.PLANNED: _ASIDE | {MailboxState.SEEDING},
    MailboxState.SEEDING: _ASIDE | {MailboxState.SYNCING},
    MailboxState.SYNCING: _ASIDE | {MailboxState.READY},
    MailboxState.READY: _ASIDE | {MailboxState.SYNCING, MailboxState.LOCKED},
    MailboxState.LOCKED: _ASIDE | {MailboxState.FINAL, MailboxState.SYNCING},
    MailboxState.FINAL: _ASIDE | {MailboxState.ROUTED, MailboxState.LOCKED, MailboxState.SYNCING},
    MailboxState.ROUTED: _ASIDE | {MailboxState.SWEEPING, MailboxState.SYNCING},
    MailboxState.SWEEPING: _ASIDE | {MailboxState.BACKFILLING, MailboxState.CLOSED, MailboxState.SYNCING},
    MailboxState.BACKFILLING: _ASIDE | {MailboxState.CLOSED, MailboxState.SYNCING},
    MailboxState.CLOSED: frozenset(),
    # From aside a mailbox returns to exactly the state it remembers; the store checks that.
    MailboxState.PAUSED: frozenset(MailboxState) - {MailboxState.CLOSED},
    MailboxState.HELD: frozenset(MailboxState) - {MailboxState.CLOSED},
    MailboxState.FAILED: frozenset(MailboxState) - {MailboxState.CLOSED},
}

ASIDE = _ASIDE


def stands(state: MailboxState, came_from: MailboxState | None) -> MailboxState:
    """The state that counts: for a mailbox that is PAUSED, HELD or FAILED the one that it will go back to."""
    return came_from if state in ASIDE and came_from is not None else state


AFTER_CUTOVER = frozenset({MailboxState.ROUTED, MailboxState.SWEEPING, MailboxState.BACKFILLING, MailboxState.CLOSED})
"""The target is in use by its owner: passes only add to it."""


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """One item of one mailbox. ``version``, ``identity``, ``target_version`` and ``digest`` are eight bytes each.

    ``target`` is the target id as the connector gave it; the store packs it. ``modified`` is in seconds since 1970, 0 if unknown.
    ``generation`` is the number of the listing round in which the row was last met or, if DOOMED, last missed. ``number`` is the
    ledger's own, 0 where the row was not read from there; it says where the row lies and nothing about the item.
    """

    key: bytes
    folder_id: int
    state: ItemState
    version: bytes = b""
    identity: bytes = b""
    size: int = 0
    modified: int = 0
    marks: Mark = NO_MARKS
    generation: int = 0
    lane: str = ""
    target: str | None = None
    target_version: bytes = b""
    digest: bytes = b""
    number: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and astuple(self)[:-1] == astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash(self.key)


class Open(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of a row that only matters while something is to be done about it.

    ``facts`` is what the listing told, packed by the engine; the ledger never looks inside. ``batch`` numbers intents within a
    pass; ``intended_at`` is wall-clock seconds. ``old_target`` is a copy that a replacement has made superfluous.
    """

    item_id: str
    source_version: str = ""
    work: Work = Work.CREATE
    facts: bytes = b""
    epoch: int = 0
    batch: int = 0
    intended_at: float = 0.0
    old_target: str | None = None
    reason: str = ""
    detail: str = ""
    code: str = ""


class Step(msgspec.Struct, frozen=True, gc=False):
    """One row's change in a transaction: what it was, what it is now, and its open part (None: nothing left to do)."""

    old: Row | None
    new: Row
    open: Open | None


class FolderRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One source folder and where it went. ``id`` is the ledger's own number.

    ``change_stamp`` was read before its feed was last read to its end, and ``read_at`` is when that was (wall-clock seconds).
    """

    id: int
    source_id: str
    parent_source_id: str | None
    name: str
    kind: str
    role: str | None
    target_id: str | None
    cursor: str | None
    fingerprint: str
    complete: bool
    generation: int
    total: int
    change_stamp: str | None
    absent: int
    read_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxRow:
    """One mailbox of a wave. ``cause`` is a sentence that says why it is where it is.

    ``trusts_stamps`` is false for good once one of its folders changed under an equal change stamp.
    """

    id: int
    wave: str
    source: str
    target: str
    state: MailboxState
    came_from: MailboxState | None
    cause: str
    epoch: int
    owner: str | None
    lease_until: float
    sequence: int
    generation: int
    claimed: bool
    trusts_stamps: bool = True


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change one mailbox's rows; every commit of a pass says ``where epoch = mine``."""

    mailbox_id: int
    epoch: int
    owner: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows and bytes of one folder in one state."""

    folder_id: int
    state: ItemState
    items: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRow:
    """One pass over one mailbox. ``figures`` holds counts and seconds waited by budget, as the engine packed them."""

    id: int
    mailbox_id: int
    kind: PassKind
    state: PassState
    started: float
    ended: float | None
    cause: str
    figures: dict[str, float]


class Choice(StrEnum):
    """What a person may decide about an item that can't go."""

    APPROVED = "approved"  # it stays behind, and that is all right
    RETRIED = "retried"  # the next pass tries it again
    SKIPPED = "skipped"  # it stays behind for good, whatever becomes of it at the source


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about one REFUSED or WITHHELD row, and who, why and when (wall-clock seconds).

    ``version`` and ``reason`` are the row's at that time: an approval is of that version of the item and of that reason.
    """

    mailbox_id: int
    key: bytes
    version: bytes
    reason: str
    decision: Choice
    who: str
    why: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where the content of an item that can't go lies: ``file`` below the vault's folder.

    ``bytes`` is the file's size, ``sha256`` the hash of the plain content."""

    mailbox_id: int
    key: bytes
    file: str
    sha256: str
    bytes: int
    at: float


class LedgerError(Exception):
    """Base of what the ledger raises; the message is one sentence for the operator."""


class LedgerAway(LedgerError):
    """The database can't be used just now; what was under way is undone, or looked up by the next pass.

    ``mend`` says what a person has to do first; empty if time alone may mend it.
    """

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


class Fenced(LedgerError):
    """Another process took the mailbox over; nothing of this transaction was kept."""


class LeaseHeld(LedgerError):
    """Another process has the mailbox. ``owner`` names it, ``until`` is wall-clock seconds."""

    def __init__(self, message: str, owner: str, until: float) -> None:
        super().__init__(message)
        self.owner = owner
        self.until = until


class BoundElsewhere(LedgerError):
    """The ledger belongs to another tenant or source organisation than the config names."""


class NotMigrated(LedgerError):
    """The ledger's schema is not at head; `migrator db upgrade` mends it."""
