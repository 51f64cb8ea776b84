"""Settings over both real wires: what the source tells arrives in the target, twice is once, and nobody is e-mailed."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Role
from connectors.errors import Halt, Unavailable
from connectors.lab.faults import FaultPlan
from connectors.lab.server import Lab, LabPlan
from connectors.lab.setups import RuleSet, Setup
from connectors.settings import Delivery, Holder, Kind, ReplyState, Settings, SettingsTarget, Untold, words_of
from migrator import app
from migrator.config import load
from migrator.settings.run import Carried, Work, carry, look, people_of
from migrator.settings.words import Verdict, Wishes
from state.model import MailboxRow
from state.settings import SettingState


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("lab"), mailboxes=3, items=0)) as lab:
        yield lab
        assert [one for one in lab.target.mailboxes.values() if one.sent] == [], "nobody was e-mailed"


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path / "own", mailboxes=2, items=0)) as lab:
        yield lab


def migrate(lab: Lab, *words: str, code: int = 0) -> str:
    from migrator.cli import run

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        ended = run(["-c", str(lab.config_file), *words])
    assert ended == code, said.getvalue()
    return said.getvalue()


class Side:
    """Everything between a running lab and the code under test."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.config = load(lab.config_file)
        self.stop = threading.Event()
        self.ledger = app.open_ledger(self.config)
        self.connectors = app.Connected(self.config, self.stop)

    def __enter__(self) -> Side:
        self.ledger.__enter__()
        self.connectors.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.connectors.__exit__(None, None, None)
        self.ledger.__exit__(None, None, None)

    def work(self, wishes: Wishes | None = None) -> Work:
        people = people_of(self.ledger.mailboxes())
        return Work(ledger=self.ledger, owner="test", wishes=wishes or Wishes(), horizon=0.2, people=people, stop=self.stop)

    def source(self, row: MailboxRow) -> Settings:
        with closing(self.connectors.source_settings(row, self.stop)) as source:
            return source.read()

    def target(self, row: MailboxRow) -> Settings:
        return self.connectors.target_settings(row).read()

    def carry(self, row: MailboxRow, wishes: Wishes | None = None, target: SettingsTarget | None = None) -> Carried:
        with closing(self.connectors.source_settings(row, self.stop)) as source:
            return carry(self.work(wishes), row, source, target or self.connectors.target_settings(row))

    def look(self, row: MailboxRow) -> Carried:
        with closing(self.connectors.source_settings(row, self.stop)) as source:
            return look(self.work(), row, source, self.connectors.target_settings(row))


@pytest.fixture(scope="module")
def migrated(lab: Lab) -> Lab:
    migrate(lab, "run")
    return lab


@pytest.fixture
def side(migrated: Lab) -> Iterator[Side]:
    with Side(migrated) as side:
        yield side


def sent(lab: Lab) -> list[str]:
    return [str(one["kind"]) for mailbox in lab.target.mailboxes.values() for one in mailbox.sent]


def test_the_source_tells_everything_and_names_what_it_can_not(side: Side) -> None:
    row = side.ledger.mailboxes()[0]
    told = side.source(row)
    assert [rule.name for rule in told.rules] == [rule.name for rule in side.lab.source.get(row.source).setup.rules]  # type: ignore[union-attr]
    assert [one.name for one in told.categories] == ["Blue Category", "Müller & Söhne", "「緊急」", "No colour"]
    assert [one.colour for one in told.categories] == [7, 0, 24, None]
    assert told.reply is not None
    assert (told.reply.state, words_of(told.reply.internal)) == (ReplyState.ON, "I'm away & back soon.")
    assert told.hours is not None
    assert (told.hours.start, told.hours.end, told.hours.zone) == ("08:00:00", "16:30:00", "W. Europe Standard Time")
    assert told.zone == "W. Europe Standard Time"
    assert told.delivery is Delivery.BOTH
    [delegate] = told.delegates
    assert (delegate.levels, delegate.sees_private) == (((Role.CALENDAR, "Editor"), (Role.TASKS, "Editor")), True)
    people = {one.address for one in told.permissions if one.holder is Holder.PERSON}
    assert people == {"o'hara@contoso.test", side.ledger.mailboxes()[1].source}
    why = [one.why for one in told.untold]
    assert any("that no server shows" in one for one in why)
    assert any("no address any more" in one for one in why)


def test_a_mailbox_where_nobody_set_anything_has_nothing_to_carry(own_lab: Lab) -> None:
    for mailbox in own_lab.source.mailboxes.values():
        mailbox.setup = Setup()
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        [row, _] = side.ledger.mailboxes()
        told = side.source(row)
        assert (told.rules, told.categories, told.hours, told.zone, told.delegates) == ((), (), None, None, ())
        assert told.untold == ()
        done = side.carry(row)
        assert [one.kind for one in done.entries] == [Kind.ACCESS]
        assert done.counts == {"carried": 0, "waiting": 0, "listed": 0, "scripted": 1}


def test_a_part_that_the_source_refuses_is_named_and_the_others_are_carried(own_lab: Lab) -> None:
    exchange, _ = own_lab.options
    address = sorted(own_lab.source.mailboxes)[0]
    exchange.answers[address, "GetUserOofSettings"] = (
        '<m:GetUserOofSettingsResponse><m:ResponseMessage ResponseClass="Error"><m:MessageText>No.</m:MessageText>'
        "<m:ResponseCode>ErrorAccessDenied</m:ResponseCode></m:ResponseMessage></m:GetUserOofSettingsResponse>"
    )
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        row = next(row for row in side.ledger.mailboxes() if row.source == address)
        told = side.source(row)
    assert Untold(Kind.REPLY, "", "the source does not give it (ErrorAccessDenied)") in told.untold
    assert len(told.categories) == 4


def test_what_the_source_has_is_in_the_target_after_one_run_and_a_second_one_writes_nothing(own_lab: Lab) -> None:
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        for row in side.ledger.mailboxes():
            planned = side.look(row)
            before = own_lab.seen.writes
            first = side.carry(row)
            assert [(one.name, one.verdict) for one in planned.entries] == [(one.name, one.verdict) for one in first.entries]
            assert first.refused == 0
            assert own_lab.seen.writes - before == first.written == sum(one.change is not None for one in first.entries)
            compare(side, row, first)
            before = own_lab.seen.writes
            again = side.carry(row)
            assert own_lab.seen.writes == before, "the second run writes nothing"
            assert again.counts == first.counts
            assert not [one for one in again.entries if one.change is not None]
            assert side.ledger.settings.counts()[row.id] == first.counts, "the ledger says the same"
    assert sent(own_lab) == []


def compare(side: Side, row: MailboxRow, done: Carried, on: Collection[str] = ()) -> None:
    """Hold both sides against each other, setting by setting, apart from the plan."""
    source, target = side.source(row), side.target(row)
    listed = {(one.kind, one.name) for one in done.entries if one.verdict is Verdict.LISTED}
    assert {(one.name, one.colour) for one in target.categories} == {(one.name, one.colour) for one in source.categories}
    folders = {one.source_id: one.target_id for one in side.ledger.folders(row.id)}
    carried = [rule for rule in source.rules if (Kind.RULE, rule.name) not in listed]
    assert [rule.name for rule in target.rules] == [rule.name for rule in carried]
    for here, there in zip(carried, target.rules, strict=True):
        moved = replace(
            here,
            actions=tuple(
                replace(one, values=tuple(str(folders.get(value, value)) for value in one.values)) for one in here.actions
            ),
        )
        assert moved.content() == there.content()
        assert there.enabled == (here.name in on)
    assert source.reply is not None
    assert target.reply is not None
    assert target.reply.says_the_same(source.reply)
    assert target.reply.state is ReplyState.OFF
    assert (target.hours, target.zone, target.delivery) == (source.hours, source.zone, source.delivery)
    assert target.permissions[0].level == "AvailabilityOnly", "the calendar's permissions are left to the script"


def test_the_awkward_rules_are_listed_by_name_with_a_reason(side: Side) -> None:
    row = side.ledger.mailboxes()[0]
    done = side.look(row)
    why = {one.name: one.why for one in done.entries if one.kind is Kind.RULE and one.verdict is Verdict.LISTED}
    assert set(why) == {"Chef's mail", "By date", "Says so", "Not for us", "Broken", "(Outlook's own)"}
    assert "no address any more" in why["Chef's mail"]
    assert "arrived between" in why["By date"]
    assert "reply with a template" in why["Says so"]
    assert "Outlook alone" in why["Not for us"]
    assert "faulty" in why["Broken"]


def test_rules_that_send_stay_off_unless_they_are_named_and_then_the_tenant_notes_it(own_lab: Lab) -> None:
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        row = side.ledger.mailboxes()[0]
        side.carry(row, Wishes(rules=True))
        on = {rule.name for rule in side.target(row).rules if rule.enabled}
        assert on == {"Newsletters"}
        assert sent(own_lab) == []
        done = side.carry(row, Wishes(rules=True, named=frozenset({"to my assistant"})))
        assert done.written == 2
        assert sent(own_lab) == ["forwarding rule"] * 2, "at the operator's word, and the lab would have seen it otherwise"
        assert side.carry(row, Wishes(rules=True, named=frozenset({"to my assistant"}))).written == 0


def test_replies_are_on_only_at_the_operators_word(own_lab: Lab) -> None:
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        first, second = side.ledger.mailboxes()
        for row in (first, second):
            [entry] = [one for one in side.carry(row).entries if one.kind is Kind.REPLY]
            assert entry.waits
        assert sent(own_lab) == []
        for row in (first, second):
            assert side.carry(row, Wishes(replies=True)).written == 1
            assert side.carry(row, Wishes(replies=True)).written == 0
            there = side.target(row).reply
            assert there is not None
            here = side.source(row).reply
            assert here is not None
            assert (there.state, there.end) == (here.state, here.end)
        assert sent(own_lab) == ["automatic replies"] * 2
        # The user switches them off again; that stays so.
        settings = own_tenant(own_lab, first)
        settings("PATCH", "mailboxSettings", {"automaticRepliesSetting": {"status": "disabled"}})
        done = side.carry(first, Wishes(replies=True))
        assert done.written == 0
        [entry] = [one for one in done.entries if one.kind is Kind.REPLY]
        assert entry.why == "the target's user has switched them off"


def own_tenant(lab: Lab, row: MailboxRow) -> Any:
    """A user of the target, who does as they like."""
    from test_login import signed_in

    def act(method: str, path: str, body: Any = None) -> Any:
        with signed_in(lab) as session:
            answer = session.request(method, f"{lab.graph_url}/v1.0/users/{row.target}/{path}", json=body, timeout=20)
            assert answer.status_code < 300, answer.text
            return answer.json() if answer.content else None

    return act


def test_nothing_of_the_targets_user_is_overwritten(own_lab: Lab) -> None:
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        row = side.ledger.mailboxes()[0]
        act = own_tenant(own_lab, row)
        act("POST", "outlook/masterCategories", {"displayName": "BLUE category", "color": "preset3"})
        mine = {"displayName": "newsletters", "sequence": 1, "actions": {"markAsRead": True}}
        act("POST", "mailFolders/inbox/messageRules", mine)
        act(
            "PATCH",
            "mailboxSettings",
            {"automaticRepliesSetting": {"internalReplyMessage": "Mine."}, "timeZone": "Tokyo Standard Time"},
        )
        before = side.target(row)
        done = side.carry(row)
        why = {(one.kind, one.name): one.why for one in done.entries if one.verdict is Verdict.LISTED}
        assert "another colour" in why[Kind.CATEGORY, "Blue Category"]
        assert "another rule of this name" in why[Kind.RULE, "Newsletters"]
        assert "has written others" in why[Kind.REPLY, "texts"]
        assert "chosen something else" in why[Kind.ZONE, "W. Europe Standard Time"]
        after = side.target(row)
        assert after.reply == before.reply
        assert after.zone == "Tokyo Standard Time"
        assert after.rules[0] == before.rules[0]
        assert before.categories[0] in after.categories


def test_what_the_targets_user_removed_stays_removed(own_lab: Lab) -> None:
    migrate(own_lab, "run")
    with Side(own_lab) as side:
        row = side.ledger.mailboxes()[0]
        side.carry(row)
        act = own_tenant(own_lab, row)
        found = act("GET", "mailFolders/inbox/messageRules")["value"]
        rule = next(one for one in found if one["displayName"] == "Newsletters")
        act("DELETE", f"mailFolders/inbox/messageRules/{rule['id']}")
        done = side.carry(row)
        assert done.written == 0
        [entry] = [one for one in done.entries if one.name == "Newsletters"]
        assert (entry.verdict, entry.why) == (
            Verdict.LISTED,
            "it was carried before, and the target's user has changed or removed it",
        )


class Dies:
    """A target where the run dies before or after the n-th write; everything else is the real one."""

    def __init__(self, real: SettingsTarget, at: int, *, after: bool) -> None:
        self._real, self._left, self._after = real, at, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not name.startswith(("add_", "set_", "enable_")):
            return real

        def act(*words: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Unavailable("died before", code="test")
            done = real(*words)
            if self._left == 0:
                raise Unavailable("died after", code="test")
            return done

        return act


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_dies_at_every_write_and_runs_again_ends_as_one_that_never_died(own_lab: Lab, after: bool) -> None:
    migrate(own_lab, "run")
    wishes = Wishes(rules=True)
    with Side(own_lab) as side:
        row = side.ledger.mailboxes()[0]
        deaths, writes = 0, own_lab.seen.writes
        while True:
            # Each run gets one write further: the next one never leaves, or its answer never comes.
            target = Dies(side.connectors.target_settings(row), 1 if after else 2, after=after)
            try:
                end = side.carry(row, wishes, target)  # type: ignore[arg-type]
                break
            except Unavailable:
                deaths += 1
        assert deaths >= 10
        there = side.target(row)
        assert sorted(rule.name for rule in there.rules) == ["Large ones", "Newsletters", "To my assistant", "To my assistant"]
        assert len(there.categories) == 4
        assert {rule.name for rule in there.rules if rule.enabled} == {"Newsletters"}
        assert own_lab.seen.writes - writes == 13, "each write was made once"
        again = side.carry(row, wishes)
        assert again.written == 0
        assert again.counts == end.counts
        assert not [one for one in side.ledger.settings.rows(row.id) if one.state is SettingState.INTENDED]
        # Whoever did it, it was on as wished; if its user switches it off now, it stays off.
        act = own_tenant(own_lab, row)
        mine = next(one for one in act("GET", "mailFolders/inbox/messageRules")["value"] if one["displayName"] == "Newsletters")
        act("PATCH", f"mailFolders/inbox/messageRules/{mine['id']}", {"isEnabled": False})
        assert side.carry(row, wishes).written == 0
    assert sent(own_lab) == []


def test_wires_that_fail_and_lose_answers_make_no_difference(tmp_path: Path) -> None:
    faults = FaultPlan(share=0.1, seed=7)
    with Lab(LabPlan(folder=tmp_path / "hostile", mailboxes=1, items=0)) as lab:
        migrate(lab, "run")
        lab.faults.arm(faults)
        runs = 0
        with Side(lab) as side:
            [row] = side.ledger.mailboxes()
            while True:
                runs += 1
                assert runs < 40
                try:
                    done = side.carry(row, Wishes(rules=True))
                    break
                except (Unavailable, Halt):
                    side.stop.clear()
            lab.faults.arm(FaultPlan())
            compare(side, row, done, on={"Newsletters"})
            assert side.carry(row, Wishes(rules=True)).written == 0
        assert sent(lab) == []


def test_a_rule_that_the_target_has_no_room_for_is_listed_and_the_others_go_on(own_lab: Lab) -> None:
    row_source = sorted(own_lab.source.mailboxes)[0]
    setup = own_lab.source.mailboxes[row_source].setup
    setup.rules = [
        RuleSet(name="Huge", conditions={"ContainsBodyStrings": ["x" * 1000] * 300}, actions={"MarkAsRead": True}),
        RuleSet(name="Small", conditions={"ContainsBodyStrings": ["x"]}, actions={"MarkAsRead": True}),
        RuleSet(name="Empty", conditions={"ContainsBodyStrings": []}, actions={"MarkAsRead": True}),
    ]
    migrate(own_lab, "run")
    done = migrate(own_lab, "settings", row_source, "--apply", code=2)
    assert "room for rules is used up" in done
    with Side(own_lab) as side:
        row = next(row for row in side.ledger.mailboxes() if row.source == row_source)
        assert [rule.name for rule in side.target(row).rules] == ["Small"]
        assert side.ledger.settings.counts()[row.id]["listed"] >= 2


def test_the_source_knows_no_operation_that_would_write_its_settings(own_lab: Lab) -> None:
    from connectors.errors import UnknownAnswer
    from connectors.ews.client import MailboxClient

    with Side(own_lab) as side:
        client = MailboxClient(side.connectors.server, sorted(own_lab.source.mailboxes)[0])
        try:
            for operation in ("UpdateInboxRules", "SetUserOofSettingsRequest", "AddDelegate", "UpdateUserConfiguration"):
                with pytest.raises(UnknownAnswer):
                    client.ask(operation, f"<m:{operation}/>", lambda found: found)
        finally:
            client.close()
