"""Items of every class: listing, import sessions and export, as the mailbox import and export interface has them."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .stream import pack, unpack
from .tenant_call import Answer, Call, GraphError, check, find, fits, gone, page
from .tenant_events import people_told
from .tenant_filter import ordered, read_filter
from .tenant_index import Index, shown_time
from .tenant_mail import find_folder, owes_receipt, take_in, with_properties
from .truth import Item, now

EXPORT_MOST = 20
_IMPORT = dict.fromkeys(("FolderId", "Mode", "Data", "ItemId", "ChangeKey"), str)
BUILD = (15, 20, 9000)


@dataclass(slots=True)
class Session:
    """An import session: one mailbox, for a time."""

    index: Index
    app: str
    until: float


def show(call: Call, item: Item) -> dict[str, Any]:
    """An item as mailboxItem."""
    index = call.box
    shown: dict[str, Any] = {
        "id": index.wire(item, call.immutable),
        "changeKey": index.change_key(item.change),
        "createdDateTime": shown_time(item.created or now()),
        "lastModifiedDateTime": shown_time(item.modified or item.created or now()),
        "categories": list(item.categories),
        "type": item.item_class,
        "size": index.size(item),
    }
    return with_properties(call, item, shown)


def list_items(call: Call) -> Answer:
    """GET of a folder's items, of any class."""
    items = [item for item in call.box.mailbox.items_in(find_folder(call).id) if call.visible(item)]
    if text := call.query.get("$filter"):
        filter_ = read_filter(text, call.box)
        items = [item for item in items if filter_.test(item)]
    return page(call, ordered(call, items), lambda item: show(call, item), "items")


def _of_folder(call: Call) -> Item:
    item = find(call, "item")
    if item.folder_id != find_folder(call).id:
        raise gone()
    return item


def get_item(call: Call) -> Answer:
    """GET of one item."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxItem", **show(call, _of_folder(call))})


def remove_item(call: Call) -> Answer:
    """DELETE of one item; of a meeting, its attendees are told, and of an unread mail that asks for a receipt, its sender."""
    item = _of_folder(call)
    people_told(call, "cancellation", item)
    if owes_receipt(item):
        call.box.mailbox.sent.append({"kind": "not-read receipt", "to": item.author.address if item.author else ""})
    call.box.mailbox.remove(item.id)
    call.box.catch_up()
    return Answer(204)


def export(call: Call) -> Answer:
    """POST exportItems: at most twenty; an item that fails fails alone."""
    ids = call.json().get("itemIds") or []
    if not fits(ids, [str]) or len(ids) > EXPORT_MOST:
        raise GraphError(400, "ErrorInvalidRequest", "At most 20 items can be exported at once.")
    value: list[dict[str, Any]] = []
    for wire in ids:
        item = call.box.item(str(wire))
        if item is None:
            value.append({"itemId": wire, "error": {"code": "ErrorItemNotFound", "message": "The item was not found."}})
        else:
            data = base64.b64encode(pack(item, BUILD)).decode()
            value.append({"itemId": wire, "changeKey": call.box.change_key(item.change), "data": data})
    context = f"{call.base}/v1.0/$metadata#Collection(microsoft.graph.exportItemResponse)"
    return Answer(200, {"@odata.context": context, "value": value})


def open_session(call: Call) -> Answer:
    """POST createImportSession: an address with its own credential, for a time."""
    if call.body:
        raise GraphError(400, "ErrorInvalidRequest", "No body is expected.")
    token, seconds = secrets.token_urlsafe(60), call.session_seconds
    call.sessions[token] = Session(call.box, call.app, time.time() + seconds)
    until = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    url = f"{call.import_base}/api/gv1.0/Mailboxes('{call.mailbox_id()}')/importItem?authtoken={token}"
    context = f"{call.base}/v1.0/$metadata#microsoft.graph.mailboxItemImportSession"
    return Answer(201, {"@odata.context": context, "importUrl": url, "expirationDateTime": until})


def _twin(index: Index, item: Item, folder_id: str) -> Item | None:
    """An item of the folder that was made of the same stream."""
    same = (there for there in index.mailbox.items_in(folder_id) if there.item_class == item.item_class)
    return next((there for there in same if (there.message_id, there.subject) == (item.message_id, item.subject)), None)


def import_item(
    call: Call,
    *,
    keep_search_key: bool,
    rounded: bool,
    classic_reply: bool,
    refuses: Mapping[str, str],
    alters: Mapping[str, Callable[[Item], None]],
    once: bool = False,
) -> Answer:
    """POST to an import address: one stream, made into an item or put in the place of one."""
    given = check(call.json(), _IMPORT, "importMailboxItem")
    mode, data, index = given.get("Mode"), given.get("Data"), call.box
    box = index.folder(str(given.get("FolderId") or ""))
    if box is None:
        raise gone("folder")
    update = mode == "update"
    pair = [given.get(name) is not None for name in ("ItemId", "ChangeKey")]
    if mode not in ("create", "update") or not isinstance(data, str) or pair != [update, update]:
        raise GraphError(400, "ErrorInvalidRequest", "The request is invalid.")
    try:
        item = unpack(base64.b64decode(data, validate=True))
    except ValueError:
        raise GraphError(400, "ErrorCorruptData", "The data is corrupt.") from None
    folded = item.item_class.casefold()
    if (code := {name.casefold(): told for name, told in refuses.items()}.get(folded)) is not None:
        raise GraphError(400, code, "The item can't be imported.")
    if (alter := {name.casefold(): change for name, change in alters.items()}.get(folded)) is not None:
        alter(item)
    if not keep_search_key:
        item.search_key = secrets.token_bytes(16)
    if rounded:
        for name in ("submitted", "received", "created", "modified"):
            moment = getattr(item, name)
            setattr(item, name, moment and moment.replace(microsecond=0))
    if update:
        old = index.item(str(given["ItemId"]))
        if old is None or old.folder_id != box.id:
            raise gone()
        if given["ChangeKey"] != index.change_key(old.change):
            raise GraphError(409, "ErrorIrresolvableConflict", "The item was changed in the meantime.")
        item.id, item.folder_id, item.modified = old.id, old.folder_id, now()
        item.created = old.created if call.created_now else item.created
        index.mailbox.items[old.id] = item
        index.mailbox.touch(item)
        index.catch_up()
    elif once and (twin := _twin(index, item, box.id)) is not None:
        item = twin
    else:
        take_in(call, item, box)
    context = f"{call.import_base}/api/gv1.0/$metadata#microsoft.graph.importMailboxItemResponse"
    wire = index.wire(item, not classic_reply)
    return Answer(200, {"@odata.context": context, "itemId": wire, "changeKey": index.change_key(item.change)})
