"""``assess`` counts what the source holds, as the source itself has it, and touches nothing."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.base import Role
from connectors.lab.server import Lab, LabPlan
from connectors.memory import MemoryMailbox, MemorySource
from connectors.pacer import Stopped
from migrator.assess import KIND, LARGE, least, least_together, survey
from migrator.cli import run
from migrator.config import LimitsSection, load
from state.store import Ledger

MOST = 150_000_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("lab"), mailboxes=2, items=80)) as lab:
        yield lab


def test_it_counts_and_sizes_every_class_and_writes_to_neither_side(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    before = {side: {box.address: box.clock for box in estate.mailboxes.values()} for side, estate in sides(lab)}
    assert run(["-c", str(lab.config_file), "assess", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["mailboxes"]) == 2
    for one in told["mailboxes"]:
        truth = lab.source.mailboxes[one["source"]]
        seen = [item for box in truth.walk() if not box.hidden for item in truth.items_in(box.id)]
        assert one["items"] == len(seen)
        assert {name: part["items"] for name, part in one["classes"].items()} == Counter(item.item_class for item in seen)
        assert one["bytes"] == sum(part["bytes"] for part in one["classes"].values()) > 0
        assert one["largest"] == max(item.size for item in seen)
        assert one["oldest"] <= one["newest"]
    assert {side: {box.address: box.clock for box in estate.mailboxes.values()} for side, estate in sides(lab)} == before
    with Ledger.open(load(lab.config_file).ledger.url) as ledger:
        kept = ledger.plans.observed(KIND)
        assert [one.about["items"] for one in kept] == [one["items"] for one in told["mailboxes"]]
        assert not ledger.passes()


def sides(lab: Lab) -> list[tuple[str, object]]:
    return [("source", lab.source), ("target", lab.target)]


def test_people_read_a_line_a_mailbox_and_the_classes(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-c", str(lab.config_file), "assess"]) == 0
    first, _, heading, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("2 mailboxes, ")
    assert "At best, by the documented limits of the target, a seed takes" in first
    assert heading.split()[:4] == ["MAILBOX", "ITEMS", "GB", "FOLDERS"]
    assert all(len(line) <= 100 for line in lines)
    assert any(line.startswith("  IPM.Note ") for line in lines)


def test_one_that_can_not_be_read_is_said_and_the_others_are_counted(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [*known] = lab.source.mailboxes
    waves = Path(load(lab.config_file).waves.file)
    text = waves.read_text("utf-8")
    try:
        waves.write_text(f"wave,source,target\nw,{known[0]},{known[0]}\nw,nobody@contoso.test,nobody@contoso.test\n", "utf-8")
        config = tmp_path / "own.toml"
        config.write_text(lab.config_file.read_text("utf-8").replace("migrator.db", "other.db"), "utf-8")
        for name in ("ca.pem", "source-password.txt", "target-secret.txt"):
            (tmp_path / name).write_bytes((lab.folder / name).read_bytes())
        (tmp_path / "waves.csv").write_text(waves.read_text("utf-8"), "utf-8")
        code = run(["-c", str(config), "assess", "--json"])
    finally:
        waves.write_text(text, "utf-8")
    told = json.loads(capsys.readouterr().out)
    good, bad = told["mailboxes"]
    assert code == bad["exit_code"] == 4
    assert bad["error"]
    assert good["items"] > 0


def test_large_ones_are_told_apart_and_a_stop_ends_it() -> None:
    mailbox = MemoryMailbox()
    for size in (10, LARGE, 36_000_000, 36_000_001, MOST, MOST + 1):
        mailbox.put(mailbox.special(Role.INBOX), size=size)
    source = MemorySource(mailbox)
    found = survey(source, threading.Event(), [36_000_000, MOST])
    assert (found.items, found.large, found.one_lane, found.too_large, found.largest) == (6, 5, 2, 1, MOST + 1)
    assert found.classes == {"IPM.Note": (6, found.bytes)}
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        survey(source, stop, [MOST])


def test_a_seed_takes_as_long_as_its_tightest_limit_and_its_longest_mailbox() -> None:
    limits = LimitsSection()
    assert least(0, 150_000_000, limits) == pytest.approx(400.0)
    assert least(20_000, 1000, limits) == pytest.approx(1200.0)
    assert least_together([100.0, 100.0, 100.0, 100.0], 2) == 200.0
    assert least_together([500.0, 1.0], 2) == 500.0
    assert least_together([], 4) == 0.0
