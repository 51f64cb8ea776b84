"""How much memory the engine's process holds: it does not depend on the size of an item, nor on how many there are.

Figures are bytes that a real process held at most, with the servers in another one; bytes are no seconds, so they are asserted as
they are. The long forms (150 MB, a hundred mailboxes) run with ``--full``; those that run every day are smaller.
"""

from __future__ import annotations

import sys
from functools import cache

import pytest
from memory_run import measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell the most that a process held")

MB = 1_000_000
ADDED = 32 * MB
"""The most that an item may add, however large it is."""


@cache
def with_small_items(lane: str) -> int:
    peak: int = measure(lane, items=20, size=30_000)["peak"]
    return peak


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_large_item_adds_next_to_nothing(lane: str) -> None:
    told = measure(lane, items=20, size=30_000, large=50 * MB)
    assert told["peak"] - with_small_items(lane) < ADDED
    assert told["bytes"] > 50 * MB


def test_a_mailbox_more_adds_little() -> None:
    few, many = (measure("import", mailboxes=number, items=5, size=30_000)["peak"] for number in (2, 10))
    assert (many - few) / 8 < 1.6 * MB, "a hundred of them would not fit into 250 MB"


@pytest.mark.full
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_an_item_of_150_megabytes_adds_next_to_nothing(lane: str) -> None:
    told = measure(lane, items=20, size=30_000, large=150 * MB)
    assert told["peak"] - with_small_items(lane) < ADDED


@pytest.mark.full
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_a_hundred_mailboxes_at_once_fit_into_250_megabytes(lane: str) -> None:
    assert measure(lane, mailboxes=100, items=40, size=30_000)["peak"] < 250 * MB


@pytest.mark.full
def test_20_000_items_need_no_more_memory_than_2_000() -> None:
    few, many = (measure("import", items=number, size=0)["peak"] for number in (2000, 20_000))
    assert many - few < 8 * MB
