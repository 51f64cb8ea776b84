"""Copies of a ledger in use, bringing one back, and a check that finds what is wrong."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from state.engines import address
from state.model import ItemState, LedgerError, Open, Row, Step
from state.store import Ledger
from state.upkeep import backup, check, restore


def fill(ledger: Ledger, first: int, count: int, state: ItemState = ItemState.DONE) -> None:
    mailbox = ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example")
    lease = ledger.lease(mailbox.id, "test", 300.0)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 0)], ledger.next_round(lease))
    opened = Open(item_id="x") if state is not ItemState.DONE else None
    rows = [
        Row(key=number.to_bytes(16, "big"), folder_id=folder.id, state=state, size=10) for number in range(first, first + count)
    ]
    ledger.settle(lease, [Step(None, row, opened) for row in rows])
    ledger.release(lease)


def spoil(url: str, statement: str) -> None:
    engine = create_engine(address(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_copy_made_while_others_write_is_whole(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        fill(ledger, 0, 1000)
        going = threading.Event()

        def go_on() -> None:
            for round_ in range(1, 30):
                fill(ledger, round_ * 1000, 100)
                going.set()

        writer = threading.Thread(target=go_on)
        writer.start()
        going.wait(10)
        size = backup(sqlite_url, tmp_path / "copy.db")
        writer.join()
    assert size == (tmp_path / "copy.db").stat().st_size
    assert check(f"sqlite:///{tmp_path / 'copy.db'}") == []
    assert not (tmp_path / "copy.db.part").exists()


def test_a_copy_comes_back_and_what_was_there_is_kept(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        fill(ledger, 0, 5)
    backup(sqlite_url, tmp_path / "copy.db")
    with Ledger.open(sqlite_url) as ledger:
        fill(ledger, 100, 7)
    kept = restore(sqlite_url, tmp_path / "copy.db")
    assert kept is not None
    for url, rows in ((sqlite_url, 5), (f"sqlite:///{kept}", 12)):
        with Ledger.open(url) as ledger:
            assert sum(one.items for _, one in ledger.tallies()) == rows
        assert check(url) == []


def test_a_ledger_in_use_is_not_replaced(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        mailbox = ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example")
        backup(sqlite_url, tmp_path / "copy.db")
        ledger.lease(mailbox.id, "host:17", 300.0)
        with pytest.raises(LedgerError, match="host:17"):
            restore(sqlite_url, tmp_path / "copy.db")
    assert [one.name for one in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize("what", ["missing", "no database", "no ledger", "itself"])
def test_what_is_no_copy_is_refused_and_the_ledger_stays(sqlite_url: str, tmp_path: Path, what: str) -> None:
    file = tmp_path / "copy.db"
    if what == "no database":
        file.write_bytes(b"nothing of the kind" * 1000)
    elif what == "no ledger":
        with closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE other (x)")
    elif what == "itself":
        file = Path(sqlite_url.removeprefix("sqlite:///"))
    with pytest.raises(LedgerError):
        restore(sqlite_url, file)
    assert check(sqlite_url) == []


def test_there_has_to_be_a_ledger_and_room_for_its_copy(sqlite_url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        backup(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "copy.db")
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="another place"):
        backup(sqlite_url, tmp_path / "file" / "copy.db")


def test_check_names_sums_that_differ_and_work_that_nobody_wrote_down(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 0, 3)
        fill(ledger, 10, 2, ItemState.LISTED)
    assert check(ledger_url) == []
    spoil(ledger_url, "DELETE FROM open_items WHERE item = (SELECT min(item) FROM open_items)")
    assert len(check(ledger_url)) == 1
    spoil(ledger_url, "UPDATE tallies SET items = items + 1 WHERE state = 3")
    assert len(check(ledger_url)) == 2


def test_check_names_a_damaged_file(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as ledger:
        fill(ledger, 0, 2000)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(file.read_bytes())
    half = len(data) // 2 // 4096 * 4096
    data[half : half + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    assert any("damaged" in fault for fault in check(sqlite_url))


def test_a_ledger_on_postgres_has_its_own_tools(postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="pg_dump"):
        backup(postgres_url, tmp_path / "copy.db")
    with pytest.raises(LedgerError, match="pg_restore"):
        restore(postgres_url, tmp_path / "copy.db")


def test_a_copy_takes_the_place_of_an_older_copy_and_of_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        fill(ledger, 0, 10)
    itself = Path(address(sqlite_url).database or "")
    letter = tmp_path / "letter.txt"
    letter.write_text("mine", encoding="utf-8")
    for file, says in ((itself, "the ledger itself"), (letter, "no copy of a ledger")):
        before = file.read_bytes()
        with pytest.raises(LedgerError, match=says):
            backup(sqlite_url, file)
        assert file.read_bytes() == before
    copy = tmp_path / "copy.db"
    assert backup(sqlite_url, copy) == backup(sqlite_url, copy) > 0
