"""Secrets by reference: found where the reference says, refused in clear, never repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest

from migrator import logs
from migrator.secrets import BadSecret, Reference, parse_reference, resolve


class ShelfKeyring(keyring.backend.KeyringBackend):
    """A key ring that lives as long as the test."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.shelf: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.shelf.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.shelf[service, username] = password


@pytest.fixture
def key_ring() -> Iterator[ShelfKeyring]:
    before = keyring.get_keyring()
    ring = ShelfKeyring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_a_reference_is_taken_apart_and_put_together_again() -> None:
    for text in ("env:NAME", "file:secrets/password.txt", r"file:C:\keys\one", "keyring:migrator/exchange", "keyring:a/b/c"):
        assert str(parse_reference(text)) == text


@pytest.mark.parametrize("text", ["hunter2", "Hunter2:with:colons", "", "ENV:NAME", "https://hunter2/"])
def test_anything_else_is_taken_for_a_secret_in_clear_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSecret, match="in clear") as caught:
        parse_reference(text)
    assert "hunter2" not in str(caught.value).lower()


@pytest.mark.parametrize("text", ["env:", "file: ", "keyring:", "keyring:only-one", "keyring:/name", "keyring:service/"])
def test_half_a_reference_is_refused(text: str) -> None:
    with pytest.raises(BadSecret, match=r"names nothing|both parts"):
        parse_reference(text)


def test_an_environment_variable_is_read(tmp_path: Path) -> None:
    assert resolve(Reference("env", "NAME"), tmp_path, environ={"NAME": "s3cret"}) == "s3cret"
    with pytest.raises(BadSecret, match="set the environment variable NAME"):
        resolve(Reference("env", "NAME"), tmp_path, environ={})
    with pytest.raises(BadSecret):
        resolve(Reference("env", "NAME"), tmp_path, environ={"NAME": ""})


def test_only_the_first_line_of_a_file_counts_and_spaces_stay(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"\xef\xbb\xbf pass word \r\nsomething else\r\n")
    assert resolve(Reference("file", "one.txt"), tmp_path) == " pass word "
    assert resolve(Reference("file", str(tmp_path / "one.txt")), Path("elsewhere")) == " pass word "


def test_a_file_that_is_missing_empty_or_unreadable_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSecret, match="first line"):
        resolve(Reference("file", "none.txt"), tmp_path)
    (tmp_path / "empty.txt").write_bytes(b"\n")
    with pytest.raises(BadSecret, match="first line"):
        resolve(Reference("file", "empty.txt"), tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(BadSecret, match="can't be read"):
        resolve(Reference("file", "binary"), tmp_path)


def test_the_key_ring_is_asked_by_service_and_name(tmp_path: Path, key_ring: ShelfKeyring) -> None:
    key_ring.set_password("migrator/project", "exchange", "ring the bell")
    assert resolve(parse_reference("keyring:migrator/project/exchange"), tmp_path) == "ring the bell"
    with pytest.raises(BadSecret, match="keyring set migrator other"):
        resolve(parse_reference("keyring:migrator/other"), tmp_path)


def test_a_key_ring_that_fails_is_a_sentence(tmp_path: Path, key_ring: ShelfKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.errors

    def fail(service: str, username: str) -> str:
        raise keyring.errors.KeyringLocked

    monkeypatch.setattr(key_ring, "get_password", fail)
    with pytest.raises(BadSecret, match="unlock it"):
        resolve(parse_reference("keyring:a/b"), tmp_path)


def test_the_log_blots_out_secrets_tokens_and_signed_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    file = tmp_path / "log.jsonl"
    logs.hide("hunter2-the-password")
    logs.set_up(file)
    try:
        log = logs.logger("migrator.test")
        token = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"
        log.warning("signing in with hunter2-the-password", header=f"Bearer {token}", more={"list": [f"x {token}"]}, size=3)
        log.info("uploading", url="https://host/upload?authtoken=abcdef&sig=ghijkl")
        logging.getLogger("some.library").warning("sent %s", "hunter2-the-password")
        try:
            raise RuntimeError("broke at hunter2-the-password")
        except RuntimeError as error:
            log.error("bug", exc_info=error)
    finally:
        logs.take_down()
    written = file.read_text(encoding="utf-8")
    said = capsys.readouterr().err
    for private in ("hunter2", "eyJhbGci", "abcdef", "ghijkl"):
        assert private not in written
        assert private not in said
    assert "RuntimeError" in written
    assert "Traceback" in written
    assert "Traceback" not in said, "people read sentences; the traceback is in the file"
    assert "warning: signing in with (hidden)" in said
    assert "uploading" not in said
