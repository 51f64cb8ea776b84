"""Content read back for comparison: what an item looks like on one side, and how two sides differ.

Reading shares nothing with writing but the way to the server: whoever put a message together must not be the one who says
that it came out right. The normalisation is that of ``compare`` and of docs/verification.md; nothing else is levelled.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import unquote
from typing import Any, Protocol, TypeAlias

from lxml import etree

from connectors.base import Gone

MAIL = ("ipm.note", "report", "ipm.post", "ipm.schedule.meeting", "ipm.recall", "ipm.outlook.recall", "ipm.sharing")
"""Class prefixes, in lower case, of what is read as a message; everything else is read property by property."""

HEADERS_OF_NOTE = frozenset(
    {
        "received", "return-path", "delivered-to", "date", "message-id", "list-id", "list-unsubscribe", "x-mailer", "user-agent",
        "auto-submitted", "precedence", "thread-topic", "thread-index", "authentication-results", "dkim-signature",
    }
)  # fmt: skip
"""Transport headers that are compared, by name and value."""

SUBJECT_LIMIT = 255
"""Signs of a subject that every target takes."""

_NOT_SHOWN = frozenset({"head", "title", "style", "script", "template"})
_PLAIN_TAGS = frozenset({"html", "body", "div", "span", "p", "br", "meta", "font", "center", "section", "tbody", "link", "base"})
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One item to read. ``folder_id`` is where it lies, on the same side; ``size`` in bytes, for whoever bounds memory.

    ``stored`` chooses between the two views that a source has of body and attachments: as its store holds them, which is what
    an export stream carries, or inside the MIME that it renders, which is what is put together again elsewhere. ``whole`` asks
    a source for the item's export, and a target for what it has attached as one.
    """

    id: str
    item_class: str = "IPM.Note"
    folder_id: str = ""
    size: int = 0
    stored: bool = True
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Enclosure:
    """One attachment. ``name``, ``kind`` and ``content_id`` are empty if the item doesn't tell; ``size`` in bytes.

    ``digest`` is SHA-256; of a message within the message it is over what can be read in it, because servers write it anew.
    """

    name: str
    kind: str
    size: int
    digest: bytes
    inline: bool = False
    content_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """All of an item that is compared; in memory only, with hashes for whatever is long or private.

    ``subject_cut`` stands for the first SUBJECT_LIMIT signs of a longer subject. People are addresses in lower case; ``names``
    pairs an address with the name shown for it. ``more`` has the properties of what is no message, by name. ``unseen`` names
    the properties that this side's wire can't show, which are not compared. ``originals`` are export streams, by ``original``:
    the item's own at the source, those that are attached at the target.
    """

    id: str
    version: str = ""
    item_class: str = ""
    subject: bytes = b""
    subject_cut: bytes = b""
    text: bytes = b""
    html: bytes | None = None
    author: frozenset[str] = field(default=frozenset(), repr=False)
    sender: frozenset[str] = field(default=frozenset(), repr=False)
    to: frozenset[str] = field(default=frozenset(), repr=False)
    cc: frozenset[str] = field(default=frozenset(), repr=False)
    bcc: frozenset[str] = field(default=frozenset(), repr=False)
    reply_to: frozenset[str] = field(default=frozenset(), repr=False)
    names: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    message_id: str = ""
    in_reply_to: str = ""
    references: str = ""
    headers: frozenset[bytes] = frozenset()
    submitted: datetime | None = None
    received: datetime | None = None
    importance: str = "normal"
    sensitivity: str = "normal"
    categories: frozenset[str] = field(default=frozenset(), repr=False)
    read: bool | None = None
    draft: bool | None = None
    read_receipt: bool | None = None
    delivery_receipt: bool | None = None
    flag: str = ""
    flag_start: datetime | None = None
    flag_due: datetime | None = None
    flag_completed: datetime | None = None
    icon: int | None = None
    last_verb: int | None = None
    attachments: tuple[Enclosure, ...] = ()
    more: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    unseen: frozenset[str] = frozenset()
    originals: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The item is there, but this side doesn't show its content. ``reason`` is the wire's code."""

    id: str
    reason: str


Seen: TypeAlias = Portrait | Gone | Unreadable


class Reader(Protocol):
    """One mailbox, read back. Never writes. Used by one thread at a time."""

    def read(self, wanted: Sequence[Wanted]) -> Iterator[Seen]:
        """One answer an item, in their order. Raises what the wire raises."""
        ...

    def close(self) -> None: ...


def is_mail(item_class: str) -> bool:
    """Whether items of this class are read as messages."""
    folded = item_class.casefold()
    return any(folded == each or folded.startswith(each + ".") for each in MAIL)


_OF_ITS_OWN = ("ipm.note", "report", "ipm.post", "ipm.recall", "ipm.outlook.recall", "ipm.appointment", "ipm.contact", "ipm.task")


def carried_whole(item_class: str) -> bool:
    """Whether a target without export streams can hold items of this class only within a message, as what they are."""
    folded = item_class.casefold()
    return not any(folded == each or folded.startswith(each + ".") for each in _OF_ITS_OWN)


ORIGINAL = "original"
"""What differs where no attached export stream is the one that the source exports."""

EXPORTED = ".exported"
"""How the name of an attached export stream ends."""

_BUFFER = 2


def original(stream: bytes) -> bytes:
    """What stands for an export stream: all of its transfer buffer, byte by byte, and nothing of the frame around it.

    The frame, records of opcode and length of four bytes each, tells of the server that exported it, which may be updated
    [measured on the samples of ExportItems]. A stream without such a frame stands for itself.
    """
    found, at = hashlib.sha256(), 0
    while at + 8 <= len(stream):
        opcode, length = (int.from_bytes(stream[at + k : at + k + 4], "little") for k in (0, 4))
        at += 8
        if at + length > len(stream):
            break
        if opcode == _BUFFER:
            found.update(memoryview(stream)[at : at + length])
        at += length
    return found.digest() if at == len(stream) else digest(stream)


# -- comparing

PROPERTIES = (
    "class", "subject", "text", "html", "from", "sender", "to", "cc", "bcc", "reply-to", "names", "message-id", "in-reply-to",
    "references", "headers", "submitted", "received", "importance", "sensitivity", "categories", "read", "draft", "read-receipt",
    "delivery-receipt", "flag", "flag-start", "flag-due", "flag-completed", "icon", "last-verb",
)  # fmt: skip
"""Names of the differences that one value makes; attachments have names of their own, and ``more`` brings the rest."""

ATTACHMENT_PROPERTIES = (
    "attachment-missing", "attachment-surplus", "attachment-name", "attachment-type", "attachment-size", "attachment-content",
    "attachment-inline", "attachment-content-id",
)  # fmt: skip

_FIELDS = {"class": "item_class", "from": "author"}
_IF_TOLD = frozenset({"message-id", "html", "icon", "last-verb", "read", "draft", "read-receipt", "delivery-receipt"})
"""Compared only where the source has a value: a target makes up one of its own."""

_MADE_UP = frozenset(
    {"file-as", "work-address", "home-address", "other-address", "display-name"}
    | {f"email-{place}-{what}" for place in (1, 2, 3) for what in ("name", "type", "original")}
)
"""Properties of contacts that servers make of others where there are none; compared only where the source has a value."""

_TIMES = frozenset({"submitted", "received", "flag-start", "flag-due", "flag-completed"})


def compare(source: Portrait, target: Portrait) -> tuple[str, ...]:
    """Names of all that differs, in a fixed order; empty if nothing does. Pure.

    Levelled are: letter case of classes, addresses and categories; white space and invisible signs in texts; HTML down to the
    words it shows and to its elements that are no mere boxes, with where links and pictures lead; fractions of a second; the
    order of people, categories and attachments; a missing sender stands for the author and the other way round. Where the
    source has no message id, date, icon, attachment name, type or content id, a target may have one. Only headers of
    HEADERS_OF_NOTE count. A start of a follow-up that is missing, or later than its end, is its end. What servers make up for a
    contact may be there.
    """
    blind = source.unseen | target.unseen
    found = [_exactly(name, source, target) for name in PROPERTIES if name not in blind and _differs(name, source, target)]
    if "attachments" not in blind:
        found += _attachments(source.attachments, target.attachments)
    ours, theirs = dict(source.more), dict(target.more)
    names = [name for name in sorted(ours.keys() | theirs.keys()) if name in ours or name not in _MADE_UP]
    found += [name for name in names if name not in blind and ours.get(name) != theirs.get(name)]
    if not source.originals <= target.originals:
        found.append(ORIGINAL)
    return tuple(dict.fromkeys(found))


CUT = frozenset({"subject-cut", "reply-to-cut"})
"""Differences that are what a target can't take, and nothing else: the end of a subject, addresses that are none."""


def _exactly(name: str, source: Portrait, target: Portrait) -> str:
    if name == "subject" and source.subject_cut and target.subject == source.subject_cut:
        return "subject-cut"
    if (
        name == "reply-to"
        and target.reply_to < source.reply_to
        and not any("@" in one for one in source.reply_to - target.reply_to)
    ):
        return "reply-to-cut"
    return name


_NOTHING: tuple[object, ...] = (None, "", b"", frozenset(), "normal", False)


def overlooked(source: Portrait, target: Portrait) -> tuple[str, ...]:
    """Names of what the source holds and the target's wire can't show: not compared, and told so."""
    found = [name for name in PROPERTIES if name in target.unseen and _value(name, source) not in _NOTHING]
    return (*found, *(("attachments",) if "attachments" in target.unseen and source.attachments else ()))


def _value(name: str, portrait: Portrait) -> Any:
    return getattr(portrait, _FIELDS.get(name) or name.replace("-", "_"))


def _differs(name: str, source: Portrait, target: Portrait) -> bool:
    ours, theirs = _value(name, source), _value(name, target)
    if name == "names":
        return _names_differ(ours, theirs)
    if name in ("from", "sender"):
        ours = ours or _value("sender" if name == "from" else "from", source)
        theirs = theirs or _value("sender" if name == "from" else "from", target)
    if name in ("flag-start", "flag-due", "flag-completed"):
        return _flag_differs(name, source, target)
    if name in _TIMES:
        return ours is not None and _apart(ours, theirs)
    if name in _IF_TOLD and (ours is None or ours == ""):
        return False
    return bool(ours != theirs)


def _apart(ours: datetime | None, theirs: datetime | None) -> bool:
    if ours is None or theirs is None:
        return ours is not theirs
    return abs((ours - theirs).total_seconds()) >= 1


def _flag_differs(name: str, source: Portrait, target: Portrait) -> bool:
    """Only the dates that a status has count: a start and an end if something is to be done, a completion if it was."""
    if source.flag != target.flag or (name == "flag-completed") != (source.flag == "complete") or not source.flag:
        return False
    if name == "flag-start":
        return _apart(_start(source), _start(target))
    return _apart(_value(name, source), _value(name, target))


def _start(portrait: Portrait) -> datetime | None:
    start, due = portrait.flag_start, portrait.flag_due
    if due is None:
        return start
    return due if start is None else min(start, due)


def _names_differ(ours: frozenset[tuple[str, str]], theirs: frozenset[tuple[str, str]]) -> bool:
    """Of people whom both sides have; an address without a name may get one."""
    known = {address for address, _ in theirs}
    shown = {address for address, _ in ours if address in known}
    return any(
        {name for who, name in ours if who == address} - {name for who, name in theirs if who == address} for address in shown
    )


def _attachments(ours: tuple[Enclosure, ...], theirs: tuple[Enclosure, ...]) -> Iterator[str]:
    """Attachments are paired by all they have, then by content, by name, and in their order."""
    left, right = list(ours), list(theirs)
    pairs: list[tuple[Enclosure, Enclosure]] = []
    for alike in (_same, _same_content, _same_name, lambda one, other: True):
        for one in tuple(left):
            twin = next((other for other in right if alike(one, other)), None)
            if twin is not None:
                pairs.append((one, twin))
                left.remove(one)
                right.remove(twin)
    for one, other in pairs:
        yield from _enclosure(one, other)
    if left:
        yield "attachment-missing"
    if right:
        yield "attachment-surplus"


def _same(one: Enclosure, other: Enclosure) -> bool:
    return not any(_enclosure(one, other))


def _same_content(one: Enclosure, other: Enclosure) -> bool:
    return one.digest == other.digest


def _same_name(one: Enclosure, other: Enclosure) -> bool:
    return bool(one.name) and one.name == other.name


def _enclosure(one: Enclosure, other: Enclosure) -> Iterator[str]:
    for name in ("name", "kind", "content_id"):
        told = getattr(one, name)
        if told and told != getattr(other, name):
            yield {"name": "attachment-name", "kind": "attachment-type", "content_id": "attachment-content-id"}[name]
    if one.digest != other.digest:
        yield "attachment-size" if one.size != other.size else "attachment-content"
    if one.inline != other.inline:
        yield "attachment-inline"


# -- normal forms, used by all readers

_PEOPLE = re.compile(r"\[People of this meeting, kept as text\].*?\[End of the people of this meeting\]", re.DOTALL)


def without_people(text: str) -> str:
    """A meeting's text without the people who were written on top of it because they can't be kept in any other way."""
    return _PEOPLE.sub("", text, count=1)


def level(text: str | None) -> str:
    """Text without what nobody sees: white space levelled, controls and formatting signs left out, accents composed."""
    found = unicodedata.normalize("NFC", (text or "").encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    found = _SPACE.sub(" ", found.replace("\xad", ""))
    if not found.isascii() or not found.isprintable():
        found = "".join(sign for sign in found if unicodedata.category(sign) not in ("Cc", "Cf"))
    return _SPACE.sub(" ", found).strip()


def digest(text: str | bytes) -> bytes:
    """What stands for a text or a content."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).digest()


def hashed(text: str | None) -> bytes:
    """What stands for a levelled text."""
    return digest(level(text))


def read_html(text: str) -> tuple[str, str]:
    """The words that HTML shows, and its structure: elements that are no mere boxes, with where links and pictures lead."""
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        return "", ""
    words: list[str] = []
    structure: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            if tag in _NOT_SHOWN:
                continue
            if tag not in _PLAIN_TAGS:
                structure.append(f"{tag}|{level(element.get('href'))}|{level(element.get('src'))}")
            words.append(element.text or "")
        else:
            words.append(" ")
            words.append(element.tail or "")
    return " ".join(words), "\n".join(structure)


def body(kind: str, text: str) -> tuple[bytes, bytes | None]:
    """A body's words and, if it is HTML, its structure, both hashed. Spaces don't count: HTML and text put them elsewhere."""
    if kind.casefold() != "html":
        return digest(level(text).replace(" ", "")), None
    words, structure = read_html(text)
    return digest(level(words).replace(" ", "")), digest(structure)


def address(name: str | None, mail: str | None) -> tuple[str, str]:
    """A person as a pair of address and name, empty where there is none; who has no address goes by name."""
    told, shown = level(mail).casefold(), level(unquote((name or "").strip()))
    if shown.casefold() == told:
        shown = ""
    return told or shown.casefold(), shown


def people(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The addresses of some people."""
    return frozenset(who for who, _ in pairs if who)


def named(pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of some people who are shown with a name."""
    return frozenset((who, name) for who, name in pairs if who and name)


def cut(subject: str | None) -> bytes:
    """What stands for a subject cut at SUBJECT_LIMIT; empty if it is no longer than that."""
    return hashed((subject or "")[:SUBJECT_LIMIT]) if len(subject or "") > SUBJECT_LIMIT else b""


def headers_of(text: str | None) -> frozenset[bytes]:
    """The headers of note in a block of transport headers."""
    found = set()
    for line in re.split(r"\r\n(?![ \t])|\n(?![ \t])", text or ""):
        name, colon, value = line.partition(":")
        if colon and name.strip().casefold() in HEADERS_OF_NOTE:
            found.add(digest(f"{name.strip().casefold()}:{level(value)}"))
    return frozenset(found)


def enclosure(
    name: str | None, kind: str | None, content: bytes, *, inline: bool = False, content_id: str | None = None
) -> Enclosure:
    """A file that is attached. Of other parts of the kind ``message/…``, such as delivery reports, only the words count."""
    shown, own = level(kind).casefold(), level(content_id).strip("<>").strip()
    if shown.startswith("message/"):
        return Enclosure(level(name), shown, 0, hashed(content.decode("utf-8", "replace")), inline, own)
    return Enclosure(level(name), shown, len(content), digest(content), inline, own)
