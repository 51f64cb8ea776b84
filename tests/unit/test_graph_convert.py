"""A message of ours as Graph takes it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Address, Attachment, FollowUp, Message, Refusal
from connectors.graph import extended as x
from connectors.graph.convert import REQUEST_LIMIT, Composed, compose, raw_size

STAMP = "m1-00ff"
WHEN = datetime(2019, 3, 1, 8, 0, 0, tzinfo=UTC)


def composed(message: Message, item_class: str = "IPM.Note") -> tuple[dict[str, Any], Composed]:
    found = compose(message, STAMP, item_class)
    assert isinstance(found, Composed)
    return orjson.loads(found.body), found


def properties(fields: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["value"] for each in fields["singleValueExtendedProperties"]}


def file(size: int, name: str = "a.bin", **more: Any) -> Attachment:
    return Attachment(
        name=name, content_type="application/octet-stream", content=base64.b64encode(b"x" * size), size=size, **more
    )


def test_a_message_becomes_no_draft_with_its_real_dates_and_threading() -> None:
    message = Message(
        subject="s", received=WHEN, submitted=WHEN.replace(second=1), headers="A: b", in_reply_to="<1@x>", references="<0@x>",
        icon=261, last_verb=102, sensitivity="private", is_read=True, message_id="<2@x>",
    )  # fmt: skip
    fields, _ = composed(message, "IPM.Note.Custom")
    assert properties(fields) == {
        "Integer 0x0E07": "5",
        "SystemTime 0x0E06": "2019-03-01T08:00:00Z",
        "SystemTime 0x0039": "2019-03-01T08:00:01Z",
        "String 0x007D": "A: b",
        "String 0x1042": "<1@x>",
        "String 0x1039": "<0@x>",
        "Integer 0x1080": "261",
        "Integer 0x1081": "102",
        "String 0x001A": "IPM.Note.Custom",
        "Integer 0x0036": "2",
        x.STAMP: STAMP,
    }
    assert fields["internetMessageId"] == "<2@x>"
    assert fields["isRead"] is True


def test_a_draft_carries_no_message_flags() -> None:
    fields, _ = composed(Message(is_draft=True))
    assert "Integer 0x0E07" not in properties(fields)


def test_odd_addresses_keep_their_text_but_only_smtp_ones_get_replies() -> None:
    exchange = Address("Old One", "/O=ORG/OU=AG/CN=RECIPIENTS/CN=OLD")
    fields, found = composed(
        Message(author=exchange, to=(exchange, Address("only a name")), reply_to=(exchange, Address("", "a@example.com")))
    )
    assert fields["from"]["emailAddress"] == {"name": "Old One", "address": "/O=ORG/OU=AG/CN=RECIPIENTS/CN=OLD"}
    assert fields["sender"] == fields["from"]
    assert fields["toRecipients"][1] == {"emailAddress": {"name": "only a name"}}
    assert [each["emailAddress"]["address"] for each in fields["replyTo"]] == ["a@example.com"]
    assert "reply-to" in found.degraded


def test_a_flag_that_starts_but_is_never_due_loses_its_start_by_name() -> None:
    fields, told = composed(Message(submitted=WHEN, follow_up=FollowUp("flagged", start=WHEN)))
    assert fields["flag"] == {"flagStatus": "flagged"}
    assert told.degraded == ("flag-dates",)


def test_a_flag_that_is_due_also_starts() -> None:
    fields, _ = composed(Message(follow_up=FollowUp("flagged", due=WHEN)))
    assert (
        fields["flag"]["startDateTime"] == fields["flag"]["dueDateTime"] == {"dateTime": "2019-03-01T08:00:00", "timeZone": "UTC"}
    )


def test_small_attachments_ride_along_with_their_base64_untouched() -> None:
    fields, found = composed(Message(attachments=(file(5, content_id="c1", inline=True),)))
    assert found.later == ()
    assert fields["attachments"] == [
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "a.bin",
            "isInline": True,
            "contentBytes": base64.b64encode(b"xxxxx").decode(),
            "contentType": "application/octet-stream",
            "contentId": "c1",
        }
    ]


def test_attachments_that_do_not_fit_follow_and_the_stamp_stays_partial_until_then() -> None:
    message = Message(attachments=(file(1000, "1"), file(2_650_000, "2"), file(10, "3")), wants_read_receipt=True)
    fields, found = composed(message)
    assert [each["name"] for each in fields["attachments"]] == ["1"]
    assert [each.name for each in found.later] == ["2", "3"]
    assert properties(fields)[x.STAMP] == STAMP + "-partial"
    assert fields["isReadReceiptRequested"] is False  # its removal must stay silent
    assert found.receipt_later


@given(st.lists(st.integers(0, 2_000_000), max_size=6), st.integers(0, 700_000))
def test_a_request_never_exceeds_its_limit_and_no_attachment_is_lost(sizes: list[int], body: int) -> None:
    message = Message(body="é" * body, attachments=tuple(file(size, str(n)) for n, size in enumerate(sizes)))
    fields, found = composed(message)
    assert len(found.body) <= REQUEST_LIMIT
    names = [each["name"] for each in fields.get("attachments", ())] + [each.name for each in found.later]
    assert names == [str(n) for n in range(len(sizes))]


def test_a_body_that_fits_no_request_is_attached_and_named() -> None:
    fields, found = composed(Message(body="<p>é</p>" * 600_000, body_kind="html", received=WHEN))
    assert found.degraded == ("body",)
    (apart,) = found.later
    assert apart.name == "body.html"
    assert base64.b64decode(apart.content).decode() == "<p>é</p>" * 600_000
    assert fields["body"]["contentType"] == "text"


def test_what_json_cannot_hold_is_replaced_and_named() -> None:
    fields, found = composed(Message(subject="a\x00b\ud800c", body="\U0001f600 fine"))
    assert fields["subject"] == "ab\ufffdc"
    assert fields["body"]["content"] == "\U0001f600 fine"
    assert "characters" in found.degraded


def test_what_the_target_never_takes_is_refused_by_name() -> None:
    many = compose(Message(attachments=(file(1),) * 251), STAMP)
    assert isinstance(many, Refusal)
    assert many.reason == "too-many-attachments"


def test_nested_messages_dates_and_oddities_are_named_as_degraded() -> None:
    nested = Attachment(name="", content_type="message/rfc822", content=b"QQ==")
    fields, found = composed(Message(attachments=(nested,), odd=("rtf",)))
    assert found.degraded == ("rtf", "nested-attachments", "dates")
    assert fields["attachments"][0]["name"] == "message.eml"


@pytest.mark.parametrize("size", range(7))
def test_the_size_behind_base64_is_exact(size: int) -> None:
    assert raw_size(file(size)) == size


@given(st.text())
def test_any_text_becomes_json(text: str) -> None:
    fields, _ = composed(Message(subject=text, body=text, to=(Address(text, text),), categories=(text,)))
    assert isinstance(fields["subject"], str)
