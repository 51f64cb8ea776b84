"""Takes RFC 5322 bytes apart: one body, and attachments whose base64 is carried over as it is. Pure, and never raises.

Whatever is broken is read as a mail program would show it, and named in ``odd``.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.header
import email.message
import re
from dataclasses import dataclass, field

from connectors.base import Attachment

_SPACE = b" \t\r\n"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


@dataclass(slots=True)
class Apart:
    """A message taken apart."""

    body: str = ""
    kind: str = "text"
    attachments: list[Attachment] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    has_body: bool = False

    def note(self, oddity: str) -> None:
        """Name something that is not as the standards say, once."""
        if oddity not in self.odd:
            self.odd.append(oddity)


def take_apart(raw: bytes) -> Apart:
    """Body and attachments of a message, however broken it is."""
    apart = Apart()
    if not raw.strip():
        apart.note("empty")
        return apart
    try:
        message = email.message_from_bytes(raw)
        if not message.keys():
            apart.note("no-headers")
        _walk(message, apart, inline_place=False)
    except Exception:
        apart = Apart()
        apart.note("unreadable-mime")
        _, _, rest = raw.partition(b"\n\n")
        apart.body = _text(rest or raw, "utf-8", apart)
        apart.attachments.append(_attachment("original.eml", "message/rfc822", base64.b64encode(raw)))
    return apart


def _walk(part: email.message.Message, apart: Apart, inline_place: bool) -> None:
    kind = part.get_content_type()
    if part.defects:
        apart.note("broken-structure")
    payload = part.get_payload()
    children = [one for one in payload if isinstance(one, email.message.Message)] if isinstance(payload, list) else []
    if kind == "multipart/alternative" and children:
        _alternative(children, apart, inline_place)
    elif kind.startswith("multipart/") and children:
        if kind == "multipart/signed":
            apart.note("signed")
        elif kind == "multipart/encrypted":
            apart.note("encrypted")
        for child in children:
            _walk(child, apart, inline_place or kind == "multipart/related")
    elif kind.startswith("message/") and children:
        _nested(part, children, apart)
    else:
        _leaf(part, kind, apart, inline_place)


def _alternative(parts: list[email.message.Message], apart: Apart, inline_place: bool) -> None:
    """The best of several forms of one text: HTML before plain; forms that are no text (a calendar, say) are attached."""
    shown = [part for part in parts if _has_html(part)] or [part for part in parts if part.get_content_maintype() == "text"]
    best = shown[-1] if shown else None
    for part in parts:
        if part is best or part.is_multipart():
            _walk(part, apart, inline_place)
        elif part.get_content_type() not in ("text/plain", "text/html", "text/enriched", "text/richtext"):
            _leaf(part, part.get_content_type(), apart, inline_place, as_body=False)


def _has_html(part: email.message.Message) -> bool:
    return any(one.get_content_type() == "text/html" for one in part.walk())


def _nested(part: email.message.Message, payload: list[email.message.Message], apart: Apart) -> None:
    for inner in payload:
        try:
            raw = inner.as_bytes()
        except Exception:
            apart.note("nested-rewritten")
            raw = str(inner).encode("utf-8", "surrogateescape")
        name = _name(part) or f"{_header(inner.get('Subject')) or 'message'}.eml"
        apart.attachments.append(_attachment(name, "message/rfc822", base64.b64encode(raw)))


def _leaf(part: email.message.Message, kind: str, apart: Apart, inline_place: bool, as_body: bool = True) -> None:
    disposition = (part.get_content_disposition() or "").lower()
    name = _name(part)
    if kind.startswith("multipart/"):
        apart.note("broken-structure")
        kind = "text/plain"
    if as_body and kind in ("text/plain", "text/html") and disposition != "attachment" and not name and _takes(apart, kind):
        text = _text(part.get_payload(decode=True) or b"", part.get_content_charset() or "", apart)
        joint = "<br>\r\n" if kind == "text/html" else "\r\n"
        apart.body = f"{apart.body}{joint}{text}" if apart.has_body else text
        apart.kind, apart.has_body = ("html" if kind == "text/html" else "text"), True
        return
    content_id = (part.get("Content-ID") or "").strip().strip("<>") or None
    inline = disposition == "inline" or (disposition != "attachment" and inline_place and content_id is not None)
    if kind.startswith("application/") and "pkcs7-mime" in kind:
        apart.note("smime")
    content = _content(part, apart)
    fallback = f"part{len(apart.attachments) + 1}{_ENDINGS.get(kind, '.bin')}"
    apart.attachments.append(_attachment(name or fallback, kind, content, content_id=content_id, inline=inline))


_ENDINGS = {"text/plain": ".txt", "text/html": ".html", "text/calendar": ".ics", "image/png": ".png", "image/jpeg": ".jpg"}


def _takes(apart: Apart, kind: str) -> bool:
    return not apart.has_body or (apart.kind == "html") == (kind == "text/html")


def _content(part: email.message.Message, apart: Apart) -> bytes:
    """Base64 of a part, without line breaks: as it stands if it came so, else encoded."""
    payload = part.get_payload()
    if isinstance(payload, str) and str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
        text = payload.encode("ascii", "surrogateescape").translate(None, _SPACE)
        if len(text) % 4 == 0 and _BASE64.fullmatch(text):
            return text
        apart.note("broken-base64")
    decoded = part.get_payload(decode=True)
    return base64.b64encode(decoded if isinstance(decoded, bytes) else b"")


def _attachment(name: str, kind: str, content: bytes, *, content_id: str | None = None, inline: bool = False) -> Attachment:
    padding = 2 if content.endswith(b"==") else 1 if content.endswith(b"=") else 0
    return Attachment(name, kind, content, len(content) // 4 * 3 - padding, content_id, inline)


def _text(raw: bytes | object, charset: str, apart: Apart) -> str:
    if not isinstance(raw, bytes):
        return ""
    for encoding in (charset, "utf-8"):
        if encoding:
            try:
                return raw.decode(encoding)
            except (LookupError, ValueError, binascii.Error):
                apart.note("charset")
    return raw.decode("cp1252", "replace")


def _name(part: email.message.Message) -> str:
    try:
        return _header(part.get_filename()).strip()
    except Exception:
        return ""


def _header(value: object) -> str:
    """A header's text with its encoded words read; unreadable ones stay as they are."""
    text = "" if value is None else str(value)
    if "=?" not in text:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except Exception:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
