"""Settles what a lost answer left in doubt: looks in the target before anything is sent again.

    heal      INTENDED rows: there? done. Not there? again
    recount   rows that were sent again: a copy too many? the late one goes
    look_first  rows that are new: has the target got them by another way? adopted

A write whose answer never came, and every intent that a killed process left behind, is an INTENDED row. It is looked up, no
earlier than the settle horizon after it left: by stamp where the item carries one, else by identity. Copies share an identity,
so hits are counted: of k doubtful rows and m hits that belong to no row, min(k, m) are adopted and the rest is sent again.
A request that was given up can still be carried out after the look; so whatever was sent again is counted once more at the end
of its pass, and of the one after.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from connectors.base import (
    Doubt,
    Identity,
    Lane,
    Receipt,
    Refusal,
    TargetRef,
    Unsent,
    Write,
    WriteKind,
    identify,
    short_hash,
    stamp_of,
)
from connectors.pacer import Stopped
from migrator.engine import plan
from migrator.engine.crew import Crew
from migrator.engine.steps import REPLACED, Pair, adopted, after_write, forget, may_be_removed_quietly
from migrator.engine.transfer import Transfer
from state.model import NO_MARKS, ItemState, Mark, Open, Row, Step, Work

_LOOK = 20
"""Identities asked for at once."""


def heal(crew: Crew, transfer: Transfer) -> int:
    """Settle every INTENDED row; returns how many there were.

    Waits for the settle horizon first; the seconds are counted as ``waited.settle``.
    """
    doubtful = crew.ledger.open_rows(crew.lease.mailbox_id, {ItemState.INTENDED})
    if not doubtful:
        return 0
    _wait_for_horizon(crew, max(opened.intended_at for _, opened in doubtful))
    crew.guard_lease()
    _heal_unknown(crew, [pair for pair in doubtful if _looked_up_by_identity(pair)])
    # Asked anew: a replacement whose new copy was just found still has its old copy to lose.
    left = crew.ledger.open_rows(crew.lease.mailbox_id, {ItemState.INTENDED})
    for at in range(0, len(left), _LOOK):
        _heal_known(crew, transfer, left[at : at + _LOOK])
    crew.count("healed", len(doubtful))
    return len(doubtful)


def _wait_for_horizon(crew: Crew, latest: float) -> None:
    # A look-up before the horizon proves nothing: a request that timed out here can still be carried out there.
    while (left := latest + crew.settings.settle_horizon - crew.clock()) > 0:
        begun = crew.clock()
        stopped = crew.stop.wait(min(left, crew.settings.lease / 8))
        crew.figures["waited.settle"] += max(0.0, crew.clock() - begun)
        if stopped:
            raise Stopped("stopped by the operator")
        crew.guard_lease()


def _looked_up_by_identity(pair: Pair) -> bool:
    row, opened = pair
    if opened.work is Work.UPDATE:
        return opened.old_target is not None and opened.code != REPLACED
    return opened.work is Work.CREATE or (opened.work is Work.REMOVE and row.target is None)


def _identity(pair: Pair) -> Identity:
    row, opened = pair
    # Both stamp and rungs are looked for: a lane change between two attempts must not hide the first one's copy.
    return identify(plan.unpack_facts(opened.facts), stamp_of(row.key))


def look_first(crew: Crew, state: ItemState = ItemState.LISTED) -> None:
    """Adopt what the target got by another way, by forwarding for example, before anything new is created."""
    for waiting in plan.chunks(crew.ledger.waiting(crew.lease.mailbox_id, state, Work.CREATE), _LOOK):
        _recognise(crew, waiting)


def _recognise(crew: Crew, waiting: Sequence[Pair]) -> None:
    crew.halt_if_asked()
    chosen = _choose(crew, waiting)
    steps: list[Step] = []
    for row, _ in waiting:
        if (hit := chosen.get(row.key)) is not None:
            here = place_of(crew, row) == hit.folder_id
            steps.append(Step(row, adopted(row, hit.id, hit.version, here=here), None))
    if steps:
        crew.ledger.settle(crew.lease, steps)
        crew.count("adopted", len(steps))


def place_of(crew: Crew, row: Row) -> str | None:
    """The target folder that the row's copy belongs into; None if it has none yet."""
    folder = crew.folders.get(row.folder_id)
    return folder.target_id if folder else None


def _look(crew: Crew, identities: Sequence[Identity]) -> tuple[dict[Identity, list[TargetRef]], set[str]]:
    """What the target shows of each identity, and the ids among that which a row holds already."""
    found: dict[Identity, list[TargetRef]] = {}
    for at in range(0, len(identities), _LOOK):
        found |= crew.destination.find(identities[at : at + _LOOK])
    return found, set(crew.ledger.owners(crew.lease.mailbox_id, sorted({hit.id for hits in found.values() for hit in hits})))


def _choose(crew: Crew, pairs: Sequence[Pair]) -> dict[bytes, TargetRef]:
    """The free copy in the target that each row is most likely to be, by key; a row without one is missing."""
    asked = [(_identity(pair), *pair) for pair in pairs]
    found, owned = _look(crew, [identity for identity, _, _ in asked])
    # Equal copies in two folders share an identity: each row first gets a copy that lies where it was sent, so that none
    # takes another's; only what is left over then may lie elsewhere. Copies whose subject was changed since share one too,
    # so those with the right subject go first.
    chosen: dict[bytes, TargetRef] = {}
    for here, alike in ((True, True), (True, False), (False, True), (False, False)):
        for identity, row, opened in asked:
            wanted = place_of(crew, row)
            subject = plan.unpack_facts(opened.facts).subject_hash
            free = [
                hit
                for hit in found.get(identity, [])
                if hit.id not in owned
                and (not here or hit.folder_id == wanted)
                and (not alike or hit.subject_hash in (None, subject))
            ]
            if row.key not in chosen and (hit := _nearest(crew, row, opened, free)) is not None:
                owned.add(hit.id)
                chosen[row.key] = hit
    return chosen


def _heal_unknown(crew: Crew, pairs: Sequence[Pair]) -> None:
    """Rows whose copy in the target is not known: adopt free hits, do the rest again."""
    chosen = _choose(crew, pairs)
    steps = [_adopt(crew, row, opened, chosen[row.key]) if row.key in chosen else _again(row, opened) for row, opened in pairs]
    if steps:
        crew.ledger.settle(crew.lease, steps)


def _nearest(crew: Crew, row: Row, opened: Open, free: Sequence[TargetRef]) -> TargetRef | None:
    """The hit most likely to be this row's: its own stamp, its folder, its size."""
    wanted = place_of(crew, row)
    stamp = stamp_of(row.key)
    # A copy that carries the stamp of another item is that item's, whoever lost track of it; only a moved item, whose
    # stamp is rewritten last, may still carry its old one.
    mine = [hit for hit in free if hit.stamp is None or hit.stamp.casefold() == stamp or opened.work is Work.MOVE]
    return min(
        mine,
        key=lambda hit: (hit.stamp is None, hit.folder_id != wanted, abs(hit.size - row.size)),
        default=None,
    )


def _adopt(crew: Crew, row: Row, opened: Open, hit: TargetRef) -> Step:
    there = replace(row, target=hit.id, target_version=short_hash(hit.version))
    if opened.work is Work.REMOVE:
        # It arrived, and left the source in the meantime.
        return Step(row, replace(there, state=ItemState.DOOMED), opened)
    if opened.work is Work.UPDATE:
        # The new copy arrived; the old one is removed by the next look at this row.
        return Step(row, replace(there, state=ItemState.INTENDED), replace(opened, code=REPLACED))
    crew.count("moved" if opened.work is Work.MOVE else "created", size=row.size)
    return after_write(row, there, opened)


def _again(row: Row, opened: Open) -> Step:
    """It is not there: do it again as if it had never been tried. What it was judged on stays judged."""
    if opened.work is Work.REMOVE:
        return Step(row, forget(row), None)
    reason = "" if opened.work is Work.CREATE else opened.reason
    again = replace(opened, reason=reason, batch=0, intended_at=0.0, old_target=None)
    made = Mark.REWRITTEN if _looked_up_by_identity((row, opened)) else NO_MARKS
    return Step(row, replace(row, state=ItemState.LISTED, marks=row.marks | made), again)


def recount(crew: Crew, *, may_remove: bool) -> None:
    """Look for a second copy of everything that was sent again, and remove it; ends the watch over what an earlier pass sent.

    Only copies that no row owns count, in the folder to which the row was sent, with its stamp or, where no stamp can be carried,
    its identity; none of these was there when the row was looked up. What may not be removed, or not without the risk of an
    e-mail, is left, counted as ``surplus`` and noted.
    """
    watched = [
        (row, opened)
        for row, opened in crew.ledger.open_rows(crew.lease.mailbox_id, {ItemState.DONE})
        if row.marks & Mark.REWRITTEN
    ]
    for at in range(0, len(watched), _LOOK):
        _recount_some(crew, watched[at : at + _LOOK], may_remove)


def _recount_some(crew: Crew, watched: Sequence[Pair], may_remove: bool) -> None:
    found, owned = _look(crew, [_identity(pair) for pair in watched])
    removals: list[Write] = []
    left = 0
    for row, opened in watched:
        hits = found.get(_identity((row, opened)), [])
        if row.target not in {hit.id for hit in hits}:
            # The look does not show the copy that we know under the name by which we know it, so which one is too many
            # can't be told; the only copy may be among them.
            left += len(hits) > 1
            continue
        for hit in hits:
            ours = hit.stamp is None or hit.stamp.casefold() == stamp_of(row.key)
            if hit.id in owned or not ours or hit.folder_id not in (place_of(crew, row), *crew.destination.aside):
                continue
            owned.add(hit.id)
            if may_remove and may_be_removed_quietly(row):
                item_class = plan.class_in(opened.facts)
                removals.append(Write(kind=WriteKind.REMOVE, lane=Lane(row.lane), item_class=item_class, target_id=hit.id))
            else:
                left += 1
            break  # one that came late for one that was sent again
    if removals:
        crew.guard_lease()
        for outcome in crew.destination.write(removals).result():
            match outcome:
                case Receipt():
                    crew.count("surplus_removed")
                case Refusal():
                    left += 1
                case Doubt() | Unsent():
                    raise outcome.cause  # the rows stay watched
    if left:
        crew.count("surplus", left)
        crew.ledger.note(
            crew.lease.mailbox_id,
            "surplus",
            f"{left} items arrived twice after a lost answer, and removing a copy is not safe; `migrator verify` names them.",
        )
    over = [pair for pair in watched if pair[1].epoch < crew.lease.epoch]
    crew.ledger.settle(crew.lease, [Step(row, replace(row, marks=row.marks & ~Mark.REWRITTEN), None) for row, _ in over])


def _heal_known(crew: Crew, transfer: Transfer, pairs: Sequence[Pair]) -> None:
    """Rows whose copy in the target is known: each of these writes can be carried out again without harm."""
    replaced = [(row, opened) for row, opened in pairs if opened.code == REPLACED]
    rest = [(row, opened) for row, opened in pairs if opened.code != REPLACED]
    steps: list[Step] = []
    lost: list[Pair] = []
    if rest:
        found = crew.peek([row for row, _ in rest])
        for (row, opened), there in zip(rest, found, strict=True):
            if opened.work is Work.REMOVE:
                doomed = replace(row, state=ItemState.DOOMED)
                steps.append(Step(row, forget(row), None) if there is None else Step(row, doomed, opened))
            elif opened.work is Work.MOVE and there is not None and there.folder_id == crew.target_folder(row.folder_id):
                steps.append(after_write(row, replace(row, target_version=short_hash(there.version)), opened))
                crew.count("moved")
            elif opened.work is Work.MOVE and there is None:
                lost.append((row, opened))  # some targets give a moved item a new id
            else:
                steps.append(_again(row, opened))
        crew.ledger.settle(crew.lease, steps)
    if lost:
        _heal_unknown(crew, lost)
    if replaced:
        transfer.clear(replaced)
