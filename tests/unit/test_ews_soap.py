"""Answers of Exchange are read strictly: whole or not at all, and each stream only for its own item."""

from __future__ import annotations

import base64
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from connectors.base import Drop, Facts, Lane, Put, ReadFlag, Ref, hash_subject
from connectors.errors import Halt, Throttled, Unavailable, UnknownAnswer
from connectors.ews.answer import messages, parse
from connectors.ews.convert import item_of
from connectors.ews.export import Records, check_stream, read_export
from connectors.ews.soap import Prop, entry_of, extended, facts_of, moment, number, read_page

S = "http://schemas.xmlsoap.org/soap/envelope/"
M = "http://schemas.microsoft.com/exchange/services/2006/messages"
T = "http://schemas.microsoft.com/exchange/services/2006/types"
CORPUS = Path(os.environ.get("MIGRATOR_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus")) / "eml"
TASK, APPOINTMENT = "00062003-0000-0000-C000-000000000046", "00062002-0000-0000-C000-000000000046"


def envelope(body: str) -> bytes:
    spaces = f'xmlns:s="{S}" xmlns:m="{M}" xmlns:t="{T}"'
    return f'<?xml version="1.0"?><s:Envelope {spaces}><s:Body>{body}</s:Body></s:Envelope>'.encode()


def answer(kind: str, *inner: str, code: str = "NoError") -> bytes:
    told = "".join(
        f"<m:{kind}ResponseMessage><m:ResponseCode>{code}</m:ResponseCode>{one}</m:{kind}ResponseMessage>" for one in inner
    )
    return envelope(f"<m:{kind}Response><m:ResponseMessages>{told}</m:ResponseMessages></m:{kind}Response>")


def element(text: str, kind: str = "Message") -> Any:
    return etree.fromstring(f'<t:{kind} xmlns:t="{T}">{text}</t:{kind}>')


def prop(value: str, tag: str = "", *, space: str = "", own: int = 0) -> str:
    where = f'PropertySetId="{space}" PropertyId="{own}"' if space else f'PropertyTag="{tag}"'
    uri = f'<t:ExtendedFieldURI {where} PropertyType="String"/>'
    return f"<t:ExtendedProperty>{uri}<t:Value>{value}</t:Value></t:ExtendedProperty>"


def record(opcode: int, content: bytes = b"") -> bytes:
    return struct.pack("<II", opcode, len(content)) + content


FRAME = record(1, bytes(8)) + record(3, bytes(24)) + record(4, bytes(6))


def wire(content: bytes) -> bytes:
    return base64.b64encode(content)


# --- documents


def test_a_document_without_its_end_is_none() -> None:
    whole = answer("GetItem", "<m:Items/>")
    for cut in (len(whole) - 1, len(whole) // 2, 10, 0):
        with pytest.raises(Unavailable):
            parse(whole[:cut])


@pytest.mark.parametrize("broken", ["&#x1;", "&#x0B;", "&#31;", "&#xFFFE;", "&#xD83D;", "\x01", "\x0c", "\ufffe", "&#x0000;"])
def test_characters_that_xml_forbids_are_left_out(broken: str) -> None:
    root = parse(envelope(f"<m:x>a{broken}b</m:x>"))
    assert root.findtext(f".//{{{M}}}x") == "ab"


def test_a_text_that_is_no_utf_8_is_read_as_far_as_it_goes() -> None:
    root = parse(envelope("<m:x>a?b</m:x>").replace(b"?b", b"\xffb").replace(b'"1.0"\xff', b'"1.0"?'))
    assert root.findtext(f".//{{{M}}}x") == "a\ufffdb"


def test_forbidden_characters_do_not_hide_a_cut() -> None:
    with pytest.raises(Unavailable):
        parse(envelope("<m:x>a&#x1;b</m:x>")[:-5])


def test_no_entity_is_ever_resolved() -> None:
    text = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + envelope("<m:x>&e;</m:x>")[21:]
    assert not parse(text).findtext(f".//{{{M}}}x")


def test_an_answer_without_messages_is_none() -> None:
    for body in ("", "<m:GetItemResponse/>", "<m:GetItemResponse><m:ResponseMessages/></m:GetItemResponse>"):
        with pytest.raises(Unavailable):
            messages(parse(envelope(body)), "GetItem")


def fault(code: str, *, detail: bool = True, values: str = "") -> bytes:
    told = f'<e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">{code}</e:ResponseCode>'
    shown = f"<detail>{told if detail else ''}{values}</detail>"
    return envelope(f"<s:Fault><faultcode>a:{code}</faultcode><faultstring>private</faultstring>{shown}</s:Fault>")


def test_a_fault_means_what_its_code_means() -> None:
    values = '<t:MessageXml><t:Value Name="BackOffMilliseconds">1500</t:Value></t:MessageXml>'
    with pytest.raises(Throttled) as caught:
        parse(fault("ErrorServerBusy", values=values))
    assert caught.value.after == 1.5
    with pytest.raises(Halt):
        parse(fault("ErrorPasswordExpired", detail=False))
    with pytest.raises(UnknownAnswer, match="ErrorOfTomorrow") as unknown:
        parse(fault("ErrorOfTomorrow"))
    assert "private" not in str(unknown.value)


def test_a_fault_of_the_web_server_is_an_outage() -> None:
    with pytest.raises(Unavailable):
        parse(fault("InternalServiceFault", detail=False))


# --- listings


def page(changes: str, state: str = "<m:SyncState>s2</m:SyncState>", last: str = "true") -> Any:
    whole = f"{state}<m:IncludesLastItemInRange>{last}</m:IncludesLastItemInRange><m:Changes>{changes}</m:Changes>"
    return messages(parse(answer("SyncFolderItems", whole)), "SyncFolderItems")[0]


ID = '<t:ItemId Id="i1" ChangeKey="k1"/>'


def test_a_page_tells_its_changes_in_order() -> None:
    told = (
        f"<t:Create><t:Message>{ID}<t:ItemClass>IPM.Note</t:ItemClass><t:Size>7</t:Size></t:Message></t:Create>"
        f'<t:Delete><t:ItemId Id="i2"/></t:Delete>'
        f'<t:ReadFlagChange><t:ItemId Id="i3" ChangeKey="k3"/><t:IsRead>true</t:IsRead></t:ReadFlagChange>'
    )
    found, whole = read_page(page(told, last="false"))
    assert whole
    assert (found.cursor, found.last) == ("s2", False)
    first = found.changes[0]
    assert isinstance(first, Put)
    assert first.ref == Ref("i1", "k1", 7)
    assert found.changes[1:] == (Drop("i2"), ReadFlag("i3", True, "k3"))


def test_a_page_of_bare_ids_says_so() -> None:
    assert read_page(page(f"<t:Update><t:Message>{ID}</t:Message></t:Update>"))[1] is False
    assert read_page(page("")) == (read_page(page(""))[0], True)


@pytest.mark.parametrize(
    "message",
    [
        lambda: page("", state=""),
        lambda: page("", last="perhaps"),
        lambda: page("<t:Create/>"),
        lambda: page("<t:Create><t:Message/></t:Create>"),
        lambda: page("<t:Delete/>"),
        lambda: page(f"<t:Renamed>{ID}</t:Renamed>"),
    ],
)
def test_a_page_that_is_not_whole_is_none(message: Any) -> None:
    with pytest.raises(Unavailable):
        read_page(message())


def test_facts_are_read_from_every_spelling_of_a_property() -> None:
    text = (
        f"{ID}<t:ItemClass>IPM.Note</t:ItemClass><t:Subject> Hello  World </t:Subject><t:Size>42</t:Size>"
        f"<t:DateTimeCreated>2021-03-04T05:06:07Z</t:DateTimeCreated>"
        f"{prop('AAEC', '0x300b')}{prop('&lt;a@b&gt;', '0x1035')}{prop('2021-03-04T06:06:07+01:00', '0x39')}"
        f"{prop('2021-03-04T05:06:08Z', '0xe06')}{prop('2021-03-04T05:06:09.1234567Z', '0x3008')}"
        f"{prop('True', '0x29')}{prop('17', '0xE07')}"
    )
    entry = entry_of(element(text))
    assert (entry.id, entry.version) == ("i1", "k1")
    assert entry.facts == Facts(
        item_class="IPM.Note",
        size=42,
        search_key=b"\x00\x01\x02",
        message_id="<a@b>",
        subject_hash=hash_subject("hello world"),
        submitted=datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC),
        received=datetime(2021, 3, 4, 5, 6, 8, tzinfo=UTC),
        created=datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC),
        modified=datetime(2021, 3, 4, 5, 6, 9, 123456, tzinfo=UTC),
        is_read=True,
        has_attendees=False,
        wants_receipt=True,
    )


def test_what_the_server_does_not_say_is_unknown() -> None:
    bare = facts_of(element(ID))
    assert bare == Facts(item_class="IPM.Note")
    told = facts_of(element(f"{ID}<t:ItemClass>IPM.Note</t:ItemClass>{prop('1', '0x0e07')}"))
    assert (told.wants_receipt, told.has_attendees, told.subject_hash) == (False, False, hash_subject(""))


def test_nonsense_in_a_property_is_no_value() -> None:
    text = f"{ID}<t:Size>big</t:Size>{prop('!', '0x300B')}{prop('soon', '0x0039')}{prop('x', '0x0E07')}{prop('y', '0xZZ')}"
    facts = facts_of(element(text + "<t:ExtendedProperty/>"))
    assert (facts.size, facts.search_key, facts.submitted, facts.is_read) == (0, None, None, None)


@pytest.mark.parametrize(
    ("state", "people", "told"),
    [
        ("1", "", True),
        ("0", "Ben", True),
        ("", "Ben", True),
        ("0", "", False),
        ("", "", None),
        ("3", None, True),
        ("0", None, None),
    ],
)
def test_attendees_of_an_appointment(state: str, people: str | None, told: bool | None) -> None:
    text = f"{ID}<t:ItemClass>IPM.Appointment</t:ItemClass>{prop('2022-01-01T10:00:00Z', space=APPOINTMENT, own=33293)}"
    text += prop(state, space=APPOINTMENT, own=33303) if state else ""
    text += "" if people is None else prop(people, "0xe04")
    facts = facts_of(element(text, "CalendarItem"))
    assert facts.has_attendees is told
    assert facts.start == datetime(2022, 1, 1, 10, tzinfo=UTC)


def test_a_meeting_request_is_known_by_when_it_was_sent() -> None:
    text = (
        f"{ID}<t:ItemClass>IPM.Schedule.Meeting.Request</t:ItemClass>{prop('2022-01-01T10:00:00Z', space=APPOINTMENT, own=33293)}"
    )
    facts = facts_of(element(text, "MeetingRequest"))
    assert (facts.start, facts.has_attendees) == (None, None)


@pytest.mark.parametrize(
    "text", ["", None, "1601-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "yesterday", "2021-02-30T00:00:00Z"]
)
def test_times_that_stand_for_none_are_none(text: str | None) -> None:
    assert moment(text) is None


def test_numbers() -> None:
    assert [number(text) for text in ("12", "-1", "", None, "x")] == [12, -1, None, None, None]


def test_properties_with_many_values_are_left_out() -> None:
    uri = '<t:ExtendedFieldURI PropertyTag="0x1234" PropertyType="StringArray"/>'
    assert extended(element(f"<t:ExtendedProperty>{uri}<t:Values><t:Value>a</t:Value></t:Values></t:ExtendedProperty>")) == {}


# --- exports


def test_each_stream_is_cut_out_for_its_own_item() -> None:
    whole = answer("ExportItems", "<m:Data>AAEC</m:Data>", "", "<m:Data/>", "<m:Data></m:Data>", "<m:Data>BBBB</m:Data>")
    assert [stream for _, stream in read_export(whole)] == [b"AAEC", None, None, b"", b"BBBB"]


def test_line_breaks_in_a_stream_are_left_out() -> None:
    whole = answer("ExportItems", "<m:Data>AAEC\r\n BBBB\n</m:Data>", "<m:Data>AAEC&#xD;\nBBBB</m:Data>")
    assert [stream for _, stream in read_export(whole)] == [b"AAECBBBB", b"AAECBBBB"]


def test_a_stream_in_another_spelling_is_found_too() -> None:
    default = answer("ExportItems", "<m:Data>AAEC</m:Data>").replace(b"m:", b"").replace(b"xmlns:m=", b"xmlns=")
    odd = answer("ExportItems", f'<m:Data xmlns:q="{T}">AAEC</m:Data>')
    for whole in (default, odd):
        assert [stream for _, stream in read_export(whole)] == [b"AAEC"]


def test_an_export_that_was_cut_is_none() -> None:
    whole = answer("ExportItems", "<m:Data>AAEC</m:Data>", "<m:Data>BBBB</m:Data>")
    for cut in range(0, len(whole), 7):
        with pytest.raises(Unavailable):
            read_export(whole[:cut])


def test_a_whole_stream_is_accepted_whatever_its_padding() -> None:
    for length in range(40):
        assert check_stream(wire(FRAME + record(2, bytes(length)))) == frozenset()


def test_records_of_an_unknown_kind_are_accepted_and_told() -> None:
    assert check_stream(wire(FRAME + record(2, b"x") + record(9, b"y") + record(7))) == {7, 9}


@given(st.lists(st.integers(0, 40), max_size=6), st.lists(st.integers(0, 400), max_size=12), st.integers(0, 9))
def test_a_stream_that_comes_in_pieces_is_the_same_stream(lengths: list[int], places: list[int], cut: int) -> None:
    whole = wire(FRAME + b"".join(record(2 + at % 4, bytes(length)) for at, length in enumerate(lengths)))
    whole = whole[: len(whole) - cut]
    records, begun = Records(), 0
    for place in [*sorted(places), len(whole)]:
        records.feed(whole[begun:place])
        begun = max(begun, place)
    told = []
    for ask in (records.end, lambda: check_stream(whole)):
        try:
            told.append(ask())
        except Unavailable as error:
            told.append(str(error))
    assert told[0] == told[1]


@given(st.integers(1, 90))
def test_a_cut_within_a_record_is_found(cut: int) -> None:
    whole = FRAME + record(2, bytes(60))
    with pytest.raises(Unavailable):
        check_stream(wire(whole[: len(whole) - cut]))


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"AAE",
        wire(FRAME),
        wire(record(2, b"x") + FRAME),
        wire(FRAME + record(2, b"x") + b"\x00"),
        wire(record(1, bytes(8)) + record(4, bytes(6)) + record(3, bytes(24)) + record(2)),
        wire(FRAME + record(2, bytes(30)))[:-4] + b"=== ",
        b"!" + wire(FRAME + record(2, bytes(30)))[1:],
    ],
)
def test_what_is_no_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(Unavailable):
        check_stream(stream)


# --- composed items


def composed(text: str, mime: bytes = b"Subject: x\r\n\r\nbody", kind: str = "Message") -> Any:
    content = f"<t:MimeContent>{base64.b64encode(mime).decode()}</t:MimeContent>"
    return item_of(Ref("i1", "k1"), element(content + text, kind))


def people(name: str, *addresses: str) -> str:
    inner = "".join(f"<t:Mailbox><t:Name>N</t:Name><t:EmailAddress>{one}</t:EmailAddress></t:Mailbox>" for one in addresses)
    return f"<t:{name}>{inner}</t:{name}>"


def test_people_dates_and_flags_come_from_the_servers_fields() -> None:
    text = (
        "<t:ItemClass>IPM.Note.Custom</t:ItemClass><t:Subject>Hello</t:Subject><t:Sensitivity>Private</t:Sensitivity>"
        "<t:Categories><t:String>Red</t:String><t:String>Blå</t:String></t:Categories><t:Importance>High</t:Importance>"
        f"{people('Sender', 's@x')}{people('ToRecipients', 'a@x', 'b@x')}{people('CcRecipients')}{people('BccRecipients', 'c@x')}"
        f"{people('From', 'f@x')}{people('ReplyTo', 'r@x')}<t:IsDraft>false</t:IsDraft><t:IsRead>true</t:IsRead>"
        "<t:IsReadReceiptRequested>true</t:IsReadReceiptRequested><t:InternetMessageId>&lt;m@x&gt;</t:InternetMessageId>"
        f"{prop('Received: x', '0x7d')}{prop('2021-03-04T05:06:07Z', '0x39')}{prop('262', '0x1080')}{prop('102', '0x1081')}"
        f"{prop('2', '0x1090')}{prop('2021-05-01T00:00:00Z', space=TASK, own=33028)}"
        f"{prop('4501-01-01T00:00:00Z', space=TASK, own=33029)}"
    )
    item = composed(text)
    assert (item.lane, item.item_class, len(item.digest)) == (Lane.COMPOSE, "IPM.Note.Custom", 8)
    message = item.message
    assert message is not None
    assert (message.subject, message.body, message.message_id) == ("Hello", "body", "<m@x>")
    assert message.sender is not None
    assert message.author is not None
    assert (message.sender.address, message.author.address) == ("s@x", "f@x")
    assert [one.address for one in (*message.to, *message.cc, *message.bcc, *message.reply_to)] == ["a@x", "b@x", "c@x", "r@x"]
    assert (message.importance, message.sensitivity, message.categories) == ("high", "private", ("Red", "Blå"))
    assert (message.is_read, message.is_draft, message.wants_read_receipt, message.wants_delivery_receipt) == (
        True,
        False,
        True,
        False,
    )
    assert (message.icon, message.last_verb, message.headers) == (262, 102, "Received: x")
    assert message.follow_up is not None
    assert (message.follow_up.status, message.follow_up.start, message.follow_up.due) == (
        "flagged",
        datetime(2021, 5, 1, tzinfo=UTC),
        None,
    )


def test_a_completed_follow_up() -> None:
    message = composed(prop("1", "0x1090") + prop("2021-05-01T00:00:00Z", "0x1091")).message
    assert message is not None
    assert message.follow_up is not None
    assert (message.follow_up.status, message.follow_up.completed) == ("complete", datetime(2021, 5, 1, tzinfo=UTC))


def test_an_item_of_no_bytes_is_an_empty_message() -> None:
    message = composed("", b"").message
    assert message is not None
    assert (message.body, message.sender, message.odd) == ("", None, ("empty",))


@pytest.mark.parametrize("content", ["", "<t:MimeContent>A</t:MimeContent>", "<t:MimeContent>A*==</t:MimeContent>"])
def test_an_item_without_its_content_is_not_answered(content: str) -> None:
    with pytest.raises(Unavailable):
        item_of(Ref("i1"), element(content))


def test_line_breaks_in_the_content_are_no_matter() -> None:
    content = "\r\n".join(base64.encodebytes(b"Subject: x\n\n" + b"body" * 40).decode().splitlines())
    message = item_of(Ref("i1"), element(f"<t:MimeContent>{content}</t:MimeContent>")).message
    assert message is not None
    assert message.body == "body" * 40


def test_the_digest_is_of_the_content() -> None:
    assert composed("", b"a").digest == composed("<t:Subject>other</t:Subject>", b"a").digest != composed("", b"b").digest


def test_the_keys_of_properties_are_those_that_answers_are_read_by() -> None:
    for one in Prop:
        space, _, own = one.value.rpartition(":")
        shown = prop("v", space=space.upper(), own=int(own)) if space else prop("v", hex(int(own, 16)))
        assert extended(element(shown)) == {one.value: "v"}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no mail from the wild beside the project")
def test_mail_from_the_wild_becomes_a_message_each() -> None:
    for path in sorted(CORPUS.iterdir()):
        raw = path.read_bytes()
        item = composed("<t:ItemClass>IPM.Note</t:ItemClass>", raw)
        assert item.message is not None, path.name
        assert item.message.body_kind in ("html", "text"), path.name
