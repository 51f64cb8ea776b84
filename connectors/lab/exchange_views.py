"""FindItem with a CalendarView: a calendar between two moments, series expanded [learn.microsoft.com: CalendarView].

A view spans two years at most, is not sorted or restricted by the caller, and is not paged: it shows what begins first, as
much as the server holds in memory at most, and says whether that was all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .appointments import Change, Occasion, diary_of, is_appointment, occasions, occurrence
from .exchange_call import Call, Refused, invalid
from .truth import Box, Item

OCCURRENCE_CLASS = "IPM.Appointment.Occurrence"
_LONGEST = timedelta(days=731)


def view(call: Call, element: Any) -> tuple[datetime, datetime, int]:
    """The two moments that a ``m:CalendarView`` names, and how much it wants. Raises Refused, or Fault for what is no view."""
    try:
        low, high = (_moment(element.get(name, "")) for name in ("StartDate", "EndDate"))
        most = int(element.get("MaxEntriesReturned", call.options.find_page))
    except ValueError:
        raise invalid("The 'StartDate', 'EndDate' or 'MaxEntriesReturned' attribute is invalid.", element) from None
    if most < 1:
        raise invalid("The 'MaxEntriesReturned' attribute is invalid.", element)
    if high < low:
        raise Refused("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if high - low > _LONGEST:
        raise Refused("ErrorCalendarViewRangeTooBig", "The specified view range exceeds the maximum range of two years.")
    return low, high, most


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def shown(call: Call, box: Box, low: datetime, high: datetime, most: int) -> tuple[list[Item], str]:
    """What takes place between two moments, as items, and the attributes that say whether that is all. Raises Refused."""
    if not box.kind.lower().startswith("ipf.appointment"):
        raise Refused("ErrorCalendarFolderIsInvalidForCalendarView", "The folder is no calendar.")
    found: list[tuple[Item, Occasion]] = []
    for item in call.box_of().items_in(box.id):
        if is_appointment(item):
            some = occasions(item, low, high)
            found += [(item, one) for one in some if one.start < high and (one.end > low or one.start >= low)]
    found.sort(key=lambda row: row[1].start)
    limit = call.options.find_page
    if most > limit and len(found) > limit:
        raise Refused("ErrorExceededFindCountLimit", "The number of objects exceeds what a view may hold.")
    page = [_as_item(item, one) for item, one in found[:most]]
    last = "true" if len(page) == len(found) else "false"
    return page, f'TotalItemsInView="{len(page)}" IncludesLastItemInRange="{last}"'


def _as_item(item: Item, one: Occasion) -> Item:
    diary = diary_of(item)
    if diary.rule is None:
        return item
    known = next((each for each in diary.changes if each.original == one.original), None)
    if known is not None:
        return occurrence(item, known)
    return replace(occurrence(item, Change(one.original)), item_class=OCCURRENCE_CLASS)
