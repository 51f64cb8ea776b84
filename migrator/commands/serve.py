"""``serve``: lives long and runs what is due; ``service`` lets the system keep it alive."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.config import Config
    from migrator.waves.serving import Event
    from state.store import Ledger


@click.command("serve", short_help="Run what is due, again and again, by the waves' schedules.")
@click.option("--tick", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds between two looks.")
@click.option("--processes", type=click.IntRange(min=1), help="Over how many processes, instead of what the config says.")
@click.option(
    "--metrics", default="", metavar="PORT", help="Serve figures for Prometheus there; ADDRESS:PORT beyond this machine."
)
@click.option("--dry-run", is_flag=True, help="Say what is due now and what waits, and run nothing.")
@global_options()
@pass_words
def serve(words: Words, tick: float, processes: int | None, metrics: str, dry_run: bool) -> int:
    """Look at the ledger again and again, and run what is due there; say what waits, for what and until when.

    Schedules are those of `migrator wave start`. Everything is in the ledger: stop or kill it whenever you like, start it again.
    What is done there in the meantime counts at the next look. With --json each event is a line.

    \b
    Examples:
      migrator serve
      migrator serve --json
      migrator serve --dry-run
    """
    if dry_run:
        return _foresee(words)
    from migrator import app, logs, parts
    from migrator.commands.carry import BY_SCHEDULE, run_of, spread_of, stop_on_signals
    from migrator.edges import at_the_edges
    from migrator.waves.serving import Processes, Serving, Telling, Threads
    from migrator.waves.wave import Wave
    from migrator.workers.processes import Crowd

    config = words.load()
    words.start_log()
    lock, log = threading.Lock(), logs.logger("migrator.serve")

    def say(event: Event) -> None:
        log.info(event.what, said=event.sentence, **event.about)
        with lock:
            click.echo(_as_json(event) if words.json else f"{datetime.fromtimestamp(event.at):%d %H:%M:%S}  {event.sentence}")  # noqa: DTZ006 - this machine's clock

    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(logs.take_down)
        ledger = stack.enter_context(app.open_ledger(config))
        app.bind(config, ledger)
        config = app.measured(config, ledger)
        connectors = stack.enter_context(app.Connected(config, stop, memory=app.Hints(ledger)))
        say_aside = lambda line: click.echo(f"migrator: {line}", err=True)  # noqa: E731
        around = at_the_edges(config, ledger, Telling(say), say=say_aside, metrics=metrics)
        watcher = stack.enter_context(around)
        number = min(processes or config.run.processes, parts.most_processes(config))
        if number > 1:
            crowd = Crowd(spread_of(config, ledger, number, stop, watcher, BY_SCHEDULE))
            stack.callback(crowd.kill)
            stack.enter_context(stop_on_signals(stop, crowd.end_at_once))
            hands: Processes | Threads = Processes(crowd)
        else:
            stack.enter_context(stop_on_signals(stop))
            run = run_of(config, ledger, connectors, stop, watcher, app.open_vault(config, ledger), BY_SCHEDULE)
            hands = Threads(run, stack.enter_context(Wave(run)))
        serving = Serving(
            ledger,
            hands,
            say,
            at_once=config.run.mailboxes_at_once,
            stop=stop,
            tick=tick,
            refresh=_refresher(config, ledger),
        )
        try:
            return serving.go()
        finally:
            stop.set()  # so that nothing is waited for that goes on for hours


def _foresee(words: Words) -> int:
    """One look at the ledger: what is due, in its order, and what waits."""
    import time

    from migrator import app
    from migrator.config import BadInput
    from migrator.counts import iso
    from migrator.waves.serving import look

    config = words.load()
    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator wave import FILE` makes it.")
    with app.open_ledger(config) as ledger:
        rows, decision = look(ledger, time.time(), frozenset())
    due = [rows[mailbox_id] for mailbox_id in decision.due]
    if words.json:
        waits = [
            {"mailbox": rows[one.mailbox_id].source, "wave": rows[one.mailbox_id].wave, "until": iso(one.until), "why": one.why}
            for one in decision.waits
        ]
        told = [{"mailbox": row.source, "wave": row.wave, "state": row.state.value} for row in due]
        say_json({"due": told, "waits": waits, "exit_code": 0})
        return 0
    say_lines(*(f"due    {row.source} ({row.wave}, {row.state.value})" for row in due))
    for one in decision.waits:
        until = f" until {iso(one.until)}" if one.until is not None else ""
        say_lines(f"waits  {rows[one.mailbox_id].source} ({rows[one.mailbox_id].wave}){until}: {one.why}")
    say_lines("Dry run: nothing was run.")
    return 0


def _refresher(config: Config, ledger: Ledger) -> Callable[[], str]:
    """Takes the waves file in when it was changed; what is wrong with it never ends the service."""
    from migrator import app
    from migrator.config import BadInput

    file = Path(config.waves.file)
    seen: list[tuple[float, int] | None] = [None]
    said = [""]

    def refresh() -> str:
        try:
            found = file.stat()
        except OSError:
            seen[0], said[0] = None, ""
            return ""
        if (now := (found.st_mtime, found.st_size)) != seen[0]:
            try:
                app.planned(config, ledger)
                said[0] = ""
            except BadInput as error:
                said[0] = str(error)
            seen[0] = now
        return said[0]

    return refresh


def _as_json(event: Event) -> str:
    from migrator.counts import iso

    return json.dumps({"at": iso(event.at), "event": event.what, "sentence": event.sentence, **event.about}, ensure_ascii=False)
