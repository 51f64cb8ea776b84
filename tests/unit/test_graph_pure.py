"""Small pure pieces of the Graph connector."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Claim, Facts, Item, Lane, Ref, Write, WriteKind, hash_subject, identify
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.client import claims_of
from connectors.graph.endpoint import Tenant
from connectors.graph.importing import pieces_of
from connectors.graph.lookup import _Matches, _questions, is_mail
from connectors.graph.naming import safe_name
from connectors.graph.preflight import roles_of
from connectors.graph.tokens import failure_of
from connectors.graph.upload import cut, next_start

WHEN = datetime(2020, 5, 1, 12, 0, 0, tzinfo=UTC)


@given(st.binary(max_size=200), st.data())
def test_any_cut_of_base64_gives_exactly_those_bytes(raw: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, len(raw)))
    assert cut(base64.b64encode(raw), start, stop) == raw[start:stop]


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        ({"nextExpectedRanges": ["2097152"]}, 2097152),
        ({"NextExpectedRanges": ["5-"]}, 5),
        ({"nextExpectedRanges": []}, None),
        ([], None),
    ],
)
def test_where_an_upload_stands(answer: object, start: int | None) -> None:
    assert next_start(answer) == start


def _import(kind: WriteKind, stream: bytes, **more: str) -> bytes:
    item = Item(Ref("i"), Lane.IMPORT, "IPM.Note", b"", stream=stream)
    return b"".join(pieces_of(Write(kind=kind, folder_id='f"1', item=item, **more)))  # type: ignore[arg-type]


def test_an_import_carries_the_stream_as_it_is() -> None:
    assert orjson.loads(_import(WriteKind.CREATE, b"QUJD")) == {"FolderId": 'f"1', "Mode": "create", "Data": "QUJD"}


def test_an_update_names_item_and_change_key() -> None:
    body = orjson.loads(_import(WriteKind.UPDATE, b"QUJD", target_id="t", version="v"))
    assert body == {"FolderId": 'f"1', "Mode": "update", "ItemId": "t", "ChangeKey": "v", "Data": "QUJD"}


def test_line_breaks_of_a_stream_do_not_break_the_json() -> None:
    assert orjson.loads(_import(WriteKind.CREATE, b"QU\r\nJD\r\n"))["Data"] == "QUJD"


def test_ids_are_quoted_once_and_mailbox_ids_stay_as_given() -> None:
    assert paths.message("a@example.com", "AA/B+C=") == "/users/a%40example.com/messages/AA%2FB%2BC%3D"
    assert paths.admin("MBX:1-2@3-4") == "/admin/exchange/mailboxes/MBX:1-2@3-4"
    assert paths.query("/x", filter="a eq 'b&c'") == "/x?$filter=a%20eq%20%27b%26c%27"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Inbox", "Inbox"),
        ("", "Folder"),
        ("  ", "Folder"),
        ("a\tb\x00c", "a b c"),
        ("x" * 300, "x" * 255),
        ("a/b", "a/b"),
        (" a ", "a"),
    ],
)
def test_folder_names_become_what_the_target_takes(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-05-01T12:00:00Z", WHEN),
        ("2020-05-01T12:00:00.1234567Z", WHEN.replace(microsecond=123456)),
        ("2020-05-01T14:00:00+02:00", WHEN),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("never", None),
    ],
)
def test_times_as_graph_writes_them(text: str, expected: datetime | None) -> None:
    assert x.moment(text) == expected


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - zones are added below
def test_a_time_survives_the_way_there_and_back(when: datetime) -> None:
    assert x.moment(x.written(when.replace(tzinfo=UTC))) == when.replace(tzinfo=UTC)


def test_extended_properties_are_read_in_any_spelling_of_their_ids() -> None:
    found = x.values(
        {
            "singleValueExtendedProperties": [
                {"id": "Integer 0xe07", "value": "1"},
                {"id": "binary 0x300b", "value": "QQ=="},
                {"id": "Odd"},
            ]
        }
    )
    assert found == {x.FLAGS: "1", x.SEARCH_KEY: "QQ=="}


def test_facts_of_a_mailbox_item() -> None:
    facts, stamp = x.facts_of_item(
        {
            "id": "1",
            "type": "IPM.Appointment",
            "size": 5,
            "createdDateTime": "2020-05-01T12:00:00Z",
            "singleValueExtendedProperties": [
                {"id": x.SUBJECT, "value": "Hello  World"},
                {"id": x.FLAGS, "value": "9"},
                {"id": x.START, "value": "2020-05-01T12:00:00Z"},
                {"id": x.STAMP, "value": "m1-aa"},
            ],
        }
    )
    assert facts.item_class == "IPM.Appointment"
    assert facts.subject_hash == hash_subject("hello world")
    assert facts.start == WHEN
    assert facts.is_read is True
    assert stamp == "m1-aa"


def test_a_claim_survives_and_an_unreadable_one_is_foreign() -> None:
    claim = Claim("here", 3, 9)
    assert x.claim_of(x.claim_text(claim)) == claim
    assert x.claim_of("garbage").installation == "unreadable"


def test_questions_go_by_stamp_message_id_and_time_and_scan_only_what_graph_cannot_filter() -> None:
    mail = identify(Facts(message_id="<it's@x>", submitted=WHEN), "m1-aa")
    timed = identify(Facts(subject_hash=b"12345678", submitted=WHEN))
    filters, scan = _questions([mail, timed])
    assert not scan
    assert any("ep/value eq 'm1-aa'" in each for each in filters)
    assert any("internetMessageId eq '<it''s@x>'" in each for each in filters)
    assert any("sentDateTime ge 2020-05-01T11:59:59Z" in each for each in filters)
    assert _questions([identify(Facts(item_class="IPM.Contact", search_key=b"k"))])[1]


def _message(message_id: str, when: datetime, stamp: str | None = None) -> dict[str, object]:
    properties = [{"id": x.STAMP, "value": stamp}] if stamp else []
    return {
        "id": f"{message_id}{when}",
        "parentFolderId": "f",
        "internetMessageId": message_id,
        "sentDateTime": x.written(when),
        "singleValueExtendedProperties": properties,
    }


def test_a_hit_counts_once_even_if_both_stamp_and_rungs_match_and_rounded_times_still_match() -> None:
    identity = identify(Facts(message_id="<1@x>", submitted=WHEN), "m1-aa")
    matches = _Matches([identity])
    for message in (
        _message("<1@x>", WHEN, "M1-AA"),
        _message("<1@x>", WHEN, "M1-AA"),
        _message("<1@x>", WHEN + timedelta(seconds=1)),
        _message("<1@x>", WHEN + timedelta(seconds=5)),
    ):
        matches.offer(message, *x.facts_of_message(message))
    assert len(matches.result()[identity]) == 2


def test_a_partial_copy_is_found_by_nobody() -> None:
    identity = identify(Facts(message_id="<1@x>", submitted=WHEN), "m1-aa")
    matches = _Matches([identity])
    message = _message("<1@x>", WHEN, "m1-aa-partial")
    matches.offer(message, *x.facts_of_message(message))
    assert matches.result() == {identity: []}


@pytest.mark.parametrize(
    ("item_class", "mail"),
    [
        ("IPM.Note", True),
        ("ipm.note.smime", True),
        ("REPORT.IPM.Note.NDR", True),
        ("IPM.NoteBook", False),
        ("IPM.Contact", False),
    ],
)
def test_what_lies_under_messages(item_class: str, mail: bool) -> None:
    assert is_mail(item_class) is mail


def test_a_claims_challenge_is_decoded() -> None:
    challenge = base64.urlsafe_b64encode(b'{"access_token":{}}').decode().rstrip("=")
    assert claims_of({"WWW-Authenticate": f'Bearer error="insufficient_claims", claims="{challenge}"'}) == '{"access_token":{}}'
    assert claims_of({"WWW-Authenticate": "Bearer"}) is None


def test_a_failed_sign_in_gets_its_own_sentence_and_never_the_servers() -> None:
    error = failure_of({"error": "invalid_client", "error_codes": [7000222], "error_description": "secret abc expired"})
    assert "the client secret has expired" in str(error)
    assert "abc" not in str(error)


def test_permissions_are_read_from_a_token_only_as_a_hint() -> None:
    middle = base64.urlsafe_b64encode(b'{"roles":["Mail.ReadWrite"]}').decode().rstrip("=")
    assert roles_of(f"a.{middle}.c") == frozenset({"Mail.ReadWrite"})
    assert roles_of("opaque") is None


def test_a_tenant_needs_one_credential_and_never_shows_it() -> None:
    with pytest.raises(ValueError):
        Tenant(tenant_id="t", client_id="c")
    with pytest.raises(ValueError):
        Tenant(tenant_id="t", client_id="c", secret="s", certificate="p")
    assert "hush" not in repr(Tenant(tenant_id="t", client_id="c", secret="hush"))
