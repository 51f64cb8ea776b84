"""The lab with mailboxes of small messages, and one message with a large attachment where it is asked for.

A process of its own, so that nothing of it is counted. Ends when its input does.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Mailbox, Part, Person, seeded_bytes

FOLDERS = ("inbox", "sentitems", "deleteditems")
_ANNA = Person("Anna", "anna@contoso.test")


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("--dir", type=Path, required=True)
    reader.add_argument("--mailboxes", type=int, required=True)
    reader.add_argument("--items", type=int, required=True, help="of each mailbox")
    reader.add_argument("--size", type=int, required=True, help="bytes of an attachment of each item; 0 for none")
    reader.add_argument("--large", type=int, default=0, help="bytes of the attachment of one more item in the first mailbox")
    reader.add_argument("--latency", type=float, default=0.0, help="seconds that the tenant takes longer")
    asked = reader.parse_args()
    estate = Estate()
    content = random.Random(1).randbytes(asked.size)
    for number in range(asked.mailboxes):
        mailbox = estate.add(an_empty(number, 1))
        for one in range(asked.items):
            add(mailbox, number, one, asked.items, content)
        if asked.large and not number:
            add(mailbox, number, asked.items, asked.items + 1, random.Random(2).randbytes(asked.large))
    plan = LabPlan(folder=asked.dir, source=estate, tenant_latency=asked.latency, tenant={"import_cap": None})
    with Lab(plan):
        (asked.dir / "ready").touch()
        sys.stdin.read()
    return 0


def add(mailbox: Mailbox, number: int, one: int, items: int, content: bytes) -> None:
    boxes = [box for role in FOLDERS if (box := mailbox.by_role(role)) is not None]
    moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=one)
    parts = [Part("data.bin", "application/octet-stream", content, id=f"part {one}")] if content else []
    mailbox.add(
        Item(
            id=seeded_bytes("memory", number, one, length=12).hex(), folder_id=boxes[one * len(boxes) // items].id,
            subject=f"message {one}", body_text=f"Text of message {one}.", sender=_ANNA, author=_ANNA, to=[_ANNA],
            message_id=f"<memory.{number}.{one}@contoso.test>", search_key=seeded_bytes("key", number, one),
            submitted=moment, received=moment, created=moment, modified=moment, is_read=True, parts=parts,
        )
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
