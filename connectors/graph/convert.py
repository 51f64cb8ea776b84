"""A message of ours as the JSON that Graph takes; pure.

One message becomes one request of at most REQUEST_LIMIT bytes, the attachments that did not fit, and a list of what was lost.
Base64 of attachments is spliced into the JSON as it is, never decoded. What Graph has no field for travels as extended
properties, which are honoured only in the creating request [docs and field notes: message flags 0x0E07, dates 0x0E06/0x0039,
headers 0x007D, threading 0x1042/0x1039]. The stamp goes with it; a message whose attachments follow in later requests carries
it with PARTIAL behind, until the last attachment is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pybase64

from connectors.base import Address, Attachment, FollowUp, Message, Refusal
from connectors.graph import extended as x
from connectors.spool import Content

REQUEST_LIMIT = 3_500_000
"""Bytes of one creating request; the server's own limit is 4 MB for the whole request."""

BODY_LIMIT = 3_000_000
"""Bytes of the encoded body above which it travels as an attachment."""

DIRECT_LIMIT = 3 * 1024 * 1024 - 1024
"""Raw bytes below which an attachment is posted; larger ones need an upload session."""

UPLOAD_LIMIT = 150 * 1024 * 1024
ITEM_LIMIT = UPLOAD_LIMIT + REQUEST_LIMIT
"""No tenant can be set to take a message of more than 150 MB [learn.microsoft.com/graph/api/attachment-createuploadsession]; an
attachment of that size is left a text beside it."""
SUBJECT_LIMIT = 255
ATTACHMENT_COUNT = 250
HEADER_LIMIT = 250_000
_SENSITIVITY = {"personal": 1, "private": 2, "confidential": 3}
_SMTP = re.compile(r"^[^\s@<>\"',;]+@[^\s@<>\"',;]+$")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Composed:
    """A creating request, the attachments that follow it, and the names of what the lane could not carry whole."""

    body: bytes
    later: tuple[Attachment, ...]
    degraded: tuple[str, ...]
    receipt_later: bool = False
    """The message asks for a read receipt, but its partial copy must not."""


def raw_size(attachment: Attachment) -> int:
    """The bytes that an attachment's base64 stands for."""
    length = len(attachment.content)
    return length * 3 // 4 - attachment.content[-2:].count(b"=")


def spliced(content: Content) -> orjson.Fragment:
    """Base64 as a JSON string, without a detour over text."""
    content = bytes(content)
    if b"\n" in content or b"\r" in content:
        content = content.translate(None, b"\r\n")
    return orjson.Fragment(b'"' + content + b'"')


def file_attachment(attachment: Attachment) -> dict[str, Any]:
    """An attachment as Graph takes it; the content is spliced in."""
    found: dict[str, Any] = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": attachment_name(attachment),
        "isInline": attachment.inline,
        "contentBytes": spliced(attachment.content),
    }
    if attachment.content_type:
        found["contentType"] = safe_text(attachment.content_type)[0]
    if attachment.content_id:
        found["contentId"] = safe_text(attachment.content_id)[0]
    return found


def attachment_name(attachment: Attachment) -> str:
    """Its name, or one made of its kind; Graph takes none without."""
    name = safe_text(attachment.name)[0].strip()[:255]
    return name or ("message.eml" if attachment.content_type == "message/rfc822" else "attachment")


def usable(address: str) -> bool:
    """Whether an address is an SMTP address as Graph takes it."""
    return _SMTP.match(address) is not None


def safe_text(text: str) -> tuple[str, bool]:
    """The text without what JSON or Exchange can't hold, and whether something was replaced."""
    found = _CONTROLS.sub("", text)
    if not found.isascii():
        found = found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return found, found != text


def _person(address: Address) -> dict[str, Any]:
    found: dict[str, str] = {}
    if address.name:
        found["name"] = safe_text(address.name)[0]
    if address.address:
        found["address"] = safe_text(address.address)[0]
    return {"emailAddress": found}


def _people(addresses: Sequence[Address]) -> list[dict[str, Any]]:
    return [_person(each) for each in addresses if each.name or each.address]


def _zoned(when: datetime) -> dict[str, str]:
    return {"dateTime": x.written(when).removesuffix("Z"), "timeZone": "UTC"}


def _flag(follow_up: FollowUp) -> dict[str, Any]:
    if follow_up.status == "complete":
        done: dict[str, Any] = {"flagStatus": "complete"}
        if follow_up.completed:
            done["completedDateTime"] = _zoned(follow_up.completed)
        return done
    found: dict[str, Any] = {"flagStatus": "flagged"}
    if follow_up.due:
        # A due date without a start is refused [followupFlag resource].
        start = follow_up.start or follow_up.due
        found["startDateTime"] = _zoned(min(start, follow_up.due))
        found["dueDateTime"] = _zoned(follow_up.due)
    return found


def _properties(message: Message, item_class: str, lost: list[str]) -> list[dict[str, str]]:
    found = []
    if not message.is_draft:
        # Any value without the unsent bit makes it a message that was sent; the read state has a field of its own.
        found.append(x.pair(x.FLAGS, "5" if message.is_read else "4"))
        if message.received is None and message.submitted is None:
            lost.append("dates")
    received, submitted = message.received or message.submitted, message.submitted or message.received
    if received:
        found.append(x.pair(x.RECEIVED, x.written(received)))
    if submitted:
        found.append(x.pair(x.SUBMITTED, x.written(submitted)))
    if message.headers:
        headers = safe_text(message.headers)[0]
        if len(headers.encode()) <= HEADER_LIMIT:
            found.append(x.pair(x.HEADERS, headers))
        else:
            lost.append("headers")
    for name, text in ((x.IN_REPLY_TO, message.in_reply_to), (x.REFERENCES, message.references)):
        if text:
            found.append(x.pair(name, safe_text(text)[0]))
    for name, number in ((x.ICON, message.icon), (x.LAST_VERB, message.last_verb)):
        if number is not None:
            found.append(x.pair(name, str(number)))
    if item_class.casefold() != "ipm.note":
        found.append(x.pair(x.ITEM_CLASS, item_class))
    if message.sensitivity in _SENSITIVITY:
        found.append(x.pair(x.SENSITIVITY, str(_SENSITIVITY[message.sensitivity])))
    return found


def _fields(message: Message, lost: list[str]) -> dict[str, Any]:
    subject, odd = safe_text(message.subject)
    body, odd_body = safe_text(message.body)
    if odd or odd_body:
        lost.append("characters")
    if len(subject) > SUBJECT_LIMIT:
        subject = subject[:SUBJECT_LIMIT]
        lost.append("subject")
    found: dict[str, Any] = {
        "subject": subject,
        "body": {"contentType": message.body_kind, "content": body},
        "toRecipients": _people(message.to),
        "ccRecipients": _people(message.cc),
        "bccRecipients": _people(message.bcc),
        "importance": message.importance,
        "isRead": message.is_read,
        "isReadReceiptRequested": message.wants_read_receipt,
        "isDeliveryReceiptRequested": message.wants_delivery_receipt,
    }
    author, sender = message.author or message.sender, message.sender or message.author
    if author and (author.name or author.address):
        found["from"] = _person(author)
    if sender and (sender.name or sender.address):
        found["sender"] = _person(sender)
    answering = [each for each in message.reply_to if usable(each.address)]
    if answering:
        found["replyTo"] = _people(answering)
    if len(answering) < len(message.reply_to):
        lost.append("reply-to")  # one unusable address there fails the whole request
    if message.message_id:
        found["internetMessageId"] = safe_text(message.message_id)[0]
    if message.categories:
        found["categories"] = [safe_text(each)[0] for each in message.categories]
    if message.follow_up:
        found["flag"] = _flag(message.follow_up)
        if message.follow_up.status == "flagged" and message.follow_up.start and not message.follow_up.due:
            lost.append("flag-dates")  # start and end belong together there
    return found


def _body_apart(fields: dict[str, Any], kind: str) -> Attachment | None:
    content = fields["body"]["content"]
    if len(content) * 6 < BODY_LIMIT or len(orjson.dumps(content)) <= BODY_LIMIT:
        return None
    fields["body"] = {"contentType": "text", "content": "The text of this message is too large for its body; it is attached."}
    name, mime = ("body.html", "text/html; charset=utf-8") if kind == "html" else ("body.txt", "text/plain; charset=utf-8")
    return Attachment(name=name, content_type=mime, content=pybase64.b64encode(content.encode()))


def compose(message: Message, stamp: str, item_class: str = "IPM.Note") -> Composed | Refusal:
    """The creating request for a message, or why it can't go at all."""
    lost: list[str] = list(message.odd)
    fields = _fields(message, lost)
    apart = _body_apart(fields, message.body_kind)
    attachments = list(message.attachments)
    if apart is not None:
        attachments.append(apart)
        lost.append("body")
    if len(attachments) > ATTACHMENT_COUNT:
        return Refusal("too-many-attachments", f"it has {len(attachments)} attachments; the target takes {ATTACHMENT_COUNT}")
    if any(raw_size(each) > UPLOAD_LIMIT for each in attachments):
        return Refusal("too-large", "one of its attachments is larger than the 150 MB that the target takes")
    if any(each.content_type.casefold() == "message/rfc822" for each in message.attachments):
        lost.append("nested-attachments")
    fields["singleValueExtendedProperties"] = properties = _properties(message, item_class, lost)
    room = REQUEST_LIMIT - len(orjson.dumps(fields)) - 1000
    within: list[dict[str, Any]] = []
    later: list[Attachment] = []
    for each in attachments:
        cost = len(each.content) + 400 + 6 * len(each.name)
        if cost <= room and not later:  # those that follow keep their order
            room -= cost
            within.append(file_attachment(each))
        else:
            later.append(each)
    if within:
        fields["attachments"] = within
    if later:
        fields["isReadReceiptRequested"] = False
    properties.append(x.pair(x.STAMP, stamp + x.PARTIAL if later else stamp))
    return Composed(orjson.dumps(fields), tuple(later), tuple(dict.fromkeys(lost)), bool(later) and message.wants_read_receipt)
