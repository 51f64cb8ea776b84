"""The source contract's second world: our Exchange connector against the lab's Exchange server, over TLS and NTLM."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import timedelta

from contract_worlds import WHEN, read

from connectors.base import Role, Source
from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.source import ExchangeSource
from connectors.lab import churn, exchange_ids
from connectors.lab.people import an_empty
from connectors.lab.server import USER, Lab
from connectors.lab.truth import Box, Item, Mailbox, Person, seeded_bytes

_NUMBERS = itertools.count(1)


class ExchangeWorld:
    """A mailbox of its own in a lab that others use too. Ids are those of the wire."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.mailbox = self._new_mailbox()
        settings = Exchange(url=lab.ews_url, username=USER, password=lab.password, ca_file=str(lab.ca_file), timeout=20)
        self._server = ExchangeServer(settings)
        self._stop = threading.Event()
        self.source: Source = ExchangeSource(self._server, self.mailbox.address, stop=self._stop)
        self._own: dict[str, str] = {}

    def special(self, role: Role) -> str:
        box = self.mailbox.by_role(role.value)
        assert box is not None
        return self._shown_folder(box)

    def add_folder(self, name: str, parent: str | None = None) -> str:
        with self.mailbox.lock:
            own = seeded_bytes("contract folder", next(_NUMBERS), length=12).hex()
            return self._shown_folder(self.mailbox.add_box(Box(own, self._parent(parent), name)))

    def rename_folder(self, folder_id: str, name: str) -> None:
        with self.mailbox.lock:
            box = self.mailbox.boxes[self._own[folder_id]]
            box.name = name
            box.change = self.mailbox.tick("folder-edit", box.id)

    def move_folder(self, folder_id: str, parent: str | None) -> None:
        with self.mailbox.lock:
            self.mailbox.move_box(self.mailbox.boxes[self._own[folder_id]], self._parent(parent))

    def delete_folder(self, folder_id: str) -> None:
        with self.mailbox.lock:
            own = self._own[folder_id]
            for item in self.mailbox.items_in(own):
                self.mailbox.remove(item.id)
            del self.mailbox.boxes[own]
            self.mailbox.tick("folder-gone", own)

    def put(self, folder_id: str, subject: str) -> str:
        number = next(_NUMBERS)
        item = Item(
            id=seeded_bytes("contract item", number, length=12).hex(),
            folder_id=self._own[folder_id],
            subject=subject,
            body_text="Good morning",
            sender=Person("Anna", "anna@source.example"),
            author=Person("Anna", "anna@source.example"),
            to=[Person("Ben", "ben@source.example")],
            message_id=f"<contract.{number}@source.example>",
            search_key=seeded_bytes("contract key", number),
            submitted=WHEN + timedelta(minutes=number),
            received=WHEN + timedelta(minutes=number, seconds=2),
            created=WHEN + timedelta(minutes=number, seconds=3),
            modified=WHEN + timedelta(minutes=number, seconds=3),
        )
        with self.mailbox.lock:
            return self._shown_item(self.mailbox.add(item))

    def edit(self, item_id: str, subject: str) -> None:
        with self.mailbox.lock:
            churn.edit(self._item(item_id), self.mailbox, {"subject": subject})

    def mark_read(self, item_id: str) -> None:
        with self.mailbox.lock:
            churn.read(self._item(item_id), self.mailbox, True)

    def copy(self, item_id: str, folder_id: str) -> str:
        with self.mailbox.lock:
            own = seeded_bytes("contract item", next(_NUMBERS), length=12).hex()
            return self._shown_item(self.mailbox.add(replace(self._item(item_id), id=own, folder_id=self._own[folder_id])))

    def move(self, item_id: str, folder_id: str) -> str:
        with self.mailbox.lock:
            box = self.mailbox.boxes[self._own[folder_id]]
            return self._shown_item(churn.move(self._item(item_id), self.mailbox, box, "source"))

    def delete(self, item_id: str) -> None:
        with self.mailbox.lock:
            churn.delete(self._item(item_id), self.mailbox, "source", hard=True)

    def foreign_cursor(self) -> str:
        other = ExchangeSource(self._server, self._new_mailbox().address, stop=self._stop)
        try:
            return read(other, next(folder for folder in other.folders() if folder.role is Role.INBOX))[1]
        finally:
            other.close()

    def close(self) -> None:
        self.source.close()
        self._server.close()

    def _new_mailbox(self) -> Mailbox:
        return self._lab.source.add(an_empty(100 + next(_NUMBERS), 1))

    def _parent(self, parent: str | None) -> str:
        return self.mailbox.root_id if parent is None else self._own[parent]

    def _item(self, item_id: str) -> Item:
        return self.mailbox.items[self._own[item_id]]

    def _shown_folder(self, box: Box) -> str:
        shown = exchange_ids.folder_id(self.mailbox, box.id)
        self._own[shown] = box.id
        return shown

    def _shown_item(self, item: Item) -> str:
        shown = exchange_ids.item_id(self.mailbox, item.id)
        self._own[shown] = item.id
        return shown
