"""When a mailbox is in step with its source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.waves.ready import Found, state_after, what_is_missing
from state.model import MailboxState

PASSING = [MailboxState.SEEDING, MailboxState.SYNCING, MailboxState.READY]

numbers = st.integers(0, 3)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Found(), ""),
        (Found(stayed=2, approved=2), ""),
        (Found(pending=1), "still open"),
        (Found(stayed=2, approved=1), "1 items can't go"),
        (Found(off=3), "more or less"),
    ],
)
def test_what_is_missing_is_one_sentence(found: Found, said: str) -> None:
    assert what_is_missing(found) == said == "" or said in what_is_missing(found)


@given(st.builds(Found, pending=numbers, stayed=numbers, approved=numbers, off=numbers), st.sampled_from(PASSING))
def test_ready_is_exactly_that_nothing_is_missing(found: Found, state: MailboxState) -> None:
    ready = not found.pending and not found.off and found.stayed <= found.approved
    assert (state_after(state, found) is MailboxState.READY) == ready
    assert state_after(state, found) in (MailboxState.READY, MailboxState.SYNCING)


@pytest.mark.parametrize("state", [one for one in MailboxState if one not in PASSING])
@pytest.mark.parametrize("found", [Found(), Found(pending=1)])
def test_only_a_cutover_moves_a_mailbox_from_the_lock_on(state: MailboxState, found: Found) -> None:
    assert state_after(state, found) is state
