"""``migrator demo --waves``: forty mailboxes in three waves, from a spreadsheet to the reports, within three minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.full
@pytest.mark.timeout(900)
def test_schedules_pauses_and_approvals_outlive_a_serve_that_is_killed_at_random(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "migrator",
        "demo",
        "--waves",
        "--kill-serve",
        "11",
        "--keep",
        str(tmp_path / "project"),
        "--json",
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["deaths"] >= 15
    assert told["cut_off"] > 0
    assert told["approvals"] > 0
    assert told["late"] == {"mx7.partner.example": 2}
    assert (told["states"]["HELD"], told["states"]["PLANNED"], told["states"]["SWEEPING"]) == (1, 12, 5)
    assert told["sent_to_people"] == 0


@pytest.mark.full
@pytest.mark.timeout(400)
def test_forty_mailboxes_in_three_waves_come_to_what_the_demo_promises(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "migrator", "demo", "--waves", "--keep", str(tmp_path / "project"), "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["mailboxes"] == 40
    assert told["states"]["HELD"] == 1
    assert told["states"]["PLANNED"] == 12
    assert told["late"] == {"mx7.partner.example": 2}
    assert told["backfill"] > 0
    assert told["sent_to_people"] == 0
    kept = {file.name for file in (tmp_path / "project").rglob("*") if file.is_file()}
    assert {"CHECKLIST.md", "01-lock-source.ps1", "01-lock-source.result.csv", "report.html", "report.xlsx"} <= kept
