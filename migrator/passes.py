"""One pass over one mailbox: seed, delta and final are this same code with a different starting point.

    claim   whose target is this?
    heal    what did an earlier run leave in doubt?
    folders read them all, place them all, parents first
    read    every folder's pages into the ledger, rows and cursor in one transaction
            (a seed carries each page as it comes; the others read everything first, so that a move is seen as one)
    match   what left one folder and came into another ─► moves
    drain   carry what is open
    drops   only what is still missing after every folder was read to its end once more, and only within the rails
    heal    again, for what this pass left in doubt; and a recount of what had to be sent again

Resume is: run again. A page is durable work before its cursor moves, so nothing in memory has to survive.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from connectors.base import Destination, Folder, Page, Put, Role, Source
from connectors.errors import MailboxBlocked, StaleCursor, Unavailable
from connectors.pacer import Stopped
from migrator import plan
from migrator.adopt import Adopted, adopt
from migrator.claims import check_claim
from migrator.config import PassSettings
from migrator.heal import heal, look_first, recount
from migrator.tenure import Tenure
from migrator.transfer import Crew, Transfer
from state.model import FolderRow, ItemState, Lease, PassKind, PassState, Row, Step, Work
from state.store import Ledger

FINGERPRINT = "1"
"""Names the filter and mapping under which a folder's cursor was taken; a cursor taken under another one is not used."""

_AGAIN = "+again"
"""Marks the fingerprint of a folder that is being listed again from nothing, over a resume too."""

_ABSENT = "absent"
"""Reason of a doomed row that no drop told of: a whole listing did not meet it. A second one has to confirm that."""

_HEAL_ROUNDS = 3
_QUIET_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One pass to run. ``watch`` is told (word, items, bytes) as things are done; ``stop`` ends the pass between two lots."""

    ledger: Ledger
    tenure: Tenure
    source: Source
    destination: Destination
    kind: PassKind
    settings: PassSettings
    stop: threading.Event
    watch: Callable[[str, int, int], None] = lambda word, items, size: None
    clock: Callable[[], float] = time.time

    @property
    def lease(self) -> Lease:
        """The right to change this mailbox's rows."""
        return self.tenure.lease


@dataclass(frozen=True, slots=True)
class PassReport:
    """How a pass ended. ``figures``: items by what was done to them, ``bytes``, ``requests.…``, ``waited.…`` in seconds."""

    state: PassState
    cause: str
    figures: dict[str, float]


class _Paused(Exception):
    """The pass can't go on now; running it again later may."""


def run_pass(job: Job) -> PassReport:
    """Run one pass to its end.

    DONE: every folder was read to its end and nothing is open. PAUSED: the cause says what it waits for; run again.
    Raises MailboxBlocked, Halt, Fenced, and whatever is a bug; the pass is recorded as FAILED then.
    """
    crew = _crew_of(job)
    pass_id = job.ledger.begin_pass(job.lease, job.kind)
    state, cause = PassState.DONE, ""
    try:
        _Pass(crew, job.kind).run()
    except (Stopped, _Paused, Unavailable) as reason:
        state, cause = PassState.PAUSED, str(reason)
    except BaseException as reason:
        _end(crew, pass_id, PassState.FAILED, str(reason) if isinstance(reason, MailboxBlocked) else type(reason).__name__)
        raise
    return _end(crew, pass_id, state, cause)


def _crew_of(job: Job) -> Crew:
    crew = Crew(
        ledger=job.ledger,
        tenure=job.tenure,
        source=job.source,
        destination=job.destination,
        settings=job.settings,
        stop=job.stop,
        watch=job.watch,
        clock=job.clock,
    )
    job.destination.guard(job.tenure.may_leave)
    return crew


def rebuild(job: Job, *, take_over: bool) -> Adopted:
    """Let the ledger learn what the target holds already, so that the next pass writes only what is missing.

    For a ledger that was lost or restored from a backup. Writes no item; the target gets its folders and our claim. Raises
    MailboxBlocked (``foreign-claim``) without ``take_over`` if the mailbox carries another ledger's claim.
    """
    crew = _crew_of(job)
    return _Pass(crew, job.kind).rebuild(take_over)


def _end(crew: Crew, pass_id: int, state: PassState, cause: str) -> PassReport:
    figures = dict(crew.figures)
    for side, connector in (("source", crew.source), ("target", crew.destination)):
        for word, value in connector.figures().items():
            figures[f"{side}.{word}"] = value
    crew.ledger.end_pass(crew.lease, pass_id, state, cause, figures)
    return PassReport(state, cause, figures)


class _Pass:
    def __init__(self, crew: Crew, kind: PassKind) -> None:
        self._crew = crew
        self._kind = kind
        self._transfer = Transfer(crew)
        self._sources: dict[int, Folder] = {}
        self._mailbox_id = crew.lease.mailbox_id

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._transfer.close()

    def _run(self) -> None:
        crew = self._crew
        check_claim(crew)
        crew.folders = {row.id: row for row in crew.ledger.folders(self._mailbox_id)}
        heal(crew, self._transfer)
        recount(crew, may_remove=self._kind is not PassKind.SWEEP)
        self._place_folders()
        occupied = not crew.ledger.mailbox(self._mailbox_id).claimed and self._target_holds_anything()
        generation = self._read_round(carry=self._kind is PassKind.SEED and not occupied)
        if occupied:
            # Another tool, or a ledger that was lost, was here before us.
            adopt(crew)
        self._follow_moves()
        if crew.settings.look_first:
            look_first(crew)
        self._transfer.drain()
        if self._kind is not PassKind.SWEEP:
            self._drop(generation)
            self._remove_empty_folders()
        self._heal_until_quiet()
        recount(crew, may_remove=self._kind is not PassKind.SWEEP)
        self._close()

    def rebuild(self, take_over: bool) -> Adopted:
        """Learn from the target what an earlier ledger knew; writes no item."""
        crew = self._crew
        try:
            if not take_over:
                check_claim(crew, behind=True)
            crew.folders = {row.id: row for row in crew.ledger.folders(self._mailbox_id)}
            heal(crew, self._transfer)
            self._place_folders()
            self._read_round()
            found = adopt(crew, lost=True)
            crew.stake()
            return found
        finally:
            self._transfer.close()

    def _target_holds_anything(self) -> bool:
        places = {row.target_id for row in self._crew.folders.values() if row.target_id}
        return any(self._crew.destination.held(place) for place in places)

    # -- folders

    def _place_folders(self) -> None:
        """Read the folder tree, record it, and give every folder its place in the target, parents first."""
        crew = self._crew
        crew.halt_if_asked()
        seen = [folder for folder in crew.source.folders() if folder.role is not Role.ROOT]
        generation = crew.ledger.next_round(crew.lease)
        rows = crew.ledger.record_folders(
            crew.lease,
            [
                (
                    folder.id,
                    folder.parent_id,
                    folder.name,
                    folder.kind,
                    folder.role.value if folder.role else None,
                    folder.total,
                    folder.change_stamp,
                )
                for folder in seen
            ],
            generation,
        )
        known = {row.source_id: row for row in rows}
        for folder in seen:
            crew.halt_if_asked()
            row = known[folder.id]
            parent = known.get(folder.parent_id) if folder.parent_id else None
            target = crew.destination.place_folder(folder, parent.target_id if parent else None, row.target_id)
            if target != row.target_id:
                crew.guard_lease()
                crew.ledger.place_folder(crew.lease, row.id, target)
                known[folder.id] = row = replace(row, target_id=target)
                crew.count("folders")
            self._sources[row.id] = folder
        crew.folders = {row.id: row for row in known.values()}

    # -- reading

    def _read_round(self, *, carry: bool = False, again: frozenset[int] = frozenset()) -> int:
        """Read every folder to its end; returns the round's number.

        With ``carry`` each page of a folder's first listing is carried before the next one is read. Folders in ``again`` are
        listed from nothing.
        """
        crew = self._crew
        generation = crew.ledger.next_round(crew.lease)
        for folder_id, folder in self._sources.items():
            row = crew.folders[folder_id]
            if folder_id in again:
                row = replace(row, cursor=None, fingerprint=FINGERPRINT + _AGAIN)
            self._read_folder(row, folder, generation, carry)
        self._doom_absent(generation)
        return generation

    def _read_folder(self, row: FolderRow, folder: Folder, generation: int, carry: bool) -> None:
        crew = self._crew
        fingerprint, cursor, began = row.fingerprint, row.cursor, row.generation
        if fingerprint.removesuffix(_AGAIN) != FINGERPRINT:
            # Never listed, or under another mapping. Only a listing that follows an earlier one can miss anything.
            fingerprint, cursor = (FINGERPRINT + _AGAIN if fingerprint else FINGERPRINT), None
        if cursor is None:
            began = generation
        while True:
            crew.halt_if_asked()
            try:
                page = crew.source.changes(folder, cursor)
            except StaleCursor:
                if cursor is None:
                    raise
                crew.count("listed_again")
                fingerprint, cursor, began = FINGERPRINT + _AGAIN, None, generation
                continue
            again = fingerprint.endswith(_AGAIN)
            steps, listed = self._meet_page(row.id, page, generation)
            if page.last:
                if again:
                    steps.extend(self._missed(row.id, began, generation, {step.new.key for step in steps}))
                fingerprint = FINGERPRINT
            row = replace(row, cursor=page.cursor, fingerprint=fingerprint, complete=page.last, generation=began)
            crew.ledger.record_page(
                crew.lease,
                row.id,
                steps,
                cursor=row.cursor,
                fingerprint=row.fingerprint,
                complete=row.complete,
                generation=row.generation,
            )
            # CRASH WINDOW: page recorded, nothing of it carried
            crew.folders[row.id] = row
            crew.count("listed", listed)
            if carry and not again:
                self._transfer.drain(row.id)
            if page.last:
                return
            cursor = page.cursor

    def _meet_page(self, folder_id: int, page: Page, generation: int) -> tuple[list[Step], int]:
        """What follows from a page for the ledger's rows, and how many items it listed."""
        ledger = self._crew.ledger
        changes = plan.fold(page.changes)
        keys = list(changes)
        rows = ledger.rows(self._mailbox_id, keys)
        opened = ledger.opens(self._mailbox_id, keys)
        met = (
            plan.meet(key, change, rows.get(key), opened.get(key), folder_id=folder_id, generation=generation)
            for key, change in changes.items()
        )
        return [step for step in met if step is not None], sum(isinstance(change, Put) for change in changes.values())

    def _missed(self, folder_id: int, began: int, generation: int, met: set[bytes]) -> list[Step]:
        """Doom the rows of a folder that a whole listing, begun in round ``began``, did not meet."""
        rows = self._crew.ledger.folder_rows(self._mailbox_id, folder_id, missed_before=began)
        return self._miss((row for row in rows if row.key not in met), generation)

    def _miss(self, rows: Iterable[Row], generation: int) -> list[Step]:
        left = [row for row in rows if row.state not in (ItemState.GONE, ItemState.DOOMED)]
        opened = self._crew.ledger.opens(self._mailbox_id, [row.key for row in left])
        steps = [plan.miss(row, opened.get(row.key), generation) for row in left]
        return [replace(step, open=step.open and replace(step.open, reason=_ABSENT)) for step in steps]

    def _doom_absent(self, generation: int) -> None:
        """Doom the rows of folders that two complete listings of the tree did not show."""
        crew = self._crew
        for row in crew.folders.values():
            if row.id in self._sources or row.absent < 2:
                continue
            steps = self._miss(crew.ledger.folder_rows(self._mailbox_id, row.id), generation)
            if steps:
                crew.ledger.record_page(
                    crew.lease, row.id, steps, cursor=None, fingerprint="", complete=False, generation=generation
                )

    # -- moves and drops

    def _follow_moves(self) -> None:
        """Let target copies follow items that changed their place at the source, instead of doubling and deleting them."""
        crew = self._crew
        doomed = [row for row, _ in crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})]
        if not doomed:
            return
        came = crew.ledger.open_rows(self._mailbox_id, {ItemState.LISTED}, works={Work.CREATE})
        for move in plan.match(doomed, came, crew.destination.movable):
            new, opened = plan.follow(move)
            crew.ledger.rekey(crew.lease, move.left, move.came, new, opened)
            if opened is None:
                crew.count("adopted")

    def _drop(self, generation: int) -> None:
        """Remove what left the source, once every folder was read to its end after it was missed, and within the rails."""
        crew = self._crew
        confirmed: frozenset[int] = frozenset()
        for _ in range(_QUIET_ROUNDS):
            doomed = crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})
            absent = {row.folder_id for row, opened in doomed if opened.reason == _ABSENT and row.folder_id in self._sources}
            again = frozenset(absent) - confirmed
            if not again and all(row.generation < generation for row, _ in doomed):
                break
            generation = self._read_round(again=again)
            confirmed |= again
            self._follow_moves()
            self._transfer.drain()
        doomed = crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})
        due = [(row, opened) for row, opened in doomed if row.generation < generation]
        if not due:
            return
        held = sum(tally.items for _, tally in crew.ledger.tallies(self._mailbox_id) if tally.state is not ItemState.GONE)
        rails = plan.Rails(crew.settings.max_deletes, crew.settings.max_delete_share, crew.settings.approve_deletes)
        if not rails.allow(len(due), held):
            raise _Paused(
                f"{len(due)} of {held} items left the source: more than the rails allow. "
                "Look at them, then run again with --approve-deletes."
            )
        self._transfer.remove(due)

    def _remove_empty_folders(self) -> None:
        """Remove target folders whose source folder is gone for good, if they hold nothing and no other folder goes there."""
        crew = self._crew
        live = {row.target_id for row in crew.folders.values() if row.id in self._sources}
        gone = [row for row in crew.folders.values() if row.absent >= 2 and row.target_id and row.role is None]
        for row in reversed(gone):
            if row.target_id not in live and row.target_id is not None and crew.destination.remove_folder(row.target_id):
                crew.ledger.place_folder(crew.lease, row.id, None)
                crew.folders[row.id] = replace(row, target_id=None)
                crew.count("folders_removed")

    # -- the end

    def _heal_until_quiet(self) -> None:
        for _ in range(_HEAL_ROUNDS):
            if not heal(self._crew, self._transfer):
                return
            self._transfer.drain()

    def _close(self) -> None:
        """A pass is clean only if nothing is open; what is, is counted and named."""
        crew = self._crew
        counts: Counter[ItemState] = Counter()
        for _, tally in crew.ledger.tallies(self._mailbox_id):
            counts[tally.state] += tally.items
        pending = counts[ItemState.LISTED] + counts[ItemState.INTENDED]
        crew.figures["pending"] = pending
        if pending:
            raise _Paused(f"{pending} items are still open; run again.")
