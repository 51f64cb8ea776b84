"""Pictures as SVG, put together from figures; they take their colours from the page, so they are right in light and dark.

Each has a title for who can't see it. What is text in a picture stands in the page's own size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from migrator.reporting.facts import Day
from migrator.reporting.words import Language

_WIDE: Final = 470
_HIGH: Final = 200
_LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its length, the text behind it, and the name of its colour."""

    label: str
    value: float
    text: str
    colour: str = "blue"


def _svg(width: int, height: int, title: str, body: str) -> Markup:
    return Markup(  # noqa: S704
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="chart">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def meter(share: float | None, title: str) -> Markup:
    """A thin bar that is full at 1."""
    width = round(100 * max(0.0, min(1.0, share or 0.0)))
    return Markup(  # noqa: S704
        f'<svg viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{escape(title)}" class="meter">'
        f'<rect width="100" height="6" class="c-rest"/><rect width="{width}" height="6" class="c-blue"/></svg>'
    )


def growth(days: Sequence[Day], language: Language, title: str) -> Markup:
    """What has arrived in all, by day: an area that grows."""
    sums: list[int] = []
    for day in days:
        sums.append((sums[-1] if sums else 0) + day.bytes)
    most = max(sums, default=0) or 1
    left, right, top, bottom = 76, 30, 12, 26
    across, down = _WIDE - left - right, _HIGH - top - bottom

    def at(index: int) -> tuple[float, float]:
        x = left + (across * index / (len(sums) - 1) if len(sums) > 1 else across / 2)
        return round(x, 1), round(top + down * (1 - sums[index] / most), 1)

    points = [at(index) for index in range(len(sums))]
    line = " ".join(f"{x},{y}" for x, y in points)
    base = top + down
    body = []
    for part in (0.0, 0.5, 1.0):
        y = top + down * (1 - part)
        body.append(f'<line x1="{left}" x2="{_WIDE - right}" y1="{y}" y2="{y}" class="grid"/>')
        body.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{escape(language.size(most * part))}</text>')
    if points:
        body.append(f'<polygon class="area" points="{points[0][0]},{base} {line} {points[-1][0]},{base}"/>')
        body.append(f'<polyline class="stroke" points="{line}"/>')
        body.append(f'<circle class="c-blue" cx="{points[-1][0]}" cy="{points[-1][1]}" r="3.5"/>')
        step = max(1, -(-len(days) // _LABELS))
        for number, index in enumerate(range(len(days) - 1, -1, -step)):
            label = escape(language.short_day(days[index].day))
            # On a phone letters are larger, so there is room for every second day alone.
            kind = ' class="second"' if number % 2 else ""
            body.append(f'<text x="{points[index][0]}" y="{_HIGH - 8}" text-anchor="middle"{kind}>{label}</text>')
    return _svg(_WIDE, _HIGH, f"{title}: {language.size(sums[-1] if sums else 0)}", "".join(body))


def bars(some: Sequence[Bar], title: str) -> Markup:
    """Bars one below the other, each with its label above it; as long as their value is among them."""
    most = max((one.value for one in some), default=0) or 1
    body = []
    for at, one in enumerate(some):
        y = at * 38
        body.append(f'<text x="0" y="{y + 13}">{escape(one.label)}</text>')
        body.append(f'<text x="{_WIDE}" y="{y + 13}" text-anchor="end">{escape(one.text)}</text>')
        body.append(f'<rect x="0" y="{y + 19}" width="{_WIDE}" height="8" rx="2" class="c-rest"/>')
        width = max(2, round(_WIDE * one.value / most))
        body.append(f'<rect x="0" y="{y + 19}" width="{width}" height="8" rx="2" class="c-{one.colour}"/>')
    told = "; ".join(f"{one.label}: {one.text}" for one in some)
    return _svg(_WIDE, max(1, len(some) * 38 - 4), f"{title}: {told}", "".join(body))


def share(some: Sequence[Bar], title: str) -> Markup:
    """One bar in parts; the page has the legend."""
    whole = sum(one.value for one in some) or 1
    body, x = [], 0.0
    for one in some:
        width = _WIDE * one.value / whole
        body.append(f'<rect x="{x:.1f}" y="0" width="{max(0.5, width - 1.5):.1f}" height="22" class="c-{one.colour}"/>')
        x += width
    told = ", ".join(f"{one.label} {one.text}" for one in some)
    return _svg(_WIDE, 22, f"{title}: {told}", "".join(body))
