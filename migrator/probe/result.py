"""The result of a probe as a file that can be shared: builds, classes, lanes and answers, and nothing that names anybody.

The format is that of docs/probe.md: JSON, ``format`` and ``version`` first. No address, name, tenant, host, id or text of an item
is in it; of a time only the month; of a class that somebody made only the known class above it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from migrator.config import BadInput
from migrator.probe.answers import LANE_IMPORT
from migrator.probe.probing import Reply

_KNOWN = (
    "IPM.Note", "IPM.Note.SMIME", "IPM.Note.SMIME.MultipartSigned", "IPM.Note.Rules.OofTemplate.Microsoft",
    "IPM.Note.Microsoft.Voicemail", "IPM.Note.Microsoft.Missed.Voice", "IPM.Note.Microsoft.Conversation",
    "IPM.Note.Microsoft.Fax", "IPM.Note.RpMsg.Microsoft", "IPM.Note.InfoPathForm", "IPM.Post", "IPM.Post.RSS", "IPM.Document",
    "IPM.Appointment (series)", "IPM.Task (series)",
    "IPM.Appointment", "IPM.Appointment.Live Meeting Request", "IPM.Schedule.Meeting", "IPM.Schedule.Meeting.Request",
    "IPM.Schedule.Meeting.Canceled", "IPM.Schedule.Meeting.Resp.Pos", "IPM.Schedule.Meeting.Resp.Neg",
    "IPM.Schedule.Meeting.Resp.Tent", "IPM.Schedule.Meeting.Notification.Forward", "IPM.Contact", "IPM.DistList", "IPM.Task",
    "IPM.TaskRequest", "IPM.TaskRequest.Accept", "IPM.TaskRequest.Decline", "IPM.TaskRequest.Update", "IPM.StickyNote",
    "IPM.Activity", "IPM.Sharing", "IPM.Recall.Report", "IPM.Outlook.Recall", "REPORT", "REPORT.IPM.Note.NDR",
    "REPORT.IPM.Note.DR", "REPORT.IPM.Note.IPNRN", "REPORT.IPM.Note.IPNNRN",
)  # fmt: skip
_BY_NAME = {name.casefold(): name for name in _KNOWN}


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"item_class": "class"}):
    """One answer. ``item_class`` is a known class, or one with ``.*`` for those below it that somebody made."""

    question: str
    item_class: str = ""
    lane: str = ""
    answer: str
    names: tuple[str, ...] = ()
    code: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. ``month`` is ``2026-11``; ``source_build`` is empty if the server told none."""

    format: Literal["migrator-probe-result"]
    version: Literal[1]
    month: str
    source_build: str
    answers: tuple[Line, ...]


def class_shown(item_class: str) -> str:
    """The class as it may be shown to anybody: known ones by name, others as the known one above them."""
    name = item_class.casefold()
    if name in _BY_NAME:
        return _BY_NAME[name]
    while name := name.rpartition(".")[0]:
        if name in _BY_NAME:
            return f"{_BY_NAME[name]}.*"
    return "other"


def result_of(replies: Sequence[Reply], build: str, now: datetime | None = None) -> Result:
    """What of these replies may be shared; equal lines once, in the order of the replies."""
    lines = dict.fromkeys(
        Line(
            question=reply.question,
            item_class=class_shown(reply.subject) if reply.question == LANE_IMPORT else "",
            lane="import" if reply.question == LANE_IMPORT else "",
            answer=reply.answer,
            names=reply.names,
            code=reply.code,
        )
        for reply in replies
    )
    month = (now or datetime.now(UTC)).strftime("%Y-%m")
    return Result(format="migrator-probe-result", version=1, month=month, source_build=build, answers=tuple(lines))


def write_result(file: Path, result: Result) -> None:
    """Write a new file. Raises BadInput if it is there or can't be written."""
    try:
        with file.open("x", encoding="utf-8") as out:
            json.dump(msgspec.to_builtins(result), out, indent=2, ensure_ascii=False)
            out.write("\n")
    except FileExistsError:
        raise BadInput(f"{file} is there already; name another one.") from None
    except OSError as error:
        raise BadInput(f"{file} can't be written ({error.strerror}); name another one.") from None


def read_result(file: Path) -> Result:
    """Read a file that a probe wrote, of whomever. Raises BadInput."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); correct the path.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is no result of a probe ({error}); give a file that `migrator probe --result` wrote.") from None


def lines_of(result: Result) -> list[str]:
    """The result for people."""
    head = f"Source build {result.source_build or 'not told'}, {result.month}."
    return [head, *(_line(one) for one in result.answers)]


def _line(one: Line) -> str:
    about = f"{one.question} {one.item_class}".rstrip()
    more = ", ".join((*one.names, *((one.code,) if one.code else ())))
    return f"{one.answer:<10}  {about}{f': {more}' if more else ''}"


def as_json(result: Result) -> dict[str, Any]:
    """The result as the file has it."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    return found
