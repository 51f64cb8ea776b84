"""A mailbox of a lab that was carried by one lane, for whoever holds rows of the fidelity table against what arrived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Mailbox
from migrator import app, cli, config

Case = tuple[str, Callable[[Item], object]]
"""Which item shows a row, by its key, and what to look at of it."""

Row = tuple[str, str, str, str]
"""Lane, kind, what and fate, as the table has them."""


@dataclass(slots=True)
class World:
    """Both mailboxes after a pass by one lane, the names and counts of what it could not carry whole, and what deep
    verification said. ``pair`` gives an item of the source by its key, and its copy."""

    items: dict[str, Item]
    target: Mailbox
    degraded: Counter[str]
    verdict: dict[str, Any]

    def pair(self, key: str) -> tuple[Item, Item]:
        ours = self.items[key]
        # Subjects may be cut or lose a sign; a time of sending is each item's own.
        found = [one for one in self.target.items.values() if one.subject[:5] == ours.subject[:5]]
        assert len(found) == 1, f"{key}: {len(found)} copies"
        return ours, found[0]

    def unexplained(self) -> list[str]:
        """A sentence for each difference that verification finds and nobody foretold."""
        [mailbox] = self.verdict["mailboxes"]
        found = [*mailbox["differences"], *mailbox["content"]["differences"]]
        series = [one["sentence"] for one in mailbox["calendar"]["differences"] if one["verdict"] == "fail"]
        return [*(f"{one['what']}: {one['sentence']}" for one in found), *series]


@contextmanager
def carried(folder: Path, lane: str, items: dict[str, Item], role: Callable[[Item], str], **switches: Any) -> Iterator[World]:
    """Carry these items, each of them with a subject that begins in its own way, from the folder of the role that it names."""
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    for number, item in enumerate(items.values()):
        box = mailbox.by_role(role(item))
        assert box is not None
        item.id, item.search_key, item.folder_id = f"row{number:021}", bytes([number]) * 16, box.id
        mailbox.add(item)
    with Lab(LabPlan(folder=folder, source=estate, mailboxes=1, exchange=switches)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", lane]) == 0
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            [run] = ledger.passes()
        said = {name.removeprefix("degraded."): int(n) for name, n in run.figures.items() if name.startswith("degraded.")}
        with redirect_stdout(StringIO()) as told:
            cli.run(["-c", str(lab.config_file), "--json", "verify", "--deep"])
        [target] = lab.target.mailboxes.values()
        yield World(items, target, Counter(said), json.loads(told.getvalue()))


def own(name: str) -> Callable[[Item], object]:
    return lambda item: getattr(item, name)


def of(key: str) -> Callable[[Item], object]:
    return lambda item: item.extended.get(key)


def parts(*names: str) -> Callable[[Item], object]:
    return lambda item: sorted(str([getattr(part, name) for name in names]) for part in item.parts)


def people(name: str) -> Callable[[Item], object]:
    return lambda item: [(one.name, one.address) for one in getattr(item, name)]


OF_THE_PLACE = {"id", "change", "folder_id", "created", "modified", "search_key", "parts"}


def same_in_all(ours: Item, theirs: Item) -> None:
    """Assert that a copy by the import lane is its item in all that is the item's own."""
    for name in set(Item.__slots__) - OF_THE_PLACE:
        assert getattr(theirs, name) == getattr(ours, name), (ours.item_class, name)
    every = parts("name", "content_type", "content", "inline", "content_id", "kind", "photo")
    assert every(theirs) == every(ours)


def all_the_same(source: Mailbox, target: Mailbox) -> None:
    """Assert that there are as many copies as items, and that each is its item in all that is the item's own."""
    copies = {(item.item_class, item.subject): item for item in target.items.values()}
    assert len(target.items) == len(source.items)
    for item in source.items.values():
        same_in_all(item, copies[item.item_class, item.subject])
