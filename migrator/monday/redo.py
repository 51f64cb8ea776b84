"""Puts what is missing in the target back on the work list, so that the next pass carries it again; nothing is ever doubled.

    missing   rows that say DONE while the target no longer shows their copy
    found     those of which a copy that nobody owns lies elsewhere: taken over, not carried again
    again     those that the source still has: on the work list, as if they had never been carried
    lost      those that the source no longer has either

What its user moved within the target is there, and is left where it is. Asks both servers, and writes to the ledger only.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from connectors.base import Destination, Entry, Role, Source, identify, item_key, short_hash, stamp_of
from migrator.config import BadInput
from migrator.engine import plan
from migrator.engine.conservation import path_of
from migrator.engine.steps import adopted
from migrator.engine.tenure import Tenure
from state.model import FolderRow, ItemState, Mark, Open, Row, Step, Work
from state.store import Ledger

_LOOK = 20
_SETTLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Redone:
    """What was found out about one folder. Counts of items; ``there`` are those that the target shows, wherever they lie."""

    folder: str
    rows: int
    there: int
    found: int
    again: int
    lost: int


def choose(ledger: Ledger, mailbox_id: int, path: str) -> list[tuple[str, FolderRow]]:
    """The folder of this path and all below it, by path; all of them if it is empty. Raises BadInput."""
    folders = ledger.folders(mailbox_id)
    named = {folder.source_id: folder for folder in folders}
    paths = sorted(((path_of(folder, named), folder) for folder in folders), key=lambda pair: pair[0].casefold())
    wanted = path.strip("/").casefold()
    chosen = [(name, folder) for name, folder in paths if not wanted or f"{name.casefold()}/".startswith(f"{wanted}/")]
    if not paths:
        raise BadInput("No pass has read this mailbox yet, so nothing of it can be missing; run it first.")
    if not chosen:
        names = [name for name, _ in paths]
        near = difflib.get_close_matches(wanted, [name.casefold() for name in names], 1)
        meant = next((name for name in names if near and name.casefold() == near[0]), "")
        raise BadInput(
            f"No pass has met a folder called {path} in this mailbox; "
            + (f"did you mean {meant}?" if meant else "`migrator status --folders` lists them.")
        )
    return chosen


def redo(
    ledger: Ledger,
    tenure: Tenure,
    source: Source,
    destination: Destination,
    chosen: Sequence[tuple[str, FolderRow]],
    *,
    dry_run: bool = False,
) -> list[Redone]:
    """Look at each folder on both sides and put what is missing back on the list. With ``dry_run`` only looks."""
    mailbox_id = tenure.lease.mailbox_id
    wanted = {folder.source_id for _, folder in chosen}
    now = {folder.id: folder for folder in source.folders() if folder.role is not Role.ROOT and folder.id in wanted}
    told = []
    for path, folder in chosen:
        done = [row for row in ledger.folder_rows(mailbox_id, folder.id) if row.state is ItemState.DONE]
        missing = _missing(destination, folder, done)
        entries: dict[bytes, Entry] = {}
        if missing and folder.source_id in now:
            keys = {row.key for row in missing}
            inventory = source.inventory(now[folder.source_id])
            entries = {item_key(entry.id): entry for entry in inventory if item_key(entry.id) in keys}
        steps, counts = _steps(ledger, mailbox_id, destination, folder, missing, entries)
        if not dry_run:
            for at in range(0, len(steps), _SETTLE):
                tenure.keep()
                ledger.settle(tenure.lease, steps[at : at + _SETTLE])
        told.append(
            Redone(
                folder=path,
                rows=len(done),
                there=len(done) - len(missing),
                found=counts["found"],
                again=counts["again"],
                lost=counts["lost"],
            )
        )
    return told


def _missing(destination: Destination, folder: FolderRow, done: Sequence[Row]) -> list[Row]:
    """Rows whose copy is in no folder at all."""
    if folder.target_id is None:
        return list(done)
    here = {entry.id for entry in destination.inventory(folder.target_id)}
    absent = [row for row in done if row.target not in here]
    found = []
    for at in range(0, len(absent), _LOOK):
        some = absent[at : at + _LOOK]
        found += destination.peek([row.target or "" for row in some])
    return [row for row, there in zip(absent, found, strict=True) if there is None]


def _steps(
    ledger: Ledger,
    mailbox_id: int,
    destination: Destination,
    folder: FolderRow,
    missing: Sequence[Row],
    entries: dict[bytes, Entry],
) -> tuple[list[Step], Counter[str]]:
    steps: list[Step] = []
    counts: Counter[str] = Counter(lost=sum(row.key not in entries for row in missing))
    there = [row for row in missing if row.key in entries]
    for at in range(0, len(there), _LOOK):
        some = there[at : at + _LOOK]
        identities = {row.key: identify(entries[row.key].facts, stamp_of(row.key)) for row in some}
        hits = destination.find(list(dict.fromkeys(identities.values())))
        owned = set(ledger.owners(mailbox_id, sorted({hit.id for each in hits.values() for hit in each})))
        for row in some:
            free = [hit for hit in hits[identities[row.key]] if hit.id not in owned]
            # A copy that carries the stamp of another item is that item's.
            mine = [hit for hit in free if hit.stamp is None or hit.stamp.casefold() == stamp_of(row.key)]
            hit = min(mine, key=lambda one: (one.stamp is None, one.folder_id != folder.target_id), default=None)
            if hit is not None:
                owned.add(hit.id)
                counts["found"] += 1
                steps.append(Step(row, adopted(row, hit.id, hit.version, here=hit.folder_id == folder.target_id), None))
            else:
                counts["again"] += 1
                steps.append(_again(row, entries[row.key]))
    return steps, counts


def _again(row: Row, entry: Entry) -> Step:
    """On the work list as the source has it now; what the target's user once did to the lost copy counts no more."""
    facts = entry.facts
    new = replace(
        row,
        state=ItemState.LISTED,
        version=short_hash(entry.version) or row.version,
        identity=plan.identity_of(facts),
        size=facts.size or row.size,
        marks=plan.marks_of(facts) | (row.marks & Mark.RECEIPT),
        lane="",
        target=None,
        target_version=b"",
        digest=b"",
    )
    return Step(row, new, Open(item_id=entry.id, source_version=entry.version, work=Work.CREATE, facts=plan.pack_facts(facts)))
