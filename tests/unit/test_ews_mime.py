"""A message is taken apart into one body and its attachments, however broken it is."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ews.mime import Apart, take_apart
from connectors.ews.mime_text import encoded_words, first_parameter, parameters, read_text


def mail(text: str) -> Apart:
    """The message, its lines ended as mail ends them."""
    return take_apart(text.strip("\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape"))


def shown(apart: Apart) -> list[tuple[str, str, bytes]]:
    return [(one.name, one.content_type, base64.b64decode(one.content, validate=True)) for one in apart.attachments]


def multipart(kind: str, *parts: str, boundary: str = "b", more: str = "") -> str:
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"{more}\n\n{body}--{boundary}--'


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nplain"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>html</p>"
PDF = (
    "Content-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=a.pdf\n"
    "Content-Transfer-Encoding: base64\n\nJVBERi0x\nLjQ="
)


# --- the body


def test_a_plain_mail_is_its_text() -> None:
    apart = mail("Subject: x\n\nGood morning\nBen")
    assert (apart.body, apart.kind, apart.odd) == ("Good morning\r\nBen", "text", [])


def test_html_is_shown_before_plain_whatever_their_order() -> None:
    for parts in ((PLAIN, HTML), (HTML, PLAIN)):
        apart = mail(multipart("alternative", *parts))
        assert (apart.body, apart.kind, apart.attachments) == ("<p>html</p>", "html", [])


def test_plain_text_is_shown_where_there_is_no_html() -> None:
    apart = mail(multipart("alternative", PLAIN, "Content-Type: text/x-other\n\nother"))
    assert (apart.body, apart.kind) == ("plain", "text")
    assert shown(apart) == [("part1.bin", "text/x-other", b"other")]


def test_html_inside_related_parts_is_found_and_its_picture_is_inline() -> None:
    picture = "Content-Type: image/png\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\nAAEC"
    related = multipart("related", HTML, picture, boundary="r")
    apart = mail(multipart("alternative", PLAIN, related))
    assert apart.body == "<p>html</p>"
    [one] = apart.attachments
    assert (one.content_id, one.inline, one.name, one.content) == ("logo@x", True, "part1.png", b"AAEC")


def test_files_in_a_form_that_is_not_shown_are_kept() -> None:
    apart = mail(multipart("alternative", multipart("mixed", PLAIN, PDF, boundary="m"), HTML))
    assert apart.body == "<p>html</p>"
    assert shown(apart) == [("a.pdf", "application/pdf", b"%PDF-1.4")]


def test_a_calendar_beside_the_text_is_attached() -> None:
    apart = mail(multipart("alternative", HTML, "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR"))
    assert shown(apart) == [("part1.ics", "text/calendar", b"BEGIN:VCALENDAR")]


def test_a_footer_behind_the_text_belongs_to_the_body() -> None:
    assert mail(multipart("mixed", PLAIN, PLAIN)).body == "plain\r\nplain"
    apart = mail(multipart("mixed", HTML, "Content-Type: text/plain\n\na < b"))
    assert apart.kind == "html"
    assert apart.body.startswith("<p>html</p>")
    assert "a &lt; b" in apart.body


def test_a_text_with_a_name_is_a_file() -> None:
    part = 'Content-Type: text/plain; name="notes.txt"\n\nnotes'
    apart = mail(multipart("mixed", PLAIN, part))
    assert apart.body == "plain"
    assert shown(apart) == [("notes.txt", "text/plain", b"notes")]


def test_quoted_printable_is_read() -> None:
    apart = mail("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=\n=DFe")
    assert (apart.body, apart.odd) == ("Grüße", [])


def test_a_body_in_base64_is_read() -> None:
    text = base64.b64encode("Grüße".encode()).decode()
    assert mail(f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: BASE64\n\n{text}").body == "Grüße"


def test_uuencoded_parts_are_read() -> None:
    part = "Content-Type: application/x-a; name=a.bin\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a.bin\n#86)C\n`\nend\n"
    assert shown(mail(multipart("mixed", PLAIN, part))) == [("a.bin", "application/x-a", b"abc")]


# --- charsets


@pytest.mark.parametrize(
    ("raw", "charset", "text", "sure"),
    [
        ("Grüße".encode(), "utf-8", "Grüße", True),
        ("Grüße".encode("cp1252"), "utf-8", "Grüße", False),
        ("Grüße".encode(), "us-ascii", "Grüße", False),
        ("Grüße".encode(), "x-unknown", "Grüße", False),
        ("“x”".encode("cp1252"), "iso-8859-1", "“x”", True),
        (b"\x81", "iso-8859-1", "\x81", True),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本", True),
        ("镕".encode("gb18030"), "gb2312", "镕", True),
        (b"plain", "unicode_escape", "plain", False),
        (b"plain", "hex", "plain", False),
        (b"plain", '"utf-8"', "plain", True),
        (b"\xff\xfe\xfd\x81", "", "ÿþý\ufffd", False),
        (b"a\x00b", "", "a\x00b", True),
    ],
)
def test_a_text_is_read_in_the_charset_that_its_writer_meant(raw: bytes, charset: str, text: str, sure: bool) -> None:
    assert read_text(raw, charset) == (text, sure)


def test_html_may_name_its_charset_itself() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-2">ž'.encode("iso-8859-2")
    assert read_text(page, "", is_html=True)[0].endswith("ž")
    assert read_text(b"<meta charset=utf-16>x", "", is_html=True) == ("<meta charset=utf-16>x", True)


def test_a_wrong_charset_is_named_as_odd() -> None:
    assert mail("Content-Type: text/plain; charset=nonsense\n\nä").odd == ["charset"]


# --- attachments


def test_base64_is_carried_over_without_its_line_breaks() -> None:
    [one] = mail(multipart("mixed", PLAIN, PDF)).attachments
    assert (one.content, one.size) == (b"JVBERi0xLjQ=", 8)


def test_content_that_is_no_base64_is_encoded() -> None:
    part = "Content-Type: application/x-a; name=a.bin\nContent-Transfer-Encoding: binary\n\nraw"
    assert shown(mail(multipart("mixed", part))) == [("a.bin", "application/x-a", b"raw")]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("AAEC\nAwQ", b"\x00\x01\x02\x03\x04"),
        ("AAECA", b"\x00\x01\x02"),
        ("AA==\nAQ==", b"\x00\x01"),
        ("AA*EC", b"\x00\x01\x02"),
        ("AAEC====", b"\x00\x01\x02"),
        ("AAECAAECAAECAAECAAECAAECAAEC\n____\nA list footer, by somebody", b"\x00\x01\x02" * 7),
        ("!", b""),
    ],
)
def test_broken_base64_is_read_as_far_as_it_goes_and_named(text: str, read: bytes) -> None:
    apart = mail(multipart("mixed", PLAIN, f"Content-Type: a/b; name=a\nContent-Transfer-Encoding: base64\n\n{text}"))
    assert shown(apart)[0][2] == read
    assert apart.odd == ["broken-base64"]


def test_a_message_within_a_message_is_carried_exactly_and_named_after_its_subject() -> None:
    inner = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=: a/b\nX-Odd:\t  two  \n\nodd\rline ends\n"
    raw = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n'
        + inner
        + b"\r\n--b--\r\n"
    )
    [one] = take_apart(raw).attachments
    assert one.name == "=_utf-8_q_Gr=C3=BC=C3=9Fe_=_ a_b.eml" or one.name == "Grüße_ a_b.eml"
    assert one.content_type == "message/rfc822"
    assert base64.b64decode(one.content) == inner


def test_a_message_within_a_message_without_a_subject_has_a_name_all_the_same() -> None:
    assert shown(mail(multipart("mixed", "Content-Type: message/rfc822\n\nTo: x\n\nhi"))) == [
        ("message.eml", "message/rfc822", b"To: x\r\n\r\nhi")
    ]
    assert shown(mail(multipart("digest", "\nSubject: one\n\nhi")))[0][:2] == ("one.eml", "message/rfc822")


def test_a_report_keeps_its_machine_readable_part() -> None:
    report = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x"
    apart = mail(multipart("report", PLAIN, report))
    assert apart.body == "plain"
    assert shown(apart) == [("part1.txt", "message/delivery-status", b"Reporting-MTA: dns; x")]


@pytest.mark.parametrize(
    ("text", "odd", "name"),
    [
        ("Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nAAEC", "smime", "smime.p7m"),
        (multipart("signed", PLAIN, "Content-Type: application/pkcs7-signature; name=smime.p7s\n\nx"), "smime", "smime.p7s"),
        (multipart("encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1", PDF), "pgp", "part1.bin"),
        ("Content-Type: application/ms-tnef\nContent-Transfer-Encoding: base64\n\nAAEC", "tnef", "winmail.dat"),
    ],
)  # fmt: skip
def test_what_is_sealed_is_attached_and_named(text: str, odd: str, name: str) -> None:
    apart = mail(text)
    assert odd in apart.odd
    assert apart.attachments[0].name == name


# --- names


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a.pdf ; size=3", "a.pdf"),
        ('attachment; FileName="a;b.pdf"', "a;b.pdf"),
        (r'attachment; filename="a\"b.pdf"', 'a"b.pdf'),
        ("attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("attachment; filename=plain.pdf; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("attachment; filename*0=long; filename*1=-name.pdf", "long-name.pdf"),
        ("attachment; filename*=nonsense''a.pdf", "a.pdf"),
        ('attachment; filename="=?utf-8?B?R3LDvMOfZS5wZGY=?="', "Grüße.pdf"),
        ("attachment", ""),
    ],
)
def test_a_name_is_read_in_every_way_that_it_is_written(value: str, name: str) -> None:
    assert first_parameter(value, "filename") == name


def test_encoded_words_that_can_not_be_read_stay() -> None:
    assert encoded_words("=?x-none?Q?a?= b") == "=?x-none?Q?a?= b"
    assert encoded_words("=?utf-8?Q?a_b?=") == "a b"


def test_the_first_of_two_parameters_counts() -> None:
    assert parameters("Text/HTML; charset=utf-8; charset=ascii") == ("text/html", {"charset": "utf-8"})


# --- broken messages


@pytest.mark.parametrize(
    ("raw", "body", "odd"),
    [
        (b"", "", ["empty"]),
        (b" \r\n\r\n", "", ["empty"]),
        (b"no headers at all", "no headers at all", ["no-headers"]),
        (b"Subject: x", "", []),
        (b"Subject: x\r\nno blank line here", "no blank line here", ["broken-structure"]),
        (b"Subject: x\r\rold line ends", "old line ends", []),
        (b"From x@y Mon Jan  1 00:00:00 2001\nSubject: x\n\nfrom a file", "from a file", []),
        (b"Content-Type: multipart/mixed\n\nno boundary", "no boundary", ["broken-structure"]),
        (b'Content-Type: multipart/mixed; boundary="gone"\n\ntext', "text", ["broken-structure"]),
        (b"Content-Type: nonsense\n\ntext", "text", []),
        (b"Content-Type: text/plain; charset\n\ntext", "text", []),
        (b"Subject: \xff\xfe\n\nGr\xc3\xbc\xc3\x9fe", "Grüße", ["charset"]),
    ],
)
def test_a_broken_message_is_read_as_far_as_it_goes(raw: bytes, body: str, odd: list[str]) -> None:
    apart = take_apart(raw)
    assert (apart.body, apart.odd) == (body, odd)


def test_a_multipart_without_its_end_gives_its_parts() -> None:
    apart = mail('Content-Type: multipart/mixed; boundary="b"\n\n--b\n\none\n--b\nContent-Type: a/b; name=x\n\ntwo')
    assert apart.body == "one"
    assert shown(apart) == [("x", "a/b", b"two")]
    assert apart.odd == ["broken-structure"]


def test_a_boundary_that_begins_like_another_is_not_taken_for_it() -> None:
    inner = multipart("mixed", PLAIN, PDF, boundary="b--1")
    apart = mail(multipart("mixed", inner, "Content-Type: text/plain\n\nlast"))
    assert apart.body == "plain\r\nlast"
    assert [one.name for one in apart.attachments] == ["a.pdf"]
    assert apart.odd == []


def test_parts_nested_without_end_do_not_hang_or_fail() -> None:
    text = "deepest"
    for level in range(200):
        text = multipart("mixed", text if level else f"Content-Type: text/plain\n\n{text}", boundary=f"n{level}n")
    apart = mail(text)
    assert "broken-structure" in apart.odd
    assert "deepest" in apart.body


@given(st.binary(max_size=400))
def test_no_bytes_are_too_broken(raw: bytes) -> None:
    take_apart(raw)


PIECES = st.sampled_from(
    [b"--b", b"--", b"\r\n", b"\n", b"\r", b" ", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/rfc822",
     b"text/plain; charset=utf-8", b"Content-Transfer-Encoding: base64", b"quoted-printable", b"AAEC", b"=", b"\xff", b"x",
     b"x-uuencode"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40))
def test_no_pieces_of_mail_are_too_jumbled(pieces: list[bytes]) -> None:
    apart = take_apart(b"".join(pieces))
    assert "unreadable-mime" not in apart.odd
    for one in apart.attachments:
        assert len(base64.b64decode(one.content, validate=True)) == one.size


CORPUS = Path(os.environ.get("MIGRATOR_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus")) / "eml"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no mail from the wild beside the project")
def test_mail_from_the_wild_is_all_readable() -> None:
    count = 0
    for path in sorted(CORPUS.iterdir()):
        raw = path.read_bytes()
        apart = take_apart(raw)
        assert "unreadable-mime" not in apart.odd, path.name
        assert apart.body or apart.attachments or len(raw) < 2000 or "empty" in apart.odd, path.name
        for one in apart.attachments:
            assert one.name, path.name
            assert len(base64.b64decode(one.content, validate=True)) == one.size, path.name
        count += 1
    assert count > 1000


def test_a_path_of_windows_keeps_its_backslashes_and_escaped_quotes_are_read() -> None:
    assert parameters(r'attachment; filename="C:\TEMP\a.png"')[1]["filename"] == r"C:\TEMP\a.png"
    assert parameters(r'attachment; filename="say \"a\\b\".png"')[1]["filename"] == r'say "a\b".png'


def test_encoded_words_within_a_name_are_read_where_they_stand_with_or_without_a_language() -> None:
    assert encoded_words("3d-=?ISO-8859-1?Q?=63?=om=?US-ASCII*EN?Q?pr?=ess.gif") == "3d-compress.gif"
    assert encoded_words("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Köln") == "Grüße aus Köln"
    assert encoded_words("=?x-nonsense?Q?a?= b") == "=?x-nonsense?Q?a?= b"


def test_a_field_of_ones_own_with_spaces_in_its_name_does_not_end_the_header() -> None:
    apart = mail("Subject: a\nX-Odd / name: 1\n more\nContent-Type: text/html\n\n<p>text</p>")
    assert (apart.kind, apart.body, apart.odd) == ("html", "<p>text</p>", [])
