"""Where every mailbox stands, by the ledger alone: the rows of ``status`` and the sentence above them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from state.model import PENDING, ItemState, MailboxState

if TYPE_CHECKING:
    from migrator.conservation import FolderSum
    from state.store import Ledger

WIDTH = 100
"""Columns that a table may take; it has to fit a terminal beside a mail program."""

_LAST = 10
"""Columns that the last column of a table has at least, if it needs them."""

_LEAST = 12
"""Columns below which no column is cut for the sake of another."""

_CARRIED = frozenset({ItemState.DONE, ItemState.REFUSED, ItemState.WITHHELD, ItemState.FILTERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One mailbox's row. ``share`` is settled items by those there are, 0 to 1; None when nothing was listed yet.

    ``gigabytes`` (10^9) are those that arrived. ``refused`` counts refused and withheld items,
    ``approved`` those of them that a person let stay behind.
    """

    wave: str
    source: str
    target: str
    state: MailboxState
    share: float | None
    items: int
    gigabytes: float
    pending: int
    refused: int
    approved: int
    cause: str


def standings(ledger: Ledger, wave: str | None = None) -> list[Standing]:
    """All mailboxes of a wave, or of all waves, in the ledger's order. Reads sums only, whatever the size of the ledger."""
    counts: dict[int, Counter[ItemState]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    for mailbox_id, tally in ledger.tallies():
        counts[mailbox_id][tally.state] += tally.items
        if tally.state is ItemState.DONE:
            sizes[mailbox_id] += tally.bytes
    approved = ledger.approvals.approved_counts()
    rows = []
    for row in ledger.mailboxes(wave):
        mine = counts[row.id]
        items = sum(number for state, number in mine.items() if state is not ItemState.GONE)
        settled = sum(mine[state] for state in _CARRIED)
        rows.append(
            Standing(
                wave=row.wave,
                source=row.source,
                target=row.target,
                state=row.state,
                share=settled / items if items else None,
                items=items,
                gigabytes=sizes[row.id] / 1e9,
                pending=sum(mine[state] for state in PENDING),
                refused=mine[ItemState.REFUSED] + mine[ItemState.WITHHELD],
                approved=approved[row.id],
                cause=row.cause,
            )
        )
    return rows


def headline(rows: Sequence[Standing]) -> str:
    """One sentence: what needs a person, else what to do next."""
    if not rows:
        return "No mailbox is planned yet; `migrator run` plans those of the waves file."
    states = Counter(row.state for row in rows)
    aside = [(states[state], state.value) for state in (MailboxState.HELD, MailboxState.FAILED) if states[state]]
    if aside:
        what = " and ".join(f"{number} {word}" for number, word in aside)
        return f"A person is needed: of {_mailboxes(len(rows))}, {what}; the cause says what to do."
    paused = states[MailboxState.PAUSED]
    if paused:
        return f"Nothing needs a person but a look at the cause: of {_mailboxes(len(rows))}, {paused} PAUSED; run again to go on."
    pending = sum(row.pending for row in rows)
    if pending or any(row.state in (MailboxState.PLANNED, MailboxState.SEEDING) for row in rows):
        return f"Nothing needs a person; {_mailboxes(len(rows))}, {pending:,} items known to be still to carry."
    approved = sum(row.approved for row in rows)
    refused = sum(row.refused for row in rows) - approved
    if refused:
        return f"Nothing needs a person to go on; {refused:,} items can't go, `migrator errors list` says why and what to do."
    if approved:
        return f"Nothing needs a person; all of {_mailboxes(len(rows))} is carried but {approved:,} items that stay by approval."
    return f"Nothing needs a person; all of {_mailboxes(len(rows))} is carried as of the last pass."


def _mailboxes(number: int) -> str:
    return "1 mailbox" if number == 1 else f"{number:,} mailboxes"


def percent(share: float | None) -> str:
    """A share for people; never rounded up to 100."""
    if share is None:
        return "-"
    return "100" if share >= 1 else f"{min(99.9, share * 100):.1f}"


def table(rows: Sequence[Standing], width: int = WIDTH) -> list[str]:
    """The rows as lines of text, none longer than ``width``; a name or cause that does not fit is cut with ``…``."""
    heading = ("MAILBOX", "STATE", "DONE%", "ITEMS", "GB", "PENDING", "REFUSED", "CAUSE")
    cells = [
        (
            row.source,
            row.state.value,
            percent(row.share),
            f"{row.items:,}",
            f"{row.gigabytes:,.2f}",
            f"{row.pending:,}",
            f"{row.refused:,}",
            row.cause,
        )
        for row in rows
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1, 7}), limits={0: 32})


def folder_table(sums: Sequence[FolderSum], width: int = WIDTH) -> list[str]:
    """The sums of folders as lines of text: COUNTED by the source is DONE + CAN'T + FILTERED + OPEN + OFF; OFF has to be 0."""
    heading = ("MAILBOX", "FOLDER", "COUNTED", "DONE", "CAN'T", "FILTERED", "OPEN", "LEFT", "OFF")
    cells = [
        (
            one.mailbox,
            one.folder,
            f"{one.counted:,}",
            f"{one.done:,}",
            f"{one.refused + one.withheld:,}",
            f"{one.filtered:,}",
            f"{one.pending:,}",
            f"{one.left:,}",
            f"{one.off:,}" if one.off else "-",
        )
        for one in sums
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1}), limits={0: 24, 1: 28})


def lay_out(
    heading: Sequence[str],
    cells: Sequence[Sequence[str]],
    width: int,
    *,
    left: frozenset[int],
    limits: dict[int, int],
) -> list[str]:
    """Columns side by side, two spaces between; the last one takes what is left of ``width``.

    ``limits`` are the columns that may be cut, and their widest; the others hold numbers and are never cut.
    """
    sizes = [max(len(one[at]) for one in [heading, *cells]) for at in range(len(heading))]
    for at, limit in limits.items():
        sizes[at] = min(sizes[at], limit)
    room = width - 2 * (len(sizes) - 1) - sum(sizes[:-1])
    # The last column keeps room for its beginning at least; the ones with limits give way for that.
    for at in limits:
        missing = max(0, min(sizes[-1], _LAST) - room)
        given = min(missing, max(0, sizes[at] - _LEAST))
        sizes[at] -= given
        room += given
    sizes[-1] = max(0, min(sizes[-1], room))
    lines = []
    for one in [heading, *cells]:
        parts = [
            cut(text, size).ljust(size) if at in left else cut(text, size).rjust(size)
            for at, (text, size) in enumerate(zip(one, sizes, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return lines


def cut(text: str, size: int) -> str:
    """The text in so many columns, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= size else text[: max(0, size - 1)] + "…" * (size > 0)


def sentences(*parts: str) -> str:
    """Parts, each as a whole sentence, one after the other; empty ones left out."""
    whole = [part.strip() for part in parts if part.strip()]
    return " ".join(part[0].upper() + part[1:] + ("" if part.endswith((".", "!", "?")) else ".") for part in whole)
