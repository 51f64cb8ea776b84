"""What did not go, as work for a person, over real ledgers on both databases; and the commands over it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.base import Facts
from migrator import cli, logs
from migrator.config import BadInput
from migrator.engine.plan import pack_facts
from migrator.errors.advice import REASONS
from migrator.errors.work import Stayed, approve, as_new, by_reason, choose, gather, retry, short_keys, who_am_i
from state.model import Choice, ItemState, LeaseHeld, Open, Row, Step, Work
from state.store import Ledger

REFUSED, WITHHELD, LISTED, DOOMED = ItemState.REFUSED, ItemState.WITHHELD, ItemState.LISTED, ItemState.DOOMED
WHEN = datetime(2024, 2, 29, 12, tzinfo=UTC)


def fill(ledger: Ledger, source: str = "anna@old.example", wave: str = "x") -> int:
    """A mailbox with five items that did not go, two of them withheld, in a folder within a folder."""
    mailbox_id = ledger.plan_mailbox(wave, source, source).id
    lease = ledger.lease(mailbox_id, "the pass", 600)
    tree = [("top", None, "Projects", "IPF.Note", None, 5), ("sub", "top", "=Sums", "IPF.Note", None, 5)]
    _, sub = ledger.record_folders(lease, tree, 1)
    facts = pack_facts(Facts(item_class="IPM.Appointment", submitted=WHEN))
    told = [
        ("a1", REFUSED, Work.CREATE, "too-large", "ErrorMessageSizeExceeded", None),
        ("a2", REFUSED, Work.UPDATE, "too-large", "ErrorMessageSizeExceeded", "T2"),
        ("b0", REFUSED, Work.REMOVE, "no-admin-access", "", "T3"),
        ("c0", WITHHELD, Work.REMOVE, "could-send-cancellation", "", "T4"),
        ("d0", WITHHELD, Work.UPDATE, "old-copy-stays", "ErrorAccessDenied", "T5"),
    ]
    steps = []
    for name, state, work, reason, code, target in told:
        key = bytes.fromhex(name) + (mailbox_id).to_bytes(1, "big") + bytes(13)
        row = Row(key=key, folder_id=sub.id, state=state, size=1500, version=b"12345678", lane="import", target=target)
        opened = Open(
            item_id=f"id {name}", work=work, facts=facts, reason=reason, code=code, detail="So it is.", batch=3, old_target=target
        )
        steps.append(Step(None, row, opened))
    ledger.settle(lease, steps)
    ledger.release(lease)
    return mailbox_id


def everything(ledger: Ledger) -> list[Stayed]:
    return gather(ledger, ledger.mailboxes())


def states(ledger: Ledger, mailbox_id: int) -> dict[str, str]:
    return {row.key.hex()[:2]: row.state.name for row in ledger.folder_rows(mailbox_id, None)}


def test_what_did_not_go_is_told_without_asking_a_server(ledger: Ledger) -> None:
    fill(ledger)
    items = {one.key[:2]: one for one in everything(ledger)}
    assert set(items) == {"a1", "a2", "b0", "c0", "d0"}
    one = items["a1"]
    assert (one.mailbox, one.wave, one.folder) == ("anna@old.example", "x", "Projects/=Sums")
    assert (one.item_class, one.when, one.size) == ("IPM.Appointment", "2024-02-29T12:00:00+00:00", 1500)
    assert (one.state, one.reason, one.code, one.approved, one.kept) == (
        "REFUSED",
        "too-large",
        "ErrorMessageSizeExceeded",
        False,
        "",
    )
    mailboxes = ledger.mailboxes()
    assert {one.key[:2] for one in gather(ledger, mailboxes, "too-large")} == {"a1", "a2"}
    assert {one.key[:2] for one in gather(ledger, mailboxes, "ErrorAccessDenied")} == {"d0"}, "a code narrows it too"
    groups = by_reason(items.values())
    assert (groups[0][0], len(groups[0][1])) == ("too-large", 2)
    assert sorted(reason for reason, _ in groups[1:]) == [reason for reason, _ in groups[1:]]


def test_a_key_may_be_cut_short_as_long_as_it_names_one(ledger: Ledger) -> None:
    fill(ledger)
    fill(ledger, "ben@old.example", "y")
    items = everything(ledger)
    assert [one.mailbox for one in choose(items, ["a101", "A102", "a101"])] == ["anna@old.example", "ben@old.example"]
    for wrong, words in (("a1", "the beginning of 2 keys"), ("ff", "No item that did not go"), ("..", "no key"), ("", "no key")):
        with pytest.raises(BadInput, match=words):
            choose(items, [wrong])
    short = short_keys(items)
    assert all(one.key.startswith(short[one.key]) and choose(items, [short[one.key]]) == [one] for one in items)


def test_shown_keys_grow_where_two_look_alike() -> None:
    def one(key: str) -> Stayed:
        return dataclasses.replace(
            Stayed(**dict.fromkeys(Stayed.__dataclass_fields__, "")),  # type: ignore[arg-type]
            key=key,
        )

    keys = ["00" * 16, "00" * 6 + "ff" * 10, "ab" * 16]
    short = short_keys([one(key) for key in keys])
    assert [len(short[key]) for key in keys] == [13, 13, 8]


def test_an_approval_is_counted_and_names_who_and_why(ledger: Ledger) -> None:
    mailbox_id = fill(ledger)
    chosen = choose(everything(ledger), ["a1", "c0"])
    assert approve(ledger, chosen, "ops@host", "their owner has them", clock=lambda: 5.0) == 2
    assert {one.key[:2] for one in everything(ledger) if one.approved} == {"a1", "c0"}
    assert ledger.approvals.approved_counts() == {mailbox_id: 2}
    assert states(ledger, mailbox_id)["a1"] == "REFUSED", "it stays where it is"
    [told] = ledger.approvals.decisions(mailbox_id, bytes.fromhex(chosen[0].key))
    assert (told.decision, told.who, told.why, told.at) == (Choice.APPROVED, "ops@host", "their owner has them", 5.0)


def test_a_retry_puts_back_what_is_safe_and_nothing_else(ledger: Ledger) -> None:
    mailbox_id = fill(ledger)
    before = {row.key.hex()[:2]: row for row in ledger.folder_rows(mailbox_id, None)}
    assert retry(ledger, everything(ledger), "ops@host", "mended", "me") == 3
    assert states(ledger, mailbox_id) == {"a1": "LISTED", "a2": "LISTED", "b0": "DOOMED", "c0": "WITHHELD", "d0": "WITHHELD"}
    back = {row.key.hex()[:2]: (row, opened) for row, opened in ledger.open_rows(mailbox_id, {LISTED, DOOMED})}
    for _, opened in back.values():
        assert (opened.reason, opened.code, opened.detail, opened.batch, opened.old_target) == ("", "", "", 0, None)
    assert (back["a1"][0].lane, back["a2"][0].lane) == ("", "import"), "what is in the target keeps its lane"
    assert back["a2"][0].target == before["a2"].target
    assert [tally for _, tally in ledger.tallies(mailbox_id)] == ledger.recount(mailbox_id)
    assert {one.decision for one in ledger.approvals.decisions()} == {Choice.RETRIED}
    assert ledger.mailbox(mailbox_id).owner is None, "the lease is given back"


def test_a_retry_waits_for_the_pass_that_has_the_mailbox(ledger: Ledger) -> None:
    mailbox_id = fill(ledger)
    ledger.lease(mailbox_id, "a pass", 600)
    with pytest.raises(LeaseHeld):
        retry(ledger, everything(ledger), "ops@host", "", "me")
    assert states(ledger, mailbox_id)["a1"] == "REFUSED"
    assert ledger.approvals.decisions() == []


def test_what_a_pass_changed_in_the_meantime_is_left_out(ledger: Ledger) -> None:
    mailbox_id = fill(ledger)
    items = everything(ledger)
    lease = ledger.lease(mailbox_id, "a pass", 600)
    [(row, opened)] = [pair for pair in ledger.open_rows(mailbox_id, {REFUSED}) if pair[0].key.hex().startswith("a1")]
    ledger.settle(lease, [Step(row, row, replace(opened, reason="corrupt"))])
    ledger.release(lease)
    assert approve(ledger, choose(items, ["a1"]), "me", "so") == 0
    assert retry(ledger, choose(items, ["a1"]), "me", "", "me") == 0
    assert ledger.approvals.decisions() == []


def test_a_second_refusal_needs_a_second_approval(ledger: Ledger) -> None:
    mailbox_id = fill(ledger)
    chosen = choose(everything(ledger), ["a1"])
    approve(ledger, chosen, "me", "so")
    retry(ledger, chosen, "me", "again", "me")
    lease = ledger.lease(mailbox_id, "a pass", 600)
    [(row, opened)] = [pair for pair in ledger.open_rows(mailbox_id, {LISTED}) if pair[0].key.hex().startswith("a1")]
    ledger.settle(lease, [Step(row, replace(row, state=REFUSED), replace(opened, reason="too-large"))])
    assert not any(one.approved for one in everything(ledger))


def test_no_withheld_reason_may_be_retried() -> None:
    # A row is only ever WITHHELD for the sake of somebody who could be e-mailed, or of a copy too many.
    assert {word for word, told in REASONS.items() if not told.again} == {
        "could-send-cancellation",
        "could-send-receipt",
        "old-copy-stays",
    }


def test_a_step_back_is_legal_for_every_work() -> None:
    for work in Work:
        row = Row(key=b"k" * 16, folder_id=1, state=REFUSED, lane="compose")
        step = as_new(row, Open(item_id="1", work=work, code="judged"))
        assert step.new.state is (DOOMED if work is Work.REMOVE else LISTED)
        assert step.open is not None
        assert step.open.code == "", "it is judged anew"


def test_whoever_asks_has_a_name() -> None:
    user, at, host = who_am_i().partition("@")
    assert user
    assert at
    assert host


# -- the commands

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:MIGRATOR_SOURCE_PASSWORD"
[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:MIGRATOR_TARGET_SECRET"
[ledger]
url = "{url}"
"""
Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def shell(
    ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs a command line over a filled ledger; its exit code and everything it said."""
    with Ledger.open(ledger_url) as ledger:
        fill(ledger)
        fill(ledger, "ben@old.example", "y")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").write_text(CONFIG.format(url=ledger_url), encoding="utf-8")

    def type_it(*words: str) -> tuple[int, str]:
        code = cli.run(("errors", *words))
        told = capsys.readouterr()
        return code, told.out + told.err

    yield type_it
    logs.take_down()


def test_the_list_goes_by_cause_with_what_to_do_and_fits(shell: Shell) -> None:
    code, out = shell("list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "10 items did not go."
    assert any(line.startswith("too-large: 4 items.") for line in lines)
    assert REASONS["too-large"].operator in out
    tables = [line for line in lines if line.startswith("  ") and "What" not in line]
    assert max(map(len, tables)) <= 100
    assert "Projects/=Sums" in out
    assert "subject" not in out.lower()
    assert "4 items did not go." in shell("list", "--reason", "too-large")[1]
    assert "5 items did not go." in shell("list", "y")[1]
    assert shell("list", "z")[0] == 65
    assert shell("list", "--reason", "virus")[1].startswith("Nothing stayed behind.")


def test_the_list_is_a_table_for_programs_and_spreadsheets(shell: Shell) -> None:
    told = json.loads(shell("list", "--json")[1])
    assert (len(told["items"]), told["exit_code"]) == (10, 0)
    assert told["reasons"]["could-send-cancellation"] == {
        "items": 2,
        "approved": 0,
        "meaning": REASONS["could-send-cancellation"].meaning,
        "engine": REASONS["could-send-cancellation"].engine,
        "operator": REASONS["could-send-cancellation"].operator,
        "can_be_retried": False,
    }
    assert not {"item_id", "mailbox_id", "subject"} & set(told["items"][0])
    rows = list(csv.DictReader(io.StringIO(shell("list", "anna@old.example", "--csv")[1])))
    assert {row["key"][:2] for row in rows} == {"a1", "a2", "b0", "c0", "d0"}
    assert {row["folder"] for row in rows} == {"Projects/=Sums"}


def test_a_cell_that_looks_like_a_formula_stays_text() -> None:
    from migrator.commands.errors import _as_csv

    values = dict.fromkeys(Stayed.__dataclass_fields__, "") | {"folder": "=cmd|' /C calc'!A0"}
    [row] = csv.DictReader(io.StringIO(_as_csv([Stayed(**values)], None)))  # type: ignore[arg-type]
    assert row["folder"] == "'=cmd|' /C calc'!A0"


def test_show_tells_everything_about_one(shell: Shell) -> None:
    shell("approve", "a101", "--why", "its owner knows", "--who", "Eva")
    code, out = shell("show", "a101")
    assert code == 0
    for words in (
        "anna@old.example (x)",
        "1,500 bytes",
        "REFUSED, approved",
        "(ErrorMessageSizeExceeded)",
        "So it is.",
        "hidden",
    ):
        assert words in out
    assert "by Eva: its owner knows" in out
    told = json.loads(shell("show", "a101", "--json")[1])
    assert [(one["decision"], one["who"], one["why"]) for one in told["decisions"]] == [("approved", "Eva", "its owner knows")]
    assert told["approved"] is True
    assert told["operator"] == REASONS["too-large"].operator
    assert shell("show", "a1")[0] == 65, "two of them begin so"


def test_show_knows_any_item_by_its_whole_key(shell: Shell, ledger_url: str) -> None:
    key = bytes(range(16))
    with Ledger.open(ledger_url) as ledger:
        mailbox = ledger.mailboxes()[0]
        lease = ledger.lease(mailbox.id, "me", 600)
        folder = ledger.folders(mailbox.id)[1]
        row = Row(key=key, folder_id=folder.id, state=ItemState.DONE, size=7, lane="compose", target="T")
        ledger.settle(lease, [Step(None, row, None)])
    code, out = shell("show", key.hex())
    assert code == 0
    assert "DONE by the compose lane" in out
    assert "Projects/=Sums" in out
    assert "to do" not in out
    assert json.loads(shell("show", key.hex(), "--json")[1])["state"] == "DONE"
    assert shell("show", key.hex()[:31])[0] == 65, "only what did not go can be cut short"
    assert shell("show", "ff" * 16)[0] == 65


def test_approve_wants_a_sentence_and_one_way_to_name_items(shell: Shell) -> None:
    assert shell("approve", "a101")[0] == 64
    assert shell("approve", "a101", "--why", " ")[0] == 65
    assert shell("approve", "--why", "so")[0] == 64
    assert shell("approve", "a101", "--reason", "too-large", "--why", "so")[0] == 64
    code, out = shell("approve", "--reason", "virus", "--why", "so")
    assert code == 65
    assert "too-large" in out, "the reasons there are"
    assert shell("approve", "--reason", "too-large", "--why", "so", "--json") == (
        0,
        json.dumps({"approved": 4, "exit_code": 0}, indent=2) + "\n",
    )
    assert "10 items did not go, 4 of them approved." in shell("list")[1]


def test_skip_leaves_behind_for_good_what_has_no_copy_and_says_what_it_leaves_alone(shell: Shell, ledger_url: str) -> None:
    assert shell("skip", "a101")[0] == 64, "it wants a sentence"
    assert shell("skip", "--why", "so")[0] == 64
    code, out = shell("skip", "a201", "--why", "so")
    assert code == 65
    assert "its copy is in the target" in out
    dry = json.loads(shell("skip", "--reason", "too-large", "--why", "so", "--dry-run", "--json")[1])
    assert (dry["skipped"], dry["left_alone"]) == (2, 2)
    assert "approved" not in shell("list")[1].splitlines()[0]
    code, out = shell("skip", "--reason", "too-large", "--why", "nobody needs them", "--who", "Eva")
    assert (code, out.splitlines()[0]) == (0, "2 items are left behind for good, under the reason skipped.")
    assert shell("list")[1].splitlines()[0] == "10 items did not go, 2 of them approved."
    assert "by Eva: nobody needs them" in shell("show", "a101")[1]
    assert "A person left it behind for good" in shell("list", "--reason", "skipped")[1]
    with Ledger.open(ledger_url) as ledger:
        said = [(one.what, one.who, one.why, one.about["items"]) for one in ledger.plans.acts()]
    assert said == [("errors skip", "Eva", "nobody needs them", 1)] * 2
    assert json.loads(shell("retry", "a101", "--json")[1])["retried"] == 1


def test_retry_says_what_it_leaves_alone(shell: Shell, ledger_url: str) -> None:
    code, out = shell("retry", "c001")
    assert code == 65
    assert "could-send-cancellation" in out
    assert json.loads(shell("retry", "--all", "--json")[1]) == {"retried": 6, "left_alone": 4, "exit_code": 0}
    assert "4 items did not go." in shell("list")[1]
    code, out = shell("retry", "--all")
    assert (code, out.splitlines()[0]) == (0, "0 items will be tried again by the next `migrator run`.")
    with Ledger.open(ledger_url) as ledger:
        assert {one.who for one in ledger.approvals.decisions()} == {who_am_i()}


def test_a_retry_beside_a_pass_is_told_to_come_later(shell: Shell, ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        ledger.lease(ledger.mailboxes()[0].id, "a pass elsewhere", 600)
        code, out = shell("retry", "a101")
    assert code == 3
    assert "a pass elsewhere" in out


def test_without_a_ledger_there_is_nothing_to_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").write_text(CONFIG.format(url="sqlite:///none.db"), encoding="utf-8")
    assert cli.run(("errors", "list")) == 65
    assert not (tmp_path / "none.db").exists()
