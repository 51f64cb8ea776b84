"""Bringing a ledger's schema to this version's. Revisions lie in alembic/, or in state/migrations once installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from state.engines import address, connect, unbegun
from state.model import LedgerError, NotMigrated
from state.revision import HEAD

if TYPE_CHECKING:
    from alembic.config import Config


def revisions() -> Path:
    """The folder with env.py and versions/."""
    here = Path(__file__).resolve().parent
    for folder in (here / "migrations", here.parent / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise LedgerError("This installation lacks its ledger revisions; install it again.")


def upgrade(url: str, revision: str = "head") -> tuple[str | None, str]:
    """Bring the ledger at ``url`` to a revision; the one before (None: it was empty) and the one after.

    One transaction: a failure leaves the ledger as it was. Raises what ``Ledger.open`` raises.
    """
    engine = connect(address(url))
    try:
        before = _revision_or_refuse(engine)
        _upgrade(engine, revision)
        return before, _revision(engine) or ""
    finally:
        engine.dispose()


def make_ready(engine: Engine, *, migrate: bool) -> None:
    """Let the ledger behind ``engine`` be at head: make a new file's schema, upgrade if told to, or raise NotMigrated."""
    before = _revision_or_refuse(engine)
    if before == HEAD:
        return
    if not migrate and not (before is None and engine.dialect.name == "sqlite"):
        was = "has no schema yet" if before is None else f"is at revision {before}"
        raise NotMigrated(f"The ledger {was}, and this version needs {HEAD}: run `migrator db upgrade`.")
    _upgrade(engine, "head")


def see_ready(engine: Engine) -> None:
    """Raise NotMigrated unless the ledger behind ``engine`` is at head; changes nothing."""
    if (before := _revision_or_refuse(engine)) != HEAD:
        was = "has no schema yet" if before is None else f"is at revision {before}"
        raise NotMigrated(f"The ledger {was}, and this version needs {HEAD}: run `migrator db upgrade`.")


def _revision_or_refuse(engine: Engine) -> str | None:
    """The ledger's revision; raises for one that this version can't have made."""
    try:
        revision = _revision(engine)
    except OperationalError as error:
        if engine.dialect.name == "sqlite":
            raise LedgerError(
                f"The ledger {engine.url.database} can't be opened: {error.orig}; its folder has to be there, and both writable."
            ) from None
        raise
    except DatabaseError as error:
        if engine.dialect.name == "sqlite":
            raise LedgerError(
                f"{engine.url.database} is no ledger: {error.orig}; name the ledger's file in ledger.url."
            ) from None
        raise
    if revision is not None and revision > HEAD:
        raise NotMigrated(f"The ledger is at revision {revision}, newer than this version knows ({HEAD}): install that version.")
    return revision


def _revision(engine: Engine) -> str | None:
    with unbegun(engine).connect() as connection:
        # One question: between two of them another process can have made the whole schema.
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)
        if tables:
            raise LedgerError(
                f"{engine.url.database} holds the tables of something else and is no ledger; name another one in ledger.url."
            )
        return None


def _upgrade(engine: Engine, revision: str) -> None:
    # Alembic is slow to load, and most runs find their ledger at head.
    from alembic import command

    with engine.connect() as connection, connection.begin():
        _lock(connection)
        config = configured()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _lock(connection: Connection) -> None:
    """Let one process migrate at a time; SQLite's transactions do that by themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7236504611)"))


def configured() -> Config:
    """Alembic's settings, which need no file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(revisions()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
