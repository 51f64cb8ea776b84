"""Everything that a mailbox can hold, by both lanes, as a user would type it; and real mail and calendars, if at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

import pytest
from test_contracts import CONTRACTS, errors_in

from migrator import fidelity
from migrator.reporting.words import language

CORPUS = Path(os.environ.get("MIGRATOR_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))


def demo(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "migrator", "--json", "demo", *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def keeps_to_the_contracts(*logs: Path) -> None:
    if CONTRACTS.is_dir():
        for log in logs:
            assert errors_in(log) == [], log.name


@pytest.mark.timeout(600)
def test_everything_arrives_by_both_lanes_or_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log" / "x.jsonl"
    told = demo("--whole", "--mailboxes", "1", "--items", "20", "--keep", str(tmp_path / "keep"), "--log", str(log))
    whole, parts = told["lanes"]["import"], told["lanes"]["compose"]
    assert whole["refused"] == whole["degraded"] == {}
    assert whole["classes"] == parts["classes"]
    wanted = {
        "IPM.Note", "IPM.Post", "IPM.Schedule.Meeting.Request", "IPM.Schedule.Meeting.Resp.Pos", "IPM.Appointment",
        "IPM.Contact", "IPM.DistList", "IPM.Task", "IPM.StickyNote", "IPM.Activity", "IPM.Vendor.Ticket",
        "REPORT.IPM.Note.IPNRN",
    }  # fmt: skip
    assert wanted <= whole["classes"].keys()
    for one in (whole, parts):
        assert one["differences"] == one["sent_to_people"] == one["idle"]["writes"] == one["settings"]["again"] == 0
        assert one["settings"]["written"] > 0
        assert one["compared"] == one["states"]["DONE"]
        assert one["items"] == sum(one["states"].values())
    assert {"meeting-without-attendees"} <= set(parts["refused"]) <= {"meeting-without-attendees", "could-send-receipt"}
    assert {"carried-as-attachment", "attendees", "time-zone", "cancelled", "subject", "task-percent", "follow-up"} <= parts[
        "degraded"
    ].keys()
    assert parts["degraded"].keys() <= fidelity.names()
    [by_mailbox] = parts["degraded_by_mailbox"].values()
    assert by_mailbox == parts["degraded"]
    page, says = Path(parts["report"]).read_text("utf-8"), language("en").degraded
    assert all(f"{escape(says(name))}: {number}" in page for name, number in by_mailbox.items())
    keeps_to_the_contracts(*(log.with_name(f"x-{lane}-{face}.jsonl") for lane in told["lanes"] for face in ("ews", "graph")))


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the real mail is not at hand")
@pytest.mark.parametrize("kind", ["eml", "ics"])
def test_real_mail_and_calendars_arrive_or_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "log" / "x.jsonl"
    told = demo("--mail", str(CORPUS / kind), "--lane", "compose", "--keep", str(tmp_path / "keep"), "--log", str(log))
    assert told["differences"] == told["sent_to_people"] == 0
    assert set(told["states"]) <= {"DONE", "REFUSED"}
    keeps_to_the_contracts(log.with_name("x-ews.jsonl"), log.with_name("x-graph.jsonl"))
