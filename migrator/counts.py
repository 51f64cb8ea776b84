"""Numbers of things in words, for sentences; and moments, for programs."""

from __future__ import annotations

from datetime import UTC, datetime


def items(number: int) -> str:
    """``1 item``, ``2,000 items``."""
    return "1 item" if number == 1 else f"{number:,} items"


def mailboxes(number: int) -> str:
    """``1 mailbox``, ``2,000 mailboxes``."""
    return "1 mailbox" if number == 1 else f"{number:,} mailboxes"


def iso(seconds: float | None) -> str | None:
    """Wall-clock seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
