"""From a GetItem answer to the neutral ``Message`` of the compose lane. Pure.

People, dates and flags come from the server's own fields, which know more than the MIME that it renders (Bcc, X.500 senders,
follow-ups); body and attachments come from the MIME.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import pybase64

from connectors.base import Address, FollowUp, Item, Lane, Message, Ref
from connectors.errors import Unavailable
from connectors.ews.client import T
from connectors.ews.mime import take_apart
from connectors.ews.soap import extended, moment

_IMPORTANCE: dict[str, Literal["low", "normal", "high"]] = {"Low": "low", "High": "high"}
_SENSITIVITY: dict[str, Literal["normal", "personal", "private", "confidential"]] = {
    "Personal": "personal",
    "Private": "private",
    "Confidential": "confidential",
}
_COMPLETE, _FLAGGED = "1", "2"
"""PidTagFlagStatus [MS-OXOFLAG]."""


def item_of(ref: Ref, element: Any) -> Item:
    """A composed item out of its element. Raises Unavailable if the server left out the content."""
    content = element.find(f"{T}MimeContent")
    if content is None:
        raise Unavailable("The source sent an item without its content.", code="no content")
    raw = pybase64.b64decode((content.text or "").encode())
    return Item(
        ref=ref,
        lane=Lane.COMPOSE,
        item_class=element.findtext(f"{T}ItemClass") or "IPM.Note",
        digest=hashlib.blake2b(raw, digest_size=8).digest(),
        message=message_of(element, raw),
    )


def message_of(element: Any, raw: bytes) -> Message:
    """The message that the element's fields and its MIME describe."""
    told = extended(element)
    apart = take_apart(raw)
    return Message(
        subject=element.findtext(f"{T}Subject") or "",
        body=apart.body,
        body_kind="html" if apart.kind == "html" else "text",
        sender=_person(element.find(f"{T}Sender")),
        author=_person(element.find(f"{T}From")),
        to=_people(element, "ToRecipients"),
        cc=_people(element, "CcRecipients"),
        bcc=_people(element, "BccRecipients"),
        reply_to=_people(element, "ReplyTo"),
        message_id=element.findtext(f"{T}InternetMessageId") or None,
        in_reply_to=element.findtext(f"{T}InReplyTo") or None,
        references=element.findtext(f"{T}References") or None,
        headers=told.get("0x007d") or told.get("0x7d") or None,
        submitted=moment(told.get("0x0039") or told.get("0x39")),
        received=moment(told.get("0x0e06") or told.get("0xe06")),
        is_draft=_yes(element, "IsDraft"),
        is_read=_yes(element, "IsRead"),
        importance=_IMPORTANCE.get(element.findtext(f"{T}Importance") or "", "normal"),
        sensitivity=_SENSITIVITY.get(element.findtext(f"{T}Sensitivity") or "", "normal"),
        categories=tuple(one.text or "" for one in element.iterfind(f"{T}Categories/{T}String")),
        follow_up=_follow_up(told),
        wants_read_receipt=_yes(element, "IsReadReceiptRequested"),
        wants_delivery_receipt=_yes(element, "IsDeliveryReceiptRequested"),
        icon=_number(told.get("0x1080")),
        last_verb=_number(told.get("0x1081")),
        attachments=tuple(apart.attachments),
        odd=tuple(apart.odd),
    )


def _yes(element: Any, name: str) -> bool:
    return bool((element.findtext(f"{T}{name}") or "").lower() == "true")


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _person(holder: Any) -> Address | None:
    return None if holder is None or not len(holder) else _address(holder[0])


def _people(element: Any, name: str) -> tuple[Address, ...]:
    return tuple(_address(one) for one in element.iterfind(f"{T}{name}/{T}Mailbox"))


def _address(mailbox: Any) -> Address:
    return Address(mailbox.findtext(f"{T}Name") or "", mailbox.findtext(f"{T}EmailAddress") or "")


def _follow_up(told: dict[str, str]) -> FollowUp | None:
    status = told.get("0x1090")
    if status == _COMPLETE:
        return FollowUp("complete", moment(told.get("33028")), moment(told.get("33029")), moment(told.get("0x1091")))
    if status == _FLAGGED:
        return FollowUp("flagged", moment(told.get("33028")), moment(told.get("33029")))
    return None
