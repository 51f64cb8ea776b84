"""What the source counts has to be what the rows stand for; what its listings hide is found or named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from resume_world import World, furnished, id_of

from connectors.base import Page, Put
from migrator.engine.conservation import PREFIX, folder_sums, off_by, told_by
from migrator.status import folder_table
from state.model import PassKind, PassState
from state.store import Ledger

SEED = PassKind.SEED


class _Hiding:
    """A source whose listings leave one item out: the first time, or always."""

    def __init__(self, inner: Any, hidden: str, calls: Counter[str], *, always: bool) -> None:
        self._inner, self._hidden, self._calls, self._always = inner, hidden, calls, always

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def changes(self, folder: Any, cursor: Any) -> Page:
        page: Page = self._inner.changes(folder, cursor)
        if cursor is None:
            self._calls[folder.name] += 1
        kept = tuple(one for one in page.changes if not (isinstance(one, Put) and one.ref.id == self._hidden))
        if len(kept) < len(page.changes):
            self._calls["hidden"] += 1
            if not self._always and self._calls["hidden"] > 1:
                return page
        return replace(page, changes=kept)


def sums(world: World) -> dict[str, Any]:
    with Ledger.open(world.url) as ledger:
        found = list(folder_sums(ledger, ledger.mailboxes()))
    assert all(
        one.counted == one.done + one.refused + one.withheld + one.filtered + one.pending + one.backfill + one.off
        for one in found
    )
    assert all(len(line) <= 100 for line in folder_table(found))
    return {one.folder: one for one in found}


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_an_item_that_a_listing_left_out_is_found_by_the_count(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    calls: Counter[str] = Counter()
    hidden = id_of(world, "mail 3")
    world.wrap_source = lambda inner: _Hiding(inner, hidden, calls, always=False)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert calls["hidden"] == 2
    assert world.at_target() == world.at_source()
    assert told_by(report.figures) == {}
    assert sums(world)["Projects"].done == 3


def test_an_item_that_no_listing_shows_is_said_and_not_listed_for_ever(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    calls: Counter[str] = Counter()
    hidden = id_of(world, "mail 3")
    world.wrap_source = lambda inner: _Hiding(inner, hidden, calls, always=True)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert off_by(told_by(report.figures)) == 1
    inbox = world.source.boxes[world.inbox].name
    assert [one.off for one in sums(world).values() if one.off] == [1]
    listed = calls[inbox]
    assert listed == 2, "once, and once more to be sure"
    again = world.run()
    assert off_by(told_by(again.figures)) == 1
    assert calls[inbox] == listed, "what was confirmed is not listed again"
    world.wrap_source = lambda inner: inner
    world.source.edit(hidden, body="now it shows")
    assert told_by(world.run().figures) == {}
    assert world.at_target() == world.at_source()


def test_what_comes_while_a_pass_runs_is_no_difference(sqlite_url: str) -> None:
    world = furnished(sqlite_url)

    class Arriving:
        def __init__(self, inner: Any) -> None:
            self._inner, self._done = inner, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def changes(self, folder: Any, cursor: Any) -> Page:
            page: Page = self._inner.changes(folder, cursor)
            if page.last and folder.id == world.inbox and not self._done:
                self._done = True
                world.source.put(world.inbox, "just now")
            return page

    world.wrap_source = Arriving
    report = world.run(SEED)
    assert not any(word.startswith(PREFIX) for word in report.figures)
    world.wrap_source = lambda inner: inner
    world.run()
    assert world.at_target() == world.at_source()


def test_what_is_withheld_at_its_end_is_no_difference(sqlite_url: str) -> None:
    world = furnished(sqlite_url)
    world.source.put(world.inbox, "tell me", wants_read_receipt=True)
    world.run(SEED)
    world.source.delete(id_of(world, "tell me"))
    report = world.run()
    assert world.states()["WITHHELD"] == 1
    assert told_by(report.figures) == {}
    assert sum(one.left for one in sums(world).values()) == 1
