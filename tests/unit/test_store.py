"""What the ledger promises, on SQLite and on Postgres: one method, one transaction, one sentence."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from state import engines
from state.model import (
    BoundElsewhere,
    Fenced,
    FolderRow,
    IllegalMove,
    ItemState,
    Lease,
    LeaseHeld,
    LedgerError,
    MailboxState,
    Mark,
    Open,
    PassKind,
    PassState,
    Row,
    Step,
    Tally,
    Work,
)
from state.store import Ledger

LISTED, INTENDED, DONE, REFUSED = ItemState.LISTED, ItemState.INTENDED, ItemState.DONE, ItemState.REFUSED
WITHHELD, FILTERED, DOOMED, GONE = ItemState.WITHHELD, ItemState.FILTERED, ItemState.DOOMED, ItemState.GONE


def key_of(word: object) -> bytes:
    return hashlib.blake2b(str(word).encode(), digest_size=16).digest()


def target_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(54)).decode()


def listed(word: object, folder_id: int, size: int = 100) -> Step:
    row = Row(key=key_of(word), folder_id=folder_id, state=LISTED, size=size)
    return Step(None, row, Open(item_id=f"item {word}"))


def intended(step: Step) -> Step:
    assert step.open
    return Step(step.new, replace(step.new, state=INTENDED), replace(step.open, batch=1, epoch=1, intended_at=1.5))


def done(step: Step, target: str | None = None) -> Step:
    return Step(step.new, replace(step.new, state=DONE, target=target or target_id()), None)


def instead(step: Step, state: ItemState, **opened: str) -> Step:
    """The same first listing, but into another state."""
    assert step.open
    return Step(step.old, replace(step.new, state=state), replace(step.open, **opened))  # type: ignore[arg-type]


@dataclass
class Setting:
    """One mailbox with two folders, and the lease on it."""

    ledger: Ledger
    lease: Lease
    folders: list[FolderRow]
    mailbox_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.mailbox_id = self.lease.mailbox_id
        self.inbox, self.sent = (folder.id for folder in self.folders)

    def page(self, *steps: Step, cursor: str | None = "next", complete: bool = False, generation: int = 1) -> None:
        for folder_id in {step.new.folder_id for step in steps} or {self.inbox}:
            mine = [step for step in steps if step.new.folder_id == folder_id]
            self.ledger.record_page(
                self.lease, folder_id, mine, cursor=cursor, fingerprint="f", complete=complete, generation=generation
            )

    def sums(self) -> list[Tally]:
        kept = [tally for _, tally in self.ledger.tallies(self.mailbox_id)]
        assert kept == self.ledger.recount(self.mailbox_id)
        return kept


def set_up(ledger: Ledger, source: str = "ada@example.com") -> Setting:
    lease = ledger.lease(ledger.plan_mailbox("first", source, source).id, "me", 600)
    tree = [
        ("inbox", None, "Inbox", "IPF.Note", "inbox", 3),
        ("sent", None, "Sent Items", "IPF.Note", "sentitems", 0),
    ]
    return Setting(ledger, lease, ledger.record_folders(lease, tree, ledger.next_round(lease)))


@pytest.fixture
def here(ledger: Ledger) -> Setting:
    return set_up(ledger)


# -- the ledger itself


def test_a_ledger_has_a_name_of_its_own_that_stays(tmp_path: Path) -> None:
    names = []
    for file in ("a.db", "b.db", "a.db"):
        with Ledger.open(f"sqlite:///{tmp_path / file}") as ledger:
            names.append(ledger.installation())
            assert ledger.installation() == names[-1]
    assert names[0] == names[2] != names[1]
    assert len(names[0]) == 32


def test_a_ledger_belongs_to_the_first_tenant_and_source_that_use_it(ledger: Ledger) -> None:
    ledger.bind("tenant-1", "mail.example.com")
    ledger.bind("TENANT-1", "mail.example.com")
    for tenant, source in (("tenant-2", "mail.example.com"), ("tenant-1", "mail.example.net")):
        with pytest.raises(BoundElsewhere, match=r"belongs to tenant tenant-1 and source mail\.example\.com"):
            ledger.bind(tenant, source)


def test_a_closed_ledger_takes_nothing_more(ledger: Ledger) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.note(None, "k", "t")


# -- mailboxes


def test_a_mailbox_is_planned_once_whatever_the_case_of_its_address(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("first", "Ada@Example.com", "ada@new.example.com")
    assert (row.state, row.wave, row.source, row.epoch, row.claimed) == (
        MailboxState.PLANNED,
        "first",
        "Ada@Example.com",
        0,
        False,
    )
    assert ledger.plan_mailbox("first", "ada@example.COM", "Ada@new.example.com") == row
    assert ledger.mailboxes() == [row] == [ledger.mailbox(row.id)]


def test_a_mailbox_can_not_change_its_target(ledger: Ledger) -> None:
    ledger.plan_mailbox("first", "ada@example.com", "ada@new.example.com")
    with pytest.raises(ValueError, match=r"going to ada@new\.example\.com, not to bob@new\.example\.com"):
        ledger.plan_mailbox("first", "ADA@example.com", "bob@new.example.com")


def test_a_mailbox_can_change_its_wave(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("first", "ada@example.com", "ada@new.example.com")
    other = ledger.plan_mailbox("first", "bob@example.com", "bob@new.example.com")
    moved = ledger.plan_mailbox("second", "ada@example.com", "ada@new.example.com")
    assert moved == dataclasses.replace(row, wave="second")
    assert ledger.mailboxes("second") == [moved]
    assert ledger.mailboxes("first") == [other]


def test_an_unknown_mailbox_is_said_so(ledger: Ledger) -> None:
    with pytest.raises(LookupError, match="no mailbox 77"):
        ledger.mailbox(77)
    with pytest.raises(LookupError, match="no mailbox 77"):
        ledger.lease(77, "me", 1)


def test_a_mailbox_moves_along_the_table_only(here: Setting) -> None:
    moved = here.ledger.move_mailbox(here.mailbox_id, MailboxState.SEEDING, "first pass")
    assert (moved.state, moved.cause, moved.came_from) == (MailboxState.SEEDING, "first pass", None)
    with pytest.raises(IllegalMove, match="SEEDING can't become LOCKED"):
        here.ledger.move_mailbox(here.mailbox_id, MailboxState.LOCKED, "")
    assert here.ledger.mailbox(here.mailbox_id).state is MailboxState.SEEDING


def test_a_mailbox_put_aside_goes_back_only_to_where_it_was(here: Setting) -> None:
    def move(state: MailboxState, cause: str = "") -> MailboxState | None:
        return here.ledger.move_mailbox(here.mailbox_id, state, cause).came_from

    move(MailboxState.SEEDING)
    move(MailboxState.SYNCING)
    assert move(MailboxState.HELD, "quota") is MailboxState.SYNCING
    assert move(MailboxState.PAUSED, "operator") is MailboxState.SYNCING
    assert move(MailboxState.PAUSED, "still") is MailboxState.SYNCING
    assert here.ledger.mailbox(here.mailbox_id).cause == "still"
    with pytest.raises(IllegalMove, match="goes back to SYNCING"):
        move(MailboxState.SEEDING)
    assert move(MailboxState.SYNCING) is None


# -- leases


def test_a_lease_keeps_others_out_until_it_ends(ledger: Ledger) -> None:
    mailbox_id = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com").id
    assert ledger.lease(mailbox_id, "me", 60, now=1000) == Lease(mailbox_id, 1, "me")
    with pytest.raises(LeaseHeld) as held:
        ledger.lease(mailbox_id, "you", 60, now=1059)
    assert (held.value.owner, held.value.until) == ("me", 1060)
    assert ledger.lease(mailbox_id, "me", 60, now=1059).epoch == 2
    assert ledger.lease(mailbox_id, "you", 60, now=1120).epoch == 3
    row = ledger.mailbox(mailbox_id)
    assert (row.owner, row.lease_until, row.epoch) == ("you", 1180, 3)


def test_a_renewed_lease_runs_from_now(here: Setting) -> None:
    here.ledger.renew(here.lease, 5000)
    assert 4000 < here.ledger.mailbox(here.mailbox_id).lease_until - time.time() < 6000


def test_a_released_lease_lets_others_in(here: Setting) -> None:
    here.ledger.release(here.lease)
    assert here.ledger.mailbox(here.mailbox_id).owner is None
    assert here.ledger.lease(here.mailbox_id, "you", 60).epoch == 2
    here.ledger.release(here.lease)
    assert here.ledger.mailbox(here.mailbox_id).owner == "you"


def test_a_later_lease_fences_off_all_that_the_first_would_write(here: Setting) -> None:
    ledger, old, step = here.ledger, here.lease, listed("a", here.inbox)
    here.page(step)
    pass_id = ledger.begin_pass(old, PassKind.SEED)
    ledger.lease(here.mailbox_id, "me", 600)
    before = (ledger.mailbox(here.mailbox_id), ledger.folders(here.mailbox_id), ledger.passes(), here.sums())
    for write in (
        lambda: ledger.renew(old, 9),
        lambda: ledger.claimed(old),
        lambda: ledger.begin_pass(old, PassKind.DELTA),
        lambda: ledger.end_pass(old, pass_id, PassState.DONE, "", {}),
        lambda: ledger.next_round(old),
        lambda: ledger.record_folders(old, [], 2),
        lambda: ledger.place_folder(old, here.inbox, "t"),
        lambda: here.page(listed("b", here.inbox), cursor="c"),
        lambda: ledger.intend(old, [intended(step)]),
        lambda: ledger.settle(old, [done(step)]),
        lambda: ledger.rekey(old, step.new, None, replace(step.new, key=key_of("c")), None),
    ):
        with pytest.raises(Fenced, match="taken over"):
            write()
    assert before == (ledger.mailbox(here.mailbox_id), ledger.folders(here.mailbox_id), ledger.passes(), here.sums())


def test_every_commit_under_a_lease_counts_the_sequence_on(here: Setting) -> None:
    before = here.ledger.mailbox(here.mailbox_id).sequence
    here.page(listed("a", here.inbox))
    here.ledger.claimed(here.lease)
    row = here.ledger.mailbox(here.mailbox_id)
    assert (row.sequence, row.claimed) == (before + 2, True)


# -- passes


def test_a_pass_is_begun_and_ended_with_its_figures(here: Setting) -> None:
    first = here.ledger.begin_pass(here.lease, PassKind.SEED)
    assert here.ledger.passes()[0].state is PassState.RUNNING
    here.ledger.end_pass(here.lease, first, PassState.DONE, "all read", {"created": 3, "wait.requests": 1.5})
    [row] = here.ledger.passes(here.mailbox_id)
    assert (row.kind, row.state, row.cause) == (PassKind.SEED, PassState.DONE, "all read")
    assert row.figures == {"created": 3, "wait.requests": 1.5}
    assert row.ended is not None
    assert row.ended >= row.started
    with pytest.raises(IllegalMove, match="DONE can't become FAILED"):
        here.ledger.end_pass(here.lease, first, PassState.FAILED, "", {})
    with pytest.raises(LookupError, match="no pass 99"):
        here.ledger.end_pass(here.lease, 99, PassState.DONE, "", {})


def test_a_pass_that_a_crash_left_running_is_superseded_by_the_next(here: Setting) -> None:
    other = set_up(here.ledger, "bob@example.com")
    theirs = here.ledger.begin_pass(other.lease, PassKind.SEED)
    left = here.ledger.begin_pass(here.lease, PassKind.SEED)
    now = here.ledger.begin_pass(here.lease, PassKind.DELTA)
    states = [(row.id, row.state, row.cause) for row in here.ledger.passes()]
    assert states == [(now, PassState.RUNNING, ""), (left, PassState.PAUSED, "superseded"), (theirs, PassState.RUNNING, "")]
    assert [row.id for row in here.ledger.passes(here.mailbox_id, last=1)] == [now]


# -- folders


def test_rounds_are_numbered(here: Setting) -> None:
    assert [here.ledger.next_round(here.lease) for _ in range(2)] == [2, 3]
    assert here.ledger.mailbox(here.mailbox_id).generation == 3


def test_a_folder_that_is_not_met_is_absent_once_a_round_until_it_is_back(here: Setting) -> None:
    def absent(*names: str) -> dict[str, int]:
        tree = [(name, "root", name.title(), "IPF.Note", None, 7) for name in names]
        rows = here.ledger.record_folders(here.lease, tree, here.ledger.mailbox(here.mailbox_id).generation)
        assert rows == here.ledger.folders(here.mailbox_id)
        return {row.source_id: row.absent for row in rows}

    here.ledger.place_folder(here.lease, here.sent, "target-1")
    here.ledger.next_round(here.lease)
    assert absent("inbox", "new") == {"inbox": 0, "sent": 1, "new": 0}
    assert absent("inbox", "new") == {"inbox": 0, "sent": 1, "new": 0}
    here.ledger.next_round(here.lease)
    assert absent("inbox") == {"inbox": 0, "sent": 2, "new": 1}
    here.ledger.next_round(here.lease)
    assert absent("inbox", "sent") == {"inbox": 0, "sent": 0, "new": 2}
    sent = next(row for row in here.ledger.folders(here.mailbox_id) if row.source_id == "sent")
    assert (sent.id, sent.name, sent.parent_source_id, sent.role) == (here.sent, "Sent", "root", None)
    assert (sent.total, sent.change_stamp, sent.target_id) == (7, None, "target-1")


def test_a_folder_of_another_mailbox_is_not_touched(here: Setting) -> None:
    other = set_up(here.ledger, "bob@example.com")
    with pytest.raises(LookupError, match="no folder"):
        here.ledger.place_folder(here.lease, other.inbox, "t")
    assert here.ledger.folders(other.mailbox_id)[0].target_id is None


# -- rows


def test_a_row_comes_back_as_it_was_recorded(here: Setting) -> None:
    row = Row(
        key=key_of("a"),
        folder_id=here.inbox,
        state=REFUSED,
        version=b"version0",
        identity=b"identity",
        size=5_000_000_000,
        modified=1_700_000_000,
        marks=Mark.READ | Mark.RECEIPT | Mark.REWRITTEN,
        generation=3,
        lane="import",
        target="not base64: é",
        target_version=b"\0\1\2\3\4\5\6\7",
        digest=b"digest00",
    )
    opened = Open(
        item_id="AAMkAGI=",
        source_version="CQAAABYA",
        work=Work.MOVE,
        facts=b"\0facts",
        epoch=2,
        batch=3,
        intended_at=1.25,
        old_target="old",
        reason="no-lane",
        detail="No lane\0 carries \ud800 it.",
        code="E1",
    )
    here.page(Step(None, row, opened))
    clean = replace(opened, detail="No lane\ufffd carries ? it.")
    assert here.ledger.rows(here.mailbox_id, [row.key, b"unknown"]) == {row.key: row}
    assert here.ledger.opens(here.mailbox_id, [row.key, b"unknown"]) == {row.key: clean}
    assert here.ledger.open_rows(here.mailbox_id, {REFUSED}) == [(row, clean)]


def test_many_keys_are_asked_at_once(here: Setting) -> None:
    steps = [listed(n, here.inbox) for n in range(1300)]
    here.page(*steps)
    keys = [step.new.key for step in steps]
    assert here.ledger.rows(here.mailbox_id, keys) == {step.new.key: step.new for step in steps}
    assert here.ledger.opens(here.mailbox_id, keys) == {step.new.key: step.open for step in steps}
    assert here.ledger.rows(here.mailbox_id, []) == {} == here.ledger.opens(here.mailbox_id, [])


def test_a_page_and_its_cursor_are_one_transaction(here: Setting) -> None:
    here.page(listed("a", here.inbox), cursor="one")
    missing = Step(replace(listed("b", here.inbox).new), replace(listed("b", here.inbox).new, size=9), None)
    with pytest.raises(IllegalMove, match="1 of 1 rows to change are not in the ledger"):
        here.page(listed("c", here.inbox), missing, cursor="two")
    assert here.ledger.folders(here.mailbox_id)[0].cursor == "one"
    assert [row.key for row in here.ledger.folder_rows(here.mailbox_id, None)] == [key_of("a")]
    with pytest.raises(LookupError, match="no folder 999"):
        here.page(listed("d", 999))
    assert len(here.sums()) == 1


def test_a_folder_is_complete_from_its_last_page_to_the_next_round(here: Setting) -> None:
    def folder() -> tuple[str | None, str, bool, int]:
        row = here.ledger.folders(here.mailbox_id)[0]
        return row.cursor, row.fingerprint, row.complete, row.generation

    assert folder() == (None, "", False, 0)
    here.page(cursor="one", generation=4)
    assert folder() == ("one", "f", False, 0)
    here.page(cursor="two", complete=True, generation=4)
    assert folder() == ("two", "f", True, 4)
    here.page(cursor=None, generation=5)
    assert folder() == (None, "f", False, 4)


def test_an_item_is_intended_and_settled(here: Setting) -> None:
    step = listed("a", here.inbox)
    here.page(step)
    sent = intended(step)
    here.ledger.intend(here.lease, [sent])
    assert here.ledger.open_rows(here.mailbox_id, {INTENDED}) == [(sent.new, sent.open)]
    assert here.ledger.open_rows(here.mailbox_id, {LISTED}) == []
    settled = done(sent)
    here.ledger.settle(here.lease, [settled])
    assert here.ledger.rows(here.mailbox_id, [step.new.key]) == {step.new.key: settled.new}
    assert here.ledger.opens(here.mailbox_id, [step.new.key]) == {}
    assert here.sums() == [Tally(here.inbox, DONE, 1, 100)]


@pytest.mark.parametrize(("old", "new"), [(GONE, DONE), (FILTERED, INTENDED), (REFUSED, DONE), (DONE, REFUSED)])
def test_no_method_makes_an_illegal_move(here: Setting, old: ItemState, new: ItemState) -> None:
    row = replace(listed("a", here.inbox).new, state=old)
    here.page(Step(None, row, None))
    steps = [listed("b", here.inbox), Step(row, replace(row, state=new), None)]
    writes: list[Callable[[], None]] = [
        lambda: here.page(*steps),
        lambda: here.ledger.intend(here.lease, steps),
        lambda: here.ledger.settle(here.lease, steps),
    ]
    for write in writes:
        with pytest.raises(IllegalMove, match=f"{old.name} can't become {new.name}"):
            write()
    assert list(here.ledger.folder_rows(here.mailbox_id, None)) == [row]


def test_a_step_keeps_its_key(here: Setting) -> None:
    step = listed("a", here.inbox)
    here.page(step)
    with pytest.raises(IllegalMove, match="a step keeps its key"):
        here.ledger.settle(here.lease, [Step(step.new, replace(step.new, key=key_of("b")), None)])


def test_of_two_steps_about_one_row_the_last_stands(here: Setting) -> None:
    step = listed("a", here.inbox)
    here.page(step, intended(step), done(intended(step), "t"))
    assert here.ledger.rows(here.mailbox_id, [step.new.key])[step.new.key].target == "t"
    assert here.ledger.opens(here.mailbox_id, [step.new.key]) == {}
    assert here.sums() == [Tally(here.inbox, DONE, 1, 100)]


def test_the_work_list_is_ordered_by_folder_and_then_as_listed(here: Setting) -> None:
    words = [f"item {n}" for n in range(30)]
    here.page(*(listed(word, here.sent) for word in words[:10]))
    here.page(*(listed(word, here.inbox) for word in words[10:]))
    here.page(instead(listed("no", here.inbox), REFUSED, reason="too-large"))
    keys = [row.key for row, _ in here.ledger.open_rows(here.mailbox_id, {LISTED, REFUSED})]
    assert keys == [key_of(word) for word in (*words[10:], "no", *words[:10])]
    first = here.ledger.open_rows(here.mailbox_id, {LISTED}, limit=3)
    assert [row.key for row, _ in first] == [key_of(word) for word in words[10:13]]
    sent = here.ledger.open_rows(here.mailbox_id, {LISTED}, folder_id=here.sent)
    assert [opened.item_id for _, opened in sent] == [f"item {word}" for word in words[:10]]
    assert here.ledger.open_rows(here.mailbox_id, set()) == []


def test_the_work_list_can_be_asked_by_kind_of_work(here: Setting) -> None:
    flag = listed("flag", here.inbox)
    assert flag.open
    here.page(listed("new", here.inbox), replace(flag, open=replace(flag.open, work=Work.FLAG)))
    assert [row.key for row, _ in here.ledger.open_rows(here.mailbox_id, {LISTED}, works={Work.FLAG})] == [key_of("flag")]
    assert len(here.ledger.open_rows(here.mailbox_id, {LISTED}, works={Work.FLAG, Work.CREATE})) == 2
    assert here.ledger.open_rows(here.mailbox_id, {LISTED}, works=()) == []


def test_the_owner_of_a_target_is_found_in_any_state(here: Setting) -> None:
    other = set_up(here.ledger, "bob@example.com")
    targets = {word: target_id() for word in ("a", "b", "plain text", "theirs")}
    for word in ("a", "b", "plain text"):
        here.page(Step(None, done(listed(word, here.inbox), targets[word]).new, None))
    doomed = replace(listed("b", here.inbox).new, state=DOOMED, target=targets["b"])
    here.ledger.settle(here.lease, [Step(replace(doomed, state=DONE), doomed, Open(item_id="b", work=Work.REMOVE))])
    other.page(Step(None, replace(listed("theirs", other.inbox).new, state=DONE, target=targets["theirs"]), None))
    found = here.ledger.owners(here.mailbox_id, [*targets.values(), "nobody's"])
    assert found == {targets[word]: key_of(word) for word in ("a", "b", "plain text")}
    assert here.ledger.owners(here.mailbox_id, []) == {}


def test_the_rows_of_a_folder_stream_by_key_while_they_are_changed(here: Setting) -> None:
    steps = [listed(n, here.inbox if n % 3 else here.sent) for n in range(2500)]
    here.page(*steps)
    met: list[bytes] = []
    for row in here.ledger.folder_rows(here.mailbox_id, here.inbox):
        if not met:
            here.ledger.settle(here.lease, [done(step, "t") for step in steps[:600]])
        met.append(row.key)
    assert met == sorted(step.new.key for step in steps if step.new.folder_id == here.inbox)
    assert len(list(here.ledger.folder_rows(here.mailbox_id, None))) == 2500


def test_the_rows_that_a_listing_missed_are_those_of_earlier_rounds(here: Setting) -> None:
    here.page(
        *(replace(step, new=replace(step.new, generation=n)) for n, step in enumerate([listed(n, here.inbox) for n in "abc"]))
    )
    missed = here.ledger.folder_rows(here.mailbox_id, here.inbox, missed_before=2)
    assert {row.generation for row in missed} == {0, 1}


def test_a_moved_item_gives_its_copy_to_the_row_that_came(here: Setting) -> None:
    left = done(listed("old", here.inbox), "copy").new
    came = listed("new", here.sent, size=7)
    here.page(Step(None, left, None), came)
    left = replace(left, state=DOOMED)
    here.ledger.settle(here.lease, [Step(replace(left, state=DONE), left, Open(item_id="old", work=Work.REMOVE))])
    new = replace(came.new, target="copy")
    assert came.open
    opened = replace(came.open, work=Work.MOVE)
    here.ledger.rekey(here.lease, left, came.new, new, opened)
    assert list(here.ledger.folder_rows(here.mailbox_id, None)) == [new]
    assert here.ledger.open_rows(here.mailbox_id, set(ItemState)) == [(new, opened)]
    assert here.sums() == [Tally(here.sent, LISTED, 1, 7)]


def test_a_row_can_take_a_key_that_is_not_there_yet(here: Setting) -> None:
    left = done(listed("old", here.inbox), "copy").new
    here.page(Step(None, left, None))
    new = replace(left, key=key_of("new"), folder_id=here.sent)
    here.ledger.rekey(here.lease, left, None, new, None)
    assert list(here.ledger.folder_rows(here.mailbox_id, None)) == [new]
    assert here.sums() == [Tally(here.sent, DONE, 1, 100)]


def test_the_same_key_in_two_mailboxes_is_two_rows(here: Setting) -> None:
    other = set_up(here.ledger, "bob@example.com")
    here.page(listed("a", here.inbox))
    other.page(listed("a", other.inbox, size=1))
    here.ledger.settle(here.lease, [done(listed("a", here.inbox))])
    assert other.sums() == [Tally(other.inbox, LISTED, 1, 1)]
    assert [mailbox_id for mailbox_id, _ in here.ledger.tallies()] == [here.mailbox_id, other.mailbox_id]


# -- lists


def test_refusals_say_what_did_not_go_and_why(here: Setting) -> None:
    here.page(
        instead(listed("big", here.inbox, size=9), REFUSED, reason="too-large", detail="It is too large.", code="E9"),
        instead(listed("party", here.sent), WITHHELD, reason="could-send-invitation"),
        instead(listed("old", here.inbox), FILTERED, reason="by-date"),
    )
    refused, withheld = here.ledger.refusals()
    assert (refused.folder_name, refused.key, refused.state, refused.size) == ("Inbox", key_of("big"), REFUSED, 9)
    assert (refused.reason, refused.detail, refused.code) == ("too-large", "It is too large.", "E9")
    assert (withheld.folder_name, withheld.state, withheld.reason) == ("Sent Items", WITHHELD, "could-send-invitation")
    assert here.ledger.refusals(here.mailbox_id, limit=1) == [refused]
    assert here.ledger.refusals(here.mailbox_id + 1) == []


def test_hints_outlive_the_process(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        assert ledger.hints() == {}
        ledger.hint("mailbox:ada", 100.5)
        ledger.hint("mailbox:ada", 90.25)
        ledger.hint("tenant", 7)
    with Ledger.open(ledger_url) as ledger:
        assert ledger.hints() == {"mailbox:ada": 90.25, "tenant": 7}


def test_notes_are_read_newest_first(here: Setting) -> None:
    here.ledger.note(None, "start", "It begins.")
    here.ledger.note(here.mailbox_id, "hold", "Its quota is used up.")
    assert [(note.mailbox_id, note.kind, note.text) for note in here.ledger.notes()] == [
        (here.mailbox_id, "hold", "Its quota is used up."),
        (None, "start", "It begins."),
    ]
    assert len(here.ledger.notes(here.mailbox_id)) == 1
    assert here.ledger.notes(last=1)[0].kind == "hold"


# -- together


def test_threads_of_two_processes_all_get_their_commits(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as one, Ledger.open(ledger_url) as two:
        settings = [set_up((one, two)[n % 2], f"user{n}@example.com") for n in range(32)]
        begin = threading.Barrier(32)

        def work(here: Setting) -> list[Tally]:
            begin.wait(30)
            for n in range(5):
                steps = [listed((here.mailbox_id, n, m), here.inbox) for m in range(4)]
                here.page(*steps)
                sent = [intended(step) for step in steps]
                here.ledger.intend(here.lease, sent)
                here.ledger.settle(here.lease, [done(step) for step in sent])
            return here.sums()

        with ThreadPoolExecutor(32) as threads:
            sums = list(threads.map(work, settings))
        assert sums == [[Tally(here.inbox, DONE, 20, 2000)] for here in settings]


def test_only_one_of_many_gets_the_lease(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        mailbox_id = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com").id

        def take(owner: int) -> bool:
            try:
                ledger.lease(mailbox_id, str(owner), 60)
            except LeaseHeld:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(take, range(8))) == 1


def test_an_intent_is_written_with_full_sync_and_a_settlement_without(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as ledger:
        here, step, seen = set_up(ledger), listed("a", 1), list[str]()
        here.page(step)
        ledger._write(lambda db: db.connection.driver_connection.set_trace_callback(seen.append))  # type: ignore[union-attr]
        for write, level in (
            (lambda: here.page(listed("b", here.inbox)), "NORMAL"),
            (lambda: ledger.intend(here.lease, [intended(step)]), "FULL"),
            (lambda: ledger.settle(here.lease, [done(intended(step))]), "NORMAL"),
            (lambda: ledger.lease(here.mailbox_id, "me", 60), "FULL"),
        ):
            seen.clear()
            write()
            assert seen[:2] == [f"PRAGMA synchronous={level}", "BEGIN IMMEDIATE"]
            assert seen[-1] == "COMMIT"


def test_many_may_plan_one_mailbox_and_leave_one_hint(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger, ThreadPoolExecutor(8) as threads:
        begin = threading.Barrier(8)

        def work(n: int) -> int:
            begin.wait(20)
            ledger.hint("tenant", n)
            return ledger.plan_mailbox("first", "ada@example.com", "ada@example.com").id

        assert len(set(threads.map(work, range(8)))) == 1
        assert len(ledger.hints()) == 1


# -- size


@pytest.fixture
def full(ledger_url: str) -> Iterator[Setting]:
    """20,000 items that went the whole way, as a seed takes them."""
    with Ledger.open(ledger_url) as ledger:
        here = set_up(ledger)
        for at in range(0, 20_000, 500):
            steps = []
            for n in range(at, at + 500):
                step = listed(n, here.inbox, size=50_000)
                row = replace(step.new, version=b"version0", identity=b"identity", modified=1_700_000_000, marks=Mark.READ)
                row = replace(row, lane="import", generation=1, target_version=b"tversion", digest=b"digest00")
                steps.append(Step(None, replace(row, state=DONE, target=target_id()), None))
            here.page(*steps)
        yield here


def test_an_item_takes_few_bytes(full: Setting, ledger_url: str) -> None:
    engine = engines.connect(engines.address(ledger_url))
    with engines.unbegun(engine).connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            most, size = 200, os.stat(str(engine.url.database)).st_size
        else:
            most, size = 300, int(connection.scalar(text("SELECT pg_total_relation_size('items')")) or 0)
    engine.dispose()
    assert 100 < size / 20_000 <= most


# -- where it lies


@pytest.mark.parametrize("form", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_can_be_named_in_all_common_ways(postgres_url: str, form: str) -> None:
    with Ledger.open(postgres_url.replace("postgresql", form, 1)) as ledger:
        assert ledger.mailboxes() == []


def test_a_relative_file_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger.open("sqlite:///some 100% ledger?.db" if os.name != "nt" else "sqlite:///some.db") as ledger:
        monkeypatch.chdir(tmp_path.parent)
        assert ledger.mailboxes() == []
    assert any(path.suffix == ".db" for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:ledger.db",
        "mysql://host/db",
        "postgresql://host",
    ],
)
def test_a_url_that_names_no_ledger_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"^The ledger URL .*: write sqlite:///FILE or postgresql://USER@HOST/DATABASE\.$"):
        Ledger.open(url)


def test_a_password_in_a_url_is_never_repeated() -> None:
    with pytest.raises(ValueError) as refused:
        Ledger.open("mysql://me:hush@host/db")
    assert "hush" not in str(refused.value)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("Dear Ada, " * 100)
    with pytest.raises(LedgerError, match="is no ledger"):
        Ledger.open(f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(LedgerError, match="both writable"):
        Ledger.open(f"sqlite:///{tmp_path / 'missing' / 'ledger.db'}")


def test_a_server_that_does_not_answer_is_told_as_such() -> None:
    with pytest.raises(OperationalError):
        Ledger.open("postgresql://me@127.0.0.1:1/ledger")
