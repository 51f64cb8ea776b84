"""The export stream: one whole item as the bytes that ExportItems hands out and an import session takes in.

Outside: a chain of records ``uint32 opcode, uint32 length, bytes``, little endian. 1 config, 3 interface, 4 the exporting
build, then the transfer buffer in one or more records of opcode 2 (framing measured on published samples of ExportItems).
Inside the buffer: MAPI properties and markers in the manner of a FastTransfer stream [MS docs: MS-OXCFXICS 2.2.4]. Fixed
values stand inline, texts and binaries behind a length, named properties carry set, kind and name. Where MAPI has no
property for something of ours, a named property of a private set has it. The last property is a checksum.

The ids that a store gives (item, folder, attachment, change) aren't carried: the store that takes the item in gives its own.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from datetime import datetime

from . import stream_values as mapi
from .truth import Item, Part, Person

CHUNK = 0x7C00
"""Bytes of transfer buffer in one record."""

_OP_CONFIG, _OP_BUFFER, _OP_INTERFACE, _OP_PARTNER = 1, 2, 3, 4
_CONFIG = struct.pack("<II", 0, 1)
_INTERFACE = struct.pack("<I16sI", 1, uuid.UUID("00020307-0000-0000-c000-000000000046").bytes_le, 0x80002400)
_RECORD = struct.Struct("<II")

_FLAG_NUMBERS = {"notFlagged": 0, "complete": 1, "flagged": 2}
_FLAG_NAMES = {number: name for name, number in _FLAG_NUMBERS.items()}
_PLAIN_TEXTS = tuple(
    (name, mapi.header(mapi.TEXT, tag))
    for name, tag in (
        ("body_text", mapi.BODY),
        ("message_id", mapi.MESSAGE_ID),
        ("in_reply_to", mapi.IN_REPLY_TO),
        ("references", mapi.REFERENCES),
        ("headers", mapi.HEADERS),
    )
)
_TIMES = tuple(
    (name, mapi.header(mapi.TIME, key))
    for name, key in (
        ("submitted", mapi.SUBMITTED),
        ("received", mapi.RECEIVED),
        ("created", mapi.CREATED),
        ("modified", mapi.MODIFIED),
        ("flag_completed", mapi.FLAG_COMPLETED),
        ("flag_start", mapi.name_bytes(mapi.TASK, 0x8104)),
        ("flag_due", mapi.name_bytes(mapi.TASK, 0x8105)),
    )
)
_H_CLASS, _H_SUBJECT = mapi.header(mapi.TEXT, mapi.CLASS), mapi.header(mapi.TEXT, mapi.SUBJECT)
_H_HTML, _H_SEARCH_KEY = mapi.header(mapi.BYTES, mapi.HTML), mapi.header(mapi.BYTES, mapi.SEARCH_KEY)
_H_MIME = mapi.header(mapi.BYTES, mapi.name_bytes(mapi.PRIVATE, "Mime"))
_H_KEYWORDS = mapi.header(mapi.TEXT | mapi.MANY, mapi.name_bytes(mapi.PUBLIC_STRINGS, "Keywords"))
_H_FLAG_TEXT = mapi.header(mapi.TEXT, mapi.name_bytes(mapi.PRIVATE, "Flag"))
_H_REPLY_TO = mapi.header(mapi.TEXT | mapi.MANY, mapi.name_bytes(mapi.PRIVATE, "ReplyTo"))
_H_CHECK = mapi.header(mapi.INT, mapi.name_bytes(mapi.PRIVATE, "Check"))
_IMPORTANCE, _SENSITIVITY, _FLAGS = (mapi.INT, mapi.IMPORTANCE), (mapi.INT, mapi.SENSITIVITY), (mapi.INT, mapi.FLAGS)
_NUMBERS = struct.Struct("<HHiHHiHHi")
_RECIP_HEAD = mapi.MARKER_BYTES[mapi.START_RECIP] + mapi.header(mapi.INT, mapi.RECIP_TYPE)


def _person(out: list[bytes], name_tag: int, address_tag: int, person: Person) -> None:
    out.append(
        mapi.header(mapi.TEXT, name_tag)
        + mapi.write_text(person.name)
        + mapi.header(mapi.TEXT, address_tag)
        + mapi.write_text(person.address)
    )


def _texts(values: list[str]) -> bytes:
    return struct.pack("<I", len(values)) + b"".join(map(mapi.write_text, values))


def _buffer(item: Item) -> bytes:
    flags = (1 if item.is_read else 0) | (8 if item.is_draft else 0) | (0x10 if item.parts else 0)
    out = [
        _H_CLASS, mapi.write_text(item.item_class), _H_SUBJECT, mapi.write_text(item.subject),
        _NUMBERS.pack(*_IMPORTANCE, item.importance, *_SENSITIVITY, item.sensitivity, *_FLAGS, flags),
        _H_SEARCH_KEY, mapi.write_bytes(item.search_key),
    ]  # fmt: skip
    for name, head in _PLAIN_TEXTS:
        if (text := getattr(item, name)) is not None:
            out += head, mapi.write_text(text)
    for name, head in _TIMES:
        if (when := getattr(item, name)) is not None:
            out += head, mapi.write_time(when)
    if item.body_html is not None:
        out += _H_HTML, mapi.write_bytes(item.body_html.encode("utf-8", "surrogatepass"))
    if item.sender is not None:
        _person(out, mapi.SENDER_NAME, mapi.SENDER_ADDRESS, item.sender)
    if item.author is not None:
        _person(out, mapi.AUTHOR_NAME, mapi.AUTHOR_ADDRESS, item.author)
    if item.wants_read_receipt:
        out.append(struct.pack("<HHH", mapi.BOOL, mapi.READ_RECEIPT, 1))
    if item.wants_delivery_receipt:
        out.append(struct.pack("<HHH", mapi.BOOL, mapi.DELIVERY_RECEIPT, 1))
    if item.categories:
        out += _H_KEYWORDS, _texts(item.categories)
    if number := _FLAG_NUMBERS.get(item.flag, 0):
        out.append(struct.pack("<HHi", mapi.INT, mapi.FLAG_STATUS, number))
    elif item.flag not in _FLAG_NUMBERS:
        out += _H_FLAG_TEXT, mapi.write_text(item.flag)
    if item.reply_to:
        out += _H_REPLY_TO, _texts([text for person in item.reply_to for text in (person.name, person.address)])
    for key, value in item.extended.items():
        out.append(mapi.write_extended(key, value))
    if item.mime is not None:
        out += _H_MIME, mapi.write_bytes(item.mime)
    for kind, people in ((1, item.to), (2, item.cc), (3, item.bcc)):
        for person in people:
            out += _RECIP_HEAD, struct.pack("<i", kind)
            _person(out, mapi.NAME, mapi.ADDRESS, person)
            out.append(mapi.MARKER_BYTES[mapi.END_RECIP])
    for part in item.parts:
        out += (
            mapi.MARKER_BYTES[mapi.NEW_ATTACH],
            struct.pack("<HHi", mapi.INT, mapi.ATTACH_METHOD, 5 if part.kind == "message" else 1),
        )
        out += (
            mapi.header(mapi.TEXT, mapi.ATTACH_NAME),
            mapi.write_text(part.name),
            mapi.header(mapi.TEXT, mapi.ATTACH_TYPE),
            mapi.write_text(part.content_type),
        )
        if part.content_id is not None:
            out += mapi.header(mapi.TEXT, mapi.ATTACH_ID), mapi.write_text(part.content_id)
        out.append(struct.pack("<HHi", mapi.INT, mapi.ATTACH_FLAGS, 4 if part.inline else 0))
        if part.photo:
            out.append(struct.pack("<HHH", mapi.BOOL, mapi.ATTACH_PHOTO, 1))
        out += (
            mapi.header(mapi.BYTES, mapi.ATTACH_DATA),
            mapi.write_bytes(part.content),
            mapi.MARKER_BYTES[mapi.END_ATTACH],
        )
    body = b"".join(out)
    return body + _H_CHECK + struct.pack("<I", zlib.crc32(body))


def pack(item: Item, build: tuple[int, int, int]) -> bytes:
    """The item as an export stream of the server build ``(major, minor, build)``; raw bytes, not base64.

    Everything is carried but the store's own ids. ValueError if ``extended`` holds a value of a type that no property has.
    """
    body = _buffer(item)
    partner = struct.pack("<BBHH", build[1] & 0xFF, build[0] & 0xFF, 0x8000 | (build[2] & 0x7FFF), 0)
    out = [
        _RECORD.pack(_OP_CONFIG, len(_CONFIG)), _CONFIG,
        _RECORD.pack(_OP_INTERFACE, len(_INTERFACE)), _INTERFACE,
        _RECORD.pack(_OP_PARTNER, len(partner)), partner,
    ]  # fmt: skip
    for start in range(0, len(body), CHUNK):
        piece = body[start : start + CHUNK]
        out += _RECORD.pack(_OP_BUFFER, len(piece)), piece
    return b"".join(out)


def _records(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("the export stream ends inside a record header")
        opcode, length = _RECORD.unpack_from(data, at)
        at += 8 + length
        if at > len(data):
            raise ValueError("the export stream ends inside a record")
        found.append((opcode, data[at - length : at]))
    if [opcode for opcode, _ in found[:3]] != [_OP_CONFIG, _OP_INTERFACE, _OP_PARTNER]:
        raise ValueError("the export stream does not begin with config, interface and partner version")
    return found


def partner(data: bytes) -> tuple[int, int, int]:
    """The build ``(major, minor, build)`` of the server that exported the stream; ValueError if the framing is broken."""
    version = _records(data)[2][1]
    if len(version) != 6:
        raise ValueError("the export stream's partner version has the wrong length")
    minor, major, build, _ = struct.unpack("<BBHH", version)
    return major, minor, build & 0x7FFF


_ATTRIBUTES: dict[object, tuple[str, type]] = {
    mapi.CLASS: ("item_class", str),
    mapi.SUBJECT: ("subject", str),
    mapi.IMPORTANCE: ("importance", int),
    mapi.SENSITIVITY: ("sensitivity", int),
    mapi.SEARCH_KEY: ("search_key", bytes),
    mapi.BODY: ("body_text", str),
    mapi.MESSAGE_ID: ("message_id", str),
    mapi.IN_REPLY_TO: ("in_reply_to", str),
    mapi.REFERENCES: ("references", str),
    mapi.HEADERS: ("headers", str),
    mapi.SUBMITTED: ("submitted", datetime),
    mapi.RECEIVED: ("received", datetime),
    mapi.CREATED: ("created", datetime),
    mapi.MODIFIED: ("modified", datetime),
    mapi.FLAG_COMPLETED: ("flag_completed", datetime),
    mapi.READ_RECEIPT: ("wants_read_receipt", bool),
    mapi.DELIVERY_RECEIPT: ("wants_delivery_receipt", bool),
    (mapi.TASK, 0x8104): ("flag_start", datetime),
    (mapi.TASK, 0x8105): ("flag_due", datetime),
    (mapi.PUBLIC_STRINGS, "Keywords"): ("categories", list),
    (mapi.PRIVATE, "Mime"): ("mime", bytes),
    (mapi.PRIVATE, "Flag"): ("flag", str),
}


def _as(value: object, kind: type[str]) -> str:
    if not isinstance(value, kind):
        raise ValueError("the export stream has a property of the wrong type")
    return value


def _into_item(item: Item, name: object, code: int, value: object, people: dict[object, str]) -> None:
    if (known := _ATTRIBUTES.get(name)) is not None:
        if not isinstance(value, known[1]):
            raise ValueError("the export stream has a property of the wrong type")
        setattr(item, known[0], value)
    elif name == mapi.FLAGS and isinstance(value, int):
        item.is_read, item.is_draft = bool(value & 1), bool(value & 8)
    elif name == mapi.FLAG_STATUS and isinstance(value, int):
        item.flag = _FLAG_NAMES.get(value, "notFlagged")
    elif name == mapi.HTML and isinstance(value, bytes):
        item.body_html = value.decode("utf-8", "surrogatepass")
    elif name in (mapi.SENDER_NAME, mapi.SENDER_ADDRESS, mapi.AUTHOR_NAME, mapi.AUTHOR_ADDRESS):
        people[name] = _as(value, str)
    elif name == (mapi.PRIVATE, "ReplyTo") and isinstance(value, list):
        item.reply_to = [Person(*pair) for pair in zip(value[::2], value[1::2], strict=True)]
    elif isinstance(name, int):
        item.extended[mapi.plain_text(code, name)] = value
    elif isinstance(name, tuple) and name[0] == mapi.PRIVATE:
        item.extended[mapi.private_key(str(name[1]))] = value
    elif isinstance(name, tuple):
        item.extended[mapi.named_text(code, *name)] = value


def _read(body: bytes) -> Item:
    reader, item, people = mapi.Reader(body), Item(), dict[object, str]()
    inner: dict[object, object] | None = None
    while reader.at < len(body):
        marker, name, code, value = reader.step()
        if marker in (mapi.START_RECIP, mapi.NEW_ATTACH):
            inner = {}
        elif marker:
            if inner is None:
                raise ValueError("the export stream closes what it never opened")
            _close(item, marker, inner)
            inner = None
        elif inner is not None:
            inner[name] = value
        elif name == (mapi.PRIVATE, "Check"):
            if isinstance(value, int) and value & 0xFFFFFFFF == zlib.crc32(body[: reader.last]) and reader.at == len(body):
                return _with_people(item, people)
            raise ValueError("the export stream's checksum does not fit its content")
        else:
            _into_item(item, name, code, value, people)
    raise ValueError("the export stream ends before its checksum")


def _with_people(item: Item, people: dict[object, str]) -> Item:
    if mapi.SENDER_NAME in people:
        item.sender = Person(people[mapi.SENDER_NAME], people.get(mapi.SENDER_ADDRESS, ""))
    if mapi.AUTHOR_NAME in people:
        item.author = Person(people[mapi.AUTHOR_NAME], people.get(mapi.AUTHOR_ADDRESS, ""))
    return item


def _close(item: Item, marker: int, inner: dict[object, object]) -> None:
    if marker == mapi.END_RECIP:
        where = {1: item.to, 2: item.cc, 3: item.bcc}.get(inner.get(mapi.RECIP_TYPE))  # type: ignore[call-overload]
        if where is None:
            raise ValueError("the export stream has a recipient of an unknown kind")
        where.append(Person(_as(inner.get(mapi.NAME, ""), str), _as(inner.get(mapi.ADDRESS, ""), str)))
        return
    content, content_id, flags = inner.get(mapi.ATTACH_DATA), inner.get(mapi.ATTACH_ID), inner.get(mapi.ATTACH_FLAGS, 0)
    if not isinstance(content, bytes) or not isinstance(flags, int):
        raise ValueError("the export stream has an attachment without content")
    item.parts.append(
        Part(
            name=_as(inner.get(mapi.ATTACH_NAME, ""), str),
            content_type=_as(inner.get(mapi.ATTACH_TYPE, ""), str),
            content=content,
            inline=bool(flags & 4),
            content_id=None if content_id is None else _as(content_id, str),
            kind="message" if inner.get(mapi.ATTACH_METHOD) == 5 else "file",
            photo=bool(inner.get(mapi.ATTACH_PHOTO)),
        )
    )


def unpack(data: bytes) -> Item:
    """The item in an export stream, without ids; ValueError with a sentence on what is broken or missing."""
    buffers = []
    for opcode, piece in _records(data)[3:]:
        if opcode != _OP_BUFFER:
            raise ValueError("the export stream has a record of an unknown kind")
        buffers.append(piece)
    try:
        return _read(b"".join(buffers))
    except (struct.error, UnicodeDecodeError, TypeError) as broken:
        raise ValueError("the export stream's transfer buffer can't be read") from broken
