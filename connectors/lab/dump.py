"""What a mailbox of the lab holds now, as files: one .eml an item, and a table of everything a message's text does not show.

Across the wire it is one JSON object a line: ``{"row": …, "eml": base64}``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from .exchange_call import Refused
from .exchange_mime import render
from .truth import Item, Mailbox


def dump_lines(mailbox: Mailbox) -> Iterator[bytes]:
    """A line for every item, folder by folder, in the order in which items came. What goes meanwhile is left out."""
    for item, row in _rows(mailbox):
        line = {"row": row, "eml": base64.b64encode(as_eml(item)).decode("ascii")}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def list_items(mailbox: Mailbox) -> Iterator[bytes]:
    """The same without the messages themselves: the rows alone."""
    for _, row in _rows(mailbox):
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _rows(mailbox: Mailbox) -> Iterator[tuple[Item, dict[str, Any]]]:
    number = 0
    with mailbox.lock:
        order = [(mailbox.path(box), item.id) for box in mailbox.walk() for item in mailbox.items_in(box.id)]
    for path, item_id in order:
        with mailbox.lock:
            item = mailbox.items.get(item_id)
            if item is None:
                continue
            number += 1
            row = a_row(item, path, f"{number:06}.eml")
        yield item, row


def as_eml(item: Item) -> bytes:
    """The original bytes where the item has them, else its fields as a message, whatever its class."""
    try:
        return render(item)
    except Refused:
        return render(replace(item, item_class="IPM.Note"))


def a_row(item: Item, path: str, file: str) -> dict[str, Any]:
    """The item's line of items.json."""
    return {
        "file": file,
        "folder": path,
        "item_class": item.item_class,
        "id": item.id,
        "message_id": item.message_id,
        "subject": item.subject,
        "is_read": item.is_read,
        "is_draft": item.is_draft,
        "flag": item.flag,
        "flag_start": _shown(item.flag_start),
        "flag_due": _shown(item.flag_due),
        "flag_completed": _shown(item.flag_completed),
        "importance": item.importance,
        "sensitivity": item.sensitivity,
        "categories": item.categories,
        "submitted": _shown(item.submitted),
        "received": _shown(item.received),
        "created": _shown(item.created),
        "modified": _shown(item.modified),
        "size": item.size,
        "attachments": [
            {
                "name": part.name,
                "content_type": part.content_type,
                "inline": part.inline,
                "content_id": part.content_id,
                "kind": part.kind,
                "size": len(part.content),
                "sha256": hashlib.sha256(part.content).hexdigest(),
            }
            for part in item.parts
        ],
    }


def write_dump(lines: Iterable[bytes], out: Path) -> int:
    """Write the files into a folder, which is made; returns how many items there are."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for line in lines:
        found = orjson.loads(line)
        rows.append(found["row"])
        (out / found["row"]["file"]).write_bytes(base64.b64decode(found["eml"]))
    (out / "items.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    return len(rows)


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
