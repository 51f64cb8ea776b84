"""What the target refused is kept for a person: readable by one account, under a key if so wished, and gone when it is there."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pybase64
import pytest
from msgspec.structs import replace

from connectors.base import Doubt, Item, Lane, Message, Outcome, Receipt, Ref, Refusal
from connectors.errors import Unavailable
from migrator import logs
from migrator.engine.inflight import NOTHING, Pool
from migrator.engine.transfer import let_go
from migrator.errors import vault
from migrator.errors.vault import Vault, VaultError, private_command, safe_name
from state.model import ItemState, Kept, MailboxRow, Open, Row, Step
from state.store import Ledger

REFUSAL = Refusal("too-large", "It is too large.")
KEY = bytes(range(16))
STREAM = b"\x03\x00FTS" * 700_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    yield
    logs.take_down()


@pytest.fixture
def mailbox(ledger: Ledger) -> MailboxRow:
    return ledger.plan_mailbox("x", "Anna@Old.example", "anna@new.example")


def row_of(key: bytes = KEY) -> Row:
    return Row(key=key, folder_id=1, state=ItemState.INTENDED, size=len(STREAM))


def streamed() -> Item:
    return Item(Ref("1"), Lane.IMPORT, "IPM.Note", b"", stream=pybase64.b64encode(STREAM))


def composed() -> Item:
    return Item(Ref("1"), Lane.COMPOSE, "IPM.Note", b"", message=Message(subject="private words", body="private text"))


def only(ledger: Ledger) -> Kept:
    [kept] = ledger.approvals.kept()
    return kept


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def test_a_stream_is_kept_as_the_source_gave_it(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    safe = Vault(tmp_path / "refused", ledger, spare=0)
    safe.keeper(mailbox)(row_of(), streamed(), REFUSAL)
    kept = only(ledger)
    assert kept.file == f"anna@old.example/{KEY.hex()}.fts"
    assert (tmp_path / "refused" / kept.file).read_bytes() == STREAM
    assert (kept.sha256, kept.bytes) == (hashlib.sha256(STREAM).hexdigest(), len(STREAM))
    assert b"".join(safe.read(kept)) == STREAM


def test_a_message_is_kept_as_a_file_for_mail_programs(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    safe = Vault(tmp_path / "refused", ledger, spare=0)
    safe.keeper(mailbox)(row_of(), composed(), REFUSAL)
    assert b"Subject: private words" in (tmp_path / "refused" / only(ledger).file).read_bytes()
    safe.keeper(mailbox)(row_of(), streamed(), REFUSAL)
    assert files(tmp_path / "refused") == [only(ledger).file], "the other lane's content replaces it"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX; Windows gets icacls")
def test_nobody_but_this_account_may_look(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        safe = Vault(tmp_path / "refused", ledger, spare=0)
        safe.keeper(mailbox)(row_of(), composed(), REFUSAL)
        safe.save(only(ledger), tmp_path / "out.eml")
    finally:
        os.umask(before)
    file = tmp_path / "refused" / only(ledger).file
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "refused", file.parent, file, tmp_path / "out.eml")]
    assert modes == [0o700, 0o700, 0o600, 0o600]


def test_windows_is_told_to_let_only_this_account_in() -> None:
    told = private_command(Path("C:/x/refused/anna"), {"USERNAME": "ops", "USERDOMAIN": "OLD", "SYSTEMROOT": "C:\\Windows"})
    assert told[0].endswith("icacls.exe")
    assert told[2:] == ["/inheritance:r", "/grant:r", "OLD\\ops:(OI)(CI)F"]


@pytest.mark.parametrize("item", [streamed(), composed()], ids=["stream", "message"])
def test_under_a_key_nothing_can_be_read_without_it(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path, item: Item) -> None:
    folder = tmp_path / "refused"
    Vault(folder, ledger, key="correct horse", spare=0).keeper(mailbox)(row_of(), item, REFUSAL)
    kept = only(ledger)
    assert kept.file.endswith(".enc")
    content = (folder / kept.file).read_bytes()
    assert b"private" not in content
    assert STREAM[:40] not in content
    assert pybase64.b64encode(STREAM[:30]) not in content
    later = Vault(folder, ledger, key="correct horse", spare=0)
    later.save(kept, tmp_path / "out")
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == kept.sha256
    for key, words in (("another", "errors.key is another one"), (None, "It is encrypted")):
        with pytest.raises(VaultError, match=words):
            Vault(folder, ledger, key=key, spare=0).save(kept, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_file_that_was_tampered_with_is_not_handed_over(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    safe = Vault(tmp_path / "refused", ledger, key="k", spare=0)
    safe.keeper(mailbox)(row_of(), streamed(), REFUSAL)
    kept = only(ledger)
    file = tmp_path / "refused" / kept.file
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    for changed, words in (
        (lines[:-1], "cut off"),
        ([lines[0], lines[2], lines[1], *lines[3:]], "order"),
        ([lines[0], *lines[2:]], "order"),
        (lines[1:], "not encrypted by this program"),
        ([*lines, lines[-1]], "order"),
    ):
        file.write_bytes(b"".join(changed))
        with pytest.raises(VaultError, match=words):
            list(safe.read(kept))
    plain = Vault(tmp_path / "plain", ledger, spare=0)
    plain.keeper(mailbox)(row_of(), streamed(), REFUSAL)
    (tmp_path / "plain" / only(ledger).file).write_bytes(STREAM + b"x")
    with pytest.raises(VaultError, match="its hash differs"):
        list(plain.read(only(ledger)))


def test_what_arrived_after_all_is_kept_no_longer(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    safe = Vault(tmp_path / "refused", ledger, spare=0)
    lease = ledger.lease(mailbox.id, "me", 600)
    other = bytes(reversed(KEY))
    rows = [replace(row_of(key), state=ItemState.REFUSED) for key in (KEY, other)]
    ledger.settle(lease, [Step(None, row, Open(item_id="1", reason="too-large")) for row in rows])
    for row in rows:
        safe.keeper(mailbox)(row, composed(), REFUSAL)
    assert safe.tidy(mailbox) == 0
    ledger.settle(lease, [Step(rows[0], replace(rows[0], state=ItemState.LISTED), Open(item_id="1"))])
    assert safe.tidy(mailbox) == 0, "it may be refused again"
    ledger.settle(lease, [Step(replace(rows[0], state=ItemState.LISTED), replace(rows[0], state=ItemState.DONE), None)])
    assert safe.tidy(mailbox) == 1
    assert files(tmp_path / "refused") == [only(ledger).file] == [f"anna@old.example/{other.hex()}.eml"]


def test_trouble_of_the_vault_never_fails_a_pass(
    ledger: Ledger, mailbox: MailboxRow, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.set_up(tmp_path / "log")
    (tmp_path / "refused").write_text("a file stands where the folder should be")
    safe = Vault(tmp_path / "refused", ledger, spare=0)
    for _ in range(3):
        safe.keeper(mailbox)(row_of(), composed(), REFUSAL)
    told = capsys.readouterr().err
    assert told.count("could not be kept") == 1, "said once"
    assert "private" not in told
    full = Vault(tmp_path / "full", ledger, spare=shutil.disk_usage(tmp_path).total)
    full.keeper(mailbox)(row_of(), composed(), REFUSAL)
    assert "too little room" in capsys.readouterr().err
    broken = dataclasses.replace(streamed(), stream=b"no base64 at all!")
    Vault(tmp_path / "broken", ledger, spare=0).keeper(mailbox)(row_of(), broken, REFUSAL)
    assert files(tmp_path / "broken") == [], "no half file stays"
    assert ledger.approvals.kept() == []
    ledger.close()
    Vault(tmp_path / "other", ledger, spare=0).keeper(mailbox)(row_of(), composed(), REFUSAL)
    assert Vault(tmp_path / "other", ledger).tidy(mailbox) == 0


def test_a_saved_file_never_replaces_another(ledger: Ledger, mailbox: MailboxRow, tmp_path: Path) -> None:
    safe = Vault(tmp_path / "refused", ledger, spare=0)
    safe.keeper(mailbox)(row_of(), composed(), REFUSAL)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        safe.save(only(ledger), tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "refused" / only(ledger).file).unlink()
    with pytest.raises(VaultError, match="can't be read"):
        safe.save(only(ledger), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_name_is_one_everywhere() -> None:
    assert safe_name("Anna@Old.example") == "anna@old.example"
    odd = [
        "nul.x@y.example",
        "a/b@c.example",
        "a\\b@c.example",
        "ünï@c.example",
        "a*b@c.example",
        "x" * 200 + "@c.example",
        "a@b.",
    ]
    names = [safe_name(one) for one in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        assert not set(name) & set('<>:"/\\|?*')
        assert not vault._RESERVED.match(name)
        assert name == name.rstrip(". ")
        assert len(name) < 120


def test_a_lot_whose_answers_are_in_holds_only_what_was_refused() -> None:
    answered: Future[list[Outcome]] = Future()
    pool = Pool()
    share = pool.take(10, threading.Event())
    items: list[Item | None] = [streamed(), composed(), None, streamed()]
    answered.add_done_callback(partial(let_go, items, share))
    assert None not in (items[0], items[1], items[3])
    answered.set_result([Receipt("T"), REFUSAL, REFUSAL, Doubt(Unavailable("no answer"))])
    assert [item is not None for item in items] == [False, True, False, False]
    assert pool.held == 0
    for end in (lambda one: one.cancel(), lambda one: one.set_exception(RuntimeError("bug"))):
        failed: Future[list[Outcome]] = Future()
        items = [streamed()]
        failed.add_done_callback(partial(let_go, items, NOTHING))
        end(failed)
        assert items[0] is not None
