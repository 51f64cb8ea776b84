"""The command line as a user types it: help everywhere, options on both sides, exit codes, and what is said when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from migrator import cli, examples, logs
from migrator.commands import carry

ROOT = Path(__file__).resolve().parents[2]


class Typed:
    """What one command line did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


Shell = Callable[..., Typed]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGRATOR_CONFIG", raising=False)
    monkeypatch.setenv("MIGRATOR_SOURCE_PASSWORD", "source-hunter2")
    monkeypatch.setenv("MIGRATOR_TARGET_SECRET", "target-hunter2")

    def type_it(*words: str) -> Typed:
        code = cli.run(words)
        captured = capsys.readouterr()
        assert "hunter2" not in captured.out + captured.err, "no command prints a secret"
        return Typed(code, captured.out, captured.err)

    yield type_it
    logs.take_down()


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


ALL = dict(walk(cli.cli))  # type: ignore[arg-type]


def test_all_commands_are_there() -> None:
    names = {" ".join(path) for path in ALL}
    plain = {
        "demo",
        "lab",
        "init",
        "assess",
        "check",
        "probe",
        "run",
        "settings",
        "status",
        "show",
        "trace",
        "redo",
        "verify",
        "report",
        "dashboard",
        "close",
    } | {
        "mailbox",
        "mailbox undo",
        "notify",
        *(f"notify {word}" for word in ("test", "digest", "owners")),
        "audit",
        "completion",
    }
    db = {"db", *(f"db {word}" for word in ("upgrade", "backup", "check", "restore", "rebuild"))}
    errors = {"errors", *(f"errors {word}" for word in ("list", "show", "retry", "approve", "skip", "score"))}
    wave = {
        "wave",
        "wave archives",
        *(f"wave {word}" for word in ("import", "list", "show", "check", "start", "pause", "resume", "stop", "move", "retry")),
    }
    service = {"serve", "service", *(f"service {word}" for word in ("install", "remove", "status"))}
    kit = {"cutover", *(f"cutover {word}" for word in ("ready", "start", "status", "confirm", "rollback", "close", "rehearse"))}
    kit |= {"kit", *(f"kit {word}" for word in ("write", "import"))}
    assert names == plain | db | errors | kit | wave | service | {"support", "support bundle"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(shell: Shell, path: tuple[str, ...]) -> None:
    typed = shell(*path, "--help")
    assert typed.code == 0
    head, _, example = typed.out.partition("Example")
    assert example, "there is an example"
    assert f"migrator {path[0]}" in example or " ".join(path) in example
    assert len(head.split()) > 8, "and a sentence before it"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained_and_no_short_help_is_cut(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert [one.name for one in command.params if isinstance(one, click.Option) and not one.help] == []
    assert not command.get_short_help_str(60).endswith("...")


def test_an_example_only_uses_options_that_exist() -> None:
    for command in ALL.values():
        known = {name for one in command.params for name in one.opts + one.secondary_opts}
        for line in (command.help or "").partition("Example")[2].splitlines():
            used = {word for word in line.split() if word.startswith("--")}
            if command.name != "lab":
                assert used <= known, line


def test_help_and_version_need_no_config(shell: Shell) -> None:
    assert shell("--help").code == 0
    version = shell("--version")
    assert version.code == 0
    assert version.out.startswith("migrator, version ")


def test_help_answers_in_half_a_second_of_cpu_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, time, contextlib, io\n"
        "from migrator import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()): cli.run(['--help']); cli.run(['run', '--help'])\n"
        "heavy = {'sqlalchemy', 'exchangelib', 'msgraph', 'msal', 'aiohttp', 'structlog', 'rich', 'jinja2', 'lxml'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded, _, seconds = done.stdout.strip().rpartition(" ")
    assert loaded == "[]"
    assert float(seconds) < 0.5


@pytest.mark.parametrize(
    "words", [("rnu",), ("run", "--no-such"), ("run", "--lane", "fast"), ("db", "downgrade"), ("demo", "x"), ()]
)
def test_what_is_typed_wrong_ends_with_64(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell(*words).code == 64


def test_the_console_script_gives_its_exit_code_to_the_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "nothing"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 64
    assert "No such command" in done.stderr


@pytest.mark.parametrize("command", ["check", "run", "status", "verify", "report"])
def test_a_config_that_is_not_there_ends_with_65_and_a_mend(shell: Shell, command: str) -> None:
    typed = shell(command)
    assert typed.code == 65
    assert "migrator.toml is not there" in typed.err
    assert "migrator init" in typed.err
    assert typed.err.count("\n") == 1, "one sentence"


def test_global_options_count_on_both_sides_of_the_command(shell: Shell, tmp_path: Path) -> None:
    for words in (
        ("-c", "x.toml", "--json", "status"),
        ("status", "-c", "x.toml", "--json"),
        ("--json", "status", "-c", "x.toml"),
    ):
        typed = shell(*words)
        assert typed.code == 65
        told = json.loads(typed.out)
        assert told["exit_code"] == 65
        assert str(tmp_path / "x.toml") in told["error"]


def test_the_later_of_two_configs_counts(shell: Shell) -> None:
    assert "later.toml" in shell("-c", "first.toml", "status", "-c", "later.toml").err


def test_the_environment_names_the_config(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_CONFIG", "by-environment.toml")
    assert "by-environment.toml" in shell("status").err
    assert "by-hand.toml" in shell("status", "-c", "by-hand.toml").err


def test_init_writes_exactly_the_example_and_overwrites_nothing(shell: Shell, tmp_path: Path) -> None:
    typed = shell("init", "--dir", "project")
    assert typed.code == 0
    config, waves = tmp_path / "project" / "migrator.toml", tmp_path / "project" / "waves.csv"
    assert config.read_bytes() == (ROOT / "configs" / "example.toml").read_bytes()
    assert waves.read_bytes() == (ROOT / "configs" / "waves.example.csv").read_bytes()
    config.unlink()
    again = shell("init", "--dir", "project")
    assert again.code == 65
    assert "waves.csv is there already" in again.err
    assert not config.exists(), "half a pair is not written either"


def test_init_says_what_it_wrote_as_json(shell: Shell) -> None:
    told = json.loads(shell("init", "--json").out)
    assert [Path(file).name for file in told["written"]] == ["migrator.toml", "waves.csv"]


def test_init_into_a_place_that_is_a_file_is_bad_input(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    assert shell("init", "--dir", "taken/below").code == 65


def test_a_bug_ends_with_70_and_leaves_its_traceback_in_the_log(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> bytes:
        raise KeyError(f"broken at source-hunter2 {name}")

    logs.hide("source-hunter2")
    monkeypatch.setattr(examples, "example", broken)
    typed = shell("init", "--dir", "here", "--log-file", "bugs.jsonl")
    assert typed.code == 70
    assert "This is a bug (KeyError)" in typed.err
    assert "bugs.jsonl" in typed.err
    assert "Traceback" not in typed.err
    entry = json.loads((tmp_path / "bugs.jsonl").read_text(encoding="utf-8"))
    assert "in broken" in entry["exception"]
    assert "hunter2" not in entry["exception"]


def test_a_log_file_that_cannot_be_written_is_bad_input_for_run(shell: Shell) -> None:
    shell("init")
    typed = shell("run", "--log-file", "no/such/folder/log.jsonl")
    assert typed.code == 65
    assert "--log-file" in typed.err


def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(tmp_path: Path) -> None:
    script = (
        "import signal, sys, threading, time\n"
        "from migrator.commands.carry import stop_on_signals\n"
        "stop = threading.Event()\n"
        "with stop_on_signals(stop):\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    print('stopping', stop.is_set(), flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    assert done.stdout.strip() == "stopping True"
    assert "run the same command again to go on" in done.stderr


def test_signal_handlers_are_put_back() -> None:
    import signal
    import threading

    before = signal.getsignal(signal.SIGINT)
    with carry.stop_on_signals(threading.Event()):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "migrator", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("statsu",), "Did you mean 'status'?"),
        (("run", "--lain", "auto"), "Did you mean '--lane'?"),
        (("wave", "chek"), "Did you mean 'check'?"),
        (("wave", "import"), "Missing argument 'FILE'"),
        (("wave",), "Missing command."),
        ((), "Missing command."),
    ],
)
def test_with_json_a_command_that_was_typed_wrong_is_answered_in_json_too(
    shell: Shell, words: tuple[str, ...], says: str
) -> None:
    typed = shell(*words, "--json")
    assert typed.code == 64
    told = json.loads(typed.out)
    assert told["exit_code"] == 64
    assert says in told["error"]


def test_ctrl_c_before_anything_is_loaded_is_no_traceback() -> None:
    wired = "import sys, builtins, migrator.__main__ as program\n"
    wired += "class Pressed:\n    def find_spec(self, *_):\n        raise KeyboardInterrupt\n"
    wired += "sys.meta_path.insert(0, Pressed())\nprogram.main()\n"
    done = subprocess.run([sys.executable, "-c", wired], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "migrator: Stopped.\n")


@pytest.mark.parametrize("group", [path for path, command in ALL.items() if isinstance(command, click.Group)], ids=" ".join)
def test_the_options_of_every_command_may_stand_between_a_group_and_its_command(shell: Shell, group: tuple[str, ...]) -> None:
    command = ALL[group]
    assert isinstance(command, click.Group)
    first = command.list_commands(click.Context(command))[0]
    typed = shell(*group, "-c", "elsewhere.toml", "--json", first, "--help")
    assert typed.code == 0, typed.err
