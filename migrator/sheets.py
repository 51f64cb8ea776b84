"""Tables as spreadsheets save them: read from .csv and .xlsx, written as .csv.

    read_table   commas, semicolons, tabs or a line ``sep=``; UTF-8, UTF-16 or cp1252, with a byte order mark or without
    write_csv    a file that Excel opens right by a double click, in every language of it
    csv_text     plain UTF-8 with commas, for a pipe

The only text that Excel opens right whatever its language is UTF-16 with a byte order mark and tabs: the separator of all other
forms hangs on the regional settings, and a line ``sep=`` makes it forget the mark. A text that Excel would take for a formula
(it begins with ``=``, ``+``, ``-`` or ``@``, or a tab or a return before that) gets an apostrophe in front when it is written,
and loses it again when it is read.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from migrator.config import BadInput

Cell: TypeAlias = "str | int | float | bool | datetime | date | None"

_FORMULA = tuple("=+-@\t\r\n")
_UNSEEN = "\ufeff\u200b\u200e\u200f\u2060"
_SEPARATORS = ",;\t"
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table. ``number`` is its line in the file, from 1; cells are stripped of blanks, no-break ones too."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: the first line that says anything is its heading. Empty lines and those that begin with ``#`` are left out."""

    heading: Line
    lines: tuple[Line, ...]


def read_table(file: Path) -> Sheet:
    """Read the table in a .csv or .xlsx file, whichever it is by its content. Raises BadInput."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{file} is not there; correct the path, or write that file.") from None
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); check the path and its permissions.") from None
    if data.startswith(_OLD_EXCEL):
        raise BadInput(f"{file} is of an old Excel, or has a password; save it as .xlsx or as CSV UTF-8 without one.")
    found = _workbook(file, data) if data.startswith(_ZIP) else _text_lines(file, _decoded(file, data))
    lines = [line for line in found if not _skipped(line.cells)]
    if not lines:
        return Sheet(Line(1, ()), ())
    return Sheet(lines[0], tuple(lines[1:]))


def _skipped(cells: Sequence[str]) -> bool:
    return not any(cells) or cells[0].startswith("#")


def tidy(text: str) -> str:
    """A cell without blanks around it, invisible ones too, and without the apostrophe that ``guarded`` puts there."""
    text = text.strip().strip(_UNSEEN).strip()
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text


def _decoded(file: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data[1:40:2].count(0) > len(data[1:40:2]) // 2:
        encoding = "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # What Windows programs write that know no Unicode.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            line = data.count(b"\n", 0, error.start) + 1
            raise BadInput(f"{file} line {line}: this is neither UTF-8 nor cp1252; save the file as CSV UTF-8.") from None


def _text_lines(file: Path, text: str) -> list[Line]:
    text = text.lstrip(_UNSEEN)
    skipped = 0
    if named := re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE):
        separator, skipped, text = named[1], 1, text[named.end() :]
    else:
        heading = next((line for line in text.splitlines() if line.strip(" \t,;") and not line.lstrip().startswith("#")), "")
        separator = max(_SEPARATORS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found, begins = [], 1
    try:
        for cells in reader:
            # A field may hold line breaks, and what is asked for is the line on which the row begins.
            found.append(Line(begins + skipped, tuple(tidy(cell) for cell in cells)))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"{file} line {reader.line_num + skipped}: {error}; check the quotes on that line.") from None
    return found


def _workbook(file: Path, data: bytes) -> list[Line]:
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it leaves out: colours, rules for cells
        try:
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        except Exception as error:  # whatever its parts are broken by
            raise BadInput(f"{file} is no workbook that can be read ({type(error).__name__}); save it anew as .xlsx.") from None
        try:
            sheet = book.worksheets[0]
            return [
                Line(number, tuple(tidy(_written(cell)) for cell in cells))
                for number, cells in enumerate(sheet.iter_rows(values_only=True), 1)
            ]
        finally:
            book.close()


def _written(cell: object) -> str:
    """A workbook's value as a person would type it."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == cell.time().min else cell.isoformat(sep=" ", timespec="minutes")
    return str(cell)


def guarded(value: Cell) -> str:
    """A value as the text of a cell that no spreadsheet takes for a formula. Numbers stay numbers; moments are ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return f"'{value}" if value.startswith(_FORMULA) else value


def csv_text(heading: Sequence[str], rows: Iterable[Sequence[Cell]], separator: str = ",", ending: str = "\n") -> str:
    """A table as text, each cell ``guarded``."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=ending)
    writer.writerow([guarded(name) for name in heading])
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue()


def write_csv(file: Path, heading: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table that Excel opens right; whole or not at all. Raises OSError."""
    text = csv_text(heading, rows, separator="\t", ending="\r\n")
    fresh = file.with_name(file.name + ".new")
    fresh.write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
    os.replace(fresh, file)
