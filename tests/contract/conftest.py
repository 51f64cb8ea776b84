"""The worlds that the contract is tested in; ``--live CONFIG`` adds the mailboxes of a config, which needs its explicit flag."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract_worlds import DestinationWorld, MemoryDestinationWorld, MemorySourceWorld, SourceWorld

SOURCES = {
    "memory": lambda: MemorySourceWorld(),
    "memory, one change a page": lambda: MemorySourceWorld(page_size=1),
    "memory, one page": lambda: MemorySourceWorld(page_size=512),
}

DESTINATIONS = {
    "memory": lambda: MemoryDestinationWorld(),
    "memory, search keys kept": lambda: MemoryDestinationWorld(keep_search_key=True),
    "memory, ids change": lambda: MemoryDestinationWorld(immutable_ids=False),
}


@pytest.fixture(params=list(SOURCES))
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    """A source mailbox that the test may change."""
    made = SOURCES[request.param]()
    yield made
    made.source.close()


@pytest.fixture(params=list(DESTINATIONS))
def target(request: pytest.FixtureRequest) -> Iterator[DestinationWorld]:
    """A target mailbox that the test may change."""
    made = DESTINATIONS[request.param]()
    yield made
    assert made.sent() == 0, "nothing may ever be sent"
    made.destination.close()
