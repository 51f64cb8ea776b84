"""``status``: where everything stands, for people, programs and spreadsheets; live if so wished. Reads the ledger only."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.finding import wave_named
from migrator.commands.words import Words, global_options, pass_words, say_csv, say_json, say_lines

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.status import Standing
    from state.glance import Glance


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view in all its forms: lines for people, a table for a spreadsheet, values for a program."""

    headline: str
    lines: Callable[[], Sequence[str]]
    heading: Sequence[str]
    cells: Callable[[], Sequence[Sequence[Any]]]
    told: Callable[[], dict[str, Any]]
    rows: Sequence[Standing] = ()


@click.command("status", short_help="Say where each mailbox stands.")
@click.option("--wave", help="Only this wave.")
@click.option("--waves", is_flag=True, help="A line a wave instead of a line a mailbox.")
@click.option("--folders", is_flag=True, help="The sum of every folder: what the source counts, and what became of it.")
@click.option("--old-profile", is_flag=True, help="Who still sends or gets mail on the old side after the flip.")
@click.option("--watch", "live", is_flag=True, help="Draw it again and again, with speed and a forecast, until Ctrl-C.")
@click.option("--every", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="With --watch: seconds in between.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@global_options()
@pass_words
def status(
    words: Words, wave: str | None, waves: bool, folders: bool, old_profile: bool, live: bool, every: float, as_csv: bool
) -> int:
    """Say where each mailbox stands; the first line says what needs a person. Asks no server.

    \b
    Examples:
      migrator status
      migrator status --waves
      migrator status --wave wave1 --json
      migrator status --watch
      migrator status --old-profile --csv
    """
    if sum((waves, folders, old_profile)) > 1:
        raise click.UsageError("--waves, --folders and --old-profile are three views; ask for one of them.")
    if live and (words.json or as_csv or folders or old_profile):
        raise click.UsageError("--watch is for people, and for the plain view or --waves; leave the other options out.")
    config = words.load()
    view = _waves if waves else _old_profile if old_profile else _folders if folders else _mailboxes

    def ask(glance: Glance | None) -> View:
        return view(config, glance, wave_named(glance.mailboxes(), wave) if glance and wave else None)

    def now() -> View:
        return _look(config, ask)

    if live:
        _watch(now, every)
        return 0
    # Of tens of thousands of rows none is rubbish: looking for it over and over costs a fifth of the time.
    gc.disable()
    try:
        _say(words, now(), as_csv)
    finally:
        gc.enable()
    return 0


def _say(words: Words, view: View, as_csv: bool) -> None:
    if words.json:
        say_json({"headline": view.headline, **view.told(), "exit_code": 0})
    elif as_csv:
        say_csv(view.heading, view.cells())
    else:
        say_lines(view.headline, *view.lines())


def _look(config: Config, ask: Callable[[Glance | None], View]) -> View:
    """Look into the ledger the quick way; where that does not go, the usual way goes, or says why not."""
    from state.glance import CantLook, look

    if config.ledger_file is not None and not config.ledger_file.exists():
        return ask(None)
    try:
        with look(config.ledger.url) as glance:
            return ask(glance)
    except CantLook:
        from migrator import app

        with app.open_ledger(config) as ledger:
            return ask(ledger.glance())


def _watch(now: Callable[[], View], every: float) -> None:
    from migrator.watching import tick, watch

    def draw() -> tuple[list[str], Any]:
        view = now()
        return [view.headline, *view.lines()], tick(view.rows, time.monotonic())

    # The console of Windows takes control characters only where somebody switched them on.
    watch(draw, sys.stdout, every, clear=click.clear if os.name == "nt" else None)


def _mailboxes(_config: Config, glance: Glance | None, wave: str | None) -> View:
    from migrator.status import COLUMNS, headline, sheet, standings, tables

    rows = standings(glance, wave) if glance else []
    return View(
        headline=headline(rows),
        lines=lambda: tables(rows),
        heading=COLUMNS,
        cells=lambda: sheet(rows),
        told=lambda: {"mailboxes": [asdict(row) for row in rows]},
        rows=rows,
    )


def _waves(config: Config, glance: Glance | None, wave: str | None) -> View:
    from migrator import forecast
    from migrator.probe.answers import AT_ONCE, slowed_by
    from migrator.status import standings
    from migrator.waves.status import WAVE_COLUMNS, wave_headline, wave_sheet, wave_standings, wave_table

    rows = standings(glance, wave) if glance else []
    rate = forecast.Rates()
    if glance:
        now, mine = time.time(), {row.id for row in glance.mailboxes(wave)}
        ran = (one for one in glance.ended_since(now - forecast.WINDOW) if one.mailbox_id in mine)
        rate = forecast.rates(forecast.stretches(ran, slowed_by(*glance.answered(AT_ONCE))), now)
    waves = wave_standings(rows, glance.waves() if glance else {}, rate)
    return View(
        headline=wave_headline(waves),
        lines=lambda: ["", *wave_table(waves)] if waves else [],
        heading=WAVE_COLUMNS,
        cells=lambda: wave_sheet(waves),
        told=lambda: {"waves": [asdict(one) for one in waves]},
        rows=rows,
    )


def _old_profile(_config: Config, glance: Glance | None, wave: str | None) -> View:
    from migrator.status import WIDTH, lay_out, moment, seconds, standings

    rows = [row for row in (standings(glance, wave) if glance else []) if row.flipped]
    still = [row for row in rows if row.sent_from_old]
    late = sum(bool(row.late) for row in rows)
    if not rows:
        headline = "No mailbox was flipped yet, so nobody uses an old profile."
    elif still:
        headline = f"A person is needed: {len(still)} of {len(rows)} flipped mailboxes still sent from the old side."
    else:
        headline = f"Nobody of {len(rows)} flipped mailboxes was seen to send from the old side; late mail came for {late}."
    now = time.time()
    heading = ("MAILBOX", "SENT", "LAST-IN-SOURCE", "LATE", "WHAT TO DO")
    shown = [row for row in rows if row.sent_from_old or row.late]
    advice = {
        True: "have the profile of its Outlook or phone set up anew",
        False: "look who still delivers there: migrator show " + "MAILBOX",
    }
    table = lay_out(
        heading,
        [
            (
                row.source,
                f"{row.sent_from_old:,}",
                moment(seconds(row.last_in_source), now),
                f"{row.late:,}",
                advice[bool(row.sent_from_old)],
            )
            for row in shown
        ],
        WIDTH,
        left=frozenset({0, 2, 4}),
        limits={0: 36},
    )
    cells = [(row.wave, row.source, row.sent_from_old, row.last_in_source, row.late) for row in shown]
    names = ("wave", "mailbox", "sent_from_old", "last_in_source", "late")
    return View(
        headline=headline,
        lines=lambda: ["", *table] if shown else [],
        heading=names,
        cells=lambda: cells,
        told=lambda: {"mailboxes": [dict(zip(names, one, strict=True)) for one in cells]},
    )


def _folders(config: Config, glance: Glance | None, wave: str | None) -> View:
    from migrator import app
    from migrator.engine.conservation import folder_sums, rule_sums
    from migrator.status import folder_table, headline, rule_table, standings, tables

    rows, sums, rules = [], [], []
    if glance:
        rows = standings(glance, wave)
        with app.open_ledger(config) as ledger:
            mailboxes = ledger.mailboxes(wave)
            sums, rules = list(folder_sums(ledger, mailboxes)), rule_sums(ledger, mailboxes)
    told = [asdict(one) for one in sums]
    return View(
        headline=headline(rows),
        lines=lambda: [*tables(rows), *(["", *folder_table(sums)] if sums else []), *(["", *rule_table(rules)] if rules else [])],
        heading=tuple(told[0]) if told else (),
        cells=lambda: [tuple(one.values()) for one in told],
        told=lambda: {"mailboxes": [asdict(row) for row in rows], "folders": told, "rules": [asdict(one) for one in rules]},
        rows=rows,
    )
