"""Nothing may fall between the counts: what the source says that a folder holds has to be what our rows stand for.

    the source's own count = done + refused + withheld + filtered + pending + backfill

for every folder, at the end of every pass.

The two numbers have nothing in common: one is a property of the folder, the other grew row by row out of its feed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from state.model import PENDING, FolderRow, ItemState, MailboxRow, PassRow, PassState, Row, Work
from state.store import Ledger

PREFIX = "unaccounted."
"""Figures of a pass that begin so name a folder's number; their value is how many items are not accounted for."""

LOOKED_AT = 20
"""Passes among which the last clean one is looked for."""

_LEFT = frozenset({ItemState.DOOMED, ItemState.GONE})


def unaccounted(ledger: Ledger, mailbox_id: int, totals: Mapping[int, int]) -> dict[int, int]:
    """Folders whose count differs: positive, the source counts items that no row stands for; negative, there are rows too many.

    ``totals`` is what the source counts, by folder number.
    """
    rows: Counter[int] = Counter()
    for _, tally in ledger.tallies(mailbox_id):
        if tally.state not in _LEFT:
            rows[tally.folder_id] += tally.items
    for row in _staying(ledger, mailbox_id):
        rows[row.folder_id] -= 1
    return {folder_id: total - rows[folder_id] for folder_id, total in totals.items() if total != rows[folder_id]}


def _staying(ledger: Ledger, mailbox_id: int) -> Iterator[Row]:
    """What left the source, but may not be removed quietly: it counts as left."""
    return (row for row, _ in ledger.open_rows(mailbox_id, {ItemState.WITHHELD}, works={Work.REMOVE}))


def _held(ledger: Ledger, mailbox_id: int) -> dict[int, Counter[ItemState]]:
    """Items by folder and state."""
    held: dict[int, Counter[ItemState]] = defaultdict(Counter)
    for _, tally in ledger.tallies(mailbox_id):
        held[tally.folder_id][tally.state] += tally.items
    for row in _staying(ledger, mailbox_id):
        held[row.folder_id][ItemState.WITHHELD] -= 1
        held[row.folder_id][ItemState.GONE] += 1
    return held


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSum:
    """One folder's sum. ``counted`` is the source's own count at the last listing of the tree; ``off`` what the last pass could
    not account for. ``left`` items are gone from the source, so they are no part of ``counted``; ``backfill`` are those that a
    cutover does not wait for."""

    mailbox: str
    folder: str
    counted: int
    done: int
    refused: int
    withheld: int
    filtered: int
    pending: int
    left: int
    off: int
    backfill: int = 0


def folder_sums(ledger: Ledger, mailboxes: Iterable[MailboxRow]) -> Iterator[FolderSum]:
    """Every folder of these mailboxes that the source still shows or that rows lie in, by path."""
    for mailbox in mailboxes:
        held = _held(ledger, mailbox.id)
        off = last_told(ledger.passes(mailbox.id, LOOKED_AT))
        folders = ledger.folders(mailbox.id)
        named = {folder.source_id: folder for folder in folders}
        for path, folder in sorted(((path_of(folder, named), folder) for folder in folders), key=lambda pair: pair[0].casefold()):
            states = held[folder.id]
            if folder.absent and not states:
                continue
            yield FolderSum(
                mailbox=mailbox.source,
                folder=path,
                counted=0 if folder.absent else folder.total,
                done=states[ItemState.DONE],
                refused=states[ItemState.REFUSED],
                withheld=states[ItemState.WITHHELD],
                filtered=states[ItemState.FILTERED],
                pending=sum(states[state] for state in PENDING),
                left=sum(states[state] for state in _LEFT),
                off=off.get(folder.id, 0),
                backfill=states[ItemState.BACKFILL],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSum:
    """How many items of one mailbox one of the operator's rules keeps back."""

    mailbox: str
    rule: str
    items: int
    bytes: int


def rule_sums(ledger: Ledger, mailboxes: Iterable[MailboxRow]) -> list[RuleSum]:
    """What rules keep back, by mailbox and rule, in the order of the mailboxes."""
    found: list[RuleSum] = []
    for mailbox in mailboxes:
        number: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for one in ledger.kept_back(mailbox.id):
            number[one.rule] += one.items
            size[one.rule] += one.bytes
        found += [RuleSum(mailbox=mailbox.source, rule=rule, items=number[rule], bytes=size[rule]) for rule in sorted(number)]
    return found


def path_of(folder: FolderRow, named: Mapping[str, FolderRow]) -> str:
    """Where the folder lies, by the names above it; ``named`` are all folders of its mailbox by their source id."""
    parent = named.get(folder.parent_source_id or "")
    return folder.name if parent is None or parent is folder else f"{path_of(parent, named)}/{folder.name}"


def told_by(figures: Mapping[str, float]) -> dict[int, int]:
    """The same from the figures of a pass."""
    return {int(word.removeprefix(PREFIX)): int(value) for word, value in figures.items() if word.startswith(PREFIX)}


def last_told(passes: Iterable[PassRow]) -> dict[int, int]:
    """The same from the newest of these passes that ran to its end; ``passes`` are newest first."""
    return next((told_by(one.figures) for one in passes if one.state is PassState.DONE), {})


def off_by(told: Mapping[int, int]) -> int:
    """How many items that is, all folders together."""
    return sum(abs(number) for number in told.values())
