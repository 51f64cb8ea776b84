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
    """The usage of every app and mailbox. ``speed`` shrinks the windows; ``on`` False counts and refuses nothing.

    On whose account requests at once go, and how many, the documents disagree: ``most``, and ``of_app`` for all mailboxes of an
    app together.
    """

    def __init__(self, *, on: bool, speed: float) -> None:
        self.on, self.speed = on, speed
        self.most, self.of_app = AT_ONCE, False
        self.usage: dict[tuple[str, str], Usage] = defaultdict(Usage)
        self._slots: dict[tuple[str, str], int] = defaultdict(int)

    def arrive(self, app: str, mailbox: str, size: int, *, slot: bool = True, apart: str = "") -> tuple[str, float] | None:
        """A request arrives: None lets it in (``leave`` it afterwards); else the limit that it breaks and the seconds to wait.
        ``apart`` names the address whose requests at once are counted for themselves; it is to be said to ``leave``, too."""
        usage, now = self.usage[app, mailbox], time.monotonic()
        usage.total += 1
        usage.bytes += size
        full = slot and self._full(app, mailbox, apart)
        broken = self._check(usage, now, size) or (self._no_slot() if full else None)
        if broken is not None:
            usage.refused[broken[0]] += 1
            return broken
        if slot:
            self._take_slot(app, mailbox, apart)
        return None

    def hold(self, app: str, mailbox: str) -> tuple[str, float] | None:
        """One slot for a whole batch, whose parts count by themselves: None gives it (``leave`` it afterwards)."""
        usage = self.usage[app, mailbox]
        if self._full(app, mailbox):
            broken = self._no_slot()
            usage.refused[broken[0]] += 1
            return broken
        self._take_slot(app, mailbox)
        return None

    def _account(self, app: str, mailbox: str, apart: str) -> tuple[str, str]:
        return app, ("" if self.of_app else mailbox) + apart

    def _full(self, app: str, mailbox: str, apart: str = "") -> bool:
        return self.on and self._slots[self._account(app, mailbox, apart)] >= self.most

    def _take_slot(self, app: str, mailbox: str, apart: str = "") -> None:
        self._slots[self._account(app, mailbox, apart)] += 1
        usage = self.usage[app, mailbox]
        usage.running += 1
        usage.most = max(usage.most, usage.running)

    def _no_slot(self) -> tuple[str, float]:
        return "MailboxConcurrency", 1.0 / self.speed

    def leave(self, app: str, mailbox: str, apart: str = "") -> None:
        """A request that was let in has been answered."""
        self.usage[app, mailbox].running -= 1
        self._slots[self._account(app, mailbox, apart)] -= 1

    def _check(self, usage: Usage, now: float, size: int) -> tuple[str, float] | None:
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
        return None
