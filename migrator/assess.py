"""What there is to move, before anything is: each source mailbox read once from end to end, ids and sizes only.

    survey   folders, items, bytes, classes, the largest and the oldest of one mailbox
    least    how long its seed takes at least, by the documented limits of the target

Reads the source and nothing else. What is found is kept as an observation, so that reports can speak of mailboxes that no
pass has met yet.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connectors.base import Facts, Put, Role, Source
from connectors.pacer import Stopped
from migrator.config import LimitsSection

KIND: Final = "assessed"
"""The observation that holds what was found."""

LARGE: Final = 25_000_000
"""Bytes from which an item is told apart: mail systems of today refuse to send it, so it stands out in a migration too."""

_ENCODED: Final = 4 / 3
"""Bytes that leave for each byte of an item: base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one mailbox holds. Sizes in bytes by the source's own words; ``classes`` maps a class to items and bytes.

    ``too_large`` items are larger than every lane takes, ``one_lane`` items than one of two. ``oldest`` and ``newest`` are ISO
    dates of receipt, empty without any. ``unsized`` items told no size.
    """

    folders: int
    items: int
    bytes: int
    largest: int
    large: int
    one_lane: int
    too_large: int
    unsized: int
    oldest: str
    newest: str
    classes: dict[str, tuple[int, int]]

    def as_json(self) -> dict[str, Any]:
        """The same as an observation keeps it."""
        classes = {name: {"items": items, "bytes": size} for name, (items, size) in self.classes.items()}
        return {name: getattr(self, name) for name in self.__slots__} | {"classes": classes}


class _Sums:
    def __init__(self, most: Collection[float]) -> None:
        self._least, self._most = min(most), max(most)
        self.items, self.sizes = Counter[str](), Counter[str]()
        self.largest = self.large = self.one_lane = self.too_large = self.unsized = 0
        self.oldest: datetime | None = None
        self.newest: datetime | None = None

    def add(self, facts: Facts) -> None:
        self.items[facts.item_class] += 1
        self.sizes[facts.item_class] += facts.size
        self.largest = max(self.largest, facts.size)
        self.large += facts.size >= LARGE
        self.too_large += facts.size > self._most
        self.one_lane += self._least < facts.size <= self._most
        self.unsized += not facts.size
        when = facts.received or facts.submitted
        if when is not None:
            self.oldest = when if self.oldest is None else min(self.oldest, when)
            self.newest = when if self.newest is None else max(self.newest, when)


def survey(source: Source, stop: threading.Event, most: Collection[float]) -> Survey:
    """Read every folder of a mailbox to its end. ``most`` is how many bytes of an item each lane that is open takes. Raises
    Stopped, and what the source raises.
    """
    sums, folders = _Sums(most), 0
    for folder in source.folders():
        if folder.role is Role.ROOT:
            continue
        folders += 1
        cursor: str | None = None
        while True:
            if stop.is_set():
                raise Stopped
            page = source.changes(folder, cursor)
            for change in page.changes:
                if isinstance(change, Put):
                    sums.add(change.facts)
            if page.last:
                break
            cursor = page.cursor
    return Survey(
        folders=folders,
        items=sums.items.total(),
        bytes=sums.sizes.total(),
        largest=sums.largest,
        large=sums.large,
        one_lane=sums.one_lane,
        too_large=sums.too_large,
        unsized=sums.unsized,
        oldest=_day(sums.oldest),
        newest=_day(sums.newest),
        classes={name: (number, sums.sizes[name]) for name, number in sums.items.most_common()},
    )


def _day(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).date().isoformat()


def least(items: int, size: int, limits: LimitsSection) -> float:
    """Seconds that carrying so much into one mailbox takes at least: the documented limits allow no more."""
    by_bytes = size * _ENCODED / limits.upload_bytes * limits.upload_window
    by_requests = items / limits.requests * limits.requests_window
    return max(by_bytes, by_requests)


def least_together(each: list[float], at_once: int) -> float:
    """The same for several mailboxes, so many at once: never less than the longest of them."""
    return max([*each, sum(each) / max(1, at_once)], default=0.0)
