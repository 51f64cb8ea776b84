"""``settings``: rules, categories, automatic replies, hours, permissions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.finding import existing_ledger
from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.settings.run import Carried, Work
    from state.model import MailboxRow

_REFUSED = 2


@click.command("settings", short_help="Carry rules, categories, replies and permissions.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be written, and write nothing.  [default]")
@click.option("--apply", "apply_", is_flag=True, help="Write it to the target, and the scripts for the rest.")
@click.option("--enable-rules", is_flag=True, help="Switch on the rules that are on at the source and send nothing.")
@click.option("--enable-rule", "named", multiple=True, metavar="NAME", help="Switch on this rule too, though it may send mail.")
@click.option("--enable-replies", is_flag=True, help="Switch automatic replies on where they are on at the source.")
@click.option(
    "--scripts",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the PowerShell scripts.  [default: powershell beside the config, with --apply]",
)
@global_options()
@pass_words
def settings(
    words: Words,
    names: tuple[str, ...],
    only_plan: bool,
    apply_: bool,
    enable_rules: bool,
    named: tuple[str, ...],
    enable_replies: bool,
    scripts: Path | None,
) -> int:
    """Carry what a mailbox is set up with: inbox rules, categories, automatic replies, working hours, permissions.

    Rules arrive switched off and automatic replies too; nothing of the target is overwritten or removed. What the target
    takes silently by no interface comes out as a commented PowerShell script.

    \b
    Examples:
      migrator settings
      migrator settings wave1 --apply
      migrator settings wave1 --apply --enable-rules --enable-rule "To my assistant"
    """
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.settings import scripts as powershell
    from migrator.settings.rooms import room_files, rooms_of
    from migrator.settings.run import Work, people_of
    from migrator.settings.words import Wishes
    from migrator.waves.file import select

    if only_plan and apply_:
        raise click.UsageError("--plan shows, --apply writes; give one of them.")
    config = words.load()
    stop = threading.Event()
    with existing_ledger(config) as ledger:
        everybody = ledger.mailboxes()
        chosen = select(everybody, names, "The ledger")
        app.bind(config, ledger)
        words.start_log()
        try:
            with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors, stop_on_signals(stop):
                work = Work(
                    ledger=ledger,
                    owner=app.owner(),
                    wishes=Wishes(enable_rules, enable_replies, frozenset(name.casefold() for name in named)),
                    horizon=config.run.settle_horizon,
                    lease=config.run.lease,
                    people=people_of(everybody),
                    stop=stop,
                )
                at_once = config.run.mailboxes_at_once
                done, held, paused = _each(connectors, work, chosen, apply_, at_once=at_once, quiet=words.json)
        finally:
            logs.take_down()
        written = []
        if done and (scripts is not None or apply_):
            folder = scripts or config.file.parent / "powershell"
            written = powershell.write_scripts(folder, done, people_of(everybody))
            rooms = rooms_of([one.mailbox for one in done], ledger.plans.details())
            written += powershell.put_files(folder, room_files(rooms, people_of(everybody)), "--scripts")
    code = _code(done, held, paused, apply_)
    strange = [] if held or paused else _unknown(named, done)
    if words.json:
        say_json(
            {
                "mailboxes": [_as_json(one, apply_) for one in done],
                "held": held,
                "paused": paused,
                "unknown_rules": strange,
                "scripts": [str(file) for file in written],
                "exit_code": code,
            }
        )
    else:
        _say_end(done, held, paused, written, apply_)
        say_lines(*(f"No rule of these mailboxes is called {name}." for name in strange))
    return code


def _each(
    connectors: Any, work: Work, chosen: Sequence[MailboxRow], apply_: bool, *, at_once: int, quiet: bool
) -> tuple[list[Carried], dict[str, str], dict[str, str]]:
    """Go through the mailboxes, some at once; what is done, in their order, and what holds or pauses others, by address."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import closing

    from connectors.errors import MailboxBlocked, Unavailable
    from migrator.settings.run import carry, look
    from migrator.status import sentences
    from state.model import Fenced, LeaseHeld

    def one(row: MailboxRow) -> Carried:
        with closing(connectors.source_settings(row, work.stop)) as source:
            return (carry if apply_ else look)(work, row, source, connectors.target_settings(row))

    done: list[Carried] = []
    held: dict[str, str] = {}
    paused: dict[str, str] = {}
    with ThreadPoolExecutor(at_once, "settings") as pool:
        under_way = [pool.submit(one, row) for row in chosen]
        try:
            for row, future in zip(chosen, under_way, strict=True):
                try:
                    done.append(future.result())
                except MailboxBlocked as error:
                    held[row.source] = sentences(str(error), error.mend)
                except (Unavailable, LeaseHeld, Fenced) as error:
                    paused[row.source] = sentences(str(error))
                else:
                    if not quiet:
                        say_lines(*_listing(done[-1], apply_))
        except BaseException:
            # Nobody can proceed, or it is a bug: those that have not begun never do, the others end at their next write.
            work.stop.set()
            for future in under_way:
                future.cancel()
            raise
    return done, held, paused


def _code(done: Sequence[Carried], held: dict[str, str], paused: dict[str, str], applied: bool) -> int:
    from migrator.commands.words import HELD, PAUSED

    if held:
        return HELD
    if paused:
        return PAUSED
    return _REFUSED if applied and any(one.refused for one in done) else 0


def _unknown(named: Sequence[str], done: Sequence[Carried]) -> list[str]:
    """Names that were to be switched on and that no rule has."""
    there = {rule.name.casefold() for one in done for rule in one.source.rules}
    return [name for name in named if name.casefold() not in there]


def _as_json(one: Carried, applied: bool) -> dict[str, Any]:
    return {
        "mailbox": one.mailbox.source,
        "target": one.mailbox.target,
        "wave": one.mailbox.wave,
        **one.counts,
        "written": one.written,
        "refused": one.refused,
        "settings": [
            {
                "kind": entry.kind.value,
                "name": entry.name,
                "becomes": _word(entry.verdict.value, applied),
                "waits": entry.waits,
                "at_the_source": entry.state,
                "why": entry.why,
            }
            for entry in one.entries
        ],
    }


_WORDS = {"write": ("would be written", "written"), "there": ("there already",) * 2, "scripted": ("in the script",) * 2}


def _word(verdict: str, applied: bool) -> str:
    return _WORDS.get(verdict, (verdict, verdict))[applied]


def _listing(one: Carried, applied: bool) -> list[str]:
    counted = one.counts
    said = ", ".join(f"{number} {word}" for word, number in counted.items())
    lines = [f"{one.mailbox.source}: {said}"]
    for entry in one.entries:
        state = f" ({entry.state})" if entry.state else ""
        why = f": {entry.why}" if entry.why else ""
        lines.append(f"  {_word(entry.verdict.value, applied):<18}{entry.kind.value} {entry.name}{state}{why}")
    return lines


def _say_end(
    done: Sequence[Carried], held: dict[str, str], paused: dict[str, str], written: Sequence[Path], applied: bool
) -> None:
    for mailbox, why in held.items():
        say_lines(f"{mailbox} is held: {why}")
    for mailbox, why in paused.items():
        say_lines(f"{mailbox} is paused, run again: {why}")
    if not applied and any(entry.change for one in done for entry in one.entries):
        say_lines("Nothing was written; `migrator settings --apply` does it.")
    if written:
        say_lines(*(f"Read it, then run it: {file}" for file in written))
