"""``show``, ``trace``, ``redo`` and ``mailbox undo``: what people ask about one mailbox on the morning after."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.words import HELD, Words, global_options, pass_words, say_json, say_lines
from migrator.counts import items

if TYPE_CHECKING:
    from connectors.base import Destination, Source
    from migrator.config import Config
    from migrator.engine.crew import Crew
    from migrator.engine.tenure import Tenure
    from migrator.monday.tracing import Wanted
    from migrator.monday.undo import Sorted, Undone
    from state.model import MailboxRow
    from state.store import Ledger


_LAST_DAY = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


@click.command("show", short_help="Show everything about one mailbox.")
@click.argument("user")
@global_options()
@pass_words
def show(words: Words, user: str) -> int:
    """Print everything about one mailbox on one screen. Asks no server.

    USER is its source or its target address.

    \b
    Examples:
      migrator show anna@example.com
      migrator show anna@example.com --json
    """
    from migrator.monday.person import gather, lines
    from migrator.scoring import read_rule

    config = words.load()
    rule = read_rule(config.errors.scoring)
    with _ledger(config) as ledger:
        told = gather(ledger, _mailbox(ledger, user), rule)
    if words.json:
        say_json({**told, "exit_code": 0})
    else:
        say_lines(*lines(told))
    return 0


@click.command("trace", short_help="Say where an item is, and what became of it.")
@click.argument("user")
@click.option("--message-id", default="", help="Its message id, with or without the brackets.")
@click.option("--eml", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A saved copy of it.")
@click.option("--from", "since", default="", metavar="TIME", help="Everything of a time: 2026-11-23, or 2026-11-23T14:00.")
@click.option("--to", "until", default="", metavar="TIME", help="With --from: up to then.  [default: a day later]")
@global_options()
@pass_words
def trace(words: Words, user: str, message_id: str, eml: Path | None, since: str, until: str) -> int:
    """Say where an item was, where it is now, and what moved or deleted it since, or why it was refused. Never writes.

    Asks both servers now. Times without a zone are those of this machine.

    \b
    Examples:
      migrator trace anna@example.com --message-id CAF123@mail.example.com
      migrator trace anna@example.com --eml ./lost.eml
      migrator trace anna@example.com --from 2026-11-23T14:00 --to 2026-11-23T15:00
    """
    from migrator.monday.tracing import MOST, Wanted, trace, wanted_by_file

    if sum((bool(message_id), eml is not None, bool(since))) != 1:
        raise click.UsageError("Say what is looked for by one of --message-id, --eml and --from.")
    if until and not since:
        raise click.UsageError("--to is for --from; add --from, or leave --to out.")
    wanted: Wanted
    if eml is not None:
        wanted = wanted_by_file(eml)
    elif message_id:
        wanted = Wanted(message_id)
    else:
        start = _time("--from", since)
        wanted = Wanted(since=start, until=_time("--to", until) if until else min(start, _LAST_DAY) + timedelta(days=1))
    config = words.load()
    with _ledger(config) as ledger:
        row = _mailbox(ledger, user)
        with _both(words, config, ledger, row) as (source, destination, _stop):
            trails, total = trace(ledger, row, source, destination, wanted)
    if words.json:
        say_json({"mailbox": row.source, "items": [asdict(one) for one in trails], "total": total, "exit_code": 0})
    elif not trails:
        say_lines(
            f"Neither side of {row.source} shows it now, and the ledger has nothing open about it."
            " What is deleted for good on both sides can't be traced; look into Recoverable Items in the target."
        )
    else:
        for one in trails:
            say_lines(
                f"{one.when or 'no date'}  {one.item_class}" + (f"  {one.key[:8]}" if one.key else ""),
                f"  source  {one.source or '-'}",
                f"  target  {one.target or '-'}",
                f"  {one.sentence}",
            )
        if total > len(trails):
            say_lines(f"{total - len(trails):,} more; name a shorter time (at most {MOST} are told).")
    return 0


@click.command("redo", short_help="Carry again what is missing in a folder of the target.")
@click.argument("user")
@click.option("--folder", default="", metavar="PATH", help="This folder and all below it.  [default: the whole mailbox]")
@click.option("--why", default="", help="A sentence for the record.")
@click.option("--who", default="", help="Who wants it, instead of this account and host.")
@click.option("--dry-run", is_flag=True, help="Look only, and say what would be carried again.")
@global_options()
@pass_words
def redo(words: Words, user: str, folder: str, why: str, who: str, dry_run: bool) -> int:
    """Carry again what the target no longer has, and only that: nothing comes twice, nothing is changed or removed there.

    What its user moved to another folder of the target is there, and stays there. The source has to have the items still.

    \b
    Examples:
      migrator redo anna@example.com --folder Inbox/Projects --dry-run
      migrator redo anna@example.com --folder Inbox/Projects --why "deleted by mistake"
    """
    from migrator.errors.work import who_am_i
    from migrator.monday.redo import choose
    from migrator.monday.redo import redo as put_back
    from migrator.status import WIDTH, lay_out

    config = words.load()
    with _ledger(config) as ledger:
        row = _mailbox(ledger, user)
        chosen = choose(ledger, row.id, folder)
        with _both(words, config, ledger, row) as (source, destination, _stop), _tenure(config, ledger, row) as tenure:
            told = put_back(ledger, tenure, source, destination, chosen, dry_run=dry_run)
        again, found, lost = (sum(getattr(one, word) for one in told) for word in ("again", "found", "lost"))
        if not dry_run and again + found:
            about = {"folder": folder, "again": again, "found": found}
            ledger.plans.act(who or who_am_i(), "redo", wave=row.wave, mailbox_id=row.id, why=why, **about)
    if not words.json:
        cells = [
            (one.folder, f"{one.rows:,}", f"{one.there:,}", f"{one.found:,}", f"{one.again:,}", f"{one.lost:,}") for one in told
        ]
        heading = ("FOLDER", "CARRIED", "THERE", "FOUND", "AGAIN", "LOST")
        say_lines(*lay_out(heading, cells, WIDTH, left=frozenset({0}), limits={0: 50}))
        say_lines("", _redone(again, found, lost, dry_run))
    endings: list[Any] = []
    if again and not dry_run:
        from migrator.commands.carry import carry, endings_table

        endings = carry(config, [row.source], quiet=words.json)
        if not words.json:
            say_lines(*endings_table(endings))
    code = max((one.code for one in endings), default=0)
    if words.json:
        say_json({"mailbox": row.source, "folders": [asdict(one) for one in told], "dry_run": dry_run, "exit_code": code})
    return code


def _redone(again: int, found: int, lost: int, dry_run: bool) -> str:
    if not again + found + lost:
        return "Nothing is missing."
    would = "would be" if dry_run else "are"
    parts = [f"{again:,} items {would} carried again"]
    if found:
        parts.append(f"{found:,} were found elsewhere in the target and {would} taken over")
    if lost:
        parts.append(f"{lost:,} are gone from the source too and can't be carried")
    return "; ".join(parts) + "."


@click.group("mailbox", short_help="Acts upon one mailbox.")
@global_options()
def mailbox() -> None:
    """Acts upon one mailbox.

    \b
    Example:
      migrator mailbox undo anna@example.com
    """


@mailbox.command("undo", short_help="Take back what was brought into a target mailbox, before cutover.")
@click.argument("user")
@click.option("--dry-run", is_flag=True, help="Look at every copy and say what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Remove it without asking.")
@click.option("--why", default="", help="A sentence for the record.")
@click.option("--who", default="", help="Who wants it, instead of this account and host.")
@global_options()
@pass_words
def undo(words: Words, user: str, dry_run: bool, yes: bool, why: str, who: str) -> int:
    """Remove from a target mailbox what was brought there and nobody touched since. Before cutover only.

    What was there before stays, and so does what its user changed or moved, and what can't be removed without risking an e-mail.
    Ends with a proof: the target is listed again, and of what was removed nothing may be left. It may be stopped and repeated.

    \b
    Examples:
      migrator mailbox undo anna@example.com --dry-run
      migrator mailbox undo anna@example.com --yes --why "wrong target"
    """
    from migrator.errors.work import who_am_i
    from migrator.monday.undo import may_be_undone, sort
    from migrator.monday.undo import undo as take_back
    from state.model import MailboxState

    config = words.load()
    done: Undone | None = None
    with _ledger(config) as ledger:
        row = _mailbox(ledger, user)
        may_be_undone(row)
        with _both(words, config, ledger, row) as (source, destination, stop), _tenure(config, ledger, row) as tenure:
            crew = _crew(config, ledger, tenure, source, destination, stop)
            found = sort(crew)
            if not words.json:
                say_lines(*_undoing(row, found))
            if not dry_run:
                if not yes:
                    click.confirm(f"Remove {found.ours:,} items from {row.target}? This can't be undone", abort=True)
                by = who or who_am_i()
                ledger.plans.act(by, "mailbox undo", wave=row.wave, mailbox_id=row.id, why=why, items=found.ours)
                destination.guard(tenure.may_leave)
                ledger.move_mailbox(row.id, MailboxState.HELD, f"What was brought is being taken back by {by}.")
                done = take_back(crew)
                cause = (
                    f"Taken back by {by}: {done.removed:,} items are removed, {done.left:,} stay. Run it again to begin anew,"
                    " or take it out of its wave."
                )
                ledger.move_mailbox(row.id, MailboxState.HELD, cause)
    code = HELD if done is not None and (done.still_there or done.reasons.get("refused")) else 0
    if words.json:
        outcome = asdict(done) if done else None
        say_json({"mailbox": row.source, "found": asdict(found), "done": outcome, "dry_run": dry_run, "exit_code": code})
    elif done is not None:
        say_lines(
            f"{items(done.removed)} removed, {done.left:,} left alone.",
            f"Proof: the target was asked for each item that was removed, and listed in {done.folders} folders:"
            f" {done.still_there:,} of them are there still.",
        )
    return code


def _undoing(row: MailboxRow, found: Sorted) -> list[str]:
    told = [
        (found.ours, "were brought and nobody touched them: they go"),
        (found.gone, "are gone from the target already"),
        (found.touched, "were changed or moved in the target: they stay"),
        (found.adopted, "were there before: they stay"),
        (found.unknown, "can't be told from touched ones: they stay"),
        (found.could_tell, "can't be removed without the risk of an e-mail: they stay"),
    ]
    return [f"{row.target}:", *(f"  {number:>9,} items {what}" for number, what in told if number or what.endswith("they go"))]


def _time(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):  # no time, beyond the calendar, beyond the clock of Windows
        raise click.UsageError(f"{option} {text} is no time; write 2026-11-23, or 2026-11-23T14:00.") from None


def _ledger(config: Config) -> Ledger:
    from migrator import app
    from migrator.commands.look import need_ledger

    need_ledger(config)
    return app.open_ledger(config)


def _mailbox(ledger: Ledger, user: str) -> MailboxRow:
    """The mailbox of a source or target address. Raises BadInput."""
    from migrator.waves.file import select

    rows = ledger.mailboxes()
    wanted = user.casefold()
    found = [row for row in rows if row.source.casefold() == wanted] or [row for row in rows if row.target.casefold() == wanted]
    if not found:
        select([row for row in rows if row.wave.casefold() != wanted], [user], "The ledger")
    return found[0]


@contextmanager
def _both(words: Words, config: Config, ledger: Ledger, row: MailboxRow) -> Iterator[tuple[Source, Destination, threading.Event]]:
    """Both sides of one mailbox, and what stops everything between two steps."""
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals

    words.start_log()
    stop = threading.Event()
    try:
        with (
            app.Connected(config, stop, memory=app.Hints(ledger)) as connectors,
            stop_on_signals(stop),
            closing(connectors.source(row, stop)) as source,
            closing(connectors.destination(row, stop)) as destination,
        ):
            yield source, destination, stop
    finally:
        logs.take_down()


@contextmanager
def _tenure(config: Config, ledger: Ledger, row: MailboxRow) -> Iterator[Tenure]:
    """The right to change one mailbox's rows. Raises LeaseHeld while a pass runs."""
    from migrator import app
    from migrator.engine.tenure import Tenure, kept_alive

    began = time.time()
    lease = ledger.lease(row.id, app.owner(), config.run.lease)
    tenure = Tenure(ledger, lease, config.run.lease, config.target.timeout, began)
    try:
        # A look at a large mailbox, a question to a person and a throttled lot all last longer than a lease.
        with kept_alive(tenure, config.run.lease):
            yield tenure
    finally:
        ledger.release(lease)


def _crew(
    config: Config, ledger: Ledger, tenure: Tenure, source: Source, destination: Destination, stop: threading.Event
) -> Crew:
    from migrator.engine.crew import Crew

    return Crew(
        ledger=ledger,
        tenure=tenure,
        source=source,
        destination=destination,
        settings=config.pass_settings(),
        stop=stop,
        watch=lambda word, items, size: None,
    )
