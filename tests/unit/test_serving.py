"""The loop of ``serve`` over a real ledger, with hands that only pretend to carry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from migrator.counts import iso
from migrator.waves.serving import ALIVE, WAITS, Event, Serving, look
from migrator.waves.wave import Ending
from state.model import LedgerAway, MailboxRow, MailboxState, PassKind, PassState
from state.plans import WaveState
from state.store import Ledger


class Pretending:
    """Ends each pass clean at once, in the ledger too; after ``rounds`` looks it asks to stop."""

    def __init__(self, ledger: Ledger, stop: threading.Event, rounds: int) -> None:
        self.ledger = ledger
        self.stop = stop
        self.rounds = rounds
        self.began: list[str] = []
        self.going: list[MailboxRow] = []
        self.between: Callable[[int], None] = lambda left: None
        self.sentence = ""

    def begin(self, mailbox: MailboxRow) -> None:
        self.began.append(mailbox.source[0])
        self.going.append(mailbox)

    def ended(self, timeout: float) -> Sequence[Ending]:
        endings = []
        for row in self.going:
            lease = self.ledger.lease(row.id, "me", 60.0)
            number = self.ledger.begin_pass(lease, PassKind.SEED)
            self.ledger.end_pass(lease, number, PassState.DONE, "", {})
            self.ledger.release(lease)
            if row.state is MailboxState.PLANNED:
                for state in (MailboxState.SEEDING, MailboxState.SYNCING, MailboxState.READY):
                    row = self.ledger.move_mailbox(row.id, state, "")
            endings.append(Ending(mailbox=row, kind=PassKind.SEED, code=0, cause=""))
        self.going = []
        self.rounds -= 1
        self.between(self.rounds)
        if self.rounds <= 0:
            self.stop.set()
        return endings

    def halted(self) -> str:
        return self.sentence


class World:
    def __init__(self, ledger: Ledger, rounds: int = 3, at_once: int = 2, refresh: Callable[[], str] = lambda: "") -> None:
        self.ledger = ledger
        self.stop = threading.Event()
        self.events: list[Event] = []
        self.hands = Pretending(ledger, self.stop, rounds)
        self.serving = Serving(
            ledger, self.hands, self.events.append, at_once=at_once, stop=self.stop, tick=0.0, refresh=refresh
        )  # fmt: skip

    def told(self, what: str) -> list[str]:
        return [event.sentence for event in self.events if event.what == what]


def plan(ledger: Ledger, *names: str, wave: str = "w") -> list[MailboxRow]:
    return [ledger.plan_mailbox(wave, f"{name}@old.example", f"{name}@new.example") for name in names]


def test_all_are_begun_as_there_is_room_and_then_wait_for_their_delta(ledger: Ledger) -> None:
    plan(ledger, "a", "b", "c")
    world = World(ledger)
    assert world.serving.go() == 0
    assert world.hands.began == ["a", "b", "c"]
    waits = {one.mailbox_id: one.about for one in ledger.plans.observed(WAITS)}
    passes = ledger.plans.last_passes()
    assert waits == {
        number: {"until": iso(last.started + 4 * 3600), "why": "Its next delta."} for number, (last, _) in passes.items()
    }
    assert world.told("waits")[0].startswith("a@old.example waits until 20")
    assert world.told("stopped") == ["Stopped; start it again whenever you like."]


def test_mailboxes_that_are_planned_meanwhile_join_and_a_pause_by_somebody_else_counts(ledger: Ledger) -> None:
    plan(ledger, "a")
    world = World(ledger, rounds=4)

    def meanwhile(left: int) -> None:
        if left == 3:
            plan(ledger, "b")
            plan(ledger, "c", wave="late")
            ledger.plans.keep_wave("late", WaveState.PAUSED, {})
        if left == 2:
            ledger.plans.keep_wave("late", WaveState.OPEN, {})

    world.hands.between = meanwhile
    world.serving.go()
    assert world.hands.began == ["a", "b", "c"]
    assert any("`migrator wave resume late`" in one for one in world.told("waits"))


def test_what_it_waits_for_is_told_once_and_not_at_each_look(ledger: Ledger) -> None:
    plan(ledger, "a")
    ledger.plans.keep_wave("w", WaveState.PAUSED, {})
    world = World(ledger, rounds=5)
    world.serving.go()
    assert len(world.told("waits")) == 1


def test_somebody_can_see_that_it_is_alive_and_that_it_stopped(ledger: Ledger) -> None:
    world = World(ledger, rounds=2)
    seen: list[float] = []
    world.hands.between = lambda left: seen.append(ledger.hints()[ALIVE])
    world.serving.go()
    assert seen[0] > world.events[0].at
    assert ledger.hints()[ALIVE] == 0.0


def test_a_wrong_waves_file_is_told_once_and_ends_nothing(ledger: Ledger) -> None:
    plan(ledger, "a")
    world = World(ledger, rounds=4, refresh=lambda: "waves.csv line 3: source is empty.")
    assert world.serving.go() == 0
    assert world.told("trouble") == ["waves.csv line 3: source is empty."]
    assert world.hands.began == ["a"]


def test_where_nobody_can_proceed_it_ends_with_5_and_says_why(ledger: Ledger) -> None:
    world = World(ledger, rounds=1)
    world.hands.sentence = "The secret is wrong. Renew it."
    assert world.serving.go() == 5
    assert world.told("stopped") == ["The secret is wrong. Renew it."]


@pytest.mark.parametrize(("mend", "code"), [("", 0), ("Make room.", 5)])
def test_a_ledger_that_is_away_is_waited_for_unless_a_person_has_to_act(ledger: Ledger, mend: str, code: int) -> None:
    plan(ledger, "a")
    away = iter([True])

    def refresh() -> str:
        if next(away, False):
            raise LedgerAway("the ledger does not answer", mend)
        return ""

    world = World(ledger, rounds=3, refresh=refresh)
    assert world.serving.go() == code
    assert world.told("trouble")[0].startswith("The ledger does not answer.")
    assert world.hands.began == (["a"] if code == 0 else [])


def test_the_last_passes_are_found_with_how_many_in_a_row_did_not_come_to_their_end(ledger: Ledger) -> None:
    first, second, _ = plan(ledger, "a", "b", "c")
    lease = ledger.lease(first.id, "me", 60.0)
    for state in (PassState.PAUSED, PassState.DONE, PassState.PAUSED, PassState.PAUSED):
        ledger.end_pass(lease, ledger.begin_pass(lease, PassKind.SEED), state, "", {})
    other = ledger.lease(second.id, "me", 60.0)
    ledger.end_pass(other, ledger.begin_pass(other, PassKind.SEED), PassState.DONE, "", {})
    found = ledger.plans.last_passes()
    assert {number: (last.state, tries) for number, (last, tries) in found.items()} == {
        first.id: (PassState.PAUSED, 2),
        second.id: (PassState.DONE, 0),
    }


def test_a_look_knows_priorities_and_moments_of_the_spreadsheet(ledger: Ledger) -> None:
    first, second = plan(ledger, "a", "b")
    ledger.plans.describe(second.id, {"priority": 1})
    _, decision = look(ledger, 1e9, frozenset())
    assert decision.due == (second.id, first.id)
    ledger.plans.describe(second.id, {"priority": 1, "start_after": "2026-11-27T18:00+00:00"})
    _, decision = look(ledger, 1e9, frozenset({first.id}))
    assert decision.due == ()
    assert decision.next == decision.waits[0].until
