"""``report`` and ``dashboard``: for people who are not engineers, once or again and again."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.commands.finding import wave_named
from migrator.commands.look import need_ledger
from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.reporting.facts import Facts, FolderLine
    from migrator.reporting.words import Language

EVERYTHING = ("report.html", "report.xlsx", "report.json", "mailboxes.csv", "protocol.html")
"""What ``--to`` writes into its folder."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "": 60}
_DETAILS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report was asked for: its files, of which wave, in which words."""

    config: Config
    files: tuple[Path, ...]
    protocol: Path | None
    cards: Path | None
    wave: str | None
    language: Language
    anonymous: bool


@click.command("report", short_help="Write the report.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file; its ending says what it is: .html, .xlsx, .json or .csv. A folder gets report.html.  [default: report.html]",
)
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="A folder that gets all of them and the protocol.")
@click.option("--every", metavar="TIME", help="With --to: write them anew every 15m, 2h or 90s, until Ctrl-C or SIGTERM.")
@click.option(
    "--protocol", type=click.Path(dir_okay=False, path_type=Path), help="Write the acceptance protocol to this file, too."
)
@click.option(
    "--cards", type=click.Path(file_okay=False, path_type=Path), help="Write a card for each owner into this folder, too."
)
@click.option("--wave", help="Only this wave.")
@click.option("--language", "code", default="en", show_default=True, help="The language of the pages: en or de.")
@click.option("--anonymous", is_flag=True, help="A word in the place of every name; the same word each time.")
@global_options()
@pass_words
def report(
    words: Words,
    out: Path | None,
    to: Path | None,
    every: str | None,
    protocol: Path | None,
    cards: Path | None,
    wave: str | None,
    code: str,
    anonymous: bool,
) -> int:
    """Write the report: one HTML file for people who are not engineers; with --json its figures on stdout too.

    \b
    Examples:
      migrator report --out ./report.html
      migrator report --wave wave1 --json
      migrator report --language de --protocol protokoll.html --cards ./cards
      migrator report --every 15m --to //share/migration
    """
    from migrator.reporting.told import told
    from migrator.reporting.words import language

    if every is not None and to is None:
        raise click.UsageError("--every is for --to; name the folder that is to be kept fresh.")
    seconds = _length(every) if every is not None else None
    config = words.load()
    spoken = language(code, None)
    need_ledger(config)
    files = tuple(to / name for name in EVERYTHING) if to else ()
    if out is not None or not to:
        files = (*files, _file(out or Path("report.html")))
    asked = Asked(
        config=config, files=files, protocol=protocol, cards=cards, wave=wave, language=spoken, anonymous=anonymous
    )  # fmt: skip
    if seconds is not None:
        return _again(asked, seconds)
    facts, written = _write(asked)
    if words.json:
        say_json({"report": str(files[-1] if out or not to else files[0]), "files": written, "exit_code": 0, **told(facts)})
    else:
        say_lines(f"The report is in {', '.join(written)}")
    return 0


def _file(out: Path) -> Path:
    return out / "report.html" if out.is_dir() or not out.suffix else out


def _length(text: str) -> float:
    """Seconds of a length of time such as 15m."""
    from migrator.config import BadInput

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", text.strip().lower())
    if not found or float(found[1]) <= 0:
        raise BadInput(f"--every {text!r} is no length of time; write 15m, 2h or 90s.")
    return float(found[1]) * _SECONDS[found[2]]


def _again(asked: Asked, seconds: float) -> int:
    """Write until somebody stops it; a ledger that is away for a while is waited for."""
    from migrator.commands.carry import stop_on_signals
    from migrator.config import BadInput
    from migrator.counts import iso
    from state.model import LedgerAway

    stop, first = threading.Event(), True
    with stop_on_signals(stop, saying=b""):
        while True:
            try:
                facts, written = _write(asked)
                say_lines(f"{iso(facts.made)}: {len(written)} files in {Path(written[0]).parent}")
            except (LedgerAway, BadInput) as error:
                if first:
                    raise
                # A file that somebody has open in Excel can't be replaced on Windows; the next one can.
                click.echo(f"migrator: {error} Trying again in {seconds:g} s.", err=True)
            first = False
            if stop.wait(seconds):
                return 0


def _write(asked: Asked) -> tuple[Facts, list[str]]:
    from migrator import app
    from migrator.config import BadInput
    from migrator.reporting import writing
    from migrator.reporting.gathering import LISTED, gather, gather_folders, gather_reasons
    from migrator.reporting.names import veiled

    kinds = {file.suffix.lower() for file in asked.files}
    if other := kinds - {".html", ".xlsx", ".json", ".csv"}:
        raise click.UsageError(f"A report can't be a {min(other)} file; the endings are .html, .xlsx, .json and .csv.")
    whole = bool(kinds & {".xlsx", ".json"})
    with app.look_at_ledger(asked.config) as ledger:
        facts = gather(ledger, wave_named(ledger.mailboxes(), asked.wave), details=_DETAILS if whole else LISTED)
        folders = gather_folders(ledger, facts, anonymous=asked.anonymous) if ".xlsx" in kinds else []
        reasons, rules = gather_reasons(ledger) if asked.cards else ({}, {})
    facts = veiled(facts, anonymous=asked.anonymous)
    written, barred = [], None
    for file in asked.files:
        try:
            written.append(_write_one(asked, facts, folders, file))
        except BadInput as error:
            barred = barred or error
    if barred:
        raise barred
    if asked.protocol:
        written.append(writing.write_protocol(facts, asked.protocol, asked.language, anonymous=asked.anonymous))
    if asked.cards:
        cards = writing.write_cards(facts, reasons, rules, asked.cards, asked.language)
        return facts, [*map(str, written), *([f"{len(cards)} cards in {asked.cards}"] if cards else [])]
    return facts, [str(file) for file in written]


def _write_one(asked: Asked, facts: Facts, folders: list[FolderLine], file: Path) -> Path:
    from migrator.reporting import writing

    match file.suffix.lower():
        case ".xlsx":
            return writing.write_xlsx(facts, folders, file, asked.language)
        case ".json":
            return writing.write_json(facts, file)
        case ".csv":
            return writing.write_csv(facts, file, asked.language)
    if file.name == "protocol.html":
        return writing.write_protocol(facts, file, asked.language, anonymous=asked.anonymous)
    return writing.write_html(facts, file, asked.language, anonymous=asked.anonymous)


@click.command("dashboard", short_help="Show the report's views live in a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="Where it listens; 0: any free port."
)
@click.option(
    "--bind", default="127.0.0.1", show_default=True, help="The address to listen on; any but loopback needs a certificate."
)
@click.option("--name", "names", multiple=True, help="With --bind: a name that browsers reach it by; may be given several times.")
@click.option("--tls-certificate", type=click.Path(dir_okay=False, path_type=Path), help="A certificate, as a PEM file.")
@click.option("--tls-key", type=click.Path(dir_okay=False, path_type=Path), help="Its key, if that is not in the same file.")
@click.option(
    "--refresh", type=click.FloatRange(0.2), default=5.0, show_default=True, help="Seconds after which the ledger is read again."
)
@click.option("--wave", help="Only this wave.")
@click.option("--language", "code", default="en", show_default=True, help="The language of the pages: en or de.")
@click.option("--anonymous", is_flag=True, help="A word in the place of every name; the same word each time.")
@global_options()
@pass_words
def dashboard(
    words: Words,
    port: int,
    bind: str,
    names: tuple[str, ...],
    tls_certificate: Path | None,
    tls_key: Path | None,
    refresh: float,
    wave: str | None,
    code: str,
    anonymous: bool,
) -> int:
    """Show the report's views live in a browser, until Ctrl-C. Read-only, over the ledger alone, beside a run.

    The address holds a random token: whoever has it may look, nobody else can.

    \b
    Examples:
      migrator dashboard
      migrator dashboard --port 0 --language de --anonymous
      migrator dashboard --bind 10.0.0.5 --tls-certificate cert.pem --tls-key key.pem
    """
    from migrator import app
    from migrator.commands.carry import stop_on_signals
    from migrator.dashboard import Place, serving
    from migrator.reporting.gathering import gather, gather_mailbox
    from migrator.reporting.live import Live
    from migrator.reporting.names import Names, names_of, veiled
    from migrator.reporting.words import language

    config = words.load()
    spoken = language(code, None)
    place = Place(host=bind, port=port, names=names, certificate=tls_certificate, key=tls_key).checked()
    need_ledger(config)
    stop = threading.Event()
    with app.look_at_ledger(config) as ledger:
        wave = wave_named(ledger.mailboxes(), wave)
        hiding = Names((), (), "", anonymous=anonymous)

        def fresh() -> Facts:
            nonlocal hiding
            facts = gather(ledger, wave, recount=False)
            hiding = names_of(facts, anonymous=anonymous)
            return veiled(facts, anonymous=anonymous)

        live = Live(fresh, spoken, refresh, lambda line: gather_mailbox(ledger, line, hiding))
        with stop_on_signals(stop, saying=b""), live, serving(place, live) as url:
            if words.json:
                say_json({"url": url})
            else:
                say_lines(f"The dashboard is at {url}", "Whoever has this address may look. Ctrl-C ends it.")
            sys.stdout.flush()
            # A wait without an end can't be broken off by Ctrl-C on Windows.
            while not stop.wait(0.5):
                pass
    return 0
