"""What probes were answered, as the report, ``show`` and the limits take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.config import LimitsSection
from migrator.forecast import Span, Stretch, rates, together
from migrator.probe.answers import AT_ONCE, IMPORT_CAP, LANE_IMPORT, SHARED, known_of, narrowed, slowed_by
from migrator.probe.kit import QUESTIONS
from migrator.reporting.gathering import gather
from migrator.reporting.pages import report_page
from migrator.reporting.probed import sayings
from migrator.reporting.told import told
from migrator.reporting.words import language
from state.plans import Answer
from state.store import Ledger


def answer(question: str, said: str, subject: str = "", build: str = "") -> Answer:
    return Answer(question=question, subject=subject, build=build, at=1.0, answer=said, detail="")


EVERY = [
    answer(LANE_IMPORT, "yes", "IPM.Note", "15.1.2507"), answer(LANE_IMPORT, "no", "IPM.Task", "15.1.2507"),
    answer(LANE_IMPORT, "differs", "IPM.Contact", "15.1.2507"), answer("import session life", "3600"),
    *(answer("import session end", word) for word in ("as told", "early", "late")),
    *(answer("import twice", word) for word in ("two items", "one item")),
    *(answer("import update", word) for word in ("yes", "no", "without a check")),
    *(answer("compose mail", word) for word in ("yes", "no", "differs")),
    *(answer(IMPORT_CAP, word) for word in ("36000000", "none up to 4000000")),
    *(answer(AT_ONCE, word) for word in ("4", "1", "at least 8")),
    *(answer(name, word) for name in ("budgets shared", SHARED, "scope refusal") for word in ("yes", "no")),
    answer("mail sent", "no"), *(answer("removal leaves in the bin", word) for word in ("yes", "no")),
]  # fmt: skip


@pytest.mark.parametrize("code", ["en", "de"])
def test_every_answer_that_a_probe_keeps_has_a_sentence_of_its_own(code: str) -> None:
    found = sayings(EVERY)
    assert "probe.other" not in {one.key for one in found}
    said = [language(code).say(one) for one in found]
    assert len(set(said)) == len(said) == len(EVERY) - 1, "two classes are composed, in one sentence"
    assert not any("{" in one for one in said)
    asked = {question.name for question in QUESTIONS} - {"meeting as a draft", "rebuilt stream"}
    assert {one.question for one in EVERY} == asked


def test_the_report_says_what_this_source_build_was_found_to_do(tmp_path: Path) -> None:
    english = language("en")
    with Ledger.open(f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}") as ledger:
        assert "No pilot was asked yet" in report_page(gather(ledger), english)
        ledger.plans.answer(LANE_IMPORT, "IPM.Task", "15.1.2507.66", "no", "refused")
        ledger.plans.answer(IMPORT_CAP, "", "", "36000000")
        page, values = report_page(gather(ledger), english), told(gather(ledger))
    assert any("15.1.2507.66" in one and "IPM.Task" in one for one in values["probed"])
    assert any("36 MB" in one and "27 MB" in one for one in values["probed"])
    assert all(one in page for one in values["probed"])
    assert "No pilot was asked yet" not in page


def test_limits_follow_what_was_measured_and_never_become_wider() -> None:
    limits = LimitsSection()
    assert narrowed(limits, known_of([], "")) == limits
    assert narrowed(limits, known_of([answer(AT_ONCE, "2")], "")).concurrency == 2
    assert narrowed(limits, known_of([answer(AT_ONCE, "8")], "")) == limits
    assert narrowed(limits, known_of([answer(AT_ONCE, "at least 8")], "")) == limits
    assert narrowed(limits, known_of([answer(SHARED, "yes")], "")).concurrency_scope == "app"
    assert narrowed(LimitsSection(concurrency_scope="app"), known_of([answer(SHARED, "no")], "")).concurrency_scope == "app"


def test_mailboxes_that_share_a_budget_may_win_nothing_by_going_on_at_once() -> None:
    hour = Span(3600.0, 3600.0)
    assert together([hour] * 4, 4) == Span(3600.0, 3600.0)
    assert together([hour] * 4, 4, apart=1) == Span(3600.0, 4 * 3600.0)
    assert together([hour] * 4, 4, apart=2) == Span(3600.0, 2 * 3600.0)
    assert together([hour] * 4, 2, apart=3) == together([hour] * 4, 2)


def test_what_was_brought_with_more_requests_at_once_counts_in_part_for_the_far_end() -> None:
    assert slowed_by("2", 50.0) == (50.0, 0.5)
    assert slowed_by("4", 50.0) is slowed_by("at least 8", 50.0) is slowed_by("", 0.0) is None
    before = rates([Stretch(0.0, 3600.0, 4e9, 1000.0)], 7200.0)
    after = rates([Stretch(0.0, 3600.0, 4e9, 1000.0, worth=0.5)], 7200.0)
    assert (after.running, after.running_items) == (before.running, before.running_items)
    assert (after.overall, after.overall_items) == (before.overall / 2, before.overall_items / 2)
