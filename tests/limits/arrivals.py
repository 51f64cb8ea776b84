"""What arrived at a server, and how much of a documented budget that was: sums over sliding windows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import mean
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request: when it came and went (seconds), the bytes of its body as sent, and the limit it broke, if it did."""

    came: float
    went: float
    size: int
    broke: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much of a budget was used, as shares of it, over whole sliding windows, the first one left out."""

    windows: int
    """How many windows long the time is that was looked at."""
    mean: float
    least: float
    most: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(getattr(self, name), 4) for name in self.__slots__}


def use_of(arrivals: Sequence[Arrival], amounts: Sequence[float], budget: float, window: float, *, looks: int = 2000) -> Use:
    """The use of one budget. ``amounts`` is what each arrival takes of it; arrivals in the order they came.

    Every window that is looked at lies wholly between the end of the first one and the last arrival, and their beginnings
    cover a whole number of windows: what comes in bursts would else count more or less than it is. Raises ValueError if the
    run is too short for that.
    """
    times = [one.came for one in arrivals]
    begin, end = times[0] + window, times[-1]
    rounds = int((end - begin) / window - 1 + 1e-6)
    if rounds < 1:
        raise ValueError(f"{end - times[0]:.1f} s hold no two whole windows of {window:.1f} s after the first one")
    end = begin + (rounds + 1) * window
    sums = [0.0, *accumulate(amounts)]

    def until(moment: float) -> float:
        return sums[bisect_right(times, moment)]

    step = rounds * window / looks
    shares = [(until(at + window) - until(at)) / budget for at in (begin + number * step for number in range(looks))]
    return Use(windows=rounds + 1, mean=mean(shares), least=min(shares), most=max(shares))


def slots_busy(arrivals: Sequence[Arrival], slots: int, begin: float, end: float) -> float:
    """The share of all slots that was taken between two moments, as the server saw it."""
    taken = sum(max(0.0, min(one.went, end) - max(one.came, begin)) for one in arrivals if not one.broke)
    return taken / (slots * (end - begin))
