"""Looks for known secrets in bytes, in every dress in which software writes them down."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters that a secret must have, or chance would find it."""


def dresses(secret: str) -> dict[str, bytes]:
    """A secret as it is, as UTF-16, as hex, as base64 (wherever it begins in what was encoded), escaped and quoted."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "upper": secret.upper().encode(),
        "lower": secret.lower().encode(),
        "utf-16": secret.encode("utf-16-le"),
        "hex": raw.hex().encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "quoted": quote(secret, safe="").encode(),
        "form": quote_plus(secret).encode(),
    }
    for shift in range(3):
        # What stands before it moves it by a byte or two; the characters at both ends are shared with the neighbours.
        inside = base64.b64encode(b"\0" * shift + raw)[(4 if shift else 0) : -4]
        found[f"base64 at {shift}"] = inside
        found[f"base64 for addresses at {shift}"] = inside.translate(bytes.maketrans(b"+/", b"-_"))
        wide = base64.b64encode(b"\0" * shift + secret.encode("utf-16-le"))[(4 if shift else 0) : -4]
        found[f"base64 of utf-16 at {shift}"] = wide
    return {dress: shown for dress, shown in found.items() if len(shown) >= SHORTEST}


def leaks(secrets: Mapping[str, str], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Which secret (by its name, never itself) is found where and how; what a place holds packed by zlib is looked into."""
    wanted: dict[bytes, str] = {}
    for name, secret in secrets.items():
        assert len(secret) >= SHORTEST, name
        for dress, shown in dresses(secret).items():
            wanted.setdefault(shown, f"{name}, {dress}")
    found = []
    for place, content in places:
        for shown in (content, *_unpacked(content)):
            found += [f"{what}, in {place}" for dressed, what in wanted.items() if dressed in shown]
    return sorted(set(found))


def _unpacked(content: bytes) -> Iterator[bytes]:
    for begin in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"):
        at = content.find(begin)
        while at >= 0:
            try:
                yield zlib.decompressobj().decompress(content[at:], 10_000_000)
            except zlib.error:
                pass
            at = content.find(begin, at + 1)
