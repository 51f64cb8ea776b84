"""Ids as few bytes as possible: text that is base64 is kept as what it stands for, all other text as it is.

The first byte says which it was. Unpacking gives exactly the text back, whatever it was.
"""

from __future__ import annotations

import binascii
from typing import Final

import pybase64

_TEXT: Final = 0
_URL_SAFE: Final = 1
_URL_SAFE_BARE: Final = 2  # without its padding
_STANDARD: Final = 3
_STANDARD_BARE: Final = 4

_URL_ALTERNATIVES: Final = b"-_"
_PADDING: Final = ("", "===", "==", "=")


def pack_id(text: str) -> bytes:
    """The bytes that stand for ``text``; at most one more than its UTF-8. Lone surrogates survive."""
    standard = "+" in text or "/" in text
    bare = text[-1:] != "="
    try:
        padded = text + _PADDING[len(text) & 3] if bare else text
        raw = pybase64.b64decode(padded, None if standard else _URL_ALTERNATIVES, validate=True)
    except (binascii.Error, ValueError):
        return b"\0" + text.encode("utf-8", "surrogatepass")
    # The way back must give this very text: unused bits may be set, and padding may be partly there.
    tag = (_STANDARD if standard else _URL_SAFE) + (bare and padded != text)
    packed = bytes((tag,)) + raw
    return packed if unpack_id(packed) == text else b"\0" + text.encode("utf-8", "surrogatepass")


def unpack_id(packed: bytes) -> str:
    """The text that ``pack_id`` was given."""
    tag, raw = packed[0], packed[1:]
    if tag == _TEXT:
        return raw.decode("utf-8", "surrogatepass")
    text = pybase64.b64encode(raw, None if tag >= _STANDARD else _URL_ALTERNATIVES).decode("ascii")
    return text.rstrip("=") if tag in (_URL_SAFE_BARE, _STANDARD_BARE) else text


def pack_optional(text: str | None) -> bytes | None:
    """``pack_id``; None stays None."""
    return None if text is None else pack_id(text)


def unpack_optional(packed: bytes | None) -> str | None:
    """``unpack_id``; None stays None."""
    return None if packed is None else unpack_id(packed)
