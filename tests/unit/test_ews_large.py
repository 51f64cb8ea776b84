"""A large item is the same item, though its content never was in memory."""

from __future__ import annotations

import base64
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from ews_script import Answer, answers, message, scripted, source_of
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Attachment, Item, Lane, Ref, Refusal
from connectors.errors import Halt, Unavailable
from connectors.ews import mime, mime_large
from connectors.ews.large import Diverted
from connectors.ews.mime import Apart, take_apart
from connectors.spool import SPOOL_FROM, Blob, Spool

LARGE = Ref("large", "v", SPOOL_FROM)
CORPUS = Path(os.environ.get("MIGRATOR_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus")) / "eml"


def export_stream(size: int) -> str:
    def record(opcode: int, inside: bytes) -> bytes:
        return struct.pack("<II", opcode, len(inside)) + inside

    frame = record(1, bytes(8)) + record(3, bytes(24)) + record(4, bytes(6))
    records = b"".join(record(2, random.Random(at).randbytes(min(31_000, size - at))) for at in range(0, size, 31_000))
    return base64.b64encode(frame + records).decode()


def exported(stream: str) -> bytes:
    return answers("ExportItems", message("ExportItems", f'<m:ItemId Id="large"/><m:Data>{stream}</m:Data>'))


def composed(raw: bytes) -> bytes:
    content = base64.encodebytes(raw).decode().replace("\n", "&#xD;\n")
    item = (
        f'<t:Message><t:MimeContent CharacterSet="UTF-8">{content}</t:MimeContent><t:ItemId Id="large"/>'
        "<t:ItemClass>IPM.Note</t:ItemClass><t:Subject>Grüße</t:Subject></t:Message>"
    )
    return answers("GetItem", message("GetItem", f"<m:Items>{item}</m:Items>"))


def a_large_mail() -> bytes:
    lines = base64.encodebytes(random.Random(1).randbytes(700_000)).replace(b"\n", b"\r\n")
    return (
        b"From: a@x\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe text.\r\n--b\r\n"
        b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines + b"--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner one\r\n\r\n" + b"word " * 40_000 + b"\r\n--b--\r\n"
    )  # fmt: skip


def one(answer: bytes, lane: Lane, spool: Spool | None) -> Item:
    with scripted([answer]) as server, source_of(server.url, spool=spool) as source:
        [found] = source.fetch([LARGE], lane)
    assert isinstance(found, Item)
    return found


def test_an_export_stream_is_the_same_and_lies_in_a_file(tmp_path: Path) -> None:
    answer = exported(export_stream(1_000_000))
    in_memory, in_file = one(answer, Lane.IMPORT, None), one(answer, Lane.IMPORT, Spool(tmp_path))
    assert isinstance(in_file.stream, Blob)
    assert (bytes(in_file.stream), in_file.digest) == (in_memory.stream, in_memory.digest)


def test_a_composed_message_is_the_same_and_its_attachments_lie_in_a_file(tmp_path: Path) -> None:
    answer = composed(a_large_mail())
    in_memory, in_file = one(answer, Lane.COMPOSE, None), one(answer, Lane.COMPOSE, Spool(tmp_path))
    assert in_memory.message is not None
    assert in_file.message is not None
    assert [isinstance(each.content, Blob) for each in in_file.message.attachments] == [True, True]
    assert [plain(each) for each in in_file.message.attachments] == [plain(each) for each in in_memory.message.attachments]
    assert (in_file.message.body, in_file.message.subject, in_file.digest) == ("The text.", "Grüße", in_memory.digest)


def plain(one: Attachment) -> tuple[object, ...]:
    return one.name, one.content_type, bytes(one.content), one.size, one.content_id, one.inline


def test_large_ones_come_alone_and_all_answers_keep_their_order(tmp_path: Path) -> None:
    stream = export_stream(1000)

    refs = [Ref("a", "", 10), LARGE, Ref("b", "", 10), Ref("c", "", SPOOL_FROM + 1)]
    with (
        scripted(lambda request: answers("ExportItems", *[
            message("ExportItems", f'<m:ItemId Id="{each}"/><m:Data>{stream}</m:Data>') for each in request.ids
        ])) as server,
        source_of(server.url, spool=Spool(tmp_path)) as source,
    ):  # fmt: skip
        found = list(source.fetch(refs, Lane.IMPORT))
    assert server.asked == [["a", "b"], ["large"], ["c"]]
    assert [each.ref.id for each in found if isinstance(each, Item)] == ["a", "large", "b", "c"]


def test_one_that_is_gone_or_refused_is_told_as_always(tmp_path: Path) -> None:
    answer = answers("ExportItems", message("ExportItems", code="ErrorItemCorrupt"))
    with scripted([answer]) as server, source_of(server.url, spool=Spool(tmp_path)) as source:
        [found] = source.fetch([LARGE], Lane.IMPORT)
    assert isinstance(found, Refusal)


@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize("share", [0.3, 0.9, 0.9999])
def test_a_cut_answer_is_asked_for_again_and_nothing_of_it_is_kept(tmp_path: Path, lane: Lane, share: float) -> None:
    whole = exported(export_stream(500_000)) if lane is Lane.IMPORT else composed(a_large_mail())
    with scripted([Answer(whole, cut=share), whole]) as server, source_of(server.url, spool=Spool(tmp_path)) as source:
        [found] = source.fetch([LARGE], lane)
    assert len(server.requests) == 2
    assert isinstance(found, Item)
    assert found.digest == one(whole, lane, None).digest


def test_an_answer_that_the_server_could_not_finish_is_no_answer(tmp_path: Path) -> None:
    stream = export_stream(500_000)
    cut = exported(stream[:300_000] + "\r\n=== Truncated Data ===")
    with scripted([cut, exported(stream)]) as server, source_of(server.url, spool=Spool(tmp_path)) as source:
        [found] = source.fetch([LARGE], Lane.IMPORT)
    assert len(server.requests) == 2
    assert isinstance(found, Item)


def test_no_room_for_it_stops_the_run_instead_of_blaming_the_item(tmp_path: Path) -> None:
    with (
        scripted([exported(export_stream(1000))]) as server,
        source_of(server.url, spool=Spool(tmp_path, spare=10**18)) as source,
        pytest.raises(Halt, match="too little room"),
    ):
        list(source.fetch([LARGE], Lane.IMPORT))
    assert server.requests == []


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for size in cuts:
        yield content[at : at + size]
        at += size
    yield content[at:]


@given(
    content=st.binary(max_size=200), line=st.integers(1, 80), ending=st.sampled_from(["", "\n", "\r\n", "&#xD;\n", "&#13;&#10;"]),
    cuts=st.lists(st.integers(1, 40), max_size=60), decode=st.booleans(), tag=st.sampled_from(["Data", 'm:Data a="b"', "t:Data"]),
)  # fmt: skip
def test_however_an_answer_is_cut_into_pieces_its_content_is_the_same(
    place: Path, content: bytes, line: int, ending: str, cuts: list[int], decode: bool, tag: str
) -> None:
    text = base64.b64encode(content).decode()
    lined = "".join(text[at : at + line] + ending for at in range(0, len(text), line))
    file = Spool(place).open()
    diverted = Diverted(file, "Data", decode=decode)
    left = diverted.read(pieces(f"<a><b>1 &lt; 2</b><{tag}>{lined}</Data><c>3</c></a>".encode(), cuts))
    assert left == f"<a><b>1 &lt; 2</b><{tag}></Data><c>3</c></a>".encode()
    assert bytes(file.blob()) == (content if decode else text.encode())
    assert diverted.found


@pytest.mark.parametrize("text", ["QUJD=QUJD", "QUJ", "QUJD!UJD", "QQ==QUJD", "QUJD" * 3 + "=="])
def test_what_is_no_base64_is_no_mime(tmp_path: Path, text: str) -> None:
    for size in (1, 3, 100):
        diverted = Diverted(Spool(tmp_path).open(), "MimeContent", decode=True)
        answer = f"<MimeContent>{text}</MimeContent>".encode()
        with pytest.raises(Unavailable):
            diverted.read(answer[at : at + size] for at in range(0, len(answer), size))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture
def everything_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part counts as large, and fields are read in small bites."""
    monkeypatch.setattr(mime_large, "ASIDE", 1)
    monkeypatch.setattr(mime, "ASIDE", 1)
    monkeypatch.setattr(mime, "_HEAD", 512)
    monkeypatch.setattr(mime, "_MARGIN", 256)


def apart_in_file(place: Path, raw: bytes) -> Apart:
    file = Spool(place).open()
    file.write(raw)
    return take_apart(file.blob())


def told(apart: Apart) -> tuple[object, ...]:
    return apart.body, apart.kind, apart.odd, [plain(each) for each in apart.attachments]


@pytest.mark.usefixtures("everything_aside")
def test_a_message_in_a_file_is_taken_apart_as_one_in_memory(place: Path) -> None:
    lined = "".join(f"line {at} =C3=BC and so on =\r\n" for at in range(400))
    raw = (
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{lined}\r\n"
        "--b\r\nContent-Type: image/png\r\n\r\nraw bytes\r\n"
        "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(b"Subject: inner\r\n\r\nhello").decode()
        + "--b\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC=BROKEN!\r\n--b--\r\n"
    ).encode()
    assert told(apart_in_file(place, raw)) == told(take_apart(raw))


PIECES = st.sampled_from(
    [b"--b", b"--", b"\r\n", b"\n", b" ", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/rfc822", b"text/plain",
     b"Content-Transfer-Encoding: base64", b"quoted-printable", b"AAEC", b"AAEC" * 10, b"=", b"=3D", b"\xff", b"x", b"x-uuencode",
     b"\n\n", b"application/pdf"]
)  # fmt: skip


@pytest.mark.usefixtures("everything_aside")
def test_however_jumbled_a_message_is_it_is_the_same_in_a_file(place: Path) -> None:
    @given(st.lists(PIECES, max_size=40))
    def same(parts: list[bytes]) -> None:
        raw = b"".join(parts)
        if raw.strip() and b"\n" in raw:
            assert told(apart_in_file(place, raw)) == told(take_apart(raw))

    same()


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no mail from the wild beside the project")
@pytest.mark.usefixtures("everything_aside")
def test_mail_from_the_wild_is_the_same_in_a_file(place: Path) -> None:
    for path in sorted(CORPUS.iterdir()):
        raw = path.read_bytes()
        if raw.strip() and b"\n" in raw:
            assert told(apart_in_file(place, raw)) == told(take_apart(raw)), path.name
