"""Takes RFC 5322 bytes apart: one body, and attachments whose base64 is carried over as it is. Pure, and never raises.

Parts are found by searching for their boundaries in the bytes, so that an attachment is copied once and never looked at line by
line; a message within a message is carried exactly as it was sent. Whatever is broken is read as a mail program would show it,
and named in ``odd``. A message that lies in a file is taken apart there: what is large of it stays in the file.
"""

from __future__ import annotations

import binascii
import email
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pybase64

from connectors.base import Attachment
from connectors.ews.mime_large import ASIDE, carried_aside, encoded_aside
from connectors.ews.mime_text import first_parameter, header_text, parameters, read_text
from connectors.spool import Blob, Content

_DEEPEST = 50
_HEAD, _MARGIN = 65_536, 1024
_LONGEST_NAME = 200
_FULL_LINE = 60
_BLANK = b" \t\r\n"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHERS = bytes(byte for byte in range(256) if byte not in _ALPHABET)
_FIELD = re.compile(rb"([!-9;-~]+|[Xx]-[^:\r\n]*)[ \t]*:(.*(?:\n[ \t].*)*)(?:\n|\Z)")
_ENVELOPE_LINE = re.compile(rb">?From .*(?:\n|\Z)")
_EMPTY_LINE = re.compile(rb"\r?(?:\n|\Z)")
_WANTED = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition", b"content-id", b"subject"})
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_UNFIT = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|]+')
_ENDINGS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
    "message/rfc822": ".eml",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/feedback-report": ".txt",
    "text/rfc822-headers": ".txt",
}
_SECURED = {
    "application/pkcs7-mime": "smime",
    "application/x-pkcs7-mime": "smime",
    "application/pkcs7-signature": "smime",
    "application/x-pkcs7-signature": "smime",
    "application/pgp-encrypted": "pgp",
    "application/pgp-signature": "pgp",
    "application/ms-tnef": "tnef",
    "application/vnd.ms-tnef": "tnef",
}
_NAMES = {"application/pkcs7-mime": "smime.p7m", "application/x-pkcs7-mime": "smime.p7m", "application/ms-tnef": "winmail.dat"}


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


@dataclass(slots=True)
class _Part:
    """A part in the bytes of the whole: its fields, and where its content is."""

    raw: Content
    start: int
    end: int
    fields: dict[bytes, bytes]
    kind: str
    given: dict[str, str]

    @property
    def content(self) -> bytes:
        return self.raw[self.start : self.end]

    def text(self, name: bytes) -> str:
        return header_text(self.fields.get(name, b""))

    @property
    def large(self) -> Blob | None:
        """Its content, if that is to stay in the file that it lies in."""
        if isinstance(self.raw, bytes) or self.end - self.start < ASIDE:
            return None
        return self.raw.cut(self.start, self.end)

    @property
    def encoding(self) -> str:
        return self.text(b"content-transfer-encoding").partition(";")[0].strip().strip('"').lower()


def take_apart(raw: Content) -> Apart:
    """Body and attachments of a message, however broken it is."""
    apart = Apart()
    if isinstance(raw, bytes):
        if not raw.strip():
            apart.note("empty")
            return apart
        if b"\n" not in raw:
            raw = raw.replace(b"\r", b"\n")
    try:
        whole = _part(raw, 0, len(raw), apart)
        if not whole.start:
            apart.note("no-headers")
        _walk(whole, apart, related=False, shown=True, depth=0)
    except Exception:
        apart = Apart()
        apart.note("unreadable-mime")
        if isinstance(raw, bytes):
            apart.body = raw.partition(b"\n\n")[2].decode("utf-8", "replace")
        whole_of_it = pybase64.b64encode(raw) if isinstance(raw, bytes) else encoded_aside(raw)
        apart.attachments.append(_attachment("original.eml", "message/rfc822", whole_of_it))
    return apart


# -- structure


def _part(raw: Content, start: int, end: int, apart: Apart | None, default: str = "text/plain") -> _Part:
    """The part between two places: its fields up to the first line that is none, and the content behind them."""
    if not isinstance(raw, bytes):
        return _part_in_file(raw, start, end, apart, default)
    fields: dict[bytes, bytes] = {}
    at = start
    if envelope := _ENVELOPE_LINE.match(raw, at, end):
        at = envelope.end()
    first = at
    while found := _FIELD.match(raw, at, end):
        name = found[1].lower()
        if name in _WANTED and name not in fields:
            fields[name] = found[2]
        at = found.end()
    if blank := _EMPTY_LINE.match(raw, at, end):
        at = blank.end()
    elif at > first and at < end and apart is not None:
        apart.note("broken-structure")  # fields without an empty line behind them
    value = header_text(fields.get(b"content-type", b""))
    kind, given = parameters(value)
    if "/" not in kind:
        kind = "text/plain" if value else default
    return _Part(raw, at, end, fields, kind, given)


def _part_in_file(raw: Blob, start: int, end: int, apart: Apart | None, default: str) -> _Part:
    """The same in a file: only as much is read as holds the fields."""
    size = _HEAD
    while True:
        head = raw[start : min(end, start + size)]
        probe = Apart()
        found = _part(head, 0, len(head), probe, default)
        if start + size >= end or found.start < len(head) - _MARGIN:
            break
        size *= 4
    if apart is not None:
        for oddity in probe.odd:
            apart.note(oddity)
    return _Part(raw, start + found.start, end, found.fields, found.kind, found.given)


def _children(part: _Part, apart: Apart) -> list[_Part]:
    """The parts of a multipart; none if its boundary does not occur."""
    boundary = part.given.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")
    if not boundary:
        return []
    default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
    found: list[_Part] = []
    begun: int | None = None
    closed = False
    for at, behind, closing in _delimiters(part, b"--" + boundary):
        if begun is not None:
            found.append(_part(part.raw, begun, max(begun, at), apart, default))
        begun, closed = (None, True) if closing else (behind, closed)
        if closing:
            break
    if begun is not None and begun < part.end:
        found.append(_part(part.raw, begun, part.end, apart, default))
    if found and not closed:
        apart.note("broken-structure")
    return found


def _delimiters(part: _Part, mark: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where content ends before a delimiter line, where it goes on behind it, and whether it is the closing one."""
    raw, end = part.raw, part.end
    at = raw.find(mark, part.start, end)
    while at >= 0:
        behind = at + len(mark)
        closing = raw[behind : behind + 2] == b"--" and behind + 2 <= end
        line = raw.find(b"\n", behind, end)
        rest = raw[behind + 2 * closing : end if line < 0 else line]
        if (at == part.start or raw[at - 1 : at] == b"\n") and not rest.strip():
            before = at - 1 if at > part.start else at
            if before > part.start and raw[before - 1 : before] == b"\r":
                before -= 1
            yield before, end if line < 0 else line + 1, closing
        at = raw.find(mark, behind, end)


def _walk(part: _Part, apart: Apart, *, related: bool, shown: bool, depth: int) -> None:
    """Take one part and all below it. ``shown`` is False in a form of a text that another form stands for."""
    if part.kind.startswith("multipart/"):
        children = _children(part, apart) if depth < _DEEPEST else []
        if children:
            _note_security(part, apart)
            if part.kind == "multipart/alternative":
                _alternative(children, apart, related, shown, depth)
            else:
                related = related or part.kind == "multipart/related"
                for child in children:
                    _walk(child, apart, related=related, shown=shown, depth=depth + 1)
            return
        apart.note("broken-structure")
        part.kind = "text/plain"
    if part.kind in ("message/rfc822", "message/global"):
        _nested(part, apart)
    else:
        _leaf(part, apart, related, shown)


def _note_security(part: _Part, apart: Apart) -> None:
    if part.kind in ("multipart/signed", "multipart/encrypted"):
        known = _SECURED.get(part.given.get("protocol", "").strip().lower())
        apart.note(known or part.kind.partition("/")[2])


def _alternative(parts: list[_Part], apart: Apart, related: bool, shown: bool, depth: int) -> None:
    """The best of several forms of one text, HTML before plain; forms that are no text (a calendar, say) are attached."""
    best = next((one for one in reversed(parts) if _holds(one, "text/html", depth)), None)
    best = best or next((one for one in reversed(parts) if _holds(one, "text/plain", depth)), None)
    for part in ([best] if best else []) + [one for one in parts if one is not best]:
        _walk(part, apart, related=related, shown=shown and (best is None or part is best), depth=depth + 1)


def _holds(part: _Part, kind: str, depth: int) -> bool:
    if part.kind.startswith("multipart/") and depth < _DEEPEST:
        return any(_holds(child, kind, depth + 1) for child in _children(part, Apart()))
    return part.kind == kind


# -- content


def _nested(part: _Part, apart: Apart) -> None:
    """A message within the message, as it was sent."""
    if (large := part.large) is not None:
        carried = _carried(part, apart)
        inner = large if part.encoding not in ("base64", "quoted-printable") else pybase64.b64decode(carried[: _HEAD // 4 * 4])
        subject = header_text(_part(inner, 0, len(inner), None).fields.get(b"subject", b"")).strip()
        name = _name(part) or _nested_name(subject)
        apart.attachments.append(_attachment(name, "message/rfc822", carried))
        return
    content = (
        part.content if part.encoding not in ("base64", "quoted-printable") else pybase64.b64decode(_carried_whole(part, apart))
    )
    subject = header_text(_part(content, 0, len(content), None).fields.get(b"subject", b"")).strip()
    name = _name(part) or _nested_name(subject)
    apart.attachments.append(_attachment(name, "message/rfc822", pybase64.b64encode(content)))


def _nested_name(subject: str) -> str:
    return f"{_UNFIT.sub('_', subject)[:_LONGEST_NAME] or 'message'}.eml"


def _leaf(part: _Part, apart: Apart, related: bool, shown: bool) -> None:
    disposition = parameters(part.text(b"content-disposition"))[0]
    name = _name(part)
    if part.kind in ("text/plain", "text/html") and disposition != "attachment" and not name:
        if shown:
            _show(part, apart)
        return
    if part.kind in ("text/enriched", "text/richtext") and not shown and not name:
        return
    content_id = part.text(b"content-id").strip().strip("<>").strip() or None
    inline = disposition == "inline" or (disposition != "attachment" and related and content_id is not None)
    if part.kind in _SECURED:
        apart.note(_SECURED[part.kind])
    fallback = _NAMES.get(part.kind) or f"part{len(apart.attachments) + 1}{_ENDINGS.get(part.kind, '.bin')}"
    apart.attachments.append(_attachment(name or fallback, part.kind, _carried(part, apart), content_id, inline))


def _show(part: _Part, apart: Apart) -> None:
    """Make the part the body, or add it to the one that is there already."""
    text, sure = read_text(_decoded(part, apart), part.given.get("charset", ""), is_html=part.kind == "text/html")
    if not sure:
        apart.note("charset")
    if "-----BEGIN PGP " in text:
        apart.note("pgp")
    kind = "html" if part.kind == "text/html" else "text"
    if not apart.has_body:
        apart.body, apart.kind, apart.has_body = text, kind, True
    elif kind == apart.kind == "text":
        apart.body = f"{apart.body}\r\n{text}"
    else:
        before = apart.body if apart.kind == "html" else _as_html(apart.body)
        apart.body = f"{before}<br>\r\n{text if kind == 'html' else _as_html(text)}"
        apart.kind = "html"


def _as_html(text: str) -> str:
    return f'<div style="white-space: pre-wrap">{html.escape(text, quote=False)}</div>'


def _decoded(part: _Part, apart: Apart) -> bytes:
    match part.encoding:
        case "base64":
            return pybase64.b64decode(_carried_whole(part, apart))
        case "quoted-printable":
            return binascii.a2b_qp(part.content)
        case "x-uuencode" | "uuencode" | "uue" | "x-uue":
            found = email.message_from_bytes(b"Content-Transfer-Encoding: uuencode\n\n" + part.content).get_payload(decode=True)
            return found if isinstance(found, bytes) else part.content
        case _:
            return part.content


def _carried(part: _Part, apart: Apart) -> Content:
    """Base64 of a part, without line breaks: as it stands if it came so, else encoded. That of a large part stays in the file."""
    if (large := part.large) is not None and (aside := carried_aside(large, part.encoding)) is not None:
        return aside
    return _carried_whole(part, apart)


def _carried_whole(part: _Part, apart: Apart) -> bytes:
    if part.encoding != "base64":
        return pybase64.b64encode(_decoded(part, apart))
    text = part.content.translate(None, _BLANK)
    if len(text) % 4 == 0 and not text.rstrip(b"=").translate(None, _ALPHABET) and not text.endswith(b"==="):
        return text
    apart.note("broken-base64")
    pieces = [_mended(piece) for piece in _readable(part.content).split(b"=") if piece] or [b""]
    return pieces[0] if len(pieces) == 1 else pybase64.b64encode(b"".join(map(pybase64.b64decode, pieces)))


def _readable(content: bytes) -> bytes:
    """What of a broken base64 is base64: a text that somebody added behind it is left out, strange signs within it too."""
    lines = [stripped for line in content.splitlines() if (stripped := line.strip())]
    strange = next((at for at, line in enumerate(lines) if not _BASE64_LINE.fullmatch(line)), len(lines))
    goes_on = any(len(line) >= _FULL_LINE and _BASE64_LINE.fullmatch(line) for line in lines[strange:])
    return b"".join(lines[:strange] if strange and not goes_on else lines)


def _mended(text: bytes) -> bytes:
    """Base64 that can be read as far as it goes."""
    kept = text.translate(None, _OTHERS)
    kept = kept[:-1] if len(kept) % 4 == 1 else kept
    return kept + b"=" * (-len(kept) % 4)


def _attachment(name: str, kind: str, content: Content, content_id: str | None = None, inline: bool = False) -> Attachment:
    padding = 2 if content[-2:] == b"==" else 1 if content[-1:] == b"=" else 0
    return Attachment(name, kind, content, len(content) // 4 * 3 - padding, content_id, inline)


def _name(part: _Part) -> str:
    found = first_parameter(part.text(b"content-disposition"), "filename") or first_parameter(part.text(b"content-type"), "name")
    return re.sub(r"[\x00-\x1f\x7f]+", " ", found).strip()
