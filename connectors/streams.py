"""What an export stream says about itself, without reading the item in it. Pure.

The frame is that of the samples in the vendor's documentation: records of opcode and length, little-endian, four bytes each; the
third one, of opcode 4, has the version of the server that exported the item in its first six bytes.
"""

from __future__ import annotations

import pybase64

from connectors.spool import Content

_HEAD = 160
"""Characters of base64 that hold the three records of the frame."""
_PARTNER = 4


def made_by(stream: Content | None) -> str:
    """The version of the server that exported this stream, such as ``15.1.2507.0``; empty if the stream doesn't tell."""
    if stream is None:
        return ""
    head = bytes(stream[:_HEAD])
    try:
        frame = pybase64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except ValueError:
        return ""
    at = 0
    while at + 8 <= len(frame):
        opcode, length = int.from_bytes(frame[at : at + 4], "little"), int.from_bytes(frame[at + 4 : at + 8], "little")
        at += 8
        if opcode == _PARTNER:
            told = frame[at : at + 6]
            if length < 6 or len(told) < 6:
                return ""
            build, revision = (int.from_bytes(told[2 * k : 2 * k + 2], "little") & 0x7FFF for k in (1, 2))
            return f"{told[1]}.{told[0]}.{build}.{revision}"
        at += length
    return ""
