"""Ids as Exchange writes them: long base64 text, case-sensitive, opaque to the client, readable again by the server.

An id holds the truth's own id, so that nothing has to be remembered. A change key holds the number of the last change.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from functools import lru_cache
from typing import Any

from .appointments import find_occurrence
from .exchange_call import Call, Refused, T, invalid
from .truth import Box, Item, Mailbox, Part, seeded_bytes

_ITEM, _FOLDER = b"\x07", b"\x01"
_LONG, _SHORT = b"\x00\x03\x24", b"\x01\x03\x24"
_MIXED = b"\xfb\xef\xbe\xff\xff\xff"
"""Three bytes that become ``++++`` and three that become ``////``."""
_CHANGE_HEAD = b"\x09\x00\x00\x00\x16\x00\x00\x00"
_SHAPE = struct.Struct("<H")


def _write(kind: bytes, mailbox: Mailbox, own: str, flavour: bytes = _LONG) -> str:
    return _written(kind, mailbox.guid, own, flavour)


@lru_cache(maxsize=100_000)
def _written(kind: bytes, guid: str, own: str, flavour: bytes) -> str:
    raw = own.encode("utf-8")
    body = flavour + guid.encode("ascii", "replace")[:36].ljust(36) + _MIXED + kind + _SHAPE.pack(len(raw)) + raw
    missing = max(0, 112 - len(body))
    missing += (1 - (len(body) + missing)) % 3
    if missing:
        body += seeded_bytes("pad", own, length=missing)
    return base64.b64encode(body).decode("ascii")


def _read(kind: bytes, mailbox: Mailbox, wire: str) -> str:
    try:
        body = base64.b64decode(wire, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("ErrorInvalidIdMalformed", "The Id is malformed.") from None
    if len(body) < 48 or body[:3] not in (_LONG, _SHORT) or body[39:45] != _MIXED:
        raise Refused("ErrorInvalidIdMalformed", "The Id is malformed.")
    if body[45:46] != kind:
        raise Refused(
            "ErrorCannotUseItemIdForFolderId" if kind == _FOLDER else "ErrorCannotUseFolderIdForItemId",
            "The Id is of another kind.",
        )
    own = body[48 : 48 + _SHAPE.unpack_from(body, 46)[0]].decode("utf-8", "replace")
    if wire not in (_write(kind, mailbox, own), _write(kind, mailbox, own, _SHORT)):
        if body[3:39] != mailbox.guid.encode("ascii", "replace")[:36].ljust(36):
            code = "ErrorFolderNotFound" if kind == _FOLDER else "ErrorItemNotFound"
            raise Refused(code, "The specified object was not found in the store.")
        raise Refused("ErrorInvalidIdMalformed", "The Id is malformed.")
    return own


def item_id(mailbox: Mailbox, own: str) -> str:
    """The wire's id of an item."""
    return _write(_ITEM, mailbox, own)


def other_item_id(mailbox: Mailbox, own: str) -> str:
    """Another text of the same id; the server takes both."""
    return _write(_ITEM, mailbox, own, _SHORT)


def folder_id(mailbox: Mailbox, own: str) -> str:
    """The wire's id of a folder."""
    return _write(_FOLDER, mailbox, own)


def change_key(mailbox: Mailbox, change: int) -> str:
    """The version stamp of a change; another change, another text."""
    guid = mailbox.guid.replace("-", "").encode("ascii", "replace")[:16].ljust(16)
    return base64.b64encode(_CHANGE_HEAD + guid + struct.pack(">Q", change)[2:]).decode("ascii")


def check_change_key(wire: str | None) -> None:
    """Refuses a change key that no server can have written; an old one is no fault."""
    if wire is None:
        return
    try:
        if len(base64.b64decode(wire, validate=True)) == 30:
            return
    except (binascii.Error, ValueError):
        pass
    raise Refused("ErrorInvalidChangeKey", "The change key is invalid.")


def find_item(call: Call, element: Any) -> Item:
    """The item that a ``t:ItemId`` names; refused if it is malformed or gone."""
    if element.tag != T + "ItemId":
        raise Refused("ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange", "The item has no such occurrence.")
    wire = element.get("Id")
    if wire is None:
        raise invalid("The required attribute 'Id' is missing.", element)
    mailbox = call.box_of()
    if not wire:
        raise Refused("ErrorInvalidIdEmpty", "The Id is empty.")
    own = _read(_ITEM, mailbox, wire)
    check_change_key(element.get("ChangeKey"))
    if (item := _item(mailbox, own)) is None:
        raise Refused("ErrorItemNotFound", "The specified object was not found in the store.")
    return item


def _item(mailbox: Mailbox, own: str) -> Item | None:
    """An item, or one occurrence of a series, by the truth's own id."""
    return find_occurrence(mailbox.items, own) if "#" in own else mailbox.items.get(own)


def find_folder(call: Call, element: Any) -> Box:
    """The folder that a ``t:FolderId`` or ``t:DistinguishedFolderId`` names; refused if there is none."""
    mailbox, wire = call.box_of(), element.get("Id")
    if wire is None:
        raise invalid("The required attribute 'Id' is missing.", element)
    if element.tag == T + "FolderId":
        own = _read(_FOLDER, mailbox, wire)
        check_change_key(element.get("ChangeKey"))
        box = mailbox.boxes.get(own)
    elif element.tag == T + "DistinguishedFolderId":
        owner = element.findtext(f"{T}Mailbox/{T}EmailAddress")
        if owner is not None and owner.casefold() != mailbox.address.casefold():
            raise Refused("ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        box = mailbox.by_role(wire)
        if box is None and wire in ("msgfolderroot", "root"):
            box = mailbox.boxes.get(mailbox.root_id)
    else:
        raise invalid("A folder id was expected.", element)
    if box is None:
        raise Refused("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    return box


def folder_ids(element: Any) -> list[Any]:
    """The ids below an element such as ``m:ParentFolderIds``; there has to be one at least."""
    found = list(element.iterchildren("*"))
    if not found:
        raise invalid("A folder id was expected.", element)
    return found


def item_ids(element: Any) -> list[Any]:
    """The ids below ``m:ItemIds``; there has to be one at least."""
    found = list(element.iterchildren("*"))
    if not found:
        raise invalid("An item id was expected.", element)
    return found


def attachment_id(call: Call, item: Item, path: tuple[int, ...]) -> str:
    """The id of a part: the item, its version, and the way to the part through nested messages."""
    version = item.change if call.options.attachment_ids_die else 0
    return base64.b64encode(b"\x00\x03\x24att" + json.dumps([call.box_of().guid, item.id, version, *path]).encode()).decode(
        "ascii"
    )


def read_attachment_id(call: Call, element: Any) -> tuple[Item, tuple[int, ...]]:
    """The item and the way to the part; refused if the id is malformed or its version is over."""
    wire = element.get("Id")
    if element.tag != T + "AttachmentId" or wire is None:
        raise invalid("An attachment id was expected.", element)
    try:
        body = base64.b64decode(wire, validate=True)
        guid, own, version, *path = json.loads(body.removeprefix(b"\x00\x03\x24att"))
    except ValueError:
        raise Refused("ErrorInvalidAttachmentId", "The attachment Id is invalid.") from None
    mailbox = call.box_of()
    item = _item(mailbox, own) if guid == mailbox.guid else None
    if item is None or (call.options.attachment_ids_die and item.change != version) or not path:
        raise Refused("ErrorInvalidAttachmentId", "The attachment Id is invalid.")
    return item, tuple(path)


def own_part(parts: list[Part], index: int) -> Part:
    """The part at a place; refused if there is none."""
    if not 0 <= index < len(parts):
        raise Refused("ErrorInvalidAttachmentId", "The attachment Id is invalid.")
    return parts[index]
