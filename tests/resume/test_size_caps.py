"""Items that are larger than a lane takes: they go by the one that takes them, or are refused by name before they are fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from resume_world import World

from connectors.base import Fetched, Lane, Ref
from connectors.memory import MemorySource
from migrator.probe.answers import IMPORT_CAP
from state.model import ItemState
from state.store import Ledger

MB = 1_000_000


class Watched:
    """A source that remembers the size of whatever is fetched of it, and by which lane."""

    def __init__(self, inner: MemorySource, fetched: list[tuple[Lane, int]]) -> None:
        self._inner, self._fetched = inner, fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        self._fetched += [(lane, ref.size) for ref in refs]
        return self._inner.fetch(refs, lane)


def carried(url: str, *, lane: str = "auto", measured: str = "", sizes: Sequence[int], item_class: str = "IPM.Note") -> Any:
    """One pass over items of these sizes, into a target whose compose lane is documented to take 150 MB: the world, what was
    fetched, and by size what became of each."""
    world = World(url, lane=lane, largest={Lane.COMPOSE: 150 * MB})
    fetched: list[tuple[Lane, int]] = []
    world.wrap_source = lambda source: Watched(source, fetched)
    for size in sizes:
        world.source.put(world.inbox, f"{size}", size=size, item_class=item_class)
    with Ledger.open(url) as ledger:
        if measured:
            ledger.plans.answer(IMPORT_CAP, "", "", measured)
    world.run()
    with Ledger.open(url) as ledger:
        became = {row.size: row.lane if row.state is ItemState.DONE else row.state for row in ledger.folder_rows(1, None)}
        refusals = {one.size: (one.reason, one.detail) for one in ledger.refusals(world.mailbox_id)}
    return fetched, became, refusals


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def test_each_item_goes_by_the_lane_that_takes_it_and_what_none_takes_is_never_fetched(url: str) -> None:
    sizes = [1 * MB, 27 * MB, 151 * MB]
    fetched, became, refusals = carried(url, measured="36000000", sizes=sizes)
    assert became == {1 * MB: "import", 27 * MB: "compose", 151 * MB: ItemState.REFUSED}
    assert refusals[151 * MB][0] == "too-large-to-carry"
    assert "151.0 MB" in refusals[151 * MB][1]
    assert "import 27 MB, compose 150 MB" in refusals[151 * MB][1]
    assert sorted(fetched) == [(Lane.COMPOSE, 27 * MB), (Lane.IMPORT, 1 * MB)]


def test_what_only_the_import_lane_may_take_is_imported_where_its_limit_is_not_known(url: str) -> None:
    fetched, became, refusals = carried(url, sizes=[151 * MB])
    assert became == {151 * MB: "import"}
    assert not refusals
    assert fetched == [(Lane.IMPORT, 151 * MB)]


@pytest.mark.parametrize(("lane", "measured", "size"), [("import", "36000000", 27 * MB), ("compose", "", 151 * MB)])
def test_the_operators_only_lane_refuses_before_it_fetches(url: str, lane: str, measured: str, size: int) -> None:
    fetched, became, refusals = carried(url, lane=lane, measured=measured, sizes=[1 * MB, size])
    assert became == {1 * MB: lane, size: ItemState.REFUSED}
    assert refusals[size][0] == "too-large-to-carry"
    assert fetched == [(Lane(lane), 1 * MB)]


def test_a_class_that_only_the_import_lane_carries_has_only_its_limit(url: str) -> None:
    fetched, became, refusals = carried(url, measured="36000000", sizes=[1 * MB, 28 * MB], item_class="IPM.StickyNote")
    assert became == {1 * MB: "import", 28 * MB: ItemState.REFUSED}
    assert "compose" not in refusals[28 * MB][1]
    assert fetched == [(Lane.IMPORT, 1 * MB)]
