"""The rule that no request of ours may make the target send a mail to anybody; pure.

Every request passes through ``check`` before it leaves, each part of a ``$batch`` too. What is forbidden:

- sending, replying, forwarding, answering or cancelling meetings, and the drafts that only serve these;
- an event with attendees: creating one sends invitations, changing or deleting one sends updates or cancellations, and no
  supported switch prevents it; since a change or deletion does not show who attends, both are forbidden for every event,
  unless the caller says that it is known to be quiet: it has just seen that nobody attends; attendees can't be added even then
  [learn.microsoft.com/graph/api/user-post-events, event-update, event-delete];
- an inbox rule that forwards or redirects and is live, and an automatic reply that is not off, unless the operator has asked
  for exactly that, which the caller says as a ``Word``;
- marking a message read, or deleting it, unless the caller says that it is known to be quiet: the sender may have asked for
  a receipt.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from connectors.errors import WireError

_ACTIONS = frozenset(
    {
        "sendmail", "send", "reply", "replyall", "forward", "createreply", "createreplyall", "createforward",
        "accept", "decline", "tentativelyaccept", "cancel", "invite",
    }
)  # fmt: skip
_EVENTS = frozenset({"events", "event", "calendarview", "instances", "exceptionoccurrences"})
_CALENDARS = frozenset({"calendar", "calendars", "calendargroups", "calendargroup"})
_SHARES = frozenset({"calendarpermissions", "permissions", "invitations"})
_FORWARDS = ("forwardTo", "forwardAsAttachmentTo", "redirectTo")
_PARENS = re.compile(r"\(.*\)$")
_ITEM = re.compile(r"^(users/[^/]+|me)/(mailfolders/.+/)?messages/[^/]+$")
_ADMIN_ITEM = re.compile(r"^admin/exchange/mailboxes/[^/]+/folders/.+/items/[^/]+$")


class Word(StrEnum):
    """What an operator has asked for by name; each lifts one rule of this page and no other."""

    RULES = "rules"  # a rule that sends nothing may be switched on; the request has to show what it does
    FORWARDING = "forwarding"  # so may one that forwards
    REPLIES = "replies"  # automatic replies may be on


class ForbiddenRequest(WireError):
    """A request that could make the target send mail was about to leave; a bug of ours, and nothing was sent."""


def _segments(path: str) -> list[str]:
    """The path below the version root, each segment decoded and levelled; a key in parentheses is a segment of its own."""
    found = []
    for raw in urlsplit(path).path.split("/"):
        segment = unquote(raw).casefold()
        if not segment:
            continue
        segment = segment.removeprefix("microsoft.graph.")
        bare = _PARENS.sub("", segment)
        found.append(bare)
        if bare != segment and "'" in segment:
            found.append("{key}")
    if found and found[0] in ("v1.0", "beta"):
        del found[0]
    return found


def _read(body: bytes | None) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ForbiddenRequest("the body of a request that must be checked can't be read") from None


def check(method: str, path: str, body: bytes | None = None, *, quiet: bool = False, word: Word | None = None) -> None:
    """Raise ForbiddenRequest if this request could cause mail.

    ``path`` is a URL or a path below the version root. ``body`` is the JSON that would be sent. ``quiet`` says that the caller
    knows the message to ask for no receipt, or the event to have no attendees; it lifts only what is forbidden for not being
    known. ``word`` is what the operator asked for. Requests to import and upload addresses are not Graph paths and submit nothing
    to transport, so they need no check.
    """
    verb = method.upper()
    if verb in ("GET", "HEAD"):
        return
    parts = _segments(path)
    if parts == ["$batch"]:
        batch = _read(body)
        for part in (batch or {}).get("requests", ()):
            inner = part.get("body")
            check(part.get("method", ""), part.get("url", ""), None if inner is None else orjson.dumps(inner), quiet=quiet)
        return
    where = "/".join(parts)
    if parts and parts[-1] in _ACTIONS:
        raise ForbiddenRequest(f"{verb} …/{parts[-1]} would send mail")
    _check_calendar(verb, parts, body, quiet)
    _check_settings(verb, parts, body, word)
    if not quiet and (_ITEM.match(where) or _ADMIN_ITEM.match(where)):
        if verb == "DELETE":
            raise ForbiddenRequest("deleting an unread message could send a receipt; the caller does not say that it is quiet")
        if verb in ("PATCH", "PUT"):
            changes = _read(body)
            if isinstance(changes, dict) and changes.get("isRead") is True:
                raise ForbiddenRequest("marking a message read could send a receipt; the caller does not say that it is quiet")


def _check_calendar(verb: str, parts: list[str], body: bytes | None, quiet: bool) -> None:
    named = set(parts)
    if named & _SHARES and named & (_CALENDARS | {"invitations"}):
        raise ForbiddenRequest(f"{verb} on a calendar's permissions could send a sharing invitation")
    if not named & _EVENTS:
        if verb == "DELETE" and named & _CALENDARS:
            raise ForbiddenRequest("deleting a calendar could send cancellations")
        return
    if named & {"attachments", "createuploadsession"}:
        if not quiet:
            raise ForbiddenRequest("attaching to an event could send an update")
        return
    if verb == "DELETE" and quiet:
        return
    if verb != "POST" and not (verb == "PATCH" and quiet):
        raise ForbiddenRequest(f"{verb} on an event could send an update or a cancellation to its attendees")
    event = _read(body)
    if not isinstance(event, dict):
        raise ForbiddenRequest("an event without a readable body")
    if event.get("attendees") or event.get("isOnlineMeeting"):
        raise ForbiddenRequest("an event with attendees would send invitations")
    if "isDraft" in event:
        raise ForbiddenRequest("an event that ceases to be a draft would send invitations")


def _check_settings(verb: str, parts: list[str], body: bytes | None, word: Word | None) -> None:
    if "messagerules" in parts and verb in ("POST", "PATCH", "PUT"):
        rule = _read(body)
        actions = (rule or {}).get("actions") or {}
        live = (rule or {}).get("isEnabled", True) is not False
        if live and any(actions.get(name) for name in _FORWARDS) and word is not Word.FORWARDING:
            raise ForbiddenRequest("a live inbox rule that forwards would send mail")
        if verb != "POST" and rule and rule.get("isEnabled") is True and (word not in _SWITCHES or not actions):
            raise ForbiddenRequest("enabling an inbox rule whose actions are not shown could send mail")
    if "mailboxsettings" in parts and verb in ("PATCH", "PUT"):
        settings = _read(body) or {}
        replies = settings.get("automaticRepliesSetting") or (settings if "status" in settings else {})
        if replies and replies.get("status") != "disabled" and word is not Word.REPLIES:
            raise ForbiddenRequest("automatic replies that are not off would send mail")


_SWITCHES = (Word.RULES, Word.FORWARDING)
