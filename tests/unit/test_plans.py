"""What people plan and do around the items, on SQLite and on Postgres."""

from __future__ import annotations

from state.plans import Intended, WaveState
from state.store import Ledger


def test_what_the_spreadsheet_said_is_kept_and_replaced(ledger: Ledger) -> None:
    ada = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com")
    ledger.plan_mailbox("first", "bob@example.com", "bob@example.com")
    ledger.plans.describe(ada.id, {"kind": "user", "owner": "Zoë"})
    ledger.plans.describe(ada.id, {"kind": "shared"})
    assert list(ledger.plans.details().values()) == [{"kind": "shared"}, {}]
    # Planning it again, as each run does, leaves what was said.
    ledger.plan_mailbox("first", "ada@example.com", "ada@example.com")
    assert ledger.plans.details()[ada.id] == {"kind": "shared"}


def test_a_mailbox_goes_to_another_wave(ledger: Ledger) -> None:
    ada = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com")
    assert ledger.plans.regroup(ada.id, "second").wave == "second"
    assert [one.wave for one in ledger.mailboxes()] == ["second"]


def test_the_last_word_about_a_wave_counts(ledger: Ledger) -> None:
    assert ledger.plans.waves() == {}
    ledger.plans.keep_wave("first", WaveState.OPEN, {"every_hours": 4})
    ledger.plans.keep_wave("first", WaveState.PAUSED, {"every_hours": 6})
    first = ledger.plans.waves()["first"]
    assert (first.state, first.details) == (WaveState.PAUSED, {"every_hours": 6})


def test_acts_are_only_added_to_and_read_newest_first(ledger: Ledger) -> None:
    ada = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com")
    ledger.plans.act("ops@host", "pause", wave="first", why="A holiday.", mailboxes=1)
    ledger.plans.act("ops@host", "retry", mailbox_id=ada.id)
    assert [(one.what, one.wave, one.mailbox_id, one.about) for one in ledger.plans.acts()] == [
        ("retry", "", ada.id, {}),
        ("pause", "first", None, {"mailboxes": 1}),
    ]
    assert [one.what for one in ledger.plans.acts(mailbox_id=ada.id)] == ["retry"]
    assert [one.why for one in ledger.plans.acts(wave="first")] == ["A holiday."]
    assert len(ledger.plans.acts(last=1)) == 1


def test_steps_sights_and_answers_keep_the_last_of_each(ledger: Ledger) -> None:
    ada = ledger.plan_mailbox("first", "ada@example.com", "ada@example.com")
    for result in ("failed", "done"):
        ledger.plans.confirm(ada.id, "lock", "ops@host", result, "by script")
        ledger.plans.observe(ada.id, "late", {"hosts": {"mx.example.com": len(result)}})
        ledger.plans.answer("lane import", "IPM.Note", "15.1.2507", result)
    ledger.plans.answer("lane import", "IPM.Note", "14.2.247", "yes")
    assert [(one.step, one.result) for one in ledger.plans.confirmations(ada.id)] == [("lock", "done")]
    assert [one.about for one in ledger.plans.observed("late")] == [{"hosts": {"mx.example.com": 4}}]
    assert ledger.plans.observed("late", ada.id + 1) == []
    assert [(one.build, one.answer) for one in ledger.plans.answers()] == [("14.2.247", "yes"), ("15.1.2507", "done")]
    ledger.plans.answer("requests at once", "", "", "2")
    answer, at = ledger.glance().answered("requests at once")
    assert (answer, at > 0) == ("2", True)
    assert ledger.glance().answered("nothing that was asked") == ("", 0.0)


def test_a_spreadsheet_is_taken_in_all_or_nothing_and_known_ones_change(ledger: Ledger) -> None:
    def wanted(name: str, target: str, **details: str) -> Intended:
        source = f"{name}@old.example"
        return Intended(wave="w", source=source, target=f"{target}@new.example", details=details, said={"wave": "w"})

    ada = ledger.plan_mailbox("first", "ada@old.example", "ada@new.example")
    lease = ledger.lease(ada.id, "me", 60.0)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "mail", None, 0)], ledger.next_round(lease))
    ledger.place_folder(lease, folder.id, "there")
    ledger.plans.take_in([wanted("ADA", "ada", kind="user"), wanted("bob", "bob")])
    assert [(row.wave, row.source, row.target) for row in ledger.mailboxes()] == [
        ("w", "ada@old.example", "ada@new.example"),
        ("w", "bob@old.example", "bob@new.example"),
    ]
    assert ledger.plans.details()[ada.id] == {"kind": "user"}
    assert ledger.folders(ada.id)[0].target_id == "there"
    ledger.plans.take_in([wanted("ada", "other")])
    assert ledger.mailbox(ada.id).target == "other@new.example"
    assert ledger.folders(ada.id)[0].target_id is None, "no folder of one target stands for one of another"
    assert [one.about for one in ledger.plans.observed("file")] == [{"wave": "w"}] * 2
    ledger.plans.take_in([])
