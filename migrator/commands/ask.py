"""``probe``: ask a pilot's mailboxes what no document settles."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.probe.probing import Reply
    from state.model import MailboxRow
    from state.store import Ledger


@click.command("probe", short_help="Ask a pilot's mailbox which items the import lane carries, and more.")
@click.option("--mailbox", metavar="PILOT", help="The pilot's source address, as the waves file has it.")
@click.option(
    "--allow",
    type=click.Choice(["meetings", "receipts", "traffic", "waiting"]),
    multiple=True,
    help="Ask what somebody else could notice: meetings with attendees, unread mail that asks for a receipt, up to 290 MB sent;"
    " or what takes as long as an import session lasts.",
)
@click.option("--beside", metavar="PILOT", help="A second pilot's source address, to ask whether both share a budget; only read.")
@click.option("--outside", metavar="ADDRESS", help="A target mailbox that the app must not reach, to ask whether it is kept out.")
@click.option(
    "--result", type=click.Path(dir_okay=False, path_type=Path), help="Write the answers into a new file that names nobody."
)
@click.option("--read", type=click.Path(dir_okay=False, path_type=Path), help="Show such a file; ask nobody.")
@click.option("--questions", is_flag=True, help="Say what is asked, how, and what it risks; ask nobody.")
@click.option("--kept", is_flag=True, help="Show the answers that the ledger has; ask nobody.")
@click.option("--dry-run", is_flag=True, help="Only say which classes the pilot has and what would be asked; write nothing.")
@global_options()
@pass_words
def probe(words: Words, /, mailbox: str | None, read: Path | None, questions: bool, kept: bool, **options: Any) -> int:
    """Ask a pilot's two mailboxes what no document settles, and keep the answers in the ledger.

    One item of each class is exported, imported into a hidden folder of the probe's own in the target, read back, compared and
    removed. `lane = auto` follows the answers. The source is only read; in the target nothing else is touched; nothing is sent.

    \b
    Examples:
      migrator probe --mailbox anna@example.com
      migrator probe --mailbox anna@example.com --result ./probe.json
      migrator probe --read ./probe.json
      migrator probe --questions
    """
    if sum([mailbox is not None, read is not None, questions, kept]) != 1:
        raise click.UsageError("Give exactly one of --mailbox, --read, --questions and --kept.")
    if questions:
        return _questions(words)
    if read is not None:
        return _read(words, read)
    if kept:
        return _kept(words)
    assert mailbox is not None
    return _ask(words, mailbox, **options)


def _questions(words: Words) -> int:
    from migrator.probe.kit import QUESTIONS

    if words.json:
        say_json({"questions": [asdict(one) for one in QUESTIONS], "exit_code": 0})
    else:
        for one in QUESTIONS:
            say_lines(one.name, f"  asks:   {one.asks}", f"  how:    {one.how}", f"  risks:  {one.risks}")
    return 0


def _read(words: Words, file: Path) -> int:
    from migrator.probe.result import as_json, lines_of, read_result

    result = read_result(file)
    if words.json:
        say_json({"result": as_json(result), "exit_code": 0})
    else:
        say_lines(*lines_of(result))
    return 0


def _kept(words: Words) -> int:
    from migrator import app
    from migrator.commands.look import need_ledger

    config = words.load()
    need_ledger(config)
    with app.open_ledger(config) as ledger:
        answers = ledger.plans.answers()
    if words.json:
        say_json({"answers": [asdict(one) for one in answers], "exit_code": 0})
    else:
        for one in answers:
            about = " ".join(part for part in (one.question, one.subject, f"(build {one.build})" if one.build else "") if part)
            say_lines(f"{one.answer:<10}  {about}{f': {one.detail}' if one.detail else ''}")
        if not answers:
            say_lines("No probe was answered yet.")
    return 0


def _ask(
    words: Words,
    mailbox: str,
    *,
    allow: tuple[str, ...],
    outside: str | None,
    beside: str | None,
    result: Path | None,
    dry_run: bool,
) -> int:
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.config import BadInput
    from migrator.errors.work import who_am_i
    from migrator.waves.file import select

    config = words.load()
    words.start_log()
    if result is not None and result.exists():
        raise BadInput(f"{result} is there already; name another one.")
    stop = threading.Event()
    try:
        with ExitStack() as stack:
            stack.enter_context(stop_on_signals(stop))
            ledger = stack.enter_context(app.throw_away_copy(config) if dry_run else app.open_ledger(config))
            app.bind(config, ledger)
            rows = app.planned(config, ledger)
            row = select(rows, [mailbox], "The ledger")[0]
            if row.source.casefold() != mailbox.casefold():
                raise BadInput(f"{mailbox} is a wave; a probe asks one mailbox, so name the pilot's source address.")
            if outside is not None and outside.casefold() in {one.target.casefold() for one in rows}:
                raise BadInput(f"{outside} is the target of a planned mailbox; --outside wants one that the app must not reach.")
            second = _second(config, rows, row, beside) if beside else ""
            ask = partial(_probe, words, config, ledger, row, allow=allow, outside=outside or "", beside=second)
            replies, build = ask(stop=stop, dry_run=dry_run)
            if not dry_run:
                ledger.plans.act(who_am_i(), "probe", wave=row.wave, mailbox_id=row.id, allow=list(allow))
    finally:
        logs.take_down()
    code = 3 if stop.is_set() else 0
    if result is not None and not dry_run:
        from migrator.probe.result import result_of, write_result

        write_result(result, result_of(replies, build))
    if words.json:
        say_json({"build": build, "replies": [asdict(one) for one in replies], "dry_run": dry_run, "exit_code": code})
    elif result is not None and not dry_run:
        say_lines(f"The answers are in {result}; it names nobody, but look into it before you pass it on.")
    return code


def _second(config: Config, rows: Sequence[MailboxRow], pilot: MailboxRow, beside: str) -> str:
    """The target of a second pilot. Raises BadInput if nothing can be learnt from it."""
    from migrator import parts
    from migrator.config import BadInput

    found = next((row for row in rows if row.source.casefold() == beside.casefold()), None)
    if found is None or found.id == pilot.id:
        raise BadInput(f"{beside} is no other planned mailbox; --beside wants the source address of a second pilot.")
    apps = len(config.target.apps) + 1
    if parts.app_of(found.target, apps) != parts.app_of(pilot.target, apps):
        raise BadInput(f"{beside} is carried by another app than {pilot.source}; name a second pilot of the same app.")
    return found.target


def _probe(
    words: Words,
    config: Config,
    ledger: Ledger,
    row: MailboxRow,
    *,
    allow: tuple[str, ...],
    outside: str,
    beside: str,
    stop: threading.Event,
    dry_run: bool,
) -> tuple[list[Reply], str]:
    from migrator import app
    from migrator.engine.tenure import Tenure, kept_alive
    from migrator.probe.kit import ask_kit
    from migrator.probe.probing import Allow, Probe, check_state, run_probe, would_ask

    def say(reply: Reply) -> None:
        if not words.json:
            about = f"{reply.question} {reply.subject}".rstrip()
            say_lines(f"{reply.answer:<10}  {about}{f': {reply.detail}' if reply.detail else ''}")

    check_state(row)
    # What is under way is ended in good order, so that nothing is left behind: the wires don't hear of a stop.
    never = threading.Event()
    with ExitStack() as stack:
        connected = stack.enter_context(app.Connected(config, never, memory=app.Hints(ledger)))
        source = stack.enter_context(closing(connected.source(row, never)))
        allowed = frozenset(map(Allow, allow))
        if dry_run:
            replies = would_ask(source, allowed, stop)
            for reply in replies:
                say(reply)
            return replies, source.build
        began = time.time()
        lease = ledger.lease(row.id, app.owner(), config.run.lease)
        stack.callback(ledger.release, lease)
        tenure = Tenure(ledger, lease, config.run.lease, config.target.timeout, began)
        stack.enter_context(kept_alive(tenure, config.run.lease))
        destination = stack.enter_context(closing(connected.destination(row, never)))
        destination.guard(tenure.may_leave)
        work = Probe(
            ledger=ledger,
            tenure=tenure,
            source=source,
            source_reader=stack.enter_context(closing(connected.source_reader(row, never))),
            destination=destination,
            destination_reader=stack.enter_context(closing(connected.destination_reader(row, never))),
            bench=connected.bench(row, ledger.installation()),
            allow=allowed,
            stop=stop,
            say=say,
        )
        return run_probe(work, partial(ask_kit, outside=outside, beside=beside)), source.build
