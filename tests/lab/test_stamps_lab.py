"""What a pass over a thousand folders asks of both servers when nothing happened, and what it finds when a stamp is no good."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fault_world import FaultWorld

from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox, Person, seeded_bytes
from migrator.engine.stamps import LIED, UNCHANGED
from migrator.waves.wave import Ending

FOLDERS = 1000
_NUMBERS = itertools.count(1)


def a_mailbox_of(folders: int) -> Estate:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    for number in range(folders):
        own = seeded_bytes("stamped folder", number, length=12).hex()
        mailbox.add_box(Box(own, mailbox.root_id, f"folder {number}"))
        if not number % (folders // 10):
            add_mail(mailbox, own)
    return estate


def add_mail(mailbox: Mailbox, folder: str) -> Item:
    number, when, anna = next(_NUMBERS), datetime(2024, 1, 1, tzinfo=UTC), Person("Anna", "anna@contoso.test")
    item = Item(
        id=seeded_bytes("stamped", number, length=12).hex(), folder_id=folder, subject=f"mail {number}", body_text="Good morning",
        sender=anna, author=anna, to=[anna], message_id=f"<stamped.{number}@contoso.test>",
        search_key=seeded_bytes("stamped key", number), submitted=when, received=when, created=when, modified=when, is_read=True,
    )  # fmt: skip
    mailbox.add(item)
    return item


def a_world(folder: Path, folders: int, **exchange: Any) -> Iterator[FaultWorld]:
    with Lab(LabPlan(folder=folder, source=a_mailbox_of(folders), exchange=exchange)) as lab:
        yield FaultWorld(lab)


def mailbox_of(world: FaultWorld) -> Mailbox:
    [mailbox] = world.lab.source.mailboxes.values()
    return mailbox


def list_fully(world: FaultWorld, hours: float) -> None:
    world.config = replace(world.config, run=msgspec.structs.replace(world.config.run, list_fully_hours=hours))


def one_pass(world: FaultWorld) -> Ending:
    [[ending]] = world.run_until_clean("import", most=1)
    missing, surplus = world.missing_and_surplus("import")
    assert (missing.total(), surplus.total()) == (0, 0)
    return ending


def asked(ending: Ending, side: str) -> int:
    return int(sum(value for word, value in ending.figures.items() if word.startswith(f"{side}.requests.")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("in_find", [True, False])
def test_nothing_changed_in_a_thousand_folders(tmp_path: Path, in_find: bool) -> None:
    for world in a_world(tmp_path, FOLDERS, stamps_in_find=in_find):
        one_pass(world)
        idle = one_pass(world)
        assert idle.figures[UNCHANGED] >= FOLDERS
        assert asked(idle, "source") <= idle.figures[UNCHANGED] / 50
        assert asked(idle, "target") <= 2, "requests to the target don't grow with the folders"
        mailbox = mailbox_of(world)
        with mailbox.lock:
            [first, *_] = mailbox.items.values()
            mailbox.touch(first)
        busy = one_pass(world)
        assert busy.figures["updated"] == 1
        assert busy.figures["source.requests.SyncFolderItems"] == 1


@pytest.mark.timeout(600)
def test_without_stamps_each_folder_is_asked_once(tmp_path: Path) -> None:
    for world in a_world(tmp_path, 100, change_stamps=False):
        one_pass(world)
        idle = one_pass(world)
        assert UNCHANGED not in idle.figures
        assert idle.figures["source.requests.SyncFolderItems"] == len(mailbox_of(world).boxes) - 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["a change is hidden", "a coarse clock", "a clock of now"])
def test_what_no_stamp_tells_is_found_when_all_folders_are_read(tmp_path: Path, how: str) -> None:
    now = datetime.now(UTC)
    switches: dict[str, Any] = {
        "a change is hidden": {"stamp_hides": frozenset({"edit"})},
        "a coarse clock": {"stamp_clock": lambda number: datetime(2020, 1, 1, tzinfo=UTC)},
        "a clock of now": {"stamp_clock": lambda number: now},
    }
    for world in a_world(tmp_path, 20, **switches[how]):
        one_pass(world)
        mailbox = mailbox_of(world)
        with mailbox.lock:
            [first, second, *_] = mailbox.items.values()
            first.body_text = "Another body"
            mailbox.touch(first)
        hidden = one_pass(world)
        young = how == "a clock of now"
        assert hidden.figures.get("updated", 0) == young, "a stamp that is younger than its clock's tick is not trusted"
        list_fully(world, 0.0)
        found = one_pass(world)
        assert (found.figures.get("updated", 0), found.figures.get(LIED, 0)) == ((0, 0) if young else (1, 1))
        assert ("did not" in found.cause) is not young
        list_fully(world, 24.0)
        with mailbox.lock:
            second.body_text = "Another body"
            mailbox.touch(second)
        assert one_pass(world).figures["updated"] == 1, "after a lie no stamp is trusted any more"
