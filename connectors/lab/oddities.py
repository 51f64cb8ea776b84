"""What makes real mailboxes hard: one function for each odd thing, and the kinds of items that are no messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .tongues import LEGACY, STRANGERS, Tongue
from .truth import Item, Part, Person

Oddity = Callable[[Item, random.Random], None]

APPOINTMENT, ADDRESS = "{00062002-0000-0000-c000-000000000046}", "{00062004-0000-0000-c000-000000000046}"
_TASK, _NAMES = "{00062003-0000-0000-c000-000000000046}", "{00020329-0000-0000-c000-000000000046}"


def twice(item: Item, dice: random.Random) -> None:
    """There are two equal copies of it in one folder; whoever writes the mailbox adds the other."""


def no_message_id(item: Item, dice: random.Random) -> None:
    item.message_id = None


def no_subject(item: Item, dice: random.Random) -> None:
    item.subject = ""


def emoji_subject(item: Item, dice: random.Random) -> None:
    item.subject = f"🎉 {item.subject} 👩‍👩‍👧 שלום"


def year_1970(item: Item, dice: random.Random) -> None:
    item.submitted = item.received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(3600))


def year_2038(item: Item, dice: random.Random) -> None:
    item.submitted = item.received = datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC) + timedelta(days=dice.randrange(900))


def no_dates(item: Item, dice: random.Random) -> None:
    item.submitted = item.received = None


def legacy_sender(item: Item, dice: random.Random) -> None:
    item.sender = item.author = Person("Klaus Gegangen", dice.choice(sorted(LEGACY)))


def for_somebody(item: Item, dice: random.Random) -> None:
    """Sent by one person in another's name."""
    item.sender, item.author = Person(*STRANGERS[0]), Person(*STRANGERS[1])


def receipts(item: Item, dice: random.Random) -> None:
    """Whoever reads it, its sender wants to know; unread, so that nothing was told yet."""
    item.wants_read_receipt, item.wants_delivery_receipt, item.is_read = True, True, False


def private(item: Item, dice: random.Random) -> None:
    item.sensitivity = dice.choice((1, 2, 3))


def due(item: Item, dice: random.Random) -> None:
    start = item.submitted or datetime(2025, 1, 2, tzinfo=UTC)
    item.flag, item.flag_start, item.flag_due, item.flag_completed = "flagged", start, start + timedelta(days=7), None


def done(item: Item, dice: random.Random) -> None:
    start = item.submitted or datetime(2025, 1, 2, tzinfo=UTC)
    item.flag, item.flag_start, item.flag_due, item.flag_completed = "complete", None, None, start + timedelta(days=2)


def nested(item: Item, dice: random.Random) -> None:
    """A message with a message inside."""
    inner = (
        f"From: Inner <inner@nested.example>\r\nTo: outer@nested.example\r\nSubject: =?utf-8?q?Weitergeleitet_f=C3=BCr_dich?=\r\n"
        f"Message-ID: <{dice.getrandbits(48):x}@nested.example>\r\nDate: Thu, 04 Mar 2021 05:06:07 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nDas Innere.\r\n"
    ).encode()
    item.parts.append(Part("Weitergeleitet für dich", "message/rfc822", inner, kind="message"))


def draft(item: Item, dice: random.Random) -> None:
    """Half written: nobody to send it to yet."""
    item.is_draft, item.is_read, item.received, item.to, item.message_id = True, True, None, [], None


def many(item: Item, dice: random.Random) -> None:
    """To a whole department, blind copies and replies elsewhere included."""
    item.to = [Person(f"Colleague {n}", f"colleague{n}@contoso.test") for n in range(120)]
    item.bcc, item.reply_to = [Person("", "hidden@contoso.test")], [Person("Answers", "answers@contoso.test")]


def long_subject(item: Item, dice: random.Random) -> None:
    item.subject = ("Ein sehr langer Betreff, der kein Ende nimmt; " * 6)[:255]


def categories(item: Item, dice: random.Random) -> None:
    item.categories = ["Red category", "Müller & Söhne", "予算"]


def custom(item: Item, dice: random.Random) -> None:
    """Properties that no field stands for."""
    item.extended = {
        f"String {_NAMES} Name X-Archive-Number": f"A-{dice.randrange(10_000)}",
        "Integer 0x1080": dice.choice((261, 262)),
        f"Binary {_NAMES} Name Lab-Blob": dice.randbytes(24),
    }


def two_bodies(item: Item, dice: random.Random) -> None:
    item.body_text, item.body_html = "Nur Text & <mehr>", "<html><body><b>Nur Text &amp; &lt;mehr&gt;</b></body></html>"


def no_body(item: Item, dice: random.Random) -> None:
    item.body_text = item.body_html = None


def meeting(item: Item, dice: random.Random) -> None:
    """An invitation in the inbox; touching it must not answer it."""
    start = (item.submitted or datetime(2025, 1, 2, tzinfo=UTC)) + timedelta(days=5)
    item.item_class = "IPM.Schedule.Meeting.Request"
    item.extended = {
        f"SystemTime {APPOINTMENT} Id 0x820D": start,
        f"SystemTime {APPOINTMENT} Id 0x820E": start + timedelta(hours=1),
    }


def bounced(item: Item, dice: random.Random) -> None:
    item.item_class, item.subject = "REPORT.IPM.Note.NDR", f"Undeliverable: {item.subject}"


ALL: tuple[Oddity, ...] = (
    twice, no_message_id, no_subject, emoji_subject, year_1970, year_2038, no_dates, legacy_sender, receipts, private, due, done,
    draft, nested, many, custom, categories, two_bodies, no_body, for_somebody, long_subject, meeting, bounced,
)  # fmt: skip
"""In the order in which they occur in a mailbox."""


def no_mail(role: str, dice: random.Random, when: datetime, tongue: Tongue) -> Item:
    """An item of the folder with that role: a contact, an appointment, a task or a sticky note."""
    item = Item(created=when, modified=when, submitted=when, is_read=True)
    sentence = dice.choice(tongue.sentences)
    if role == "contacts":
        name, address = dice.choice(STRANGERS)
        first, _, last = (name or "Bank").partition(" ")
        item.item_class, item.subject = "IPM.Contact", name or "Bank"
        item.extended = {
            "String 0x3A06": first, "String 0x3A11": last, "String 0x3001": item.subject, "String 0x3A08": "+49 221 555 0100",
            f"String {ADDRESS} Id 0x8083": address, f"String {ADDRESS} Id 0x8082": "SMTP",
        }  # fmt: skip
    elif role == "calendar":
        start = when.replace(minute=0, second=0, microsecond=0)
        item.item_class, item.subject = "IPM.Appointment", dice.choice(tongue.subjects).format(n=dice.randrange(100))
        item.body_text = sentence
        item.extended = {
            f"SystemTime {APPOINTMENT} Id 0x820D": start, f"SystemTime {APPOINTMENT} Id 0x820E": start + timedelta(hours=1),
            f"String {APPOINTMENT} Id 0x8208": "Saal 3", f"Integer {APPOINTMENT} Id 0x8205": 2,
        }  # fmt: skip
    elif role == "tasks":
        item.item_class, item.subject, item.body_text = "IPM.Task", sentence, sentence
        item.extended = {f"Integer {_TASK} Id 0x8101": 0, f"Boolean {_TASK} Id 0x811C": False}
    else:
        item.item_class, item.subject, item.body_text = "IPM.StickyNote", sentence, f"{sentence}\r\n{sentence}"
    return item
