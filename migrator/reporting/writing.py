"""Reports as files. A file is put in the place of the one before in one step, so that who reads it sees either of them whole."""

from __future__ import annotations

import codecs
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from migrator.config import BadInput
from migrator.reporting.facts import Facts, FolderLine
from migrator.reporting.pages import card_page, last_report, protocol_page, report_page
from migrator.reporting.told import told
from migrator.reporting.words import Language
from migrator.sheets import csv_text

_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))})


def put(file: Path, content: str | bytes) -> Path:
    """Write a file, or put it in the place of the one before. Raises BadInput if it can't be written there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".new")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content.encode("utf-8") if isinstance(content, str) else content)
            Path(name).chmod(0o644)  # a temporary file is private, a report is there to be read
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadInput(f"{file} can't be written ({error.strerror or error}); name another place.") from None
    return file


def write_html(facts: Facts, file: Path, language: Language, *, anonymous: bool = False) -> Path:
    """The report as a page. What changed is told since the report that lies in that place."""
    try:
        old = file.read_text("utf-8", "replace")
    except OSError:
        old = ""
    return put(file, report_page(facts, language, last_report(old, facts.made), anonymous=anonymous))


def write_json(facts: Facts, file: Path) -> Path:
    """The report as plain values."""
    return put(file, json.dumps(told(facts), indent=2, ensure_ascii=False) + "\n")


def write_xlsx(facts: Facts, folders: Sequence[FolderLine], file: Path, language: Language) -> Path:
    """The report as a workbook."""
    from migrator.reporting.workbook import workbook

    return put(file, workbook(facts, folders, language))


def write_csv(facts: Facts, file: Path, language: Language) -> Path:
    """A line a mailbox, as a file that Excel opens right."""
    from migrator.reporting.workbook import MAILBOX_COLUMNS, mailbox_rows

    heading = [language(f"column.{word}") for word in MAILBOX_COLUMNS]
    text = csv_text(heading, mailbox_rows(facts, language), separator="\t", ending="\r\n")
    return put(file, codecs.BOM_UTF16_LE + text.encode("utf-16-le"))


def write_protocol(facts: Facts, file: Path, language: Language, *, anonymous: bool = False) -> Path:
    """The acceptance protocol as a page to sign."""
    return put(file, protocol_page(facts, language, anonymous=anonymous))


Reasons: TypeAlias = Mapping[int, Mapping[str, int]]


def write_cards(facts: Facts, reasons: Reasons, rules: Reasons, folder: Path, language: Language) -> list[Path]:
    """A card for the owner of each mailbox, in a file named by its address. Nothing is sent to anybody."""
    written = []
    for line in facts.mailboxes:
        page = card_page(line, facts, reasons.get(line.id, {}), rules.get(line.id, {}), language)
        written.append(put(folder / f"{file_name(line.source)}.html", page))
    return written


def file_name(address: str) -> str:
    """An address as the name of a file on every system; two addresses never share one."""
    name = re.sub(r"[^a-z0-9@._+-]", lambda found: f"%{ord(found[0]):x}", address.casefold()).strip(".")
    # A device of Windows is one whatever comes behind the first dot.
    return f"_{name}" if name.partition(".")[0] in _DEVICES else name
