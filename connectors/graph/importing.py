"""The import lane: an export stream goes in as it is, one POST an item, and is never decoded.

A session's address is pre-authenticated and bound to a mailbox, so one serves all folders until its end; it is opened when
first needed, shared, and renewed two minutes early or when the address is not accepted any more, which did nothing
[learn.microsoft.com/graph/import-exchange-mailbox-item]. Nothing here goes through transport, so nothing is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson

from connectors.base import Outcome, Receipt, Refusal, Write, WriteKind
from connectors.errors import MailboxBlocked, Unavailable, UnknownAnswer
from connectors.graph import paths
from connectors.graph.client import IMMUTABLE, AddressSpent, GraphClient
from connectors.graph.extended import moment
from connectors.spool import Content

EARLY = 120.0
"""Seconds before a session's end at which it is renewed."""

ASSUMED_LIFE = 45 * 60.0
"""Seconds that a session is taken to last when the server names no end."""

SESSIONS = 8
"""So many sessions, each newer than the one before, are refused before it is the mailbox's fault: a whole lot shares one, and
what waited for its turn meanwhile leaves with an address that another request has already found spent."""

# That the address honours the preference is not documented; where it doesn't, the id is translated (see ``destination``).
_HEADERS = {"Content-Type": "application/json", "Prefer": IMMUTABLE}


def pieces_of(write: Write) -> tuple[Content, ...]:
    """The body of an import request as pieces; the stream is one of them, untouched, and may lie in a file."""
    item = write.item
    if item is None or item.stream is None or write.folder_id is None:
        raise ValueError("an import needs a folder and an item with a stream")
    fields = {"FolderId": write.folder_id, "Mode": "create"}
    if write.kind is WriteKind.UPDATE:
        fields = {
            "FolderId": write.folder_id,
            "Mode": "update",
            "ItemId": write.target_id or "",
            "ChangeKey": write.version or "",
        }
    stream = item.stream
    if isinstance(stream, bytes) and (b"\n" in stream or b"\r" in stream):
        stream = stream.translate(None, b"\r\n \t")
    return (orjson.dumps(fields)[:-1] + b',"Data":"', stream, b'"}')


class Importing:
    """The import session of one mailbox. Used on the loop only. Its address never leaves this object but in a request."""

    def __init__(
        self, client: GraphClient, mailbox: str, mailbox_id: MailboxId, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._mailbox_id = mailbox_id
        self._clock = clock
        self._lock = asyncio.Lock()
        self._address: str | None = None
        self._ends = 0.0

    async def carry(self, write: Write) -> Outcome:
        """Carry out a CREATE or UPDATE. Raises what the client raises."""
        pieces = pieces_of(write)
        if write.kind is WriteKind.UPDATE and not (write.target_id and write.version):
            return Refusal("target-changed", "an update needs the target's id and change key")
        spent: str | None = None
        for _ in range(SESSIONS):
            try:
                address = self._open(spent) or await self._session(spent)
            except Unavailable as error:
                # Whatever became of the session, the item itself has not left.
                raise Unavailable(str(error), code=error.code, did_nothing=True) from None
            try:
                reply = await self._client.send(self._mailbox, "POST", address, kind="import", pieces=pieces, headers=_HEADERS)
            except AddressSpent:
                spent = address
                continue
            found = reply.json()
            try:
                return Receipt(target_id=found["itemId"], version=found.get("changeKey") or "")
            except (KeyError, TypeError, AttributeError):
                raise Unavailable("the import's answer names no item", code=f"http {reply.status}") from None
        raise MailboxBlocked(
            "the target accepts no import session of its own making",
            code="http 401",
            side="target",
            mend="check MailboxItem.ImportExport.All and the app's scope for this mailbox",
        )

    def _open(self, spent: str | None) -> str | None:
        address = self._address
        return address if address is not None and address != spent and self._clock() < self._ends - EARLY else None

    async def _session(self, spent: str | None) -> str:
        async with self._lock:
            if (address := self._open(spent)) is not None:
                return address
            mailbox_id = await self._mailbox_id.get()
            began, wall = self._clock(), datetime.now(UTC)
            path = paths.admin(mailbox_id) + "/createImportSession"
            reply = await self._client.ask(self._mailbox, "POST", path, kind="import-session", safe=True)
            found = reply.json()
            address = found.get("importUrl")
            if not isinstance(address, str) or urlsplit(address).scheme not in ("https", "http"):
                raise UnknownAnswer("an import session without an address")
            if urlsplit(address).scheme == "http" and self._client.tenant.graph_url.startswith("https:"):
                raise UnknownAnswer("an import session whose address is not encrypted")
            ends = moment(found.get("expirationDateTime"))
            # A life shorter than the margin would make every item open a session of its own.
            life = max((ends - wall).total_seconds(), EARLY + 1) if ends else ASSUMED_LIFE
            self._address, self._ends = address, began + life
            return address


class MailboxId:
    """The name that the import and export API has for a mailbox; asked once. Used on the loop only."""

    def __init__(self, client: GraphClient, mailbox: str) -> None:
        self._client = client
        self._mailbox = mailbox
        self._lock = asyncio.Lock()
        self._value: str | None = None

    async def get(self) -> str:
        """The id, verbatim as the server gave it. Raises what the client raises."""
        async with self._lock:
            if self._value is None:
                path = paths.user(self._mailbox) + "/settings/exchange"
                found = (await self._client.ask(self._mailbox, "GET", path, kind="mailbox-id")).json()
                value = found.get("primaryMailboxId")
                if not isinstance(value, str) or not value:
                    raise MailboxBlocked(
                        "the user has no primary mailbox in Exchange Online",
                        side="target",
                        mend="assign a licence with Exchange Online",
                    )
                self._value = value
            return self._value
