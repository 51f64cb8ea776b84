"""Reads the waves file: which mailbox goes where, and with which wave.

A table with the columns wave, source and target, as spreadsheets save it: commas, semicolons or tabs, with or without a byte
order mark, UTF-8 or UTF-16. Further columns are kept. Empty lines and lines that begin with ``#`` are skipped.
A mistake is one sentence that names file and line.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from migrator.config import BadInput

COLUMNS = ("wave", "source", "target")


@dataclass(frozen=True, slots=True)
class WaveLine:
    """One mailbox of a wave. ``line`` is its number in the file, from 1; ``extra`` holds the further columns."""

    wave: str
    source: str
    target: str
    line: int
    extra: dict[str, str] = field(default_factory=dict)


def read_waves(file: Path) -> list[WaveLine]:
    """All lines, in the order of the file. Raises BadInput."""
    lines = list(_lines(file, _text(file)))
    if not lines:
        raise BadInput(f"{file} names no mailbox; add a line such as `wave1,anna@example.com,anna@example.com`.")
    for what in ("source", "target"):
        met: dict[str, int] = {}
        for one in lines:
            address: str = getattr(one, what)
            before = met.setdefault(address.casefold(), one.line)
            if before != one.line:
                raise BadInput(f"{file} line {one.line}: the {what} {address} is on line {before} already; take one of them out.")
    return lines


class Planned(Protocol):
    """Anything that stands for a mailbox of a wave: a line of the file, or a row of the ledger."""

    @property
    def wave(self) -> str: ...

    @property
    def source(self) -> str: ...


P = TypeVar("P", bound=Planned)


def select(lines: Sequence[P], names: Sequence[str], place: object) -> list[P]:
    """Those of the named waves and source mailboxes, in their order; all if none is named. Raises BadInput.

    ``place`` says in the message where a name was looked for.
    """
    if not names:
        return list(lines)
    wanted = {name.casefold() for name in names}
    known = {one.wave.casefold() for one in lines} | {one.source.casefold() for one in lines}
    for name in names:
        if name.casefold() not in known:
            near = difflib.get_close_matches(name.casefold(), sorted(known), n=1)
            mend = f"did you mean {near[0]}?" if near else "name a wave or a source address that is in it."
            raise BadInput(f"{place} has no wave and no mailbox called {name}; {mend}")
    return [one for one in lines if one.wave.casefold() in wanted or one.source.casefold() in wanted]


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{file} is not there; write it, or name yours as waves.file in the config.") from None
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); check the path and its permissions.") from None
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{file} line {line}: this is not UTF-8; save the file as CSV UTF-8.") from None


def _lines(file: Path, text: str) -> Iterator[WaveLine]:
    heading = next((line for line in text.splitlines() if not _skipped([line])), "")
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if _skipped(cells):
                continue
            if header is None:
                header = _header(file, reader.line_num, cells)
            else:
                yield _line(file, reader.line_num, header, [cell.strip() for cell in cells])
    except csv.Error as error:
        raise BadInput(f"{file} line {reader.line_num}: {error}; check the quotes on that line.") from None


def _skipped(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#")


def _header(file: Path, number: int, cells: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    names = [cell.casefold() for cell in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise BadInput(
            f"{file} line {number}: the heading has no column {' and no column '.join(missing)};"
            " the first line has to name wave, source and target."
        )
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise BadInput(f"{file} line {number}: the column {twice} is there twice; rename one of them.")
    return [name if name in COLUMNS else original for name, original in zip(names, header, strict=True)]


def _line(file: Path, number: int, header: list[str], cells: list[str]) -> WaveLine:
    if len(cells) > len(header) and any(cells[len(header) :]):
        raise BadInput(
            f"{file} line {number}: {len(cells)} fields, but the heading names {len(header)};"
            " put quotes around a field that holds the separator."
        )
    values = dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=False))
    for name in COLUMNS:
        if not values[name]:
            raise BadInput(f"{file} line {number}: {name} is empty; fill it in or take the line out.")
    for name in ("source", "target"):
        local, at, domain = values[name].rpartition("@")
        if not at or not local or not domain or any(mark.isspace() for mark in values[name]):
            raise BadInput(f"{file} line {number}: the {name} is no mail address; write it as name@example.com.")
    if "@" in values["wave"]:
        raise BadInput(f"{file} line {number}: the wave looks like a mail address; give the wave a name without @.")
    wave, source, target = (values.pop(name) for name in COLUMNS)
    return WaveLine(wave, source, target, number, {name: value for name, value in values.items() if name})
