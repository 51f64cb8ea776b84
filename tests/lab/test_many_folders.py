"""As many folders as a mailbox may have, 10,000 below one and 300 within one another: a first pass, one with nothing to do, a
delta and a comparison, with a few requests a folder and nothing that recurses."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.people import an_empty, make_path
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox
from migrator import cli

WHEN = datetime(2024, 1, 8, 9, tzinfo=UTC)


def put(mailbox: Mailbox, box: Box, number: int) -> None:
    mailbox.add(
        Item(
            id=f"{number:024}", folder_id=box.id, subject=f"mail {number}", message_id=f"<{number}@x.example>", body_text="x",
            search_key=b"%016d" % number, submitted=WHEN, received=WHEN, created=WHEN, modified=WHEN,
        )
    )  # fmt: skip


@contextmanager
def room_for(frames: int) -> Iterator[None]:
    """So many more calls within one another are allowed than there are now, in this thread and all others."""
    here, frame = 0, sys._getframe()
    while frame.f_back is not None:
        here, frame = here + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(here + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("lane", "wide", "deep"),
    [
        ("import", 10, 60),
        pytest.param("import", 10_000, 300, marks=pytest.mark.full),
        pytest.param("compose", 10_000, 300, marks=pytest.mark.full),
    ],
)
def test_a_mailbox_has_as_many_folders_as_one_may_have(tmp_path: Path, lane: str, wide: int, deep: int) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    top = make_path(mailbox, ["Wide"])
    boxes = [mailbox.add_box(Box(f"wide{number:020}", top.id, f"Folder {number:05}")) for number in range(wide)]
    deepest = make_path(mailbox, [f"level {level}" for level in range(deep)])
    for number, box in enumerate([deepest, *boxes[:: max(1, wide // 50)]]):
        put(mailbox, box, number)
    items = len(mailbox.items)
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab, room_for(300):

        def act(*words: str) -> tuple[Any, Counter[str]]:
            before, told = Counter(lab.seen.requests), StringIO()
            with redirect_stdout(told):
                assert cli.run(["-c", str(lab.config_file), "--json", *words]) == 0
            return json.loads(told.getvalue()), Counter(lab.seen.requests) - before

        _, seed = act("run", "--lane", lane)
        _, idle = act("run", "--lane", lane)
        put(mailbox, deepest, items)
        _, delta = act("run", "--lane", lane)
        verdict, check = act("verify", "--deep")
        [target] = lab.target.mailboxes.values()
    folders = wide + deep
    # A first pass reads each folder and makes each; a tree is listed level by level, and by pages of many folders.
    assert seed.total() < 2.1 * folders + items + 100
    assert idle.total() < 50 + folders / 50
    assert delta.total() < deep + 100 + folders / 50
    assert check.total() < 2.1 * folders + deep + items + 100
    assert (verdict["differences"], len(target.items)) == (0, items + 1)
    ours, theirs = (
        sorted((box.path(box.boxes[item.folder_id]), item.subject) for item in box.items.values()) for box in (mailbox, target)
    )
    assert theirs == ours
