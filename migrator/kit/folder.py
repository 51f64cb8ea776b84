"""The kit of a wave: a folder of numbered scripts and a checklist, and what people did with them, read back.

00-collect-source.ps1 … 09-revoke.ps1    for PowerShell; each adds to a result file of its own beside it
CHECKLIST.md                             the same and the rest in the order of a weekend, to print and tick off
*.result.csv                             what `migrator kit import` reads into the ledger, step by step and mailbox by mailbox
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.config import BadInput
from migrator.cutover import table as cutover
from migrator.cutover.table import DONE, FAILED, UNDONE, route_of
from migrator.kit.scripts import RESULTS, SCRIPTS, Moved, script_text
from migrator.settings.scripts import file_name, put_files
from state.model import MailboxRow
from state.store import Ledger

COUNTED = (DONE, FAILED, UNDONE)
"""Results that say something about a step; ``left`` and ``would`` say that nothing was done."""


def moved_of(row: MailboxRow, details: Mapping[str, Any], access: str) -> Moved:
    """A mailbox as the scripts need it; ``access`` is the config's, where the spreadsheet says nothing."""
    return Moved(source=row.source, target=row.target, route=route_of(details), access=str(details.get("access") or access))


def write_kit(
    folder: Path, wave: str, mailboxes: Sequence[Moved], people: Sequence[tuple[str, str]], account: str, app: str
) -> list[Path]:
    """Write a wave's kit and return its files. ``account`` reads the source, ``app`` is the tenant's. Raises BadInput."""
    files = {f"{script.file}.ps1": script_text(script, wave, mailboxes, people, account) for script in SCRIPTS}
    files["CHECKLIST.md"] = checklist(wave, mailboxes, app)
    return put_files(folder, files, "--to")


def folder_for(base: Path, wave: str) -> Path:
    """Where the kit of a wave lies if nobody says otherwise."""
    return base / f"kit-{file_name(wave)}"


# -- the checklist

_ONCE = (
    ("Before the weekend", (
        "Lower the TTL of each MX record that will change to 5 minutes, one old TTL before the cutover at the latest.",
        "Run `00-collect-source.ps1` at the source and put `00-collect-source.csv` beside the other scripts.",
        "Run every script once with `-WhatIf` and read what it would do.",
        "Run `migrator cutover rehearse {wave}` and `migrator cutover ready {wave}`; agree on go, or on go without whom.",
    )),
    ("Lock", (
        "Tell the owners of the mailboxes to close Outlook and to leave their phones alone.",
        "Run `01-lock-source.ps1`, then `migrator kit import 01-lock-source.result.csv`.",
        "Run `migrator cutover start {wave}` and wait for the final passes.",
    )),
    ("Route", (
        "{domains}",
        "{forwards}",
        "Run `migrator cutover confirm {wave} route`, or `migrator kit import 02-route.result.csv`.",
        "Send a message from outside to one of the mailboxes and see it arrive in the target.",
    )),
    ("Hand over", (
        "Run `03-permissions.ps1`, `04-rules.ps1` and `05-addresses.ps1` in Exchange Online; import their results.",
        "Run the script of `migrator settings --apply` for folder permissions and delegates.",
        "Tell the owners how to sign in on Monday.",
    )),
    ("Until late mail is over", (
        "Look at `migrator cutover status {wave}` each day: which hosts still deliver to the old side, who still writes there.",
        "Ask those who run these hosts to change them.",
    )),
    ("Close", (
        "Run `07-forwards.ps1`, `08-holds.ps1` and `09-revoke.ps1`; import their results.",
        "After the last wave: `09-revoke.ps1 -LastWave`, and revoke the app {app} in the tenant.",
        "Run `migrator cutover close {wave}` and answer its questions.",
    )),
    ("If a mailbox has to go back", (
        "Before routing: `migrator cutover start {wave} --without ADDRESS`, then `06-unlock.ps1 -Only ADDRESS`.",
        "After it: `02-route.ps1 -Undo -Only ADDRESS` or the old MX record, `06-unlock.ps1 -Only ADDRESS`, then"
        " `migrator cutover rollback {wave} ADDRESS`.",
    )),
)  # fmt: skip


def checklist(wave: str, mailboxes: Sequence[Moved], app: str) -> str:
    """Everything in the order of a weekend, as Markdown with boxes to tick."""
    plain = " ".join(wave.split())
    routes = Counter(one.route for one in mailboxes)
    domains = sorted({one.source.rpartition("@")[2].casefold() for one in mailboxes if one.route == "domain"})
    words = {
        "wave": plain if plain and " " not in plain else f'"{plain}"',
        "app": app,
        "domains": f"Change the MX record of {', '.join(domains)} ({routes['domain']} mailboxes)." if domains else "",
        "forwards": f"Run `02-route.ps1` for {routes['forward']} mailboxes that are forwarded." if routes["forward"] else "",
    }
    lines = [f"# Wave {plain}", "", f"{len(mailboxes)} mailboxes. Sign each line with name and time.", ""]
    for heading, steps in _ONCE:
        lines += [f"## {heading}", ""]
        lines += [f"- [ ] {text} ____" for step in steps if (text := step.format(**words))]
        lines.append("")
    lines += ["## Mailboxes", "", "| source | target | route |", "|---|---|---|"]
    lines += [f"| {_cell(one.source)} | {_cell(one.target)} | {one.route} |" for one in mailboxes]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# -- results


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One row of a result file. ``line`` is its number, from 1; ``at`` is when the script wrote it (wall-clock seconds), 0 if it
    does not say."""

    line: int
    mailbox: str
    step: str
    result: str
    detail: str
    who: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Imported:
    """What reading results back did: how many mailboxes now stand so, by step and result, and which addresses nobody knows.

    ``stale`` counts what was known already, or is older than what somebody said of that mailbox and step since.
    """

    counts: Mapping[tuple[str, str], int]
    unknown: tuple[str, ...]
    rows: tuple[MailboxRow, ...]
    stale: int = 0


def read_results(file: Path) -> list[Told]:
    """The rows of a result file in their order. Raises BadInput with file and line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); name the result file of a script of the kit.") from None
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text; take the file as the script wrote it.") from None
    # A spreadsheet that saved it again may have put semicolons between the cells.
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        names = {name.strip().casefold(): name for name in reader.fieldnames or ()}
        missing = [name for name in RESULTS[1:4] if name.casefold() not in names]
        if missing:
            raise BadInput(f"{file} line 1: there is no column {missing[0]}; take the file as a script of the kit wrote it.")
        rows = []
        for found in reader:
            values = {name: str(found.get(heading) or "").strip() for name, heading in names.items()}
            rows.append(_told(file, reader.line_num, values))
    except csv.Error as error:
        raise BadInput(f"{file} line {reader.line_num}: {error}; take the file as the script wrote it.") from None
    return rows


def _told(file: Path, line: int, values: Mapping[str, str]) -> Told:
    step, result = values["step"].casefold(), values["result"].casefold()
    if step not in cutover.STEPS:
        raise BadInput(f"{file} line {line}: there is no step {values['step']!r}; steps are {', '.join(cutover.STEPS)}.")
    if result not in (*COUNTED, "left", "would"):
        raise BadInput(f"{file} line {line}: {values['result']!r} is no result; results are {', '.join(COUNTED)}, left, would.")
    return Told(
        line=line, mailbox=values["mailbox"], step=step, result=result, detail=values.get("detail", ""),
        who=values.get("who", ""), at=_moment(values.get("at", "")),
    )  # fmt: skip


def take_in(ledger: Ledger, rows: Iterable[Told], who: str, *, dry_run: bool = False) -> Imported:
    """Write down what the rows say, the last word of each mailbox and step; rows that say nothing was done are left out."""
    known = {row.source.casefold(): row for row in ledger.mailboxes()}
    last: dict[tuple[str, str], Told] = {}
    unknown: dict[str, None] = {}
    for one in rows:
        if one.mailbox.casefold() not in known:
            unknown[one.mailbox] = None
        elif one.result in COUNTED:
            last[one.mailbox.casefold(), one.step] = one
    before = {(one.mailbox_id, one.step): one for one in ledger.plans.confirmations()}
    counts: Counter[tuple[str, str]] = Counter()
    stale = 0
    met: dict[int, MailboxRow] = {}
    for (address, step), one in last.items():
        row = known[address]
        said = before.get((row.id, step))
        if said is not None and (one.at or said.at) < said.at:
            # A file read a second time must not make a lock look younger than the final pass behind it, or undo an undo.
            stale += 1
            continue
        met[row.id] = row
        counts[step, one.result] += 1
        if not dry_run:
            ledger.plans.confirm(row.id, step, one.who or who, one.result, one.detail)
    return Imported(counts, tuple(unknown), tuple(met.values()), stale)


def _moment(told: str) -> float:
    try:
        when = datetime.fromisoformat(told)
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
