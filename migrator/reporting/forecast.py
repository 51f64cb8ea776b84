"""When it will be done, held against what was promised. Pure; ``migrator.forecast`` calculates it, for every view."""

from __future__ import annotations

from migrator.forecast import Load, Rates, finish
from migrator.reporting.facts import Forecast, Light


def forecast(left: tuple[Load, Load], rate: Rates, now: float, due: float | None = None) -> Forecast:
    """The range for what is left (at the least, at the most), and whether it lies before ``due``.

    Nothing left: done now. Something left and nothing brought yet: no range.
    """
    takes = finish(left, rate)
    early, late = (None, None) if takes is None else (now + takes.least, now + takes.most)
    _, most = left
    light = _holds(early, late, due)
    return Forecast(early=early, late=late, left=most.bytes, items=most.items, rate=rate.running, due=due, light=light)


def _holds(early: float | None, late: float | None, due: float | None) -> Light | None:
    if early is None or late is None or due is None:
        return None
    if late <= due:
        return Light.GREEN
    return Light.AMBER if early <= due else Light.RED
