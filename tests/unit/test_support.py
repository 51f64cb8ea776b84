"""The bundle for whoever helps tells how it stands, and names nobody."""

from __future__ import annotations

import json
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from migrator import cli, logs
from migrator.support import Veil
from state.model import ItemState, MailboxState, Open, PassKind, PassState, Row, Step
from state.store import Ledger

SECRET, PASSWORD, KEY = "tenant-hunter2-secret", "source-hunter2-password", "vault-hunter2-key"
PRIVATE = (
    SECRET,
    PASSWORD,
    KEY,
    "anna.becker",
    "ben@",
    "old.example",
    "new.example",
    "EXAMPLE",
    "svc-migration",
    "11111111-2222",
    "33333333-4444",
    "Scheidung",
    "stranger",
    "board-members",
    "HUNTER",
    "Kündigung",
)
CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = 'EXAMPLE\\svc-migration'
password = "file:password.txt"
[target]
tenant_id = "11111111-2222-3333-4444-555555555555"
client_id = "33333333-4444-5555-6666-777777777777"
secret = "env:MIGRATOR_TARGET_SECRET"
[ledger]
url = "{url}"
[errors]
key = "env:MIGRATOR_VAULT_KEY"
[run]
mailboxes_at_once = 7
"""


@pytest.fixture
def project(tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in whose ledger and log every private thing stands somewhere."""
    monkeypatch.setenv("MIGRATOR_TARGET_SECRET", SECRET)
    monkeypatch.setenv("MIGRATOR_VAULT_KEY", KEY)
    (tmp_path / "password.txt").write_text(PASSWORD, encoding="utf-8")
    (tmp_path / "migrator.toml").write_text(CONFIG.format(url=ledger_url), encoding="utf-8")
    with Ledger.open(ledger_url) as ledger:
        anna = ledger.plan_mailbox("board-members", "Anna.Becker@old.example", "anna.becker@new.example")
        ledger.plan_mailbox("board-members", "ben@old.example", "ben@new.example")
        lease = ledger.lease(anna.id, "me", 600)
        [folder] = ledger.record_folders(lease, [("f", None, "Scheidung", "IPF.Note", None, 1)], 1)
        row = Row(key=b"k" * 16, folder_id=folder.id, state=ItemState.REFUSED, size=5)
        ledger.settle(lease, [Step(None, row, Open(item_id="1", reason="too-large", code="ErrorMessageSizeExceeded"))])
        number = ledger.begin_pass(lease, PassKind.SEED)
        cause = "The folder Scheidung of ANNA.BECKER@old.example can't be read at https://mail.old.example/EWS."
        ledger.end_pass(lease, number, PassState.FAILED, cause, {"created": 3, "source.waited.anna.becker@old.example": 2.5})
        ledger.move_mailbox(anna.id, MailboxState.HELD, cause)
        ledger.note(anna.id, "surplus", f"stranger@elsewhere.test wrote; the password is {PASSWORD}.")
        ledger.release(lease)
    entries = [
        {"event": "mailbox failed", "mailbox": "anna.becker@old.example", "exception": f"KeyError: {SECRET} in Scheidung"},
        {"event": "request", "url": "https://mail.old.example/x?token=HUNTER", "status": 503, "nested": {"ben@old.example": KEY}},
    ]
    lines = [json.dumps(entry) for entry in entries]
    (tmp_path / "migrator.log").write_text("\n".join([*lines, "no json: Kündigung", ""]), encoding="utf-8")
    return tmp_path


def contents(file: Path) -> dict[str, str]:
    with zipfile.ZipFile(file) as pack:
        return {name: pack.read(name).decode("utf-8") for name in pack.namelist()}


def test_the_bundle_names_nobody_and_holds_no_secret(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "bundle.zip"
    assert cli.run(("-c", str(project / "migrator.toml"), "support", "bundle", str(file))) == 0
    logs.take_down()
    told = contents(file)
    for name, text in told.items():
        for private in PRIVATE:
            assert private.casefold() not in text.casefold(), f"{private} is in {name}"
    assert str(project) not in "".join(told.values())
    capsys.readouterr()


def test_the_bundle_tells_how_it_stands(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "bundle.zip"
    code = cli.run(("-c", str(project / "migrator.toml"), "--json", "support", "bundle", str(file)))
    assert (code, json.loads(capsys.readouterr().out)["holds"][0]) == (0, "README.txt")
    told = contents(file)
    assert json.loads(told["config.json"])["run"]["mailboxes_at_once"] == 7
    assert json.loads(told["config.json"])["target"]["secret"] == "env:(hidden)"
    status = json.loads(told["status.json"])
    assert [one["state"] for one in status["mailboxes"]] == ["HELD", "PLANNED"]
    assert "can't be read at https://#" in status["mailboxes"][0]["cause"]
    assert json.loads(told["errors.json"])["too-large"]["codes"] == {"ErrorMessageSizeExceeded": 1}
    [one] = json.loads(told["passes.json"])
    assert (one["state"], one["figures"]["created"]) == ("FAILED", 3)
    failed, request = (json.loads(line) for line in told["log.jsonl"].splitlines())
    assert (failed["event"], request["status"]) == ("mailbox failed", 503)
    assert failed["mailbox"] == status["mailboxes"][0]["source"], "one mailbox is one word everywhere"
    assert json.loads(told["versions.json"])["libraries"]["sqlalchemy"]


def test_a_bundle_never_replaces_a_file_and_is_for_this_account(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "bundle.zip"
    command = ("-c", str(project / "migrator.toml"), "support", "bundle", str(file))
    assert (cli.run(command), cli.run(command)) == (0, 65)
    assert "is there already" in capsys.readouterr().err
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_name_is_one_word_within_a_bundle_and_another_in_the_next() -> None:
    veil = Veil(["Anna@old.example", "old.example"])
    assert veil.text("ANNA@OLD.EXAMPLE at old.example") == f"{veil.name('anna@old.example')} at {veil.name('old.example')}"
    assert Veil([]).name("anna") != Veil([]).name("anna")
