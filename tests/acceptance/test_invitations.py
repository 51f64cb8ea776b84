"""Hundreds of meetings with people from outside, edited and deleted over three passes: nobody hears of it, in either lane.

The simulated tenant writes down whatever a real one would e-mail: invitations, updates and cancellations.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from connectors.lab import churn
from connectors.lab.appointments import BUSY, END, RESPONSE, START, STATE, Change, Diary, keep
from connectors.lab.recurring import Rule
from connectors.lab.server import Lab, LabPlan
from connectors.lab.tenant_calendar import people_of
from connectors.lab.truth import Item, Person, seeded_bytes

OUTSIDERS = [Person(f"Guest {number}", f"guest{number}@outside.example") for number in range(5)]
LONG_AGO = datetime(2024, 1, 8, 9, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0)) as lab:
        config = lab.config_file.read_text("utf-8")
        # Everything is to be carried, so that everything can be edited and deleted.
        lab.config_file.write_text(config.replace("[run]\n", "[run]\nmeetings_without_attendees = true\n"), "utf-8")
        yield lab


def meet(lab: Lab, number: int) -> Item:
    """A meeting with people from outside; every other one the owner's own, every third a series with a changed occurrence."""
    [source] = lab.source.mailboxes.values()
    me = Person(source.display_name, source.address)
    box = source.by_role("calendar")
    assert box is not None
    start = LONG_AGO + timedelta(days=number * 3)
    mine = number % 2 == 0
    item = Item(
        id=seeded_bytes("invited", number, length=12).hex(), folder_id=box.id, item_class="IPM.Appointment",
        subject=f"Meeting {number}", body_text="Agenda", search_key=seeded_bytes("key", number), created=start, modified=start,
        is_read=True, to=[*OUTSIDERS[: 1 + number % 5]], sender=me if mine else OUTSIDERS[0],
        author=me if mine else OUTSIDERS[0],
        extended={START: start, END: start + timedelta(hours=1), BUSY: 2, STATE: 1 if mine else 3, RESPONSE: 1 if mine else 3},
    )  # fmt: skip
    if number % 3 == 0:
        rule = Rule("weekly", date(start.year, start.month, start.day), days=[f"{start:%A}".lower()], count=8)
        second, third = start + timedelta(weeks=1), start + timedelta(weeks=2)
        moved = Change(second, {"start": (second + timedelta(hours=2)).isoformat(), "subject": "Moved"})
        keep(item, Diary(rule=rule, deleted=[third], changes=[moved]))
    with source.lock:
        return source.add(item)


def carry(lab: Lab, lane: str) -> Counter[str]:
    """One pass by the real command; nobody may have been told anything after it."""
    command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), "--json", "run", "--lane", lane]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=500)
    assert done.returncode in (0, 2), done.stdout + done.stderr
    [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    assert source.sent + target.sent == []
    [mailbox] = json.loads(done.stdout)["mailboxes"]
    return Counter(mailbox["figures"])


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.full)])
def test_no_invitation_update_or_cancellation_is_recorded(lab: Lab, lane: str, count: int) -> None:
    [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    meetings = [meet(lab, number) for number in range(count)]
    assert carry(lab, lane)["created"] == count
    for turn in (1, 2):
        for number, item in enumerate(meetings):
            if item.id not in source.items:
                continue
            if number % 5 == turn:
                churn.edit(item, source, {"subject": f"{item.subject}, changed {turn}"})
            elif number % 5 == turn + 2:
                churn.delete(item, source, "source", hard=True)
        figures = carry(lab, lane)
        assert figures["updated"] == count // 5
        # An imported meeting still has its attendees, so that its removal is left to its owner.
        assert (figures["removed"], figures["withheld"]) == ((0, count // 5) if lane == "import" else (count // 5, 0))
    copies = [item for item in target.items.values() if item.item_class == "IPM.Appointment"]
    assert len(copies) == (count if lane == "import" else count - 2 * (count // 5))
    assert all(bool(people_of(item)) == (lane == "import") for item in copies)
    if lane == "compose":
        assert all("@outside.example" in (item.body_text or "") for item in copies), "people are kept as text"
    command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), "--json", "verify"]
    verdict = json.loads(subprocess.run(command, capture_output=True, text=True, check=False, timeout=300).stdout)
    assert verdict["differences"] == 0, verdict
    assert target.sent == []
