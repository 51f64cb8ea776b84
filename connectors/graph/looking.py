"""A target mailbox as the eyes of a cutover want it: the newest of the inbox, everything there is, one message as MIME.

Reads only, and shares nothing with a pass but the way to the server, so the two may run side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.base import Entry
from connectors.errors import MailboxBlocked
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination


class GraphLook:
    """One mailbox. ``mailbox`` is its user principal name or the user's id. Nothing is held, so nothing has to be closed."""

    def __init__(self, client: GraphClient, mailbox: str) -> None:
        self._client = client
        self._mailbox = mailbox
        self._destination = GraphDestination(client, mailbox)

    def newest(self, limit: int) -> Sequence[Entry]:
        """The newest messages of the inbox, newest first [learn.microsoft.com/graph/api/user-list-messages, $orderby]."""
        path = paths.mail_folder(self._mailbox, "inbox") + "/messages"
        options = {"select": x.MESSAGE_SELECT, "expand": x.expand(x.MESSAGE_EXPAND), "orderby": "receivedDateTime desc"}
        asking = self._client.ask(self._mailbox, "GET", paths.query(path, top=limit, **options), kind="inventory")
        try:
            found = self._client.run(asking).json()
        except Rejected as error:
            mend = "see the code; run `migrator check`"
            raise MailboxBlocked(str(error), code=error.code, side="target", mend=mend) from error
        return [x.entry_of_message(each) for each in found.get("value") or ()]

    def everything(self) -> Iterator[tuple[str, Entry]]:
        """Every item of every folder, with the folder's path."""
        for folder_id, path in self._destination.tree():
            for entry in self._destination.inventory(folder_id):
                yield path, entry

    def content(self, item_id: str) -> bytes | None:
        """The MIME of a message; None for what is no message, or gone [learn.microsoft.com/graph/outlook-get-mime-message]."""
        if ":" in item_id:
            return None
        path = paths.message(self._mailbox, item_id) + "/$value"
        try:
            return self._client.run(self._client.ask(self._mailbox, "GET", path, kind="read")).body
        except Rejected as error:
            if error.meaning is Meaning.GONE or error.status in (400, 404, 405):
                return None
            raise
