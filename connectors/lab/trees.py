"""Further trees of a simulated mailbox: an online archive, recoverable items, public folders. Nothing has one unless asked for.

They lie beside the top of the mailbox, not below it, so that only who asks for them by name ever meets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exchange_call import Call
from .truth import Box, Mailbox, seeded_bytes

ARCHIVE, RECOVERABLE, PUBLIC = "archivemsgfolderroot", "recoverableitemsroot", "publicfoldersroot"
_PARTS = (
    ("recoverableitemsdeletions", "Deletions"),
    ("recoverableitemsversions", "Versions"),
    ("recoverableitemspurges", "Purges"),
    ("recoverableitemsdiscoveryholds", "DiscoveryHolds"),
)


def add_archive(mailbox: Mailbox, folders: Sequence[tuple[str, str]] = (("Inbox", "IPF.Note"),)) -> dict[str, Box]:
    """Give a mailbox an online archive with folders of these paths and classes; all its folders by path, the top's is empty."""
    return _tree(mailbox, ARCHIVE, "Top of Information Store", folders)


def add_public(mailbox: Mailbox, folders: Sequence[tuple[str, str]]) -> dict[str, Box]:
    """Let a mailbox see public folders of these paths and classes; all of them by path, the top's is empty."""
    return _tree(mailbox, PUBLIC, "IPM_SUBTREE", folders)


def add_recoverable(mailbox: Mailbox) -> dict[str, Box]:
    """Give a mailbox the folders of what can be recovered; by role."""
    top = _add(mailbox, None, "Recoverable Items", "IPF.Note", RECOVERABLE)
    found = {RECOVERABLE: top}
    return found | {role: _add(mailbox, top.id, name, "IPF.Note", role) for role, name in _PARTS}


def is_public(mailbox: Mailbox, box: Box) -> bool:
    """Whether a folder is public; for those some calls are refused [learn.microsoft.com: public folders and EWS]."""
    at: Box | None = box
    while at is not None and at.role != PUBLIC:
        at = mailbox.boxes.get(at.parent_id or "")
    return at is not None


def led_to(call: Call, box: Box) -> bool:
    """Whether a request comes to where the folder's content lies: that of a public one, in its public folder mailbox.

    Which one that is tells PidTagReplicaList; ``public_unrouted`` has a server that finds the way without being led.
    """
    holder = box.extended.get("Binary 0x6698")
    if call.options.public_unrouted or not isinstance(holder, bytes) or not is_public(call.box_of(), box):
        return True
    return call.public_mailbox.partition("@")[0] == holder.split(b"\0")[0].decode("ascii")


def _tree(mailbox: Mailbox, role: str, name: str, folders: Sequence[tuple[str, str]]) -> dict[str, Box]:
    found = {"": _add(mailbox, None, name, "IPF.Note", role)}
    for path, kind in folders:
        parent, _, own = path.rpartition("/")
        found[path] = _add(mailbox, found[parent].id, own, kind)
    return found


def _add(mailbox: Mailbox, parent: str | None, name: str, kind: str, role: str | None = None) -> Box:
    own = seeded_bytes("tree", mailbox.guid, parent, role or name, length=12).hex()
    return mailbox.add_box(Box(own, parent, name, kind, role))
