"""Revisions lead from nothing, and from every older ledger with its rows, to the tables that the code knows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from state.engines import address, connect, unbegun
from state.migrate import configured, revisions, upgrade
from state.model import ItemState, LedgerError, NotMigrated, Tally
from state.revision import HEAD
from state.schema import metadata
from state.store import Ledger

REVISIONS = [script.revision for script in ScriptDirectory.from_config(configured()).walk_revisions()][::-1]

# What a ledger of each revision holds; a revision that changes a table gets an entry of its own, older ones never change.
FILLED: dict[str, list[str]] = {
    "0001": [
        "INSERT INTO mailboxes VALUES (1, 'first', 'Ada@example.com', 'ada@example.com', 'ada@example.com', 'SEEDING', NULL, '',"
        " 3, 'host:1', 1000.0, 17, 2, {true})",
        "INSERT INTO passes VALUES (1, 1, 'seed', 'DONE', 1.0, 2.0, '', '{{\"created\": 1}}')",
        "INSERT INTO folders VALUES (1, 1, 'inbox', NULL, 'Inbox', 'IPF.Note', 'inbox', 'T', 'c', 'f', {true}, 2, 2, 's', 0, 2)",
        "INSERT INTO items (id, mailbox_id, key, folder_id, state, version, identity, size, modified, marks, generation, lane,"
        " target, target_version, digest)"
        " VALUES (1, 1, {key1}, 1, 3, {none}, {none}, 70, 0, 1, 2, 'import', {target}, {none}, {none}),"
        " (2, 1, {key2}, 1, 4, {none}, {none}, 30, 0, 1, 2, '', NULL, {none}, {none})",
        "INSERT INTO open_items (item, mailbox_id, folder_id, state, item_id, source_version, work, facts, epoch, batch,"
        " intended_at, old_target, reason, detail, code)"
        " VALUES (2, 1, 1, 4, {target}, {none}, 'create', {none}, 1, 1, 0.0, NULL, 'too-large', '', '')",
        "INSERT INTO tallies VALUES (1, 1, 3, 1, 70), (1, 1, 4, 1, 30)",
        "INSERT INTO hints VALUES ('tenant', 5.0)",
        "INSERT INTO notes VALUES (1, 1.0, 1, 'start', 'It begins.')",
    ],
}
FILLED["0002"] = [
    *FILLED["0001"],
    "INSERT INTO decisions VALUES (1, 5.0, 1, {key2}, {none}, 'too-large', 'approved', 'ops@host', 'Its owner knows.')",
    "INSERT INTO kept VALUES (1, {key2}, 5.0, 30, 'refused/ada@example.com/0202.fts', 'ab')",
]
FILLED["0003"] = [
    "INSERT INTO mailboxes VALUES (1, 'first', 'Ada@example.com', 'ada@example.com', 'ada@example.com', 'SEEDING', NULL, '',"
    " 3, 'host:1', 1000.0, 17, 2, {true}, {true})",
    "INSERT INTO folders VALUES (1, 1, 'inbox', NULL, 'Inbox', 'IPF.Note', 'inbox', 'T', 'c', 'f', {true}, 2, 2, 's', 0, 2, 9.0)",
    *(statement for statement in FILLED["0002"] if not statement.startswith(("INSERT INTO mailboxes", "INSERT INTO folders"))),
]
FILLED["0004"] = [
    *FILLED["0003"],
    "INSERT INTO settings VALUES (1, {key1}, 6.0, {true}, 'rule', 'Newsletters', 'carried', '', 'R1', {none})",
]
FILLED["0005"] = [
    "INSERT INTO mailboxes VALUES (1, 'first', 'Ada@example.com', 'ada@example.com', 'ada@example.com', 'SEEDING', NULL, '',"
    " 3, 'host:1', 1000.0, 17, 2, {true}, {true}, '{{}}')",
    *(statement for statement in FILLED["0004"] if not statement.startswith("INSERT INTO mailboxes")),
    "INSERT INTO waves VALUES ('first', 7.0, 'PAUSED', '{{}}')",
    "INSERT INTO acts VALUES (1, 7.0, 1, 'ops@host', 'pause', 'first', 'A holiday.', '{{}}')",
    "INSERT INTO confirmations VALUES (1, 'lock', 7.0, 'ops@host', 'done', '')",
    "INSERT INTO observations VALUES (1, 'late', 7.0, '{{\"hosts\": 1}}')",
    "INSERT INTO answers VALUES ('lane import', 'IPM.Note', '15.1', 7.0, 'yes', '')",
]
LITERALS = {
    "sqlite": {"true": "1", "key1": "X'0101'", "key2": "X'0202'", "none": "X''", "target": "X'0041'"},
    "postgresql": {"true": "true", "key1": "'\\x0101'", "key2": "'\\x0202'", "none": "'\\x'", "target": "'\\x0041'"},
}


def ask(url: str, question: Callable[[Connection], object]) -> object:
    engine = connect(address(url))
    try:
        with unbegun(engine).connect() as connection:
            return question(connection)
    finally:
        engine.dispose()


def test_there_is_one_line_of_revisions_and_its_end_is_the_head() -> None:
    assert ScriptDirectory.from_config(configured()).get_heads() == [HEAD]
    assert REVISIONS[-1] == HEAD
    assert sorted(REVISIONS) == REVISIONS
    assert not (revisions() / "__init__.py").exists()


def test_every_revision_has_rows_to_be_tested_with() -> None:
    assert set(FILLED) <= set(REVISIONS)
    assert REVISIONS[0] in FILLED


def test_the_tables_at_head_are_those_of_the_code(ledger_url: str) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert ask(ledger_url, differences) == []


def test_an_upgrade_tells_from_where_to_where(empty_url: str) -> None:
    assert upgrade(empty_url) == (None, HEAD)
    assert upgrade(empty_url) == (HEAD, HEAD)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_ledger_of_each_revision_keeps_its_rows(empty_url: str, revision: str) -> None:
    assert upgrade(empty_url, revision) == (None, revision)

    def fill(connection: Connection) -> None:
        newest = max(known for known in FILLED if known <= revision)
        for statement in FILLED[newest]:
            connection.exec_driver_sql(statement.format(**LITERALS[connection.dialect.name]))

    ask(empty_url, fill)
    with Ledger.open(empty_url, migrate=True) as ledger:
        [mailbox] = ledger.mailboxes()
        assert (mailbox.source, mailbox.epoch, mailbox.sequence, mailbox.claimed) == ("Ada@example.com", 3, 17, True)
        tallies = [Tally(1, ItemState.DONE, 1, 70), Tally(1, ItemState.REFUSED, 1, 30)]
        assert [tally for _, tally in ledger.tallies()] == tallies == ledger.recount(1)
        assert [row.target for row in ledger.folder_rows(1, 1)] == ["A", None]
        assert [one.reason for one in ledger.refusals()] == ["too-large"]
        assert ledger.folders(1)[0].cursor == "c"
        # Before there was a rule for when a stamp is kept, none of them can be trusted.
        assert ledger.folders(1)[0].change_stamp == ("s" if revision >= "0003" else None)
        assert mailbox.trusts_stamps
        assert ledger.passes()[0].figures == {"created": 1}
        assert ledger.hints() == {"tenant": 5.0}
        assert ledger.notes()[0].text == "It begins."
        assert len(ledger.installation()) == 32
        approved = {1: frozenset({b"\x02\x02"})} if revision >= "0002" else {}
        assert ledger.approvals.approved() == approved
        assert len(ledger.approvals.kept()) == len(approved)
        carried = {1: {"carried": 1, "waiting": 1, "listed": 0, "scripted": 0}} if revision >= "0004" else {}
        assert ledger.settings.counts() == carried


def test_a_server_without_a_schema_must_be_migrated_first(empty_postgres_url: str) -> None:
    with pytest.raises(NotMigrated, match=f"has no schema yet, and this version needs {HEAD}: run `migrator db upgrade`"):
        Ledger.open(empty_postgres_url)
    with Ledger.open(empty_postgres_url, migrate=True) as ledger:
        assert ledger.mailboxes() == []
    Ledger.open(empty_postgres_url).close()


def test_a_new_file_is_made_and_migrated(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'new.db'}") as ledger:
        assert ledger.mailboxes() == []


def test_an_older_ledger_must_be_migrated_first(ledger_url: str) -> None:
    ask(ledger_url, lambda db: db.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(NotMigrated, match="is at revision 0000, and this version needs"):
        Ledger.open(ledger_url)


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_ledger_is_left_alone(ledger_url: str, migrate: bool) -> None:
    ask(ledger_url, lambda db: db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotMigrated, match="at revision 9999, newer than this version knows"):
        Ledger.open(ledger_url, migrate=migrate)
    with pytest.raises(NotMigrated, match="newer"):
        upgrade(ledger_url)


def test_the_tables_of_something_else_are_left_alone(empty_url: str) -> None:
    ask(empty_url, lambda db: db.exec_driver_sql("CREATE TABLE orders (id INTEGER)"))
    for use in (lambda: upgrade(empty_url), lambda: Ledger.open(empty_url, migrate=True)):
        with pytest.raises(LedgerError, match="holds the tables of something else"):
            use()


def test_processes_that_start_together_make_one_ledger(empty_url: str) -> None:
    begin = threading.Barrier(4)

    def start(_: int) -> str:
        begin.wait(20)
        with Ledger.open(empty_url, migrate=True) as ledger:
            return ledger.installation()

    with ThreadPoolExecutor(4) as threads:
        names = set(threads.map(start, range(4)))
    assert len(names) == 1


def test_a_revision_that_fails_leaves_nothing_behind(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: None)  # the name of an installation may not be missing
    with pytest.raises(Exception, match=r"(?i)not.null"):
        upgrade(empty_url)
    assert ask(empty_url, lambda db: db.dialect.get_table_names(db)) == []
