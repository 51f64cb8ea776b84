"""Nothing that leaves may make the target send mail."""

from __future__ import annotations

import orjson
import pytest

from connectors.graph.silence import ForbiddenRequest, Word, check

MEETING = {"subject": "x", "attendees": [{"emailAddress": {"address": "a@example.com"}}]}

FORBIDDEN: list[tuple[str, str, object]] = [
    ("POST", "/users/u/sendMail", {"message": {}}),
    ("POST", "/users/u/microsoft.graph.sendMail", {"message": {}}),
    ("POST", "https://graph.microsoft.com/v1.0/users/u/sendMail", {}),
    ("POST", "/users/u/messages/m/send", None),
    ("POST", "/users/u/messages('m')/send", None),
    ("POST", "/users/u/messages/m/SEND", None),
    ("POST", "/users/u/messages/m/s%65nd", None),
    ("POST", "/users/u/messages/m/send()", None),
    ("POST", "/users/u/messages/m/reply", {}),
    ("POST", "/users/u/messages/m/replyAll", {}),
    ("POST", "/users/u/messages/m/forward", {}),
    ("POST", "/users/u/messages/m/createReply", None),
    ("POST", "/users/u/mailFolders/f/messages/m/createForward", None),
    ("POST", "/users/u/events/e/accept", {}),
    ("POST", "/users/u/events/e/decline", {}),
    ("POST", "/users/u/events/e/tentativelyAccept", {}),
    ("POST", "/users/u/events/e/cancel", {}),
    ("POST", "/users/u/events/e/forward", {}),
    ("POST", "/users/u/events", MEETING),
    ("POST", "/users/u/calendar/events", MEETING),
    ("POST", "/users/u/calendars/c/events", MEETING),
    ("POST", "/users/u/events", {"subject": "x", "isOnlineMeeting": True}),
    ("PATCH", "/users/u/events/e", {"subject": "x"}),
    ("PATCH", "/users/u/events('e')", {"subject": "x"}),
    ("PATCH", "/users/u/events/e/instances/i", {"subject": "x"}),
    ("DELETE", "/users/u/events/e", None),
    ("DELETE", "/users/u/calendarView/e", None),
    ("DELETE", "/users/u/calendars/c", None),
    ("POST", "/users/u/events/e/attachments", {"name": "x"}),
    ("POST", "/users/u/calendar/calendarPermissions", {"role": "read"}),
    ("PATCH", "/users/u/messages/m", {"isRead": True}),
    ("PATCH", "/users/u/mailFolders/f/messages/m", {"isRead": True}),
    ("DELETE", "/users/u/messages/m", None),
    ("DELETE", "/admin/exchange/mailboxes/MBX:1@2/folders/f/items/i", None),
    ("POST", "/users/u/mailFolders/inbox/messageRules", {"actions": {"forwardTo": [{}]}}),
    ("PATCH", "/users/u/mailFolders/inbox/messageRules/r", {"isEnabled": True}),
    ("PATCH", "/users/u/mailboxSettings", {"automaticRepliesSetting": {"status": "alwaysEnabled"}}),
]

QUIET: list[tuple[str, str, object]] = [
    ("GET", "/users/u/events", None),
    ("POST", "/users/u/mailFolders/f/messages", {"subject": "send", "isRead": True}),
    ("POST", "/users/u/events", {"subject": "x", "attendees": []}),
    ("PATCH", "/users/u/messages/m", {"singleValueExtendedProperties": []}),
    ("PATCH", "/users/u/messages/m", {"isRead": False}),
    ("POST", "/users/u/messages/m/move", {"destinationId": "f"}),
    ("POST", "/users/u/messages/m/attachments", {"name": "x"}),
    ("POST", "/users/u/mailFolders/send/childFolders", {"displayName": "x"}),
    ("DELETE", "/users/u/mailFolders/f", None),
    ("POST", "/admin/exchange/mailboxes/MBX:1@2/createImportSession", None),
    ("POST", "/users/u/mailFolders/inbox/messageRules", {"actions": {"forwardTo": [{}]}, "isEnabled": False}),
    ("PATCH", "/users/u/mailboxSettings", {"automaticRepliesSetting": {"status": "disabled"}}),
]


def _body(value: object) -> bytes | None:
    return None if value is None else orjson.dumps(value)


@pytest.mark.parametrize(("method", "path", "body"), FORBIDDEN)
def test_what_could_send_mail_never_leaves(method: str, path: str, body: object) -> None:
    with pytest.raises(ForbiddenRequest):
        check(method, path, _body(body))


@pytest.mark.parametrize(("method", "path", "body"), [each for each in FORBIDDEN if not each[1].startswith("https:")])
def test_nor_does_it_inside_a_batch(method: str, path: str, body: object) -> None:
    part = {"id": "1", "method": method, "url": path, "body": body}
    innocent = {"id": "0", "method": "GET", "url": "/users/u/messages"}
    with pytest.raises(ForbiddenRequest):
        check("POST", "/$batch", orjson.dumps({"requests": [innocent, part]}))


@pytest.mark.parametrize(("method", "path", "body"), QUIET)
def test_what_sends_nothing_leaves(method: str, path: str, body: object) -> None:
    check(method, path, _body(body))


def test_being_told_quiet_lifts_what_is_forbidden_for_not_being_known_and_nothing_else() -> None:
    check("PATCH", "/users/u/messages/m", b'{"isRead":true}', quiet=True)
    check("DELETE", "/users/u/messages/m", quiet=True)
    check("PATCH", "/users/u/events/e", b'{"subject":"x"}', quiet=True)
    check("DELETE", "/users/u/events/e", quiet=True)
    check("POST", "/users/u/events/e/attachments/createUploadSession", b"{}", quiet=True)
    lifted = ("messages/m", "/items/", "events/e", "events('e')", "instances/i", "calendarView/e")
    for method, path, body in FORBIDDEN:
        if any(one in path for one in lifted) and (method in ("PATCH", "DELETE") or path.endswith("attachments")):
            continue
        with pytest.raises(ForbiddenRequest):
            check(method, path, _body(body), quiet=True)


@pytest.mark.parametrize("body", [MEETING, {"isOnlineMeeting": True}, {"isDraft": False}])
@pytest.mark.parametrize("path", ["/users/u/events/e", "/users/u/calendars/c/events/e", "/users/u/events/e/instances/i"])
def test_nobody_can_be_invited_by_a_change_that_is_called_quiet(path: str, body: object) -> None:
    with pytest.raises(ForbiddenRequest):
        check("PATCH", path, _body(body), quiet=True)


def test_a_body_that_cannot_be_read_is_not_taken_for_harmless() -> None:
    with pytest.raises(ForbiddenRequest):
        check("POST", "/users/u/events", b"{not json")


FORWARDING = {"isEnabled": True, "actions": {"forwardTo": [{}]}}
FILING = {"isEnabled": True, "actions": {"markAsRead": True}}
REPLYING = {"automaticRepliesSetting": {"status": "scheduled"}}
RULE, OWN = "/users/u/mailFolders/inbox/messageRules/r", "/users/u/mailboxSettings"


@pytest.mark.parametrize(
    ("path", "body", "lifted"),
    [
        (RULE, FILING, {Word.RULES, Word.FORWARDING}),
        (RULE, FORWARDING, {Word.FORWARDING}),
        (RULE, {"isEnabled": True}, set()),
        (RULE, {"isEnabled": True, "actions": {}}, set()),
        (OWN, REPLYING, {Word.REPLIES}),
    ],
)
def test_a_word_of_the_operator_lifts_exactly_what_it_names(path: str, body: object, lifted: set[Word]) -> None:
    for word in (None, *Word):
        if word in lifted:
            check("PATCH", path, _body(body), word=word)
        else:
            with pytest.raises(ForbiddenRequest):
                check("PATCH", path, _body(body), word=word)


@pytest.mark.parametrize(("method", "path", "body"), [one for one in FORBIDDEN if "messageRules" not in one[1]])
def test_no_word_of_the_operator_lifts_anything_else(method: str, path: str, body: object) -> None:
    for word in Word:
        if word is Word.REPLIES and "mailboxSettings" in path:
            continue
        with pytest.raises(ForbiddenRequest):
            check(method, path, _body(body), word=word)


def test_a_batch_takes_no_word() -> None:
    part = {"id": "1", "method": "PATCH", "url": RULE, "body": FILING}
    with pytest.raises(ForbiddenRequest):
        check("POST", "/$batch", orjson.dumps({"requests": [part]}), word=Word.RULES)
