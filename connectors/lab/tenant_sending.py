"""What no migration has any business with, because it would e-mail somebody: answered, and above all written down.

None of it is let in by a permission alone: it has to be seen here that an app tried.
"""

from __future__ import annotations

from . import tenant_events as events
from . import tenant_settings as settings
from .tenant_call import Answer, Call
from .tenant_routes import EVERYBODY, Route, route


def _sent(call: Call, kind: str, *to: str) -> None:
    call.box.mailbox.sent.append({"kind": kind, "to": list(to)})


def answer_meeting(call: Call) -> Answer:
    """POST …/accept and its like: whoever takes part is told."""
    _sent(call, "meeting " + call.path.rpartition("/")[2].lower())
    return Answer(202)


def remove_calendar(call: Call) -> Answer:
    """DELETE of a calendar: the attendees of all its meetings get cancellations."""
    for item in list(call.box.mailbox.items.values()):
        events.people_told(call, "cancellation", item)
    return Answer(204)


_EVENT = "users/{user}/(?:calendar/)?events/{event}"
SENDING: tuple[Route, ...] = (
    route("POST", f"{_EVENT}/(?:accept|decline|tentativelyAccept|cancel|forward)", answer_meeting, EVERYBODY),
    route("DELETE", "users/{user}/calendars/{calendar}", remove_calendar, EVERYBODY),
    route("POST", "users/{user}/calendar/calendarPermissions", settings.share, EVERYBODY),
    route("PATCH", "users/{user}/calendar/calendarPermissions/{permission}", settings.share_otherwise, EVERYBODY),
)
