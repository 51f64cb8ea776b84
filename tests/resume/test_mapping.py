"""Rules about folders and items, pass after pass: what is kept back is counted by name, and follows when the rule goes.

Under ``--full`` a pass under changed rules is killed at every step; else at some.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from resume_world import Hand, Killed, World, id_of

from connectors.base import Role
from connectors.errors import MailboxBlocked
from connectors.memory import MemorySource
from connectors.memory_destination import MemoryDestination
from migrator.checking.verify import verify_mailbox
from migrator.engine.backfill import open_parts
from migrator.engine.conservation import folder_sums, rule_sums
from migrator.engine.rules import FilterRule, FolderRule
from migrator.status import rule_table
from state.model import MailboxState, PassKind, PassState
from state.store import Ledger

SEED, DELTA, FINAL, SWEEP = PassKind.SEED, PassKind.DELTA, PassKind.FINAL, PassKind.SWEEP
BOTH = pytest.mark.parametrize("lane", ["import", "compose"])

LARGE = FilterRule(name="too-large", max_mb=1)
OLD = FilterRule(name="old", since="2020-01-01")
NO_JUNK = FolderRule(name="no-junk", folder="@junkemail", skip=True)


def stocked(url: str, lane: str = "import") -> World:
    """Inbox: two new mails, an old one, a large one, a note; Junk: two; Projects and Projects/Old: one each; Elsewhere: one."""
    world = World(url, lane=lane)
    put, box = world.source.put, world.source
    put(world.inbox, "new 0")
    put(world.inbox, "new 1")
    put(world.inbox, "old", received=datetime(2019, 6, 1, tzinfo=UTC))
    put(world.inbox, "large", size=2_000_000)
    world.junk = box.special(Role.JUNK)  # type: ignore[attr-defined]
    put(world.junk, "junk 0")  # type: ignore[attr-defined]
    put(world.junk, "junk 1")  # type: ignore[attr-defined]
    world.projects = box.add_folder("Projects")  # type: ignore[attr-defined]
    world.below = box.add_folder("Old", world.projects)  # type: ignore[attr-defined]
    world.elsewhere = box.add_folder("Elsewhere")  # type: ignore[attr-defined]
    put(world.projects, "project")  # type: ignore[attr-defined]
    put(world.below, "below")  # type: ignore[attr-defined]
    put(world.elsewhere, "else")  # type: ignore[attr-defined]
    return world


def subjects(world: World) -> Counter[tuple[str, str]]:
    """What the target holds: folder's name and subject."""
    names = {box.id: box.name for box in world.target.boxes.values()}
    return Counter((names[one.folder_id], one.content.message.subject) for one in world.target.items.values())


def by_rule(world: World) -> dict[str, int]:
    with Ledger.open(world.url) as ledger:
        found = rule_sums(ledger, ledger.mailboxes())
    assert all(one.rule in line and len(line) <= 100 for one, line in zip(found, rule_table(found)[1:], strict=True))
    return {one.rule: one.items for one in found}


def in_order(world: World) -> dict[str, int]:
    """The sums add up folder by folder, and both sides compare equal; returns the figures of the comparison."""
    with Ledger.open(world.url) as ledger:
        for one in folder_sums(ledger, ledger.mailboxes()):
            assert one.counted == one.done + one.refused + one.withheld + one.filtered + one.pending + one.backfill, one
            assert not one.off
        assert ledger.loose_ends(world.mailbox_id) == (0, 0)
        assert ledger.uneven(world.mailbox_id) == 0
        source, target = MemorySource(world.source), MemoryDestination(world.target, **world.switches)
        verdict = verify_mailbox(ledger, world.mailbox_id, source, target)
    assert verdict.differences == ()
    return verdict.figures


@BOTH
def test_what_rules_keep_back_is_counted_by_name_and_follows_when_they_go(ledger_url: str, lane: str) -> None:
    world = stocked(ledger_url, lane)
    rules: dict[str, Any] = {"filter_rules": (LARGE, OLD), "folder_rules": (NO_JUNK,)}
    report = world.run(SEED, **rules)
    assert report.state is PassState.DONE
    assert by_rule(world) == {"too-large": 1, "old": 1, "no-junk": 2}
    assert report.figures["filtered.no-junk"] == 2
    assert world.states() == {"DONE": 5, "FILTERED": 4}
    assert in_order(world)["filtered.old"] == 1
    # Nothing happens by itself, and what is new is judged too.
    world.source.put(world.junk, "junk 2")  # type: ignore[attr-defined]
    world.source.delete(id_of(world, "junk 0"))
    assert world.run(**rules).figures.get("created") is None
    assert by_rule(world) == {"too-large": 1, "old": 1, "no-junk": 2}
    in_order(world)
    # Widened: the next pass carries it, and lists nothing anew.
    report = world.run(filter_rules=(FilterRule(name="too-large", max_mb=3), OLD), folder_rules=())
    assert report.figures["created"] == 3
    assert "listed_again" not in report.figures
    assert by_rule(world) == {"old": 1}
    in_order(world)
    # Narrowed: what is there stays, and is kept in step.
    world.source.edit(id_of(world, "large"), body="other", size=2_000_000)
    report = world.run(filter_rules=(LARGE, OLD), folder_rules=(NO_JUNK,))
    assert report.figures["updated"] == 1
    assert by_rule(world) == {"old": 1}
    in_order(world)
    world.run()
    assert world.at_target() == world.at_source()
    assert world.states().keys() <= {"DONE", "GONE"}


@BOTH
def test_a_renamed_folder_is_renamed_again_when_its_rule_changes(sqlite_url: str, lane: str) -> None:
    world = stocked(sqlite_url, lane)
    for name in ("Customers", "Clients"):
        world.run(folder_rules=(FolderRule(name="rename", folder="projects", rename=name),))
        assert subjects(world)[name, "project"] == 1
        assert subjects(world)["Old", "below"] == 1
        in_order(world)
    assert len([box for box in world.target.boxes.values() if box.name in ("Customers", "Clients", "Projects")]) == 1
    world.run()
    assert world.at_target() == world.at_source()


@BOTH
@pytest.mark.parametrize("into", ["Elsewhere", "@inbox", "Elsewhere/Deep/Deeper", "Nowhere"])
def test_a_merge_that_comes_and_goes_takes_along_what_is_there(sqlite_url: str, lane: str, into: str) -> None:
    world = stocked(sqlite_url, lane)
    world.source.put(world.projects, "project")  # type: ignore[attr-defined]
    world.run(SEED)
    assert world.at_target() == world.at_source()
    rule = FolderRule(name="merge", folder="Projects", into=into)
    world.source.put(world.projects, "late")  # type: ignore[attr-defined]
    report = world.run(folder_rules=(rule,))
    assert (report.state, report.figures["moved"], report.figures["created"]) == (PassState.DONE, 2, 1)
    place = {"@inbox": "Inbox", "Elsewhere/Deep/Deeper": "Deeper"}.get(into, into)
    found = subjects(world)
    assert (found[place, "project"], found[place, "late"], found["Old", "below"]) == (2, 1, 1)
    in_order(world)
    world.run(folder_rules=(rule,))
    assert subjects(world) == found
    report = world.run()
    # A place that was made for it alone becomes its own again.
    assert report.figures.get("moved", 0) == (3 if into in ("Elsewhere", "@inbox") else 0)
    assert world.at_target() == world.at_source()
    in_order(world)


@BOTH
def test_a_merge_from_the_beginning_loses_no_equal_item(sqlite_url: str, lane: str) -> None:
    world = stocked(sqlite_url, lane)
    world.source.copy(id_of(world, "else"), world.projects)  # type: ignore[attr-defined]
    rules = (
        FolderRule(name="merge", folder="projects", into="elsewhere"),
        FolderRule(name="junk", folder="@junkemail", into="@inbox"),
    )
    world.run(SEED, folder_rules=rules)
    found = subjects(world)
    assert found["Elsewhere", "else"] == 2
    assert found["Inbox", "junk 0"] == 1
    assert sum(found.values()) == 10
    in_order(world)
    assert "created" not in world.run(folder_rules=rules).figures


def test_a_rule_that_merges_two_kinds_holds_the_mailbox_and_names_itself(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    with pytest.raises(MailboxBlocked, match="the rule cal in"):
        world.run(SEED, folder_rules=(FolderRule(name="cal", folder="@calendar", into="@inbox"),))


def test_old_mail_follows_after_everything_else_and_not_in_a_final_pass(ledger_url: str) -> None:
    world = stocked(ledger_url)
    world.source.put(world.elsewhere, "old contact", item_class="IPM.Contact")  # type: ignore[attr-defined]
    report = world.run(FINAL, required_since="2020-01-01")
    assert report.state is PassState.DONE
    assert report.figures["backfill"] == 1
    with Ledger.open(world.url) as ledger:
        parts = open_parts(ledger, world.mailbox_id)
    assert (parts.required, parts.backfill) == (0, 1)
    assert in_order(world)["backfill"] == 1
    assert world.run(required_since="2020-01-01", backfill_minutes=0).figures["backfill"] == 1
    assert ("Inbox", "old") not in subjects(world)
    report = world.run(required_since="2020-01-01")
    assert "backfill" not in report.figures
    assert world.at_target() == world.at_source()
    in_order(world)


def test_an_old_mail_that_is_moved_or_deleted_before_its_turn_is_not_carried_twice(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    later: dict[str, Any] = {"required_since": "2020-01-01", "backfill_minutes": 0}
    world.run(SEED, **later)
    world.source.put(world.inbox, "old too", received=datetime(2018, 1, 1, tzinfo=UTC))
    world.source.move(id_of(world, "old"), world.projects)  # type: ignore[attr-defined]
    world.run(**later)
    world.source.delete(id_of(world, "old too"))
    world.run(**later)
    assert in_order(world)["backfill"] == 1
    world.run(backfill=True, **later)
    assert world.at_target() == world.at_source()


def test_the_spreadsheet_says_since_when_mail_is_required(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    with Ledger.open(world.url) as ledger:
        ledger.plans.describe(world.mailbox_id, {"since": "2019-01-01"})
    assert "backfill" not in world.run(FINAL, required_since="2025-01-01").figures


@pytest.mark.timeout(1800)
@BOTH
def test_killed_at_any_step_while_rules_change_it_ends_the_same(
    lane: str, full: bool, tmp_path: Path, migrated_file: Path
) -> None:
    before: dict[str, Any] = {"filter_rules": (LARGE,), "folder_rules": (NO_JUNK,), "required_since": "2020-01-01"}
    after: dict[str, Any] = {
        "filter_rules": (OLD,),
        "folder_rules": (FolderRule(name="merge", folder="projects", into="elsewhere"),),
    }

    def begun(name: str) -> World:
        file = tmp_path / f"{name}.db"
        file.write_bytes(migrated_file.read_bytes())
        world = stocked(f"sqlite:///{file}", lane)
        world.run(FINAL, **before)
        return world

    whole = begun("whole")
    hand = Hand()
    whole.run(hand=hand, **after)
    expected, states = subjects(whole), whole.states()
    assert hand.steps > 20
    for at in range(1, hand.steps + 1, 1 if full else 9 if lane == "import" else 25):
        world = begun(str(at))
        with pytest.raises(Killed):
            world.run(hand=Hand(at), **after)
        for _ in range(2):
            report = world.run(**after)
        assert report.state is PassState.DONE
        assert (subjects(world), world.states()) == (expected, states), at
        in_order(world)


@BOTH
def test_what_is_there_follows_its_item_even_where_a_rule_would_keep_that_back_now(sqlite_url: str, lane: str) -> None:
    world = stocked(sqlite_url, lane)
    world.run(SEED)
    rules: dict[str, Any] = {"filter_rules": (LARGE,), "folder_rules": (NO_JUNK,)}
    world.source.move(id_of(world, "large"), world.projects)  # type: ignore[attr-defined]
    world.source.move(id_of(world, "new 0"), world.junk)  # type: ignore[attr-defined]
    report = world.run(**rules)
    assert (report.figures["moved"], report.figures["removed"]) == (1, 1)
    assert subjects(world)["Projects", "large"] == 1
    assert by_rule(world) == {"no-junk": 1}
    in_order(world)


def test_a_restored_source_sends_nothing_again_under_a_narrower_rule(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    world.run(SEED)
    world.source.restore()
    report = world.run(filter_rules=(LARGE,), required_since="2020-01-01", backfill_minutes=0, list_fully_hours=0)
    assert report.state is PassState.DONE
    assert not {"created", "removed", "moved"} & report.figures.keys()
    assert world.states() == {"DONE": 9}
    in_order(world)


def test_what_cannot_be_moved_stays_where_it_is_and_is_listed(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    world.switches["movable"] = ("IPM.Note",)
    world.source.put(world.projects, "card", item_class="IPM.Contact")  # type: ignore[attr-defined]
    world.run(SEED)
    world.run(folder_rules=(FolderRule(name="merge", folder="Projects", into="Elsewhere"),))
    assert (subjects(world)["Elsewhere", "project"], subjects(world)["Projects", "card"]) == (1, 1)
    assert in_order(world)["target_wins"] == 1
    with Ledger.open(world.url) as ledger:
        assert [one.reason for one in ledger.left_alone(world.mailbox_id)] == ["place-kept"]
    world.run()
    assert world.at_target() == world.at_source()


def test_after_cutover_no_rule_renames_or_moves_what_its_owner_has(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    world.run(SEED)
    before = subjects(world)
    rules = (
        FolderRule(name="name", folder="Elsewhere", rename="Other"),
        FolderRule(name="merge", folder="Projects", into="@inbox"),
    )
    world.source.put(world.projects, "late")  # type: ignore[attr-defined]
    report = world.run(SWEEP, folder_rules=rules)
    assert report.state is PassState.DONE
    assert subjects(world) - before == Counter({("Projects", "late"): 1})
    assert before - subjects(world) == Counter()


def test_a_rule_holds_for_the_waves_that_it_names(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    rules = (FilterRule(name="theirs", max_mb=1, waves=("other",)), FilterRule(name="ours", since="2020-01-01", waves=("WAVE",)))
    world.run(SEED, filter_rules=rules)
    assert by_rule(world) == {"ours": 1}
    with Ledger.open(world.url) as ledger:
        ledger.plans.regroup(world.mailbox_id, "other")
    world.source.put(world.inbox, "large too", size=2_000_000)
    world.run(filter_rules=rules)
    assert by_rule(world) == {"theirs": 1}
    in_order(world)


def test_a_mailbox_that_is_backfilling_takes_the_time_it_needs_and_only_adds(sqlite_url: str) -> None:
    world = stocked(sqlite_url)
    later: dict[str, Any] = {"required_since": "2020-01-01", "backfill_minutes": 1e-9}
    assert world.run(SEED, **later).figures["backfill"] == 1, "its time was over before it began"
    way = ("SEEDING", "SYNCING", "READY", "LOCKED", "FINAL", "ROUTED", "SWEEPING", "BACKFILLING")
    with Ledger.open(world.url) as ledger:
        for state in way:
            ledger.move_mailbox(world.mailbox_id, MailboxState[state], "")
    world.source.edit(id_of(world, "new 0"), body="too late")
    before = subjects(world)
    report = world.run(SWEEP, **later)
    assert (report.state, report.figures["created"]) == (PassState.DONE, 1)
    assert not {"updated", "moved", "removed", "backfill"} & report.figures.keys()
    assert subjects(world) - before == Counter({("Inbox", "old"): 1})
