"""The worlds that the contract is tested in; ``--live CONFIG`` adds the mailboxes of a config, which needs its explicit flag.

An option of this file is known only when the folder is named: ``pytest tests/contract --live configs/live.toml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from contract_worlds import DestinationWorld, MemoryDestinationWorld, MemorySourceWorld, SourceWorld

from connectors.base import Destination
from connectors.wrappers import FaultyDestination, FaultySource, TracedDestination, TracedSource, seeded

if TYPE_CHECKING:
    from connectors.lab.server import Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", metavar="CONFIG", type=Path, help="also test the first pair of mailboxes of this config's waves")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing touches a real mailbox unless the flag says which."""
    return True if collection_path.name == "test_live.py" and not config.getoption("--live") else None


def traced_source() -> MemorySourceWorld:
    """Wrappers keep the contract."""
    world = MemorySourceWorld()
    world.source = FaultySource(TracedSource(world.source), seeded(1, 0.0))
    return world


class TracedDestinationWorld(MemoryDestinationWorld):
    """Wrappers keep the contract."""

    def again(self) -> Destination:
        return FaultyDestination(TracedDestination(super().again()), seeded(1, 0.0))


SOURCES: dict[str, Callable[[], SourceWorld]] = {
    "memory": lambda: MemorySourceWorld(),
    "memory, one change a page": lambda: MemorySourceWorld(page_size=1),
    "memory, one page": lambda: MemorySourceWorld(page_size=512),
    "memory, wrapped": traced_source,
}

DESTINATIONS: dict[str, Callable[[], DestinationWorld]] = {
    "memory": lambda: MemoryDestinationWorld(),
    "memory, search keys kept": lambda: MemoryDestinationWorld(keep_search_key=True),
    "memory, ids change": lambda: MemoryDestinationWorld(immutable_ids=False),
    "memory, wrapped": lambda: TracedDestinationWorld(),
}


EXCHANGE: dict[str, dict[str, object]] = {
    "Exchange in the lab": {},
    "Exchange in the lab, small pages": {"sync_page": 2, "find_page": 2},
    "Exchange in the lab, bare listings": {"sync_page": 3, "refuse_additional_in_sync": True},
}


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab without mailboxes of its own; each test brings its own ones."""
    from connectors.lab.server import Lab, LabPlan

    with Lab(LabPlan(mailboxes=1, items=0)) as made:
        yield made


@pytest.fixture(params=[*SOURCES, *EXCHANGE])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    """A source mailbox that the test may change."""
    if request.param in EXCHANGE:
        from lab_source import ExchangeWorld

        lab = request.getfixturevalue("lab")
        with pytest.MonkeyPatch.context() as patch, closing(ExchangeWorld(lab)) as there:
            for name, value in EXCHANGE[request.param].items():
                patch.setattr(lab.options[0], name, value)
            yield there
        return
    made = SOURCES[request.param]()
    yield made
    made.source.close()


GRAPH: dict[str, dict[str, object]] = {
    "Graph in the lab": {},
    "Graph in the lab, kindly": {"keep_search_key": True, "import_reply_ids": "immutable", "rounded_dates": False},
    "Graph in the lab, claims asked for": {"need_claims": True, "size_delta": -200},
}


@pytest.fixture(params=[*DESTINATIONS, *GRAPH])
def target(request: pytest.FixtureRequest) -> Iterator[DestinationWorld]:
    """A target mailbox that the test may change."""
    if request.param in GRAPH:
        from lab_target import GraphWorld

        lab = request.getfixturevalue("lab")
        with pytest.MonkeyPatch.context() as patch, closing(GraphWorld(lab)) as there:
            for name, value in GRAPH[request.param].items():
                patch.setattr(lab.options[1], name, value)
            yield there
            assert there.sent() == 0, "nothing may ever be sent"
        return
    made = DESTINATIONS[request.param]()
    yield made
    assert made.sent() == 0, "nothing may ever be sent"
    made.destination.close()
