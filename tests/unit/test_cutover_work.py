"""What operators do in a cutover, over a ledger: each act refuses what would lose mail, and says so."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_cli import Typed
from test_commands import CONFIG
from test_dns_hints import Resolver

from migrator import cli, logs
from migrator.config import BadInput
from migrator.cutover import work
from migrator.cutover.positions import advance, positions, steps_now
from migrator.scoring import packaged
from state.model import (
    MAILBOX_MOVES,
    ItemState,
    LeaseHeld,
    MailboxRow,
    MailboxState,
    Open,
    PassKind,
    PassState,
    Row,
    Step,
    Work,
)
from state.plans import Confirmation, WaveState
from state.store import Ledger

WAY = (
    MailboxState.SEEDING, MailboxState.SYNCING, MailboxState.READY, MailboxState.LOCKED, MailboxState.FINAL, MailboxState.ROUTED,
    MailboxState.SWEEPING,
)  # fmt: skip


def put(ledger: Ledger, row: MailboxRow, state: MailboxState) -> MailboxRow:
    """Bring a mailbox into a state by legal moves."""
    for step in WAY[: WAY.index(state) + 1]:
        row = ledger.move_mailbox(row.id, step, "")
    return row


def ran(ledger: Ledger, row: MailboxRow, kind: PassKind) -> None:
    lease = ledger.lease(row.id, "a test", 60)
    ledger.end_pass(lease, ledger.begin_pass(lease, kind), PassState.DONE, "", {})
    ledger.release(lease)


@pytest.fixture
def url(either_url: str) -> str:
    with Ledger.open(either_url) as ledger:
        for name in ("anna", "ben", "carla"):
            ledger.plan_mailbox("wave1", f"{name}@old.example", f"{name}@new.example")
    return either_url


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as opened:
        yield opened


@pytest.fixture
def typed(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Typed]]:
    (tmp_path / "migrator.toml").write_text(CONFIG + f'\n[ledger]\nurl = "{url}"\n')
    monkeypatch.chdir(tmp_path)

    def type_it(*words: str) -> Typed:
        code = cli.run(words)
        captured = capsys.readouterr()
        return Typed(code, captured.out, captured.err)

    yield type_it
    logs.take_down()


def test_a_mailbox_whose_mail_has_flipped_is_not_withdrawn_but_rolled_back(ledger: Ledger) -> None:
    anna, ben, carla = ledger.mailboxes()
    put(ledger, anna, MailboxState.ROUTED)
    with pytest.raises(BadInput, match="cutover rollback"):
        work.withdraw(ledger, ledger.mailbox(anna.id), "me", "")
    put(ledger, ben, MailboxState.FINAL)
    ledger.plans.confirm(ben.id, "lock", "me", "done")
    assert work.withdraw(ledger, ledger.mailbox(ben.id), "me", "").state is MailboxState.SYNCING
    # Paused in the middle of its final pass it is withdrawn all the same.
    put(ledger, carla, MailboxState.LOCKED)
    ledger.move_mailbox(carla.id, MailboxState.PAUSED, "Stopped.")
    assert work.withdraw(ledger, ledger.mailbox(carla.id), "me", "").state is MailboxState.SYNCING
    withdrawn = {one.address: (one.withdrawn, "lock" in one.confirmed) for one in positions(ledger, ledger.mailboxes())}
    assert withdrawn == {
        "anna@old.example": (False, False),
        "ben@old.example": (True, False),
        "carla@old.example": (True, False),
    }
    work.take_in_again(ledger, ledger.mailbox(ben.id), "me")
    assert [one.withdrawn for one in positions(ledger, ledger.mailboxes())] == [False, False, True]


def test_mail_is_not_routed_before_the_final_pass(ledger: Ledger) -> None:
    anna, ben, carla = ledger.mailboxes()
    for row in (anna, ben):
        put(ledger, row, MailboxState.FINAL)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    ran(ledger, anna, PassKind.FINAL)
    put(ledger, carla, MailboxState.LOCKED)
    told = work.confirm(ledger, ledger.mailboxes(), "route", "done", "me", "")
    assert {row.source: row.state for row in told.rows} == {
        "anna@old.example": MailboxState.ROUTED,
        "ben@old.example": MailboxState.FINAL,
    }
    assert "No clean final pass" in ledger.mailbox(ben.id).cause
    assert [row.source for row, _ in told.left] == ["carla@old.example"]


def test_the_free_edges_are_taken_one_after_the_other_and_never_further(ledger: Ledger) -> None:
    anna = put(ledger, ledger.mailboxes()[0], MailboxState.LOCKED)
    ledger.plans.confirm(anna.id, "lock", "me", "done")
    ran(ledger, anna, PassKind.FINAL)
    anna, why = advance(ledger, anna)
    assert anna.state is MailboxState.FINAL
    assert "not confirmed to go to the target" in why
    ledger.plans.confirm(anna.id, "route", "me", "done")
    anna, why = advance(ledger, anna)
    assert (anna.state, "No clean sweep" in why) == (MailboxState.ROUTED, True)
    ran(ledger, anna, PassKind.SWEEP)
    anna, why = advance(ledger, anna)
    assert anna.state is MailboxState.SWEEPING
    assert "Late mail is collected for another 3 d." in why
    ledger.plans.keep_wave("wave1", WaveState.OPEN, {"sweep_hours": 0})
    assert advance(ledger, anna)[0].state is MailboxState.SWEEPING, "closing is an act of a person"


def test_nothing_is_moved_under_a_pass_that_is_under_way(ledger: Ledger) -> None:
    anna, ben, carla = ledger.mailboxes()
    for row, state in ((anna, MailboxState.READY), (ben, MailboxState.FINAL), (carla, MailboxState.SWEEPING)):
        put(ledger, row, state)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    ran(ledger, ben, PassKind.FINAL)
    leases = [ledger.lease(row.id, "a pass", 60) for row in (anna, ben, carla)]
    one, _, sweeping = positions(ledger, ledger.mailboxes())
    assert work.lock(ledger, "wave1", one, "me") == (work.BUSY,)
    with pytest.raises(LeaseHeld):
        work.withdraw(ledger, ledger.mailbox(ben.id), "me", "")
    with pytest.raises(LeaseHeld):
        work.roll_back(ledger, sweeping, ledger.mailbox(carla.id), "me", "", 0)
    # What is confirmed meanwhile counts, and the pass itself takes the edge when it ends.
    assert work.confirm(ledger, [ledger.mailbox(ben.id)], "route", "done", "me", "").rows[0].state is MailboxState.FINAL
    assert [row.state for row in ledger.mailboxes()] == [MailboxState.READY, MailboxState.FINAL, MailboxState.SWEEPING]
    for lease in leases:
        ledger.release(lease)
    assert work.moved_on(ledger, ledger.mailbox(ben.id)).state is MailboxState.ROUTED
    assert work.lock(ledger, "wave1", one, "me") == ()


def test_an_unlock_takes_a_lock_back() -> None:
    def told(step: str, at: float, result: str = "done") -> Confirmation:
        return Confirmation(mailbox_id=1, step=step, at=at, who="me", result=result, detail="")

    assert set(steps_now([told("lock", 1), told("unlock", 2)])[0]) == {"unlock"}
    assert set(steps_now([told("lock", 3), told("unlock", 2)])[0]) == {"lock", "unlock"}
    assert steps_now([told("lock", 1, "failed")]) == ({}, {"lock"})


def test_every_state_of_a_cutover_has_its_way_back_in_the_ledger() -> None:
    for state in (MailboxState.LOCKED, MailboxState.FINAL, MailboxState.ROUTED, MailboxState.SWEEPING, MailboxState.BACKFILLING):
        assert MailboxState.SYNCING in MAILBOX_MOVES[state]


def test_a_close_wants_each_question_answered_once_and_keeps_who_did(ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="no question of a close"):
        work.answer(ledger, "wave1", {"forward": "none"}, "me")
    ledger.plans.keep_wave("wave1", WaveState.OPEN, {"every_hours": 4})
    work.answer(ledger, "wave1", {"forwards": "none"}, "me")
    kept = work.answer(ledger, "wave1", {"holds": "off"}, "you")
    assert {key: (one["answer"], one["who"]) for key, one in kept.items()} == {
        "forwards": ("none", "me"),
        "holds": ("off", "you"),
    }
    assert ledger.plans.waves()["wave1"].details["every_hours"] == 4


# -- as commands


def test_ready_says_no_go_and_why_and_remembers_the_old_ttl(typed: Callable[..., Typed], ledger: Ledger) -> None:
    anna, ben, _ = ledger.mailboxes()
    with Resolver() as resolver:
        dns = ("--internal-dns", resolver.address, "--public-dns", resolver.address)
        none = typed("cutover", "ready", "wave1", *dns)
        assert none.code == 4
        assert none.out.startswith("NO-GO: None of 3 mailboxes can be cut over now; each says why.")
        assert "MX of old.example, internal: mx1.old.example, mx2.old.example; TTL 300 s or more." in none.out
        assert all(len(line) <= 100 for line in none.out.splitlines() if "@old.example  " in line)
        put(ledger, anna, MailboxState.READY)
        put(ledger, ben, MailboxState.READY)
        some = typed("cutover", "ready", "wave1", *dns)
    assert (some.code, some.out.partition(":")[0]) == (2, "GO WITHOUT THESE")
    assert "mail for carla@old.example would reach the target too" in some.out
    told = json.loads(typed("cutover", "ready", "wave1", "--no-dns", "--json").out)
    assert (told["verdict"], told["exit_code"]) == ("go without these", 2)
    # Twice the old TTL is never less than what was asked for.
    now = time.time()
    ledger.plans.keep_wave("wave1", WaveState.OPEN, {"sweep_hours": 0})
    ledger.plans.confirm(anna.id, "route", "me", "done")
    [one, *_] = positions(ledger, ledger.mailboxes())
    assert one.sweep_until is not None
    assert one.sweep_until >= now + 600


def test_start_begins_nothing_while_somebody_is_not_ready(typed: Callable[..., Typed], ledger: Ledger) -> None:
    anna, ben, carla = ledger.mailboxes()
    for row in (anna, ben):
        put(ledger, row, MailboxState.READY)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    told = typed("cutover", "start", "wave1", "--dry-run")
    assert told.code == 4
    assert "carla@old.example: It is PLANNED, not READY." in told.out
    dry = typed("cutover", "start", "wave1", "--without", carla.source, "--dry-run")
    assert dry.code == 0
    assert "Would run 2 final passes" in dry.out
    assert {row.state for row in ledger.mailboxes()} == {MailboxState.READY, MailboxState.PLANNED}
    assert ledger.plans.acts() == []
    paused = ledger.plans.keep_wave("wave1", WaveState.PAUSED, {})
    assert paused is None
    assert "The wave is PAUSED" in typed("cutover", "start", "wave1", "--without", carla.source, "--dry-run").out


def refuse(ledger: Ledger, row: MailboxRow, number: int) -> list[bytes]:
    """Let so many items of a mailbox be refused, and one arrive."""
    lease = ledger.lease(row.id, "a pass", 60)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 5)], 1)
    keys = [row.id.to_bytes(8, "big") + at.to_bytes(8, "big") for at in range(number + 1)]
    steps = [
        Step(
            None,
            Row(key=key, folder_id=folder.id, state=ItemState.DONE if key == keys[0] else ItemState.REFUSED, size=10),
            None if key == keys[0] else Open(item_id=key.hex(), work=Work.CREATE, reason="too-large"),
        )
        for key in keys
    ]
    ledger.settle(lease, steps)
    ledger.release(lease)
    return keys[1:]


def test_a_mailbox_that_the_rule_does_not_let_complete_is_kept_back_until_the_one_it_names_approves(
    typed: Callable[..., Typed], ledger: Ledger, tmp_path: Path
) -> None:
    rule = (
        packaged().read_text("utf-8").replace('by = "the mailbox\'s owner and the lead of the migration"', 'by = "kim@admin-pc"')
    )
    (tmp_path / "scoring.toml").write_text(rule)
    config = tmp_path / "migrator.toml"
    config.write_text(config.read_text() + '\n[errors]\nscoring = "scoring.toml"\n')
    for row in ledger.mailboxes():
        ran(ledger, put(ledger, row, MailboxState.READY), PassKind.SEED)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    anna = ledger.mailboxes()[0]
    refuse(ledger, anna, 4)
    assert typed("errors", "approve", "--reason", "too-large", "--why", "fine", "--who", "lee@admin-pc").code == 0
    told = typed("cutover", "ready", "wave1", "--no-dns")
    assert (told.code, told.out.partition(":")[0]) == (2, "GO WITHOUT THESE")
    assert "it is poor: 4 items that did not go and kim@admin-pc did not approve" in " ".join(told.out.split())
    start = typed("cutover", "start", "wave1", "--dry-run")
    assert start.code == 4
    assert "anna@old.example: By scoring rule 1 it is poor" in start.out
    assert "kim@admin-pc has to approve" in start.out
    assert typed("errors", "approve", "--reason", "too-large", "--why", "they have copies", "--who", "Kim@Admin-PC").code == 0
    assert typed("cutover", "start", "wave1", "--dry-run", "--no-dns").code == 0
    assert typed("cutover", "ready", "wave1", "--no-dns").code == 0


def test_the_scoring_rule_keeps_nobody_back_where_the_config_says_so(
    typed: Callable[..., Typed], ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "scoring.toml").write_text(packaged().read_text("utf-8").replace('completes = "yes"', 'completes = "no"'))
    config = tmp_path / "migrator.toml"
    config.write_text(config.read_text() + '\n[errors]\nscoring = "scoring.toml"\n')
    for row in ledger.mailboxes():
        ran(ledger, put(ledger, row, MailboxState.READY), PassKind.SEED)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    assert typed("cutover", "start", "wave1", "--dry-run").code == 4
    assert typed("cutover", "ready", "wave1", "--no-dns").code == 4
    config.write_text(config.read_text() + "\n[cutover]\nscore_blocks = false\n")
    assert typed("cutover", "start", "wave1", "--dry-run").code == 0
    ready = typed("cutover", "ready", "wave1", "--no-dns")
    assert (ready.code, ready.out.partition(":")[0]) == (2, "GO"), "what is not blocked is still told"


def test_start_waits_for_the_planned_moment_and_says_it_with_its_zone(typed: Callable[..., Typed], ledger: Ledger) -> None:
    for row in ledger.mailboxes():
        ran(ledger, put(ledger, row, MailboxState.READY), PassKind.SEED)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    assert typed("wave", "start", "wave1", "--complete-after", "2099-06-05 18:00", "--time-zone", "Europe/Berlin").code == 0
    ready = typed("cutover", "ready", "wave1", "--no-dns")
    assert ready.code == 0, "the decision may be taken before"
    assert "Not to be cut over before 2099-06-05 18:00 Europe/Berlin: " in ready.out
    told = typed("cutover", "start", "wave1", "--dry-run")
    assert told.code == 4
    assert "anna@old.example: It is not to be cut over before 2099-06-05 18:00 Europe/Berlin; `--early`" in told.out
    assert json.loads(typed("cutover", "start", "wave1", "--dry-run", "--json").out)["too_early"].keys() == {
        row.source for row in ledger.mailboxes()
    }
    assert typed("cutover", "start", "wave1", "--dry-run", "--early").code == 65
    assert typed("cutover", "start", "wave1", "--dry-run", "--early", "--why", "their office closes").code == 0
    assert typed("wave", "start", "wave1", "--complete-after", "2020-06-05 18:00").code == 0
    assert typed("cutover", "start", "wave1", "--dry-run").code == 0


def test_start_goes_on_with_what_was_stopped_in_the_middle(typed: Callable[..., Typed], ledger: Ledger) -> None:
    anna, ben, carla = ledger.mailboxes()
    for row in (anna, ben, carla):
        put(ledger, row, MailboxState.LOCKED)
        ledger.plans.confirm(row.id, "lock", "me", "done")
    ledger.move_mailbox(anna.id, MailboxState.PAUSED, "Stopped.")
    ledger.move_mailbox(ben.id, MailboxState.HELD, "The target mailbox is full.")
    told = typed("cutover", "start", "wave1", "--dry-run")
    assert told.code == 0
    assert "Would run 3 final passes" in told.out


def test_a_route_that_was_taken_too_soon_is_told(typed: Callable[..., Typed], ledger: Ledger, tmp_path: Path) -> None:
    put(ledger, ledger.mailboxes()[0], MailboxState.READY)
    file = tmp_path / "02-route.result.csv"
    file.write_text("Mailbox,Step,Result\nanna@old.example,route,done\n")
    assert "before their final pass is done; run it soon: anna@old.example" in typed("kit", "import", str(file)).out


def test_a_roll_back_wants_the_route_back_first(typed: Callable[..., Typed], ledger: Ledger) -> None:
    anna = put(ledger, ledger.mailboxes()[0], MailboxState.SWEEPING)
    ledger.plans.confirm(anna.id, "route", "me", "done")
    refused = typed("cutover", "rollback", "wave1", anna.source, "--yes")
    assert refused.code == 4
    assert "put its route back first" in refused.out
    assert typed("cutover", "rollback", "wave1").code == 64
    assert "there is nothing to take back" in typed("cutover", "rollback", "wave1", "ben@old.example").out
    assert ledger.mailbox(anna.id).state is MailboxState.SWEEPING


def test_a_close_names_what_is_missing(typed: Callable[..., Typed], ledger: Ledger) -> None:
    put(ledger, ledger.mailboxes()[0], MailboxState.SWEEPING)
    told = typed("cutover", "close", "wave1", "--answer", "forwards=none", "--dry-run")
    assert told.code == 4
    assert "Not answered: ledger: Where does the ledger go" in told.out
    assert "Not answered: forwards" not in told.out
    assert ledger.plans.waves() == {}
    assert typed("cutover", "close", "wave1", "--answer", "forwards").code == 65


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_a_close_asks_whoever_sits_there_and_keeps_what_was_answered(
    typed: Callable[..., Typed], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ledger, ledger.mailboxes()[0], MailboxState.SWEEPING)
    monkeypatch.setattr("sys.stdin", Terminal("none\noff\nrevoked\n\nnone\n"))
    told = typed("cutover", "close", "wave1", "--answer", "ledger=deleted in May")
    assert told.code == 4
    assert "Not answered: readers" in told.out
    kept = ledger.plans.waves()["wave1"].details["close"]
    assert {key: one["answer"] for key, one in kept.items()} == {
        "forwards": "none", "holds": "off", "rights": "revoked", "old-side": "none", "ledger": "deleted in May",
    }  # fmt: skip
    monkeypatch.setattr("sys.stdin", Terminal("handed over\ny\n"))
    told = typed("cutover", "close", "wave1")
    assert told.code == 4
    assert "anna@old.example: Nobody knows since when its mail is routed" in told.out
