"""A source mailbox read back for comparison: GetItem and GetAttachment, with requests and a parser of its own.

Of this connector only the way to the server is shared: sign-in, pacing, envelopes and the classifier. Shapes are those of the
vendor's schema (messages.xsd, types.xsd).
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from connectors.base import Gone, Ref
from connectors.errors import Unavailable
from connectors.ews import classify
from connectors.ews.answer import M, T, code_of
from connectors.ews.client import ExchangeServer, MailboxClient, escape
from connectors.reading import (
    Enclosure,
    Portrait,
    Seen,
    Unreadable,
    Wanted,
    address,
    body,
    cut,
    enclosure,
    hashed,
    headers_of,
    is_mail,
    level,
    named,
    original,
    people,
)
from connectors.reading_items import (
    IMPORTANCES,
    PHOTO,
    SENSITIVITIES,
    TASK,
    TEXT,
    asked_of,
    is_contact,
    more_of,
    number,
    read_time,
)
from connectors.reading_mail import nested, read_mail

_MOST_BYTES = 8_000_000
"""Bytes of attachments that are asked for at once, as far as the server tells their sizes."""

_MOST_ITEMS = 20
_FIELDS = (
    "item:ItemClass", "item:Subject", "item:Sensitivity", "item:Importance", "item:Categories", "item:IsDraft", "item:InReplyTo",
    "message:Sender", "message:ToRecipients", "message:CcRecipients", "message:BccRecipients", "message:IsReadReceiptRequested",
    "message:IsDeliveryReceiptRequested", "message:From", "message:InternetMessageId", "message:IsRead", "message:References",
    "message:ReplyTo",
)  # fmt: skip
_HEADERS, _SUBMITTED, _RECEIVED = ("", 0x007D), ("", 0x0039), ("", 0x0E06)
_ICON, _VERB, _STATUS, _COMPLETED = ("", 0x1080), ("", 0x1081), ("", 0x1090), ("", 0x1091)
_START, _DUE = (TASK, 0x8104), (TASK, 0x8105)
_OF_MAIL = {
    _HEADERS: "String", _SUBMITTED: "SystemTime", _RECEIVED: "SystemTime", _ICON: "Integer", _VERB: "Integer",
    _STATUS: "Integer", _COMPLETED: "SystemTime", _START: "SystemTime", _DUE: "SystemTime",
}  # fmt: skip
_FLAGS = {1: "complete", 2: "flagged"}


class ExchangeReader:
    """``connectors.reading.Reader`` of one mailbox."""

    def __init__(self, server: ExchangeServer, mailbox: str, *, stop: threading.Event | None = None) -> None:
        self._client = MailboxClient(server, mailbox, stop)

    def read(self, wanted: Sequence[Wanted]) -> Iterator[Seen]:
        """One answer an item, in their order. Memory holds what one call brings: bound it by asking for less at once."""
        found: dict[int, Seen] = {}
        for shape, places in _by_shape(wanted).items():
            for at in range(0, len(places), _MOST_ITEMS):
                some = places[at : at + _MOST_ITEMS]
                found.update(zip(some, self._read([wanted[one] for one in some], shape), strict=True))
        for place in range(len(wanted)):
            yield found[place]

    def close(self) -> None:
        self._client.close()

    def _read(self, wanted: Sequence[Wanted], shape: str) -> list[Seen]:
        ids = "".join(f'<t:ItemId Id="{escape(one.id)}"/>' for one in wanted)
        ask = f"<m:GetItem>{shape}<m:ItemIds>{ids}</m:ItemIds></m:GetItem>"
        messages = self._client.ask("GetItem", ask, _all_of(len(wanted)))
        found = [self._portrait(one, message) for one, message in zip(wanted, messages, strict=True)]
        return [self._with_original(one) if asked.whole else one for asked, one in zip(wanted, found, strict=True)]

    def _with_original(self, seen: Seen) -> Seen:
        """An item with its export, asked for one by one: memory holds one at a time."""
        if not isinstance(seen, Portrait):
            return seen
        ask = f'<m:ExportItems><m:ItemIds><t:ItemId Id="{escape(seen.id)}"/></m:ItemIds></m:ExportItems>'
        [message] = self._client.ask("ExportItems", ask, _all_of(1))
        if (failed := _failed(seen.id, message)) is not None:
            return failed
        return replace(seen, originals=frozenset({original(_decoded(message.findtext(f"{M}Data") or ""))}))

    def _portrait(self, wanted: Wanted, message: Any) -> Seen:
        failed = _failed(wanted.id, message)
        if failed is not None:
            return failed
        item = message.find(f"{M}Items/*")
        if item is None:
            return Unreadable(wanted.id, "no item")
        if not is_mail(wanted.item_class):
            return self._with_photo(_no_mail(wanted.id, item), item)
        portrait = _mail(wanted.id, item)
        if not wanted.stored:
            return _with_mime(portrait, item)
        holder = item.find(f"{T}Body")
        kind, text = ("text", "") if holder is None else (holder.get("BodyType", ""), holder.text or "")
        shown, structure = body(kind, text)
        portrait = replace(portrait, text=shown, html=structure)
        attached = self._attachments(item)
        return Unreadable(wanted.id, attached) if isinstance(attached, str) else replace(portrait, attachments=attached)

    def _with_photo(self, portrait: Portrait, item: Any) -> Seen:
        """A contact with its photo among its properties; any other item as it is."""
        photos = [one for one in item.iterfind(f"{T}Attachments/{T}FileAttachment") if _yes(one, "IsContactPhoto")]
        if not photos:
            return portrait
        told = self._contents(photos[:1])
        if isinstance(told, str):
            return Unreadable(portrait.id, told)
        return replace(portrait, more=(*portrait.more, (PHOTO, told[0].digest.hex())))

    def _attachments(self, item: Any) -> tuple[Enclosure, ...] | str:
        """The attachments with their content, or why one of them can't be read."""
        found: list[Enclosure] = []
        some: list[Any] = []
        weight = 0
        for one in item.iterfind(f"{T}Attachments/*"):
            size = number(one.findtext(f"{T}Size")) or 0
            if some and (weight + size > _MOST_BYTES or len(some) >= _MOST_ITEMS):
                if isinstance(told := self._contents(some), str):
                    return told
                found += told
                some, weight = [], 0
            some.append(one)
            weight += size
        if some:
            if isinstance(told := self._contents(some), str):
                return told
            found += told
        return tuple(found)

    def _contents(self, listed: Sequence[Any]) -> list[Enclosure] | str:
        ids = "".join(f'<t:AttachmentId Id="{escape(one.find(f"{T}AttachmentId").get("Id"))}"/>' for one in listed)
        shape = "<m:AttachmentShape><t:IncludeMimeContent>true</t:IncludeMimeContent></m:AttachmentShape>"
        ask = f"<m:GetAttachment>{shape}<m:AttachmentIds>{ids}</m:AttachmentIds></m:GetAttachment>"
        found: list[Enclosure] = []
        for one, message in zip(listed, self._client.ask("GetAttachment", ask, _all_of(len(listed))), strict=True):
            failed = _failed("", message)
            if failed is not None:
                return failed.reason if isinstance(failed, Unreadable) else "attachment gone"
            name = one.findtext(f"{T}Name")
            content = message.findtext(f"{M}Attachments/{T}FileAttachment/{T}Content")
            mime = message.findtext(f"{M}Attachments/{T}ItemAttachment/*/{T}MimeContent")
            if mime is not None:
                found.append(nested(name, _decoded(mime)))
            elif message.find(f"{M}Attachments/{T}ItemAttachment") is not None:
                return "attachment without content"
            else:
                found.append(
                    enclosure(
                        name,
                        one.findtext(f"{T}ContentType"),
                        _decoded(content or ""),
                        inline=_yes(one, "IsInline"),
                        content_id=one.findtext(f"{T}ContentId"),
                    )
                )
        return found


def _by_shape(wanted: Sequence[Wanted]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, one in enumerate(wanted):
        found.setdefault(_shape(one), []).append(place)
    return found


def _shape(wanted: Wanted) -> str:
    if not is_mail(wanted.item_class):
        fields: tuple[str, ...] = ("item:ItemClass", "item:Categories")
        fields = (*fields, "item:Attachments") if is_contact(wanted.item_class) else fields
        props = {told.key: told.type for told in asked_of(wanted.item_class)}
    else:
        fields, props = _FIELDS, _OF_MAIL
    if is_mail(wanted.item_class) and wanted.stored:
        fields = (*fields, "item:Body", "item:Attachments")
    asked = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields)
    for (space, own), kind in props.items():
        path = f'PropertySetId="{space}" PropertyId="{own}"' if space else f'PropertyTag="0x{own:04x}"'
        asked += f'<t:ExtendedFieldURI {path} PropertyType="{kind}"/>'
    mime = is_mail(wanted.item_class) and not wanted.stored
    return (
        "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>"
        + ("<t:IncludeMimeContent>true</t:IncludeMimeContent>" if mime else "")
        + f"<t:BodyType>Best</t:BodyType><t:AdditionalProperties>{asked}</t:AdditionalProperties></m:ItemShape>"
    )


def _all_of(number: int) -> Callable[[list[Any]], list[Any]]:
    """The messages, if there are as many as questions and none says that the server can't answer now."""

    def read(messages: list[Any]) -> list[Any]:
        if len(messages) != number:
            raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
        for message in messages:
            code, values = code_of(message)
            if code != "NoError" and classify.item_answer(Ref(""), code, values=values) is None:
                classify.raise_for(code, text="", values=values)
        return messages

    return read


def _failed(id_: str, message: Any) -> Gone | Unreadable | None:
    code, values = code_of(message)
    if code == "NoError":
        return None
    meant = classify.item_answer(Ref(id_), code, values=values)
    return meant if isinstance(meant, Gone) else Unreadable(id_, code)


def _told(item: Any) -> dict[tuple[str, int], str]:
    """Extended properties by set and number; servers write tags and sets in either case, with or without leading noughts."""
    found: dict[tuple[str, int], str] = {}
    for prop in item.iterfind(f"{T}ExtendedProperty"):
        uri, value = prop.find(f"{T}ExtendedFieldURI"), prop.findtext(f"{T}Value")
        if uri is None or value is None:
            continue
        tag, space, own = uri.get("PropertyTag"), uri.get("PropertySetId"), uri.get("PropertyId")
        try:
            found[("", int(tag, 16)) if tag else ((space or "").casefold(), int(own or ""))] = value
        except ValueError:
            continue
    return found


def _yes(item: Any, name: str) -> bool:
    return (item.findtext(f"{T}{name}") or "").strip().casefold() in ("true", "1")


def _persons(item: Any, name: str) -> list[tuple[str, str]]:
    found = (
        address(one.findtext(f"{T}Name"), one.findtext(f"{T}EmailAddress")) for one in item.iterfind(f"{T}{name}/{T}Mailbox")
    )
    return [one for one in found if one[0]]


def _head(id_: str, item: Any) -> Portrait:
    own = item.find(f"{T}ItemId")
    return Portrait(
        id=id_,
        version="" if own is None else own.get("ChangeKey") or "",
        item_class=(item.findtext(f"{T}ItemClass") or "IPM.Note").casefold(),
        categories=frozenset(level(one.text).casefold() for one in item.iterfind(f"{T}Categories/{T}String")),
    )


def _mail(id_: str, item: Any) -> Portrait:
    told = _told(item)
    roles = {
        role: _persons(item, role) for role in ("From", "Sender", "ToRecipients", "CcRecipients", "BccRecipients", "ReplyTo")
    }
    return replace(
        _head(id_, item),
        subject=hashed(item.findtext(f"{T}Subject")),
        subject_cut=cut(item.findtext(f"{T}Subject")),
        author=people(roles["From"]),
        sender=people(roles["Sender"]),
        to=people(roles["ToRecipients"]),
        cc=people(roles["CcRecipients"]),
        bcc=people(roles["BccRecipients"]),
        reply_to=people(roles["ReplyTo"]),
        names=named(pair for pairs in roles.values() for pair in pairs),
        message_id=level(item.findtext(f"{T}InternetMessageId")),
        in_reply_to=level(item.findtext(f"{T}InReplyTo")),
        references=level(item.findtext(f"{T}References")),
        headers=headers_of(told.get(_HEADERS)),
        submitted=read_time(told.get(_SUBMITTED)),
        received=read_time(told.get(_RECEIVED)),
        importance=(item.findtext(f"{T}Importance") or "normal").casefold(),
        sensitivity=(item.findtext(f"{T}Sensitivity") or "normal").casefold(),
        read=_yes(item, "IsRead"),
        draft=_yes(item, "IsDraft"),
        read_receipt=_yes(item, "IsReadReceiptRequested"),
        delivery_receipt=_yes(item, "IsDeliveryReceiptRequested"),
        flag=_FLAGS.get(number(told.get(_STATUS)) or 0, ""),
        flag_start=read_time(told.get(_START)),
        flag_due=read_time(told.get(_DUE)),
        flag_completed=read_time(told.get(_COMPLETED)),
        icon=number(told.get(_ICON)),
        last_verb=number(told.get(_VERB)),
    )


def _with_mime(portrait: Portrait, item: Any) -> Seen:
    content = item.findtext(f"{T}MimeContent")
    if content is None:
        return Unreadable(portrait.id, "no content")
    mail = read_mail(_decoded(content))
    return replace(portrait, text=mail.text, html=mail.html, attachments=tuple(mail.attachments))


def _no_mail(id_: str, item: Any) -> Portrait:
    told, head = _told(item), _head(id_, item)
    return replace(
        head,
        subject=hashed(told.get(("", 0x0037))),
        text=body("text", told.get(TEXT.key) or "")[0],
        importance=IMPORTANCES.get(number(told.get(("", 0x0017))) or 0, "normal") if ("", 0x0017) in told else "normal",
        sensitivity=SENSITIVITIES.get(number(told.get(("", 0x0036))) or 0, "normal"),
        more=more_of(head.item_class, told),
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Unavailable("The source sent content that can't be read.", code="no content") from None
