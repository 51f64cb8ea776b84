"""What target folders are called and what kind they are of; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from connectors.base import Role

MAIL_NAMES: dict[Role, str] = {
    Role.ROOT: "msgfolderroot",
    Role.INBOX: "inbox",
    Role.DRAFTS: "drafts",
    Role.SENT: "sentitems",
    Role.DELETED: "deleteditems",
    Role.JUNK: "junkemail",
    Role.OUTBOX: "outbox",
    Role.ARCHIVE: "archive",
    Role.CONVERSATION_HISTORY: "conversationhistory",
}
"""Roles that mailFolders knows by a name of its own."""

OTHER_KINDS: dict[Role, str] = {
    Role.CALENDAR: "IPF.Appointment",
    Role.CONTACTS: "IPF.Contact",
    Role.TASKS: "IPF.Task",
    Role.NOTES: "IPF.StickyNote",
    Role.JOURNAL: "IPF.Journal",
}
"""Roles that only the admin interface knows, and their class."""

NAME_LIMIT = 255
MAIL = "IPF.Note"
FOLDER_CLASS = "String 0x3613"  # PidTagContainerClass
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
KIND_WORDS = {
    "ipf.note": "mail",
    "ipf.appointment": "calendar",
    "ipf.contact": "contacts",
    "ipf.task": "tasks",
    "ipf.stickynote": "notes",
    "ipf.journal": "journal",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One folder of the target. ``total`` is how many items it held when it was listed."""

    id: str
    parent_id: str
    name: str
    kind: str
    well_known: str | None = None
    children: int = 0
    total: int = 0


_PROBE = "Migrator probe "
_PROBE_NAME = re.compile(re.escape(_PROBE) + r"[0-9a-f]{8}")


def probe_name(installation: str) -> str:
    """What the hidden folder is called in which this installation's probes lay their items."""
    return _PROBE + blake2b(installation.encode(), digest_size=4).hexdigest()


def is_of_a_probe(name: str) -> bool:
    """Whether a folder is one in which a probe lays its items: they are nobody's copies, and soon gone."""
    return _PROBE_NAME.fullmatch(name) is not None


def safe_name(name: str) -> str:
    """The name, or the nearest one that the target takes; always the same for the same name."""
    found = " ".join(_CONTROLS.sub(" ", name).split()) if _CONTROLS.search(name) else name.strip()
    return found[:NAME_LIMIT].rstrip() or "Folder"


def family(kind: str) -> str:
    folded = kind.casefold()
    return next((known for known in KIND_WORDS if folded == known or folded.startswith(known + ".")), "ipf.note")


def node_of(found: dict[str, Any], kind: str | None = None) -> Node:
    if kind is None:
        properties = found.get("singleValueExtendedProperties") or ()
        kind = found.get("type") or next((each.get("value") for each in properties), None) or MAIL
    return Node(
        id=found["id"],
        parent_id=found.get("parentFolderId") or "",
        name=found.get("displayName") or "",
        kind=kind,
        well_known=(found.get("wellKnownName") or "").casefold() or None,
        children=found.get("childFolderCount") or 0,
        total=found.get("totalItemCount") or 0,
    )
