"""What every source promises, in each world that there is."""

from __future__ import annotations

import pytest
from contract_worlds import SourceWorld, folder_of, puts, read

from connectors.base import Drop, Gone, Item, Lane, Put, ReadFlag, Ref, Role, identify
from connectors.errors import StaleCursor


def test_parents_come_before_their_children(world: SourceWorld) -> None:
    top = world.add_folder("Projects")
    deep = world.add_folder("2021", world.add_folder("Old", top))
    seen: set[str] = set()
    for folder in world.source.folders():
        assert folder.parent_id is None or folder.parent_id in seen
        seen.add(folder.id)
    assert {top, deep} <= seen


def test_special_folders_are_told_by_role_and_the_top_is_no_folder(world: SourceWorld) -> None:
    roles = [folder.role for folder in world.source.folders() if folder.role is not None]
    assert len(roles) == len(set(roles))
    assert Role.INBOX in roles
    assert Role.ROOT not in roles


def test_a_folder_keeps_its_id_when_renamed_or_moved(world: SourceWorld) -> None:
    old, new = world.add_folder("Old"), world.add_folder("New")
    inner = world.add_folder("Inner", old)
    world.rename_folder(inner, "Renamed")
    world.move_folder(inner, new)
    found = folder_of(world.source, inner)
    assert (found.name, found.parent_id) == ("Renamed", new)


def test_a_deleted_folder_is_not_listed(world: SourceWorld) -> None:
    folder_id = world.add_folder("Short-lived")
    world.delete_folder(folder_id)
    assert folder_id not in {folder.id for folder in world.source.folders()}


def test_the_first_listing_gives_every_item_once(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    ids = [world.put(inbox, f"mail {n}") for n in range(8)]
    world.edit(ids[2], "edited before anybody looked")
    changes, _ = read(world.source, folder_of(world.source, inbox))
    assert all(isinstance(change, Put) for change in changes)
    assert sorted(puts(changes)) == sorted(ids)
    assert len(changes) == len(ids)


def test_after_the_end_a_cursor_gives_nothing_new(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    world.put(inbox, "one")
    folder = folder_of(world.source, inbox)
    _, cursor = read(world.source, folder)
    again, cursor = read(world.source, folder, cursor)
    assert again == []
    assert read(world.source, folder, cursor)[0] == []


def test_an_empty_folder_has_one_last_page(world: SourceWorld) -> None:
    page = world.source.changes(folder_of(world.source, world.add_folder("Empty")), None)
    assert page.last
    assert page.changes == ()


def test_every_kind_of_change_is_seen_after_a_cursor(world: SourceWorld) -> None:
    inbox, other = world.special(Role.INBOX), world.add_folder("Other")
    edited, flagged, deleted, moved, still = [world.put(inbox, name) for name in ("e", "f", "d", "m", "s")]
    folder, there = folder_of(world.source, inbox), folder_of(world.source, other)
    before, cursor = read(world.source, folder)
    _, cursor_there = read(world.source, there)
    new = world.put(inbox, "n")
    world.edit(edited, "e2")
    world.mark_read(flagged)
    world.delete(deleted)
    moved_to = world.move(moved, other)

    changes, _ = read(world.source, folder, cursor)
    assert set(puts(changes)) == {new, edited}
    assert puts(changes)[edited].ref.version != puts(before)[edited].ref.version
    flags = {change.id: change.is_read for change in changes if isinstance(change, ReadFlag)}
    assert flags == {flagged: True}
    assert {change.id for change in changes if isinstance(change, Drop)} == {deleted, moved}
    assert still not in {getattr(change, "id", "") for change in changes}

    arrived, _ = read(world.source, there, cursor_there)
    assert set(puts(arrived)) == {moved_to}
    assert identify(puts(arrived)[moved_to].facts).rungs == identify(puts(before)[moved].facts).rungs


def test_an_item_that_was_edited_and_read_is_new_as_a_whole(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    ids = [world.put(inbox, f"mail {n}") for n in range(2)]
    folder = folder_of(world.source, inbox)
    _, cursor = read(world.source, folder)
    world.edit(ids[0], "edited")
    world.mark_read(ids[0])
    world.mark_read(ids[1])
    world.edit(ids[1], "edited")
    assert set(puts(read(world.source, folder, cursor)[0])) == set(ids)


def test_what_happens_between_two_pages_is_not_lost(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    ids = [world.put(inbox, f"mail {n}") for n in range(5)]
    folder = folder_of(world.source, inbox)
    page = world.source.changes(folder, None)
    late = world.put(inbox, "late")
    world.edit(ids[0], "late edit")
    world.delete(ids[4])
    changes, cursor = list(page.changes), page.cursor
    if not page.last:
        rest, cursor = read(world.source, folder, cursor)
        changes += rest
    after, _ = read(world.source, folder, cursor)
    there = set[str]()
    for change in [*changes, *after]:
        if isinstance(change, Put):
            there.add(change.ref.id)
        elif isinstance(change, Drop):
            there.discard(change.id)
    assert there == {*ids[:4], late}


def test_an_item_that_came_and_went_leaves_nothing_behind(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    folder = folder_of(world.source, inbox)
    _, cursor = read(world.source, folder)
    world.delete(world.put(inbox, "short-lived"))
    assert puts(read(world.source, folder, cursor)[0]) == {}


@pytest.mark.parametrize("broken", ["no cursor at all", "foreign"])
def test_a_foreign_cursor_is_stale(world: SourceWorld, broken: str) -> None:
    folder = folder_of(world.source, world.special(Role.INBOX))
    with pytest.raises(StaleCursor):
        world.source.changes(folder, world.foreign_cursor() if broken == "foreign" else broken)


def test_copies_share_an_identity(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    first = world.put(inbox, "copied")
    second = world.copy(first, inbox)
    other = world.put(inbox, "alone")
    found = puts(read(world.source, folder_of(world.source, inbox))[0])
    rungs = {item_id: set(identify(put.facts).rungs) for item_id, put in found.items()}
    assert rungs[first] & rungs[second]
    assert not rungs[first] & rungs[other]


@pytest.mark.parametrize("lane", list(Lane))
def test_fetch_answers_once_a_ref_in_order_and_names_what_is_gone(world: SourceWorld, lane: Lane) -> None:
    if lane not in world.source.offers:
        pytest.skip("this source does not offer the lane")
    inbox = world.special(Role.INBOX)
    ids = [world.put(inbox, f"mail {n}") for n in range(4)]
    found = puts(read(world.source, folder_of(world.source, inbox))[0])
    refs = [found[item_id].ref for item_id in reversed(ids)]
    world.delete(ids[1])
    answers = list(world.source.fetch(refs, lane))
    assert [type(answer) for answer in answers] == [Item, Item, Gone, Item]
    assert [answer.ref.id for answer in answers if isinstance(answer, Item | Gone)] == [ref.id for ref in refs]
    for answer in answers:
        if isinstance(answer, Item):
            assert answer.lane is lane
            assert (answer.stream is None) == (lane is Lane.COMPOSE)
            assert (answer.message is None) == (lane is Lane.IMPORT)
            assert len(answer.digest) == 8


def test_a_digest_stays_until_the_content_changes(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    item_id = world.put(inbox, "one")

    def digest() -> bytes:
        answer = next(iter(world.source.fetch([Ref(item_id)], Lane.COMPOSE)))
        assert isinstance(answer, Item)
        return answer.digest

    first = digest()
    assert digest() == first
    world.edit(item_id, "two")
    assert digest() != first


def test_fetching_nothing_asks_for_nothing(world: SourceWorld) -> None:
    assert list(world.source.fetch([], Lane.IMPORT)) == []


def test_the_inventory_equals_what_the_feed_adds_up_to(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    ids = [world.put(inbox, f"mail {n}") for n in range(6)]
    folder = folder_of(world.source, inbox)
    changes, cursor = read(world.source, folder)
    world.delete(ids[0])
    world.edit(ids[1], "edited")
    ids.append(world.put(inbox, "new"))
    more, _ = read(world.source, folder, cursor)
    versions: dict[str, str] = {}
    for change in [*changes, *more]:
        if isinstance(change, Put):
            versions[change.ref.id] = change.ref.version
        elif isinstance(change, Drop):
            versions.pop(change.id, None)
    entries = list(world.source.inventory(folder))
    assert {entry.id: entry.version for entry in entries} == versions
    assert set(versions) == set(ids[1:])


def test_counts_and_change_stamp_follow_the_folder(world: SourceWorld) -> None:
    inbox = world.special(Role.INBOX)
    item_id = world.put(inbox, "one")
    world.put(inbox, "two")
    before = folder_of(world.source, inbox)
    assert (before.total, before.unread) == (2, 2)
    assert folder_of(world.source, inbox) == before
    world.mark_read(item_id)
    after = folder_of(world.source, inbox)
    assert (after.total, after.unread) == (2, 1)
    assert after.change_stamp is None or after.change_stamp != before.change_stamp


def test_figures_are_numbers_and_only_grow(world: SourceWorld) -> None:
    before = world.source.figures()
    list(world.source.folders())
    after = world.source.figures()
    assert all(after[name] >= value for name, value in before.items())
    assert sum(value for name, value in after.items() if name.startswith("requests.")) > 0
