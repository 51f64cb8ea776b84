"""``migrator settings`` as a user types it: a plan first, then the writing, the scripts and the report; killed and run again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_contracts import CONTRACTS, needs_contracts

from connectors.lab.server import Lab, LabPlan
from connectors.settings import Deed, Rule, Settings
from migrator import app, cli, logs
from migrator.config import load

Say = Callable[..., str]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=3, items=0, log=tmp_path / "log" / "x.jsonl")) as lab:
        # The lab's own lease is so short that on a busy machine it runs out within a command.
        lab.config_file.write_text(lab.config_file.read_text("utf-8").replace("lease = 5.0", "lease = 60.0"), "utf-8")
        yield lab


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Runs a command over a lab, in this process, and gives what it said."""

    def said(lab: Lab, *words: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = cli.run(("-c", str(lab.config_file), *words))
        told = capsys.readouterr()
        assert ended == code, told.err + told.out
        return told.out + told.err

    yield said
    logs.take_down()


def target_truth(lab: Lab) -> dict[str, Settings]:
    """What the tenant holds by mailbox; ids differ from run to run: folders are named instead."""
    config, stop = load(lab.config_file), threading.Event()
    found: dict[str, Settings] = {}
    with app.open_ledger(config) as ledger, app.Connected(config, stop) as connectors:
        for row in ledger.mailboxes():
            told = connectors.target_settings(row).read()
            names = {str(folder.target_id): folder.name for folder in ledger.folders(row.id)}
            found[row.target] = replace(told, rules=tuple(with_names(rule, names) for rule in told.rules))
    return found


def with_names(rule: Rule, names: dict[str, str]) -> Rule:
    actions = tuple(
        replace(one, values=tuple(names[value] for value in one.values)) if one.deed in (Deed.MOVE, Deed.COPY) else one
        for one in rule.actions
    )
    return replace(rule, id="", actions=actions)


def test_a_plan_is_shown_first_and_writes_nothing_anywhere(lab: Lab, say: Say) -> None:
    say(lab, "run")
    before, writes = target_truth(lab), lab.seen.writes
    shown = say(lab, "settings")
    assert say(lab, "settings", "--plan").splitlines()[0] == shown.splitlines()[0]
    assert "would be written  rule Newsletters (on): it stays off until you say --enable-rules" in shown
    assert "it stays off until you name it with --enable-rule" in shown
    assert "in the script     mailbox access" in shown
    assert "Nothing was written; `migrator settings --apply` does it." in shown
    assert "No rule of these mailboxes is called Nosuch." in say(lab, "settings", "--enable-rule", "Nosuch")
    assert (target_truth(lab), lab.seen.writes) == (before, writes)
    assert not (lab.folder / "powershell").exists()


def test_applied_it_is_there_and_the_report_and_the_ledger_say_so(lab: Lab, say: Say) -> None:
    say(lab, "run")
    told = json.loads(say(lab, "settings", "--apply", "--json"))
    assert told["exit_code"] == 0
    assert [one["written"] for one in told["mailboxes"]] == [one["carried"] for one in told["mailboxes"]]
    assert [Path(file).name for file in told["scripts"]] == ["collect-onprem.ps1", "settings-wave1.ps1", "settings-wave1.csv"]
    again = json.loads(say(lab, "settings", "--apply", "--json"))
    assert [one["written"] for one in again["mailboxes"]] == [0, 0, 0]
    report = json.loads(say(lab, "report", "--json", "--out", str(lab.folder / "report.html")))
    for line, one in zip(report["mailboxes"], again["mailboxes"], strict=True):
        assert line["settings"] == {word: one[word] for word in ("carried", "waiting", "listed", "scripted")}
        assert line["settings"]["listed"] >= 5
    assert "Off until you say more" in (lab.folder / "report.html").read_text("utf-8")
    assert all(not mailbox.sent for mailbox in lab.target.mailboxes.values())
    script = (lab.folder / "powershell" / "settings-wave1.ps1").read_text("utf-8-sig")
    assert "'o''hara@contoso.test'" in script
    first, second = told["mailboxes"][0], told["mailboxes"][1]
    assert f"'{second['target']}' @('Reviewer')" in script, "colleagues are named by where they went"
    assert (
        f"'{first['target']}' 'Calendar' '' 'assistant@contoso.test' @('Editor') @('Delegate', 'CanViewPrivateItems')" in script
    )


def test_no_log_and_no_ledger_holds_a_third_persons_address(lab: Lab, say: Say) -> None:
    say(lab, "run")
    say(lab, "settings", "--apply")
    for file in (lab.folder / "migrator.log", *lab.folder.glob("migrator.db*")):
        content = file.read_bytes()
        for address in (b"o'hara@contoso.test", b"assistant@contoso.test", b"outside@example.org", b"boss@contoso.test"):
            assert address not in content, file


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--plan", "--apply"), "give one of them"), (("nobody@x.test",), "nobody@x.test")],
)
def test_what_is_typed_wrong_is_one_sentence(lab: Lab, say: Say, words: tuple[str, ...], said: str) -> None:
    say(lab, "run")
    assert said in say(lab, "settings", *words, code=64 if "--plan" in words else 65)


def test_without_a_ledger_it_says_what_makes_one(lab: Lab, say: Say) -> None:
    assert "`migrator run` makes it" in say(lab, "settings", code=65)


def test_a_mailbox_that_does_not_open_is_held_and_the_others_go_on(lab: Lab, say: Say) -> None:
    say(lab, "run")
    exchange, _ = lab.options
    barred, *others = sorted(lab.source.mailboxes)
    exchange.impersonation_scope = set(others)
    told = json.loads(say(lab, "settings", "--apply", "--json", code=4))
    assert list(told["held"]) == [barred]
    assert [one["mailbox"] for one in told["mailboxes"]] == others
    exchange.impersonation_scope = None
    assert "is held" not in say(lab, "settings", "--apply")


def test_a_mailbox_that_a_pass_is_at_is_paused_and_the_others_go_on(lab: Lab, say: Say) -> None:
    say(lab, "run")
    with app.open_ledger(load(lab.config_file)) as ledger:
        busy, *others = ledger.mailboxes()
        lease = ledger.lease(busy.id, "somebody else", 60.0)
        told = json.loads(say(lab, "settings", "--apply", "--json", code=3))
        assert list(told["paused"]) == [busy.source]
        assert [one["mailbox"] for one in told["mailboxes"]] == [row.source for row in others]
        ledger.release(lease)
    told = json.loads(say(lab, "settings", "--apply", "--json"))
    assert [bool(one["written"]) for one in told["mailboxes"]] == [True, False, False]


def test_an_app_that_may_not_write_settings_is_told_so(lab: Lab, say: Say) -> None:
    say(lab, "run")
    _, tenant = lab.options
    tenant.roles = tuple(role for role in tenant.roles if not role.startswith("MailboxSettings"))
    shown = say(lab, "settings", code=4)
    assert "is held" in shown


@pytest.mark.timeout(300)
def test_killed_anywhere_and_run_again_it_ends_as_if_nobody_had_killed_it(lab: Lab, say: Say) -> None:
    say(lab, "run")
    command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), "settings", "--apply", "--enable-rules"]
    _, tenant = lab.options
    tenant.latency = 0.05
    # What a killed process leaves is a lease; it need not be long where everything is near.
    lab.config_file.write_text(lab.config_file.read_text("utf-8").replace("lease = 60.0", "lease = 2.0"), "utf-8")
    kills = 0
    deadline = time.monotonic() + 200
    while kills < 3:
        assert time.monotonic() < deadline
        writes = lab.seen.writes
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while lab.seen.writes < writes + 5 and process.poll() is None:
                time.sleep(0.005)
            if process.poll() is None:
                kills += 1
            else:
                # The lease of the one that was killed has to run out.
                assert process.returncode == 3
                time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
    tenant.latency = 0.0
    while (ended := cli.run(("-c", str(lab.config_file), "settings", "--apply", "--enable-rules"))) == 3:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert ended == 0
    killed = target_truth(lab)
    with Lab(LabPlan(mailboxes=3, items=0)) as fresh:
        say(fresh, "run")
        say(fresh, "settings", "--apply", "--enable-rules")
        assert killed == target_truth(fresh)
    assert all(not mailbox.sent for mailbox in lab.target.mailboxes.values())


@needs_contracts
def test_both_wires_keep_to_the_vendors_descriptions(lab: Lab, say: Say) -> None:
    say(lab, "run")
    words = ("--apply", "--enable-rules", "--enable-replies", "--enable-rule", "to my assistant")
    say(lab, "settings", *words)
    log = lab.folder / "log"
    lab.stop()
    for face, checker in (("graph", "validate_graph.py"), ("ews", "validate_ews.py")):
        done = subprocess.run(
            [sys.executable, str(CONTRACTS / checker), str(log / f"x-{face}.jsonl"), "--only-errors"],
            capture_output=True,
            text=True,
        )
        errors = [line for line in done.stdout.splitlines() if ": E " in line and "/admin/exchange/mailboxes/" not in line]
        assert errors == []
        assert done.returncode in (0, 1), done.stderr[-500:]
