"""A lab and the real engine between its faces, in one process: passes over a hostile wire, and what both truths hold after it."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.lab.server import Lab
from connectors.lab.truth import Item, Mailbox, Part, seeded_bytes
from migrator import app
from migrator.config import load
from migrator.progress import watcher_for
from migrator.waves.file import read_waves, select
from migrator.waves.wave import Ending, Run, run_wave
from state.model import ItemState

if TYPE_CHECKING:
    from migrator.config import LaneChoice


class FaultWorld:
    """Runs passes from the lab's source to its target."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.config = load(lab.config_file)

    def run(self, lane: LaneChoice) -> list[Ending]:
        """One pass over every mailbox, with connections of its own, as a process would make."""
        config, stop = self.config, threading.Event()
        lines = select(read_waves(Path(config.waves.file)), (), config.waves.file)
        with app.open_ledger(config) as ledger:
            app.bind(config, ledger)
            rows = app.plan_mailboxes(config, ledger, lines)
            with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors, watcher_for(1, quiet=True) as watcher:
                return run_wave(
                    Run(
                        ledger=ledger,
                        connectors=connectors,
                        settings=config.pass_settings(lane=lane, approve_deletes=False),
                        at_once=4,
                        owner=app.owner(),
                        stop=stop,
                        watcher=watcher,
                    ),
                    list(rows.values()),
                )

    def run_until_clean(self, lane: LaneChoice, most: int = 12) -> list[list[Ending]]:
        """Passes, one after the other, until one ends clean; all their endings."""
        endings: list[list[Ending]] = []
        for _ in range(most):
            endings.append(self.run(lane))
            for ending in endings[-1]:
                if ending.error is not None:
                    raise AssertionError(f"a bug ended the pass: {ending.cause}") from ending.error
            if all(ending.code in (0, 2) for ending in endings[-1]):
                return endings
        raise AssertionError(f"not clean after {most} passes: {[ending.cause for each in endings for ending in each]}")

    def missing_and_surplus(self, lane: str) -> tuple[Counter[Any], Counter[Any]]:
        """What the source holds and the target does not, and the other way round, as the truths have it."""
        missing, surplus = Counter[Any](), Counter[Any]()
        for source, target in zip(self.lab.source.mailboxes.values(), self.lab.target.mailboxes.values(), strict=True):
            here, there = held(source, lane), held(target, lane)
            missing += here - there
            surplus += there - here
        return missing, surplus

    def unnamed(self) -> list[tuple[ItemState, str]]:
        """Rows that are neither done nor gone: their state, and why."""
        with app.open_ledger(self.config) as ledger:
            return [
                (row.state, opened.reason)
                for mailbox in ledger.mailboxes()
                for row, opened in ledger.open_rows(mailbox.id, set(ItemState))
            ]

    def target_changes(self) -> int:
        """A number that every change in the target moves."""
        return sum(mailbox.clock for mailbox in self.lab.target.mailboxes.values())


def held(mailbox: Mailbox, lane: str) -> Counter[Any]:
    """Everything a mailbox holds, as both sides name it: the compose lane makes up ids and dates that an item lacks, and cuts
    subjects where the target does."""
    return Counter(_named(item, lane) for item in mailbox.items.values())


def _named(item: Item, lane: str) -> tuple[object, ...]:
    parts = sorted(hashlib.sha256(part.content).hexdigest() for part in item.parts)
    if lane == "compose":
        return item.item_class, item.subject[:200], len(parts), sum(len(part.content) for part in item.parts)
    return item.item_class, item.subject, item.message_id, item.submitted and item.submitted.replace(microsecond=0), *parts


def attach_large(mailbox: Mailbox, items: int, size: int = 8_000_000) -> None:
    """Give the first mails of a mailbox an attachment that has to go up in parts."""
    mails = [item for item in mailbox.items.values() if item.item_class == "IPM.Note" and not item.is_draft]
    for number, item in enumerate(mails[:items]):
        item.parts.append(Part(f"plan {number}.bin", "application/octet-stream", seeded_bytes("large", number, length=size)))
        mailbox.touch(item)
