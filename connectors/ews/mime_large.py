"""Parts of a message that are too large for memory: their base64 is written aside, piece by piece, into the file they lie in."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

import pybase64

from connectors.spool import PIECE, Blob

ASIDE = 64 * 1024
"""Bytes from which a part of a message in a file stays there."""

_LONGEST_LINE = 4 << 20
_BLANK = b" \t\r\n"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_UU = frozenset({"x-uuencode", "uuencode", "uue", "x-uue"})


def carried_aside(content: Blob, encoding: str) -> Blob | None:
    """The base64, without line breaks, of a part in this encoding; None if it has to be read whole: broken base64, uuencode."""
    if encoding == "base64":
        return _joined(content)
    if encoding == "quoted-printable":
        return _encoded(content, map(binascii.a2b_qp, _lines(content)))
    return None if encoding in _UU else encoded_aside(content)


def encoded_aside(content: Blob) -> Blob:
    """The base64 of these bytes as they are."""
    return _encoded(content, content.pieces())


def _joined(content: Blob) -> Blob | None:
    """Base64 without its line breaks; None unless it is sound."""
    file, start = content.file, content.file.size
    last = b""
    for piece in content.pieces():
        text = piece.translate(None, _BLANK)
        # Padding is sound at the very end only, where it is looked at below.
        if text and ((last.endswith(b"=") and text.strip(b"=")) or text.rstrip(b"=").translate(None, _ALPHABET)):
            return None
        last = (last + text)[-3:]
        file.write(text)
    return None if (file.size - start) % 4 or last == b"===" else file.blob(start)


def _encoded(content: Blob, pieces: Iterator[bytes]) -> Blob:
    file, start = content.file, content.file.size
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // 3 * 3
        file.write(pybase64.b64encode(rest[:whole]))
        rest = rest[whole:]
    file.write(pybase64.b64encode(rest))
    return file.blob(start)


def _lines(content: Blob) -> Iterator[bytes]:
    """The content in pieces that end where a line does."""
    rest = b""
    for piece in content.pieces(PIECE):
        cut = piece.rfind(b"\n") + 1 or (len(piece) if len(rest) > _LONGEST_LINE else 0)
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
    if rest:
        yield rest
