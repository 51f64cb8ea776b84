"""Folders, as mailFolders and as the folders of the import and export interface; users and what else is rare."""

from __future__ import annotations

import re
import secrets
from typing import Any

from .tenant_call import PROPERTIES, Answer, Call, GraphError, check, chosen, expanded, fits, gone, page
from .tenant_index import SPECIAL, levelled, set_property, shown_value
from .tenant_mail import find_folder
from .truth import Box, Item

NAME_LIMIT = 255
TRANSLATED_MOST = 1000
_FILTER = re.compile(r"(displayName|type) eq '((?:[^']|'')*)'$")
_MAIL = {"displayName": str, "isHidden": bool, **PROPERTIES}
_ADMIN = {"displayName": str, "type": str, **PROPERTIES}


def _children(call: Call, parent: str | None, *, mail: bool) -> list[Box]:
    boxes = call.box.mailbox.children(parent or call.box.mailbox.root_id)
    if mail:
        hidden = call.query.get("includeHiddenFolders", "").lower() == "true"
        boxes = [box for box in boxes if (box.kind.lower().startswith("ipf.note") or not box.kind) and (hidden or not box.hidden)]
    if (text := call.query.get("$filter")) is not None:
        found = _FILTER.match(text)
        if found is None or (mail and found.group(1) == "type"):
            raise GraphError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
        wanted, by_name = found.group(2).replace("''", "'").casefold(), found.group(1) == "displayName"
        boxes = [box for box in boxes if (box.name if by_name else box.kind).casefold() == wanted]
    return boxes


def _with_properties(call: Call, box: Box, shown: dict[str, Any]) -> dict[str, Any]:
    if names := expanded(call):
        own = {levelled(name): value for name, value in {**box.extended, "String 0x3613": box.kind}.items()}
        found = [(name, own.get(levelled(name))) for name in names]
        shown["singleValueExtendedProperties"] = [
            {"id": name, "value": shown_value(value)} for name, value in found if value is not None
        ]
    return shown


def show_mail(call: Call, box: Box) -> dict[str, Any]:
    """A folder as mailFolder."""
    index = call.box
    items = index.mailbox.items_in(box.id)
    shown: dict[str, Any] = {
        "id": index.folder_wire(box.id),
        "displayName": box.name,
        "childFolderCount": len(index.mailbox.children(box.id)),
        "unreadItemCount": sum(not item.is_read for item in items),
        "totalItemCount": len(items),
        "isHidden": box.hidden,
    }
    if box.parent_id is not None:
        shown["parentFolderId"] = index.folder_wire(box.parent_id)
    return _with_properties(call, box, chosen(call, shown))


def show_admin(call: Call, box: Box) -> dict[str, Any]:
    """A folder as mailboxFolder."""
    index = call.box
    shown: dict[str, Any] = {
        "id": index.folder_wire(box.id),
        "displayName": box.name,
        "type": box.kind,
        "childFolderCount": len(index.mailbox.children(box.id)),
        "totalItemCount": len(index.mailbox.by_folder.get(box.id, ())),
    }
    if call.well_known_names:
        shown["wellKnownName"] = box.role if box.role in SPECIAL else None
    if box.parent_id is not None:
        shown["parentFolderId"] = index.folder_wire(box.parent_id)
    return _with_properties(call, box, chosen(call, shown))


def list_mail(call: Call) -> Answer:
    """GET of mail folders, at the top or below one."""
    parent = find_folder(call).id if "folder" in call.names else None
    return page(call, _children(call, parent, mail=True), lambda box: show_mail(call, box), "mailFolders")


def list_admin(call: Call) -> Answer:
    """GET of folders of every class."""
    parent = find_folder(call).id if "folder" in call.names else None
    return page(call, _children(call, parent, mail=False), lambda box: show_admin(call, box), "folders")


def get_mail(call: Call) -> Answer:
    """GET of one mail folder."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailFolder", **show_mail(call, find_folder(call))})


def get_admin(call: Call) -> Answer:
    """GET of one folder of any class."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxFolder", **show_admin(call, find_folder(call))})


def _make(call: Call, given: dict[str, Any], kind: str) -> Box:
    name = str(given.get("displayName") or "")
    parent = find_folder(call).id if "folder" in call.names else call.box.mailbox.root_id
    _check_name(call, name, parent, None)
    box = Box(secrets.token_hex(12), parent, name, kind, hidden=bool(given.get("isHidden")))
    _set_properties(box, given)
    call.box.mailbox.add_box(box)
    call.box.catch_up()
    return box


def _check_name(call: Call, name: str, parent: str, own: str | None) -> None:
    if not name.strip() or len(name) > NAME_LIMIT or any(ord(char) < 32 for char in name):
        raise GraphError(400, "ErrorFolderNameInvalid", "The folder name is invalid.")
    for sibling in call.box.mailbox.children(parent):
        if sibling.name.casefold() == name.casefold() and sibling.id != own:
            raise GraphError(409, "ErrorFolderExists", "A folder with the specified name already exists.")


def _set_properties(box: Box, given: dict[str, Any]) -> None:
    stand_in = Item(extended=dict(box.extended))
    for one in given.get("singleValueExtendedProperties") or ():
        if not set_property(stand_in, str(one.get("id")), str(one.get("value"))):
            raise GraphError(400, "ErrorInvalidRequest", "The value of an extended property is none of its type.")
    box.extended = stand_in.extended


def make_mail(call: Call) -> Answer:
    """POST of a mail folder."""
    box = _make(call, check(call.json(), _MAIL, "mailFolder"), "IPF.Note")
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#mailFolder", **show_mail(call, box)})


def make_admin(call: Call) -> Answer:
    """POST of a folder with its class."""
    given = check(call.json(), _ADMIN, "mailboxFolder")
    kind = str(given.get("type") or "")
    if not kind:
        raise GraphError(400, "ErrorRequiredPropertyMissing", "Required property is missing: type.")
    box = _make(call, given, kind)
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxFolder", **show_admin(call, box)})


def _change(call: Call, given: dict[str, Any]) -> Box:
    box, name = find_folder(call), given.get("displayName")
    if name is not None:
        if box.role:
            raise GraphError(400, "ErrorDistinguishedFolder", "A special folder can't be renamed.")
        _check_name(call, str(name), box.parent_id or "", box.id)
    _set_properties(box, given)
    box.name = box.name if name is None else str(name)
    box.change = call.box.mailbox.tick("folder-edit", box.id)
    return box


def change_mail(call: Call) -> Answer:
    """PATCH of a mail folder: name and extended properties."""
    box = _change(call, check(call.json(), {"displayName": str, **PROPERTIES}, "mailFolder"))
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailFolder", **show_mail(call, box)})


def change_admin(call: Call) -> Answer:
    """PATCH of a folder: its name only; its class can never change."""
    given = check(call.json(), _ADMIN, "mailboxFolder")
    if "type" in given:
        raise GraphError(400, "ErrorInvalidRequest", "The type of a folder can't be changed.")
    box = _change(call, given)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxFolder", **show_admin(call, box)})


def move(call: Call) -> Answer:
    """POST …/move of a mail folder; its id stays. Special ones stay where they are."""
    box = find_folder(call)
    if box.role:
        raise GraphError(400, "ErrorMoveDistinguishedFolder", "A special folder can't be moved.")
    parent = call.box.folder(str(call.json().get("destinationId") or ""))
    if parent is None:
        raise gone("folder")
    above: Box | None = parent
    while above is not None:
        if above.id == box.id:
            raise GraphError(400, "ErrorMoveCopyFailed", "A folder can't be moved into itself.")
        above = call.box.mailbox.boxes.get(above.parent_id or "")
    _check_name(call, box.name, parent.id, box.id)
    call.box.mailbox.move_box(box, parent.id)
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#mailFolder", **show_mail(call, box)})


def remove(call: Call) -> Answer:
    """DELETE of a folder with all that is in it; special ones stay."""
    box, mailbox = find_folder(call), call.box.mailbox
    if box.role:
        raise GraphError(400, "ErrorDeleteDistinguishedFolder", "A special folder can't be deleted.")
    waiting = [box]
    while waiting:
        one = waiting.pop()
        waiting += mailbox.children(one.id)
        for item in mailbox.items_in(one.id):
            mailbox.remove(item.id)
        mailbox.boxes.pop(one.id)
        mailbox.tick("folder-gone", one.id)
    call.box.catch_up()
    return Answer(204)


def user(call: Call) -> Answer:
    """GET of the user that owns the mailbox."""
    mailbox = call.box.mailbox
    shown = {
        "id": mailbox.guid,
        "displayName": mailbox.display_name,
        "userPrincipalName": mailbox.address,
        "mail": mailbox.address,
    }
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#users/$entity", **chosen(call, shown)})


def translate(call: Call) -> Answer:
    """POST translateExchangeIds between the two kinds of ids of this mailbox."""
    given = call.json()
    immutable = str(given.get("targetIdType", "")).lower() in ("restimmutableentryid", "immutableentryid")
    value: list[dict[str, Any]] = []
    asked = given.get("inputIds")
    if not fits(asked, [str]) or len(asked or ()) > TRANSLATED_MOST:
        raise GraphError(400, "ErrorInvalidRequest", "At most 1000 ids can be translated at once.")
    for wire in asked or ():
        item = call.box.item(str(wire))
        if item is None:
            detail = {"code": "ErrorItemNotFound", "message": "The item was not found."}
            value.append({"sourceId": wire, "errorDetails": detail})
        else:
            value.append({"sourceId": wire, "targetId": call.box.wire(item, immutable)})
    context = f"{call.base}/v1.0/$metadata#Collection(microsoft.graph.convertIdResult)"
    return Answer(200, {"@odata.context": context, "value": value})


def settings(call: Call) -> Answer:
    """GET …/settings/exchange."""
    context = f"{call.base}/v1.0/$metadata#users('x')/settings/exchange/$entity"
    return Answer(200, {"@odata.context": context, "id": call.box.mailbox.guid, "primaryMailboxId": call.mailbox_id()})
