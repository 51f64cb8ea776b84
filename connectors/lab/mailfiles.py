"""Mail from files as source mailboxes: every .eml and every message of an .mbox, byte for byte; and calendars, every .ics.

What can be read of a message becomes its fields; what can't is left empty, and the message is there all the same.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

from . import people
from .icsfiles import read_calendar
from .truth import Estate, Item, Mailbox, Part, Person, seeded_bytes

_SUFFIXES = {".eml", ".mbox", ".mbx", ".ics"}
_MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
_OLDEST, _NEWEST = datetime(1601, 1, 2, tzinfo=UTC), datetime(4500, 1, 1, tzinfo=UTC)
_ROLES = {
    "inbox": "inbox", "sent": "sentitems", "sent items": "sentitems", "drafts": "drafts", "trash": "deleteditems",
    "deleted items": "deleteditems", "junk": "junkemail", "spam": "junkemail", "junk email": "junkemail",
}  # fmt: skip
_SEPARATOR = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
_BLANK = re.compile(rb"\r?\n\r?\n")
_DEEPEST = 50

T = TypeVar("T")


class NoMail(Exception):
    """The folder holds nothing to take in; the message says what was looked for and where."""


def fill_from(folder: Path, estate: Estate, *, mailboxes: int, seed: int) -> int:
    """Make so many mailboxes and spread the mail below the folder over them; returns how many items there are. Raises NoMail.

    A mailbox gets whole top-level sub-directories, by turns; where those are fewer than the mailboxes, it gets single messages.
    Directories and .mbox files are folders; ``inbox``, ``sent``, ``drafts``, ``trash`` and ``junk`` are the special ones.
    """
    if not folder.is_dir():
        raise NoMail(f"{folder} is no folder; name one that holds .eml, .mbox or .ics files.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    owners = [estate.add(people.an_empty(number, seed)) for number in range(mailboxes)]
    tops = sorted({path.relative_to(folder).parts[0] for path in files if path.parent != folder})
    turn = 0
    for path in files:
        place = path.relative_to(folder)
        names = list(place.parts[:-1])
        if path.suffix.lower() == ".ics":
            turn += _take_calendar(path, place.as_posix(), owners, turn, seed)
            continue
        if path.suffix.lower() != ".eml":
            names.append(path.stem)
        for number, content in enumerate(_messages(path)):
            own_turn = tops.index(names[0]) if len(tops) >= mailboxes and len(place.parts) > 1 else turn
            mailbox = owners[own_turn % mailboxes]
            item = read_mail(content)
            mark = (seed, place.as_posix(), number)
            item.id, item.search_key = seeded_bytes("file", *mark, length=12).hex(), seeded_bytes("key", *mark)
            item.folder_id = _folder(mailbox, names)
            mailbox.add(item)
            turn += 1
    if not turn:
        raise NoMail(f"{folder} holds no mail; put .eml, .mbox or .ics files in it, or below it.")
    return turn


def _take_calendar(path: Path, place: str, owners: list[Mailbox], turn: int, seed: int) -> int:
    """Put the appointments of a calendar file into a mailbox's calendar; how many there are."""
    mailbox = owners[turn % len(owners)]
    box = mailbox.by_role("calendar")
    assert box is not None
    count = 0
    for number, item in enumerate(read_calendar(_bytes(path), Person(mailbox.display_name, mailbox.address))):
        mark = (seed, place, number)
        item.id, item.search_key = seeded_bytes("file", *mark, length=12).hex(), seeded_bytes("key", *mark)
        item.folder_id = box.id
        mailbox.add(item)
        count += 1
    return count


def _folder(mailbox: Mailbox, names: list[str]) -> str:
    special = mailbox.by_role(_ROLES.get(names[0].casefold(), "")) if names else mailbox.by_role("inbox")
    rest = [name.strip()[:200] or "_" for name in (names[1:] if special is not None and names else names)]
    if special is None:
        return people.make_path(mailbox, rest).id
    return people.make_path(mailbox, [special.name, *rest]).id


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoMail(f"{path} can't be read ({type(error).__name__}); check its rights.") from None


def _messages(path: Path) -> Iterator[bytes]:
    content = _bytes(path)
    yield from [content] if path.suffix.lower() == ".eml" else split_mbox(content)


def split_mbox(content: bytes) -> Iterator[bytes]:
    """The messages of an mbox file: what is between lines that begin with ``From ``, without the empty line that ends each.

    Such a line counts at the beginning and after an empty line, as mail programs write it; a text's own ``From `` elsewhere
    belongs to the text [RFC 4155]. A file without any is one message.
    """
    starts = [
        found
        for found in _SEPARATOR.finditer(content)
        if found.start() == 0 or content[max(found.start() - 3, 0) : found.start()].endswith((b"\n\n", b"\n\r\n"))
    ]
    if not starts and content.strip():
        yield content
    for at, found in enumerate(starts):
        last = at + 1 == len(starts)
        body = content[found.end() : len(content) if last else starts[at + 1].start()]
        yield body.removesuffix(b"\r\n" if body.endswith(b"\r\n") else b"\n") if _ends_blank(body) else body


def _ends_blank(body: bytes) -> bool:
    return body.endswith((b"\n\n", b"\n\r\n")) or body in (b"\n", b"\r\n")


def read_mail(content: bytes) -> Item:
    """The bytes as an item without id and folder; never fails, whatever they are."""
    item = Item(mime=content, created=_MOMENT, modified=_MOMENT)
    try:
        mail = email.message_from_bytes(content, policy=email.policy.compat32)
    except Exception:
        item.body_text = content.decode("utf-8", "replace").replace("\0", "")
        return item
    item.subject = _try(lambda: _text(mail.get("Subject")), "")
    item.message_id = _try(lambda: _id_of(mail.get("Message-ID")), None)
    item.in_reply_to = _try(lambda: _id_of(mail.get("In-Reply-To")), None)
    item.references = _try(lambda: _id_of(mail.get("References")), None)
    authors, senders = _people(mail, "From"), _people(mail, "Sender")
    item.author = authors[0] if authors else None
    item.sender = senders[0] if senders else item.author
    item.to, item.cc, item.bcc, item.reply_to = (_people(mail, name) for name in ("To", "Cc", "Bcc", "Reply-To"))
    item.submitted = _try(lambda: _moment(mail.get("Date")), None)
    item.received = _try(lambda: _moment(str(mail.get("Received", "")).rpartition(";")[2]), None) or item.submitted
    item.created = item.modified = item.received or _MOMENT
    item.importance = _try(lambda: {"high": 2, "low": 0}.get(_text(mail.get("Importance")).lower(), 1), 1)
    levels = {"personal": 1, "private": 2, "company-confidential": 3}
    item.sensitivity = _try(lambda: levels.get(_text(mail.get("Sensitivity")).lower(), 0), 0)
    item.wants_read_receipt = "Disposition-Notification-To" in mail
    item.is_draft = str(mail.get("X-Unsent", "")).strip() == "1"
    item.is_read = item.is_draft or "R" in str(mail.get("Status", ""))
    blank = _BLANK.search(content)
    if mail.keys():
        item.headers = content[: blank.start() if blank else len(content)].decode("utf-8", "replace").replace("\0", "")
    _try(lambda: _take_parts(item, mail, 0), None)
    return item


def _try(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except Exception:
        return otherwise


def _clean(value: str) -> str:
    return " ".join(value.encode("utf-8", "replace").decode("utf-8", "replace").replace("\0", "").split())


def _text(value: object) -> str:
    """A header's text: encoded words and raw bytes read as far as they can be."""
    if value is None:
        return ""
    raw = str(value).encode("ascii", "surrogateescape") if isinstance(value, str) else str(value).encode("utf-8", "replace")
    shown = raw.decode("utf-8", "replace")
    try:
        pieces = decode_header(" ".join(shown.split()))
        shown = "".join(piece if isinstance(piece, str) else _decode(piece, charset) for piece, charset in pieces)
    except Exception:  # noqa: S110 - then it is shown as it is written
        pass
    return _clean(shown)


def _decode(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")


def _id_of(value: object) -> str | None:
    return _text(value)[:2000] or None


def _people(mail: Message, name: str) -> list[Person]:
    def read() -> list[Person]:
        values = [str(value) for value in mail.get_all(name, [])]
        return [Person(_text(shown), _text(address)) for shown, address in getaddresses(values) if shown or address]

    return _try(read, [])


def _moment(value: object) -> datetime | None:
    found = parsedate_to_datetime(str(value).strip())
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(microsecond=0) if _OLDEST < found < _NEWEST else None


def _take_parts(item: Item, part: Message, depth: int) -> None:
    kind, payload = part.get_content_type(), part.get_payload()
    if part.is_multipart() and isinstance(payload, list) and kind != "message/rfc822":
        for inner in payload:
            if isinstance(inner, Message) and depth < _DEEPEST:
                _try(lambda inner=inner: _take_parts(item, inner, depth + 1), None)  # type: ignore[misc]
        return
    name, where = _text(part.get_filename()), _try(part.get_content_disposition, None)
    if kind == "message/rfc822":
        inner = payload[0] if isinstance(payload, list) and payload else None
        content = inner.as_bytes() if isinstance(inner, Message) else b""
        shown = name or (_text(inner.get("Subject")) if isinstance(inner, Message) else "")
        item.parts.append(Part(shown, kind, content, kind="message"))
        return
    decoded = part.get_payload(decode=True)
    raw = decoded if isinstance(decoded, bytes) else b""
    if kind in ("text/plain", "text/html") and not name and where != "attachment":
        which, text = "body_html" if kind == "text/html" else "body_text", _decode(raw, part.get_content_charset())
        if getattr(item, which) is None:
            setattr(item, which, text.replace("\0", ""))
            return
    cid = _text(part.get("Content-ID")).strip("<>") or None
    shown = name or f"attachment{len(item.parts) + 1}"
    item.parts.append(Part(shown, kind, raw, where == "inline" or (where is None and cid is not None), cid))
