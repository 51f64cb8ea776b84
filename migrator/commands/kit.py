"""``kit``: scripts and a checklist for what people do outside of this program, and what they did, read back."""

from __future__ import annotations

from pathlib import Path

import click

from migrator import counts
from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines


class _Kit(click.Group):
    """Takes a first word that is no command of its own for the name of a wave: ``kit wave1`` is ``kit write wave1``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:  # fmt: skip
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["write", *args]
        return super().resolve_command(ctx, args)


@click.group("kit", cls=_Kit, short_help="Write the scripts of a cutover; read results back.")
@global_options()
def kit() -> None:
    """Write the scripts and the checklist of a wave's cutover, and read back what people did with them.

    \b
    Examples:
      migrator kit wave1
      migrator kit import kit-wave1/01-lock-source.result.csv
    """


@kit.command("write", short_help="Write the scripts and the checklist of a wave.")
@click.argument("wave")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where to; made if it is not there.")
@click.option("--dry-run", is_flag=True, help="Name the files, write none.")
@global_options()
@pass_words
def write(words: Words, wave: str, folder: Path | None, dry_run: bool) -> int:
    """Write a folder of numbered PowerShell scripts and a checklist. Nothing is run; each script has -WhatIf and -Undo.

    `write` may be left out. Without --to the folder is kit-WAVE beside the config. Scripts there are written anew; results stay.

    \b
    Examples:
      migrator kit write wave1
      migrator kit wave1 --to ./weekend
    """
    from migrator.commands.finding import existing_ledger, wave_of
    from migrator.commands.finding import who as who_am_i
    from migrator.kit.folder import folder_for, moved_of, write_kit
    from migrator.kit.scripts import SCRIPTS

    config = words.load()
    with existing_ledger(config) as ledger:
        mailboxes = wave_of(ledger, wave)
        details = ledger.plans.details()
        people = [(row.source, row.target) for row in ledger.mailboxes()]
        name = mailboxes[0].wave
        folder = folder or folder_for(config.folder, name)
        moved = [moved_of(row, details.get(row.id, {}), config.source.access) for row in mailboxes]
        if dry_run:
            written = [folder / f"{script.file}.ps1" for script in SCRIPTS] + [folder / "CHECKLIST.md"]
        else:
            written = write_kit(folder, name, moved, people, config.source.username, config.target.client_id)
            ledger.plans.act(who_am_i(), "kit", wave=name, folder=str(folder))
    if words.json:
        say_json({"wave": name, "files": [str(file) for file in written], "dry_run": dry_run, "exit_code": 0})
    else:
        say_lines(
            f"{'Would write' if dry_run else 'The kit of'} {name}: {len(written)} files in {folder}; begin with CHECKLIST.md."
        )
    return 0


@kit.command("import", short_help="Read the results of scripts back.")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="RESULT.csv...")
@click.option("--who", default="", help="Who says so where the file does not, instead of this account and host.")
@click.option("--dry-run", is_flag=True, help="Read and count; write nothing.")
@global_options()
@pass_words
def import_(words: Words, files: tuple[Path, ...], who: str, dry_run: bool) -> int:
    """Read what the scripts of a kit did into the ledger; the last word about a mailbox and a step counts.

    Rows of -WhatIf count for nothing. A mailbox that the ledger does not know is named, and the rest is read.

    \b
    Examples:
      migrator kit import kit-wave1/01-lock-source.result.csv
      migrator kit import kit-wave1/03-permissions.result.csv kit-wave1/04-rules.result.csv
    """
    from migrator.commands.finding import existing_ledger
    from migrator.commands.finding import who as who_am_i
    from migrator.cutover.positions import positions
    from migrator.cutover.table import FAILED, routed_early
    from migrator.cutover.work import moved_on
    from migrator.kit.folder import read_results, take_in

    config = words.load()
    rows = [row for file in files for row in read_results(file)]
    with existing_ledger(config) as ledger:
        told = take_in(ledger, rows, who or who_am_i(), dry_run=dry_run)
        if not dry_run:
            for row in told.rows:
                moved_on(ledger, row)
            for wave in sorted({row.wave for row in told.rows}):
                counted = {f"{step} {result}": number for (step, result), number in sorted(told.counts.items())}
                ledger.plans.act(who or who_am_i(), "kit import", wave=wave, steps=counted)
        early = [one.address for one in positions(ledger, told.rows) if routed_early(one)]
    failed = sum(number for (_, result), number in told.counts.items() if result == FAILED)
    code = 2 if failed or told.unknown else 0
    if words.json:
        say_json(
            {
                "steps": [{"step": step, "result": result, "mailboxes": n} for (step, result), n in sorted(told.counts.items())],
                "unknown": list(told.unknown),
                "known_already": told.stale,
                "routed_early": early,
                "dry_run": dry_run,
                "exit_code": code,
            }
        )
        return code
    say_lines(*(f"{step} {result}: {counts.mailboxes(number)}" for (step, result), number in sorted(told.counts.items())))
    if not told.counts and not told.stale:
        say_lines("No row says that anything was done.")
    if told.stale:
        say_lines(
            f"Left out, because as much or more is known since then: {told.stale:,} rows;"
            " `migrator cutover confirm` says it in spite of that."
        )
    if told.unknown:
        say_lines(f"Not in the ledger, and left out: {', '.join(told.unknown)}")
    if early:
        say_lines(f"Their mail goes to the target before their final pass is done; run it soon: {', '.join(early)}")
    if failed:
        say_lines("What failed is not done: the detail is in the result file; mend it and run the script again.")
    return code
