"""The trail of what operators did, completion in real shells, and no colours where nobody sees them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from migrator import cli
from state.store import Ledger

CONFIG = """
[source]
url = "https://ex.example"
username = "u"
password = "env:PASSWORD"
[target]
tenant_id = "t"
client_id = "c"
secret = "env:PASSWORD"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSWORD", "x")
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    with Ledger.open(f"sqlite:///{tmp_path / 'migrator.db'}") as ledger:
        ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
        ledger.plan_mailbox("x", "ben@old.example", "ben@new.example")
        ledger.plans.act("kim@desk", "wave pause", wave="w", why="the line is down")
        ledger.plans.act("lee@desk", "errors approve", wave="w", mailbox_id=1, why="=known", items=3)
        ledger.plans.act("kim@desk", "cutover start", wave="x")
    return tmp_path


def acts(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.run(["--json", "audit", *words]) == 0
    return [one["what"] for one in json.loads(capsys.readouterr().out)["acts"]]


def test_the_trail_is_newest_first_and_narrowed_by_what_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acts(capsys) == ["cutover start", "errors approve", "wave pause"]
    assert acts(capsys, "w") == ["errors approve", "wave pause"]
    assert acts(capsys, "anna@old.example") == ["errors approve"]
    assert acts(capsys, "--who", "KIM") == ["cutover start", "wave pause"]
    assert acts(capsys, "--what", "cutover") == ["cutover start"]
    assert acts(capsys, "--last", "1") == ["cutover start"]


def test_the_trail_is_a_table_for_people_and_for_a_spreadsheet(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["audit"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "the line is down" in out
    assert cli.run(["audit", "--csv"]) == 0
    lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert lines[0] == ["at", "who", "what", "wave", "mailbox", "why", "about"]
    assert lines[2][4:] == ["anna@old.example", "'=known", "items=3"], "what begins like a formula stays a text"


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete"), ("powershell", "Register-")]
)
def test_each_shell_gets_its_script(
    shell: str, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # click asks the bash that is there for its version, which one that is too old for it answers with a warning on stderr.
    assert cli.run(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert word in out
    assert "_MIGRATOR_COMPLETE" in out


def completed(kind: str, words: str, at: int) -> list[str]:
    env = {**os.environ, "_MIGRATOR_COMPLETE": kind, "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-c", "from migrator.cli import main; main()"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert completed("bash_complete", "migrator sta", 1) == ["status"]
    assert "--waves" in completed("bash_complete", "migrator status --w", 2)
    assert completed("powershell_complete", "migrator\nerrors\nsc", 2) == ["score"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_script_for_bash_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["completion", "bash"]) == 0
    (tmp_path / "it.sh").write_text(capsys.readouterr().out, "utf-8")
    done = subprocess.run(["bash", "-n", str(tmp_path / "it.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_nothing_is_coloured_where_no_terminal_is(project: Path, no_color: str) -> None:
    env = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color"}
    for words in (["status"], ["audit"], ["status", "--waves"], ["--help"]):
        done = subprocess.run([sys.executable, "-m", "migrator", *words], env=env, capture_output=True, check=False)
        assert done.returncode == 0
        assert b"\x1b" not in done.stdout + done.stderr


def test_the_script_comes_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert cli.run(["completion", shell]) == 0
        plain = capsys.readouterr().out
        assert cli.run(["completion", shell, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["script"].rstrip("\n") == plain.rstrip("\n")
