"""Where a ledger lies, and connections to it: a SQLite file, or a Postgres database through psycopg 3."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool

from state.model import LedgerAway, LedgerError

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgres", "postgresql", "postgresql+psycopg")
_FORMS: Final = "write sqlite:///FILE or postgresql://USER@HOST/DATABASE"

_BEGIN: Final = "ledger_begin"

AT_ONCE: Final = 16
"""Connections of one process. A transaction is short and never waits for the network or for another transaction, so a hundred
mailboxes get on with a few; opening one costs more than a transaction, and a server has few to give."""

_PATIENCE: Final = 600.0

BUSY_MS: Final = 60_000
"""How long a connection waits for another process's transaction."""


def address(url: str) -> URL:
    """Read a ledger URL. A relative file is taken from the current folder. Raises ValueError; never repeats a password."""
    if url.startswith("sqlite:"):
        path = url.removeprefix(_SQLITE)
        if path == url or not path or path.startswith((":memory:", "file:")):
            raise ValueError(f"The ledger URL {url!r} names no file: {_FORMS}.")
        return URL.create("sqlite", database=str(Path(path).absolute()))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"The ledger URL can't be read: {_FORMS}.") from None
    if parsed.drivername not in _POSTGRES:
        raise ValueError(f"The ledger URL begins with {parsed.drivername}://, which is no ledger: {_FORMS}.")
    if not parsed.database:
        raise ValueError(f"The ledger URL names no database: {_FORMS}.")
    return parsed.set(drivername="postgresql+psycopg")


def connect_to_look(where: URL) -> Engine:
    """An engine that can only read, and that keeps nobody from writing. Connects to nothing yet.

    A SQLite file is opened read-only and is not made; in write-ahead mode a reader never waits for a writer, nor a writer for it.
    """
    if where.get_backend_name() != "sqlite":
        engine = create_engine(where, pool_size=4, max_overflow=0, pool_timeout=_PATIENCE, pool_pre_ping=True)
        event.listen(engine, "connect", _read_only_postgres)
        return engine
    file = f"{Path(where.database or '').as_uri()}?mode=ro"

    def look() -> sqlite3.Connection:
        return sqlite3.connect(file, uri=True, check_same_thread=False, timeout=BUSY_MS / 1000, isolation_level=None)

    engine = create_engine(where, creator=look, poolclass=QueuePool, pool_size=4, max_overflow=0, pool_timeout=_PATIENCE)
    event.listen(engine, "connect", _read_only_sqlite)
    return engine


def _read_only_sqlite(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA query_only=ON").close()
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}").close()


def _read_only_postgres(connection: Any, record: Any) -> None:
    _prepare_postgres(connection, record)
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")
    connection.autocommit = False


def connect(where: URL) -> Engine:
    """An engine for the ledger at ``where``. Connects to nothing yet.

    SQLite: write-ahead log, foreign keys, and every transaction begins IMMEDIATE; a transaction that begins as a reader and
    turns writer fails at once when another wrote in between, whatever the busy time-out says
    [https://www.sqlite.org/lang_transaction.html].
    """
    if where.get_backend_name() != "sqlite":
        engine = create_engine(where, pool_size=AT_ONCE, max_overflow=0, pool_timeout=_PATIENCE, pool_pre_ping=True)
        event.listen(engine, "connect", _prepare_postgres)
        return engine
    engine = create_engine(
        where,
        poolclass=QueuePool,
        pool_size=AT_ONCE,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        pool_use_lifo=True,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000, "cached_statements": 256},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver must not begin transactions of its own accord.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare_postgres(connection: Any, record: Any) -> None:
    # A plan is kept for as long as the connection is. One that was made while the tables were small would read them whole for
    # every lot later on.
    connection.autocommit = True
    connection.execute("SET enable_hashjoin = off")
    connection.execute("SET enable_mergejoin = off")
    connection.autocommit = False


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get(_BEGIN, True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_AWAY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_BARRED: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def plainly(error: BaseException) -> BaseException:
    """The driver's trouble in the ledger's words; a new exception for each call. Anything else comes back as it is.

    No text of SQLAlchemy's is passed on: it holds the statement and the database's address.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    plain: LedgerError
    if isinstance(cause, sqlite3.Error):
        kind = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if kind in _FULL:
            plain = LedgerAway(f"The ledger can't be written ({cause}).", "Make room on its disk, then run again.")
        elif kind in _BARRED:
            plain = LedgerAway(
                f"The ledger can't be written ({cause}).", "See that its file and folder may be written, then run again."
            )
        elif kind in _AWAY:
            plain = LedgerAway(f"The ledger is in use by something else ({cause}); run again later.")
        elif cause is error:
            plain = LedgerError(f"The ledger could not be written: {cause}.")
        else:
            return error
    elif isinstance(error, OperationalError | InterfaceError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        plain = LedgerAway(
            f"The ledger's server broke off or does not answer ({type(cause).__name__}); run again when it is back."
        )
    else:
        return error
    plain.__cause__ = error
    return plain


def unbegun(engine: Engine) -> Engine:
    """The same connections, but no transaction is begun on them: each statement is its own, or the caller says BEGIN."""
    if engine.dialect.name == "sqlite":
        # Not SQLAlchemy's AUTOCOMMIT: its end would let the driver begin transactions again.
        return engine.execution_options(**{_BEGIN: False})
    return engine.execution_options(isolation_level="AUTOCOMMIT")
