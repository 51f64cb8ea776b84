"""Reads the subjects of some items, for a person who asked for them. What is read here is shown and never stored."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from connectors.ews import soap
from connectors.ews.answer import M, T, code_of
from connectors.ews.client import ExchangeServer, MailboxClient

_AT_ONCE = 100


def read_subjects(
    server: ExchangeServer, mailbox: str, ids: Sequence[str], stop: threading.Event | None = None
) -> dict[str, str]:
    """The subject of each item by its id. Items that are gone or can't be read are missing. Raises what the client raises."""
    client = MailboxClient(server, mailbox, stop)
    try:
        found: dict[str, str] = {}
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]

            def read(messages: list[Any], some: Sequence[str] = some) -> dict[str, str]:
                told: dict[str, str] = {}
                # By position: the ids of the answers can differ in text from those of the questions.
                for item_id, message in zip(some, messages, strict=False):
                    item = message.find(f"{M}Items/*") if code_of(message)[0] == "NoError" else None
                    if item is not None:
                        told[item_id] = item.findtext(f"{T}Subject") or ""
                return told

            found |= client.ask("GetItem", soap.get_subjects(some), read)
        return found
    finally:
        client.close()
