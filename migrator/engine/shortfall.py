"""What of a mailbox arrived with something less, property by property, over all its passes: the sight ``fidelity`` of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from state.store import Ledger

SIGHT = "fidelity"


class Shortfall:
    """The count of one mailbox: items by the names of ``migrator.fidelity``, of whatever ever arrived with something less.

    An item counts once for a property, however often it is carried again. What is lost: the names of a copy whose answer never
    came, because only the answer says them. Written beside each lot, so a process that dies takes at most its last lot's.
    """

    def __init__(self, ledger: Ledger, mailbox_id: int) -> None:
        self._ledger, self._mailbox_id = ledger, mailbox_id
        self._counts: Counter[str] | None = None
        self._new = False

    def add(self, names: Iterable[str]) -> None:
        """One item arrived without these."""
        if self._counts is None:
            self._counts = Counter(shortfalls(self._ledger, self._mailbox_id).get(self._mailbox_id, {}))
        self._counts.update(names)
        self._new = True

    def keep(self) -> None:
        """Write down what is new."""
        if self._new and self._counts is not None:
            self._new = False
            self._ledger.plans.observe(self._mailbox_id, SIGHT, dict(self._counts))


def shortfalls(ledger: Ledger, mailbox_id: int | None = None) -> dict[int, dict[str, int]]:
    """Items that arrived with something less, by mailbox and property; of one mailbox if it is named."""
    return {
        sight.mailbox_id: {word: value for word, value in sight.about.items() if isinstance(value, int)}
        for sight in ledger.plans.observed(SIGHT, mailbox_id)
    }
