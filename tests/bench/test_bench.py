"""The bench itself: both contestants carry every item over the real wires, and the figures are whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_a_short_bench_carries_everything_and_compares_with_the_floor(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    words = ["import-30k", "--rounds", "1", "--items", "45", "--out", str(out)]
    command = [sys.executable, str(HERE / "bench.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert told["ratio"] == told["engine"]["cpu_ms"] / told["floor"]["cpu_ms"] > 0
    assert told["items"] == 45
    # Three folders and what belongs to a pass are asked for once; what comes on top is one request an item.
    assert told["engine"]["target_requests"] < 1 + 60 / 45
