"""From a GetItem answer to the neutral ``Message`` of the compose lane. Pure.

People, dates and flags come from the server's own fields, which know more than the MIME that it renders (Bcc, X.500 senders,
follow-ups); body and attachments come from the MIME.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pybase64

from connectors.base import Address, FollowUp, Item, Lane, Message, Ref, digest_of
from connectors.errors import Unavailable
from connectors.ews.answer import T, left_out
from connectors.ews.marks import importance_of, sensitivity_of
from connectors.ews.mime import take_apart
from connectors.ews.soap import Prop, extended, moment, number, truth
from connectors.spool import Content

_COMPLETE, _FLAGGED = "1", "2"
"""PidTagFlagStatus [MS-OXOFLAG]."""


def item_of(ref: Ref, element: Any, raw: Content | None = None) -> Item:
    """A composed item out of its element; ``raw`` is its MIME where that was taken out before. Raises Unavailable if the server
    left out the content."""
    content = element.find(f"{T}MimeContent")
    if content is None:
        raise Unavailable("The source sent an item without its content.", code="no content")
    if raw is None:
        try:
            raw = pybase64.b64decode((content.text or "").encode().translate(None, b" \t\r\n"), validate=True)
        except ValueError:
            raise Unavailable("The source sent an item whose content can't be read.", code="no content") from None
    return Item(
        ref=ref,
        lane=Lane.COMPOSE,
        item_class=element.findtext(f"{T}ItemClass") or "IPM.Note",
        digest=digest_of(raw),
        message=message_of(element, raw),
    )


def message_of(element: Any, raw: Content) -> Message:
    """The message that the element's fields and its MIME describe."""
    apart = take_apart(raw)
    found = fields_of(element)
    return replace(
        found,
        body=apart.body,
        body_kind="html" if apart.kind == "html" else "text",
        attachments=tuple(apart.attachments),
        odd=(*found.odd, *apart.odd),
    )


def fields_of(element: Any) -> Message:
    """The message that the element's fields describe, as yet without body and attachments."""
    told = extended(element)
    return Message(
        subject=element.findtext(f"{T}Subject") or "",
        sender=_person(element.find(f"{T}Sender")),
        author=_person(element.find(f"{T}From")),
        to=_people(element, "ToRecipients"),
        cc=_people(element, "CcRecipients"),
        bcc=_people(element, "BccRecipients"),
        reply_to=_people(element, "ReplyTo"),
        message_id=element.findtext(f"{T}InternetMessageId") or None,
        in_reply_to=element.findtext(f"{T}InReplyTo") or None,
        references=element.findtext(f"{T}References") or None,
        headers=told.get(Prop.HEADERS) or None,
        submitted=moment(told.get(Prop.SUBMITTED)),
        received=moment(told.get(Prop.RECEIVED)),
        is_draft=_yes(element, "IsDraft"),
        is_read=_yes(element, "IsRead"),
        importance=importance_of(element),
        sensitivity=sensitivity_of(element),
        categories=tuple(one.text or "" for one in element.iterfind(f"{T}Categories/{T}String")),
        follow_up=_follow_up(told),
        wants_read_receipt=_yes(element, "IsReadReceiptRequested"),
        wants_delivery_receipt=_yes(element, "IsDeliveryReceiptRequested"),
        icon=number(told.get(Prop.ICON)),
        last_verb=number(told.get(Prop.LAST_VERB)),
        odd=("characters",) if left_out(element) else (),
    )


def _yes(element: Any, name: str) -> bool:
    return truth(element.findtext(f"{T}{name}"))


def _person(holder: Any) -> Address | None:
    return None if holder is None or not len(holder) else _address(holder[0])


def _people(element: Any, name: str) -> tuple[Address, ...]:
    return tuple(_address(one) for one in element.iterfind(f"{T}{name}/{T}Mailbox"))


def _address(mailbox: Any) -> Address:
    return Address(mailbox.findtext(f"{T}Name") or "", mailbox.findtext(f"{T}EmailAddress") or "")


def _follow_up(told: dict[str, str]) -> FollowUp | None:
    status = told.get(Prop.FLAG_STATUS)
    start, due = _day(told.get(Prop.FLAG_START)), _day(told.get(Prop.FLAG_DUE))
    if status == _COMPLETE:
        return FollowUp("complete", start, due, _day(told.get(Prop.FLAG_COMPLETED)))
    return FollowUp("flagged", start, due) if status == _FLAGGED else None


def _day(text: str | None) -> datetime | None:
    # Mail programs write the year 4501 where there is no date.
    found = moment(text)
    return found if found is not None and found.year < 4500 else None
