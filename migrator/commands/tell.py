"""``report``: for people who are not engineers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.commands.look import need_ledger
from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.reporting.facts import Facts
    from migrator.reporting.words import Language


@click.command("report", short_help="Write the report.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file; its ending says what it is: .html or .json. A folder gets report.html.",
)
@click.option("--wave", help="Only this wave.")
@click.option("--language", "code", default="en", show_default=True, help="The language of the pages: en or de.")
@click.option("--anonymous", is_flag=True, help="A word in the place of every name; the same word each time.")
@global_options()
@pass_words
def report(words: Words, out: Path, wave: str | None, code: str, anonymous: bool) -> int:
    """Write the report: one HTML file for people who are not engineers; with --json its figures on stdout too.

    \b
    Examples:
      migrator report --out ./report.html
      migrator report --wave wave1 --json
      migrator report --language de --anonymous --out bericht.html
    """
    from migrator import app
    from migrator.reporting.gathering import gather
    from migrator.reporting.names import veiled
    from migrator.reporting.told import told
    from migrator.reporting.words import language

    config = words.load()
    spoken = language(code)
    need_ledger(config)
    with app.open_ledger(config) as ledger:
        facts = veiled(gather(ledger, wave), anonymous=anonymous)
    written = _write(facts, out, spoken, anonymous)
    if words.json:
        say_json({"report": str(written), "exit_code": 0, **told(facts)})
    else:
        say_lines(f"The report is in {written}")
    return 0


def _write(facts: Facts, out: Path, spoken: Language, anonymous: bool) -> Path:
    from migrator.reporting.writing import write_html, write_json

    file = out / "report.html" if out.is_dir() or not out.suffix else out
    if file.suffix.lower() == ".json":
        return write_json(facts, file)
    return write_html(facts, file, spoken, anonymous=anonymous)
