"""Killed, and killed again while the next process puts in order what the first one left; killed under every switch of the target.

By default some of the kill points, under ``--full`` all of them.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from resume_world import Hand, Killed, World, id_of, lean

from state.model import PassKind, PassState

WRITES = {"created", "updated", "moved", "removed", "flagged"}

SWITCHES: dict[str, dict[str, Any]] = {
    "sizes as they were": {"size_factor": 1.0},
    "sizes halved": {"size_factor": 0.5},
    "search key kept": {"keep_search_key": True},
    "dates to the microsecond": {"whole_seconds": False},
    "new ids on a move": {"immutable_ids": False},
    "seen late": {"lag": 0.02, "settle_horizon": 0.03},
    "the good case": {"keep_search_key": True, "whole_seconds": False, "size_factor": 1.0},
    "the worst case": {"immutable_ids": False, "size_factor": 0.5, "lag": 0.02, "settle_horizon": 0.03},
}


@dataclass(frozen=True)
class Ledgers:
    """Fresh ledgers in a file."""

    folder: Path
    template: Path

    def fresh(self) -> str:
        for file in self.folder.iterdir():
            file.unlink()
        path = self.folder / "ledger.db"
        path.write_bytes(self.template.read_bytes())
        return f"sqlite:///{path.as_posix()}"


@pytest.fixture
def ledgers(migrated_file: Path) -> Iterator[Ledgers]:
    # In memory where the system has such a place: nobody pulls the plug here, and every sync of a disk takes its time.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True) as folder:
        yield Ledgers(Path(folder), migrated_file)


def furnished(ledgers: Ledgers, lane: str, **switches: Any) -> World:
    """Two folders, a pair of equal copies, equal copies in two folders, and something for every kind of change."""
    world = lean(World(ledgers.fresh(), lane=lane, page_size=3, **switches))
    projects = world.source.add_folder("Projects")
    for subject in ("edited", "read", "moved", "deleted", "kept"):
        world.source.put(world.inbox, subject, body=subject)
    twin = world.source.put(projects, "twin", body="same")
    world.source.copy(twin, projects)
    world.source.copy(twin, world.inbox)
    return world


def change(world: World) -> None:
    [projects] = [box.id for box in world.source.boxes.values() if box.name == "Projects"]
    world.source.put(projects, "new", body="n")
    world.source.edit(id_of(world, "edited"), body="other text")
    world.source.mark_read(id_of(world, "read"))
    world.source.move(id_of(world, "moved"), world.source.add_folder("Newer", projects))
    world.source.delete(id_of(world, "deleted"))
    world.source.rename_folder(projects, "Works")


def live(world: World, *hands: Hand) -> None:
    """Seed, change, delta, by processes of which each hand may kill one; whoever is killed is followed by the next."""
    left = list(hands)
    for kind in (PassKind.SEED, PassKind.DELTA):
        if kind is PassKind.DELTA:
            change(world)
        while True:
            try:
                report = world.run(kind, left[0] if left else None)
            except Killed:
                del left[0]
                continue
            assert report.state is PassState.DONE, report.cause
            break


def check(world: World, where: str) -> None:
    assert world.at_target() == world.at_source(), where
    assert world.states() == {"DONE": 8, "GONE": 1}, where
    again = world.run()
    assert again.state is PassState.DONE, where
    assert not WRITES & again.figures.keys(), where


def steps_of(ledgers: Ledgers, lane: str, **switches: Any) -> int:
    hand = Hand()
    live(furnished(ledgers, lane, **switches), hand)
    return hand.steps


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_killed_twice(lane: str, full: bool, ledgers: Ledgers, tell: Callable[[str], None]) -> None:
    pairs = 0
    for first in range(1, steps_of(ledgers, lane) + 1, 1 if full else 11):
        # The steps of healing come first, and are all met; of what follows every third, each time another one.
        seconds = itertools.chain(range(1, 12), itertools.count(12 + first % 3, 3)) if full else iter((2 + first % 7, 9 + first))
        for second in seconds:
            hands = Hand(first), Hand(second)
            world = furnished(ledgers, lane)
            live(world, *hands)
            check(world, f"killed at step {first}, and then at step {second}")
            pairs += 1
            if not hands[1].dead:
                break  # the second process came to its end before
    tell(f"{pairs} pairs of kill points in the {lane} lane, killed twice")
    assert pairs > (2000 if full else 20)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lane", ["import", "compose"])
@pytest.mark.parametrize("switch", SWITCHES)
def test_killed_under_each_switch_of_the_target(
    switch: str, lane: str, full: bool, ledgers: Ledgers, tell: Callable[[str], None]
) -> None:
    switches = SWITCHES[switch]
    steps = steps_of(ledgers, lane, **switches)
    points = range(1 if full else 3, steps + 1, 1 if full else 23)
    for at in points:
        world = furnished(ledgers, lane, **switches)
        live(world, Hand(at))
        check(world, f"{switch}, killed at step {at}")
    tell(f"{len(points)} kill points in the {lane} lane with {switch}")
    assert len(points) > (100 if full else 4)
