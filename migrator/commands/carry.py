"""``run``: one pass over the mailboxes of a wave, then an end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.app import Connected
    from migrator.config import Config, LaneChoice
    from migrator.errors.vault import Vault
    from migrator.waves.wave import Ending, Run, Watcher
    from migrator.workers.processes import Spread
    from state.model import MailboxRow
    from state.store import Ledger

_STOPPING = b"\nmigrator: stopping at the next batch; run the same command again to go on (once more: end at once)\n"


@contextmanager
def stop_on_signals(
    stop: threading.Event, at_once: Callable[[], None] = lambda: None, saying: bytes = _STOPPING
) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM set ``stop``, and the second one end the process at once; that loses nothing either.

    ``at_once`` is called before the latter; ``saying`` is said at the first.
    """
    asked = False

    def handle(_number: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            at_once()
            os._exit(3)
        asked = True
        stop.set()
        os.write(2, saying)

    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, handle)
        except (ValueError, OSError):  # not the main thread, or a system without it: then nobody can ask this way
            continue
    try:
        yield
    finally:
        for asked_by, handler in before.items():
            signal.signal(asked_by, handler)


@click.command("run", short_help="Run one pass over all mailboxes, or named ones.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option(
    "--lane", type=click.Choice(["auto", "import", "compose"]), help="How items travel, instead of what the config says."
)
@click.option("--approve-deletes", is_flag=True, help="Let this pass remove more than the rails allow.")
@click.option("--backfill", is_flag=True, help="Carry all old mail too, however long it takes.")
@click.option(
    "--dry-run", is_flag=True, help="Do everything but write: not to the target, and to the ledger's throw-away copy only."
)
@click.option("--processes", type=click.IntRange(min=1), help="Over how many processes, instead of what the config says.")
@click.option(
    "--metrics", default="", metavar="PORT", help="Serve figures for Prometheus there; ADDRESS:PORT beyond this machine."
)
@global_options()
@pass_words
def run(
    words: Words,
    names: tuple[str, ...],
    lane: LaneChoice | None,
    approve_deletes: bool,
    backfill: bool,
    dry_run: bool,
    processes: int | None,
    metrics: str,
) -> int:
    """Run one pass over all mailboxes, or those of the named waves and addresses; then end.

    The first pass carries everything, each later one what changed. Stop it whenever you like and run it again: it goes on.
    A mailbox that was held goes on too, so mend its cause first.

    \b
    Examples:
      migrator run
      migrator run wave1 --lane compose
      migrator run --processes 2
      migrator run anna@example.com --dry-run
    """
    config = words.load()
    file = words.start_log()
    endings = carry(
        config,
        names,
        quiet=words.json,
        lane=lane,
        approve_deletes=approve_deletes,
        backfill=backfill,
        dry_run=dry_run,
        processes=processes,
        metrics=metrics,
    )
    code = max((ending.code for ending in endings), default=0)
    if words.json:
        say_json({"mailboxes": endings_as_json(endings), "dry_run": dry_run, "exit_code": code})
    else:
        say_lines(*endings_table(endings))
        if dry_run:
            say_lines("Dry run: nothing was written, neither to the target nor to the ledger; counts say what would be.")
        if code == 70:
            say_lines(f"A bug stopped a mailbox; the details are in {file}, please report them.")
    return code


def carry(
    config: Config,
    names: Sequence[str],
    *,
    quiet: bool,
    lane: LaneChoice | None = None,
    approve_deletes: bool = False,
    backfill: bool = False,
    dry_run: bool = False,
    rebuild: Literal["", "behind", "take-over"] = "",
    processes: int | None = None,
    first: Sequence[str] = (),
    metrics: str = "",
) -> list[Ending]:
    """Put everything together and run one pass over the named mailboxes, or all; how each ended, in the order of the ledger.

    ``first`` are source addresses in the order in which they are to begin, before all others.
    """
    from migrator import app, logs, parts
    from migrator.edges import at_the_edges
    from migrator.progress import watcher_for
    from migrator.waves.file import select
    from migrator.waves.wave import run_wave

    stop = threading.Event()
    aside: list[str] = []
    with ExitStack() as stack:
        stack.callback(lambda: click.echo("".join(f"migrator: {line}\n" for line in aside), nl=False, err=True))
        stack.callback(logs.take_down)
        ledger = stack.enter_context(app.throw_away_copy(config) if dry_run else app.open_ledger(config))
        app.bind(config, ledger)
        config = app.measured(config, ledger)
        mailboxes = select(app.planned(config, ledger), names, "The ledger")
        if first:
            place = {address.casefold(): number for number, address in enumerate(first)}
            mailboxes.sort(key=lambda row: place.get(row.source.casefold(), len(place)))
        if not quiet and (unseen := _unseen(ledger, mailboxes)):
            click.echo(unseen, err=True)
        guard = None
        if dry_run:
            from connectors.wrappers import DryRun

            guard = DryRun
        # Also where workers carry: what is wrong with the config is said here, once.
        connectors = stack.enter_context(app.Connected(config, stop, guard=guard, memory=app.Hints(ledger)))
        vault = None if dry_run or rebuild else app.open_vault(config, ledger)
        shown = stack.enter_context(watcher_for(len(mailboxes), quiet=quiet))
        real = not dry_run and not rebuild
        watcher = stack.enter_context(at_the_edges(config, ledger, shown, say=aside.append, metrics=metrics, real=real))
        log = logs.logger("migrator.run")
        wanted = processes or config.run.processes
        number = min(wanted, parts.most_processes(config), max(1, len(mailboxes)))
        log.info("run begins", mailboxes=len(mailboxes), dry_run=dry_run, processes=number, processes_asked=wanted)
        about = _How(lane=lane, approve_deletes=approve_deletes, backfill=backfill, dry_run=dry_run, rebuild=rebuild)
        if number > 1:
            from migrator.workers.processes import Crowd

            crowd = Crowd(spread_of(config, ledger, number, stop, watcher, about))
            stack.enter_context(stop_on_signals(stop, crowd.end_at_once))
            endings = crowd.carry(mailboxes)
        else:
            stack.enter_context(stop_on_signals(stop))
            endings = run_wave(run_of(config, ledger, connectors, stop, watcher, vault, about), mailboxes)
        for ending in endings:
            _log(log, ending)
    return endings


def _unseen(ledger: Ledger, mailboxes: Sequence[MailboxRow]) -> str:
    """A sentence if mailboxes begin of which nobody looked whether both ends are one person's."""
    from migrator import counts
    from migrator.waves.match import KIND, fits
    from state.model import MailboxState

    seen = {one.mailbox_id: one.about for one in ledger.plans.observed(KIND)}
    number = sum(row.state is MailboxState.PLANNED and not fits(seen.get(row.id), row.target) for row in mailboxes)
    if not number:
        return ""
    return f"migrator: nobody looked yet whose these are: {counts.mailboxes(number)}; `migrator wave check` shows it."


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """What the command line says about the passes, beyond the config."""

    lane: LaneChoice | None = None
    approve_deletes: bool = False
    backfill: bool = False
    dry_run: bool = False
    rebuild: Literal["", "behind", "take-over"] = ""
    blackouts: bool = False


PLAINLY = _How()
BY_SCHEDULE = _How(blackouts=True)


def spread_of(
    config: Config, ledger: Ledger, number: int, stop: threading.Event, watcher: Watcher, how: _How = PLAINLY
) -> Spread:  # fmt: skip
    """What a run over so many processes works with."""
    from migrator import app
    from migrator.workers.orders import Begin
    from migrator.workers.processes import Spread

    begin = Begin(
        config=str(config.file),
        ledger=ledger.url,
        lane=how.lane,
        approve_deletes=how.approve_deletes,
        backfill=how.backfill,
        dry_run=how.dry_run,
        rebuild=how.rebuild,
        blackouts=how.blackouts,
        at_once=1,
        part=0,
        parts=number,
    )
    return Spread(
        ledger=ledger,
        begin=begin,
        processes=number,
        at_once=config.run.mailboxes_at_once,
        stop=stop,
        watcher=watcher,
        no_room=lambda: app.no_room(config),
    )


def run_of(
    config: Config,
    ledger: Ledger,
    connectors: Connected,
    stop: threading.Event,
    watcher: Watcher,
    vault: Vault | None,
    how: _How = PLAINLY,
) -> Run:
    """What a run in this process alone works with."""
    from migrator import app
    from migrator.engine.inflight import Pool
    from migrator.waves.wave import Run

    return Run(
        ledger=ledger,
        connectors=connectors,
        settings=config.pass_settings(lane=how.lane, approve_deletes=how.approve_deletes, backfill=how.backfill),
        at_once=config.run.mailboxes_at_once,
        owner=app.owner(),
        stop=stop,
        watcher=watcher,
        no_room=lambda: app.no_room(config),
        pool=Pool(config.run.in_flight_mb * 1_000_000, config.run.mailboxes_at_once),
        vault=vault,
        look=connectors.look,
        rebuild=how.rebuild,
        blackouts=how.blackouts,
    )


def _log(log: Any, ending: Ending) -> None:
    row = ending.mailbox
    about = {"wave": row.wave, "mailbox": row.source, "state": row.state.value, "exit_code": ending.code, "cause": ending.cause}
    if ending.error is not None:
        log.error("mailbox failed", exc_info=ending.error, **about)
    else:
        log.info("mailbox ended", figures=ending.figures, **about)


def endings_as_json(endings: Sequence[Ending]) -> list[dict[str, Any]]:
    """How each mailbox ended."""
    return [_as_json(ending) for ending in endings]


def _as_json(ending: Ending) -> dict[str, Any]:
    row = ending.mailbox
    return {
        "wave": row.wave,
        "source": row.source,
        "target": row.target,
        "state": row.state.value,
        "kind": ending.kind.value if ending.kind else None,
        "listed": ending.listed,
        "done": ending.done,
        "refused": ending.refused,
        "withheld": ending.withheld,
        "approved": ending.approved,
        "pending": ending.pending,
        "bytes": ending.bytes,
        "cause": ending.cause,
        "exit_code": ending.code,
        "figures": ending.figures,
    }


_NAMED = 3
"""Mailboxes that are named before one cause of theirs."""


def endings_table(endings: Sequence[Ending]) -> list[str]:
    """The same for people."""
    from migrator.status import WIDTH, lay_out

    heading = ("MAILBOX", "STATE", "LISTED", "DONE", "REFUSED", "PENDING", "MB", "CAUSE")
    cells = [
        (
            ending.mailbox.source,
            ending.mailbox.state.value,
            f"{ending.listed:,}",
            f"{ending.done:,}",
            f"{ending.refused + ending.withheld:,}",
            f"{ending.pending:,}",
            f"{ending.bytes / 1e6:,.1f}",
            "see below" if ending.cause else "",
        )
        for ending in endings
    ]
    lines = lay_out(heading, cells, WIDTH, left=frozenset({0, 1, 7}), limits={0: 36})
    alike: dict[str, list[str]] = {}
    for ending in endings:
        if ending.cause:
            alike.setdefault(ending.cause, []).append(ending.mailbox.source)
    return [*lines, *(f"{_together(names)}: {cause}" for cause, names in alike.items())]


def _together(names: Sequence[str]) -> str:
    """Mailboxes that ended by one cause: what stops all of a thousand is said once."""
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"
