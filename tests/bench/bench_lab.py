"""The lab with mailboxes of messages of one size: a small one to warm up on, and those that are measured.

A process of its own, so that nothing of it is counted. Does what its input says, a line each (``churn 0.01``, ``crowd 1000``),
and tells of each in ``done-N``; ends when its input does, and then says in ``arrived.json`` what came to the tenant.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.lab import churn
from connectors.lab.people import Shelf, an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox, Part, Person, seeded_bytes

FOLDERS = ("inbox", "sentitems", "deleteditems")
WARM_UP = 40
FRAME = 640
"""Bytes of an export stream of these messages beside text and attachment, roughly; text counts twice there."""


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("--dir", type=Path, required=True)
    reader.add_argument("--items", type=int, required=True, help="in each mailbox that is measured")
    reader.add_argument("--size", type=int, required=True, help="bytes of the export stream of each item, without attachment")
    reader.add_argument("--attachment", type=int, default=0, help="bytes of an attachment of each item; 0 for none")
    reader.add_argument("--mailboxes", type=int, default=1, help="that are measured")
    reader.add_argument("--folders", type=int, default=0, help="further folders in each, without items")
    asked = reader.parse_args()
    estate = Estate()
    for number in range(asked.mailboxes + 1):
        mailbox = furnish(estate, number, asked.items if number else WARM_UP, asked.size, asked.attachment)
        for one in range(asked.folders if number else 0):
            made = seeded_bytes("folder", number, one, length=12).hex()
            mailbox.add_box(Box(id=made, parent_id=mailbox.root_id, name=f"Folder {one:04d}"))
    with Lab(LabPlan(folder=asked.dir, source=estate)) as lab:
        (asked.dir / "ready").touch()
        for number, line in enumerate(sys.stdin):
            obey(lab, line.split())
            (asked.dir / f"done-{number}").touch()
    arrived = {address: arrived_at(mailbox) for address, mailbox in sorted(lab.target.mailboxes.items())}
    (asked.dir / "arrived.json").write_text(json.dumps(arrived))
    return 0


def address_of(number: int) -> str:
    """Such that the one to warm up on comes first, in any order."""
    return f"user{number:04d}@contoso.test"


def furnish(estate: Estate, number: int, items: int, size: int, attachment: int) -> Mailbox:
    mailbox = an_empty(number, 1)
    mailbox.address = address_of(number)
    estate.add(mailbox)
    chance = random.Random(number)
    letters = max(20, (size - FRAME) // 2)
    words = " ".join(chance.choice(("lorem", "ipsum", "dolor", "sit", "amet")) for _ in range(letters // 5 + 1))
    content = chance.randbytes(attachment)
    when, anna = datetime(2024, 1, 1, tzinfo=UTC), Person("Anna", "anna@contoso.test")
    boxes = [box for role in FOLDERS if (box := mailbox.by_role(role)) is not None]
    for one in range(items):
        moment = when + timedelta(minutes=one)
        parts = [Part("data.bin", "application/octet-stream", content, id=f"part {one}")] if attachment else []
        mailbox.add(
            Item(
                id=seeded_bytes("bench", number, one, length=12).hex(), folder_id=boxes[one * len(boxes) // items].id,
                subject=f"message {one}", body_text=f"Message {one}. {words}"[:letters], sender=anna, author=anna,
                to=[anna], message_id=f"<bench.{number}.{one}@contoso.test>", search_key=seeded_bytes("key", number, one),
                submitted=moment, received=moment, created=moment, modified=moment, is_read=True, parts=parts,
            )
        )  # fmt: skip
    return mailbox


class Crowd(dict[str, None]):
    """A folder's items that are only counted: a million of them would be a gigabyte, and nobody reads one."""

    def __init__(self, many: int) -> None:
        super().__init__()
        self.many = many

    def __len__(self) -> int:
        return self.many


def obey(lab: Lab, words: list[str]) -> None:
    for mailbox in list(lab.source.mailboxes.values())[1:]:
        with mailbox.lock:
            if words[0] == "churn":
                each = max(1, round(len(mailbox.items) * float(words[1]) / len(churn.KINDS)))
                churn.churn(mailbox, dict.fromkeys(churn.KINDS, each), Shelf(1), side="source", seed=1)
            elif words[0] == "crowd":
                for box in mailbox.boxes.values():
                    if box.name.startswith("Folder "):
                        mailbox.by_folder[box.id] = Crowd(int(words[1]))


def arrived_at(mailbox: Mailbox) -> tuple[int, str]:
    """How many items, and a hash over their subjects, texts and attachments, in whatever order they came."""
    lines = sorted(
        f"{item.item_class} {item.subject} {item.message_id} {(item.body_text or '').strip()} "
        + " ".join(hashlib.sha256(part.content).hexdigest() for part in item.parts)
        for item in mailbox.items.values()
    )
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
