"""The planner decides by tables: what a change means for a row, who moved, which lane, which lot."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from connectors.base import Drop, Facts, Lane, Limits, Put, ReadFlag, Ref, identify, item_key, short_hash
from migrator.engine import plan
from state.model import ITEM_MOVES, ItemState, Mark, Open, Row, Work

ID = "AAMk="
KEY = item_key(ID)
FACTS = Facts(
    message_id="<1@contoso.test>",
    search_key=b"k" * 16,
    submitted=datetime(2020, 1, 1, tzinfo=UTC),
    modified=datetime(2020, 1, 2, tzinfo=UTC),
    is_read=False,
    has_attendees=False,
    wants_receipt=False,
    size=1000,
)


def put(version: str = "v1", item_id: str = ID, **facts: object) -> Put:
    return Put(Ref(item_id, version, 1000), replace(FACTS, **facts))


def row(state: ItemState = ItemState.DONE, **values: object) -> Row:
    base = Row(
        key=KEY,
        folder_id=1,
        state=state,
        version=short_hash("v1"),
        identity=plan.identity_of(FACTS),
        size=1000,
        modified=int(datetime(2020, 1, 2, tzinfo=UTC).timestamp()),
        generation=1,
        target="T1",
        digest=b"d" * 8,
    )
    return replace(base, **values)


def meet(change: Put | ReadFlag | Drop, was: Row | None, opened: Open | None = None):  # type: ignore[no-untyped-def]
    return plan.meet(KEY, change, was, opened, folder_id=1, generation=2)


OPEN = Open(item_id=ID, source_version="v1")


@pytest.mark.parametrize(
    ("change", "was", "state", "work"),
    [
        (put(), None, ItemState.LISTED, Work.CREATE),
        (put("v2"), row(), ItemState.LISTED, Work.UPDATE),
        (put("v2"), row(ItemState.LISTED, target=None), ItemState.LISTED, Work.CREATE),
        (put("v2"), row(ItemState.REFUSED, target=None), ItemState.LISTED, Work.CREATE),
        (put("v2"), row(ItemState.WITHHELD), ItemState.LISTED, Work.UPDATE),
        (put("v1"), row(ItemState.GONE, target=None), ItemState.LISTED, Work.CREATE),
        (put("v1"), row(ItemState.DOOMED), ItemState.DONE, None),
        (put("v1"), row(ItemState.DOOMED, digest=b""), ItemState.LISTED, Work.UPDATE),
        (put("v2"), row(ItemState.DOOMED), ItemState.LISTED, Work.UPDATE),
        (put("v1"), row(), ItemState.DONE, None),
        (put("v1"), row(folder_id=9), ItemState.LISTED, Work.UPDATE),
        (ReadFlag(ID, True, "v2"), row(), ItemState.LISTED, Work.FLAG),
        (ReadFlag(ID, True, "v2"), row(marks=Mark.RECEIPT), ItemState.DONE, None),
        (ReadFlag(ID, False, "v2"), row(marks=Mark.RECEIPT | Mark.READ), ItemState.LISTED, Work.FLAG),
        (Drop(ID), row(), ItemState.DOOMED, Work.REMOVE),
        (Drop(ID), row(ItemState.LISTED), ItemState.DOOMED, Work.REMOVE),
        (Drop(ID), row(ItemState.LISTED, target=None), ItemState.GONE, None),
        (Drop(ID), row(ItemState.REFUSED, target=None), ItemState.GONE, None),
        (Drop(ID), row(ItemState.FILTERED, target=None), ItemState.GONE, None),
        (Drop(ID), row(ItemState.WITHHELD), ItemState.DOOMED, Work.REMOVE),
    ],
)
def test_a_change_meets_a_row(change: Put | ReadFlag | Drop, was: Row | None, state: ItemState, work: Work | None) -> None:
    opened = OPEN if was is not None and was.state not in (ItemState.DONE, ItemState.GONE) else None
    step = meet(change, was, opened)
    assert step is not None
    assert step.new.state is state
    assert (step.open.work if step.open else None) == work
    if was is not None:
        assert state in ITEM_MOVES[was.state]


@pytest.mark.parametrize(
    ("change", "was"),
    [
        (put("v1"), row(generation=2)),
        (ReadFlag(ID, False, ""), row()),
        (ReadFlag(ID, True), None),
        (Drop(ID), None),
        (Drop(ID), row(folder_id=9)),
        (Drop(ID), row(ItemState.DOOMED)),
        (Drop(ID), row(ItemState.GONE, target=None)),
    ],
)
def test_nothing_follows_from_what_is_known_already(change: Put | ReadFlag | Drop, was: Row | None) -> None:
    assert meet(change, was) is None


def test_a_change_to_an_item_whose_answer_is_out_is_remembered_until_it_settles() -> None:
    step = meet(put("v2"), row(ItemState.INTENDED, target=None), OPEN)
    assert step is not None
    assert step.new.state is ItemState.INTENDED
    assert step.open is not None
    assert step.open.reason == plan.CHANGED_SINCE
    assert step.new.version == short_hash("v2")


def test_a_drop_of_an_item_whose_answer_is_out_waits_for_the_look_up() -> None:
    step = meet(Drop(ID), row(ItemState.INTENDED, target=None), OPEN)
    assert step is not None
    assert step.new.state is ItemState.INTENDED
    assert step.open is not None
    assert step.open.work is Work.REMOVE


def test_what_the_server_did_not_say_counts_as_yes_for_silence() -> None:
    assert plan.marks_of(Facts()) == Mark.ATTENDEES | Mark.RECEIPT
    assert plan.marks_of(FACTS) == Mark(0)


def test_one_change_an_item_is_left_of_a_page() -> None:
    folded = plan.fold([put("v1"), ReadFlag(ID, True, "v2"), put("x", "other"), Drop("other")])
    first, second = folded.values()
    assert isinstance(first, Put)
    assert first.facts.is_read is True
    assert first.ref.version == "v2"
    assert isinstance(second, Drop)


def _came(key: str, folder: int = 2, **facts: object) -> tuple[Row, Open]:
    told = replace(FACTS, **facts)
    new = row(
        ItemState.LISTED,
        key=item_key(key),
        folder_id=folder,
        target=None,
        identity=plan.identity_of(told),
        size=told.size,
        modified=int(told.modified.timestamp()) if told.modified else 0,
        digest=b"",
    )
    return new, Open(item_id=key, facts=plan.pack_facts(told))


MAIL = ("IPM.Note",)


def test_a_drop_here_and_a_put_there_are_a_move() -> None:
    [move] = plan.match([row(ItemState.DOOMED)], [_came("new")], MAIL)
    assert move.unchanged
    new, opened = plan.follow(move)
    assert (new.target, new.state, new.folder_id, new.key) == ("T1", ItemState.LISTED, 2, item_key("new"))
    assert opened is not None
    assert opened.work is Work.MOVE
    assert opened.reason == ""


def test_a_moved_item_that_also_changed_is_updated_after_the_move() -> None:
    [move] = plan.match([row(ItemState.DOOMED)], [_came("new", size=2000)], MAIL)
    _, opened = plan.follow(move)
    assert opened is not None
    assert opened.reason == plan.CHANGED_SINCE


def test_a_new_id_in_the_same_folder_is_adopted_and_sends_nothing() -> None:
    [move] = plan.match([row(ItemState.DOOMED)], [_came("new", folder=1)], MAIL)
    new, opened = plan.follow(move)
    assert (new.state, new.target, opened) == (ItemState.DONE, "T1", None)


def test_equal_copies_pair_off_one_by_one_and_the_like_ones_first() -> None:
    left = [row(ItemState.DOOMED, key=item_key("a"), size=500), row(ItemState.DOOMED, key=item_key("b"))]
    moves = plan.match(left, [_came("x"), _came("y", size=500)], MAIL)
    assert {(move.left.size, move.came.size) for move in moves} == {(500, 500), (1000, 1000)}
    assert len(plan.match(left, [_came("x")], MAIL)) == 1


def test_a_class_that_the_target_cannot_move_is_no_move() -> None:
    assert plan.match([row(ItemState.DOOMED)], [_came("new", item_class="IPM.Contact")], MAIL) == []


@pytest.mark.parametrize(
    ("item_class", "kept", "wanted", "lane"),
    [
        ("IPM.Note", "", "auto", Lane.IMPORT),
        ("IPM.Note", "compose", "auto", Lane.COMPOSE),
        ("IPM.Note", "", "compose", Lane.COMPOSE),
        ("IPM.Note.SMIME", "", "compose", Lane.COMPOSE),
        ("IPM.Contact", "", "compose", None),
        ("IPM.Contact", "", "auto", Lane.IMPORT),
        ("IPM.Notes", "", "compose", None),
    ],
)
def test_the_lane_of_an_item(item_class: str, kept: str, wanted: str, lane: Lane | None) -> None:
    accepts = {Lane.IMPORT: ("",), Lane.COMPOSE: ("IPM.Note",)}
    assert plan.choose(item_class, kept, wanted, frozenset(Lane), accepts) == lane


def test_lots_stay_below_the_limits_and_a_large_item_travels_alone() -> None:
    limits = Limits(fetch_items=3, fetch_bytes=2500)
    rows = [
        (row(ItemState.LISTED, size=size, target=None), OPEN, Lane.IMPORT) for size in (1000, 1000, 1000, 9000, 10, 10, 10, 10)
    ]
    lots = [[one.size for one, _ in lot.rows] for lot in plan.batches(rows, limits)]
    assert lots == [[1000, 1000], [1000], [9000], [10, 10, 10], [10]]


def test_a_lot_holds_one_folder_one_lane_and_one_kind_of_work() -> None:
    flag = replace(OPEN, work=Work.FLAG)
    rows = [
        (row(ItemState.LISTED), OPEN, Lane.IMPORT),
        (row(ItemState.LISTED), OPEN, Lane.COMPOSE),
        (row(ItemState.LISTED), flag, Lane.COMPOSE),
        (row(ItemState.LISTED, folder_id=2), flag, Lane.COMPOSE),
    ]
    assert len(list(plan.batches(rows, Limits()))) == 4


@pytest.mark.parametrize(
    ("doomed", "held", "approved", "allowed"),
    [
        (100, 1000, False, True),
        (101, 10_000, False, True),
        (101, 1000, False, False),
        (101, 1000, True, True),
        (101, 0, False, False),
    ],
)
def test_the_rails_stop_and_ask(doomed: int, held: int, approved: bool, allowed: bool) -> None:
    assert plan.Rails(100, 0.05, approved).allow(doomed, held) is allowed


def test_facts_survive_the_ledger() -> None:
    assert plan.unpack_facts(plan.pack_facts(FACTS)) == FACTS
    assert plan.unpack_facts(b"") == Facts()


def test_identity_forgets_size_and_case_of_class_but_not_time() -> None:
    same = replace(FACTS, search_key=None, item_class="ipm.note", size=5)
    other = replace(same, submitted=datetime(2020, 1, 1, 0, 0, 1, tzinfo=UTC))
    base = identify(replace(FACTS, search_key=None)).rungs
    assert identify(same).rungs == base
    assert identify(other).rungs != base


@pytest.mark.parametrize(
    ("item_class", "reason"),
    [
        ("IPM.DistList", "list-needs-import"),
        ("ipm.stickynote", "note-needs-import"),
        ("IPM.Activity.Custom", "journal-needs-import"),
        ("IPM.DistListing", "no-lane"),
        ("IPM.Configuration", "no-lane"),
    ],
)
def test_a_class_that_only_streams_carry_is_refused_by_a_name_of_its_own(item_class: str, reason: str) -> None:
    assert plan.without_lane(item_class).reason == reason
