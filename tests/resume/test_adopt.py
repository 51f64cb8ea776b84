"""What the target holds before us is recognised and never doubled: another tool, native delivery, a ledger that was lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from resume_world import SETTINGS, World, furnished, id_of

from connectors.base import Role
from connectors.errors import MailboxBlocked
from connectors.memory import MemorySource
from connectors.memory_destination import MemoryDestination
from migrator.engine.passes import Job, rebuild
from migrator.engine.rules import FilterRule
from migrator.engine.tenure import Tenure
from state.model import PassKind, PassState
from state.store import Ledger

SEED = PassKind.SEED
WRITES = {"created", "updated", "moved", "removed", "flagged"}


def with_new_ledger(world: World, url: str) -> World:
    """The same two mailboxes, as a ledger sees them that never heard of them."""
    fresh = World(url, lane=world.lane, page_size=world.page_size, **world.switches)
    fresh.source, fresh.target, fresh.inbox = world.source, world.target, world.inbox
    fresh.projects = world.projects  # type: ignore[attr-defined]
    return fresh


def do_rebuild(world: World, *, take_over: bool = True, **settings: Any) -> Any:
    import threading
    import time
    from dataclasses import replace

    with Ledger.open(world.url) as ledger:
        lease = ledger.lease(world.mailbox_id, "rebuild", 300.0, now=time.time() + 10**6)
        try:
            return rebuild(
                Job(
                    ledger=ledger,
                    tenure=Tenure(ledger, lease, 300.0, 100.0, time.time()),
                    source=MemorySource(world.source, page_size=world.page_size),
                    destination=MemoryDestination(world.target, **world.switches),
                    kind=SEED,
                    settings=replace(SETTINGS, lane=world.lane, **settings),
                    stop=threading.Event(),
                ),
                take_over=take_over,
            )
        finally:
            ledger.release(lease)


@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("keep_search_key", [True, False])
def test_a_lost_ledger_is_rebuilt_from_the_target_and_nothing_is_doubled(
    sqlite_url: str, tmp_path: Path, lane: str, keep_search_key: bool
) -> None:
    world = furnished(sqlite_url, lane=lane, keep_search_key=keep_search_key)
    world.run(SEED)
    world.source.put(world.inbox, "news", body="came after the ledger was lost")
    before = set(world.target.items)
    world = with_new_ledger(world, f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(MailboxBlocked) as foreign:
        world.run(SEED)
    assert foreign.value.code == "foreign-claim"
    with pytest.raises(MailboxBlocked):
        do_rebuild(world, take_over=False)
    found = do_rebuild(world)
    assert (found.rows, found.elsewhere, found.strangers) == (9, 0, 0)
    assert set(world.target.items) == before, "a rebuild writes no item"
    report = world.run(SEED)
    assert report.figures["created"] == 1
    assert world.at_target() == world.at_source()
    assert not WRITES & world.run().figures.keys()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_what_the_targets_user_did_since_is_left_alone_by_a_rebuilt_ledger(sqlite_url: str, tmp_path: Path, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    target = world.target
    target.mark_read(world.copy_of("mail 0").id)
    target.edit(world.copy_of("mail 1").id, body="edited by its user")
    target.move(world.copy_of("mail 2").id, target.special(Role.ARCHIVE))
    seen = {one.id: (one.folder_id, one.content) for one in target.items.values()}
    world = with_new_ledger(world, f"sqlite:///{tmp_path / 'new.db'}")
    assert do_rebuild(world).rows == 9
    assert not WRITES & world.run(SEED).figures.keys()
    assert {item: (target.items[item].folder_id, target.items[item].content) for item in seen} == seen


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_copy_that_its_user_moved_to_another_folder_of_ours_is_that_copy(sqlite_url: str, tmp_path: Path, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    copy = world.copy_of("mail 2")
    elsewhere = next(box.id for box in world.target.boxes.values() if box.name == "Projects")
    world.target.move(copy.id, elsewhere)
    world = with_new_ledger(world, f"sqlite:///{tmp_path / 'new.db'}")
    found = do_rebuild(world)
    assert (found.rows, found.elsewhere) == (9, 1)
    assert not WRITES & world.run(SEED).figures.keys()
    assert world.copy_of("mail 2").folder_id == elsewhere


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_ledger_restored_from_a_backup_catches_up(sqlite_url: str, tmp_path: Path, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    backup = shutil.copy(sqlite_url.removeprefix("sqlite:///"), tmp_path / "backup.db")
    world.source.put(world.inbox, "after the backup")
    world.source.edit(id_of(world, "mail 0"), body="changed after the backup")
    world.run()
    shutil.copy(backup, sqlite_url.removeprefix("sqlite:///"))
    with pytest.raises(MailboxBlocked) as behind:
        world.run()
    assert behind.value.code == "ledger-behind"
    do_rebuild(world, take_over=False)
    assert world.run().state is PassState.DONE
    assert world.at_target() == world.at_source()
    assert not WRITES & world.run().figures.keys()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_what_another_tool_had_copied_is_not_copied_again(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    inbox = world.target.special(Role.INBOX)
    for number in range(3):
        world.target.deliver(inbox, world.source.items[id_of(world, f"mail {number}")].content)
    report = world.run(SEED)
    assert (report.state, report.figures["adopted"], report.figures["created"]) == (PassState.DONE, 3, 6)
    assert world.at_target() == world.at_source()
    assert not WRITES & world.run().figures.keys()


def test_of_two_equal_copies_one_there_already_makes_one_to_come(sqlite_url: str) -> None:
    world = furnished(sqlite_url, lane="import")
    world.run(SEED)
    twins = [one for one in world.target.items.values() if one.content.message.subject == "twin"]
    assert len(twins) == 2
    world.target.delete(twins[0].id)
    world.target.claim = None
    with Ledger.open(sqlite_url) as ledger:
        mailbox = ledger.plan_mailbox("wave", "bert@source.example", "anna@target.example")
    world.mailbox_id = mailbox.id
    report = world.run(SEED)
    assert (report.figures["adopted"], report.figures["created"]) == (8, 1)
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_new_mail_that_also_reaches_the_target_natively_is_recognised_where_that_is_said(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    world.source.put(world.inbox, "forwarded")
    world.target.deliver(world.target.special(Role.INBOX), world.source.items[id_of(world, "forwarded")].content)
    world.source.put(world.inbox, "not forwarded")
    report = world.run(look_first=True)
    assert (report.figures["adopted"], report.figures["created"]) == (1, 1)
    assert world.at_target() == world.at_source()
    assert not WRITES & world.run(look_first=True).figures.keys()


def test_a_process_that_dies_while_it_adopts_begins_again(sqlite_url: str, full: bool) -> None:
    from resume_world import Hand, Killed

    at = 0
    while True:
        at += 1 if full else 4
        url = sqlite_url.replace("ledger.db", f"ledger-{at}.db")
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        world = furnished(url, lane="import")
        for number in range(3):
            world.target.deliver(world.target.special(Role.INBOX), world.source.items[id_of(world, f"mail {number}")].content)
        try:
            world.run(SEED, Hand(at))
        except Killed:
            assert world.run(SEED).state is PassState.DONE
            assert world.at_target() == world.at_source(), f"killed at step {at}"
        else:
            break
    assert at > 15


def test_a_rebuilt_ledger_knows_what_is_there_although_rules_would_keep_it_back_now(sqlite_url: str, tmp_path: Path) -> None:
    world = furnished(sqlite_url)
    world.source.put(world.inbox, "large", size=2_000_000)
    world.run(SEED)
    world = with_new_ledger(world, f"sqlite:///{tmp_path / 'new.db'}")
    rules: dict[str, Any] = {"filter_rules": (FilterRule(name="large", max_mb=1),), "required_since": "2100-01-01"}
    assert do_rebuild(world, **rules).rows == 10
    assert world.states() == {"DONE": 10}
    assert not WRITES & world.run().figures.keys()
