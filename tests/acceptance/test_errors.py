"""What did not go, over the real wires: listed, shown with its subject, approved, tried again, and arrived."""

from __future__ import annotations

import email
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.server import Lab, LabPlan
from migrator import cli, logs


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=100)) as lab:
        yield lab


Say = Callable[..., str]
Tell = Callable[..., dict[str, Any]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Runs a command over a lab and gives what it said; the real command, in this process because a new one costs seconds."""

    def say(lab: Lab, *words: str) -> str:
        capsys.readouterr()
        code = cli.run(("-c", str(lab.config_file), *words))
        told = capsys.readouterr()
        assert code in (0, 2), told.err
        return told.out

    yield say
    logs.take_down()


@pytest.fixture
def told(said: Say) -> Tell:
    """The same as values."""

    def tell(lab: Lab, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(said(lab, *words, "--json"))
        return answer

    return tell


def test_poisoned_items_are_approved_then_carried_after_all(lab: Lab, said: Say, told: Tell) -> None:
    first = told(lab, "run", "--lane", "compose")
    refused = first["mailboxes"][0]["refused"]
    assert first["exit_code"] == 2
    assert refused > 0
    listed = told(lab, "errors", "list")
    reasons = {one["reason"] for one in listed["items"]}
    assert "note-needs-import" in reasons <= {"no-lane", "note-needs-import"}
    assert len(listed["items"]) == refused

    # Subjects are the source's, shown when asked for, and nowhere else.
    [source] = lab.source.mailboxes.values()
    classes = {one["item_class"] for one in listed["items"]}
    subjects = {item.subject for item in source.items.values() if item.item_class in classes}
    plain, open_ = said(lab, "errors", "list"), said(lab, "errors", "list", "--subjects")
    assert any(subject in open_ for subject in subjects)
    assert not any(subject in plain for subject in subjects)
    for file in lab.folder.glob("migrator*"):
        content = file.read_bytes()
        assert not any(subject.encode() in content for subject in subjects if len(subject) > 8), file

    key = listed["items"][0]["key"]
    approved = [told(lab, "errors", "approve", "--reason", one, "--why", "mail first")["approved"] for one in sorted(reasons)]
    assert sum(approved) == refused
    calm = told(lab, "run", "--lane", "compose")
    assert (calm["exit_code"], calm["mailboxes"][0]["approved"]) == (0, refused)
    assert "stay by approval" in said(lab, "status").splitlines()[0]
    assert told(lab, "report", "--out", str(lab.folder / "r.html"))["light"] == "green"
    assert told(lab, "errors", "show", key[:12])["decisions"][0]["why"] == "mail first"

    assert told(lab, "errors", "retry", "--all", "--why", "now the rest")["retried"] == refused
    last = told(lab, "run", "--lane", "import")
    assert (last["exit_code"], last["mailboxes"][0]["refused"], last["mailboxes"][0]["done"]) == (0, 0, 100)
    assert told(lab, "errors", "list")["items"] == []
    assert told(lab, "verify")["differences"] == 0
    [target] = lab.target.mailboxes.values()
    assert target.sent == []


@pytest.mark.parametrize(("lane", "key", "ending"), [("import", "", ".fts"), ("compose", "file:vault.key", ".enc")])
def test_content_that_the_target_refused_is_handed_over_until_it_arrives(
    tmp_path: Path, told: Tell, lane: str, key: str, ending: str
) -> None:
    cap = 30_000 if lane == "import" else None
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=40, tenant={"import_cap": cap})) as lab:
        (lab.folder / "vault.key").write_text("correct horse battery staple", encoding="utf-8")
        with lab.config_file.open("a", encoding="utf-8") as config:
            config.write(f'\n[errors]\nkeep = "stays"\nkey = "{key}"\n')
        if lane == "compose":
            # More attachments than the target takes is what refuses a whole mail there.
            [source] = lab.source.mailboxes.values()
            mail = next(item for item in source.items.values() if item.item_class == "IPM.Note" and item.parts)
            mail.parts[:] = [mail.parts[0]] * 300

        def on_disk() -> set[str]:
            return {file.name.partition(".")[0] for file in (lab.folder / "stays").rglob("*") if file.is_file()}

        assert told(lab, "run", "--lane", lane)["exit_code"] == 2
        kept = {one["key"]: one["kept"] for one in told(lab, "errors", "list")["items"] if one["kept"]}
        assert on_disk() == set(kept) != set()
        assert {Path(file).suffix for file in kept.values()} == {ending}
        one, out = next(iter(kept)), lab.folder / "handed-over"
        told(lab, "errors", "show", one, "--save", str(out))
        if lane == "compose":
            read = email.message_from_bytes(out.read_bytes())
            assert len(read.get_payload()) == 301
            assert read["Subject"]
        # The other lane takes some of them, and those need not be kept any longer.
        told(lab, "errors", "retry", *kept)
        told(lab, "run", "--lane", "compose" if lane == "import" else "import")
        left = {one["key"] for one in told(lab, "errors", "list")["items"]}
        assert on_disk() == left & set(kept) < set(kept)


def test_what_the_other_lane_carried_is_not_kept(tmp_path: Path, told: Tell) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=60, tenant={"import_cap": 1000})) as lab:
        [ended] = told(lab, "run", "--lane", "auto")["mailboxes"]
        assert ended["figures"]["other_lane"] > 10
        items = told(lab, "errors", "list")["items"]
        on_disk = {file.name.partition(".")[0] for file in (lab.folder / "refused").rglob("*") if file.is_file()}
        assert on_disk == {one["key"] for one in items if one["kept"]}
        assert all(one["kept"] for one in items)
        assert len(on_disk) == ended["refused"] < ended["figures"]["other_lane"]
