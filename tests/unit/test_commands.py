"""The commands over a real ledger, with both sides in memory: what an operator sees from the first check to the report."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from connectors.base import Answer, Destination, Refusal, Role, Source
from connectors.errors import Halt, MailboxBlocked
from connectors.ews.meetings import MeetingsToCome
from connectors.memory import MemoryDestination, MemoryMailbox, MemorySource, MemoryTarget
from connectors.memory_looking import MemoryLook
from connectors.memory_reading import MemorySourceReader, MemoryTargetReader
from connectors.reading import Reader
from connectors.reading_calendar import Occasion, Series
from migrator import app, cli, logs
from migrator.examples import example
from state.model import MailboxRow

NAMES = ("anna", "ben")

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:MIGRATOR_SOURCE_PASSWORD"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:MIGRATOR_TARGET_SECRET"

[run]
settle_horizon = 0
"""


class World:
    """Two servers in memory with a mailbox for each name; what they refuse can be set."""

    def __init__(self) -> None:
        self.mailboxes = {name: MemoryMailbox() for name in NAMES}
        self.targets = {name: MemoryTarget() for name in NAMES}
        self.blocked: dict[str, Exception] = {}
        self.unfit = ""
        self.answers: dict[str, list[Answer]] = {"source": [], "target": []}
        for name, mailbox in self.mailboxes.items():
            for number in range(5):
                mailbox.put(mailbox.special(Role.INBOX), f"{name} {number}", size=1000)


class NoCalendars:
    """The calendars of a mailbox in memory, where none is kept."""

    def series(self, folder_id: str, ids: Sequence[str]) -> Iterator[Series]:
        return iter(())

    def occasions(self, folder_id: str, low: datetime, high: datetime) -> Iterator[Occasion]:
        return iter(())

    def close(self) -> None:
        return None


class InMemory:
    """Stands in the place of ``app.Connected``; the same words."""

    def __init__(self, world: World, guard: Callable[[Destination], Destination] | None) -> None:
        self.world = world
        self.guard = guard

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def source(self, mailbox: MailboxRow, stop: threading.Event) -> Source:
        name = mailbox.source.partition("@")[0]
        if name in self.world.blocked:
            raise self.world.blocked[name]
        return MemorySource(self.world.mailboxes[name])

    def destination(self, mailbox: MailboxRow, stop: threading.Event) -> Destination:
        name = mailbox.target.partition("@")[0]
        destination: Destination = MemoryDestination(
            self.world.targets[name],
            refuse=lambda write: (
                Refusal("too-large", "It is larger than the target takes.")
                if self.world.unfit and write.item and write.item.ref.id == self.world.unfit
                else None
            ),
        )
        return self.guard(destination) if self.guard else destination

    def source_reader(self, mailbox: MailboxRow, stop: threading.Event) -> Reader:
        return MemorySourceReader(self.world.mailboxes[mailbox.source.partition("@")[0]])

    def destination_reader(self, mailbox: MailboxRow, stop: threading.Event) -> Reader:
        return MemoryTargetReader(self.world.targets[mailbox.target.partition("@")[0]])

    def look(self, mailbox: MailboxRow) -> MemoryLook:
        return MemoryLook(self.world.targets[mailbox.target.partition("@")[0]])

    def source_calendars(self, mailbox: MailboxRow, stop: threading.Event) -> NoCalendars:
        return NoCalendars()

    def destination_calendars(self, mailbox: MailboxRow, stop: threading.Event) -> NoCalendars:
        return NoCalendars()

    def meetings(self, mailbox: str) -> MeetingsToCome:
        return MeetingsToCome(future=0, as_organiser=0)

    def ask_source(self, mailboxes: Sequence[str]) -> Iterator[Answer]:
        yield from self.world.answers["source"] or [Answer(f"{one}: mailbox", True, "It opens.") for one in mailboxes]

    def ask_target(self, mailboxes: Sequence[str]) -> Iterator[Answer]:
        yield from self.world.answers["target"] or [Answer("access token", True, "The app gets an access token.")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    def connected(config: object, stop: threading.Event, *, guard: Any = None, memory: Any = None) -> InMemory:
        return InMemory(made, guard)

    monkeypatch.setattr(app, "Connected", connected)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIGRATOR_SOURCE_PASSWORD", "source-hunter2")
    monkeypatch.setenv("MIGRATOR_TARGET_SECRET", "target-hunter2")
    (tmp_path / "migrator.toml").write_text(CONFIG, encoding="utf-8")
    lines = [
        "wave,source,target",
        *(f"{wave},{name}@old.example,{name}@new.example" for wave, name in zip("xy", NAMES, strict=True)),
    ]
    (tmp_path / "waves.csv").write_text("\n".join(lines), encoding="utf-8")
    return made


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs a command line; its exit code and stdout."""

    def type_it(*words: str) -> tuple[int, str]:
        code = cli.run(words)
        captured = capsys.readouterr()
        assert "hunter2" not in captured.out + captured.err, "no command prints a secret"
        return code, captured.out

    yield type_it
    logs.take_down()


Shell = Callable[..., tuple[int, str]]


def held(world: World, name: str) -> int:
    return len(world.targets[name].items)


def ledger_dump(tmp_path: Path) -> list[str]:
    with closing(sqlite3.connect(tmp_path / "migrator.db")) as ledger:
        return list(ledger.iterdump())


def test_a_run_carries_everything_and_says_so(world: World, shell: Shell) -> None:
    code, out = shell("run")
    assert code == 0
    assert (held(world, "anna"), held(world, "ben")) == (5, 5)
    assert "anna@old.example: seed pass begins" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("anna@old.example ")]
    assert rows == [["anna@old.example", "READY", "5", "5", "0", "0", "0.0"]]


def test_a_second_run_with_nothing_changed_carries_nothing(world: World, shell: Shell) -> None:
    shell("run")
    code, out = shell("--json", "run")
    told = json.loads(out)
    assert code == told["exit_code"] == 0
    assert [one["kind"] for one in told["mailboxes"]] == ["delta", "delta"]
    assert [one["figures"].get("created", 0) for one in told["mailboxes"]] == [0, 0]
    assert [(one["listed"], one["done"], one["state"]) for one in told["mailboxes"]] == [(5, 5, "READY")] * 2


def test_only_what_is_named_is_run_but_all_is_planned(world: World, shell: Shell) -> None:
    assert shell("run", "ben@old.example")[0] == 0
    assert (held(world, "anna"), held(world, "ben")) == (0, 5)
    states = {one["source"]: one["state"] for one in json.loads(shell("status", "--json")[1])["mailboxes"]}
    assert states == {"anna@old.example": "PLANNED", "ben@old.example": "READY"}


def test_refusals_end_with_2_and_are_counted(world: World, shell: Shell) -> None:
    mailbox = world.mailboxes["anna"]
    world.unfit = mailbox.put(mailbox.special(Role.INBOX), "huge")
    code, out = shell("run", "x", "--json", "--lane", "compose")
    [anna] = json.loads(out)["mailboxes"]
    assert code == anna["exit_code"] == 2
    assert (anna["listed"], anna["done"], anna["refused"]) == (6, 5, 1)


def test_a_held_mailbox_ends_with_4_and_status_begins_with_it(world: World, shell: Shell) -> None:
    world.blocked["anna"] = MailboxBlocked("the mailbox is full", mend="make room")
    code, out = shell("run")
    assert code == 4
    assert "anna@old.example: The mailbox is full. Make room." in out.splitlines()
    code, out = shell("status")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "A person is needed: of 2 mailboxes, 1 HELD; the cause says what to do."
    assert max(map(len, lines)) <= 100
    world.blocked.clear()
    assert shell("run")[0] == 0


def test_a_halt_ends_with_5(world: World, shell: Shell) -> None:
    world.blocked["anna"] = Halt("the secret is wrong", mend="renew it")
    assert shell("run", "anna@old.example")[0] == 5


def test_a_bug_in_one_mailbox_ends_with_70_and_its_traceback_is_in_the_log(world: World, shell: Shell, tmp_path: Path) -> None:
    world.blocked["anna"] = KeyError("the source-hunter2 of it")
    logs.hide("source-hunter2")
    code, out = shell("run")
    assert code == 70
    assert "migrator.log" in out
    assert held(world, "ben") == 5
    entries = [json.loads(line) for line in (tmp_path / "migrator.log").read_text(encoding="utf-8").splitlines()]
    [failed] = [entry for entry in entries if entry["event"] == "mailbox failed"]
    assert "KeyError" in failed["exception"]
    assert "hunter2" not in failed["exception"]


def test_a_dry_run_changes_neither_target_nor_ledger(world: World, shell: Shell, tmp_path: Path) -> None:
    code, out = shell("run", "--dry-run")
    assert code == 0
    assert "Dry run: nothing was written" in out
    assert (held(world, "anna"), held(world, "ben")) == (0, 0)
    assert not (tmp_path / "migrator.db").exists()
    shell("run")
    mailbox = world.mailboxes["anna"]
    mailbox.put(mailbox.special(Role.INBOX), "one more")
    before = ledger_dump(tmp_path)
    told = json.loads(shell("run", "--dry-run", "--json")[1])
    assert told["dry_run"] is True
    assert [one["figures"].get("created", 0) for one in told["mailboxes"]] == [1, 0]
    assert held(world, "anna") == 5
    assert ledger_dump(tmp_path) == before


def test_a_dry_run_on_a_database_server_is_refused_with_a_mend(world: World, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "migrator.toml").write_text(CONFIG + '[ledger]\nurl = "postgresql://me@db/ledger"\n', encoding="utf-8")
    code, out = shell("run", "--dry-run", "--json")
    assert code == 65
    assert "copy of the ledger" in json.loads(out)["error"]


def test_a_mailbox_keeps_its_target(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    waves = tmp_path / "waves.csv"
    waves.write_text(waves.read_text(encoding="utf-8").replace("ben@new", "benjamin@new"), encoding="utf-8")
    code, out = shell("run", "--json")
    assert code == 65
    assert "waves.csv line 3" in json.loads(out)["error"]


def test_a_ledger_of_another_tenant_is_refused(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    (tmp_path / "migrator.toml").write_text(CONFIG.replace("contoso", "fabrikam"), encoding="utf-8")
    assert shell("run")[0] == 65


def test_verify_finds_no_difference_then_names_one(world: World, shell: Shell) -> None:
    shell("run")
    code, out = shell("verify")
    assert code == 0
    assert "anna@old.example: no difference; 5 of 5 items compared equal." in out.splitlines()
    mailbox = world.mailboxes["anna"]
    mailbox.put(mailbox.special(Role.INBOX), "it came since")
    code, out = shell("verify", "x", "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 3, "another pass mends that"
    assert (told["differences"], told["mailboxes"][0]["differences"][0]["what"]) == (1, "not-listed")
    shell("run")
    lost = next(iter(world.targets["anna"].items))
    del world.targets["anna"].items[lost]
    code, out = shell("verify")
    assert code == 4, "a person is needed"
    assert "1 item" in out


def test_deep_verify_reads_the_content_and_names_what_differs(world: World, shell: Shell) -> None:
    shell("run")
    code, out = shell("verify", "--deep")
    assert code == 0
    assert "5 of 5 items have equal content" in out
    target = world.targets["anna"]
    item = next(iter(target.items.values()))
    item.content = replace(item.content, message=replace(item.content.message, body="Something else"))
    code, out = shell("verify", "--deep", "--json")
    assert code == 4
    told = json.loads(out)
    [difference] = told["mailboxes"][0]["content"]["differences"]
    assert (difference["what"], difference["items"], len(difference["keys"])) == ("text", 1, 1)
    assert told["differences"] == 1
    code, out = shell("verify", "--deep")
    assert "1 item arrived with another text." in out


def test_what_the_targets_user_changed_is_no_difference_of_content(world: World, shell: Shell) -> None:
    shell("run")
    target = world.targets["anna"]
    target.edit(next(iter(target.items)), body="My own words")
    code, out = shell("verify", "--deep")
    assert code == 0
    assert "1 changed by the target's user" in out


def test_what_changed_at_the_source_since_is_mended_by_another_pass(world: World, shell: Shell) -> None:
    shell("run")
    mailbox = world.mailboxes["anna"]
    mailbox.edit(next(iter(mailbox.items)), body="Edited")
    assert shell("verify", "--deep")[0] == 3
    shell("run")
    assert shell("verify", "--deep")[0] == 0


def test_a_sample_reads_so_many_items(world: World, shell: Shell) -> None:
    shell("run")
    told = json.loads(shell("verify", "--deep", "--sample", "2", "--json")[1])
    assert [mailbox["content"]["figures"]["compared"] for mailbox in told["mailboxes"]] == [2, 2]
    assert shell("verify", "--sample", "2")[0] == 64


def test_verify_goes_on_past_a_mailbox_that_is_blocked(world: World, shell: Shell) -> None:
    shell("run")
    world.blocked["anna"] = MailboxBlocked("the mailbox is locked", mend="unlock it")
    code, out = shell("verify")
    assert code == 4
    assert "anna@old.example: not compared. The mailbox is locked. Unlock it." in out.splitlines()
    assert "ben@old.example: no difference" in out


@pytest.mark.parametrize("command", ["verify", "report"])
def test_what_needs_a_ledger_says_so_when_there_is_none(world: World, shell: Shell, command: str, tmp_path: Path) -> None:
    code, out = shell(command, "--json")
    assert code == 65
    assert "migrator run" in json.loads(out)["error"]
    assert not (tmp_path / "migrator.db").exists()


def test_status_before_the_first_run_makes_no_ledger(world: World, shell: Shell, tmp_path: Path) -> None:
    code, out = shell("status")
    assert code == 0
    assert out.startswith("No mailbox is planned yet")
    assert not (tmp_path / "migrator.db").exists()


def test_report_writes_a_file_and_tells_its_figures(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    code, out = shell("report", "--out", str(tmp_path / "all.html"), "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 0
    assert told["report"] == str(tmp_path / "all.html")
    assert told["totals"]["done"] == 10
    assert "anna@old.example" in (tmp_path / "all.html").read_text(encoding="utf-8")


def test_check_asks_here_and_on_both_sides_and_writes_nothing(world: World, shell: Shell, tmp_path: Path) -> None:
    code, out = shell("check")
    assert code == 0
    assert "ok         source, mailbox of anna@old.example: It opens." in out.splitlines()
    assert out.splitlines()[-1] == "All is well."
    assert not (tmp_path / "migrator.db").exists()
    told = json.loads(shell("check", "y", "--json")[1])
    assert {one["mailbox"] for one in told["questions"] if one["side"] == "source"} == {"ben@old.example"}


def test_check_tells_a_no_for_all_from_a_no_for_one(world: World, shell: Shell) -> None:
    opens = Answer("anna@old.example: mailbox", True, "It opens.")
    closed = Answer("ben@old.example: mailbox", False, "It does not open.", "grant access")
    world.answers["source"] = [opens, closed]
    code, out = shell("check")
    assert code == 4
    assert "NO         source, mailbox of ben@old.example: It does not open." in out.splitlines()
    assert "mend: grant access" in out
    world.answers["source"] = [Answer("anna@old.example: mailbox", False, "No."), closed]
    assert shell("check")[0] == 5, "nobody's opens"
    world.answers["source"] = [
        Answer("sign-in", False, "The password is wrong.", "renew it"),
        Answer("mailbox", None, "not asked"),
    ]
    code, out = shell("check")
    assert code == 5
    assert "not asked  source, mailbox: not asked" in out.splitlines()


def test_check_asks_no_server_without_secrets(world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIGRATOR_SOURCE_PASSWORD")
    told = json.loads(shell("check", "--json")[1])
    assert told["exit_code"] == 5
    assert {one["side"] for one in told["questions"]} == {"here"}


def test_db_upgrade_says_what_it_did(world: World, shell: Shell) -> None:
    code, out = shell("db", "upgrade")
    assert code == 0
    assert "now" in out
    told = json.loads(shell("db", "upgrade", "--json")[1])
    assert told["before"] == told["after"]


def test_a_ledger_of_an_older_version_asks_for_the_upgrade(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    with closing(sqlite3.connect(tmp_path / "migrator.db")) as ledger, ledger:
        ledger.execute("update alembic_version set version_num = '0000'")
    code, out = shell("status", "--json")
    assert code == 65
    assert json.loads(out)["error"]
    assert shell("check")[0] == 5


def test_a_file_that_is_no_ledger_is_bad_input(world: World, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "migrator.db").write_bytes(b"not a database at all, whatever its name says" * 100)
    code, _ = shell("status")
    assert code == 65


def test_mailboxes_come_from_the_ledger_and_a_changed_file_is_taken_in_without_undoing_a_move(
    world: World, shell: Shell, tmp_path: Path
) -> None:
    shell("run")
    assert shell("wave", "move", "ben@old.example", "--into", "late")[0] == 0
    shell("run")
    waves = tmp_path / "waves.csv"
    waves.write_text(waves.read_text("utf-8") + "\nx,carla@old.example,carla@new.example\n", "utf-8")
    world.mailboxes["carla"], world.targets["carla"] = MemoryMailbox(), MemoryTarget()
    assert shell("run")[0] == 0
    known = {one["source"]: one["wave"] for one in json.loads(shell("status", "--json")[1])["mailboxes"]}
    assert known == {"anna@old.example": "x", "ben@old.example": "late", "carla@old.example": "x"}
    waves.unlink()
    [ben] = json.loads(shell("run", "late", "--json")[1])["mailboxes"]
    assert (ben["source"], ben["exit_code"]) == ("ben@old.example", 0)


def test_the_example_that_init_writes_is_nobodys_plan_once_there_is_one(world: World, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes((tmp_path / "waves.csv").read_bytes())
    (tmp_path / "waves.csv").unlink()
    assert shell("wave", "import", "mine.csv")[0] == 0
    (tmp_path / "waves.csv").write_bytes(example("waves.example.csv"))
    assert shell("run")[0] == 0
    assert len(json.loads(shell("status", "--json")[1])["mailboxes"]) == 2


def test_a_paused_wave_is_not_run_and_the_other_is(world: World, shell: Shell) -> None:
    shell("run")
    shell("wave", "pause", "x")
    code, out = shell("run", "--json")
    anna, ben = json.loads(out)["mailboxes"]
    assert (code, anna["exit_code"], ben["exit_code"]) == (3, 3, 0)
    assert "migrator wave resume x" in anna["cause"]


def test_check_asks_for_those_of_the_ledger_too(world: World, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes((tmp_path / "waves.csv").read_bytes())
    (tmp_path / "waves.csv").unlink()
    assert shell("check")[0] == 65
    shell("wave", "import", "mine.csv")
    code, out = shell("check", "y", "--json")
    assert code == 0
    assert "ben@old.example" in {one["mailbox"] for one in json.loads(out)["questions"]}


def test_a_wave_that_is_not_there_is_said_by_whoever_shows_one_wave(world: World, shell: Shell) -> None:
    shell("run", "x")
    for words in (("status",), ("status", "--waves"), ("status", "--folders"), ("report",), ("dashboard",)):
        code, out = shell("--json", *words, "--wave", "nix")
        assert (code, json.loads(out)["error"]) == (65, "nix is no wave; waves in the ledger: x, y."), words
    told = json.loads(shell("--json", "status", "--wave", "X")[1])
    assert [row["source"] for row in told["mailboxes"]] == ["anna@old.example"], "the case of its letters does not matter"


def test_verify_keeps_the_end_of_a_long_path_and_stays_on_a_line(world: World, shell: Shell) -> None:
    mailbox = world.mailboxes["anna"]
    folder = mailbox.add_folder("/".join(f"level {number}" for number in range(40)), parent=None)
    shell("run")
    mailbox.put(folder, "it came since")
    code, out = shell("verify", "x")
    [line] = [line for line in out.splitlines() if "no pass has met yet" in line]
    assert (code, len(line) < 140) == (3, True)
    assert line.startswith("  level 0/")
    assert "level 39: The source holds 1 item" in line


def test_check_says_that_the_waves_file_is_not_there_and_goes_by_the_ledger(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    (tmp_path / "waves.csv").unlink()
    code, out = shell("check")
    assert code == 0
    assert "waves.csv is not there; the ledger has: mailboxes 2, waves 2." in out


def test_what_stops_all_mailboxes_is_said_once_under_the_table(tmp_path: Path) -> None:
    from migrator.commands.carry import endings_table
    from migrator.waves.wave import Ending
    from state.store import Ledger

    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        rows = [ledger.plan_mailbox("w", f"{name}@old.example", f"{name}@new.example") for name in "abcdefg"]
    causes = ["The secret is wrong."] * 5 + ["It is full.", ""]
    told = endings_table([Ending(mailbox=row, kind=None, code=5, cause=cause) for row, cause in zip(rows, causes, strict=True)])
    assert told[-2:] == [
        "a@old.example, b@old.example and 3 more: The secret is wrong.",
        "f@old.example: It is full.",
    ]
    assert len(told) == 1 + 7 + 2
