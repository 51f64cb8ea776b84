"""A target mailbox read back for comparison: messages with everything that Graph shows, other items by their properties.

Of this connector only the way to the server is shared: sign-in, pacing, paths and the classifier. Messages come one by one with
their attachments [v1.0 message: GET, $expand]; items of other classes have no resource of their own that serves them all, so
they are read as mailboxItem with extended properties [v1.0 mailboxItem], which shows neither people nor attachments.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors.base import Gone, Ref
from connectors.errors import Halt, MailboxBlocked, Unavailable
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.reading import (
    EXPORTED,
    Enclosure,
    Portrait,
    Seen,
    Unreadable,
    Wanted,
    address,
    body,
    digest,
    enclosure,
    hashed,
    headers_of,
    is_mail,
    level,
    named,
    original,
    people,
    without_people,
)
from connectors.reading_items import (
    COMMON,
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
from connectors.reading_mail import nested

_SELECT = (
    "id,changeKey,subject,body,from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,internetMessageId,importance,categories,"
    "isRead,isDraft,isReadReceiptRequested,isDeliveryReceiptRequested,flag,hasAttachments"
)
_HEADERS, _SUBMITTED, _RECEIVED, _CLASS = ("", 0x007D), ("", 0x0039), ("", 0x0E06), ("", 0x001A)
_REPLY, _REFERENCES, _ICON, _VERB, _SENSITIVITY = ("", 0x1042), ("", 0x1039), ("", 0x1080), ("", 0x1081), ("", 0x0036)
_OF_MAIL = {
    _HEADERS: "String", _SUBMITTED: "SystemTime", _RECEIVED: "SystemTime", _CLASS: "String", _REPLY: "String",
    _REFERENCES: "String", _ICON: "Integer", _VERB: "Integer", _SENSITIVITY: "Integer",
}  # fmt: skip
_UNSEEN = frozenset({"attachments"})
_UNSEEN_OF_TASKS = frozenset({"attachments", "sensitivity", "task-percent"})
_OF_TO_DO = "todo:"
_TASK_STATUS = {"notStarted": 0, "inProgress": 1, "completed": 2, "waitingOnOthers": 3, "deferred": 4}
_TASK_TIMES = {
    (TASK, 0x8104): "startDateTime",
    (TASK, 0x8105): "dueDateTime",
    (TASK, 0x810F): "completedDateTime",
    (COMMON, 0x8502): "reminderDateTime",
}
_NESTED = "#microsoft.graph.itemAttachment"


class GraphReader:
    """``connectors.reading.Reader`` of one mailbox. ``mailbox`` is its user principal name or the user's id."""

    def __init__(self, client: GraphClient, mailbox: str) -> None:
        self._client = client
        self._mailbox = mailbox
        self._admin: str | None = None

    def read(self, wanted: Sequence[Wanted]) -> Iterator[Seen]:
        """One answer an item, in their order. Memory holds what one call brings: bound it by asking for less at once."""
        yield from self._client.run(self._read(wanted))

    def close(self) -> None:
        """Nothing is held for one mailbox alone; the client is closed by whoever made it."""

    async def _read(self, wanted: Sequence[Wanted]) -> list[Seen]:
        return list(await asyncio.gather(*map(self._one, wanted)))

    async def _one(self, wanted: Wanted) -> Seen:
        try:
            if wanted.id.startswith(_OF_TO_DO):
                return await self._task(wanted)
            return await (self._mail(wanted) if is_mail(wanted.item_class) else self._item(wanted))
        except Rejected as error:
            return Gone(Ref(wanted.id)) if error.meaning is Meaning.GONE else Unreadable(wanted.id, error.code)

    async def _get(self, path: str) -> Any:
        return (await self._client.ask(self._mailbox, "GET", path, kind="read")).json()

    async def _mail(self, wanted: Wanted) -> Seen:
        path = paths.message(self._mailbox, wanted.id)
        found = await self._get(paths.query(path, select=_SELECT, expand=_expand(_OF_MAIL) + ",attachments"))
        told = _told(found)
        roles = {
            role: _persons(found.get(role))
            for role in ("from", "sender", "toRecipients", "ccRecipients", "bccRecipients", "replyTo")
        }
        content = found.get("body") or {}
        text, html = body(str(content.get("contentType") or "text"), str(content.get("content") or ""))
        flag = found.get("flag") or {}
        status = str(flag.get("flagStatus") or "")
        return Portrait(
            id=wanted.id,
            version=str(found.get("changeKey") or ""),
            item_class=(told.get(_CLASS) or "IPM.Note").casefold(),
            subject=hashed(found.get("subject")),
            text=text,
            html=html,
            author=people(roles["from"]),
            sender=people(roles["sender"]),
            to=people(roles["toRecipients"]),
            cc=people(roles["ccRecipients"]),
            bcc=people(roles["bccRecipients"]),
            reply_to=people(roles["replyTo"]),
            names=named(pair for pairs in roles.values() for pair in pairs),
            message_id=level(found.get("internetMessageId")),
            in_reply_to=level(told.get(_REPLY)),
            references=level(told.get(_REFERENCES)),
            headers=headers_of(told.get(_HEADERS)),
            submitted=read_time(told.get(_SUBMITTED)),
            received=read_time(told.get(_RECEIVED)),
            importance=str(found.get("importance") or "normal").casefold(),
            sensitivity=SENSITIVITIES.get(number(told.get(_SENSITIVITY)) or 0, "normal"),
            categories=frozenset(level(one).casefold() for one in found.get("categories") or ()),
            read=found.get("isRead"),
            draft=found.get("isDraft"),
            read_receipt=bool(found.get("isReadReceiptRequested")),
            delivery_receipt=bool(found.get("isDeliveryReceiptRequested")),
            flag="" if status == "notFlagged" else status,
            flag_start=_zoned(flag.get("startDateTime")),
            flag_due=_zoned(flag.get("dueDateTime")),
            flag_completed=_zoned(flag.get("completedDateTime")),
            icon=number(told.get(_ICON)),
            last_verb=number(told.get(_VERB)),
            attachments=tuple([await self._enclosure(path, one) for one in found.get("attachments") or ()]),
            originals=await self._originals(path, found.get("attachments") or ()) if wanted.whole else frozenset(),
        )

    async def _originals(self, path: str, attached: Sequence[Mapping[str, Any]]) -> frozenset[bytes]:
        """The export streams that are attached."""
        streams = [one for one in attached if str(one.get("name")).endswith(EXPORTED)]
        return frozenset([original(await self._content(path, one)) for one in streams])

    async def _enclosure(self, path: str, found: Mapping[str, Any]) -> Enclosure:
        """An attachment; its content is asked for apart where the list does not bring it: messages within, and large files."""
        name, kind = str(found.get("name") or ""), str(found.get("contentType") or "")
        inside = found.get("@odata.type") == _NESTED or kind.casefold() == "message/rfc822"
        content = await self._content(path, found)
        if inside:
            return nested(name, content)
        return enclosure(name, kind, content, inline=bool(found.get("isInline")), content_id=found.get("contentId"))

    async def _content(self, path: str, found: Mapping[str, Any]) -> bytes:
        if isinstance(told := found.get("contentBytes"), str):
            return _decoded(told)
        address_ = f"{path}/attachments/{found.get('id')}/$value"
        return (await self._client.ask(self._mailbox, "GET", address_, kind="read")).body

    async def _item(self, wanted: Wanted) -> Seen:
        props = {told.key: told.type for told in asked_of(wanted.item_class)}
        path = paths.admin_item(await self._mailbox_id(), wanted.folder_id, wanted.id)
        found = await self._get(paths.query(path, expand=_expand(props)))
        told = _told(found)
        portrait = Portrait(
            id=wanted.id,
            version=str(found.get("changeKey") or ""),
            item_class=str(found.get("type") or "").casefold(),
            categories=frozenset(level(one).casefold() for one in found.get("categories") or ()),
            subject=hashed(told.get(("", 0x0037))),
            text=body("text", without_people(told.get(TEXT.key) or ""))[0],
            importance=IMPORTANCES.get(number(told.get(("", 0x0017))) or 0, "normal") if ("", 0x0017) in told else "normal",
            sensitivity=SENSITIVITIES.get(number(told.get(_SENSITIVITY)) or 0, "normal"),
            unseen=_UNSEEN,
        )
        portrait = replace(portrait, more=more_of(wanted.item_class, told))
        return await self._with_photo(portrait, wanted.id) if is_contact(wanted.item_class) else portrait

    async def _with_photo(self, portrait: Portrait, contact_id: str) -> Portrait:
        """A contact with its photo among its properties [v1.0 profilePhoto]."""
        path = f"{paths.user(self._mailbox)}/contacts/{paths.quoted(contact_id)}/photo/$value"
        try:
            content = (await self._client.ask(self._mailbox, "GET", path, kind="read")).body
        except Rejected as error:
            if error.meaning is Meaning.GONE:
                return portrait
            raise
        except (Halt, MailboxBlocked):
            # Who only imports needs no permission for contacts.
            return replace(portrait, unseen=portrait.unseen | {PHOTO})
        return replace(portrait, more=(*portrait.more, (PHOTO, digest(content).hex())))

    async def _task(self, wanted: Wanted) -> Seen:
        """A task of a To Do list [v1.0 todoTask]. How private it is, how much of it is done and its files are not read there."""
        list_id, _, task_id = wanted.id.removeprefix(_OF_TO_DO).partition("/")
        found = await self._get(f"{paths.todo_tasks(self._mailbox, list_id)}/{paths.quoted(task_id)}")
        status = str(found.get("status") or "")
        told = {
            (TASK, 0x8101): str(_TASK_STATUS.get(status, 0)),
            (TASK, 0x811C): str(status == "completed"),
            (COMMON, 0x8503): str(bool(found.get("isReminderOn"))),
        }
        for place, name in _TASK_TIMES.items():
            if (moment := _zoned(found.get(name))) is not None:
                told[place] = moment.isoformat()
        content = found.get("body") or {}
        return Portrait(
            id=wanted.id,
            version=str(found.get("@odata.etag") or ""),
            item_class=wanted.item_class.casefold(),  # not shown there
            categories=frozenset(level(one).casefold() for one in found.get("categories") or ()),
            subject=hashed(found.get("title")),
            text=body(str(content.get("contentType") or "text"), str(content.get("content") or ""))[0],
            importance=str(found.get("importance") or "normal").casefold(),
            more=more_of("IPM.Task", told),
            unseen=_UNSEEN_OF_TASKS,
        )

    async def _mailbox_id(self) -> str:
        if self._admin is None:
            found = await self._get(paths.user(self._mailbox) + "/settings/exchange")
            self._admin = str(found.get("primaryMailboxId") or "")
        return self._admin


def _expand(props: Mapping[tuple[str, int], str]) -> str:
    names = (f"{kind} {{{space}}} Id 0x{own:04X}" if space else f"{kind} 0x{own:04X}" for (space, own), kind in props.items())
    return "singleValueExtendedProperties($filter=" + " or ".join(f"id eq '{name}'" for name in names) + ")"


def _told(found: Mapping[str, Any]) -> dict[tuple[str, int], str]:
    """Extended properties by set and number; servers answer with other letter case and without leading noughts."""
    values: dict[tuple[str, int], str] = {}
    for one in found.get("singleValueExtendedProperties") or ():
        words = str(one.get("id") or "").casefold().split()
        try:
            place = ("", int(words[1], 16)) if len(words) == 2 else (words[1].strip("{}"), int(words[3], 16))
        except (IndexError, ValueError):
            continue
        if isinstance(one.get("value"), str):
            values[place] = one["value"]
    return values


def _persons(given: Any) -> list[tuple[str, str]]:
    holders = given if isinstance(given, list) else [given] if given else []
    told = ((one or {}).get("emailAddress") or {} for one in holders)
    found = (address(one.get("name"), one.get("address")) for one in told)
    return [one for one in found if one[0]]


def _zoned(given: Any) -> datetime | None:
    """A dateTimeTimeZone; without a preference of ours the zone is UTC."""
    if not isinstance(given, dict):
        return None
    found = read_time(given.get("dateTime"))
    zone = str(given.get("timeZone") or "UTC")
    if found is None or zone.upper() in ("UTC", "GMT"):
        return found
    try:
        return found.replace(tzinfo=ZoneInfo(zone))
    except (KeyError, ValueError):
        return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unavailable("Graph sent content that can't be read.", code="no content") from None
