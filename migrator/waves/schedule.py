"""What is due now, and what waits for what until when: a pure function of the ledger's words about waves and mailboxes.

    PLANNED, SEEDING            at once, not before start_after, and not before the pilot wave is READY
    SYNCING, READY              every_hours after the last pass began; once more when complete_after has come, and at once when
                                somebody decided about its items: an approval may make it READY, a retry wants a try
    LOCKED                      at once, until a final pass ran to its end
    ROUTED, SWEEPING, BACKFILLING   sweep_minutes after the last pass began; no blackout holds them back, late mail is promised
    PAUSED                      again after ten seconds, twenty, forty … an hour at most
    FINAL, HELD, FAILED         a person
    CLOSED                      never

A blackout holds back seeds and deltas; what is under way when it begins ends at its next lot. Intervals are counted in seconds,
so that no clock change makes them longer or shorter; blackouts follow the clock on the wall (``migrator.waves.hours``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from migrator.cutover.table import SWEEP_MINUTES
from migrator.waves.hours import BadHours, Hours, parse_hours
from state.model import AFTER_CUTOVER, MailboxState, PassKind, PassState, stands
from state.plans import WaveRow, WaveState

EVERY_HOURS = 4.0
"""Between the begins of two deltas, where the wave says nothing."""

PRIORITY = 100
"""Of a mailbox whose line names none; 1 goes first."""

_AGAIN, _AGAIN_AT_MOST = 10.0, 3600.0
_MINUTE = 60
_WEEK = 8 * 24 * 60
_PERSON = frozenset({MailboxState.HELD, MailboxState.FAILED})
_SEEDING = frozenset({MailboxState.PLANNED, MailboxState.SEEDING})

HELD_BACK = _SEEDING | {MailboxState.SYNCING, MailboxState.READY}
"""Mailboxes that a blackout of their wave holds back."""

BLACKOUT = "The blackout of its wave."


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePlan:
    """How a wave is to run. Moments are wall-clock seconds."""

    name: str
    state: WaveState = WaveState.OPEN
    start_after: float | None = None
    complete_after: float | None = None
    every_hours: float = EVERY_HOURS
    blackout: Hours | None = None
    pilot: bool = False
    sweep_minutes: float = SWEEP_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mailbox. ``began`` and ``ended`` are of its last pass, ``tries`` how many passes in a row did not come to their end.
    ``decided`` is when somebody last decided about one of its items, ``leased`` until when a process has it; ``here`` says that
    this one does."""

    mailbox_id: int
    wave: str
    source: str
    state: MailboxState
    came_from: MailboxState | None = None
    cause: str = ""
    priority: int = PRIORITY
    start_after: float | None = None
    complete_after: float | None = None
    kind: PassKind | None = None
    passed: PassState | None = None
    began: float | None = None
    ended: float | None = None
    tries: int = 0
    decided: float | None = None
    leased: float = 0.0
    here: bool = False

    @property
    def stands(self) -> MailboxState:
        """The state that counts: where it came from while it is set aside."""
        return stands(self.state, self.came_from)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a mailbox waits for; ``until`` in wall-clock seconds, None if no clock says."""

    mailbox_id: int
    until: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Mailboxes that are due, in the order in which they go; and what all others wait for."""

    due: tuple[int, ...]
    waits: tuple[Wait, ...]

    @property
    def next(self) -> float | None:
        """When the first of those that wait for a clock is due."""
        return min((one.until for one in self.waits if one.until is not None), default=None)


def plan_of(name: str, row: WaveRow | None) -> WavePlan:
    """What the ledger says of a wave; what can't be read of it counts as not said."""
    if row is None:
        return WavePlan(name=name)
    details = row.details
    zone = str(details.get("time_zone", ""))
    try:
        blackout = parse_hours(str(details.get("blackout", "")), zone)
    except BadHours:
        blackout = None
    return WavePlan(
        name=name,
        state=row.state,
        start_after=seconds_of(details.get("start_after")),
        complete_after=seconds_of(details.get("complete_after")),
        every_hours=_number(details.get("every_hours"), EVERY_HOURS),
        blackout=blackout,
        pilot=bool(details.get("pilot", False)),
        sweep_minutes=_number(details.get("sweep_minutes"), SWEEP_MINUTES),
    )


def seconds_of(moment: Any) -> float | None:
    """A moment in ISO 8601 with an offset as wall-clock seconds; None if it is none."""
    try:
        return datetime.fromisoformat(str(moment)).timestamp() if moment else None
    except ValueError:
        return None


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def decide(now: float, plans: Mapping[str, WavePlan], candidates: Iterable[Candidate]) -> Decision:
    """What is due now and what waits, by wave plans under their names."""
    everybody = list(candidates)
    pilots = _unready_pilots(plans, everybody)
    over = {name: light(plan.blackout, now) for name, plan in plans.items() if plan.blackout and plan.blackout.hold(now)}
    due: list[Candidate] = []
    waits: list[Wait] = []
    for one in everybody:
        plan = plans.get(one.wave) or WavePlan(name=one.wave)
        if one.stands is MailboxState.CLOSED or one.here:
            continue
        wait = _wait(now, plan, one, pilots, over)
        if wait is None:
            due.append(one)
        else:
            waits.append(wait)
    due.sort(key=lambda one: _order(one, plans.get(one.wave)))
    return Decision(tuple(one.mailbox_id for one in due), tuple(waits))


def _order(one: Candidate, plan: WavePlan | None) -> tuple[int, bool, int, float, int]:
    """Late mail before final passes before all others; then the pilot, by priority, the longest waiting first."""
    rank = 0 if one.stands in AFTER_CUTOVER else 1 if one.stands is MailboxState.LOCKED else 2
    return (rank, not (plan is not None and plan.pilot), one.priority, one.began or 0.0, one.mailbox_id)


def _unready_pilots(plans: Mapping[str, WavePlan], candidates: Iterable[Candidate]) -> list[str]:
    """Pilot waves that hold the others back: not given up, and with a mailbox that was never READY."""
    before = _SEEDING | {MailboxState.SYNCING}
    names = {name for name, plan in plans.items() if plan.pilot and plan.state is not WaveState.STOPPED}
    return sorted({one.wave for one in candidates if one.wave in names and one.stands in before})


def _wait(now: float, plan: WavePlan, one: Candidate, pilots: list[str], over: Mapping[str, float | None]) -> Wait | None:
    """What the mailbox waits for; None if it is due."""

    def wait(why: str, until: float | None = None) -> Wait:
        return Wait(one.mailbox_id, until, why)

    stands = one.stands
    if one.state in _PERSON:
        return wait(f"It is {one.state.value}: {one.cause or 'no cause is known.'}")
    if plan.state is not WaveState.OPEN:
        verb = "resume" if plan.state is WaveState.PAUSED else "start"
        return wait(f"Its wave is {plan.state.value}; `migrator wave {verb} {plan.name}` lets it go on.")
    if one.leased > now:
        return wait("Another process has it.", one.leased)
    if stands is MailboxState.FINAL:
        return wait(f"Its final pass is through; `migrator cutover ready {plan.name}` says what is next.")
    if stands is MailboxState.LOCKED and (one.kind, one.passed) == (PassKind.FINAL, PassState.DONE):
        return wait(f"Its final pass is through; `migrator cutover ready {plan.name}` says what is next.")
    if (start := _later(plan.start_after, one.start_after)) is not None and now < start and stands not in AFTER_CUTOVER:
        return wait("It starts then.", start)
    if stands in _SEEDING and pilots and one.wave not in pilots and not plan.pilot:
        return wait(f"The pilot wave goes first, until all of {' and '.join(pilots)} is READY.")
    if (again := _again(one)) is not None and now < again:
        return wait(f"It is tried again: {one.cause}" if one.cause else "It is tried again.", again)
    due = _due(now, plan, one)
    if now < due:
        what = "Its next sweep." if stands in AFTER_CUTOVER else "Its next delta."
        return wait(what, due)
    if one.wave in over and stands in HELD_BACK:
        return wait(BLACKOUT, over[one.wave])
    return None


def _later(*moments: float | None) -> float | None:
    return max((one for one in moments if one is not None), default=None)


def _again(one: Candidate) -> float | None:
    """When a pass that did not come to its end is tried again; None if the last one did."""
    if not one.tries or one.passed is PassState.DONE or one.ended is None:
        return None
    return one.ended + min(_AGAIN * 2.0 ** min(one.tries - 1, 10), _AGAIN_AT_MOST)


def _due(now: float, plan: WavePlan, one: Candidate) -> float:
    """When the next pass is due by the clock alone; one that did not come to its end is due already."""
    if one.began is None or one.tries or one.stands in _SEEDING or one.stands is MailboxState.LOCKED:
        return 0.0
    if one.stands in AFTER_CUTOVER:
        return one.began + plan.sweep_minutes * 60
    if one.decided is not None and one.decided > one.began:
        return 0.0
    complete = _later(plan.complete_after, one.complete_after)
    if complete is not None and one.began < complete <= now:
        return complete
    due = one.began + plan.every_hours * 3600
    return due if complete is None or one.began >= complete else min(due, complete)


def minutes_each(sweep_minutes: float, at_once: int, flipped: int) -> float:
    """How long each sweep may take for all of so many mailboxes to be swept in ``sweep_minutes``, so many of them at once."""
    return sweep_minutes * min(1.0, at_once / max(1, flipped))


def light(hours: Hours, now: float) -> float | None:
    """The first whole minute after ``now`` that does not lie in these hours; None if a week holds none."""
    first = (int(now) // _MINUTE + 1) * _MINUTE
    return next((float(at) for at in range(first, first + _WEEK * _MINUTE, _MINUTE) if not hours.hold(at)), None)
