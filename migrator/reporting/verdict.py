"""What a board reads first: the light and its sentence, whether the date holds and why, and which decisions are wanted. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from migrator.reporting.facts import Forecast, Light, MailboxLine, ReasonLine, Saying, Wanted, WaveLine
from state.model import MailboxState

SHOWN: Final = 8
"""Decisions that are asked for one by one; a board decides no hundred things."""

_STUCK: Final = (MailboxState.HELD, MailboxState.FAILED)


def verdict(lines: Sequence[MailboxLine]) -> tuple[Light, Saying]:
    """The traffic light and the one sentence beside it: the worst thing first."""
    unbalanced = sum(bool(line.balance) for line in lines)
    held = sum(line.state in _STUCK for line in lines)
    pending = sum(line.pending + line.unlisted for line in lines)
    unaccounted = sum(line.unaccounted for line in lines)
    approved = sum(line.approved for line in lines)
    refused = sum(line.unapproved for line in lines)
    never = sum(line.last_pass_at is None for line in lines)
    of = len(lines)
    if unbalanced:
        return Light.RED, Saying("verdict.unbalanced", {"n": unbalanced})
    if held:
        return Light.RED, Saying("verdict.held", {"n": held, "of": of})
    if not lines:
        return Light.AMBER, Saying("verdict.nothing")
    if pending or never:
        return Light.AMBER, Saying("verdict.pending", {"n": pending}) if pending else Saying("verdict.unread", {"n": never})
    if backfill := sum(line.backfill for line in lines):
        return Light.AMBER, Saying("verdict.backfill", {"n": backfill})
    if unaccounted:
        return Light.AMBER, Saying("verdict.unaccounted", {"n": unaccounted})
    if refused:
        return Light.AMBER, Saying("verdict.refused", {"n": refused})
    if approved:
        return Light.GREEN, Saying("verdict.approved", {"n": approved})
    return Light.GREEN, Saying("verdict.whole", {"n": sum(line.done for line in lines), "of": of})


def why_date(lines: Sequence[MailboxLine], waves: Sequence[WaveLine], whole: Forecast, now: float) -> Saying:
    """Whether the promised dates hold, in one sentence with its reason."""
    dated = [wave for wave in waves if wave.forecast.due is not None and wave.closed < wave.mailboxes]
    overdue = [wave for wave in dated if (wave.forecast.due or 0) < now and wave.moved < wave.mailboxes]
    if overdue:
        missing = sum(wave.mailboxes - wave.moved for wave in overdue)
        one = min(overdue, key=lambda wave: wave.forecast.due or 0)
        return Saying("date.overdue", {"n": missing, "wave": one.name, "due": one.forecast.due})
    broken = [wave for wave in dated if wave.forecast.light is Light.RED and wave.moved < wave.mailboxes]
    if broken:
        one = min(broken, key=lambda wave: wave.forecast.due or 0)
        return Saying("date.broken", {"wave": one.name, "due": one.forecast.due, "early": one.forecast.early})
    shaky = [wave for wave in dated if wave.forecast.light is Light.AMBER and wave.moved < wave.mailboxes]
    if shaky:
        one = min(shaky, key=lambda wave: wave.forecast.due or 0)
        return Saying("date.shaky", {"wave": one.name, "due": one.forecast.due, "late": one.forecast.late})
    if not dated:
        if whole.open and whole.early is not None:
            return Saying("date.none-range", {"early": whole.early, "late": whole.late})
        return Saying("date.none")
    if whole.open and whole.early is None:
        return Saying("date.unknown")
    stuck = sum(line.state in _STUCK for line in lines)
    still = [wave for wave in dated if wave.state != "OPEN" and wave.moved < wave.mailboxes]
    if still and not stuck:
        one = min(still, key=lambda wave: wave.forecast.due or 0)
        return Saying("date.but-still", {"n": len(still), "wave": one.name, "due": one.forecast.due})
    last = max(dated, key=lambda wave: wave.forecast.due or 0)
    if stuck:
        return Saying("date.but-stuck", {"n": stuck, "wave": last.name, "due": last.forecast.due})
    return Saying("date.holds", {"wave": last.name, "due": last.forecast.due, "late": whole.late})


def wanted(
    lines: Sequence[MailboxLine],
    waves: Sequence[WaveLine],
    reasons: Sequence[ReasonLine],
    mismatched: Sequence[int],
    withdrawn: Sequence[int],
) -> list[Wanted]:
    """The decisions that somebody has to take, the most urgent first. ``mismatched`` are mailboxes whose match card says no,
    ``withdrawn`` those that their wave was cut over without.

    Who: the owner that the spreadsheet names, else empty. Until when: what the mailbox's wave promises; an urgent one without a
    promised day is wanted at once.
    """
    due = {wave.name: wave.forecast.due for wave in waves}
    asked: list[Wanted] = []
    if unbalanced := [line for line in lines if line.balance]:
        asked.append(Wanted(saying=Saying("wanted.unbalanced", {"n": len(unbalanced)}), who="", until=None, urgent=True))
    stuck: dict[tuple[MailboxState, str], list[MailboxLine]] = defaultdict(list)
    for line in lines:
        if line.state in _STUCK:
            stuck[line.state, line.cause].append(line)
    for (state, cause), some in sorted(stuck.items(), key=lambda group: (-len(group[1]), group[0][1])):
        one = "one" if len(some) == 1 else "some"
        values: dict[str, object] = {"n": len(some), "state": state.value, "cause": cause, "mailbox": some[0].source}
        days = [day for line in some if (day := due.get(line.wave)) is not None]
        until = min(days, default=None)
        asked.append(Wanted(saying=Saying(f"wanted.stuck-{one}", values), who=_owner(some), until=until, urgent=True))
    unfit = frozenset(mismatched)
    pairs = [line for line in lines if line.id in unfit and not line.moved]
    if pairs:
        values = {"n": len(pairs), "mailbox": pairs[0].source, "target": pairs[0].target}
        days = [day for line in pairs if (day := line.complete_after or due.get(line.wave)) is not None]
        asked.append(Wanted(saying=Saying("wanted.match", values), who=_owner(pairs), until=min(days, default=None), urgent=True))
    without = frozenset(withdrawn)
    if left_out := [line for line in lines if line.id in without and not line.moved]:
        said = Saying("wanted.withdrawn", {"n": len(left_out), "mailbox": left_out[0].source, "wave": left_out[0].wave})
        asked.append(Wanted(saying=said, who=_owner(left_out), until=None))
    # Whoever is cut over first sets the day.
    still = [day for line in lines if line.unapproved and not line.moved and (day := line.complete_after or due.get(line.wave))]
    for reason in reasons:
        if open_ := reason.items - reason.approved:
            values = {"n": open_, "reason": reason.reason, "mailboxes": reason.mailboxes}
            asked.append(Wanted(saying=Saying("wanted.reason", values), who="", until=min(still, default=None)))
    for wave in waves:
        if wave.state != "OPEN" and wave.moved < wave.mailboxes:
            key = f"wanted.wave-{wave.state.lower()}"
            asked.append(Wanted(saying=Saying(key, {"wave": wave.name, "n": wave.mailboxes}), who="", until=wave.forecast.due))
    if unaccounted := sum(line.unaccounted for line in lines):
        asked.append(Wanted(saying=Saying("wanted.unaccounted", {"n": unaccounted}), who="", until=None))
    return asked


def _owner(lines: Sequence[MailboxLine]) -> str:
    named = Counter(line.owner for line in lines if line.owner)
    return named.most_common(1)[0][0] if named else ""
