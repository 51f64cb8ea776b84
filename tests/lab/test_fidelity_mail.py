"""Mail by both lanes: what the fidelity table says is degraded or lost of it, and whether it says the truth.

What is kept of mail is in test_deep.py, property by property.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fidelity_world import Case, Row, World, carried, own, parts, people, same_in_all

from connectors.ews import mime
from connectors.graph.convert import BODY_LIMIT, HEADER_LIMIT
from connectors.lab.truth import Item, Part, Person

AGO = datetime(2024, 1, 8, 9, tzinfo=UTC)
INNER = b"Subject: Inside\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nWithin.\r\n"
RICH_TEXT = "Binary 0x1009"  # PidTagRtfCompressed
PKCS7 = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n"
TNEF = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n"
BROKEN = b"Content-Type: text/plain\r\n\r\nwhat no program reads\r\n"


def a_mail(subject: str, **more: Any) -> Item:
    given: dict[str, Any] = {
        "submitted": AGO, "received": AGO, "created": AGO, "modified": AGO, "body_text": "x", "is_read": True,
        "author": Person("A", "a@x.example"), **more,
    }  # fmt: skip
    return Item(subject=subject, message_id=f"<{subject[:5]}@x.example>", **given)


def raw(subject: str, content: bytes) -> Item:
    return a_mail(subject, mime=content)


def parted(kind: str) -> bytes:
    return f"MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n".encode()


def odd() -> dict[str, Item]:
    """Messages that the compose lane can't carry whole, by the name under which it says so."""
    return {
        "characters": a_mail("chars\x01 that XML forbids"),
        "subject": a_mail("s" * 300),
        "body": a_mail("long", body_text="b" * (BODY_LIMIT + 1)),
        "dates": a_mail("dateless", submitted=None, received=None),
        "headers": a_mail("headers", headers="X-Long: " + "y" * HEADER_LIMIT + "\r\n"),
        "reply-to": a_mail("answers", reply_to=[Person("Nobody", "nobody")]),
        "flag-dates": a_mail("flagged", flag="flagged", flag_start=AGO + timedelta(days=1)),
        "nested-attachments": a_mail("nested", parts=[Part("Inside", "message/rfc822", INNER, kind="message")]),
        "empty": raw("empty", b""),
        "no-headers": raw("headless", b"nothing but a body\r\n"),
        "broken-structure": raw("broken", b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n"),
        "unreadable-mime": raw("unreadable", BROKEN),
        "charset": raw("letters", b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\xfd\r\n"),
        "broken-base64": raw(
            "base64", b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nabc!\r\n"
        ),
        "smime": raw("smime", PKCS7),
        "pgp": raw("pgp: by", b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"),
        "tnef": raw("winmail", TNEF),
        "signed": raw("signed", parted("signed")),
        "encrypted": raw("encrypted", parted("encrypted")),
    }


def everything() -> dict[str, Item]:
    html = "<html><body><p>As Exchange makes it</p></body></html>"
    rich = a_mail("rich text", body_text=None, body_html=html, extended={RICH_TEXT: b"LZFu as it was"})
    return {"plain": a_mail("plain"), "rtf": rich, **odd()}


@pytest.fixture(scope="module", params=["compose", "import"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    walk = mime._walk

    def breaks(part: Any, *words: Any, **more: Any) -> None:
        if part.content == BROKEN.partition(b"\r\n\r\n")[2]:
            raise ZeroDivisionError
        walk(part, *words, **more)

    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is known makes the reader of MIME give up; only a bug of its own would.
        patch.setattr(mime, "_walk", breaks)
        with carried(
            tmp_path_factory.mktemp("mail"), request.param, everything(), lambda _: "inbox", illegal_characters=True
        ) as world:
            yield world


COMPOSE = pytest.mark.parametrize("world", ["compose"], indirect=True)
IMPORT = pytest.mark.parametrize("world", ["import"], indirect=True)
DEGRADED: dict[str, Case] = {
    "characters": ("characters", own("subject")), "subject": ("subject", own("subject")), "body": ("body", own("body_text")),
    "dates": ("dates", own("received")), "headers": ("headers", own("headers")), "reply-to": ("reply-to", people("reply_to")),
    "flag-dates": ("flag-dates", own("flag_start")), "nested-attachments": ("nested-attachments", parts("kind")),
    **{name: (name, own("mime")) for name, item in odd().items() if item.mime is not None},
}  # fmt: skip
LOST: dict[str, Case] = {
    "mime": ("no-headers", own("mime")), "rtf": ("rtf", lambda item: item.extended.get(RICH_TEXT)),
    "search-key": ("plain", own("search_key")), "created": ("plain", own("created")),
}  # fmt: skip
ROWS: set[Row] = {
    *(("compose", "mail", name, "degraded") for name in DEGRADED),
    *(("compose", "mail", name, "lost") for name in LOST),
    ("import", "mail", "every property", "kept"),
}


@COMPOSE
@pytest.mark.parametrize("name", DEGRADED)
def test_what_is_degraded_of_mail_is_said_once_and_not_as_it_was(world: World, name: str) -> None:
    key, read = DEGRADED[name]
    ours, theirs = world.pair(key)
    assert read(theirs) != read(ours)
    # What can't be read at all has its original attached, as the message that it is.
    assert world.degraded[name] == 1 + {"nested-attachments": 1}.get(name, 0)


@COMPOSE
@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_of_mail_is_not_there_and_not_told_of_it(world: World, name: str) -> None:
    key, read = LOST[name]
    ours, theirs = world.pair(key)
    assert read(ours)
    assert read(theirs) != read(ours)
    assert name not in world.degraded


@COMPOSE
def test_a_body_in_rtf_arrives_as_what_exchange_makes_of_it(world: World) -> None:
    ours, theirs = world.pair("rtf")
    assert theirs.body_html == ours.body_html


@COMPOSE
@pytest.mark.parametrize(("name", "content"), [("smime", b"a"), ("tnef", b"a"), ("unreadable-mime", BROKEN)])
def test_what_can_not_be_kept_apart_is_attached(world: World, name: str, content: bytes) -> None:
    assert content in [part.content for part in world.pair(name)[1].parts]


@COMPOSE
def test_of_mail_nothing_else_is_said_to_be_less_and_every_difference_is_explained(world: World) -> None:
    assert world.degraded.keys() == DEGRADED.keys()
    assert world.unexplained() == []


@IMPORT
@pytest.mark.parametrize("key", everything())
def test_nothing_of_mail_is_less_by_the_import_lane(world: World, key: str) -> None:
    same_in_all(*world.pair(key))


@IMPORT
def test_nothing_is_said_to_be_less_by_the_import_lane(world: World) -> None:
    assert not world.degraded
    assert world.unexplained() == []
