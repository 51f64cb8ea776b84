"""A request that was given up is still carried out, after the look-up and after its item was sent again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from resume_world import Late, World, furnished, id_of

from state.model import PassKind, PassState

SEED, SWEEP = PassKind.SEED, PassKind.SWEEP


class _ThenCommits(Late):
    """The same; the late request is carried out right after the item was sent again."""

    def write(self, writes: Any) -> Any:
        answer = super().write(writes)
        if self._held and self._held[0] is not None and any(one.stamp == self._held[0][1].stamp for one in writes[:1]):
            inner, first = self._held[0]
            if self._again:
                self._held[0] = None
                inner.write([first])
            self._again = True
        return answer

    _again = False


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_copy_that_comes_late_within_the_pass_goes_again(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    held: list[Any] = []
    world.wrap_target = lambda inner: _ThenCommits(inner, held)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert held == [None], "the late request was never carried out, so this shows nothing"
    assert report.figures["surplus_removed"] == 1
    assert world.at_target() == world.at_source()
    world.wrap_target = lambda inner: inner
    assert world.run().state is PassState.DONE
    assert world.states() == {"DONE": 9}


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_copy_that_comes_after_the_pass_goes_with_the_next(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    held: list[Any] = []
    world.wrap_target = lambda inner: Late(inner, held)
    world.run(SEED)
    assert world.at_target() == world.at_source()
    inner, first = held[0]
    inner.guard(lambda: True)
    inner.write([first])
    assert len(world.target.items) == 10
    world.wrap_target = lambda inner: inner
    assert world.run().figures["surplus_removed"] == 1
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_the_watch_ends_with_the_pass_after_and_equal_copies_stay(sqlite_url: str, lane: str) -> None:
    world = World(sqlite_url, lane=lane)
    first = world.source.put(world.inbox, "twin", body="same")
    world.source.copy(first, world.inbox)
    held: list[Any] = []
    world.wrap_target = lambda inner: Late(inner, held)
    world.run(SEED)
    world.wrap_target = lambda inner: inner
    for _ in range(2):
        report = world.run()
        assert "surplus_removed" not in report.figures
    assert world.at_target() == world.at_source()
    copy = next(iter(world.target.items.values()))
    world.target.deliver(copy.folder_id, copy.content)  # what its user copies now is the user's
    world.run()
    assert len(world.target.items) == 3


def test_a_late_copy_whose_removal_could_tell_somebody_stays_and_is_said(sqlite_url: str) -> None:
    world = World(sqlite_url, lane="import")
    world.source.put(world.inbox, "receipt please", wants_read_receipt=True)
    held: list[Any] = []
    world.wrap_target = lambda inner: _ThenCommits(inner, held)
    report = world.run(SEED)
    assert report.figures["surplus"] == 1
    assert len(world.target.items) == 2


@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("late", [True, False])
def test_where_look_ups_name_copies_otherwise_than_the_ledger_nothing_is_removed(sqlite_url: str, lane: str, late: bool) -> None:
    class Renaming(_ThenCommits if late else Late):  # type: ignore[misc]
        def find(self, identities: Any) -> Any:
            found = self._inner.find(identities)
            return {each: [replace(hit, id=f"other name of {hit.id}") for hit in hits] for each, hits in found.items()}

    world = furnished(sqlite_url, lane=lane)
    held: list[Any] = []
    world.wrap_target = lambda inner: Renaming(inner, held)
    report = world.run(SEED)
    assert report.state is PassState.DONE
    assert held
    assert "surplus_removed" not in report.figures
    assert len(world.target.items) == 9 + late
    assert report.figures.get("surplus", 0) == late


def test_a_sweep_removes_nothing(sqlite_url: str) -> None:
    world = furnished(sqlite_url, lane="import")
    held: list[Any] = []
    world.wrap_target = lambda inner: _ThenCommits(inner, held)
    report = world.run(SWEEP)
    assert report.figures["surplus"] == 1
    assert len(world.target.items) == 10


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_replacement_that_comes_late_goes_again_too(sqlite_url: str, lane: str) -> None:
    world = furnished(sqlite_url, lane=lane)
    world.run(SEED)
    world.source.edit(id_of(world, "mail 0"), body="other text")
    held: list[Any] = []
    world.wrap_target = lambda inner: _ThenCommits(inner, held)
    report = world.run()
    assert report.state is PassState.DONE
    assert (lane == "import") == (held == [])
    assert world.at_target() == world.at_source()
