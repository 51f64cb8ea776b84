"""Delta queries: what a folder or the folder tree went through since a token, read from the mailbox's history.

The first round shows everything there is; its last page carries the link for the next round. Removed ones are shown by id.
A token that this mailbox never gave is answered with 410 and SyncStateNotFound, as an outlived one is.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .tenant_call import Answer, Call, GraphError
from .tenant_folders import show_admin, show_mail
from .tenant_import import show as show_item
from .tenant_index import Index
from .tenant_mail import find_folder
from .tenant_mail import show as show_message
from .truth import Item

PAGE_DEFAULT = 100
_PAGE_SIZE = re.compile(r"odata\.maxpagesize=(\d+)")


def _write(index: Index, *numbers: int) -> str:
    text = ":".join([index.mailbox.guid, *map(str, numbers)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(index: Index, token: str, count: int) -> list[int]:
    try:
        guid, *numbers = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split(":")
        found = [int(number) for number in numbers]
    except ValueError:
        guid, found = "", []
    if guid != index.mailbox.guid or len(found) != count or found[0] > index.mailbox.clock:
        raise GraphError(410, "SyncStateNotFound", "The sync state generation is not found.")
    return found


def _round(call: Call, rows: Callable[[int | None], list[dict[str, Any]]], context: str) -> Answer:
    """One page of a round; ``rows(since)`` are all that the round shows, since None being the first."""
    index = call.box
    start, since, until = 0, -1, index.mailbox.clock
    if token := call.query.get("$skiptoken"):
        until, since, start = _read(index, token, 3)
    elif token := call.query.get("$deltatoken"):
        since = _read(index, token, 1)[0]
    shown = rows(None if since < 0 else since)
    asked = _PAGE_SIZE.search(call.headers.get("prefer", ""))
    wanted = asked.group(1) if asked else call.query.get("$top", str(PAGE_DEFAULT))
    size = int(wanted) if wanted.isdecimal() else 0
    if size < 1:
        raise GraphError(400, "ErrorInvalidUrlQuery", "The size of a page is out of range.")
    kept = {name: value for name, value in call.query.items() if name not in ("$skiptoken", "$deltatoken")}
    more = start + size < len(shown)
    kept["$skiptoken" if more else "$deltatoken"] = _write(index, until, since, start + size) if more else _write(index, until)
    options = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in kept.items())
    link = f"{call.base}{call.path}?{options}"
    body: dict[str, Any] = {"@odata.context": f"{call.base}/v1.0/$metadata#{context}", "value": shown[start : start + size]}
    body["@odata.nextLink" if more else "@odata.deltaLink"] = link
    return Answer(200, body)


def _items(call: Call, show: Callable[[Call, Item], dict[str, Any]], context: str) -> Answer:
    index, box = call.box, find_folder(call)

    def rows(since: int | None) -> list[dict[str, Any]]:
        here = index.mailbox.items_in(box.id)
        if since is None:
            return [show(call, item) for item in here]
        touched = {event.item_id: None for event in index.mailbox.history[since:] if event.folder_id == box.id and event.item_id}
        present = {item.id: item for item in here}
        found = []
        for item_id in touched:
            if item_id in present:
                found.append(show(call, present[item_id]))
            else:
                gone = Item(id=item_id, folder_id=box.id)
                found.append({"id": index.wire(gone, call.immutable), "@removed": {"reason": "deleted"}})
        return found

    return _round(call, rows, context)


def messages(call: Call) -> Answer:
    """GET …/mailFolders/{id}/messages/delta."""
    return _items(call, show_message, "messages")


def items(call: Call) -> Answer:
    """GET …/folders/{id}/items/delta."""
    return _items(call, show_item, "items")


def _folders(call: Call, show: Callable[[Call, Any], dict[str, Any]], context: str) -> Answer:
    index = call.box

    def rows(since: int | None) -> list[dict[str, Any]]:
        boxes = {box.id: box for box in index.mailbox.walk()}
        if since is None:
            return [show(call, box) for box in boxes.values()]
        touched = {event.folder_id: None for event in index.mailbox.history[since:] if event.what.startswith("folder")}
        return [
            show(call, boxes[box_id]) if box_id in boxes else {"id": index.folder_wire(box_id), "@removed": {"reason": "deleted"}}
            for box_id in touched
        ]

    return _round(call, rows, context)


def mail_folders(call: Call) -> Answer:
    """GET …/mailFolders/delta."""
    return _folders(call, show_mail, "mailFolders")


def folders(call: Call) -> Answer:
    """GET …/folders/delta of the import and export interface."""
    return _folders(call, show_admin, "folders")
