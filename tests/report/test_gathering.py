"""One gathering from the ledger alone: its sums are the ledger's, and it asks as much for sixty mailboxes as for five."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import event

from migrator.cutover.work import take_in_again, withdraw
from migrator.reporting.gathering import gather
from migrator.reporting.names import BLOT, veiled
from migrator.reporting.told import told
from migrator.waves import match
from state.model import Choice, Decision, ItemState, MailboxState, Open, PassKind, PassState, Row, Step
from state.store import Ledger

NOW = 1_795_550_000.0


def furnished(ledger: Ledger) -> None:
    """Two mailboxes: one with three items carried, one refused, one filtered, one withheld, one old; one held."""
    first = ledger.plan_mailbox("pilot", "Anna@old.test", "anna@new.test")
    second = ledger.plan_mailbox("second", "ben@old.test", "ben@new.test")
    lease = ledger.lease(first.id, "test", 600)
    number = ledger.begin_pass(lease, PassKind.SEED)
    [inbox] = ledger.record_folders(lease, [("i", None, "Inbox", "IPF.Note", "inbox", 7)], 1)
    states = [ItemState.DONE] * 3 + [ItemState.REFUSED, ItemState.FILTERED, ItemState.WITHHELD, ItemState.BACKFILL]
    steps = []
    for at, state in enumerate(states):
        row = Row(key=bytes([at]) * 16, folder_id=inbox.id, state=state, version=b"v" * 8, size=100 * (at + 1))
        why = {ItemState.REFUSED: "too-large", ItemState.FILTERED: "before 2016", ItemState.WITHHELD: "could-send-receipt"}
        detail = "from eve@elsewhere.test" if state in why else ""
        opened = None if state is ItemState.DONE else Open(item_id=str(at), reason=why.get(state, ""), detail=detail)
        steps.append(Step(None, row, opened))
    ledger.record_page(lease, inbox.id, steps, cursor=None, fingerprint="", complete=True, generation=1)
    figures = {
        "created": 3.0,
        "bytes": 600.0,
        "target.waited.upload_bytes": 125.0,
        "target.waited.slots": 9e9,
        "degraded.attendees": 2.0,
    }
    ledger.end_pass(lease, number, PassState.DONE, "", figures)
    ledger.release(lease)
    ledger.move_mailbox(second.id, MailboxState.HELD, "The rule of eve@elsewhere.test stops ben@old.test.")
    decided = Decision(
        mailbox_id=first.id, key=bytes([3]) * 16, version=b"v" * 8, reason="too-large", decision=Choice.APPROVED, who="j.doe",
        why="Anna has a copy", at=NOW,
    )  # fmt: skip
    ledger.approvals.decide([decided])
    ledger.plans.describe(first.id, {"owner": "Kim", "complete_after": "2026-12-04T18:00:00+00:00"})
    ledger.plans.observe(
        first.id, "arrivals", {"late": {"scanner.old.test": 3}, "sent_from_old": 1, "last_in_source": "2026-11-24"}
    )


def test_the_figures_are_those_of_the_ledger(ledger: Ledger) -> None:
    furnished(ledger)
    facts = gather(ledger, now=NOW)
    anna, ben = facts.mailboxes
    assert (anna.listed, anna.done, anna.refused, anna.withheld, anna.filtered, anna.backfill) == (7, 3, 1, 1, 1, 1)
    assert (anna.approved, anna.pending, anna.unlisted, anna.share) == (1, 0, 0, 6 / 7)
    assert (anna.bytes, anna.counted, anna.balance, anna.owner, anna.late, anna.sent_from_old) == (600, 7, 0, "Kim", 3, 1)
    assert anna.waited == {"upload_bytes": 125}, "what many requests wait for side by side is no time of the mailbox"
    assert ben.state is MailboxState.HELD
    assert [(one.reason, one.items, one.bytes, one.approved) for one in facts.reasons] == [
        ("too-large", 1, 400, 1), ("could-send-receipt", 1, 600, 0),
    ]  # fmt: skip
    assert [(one.reason, one.items) for one in facts.filtered] == [("before 2016", 1)]
    assert [(one.reason, one.who, one.why, one.items) for one in facts.approvals] == [
        ("too-large", "j.doe", "Anna has a copy", 1)
    ]
    assert facts.degraded == {"attendees": 2}
    assert [(one.host, one.items) for one in facts.late] == [("scanner.old.test", 3)]
    assert [wave.name for wave in facts.waves] == ["pilot", "second"]
    assert sum(day.bytes for day in facts.days) == 600


def test_a_wave_is_a_report_of_its_own(ledger: Ledger) -> None:
    furnished(ledger)
    facts = gather(ledger, "second", now=NOW)
    assert [one.source for one in facts.mailboxes] == ["ben@old.test"]
    assert (facts.reasons, facts.approvals, facts.late, facts.stayed, facts.days) == ([], [], [], [], [])


def test_a_row_that_no_sum_knows_turns_the_light_red(ledger: Ledger) -> None:
    furnished(ledger)
    with ledger._engine.begin() as db:
        db.exec_driver_sql("UPDATE tallies SET items = items + 1 WHERE state = 3")
    facts = gather(ledger, now=NOW)
    assert facts.mailboxes[0].balance == 1
    assert facts.light.value == "red"
    assert gather(ledger, now=NOW, recount=False).mailboxes[0].balance == 0


def test_third_persons_are_never_named(ledger: Ledger) -> None:
    furnished(ledger)
    shown = veiled(gather(ledger, now=NOW))
    assert shown.mailboxes[1].cause == f"The rule of {BLOT} stops ben@old.test."
    assert "eve@" not in str(told(shown))


def test_anonymous_leaves_no_name_and_always_uses_the_same_word(ledger: Ledger) -> None:
    furnished(ledger)
    once, again = (veiled(gather(ledger, now=NOW), anonymous=True) for _ in range(2))
    text = str(told(once)).casefold()
    assert not any(name in text for name in ("anna", "ben@", "kim", "j.doe", "eve", "old.test"))
    assert once.mailboxes[0].source == again.mailboxes[0].source != once.mailboxes[1].source
    assert once.stayed[0].mailbox == once.mailboxes[0].source


def test_a_match_card_that_somebody_accepted_wants_no_decision(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("pilot", "anna@old.test", "anton@new.test")
    card = {"source_name": "Anna", "target_name": "Anton", "ok": False, "why": "The names differ."}
    ledger.plans.observe(row.id, match.KIND, card)
    assert [one.saying.key for one in gather(ledger).wanted] == ["wanted.match"]
    ledger.plans.observe(row.id, match.KIND, match.accept(card, "j.doe", "she married"))
    assert gather(ledger).wanted == []


def test_a_mailbox_that_its_wave_left_without_wants_a_new_day(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("pilot", "anna@old.test", "anna@new.test")
    withdraw(ledger, row, "j.doe", "on leave")
    assert [one.saying.key for one in gather(ledger).wanted] == ["wanted.withdrawn"]
    take_in_again(ledger, row, "j.doe")
    facts = gather(ledger)
    assert facts.wanted == []
    assert [one.what for one in facts.events] == ["mailbox taken in again", "mailbox withdrawn"]


def test_ten_times_the_mailboxes_are_as_many_questions(made: Callable[..., Path]) -> None:
    asked = []
    for mailboxes in (20, 80):
        with Ledger.open(f"sqlite:///{made(mailboxes, 30).as_posix()}") as ledger:
            count = [0]
            event.listen(ledger._engine, "before_cursor_execute", lambda *_, count=count: count.__setitem__(0, count[0] + 1))
            gather(ledger)
            asked.append(count[0])
    assert asked[0] == asked[1] < 40


def test_the_report_as_values_can_be_read_by_machines(forty: Ledger) -> None:
    import json

    values = json.loads(json.dumps(told(gather(forty))))
    assert values["totals"]["mailboxes"] == len(values["mailboxes"]) == 40
    assert values["totals"]["done"] == sum(one["done"] for one in values["mailboxes"])
    assert values["waves"][3]["forecast"]["late"].startswith("20")
    assert values["mailboxes"][0]["last_pass"] == "delta DONE"
