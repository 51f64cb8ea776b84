"""How a running process is asked to stop, refused a mailbox that another one has, and kept from writing once it is late."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_world import Real

from connectors.lab.server import Lab, LabPlan

LONG = pytest.mark.full

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="this system has no signals to send to another process"),
    pytest.mark.timeout(300),
]

CLEAN = {"lost": [], "twice": []}


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose tenant takes its time, so that a pass is still under way when a hand comes in."""
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=120, tenant_latency=0.1)) as lab:
        yield lab


@pytest.mark.parametrize(("number", "lane"), [(signal.SIGINT, "import"), pytest.param(signal.SIGTERM, "compose", marks=LONG)])
def test_asked_to_stop_it_ends_at_a_batch_says_how_to_go_on_and_goes_on(slow: Lab, lane: str, number: signal.Signals) -> None:
    real = Real(slow, lane, lease=2.0)
    process = real.start("run")
    real.wait_for(lambda: real.arrived() >= 12, process)
    process.send_signal(number)
    ended = real.finish(process)
    assert ended.code == 3, ended
    assert "run the same command again to go on" in ended.err
    assert "Traceback" not in ended.err
    assert 12 <= real.arrived() < 120
    assert ended.mailbox["state"] == "PAUSED"
    left = real.states()
    assert not any(number for state, number in left.items() if state.name == "INTENDED"), "it stopped between the batches"
    done = real.run("run")
    assert done.code in (0, 2), "its lease was given back, so there is nothing to wait for"
    assert real.differences() == CLEAN
    assert real.run("run").written == 0


@pytest.mark.parametrize("lane", [pytest.param("import", marks=LONG), "compose"])
def test_asked_twice_it_ends_at_once_and_loses_nothing(slow: Lab, lane: str) -> None:
    real = Real(slow, lane, lease=2.0, settle_horizon=0.3)
    process = real.start("run")
    real.wait_for(lambda: real.arrived() >= 12, process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "\n"
    assert "once more: end at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert real.finish(process).code == 3
    assert real.run_on().code in (0, 2)
    assert real.differences() == CLEAN
    assert real.run("run").written == 0


def test_a_second_process_on_the_same_mailbox_is_refused_by_the_lease(slow: Lab) -> None:
    real = Real(slow, lease=60.0)
    first = real.start("run")
    real.wait_for(lambda: real.arrived() >= 12, first)
    first.send_signal(signal.SIGSTOP)  # it has to be there still when the second one comes
    try:
        second = real.run("run")
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.code == 3, second
    assert second.cause.startswith("Another process (")
    assert "run again later" in second.cause
    assert second.written == 0
    assert real.finish(first).code in (0, 2)
    assert real.differences() == CLEAN


@pytest.mark.parametrize("lane", ["import", pytest.param("compose", marks=LONG)])
def test_a_process_that_sleeps_past_its_lease_sends_nothing_when_it_wakes(slow: Lab, lane: str) -> None:
    real = Real(slow, lane, lease=2.0, settle_horizon=0.3)
    zombie = real.start("run")
    try:
        real.wait_for(lambda: real.arrived() >= 12, zombie)
        zombie.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # what was under way in the tenant comes to its end there
        heir = real.run_on()
        assert heir.code in (0, 2), heir
        assert real.differences() == CLEAN
        before = slow.seen.writes
        zombie.send_signal(signal.SIGCONT)
        ended = real.finish(zombie)
    finally:
        if zombie.poll() is None:
            real.kill(zombie)
    assert ended.code == 3, ended
    assert "took the mailbox over" in ended.cause
    assert "Traceback" not in ended.err
    assert slow.seen.writes == before, "it wrote beside its heir"
    assert real.differences() == CLEAN
    assert real.run("run").written == 0
