"""Waves as an operator works with them: a spreadsheet comes in, waves are started and stopped, mailboxes change theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from migrator import cli, logs
from migrator.sheets import read_table
from state.model import MailboxState
from state.plans import WaveState
from state.store import Ledger

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:P"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:S"
"""

PEOPLE = """wave;source;target;kind;owner;Floor
pilot;anna@old.example;anna@new.example;user;Zoë;1
wave1;ben@old.example;ben@new.example;shared;;2
"""

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(
    either_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").write_text(f'{CONFIG}\n[ledger]\nurl = "{either_place}"\n', "utf-8")
    (tmp_path / "people.csv").write_text(PEOPLE, "utf-8")

    def type_it(*words: str) -> tuple[int, str, str]:
        code = cli.run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield type_it
    logs.take_down()


def told(shell: Shell, *words: str) -> dict[str, Any]:
    code, out, err = shell("--json", *words)
    assert code == 0, err
    return dict(json.loads(out))


@pytest.fixture
def ledger(shell: Shell, either_place: str) -> Iterator[Ledger]:
    """The project's ledger, with both people in it."""
    told(shell, "wave", "import", "people.csv", "--who", "ops")
    with Ledger.open(either_place) as opened:
        yield opened


def test_a_spreadsheet_is_planned_with_all_that_it_says(ledger: Ledger) -> None:
    assert [(row.wave, row.source, row.target, row.state) for row in ledger.mailboxes()] == [
        ("pilot", "anna@old.example", "anna@new.example", MailboxState.PLANNED),
        ("wave1", "ben@old.example", "ben@new.example", MailboxState.PLANNED),
    ]
    assert list(ledger.plans.details().values()) == [
        {"kind": "user", "owner": "Zoë", "extra": {"Floor": "1"}},
        {"kind": "shared", "extra": {"Floor": "2"}},
    ]
    [act] = ledger.plans.acts()
    assert (act.who, act.what, act.about["new"], act.about["changed"]) == ("ops", "wave import", 2, 0)


def test_a_dry_run_shows_all_of_it_and_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("wave", "import", "people.csv", "--dry-run")
    assert code == 0
    assert "new      anna@old.example to anna@new.example, in pilot" in out
    assert "2 mailboxes in the file would be planned: 2 new, 0 changed, 0 same." in out
    assert not (tmp_path / "migrator.db").exists()


def test_importing_again_updates_and_tells_who_is_missing(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    text = PEOPLE.splitlines()
    (tmp_path / "people.csv").write_text("\n".join([text[0], text[2].replace("shared;;2", "room;Ida;2"), ""]), "utf-8")
    found = told(shell, "wave", "import", "people.csv", "--dry-run")
    assert [one["changes"] for one in found["mailboxes"]] == [["kind shared becomes room", "owner nothing becomes Ida"]]
    assert ledger.plans.details()[2]["kind"] == "shared", "that was a dry run"
    found = told(shell, "wave", "import", "people.csv")
    assert [one["source"] for one in found["missing"]] == ["anna@old.example"]
    assert len(ledger.mailboxes()) == 2, "nobody is removed by a file that does not name them"
    assert ledger.plans.details()[2] == {"kind": "room", "owner": "Ida", "extra": {"Floor": "2"}}
    assert [one["what"] for one in told(shell, "wave", "import", "people.csv")["mailboxes"]] == ["same"]


def test_a_mailbox_that_was_moved_stays_until_the_file_says_something_new(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    assert told(shell, "wave", "move", "ben@old.example", "--into", "late", "--why", "ill")["moved"] == 1
    (tmp_path / "people.csv").write_text(PEOPLE.replace("Zoë", "Ida"), "utf-8")
    found = told(shell, "wave", "import", "people.csv")
    assert found["mailboxes"][1]["changes"] == ["stays in late, where somebody moved it"]
    assert ledger.mailboxes()[1].wave == "late"
    (tmp_path / "people.csv").write_text(PEOPLE.replace("wave1", "wave7"), "utf-8")
    told(shell, "wave", "import", "people.csv")
    assert ledger.mailboxes()[1].wave == "wave7"
    act = ledger.plans.acts(mailbox_id=2)[0]
    assert (act.what, act.wave, act.why, act.about) == ("wave move", "late", "ill", {"before": "wave1"})


def test_what_others_keep_of_a_mailbox_is_not_the_files_to_take_away(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    ledger.plans.describe(1, ledger.plans.details()[1] | {"withdrawn": True})
    (tmp_path / "people.csv").write_text(PEOPLE.replace("Zoë", ""), "utf-8")
    told(shell, "wave", "import", "people.csv")
    assert ledger.plans.details()[1] == {"kind": "user", "withdrawn": True, "extra": {"Floor": "1"}}


def test_a_target_may_be_mended_as_long_as_nothing_was_carried(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE.replace("ben@new", "benjamin@new"), "utf-8")
    told(shell, "wave", "import", "people.csv")
    assert ledger.mailboxes()[1].target == "benjamin@new.example"
    lease = ledger.lease(2, "me", 60.0)
    ledger.claimed(lease)
    ledger.release(lease)
    file.write_text(PEOPLE, "utf-8")
    code, _, err = shell("wave", "import", "people.csv")
    assert code == 65
    assert "people.csv line 3: ben@old.example is on its way to another target" in err


def test_a_target_that_another_mailbox_of_the_ledger_has_is_refused(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("source,target\ncarl@old.example,ANNA@new.example\n", "utf-8")
    code, _, err = shell("wave", "import", "more.csv")
    assert code == 65
    assert "line 2: the target ANNA@new.example is that of anna@old.example in the ledger" in err
    assert len(ledger.mailboxes()) == 2


def test_a_file_with_mistakes_is_told_line_by_line_and_taken_in_not_at_all(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE + ";nobody;x@new.example;;;\n;d@old.example;d@new.example;usr;;\n", "utf-8")
    code, _, err = shell("wave", "import", "people.csv")
    assert code == 65
    assert [line.partition("people.csv ")[2][:6] for line in err.splitlines()] == ["line 4", "line 5"]
    assert not (tmp_path / "migrator.db").exists()


def test_a_wave_is_paused_resumed_stopped_and_started_with_who_and_why(shell: Shell, ledger: Ledger) -> None:
    def state() -> WaveState:
        return ledger.plans.waves()["pilot"].state

    told(shell, "wave", "start", "PILOT", "--pilot", "--every-hours", "2", "--blackout", "Mon-Fri 08:00-18:00")
    assert told(shell, "wave", "pause", "pilot", "--why", "a holiday", "--who", "ops")["changed"]
    assert state() is WaveState.PAUSED
    assert not told(shell, "wave", "pause", "pilot")["changed"]
    told(shell, "wave", "resume", "pilot")
    assert state() is WaveState.OPEN
    told(shell, "wave", "stop", "pilot")
    assert state() is WaveState.STOPPED
    told(shell, "wave", "start", "pilot")
    assert ledger.plans.waves()["pilot"].details == {"pilot": True, "every_hours": 2.0, "blackout": "Mon-Fri 08:00-18:00"}
    whats = [(act.what, act.why) for act in ledger.plans.acts(wave="pilot")]
    assert whats == [
        ("wave start", ""), ("wave stop", ""), ("wave resume", ""), ("wave pause", "a holiday"), ("wave start", ""),
    ]  # fmt: skip


def test_a_pause_after_the_flip_says_that_late_mail_waits(shell: Shell, ledger: Ledger) -> None:
    row = ledger.plan_mailbox("pilot", "anna@old.example", "anna@new.example")
    assert told(shell, "wave", "pause", "pilot")["no_sweeps"] == []
    for state in ("SEEDING", "SYNCING", "READY", "LOCKED", "FINAL", "ROUTED", "SWEEPING"):
        ledger.move_mailbox(row.id, MailboxState(state), "")
    code, out, _ = shell("wave", "pause", "pilot")
    assert code == 0
    assert "mail that still comes to the old side waits there until `migrator wave resume pilot`" in out
    assert told(shell, "wave", "stop", "pilot")["no_sweeps"] == ["anna@old.example"]
    assert told(shell, "wave", "resume", "pilot")["no_sweeps"] == []


def test_a_schedule_is_kept_with_an_offset_and_taken_away_by_an_empty_text(shell: Shell, ledger: Ledger) -> None:
    words = ("wave", "start", "wave1", "--start-after", "2026-11-27 18:00", "--time-zone", "Europe/Berlin")
    assert told(shell, *words)["schedule"] == {"start_after": "2026-11-27T18:00+01:00", "time_zone": "Europe/Berlin"}
    assert told(shell, "wave", "start", "wave1", "--start-after", "")["schedule"] == {"time_zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "pilto"), "did you mean pilot?"),
        (("start", "pilot", "--blackout", "always"), "--blackout is not written like"),
        (("start", "pilot", "--start-after", "tomorrow"), "--start-after is no date"),
        (("start", "pilot", "--time-zone", "Berlin"), "--time-zone names no time zone"),
        (("move", "anna@old.example", "--into", "ben@old.example"), "a name without @"),
        (("retry", "ana@old.example"), "did you mean anna@old.example?"),
    ],
)
def test_what_is_typed_wrong_is_told_with_the_mend(shell: Shell, ledger: Ledger, words: tuple[str, ...], said: str) -> None:
    code, _, err = shell("wave", *words)
    assert code == 65
    assert said in err
    assert [act.what for act in ledger.plans.acts()] == ["wave import"]


def test_held_and_failed_mailboxes_go_on_with_a_next_wave(shell: Shell, ledger: Ledger) -> None:
    for state in (MailboxState.SEEDING, MailboxState.HELD):
        ledger.move_mailbox(1, state, "The mailbox is full.")
    found = told(shell, "wave", "retry", "anna@old.example", "ben@old.example", "--into", "late")
    assert found["mailboxes"] == [{"source": "anna@old.example", "wave": "late", "state": "SEEDING"}]
    assert ledger.mailboxes()[1].wave == "wave1", "who is well stays where it is"
    assert [act.what for act in ledger.plans.acts(mailbox_id=1)] == ["wave retry", "wave move"]
    assert "nothing was changed" in shell("wave", "retry", "late")[1]


def test_waves_are_listed_and_shown(shell: Shell, ledger: Ledger, tmp_path: Path) -> None:
    told(shell, "wave", "start", "pilot", "--pilot")
    _, out, _ = shell("wave", "list")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["WAVE", "STATE", "MAILBOXES"], ["pilot", "OPEN", "1"], ["wave1", "OPEN", "1"],
    ]  # fmt: skip
    assert max(map(len, out.splitlines())) <= 100
    (tmp_path / "out.csv").write_text(shell("wave", "list", "--csv")[1], "utf-8")
    assert read_table(tmp_path / "out.csv").lines[0].cells == ("pilot", "OPEN", "1", "0", "0", "0", "pilot, every 4 h")
    _, out, _ = shell("wave", "show", "pilot")
    assert "anna@old.example to anna@new.example: PLANNED" in out
    assert "  extra: Floor: 1" in out
    assert told(shell, "wave", "show", "wave1")["list"][0]["details"]["kind"] == "shared"


def test_without_a_ledger_the_way_to_one_is_said(shell: Shell, either_place: str) -> None:
    if not either_place.startswith("sqlite"):
        return  # a database server's ledger is made by `db upgrade`, and is there
    code, _, err = shell("wave", "list")
    assert code == 65
    assert "migrator wave import" in err


def test_what_serve_would_do_is_said_and_nothing_is_run(shell: Shell, ledger: Ledger) -> None:
    told(shell, "wave", "start", "wave1", "--start-after", "2099-01-01 08:00", "--time-zone", "UTC")
    code, out, _ = shell("serve", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "due    anna@old.example (pilot, PLANNED)",
        "waits  ben@old.example (wave1) until 2099-01-01T08:00:00+00:00: It starts then.",
        "Dry run: nothing was run.",
    ]
    assert [one["mailbox"] for one in told(shell, "serve", "--dry-run")["waits"]] == ["ben@old.example"]
    assert not ledger.passes()
