"""Where each mailbox of a wave stands on its way over, read from the ledger; and the moves that follow from that by themselves.

``migrator.cutover.table`` decides, on what is read here. A pass that ended and a step that was confirmed may have made the next
edge free; ``advance`` takes it. Locking and closing are acts of a person and never taken here.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from migrator import forecast
from migrator.cutover import table as cutover
from migrator.cutover.table import DONE, FAILED, Position, route_of
from migrator.engine.conservation import off_by, told_by
from migrator.forecast import Load
from state.model import PENDING, ItemState, MailboxRow, PassKind, PassRow, PassState
from state.plans import Confirmation, WaveRow, WaveState
from state.store import Ledger

SIGHT = "cutover"
"""The observation that holds what a cutover has to remember of a mailbox: ``old_ttl`` in seconds."""

WITHDRAWN = "withdrawn"
"""The observation that a mailbox was taken out of its wave's cutover: ``wave``, ``why``; empty once it is back in."""

_FREE = ("final", "route", "sweep", "backfill")
_LOOKED_AT = 12


def positions(
    ledger: Ledger, mailboxes: Sequence[MailboxRow], now: float | None = None, *, scores: Mapping[int, str] | None = None
) -> list[Position]:  # fmt: skip
    """The position of each of these mailboxes, in their order. ``scores`` says which may not complete, and why."""
    now = time.time() if now is None else now
    # A pass asks for its own mailbox alone; nothing is read of the other ten thousand then.
    only = mailboxes[0].id if len(mailboxes) == 1 else None
    waves = ledger.plans.waves()
    details = ledger.plans.details() if only is None else {only: ledger.plans.details_of(only)}
    counts: dict[int, Counter[ItemState]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    unmoved: Counter[int] = Counter()
    for mailbox_id, tally in ledger.tallies(only):
        counts[mailbox_id][tally.state] += tally.items
        sizes[mailbox_id] += tally.bytes
        unmoved[mailbox_id] += tally.bytes if tally.state in PENDING else 0
    approved = ledger.approvals.approved_counts(only)
    confirmed: dict[int, list[Confirmation]] = defaultdict(list)
    for one in ledger.plans.confirmations(only):
        confirmed[one.mailbox_id].append(one)
    seen: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for kind in (SIGHT, WITHDRAWN):
        for sight in ledger.plans.observed(kind, only):
            seen[sight.mailbox_id][kind] = sight.about
    pool = forecast.speed(forecast.samples(ledger.glance().seeds()))
    found = []
    for row in mailboxes:
        wave = waves.get(row.wave)
        mine, sights = counts[row.id], seen[row.id]
        open_now = sum(mine[state] for state in PENDING)
        stayed = mine[ItemState.REFUSED] + mine[ItemState.WITHHELD] - approved[row.id]
        passes = ledger.passes(row.id, _LOOKED_AT)
        done, failed = steps_now(confirmed[row.id])
        routed = done.get(cutover.ROUTE)
        hours = _number(wave.details.get("sweep_hours")) if wave else None
        mine_said = details.get(row.id, {})
        complete, complete_says = _complete_after(wave, mine_said)
        ttl = _number(sights.get(SIGHT, {}).get("old_ttl")) or 0.0
        found.append(
            Position(
                mailbox_id=row.id,
                address=row.source,
                target=row.target,
                state=row.state,
                came_from=row.came_from,
                cause=row.cause,
                pending=open_now,
                backfill=mine[ItemState.BACKFILL],
                refused=max(0, stayed),
                bytes=sizes[row.id],
                behind=_behind(passes, now),
                takes=forecast.final_now(passes, Load(open_now, unmoved[row.id]), now, pool),
                confirmed=frozenset(done),
                failed=frozenset(failed),
                route=route_of(mine_said),
                locked=done.get(cutover.LOCK),
                final=_last_clean(passes, PassKind.FINAL),
                routed=routed,
                swept=_last_clean(passes, PassKind.SWEEP),
                sweep_until=None if routed is None else cutover.sweep_until(routed, ttl, hours),
                withdrawn=sights.get(WITHDRAWN, {}).get("wave") == row.wave,
                answered=frozenset(answers_of(wave)),
                score=(scores or {}).get(row.id, ""),
                complete_after=complete,
                complete_says=complete_says,
                now=now,
            )
        )
    return found


def _complete_after(wave: WaveRow | None, mailbox: Mapping[str, Any]) -> tuple[float | None, str]:
    """Before when it is not to be cut over, the later of what its wave and its own line say; and that moment for people."""
    latest: float | None = None
    says = ""
    for details in (wave.details if wave else {}, mailbox):
        try:
            moment = datetime.fromisoformat(str(details["complete_after"]))
        except (KeyError, ValueError):
            continue
        if latest is None or moment.timestamp() > latest:
            zone = str(details.get("time_zone", ""))
            latest, says = moment.timestamp(), f"{moment:%Y-%m-%d %H:%M} {zone or f'(UTC{moment:%z})'}"
    return latest, says


def steps_now(told: Iterable[Confirmation]) -> tuple[dict[str, float], set[str]]:
    """When each step was confirmed that is done now, and which failed. An unlock later than a lock takes it back."""
    by_step = {one.step: one for one in told}
    done = {step: one.at for step, one in by_step.items() if one.result == DONE}
    failed = {step for step, one in by_step.items() if one.result == FAILED}
    if done.get(cutover.UNLOCK, 0.0) > done.get(cutover.LOCK, 0.0):
        done.pop(cutover.LOCK, None)
    return done, failed


def answers_of(wave: WaveRow | None) -> Mapping[str, Any]:
    """The answers to the questions of the close that were given for a wave, by key."""
    told = wave.details.get("close") if wave else None
    return told if isinstance(told, dict) else {}


def stopped(wave: WaveRow | None) -> str:
    """Why a wave as a whole may not be cut over now; empty if it may."""
    if wave is None or wave.state is WaveState.OPEN:
        return ""
    return f"The wave is {wave.state.value}; `migrator wave resume {wave.name}` lets it go on."


def advance(ledger: Ledger, row: MailboxRow) -> tuple[MailboxRow, str]:
    """Take every edge that is free by itself; where the mailbox stands then, and what keeps it there, in a sentence or two.

    For the mailbox's own pass, or for a person's command; nothing of it is fenced, so two at once may meet IllegalMove.
    """
    while True:
        [one] = positions(ledger, [row])
        way = cutover.next_edge(one)
        if way is None:
            return row, ""
        why = cutover.hindrances(way, one)
        if why or way.name not in _FREE:
            return row, " ".join(why)
        row = ledger.move_mailbox(row.id, way.to, "")


def remember(ledger: Ledger, mailbox_id: int, **about: object) -> None:
    """Add to what the cutover has to remember of a mailbox."""
    before = next((sight.about for sight in ledger.plans.observed(SIGHT, mailbox_id)), {})
    ledger.plans.observe(mailbox_id, SIGHT, {**before, **about})


def flip_of(ledger: Ledger, mailbox_id: int) -> float | None:
    """Since when the mailbox's mail goes to its target (wall-clock seconds); None before that."""
    done, _ = steps_now(ledger.plans.confirmations(mailbox_id))
    return done.get(cutover.ROUTE)


def _behind(passes: Sequence[PassRow], now: float) -> float | None:
    """Seconds since the last pass began that ran to its end."""
    return next((now - one.started for one in passes if one.state is PassState.DONE), None)


def _last_clean(passes: Sequence[PassRow], kind: PassKind) -> float | None:
    """When the last pass of a kind began that ran to its end and left nothing that is not accounted for."""
    return next(
        (
            one.started
            for one in passes
            if one.kind is kind and one.state is PassState.DONE and not off_by(told_by(one.figures))
        ),
        None,
    )  # fmt: skip


def _number(value: object) -> float | None:
    try:
        return None if value in (None, "") else float(str(value))
    except ValueError:
        return None
