"""The contract on a real pair of mailboxes: the source is only read, the target written to in one folder named for the test.

Run by ``pytest tests/contract/test_live.py --live configs/live.toml`` and by nothing else. The pair is the first line of the
config's waves. The folder and all in it is removed at the end. The claim is left alone: it belongs to the migration.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from contract_worlds import WHEN, composed, read

from connectors.base import (
    Destination,
    Folder,
    Identity,
    Item,
    Lane,
    Outcome,
    Put,
    Receipt,
    Ref,
    Role,
    Source,
    TargetRef,
    Write,
    WriteKind,
    identify,
    item_key,
    stamp_of,
)
from connectors.errors import StaleCursor


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides, the name of the one folder that may be written to, and the folders made so far."""

    source: Source
    destination: Destination
    name: str
    made: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def pair(pytestconfig: pytest.Config) -> Iterator[Pair]:
    """The first pair of the config's waves."""
    from connectors.ews.source import ExchangeSource
    from connectors.graph.destination import GraphDestination
    from migrator import app
    from migrator.config import load
    from migrator.waves.file import read_waves

    config = load(Path(pytestconfig.getoption("--live")))
    line = read_waves(Path(config.waves.file))[0]
    stop = threading.Event()
    with app.Connected(config, stop) as connected:
        source = ExchangeSource(connected.server, line.source, stop=stop)
        destination = GraphDestination(connected.client, line.target)
        yield Pair(source, destination, f"Contract test {secrets.token_hex(4)}")
        source.close()
        destination.close()


@pytest.fixture
def folder_id(pair: Pair) -> Iterator[str]:
    """The folder named for this test, empty; removed with all that the test made in it, however it ended."""
    destination = pair.destination
    pair.made.append(destination.place_folder(Folder(pair.name, None, pair.name), None, None))
    yield pair.made[0]
    gone = True
    while pair.made:
        each = pair.made.pop()
        left = [Write(kind=WriteKind.REMOVE, target_id=entry.id, folder_id=each) for entry in destination.inventory(each)]
        destination.write(left).result(300)
        gone = destination.remove_folder(each) and gone
    assert gone, f"remove the folder {pair.name} by hand"


def wait_for(pair: Pair, identity: Identity, hits: int) -> list[TargetRef]:
    """The hits of a look-up, which may lag behind the write."""
    until = time.monotonic() + pair.destination.limits.settle_horizon
    while True:
        found = pair.destination.find([identity])[identity]
        if len(found) >= hits or time.monotonic() > until:
            return found
        time.sleep(2)


def one(pair: Pair, write: Write) -> Outcome:
    (outcome,) = pair.destination.write([write]).result(300)
    return outcome


def smallest_mail(pair: Pair) -> Put:
    for folder in pair.source.folders():
        if folder.kind.startswith("IPF.Note") and folder.total:
            changes = pair.source.changes(folder, None).changes
            mails = [each for each in changes if isinstance(each, Put) and each.facts.item_class == "IPM.Note"]
            if mails:
                return min(mails, key=lambda put: put.facts.size or put.ref.size)
    pytest.skip("the source mailbox holds no mail")


def test_the_folder_tree_is_in_order(pair: Pair) -> None:
    seen: set[str] = set()
    roles = set()
    for folder in pair.source.folders():
        assert folder.parent_id is None or folder.parent_id in seen
        seen.add(folder.id)
        roles.add(folder.role)
    assert Role.INBOX in roles
    assert Role.ROOT not in roles


def test_the_feed_of_a_folder_equals_its_inventory_and_ends(pair: Pair) -> None:
    folder = min((each for each in pair.source.folders() if each.total), key=lambda each: each.total)
    changes, cursor = read(pair.source, folder)
    assert {change.ref.id for change in changes if isinstance(change, Put)} == {e.id for e in pair.source.inventory(folder)}
    assert read(pair.source, folder, cursor)[0] == []
    with pytest.raises(StaleCursor):
        pair.source.changes(folder, "bm90IGEgY3Vyc29y")


def test_a_composed_mail_is_found_flagged_moved_and_removed(pair: Pair, folder_id: str) -> None:
    name = secrets.token_hex(8)
    message, facts = composed(f"Contract test {name}", f"<{name}@contract.example>")
    stamp = stamp_of(item_key(name))
    item = Item(Ref(name), Lane.COMPOSE, "IPM.Note", b"12345678", message=message)
    made = one(pair, Write(kind=WriteKind.CREATE, lane=Lane.COMPOSE, folder_id=folder_id, stamp=stamp, item=item))
    assert isinstance(made, Receipt)
    (ref,) = wait_for(pair, identify(facts, stamp), 1)
    assert (ref.id, ref.folder_id, ref.stamp) == (made.target_id, folder_id, stamp)
    assert isinstance(one(pair, Write(kind=WriteKind.FLAG, target_id=ref.id, is_read=True)), Receipt)
    inner = pair.destination.place_folder(Folder(f"{pair.name}/inner", pair.name, "Inner"), folder_id, None)
    pair.made.append(inner)
    move = Write(kind=WriteKind.MOVE, lane=Lane.COMPOSE, target_id=ref.id, folder_id=inner, stamp=stamp_of(item_key(name + "2")))
    moved = one(pair, move)
    assert isinstance(moved, Receipt)
    (there,) = pair.destination.peek([moved.target_id])
    assert there is not None
    assert there.folder_id == inner
    for _ in range(2):
        assert isinstance(one(pair, Write(kind=WriteKind.REMOVE, target_id=moved.target_id)), Receipt)


def test_a_mail_of_the_source_is_imported_twice_and_both_are_found(pair: Pair, folder_id: str) -> None:
    put = smallest_mail(pair)
    (item,) = pair.source.fetch([put.ref], Lane.IMPORT)
    assert isinstance(item, Item)
    write = Write(kind=WriteKind.CREATE, folder_id=folder_id, item=item, stamp=stamp_of(item_key(put.ref.id)))
    outcomes = pair.destination.write([write, write]).result(300)
    ids = {outcome.target_id for outcome in outcomes if isinstance(outcome, Receipt)}
    assert len(ids) == 2, [type(outcome).__name__ for outcome in outcomes]
    found = wait_for(pair, identify(put.facts), 2)
    assert ids <= {ref.id for ref in found}
    assert all(ref is not None for ref in pair.destination.peek(sorted(ids)))


def test_a_later_time_is_no_identity(pair: Pair) -> None:
    name = secrets.token_hex(8)
    _, facts = composed("x", f"<{name}@contract.example>")
    identity = identify(replace(facts, submitted=WHEN.replace(year=2024)))
    assert pair.destination.find([identity]) == {identity: []}
