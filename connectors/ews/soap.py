"""What is asked of Exchange on the hot path, and how the answers are read.

Shapes are those of the vendor's schema (messages.xsd, types.xsd). A listing asks for ids and for what the planner needs, never
for bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import pybase64
from lxml import etree

from connectors.base import Drop, Entry, Facts, Page, Put, ReadFlag, Ref, hash_subject
from connectors.errors import Unavailable
from connectors.ews.answer import M, T
from connectors.ews.client import escape

LISTED_FIELDS = ("item:Size", "item:ItemClass", "item:Subject", "item:DateTimeCreated")
COMPOSED_FIELDS = (
    "item:ItemClass",
    "item:Subject",
    "item:Sensitivity",
    "item:Importance",
    "item:Categories",
    "item:IsDraft",
    "item:InReplyTo",
    "message:Sender",
    "message:ToRecipients",
    "message:CcRecipients",
    "message:BccRecipients",
    "message:IsReadReceiptRequested",
    "message:IsDeliveryReceiptRequested",
    "message:From",
    "message:InternetMessageId",
    "message:IsRead",
    "message:References",
    "message:ReplyTo",
)

_APPOINTMENT = "00062002-0000-0000-c000-000000000046"
_TASK = "00062003-0000-0000-c000-000000000046"


class Prop(StrEnum):
    """Extended properties by the key that ``extended`` reads them under: a tag, or a set and a number. [MS-OXPROPS]"""

    RECEIPT = "0x0029"  # PidTagReadReceiptRequested
    SUBMITTED = "0x0039"  # PidTagClientSubmitTime
    HEADERS = "0x007d"  # PidTagTransportMessageHeaders
    BCC, CC, TO = "0x0e02", "0x0e03", "0x0e04"  # PidTagDisplayBcc, …Cc, …To
    RECEIVED = "0x0e06"  # PidTagMessageDeliveryTime
    FLAGS = "0x0e07"  # PidTagMessageFlags
    MESSAGE_ID = "0x1035"  # PidTagInternetMessageId
    ICON, LAST_VERB = "0x1080", "0x1081"  # PidTagIconIndex, PidTagLastVerbExecuted
    FLAG_STATUS, FLAG_COMPLETED = "0x1090", "0x1091"  # PidTagFlagStatus, PidTagFlagCompleteTime
    MODIFIED = "0x3008"  # PidTagLastModificationTime
    SEARCH_KEY = "0x300b"  # PidTagSearchKey
    START = f"{_APPOINTMENT}:33293"  # PidLidAppointmentStartWhole, 0x820D
    STATE = f"{_APPOINTMENT}:33303"  # PidLidAppointmentStateFlags, 0x8217
    FLAG_START, FLAG_DUE = f"{_TASK}:33028", f"{_TASK}:33029"  # PidLidTaskStartDate 0x8104, PidLidTaskDueDate 0x8105
    FOLDER_TYPE = "0x3601"  # PidTagFolderType
    UNREAD = "0x3603"  # PidTagContentUnreadCount
    HIDDEN = "0x10f4"  # PidTagAttributeHidden
    COMMITTED, DELETED = "0x670a", "0x670b"  # PidTagLocalCommitTimeMax, PidTagDeletedCountTotal


_BINARY, _STRING, _TIME, _NUMBER, _TRUTH = "Binary", "String", "SystemTime", "Integer", "Boolean"
_LISTED = {
    Prop.SEARCH_KEY: _BINARY,
    Prop.MESSAGE_ID: _STRING,
    Prop.SUBMITTED: _TIME,
    Prop.RECEIVED: _TIME,
    Prop.MODIFIED: _TIME,
    Prop.RECEIPT: _TRUTH,
    Prop.FLAGS: _NUMBER,
    Prop.START: _TIME,
    Prop.STATE: _NUMBER,
    Prop.TO: _STRING,
    Prop.CC: _STRING,
    Prop.BCC: _STRING,
}
_COMPOSED = {
    Prop.HEADERS: _STRING,
    Prop.SUBMITTED: _TIME,
    Prop.RECEIVED: _TIME,
    Prop.ICON: _NUMBER,
    Prop.LAST_VERB: _NUMBER,
    Prop.FLAG_STATUS: _NUMBER,
    Prop.FLAG_COMPLETED: _TIME,
    Prop.FLAG_START: _TIME,
    Prop.FLAG_DUE: _TIME,
}
_OF_A_FOLDER = {
    Prop.FOLDER_TYPE: _NUMBER,
    Prop.HIDDEN: _TRUTH,
    Prop.UNREAD: _NUMBER,
}
_STAMPS = {
    Prop.COMMITTED: _TIME,
    Prop.DELETED: _NUMBER,
}
_MEETING = 1
"""asfMeeting [MS-OXOCAL 2.2.1.10]."""


def _asked(fields: Sequence[str], props: Mapping[Prop, str]) -> str:
    found = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields)
    for prop, kind in props.items():
        space, _, number = prop.rpartition(":")
        path = f'PropertySetId="{space}" PropertyId="{number}"' if space else f'PropertyTag="{prop.value}"'
        found += f'<t:ExtendedFieldURI {path} PropertyType="{kind}"/>'
    return f"<t:AdditionalProperties>{found}</t:AdditionalProperties>"


_ONLY_ID = "<t:BaseShape>IdOnly</t:BaseShape>"
_BARE = f"<m:ItemShape>{_ONLY_ID}</m:ItemShape>"
_LISTING = f"<m:ItemShape>{_ONLY_ID}{_asked(LISTED_FIELDS, _LISTED)}</m:ItemShape>"
_COMPOSING = (
    f"<m:ItemShape>{_ONLY_ID}<t:IncludeMimeContent>true</t:IncludeMimeContent>{_asked(COMPOSED_FIELDS, _COMPOSED)}</m:ItemShape>"
)


def _item_ids(ids: Sequence[str]) -> str:
    return "<m:ItemIds>" + "".join(f'<t:ItemId Id="{escape(one)}"/>' for one in ids) + "</m:ItemIds>"


def sync_items(folder_id: str, state: str | None, most: int, *, bare: bool = False) -> str:
    """SyncFolderItems with at most so many changes a page; the server gives 512 at once."""
    return (
        f"<m:SyncFolderItems>{_BARE if bare else _LISTING}"
        f'<m:SyncFolderId><t:FolderId Id="{escape(folder_id)}"/></m:SyncFolderId>'
        + (f"<m:SyncState>{escape(state)}</m:SyncState>" if state else "")
        + f"<m:MaxChangesReturned>{most}</m:MaxChangesReturned><m:SyncScope>NormalItems</m:SyncScope></m:SyncFolderItems>"
    )


def find_items(folder_id: str, offset: int, most: int) -> str:
    """FindItem with at most so many items a page, and the same properties as a listing; the server gives 1000 at once."""
    return (
        f'<m:FindItem Traversal="Shallow">{_LISTING}'
        f'<m:IndexedPageItemView MaxEntriesReturned="{most}" Offset="{offset}" BasePoint="Beginning"/>'
        f'<m:ParentFolderIds><t:FolderId Id="{escape(folder_id)}"/></m:ParentFolderIds></m:FindItem>'
    )


def find_message(folder_ids: Sequence[str], message_ids: Sequence[str]) -> str:
    """FindItem with the properties of a listing, of items with one of these message ids; the answer has a message a folder."""
    tests = "".join(
        '<t:IsEqualTo><t:FieldURI FieldURI="message:InternetMessageId"/><t:FieldURIOrConstant>'
        f'<t:Constant Value="{escape(one)}"/></t:FieldURIOrConstant></t:IsEqualTo>'
        for one in message_ids
    )
    folders = "".join(f'<t:FolderId Id="{escape(one)}"/>' for one in folder_ids)
    return (
        f'<m:FindItem Traversal="Shallow">{_LISTING}'
        '<m:IndexedPageItemView MaxEntriesReturned="100" Offset="0" BasePoint="Beginning"/>'
        f"<m:Restriction><t:Or>{tests}</t:Or></m:Restriction><m:ParentFolderIds>{folders}</m:ParentFolderIds></m:FindItem>"
    )


def get_listed(ids: Sequence[str]) -> str:
    """GetItem with the properties of a listing, for servers that refuse them in one."""
    return f"<m:GetItem>{_LISTING}{_item_ids(ids)}</m:GetItem>"


def get_subjects(ids: Sequence[str]) -> str:
    """GetItem with nothing but subjects, for a person who asked to see them."""
    shape = f"<m:ItemShape>{_ONLY_ID}{_asked(('item:Subject',), {})}</m:ItemShape>"
    return f"<m:GetItem>{shape}{_item_ids(ids)}</m:GetItem>"


def get_composed(ids: Sequence[str]) -> str:
    """GetItem with everything that the compose lane carries, MIME included."""
    return f"<m:GetItem>{_COMPOSING}{_item_ids(ids)}</m:GetItem>"


def export(ids: Sequence[str]) -> str:
    """ExportItems; the ids without change keys, since a stale one is an error and reads need none."""
    return f"<m:ExportItems>{_item_ids(ids)}</m:ExportItems>"


_FOLDER_FIELDS = ("folder:DisplayName", "folder:ParentFolderId", "folder:FolderClass", "folder:TotalCount")
_FOLDER_SHAPE = f"<m:FolderShape>{_ONLY_ID}{_asked(_FOLDER_FIELDS, _OF_A_FOLDER)}</m:FolderShape>"
_STAMPED_SHAPE = f"<m:FolderShape>{_ONLY_ID}{_asked(_FOLDER_FIELDS, {**_OF_A_FOLDER, **_STAMPS})}</m:FolderShape>"
_STAMP_SHAPE = f"<m:FolderShape>{_ONLY_ID}{_asked(('folder:TotalCount',), {Prop.UNREAD: _NUMBER, **_STAMPS})}</m:FolderShape>"


def distinguished(role: str, owner: str | None) -> str:
    """A special folder's id; with ``owner`` that of another mailbox than the caller's, which full access needs."""
    mailbox = f"<t:Mailbox><t:EmailAddress>{escape(owner)}</t:EmailAddress></t:Mailbox>" if owner else ""
    return f'<t:DistinguishedFolderId Id="{role}">{mailbox}</t:DistinguishedFolderId>'


def find_folders(offset: int, owner: str | None, *, stamps: bool = True, below: str = "msgfolderroot") -> str:
    """Every folder below a distinguished one, a thousand at once, with its change stamp unless the server refuses that."""
    return (
        f'<m:FindFolder Traversal="Deep">{_STAMPED_SHAPE if stamps else _FOLDER_SHAPE}'
        f'<m:IndexedPageFolderView MaxEntriesReturned="1000" Offset="{offset}" BasePoint="Beginning"/>'
        f"<m:ParentFolderIds>{distinguished(below, owner)}</m:ParentFolderIds></m:FindFolder>"
    )


def get_trees(names: Sequence[str], owner: str | None) -> str:
    """GetFolder of distinguished folders with what is read of every folder."""
    ids = "".join(distinguished(name, owner) for name in names)
    return f"<m:GetFolder>{_FOLDER_SHAPE}<m:FolderIds>{ids}</m:FolderIds></m:GetFolder>"


def get_special(roles: Sequence[str], owner: str | None) -> str:
    """The ids of special folders by their distinguished names."""
    ids = "".join(distinguished(role, owner) for role in roles)
    return f"<m:GetFolder><m:FolderShape>{_ONLY_ID}</m:FolderShape><m:FolderIds>{ids}</m:FolderIds></m:GetFolder>"


def get_stamps(ids: Sequence[str]) -> str:
    """GetFolder with nothing but change stamps, for servers that leave them out of a listing."""
    folders = "".join(f'<t:FolderId Id="{escape(one)}"/>' for one in ids)
    return f"<m:GetFolder>{_STAMP_SHAPE}<m:FolderIds>{folders}</m:FolderIds></m:GetFolder>"


# -- reading


def moment(text: str | None) -> datetime | None:
    """A time of the wire, in UTC; None for none, for the year 1601, which stands for none, and for dates that no calendar has."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year > 1601 else None


def number(text: str | None) -> int | None:
    """A number of the wire; None for none."""
    try:
        return int(text) if text else None
    except ValueError:
        return None


def truth(text: str | None) -> bool:
    """A yes of the wire."""
    return (text or "").strip().lower() in ("true", "1")


def binary(text: str | None) -> bytes | None:
    """Bytes of the wire; None for none."""
    try:
        return pybase64.b64decode(text, validate=True) if text else None
    except ValueError:
        return None


def extended(item: Any) -> dict[str, str]:
    """Single-valued extended properties of an item, by the values of ``Prop``.

    A server writes tags as it likes: ``0x300B`` comes back as ``0x300b``, ``0x0E07`` as ``0xe07``.
    """
    return parts_of(item)[0]


def parts_of(item: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The extended properties of an element, and the first of its other children by tag, in one walk."""
    found: dict[str, str] = {}
    others: dict[str, Any] = {}
    for child in item:
        tag = child.tag
        if tag != _PROPERTY:
            others.setdefault(tag, child)
            continue
        parts = list(child)
        if len(parts) == 2 and parts[1].tag == _VALUE:
            uri = parts[0]
            tagged = uri.get("PropertyTag")
            key = _of_a_tag(tagged) if tagged else _of_a_set(uri.get("PropertySetId"), uri.get("PropertyId"))
            found[key] = parts[1].text or ""
    return found, others


def text_of(element: Any) -> str:
    """The text of an element that may not be there; empty for none."""
    return (element.text or "") if element is not None else ""


_CLASS, _SIZE, _SUBJECT, _CREATED = (f"{T}{name}" for name in ("ItemClass", "Size", "Subject", "DateTimeCreated"))
_MAIL = frozenset(f"{T}{name}" for name in ("Message", "PostItem", "MeetingRequest", "MeetingResponse", "MeetingCancellation"))
_PROPERTY, _VALUE = f"{T}ExtendedProperty", f"{T}Value"


@lru_cache(maxsize=1024)
def _of_a_tag(tag: str) -> str:
    try:
        return f"0x{int(tag, 16):04x}"
    except ValueError:
        return tag


@lru_cache(maxsize=1024)
def _of_a_set(space: str | None, own: str | None) -> str:
    return f"{(space or '').lower()}:{own or ''}"


def facts_of(item: Any) -> Facts:
    """What a listing shows of an item."""
    told, others = parts_of(item)
    known = text_of(others.get(_CLASS))
    item_class = known or "IPM.Note"
    folded = item_class.casefold()
    flags = number(told.get(Prop.FLAGS))
    return Facts(
        item_class=item_class,
        size=number(text_of(others.get(_SIZE))) or 0,
        search_key=binary(told.get(Prop.SEARCH_KEY)) or None,
        message_id=told.get(Prop.MESSAGE_ID) or None,
        subject_hash=hash_subject(text_of(others.get(_SUBJECT))) if known else None,
        submitted=moment(told.get(Prop.SUBMITTED)),
        received=moment(told.get(Prop.RECEIVED)),
        created=moment(text_of(others.get(_CREATED))),
        modified=moment(told.get(Prop.MODIFIED)),
        # Meeting requests carry it too, but are recognised by when they were sent, as all mail is.
        start=moment(told.get(Prop.START)) if folded.startswith("ipm.appointment") else None,
        is_read=None if flags is None else bool(flags & 1),
        has_attendees=_attendees(folded, told) if known else None,
        # The property is simply absent where nobody asked for a receipt; only an answer without properties says nothing.
        wants_receipt=truth(told.get(Prop.RECEIPT)) if told or item.tag not in _MAIL else None,
    )


def _attendees(item_class: str, told: Mapping[str, str]) -> bool | None:
    """Whether somebody could be invited by the item: yes, no, or None where the server does not tell."""
    if item_class.startswith("ipm.schedule"):
        return None
    if not item_class.startswith("ipm.appointment"):
        return False
    state = number(told.get(Prop.STATE))
    if (state or 0) & _MEETING or any(told.get(one) for one in (Prop.TO, Prop.CC, Prop.BCC)):
        return True
    # An appointment that never was a meeting has no state, so that no state and no people are not yet a no.
    return False if state is not None and told.get(Prop.TO) == "" else None


def read_page(message: Any) -> tuple[Page, bool]:
    """One page of SyncFolderItems, and whether it told more than ids. Raises Unavailable for one that is not whole."""
    state = message.findtext(f"{M}SyncState")
    last = (message.findtext(f"{M}IncludesLastItemInRange") or "").strip().lower()
    held = message.find(f"{M}Changes")
    if not state or last not in ("true", "false") or held is None:
        raise Unavailable("A listing came without its state.", code="no state")
    changes: list[Put | ReadFlag | Drop] = []
    told = True
    for change in held:
        match etree.QName(change).localname:
            case "Create" | "Update":
                item = change[0] if len(change) else change
                facts = facts_of(item)
                id_, version = _id_of(item)
                told = told and item.find(f"{T}ItemClass") is not None
                changes.append(Put(Ref(id_, version, facts.size), facts))
            case "Delete":
                changes.append(Drop(_id_of(change)[0]))
            case "ReadFlagChange":
                id_, version = _id_of(change)
                changes.append(ReadFlag(id_, truth(change.findtext(f"{T}IsRead")), version))
            case other:
                raise Unavailable(f"A listing holds a change of an unknown kind: {other}.", code="unknown change")
    return Page(tuple(changes), state, last == "true"), told


def _id_of(element: Any) -> tuple[str, str]:
    found = element.find(f"{T}ItemId")
    if found is None or not found.get("Id"):
        raise Unavailable("A listing holds an item without an id.", code="no id")
    return found.get("Id"), found.get("ChangeKey") or ""


def entry_of(item: Any) -> Entry:
    """One line of an inventory."""
    id_, version = _id_of(item)
    return Entry(id_, facts_of(item), version)
