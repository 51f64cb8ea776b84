"""Attachments of messages: inline in a request, one at a time, or in parts by an upload session."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from .tenant_call import FOUR_MB, Answer, Call, GraphError, check, chosen, find, gone, page
from .tenant_index import Index
from .truth import Item, Part, now

DIRECT = 3 * 1024 * 1024
MOST = 150 * 1024 * 1024
_UPLOAD = {
    "AttachmentItem": {
        **dict.fromkeys(("attachmentType", "name", "contentType", "contentId"), str),
        "size": int,
        "isInline": bool,
    }
}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")


@dataclass(slots=True)
class Upload:
    """One attachment on its way up in parts, and the app whose usage it is."""

    index: Index
    app: str
    item_id: str
    part: Part
    size: int
    place: str
    take: Callable[[Part], None] | None = None
    """Who takes the attachment once it is there; the item itself by default."""
    data: bytearray = field(default_factory=bytearray)


def read_part(given: dict[str, Any], *, direct: bool = False) -> Part:
    """An attachment as a request brings it; ``direct``: one that comes alone, which has to be small. Raises GraphError."""
    if given.get("@odata.type") not in ("#microsoft.graph.fileAttachment", "#Microsoft.OutlookServices.FileAttachment"):
        raise GraphError(400, "ErrorInvalidRequest", "An attachment needs a type that is known here.")
    if not given.get("name"):
        raise GraphError(400, "ErrorRequiredPropertyMissing", "Required property is missing: name.")
    try:
        data = base64.b64decode(str(given.get("contentBytes") or ""), validate=True)
    except ValueError:
        raise GraphError(400, "RequestBodyRead", "Cannot convert the literal to the expected type 'Edm.Binary'.") from None
    if direct and len(data) >= DIRECT:
        raise GraphError(413, "ErrorAttachmentSizeLimitExceeded", "Attachments of 3 MB and more need an upload session.")
    return _part(given, data)


def _part(given: dict[str, Any], data: bytes) -> Part:
    kind, content_id = str(given.get("contentType") or "application/octet-stream"), given.get("contentId")
    own = secrets.token_hex(8)
    return Part(str(given["name"]), kind, data, bool(given.get("isInline")), content_id and str(content_id), id=own)


def wire_of(part: Part) -> str:
    """An attachment's id, given when it is first asked for."""
    part.id = part.id or secrets.token_hex(8)
    return base64.urlsafe_b64encode(part.id.encode()).decode()


def show_part(call: Call, part: Part, *, content_too: bool) -> dict[str, Any]:
    """An attachment as Graph shows it; the content of a message within the message has to be asked for apart."""
    nested = part.kind == "message"
    shown: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{'item' if nested else 'file'}Attachment",
        "id": wire_of(part),
        "name": part.name,
        "contentType": None if nested else part.content_type,
        "size": len(part.content) + 150,
        "isInline": part.inline,
    }
    if nested:
        return shown
    shown["contentId"] = part.content_id
    if content_too:
        shown["contentBytes"] = base64.b64encode(part.content).decode()
    return shown


def attachments(call: Call) -> Answer:
    """The attachments of a message."""
    return page(call, find(call).parts, lambda part: chosen(call, show_part(call, part, content_too=True)), "attachments")


def _named(call: Call) -> tuple[Item, Part]:
    item = find(call)
    for part in item.parts:
        if wire_of(part) == call.names["attachment"]:
            return item, part
    raise gone("attachment")


def attachment(call: Call) -> Answer:
    """GET of one attachment."""
    shown = chosen(call, show_part(call, _named(call)[1], content_too=True))
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#attachment", **shown})


def content(call: Call) -> Answer:
    """GET of an attachment's bytes; of a message within the message its MIME."""
    return Answer(200, raw=_named(call)[1].content, headers={"Content-Type": "application/octet-stream"})


def detach(call: Call) -> Answer:
    """DELETE of one attachment."""
    item, part = _named(call)
    item.parts = [one for one in item.parts if one is not part]
    _touched(call.box, item)
    return Answer(204)


def attach(call: Call) -> Answer:
    """POST of an attachment of less than 3 MB."""
    item, part = find(call), read_part(call.json(), direct=True)
    item.parts.append(part)
    _touched(call.box, item)
    return Answer(201, show_part(call, part, content_too=False))


def _touched(index: Index, item: Item) -> None:
    item.modified = now()
    index.mailbox.touch(item)
    index.catch_up()


def open_upload(call: Call) -> Answer:
    """POST …/createUploadSession."""
    return open_session(call, find(call), f"Messages('{call.names['message']}')", None)


def open_session(call: Call, item: Item, holder: str, take: Callable[[Part], None] | None) -> Answer:
    """A session for one attachment of an item, which ``holder`` names in the address of what comes of it."""
    asked = check(call.json(), _UPLOAD, "attachmentItem").get("AttachmentItem") or {}
    if not asked.get("name") or (asked.get("size") or 0) < 1:
        raise GraphError(400, "ErrorRequiredPropertyMissing", "An upload session needs a name and a size.")
    if asked["size"] > MOST:
        raise GraphError(413, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large.")
    token, part = secrets.token_urlsafe(24), _part(asked, b"")
    place = f"{call.import_base}/api/gv1.0/Users('{quote(call.box.mailbox.address)}')/{holder}/Attachments('{wire_of(part)}')"
    call.uploads[token] = Upload(call.box, call.app, item.id, part, asked["size"], place, take)
    url = f"{call.import_base}/api/gv1.0/AttachmentSessions('{token}')?authtoken={secrets.token_urlsafe(40)}"
    until = (now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"uploadUrl": url, "expirationDateTime": until, "nextExpectedRanges": ["0-"]}
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#microsoft.graph.uploadSession", **body})


def put_part(upload: Upload, content_range: str, data: bytes) -> Answer:
    """PUT of one part: in order, below 4 MB; the last one makes the attachment."""
    found = _RANGE.match(content_range)
    if found is None or len(data) >= FOUR_MB:
        raise GraphError(400, "ErrorInvalidRequest", "A range is missing or too large.")
    start, end, total = map(int, found.groups())
    if total != upload.size or start != len(upload.data) or end - start + 1 != len(data) or end >= total:
        raise GraphError(416, "ErrorInvalidRange", "The range is not the one that comes next.")
    item = upload.index.mailbox.items.get(upload.item_id)
    if item is None:
        raise gone()
    upload.data += data
    if len(upload.data) < upload.size:
        return Answer(200, {"nextExpectedRanges": [str(len(upload.data))]})
    upload.part.content = bytes(upload.data)
    if upload.take is not None:
        upload.take(upload.part)
    else:
        item.parts.append(upload.part)
        _touched(upload.index, item)
    return Answer(201, headers={"Location": upload.place})
