"""What goes into an export stream comes out of it, and what was damaged on the way is refused."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.lab.stream import CHUNK, pack, partner, unpack
from connectors.lab.truth import Item, Part, Person

BUILD = (15, 1, 2507)
MOMENT = datetime(2021, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)


def full_item() -> Item:
    return Item(
        item_class="IPM.Note.SMIME",
        subject="Grüße, 日本 \U0001f600",
        body_text="plain\r\ntext",
        body_html="<p>ünïcode</p>",
        sender=Person("A", "a@x.test"),
        author=Person("", ""),
        to=[Person("B", "b@x.test"), Person("only a name", "")],
        cc=[Person("C", "/o=Org/cn=Recipients/cn=c")],
        bcc=[Person("D", "d@x.test")],
        reply_to=[Person("E", "e@x.test"), Person("", "f@x.test")],
        message_id="<1@x.test>",
        in_reply_to="<0@x.test>",
        references="<0@x.test> <00@x.test>",
        headers="Received: from x\r\n\tby y\r\n",
        search_key=bytes(range(16)),
        submitted=MOMENT,
        received=MOMENT + timedelta(seconds=1),
        created=MOMENT + timedelta(microseconds=1),
        modified=datetime(1602, 1, 1, tzinfo=UTC),
        is_read=True,
        is_draft=True,
        importance=2,
        sensitivity=3,
        categories=["red", "ärger"],
        flag="complete",
        flag_start=MOMENT,
        flag_due=MOMENT,
        flag_completed=MOMENT,
        wants_read_receipt=True,
        wants_delivery_receipt=True,
        parts=[
            Part("a.bin", "application/octet-stream", b"\x00\xff" * 10, content_id="c1@x", inline=True),
            Part("nested", "message/rfc822", b"Subject: x\r\n\r\ny", kind="message"),
            Part("", "", b""),
        ],
        mime=b"From: a@x.test\r\n\r\n\xff\x00",
        extended={
            "Integer 0x1080": 262,
            "integer 0x1080": 1,
            "Integer 0x1081": "a text where a number belongs",
            "Integer 0x0037": 2**40,
            "String {00020329-0000-0000-c000-000000000046} Name X-Thing": "v",
            "Integer {00062002-0000-0000-c000-000000000046} Id 0x8205": -2,
            "StringArray {00020329-0000-0000-c000-000000000046} Name Many": ["a", ""],
            "StringArray {00020329-0000-0000-c000-000000000046} Name None": [],
            "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820D": MOMENT,
            "Binary 0x3FFF": b"\x00",
            "Boolean 0x10F4": True,
            "Double 0x4000": 1.5,
            "Integer 0x4000": 3,
            "Integer 0x400E": 4,
            "anything at all": b"bytes",
            "a zero \x00 and \\0 and \\": 1,
            "a zero \x00 alone": 2**40,
        },
    )


def test_every_field_of_an_item_comes_back() -> None:
    assert unpack(pack(full_item(), BUILD)) == full_item()


def test_an_empty_item_comes_back_empty() -> None:
    assert unpack(pack(Item(), BUILD)) == Item()


def test_a_store_s_own_ids_are_not_carried() -> None:
    came = unpack(pack(Item(id="x", change=7, folder_id="f", parts=[Part("n", "t", b"c", id="p")]), BUILD))
    assert (came.id, came.change, came.folder_id, came.parts[0].id) == ("", 0, "", "")


texts = st.text(max_size=40)
moments = st.datetimes(min_value=datetime(1601, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001
values = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.binary(max_size=40),
    moments,
    st.lists(texts),
    st.lists(st.binary()),
)
people = st.builds(Person, texts, texts)
items = st.builds(
    Item,
    item_class=texts,
    subject=texts,
    body_text=st.none() | texts,
    body_html=st.none() | texts,
    sender=st.none() | people,
    author=st.none() | people,
    to=st.lists(people, max_size=3),
    reply_to=st.lists(people, max_size=3),
    search_key=st.binary(max_size=20),
    submitted=st.none() | moments,
    flag=st.sampled_from(["notFlagged", "flagged", "complete"]) | texts,
    categories=st.lists(texts, max_size=3),
    mime=st.none() | st.binary(),
    extended=st.dictionaries(
        texts | st.sampled_from(["Integer 0x1080", "String 0x1035", "String 0x3FFA", "Integer 0x36", "Long 0x0E08"]),
        values,
        max_size=4,
    ),
    parts=st.lists(st.builds(Part, texts, texts, st.binary(), st.booleans(), st.none() | texts), max_size=3),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items)
def test_any_item_comes_back(item: Item) -> None:
    assert unpack(pack(item, BUILD)) == item


def records(data: bytes) -> list[tuple[int, int]]:
    found, at = [], 0
    while at < len(data):
        opcode, length = struct.unpack_from("<II", data, at)
        found.append((opcode, length))
        at += 8 + length
    assert at == len(data)
    return found


def test_the_stream_is_framed_as_exchange_frames_it() -> None:
    data = pack(full_item(), (14, 1, 164))
    assert [opcode for opcode, _ in records(data)[:4]] == [1, 3, 4, 2]
    assert data[8:16] == bytes.fromhex("0000000001000000")
    assert bytes.fromhex("0703020000000000c000000000000046") in data[16:48]
    assert data[56:62] == bytes.fromhex("010ea4800000")
    assert partner(data) == (14, 1, 164)


def test_a_large_item_is_split_over_several_records() -> None:
    big = replace(full_item(), parts=[Part("big", "x/y", b"z" * (3 * CHUNK))])
    data = pack(big, BUILD)
    assert sum(1 for opcode, _ in records(data) if opcode == 2) >= 4
    assert unpack(data) == big


def test_a_stream_cut_anywhere_is_refused() -> None:
    data = pack(full_item(), BUILD)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="export stream"):
            unpack(data[:length])


def test_a_stream_without_its_last_record_is_refused() -> None:
    data = pack(replace(full_item(), mime=b"m" * CHUNK * 2), BUILD)
    with pytest.raises(ValueError, match="export stream"):
        unpack(data[: -8 - records(data)[-1][1]])


def test_a_stream_with_one_changed_byte_is_refused() -> None:
    data = pack(full_item(), BUILD)
    start = 62 + 8
    for at in range(start, len(data), 7):
        with pytest.raises(ValueError):
            unpack(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])


@pytest.mark.parametrize("data", [b"", b"hello", b"\x09\x00\x00\x00\x00\x00\x00\x00", b"=== Truncated Data ==="])
def test_what_never_was_a_stream_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="export stream"):
        unpack(data)


def test_a_value_that_no_property_can_hold_is_named() -> None:
    with pytest.raises(ValueError, match="dict"):
        pack(Item(extended={"k": {}}), BUILD)
