"""What takes place when in a target's calendars: the events of a calendar, and its calendarView [v1.0 calendar: calendarView].

A calendar's id is that of its folder. Without a preference times come in UTC; the zone that is named beside each is honoured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.errors import Halt, MailboxBlocked, Unavailable
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.reading_calendar import CalendarsHidden, Occasion, Series
from connectors.reading_items import read_time
from connectors.zones import zone_of

_PAGE = 200


class GraphCalendars:
    """``connectors.reading_calendar.CalendarReader`` of one mailbox. ``mailbox`` is its user principal name or the user's id."""

    def __init__(self, client: GraphClient, mailbox: str) -> None:
        self._client, self._mailbox = client, mailbox

    def series(self, folder_id: str, ids: Sequence[str]) -> Iterator[Series]:
        """See the contract; the calendar is listed, which is one request for many of them."""
        wanted = set(ids)
        path = paths.calendar(self._mailbox, folder_id) + "/events"
        for one in self._all(paths.query(path, select="id,changeKey,originalStartTimeZone", top=_PAGE)):
            if one.get("id") in wanted:
                zone = str(one.get("originalStartTimeZone") or "")
                yield Series(one["id"], one["id"], str(one.get("changeKey") or ""), zone)

    def occasions(self, folder_id: str, low: datetime, high: datetime) -> Iterator[Occasion]:
        """See the contract. A view shows what overlaps its span."""
        path = paths.calendar(self._mailbox, folder_id) + "/calendarView"
        path += f"?startDateTime={_written(low)}&endDateTime={_written(high)}"
        path += f"&$select=id,seriesMasterId,start,end,isAllDay,originalStartTimeZone&$top={_PAGE}"
        for one in self._all(path):
            start, end = _moment(one.get("start")), _moment(one.get("end"))
            if start is None:
                raise Unavailable("Graph sent an event without its time.", code="no content")
            if low <= start < high:
                key, zone = str(one.get("seriesMasterId") or one.get("id") or ""), str(one.get("originalStartTimeZone") or "")
                yield Occasion(key, start, end or start, bool(one.get("isAllDay")), zone)

    def close(self) -> None:
        """Nothing is held for one mailbox alone; the client is closed by whoever made it."""

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        following: str | None = path
        while following:
            try:
                page = self._client.run(self._client.ask(self._mailbox, "GET", following, kind="read")).json()
            except Rejected as error:
                if error.meaning is Meaning.GONE:
                    return  # the calendar went away, and with it all that it held
                raise
            except (Halt, MailboxBlocked) as error:
                raise CalendarsHidden("The target does not let the app see calendars (Calendars.Read).") from error
            yield from page.get("value") or ()
            following = page.get("@odata.nextLink")


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(given: Any) -> datetime | None:
    """A dateTimeTimeZone in UTC."""
    if not isinstance(given, dict):
        return None
    found, clock = read_time(given.get("dateTime")), zone_of(str(given.get("timeZone") or "UTC"))
    return found if found is None or clock is None else found.replace(tzinfo=clock).astimezone(UTC)
