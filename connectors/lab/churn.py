"""What users do to their mailboxes while a migration goes on: on the old side they work, on the new one they look around.

Every function works on the truth, under the mailbox's lock, and leaves the history that both faces answer from.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta

from .people import Shelf, Writer
from .tongues import ENGLISH, OWNERS, Tongue
from .truth import Box, Item, Mailbox, now, seeded_bytes

KINDS = ("new", "edit", "move", "delete", "read")
SIDES = ("source", "target")


class Unknown(ValueError):
    """There is no such mailbox, folder or item, or the wish makes no sense; the message says which."""


def folder_at(mailbox: Mailbox, path: str) -> Box:
    """The folder of a path, its names joined by ``/`` in any case, or of a role such as ``inbox``. Raises Unknown."""
    found = next((box for box in mailbox.walk() if mailbox.path(box).casefold() == path.casefold()), None)
    found = found or mailbox.by_role(path)
    if found is None:
        raise Unknown(f"the mailbox has no folder {path}")
    return found


def item_called(mailbox: Mailbox, name: str) -> Item:
    """The item of an id, or the first with that message id. Raises Unknown."""
    found = mailbox.items.get(name) or next((item for item in mailbox.items.values() if item.message_id == name), None)
    if found is None:
        raise Unknown("the mailbox has no such item")
    return found


def add_new(mailbox: Mailbox, shelf: Shelf, seed: object, place: str = "inbox", folder: Box | None = None) -> Item:
    """A message arrives, or is written and sent: in the place (a role, or ``own``), or in the folder named."""
    mark = f"{seed} {mailbox.clock}"
    writer = Writer(mailbox, _tongue(mailbox), shelf, mark)
    item = writer.mail(f"new {mark}", now(), place if place != "own" or writer.has_own else "inbox")
    item.folder_id = folder.id if folder is not None else item.folder_id
    return mailbox.add(item)


def edit(item: Item, mailbox: Mailbox, changes: Mapping[str, object]) -> None:
    """Change fields of an item: subject, body_text, body_html, categories, importance, flag. Raises Unknown for others."""
    allowed = {
        "subject": str, "body_text": str, "body_html": str, "categories": list, "importance": int, "flag": str,
    }  # fmt: skip
    for name, value in changes.items():
        if name not in allowed or not isinstance(value, allowed[name]):
            raise Unknown(f"{name} can't be edited like that; editable are {', '.join(allowed)}")
    for name, value in changes.items():
        setattr(item, name, value)
    if changes.keys() & {"subject", "body_text", "body_html"}:
        item.mime = None
    item.modified = now()
    mailbox.touch(item)


def move(item: Item, mailbox: Mailbox, to: Box, side: str) -> Item:
    """Move an item. On the old side it gets another id, as Exchange gives one; on the new side its immutable id stays."""
    mailbox.remove(item.id)
    item.folder_id = to.id
    if side == "source":
        item.id = seeded_bytes(item.id, "moved", mailbox.clock, length=12).hex()
    return mailbox.add(item)


def delete(item: Item, mailbox: Mailbox, side: str, *, hard: bool) -> None:
    """Delete an item: into the deleted items, or for good with ``hard`` and for what is there already."""
    bin_ = mailbox.by_role("deleteditems")
    if hard or bin_ is None or item.folder_id == bin_.id:
        mailbox.remove(item.id)
    else:
        move(item, mailbox, bin_, side)


def read(item: Item, mailbox: Mailbox, is_read: bool) -> None:
    """Mark an item as read or unread."""
    item.is_read = is_read
    mailbox.touch(item, "read")


def churn(mailbox: Mailbox, wanted: Mapping[str, int], shelf: Shelf, *, side: str, seed: int) -> dict[str, int]:
    """So many things of each kind of KINDS, chosen by the seed; returns how many were done, fewer where items ran out.

    No item is changed twice. Every other deletion is for good; the others go to the deleted items.
    """
    dice = random.Random(f"churn {seed} {side} {mailbox.address}")
    bin_ = mailbox.by_role("deleteditems")
    pool = [
        item
        for item in mailbox.items.values()
        if item.item_class == "IPM.Note" and not item.is_draft and (bin_ is None or item.folder_id != bin_.id)
    ]
    dice.shuffle(pool)
    places = [box for box in mailbox.walk() if box.kind == "IPF.Note" and not box.hidden and box.role in (None, "inbox")]
    done = dict.fromkeys(KINDS, 0)
    for kind in ("edit", "move", "delete", "read"):
        for _ in range(min(wanted.get(kind, 0), len(pool))):
            item = pool.pop()
            if kind == "edit":
                edit(item, mailbox, _an_edit(item, dice, done[kind]))
            elif kind == "move":
                move(item, mailbox, dice.choice([box for box in places if box.id != item.folder_id] or places), side)
            elif kind == "delete":
                delete(item, mailbox, side, hard=done[kind] % 2 == 0)
            else:
                read(item, mailbox, not item.is_read)
            done[kind] += 1
    for number in range(wanted.get("new", 0)):
        add_new(mailbox, shelf, f"{seed} {number}", dice.choices(("inbox", "own", "sentitems"), (6, 3, 2))[0])
        done["new"] += 1
    return done


def _an_edit(item: Item, dice: random.Random, turn: int) -> dict[str, object]:
    match turn % 4:
        case 0:
            return {"categories": [*item.categories, f"Edited {dice.randrange(100)}"]}
        case 1:
            item.flag_start = now()
            item.flag_due = item.flag_start + timedelta(days=3)
            item.flag_completed = None
            return {"flag": "flagged"}
        case 2:
            return {"subject": f"{item.subject} (edited {dice.randrange(1000)})"}
        case _:
            return {"importance": 2 if item.importance != 2 else 1}


def _tongue(mailbox: Mailbox) -> Tongue:
    return next((tongue for part, _, tongue in OWNERS if mailbox.address.startswith(part)), ENGLISH)
