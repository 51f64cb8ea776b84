"""The tenant answers as Graph does: what it takes, what it refuses by which code, and whom it would have told."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from test_login import Face

from connectors.lab import stream
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Part, Person

PLAIN: dict[str, Any] = {"Authorization": None}
"""What goes to the address of a session, which carries its own credential."""

FLAGS, STAMP = "Integer 0x0E07", "String {6f1f4c1e-0d5e-4d5a-9d57-0c0a1f6b2e01} Name MigrationStamp"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        yield lab


def prop(name: str, value: str) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": name, "value": value}]}


# --- messages


def test_a_created_message_is_a_draft_unless_its_first_save_says_otherwise(face: Face) -> None:
    draft = face.good("POST", "mailFolders/inbox/messages", {"subject": "a"}, status=201)
    mail = face.good("POST", "mailFolders/inbox/messages", {"subject": "b", **prop(FLAGS, "1")}, status=201)
    assert (draft["isDraft"], mail["isDraft"], mail["isRead"]) == (True, False, True)
    face.good("PATCH", f"messages/{draft['id']}", prop(FLAGS, "1"))
    assert face.good("GET", f"messages/{draft['id']}")["isDraft"] is True


def test_a_message_that_is_posted_without_a_folder_is_in_drafts(face: Face) -> None:
    made = face.good("POST", "messages", {"subject": "a"}, status=201)
    assert made["parentFolderId"] == face.folder_id("drafts")


def test_mime_is_a_draft_in_drafts_and_nowhere_else(face: Face) -> None:
    raw = b"Subject: Hello\r\nMessage-ID: <m@x>\r\n\r\nBody\r\n"
    mime = {"data": base64.b64encode(raw), "headers": {"Content-Type": "text/plain"}}
    made = face.good("POST", "messages", status=201, **mime)
    assert (made["subject"], made["isDraft"], made["parentFolderId"]) == ("Hello", True, face.folder_id("drafts"))
    assert face.ask("GET", f"messages/{made['id']}/$value").content == raw
    assert face.refused("POST", "mailFolders/inbox/messages", **mime) == (400, "UnableToDeserializePostBody")
    mime["data"] = b"no base64!"
    assert face.refused("POST", "messages", **mime) == (400, "ErrorMimeContentInvalidBase64String")


def test_everything_that_a_message_is_made_of_comes_back(face: Face) -> None:
    ann = {"emailAddress": {"name": "Ann", "address": "ann@x.example"}}
    given = {
        "subject": "Hi",
        "body": {"contentType": "html", "content": "<p>x</p>"},
        "from": ann,
        "sender": ann,
        "toRecipients": [ann],
        "ccRecipients": [ann],
        "bccRecipients": [ann],
        "replyTo": [ann],
        "importance": "high",
        "isReadReceiptRequested": True,
        "categories": ["Red"],
        "internetMessageId": "<1@x>",
        "flag": {
            "flagStatus": "flagged",
            "startDateTime": {"dateTime": "2024-01-02T03:04:05.0000000", "timeZone": "UTC"},
            "dueDateTime": {"dateTime": "2024-01-03T03:04:05.0000000", "timeZone": "UTC"},
        },
    }
    made = face.good("POST", "mailFolders/inbox/messages", {**given, **prop(STAMP, "m1-Ab")}, status=201)
    found = face.good("GET", f"messages/{made['id']}?$expand=singleValueExtendedProperties($filter=id eq '{STAMP}')")
    assert {name: found[name] for name in given} == given
    assert found["singleValueExtendedProperties"] == [{"id": STAMP, "value": "m1-Ab"}]


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"colour": "red"}, 400, "RequestBodyRead"),
        ({"internetMessageHeaders": [{"name": "X-A", "value": ""}] * 6}, 400, "InvalidInternetMessageHeaderCollection"),
        ({"internetMessageHeaders": [{"name": "Received", "value": ""}]}, 400, "InvalidInternetMessageHeader"),
        ({"replyTo": [{"emailAddress": {"address": "no address"}}]}, 400, "ErrorInvalidRecipients"),
        ({"flag": {"flagStatus": "flagged", "dueDateTime": {"dateTime": "2024-01-01T00:00:00"}}}, 400, "ErrorInvalidRequest"),
        (prop("SystemTime 0x0E06", "yesterday"), 400, "ErrorInvalidRequest"),
        ({"attachments": [{"name": "x"}]}, 400, "ErrorInvalidRequest"),
        ({"importance": "urgent"}, 400, "RequestBodyRead"),
        ({"flag": {"flagStatus": "complete", "completedDateTime": {"dateTime": "soon"}}}, 400, "RequestBodyRead"),
        ([], 400, "UnableToDeserializePostBody"),
        ({"body": {"content": "x" * (4 << 20)}}, 413, "RequestEntityTooLarge"),
    ],
)
def test_what_graph_refuses_is_refused_by_its_code(face: Face, given: Any, status: int, code: str) -> None:
    assert face.refused("POST", "mailFolders/inbox/messages", given) == (status, code)
    assert not face.mailbox.items


def test_lists_are_filtered_paged_and_counted(face: Face) -> None:
    for number in range(5):
        face.put(subject=f"s{number}", message_id=f"<{number % 2}@x>", extended={STAMP: f"M1-{number % 3}"}, is_read=number > 2)
    face.put("sentitems", subject="elsewhere", message_id="<0@x>", received=datetime(2024, 5, 1, tzinfo=UTC))
    face.put("contacts", item_class="IPM.Contact")

    def subjects(path: str, text: str) -> list[str]:
        return [one["subject"] for one in face.good("GET", path, params={"$filter": text, "$top": "50"})["value"]]

    inbox = "mailFolders/inbox/messages"
    assert sorted(subjects("messages", "internetMessageId eq '<0@x>'")) == ["elsewhere", "s0", "s2", "s4"]
    either = "internetMessageId eq '<0@x>' and (isRead eq true or subject eq 's0')"
    assert sorted(subjects(inbox, either)) == ["s0", "s4"]
    stamped = f"singleValueExtendedProperties/any(ep: ep/id eq '{STAMP}' and ep/value eq 'm1-1')"
    assert sorted(subjects(inbox, stamped)) == ["s1", "s4"]
    assert subjects("messages", "receivedDateTime ge 2024-05-01T00:00:00Z and receivedDateTime lt 2024-05-02T00:00:00Z") == [
        "elsewhere"
    ]
    assert face.refused("GET", inbox, params={"$filter": "colour eq 'red'"}) == (400, "ErrorInvalidUrlQueryFilter")
    for wrong in ("$top=1001", "$top=0", "$top=x", "$skip=-1", "$skiptoken=abc"):
        assert face.refused("GET", f"{inbox}?{wrong}") == (400, "ErrorInvalidUrlQueryFilter")
    pages, link = [], f"{inbox}?$top=2&$select=subject&$count=true"
    while link:
        page = face.good("GET", link)
        assert page["@odata.count"] == 5
        pages.append([one["subject"] for one in page["value"]])
        link = page.get("@odata.nextLink")
    assert pages == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert face.ask("GET", f"{inbox}/$count").text == "5"


def test_a_sent_message_takes_flags_and_categories_but_no_other_subject(face: Face) -> None:
    item = face.put(subject="old")
    path = f"messages/{face.good('GET', 'messages')['value'][0]['id']}"
    before = face.good("GET", path)["changeKey"]
    after = face.good("PATCH", path, {"isRead": True, "categories": ["Blue"]})
    assert (item.is_read, item.categories, after["changeKey"] != before) == (True, ["Blue"], True)
    assert face.refused("PATCH", path, {"subject": "new"}) == (400, "ErrorInvalidPropertySet")
    assert item.subject == "old"


def test_the_immutable_id_survives_a_move_and_the_classic_one_does_not(face: Face) -> None:
    face.put()
    immutable = face.good("GET", "messages")["value"][0]["id"]
    classic = face.good("GET", "messages", headers={"Prefer": ""})["value"][0]["id"]
    asked = {"inputIds": [classic, "nobody"], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}
    [found, missing] = face.good("POST", "translateExchangeIds", asked)["value"]
    assert found == {"sourceId": classic, "targetId": immutable}
    assert missing["errorDetails"]["code"] == "ErrorItemNotFound"
    moved = face.good("POST", f"messages/{immutable}/move", {"destinationId": face.folder_id("archive")}, status=201)
    assert (moved["id"], moved["parentFolderId"]) == (immutable, face.folder_id("archive"))
    assert face.refused("GET", f"messages/{classic}") == (404, "ErrorItemNotFound")
    assert face.refused("POST", f"messages/{immutable}/move", {"destinationId": "nowhere"}) == (404, "ErrorItemNotFound")
    face.good("DELETE", f"messages/{immutable}", status=204)
    assert face.refused("GET", f"messages/{immutable}") == (404, "ErrorItemNotFound")


def test_what_is_new_is_shown_in_no_list_until_the_lag_is_over(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face.lab.options[1], "visibility_lag", 3600.0)
    made = face.good("POST", "messages", {"internetMessageId": "<1@x>"}, status=201)
    assert face.good("GET", "messages", params={"$filter": "internetMessageId eq '<1@x>'"})["value"] == []
    assert face.good("GET", f"messages/{made['id']}")["internetMessageId"] == "<1@x>"
    monkeypatch.setattr(face.lab.options[1], "visibility_lag", 0.0)
    assert len(face.good("GET", "messages")["value"]) == 1


# --- attachments


def file(name: str = "a.txt", content: bytes = b"abc") -> dict[str, Any]:
    return {"@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentBytes": base64.b64encode(content).decode()}


def test_attachments_come_with_the_message_or_after_it(face: Face) -> None:
    made = face.good("POST", "messages", {"attachments": [file()]}, status=201)
    path = f"messages/{made['id']}/attachments"
    face.good("POST", path, {**file("b.png", b"\0\1"), "isInline": True, "contentId": "logo"}, status=201)
    found = face.good("GET", path)["value"]
    assert [(one["name"], base64.b64decode(one["contentBytes"]), one["isInline"]) for one in found] == [
        ("a.txt", b"abc", False),
        ("b.png", b"\0\1", True),
    ]
    assert face.refused("POST", path, file(name="")) == (400, "ErrorRequiredPropertyMissing")
    assert face.refused("POST", path, {**file(), "contentBytes": "?"}) == (400, "RequestBodyRead")
    assert face.refused("POST", path, file(content=bytes(3 << 20)))[0] == 413


def test_the_content_of_a_message_within_a_message_is_asked_for_apart(face: Face) -> None:
    made = face.good("POST", "messages", {}, status=201)
    [item] = [one for one in face.mailbox.items.values() if one.item_class == "IPM.Note"]
    item.parts.append(Part("Inside", "message/rfc822", b"Subject: Inside\r\n\r\nHello", kind="message"))
    path = f"messages/{made['id']}/attachments"
    [found] = face.good("GET", path)["value"]
    assert (found["@odata.type"], "contentBytes" in found) == ("#microsoft.graph.itemAttachment", False)
    assert face.ask("GET", f"{path}/{found['id']}/$value").content == b"Subject: Inside\r\n\r\nHello"


def test_a_large_attachment_goes_up_in_parts_each_in_its_turn(face: Face) -> None:
    made = face.good("POST", "messages", {}, status=201)
    data = secrets.token_bytes(700_000)
    asked = {"AttachmentItem": {"attachmentType": "file", "name": "big.bin", "size": len(data)}}
    opened = face.good("POST", f"messages/{made['id']}/attachments/createUploadSession", asked, status=201)
    assert opened["nextExpectedRanges"] == ["0-"]
    url = opened["uploadUrl"]

    def put(start: int, end: int, total: int = len(data)) -> requests.Response:
        headers = {**PLAIN, "Content-Range": f"bytes {start}-{end - 1}/{total}"}
        return face.ask("PUT", url, data=data[start:end], headers=headers)

    first = put(0, 320_000)
    assert (first.status_code, first.json()) == (200, {"nextExpectedRanges": ["320000"]})
    assert put(0, 320_000).status_code == 416
    assert put(320_000, 700_000, total=1).status_code == 416
    assert face.ask("PUT", url, data=b"x", headers=PLAIN).status_code == 400
    assert face.good("GET", url, headers=PLAIN) == {"nextExpectedRanges": ["320000"]}
    assert face.only("drafts").parts == []
    last = put(320_000, 700_000)
    assert (last.status_code, "Attachments('" in last.headers["Location"]) == (201, True)
    assert [(part.name, part.content) for part in face.only("drafts").parts] == [("big.bin", data)]
    assert face.refused("GET", url, headers=PLAIN) == (404, "ErrorItemNotFound")


def test_an_upload_can_be_given_up_and_may_not_be_too_large(face: Face) -> None:
    made = face.good("POST", "messages", {}, status=201)
    path = f"messages/{made['id']}/attachments/createUploadSession"
    url = face.good("POST", path, {"AttachmentItem": {"name": "x", "size": 9}}, status=201)["uploadUrl"]
    face.good("DELETE", url, status=204, headers=PLAIN)
    assert face.refused("GET", url, headers=PLAIN) == (404, "ErrorItemNotFound")
    too_large = {"AttachmentItem": {"name": "x", "size": 151 << 20}}
    assert face.refused("POST", path, too_large) == (413, "ErrorAttachmentSizeLimitExceeded")
    url = face.good("POST", path, {"AttachmentItem": {"name": "x", "size": 1}}, status=201)["uploadUrl"]
    face.good("DELETE", f"messages/{made['id']}", status=204)
    assert face.refused("PUT", url, data=b"x", headers={**PLAIN, "Content-Range": "bytes 0-0/1"}) == (404, "ErrorItemNotFound")


# --- nobody is told, and if somebody were, it would be seen


def test_whoever_would_get_mail_is_written_down(face: Face) -> None:
    sent = face.mailbox.sent
    guest = {"attendees": [{"emailAddress": {"address": "guest@x.example"}}]}
    face.good("POST", "events", {"subject": "alone"}, status=201)
    face.good("POST", "events", {"subject": "draft", "isDraft": True, **guest}, status=201)
    assert sent == []
    event = face.good("POST", "calendar/events", {"subject": "party", **guest}, status=201)["id"]
    face.good("PATCH", f"events/{event}", {"subject": "later"})
    face.good("DELETE", f"events/{event}", status=204)
    assert [one["kind"] for one in sent] == ["invitation", "update", "cancellation"]
    assert sent[0]["to"] == ["guest@x.example"]
    sent.clear()
    for _ in range(2):
        face.put(wants_read_receipt=True, author=Person("B", "b@x.example"))
    one, other = (row["id"] for row in face.good("GET", "mailFolders/inbox/messages")["value"])
    face.good("PATCH", f"messages/{one}", {"isRead": True})
    face.good("DELETE", f"messages/{other}", status=204)
    face.good("DELETE", f"messages/{one}", status=204)
    assert sent == [{"kind": "read receipt", "to": "b@x.example"}, {"kind": "not-read receipt", "to": "b@x.example"}]
    draft = face.good("POST", "messages", {}, status=201)["id"]
    [face.good("POST", path, {}, status=202) for path in (f"messages/{draft}/send", f"messages/{draft}/forward", "sendMail")]
    assert [one["kind"] for one in sent[2:]] == ["mail"] * 3


# --- folders


def test_mail_folders_are_made_renamed_moved_and_removed(face: Face) -> None:
    stamp = prop(STAMP, "m1-f")
    made = face.good("POST", "mailFolders", {"displayName": "Projects", **stamp}, status=201)
    below = f"mailFolders/{made['id']}/childFolders"
    inner = face.good("POST", below, {"displayName": "Inner", "isHidden": True}, status=201)
    assert face.refused("POST", "mailFolders", {"displayName": "PROJECTS"}) == (409, "ErrorFolderExists")
    assert face.refused("POST", below, {"displayName": "a\nb"}) == (400, "ErrorFolderNameInvalid")
    assert face.refused("POST", below, {"displayName": "x" * 256}) == (400, "ErrorFolderNameInvalid")
    assert face.good("GET", below)["value"] == []
    assert [one["id"] for one in face.good("GET", f"{below}?includeHiddenFolders=true")["value"]] == [inner["id"]]
    named = face.good("GET", "mailFolders", params={"$filter": "displayName eq 'projects'"})["value"]
    assert [(one["id"], one["childFolderCount"]) for one in named] == [(made["id"], 1)]
    shown = face.good("GET", f"mailFolders/{made['id']}?$expand=singleValueExtendedProperties($filter=id eq '{STAMP}')")
    assert shown["singleValueExtendedProperties"] == stamp["singleValueExtendedProperties"]

    assert face.good("PATCH", f"mailFolders/{made['id']}", {"displayName": "projects"})["displayName"] == "projects"
    other = face.good("POST", "mailFolders/inbox/childFolders", {"displayName": "Projects"}, status=201)
    inbox = {"destinationId": face.folder_id("inbox")}
    assert face.refused("POST", f"mailFolders/{made['id']}/move", inbox) == (409, "ErrorFolderExists")
    assert face.refused("POST", f"mailFolders/{made['id']}/move", {"destinationId": inner["id"]}) == (400, "ErrorMoveCopyFailed")
    assert face.refused("POST", f"mailFolders/{made['id']}/move", {"destinationId": "x"}) == (404, "ErrorItemNotFound")
    face.good("DELETE", f"mailFolders/{other['id']}", status=204)
    moved = face.good("POST", f"mailFolders/{made['id']}/move", inbox, status=201)
    assert (moved["id"], moved["parentFolderId"]) == (made["id"], inbox["destinationId"])

    face.good("POST", f"mailFolders/{inner['id']}/messages", {}, status=201)
    face.good("DELETE", f"mailFolders/{made['id']}", status=204)
    assert face.refused("GET", f"mailFolders/{inner['id']}") == (404, "ErrorItemNotFound")
    assert not face.mailbox.items


def test_special_folders_stay_as_they_are(face: Face) -> None:
    assert face.refused("PATCH", "mailFolders/inbox", {"displayName": "Box"}) == (400, "ErrorDistinguishedFolder")
    for folder in ("mailFolders/inbox", "admin/folders/calendar"):
        assert face.refused("DELETE", folder) == (400, "ErrorDeleteDistinguishedFolder")


def test_folders_of_every_class_are_made_by_the_other_interface(face: Face) -> None:
    people = {"displayName": "People", "type": "IPF.Contact"}
    made = face.good("POST", "admin/folders", people, status=201)
    assert face.refused("POST", "admin/folders", {"displayName": "X"}) == (400, "ErrorRequiredPropertyMissing")
    inner = face.good("POST", f"admin/folders/{made['id']}/childFolders", people, status=201)
    assert inner["parentFolderId"] == made["id"]
    assert [one["id"] for one in face.good("GET", f"admin/folders/{made['id']}/childFolders")["value"]] == [inner["id"]]
    assert made["id"] in {one["id"] for one in face.good("GET", "admin/folders?$top=100")["value"]}
    assert made["id"] not in {one["id"] for one in face.good("GET", "mailFolders?$top=100")["value"]}
    path = f"admin/folders/{made['id']}"
    assert face.good("PATCH", path, {"displayName": "Friends"})["displayName"] == "Friends"
    assert face.refused("PATCH", path, {"type": "IPF.Note"}) == (400, "ErrorInvalidRequest")
    assert (face.good("GET", path)["type"], face.good("GET", path)["childFolderCount"]) == ("IPF.Contact", 1)
    face.good("DELETE", path, status=204)
    assert face.refused("GET", path) == (404, "ErrorItemNotFound")


# --- items of every class


def test_items_are_listed_with_their_properties_and_removed(face: Face) -> None:
    items = [face.put("contacts", item_class="IPM.Contact", created=datetime(2024, 1, n, tzinfo=UTC)) for n in (1, 2, 3)]
    expand, since = "singleValueExtendedProperties($filter=id eq 'Binary 0x300B')", "createdDateTime ge 2024-01-02T00:00:00Z"
    path = "admin/folders/contacts/items"
    page = face.good("GET", path, params={"$expand": expand, "$top": "2"})
    rows = page["value"] + face.good("GET", page["@odata.nextLink"])["value"]
    assert [row["singleValueExtendedProperties"][0]["value"] for row in rows] == [
        base64.b64encode(item.search_key).decode() for item in items
    ]
    assert [(row["type"], row["size"]) for row in rows] == [("IPM.Contact", item.size + 37) for item in items]
    assert len(face.good("GET", path, params={"$filter": since})["value"]) == 2
    assert face.good("GET", f"{path}/{rows[0]['id']}")["changeKey"] == rows[0]["changeKey"]
    assert face.refused("GET", f"admin/folders/inbox/items/{rows[0]['id']}") == (404, "ErrorItemNotFound")
    items[0].extended["attendees"] = ["guest@x.example"]
    for row in rows:
        face.good("DELETE", f"{path}/{row['id']}", status=204)
    assert (face.mailbox.items, [one["kind"] for one in face.mailbox.sent]) == ({}, ["cancellation"])


def test_an_imported_item_is_no_draft_and_is_replaced_only_by_who_saw_it_last(face: Face) -> None:
    url, when = face.import_address(), datetime(2020, 1, 1, 12, 0, 0, 5000, tzinfo=UTC)
    item = Item(subject="one", item_class="IPM.Note.Custom", received=when, search_key=b"1" * 16)
    body = face.import_body(item)
    made = face.good("POST", url, body, headers=PLAIN)
    found = face.only()
    assert (found.subject, found.item_class, found.is_draft) == ("one", "IPM.Note.Custom", False)
    assert found.received == when.replace(microsecond=0), "times are rounded"
    assert found.search_key != b"1" * 16, "the store makes its own search key"
    again = {"Mode": "update", "ItemId": made["itemId"]}
    wrong = face.import_body(Item(subject="two"), **again, ChangeKey="AAAA")
    assert face.refused("POST", url, wrong, headers=PLAIN) == (409, "ErrorIrresolvableConflict")
    right = face.import_body(Item(subject="two"), **again, ChangeKey=made["changeKey"])
    assert face.good("POST", url, right, headers=PLAIN)["changeKey"] != made["changeKey"]
    assert face.only().subject == "two"
    assert face.refused("POST", url, right, headers=PLAIN) == (409, "ErrorIrresolvableConflict")
    elsewhere = {**right, "FolderId": face.folder_id("archive")}
    assert face.refused("POST", url, elsewhere, headers=PLAIN) == (404, "ErrorItemNotFound")
    [exported, missing] = face.good("POST", "admin/exportItems", {"itemIds": [made["itemId"], "nobody"]})["value"]
    assert stream.unpack(base64.b64decode(exported["data"])).subject == "two"
    assert missing["error"]["code"] == "ErrorItemNotFound"
    assert face.refused("POST", "admin/exportItems", {"itemIds": ["x"] * 21}) == (400, "ErrorInvalidRequest")


def test_an_import_that_is_wrong_leaves_nothing(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    url, body = face.import_address(), face.import_body(Item(subject="one"))
    cut = {**body, "Data": base64.b64encode(base64.b64decode(body["Data"])[:-9]).decode()}
    assert face.refused("POST", url, cut, headers=PLAIN) == (400, "ErrorCorruptData")
    assert face.refused("POST", url, {**body, "Data": "?"}, headers=PLAIN) == (400, "ErrorCorruptData")
    assert face.refused("POST", url, {**body, "Mode": "update"}, headers=PLAIN) == (400, "ErrorInvalidRequest")
    assert face.refused("POST", url, {**body, "FolderId": "nowhere"}, headers=PLAIN) == (404, "ErrorItemNotFound")
    assert face.refused("POST", "admin/createImportSession", {}) == (400, "ErrorInvalidRequest")
    monkeypatch.setattr(face.lab.options[1], "import_cap", 10)
    assert face.refused("POST", url, body, headers=PLAIN) == (413, "ErrorMessageSizeExceeded")
    monkeypatch.setattr(face.lab.options[1], "session_seconds", -1.0)
    assert face.refused("POST", face.import_address(), body, headers=PLAIN) == (401, "InvalidAuthenticationToken")
    assert face.refused("POST", url.partition("?")[0], body, headers=PLAIN) == (401, "InvalidAuthenticationToken")
    assert not face.mailbox.items


# --- the rest


def test_a_user_is_shown_with_the_names_of_the_mailbox(face: Face) -> None:
    shown = face.good("GET", "", params={"$select": "mail"})
    assert (shown["mail"], "displayName" in shown) == (face.mailbox.address, False)
    assert face.good("GET", "settings/exchange")["primaryMailboxId"] == face.box_id


def test_what_is_not_there_is_told_from_what_is_not_allowed(face: Face) -> None:
    root = f"{face.lab.graph_url}/v1.0"
    assert face.refused("GET", f"{root}/users/nobody@x.example/messages") == (404, "Request_ResourceNotFound")
    assert face.refused("GET", f"{root}/moon") == (400, "BadRequest")
    assert face.refused("PUT", "mailFolders/inbox") == (405, "Request_BadRequest")
    assert face.refused("GET", "mailFolders/nowhere/messages") == (404, "ErrorItemNotFound")
