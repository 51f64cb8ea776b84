"""Judges whether a long run stayed steady: its first samples after the warm-up against its last ones, by their medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, median_low
from typing import Any

HOUR = 3600.0
WARM_UP = 600.0
"""Seconds at the start that count for nothing, or a tenth of a run that is shorter than an hour and a half."""

MEMORY_SHARE, MEMORY_BYTES = 0.05, 5_000_000
"""Memory may grow by that share and that many bytes on top."""

COUNT_SHARE = 0.1
"""Handles and threads may differ by that share: how many connections are under way at the moment of a sample depends on how fast
the machine is at that hour. Whatever is left open at each new sign-in alone would be three times that much in two hours.
"""

MEMORY, COUNTS = ("rss",), ("handles", "threads")
TOLD = ("blocks", "tasks", "ledger")
"""Figures that are shown and not judged: the ledger grows with what it knows, and the others explain the judged ones."""

LEAST = 3
"""Samples a window must have."""

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure, early and late. ``steady`` is None where nothing is judged; ``why`` says it in a sentence."""

    figure: str
    early: float | None
    late: float | None
    most: float | None
    steady: bool | None
    why: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def windows(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples of the first full hour after the warm-up, and those of the last hour.

    A run too short for two of them is cut into halves after the warm-up.
    """
    if not samples:
        return [], []
    end = samples[-1]["at"]
    begin = min(WARM_UP, end / 10)
    hour = min(HOUR, (end - begin) / 2)
    early = [one for one in samples if begin <= one["at"] < begin + hour]
    late = [one for one in samples if one["at"] > end - hour]
    return early, late


def judge(samples: Sequence[Sample]) -> list[Finding]:
    """A finding for each figure, judged ones first. A figure that this system can't tell is named and not judged."""
    early, late = windows(samples)
    return [_finding(figure, early, late) for figure in (*MEMORY, *COUNTS, *TOLD)]


def _finding(figure: str, early: Sequence[Sample], late: Sequence[Sample]) -> Finding:
    before, after = ([one[figure] for one in window if one.get(figure) is not None] for window in (early, late))
    judged = figure not in TOLD
    if min(len(before), len(after)) < LEAST:
        # What can't be seen on this system is no failure; a run that ended before it was seen is one.
        seen = bool(before or after) or not (early and late)
        return Finding(
            figure=figure, early=None, late=None, most=None, steady=False if judged and seen else None,
            why="too few samples to tell" if seen else "not to be had on this system",
        )  # fmt: skip
    middle = median_low if figure in COUNTS else median  # half a thread is none
    first, last = float(middle(before)), float(middle(after))
    allowed = None
    if figure in MEMORY:
        allowed = first * (1 + MEMORY_SHARE) + MEMORY_BYTES
    elif judged:
        allowed = first * (1 + COUNT_SHARE)
    steady = None if allowed is None else last <= allowed
    why = "" if steady is not False else f"grew from {first:,.0f} to {last:,.0f}, more than the {allowed:,.0f} allowed"
    return Finding(figure=figure, early=first, late=last, most=float(max(*before, *after)), steady=steady, why=why)


def sentence(findings: Sequence[Finding], troubles: Sequence[str]) -> str:
    """What is wrong with a run, in one sentence; empty if nothing is."""
    wrong = [f"{one.figure}: {one.why}" for one in findings if one.steady is False] + list(troubles)
    return f"Not steady: {'; '.join(wrong)}." if wrong else ""


def table(findings: Sequence[Finding]) -> str:
    """The findings for people, one line each."""

    def shown(figure: str, value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value / 1e6:,.1f} MB" if figure in ("rss", "ledger") else f"{value:,.0f}"

    lines = [f"{'FIGURE':<10}{'FIRST HOUR':>16}{'LAST HOUR':>16}{'MOST':>16}  STEADY"]
    for one in findings:
        values = "".join(f"{shown(one.figure, value):>16}" for value in (one.early, one.late, one.most))
        said = {True: "yes", False: "NO", None: "not judged"}[one.steady]
        lines.append(f"{one.figure:<10}{values}  {said}{f' ({one.why})' if one.why else ''}")
    return "\n".join(lines)
