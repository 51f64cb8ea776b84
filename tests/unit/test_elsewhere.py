"""What differs on a machine that is not the developer's: consoles, open files, clocks, and names that two files would share."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrator import cli, logs
from migrator.commands import words
from migrator.config import BadInput
from migrator.secrets import BadSecret, parse_reference, resolve
from migrator.settings.scripts import file_name

ROOT = Path(__file__).resolve().parents[2]


def test_json_keeps_every_letter_on_a_pipe_that_can_not_hold_it() -> None:
    script = "from migrator.commands.words import say_json; say_json({'name': 'Δήμητρα 報告'})"
    for encoding in ("cp1252", "utf-8"):
        told = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": f"{encoding}:replace"},
            capture_output=True,
            check=True,
        )
        assert json.loads(told.stdout.decode(encoding)) == {"name": "Δήμητρα 報告"}, encoding


def test_a_reader_that_has_seen_enough_is_no_bug_where_windows_calls_it_an_invalid_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone: list[int] = []
    monkeypatch.setattr(cli.sys, "platform", "win32")
    monkeypatch.setattr(cli.os, "dup2", lambda _one, other: gone.append(other))
    monkeypatch.setattr(cli.sys.stdout, "fileno", lambda: 1, raising=False)
    assert cli._closed_pipe(OSError(errno.EINVAL, "Invalid argument"))
    assert not cli._closed_pipe(OSError(errno.EINVAL, "Invalid argument", "a file"))
    assert not cli._closed_pipe(OSError(errno.ENOSPC, "full"))
    assert gone == [1]


@pytest.fixture
def small_log(tmp_path: Path) -> logs._File:
    return logs._File(tmp_path / "migrator.log", maxBytes=100, backupCount=2, encoding="utf-8", delay=True)


def write(log: logs._File, *lines: str) -> None:
    for line in lines:
        log.handle(logging.makeLogRecord({"msg": line}))


def test_a_log_turns_over_and_keeps_the_last_ones(small_log: logs._File, tmp_path: Path) -> None:
    write(small_log, *(f"{number}" * 60 for number in range(5)))
    small_log.close()
    held = {file.name: file.read_text(encoding="utf-8")[0] for file in tmp_path.iterdir()}
    assert held == {"migrator.log": "4", "migrator.log.1": "3", "migrator.log.2": "2"}


def test_a_log_that_another_process_has_open_grows_on_and_loses_nothing(
    small_log: logs._File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(small_log, "0" * 60, "1" * 60)

    def in_use(*_: object) -> None:
        raise PermissionError(13, "in use by another process")

    with monkeypatch.context() as windows:
        windows.setattr(os, "replace", in_use)
        write(small_log, "2" * 60, "3" * 60)
    small_log.close()
    assert [line[0] for line in (tmp_path / "migrator.log").read_text(encoding="utf-8").split()] == ["1", "2", "3"]
    assert (tmp_path / "migrator.log.1").read_text(encoding="utf-8")[0] == "0", "an older one is not pushed out meanwhile"
    assert capsys.readouterr().err == ""


def test_a_log_that_can_not_be_written_is_told_once_and_without_a_traceback(
    small_log: logs._File, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_record: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(small_log, "format", full)
    write(small_log, "a", "b")
    small_log.close()
    [line] = capsys.readouterr().err.splitlines()
    assert "can't be written" in line
    assert "No space left" in line


@pytest.mark.parametrize("path", ["~nobody-by-that-name/x.pem", "a\0b"])
def test_a_path_that_this_system_does_not_take_is_bad_input(tmp_path: Path, path: str) -> None:
    from migrator.config import _absolute

    with pytest.raises(BadInput, match="is no path here"):
        _absolute(tmp_path / "migrator.toml", path)
    with pytest.raises(BadSecret, match="can't be read"):
        resolve(parse_reference(f"file:{path}"), tmp_path)


@pytest.mark.parametrize("when", ["9999-12-31", "0001-01-01", "1900-01-01"])
def test_a_day_at_the_end_of_the_calendar_is_a_time_or_a_clear_no(
    when: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["trace", "anna@old.example", "--from", when]) in (64, 65), capsys.readouterr().err


def test_waves_whose_names_differ_in_a_last_dot_have_files_of_their_own() -> None:
    names = {file_name(wave).rstrip(".") for wave in ("wave", "wave.", "wave..", "wave_")}
    assert len(names) == 4


def test_words_still_print_letters_where_the_terminal_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    words.say_json({"name": "Zoë"})
    assert "Zoë" in capsys.readouterr().out
