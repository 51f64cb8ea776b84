"""What takes place when in a source's calendars: GetItem for the series, FindItem with a CalendarView for what they expand to.

A view spans two years at most and is never paged: a server gives as many as it holds in memory and says that there are more, or
refuses, so a span that brings too many is halved [learn.microsoft.com: CalendarView, EWSFindCountLimit]. Occurrences have ids of
their own and share the UID of their series; single appointments keep their id.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from connectors.base import Ref
from connectors.errors import Unavailable
from connectors.ews import classify
from connectors.ews.answer import M, T, check, code_of
from connectors.ews.client import ExchangeServer, MailboxClient, escape
from connectors.reading_calendar import Occasion, Series
from connectors.reading_items import read_time

LONGEST = timedelta(days=700)
"""The longest span of one view; servers take up to two years."""

_MOST = 1000
_AT_ONCE = 50
_SHORTEST = timedelta(minutes=1)
_SINGLE = "Single"
_TOO_MANY = "ErrorExceededFindCountLimit"


class ExchangeCalendars:
    """``connectors.reading_calendar.CalendarReader`` of one mailbox."""

    def __init__(self, server: ExchangeServer, mailbox: str, *, stop: threading.Event | None = None) -> None:
        self._client = MailboxClient(server, mailbox, stop)

    def series(self, folder_id: str, ids: Sequence[str]) -> Iterator[Series]:
        """See the contract; ids are asked for whichever folder they lie in."""
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]
            yield from self._client.ask("GetItem", _get(some), partial(_series, some))

    def occasions(self, folder_id: str, low: datetime, high: datetime) -> Iterator[Occasion]:
        """See the contract."""
        spans = [(low, high)]
        while spans:
            begin, end = spans.pop()
            found = self._view(folder_id, begin, end) if end - begin <= LONGEST else None
            if found is not None:
                yield from (one for one in found if begin <= one.start < end)
                continue
            if end - begin <= _SHORTEST:
                raise Unavailable("The source does not show all that takes place within one minute.", code=_TOO_MANY)
            middle = (begin + (end - begin) / 2).replace(microsecond=0)
            spans += [(middle, end), (begin, middle)]

    def close(self) -> None:
        self._client.close()

    def _view(self, folder_id: str, low: datetime, high: datetime) -> list[Occasion] | None:
        """What overlaps a span; None if that is more than the server gives at once."""

        def read(messages: list[Any]) -> list[Occasion] | None:
            if len(messages) != 1:
                raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
            [message] = messages
            if code_of(message)[0] == _TOO_MANY:
                return None  # asked for in smaller parts it is no trouble
            check(message)
            root = message.find(f"{M}RootFolder")
            if root is None or root.get("IncludesLastItemInRange", "true") != "true":
                return None
            return [_occasion(item) for item in root.iterfind(f"{T}Items/*")]

        return self._client.ask("FindItem", _find(folder_id, low, high), read)


def _find(folder_id: str, low: datetime, high: datetime) -> str:
    fields = ("CalendarItemType", "UID", "Start", "End", "IsAllDayEvent")
    asked = "".join(f'<t:FieldURI FieldURI="calendar:{field}"/>' for field in fields)
    return (
        '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>'
        f"<t:AdditionalProperties>{asked}</t:AdditionalProperties></m:ItemShape>"
        f'<m:CalendarView MaxEntriesReturned="{_MOST}" StartDate="{_written(low)}" EndDate="{_written(high)}"/>'
        f'<m:ParentFolderIds><t:FolderId Id="{escape(folder_id)}"/></m:ParentFolderIds></m:FindItem>'
    )


def _get(ids: Sequence[str]) -> str:
    fields = ("CalendarItemType", "UID", "StartTimeZone")
    asked = "".join(f'<t:FieldURI FieldURI="calendar:{field}"/>' for field in fields)
    wanted = "".join(f'<t:ItemId Id="{escape(one)}"/>' for one in ids)
    return (
        "<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>"
        f"<t:AdditionalProperties>{asked}</t:AdditionalProperties></m:ItemShape><m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _series(ids: Sequence[str], messages: list[Any]) -> list[Series]:
    if len(messages) != len(ids):
        raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
    found = []
    for id_, message in zip(ids, messages, strict=True):
        code, values = code_of(message)
        item = message.find(f"{M}Items/*")
        if code != "NoError":
            if classify.item_answer(Ref(id_), code, values=values) is None:
                classify.raise_for(code, text="", values=values)
            continue  # it went away, or can't be shown: then its content can't be compared either, which is named there
        if item is not None:
            own, zone = item.find(f"{T}ItemId"), item.find(f"{T}StartTimeZone")
            version = "" if own is None else own.get("ChangeKey") or ""
            single = (item.findtext(f"{T}CalendarItemType") or _SINGLE) == _SINGLE
            key = id_ if single else item.findtext(f"{T}UID") or ""
            found.append(Series(id_, key, version, "" if zone is None else zone.get("Id") or zone.get("Name") or ""))
    return found


def _occasion(item: Any) -> Occasion:
    own = item.find(f"{T}ItemId")
    start, end = read_time(item.findtext(f"{T}Start")), read_time(item.findtext(f"{T}End"))
    if own is None or start is None:
        raise Unavailable("The source sent an appointment without its time.", code="no content")
    single = (item.findtext(f"{T}CalendarItemType") or _SINGLE) == _SINGLE
    key = own.get("Id") or "" if single else item.findtext(f"{T}UID") or ""
    all_day = (item.findtext(f"{T}IsAllDayEvent") or "").strip().casefold() in ("true", "1")
    return Occasion(key, start, end or start, all_day)
