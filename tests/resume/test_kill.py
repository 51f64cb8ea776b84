"""Die at every step, run again, compare with the same expected end; then once more, and nothing is written.

Every step under ``--full``, which takes minutes; else every seventh, and on Postgres every twenty-fifth.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resume_world import Hand, Killed, World, furnished, id_of

import migrator
from state.model import PassKind, PassState

CRASH_WINDOWS = {"listing.py": 1, "transfer.py": 3}
"""Marks of ``# CRASH WINDOW:`` in the code, by file; each lies between two steps of the matrix."""

ELSEWHERE = {"placing.py": 2, "probing.py": 2, "undo.py": 1}
"""The same outside of what a pass under one set of rules goes through: tests of their own die there (test_mapping, test_probe,
test_monday)."""


def change(world: World) -> None:
    """What users do between two passes: everything that a pass has to follow."""
    world.source.put(world.inbox, "news", body="n")
    world.source.edit(id_of(world, "mail 0"), body="other text")
    world.source.mark_read(id_of(world, "mail 1"))
    world.source.move(id_of(world, "mail 2"), world.projects)  # type: ignore[attr-defined]
    world.source.delete(id_of(world, "mail 3"))


def live(world: World, hand: Hand) -> None:
    """Seed, change, delta, by processes that the hand may kill; a killed one is followed by one that nobody kills."""
    for kind in (PassKind.SEED, PassKind.DELTA):
        if kind is PassKind.DELTA:
            change(world)
        try:
            report = world.run(kind, hand)
        except Killed:
            report = world.run(kind)
        assert report.state is PassState.DONE, report.cause


def check(world: World, at: int) -> None:
    assert world.at_target() == world.at_source(), f"killed at step {at}"
    assert world.states() == {"DONE": 9, "GONE": 1}, f"killed at step {at}"
    again = world.run()
    assert again.state is PassState.DONE
    assert not {"created", "updated", "moved", "removed", "flagged"} & again.figures.keys(), f"killed at step {at}"


def matrix(fresh: Any, stride: int, **options: Any) -> int:
    """Kill at every ``stride``-th step there is; returns how many."""
    hand = Hand()
    live(furnished(fresh(), **options), hand)
    for at in range(1, hand.steps + 1, stride):
        world = furnished(fresh(), **options)
        live(world, Hand(at))
        check(world, at)
    return len(range(1, hand.steps + 1, stride))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_killed_at_any_step_on_sqlite(
    lane: str, full: bool, tmp_path: Path, migrated_file: Path, tell: Callable[[str], None]
) -> None:
    numbers = iter(range(10_000))

    def fresh() -> str:
        path = tmp_path / f"{next(numbers)}.db"
        path.write_bytes(migrated_file.read_bytes())
        return f"sqlite:///{path}"

    covered = matrix(fresh, 1 if full else 7, lane=lane)
    tell(f"{covered} kill points in the {lane} lane on SQLite")
    assert covered > (250 if full else 35)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_killed_at_any_step_on_postgres(
    lane: str, full: bool, databases: Any, migrated_database: str, tell: Callable[[str], None]
) -> None:
    made: list[str] = []

    def fresh() -> str:
        made.append(databases.make(migrated_database))
        return made[-1]

    try:
        covered = matrix(fresh, 5 if full else 25, lane=lane)
    finally:
        for url in made:
            databases.drop(url)
    tell(f"{covered} kill points in the {lane} lane on Postgres")
    assert covered > 10


def test_every_crash_window_of_the_code_lies_between_two_steps(sqlite_url: str) -> None:
    folder = Path(migrator.__file__).parent
    marks = {file.name: len(re.findall(r"# CRASH WINDOW: .+", file.read_text("utf-8"))) for file in folder.rglob("*.py")}
    hand = Hand()
    live(furnished(sqlite_url, lane="compose"), hand)
    assert {name: number for name, number in marks.items() if number} == CRASH_WINDOWS | ELSEWHERE
    for step in ("after record_page", "after intend", "before write", "after write", "before settle", "after settle"):
        assert hand.names[step] > 0
