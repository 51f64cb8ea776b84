"""Asks the source's directory whose mailbox an address is. Reads only."""

from __future__ import annotations

import threading
from xml.sax.saxutils import escape

from connectors.directory import Person
from connectors.ews import classify
from connectors.ews.answer import M, T, code_of, messages
from connectors.ews.client import ExchangeServer, MailboxClient


def find_person(server: ExchangeServer, address: str, stop: threading.Event | None = None) -> Person | None:
    """The entry of the directory that has this address; None if nobody is found, which is also so for one that is hidden, or if
    several are. Asked as the mailbox itself. Raises what the client raises, MailboxBlocked for one that does not open.

    [learn.microsoft.com/exchange/client-developer/web-service-reference/resolvenames-operation]
    """
    client = MailboxClient(server, address, stop)
    body = (
        '<m:ResolveNames ReturnFullContactData="true" SearchScope="ActiveDirectory">'
        f"<m:UnresolvedEntry>{escape(f'smtp:{address}')}</m:UnresolvedEntry></m:ResolveNames>"
    )

    def once() -> Person | None:
        [message] = messages(client.tree_once("ResolveNames", body), "ResolveNames")
        code, values = code_of(message)
        if code.startswith("ErrorNameResolution"):
            return None
        if code != "NoError":
            classify.raise_for(code, text="", values=values)
        found = message.findall(f"{M}ResolutionSet/{T}Resolution")
        if len(found) != 1:
            return None
        [one] = found
        name = one.findtext(f"{T}Contact/{T}DisplayName") or one.findtext(f"{T}Mailbox/{T}Name") or ""
        told = [one.findtext(f"{T}Mailbox/{T}EmailAddress") or "", *(entry.text or "" for entry in one.iter(f"{T}Entry"))]
        plain = (text.partition(":")[2] if text.casefold().startswith("smtp:") else text for text in told)
        return Person(name=name, addresses=frozenset(text.casefold() for text in plain if "@" in text))

    try:
        return client.call(once)
    finally:
        client.close()
