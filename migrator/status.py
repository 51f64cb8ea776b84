"""Where every mailbox stands, by the ledger alone: the rows of ``status`` and the sentence above them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from migrator import forecast
from migrator.counts import mailboxes
from migrator.forecast import Load, Span, Speed
from state.glance import Glance, Held, Ran
from state.model import AFTER_CUTOVER, ASIDE, ItemState, MailboxRow, MailboxState, PassState, stands

if TYPE_CHECKING:
    from migrator.engine.conservation import FolderSum, RuleSum
    from state.store import Ledger

WIDTH = 100
"""Columns that a table may take; it has to fit a terminal beside a mail program."""

_LAST = 10
"""Columns that the last column of a table has at least, if it needs them."""

_LEAST = 12
"""Columns below which no column is cut for the sake of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One mailbox's row. ``share`` is settled items by those there are, 0 to 1; None when nothing was listed yet.

    ``done`` items and ``bytes`` arrived, ``gigabytes`` (10^9) are the same. ``read``: a pass has looked at it.
    ``refused`` counts refused and withheld items, ``approved`` those of them that a person let stay behind; ``backfill`` are
    older items that are carried after everything else. ``behind`` is for how many
    seconds nobody has looked for changes at the source, ``last_pass`` when the last pass ended (wall-clock seconds), ``final``
    how long a final pass would take now. ``flipped``: mail goes to the target; ``unswept``: and its wave does not run, so late
    mail waits. The last four are what was last seen of arriving mail; times are ISO 8601 in UTC, empty if nothing was seen.
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
    done: int = 0
    bytes: int = 0
    pending_bytes: int = 0
    read: bool = False
    backfill: int = 0
    running: bool = False
    behind: float | None = None
    last_pass: float | None = None
    final: Span | None = None
    waiting_for: str = ""
    flipped: bool = False
    unswept: bool = False
    last_in_source: str = ""
    last_in_target: str = ""
    late: int = 0
    sent_from_old: int = 0


def standings(ledger: Ledger | Glance, wave: str | None = None, *, now: float | None = None) -> list[Standing]:
    """All mailboxes of a wave, or of all waves, in the ledger's order. Reads sums only, whatever the size of the ledger."""
    glance = ledger if isinstance(ledger, Glance) else ledger.glance()
    now = time.time() if now is None else now
    held, approved, passes, waves = glance.held(), glance.approved(), glance.passes(), glance.waves()
    pool = forecast.speed(forecast.samples(glance.seeds()))
    arrivals = glance.observed("arrivals")
    # What a process that serves says of those who wait; one that is gone says nothing any more.
    served = glance.observed("waits") if glance.hinted("serve") > now else {}
    nothing = Held({}, {})
    return [
        _standing(
            row,
            held.get(row.id, nothing),
            approved[row.id],
            passes.get(row.id, []),
            arrivals.get(row.id, {}),
            waves.get(row.wave, ("OPEN", {})),
            pool,
            now,
            served.get(row.id, {}),
        )
        for row in glance.mailboxes(wave)
    ]


def _standing(
    row: MailboxRow,
    held: Held,
    approved: int,
    passes: Sequence[Ran],
    arrivals: dict[str, Any],
    wave: tuple[str, dict[str, Any]],
    pool: Speed,
    now: float,
    served: dict[str, Any],
) -> Standing:
    mine, size = held.items, held.bytes
    items = sum(mine.values()) - mine.get(ItemState.GONE, 0)
    pending = mine.get(ItemState.LISTED, 0) + mine.get(ItemState.INTENDED, 0)
    load = Load(pending, size.get(ItemState.LISTED, 0) + size.get(ItemState.INTENDED, 0))
    refused = mine.get(ItemState.REFUSED, 0) + mine.get(ItemState.WITHHELD, 0)
    settled = mine.get(ItemState.DONE, 0) + refused + mine.get(ItemState.FILTERED, 0)
    clean = next((one for one in passes if one.state is PassState.DONE), None)
    ended = next((one.ended for one in passes if one.ended is not None), None)
    behind = max(0.0, now - clean.started) if clean else None
    running = row.lease_until > now and row.owner is not None
    flipped = stands(row.state, row.came_from) in AFTER_CUTOVER
    return Standing(
        wave=row.wave,
        source=row.source,
        target=row.target,
        state=row.state,
        share=settled / items if items else None,
        items=items,
        gigabytes=size.get(ItemState.DONE, 0) / 1e9,
        pending=pending,
        refused=refused,
        approved=approved,
        cause=row.cause,
        done=mine.get(ItemState.DONE, 0),
        bytes=size.get(ItemState.DONE, 0),
        pending_bytes=load.bytes,
        read=bool(passes),
        backfill=mine.get(ItemState.BACKFILL, 0),
        running=running,
        behind=behind,
        last_pass=ended,
        final=None if flipped else forecast.final_now(passes, load, now, pool),
        waiting_for=waits_for(
            row,
            running=running,
            pending=pending,
            unapproved=refused - approved,
            wave=wave[0],
            start=_text(wave[1], "start_after"),
            served=_served(served),
        ),
        flipped=flipped,
        unswept=flipped and wave[0] != "OPEN" and row.state is not MailboxState.CLOSED,
        last_in_source=_text(arrivals, "last_in_source"),
        last_in_target=_text(arrivals, "last_in_target"),
        late=sum(_number(one) for one in (arrivals.get("late") or {}).values()),
        sent_from_old=_number(arrivals.get("sent_from_old")),
    )


def _text(told: dict[str, Any], name: str) -> str:
    return str(told.get(name) or "")


def _served(told: dict[str, Any]) -> str:
    """What a process that serves says of a mailbox that waits: until when, and why."""
    until, why = _text(told, "until"), _text(told, "why")
    return f"until {until}: {why}" if until else why


def _number(told: object) -> int:
    """A count; whatever else was written down counts as one."""
    return int(told) if isinstance(told, int | float) else int(bool(told))


_NEXT = {
    MailboxState.PLANNED: "its first pass",
    MailboxState.SEEDING: "its first pass to end; run again",
    MailboxState.SYNCING: "a clean pass",
    MailboxState.READY: "its cutover",
    MailboxState.LOCKED: "its final pass",
    MailboxState.FINAL: "its routing",
    MailboxState.ROUTED: "its first sweep",
    MailboxState.SWEEPING: "late mail; sweeps go on",
    MailboxState.BACKFILLING: "its older mail",
    MailboxState.CLOSED: "nothing",
}


def waits_for(
    row: MailboxRow, *, running: bool, pending: int, unapproved: int, wave: str = "OPEN", start: str = "", served: str = ""
) -> str:
    """What has to happen next for a mailbox, in a few words: there is no mailbox of which nobody knows why it stands still.

    ``served`` is what a process that serves just now says of it.
    """
    if row.state is MailboxState.PAUSED and served:
        return served
    if row.state in ASIDE:
        return row.cause or "a person; nothing was written down about why"
    if running:
        return "its pass, which runs now"
    if wave != "OPEN" and row.state is not MailboxState.CLOSED:
        if row.state in AFTER_CUTOVER:
            return f"late mail; its wave is {wave}"
        return f"its wave, which is {wave}"
    if row.state in (MailboxState.PLANNED, MailboxState.SEEDING) and served:
        return served
    if row.state is MailboxState.PLANNED and start:
        return f"its first pass, after {start}"
    if row.state is MailboxState.SYNCING:
        if row.cause:
            return row.cause
        if pending:
            return f"{pending:,} {'item' if pending == 1 else 'items'} still to carry"
        if unapproved:
            return f"{unapproved:,} {'approval' if unapproved == 1 else 'approvals'} (`migrator errors list`)"
    return _NEXT[row.state]


def headline(rows: Sequence[Standing]) -> str:
    """One sentence: what needs a person, else what to do next."""
    if not rows:
        return "No mailbox is planned yet; `migrator wave import FILE` plans those of a spreadsheet."
    states = Counter(row.state for row in rows)
    aside = [(states[state], state.value) for state in (MailboxState.HELD, MailboxState.FAILED) if states[state]]
    if aside:
        what = " and ".join(f"{number} {word}" for number, word in aside)
        return f"A person is needed: of {mailboxes(len(rows))}, {what}; the cause says what to do."
    unswept = [row for row in rows if row.unswept]
    if unswept:
        return (
            f"A person is needed: late mail of {mailboxes(len(unswept))} waits at the source, because the wave {unswept[0].wave}"
            " does not run; see `migrator wave list`."
        )
    old = sum(row.sent_from_old > 0 for row in rows)
    if old:
        return f"A person is needed: {mailboxes(old)} still sent from the old side; see `migrator status --old-profile`."
    paused = states[MailboxState.PAUSED]
    if paused:
        return f"Nothing needs a person but a look at the cause: of {mailboxes(len(rows))}, {paused} PAUSED; run again to go on."
    pending = sum(row.pending for row in rows)
    if pending or any(row.state in (MailboxState.PLANNED, MailboxState.SEEDING) for row in rows):
        return f"Nothing needs a person; {mailboxes(len(rows))}, {pending:,} items known to be still to carry."
    approved = sum(row.approved for row in rows)
    refused = sum(row.refused for row in rows) - approved
    if refused:
        return (
            f"A person is needed before cutover: {refused:,} items can't go and nobody approved them; see `migrator errors list`."
        )
    backfill = sum(row.backfill for row in rows)
    if backfill:
        return f"Nothing needs a person; everything that a cutover waits for is carried, {backfill:,} items of older mail follow."
    if approved:
        return f"Nothing needs a person; all of {mailboxes(len(rows))} is carried but {approved:,} items that stay by approval."
    return f"Nothing needs a person; all of {mailboxes(len(rows))} is carried as of the last pass."


def percent(share: float | None) -> str:
    """A share for people; never rounded up to 100."""
    if share is None:
        return "-"
    return "100" if share >= 1 else f"{min(99.9, share * 100):.1f}"


def table(rows: Sequence[Standing], width: int = WIDTH, *, now: float | None = None) -> list[str]:
    """Mailboxes before the flip as lines of text, none longer than ``width``; what does not fit is cut with ``…``.

    REFUSED are those that nobody approved; FINAL≈ is how long the last pass would take now.
    """
    now = time.time() if now is None else now
    heading = ("MAILBOX", "STATE", "DONE%", "ITEMS", "GB", "BEHIND", "LAST-PASS", "FINAL≈", "REFUSED", "WAITING-FOR")
    cells = [
        (
            row.source,
            row.state.value,
            percent(row.share),
            f"{row.items:,}",
            f"{row.gigabytes:,.2f}" if row.gigabytes < 100 else f"{row.gigabytes:,.0f}",
            "-" if row.behind is None else forecast.duration(row.behind),
            moment(row.last_pass, now),
            forecast.span(row.final),
            f"{row.refused - row.approved:,}",
            row.waiting_for,
        )
        for row in rows
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1, 9}), limits={0: 32, 7: 12}, last=14)


def after_table(rows: Sequence[Standing], width: int = WIDTH, *, now: float | None = None) -> list[str]:
    """Mailboxes after the flip: where mail still arrives, and what is still open."""
    now = time.time() if now is None else now
    heading = ("MAILBOX", "STATE", "LAST-IN-SOURCE", "LAST-IN-TARGET", "LATE", "SENT-FROM-OLD", "OPEN")
    cells = [
        (
            row.source,
            row.state.value,
            moment(seconds(row.last_in_source), now),
            moment(seconds(row.last_in_target), now),
            f"{row.late:,}",
            f"{row.sent_from_old:,}",
            row.waiting_for if row.unswept or not row.pending + row.backfill else f"{row.pending + row.backfill:,}",
        )
        for row in rows
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1, 6}), limits={0: 32})


def tables(rows: Sequence[Standing], width: int = WIDTH, *, now: float | None = None) -> list[str]:
    """Both of them, each with a blank line above, and none without a row."""
    parts = ((table, [row for row in rows if not row.flipped]), (after_table, [row for row in rows if row.flipped]))
    return [line for lay, some in parts if some for line in ("", *lay(some, width, now=now))]


COLUMNS = (
    "wave", "mailbox", "target", "state", "done_percent", "items", "gigabytes", "pending", "backfill", "behind_seconds",
    "last_pass",
    "final_least_seconds", "final_most_seconds", "refused", "approved", "waiting_for", "last_in_source", "last_in_target", "late",
    "sent_from_old",
)  # fmt: skip
"""What ``sheet`` has in its columns."""


def sheet(rows: Iterable[Standing]) -> list[list[str | int | float | None]]:
    """The same rows for a spreadsheet, whole numbers and all; times are ISO 8601 in UTC."""
    return [
        [
            row.wave,
            row.source,
            row.target,
            row.state.value,
            None if row.share is None else round(100 * row.share, 3),
            row.items,
            round(row.gigabytes, 6),
            row.pending,
            row.backfill,
            None if row.behind is None else round(row.behind),
            None if row.last_pass is None else datetime.fromtimestamp(row.last_pass, UTC).isoformat(timespec="seconds"),
            None if row.final is None else round(row.final.least),
            None if row.final is None else round(row.final.most),
            row.refused,
            row.approved,
            row.waiting_for,
            row.last_in_source,
            row.last_in_target,
            row.late,
            row.sent_from_old,
        ]
        for row in rows
    ]


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def moment(when: float | None, now: float, zone: tzinfo | None = None) -> str:
    """A moment of the past in the operator's zone: ``14:02`` today, ``Fri 14:02`` within six days, else ``2026-11-20``."""
    if when is None:
        return "-"
    if zone is None:
        then, today = time.localtime(when), time.localtime(now)
    else:
        then, today = (datetime.fromtimestamp(one, zone).timetuple() for one in (when, now))
    clock = f"{then.tm_hour:02}:{then.tm_min:02}"
    if then[:3] == today[:3]:
        return clock
    if 0 <= now - when < 6.5 * 86400:
        return f"{_DAYS[then.tm_wday]} {clock}"
    return f"{then.tm_year}-{then.tm_mon:02}-{then.tm_mday:02}"


def seconds(iso: str) -> float | None:
    """Wall-clock seconds of an ISO time; None for an empty one, or one that is none."""
    try:
        then = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()


def folder_table(sums: Sequence[FolderSum], width: int = WIDTH) -> list[str]:
    """The sums of folders as lines of text: COUNTED by the source is all of them but LEFT; OFF has to be 0."""
    heading = ("MAILBOX", "FOLDER", "COUNTED", "DONE", "CAN'T", "FILTERED", "OPEN", "OLD", "LEFT", "OFF")
    cells = [
        (
            one.mailbox,
            one.folder,
            f"{one.counted:,}",
            f"{one.done:,}",
            f"{one.refused + one.withheld:,}",
            f"{one.filtered:,}",
            f"{one.pending:,}",
            f"{one.backfill:,}",
            f"{one.left:,}",
            f"{one.off:,}" if one.off else "-",
        )
        for one in sums
    ]
    return lay_out(heading, cells, width, left=frozenset({0, 1}), limits={0: 24, 1: 28})


def rule_table(sums: Sequence[RuleSum], width: int = WIDTH) -> list[str]:
    """What each of the operator's rules keeps back, as lines of text."""
    cells = [(one.mailbox, one.rule, f"{one.items:,}", f"{one.bytes / 1e6:,.1f}") for one in sums]
    return lay_out(("MAILBOX", "KEPT BACK BY RULE", "ITEMS", "MB"), cells, width, left=frozenset({0, 1}), limits={0: 40, 1: 40})


def lay_out(
    heading: Sequence[str],
    cells: Sequence[Sequence[str]],
    width: int,
    *,
    left: frozenset[int],
    limits: dict[int, int],
    last: int = _LAST,
) -> list[str]:
    """Columns side by side, two spaces between; the last one takes what is left of ``width``.

    ``limits`` are the columns that may be cut, and their widest; the others hold numbers and are never cut. The last column
    has at least ``last`` if it needs them and the ones with limits can give them.
    """
    sizes = [max(map(len, column)) for column in zip(heading, *cells, strict=True)]
    for at, limit in limits.items():
        sizes[at] = min(sizes[at], limit)
    room = width - 2 * (len(sizes) - 1) - sum(sizes[:-1])
    # The last column keeps room for its beginning at least; the ones with limits give way for that.
    for at in limits:
        missing = max(0, min(sizes[-1], last) - room)
        given = min(missing, max(0, sizes[at] - _LEAST))
        sizes[at] -= given
        room += given
    sizes[-1] = max(0, min(sizes[-1], room))
    columns = []
    cutting = {*limits, len(sizes) - 1}
    # Column by column: of tens of thousands of lines each look at a cell counts. Numbers need no look at their letters.
    for at, (column, size) in enumerate(zip(zip(heading, *cells, strict=True), sizes, strict=True)):
        texts = [cut(text, size) for text in column] if at in cutting else list(column)
        columns.append([text.ljust(size) for text in texts] if at in left else [text.rjust(size) for text in texts])
    return ["  ".join(parts).rstrip() for parts in zip(*columns, strict=True)]


def cut(text: str, size: int) -> str:
    """The text in so many columns, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= size else text[: max(0, size - 1)] + "…" * (size > 0)


def sentences(*parts: str) -> str:
    """Parts, each as a whole sentence, one after the other; empty ones left out."""
    whole = [part.strip() for part in parts if part.strip()]
    return " ".join(part[0].upper() + part[1:] + ("" if part.endswith((".", "!", "?")) else ".") for part in whole)
