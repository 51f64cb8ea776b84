"""Export streams: cut out of the answer for their own items, checked, and never decoded. Pure."""

from __future__ import annotations

import re
from typing import Any

import pybase64

from connectors.errors import Unavailable
from connectors.ews.answer import M, messages, parse, raise_if_truncated
from connectors.spool import Content

_DATA = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?Data>")
_BLANK = b" \t\r\n"


def read_export(answer: bytes) -> list[tuple[Any, bytes | None]]:
    """Each response message of an ExportItems answer with its base64, which is cut out and never decoded.

    What is left is parsed strictly; in place of each stream it holds its number, so that none can be taken for another's.
    Raises Unavailable unless the document is complete.
    """
    found = _DATA.search(answer)
    pieces: list[bytes] = []
    streams: list[bytes] = []
    at = 0
    if found is not None:
        opening = found.group(0)
        start = found.start()
        while start >= 0:
            begin = start + len(opening)
            end = answer.find(b"<", begin)
            if end < 0:
                raise Unavailable("The source's answer was cut short.", code="cut short")
            pieces += answer[at:begin], b"%d" % len(streams)
            streams.append(answer[begin:end])
            at = end
            start = answer.find(opening, end)
    pieces.append(answer[at:])
    told: list[tuple[Any, bytes | None]] = []
    for message in messages(parse(b"".join(pieces)), "ExportItems"):
        data = message.findtext(f"{M}Data")
        if not data:
            told.append((message, None))
        elif streams:
            told.append((message, _carried(streams[int(data)])))
        else:
            told.append((message, _carried(data.encode())))
    return told


def _carried(stream: bytes) -> bytes:
    """Base64 without line breaks; most servers write none, and then nothing is copied. Raises Unavailable for a truncated one."""
    if b"&" in stream:
        stream = stream.replace(b"&#xD;", b"").replace(b"&#xA;", b"").replace(b"&#13;", b"").replace(b"&#10;", b"")
    if b"\n" not in stream and b" " not in stream and b"\r" not in stream:
        return stream
    raise_if_truncated(stream)
    return stream.translate(None, _BLANK)


_FRAME = (1, 3, 4)
_KNOWN = frozenset({1, 2, 3, 4})


def check_stream(stream: Content) -> frozenset[int]:
    """Walk the records of an export stream: it has to begin with the three of its frame and end where the last one ends.

    Only the few base64 characters at record headers are decoded. The frame is that of the samples in the vendor's
    documentation: records of opcode and length (little-endian, four bytes each), first 1, 3 and 4. Gives the opcodes after
    those that the samples don't show; they are no error. Raises Unavailable.
    """
    if not stream or len(stream) % 4:
        raise Unavailable("An export stream was cut short.", code="stream")
    read = stream.forwards() if not isinstance(stream, bytes) else lambda start, stop: stream[start:stop]
    size = len(stream) // 4 * 3 - (2 if stream[-2:] == b"==" else 1 if stream[-1:] == b"=" else 0)
    at, count = 0, 0
    strange: set[int] = set()
    while at < size:
        if at + 8 > size:
            raise Unavailable("An export stream ends inside a record.", code="stream")
        first = at // 3
        try:
            head = pybase64.b64decode(read(first * 4, (at + 10) // 3 * 4), validate=True)[at - first * 3 :]
        except ValueError:
            raise Unavailable("An export stream is no base64.", code="stream") from None
        opcode, length = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
        if count < 3:
            if opcode != _FRAME[count]:
                raise Unavailable("An export stream begins with records of another kind.", code="stream")
        elif opcode not in _KNOWN:
            strange.add(opcode)
        at += 8 + length
        count += 1
    if at != size or count < 4:
        raise Unavailable("An export stream ends inside a record.", code="stream")
    return frozenset(strange)
