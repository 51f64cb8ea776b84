"""One pass over one mailbox: seed, delta and final are this same code with a different starting point.

    claim   whose target is this?
    heal    what did an earlier run leave in doubt?
    folders read them all, place them all, parents first
    read    every folder's pages into the ledger, rows and cursor in one transaction
            (a seed carries each page as it comes; the others read everything first, so that a move is seen as one)
    match   what left one folder and came into another ─► moves
    drain   carry what is open
    drops   only what is still missing after every folder was read to its end once more, and only within the rails
    heal    again, for what this pass left in doubt
    backfill  carry old mail, which a cutover does not wait for
    recount what had to be sent again

Resume is: run again. A page is durable work before its cursor moves, so nothing in memory has to survive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from connectors.base import Destination, Role, Source
from connectors.errors import MailboxBlocked, Unavailable
from connectors.pacer import Stopped
from migrator.config import PassSettings
from migrator.engine import plan, stamps
from migrator.engine.adopt import Adopted, adopt
from migrator.engine.backfill import until_when
from migrator.engine.claims import check_claim
from migrator.engine.conservation import LOOKED_AT, PREFIX, last_told, unaccounted
from migrator.engine.crew import Crew, Keep, keep_nothing
from migrator.engine.heal import heal, look_first, recount
from migrator.engine.inflight import Pool
from migrator.engine.listing import ABSENT, Listing
from migrator.engine.placing import judge_again, place, ways_of
from migrator.engine.tenure import Tenure
from migrator.engine.transfer import Transfer, leave_changes
from state.model import AFTER_CUTOVER, IllegalMove, ItemState, Lease, Open, PassKind, PassState, Row, Work
from state.store import Ledger

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
    keep: Keep = keep_nothing
    pool: Pool = field(default_factory=Pool)

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
    if job.kind is not PassKind.SWEEP and job.ledger.mailbox(job.lease.mailbox_id).state in AFTER_CUTOVER:
        raise IllegalMove(f"a {job.kind} pass may delete and edit, so there is none after cutover")
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
        keep=job.keep,
        pool=job.pool,
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
        self._began = crew.clock()
        self._transfer = Transfer(crew)
        self._listing = Listing(crew, self._transfer)
        self._left_places: frozenset[str] = frozenset()
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
        aside = self._place_folders(self._kind)
        first = not crew.ledger.mailbox(self._mailbox_id).claimed
        occupied = first and (crew.settings.look_first or self._target_holds_anything())
        generation = self._listing.read_round(carry=self._kind is PassKind.SEED and not occupied, aside=aside)
        if occupied:
            # Another tool, or a ledger that was lost, was here before us.
            adopt(crew)
        self._follow_moves()
        if crew.settings.look_first and not occupied:
            look_first(crew)
        if self._kind is PassKind.SWEEP:
            leave_changes(crew)
        self._transfer.drain()
        if self._kind is not PassKind.SWEEP:
            self._drop(generation)
            self._remove_empty_folders()
        self._heal_until_quiet()
        self._backfill()
        recount(crew, may_remove=self._kind is not PassKind.SWEEP)
        self._account()
        self._close()

    def rebuild(self, take_over: bool) -> Adopted:
        """Learn from the target what an earlier ledger knew; writes no item."""
        crew = self._crew
        try:
            if not take_over:
                check_claim(crew, behind=True)
            crew.folders = {row.id: row for row in crew.ledger.folders(self._mailbox_id)}
            heal(crew, self._transfer)
            self._place_folders(PassKind.SEED)
            self._listing.read_round()
            found = adopt(crew, lost=True)
            crew.stake()
            return found
        finally:
            self._transfer.close()

    def _target_holds_anything(self) -> bool:
        places = {row.target_id for row in self._crew.folders.values() if row.target_id}
        return any(self._crew.destination.held(place) for place in places)

    # -- folders

    def _place_folders(self, kind: PassKind) -> frozenset[int]:
        """Read the folder tree, record it, and give every folder its place in the target, parents first.

        Returns the folders that need not be read, as ``stamps`` has it; their places are known, and not looked at either.
        """
        crew = self._crew
        crew.halt_if_asked()
        seen = [folder for folder in crew.source.folders() if folder.role is not Role.ROOT]
        generation = crew.ledger.next_round(crew.lease)
        listed = [
            (folder.id, folder.parent_id, folder.name, folder.kind, folder.role.value if folder.role else None, folder.total)
            for folder in seen
        ]
        rows = crew.ledger.record_folders(crew.lease, listed, generation)
        before, known = crew.folders, {row.source_id: row for row in rows}
        crew.folders = {row.id: row for row in rows}
        self._listing.sources = {known[folder.id].id: folder for folder in seen}
        crew.ways = ways_of(crew, self._listing.sources)
        aside = stamps.unchanged(crew, kind, before, self._listing.sources)
        settled = stamps.placed(aside, before, crew.folders, list(self._listing.sources))
        # After cutover the owner may have renamed or moved a folder, and the source's may have been renamed too.
        self._left_places = place(crew, self._listing.sources, settled, keep=kind is PassKind.SWEEP)
        judge_again(crew, self._listing.sources)
        return aside

    # -- moves and drops

    def _follow_moves(self) -> None:
        """Let target copies follow items that changed their place at the source, instead of doubling and deleting them."""
        crew = self._crew
        doomed = [row for row, _ in crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})]
        if not doomed:
            return
        came = crew.ledger.open_rows(self._mailbox_id, {ItemState.LISTED}, works={Work.CREATE})
        came += self._kept_back({row.identity for row in doomed if row.identity})
        for move in plan.match(doomed, came, crew.destination.movable):
            new, opened = plan.follow(move)
            crew.ledger.rekey(crew.lease, move.left, move.came, new, opened)
            if opened is None:
                crew.count("adopted")

    def _kept_back(self, wanted: set[bytes]) -> list[tuple[Row, Open]]:
        """Rows of these identities that rules keep back or that are carried later: what the target holds may follow to them. Not
        those in folders that are left out, which have no place."""
        crew = self._crew
        totals = crew.ledger.totals(self._mailbox_id)
        return [
            (row, opened)
            for state in (ItemState.BACKFILL, ItemState.FILTERED)
            if totals[state][0]
            for row, opened in crew.ledger.waiting(self._mailbox_id, state, Work.CREATE)
            if row.identity in wanted and not ((way := crew.ways.get(row.folder_id)) and way.route.skip)
        ]

    def _drop(self, generation: int) -> None:
        """Remove what left the source, once every folder was read to its end after it was missed, and within the rails."""
        crew = self._crew
        confirmed: frozenset[int] = frozenset()
        for _ in range(_QUIET_ROUNDS):
            doomed = crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})
            absent = {
                row.folder_id for row, opened in doomed if opened.reason == ABSENT and row.folder_id in self._listing.sources
            }
            again = frozenset(absent) - confirmed
            if not again and all(row.generation < generation for row, _ in doomed):
                break
            generation = self._listing.read_round(again=again)
            confirmed |= again
            self._follow_moves()
            self._transfer.drain()
        doomed = crew.ledger.open_rows(self._mailbox_id, {ItemState.DOOMED})
        due = [(row, opened) for row, opened in doomed if row.generation < generation]
        if not due:
            return
        totals = crew.ledger.totals(self._mailbox_id)
        held = sum(items for state, (items, _) in totals.items() if state is not ItemState.GONE)
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
        live = {row.target_id for row in crew.folders.values() if row.id in self._listing.sources}
        gone = [row for row in crew.folders.values() if row.absent >= 2 and row.target_id and row.role is None]
        for row in reversed(gone):
            if row.target_id not in live and row.target_id is not None and crew.destination.remove_folder(row.target_id):
                crew.ledger.place_folder(crew.lease, row.id, None)
                crew.folders[row.id] = replace(row, target_id=None)
                crew.count("folders_removed")
        for place_left in self._left_places - live:
            if crew.destination.remove_folder(place_left):
                crew.count("folders_removed")

    # -- the end

    def _backfill(self) -> None:
        """Carry old mail, now that everything else is there, as long as this pass may."""
        crew = self._crew
        if not crew.ledger.totals(self._mailbox_id)[ItemState.BACKFILL][0]:
            return
        settings, now = crew.settings, crew.clock()
        minutes = settings.backfill_minutes, settings.sweep_minutes
        state = crew.ledger.mailbox(self._mailbox_id).state
        until = until_when(self._kind, state, self._began, now, *minutes, asked=settings.backfill)
        if until is None or until > now:
            if crew.settings.look_first:
                look_first(crew, ItemState.BACKFILL)
            self._transfer.drain(state=ItemState.BACKFILL, until=until)
            # What an answer was lost for, or another lane has to carry.
            self._transfer.drain()
            self._heal_until_quiet()

    def _heal_until_quiet(self) -> None:
        for _ in range(_HEAL_ROUNDS):
            if not heal(self._crew, self._transfer):
                return
            self._transfer.drain()

    def _account(self) -> None:
        """Hold the source's own counts against the rows. A folder that differs is read on, then listed anew, and then named."""
        crew = self._crew
        wrong = self._unaccounted()
        if not wrong:
            return
        before = last_told(crew.ledger.passes(self._mailbox_id, LOOKED_AT))
        for again in (False, True):
            # What came or went since the tree was read is no difference, and one that was confirmed before is not listed again.
            doubtful = {folder_id for folder_id, number in wrong.items() if before.get(folder_id) != number}
            if not doubtful:
                break
            totals = self._totals()
            generation = crew.ledger.next_round(crew.lease)
            for folder_id in doubtful:
                row, folder = crew.folders[folder_id], self._listing.sources[folder_id]
                self._listing.read_folder(row, folder, generation, again=again)
            self._follow_moves()
            self._transfer.drain()
            numbers = {folder.id: folder_id for folder_id, folder in self._listing.sources.items()}
            self._listing.sources |= {numbers[folder.id]: folder for folder in crew.source.folders() if folder.id in numbers}
            moving = {folder_id for folder_id, total in self._totals().items() if totals[folder_id] != total}
            wrong = {folder_id: number for folder_id, number in self._unaccounted().items() if folder_id not in moving}
        for folder_id, number in wrong.items():
            crew.figures[f"{PREFIX}{folder_id}"] = number

    def _totals(self) -> dict[int, int]:
        return {folder_id: folder.total for folder_id, folder in self._listing.sources.items()}

    def _unaccounted(self) -> dict[int, int]:
        return unaccounted(self._crew.ledger, self._mailbox_id, self._totals())

    def _close(self) -> None:
        """A pass is clean only if nothing is open; what is, is counted and named."""
        crew = self._crew
        counts = {state: items for state, (items, _) in crew.ledger.totals(self._mailbox_id).items()}
        pending = counts[ItemState.LISTED] + counts[ItemState.INTENDED]
        crew.figures["pending"] = pending
        if counts[ItemState.BACKFILL]:
            crew.figures["backfill"] = counts[ItemState.BACKFILL]
        if counts[ItemState.FILTERED]:
            for one in crew.ledger.kept_back(self._mailbox_id):
                crew.figures[f"filtered.{one.rule}"] += one.items
        if pending:
            raise _Paused(f"{pending} items are still open; run again.")
