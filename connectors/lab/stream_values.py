"""MAPI values as a transfer buffer holds them: types, tags, names, and the texts by which the lab calls properties.

Fixed values stand inline, texts (UTF-16, closed by a zero) and binaries behind a length; a named property carries its set,
its kind and its name or number [MS docs: MS-OXCFXICS 2.2.4, MS-OXCDATA 2.11].
"""

from __future__ import annotations

import re
import struct
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

SHORT, INT, DOUBLE, BOOL, LONG, TEXT, TIME, GUID, BYTES, MANY = (
    0x02, 0x03, 0x05, 0x0B, 0x14, 0x1F, 0x40, 0x48, 0x102, 0x1000,
)  # fmt: skip
_TYPE_WORDS = {
    "Short": SHORT,
    "Integer": INT,
    "Double": DOUBLE,
    "Boolean": BOOL,
    "Long": LONG,
    "String": TEXT,
    "SystemTime": TIME,
    "CLSID": GUID,
    "Binary": BYTES,
}
_WORDS = {code: word for word, code in _TYPE_WORDS.items()}

PRIVATE = uuid.UUID("5b1f6f0e-3d1c-4b7e-9a55-6c1ab0de0001").bytes_le
PUBLIC_STRINGS = uuid.UUID("00020329-0000-0000-c000-000000000046").bytes_le
TASK = uuid.UUID("00062003-0000-0000-c000-000000000046").bytes_le

NEW_ATTACH, END_ATTACH, START_RECIP, END_RECIP = 0x40000003, 0x400E0003, 0x40030003, 0x40040003
MARKERS = {NEW_ATTACH, END_ATTACH, START_RECIP, END_RECIP}
MARKER_BYTES = {marker: struct.pack("<I", marker) for marker in MARKERS}

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_PLAIN_KEY = re.compile(r"(\w+) 0x([0-9a-fA-F]{1,4})")
_NAMED_KEY = re.compile(r"(\w+) \{([0-9a-fA-F-]{36})\} (?:Name (.+)|Id 0x([0-9a-fA-F]{1,8}))", re.DOTALL)

SUBJECT, CLASS, IMPORTANCE, SENSITIVITY, FLAGS = 0x0037, 0x001A, 0x0017, 0x0036, 0x0E07
BODY, HTML, MESSAGE_ID, IN_REPLY_TO, REFERENCES, HEADERS = 0x1000, 0x1013, 0x1035, 0x1042, 0x1039, 0x007D
SEARCH_KEY, SUBMITTED, RECEIVED, CREATED, MODIFIED = 0x300B, 0x0039, 0x0E06, 0x3007, 0x3008
READ_RECEIPT, DELIVERY_RECEIPT, FLAG_STATUS, FLAG_COMPLETED = 0x0029, 0x0023, 0x1090, 0x1091
SENDER_NAME, SENDER_ADDRESS, AUTHOR_NAME, AUTHOR_ADDRESS = 0x0C1A, 0x0C1F, 0x0042, 0x0065
ATTACH_PHOTO = 0x7FFF  # PidTagAttachmentContactPhoto
RECIP_TYPE, NAME, ADDRESS_TYPE, ADDRESS = 0x0C15, 0x3001, 0x3002, 0x3003
ATTACH_METHOD, ATTACH_NAME, ATTACH_TYPE, ATTACH_ID, ATTACH_FLAGS, ATTACH_DATA = (
    0x3705, 0x3707, 0x370E, 0x3712, 0x3714, 0x3701,
)  # fmt: skip
_OWN = {
    SUBJECT, CLASS, IMPORTANCE, SENSITIVITY, FLAGS, BODY, HTML, MESSAGE_ID, IN_REPLY_TO, REFERENCES, HEADERS,
    SEARCH_KEY, SUBMITTED, RECEIVED, CREATED, MODIFIED, READ_RECEIPT, DELIVERY_RECEIPT, FLAG_STATUS,
    FLAG_COMPLETED, SENDER_NAME, SENDER_ADDRESS, AUTHOR_NAME, AUTHOR_ADDRESS,
}  # fmt: skip


def name_bytes(guid: bytes, name: str | int) -> tuple[int, bytes]:
    if isinstance(name, int):
        return 0x8000 | (name & 0xFFF), guid + b"\x00" + struct.pack("<I", name)
    return 0x8000 | (zlib.crc32(name.encode("utf-8", "surrogatepass")) & 0xFFF), guid + b"\x01" + write_text(name)[4:]


def write_text(value: str) -> bytes:
    raw = value.encode("utf-16-le", "surrogatepass")
    return struct.pack("<I", len(raw) + 2) + raw + b"\x00\x00"


def write_bytes(value: bytes) -> bytes:
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


def write_time(value: datetime) -> bytes:
    return struct.pack("<q", ticks(value))


_ENCODERS: dict[int, tuple[type, Callable[..., bytes]]] = {
    SHORT: (int, struct.Struct("<h").pack),
    INT: (int, struct.Struct("<i").pack),
    LONG: (int, struct.Struct("<q").pack),
    DOUBLE: (float, struct.Struct("<d").pack),
    BOOL: (bool, struct.Struct("<H").pack),
    TEXT: (str, write_text),
    TIME: (datetime, write_time),
    BYTES: (bytes, write_bytes),
}
_CODE_OF_TYPE = {bool: BOOL, float: DOUBLE, str: TEXT, datetime: TIME, bytes: BYTES}


def header(code: int, name: tuple[int, bytes] | int) -> bytes:
    if isinstance(name, int):
        return struct.pack("<HH", code, name)
    return struct.pack("<HH", code, name[0]) + name[1]


@lru_cache(maxsize=4096)
def key_of(key: str) -> tuple[int, tuple[int, bytes] | int] | None:
    """Type and name of a property's text, if exactly that text comes back when it is read again."""
    found: tuple[int, tuple[int, bytes] | int] | None = None
    if plain := _PLAIN_KEY.fullmatch(key):
        code, tag = code_of(plain[1]), int(plain[2], 16)
        # Tags from 0x4000 on are those of the markers; a property there could be taken for one.
        free = 0 < tag < 0x8000 and not 0x4000 <= tag < 0x4100
        if code and tag not in _OWN and free and key == plain_text(code, tag):
            found = code, tag
    elif named := _NAMED_KEY.fullmatch(key):
        code, guid = code_of(named[1]), uuid.UUID(named[2]).bytes_le
        name: str | int = named[3] if named[3] is not None else int(named[4], 16)
        reserved = (
            guid == PRIVATE or (guid == PUBLIC_STRINGS and name == "Keywords") or (guid == TASK and name in (0x8104, 0x8105))
        )
        if code and not reserved and "\x00" not in key and key == named_text(code, guid, name):
            found = code, name_bytes(guid, name)
    return found


def code_of(word: str) -> int:
    many = MANY if word.endswith("Array") else 0
    code = _TYPE_WORDS.get(word.removesuffix("Array"), 0)
    return code | many if code else 0


def word_of(code: int) -> str:
    return _WORDS[code & ~MANY] + ("Array" if code & MANY else "")


def plain_text(code: int, tag: int) -> str:
    return f"{word_of(code)} 0x{tag:04X}" if tag > 0xFFF else f"{word_of(code)} 0x{tag:X}"


def named_text(code: int, guid: bytes, name: str | int) -> str:
    tail = f"Name {name}" if isinstance(name, str) else f"Id 0x{name:X}"
    return f"{word_of(code)} {{{uuid.UUID(bytes_le=guid)}}} {tail}"


def encode(code: int, value: object) -> bytes | None:
    """The value in that type, or None if it doesn't fit."""
    if code & MANY:
        if not isinstance(value, list):
            return None
        parts = [encode(code & ~MANY, one) for one in value]
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


def private_key(name: str) -> str:
    """The key of ``extended`` that was written as a property of the private set."""
    return re.sub(r"\\(.)", lambda found: "\x00" if found[1] == "0" else found[1], name.removeprefix("x:"), flags=re.DOTALL)


def write_extended(key: str, value: object) -> bytes:
    known = key_of(key)
    if known is not None and (encoded := encode(known[0], value)) is not None:
        return header(*known) + encoded
    first = value[0] if isinstance(value, list) and value else value
    code = LONG if type(first) is int else _CODE_OF_TYPE.get(type(first), TEXT)
    code |= MANY if isinstance(value, list) else 0
    encoded = encode(code, value)
    if encoded is None:
        raise ValueError(f"a property of type {type(value).__name__} can't be written into an export stream")
    return header(code, name_bytes(PRIVATE, "x:" + key.replace("\\", "\\\\").replace("\x00", "\\0"))) + encoded


class Reader:
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
        if code & MANY:
            count = self.number("<I", 4)
            return [self.value(code & ~MANY) for _ in range(count)]
        if code == TEXT:
            raw = self.take(self.number("<I", 4))
            return raw[:-2].decode("utf-16-le", "surrogatepass")
        if code == BYTES:
            return self.take(self.number("<I", 4))
        if code == TIME:
            return moment(self.number("<q", 8))
        if code == BOOL:
            return self.number("<H", 2) != 0
        if code == DOUBLE:
            return struct.unpack("<d", self.take(8))[0]
        for wanted, layout, count in ((INT, "<i", 4), (LONG, "<q", 8), (SHORT, "<h", 2)):
            if code == wanted:
                return self.number(layout, count)
        raise ValueError("the export stream has a property of an unknown type")

    def step(self) -> tuple[int, object, int, object]:
        """The next marker (its number, then nothing) or property (0, its name, its type, its value)."""
        self.last = self.at
        head = self.number("<I", 4)
        if head in MARKERS:
            return head, None, 0, None
        code, tag = head & 0xFFFF, head >> 16
        name: object = self.name() if tag >= 0x8000 else tag
        return 0, name, code, self.value(code)
