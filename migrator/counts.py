"""Numbers of things in words, for sentences."""

from __future__ import annotations


def items(number: int) -> str:
    """``1 item``, ``2,000 items``."""
    return "1 item" if number == 1 else f"{number:,} items"


def mailboxes(number: int) -> str:
    """``1 mailbox``, ``2,000 mailboxes``."""
    return "1 mailbox" if number == 1 else f"{number:,} mailboxes"
