"""Online archives that go into mailboxes of their own: the config and the waves file of the project that carries them.

A target has one ledger and one mailbox that goes into it, so an archive that goes elsewhere than its mailbox is a project beside
this one: the same servers, a ledger of its own, ``run.only_trees``, and a line for each archive.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from migrator.config import BadInput, Config, load
from migrator.kinds import ARCHIVE_FOLDER, archive_address
from state.model import MailboxRow

LEDGER: Final = "sqlite:///archives.db"
WAVES: Final = "archives.csv"

_SECTION = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_BY_HAND = "make that project by hand, as docs/kinds.md says under Online archives"


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive: its mailbox's wave and source address, and the target that it goes into."""

    wave: str
    source: str
    target: str


def archives_of(rows: Iterable[MailboxRow], details: Mapping[int, Mapping[str, Any]]) -> list[Archive]:
    """The archives that go into mailboxes of their own, in the order of the ledger. Raises BadInput if one of these is taken."""
    rows = list(rows)
    found = [Archive(row.wave, row.source, address) for row in rows if (address := archive_address(details.get(row.id, {})))]
    taken = {row.target.casefold(): f"that of the mailbox {row.source}" for row in rows}
    for one in found:
        folded = one.target.casefold()
        if folded in taken:
            raise BadInput(
                f"The archive of {one.source} is to go into {one.target}, which is {taken[folded]}; name a mailbox that nothing"
                " else goes into, or a folder's name to put it into its own mailbox's target."
            )
        taken[folded] = f"that of the archive of {one.source}"
    return found


def file_beside(config: Config) -> Path:
    """Where the config of the archives' project lies: beside this one, so that relative paths mean the same."""
    return config.file.with_name(f"{config.file.stem}.archives.toml")


def waves_text(archives: Iterable[Archive]) -> str:
    """The waves file of that project."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("wave", "source", "target", "archive"))
    writer.writerows((one.wave, one.source, one.target, "yes") for one in archives)
    return out.getvalue()


def config_text(config: Config, ledger: str) -> str:
    """The text of that project's config: this one's, with its own ledger and waves file, and archives alone to carry.

    Raises BadInput if the text is written in a way that can't be followed.
    """
    wanted: dict[tuple[str, str], str | bool] = {
        ("ledger", "url"): ledger,
        ("waves", "file"): WAVES,
        ("run", "archive"): config.run.archive or ARCHIVE_FOLDER,
        ("run", "recoverable"): "",
        ("run", "only_trees"): True,
    }
    if config.errors.keep:
        wanted["errors", "keep"] = f"{Path(config.errors.keep).name}-archives"
    return edited(config.file.read_text("utf-8"), wanted)


def edited(text: str, wanted: Mapping[tuple[str, str], str | bool]) -> str:
    """A config's text with other values for these keys, by section and name; everything else stays as it stands."""
    left = dict(wanted)
    out: list[str] = []
    section = ""
    for line in text.splitlines():
        found = _SECTION.fullmatch(line)
        if found is not None:
            out += _missing(section, left)
            section = found[1].strip()
        key = (section, line.partition("=")[0].strip())
        out.append(f"{key[1]} = {_shown(left.pop(key))}" if "=" in line and key in left else line)
    out += _missing(section, left)
    for name in dict.fromkeys(section for section, _ in left):
        out += ["", f"[{name}]", *_missing(name, left)]
    return "\n".join(out) + "\n"


def _missing(section: str, left: dict[tuple[str, str], str | bool]) -> list[str]:
    mine = [key for key in left if key[0] == section]
    return [f"{key[1]} = {_shown(left.pop(key))}" for key in mine]


def _shown(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def write(config: Config, archives: Iterable[Archive], ledger: str) -> tuple[Path, bool]:
    """Write both files; the config's path, and whether it is new: one that is there is kept as it is. Raises BadInput."""
    file = file_beside(config)
    made = not file.exists()
    try:
        (config.folder / WAVES).write_text(waves_text(archives), "utf-8")
        if made:
            file.write_text(config_text(config, ledger), "utf-8")
    except OSError as error:
        raise BadInput(f"{file} can't be written ({error.strerror}); make its folder writable.") from None
    if not made:
        return file, False
    try:
        theirs = load(file)
    except BadInput as error:
        file.unlink()
        raise BadInput(f"{config.file} is written in a way that can't be followed ({error}); {_BY_HAND}.") from None
    if not theirs.run.only_trees or theirs.ledger.url == config.ledger.url or Path(theirs.waves.file).name != WAVES:
        file.unlink()
        raise BadInput(f"{config.file} is written in a way that can't be followed; {_BY_HAND}.")
    return file, True
