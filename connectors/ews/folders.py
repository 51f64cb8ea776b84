"""How a folder of the wire is read, and when its change stamp is one that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from lxml import etree

from connectors.base import Folder, Role
from connectors.errors import Unavailable
from connectors.ews import soap
from connectors.ews.answer import T
from connectors.ews.soap import Prop

_SEARCH_FOLDER = "2"
_SETTLES = 60.0
"""Seconds after which a commit is told apart from a later one: times are told in whole seconds, and the servers of mailboxes and
those before them have clocks of their own."""


def folder_of(
    element: Any, told: Mapping[str, str], roles: Mapping[str, Role], top: str | None, old: datetime | None
) -> Folder | None:
    """A folder of a listing; None for a search folder. ``told`` are its extended properties, ``top`` the id of the top folder,
    ``old`` is what ``settled`` said."""
    if told.get(Prop.FOLDER_TYPE) == _SEARCH_FOLDER or etree.QName(element).localname == "SearchFolder":
        return None
    own = element.find(f"{T}FolderId")
    if own is None:
        raise Unavailable("The source lists a folder without an id.", code="no id")
    parent = element.find(f"{T}ParentFolderId")
    parent_id = parent.get("Id") if parent is not None else None
    return Folder(
        id=own.get("Id"),
        parent_id=None if parent_id == top else parent_id,
        name=element.findtext(f"{T}DisplayName") or "",
        kind=element.findtext(f"{T}FolderClass") or "IPF.Note",
        role=roles.get(own.get("Id")),
        total=soap.number(element.findtext(f"{T}TotalCount")) or 0,
        unread=soap.number(told.get(Prop.UNREAD)) or 0,
        hidden=soap.truth(told.get(Prop.HIDDEN)),
        change_stamp=stamp_of(element, told, old),
    )


def stamp_of(element: Any, told: Mapping[str, str], old: datetime | None) -> str | None:
    """A folder's change stamp; None if the server gives none, or if a later change could have the same one.

    Creations and changes move the time, deletions their number [MS-OXCFOLD: PidTagLocalCommitTimeMax, PidTagDeletedCountTotal];
    the counts are there for good measure.
    """
    changed, deleted = told.get(Prop.COMMITTED), told.get(Prop.DELETED)
    if not changed or not deleted or old is None:
        return None
    try:
        committed = datetime.fromisoformat(changed)
    except ValueError:
        return None
    if (committed if committed.tzinfo else committed.replace(tzinfo=UTC)) > old:
        return None
    return f"{changed}|{deleted}|{element.findtext(f'{T}TotalCount') or ''}|{told.get(Prop.UNREAD, '')}"


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
