"""A ledger that was lost, over the real wires: noticed, learnt anew from the target, and nothing doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Mailbox


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=60)) as lab:
        yield lab


def told(lab: Lab, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=100)
    assert done.returncode in (0, 2, 4), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def written(answer: dict[str, Any]) -> int:
    figures = answer["mailboxes"][0]["figures"]
    return int(sum(figures.get(word, 0) for word in ("created", "updated", "moved", "removed", "flagged")))


def target_of(lab: Lab) -> Mailbox:
    [mailbox] = lab.target.mailboxes.values()
    return mailbox


@pytest.mark.parametrize("lane", ["import", pytest.param("compose", marks=pytest.mark.full)])
def test_a_lost_ledger_is_noticed_and_learnt_anew(lab: Lab, lane: str) -> None:
    first = told(lab, "run", "--lane", lane)
    held = len(target_of(lab).items)
    assert held > 40
    for file in lab.folder.glob("migrator.db*"):
        os.unlink(file)
    stopped = told(lab, "run", "--lane", lane)
    assert stopped["exit_code"] == 4
    assert "--take-over" in stopped["mailboxes"][0]["cause"]
    assert told(lab, "db", "rebuild")["exit_code"] == 4
    rebuilt = told(lab, "db", "rebuild", "--take-over")
    assert rebuilt["mailboxes"][0]["figures"]["adopted"] == held == first["mailboxes"][0]["done"]
    again = told(lab, "run", "--lane", lane)
    assert (again["exit_code"], written(again), len(target_of(lab).items)) == (first["exit_code"], 0, held)
    assert told(lab, "verify")["differences"] == 0
    assert target_of(lab).sent == []
