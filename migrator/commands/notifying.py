"""``notify``: tries the channels out, sends the digest, and writes messages to owners of mailboxes into files."""

from __future__ import annotations

import time
from pathlib import Path

import click

from migrator.commands.words import PAUSED, Words, global_options, pass_words, say_json, say_lines


@click.group("notify", short_help="Tell the team, and prepare what owners are told.")
@global_options()
def notify() -> None:
    """Tell the team what happens, by the channels of [notify]; runs do it by themselves. Owners of mailboxes get nothing.

    \b
    Example:
      migrator notify test
    """


@notify.command("test", short_help="Send a test message by every channel.")
@global_options()
@pass_words
def test(words: Words) -> int:
    """Send a test message by every channel that the config names, and say what became of it. Ends with 3 if one did not take it.

    \b
    Example:
      migrator notify test
    """
    from migrator.notify import Event

    return _send(words, Event("test", "This is a test of `migrator notify test`; nothing has happened."))


@notify.command("digest", short_help="Send the digest now.")
@global_options()
@pass_words
def digest_(words: Words) -> int:
    """Send the daily digest now, for a scheduler of your own; a run or `serve` that is up at notify.digest_at does it by itself.

    \b
    Example:
      migrator notify digest
    """
    from migrator import app
    from migrator.commands.look import need_ledger
    from migrator.edges import digest

    config = words.load()
    need_ledger(config)
    with app.open_ledger(config) as ledger:
        event = digest(ledger)
    return _send(words, event)


@notify.command("owners", short_help="Write messages to owners of mailboxes into files.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--message", type=click.Choice(["soon", "done"]), default="soon", show_default=True, help="What to tell them.")
@click.option("--day", default="", help="The day of the move, as it shall be written.")
@click.option("--contact", default="", help="Whom they may ask, as it shall be written.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("messages"),
    show_default=True,
    help="The folder.",
)
@global_options()
@pass_words
def owners(words: Words, names: tuple[str, ...], message: str, day: str, contact: str, folder: Path) -> int:
    """Write a message for each owner into a file (.eml, unsent), in the language that the spreadsheet names. You send them.

    Opened in Outlook, such a file is a draft. Nothing is overwritten.

    \b
    Examples:
      migrator notify owners wave1 --day "Saturday, 28 November" --contact "the help desk, 4711"
      migrator notify owners wave1 --message done --to ./done
    """
    from migrator import app
    from migrator.commands.look import need_ledger
    from migrator.config import BadInput
    from migrator.owners import write
    from migrator.waves.file import select

    config = words.load()
    need_ledger(config)
    with app.open_ledger(config) as ledger:
        rows = select(ledger.mailboxes(), names, "The ledger")
        details = ledger.plans.details()
    try:
        written = write(folder, rows, details, message, day=day, contact=contact)
    except FileExistsError as error:
        raise BadInput(f"{error.filename} is there already; name another folder with --to.") from None
    except OSError as error:
        raise BadInput(f"{folder} can't be written ({error.strerror}); name another folder with --to.") from None
    if words.json:
        say_json({"written": [str(file) for file in written], "exit_code": 0})
    else:
        say_lines(f"{len(written):,} messages are in {folder}; nothing was sent.")
    return 0


def _send(words: Words, event: object) -> int:
    from migrator import logs
    from migrator.config import BadInput
    from migrator.notify import Event, Failed, channels, letters

    assert isinstance(event, Event)
    config = words.load()
    words.start_log()
    try:
        to = channels(config)
        if not to:
            raise BadInput(f"{config.file}: [notify] names no channel; give notify.teams, slack, webhook or smtp_host.")
        [letter] = letters([event], time.time())
        became: dict[str, str] = {}
        for channel in to:
            try:
                channel.send(letter)
                became[channel.name] = "sent"
            except Failed as error:
                became[channel.name] = str(error)
    finally:
        logs.take_down()
    code = 0 if all(one == "sent" for one in became.values()) else PAUSED
    if words.json:
        say_json({"channels": became, "exit_code": code})
    else:
        say_lines(*(f"{name:<8}{one}" for name, one in became.items()))
    return code
