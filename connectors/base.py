"""The words that engine and connectors share, and the two contracts.

Folder   a container of items, known by an id that survives a move
Ref      one version of one source item: its id and its change key
Facts    what a listing tells of an item without fetching it
Change   what happened in a folder since a cursor: Put, ReadFlag or Drop
Page     some changes, the cursor after them, and whether they are the last
Cursor   opaque text that a source gave and takes back
Lane     how an item travels: as an export stream, or composed from its parts
Item     a fetched item, ready for one lane
Write    one thing to do in the target
Receipt  it is there
Refusal  it can never go, with a reason
Doubt    it may have happened; look before sending again
Unsent   no byte of it left; it can simply be sent later
Stamp    the stable key of a source item, carried by the target item (compose lane)
Identity what an item is recognised by when no stamp can be carried (import lane)

Ids are opaque, case-sensitive text. Times are aware datetimes in UTC. Sizes are bytes. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec
import xxhash
from msgspec.structs import replace

from connectors.errors import WireError
from connectors.spool import Content

if TYPE_CHECKING:
    from connectors.contact import Contact, Task
    from connectors.event import Event

STAMP_VERSION = "m1-"
"""Prefix of every stamp, so that a later scheme can be told from this one."""


class Lane(StrEnum):
    """How one item travels."""

    IMPORT = "import"  # export stream, carried as it is
    COMPOSE = "compose"  # parts, put together again in the target


class Role(StrEnum):
    """What a special folder is for; never recognised by its name, which the mailbox's language decides.

    Values are the distinguished folder ids of EWS; the target maps them to its own.
    """

    ROOT = "msgfolderroot"
    INBOX = "inbox"
    DRAFTS = "drafts"
    SENT = "sentitems"
    DELETED = "deleteditems"
    JUNK = "junkemail"
    OUTBOX = "outbox"
    CALENDAR = "calendar"
    CONTACTS = "contacts"
    TASKS = "tasks"
    NOTES = "notes"
    JOURNAL = "journal"
    CONVERSATION_HISTORY = "conversationhistory"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Folder:
    """One source folder. ``parent_id`` is None for folders directly below the top of the mailbox.

    ``kind`` is the container class (``IPF.Note``). ``total`` and ``unread`` are the server's own counts at listing time.
    ``change_stamp`` is equal for two listings only if nothing changed between them; None when the server gives none.
    """

    id: str
    parent_id: str | None
    name: str
    kind: str = "IPF.Note"
    role: Role | None = None
    total: int = 0
    unread: int = 0
    hidden: bool = False
    change_stamp: str | None = None


class Ref(msgspec.Struct, frozen=True, gc=False):
    """One version of one source item. ``version`` is the change key; ``size`` in bytes, 0 if unknown.

    ``item_class`` is the class as listed, where whoever fetches has to ask for other things by class; empty if unknown.
    """

    id: str
    version: str = ""
    size: int = 0
    item_class: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a listing tells of an item. None: the server did not say; for the silence flags that counts as yes."""

    item_class: str = "IPM.Note"
    size: int = 0
    search_key: bytes | None = None
    message_id: str | None = None
    subject_hash: bytes | None = None
    submitted: datetime | None = None
    received: datetime | None = None
    created: datetime | None = None
    modified: datetime | None = None
    start: datetime | None = None
    is_read: bool | None = None
    has_attendees: bool | None = None
    wants_receipt: bool | None = None


SUBJECT_KEPT = 255
"""Characters of a subject that every target keeps; a reply to a subject of that length is longer at the source."""


_UNLAWFUL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def hash_subject(subject: str) -> bytes:
    """Eight bytes that stand for a subject, so that no subject is ever stored; case and spacing are levelled.

    What lies beyond SUBJECT_KEPT does not count, so that a copy whose subject the target cut is known as one; nor do characters
    that XML can't hold, because only one of both wires shows them.
    """
    if not subject.isprintable():
        subject = _UNLAWFUL.sub("", subject)
    levelled = " ".join(subject[:SUBJECT_KEPT].casefold().split())
    return hashlib.blake2b(levelled.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def short_hash(text: str) -> bytes:
    """Eight bytes that stand for a change key; empty for an empty one, which matches nothing."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest() if text else b""


def digest_of(content: Content) -> bytes:
    """Eight bytes over an item's content as it was fetched (XXH3, 64 bits).

    They guard against accidents, not against a forger, and run at memory's speed: a cryptographic digest took as long as
    reading the content from the wire.
    """
    return xxhash.xxh3_64_digest(content) if isinstance(content, bytes) else content.digest()


def _seconds(moment: datetime | None) -> str:
    return "" if moment is None else str(int(moment.astimezone(UTC).timestamp()))


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What an item is recognised by. ``rungs`` run from the surest to the weakest; two items are taken for one if they share one.

    Size is no part of it: the target computes its own. Copies of one message share an identity, so hits are counted.
    The fields are kept beside the rungs because a destination has to ask its server in terms of them.
    """

    item_class: str
    search_key: bytes | None
    message_id: str | None
    subject_hash: bytes | None
    when: datetime | None
    stamp: str | None = None

    @property
    def rungs(self) -> tuple[bytes, ...]:
        """Eight bytes a rung: search key + class | message id + class + time | class + subject + time."""
        kind = self.item_class.casefold()
        seconds = _seconds(self.when)
        found = []
        if self.search_key:
            found.append(_digest("k", self.search_key.hex(), kind))
        if self.message_id:
            found.append(_digest("m", self.message_id.strip(), kind, seconds))
        elif self.subject_hash is not None:
            found.append(_digest("s", self.subject_hash.hex(), kind, seconds))
        return tuple(found)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def identify(facts: Facts, stamp: str | None = None) -> Identity:
    """The identity of an item as its listing shows it, on either side; seconds only, because servers round.

    The time of creation is no part of it: a target may set its own. An item without any other time has none here.
    """
    return Identity(
        item_class=facts.item_class,
        search_key=facts.search_key,
        message_id=facts.message_id,
        subject_hash=facts.subject_hash,
        when=facts.start or facts.submitted or facts.received,
        stamp=stamp,
    )


def nearby(facts: Facts) -> frozenset[bytes]:
    """The rungs under which an item of the target may be known at the source.

    Those of its time as it is and a second to either side, because servers round; and those without any time, for what had none
    at the source and was given one by the target.
    """
    identity = identify(facts)
    rungs = {*identity.rungs, *replace(identity, when=None).rungs}
    if identity.when is not None:
        for when in (identity.when - _ROUNDING, identity.when + _ROUNDING):
            rungs.update(replace(identity, when=when).rungs)
    return frozenset(rungs)


_ROUNDING = timedelta(seconds=1)


def item_key(item_id: str) -> bytes:
    """The ledger's key of a source item: 16 bytes that stand for its id, which is long and private."""
    return hashlib.blake2b(item_id.encode("utf-8"), digest_size=16).digest()


def stamp_of(key: bytes) -> str:
    """The stamp of a source item: lower-case hex behind a version, because the target compares without regard to case."""
    return STAMP_VERSION + key.hex()


def key_in(stamp: str) -> bytes | None:
    """The key of the item that a stamp was made of; None if it is no stamp of ours, or that of half a copy."""
    folded = stamp.casefold()
    try:
        key = bytes.fromhex(folded.removeprefix(STAMP_VERSION))
    except ValueError:
        return None
    return key if len(key) == 16 and stamp_of(key) == folded else None


class Put(msgspec.Struct, frozen=True, gc=False):
    """The item is there, new or changed; which of the two the ledger knows."""

    ref: Ref
    facts: Facts


class ReadFlag(msgspec.Struct, frozen=True, gc=False):
    """Only the read flag changed. ``version`` may be the new change key or empty."""

    id: str
    is_read: bool
    version: str = ""


class Drop(msgspec.Struct, frozen=True, gc=False):
    """The item left this folder: deleted, or moved elsewhere under a new id."""

    id: str


Change: TypeAlias = Put | ReadFlag | Drop


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes in the server's order, the cursor after them, and whether the folder's end is reached."""

    changes: tuple[Change, ...]
    cursor: str
    last: bool


@dataclass(frozen=True, slots=True)
class Address:
    """A person or list as an item names them; ``address`` may be empty or no SMTP address at all."""

    name: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment. ``content`` is base64 without line breaks, carried over without being decoded where the source allows; that
    of a large item lies in a file."""

    name: str
    content_type: str
    content: Content = field(repr=False)
    size: int = 0
    content_id: str | None = None
    inline: bool = False


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A follow-up flag."""

    status: Literal["flagged", "complete"]
    start: datetime | None = None
    due: datetime | None = None
    completed: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A mail taken apart for the compose lane. ``odd`` names each thing about it that could not be read as the standards say."""

    subject: str = field(default="", repr=False)
    body: str = field(default="", repr=False)
    body_kind: Literal["html", "text"] = "text"
    sender: Address | None = None
    author: Address | None = None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    message_id: str | None = None
    in_reply_to: str | None = None
    references: str | None = None
    headers: str | None = field(default=None, repr=False)
    submitted: datetime | None = None
    received: datetime | None = None
    is_draft: bool = False
    is_read: bool = False
    importance: Literal["low", "normal", "high"] = "normal"
    sensitivity: Literal["normal", "personal", "private", "confidential"] = "normal"
    categories: tuple[str, ...] = ()
    follow_up: FollowUp | None = None
    wants_read_receipt: bool = False
    wants_delivery_receipt: bool = False
    icon: int | None = None
    last_verb: int | None = None
    attachments: tuple[Attachment, ...] = ()
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A fetched item: ``stream`` (import lane, base64 as the server sent it) is set, or one of the parts of the compose lane:
    ``message``, ``event``, ``contact``, ``task``.

    The stream of a large item lies in a file, which is gone with the last reference to it.
    ``digest`` is eight bytes over the content as fetched, kept in the ledger so that proof outlives the source.
    """

    ref: Ref
    lane: Lane
    item_class: str
    digest: bytes
    stream: Content | None = field(default=None, repr=False)
    message: Message | None = field(default=None, repr=False)
    event: Event | None = field(default=None, repr=False)
    contact: Contact | None = field(default=None, repr=False)
    task: Task | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """The source no longer has the item: moved or deleted since it was listed. Normal; the next page tells."""

    ref: Ref


class WriteKind(StrEnum):
    """What a write does in the target."""

    CREATE = "create"
    UPDATE = "update"  # content of an item that is there; import lane only
    FLAG = "flag"  # read flag
    MOVE = "move"
    REMOVE = "remove"


class Write(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing to do in the target.

    CREATE needs folder_id, item, stamp. UPDATE needs folder_id, target_id, version, item. FLAG needs target_id, is_read.
    MOVE needs target_id, folder_id, stamp (the new one). REMOVE needs target_id.
    ``version`` is the target's change key as last seen; an UPDATE is refused with ``target-changed`` if it no longer matches.
    """

    kind: WriteKind
    lane: Lane = Lane.IMPORT
    item_class: str = "IPM.Note"
    folder_id: str | None = None
    target_id: str | None = None
    version: str | None = None
    stamp: str | None = None
    is_read: bool | None = None
    item: Item | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """It is there. ``version`` is the target's change key after the write, empty if the server gave none.

    ``degraded`` names each property the lane could not carry whole.
    """

    target_id: str
    version: str = ""
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """It can never go as it is. ``reason`` is a word of the catalogue, ``detail`` a sentence without private content."""

    reason: str
    detail: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """It left and no answer came, or one that proves nothing (time-out, reset, 5xx). Look before sending again."""

    cause: WireError


@dataclass(frozen=True, slots=True)
class Unsent:
    """It did nothing for certain; the cause is not the item's fault. It can be sent again as it is."""

    cause: WireError


Fetched: TypeAlias = Item | Refusal | Gone
Outcome: TypeAlias = Receipt | Refusal | Doubt | Unsent


class TargetRef(msgspec.Struct, frozen=True, gc=False):
    """A target item that a look-up found. ``rungs`` are those of its identity as the target shows it.

    ``subject_hash`` tells copies apart that share message id and times; None where the target does not show it.
    """

    id: str
    folder_id: str
    version: str = ""
    stamp: str | None = None
    rungs: tuple[bytes, ...] = ()
    size: int = 0
    modified: datetime | None = None
    subject_hash: bytes | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of an inventory, of either side."""

    id: str
    facts: Facts
    version: str = ""
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Which installation writes into a target mailbox, and how far its ledger was: a second ledger would double everything."""

    installation: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connector wants to be asked for at once. Data, so that the engine never asks which vendor it is."""

    fetch_items: int = 20
    fetch_bytes: int = 8_000_000
    write_items: int = 20
    write_bytes: int = 16_000_000
    item_bytes: int | None = None
    spool_from: int | None = None
    """Bytes from which an item that is fetched lies in a file and not in memory; None: all are in memory."""
    settle_horizon: float = 120.0
    """Seconds after the last byte of a write in doubt before a look-up can be trusted to see it."""


class Source(Protocol):
    """One mailbox to read from. Never writes. One object is used by one thread at a time, except ``fetch``, which a second
    thread may call while the first one lists."""

    @property
    def limits(self) -> Limits: ...

    @property
    def offers(self) -> frozenset[Lane]: ...

    @property
    def build(self) -> str:
        """The server's version as its answers told it so far, such as ``15.1.2507.66``; empty if none did."""
        ...

    def folders(self) -> Iterator[Folder]:
        """All folders below the top of the mailbox, parents before children; search folders left out."""
        ...

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        """The next page after ``cursor``; None starts from nothing. Raises StaleCursor."""
        ...

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        """One answer a ref, in their order. Complete answers only: a cut one raises Unavailable."""
        ...

    def inventory(self, folder: Folder) -> Iterator[Entry]:
        """Every item of the folder, as the server has it now."""
        ...

    def figures(self) -> dict[str, float]:
        """What was done so far: ``requests.<kind>``, ``bytes.sent``, ``bytes.received``, ``waited.<budget>`` in seconds."""
        ...

    def close(self) -> None: ...


class Destination(Protocol):
    """One mailbox to write to. Never sends mail. ``write`` may be called again before its last future is done."""

    @property
    def limits(self) -> Limits: ...

    @property
    def accepts(self) -> Mapping[Lane, tuple[str, ...]]:
        """The item class prefixes that each lane takes; an empty prefix takes every class."""
        ...

    @property
    def largest(self) -> Mapping[Lane, int]:
        """Bytes of an item, as its source lists it, above which a lane is documented to take none; a lane that is not in it has
        no documented limit."""
        ...

    @property
    def movable(self) -> tuple[str, ...]:
        """The item class prefixes that can be moved; others are created anew and removed."""
        ...

    @property
    def aside(self) -> tuple[str, ...]:
        """Target folders that hold copies of items whose own place takes none of that kind; empty where there are none."""
        ...

    def guard(self, may_leave: Callable[[], bool]) -> None:
        """Ask this right before each request that changes something leaves. On False it does not leave, and is Unsent.

        Called once, before anything is written, and from any thread; the answer may change at any time.
        """
        ...

    def place_folder(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        """The target id of the folder: found, created, renamed or moved to fit.

        ``parent`` is the target id of its parent, None for the top. ``known`` is the id given by an earlier call; if that folder
        no longer exists it is made again. No error if it exists. Special folders are found by role, never by name.
        ``keep``: a known folder that exists stays as it is and where it is; its name and place are its owner's by now.
        """
        ...

    def held(self, target_id: str) -> int:
        """How many items the folder held when this object first listed the tree; 0 for one made since."""
        ...

    def remove_folder(self, target_id: str) -> bool:
        """Remove the folder if it holds nothing; True if it is gone."""
        ...

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        """Carry out each write once; the outcomes come in the same order and number.

        No outcome is guessed: what may have happened is a Doubt. The future itself never fails for a wire's reason.
        """
        ...

    def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        """Look in the whole mailbox for each identity: by stamp if it has one, and by its rungs. Reads its own writes."""
        ...

    def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        """The present state of items by id, in their order; None for one that is not there any more.

        ``left_in`` are the folders in which they were left, where that is known: some items can only be asked for in a folder.
        One that its user moved is looked for elsewhere as well.
        """
        ...

    def inventory(self, folder_id: str) -> Iterator[Entry]:
        """Every item of the target folder; nothing if the folder is not there."""
        ...

    def claim(self) -> Claim | None:
        """The claim that the mailbox carries."""
        ...

    def stake(self, claim: Claim) -> None:
        """Make the mailbox carry this claim."""
        ...

    def figures(self) -> dict[str, float]:
        """What was done so far: ``requests.<kind>``, ``bytes.sent``, ``bytes.received``, ``waited.<budget>`` in seconds."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Inventory:
    """A folder that nobody carries, counted. ``path`` is from the top, joined by ``/``; ``items`` and ``size`` as told.

    ``classes`` are how many items it holds of each class; ``code`` says why it can't be read, empty if it can. ``store`` names
    what holds its content, where the server tells; ``database`` says that this is a database of public folders and no mailbox.
    """

    path: str
    kind: str = "IPF.Note"
    items: int = 0
    size: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    store: str = ""
    database: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One preflight question answered. ``ok`` is None when it could not be asked because an earlier one failed."""

    question: str
    ok: bool | None
    sentence: str
    mend: str = ""
