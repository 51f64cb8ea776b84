"""Where every wave stands: the rows of ``status --waves``, put together from those of its mailboxes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator import forecast
from migrator.forecast import Holding, Load, Rates, Span
from migrator.status import WIDTH, Standing, lay_out
from state.model import MailboxState

BEFORE_READY = frozenset({MailboxState.PLANNED, MailboxState.SEEDING, MailboxState.SYNCING})


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStanding:
    """One wave's row. ``states`` counts its mailboxes by state; ``oldest`` is for how many seconds nobody has looked for changes
    in the one that waits longest; ``finish`` how long what is open takes, nights and all, None if nothing says so."""

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


def wave_standings(rows: Iterable[Standing], waves: Mapping[str, tuple[str, dict[str, Any]]], rate: Rates) -> list[WaveStanding]:
    """The waves in the order of their first mailbox. ``waves`` is what was said of them, ``rate`` what passes brought an hour."""
    rows = list(rows)
    among = [_holding(row) for row in rows]
    mine: dict[str, list[Standing]] = {}
    for row in rows:
        mine.setdefault(row.wave, []).append(row)
    return [_wave(wave, some, waves.get(wave, ("OPEN", {}))[0], among, rate) for wave, some in mine.items()]


def _wave(wave: str, rows: Sequence[Standing], said: str, among: Sequence[Holding], rate: Rates) -> WaveStanding:
    states = Counter(row.state.value for row in rows)
    behind = [row.behind for row in rows if row.behind is not None and not row.flipped]
    return WaveStanding(
        wave=wave,
        state=said,
        mailboxes=len(rows),
        states=dict(states),
        gigabytes=sum(row.gigabytes for row in rows),
        oldest=max(behind, default=None),
        finish=forecast.finish(forecast.still_to_carry([_holding(row) for row in rows], among), rate),
        needs_you=_needs(rows, said),
    )


def _holding(row: Standing) -> Holding:
    whole = Load(row.done + row.pending, row.bytes + row.pending_bytes)
    return Holding(whole, Load(row.pending, row.pending_bytes), row.read)


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
            forecast.span(row.finish) if row.state == "OPEN" or row.finish == forecast.NOTHING else "-",
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
