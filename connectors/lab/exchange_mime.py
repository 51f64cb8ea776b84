"""An item as an RFC 5322 message, and such a message as an item: what the server renders, and what nested messages hold."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from email.message import Message
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from urllib.parse import quote

from .exchange_call import Refused, when
from .exchange_properties import address, own_value
from .truth import Item, Part, Person, seeded_bytes

_START, _END, _PLACE = (
    "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820D",
    "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820E",
    "String {00062002-0000-0000-c000-000000000046} Id 0x8208",
)
_SENSITIVITIES = ("Normal", "Personal", "Private", "Company-Confidential")


def render(item: Item, *, contacts: bool = True) -> bytes:
    """The item's MIME: the original bytes where it has them, otherwise made from its fields; equal for equal items.

    Refused for classes that have no MIME [MS docs: Exchange renders messages, calendar items and posts]; a contact is a
    vCard on newer servers (``contacts``) and refused on older ones.
    """
    if item.mime is not None:
        return item.mime
    kind = item.item_class.lower()
    if kind.startswith("ipm.contact") and contacts:
        return card(item)
    if kind.startswith(("ipm.contact", "ipm.distlist", "ipm.task")):
        raise Refused("ErrorUnsupportedMimeConversion", "The item's class can't be converted to MIME.")
    mark = seeded_bytes("boundary", item.id, item.change, length=12).hex()
    content = _bodies(item, f"=_alternative_{mark}")
    if not item.parts:
        return b"".join([_head(item), content])
    edge = f"=_mixed_{mark}".encode()
    out = [_head(item), b'Content-Type: multipart/mixed; boundary="', edge, b'"\r\n\r\n--', edge, b"\r\n", content]
    for part in item.parts:
        out += b"\r\n--", edge, b"\r\n", *_part(part)
    return b"".join([*out, b"\r\n--", edge, b"--\r\n"])


def _clean(value: str) -> str:
    return "".join(char for char in " ".join(value.splitlines()) if char >= " " and not "\ud800" <= char <= "\udfff")


def _words(value: str) -> str:
    """A header's text: as it is if ASCII, else encoded words, one a line [RFC 2047]."""
    value = _clean(value)
    if value.isascii() and "=?" not in value and all(len(word) < 900 for word in value.split(" ")):
        return "\r\n ".join(re.findall(r"\S.{0,900}(?=\s|$)|\S+", value)) if len(value) > 900 else value
    pieces = [value[at : at + 10] for at in range(0, len(value), 10)]
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces)


def _address(person: Person) -> str:
    name, address = _clean(person.name), _clean(person.address)
    if not re.fullmatch(r"[^\s()<>,;:\\\"/@]+@[^\s()<>,;:\\\"/@]+", address, re.ASCII) or not address.isascii():
        name, address = name or address or "unknown", "invalid@lab.invalid"
    if not name:
        return f"<{address}>"
    if name.isascii() and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{_words(name)} <{address}>"


def _head(item: Item) -> bytes:
    lines = [
        f"{name}: {_words(value)}"
        for name, value in (
            ("Message-ID", item.message_id), ("In-Reply-To", item.in_reply_to), ("References", item.references),
            ("Subject", item.subject),
        )
        if value
    ]  # fmt: skip
    for name, person in (("From", item.author or item.sender), ("Sender", item.sender if item.author != item.sender else None)):
        if person is not None:
            lines.append(f"{name}: {_address(person)}")
    for name, people in (("To", item.to), ("Cc", item.cc), ("Bcc", item.bcc), ("Reply-To", item.reply_to)):
        if people:
            lines.append(f"{name}: " + ",\r\n ".join(map(_address, people)))
    if sent := item.submitted or item.received or item.created:
        lines.append(f"Date: {format_datetime(sent)}")
    if item.importance != 1:
        lines.append(f"Importance: {'high' if item.importance == 2 else 'low'}")
    if item.sensitivity:
        lines.append(f"Sensitivity: {_SENSITIVITIES[min(max(item.sensitivity, 0), 3)]}")
    if item.wants_read_receipt and item.sender is not None:
        lines.append(f"Disposition-Notification-To: {_address(item.sender)}")
    return "\r\n".join([*lines, "MIME-Version: 1.0", ""]).encode("ascii", "replace")


def _bodies(item: Item, edge: str) -> bytes:
    texts = []
    if item.body_text is not None or item.body_html is None:
        texts.append(("plain", item.body_text or ""))
    if item.body_html is not None:
        texts.append(("html", item.body_html))
    if item.item_class.lower().startswith("ipm.appointment"):
        texts = [("plain", item.body_text or ""), ("calendar", calendar(item))]
    if len(texts) == 1:
        return _text_part(*texts[0])
    parts = b"".join(f"--{edge}\r\n".encode() + _text_part(*one) + b"\r\n" for one in texts)
    return f'Content-Type: multipart/alternative; boundary="{edge}"\r\n\r\n'.encode() + parts + f"--{edge}--\r\n".encode()


def _text_part(kind: str, value: str) -> bytes:
    more = "; method=PUBLISH" if kind == "calendar" else ""
    head = f"Content-Type: text/{kind}; charset=utf-8{more}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    return head + _lines(value.encode("utf-8", "replace"))


def _lines(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def _parameter(name: str, value: str) -> str:
    shown = _clean(value)
    if shown.isascii():
        return f'{name}="{shown.replace(chr(92), "").replace(chr(34), "")}"'
    return f"{name}*=utf-8''{quote(shown, safe='')}"


def _part(part: Part) -> tuple[bytes, bytes]:
    """An attachment's headers and its content; a nested message byte for byte, anything else in base64."""
    kind = part.content_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", part.content_type, re.ASCII) else "application/octet-stream"
    nested = part.kind == "message"
    if nested or kind.startswith(("message/", "multipart/")):
        kind = "message/rfc822" if nested else "application/octet-stream"
    lines = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {'8bit' if nested else 'base64'}"]
    where = "inline" if part.inline else "attachment"
    lines.append(
        f"Content-Disposition: {where}; {_parameter('filename', part.name)}" if part.name else f"Content-Disposition: {where}"
    )
    if part.content_id and part.content_id.isascii():
        lines.append(f"Content-ID: <{_clean(part.content_id).strip('<>')}>")
    head = "\r\n".join([*lines, "", ""]).encode("ascii", "replace")
    return head, part.content if nested else _lines(part.content)


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
            lines.append(f"{name}:{when(value).replace('-', '').replace(':', '')}")
    if place := item.extended.get(_PLACE):
        lines.append(f"LOCATION:{_clean(str(place))}")
    return "\r\n".join([*lines, "END:VEVENT", "END:VCALENDAR", ""])


def card(item: Item) -> bytes:
    """A contact as vCard, as far as the well-known fields go."""
    held = [_clean(str(own_value(item.extended, tag) or "")) for tag in (0x3A11, 0x3A06, 0x3001, 0x3A16, 0x3A17, 0x3A08)]
    last, first, shown, company, title, phone = held
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"N:{last};{first};;;", f"FN:{shown or _clean(item.subject)}"]
    mail = _clean(str(address(item, 0x8083) or ""))
    for name, value in (("ORG", company), ("TITLE", title), ("TEL;TYPE=WORK", phone), ("EMAIL", mail)):
        if value:
            lines.append(f"{name}:{value}")
    return "\r\n".join([*lines, "END:VCARD", ""]).encode("utf-8", "replace")


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
