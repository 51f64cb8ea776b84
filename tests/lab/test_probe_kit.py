"""The questions of the probe's kit about sessions and requests at once: each as documented, and the other way round."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_deep import a_rich_mail
from test_probe import by_question, kept, put, truth

from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate
from migrator import app, cli, config
from migrator.probe.answers import AT_ONCE, SHARED, known_of

Ask = Callable[..., dict[tuple[str, str], dict[str, Any]]]
PILOTS = ("pilot@contoso.test", "second@contoso.test")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two pilots with one mail each, and a tenant that holds its documented limits and takes its time."""
    estate = Estate()
    for number, address in enumerate(PILOTS):
        mailbox = an_empty(number, 1)
        mailbox.address = address
        put(estate.add(mailbox), "inbox", copy.deepcopy(a_rich_mail()))
    plan = LabPlan(folder=tmp_path / "lab", source=estate, mailboxes=2, limits="documented", speed=20.0)
    with Lab(plan) as lab:
        lab.options[1].latency = 0.1
        yield lab


@pytest.fixture
def ask(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Ask:
    """One probe of the first pilot by the real command; its replies by question."""

    def probe(*words: str, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
        capsys.readouterr()
        ended = cli.run(["-c", str(lab.config_file), "--json", "probe", "--mailbox", PILOTS[0], *words])
        said = capsys.readouterr()
        assert ended == code, said.out + said.err
        return by_question(json.loads(said.out)) if code == 0 else {}

    return probe


def everything(lab: Lab) -> list[Any]:
    return [truth(mailbox) for estate in (lab.source, lab.target) for mailbox in estate.mailboxes.values()]


def test_four_requests_at_once_are_answered_and_the_import_address_counts_among_them(lab: Lab, ask: Ask) -> None:
    before = everything(lab)
    told = ask()
    assert told[AT_ONCE, ""]["answer"] == "4"
    assert told[AT_ONCE, ""]["code"] == "ApplicationThrottled"
    assert told["budgets shared", ""]["answer"] == "yes"
    assert told[SHARED, ""]["answer"] == "not asked"
    assert "--beside" in told[SHARED, ""]["detail"]
    assert told["import session end", ""]["answer"] == "not asked"
    assert everything(lab) == before
    known = known_of(kept(lab), "")
    assert (known.at_once, known.shared) == (4, False)


def test_a_tenant_that_does_everything_the_other_way_is_told_so(lab: Lab, ask: Ask) -> None:
    stranger = an_empty(7, 1)
    stranger.address = "stranger@contoso.test"
    lab.target.add(stranger)
    tenant = lab.options[1]
    tenant.at_once, tenant.import_apart, tenant.import_once = 2, True, True
    tenant.out_of_scope.add(stranger.address)
    told = ask("--outside", stranger.address)
    assert told[AT_ONCE, ""]["answer"] == "2"
    assert known_of(kept(lab), "").at_once == 2
    assert told["budgets shared", ""]["answer"] == "no"
    assert told["import twice", ""]["answer"] == "one item"
    assert (told["scope refusal", ""]["answer"], told["scope refusal", ""]["code"]) == ("yes", "ErrorAccessDenied")


def test_two_mailboxes_have_a_number_each_or_share_one(lab: Lab, ask: Ask) -> None:
    before = everything(lab)
    assert ask("--beside", PILOTS[1])[SHARED, ""]["answer"] == "no"
    lab.options[1].at_once_of_app = True
    assert ask("--beside", PILOTS[1])[SHARED, ""]["answer"] == "yes"
    assert known_of(kept(lab), "").shared
    assert everything(lab) == before


def test_what_comes_back_without_telling_anything_is_open(lab: Lab, ask: Ask) -> None:
    lab.options[1].at_once, lab.options[1].session_seconds = 100, 9000.0
    told = ask("--beside", PILOTS[1], "--outside", "nobody@contoso.test", "--allow", "waiting")
    assert told[AT_ONCE, ""]["answer"] == "at least 8"
    assert told["budgets shared", ""]["answer"] == told[SHARED, ""]["answer"] == "open", (
        "eight tell nothing about who shares them"
    )
    assert known_of(kept(lab), "").at_once is None, "more than the documented number is never used"
    assert told["import session end", ""]["answer"] == "open", "two and a half hours are not waited for"
    assert told["scope refusal", ""]["answer"] == "open", "an address that no mailbox has says nothing about the app's scope"


@pytest.mark.parametrize(("honoured", "answer"), [(0.0, "as told"), (60.0, "late"), (-3.0, "early")])
def test_a_session_is_held_against_its_own_word(lab: Lab, ask: Ask, honoured: float, answer: str) -> None:
    lab.options[1].latency = 0.0
    lab.options[1].session_seconds, lab.options[1].session_honoured = 4.0, honoured
    before = everything(lab)
    told = ask("--allow", "waiting")
    assert told["import session end", ""]["answer"] == answer
    assert everything(lab) == before


def test_a_second_pilot_has_to_be_another_planned_mailbox(ask: Ask) -> None:
    ask("--beside", PILOTS[0], code=65)
    ask("--beside", "nobody@contoso.test", code=65)


def test_a_run_keeps_to_what_a_probe_measured_and_status_foresees_it(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = config.load(lab.config_file)
    with app.open_ledger(loaded) as ledger:
        for row in app.planned(loaded, ledger):
            assert row.target
        ledger.plans.answer(AT_ONCE, "", "", "2")
        ledger.plans.answer(SHARED, "", "", "yes")
        limits = app.measured(loaded, ledger).target.limits
    assert (limits.concurrency, limits.concurrency_scope) == (2, "app")
    assert cli.run(["-c", str(lab.config_file), "run"]) == 0
    log = (lab.folder / "migrator.log").read_text("utf-8")
    assert "limits follow a probe" in log
    capsys.readouterr()
    assert cli.run(["-c", str(lab.config_file), "status", "--waves"]) == 0
    assert cli.run(["-c", str(lab.config_file), "show", PILOTS[0]]) == 0
    assert "2 requests at once" in capsys.readouterr().out
