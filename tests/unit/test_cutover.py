"""The table of a cutover, over all states: every edge is a legal move, says what is missing, and has a way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.cutover import table as cutover
from migrator.cutover.readiness import Verdict, readiness, smallest_first
from migrator.cutover.table import EDGES, QUESTIONS, STEPS, Edge, Position, Span, hindrances, next_edge
from state.model import AFTER_CUTOVER, ASIDE, MAILBOX_MOVES, MailboxState, PassKind

HOUR = 3600.0
NOW = 1_800_000_000.0

ALL_DONE = Position(
    mailbox_id=1,
    address="ada@old.example",
    target="ada@new.example",
    state=MailboxState.READY,
    behind=HOUR,
    confirmed=frozenset(STEPS),
    locked=NOW - 100 * HOUR,
    final=NOW - 99 * HOUR,
    routed=NOW - 98 * HOUR,
    swept=NOW - 1 * HOUR,
    sweep_until=NOW - 2 * HOUR,
    answered=frozenset(QUESTIONS),
    now=NOW,
)
"""A mailbox that nothing holds back anywhere."""

moments = st.none() | st.floats(NOW - 200 * HOUR, NOW + 200 * HOUR)
steps = st.frozensets(st.sampled_from(STEPS))
inner = st.sampled_from([state for state in MailboxState if state not in ASIDE])


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """Any mailbox at any moment, also what can hardly be."""
    state = draw(st.sampled_from(list(MailboxState)))
    came_from = draw(inner) if state in ASIDE else None
    number = draw(st.integers(0, 99))
    low = draw(st.floats(0, 1e4))
    return Position(
        mailbox_id=number,
        address=f"{number}@{draw(st.sampled_from(['a.example', 'b.example']))}",
        target=f"{number}@new.example",
        state=state,
        came_from=came_from,
        cause=draw(st.sampled_from(["", "The quota is used up."])),
        pending=draw(st.integers(0, 2)),
        backfill=draw(st.integers(0, 2)),
        refused=draw(st.integers(0, 2)),
        bytes=draw(st.integers(0, 10)),
        behind=draw(st.none() | st.floats(0, 1e6)),
        takes=draw(st.none() | st.just(Span(low, low * 2))),
        confirmed=draw(steps),
        failed=draw(steps),
        route=draw(st.sampled_from(["domain", "forward", "none"])),
        locked=draw(moments),
        final=draw(moments),
        routed=draw(moments),
        swept=draw(moments),
        sweep_until=draw(moments),
        withdrawn=draw(st.booleans()),
        answered=draw(st.frozensets(st.sampled_from(list(QUESTIONS)))),
        now=NOW,
    )


edges = pytest.mark.parametrize("way", EDGES, ids=lambda way: f"{way.came.value}-{way.to.value}")


@edges
def test_every_edge_and_its_way_back_are_moves_that_the_ledger_allows(way: Edge) -> None:
    assert way.to in MAILBOX_MOVES[way.came]
    if way.back is not None:
        # Set aside in between, it comes back to where it was; so the way back is one from the edge's end.
        assert way.back in MAILBOX_MOVES[way.to]
    assert (way.back is None) == (way.to is MailboxState.CLOSED)
    assert way.way_back


@edges
def test_every_edge_can_be_taken_when_all_is_done_and_only_from_its_own_state(way: Edge) -> None:
    backfill = 1 if way.name == "backfill" else 0
    assert hindrances(way, replace(ALL_DONE, state=way.came, backfill=backfill)) == ()
    for state in MailboxState:
        if state is not way.came:
            assert hindrances(way, replace(ALL_DONE, state=state, backfill=backfill))


@edges
def test_no_edge_is_taken_out_of_a_mailbox_that_is_set_aside(way: Edge) -> None:
    for state in ASIDE:
        aside = replace(ALL_DONE, state=state, came_from=way.came, cause="The quota is used up.")
        assert any("The quota is used up." in sentence for sentence in hindrances(way, aside))


@pytest.mark.parametrize(
    ("change", "name", "word"),
    [
        ({"pending": 3}, "lock", "3 items still to carry"),
        ({"refused": 1}, "lock", "1 item can't go"),
        ({"confirmed": frozenset()}, "lock", "not confirmed to be locked"),
        ({"failed": frozenset({"lock"})}, "lock", "failed"),
        ({"final": None}, "final", "No clean final pass"),
        ({"final": NOW - 101 * HOUR}, "final", "after its source was locked"),
        ({"confirmed": frozenset({"lock"})}, "route", "not confirmed to go to the target"),
        ({"failed": frozenset({"route"})}, "route", "failed"),
        ({"swept": NOW - 99 * HOUR}, "sweep", "No clean sweep"),
        ({"sweep_until": NOW + 31 * HOUR}, "close", "another 31 h"),
        ({"swept": NOW - 3 * HOUR}, "close", "after the time for late mail"),
        ({"sweep_until": None}, "close", "Nobody knows since when"),
        ({"answered": frozenset(QUESTIONS) - {"ledger"}}, "close", "Not answered yet: ledger"),
    ],
)
def test_each_thing_that_is_missing_is_said(change: dict[str, object], name: str, word: str) -> None:
    way = next(one for one in EDGES if one.name == name)
    [sentence] = hindrances(way, replace(ALL_DONE, state=way.came, **change))
    assert word in sentence


@settings(deadline=None)
@given(positions())
def test_a_hindrance_is_a_sentence_and_the_next_edge_begins_where_the_mailbox_stands(one: Position) -> None:
    way = next_edge(one)
    if way is None:
        assert one.stands not in {edge.came for edge in EDGES}
        return
    assert way.came is one.stands
    for sentence in hindrances(way, one):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence[0].isdigit()


@settings(deadline=None)
@given(positions())
def test_nothing_is_routed_that_no_clean_final_pass_after_the_lock_has_seen(one: Position) -> None:
    lock, final, route = (cutover.edge(name, came) for name, came in _TO_THE_FLIP)
    if not hindrances(route, one):
        assert one.final is not None
        assert one.locked is None or one.final >= one.locked
        assert "route" in one.confirmed
    if not hindrances(lock, one) or not hindrances(final, one):
        assert "lock" in one.confirmed
        assert one.pending == one.refused == 0


_TO_THE_FLIP = [("lock", MailboxState.READY), ("final", MailboxState.LOCKED), ("route", MailboxState.FINAL)]


@settings(deadline=None)
@given(positions())
def test_nothing_is_closed_with_anything_left_or_a_question_open(one: Position) -> None:
    for way in EDGES:
        if way.name == "close" and not hindrances(way, one):
            assert one.pending == one.backfill == one.refused == 0
            assert one.answered == set(QUESTIONS)


@settings(deadline=None)
@given(st.sampled_from(list(MailboxState)))
def test_after_the_flip_there_are_sweeps_only(state: MailboxState) -> None:
    kind = cutover.kind_of_pass(state)
    if state in AFTER_CUTOVER - {MailboxState.CLOSED}:
        assert kind is PassKind.SWEEP
    elif state in ASIDE or state is MailboxState.CLOSED:
        assert kind is None
    else:
        assert kind in {PassKind.SEED, PassKind.DELTA, PassKind.FINAL}
        assert (kind is PassKind.FINAL) == (state in {MailboxState.LOCKED, MailboxState.FINAL})


@settings(deadline=None)
@given(st.lists(positions(), max_size=8), st.integers(1, 4))
def test_the_verdict_follows_from_the_mailboxes(some: list[Position], at_once: int) -> None:
    page = readiness("first", some, at_once=at_once)
    goes = [one.goes for one in page.candidates]
    assert len(goes) == sum(one.stands is not MailboxState.CLOSED and not one.withdrawn for one in some)
    assert (page.verdict is Verdict.GO) == (bool(goes) and all(goes))
    assert (page.verdict is Verdict.NO_GO) == (not any(goes))
    for one in page.candidates:
        if one.goes and one.position.stands is MailboxState.READY:
            # Whatever else an edge wants then is what a person does after the decision.
            missing = hindrances(cutover.edge("lock", MailboxState.READY), one.position)
            assert all("lock" in sentence for sentence in missing)


def test_a_wave_that_is_paused_is_no_go_whoever_is_ready() -> None:
    page = readiness("first", [ALL_DONE], stopped="The wave is paused.")
    assert (page.verdict, page.sentence) == (Verdict.NO_GO, "The wave is paused.")
    assert page.candidates[0].goes


def test_whoever_stays_behind_in_a_domain_that_flips_is_named() -> None:
    bob = replace(ALL_DONE, mailbox_id=2, address="bob@old.example", state=MailboxState.SYNCING)
    page = readiness("first", [ALL_DONE, bob])
    assert page.verdict is Verdict.WITHOUT
    assert any("bob@old.example" in remark and "MX record" in remark for remark in page.remarks)
    by_forward = readiness("first", [replace(ALL_DONE, route="forward"), bob])
    assert not by_forward.remarks


def test_small_final_passes_come_first_and_unknown_ones_last() -> None:
    def named(name: str, takes: Span | None, size: int = 0) -> Position:
        return replace(ALL_DONE, address=name, takes=takes, bytes=size)

    some = [named("unknown", None), named("long", Span(1, 9)), named("short", Span(2, 3)), named("tiny", Span(2, 3), -1)]
    assert [one.address for one in smallest_first(some)] == ["tiny", "short", "long", "unknown"]


def test_late_mail_is_collected_for_72_hours_unless_set_and_for_two_old_ttls_at_least() -> None:
    assert cutover.sweep_until(NOW, 3600, None) == NOW + 72 * HOUR
    assert cutover.sweep_until(NOW, 3600, 1.0) == NOW + 2 * HOUR
    assert cutover.sweep_until(NOW, 48 * HOUR, None) == NOW + 96 * HOUR
