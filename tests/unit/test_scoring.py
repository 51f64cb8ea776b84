"""The scoring rule is open: a file says what counts, and the grade follows from the ledger's counts alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrator import cli
from migrator.config import BadInput
from migrator.engine.shortfall import SIGHT
from migrator.errors.advice import REASONS
from migrator.scoring import Measured, measure, packaged, read_rule, score, sentences
from state.model import ItemState, Open, PassKind, PassState, Row, Step, Work
from state.store import Ledger

RULE = read_rule()


def test_everything_arrived_is_perfect_and_completes() -> None:
    found = score(Measured(items=1000), RULE)
    assert (found.grade, found.may_complete, found.by, found.why) == ("perfect", True, "", "everything arrived")
    assert found.version == RULE.version


def test_a_few_of_many_are_good_and_need_nobody() -> None:
    found = score(Measured(items=10_000, refused={"too-large": 8}), RULE)
    assert (found.grade, found.may_complete, found.by) == ("good", True, "")


def test_the_same_few_of_a_small_mailbox_are_investigated() -> None:
    found = score(Measured(items=500, refused={"too-large": 8}), RULE)
    assert (found.grade, found.may_complete) == ("investigate", False)
    assert found.by == "the lead of the migration"
    assert found.why == "8 items that did not go and nobody approved yet"


def test_approval_lets_it_complete_but_makes_it_no_better() -> None:
    found = score(Measured(items=500, refused={"too-large": 8}, approved=8), RULE)
    assert (found.grade, found.may_complete, found.by) == ("investigate", True, "")


def test_a_great_loss_is_poor_and_more_people_are_asked() -> None:
    found = score(Measured(items=500, refused={"corrupt": 250}), RULE)
    assert found.grade == "poor"
    assert "owner" in found.by


def test_nothing_completes_while_something_is_still_to_be_carried() -> None:
    found = score(Measured(items=500, pending=1), RULE)
    assert (found.grade, found.may_complete, found.why) == ("perfect", False, "1 item still to be carried")


def test_a_mailbox_that_no_pass_has_read_has_no_grade_and_does_not_complete(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example")
    found = score(measure(ledger, [row.id])[row.id], RULE)
    assert (found.grade, found.may_complete) == ("none yet", False)
    assert found.why == "no pass of it came to its end yet"


def test_what_is_not_accounted_for_can_not_be_approved_item_by_item() -> None:
    found = score(Measured(items=500, unaccounted=20), RULE)
    assert not found.may_complete
    assert "--folders" in found.why


def test_a_reason_may_count_for_less_than_its_state() -> None:
    plain = score(Measured(items=100, withheld={"could-send-cancellation": 10}), RULE)
    light = score(Measured(items=100, withheld={"could-send-receipt": 10}), RULE)
    assert light.points < plain.points


def test_a_mailbox_without_items_is_perfect() -> None:
    assert score(Measured(items=0), RULE).grade == "perfect"


def test_the_packaged_rule_names_only_reasons_that_there_are() -> None:
    assert set(RULE.points.reason) <= set(REASONS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('version = "1"', ""), "version. is missing"),
        (("refused = 1.0", "refused = -1.0"), "has to be at least 0"),
        (("refused = 1.0", "refusd = 1.0"), "refusd"),
        (('name = "poor"\n', 'name = "poor"\nmost = 5\n'), "the last grade, poor, has limits"),
        (('completes = "yes"', 'completes = "maybe"'), "none of"),
        (("[points]", "[points"), "is not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rule_is_named(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(packaged().read_text("utf-8").replace(*change), "utf-8")
    with pytest.raises(BadInput, match=says) as told:
        read_rule(str(file))
    assert str(file) in str(told.value)


def test_a_rule_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        read_rule(str(tmp_path / "nowhere.toml"))


def test_the_ledger_is_measured_as_it_is(ledger: Ledger) -> None:
    mailbox_id = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example").id
    other = ledger.plan_mailbox("w", "ben@old.example", "ben@new.example").id
    lease = ledger.lease(mailbox_id, "me", 60)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 4)], 1)
    states = [ItemState.DONE, ItemState.REFUSED, ItemState.WITHHELD, ItemState.LISTED]
    ledger.settle(
        lease,
        [
            Step(
                None,
                Row(key=bytes([number]) * 16, folder_id=folder.id, state=state, size=10),
                None if state is ItemState.DONE else Open(item_id=str(number), work=Work.CREATE, reason="too-large"),
            )
            for number, state in enumerate(states)
        ],
    )
    number = ledger.begin_pass(lease, PassKind.SEED)
    ledger.end_pass(lease, number, PassState.DONE, "", {f"unaccounted.{folder.id}": -2})
    ledger.plans.observe(mailbox_id, SIGHT, {"headers": 2, "body": 1})
    found = measure(ledger)
    assert found[mailbox_id] == Measured(
        items=4, pending=1, refused={"too-large": 1}, withheld={"too-large": 1}, degraded=3, unaccounted=2
    )
    assert found[other] == Measured(items=0, read=False)
    assert measure(ledger, [mailbox_id]) == {mailbox_id: found[mailbox_id]}


def test_an_item_that_is_carried_again_counts_once_for_what_it_lacks(ledger: Ledger) -> None:
    mailbox_id = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example").id
    lease = ledger.lease(mailbox_id, "me", 60)
    ledger.plans.observe(mailbox_id, SIGHT, {"attendees": 1})
    for kind in (PassKind.SEED, PassKind.DELTA, PassKind.DELTA):
        ledger.end_pass(lease, ledger.begin_pass(lease, kind), PassState.DONE, "", {"degraded.attendees": 1})
    assert measure(ledger)[mailbox_id].degraded == measure(ledger, [mailbox_id])[mailbox_id].degraded == 1


def test_the_command_grades_every_mailbox_and_prints_its_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "very secret")
    config = tmp_path / "migrator.toml"
    config.write_text(
        '[source]\nurl = "https://ex.example"\nusername = "u"\npassword = "env:PASSWORD"\n'
        '[target]\ntenant_id = "t"\nclient_id = "c"\nsecret = "env:PASSWORD"\n',
        "utf-8",
    )
    with Ledger.open(f"sqlite:///{tmp_path / 'migrator.db'}") as ledger:
        row = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
        lease = ledger.lease(row.id, "me", 60)
        ledger.end_pass(lease, ledger.begin_pass(lease, PassKind.SEED), PassState.DONE, "", {})
    assert cli.run(["-c", str(config), "errors", "score"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Under rule 1, 1 of 1 mailboxes may complete."
    assert said[3].split() == ["anna@old.example", "perfect", "0", "0.00", "yes", "everything", "arrived"]
    assert cli.run(["-c", str(config), "errors", "score", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mailboxes"][0]["grade"] == "perfect"
    assert cli.run(["-c", str(config), "errors", "score", "--rule"]) == 0
    assert capsys.readouterr().out == packaged().read_text("utf-8")


def test_the_page_before_a_cutover_counts_grades_and_names_who_may_not() -> None:
    scores = {
        "anna@old.example": score(Measured(items=10), RULE),
        "ben@old.example": score(Measured(items=500, refused={"too-large": 8}), RULE),
        "carla@old.example": score(Measured(items=10), RULE),
    }
    assert sentences(scores) == [
        "By scoring rule 1: 2 perfect, 1 investigate.",
        "ben@old.example may not complete by that rule: 8 items that did not go and nobody approved yet;"
        " the lead of the migration has to approve.",
    ]
    assert sentences({}) == []
