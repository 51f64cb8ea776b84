"""The rules of the deep comparison: what is levelled, what is named, and how attachments are paired."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.reading import Portrait, address, body, compare, cut, enclosure, hashed, headers_of, level, overlooked
from connectors.reading_items import more_of, read_time
from connectors.reading_mail import nested, read_mail
from migrator.checking.deep import EXPLAINED, chosen

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)


def portrait(**more: object) -> Portrait:
    return replace(Portrait(id="1"), **more)  # type: ignore[arg-type]


@given(st.text(max_size=200))
def test_levelling_twice_levels_no_more(text: str) -> None:
    assert level(level(text)) == level(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a  b\r\n c", "a b c"),
        ("e\u0301", "\u00e9"),
        ("so\u00adft", "soft"),
        ("\ufeffa\u200bb", "ab"),
        ("a\u00a0b", "a b"),
    ],
)
def test_what_nobody_sees_is_levelled(one: str, other: str) -> None:
    assert hashed(one) == hashed(other)


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("a", "b"), ("a.", "a"), ("1 2", "12")])
def test_what_is_seen_in_a_subject_is_not_levelled(one: str, other: str) -> None:
    assert hashed(one) != hashed(other)


def test_text_and_html_that_show_the_same_words_are_the_same_text() -> None:
    plain = body("text", "Good morning,\r\n\r\nsee you & bye")
    html = body(
        "HTML", "<html><head><style>p {x: y}</style></head><body><p>Good morning,</p><div>see you &amp; bye</div></body></html>"
    )
    assert plain[0] == html[0]
    assert (plain[1], html[1] is None) == (None, False)


def test_mere_boxes_do_not_count_but_links_and_pictures_do() -> None:
    bare = body("html", '<b>x</b><a href="u">y</a>')
    assert body("html", '<html><body><div><p style="a"><b class="z">x</b><a href="u">y</a></p></div></body></html>') == bare
    assert body("html", '<b>x</b><a href="v">y</a>')[1] != bare[1]
    assert body("html", '<b>x</b><a href="u">y</a><img src="cid:1">')[1] != bare[1]


def test_html_counts_only_if_the_source_has_it() -> None:
    rich, plain = portrait(html=b"1"), portrait(html=None)
    assert compare(rich, plain) == ("html",)
    assert compare(plain, rich) == ()


def test_times_may_lose_their_fraction_and_targets_may_make_one_up() -> None:
    ours = portrait(submitted=WHEN + timedelta(milliseconds=900))
    assert compare(ours, portrait(submitted=WHEN)) == ()
    assert compare(ours, portrait(submitted=WHEN - timedelta(seconds=1))) == ("submitted",)
    assert compare(ours, portrait()) == ("submitted",)
    assert compare(portrait(), ours) == ()


def test_a_sender_may_stand_for_the_author_and_the_other_way_round() -> None:
    one = frozenset({"a@x"})
    assert compare(portrait(author=one), portrait(author=one, sender=one)) == ()
    assert compare(portrait(author=one), portrait(author=one, sender=frozenset({"b@x"}))) == ("sender",)


def test_names_are_compared_for_addresses_that_both_sides_have() -> None:
    ours = portrait(names=frozenset({("a@x", "Anna")}))
    assert compare(ours, portrait(names=frozenset({("a@x", "Anne")}))) == ("names",)
    assert compare(portrait(), ours) == ()
    assert address('"Anna, B."', "A@X") == ("a@x", "Anna, B.")
    assert address("a@x", "A@x") == ("a@x", "")
    assert address("Anna", "") == ("anna", "Anna")


def test_a_follow_up_without_a_start_starts_when_it_is_due() -> None:
    ours = portrait(flag="flagged", flag_due=WHEN)
    assert compare(ours, portrait(flag="flagged", flag_start=WHEN, flag_due=WHEN)) == ()
    assert compare(ours, portrait(flag="complete", flag_completed=WHEN)) == ("flag",)


def test_only_headers_of_note_count_however_they_are_folded() -> None:
    one = headers_of("Received: a;\r\n\tb\r\nX-Spam: no\r\nX-Mailer: c\r\n")
    assert one == headers_of("x-mailer: c\nreceived: a; b")
    assert one != headers_of("Received: a; b")


def test_attachments_are_paired_whatever_their_order() -> None:
    one, other = enclosure("a.txt", "text/plain", b"1"), enclosure("b.txt", "text/plain", b"2")
    assert compare(portrait(attachments=(one, other)), portrait(attachments=(other, one))) == ()
    assert compare(portrait(attachments=(one, one)), portrait(attachments=(one,))) == ("attachment-missing",)
    renamed = enclosure("c.txt", "text/plain", b"1")
    assert compare(portrait(attachments=(one, other)), portrait(attachments=(other, renamed))) == ("attachment-name",)


def test_an_attachment_without_a_name_may_get_one() -> None:
    bare = enclosure("", "", b"1")
    named = enclosure("part1.bin", "application/octet-stream", b"1")
    assert compare(portrait(attachments=(bare,)), portrait(attachments=(named,))) == ()


def test_a_message_within_a_message_counts_by_what_can_be_read_in_it() -> None:
    raw = b"Subject: Inside\r\nMessage-ID: <1@x>\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    anew = b"message-id: <1@x>\nsubject: =?utf-8?q?Inside?=\ncontent-type: text/html\n\n<p>Hello</p>"
    assert nested("a", raw).digest == nested("a", anew).digest
    assert nested("a", raw).digest != nested("a", raw.replace(b"Hello", b"Hullo")).digest


@given(st.binary(max_size=400))
def test_any_bytes_can_be_read_as_mail(raw: bytes) -> None:
    read_mail(raw)
    read_mail(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + raw + b"\n--b--\n")


def test_what_a_wire_does_not_show_is_told_and_not_compared() -> None:
    ours = portrait(attachments=(enclosure("a", "", b"1"),))
    blind = portrait(unseen=frozenset({"attachments"}))
    assert compare(ours, blind) == ()
    assert overlooked(ours, blind) == ("attachments",)
    assert overlooked(portrait(), blind) == ()


def test_values_of_either_wire_have_one_normal_form() -> None:
    task = "00062003-0000-0000-c000-000000000046"
    one = {(task, 0x811C): "true", (task, 0x8102): "0.50", (task, 0x8105): "2021-03-04T05:06:07.0000000Z"}
    other = {(task, 0x811C): "1", (task, 0x8102): "0.5", (task, 0x8105): "2021-03-04T05:06:07Z", (task, 0x8101): "0"}
    assert more_of("IPM.Task", one) == more_of("ipm.task.x", other)
    assert read_time("4501-01-01T00:00:00Z") is read_time("1601-01-01T00:00:00Z") is read_time("") is None
    assert read_time("2021-03-04T06:06:07.123+01:00") == WHEN + timedelta(milliseconds=123)


def test_a_sample_is_the_same_whatever_the_order_of_the_keys() -> None:
    keys = [bytes([number]) * 16 for number in range(200)]
    assert chosen(iter(keys), 10) == chosen(iter(reversed(keys)), 10)
    assert len(chosen(iter(keys), 10)) == 10
    assert chosen(iter(keys), 500) == frozenset(keys)


def test_no_degradation_excuses_what_decides_who_a_message_is_from_or_for() -> None:
    excused = frozenset().union(*EXPLAINED.values())
    assert not excused & {"class", "from", "sender", "to", "cc", "bcc", "message-id", "read", "draft", "categories"}


def test_a_cut_is_told_from_another_value() -> None:
    long = "x" * 300
    ours = portrait(subject=hashed(long), subject_cut=cut(long))
    assert compare(ours, portrait(subject=hashed("x" * 255))) == ("subject-cut",)
    assert compare(ours, portrait(subject=hashed("x" * 254))) == ("subject",)
    asked = portrait(reply_to=frozenset({"a@x", "nobody"}))
    assert compare(asked, portrait(reply_to=frozenset({"a@x"}))) == ("reply-to-cut",)
    assert compare(asked, portrait(reply_to=frozenset({"nobody"}))) == ("reply-to",)
