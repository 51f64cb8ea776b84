"""A process whose lease is over sends nothing more, whatever it still holds in its hands."""

from __future__ import annotations

import threading
import time

import pytest

from connectors.base import Lane, Unsent, Write, WriteKind
from connectors.memory_destination import MemoryDestination
from connectors.memory_target import Content, MemoryTarget
from connectors.pacer import Stopped
from migrator.engine.tenure import Tenure, kept_alive
from state.model import Fenced
from state.store import Ledger


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mailbox(ledger: Ledger) -> int:
    return ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example").id


def tenure_of(ledger: Ledger, mailbox: int, clock: Clock, *, seconds: float = 300.0, answer: float = 100.0) -> Tenure:
    return Tenure(ledger, ledger.lease(mailbox, "us", seconds), seconds, answer, clock(), clock)


def test_nothing_leaves_whose_answer_could_come_after_the_lease(ledger: Ledger, mailbox: int, clock: Clock) -> None:
    tenure = tenure_of(ledger, mailbox, clock)
    clock.now += 199
    assert tenure.may_leave()
    clock.now += 2
    assert not tenure.may_leave()


def test_a_renewal_gives_the_whole_length_again_and_comes_only_when_a_quarter_is_gone(
    ledger: Ledger, mailbox: int, clock: Clock
) -> None:
    tenure = tenure_of(ledger, mailbox, clock)
    clock.now += 60
    tenure.keep()
    clock.now += 141
    assert not tenure.may_leave()  # sixty seconds were too early for a renewal
    tenure.keep()
    assert tenure.may_leave()
    clock.now += 199
    assert tenure.may_leave()


def test_a_lease_shorter_than_an_answer_still_lets_its_first_half_be_used(ledger: Ledger, mailbox: int, clock: Clock) -> None:
    tenure = tenure_of(ledger, mailbox, clock, seconds=10.0)
    clock.now += 4
    assert tenure.may_leave()
    clock.now += 2
    assert not tenure.may_leave()


def test_who_was_taken_over_is_told_and_never_leaves_again(ledger: Ledger, mailbox: int, clock: Clock) -> None:
    tenure = tenure_of(ledger, mailbox, clock)
    ledger.release(tenure.lease)
    ledger.lease(mailbox, "heir", 300.0)
    clock.now += 250
    with pytest.raises(Fenced):
        tenure.keep()
    assert not tenure.may_leave()


def test_a_guarded_destination_leaves_everything_unsent() -> None:
    target = MemoryTarget()
    copy = target.deliver(next(iter(target.boxes)), Content())
    destination = MemoryDestination(target)
    destination.guard(lambda: False)
    [outcome] = destination.write([Write(kind=WriteKind.REMOVE, lane=Lane.IMPORT, target_id=copy)]).result()
    assert isinstance(outcome, Unsent)
    assert isinstance(outcome.cause, Stopped)
    assert list(target.items) == [copy]


def test_a_lease_that_is_kept_alive_outlasts_an_answer_of_any_length(ledger: Ledger, mailbox: int) -> None:
    renewed = threading.Semaphore(0)

    class Told(Tenure):
        def renew(self) -> None:
            super().renew()
            renewed.release()

    tenure = Told(ledger, ledger.lease(mailbox, "us", 0.3), 0.3, 0.1, time.time())
    with kept_alive(tenure, 0.3):
        for _ in range(4):
            assert renewed.acquire(timeout=60)
    assert not any(thread.name == "lease" for thread in threading.enumerate())


def test_keeping_a_lease_alive_ends_with_the_lease(ledger: Ledger, mailbox: int) -> None:
    tenure = Tenure(ledger, ledger.lease(mailbox, "us", 0.1), 0.1, 0.05, time.time())
    ledger.release(tenure.lease)
    ledger.lease(mailbox, "heir", 300.0)
    with kept_alive(tenure, 0.1):
        [thread] = [one for one in threading.enumerate() if one.name == "lease"]
        thread.join(timeout=60)
        assert not thread.is_alive()
