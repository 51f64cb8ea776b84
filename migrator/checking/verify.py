"""The independent checker: counts and compares what both servers hold now, and holds the ledger against it.

It shares no code with the writer and trusts nothing that a pass remembered: it reads both inventories anew, and the ledger's
rows one by one. Every difference has a name, a number and a sentence. What is explained (refused by name, withheld by name,
left to the target's user) is counted, but is no difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from connectors.base import Destination, Entry, Folder, Lane, Role, Source, identify, item_key, short_hash
from connectors.reading import carried_whole, is_mail
from state.model import ItemState, Mark, Row
from state.store import Ledger

SENTENCES = {
    "not-listed": "The source holds {n} that no pass has met yet; run again.",
    "left-since": "{n} left the source since the last pass; run again.",
    "pending": "{n} are still to be carried; run again.",
    "missing": "The ledger says that {n} arrived, but the target does not show them.",
    "elsewhere": "{n} are in the target, but in another folder than the source has them.",
    "doubled": "The target holds {n} too many: surplus copies of what arrived.",
    "tally": "The ledger's sums differ from its rows by {n}.",
    "not-placed": "{n} have no folder in the target yet; run again.",
    "class": "{n} arrived with another item class.",
    "message-id": "{n} arrived with another message id.",
    "subject": "{n} arrived with another subject.",
    "submitted": "{n} arrived with another sent date.",
    "received": "{n} arrived with another received date.",
    "read": "{n} arrived with another read flag.",
}
"""What each kind of difference means; ``{n}`` becomes ``3 items`` or ``1 item``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One kind of difference in one folder. ``keys`` names up to five items by their ledger key, for ``show`` and support."""

    folder: str
    what: str
    items: int
    sentence: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison of one mailbox found.

    ``figures`` counts items: source, target, matched, refused, withheld, filtered (and ``filtered.RULE``), backfill (old mail,
    still to carry), and own (the target's own). ``target_wins`` are those that a pass left as the target's user has them,
    ``touched`` those that differ because they were changed there since.
    """

    differences: tuple[Difference, ...]
    figures: dict[str, int]


@dataclass(slots=True)
class _Findings:
    folder: str
    found: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: str, key: bytes) -> None:
        self.found[what].append(key)

    def differences(self) -> Iterator[Difference]:
        for what, keys in self.found.items():
            number = "1 item" if len(keys) == 1 else f"{len(keys)} items"
            shown = tuple(key.hex() for key in keys[:5])
            yield Difference(self.folder, what, len(keys), SENTENCES[what].format(n=number), shown)


def verify_mailbox(ledger: Ledger, mailbox_id: int, source: Source, destination: Destination) -> Verdict:
    """Compare one mailbox on both sides, item by item, by what a listing shows. Reads only; may be run at any time."""
    figures: Counter[str] = Counter()
    differences: list[Difference] = []
    placed = {row.source_id: row for row in ledger.folders(mailbox_id)}
    rows: dict[bytes, Row] = {}
    owners: dict[str, bytes] = {}
    for row in ledger.folder_rows(mailbox_id, None):
        rows[row.key] = row
        if row.target is not None and row.state is not ItemState.GONE:
            owners[row.target] = row.key
    pairs = [(folder, placed.get(folder.id)) for folder in source.folders() if folder.role is not Role.ROOT]
    names = folder_paths([folder for folder, _ in pairs])
    targets: dict[str, dict[str, Entry]] = {}
    where: dict[str, Entry] = {}
    for _, place in pairs:
        if place is not None and place.target_id is not None and place.target_id not in targets:
            targets[place.target_id] = {entry.id: entry for entry in destination.inventory(place.target_id)}
            where |= targets[place.target_id]
    aside: dict[str, Entry] = {}
    for folder_id in destination.aside:
        targets[folder_id] = {entry.id: entry for entry in destination.inventory(folder_id)}
        aside |= targets[folder_id]
    met: set[bytes] = set()
    for folder, place in pairs:
        findings = _Findings(names[folder.id])
        target_id = place.target_id if place else None
        there = {**aside, **targets.get(target_id or "", {})}
        for entry in source.inventory(folder):
            figures["source"] += 1
            key = item_key(entry.id)
            met.add(key)
            _check(entry, key, rows.get(key), target_id, there, where, findings, figures)
        differences.extend(findings.differences())
    differences.extend(_left_since(rows, met, figures))
    differences.extend(_surplus(targets, owners, figures))
    differences.extend(_tallies(ledger, mailbox_id))
    figures["target"] = sum(map(len, targets.values()))
    for kept in ledger.kept_back(mailbox_id):
        figures[f"filtered.{kept.rule}"] += kept.items
    return Verdict(tuple(differences), dict(figures))


def folder_paths(folders: list[Folder]) -> dict[str, str]:
    """Names from the top, joined by ``/``, by folder id; parents come before children."""
    paths: dict[str, str] = {}
    for folder in folders:
        parent = paths.get(folder.parent_id or "")
        paths[folder.id] = f"{parent}/{folder.name}" if parent else folder.name
    return paths


def _check(
    entry: Entry,
    key: bytes,
    row: Row | None,
    target_id: str | None,
    there: dict[str, Entry],
    where: dict[str, Entry],
    findings: _Findings,
    figures: Counter[str],
) -> None:
    if row is None or row.state is ItemState.GONE:
        findings.add("not-listed", key)
    elif row.marks & Mark.TARGET_WINS:
        figures["target_wins"] += 1
    elif row.state in (ItemState.REFUSED, ItemState.WITHHELD, ItemState.FILTERED, ItemState.BACKFILL):
        figures[row.state.name.lower()] += 1
    elif row.state is not ItemState.DONE:
        findings.add("pending", key)
    elif target_id is None:
        findings.add("not-placed", key)
    elif (copy := there.get(row.target or "")) is None:
        moved = where.get(row.target or "")
        if moved is not None and _touched(moved, row):
            figures["touched"] += 1  # moving is a change too
        else:
            findings.add("missing" if moved is None else "elsewhere", key)
    elif (unequal := list(_unequal(entry, copy, row))) and _touched(copy, row):
        figures["touched"] += 1
    else:
        figures["matched"] += 1
        figures["flag_withheld"] += bool(row.marks & Mark.FLAG_WITHHELD)
        for what in unequal:
            if _is_explained(what, entry, row):
                figures[f"explained.{what}"] += 1
            else:
                findings.add(what, key)


def _is_explained(what: str, entry: Entry, row: Row) -> bool:
    """Whether the lane can't carry this: To Do knows no classes and no empty titles, and events are never unread."""
    if what == "read":
        return row.lane == Lane.COMPOSE and not is_mail(entry.facts.item_class)
    if what == "class" and row.lane == Lane.COMPOSE and carried_whole(entry.facts.item_class):
        return True  # carried as a message that holds it
    return (
        what in ("class", "subject") and bool(row.marks & Mark.DEGRADED) and entry.facts.item_class.casefold()[:8] == "ipm.task"
    )


def _touched(copy: Entry, row: Row) -> bool:
    """Whether the copy was changed by somebody since we wrote it; unknown counts as no."""
    return bool(row.target_version and copy.version) and short_hash(copy.version) != row.target_version


def _unequal(source: Entry, target: Entry, row: Row) -> Iterator[str]:
    """Names of what a listing shows differently; what one side does not tell is not compared."""
    ours, theirs = source.facts, target.facts
    if ours.item_class.casefold() != theirs.item_class.casefold():
        yield "class"
    if ours.message_id and (theirs.message_id or "").strip() != ours.message_id.strip():
        yield "message-id"
    if ours.subject_hash is not None and theirs.subject_hash is not None and ours.subject_hash != theirs.subject_hash:
        yield "subject"
    for what, mine, other in (("submitted", ours.submitted, theirs.submitted), ("received", ours.received, theirs.received)):
        if mine is None or (other is None and not is_mail(ours.item_class)):
            continue  # only mail is sent; what is none may have lost that time, as To Do has no place for it
        if other is None or abs((mine - other).total_seconds()) >= 1:
            yield what
    told = ours.is_read is not None and theirs.is_read is not None
    if told and ours.is_read != theirs.is_read and not row.marks & Mark.FLAG_WITHHELD:
        yield "read"


def _left_since(rows: dict[bytes, Row], met: set[bytes], figures: Counter[str]) -> Iterator[Difference]:
    """Rows whose item the source does not show any more, while the target still should hold it."""
    findings = _Findings("(whole mailbox)")
    for key, row in rows.items():
        if row.state is ItemState.WITHHELD and key not in met:
            figures["withheld"] += 1
        elif row.state is ItemState.DOOMED or (row.state is not ItemState.GONE and key not in met):
            findings.add("left-since", key)
    yield from findings.differences()


def _surplus(
    targets: dict[str, dict[str, Entry]],
    owners: dict[str, bytes],
    figures: Counter[str],
) -> Iterator[Difference]:
    """Copies that no row owns: the mailbox's own, unless they look like something that we brought."""
    brought: dict[bytes, bytes] = {}
    strangers: list[Entry] = []
    for entries in targets.values():
        for entry in entries.values():
            key = owners.get(entry.id)
            if key is None:
                strangers.append(entry)
            else:
                brought.update(dict.fromkeys(identify(entry.facts).rungs, key))
    findings = _Findings("(whole mailbox)")
    for entry in strangers:
        twin = next((brought[rung] for rung in identify(entry.facts).rungs if rung in brought), None)
        if twin is None:
            figures["own"] += 1
        else:
            findings.add("doubled", twin)
    yield from findings.differences()


def _tallies(ledger: Ledger, mailbox_id: int) -> Iterator[Difference]:
    """The sums that the ledger keeps against the same sums counted from its rows."""
    findings = _Findings("(ledger)")
    for _ in range(ledger.uneven(mailbox_id)):
        findings.add("tally", b"")
    yield from findings.differences()
