"""Asks the tenant's directory whose mailbox an address is. Reads only."""

from __future__ import annotations

from connectors.directory import Person
from connectors.errors import MailboxBlocked
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient

_NOBODY = frozenset({"ResourceNotFound", "Request_ResourceNotFound"})
_SELECT = "id,displayName,mail,userPrincipalName,proxyAddresses"


def find_person(client: GraphClient, address: str) -> Person | None:
    """The user of this address or id; None if there is none. Needs User.Read.All. Raises what the client raises.

    [learn.microsoft.com/graph/api/user-get]
    """
    path = paths.query(paths.user(address), select=_SELECT)
    try:
        found = client.run(client.ask(address, "GET", path, kind="directory")).json()
    except MailboxBlocked as error:
        if error.code in _NOBODY:
            return None
        raise
    except Rejected as error:
        if error.meaning is Meaning.GONE:
            return None
        raise
    proxies = [text[5:] for text in found.get("proxyAddresses") or () if str(text).casefold().startswith("smtp:")]
    addresses = [found.get("mail"), found.get("userPrincipalName"), *proxies]
    return Person(
        name=str(found.get("displayName") or ""),
        addresses=frozenset(str(text).casefold() for text in addresses if text),
        object_id=str(found.get("id") or "").lower(),
    )
