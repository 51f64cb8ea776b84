"""What every destination promises, in each world that there is."""

from __future__ import annotations

import dataclasses

import pytest
from contract_worlds import DestinationWorld, Sample
from msgspec.structs import replace

from connectors.base import Claim, Folder, Lane, Outcome, Receipt, Refusal, Role, Unsent, Write, WriteKind, item_key, stamp_of

BOTH = pytest.mark.parametrize("lane", list(Lane))


def place(
    target: DestinationWorld, name: str = "Projects", *, parent: str | None = None, known: str | None = None, source: str = ""
) -> str:
    return target.destination.place_folder(Folder(source or f"source/{name}", None, name), parent, known)


def creation(sample: Sample, folder_id: str) -> Write:
    item = sample.item
    stamp = stamp_of(item_key(item.ref.id))
    return Write(kind=WriteKind.CREATE, lane=item.lane, item_class=item.item_class, folder_id=folder_id, stamp=stamp, item=item)


def create(target: DestinationWorld, sample: Sample, folder_id: str) -> Receipt:
    (outcome,) = target.destination.write([creation(sample, folder_id)]).result(30)
    assert isinstance(outcome, Receipt), outcome
    return outcome


def do(target: DestinationWorld, write: Write) -> Outcome:
    (outcome,) = target.destination.write([write]).result(30)
    return outcome


# ---- folders


def test_placing_a_folder_again_changes_nothing(target: DestinationWorld) -> None:
    first = place(target)
    assert place(target) == first
    assert place(target, known=first) == first
    assert target.again().place_folder(Folder("source/Projects", None, "Projects"), None, None) == first


def test_a_special_folder_is_found_by_its_role_whatever_its_name(target: DestinationWorld) -> None:
    inbox = target.destination.place_folder(Folder("a", None, "Posteingang", role=Role.INBOX), None, None)
    sent = target.destination.place_folder(Folder("b", None, "Inbox", role=Role.SENT), None, None)
    assert inbox != sent
    assert target.destination.place_folder(Folder("a", None, "Inbox", role=Role.INBOX), None, inbox) == inbox


def test_a_known_folder_is_renamed_and_moved_to_fit(target: DestinationWorld) -> None:
    old, new = place(target, "Old"), place(target, "New")
    inner = place(target, "Inner", parent=old)
    assert place(target, "Renamed", parent=new, known=inner, source="source/Inner") == inner
    assert (target.folder_name(inner), target.parent_of(inner)) == ("Renamed", new)


def test_a_folder_that_the_user_renamed_gets_its_name_back(target: DestinationWorld) -> None:
    folder_id = place(target)
    target.rename_folder(folder_id, "Mine")
    assert target.again().place_folder(Folder("source/Projects", None, "Projects"), None, folder_id) == folder_id
    assert target.folder_name(folder_id) == "Projects"


def test_a_folder_that_the_user_deleted_is_made_again(target: DestinationWorld) -> None:
    folder_id = place(target)
    target.delete_folder(folder_id)
    revived = target.again().place_folder(Folder("source/Projects", None, "Projects"), None, folder_id)
    assert revived != folder_id
    assert target.folder_name(revived) == "Projects"


def test_names_that_differ_in_case_only_share_one_place_and_the_first_names_it(target: DestinationWorld) -> None:
    shared = place(target, "Notes 2021", source="x")
    assert place(target, "notes 2021", source="y") == shared
    for _ in range(2):
        assert place(target, "notes 2021", source="y", known=shared) == shared
        assert place(target, "Notes 2021", source="x", known=shared) == shared
    assert target.folder_name(shared) == "Notes 2021"


def test_a_rename_to_a_siblings_name_keeps_both_folders(target: DestinationWorld) -> None:
    taken, other = place(target, "Taken", source="x"), place(target, "Other", source="y")
    assert place(target, "taken", source="y", known=other) == other
    assert target.folder_name(taken) == "Taken"
    assert target.folder_name(other).casefold() != "taken"


def test_folders_of_another_kind_or_role_are_not_shared(target: DestinationWorld) -> None:
    destination = target.destination
    inbox = destination.place_folder(Folder("i", None, "Inbox", role=Role.INBOX), None, None)
    namesake = place(target, target.folder_name(inbox))
    mail = place(target, "Both")
    contacts = destination.place_folder(Folder("c", None, "Both", kind="IPF.Contact"), None, None)
    assert len({inbox, namesake, mail, contacts}) == 4


def test_only_an_empty_folder_of_ours_is_removed(target: DestinationWorld) -> None:
    outer = place(target, "Outer")
    inner = place(target, "Inner", parent=outer)
    assert not target.destination.remove_folder(outer)
    receipt = create(target, target.mail(Lane.COMPOSE), inner)
    assert not target.destination.remove_folder(inner)
    do(target, Write(kind=WriteKind.REMOVE, target_id=receipt.target_id))
    assert target.destination.remove_folder(inner)
    assert target.destination.remove_folder(outer)
    assert target.destination.remove_folder(outer), "gone is gone"
    inbox = target.destination.place_folder(Folder("a", None, "Inbox", role=Role.INBOX), None, None)
    assert not target.destination.remove_folder(inbox)


# ---- writing


@BOTH
def test_outcomes_come_in_order_and_number(target: DestinationWorld, lane: Lane) -> None:
    folder_id = place(target)
    samples = [target.mail(lane, f"mail {n}") for n in range(7)]
    outcomes = target.destination.write([creation(sample, folder_id) for sample in samples]).result(30)
    assert len(outcomes) == 7
    found = target.destination.find([sample.identity for sample in samples])
    for sample, outcome in zip(samples, outcomes, strict=True):
        assert isinstance(outcome, Receipt)
        assert [ref.id for ref in found[sample.identity]] == [outcome.target_id]


def test_writing_nothing_gives_nothing(target: DestinationWorld) -> None:
    assert target.destination.write([]).result(30) == []


@BOTH
def test_two_writes_may_be_open_at_once(target: DestinationWorld, lane: Lane) -> None:
    folder_id = place(target)
    first = target.destination.write([creation(target.mail(lane, f"first {n}"), folder_id) for n in range(5)])
    second = target.destination.write([creation(target.mail(lane, f"second {n}"), folder_id) for n in range(5)])
    ids = {outcome.target_id for each in (second, first) for outcome in each.result(30) if isinstance(outcome, Receipt)}
    assert len(ids) == 10
    assert {entry.id for entry in target.destination.inventory(folder_id)} == ids


@BOTH
def test_a_write_into_a_folder_that_is_gone_did_nothing(target: DestinationWorld, lane: Lane) -> None:
    folder_id = place(target)
    target.delete_folder(folder_id)
    outcome = do(target, creation(target.mail(lane), folder_id))
    assert isinstance(outcome, Unsent)


def test_a_damaged_stream_is_refused_and_its_neighbours_go(target: DestinationWorld) -> None:
    folder_id = place(target)
    good, bad = target.mail(Lane.IMPORT, "good"), target.mail(Lane.IMPORT, "bad")
    broken = replace(creation(bad, folder_id), item=dataclasses.replace(bad.item, stream=b"AAAA"))
    outcomes = target.destination.write([broken, creation(good, folder_id)]).result(30)
    assert isinstance(outcomes[0], Refusal)
    assert isinstance(outcomes[1], Receipt)


def test_a_read_flag_is_set_and_taken_back(target: DestinationWorld) -> None:
    folder_id = place(target)
    receipt = create(target, target.mail(Lane.COMPOSE), folder_id)
    for wanted in (True, False):
        outcome = do(target, Write(kind=WriteKind.FLAG, target_id=receipt.target_id, is_read=wanted))
        assert isinstance(outcome, Receipt)
        (entry,) = target.destination.inventory(folder_id)
        assert entry.facts.is_read in (wanted, None)


def test_several_read_flags_go_together(target: DestinationWorld) -> None:
    folder_id = place(target)
    ids = [create(target, target.mail(Lane.COMPOSE, f"mail {n}"), folder_id).target_id for n in range(3)]
    writes = [Write(kind=WriteKind.FLAG, target_id=each, is_read=True) for each in [ids[0], "not-there", *ids[1:]]]
    outcomes = target.destination.write(writes).result(30)
    assert [type(outcome) for outcome in outcomes] == [Receipt, Refusal, Receipt, Receipt]


@BOTH
def test_a_moved_item_is_found_in_its_new_folder_under_its_new_stamp(target: DestinationWorld, lane: Lane) -> None:
    old, new = place(target, "Old"), place(target, "New")
    sample = target.mail(lane)
    receipt = create(target, sample, old)
    stamp = stamp_of(item_key("its new source id"))
    write = Write(kind=WriteKind.MOVE, lane=lane, target_id=receipt.target_id, folder_id=new, stamp=stamp)
    outcome = do(target, write)
    assert isinstance(outcome, Receipt)
    assert list(target.destination.inventory(old)) == []
    (ref,) = target.destination.find([sample.identity])[sample.identity]
    assert (ref.id, ref.folder_id) == (outcome.target_id, new)
    if lane is Lane.COMPOSE:
        assert ref.stamp == stamp


def test_removing_what_is_gone_is_fine(target: DestinationWorld) -> None:
    folder_id = place(target)
    receipt = create(target, target.mail(Lane.COMPOSE), folder_id)
    remove = Write(kind=WriteKind.REMOVE, target_id=receipt.target_id)
    assert isinstance(do(target, remove), Receipt)
    assert isinstance(do(target, remove), Receipt)
    assert target.destination.peek([receipt.target_id]) == [None]


def test_an_update_needs_the_version_that_was_seen(target: DestinationWorld) -> None:
    folder_id = place(target)
    first = create(target, target.mail(Lane.IMPORT, "first", "<x@source.example>"), folder_id)
    changed = target.mail(Lane.IMPORT, "second", "<x@source.example>")
    write = Write(kind=WriteKind.UPDATE, folder_id=folder_id, target_id=first.target_id, version=first.version, item=changed.item)
    second = do(target, write)
    assert isinstance(second, Receipt)
    assert second.target_id == first.target_id
    late = do(target, write)
    assert isinstance(late, Refusal)
    assert late.reason == "target-changed"
    assert len(list(target.destination.inventory(folder_id))) == 1


def test_a_users_change_makes_the_version_another(target: DestinationWorld) -> None:
    folder_id = place(target)
    receipt = create(target, target.mail(Lane.IMPORT), folder_id)
    (before,) = target.destination.peek([receipt.target_id])
    assert before is not None
    assert receipt.version in ("", before.version)
    target.mark_read(receipt.target_id)
    (after,) = target.destination.peek([receipt.target_id])
    assert after is not None
    assert after.version != before.version


# ---- looking


def test_a_composed_item_is_found_by_its_stamp_alone(target: DestinationWorld) -> None:
    folder_id = place(target)
    sample = target.mail(Lane.COMPOSE)
    receipt = create(target, sample, folder_id)
    stamp = stamp_of(item_key(sample.item.ref.id))
    bare = replace(sample.identity, search_key=None, message_id=None, subject_hash=None, when=None, stamp=stamp)
    (ref,) = target.destination.find([bare])[bare]
    assert (ref.id, ref.folder_id, ref.stamp) == (receipt.target_id, folder_id, stamp)


def test_an_imported_item_is_found_by_its_identity_by_a_later_process(target: DestinationWorld) -> None:
    folder_id = place(target)
    sample = target.mail(Lane.IMPORT)
    receipt = create(target, sample, folder_id)
    other = target.mail(Lane.IMPORT, "another").identity
    found = target.again().find([sample.identity, other])
    assert [ref.id for ref in found[sample.identity]] == [receipt.target_id]
    assert found[other] == []
    assert set(found[sample.identity][0].rungs) & set(sample.identity.rungs)


@BOTH
def test_equal_copies_are_counted_wherever_they_are(target: DestinationWorld, lane: Lane) -> None:
    here, there = place(target, "Here"), place(target, "There")
    samples = [target.mail(lane, "same", "<same@source.example>", name=name) for name in ("one", "two", "three")]
    ids = {create(target, sample, folder).target_id for sample, folder in zip(samples, (here, here, there), strict=True)}
    (refs,) = target.destination.find([samples[0].identity]).values()
    assert len(refs) == 3
    assert {ref.id for ref in refs} == ids


def test_finding_nothing_asks_for_nothing(target: DestinationWorld) -> None:
    assert target.destination.find([]) == {}
    assert target.destination.peek([]) == []


def test_peek_answers_in_order_and_names_what_is_gone(target: DestinationWorld) -> None:
    folder_id = place(target)
    ids = [create(target, target.mail(Lane.COMPOSE, f"mail {n}"), folder_id).target_id for n in range(3)]
    target.delete(ids[1])
    answers = target.destination.peek([*reversed(ids)])
    assert [answer and answer.id for answer in answers] == [ids[2], None, ids[0]]
    assert all(answer is None or answer.folder_id == folder_id for answer in answers)


def test_the_inventory_shows_every_item_with_stamp_and_version(target: DestinationWorld) -> None:
    folder_id = place(target)
    composed, imported = target.mail(Lane.COMPOSE, "composed"), target.mail(Lane.IMPORT, "imported")
    first, second = create(target, composed, folder_id), create(target, imported, folder_id)
    entries = {entry.id: entry for entry in target.destination.inventory(folder_id)}
    assert set(entries) == {first.target_id, second.target_id}
    assert entries[first.target_id].stamp == stamp_of(item_key("composed"))
    assert entries[second.target_id].stamp is None
    assert entries[first.target_id].facts.message_id in ("<composed@source.example>", None)


def test_the_inventory_of_a_folder_that_is_not_there_is_empty(target: DestinationWorld) -> None:
    folder_id = place(target)
    target.delete_folder(folder_id)
    assert list(target.destination.inventory(folder_id)) == []


# ---- claim and figures


def test_a_claim_is_carried_by_the_mailbox(target: DestinationWorld) -> None:
    assert target.destination.claim() is None
    target.destination.stake(Claim("installation-1", 3, 77))
    assert target.again().claim() == Claim("installation-1", 3, 77)
    target.destination.stake(Claim("installation-1", 4, 90))
    assert target.destination.claim() == Claim("installation-1", 4, 90)


def test_figures_are_numbers_and_only_grow(target: DestinationWorld) -> None:
    before = target.destination.figures()
    create(target, target.mail(Lane.IMPORT), place(target))
    after = target.destination.figures()
    assert all(after[name] >= value for name, value in before.items())
    assert sum(value for name, value in after.items() if name.startswith("requests.")) > 0
    assert after["bytes.sent"] > 0
