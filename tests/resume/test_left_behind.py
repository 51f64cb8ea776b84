"""What a person leaves behind for good stays behind whatever becomes of it, and is a line of every sum."""

from __future__ import annotations

import time
from typing import Any

import pytest
from resume_world import Poisoned, World, furnished, id_of
from test_mapping import in_order

from connectors.base import Refusal, item_key
from connectors.errors import MailboxBlocked
from migrator.errors.work import find, gather, retry, skip, unskippable
from migrator.reporting.gathering import gather as gather_report
from state.model import Choice, ItemState, Open, PassKind, PassState, Row, Work
from state.store import Ledger

SEED = PassKind.SEED


def freed(world: World, ledger: Ledger) -> None:
    """The dead process of the last pass does not hold the mailbox any more."""
    ledger.release(ledger.lease(world.mailbox_id, "a later one", 1.0, now=time.time() + 10**6))


def skipped(world: World, subject: str, why: str = "it is junk") -> int:
    with Ledger.open(world.url) as ledger:
        freed(world, ledger)
        one = find(ledger, ledger.mailboxes(), item_key(id_of(world, subject)).hex())
        return skip(ledger, [one], "kim@host", why, "a person")


def test_what_is_skipped_is_not_tried_again_though_it_changes_until_the_word_is_taken_back(ledger_url: str) -> None:
    world = furnished(ledger_url, page_size=100)
    poison = id_of(world, "mail 3")
    world.wrap_source = lambda inner: Poisoned(inner, poison)
    world.run(SEED)
    assert world.states() == {"DONE": 8, "REFUSED": 1}
    assert skipped(world, "mail 3") == 1
    world.wrap_source = lambda inner: inner  # from now on it could be carried
    world.source.edit(poison, body="another text")
    world.source.mark_read(poison)
    report = world.run()
    assert report.state is PassState.DONE
    assert "created" not in report.figures
    assert world.states() == {"DONE": 8, "REFUSED": 1}
    assert in_order(world)["refused"] == 1
    with Ledger.open(world.url) as ledger:
        freed(world, ledger)
        [one] = gather(ledger, ledger.mailboxes())
        assert (one.reason, one.approved) == ("skipped", True)
        assert ledger.approvals.approved_counts() == {world.mailbox_id: 1}
        assert retry(ledger, [one], "lee@host", "it matters after all", "a person") == 1
        assert ledger.approvals.skipped(world.mailbox_id) == frozenset()
        told = [each.decision for each in ledger.approvals.decisions(world.mailbox_id)]
        assert told == [Choice.SKIPPED, Choice.RETRIED]
    world.run()
    assert world.at_target() == world.at_source()


def test_an_item_that_is_still_on_the_work_list_can_be_left_behind_and_stays_so_when_all_is_listed_anew(sqlite_url: str) -> None:
    world = furnished(sqlite_url, page_size=100)
    world.wrap_source = lambda inner: Stopping(inner)
    with pytest.raises(MailboxBlocked):
        world.run(SEED)
    assert "LISTED" in world.states()
    assert skipped(world, "mail 0") == 1
    world.wrap_source = lambda inner: inner
    world.source.expire_cursors()
    world.source.edit(id_of(world, "mail 0"), body="another text")
    assert world.run(SEED).state is PassState.DONE
    assert world.states() == {"DONE": 8, "REFUSED": 1}
    in_order(world)
    # And when it leaves the source, nothing of it is left to say.
    world.source.delete(id_of(world, "mail 0"))
    world.run()
    assert world.states() == {"DONE": 8, "GONE": 1}


class Stopping:
    """A source that lets nobody fetch."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "fetch":
            raise MailboxBlocked("not now", code="access-denied", side="source", mend="Wait.")
        return getattr(self._inner, name)


def test_the_report_names_who_left_it_behind_and_why(sqlite_url: str) -> None:
    world = furnished(sqlite_url, lane="import", refuse=lambda write: Refusal("too-large", "It is.") if write.stamp else None)
    world.run(SEED)
    assert skipped(world, "mail 1", "nobody needs it") == 1
    with Ledger.open(world.url) as ledger:
        facts = gather_report(ledger)
    [told] = facts.approvals
    assert (told.reason, told.who, told.why, told.items) == ("skipped", "kim@host", "nobody needs it", 1)
    assert {one.reason: (one.items, one.approved) for one in facts.reasons}["skipped"] == (1, 1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"state": ItemState.REFUSED}, ""),
        ({"state": ItemState.LISTED}, ""),
        ({"state": ItemState.BACKFILL}, ""),
        ({"state": ItemState.DONE}, "arrived"),
        ({"state": ItemState.GONE}, "left the source"),
        ({"state": ItemState.INTENDED}, "in doubt"),
        ({"state": ItemState.FILTERED}, "a rule keeps it back"),
        ({"state": ItemState.WITHHELD}, "approve"),
        ({"state": ItemState.REFUSED, "target": "T"}, "its copy is in the target"),
    ],
)
def test_what_can_not_be_left_behind_says_why(row: dict[str, Any], words: str) -> None:
    found = unskippable(Row(key=b"k" * 16, folder_id=1, **row), Open(item_id="1", work=Work.CREATE))
    assert words in found
    assert bool(found) == bool(words)
    assert unskippable(Row(key=b"k" * 16, folder_id=1, state=ItemState.REFUSED), Open(item_id="1", work=Work.REMOVE))
