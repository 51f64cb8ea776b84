"""One gathering for every report: from the ledger alone, by sums, with a line a mailbox and details only where a person looks.

A ledger of ten thousand mailboxes and five million items takes seconds; no statement here is asked once a mailbox.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from migrator.cutover.positions import WITHDRAWN
from migrator.engine.conservation import last_told, off_by, told_by
from migrator.forecast import Holding, Load, Rates, rates, still_to_carry, stretches
from migrator.probe.answers import AT_ONCE, slowed_by
from migrator.reporting.behind import left_behind
from migrator.reporting.facts import (
    Approved,
    Day,
    Detail,
    Event,
    Facts,
    FolderLine,
    LateLine,
    MailboxLine,
    Ran,
    ReasonLine,
    Stayed,
    Waited,
    WaveLine,
)
from migrator.reporting.forecast import forecast
from migrator.reporting.names import Names, hidden, names_of
from migrator.reporting.probed import sayings
from migrator.reporting.verdict import verdict, wanted, why_date
from migrator.waves import match
from state.approvals import SKIPPED
from state.model import ASIDE, PENDING, Choice, ItemState, MailboxRow, MailboxState, PassRow, PassState
from state.overview import FolderSum, StayedSum
from state.plans import Observation, WaveRow
from state.store import Ledger
from state.views import Refused

LISTED: Final = 500
"""Items that are named one by one; the rest is counted by reason."""

WAITERS: Final = 8
EVENTS: Final = 500

CONCURRENT: Final = ("slots", "connections")
"""Ends of names of budgets that many requests wait for at once: those seconds add up to more than a pass took."""

CARRIED: Final = ("created", "updated", "flagged", "moved", "removed", "adopted")
"""Figures of a pass that count items now standing in the target as they should."""

_READY: Final = frozenset(
    {
        MailboxState.READY, MailboxState.LOCKED, MailboxState.FINAL, MailboxState.ROUTED, MailboxState.SWEEPING,
        MailboxState.BACKFILLING, MailboxState.CLOSED,
    }
)  # fmt: skip
_DAYS: Final = 120


def gather(
    ledger: Ledger, wave: str | None = None, *, now: float | None = None, recount: bool = True, details: int = LISTED
) -> Facts:
    """The whole report. ``recount`` counts the rows one by one beside the running sums; at most ``details`` items are named."""
    now = time.time() if now is None else now
    rows = ledger.mailboxes(wave)
    ids = {row.id: row for row in rows}
    plans = ledger.plans
    passes: dict[int, list[PassRow]] = defaultdict(list)
    for one in ledger.passes():
        if one.mailbox_id in ids:
            passes[one.mailbox_id].append(one)
    described, said = plans.details(), plans.waves()
    stayed = [one for one in ledger.overview.stayed() if one.mailbox_id in ids]
    seen: dict[str, dict[int, Observation]] = defaultdict(dict)
    for sight in plans.observed():
        if sight.mailbox_id in ids:
            seen[sight.kind][sight.mailbox_id] = sight
    lines = _lines(ledger, rows, passes, described, said, seen, recount)
    answers = plans.answers()
    slowed = next((slowed_by(one.answer, one.at) for one in answers if one.question == AT_ONCE), None)
    speed = rates(stretches((one for some in passes.values() for one in some), slowed), now)
    holdings = {line.id: _holding(line) for line in lines}
    among = list(holdings.values())
    waves = []
    for name, some in _by_wave(lines).items():
        left = still_to_carry([holdings[line.id] for line in some], among)
        waves.append(_wave(name, some, said.get(name), left, speed, now))
    latest = max((one.forecast.due for one in waves if one.forecast.due), default=None)
    whole = forecast(still_to_carry(among, among), speed, now, latest)
    approved = ledger.approvals.approved()
    approvals = _approvals(ledger, approved, ids)
    fine: Counter[str] = Counter()
    for one_approval in approvals:
        fine[one_approval.reason] += one_approval.items
    reasons = _reasons(stayed, (ItemState.REFUSED, ItemState.WITHHELD), fine)
    goes_to = {row.id: row.target for row in rows}
    mismatched = [number for number, sight in seen[match.KIND].items() if match.held_by(sight.about, goes_to[number])]
    withdrawn = [number for number, sight in seen[WITHDRAWN].items() if sight.about.get("why")]
    light, sentence = verdict(lines)
    refusals = _told(ids, ledger.refusals(limit=None if wave else details), approved)[:details]
    left_alone = _told(ids, ledger.left_alone(), {})
    return Facts(
        made=now,
        wave=wave or "",
        installation=ledger.installation(),
        mailboxes=lines,
        waves=waves,
        reasons=reasons,
        filtered=_reasons(stayed, (ItemState.FILTERED,), {}),
        degraded=_sum(line.degraded for line in lines),
        left_behind=_sum(line.left_behind for line in lines),
        probed=sayings(answers),
        stayed=refusals,
        stayed_not_shown=max(0, sum(one.items for one in reasons) - len(refusals)),
        left_alone=left_alone[:details],
        left_alone_not_shown=max(0, len(left_alone) - details),
        approvals=approvals,
        waits=_waits(passes),
        waiters=_waiters(lines),
        late=_late(seen["arrivals"]),
        days=_days(passes),
        events=_events(ledger, ids, wave),
        forecast=whole,
        light=light,
        sentence=sentence,
        why_date=why_date(lines, waves, whole, now),
        wanted=wanted(lines, waves, reasons, mismatched, withdrawn),
    )


def gather_folders(ledger: Ledger, facts: Facts, *, anonymous: bool = False) -> list[FolderLine]:
    """The folders of a report's mailboxes, by mailbox and path. ``facts`` with their names, before they are hidden."""
    names = names_of(facts, anonymous=anonymous)
    mine = {line.id: names.name(line.source) for line in facts.mailboxes}
    off: dict[int, int] = {}
    settled: set[int] = set()
    for one in ledger.passes():
        if one.state is PassState.DONE and one.mailbox_id not in settled:
            settled.add(one.mailbox_id)
            off.update(told_by(one.figures))
    return [
        _folder(one, mine[one.mailbox_id], names, off.get(one.folder_id, 0))
        for one in ledger.overview.folders()
        if one.mailbox_id in mine
    ]


def _folder(one: FolderSum, mailbox: str, names: Names, off: int) -> FolderLine:
    return FolderLine(
        mailbox=mailbox,
        folder=names.name(one.path),
        counted=one.counted,
        done=one.held.get(ItemState.DONE, 0),
        refused=one.held.get(ItemState.REFUSED, 0),
        withheld=one.held.get(ItemState.WITHHELD, 0),
        filtered=one.held.get(ItemState.FILTERED, 0),
        pending=sum(one.held.get(state, 0) for state in PENDING),
        backfill=one.held.get(ItemState.BACKFILL, 0),
        left=one.held.get(ItemState.DOOMED, 0) + one.held.get(ItemState.GONE, 0),
        off=off,
    )


def gather_mailbox(ledger: Ledger, line: MailboxLine, names: Names, *, passes: int = 10, details: int = 100) -> Detail:
    """Everything of one mailbox, its names as ``names`` shows them; the last passes and so many items at the most."""
    ran = ledger.passes(line.id, passes)
    off = last_told(ran)
    approved = ledger.approvals.approved(line.id)
    row = ledger.mailbox(line.id)
    stayed = _told({line.id: row}, ledger.refusals(line.id, details), approved)
    return Detail(
        passes=[
            Ran(
                kind=one.kind.value,
                state=one.state.value,
                began=one.started,
                ended=one.ended,
                items=int(sum(one.figures.get(word, 0) for word in CARRIED)),
                bytes=int(one.figures.get("bytes", 0)),
                cause=names.text(one.cause),
            )
            for one in ran
        ],
        folders=[_folder(one, line.source, names, off.get(one.folder_id, 0)) for one in ledger.overview.folders(line.id)],
        stayed=[hidden(names, one) for one in stayed],
        events=[
            Event(
                at=one.at, who=names.name(one.who), what=one.what, wave=one.wave, mailbox=line.source, why=names.text(one.why)
            )
            for one in ledger.plans.acts(line.id, last=20)
        ],
    )  # fmt: skip


def gather_reasons(ledger: Ledger) -> tuple[dict[int, dict[str, int]], dict[int, dict[str, int]]]:
    """By mailbox what did not go, by reason; and what a rule keeps back, by rule."""
    reasons: dict[int, dict[str, int]] = defaultdict(dict)
    rules: dict[int, dict[str, int]] = defaultdict(dict)
    for one in ledger.overview.stayed():
        into = rules if one.state is ItemState.FILTERED else reasons
        into[one.mailbox_id][one.reason] = into[one.mailbox_id].get(one.reason, 0) + one.items
    return reasons, rules


def _lines(
    ledger: Ledger,
    rows: Sequence[MailboxRow],
    passes: Mapping[int, list[PassRow]],
    described: Mapping[int, Mapping[str, Any]],
    said: Mapping[str, WaveRow],
    sights: Mapping[str, Mapping[int, Observation]],
    recount: bool,
) -> list[MailboxLine]:
    counts: dict[int, Counter[ItemState]] = defaultdict(Counter)
    sizes: dict[int, Counter[ItemState]] = defaultdict(Counter)
    for number, tally in ledger.tallies():
        counts[number][tally.state] += tally.items
        sizes[number][tally.state] += tally.bytes
    arrivals, fidelity, meetings = (sights.get(kind, {}) for kind in ("arrivals", "fidelity", "meetings"))
    counted = ledger.overview.rows() if recount else None
    source = ledger.overview.counted()
    approved = ledger.approvals.approved_counts()
    settings = ledger.settings.counts()
    lines = []
    for row in rows:
        mine, size, ran = counts[row.id], sizes[row.id], passes.get(row.id, ())
        about = described.get(row.id, {})
        last = ran[0] if ran else None
        clean = next((one for one in ran if one.state is PassState.DONE), None)
        seen = arrivals[row.id].about if row.id in arrivals else {}
        coming = meetings[row.id].about if row.id in meetings else {}
        zone = str(about.get("time_zone") or _of_wave(said, row.wave, "time_zone"))
        lines.append(
            MailboxLine(
                id=row.id,
                wave=row.wave,
                source=row.source,
                target=row.target,
                state=row.state,
                came_from=row.came_from,
                cause=row.cause,
                owner=str(about.get("owner") or ""),
                ticket=str(about.get("ticket") or ""),
                kind=str(about.get("kind") or ""),
                folders=source.get(row.id, (0, 0))[0],
                counted=source.get(row.id, (0, 0))[1],
                listed=sum(mine.values()),
                done=mine[ItemState.DONE],
                pending=sum(mine[state] for state in PENDING),
                refused=mine[ItemState.REFUSED],
                withheld=mine[ItemState.WITHHELD],
                approved=approved[row.id],
                filtered=mine[ItemState.FILTERED],
                backfill=mine[ItemState.BACKFILL],
                left=mine[ItemState.DOOMED] + mine[ItemState.GONE],
                bytes=size[ItemState.DONE],
                bytes_pending=sum(size[state] for state in PENDING),
                balance=0 if counted is None else sum(mine.values()) - counted.get(row.id, 0),
                unaccounted=off_by(told_by(clean.figures)) if clean else 0,
                last_pass=last.kind.value if last else "",
                last_pass_state=last.state.value if last else "",
                last_pass_at=(last.ended or last.started) if last else None,
                complete_after=moment(about.get("complete_after"), zone),
                settings=settings.get(row.id, {}),
                waited=_waited(ran),
                late=sum(int(number) for number in dict(seen.get("late") or {}).values()),
                last_in_source=str(seen.get("last_in_source") or ""),
                last_in_target=str(seen.get("last_in_target") or ""),
                sent_from_old=int(seen.get("sent_from_old") or 0),
                meetings=int(coming.get("future") or 0),
                meetings_called=int(coming.get("as_organiser") or 0),
                degraded=_degraded(ran, fidelity.get(row.id)),
                left_behind=left_behind(row.id, sights, about),
            )
        )
    return lines


def _waited(passes: Iterable[PassRow]) -> dict[str, float]:
    """Whole seconds that a mailbox stood still on each budget, all passes together."""
    waited: Counter[str] = Counter()
    for one in passes:
        for word, value in one.figures.items():
            name = word.partition("waited.")[2]
            if name and value >= 1 and not name.endswith(CONCURRENT):
                waited[name] += int(value)
    return dict(waited)


def _waits(passes: Mapping[int, list[PassRow]]) -> dict[str, float]:
    waits: Counter[str] = Counter()
    for some in passes.values():
        for name, seconds in _waited(some).items():
            waits[name] += int(seconds)
    return dict(waits.most_common())


def _waiters(lines: Iterable[MailboxLine]) -> list[Waited]:
    found = [Waited(line.source, name, seconds) for line in lines for name, seconds in line.waited.items() if seconds >= 1]
    return sorted(found, key=lambda one: (-one.seconds, one.mailbox, one.budget))[:WAITERS]


def _by_wave(lines: Iterable[MailboxLine]) -> dict[str, list[MailboxLine]]:
    waves: dict[str, list[MailboxLine]] = defaultdict(list)
    for line in lines:
        waves[line.wave].append(line)
    return dict(waves)


def _holding(line: MailboxLine) -> Holding:
    whole = Load(line.done + line.pending, line.bytes + line.bytes_pending)
    return Holding(whole, Load(line.pending, line.bytes_pending), line.last_pass_at is not None)


def _wave(
    name: str, lines: Sequence[MailboxLine], row: WaveRow | None, left: tuple[Load, Load], speed: Rates, now: float
) -> WaveLine:  # fmt: skip
    details = row.details if row else {}
    due = moment(details.get("complete_after"), str(details.get("time_zone") or ""))
    due = max((line.complete_after for line in lines if line.complete_after), default=None) if due is None else due
    ends = [line.last_pass_at for line in lines if line.last_pass_at is not None]
    return WaveLine(
        name=name,
        state=row.state.value if row else "OPEN",
        mailboxes=len(lines),
        moved=sum(line.moved for line in lines),
        ready=sum(line.stage in _READY and line.state not in ASIDE for line in lines),
        aside=sum(line.state in ASIDE for line in lines),
        closed=sum(line.state is MailboxState.CLOSED for line in lines),
        listed=sum(line.listed for line in lines),
        done=sum(line.done for line in lines),
        pending=sum(line.pending for line in lines),
        backfill=sum(line.backfill for line in lines),
        stayed=sum(line.refused + line.withheld for line in lines),
        bytes=sum(line.bytes for line in lines),
        bytes_pending=sum(line.bytes_pending for line in lines),
        oldest_pass=min(ends) if len(ends) == len(lines) and ends else None,
        forecast=forecast(left, speed, now, due),
        pilot=bool(details.get("pilot")),
    )


def _reasons(
    stayed: Iterable[StayedSum], states: Sequence[ItemState], approved: Mapping[str, int]
) -> list[ReasonLine]:  # fmt: skip
    groups: dict[tuple[ItemState, str], list[StayedSum]] = defaultdict(list)
    for one in stayed:
        if one.state in states:
            groups[one.state, one.reason].append(one)
    spare = Counter(approved)
    lines = []
    for (state, reason), some in sorted(groups.items(), key=lambda group: -sum(one.items for one in group[1])):
        items = sum(one.items for one in some)
        mine = min(items, spare[reason])
        spare[reason] -= mine
        lines.append(
            ReasonLine(
                state=state.name,
                reason=reason,
                items=items,
                bytes=sum(one.bytes for one in some),
                mailboxes=len({one.mailbox_id for one in some}),
                approved=mine,
            )
        )
    return lines


def _approvals(
    ledger: Ledger, approved: Mapping[int, frozenset[bytes]], ids: Mapping[int, MailboxRow]
) -> list[Approved]:  # fmt: skip
    """The approvals that still hold, by reason, person and why; the largest first."""
    if not approved:
        return []
    standing = {}
    for one in ledger.approvals.decisions():
        if (
            one.mailbox_id in ids
            and one.decision in (Choice.APPROVED, Choice.SKIPPED)
            and one.key in approved.get(one.mailbox_id, ())
        ):
            standing[one.mailbox_id, one.key] = one
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for one in standing.values():
        reason = SKIPPED if one.decision is Choice.SKIPPED else one.reason
        groups[reason, one.who, one.why].append(one.at)
    lines = [
        Approved(reason=reason, who=who, why=why, items=len(times), at=max(times))
        for (reason, who, why), times in groups.items()
    ]  # fmt: skip
    return sorted(lines, key=lambda one: (-one.items, one.reason, one.who))


def _degraded(passes: Iterable[PassRow], sight: Observation | None) -> dict[str, int]:
    """Items of a mailbox that arrived with something less, by what: as counted for it, else as its passes told."""
    degraded: Counter[str] = Counter()
    if sight is not None:
        degraded.update({word: int(value) for word, value in sight.about.items() if isinstance(value, int | float)})
    else:
        for one in passes:
            for word, value in one.figures.items():
                if word.startswith("degraded."):
                    degraded[word.removeprefix("degraded.")] += int(value)
    return {word: number for word, number in degraded.most_common() if number}


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    together: Counter[str] = Counter()
    for one in counts:
        together.update(one)
    return dict(together.most_common())


def _told(
    ids: Mapping[int, MailboxRow], found: Iterable[Refused], approved: Mapping[int, frozenset[bytes]]
) -> list[Stayed]:  # fmt: skip
    return [
        Stayed(
            mailbox=ids[one.mailbox_id].source,
            folder=one.folder_name,
            state=one.state.name,
            size=one.size,
            reason=one.reason,
            detail=one.detail,
            code=one.code,
            key=one.key.hex(),
            approved=one.key in approved.get(one.mailbox_id, ()),
        )
        for one in found
        if one.mailbox_id in ids
    ]


def _late(arrivals: Mapping[int, Observation]) -> list[LateLine]:
    items: Counter[str] = Counter()
    mailboxes: Counter[str] = Counter()
    for sight in arrivals.values():
        for host, number in dict(sight.about.get("late") or {}).items():
            items[host] += int(number)
            mailboxes[host] += 1
    return [LateLine(host, number, mailboxes[host]) for host, number in items.most_common() if number]


def _days(passes: Mapping[int, list[PassRow]]) -> list[Day]:
    """What was brought, by the day on which the pass ended; the days between are there too, the newest ones at the most."""
    items: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for some in passes.values():
        for one in some:
            if one.ended is not None:
                day = int(one.ended // 86_400)
                items[day] += int(one.figures.get("created", 0) + one.figures.get("adopted", 0))
                sizes[day] += int(one.figures.get("bytes", 0))
    if not sizes:
        return []
    last = max(sizes)
    days = range(max(min(sizes), last - _DAYS), last + 1)
    return [Day(datetime.fromtimestamp(day * 86_400, UTC).date(), items[day], sizes[day]) for day in days]


def _events(ledger: Ledger, ids: Mapping[int, MailboxRow], wave: str | None) -> list[Event]:
    return [
        Event(
            at=one.at,
            who=one.who,
            what=one.what,
            wave=one.wave,
            mailbox=ids[one.mailbox_id].source if one.mailbox_id is not None and one.mailbox_id in ids else "",
            why=one.why,
        )
        for one in ledger.plans.acts(last=EVENTS)
        if wave is None or one.wave == wave or one.mailbox_id in ids
    ]


def _of_wave(said: Mapping[str, WaveRow], name: str, word: str) -> str:
    return str(said[name].details.get(word) or "") if name in said else ""


def moment(text: object, zone: str = "") -> float | None:
    """A day and time as the spreadsheet has it, in wall-clock seconds; without an offset it is meant in ``zone``, else in UTC.

    None for nothing, and for what can't be read: a report is no place to complain about a spreadsheet.
    """
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if read.tzinfo is None:
        try:
            read = read.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
        except (ZoneInfoNotFoundError, ValueError):
            read = read.replace(tzinfo=UTC)
    return read.timestamp()
