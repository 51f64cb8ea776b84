"""Whose target is this? A second ledger, or an older copy of ours, would carry everything once more."""

from __future__ import annotations

from connectors.errors import MailboxBlocked
from migrator.engine.crew import Crew


def check_claim(crew: Crew, *, behind: bool = False) -> None:
    """Refuse a target that another ledger writes into and, unless ``behind``, one to which our own wrote more than it remembers.

    Raises MailboxBlocked with the codes ``foreign-claim`` and ``ledger-behind``.
    """
    claim = crew.destination.claim()
    if claim is None:
        return
    if claim.installation != crew.ledger.installation():
        raise MailboxBlocked(
            "Another ledger writes into this target mailbox.",
            code="foreign-claim",
            side="target",
            mend="Use the ledger that began this mailbox; if that is lost, `migrator db rebuild --take-over` for this mailbox.",
        )
    if not behind and claim.sequence > crew.ledger.mailbox(crew.lease.mailbox_id).sequence:
        raise MailboxBlocked(
            "This ledger is older than what it wrote to the target: it was restored from a backup.",
            code="ledger-behind",
            side="target",
            mend="Restore the newest ledger, or run `migrator db rebuild` for this mailbox.",
        )
