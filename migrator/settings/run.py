"""Carries the settings of one mailbox: reads both sides, plans, and writes what the plan says, one thing at a time.

Before a write leaves, the ledger has it as INTENDED; once the answer is there, as CARRIED. If a run dies in between, or no
answer comes, the next one reads the target first, no earlier than the settle horizon after the intent, and takes what is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from connectors.base import Refusal
from connectors.errors import Unavailable
from connectors.settings import Kind, ReplyState, Rule, Settings, SettingsSource, SettingsTarget
from migrator.settings.planning import counts, plan
from migrator.settings.rules import stored
from migrator.settings.words import (
    AddCategory,
    AddRule,
    Change,
    EnableRule,
    Entry,
    Remembered,
    SetDelivery,
    SetHours,
    SetReply,
    SetZone,
    Surroundings,
    Verdict,
    Wishes,
)
from state.model import Lease, MailboxRow
from state.settings import SettingRow, SettingState
from state.store import Ledger

_DONE = (SettingState.CARRIED, SettingState.SWITCHED)
_TOLD = {
    Verdict.THERE: SettingState.CARRIED,
    Verdict.LISTED: SettingState.LISTED,
    Verdict.SCRIPTED: SettingState.SCRIPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What became of one mailbox's settings. ``source`` is what it has there; ``refused`` how many the target turned down."""

    mailbox: MailboxRow
    source: Settings
    entries: tuple[Entry, ...]
    written: int = 0
    refused: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many are carried, waiting, listed and scripted."""
        return counts(self.entries)


@dataclass(slots=True, kw_only=True)
class Work:
    """What it takes to carry settings: the ledger, who runs this, the operator's wishes, and waits and clocks for tests.

    ``horizon`` is how long after its intent a write can still be carried out, ``lease`` how long a mailbox is held; in seconds.
    """

    ledger: Ledger
    owner: str
    wishes: Wishes = field(default_factory=Wishes)
    horizon: float = 120.0
    lease: float = 60.0
    people: Mapping[str, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time


def look(work: Work, mailbox: MailboxRow, source: SettingsSource, target: SettingsTarget) -> Carried:
    """What would be written; writes nothing anywhere. Raises what the two sides raise."""
    here = source.read()
    there = target.read()
    return Carried(mailbox=mailbox, source=here, entries=plan(here, there, _around(work, mailbox, target)))


def carry(work: Work, mailbox: MailboxRow, source: SettingsSource, target: SettingsTarget) -> Carried:
    """Write what is missing in the target, and keep what became of it.

    Raises LeaseHeld while a pass or another such run is at this mailbox, and what the two sides raise; what is done stays done.
    """
    lease = work.ledger.lease(mailbox.id, work.owner, work.lease)
    try:
        return _carry(work, lease, mailbox, source, target)
    finally:
        work.ledger.release(lease)


def _carry(work: Work, lease: Lease, mailbox: MailboxRow, source: SettingsSource, target: SettingsTarget) -> Carried:
    here = source.read()
    _settle(work, lease)
    there = target.read()
    entries = list(plan(here, there, _around(work, mailbox, target)))
    written = refused = 0
    for number, entry in enumerate(entries):
        if entry.change is None:
            continue
        if work.stop.is_set():
            raise Unavailable("Stopped; what is done stays done, run again.")
        work.ledger.renew(lease, work.lease)
        before = _row(entry, SettingState.INTENDED, work)
        known = {row.key: row for row in work.ledger.settings.rows(mailbox.id)}.get(entry.key)
        # What was carried before is remembered as that while one more thing is done to it.
        if known is None or known.state not in _DONE:
            work.ledger.settings.keep(lease, before)
        done, refusal = _write(target, entry, before, work, lease)
        if refusal is None:
            work.ledger.settings.keep(lease, done)
            written += 1
            continue
        refused += 1
        why = f"the target turned it down: {refusal.detail or refusal.reason} ({refusal.code})"
        entries[number] = replace(entry, verdict=Verdict.LISTED, why=why, waits=False, change=None)
        # It did nothing for certain, so nothing is remembered of it but that.
        kept = known is not None and known.state in _DONE
        work.ledger.settings.keep(lease, known if known and kept else _row(entries[number], SettingState.LISTED, work))
    # What is on as it was wished counts as switched on by us, so that nobody does it again against the user's will.
    told = [_row(one, SettingState.SWITCHED if one.on else _TOLD[one.verdict], work) for one in entries if one.verdict in _TOLD]
    work.ledger.settings.tell(lease, told)
    return Carried(mailbox=mailbox, source=here, entries=tuple(entries), written=written, refused=refused)


def _settle(work: Work, lease: Lease) -> None:
    """Wait until what was under way when an earlier run ended has happened, if it ever does."""
    rows = work.ledger.settings.rows(lease.mailbox_id)
    latest = max((row.at for row in rows if row.state is SettingState.INTENDED), default=0.0)
    while (left := latest + work.horizon - work.clock()) > 0:
        work.ledger.renew(lease, work.lease)
        if work.stop.wait(min(left, work.lease / 4)):
            raise Unavailable("Stopped; what is done stays done, run again.")


def _around(work: Work, mailbox: MailboxRow, target: SettingsTarget) -> Surroundings:
    folders: dict[str, str] = {}
    for row in work.ledger.folders(mailbox.id):
        if row.target_id:
            folders[row.source_id] = row.target_id
            if row.role:
                folders[row.role] = row.target_id
    remembered = {
        row.key: Remembered(row.target, row.stored, row.state is SettingState.SWITCHED)
        for row in work.ledger.settings.rows(mailbox.id)
        if row.state in _DONE
    }
    return Surroundings(
        abilities=target.abilities,
        now=datetime.fromtimestamp(work.clock(), UTC),
        folders=folders,
        people=work.people,
        remembered=remembered,
        wishes=work.wishes,
    )


def _write(
    target: SettingsTarget, entry: Entry, before: SettingRow, work: Work, lease: Lease
) -> tuple[SettingRow, Refusal | None]:
    """Do one thing; the row that says so, and the refusal if the target turned it down."""
    row = replace(before, state=SettingState.CARRIED, at=work.clock())
    change = entry.change
    match change:
        case AddRule():
            made = target.add_rule(change.rule)
            if isinstance(made, Refusal):
                return row, made
            row = replace(row, target=made.id, stored=stored(made.content()))
            if not change.enable:
                return row, None
            # Kept before the second step, so that a run that dies here finds the rule as its own.
            work.ledger.settings.keep(lease, row)
            return _switched(target, made, row)
        case EnableRule():
            return _switched(target, change.rule, replace(row, target=change.rule.id, stored=stored(change.rule.content())))
        case SetReply():
            refusal = target.set_reply(change.reply)
            switched = refusal is None and change.reply.state is not ReplyState.OFF
            return replace(row, state=SettingState.SWITCHED) if switched else row, refusal
        case None:
            raise AssertionError("nothing to write")
        case _:
            return row, _plain(target, change)


def _switched(target: SettingsTarget, rule: Rule, row: SettingRow) -> tuple[SettingRow, Refusal | None]:
    refusal = target.enable_rule(rule)
    if refusal is None:
        return replace(row, state=SettingState.SWITCHED, waits=False), None
    why = f"the target did not switch it on: {refusal.detail} ({refusal.code})"
    return replace(row, why=why, waits=True), None


def _plain(target: SettingsTarget, change: Change) -> Refusal | None:
    match change:
        case AddCategory():
            return target.add_category(change.category)
        case SetHours():
            return target.set_hours(change.hours)
        case SetZone():
            return target.set_zone(change.zone)
        case SetDelivery():
            return target.set_delivery(change.delivery)
        case _:
            raise AssertionError(change)


_PRIVATE = (Kind.PERMISSION, Kind.DELEGATE)
"""Kinds whose names hold addresses of other people, which the ledger does not keep."""


def _row(entry: Entry, state: SettingState, work: Work) -> SettingRow:
    return SettingRow(
        key=entry.key,
        kind=entry.kind.value,
        name="" if entry.kind in _PRIVATE else entry.name,
        state=state,
        why=entry.why,
        waits=entry.waits,
        at=work.clock(),
    )


def people_of(mailboxes: Sequence[MailboxRow]) -> dict[str, str]:
    """Target addresses by source address in lower case."""
    return {row.source.casefold(): row.target for row in mailboxes}
