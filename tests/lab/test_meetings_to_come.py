"""`check` counts the meetings that would lose their attendees on the way, and the report shows the count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ews.meetings import MeetingsToCome, meetings_to_come
from connectors.lab.appointments import END, RESPONSE, START, STATE, Diary, keep
from connectors.lab.recurring import Rule
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Person, seeded_bytes
from migrator import app, cli, config
from migrator.reporting.gathering import gather

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
GUESTS = [Person("Guest", "guest@outside.example")]


def meet(lab: Lab, number: int, start: datetime, *, mine: bool, alone: bool = False, weekly: bool = False) -> None:
    [source] = lab.source.mailboxes.values()
    box = source.by_role("calendar")
    assert box is not None
    me = Person(source.display_name, source.address)
    state = 0 if alone else 1 if mine else 3
    item = Item(
        id=seeded_bytes("to come", number, length=12).hex(), folder_id=box.id, item_class="IPM.Appointment",
        subject=f"Meeting {number}", search_key=seeded_bytes("key", number), created=start, modified=start, is_read=True,
        to=[] if alone else [*GUESTS], author=me if mine else GUESTS[0], sender=me if mine else GUESTS[0],
        extended={START: start, END: start + timedelta(hours=1), STATE: state, RESPONSE: 1 if mine else 3},
    )  # fmt: skip
    if weekly:
        keep(item, Diary(rule=Rule("weekly", start.date(), days=[f"{start:%A}".lower()])))
    with source.lock:
        source.add(item)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0)) as lab:
        meet(lab, 1, NOW - timedelta(days=30), mine=True)
        meet(lab, 2, NOW + timedelta(days=30), mine=True)
        meet(lab, 3, NOW + timedelta(days=31), mine=False)
        meet(lab, 4, NOW + timedelta(days=32), mine=True, alone=True)
        meet(lab, 5, NOW - timedelta(days=300), mine=True, weekly=True)
        yield lab


def counted(lab: Lab) -> MeetingsToCome:
    loaded = config.load(lab.config_file)
    with app.Connected(loaded, lab.ended) as connected:
        return meetings_to_come(connected.server, next(iter(lab.source.mailboxes)), NOW)


def test_a_series_counts_once_and_what_is_over_or_alone_does_not(lab: Lab) -> None:
    assert counted(lab) == MeetingsToCome(future=3, as_organiser=2)


def test_more_than_a_server_shows_at_once_is_asked_for_in_parts(lab: Lab) -> None:
    exchange, _ = lab.options
    exchange.find_page = 20
    assert counted(lab) == MeetingsToCome(future=3, as_organiser=2)


def test_check_says_it_and_the_report_shows_it(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> Any:
        assert cli.run(["-c", str(lab.config_file), "--json", *words]) in (0, 2)
        return json.loads(capsys.readouterr().out)

    run("run", "--lane", "compose")
    [gate] = [one for one in run("check")["questions"] if one["question"] == "meetings"]
    assert gate["ok"] is True
    assert "called by its owner: 2. The compose lane refuses" in gate["sentence"]
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        [line] = gather(ledger).mailboxes
        assert (line.meetings, line.meetings_called) == (3, 2)
    run("report", "--out", str(lab.folder / "report.html"))
    assert "Meetings that their owner called" in (lab.folder / "report.html").read_text("utf-8")
