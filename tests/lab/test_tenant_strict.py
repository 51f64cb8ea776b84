"""The tenant is no kinder than Graph: what is wrong is refused by a code and leaves nothing; switches do what they say."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from test_login import Face

from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Person

PLAIN: dict[str, Any] = {"Authorization": None}
STAMP = "String {6f1f4c1e-0d5e-4d5a-9d57-0c0a1f6b2e01} Name MigrationStamp"
COUNT = "Integer {6f1f4c1e-0d5e-4d5a-9d57-0c0a1f6b2e01} Name Count"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        yield lab


def switch(face: Face, monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setattr(face.lab.options[1], name, value)


def prop(name: str, value: object) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": name, "value": value}]}


def file(content: bytes = b"abc") -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "a.txt",
        "contentBytes": base64.b64encode(content).decode(),
    }


# --- wrong input


@pytest.mark.parametrize(
    "given",
    [
        {"flag": "x"},
        {"flag": {"flagStatus": "red"}},
        {"flag": {"startDateTime": "x"}},
        {"body": "x"},
        {"body": {"content": 1}},
        {"body": {"contents": "x"}},
        {"toRecipients": {"emailAddress": {}}},
        {"toRecipients": ["a@x.example"]},
        {"from": "a@x.example"},
        {"categories": 3},
        {"isRead": "true"},
        {"attachments": ["x"]},
        {"internetMessageHeaders": ["x"]},
        {"singleValueExtendedProperties": ["x"]},
        prop(COUNT, 3),
    ],
)
def test_a_value_of_another_type_is_refused_in_a_new_message_and_in_an_old_one(face: Face, given: dict[str, Any]) -> None:
    draft = face.good("POST", "messages", {}, status=201)["id"]
    assert face.refused("POST", "messages", given) == (400, "RequestBodyRead")
    assert face.refused("PATCH", f"messages/{draft}", given) == (400, "RequestBodyRead")
    assert len(face.mailbox.items) == 1


@pytest.mark.parametrize(
    "wrong", [prop(COUNT, "many"), prop("MigrationStamp", "x"), prop("Integer 0xZZ", "1"), prop("Boolean 0x0029", "perhaps")]
)
def test_a_property_that_can_not_be_is_refused(face: Face, wrong: dict[str, Any]) -> None:
    for method, path in (("POST", "messages"), ("POST", "mailFolders"), ("PATCH", "mailFolders/inbox")):
        body = {"displayName": "Folder", **wrong} if path == "mailFolders" else wrong
        assert face.refused(method, path, body) == (400, "ErrorInvalidRequest")
    assert (face.mailbox.items, face.box("inbox").extended) == ({}, {})


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "messages?$filter=receivedDateTime ge 'a'", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "messages?$filter=isRead ge 'x'", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "messages?$filter=isRead eq", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "messages?$filter=(isRead eq true", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "messages?$expand=singleValueExtendedProperties($filter=id eq 'x')", None, "ErrorInvalidUrlQuery"),
        ("GET", "messages?$orderby=colour", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "mailFolders?$filter=isHidden eq true", None, "ErrorInvalidUrlQueryFilter"),
        ("GET", "mailFolders/inbox/messages/delta?$top=x", None, "ErrorInvalidUrlQuery"),
        ("GET", "mailFolders/inbox/messages/delta?$top=0", None, "ErrorInvalidUrlQuery"),
        ("POST", "translateExchangeIds", {"inputIds": 3}, "ErrorInvalidRequest"),
        ("POST", "admin/exportItems", {"itemIds": 3}, "ErrorInvalidRequest"),
        ("POST", "mailFolders", {"displayName": "x", "colour": "red"}, "RequestBodyRead"),
        ("POST", "admin/folders", {"displayName": "x", "type": 1}, "RequestBodyRead"),
        ("PATCH", "mailFolders/inbox", {"isHidden": True}, "RequestBodyRead"),
        ("POST", "events", {"attendees": ["a@x.example"]}, "RequestBodyRead"),
        ("POST", "outlook/masterCategories", {"displayName": "Red", "color": "crimson"}, "ErrorInvalidRequest"),
    ],
)
def test_a_request_that_can_not_be_read_is_refused(face: Face, method: str, path: str, body: object, code: str) -> None:
    before = len(face.mailbox.history)
    assert face.refused(method, path, body) == (400, code)
    assert len(face.mailbox.history) == before


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("x", "RequestBodyRead"),
        ({"name": "x", "size": "9"}, "RequestBodyRead"),
        ({"name": "x"}, "ErrorRequiredPropertyMissing"),
        ({"size": 9}, "ErrorRequiredPropertyMissing"),
    ],
)
def test_an_upload_wants_a_name_and_a_size(face: Face, asked: object, code: str) -> None:
    draft = face.good("POST", "messages", {}, status=201)["id"]
    path = f"messages/{draft}/attachments/createUploadSession"
    assert face.refused("POST", path, {"AttachmentItem": asked}) == (400, code)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"requests":["x"]}',
        b'{"requests":[{"method":"GET","url":"/users/x"}]}',
        b'{"requests":[{"id":"1","method":"GET","url":"/users/x","dependsOn":["9"]}]}',
        b'{"requests":[{"id":"1","method":"GET","url":"/users/x","headers":[]}]}',
    ],
)
def test_a_batch_that_can_not_be_read_is_refused(face: Face, body: bytes) -> None:
    assert face.ask("POST", f"{face.lab.graph_url}/v1.0/$batch", data=body).status_code == 400


def test_a_change_that_is_refused_changes_nothing_and_sends_nothing(face: Face) -> None:
    item = face.put(subject="old", is_draft=True, wants_read_receipt=True)
    path = f"messages/{face.good('GET', 'messages')['value'][0]['id']}"
    before = face.good("GET", path)
    for wrong in ({"importance": "urgent"}, prop(COUNT, "many"), {"replyTo": [{"emailAddress": {"address": "nobody"}}]}):
        assert face.ask("PATCH", path, {"subject": "new", "isRead": True, **prop(STAMP, "x"), **wrong}).status_code == 400
    assert (face.good("GET", path), item.extended, face.mailbox.sent) == (before, {}, [])


def test_nothing_of_more_than_four_megabytes_goes_to_graph(face: Face) -> None:
    draft = face.good("POST", "messages", {}, status=201)["id"]
    large = {"body": {"content": "x" * (4 << 20)}}
    part = {"id": "1", "method": "POST", "url": f"/users/{face.mailbox.address}/messages", "body": large}
    for method, path, body in (
        ("PATCH", f"messages/{draft}", large),
        ("POST", f"{face.lab.graph_url}/v1.0/$batch", {"requests": [{**part, "headers": {"Content-Type": "application/json"}}]}),
    ):
        assert face.refused(method, path, body) == (413, "RequestEntityTooLarge")


# --- import


@pytest.mark.parametrize("extra", [{"ItemId": "x"}, {"ChangeKey": "x"}, {"ItemId": "x", "ChangeKey": "x"}])
def test_who_creates_names_no_item(face: Face, extra: dict[str, str]) -> None:
    body = face.import_body(Item(subject="one"), **extra)
    assert face.refused("POST", face.import_address(), body, headers=PLAIN) == (400, "ErrorInvalidRequest")
    assert not face.mailbox.items


@pytest.mark.parametrize("now", [True, False])
def test_the_created_time_that_is_shown_is_the_one_that_is_filtered_by(
    face: Face, monkeypatch: pytest.MonkeyPatch, now: bool
) -> None:
    switch(face, monkeypatch, created_now=now)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    face.good("POST", face.import_address(), face.import_body(Item(subject="one", created=long_ago)), headers=PLAIN)
    path = "admin/folders/inbox/items"
    [row] = face.good("GET", path)["value"]
    assert (row["createdDateTime"] == "2001-01-01T00:00:00Z") is not now
    for text, found in ((f"createdDateTime eq {row['createdDateTime']}", 1), ("createdDateTime ge 2020-01-01T00:00:00Z", now)):
        for where in (path, "messages"):
            assert len(face.good("GET", where, params={"$filter": text})["value"]) == found


def test_what_timed_out_may_be_done_after_all(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    url, body = face.import_address(), face.import_body(Item(subject="one"))

    def both_time_out(commit_after: float) -> None:
        switch(face, monkeypatch, commit_after_timeout=commit_after)
        assert face.refused("POST", url, body, headers=PLAIN) == (504, "GatewayTimeout")
        assert face.refused("POST", "messages", {"subject": "two"}) == (504, "GatewayTimeout")

    both_time_out(3600)
    assert face.good("GET", "messages")["value"] == []
    both_time_out(0.05)
    until = time.monotonic() + 30
    while len(face.mailbox.items) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert sorted(row["subject"] for row in face.good("GET", "messages")["value"]) == ["one", "two"]


# --- lists


def test_a_name_in_words_counts_by_the_letter_and_everything_else_in_any_case(face: Face) -> None:
    made = face.good("POST", "messages", prop(STAMP, "M1-a"), status=201)["id"]

    def hits(name: str, value: str) -> int:
        text = f"singleValueExtendedProperties/any(ep: ep/id eq '{name}' and ep/value eq '{value}')"
        return len(face.good("GET", "messages", params={"$filter": text})["value"])

    loud = STAMP.replace("String {6f1f4c1e", "STRING {6F1F4C1E")
    assert (hits(STAMP, "m1-A"), hits(loud, "m1-a"), hits(STAMP.replace("MigrationS", "migrations"), "m1-a")) == (1, 1, 0)
    shown = face.good("GET", f"messages/{made}?$expand=singleValueExtendedProperties($filter=id eq '{loud}')")
    assert shown["singleValueExtendedProperties"] == [{"id": loud, "value": "M1-a"}]


def test_a_folder_is_filtered_without_a_look_at_all_its_items(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        face.put(message_id="<1@x>")
    face.put("archive", message_id="<1@x>")

    def compared(one: Item, other: object) -> bool:
        raise AssertionError("items were compared")

    monkeypatch.setattr(Item, "__eq__", compared)
    found = face.good("GET", "mailFolders/inbox/messages", params={"$filter": "internetMessageId eq '<1@x>'"})["value"]
    assert len(found) == 3


def test_lists_are_ordered_by_what_the_filter_names_first(face: Face) -> None:
    for number in (2, 1, 3):
        face.put(subject=f"s{number}", received=datetime(2024, 1, number, tzinfo=UTC))
    face.put(subject="none")

    def subjects(**more: str) -> list[str]:
        return [
            row["subject"] for row in face.good("GET", "messages", params={"$orderby": "receivedDateTime desc", **more})["value"]
        ]

    assert subjects() == ["s3", "s2", "s1", "none"]
    since = "receivedDateTime ge 2024-01-02T00:00:00Z"
    assert subjects(**{"$filter": f"{since} and isRead eq false"}) == ["s3", "s2"]
    wrong = {"$orderby": "receivedDateTime", "$filter": f"isRead eq false and {since}"}
    assert face.refused("GET", "messages", params=wrong) == (400, "InefficientFilter")
    assert face.ask("GET", "messages/$count", params={"$filter": since}).text == "2"


def test_what_is_no_mail_is_no_message(face: Face) -> None:
    face.put("contacts", item_class="IPM.Contact")
    [row] = face.good("GET", "admin/folders/contacts/items", headers={"Prefer": 'IdType="ImmutableId"'})["value"]
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/$value"), ("GET", "/attachments")):
        assert face.refused(method, f"messages/{row['id']}{path}") == (404, "ErrorItemNotFound")
    assert face.good("GET", "messages")["value"] == []


# --- what is looked at less often


def test_attachments_come_along_one_by_one_and_go(face: Face) -> None:
    made = face.good("POST", "messages", {"attachments": [file(), file(b"other")]}, status=201)["id"]
    shown = face.good("GET", f"messages/{made}?$expand=attachments&$select=subject")["attachments"]
    assert [base64.b64decode(one["contentBytes"]) for one in shown] == [b"abc", b"other"]
    path = f"messages/{made}/attachments/{shown[0]['id']}"
    assert face.good("GET", path)["contentBytes"] == shown[0]["contentBytes"]
    face.good("DELETE", path, status=204)
    assert face.refused("GET", path) == (404, "ErrorItemNotFound")
    assert [part.content for part in face.only("drafts").parts] == [b"other"]


def test_an_upload_tells_where_its_attachment_is(face: Face) -> None:
    made = face.good("POST", "messages", {}, status=201)["id"]
    asked = {"AttachmentItem": {"attachmentType": "file", "name": "x", "size": 3}}
    url = face.good("POST", f"messages/{made}/attachments/createUploadSession", asked, status=201)["uploadUrl"]
    beyond = {**PLAIN, "Content-Range": "bytes 0-3/3"}
    assert face.ask("PUT", url, data=b"abcd", headers=beyond).status_code == 416
    answer = face.ask("PUT", url, data=b"abc", headers={**PLAIN, "Content-Range": "bytes 0-2/3"})
    own = answer.headers["Location"].rpartition("Attachments('")[2].removesuffix("')")
    assert base64.b64decode(face.good("GET", f"messages/{made}/attachments/{own}")["contentBytes"]) == b"abc"


def test_mime_brings_its_people_and_its_date_and_every_message_has_some(face: Face) -> None:
    raw = b"From: Ann <ann@x.example>\r\nDate: Thu, 04 Mar 2021 05:06:07 +0000\r\nSubject: Hello\r\n\r\nBody\r\n"
    made = face.good("POST", "messages", status=201, data=base64.b64encode(raw), headers={"Content-Type": "text/plain"})
    assert made["from"] == {"emailAddress": {"name": "Ann", "address": "ann@x.example"}}
    assert (made["sentDateTime"], made["receivedDateTime"] > "2026", made["isDraft"]) == ("2021-03-04T05:06:07Z", True, True)
    plain = face.good("POST", "messages", {"subject": "No MIME", "body": {"content": "text"}}, status=201)["id"]
    assert b"Subject: No MIME" in face.ask("GET", f"messages/{plain}/$value").content


def test_events_are_kept_and_whoever_is_new_is_invited(face: Face) -> None:
    def people(*names: str) -> dict[str, Any]:
        return {"attendees": [{"emailAddress": {"address": f"{name}@x.example"}} for name in names]}

    made = face.good("POST", "events", {"subject": "alone"}, status=201)["id"]
    assert face.good("PATCH", f"events/{made}", {"subject": "party", **people("a")})["subject"] == "party"
    face.good("PATCH", f"events/{made}", people("a", "b"))
    assert [(one["kind"], one["to"]) for one in face.mailbox.sent] == [
        ("invitation", ["a@x.example"]),
        ("update", ["a@x.example"]),
        ("invitation", ["b@x.example"]),
    ]
    [row] = face.good("GET", "calendar/events")["value"]
    shown = face.good("GET", f"events/{made}")
    assert (row["id"], row["attendees"], len(row["attendees"])) == (made, shown["attendees"], 2)
    mail = face.good("POST", "messages", {}, status=201)["id"]
    assert face.refused("DELETE", f"events/{mail}") == (404, "ErrorItemNotFound")


def test_a_draft_asks_nobody_for_a_receipt(face: Face) -> None:
    face.put(is_draft=True, wants_read_receipt=True, author=Person("A", "a@x.example"))
    draft = face.good("GET", "messages")["value"][0]["id"]
    face.good("PATCH", f"messages/{draft}", {"isRead": True})
    assert face.mailbox.sent == []


def test_a_category_has_a_name_of_its_own(face: Face) -> None:
    red = {"displayName": "Red", "color": "preset0"}
    made = face.good("POST", "outlook/masterCategories", red, status=201)
    assert face.refused("POST", "outlook/masterCategories", {"displayName": "RED"})[0] == 409
    assert face.good("GET", "outlook/masterCategories")["value"] == [{"id": made["id"], **red}]


@pytest.mark.parametrize("told", [True, False])
def test_folders_show_their_role_where_the_tenant_tells_it(face: Face, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    switch(face, monkeypatch, well_known_names=told)
    [contacts] = face.good("GET", "admin/folders", params={"$filter": "type eq 'IPF.Contact'"})["value"]
    own = face.good("POST", "admin/folders", {"displayName": "Own", "type": "IPF.Note"}, status=201)
    assert (contacts.get("wellKnownName"), own.get("wellKnownName")) == ("contacts" if told else None, None)
    assert {"wellKnownName" in one for one in (contacts, own)} == {told}


def test_special_folders_are_neither_moved_nor_removed(face: Face) -> None:
    there = {"destinationId": face.folder_id("inbox")}
    assert face.refused("POST", "mailFolders/archive/move", there) == (400, "ErrorMoveDistinguishedFolder")
    assert face.refused("DELETE", "mailFolders/msgfolderroot") == (400, "ErrorDeleteDistinguishedFolder")
