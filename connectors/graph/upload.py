"""An attachment of 3 to 150 MB goes up in parts, strictly in order, each under 4 MB.

[learn.microsoft.com/graph/outlook-large-attachments] The address of the upload is pre-authenticated and secret. After a lost
answer the server is asked where it stands; nothing is guessed. Its base64 is decoded a part at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pybase64

from connectors.base import Attachment
from connectors.errors import Throttled, Unavailable, UnknownAnswer, WireError
from connectors.graph import paths
from connectors.graph.classify import Rejected
from connectors.graph.client import AddressSpent, GraphClient
from connectors.graph.convert import attachment_name, raw_size
from connectors.spool import Blob, Content

PART = 3_750_000
"""Bytes of one part; a multiple of three, so that its base64 can be cut at it."""

_DECODED = 3 * 64 * 1024
"""Bytes that are decoded at once of what lies in a file."""

STUCK = 5
"""How often in a row a part may fail before the upload is given up."""

_START = re.compile(r"^\s*(\d+)")


class Part:
    """A part of an attachment whose base64 lies in a file; decoded piece by piece as it leaves."""

    def __init__(self, content: Blob, start: int, stop: int) -> None:
        self._content, self._start, self._stop = content, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def pieces(self) -> Iterator[bytes]:
        for at in range(self._start, self._stop, _DECODED):
            yield cut(self._content, at, min(at + _DECODED, self._stop))


def cut(content: Content, start: int, stop: int) -> bytes:
    """The bytes ``start:stop`` that base64 without line breaks stands for, decoding no more than those."""
    first = start // 3
    last = -(-stop // 3)
    return bytes(pybase64.b64decode(content[first * 4 : last * 4]))[start - first * 3 : stop - first * 3]


def next_start(answer: Any) -> int | None:
    """Where the server expects the next byte; None if it doesn't say or expects none."""
    if not isinstance(answer, dict):
        return None
    ranges = next((value for name, value in answer.items() if name.casefold() == "nextexpectedranges"), None)
    if not isinstance(ranges, list) or not ranges:
        return None
    found = _START.match(str(ranges[0]))
    return int(found.group(1)) if found else None


async def _present(client: GraphClient, mailbox: str, holder: str, attachment: Attachment) -> int:
    """How many attachments of this name and at least this size there are."""
    path: str | None = paths.query(holder + "/attachments", select="name,size", top=100)
    name, size, count = attachment_name(attachment), raw_size(attachment), 0
    while path:
        page = (await client.ask(mailbox, "GET", path, kind="attachments")).json()
        count += sum(each.get("name") == name and (each.get("size") or 0) >= size for each in page.get("value") or ())
        path = page.get("@odata.nextLink")
    return count


async def _open(client: GraphClient, mailbox: str, holder: str, attachment: Attachment, quiet: bool) -> str:
    item: dict[str, Any] = {
        "attachmentType": "file",
        "name": attachment_name(attachment),
        "size": raw_size(attachment),
        "isInline": attachment.inline,
    }
    if attachment.content_type:
        item["contentType"] = attachment.content_type
    if attachment.content_id:
        item["contentId"] = attachment.content_id
    path = holder + "/attachments/createUploadSession"
    body = orjson.dumps({"AttachmentItem": item})
    address = (
        (await client.ask(mailbox, "POST", path, kind="upload-session", body=body, safe=True, quiet=quiet))
        .json()
        .get("uploadUrl")
    )
    if not isinstance(address, str):
        raise UnknownAnswer("an upload session without an address")
    return address


async def upload(
    client: GraphClient, mailbox: str, holder: str, attachment: Attachment, earlier: int = 0, *, quiet: bool = False
) -> None:
    """Add one large attachment to a message or event, whose path ``holder`` is.

    ``earlier`` is how many like it (name and size) it has already; ``quiet`` says that nobody hears of it.

    Raises Rejected if the server turns it down, Unavailable if it stays unclear whether it is there.
    """
    content = attachment.content
    if isinstance(content, bytes) and (b"\n" in content or b"\r" in content):
        content = content.translate(None, b"\r\n")
    total = raw_size(attachment)
    address = await _open(client, mailbox, holder, attachment, quiet)
    at, failures, sessions = 0, 0, 1
    while at < total:
        stop = min(at + PART, total)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"bytes {at}-{stop - 1}/{total}"}
        part = cut(content, at, stop) if isinstance(content, bytes) else Part(content, at, stop)
        try:
            reply = await client.send(mailbox, "PUT", address, kind="upload", pieces=(part,), headers=headers)
        except (Unavailable, AddressSpent, Rejected) as error:
            failures += 1
            if failures > STUCK or (isinstance(error, Rejected) and error.status not in (404, 409, 410, 416)):
                raise
            state = await _stand(client, mailbox, address)
            if state is not None:
                at = state
                continue
            # The session is over: either the last part arrived and its answer was lost, or it ended too early.
            if await _present(client, mailbox, holder, attachment) > earlier:
                return
            sessions += 1
            if sessions > 3:
                raise Unavailable("the upload session ended again and again", code=error.code) from None
            address, at = await _open(client, mailbox, holder, attachment, quiet), 0
            continue
        failures = 0
        if stop == total:
            return
        at = _advanced(reply.body, stop)


def _advanced(body: bytes, stop: int) -> int:
    try:
        start = next_start(orjson.loads(body))
    except orjson.JSONDecodeError:
        start = None
    return stop if start is None else start


async def _stand(client: GraphClient, mailbox: str, address: str) -> int | None:
    """Where an upload stands; None if its session is over."""
    try:
        reply = await client.send(mailbox, "GET", address, kind="upload-state", pieces=(), headers={}, safe=True)
        return next_start(reply.json())
    except Throttled:
        raise
    except WireError:
        return None
