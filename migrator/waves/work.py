"""What operators do with waves: look at them, start, pause, resume and stop them, move mailboxes, and try failed ones again.

Every act is written down with who and why. Nothing here asks a server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.config import BadInput
from migrator.waves.columns import Unfit, moment_of, near, wave_name_of
from migrator.waves.hours import BadHours, parse_hours, parse_zone
from migrator.waves.schedule import WavePlan, plan_of
from state.model import AFTER_CUTOVER, MailboxRow, MailboxState, stands
from state.plans import WaveRow, WaveState
from state.store import Ledger

TRIED_AGAIN = frozenset({MailboxState.HELD, MailboxState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One wave and its mailboxes, whether somebody ever said something about it or not."""

    plan: WavePlan
    details: Mapping[str, Any]
    mailboxes: tuple[MailboxRow, ...]

    @property
    def states(self) -> Counter[MailboxState]:
        """How many mailboxes stand where."""
        return Counter(row.state for row in self.mailboxes)


def waves_of(ledger: Ledger) -> list[Wave]:
    """All waves, in the order in which their first mailbox was planned; those without any at the end."""
    rows = ledger.mailboxes()
    said = ledger.plans.waves()
    names = list(dict.fromkeys([*(row.wave for row in rows), *said]))
    return [_wave(name, said.get(name), [row for row in rows if row.wave == name]) for name in names]


def _wave(name: str, said: WaveRow | None, rows: Sequence[MailboxRow]) -> Wave:
    return Wave(plan=plan_of(name, said), details=said.details if said else {}, mailboxes=tuple(rows))


def wave_named(ledger: Ledger, name: str) -> Wave:
    """The wave of that name, whatever the case of its letters. Raises BadInput."""
    waves = waves_of(ledger)
    for one in waves:
        if one.plan.name.casefold() == name.casefold():
            return one
    known = [one.plan.name for one in waves]
    mend = near(name, known) or ("the waves are " + ", ".join(known[:10]) + "." if known else "`migrator wave import` plans one.")
    raise BadInput(f"The ledger has no wave called {name}; {mend}")


def mailboxes_named(ledger: Ledger, names: Sequence[str]) -> list[MailboxRow]:
    """The mailboxes of these addresses and waves. Raises BadInput."""
    from migrator.waves.file import select

    return select(ledger.mailboxes(), names, "The ledger")


# -- the schedule


def schedule_of(
    before: Mapping[str, Any],
    *,
    time_zone: str | None = None,
    start_after: str | None = None,
    complete_after: str | None = None,
    every_hours: float | None = None,
    blackout: str | None = None,
    sweep_minutes: float | None = None,
    sweep_hours: float | None = None,
    pilot: bool | None = None,
) -> dict[str, Any]:
    """A wave's details with what the command line says; None leaves as it is, an empty text takes away. Raises BadInput."""
    details = dict(before)
    zone = details.get("time_zone", "") if time_zone is None else time_zone
    try:
        parse_zone(str(zone))
    except BadHours as error:
        raise BadInput(f"--time-zone {error}.") from None
    hours = details.get("blackout", "") if blackout is None else blackout
    try:
        parse_hours(str(hours), str(zone))
    except BadHours as error:
        raise BadInput(f"--blackout {error}.") from None
    given: dict[str, Any] = {"time_zone": zone, "blackout": hours}
    for name, text in (("start_after", start_after), ("complete_after", complete_after)):
        if text is None:
            continue
        try:
            given[name] = moment_of(text, str(zone)).isoformat(timespec="minutes") if text else ""
        except Unfit as error:
            raise BadInput(f"--{name.replace('_', '-')} {error}.") from None
    for name, number in (("every_hours", every_hours), ("sweep_minutes", sweep_minutes), ("sweep_hours", sweep_hours)):
        if number is not None:
            given[name] = number
    if pilot is not None:
        given["pilot"] = pilot
    for name, value in given.items():
        if value == "" or value is False:
            details.pop(name, None)
        else:
            details[name] = value
    return details


def start(ledger: Ledger, wave: Wave, details: Mapping[str, Any], who: str, why: str) -> None:
    """Let a wave run, by this schedule."""
    name = wave.plan.name
    ledger.plans.keep_wave(name, WaveState.OPEN, details)
    ledger.plans.act(who, "wave start", wave=name, why=why, details=dict(details), mailboxes=len(wave.mailboxes))


def put(ledger: Ledger, wave: Wave, state: WaveState, verb: str, who: str, why: str) -> bool:
    """Pause, resume or stop a wave; False if it is so already. What is under way anywhere ends at its next lot."""
    if wave.plan.state is state:
        return False
    ledger.plans.keep_wave(wave.plan.name, state, wave.details)
    ledger.plans.act(who, f"wave {verb}", wave=wave.plan.name, why=why, mailboxes=len(wave.mailboxes))
    return True


def late_mail_waits(wave: Wave) -> list[MailboxRow]:
    """Mailboxes of a wave whose mail goes to the target: as long as it does not run, what still comes to the old side waits."""
    flipped = AFTER_CUTOVER - {MailboxState.CLOSED}
    return [row for row in wave.mailboxes if stands(row.state, row.came_from) in flipped]


# -- mailboxes


def move(ledger: Ledger, rows: Sequence[MailboxRow], into: str, who: str, why: str) -> int:
    """Put mailboxes into another wave, which may be a new one; how many were not in it already. Raises BadInput."""
    try:
        new = wave_name_of(into)
    except Unfit as error:
        raise BadInput(f"--into: a wave {error}.") from None
    name = next((one.plan.name for one in waves_of(ledger) if one.plan.name.casefold() == new.casefold()), new)
    moved = [row for row in rows if row.wave != name]
    for row in moved:
        ledger.plans.regroup(row.id, name)
        ledger.plans.act(who, "wave move", wave=name, mailbox_id=row.id, why=why, before=row.wave)
    return len(moved)


def retry(ledger: Ledger, rows: Sequence[MailboxRow], who: str, why: str, into: str = "") -> list[MailboxRow]:
    """Let mailboxes that are HELD or FAILED go on where they stopped, in another wave if one is named; which these were."""
    again = [row for row in rows if row.state in TRIED_AGAIN and row.came_from is not None]
    if into:
        move(ledger, again, into, who, why)
    for row in again:
        assert row.came_from is not None
        ledger.move_mailbox(row.id, row.came_from, "")
        ledger.plans.act(who, "wave retry", wave=into or row.wave, mailbox_id=row.id, why=why, state=row.state.value)
    return [ledger.mailbox(row.id) for row in again]
