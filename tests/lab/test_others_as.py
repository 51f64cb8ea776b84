"""What no resource of the target takes, composed as a message that holds it: over the lab, again and again, and never twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fidelity_world import Row

from connectors.lab import churn
from connectors.lab.faults import FaultPlan
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Mailbox
from connectors.reading import original
from migrator import cli

CARRIED = "carried-as-attachment"
KINDS = {"note": "IPM.StickyNote", "journal": "IPM.Activity", "list": "IPM.DistList", "any other class": "IPM.Vendor.Ticket"}
ROWS: set[Row] = {("compose", kind, CARRIED, "degraded") for kind in KINDS}
CLASSES = {*KINDS.values(), "IPM.Schedule.Meeting.Request"}


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0, everything=True)) as lab:
        yield lab


@pytest.fixture
def run(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def act(*words: str) -> Any:
        code = cli.run(["-c", str(lab.config_file), "--json", *words])
        assert code in (0, 2, 3, 4), capsys.readouterr()
        return json.loads(capsys.readouterr().out)

    return act


Carried = tuple[Lab, Callable[..., Any]]


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """What no resource takes, carried within messages, and a way to give commands."""
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("held"), mailboxes=1, items=0, everything=True)) as lab:
        allow(lab)

        def act(*words: str) -> Any:
            with redirect_stdout(StringIO()) as told:
                cli.run(["-c", str(lab.config_file), "--json", *words])
            return json.loads(told.getvalue())

        act("run", "--lane", "compose")
        yield lab, act


def allow(lab: Lab) -> None:
    text = lab.config_file.read_text("utf-8")
    lab.config_file.write_text(text.replace("[run]\n", '[run]\nothers_as = "attachment"\n', 1), "utf-8")


def carry(run: Callable[..., Any]) -> Counter[str]:
    [mailbox] = run("run", "--lane", "compose")["mailboxes"]
    return Counter(mailbox["figures"])


def sides(lab: Lab) -> tuple[Mailbox, Mailbox]:
    [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    return source, target


def holders(target: Mailbox) -> dict[str, Item]:
    """The messages that hold something, by its class and subject."""
    return {
        f"{part.name.removesuffix('.exported')}: {item.subject}": item
        for item in target.items.values()
        for part in item.parts
        if part.name.endswith(".exported")
    }


def test_without_the_operators_word_it_is_refused_by_name_and_with_it_carried(lab: Lab, run: Callable[..., Any]) -> None:
    source, target = sides(lab)
    refused = carry(run)["refused"]
    assert holders(target) == {}
    allow(lab)
    run("errors", "retry", "--reason", "no-lane")
    for reason in ("note-needs-import", "journal-needs-import", "list-needs-import"):
        run("errors", "retry", "--reason", reason)
    figures = carry(run)
    others = [item for item in source.items.values() if f"{item.item_class}: {item.subject}" in holders(target)]
    assert figures[f"degraded.{CARRIED}"] == figures["created"] == len(others) == len(holders(target)) == refused - 1
    assert {item.item_class for item in others} >= CLASSES
    for item in others:
        copy = holders(target)[f"{item.item_class}: {item.subject}"]
        assert copy.item_class == "IPM.Note"
        assert (copy.submitted, copy.is_draft) == (item.submitted, False)
        assert (item.words or "").strip() in (copy.words or "")
        if item.item_class in ("IPM.StickyNote", "IPM.Activity", "IPM.DistList"):
            assert target.boxes[copy.folder_id].name == "Carried as attachments"
        else:
            assert target.boxes[copy.folder_id].role == "inbox"
    assert target.sent == []
    verdict = run("verify", "--deep")
    assert verdict["differences"] == 0, verdict
    assert verdict["mailboxes"][0]["content"]["figures"]["compared"] >= len(others)


def test_an_original_that_is_not_what_the_source_exports_is_named(carried: Carried) -> None:
    lab, run = carried
    _, target = sides(lab)
    held = [(item, part) for item in holders(target).values() for part in item.parts if part.name.endswith(".exported")]
    before = [part.content for _, part in held]
    assert len({part.name for _, part in held}) > len(KINDS)

    def named() -> dict[str, int]:
        [mailbox] = run("verify", "--deep")["mailboxes"]
        found: Counter[str] = Counter()
        for one in mailbox["content"]["differences"]:
            found[one["what"]] += one["items"]
        return found

    every = {"original": len(held)}
    for (_, part), content in zip(held, before, strict=True):
        middle = len(content) // 2
        part.content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    assert named() == every
    for (_, part), other in zip(held, [*before[1:], before[0]], strict=True):
        part.content = other
    assert named() == every
    for item, part in held:
        item.parts.remove(part)
    assert named() == every
    for (item, part), content in zip(held, before, strict=True):
        part.content = content
        item.parts.append(part)
    assert named() == {}


def test_of_an_export_only_what_was_exported_counts_not_the_server_that_did() -> None:
    frame, other = (b"\x04\0\0\0\x02\0\0\0" + build for build in (b"15", b"16"))
    content = b"\x02\0\0\0\x03\0\0\0abc"
    assert original(frame + content) == original(other + content) != original(frame + content.replace(b"abc", b"abd"))
    assert original(b"no stream") != original(b"another") != original(frame + content[:-1])


def test_it_is_carried_once_followed_and_removed_and_found_again_by_its_stamp(lab: Lab, run: Callable[..., Any]) -> None:
    source, target = sides(lab)
    allow(lab)
    carry(run)
    first = {key: item.id for key, item in holders(target).items()}
    idle = carry(run)
    assert not idle["created"] + idle["updated"] + idle["removed"]
    note, entry = (
        next(one for one in source.items.values() if one.item_class == kind) for kind in ("IPM.StickyNote", "IPM.Activity")
    )
    churn.edit(note, source, {"body_text": "Milk, bread, and eggs"})
    churn.delete(entry, source, "source", hard=True)
    figures = carry(run)
    assert (figures["updated"], figures["removed"]) == (1, 1)
    copies = holders(target)
    assert (copies[f"IPM.StickyNote: {note.subject}"].words or "").strip() == "Milk, bread, and eggs"
    assert first.keys() - copies.keys() == {f"IPM.Activity: {entry.subject}"}
    # A ledger that was lost learns it from the target again.
    for file in lab.folder.glob("migrator.db*"):
        file.unlink()
    run("db", "rebuild", "--take-over")
    carry(run)
    assert {key: item.id for key, item in holders(target).items()} == {key: item.id for key, item in copies.items()}
    assert run("verify", "--deep")["differences"] == 0


@pytest.mark.timeout(300)
def test_over_hostile_wires_each_is_held_by_one_message(lab: Lab, run: Callable[..., Any]) -> None:
    source, target = sides(lab)
    allow(lab)
    lab.faults.arm(FaultPlan(share=0.1, seed=5, slow=0.01, wait=0.01))
    try:
        for _ in range(20):
            if run("run", "--lane", "compose")["exit_code"] != 3:
                break
    finally:
        lab.faults.disarm()
    carry(run)
    held = Counter(part.name for item in target.items.values() for part in item.parts if part.name.endswith(".exported"))
    there = Counter(f"{item.item_class}.exported" for item in source.items.values())
    assert held.total() == len(holders(target)) > 5
    assert all(there[name] == number for name, number in held.items())
    assert run("verify", "--deep")["differences"] == 0
