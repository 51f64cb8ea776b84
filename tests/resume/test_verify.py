"""The quick comparison: a difference that we made is named, one that the target's user made is explained."""

from __future__ import annotations

from typing import Any

import pytest
from resume_world import World, furnished, id_of

from connectors.base import Role
from connectors.memory import MemorySource
from connectors.memory_destination import MemoryDestination
from migrator.checking.verify import Verdict, verify_mailbox
from state.model import PassKind
from state.store import Ledger


def verdict(world: World) -> Verdict:
    with Ledger.open(world.url) as ledger:
        source, target = MemorySource(world.source), MemoryDestination(world.target, **world.switches)
        return verify_mailbox(ledger, world.mailbox_id, source, target)


def names(world: World) -> dict[str, int]:
    return {one.what: one.items for one in verdict(world).differences}


@pytest.fixture(params=["import", "compose"])
def world(request: pytest.FixtureRequest, sqlite_url: str) -> World:
    world = furnished(sqlite_url, lane=request.param)
    world.run(PassKind.SEED)
    return world


def test_equal_sides_have_no_difference(world: World) -> None:
    assert names(world) == {}
    assert verdict(world).figures["matched"] == 9


def spoil(world: World, which: str, **fields: Any) -> None:
    """Change a copy behind everybody's back: its change key stays."""
    copy = world.copy_of(which)
    version = copy.version
    world.target.edit(copy.id, **fields)
    copy.version = version


def test_what_arrived_otherwise_than_it_left_is_named(world: World) -> None:
    spoil(world, "mail 0", subject="another")
    spoil(world, "mail 1", is_read=True)
    spoil(world, "mail 2", message_id="<other@x>")
    spoil(world, "mail 3", received=None)
    del world.target.items[world.copy_of("mail 4").id]
    world.target.deliver(world.copy_of("mail 5").folder_id, world.copy_of("mail 5").content)
    assert names(world) == {"subject": 1, "read": 1, "message-id": 1, "received": 1, "missing": 1, "doubled": 1}


def test_what_its_user_did_in_the_target_since_is_explained(world: World) -> None:
    world.target.mark_read(world.copy_of("mail 0").id)
    world.target.edit(world.copy_of("mail 1").id, subject="another")
    world.target.move(world.copy_of("mail 2").id, world.target.special(Role.DELETED))
    assert names(world) == {}
    assert verdict(world).figures["touched"] == 3


def test_what_another_pass_mends_is_told_from_what_a_person_has_to(world: World) -> None:
    world.source.put(world.inbox, "news")
    world.source.delete(id_of(world, "mail 0"))
    assert names(world) == {"not-listed": 1, "left-since": 1}
