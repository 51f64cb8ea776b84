"""What all commands share: the global options, and saying a result for people or as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.sheets import Cell

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONFIG = Path("migrator.toml")

PAUSED, HELD, HALTED, BAD_INPUT, BUG = 3, 4, 5, 65, 70


class Words:
    """The global options of one command line, wherever on it they stood."""

    def __init__(self) -> None:
        self.config: Path = DEFAULT_CONFIG
        self.json: bool = False
        self.log: Path | None = None

    def load(self) -> Config:
        """The config that was named. Raises BadInput."""
        from migrator.config import load

        return load(self.config)

    @property
    def log_file(self) -> Path:
        """Where the log goes: as named, else beside the config."""
        folder = self.config.absolute().parent
        return self.log or (folder if folder.is_dir() else Path.cwd()) / "migrator.log"

    def start_log(self) -> Path:
        """Set the log up and return its file. Raises BadInput."""
        from migrator import logs
        from migrator.config import BadInput

        file = self.log_file
        if not logs.writable(file):
            raise BadInput(f"The log file {file} can't be written; name another one with --log-file.")
        logs.set_up(file)
        return file

    def keep_traceback(self, error: BaseException) -> Path:
        """Write an error with its traceback to the log, or to a temporary file if that can't be written."""
        from migrator import logs

        file = self.log_file
        if not logs.writable(file):
            file = Path(tempfile.gettempdir()) / "migrator.log"
        logs.set_up(file, quiet=True)
        logs.logger("migrator.cli").error("bug", exc_info=error)
        logs.take_down()
        return file


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Words), name, value)

    return callback


def global_options(*, with_environment: bool = False) -> Callable[[F], F]:
    """``--config``, ``--json`` and ``--log-file``, on the program and on each command alike; the later one counts."""

    def decorate(function: F) -> F:
        log = click.option(
            "--log-file",
            type=click.Path(dir_okay=False, path_type=Path),
            callback=_set("log"),
            expose_value=False,
            help="Where the log goes, as JSON lines.  [default: migrator.log beside the config]",
        )
        as_json = click.option(
            "--json", "as_json", is_flag=True, callback=_set("json"), expose_value=False, help="Print the result as JSON."
        )
        config = click.option(
            "-c",
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="MIGRATOR_CONFIG" if with_environment else None,
            callback=_set("config"),
            expose_value=False,
            help="The config file.  [default: migrator.toml, or what MIGRATOR_CONFIG names]",
        )
        return config(as_json(log(function)))

    return decorate


pass_words = click.make_pass_decorator(Words, ensure=True)


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON document; with escapes where the output can't hold every letter, as on a pipe of Windows."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
    click.echo(json.dumps(value, indent=2, ensure_ascii=plain, default=str))


def say_lines(*lines: str) -> None:
    """Print lines for people."""
    if lines:
        click.echo("\n".join(lines))


def say_csv(heading: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table for a spreadsheet. A text that begins like a formula gets an apostrophe, so that it stays a text."""
    from migrator.sheets import csv_text

    click.echo(csv_text(heading, rows), nl=False)


def explain(error: Exception) -> tuple[int, str]:
    """The exit code of an error and its sentence; the sentence of a bug is empty."""
    from connectors.errors import Halt, MailboxBlocked, Unavailable
    from migrator.config import BadInput
    from migrator.status import sentences
    from state.model import Fenced, LeaseHeld, LedgerAway, LedgerError

    match error:
        case Unavailable() | LeaseHeld() | Fenced():
            return PAUSED, sentences(str(error))
        case LedgerAway():
            return HALTED if error.mend else PAUSED, sentences(str(error), error.mend)
        case BadInput() | LedgerError():
            return BAD_INPUT, str(error)
        case Halt():
            return HALTED, sentences(str(error), error.mend)
        case MailboxBlocked():
            return HELD, sentences(str(error), error.mend)
    kind = type(error)
    if kind.__module__.startswith("sqlalchemy") and kind.__name__ == "OperationalError":
        # Its text holds the statement and the address of the database; the cause alone is for people.
        return PAUSED, f"The ledger does not answer ({getattr(error, 'orig', '')}); see that it is up, then run again."
    return BUG, ""
