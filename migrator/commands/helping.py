"""``support``: something to send to whoever helps."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines


@click.group("support", short_help="Make something to send to whoever helps.")
@global_options()
def support() -> None:
    """Make something to send to whoever helps.

    \b
    Example:
      migrator support bundle ./for-support.zip
    """


@support.command("bundle", short_help="Pack versions, config, status and log, all names hidden.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@global_options()
@pass_words
def bundle(words: Words, file: Path) -> int:
    """Pack versions, the config, where each mailbox stands, passes, notes and the end of the log into a new zip file.

    Secrets are left out; addresses, hosts, accounts, folders and waves become words that mean nothing. Asks no server. Read it
    before you pass it on.

    \b
    Example:
      migrator support bundle ./for-support.zip
    """
    from migrator import app
    from migrator.config import BadInput
    from migrator.support import bundle as pack

    config = words.load()
    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator run` makes it.")
    with app.open_ledger(config) as ledger:
        try:
            held = pack(config, ledger, words.log_file, file)
        except FileExistsError:
            raise BadInput(f"{file} is there already; name another one.") from None
        except OSError as error:
            raise BadInput(f"{file} can't be written ({error.strerror}); name another one.") from None
    if words.json:
        say_json({"bundle": str(file), "holds": held, "exit_code": 0})
    else:
        say_lines(f"The bundle is in {file}; look into it before you pass it on.")
    return 0
