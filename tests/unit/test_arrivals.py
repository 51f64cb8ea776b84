"""Whether mail takes its new way, by what arrives: hosts out of headers, late mail counted once, and what came natively."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import Entry, Facts, Ref, Role
from connectors.memory import MemoryMailbox, MemorySource
from migrator.cutover.arrivals import SIGHT, Lookout, host_of, newest_native, note, observe
from state.model import MailboxRow
from state.store import Ledger

FOLDED = (
    "Received: from EX02.corp.old.example (10.0.0.2) by EX01.corp.old.example\r\n"
    "\t(10.0.0.1) with Microsoft SMTP Server; Fri, 6 Nov 2026 20:11:12 +0000\r\n"
    "Received: from MX.Relay.example (203.0.113.9)\r\n\tby EX02.corp.old.example with ESMTPS; Fri, 6 Nov 2026 20:11:11 +0000\r\n"
    "Received: from phone (198.51.100.2) by out.sender.example; Fri, 6 Nov 2026 20:11:10 +0000\r\n"
    "From: somebody@sender.example\r\n"
)


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        (FOLDED, "mx.relay.example"),
        ("Received: from mail.example (192.0.2.7) by ex1.lab.example;\r\n\t1 Jan 2026\r\n", "mail.example"),
        # All hops inside one organisation: its own host is what can be changed.
        ("Received: from app1.old.example by ex1.old.example; x\r\n", "app1.old.example"),
        ("Received: from [203.0.113.9] by ex1.old.example; x\r\n", "unknown"),
        ("Received: from 203.0.113.9 by ex1.old.example; x\r\n", "unknown"),
        ("Received: from localhost by ex1.old.example; x\r\nReceived: from mx.far.example by localhost; x\r\n", "mx.far.example"),
        ("Received: from <script>.example by ex1.old.example; x\r\n", "unknown"),
        ("Subject: Received: from mx.far.example by a.example\r\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_host_that_delivers_to_the_old_side_is_the_newest_hop_from_outside(headers: str, host: str) -> None:
    assert host_of(headers) == host


class Shown:
    """A target mailbox that shows what a test put there."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries

    def newest(self, limit: int) -> Sequence[Entry]:
        return self.entries[:limit]

    def everything(self) -> Iterator[tuple[str, Entry]]:
        return iter([("Inbox", entry) for entry in self.entries])

    def content(self, item_id: str) -> bytes | None:
        return None


NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def anna(either_url: str) -> Iterator[tuple[Ledger, MailboxRow]]:
    with Ledger.open(either_url) as ledger:
        yield ledger, ledger.plan_mailbox("wave1", "anna@old.example", "anna@new.example")


def read(mailbox: MemoryMailbox, flip: float | None) -> Lookout:
    lookout = Lookout(MemorySource(mailbox), flip)
    for folder in lookout.folders():
        cursor, last = None, False
        while not last:
            page = lookout.changes(folder, cursor)
            cursor, last = page.cursor, page.last
    return lookout


def test_late_mail_is_counted_once_however_often_it_is_listed(anna: tuple[Ledger, MailboxRow]) -> None:
    ledger, row = anna
    mailbox = MemoryMailbox()
    inbox, sent = mailbox.special(Role.INBOX), mailbox.special(Role.SENT)
    mailbox.put(inbox, "before", received=NOW - timedelta(hours=2), submitted=NOW - timedelta(hours=2))
    mailbox.put(sent, "written before", received=NOW - timedelta(hours=2), submitted=NOW - timedelta(hours=2))
    flip = (NOW - timedelta(hours=1)).timestamp()
    ledger.plans.confirm(row.id, "route", "me", "done")
    observe(ledger, row, read(mailbox, flip), None)
    [quiet] = ledger.plans.observed(SIGHT)
    assert (quiet.about["late_items"], quiet.about["sent_from_old"]) == (0, 0)
    assert quiet.about["last_in_source"] == (NOW - timedelta(hours=2)).isoformat()
    mailbox.put(inbox, "late", received=NOW, submitted=NOW)
    mailbox.put(sent, "written by an old profile", received=NOW, submitted=NOW)
    for _ in range(2):
        observe(ledger, row, read(mailbox, flip), None)
    [seen] = ledger.plans.observed(SIGHT)
    assert (seen.about["late_items"], seen.about["sent_from_old"]) == (1, 1)
    assert seen.about["late"] == {"unknown": 1}
    assert seen.about["last_in_source"] == NOW.isoformat()


def test_late_mail_that_a_killed_pass_met_is_counted_by_the_next_one(anna: tuple[Ledger, MailboxRow]) -> None:
    ledger, row = anna
    ledger.plans.confirm(row.id, "route", "me", "done")
    mailbox = MemoryMailbox()
    inbox = mailbox.special(Role.INBOX)
    mailbox.put(inbox, "late", received=NOW + timedelta(hours=1))
    at = NOW + timedelta(hours=1)
    mailbox.put(mailbox.special(Role.SENT), "from the old side", received=at, submitted=at)

    def keep(late: Sequence[Ref], sent: Sequence[str]) -> None:
        note(ledger, row, late, sent)

    source = MemorySource(mailbox)
    cursors: dict[str, str | None] = {}

    def sweep() -> Lookout:
        """Reads on where the last one stopped, as a pass does whose pages are recorded."""
        lookout = Lookout(source, NOW.timestamp(), keep)
        for folder in lookout.folders():
            last = False
            while not last:
                page = lookout.changes(folder, cursors.get(folder.id))
                cursors[folder.id], last = page.cursor, page.last
        return lookout

    sweep()  # and killed before it wrote down what arrived
    mailbox.put(inbox, "later still", received=NOW + timedelta(hours=2))
    for _ in range(2):
        observe(ledger, row, sweep(), None)
        [sight] = ledger.plans.observed(SIGHT, row.id)
        assert (sight.about["late_items"], sight.about["sent_from_old"]) == (2, 1)
        assert "noted" not in sight.about


def test_before_the_flip_nothing_is_late(anna: tuple[Ledger, MailboxRow]) -> None:
    ledger, row = anna
    mailbox = MemoryMailbox()
    mailbox.put(mailbox.special(Role.INBOX), "news", received=NOW, submitted=NOW)
    observe(ledger, row, read(mailbox, None), Shown())
    [seen] = ledger.plans.observed(SIGHT)
    assert (seen.about["late_items"], seen.about["last_in_source"], seen.about["last_in_target"]) == (0, NOW.isoformat(), None)


def test_what_we_brought_ourselves_proves_nothing(anna: tuple[Ledger, MailboxRow]) -> None:
    ledger, row = anna
    old, native = (Entry(each, Facts(received=NOW - timedelta(minutes=n))) for each, n in (("old", 90), ("native", 5)))
    assert newest_native(ledger, row.id, Shown(native, old), (NOW - timedelta(hours=1)).timestamp()) == NOW - timedelta(minutes=5)
    assert newest_native(ledger, row.id, Shown(old), (NOW - timedelta(hours=1)).timestamp()) is None


def test_a_look_at_arrivals_holds_hosts_and_times_and_nothing_private(anna: tuple[Ledger, MailboxRow]) -> None:
    ledger, row = anna
    mailbox = MemoryMailbox()
    mailbox.put(mailbox.special(Role.INBOX), "a private subject", received=NOW, submitted=NOW)
    ledger.plans.confirm(row.id, "route", "me", "done")
    observe(ledger, row, read(mailbox, (NOW - timedelta(hours=1)).timestamp()), None)
    told = str(ledger.plans.observed(SIGHT))
    assert "private" not in told
    assert "@" not in told
