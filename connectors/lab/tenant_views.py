"""What takes place in a calendar between two moments, as Graph's calendarView shows it [v1.0 calendar: List calendarView]."""

from __future__ import annotations

from typing import Any

from .appointments import Occasion, diary_of, is_appointment, occasions
from .tenant_call import Answer, Call, GraphError, chosen, page
from .tenant_events import calendar_of, show_event, show_occasion, window
from .truth import Item


def calendar_view(call: Call) -> Answer:
    """GET …/calendarView: single events, and series expanded into their occurrences, a page at a time in order of their begin."""
    index, box = call.box, calendar_of(call)
    low, high = window(call)
    if high <= low:
        raise GraphError(400, "ErrorInvalidParameter", "The end of the time window lies before its start.")
    rows: list[tuple[Item, Occasion]] = []
    for item in index.mailbox.items_in(box.id):
        if is_appointment(item) and call.visible(item):
            rows += [
                (item, one) for one in occasions(item, low, high) if one.start < high and (one.end > low or one.start >= low)
            ]
    rows.sort(key=lambda row: row[1].start)

    def shown(row: tuple[Item, Occasion]) -> dict[str, Any]:
        item, one = row
        if diary_of(item).rule is None:
            return show_event(call, item)
        return chosen(call, show_occasion(call, item, one))

    return page(call, rows, shown, "calendarView")
