"""Ids as few bytes as possible: text that is base64 is kept as what it stands for, all other text as it is.

The first byte says which it was. Unpacking gives exactly the text back, whatever it was.
"""

from __future__ import annotations

from typing import Final

import pybase64

_TEXT: Final = 0
_URL_SAFE: Final = 1
_URL_SAFE_BARE: Final = 2  # without its padding
_STANDARD: Final = 3
_STANDARD_BARE: Final = 4

_TAGS: Final = tuple(bytes((tag,)) for tag in range(5))
_BARE_TAGS: Final = (b"", *_TAGS[2:])

_URL_ALTERNATIVES: Final = b"-_"
_PADDING: Final = ("", "", "==", "=")
# What may stand last, by the length without padding modulo 4: the last character's unused bits are nought in what an encoder
# writes, and only that comes back as it was.
_LAST: Final = ("", "", "AQgw", "AEIMQUYcgkosw048")


def pack_id(text: str) -> bytes:
    """The bytes that stand for ``text``; at most one more than its UTF-8. Lone surrogates survive."""
    standard = "+" in text or "/" in text
    bare = text.rstrip("=") if text[-1:] == "=" else text
    over = len(bare) & 3
    padding = _PADDING[over]
    # Padding is all there, or not at all.
    if (over and bare[-1] not in _LAST[over]) or (bare is not text and len(bare) + len(padding) != len(text)):
        return _as_text(text)
    try:
        raw = pybase64.b64decode(bare + padding, None if standard else _URL_ALTERNATIVES, validate=True)
    except ValueError:
        return _as_text(text)
    tag = _STANDARD if standard else _URL_SAFE
    return (_BARE_TAGS if padding and bare is text else _TAGS)[tag] + raw


def _as_text(text: str) -> bytes:
    return b"\0" + text.encode("utf-8", "surrogatepass")


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
