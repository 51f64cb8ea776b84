"""Calendars compared by time over both servers of the lab, in both lanes: every pattern, range and zone takes place when it did.

The proof is by mutation: one series after the other is altered in the target, behind everybody's back, and it alone is named.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.appointments import ALL_DAY, END, START, Change, Diary, diary_of, keep, occasions
from connectors.lab.faults import FaultPlan
from connectors.lab.people import an_empty
from connectors.lab.recurring import Rule
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox, seeded_bytes
from connectors.reading_calendar import Occasion, day_of, span_of
from connectors.zones import zone_of
from migrator import app, cli, config
from migrator.checking.calendars import CalendarJob, CalendarVerdict, SeriesDifference, same_clock, verify_calendars

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
BERLIN, EASTERN, SYDNEY = "W. Europe Standard Time", "Eastern Standard Time", "AUS Eastern Standard Time"
LIKE_BERLIN = {"offset": 60, "summer": 120, "to_summer": [3, "sunday", 5, 120], "to_standard": [10, "sunday", 5, 180]}
LIKE_NONE = {"offset": 37, "summer": 97, "to_summer": [5, "monday", 2, 120], "to_standard": [8, "monday", 2, 180]}
HOUR = timedelta(hours=1)


def an_appointment(subject: str, first: datetime, zone: str, rule: Rule | None = None, **more: Any) -> Item:
    """One that begins when the clock of its zone shows ``first``; ``more`` is of the diary, or ``length``, or ``all_day``."""
    length, all_day = more.pop("length", HOUR), more.pop("all_day", False)
    diary = Diary(zone=zone, rule=rule, **more)
    start = first.replace(tzinfo=diary.clock).astimezone(UTC)
    item = Item(item_class="IPM.Appointment", subject=subject, created=NOW, modified=NOW, is_read=True)
    item.search_key = seeded_bytes(subject)
    item.extended |= {START: start, END: start + length}
    if all_day:
        item.extended[ALL_DAY] = True
        last = (first + length).replace(tzinfo=diary.clock)
        item.extended[END] = last.astimezone(UTC)
    keep(item, diary)
    return item


def wall(*parts: int, fold: int = 0) -> datetime:
    """What a clock on a wall shows."""
    return datetime(*parts, fold=fold)  # type: ignore[arg-type,misc]  # noqa: DTZ001


def a_calendar() -> list[Item]:
    """Every pattern, every kind of range, zones whose clocks change on other days, changed and cancelled occurrences."""
    nine = wall(2025, 10, 6, 9)
    found = [
        an_appointment("daily", nine, BERLIN, Rule("daily", nine.date(), interval=9)),
        an_appointment(
            "weekly", nine, EASTERN, Rule("weekly", nine.date(), interval=2, days=["monday", "thursday"], end=date(2027, 3, 1))
        ),
        an_appointment(
            "on the 31st", wall(2025, 1, 31, 18), SYDNEY, Rule("absoluteMonthly", date(2025, 1, 31), day=31, count=30)
        ),
        an_appointment(
            "last friday",
            wall(2025, 8, 29, 7, 30),
            "India Standard Time",
            Rule("relativeMonthly", date(2025, 8, 29), days=["friday"], index="last"),
        ),
        an_appointment("yearly", wall(2024, 3, 30, 12), BERLIN, Rule("absoluteYearly", date(2024, 3, 30), day=30, month=3)),
        an_appointment(
            "second tuesday of march",
            wall(2025, 3, 11, 10),
            EASTERN,
            Rule("relativeYearly", date(2025, 3, 11), days=["tuesday"], index="second", month=3, count=5),
        ),
        an_appointment("single", wall(2026, 7, 1, 15), BERLIN),
        an_appointment("the second of two equal hours", wall(2026, 10, 25, 2, 30, fold=1), BERLIN),
        an_appointment("whole day", wall(2026, 5, 4), BERLIN, all_day=True, length=timedelta(days=2)),
        an_appointment(
            "whole days",
            wall(2026, 1, 5),
            SYDNEY,
            Rule("weekly", date(2026, 1, 5), days=["monday"]),
            all_day=True,
            length=timedelta(days=1),
        ),
        an_appointment("a made-up clock", nine, "Custom", Rule("daily", nine.date(), interval=20), custom=LIKE_BERLIN),
        an_appointment("nobody's clock", nine, "Custom", Rule("daily", nine.date(), interval=20), custom=LIKE_NONE),
        an_appointment("over midnight", wall(2026, 2, 2, 23, 30), BERLIN, Rule("daily", date(2026, 2, 2), count=20)),
        an_appointment("long ago", wall(2019, 2, 2, 9), BERLIN),
    ]
    changed = an_appointment("changed", nine, BERLIN, Rule("weekly", nine.date(), days=["monday"], count=40))
    starts = [one.start for one in occasions(changed)]
    diary = diary_of(changed)
    moved = starts[4] + timedelta(hours=5)
    diary.changes = [
        Change(starts[4], {"start": moved.isoformat(), "end": (moved + 2 * HOUR).isoformat()}),
        Change(starts[7], {"subject": "another subject, same time"}),
    ]
    diary.deleted = [starts[10], starts[11]]
    keep(changed, diary)
    return [*found, changed]


PASS = frozenset(item.subject for item in a_calendar()) - {"nobody's clock"}


def fill(mailbox: Mailbox) -> None:
    """The calendar, half of it in another one below it."""
    box = mailbox.by_role("calendar")
    assert box is not None
    inner = mailbox.add_box(Box("inner-calendar", box.id, "Projects", "IPF.Appointment"))
    for number, item in enumerate(a_calendar()):
        item.id, item.folder_id = f"times{number:020}", (box, inner)[number % 2].id
        mailbox.add(item)


class Carried:
    """A mailbox that was carried by one lane, and the checker of its calendars."""

    def __init__(self, lab: Lab, lane: str, resources: ExitStack) -> None:
        self.lab, self.lane = lab, lane
        loaded = config.load(lab.config_file)
        self.code = cli.run(["-c", str(lab.config_file), "run", "--lane", lane])
        self.ledger = resources.enter_context(app.open_ledger(loaded))
        stop = threading.Event()
        connected = resources.enter_context(app.Connected(loaded, stop))
        [row] = self.ledger.mailboxes()
        self.job = CalendarJob(
            ledger=self.ledger,
            mailbox_id=row.id,
            source=resources.enter_context(closing(connected.source(row, stop))),
            ours=resources.enter_context(closing(connected.source_calendars(row, stop))),
            theirs=resources.enter_context(closing(connected.destination_calendars(row, stop))),
            now=NOW,
        )

    def copy_of(self, subject: str) -> Item:
        [target] = self.lab.target.mailboxes.values()
        return next(item for item in target.items.values() if item.subject == subject)

    def check(self) -> CalendarVerdict:
        return verify_calendars(self.job)

    def failed(self) -> list[SeriesDifference]:
        return [one for one in self.check().differences if one.verdict == "fail"]


@pytest.fixture(scope="module", params=["import", "compose"])
def carried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    estate = Estate()
    fill(estate.add(an_empty(0, 1)))
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("times"), source=estate, mailboxes=1)) as lab, ExitStack() as resources:
        yield Carried(lab, request.param, resources)


def test_every_pattern_and_range_takes_place_when_it_did(carried: Carried) -> None:
    verdict = carried.check()
    assert [one for one in verdict.differences if one.verdict == "fail"] == []
    assert verdict.figures["series"] == len(PASS) + 1
    assert verdict.figures["occurrences"] > 300
    [target] = carried.lab.target.mailboxes.values()
    assert target.sent == []


@pytest.mark.parametrize("carried", ["import"], indirect=True)
def test_a_view_that_holds_too_much_is_asked_for_in_parts(carried: Carried) -> None:
    options, whole = carried.lab.options[0], carried.check()
    before, options.find_page = options.find_page, 30
    try:
        assert carried.check() == whole
    finally:
        options.find_page = before


@pytest.mark.parametrize("carried", ["import"], indirect=True)
def test_a_hostile_wire_makes_no_difference(carried: Carried) -> None:
    whole = carried.check()
    carried.lab.faults.arm(FaultPlan(share=0.08, seed=7, slow=0.01, wait=0.01))
    try:
        assert carried.check() == whole
    finally:
        carried.lab.faults.disarm()


def test_where_calendars_may_not_be_seen_it_is_said(carried: Carried) -> None:
    options = carried.lab.options[1]
    before = options.roles
    options.roles = tuple(role for role in before if not role.startswith("Calendars."))
    try:
        verdict = carried.check()
        assert "Calendars.Read" in verdict.hidden
        assert verdict.figures == {}
    finally:
        options.roles = before


def test_a_clock_that_nobody_knows_is_degraded_where_the_lane_had_to_replace_it(carried: Carried) -> None:
    verdict = carried.check()
    degraded = {one.why for one in verdict.differences if one.verdict == "degraded"}
    if carried.lane == "import":
        assert degraded == set()
        return
    assert "time-zone-unknown" in degraded
    [odd] = [one for one in verdict.differences if one.why == "time-zone-unknown"]
    assert odd.moved
    assert odd.missing == odd.extra == ()
    assert f"series {odd.key}: the source's clock has no name" in odd.sentence


Mutation = Callable[[Item], None]


def shifted(item: Item) -> None:
    for key in (START, END):
        value = item.extended[key]
        assert isinstance(value, datetime)
        item.extended[key] = value + HOUR


def with_diary(change: Callable[[Diary], object]) -> Mutation:
    def mutate(item: Item) -> None:
        diary = diary_of(item)
        change(diary)
        keep(item, diary)

    return mutate


def numbered(diary: Diary) -> None:
    assert diary.rule is not None
    assert diary.rule.count is not None
    diary.rule.count += 1


def back_to_its_rule(diary: Diary) -> None:
    diary.changes = [one for one in diary.changes if "start" not in one.fields]


MUTATIONS: list[tuple[str, str, Mutation, dict[str, int]]] = [
    ("weekly", "a series is shifted by an hour", shifted, {"moved": 50}),
    ("single", "a single one is shifted by an hour", shifted, {"moved": 1}),
    ("changed", "a moved occurrence falls back", with_diary(back_to_its_rule), {"moved": 1}),
    ("changed", "a cancelled one is back", with_diary(lambda diary: diary.deleted.pop()), {"extra": 1}),
    ("over midnight", "there is one more", with_diary(numbered), {"extra": 1}),
    (
        "daily",
        "one is taken out",
        with_diary(lambda diary: diary.deleted.append(datetime(2025, 10, 15, 7, tzinfo=UTC))),
        {"missing": 1},
    ),
    ("whole day", "whole days are moved", lambda item: [shifted(item) for _ in range(24)] and None, {"moved": 1}),  # type: ignore[func-returns-value]
]


@pytest.mark.parametrize(("subject", "what", "mutate", "expected"), MUTATIONS, ids=[one[1] for one in MUTATIONS])
def test_what_is_altered_in_the_target_is_named_and_nothing_else(
    carried: Carried, subject: str, what: str, mutate: Mutation, expected: dict[str, int]
) -> None:
    item = carried.copy_of(subject)
    before = copy.deepcopy(item.extended)
    mutate(item)
    try:
        verdict = carried.check()
        [found] = [one for one in verdict.differences if one.verdict == "fail"]
        assert found.why == "times"
        assert {name: len(getattr(found, name)) for name in ("missing", "extra", "moved") if getattr(found, name)} == expected
        assert verdict.figures["fail"] == 1
        assert verdict.figures["pass"] + verdict.figures.get("degraded", 0) == len(PASS)
        assert subject not in found.sentence
    finally:
        item.extended = before


def test_the_times_that_differ_are_named_by_date(carried: Carried) -> None:
    item = carried.copy_of("daily")
    before = copy.deepcopy(item.extended)
    with_diary(lambda diary: diary.deleted.append(datetime(2025, 10, 15, 7, tzinfo=UTC)))(item)
    try:
        [found] = carried.failed()
        assert found.missing == ("2025-10-15T07:00Z",)
        assert "missing 2025-10-15T07:00Z" in found.sentence
    finally:
        item.extended = before


def test_another_clock_with_the_same_times_is_degraded(carried: Carried) -> None:
    item = carried.copy_of("single")
    before = copy.deepcopy(item.extended)
    with_diary(lambda diary: setattr(diary, "zone", EASTERN))(item)
    try:
        named = [one for one in carried.check().differences if one.why == "time-zone"]
        assert carried.failed() == []
        assert len(named) >= 1
    finally:
        item.extended = before


def test_what_the_targets_user_changed_is_not_held_against_us(carried: Carried) -> None:
    item = carried.copy_of("weekly")
    before, change = copy.deepcopy(item.extended), item.change
    shifted(item)
    item.change += 1000
    try:
        verdict = carried.check()
        assert verdict.figures["target_wins"] == 1
        assert verdict.figures.get("fail", 0) == 0
    finally:
        item.extended, item.change = before, change


def test_a_change_at_the_source_since_asks_for_another_pass(carried: Carried) -> None:
    [source] = carried.lab.source.mailboxes.values()
    item = next(one for one in source.items.values() if one.subject == "weekly")
    before, change = copy.deepcopy(item.extended), item.change
    shifted(item)
    item.change += 1000
    try:
        [found] = carried.failed()
        assert found.why == "changed-since"
    finally:
        item.extended, item.change = before, change


def test_two_series_of_one_uid_are_compared_together(tmp_path: Path) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    box = mailbox.by_role("calendar")
    assert box is not None
    for number in range(2):
        first = wall(2026, 3, 2 + number, 9)
        item = an_appointment(f"twin {number}", first, BERLIN, Rule("daily", first.date(), interval=7, count=9), uid="same")
        item.id, item.folder_id = f"twin{number:020}", box.id
        mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab, ExitStack() as resources:
        carried = Carried(lab, "import", resources)
        assert carried.check().figures["pass"] == 2
        shifted(carried.copy_of("twin 1"))
        assert {one.why for one in carried.failed()} == {"times"}


def test_the_command_compares_calendars_and_says_where_they_may_not_be_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    box = mailbox.by_role("calendar")
    assert box is not None
    today = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0, tzinfo=None)
    item = an_appointment("Round", today, BERLIN, Rule("daily", today.date(), count=10))
    item.id, item.folder_id = "round", box.id
    mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab:
        words = ["-c", str(lab.config_file)]
        assert cli.run([*words, "run"]) == 0
        capsys.readouterr()
        assert cli.run([*words, "verify", "--calendar"]) == 0
        assert "calendar: 1 of 1 series and appointments take place at the same times." in capsys.readouterr().out
        [target] = lab.target.mailboxes.values()
        shifted(next(one for one in target.items.values() if one.subject == "Round"))
        assert cli.run([*words, "verify", "--calendar", "--json"]) == 4
        told = json.loads(capsys.readouterr().out)
        assert told["differences"] == 1
        [found] = told["mailboxes"][0]["calendar"]["differences"]
        assert len(found["moved"]) == 10
        assert cli.run([*words, "verify", "--deep"]) == 4
        out = capsys.readouterr().out
        assert "it takes place at other times: moved " in out
        assert "Round" not in out


@pytest.mark.parametrize("zone", ["W. Europe Standard Time", "Pacific/Auckland", "America/Los_Angeles", "", "nobody's"])
def test_an_all_day_event_is_its_days_whichever_way_a_server_writes_them(zone: str) -> None:
    clock = zone_of(zone) or zone_of("Europe/Berlin")
    by_clock = datetime(2026, 3, 29, tzinfo=clock).astimezone(UTC)
    assert day_of(by_clock, zone) == date(2026, 3, 29)
    assert day_of(datetime(2026, 3, 29, tzinfo=UTC), zone) == date(2026, 3, 29)
    begin, end = span_of(Occasion("x", by_clock, by_clock, True, zone))
    assert end - begin == timedelta(days=1)


def test_two_names_of_one_clock_are_one() -> None:
    assert same_clock("W. Europe Standard Time", "Europe/Berlin", NOW)
    assert same_clock("W. Europe Standard Time", "Romance Standard Time", NOW)
    assert not same_clock("W. Europe Standard Time", "GMT Standard Time", NOW)
    assert same_clock("tzone://Microsoft/Custom", "Europe/Berlin", NOW)
    assert not same_clock("tzone://Microsoft/Utc", "Europe/Berlin", NOW)
