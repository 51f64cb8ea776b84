"""What a probe needs of a target mailbox beyond ``Destination``: a hidden folder of its own, and questions of the wire.

Everything here touches that folder and nothing else in the mailbox. Nothing here is used by a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Workplace:
    """A hidden folder that probes of one installation made. ``loud`` if it may hold what can't be removed without telling
    somebody, because an operator allowed that."""

    id: str
    loud: bool


@dataclass(frozen=True, slots=True)
class Lying:
    """An item that lies in a workplace."""

    id: str
    item_class: str


@dataclass(frozen=True, slots=True)
class Traces:
    """How many items lie where sending and removing leave something: sent mail, mail on its way out, the bin."""

    sent: int
    outbox: int
    bin: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a request of so many bytes was answered that could make no item: whether its size was the reason, and the code."""

    too_large: bool
    code: str


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of requests that left at once: how many were answered, how many turned away for their number, by which code,
    and the seconds that the server wants to be left alone for."""

    taken: int
    refused: int
    code: str = ""
    wait: float = 0.0


NO_SUCH_MAILBOX = "no such mailbox"
"""What ``Bench.reaches`` answers of an address that no mailbox has."""


class Bench(Protocol):
    """One target mailbox as a probe of one installation uses it. Used by one thread. Raises what the wire raises."""

    def places(self) -> Sequence[Workplace]:
        """The workplaces of this installation that are there; those of others are never shown."""
        ...

    def make(self, *, loud: bool) -> Workplace:
        """Make the workplace. There must be none."""
        ...

    def holds(self, place: Workplace) -> Sequence[Lying]:
        """Every item that lies in a workplace."""
        ...

    def remove(self, place: Workplace, item: Lying) -> None:
        """Remove one item of a workplace; the caller knows that this tells nobody, or was allowed to. No error if it is gone."""
        ...

    def drop(self, place: Workplace) -> bool:
        """Remove a workplace that holds nothing; False if it does hold something."""
        ...

    def traces(self) -> Traces:
        """Count what lies in the folders where sending and removing leave traces; looks at no item."""
        ...

    def session_life(self) -> float | None:
        """Open a session for imports and say how many seconds it lasts by its own word; None if it doesn't say."""
        ...

    def weigh(self, place: Workplace, size: int) -> Weighed:
        """Send an import of that many bytes whose content is no item, so that none can come of it."""
        ...

    def knock(self, place: Workplace) -> bool:
        """Whether the address of the session that ``session_life`` opened last is accepted; nothing comes of the request."""
        ...

    def burst(self, place: Workplace, reads: int, *, imports: int = 0, beside: str = "") -> Burst:
        """So many reads of the workplace at once, whatever the limits say, and imports with them that can make no item; with
        ``beside`` as many reads of that mailbox's inbox, too. What else goes wrong with one counts as answered."""
        ...

    def reaches(self, mailbox: str) -> str:
        """Empty if an import session can be opened for another mailbox, into which nothing is sent; else the refusal's code, or
        ``NO_SUCH_MAILBOX``."""
        ...
