"""Export streams: cut out of the answer for their own items, checked, and never decoded. Pure."""

from __future__ import annotations

import re
from typing import Any

import pybase64

from connectors.errors import Unavailable
from connectors.ews.answer import M, messages, parse, raise_if_truncated

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


class Records:
    """Walks the records of an export stream while its base64 goes by: it has to begin with the three of its frame and end where
    the last one ends.

    Only the few characters at record headers are decoded. The frame is that of the samples in the vendor's documentation: records
    of opcode and length (little-endian, four bytes each), first 1, 3 and 4.
    """

    def __init__(self) -> None:
        self._at = self._count = 0
        """Where the next record begins, in bytes, and how many came before it."""
        self._gone = 0
        """Characters that went by before ``_held``."""
        self._held = self._last = b""
        self._strange: set[int] = set()
        self._wrong = ""

    def feed(self, text: bytes) -> None:
        """Take in the next characters; whatever is wrong with them says ``end``."""
        if not text or self._wrong:
            return
        self._last = (self._last + text[-2:])[-2:]
        if self._held:
            text, self._held = self._held + text, b""
        at, gone = self._at, self._gone
        end = gone + len(text)
        while (at + 10) // 3 * 4 <= end:
            first = at // 3
            start = first * 4 - gone
            try:
                head = pybase64.b64decode(text[start : (at + 10) // 3 * 4 - gone], validate=True)[at - first * 3 :]
            except ValueError:
                self._wrong = "An export stream is no base64."
                return
            opcode, length = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
            if self._count < 3:
                if opcode != _FRAME[self._count]:
                    self._wrong = "An export stream begins with records of another kind."
                    return
            elif opcode not in _KNOWN:
                self._strange.add(opcode)
            at += 8 + length
            self._count += 1
        # A header that lies across two pieces waits for the second one.
        self._held = text[max(0, at // 3 * 4 - gone) :] if at // 3 * 4 < end else b""
        self._at, self._gone = at, end - len(self._held)

    def end(self) -> frozenset[int]:
        """What is no error: the opcodes behind the frame that the samples don't show. Raises Unavailable for a stream that is not
        whole; may be asked again."""
        if self._wrong:
            raise Unavailable(self._wrong, code="stream")
        length = self._gone + len(self._held)
        if not length or length % 4:
            raise Unavailable("An export stream was cut short.", code="stream")
        size = length // 4 * 3 - (2 if self._last == b"==" else 1 if self._last[-1:] == b"=" else 0)
        if self._at != size or self._count < 4:
            raise Unavailable("An export stream ends inside a record.", code="stream")
        return frozenset(self._strange)


def check_stream(stream: bytes) -> frozenset[int]:
    """Walk the records of a whole export stream; as ``Records`` has it. Raises Unavailable."""
    records = Records()
    records.feed(stream)
    return records.end()
