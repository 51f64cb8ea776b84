"""What is due and what waits: by tables, and over the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.waves.columns import Unfit, moment_of
from migrator.waves.hours import Hours, parse_hours
from migrator.waves.schedule import Candidate, Decision, WavePlan, decide, light, minutes_each, plan_of, seconds_of
from state.model import MailboxState, PassKind, PassState
from state.plans import WaveRow, WaveState

S = MailboxState
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC).timestamp()  # a Friday
HOUR = 3600.0


def one(number: int = 1, state: MailboxState = S.PLANNED, **about: Any) -> Candidate:
    values: dict[str, Any] = {"mailbox_id": number, "wave": "w", "source": f"m{number}@old.example", "state": state}
    return Candidate(**(values | about))


def passed(state: MailboxState, ago: float, **about: Any) -> Candidate:
    """One whose last pass began so many seconds ago and came to its end."""
    values: dict[str, Any] = {"passed": PassState.DONE, "kind": PassKind.DELTA, "began": NOW - ago, "ended": NOW - ago + 10}
    return one(state=state, **(values | about))


def decided(*candidates: Candidate, now: float = NOW, **plan: Any) -> Decision:
    return decide(now, {"w": WavePlan(name="w", **plan)}, candidates)


def wait(decision: Decision) -> tuple[float | None, str]:
    [found] = decision.waits
    assert not decision.due
    return found.until, found.why


@pytest.mark.parametrize(
    ("candidate", "plan"),
    [
        (one(), {}),
        (one(state=S.SEEDING), {"start_after": NOW}),
        (passed(S.READY, 4 * HOUR), {}),
        (passed(S.SYNCING, 2 * HOUR), {"every_hours": 2.0}),
        (passed(S.READY, HOUR, complete_after=NOW - 60), {}),
        (passed(S.SYNCING, HOUR, decided=NOW - 60), {}),
        (passed(S.LOCKED, 60), {}),
        (passed(S.SWEEPING, 15 * 60), {}),
        (passed(S.ROUTED, 5 * 60), {"sweep_minutes": 5.0}),
        (passed(S.BACKFILLING, HOUR), {"blackout": parse_hours("Mon-Sun 00:00-24:00")}),
        (passed(S.SWEEPING, HOUR), {"start_after": NOW + HOUR}),
        (one(state=S.PAUSED, came_from=S.SEEDING, passed=PassState.PAUSED, began=NOW - 99, ended=NOW - 10, tries=1), {}),
        (one(state=S.SEEDING, passed=PassState.RUNNING, began=NOW - 99, tries=1), {}),
    ],
)
def test_it_is_due(candidate: Candidate, plan: dict[str, Any]) -> None:
    assert decided(candidate, **plan) == Decision((candidate.mailbox_id,), ())


@pytest.mark.parametrize(
    ("candidate", "plan", "until", "why"),
    [
        (one(), {"start_after": NOW + 5}, NOW + 5, "starts then"),
        (one(start_after=NOW + 9), {"start_after": NOW + 5}, NOW + 9, "starts then"),
        (passed(S.READY, HOUR), {}, NOW + 3 * HOUR, "next delta"),
        (passed(S.READY, HOUR), {"complete_after": NOW + 60}, NOW + 60, "next delta"),
        (passed(S.READY, HOUR), {"complete_after": NOW - 2 * HOUR}, NOW + 3 * HOUR, "next delta"),
        (passed(S.SYNCING, HOUR, decided=NOW - 2 * HOUR), {}, NOW + 3 * HOUR, "next delta"),
        (passed(S.SWEEPING, 60), {}, NOW + 14 * 60, "next sweep"),
        (passed(S.LOCKED, 60, kind=PassKind.FINAL), {}, None, "final pass is through"),
        (passed(S.FINAL, 60, kind=PassKind.FINAL), {}, None, "final pass is through"),
        (one(state=S.HELD, came_from=S.SEEDING, cause="The mailbox is full."), {}, None, "HELD: The mailbox is full."),
        (one(state=S.FAILED, came_from=S.SEEDING), {}, None, "no cause is known"),
        (one(), {"state": WaveState.PAUSED}, None, "wave resume w"),
        (one(), {"state": WaveState.STOPPED}, None, "wave start w"),
        (one(leased=NOW + 30), {}, NOW + 30, "Another process"),
        (one(), {"blackout": parse_hours("Fri 08:00-18:00", "UTC")}, NOW + 6 * HOUR, "blackout"),
        (one(), {"blackout": parse_hours("Mon-Sun 00:00-24:00")}, None, "blackout"),
    ],
)
def test_it_waits_for_something_until_then(
    candidate: Candidate, plan: dict[str, Any], until: float | None, why: str
) -> None:  # fmt: skip
    found, said = wait(decided(candidate, **plan))
    assert found == until
    assert why in said


@pytest.mark.parametrize(("tries", "seconds"), [(1, 10), (2, 20), (5, 160), (30, 3600)])
def test_what_did_not_come_to_its_end_is_tried_again_later_each_time(tries: int, seconds: float) -> None:
    paused = one(
        state=S.PAUSED, came_from=S.SYNCING, cause="It was away.", passed=PassState.PAUSED, began=NOW, ended=NOW, tries=tries
    )
    until, why = wait(decided(paused))
    assert (until, why) == (NOW + seconds, "It is tried again: It was away.")


def test_who_is_closed_or_under_way_here_neither_runs_nor_waits() -> None:
    assert decided(one(1, S.CLOSED), one(2, here=True)) == Decision((), ())


def test_late_mail_goes_first_then_final_passes_then_the_pilot_then_by_priority() -> None:
    plans = {"w": WavePlan(name="w"), "p": WavePlan(name="p", pilot=True)}
    candidates = [
        one(1), one(2, priority=1), passed(S.READY, 9 * HOUR, mailbox_id=3), passed(S.LOCKED, 9, mailbox_id=4),
        passed(S.SWEEPING, HOUR, mailbox_id=5), passed(S.READY, 5 * HOUR, mailbox_id=6, wave="p"),
    ]  # fmt: skip
    assert decide(NOW, plans, candidates).due == (5, 4, 6, 2, 1, 3)


def test_other_waves_begin_when_all_of_the_pilot_is_ready() -> None:
    plans = {"w": WavePlan(name="w"), "p": WavePlan(name="p", pilot=True)}
    begun = passed(S.READY, 9 * HOUR, mailbox_id=9)
    for state, free in [(S.PLANNED, False), (S.SYNCING, False), (S.READY, True), (S.SWEEPING, True), (S.CLOSED, True)]:
        pilot = passed(state, HOUR, mailbox_id=1, wave="p")
        decision = decide(NOW, plans, [pilot, one(2), begun])
        assert (2 in decision.due) == free, state
        assert 9 in decision.due, "who was seeded goes on"
    held = one(1, S.HELD, came_from=S.SEEDING, wave="p")
    assert 2 not in decide(NOW, plans, [held, one(2)]).due
    stopped = plans | {"p": WavePlan(name="p", pilot=True, state=WaveState.STOPPED)}
    assert 2 in decide(NOW, stopped, [held, one(2)]).due, "a pilot that was given up holds nobody"


def test_a_plan_is_read_from_what_the_ledger_says_and_nonsense_counts_as_not_said() -> None:
    details = {
        "start_after": "2026-11-27T18:00+01:00", "every_hours": 2, "blackout": "Mon-Fri 08:00-18:00",
        "time_zone": "Europe/Berlin", "pilot": True, "sweep_minutes": 5, "complete_after": "soon",
    }  # fmt: skip
    plan = plan_of("w", WaveRow(name="w", at=0.0, state=WaveState.PAUSED, details=details))
    assert plan.start_after == datetime(2026, 11, 27, 17, 0, tzinfo=UTC).timestamp()
    assert (plan.state, plan.every_hours, plan.pilot, plan.sweep_minutes, plan.complete_after) == (
        WaveState.PAUSED, 2.0, True, 5.0, None,
    )  # fmt: skip
    assert plan.blackout is not None
    wrong = {"blackout": "always", "every_hours": "x", "time_zone": "Nowhere"}
    assert plan_of("w", WaveRow(name="w", at=0.0, state=WaveState.OPEN, details=wrong)) == WavePlan(name="w")
    assert plan_of("w", None) == WavePlan(name="w")


# -- clocks that change

ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])
# Around the nights of 2026 on which these zones change their clocks, and any other time.
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 3, 27), datetime(2026, 3, 31)),  # noqa: DTZ001
    st.datetimes(datetime(2026, 10, 23), datetime(2026, 10, 27)),  # noqa: DTZ001
    st.datetimes(datetime(2026, 3, 6), datetime(2026, 3, 10)),  # noqa: DTZ001
    st.datetimes(datetime(2026, 4, 3), datetime(2026, 4, 7)),  # noqa: DTZ001
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001
).map(lambda moment: moment.replace(second=0, microsecond=0))
SPANS = st.sampled_from(["Mon-Fri 08:00-18:00", "Sun 01:00-04:00", "Sat-Sun 22:00-03:00", "Mon-Sun 02:00-03:00"])


@given(MOMENTS, ZONES, SPANS)
def test_a_blackout_ends_at_the_first_minute_that_the_wall_clock_shows_outside_of_it(
    moment: datetime, zone: str, span: str
) -> None:
    hours = parse_hours(span, zone)
    assert hours is not None
    now = moment.replace(tzinfo=UTC).timestamp()
    if not hours.hold(now):
        return
    until = light(hours, now)
    assert until is not None
    assert not hours.hold(until)
    assert until > now
    assert all(hours.hold(at) for at in _minutes(now, until))
    assert wait(decided(one(), now=now, blackout=hours)) == (until, "The blackout of its wave.")
    assert decided(one(), now=until, blackout=hours).due == (1,)


def _minutes(first: float, last: float) -> list[float]:
    return [first + minute * 60.0 for minute in range(int((last - first) / 60))]


@given(MOMENTS, ZONES)
def test_a_moment_on_the_wall_is_kept_or_refused_where_the_clocks_leave_it_out(moment: datetime, zone: str) -> None:
    text = moment.strftime("%Y-%m-%d %H:%M")
    there = any(
        (moment.replace(tzinfo=UTC) + timedelta(minutes=minute)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == moment
        for minute in range(-15 * 60, 15 * 60, 30)
    )
    try:
        found = moment_of(text, zone)
    except Unfit:
        assert not there, "only what no clock shows is refused"
        return
    assert found.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == moment
    assert seconds_of(found.isoformat(timespec="minutes")) == found.timestamp()


@given(st.floats(0, 48 * HOUR), st.sampled_from([1.0, 4.0, 24.0]), MOMENTS)
def test_deltas_come_as_many_seconds_apart_as_was_said_whatever_the_clocks_do(ago: float, every: float, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC).timestamp()
    candidate = one(state=S.READY, passed=PassState.DONE, began=now - ago, ended=now - ago)
    decision = decided(candidate, now=now, every_hours=every)
    due = candidate.began + every * HOUR if candidate.began is not None else now
    assert bool(decision.due) == (due <= now)
    assert decision.next == (None if decision.due else due)


def hours_of(text: str) -> Hours:
    found = parse_hours(text, "UTC")
    assert found is not None
    return found


@given(
    st.lists(
        st.builds(
            Candidate,
            mailbox_id=st.integers(1, 10**6),
            wave=st.sampled_from(["w", "p", "other"]),
            source=st.just("m@old.example"),
            state=st.sampled_from(MailboxState),
            came_from=st.sampled_from([S.SEEDING, S.SYNCING, S.LOCKED, S.SWEEPING]),
            start_after=st.sampled_from([None, NOW - 1, NOW + 60]),
            kind=st.sampled_from([None, *PassKind]),
            passed=st.sampled_from([None, *PassState]),
            began=st.sampled_from([None, NOW - 30, NOW - 30 * HOUR]),
            ended=st.sampled_from([None, NOW - 5]),
            tries=st.integers(0, 3),
            leased=st.sampled_from([0.0, NOW + 10]),
            here=st.booleans(),
        ),
        max_size=12,
        unique_by=lambda found: found.mailbox_id,
    ),
    st.sampled_from(WaveState),
)
def test_every_mailbox_is_due_or_waits_for_a_named_reason_or_is_closed_or_here(
    candidates: list[Candidate], state: WaveState
) -> None:
    plans = {
        "w": WavePlan(name="w", state=state, blackout=hours_of("Fri 08:00-18:00")),
        "p": WavePlan(name="p", pilot=True, start_after=NOW + HOUR),
    }
    decision = decide(NOW, plans, candidates)
    told = [*decision.due, *(one.mailbox_id for one in decision.waits)]
    assert sorted(told) == sorted(one.mailbox_id for one in candidates if not one.here and one.stands is not S.CLOSED)
    assert all(one.why and (one.until is None or one.until > NOW) for one in decision.waits)


@pytest.mark.parametrize(
    ("at_once", "flipped", "minutes"), [(4, 0, 15.0), (4, 1, 15.0), (4, 4, 15.0), (4, 100, 0.6), (1, 3, 5.0)]
)
def test_sweeps_make_room_for_one_another_so_that_all_have_their_turn_in_time(at_once: int, flipped: int, minutes: float) -> None:
    assert minutes_each(15.0, at_once, flipped) == pytest.approx(minutes)
    assert minutes_each(15.0, at_once, flipped) * flipped / at_once <= 15.0 + 1e-9
