"""Events, calendars, master categories and what sends mail; whoever would be told of anything is written down.

A repeated creation with the same transactionId makes nothing: what is answered then is documented nowhere, so it is an error.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .appointments import (
    KEY,
    START,
    Change,
    Occasion,
    diary_of,
    find_occurrence,
    is_appointment,
    keep,
    occasions,
    occurrence,
    told_part,
)
from .tenant_calendar import ATTENDEES, apply, apply_times, change_occurrence, look_over, people_of, read_rule, show
from .tenant_call import Answer, Call, GraphError, check, chosen, gone, page
from .tenant_filter import ordered, read_filter
from .tenant_index import set_property
from .tenant_mail import take_in, with_properties
from .tenant_parts import open_session, read_part, show_part, wire_of
from .truth import Box, Item, Part, now

__all__ = ["people_of"]

_COLOURS = ("none", *(f"preset{number}" for number in range(25)))
_MARK = "%Y%m%dT%H%M%S"


@dataclass(slots=True)
class Place:
    """What a path names: an event, or one occurrence of a series, which begins by the rule at ``original``."""

    item: Item
    original: datetime | None = None

    def view(self) -> Item:
        """It as an item."""
        if self.original is None:
            return self.item
        found = find_occurrence({self.item.id: self.item}, f"{self.item.id}#{self.original.strftime(_MARK)}")
        if found is None:
            raise gone()
        return found

    def set_parts(self, parts: list[Part]) -> None:
        """Give it these attachments."""
        if self.original is None:
            self.item.parts = parts
            return
        diary = diary_of(self.item)
        change = next((one for one in diary.changes if one.original == self.original), None)
        if change is None:
            change = Change(self.original)
            diary.changes.append(change)
        change.fields["parts"] = [told_part(part) for part in parts]
        keep(self.item, diary)


def place_of(call: Call) -> Place:
    """What the path names. Raises GraphError."""
    wire, dot, mark = call.names["event"].partition(".")
    item = call.box.item(wire)
    if item is None or not is_appointment(item):
        raise gone()
    if not dot:
        return Place(item)
    place = Place(item, datetime.strptime(mark, _MARK).replace(tzinfo=UTC))
    place.view()
    return place


def find(call: Call) -> Item:
    """The event that the path names, for whoever wants its series. Raises GraphError."""
    return place_of(call).item


def people_told(call: Call, kind: str, item: Item) -> None:
    """Write down whoever is told that something happened to an event."""
    if people := people_of(item):
        call.box.mailbox.sent.append({"kind": kind, "to": people})


def _attendees(given: dict[str, Any]) -> list[str]:
    try:
        return [str(one["emailAddress"]["address"]) for one in given.get("attendees") or ()]
    except (KeyError, TypeError):
        raise GraphError(400, "RequestBodyRead", "The attendees can't be read.") from None


def show_event(call: Call, item: Item) -> dict[str, Any]:
    shown = show(call.box, item, call.box.wire(item, call.immutable))
    asked = call.query.get("$expand", "")
    if "attachments" in asked:
        shown["attachments"] = [show_part(call, part, content_too=True) for part in item.parts]
    if "exceptionOccurrences" in asked:
        changes = [Occasion(one.original, one.original, one.original, True) for one in diary_of(item).changes]
        shown["exceptionOccurrences"] = [show_occasion(call, item, one) for one in changes]
    if "cancelledOccurrences" in call.query.get("$select", ""):
        diary = diary_of(item)
        days = (one.astimezone(diary.clock).date().isoformat() for one in diary.deleted)
        shown["cancelledOccurrences"] = [f"OID.{shown['id']}.{day}" for day in days]
    return with_properties(call, item, chosen(call, shown, ("id", "exceptionOccurrences", "cancelledOccurrences")))


def show_occasion(call: Call, item: Item, one: Occasion) -> dict[str, Any]:
    diary = diary_of(item)
    change = next((each for each in diary.changes if each.original == one.original), Change(one.original))
    view = occurrence(item, change)
    master = call.box.wire(item, call.immutable)
    shown = show(call.box, view, f"{master}.{one.original.strftime(_MARK)}", master=master, occasion=one)
    if "attachments" in call.query.get("$expand", ""):
        shown["attachments"] = [show_part(call, part, content_too=True) for part in view.parts]
    return shown


# -- calendars


def calendar_of(call: Call) -> Box:
    box = call.box.folder(call.names.get("calendar") or "calendar")
    if box is None or not box.kind.lower().startswith("ipf.appointment"):
        raise gone("folder")
    return box


def _show_calendar(call: Call, box: Box) -> dict[str, Any]:
    shown = {
        "id": call.box.folder_wire(box.id), "name": box.name, "changeKey": call.box.change_key(box.change), "canEdit": True,
        "isDefaultCalendar": box.role == "calendar", "isRemovable": box.role is None,
    }  # fmt: skip
    return chosen(call, shown)


def list_calendars(call: Call) -> Answer:
    """GET of the mailbox's calendars; they don't nest."""
    boxes = [box for box in call.box.mailbox.walk() if box.kind.lower().startswith("ipf.appointment")]
    return page(call, boxes, lambda box: _show_calendar(call, box), "calendars")


def get_calendar(call: Call) -> Answer:
    """GET of one calendar, or of the default one."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#calendar", **_show_calendar(call, calendar_of(call))})


def make_calendar(call: Call) -> Answer:
    """POST of a calendar, whose name is free."""
    given, mailbox = check(call.json(), {"name": str, "color": str}, "calendar"), call.box.mailbox
    name = str(given.get("name") or "")
    if not name or any(box.name.casefold() == name.casefold() for box in mailbox.children(mailbox.root_id)):
        raise GraphError(409, "ErrorFolderExists", "A folder with the specified name already exists.")
    box = mailbox.add_box(Box(secrets.token_hex(12), mailbox.root_id, name, "IPF.Appointment"))
    call.box.catch_up()
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#calendar", **_show_calendar(call, box)})


# -- events


def list_events(call: Call) -> Answer:
    """GET of the events of a calendar, by default of the default one: single ones and masters of series."""
    index, box = call.box, calendar_of(call)
    text = call.query.get("$filter")
    filter_ = read_filter(text, index) if text else None
    events = [item for item in index.mailbox.items_in(box.id) if is_appointment(item) and call.visible(item)]
    events = [item for item in events if filter_ is None or filter_.test(item)]
    return page(call, ordered(call, events), lambda item: show_event(call, item), "events")


def get_event(call: Call) -> Answer:
    """GET of one event, or of one occurrence."""
    place = place_of(call)
    if place.original is None:
        shown = show_event(call, place.item)
    else:
        changed = any(one.original == place.original for one in diary_of(place.item).changes)
        one = Occasion(place.original, place.original, place.original, changed)
        shown = chosen(call, show_occasion(call, place.item, one))
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#event", **shown})


def list_instances(call: Call) -> Answer:
    """GET …/instances between two moments, which have to be named."""
    place = place_of(call)
    low, high = window(call)
    if diary_of(place.item).rule is None:
        raise GraphError(400, "ErrorInvalidRequest", "Your request can't be completed. The event is no series.")
    found = [one for one in occasions(place.item, low, high) if one.end > low and one.start < high]
    return page(call, found, lambda one: chosen(call, show_occasion(call, place.item, one)), "instances")


def window(call: Call) -> tuple[datetime, datetime]:
    """The two moments that a request names. Raises GraphError."""
    try:
        return _moment(call.query["startDateTime"]), _moment(call.query["endDateTime"])
    except (KeyError, ValueError):
        text = "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime."
        raise GraphError(400, "ErrorInvalidParameter", text) from None


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def make_event(call: Call) -> Answer:
    """POST of an event; attendees are invited at once, which can't be switched off, unless it is a draft."""
    given, box = look_over(call.json()), calendar_of(call)
    attendees = _attendees(given)
    transaction = str(given.get("transactionId") or "")
    if transaction and _made_before(call, transaction):
        raise GraphError(409, "ErrorDuplicateTransactionId", "An event with the same transactionId exists already.")
    item = Item(item_class="IPM.Appointment", search_key=secrets.token_bytes(16), is_read=True)
    item.extended[ATTENDEES] = attendees
    item.is_draft = bool(given.get("isDraft"))
    diary = diary_of(item)
    diary.transaction = transaction
    if ("start" in given) != ("end" in given):
        raise GraphError(400, "ErrorPropertyValidationFailure", "An event has a start and an end.")
    if "start" not in given:
        item.extended[START] = now()
    apply_times(item, given, diary)
    apply(item, given)
    if given.get("recurrence") is not None:
        diary.rule = read_rule(given["recurrence"], item, diary)
        if next(diary.rule.dates(), None) is None:
            raise GraphError(400, "ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence.")
    keep(item, diary)
    _set_properties(item, given)
    if attendees and not given.get("isDraft"):
        call.box.mailbox.sent.append({"kind": "invitation", "to": attendees})
    if given.get("isOnlineMeeting"):
        call.box.mailbox.sent.append({"kind": "online meeting", "to": []})
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#event", **show_event(call, take_in(call, item, box))})


def _made_before(call: Call, transaction: str) -> bool:
    return any(
        transaction in str(one.extended.get(KEY)) and diary_of(one).transaction == transaction
        for one in call.box.mailbox.items.values()
        if KEY in one.extended and is_appointment(one)
    )


def _set_properties(item: Item, given: dict[str, Any]) -> None:
    for one in given.get("singleValueExtendedProperties") or ():
        if not set_property(item, str(one.get("id", "")), str(one.get("value", ""))):
            raise GraphError(400, "ErrorInvalidRequest", "The value of an extended property is none of its type.")


def change_event(call: Call) -> Answer:
    """PATCH of an event or of one occurrence; its attendees are told, and who is new among them is invited."""
    place, given, mailbox = place_of(call), look_over(call.json()), call.box.mailbox
    item = place.item
    if "transactionId" in given:
        raise GraphError(400, "ErrorInvalidPropertySet", "The transactionId can't be changed.")
    now_there, before = _attendees(given), people_of(item)
    if place.original is not None:
        change_occurrence(item, place.original, given)
    else:
        diary = diary_of(item)
        apply_times(item, given, diary)
        apply(item, given)
        if given.get("recurrence") is not None:
            diary.rule, diary.changes, diary.deleted = read_rule(given["recurrence"], item, diary), [], []
        keep(item, diary)
        _set_properties(item, given)
    if before and not (item.is_draft and given.get("isDraft") is not False):
        mailbox.sent.append({"kind": "update", "to": before})
    if new := [one for one in now_there if one not in before]:
        mailbox.sent.append({"kind": "invitation", "to": new})
    if "attendees" in given:
        item.extended[ATTENDEES] = now_there
    _touched(call, item)
    return get_event(call)


def _touched(call: Call, item: Item) -> None:
    item.modified = now()
    call.box.mailbox.touch(item)
    call.box.catch_up()


def remove_event(call: Call) -> Answer:
    """DELETE of an event or of one occurrence; its attendees get a cancellation."""
    place, mailbox = place_of(call), call.box.mailbox
    people_told(call, "cancellation", place.item)
    if place.original is None:
        mailbox.remove(place.item.id)
        call.box.catch_up()
        return Answer(204)
    diary = diary_of(place.item)
    diary.changes = [one for one in diary.changes if one.original != place.original]
    diary.deleted.append(place.original)
    keep(place.item, diary)
    _touched(call, place.item)
    return Answer(204)


# -- attachments


def attachments(call: Call) -> Answer:
    """The attachments of an event or of one occurrence."""
    parts = place_of(call).view().parts
    return page(call, parts, lambda part: chosen(call, show_part(call, part, content_too=True)), "attachments")


def _named(call: Call) -> tuple[Place, list[Part], Part]:
    place = place_of(call)
    parts = list(place.view().parts)
    for part in parts:
        if wire_of(part) == call.names["attachment"]:
            return place, parts, part
    raise gone("attachment")


def attachment(call: Call) -> Answer:
    """GET of one attachment."""
    shown = chosen(call, show_part(call, _named(call)[2], content_too=True))
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#attachment", **shown})


def detach(call: Call) -> Answer:
    """DELETE of one attachment; attendees get an update."""
    place, parts, part = _named(call)
    people_told(call, "update", place.item)
    place.set_parts([one for one in parts if one is not part])
    _touched(call, place.item)
    return Answer(204)


def attach(call: Call) -> Answer:
    """POST of an attachment of less than 3 MB; attendees get an update."""
    place, part = place_of(call), read_part(call.json(), direct=True)
    _take(call, place)(part)
    return Answer(201, show_part(call, part, content_too=False))


def open_upload(call: Call) -> Answer:
    """POST …/createUploadSession; attendees get an update once the attachment is there."""
    place = place_of(call)
    return open_session(call, place.item, f"Events('{call.names['event']}')", _take(call, place))


def _take(call: Call, place: Place) -> Callable[[Part], None]:
    def take(part: Part) -> None:
        wire_of(part)
        people_told(call, "update", place.item)
        place.set_parts([*place.view().parts, part])
        _touched(call, place.item)

    return take


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
