"""What one pass over one mailbox works with, and what every part of it may do."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from connectors.base import Claim, Destination, Item, Lane, Refusal, Source, TargetRef
from connectors.pacer import Stopped
from migrator.config import PassSettings
from migrator.engine import plan
from migrator.engine.inflight import Pool
from migrator.engine.mapping import FINGERPRINT, Way
from migrator.engine.shortfall import Shortfall
from migrator.engine.tenure import Tenure
from migrator.probe.answers import Known, known_of
from state.model import FolderRow, Lease, Open, Row, Work
from state.store import Ledger

_log = structlog.get_logger("migrator.engine.crew")

_CARRIED: Final = (Work.CREATE, Work.UPDATE)
_NONE: Final[frozenset[Lane]] = frozenset()

Keep: TypeAlias = Callable[[Row, Item, Refusal], None]
"""Takes the content of what the target refused, for a person to act on; never raises."""


def keep_nothing(row: Row, item: Item, refusal: Refusal) -> None:
    """Let it go."""


@dataclass(slots=True)
class Crew:
    """What one pass over one mailbox works with.

    ``figures`` counts what was done; ``folders`` maps the ledger's folder numbers.
    """

    ledger: Ledger
    tenure: Tenure
    source: Source
    destination: Destination
    settings: PassSettings
    stop: threading.Event
    watch: Callable[[str, int, int], None]
    clock: Callable[[], float] = time.time
    folders: dict[int, FolderRow] = field(default_factory=dict)
    figures: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    staked: bool = False
    keep: Keep = keep_nothing
    pool: Pool = field(default_factory=Pool)
    shortfall: Shortfall = field(init=False)
    ways: dict[int, Way] = field(default_factory=dict)
    """What the operator's rules say of each folder; empty without any rule."""
    skipped: frozenset[bytes] = field(init=False)
    """The keys of items that a person leaves behind for good."""
    _lanes: dict[tuple[str, str, frozenset[Lane]], Lane | None] = field(default_factory=dict)
    _known: Known | None = None
    _smallest: float | None = None

    def __post_init__(self) -> None:
        self.shortfall = Shortfall(self.ledger, self.lease.mailbox_id)
        self.skipped = self.ledger.approvals.skipped(self.lease.mailbox_id)

    @property
    def lease(self) -> Lease:
        """The right to change this mailbox's rows."""
        return self.tenure.lease

    def halt_if_asked(self) -> None:
        """Raise Stopped at a point where stopping loses nothing."""
        if self.stop.is_set():
            raise Stopped("stopped by the operator")

    def guard_lease(self) -> None:
        """Renew the lease before a request leaves, so that no write of ours can be under way when an heir begins.

        Raises Fenced when another process has taken the mailbox over.
        """
        self.tenure.keep()

    def stake(self) -> None:
        """Put our claim on the target before the first write of a pass: a second ledger must not double the mailbox."""
        if not self.staked:
            sequence = self.ledger.mailbox(self.lease.mailbox_id).sequence
            self.destination.stake(Claim(self.ledger.installation(), self.lease.epoch, sequence))
            self.ledger.claimed(self.lease)
            self.staked = True

    def count(self, word: str, items: int = 1, size: int = 0) -> None:
        """Count something done, and tell whoever watches."""
        self.figures[word] += items
        if size:
            self.figures["bytes"] += size
        self.watch(word, items, size)

    def target_folder(self, folder_id: int) -> str:
        """The target id of a placed folder."""
        target = self.folders[folder_id].target_id
        if target is None:
            raise LookupError(f"folder {folder_id} has no target")
        return target

    def peek(self, rows: Sequence[Row]) -> list[TargetRef | None]:
        """The present state of these rows' copies in the target, in their order; None for one that is not there any more."""
        places = [folder.target_id if (folder := self.folders.get(row.folder_id)) else None for row in rows]
        return self.destination.peek([row.target or "" for row in rows], places) if rows else []

    def fingerprint(self, folder_id: int) -> str:
        """What the cursor of a folder keeps of the rules that hold for it."""
        way = self.ways.get(folder_id)
        return FINGERPRINT if way is None else way.fingerprint

    def lane(self, row: Row, opened: Open) -> Lane | None:
        """The lane that this row travels by; None if none carries it, and ``no_lane`` says why."""
        return self._lane(row, plan.class_in(opened.facts), self._narrow(row.size) if opened.work in _CARRIED else _NONE)

    def no_lane(self, row: Row, opened: Open) -> Refusal:
        """Why no lane carries a row."""
        item_class, most = plan.class_in(opened.facts), self._most()
        # What would carry it if it were small, one lane after the other.
        fits = {lane for lane in Lane if self._lane(row, item_class, frozenset(Lane) - {lane}) is lane}
        return plan.too_large(row.size, fits, most) if fits else plan.without_lane(item_class)

    def composes_too(self, row: Row, item_class: str) -> bool:
        """Whether the compose lane is open to a row that the import lane was chosen for."""
        sides = self.source.offers, self.destination.accepts
        return plan.choose(item_class, Lane.COMPOSE, "auto", *sides, narrow=self._narrow(row.size)) is Lane.COMPOSE

    def _lane(self, row: Row, item_class: str, narrow: frozenset[Lane]) -> Lane | None:
        which = item_class, row.lane, narrow
        if which not in self._lanes:
            # What the two sides carry does not change within a pass.
            last = self.settings.lane == "auto" and self.known().shuns_import(item_class)
            sides = self.source.offers, self.destination.accepts
            self._lanes[which] = plan.choose(item_class, row.lane, self.settings.lane, *sides, import_last=last, narrow=narrow)
        return self._lanes[which]

    def _narrow(self, size: int) -> frozenset[Lane]:
        """The lanes that take nothing of that size."""
        if self._smallest is None:
            self._smallest = min(self._most().values())
        if size <= self._smallest:
            return _NONE
        return frozenset(lane for lane, most in self._most().items() if size > most)

    def _most(self) -> Mapping[Lane, float]:
        """Bytes of an item that each lane takes at the most: what was measured, or else what is documented."""
        return {
            Lane.IMPORT: min(self.known().items_from - 1, self.destination.largest.get(Lane.IMPORT, math.inf)),
            Lane.COMPOSE: self.destination.largest.get(Lane.COMPOSE, math.inf),
        }

    def known(self) -> Known:
        """What probes found out about this pair of servers; read once, when the source has told its version."""
        if self._known is None:
            build = self.source.build
            self._known = known_of(self.ledger.plans.answers(), build)
            if self._known.classes:
                _log.info("lanes follow a probe", build=build, answers=dict(self._known.classes))
        return self._known
