"""What would keep ``serve`` alive, as text: nothing here is installed anywhere."""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

import pytest

from migrator import cli, logs
from migrator.commands import service as command
from migrator.waves.service import BadName, Service, off_systemd, off_windows, on_systemd, on_windows, remarks, unit
from migrator.waves.serving import ALIVE
from state.store import Ledger

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:SOURCE_PW"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:TARGET_PW"
"""

LINUX = Service(
    name="contoso",
    python=PurePosixPath("/opt/the migrator/bin/python"),
    config=PurePosixPath("/srv/contoso 100%/migrator.toml"),
    user="migration",
    secrets=("SOURCE_PW",),
)
WINDOWS = Service(
    name="contoso",
    python=PureWindowsPath(r"C:\Program Files\Migrator\python.exe"),
    config=PureWindowsPath(r"D:\R&D\migrator.toml"),
)


def test_a_unit_starts_again_but_not_where_only_a_person_can_help() -> None:
    told = configparser.ConfigParser(interpolation=None)
    told.optionxform = str  # type: ignore[assignment,method-assign]
    told.read_string(unit(LINUX, PurePosixPath("/etc/migrator/contoso.env")))
    service = told["Service"]
    assert service["ExecStart"] == (
        '"/opt/the migrator/bin/python" -m migrator -c "/srv/contoso 100%%/migrator.toml" serve'
    )  # fmt: skip
    assert (service["Restart"], service["RestartPreventExitStatus"], service["User"]) == ("always", "5 64 65", "migration")
    assert service["EnvironmentFile"] == "/etc/migrator/contoso.env"


def test_a_task_starts_without_anybody_signed_in_and_never_times_out() -> None:
    [write, create, run] = on_windows(WINDOWS, PureWindowsPath(r"D:\R&D\migrator-contoso.xml"))
    tree = ElementTree.fromstring(write.text.replace(' encoding="UTF-16"', ""))
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}

    def text(path: str) -> str:
        found = tree.find(path, space)
        assert found is not None
        return str(found.text)

    assert tree.find("t:Triggers/t:BootTrigger", space) is not None
    assert text("t:Settings/t:ExecutionTimeLimit") == "PT0S"
    assert text("t:Actions/t:Exec/t:Command") == r"C:\Program Files\Migrator\python.exe"
    assert text("t:Actions/t:Exec/t:Arguments") == r'-m migrator -c "D:\R&D\migrator.toml" serve'
    assert create.command[:4] == ("schtasks", "/Create", "/TN", "\\Migrator\\contoso")
    assert run.shown() == "schtasks /Run /TN \\Migrator\\contoso"


def test_what_was_installed_is_what_is_removed() -> None:
    folder = PurePosixPath("/etc/systemd/system")
    written = on_systemd(LINUX, folder)[0].file
    assert any(str(written) in step.command for step in off_systemd("contoso", folder))
    assert all("\\Migrator\\contoso" in step.command for step in off_windows("contoso"))


def test_no_secret_is_in_it_and_where_they_go_is_said() -> None:
    assert "/etc/migrator/contoso.env" in remarks(LINUX, windows=False)[0]
    assert "SYSTEM" in remarks(WINDOWS, windows=True)[0]


@pytest.mark.parametrize("name", ["", "a b", "../x", "a;b", "-x"])
def test_a_name_that_no_system_takes_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        Service(name=name, python=PurePosixPath("p"), config=PurePosixPath("c"))


Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "UNITS", tmp_path / "units")
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")

    def type_it(*words: str) -> tuple[int, str]:
        code = cli.run(words)
        return code, capsys.readouterr().out

    yield type_it
    logs.take_down()


@pytest.mark.parametrize("system", ["systemd", "windows"])
@pytest.mark.parametrize("extra", [(), ("--yes", "--dry-run")])
def test_it_is_shown_and_nothing_is_done_unless_it_is_said(
    shell: Shell, tmp_path: Path, system: str, extra: tuple[str, ...]
) -> None:
    code, out = shell("service", "install", "--name", "contoso", "--system", system, *extra)
    assert code == 0
    assert "Nothing was done; --yes does it." in out
    assert "SOURCE_PW" in out
    assert "migrator -c" in out
    assert not (tmp_path / "units").exists()
    assert not list(tmp_path.glob("*.xml"))
    code, out = shell("service", "remove", "--name", "contoso", "--system", system)
    assert (code, "Nothing was done" in out) == (0, True)


def test_whether_something_serves_is_read_from_the_ledger(shell: Shell, tmp_path: Path) -> None:
    assert shell("service", "status")[0] == 65
    with Ledger.open(f"sqlite:///{(tmp_path / 'migrator.db').as_posix()}") as ledger:
        assert shell("service", "status") == (
            3,
            "No process serves this ledger: none ever did; `migrator serve` does, `migrator service install` keeps it alive.\n",
        )
        ledger.hint(ALIVE, 4e9)
        assert shell("service", "status")[0] == 0
        ledger.hint(ALIVE, 1.0)
        code, out = shell("--json", "service", "status")
        assert (code, json.loads(out)["alive"]) == (3, False)
