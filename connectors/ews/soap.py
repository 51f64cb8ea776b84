"""What is asked of Exchange on the hot path, and how the answers are read.

Shapes are those of the vendor's schema (messages.xsd, types.xsd). A listing asks for ids and for what the planner needs, never
for bodies; an export's base64 stays as the server sent it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from connectors.base import Drop, Entry, Facts, Page, Put, ReadFlag, Ref, hash_subject
from connectors.errors import Unavailable
from connectors.ews.client import TRUNCATED, M, T, escape, parse

LISTED_FIELDS = ("item:Size", "item:ItemClass", "item:Subject", "item:DateTimeCreated")
LISTED_TAGS = (
    ("0x300B", "Binary"),
    ("0x1035", "String"),
    ("0x0039", "SystemTime"),
    ("0x0E06", "SystemTime"),
    ("0x3008", "SystemTime"),
    ("0x0029", "Boolean"),
    ("0x0E07", "Integer"),
)
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
COMPOSED_TAGS = (
    ("0x007D", "String"),
    ("0x0039", "SystemTime"),
    ("0x0E06", "SystemTime"),
    ("0x1080", "Integer"),
    ("0x1081", "Integer"),
    ("0x1090", "Integer"),
    ("0x1091", "SystemTime"),
)
COMMON = "00062008-0000-0000-C000-000000000046"
COMPOSED_NAMED = ((0x8104, "SystemTime"), (0x8105, "SystemTime"))
"""Start and due date of a follow-up, in the common property set."""


def _shape(fields: Sequence[str], tags: Sequence[tuple[str, str]], *, mime: bool = False, named: bool = False) -> str:
    asked = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields)
    asked += "".join(f'<t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="{kind}"/>' for tag, kind in tags)
    if named:
        asked += "".join(
            f'<t:ExtendedFieldURI PropertySetId="{COMMON}" PropertyId="{number}" PropertyType="{kind}"/>'
            for number, kind in COMPOSED_NAMED
        )
    content = "<t:IncludeMimeContent>true</t:IncludeMimeContent>" if mime else ""
    extra = f"<t:AdditionalProperties>{asked}</t:AdditionalProperties>" if asked else ""
    return f"<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>{content}{extra}</m:ItemShape>"


_LISTING = _shape(LISTED_FIELDS, LISTED_TAGS)
_BARE = _shape((), ())
_COMPOSING = _shape(COMPOSED_FIELDS, COMPOSED_TAGS, mime=True, named=True)


def _item_ids(ids: Sequence[str]) -> str:
    return "<m:ItemIds>" + "".join(f'<t:ItemId Id="{escape(one)}"/>' for one in ids) + "</m:ItemIds>"


def sync_items(folder_id: str, state: str | None, *, bare: bool = False) -> str:
    """SyncFolderItems, 512 changes a page, the most that the server gives."""
    return (
        f"<m:SyncFolderItems>{_BARE if bare else _LISTING}"
        f'<m:SyncFolderId><t:FolderId Id="{escape(folder_id)}"/></m:SyncFolderId>'
        + (f"<m:SyncState>{escape(state)}</m:SyncState>" if state else "")
        + "<m:MaxChangesReturned>512</m:MaxChangesReturned><m:SyncScope>NormalItems</m:SyncScope></m:SyncFolderItems>"
    )


def find_items(folder_id: str, offset: int) -> str:
    """FindItem, a thousand at once, with the same properties as a listing."""
    return (
        f'<m:FindItem Traversal="Shallow">{_LISTING}'
        f'<m:IndexedPageItemView MaxEntriesReturned="1000" Offset="{offset}" BasePoint="Beginning"/>'
        f'<m:ParentFolderIds><t:FolderId Id="{escape(folder_id)}"/></m:ParentFolderIds></m:FindItem>'
    )


def get_listed(ids: Sequence[str]) -> str:
    """GetItem with the properties of a listing, for servers that refuse them in one."""
    return f"<m:GetItem>{_LISTING}{_item_ids(ids)}</m:GetItem>"


def get_composed(ids: Sequence[str]) -> str:
    """GetItem with everything that the compose lane carries, MIME included."""
    return f"<m:GetItem>{_COMPOSING}{_item_ids(ids)}</m:GetItem>"


def export(ids: Sequence[str]) -> str:
    """ExportItems; the ids without change keys, since a stale one is an error and reads need none."""
    return f"<m:ExportItems>{_item_ids(ids)}</m:ExportItems>"


_FOLDER_SHAPE = (
    "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
    '<t:FieldURI FieldURI="folder:DisplayName"/><t:FieldURI FieldURI="folder:ParentFolderId"/>'
    '<t:FieldURI FieldURI="folder:FolderClass"/><t:FieldURI FieldURI="folder:TotalCount"/>'
    '<t:ExtendedFieldURI PropertyTag="0x3601" PropertyType="Integer"/>'
    '<t:ExtendedFieldURI PropertyTag="0x10F4" PropertyType="Boolean"/>'
    '<t:ExtendedFieldURI PropertyTag="0x3603" PropertyType="Integer"/>'
    '<t:ExtendedFieldURI PropertyTag="0x670A" PropertyType="SystemTime"/>'
    '<t:ExtendedFieldURI PropertyTag="0x670B" PropertyType="Integer"/>'
    "</t:AdditionalProperties></m:FolderShape>"
)


def distinguished(role: str, owner: str | None) -> str:
    """A special folder's id; with ``owner`` that of another mailbox than the caller's, which full access needs."""
    mailbox = f"<t:Mailbox><t:EmailAddress>{escape(owner)}</t:EmailAddress></t:Mailbox>" if owner else ""
    return f'<t:DistinguishedFolderId Id="{role}">{mailbox}</t:DistinguishedFolderId>'


def find_folders(offset: int, owner: str | None) -> str:
    """Every folder below the top, a thousand at once."""
    return (
        f'<m:FindFolder Traversal="Deep">{_FOLDER_SHAPE}'
        f'<m:IndexedPageFolderView MaxEntriesReturned="1000" Offset="{offset}" BasePoint="Beginning"/>'
        f"<m:ParentFolderIds>{distinguished('msgfolderroot', owner)}</m:ParentFolderIds></m:FindFolder>"
    )


def get_special(roles: Sequence[str], owner: str | None) -> str:
    """The ids of special folders by their distinguished names."""
    ids = "".join(distinguished(role, owner) for role in roles)
    shape = "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"
    return f"<m:GetFolder>{shape}<m:FolderIds>{ids}</m:FolderIds></m:GetFolder>"


# -- reading


def moment(text: str | None) -> datetime | None:
    """A time of the wire, in UTC; None for none, and for dates that no calendar has."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def extended(item: Any) -> dict[str, str]:
    """Single-valued extended properties of an item by lower-case tag (``0x300b``) or number of the common set (``33028``)."""
    found: dict[str, str] = {}
    for prop in item.iterfind(f"{T}ExtendedProperty"):
        uri, value = prop[0], prop[-1]
        found[(uri.get("PropertyTag") or uri.get("PropertyId") or "").lower()] = value.text or ""
    return found


def facts_of(item: Any) -> Facts:
    """What a listing shows of an item. Attendees are unknown for meetings and nothing that anything else has."""
    told = extended(item)
    item_class = item.findtext(f"{T}ItemClass") or "IPM.Note"
    subject = item.findtext(f"{T}Subject")
    folded = item_class.casefold()
    meeting = folded.startswith(("ipm.appointment", "ipm.schedule"))
    mail = etree.QName(item).localname in ("Message", "PostItem", "MeetingRequest", "MeetingResponse", "MeetingCancellation")
    flags, receipt = told.get("0xe07") or told.get("0x0e07"), told.get("0x0029") or told.get("0x29")
    key = told.get("0x300b")
    return Facts(
        item_class=item_class,
        size=int(item.findtext(f"{T}Size") or 0),
        search_key=base64.b64decode(key) if key else None,
        message_id=told.get("0x1035") or None,
        subject_hash=hash_subject(subject or ""),
        submitted=moment(told.get("0x0039") or told.get("0x39")),
        received=moment(told.get("0x0e06") or told.get("0xe06")),
        created=moment(item.findtext(f"{T}DateTimeCreated")),
        modified=moment(told.get("0x3008")),
        is_read=bool(int(flags) & 1) if flags else None,
        has_attendees=None if meeting else False,
        # The property is simply absent where nobody asked for a receipt; only an answer without properties says nothing.
        wants_receipt=(receipt or "").lower() == "true" if told or not mail else None,
    )


def read_page(message: Any) -> tuple[Page, bool]:
    """One page of SyncFolderItems, and whether it told more than ids."""
    state = message.findtext(f"{M}SyncState")
    last = (message.findtext(f"{M}IncludesLastItemInRange") or "").lower()
    if not state or last not in ("true", "false"):
        raise Unavailable("A listing came without its state.", code="no state")
    changes: list[Put | ReadFlag | Drop] = []
    told = True
    for change in message.find(f"{M}Changes"):
        match etree.QName(change).localname:
            case "Create" | "Update":
                item = change[0]
                identity = item.find(f"{T}ItemId")
                facts = facts_of(item)
                told = told and item.find(f"{T}ItemClass") is not None
                changes.append(Put(Ref(identity.get("Id"), identity.get("ChangeKey") or "", facts.size), facts))
            case "Delete":
                changes.append(Drop(change.find(f"{T}ItemId").get("Id")))
            case "ReadFlagChange":
                identity = change.find(f"{T}ItemId")
                is_read = (change.findtext(f"{T}IsRead") or "").lower() == "true"
                changes.append(ReadFlag(identity.get("Id"), is_read, identity.get("ChangeKey") or ""))
            case other:
                raise Unavailable(f"A listing holds a change of an unknown kind: {other}.", code="unknown change")
    return Page(tuple(changes), state, last == "true"), told


def entry_of(item: Any) -> Entry:
    """One line of an inventory."""
    identity = item.find(f"{T}ItemId")
    return Entry(identity.get("Id"), facts_of(item), identity.get("ChangeKey") or "")


_DATA = re.compile(rb"<((?:[A-Za-z_][\w.-]*:)?Data)>")


def read_export(answer: bytes) -> Iterator[tuple[Any, bytes | None]]:
    """Each response message of an ExportItems answer with its base64, which is cut out and never decoded.

    What is left is parsed strictly. Raises Unavailable unless the document is complete.
    """
    found = _DATA.search(answer)
    pieces: list[bytes] = []
    streams: list[bytes] = []
    at = 0
    if found is not None:
        opening = found.group(0)
        start = found.start()
        while start >= 0:
            begin = start + len(opening)
            end = answer.find(b"<", begin)
            if end < 0:
                raise Unavailable("The source's answer was cut short.", code="cut short")
            pieces.append(answer[at:begin])
            streams.append(answer[begin:end])
            at = end
            start = answer.find(opening, end)
    pieces.append(answer[at:])
    root = parse(b"".join(pieces))
    left = iter(streams)
    taken = 0
    for message in root.iter(f"{M}ExportItemsResponseMessage"):
        stream = None
        if message.find(f"{M}Data") is not None:
            stream = next(left, b"")
            taken += 1
        yield message, stream
    if taken != len(streams):
        raise Unavailable("The source's answer holds streams that belong to no item.", code="stray stream")


def check_stream(stream: bytes) -> None:
    """Walk the records of an export stream: it has to begin with the three of its frame and end where the last one ends.

    Only the few base64 characters at record headers are decoded. The frame is that of the samples in the vendor's
    documentation: records of opcode and length (little-endian, four bytes each), first 1, 3 and 4. Raises Unavailable.
    """
    if TRUNCATED[:8] in stream or len(stream) % 4 or not stream:
        raise Unavailable("An export stream was cut short.", code="stream")
    size = len(stream) // 4 * 3 - (2 if stream.endswith(b"==") else 1 if stream.endswith(b"=") else 0)
    at, number = 0, 0
    while at < size:
        if at + 8 > size:
            raise Unavailable("An export stream ends inside a record.", code="stream")
        first = at // 3
        head = base64.b64decode(stream[first * 4 : ((at + 8 + 2) // 3) * 4])[at - first * 3 :]
        opcode, length = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
        if number < 3 and opcode != (1, 3, 4)[number]:
            raise Unavailable("An export stream begins with records of another kind.", code="stream")
        at += 8 + length
        number += 1
    if at != size or number < 4:
        raise Unavailable("An export stream ends inside a record.", code="stream")
