"""The tables of legal moves hold together: what can be reached, what is an end, and which numbers are on disk."""

from __future__ import annotations

import pytest

from state.model import (
    ASIDE,
    ITEM_MOVES,
    MAILBOX_MOVES,
    PASS_MOVES,
    PENDING,
    SETTLED,
    Fenced,
    ItemState,
    LeaseHeld,
    LedgerError,
    MailboxState,
    Mark,
    PassState,
)


def test_numbers_on_disk_never_change_their_meaning() -> None:
    assert {state.name: state.value for state in ItemState} == {
        "LISTED": 1,
        "INTENDED": 2,
        "DONE": 3,
        "REFUSED": 4,
        "WITHHELD": 5,
        "FILTERED": 6,
        "DOOMED": 7,
        "GONE": 8,
        "BACKFILL": 9,
    }
    assert [mark.value for mark in Mark] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_every_state_has_its_moves() -> None:
    assert set(ITEM_MOVES) == set(ItemState)
    assert set(MAILBOX_MOVES) == set(MailboxState)
    assert set(PASS_MOVES) == set(PassState)


def test_an_item_may_always_stay_what_it_is() -> None:
    assert all(state in ITEM_MOVES[state] for state in ItemState)


@pytest.mark.parametrize("state", sorted(set(ItemState) - {ItemState.LISTED, ItemState.INTENDED}))
def test_an_item_comes_to_be_sent_only_through_listed_or_backfill_or_where_the_target_holds_it(state: ItemState) -> None:
    assert (ItemState.INTENDED in ITEM_MOVES[state]) == (state in {ItemState.DONE, ItemState.DOOMED, ItemState.BACKFILL})


def test_what_was_gone_comes_back_only_by_being_listed_or_kept_back() -> None:
    assert ITEM_MOVES[ItemState.GONE] == {ItemState.GONE, ItemState.LISTED, ItemState.FILTERED, ItemState.BACKFILL}


def test_what_is_filtered_was_never_sent() -> None:
    assert ItemState.FILTERED not in ITEM_MOVES[ItemState.INTENDED]
    assert ItemState.INTENDED not in ITEM_MOVES[ItemState.FILTERED]


def test_what_is_backfill_was_never_sent() -> None:
    assert ItemState.BACKFILL not in ITEM_MOVES[ItemState.INTENDED]
    assert ItemState.BACKFILL not in ITEM_MOVES[ItemState.DONE]


def test_a_state_is_settled_or_pending_or_doomed_or_backfill() -> None:
    assert frozenset(ItemState) == SETTLED | PENDING | {ItemState.DOOMED, ItemState.BACKFILL}
    assert not SETTLED & PENDING


def test_a_mailbox_gets_from_planned_to_closed() -> None:
    reached, waiting = set(), [MailboxState.PLANNED]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting.extend(MAILBOX_MOVES[state] - ASIDE)
    assert reached == set(MailboxState) - ASIDE
    assert MAILBOX_MOVES[MailboxState.CLOSED] == frozenset()


def test_a_mailbox_can_be_put_aside_until_it_is_closed() -> None:
    assert all(MAILBOX_MOVES[state] >= ASIDE for state in MailboxState if state is not MailboxState.CLOSED)


def test_a_pass_ends_once() -> None:
    assert [state for state, next_ones in PASS_MOVES.items() if next_ones] == [PassState.RUNNING]


def test_a_held_lease_names_its_holder() -> None:
    held = LeaseHeld("Mailbox 1 is held.", "host:7", 12.5)
    assert (held.owner, held.until, str(held)) == ("host:7", 12.5, "Mailbox 1 is held.")
    assert issubclass(Fenced, LedgerError)
