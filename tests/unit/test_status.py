"""``status``: every view fits, says first what needs a person, and answers at once whatever the size of the ledger."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migrator import cli
from migrator.forecast import Rates, Span, Tick
from migrator.status import COLUMNS, Standing, after_table, headline, moment, seconds, sheet, standings, table, tables, waits_for
from migrator.watching import pace, watch
from migrator.waves.status import wave_headline, wave_standings, wave_table
from state.glance import CantLook, look
from state.model import ItemState, MailboxState, Open, PassKind, PassState, Row, Step
from state.plans import WaveState
from state.store import Ledger

S = MailboxState
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC).timestamp()


def standing(source: str = "anna@old.example", **changes: Any) -> Standing:
    values: dict[str, Any] = {
        "wave": "w", "source": source, "target": "anna@new.example", "state": S.SYNCING, "share": 1.0, "items": 5,
        "gigabytes": 1.5, "pending": 0, "refused": 0, "approved": 0, "cause": "",
        "done": 5, "bytes": 1_500_000_000, "read": True,
    }  # fmt: skip
    return Standing(**(values | changes))


def fill(ledger: Ledger, source: str = "anna@old.example", state: S = S.SYNCING, wave: str = "w") -> int:
    """A mailbox with two items done, one refused and one open, after a seed and a delta pass."""
    mailbox_id = ledger.plan_mailbox(wave, source, source.replace("old", "new")).id
    lease = ledger.lease(mailbox_id, "the pass", 600)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 4)], 1)
    wanted = (ItemState.DONE, ItemState.DONE, ItemState.REFUSED, ItemState.LISTED)
    steps = [
        Step(
            None,
            Row(key=bytes([at]) * 16, folder_id=folder.id, state=to, size=1000),
            None if to is ItemState.DONE else Open(item_id=str(at), reason="too-large"),
        )
        for at, to in enumerate(wanted)
    ]
    ledger.settle(lease, steps)
    for kind in (PassKind.SEED, PassKind.DELTA):
        number = ledger.begin_pass(lease, kind)
        ledger.end_pass(lease, number, PassState.DONE, "", {"created": 60, "bytes": 60_000, "listed": 99, "source.x": 1.5})
    ledger.release(lease)
    for to in (S.SEEDING, S.SYNCING, S.READY, S.LOCKED, S.FINAL, S.ROUTED, S.SWEEPING):
        if ledger.mailbox(mailbox_id).state is state:
            break
        ledger.move_mailbox(mailbox_id, to, "")
    return mailbox_id


def test_a_mailbox_is_told_with_what_it_waits_for_and_how_long_it_would_take(ledger: Ledger) -> None:
    fill(ledger)
    [row] = standings(ledger)
    assert (row.items, row.pending, row.refused, row.pending_bytes) == (4, 1, 1, 1000)
    assert row.waiting_for == "1 item still to carry"
    assert row.final is not None
    assert row.behind is not None
    assert row.behind < 600
    assert not row.running
    assert not row.flipped


def test_after_the_flip_the_last_arrivals_are_told(ledger: Ledger) -> None:
    mailbox_id = fill(ledger, state=S.SWEEPING)
    seen = {"last_in_source": "2026-11-23T08:00:00+00:00", "late": {"mx1": 2, "fax": 1}, "sent_from_old": 4}
    ledger.plans.observe(mailbox_id, "arrivals", seen)
    [row] = standings(ledger)
    assert row.flipped
    assert (row.last_in_source, row.last_in_target, row.late, row.sent_from_old) == (seen["last_in_source"], "", 3, 4)
    lines = tables([row], now=NOW)
    assert lines[1].split() == ["MAILBOX", "STATE", "LAST-IN-SOURCE", "LAST-IN-TARGET", "LATE", "SENT-FROM-OLD", "OPEN"]
    assert lines[2].split() == ["anna@old.example", "SWEEPING", "Mon", "08:00", "-", "3", "4", "1"]
    assert headline([row]).startswith("A person is needed: 1 mailbox still sent from the old side")


def test_the_quick_look_and_the_ledger_itself_tell_the_same(ledger: Ledger) -> None:
    for name in ("anna", "ben"):
        fill(ledger, f"{name}@old.example")
    ledger.move_mailbox(2, S.HELD, "No licence.")
    ledger.plans.keep_wave("w", WaveState.PAUSED, {"start_after": "2026-12-01T00:00:00+00:00"})
    with look(ledger.url) as glance:
        quick = standings(glance, now=NOW)
        assert glance.mailboxes() == ledger.mailboxes()
        assert glance.mailboxes("no such wave") == []
        assert glance.waves() == {"w": ("PAUSED", {"start_after": "2026-12-01T00:00:00+00:00"})}
    assert quick == standings(ledger, now=NOW)
    assert [row.waiting_for for row in quick] == ["its wave, which is PAUSED", "No licence."]


def test_as_many_questions_are_asked_of_many_mailboxes_as_of_one(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'l.db'}") as ledger:
        asked: list[int] = []
        for many in (1, 30):
            for number in range(many):
                ledger.plan_mailbox("w", f"u{many}.{number}@old.example", f"u{many}.{number}@new.example")
            with look(ledger.url) as glance:
                count, ask = [0], glance._ask
                glance._ask = lambda text, values, ask=ask, count=count: (count.__setitem__(0, count[0] + 1), ask(text, values))[
                    1
                ]  # type: ignore[misc,return-value]
                standings(glance)
            asked += count
    assert asked[0] == asked[1]


def test_a_file_that_is_no_ledger_is_left_to_the_usual_way(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("this is no database at all, but long enough to be read as one" * 20)
    with pytest.raises(CantLook), look(f"sqlite:///{tmp_path / 'odd.db'}"):
        pass


@pytest.mark.parametrize(
    ("state", "told", "words"),
    [
        (S.PLANNED, {}, "its first pass"),
        (S.PLANNED, {"start": "2026-12-01T20:00"}, "its first pass, after 2026-12-01T20:00"),
        (S.SEEDING, {"running": True}, "its pass, which runs now"),
        (S.SYNCING, {"wave": "PAUSED"}, "its wave, which is PAUSED"),
        (S.SYNCING, {"pending": 1200}, "1,200 items still to carry"),
        (S.SYNCING, {"unapproved": 2}, "2 approvals"),
        (S.SYNCING, {}, "a clean pass"),
        (S.READY, {}, "its cutover"),
        (S.SWEEPING, {"wave": "PAUSED"}, "late mail"),
        (S.CLOSED, {}, "nothing"),
    ],
)
def test_every_mailbox_waits_for_something_that_has_a_name(
    ledger: Ledger, state: S, told: dict[str, Any], words: str
) -> None:  # fmt: skip
    row = dataclasses.replace(ledger.plan_mailbox("w", "a@old.example", "a@new.example"), state=state)
    assert words in waits_for(row, **({"running": False, "pending": 0, "unapproved": 0} | told))


def test_a_wave_that_is_paused_after_its_flip_is_what_a_person_has_to_see_first(ledger: Ledger) -> None:
    fill(ledger, state=S.SWEEPING)
    assert not standings(ledger)[0].unswept
    ledger.plans.keep_wave("w", WaveState.PAUSED, {})
    [row] = standings(ledger)
    assert row.unswept
    assert headline([row]).startswith(
        "A person is needed: late mail of 1 mailbox waits at the source, because the wave w does not"
    )
    assert row.waiting_for == "late mail; its wave is PAUSED"
    assert "late mail; its" in " ".join(after_table([row]))
    [wave] = wave_standings([row], {"w": ("PAUSED", {})}, Rates())
    assert "1 have late mail waiting" in wave.needs_you
    assert wave_headline([wave]).startswith("A person is needed: late mail waits")


def test_what_passes_brought_is_read_since_a_moment(ledger: Ledger) -> None:
    fill(ledger)
    ran = ledger.glance().ended_since(0)
    assert len(ran) == 2
    last = max(one.ended or 0 for one in ran)
    assert ledger.glance().ended_since(last) == []


def test_there_is_no_state_without_a_cause(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("w", "a@old.example", "a@new.example")
    for state in S:
        assert waits_for(dataclasses.replace(row, state=state), running=False, pending=0, unapproved=0)


WIDE = standing(
    "a.very.long.name.indeed@subsidiary.of.a.company.example",
    items=123_456_789,
    gigabytes=123_456.78,
    refused=123_456,
    state=S.BACKFILLING,
    behind=86400.0 * 40,
    last_pass=NOW - 1e7,
    final=Span(1.0, 400_000.0),
    waiting_for="A long story\nthat goes on " * 10,
    last_in_source="2026-11-24T14:59:00+00:00",
    last_in_target="2026-11-01T14:59:00+00:00",
    late=123_456,
    sent_from_old=99,
    pending=123_456_789,
)


def test_every_view_fits_a_hundred_columns_whatever_is_in_it() -> None:
    waves = wave_standings([WIDE, standing()], {"w": ("PAUSED", {})}, Rates(1.0, 1.0, 1.0, 1.0))
    for lines in (table([WIDE, standing()]), after_table([WIDE, standing()]), wave_table(waves)):
        assert max(map(len, lines)) <= 100
        assert not any("\n" in line for line in lines)


def test_a_spreadsheet_gets_the_whole_numbers() -> None:
    [cells] = sheet([WIDE])
    told = dict(zip(COLUMNS, cells, strict=True))
    assert (told["items"], told["final_most_seconds"], told["done_percent"]) == (123_456_789, 400_000, 100.0)
    assert len(cells) == len(COLUMNS)


@pytest.mark.parametrize(("ago", "text"), [(60.0, "14:59"), (86400.0, "Mon 15:00"), (86400.0 * 30, "2026-10-25"), (None, "-")])
def test_a_moment_is_as_short_as_it_may_be(ago: float | None, text: str) -> None:
    assert moment(None if ago is None else NOW - ago, NOW, UTC) == text


def test_a_time_without_a_zone_is_utc_and_no_time_is_none() -> None:
    assert seconds("2026-11-24T15:00:00") == seconds("2026-11-24T16:00:00+01:00") == NOW
    assert seconds("") is seconds("soon") is None


def test_a_wave_is_the_sum_of_its_mailboxes() -> None:
    rows = [
        standing("a", state=S.READY, behind=30.0),
        standing("b", state=S.HELD, behind=7200.0),
        standing("c", state=S.SWEEPING, behind=9e9, flipped=True),
        standing("d", pending=100, pending_bytes=0, behind=60.0, refused=2, approved=1),
        standing("e", wave="x", state=S.PLANNED, share=None, done=0, bytes=0, read=False),
    ]
    one, other = wave_standings(rows, {"x": ("STOPPED", {})}, Rates(0, 0, running_items=7200, overall_items=4800))
    assert (one.wave, one.mailboxes, one.gigabytes, one.oldest) == ("w", 4, 6.0, 7200.0)
    assert one.finish == Span(50.0, 100.0), "a hundred items, at the rate of running passes and at three quarters of the other"
    assert one.needs_you == "1 held, 1 want approvals, 1 to cut over"
    assert (other.state, other.finish) == ("STOPPED", Span(2.5, 105.0)), (
        "as large as the median of the others, or as the larger fifth"
    )
    assert wave_table([one, other])[1].split()[:4] == ["w", "OPEN", "2/1/0", "of"]
    assert wave_headline([one, other]) == "A person is needed: of 2 waves, w have mailboxes that are held or failed."


class Paper(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def drawn(*views: str) -> Callable[[], tuple[list[str], Tick]]:
    ticks = iter(enumerate(views))

    def draw() -> tuple[list[str], Tick]:
        at, text = next(ticks)
        return [text], Tick(at * 10.0, at * 100, 500 - at * 100, at * 10**6)

    return draw


def test_a_terminal_is_drawn_anew_with_speed_and_a_forecast() -> None:
    paper, slept = Paper(True), []
    watch(drawn("one", "two"), paper, 3.0, times=2, sleep=slept.append)
    last = paper.getvalue().split("\x1b[H\x1b[2J")[-1]
    assert last.startswith("two\n")
    assert "10.0 items/s, 0.1 MB/s. The 400 items known to be open take 32-60 s more." in last
    assert slept == [3.0]


def test_a_terminal_without_control_characters_is_emptied_its_own_way() -> None:
    paper, emptied = Paper(True), []
    watch(drawn("one", "two"), paper, 0, times=2, sleep=lambda _: None, clear=lambda: emptied.append(1))
    assert len(emptied) == 2
    assert "\x1b" not in paper.getvalue()


def test_elsewhere_a_view_is_printed_once_a_change_and_without_control_characters() -> None:
    paper = Paper(False)
    watch(drawn("one", "one", "two"), paper, 0, times=3, sleep=lambda _: None)
    assert paper.getvalue() == "one\n\ntwo\n\n"


def test_ctrl_c_ends_the_view_in_silence() -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    paper = Paper(False)
    watch(drawn("one", "two"), paper, 1.0, sleep=stop)
    assert paper.getvalue() == "one\n\n"


def test_what_does_not_move_has_no_end() -> None:
    assert "nothing moves" in pace([Tick(0, 5, 10), Tick(5, 5, 10)])
    assert "Nothing is known to be open" in pace([Tick(0, 5, 1), Tick(5, 6, 0)])
    assert "not known yet" in pace([Tick(0, 5, 10)])


CONFIG = """
[source]
url = "https://ex.example"
username = "u"
password = "env:PASSWORD"
[target]
tenant_id = "t"
client_id = "c"
secret = "env:PASSWORD"
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("PASSWORD", "very secret")
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    with Ledger.open(f"sqlite:///{tmp_path / 'migrator.db'}") as ledger:
        fill(ledger)
        mailbox_id = fill(ledger, "ben@old.example", S.SWEEPING)
        ledger.plans.observe(mailbox_id, "arrivals", {"sent_from_old": 4, "late": {"mx1": 2}})

    def run(*words: str) -> tuple[int, str]:
        code = cli.run(["-c", str(tmp_path / "migrator.toml"), *words])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


VIEWS = [(), ("--waves",), ("--folders",), ("--old-profile",)]


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_every_view_comes_in_all_three_forms(shell: Callable[..., tuple[int, str]], view: tuple[str, ...]) -> None:
    code, text = shell("status", *view)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 100
    code, out = shell("status", *view, "--json")
    told = json.loads(out)
    assert (code, told["exit_code"], told["headline"]) == (0, 0, text.splitlines()[0])
    code, out = shell("status", *view, "--csv")
    lines = list(csv.reader(io.StringIO(out)))
    assert len(lines) >= 2
    assert all(len(line) == len(lines[0]) for line in lines)


def test_who_uses_an_old_profile_is_named_with_what_to_do(shell: Callable[..., tuple[int, str]]) -> None:
    _, out = shell("status", "--old-profile")
    assert out.splitlines()[0] == "A person is needed: 1 of 1 flipped mailboxes still sent from the old side."
    assert "ben@old.example" in out
    assert "set up anew" in out


@pytest.mark.parametrize("words", [("--waves", "--folders"), ("--watch", "--json"), ("--watch", "--old-profile")])
def test_options_that_do_not_go_together_are_refused(shell: Callable[..., tuple[int, str]], words: tuple[str, ...]) -> None:
    assert shell("status", *words)[0] == 64


def test_status_loads_no_library_of_the_engine(tmp_path: Path) -> None:
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    Ledger.open(f"sqlite:///{tmp_path / 'migrator.db'}").close()
    script = (
        "import sys\nfrom migrator.cli import run\n"
        "code = run(['status']) or run(['status', '--waves'])\n"
        "heavy = {'aiohttp', 'sqlalchemy', 'structlog', 'lxml', 'rich', 'psycopg', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_process_that_serves_says_of_those_who_wait_counts_as_long_as_it_lives(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
    ledger.plans.observe(row.id, "waits", {"until": "2026-11-27T17:00:00+00:00", "why": "The blackout of its wave."})
    ledger.hint("serve", 1000.0)
    assert standings(ledger, now=900.0)[0].waiting_for == "until 2026-11-27T17:00:00+00:00: The blackout of its wave."
    assert standings(ledger, now=1100.0)[0].waiting_for == "its first pass"
