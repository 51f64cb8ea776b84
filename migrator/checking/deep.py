"""The independent checker, deep: content read back from both servers and compared property by property.

It streams pairs of source item and copy out of the ledger, reads both sides with readers that share no code with the writer, and
names every difference. Memory holds one batch at a time, and hashes of that. What the comparison levels is told in
``connectors.reading.compare``; what a lane is known to lose, and said so when it wrote, is EXPLAINED here.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connectors.base import Entry, Gone, Role, Source, item_key
from connectors.reading import (
    ATTACHMENT_PROPERTIES,
    CUT,
    ORIGINAL,
    Portrait,
    Reader,
    Seen,
    Unreadable,
    Wanted,
    carried_whole,
    compare,
    overlooked,
)
from migrator.checking.verify import Difference, folder_paths
from state.model import ItemState, Mark, Row
from state.store import Ledger

MOST_ITEMS = 20
MOST_BYTES = 8_000_000
"""Items and bytes that are read at once from each side; an item larger than that is read alone."""

_CHUNK = 500
_SHOWN = 5

_CONTENT = frozenset({"text", "html", *ATTACHMENT_PROPERTIES})
EXPLAINED: dict[str, frozenset[str]] = {
    "empty": _CONTENT,
    "no-headers": _CONTENT,
    "broken-structure": _CONTENT,
    "unreadable-mime": _CONTENT,
    "charset": frozenset({"text", "html"}),
    "broken-base64": frozenset({"text", "html", "attachment-size", "attachment-content"}),
    "dates": frozenset({"submitted", "received"}),
    "flag-dates": frozenset({"flag-start", "flag-due"}),
    "headers": frozenset({"headers"}),
    "characters": frozenset({"subject", "text", "html"}),
    "subject": frozenset({"subject"}),
    "reply-to": frozenset({"reply-to"}),
    "body": frozenset({"text", "html", "attachment-surplus"}),
    "notes": frozenset({"text"}),
    "photo": frozenset({"photo"}),
    "phone-order": frozenset({"business-phone", "business-phone-2", "home-phone", "home-phone-2"}),
    "location": frozenset({"location"}),
    "all-day": frozenset({"start", "end"}),
    "end": frozenset({"end"}),
    "task-body": frozenset({"text"}),
    "task-title": frozenset({"subject"}),
    "task-percent": frozenset({"task-complete"}),
    "reminder-over": frozenset({"task-reminds", "task-reminder"}),
}
"""Names of what a lane could not carry whole, as receipts bring them, and the properties that this may change."""

READ_OF_ANY = frozenset({"subject", "text", "categories", "importance", "sensitivity", ORIGINAL})
"""What a message that holds an item of another kind has to show of it; all else is in the original that is attached, which has
to be what the source exports."""

SENTENCES = {
    "missing": "The target does not show {n} that the ledger says arrived.",
    "left-since": "{n} left the source while they were being compared; run again.",
    "changed-since": "{n} changed at the source since the last pass; run again.",
    "unreadable-source": "The source does not show the content of {n}.",
    "unreadable-target": "The target does not show the content of {n}.",
    "text": "{n} arrived with another text.",
    "html": "{n} arrived with other formatting, links or pictures in their text.",
    "from": "{n} arrived with another author.",
    "to": "{n} arrived with other people in To.",
    "cc": "{n} arrived with other people in Cc.",
    "bcc": "{n} arrived with other people in Bcc.",
    "reply-to": "{n} arrived with other people to reply to.",
    "names": "{n} arrived with other names for the same addresses.",
    "headers": "{n} arrived with other transport headers.",
    ORIGINAL: "{n} arrived within a message whose attached original is not what the source exports.",
    "attachment-missing": "{n} arrived with fewer attachments.",
    "attachment-surplus": "{n} arrived with more attachments.",
    "attachment-size": "{n} arrived with an attachment of another size.",
    "attachment-content": "{n} arrived with an attachment of other content.",
}
"""What each kind of difference means; any other is about the property that it is named after."""


@dataclass(frozen=True, slots=True)
class DeepVerdict:
    """What the comparison of one mailbox's content found.

    ``figures`` counts items: compared, equal, target_wins (changed by the target's user since, so not held against us), and
    ``explained.<property>`` for what a lane said that it could not carry, ``unseen.<property>`` for what the target's wire
    does not show.
    """

    differences: tuple[Difference, ...]
    figures: dict[str, int]


@dataclass(slots=True)
class _Findings:
    figures: Counter[str] = field(default_factory=Counter)
    numbers: Counter[tuple[str, str]] = field(default_factory=Counter)
    keys: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, folder: str, what: str, key: bytes) -> None:
        place = folder, what
        self.numbers[place] += 1
        if len(self.keys[place]) < _SHOWN:
            self.keys[place].append(key.hex())

    def verdict(self) -> DeepVerdict:
        differences = []
        for (folder, what), items in self.numbers.items():
            number = "1 item" if items == 1 else f"{items} items"
            sentence = SENTENCES.get(what, f"{{n}} arrived with another {what.replace('-', ' ')}.").format(n=number)
            differences.append(Difference(folder, what, items, sentence, tuple(self.keys[folder, what])))
        return DeepVerdict(tuple(differences), dict(self.figures))


@dataclass(frozen=True, slots=True)
class _Pair:
    """One item to compare: its row, and what is asked of each side."""

    folder: str
    row: Row
    ours: Wanted
    theirs: Wanted
    carried: bool = False
    """The copy is a message that holds the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepJob:
    """One mailbox to compare. ``sample`` is how many items, always the same ones, or None for all; ``stop`` is heeded between
    batches."""

    ledger: Ledger
    mailbox_id: int
    source: Source
    source_reader: Reader
    destination_reader: Reader
    sample: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)


def verify_content(job: DeepJob) -> DeepVerdict:
    """Read the content of every item that arrived, or of a sample, on both sides, and compare. Reads only."""
    findings = _Findings()
    allowed = _allowed(job.ledger, job.mailbox_id)
    for pairs in _batches(_pairs(job, findings)):
        if job.stop.is_set():
            findings.figures["stopped"] = 1
            break
        ours = list(job.source_reader.read([pair.ours for pair in pairs]))
        theirs = list(job.destination_reader.read([pair.theirs for pair in pairs]))
        for pair, mine, other in zip(pairs, ours, theirs, strict=True):
            _judge(pair, mine, other, allowed, findings)
    return findings.verdict()


def chosen(keys: Iterator[bytes], sample: int) -> frozenset[bytes]:
    """So many of the keys, always the same ones of the same mailbox, spread evenly over it."""
    return frozenset(heapq.nsmallest(sample, keys, key=lambda key: hashlib.blake2b(key, digest_size=8).digest()))


def _pairs(job: DeepJob, findings: _Findings) -> Iterator[_Pair]:
    ledger, mailbox_id = job.ledger, job.mailbox_id
    picked: frozenset[bytes] | None = None
    if job.sample is not None:
        there = (row.key for row in ledger.folder_rows(mailbox_id, None) if row.state is ItemState.DONE)
        picked = chosen(there, job.sample)
    placed = {row.source_id: row for row in ledger.folders(mailbox_id)}
    folders = [folder for folder in job.source.folders() if folder.role is not Role.ROOT]
    names = folder_paths(folders)
    for folder in folders:
        place = placed.get(folder.id)
        if place is None or place.target_id is None or not folder.total:
            continue
        for entries in _chunks(job.source.inventory(folder)):
            by_key = {item_key(entry.id): entry for entry in entries}
            wanted = [key for key in by_key if picked is None or key in picked]
            for key, row in ledger.rows(mailbox_id, wanted).items():
                if row.state is not ItemState.DONE or row.target is None:
                    continue
                if row.marks & Mark.TARGET_WINS:
                    findings.figures["target_wins"] += 1
                    continue
                yield _pair(names[folder.id], row, by_key[key], place.target_id)


def _pair(folder: str, row: Row, entry: Entry, target_folder: str) -> _Pair:
    item_class, size = entry.facts.item_class, entry.facts.size
    carried = row.lane == "compose" and carried_whole(item_class)
    ours = Wanted(id=entry.id, item_class=item_class, size=size, stored=row.lane != "compose", whole=carried)
    shown = "IPM.Note" if carried else item_class
    theirs = Wanted(id=row.target or "", item_class=shown, folder_id=target_folder, size=size, whole=carried)
    return _Pair(folder, row, ours, theirs, carried)


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    some: list[Entry] = []
    for entry in entries:
        some.append(entry)
        if len(some) == _CHUNK:
            yield some
            some = []
    if some:
        yield some


def _batches(pairs: Iterator[_Pair]) -> Iterator[Sequence[_Pair]]:
    some: list[_Pair] = []
    weight = 0
    for pair in pairs:
        if some and (len(some) >= MOST_ITEMS or weight + pair.ours.size > MOST_BYTES):
            yield some
            some, weight = [], 0
        some.append(pair)
        weight += pair.ours.size
    if some:
        yield some


def _allowed(ledger: Ledger, mailbox_id: int) -> frozenset[str]:
    """The properties in which an item may differ if the ledger says that it arrived with something less."""
    names: set[str] = set()
    for run in ledger.passes(mailbox_id):
        if not run.figures:
            # It was killed, and what it said of its items with it.
            names.update(EXPLAINED)
        names.update(
            word.removeprefix("degraded.") for word, value in run.figures.items() if value and word.startswith("degraded.")
        )
    return frozenset().union(*(EXPLAINED.get(name, ()) for name in names))


def _judge(pair: _Pair, mine: Seen, other: Seen, allowed: frozenset[str], findings: _Findings) -> None:
    row, figures = pair.row, findings.figures
    if isinstance(mine, Gone):
        findings.add(pair.folder, "left-since", row.key)
    elif isinstance(other, Gone):
        findings.add(pair.folder, "missing", row.key)
    elif isinstance(mine, Unreadable) or isinstance(other, Unreadable):
        findings.add(pair.folder, "unreadable-source" if isinstance(mine, Unreadable) else "unreadable-target", row.key)
    else:
        figures["compared"] += 1
        for name in overlooked(mine, other):
            figures[f"unseen.{name}"] += 1
        differences = compare(mine, other)
        known = [name for name in differences if _is_explained(name, row, allowed) or (pair.carried and name not in READ_OF_ANY)]
        for name in known:
            figures[f"explained.{name}"] += 1
        unknown = [name for name in differences if name not in known]
        if not unknown:
            figures["equal"] += 1
        elif _changed(row.target_version, other):
            figures["target_wins"] += 1
        elif _changed(row.version, mine):
            findings.add(pair.folder, "changed-since", row.key)
        else:
            for name in unknown:
                findings.add(pair.folder, name, row.key)


def _is_explained(name: str, row: Row, allowed: frozenset[str]) -> bool:
    if name in CUT or (name == "read" and row.marks & Mark.FLAG_WITHHELD):
        return True
    return bool(row.marks & Mark.DEGRADED) and name in allowed


def _changed(kept: bytes, seen: Portrait) -> bool:
    """Whether a side shows another version than the ledger remembers; what either doesn't tell has not changed."""
    return bool(kept and seen.version) and hashlib.blake2b(seen.version.encode(), digest_size=8).digest() != kept
