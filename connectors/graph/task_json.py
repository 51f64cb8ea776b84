"""A task of ours as the JSON that To Do takes; pure [learn.microsoft.com/graph/api/resources/todotask].

To Do knows no extended properties. The stamp travels as a linked resource in the creating request, the one place that takes an
identifier of somebody else's; a task whose attachments follow carries it with PARTIAL behind until the last one is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson

from connectors.base import Attachment, Refusal
from connectors.contact import Task
from connectors.event import Recurrence
from connectors.graph import extended as x
from connectors.graph.convert import DIRECT_LIMIT, REQUEST_LIMIT, attachment_name, raw_size, safe_text, spliced

APPLICATION = "Mailbox migration"
"""The name that a task's link to where it came from bears; look-ups know our stamps by it."""

TITLE_LIMIT = 255
BODY_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class ComposedTask:
    """A creating request, the attachments that follow it, and the names of what the lane could not carry whole."""

    body: bytes
    later: tuple[Attachment, ...]
    degraded: tuple[str, ...]


def compose_task(task: Task, stamp: str, now: datetime) -> ComposedTask | Refusal:
    """The creating request for a task, or why it can't go at all. ``now`` tells which reminders are over."""
    lost: list[str] = []
    title, odd = safe_text(task.subject)
    content, odd_body = safe_text(task.body)
    if odd or odd_body or task.unlawful:
        lost.append("characters")
    if len(title) > TITLE_LIMIT:
        title = title[:TITLE_LIMIT]
        lost.append("subject")
    if len(content) > BODY_LIMIT:
        content = content[:BODY_LIMIT]
        lost.append("task-body")
    if not title.strip():
        # A task without a title is refused; a mark that is no word of any language stands in.
        title = "-"
        lost.append("task-title")
    fields: dict[str, Any] = {
        "title": title,
        "body": {"contentType": task.body_kind, "content": content},
        "importance": task.importance,
        "status": task.status,
    }
    for name, day in (("startDateTime", task.start), ("dueDateTime", task.due), ("completedDateTime", task.completed)):
        if day is not None and (name != "completedDateTime" or task.status == "completed"):
            fields[name] = _day(day)
    if task.categories:
        fields["categories"] = [safe_text(one)[0] for one in task.categories]
    _remind(task, fields, now, lost)
    _repeat(task, fields, lost)
    _name_the_rest(task, lost)
    later = tuple(one for one in task.attachments if raw_size(one) < DIRECT_LIMIT)
    if len(later) < len(task.attachments):
        lost.append("task-attachments")
    fields["linkedResources"] = [link(stamp + x.PARTIAL if later else stamp)]
    body = orjson.dumps(fields)
    if len(body) > REQUEST_LIMIT:
        return Refusal("too-large", "its text is larger than the target takes in one request")
    return ComposedTask(body, later, tuple(dict.fromkeys(lost)))


def link(stamp: str) -> dict[str, str]:
    """The linked resource that carries a stamp."""
    return {"applicationName": APPLICATION, "displayName": APPLICATION, "externalId": stamp}


def task_attachment(attachment: Attachment) -> dict[str, Any]:
    """An attachment as To Do takes it; the content is spliced in."""
    return {
        "@odata.type": "#microsoft.graph.taskFileAttachment",
        "name": attachment_name(attachment),
        "contentType": safe_text(attachment.content_type)[0] or "application/octet-stream",
        "contentBytes": spliced(attachment.content),
    }


def _day(day: date) -> dict[str, str]:
    return {"dateTime": f"{day.isoformat()}T00:00:00.0000000", "timeZone": "UTC"}


def _remind(task: Task, fields: dict[str, Any], now: datetime, lost: list[str]) -> None:
    """A reminder that is still to come; one that is over would go off at once."""
    if task.reminder is None:
        return
    if task.reminder > now and task.status != "completed":
        fields["isReminderOn"] = True
        fields["reminderDateTime"] = {"dateTime": x.written(task.reminder).removesuffix("Z"), "timeZone": "UTC"}
    else:
        lost.append("reminder-over")


def _repeat(task: Task, fields: dict[str, Any], lost: list[str]) -> None:
    """A pattern of a task that is still to be done; of one that is done it would make the next one."""
    if not task.repeats:
        return
    if task.repeat is None or task.status == "completed" or task.due is None:
        lost.append("task-recurrence")
        return
    fields["recurrence"] = {"pattern": _pattern(task.repeat), "range": _range(task.repeat)}


def _pattern(repeat: Recurrence) -> dict[str, Any]:
    """Only what the kind needs, because what it doesn't is looked at all the same."""
    found: dict[str, Any] = {"type": repeat.kind, "interval": repeat.interval}
    if repeat.kind == "weekly":
        found |= {"daysOfWeek": list(repeat.days), "firstDayOfWeek": repeat.first_day}
    elif repeat.kind.startswith("relative"):
        found |= {"daysOfWeek": list(repeat.days), "index": repeat.index}
    elif repeat.kind.startswith("absolute"):
        found["dayOfMonth"] = repeat.day
    if repeat.kind.endswith("Yearly"):
        found["month"] = repeat.month
    return found


def _range(repeat: Recurrence) -> dict[str, Any]:
    found: dict[str, Any] = {"startDate": repeat.start.isoformat()}
    if repeat.end is not None:
        return {"type": "endDate", "endDate": repeat.end.isoformat(), **found}
    if repeat.count:
        return {"type": "numbered", "numberOfOccurrences": repeat.count, **found}
    return {"type": "noEnd", **found}


def _name_the_rest(task: Task, lost: list[str]) -> None:
    """What To Do has no place for."""
    if task.percent not in (0.0, 100.0) or (task.percent == 100.0) != (task.status == "completed"):
        lost.append("task-percent")
    if task.sensitivity != "normal":
        lost.append("task-sensitivity")
    lost += [f"task-{kept.name}" for kept in task.kept]
    lost += [name for name, values in (("task-companies", task.companies), ("task-people", task.people)) if values]
    if any(one.inline or one.content_id for one in task.attachments):
        lost.append("task-inline")
