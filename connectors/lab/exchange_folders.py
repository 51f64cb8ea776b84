"""GetFolder and FindFolder of the simulated server, and how a folder looks on the wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .exchange_call import Call, Refused, T, answer, children, invalid, message, text
from .exchange_feed import Feed, feed_of
from .exchange_ids import change_key, find_folder, folder_id, folder_ids
from .exchange_properties import Path, own_value, read_path
from .exchange_restriction import matcher
from .exchange_settings import permission_set
from .exchange_shape import additional
from .trees import is_public
from .truth import Box, Mailbox

STAMPS = (0x670A, 0x670B)
"""PidTagLocalCommitTimeMax, PidTagDeletedCountTotal."""

_BASES = ("IdOnly", "Default", "AllProperties")
_ELEMENTS = (("ipf.appointment", "CalendarFolder"), ("ipf.contact", "ContactsFolder"), ("ipf.task", "TasksFolder"))
_ORDER = (
    "ParentFolderId", "FolderClass", "DisplayName", "TotalCount", "ChildFolderCount", "extended", "EffectiveRights",
    "DistinguishedFolderId", "PermissionSet", "UnreadCount",
)  # fmt: skip
_DEFAULT = {"DisplayName", "TotalCount", "ChildFolderCount", "UnreadCount"}
_RIGHTS = (
    "<t:EffectiveRights><t:CreateAssociated>true</t:CreateAssociated><t:CreateContents>true</t:CreateContents>"
    "<t:CreateHierarchy>true</t:CreateHierarchy><t:Delete>true</t:Delete><t:Modify>true</t:Modify><t:Read>true</t:Read></t:EffectiveRights>"
)


def below(owner: Mailbox, root: Box) -> list[Box]:
    """Every folder below one, parents before children."""
    children_of: dict[str | None, list[Box]] = {}
    for box in owner.boxes.values():
        children_of.setdefault(box.parent_id, []).append(box)
    found, queue = list[Box](), deque([root.id])
    while queue:
        for box in children_of.get(queue.popleft(), []):
            if box.id != root.id:
                found.append(box)
                queue.append(box.id)
    return found


@dataclass(slots=True)
class FolderShape:
    """What one request asks of each folder."""

    call: Call
    base: str
    wanted: set[str] = field(default_factory=set)
    extended: list[Path] = field(default_factory=list)

    def render(self, box: Box) -> str:
        """The folder's element. Calendars and contacts have no UnreadCount of their own [XSD: CalendarFolderType]."""
        owner, feed = self.call.box_of(), feed_of(self.call)
        element = _element(box)
        out = [f'<t:{element}><t:FolderId Id="{folder_id(owner, box.id)}" ChangeKey="{change_key(owner, box.change)}"/>']
        for name in _ORDER:
            if name == "extended":
                out += [path.write(folder_value(self.call, feed, box, path)) for path in self.extended]
            elif name == "PermissionSet":
                if name in self.wanted:
                    out.append(permission_set(owner, box, element == "CalendarFolder"))
            elif self.base == "AllProperties" or name in self.wanted or (self.base == "Default" and name in _DEFAULT):
                out.append(self._field(owner, box, name, element))
        out.append(f"</t:{element}>")
        return "".join(out)

    def _field(self, owner: Mailbox, box: Box, name: str, element: str) -> str:
        if name == "ParentFolderId":
            parent = owner.boxes.get(box.parent_id or "")
            if parent is None:
                return ""
            return f'<t:ParentFolderId Id="{folder_id(owner, parent.id)}" ChangeKey="{change_key(owner, parent.change)}"/>'
        if name == "FolderClass":
            return f"<t:FolderClass>{text(box.kind)}</t:FolderClass>"
        if name == "DisplayName":
            return f"<t:DisplayName>{text(box.name, self.call.options.illegal_characters)}</t:DisplayName>"
        if name == "TotalCount":
            return f"<t:TotalCount>{len(owner.by_folder.get(box.id, {}))}</t:TotalCount>"
        if name == "ChildFolderCount":
            return f"<t:ChildFolderCount>{len(owner.children(box.id))}</t:ChildFolderCount>"
        if name == "EffectiveRights":
            return _RIGHTS
        if name == "DistinguishedFolderId":
            shown = box.role is not None and self.call.at_least("Exchange2013")
            return f"<t:DistinguishedFolderId>{box.role}</t:DistinguishedFolderId>" if shown else ""
        if element in ("CalendarFolder", "ContactsFolder"):
            return ""
        return f"<t:UnreadCount>{_unread(owner, box)}</t:UnreadCount>"


def _element(box: Box) -> str:
    if own_value(box.extended, 0x3601) == 2:
        return "SearchFolder"
    kind = box.kind.lower()
    return next((element for start, element in _ELEMENTS if kind == start or kind.startswith(start + ".")), "Folder")


def _unread(owner: Mailbox, box: Box) -> int:
    return sum(not owner.items[own].is_read for own in owner.by_folder.get(box.id, {}))


def folder_value(call: Call, feed: Feed, box: Box, path: Path) -> object:
    """An extended property of a folder; None if it has none such."""
    owner, place = call.box_of(), path.place
    if (known := own_value(box.extended, place)) is not None:
        return known
    if not isinstance(place, int):
        return None
    if place in STAMPS:
        if not call.options.change_stamps or box.id in call.options.unstamped:
            return None
        hides = call.options.stamp_hides
        if place == 0x670A:
            return feed.committed(box.id, hides, call.options.stamp_clock)
        return 0 if "gone" in hides else feed.track(box.id).deleted
    if place == 0x0E08:
        return sum(owner.items[own].size for own in owner.by_folder.get(box.id, {}))
    if place == 0x66B5:
        return "\\" + owner.path(box).replace("/", "\\")
    simple: dict[int, object] = {
        0x3001: box.name,
        0x3601: 0 if box.id == owner.root_id else 1,
        0x10F4: box.hidden,
        0x3613: box.kind,
        0x3602: len(owner.by_folder.get(box.id, {})),
        0x360A: bool(owner.children(box.id)),
    }
    return _unread(owner, box) if place == 0x3603 else simple.get(place)


def _folder_value(call: Call, box: Box, path: Path) -> object:
    return folder_value(call, feed_of(call), box, path)


def read_folder_shape(call: Call, element: Any) -> FolderShape:
    """An ``m:FolderShape``; ErrorSchemaValidation if it breaks the schema."""
    given = children(element, ("BaseShape", "AdditionalProperties"), ("BaseShape",), T)
    base = given["BaseShape"].text
    if base not in _BASES:
        raise invalid("The 'BaseShape' element is invalid.", element)
    shape = FolderShape(call, base)
    for path in additional(given.get("AdditionalProperties")):
        if path.tag == T + "ExtendedFieldURI":
            shape.extended.append(read_path(path))
        else:
            shape.wanted.add(path.get("FieldURI").removeprefix("folder:"))
    return shape


def _check_stamps(call: Call, shape: FolderShape, operation: str) -> None:
    if operation in call.options.refuse_stamps and any(path.place in STAMPS for path in shape.extended):
        raise Refused("ErrorInvalidPropertyRequest", "The property is not valid for this request.")


def get_folder(call: Call, element: Any) -> bytes:
    """Each folder asked for, in order; one that does not exist is an error of its own."""
    given = children(element, ("FolderShape", "FolderIds"), ("FolderShape", "FolderIds"))
    shape = read_folder_shape(call, given["FolderShape"])
    _check_stamps(call, shape, "GetFolder")

    def messages() -> Iterator[str]:
        for wire in folder_ids(given["FolderIds"]):
            try:
                body = shape.render(find_folder(call, wire))
                yield message("GetFolder", f"<m:Folders>{body}</m:Folders>")
            except Refused as refused:
                yield message("GetFolder", "<m:Folders/>", refused.code, refused.text)

    return answer("GetFolder", messages())


def find_folder_below(call: Call, element: Any) -> bytes:
    """The folders below each parent: its own children (Shallow) or the whole tree (Deep), a page at a time."""
    names = ("FolderShape", "IndexedPageFolderView", "FractionalPageFolderView", "Restriction", "ParentFolderIds")
    given = children(element, names, ("FolderShape", "ParentFolderIds"))
    traversal = element.get("Traversal")
    if traversal not in ("Shallow", "Deep", "SoftDeleted"):
        raise invalid("The 'Traversal' attribute is invalid.", element)
    fits = matcher(next(given["Restriction"].iterchildren("*")), partial(_folder_value, call)) if "Restriction" in given else None
    shape, view = read_folder_shape(call, given["FolderShape"]), given.get("IndexedPageFolderView")
    _check_stamps(call, shape, "FindFolder")
    if not call.options.stamps_in_find:
        shape.extended = [path for path in shape.extended if path.place not in STAMPS]

    def messages() -> Iterator[str]:
        owner = call.box_of()
        for wire in folder_ids(given["ParentFolderIds"]):
            try:
                root = find_folder(call, wire)
                if traversal == "Deep" and is_public(owner, root):
                    raise Refused("ErrorInvalidOperation", "A deep traversal of public folders is not supported.")
            except Refused as refused:
                yield message("FindFolder", "", refused.code, refused.text)
                continue
            found = below(owner, root) if traversal == "Deep" else owner.children(root.id)
            found = [] if traversal == "SoftDeleted" else found
            found = found if fits is None else [box for box in found if fits(box)]
            page, attributes = cut(found, view, call.options.find_page)
            body = "".join(shape.render(box) for box in page)
            yield message("FindFolder", f"<m:RootFolder {attributes}><t:Folders>{body}</t:Folders></m:RootFolder>")

    return answer("FindFolder", messages())


def cut(found: list[Any], view: Any, largest: int) -> tuple[list[Any], str]:
    """The page of a find that an indexed view asks for, never longer than the server's limit, and the attributes that say so."""
    offset, count = 0, largest
    if view is not None:
        try:
            offset = int(view.get("Offset", ""))
            count = min(count, int(view.get("MaxEntriesReturned", count)))
        except ValueError:
            raise invalid("The paging view is invalid.", view) from None
        if offset < 0 or count < 1 or view.get("BasePoint") not in ("Beginning", "End"):
            raise invalid("The paging view is invalid.", view)
    if view is not None and view.get("BasePoint") == "End":
        found = found[::-1]
    page = found[offset : offset + count]
    last = offset + len(page) >= len(found)
    after = f'IndexedPagingOffset="{offset + len(page)}" ' if view is not None or not last else ""
    return page, f'{after}TotalItemsInView="{len(found)}" IncludesLastItemInRange="{"true" if last else "false"}"'
