"""What becomes of each setting, by tables: no server, no ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Role
from connectors.graph import settings_shape
from connectors.settings import (
    Abilities,
    Action,
    Audience,
    AutomaticReply,
    Category,
    Clause,
    Deed,
    Delegate,
    Delivery,
    Holder,
    Kind,
    Permission,
    Place,
    ReplyState,
    Rule,
    Settings,
    Test,
    Untold,
    WorkingHours,
    words_of,
)
from migrator.settings.planning import counts, plan
from migrator.settings.rules import rule_key, stored
from migrator.settings.words import AddRule, EnableRule, Entry, Remembered, SetReply, Surroundings, Verdict, Wishes

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRAPH = Abilities(settings_shape.TESTS, settings_shape.DEEDS, settings_shape.DELIVERIES)
AROUND = Surroundings(abilities=GRAPH, now=NOW, folders={"S1": "T1", "deleteditems": "T9"}, people={"a@old.test": "a@new.test"})
EMPTY = Settings()
FILE_AWAY = Rule(
    name="File", order=1, enabled=True, conditions=(Clause(Test.SUBJECT, ("x",)),), actions=(Action(Deed.MOVE, ("S1",)),)
)
FILED = replace(FILE_AWAY, id="R1", enabled=False, actions=(Action(Deed.MOVE, ("T1",)),))
FORWARD = replace(FILE_AWAY, name="Forward", actions=(Action(Deed.FORWARD, ("o@out.test",)),))
AWAY = AutomaticReply(state=ReplyState.ON, audience=Audience.KNOWN, internal="<p>Away</p>", external="Away")
TIMED = replace(AWAY, state=ReplyState.SCHEDULED, start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
HOURS = WorkingHours(days=("monday",), start="09:00:00", end="17:00:00", zone="Tokyo Standard Time")
FACTORY = WorkingHours(
    days=("monday", "tuesday", "wednesday", "thursday", "friday"), start="08:00:00", end="17:00:00", zone="Pacific Standard Time"
)
NEW = Settings(reply=AutomaticReply(), hours=FACTORY, zone="UTC", delivery=Delivery.DELEGATES)


def only(source: Settings, target: Settings = NEW, around: Surroundings = AROUND) -> Entry:
    """The one entry that is about something."""
    [found] = [one for one in plan(source, target, around) if one.kind is not Kind.ACCESS]
    return found


RULES: list[tuple[str, Rule, tuple[Rule, ...], Wishes, Verdict, str]] = [
    ("new", FILE_AWAY, (), Wishes(), Verdict.WRITE, "--enable-rules"),
    ("new, and asked for", FILE_AWAY, (), Wishes(rules=True), Verdict.WRITE, ""),
    ("off at the source", replace(FILE_AWAY, enabled=False), (), Wishes(rules=True), Verdict.WRITE, "off at the source"),
    ("forwards", FORWARD, (), Wishes(rules=True), Verdict.WRITE, "--enable-rule"),
    ("there", FILE_AWAY, (FILED,), Wishes(), Verdict.THERE, "--enable-rules"),
    ("there and on", FILE_AWAY, (replace(FILED, enabled=True),), Wishes(), Verdict.THERE, ""),
    ("there, name in other letters", FILE_AWAY, (replace(FILED, name="FILE"),), Wishes(), Verdict.THERE, "--enable-rules"),
    ("another of that name", FILE_AWAY, (replace(FILED, conditions=()),), Wishes(), Verdict.LISTED, "another rule of this name"),
    ("no folder", replace(FILE_AWAY, actions=(Action(Deed.MOVE, ("S2",)),)), (), Wishes(), Verdict.LISTED, "run the migration"),
    ("by role", replace(FILE_AWAY, actions=(Action(Deed.MOVE, ("deleteditems",)),)), (), Wishes(), Verdict.WRITE, ""),
    ("no action", replace(FILE_AWAY, actions=()), (), Wishes(), Verdict.LISTED, "does nothing"),
    ("no word", replace(FILE_AWAY, conditions=(Clause(Test.DATES, ("", "")),)), (), Wishes(), Verdict.LISTED, "arrived between"),
    ("no deed", replace(FILE_AWAY, actions=(Action(Deed.REPLY),)), (), Wishes(), Verdict.LISTED, "template"),
    ("no such exception", replace(FILE_AWAY, exceptions=(Clause(Test.ITEM_CLASS),)), (), Wishes(), Verdict.LISTED, "of class"),
    ("untold", replace(FILE_AWAY, untold=("odd parts",)), (), Wishes(), Verdict.LISTED, "it has odd parts"),
    ("odd size", replace(FILE_AWAY, conditions=(Clause(Test.SIZE, ("a", "")),)), (), Wishes(), Verdict.LISTED, "size"),
    ("unread", FILE_AWAY, (replace(FILED, untold=("?",)),), Wishes(), Verdict.LISTED, "another rule"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "there", "wishes", "verdict", "why"), [row[1:] for row in RULES], ids=[row[0] for row in RULES]
)
def test_a_rule(source: Rule, there: tuple[Rule, ...], wishes: Wishes, verdict: Verdict, why: str) -> None:
    found = only(Settings(rules=(source,)), replace(NEW, rules=there), replace(AROUND, wishes=wishes))
    assert found.verdict is verdict
    assert why in found.why


def test_a_new_rule_goes_behind_those_of_the_targets_user_and_files_into_the_targets_folder() -> None:
    mine = Rule(name="Mine", order=7, enabled=True, actions=(Action(Deed.DELETE),))
    found = only(Settings(rules=(FILE_AWAY,)), replace(NEW, rules=(mine,)))
    assert isinstance(found.change, AddRule)
    assert (found.change.rule.order, found.change.rule.actions) == (8, (Action(Deed.MOVE, ("T1",)),))
    assert not found.change.enable


def test_two_rules_of_one_name_are_two_rules() -> None:
    other = replace(FILE_AWAY, order=2, conditions=(Clause(Test.BODY, ("y",)),))
    again = replace(FILE_AWAY, order=3)
    source = Settings(rules=(FILE_AWAY, other, again))
    found = [one for one in plan(source, replace(NEW, rules=(FILED,)), AROUND) if one.kind is Kind.RULE]
    assert [one.verdict for one in found] == [Verdict.THERE, Verdict.WRITE, Verdict.WRITE]
    assert len({one.key for one in found}) == 3


@pytest.mark.parametrize("switched", [False, True])
def test_a_rule_is_switched_on_once_and_never_again_against_the_users_will(switched: bool) -> None:
    around = replace(
        AROUND, wishes=Wishes(rules=True), remembered={rule_key(FILE_AWAY): Remembered("R1", stored(FILED.content()), switched)}
    )
    found = only(Settings(rules=(FILE_AWAY,)), replace(NEW, rules=(FILED,)), around)
    if switched:
        assert (found.verdict, found.why) == (Verdict.THERE, "the target's user has switched it off")
    else:
        assert found.change == EnableRule(FILED)


def test_a_rule_that_the_target_wrote_down_in_its_own_way_is_still_ours() -> None:
    odd = replace(FILED, conditions=(Clause(Test.SUBJECT, ("X!",)),))
    known = {rule_key(FILE_AWAY): Remembered("R1", stored(odd.content()))}
    assert (
        only(Settings(rules=(FILE_AWAY,)), replace(NEW, rules=(odd,)), replace(AROUND, remembered=known)).verdict is Verdict.THERE
    )
    edited = replace(odd, conditions=())
    found = only(Settings(rules=(FILE_AWAY,)), replace(NEW, rules=(edited,)), replace(AROUND, remembered=known))
    assert (found.verdict, "changed or removed" in found.why) == (Verdict.LISTED, True)


def test_a_named_rule_is_switched_on_though_it_sends() -> None:
    around = replace(AROUND, wishes=Wishes(named=frozenset({"forward"})))
    found = only(Settings(rules=(FORWARD,)), NEW, around)
    assert isinstance(found.change, AddRule)
    assert found.change.enable


CATEGORIES = [
    ((), Verdict.WRITE),
    ((Category("RED", 1),), Verdict.THERE),
    ((Category("Red", 2),), Verdict.LISTED),
    ((Category("Red", None),), Verdict.LISTED),
    ((Category("Redder", 1),), Verdict.WRITE),
]


@pytest.mark.parametrize(("there", "verdict"), CATEGORIES)
def test_a_category(there: tuple[Category, ...], verdict: Verdict) -> None:
    assert only(Settings(categories=(Category("Red", 1),)), replace(NEW, categories=there)).verdict is verdict


def test_a_category_that_the_targets_user_removed_stays_removed() -> None:
    source = Settings(categories=(Category("Red", 1),))
    known = {only(source).key: Remembered()}
    found = only(source, NEW, replace(AROUND, remembered=known))
    assert (found.verdict, "removed" in found.why) == (Verdict.LISTED, True)


OFF = replace(AWAY, state=ReplyState.OFF)
WRAPPED = replace(OFF, internal="<html><body>\n<p>Away</p></body></html>")
REPLIES: list[tuple[str, AutomaticReply, AutomaticReply | None, Wishes, Verdict, str]] = [
    ("new", AWAY, AutomaticReply(), Wishes(), Verdict.WRITE, "--enable-replies"),
    ("new, asked for", AWAY, AutomaticReply(), Wishes(replies=True), Verdict.WRITE, ""),
    ("there", AWAY, WRAPPED, Wishes(), Verdict.THERE, "--enable-replies"),
    ("there, asked for", AWAY, WRAPPED, Wishes(replies=True), Verdict.WRITE, ""),
    ("there and on", AWAY, AWAY, Wishes(), Verdict.THERE, "switched them on"),
    ("there and on, asked for", AWAY, AWAY, Wishes(replies=True), Verdict.THERE, ""),
    ("others", AWAY, replace(OFF, internal="Hi"), Wishes(replies=True), Verdict.LISTED, "has written others"),
    ("off at the source", OFF, AutomaticReply(), Wishes(replies=True), Verdict.WRITE, ""),
    ("over", replace(TIMED, end=NOW), AutomaticReply(), Wishes(replies=True), Verdict.WRITE, "time is over"),
    ("not shown", AWAY, None, Wishes(), Verdict.LISTED, "shows no automatic replies"),
]


@pytest.mark.parametrize(
    ("source", "there", "wishes", "verdict", "why"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES]
)
def test_automatic_replies(
    source: AutomaticReply, there: AutomaticReply | None, wishes: Wishes, verdict: Verdict, why: str
) -> None:
    found = only(Settings(reply=source), replace(NEW, reply=there), replace(AROUND, wishes=wishes))
    assert found.verdict is verdict
    assert why in found.why
    if isinstance(found.change, SetReply) and not wishes.replies:
        assert found.change.reply.state is ReplyState.OFF


def test_scheduled_replies_begin_no_earlier_than_the_target_takes() -> None:
    found = only(Settings(reply=TIMED), NEW, replace(AROUND, wishes=Wishes(replies=True)))
    assert isinstance(found.change, SetReply)
    assert found.change.reply.start is not None
    assert NOW < found.change.reply.start < NOW + timedelta(hours=1)
    assert found.change.reply.end == TIMED.end
    assert "2026-06-02 12:00" in found.state


def test_a_mailbox_that_never_had_replies_has_none_to_carry() -> None:
    assert counts(plan(Settings(reply=AutomaticReply()), NEW, AROUND)) == {"carried": 0, "waiting": 0, "listed": 0, "scripted": 1}


ONES: list[tuple[Settings, Settings, Verdict]] = [
    (Settings(hours=HOURS), NEW, Verdict.WRITE),
    (Settings(hours=HOURS), replace(NEW, hours=HOURS), Verdict.THERE),
    (Settings(hours=HOURS), replace(NEW, hours=replace(HOURS, start="07:00:00")), Verdict.LISTED),
    (Settings(hours=HOURS), replace(NEW, hours=None), Verdict.WRITE),
    (Settings(hours=replace(HOURS, zone="")), NEW, Verdict.LISTED),
    (Settings(hours=replace(HOURS, days=())), NEW, Verdict.LISTED),
    (Settings(zone="Tokyo Standard Time"), NEW, Verdict.WRITE),
    (Settings(zone="Tokyo Standard Time"), replace(NEW, zone=None), Verdict.WRITE),
    (Settings(zone="Tokyo Standard Time"), replace(NEW, zone="tokyo standard time"), Verdict.THERE),
    (Settings(zone="Tokyo Standard Time"), replace(NEW, zone="GMT Standard Time"), Verdict.LISTED),
]


@pytest.mark.parametrize(("source", "target", "verdict"), ONES)
def test_what_a_mailbox_has_once_is_written_only_over_what_it_was_made_with(
    source: Settings, target: Settings, verdict: Verdict
) -> None:
    assert only(source, target).verdict is verdict


DELEGATE = Delegate(address="a@old.test", levels=((Role.CALENDAR, "Editor"),), gets_meetings=True)


@pytest.mark.parametrize(
    ("delivery", "there", "verdict"),
    [
        (Delivery.BOTH, Delivery.DELEGATES, Verdict.WRITE),
        (Delivery.BOTH, Delivery.BOTH, Verdict.THERE),
        (Delivery.BOTH, Delivery.TOLD, Verdict.LISTED),
        (Delivery.OWNER, Delivery.DELEGATES, Verdict.LISTED),
    ],
)
def test_where_meetings_go(delivery: Delivery, there: Delivery, verdict: Verdict) -> None:
    found = plan(Settings(delegates=(DELEGATE,), delivery=delivery), replace(NEW, delivery=there), AROUND)
    [entry] = [one for one in found if one.kind is Kind.DELIVERY]
    assert entry.verdict is verdict
    without = plan(Settings(delivery=delivery), replace(NEW, delivery=there), AROUND)
    assert not [one for one in without if one.kind is Kind.DELIVERY]


def permission(
    role: Role | None, level: str, address: str = "a@old.test", names: tuple[str, ...] = (), **more: object
) -> Permission:
    holder = Holder.PERSON if address else Holder.EVERYBODY
    return replace(Permission(place=Place(role, names), holder=holder, level=level, address=address), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (permission(Role.INBOX, "Reviewer"), Verdict.SCRIPTED),
        (permission(Role.CALENDAR, "Reviewer"), Verdict.THERE),
        (permission(Role.CALENDAR, "Editor"), Verdict.SCRIPTED),
        (permission(None, "Reviewer", names=("a/b",)), Verdict.LISTED),
        (permission(None, "Reviewer", names=("a\\b",)), Verdict.LISTED),
        (permission(Role.INBOX, "None", ""), None),
        (permission(Role.CALENDAR, "AvailabilityOnly", ""), None),
        (permission(Role.CALENDAR, "LimitedDetails", ""), Verdict.SCRIPTED),
        (permission(Role.INBOX, "AvailabilityOnly", ""), Verdict.SCRIPTED),
        (permission(Role.INBOX, "Custom", rights=("ReadItems",)), Verdict.SCRIPTED),
    ],
)
def test_a_permission(one: Permission, verdict: Verdict | None) -> None:
    target = replace(NEW, permissions=(permission(Role.CALENDAR, "Reviewer", "A@new.test"),))
    found = [entry.verdict for entry in plan(Settings(permissions=(one,)), target, AROUND) if entry.kind is Kind.PERMISSION]
    assert found == ([verdict] if verdict else [])


def test_a_delegates_own_permissions_are_not_told_twice() -> None:
    source = Settings(delegates=(DELEGATE,), permissions=(permission(Role.CALENDAR, "Editor"), permission(Role.TASKS, "Editor")))
    found = [(one.kind, one.verdict) for one in plan(source, NEW, AROUND) if one.kind is not Kind.ACCESS]
    assert found == [(Kind.DELEGATE, Verdict.SCRIPTED), (Kind.PERMISSION, Verdict.SCRIPTED)]


@pytest.mark.parametrize(("level", "verdict"), [("Delegate", Verdict.THERE), ("Editor", Verdict.SCRIPTED)])
def test_a_delegate_that_the_target_has_already_is_there(level: str, verdict: Verdict) -> None:
    target = replace(NEW, permissions=(permission(Role.CALENDAR, level, "a@new.test"),))
    found = [one.verdict for one in plan(Settings(delegates=(DELEGATE,)), target, AROUND) if one.kind is Kind.DELEGATE]
    assert found == [verdict]
    nobody = [
        one for one in plan(Settings(delegates=(replace(DELEGATE, address=""),)), target, AROUND) if one.kind is Kind.DELEGATE
    ]
    assert nobody[0].verdict is Verdict.LISTED


def test_what_could_not_be_read_is_listed_and_never_dropped() -> None:
    found = only(Settings(untold=(Untold(Kind.REPLY, "", "it is broken"),)))
    assert (found.kind, found.verdict, found.why) == (Kind.REPLY, Verdict.LISTED, "it is broken")


TESTS = st.sampled_from(sorted(set(Test) - {Test.SIZE, Test.ACTION_FLAG, Test.IMPORTANCE, Test.SENSITIVITY}))
WORD = st.text(min_size=1, max_size=8)
CLAUSES = st.lists(
    st.one_of(
        st.builds(Clause, st.sampled_from([Test.SUBJECT, Test.BODY, Test.CATEGORIES, Test.FROM]), st.tuples(WORD, WORD)),
        st.builds(Clause, st.sampled_from([Test.SIGNED, Test.TO_ME])),
        st.builds(lambda low, high: Clause(Test.SIZE, (str(low), str(high))), st.integers(1, 9), st.integers(10, 99)),
        st.builds(lambda flag: Clause(Test.ACTION_FLAG, (flag,)), st.sampled_from(["any", "followup", "replytoall"])),
        st.builds(lambda word: Clause(Test.IMPORTANCE, (word,)), st.sampled_from(["low", "high"])),
    ),
    max_size=4,
    unique_by=lambda clause: clause.test,
).map(tuple)
ACTIONS = st.lists(
    st.one_of(
        st.builds(Action, st.sampled_from([Deed.DELETE, Deed.STOP, Deed.MARK_READ])),
        st.builds(lambda one: Action(Deed.MOVE, (one,)), WORD),
        st.builds(lambda one: Action(Deed.REDIRECT, (one,)), WORD),
        st.builds(lambda one: Action(Deed.CATEGORIES, (one,)), WORD),
        st.just(Action(Deed.IMPORTANCE, ("high",))),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda action: action.deed,
).map(tuple)


@given(conditions=CLAUSES, exceptions=CLAUSES, actions=ACTIONS)
def test_whatever_graph_can_say_of_a_rule_comes_back_as_it_went(
    conditions: tuple[Clause, ...], exceptions: tuple[Clause, ...], actions: tuple[Action, ...]
) -> None:
    rule = Rule(name="x", order=3, enabled=True, conditions=conditions, exceptions=exceptions, actions=actions)
    body = settings_shape.rule_body(rule, enabled=False)
    assert body["isEnabled"] is False
    back = settings_shape.rule_of({"id": "r", **body})
    assert back.content() == rule.content()
    assert not back.untold


def test_every_word_of_a_rule_that_the_target_has_is_written_and_read() -> None:
    values: dict[Test, tuple[str, ...]] = {
        Test.SIZE: ("1", "2"), Test.ACTION_FLAG: ("fyi",), Test.IMPORTANCE: ("low",), Test.SENSITIVITY: ("private",),
    }  # fmt: skip
    lists = {
        Test.BODY,
        Test.SUBJECT,
        Test.SUBJECT_OR_BODY,
        Test.HEADER,
        Test.SENDER,
        Test.RECIPIENT,
        Test.FROM,
        Test.SENT_TO,
        Test.CATEGORIES,
    }
    for test in settings_shape.TESTS:
        clause = Clause(test, values.get(test, ("a", "b") if test in lists else ()))
        rule = Rule(name="x", order=1, enabled=True, conditions=(clause,), actions=(Action(Deed.STOP),))
        assert settings_shape.rule_of(settings_shape.rule_body(rule, enabled=False)).content() == rule.content(), test
    for deed in settings_shape.DEEDS:
        plain = deed in (Deed.DELETE, Deed.DELETE_FOR_GOOD, Deed.MARK_READ, Deed.STOP)
        rule = Rule(name="x", order=1, enabled=True, actions=(Action(deed, () if plain else ("high",)),))
        assert settings_shape.rule_of(settings_shape.rule_body(rule, enabled=False)).content() == rule.content(), deed


def test_a_rule_of_the_target_with_unknown_words_equals_none_of_ours() -> None:
    found = settings_shape.rule_of({"displayName": "x", "conditions": {"newThing": ["x"]}, "actions": {"newDeed": True}})
    assert found.untold == ("newThing", "newDeed")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<p>a&nbsp;b</p>", "a b"),
        ("<html><head><title>t</title></head><body>a\n b</body></html>", "a b"),
        ("", ""),
        ("a<br>b", "a b"),
    ],
)
def test_the_words_of_a_reply(text: str, words: str) -> None:
    assert words_of(text) == words
