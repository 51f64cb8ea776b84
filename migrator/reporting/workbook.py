"""The report as a workbook: a sheet for each thing that somebody filters or sorts, with real numbers and dates.

What people or servers wrote is text: nothing in a cell is taken for a formula. Moments are in UTC, sizes in MB (10^6).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter

from migrator.reporting.facts import Facts, FolderLine
from migrator.reporting.words import Language

Value: TypeAlias = "str | int | float | bool | datetime | date | None"

FOLDERS: Final = 100_000
"""Folders above which only those that need a look are in the workbook."""

_ROWS: Final = 1_000_000
_SIGNS: Final = 32_000
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FORMULA: Final = tuple("=+-@\t\r\n")
_GUARDED: Final = (*_FORMULA, "#")
"""Beginnings that a spreadsheet, or the library, takes for something else than text: a formula, or the name of an error."""
_WIDE: Final = 60


def workbook(facts: Facts, folders: Sequence[FolderLine], language: Language) -> bytes:
    """The whole workbook as a file's content."""
    book = Workbook(write_only=True)
    for title, heading, rows in _sheets(facts, folders, language):
        _fill(book.create_sheet(title), [language(f"column.{word}") for word in heading], rows)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _fill(sheet: Any, heading: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    kept = [row for row, _ in zip(rows, range(_ROWS), strict=False)]
    for at, name in enumerate(heading):
        # Wide enough for what the first rows hold: the rest is much the same.
        longest = max([len(name) + 3, *(len(str(row[at])) for row in kept[:200] if row[at] is not None)])
        width = 17 if any(isinstance(row[at], datetime) for row in kept[:200]) else min(_WIDE, longest + 1)
        sheet.column_dimensions[get_column_letter(at + 1)].width = width
    sheet.freeze_panes = "A2"
    sheet.append([_head(sheet, name) for name in heading])
    for row in kept:
        sheet.append([_cell(sheet, value) for value in row])
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(heading))}{len(kept) + 1}"


def _head(sheet: Any, name: str) -> Any:
    cell = _text(sheet, name)
    cell.font = Font(bold=True)
    cell.fill = PatternFill("solid", fgColor="E8EEF5")
    return cell


def _cell(sheet: Any, value: Value) -> Any:
    # A cell of its own costs ten times a bare value, so only what needs a form or a guard gets one.
    if isinstance(value, str):
        return _text(sheet, value) if value.startswith(_GUARDED) or _CONTROL.search(value) or len(value) > _SIGNS else value
    if isinstance(value, date):
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = "yyyy-mm-dd hh:mm" if isinstance(value, datetime) else "yyyy-mm-dd"
        return cell
    return value


def _text(sheet: Any, text: str) -> Any:
    text = _CONTROL.sub("\ufffd", text[:_SIGNS])
    cell = WriteOnlyCell(sheet, text)
    # The library takes "=…" for a formula, and a spreadsheet does so once the cell is edited.
    cell.data_type = "s"
    if text.startswith(_FORMULA):
        cell.quotePrefix = True
    return cell


def when(seconds: float | None) -> datetime | None:
    """A moment as a workbook holds it: in UTC, without saying so."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None, microsecond=0)


def _mega(size: float) -> float:
    return round(size / 1e6, 3)


_Sheet: TypeAlias = tuple[str, Sequence[str], Iterable[Sequence[Value]]]


def _sheets(facts: Facts, folders: Sequence[FolderLine], t: Language) -> Iterator[_Sheet]:
    yield "Today", ("what", "figure"), _today(facts, t)
    yield (
        "Waves",
        (
            "wave", "state", "mailboxes", "moved", "ready", "aside", "done", "open", "cannot", "size-mb", "left-mb", "due",
            "forecast", "forecast-late",
        ),
        (
            (
                wave.name, t(f"state.{wave.state}"), wave.mailboxes, wave.moved, wave.ready, wave.aside, wave.done, wave.pending,
                wave.stayed, _mega(wave.bytes), _mega(wave.forecast.left), when(wave.forecast.due), when(wave.forecast.early),
                when(wave.forecast.late),
            )
            for wave in facts.waves
        ),
    )  # fmt: skip
    yield "Mailboxes", MAILBOX_COLUMNS, mailbox_rows(facts, t)
    shown = folders if len(folders) <= FOLDERS else [one for one in folders if not one.whole]
    yield (
        "Folders",
        ("mailbox", "folder", "counted", "done", "refused", "withheld", "filtered", "open", "backfill", "gone", "off"),
        (
            (
                one.mailbox,
                one.folder,
                one.counted,
                one.done,
                one.refused,
                one.withheld,
                one.filtered,
                one.pending,
                one.backfill,
                one.left,
                one.off,
            )
            for one in shown
        ),
    )
    yield (
        "Refusals",
        ("mailbox", "folder", "state", "reason", "what", "cause", "code", "size-mb", "approved", "item"),
        (
            (
                one.mailbox, one.folder, t(f"state.{one.state}"), one.reason, t.reason(one.reason), t.told(one.detail), one.code,
                _mega(one.size), one.approved, one.key,
            )
            for one in facts.stayed
        ),
    )  # fmt: skip
    yield (
        "Degraded",
        ("mailbox", "wave", "what", "items"),
        ((line.source, line.wave, t.degraded(what), items) for line in facts.mailboxes for what, items in line.degraded.items()),
    )
    yield (
        "LeftBehind",
        ("mailbox", "wave", "what", "items"),
        (
            (line.source, line.wave, t(f"left.{what}"), number)
            for line in facts.mailboxes
            for what, number in line.left_behind.items()
        ),
    )
    yield "Probe", ("what",), ((t.say(one),) for one in facts.probed)
    yield "LateMail", ("host", "mails", "mailboxes"), ((one.host, one.items, one.mailboxes) for one in facts.late)
    yield "Timeline", ("at", "who", "what", "wave", "mailbox", "why", "items", "size-mb"), _timeline(facts, t)


def _today(facts: Facts, t: Language) -> Iterator[Sequence[Value]]:
    yield t("head.title"), facts.wave or t("head.scope-all")
    yield t("column.at"), when(facts.made)
    yield t("light.name"), t(f"light.{facts.light.value}")
    yield "", t.say(facts.sentence)
    yield t("head.date"), t.say(facts.why_date)
    yield t("column.mailboxes"), len(facts.mailboxes)
    yield t("head.moved"), facts.total("moved")
    for key, word in (
        ("protocol.counted", "counted"), ("head.arrived", "done"), ("head.open", "pending"),
        ("protocol.backfill", "backfill"), ("protocol.filtered", "filtered"), ("protocol.off", "unaccounted"),
    ):  # fmt: skip
        yield t(key), facts.total(word)
    yield t("head.cannot"), facts.total("refused") + facts.total("withheld")
    yield t("column.approved"), facts.total("approved")
    yield t("column.size-mb"), _mega(facts.total("bytes"))
    yield t("column.left-mb"), _mega(facts.forecast.left)
    yield t("head.forecast"), when(facts.forecast.early)
    yield "", when(facts.forecast.late)
    for one in facts.wanted:
        day = f"{t('head.until')} {t.day(one.until)}" if one.until else t("wanted.now") if one.urgent else ""
        yield t("head.decision"), " · ".join(part for part in (t.say(one.saying), one.who or t("wanted.nobody"), day) if part)


MAILBOX_COLUMNS: Final = (
    "wave", "mailbox", "target", "state", "cause", "owner", "ticket", "moved", "done", "open", "refused", "withheld", "approved",
    "filtered", "backfill", "gone", "off", "size-mb", "left-mb", "last-pass", "due", "late", "last-in-source", "last-in-target",
)  # fmt: skip


def mailbox_rows(facts: Facts, t: Language) -> Iterator[Sequence[Value]]:
    """A row a mailbox, for the workbook and for CSV."""
    for line in facts.mailboxes:
        yield (
            line.wave, line.source, line.target, t(f"state.{line.state.value}"), t.told(line.cause), line.owner, line.ticket,
            line.moved, line.done, line.pending, line.refused, line.withheld, line.approved, line.filtered, line.backfill,
            line.left, line.unaccounted, _mega(line.bytes), _mega(line.bytes_pending), when(line.last_pass_at),
            when(line.complete_after), line.late, _seen(line.last_in_source), _seen(line.last_in_target),
        )  # fmt: skip


def _seen(text: str) -> Value:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text or None
    return (read.astimezone(UTC) if read.tzinfo else read).replace(tzinfo=None, microsecond=0)


def _timeline(facts: Facts, t: Language) -> Iterator[Sequence[Value]]:
    rows: list[Sequence[Value]] = [
        (when(one.at), one.who, t.act(one.what), one.wave, one.mailbox, one.why, None, None) for one in facts.events
    ]  # fmt: skip
    for day in facts.days:
        moment = datetime.combine(day.day, datetime.min.time())
        rows.append((moment, "", t("text.passes"), "", "", "", day.items, _mega(day.bytes)))
    yield from sorted(rows, key=lambda row: str(row[0]))
