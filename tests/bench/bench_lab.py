"""The lab with sets of mailboxes, one for each run of a contestant: a small one to warm up on, and those that are measured.

A process of its own, so that nothing of it is counted. Does what its input says, a line each, and tells of each in ``done-N``:
``churn SET SHARE``, ``crowd SET ITEMS``, and ``gather SET``, which writes what came to the tenant into ``arrived-SET.json`` and
forgets the set. Ends when its input does.
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
WARM_UP, WARM_UP_BYTES = 40, 2_000_000
FRAME = 640
"""Bytes of an export stream of these messages beside text and attachment, roughly; text counts twice there."""


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("--dir", type=Path, required=True)
    reader.add_argument("--items", type=int, nargs="+", required=True, help="for each set: in each mailbox that is measured")
    reader.add_argument("--size", type=int, required=True, help="bytes of the export stream of each item, without attachment")
    reader.add_argument("--attachment", type=int, default=0, help="bytes of an attachment of each item; 0 for none")
    reader.add_argument("--mailboxes", type=int, default=1, help="that are measured")
    reader.add_argument("--folders", type=int, default=0, help="further folders in each, without items")
    asked = reader.parse_args()
    estate, chance = Estate(), random.Random(1)
    letters = max(20, (asked.size - FRAME) // 2)
    words = " ".join(chance.choice(("lorem", "ipsum", "dolor", "sit", "amet")) for _ in range(letters // 5 + 1))
    content = chance.randbytes(asked.attachment)
    warm_up = max(1, min(WARM_UP, WARM_UP_BYTES // (asked.size + asked.attachment)))
    for group, items in enumerate(asked.items):
        for number in range(asked.mailboxes + 1):
            mailbox = an_empty(number, 1)
            mailbox.address = address_of(group, number)
            furnish(estate.add(mailbox), items if number else warm_up, words[:letters], content)
            for one in range(asked.folders if number else 0):
                made = seeded_bytes("folder", mailbox.address, one, length=12).hex()
                mailbox.add_box(Box(id=made, parent_id=mailbox.root_id, name=f"Folder {one:04d}"))
    with Lab(LabPlan(folder=asked.dir, source=estate)) as lab:
        (asked.dir / "ready").touch()
        for number, line in enumerate(sys.stdin):
            what, group, *words_left = line.split()
            obey(lab, asked.dir, what, int(group), words_left)
            (asked.dir / f"done-{number}").touch()
    return 0


def address_of(group: int, number: int) -> str:
    """Such that the one to warm up on comes first, in any order."""
    return f"set{group:03d}user{number:04d}@contoso.test"


def furnish(mailbox: Mailbox, items: int, words: str, content: bytes) -> None:
    when, anna = datetime(2024, 1, 1, tzinfo=UTC), Person("Anna", "anna@contoso.test")
    boxes = [box for role in FOLDERS if (box := mailbox.by_role(role)) is not None]
    for one in range(items):
        moment = when + timedelta(minutes=one)
        parts = [Part("data.bin", "application/octet-stream", content, id=f"part {one}")] if content else []
        mailbox.add(
            Item(
                id=seeded_bytes("bench", mailbox.address, one, length=12).hex(), folder_id=boxes[one * len(boxes) // items].id,
                subject=f"message {one}", body_text=words, sender=anna, author=anna, to=[anna],
                message_id=f"<bench.{one}@contoso.test>", search_key=seeded_bytes("key", mailbox.address, one),
                submitted=moment, received=moment, created=moment, modified=moment, is_read=True, parts=parts,
            )
        )  # fmt: skip


class Crowd(dict[str, None]):
    """A folder's items that are only counted: a million of them would be a gigabyte, and nobody reads one."""

    def __init__(self, many: int) -> None:
        super().__init__()
        self.many = many

    def __len__(self) -> int:
        return self.many


def obey(lab: Lab, folder: Path, what: str, group: int, words: list[str]) -> None:
    start = f"set{group:03d}"
    sources = [mailbox for address, mailbox in sorted(lab.source.mailboxes.items()) if address.startswith(start)]
    for mailbox in sources[1:]:
        with mailbox.lock:
            if what == "churn":
                each = max(1, round(len(mailbox.items) * float(words[0]) / len(churn.KINDS)))
                churn.churn(mailbox, dict.fromkeys(churn.KINDS, each), Shelf(1), side="source", seed=1)
            elif what == "crowd":
                for box in mailbox.boxes.values():
                    if box.name.startswith("Folder "):
                        mailbox.by_folder[box.id] = Crowd(int(words[0]))
    if what == "gather":
        targets = [mailbox for address, mailbox in sorted(lab.target.mailboxes.items()) if address.startswith(start)]
        (folder / f"arrived-{group}.json").write_text(json.dumps([arrived_at(mailbox) for mailbox in targets[1:]]))
        for mailbox in [*sources, *targets]:
            mailbox.items.clear()


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
