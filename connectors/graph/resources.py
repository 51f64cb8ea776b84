"""What of a mailbox Graph shows as something else than messages, as far as the compose lane writes it; the contract of each.

``destination`` asks the first one that covers a write's class; ``lookup`` asks each of them for what it may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from connectors.base import Facts, Identity, Outcome, Refusal, TargetRef, Write

Offer: TypeAlias = Callable[[dict[str, Any], Facts, str | None, str], None]
"""Takes what a look-up found: the resource as the server shows it, its facts, its stamp, and the id of its folder."""

NO_FOLDERS = Refusal("no-folder-access", "the app may not make folders of this kind")
"""Folders of other kinds than mail are made and seen by the admin interface only; without it there is no place to write to."""


class Resource(Protocol):
    """Events, contacts or tasks of one mailbox. Used on the loop only; raises what the client raises."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The item class prefixes that it takes."""
        ...

    async def create(self, write: Write) -> Outcome:
        """Carry out a CREATE of the compose lane: whole, or with a partial stamp that no look-up takes for the item."""
        ...

    async def remove(self, write: Write) -> Outcome | None:
        """Carry out a REMOVE, in silence; None if it does not show the item here, so that the admin interface is asked."""
        ...

    async def find(self, identities: Sequence[Identity], offer: Offer) -> frozenset[Identity]:
        """Offer whatever may be one of these, all of its classes; those for which nothing else has to be looked through."""
        ...

    async def peek(self, target_ids: Sequence[str]) -> dict[str, TargetRef]:
        """Those of the ids that it knows, as they are now."""
        ...


def covers(prefixes: Sequence[str], item_class: str) -> bool:
    """Whether an item class is one of these, or below one of them; case does not count."""
    folded = item_class.casefold()
    return any(folded == each.casefold() or folded.startswith(each.casefold() + ".") for each in prefixes)
