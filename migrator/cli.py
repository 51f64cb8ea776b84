"""The command line: global options, lazy commands, and what each ending means as an exit code.

    0 clean · 2 done with refusals · 3 paused · 4 a mailbox is held · 5 nobody can proceed · 64 usage · 65 bad input · 70 a bug

Only click is imported before a command is known, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from migrator.commands.words import PAUSED, Words, explain, global_options, say_json

COMMANDS = {
    "demo": "migrator.commands.try_out",
    "lab": "migrator.commands.try_out",
    "init": "migrator.commands.set_up",
    "assess": "migrator.commands.assess",
    "check": "migrator.commands.set_up",
    "wave": "migrator.commands.wave",
    "probe": "migrator.commands.ask",
    "run": "migrator.commands.carry",
    "serve": "migrator.commands.serve",
    "service": "migrator.commands.service",
    "settings": "migrator.commands.set_over",
    "status": "migrator.commands.standing",
    "show": "migrator.commands.monday",
    "trace": "migrator.commands.monday",
    "redo": "migrator.commands.monday",
    "mailbox": "migrator.commands.monday",
    "verify": "migrator.commands.look",
    "report": "migrator.commands.tell",
    "dashboard": "migrator.commands.tell",
    "errors": "migrator.commands.errors",
    "cutover": "migrator.commands.cutover",
    "kit": "migrator.commands.kit",
    "close": "migrator.commands.cutover",
    "db": "migrator.commands.ledger",
    "notify": "migrator.commands.notifying",
    "audit": "migrator.commands.shells",
    "completion": "migrator.commands.shells",
    "support": "migrator.commands.helping",
}
"""Commands in the order in which a project meets them, and where they live."""

USAGE = 64


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # click looks for what was meant among commands that were added to it; ours are named only.
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=list(COMMANDS), ctx=ctx) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mailbox-migrator", prog_name="migrator")
@global_options(with_environment=True)
def cli() -> None:
    """Move mailboxes from Exchange (EWS) to Microsoft 365 (Graph).

    \b
    Exit codes:
      0   clean
      2   done, and some items are refused or withheld, each by name
      3   paused: a server was away, or somebody stopped it; run again
      4   a mailbox is held until a person acts; the others went on
      5   nobody can proceed until a person acts
      64  the command was typed wrong
      65  a file, line or key is wrong; the message says which
      70  a bug; the message says where the details are

    \b
    Example:
      migrator init && migrator check && migrator run pilot
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors are said on stderr, with ``--json`` on stdout too."""
    as_json = "--json" in arguments
    words = Words()
    try:
        ended = cli.main(list(arguments), prog_name="migrator", standalone_mode=False, obj=words)
        # Output that nobody reads any more shows itself here, while something can still be done about it.
        sys.stdout.flush()
        return ended if isinstance(ended, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return USAGE
    except click.ClickException as error:
        error.show()
        if as_json:
            say_json({"error": error.format_message(), "exit_code": USAGE})
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return _say(words, "Stopped.", PAUSED)
    except SystemExit as error:
        # click's own way of saying the same.
        return 0 if error.code == 1 else USAGE
    except Exception as error:
        if _closed_pipe(error):
            return 0
        code, sentence = explain(error)
        return _say(words, sentence or _keep_bug(words, error), code)


def _closed_pipe(error: Exception) -> bool:
    """Whether a reader such as `head` has seen enough; then nothing may be written at exit either."""
    # Windows calls it an invalid argument, and names no file.
    odd = sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None
    if not odd and not isinstance(error, BrokenPipeError):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _keep_bug(words: Words, error: Exception) -> str:
    """Put the traceback where it can be found, and say where that is."""
    kept = words.keep_traceback(error)
    return f"This is a bug ({type(error).__name__}); the details are in {kept}, please report them."


def _say(words: Words, sentence: str, code: int) -> int:
    click.echo(f"migrator: {sentence}", err=True)
    if words.json:
        say_json({"error": sentence, "exit_code": code})
    return code


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    if os.environ.get("_MIGRATOR_COMPLETE"):
        from migrator.commands.shells import complete

        complete()
    sys.exit(run(sys.argv[1:]))
