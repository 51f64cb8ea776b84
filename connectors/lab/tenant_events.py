"""Events, master categories and what sends mail, as far as a migration meets them; whoever would be told is written down."""

from __future__ import annotations

import secrets
from typing import Any

from .tenant_call import Answer, Call, GraphError, chosen, gone, page
from .tenant_mail import take_in
from .truth import Item

ATTENDEES = "attendees"
"""Where an item's extended properties hold the addresses of its attendees."""

_COLOURS = ("none", *(f"preset{number}" for number in range(25)))


def find(call: Call) -> Item:
    """The event that the path names. Raises GraphError."""
    item = call.box.item(call.names["event"])
    if item is None or not _is_event(item):
        raise gone()
    return item


def _is_event(item: Item) -> bool:
    return item.item_class.lower().startswith("ipm.appointment")


def people_of(item: Item) -> list[str]:
    """The addresses of whoever is told when an event changes or goes: of one that was imported, those in its stream."""
    held = item.extended.get(ATTENDEES)
    if isinstance(held, list):
        return list(held)
    return [one.address for one in (*item.to, *item.cc, *item.bcc)] if _is_event(item) else []


def _attendees(given: dict[str, Any]) -> list[str]:
    try:
        return [str(one["emailAddress"]["address"]) for one in given.get("attendees") or ()]
    except (KeyError, TypeError):
        raise GraphError(400, "RequestBodyRead", "The attendees can't be read.") from None


def _show(call: Call, item: Item) -> dict[str, Any]:
    shown = {
        "id": call.box.wire(item, call.immutable),
        "changeKey": call.box.change_key(item.change),
        "subject": item.subject,
        "attendees": [{"emailAddress": {"address": one}} for one in people_of(item)],
    }
    return chosen(call, shown)


def list_events(call: Call) -> Answer:
    """GET of the events of all calendars."""
    events = [item for item in call.box.mailbox.items.values() if _is_event(item) and call.visible(item)]
    return page(call, events, lambda item: _show(call, item), "events")


def get_event(call: Call) -> Answer:
    """GET of one event."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#event", **_show(call, find(call))})


def make_event(call: Call) -> Answer:
    """POST of an event; attendees are invited at once, which can't be switched off, unless it is a draft."""
    given = call.json()
    attendees = _attendees(given)
    item = Item(item_class="IPM.Appointment", subject=str(given.get("subject") or ""), search_key=secrets.token_bytes(16))
    item.extended[ATTENDEES] = attendees
    if attendees and not given.get("isDraft"):
        call.box.mailbox.sent.append({"kind": "invitation", "to": attendees})
    box = call.box.folder("calendar")
    assert box is not None
    return Answer(201, _show(call, take_in(call, item, box)))


def change_event(call: Call) -> Answer:
    """PATCH of an event; its attendees are told, and who is new among them is invited."""
    item, given, mailbox = find(call), call.json(), call.box.mailbox
    now_there, before = _attendees(given), people_of(item)
    if before:
        mailbox.sent.append({"kind": "update", "to": before})
    if new := [one for one in now_there if one not in before]:
        mailbox.sent.append({"kind": "invitation", "to": new})
    if "attendees" in given:
        item.extended[ATTENDEES] = now_there
    item.subject = str(given.get("subject") or item.subject)
    mailbox.touch(item)
    call.box.catch_up()
    return Answer(200, _show(call, item))


def remove_event(call: Call) -> Answer:
    """DELETE of an event; its attendees get a cancellation."""
    item, mailbox = find(call), call.box.mailbox
    if people := people_of(item):
        mailbox.sent.append({"kind": "cancellation", "to": people})
    mailbox.remove(item.id)
    call.box.catch_up()
    return Answer(204)


def send(call: Call) -> Answer:
    """Any of the actions that send mail."""
    call.box.mailbox.sent.append({"kind": "mail"})
    return Answer(202)


def list_categories(call: Call) -> Answer:
    """GET of the mailbox's master categories."""
    return page(call, list(call.box.categories.values()), lambda one: chosen(call, one), "masterCategories")


def make_category(call: Call) -> Answer:
    """POST of a master category, whose name is its own for good."""
    given, known = call.json(), call.box.categories
    name, colour = given.get("displayName"), given.get("color") or "none"
    if not isinstance(name, str) or not name or colour not in _COLOURS:
        raise GraphError(400, "ErrorInvalidRequest", "A category needs a name, and a colour that is known.")
    if name.casefold() in known:
        raise GraphError(409, "ErrorPropertyUpdate", "A category with the specified name already exists.")
    known[name.casefold()] = {"id": secrets.token_hex(16), "displayName": name, "color": colour}
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#outlookCategory", **known[name.casefold()]})
