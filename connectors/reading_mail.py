"""RFC 5322 bytes as the readers see them: the body that a mail program shows, and what is attached. Pure.

Python's ``email`` package takes the message apart, on purpose: the compose lane has a parser of its own, and this one checks it.
"""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils
from dataclasses import dataclass, field
from email.message import Message

from connectors.reading import Enclosure, body, digest, enclosure, hashed, level

_POLICY = email.policy.compat32.clone(max_line_length=None)
_DEEPEST = 50
_MEANT = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "latin-1": "cp1252", "us-ascii": "utf-8", "": "utf-8"}
"""Charsets that programs read as the larger one that writers mean. [WHATWG Encoding Standard]"""


@dataclass(slots=True)
class Mail:
    """A message as read: hashed body, and attachments in their order."""

    text: bytes = b""
    html: bytes | None = None
    attachments: list[Enclosure] = field(default_factory=list)
    subject: str = ""
    message_id: str = ""


def read_mail(raw: bytes) -> Mail:
    """A message's body and attachments, whatever is broken about it."""
    whole = email.message_from_bytes(raw if b"\n" in raw else raw.replace(b"\r", b"\n"), policy=_POLICY)
    shown: list[tuple[str, str]] = []
    found = Mail(subject=words(whole.get("Subject")), message_id=words(whole.get("Message-ID")))
    _walk(whole, shown, found.attachments, related=False, hidden=False, depth=0)
    if any(kind == "html" for kind, _ in shown):
        joined = "<br>".join(text if kind == "html" else _as_html(text) for kind, text in shown)
        found.text, found.html = body("html", joined)
    else:
        found.text, found.html = body("text", "\n".join(text for _, text in shown))
    return found


def nested(name: str | None, raw: bytes) -> Enclosure:
    """A message that is attached: servers write it anew, so what can be read in it counts, not its bytes."""
    inner = read_mail(raw)
    parts = sorted(each.digest for each in inner.attachments)
    what = digest(b"".join([hashed(inner.subject), digest(level(inner.message_id)), inner.text, *parts]))
    return Enclosure(level(name), "message/rfc822", 0, what)


def words(value: object) -> str:
    """A header's text with its encoded words read."""
    text = str(value) if value is not None else ""
    if text.isascii() and "=?" not in text:
        return level(text)
    try:
        pieces = email.header.decode_header(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        text = "".join(piece if isinstance(piece, str) else _decode(piece, charset or "") for piece, charset in pieces)
    except (ValueError, LookupError, AssertionError):
        pass
    return level(text)


def _as_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _walk(
    part: Message, shown: list[tuple[str, str]], attached: list[Enclosure], *, related: bool, hidden: bool, depth: int
) -> None:
    kind, payload = part.get_content_type(), part.get_payload()
    if kind in ("message/rfc822", "message/global"):
        attached.append(nested(_name(part), _inside(part)))
    elif part.is_multipart() and isinstance(payload, list) and not kind.startswith("message/") and depth < _DEEPEST:
        parts = [each for each in payload if isinstance(each, Message)]
        best = _best(parts) if kind == "multipart/alternative" else None
        for each in parts:
            other = best is not None and each is not best
            within = related or kind == "multipart/related"
            _walk(each, shown, attached, related=within, hidden=hidden or other, depth=depth + 1)
    else:
        _leaf(part, kind, shown, attached, related=related, hidden=hidden)


def _best(parts: list[Message]) -> Message | None:
    """Of several forms of one text the one that is shown: the last that holds HTML, else the last that holds plain text."""
    for kind in ("text/html", "text/plain"):
        for part in reversed(parts):
            if any(each.get_content_type() == kind for each in part.walk()):
                return part
    return None


def _leaf(
    part: Message, kind: str, shown: list[tuple[str, str]], attached: list[Enclosure], *, related: bool, hidden: bool
) -> None:
    name, where = _name(part), str(part.get_content_disposition() or "")
    if kind in ("text/plain", "text/html") and where != "attachment" and not name:
        if not hidden:
            shown.append((kind.removeprefix("text/").replace("plain", "text"), _text(part)))
        return
    if kind in ("text/enriched", "text/richtext") and hidden and not name:
        return
    content = _inside(part)
    content_id = words(part.get("Content-ID")).strip("<>").strip()
    inline = where == "inline" or (where != "attachment" and related and bool(content_id))
    if kind.startswith("message/"):
        # These are made of header lines, which this parser joins anew; their white space means nothing.
        attached.append(Enclosure(level(name), kind, 0, hashed(content.decode("utf-8", "replace")), inline, content_id))
    else:
        attached.append(enclosure(name, kind, content, inline=inline, content_id=content_id))


def _inside(part: Message) -> bytes:
    payload = part.get_payload()
    if isinstance(payload, list):
        return b"\n".join(each.as_bytes(policy=_POLICY) for each in payload if isinstance(each, Message))
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _name(part: Message) -> str:
    try:
        return words(part.get_filename())
    except (ValueError, LookupError, TypeError):
        return ""


def _text(part: Message) -> str:
    try:
        charset = str(part.get_content_charset() or "")
    except (ValueError, LookupError):
        charset = ""
    return _decode(_inside(part), charset)


def _decode(raw: bytes, charset: str) -> str:
    for each in (_MEANT.get(charset, charset), "utf-8"):
        try:
            return raw.decode(each)
        except (LookupError, ValueError):
            continue
    return raw.decode("cp1252", "replace")
