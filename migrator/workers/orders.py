"""What a run and its worker processes say to each other: a line of JSON each, orders to a worker and news from it.

The end of the orders without ``Enough`` means that the run is gone: a worker then stops as if it had been asked to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import fields
from typing import IO, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from migrator.config import LaneChoice
from migrator.waves.wave import Ending
from state.model import MailboxRow, PassKind


class Begin(Struct, tag=True, frozen=True, kw_only=True):
    """The first order: what to work with. ``part`` and ``parts`` say which share of the common budgets is this worker's."""

    config: str
    ledger: str
    lane: LaneChoice | None
    approve_deletes: bool
    backfill: bool = False
    dry_run: bool
    rebuild: Literal["", "behind", "take-over"]
    blackouts: bool = False
    at_once: int
    part: int
    parts: int


class Carry(Struct, tag=True, frozen=True):
    """Run one pass over this mailbox."""

    mailbox: MailboxRow


class Share(Struct, tag=True, frozen=True):
    """From now on this part of the common budgets is yours."""

    part: int
    parts: int


class Heed(Struct, tag=True, frozen=True):
    """A server asked another worker that nothing of this scope leaves before then."""

    scope: str
    until: float


class Stop(Struct, tag=True, frozen=True):
    """Stop at the next batch. ``sentence`` says why nobody can proceed, and is empty if a person asked for it."""

    sentence: str
    code: int


class Enough(Struct, tag=True, frozen=True):
    """No more mailboxes will come: end when those under way have."""


class Ready(Struct, tag=True, frozen=True):
    """The worker is set up. ``owner`` is how it signs its leases."""

    owner: str


class Began(Struct, tag=True, frozen=True):
    """A mailbox's pass begins."""

    mailbox: MailboxRow
    kind: PassKind


class Did(Struct, tag=True, frozen=True):
    """Things were done; summed up over a moment."""

    mailbox: int
    word: str
    items: int
    size: int


class Ended(Struct, tag=True, frozen=True):
    """A mailbox is through. ``ending`` has the fields of ``waves.Ending`` but its exception, which stands in the log."""

    mailbox: MailboxRow
    kind: PassKind | None
    ending: dict[str, Any]


class Halted(Struct, tag=True, frozen=True):
    """Nobody can proceed; ``code`` is for the mailboxes that are stopped for it."""

    sentence: str
    code: int


class Hinted(Struct, tag=True, frozen=True):
    """A server asked that nothing of this scope leaves before then."""

    scope: str
    until: float


class Said(Struct, tag=True, frozen=True):
    """A line for the log, as JSON."""

    level: int
    line: str


Order: TypeAlias = Begin | Carry | Share | Heed | Stop | Enough
News: TypeAlias = Ready | Began | Did | Ended | Halted | Hinted | Said

_KEPT_APART = frozenset({"mailbox", "kind", "error"})


def ended(ending: Ending) -> Ended:
    """The news of an ending."""
    rest = {field.name: getattr(ending, field.name) for field in fields(Ending) if field.name not in _KEPT_APART}
    return Ended(ending.mailbox, ending.kind, rest)


def ending_of(news: Ended) -> Ending:
    """The ending that the news are of."""
    return Ending(mailbox=news.mailbox, kind=news.kind, **news.ending)


class Speaker:
    """One end of a pipe that lines go into. Thread-safe; once nobody listens, nothing is said any more."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()

    def say(self, line: Order | News) -> None:
        """Say one thing."""
        text = self._encoder.encode(line) + b"\n"
        with self._lock:
            try:
                self._pipe.write(text)
                self._pipe.flush()
            except (OSError, ValueError):  # the other end is gone, which shows itself where we listen
                return

    def close(self) -> None:
        """Let the other end know that this is all."""
        with self._lock:
            try:
                self._pipe.close()
            except OSError:
                return


def orders(pipe: IO[bytes]) -> Iterator[Order]:
    """What a worker is told, until nothing more comes."""
    return _lines(pipe, msgspec.json.Decoder(Order))


def news(pipe: IO[bytes]) -> Iterator[News]:
    """What a worker tells, until nothing more comes."""
    return _lines(pipe, msgspec.json.Decoder(News))


def _lines(pipe: IO[bytes], decoder: msgspec.json.Decoder[Any]) -> Iterator[Any]:
    for line in pipe:
        if line.endswith(b"\n"):  # else its writer died over it
            yield decoder.decode(line)
