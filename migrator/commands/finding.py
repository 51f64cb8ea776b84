"""What commands look up before they begin: the ledger that has to be there, a wave, who it is that asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.config import Config
    from state.model import MailboxRow
    from state.store import Ledger


def existing_ledger(config: Config) -> Ledger:
    """Open the project's ledger; raises BadInput if there is none yet."""
    from migrator import app
    from migrator.commands.look import need_ledger

    need_ledger(config)
    return app.open_ledger(config)


def wave_of(ledger: Ledger, name: str) -> list[MailboxRow]:
    """The mailboxes of one wave, its name in any case. Raises BadInput if there is none."""
    rows = ledger.mailboxes()
    wave_named(rows, name)
    return [row for row in rows if row.wave.casefold() == name.casefold()]


def wave_named(rows: Sequence[MailboxRow], name: str | None) -> str | None:
    """A wave's name as these mailboxes have it, whatever the case it was typed in; None is all waves. Raises BadInput."""
    from migrator.config import BadInput

    if name is None:
        return None
    for row in rows:
        if row.wave.casefold() == name.casefold():
            return row.wave
    there = ", ".join(dict.fromkeys(row.wave for row in rows)) or "none"
    what = "is a mailbox; name its wave" if any(row.source.casefold() == name.casefold() for row in rows) else "is no wave"
    raise BadInput(f"{name} {what}; waves in the ledger: {there}.")


def some_of(mailboxes: list[MailboxRow], addresses: tuple[str, ...]) -> list[MailboxRow]:
    """Those of a wave that these source addresses name, in the wave's order. Raises BadInput for a stranger."""
    from migrator.config import BadInput

    wanted = {address.casefold() for address in addresses}
    for address in addresses:
        if all(row.source.casefold() != address.casefold() for row in mailboxes):
            raise BadInput(f"{address} is no mailbox of this wave; name it by its source address.")
    return [row for row in mailboxes if row.source.casefold() in wanted]


def who() -> str:
    """Who did it, where the operator does not say: the account that runs this, and on which host."""
    from migrator.errors.work import who_am_i

    return who_am_i()
