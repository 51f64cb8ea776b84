"""To Do lists and tasks, as Graph has them [learn.microsoft.com/graph/api/resources/todo-overview].

They are the mailbox's folders and items of tasks, shown under ids of their own. Strict as documented, and bad where the documents
are silent: no extended properties, no times of day in dates, ``$expand`` of linked resources ignored, and what a repeating task
needs is asked for.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from .exchange_tasks import RECURRENCE
from .tenant_call import Answer, Call, GraphError, check, chosen, gone, page
from .tenant_contacts import keep, value
from .tenant_index import Index, when, wire_of
from .tenant_mail import take_in
from .truth import Box, Item, Part, now

_TASK, _COMMON = "{00062003-0000-0000-c000-000000000046}", "{00062008-0000-0000-c000-000000000046}"
_STATUS_KEY, _DONE_KEY, _PERCENT_KEY = f"Integer {_TASK} Id 0x8101", f"Boolean {_TASK} Id 0x811C", f"Double {_TASK} Id 0x8102"
_DAYS = {
    "startDateTime": f"SystemTime {_TASK} Id 0x8104",
    "dueDateTime": f"SystemTime {_TASK} Id 0x8105",
    "completedDateTime": f"SystemTime {_TASK} Id 0x810F",
}
_REMINDS, _REMINDER = f"Boolean {_COMMON} Id 0x8503", f"SystemTime {_COMMON} Id 0x8502"
RECURRING = f"Boolean {_TASK} Id 0x8126"
LINKED = "linked resources"
_STATUSES = ("notStarted", "inProgress", "completed", "waitingOnOthers", "deferred")
_IMPORTANCES = ("low", "normal", "high")
_KINDS = ("daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly")
_MOST = 3 * 1024 * 1024
_TIME = {"dateTime": str, "timeZone": str}
_LINK = {"webUrl": str, "applicationName": str, "displayName": str, "externalId": str}
_PATTERN = {
    "type": str, "interval": int, "month": int, "dayOfMonth": int, "daysOfWeek": [str], "firstDayOfWeek": str, "index": str,
}  # fmt: skip
_RANGE = {"type": str, "startDate": str, "endDate": str, "recurrenceTimeZone": str, "numberOfOccurrences": int}
_WRITABLE: dict[str, Any] = {
    "title": str,
    "body": {"contentType": str, "content": str},
    **dict.fromkeys(("importance", "status"), str),
    **dict.fromkeys((*_DAYS, "reminderDateTime"), _TIME),
    "isReminderOn": bool,
    "categories": [str],
    "recurrence": {"pattern": _PATTERN, "range": _RANGE},
    "linkedResources": [_LINK],
}


def is_task(item: Item) -> bool:
    """Whether an item is shown as a task."""
    return item.item_class.lower().startswith("ipm.task")


def _lists(index: Index) -> list[Box]:
    return [box for box in index.mailbox.boxes.values() if box.kind.lower().startswith("ipf.task")]


def _list_wire(box: Box) -> str:
    return wire_of("todo list", box.id, length=60)


def _task_wire(item: Item) -> str:
    return wire_of("todo task", item.id, item.folder_id, length=90)


def _list(call: Call) -> Box:
    found = next((box for box in _lists(call.box) if _list_wire(box) == call.names["list"]), None)
    if found is None:
        raise gone("list")
    return found


def _find(call: Call) -> Item:
    found = next(
        (one for one in call.box.mailbox.items_in(_list(call).id) if is_task(one) and _task_wire(one) == call.names["task"]),
        None,
    )
    if found is None:
        raise gone()
    return found


def _show_list(call: Call, box: Box) -> dict[str, Any]:
    return chosen(
        call,
        {
            "id": _list_wire(box),
            "displayName": box.name,
            "isOwner": True,
            "isShared": False,
            "wellknownListName": "defaultList" if box.role == "tasks" else "none",
        },
    )


def list_lists(call: Call) -> Answer:
    """GET of the lists, one of flagged mail among them, which holds no tasks of its own."""
    flagged = {
        "id": wire_of("flagged", call.box.mailbox.guid, length=60),
        "displayName": "Flagged Emails",
        "isOwner": True,
        "isShared": False,
        "wellknownListName": "flaggedEmails",
    }
    shown = [*(_show_list(call, box) for box in _lists(call.box)), flagged]
    return page(call, shown, lambda one: one, "users('x')/todo/lists")


def make_list(call: Call) -> Answer:
    """POST of a list; names may be there twice."""
    name = str(check(call.json(), {"displayName": str}, "todoTaskList").get("displayName") or "")
    if not name.strip():
        raise GraphError(400, "invalidRequest", "A list needs a name.")
    box = Box(secrets.token_hex(12), call.box.mailbox.root_id, name, "IPF.Task")
    call.box.mailbox.add_box(box)
    call.box.catch_up()
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#todoTaskList", **_show_list(call, box)})


def _day(moment: object) -> dict[str, str] | None:
    if not isinstance(moment, datetime):
        return None
    return {"dateTime": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}


def show(call: Call, item: Item) -> dict[str, Any]:
    """A task as Graph shows it."""
    status = value(item, _STATUS_KEY)
    html = item.body_html is not None
    shown: dict[str, Any] = {
        "@odata.etag": f'W/"{call.box.change_key(item.change)}"',
        "id": _task_wire(item),
        "title": item.subject,
        "body": {"contentType": "html" if html else "text", "content": (item.body_html if html else item.body_text) or ""},
        "importance": _IMPORTANCES[item.importance],
        "status": _STATUSES[status if isinstance(status, int) and 0 <= status < len(_STATUSES) else 0],
        "isReminderOn": bool(value(item, _REMINDS)),
        "createdDateTime": _precise(item.created),
        "lastModifiedDateTime": _precise(item.modified or item.created),
        "hasAttachments": bool(item.parts),
        "categories": list(item.categories),
    }
    for name, key in (*_DAYS.items(), ("reminderDateTime", _REMINDER)):
        if (day := _day(value(item, key))) is not None:
            shown[name] = day
    if isinstance(repeats := item.extended.get(RECURRENCE), str):
        shown["recurrence"] = orjson.loads(repeats)
    return chosen(call, shown)


def _precise(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _apply(item: Item, given: dict[str, Any]) -> None:
    if "title" in given:
        item.subject = str(given["title"] or "")[:255]
    if (body := given.get("body")) is not None:
        content, is_html = str(body.get("content") or ""), str(body.get("contentType", "text")).lower() == "html"
        item.body_html, item.body_text = (content, None) if is_html else (None, content)
    if given.get("importance"):
        item.importance = _one_of(_IMPORTANCES, given["importance"])
    if given.get("status"):
        status = _one_of(_STATUSES, given["status"])
        keep(item, _STATUS_KEY, status)
        keep(item, _DONE_KEY, _STATUSES[status] == "completed")
        keep(item, _PERCENT_KEY, 1.0 if _STATUSES[status] == "completed" else 0.0)
    for name, key in _DAYS.items():
        if given.get(name):
            # To Do keeps days, not times of day.
            keep(item, key, _moment(given[name]).replace(hour=0, minute=0, second=0, microsecond=0))
    if "isReminderOn" in given:
        keep(item, _REMINDS, bool(given["isReminderOn"]))
    if given.get("reminderDateTime"):
        keep(item, _REMINDER, _moment(given["reminderDateTime"]))
    if given.get("categories") is not None:
        item.categories = [str(one) for one in given["categories"]]
    if given.get("recurrence"):
        _repeat(item, given["recurrence"])


def _one_of(words: tuple[str, ...], given: Any) -> int:
    if given not in words:
        raise GraphError(400, "invalidRequest", "A value is none of its property's type.")
    return words.index(given)


def _moment(given: dict[str, str]) -> datetime:
    try:
        found = when(str(given["dateTime"]))
    except (KeyError, ValueError):
        raise GraphError(400, "invalidRequest", "A date can't be read.") from None
    if given.get("timeZone", "UTC") != "UTC":
        raise GraphError(400, "invalidRequest", "This server knows UTC only.")
    return found


def _repeat(item: Item, given: dict[str, Any]) -> None:
    pattern, span = given.get("pattern") or {}, given.get("range") or {}
    kind = pattern.get("type")
    needs = {"weekly": ("daysOfWeek",), "absoluteMonthly": ("dayOfMonth",), "absoluteYearly": ("dayOfMonth", "month")}
    needs |= {"relativeMonthly": ("daysOfWeek", "index"), "relativeYearly": ("daysOfWeek", "index", "month")}
    wanted = {"endDate": "endDate", "numbered": "numberOfOccurrences"}.get(str(span.get("type")))
    if (
        kind not in _KINDS
        or not pattern.get("interval")
        or any(not pattern.get(name) for name in needs.get(str(kind), ()))
        or span.get("type") not in ("endDate", "noEnd", "numbered")
        or not span.get("startDate")
        or (wanted and not span.get(wanted))
        or value(item, _DAYS["dueDateTime"]) is None
    ):
        raise GraphError(400, "invalidRequest", "The recurrence is not whole, or the task has no due date.")
    item.extended[RECURRENCE] = orjson.dumps({"pattern": pattern, "range": span}).decode()
    keep(item, RECURRING, True)


def create_task(call: Call) -> Answer:
    """POST of a task into a list, its linked resources with it."""
    box, given = _list(call), check(call.json(), _WRITABLE, "todoTask")
    if not str(given.get("title") or "").strip():
        raise GraphError(400, "invalidRequest", "A task needs a title.")
    item = Item(item_class="IPM.Task", is_read=True, search_key=secrets.token_bytes(16))
    keep(item, _STATUS_KEY, 0)
    _apply(item, given)
    _link(item, [{**one, "id": secrets.token_hex(8)} for one in given.get("linkedResources") or ()])
    take_in(call, item, box)
    if value(item, _DONE_KEY) and item.extended.get(RECURRENCE):
        # Whoever finishes a task that repeats gets the next one.
        again = Item(item_class="IPM.Task", subject=item.subject, is_read=True, search_key=secrets.token_bytes(16))
        keep(again, _DAYS["dueDateTime"], value(item, _DAYS["dueDateTime"]) + timedelta(days=1))
        take_in(call, again, box)
    return Answer(
        201, {"@odata.context": f"{call.base}/v1.0/$metadata#todoTask", **show(call, item), "linkedResources": links(item)}
    )


def links(item: Item) -> list[dict[str, Any]]:
    """The linked resources of a task."""
    held = item.extended.get(LINKED)
    return list(orjson.loads(held)) if isinstance(held, str) else []


def _link(item: Item, held: list[dict[str, Any]]) -> None:
    # As text, because an item's properties have to fit into an export stream.
    item.extended[LINKED] = orjson.dumps(held).decode()


def list_tasks(call: Call) -> Answer:
    """GET of the tasks of one list."""
    items = [one for one in call.box.mailbox.items_in(_list(call).id) if is_task(one) and call.visible(one)]
    return page(call, items, lambda item: show(call, item), "tasks")


def get_task(call: Call) -> Answer:
    """GET of one task."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#todoTask", **show(call, _find(call))})


def _touched(call: Call, item: Item) -> None:
    item.modified = now()
    call.box.mailbox.touch(item)
    call.box.catch_up()


def change_task(call: Call) -> Answer:
    """PATCH of a task."""
    item, given = _find(call), check(call.json(), _WRITABLE, "todoTask")
    _apply(item, given)
    _touched(call, item)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#todoTask", **show(call, item)})


def remove_task(call: Call) -> Answer:
    """DELETE of a task."""
    call.box.mailbox.remove(_find(call).id)
    call.box.catch_up()
    return Answer(204)


def list_links(call: Call) -> Answer:
    """GET of the linked resources of a task."""
    return page(call, links(_find(call)), lambda one: one, "linkedResources")


def change_link(call: Call) -> Answer:
    """PATCH of a linked resource."""
    item, given = _find(call), check(call.json(), _LINK, "linkedResource")
    held = links(item)
    found = next((one for one in held if one["id"] == call.names["link"]), None)
    if found is None:
        raise gone("linkedResource")
    found.update(given)
    _link(item, held)
    _touched(call, item)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#linkedResource", **found})


def attach(call: Call) -> Answer:
    """POST of an attachment of less than 3 MB."""
    item, given = _find(call), call.json()
    known = {"@odata.type": str, "name": str, "contentType": str, "contentBytes": str}
    check(given, known, "taskFileAttachment")
    if given.get("@odata.type") != "#microsoft.graph.taskFileAttachment" or not given.get("name"):
        raise GraphError(400, "invalidRequest", "An attachment needs a name and a type that is known here.")
    try:
        content = base64.b64decode(str(given.get("contentBytes") or ""), validate=True)
    except ValueError:
        raise GraphError(400, "RequestBodyRead", "Cannot convert the literal to the expected type 'Edm.Binary'.") from None
    if len(content) >= _MOST:
        raise GraphError(413, "ErrorAttachmentSizeLimitExceeded", "Attachments of 3 MB and more need an upload session.")
    part = Part(str(given["name"]), str(given.get("contentType") or "application/octet-stream"), content, id=secrets.token_hex(8))
    item.parts.append(part)
    _touched(call, item)
    return Answer(201, _show_part(part))


def _show_part(part: Part) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.taskFileAttachment",
        "id": part.id,
        "name": part.name,
        "contentType": part.content_type,
        "size": len(part.content),
    }


def attachments(call: Call) -> Answer:
    """GET of the attachments of a task, without their content."""
    return page(call, _find(call).parts, lambda part: _show_part(part), "attachments")


def attachment(call: Call) -> Answer:
    """GET of one attachment with its content."""
    part = next((one for one in _find(call).parts if one.id == call.names["attachment"]), None)
    if part is None:
        raise gone("attachment")
    shown = {**_show_part(part), "contentBytes": base64.b64encode(part.content).decode()}
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#attachment", **shown})
