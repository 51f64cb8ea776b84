"""Folders that are left unread: when, when not, and that a change which a stamp hides is found in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from resume_world import Hand, Killed, World, furnished, id_of

from connectors.base import Folder, Page
from connectors.errors import Unavailable
from connectors.wrappers import AroundSource
from migrator.engine.stamps import LIED, UNCHANGED
from state.model import MailboxRow, PassKind, PassState
from state.store import Ledger

WORK = {"created", "updated", "moved", "removed", "flagged"}


class Watched(AroundSource):
    """A source that remembers whose feeds were read."""

    def __init__(self, inner: Any, read: list[str]) -> None:
        super().__init__(inner)
        self._read = read

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        self._read.append(folder.id)
        return super().changes(folder, cursor)


def watched(world: World) -> list[str]:
    read: list[str] = []
    world.wrap_source = lambda inner: Watched(inner, read)
    return read


def mailbox_of(world: World) -> MailboxRow:
    with Ledger.open(world.url) as ledger:
        return ledger.mailbox(world.mailbox_id)


def seeded(url: str, **options: Any) -> World:
    world = furnished(url, **options)
    assert world.run(PassKind.SEED).state is PassState.DONE
    return world


def test_a_pass_after_which_nothing_happened_reads_no_folder(ledger_url: str) -> None:
    world = seeded(ledger_url)
    read = watched(world)
    report = world.run()
    assert (report.state, read) == (PassState.DONE, [])
    assert report.figures[UNCHANGED] == len(world.source.boxes)


CHANGES: dict[str, Callable[[World], object]] = {
    "new": lambda world: world.source.put(world.inbox, "news"),
    "edit": lambda world: world.source.edit(id_of(world, "mail 0"), body="other"),
    "edit of the same length": lambda world: world.source.edit(id_of(world, "mail 0"), body="tixt 0"),
    "read": lambda world: world.source.mark_read(id_of(world, "mail 0")),
    "delete": lambda world: world.source.delete(id_of(world, "mail 0")),
    "move in": lambda world: world.source.move(id_of(world, "plan"), world.inbox),
    "move out": lambda world: world.source.move(id_of(world, "mail 0"), world.projects),  # type: ignore[attr-defined]
    "copy": lambda world: world.source.copy(id_of(world, "plan"), world.inbox),
    "one read, one unread": lambda world: [
        world.source.mark_read(id_of(world, "mail 1")), world.source.mark_read(id_of(world, "mail 0"), False),
    ],
    "one comes, one goes": lambda world: [world.source.delete(id_of(world, "mail 0")), world.source.put(world.inbox, "news")],
    "there and back": lambda world: world.source.move(
        world.source.move(id_of(world, "mail 0"), world.projects), world.inbox  # type: ignore[attr-defined]
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_single_change_has_its_folder_read_and_no_other_change_lost(
    sqlite_url: str, change: Callable[[World], object]
) -> None:
    world = seeded(sqlite_url)
    change(world)
    read = watched(world)
    assert world.run(approve_deletes=True).state is PassState.DONE
    assert world.inbox in read
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("kind", [PassKind.FINAL, PassKind.SWEEP, PassKind.SEED])
def test_only_a_plain_delta_leaves_folders_unread(sqlite_url: str, kind: PassKind) -> None:
    world = seeded(sqlite_url)
    read = watched(world)
    world.run(kind)
    assert set(read) == set(world.source.boxes)


def test_every_folder_is_read_when_its_time_has_come_and_with_zero_hours_always(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    for hours, every in ((1e-9, True), (24.0, False), (0, True)):
        read = watched(world)
        world.run(list_fully_hours=hours)
        assert set(read) == (set(world.source.boxes) if every else set())


def test_a_source_without_stamps_has_every_folder_read(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.stamps = "none"
    world.run(PassKind.SEED)
    read = watched(world)
    world.run()
    assert sorted(read) == sorted(world.source.boxes)


def test_what_is_doomed_has_every_folder_read_before_it_goes(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    world.source.delete(id_of(world, "mail 0"))
    read = watched(world)
    assert world.run().state is PassState.DONE
    assert set(read) == set(world.source.boxes), "a drop was carried out though not all folders were read since"


def test_drops_that_wait_for_a_person_have_every_folder_read(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    for number in range(6):
        world.source.delete(id_of(world, f"mail {number}"))
    assert world.run(max_deletes=2).state is PassState.PAUSED
    read = watched(world)
    assert world.run(max_deletes=2, approve_deletes=True).state is PassState.DONE
    assert set(read) == set(world.source.boxes)
    assert world.at_target() == world.at_source()


def test_a_listing_that_an_earlier_pass_began_is_older_than_the_stamp(sqlite_url: str) -> None:
    """It tells of nothing that came after it was begun, so the stamp that was read since proves nothing."""
    world = furnished(sqlite_url, page_size=1)

    class Breaks(AroundSource):
        left = 3

        def changes(self, folder: Folder, cursor: str | None) -> Page:
            if folder.id == world.inbox:
                self.left -= 1
                if not self.left:
                    raise Unavailable("the listing breaks off")
            return super().changes(folder, cursor)

    world.wrap_source = Breaks
    assert world.run(PassKind.SEED).state is PassState.PAUSED
    world.wrap_source = lambda inner: inner
    world.source.edit(id_of(world, "mail 0"), body="edited between two pages")
    world.source.mark_read(id_of(world, "mail 5"))
    assert world.run(PassKind.SEED).state is PassState.DONE
    assert world.run().state is PassState.DONE
    assert world.at_target() == world.at_source()


def test_a_change_that_comes_while_the_feeds_are_read_is_carried_by_the_next_pass_and_accuses_nobody(sqlite_url: str) -> None:
    world = seeded(sqlite_url)

    class Busy(AroundSource):
        def folders(self) -> Iterator[Folder]:
            listed = list(super().folders())
            world.source.edit(id_of(world, "mail 0"), body=f"edited {world.source.clock}")
            return iter(listed)

    world.wrap_source = Busy
    for hours in (24.0, 0.0, 24.0):
        report = world.run(list_fully_hours=hours)
        assert (report.state, LIED in report.figures) == (PassState.DONE, False)
    world.wrap_source = lambda inner: inner
    world.run()
    assert world.at_target() == world.at_source()
    assert mailbox_of(world).trusts_stamps


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_a_stamp_hides_is_found_on_schedule_and_ends_the_trust(
    sqlite_url: str, change: Callable[[World], object]
) -> None:
    world = furnished(sqlite_url)
    world.stamps = "lying"
    world.run(PassKind.SEED)
    change(world)
    world.run(approve_deletes=True)
    report = world.run(list_fully_hours=0, approve_deletes=True)
    assert report.state is PassState.DONE
    assert world.at_target() == world.at_source()
    if LIED in report.figures:
        assert not mailbox_of(world).trusts_stamps
        with Ledger.open(world.url) as ledger:
            assert [note.kind for note in ledger.notes(world.mailbox_id)] == [LIED]
        read = watched(world)
        assert LIED not in world.run().figures
        assert set(read) == set(world.source.boxes), "a mailbox whose stamps lied is read whole from then on"


def test_a_lie_has_the_folders_read_that_were_left_aside(sqlite_url: str) -> None:
    """One folder's time has come and shows the lie; what the other one hides is found in the same pass."""
    world = furnished(sqlite_url)
    world.stamps = "lying"
    world.run(PassKind.SEED)
    world.source.edit(id_of(world, "mail 0"), body="hidden")
    world.source.edit(id_of(world, "plan"), body="hidden too")
    projects = world.projects  # type: ignore[attr-defined]
    with Ledger.open(world.url) as ledger:
        row = next(one for one in ledger.folders(world.mailbox_id) if one.source_id == projects)
        lease = ledger.lease(world.mailbox_id, "a clock", 300.0, now=time.time() + 1500)
        ledger.record_page(
            lease, row.id, [], cursor=row.cursor, fingerprint=row.fingerprint, complete=True, generation=row.generation,
            stamp=row.change_stamp, read_at=0.0,
        )  # fmt: skip
    report = world.run()
    assert report.figures[LIED] == 1
    assert UNCHANGED not in report.figures
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("stamps", ["none", "lying"])
def test_killed_at_any_step_with_stamps_that_lie_or_none(
    stamps: Any, full: bool, tmp_path: Any, migrated_file: Any, tell: Callable[[str], None]
) -> None:
    at, steps = 1, 2
    while at < steps:
        file = tmp_path / f"{at}.db"
        file.write_bytes(migrated_file.read_bytes())
        world = furnished(f"sqlite:///{file.as_posix()}")
        world.stamps = stamps
        world.run(PassKind.SEED)
        world.source.edit(id_of(world, "mail 0"), body="other")
        world.source.move(id_of(world, "mail 2"), world.projects)  # type: ignore[attr-defined]
        world.source.put(world.inbox, "news")
        hand = Hand(at)
        try:
            world.run(list_fully_hours=0, hand=hand)
            steps = hand.steps
        except Killed:
            steps = at + 100
        assert world.run(list_fully_hours=0).state is PassState.DONE
        assert world.at_target() == world.at_source(), f"killed at step {at}"
        at += 1 if full else 9
    tell(f"{at} steps with {stamps} stamps")


class Renaming(AroundSource):
    """A source that shows a folder under another name, without a change in it."""

    def __init__(self, inner: Any, folder_id: str, name: str) -> None:
        super().__init__(inner)
        self._id, self._name = folder_id, name

    def folders(self) -> Iterator[Folder]:
        return (replace(one, name=self._name) if one.id == self._id else one for one in super().folders())


def test_a_folder_that_is_renamed_or_moved_is_placed_though_nothing_in_it_changed(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    projects = world.projects  # type: ignore[attr-defined]
    world.source.rename_folder(projects, "Plans")
    read = watched(world)
    world.run()
    assert world.at_target() == world.at_source()
    world.source.move_folder(projects, world.inbox)
    world.run()
    [box] = [one for one in world.target.boxes.values() if one.name == "Plans"]
    assert box.parent_id is not None
    assert read == []


def test_no_place_in_the_target_is_looked_at_when_nothing_happened(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    hand = Hand()
    world.run(hand=hand)
    assert not [name for name in hand.names if "place_folder" in name or "record_page" in name]


def test_a_target_folder_that_its_user_deleted_is_made_again_for_what_comes_into_it(sqlite_url: str) -> None:
    world = seeded(sqlite_url)
    [box] = [one for one in world.target.boxes.values() if one.name == "Projects"]
    for item in [one.id for one in world.target.items.values() if one.folder_id == box.id]:
        world.target.delete(item)
    del world.target.boxes[box.id]
    world.run()
    world.source.put(world.projects, "news")  # type: ignore[attr-defined]
    assert world.run().state is PassState.DONE
    assert world.copy_of("news").folder_id in {one.id for one in world.target.boxes.values() if one.name == "Projects"}
