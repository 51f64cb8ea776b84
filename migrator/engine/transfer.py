"""The heart: carries open rows from source to target.

    lots of open rows ─► fetch (a second thread, one lot ahead) ─► judge ─► intend ─► write ─► settle

Nothing here has to survive: whatever a killed process leaves behind is in the ledger, and ``heal`` reads it there.
Two lots may be open in the target at once, so that its slots refill before the last answer of a lot is in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import structlog
from msgspec.structs import replace

from connectors.base import (
    Doubt,
    Fetched,
    Gone,
    Item,
    Lane,
    Outcome,
    Receipt,
    Refusal,
    Unsent,
    Write,
    WriteKind,
    short_hash,
    stamp_of,
)
from connectors.errors import MailboxBlocked, Unavailable, WireError
from connectors.streams import made_by
from migrator.engine import plan
from migrator.engine.crew import Crew
from migrator.engine.fetching import Fetcher
from migrator.engine.inflight import NOTHING, Share
from migrator.engine.steps import (
    AFTER_FLIP,
    REPLACED,
    TARGET_CHANGED,
    Pair,
    after_write,
    before,
    could_tell_somebody,
    forget,
    may_be_removed_quietly,
    refuse,
    same_as_left,
    theirs,
    yield_to_target,
)
from state.model import ItemState, Mark, Open, Row, Step, Work

_log = structlog.get_logger("migrator.engine.transfer")

_CHUNK = 4096
"""Open rows read from the ledger at once: bounds memory, whatever the size of a mailbox."""

_TIMED = 256
"""The same where the clock is looked at in between."""

_OPEN_LOTS = 2


@dataclass(slots=True)
class _Sent:
    """A lot whose answers are still out."""

    lot: plan.Lot
    pairs: list[Pair]
    sizes: list[int]
    items: list[Item | None]
    answers: Future[list[Outcome]]


class Transfer:
    """Carries out what open rows want. One object a pass; used by one thread."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._out: deque[_Sent] = deque()
        self._batch = 0
        self._fetcher = Fetcher(crew.source, crew.pool, crew.stop)

    def close(self) -> None:
        """Settle what is still out, because something else went wrong, and end the fetch thread."""
        self._settle_quietly()
        self._fetcher.close()

    def drain(
        self,
        folder_id: int | None = None,
        state: ItemState = ItemState.LISTED,
        until: float | None = None,
        *,
        leave_out: bool = False,
    ) -> None:
        """Carry out every row of a state (LISTED or BACKFILL), of one folder or of all. Returns when none is left or, not long
        after, when the clock shows ``until``; doubts stay INTENDED.

        With ``leave_out`` the answers of the last lots are not waited for, so that the target is busy while the source is asked
        for more; ``settle`` does it. Raises Stopped between lots, and the cause of a write that did nothing (Unavailable,
        MailboxBlocked, Halt), whichever lot it was in.
        """
        crew = self._crew
        try:
            at_once = _CHUNK if until is None else _TIMED
            while (until is None or crew.clock() < until) and (
                rows := crew.ledger.open_rows(crew.lease.mailbox_id, {state}, folder_id=folder_id, limit=at_once)
            ):
                lots = plan.batches(self._with_lanes(rows), self._fetcher.limits)
                with closing(self._fetcher.ahead(lots)) as ahead:
                    for lot, fetched, share in ahead:
                        try:
                            crew.halt_if_asked()
                            self._send(lot, fetched, share)
                        except BaseException:
                            share.give_back()
                            raise
                if leave_out and len(rows) < at_once:
                    return
                self._settle_all()
        except BaseException:
            # Whatever left must be settled before the reason travels on; its own trouble would hide the reason.
            self._settle_quietly()
            raise

    def settle(self, met: Collection[bytes] | None = None) -> None:
        """Wait for what is out and write it down; with ``met`` only if one of these keys is among it. Raises what ``drain`` does.

        Who changes a row has to know its answer first, or the answer would be written over the change.
        """
        if self._out and (met is None or any(row.key in met for sent in self._out for row, _ in sent.pairs)):
            try:
                self._settle_all()
            except BaseException:
                self._settle_quietly()
                raise

    def remove(self, doomed: Sequence[Pair]) -> None:
        """Remove from the target what left the source. The rails were asked before."""
        crew = self._crew
        quiet: list[Pair] = []
        for row, opened in doomed:
            if may_be_removed_quietly(row):
                quiet.append((row, opened))
            else:
                reason = "could-send-cancellation" if row.marks & Mark.ATTENDEES else "could-send-receipt"
                withheld = replace(opened, reason=reason, detail="Removing it in the target could e-mail somebody.")
                crew.ledger.settle(crew.lease, [Step(row, replace(row, state=ItemState.WITHHELD), withheld)])
                crew.count("withheld")
        lane = Lane.IMPORT
        for lot in plan.batches(((row, opened, lane) for row, opened in quiet), crew.source.limits):
            crew.halt_if_asked()
            self._send(lot, [], NOTHING)
        self._settle_all()

    # -- lots and their fetching

    def _with_lanes(self, rows: Sequence[Pair]) -> Iterator[tuple[Row, Open, Lane]]:
        refused: list[Step] = []
        for row, opened in rows:
            lane = self._crew.lane(row, opened)
            if lane is not None or opened.work in (Work.FLAG, Work.MOVE):
                yield row, opened, lane or Lane.IMPORT
            else:
                refused.append(refuse(row, opened, self._crew.no_lane(row, opened)))
        if refused:
            self._crew.ledger.settle(self._crew.lease, refused)
            self._crew.count("refused", len(refused))

    # -- judging, intending, writing

    def _send(self, lot: plan.Lot, fetched: list[Fetched], share: Share) -> None:
        """Judge a lot, intend what is to be sent, and send it; settles the oldest lot when too many are open.

        Empties ``fetched``, and gives the share of the pool back when the answers are in.
        """
        crew = self._crew
        pairs, items = self._sort_out(lot, fetched)
        fetched.clear()
        if lot.work is not Work.CREATE:
            pairs, items, versions = self._judge(lot, pairs, items)
        else:
            versions = [""] * len(pairs)
        if not pairs:
            share.give_back()
            return
        replacing = lot.work is Work.UPDATE and lot.lane is Lane.COMPOSE
        self._batch += 1
        intents: list[Step] = []
        writes: list[Write] = []
        for (row, opened), item, version in zip(pairs, items, versions, strict=True):
            meant = replace(
                row,
                state=ItemState.INTENDED,
                lane=lot.lane if item is not None else row.lane,
                digest=item.digest if item is not None else row.digest,
            )
            intent = replace(
                opened,
                epoch=crew.lease.epoch,
                batch=self._batch,
                intended_at=crew.clock(),
                old_target=row.target if replacing else opened.old_target,
            )
            intents.append(Step(row, meant, intent))
            writes.append(self._write(lot, meant, opened, item, version, replacing))
        crew.stake()
        crew.guard_lease()
        crew.ledger.intend(crew.lease, intents)
        # CRASH WINDOW: intended, nothing sent
        answers = crew.destination.write(writes)
        # CRASH WINDOW: sent, not settled
        sizes = [row.size if item is not None else 0 for (row, _), item in zip(pairs, items, strict=True)]
        del writes
        answers.add_done_callback(partial(let_go, items, share))
        sent = [(step.new, step.open) for step in intents if step.open is not None]
        self._out.append(_Sent(lot, sent, sizes, items, answers))
        while len(self._out) >= _OPEN_LOTS:
            self._settle(self._out.popleft())

    def _sort_out(self, lot: plan.Lot, fetched: Sequence[Fetched]) -> tuple[list[Pair], list[Item | None]]:
        """Keep what was fetched; settle what is gone or can't be read."""
        crew = self._crew
        if lot.work not in (Work.CREATE, Work.UPDATE):
            return list(lot.rows), [None] * len(lot.rows)
        pairs: list[Pair] = []
        items: list[Item | None] = []
        steps: list[Step] = []
        for (row, opened), answer in zip(lot.rows, fetched, strict=True):
            match answer:
                case Item():
                    pairs.append((row, opened))
                    items.append(answer)
                case Gone():
                    # The feed will say where it went; what the target already holds waits for that.
                    state = ItemState.GONE if row.target is None else ItemState.DONE
                    steps.append(Step(row, replace(row, state=state), None))
                    crew.count("gone")
                case Refusal():
                    steps.append(self._refused(lot, row, opened, answer))
        if steps:
            crew.ledger.settle(crew.lease, steps)
        return pairs, items

    def _judge(
        self, lot: plan.Lot, pairs: list[Pair], items: list[Item | None]
    ) -> tuple[list[Pair], list[Item | None], list[str]]:
        """Leave alone what the target's user changed since; judged once, before the intent. Returns the present versions too."""
        crew = self._crew
        found = crew.peek([row for row, _ in pairs])
        kept: list[Pair] = []
        kept_items: list[Item | None] = []
        versions: list[str] = []
        steps: list[Step] = []
        for (row, opened), item, there in zip(pairs, items, found, strict=True):
            if same_as_left(row, opened, there) and not could_tell_somebody(lot, row):
                assert there is not None
                kept.append((row, replace(opened, code=opened.code or "judged")))
                kept_items.append(item)
                versions.append(there.version)
            elif lot.work is Work.REMOVE:
                # Deleted or changed by the target's user: it is theirs now.
                left = replace(forget(row), marks=row.marks | Mark.TARGET_WINS)
                steps.append(Step(row, left, None if there is None else theirs(opened)))
                crew.count("removed" if there is None else "target_wins")
            elif same_as_left(row, opened, there):
                reason = replace(opened, reason="could-send-receipt", detail="Replacing it in the target could send a receipt.")
                steps.append(Step(row, replace(row, state=ItemState.WITHHELD), reason))
                crew.count("withheld")
            else:
                steps.append(yield_to_target(row, opened))
                crew.count("target_wins")
        if steps:
            crew.ledger.settle(crew.lease, steps)
        return kept, kept_items, versions

    def _write(self, lot: plan.Lot, row: Row, opened: Open, item: Item | None, version: str, replacing: bool) -> Write:
        kind = WriteKind.CREATE if replacing else WriteKind(lot.work.value)
        item_class = plan.class_in(opened.facts)
        return Write(
            kind=kind,
            lane=lot.lane,
            item_class=item_class,
            folder_id=self._crew.target_folder(row.folder_id) if kind in _NEEDS_FOLDER else None,
            target_id=row.target,
            version=version or None,
            stamp=stamp_of(row.key),
            is_read=bool(row.marks & Mark.READ),
            item=item,
        )

    # -- settling

    def _settle_all(self) -> None:
        while self._out:
            self._settle(self._out.popleft())

    def _settle_quietly(self) -> None:
        while self._out:
            sent = self._out.popleft()
            try:
                self._settle(sent)
            except Exception:  # noqa: S112 - a reason is already on its way up; these rows stay INTENDED and are healed
                continue

    def _settle(self, sent: _Sent) -> None:
        """Write down the answers of one lot, then raise the cause of the first write that did nothing for no fault of its own."""
        crew = self._crew
        outcomes = sent.answers.result()
        steps: list[Step] = []
        superseded: list[Pair] = []
        cause: WireError | None = None
        arrived = carried = 0
        for (row, opened), size, item, outcome in zip(sent.pairs, sent.sizes, sent.items, outcomes, strict=True):
            match outcome:
                case Receipt():
                    step = self._received(row, opened, outcome)
                    steps.append(step)
                    if step.open is not None and step.open.code == REPLACED:
                        superseded.append((step.new, step.open))
                    else:
                        arrived, carried = arrived + 1, carried + size
                case Refusal() if opened.work is Work.UPDATE and outcome.reason == TARGET_CHANGED:
                    steps.append(yield_to_target(row, opened))
                    crew.count("target_wins")
                case Refusal():
                    step = self._refused(sent.lot, row, opened, outcome, item)
                    steps.append(step)
                    if item is not None and step.new.state is ItemState.REFUSED:
                        crew.keep(row, item, outcome)
                case Doubt():
                    crew.count("doubts")
                case Unsent():
                    cause = cause or outcome.cause
                    steps.append(Step(row, replace(row, state=before(opened)), opened))
        if arrived:
            crew.count(_DONE_WORD[sent.lot.work], arrived, carried)
        crew.ledger.settle(crew.lease, steps)
        crew.shortfall.keep()
        if superseded:
            self.clear(superseded)
        if cause is not None:
            raise cause

    def _received(self, row: Row, opened: Open, receipt: Receipt) -> Step:
        crew = self._crew
        if receipt.degraded:
            if opened.work is Work.CREATE or not row.marks & Mark.DEGRADED:
                crew.shortfall.add(receipt.degraded)
            row = replace(row, marks=row.marks | Mark.DEGRADED)
            for name in receipt.degraded:
                crew.count(f"degraded.{name}")
        there = replace(row, target=receipt.target_id or row.target, target_version=short_hash(receipt.version))
        if opened.work is Work.UPDATE and opened.old_target is not None:
            # CRASH WINDOW: the new copy is there, the old one too
            return Step(row, there, replace(opened, code=REPLACED))
        return after_write(row, there, opened)

    def clear(self, superseded: Sequence[Pair]) -> None:
        """Remove the old copies of replaced items and settle them; a copy that is gone already is fine."""
        crew = self._crew
        crew.guard_lease()
        writes = [
            Write(kind=WriteKind.REMOVE, lane=Lane.COMPOSE, item_class=plan.class_in(opened.facts), target_id=opened.old_target)
            for _, opened in superseded
        ]
        outcomes = crew.destination.write(writes).result()
        steps: list[Step] = []
        cause: WireError | None = None
        for (row, opened), outcome in zip(superseded, outcomes, strict=True):
            match outcome:
                case Receipt():
                    crew.count("updated", size=row.size)
                    steps.append(after_write(row, row, opened))
                case Refusal():
                    # The old copy stays beside the new one; that is listed, not hidden.
                    kept = replace(opened, reason="old-copy-stays", detail=outcome.detail, code=outcome.code)
                    steps.append(Step(row, replace(row, state=ItemState.WITHHELD), kept))
                    crew.count("withheld")
                case Doubt() | Unsent():
                    cause = cause or outcome.cause
        crew.ledger.settle(crew.lease, steps)
        if cause is not None and not isinstance(cause, Unavailable):
            raise cause

    def _refused(self, lot: plan.Lot, row: Row, opened: Open, refusal: Refusal, item: Item | None = None) -> Step:
        """Try the other lane if the operator leaves the choice to us; else it is refused by name."""
        crew = self._crew
        if refusal.reason == "quota":
            raise MailboxBlocked(refusal.detail, code=refusal.code, side="target", mend="Raise the quota or archive mail.")
        item_class = plan.class_in(opened.facts)
        free = opened.work is Work.CREATE and lot.lane is Lane.IMPORT and crew.settings.lane == "auto"
        if free and crew.composes_too(row, item_class):
            crew.count("other_lane")
            _log.info(
                "import refused, composed instead",
                key=row.key.hex(),
                item_class=item_class,
                reason=refusal.reason,
                code=refusal.code,
                stream=made_by(item.stream) if item is not None else "",
                build=crew.source.build,
            )
            return Step(row, replace(row, state=ItemState.LISTED, lane=Lane.COMPOSE), opened)
        crew.count("refused")
        return refuse(row, opened, refusal)


def let_go(items: list[Item | None], share: Share, answers: Future[list[Outcome]]) -> None:
    """Once the answers are in, hold only what was refused: a lot that waits to be settled must not fill the memory."""
    share.give_back()
    if answers.cancelled() or answers.exception() is not None:
        return
    for at, outcome in enumerate(answers.result()):
        if not isinstance(outcome, Refusal):
            items[at] = None


_NEEDS_FOLDER = frozenset({WriteKind.CREATE, WriteKind.UPDATE, WriteKind.MOVE})

_DONE_WORD = {
    Work.CREATE: "created",
    Work.UPDATE: "updated",
    Work.FLAG: "flagged",
    Work.MOVE: "moved",
    Work.REMOVE: "removed",
}


def leave_changes(crew: Crew) -> None:
    """After cutover only what is new is carried: every other change of the source is left undone, and listed."""
    changes = [Work.UPDATE, Work.FLAG, Work.MOVE]
    while rows := crew.ledger.open_rows(crew.lease.mailbox_id, {ItemState.LISTED}, works=changes, limit=_CHUNK):
        steps = []
        for row, opened in rows:
            detail = f"It changed at the source ({opened.work}) after cutover."
            kept = replace(opened, reason=AFTER_FLIP, detail=detail, code="")
            steps.append(Step(row, replace(row, state=ItemState.DONE, marks=row.marks | Mark.TARGET_WINS), kept))
        crew.ledger.settle(crew.lease, steps)
        crew.count("left", len(steps))
