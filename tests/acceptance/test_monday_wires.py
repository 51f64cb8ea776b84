"""Monday's questions over the real wires: traced, carried again, and taken back with a proof."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.server import Lab, LabPlan
from migrator import cli, logs

Tell = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=60)) as lab:
        yield lab


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Iterator[Tell]:
    """Runs a command over a lab; the real command, in this process because a new one costs seconds."""

    def tell(lab: Lab, *words: str, codes: tuple[int, ...] = (0, 2)) -> dict[str, Any]:
        capsys.readouterr()
        code = cli.run(("-c", str(lab.config_file), "--json", *words))
        said = capsys.readouterr()
        assert code in codes, said.err
        answer: dict[str, Any] = json.loads(said.out)
        return answer

    yield tell
    logs.take_down()


@pytest.mark.parametrize("lane", ["import", pytest.param("compose", marks=pytest.mark.full)])
def test_an_item_is_traced_carried_again_and_all_is_taken_back(lab: Lab, told: Tell, lane: str) -> None:
    [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    first = told(lab, "run", "--lane", lane)
    user = first["mailboxes"][0]["source"]
    held = len(target.items)
    ids = [item.message_id for item in target.items.values() if item.message_id]
    wanted = next(one for one in ids if ids.count(one) == 1)

    [trail] = told(lab, "trace", user, "--message-id", wanted)["items"]
    assert (trail["state"], trail["source"], trail["target"]) == ("DONE", trail["target"], trail["source"])
    assert "as we left it" in trail["sentence"]

    copy = next(key for key, item in target.items.items() if item.message_id == wanted)
    target.remove(copy)
    [trail] = told(lab, "trace", user, "--message-id", wanted)["items"]
    assert "deleted in the target since" in trail["sentence"]
    redone = told(lab, "redo", user, "--folder", trail["source"])
    assert sum(one["again"] for one in redone["folders"]) == 1
    assert len(target.items) == held
    assert sum(one["again"] + one["found"] for one in told(lab, "redo", user)["folders"]) == 0

    # An item that its source has lost is still found in the target, by a question and not by listing.
    lost = next(key for key, item in source.items.items() if item.message_id == wanted)
    kept = source.remove(lost)
    [trail] = told(lab, "trace", user, "--message-id", f"<{wanted.strip('<>')}>")["items"]
    assert trail["sentence"].endswith("as we left it. The source no longer has it.")
    source.add(kept)

    found = told(lab, "mailbox", "undo", user, "--dry-run")["found"]
    assert found["unknown"] == found["touched"] == found["adopted"] == found["gone"] == 0
    assert found["ours"] + found["could_tell"] == held
    undone = told(lab, "mailbox", "undo", user, "--yes")["done"]
    assert (undone["removed"], undone["still_there"]) == (found["ours"], 0)
    assert len(target.items) == found["could_tell"]
    assert target.sent == []

    told(lab, "run", "--lane", lane)
    assert len(target.items) == held
    assert told(lab, "verify")["differences"] == 0
    assert target.sent == []
    assert len(source.items) == 60
