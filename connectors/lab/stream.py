"""The export stream: one whole item as the bytes that ExportItems hands out and an import session takes in.

Outside: a chain of records ``uint32 opcode, uint32 length, bytes``, little endian. 1 config, 3 interface, 4 the exporting
build, then the transfer buffer in one or more records of opcode 2 (framing measured on published samples of ExportItems).
Inside the buffer: MAPI properties and markers in the manner of a FastTransfer stream [MS docs: MS-OXCFXICS 2.2.4]. Fixed
values stand inline, texts and binaries behind a length, named properties carry set, kind and name. Where MAPI has no
property for something of ours, a named property of a private set has it. The last property is a checksum.

The ids that a store gives (item, folder, attachment, change) aren't carried: the store that takes the item in gives its own.
"""

from __future__ import annotations

import re
import struct
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .truth import Item, Part, Person

CHUNK = 0x7C00
"""Bytes of transfer buffer in one record."""

_OP_CONFIG, _OP_BUFFER, _OP_INTERFACE, _OP_PARTNER = 1, 2, 3, 4
_CONFIG = struct.pack("<II", 0, 1)
_INTERFACE = struct.pack("<I16sI", 1, uuid.UUID("00020307-0000-0000-c000-000000000046").bytes_le, 0x80002400)
_RECORD = struct.Struct("<II")

_SHORT, _INT, _DOUBLE, _BOOL, _LONG, _TEXT, _TIME, _GUID, _BYTES, _MANY = (
    0x02, 0x03, 0x05, 0x0B, 0x14, 0x1F, 0x40, 0x48, 0x102, 0x1000,
)  # fmt: skip
_TYPE_WORDS = {
    "Short": _SHORT,
    "Integer": _INT,
    "Double": _DOUBLE,
    "Boolean": _BOOL,
    "Long": _LONG,
    "String": _TEXT,
    "SystemTime": _TIME,
    "CLSID": _GUID,
    "Binary": _BYTES,
}
_WORDS = {code: word for word, code in _TYPE_WORDS.items()}

_PRIVATE = uuid.UUID("5b1f6f0e-3d1c-4b7e-9a55-6c1ab0de0001").bytes_le
_PUBLIC_STRINGS = uuid.UUID("00020329-0000-0000-c000-000000000046").bytes_le
_TASK = uuid.UUID("00062003-0000-0000-c000-000000000046").bytes_le

_NEW_ATTACH, _END_ATTACH, _START_RECIP, _END_RECIP = 0x40000003, 0x400E0003, 0x40030003, 0x40040003
_MARKERS = {_NEW_ATTACH, _END_ATTACH, _START_RECIP, _END_RECIP}
_MARKER_BYTES = {marker: struct.pack("<I", marker) for marker in _MARKERS}

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_PLAIN_KEY = re.compile(r"(\w+) 0x([0-9a-fA-F]{1,4})")
_NAMED_KEY = re.compile(r"(\w+) \{([0-9a-fA-F-]{36})\} (?:Name (.+)|Id 0x([0-9a-fA-F]{1,8}))", re.DOTALL)

_SUBJECT, _CLASS, _IMPORTANCE, _SENSITIVITY, _FLAGS = 0x0037, 0x001A, 0x0017, 0x0036, 0x0E07
_BODY, _HTML, _MESSAGE_ID, _IN_REPLY_TO, _REFERENCES, _HEADERS = 0x1000, 0x1013, 0x1035, 0x1042, 0x1039, 0x007D
_SEARCH_KEY, _SUBMITTED, _RECEIVED, _CREATED, _MODIFIED = 0x300B, 0x0039, 0x0E06, 0x3007, 0x3008
_READ_RECEIPT, _DELIVERY_RECEIPT, _FLAG_STATUS, _FLAG_COMPLETED = 0x0029, 0x0023, 0x1090, 0x1091
_SENDER_NAME, _SENDER_ADDRESS, _AUTHOR_NAME, _AUTHOR_ADDRESS = 0x0C1A, 0x0C1F, 0x0042, 0x0065
_RECIP_TYPE, _NAME, _ADDRESS_TYPE, _ADDRESS = 0x0C15, 0x3001, 0x3002, 0x3003
_ATTACH_METHOD, _ATTACH_NAME, _ATTACH_TYPE, _ATTACH_ID, _ATTACH_FLAGS, _ATTACH_DATA = (
    0x3705, 0x3707, 0x370E, 0x3712, 0x3714, 0x3701,
)  # fmt: skip
_OWN = {
    _SUBJECT, _CLASS, _IMPORTANCE, _SENSITIVITY, _FLAGS, _BODY, _HTML, _MESSAGE_ID, _IN_REPLY_TO, _REFERENCES, _HEADERS,
    _SEARCH_KEY, _SUBMITTED, _RECEIVED, _CREATED, _MODIFIED, _READ_RECEIPT, _DELIVERY_RECEIPT, _FLAG_STATUS,
    _FLAG_COMPLETED, _SENDER_NAME, _SENDER_ADDRESS, _AUTHOR_NAME, _AUTHOR_ADDRESS,
}  # fmt: skip
_FLAG_NUMBERS = {"notFlagged": 0, "complete": 1, "flagged": 2}
_FLAG_NAMES = {number: name for name, number in _FLAG_NUMBERS.items()}


def _named(guid: bytes, name: str | int) -> tuple[int, bytes]:
    if isinstance(name, int):
        return 0x8000 | (name & 0xFFF), guid + b"\x00" + struct.pack("<I", name)
    return 0x8000 | (zlib.crc32(name.encode("utf-8", "surrogatepass")) & 0xFFF), guid + b"\x01" + _text(name)[4:]


def _text(value: str) -> bytes:
    raw = value.encode("utf-16-le", "surrogatepass")
    return struct.pack("<I", len(raw) + 2) + raw + b"\x00\x00"


def _binary(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def ticks(moment: datetime) -> int:
    """A moment as Windows counts: tenths of microseconds since 1601."""
    span = moment - _EPOCH
    return (span.days * 86400 + span.seconds) * 10_000_000 + span.microseconds * 10


def moment(count: int) -> datetime:
    """The moment of such a count; ValueError when there is none."""
    try:
        return _EPOCH + timedelta(microseconds=count // 10)
    except OverflowError:
        raise ValueError("the export stream holds a time that no calendar has") from None


def _time(value: datetime) -> bytes:
    return struct.pack("<q", ticks(value))


_ENCODERS: dict[int, tuple[type, Callable[..., bytes]]] = {
    _SHORT: (int, struct.Struct("<h").pack),
    _INT: (int, struct.Struct("<i").pack),
    _LONG: (int, struct.Struct("<q").pack),
    _DOUBLE: (float, struct.Struct("<d").pack),
    _BOOL: (bool, struct.Struct("<H").pack),
    _TEXT: (str, _text),
    _TIME: (datetime, _time),
    _BYTES: (bytes, _binary),
}
_CODE_OF_TYPE = {bool: _BOOL, float: _DOUBLE, str: _TEXT, datetime: _TIME, bytes: _BYTES}


def _head(code: int, name: tuple[int, bytes] | int) -> bytes:
    if isinstance(name, int):
        return struct.pack("<HH", code, name)
    return struct.pack("<HH", code, name[0]) + name[1]


@lru_cache(maxsize=4096)
def _key_of(key: str) -> tuple[int, tuple[int, bytes] | int] | None:
    """Type and name of a property's text, if exactly that text comes back when it is read again."""
    found: tuple[int, tuple[int, bytes] | int] | None = None
    if plain := _PLAIN_KEY.fullmatch(key):
        code, tag = _code(plain[1]), int(plain[2], 16)
        if code and tag not in _OWN and 0 < tag < 0x8000 and key == _plain_text(code, tag):
            found = code, tag
    elif named := _NAMED_KEY.fullmatch(key):
        code, guid = _code(named[1]), uuid.UUID(named[2]).bytes_le
        name: str | int = named[3] if named[3] is not None else int(named[4], 16)
        reserved = (
            guid == _PRIVATE or (guid == _PUBLIC_STRINGS and name == "Keywords") or (guid == _TASK and name in (0x8104, 0x8105))
        )
        if code and not reserved and "\x00" not in key and key == _named_text(code, guid, name):
            found = code, _named(guid, name)
    return found


def _code(word: str) -> int:
    many = _MANY if word.endswith("Array") else 0
    code = _TYPE_WORDS.get(word.removesuffix("Array"), 0)
    return code | many if code else 0


def _word(code: int) -> str:
    return _WORDS[code & ~_MANY] + ("Array" if code & _MANY else "")


def _plain_text(code: int, tag: int) -> str:
    return f"{_word(code)} 0x{tag:04X}" if tag > 0xFFF else f"{_word(code)} 0x{tag:X}"


def _named_text(code: int, guid: bytes, name: str | int) -> str:
    tail = f"Name {name}" if isinstance(name, str) else f"Id 0x{name:X}"
    return f"{_word(code)} {{{uuid.UUID(bytes_le=guid)}}} {tail}"


def _encode(code: int, value: object) -> bytes | None:
    """The value in that type, or None if it doesn't fit."""
    if code & _MANY:
        if not isinstance(value, list):
            return None
        parts = [_encode(code & ~_MANY, one) for one in value]
        if any(part is None for part in parts):
            return None
        return struct.pack("<I", len(parts)) + b"".join(part for part in parts if part is not None)
    kind, encoder = _ENCODERS.get(code, (None, None))
    if encoder is None or type(value) is not kind:
        return None
    try:
        return encoder(value)
    except struct.error:
        return None


def _extended(key: str, value: object) -> bytes:
    known = _key_of(key)
    if known is not None and (encoded := _encode(known[0], value)) is not None:
        return _head(*known) + encoded
    first = value[0] if isinstance(value, list) and value else value
    code = _LONG if type(first) is int else _CODE_OF_TYPE.get(type(first), _TEXT)
    code |= _MANY if isinstance(value, list) else 0
    encoded = _encode(code, value)
    if encoded is None:
        raise ValueError(f"a property of type {type(value).__name__} can't be written into an export stream")
    return _head(code, _named(_PRIVATE, "x:" + key)) + encoded


_PLAIN_TEXTS = tuple(
    (name, _head(_TEXT, tag))
    for name, tag in (
        ("body_text", _BODY),
        ("message_id", _MESSAGE_ID),
        ("in_reply_to", _IN_REPLY_TO),
        ("references", _REFERENCES),
        ("headers", _HEADERS),
    )
)
_TIMES = tuple(
    (name, _head(_TIME, key))
    for name, key in (
        ("submitted", _SUBMITTED),
        ("received", _RECEIVED),
        ("created", _CREATED),
        ("modified", _MODIFIED),
        ("flag_completed", _FLAG_COMPLETED),
        ("flag_start", _named(_TASK, 0x8104)),
        ("flag_due", _named(_TASK, 0x8105)),
    )
)
_H_CLASS, _H_SUBJECT = _head(_TEXT, _CLASS), _head(_TEXT, _SUBJECT)
_H_HTML, _H_SEARCH_KEY = _head(_BYTES, _HTML), _head(_BYTES, _SEARCH_KEY)
_H_MIME = _head(_BYTES, _named(_PRIVATE, "Mime"))
_H_KEYWORDS = _head(_TEXT | _MANY, _named(_PUBLIC_STRINGS, "Keywords"))
_H_FLAG_TEXT = _head(_TEXT, _named(_PRIVATE, "Flag"))
_H_REPLY_TO = _head(_TEXT | _MANY, _named(_PRIVATE, "ReplyTo"))
_H_CHECK = _head(_INT, _named(_PRIVATE, "Check"))
_NUMBERS = struct.Struct("<HHiHHiHHi")
_RECIP_HEAD = _MARKER_BYTES[_START_RECIP] + _head(_INT, _RECIP_TYPE)


def _person(out: list[bytes], name_tag: int, address_tag: int, person: Person) -> None:
    out.append(_head(_TEXT, name_tag) + _text(person.name) + _head(_TEXT, address_tag) + _text(person.address))


def _texts(values: list[str]) -> bytes:
    return struct.pack("<I", len(values)) + b"".join(map(_text, values))


def _buffer(item: Item) -> bytes:
    flags = (1 if item.is_read else 0) | (8 if item.is_draft else 0) | (0x10 if item.parts else 0)
    out = [
        _H_CLASS, _text(item.item_class), _H_SUBJECT, _text(item.subject),
        _NUMBERS.pack(_INT, _IMPORTANCE, item.importance, _INT, _SENSITIVITY, item.sensitivity, _INT, _FLAGS, flags),
        _H_SEARCH_KEY, _binary(item.search_key),
    ]  # fmt: skip
    for name, head in _PLAIN_TEXTS:
        if (text := getattr(item, name)) is not None:
            out += head, _text(text)
    for name, head in _TIMES:
        if (when := getattr(item, name)) is not None:
            out += head, _time(when)
    if item.body_html is not None:
        out += _H_HTML, _binary(item.body_html.encode("utf-8", "surrogatepass"))
    if item.sender is not None:
        _person(out, _SENDER_NAME, _SENDER_ADDRESS, item.sender)
    if item.author is not None:
        _person(out, _AUTHOR_NAME, _AUTHOR_ADDRESS, item.author)
    if item.wants_read_receipt:
        out.append(struct.pack("<HHH", _BOOL, _READ_RECEIPT, 1))
    if item.wants_delivery_receipt:
        out.append(struct.pack("<HHH", _BOOL, _DELIVERY_RECEIPT, 1))
    if item.categories:
        out += _H_KEYWORDS, _texts(item.categories)
    if number := _FLAG_NUMBERS.get(item.flag, 0):
        out.append(struct.pack("<HHi", _INT, _FLAG_STATUS, number))
    elif item.flag not in _FLAG_NUMBERS:
        out += _H_FLAG_TEXT, _text(item.flag)
    if item.reply_to:
        out += _H_REPLY_TO, _texts([text for person in item.reply_to for text in (person.name, person.address)])
    for key, value in item.extended.items():
        out.append(_extended(key, value))
    if item.mime is not None:
        out += _H_MIME, _binary(item.mime)
    for kind, people in ((1, item.to), (2, item.cc), (3, item.bcc)):
        for person in people:
            out += _RECIP_HEAD, struct.pack("<i", kind)
            _person(out, _NAME, _ADDRESS, person)
            out.append(_MARKER_BYTES[_END_RECIP])
    for part in item.parts:
        out += _MARKER_BYTES[_NEW_ATTACH], struct.pack("<HHi", _INT, _ATTACH_METHOD, 5 if part.kind == "message" else 1)
        out += _head(_TEXT, _ATTACH_NAME), _text(part.name), _head(_TEXT, _ATTACH_TYPE), _text(part.content_type)
        if part.content_id is not None:
            out += _head(_TEXT, _ATTACH_ID), _text(part.content_id)
        out.append(struct.pack("<HHi", _INT, _ATTACH_FLAGS, 4 if part.inline else 0))
        out += _head(_BYTES, _ATTACH_DATA), _binary(part.content), _MARKER_BYTES[_END_ATTACH]
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


class _Reader:
    """Walks a transfer buffer: property after property, marker after marker."""

    __slots__ = ("at", "data", "last")

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.last = data, 0, 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise ValueError("the export stream's transfer buffer ends inside a property")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, layout: str, count: int) -> int:
        return int(struct.unpack(layout, self.take(count))[0])

    def name(self) -> tuple[bytes, str | int]:
        guid, kind = self.take(16), self.take(1)
        if kind == b"\x00":
            return guid, self.number("<I", 4)
        if kind != b"\x01":
            raise ValueError("the export stream has a named property of an unknown kind")
        end = self.at
        while (pair := self.data[end : end + 2]) != b"\x00\x00":
            if len(pair) < 2:
                raise ValueError("the export stream's transfer buffer ends inside a name")
            end += 2
        text = self.take(end - self.at).decode("utf-16-le", "surrogatepass")
        self.at += 2
        return guid, text

    def value(self, code: int) -> object:
        if code & _MANY:
            count = self.number("<I", 4)
            return [self.value(code & ~_MANY) for _ in range(count)]
        if code == _TEXT:
            raw = self.take(self.number("<I", 4))
            return raw[:-2].decode("utf-16-le", "surrogatepass")
        if code == _BYTES:
            return self.take(self.number("<I", 4))
        if code == _TIME:
            return moment(self.number("<q", 8))
        if code == _BOOL:
            return self.number("<H", 2) != 0
        if code == _DOUBLE:
            return struct.unpack("<d", self.take(8))[0]
        for wanted, layout, count in ((_INT, "<i", 4), (_LONG, "<q", 8), (_SHORT, "<h", 2)):
            if code == wanted:
                return self.number(layout, count)
        raise ValueError("the export stream has a property of an unknown type")

    def step(self) -> tuple[int, object, int, object]:
        """The next marker (its number, then nothing) or property (0, its name, its type, its value)."""
        self.last = self.at
        head = self.number("<I", 4)
        if head in _MARKERS:
            return head, None, 0, None
        code, tag = head & 0xFFFF, head >> 16
        name: object = self.name() if tag >= 0x8000 else tag
        return 0, name, code, self.value(code)


_ATTRIBUTES: dict[object, tuple[str, type]] = {
    _CLASS: ("item_class", str),
    _SUBJECT: ("subject", str),
    _IMPORTANCE: ("importance", int),
    _SENSITIVITY: ("sensitivity", int),
    _SEARCH_KEY: ("search_key", bytes),
    _BODY: ("body_text", str),
    _MESSAGE_ID: ("message_id", str),
    _IN_REPLY_TO: ("in_reply_to", str),
    _REFERENCES: ("references", str),
    _HEADERS: ("headers", str),
    _SUBMITTED: ("submitted", datetime),
    _RECEIVED: ("received", datetime),
    _CREATED: ("created", datetime),
    _MODIFIED: ("modified", datetime),
    _FLAG_COMPLETED: ("flag_completed", datetime),
    _READ_RECEIPT: ("wants_read_receipt", bool),
    _DELIVERY_RECEIPT: ("wants_delivery_receipt", bool),
    (_TASK, 0x8104): ("flag_start", datetime),
    (_TASK, 0x8105): ("flag_due", datetime),
    (_PUBLIC_STRINGS, "Keywords"): ("categories", list),
    (_PRIVATE, "Mime"): ("mime", bytes),
    (_PRIVATE, "Flag"): ("flag", str),
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
    elif name == _FLAGS and isinstance(value, int):
        item.is_read, item.is_draft = bool(value & 1), bool(value & 8)
    elif name == _FLAG_STATUS and isinstance(value, int):
        item.flag = _FLAG_NAMES.get(value, "notFlagged")
    elif name == _HTML and isinstance(value, bytes):
        item.body_html = value.decode("utf-8", "surrogatepass")
    elif name in (_SENDER_NAME, _SENDER_ADDRESS, _AUTHOR_NAME, _AUTHOR_ADDRESS):
        people[name] = _as(value, str)
    elif name == (_PRIVATE, "ReplyTo") and isinstance(value, list):
        item.reply_to = [Person(*pair) for pair in zip(value[::2], value[1::2], strict=True)]
    elif isinstance(name, int):
        item.extended[_plain_text(code, name)] = value
    elif isinstance(name, tuple) and name[0] == _PRIVATE:
        item.extended[str(name[1]).removeprefix("x:")] = value
    elif isinstance(name, tuple):
        item.extended[_named_text(code, *name)] = value


def _read(body: bytes) -> Item:
    reader, item, people = _Reader(body), Item(), dict[object, str]()
    inner: dict[object, object] | None = None
    while reader.at < len(body):
        marker, name, code, value = reader.step()
        if marker in (_START_RECIP, _NEW_ATTACH):
            inner = {}
        elif marker:
            if inner is None:
                raise ValueError("the export stream closes what it never opened")
            _close(item, marker, inner)
            inner = None
        elif inner is not None:
            inner[name] = value
        elif name == (_PRIVATE, "Check"):
            if isinstance(value, int) and value & 0xFFFFFFFF == zlib.crc32(body[: reader.last]) and reader.at == len(body):
                return _with_people(item, people)
            raise ValueError("the export stream's checksum does not fit its content")
        else:
            _into_item(item, name, code, value, people)
    raise ValueError("the export stream ends before its checksum")


def _with_people(item: Item, people: dict[object, str]) -> Item:
    if _SENDER_NAME in people:
        item.sender = Person(people[_SENDER_NAME], people.get(_SENDER_ADDRESS, ""))
    if _AUTHOR_NAME in people:
        item.author = Person(people[_AUTHOR_NAME], people.get(_AUTHOR_ADDRESS, ""))
    return item


def _close(item: Item, marker: int, inner: dict[object, object]) -> None:
    if marker == _END_RECIP:
        where = {1: item.to, 2: item.cc, 3: item.bcc}.get(inner.get(_RECIP_TYPE))  # type: ignore[call-overload]
        if where is None:
            raise ValueError("the export stream has a recipient of an unknown kind")
        where.append(Person(_as(inner.get(_NAME, ""), str), _as(inner.get(_ADDRESS, ""), str)))
        return
    content, content_id, flags = inner.get(_ATTACH_DATA), inner.get(_ATTACH_ID), inner.get(_ATTACH_FLAGS, 0)
    if not isinstance(content, bytes) or not isinstance(flags, int):
        raise ValueError("the export stream has an attachment without content")
    item.parts.append(
        Part(
            name=_as(inner.get(_ATTACH_NAME, ""), str),
            content_type=_as(inner.get(_ATTACH_TYPE, ""), str),
            content=content,
            inline=bool(flags & 4),
            content_id=None if content_id is None else _as(content_id, str),
            kind="message" if inner.get(_ATTACH_METHOD) == 5 else "file",
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
