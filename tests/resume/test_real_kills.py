"""A real process, killed at a random moment; what is left behind is completed by running it again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_world import Real

from connectors.lab import churn
from connectors.lab.server import Lab, LabPlan

CHANGES = {"new": 8, "edit": 6, "move": 5, "delete": 4, "read": 6}
SEED = 20261124


def kill_at_random(real: Real, dice: random.Random) -> str:
    """Start a pass and kill it after a random part of what it has to do; returns where it came to."""
    begun = real.arrived(), sum(real.lab.seen.requests.values())
    process = real.start("run", "--approve-deletes")
    real.wait_for(lambda: sum(real.lab.seen.requests.values()) > begun[1] or process.poll() is not None, process)
    time.sleep(dice.uniform(0.0, 1.0) ** 2)
    alive = process.poll() is None
    real.kill(process)
    return "in mid-pass" if alive else "after its end"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lane", ["import", pytest.param("compose", marks=pytest.mark.full)])
def test_killed_for_real_at_random_moments(lane: str, full: bool, tmp_path: Path, tell: Callable[[str], None]) -> None:
    dice = random.Random(f"{SEED} {lane}")
    kills = 25 if full else 1
    met = 0
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=60, tenant_latency=0.02)) as lab:
        real = Real(lab, lane, lease=1.0, settle_horizon=0.3)
        for number in range(kills):
            if number:
                churn.churn(real.source, CHANGES, lab.shelf, side="source", seed=number)
            for _ in range(1 + number % 3 // 2):  # every third time the one that goes on is killed too
                met += kill_at_random(real, dice) == "in mid-pass"
            ended = real.run_on("--approve-deletes")
            assert ended.code in (0, 2), ended
            assert real.differences() == {"lost": [], "twice": []}, f"kill {number} of seed {SEED}"
            again = real.run_on()
            assert again.written == 0, f"kill {number} of seed {SEED}: {again}"
        assert real.target.sent == []
    tell(f"{met} real kills in mid-pass, of {kills} passes in the {lane} lane")
    assert met > kills // 2
