"""What operators do in a cutover: begin it, withdraw, confirm a step, roll back, close. ``migrator.cutover.table`` decides.

Every act is written down with who and why. Nothing here writes to a source or to a target; a roll-back reads the target.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import Entry
from migrator.config import BadInput
from migrator.cutover import table as cutover
from migrator.cutover.arrivals import SIGHT, Look, seen_of
from migrator.cutover.positions import SIGHT as KEPT
from migrator.cutover.positions import WITHDRAWN, advance, answers_of, positions, remember, steps_now, stopped
from migrator.cutover.readiness import Readiness, readiness
from migrator.cutover.table import AFTER_FLIP, BEFORE_FLIP, UNDER_WAY, Position
from migrator.engine.steps import AFTER_FLIP as AFTER_FLIP_REASON
from migrator.errors.vault import make_private
from migrator.probe.answers import known_of
from migrator.settings.scripts import file_name
from migrator.sheets import write_csv
from state.model import ASIDE, ItemState, Lease, LeaseHeld, MailboxRow, MailboxState, Mark, Step, stands
from state.plans import WaveState
from state.store import Ledger


def page(
    ledger: Ledger,
    wave: str,
    rows: Sequence[MailboxRow],
    at_once: int,
    apps: int = 1,
    scores: Mapping[int, str] | None = None,
) -> Readiness:
    """The page before a cutover. ``apps`` carry the mailboxes, ``at_once`` of them together. ``scores`` says which mailboxes may
    not complete by the scoring rule, and why."""
    # Where mailboxes share what may be under way at once, only those of another app have something for themselves.
    apart = apps if known_of(ledger.plans.answers(), "").shared else None
    why = stopped(ledger.plans.waves().get(wave))
    return readiness(wave, positions(ledger, rows, scores=scores), stopped=why, at_once=at_once, apart=apart)


def keep_ttls(ledger: Ledger, rows: Iterable[MailboxRow], ttls: Mapping[str, int]) -> None:
    """Remember the largest TTL that was ever seen of the old routing of each mailbox's domain, before it flips."""
    before = {sight.mailbox_id: sight.about for sight in ledger.plans.observed(KEPT)}
    for row in rows:
        ttl = ttls.get(row.source.rpartition("@")[2].casefold(), 0)
        if ttl > float(before.get(row.id, {}).get("old_ttl", 0)):
            remember(ledger, row.id, old_ttl=ttl)


# -- forwards


def lock(ledger: Ledger, wave: str, one: Position, who: str) -> tuple[str, ...]:
    """Take the edge to LOCKED, or say why not."""
    why = cutover.hindrances(cutover.edge("lock", MailboxState.READY), one)
    if not why:
        try:
            with _held(ledger, one.mailbox_id):
                ledger.move_mailbox(one.mailbox_id, MailboxState.LOCKED, "")
        except LeaseHeld:
            return (BUSY,)
        ledger.plans.act(who, "locked", wave=wave, mailbox_id=one.mailbox_id)
    return why


BUSY = "A pass has it just now; run this again once that has ended."


@contextmanager
def _held(ledger: Ledger, mailbox_id: int) -> Iterator[Lease]:
    """Keep passes away while a person moves a mailbox: one that is under way would meet a state that it did not leave behind.

    Raises LeaseHeld while one is.
    """
    lease = ledger.lease(mailbox_id, f"an operator:{os.getpid()}", _LEASE)
    try:
        yield lease
    finally:
        ledger.release(lease)


def withdraw(ledger: Ledger, row: MailboxRow, who: str, why: str) -> MailboxRow:
    """Take a mailbox out of its wave's cutover, before its mail flips: it goes on as SYNCING. Raises BadInput after that, and
    LeaseHeld while a pass has it."""
    stood = stands(row.state, row.came_from)
    if stood in AFTER_FLIP or stood is MailboxState.CLOSED:
        raise BadInput(
            f"{row.source} is {stood.value}: its mail goes to the target, so `migrator cutover rollback` takes it back."
        )
    if stood in BEFORE_FLIP:
        with _held(ledger, row.id):
            row = _back(ledger, row, "Withdrawn from the cutover; run the kit's unlock script for it.")
    _void_lock(ledger, row, who)
    ledger.plans.observe(row.id, WITHDRAWN, {"wave": row.wave, "why": why})
    ledger.plans.act(who, "mailbox withdrawn", wave=row.wave, mailbox_id=row.id, why=why)
    return row


def take_in_again(ledger: Ledger, row: MailboxRow, who: str) -> None:
    """Let a mailbox that was withdrawn take part again."""
    ledger.plans.observe(row.id, WITHDRAWN, {})
    ledger.plans.act(who, "mailbox taken in again", wave=row.wave, mailbox_id=row.id)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What confirming a step did: the mailboxes that it was said of, as they stand now, and those left out with the reason."""

    rows: tuple[MailboxRow, ...]
    left: tuple[tuple[MailboxRow, str], ...]


def confirm(
    ledger: Ledger, rows: Iterable[MailboxRow], step: str, result: str, who: str, why: str, *, dry_run: bool = False
) -> Confirmed:
    """Write down that a step was done, failed or was undone for these, and take the edges that this makes free.

    That mail is routed is only taken of mailboxes whose final pass is done: for others it would lose mail that nobody looks for.
    """
    said, left = [], []
    for row in rows:
        [one] = positions(ledger, [row])
        if one.withdrawn and result == cutover.DONE:
            left.append((row, "It is withdrawn from this cutover."))
            continue
        if step == cutover.ROUTE and result == cutover.DONE and one.stands not in UNDER_WAY - {MailboxState.LOCKED}:
            left.append((row, f"It is {row.state.value}: its final pass is not done, so its mail must not go to the target yet."))
            continue
        if not dry_run:
            ledger.plans.confirm(row.id, step, who, result, why)
            ledger.plans.act(who, f"{step} {result}", wave=row.wave, mailbox_id=row.id, why=why)
            row = moved_on(ledger, row)
        said.append(row)
    return Confirmed(tuple(said), tuple(left))


def moved_on(ledger: Ledger, row: MailboxRow) -> MailboxRow:
    """The mailbox after every edge that is free by itself, with what keeps it there as its cause. A pass that has it does so."""
    if row.state not in UNDER_WAY:
        return row
    try:
        with _held(ledger, row.id):
            row, why = advance(ledger, ledger.mailbox(row.id))
            return ledger.move_mailbox(row.id, row.state, why)
    except LeaseHeld:
        return row


# -- the way back


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One item that reached a target and that no row of the ledger owns. ``file`` is where its content was written, if at all."""

    mailbox: str
    folder: str
    item_id: str
    item_class: str
    when: str
    size: int
    file: str = ""


def reached_since(ledger: Ledger, row: MailboxRow, look: Look, since: float) -> Iterator[Reached]:
    """What the target holds that the source never had, since then; an item without any date counts too."""
    batch: list[tuple[str, Entry]] = []

    def strangers() -> Iterator[Reached]:
        owned = ledger.owners(row.id, [entry.id for _, entry in batch])
        for path, entry in batch:
            dates = [each for each in (entry.facts.received, entry.facts.submitted, entry.facts.created) if each]
            newest = max(dates, default=None)
            if entry.id not in owned and (newest is None or newest.timestamp() >= int(since)):
                when = newest.astimezone(UTC).isoformat(timespec="seconds") if newest else ""
                yield Reached(
                    mailbox=row.source, folder=path, item_id=entry.id, item_class=entry.facts.item_class,
                    when=when, size=entry.facts.size,
                )  # fmt: skip

    for found in look.everything():
        batch.append(found)
        if len(batch) == 5000:
            yield from strangers()
            batch.clear()
    yield from strangers()


def since_when(one: Position) -> float | None:
    """From when on what reaches a target is nobody's but its owner's: the last final pass, or the routing where that came first.

    Before the flip it is when the last clean pass began, because a rehearsal has no other moment; None without one.
    """
    moments = [each for each in (one.final, one.routed) if each is not None]
    if moments:
        return min(moments)
    return None if one.behind is None else one.now - one.behind


def export(folder: Path, items: Sequence[Reached], look: Look | None, start: int = 0) -> list[Reached]:
    """With ``look`` write each message as .eml into the folder, numbered from ``start``; the items, with their files. Raises
    BadInput. Content is written only here, because the operator asked for it and named the folder."""
    if look is None:
        return list(items)
    written = []
    try:
        for number, one in enumerate(items, start + 1):
            content = look.content(one.item_id)
            if content is not None:
                place = folder / file_name(one.mailbox)
                if not place.is_dir():
                    place.mkdir(parents=True)
                    make_private(place)
                file = place / f"{number:05}.eml"
                file.write_bytes(content)
                one = replace(one, file=f"{place.name}/{file.name}")
            written.append(one)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return written


LIST, READERS = "reached-the-target.csv", "readers.csv"


def write_list(folder: Path, items: Iterable[Reached]) -> None:
    """Write the list of what reached the targets. Raises BadInput."""
    heading = ("mailbox", "folder", "class", "date", "bytes", "file", "id")
    rows = [(one.mailbox, one.folder, one.item_class, one.when, one.size, one.file, one.item_id) for one in items]
    _write(folder, LIST, heading, rows)


def write_readers(folder: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write who read which mailbox and when. Raises BadInput."""
    _write(folder, READERS, ("mailbox", "account", "app", "pass", "began", "ended"), rows)


def _write(folder: Path, name: str, heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / name, heading, rows)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> BadInput:
    return BadInput(f"{folder} can't be written ({error.strerror}); name another folder with --to.")


def roll_back(ledger: Ledger, one: Position, row: MailboxRow, who: str, why: str, reached: int) -> MailboxRow:
    """Put a mailbox back to SYNCING, and out of its wave's cutover until somebody takes it in again. Raises LeaseHeld while a
    pass has it."""
    with _held(ledger, row.id) as lease:
        row = _back(ledger, row, "Rolled back; its owner works at the source again, once the kit's unlock script has run.")
        _void_lock(ledger, row, who)
        _take_up(ledger, row, lease)
    ledger.plans.observe(row.id, WITHDRAWN, {"wave": row.wave, "why": why})
    ledger.plans.act(
        who, "rolled back", wave=row.wave, mailbox_id=row.id, why=why, came_from=one.stands.value, reached=reached
    )  # fmt: skip
    return row


def may_roll_back(one: Position) -> str:
    """Why a mailbox may not be rolled back now, in a sentence; empty if it may."""
    if one.stands not in UNDER_WAY:
        return f"{one.address} is {one.stands.value}: there is nothing to take back."
    if cutover.ROUTE in one.confirmed:
        return (
            f"The mail of {one.address} still goes to the target: put its route back first, then import the script's result, or"
            f" say `migrator cutover confirm WAVE route {one.address} --result undone`."
        )
    return ""


def _take_up(ledger: Ledger, row: MailboxRow, lease: Lease) -> None:
    """Put what sweeps left undone because of the cutover on the work list again: the source is what counts now."""
    left = [pair for pair in ledger.open_rows(row.id, {ItemState.DONE}) if pair[1].reason == AFTER_FLIP_REASON]
    for at in range(0, len(left), _AT_ONCE):
        steps = [
            Step(
                item,
                msgspec.structs.replace(item, state=ItemState.LISTED, marks=item.marks & ~Mark.TARGET_WINS),
                msgspec.structs.replace(opened, reason="", detail="", code=""),
            )
            for item, opened in left[at : at + _AT_ONCE]
        ]
        ledger.settle(lease, steps)


_LEASE = 60.0
_AT_ONCE = 500


def _void_lock(ledger: Ledger, row: MailboxRow, who: str) -> None:
    """Whether its source is still locked or not: the next cutover wants it said anew."""
    done, _ = steps_now(ledger.plans.confirmations(row.id))
    if cutover.LOCK in done:
        ledger.plans.confirm(row.id, cutover.LOCK, who, cutover.UNDONE, "the mailbox goes back to its source")


def _back(ledger: Ledger, row: MailboxRow, cause: str) -> MailboxRow:
    if row.state in ASIDE and row.came_from is not None:
        row = ledger.move_mailbox(row.id, row.came_from, "")
    return ledger.move_mailbox(row.id, MailboxState.SYNCING, cause)


# -- the close


def answer(ledger: Ledger, wave: str, answers: Mapping[str, str], who: str) -> Mapping[str, Any]:
    """Keep answers to the questions of the close; all that there are then. Raises BadInput for a key that is no question."""
    unknown = next((key for key in answers if key not in cutover.QUESTIONS), None)
    if unknown is not None:
        raise BadInput(f"{unknown} is no question of a close; they are {', '.join(cutover.QUESTIONS)}.")
    said = ledger.plans.waves().get(wave)
    kept = dict(answers_of(said))
    if not answers:
        return kept
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept |= {key: {"answer": text, "who": who, "at": now} for key, text in answers.items()}
    details = {**(said.details if said else {}), "close": kept}
    ledger.plans.keep_wave(wave, said.state if said else WaveState.OPEN, details)
    ledger.plans.act(who, "close answered", wave=wave, keys=sorted(answers))
    return kept


def readers(ledger: Ledger, rows: Iterable[MailboxRow], account: str, app: str) -> list[tuple[str, str, str, str, str, str]]:
    """Who read which mailbox and when: a line a pass, as mailbox, account, app, kind, began, ended."""
    lines = []
    for row in rows:
        for one in reversed(ledger.passes(row.id)):
            ended = "" if one.ended is None else _moment(one.ended)
            lines.append((row.source, account, app, one.kind.value, _moment(one.started), ended))
    return lines


def still_delivering(ledger: Ledger, rows: Iterable[MailboxRow]) -> Counter[str]:
    """Late mail by the host that delivered it to the old side, over these mailboxes."""
    wanted = {row.id for row in rows}
    hosts: Counter[str] = Counter()
    for sight in ledger.plans.observed(SIGHT):
        if sight.mailbox_id in wanted:
            hosts.update(sight.about.get("late", {}))
    return hosts


def arrivals(ledger: Ledger) -> dict[int, dict[str, Any]]:
    """What was seen to arrive, by mailbox."""
    return {sight.mailbox_id: seen_of(sight.about) for sight in ledger.plans.observed(SIGHT)}


def close(ledger: Ledger, rows: Sequence[MailboxRow], who: str) -> tuple[list[MailboxRow], list[tuple[MailboxRow, str]]]:
    """Close what may be closed; those mailboxes, and the others with what keeps each open."""
    closed, left = [], []
    for row in rows:
        row = moved_on(ledger, row)
        [one] = positions(ledger, [row])
        if one.stands is MailboxState.CLOSED or one.withdrawn:
            continue
        way = cutover.next_edge(one)
        if way is None or way.name != "close":
            keeps = cutover.hindrances(way, one) if way else ()
            left.append((row, " ".join(keeps) or f"It is {row.state.value}, and not cut over."))
        elif why := cutover.hindrances(way, one):
            left.append((row, " ".join(why)))
        else:
            try:
                with _held(ledger, row.id):
                    row = ledger.move_mailbox(row.id, MailboxState.CLOSED, "")
            except LeaseHeld:
                left.append((row, BUSY))
                continue
            ledger.plans.act(who, "closed", wave=row.wave, mailbox_id=row.id)
            closed.append(row)
    return closed, left


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
