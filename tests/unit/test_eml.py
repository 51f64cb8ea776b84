"""A message that was taken apart is put together again so that a mail program, and we ourselves, read the same."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pybase64
import pytest

from connectors.base import Address, Attachment, Message
from connectors.ews.mime import take_apart
from migrator.errors.eml import decoded, eml_of


def bytes_of(message: Message) -> bytes:
    return b"".join(eml_of(message))


def attached(name: str, kind: str, content: bytes, **more: object) -> Attachment:
    return Attachment(name, kind, pybase64.b64encode(content), len(content), **more)  # type: ignore[arg-type]


def test_a_message_without_headers_gets_them_from_its_fields() -> None:
    raw = bytes_of(
        Message(
            subject="Grüße an Ömer",
            body="Größe: 5\r\n",
            author=Address("Ann, B.", "ann@old.example"),
            to=(Address("Zoë", "zoe@new.example"), Address("", "plain@new.example")),
            message_id="<1@old.example>",
            submitted=datetime(2024, 2, 29, 12, tzinfo=UTC),
            categories=("red", "grün"),
        )
    )
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert read["subject"] == "Grüße an Ömer"
    assert read["from"] == '"Ann, B." <ann@old.example>'
    assert [one.addr_spec for one in read["to"].addresses] == ["zoe@new.example", "plain@new.example"]
    assert read["message-id"] == "<1@old.example>"
    assert read["date"].datetime == datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert read.get_content().replace("\r\n", "\n") == "Größe: 5\n"
    assert not read.defects


def test_original_headers_are_kept_and_those_of_the_old_structure_are_not() -> None:
    headers = (
        "Received: from a\r\n by b\r\nSubject: =?utf-8?q?H=C3=A9?=\r\nContent-Type: multipart/mixed;\r\n boundary=old\r\n"
        "MIME-Version: 1.0\r\nX-Odd: 1\r\n"
    )
    raw = bytes_of(Message(subject="Hé", body="text", headers=headers, message_id="<2@x>"))
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert read["received"] == "from a by b"
    assert (read["subject"], read["x-odd"], read["message-id"]) == ("Hé", "1", "<2@x>")
    assert len(read.get_all("subject")) == len(read.get_all("content-type")) == 1
    assert read.get_content_type() == "text/plain"


def test_attachments_come_out_byte_for_byte() -> None:
    inner = b"Subject: inner\r\n\r\nwithin\r\n"
    contents = [bytes(range(256)) * 6000, b"", inner, b"GIF89a"]
    message = Message(
        body="<p>hi</p>",
        body_kind="html",
        attachments=(
            attached("große Datei.bin", "application/octet-stream", contents[0]),
            attached('odd "name"\\.txt', "no type", contents[1]),
            attached("inner.eml", "message/rfc822", contents[2]),
            attached("dot.gif", "image/gif", contents[3], content_id="dot@x", inline=True),
        ),
    )
    raw = bytes_of(message)
    apart = take_apart(raw)
    assert (apart.body, apart.kind, apart.odd) == ("<p>hi</p>", "html", [])
    assert [pybase64.b64decode(one.content) for one in apart.attachments] == contents
    assert [one.name for one in apart.attachments] == ["große Datei.bin", "odd 'name'_.txt", "inner.eml", "dot.gif"]
    assert (apart.attachments[3].content_id, apart.attachments[3].inline) == ("dot@x", True)


@pytest.mark.parametrize("words", ["\x00null", "line\r\nBcc: evil@x", "\ud800 alone", "  ", "=?utf-8?q?x?="])
def test_whatever_stands_in_a_field_makes_no_field_of_its_own(words: str) -> None:
    raw = bytes_of(Message(subject=words, author=Address(words, "a@b"), message_id=words, body=words))
    read = email.message_from_bytes(raw)
    assert read["bcc"] is None


def test_base64_is_decoded_in_pieces_and_never_guessed_at() -> None:
    content = bytes(range(256)) * 10_000
    pieces = list(decoded(pybase64.b64encode(content)))
    assert b"".join(pieces) == content
    assert len(pieces) > 1
    with pytest.raises(ValueError, match="base64"):
        list(decoded(b"###="))
