"""GetItem, FindItem, GetAttachment and ExportItems of the simulated server.

Answers come in the order of the ids, one for each; what fails, fails alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from . import exchange_mime as mime
from . import exchange_views as views
from . import stream
from .exchange_call import Call, Refused, answer, children, invalid, message, text
from .exchange_fields import attachment
from .exchange_folders import cut
from .exchange_ids import change_key, find_folder, find_item, folder_ids, item_ids, other_item_id, own_part, read_attachment_id
from .exchange_ids import item_id as wire_of
from .exchange_properties import value_of
from .exchange_restriction import matcher, sorter
from .exchange_shape import Shape, read_shape
from .trees import led_to
from .truth import Item

_RESTRICTED_PAGE = 250
_OTHER_VIEWS = ("FractionalPageItemView", "SeekToConditionPageItemView", "ContactsView")
_VIEWS = ("IndexedPageItemView", "FractionalPageItemView", "SeekToConditionPageItemView", "CalendarView", "ContactsView")


def _readable(call: Call, item: Item) -> None:
    if (code := call.options.item_errors.get(item.id)) is not None:
        raise Refused(code, "The item's content could not be read.")


def get_item(call: Call, element: Any) -> bytes:
    """Each item in the shape asked for."""
    given = children(element, ("ItemShape", "ItemIds"), ("ItemShape", "ItemIds"))
    shape = read_shape(call, given["ItemShape"], deep=True)
    if "item:Flag" in shape.uris and not call.at_least("Exchange2013"):
        raise invalid("The 'FieldURI' attribute is invalid for this version: item:Flag.", given["ItemShape"])
    costly = shape.mime or bool({"item:Body", "item:MimeContent", "item:Attachments"} & shape.uris) or shape.base != "IdOnly"

    def messages() -> Iterator[str]:
        for wire in item_ids(given["ItemIds"]):
            try:
                item = find_item(call, wire)
                if costly:
                    _readable(call, item)
                body = shape.render(item)
            except Refused as refused:
                yield message("GetItem", "<m:Items/>", refused.code, refused.text)
            else:
                yield message("GetItem", f"<m:Items>{body}</m:Items>")

    return answer("GetItem", messages())


def find_item_below(call: Call, element: Any) -> bytes:
    """A page of a folder's items, newest first unless a sort order says else; associated items there are none."""
    names = (
        "ItemShape",
        *_VIEWS,
        "GroupBy",
        "DistinguishedGroupBy",
        "Restriction",
        "SortOrder",
        "ParentFolderIds",
        "QueryString",
    )
    given = children(element, names, ("ItemShape", "ParentFolderIds"))
    traversal = element.get("Traversal")
    if traversal not in ("Shallow", "SoftDeleted", "Associated"):
        raise invalid("The 'Traversal' attribute is invalid.", element)
    calendar = given.get("CalendarView")
    if calendar is not None and (given.keys() & {"Restriction", "SortOrder", "IndexedPageItemView"} or traversal != "Shallow"):
        raise invalid("A CalendarView can't be combined with a restriction, an order or another traversal.", element)
    if given.keys() & {*_OTHER_VIEWS, "GroupBy", "DistinguishedGroupBy", "QueryString"}:
        raise invalid("The view is not supported by this server.", element)
    shape = read_shape(call, given["ItemShape"], deep=False)
    if shape.mime:
        raise invalid("IncludeMimeContent can't be used with FindItem.", element)
    fits = matcher(next(given["Restriction"].iterchildren("*")), value_of) if "Restriction" in given else None
    order = sorter(given["SortOrder"], value_of) if "SortOrder" in given else None
    largest = min(call.options.find_page, _RESTRICTED_PAGE if fits else call.options.find_page)

    def messages() -> Iterator[str]:
        owner = call.box_of()
        for wire in folder_ids(given["ParentFolderIds"]):
            try:
                box = find_folder(call, wire)
                if not led_to(call, box):
                    raise Refused("ErrorNoPublicFolderReplicaAvailable")
                if calendar is not None:
                    page, attributes = views.shown(call, box, *views.view(call, calendar))
                    body = "".join(map(shape.render, page))
                    yield message("FindItem", f"<m:RootFolder {attributes}><t:Items>{body}</t:Items></m:RootFolder>")
                    continue
            except Refused as refused:
                yield message("FindItem", "", refused.code, refused.text)
                continue
            found = owner.items_in(box.id)[::-1] if traversal == "Shallow" else []
            found = found if fits is None else [item for item in found if fits(item)]
            found = found if order is None else order(found)
            page, attributes = cut(found, given.get("IndexedPageItemView"), largest)
            body = "".join(map(shape.render, page))
            yield message("FindItem", f"<m:RootFolder {attributes}><t:Items>{body}</t:Items></m:RootFolder>")

    return answer("FindItem", messages())


def get_attachment(call: Call, element: Any) -> bytes:
    """Each attachment with its content: the bytes of a file, or a nested message as an item of its own."""
    given = children(element, ("AttachmentShape", "AttachmentIds"), ("AttachmentIds",))
    shape = read_shape(call, given.get("AttachmentShape"), deep=True)

    def messages() -> Iterator[str]:
        for wire in given["AttachmentIds"].iterchildren("*"):
            try:
                body = _attachment(call, shape, wire)
            except Refused as refused:
                yield message("GetAttachment", "<m:Attachments/>", refused.code, refused.text)
            else:
                yield message("GetAttachment", f"<m:Attachments>{body}</m:Attachments>")

    return answer("GetAttachment", messages())


def _attachment(call: Call, shape: Shape, wire: Any) -> str:
    item, way = read_attachment_id(call, wire)
    _readable(call, item)
    holder = item
    for index in way[:-1]:
        holder = _nested(item, own_part(holder.parts, index).content)
    part = own_part(holder.parts, way[-1])
    outer = Shape(call, shape.base, True, path=way[:-1])
    if part.kind != "message":
        content = base64.b64encode(part.content).decode("ascii")
        return attachment(outer, holder, way[-1], f"<t:Content>{content}</t:Content>")
    inner = Shape(call, shape.base, True, shape.mime, shape.body_type, shape.uris, shape.extended, path=way)
    return attachment(outer, holder, way[-1], inner.render(_nested(item, part.content)))


def _nested(root: Item, content: bytes) -> Item:
    """A nested message; it bears the id and version of the item that holds it, for the ids of its own attachments."""
    found = mime.parse(content)
    found.id, found.change, found.folder_id = root.id, root.change, root.folder_id
    return found


def export_items(call: Call, element: Any) -> bytes:
    """Each item as an export stream, whatever its class."""
    given = children(element, ("ItemIds",), ("ItemIds",))
    owner, build = call.box_of(), call.build
    name = other_item_id if call.options.export_ids_differ else wire_of
    out = [b"<m:ExportItemsResponse><m:ResponseMessages>"]
    for wire in item_ids(given["ItemIds"]):
        try:
            item = find_item(call, wire)
            _readable(call, item)
            key = (owner.guid, item.id, item.change, build, "stream")
            data = call.cache.get(key, lambda item=item: base64.b64encode(_pack(item, build)))  # type: ignore[misc]
        except Refused as refused:
            out.append(message("ExportItems", "", refused.code, refused.text).encode())
            continue
        head = (
            '<m:ExportItemsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
            f'<m:ItemId Id="{text(name(owner, item.id))}" ChangeKey="{change_key(owner, item.change)}"/><m:Data>'
        )
        out += head.encode(), data, b"</m:Data></m:ExportItemsResponseMessage>"
    out.append(b"</m:ResponseMessages></m:ExportItemsResponse>")
    return b"".join(out)


def _pack(item: Item, build: tuple[int, int, int]) -> bytes:
    try:
        return stream.pack(item, build)
    except ValueError:
        raise Refused("ErrorItemCorrupt", "The item's properties can't be exported.") from None
