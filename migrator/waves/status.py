"""Where every wave stands: the rows of ``status --waves``, put together from those of its mailboxes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator import forecast
from migrator.forecast import Load, Span, Speed
from migrator.status import WIDTH, Standing, lay_out
from state.model import MailboxState

BEFORE_READY = frozenset({MailboxState.PLANNED, MailboxState.SEEDING, MailboxState.SYNCING})


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStanding:
    """One wave's row. ``states`` counts its mailboxes by state; ``oldest`` is for how many seconds nobody has looked for changes
    in the one that waits longest; ``finish`` how long what is known to be open takes, None if nothing says so."""

    wave: str
    state: str
    mailboxes: int
    states: dict[str, int]
    gigabytes: float
    oldest: float | None
    finish: Span | None
    needs_you: str

    def count(self, *states: MailboxState) -> int:
        """Mailboxes in any of these states."""
        return sum(self.states.get(state.value, 0) for state in states)


def wave_standings(
    rows: Iterable[Standing], waves: Mapping[str, tuple[str, dict[str, Any]]], pool: Speed, at_once: int, apart: int | None = None
) -> list[WaveStanding]:
    """The waves in the order of their first mailbox. ``waves`` is what was said of them, ``pool`` what passes took,
    ``apart`` how many of those at once have budgets of their own (None: all)."""
    mine: dict[str, list[Standing]] = {}
    for row in rows:
        mine.setdefault(row.wave, []).append(row)
    return [_wave(wave, some, waves.get(wave, ("OPEN", {}))[0], pool, at_once, apart) for wave, some in mine.items()]


def _wave(wave: str, rows: Sequence[Standing], said: str, pool: Speed, at_once: int, apart: int | None) -> WaveStanding:
    states = Counter(row.state.value for row in rows)
    behind = [row.behind for row in rows if row.behind is not None and not row.flipped]
    return WaveStanding(
        wave=wave,
        state=said,
        mailboxes=len(rows),
        states=dict(states),
        gigabytes=sum(row.gigabytes for row in rows),
        oldest=max(behind, default=None),
        finish=forecast.together([_left(row, pool) for row in rows], at_once, apart),
        needs_you=_needs(rows, said),
    )


def _left(row: Standing, pool: Speed) -> Span | None:
    if row.share is None and row.state in (MailboxState.PLANNED, MailboxState.SEEDING):
        return None  # nobody has counted it yet
    return forecast.carrying(Load(row.pending, row.pending_bytes), pool)


_UNSWEPT = "have late mail waiting"


def _needs(rows: Sequence[Standing], said: str) -> str:
    states = Counter(row.state for row in rows)
    approvals = sum(row.refused > row.approved for row in rows)
    told = [
        (states[MailboxState.HELD], "held"),
        (states[MailboxState.FAILED], "failed"),
        (sum(row.unswept for row in rows), _UNSWEPT),
        (sum(row.sent_from_old > 0 for row in rows), "still send from the old side"),
        (approvals, "want approvals"),
        (states[MailboxState.READY], "to cut over"),
    ]
    parts = [f"{number:,} {what}" for number, what in told if number]
    return ", ".join(parts) or ("to be started again" if said == "PAUSED" else "-")


def wave_headline(rows: Sequence[WaveStanding]) -> str:
    """One sentence: which waves need a person."""
    if not rows:
        return "No wave is planned yet; `migrator wave import FILE` plans those of a spreadsheet."
    waiting = [row.wave for row in rows if row.count(MailboxState.HELD, MailboxState.FAILED)]
    number = "1 wave" if len(rows) == 1 else f"{len(rows):,} waves"
    if waiting:
        more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        return f"A person is needed: of {number}, {', '.join(waiting[:3])}{more} have mailboxes that are held or failed."
    unswept = [row.wave for row in rows if _UNSWEPT in row.needs_you]
    if unswept:
        return f"A person is needed: late mail waits at the source, because these do not run: {', '.join(unswept[:3])}."
    wanting = [row.wave for row in rows if "approvals" in row.needs_you]
    if wanting:
        more = f" and {len(wanting) - 3} more" if len(wanting) > 3 else ""
        return f"A person is needed before cutover: of {number}, {', '.join(wanting[:3])}{more} want approvals."
    return f"Nothing needs a person at once; {number}."


def wave_table(rows: Sequence[WaveStanding], width: int = WIDTH) -> list[str]:
    """The rows as lines of text. READY counts mailboxes that may be cut over or are beyond that."""
    heading = ("WAVE", "STATE", "READY/HELD/FAILED", "GB", "OLDEST-DELTA", "FINISH", "NEEDS-YOU")
    cells = [
        (
            row.wave,
            row.state,
            f"{ready(row)}/{row.count(MailboxState.HELD)}/{row.count(MailboxState.FAILED)} of {row.mailboxes}",
            f"{row.gigabytes:,.2f}" if row.gigabytes < 100 else f"{row.gigabytes:,.0f}",
            "-" if row.oldest is None else forecast.duration(row.oldest),
            forecast.span(row.finish),
            row.needs_you,
        )
        for row in rows
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1, 6}), limits={0: 24})


def ready(row: WaveStanding) -> int:
    """Mailboxes of a wave that are ready for their cutover, or beyond."""
    aside = row.count(MailboxState.HELD, MailboxState.FAILED, MailboxState.PAUSED)
    return row.mailboxes - aside - row.count(*BEFORE_READY)


WAVE_COLUMNS = (
    "wave", "state", "mailboxes", "ready", "held", "failed", "gigabytes", "oldest_delta_seconds", "finish_least_seconds",
    "finish_most_seconds", "needs_you",
)  # fmt: skip
"""What ``wave_sheet`` has in its columns."""


def wave_sheet(rows: Iterable[WaveStanding]) -> list[list[str | int | float | None]]:
    """The same rows for a spreadsheet."""
    return [
        [
            row.wave,
            row.state,
            row.mailboxes,
            ready(row),
            row.count(MailboxState.HELD),
            row.count(MailboxState.FAILED),
            round(row.gigabytes, 6),
            None if row.oldest is None else round(row.oldest),
            None if row.finish is None else round(row.finish.least),
            None if row.finish is None else round(row.finish.most),
            row.needs_you,
        ]
        for row in rows
    ]
