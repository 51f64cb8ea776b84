"""Both wires of calendars compared by time, archives, recoverable items and public folders keep to the vendor's descriptions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from test_contracts import errors_in, needs_contracts

from connectors.lab.appointments import END, START, Change, Diary, keep
from connectors.lab.people import an_empty
from connectors.lab.recurring import Rule
from connectors.lab.server import Lab, LabPlan
from connectors.lab.trees import add_archive, add_public, add_recoverable
from connectors.lab.truth import Box, Estate, Item, Mailbox
from migrator import cli

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def put(mailbox: Mailbox, box: Box, name: str, item_class: str = "IPM.Note") -> Item:
    item = Item(
        id=name, folder_id=box.id, item_class=item_class, subject=name, body_text=name, search_key=name.encode(), created=NOW,
        modified=NOW, submitted=NOW, received=NOW, is_read=True, message_id=f"<{name}@contoso.test>",
    )  # fmt: skip
    return mailbox.add(item)


def an_estate() -> Estate:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    calendar = mailbox.by_role("calendar")
    assert calendar is not None
    series = put(mailbox, calendar, "series", "IPM.Appointment")
    series.extended |= {START: NOW, END: NOW + timedelta(hours=1)}
    change = Change(NOW + timedelta(days=2), {"start": (NOW + timedelta(days=2, hours=2)).isoformat()})
    keep(series, Diary(rule=Rule("daily", NOW.date(), count=9), changes=[change], deleted=[NOW + timedelta(days=3)]))
    archive = add_archive(mailbox, [("Inbox", "IPF.Note"), ("Inbox/Old", "IPF.Note")])
    put(mailbox, archive["Inbox/Old"], "archived")
    put(mailbox, add_recoverable(mailbox)["recoverableitemsdeletions"], "deleted")
    put(mailbox, add_public(mailbox, [("Sales", "IPF.Note"), ("Sales/Offers", "IPF.Note")])["Sales"], "offer")
    return estate


@needs_contracts
def test_both_wires_keep_to_the_vendors_descriptions(tmp_path: Path) -> None:
    log = tmp_path / "log" / "x.jsonl"
    with Lab(LabPlan(folder=tmp_path, source=an_estate(), mailboxes=1, log=log)) as lab:
        text = lab.config_file.read_text(encoding="utf-8")
        keys = '[run]\narchive = "Cold storage"\nrecoverable = "Kept"\nrecoverable_holds = true\n'
        assert "[run]" in text
        lab.config_file.write_text(text.replace("[run]\n", keys), encoding="utf-8")
        for words in (["run"], ["verify", "--deep"], ["check", "--left-behind"], ["check", "--public-folders"]):
            assert cli.run(["-c", str(lab.config_file), *words]) == 0, words
    for face, view in (("graph", b"/calendarView"), ("ews", b"CalendarView")):
        told = log.with_name(f"x-{face}.jsonl")
        assert view in told.read_bytes()
        assert errors_in(told) == []
