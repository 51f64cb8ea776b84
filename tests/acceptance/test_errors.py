"""What did not go, over the real wires: listed, shown with its subject, approved, tried again, and arrived."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.server import Lab, LabPlan


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=150)) as lab:
        yield lab


def said(lab: Lab, *words: str) -> str:
    command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=100)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


def told(lab: Lab, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(said(lab, *words, "--json"))
    return answer


def test_poisoned_items_are_approved_then_carried_after_all(lab: Lab) -> None:
    first = told(lab, "run", "--lane", "compose")
    refused = first["mailboxes"][0]["refused"]
    assert first["exit_code"] == 2
    assert refused > 3
    listed = told(lab, "errors", "list")
    assert {one["reason"] for one in listed["items"]} == {"no-lane"}
    assert len(listed["items"]) == refused

    # Subjects are the source's, shown when asked for, and nowhere else.
    [source] = lab.source.mailboxes.values()
    subjects = {item.subject for item in source.items.values() if item.item_class == "IPM.Contact"}
    plain, open_ = said(lab, "errors", "list"), said(lab, "errors", "list", "--subjects")
    assert any(subject in open_ for subject in subjects)
    assert not any(subject in plain for subject in subjects)
    for file in lab.folder.glob("migrator*"):
        content = file.read_bytes()
        assert not any(subject.encode() in content for subject in subjects if len(subject) > 8), file

    key = listed["items"][0]["key"]
    assert told(lab, "errors", "approve", "--reason", "no-lane", "--why", "mail first")["approved"] == refused
    calm = told(lab, "run", "--lane", "compose")
    assert (calm["exit_code"], calm["mailboxes"][0]["approved"]) == (0, refused)
    assert "stay by approval" in said(lab, "status").splitlines()[0]
    assert told(lab, "report", "--out", str(lab.folder / "r.html"))["light"] == "green"
    assert told(lab, "errors", "show", key[:12])["decisions"][0]["why"] == "mail first"

    assert told(lab, "errors", "retry", "--all", "--why", "now the rest")["retried"] == refused
    last = told(lab, "run", "--lane", "import")
    assert (last["exit_code"], last["mailboxes"][0]["refused"], last["mailboxes"][0]["done"]) == (0, 0, 150)
    assert told(lab, "errors", "list")["items"] == []
    assert told(lab, "verify")["differences"] == 0
    [target] = lab.target.mailboxes.values()
    assert target.sent == []
