"""``assess``: what there is to move, and how long that takes at least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrator import counts
from migrator.commands.words import BUG, PAUSED, Words, explain, global_options, pass_words, say_csv, say_json, say_lines

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Mapping

    from connectors.base import Lane
    from migrator.assess import Survey
    from migrator.config import Config
    from state.model import MailboxRow

HEADING = ("MAILBOX", "ITEMS", "GB", "FOLDERS", "OLDEST", "LARGEST MB", ">25 MB", "TOO LARGE", "SEED >=")
_CLASSES = 12


@click.command("assess", short_help="Count and size what there is to move.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@global_options()
@pass_words
def assess(words: Words, names: tuple[str, ...], as_csv: bool) -> int:
    """Read every source mailbox once, ids and sizes only: items, bytes, classes, the largest; and how long a seed takes at
    least by the documented limits of the target. Asks the source alone and writes to neither side.

    \b
    Examples:
      migrator assess
      migrator assess wave1 --csv
    """
    import threading

    from migrator import app, logs
    from migrator.assess import KIND, least, least_together
    from migrator.commands.carry import stop_on_signals
    from migrator.waves.file import select

    config = words.load()
    words.start_log()
    stop = threading.Event()
    try:
        with app.open_ledger(config) as ledger, stop_on_signals(stop):
            app.bind(config, ledger)
            rows = select(app.planned(config, ledger), names, "The ledger")
            most = app.takes(config, ledger.plans.answers())
            found = _surveys(config, rows, stop, most.values())
            for row, one, _ in found:
                if one is not None:
                    ledger.plans.observe(row.id, KIND, one.as_json())
    finally:
        logs.take_down()
    code = max((error[0] for _, _, error in found if error), default=0)
    limits = config.target.limits
    seconds = [least(one.items, one.bytes, limits) for _, one, _ in found if one]
    together = least_together(seconds, config.run.mailboxes_at_once)
    if words.json:
        mailboxes = [_as_json(row, one, error, least(one.items, one.bytes, limits) if one else None) for row, one, error in found]
        lanes = {lane.value: size for lane, size in most.items()}
        say_json({"mailboxes": mailboxes, "lanes_take_bytes": lanes, "seed_seconds_at_least": together, "exit_code": code})
    elif as_csv:
        say_csv(HEADING, [_cells(row, one, least(one.items, one.bytes, limits)) for row, one, _ in found if one])
    else:
        _say(config, found, together)
        say_lines(*_too_large([one for _, one, _ in found if one], most))
    return code


_Found = list[tuple["MailboxRow", "Survey | None", tuple[int, str] | None]]


def _surveys(config: Config, rows: list[MailboxRow], stop: threading.Event, most: Collection[float]) -> _Found:
    from concurrent.futures import ThreadPoolExecutor

    from migrator import app

    with app.Connected(config, stop) as connectors, ThreadPoolExecutor(config.run.mailboxes_at_once, "mailbox") as threads:
        tasks = [threads.submit(_survey, connectors, row, stop, most) for row in rows]
        return [(row, *task.result()) for row, task in zip(rows, tasks, strict=True)]


def _survey(
    connectors: Any, row: MailboxRow, stop: threading.Event, most: Collection[float]
) -> tuple[Survey | None, tuple[int, str] | None]:
    from contextlib import closing

    from migrator.assess import survey

    if stop.is_set():
        return None, (PAUSED, "Not begun: stopped before its turn.")
    try:
        with closing(connectors.source(row, stop)) as source:
            return survey(source, stop, most), None
    except Exception as error:
        code, sentence = explain(error)
        if code == BUG:
            raise
        return None, (code, sentence)


def _cells(row: MailboxRow, one: Survey, seconds: float) -> tuple[Any, ...]:
    return (
        row.source, one.items, round(one.bytes / 1e9, 3), one.folders, one.oldest, round(one.largest / 1e6, 1),
        one.large, one.too_large, round(seconds),
    )  # fmt: skip


def _say(config: Config, found: _Found, together: float) -> None:
    from migrator.assess import least
    from migrator.forecast import duration
    from migrator.status import WIDTH, lay_out

    limits = config.target.limits
    surveys = [(row, one) for row, one, _ in found if one]
    cells = [
        (
            row.source, f"{one.items:,}", f"{one.bytes / 1e9:,.2f}", f"{one.folders:,}", one.oldest or "-",
            f"{one.largest / 1e6:,.1f}", f"{one.large:,}", f"{one.too_large:,}", duration(least(one.items, one.bytes, limits)),
        )
        for row, one in sorted(surveys, key=lambda pair: -pair[1].bytes)
    ]  # fmt: skip
    items, size = sum(one.items for _, one in surveys), sum(one.bytes for _, one in surveys)
    say_lines(
        f"{counts.mailboxes(len(surveys))}, {items:,} items, {size / 1e9:,.2f} GB."
        f" At best, by the documented limits of the target, a seed takes {duration(together)}"
        f" with {config.run.mailboxes_at_once} at once."
    )
    if cells:
        say_lines(
            "", *lay_out(HEADING, cells, WIDTH, left=frozenset({0}), limits={0: 32}), "", *_classes([one for _, one in surveys])
        )
    say_lines(*(f"{row.source}: not read. {error[1]}" for row, _, error in found if error))


def _too_large(surveys: list[Survey], most: Mapping[Lane, float]) -> list[str]:
    """What of it no lane takes, and what only one does, if there is such."""
    limits = ", ".join(f"{lane} {size / 1e6:,.0f} MB" for lane, size in most.items())
    lines = []
    if number := sum(one.too_large for one in surveys):
        lines.append(f"{number:,} items are larger than what any lane takes ({limits}); expect them to be refused by name.")
    if number := sum(one.one_lane for one in surveys):
        lines.append(f"{number:,} items are larger than one of the lanes takes ({limits}), and go by the other.")
    return ["", *lines] if lines else []


def _classes(surveys: list[Survey]) -> list[str]:
    from collections import Counter

    items, sizes = Counter[str](), Counter[str]()
    for one in surveys:
        for name, (number, size) in one.classes.items():
            items[name] += number
            sizes[name] += size
    lines = [f"  {name:<44}{number:>12,}{sizes[name] / 1e6:>14,.1f} MB" for name, number in items.most_common(_CLASSES)]
    left = len(items) - _CLASSES
    return ["By class:", *lines, *([f"  and {left} more, in --json"] if left > 0 else [])]


def _as_json(row: MailboxRow, one: Survey | None, error: tuple[int, str] | None, seconds: float | None) -> dict[str, Any]:
    told: dict[str, Any] = {"wave": row.wave, "source": row.source, "target": row.target}
    if one is not None:
        told |= one.as_json() | {"seed_seconds_at_least": seconds}
    return told | {"error": error[1] if error else None, "exit_code": error[0] if error else 0}
