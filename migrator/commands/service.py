"""``service``: lets the system keep ``serve`` alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.waves.service import Step

UNITS = Path("/etc/systemd/system")

_SYSTEMS = click.Choice(["systemd", "windows"])
_HERE = "windows" if os.name == "nt" else "systemd"


@click.group("service", short_help="Let the system keep `serve` alive.")
@global_options()
def service() -> None:
    """Let the system keep `migrator serve` alive: a systemd unit, or a task of the Windows Task Scheduler.

    \b
    Example:
      migrator service install
    """


def _name(words: Words, name: str) -> str:
    return name or words.config.resolve().parent.name or "migration"


@service.command("install", short_help="Show how it is installed; do it with --yes.")
@click.option("--name", default="", help="What it is called; else as the config's folder.")
@click.option("--user", default="", help="The account it runs as; else root or SYSTEM.")
@click.option("--system", type=_SYSTEMS, default=_HERE, show_default=True, help="For which system.")
@click.option("--dry-run", is_flag=True, help="Only show it, also with --yes.")
@click.option("--yes", is_flag=True, help="Do it, instead of only showing it.")
@global_options()
@pass_words
def install(words: Words, name: str, user: str, system: str, dry_run: bool, yes: bool) -> int:
    """Show the files and commands that install `migrator serve` with this config; with --yes, write and run them.

    \b
    Examples:
      migrator service install --user migration
      migrator service install --yes
    """
    from migrator.config import BadInput
    from migrator.waves.service import BadName, Service, on_systemd, on_windows, remarks, secrets_of

    config = words.load()
    try:
        made = Service(
            name=_name(words, name),
            python=Path(sys.executable),
            config=config.file,
            user=user,
            secrets=secrets_of({key: config.text(key) for key in config.secret_keys}),
        )
    except BadName as error:
        raise BadInput(str(error)) from None
    windows = system == "windows"
    file = config.folder / f"migrator-{made.name}.xml"
    steps = on_windows(made, file) if windows else on_systemd(made, UNITS)
    return _do(words, steps, remarks(made, windows), yes and not dry_run, system)


@service.command("remove", short_help="Show how it is removed; do it with --yes.")
@click.option("--name", default="", help="What it is called; else as the config's folder.")
@click.option("--system", type=_SYSTEMS, default=_HERE, show_default=True, help="For which system.")
@click.option("--dry-run", is_flag=True, help="Only show it, also with --yes.")
@click.option("--yes", is_flag=True, help="Do it, instead of only showing it.")
@global_options()
@pass_words
def remove(words: Words, name: str, system: str, dry_run: bool, yes: bool) -> int:
    """Show the commands that remove it again; with --yes, run them. Config, ledger and log stay.

    \b
    Example:
      migrator service remove --yes
    """
    from migrator.waves.service import off_systemd, off_windows

    called = _name(words, name)
    steps = off_windows(called) if system == "windows" else off_systemd(called, UNITS)
    return _do(words, steps, [], yes and not dry_run, system)


@service.command("status", short_help="Say whether something serves this ledger.")
@global_options()
@pass_words
def status(words: Words) -> int:
    """Say whether a process serves this ledger just now, by the ledger alone; ends with 0 if one does, else with 3.

    \b
    Example:
      migrator service status
    """
    import time

    from migrator import app
    from migrator.config import BadInput
    from migrator.counts import iso
    from migrator.waves.serving import ALIVE

    config = words.load()
    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator wave import FILE` makes it.")
    with app.open_ledger(config) as ledger:
        until = ledger.hints().get(ALIVE)
    alive = until is not None and until > time.time()
    if words.json:
        say_json({"alive": alive, "heard_until": iso(until), "exit_code": 0 if alive else 3})
    elif alive:
        say_lines("A process serves this ledger.")
    else:
        ever = "it was stopped, or has not been heard of for a minute" if until is not None else "none ever did"
        say_lines(f"No process serves this ledger: {ever}; `migrator serve` does, `migrator service install` keeps it alive.")
    return 0 if alive else 3


def _do(words: Words, steps: list[Step], said: list[str], really: bool, system: str) -> int:
    from migrator.config import BadInput

    if really and system != _HERE:
        raise BadInput(f"These steps are for {system}, which this machine is not; copy them there.")
    for step in steps if really else ():
        _take(step)
    shown = [step.shown() for step in steps]
    if words.json:
        say_json({"steps": shown, "remarks": said, "done": really, "exit_code": 0})
    else:
        say_lines(*shown, *said)
        say_lines("Done." if really else "Nothing was done; --yes does it.")
    return 0


def _take(step: Step) -> None:
    from migrator.config import BadInput

    if step.file is not None:
        file = Path(step.file)
        try:
            file.write_text(step.text, "utf-16" if file.suffix == ".xml" else "utf-8")
        except OSError as error:
            raise BadInput(f"{file} can't be written ({error.strerror}); run this as an administrator.") from None
        return
    try:
        done = subprocess.run(step.command, check=False)  # noqa: S603 - shown to the operator before
    except OSError as error:
        raise BadInput(f"{step.command[0]} can't be run ({error.strerror}); is this the right system?") from None
    if done.returncode:
        raise BadInput(f"`{step.shown()}` ended with {done.returncode}; mend that, then run this again: it begins anew.")
