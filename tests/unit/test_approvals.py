"""What a person decides about what did not go, on SQLite and on Postgres."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from state.model import Choice, Decision, Fenced, ItemState, Kept, Lease, Open, Row, Step
from state.store import Ledger


class Poisoned:
    """A mailbox with three items that did not go and one that did."""

    def __init__(self, ledger: Ledger, source: str = "ada@example.com") -> None:
        self.ledger = ledger
        self.mailbox_id = ledger.plan_mailbox("first", source, source).id
        self.lease: Lease = ledger.lease(self.mailbox_id, "me", 600)
        [folder] = ledger.record_folders(self.lease, [("inbox", None, "Inbox", "IPF.Note", "inbox", 4)], 1)
        self.rows = {
            word: Row(key=word.encode() * 4, folder_id=folder.id, state=state, size=10, version=b"12345678")
            for word, state in (
                ("huge", ItemState.REFUSED),
                ("torn", ItemState.REFUSED),
                ("meet", ItemState.WITHHELD),
                ("fine", ItemState.DONE),
            )
        }
        self.opens = {
            "huge": Open(item_id="1", reason="too-large"),
            "torn": Open(item_id="2", reason="corrupt"),
            "meet": Open(item_id="3", reason="could-send-receipt"),
            "fine": None,
        }
        self.settle(*(Step(None, row, self.opens[word]) for word, row in self.rows.items()))

    def settle(self, *steps: Step) -> None:
        self.ledger.settle(self.lease, steps)

    def decision(self, word: str, choice: Choice = Choice.APPROVED) -> Decision:
        opened = self.opens[word]
        assert opened
        row = self.rows[word]
        return Decision(
            mailbox_id=self.mailbox_id,
            key=row.key,
            version=row.version,
            reason=opened.reason,
            decision=choice,
            who="ops@host",
            why="seen with its owner",
            at=7.0,
        )

    def approved(self) -> set[str]:
        keys = self.ledger.approvals.approved().get(self.mailbox_id, frozenset())
        assert self.ledger.approvals.approved_counts(self.mailbox_id)[self.mailbox_id] == len(keys)
        return {word for word, row in self.rows.items() if row.key in keys}


@pytest.fixture
def box(ledger: Ledger) -> Poisoned:
    return Poisoned(ledger)


def test_who_decided_what_and_why_is_kept_in_its_order(box: Poisoned) -> None:
    box.ledger.approvals.decide([box.decision("huge"), box.decision("torn")])
    box.ledger.approvals.decide([box.decision("huge", Choice.RETRIED)])
    told = box.ledger.approvals.decisions(box.mailbox_id, box.rows["huge"].key)
    assert [(one.decision, one.who, one.why, one.at) for one in told] == [
        (Choice.APPROVED, "ops@host", "seen with its owner", 7.0),
        (Choice.RETRIED, "ops@host", "seen with its owner", 7.0),
    ]
    assert len(box.ledger.approvals.decisions()) == 3
    box.ledger.approvals.decide([])
    assert len(box.ledger.approvals.decisions()) == 3


def test_only_what_did_not_go_counts_as_approved(box: Poisoned) -> None:
    box.ledger.approvals.decide([box.decision("huge"), box.decision("meet")])
    assert box.approved() == {"huge", "meet"}
    there = replace(box.rows["meet"], state=ItemState.DONE, target="T")
    box.settle(Step(box.rows["meet"], there, None))
    assert box.approved() == {"huge"}


def test_an_approval_ends_with_the_version_the_reason_and_the_next_decision(box: Poisoned) -> None:
    box.ledger.approvals.decide([box.decision("huge"), box.decision("torn"), box.decision("meet")])
    huge, torn = box.rows["huge"], box.rows["torn"]
    box.settle(Step(huge, replace(huge, version=b"87654321"), box.opens["huge"]))
    assert box.approved() == {"torn", "meet"}, "another version of it"
    box.settle(Step(torn, torn, Open(item_id="2", reason="recipients")))
    assert box.approved() == {"meet"}, "another reason"
    box.ledger.approvals.decide([box.decision("meet", Choice.RETRIED)])
    assert box.approved() == set(), "decided anew"
    box.ledger.approvals.decide([box.decision("meet")])
    assert box.approved() == {"meet"}


def test_mailboxes_are_told_apart(box: Poisoned) -> None:
    other = Poisoned(box.ledger, "ben@example.com")
    box.ledger.approvals.decide([box.decision("huge")])
    other.ledger.approvals.decide([other.decision("torn")])
    assert (box.approved(), other.approved()) == ({"huge"}, {"torn"})
    assert box.ledger.approvals.approved_counts() == {box.mailbox_id: 1, other.mailbox_id: 1}


def test_a_retry_moves_the_row_and_names_who_wanted_it_together(box: Poisoned) -> None:
    torn, opened = box.rows["torn"], box.opens["torn"]
    assert opened
    step = Step(torn, replace(torn, state=ItemState.LISTED), replace(opened, reason=""))
    box.ledger.approvals.retry(box.lease, [step], [box.decision("torn", Choice.RETRIED)])
    [(row, _)] = box.ledger.open_rows(box.mailbox_id, {ItemState.LISTED})
    assert row.key == torn.key
    assert len(box.ledger.approvals.decisions()) == 1
    kept = [tally for _, tally in box.ledger.tallies(box.mailbox_id)]
    assert kept == box.ledger.recount(box.mailbox_id)


def test_a_fenced_retry_keeps_nothing(box: Poisoned) -> None:
    box.ledger.release(box.lease)
    box.ledger.lease(box.mailbox_id, "another", 600)
    torn, opened = box.rows["torn"], box.opens["torn"]
    step = Step(torn, replace(torn, state=ItemState.LISTED), opened)
    with pytest.raises(Fenced):
        box.ledger.approvals.retry(box.lease, [step], [box.decision("torn", Choice.RETRIED)])
    assert box.ledger.approvals.decisions() == []
    assert box.ledger.open_rows(box.mailbox_id, {ItemState.LISTED}) == []


def kept_of(box: Poisoned, word: str) -> Kept:
    return Kept(mailbox_id=box.mailbox_id, key=box.rows[word].key, file=f"refused/{word}.eml", sha256="ab" * 32, bytes=5, at=1.0)


def test_what_is_kept_is_known_by_its_last_word(box: Poisoned) -> None:
    approvals = box.ledger.approvals
    approvals.keep(kept_of(box, "huge"))
    approvals.keep(dataclasses.replace(kept_of(box, "huge"), bytes=6, file="refused/huge.eml.enc"))
    [one] = approvals.kept(box.mailbox_id)
    assert (one.bytes, one.file) == (6, "refused/huge.eml.enc")
    assert approvals.kept(box.mailbox_id + 1) == []


def test_what_arrived_or_lost_its_row_need_not_be_kept(box: Poisoned) -> None:
    approvals = box.ledger.approvals
    lost = dataclasses.replace(kept_of(box, "huge"), key=b"an older key", file="refused/lost.eml")
    for one in (kept_of(box, "huge"), kept_of(box, "fine"), lost):
        approvals.keep(one)
    assert {one.file for one in approvals.superfluous(box.mailbox_id)} == {"refused/fine.eml", "refused/lost.eml"}
    approvals.let_go(box.mailbox_id, [box.rows["fine"].key, lost.key])
    assert [one.file for one in approvals.kept()] == ["refused/huge.eml"]
