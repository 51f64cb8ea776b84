"""Every fault of both wires, once, while real passes run: run again, and nothing is lost, nothing twice, nothing unnamed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_world import FaultWorld, attach_large

from connectors.lab import churn
from connectors.lab.faults import KINDS, Face, Fault, FaultPlan
from connectors.lab.server import Lab, LabPlan
from state.model import ItemState

if TYPE_CHECKING:
    from migrator.config import LaneChoice

IMPORT_ALONE = {"ews-truncated-data", "graph-import-401", "graph-import-404", "graph-import-410"}
COMPOSE_ALONE = {"graph-upload-cut", "graph-upload-gone", "graph-upload-401", "graph-token-in-upload"}
FIRST_PASS = 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FaultWorld]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=100)) as lab:
        attach_large(next(iter(lab.source.mailboxes.values())), 3)
        yield FaultWorld(lab)


def script_for(lane: str) -> tuple[Fault, ...]:
    """Each kind that the lane can meet, once, spread over its requests so that they don't all meet the same one."""
    other = COMPOSE_ALONE if lane == "import" else IMPORT_ALONE
    kinds = [kind for kind in KINDS if kind.name not in other]
    # A request that failed is asked again at once: what strikes next has to leave that one alone.
    steps, script = {Face.EWS: itertools.count(2, 2), Face.GRAPH: itertools.count(3, 5)}, list[Fault]()
    for kind in kinds:
        script.append(Fault(kind.name, nth=1 if kind.fits else next(steps[kind.face])))
    return tuple(script)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_every_fault_once_and_run_again_ends_with_everything_there_once(world: FaultWorld, lane: LaneChoice) -> None:
    faults = world.lab.faults
    faults.arm(FaultPlan(script=script_for(lane), slow=0.1, wait=0.1))
    world.run_until_clean(lane, most=FIRST_PASS)
    if faults.due():
        # Some need a second pass (a sync state to be stale) or more work than was left.
        [mailbox] = world.lab.source.mailboxes.values()
        for item in list(mailbox.items.values())[:30]:
            if item.item_class == "IPM.Note":
                item.is_read = not item.is_read
                mailbox.touch(item, "read")
        attach_large(mailbox, 5)
        world.run_until_clean(lane, most=FIRST_PASS)
    assert faults.due() == []
    assert set(faults.struck) == {fault.kind for fault in script_for(lane)}
    hold_that_all_is_there_once(world, lane)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_users_go_on_working_while_a_seventh_of_all_requests_fails(world: FaultWorld, lane: LaneChoice) -> None:
    [mailbox] = world.lab.source.mailboxes.values()
    world.run_until_clean(lane, most=1)
    for seed in (1, 2):
        with mailbox.lock:
            changes = {"new": 5, "edit": 6, "move": 5, "delete": 3, "read": 5}
            churn.churn(mailbox, changes, world.lab.shelf, side="source", seed=seed)
        world.lab.faults.arm(FaultPlan(share=1 / 7, seed=seed, slow=0.05, wait=0.05))
        world.run_until_clean(lane, most=FIRST_PASS)
    assert len(world.lab.faults.struck) >= 10
    hold_that_all_is_there_once(world, lane)


def hold_that_all_is_there_once(world: FaultWorld, lane: LaneChoice) -> None:
    world.lab.faults.disarm()
    before = world.target_changes()
    world.run_until_clean(lane, most=1)
    assert world.target_changes() == before, "a pass with nothing to do wrote"
    missing, surplus = world.missing_and_surplus(lane)
    open_rows = world.unnamed()
    assert surplus.total() == 0
    assert missing.total() == len(open_rows)
    assert {state for state, _ in open_rows} <= {ItemState.REFUSED}
    assert {reason for _, reason in open_rows} <= ({"no-lane", "note-needs-import"} if lane == "compose" else set())
