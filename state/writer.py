"""How units of work become transactions: one writer with group commit on SQLite, a transaction each on Postgres."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from state.engines import plainly, unbegun
from state.model import LedgerError

T = TypeVar("T")

GROUP_SECONDS: Final = 0.010
"""No unit joins a transaction that is older than this, so that nobody waits long for strangers' work."""


class Writer(Protocol):
    """Runs units of work in transactions; from any thread."""

    def run(self, unit: Callable[[Connection], T], *, durable: bool) -> T:
        """Run ``unit`` and return what it returns once it is committed; what it raises is raised, and nothing of it kept.

        ``durable``: it outlives a loss of power, not only a crash of this process.
        """
        ...

    def close(self) -> None:
        """Finish what was handed in; later units are refused."""
        ...


class NoWriter:
    """Refuses every unit: the ledger was opened to be looked at."""

    def run(self, unit: Callable[[Connection], T], *, durable: bool) -> T:
        raise LedgerError("The ledger was opened to read only.")

    def close(self) -> None:
        """Nothing is to be finished."""


class PlainWriter:
    """Each unit in its own transaction on a connection of the calling thread. Postgres makes every commit durable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed = False

    def run(self, unit: Callable[[Connection], T], *, durable: bool) -> T:
        if self._closed:
            raise LedgerError("The ledger is closed.")
        try:
            with self._engine.begin() as connection:
                return unit(connection)
        except DBAPIError as error:
            raise plainly(error) from error

    def close(self) -> None:
        self._closed = True


class _Handed:
    """A unit on its way through the writer. The lock is held until there is an answer."""

    __slots__ = ("answered", "durable", "error", "result", "unit")

    def __init__(self, unit: Callable[[Connection], Any], durable: bool) -> None:
        self.unit = unit
        self.durable = durable
        self.result: Any = None
        self.error: BaseException | None = None
        self.answered = threading.Lock()
        self.answered.acquire()

    def answer(self, error: BaseException | None = None) -> None:
        self.error = error
        self.answered.release()


class GroupWriter:
    """The one thread of this process that writes to a SQLite file.

    Units that wait while a transaction is committed share the next one, each behind its own savepoint: what one of them raises
    undoes that one alone. SQLite admits one writer at a time, so threads of one process would only wait on each other, and
    each commit has a price of its own (a sync of the disk, for durable ones).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._units: SimpleQueue[_Handed | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._full: bool | None = None
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()

    def run(self, unit: Callable[[Connection], T], *, durable: bool) -> T:
        handed = _Handed(unit, durable)
        with self._closing:
            if self._closed:
                raise LedgerError("The ledger is closed.")
            self._units.put(handed)
        handed.answered.acquire()
        if handed.error is not None:
            raise handed.error
        return cast(T, handed.result)

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._units.put(None)
        self._thread.join()

    def _serve(self) -> None:
        waiting: deque[_Handed] = deque()
        connection: Connection | None = None
        closing = False
        while waiting or not closing:
            if not waiting:
                first = self._units.get()
                if first is None:
                    break
                waiting.append(first)
            with suppress(Empty):
                while (more := self._units.get_nowait()) is not None:
                    waiting.append(more)
                closing = True
            try:
                if connection is None:
                    connection = self._connect()
                self._transact(connection, waiting)
            except BaseException as error:
                # No connection: nobody's unit can run, and the next group tries again.
                while waiting:
                    waiting.popleft().answer(plainly(error))
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection = unbegun(self._engine).connect()
        connection.exec_driver_sql("PRAGMA cache_size=-32000")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=4000")
        self._full = None
        return connection

    def _transact(self, connection: Connection, waiting: deque[_Handed]) -> None:
        """Run units in one transaction and commit it: all that wait, or as many as fit into the time of a group."""
        # Transactions are begun and ended at the driver: SQLAlchemy's own would cost as much as the statements between.
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        kept: list[_Handed] = []
        handed: _Handed | None = None
        try:
            full = any(one.durable for one in waiting)
            if full is not self._full:
                # SQLite ignores a change of this within a transaction.
                driver.execute("PRAGMA synchronous=FULL" if full else "PRAGMA synchronous=NORMAL")
                self._full = full
            until = time.monotonic() + GROUP_SECONDS
            while waiting and (not kept or time.monotonic() < until):
                handed = waiting.popleft()
                # The first needs no savepoint, which would cost a copy of every page it touches: it is all that there is.
                driver.execute("SAVEPOINT unit" if kept else "BEGIN IMMEDIATE")
                try:
                    handed.result = handed.unit(connection)
                except BaseException as error:
                    if kept:
                        driver.execute("ROLLBACK TO unit")
                        driver.execute("RELEASE unit")
                    else:
                        driver.execute("ROLLBACK")
                    handed.answer(plainly(error))
                else:
                    if kept:
                        driver.execute("RELEASE unit")
                    kept.append(handed)
                handed = None
            if kept:
                driver.execute("COMMIT")
        except BaseException as error:
            # The whole group is undone, for instance by a full disk.
            with suppress(sqlite3.Error):
                driver.execute("ROLLBACK")
            for one in [*kept, handed] if handed else kept:
                one.answer(plainly(error))
            return
        for one in kept:
            one.answer()
