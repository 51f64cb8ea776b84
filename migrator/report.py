"""The report: what was carried, what was not and why, as one self-contained HTML file and as JSON, from the ledger alone.

For people who are not engineers: a traffic light and one sentence first, a line a mailbox, then what needs attention by name.
Never a subject, a body or a third person's address.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.conservation import last_told, off_by
from state.model import PENDING, ItemState, MailboxRow, MailboxState, PassRow
from state.store import Ledger
from state.views import Refused

_NEVER = "none yet"

_LISTED_REFUSALS = 500
"""Refusals named one by one; the rest are counted by reason."""


@dataclass(slots=True)
class MailboxLine:
    """One mailbox of the report.

    ``balance`` is the running sums minus the rows counted one by one, ``unaccounted`` what the source itself counts more or less
    than its listings showed; both have to be 0.
    """

    wave: str
    source: str
    target: str
    state: str
    cause: str
    listed: int
    done: int
    pending: int
    refused: int
    withheld: int
    approved: int
    filtered: int
    left: int
    bytes: int
    balance: int
    unaccounted: int
    last_pass: str
    settings: dict[str, int] = field(default_factory=dict)
    """How many settings are carried, waiting for the operator's word, listed and scripted; empty if nobody carried any."""
    waited: dict[str, float] = field(default_factory=dict)


def gather(ledger: Ledger, wave: str | None = None) -> dict[str, Any]:
    """The whole report as plain values; what the HTML shows and ``--json`` prints."""
    mailboxes = ledger.mailboxes(wave)
    kept: dict[int, Counter[ItemState]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    for mailbox_id, tally in ledger.tallies():
        kept[mailbox_id][tally.state] += tally.items
        if tally.state is ItemState.DONE:
            sizes[mailbox_id] += tally.bytes
    passes: dict[int, list[PassRow]] = defaultdict(list)
    for one in ledger.passes():
        passes[one.mailbox_id].append(one)
    approved = ledger.approvals.approved()
    settings = ledger.settings.counts()
    lines = [_line(ledger, row, kept[row.id], sizes[row.id], passes[row.id], len(approved.get(row.id, ()))) for row in mailboxes]
    for row, line in zip(mailboxes, lines, strict=True):
        line.settings = settings.get(row.id, {})
    ids = {row.id: row.source for row in mailboxes}
    refusals = [
        {**_told(ids[one.mailbox_id], one), "approved": one.key in approved.get(one.mailbox_id, ())}
        for one in ledger.refusals()
        if one.mailbox_id in ids
    ]
    left_alone = [_told(ids[one.mailbox_id], one) for one in ledger.left_alone() if one.mailbox_id in ids]
    reasons = Counter(one["reason"] for one in refusals)
    degraded: Counter[str] = Counter()
    for row in mailboxes:
        for one in passes[row.id]:
            for word, value in one.figures.items():
                if word.startswith("degraded."):
                    degraded[word.removeprefix("degraded.")] += int(value)
    light, sentence = _verdict(lines)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "wave": wave or "all waves",
        "light": light,
        "sentence": sentence,
        "totals": {
            "mailboxes": len(lines),
            "listed": sum(line.listed for line in lines),
            "done": sum(line.done for line in lines),
            "pending": sum(line.pending for line in lines),
            "refused": sum(line.refused for line in lines),
            "withheld": sum(line.withheld for line in lines),
            "approved": sum(line.approved for line in lines),
            "left": sum(line.left for line in lines),
            "bytes": sum(line.bytes for line in lines),
            "balance": sum(abs(line.balance) for line in lines),
            "unaccounted": sum(line.unaccounted for line in lines),
        },
        "mailboxes": [asdict(line) for line in lines],
        "reasons": dict(reasons.most_common()),
        "degraded": dict(degraded.most_common()),
        "refusals": refusals[:_LISTED_REFUSALS],
        "refusals_not_shown": max(0, len(refusals) - _LISTED_REFUSALS),
        "left_alone": left_alone[:_LISTED_REFUSALS],
        "left_alone_not_shown": max(0, len(left_alone) - _LISTED_REFUSALS),
    }


def _told(mailbox: str, one: Refused) -> dict[str, Any]:
    return {
        "mailbox": mailbox,
        "folder": one.folder_name,
        "state": one.state.name,
        "size": one.size,
        "reason": one.reason,
        "detail": one.detail,
        "code": one.code,
        "key": one.key.hex(),
    }


def _line(
    ledger: Ledger, row: MailboxRow, counts: Counter[ItemState], size: int, passes: list[PassRow], approved: int
) -> MailboxLine:
    counted: Counter[ItemState] = Counter()
    for tally in ledger.recount(row.id):
        counted[tally.state] += tally.items
    waited: Counter[str] = Counter()
    for one in passes:
        for word, value in one.figures.items():
            name = word.partition("waited.")[2]
            # Many requests wait for a slot at the same time, so those seconds add up to more than the pass took.
            if name and value >= 1 and not name.endswith(("slots", "connections")):
                waited[name] += int(value)
    last = passes[0] if passes else None
    return MailboxLine(
        wave=row.wave,
        source=row.source,
        target=row.target,
        state=row.state.value,
        cause=row.cause,
        listed=sum(counts.values()),
        done=counts[ItemState.DONE],
        pending=sum(counts[state] for state in PENDING),
        refused=counts[ItemState.REFUSED],
        withheld=counts[ItemState.WITHHELD],
        approved=approved,
        filtered=counts[ItemState.FILTERED],
        left=counts[ItemState.DOOMED] + counts[ItemState.GONE],
        bytes=size,
        # The sums kept beside the rows against the rows counted one by one: two ways that have to agree.
        balance=sum(counts.values()) - sum(counted.values()),
        unaccounted=off_by(last_told(passes)),
        last_pass=f"{last.kind.value} {last.state.value} {_moment(last.ended or last.started)}" if last else _NEVER,
        waited=dict(waited),
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _verdict(lines: list[MailboxLine]) -> tuple[str, str]:
    held = [line for line in lines if line.state in (MailboxState.HELD, MailboxState.FAILED)]
    unbalanced = [line for line in lines if line.balance]
    pending = sum(line.pending for line in lines)
    approved = sum(line.approved for line in lines)
    refused = sum(line.refused + line.withheld for line in lines) - approved
    if unbalanced:
        return "red", f"The sums of {len(unbalanced)} mailboxes do not add up: stop and look before anything else."
    if held:
        return "red", f"{len(held)} of {len(lines)} mailboxes need a person before they can go on."
    if not lines:
        return "amber", "No mailbox is planned yet."
    if pending or any(line.last_pass == _NEVER for line in lines):
        return "amber", f"{pending:,} items are still to be carried; nothing is lost, run again."
    unaccounted = sum(line.unaccounted for line in lines)
    if unaccounted:
        return "amber", f"The source counts {unaccounted:,} items more or less than its listings show: look before you go on."
    if refused:
        return "amber", f"Everything that can go has arrived; {refused:,} items can't go and are listed by name below."
    if approved:
        return "green", f"Everything has arrived but {approved:,} items that stay behind by approval; they are listed below."
    return "green", f"All {sum(line.done for line in lines):,} items of {len(lines)} mailboxes have arrived."


def write_report(ledger: Ledger, out: Path, *, wave: str | None = None) -> Path:
    """Write the HTML report to ``out`` (a file, or a folder that then gets ``report.html``) and return the file's path."""
    import jinja2

    target = out / "report.html" if out.is_dir() or not out.suffix else out
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("migrator", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["size"] = _size
    environment.filters["seconds"] = lambda value: time.strftime("%H:%M:%S", time.gmtime(value))
    page = environment.get_template("report.html").render(report=gather(ledger, wave))
    target.write_text(page, encoding="utf-8")
    return target


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError
