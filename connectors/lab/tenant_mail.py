"""Messages, as Graph creates, shows, changes and moves them."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from .exchange_mime import render
from .mailfiles import read_mail
from .tenant_call import PROPERTIES, Answer, Call, GraphError, check, chosen, expanded, find, gone, is_mail, page
from .tenant_filter import ordered, read_filter
from .tenant_index import levelled, property_of, set_property, shown_time, when
from .tenant_parts import read_part, show_part
from .truth import Box, Item, Person, now

T = TypeVar("T")

_PERSON = {"emailAddress": {"name": str, "address": str}}
_TIME = {"dateTime": str, "timeZone": str}
_WRITABLE: dict[str, Any] = {
    "subject": str,
    "body": {"contentType": str, "content": str},
    "from": _PERSON,
    "sender": _PERSON,
    **{name: [_PERSON] for name in ("toRecipients", "ccRecipients", "bccRecipients", "replyTo")},
    "flag": {"flagStatus": str, "startDateTime": _TIME, "dueDateTime": _TIME, "completedDateTime": _TIME},
    "categories": [str],
    "internetMessageHeaders": [{"name": str, "value": str}],
    "attachments": [dict],
    **dict.fromkeys(("isRead", "isReadReceiptRequested", "isDeliveryReceiptRequested"), bool),
    **dict.fromkeys(("importance", "inferenceClassification", "internetMessageId", "conversationIndex"), str),
    **dict.fromkeys(("receivedDateTime", "sentDateTime", "createdDateTime"), str),
    **PROPERTIES,
}
_DRAFT_ONLY = frozenset(
    ["subject", "body", "from", "sender", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "internetMessageId"]
)
_TRUTHS = {
    "isRead": "is_read",
    "isReadReceiptRequested": "wants_read_receipt",
    "isDeliveryReceiptRequested": "wants_delivery_receipt",
}
_IMPORTANCE = ("low", "normal", "high")
_FLAGS = ("notFlagged", "complete", "flagged")
_SMTP = re.compile(r"^[^\s@<>]+@[^\s@<>]+$")


def find_folder(call: Call, name: str = "folder") -> Box:
    """The folder that the path names. Raises GraphError."""
    box = call.box.folder(call.names[name])
    if box is None:
        raise gone("folder")
    return box


def _person(given: Any) -> Person:
    address = (given or {}).get("emailAddress") or {}
    return Person(str(address.get("name") or ""), str(address.get("address") or ""))


def _shown(person: Person) -> dict[str, Any]:
    return {"emailAddress": {"name": person.name or person.address, "address": person.address}}


def show(call: Call, item: Item) -> dict[str, Any]:
    """A message as Graph shows it."""
    index = call.box
    html = item.body_html is not None
    flag: dict[str, Any] = {"flagStatus": item.flag}
    for name, moment in (
        ("startDateTime", item.flag_start),
        ("dueDateTime", item.flag_due),
        ("completedDateTime", item.flag_completed),
    ):
        if moment is not None:
            flag[name] = {"dateTime": moment.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}
    shown: dict[str, Any] = {
        "@odata.etag": f'W/"{index.change_key(item.change)}"',
        "id": index.wire(item, call.immutable),
        "changeKey": index.change_key(item.change),
        "createdDateTime": shown_time(item.created),
        "lastModifiedDateTime": shown_time(item.modified or item.created),
        "receivedDateTime": shown_time(item.received),
        "sentDateTime": shown_time(item.submitted),
        "hasAttachments": any(not part.inline for part in item.parts),
        "internetMessageId": item.message_id,
        "subject": item.subject,
        "bodyPreview": (item.body_text or "")[:255],
        "importance": _IMPORTANCE[item.importance],
        "parentFolderId": index.folder_wire(item.folder_id),
        "isRead": item.is_read,
        "isDraft": item.is_draft,
        "isReadReceiptRequested": item.wants_read_receipt,
        "isDeliveryReceiptRequested": item.wants_delivery_receipt,
        "categories": list(item.categories),
        "body": {"contentType": "html" if html else "text", "content": (item.body_html if html else item.body_text) or ""},
        "toRecipients": [_shown(one) for one in item.to],
        "ccRecipients": [_shown(one) for one in item.cc],
        "bccRecipients": [_shown(one) for one in item.bcc],
        "replyTo": [_shown(one) for one in item.reply_to],
        "flag": flag,
    }
    if item.sender is not None:
        shown["sender"] = _shown(item.sender)
    if item.author is not None:
        shown["from"] = _shown(item.author)
    if _with_attachments(call):
        shown["attachments"] = [show_part(call, part, content_too=True) for part in item.parts]
    return with_properties(call, item, chosen(call, shown))


def _with_attachments(call: Call) -> bool:
    return re.search(r"(?:^|,)\s*attachments", call.query.get("$expand", "")) is not None


def with_properties(call: Call, item: Item, shown: dict[str, Any]) -> dict[str, Any]:
    """The extended properties that $expand asks for, those that the item has."""
    if names := expanded(call):
        size = call.box.size(item)
        found = [(name, property_of(item, name, size)) for name in names]
        shown["singleValueExtendedProperties"] = [{"id": name, "value": value} for name, value in found if value is not None]
    return shown


def _apply(item: Item, given: dict[str, Any]) -> None:
    if "subject" in given:
        item.subject = str(given["subject"] or "")[:255]
    if (body := given.get("body")) is not None:
        content = str(body.get("content") or "")
        is_html = str(body.get("contentType", "text")).lower() == "html"
        item.body_html, item.body_text = (content, None) if is_html else (None, content)
    for name, attribute in (("sender", "sender"), ("from", "author")):
        if given.get(name) is not None:
            setattr(item, attribute, _person(given[name]))
    for name, attribute in (("toRecipients", "to"), ("ccRecipients", "cc"), ("bccRecipients", "bcc"), ("replyTo", "reply_to")):
        if given.get(name) is not None:
            setattr(item, attribute, [_person(one) for one in given[name]])
    if any(not _SMTP.match(one.address) and not one.address.lower().startswith("/o=") for one in item.reply_to):
        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
    if given.get("importance") is not None:
        item.importance = _read(_IMPORTANCE.index, str(given["importance"]).lower())
    for name, attribute in _TRUTHS.items():
        if given.get(name) is not None:
            setattr(item, attribute, bool(given[name]))
    if given.get("categories") is not None:
        item.categories = [str(one) for one in given["categories"]]
    if given.get("internetMessageId"):
        item.message_id = str(given["internetMessageId"])
    if (flag := given.get("flag")) is not None:
        _flag(item, flag)


def _read(reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError:
        raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.") from None


def _flag(item: Item, flag: dict[str, Any]) -> None:
    if flag.get("dueDateTime") and not flag.get("startDateTime"):
        raise GraphError(400, "ErrorInvalidRequest", "A due date needs a start date.")
    item.flag = str(flag.get("flagStatus") or "notFlagged")
    _read(_FLAGS.index, item.flag)
    item.flag_start, item.flag_due, item.flag_completed = (
        _read(when, str(flag[name]["dateTime"])) if flag.get(name) else None
        for name in ("startDateTime", "dueDateTime", "completedDateTime")
    )


def _check_fields(given: dict[str, Any]) -> None:
    check(given, _WRITABLE, "message")
    headers = given.get("internetMessageHeaders")
    if headers is not None:
        if not headers or len(headers) > 5:
            raise GraphError(400, "InvalidInternetMessageHeaderCollection", "Maximum number of headers in one message is 5.")
        if any(not str(one.get("name", "")).lower().startswith("x-") for one in headers):
            raise GraphError(400, "InvalidInternetMessageHeader", "The internet message header name should start with 'x-'.")


def _properties(item: Item, given: dict[str, Any], *, creating: bool) -> None:
    for one in given.get("singleValueExtendedProperties") or ():
        name, value = str(one.get("id", "")), str(one.get("value", ""))
        if not creating and levelled(name) == "integer 0xe07":
            continue  # it can't be changed after the first save
        if not set_property(item, name, value):
            raise GraphError(400, "ErrorInvalidRequest", "The value of an extended property is none of its type.")


def take_in(call: Call, item: Item, box: Box) -> Item:
    """Put a new item into a folder."""
    item.id = secrets.token_hex(12)
    item.folder_id = box.id
    item.created = now() if call.created_now or item.created is None else item.created
    item.modified = now()
    call.box.born[item.id] = now()
    call.box.mailbox.add(item)
    call.box.catch_up()
    return item


def create(call: Call) -> Answer:
    """POST of a message: JSON into a folder, or MIME, which is always a draft in Drafts."""
    mime = call.headers.get("content-type", "").split(";")[0].strip().lower() == "text/plain"
    if mime and "folder" in call.names:
        raise GraphError(400, "UnableToDeserializePostBody", "were unable to deserialize")
    if mime:
        return _create_mime(call)
    box = find_folder(call) if "folder" in call.names else call.box.folder("drafts")
    assert box is not None
    given = call.json()
    _check_fields(given)
    item = Item(is_draft=True, search_key=secrets.token_bytes(16))
    _apply(item, given)
    _properties(item, given, creating=True)
    item.received, item.submitted = item.received or now(), item.submitted or now()
    item.message_id = item.message_id or f"<{secrets.token_hex(16)}@lab.invalid>"
    for one in given.get("attachments") or ():
        item.parts.append(read_part(one))
    take_in(call, item, box)
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#message", **show(call, item)})


def _create_mime(call: Call) -> Answer:
    try:
        raw = base64.b64decode(call.body, validate=True)
    except ValueError:
        raise GraphError(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.") from None
    # The date of the headers counts as that of sending, but it was received only now.
    item = replace(read_mail(raw), is_draft=True, is_read=False, received=now(), created=None, search_key=secrets.token_bytes(16))
    box = call.box.folder("drafts")
    assert box is not None
    return Answer(201, show(call, take_in(call, item, box)))


def get(call: Call) -> Answer:
    """GET of a message."""
    shown = show(call, find(call))
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#message", **shown})


def _asked_for(call: Call) -> list[Item]:
    index = call.box
    box = find_folder(call) if "folder" in call.names else None
    text = call.query.get("$filter")
    filter_ = read_filter(text, index) if text else None
    if filter_ is not None and filter_.near is not None:
        near = (index.mailbox.items.get(item_id) for item_id in sorted(filter_.near))
        items = [item for item in near if item is not None and (box is None or item.folder_id == box.id)]
    else:
        items = list(index.mailbox.items.values()) if box is None else index.mailbox.items_in(box.id)
    found = [item for item in items if is_mail(item) and call.visible(item) and (filter_ is None or filter_.test(item))]
    return ordered(call, found)


def list_(call: Call) -> Answer:
    """GET of messages, of a folder or of all."""
    address = quote(call.box.mailbox.address)
    return page(call, _asked_for(call), lambda item: show(call, item), f"users('{address}')/messages")


def count(call: Call) -> Answer:
    """How many messages there are, in a folder or in all."""
    return Answer(200, raw=str(len(_asked_for(call))).encode(), headers={"Content-Type": "text/plain"})


def owes_receipt(item: Item) -> bool:
    """Whether its sender would be told that it was read, or deleted unread."""
    return item.wants_read_receipt and not item.is_read and not item.is_draft


def change(call: Call) -> Answer:
    """PATCH of a message; marking one read that asks for a receipt sends it."""
    item, given = find(call), call.json()
    _check_fields(given)
    if not item.is_draft and (forbidden := _DRAFT_ONLY & given.keys()):
        raise GraphError(
            400, "ErrorInvalidPropertySet", f"Property can't be changed on a message that was sent: {min(forbidden)}."
        )
    # What is refused changes nothing and sends nothing, so it is tried on a copy first.
    trial = replace(item, extended=dict(item.extended))
    _apply(trial, given)
    _properties(trial, given, creating=False)
    if given.get("isRead") and owes_receipt(item):
        call.box.mailbox.sent.append({"kind": "read receipt", "to": item.author.address if item.author else ""})
    only_read = set(given) == {"isRead"}
    _apply(item, given)
    _properties(item, given, creating=False)
    item.modified = now()
    call.box.mailbox.touch(item, "read" if only_read else "edit")
    call.box.catch_up()
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#message", **show(call, item)})


def remove(call: Call) -> Answer:
    """DELETE of a message; one that is unread and asked for a receipt sends one that says so."""
    item = find(call)
    if owes_receipt(item):
        call.box.mailbox.sent.append({"kind": "not-read receipt", "to": item.author.address if item.author else ""})
    call.box.mailbox.remove(item.id)
    call.box.catch_up()
    return Answer(204)


def move(call: Call) -> Answer:
    """POST …/move: the immutable id stays, the classic one changes."""
    item = find(call)
    box = call.box.folder(str(call.json().get("destinationId") or ""))
    if box is None:
        raise gone("folder")
    mailbox = call.box.mailbox
    mailbox.remove(item.id)
    item.folder_id, item.modified = box.id, now()
    mailbox.add(item)
    call.box.catch_up()
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#message", **show(call, item)})


def content(call: Call) -> Answer:
    """The MIME of a message."""
    return Answer(200, raw=render(find(call)), headers={"Content-Type": "text/plain"})
