"""What of a mailbox is not carried by itself, as ``check --left-behind`` counted it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from migrator import inventory, kinds
from state.plans import Observation

ALWAYS: Final = ("associated", "search_folders", "tagged_folders", "tagged_items")
"""What stays behind whatever is configured."""

TREES: Final[Mapping[str, kinds.Kind]] = {
    "archive_items": "archive",
    "recoverable_items": "recoverable",
    "held_items": "recoverable",
}
"""What stays behind unless its tree was carried, and which tree that is."""


def left_behind(mailbox_id: int, sights: Mapping[str, Mapping[int, Observation]], details: Mapping[str, Any]) -> dict[str, int]:
    """The figures of one mailbox that are more than nothing; none if nobody counted. ``sights`` are observations by kind,
    ``details`` the columns of the mailbox: an archive that goes into a mailbox of its own does come along.
    """
    seen, trees = (sights.get(kind, {}).get(mailbox_id) for kind in (inventory.SEEN, kinds.SEEN))
    if seen is None:
        return {}
    carried = {*(trees.about if trees is not None else ()), *(["archive"] if kinds.archive_address(details) else ())}
    words = [*ALWAYS, *(word for word, kind in TREES.items() if kind not in carried)]
    return {word: number for word in words if isinstance(number := seen.about.get(word), int) and number > 0}
