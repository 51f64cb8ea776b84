"""``migrator report`` as a user types it, over a ledger that others may be writing to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from migrator import cli
from state.model import LedgerError, NotMigrated
from state.store import Ledger

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:MIGRATOR_SOURCE_PASSWORD"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:MIGRATOR_TARGET_SECRET"

[ledger]
url = "sqlite:///ledger.db"
"""


@pytest.fixture
def project(made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config and a ledger of forty mailboxes."""
    shutil.copy(made(), tmp_path / "ledger.db")
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_folder_gets_everything(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", "--to", "all", "--cards", "cards", "--wave", "wave 3", "--language", "de"]) == 0
    assert "8 cards in cards" in capsys.readouterr().out
    names = ["mailboxes.csv", "protocol.html", "report.html", "report.json", "report.xlsx"]
    assert sorted(file.name for file in (project / "all").iterdir()) == names
    assert json.loads((project / "all" / "report.json").read_text("utf-8"))["totals"]["mailboxes"] == 8
    assert '<html lang="de">' in (project / "all" / "protocol.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["a.html", "a.xlsx", "a.json", "a.csv"])
def test_the_ending_says_what_it_is(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.run(["report", "--out", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == name
    begins = {"html": b"<!doctype html>", "xlsx": b"PK", "json": b"{", "csv": b"\xff\xfe"}
    assert (project / name).read_bytes().startswith(begins[name.partition(".")[2]])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--out", "a.pdf"], 64, "the endings are .html, .xlsx, .json and .csv"),
        (["--every", "15m"], 64, "--every is for --to"),
        (["--to", "x", "--every", "soon"], 65, "write 15m, 2h or 90s"),
        (["--language", "fr"], 65, "there are: de, en"),
        (["--out", "migrator.toml/report.html"], 65, "can't be written"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert cli.run(["report", *words]) == code
    assert said in capsys.readouterr().err


def test_a_report_waits_for_nobody_and_keeps_nobody_waiting(project: Path) -> None:
    with Ledger.open("sqlite:///ledger.db") as writing, writing._engine.begin() as db:
        db.exec_driver_sql("UPDATE mailboxes SET cause = 'in the middle'")
        assert cli.run(["report", "--out", "during.html"]) == 0
    assert "in the middle" not in (project / "during.html").read_text("utf-8")


def test_a_ledger_that_is_looked_at_can_not_be_written(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        ledger.plan_mailbox("w", "a@old.test", "a@new.test")
        with Ledger.look(ledger_url) as looking:
            assert [one.source for one in looking.mailboxes()] == ["a@old.test"]
            with pytest.raises(LedgerError, match="read only"):
                looking.plan_mailbox("w", "b@old.test", "b@new.test")
            with pytest.raises(Exception, match=r"(?i)read-?only"), looking._engine.connect() as db:
                db.exec_driver_sql("DELETE FROM mailboxes")
            ledger.plan_mailbox("w", "b@old.test", "b@new.test")
            assert len(looking.mailboxes()) == 2


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        Ledger.look(f"sqlite:///{(tmp_path / 'none.db').as_posix()}")
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_database_without_a_ledger_says_what_to_do(empty_postgres_url: str) -> None:
    with pytest.raises(NotMigrated, match="db upgrade"):
        Ledger.look(empty_postgres_url)


@pytest.mark.skipif(os.name != "posix", reason="a process of this system can't be asked to end by a signal")
def test_it_keeps_a_folder_fresh_until_somebody_ends_it(project: Path) -> None:
    words = [sys.executable, "-m", "migrator", "report", "--to", "share", "--every", "0.2s"]
    with subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            assert running.stdout is not None
            first = running.stdout.readline()
            with Ledger.open("sqlite:///ledger.db") as ledger:
                ledger.plan_mailbox("wave 1", "new.comer@contoso.test", "new.comer@contoso-cloud.test")
            until = time.monotonic() + 60
            while "new.comer" not in (project / "share" / "report.html").read_text("utf-8") and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            running.send_signal(signal.SIGTERM)
            rest = running.communicate(timeout=60)[0]
    assert "5 files in share" in first
    assert running.returncode == 0, rest
    page = (project / "share" / "report.html").read_text("utf-8")
    assert "new.comer@contoso.test" in page
    assert not list((project / "share").glob(".*")), "nothing half written is left behind"


def test_one_file_that_is_barred_keeps_no_other_from_being_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "all" / "report.xlsx").mkdir(parents=True)
    assert cli.run(["report", "--to", "all"]) == 65
    assert "report.xlsx can't be written" in capsys.readouterr().err
    written = {file.name for file in (project / "all").iterdir() if file.is_file()}
    assert written == {"mailboxes.csv", "protocol.html", "report.html", "report.json"}
