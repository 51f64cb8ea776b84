"""Reports as files. A file is put in the place of the one before in one step, so that who reads it sees either of them whole."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from migrator.config import BadInput
from migrator.reporting.facts import Facts
from migrator.reporting.pages import last_report, report_page
from migrator.reporting.told import told
from migrator.reporting.words import Language


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
