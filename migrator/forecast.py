"""How long something will take, always as a range, from what passes took before. Pure; nothing here reads a clock or a ledger.

    sample    what one pass carried, in how many seconds
    load      what is to be carried
    span      at least, at most, in seconds
    finish    when a wave will have been carried, by what all passes brought in the last fourteen days

What any view says of a final pass comes from ``final_now``, and what it says of a finish from ``still_to_carry``, ``rates`` and
``finish``: so that a status, a report, the dashboard and the page before a cutover agree.

A pass costs something even if there is nothing to carry (it lists), and then so much an item and so much a byte. Few samples say
little about which of the two it was, so both are asked and the range is from the kinder to the harsher answer. Without any sample
there is no forecast: None, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from state.glance import RECENT, Done, Ran
from state.model import PassKind, PassRow, PassState

ENOUGH = 50
"""Items from which a pass says something about speed; below, it says what a pass costs by itself."""

NEWEST = 12
"""Samples that count: servers and lines change, and old speeds mislead."""

_DOUBT = (0.8, 1.5)
"""By how much a forecast is widened that rests on a single sample."""

_QUIET = 1.0
"""Seconds that any pass takes at least: opening two mailboxes and listing the tree."""


@dataclass(frozen=True, slots=True)
class Span:
    """At least and at most, in seconds."""

    least: float
    most: float

    def __add__(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)

    def times(self, factor: float) -> Span:
        """So many times as long."""
        return Span(self.least * factor, self.most * factor)


NOTHING = Span(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried. ``bytes`` may be 0 for unknown: then items alone decide."""

    items: int
    bytes: int = 0


class Sample(msgspec.Struct, frozen=True, gc=False):
    """What one pass dealt with, and in how many seconds. ``whole``: it read every folder, as a final pass does."""

    kind: PassKind
    seconds: float
    items: int
    bytes: int
    whole: bool
    ended: float


def samples(passes: Iterable[PassRow | Ran]) -> list[Sample]:
    """What these passes say, newest first as they are given. Passes that were broken off count: they carried something too.

    The wait for the settle horizon is left out; it belongs to a lost answer and not to the load.
    """
    found: list[Sample] = []
    for one in passes:
        if one.ended is None or one.state is PassState.RUNNING:
            continue
        done = one.done if isinstance(one, Ran) else msgspec.convert(one.figures, Done)
        items, ended_well = done.items, one.state is PassState.DONE
        if not ended_well and items < ENOUGH:
            continue
        spent = max(0.001, one.ended - one.started - done.settle)
        found.append(Sample(one.kind, spent, items, int(done.bytes), ended_well and not done.aside, one.ended))
    return found[:NEWEST]


@dataclass(frozen=True, slots=True)
class Speed:
    """What an item and what a byte took in each of some passes, in seconds."""

    per_item: tuple[float, ...] = ()
    per_byte: tuple[float, ...] = ()


def speed(among: Iterable[Sample]) -> Speed:
    """How fast passes were that carried enough to say so."""
    some = [one for one in among if one.items >= ENOUGH]
    return Speed(tuple(one.seconds / one.items for one in some), tuple(one.seconds / one.bytes for one in some if one.bytes))


def carrying(load: Load, among: Sequence[Sample] | Speed) -> Span | None:
    """How long it takes to carry a load, at the speed of passes that carried something; None if none did."""
    if load.items <= 0:
        return NOTHING
    known = among if isinstance(among, Speed) else speed(among)
    estimates = [load.items * one for one in known.per_item]
    if load.bytes:
        estimates += [load.bytes * one for one in known.per_byte]
    return _range(estimates, single=len(known.per_item) == 1)


def overhead(among: Sequence[Sample], *, whole: bool = False) -> Span | None:
    """What a pass costs that carries nothing; ``whole``: one that reads every folder. None if no pass says so."""
    quiet = [one.seconds for one in among if one.items < ENOUGH and one.kind is not PassKind.SEED and (one.whole or not whole)]
    if not quiet and whole:
        # Passes that left quiet folders aside are shorter than one that reads all, so they are the least only.
        aside = [one.seconds for one in among if one.items < ENOUGH and one.kind is not PassKind.SEED]
        return Span(min(aside), 4 * max(aside)) if aside else None
    return _range([max(_QUIET, one) for one in quiet], single=len(quiet) == 1)


def final_pass(
    load: Load, among: Sequence[Sample], arriving: float = 0.0, *, others: Sequence[Sample] | Speed = Speed()
) -> Span | None:
    """How long the last pass of a mailbox would take now.

    ``load`` is what is known to be open, ``arriving`` how many items are thought to have come since the last pass. ``others`` are
    passes over other mailboxes of the same servers, which say how fast things go where this mailbox's own do not. None before the
    mailbox's own first pass.
    """
    if not among:
        return None
    listing = overhead(among, whole=True)
    whole = Load(load.items + round(arriving), load.bytes)
    work = carrying(whole, among) or carrying(whole, others)
    if listing is None and work is None:
        return None
    if work is None:
        # No pass carried enough to have a speed: those that carried little are the measure.
        work = listing.times(whole.items / ENOUGH) if listing else NOTHING
    if listing is None:
        listing = Span(_QUIET, _QUIET + 0.1 * max((one.seconds for one in among), default=0.0))
    return listing + work


def arriving(among: Sequence[Sample], seconds: float) -> float:
    """How many items have probably changed at the source in so many seconds, by what passes after the first one met."""
    after_seed = [one for one in among if one.kind is not PassKind.SEED]
    if len(after_seed) < 2 or seconds <= 0:
        return 0.0
    newest, oldest = after_seed[0], after_seed[-1]
    between = newest.ended - oldest.ended
    return sum(one.items for one in after_seed[:-1]) / between * seconds if between > 0 else 0.0


def final_now(
    passes: Sequence[PassRow | Ran], load: Load, now: float, others: Sequence[Sample] | Speed = Speed()
) -> Span | None:  # fmt: skip
    """How long the last pass of a mailbox would take now. ``passes`` are its own, newest first; the newest few count."""
    recent = passes[:RECENT]
    among = samples(recent)
    clean = next((one for one in recent if one.state is PassState.DONE), None)
    behind = max(0.0, now - clean.started) if clean else 0.0
    return final_pass(load, among, arriving(among, behind), others=others)


def together(spans: Iterable[Span | None], at_once: int, apart: int | None = None) -> Span | None:
    """How long several take of which so many go on at once: no less than the longest, and none waits in vain.

    ``apart`` is how many of those have budgets of their own, where mailboxes share them: the rest may win nothing by going on at
    once, so that at the most it takes as long as with so many. None if nothing is known of any; those of which nothing is known
    are taken to be like the others.
    """
    given = list(spans)
    known = [one for one in given if one is not None]
    if not known:
        return None if given else NOTHING
    share = len(given) / len(known)
    slowest = at_once if apart is None else min(at_once, apart)
    return Span(
        max(max(one.least for one in known), sum(one.least for one in known) * share / max(1, at_once)),
        max(max(one.most for one in known), sum(one.most for one in known) * share / max(1, slowest)),
    )


WINDOW = 14 * 86_400.0
"""Seconds of the past that count for a finish: older passes say little about next week."""

_LEAST = 60.0
_SLOWER = 0.75


@dataclass(frozen=True, slots=True)
class Stretch:
    """A pass brought so much between two moments. ``worth`` is the share of it that a pass of today may bring in that time."""

    began: float
    ended: float
    bytes: float
    items: float = 0.0
    worth: float = 1.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes and items an hour: ``running`` while passes ran, ``overall`` since the first of them. 0 without any."""

    running: float = 0.0
    overall: float = 0.0
    running_items: float = 0.0
    overall_items: float = 0.0


def stretches(passes: Iterable[PassRow | Ran], slowed: tuple[float, float] | None = None) -> list[Stretch]:
    """What these passes brought, those that run left out. ``slowed``: a moment since which a pass may bring that share only."""
    moment, share = slowed or (0.0, 1.0)
    found = []
    for one in passes:
        if one.ended is not None:
            done = one.done if isinstance(one, Ran) else msgspec.convert(one.figures, Done)
            worth = share if one.started < moment else 1.0
            found.append(Stretch(one.started, one.ended, float(done.bytes), float(done.created + done.adopted), worth))
    return found


def rates(some: Iterable[Stretch], now: float, window: float = WINDOW) -> Rates:
    """What passes brought within the window; of one that began before it the later part counts. What they brought at a speed
    that is not allowed any more counts for the average in part."""
    since = now - window
    parts = [one for one in some if one.ended > since and (one.bytes > 0 or one.items > 0)]
    if not parts:
        return Rates()
    size = items = size_now = items_now = running = 0.0
    covered = since
    for one in sorted(parts, key=lambda one: one.began):
        began, ended = max(one.began, since), max(one.ended, one.began + 1)
        share = (ended - began) / (ended - min(one.began, began))
        size, items = size + one.bytes * share, items + one.items * share
        size_now, items_now = size_now + one.bytes * share * one.worth, items_now + one.items * share * one.worth
        running += max(0.0, ended - max(began, covered))
        covered = max(covered, ended)
    running = max(running, _LEAST) / 3600
    overall = max(now - max(since, min(one.began for one in parts)), _LEAST) / 3600
    return Rates(size / running, size_now / overall, items / running, items_now / overall)


@dataclass(frozen=True, slots=True)
class Holding:
    """One mailbox, as far as anybody counted it: ``whole`` is what there is, ``left`` what is open of it. ``read``: a pass has
    looked at it."""

    whole: Load
    left: Load
    read: bool


def still_to_carry(some: Iterable[Holding], among: Sequence[Holding]) -> tuple[Load, Load]:
    """What is still to be carried of some mailboxes, at the least and at the most.

    Those that nobody has read are estimated by ``among``: as large as the median of what was listed, or as the larger fifth.
    """
    items = size = unread = 0
    for one in some:
        items, size = items + one.left.items, size + one.left.bytes
        unread += not one.read and not one.whole.items
    listed = [one.whole for one in among if one.whole.items]
    if not unread or not listed:
        return Load(items, size), Load(items, size)
    ends = []
    for share in (0.5, 0.8):
        at = min(len(listed) - 1, int(len(listed) * share))
        more = [sorted(getattr(one, word) for one in listed)[at] * unread for word in ("items", "bytes")]
        ends.append(Load(items + more[0], size + more[1]))
    return ends[0], ends[1]


def finish(left: tuple[Load, Load], rate: Rates) -> Span | None:
    """How long from now until that is carried. The near end takes the rate of the hours in which passes ran, as if they ran on
    without a break; the far end the average over all hours since they began, nights and breaks and all, less a quarter.

    Items and bytes are both asked, and the range is from the kinder to the harsher answer. None if something is left and nothing
    was brought yet.
    """
    least, most = left
    if most.items <= 0 and most.bytes <= 0:
        return NOTHING
    slow, slow_items = min(rate.running, rate.overall) * _SLOWER, min(rate.running_items, rate.overall_items) * _SLOWER
    near = [_hours(least.bytes, rate.running), _hours(least.items, rate.running_items)]
    far = [_hours(most.bytes, slow), _hours(most.items, slow_items)]
    early, late = [one for one in near if one is not None], [one for one in far if one is not None]
    return Span(min(early), max(late)) if early and late else None


def _hours(amount: float, an_hour: float) -> float | None:
    """Seconds for an amount; None where nothing says so, because it is not known or nothing of it was ever brought."""
    return amount / an_hour * 3600 if amount > 0 and an_hour > 0 else None


@dataclass(frozen=True, slots=True)
class Tick:
    """How far something was at one moment: ``at`` in seconds of any clock, ``done`` and ``left`` items."""

    at: float
    done: int
    left: int
    bytes: int = 0


def rate(ticks: Sequence[Tick]) -> tuple[float, float]:
    """Items and bytes a second from the first tick to the last; 0 and 0 if no time passed."""
    if len(ticks) < 2 or ticks[-1].at <= ticks[0].at:
        return 0.0, 0.0
    seconds = ticks[-1].at - ticks[0].at
    return max(0, ticks[-1].done - ticks[0].done) / seconds, max(0, ticks[-1].bytes - ticks[0].bytes) / seconds


def remaining(ticks: Sequence[Tick]) -> Span | None:
    """When what is left will be done, by the speeds between these ticks; None while nothing moves."""
    if not ticks:
        return None
    left = ticks[-1].left
    if left <= 0:
        return NOTHING
    half = len(ticks) // 2
    speeds = [items for items, _ in (rate(ticks), rate(ticks[half:]), rate(ticks[: half + 1])) if items > 0]
    return _range([left / speed for speed in speeds], single=len(set(speeds)) == 1)


def _range(estimates: Sequence[float], *, single: bool) -> Span | None:
    """From the kinder to the harsher of some estimates; a lone one is widened, of many the outermost tenths are left out."""
    if not estimates:
        return None
    if single:
        return Span(min(estimates) * _DOUBT[0], max(estimates) * _DOUBT[1])
    ordered = sorted(estimates)
    outermost = len(ordered) // 10
    return Span(ordered[outermost], ordered[-1 - outermost])


_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0))


def duration(seconds: float) -> str:
    """Seconds for people, in one unit: ``40 s``, ``12 min``, ``3.5 h``, ``2 d``."""
    number, unit = _in_unit(seconds, _unit(seconds))
    return f"{number} {unit}"


def span(found: Span | None) -> str:
    """A range for people: ``2-3 min``, ``50 s-2 min``; ``?`` if nothing is known, ``0 s`` if there is nothing to do."""
    if found is None:
        return "?"
    if found.most <= 0:
        return "0 s"
    unit = _unit(found.most)
    least, most = _in_unit(found.least, unit), _in_unit(found.most, unit)
    if least == most:
        return f"{most[0]} {unit[0]}"
    if least[0] == "0":
        shortest, longest = duration(max(1.0, found.least)), f"{most[0]} {unit[0]}"
        if shortest == longest:
            return longest
        return f"{shortest.removesuffix(' s') if unit[0] == 's' else shortest}-{longest}"
    return f"{least[0]}-{most[0]} {unit[0]}"


def _unit(seconds: float) -> tuple[str, float]:
    # One and a half of a unit is still better said in the smaller one.
    for unit in reversed(_UNITS):
        if seconds >= 1.5 * unit[1]:
            return unit
    return _UNITS[0]


def _in_unit(seconds: float, unit: tuple[str, float]) -> tuple[str, str]:
    number = seconds / unit[1]
    text = f"{number:.1f}" if unit[1] >= 3600 and number < 10 else f"{number:.0f}"
    return text.removesuffix(".0"), unit[0]
