"""When it will be done, as a range: from what passes really brought, never from what a limit would allow. Pure.

The near end takes the rate of the hours in which passes ran, as if they ran on without a break; the far end the average over all
hours since the window began, nights and breaks and all, less a quarter. What was never listed is estimated by the mailboxes that
were: the median for the near end, the larger ones for the far end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from migrator.reporting.facts import Forecast, Light

WINDOW: Final = 14 * 86_400.0
"""Seconds of the past that count: older passes say little about next week."""

_LEAST: Final = 60.0
_SLOWER: Final = 0.75


@dataclass(frozen=True, slots=True)
class Stretch:
    """A pass brought so many bytes between two moments."""

    began: float
    ended: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes an hour: ``running`` while passes ran, ``overall`` since the first of them. 0 without any."""

    running: float = 0.0
    overall: float = 0.0


def rates(stretches: Iterable[Stretch], now: float, window: float = WINDOW) -> Rates:
    """What passes brought within the window; of one that began before it the later part counts."""
    since = now - window
    parts = [one for one in stretches if one.ended > since and one.bytes > 0]
    if not parts:
        return Rates()
    brought, running, covered = 0.0, 0.0, since
    for one in sorted(parts, key=lambda one: one.began):
        began, ended = max(one.began, since), max(one.ended, one.began + 1)
        brought += one.bytes * (ended - began) / (ended - min(one.began, began))
        running += max(0.0, ended - max(began, covered))
        covered = max(covered, ended)
    overall = max(now - max(since, min(one.began for one in parts)), _LEAST)
    return Rates(brought / max(running, _LEAST) * 3600, brought / overall * 3600)


def unlisted(seen: Sequence[int], number: int) -> tuple[int, int]:
    """Bytes of so many mailboxes that nobody listed yet, by the sizes of those that were: at the least and at the most."""
    if not seen or not number:
        return 0, 0
    ordered = sorted(seen)
    return number * ordered[len(ordered) // 2], number * ordered[min(len(ordered) - 1, len(ordered) * 4 // 5)]


def forecast(left: tuple[int, int], rate: Rates, now: float, due: float | None = None) -> Forecast:
    """The range for ``left`` bytes (at the least, at the most), and whether it lies before ``due``.

    Nothing left: done now. Something left and nothing brought yet: no range.
    """
    least, most = left
    if most <= 0:
        early: float | None = now
        late: float | None = now
    elif rate.running <= 0:
        early = late = None
    else:
        early = now + least / rate.running * 3600
        late = max(early, now + most / (min(rate.running, rate.overall) * _SLOWER) * 3600)
    return Forecast(early=early, late=late, left=most, rate=rate.running, due=due, light=_holds(early, late, due))


def _holds(early: float | None, late: float | None, due: float | None) -> Light | None:
    if early is None or late is None or due is None:
        return None
    if late <= due:
        return Light.GREEN
    return Light.AMBER if early <= due else Light.RED
