"""Puts a message that was taken apart together again as an .eml file, for a person to open. Pure; a stream of bytes.

The compose lane reads a message as parts, so what comes out is not the byte sequence that once travelled: header fields are the
original ones where the source kept them, the text is one part in UTF-8, and attachments are byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from email.header import Header
from email.utils import format_datetime
from itertools import chain

import pybase64

from connectors.base import Address, Attachment, Message
from connectors.spool import Content

_FIELD = re.compile(r"^[!-9;-~]+:.*(?:\n[ \t].*)*", re.MULTILINE)
_OURS = ("content-", "mime-version:")
_LINE = 57
"""Bytes that make one line of 76 letters of base64."""
_AT_ONCE = _LINE * 16_384


def eml_of(message: Message) -> Iterator[bytes]:
    """The whole file, in pieces of about a megabyte."""
    yield from (_line(field) for field in _fields(message))
    yield b"MIME-Version: 1.0\r\n"
    kind = "html" if message.body_kind == "html" else "plain"
    text = message.body.encode("utf-8", "replace")
    body = chain([f'Content-Type: text/{kind}; charset="utf-8"\r\n'.encode()], _encoded(text))
    if not message.attachments:
        yield from body
        return
    boundary = f"=_{hashlib.sha256(text + message.attachments[0].content[:4096]).hexdigest()[:40]}"
    yield f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    for part in (body, *map(_attached, message.attachments)):
        yield f"--{boundary}\r\n".encode()
        yield from part
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _fields(message: Message) -> Iterator[str]:
    kept = (message.headers or "").replace("\r\n", "\n").replace("\r", "\n")
    original = [field for field in _FIELD.findall(kept) if not field.casefold().startswith(_OURS)]
    names = {field.partition(":")[0].casefold() for field in original}
    yield from original
    for name, value in _known(message):
        if value and name.casefold() not in names:
            yield f"{name}: {value}"


def _known(message: Message) -> Iterator[tuple[str, str]]:
    """Fields by what the source says of the message, for one that never travelled or lost its own."""
    sender = message.author or message.sender
    yield "From", _people([sender] if sender else [])
    if message.author and message.sender and message.sender != message.author:
        yield "Sender", _people([message.sender])
    yield "To", _people(message.to)
    yield "Cc", _people(message.cc)
    yield "Bcc", _people(message.bcc)
    yield "Reply-To", _people(message.reply_to)
    yield "Subject", _words(message.subject)
    when = message.submitted or message.received
    yield "Date", format_datetime(when) if when else ""
    yield "Message-ID", _words(message.message_id or "")
    yield "In-Reply-To", _words(message.in_reply_to or "")
    yield "References", _words(message.references or "")
    yield "Keywords", ", ".join(map(_words, message.categories))


def _people(people: Sequence[Address]) -> str:
    told = []
    for one in people:
        name = _words(one.name)
        if name.isascii() and not name.startswith("=?"):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' if name else ""
        address = _words(one.address)
        told.append(f"{name} <{address}>".strip() if address else name)
    return ",\n ".join(filter(None, told))


def _words(text: str) -> str:
    """A field's value on one line, encoded where it is not ASCII."""
    flat = " ".join(text.split())
    return flat if flat.isascii() else Header(flat.encode("utf-8", "replace").decode(), "utf-8", maxlinelen=10_000).encode()


def _line(field: str) -> bytes:
    # Header fields that came as raw eight-bit text stay that.
    return field.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n"


def _encoded(content: bytes) -> Iterator[bytes]:
    """A part's encoding, the blank line, and its content as lines of base64."""
    yield b"Content-Transfer-Encoding: base64\r\n\r\n"
    for at in range(0, len(content), _AT_ONCE):
        text = pybase64.b64encode(content[at : at + _AT_ONCE])
        yield b"".join(text[place : place + 76] + b"\r\n" for place in range(0, len(text), 76))


def _attached(one: Attachment) -> Iterator[bytes]:
    kind = one.content_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", one.content_type) else "application/octet-stream"
    name = _words(one.name).replace("\\", "_").replace('"', "'")
    yield f'Content-Type: {kind}; name="{name}"\r\n'.encode()
    yield f'Content-Disposition: {"inline" if one.inline else "attachment"}; filename="{name}"\r\n'.encode()
    if one.content_id:
        yield f"Content-ID: <{_words(one.content_id)}>\r\n".encode()
    if kind.startswith("message/"):
        # A message within a message may not be encoded [RFC 2046 5.2.1].
        yield b"Content-Transfer-Encoding: binary\r\n\r\n"
        yield from decoded(one.content)
        return
    yield b"Content-Transfer-Encoding: base64\r\n\r\n"
    step = _AT_ONCE // 57 * 76
    for at in range(0, len(one.content), step):
        text = one.content[at : at + step]
        yield b"".join(text[place : place + 76] + b"\r\n" for place in range(0, len(text), 76))


def decoded(base64: Content) -> Iterator[bytes]:
    """What base64 without line breaks stands for, in pieces. Raises ValueError where it is broken."""
    step = _AT_ONCE // 57 * 76
    for at in range(0, len(base64), step):
        yield pybase64.b64decode(base64[at : at + step], validate=True)
