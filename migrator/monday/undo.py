"""Takes back what was brought into one target mailbox, before cutover: exactly that, and nothing that anybody touched since.

    brought   rows that are DONE by a write of ours
    ours      those of them whose copy is there with the very change key that we left; only these go
    left      adopted ones (they were there before us), touched ones, and those whose removal could e-mail somebody
    proof     both the ids and the folders are asked again: how many of what was removed are still there has to be 0

Each removal is intended in the ledger before it leaves. A run that is killed leaves intents, and the next ``undo`` looks them up
first. Afterwards the ledger reads every folder anew, so that a further pass begins from nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from connectors.base import short_hash
from migrator.config import BadInput
from migrator.engine.claims import check_claim
from migrator.engine.crew import Crew
from migrator.engine.heal import heal, place_of
from migrator.engine.plan import chunks
from migrator.engine.steps import Pair, may_be_removed_quietly
from migrator.engine.transfer import Transfer
from state.model import AFTER_CUTOVER, ItemState, MailboxRow, Mark, Open, Row, Step, Work

_LOOK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What would happen to the rows of a mailbox. Counts of items."""

    ours: int
    adopted: int
    touched: int
    unknown: int
    gone: int
    could_tell: int

    @property
    def left(self) -> int:
        """Copies that stay."""
        return self.adopted + self.touched + self.unknown + self.could_tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was done. ``removed`` copies are gone, ``still_there`` of them were seen again afterwards and have to be 0."""

    removed: int
    still_there: int
    left: int
    folders: int
    reasons: dict[str, int] = field(default_factory=dict)


def may_be_undone(mailbox: MailboxRow) -> None:
    """Raise BadInput for a mailbox whose mail goes to the target already: what is there now is its owner's."""
    if mailbox.state in AFTER_CUTOVER or mailbox.came_from in AFTER_CUTOVER:
        raise BadInput(
            f"{mailbox.source} is cut over ({mailbox.state.value}): its owner works in the target, so nothing is removed there."
            " Roll its cutover back first (`migrator cutover rollback`), or leave it."
        )


def sort(crew: Crew) -> Sorted:
    """Say what would be removed and what would be left, by looking at every copy. Changes nothing."""
    crew.folders = {row.id: row for row in crew.ledger.folders(crew.lease.mailbox_id)}
    counts: Counter[str] = Counter()
    for word, _ in _sorted(crew):
        counts[word] += 1
    # What an undo that was stopped had marked goes too, and so does what left the source since.
    doomed = crew.ledger.open_rows(crew.lease.mailbox_id, {ItemState.DOOMED})
    counts["ours"] += sum(row.target is not None for row, _ in doomed)
    return Sorted(
        ours=counts["ours"],
        adopted=counts["adopted"],
        touched=counts["touched"],
        unknown=counts["unknown"],
        gone=counts["gone"],
        could_tell=counts["could-tell"],
    )


def undo(crew: Crew) -> Undone:
    """Remove what is ours, and prove it. Raises what a pass raises; can be run again after anything."""
    mailbox_id = crew.lease.mailbox_id
    crew.folders = {row.id: row for row in crew.ledger.folders(mailbox_id)}
    check_claim(crew)
    transfer = Transfer(crew)
    removed: list[str] = []
    left: Counter[str] = Counter()
    try:
        heal(crew, transfer)
        for some in chunks(_sorted(crew), _LOOK):
            crew.halt_if_asked()
            steps, pairs = [], []
            for word, row in some:
                if word == "gone":
                    steps.append(Step(row, replace(row, state=ItemState.GONE, target=None, target_version=b"", digest=b""), None))
                elif word == "ours":
                    opened = Open(item_id="", work=Work.REMOVE)
                    doomed = replace(row, state=ItemState.DOOMED)
                    steps.append(Step(row, doomed, opened))
                    pairs.append((doomed, opened))
                else:
                    left[word] += 1
            crew.guard_lease()
            crew.ledger.settle(crew.lease, steps)
            # CRASH WINDOW: doomed, nothing removed yet
            _remove(crew, transfer, pairs, removed, left)
        # What an undo that was killed had marked, and what had left the source before.
        _remove(crew, transfer, crew.ledger.open_rows(mailbox_id, {ItemState.DOOMED}), removed, left)
    finally:
        transfer.close()
    still = _still_there(crew, removed)
    _begin_anew(crew)
    return Undone(removed=len(removed), still_there=still, left=sum(left.values()), folders=len(crew.folders), reasons=dict(left))


def _remove(crew: Crew, transfer: Transfer, doomed: Sequence[Pair], removed: list[str], left: Counter[str]) -> None:
    """Remove these copies, and note which went and which did not."""
    if not doomed:
        return
    transfer.remove(doomed)
    after = crew.ledger.rows(crew.lease.mailbox_id, [row.key for row, _ in doomed])
    for row, _ in doomed:
        now = after[row.key]
        if now.state is ItemState.GONE and not now.marks & Mark.TARGET_WINS and row.target is not None:
            removed.append(row.target)
        else:
            left["touched" if now.state is ItemState.GONE else "refused"] += 1


def _sorted(crew: Crew) -> Iterator[tuple[str, Row]]:
    """Every row that has a copy in the target, with what it is; rows may change meanwhile."""
    shown: dict[str, frozenset[str]] = {}

    def listed(row: Row) -> bool:
        place = place_of(crew, row)
        if place is None:
            return False
        if place not in shown:
            shown[place] = frozenset(entry.id for entry in crew.destination.inventory(place))
        return row.target in shown[place]

    for some in chunks(crew.ledger.folder_rows(crew.lease.mailbox_id, None), _LOOK):
        rows = [row for row in some if row.state is ItemState.DONE and row.target is not None]
        looked = [row for row in rows if not row.marks & (Mark.ADOPTED | Mark.TARGET_WINS)]
        found = crew.peek(looked)
        there = dict(zip((row.key for row in looked), found, strict=True))
        for row in rows:
            if row.marks & Mark.ADOPTED:
                yield "adopted", row
            elif row.marks & Mark.TARGET_WINS:
                yield "touched", row
            elif (ref := there[row.key]) is None:
                # Not every item can be asked for by its id: what its folder lists is there, and forgetting it would double it.
                yield ("unknown" if listed(row) else "gone"), row
            elif not row.target_version or not ref.version:
                yield "unknown", row
            elif short_hash(ref.version) != row.target_version or ref.folder_id not in ("", place_of(crew, row)):
                yield "touched", row
            elif not may_be_removed_quietly(row):
                yield "could-tell", row
            else:
                yield "ours", row


def _still_there(crew: Crew, removed: Sequence[str]) -> int:
    """How many of these the target still shows, by their ids and by the listings of all folders."""
    gone = set(removed)
    found: set[str] = set()
    for some in chunks(removed, _LOOK):
        found.update(target for target, ref in zip(some, crew.destination.peek(some), strict=True) if ref is not None)
    for folder in crew.folders.values():
        if folder.target_id is not None:
            found.update(entry.id for entry in crew.destination.inventory(folder.target_id) if entry.id in gone)
    return len(found)


def _begin_anew(crew: Crew) -> None:
    """Let the next pass read every folder from nothing: what left the target is wanted again."""
    generation = crew.ledger.next_round(crew.lease)
    for folder in crew.folders.values():
        crew.ledger.record_page(
            crew.lease, folder.id, [], cursor=None, fingerprint=folder.fingerprint, complete=False, generation=generation
        )
