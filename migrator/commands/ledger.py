"""``db``: looking after the ledger."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.commands.words import HALTED, Words, global_options, pass_words, say_json, say_lines


@click.group("db")
@global_options()
def db() -> None:
    """Look after the ledger.

    \b
    Examples:
      migrator db backup before-cutover.db
      migrator db check
    """


@db.command("upgrade", short_help="Bring the ledger to this version's schema.")
@global_options()
@pass_words
def upgrade(words: Words) -> int:
    """Bring the ledger to this version's schema; what it remembers stays. Do it while nothing runs.

    \b
    Example:
      migrator -c ./project/migrator.toml db upgrade
    """
    from migrator import app

    config = words.load()
    before, after = app.upgrade_ledger(config)
    if words.json:
        say_json({"before": before, "after": after, "exit_code": 0})
    else:
        was = f"was: {before}" if before else "it is new"
        say_lines(f"The ledger is at {after} already." if before == after else f"The ledger is at {after} now ({was}).")
    return 0


@db.command("backup", short_help="Copy the ledger into a file, also while it is in use.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@global_options()
@pass_words
def backup(words: Words, file: Path) -> int:
    """Copy the ledger into a file, also while passes run; the copy is read to its end before it counts.

    For a ledger in a file; one on Postgres is copied with pg_dump.

    \b
    Example:
      migrator db backup before-cutover.db
    """
    from state.upkeep import backup as copy

    size = copy(words.load().ledger.url, file)
    if words.json:
        say_json({"file": str(file), "bytes": size, "exit_code": 0})
    else:
        say_lines(f"The ledger is copied to {file} ({size / 1e6:,.1f} MB).")
    return 0


@db.command("check", short_help="Read the whole ledger and say what is wrong with it.")
@global_options()
@pass_words
def check(words: Words) -> int:
    """Read the whole ledger: is the file sound, and do its sums agree with its rows? Ends with 5 if something is wrong.

    \b
    Example:
      migrator db check
    """
    from migrator.commands.look import need_ledger
    from state.upkeep import check as look_through

    config = words.load()
    need_ledger(config)
    faults = look_through(config.ledger.url)
    code = HALTED if faults else 0
    if words.json:
        say_json({"faults": faults, "exit_code": code})
    else:
        mend = (
            "Stop all runs; bring back a copy (`migrator db restore`) or, without one, `migrator db rebuild` from a new ledger."
        )
        say_lines(*(faults or ["The ledger is sound."]), *([mend] if faults else []))
    return code


@db.command("restore", short_help="Put a copy in the ledger's place.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@global_options()
@pass_words
def restore(words: Words, file: Path) -> int:
    """Put a copy in the ledger's place. The copy is checked first, and the ledger that was there is kept beside it.

    A copy is older than the target: the next `run` says so for each mailbox that was written to since, and `db rebuild`
    lets the ledger catch up.

    \b
    Example:
      migrator db restore before-cutover.db && migrator db rebuild
    """
    from state.upkeep import restore as bring_back

    kept = bring_back(words.load().ledger.url, file)
    if words.json:
        say_json({"restored": str(file), "kept": str(kept) if kept else None, "exit_code": 0})
    else:
        say_lines(f"The ledger is that of {file} now.", *([f"What was there before is kept in {kept}"] if kept else []))
    return 0


@db.command("rebuild", short_help="Let the ledger learn from the target what is there already.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--take-over", is_flag=True, help="Also where another ledger has its claim on the mailbox.")
@global_options()
@pass_words
def rebuild(words: Words, names: tuple[str, ...], take_over: bool) -> int:
    """Let the ledger learn what the targets hold already, by the items' stamps and identities, so that nothing is doubled.

    For a ledger that was lost, restored from a copy, or that follows another tool. Writes no item; the next `run` carries what
    is missing. What users did in the target since is left alone.

    \b
    Examples:
      migrator db rebuild
      migrator db rebuild anna@example.com --take-over
    """
    from migrator.commands.carry import carry, endings_as_json, endings_table

    config = words.load()
    words.start_log()
    endings = carry(config, names, quiet=words.json, rebuild="take-over" if take_over else "behind")
    code = max((ending.code for ending in endings), default=0)
    if words.json:
        say_json({"mailboxes": endings_as_json(endings), "exit_code": code})
    else:
        say_lines(*endings_table(endings))
    return code
