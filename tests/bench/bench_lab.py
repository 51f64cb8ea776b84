"""The lab with two mailboxes of messages of one size: a small one to warm up on, and the one that is measured.

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
from connectors.lab.truth import Estate, Item, Part, Person, seeded_bytes

FOLDERS = ("inbox", "sentitems", "deleteditems")
WARM_UP = 40


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("--dir", type=Path, required=True)
    reader.add_argument("--items", type=int, required=True)
    reader.add_argument("--size", type=int, required=True, help="bytes of text of each item")
    reader.add_argument("--attachment", type=int, default=0, help="bytes of an attachment of each item; 0 for none")
    asked = reader.parse_args()
    estate = Estate()
    for number, items in enumerate((WARM_UP, asked.items)):
        furnish(estate, number, items, asked.size, asked.attachment)
    with Lab(LabPlan(folder=asked.dir, source=estate)):
        (asked.dir / "ready").touch()
        sys.stdin.read()
    return 0


def furnish(estate: Estate, number: int, items: int, size: int, attachment: int) -> None:
    mailbox = estate.add(an_empty(number, 1))
    chance = random.Random(number)
    words = " ".join(chance.choice(("lorem", "ipsum", "dolor", "sit", "amet")) for _ in range(size // 5 + 1))
    content = chance.randbytes(attachment)
    when, anna = datetime(2024, 1, 1, tzinfo=UTC), Person("Anna", "anna@contoso.test")
    boxes = [box for role in FOLDERS if (box := mailbox.by_role(role)) is not None]
    for one in range(items):
        moment = when + timedelta(minutes=one)
        parts = [Part("data.bin", "application/octet-stream", content, id=f"part {one}")] if attachment else []
        mailbox.add(
            Item(
                id=seeded_bytes("bench", number, one, length=12).hex(), folder_id=boxes[one * len(boxes) // items].id,
                subject=f"message {one}", body_text=f"Message {one}. {words[: max(0, size - 20)]}", sender=anna, author=anna,
                to=[anna], message_id=f"<bench.{number}.{one}@contoso.test>", search_key=seeded_bytes("key", number, one),
                submitted=moment, received=moment, created=moment, modified=moment, is_read=True, parts=parts,
            )
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
