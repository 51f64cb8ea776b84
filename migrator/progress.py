"""Shows a run while it goes on: a live table where a person watches, a plain line now and then where nobody does.

Both are told the same by the mailboxes' threads (``waves.Watcher``), and neither ever holds one of them up for long.
``NO_COLOR`` and dumb terminals are respected.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from state.model import MailboxRow, PassKind

if TYPE_CHECKING:
    from migrator.waves.wave import Ending

ARRIVED = frozenset({"created", "updated", "flagged", "moved", "removed", "adopted"})
"""Words of a pass that mean: something now stands in the target as it should."""

PLAIN_EVERY = 10.0
"""Seconds between two plain lines about one mailbox."""

_SHOWN = 20


@dataclass(slots=True)
class _Going:
    mailbox: MailboxRow
    kind: PassKind
    listed: int = 0
    arrived: int = 0
    refused: int = 0
    bytes: int = 0
    begun: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def add(self, word: str, items: int, size: int) -> None:
        self.bytes += size
        if word == "listed":
            self.listed += items
        elif word in ARRIVED:
            self.arrived += items
        elif word in ("refused", "withheld"):
            self.refused += items


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        """Told when a mailbox's pass begins."""

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        """Told whenever something was done."""

    def ended(self, ending: Ending) -> None:
        """Told when a mailbox is through, one way or the other."""


class Plain(Silent):
    """A line when a mailbox begins, when it ends, and every ten seconds between."""

    def __init__(self, total: int, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._total = total
        self._ended = 0
        self._going: dict[int, _Going] = {}
        self._lock = threading.Lock()

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        now = self._clock()
        with self._lock:
            self._going[mailbox.id] = _Going(mailbox, kind, begun=now, told=now)
            self._say(f"{mailbox.source}: {kind.value} pass begins")

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        with self._lock:
            going = self._going.get(mailbox.id)
            if going is None:
                return
            going.add(word, items, size)
            now = self._clock()
            if now - going.told >= PLAIN_EVERY:
                going.told = now
                self._say(f"{mailbox.source}: {_counts(going)}")

    def ended(self, ending: Ending) -> None:
        with self._lock:
            self._ended += 1
            going = self._going.pop(ending.mailbox.id, None)
            counts = f", {_counts(going)}" if going else ""
            cause = f": {ending.cause}" if ending.cause else ""
            place = f"({self._ended} of {self._total})"
            self._say(f"{ending.mailbox.source}: {ending.mailbox.state.value}{counts} {place}{cause}")

    def _say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class Live(Silent):
    """A table that is drawn anew four times a second: the mailboxes that are running, and their sum."""

    def __init__(self, total: int, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as Display

        self._total = total
        self._ended: dict[str, int] = {}
        self._going: dict[int, _Going] = {}
        self._sum = [0, 0, 0]
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._display = Display(
            console=Console(file=out), get_renderable=self._table, refresh_per_second=4, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Live:
        self._display.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._display.stop()

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        with self._lock:
            self._going[mailbox.id] = _Going(mailbox, kind)

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        with self._lock:
            going = self._going.get(mailbox.id)
            if going is not None:
                before = (going.arrived, going.refused, going.bytes)
                going.add(word, items, size)
                after = (going.arrived, going.refused, going.bytes)
                self._sum = [old + new - was for old, new, was in zip(self._sum, after, before, strict=True)]

    def ended(self, ending: Ending) -> None:
        with self._lock:
            self._going.pop(ending.mailbox.id, None)
            state = ending.mailbox.state.value
            self._ended[state] = self._ended.get(state, 0) + 1

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            going = list(self._going.values())
            arrived, refused, size = self._sum
            ended = dict(self._ended)
        table = Table(box=None, pad_edge=False, expand=False)
        table.add_column("mailbox", no_wrap=True, overflow="ellipsis", max_width=40)
        table.add_column("pass")
        for name in ("listed", "carried", "refused", "MB", "items/s"):
            table.add_column(name, justify="right")
        now = time.monotonic()
        for one in going[:_SHOWN]:
            rate = one.arrived / max(1.0, now - one.begun)
            table.add_row(
                Text(one.mailbox.source),
                one.kind.value,
                f"{one.listed:,}",
                f"{one.arrived:,}",
                f"{one.refused:,}",
                f"{one.bytes / 1e6:,.1f}",
                f"{rate:,.0f}",
            )
        if len(going) > _SHOWN:
            table.add_row(f"and {len(going) - _SHOWN} more", "", "", "", "", "", "")
        elapsed = now - self._begun
        table.add_row(
            f"{sum(ended.values())} of {self._total} mailboxes",
            "",
            "",
            f"{arrived:,}",
            f"{refused:,}",
            f"{size / 1e6:,.1f}",
            f"{arrived / max(1.0, elapsed):,.0f}",
            style="bold",
        )
        states = ", ".join(f"{number} {state}" for state, number in sorted(ended.items()))
        table.caption = f"{time.strftime('%H:%M:%S', time.gmtime(elapsed))}  {states}".rstrip()
        table.caption_justify = "left"
        return table


def watcher_for(total: int, *, quiet: bool, out: TextIO | None = None) -> Silent:
    """What suits the place that the output goes to: nothing if ``quiet``, a live table on a terminal, plain lines elsewhere."""
    out = out or sys.stdout
    if quiet:
        return Silent()
    return Live(total, out) if out.isatty() and os.environ.get("TERM") != "dumb" else Plain(total, out)


def _counts(going: _Going) -> str:
    refused = f", {going.refused:,} refused" if going.refused else ""
    return f"{going.listed:,} listed, {going.arrived:,} carried{refused}, {going.bytes / 1e6:,.1f} MB"
