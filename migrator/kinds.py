"""What belongs to a mailbox beside its own folders, and where that goes: its online archive, and its recoverable items. Pure.

What the waves file says of a mailbox comes before what the config says for all. A tree that was carried once can't silently be
left out: its folders would look as if somebody had deleted them, and the next passes would follow that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.errors import MailboxBlocked
from migrator.config import RunSection

Kind = Literal["archive", "recoverable"]

ARCHIVE_FOLDER = "Online archive"
"""Where an archive goes if the waves file says that there is one, and nobody named a folder."""

SEEN = "trees"
"""The kind of observation that remembers which trees were carried: ``{kind: name}``."""

_WHAT: Mapping[Kind, str] = {"archive": "online archive", "recoverable": "recoverable items"}
_MEND: Mapping[Kind, str] = {
    "archive": "Name it again, as run.archive or in the column archive of the waves file; what it brought stays in the target.",
    "recoverable": "Name run.recoverable again; what it brought stays in the target.",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree that is to be carried, the name of its folder at the target's top, and whether it has to be there."""

    kind: Kind
    name: str
    needed: bool = False


def archive_address(details: Mapping[str, Any]) -> str:
    """The mailbox of its own that an online archive goes into, by a project of its own (``wave archives``); empty: none."""
    said = details.get("archive")
    return said if isinstance(said, str) and "@" in said else ""


def trees_of(run: RunSection, details: Mapping[str, Any], seen: Mapping[str, str]) -> tuple[Tree, ...]:
    """The trees of a mailbox. ``details`` are its columns, ``seen`` what was carried before.

    Raises MailboxBlocked for a tree that was carried and is not wanted any more.
    """
    wanted: dict[Kind, Tree] = {}
    said = details.get("archive")
    if archive_address(details):
        pass  # another project carries it
    elif isinstance(said, str) and said:
        wanted["archive"] = Tree("archive", said, needed=True)
    elif said is True:
        wanted["archive"] = Tree("archive", run.archive or ARCHIVE_FOLDER, needed=True)
    elif run.archive and said is None:
        wanted["archive"] = Tree("archive", run.archive, needed="archive" in seen)
    if run.recoverable:
        wanted["recoverable"] = Tree("recoverable", run.recoverable, needed="recoverable" in seen)
    for kind in _WHAT:
        if kind in seen and kind not in wanted:
            raise MailboxBlocked(
                f"Its {_WHAT[kind]} was carried to the folder {seen[kind]} before, and is not named any more.",
                code=f"{kind}-left-out",
                side="source",
                mend=_MEND[kind],
            )
    if run.only_trees and not wanted:
        raise MailboxBlocked(
            "Only archives and recoverable items are to be carried, and neither is named.",
            code="no-tree",
            side="source",
            mend="Name run.archive or run.recoverable, or set run.only_trees to false.",
        )
    return tuple(wanted.values())


def carried_whole() -> MailboxBlocked:
    """The error for a mailbox of which more than its further trees was carried, and now is not to be."""
    return MailboxBlocked(
        "Its own folders were carried into this target before, and run.only_trees leaves them out.",
        code="mailbox-left-out",
        side="source",
        mend="Set run.only_trees to false; to put archives into mailboxes of their own, make a project of its own for them.",
    )
