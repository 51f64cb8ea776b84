"""Trees of folders beside the mailbox itself: the online archive, and what was deleted but can still be recovered.

Both belong to the mailbox and are read by the same calls as everything else, by ids of their own: only the way in differs
[types.xsd: DistinguishedFolderIdNameType; 2010 SP1 and later]. Each comes out as one more folder at the top, under the name that
the operator gave it, with its own tree below. None of its folders has a role: the target's special folders are the mailbox's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from connectors.base import Folder
from connectors.errors import MailboxBlocked, Unavailable, UnknownAnswer
from connectors.ews import classify, soap
from connectors.ews.answer import M, code_of
from connectors.ews.client import MailboxClient
from connectors.ews.folders import Shown, folder_of, shown, stamp_of

Kind = Literal["archive", "recoverable"]

_TOP: dict[Kind, str] = {"archive": "archivemsgfolderroot", "recoverable": "recoverableitemsroot"}
_WHAT: dict[Kind, str] = {"archive": "online archive", "recoverable": "recoverable items"}
_DELETIONS = ("recoverableitemsdeletions",)
_HOLDS = ("recoverableitemsversions", "recoverableitemspurges", "recoverableitemsdiscoveryholds")
_NONE = frozenset({"ErrorFolderNotFound", "ErrorItemNotFound"})
"""What a server answers for a distinguished folder that this mailbox does not have."""

_TOO_OLD = frozenset({"ErrorSchemaValidation", "ErrorInvalidRequest", "ErrorInvalidServerVersion"})

Pages = Callable[[str], Iterator[Shown]]
"""Every folder below a distinguished one."""


@dataclass(frozen=True, slots=True)
class Root:
    """One such tree. ``name`` is that of its folder in the target; ``needed`` says that it has to be there.

    ``holds``: of recoverable items also what is only kept for a hold, not just what the user deleted. ``found`` is told when the
    tree is there.
    """

    kind: Kind
    name: str
    needed: bool = False
    holds: bool = False
    found: Callable[[Kind], None] | None = None


def further(client: MailboxClient, root: Root, pages: Pages, owner: str | None) -> Iterator[Folder]:
    """The folders of a tree, parents before children; nothing if there is none.

    Raises MailboxBlocked if a tree that is needed is not there, or is hosted elsewhere.
    """
    parts = () if root.kind == "archive" else (*_DELETIONS, *(_HOLDS if root.holds else ()))
    [top, *below] = _asked(client, (_TOP[root.kind], *parts), owner)
    if top is None or (parts and below[0] is None):
        if root.needed:
            raise MailboxBlocked(
                f"The source shows no {_WHAT[root.kind]} of this mailbox.",
                code=f"no-{root.kind}",
                side="source",
                mend="Bring it back, or say that it is no longer wanted; what it held stays in the target.",
            )
        return
    if root.found is not None:
        root.found(root.kind)
    yield replace(top, parent_id=None, name=root.name, kind="IPF.Note")
    for part in below:
        if part is not None:
            yield replace(part, parent_id=top.id, kind="IPF.Note")
    if root.kind == "archive":
        for one in pages(_TOP[root.kind]):
            yield folder_of(one, {}, None, stamp_of(one))


def _asked(client: MailboxClient, names: Sequence[str], owner: str | None) -> list[Folder | None]:
    """These distinguished folders, None for each that is not there."""

    def read(messages: list[Any]) -> list[Folder | None]:
        if len(messages) != len(names):
            raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
        found: list[Folder | None] = []
        for message in messages:
            code, values = code_of(message)
            element = next(iter(message.iterfind(f"{M}Folders/*")), None)
            if code == "NoError" and element is not None:
                told = shown(element)
                found.append(None if told is None else folder_of(told, {}, None))
            elif code in _NONE:
                found.append(None)
            else:
                classify.raise_for(code, text="", values=values)
        return found

    try:
        return client.ask("GetFolder", soap.get_trees(names, owner), read)
    except UnknownAnswer as error:
        if error.code not in _TOO_OLD:
            raise
        raise MailboxBlocked(
            "This version of the source server knows no such folders.",
            code="too-old-for-trees",
            side="source",
            mend="It takes Exchange 2010 SP1 or later; leave run.archive and run.recoverable empty.",
        ) from error
