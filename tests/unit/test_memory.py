"""What the doubles do beyond the contract: the switches, and the user's side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from connectors.base import (
    Attachment,
    Drop,
    Folder,
    Identity,
    Item,
    Lane,
    Put,
    Receipt,
    Ref,
    Refusal,
    Role,
    Unsent,
    Write,
    WriteKind,
    identify,
    item_key,
    stamp_of,
)
from connectors.errors import StaleCursor, Unavailable
from connectors.memory import Content, MemoryDestination, MemoryMailbox, MemorySource, MemoryTarget
from connectors.memory_target import pack, unpack


def carry(source: MemorySource, destination: MemoryDestination, item_id: str, lane: Lane = Lane.IMPORT) -> tuple[str, Identity]:
    """Carry one item into the inbox; its target id and the identity by which the source knows it."""
    (item,) = source.fetch([Ref(item_id)], lane)
    assert isinstance(item, Item)
    inbox = destination.target.special(Role.INBOX)
    write = Write(kind=WriteKind.CREATE, lane=lane, folder_id=inbox, item=item, stamp=stamp_of(item_key(item_id)))
    (outcome,) = destination.write([write]).result()
    assert isinstance(outcome, Receipt)
    stored = source.mailbox.items[item_id]
    (entry,) = [entry for entry in source.inventory(folder(source, stored.folder_id)) if entry.id == item_id]
    return outcome.target_id, identify(entry.facts)


def folder(source: MemorySource, folder_id: str) -> Folder:
    return next(each for each in source.folders() if each.id == folder_id)


@pytest.fixture
def mailbox() -> MemoryMailbox:
    return MemoryMailbox()


@pytest.fixture
def inbox(mailbox: MemoryMailbox) -> str:
    return mailbox.special(Role.INBOX)


def test_a_stream_carries_the_whole_content(mailbox: MemoryMailbox, inbox: str) -> None:
    source, target = MemorySource(mailbox), MemoryTarget()
    item_id = mailbox.put(
        inbox, "Ünïcode ✓", body="b", categories=("red",), attachments=[Attachment("a.txt", "text/plain", b"QUJD", size=3)]
    )
    target_id, _ = carry(source, MemoryDestination(target, whole_seconds=False), item_id)
    assert target.items[target_id].content.message == mailbox.items[item_id].content.message
    content = mailbox.items[item_id].content
    assert unpack(pack(content)) == content


def test_an_imported_item_gets_a_new_search_key_unless_told_otherwise(mailbox: MemoryMailbox, inbox: str) -> None:
    source, item_id = MemorySource(mailbox), mailbox.put(inbox, "one")
    for keep in (False, True):
        target = MemoryTarget()
        target_id, _ = carry(source, MemoryDestination(target, keep_search_key=keep), item_id)
        assert (target.items[target_id].content.search_key == mailbox.items[item_id].content.search_key) is keep
        assert target.items[target_id].stamp is None


def test_an_item_without_a_message_id_is_still_found(mailbox: MemoryMailbox, inbox: str) -> None:
    source, destination = MemorySource(mailbox), MemoryDestination(MemoryTarget())
    target_id, identity = carry(source, destination, mailbox.put(inbox, "draft", message_id=None, is_draft=True))
    assert [ref.id for ref in destination.find([identity])[identity]] == [target_id]


def test_a_new_item_is_seen_by_find_only_after_the_lag_but_by_peek_at_once(mailbox: MemoryMailbox, inbox: str) -> None:
    now = [1_700_000_000.0]
    destination = MemoryDestination(MemoryTarget(clock=lambda: now[0]), lag=30)
    target_id, identity = carry(MemorySource(mailbox), destination, mailbox.put(inbox, "one"))
    assert destination.limits.settle_horizon == 30
    assert destination.find([identity])[identity] == []
    assert destination.peek([target_id]) != [None]
    now[0] += 30
    assert len(destination.find([identity])[identity]) == 1


def test_ids_change_on_a_move_if_they_are_not_immutable(mailbox: MemoryMailbox, inbox: str) -> None:
    target = MemoryTarget()
    destination = MemoryDestination(target, immutable_ids=False)
    target_id, _ = carry(MemorySource(mailbox), destination, mailbox.put(inbox, "one"))
    sent = target.special(Role.SENT)
    (outcome,) = destination.write([Write(kind=WriteKind.MOVE, target_id=target_id, folder_id=sent)]).result()
    assert isinstance(outcome, Receipt)
    assert outcome.target_id != target_id
    assert list(target.items) == [outcome.target_id]


def test_only_what_can_be_moved_is_moved() -> None:
    target = MemoryTarget()
    calendar = target.special(Role.CALENDAR)
    item_id = target.deliver(calendar, Content(item_class="IPM.Appointment"))
    write = Write(kind=WriteKind.MOVE, target_id=item_id, folder_id=target.special(Role.INBOX))
    (outcome,) = MemoryDestination(target).write([write]).result()
    assert isinstance(outcome, Refusal)
    assert target.items[item_id].folder_id == calendar


def test_an_appointment_can_only_be_imported(mailbox: MemoryMailbox) -> None:
    item_id = mailbox.put(mailbox.special(Role.CALENDAR), "Lunch", item_class="IPM.Appointment", has_attendees=True)
    source = MemorySource(mailbox)
    assert [type(answer) for answer in source.fetch([Ref(item_id)], Lane.COMPOSE)] == [Refusal]
    target_id, identity = carry(source, MemoryDestination(MemoryTarget()), item_id)
    assert identity.message_id is None
    assert target_id


def test_a_refused_item_and_a_missing_target_have_their_words(mailbox: MemoryMailbox, inbox: str) -> None:
    poison = Refusal("corrupt", "on purpose")
    item_id = mailbox.put(inbox, "bad")
    source = MemorySource(mailbox, cannot_read=lambda each: poison if each == item_id else None)
    assert list(source.fetch([Ref(item_id)], Lane.IMPORT)) == [poison]
    destination = MemoryDestination(MemoryTarget(), refuse=lambda write: poison if write.kind is WriteKind.FLAG else None)
    flag = Write(kind=WriteKind.FLAG, target_id="x", is_read=True)
    move = Write(kind=WriteKind.MOVE, target_id="x", folder_id=destination.target.special(Role.INBOX))
    nowhere = Write(kind=WriteKind.MOVE, target_id="x", folder_id="nowhere")
    outcomes = destination.write([flag, move, nowhere]).result()
    assert outcomes[0] == poison
    assert isinstance(outcomes[1], Refusal)
    assert outcomes[1].reason == "target-gone"
    assert isinstance(outcomes[2], Unsent)


def test_expired_cursors_and_other_folders_cursors_are_stale(mailbox: MemoryMailbox, inbox: str) -> None:
    source = MemorySource(mailbox)
    cursor = source.changes(folder(source, inbox), None).cursor
    with pytest.raises(StaleCursor):
        source.changes(folder(source, mailbox.special(Role.SENT)), cursor)
    mailbox.expire_cursors()
    with pytest.raises(StaleCursor):
        source.changes(folder(source, inbox), cursor)


def test_a_restore_gives_every_item_a_new_id(mailbox: MemoryMailbox, inbox: str) -> None:
    source = MemorySource(mailbox)
    ids = [mailbox.put(inbox, f"mail {n}") for n in range(3)]
    before = {entry.id: identify(entry.facts).rungs for entry in source.inventory(folder(source, inbox))}
    names = mailbox.restore()
    after = {entry.id: identify(entry.facts).rungs for entry in source.inventory(folder(source, inbox))}
    assert sorted(names) == sorted(ids)
    assert {names[old]: rungs for old, rungs in before.items()} == after
    assert set(ids).isdisjoint(after)


def test_deleting_a_folder_drops_what_was_in_it(mailbox: MemoryMailbox) -> None:
    source = MemorySource(mailbox)
    outer = mailbox.add_folder("Outer")
    inner = mailbox.add_folder("Inner", outer)
    item_id = mailbox.put(inner, "one")
    shown = folder(source, inner)
    cursor = source.changes(shown, None).cursor
    mailbox.delete_folder(outer)
    assert mailbox.items == {}
    assert source.changes(shown, cursor).changes == (Drop(item_id),)


def test_an_item_that_leaves_and_is_back_is_there(mailbox: MemoryMailbox, inbox: str) -> None:
    source = MemorySource(mailbox)
    item_id = mailbox.put(inbox, "one")
    cursor = source.changes(folder(source, inbox), None).cursor
    elsewhere = mailbox.move(item_id, mailbox.special(Role.SENT))
    back = mailbox.move(elsewhere, inbox)
    changes = source.changes(folder(source, inbox), cursor).changes
    assert [type(change) for change in changes] == [Drop, Put]
    assert {change.id if isinstance(change, Drop) else change.ref.id for change in changes} == {item_id, back}  # type: ignore[union-attr]


def test_a_place_below_a_folder_that_is_gone_can_be_asked_for_again() -> None:
    destination = MemoryDestination(MemoryTarget())
    with pytest.raises(Unavailable) as raised:
        destination.place_folder(Folder("x", "p", "x"), "gone", None)
    assert raised.value.did_nothing


def test_times_are_cut_to_seconds_and_sizes_are_the_targets_own(mailbox: MemoryMailbox, inbox: str) -> None:
    target = MemoryTarget()
    item_id = mailbox.put(inbox, "one", body="x" * 1000)
    mailbox.edit(item_id, submitted=mailbox.items[item_id].created + timedelta(milliseconds=300))
    target_id, identity = carry(MemorySource(mailbox), MemoryDestination(target, size_factor=2), item_id)
    kept = target.items[target_id]
    assert kept.content.message.submitted == mailbox.items[item_id].created
    assert kept.size == 2 * kept.content.size
    assert len(MemoryDestination(target).find([identity])[identity]) == 1


def test_the_users_changes_are_seen(mailbox: MemoryMailbox, inbox: str) -> None:
    target = MemoryTarget()
    destination = MemoryDestination(target)
    target_id, _ = carry(MemorySource(mailbox), destination, mailbox.put(inbox, "one"))
    target.edit(target_id, subject="mine")
    target.move(target_id, target.special(Role.ARCHIVE))
    (ref,) = destination.peek([target_id])
    assert ref is not None
    assert ref.folder_id == target.special(Role.ARCHIVE)
    assert target.path(ref.folder_id) == "Archive"
    assert target.items[target_id].content.message.subject == "mine"
    target.delete(target_id)
    assert destination.peek([target_id]) == [None]
    assert target.sent == []


def test_a_fetch_that_breaks_off_leaves_the_mailbox_to_others(mailbox: MemoryMailbox, inbox: str) -> None:
    refs = [Ref(mailbox.put(inbox, subject), "") for subject in ("one", "two")]
    broken_off = MemorySource(mailbox).fetch(refs, Lane.IMPORT)
    next(broken_off)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(mailbox.lock.acquire, timeout=5).result()
