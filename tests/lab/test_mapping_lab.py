"""Rules about folders and items between the two servers of the lab, in both lanes, pass after pass."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fault_world import FaultWorld

from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox, Person, seeded_bytes
from migrator import app
from migrator.checking.deep import DeepJob, verify_content
from migrator.checking.verify import verify_mailbox
from migrator.config import FiltersSection, MappingSection
from migrator.engine.conservation import folder_sums, rule_sums
from migrator.engine.rules import FilterRule, FolderRule
from migrator.waves.wave import Ending

ANNA = Person("Anna", "anna@contoso.test")
OLD, NEW = datetime(2012, 5, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
NO_JUNK = FolderRule(name="no-junk", folder="@junkemail", skip=True)
NO_OLD = FilterRule(name="no-old", since="2020-01-01")
NO_LARGE = FilterRule(name="no-large", folders=("Work",), max_mb=0.1)


class MappedWorld(FaultWorld):
    """One mailbox: mail new and old, large and small, junk, and folders Work, Work/Deep and Other."""

    def __init__(self, lab: Lab, lane: str) -> None:
        super().__init__(lab)
        self.lane: Any = lane
        [self.source], [self.target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()

    def put(self, folder: str, subject: str, when: datetime = NEW, text: str = "Good morning") -> Item:
        number = len(self.source.items)
        item = Item(
            id=seeded_bytes("mapped", subject, number, length=12).hex(), folder_id=folder, subject=subject, body_text=text,
            sender=ANNA, author=ANNA, to=[ANNA], message_id=f"<mapped.{number}@contoso.test>",
            search_key=seeded_bytes("mapped key", subject, number), submitted=when, received=when, created=when, modified=when,
            is_read=True,
        )  # fmt: skip
        self.source.add(item)
        return item

    def one_pass(
        self, *folders: FolderRule, filters: tuple[FilterRule, ...] = (), since: str = "", minutes: float = 60
    ) -> Ending:
        """A pass under these rules; then every folder's sum adds up, and neither checker finds an unexplained difference."""
        run = msgspec.structs.replace(self.config.run, required_since=since, backfill_minutes=minutes)
        self.config = replace(self.config, mapping=MappingSection(rules=folders), filters=FiltersSection(rules=filters), run=run)
        [[ending]] = self.run_until_clean(self.lane, most=1)
        self.check()
        return ending

    def check(self) -> None:
        stop = threading.Event()
        with app.open_ledger(self.config) as ledger, app.Connected(self.config, stop, memory=app.Hints(ledger)) as connectors:
            [row] = ledger.mailboxes()
            for one in folder_sums(ledger, [row]):
                assert one.counted == one.done + one.refused + one.withheld + one.filtered + one.pending + one.backfill, one
            with closing(connectors.source(row, stop)) as source, closing(connectors.destination(row, stop)) as destination:
                verdict = verify_mailbox(ledger, row.id, source, destination)
                assert verdict.differences == ()
                with (
                    closing(connectors.source_reader(row, stop)) as ours,
                    closing(connectors.destination_reader(row, stop)) as theirs,
                ):
                    job = DeepJob(ledger=ledger, mailbox_id=row.id, source=source, source_reader=ours, destination_reader=theirs)
                    assert verify_content(job).differences == ()
            self.rules = {one.rule: one.items for one in rule_sums(ledger, [row])}

    def places(self) -> Counter[tuple[str, str]]:
        """What the target holds: path of the folder, special ones by role, and subject."""
        boxes = self.target.boxes
        return Counter(
            (boxes[item.folder_id].role or self.target.path(boxes[item.folder_id]), item.subject)
            for item in self.target.items.values()
        )


@pytest.fixture(params=["import", "compose"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MappedWorld]:
    estate = Estate()
    mailbox: Mailbox = estate.add(an_empty(0, 1))
    for name, above in (("work", mailbox.root_id), ("deep", "work"), ("other", mailbox.root_id)):
        mailbox.add_box(Box(name, above, name.title()))
    with Lab(LabPlan(folder=tmp_path, source=estate)) as lab:
        made = MappedWorld(lab, request.param)
        inbox, junk = made.source.by_role("inbox"), made.source.by_role("junkemail")
        assert inbox
        assert junk
        made.put(inbox.id, "new")
        made.put(inbox.id, "old", OLD)
        made.put(junk.id, "junk")
        made.put("work", "work")
        made.put("work", "large", text="long " * 50_000)
        made.put("deep", "deep")
        made.put("other", "other")
        yield made


def test_rules_come_change_and_go(world: MappedWorld) -> None:
    filters = (NO_OLD, NO_LARGE)
    world.one_pass(NO_JUNK, filters=filters)
    assert world.rules == {"no-junk": 1, "no-old": 1, "no-large": 1}
    assert world.places().keys() == {("inbox", "new"), ("Work", "work"), ("Work/Deep", "deep"), ("Other", "other")}
    # A delta under the same rules.
    world.put("other", "later")
    world.put("other", "older", OLD)
    assert world.one_pass(NO_JUNK, filters=filters).figures["created"] == 1
    assert world.rules["no-old"] == 2
    # Widened: what was kept back follows. Renamed: the folder follows.
    ending = world.one_pass(FolderRule(name="name", folder="WORK", rename="Labour"), filters=(NO_OLD,))
    assert ending.figures["created"] == 2
    assert world.rules == {"no-old": 2}
    assert {("Labour", "large"), ("Labour", "work"), ("Labour/Deep", "deep"), ("junkemail", "junk")} <= world.places().keys()
    # Another name; narrowed: what is there stays.
    before = world.places().total()
    world.one_pass(FolderRule(name="name", folder="work", rename="Travail"), NO_JUNK, filters=(NO_OLD, NO_LARGE))
    assert world.places().total() == before
    assert {("Travail", "large"), ("Travail/Deep", "deep"), ("junkemail", "junk")} <= world.places().keys()
    # No rule at all.
    world.one_pass()
    assert world.rules == {}
    assert {("Work", "large"), ("Work/Deep", "deep"), ("inbox", "old"), ("Other", "older")} <= world.places().keys()
    assert world.places().total() == len(world.source.items)


def test_a_merge_loses_nothing_when_it_comes_and_when_it_goes(world: MappedWorld) -> None:
    into = "@inbox/Made for it"
    world.put("work", "work")
    world.one_pass()
    rule = FolderRule(name="merge", folder="Work", into=into)
    world.put("work", "later")
    world.one_pass(rule)
    place = "Inbox/Made for it"
    assert [world.places()[place, subject] for subject in ("work", "large", "later")] == [2, 1, 1]
    assert world.places().total() == len(world.source.items)
    assert not [box for box in world.target.boxes.values() if box.name == "Work"]
    world.one_pass()
    assert [world.places()["Work", subject] for subject in ("work", "large", "later")] == [2, 1, 1]
    assert world.places()["Work/Deep", "deep"] == 1
    assert world.places().total() == len(world.source.items)


def test_old_mail_follows_once_it_may(world: MappedWorld) -> None:
    ending = world.one_pass(since="2020-01-01", minutes=0)
    assert ending.figures["backfill"] == 1
    assert ("inbox", "old") not in world.places()
    ending = world.one_pass(since="2020-01-01")
    assert "backfill" not in ending.figures
    assert world.places()["inbox", "old"] == 1
