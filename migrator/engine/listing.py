"""Reads every folder's feed into the ledger: a page's rows and the cursor behind it in one transaction.

A row that is recorded is work that will be done, so nothing that was read is ever read again after a crash. Only a listing from
nothing that follows an earlier one can miss anything, and what one listing missed a second one has to confirm.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from connectors.base import Folder, Page, Put
from connectors.errors import StaleCursor
from migrator.engine import plan
from migrator.engine.crew import Crew
from migrator.engine.mapping import AGAIN, left_behind, met_again, sorted_step
from migrator.engine.stamps import UNCHANGED, Suspects
from migrator.engine.transfer import Transfer
from state.model import FolderRow, ItemState, Row, Step

ABSENT = "absent"
"""Reason of a doomed row that no drop told of: a whole listing did not meet it. A second one has to confirm that."""


class Listing:
    """The source's folders, by the ledger's numbers, and reading them. One object a pass."""

    def __init__(self, crew: Crew, transfer: Transfer) -> None:
        self._crew = crew
        self._transfer = transfer
        self._mailbox_id = crew.lease.mailbox_id
        self._suspects = Suspects(crew, {})
        self.sources: dict[int, Folder] = {}

    def read_round(self, *, carry: bool = False, again: frozenset[int] = frozenset(), aside: frozenset[int] = frozenset()) -> int:
        """Read every folder to its end; returns the round's number.

        With ``carry`` each page of a folder's first listing is on its way before the next one is read. Folders in ``again`` are
        listed from nothing; those in ``aside`` are not read, unless another one shows that stamps can't be trusted here.
        """
        crew = self._crew
        generation = crew.ledger.next_round(crew.lease)
        for folder_id, folder in self.sources.items():
            if folder_id not in aside:
                self.read_folder(crew.folders[folder_id], folder, generation, carry=carry, again=folder_id in again)
        if self._suspects.convicted():
            for folder_id in aside:
                self.read_folder(crew.folders[folder_id], self.sources[folder_id], generation)
        elif aside:
            crew.figures[UNCHANGED] += len(aside)
        self._transfer.settle()
        self._doom_absent(generation)
        return generation

    def read_folder(self, row: FolderRow, folder: Folder, generation: int, *, carry: bool = False, again: bool = False) -> None:
        """Read one folder to its end, in a round; ``again``: from nothing."""
        crew = self._crew
        before = row
        fingerprint, cursor, began = row.fingerprint, row.cursor, row.generation
        present = crew.fingerprint(row.id)
        if again:
            fingerprint, cursor = present + AGAIN, None
        elif fingerprint.removesuffix(AGAIN) != present:
            # Never listed, or under rules that rows could not be held against. Only a listing that follows an earlier one can
            # miss anything.
            fingerprint, cursor = (present + AGAIN if fingerprint else present), None
        if cursor is None:
            began = generation
        # A listing tells of nothing that happened after it was begun. One that an earlier pass began is older than the stamp.
        whole = row.complete or cursor is None
        while True:
            crew.halt_if_asked()
            try:
                page = crew.source.changes(folder, cursor)
            except StaleCursor:
                if cursor is None:
                    raise
                crew.count("listed_again")
                self._transfer.settle()
                fingerprint, cursor, began, whole = present + AGAIN, None, generation, True
                continue
            anew = fingerprint.endswith(AGAIN)
            steps, listed = self._meet_page(row.id, page, generation, anew=anew)
            self._suspects.met(before, folder, steps)
            if page.last:
                if anew:
                    steps.extend(self._missed(row.id, began, generation, {step.new.key for step in steps}))
                fingerprint = present
            row = replace(
                row,
                cursor=page.cursor,
                fingerprint=fingerprint,
                complete=page.last,
                generation=began,
                change_stamp=folder.change_stamp if page.last and whole else None,
                read_at=crew.clock() if page.last else row.read_at,
            )
            crew.ledger.record_page(
                crew.lease,
                row.id,
                steps,
                cursor=row.cursor,
                fingerprint=row.fingerprint,
                complete=row.complete,
                generation=row.generation,
                stamp=row.change_stamp,
                read_at=row.read_at,
            )
            # CRASH WINDOW: page recorded, nothing of it carried
            crew.folders[row.id] = row
            crew.count("listed", listed)
            if carry and not anew:
                self._transfer.drain(row.id, leave_out=True)
            if page.last:
                return
            cursor = page.cursor

    def _meet_page(self, folder_id: int, page: Page, generation: int, *, anew: bool) -> tuple[list[Step], int]:
        """What follows from a page for the ledger's rows, and how many items it listed."""
        ledger = self._crew.ledger
        changes = plan.fold(page.changes)
        keys = list(changes)
        self._transfer.settle(changes.keys())
        rows = ledger.rows(self._mailbox_id, keys)
        opened = ledger.opens(self._mailbox_id, keys)
        met = (
            plan.meet(key, change, rows.get(key), opened.get(key), folder_id=folder_id, generation=generation)
            for key, change in changes.items()
        )
        steps = [step for step in met if step is not None]
        way = self._crew.ways.get(folder_id)
        judge = None if way is None else way.judge
        if judge is not None:
            steps = [sorted_step(step, judge) for step in steps]
        if skipped := self._crew.skipped:
            steps = [left_behind(step) if step.new.key in skipped else step for step in steps]
        if anew:
            told = ((step, changes[step.new.key]) for step in steps)
            steps = [met_again(step, one.facts, judge) if isinstance(one, Put) else step for step, one in told]
        return steps, sum(isinstance(change, Put) for change in changes.values())

    def _missed(self, folder_id: int, began: int, generation: int, met: set[bytes]) -> list[Step]:
        """Doom the rows of a folder that a whole listing, begun in round ``began``, did not meet."""
        rows = self._crew.ledger.folder_rows(self._mailbox_id, folder_id, missed_before=began)
        return self._miss((row for row in rows if row.key not in met), generation)

    def _miss(self, rows: Iterable[Row], generation: int) -> list[Step]:
        left = [row for row in rows if row.state not in (ItemState.GONE, ItemState.DOOMED)]
        opened = self._crew.ledger.opens(self._mailbox_id, [row.key for row in left])
        steps = [plan.miss(row, opened.get(row.key), generation) for row in left]
        return [replace(step, open=step.open and replace(step.open, reason=ABSENT)) for step in steps]

    def _doom_absent(self, generation: int) -> None:
        """Doom the rows of folders that two complete listings of the tree did not show."""
        crew = self._crew
        for row in crew.folders.values():
            if row.id in self.sources or row.absent < 2:
                continue
            steps = self._miss(crew.ledger.folder_rows(self._mailbox_id, row.id), generation)
            if steps:
                crew.ledger.record_page(
                    crew.lease, row.id, steps, cursor=None, fingerprint="", complete=False, generation=generation
                )
