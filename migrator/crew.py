"""What one pass over one mailbox works with, and what every part of it may do."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from connectors.base import Claim, Destination, Item, Lane, Refusal, Source
from connectors.pacer import Stopped
from migrator import plan
from migrator.config import PassSettings
from migrator.inflight import Pool
from migrator.tenure import Tenure
from state.model import FolderRow, Lease, Open, Row
from state.store import Ledger

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
    _lanes: dict[tuple[str, str], Lane | None] = field(default_factory=dict)

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

    def lane(self, row: Row, opened: Open) -> Lane | None:
        """The lane that this row travels by; None if none carries its class."""
        which = plan.class_in(opened.facts), row.lane
        if which not in self._lanes:
            # What the two sides carry does not change within a pass.
            self._lanes[which] = plan.choose(*which, self.settings.lane, self.source.offers, self.destination.accepts)
        return self._lanes[which]
