"""One writer, many callers: who shares a transaction, who is undone alone, and what is on the disk when a call returns."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from state.engines import address, connect, unbegun
from state.model import LedgerError
from state.writer import GroupWriter, PlainWriter, Writer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = connect(address(f"sqlite:///{tmp_path / 'some.db'}"))
    with unbegun(made).connect() as connection:
        connection.exec_driver_sql("CREATE TABLE said (word TEXT NOT NULL UNIQUE)")
    yield made
    made.dispose()


@pytest.fixture
def writer(engine: Engine) -> Iterator[GroupWriter]:
    made = GroupWriter(engine)
    yield made
    made.close()


@pytest.fixture
def statements(writer: GroupWriter) -> list[str]:
    """All that the writer's connection runs from now on."""
    seen: list[str] = []
    writer.run(lambda db: driver_of(db).set_trace_callback(seen.append), durable=False)
    seen.clear()
    return seen


def driver_of(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def say(word: str) -> Callable[[Connection], str]:
    def unit(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO said VALUES (?)", (word,))
        return word

    return unit


def said(engine: Engine) -> set[str]:
    with unbegun(engine).connect() as connection:
        return {str(word) for (word,) in connection.exec_driver_sql("SELECT word FROM said")}


def fail(error: BaseException, after: Callable[[Connection], str]) -> Callable[[Connection], str]:
    def unit(connection: Connection) -> str:
        after(connection)
        raise error

    return unit


class Queue:
    """Hands units in behind one that holds the writer, so that all of them wait for the same transaction."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._threads = ThreadPoolExecutor(40)
        self._held, self._go = threading.Event(), threading.Event()
        self._first = self._threads.submit(writer.run, self._hold, durable=False)
        # Units handed in before the writer holds could be taken along with the one that holds it.
        assert self._held.wait(20)

    def _hold(self, connection: Connection) -> None:
        self._held.set()
        assert self._go.wait(20)

    def add(self, *units: Callable[[Connection], str], durable: bool = False) -> list[BaseException | str]:
        waiting = [self._threads.submit(self._writer.run, unit, durable=durable) for unit in units]
        until = time.monotonic() + 20
        while self._writer._units.qsize() < len(units) and time.monotonic() < until:  # type: ignore[attr-defined]
            time.sleep(0.001)
        self._go.set()
        self._first.result()
        self._threads.shutdown()
        return [future.exception() or future.result() for future in waiting]


def test_what_a_unit_returns_is_returned_and_what_it_wrote_is_there(writer: GroupWriter, engine: Engine) -> None:
    assert writer.run(say("yes"), durable=True) == "yes"
    assert said(engine) == {"yes"}


def test_units_that_wait_share_a_transaction(writer: GroupWriter, engine: Engine, statements: list[str]) -> None:
    assert Queue(writer).add(*(say(f"word {n}") for n in range(20))) == [f"word {n}" for n in range(20)]
    assert len(said(engine)) == 20
    # One for the unit that held the writer, and fewer than one each for the rest, however slow the machine is.
    assert 2 <= statements.count("COMMIT") < 12


@pytest.mark.parametrize("bad", range(3))
def test_a_unit_that_fails_undoes_itself_and_not_its_neighbours(writer: GroupWriter, engine: Engine, bad: int) -> None:
    units = [say("a"), say("b"), say("c")]
    units[bad] = fail(KeyError("no"), say("undone"))
    answers = Queue(writer).add(*units)
    assert isinstance(answers[bad], KeyError)
    assert said(engine) == {"a", "b", "c"} - {"abc"[bad]}


def test_a_unit_that_fails_alone_leaves_nothing_behind(writer: GroupWriter, engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        writer.run(fail(ZeroDivisionError(), say("undone")), durable=False)
    assert writer.run(say("next"), durable=False) == "next"
    assert said(engine) == {"next"}


def test_an_interrupt_in_a_unit_reaches_its_caller_and_the_writer_goes_on(writer: GroupWriter, engine: Engine) -> None:
    with pytest.raises(KeyboardInterrupt):
        writer.run(fail(KeyboardInterrupt(), say("undone")), durable=False)
    writer.run(say("next"), durable=False)
    assert said(engine) == {"next"}


def test_a_durable_unit_is_committed_with_full_sync(writer: GroupWriter, statements: list[str]) -> None:
    def level(connection: Connection) -> int:
        return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    assert [writer.run(level, durable=durable) for durable in (False, True, True, False)] == [1, 2, 2, 1]
    changes = [words for words in statements if words.startswith("PRAGMA synchronous=")]
    assert changes == ["PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"]


def test_one_durable_unit_makes_its_group_durable(writer: GroupWriter, statements: list[str]) -> None:
    Queue(writer).add(*(say(f"word {n}") for n in range(3)), durable=True)
    at = statements.index("PRAGMA synchronous=FULL")
    assert statements[at + 1] == "BEGIN IMMEDIATE"


def test_trouble_at_the_end_undoes_the_group_and_is_told_to_each(writer: GroupWriter, engine: Engine) -> None:
    def doubt(connection: Connection) -> str:
        # A deferred check fails when the transaction is committed, as a full disk would.
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.exec_driver_sql("INSERT INTO child VALUES (7)")
        return ""

    answers = Queue(writer).add(say("a"), doubt, say("b"))
    assert all(isinstance(answer, LedgerError) for answer in answers)
    assert len({id(answer) for answer in answers}) == 3
    assert said(engine) == set()
    assert writer.run(say("next"), durable=False) == "next"


def test_what_was_handed_in_before_the_end_is_done_and_later_units_are_refused(engine: Engine) -> None:
    writer = GroupWriter(engine)
    assert Queue(writer).add(say("a"), say("b")) == ["a", "b"]
    writer.close()
    writer.close()
    with pytest.raises(LedgerError, match="closed"):
        writer.run(say("late"), durable=False)
    assert said(engine) == {"a", "b"}


def test_a_ledger_that_can_not_be_reached_is_told_to_the_caller(tmp_path: Path) -> None:
    engine = connect(address(f"sqlite:///{tmp_path / 'missing' / 'some.db'}"))
    writer = GroupWriter(engine)
    for _ in range(2):
        with pytest.raises(Exception, match="unable to open"):
            writer.run(say("a"), durable=False)
    writer.close()
    engine.dispose()


def test_two_writers_of_one_file_wait_for_each_other(engine: Engine) -> None:
    writers = [GroupWriter(engine), GroupWriter(engine)]
    with ThreadPoolExecutor(8) as threads:
        words = [threads.submit(writers[n % 2].run, say(str(n)), durable=False) for n in range(200)]
        assert {word.result() for word in words} == said(engine)
    for writer in writers:
        writer.close()


def test_on_postgres_a_unit_is_a_transaction(postgres_url: str) -> None:
    engine = connect(address(postgres_url))
    writer = PlainWriter(engine)
    insert = "INSERT INTO hints VALUES ('a', 1)"
    with pytest.raises(KeyError):
        writer.run(fail(KeyError(), lambda db: str(db.exec_driver_sql(insert))), durable=True)
    assert writer.run(lambda db: db.exec_driver_sql("SELECT count(*) FROM hints").scalar_one(), durable=False) == 0
    writer.run(lambda db: db.exec_driver_sql(insert), durable=False)
    assert writer.run(lambda db: db.exec_driver_sql("SELECT count(*) FROM hints").scalar_one(), durable=False) == 1
    writer.close()
    with pytest.raises(LedgerError, match="closed"):
        writer.run(lambda db: None, durable=False)
    engine.dispose()
