"""Where an item is: asked of both servers now, and held against what the ledger did with it. Never writes.

    wanted    by message id, or by a span of time
    trail     where it is at the source, where in the target, and a sentence that says what happened in between

What is settled has no message id in the ledger, so both servers are asked for it. Folders are listed only where a server does not
find items that way, and for a span of time.
"""

from __future__ import annotations

import email.parser
import email.policy
import email.utils
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from connectors.base import (
    Destination,
    Entry,
    Facts,
    Folder,
    Identity,
    Role,
    Source,
    TargetRef,
    identify,
    item_key,
    short_hash,
    stamp_of,
)
from migrator.checking.verify import folder_paths
from migrator.config import BadInput
from migrator.engine import plan
from migrator.engine.conservation import path_of
from migrator.errors.advice import advice
from state.model import AFTER_CUTOVER, FolderRow, ItemState, MailboxRow, Mark, Open, Row
from state.store import Ledger

MOST = 50
"""Items of which a trail is told."""

ELSEWHERE = "a folder that is not from the source"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: those with a message id, or those of a time (``since`` included, ``until`` not)."""

    message_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, facts: Facts) -> bool:
        """Whether an item that a listing tells so is one of them."""
        if self.message_id:
            return bare(facts.message_id or "") == bare(self.message_id)
        when = time_of(facts)
        return when is not None and (self.since is None or when >= self.since) and (self.until is None or when < self.until)


def bare(message_id: str) -> str:
    """A message id without its brackets and blanks, which people leave out."""
    return message_id.strip().strip("<>").strip()


def time_of(facts: Facts) -> datetime | None:
    """The time that a person would name: when it begins, was sent, came, or was made."""
    return facts.start or facts.submitted or facts.received or facts.created


def wanted_by_file(file: Path) -> Wanted:
    """What a saved mail (.eml) asks for: its message id, or else the minute of its date. Raises BadInput."""
    try:
        with file.open("rb") as raw:
            head = email.parser.BytesParser(policy=email.policy.compat32).parse(raw, headersonly=True)
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); check the path and its permissions.") from None
    if message_id := bare(str(head.get("Message-ID") or "")):
        return Wanted(message_id)
    try:
        when = email.utils.parsedate_to_datetime(str(head.get("Date") or ""))
    except ValueError:
        raise BadInput(f"{file} has neither a message id nor a date; trace it with --from and --to instead.") from None
    when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    return Wanted(since=when - timedelta(minutes=1), until=when + timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one item. ``source`` is its folder there now, empty if it is not; ``there`` its copy under the id that the
    ledger knows, ``place`` where that lies; ``strangers`` are folders with copies like it that no row owns."""

    source: str = ""
    row: Row | None = None
    opened: Open | None = None
    was: str = ""
    there: TargetRef | None = None
    place: str = ""
    in_bin: bool = False
    strangers: tuple[str, ...] = ()
    flipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One item's trail. ``when`` is its own time as ISO 8601 in UTC. Folders are paths, empty where it is not."""

    key: str
    when: str
    item_class: str
    source: str
    target: str
    state: str
    reason: str
    sentence: str


def sentence(seen: Seen) -> str:
    """What became of an item, in a sentence or two. Pure."""
    row = seen.row
    if row is None:
        if not seen.source:
            return f"No pass ever met it at the source; the copy in {_all(seen.strangers)} came by another way."
        there = f" A copy like it is in the target, in {_all(seen.strangers)}, but it is none of ours." if seen.strangers else ""
        return f"It is at the source, and no pass has met it yet: run again.{there}"
    left = "" if seen.source else " The source no longer has it."
    if row.state is not ItemState.DONE:
        return _undone(seen, row) + (left if row.state is not ItemState.GONE else "")
    changed = bool(seen.there and row.target_version and seen.there.version) and _changed(seen)
    if seen.there is None:
        if seen.strangers:
            other = _all(seen.strangers)
            return f"It arrived in {seen.was}. That copy is gone, but one like it is in {other}: moved since, not by us.{left}"
        return f"It arrived in {seen.was}, and was deleted in the target since, by its user or a policy; not by us.{left}"
    if seen.in_bin and seen.place != seen.was:
        return f"It arrived in {seen.was}, and its user deleted it since: it lies in {seen.place}.{left}"
    if seen.place != seen.was:
        return f"It arrived in {seen.was}, and was moved to {seen.place} since, by its user or a rule; not by us.{left}"
    if row.marks & Mark.TARGET_WINS:
        why = f" {seen.opened.detail}" if seen.opened else ""
        return f"It is in {seen.place}, as the target's user has it.{why}{left}"
    if changed:
        return f"It is in {seen.place}; the target's user changed it since it arrived.{left}"
    return f"It is in {seen.place}, as we left it.{left}"


def _undone(seen: Seen, row: Row) -> str:
    opened = seen.opened
    match row.state:
        case ItemState.REFUSED | ItemState.WITHHELD:
            told = advice(opened.reason if opened else "")
            word = "It did not go" if row.target is None else "A change to it was not carried over"
            return f"{word}: {opened.reason if opened else 'unknown'}. {told.meaning} {told.operator}"
        case ItemState.FILTERED:
            return f"A rule of yours keeps it back{f' ({opened.reason})' if opened and opened.reason else ''}."
        case ItemState.LISTED:
            return (
                "It is still to be carried: run again." if row.target is None else "It is there; a change is still to be carried."
            )
        case ItemState.BACKFILL:
            return "It is older than what a cutover waits for, and is still to be carried, after everything else."
        case ItemState.INTENDED:
            return "Its write was lost on the way and is in doubt; the next pass looks it up before anything is sent again."
        case ItemState.DOOMED:
            return "It left the source, and the next pass removes its copy unless the target's user changed it."
        case _:
            who = "the target's user changed it, so its copy was left" if row.marks & Mark.TARGET_WINS else "we removed its copy"
            if seen.source:
                return "It came back to the source and is still to be carried: run again."
            return f"It left the source, and {who}." if not seen.flipped else "It left the source."


def _changed(seen: Seen) -> bool:
    return seen.there is not None and seen.row is not None and short_hash(seen.there.version) != seen.row.target_version


def _all(places: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(places))


def trace(
    ledger: Ledger, mailbox: MailboxRow, source: Source, destination: Destination, wanted: Wanted, most: int = MOST
) -> tuple[list[Trail], int]:
    """The trails of what is wanted, by time, and how many there are in all; of no more than ``most`` anything is asked."""
    looking = _Looking(ledger, mailbox, destination)
    there_now = _at_source(source, wanted)
    if not there_now or not wanted.message_id:
        looking.scan(wanted, rows_too=not there_now)
    return looking.trails(there_now, most)


def _at_source(source: Source, wanted: Wanted) -> dict[bytes, tuple[str, Entry]]:
    folders = [folder for folder in source.folders() if folder.role is not Role.ROOT]
    names = folder_paths(folders)
    if wanted.message_id and isinstance(source, Searching):
        hits = source.with_message_id(folders, wanted.message_id)
        return {item_key(entry.id): (names[folder.id], entry) for folder, entry in hits}
    return {
        item_key(entry.id): (names[folder.id], entry)
        for folder in folders
        for entry in source.inventory(folder)
        if wanted.fits(entry.facts)
    }


@runtime_checkable
class Searching(Protocol):
    """A source whose server finds items by their message id, so that not all of a mailbox has to be listed."""

    def with_message_id(self, folders: Sequence[Folder], message_id: str) -> Iterator[tuple[Folder, Entry]]: ...


MAIL = (
    "IPM.Note", "IPM.Note.SMIME", "IPM.Note.SMIME.MultipartSigned", "IPM.Post", "REPORT.IPM.Note.NDR", "REPORT.IPM.Note.DR",
    "REPORT.IPM.Note.IPNRN", "IPM.Schedule.Meeting.Request", "IPM.Schedule.Meeting.Canceled", "IPM.Schedule.Meeting.Resp.Pos",
    "IPM.Schedule.Meeting.Resp.Neg", "IPM.Schedule.Meeting.Resp.Tent",
)  # fmt: skip
"""Classes under which a target is asked for a message id, before all of it is listed."""


class _Looking:
    def __init__(self, ledger: Ledger, mailbox: MailboxRow, destination: Destination) -> None:
        self._ledger = ledger
        self._mailbox = mailbox
        self._destination = destination
        folders = ledger.folders(mailbox.id)
        named = {folder.source_id: folder for folder in folders}
        self._paths = {folder.id: path_of(folder, named) for folder in folders}
        self._places = _places(folders, self._paths)
        self._targets = {folder.id: folder.target_id for folder in folders}
        self._bins = {folder.target_id for folder in folders if folder.role == Role.DELETED.value and folder.target_id}
        self._copies: dict[str, tuple[str, Entry]] = {}
        self._open: list[bytes] = []

    def scan(self, wanted: Wanted, *, rows_too: bool) -> None:
        """Look through the target's folders for copies that fit, and if there are none, through what is still open."""
        if wanted.message_id:
            self._ask(bare(wanted.message_id))
        for target_id, place in () if self._copies else self._places.items():
            for entry in self._destination.inventory(target_id):
                if wanted.fits(entry.facts):
                    self._copies[entry.id] = (place, entry)
        if rows_too and not self._copies:
            self._from_open_rows(wanted)

    def _ask(self, message_id: str) -> None:
        """Let the target look for a message id among mail; what it does not find so is found by listing it."""
        ids = (f"<{message_id}>", message_id)
        asked = [Identity(kind, None, one, None, None) for kind in MAIL for one in ids]
        for identity, hits in self._destination.find(asked).items():
            facts = Facts(item_class=identity.item_class, message_id=identity.message_id)
            for hit in hits:
                self._copies[hit.id] = (self._place(hit.folder_id), Entry(hit.id, facts, hit.version, hit.stamp))

    def _from_open_rows(self, wanted: Wanted) -> None:
        states = set(ItemState) - {ItemState.GONE}
        self._open = [
            row.key
            for row, opened in self._ledger.open_rows(self._mailbox.id, states)
            if opened.facts and wanted.fits(plan.unpack_facts(opened.facts))
        ]

    def trails(self, at_source: Mapping[bytes, tuple[str, Entry]], most: int) -> tuple[list[Trail], int]:
        owners = self._ledger.owners(self._mailbox.id, sorted(self._copies)) if self._copies else {}
        keys = list(dict.fromkeys([*at_source, *owners.values(), *self._open]))
        total = len(keys) + sum(target not in owners for target in self._copies)
        rows = self._ledger.rows(self._mailbox.id, keys[:most])
        opens = self._ledger.opens(self._mailbox.id, keys[:most])
        known = {row.target: key for key, row in rows.items() if row.target is not None}
        refs = dict(zip(known, self._destination.peek(list(known)), strict=True)) if known else {}
        like = self._like(at_source, rows, refs)
        found = []
        for key in keys[:most]:
            place, entry = at_source.get(key, ("", None))
            row, opened = rows.get(key), opens.get(key)
            there = refs.get(row.target) if row is not None and row.target is not None else None
            copy = self._copies.get(row.target or "") if row is not None else None
            facts = entry.facts if entry else copy[1].facts if copy else plan.unpack_facts(opened.facts) if opened else Facts()
            seen = Seen(
                source=place,
                row=row,
                opened=opened,
                was=self._paths.get(row.folder_id, "") if row is not None else "",
                there=there,
                place=self._place_of(there, row) if there and row else "",
                in_bin=there is not None and there.folder_id in self._bins,
                strangers=like.get(key, ()),
                flipped=(self._mailbox.came_from or self._mailbox.state) in AFTER_CUTOVER,
            )
            found.append(_trail(key.hex(), facts, seen))
        for target, (place, entry) in self._copies.items():
            if target not in owners and len(found) < most:
                found.append(_trail("", entry.facts, Seen(strangers=(place,))))
        return sorted(found, key=lambda one: one.when), total

    def _like(
        self, at_source: Mapping[bytes, tuple[str, Entry]], rows: Mapping[bytes, Row], refs: Mapping[str, TargetRef | None]
    ) -> dict[bytes, tuple[str, ...]]:
        """Where copies lie that look like items whose own copy is not there, and that belong to no row."""
        missing = {
            key: identify(entry.facts, stamp_of(key))
            for key, (_, entry) in at_source.items()
            if (row := rows.get(key)) is None or (row.state is ItemState.DONE and refs.get(row.target or "") is None)
        }
        missing = {key: identity for key, identity in missing.items() if identity.rungs}
        if not missing:
            return {}
        hits = self._destination.find(list(dict.fromkeys(missing.values())))
        owned = self._ledger.owners(self._mailbox.id, sorted({hit.id for some in hits.values() for hit in some}))
        return {
            key: tuple(self._place(hit.folder_id) for hit in hits.get(identity, []) if hit.id not in owned)
            for key, identity in missing.items()
        }

    def _place_of(self, there: TargetRef, row: Row) -> str:
        # Several source folders may lie in one folder of the target, and of an appointment the target tells no folder.
        if there.folder_id in ("", self._targets.get(row.folder_id)):
            return self._paths.get(row.folder_id, "")
        return self._place(there.folder_id)

    def _place(self, folder_id: str) -> str:
        return self._places.get(folder_id, ELSEWHERE)


def _places(folders: Iterable[FolderRow], paths: Mapping[int, str]) -> dict[str, str]:
    return {folder.target_id: paths[folder.id] for folder in folders if folder.target_id is not None}


def _trail(key: str, facts: Facts, seen: Seen) -> Trail:
    when = time_of(facts)
    return Trail(
        key=key,
        when=when.astimezone(UTC).isoformat(timespec="seconds") if when else "",
        item_class=facts.item_class,
        source=seen.source,
        target=seen.place or _all(seen.strangers),
        state=seen.row.state.name if seen.row is not None else "UNKNOWN",
        reason=seen.opened.reason if seen.opened else "",
        sentence=sentence(seen),
    )
