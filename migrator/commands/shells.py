"""``audit``: what operators did; ``completion``: lets a shell complete words."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

import click

from migrator.commands.words import Words, global_options, pass_words, say_csv, say_json, say_lines

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName migrator -ScriptBlock {
    param($word, $line, $position)
    $words = @($line.CommandElements | ForEach-Object { $_.Extent.Text })
    $index = if ($word) { $words.Count - 1 } else { $words.Count }
    $env:COMP_WORDS = $words -join "`n"
    $env:COMP_CWORD = "$index"
    $env:_MIGRATOR_COMPLETE = "powershell_complete"
    try { $found = & migrator } finally { $env:_MIGRATOR_COMPLETE = $null; $env:COMP_WORDS = $null; $env:COMP_CWORD = $null }
    $found | Where-Object { $_ } | ForEach-Object {
        $kind, $value = $_ -split ",", 2
        [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $value)
    }
}
"""


@click.command("audit", short_help="Show what operators did: who, when, what and why.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--who", default="", help="Only what this person did (a part of the name).")
@click.option("--what", default="", help="Only acts whose name begins so, such as cutover.")
@click.option("--last", type=click.IntRange(1), default=100, show_default=True, help="How many, the newest first.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@global_options()
@pass_words
def audit(words: Words, names: tuple[str, ...], who: str, what: str, last: int, as_csv: bool) -> int:
    """Show the trail of what operators did: approvals, retries, waves, cutovers, undos, and who decided them and why.

    \b
    Examples:
      migrator audit
      migrator audit wave1 --what cutover
      migrator audit anna@example.com --csv
    """
    from migrator import app
    from migrator.commands.look import need_ledger
    from migrator.status import WIDTH, lay_out, moment
    from migrator.waves.file import select

    config = words.load()
    need_ledger(config)
    with app.open_ledger(config) as ledger:
        rows = {row.id: row for row in ledger.mailboxes()}
        chosen = {row.id for row in select(list(rows.values()), names, "The ledger")} if names else None
        waves = {name.casefold() for name in names}
        acts = [
            one
            for one in ledger.plans.acts()
            if (chosen is None or one.mailbox_id in chosen or (one.mailbox_id is None and one.wave.casefold() in waves))
            and who.casefold() in one.who.casefold()
            and one.what.startswith(what)
        ][:last]
    told = [
        {**asdict(one), "at": _iso(one.at), "mailbox": rows[one.mailbox_id].source if one.mailbox_id in rows else ""}
        for one in acts
    ]
    if words.json:
        say_json({"acts": told, "exit_code": 0})
        return 0
    if as_csv:
        heading = ("at", "who", "what", "wave", "mailbox", "why", "about")
        say_csv(heading, [[one["at"], *(one[name] for name in heading[1:-1]), _about(one["about"])] for one in told])
        return 0
    now = time.time()
    cells = [
        (
            moment(act.at, now),
            act.who,
            act.what,
            one["mailbox"] or act.wave,
            " ".join(part for part in (act.why, _about(act.about)) if part),
        )
        for act, one in zip(acts, told, strict=True)
    ]
    if not cells:
        say_lines("Nobody did anything yet that is kept here.")
        return 0
    heading_ = ("WHEN", "WHO", "WHAT", "WHERE", "WHY")
    say_lines(*lay_out(heading_, cells, WIDTH, left=frozenset(range(5)), limits={1: 20, 2: 18, 3: 24}))
    return 0


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _about(about: object) -> str:
    return ", ".join(f"{name}={value}" for name, value in about.items()) if isinstance(about, dict) else ""


@click.command("completion", short_help="Print what lets a shell complete the words of this program.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@global_options()
@pass_words
def completion(words: Words, shell: str) -> int:
    """Print a script for a shell, which then completes commands and options when Tab is pressed.

    \b
    Examples:
      migrator completion bash >> ~/.bashrc
      migrator completion zsh >> ~/.zshrc
      migrator completion fish > ~/.config/fish/completions/migrator.fish
      migrator completion powershell >> $PROFILE
    """
    script = _script(shell)
    if words.json:
        say_json({"shell": shell, "script": script, "exit_code": 0})
    else:
        click.echo(script, nl=not script.endswith("\n"))
    return 0


def _script(shell: str) -> str:
    if shell == "powershell":
        return _POWERSHELL
    from click.shell_completion import get_completion_class

    from migrator.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    return kind(cli, {}, "migrator", "_MIGRATOR_COMPLETE").source()


def complete() -> None:
    """Answer a shell that asks for words, if one does; then the process ends."""
    import os

    asked = os.environ.get("_MIGRATOR_COMPLETE", "")
    if not asked:
        return
    from click.shell_completion import BashComplete, add_completion_class, shell_complete

    from migrator.cli import cli

    class PowerShellComplete(BashComplete):
        """Words come one a line, because PowerShell has split them already."""

        name = "powershell"

        def get_completion_args(self) -> tuple[list[str], str]:
            given = os.environ["COMP_WORDS"].split("\n")
            at = int(os.environ["COMP_CWORD"])
            return given[1:at], given[at] if at < len(given) else ""

    add_completion_class(PowerShellComplete)
    sys.exit(shell_complete(cli, {}, "migrator", "_MIGRATOR_COMPLETE", asked))
