"""Sample mailboxes made from a seed: what people have in theirs, the odd things included.

The same arguments make the same mailboxes, ids and bytes included. Bodies and attachments share their storage, so that ten
thousand items are made in seconds.
"""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from . import oddities
from .setups import furnish_setups
from .tongues import ENGLISH, LEGACY, OWNERS, ROLES, SOURCE_ROLES, STRANGERS, Tongue
from .truth import Box, Estate, Item, Mailbox, Part, Person, seeded_bytes

SOURCE_DOMAIN, TARGET_DOMAIN = "contoso.test", "contoso-cloud.test"
TODAY = datetime(2026, 6, 1, 8, tzinfo=UTC)
"""The newest item is about as old as this; fixed, so that a seed means the same next year."""

_YEARS = 8
_SHARES = (("inbox", 34), ("own", 36), ("sentitems", 20), ("deleteditems", 5), ("drafts", 2), ("junkemail", 1), ("other", 2))
_LARGE, _HUGE = 1_500_000, 5_000_000


def furnish(estate: Estate, *, mailboxes: int, items: int, seed: int) -> None:
    """Fill so many source mailboxes with so many items each; with 0 items they have folders only."""
    shelf = Shelf(seed)
    for number in range(mailboxes):
        mailbox, tongue = estate.add(an_empty(number, seed)), tongue_of(number)
        writer = Writer(mailbox, tongue, shelf, seed)
        huge = items >= 100 and number == 0
        for index in range(items):
            # Copies count too, so there are fewer turns than items.
            if len(mailbox.items) < items - huge:
                writer.put(index, items)
        if huge:
            writer.put_huge()
    furnish_setups(list(estate.mailboxes.values()), TODAY)


def an_empty(number: int, seed: int) -> Mailbox:
    """The source mailbox of that number: special folders with localised names, the user's own folders, no items."""
    part, name, tongue = OWNERS[number % len(OWNERS)]
    turn = number // len(OWNERS)
    part, name = (part, name) if not turn else (f"{part}{turn + 1}", f"{name} {turn + 1}")
    mailbox = _mailbox(f"{part}@{SOURCE_DOMAIN}", name, seed, tongue.special[:SOURCE_ROLES])
    for path in tongue.own:
        make_path(mailbox, path.split("|"))
    hidden = _id(mailbox, "hidden")
    mailbox.add_box(Box(hidden, mailbox.root_id, "Conversation Action Settings", "IPF.Configuration", hidden=True))
    return mailbox


def tongue_of(number: int) -> Tongue:
    """The language of the source mailbox of that number."""
    return OWNERS[number % len(OWNERS)][2]


def target_for(source: Estate, seed: int = 1) -> Estate:
    """An empty target mailbox for every source mailbox: same local part in the cloud's domain, folders with English names."""
    estate = Estate()
    for mailbox in source.mailboxes.values():
        estate.add(_mailbox(target_address(mailbox.address), mailbox.display_name, f"{seed}-target", ENGLISH.special))
    return estate


def target_address(source: str) -> str:
    """Where that source mailbox goes."""
    return f"{source.partition('@')[0]}@{TARGET_DOMAIN}"


def make_path(mailbox: Mailbox, names: list[str], kind: str = "IPF.Note") -> Box:
    """The folder of that path from the top, made as far as it is missing; names are equal in any case."""
    box = mailbox.boxes[mailbox.root_id]
    for name in names:
        found = next((child for child in mailbox.children(box.id) if child.name.casefold() == name.casefold()), None)
        own = _id(mailbox, "folder", box.id, name)
        box = found if found is not None else mailbox.add_box(Box(own, box.id, name, kind))
    return box


def _mailbox(address: str, name: str, seed: object, special: tuple[str, ...]) -> Mailbox:
    guid = str(UUID(bytes=seeded_bytes("mailbox", seed, address), version=4))
    mailbox = Mailbox(address, name, guid, "")
    mailbox.root_id = _id(mailbox, "root")
    mailbox.add_box(Box(mailbox.root_id, None, "Top of Information Store", "IPF.Note", "msgfolderroot"))
    for (role, kind), shown in zip(ROLES, special, strict=False):
        mailbox.add_box(Box(_id(mailbox, role), mailbox.root_id, shown, kind, role))
    return mailbox


def _id(mailbox: Mailbox, *parts: object) -> str:
    return seeded_bytes(mailbox.guid, *parts, length=12).hex()


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    kind: str
    content: bytes


class Shelf:
    """What items share: files to attach, and pieces of text, made once for a seed."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(f"shelf {seed}")
        kinds = (
            ("Bericht {n}.pdf", "application/pdf"), ("photo_{n}.jpg", "image/jpeg"), ("données {n}.csv", "text/csv"),
            ("見積書{n}.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            ("notes {n}.txt", "text/plain"), ("archive.{n}.zip", "application/zip"),
            ("noextension{n}", "application/octet-stream"),
        )  # fmt: skip
        self.files = [
            _File(
                name.format(n=n),
                kind,
                b"%PDF-1.4\n" * (kind == "application/pdf") + dice.randbytes(int(2 ** dice.uniform(6, 17))),
            )
            for n in range(6)
            for name, kind in kinds
        ]
        self.files.append(_File("empty.txt", "text/plain", b""))
        self.large = [_File(f"scan {n}.tiff", "image/tiff", dice.randbytes(_LARGE + n * 250_000 - 250_000)) for n in range(3)]
        self.huge = _File("model.bin", "application/octet-stream", dice.randbytes(_HUGE))
        self.pictures = [_png(dice) for _ in range(4)]


def _png(dice: random.Random) -> bytes:
    """A picture that every program can show: one colour, sixteen by sixteen."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + dice.randbytes(3) * 16) * 16
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Writer:
    """Writes one mailbox's items, one after the other, oldest first."""

    def __init__(self, mailbox: Mailbox, tongue: Tongue, shelf: Shelf, seed: object) -> None:
        self.mailbox, self.tongue, self.shelf = mailbox, tongue, shelf
        self.dice = random.Random(f"{seed} {mailbox.address}")
        self.me = Person(mailbox.display_name, mailbox.address)
        self._strangers = [Person(*stranger) for stranger in STRANGERS]
        self._own = [box.id for box in mailbox.walk() if box.role is None and not box.hidden and box.name not in _EMPTY]
        self._roles = {box.role: box.id for box in mailbox.boxes.values() if box.role is not None}
        self._texts = [self._text() for _ in range(60)]
        self._pages = ["".join(f"<p>{line}</p>\r\n" for line in text.split("\r\n")) for text in self._texts]
        self._threads: list[Item] = []
        self._places, self._weights = [place for place, _ in _SHARES], [weight for _, weight in _SHARES]

    @property
    def has_own(self) -> bool:
        """Whether the user made folders that mail may go to."""
        return bool(self._own)

    def put(self, index: int, items: int) -> Item:
        """Write the item of that number out of so many; a few of them are odd, in turn, so that every kind occurs."""
        when = TODAY - timedelta(seconds=int((items - index) * _YEARS * 365 * 86400 / max(items, 1)))
        place = self.dice.choices(self._places, self._weights)[0]
        stride = max(1, min(items // len(oddities.ALL), 23))
        odd, turn = oddities.ALL[(index // stride) % len(oddities.ALL)], index % stride == stride - 1
        if items >= 20 and index < len(_OTHERS):
            return self._other(index, when, _OTHERS[index])
        if place == "other" and not turn:
            return self._other(index, when, self.dice.choice(_OTHERS))
        item = self.mail(f"item {index}", when, place if place != "other" else "inbox")
        if items >= 500 and index % 500 == 250:
            item.parts.append(_attached(self.shelf.large[index // 500 % len(self.shelf.large)]))
        if turn:
            odd(item, self.dice)
        self.mailbox.add(item)
        if turn and odd is oddities.twice and len(self.mailbox.items) < items - 1:
            copy = replace(item, id=_id(self.mailbox, "copy", index), parts=[replace(part) for part in item.parts])
            return self.mailbox.add(copy)
        return item

    def put_huge(self) -> Item:
        """Write one more item, with an attachment that is too large for one request."""
        item = self.mail("huge", TODAY, "inbox")
        item.parts.append(_attached(self.shelf.huge))
        return self.mailbox.add(item)

    def mail(self, mark: str, when: datetime, place: str) -> Item:
        """One message, not yet in the mailbox; ``mark`` makes its id, ``place`` is a role or ``own``."""
        dice, tongue = self.dice, self.tongue
        mine = place in ("sentitems", "drafts")
        number = dice.randrange(100_000)
        item = Item(
            id=_id(self.mailbox, mark),
            folder_id=dice.choice(self._own) if place == "own" else self._roles[place],
            subject=dice.choice(tongue.subjects).format(n=number),
            message_id=f"<{number:05x}.{dice.getrandbits(64):016x}@{SOURCE_DOMAIN}>",
            search_key=dice.randbytes(16),
            submitted=when,
            received=None if place == "drafts" else when + timedelta(seconds=dice.randrange(90)),
            created=when + timedelta(seconds=90, milliseconds=dice.randrange(1000)),
            modified=when + timedelta(seconds=100),
            is_read=mine or dice.random() < 0.8,
            is_draft=place == "drafts",
        )
        other = dice.choice(self._strangers)
        item.author = item.sender = self.me if mine else other
        item.to = [replace(other if mine else self.me)]
        self._trimmings(item, when)
        self._thread(item, place)
        self._body(item)
        if not mine and dice.random() < 0.6:
            item.headers = (
                f"Received: from mail.example (192.0.2.{number % 250}) by ex1.{SOURCE_DOMAIN};\r\n"
                f"\t{when:%d %b %Y %H:%M:%S} +0000\r\n"
                f"Message-ID: {item.message_id}\r\nX-Mailer: Example {number % 7}\r\nMIME-Version: 1.0\r\n"
            )
        return item

    def _trimmings(self, item: Item, when: datetime) -> None:
        dice = self.dice
        if dice.random() < 0.3:
            item.cc = [replace(person) for person in dice.sample(self._strangers, dice.randrange(1, 4))]
        if dice.random() < 0.1:
            item.importance = dice.choice((0, 2))
        if dice.random() < 0.08:
            item.categories = dice.sample(self.tongue.categories, dice.randrange(1, 3))
        if dice.random() < 0.06:
            item.flag, item.flag_start, item.flag_due = "flagged", when, when + timedelta(days=dice.randrange(1, 9))
        elif dice.random() < 0.02:
            item.flag, item.flag_completed = "complete", when + timedelta(days=3)

    def _thread(self, item: Item, place: str) -> None:
        if place != "drafts" and self._threads and self.dice.random() < 0.35:
            before = self.dice.choice(self._threads[-20:])
            item.subject = before.subject if before.subject.startswith(self.tongue.reply) else self.tongue.reply + before.subject
            item.in_reply_to = before.message_id
            item.references = " ".join([*(before.references or "").split()[-8:], before.message_id or ""])
        self._threads.append(item)

    def _body(self, item: Item) -> None:
        dice = self.dice
        which, opening = dice.randrange(len(self._texts)), f"{item.subject} ({dice.randrange(1_000_000)})"
        if dice.random() < 0.3:
            item.body_text = f"{opening}\r\n\r\n{self._texts[which]}"
        else:
            picture = ""
            if dice.random() < 0.08:
                cid = f"image{dice.randrange(1000):03}@{dice.getrandbits(32):08X}"
                item.parts.append(Part("image001.png", "image/png", dice.choice(self.shelf.pictures), True, cid))
                picture = f'<img src="cid:{cid}" alt="logo">'
            item.body_html = f"<html><body><h3>{opening}</h3>{picture}\r\n{self._pages[which]}</body></html>"
        if dice.random() < 0.22:
            item.parts += [_attached(dice.choice(self.shelf.files)) for _ in range(1 if dice.random() < 0.7 else 3)]

    def _text(self) -> str:
        count = int(2 ** self.dice.uniform(2, 8))
        return "\r\n".join(self.dice.choice(self.tongue.sentences) for _ in range(count))

    def _other(self, index: int, when: datetime, role: str) -> Item:
        """Something that is no message, in its folder."""
        item = oddities.no_mail(role, self.dice, when, self.tongue)
        item.id, item.folder_id, item.search_key = _id(self.mailbox, "other", index), self._roles[role], self.dice.randbytes(16)
        return self.mailbox.add(item)


_OTHERS = ("contacts", "calendar", "notes", "contacts", "calendar", "tasks")
_EMPTY = {"Leer", "Vide", "空", "Κενό", "Empty for now"}


def _attached(file: _File) -> Part:
    return Part(file.name, file.kind, file.content)


def legacy_names() -> dict[str, str]:
    """Addresses by legacyExchangeDN, for ResolveNames; people who left aren't in it."""
    return {legacy: address for legacy, address in LEGACY.items() if address}
