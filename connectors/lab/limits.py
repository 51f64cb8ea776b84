"""The documented throttling of Outlook's resources, per app and mailbox [learn.microsoft.com/graph/throttling-limits].

10,000 requests in 10 minutes, 150 MB of uploads in 5 minutes, 4 requests at once. What was refused still counts as usage.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

REQUESTS, REQUEST_WINDOW = 10_000, 600.0
UPLOAD, UPLOAD_WINDOW = 150_000_000, 300.0
AT_ONCE = 4


@dataclass(slots=True)
class Usage:
    """What one app did to one mailbox. ``most`` is the highest number of requests at once, ``refused`` the 429s by limit."""

    requests: deque[float] = field(default_factory=deque)
    uploads: deque[tuple[float, int]] = field(default_factory=deque)
    uploaded: int = 0
    running: int = 0
    most: int = 0
    total: int = 0
    bytes: int = 0
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Limits:
    """The usage of every app and mailbox. ``speed`` shrinks the windows; ``on`` False counts and refuses nothing."""

    def __init__(self, *, on: bool, speed: float) -> None:
        self.on, self.speed = on, speed
        self.usage: dict[tuple[str, str], Usage] = defaultdict(Usage)

    def arrive(self, app: str, mailbox: str, size: int, *, slot: bool = True) -> tuple[str, float] | None:
        """A request arrives: None lets it in (``leave`` it afterwards); else the limit that it breaks and the seconds to wait."""
        usage, now = self.usage[app, mailbox], time.monotonic()
        usage.total += 1
        usage.bytes += size
        broken = self._check(usage, now, size, slot)
        if broken is not None:
            usage.refused[broken[0]] += 1
            return broken
        if slot:
            self._take_slot(usage)
        return None

    def hold(self, app: str, mailbox: str) -> tuple[str, float] | None:
        """One slot for a whole batch, whose parts count by themselves: None gives it (``leave`` it afterwards)."""
        usage = self.usage[app, mailbox]
        if self.on and usage.running >= AT_ONCE:
            broken = self._no_slot()
            usage.refused[broken[0]] += 1
            return broken
        self._take_slot(usage)
        return None

    @staticmethod
    def _take_slot(usage: Usage) -> None:
        usage.running += 1
        usage.most = max(usage.most, usage.running)

    def _no_slot(self) -> tuple[str, float]:
        return "MailboxConcurrency", 1.0 / self.speed

    def leave(self, app: str, mailbox: str) -> None:
        """A request that was let in has been answered."""
        self.usage[app, mailbox].running -= 1

    def _check(self, usage: Usage, now: float, size: int, slot: bool) -> tuple[str, float] | None:
        if not self.on:
            return None
        window, upload_window = REQUEST_WINDOW / self.speed, UPLOAD_WINDOW / self.speed
        while usage.requests and usage.requests[0] <= now - window:
            usage.requests.popleft()
        while usage.uploads and usage.uploads[0][0] <= now - upload_window:
            usage.uploaded -= usage.uploads.popleft()[1]
        usage.requests.append(now)
        before = usage.uploaded
        if size:
            usage.uploads.append((now, size))
            usage.uploaded += size
        if len(usage.requests) > REQUESTS:
            return "requests", usage.requests[0] + window - now
        if size and before and usage.uploaded > UPLOAD:
            return "upload", usage.uploads[0][0] + upload_window - now
        if slot and usage.running >= AT_ONCE:
            return self._no_slot()
        return None
