"""RFC 5322 bytes as the readers see them: the body that a mail program shows, and what is attached. Pure.

Python's ``email`` package takes the message apart, on purpose: the compose lane has a parser of its own, and this one checks it.
"""

from __future__ import annotations

import binascii
import email
import email.header
import email.policy
import quopri
import re
from dataclasses import dataclass, field
from email.message import Message

from connectors.reading import Enclosure, body, digest, enclosure, hashed, level


class _Policy(email.policy.Compat32):
    """Header fields unfolded, and their bytes read as UTF-8 or Windows' Latin, before anything looks at them."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, _FOLD.sub(" ", _guess(value.encode("utf-8", "surrogateescape")))


_FOLD = re.compile(r"[\r\n]+[ \t]*")
_META = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([A-Za-z0-9._-]+)""", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"(?<=\n)\r?\n")
_NO_FIELD = re.compile(rb"^[Xx]-[^:\r\n]*[ \t][^:\r\n]*:.*\n(?:[ \t].*\n)*", re.MULTILINE)
"""A field whose name has spaces in it, which would end the header for Python's parser and for no mail program."""

_STRANGE = re.compile(rb"[^A-Za-z0-9+/=]+")
_POLICY = _Policy(max_line_length=None)
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
    raw = raw if b"\n" in raw else raw.replace(b"\r", b"\n")
    blank = _BLANK_LINE.search(raw)
    end = blank.start() if blank else 0
    whole = email.message_from_bytes(_NO_FIELD.sub(b"", raw[:end]) + raw[end:], policy=_POLICY)
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
        text = "".join(piece if isinstance(piece, str) else _word(piece, charset) for piece, charset in pieces)
    except (ValueError, LookupError, AssertionError):
        pass
    return level(text)


def _word(piece: bytes, charset: str | None) -> str:
    # Text between encoded words comes back encoded like this; a charset may have a language behind it [RFC 2231 5].
    return piece.decode("raw-unicode-escape") if charset is None else _decode(piece, charset.partition("*")[0])


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
    if kind.startswith("multipart/"):
        kind = "text/plain"  # it has no parts, so it is shown as it stands
    if kind in ("text/plain", "text/html") and where != "attachment" and not name:
        if not hidden:
            shown.append((kind.removeprefix("text/").replace("plain", "text"), _text(part, kind)))
        return
    if kind in ("text/enriched", "text/richtext") and hidden and not name:
        return
    content_id = words(part.get("Content-ID")).strip("<>").strip()
    inline = where == "inline" or (where != "attachment" and related and bool(content_id))
    attached.append(enclosure(name, kind, _inside(part), inline=inline, content_id=content_id))


def _inside(part: Message) -> bytes:
    """The content of a part as it was before it was encoded for its way."""
    encoding = str(part.get("Content-Transfer-Encoding", "")).partition(";")[0].strip().strip('"').casefold()
    payload = part.get_payload()
    if isinstance(payload, list):
        raw = b"\n".join(each.as_bytes(policy=_POLICY) for each in payload if isinstance(each, Message))
        return _decoded(raw, encoding)
    if encoding == "base64":
        return _decoded(str(payload or "").encode("utf-8", "replace"), encoding)
    if encoding:
        part.replace_header("Content-Transfer-Encoding", encoding)
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _decoded(raw: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        kept = _STRANGE.sub(b"", raw).rstrip(b"=")
        kept = kept[:-1] if len(kept) % 4 == 1 else kept
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
    return quopri.decodestring(raw) if encoding == "quoted-printable" else raw


def _name(part: Message) -> str:
    try:
        return words(part.get_filename())
    except (ValueError, LookupError, TypeError):
        return ""


def _text(part: Message, kind: str) -> str:
    try:
        charset = str(part.get_content_charset() or "")
    except (ValueError, LookupError):
        charset = ""
    raw = _inside(part)
    if not charset and kind == "text/html" and (found := _META.search(raw)):
        charset = found[1].decode("ascii").casefold()
    return _decode(raw, charset)


def _decode(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(_MEANT.get(charset.casefold(), charset))
    except (LookupError, ValueError):
        return _guess(raw)


def _guess(raw: bytes) -> str:
    try:
        return raw.decode()
    except ValueError:
        return raw.decode("cp1252", "replace")
