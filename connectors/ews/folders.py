"""How a folder of the wire is read, and when its change stamp is one that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.base import Folder, Role
from connectors.errors import Unavailable
from connectors.ews import soap
from connectors.ews.answer import T
from connectors.ews.soap import Prop

_SEARCH_FOLDER = "2"
_SEARCH, _ID, _PARENT, _NAME, _CLASS, _TOTAL = (
    f"{T}{name}" for name in ("SearchFolder", "FolderId", "ParentFolderId", "DisplayName", "FolderClass", "TotalCount")
)
_SETTLES = 60.0
"""Seconds after which a commit is told apart from a later one: times are told in whole seconds, and the servers of mailboxes and
those before them have clocks of their own."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A folder's element taken apart: its extended properties, its other children by tag, and what ``settled`` said of the
    answer that it came in."""

    id: str
    told: Mapping[str, str]
    parts: Mapping[str, Any]
    old: datetime | None = None


def shown(element: Any, old: datetime | None = None) -> Shown | None:
    """A folder of an answer, read in one walk; None for a search folder. Raises Unavailable if it has no id."""
    told, parts = soap.parts_of(element)
    if told.get(Prop.FOLDER_TYPE) == _SEARCH_FOLDER or element.tag == _SEARCH:
        return None
    own = parts.get(_ID)
    if own is None:
        raise Unavailable("The source lists a folder without an id.", code="no id")
    return Shown(own.get("Id"), told, parts, old)


def folder_of(one: Shown, roles: Mapping[str, Role], top: str | None, stamp: str | None = None) -> Folder:
    """A folder of a listing; ``top`` is the id of the top folder, ``stamp`` its change stamp."""
    id_, parts, told = one.id, one.parts, one.told
    parent = parts.get(_PARENT)
    parent_id = parent.get("Id") if parent is not None else None
    return Folder(
        id=id_,
        parent_id=None if parent_id == top else parent_id,
        name=soap.text_of(parts.get(_NAME)),
        kind=soap.text_of(parts.get(_CLASS)) or "IPF.Note",
        role=roles.get(id_),
        total=soap.number(soap.text_of(parts.get(_TOTAL))) or 0,
        unread=soap.number(told.get(Prop.UNREAD)) or 0,
        hidden=soap.truth(told.get(Prop.HIDDEN)),
        change_stamp=stamp,
    )


def stamp_of(one: Shown) -> str | None:
    """A folder's change stamp; None if the server gives none, or if a later change could have the same one.

    Creations and changes move the time, deletions their number [MS-OXCFOLD: PidTagLocalCommitTimeMax, PidTagDeletedCountTotal];
    the counts are there for good measure.
    """
    changed, deleted, old = one.told.get(Prop.COMMITTED), one.told.get(Prop.DELETED), one.old
    if not changed or not deleted or old is None:
        return None
    try:
        committed = datetime.fromisoformat(changed)
    except ValueError:
        return None
    if (committed if committed.tzinfo else committed.replace(tzinfo=UTC)) > old:
        return None
    return f"{changed}|{deleted}|{soap.text_of(one.parts.get(_TOTAL))}|{one.told.get(Prop.UNREAD, '')}"


def settled(headers: Mapping[str, str], took: float) -> datetime | None:
    """The newest commit that no later one can share its time with, by the server's own clock; None if it does not tell the time.

    ``headers`` are those of an answer, ``took`` is how many seconds it took: the stamps may have been read when it was asked for.
    """
    told = next((value for name, value in headers.items() if name.lower() == "date"), "")
    try:
        now = parsedate_to_datetime(told)
    except ValueError:
        return None
    return (now if now.tzinfo else now.replace(tzinfo=UTC)) - timedelta(seconds=took + _SETTLES)
