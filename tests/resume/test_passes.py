"""What passes do, pass after pass, over a real ledger on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from resume_world import Poisoned, World, done, furnished, id_of

from connectors.base import Claim, Doubt, Lane, Refusal, Unsent, WriteKind
from connectors.errors import MailboxBlocked, Unavailable
from state.model import IllegalMove, MailboxState, PassKind, PassState
from state.store import Ledger

SEED = PassKind.SEED


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_seed_carries_everything_once_and_the_next_pass_nothing(ledger_url: str, lane: str) -> None:
    world = furnished(ledger_url, lane=lane)
    assert world.run(SEED).state is PassState.DONE
    assert world.at_target() == world.at_source()
    assert world.states() == {"DONE": 9}
    again = world.run()
    assert again.state is PassState.DONE
    assert not {"created", "updated", "moved", "removed", "flagged"} & again.figures.keys()


@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("immutable", [True, False])
def test_changes_follow(sqlite_url: str, lane: str, immutable: bool) -> None:
    world = furnished(sqlite_url, lane=lane, immutable_ids=immutable)
    world.run(SEED)
    kept = world.copy_of("mail 2")
    world.source.put(world.inbox, "news", body="n")
    world.source.edit(id_of(world, "mail 0"), body="other text")
    world.source.mark_read(id_of(world, "mail 1"))
    world.source.move(id_of(world, "mail 2"), world.projects)  # type: ignore[attr-defined]
    world.source.delete(id_of(world, "mail 3"))
    report = world.run()
    assert report.state is PassState.DONE
    assert world.at_target() == world.at_source()
    words = ("created", "updated", "flagged", "moved", "removed")
    assert [report.figures.get(word) for word in words] == [1, 1, 1, 1, 1]
    if immutable:
        assert world.copy_of("mail 2").id == kept.id
    assert world.states() == {"DONE": 9, "GONE": 1}


def test_the_rails_stop_a_mass_delete_until_a_person_says_so(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.run(SEED)
    for number in range(6):
        world.source.delete(id_of(world, f"mail {number}"))
    stopped = world.run(max_deletes=2)
    assert stopped.state is PassState.PAUSED
    assert "--approve-deletes" in stopped.cause
    assert len(world.target.items) == 9
    assert world.run(max_deletes=2, approve_deletes=True).state is PassState.DONE
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_dead_cursors_list_again_and_send_nothing(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    world.source.expire_cursors()
    report = world.run(list_fully_hours=0)
    assert (report.state, report.figures["listed_again"] > 0) == (PassState.DONE, True)
    assert "created" not in report.figures
    assert world.at_target() == world.at_source()


def test_a_restored_source_with_new_ids_is_adopted(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.run(SEED)
    before = set(world.target.items)
    world.source.restore()
    report = world.run()
    assert report.state is PassState.DONE
    assert set(world.target.items) == before
    assert "created" not in report.figures


def test_what_the_targets_user_did_is_left_alone(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.run(SEED)
    edited, moved, deleted, read = (world.copy_of(f"mail {number}") for number in range(4))
    world.target.edit(edited.id, body="mine")
    world.target.move(moved.id, world.copy_of("plan").folder_id)
    world.target.delete(deleted.id)
    world.target.mark_read(read.id)
    mine = world.at_target()
    for number in range(4):
        world.source.edit(id_of(world, f"mail {number}"), body="theirs")
    report = world.run()
    assert report.state is PassState.DONE
    assert report.figures["target_wins"] == 4
    assert world.at_target() == mine
    with Ledger.open(world.url) as ledger:
        assert [one.reason for one in ledger.left_alone()] == ["target-changed"] * 4
    world.target.edit(read.id, body="mine again")
    world.source.delete(id_of(world, "mail 3"))
    world.run()
    with Ledger.open(world.url) as ledger:
        assert [one.state.name for one in ledger.left_alone()].count("GONE") == 1
    assert read.id in world.target.items


def test_after_cutover_a_pass_only_adds_whatever_is_configured(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.run(SEED)
    for number, act in enumerate((world.source.delete, world.source.mark_read)):
        act(id_of(world, f"mail {number}"))
    world.source.edit(id_of(world, "mail 2"), body="edited at the source")
    world.source.move(id_of(world, "mail 3"), world.projects)  # type: ignore[attr-defined]
    world.source.put(world.inbox, "late mail")
    before = dict(world.target.items)
    contents = {item: (one.folder_id, one.content) for item, one in before.items()}
    report = world.run(PassKind.SWEEP, max_deletes=10**6, max_delete_share=1.0, approve_deletes=True)
    assert report.state is PassState.DONE
    assert report.figures["created"] == 1
    assert {item: (one.folder_id, one.content) for item, one in world.target.items.items() if item in before} == contents
    with Ledger.open(world.url) as ledger:
        assert {one.reason for one in ledger.left_alone()} == {"after-cutover"}
        for state in (MailboxState.SYNCING, MailboxState.READY, MailboxState.LOCKED, MailboxState.FINAL, MailboxState.ROUTED):
            if state is MailboxState.SYNCING:
                ledger.move_mailbox(world.mailbox_id, MailboxState.SEEDING, "")
            ledger.move_mailbox(world.mailbox_id, state, "")
    for kind in (SEED, PassKind.DELTA, PassKind.FINAL):
        with pytest.raises(IllegalMove):
            world.run(kind, approve_deletes=True)
    assert world.run(PassKind.SWEEP).state is PassState.DONE


def test_after_cutover_folders_stay_as_their_owner_has_them_and_one_that_is_gone_is_made_again(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.run(SEED)
    with Ledger.open(world.url) as ledger:
        places = {row.name: row.target_id for row in ledger.folders(world.mailbox_id)}
    boxes = world.target.boxes
    boxes[places["Projects"]].name = "Mine now"  # type: ignore[index]
    world.source.put(world.projects, "late mail")  # type: ignore[attr-defined]
    assert world.run(PassKind.SWEEP).state is PassState.DONE
    assert boxes[places["Projects"]].name == "Mine now"  # type: ignore[index]
    assert world.copy_of("late mail").folder_id == places["Projects"]
    world.target.items.clear()
    del boxes[places["Projects"]]  # type: ignore[arg-type]
    world.source.put(world.projects, "later mail")  # type: ignore[attr-defined]
    assert world.run(PassKind.SWEEP).state is PassState.DONE
    assert boxes[world.copy_of("later mail").folder_id].name == "Projects"


def test_nobody_gets_a_receipt(sqlite_url: str) -> None:
    world = World(sqlite_url)
    for subject in ("read me", "drop me"):
        world.source.put(world.inbox, subject, wants_read_receipt=True)
    world.run(SEED)
    world.source.mark_read(id_of(world, "read me"))
    world.source.delete(id_of(world, "drop me"))
    report = world.run()
    assert report.figures["withheld"] == 1
    assert {one.content.message.is_read for one in world.target.items.values()} == {False}
    assert world.states() == {"DONE": 1, "WITHHELD": 1}


def test_a_target_of_another_ledger_and_a_ledger_that_forgot_are_refused(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.target.claim = Claim("somebody else", 1, 1)
    with pytest.raises(MailboxBlocked, match="Another ledger"):
        world.run(SEED)
    world.target.claim = None
    world.run(SEED)
    claim = world.target.claim
    assert claim is not None
    world.target.claim = Claim(claim.installation, claim.epoch, claim.sequence + 1_000_000)
    with pytest.raises(MailboxBlocked, match="older than"):
        world.run()


def test_folders_follow_when_renamed_moved_and_deleted(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    old = world.source.add_folder("Old")
    world.source.put(old, "relic")
    world.run(SEED)
    world.source.rename_folder(world.projects, "Work")  # type: ignore[attr-defined]
    world.run()
    assert "Work" in {box.name for box in world.target.boxes.values()}
    world.source.delete_folder(old)
    assert world.run(max_delete_share=1.0).state is PassState.DONE
    assert len(world.target.items) == 10, "one listing without a folder proves nothing yet"
    assert world.run(max_delete_share=1.0).state is PassState.DONE
    assert world.at_target() == world.at_source()
    assert "Old" not in {box.name for box in world.target.boxes.values()}


class _Answering:
    """A destination whose first create has another answer than the truth."""

    def __init__(self, inner: Any, answer: Any, *, act: bool) -> None:
        self._inner, self._answer, self._act, self._armed = inner, answer, act, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, writes: Any) -> Any:
        creates = [one for one in writes if one.kind is WriteKind.CREATE]
        if not self._armed or not creates:
            return self._inner.write(writes)
        self._armed = False
        rest = self._inner.write(writes if self._act else writes[1:]).result()
        return done([self._answer, *(rest[1:] if self._act else rest)])


@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("acted", [True, False])
def test_a_lost_answer_is_looked_up_and_never_doubled(sqlite_url: str, lane: str, acted: bool) -> None:
    world = furnished(sqlite_url, lane=lane)
    doubt = Doubt(Unavailable("the line was cut"))
    world.wrap_target = lambda inner: _Answering(inner, doubt, act=acted)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert (report.figures["doubts"], report.figures["healed"]) == (1, 1)
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_an_item_with_neither_id_nor_time_is_found_again_too(sqlite_url: str, lane: str) -> None:
    world = World(sqlite_url, lane=lane)
    for _ in range(2):
        world.source.put(world.inbox, "no id, no time", message_id=None, submitted=None, received=None)
    doubt = Doubt(Unavailable("the line was cut"))
    world.wrap_target = lambda inner: _Answering(inner, doubt, act=True)
    assert world.run(SEED).state is PassState.DONE
    assert len(world.target.items) == 2


def test_what_did_not_leave_pauses_the_pass_and_goes_with_the_next(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    unsent = Unsent(Unavailable("away", did_nothing=True))
    world.wrap_target = lambda inner: _Answering(inner, unsent, act=False)
    assert world.run(SEED).state is PassState.PAUSED
    world.wrap_target = lambda inner: inner
    assert world.run(SEED).state is PassState.DONE
    assert world.at_target() == world.at_source()


def test_an_item_that_one_lane_refuses_goes_by_the_other(sqlite_url: str) -> None:
    refusal = Refusal("corrupt", "It is corrupt.")
    world = furnished(sqlite_url, refuse=lambda write: refusal if write.lane is Lane.IMPORT else None)
    report = world.run(SEED)
    assert report.figures["other_lane"] == 9
    assert world.at_target() == world.at_source()


def test_a_refused_item_is_named_and_alone(sqlite_url: str) -> None:
    refusal = Refusal("corrupt", "It is corrupt.", "ErrorCorruptData")
    world = furnished(
        sqlite_url, lane="import", refuse=lambda write: refusal if write.stamp and write.stamp[-1] in "01234567" else None
    )
    report = world.run(SEED)
    states = world.states()
    assert report.state is PassState.DONE
    assert states.get("REFUSED", 0) + states.get("DONE", 0) == 9
    assert len(world.target.items) == states.get("DONE", 0)


def test_a_poisoned_item_fails_alone(sqlite_url: str) -> None:
    world = furnished(sqlite_url, page_size=100)
    poison = id_of(world, "mail 3")
    world.wrap_source = lambda inner: Poisoned(inner, poison)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert world.states() == {"DONE": 8, "REFUSED": 1}


@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("how", ["delete", "edit"])
def test_a_copy_that_stayed_unread_for_a_receipts_sake_stays(sqlite_url: str, lane: str, between: bool, how: str) -> None:
    world = World(sqlite_url, lane=lane)
    item = world.source.put(world.inbox, "read me", wants_read_receipt=True)
    world.run(SEED)
    [copy] = world.target.items
    world.source.mark_read(item)
    if between:
        world.run()
    if how == "delete":
        world.source.delete(item)
    else:
        world.source.edit(item, body="other text")
    assert world.run(approve_deletes=True).state is PassState.DONE
    assert copy in world.target.items
