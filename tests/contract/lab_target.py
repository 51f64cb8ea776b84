"""The destination contract's second world: our Graph connector against the lab's tenant, over TLS."""

from __future__ import annotations

import base64
import dataclasses
import itertools

from contract_worlds import WHEN, MemoryDestinationWorld, Sample

from connectors.base import Destination, Lane
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.graph.endpoint import Tenant
from connectors.lab import churn, stream
from connectors.lab.people import an_empty, target_for
from connectors.lab.server import CLIENT_ID, TENANT_ID, Lab
from connectors.lab.tenant_index import Index
from connectors.lab.truth import Box, Estate, Item, Person

_NUMBERS = itertools.count(1)
_BUILD = (15, 1, 2507)


class GraphWorld:
    """A target mailbox of its own in a lab that others use too."""

    def __init__(self, lab: Lab) -> None:
        estate = Estate()
        estate.add(an_empty(1000 + next(_NUMBERS), 1))
        (self.mailbox,) = target_for(estate).mailboxes.values()
        lab.target.add(self.mailbox)
        self._ids = Index(self.mailbox, 0)
        self._lab = lab
        self._plain = MemoryDestinationWorld()
        self._clients: list[GraphClient] = []
        self.destination = self.again()

    def again(self) -> Destination:
        tenant = Tenant(
            tenant_id=TENANT_ID,
            client_id=CLIENT_ID,
            secret=self._lab.secret,
            graph_url=self._lab.graph_url,
            authority=self._lab.authority,
            ca_file=str(self._lab.ca_file),
            timeout=20,
        )
        self._clients.append(GraphClient(tenant))
        return GraphDestination(self._clients[-1], self.mailbox.address)

    def mail(self, lane: Lane, subject: str = "Hello", message_id: str | None = None, name: str = "") -> Sample:
        plain = self._plain.mail(lane, subject, message_id, name)
        if lane is Lane.COMPOSE:
            return plain
        item = Item(
            subject=subject,
            body_text="Good morning",
            sender=Person("Anna", "anna@source.example"),
            to=[Person("Ben", "ben@source.example")],
            message_id=plain.identity.message_id,
            search_key=plain.identity.search_key or b"",
            submitted=WHEN,
            received=WHEN,
            created=WHEN,
            modified=WHEN,
        )
        return dataclasses.replace(
            plain, item=dataclasses.replace(plain.item, stream=base64.b64encode(stream.pack(item, _BUILD)))
        )

    def mark_read(self, target_id: str) -> None:
        with self.mailbox.lock:
            churn.read(self._item(target_id), self.mailbox, True)

    def delete(self, target_id: str) -> None:
        with self.mailbox.lock:
            churn.delete(self._item(target_id), self.mailbox, "target", hard=True)

    def rename_folder(self, folder_id: str, name: str) -> None:
        with self.mailbox.lock:
            box = self._box(folder_id)
            box.name = name
            box.change = self.mailbox.tick("folder-edit", box.id)

    def delete_folder(self, folder_id: str) -> None:
        with self.mailbox.lock:
            box = self._box(folder_id)
            for item in self.mailbox.items_in(box.id):
                self.mailbox.remove(item.id)
            del self.mailbox.boxes[box.id]
            self.mailbox.tick("folder-gone", box.id)

    def folder_name(self, folder_id: str) -> str:
        return self._box(folder_id).name

    def parent_of(self, folder_id: str) -> str | None:
        return self._ids.folder_wire(self._box(folder_id).parent_id or "")

    def sent(self) -> int:
        return len(self.mailbox.sent)

    def close(self) -> None:
        self.destination.close()
        for client in self._clients:
            client.close()

    def _item(self, target_id: str) -> Item:
        self._ids.catch_up()
        item = self._ids.item(target_id)
        assert item is not None
        return item

    def _box(self, folder_id: str) -> Box:
        self._ids.catch_up()
        box = self._ids.folder(folder_id)
        assert box is not None
        return box
