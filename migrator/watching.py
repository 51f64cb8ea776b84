"""A view that is drawn again and again, with how fast things go and when what is known to be open will be done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import TextIO

from migrator import forecast
from migrator.forecast import Tick
from migrator.status import Standing

KEPT = 60
"""Ticks over which a speed is taken."""

_CLEAR = "\x1b[H\x1b[2J"
"""Cursor to the first place, and nothing behind it (ECMA-48)."""


def tick(rows: Sequence[Standing], at: float) -> Tick:
    """How far these mailboxes are, all together."""
    left = sum(row.pending for row in rows)
    return Tick(at, sum(row.items - row.pending for row in rows), left, round(1e9 * sum(row.gigabytes for row in rows)))


def pace(ticks: Sequence[Tick]) -> str:
    """One line: the speed, and a range for what is left."""
    if len(ticks) < 2:
        return "Speed: not known yet."
    items, size = forecast.rate(ticks)
    left = ticks[-1].left
    if not left:
        return f"Speed: {items:,.1f} items/s, {size / 1e6:,.1f} MB/s. Nothing is known to be open."
    if items <= 0:
        return f"Speed: nothing moves at the moment. {left:,} items are known to be open."
    return (
        f"Speed: {items:,.1f} items/s, {size / 1e6:,.1f} MB/s."
        f" The {left:,} items known to be open take {forecast.span(forecast.remaining(ticks))} more."
    )


def watch(
    draw: Callable[[], tuple[list[str], Tick]],
    out: TextIO,
    every: float,
    *,
    times: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clear: Callable[[], None] | None = None,
) -> None:
    """Draw until Ctrl-C (KeyboardInterrupt ends it in silence), or so many times.

    On a terminal each view takes the place of the one before (``clear`` empties one that knows no control characters); elsewhere
    it is printed only if it differs, without the speed.
    """
    terminal = out.isatty()
    ticks: deque[Tick] = deque(maxlen=KEPT)
    before: list[str] = []
    try:
        for number in count(1):
            lines, now = draw()
            ticks.append(now)
            if terminal:
                if clear is not None:
                    clear()
                shown = [*lines, "", pace(list(ticks)), "Ctrl-C ends this view; it changes nothing."]
                out.write(("" if clear else _CLEAR) + "\n".join(shown) + "\n")
            elif lines != before:
                out.write("\n".join(lines) + "\n\n")
                before = lines
            out.flush()
            if number == times:
                return
            sleep(every)
    except KeyboardInterrupt:
        return
