"""Copies of one mail share message id and times; once a user changed one of them, none may be taken for another after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from resume_world import Hand, Killed, World

from connectors.base import Identity, TargetRef
from connectors.memory import MemorySource
from connectors.memory_destination import MemoryDestination
from migrator.checking.verify import verify_mailbox
from state.model import PassKind
from state.store import Ledger


def with_copies(url: str, **options: Any) -> World:
    world = World(url, **options)
    first = world.source.put(world.inbox, "copy 0", body="same")
    for number in range(1, 6):
        world.source.edit(world.source.copy(first, world.inbox), subject=f"copy {number}")
    return world


def differences(world: World) -> list[str]:
    with Ledger.open(world.url) as ledger:
        source, target = MemorySource(world.source), MemoryDestination(world.target, **world.switches)
        return [one.sentence for one in verify_mailbox(ledger, world.mailbox_id, source, target).differences]


class Backwards(MemoryDestination):
    """Shows what it finds in an order of its own, as a server may."""

    def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        return {identity: hits[::-1] for identity, hits in super().find(identities).items()}


class Dies(Hand):
    """Kills right after something was written, before it is settled."""

    def step(self, name: str) -> None:
        super().step(name)
        if name == "after write" and not self.dead:
            self.dead = True
            raise Killed


def test_a_killed_pass_never_takes_one_copy_for_another(sqlite_url: str) -> None:
    world = with_copies(sqlite_url, lane="import", page_size=10)
    world.wrap_target = lambda _: Backwards(world.target)
    with pytest.raises(Killed):
        world.run(PassKind.SEED, Dies())
    assert len(world.target.items) == 6, "all had arrived"
    report = world.run(PassKind.SEED)
    assert report.figures["healed"] == 6
    assert differences(world) == []
    assert len(world.target.items) == 6
