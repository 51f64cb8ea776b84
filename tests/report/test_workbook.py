"""The workbook, the table for Excel, the protocol and the cards: what is in them, and what a spreadsheet can't be made to do."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from migrator.reporting.gathering import gather, gather_folders, gather_reasons
from migrator.reporting.names import veiled
from migrator.reporting.pages import protocol_page
from migrator.reporting.words import language
from migrator.reporting.workbook import workbook
from migrator.reporting.writing import file_name, write_cards, write_csv
from state.model import MailboxState
from state.store import Ledger

SHEETS = ["Today", "Waves", "Mailboxes", "Folders", "Refusals", "Degraded", "LeftBehind", "Probe", "LateMail", "Timeline"]


def read(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def table(sheet: Any) -> list[dict[str, Any]]:
    heading, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(heading, row, strict=True)) for row in rows]


def test_every_sheet_has_a_heading_that_stays_and_filters(forty: Ledger) -> None:
    facts = gather(forty)
    book = read(workbook(facts, gather_folders(forty, facts), language("en")))
    assert book.sheetnames == SHEETS
    for sheet in book:
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, sheet.max_column).column_letter}{sheet.max_row}"


def test_numbers_are_numbers_and_days_are_days(forty: Ledger) -> None:
    facts = gather(forty)
    book = read(workbook(facts, gather_folders(forty, facts), language("en")))
    mailboxes = table(book["Mailboxes"])
    assert len(mailboxes) == 40
    assert sum(row["Arrived"] for row in mailboxes) == facts.total("done")
    assert isinstance(mailboxes[0]["Last pass"], datetime)
    assert isinstance(table(book["Waves"])[0]["Promised"], datetime)
    assert book["Mailboxes"]["T2"].is_date
    folders = table(book["Folders"])
    for row in folders:
        parts = ("Arrived", "Refused", "Withheld", "Kept back by rule", "Open", "Follows later", "Not accounted for")
        assert row["Counted by the source"] == sum(row[part] for part in parts), row
    assert sum(row["Arrived"] for row in folders) == facts.total("done")
    assert len(table(book["Refusals"])) == facts.total("refused") + facts.total("withheld")
    assert sum(row["Items"] for row in table(book["Degraded"])) == sum(facts.degraded.values()) > 0
    assert {row["Host"] for row in table(book["LateMail"])} == {one.host for one in facts.late}


def test_what_others_wrote_is_never_a_formula(forty: Ledger, tmp_path: Path) -> None:
    facts = gather(forty)
    evil = '=HYPERLINK("https://evil.test","look")'
    facts = replace(
        facts, mailboxes=[replace(facts.mailboxes[0], cause=evil, owner="+1+1", ticket="@x\x07", source="-2@old.test")]
    )
    book = read(workbook(facts, [], language("en")))
    row = table(book["Mailboxes"])[0]
    assert (row["Cause"], row["Owner"], row["Mailbox"], row["Ticket"]) == (evil, "+1+1", "-2@old.test", "@x\ufffd")
    assert all(cell.data_type != "f" for sheet in book for cells in sheet.iter_rows() for cell in cells)
    assert book["Mailboxes"]["E2"].quotePrefix
    text = write_csv(facts, tmp_path / "mailboxes.csv", language("en")).read_bytes().decode("utf-16")
    [told] = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t")
    assert (told["Cause"], told["Owner"], told["Mailbox"]) == (f"'{evil}", "'+1+1", "'-2@old.test")


def test_an_anonymous_workbook_names_nobody(forty: Ledger) -> None:
    facts = gather(forty)
    hidden = veiled(facts, anonymous=True)
    book = read(workbook(hidden, gather_folders(forty, facts, anonymous=True), language("en")))
    cells = " ".join(str(value) for sheet in book for row in sheet.iter_rows(values_only=True) for value in row).casefold()
    for line in facts.mailboxes:
        assert line.source.partition("@")[0] not in cells
    assert not any(word in cells for word in ("weber", "rossi", "krueger", "contoso", "projects"))
    assert {row["Mailbox"] for row in table(book["Folders"])} <= {line.source for line in hidden.mailboxes}


def test_the_protocol_adds_up_and_names_who_approved_what(forty: Ledger) -> None:
    facts = gather(forty)
    page = protocol_page(facts, language("en"))
    assert "2 items approved by j.krueger on" in page
    assert "Its owner has a copy." in page
    assert "what is signed here is accepted except for them" in page
    parts = ("done", "refused", "withheld", "filtered", "pending", "backfill", "unaccounted")
    assert facts.total("counted") == sum(facts.total(part) for part in parts)
    clean = replace(facts, wanted=[])
    assert "Mit ihren Unterschriften" in protocol_page(clean, language("de"))


def test_each_owner_gets_a_card_about_that_mailbox_alone(forty: Ledger, tmp_path: Path) -> None:
    facts = gather(forty)
    reasons, rules = gather_reasons(forty)
    written = write_cards(facts, reasons, rules, tmp_path / "cards", language("en"))
    assert len({file.name for file in written}) == 40
    for line, file in zip(facts.mailboxes, written, strict=True):
        card = file.read_text("utf-8")
        assert line.source in card
        assert not any(other.source in card for other in facts.mailboxes if other is not line)
        assert ("be carried:" in card) == bool(line.refused + line.withheld)
        assert ("Your mailbox has moved" in card) == line.moved
        assert ("Planned for" in card) == (not line.moved)
    assert facts.mailboxes[-1].state is MailboxState.PLANNED


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("Anna@Old.test", "anna@old.test"),
        ("../../etc/passwd", "%2f..%2fetc%2fpasswd"),
        ("o'hara@x.test", "o%27hara@x.test"),
        ("con.fusion@x.test", "_con.fusion@x.test"),
        ("é@x.test", "%e9@x.test"),
    ],
)
def test_a_card_is_named_by_its_address_on_every_system(address: str, name: str) -> None:
    assert file_name(address) == name


def test_days_of_the_timeline_are_in_order(forty: Ledger) -> None:
    forty.plans.act("j.doe", "wave paused", wave="wave 5", why="licences")
    book = read(workbook(gather(forty), [], language("en")))
    times = [row["When, UTC"] for row in table(book["Timeline"])]
    assert all(isinstance(one, date) for one in times)
    assert times == sorted(times)
    assert any(row["Who"] == "j.doe" and row["Why"] == "licences" for row in table(book["Timeline"]))
