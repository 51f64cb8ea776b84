"""Which folders a pass need not read, because their change stamps say that nothing happened in them.

A stamp is believed as far as it was proven, and a change that it hides is found in the end:

    kept        only with a feed that was begun after the stamp was read, and read to its end
    compared    any difference counts; a folder without a stamp is read
    left aside  only by a plain delta, while nothing is open in the folder, nothing is doomed in the mailbox, and the counts agree
    proven      every feed is read every ``run.list_fully_hours``: what it tells under an equal stamp ends the trust, for good
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.base import Folder
from migrator.engine.conservation import LOOKED_AT, last_told
from migrator.engine.crew import Crew
from migrator.engine.mapping import FINGERPRINT
from state.model import FolderRow, ItemState, PassKind, Step

LIED: Final = "change-stamp"
"""Reason, note and figure: how many folders changed although their stamps did not."""

UNCHANGED: Final = "folders_unchanged"
"""Figure: folders that were not read, because their stamps are equal."""

_OPEN: Final = frozenset({ItemState.LISTED, ItemState.INTENDED})


def equal(row: FolderRow, folder: Folder, fingerprint: str = FINGERPRINT) -> bool:
    """Whether the stamps say that nothing happened in a folder since its feed was last read to its end, under these rules."""
    known = row.complete and row.cursor is not None and row.fingerprint == fingerprint
    return known and folder.change_stamp is not None and folder.change_stamp == row.change_stamp


def unchanged(crew: Crew, kind: PassKind, before: Mapping[int, FolderRow], sources: Mapping[int, Folder]) -> frozenset[int]:
    """The folders that this pass need not read, by number. ``before`` is what the ledger knew before the tree was listed."""
    seconds = crew.settings.list_fully_hours * 3600
    mailbox_id = crew.lease.mailbox_id
    if kind is not PassKind.DELTA or not seconds or not crew.ledger.mailbox(mailbox_id).trusts_stamps:
        return frozenset()
    now = crew.clock()
    found = {
        folder_id
        for folder_id, folder in sources.items()
        if (row := before.get(folder_id)) is not None
        and equal(row, folder, crew.fingerprint(folder_id))
        and not row.absent
        and 0 <= now - row.read_at < seconds
    }
    if not found:
        return frozenset()
    for _, tally in crew.ledger.tallies(mailbox_id, _OPEN | {ItemState.DOOMED}):
        if tally.items and tally.state is ItemState.DOOMED:
            # What left one folder may have come into another, and is removed only when all of them were read since.
            return frozenset()
        if tally.items:
            found.discard(tally.folder_id)
    return frozenset(found - last_told(crew.ledger.passes(mailbox_id, LOOKED_AT)).keys())


def placed(
    quiet: frozenset[int], before: Mapping[int, FolderRow], now: Mapping[int, FolderRow], seen: Sequence[int]
) -> frozenset[int]:
    """Those of the folders ``seen`` whose place in the target need not be looked at: they are quiet and are where they were.

    A folder that has to be looked at takes those above it along, and those that share its target folder, because the first
    that is placed there gives it its name.
    """
    needed = {folder_id for folder_id in seen if folder_id not in quiet or not _alike(before.get(folder_id), now[folder_id])}
    numbers = {now[folder_id].source_id: folder_id for folder_id in seen}
    shared: dict[str, list[int]] = defaultdict(list)
    for folder_id in seen:
        if (target := now[folder_id].target_id) is not None:
            shared[target].append(folder_id)
    waiting = list(needed)
    while waiting:
        row = now[waiting.pop()]
        along = [numbers[row.parent_source_id]] if row.parent_source_id in numbers else []
        along += shared.get(row.target_id or "", ())
        waiting += [folder_id for folder_id in along if folder_id not in needed]
        needed.update(along)
    return frozenset(seen) - needed


def _alike(old: FolderRow | None, new: FolderRow) -> bool:
    if old is None or new.target_id is None:
        return False
    return (old.name, old.parent_source_id, old.kind, old.role) == (new.name, new.parent_source_id, new.kind, new.role)


@dataclass(slots=True)
class Suspects:
    """Folders whose feeds told of a change under an equal stamp. It may be younger than the stamp, so that is read again."""

    crew: Crew
    stamps: dict[str, str]

    def met(self, row: FolderRow, folder: Folder, steps: Iterable[Step]) -> None:
        """Take in what a page of a folder's feed came to; ``row`` is the folder before it was read."""
        if (
            folder.change_stamp is not None
            and equal(row, folder, self.crew.fingerprint(row.id))
            and any(_new(step) for step in steps)
        ):
            self.stamps[folder.id] = folder.change_stamp

    def convicted(self) -> bool:
        """Whether a stamp lied, which ends the trust in all of this mailbox. Asks the source if anybody is suspected."""
        crew, stamps = self.crew, self.stamps
        if not stamps or not crew.ledger.mailbox(crew.lease.mailbox_id).trusts_stamps:
            return False
        lied = sum(folder.change_stamp == stamps[folder.id] for folder in crew.source.folders() if folder.id in stamps)
        stamps.clear()
        if not lied:
            return False
        crew.ledger.distrust_stamps(crew.lease)
        crew.ledger.note(crew.lease.mailbox_id, LIED, SENTENCE.format(n=lied))
        crew.count(LIED, lied)
        return True


SENTENCE: Final = (
    "{n} folders changed although their change stamps did not. The changes were found; from now on every folder of this mailbox"
    " is read in every pass."
)


def _new(step: Step) -> bool:
    """Whether a page told something of a row that the ledger did not know."""
    old, new = step.old, step.new
    return old is None or (old.version, old.marks, old.state, old.folder_id) != (new.version, new.marks, new.state, new.folder_id)
