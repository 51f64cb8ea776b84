"""An item too large for memory: its content goes into a file while the answer arrives, and the rest is read as always.

The content is base64. An export stream stays that; MIME is decoded, because its parts have to be found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pybase64

from connectors.base import Lane
from connectors.errors import Unavailable
from connectors.ews import soap
from connectors.ews.answer import messages, parse
from connectors.ews.client import MailboxClient
from connectors.ews.export import Records
from connectors.spool import Blob, Spool, SpoolFile


class Stream(Blob):
    """An export stream in a file; its records were walked while it arrived."""

    __slots__ = ("records",)

    def __init__(self, file: SpoolFile, records: Records) -> None:
        super().__init__(file, 0, file.size)
        self.records = records


OPERATIONS = {Lane.IMPORT: "ExportItems", Lane.COMPOSE: "GetItem"}
"""The operation that fetches an item, by lane."""

_OPENING = {
    name: re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?%b(?:\s[^<>]*[^<>/])?>" % name.encode()) for name in ("Data", "MimeContent")
}
_LONGEST_TAG = 512
_BLANKS = (b"\n", b"\r", b" ", b"\t")
_BREAK = re.compile(rb"&#(?:x0*[dDaA]|0*1[03]);")
_LONGEST_ENTITY = 12
_OVERHEAD = 2
"""The room that is asked for, in sizes of the item: base64 and, of a message, the same again without its line breaks."""


def ask_large(client: MailboxClient, id_: str, lane: Lane, spool: Spool, size: int) -> list[tuple[Any, Blob | None]]:
    """The response messages of one call for one item, with its content in a file; None where it brought none.

    Content is base64 without line breaks in the import lane, and raw MIME in the compose lane. One post, not repeated. Raises
    Unavailable unless the answer is complete, and Halt if the disk is full.
    """
    file, records = spool.open(_OVERHEAD * size), Records()
    if lane is Lane.IMPORT:
        diverted, body = Diverted(file, "Data", watch=records.feed), soap.export([id_])
    else:
        diverted, body = Diverted(file, "MimeContent", decode=True), soap.get_composed([id_])
    told = messages(parse(client.post_once(OPERATIONS[lane], body, diverted)), OPERATIONS[lane])
    content: Blob | None = None
    if diverted.found:
        content = Stream(file, records) if lane is Lane.IMPORT else file.blob()
    return [(message, content) for message in told]


class Diverted:
    """Takes the text of the first element of a name out of an answer, into a file; what is left is the answer without it.

    ``watch`` is told each piece of base64 that is written.
    """

    def __init__(self, file: SpoolFile, name: str, *, decode: bool = False, watch: Callable[[bytes], None] | None = None) -> None:
        self.received = 0
        self.found = False
        """Whether the element was there and ended."""
        self._file = file
        self._opening = _OPENING[name]
        self._decode = decode
        self._watch = watch
        self._half = b""
        """What may be the first half of a character reference."""
        self._rest = b""
        """Base64 that is not four letters yet."""
        self._last = b""
        self._padded = False

    def read(self, pieces: Iterable[bytes]) -> bytes:
        """Read the whole answer. Raises Unavailable if the text is no base64."""
        left = bytearray()
        searched, inside = 0, False
        for piece in pieces:
            self.received += len(piece)
            if not inside and not self.found:
                left += piece
                opening = self._opening.search(left, searched)
                searched = max(0, len(left) - _LONGEST_TAG)
                if opening is None:
                    continue
                begin = opening.end()
                del opening
                piece, inside = bytes(left[begin:]), True
                del left[begin:]
            if inside:
                end = piece.find(b"<")
                if end < 0:
                    self._take(piece)
                    continue
                self._take(piece[:end], last=True)
                inside, self.found = False, True
                piece = piece[end:]
            left += piece
        return bytes(left)

    def _take(self, text: bytes, *, last: bool = False) -> None:
        text, self._half = self._half + text, b""
        if b"&" in text:
            text = _BREAK.sub(b"", text)
            half = text.rfind(b"&", max(0, len(text) - _LONGEST_ENTITY))
            if half >= 0 and not last:
                text, self._half = text[:half], text[half:]
        if any(blank in text for blank in _BLANKS):
            text = text.translate(None, b"".join(_BLANKS))
        # The mark of an answer that was not finished, whose blanks are gone by now; base64 has two such signs at most. One sign
        # alone is found many times as fast as three.
        if (self._last or b"=" in text) and b"===" in self._last + text:
            raise Unavailable("The source could not finish its answer.", code="truncated")
        ending = (self._last + text[-2:])[-2:]
        self._last = ending if b"=" in ending else b""
        if self._decode:
            text = self._decoded(text, last=last)
        if text:
            self._file.write(text)
            if self._watch is not None:
                self._watch(text)

    def _decoded(self, text: bytes, *, last: bool) -> bytes:
        text = self._rest + text
        whole = len(text) if last else len(text) // 4 * 4
        text, self._rest = text[:whole], text[whole:]
        if not text:
            return b""
        try:
            if self._padded:
                raise ValueError("goes on behind its end")
            self._padded = text.endswith(b"=")
            return pybase64.b64decode(text, validate=True)
        except ValueError:
            raise Unavailable("The source sent an item whose content can't be read.", code="no content") from None
