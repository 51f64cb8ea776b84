"""Many rows in one statement on Postgres: each column travels as one array, written out as Postgres writes arrays.

Row by row, every value is a parameter with a price of its own, on the client as on the server [postgresql.org/docs/current/
arrays.html#ARRAYS-IO: how an array is written].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

_HEX: Final = "\\\\x"


def numbers(values: Iterable[Any]) -> str:
    """An array of integers or floats, none of them missing."""
    return "{" + ",".join(map(str, values)) + "}"


def raw(values: Iterable[bytes | None]) -> str:
    """An array of byte strings, some of which may be missing."""
    return "{" + ",".join(["NULL" if value is None else _HEX + value.hex() for value in values]) + "}"


def words(values: Sequence[str]) -> str:
    """An array of texts, none of them missing."""
    return "{" + ",".join(['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]) + "}"


WRITTEN: Final[dict[str, Callable[[Any], str]]] = {
    "bigint": numbers,
    "int": numbers,
    "smallint": numbers,
    "double precision": numbers,
    "bytea": raw,
    "text": words,
}
"""How the values of a column of each type are written."""


class Columns:
    """One statement over rows of these types. ``{rows}`` in its text stands for them: a table ``v`` with columns c0, c1, …"""

    __slots__ = ("_writers", "text")

    def __init__(self, text: str, types: Sequence[str]) -> None:
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        names = ", ".join(f"c{number}" for number in range(len(types)))
        self.text = text.replace("{rows}", f"unnest({arrays}) AS v ({names})")
        self._writers = tuple(WRITTEN[kind] for kind in types)

    def values(self, rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
        """The statement's parameters for these rows."""
        return tuple([write(column) for write, column in zip(self._writers, zip(*rows, strict=True), strict=True)])
