"""A run over mailboxes: leases, states and endings, by what a pass does. The ledger is real; the passes are scripted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from connectors.base import Destination, Source
from connectors.errors import Halt, MailboxBlocked, Unavailable, UnknownAnswer
from connectors.pacer import Stopped
from migrator.config import PassSettings
from migrator.engine.passes import Job, PassReport
from migrator.progress import Plain, Silent, watcher_for
from migrator.status import Standing, headline, percent, standings, table
from migrator.waves import wave as waves
from migrator.waves.pauses import LOOKED_FOR_PAUSES
from migrator.waves.wave import Ending, Run, run_wave
from state.model import Choice, Decision, Fenced, ItemState, MailboxRow, MailboxState, Open, PassKind, PassState, Row, Step
from state.plans import WaveState
from state.store import Ledger

Script = Callable[[Job], PassReport]

DONE = PassReport(PassState.DONE, "", {"listed": 3.0})


class Closing:
    """Stands for a connector: all that a run itself does with one is to close it."""

    opened: int = 0
    closed: int = 0

    def __init__(self) -> None:
        Closing.opened += 1

    def close(self) -> None:
        Closing.closed += 1


class Doors:
    """Opens both sides, or raises what it was told to."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.refuse = refuse

    def source(self, mailbox: MailboxRow, stop: threading.Event) -> Source:
        return cast(Source, Closing())

    def destination(self, mailbox: MailboxRow, stop: threading.Event) -> Destination:
        if self.refuse:
            raise self.refuse
        return cast(Destination, Closing())


@pytest.fixture
def ledger(either_url: str) -> Iterator[Ledger]:
    with Ledger.open(either_url) as opened:
        yield opened


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Script]:
    """What the pass of each mailbox does, by its name; DONE if nothing is said."""
    given: dict[str, Script] = {}

    def run_pass(job: Job) -> PassReport:
        name = job.ledger.mailbox(job.lease.mailbox_id).source.partition("@")[0]
        return given[name](job) if name in given else DONE

    monkeypatch.setattr(waves, "run_pass", run_pass)
    Closing.opened = Closing.closed = 0
    return given


def raising(error: BaseException) -> Script:
    def script(job: Job) -> PassReport:
        raise error

    return script


def plan(ledger: Ledger, *names: str) -> list[MailboxRow]:
    return [ledger.plan_mailbox("wave1", f"{name}@old.example", f"{name}@new.example") for name in names]


def go(ledger: Ledger, *names: str, **changes: Any) -> list[Ending]:
    values: dict[str, Any] = {
        "connectors": Doors(),
        "settings": PassSettings(lease=60.0),
        "at_once": 2,
        "owner": "me",
        "stop": threading.Event(),
        "watcher": Silent(),
    }
    return run_wave(Run(ledger=ledger, **(values | changes)), plan(ledger, *names))


def state(ledger: Ledger, name: str) -> tuple[MailboxState, str]:
    row = plan(ledger, name)[0]
    return row.state, row.cause


def test_a_clean_first_pass_leads_to_ready_and_the_next_is_a_delta(ledger: Ledger, scripts: dict[str, Script]) -> None:
    kinds: list[PassKind] = []

    def remember(job: Job) -> PassReport:
        kinds.append(job.kind)
        assert state(ledger, "anna")[0] in (MailboxState.SEEDING, MailboxState.READY)
        return DONE

    scripts["anna"] = remember
    [first] = go(ledger, "anna")
    [second] = go(ledger, "anna")
    assert kinds == [PassKind.SEED, PassKind.DELTA]
    assert (first.code, first.mailbox.state, first.cause) == (0, MailboxState.READY, "")
    assert (second.code, second.figures) == (0, {"listed": 3.0})


def test_a_paused_seed_goes_on_as_a_seed(ledger: Ledger, scripts: dict[str, Script]) -> None:
    kinds: list[PassKind] = []

    def pause_once(job: Job) -> PassReport:
        kinds.append(job.kind)
        return DONE if len(kinds) > 1 else PassReport(PassState.PAUSED, "3 items are still open; run again.", {})

    scripts["anna"] = pause_once
    [ending] = go(ledger, "anna")
    assert ending.code == 3
    assert state(ledger, "anna") == (MailboxState.PAUSED, "3 items are still open; run again.")
    go(ledger, "anna")
    assert kinds == [PassKind.SEED, PassKind.SEED]
    assert state(ledger, "anna") == (MailboxState.READY, "")


@pytest.mark.parametrize(
    ("error", "code", "where", "cause"),
    [
        (Unavailable("the source is away"), 3, MailboxState.PAUSED, "The source is away."),
        (Stopped("stopped by the operator"), 3, MailboxState.PAUSED, "Stopped by the operator."),
        (MailboxBlocked("the mailbox is full", mend="make room"), 4, MailboxState.HELD, "The mailbox is full. Make room."),
        (Halt("the secret is wrong", mend="renew it"), 5, MailboxState.PAUSED, "The secret is wrong. Renew it."),
        (UnknownAnswer("what is this"), 70, MailboxState.FAILED, "This is a bug (UnknownAnswer); the log file has the details."),
        (KeyError("subject of a mail"), 70, MailboxState.FAILED, "This is a bug (KeyError); the log file has the details."),
    ],
)
def test_each_class_of_error_has_its_state_code_and_cause(
    ledger: Ledger, scripts: dict[str, Script], error: Exception, code: int, where: MailboxState, cause: str
) -> None:
    scripts["anna"] = raising(error)
    [ending] = go(ledger, "anna")
    assert (ending.code, ending.mailbox.state, ending.cause) == (code, where, cause)
    assert state(ledger, "anna") == (where, cause)
    assert (ending.error is error) == (code == 70)
    assert Closing.opened == Closing.closed == 2
    scripts.clear()
    [again] = go(ledger, "anna")
    assert (again.code, again.mailbox.state) == (0, MailboxState.READY), "running it again is how it goes on"


def test_a_mailbox_in_trouble_leaves_the_others_alone(ledger: Ledger, scripts: dict[str, Script]) -> None:
    scripts["ben"] = raising(MailboxBlocked("no licence"))
    scripts["carla"] = raising(ZeroDivisionError())
    endings = go(ledger, "anna", "ben", "carla", "dora", at_once=1)
    assert [ending.mailbox.source.partition("@")[0] for ending in endings] == ["anna", "ben", "carla", "dora"]
    assert [ending.code for ending in endings] == [0, 4, 70, 0]


def test_what_only_opening_a_side_tells_counts_the_same_and_closes_the_other(ledger: Ledger, scripts: dict[str, Script]) -> None:
    [ending] = go(ledger, "anna", connectors=Doors(MailboxBlocked("no such user")))
    assert ending.code == 4
    assert Closing.opened == Closing.closed == 1


def test_a_halt_stops_the_whole_wave_and_everybody_says_why(ledger: Ledger, scripts: dict[str, Script]) -> None:
    both = threading.Barrier(2, timeout=10)

    def halt(job: Job) -> PassReport:
        both.wait()
        raise Halt("the secret is wrong", mend="renew it")

    def stopped(job: Job) -> PassReport:
        both.wait()
        assert job.stop.wait(10)
        return PassReport(PassState.PAUSED, "stopped by the operator", {})

    scripts |= {"anna": halt, "ben": stopped}
    endings = go(ledger, "anna", "ben", "carla")
    assert [ending.code for ending in endings] == [5, 3, 3]
    assert endings[1].cause == "Stopped with all others: The secret is wrong. Renew it."
    assert endings[2].cause == "Not begun: The secret is wrong. Renew it."
    assert state(ledger, "carla")[0] is MailboxState.PLANNED


def test_after_a_stop_no_further_mailbox_begins(ledger: Ledger, scripts: dict[str, Script]) -> None:
    stop = threading.Event()

    def stopping(job: Job) -> PassReport:
        stop.set()
        return PassReport(PassState.PAUSED, "stopped by the operator", {})

    scripts["anna"] = stopping
    endings = go(ledger, "anna", "ben", at_once=1, stop=stop)
    assert [ending.code for ending in endings] == [3, 3]
    assert endings[0].cause == "Stopped by the operator."
    assert endings[1].mailbox.state is MailboxState.PLANNED


def test_a_disk_that_fills_stops_everything_while_there_is_room_to_say_so(ledger: Ledger, scripts: dict[str, Script]) -> None:
    full: list[str] = []

    def filling(job: Job) -> PassReport:
        full.append("The disk is nearly full; make room, then run again.")
        assert job.stop.wait(20)
        return PassReport(PassState.PAUSED, "stopped by the operator", {})

    scripts["anna"] = filling
    endings = go(ledger, "anna", "ben", at_once=1, no_room=lambda: full[0] if full else "")
    assert [ending.code for ending in endings] == [5, 5]
    assert all("make room" in ending.cause for ending in endings)
    assert state(ledger, "anna")[0] is MailboxState.PAUSED


def test_a_mailbox_that_another_process_has_is_left_to_it(ledger: Ledger, scripts: dict[str, Script]) -> None:
    [row] = plan(ledger, "anna")
    lease = ledger.lease(row.id, "other", 60.0)
    [ending] = go(ledger, "anna")
    assert ending.code == 3
    assert "other" in ending.cause
    assert state(ledger, "anna") == (MailboxState.PLANNED, "")
    ledger.release(lease)
    assert go(ledger, "anna")[0].code == 0


def test_a_process_that_lost_its_mailbox_touches_its_state_no_more(ledger: Ledger, scripts: dict[str, Script]) -> None:
    scripts["anna"] = raising(Fenced("taken over"))
    [ending] = go(ledger, "anna")
    assert ending.code == 3
    assert state(ledger, "anna") == (MailboxState.SEEDING, "")


def test_the_lease_is_released_at_the_end(ledger: Ledger, scripts: dict[str, Script]) -> None:
    scripts["anna"] = raising(RuntimeError())
    [ending] = go(ledger, "anna")
    ledger.release(ledger.lease(ending.mailbox.id, "other", 60.0))


def test_a_long_pass_keeps_its_lease(ledger: Ledger, scripts: dict[str, Script]) -> None:
    held: list[bool] = []

    def long(job: Job) -> PassReport:
        first = ledger.mailbox(job.lease.mailbox_id).lease_until
        until = time.monotonic() + 10
        while time.monotonic() < until and ledger.mailbox(job.lease.mailbox_id).lease_until == first:
            job.watch("created", 1, 10)
            time.sleep(0.02)
        held.append(ledger.mailbox(job.lease.mailbox_id).lease_until > first)
        return DONE

    scripts["anna"] = long
    go(ledger, "anna", settings=PassSettings(lease=0.6))
    assert held == [True]


def test_a_mailbox_that_hangs_loses_its_lease(
    ledger: Ledger, scripts: dict[str, Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waves, "PATIENCE", 0.0)

    def hang(job: Job) -> PassReport:
        before = ledger.mailbox(job.lease.mailbox_id).lease_until
        time.sleep(0.15)
        assert ledger.mailbox(job.lease.mailbox_id).lease_until == before
        return DONE

    scripts["anna"] = hang
    assert go(ledger, "anna", settings=PassSettings(lease=0.2))[0].code == 0


def refuse_one(job: Job) -> PassReport:
    """A pass that settles three items: one arrived, one refused, one still open."""
    ledger, lease = job.ledger, job.lease
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 3)], 1)
    steps = []
    for at, to in enumerate((ItemState.DONE, ItemState.REFUSED, ItemState.LISTED)):
        row = Row(key=bytes([at]) * 16, folder_id=folder.id, state=to, size=1000 * (at + 1))
        steps.append(Step(None, row, None if to is ItemState.DONE else Open(item_id=str(at), reason="too-large")))
    ledger.record_page(lease, folder.id, steps, cursor="c", fingerprint="1", complete=True, generation=1)
    return DONE


def test_an_ending_counts_what_the_ledger_holds_and_refusals_make_it_2(ledger: Ledger, scripts: dict[str, Script]) -> None:
    scripts["anna"] = refuse_one
    [ending] = go(ledger, "anna")
    counts = (ending.listed, ending.done, ending.refused, ending.withheld, ending.pending, ending.bytes)
    assert counts == (3, 1, 1, 0, 1, 1000)
    assert ending.code == 2


def test_status_shows_where_each_mailbox_stands(ledger: Ledger, scripts: dict[str, Script]) -> None:
    scripts |= {"anna": refuse_one, "ben": raising(MailboxBlocked("no licence", mend="assign one"))}
    go(ledger, "anna", "ben")
    plan(ledger, "carla")
    rows = {row.source.partition("@")[0]: row for row in standings(ledger)}
    assert rows["anna"].share == pytest.approx(2 / 3)
    assert (rows["anna"].items, rows["anna"].pending, rows["anna"].refused) == (3, 1, 1)
    assert rows["ben"].cause == "No licence. Assign one."
    assert rows["carla"].share is None
    assert headline(list(rows.values())) == "A person is needed: of 3 mailboxes, 1 HELD; the cause says what to do."
    assert standings(ledger, "no such wave") == []


def standing(**changes: Any) -> Standing:
    values: dict[str, Any] = {
        "wave": "w",
        "source": "anna@old.example",
        "target": "anna@new.example",
        "state": MailboxState.SYNCING,
        "share": 1.0,
        "items": 5,
        "gigabytes": 1.5,
        "pending": 0,
        "refused": 0,
        "approved": 0,
        "cause": "",
    }
    return Standing(**(values | changes))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "No mailbox is planned"),
        ([standing()], "all of 1 mailbox is carried"),
        ([standing(), standing(state=MailboxState.FAILED)], "A person is needed: of 2 mailboxes, 1 FAILED"),
        ([standing(state=MailboxState.PAUSED)], "1 PAUSED; run again"),
        ([standing(pending=1200)], "1,200 items known to be still to carry"),
        ([standing(state=MailboxState.PLANNED, items=0)], "still to carry"),
        ([standing(refused=3)], "3 items can't go"),
        ([standing(refused=3, approved=1)], "2 items can't go"),
        (
            [standing(refused=3, approved=3)],
            "Nothing needs a person; all of 1 mailbox is carried but 3 items that stay by approval",
        ),
    ],
)
def test_the_first_line_says_what_needs_a_person(rows: list[Standing], words: str) -> None:
    assert words in headline(rows)


def test_the_table_fits_a_hundred_columns_whatever_is_in_it() -> None:
    wide = standing(
        source="a.very.long.name.indeed@subsidiary.of.a.company.example",
        items=123_456_789,
        gigabytes=123_456.78,
        pending=123_456_789,
        refused=123_456_789,
        cause="A long story\nthat goes on " * 10,
        state=MailboxState.BACKFILLING,
    )
    lines = table([wide, standing()])
    assert max(map(len, lines)) <= 100
    assert lines[0].split()[:-1] == ["MAILBOX", "STATE", "DONE%", "ITEMS", "GB", "BEHIND", "LAST-PASS", "FINAL≈", "REFUSED"]
    assert lines[2].startswith("anna@")


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert [percent(share) for share in (None, 0.0, 0.5, 0.99999, 1.0)] == ["-", "0.0", "50.0", "99.9", "100"]


class Paper:
    """An output that is no terminal."""

    def __init__(self, terminal: bool = False) -> None:
        self.text = ""
        self.terminal = terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return self.terminal


def test_plain_progress_says_a_line_now_and_then(ledger: Ledger, scripts: dict[str, Script]) -> None:
    paper, now = Paper(), [0.0]
    [row] = plan(ledger, "anna")
    plain = Plain(1, cast(Any, paper), clock=lambda: now[0])
    plain.began(row, PassKind.SEED)
    plain.did(row, "listed", 100, 0)
    plain.did(row, "created", 40, 2_000_000)
    now[0] = 10.0
    plain.did(row, "refused", 1, 0)
    plain.did(row, "created", 1, 0)
    [ending] = go(ledger, "anna")
    plain.ended(ending)
    assert paper.text.splitlines() == [
        "anna@old.example: seed pass begins",
        "anna@old.example: 100 listed, 40 carried, 1 refused, 2.0 MB",
        "anna@old.example: READY, 100 listed, 41 carried, 1 refused, 2.0 MB (1 of 1)",
    ]
    assert "\x1b" not in paper.text


def test_a_terminal_gets_a_live_table_without_colours_if_so_wished(
    ledger: Ledger, scripts: dict[str, Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    paper = Paper(terminal=True)
    scripts["anna"] = refuse_one
    with watcher_for(1, quiet=False, out=cast(Any, paper)) as watcher:
        [ending] = go(ledger, "anna")
        watcher.began(ending.mailbox, PassKind.SEED)
        watcher.did(ending.mailbox, "created", 7, 3_000_000)
        time.sleep(0.2)
        table_text = str(paper.text)
        watcher.ended(ending)
    assert table_text
    assert "\x1b[3" not in paper.text, "no colour"
    assert isinstance(watcher_for(1, quiet=True), Silent)
    assert isinstance(watcher_for(1, quiet=False, out=cast(Any, Paper())), Plain)


def test_a_paused_wave_does_not_begin_and_says_how_it_goes_on(ledger: Ledger, scripts: dict[str, Script]) -> None:
    ledger.plans.keep_wave("wave1", WaveState.PAUSED, {})
    [ending] = go(ledger, "anna")
    assert (ending.code, ending.mailbox.state) == (3, MailboxState.PLANNED)
    assert ending.cause == "Not begun: Its wave wave1 is PAUSED; `migrator wave resume wave1` lets it go on."


def test_a_wave_that_somebody_pauses_ends_what_is_under_way(ledger: Ledger, scripts: dict[str, Script]) -> None:
    stop = threading.Event()

    def paused(job: Job) -> PassReport:
        # As another process does it.
        ledger.plans.keep_wave("wave1", WaveState.PAUSED, {})
        assert job.stop.wait(30)
        raise Stopped("stopped by the operator")

    def goes_on(job: Job) -> PassReport:
        assert not job.stop.wait(LOOKED_FOR_PAUSES * 2)
        return DONE

    scripts |= {"anna": paused, "ben": goes_on}
    rows = [*plan(ledger, "anna"), ledger.plan_mailbox("wave2", "ben@old.example", "ben@new.example")]
    run = Run(
        ledger=ledger, connectors=Doors(), settings=PassSettings(lease=60.0), at_once=2, owner="me", stop=stop, watcher=Silent()
    )
    anna, ben = run_wave(run, rows)
    assert (anna.code, anna.mailbox.state) == (3, MailboxState.PAUSED)
    assert "`migrator wave resume wave1`" in anna.cause
    assert ben.code == 0, "the other wave is left alone"
    assert not stop.is_set()


@pytest.mark.parametrize(
    ("came", "kind"),
    [
        (MailboxState.LOCKED, PassKind.FINAL),
        (MailboxState.FINAL, PassKind.FINAL),
        (MailboxState.ROUTED, PassKind.SWEEP),
        (MailboxState.SWEEPING, PassKind.SWEEP),
        (MailboxState.BACKFILLING, PassKind.SWEEP),
    ],
)
def test_from_the_lock_on_the_state_says_which_pass_and_stays_as_it_is(
    ledger: Ledger, scripts: dict[str, Script], came: MailboxState, kind: PassKind
) -> None:
    kinds: list[PassKind] = []

    def remember(job: Job) -> PassReport:
        kinds.append(job.kind)
        return DONE

    scripts["anna"] = remember
    way = list(MailboxState)
    [row] = plan(ledger, "anna")
    for state_on_the_way in way[1 : way.index(came) + 1]:
        ledger.move_mailbox(row.id, state_on_the_way, "")
    [ending] = go(ledger, "anna")
    assert (kinds, ending.mailbox.state) == ([kind], came)


def test_a_closed_mailbox_is_not_run(ledger: Ledger, scripts: dict[str, Script]) -> None:
    [row] = plan(ledger, "anna")
    for state_on_the_way in list(MailboxState)[1:10]:
        ledger.move_mailbox(row.id, state_on_the_way, "")
    [ending] = go(ledger, "anna")
    assert (ending.code, ending.kind, ending.cause) == (0, None, "Not run: it is CLOSED.")


def test_a_mailbox_with_something_that_stays_is_not_ready_before_it_is_approved(
    ledger: Ledger, scripts: dict[str, Script]
) -> None:
    def one_stays(job: Job) -> PassReport:
        folder = ledger.record_folders(job.lease, [("f", None, "Inbox", "mail", None, 1)], ledger.next_round(job.lease))[0].id
        row = Row(key=b"k" * 16, folder_id=folder, state=ItemState.REFUSED)
        ledger.settle(job.lease, [Step(None, row, Open(item_id="i", reason="too-large"))])
        return DONE

    scripts["anna"] = one_stays
    [ending] = go(ledger, "anna")
    assert (ending.code, ending.mailbox.state) == (2, MailboxState.SYNCING)
    assert state(ledger, "anna")[0] is MailboxState.SYNCING
    scripts.clear()
    decision = Decision(
        mailbox_id=ending.mailbox.id,
        key=b"k" * 16,
        version=b"",
        reason="too-large",
        decision=Choice.APPROVED,
        who="me",
        why="",
        at=0.0,
    )
    ledger.approvals.decide([decision])
    [ending] = go(ledger, "anna")
    assert (ending.code, ending.mailbox.state) == (0, MailboxState.READY)


@pytest.mark.parametrize(("blackouts", "stops"), [(True, True), (False, False)])
def test_a_blackout_that_begins_ends_what_serve_has_under_way_and_not_what_a_person_began(
    ledger: Ledger, scripts: dict[str, Script], blackouts: bool, stops: bool
) -> None:
    ledger.plans.keep_wave("wave1", WaveState.OPEN, {"blackout": "Mon-Sun 00:00-24:00"})

    def under_way(job: Job) -> PassReport:
        if job.stop.wait(30 if stops else LOOKED_FOR_PAUSES * 2):
            raise Stopped("stopped by the operator")
        return DONE

    scripts["anna"] = under_way
    [ending] = go(ledger, "anna", blackouts=blackouts)
    assert (ending.mailbox.state is MailboxState.PAUSED) == stops
    assert ending.cause == ("The blackout of its wave." if stops else "")


@pytest.mark.parametrize(("scheduled", "minutes"), [(False, 10.0), (True, 2.5)])
def test_by_the_schedule_a_sweep_leaves_time_for_those_of_the_others(
    ledger: Ledger, scripts: dict[str, Script], scheduled: bool, minutes: float
) -> None:
    """Eight mailboxes past their flip, two of them at once: each has a quarter of the time between two sweeps."""
    given: list[float] = []

    def remember(job: Job) -> PassReport:
        given.append(job.settings.sweep_minutes)
        return DONE

    scripts["anna"] = remember
    ledger.plans.keep_wave("wave1", WaveState.OPEN, {"sweep_minutes": 10})
    way = list(MailboxState)
    for row in plan(ledger, "anna", *(f"other{number}" for number in range(7))):
        for state_on_the_way in way[1 : way.index(MailboxState.SWEEPING) + 1]:
            ledger.move_mailbox(row.id, state_on_the_way, "")
    go(ledger, "anna", blackouts=scheduled)
    assert given == [minutes]
