"""What a report tells, as plain values. Counts are of items, sizes in bytes, times in wall-clock seconds (UTC)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from state.model import AFTER_CUTOVER, ASIDE, MailboxState, PassState, stands


class Light(StrEnum):
    """One word for a board."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Saying:
    """A sentence before it is put into a language: the key of its words, and what is filled in."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxLine:
    """One mailbox. ``balance`` is the running sums minus the rows counted one by one, ``unaccounted`` what the source itself
    counts more or less than its listings showed; both have to be 0. ``backfill`` may follow after the cutover. ``late`` is
    mail that still came to the old side."""

    id: int
    wave: str
    source: str
    target: str
    state: MailboxState
    came_from: MailboxState | None
    cause: str
    owner: str = ""
    ticket: str = ""
    kind: str = ""
    folders: int = 0
    counted: int = 0
    listed: int = 0
    done: int = 0
    pending: int = 0
    refused: int = 0
    withheld: int = 0
    approved: int = 0
    filtered: int = 0
    backfill: int = 0
    left: int = 0
    bytes: int = 0
    bytes_pending: int = 0
    balance: int = 0
    unaccounted: int = 0
    last_pass: str = ""
    last_pass_state: str = ""
    last_pass_at: float | None = None
    complete_after: float | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    """How many settings are carried, waiting for the operator's word, listed and scripted; empty if nobody carried any."""
    waited: Mapping[str, float] = field(default_factory=dict)
    late: int = 0
    last_in_source: str = ""
    last_in_target: str = ""
    sent_from_old: int = 0
    meetings: int = 0
    meetings_called: int = 0
    """Meetings to come, and those of them that its owner called, as `check` counted them."""
    degraded: Mapping[str, int] = field(default_factory=dict)
    left_behind: Mapping[str, int] = field(default_factory=dict)
    """Items that arrived with something less, by what."""

    @property
    def stage(self) -> MailboxState:
        """The state, or for one that is set aside the state that it will go back to."""
        return stands(self.state, self.came_from)

    @property
    def moved(self) -> bool:
        """Whether its owner works in the target."""
        return self.stage in AFTER_CUTOVER

    @property
    def unread(self) -> bool:
        """Whether no pass has looked at it yet."""
        return self.last_pass_at is None

    @property
    def wanted(self) -> int:
        """Items that the source still has."""
        return self.listed - self.left

    @property
    def unlisted(self) -> int:
        """Items that the source counts and that no row stands for yet, because the last pass did not come to its end."""
        return 0 if self.last_pass_state == PassState.DONE else max(0, self.counted - self.wanted)

    @property
    def share(self) -> float | None:
        """Settled items by those that there are, 0 to 1; None while nothing was listed."""
        return (
            (self.wanted - self.pending - self.backfill) / self.wanted
            if self.wanted > 0
            else (1.0 if self.last_pass_at else None)
        )

    @property
    def unapproved(self) -> int:
        """Items that can't go and that nobody let stay behind."""
        return max(0, self.refused + self.withheld - self.approved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When what is left (bytes and items, at the most) will have been carried: between two moments. ``rate`` is bytes an hour
    while passes run.

    ``due`` is the moment that somebody promised, ``holds`` whether the range lies before it: None without one of the two."""

    early: float | None = None
    late: float | None = None
    left: int = 0
    items: int = 0
    rate: float = 0.0
    due: float | None = None
    light: Light | None = None

    @property
    def open(self) -> bool:
        """Whether anything is left."""
        return self.left > 0 or self.items > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveLine:
    """One wave. ``ready`` are in step or further, ``aside`` held, failed or paused."""

    name: str
    state: str
    mailboxes: int
    moved: int
    ready: int
    aside: int
    closed: int
    listed: int
    done: int
    pending: int
    backfill: int
    stayed: int
    bytes: int
    bytes_pending: int
    oldest_pass: float | None
    forecast: Forecast
    pilot: bool = False

    @property
    def share(self) -> float | None:
        """Settled items by those that there are."""
        whole = self.done + self.pending + self.backfill + self.stayed
        return (self.done + self.stayed) / whole if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonLine:
    """Items that did not go for one reason, or that one rule keeps back; in how many mailboxes, and how many are approved."""

    state: str
    reason: str
    items: int
    bytes: int
    mailboxes: int
    approved: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderLine:
    """One folder: what the source counts in it, and what became of that. ``off`` has to be 0."""

    mailbox: str
    folder: str
    counted: int
    done: int
    refused: int
    withheld: int
    filtered: int
    pending: int
    backfill: int
    left: int
    off: int

    @property
    def whole(self) -> bool:
        """Whether nothing of it needs a look."""
        return not (self.refused or self.withheld or self.pending or self.off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stayed:
    """One item that did not go."""

    mailbox: str
    folder: str
    state: str
    size: int
    reason: str
    detail: str
    code: str
    key: str
    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """Exceptions that one person let stay behind for one reason, the last of them when."""

    reason: str
    who: str
    why: str
    items: int
    at: float


@dataclass(frozen=True, slots=True)
class Waited:
    """A mailbox waited so many seconds on a budget."""

    mailbox: str
    budget: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LateLine:
    """A host that still delivers to the old side."""

    host: str
    items: int
    mailboxes: int


@dataclass(frozen=True, slots=True)
class Day:
    """What passes brought on one day (UTC)."""

    day: date
    items: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, in the words of whoever wrote it down."""

    at: float
    who: str
    what: str
    wave: str
    mailbox: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A decision that somebody has to take: what about, who, and until when."""

    saying: Saying
    who: str
    until: float | None
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One pass over one mailbox: what it carried, in items and bytes. ``ended`` is None while it runs."""

    kind: str
    state: str
    began: float
    ended: float | None
    items: int
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Everything of one mailbox: its last passes, its folders, what did not go of it, and what people did to it."""

    passes: list[Ran]
    folders: list[FolderLine]
    stayed: list[Stayed]
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The few figures that are compared with the last report's."""

    made: float
    moved: int
    mailboxes: int
    done: int
    bytes: int
    pending: int
    stayed: int
    aside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A whole report."""

    made: float
    wave: str
    installation: str
    mailboxes: list[MailboxLine]
    waves: list[WaveLine]
    reasons: list[ReasonLine]
    filtered: list[ReasonLine]
    degraded: dict[str, int]
    left_behind: dict[str, int]
    probed: list[Saying]
    stayed: list[Stayed]
    stayed_not_shown: int
    left_alone: list[Stayed]
    left_alone_not_shown: int
    approvals: list[Approved]
    waits: dict[str, float]
    waiters: list[Waited]
    late: list[LateLine]
    days: list[Day]
    events: list[Event]
    forecast: Forecast
    light: Light
    sentence: Saying
    why_date: Saying
    wanted: list[Wanted]

    def total(self, word: str) -> int:
        """The sum of one figure over all mailboxes."""
        return sum(int(getattr(line, word)) for line in self.mailboxes)

    @property
    def snapshot(self) -> Snapshot:
        """What the next report compares itself with."""
        return Snapshot(
            made=self.made,
            moved=self.total("moved"),
            mailboxes=len(self.mailboxes),
            done=self.total("done"),
            bytes=self.total("bytes"),
            pending=self.total("pending"),
            stayed=self.total("refused") + self.total("withheld"),
            aside=sum(line.state in ASIDE for line in self.mailboxes),
        )
