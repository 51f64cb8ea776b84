"""The bench keeps the engine near the floor: by ratios and counts of one run, never by seconds.

What is judged is the median of interleaved rounds, and the same once more where that is too high: noise on shared cores seldom
comes twice, and what the engine has lost does. The limits leave room above what is measured (docs/performance.md), because a
short run carries few items, and what a pass costs by itself counts for more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(300)

Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    def bench(case: str, items: int, rounds: int, *only: str) -> dict[str, Any]:
        out = tmp_path / "bench.json"
        words = [case, "--rounds", str(rounds), "--items", str(items), "--out", str(out)]
        words += [word for name in only for word in ("--only", name)]
        command = [sys.executable, str(HERE / "bench.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(out.read_text())["cases"][case]
        return told

    return bench


def at_most(limit: float, word: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    told = run()
    if told[word] > limit:
        told = run()
    assert told[word] <= limit
    return told


def test_an_item_of_30_kb_costs_little_more_than_the_floor(bench: Bench) -> None:
    told = at_most(2.4, "ratio", lambda: bench("import-30k", 500, 3, "engine", "floor"))
    assert told["ratio"] == told["engine"]["cpu_ms"] / told["floor"]["cpu_ms"]
    kinds = told["engine"]["target_requests_by_kind"]
    # One POST an item. What is on top belongs to the pass and its folders, and does not grow with the items.
    assert kinds["import"] == told["items"]
    assert sum(kinds.values()) - kinds["import"] < 45
    assert told["engine"]["source_requests"] < 30
    assert told["engine"]["ledger_share"] < 0.12


def test_a_large_item_costs_little_more_than_the_floor(bench: Bench) -> None:
    told = at_most(2.8, "ratio", lambda: bench("import-20m", 2, 1, "engine", "floor"))
    assert told["engine"]["target_requests_by_kind"]["import"] == told["items"]


def test_a_message_with_an_attachment_costs_at_most_four_times_its_import(bench: Bench) -> None:
    told = at_most(4, "engine : engine-import", lambda: bench("compose-30k-attachment", 60, 1, "engine", "engine-import"))
    kinds = told["engine"]["target_requests_by_kind"]
    # A small attachment goes with its message.
    assert kinds["create"] == told["items"]
    assert sum(kinds.values()) - kinds["create"] < 45
