"""SyncFolderItems and SyncFolderHierarchy of the simulated server.

The first listing of a folder runs from the newest item to the oldest (Exchange does so from 2010 SP2 on), page by page;
what happens meanwhile is told after it. In the response the new state stands before the changes [XSD].
"""

from __future__ import annotations

from typing import Any

from .exchange_call import Call, Refused, answer, children, invalid, message
from .exchange_feed import Feed, State, feed_of, read_state, write_state
from .exchange_folders import FolderShape, below, read_folder_shape
from .exchange_ids import change_key, find_folder, folder_id, folder_ids, item_id
from .exchange_properties import own_value
from .exchange_shape import Shape, read_shape
from .trees import is_public
from .truth import Box, Item, Mailbox

_PAGE_LIMIT = 512


def sync_folder_items(call: Call, element: Any) -> bytes:
    """One page of a folder's changes; a broken state or an unknown folder is an error message, not a fault."""
    given = children(
        element,
        ("ItemShape", "SyncFolderId", "SyncState", "Ignore", "MaxChangesReturned", "SyncScope"),
        ("ItemShape", "SyncFolderId", "MaxChangesReturned"),
    )
    shape = read_shape(call, given["ItemShape"], deep=False)
    try:
        limit = int(given["MaxChangesReturned"].text or "")
    except ValueError:
        limit = 0
    if not 1 <= limit <= _PAGE_LIMIT:
        raise invalid("The 'MaxChangesReturned' element is invalid.", given["MaxChangesReturned"])
    ignored = {child.get("Id") for child in given["Ignore"]} if "Ignore" in given else set()
    wire = given["SyncState"].text if "SyncState" in given else None
    try:
        box = find_folder(call, folder_ids(given["SyncFolderId"])[0])
        if own_value(box.extended, 0x3601) == 2:
            raise Refused("ErrorInvalidOperation", "A search folder can't be synchronized.")
        if is_public(call.box_of(), box):
            raise Refused("ErrorInvalidOperation", "A public folder can't be synchronized.")
        if call.options.refuse_additional_in_sync and (shape.base != "IdOnly" or shape.uris or shape.extended):
            raise Refused("ErrorInvalidPropertyRequest", "Property is not valid for this operation.")
        body = _page(call, shape, box, read_state(call, "items:" + box.id, wire), min(limit, call.options.sync_page), ignored)
    except Refused as refused:
        code = "ErrorSyncFolderNotFound" if refused.code == "ErrorFolderNotFound" else refused.code
        body = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
        return answer("SyncFolderItems", iter([message("SyncFolderItems", body, code, refused.text)]))
    return answer("SyncFolderItems", iter([message("SyncFolderItems", body)]))


def _page(call: Call, shape: Shape, box: Box, state: State | None, limit: int, ignored: set[str | None]) -> str:
    feed, owner = feed_of(call), call.box_of()
    out: list[str] = []
    if state is None or state.left is not None:
        state = _listing(owner, feed, shape, box, state, limit, out)
    else:
        state = _news(owner, feed, shape, box, state, limit, out)
    last = state.left is None and not feed.since(box.id, state.told)
    if ignored:
        out = [change for change in out if not any(wire and f'Id="{wire}"' in change for wire in ignored)]
    return (
        f"<m:SyncState>{write_state(call, 'items:' + box.id, state)}</m:SyncState>"
        f"<m:IncludesLastItemInRange>{'true' if last else 'false'}</m:IncludesLastItemInRange>"
        f"<m:Changes>{''.join(out)}</m:Changes>"
    )


def _listing(owner: Mailbox, feed: Feed, shape: Shape, box: Box, state: State | None, limit: int, out: list[str]) -> State:
    told = owner.clock if state is None else state.told
    start = None if state is None else state.left
    here, items, render = owner.by_folder.get(box.id, {}), owner.items, shape.render
    page = list[int]()
    for event in feed.arrived(box.id, told, start, newest_first=shape.call.options.newest_first):
        # An item that came twice is told by its last arrival alone.
        if event.item_id not in here or feed.arrivals[event.item_id] != event.number:
            continue
        if len(page) == limit:
            return State(told, page[-1])
        out.append(f"<t:Create>{render(items[event.item_id])}</t:Create>")
        page.append(event.number)
    return State(told)


def _news(owner: Mailbox, feed: Feed, shape: Shape, box: Box, state: State, limit: int, out: list[str]) -> State:
    told, seen = state.told, dict[str, set[str]]()
    for event in feed.since(box.id, state.told):
        if event.item_id not in seen and len(seen) == limit:
            break
        seen.setdefault(event.item_id, set()).add(event.what)
        told = event.number
    gone: list[str] = []
    for own, whats in reversed(seen.items()) if shape.call.options.newest_first else seen.items():
        item = owner.items.get(own)
        if item is None or item.folder_id != box.id:
            if "new" not in whats:
                gone.append(f'<t:Delete><t:ItemId Id="{item_id(owner, own)}"/></t:Delete>')
        elif whats & {"new", "gone"}:
            out.append(f"<t:Create>{shape.render(item)}</t:Create>")
        elif "edit" in whats:
            out.append(f"<t:Update>{shape.render(item)}</t:Update>")
        else:
            out.append(_read_flag(owner, item))
    out += gone
    return State(told)


def _read_flag(owner: Mailbox, item: Item) -> str:
    read = "true" if item.is_read else "false"
    wire, key = item_id(owner, item.id), change_key(owner, item.change)
    return f'<t:ReadFlagChange><t:ItemId Id="{wire}" ChangeKey="{key}"/><t:IsRead>{read}</t:IsRead></t:ReadFlagChange>'


def sync_folder_hierarchy(call: Call, element: Any) -> bytes:
    """All folders below the root, or what changed among them since the state; a state belongs to one root."""
    given = children(element, ("FolderShape", "SyncFolderId", "SyncState"), ("FolderShape",))
    shape = read_folder_shape(call, given["FolderShape"])
    owner = call.box_of()
    wire = given["SyncState"].text if "SyncState" in given else None
    try:
        root, scope = owner.boxes[owner.root_id], "folders:"
        if "SyncFolderId" in given:
            root = find_folder(call, folder_ids(given["SyncFolderId"])[0])
            scope += root.id
        body = _folders(call, shape, root, scope, read_state(call, scope, wire))
    except Refused as refused:
        code = "ErrorSyncFolderNotFound" if refused.code == "ErrorFolderNotFound" else refused.code
        body = "<m:SyncState/><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>"
        return answer("SyncFolderHierarchy", iter([message("SyncFolderHierarchy", body, code, refused.text)]))
    return answer("SyncFolderHierarchy", iter([message("SyncFolderHierarchy", body)]))


def _folders(call: Call, shape: FolderShape, root: Box, scope: str, state: State | None) -> str:
    feed, owner = feed_of(call), call.box_of()
    tree = {box.id: box for box in below(owner, root)}
    out: list[str] = []
    if state is None:
        out = [f"<t:Create>{shape.render(box)}</t:Create>" for box in tree.values()]
    else:
        seen: dict[str, set[str]] = {}
        for event in feed.folders:
            if event.number > state.told:
                seen.setdefault(event.folder_id, set()).add(event.what)
        for own, whats in seen.items():
            if (box := tree.get(own)) is not None:
                tag = "Create" if "folder-new" in whats else "Update"
                out.append(f"<t:{tag}>{shape.render(box)}</t:{tag}>")
            elif "folder-new" not in whats and own != root.id:
                out.append(f'<t:Delete><t:FolderId Id="{folder_id(owner, own)}"/></t:Delete>')
    return (
        f"<m:SyncState>{write_state(call, scope, State(owner.clock))}</m:SyncState>"
        f"<m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange><m:Changes>{''.join(out)}</m:Changes>"
    )
