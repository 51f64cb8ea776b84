"""The meetings to come of a mailbox's calendar, counted: whoever loses their attendees on the way has to know how many there are.

A view spans two years at most and is never paged: a span that brings more than the server gives at once is halved
[learn.microsoft.com: CalendarView, EWSFindCountLimit]. Occurrences share the UID of their series, which counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.errors import Unavailable
from connectors.ews import soap
from connectors.ews.answer import M, T, check, code_of
from connectors.ews.client import ExchangeServer, MailboxClient

SPAN = timedelta(days=700)
"""How far ahead it looks."""

_MOST = 1000
_SHORTEST = timedelta(minutes=1)
_TOO_MANY = "ErrorExceededFindCountLimit"
_FIELDS = ("UID", "IsMeeting", "MyResponseType")


@dataclass(frozen=True, slots=True)
class MeetingsToCome:
    """Meetings with other people, series counted once: all of them, and those that the mailbox's owner called."""

    future: int
    as_organiser: int


def meetings_to_come(server: ExchangeServer, mailbox: str, now: datetime) -> MeetingsToCome:
    """Count the meetings of the mailbox's own calendar from now on. Reads no text. Raises what the wire raises."""
    client = MailboxClient(server, mailbox)
    owner = mailbox if server.settings.access == "full-access" else None
    spans, found = [(now, now + SPAN)], dict[str, bool]()
    try:
        while spans:
            low, high = spans.pop()
            some = _view(client, owner, low, high)
            if some is not None:
                for uid, mine in some.items():
                    found[uid] = found.get(uid, False) or mine
                continue
            if high - low <= _SHORTEST:
                raise Unavailable("The source does not show all that takes place within one minute.", code=_TOO_MANY)
            middle = (low + (high - low) / 2).replace(microsecond=0)
            spans += [(middle, high), (low, middle)]
    finally:
        client.close()
    return MeetingsToCome(len(found), sum(found.values()))


def _view(client: MailboxClient, owner: str | None, low: datetime, high: datetime) -> dict[str, bool] | None:
    """Meetings of a span by UID, and whether the owner called them; None if there is more than the server gives at once."""

    def read(messages: list[Any]) -> dict[str, bool] | None:
        if len(messages) != 1:
            raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
        [message] = messages
        if code_of(message)[0] == _TOO_MANY:
            return None
        check(message)
        root = message.find(f"{M}RootFolder")
        if root is None or root.get("IncludesLastItemInRange", "true") != "true":
            return None
        return {
            item.findtext(f"{T}UID") or str(at): item.findtext(f"{T}MyResponseType") == "Organizer"
            for at, item in enumerate(root.iterfind(f"{T}Items/*"))
            if soap.truth(item.findtext(f"{T}IsMeeting"))
        }

    asked = "".join(f'<t:FieldURI FieldURI="calendar:{field}"/>' for field in _FIELDS)
    body = (
        '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>'
        f"<t:AdditionalProperties>{asked}</t:AdditionalProperties></m:ItemShape>"
        f'<m:CalendarView MaxEntriesReturned="{_MOST}" StartDate="{_written(low)}" EndDate="{_written(high)}"/>'
        f"<m:ParentFolderIds>{soap.distinguished('calendar', owner)}</m:ParentFolderIds></m:FindItem>"
    )
    return client.ask("FindItem", body, read)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
