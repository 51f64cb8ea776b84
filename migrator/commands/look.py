"""``status``, ``verify`` and ``report``: look, and change nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.words import BUG, HELD, PAUSED, Words, explain, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.verify import Verdict
    from state.model import MailboxRow
    from state.store import Ledger

RUN_AGAIN = frozenset({"not-listed", "left-since", "pending", "not-placed"})
"""Differences that another pass mends; every other kind needs a person."""


_EXPLAINED = {
    "refused": "refused",
    "withheld": "withheld",
    "filtered": "filtered",
    "target_wins": "left as the target's user has them",
    "touched": "changed in the target since",
}
"""Figures of a verdict that explain why items were not compared equal."""


@click.command("status", short_help="Say where each mailbox stands.")
@click.option("--wave", help="Only this wave.")
@click.option("--folders", is_flag=True, help="The sum of every folder: what the source counts, and what became of it.")
@global_options()
@pass_words
def status(words: Words, wave: str | None, folders: bool) -> int:
    """Say where each mailbox stands; the first line says what needs a person. Asks no server.

    \b
    Examples:
      migrator status
      migrator status --wave wave1 --json
      migrator status --folders
    """
    from migrator import app
    from migrator.conservation import folder_sums
    from migrator.status import folder_table, headline, standings, table

    config = words.load()
    rows, sums = [], []
    if app.ledger_exists(config):
        with app.open_ledger(config) as ledger:
            rows = standings(ledger, wave)
            sums = list(folder_sums(ledger, ledger.mailboxes(wave))) if folders else []
    if words.json:
        told = {"headline": headline(rows), "mailboxes": [asdict(row) for row in rows]}
        say_json({**told, **({"folders": [asdict(one) for one in sums]} if folders else {}), "exit_code": 0})
    else:
        say_lines(headline(rows), *(["", *table(rows)] if rows else []), *(["", *folder_table(sums)] if sums else []))
    return 0


@click.command("verify", short_help="Compare both sides with the ledger, item by item.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@global_options()
@pass_words
def verify(words: Words, names: tuple[str, ...]) -> int:
    """Compare what both servers hold now, item by item, and hold the ledger against it. Never writes.

    Ends with 0 if there is no difference, 3 if another pass mends them all, and 4 if one needs a person.

    \b
    Examples:
      migrator verify
      migrator verify wave1
    """
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.wavefile import select

    config = words.load()
    need_ledger(config)
    words.start_log()
    stop = threading.Event()
    try:
        with (
            app.open_ledger(config) as ledger,
            app.Connected(config, stop, memory=app.Hints(ledger)) as connectors,
            stop_on_signals(stop),
        ):
            rows = select(ledger.mailboxes(), names, "The ledger")
            with ThreadPoolExecutor(config.run.mailboxes_at_once, thread_name_prefix="mailbox") as threads:
                tasks = [threads.submit(_verify, ledger, connectors, row, stop) for row in rows]
                found = [(row, *task.result()) for row, task in zip(rows, tasks, strict=True)]
    finally:
        logs.take_down()
    code = max((_code(verdict, error) for _, verdict, error in found), default=0)
    if words.json:
        mailboxes = [_verdict_as_json(row, verdict, error) for row, verdict, error in found]
        differences = sum(one["items"] for mailbox in mailboxes for one in mailbox["differences"])
        say_json({"mailboxes": mailboxes, "differences": differences, "exit_code": code})
    else:
        for row, verdict, error in found:
            say_lines(*_verdict_lines(row, verdict, error))
    return code


def need_ledger(config: Config) -> None:
    """Raise BadInput if there is no ledger yet."""
    from migrator import app
    from migrator.config import BadInput

    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator run` makes it.")


def _verify(
    ledger: Ledger, connectors: Any, row: MailboxRow, stop: threading.Event
) -> tuple[Verdict | None, tuple[int, str] | None]:
    from migrator.verify import verify_mailbox

    if stop.is_set():
        return None, (PAUSED, "Not begun: stopped before its turn.")
    try:
        source = connectors.source(row, stop)
        try:
            destination = connectors.destination(row, stop)
            try:
                return verify_mailbox(ledger, row.id, source, destination), None
            finally:
                destination.close()
        finally:
            source.close()
    except Exception as error:
        code, sentence = explain(error)
        if code == BUG:
            raise
        return None, (code, sentence)


def _code(verdict: Verdict | None, error: tuple[int, str] | None) -> int:
    if verdict is None:
        return error[0] if error else 0
    if not verdict.differences:
        return 0
    return PAUSED if all(one.what in RUN_AGAIN for one in verdict.differences) else HELD


def _verdict_as_json(row: MailboxRow, verdict: Verdict | None, error: tuple[int, str] | None) -> dict[str, Any]:
    return {
        "wave": row.wave,
        "source": row.source,
        "target": row.target,
        "figures": verdict.figures if verdict else {},
        "differences": [asdict(one) for one in verdict.differences] if verdict else [],
        "error": error[1] if error else None,
        "exit_code": _code(verdict, error),
    }


def _verdict_lines(row: MailboxRow, verdict: Verdict | None, error: tuple[int, str] | None) -> list[str]:
    if verdict is None:
        return [f"{row.source}: not compared. {error[1] if error else ''}".rstrip()]
    explained = [f"{number:,} {say}" for word, say in _EXPLAINED.items() if (number := verdict.figures.get(word, 0))]
    aside = f" ({', '.join(explained)})" if explained else ""
    matched = f"{verdict.figures.get('matched', 0):,} of {verdict.figures.get('source', 0):,} items compared equal{aside}"
    if not verdict.differences:
        return [f"{row.source}: no difference; {matched}."]
    total = sum(one.items for one in verdict.differences)
    lines = [f"{row.source}: {total:,} differences; {matched}."]
    return lines + [f"  {one.folder}: {one.sentence}" for one in verdict.differences]


@click.command("report", short_help="Write the report.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file, or a folder that gets report.html.",
)
@click.option("--wave", help="Only this wave.")
@global_options()
@pass_words
def report(words: Words, out: Path, wave: str | None) -> int:
    """Write the report: one HTML file for people who are not engineers; with --json its figures on stdout too.

    \b
    Examples:
      migrator report --out ./report.html
      migrator report --wave wave1 --json
    """
    from migrator import app

    config = words.load()
    need_ledger(config)

    from migrator.report import gather, write_report

    with app.open_ledger(config) as ledger:
        written = write_report(ledger, out, wave=wave)
        if words.json:
            say_json({"report": str(written), "exit_code": 0, **gather(ledger, wave)})
        else:
            say_lines(f"The report is in {written}")
    return 0
