"""An item as an RFC 5322 message, and such a message as an item: what the server renders, and what nested messages hold."""

from __future__ import annotations

import email
import email.policy
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from typing import Any

from .exchange_call import Refused, when
from .truth import Item, Part, Person

_POLICY = email.policy.SMTP.clone(cte_type="8bit", utf8=False)
_START, _END, _PLACE = (
    "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820D",
    "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820E",
    "String {00062002-0000-0000-c000-000000000046} Id 0x8208",
)


def render(item: Item) -> bytes:
    """The item's MIME: the original bytes where it has them, otherwise made from its fields.

    Refused for classes that have no MIME [MS docs: Exchange renders messages, calendar items and posts].
    """
    if item.mime is not None:
        return item.mime
    kind = item.item_class.lower()
    if kind.startswith(("ipm.contact", "ipm.distlist", "ipm.task")):
        raise Refused("ErrorUnsupportedMimeConversion", "The item's class can't be converted to MIME.")
    try:
        return _render(item)
    except Refused:
        raise
    except (ValueError, UnicodeError, LookupError, TypeError, AttributeError, IndexError):
        raise Refused("ErrorMimeContentConversionFailed", "The item can't be converted to MIME.") from None


def _clean(value: str) -> str:
    return "".join(char for char in value if char >= " " and not "\ud800" <= char <= "\udfff")


def _address(person: Person) -> Address:
    name, (user, at, domain) = _clean(person.name), _clean(person.address).rpartition("@")
    if not at or not user.isascii() or not domain.isascii() or any(char in person.address for char in '()<>,;:\\" /'):
        return Address(name or _clean(person.address) or "unknown", "invalid", "lab.invalid")
    return Address(name, user, domain)


def _render(item: Item) -> bytes:
    mail = EmailMessage(policy=_POLICY)
    for name, value in (("Message-ID", item.message_id), ("In-Reply-To", item.in_reply_to), ("References", item.references)):
        if value:
            mail[name] = _clean(value)
    mail["Subject"] = _clean(item.subject)
    for name, person in (("From", item.author or item.sender), ("Sender", item.sender if item.author != item.sender else None)):
        if person is not None:
            mail[name] = _address(person)
    for name, people in (("To", item.to), ("Cc", item.cc), ("Bcc", item.bcc), ("Reply-To", item.reply_to)):
        if people:
            mail[name] = [_address(person) for person in people]
    if sent := item.submitted or item.received or item.created:
        mail["Date"] = format_datetime(sent)
    if item.importance != 1:
        mail["Importance"] = "high" if item.importance == 2 else "low"
    if item.sensitivity:
        mail["Sensitivity"] = ("Normal", "Personal", "Private", "Company-Confidential")[min(item.sensitivity, 3)]
    if item.wants_read_receipt and item.sender is not None:
        mail["Disposition-Notification-To"] = _address(item.sender)
    _bodies(mail, item)
    for part in item.parts:
        _attach(mail, part)
    return mail.as_bytes()


def _bodies(mail: EmailMessage, item: Item) -> None:
    if item.item_class.lower().startswith("ipm.appointment"):
        mail.set_content(item.body_text or "")
        mail.add_alternative(calendar(item), subtype="calendar", params={"method": "PUBLISH"})
        return
    if item.body_html is not None and item.body_text is None:
        mail.set_content(_plain(item.body_html), subtype="html")
        return
    mail.set_content(_plain(item.body_text or ""))
    if item.body_html is not None:
        mail.add_alternative(_plain(item.body_html), subtype="html")


def _plain(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")


def _attach(mail: EmailMessage, part: Part) -> None:
    headers: dict[str, Any] = {"cid": f"<{_clean(part.content_id).strip('<>')}>"} if part.content_id else {}
    disposition = "inline" if part.inline else "attachment"
    name = _clean(part.name) or None
    if part.kind == "message":
        nested = email.message_from_bytes(part.content, policy=_POLICY)
        mail.add_attachment(nested, disposition=disposition, filename=name, **headers)
        return
    main, _, sub = part.content_type.partition("/")
    if (
        not sub
        or main in ("message", "multipart")
        or not part.content_type.replace("/", "").replace("-", "").replace(".", "").replace("+", "").isalnum()
    ):
        main, sub = "application", "octet-stream"
    mail.add_attachment(part.content, maintype=main, subtype=sub, disposition=disposition, filename=name, **headers)


def calendar(item: Item) -> str:
    """A calendar item as iCalendar, as far as the truth's fields go."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//lab//EN",
        "BEGIN:VEVENT",
        f"UID:{item.id or 'none'}",
        f"SUMMARY:{_clean(item.subject)}",
    ]
    for name, key in (("DTSTART", _START), ("DTEND", _END)):
        value = item.extended.get(key)
        if value is not None:
            lines.append(f"{name}:{when(value).replace('-', '').replace(':', '')}")  # type: ignore[arg-type]
    if place := item.extended.get(_PLACE):
        lines.append(f"LOCATION:{_clean(str(place))}")
    return "\r\n".join([*lines, "END:VEVENT", "END:VCALENDAR", ""])


def _people(mail: Message, name: str) -> list[Person]:
    values = [str(value) for value in mail.get_all(name, [])]
    return [Person(shown, address) for shown, address in getaddresses(values) if shown or address]


def parse(content: bytes) -> Item:
    """A nested message as an item, for GetAttachment; whatever can't be read is left empty."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    item = Item(subject=_clean(str(mail.get("Subject", ""))), message_id=mail.get("Message-ID"), mime=content, is_read=True)
    senders, authors = _people(mail, "Sender"), _people(mail, "From")
    item.author = authors[0] if authors else None
    item.sender = senders[0] if senders else item.author
    item.to, item.cc, item.reply_to = _people(mail, "To"), _people(mail, "Cc"), _people(mail, "Reply-To")
    try:
        item.submitted = parsedate_to_datetime(str(mail.get("Date"))).astimezone()
    except (TypeError, ValueError, OverflowError):
        item.submitted = None
    for part in _leaves(mail):
        _take(item, part)
    return item


def _leaves(mail: Message) -> list[Message]:
    if mail.get_content_maintype() != "multipart":
        return [mail]
    payload = mail.get_payload()
    found: list[Message] = []
    for part in payload if isinstance(payload, list) else []:
        if isinstance(part, Message):
            found += [part] if part.get_content_type() == "message/rfc822" else _leaves(part)
    return found


def _take(item: Item, part: Message) -> None:
    kind, name = part.get_content_type(), part.get_filename()
    payload = part.get_payload(decode=True)
    if kind == "message/rfc822":
        inner = part.get_payload()
        nested = inner[0] if isinstance(inner, list) and inner else Message()
        shown = name or (str(nested.get("Subject", "")) if isinstance(nested, Message) else "")
        content = nested.as_bytes() if isinstance(nested, Message) else b""
        item.parts.append(Part(_clean(shown), kind, content, kind="message"))
        return
    raw = payload if isinstance(payload, bytes) else b""
    if kind in ("text/plain", "text/html") and name is None and part.get_content_disposition() != "attachment":
        attribute = "body_html" if kind == "text/html" else "body_text"
        if getattr(item, attribute) is None:
            setattr(item, attribute, _decode(raw, part.get_content_charset()))
            return
    cid = part.get("Content-ID")
    inline = part.get_content_disposition() == "inline"
    item.parts.append(Part(_clean(name or "attachment"), kind, raw, inline, str(cid).strip("<> ") if cid else None))


def _decode(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")
