"""What a cutover waits for is told apart from old mail, by the day and the class, and counted from sums alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from connectors.base import Facts
from migrator.engine.backfill import Parts, is_backfill, open_parts, until_when
from migrator.engine.rules import BadRule, day_from
from state.model import ItemState, MailboxState, Open, PassKind, Row, Step
from state.store import Ledger

SINCE = date(2026, 1, 31)
OLD = datetime(2026, 1, 30, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "day"),
    [("", None), ("2026-01-31", SINCE), ("90d", date(2025, 11, 2)), (" 0 D ", SINCE), ("99999d", date(1752, 4, 18))],
)
def test_a_day_is_written_as_a_date_or_as_days_ago(text: str, day: date | None) -> None:
    assert day_from(text, SINCE) == day


@pytest.mark.parametrize("text", ["yesterday", "90", "31.01.2026", "-3d"])
def test_what_is_no_day_is_said_with_the_mend(text: str) -> None:
    with pytest.raises(BadRule, match="90d"):
        day_from(text, SINCE)


@pytest.mark.parametrize(
    ("facts", "old"),
    [
        (Facts(received=OLD), True),
        (Facts(received=OLD + timedelta(minutes=1)), False),
        (Facts(received=OLD.astimezone(timezone(timedelta(hours=9)))), True),
        (Facts(submitted=OLD), True),
        (Facts(created=OLD), True),
        (Facts(), False),
        (Facts(item_class="IPM.Note.SMIME", received=OLD), True),
        (Facts(item_class="REPORT.IPM.Note.NDR", received=OLD), True),
        (Facts(item_class="IPM.Schedule.Meeting.Request", received=OLD), True),
        (Facts(item_class="IPM.Appointment", received=OLD), False),
        (Facts(item_class="IPM.Contact", created=OLD), False),
        (Facts(item_class="IPM.Task", created=OLD), False),
        (Facts(item_class="IPM.StickyNote", created=OLD), False),
        (Facts(item_class="IPM.Notepad", received=OLD), False),
    ],
)
def test_only_mail_from_before_the_day_may_follow_later(facts: Facts, old: bool) -> None:
    assert is_backfill(facts, SINCE) is old


def test_what_is_open_is_told_by_sums(ledger: Ledger) -> None:
    box = ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example")
    lease = ledger.lease(box.id, "test", 300.0)
    [folder] = ledger.record_folders(lease, [("F", None, "Inbox", "IPF.Note", "inbox", 6)], ledger.next_round(lease))
    states = (ItemState.LISTED, ItemState.INTENDED, ItemState.BACKFILL, ItemState.BACKFILL, ItemState.DONE, ItemState.FILTERED)
    steps = [
        Step(None, Row(key=bytes([at]) * 16, folder_id=folder.id, state=state, size=10**at), Open(item_id=str(at)))
        for at, state in enumerate(states)
    ]
    ledger.settle(lease, steps)
    assert open_parts(ledger, box.id) == Parts(2, 11, 2, 1100)
    assert ledger.loose_ends(box.id) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "state", "minutes", "sweeps", "asked", "until"),
    [
        (PassKind.SEED, MailboxState.SEEDING, 60, 15, False, 1000 + 3600),
        (PassKind.DELTA, MailboxState.READY, 0, 15, False, 1000),
        (PassKind.DELTA, MailboxState.READY, 0, 15, True, None),
        (PassKind.FINAL, MailboxState.LOCKED, 60, 15, False, 1000),
        (PassKind.FINAL, MailboxState.LOCKED, 60, 15, True, 1000),
        (PassKind.SWEEP, MailboxState.SWEEPING, 1440, 15, False, 900 + 900),
        (PassKind.SWEEP, MailboxState.SWEEPING, 5, 15, False, 1000 + 300),
        (PassKind.SWEEP, MailboxState.SWEEPING, 0, 15, False, 1000),
        (PassKind.SWEEP, MailboxState.SWEEPING, 1440, 1, False, 1000 + 10),
        (PassKind.SWEEP, MailboxState.BACKFILLING, 1440, 15, False, 900 + 900),
        (PassKind.SWEEP, MailboxState.BACKFILLING, 0, 5, False, 900 + 300),
        (PassKind.SWEEP, MailboxState.BACKFILLING, 1440, 15, True, None),
    ],
)
def test_a_final_pass_carries_no_old_mail_and_a_sweep_until_the_next_one_is_due(
    kind: PassKind, state: MailboxState, minutes: float, sweeps: float, asked: bool, until: float | None
) -> None:
    assert until_when(kind, state, 900.0, 1000.0, minutes, sweeps, asked=asked) == until
