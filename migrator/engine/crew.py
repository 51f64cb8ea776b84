"""What one pass over one mailbox works with, and what every part of it may do."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from connectors.base import Claim, Destination, Item, Lane, Refusal, Source
from connectors.pacer import Stopped
from migrator.config import PassSettings
from migrator.engine import plan
from migrator.engine.inflight import Pool
from migrator.engine.mapping import FINGERPRINT, Way
from migrator.engine.shortfall import Shortfall
from migrator.engine.tenure import Tenure
from migrator.probe.answers import Known, known_of
from state.model import FolderRow, Lease, Open, Row
from state.store import Ledger

_log = structlog.get_logger("migrator.engine.crew")

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
    _lanes: dict[tuple[str, str, bool], Lane | None] = field(default_factory=dict)
    _known: Known | None = None

    def __post_init__(self) -> None:
        self.shortfall = Shortfall(self.ledger, self.lease.mailbox_id)

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

    def fingerprint(self, folder_id: int) -> str:
        """What the cursor of a folder keeps of the rules that hold for it."""
        way = self.ways.get(folder_id)
        return FINGERPRINT if way is None else way.fingerprint

    def lane(self, row: Row, opened: Open) -> Lane | None:
        """The lane that this row travels by; None if none carries its class."""
        known = self._known or self.known()
        which = plan.class_in(opened.facts), row.lane, row.size >= known.items_from
        if which not in self._lanes:
            # What the two sides carry does not change within a pass.
            item_class, kept, large = which
            last = self.settings.lane == "auto" and (large or known.shuns_import(item_class))
            sides = self.source.offers, self.destination.accepts
            self._lanes[which] = plan.choose(item_class, kept, self.settings.lane, *sides, import_last=last)
        return self._lanes[which]

    def known(self) -> Known:
        """What probes found out about this pair of servers; read once, when the source has told its version."""
        if self._known is None:
            build = self.source.build
            self._known = known_of(self.ledger.plans.answers(), build)
            if self._known.classes:
                _log.info("lanes follow a probe", build=build, answers=dict(self._known.classes))
        return self._known
