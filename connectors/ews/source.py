"""One Exchange mailbox to read from. Never writes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lxml import etree

from connectors.base import Entry, Fetched, Folder, Gone, Item, Lane, Limits, Page, Put, Ref, Refusal, Role
from connectors.errors import Unavailable, UnknownAnswer
from connectors.ews import classify, soap
from connectors.ews.client import ExchangeServer, M, MailboxClient, T, code_of, messages
from connectors.ews.convert import item_of

_SEARCH_FOLDER = "2"
_LOOK_UP = 100
_REFUSED_IN_LISTING = frozenset({"ErrorInvalidPropertyRequest", "ErrorInvalidPropertyForOperation"})

# One GetItem or ExportItems a lot: the vendor advises at most 100 exports and short calls, since one may run a minute at most.
_LIMITS = Limits(fetch_items=20, fetch_bytes=8_000_000)


class ExchangeSource:
    """A mailbox behind ``connectors.base.Source``. ``fetch`` may run on a second thread while another one lists."""

    def __init__(self, server: ExchangeServer, mailbox: str, *, stop: threading.Event | None = None) -> None:
        self.client = MailboxClient(server, mailbox, stop)
        self._owner = mailbox if server.settings.access == "full-access" else None
        self._bare = False

    @property
    def limits(self) -> Limits:
        return _LIMITS

    @property
    def offers(self) -> frozenset[Lane]:
        return frozenset(Lane)

    def folders(self) -> Iterator[Folder]:
        """All folders below the top, parents before children; search folders left out, special ones by their role."""
        roles = self._roles()
        top = next((id_ for id_, role in roles.items() if role is Role.ROOT), None)
        found: dict[str, Folder] = {}
        for element in self._folder_pages():
            folder = self._folder(element, roles, top)
            if folder is not None:
                found[folder.id] = folder
        waiting = list(found.values())
        shown: set[str] = set()
        while waiting:
            ready = [one for one in waiting if one.parent_id is None or one.parent_id in shown or one.parent_id not in found]
            if not ready:
                raise Unavailable("The source's folders form a circle; it is being changed.", code="folder circle")
            for folder in ready:
                shown.add(folder.id)
                yield folder
            waiting = [one for one in waiting if one.id not in shown]

    def _roles(self) -> dict[str, Role]:
        asked = [role for role in Role if role is not Role.ARCHIVE]
        root = self.client.tree("GetFolder", soap.get_special([role.value for role in asked], self._owner))
        found: dict[str, Role] = {}
        answers = messages(root, "GetFolder")
        _same_number(answers, asked)
        for role, message in zip(asked, answers, strict=True):
            code, values = code_of(message)
            if code == "NoError":
                found[message.find(f"{M}Folders")[0].find(f"{T}FolderId").get("Id")] = role
            elif role is Role.ROOT:
                classify.raise_for(code, text="", values=values)
        return found

    def _folder_pages(self) -> Iterator[Any]:
        offset = 0
        while True:
            root = self.client.tree("FindFolder", soap.find_folders(offset, self._owner))
            [message] = messages(root, "FindFolder")
            _check(message)
            folder = message.find(f"{M}RootFolder")
            yield from folder.find(f"{T}Folders")
            if folder.get("IncludesLastItemInRange") == "true":
                return
            following = int(folder.get("IndexedPagingOffset") or 0)
            if following <= offset:
                raise Unavailable("The source's folder listing does not get on.", code="no progress")
            offset = following

    def _folder(self, element: Any, roles: dict[str, Role], top: str | None) -> Folder | None:
        told = soap.extended(element)
        if told.get("0x3601") == _SEARCH_FOLDER or etree.QName(element).localname == "SearchFolder":
            return None
        id_ = element.find(f"{T}FolderId").get("Id")
        parent = element.find(f"{T}ParentFolderId")
        parent_id = parent.get("Id") if parent is not None else None
        total = int(element.findtext(f"{T}TotalCount") or 0)
        unread = int(told.get("0x3603") or 0)
        changed, deleted = told.get("0x670a"), told.get("0x670b")
        return Folder(
            id=id_,
            parent_id=None if parent_id == top else parent_id,
            name=element.findtext(f"{T}DisplayName") or "",
            kind=element.findtext(f"{T}FolderClass") or "IPF.Note",
            role=roles.get(id_),
            total=total,
            unread=unread,
            hidden=(told.get("0x10f4") or "").lower() == "true",
            change_stamp=f"{changed}|{deleted}|{total}|{unread}" if changed and deleted else None,
        )

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        """The next page of a folder. Raises StaleCursor when the server does not know the cursor any more."""
        root = self.client.tree("SyncFolderItems", soap.sync_items(folder.id, cursor, bare=self._bare))
        [message] = messages(root, "SyncFolderItems")
        code, values = code_of(message)
        if code in _REFUSED_IN_LISTING and not self._bare:
            self._bare = True
            return self.changes(folder, cursor)
        if code != "NoError":
            classify.raise_for(code, text="", values=values)
        page, told = soap.read_page(message)
        if not page.last and page.cursor == cursor and not page.changes:
            # Seen on real servers: the same state again, said not to be the end. There is nothing more to come.
            page = Page(page.changes, page.cursor, True)
        return page if told else self._with_facts(page)

    def _with_facts(self, page: Page) -> Page:
        """A page of bare ids with what the planner needs, asked for a hundred at once."""
        refs = [change.ref for change in page.changes if isinstance(change, Put)]
        facts: dict[str, Entry] = {}
        for at in range(0, len(refs), _LOOK_UP):
            asked = refs[at : at + _LOOK_UP]
            root = self.client.tree("GetItem", soap.get_listed([ref.id for ref in asked]))
            answers = messages(root, "GetItem")
            _same_number(answers, asked)
            for ref, message in zip(asked, answers, strict=True):
                code, values = code_of(message)
                if code == "NoError":
                    facts[ref.id] = soap.entry_of(message.find(f"{M}Items")[0])
                elif classify.item_answer(ref, code, values=values) is None:
                    classify.raise_for(code, text="", values=values)
        changes = tuple(
            Put(Ref(one.ref.id, one.ref.version, facts[one.ref.id].facts.size), facts[one.ref.id].facts)
            if isinstance(one, Put) and one.ref.id in facts
            else one
            for one in page.changes
        )
        return Page(changes, page.cursor, page.last)

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        """One answer a ref, in their order."""
        if not refs:
            return
        ids = [ref.id for ref in refs]
        yield from self._exported(refs, ids) if lane is Lane.IMPORT else self._composed(refs, ids)

    def _exported(self, refs: Sequence[Ref], ids: Sequence[str]) -> Iterator[Fetched]:
        def ask() -> list[Fetched]:
            answers = list(soap.read_export(self.client.post_once("ExportItems", soap.export(ids))))
            _same_number(answers, refs)
            # By position: the ids of the answers can differ in text from those of the questions.
            return [_exported_item(ref, message, stream) for ref, (message, stream) in zip(refs, answers, strict=True)]

        yield from self.client.pacer.call(ask)

    def _composed(self, refs: Sequence[Ref], ids: Sequence[str]) -> Iterator[Fetched]:
        def ask() -> list[Fetched]:
            root = self.client.tree_once("GetItem", soap.get_composed(ids))
            answers = messages(root, "GetItem")
            _same_number(answers, refs)
            return [_composed_item(ref, message) for ref, message in zip(refs, answers, strict=True)]

        yield from self.client.pacer.call(ask)

    def inventory(self, folder: Folder) -> Iterator[Entry]:
        """Every item of the folder, as the server has it now."""
        offset = 0
        while True:
            root = self.client.tree("FindItem", soap.find_items(folder.id, offset))
            [message] = messages(root, "FindItem")
            _check(message)
            page = message.find(f"{M}RootFolder")
            for item in page.find(f"{T}Items"):
                yield soap.entry_of(item)
            if page.get("IncludesLastItemInRange") == "true":
                return
            following = int(page.get("IndexedPagingOffset") or 0)
            if following <= offset:
                raise Unavailable("The source's listing does not get on.", code="no progress")
            offset = following

    def figures(self) -> dict[str, float]:
        return self.client.figures()

    def close(self) -> None:
        self.client.close()


def _check(message: Any) -> None:
    code, values = code_of(message)
    if code != "NoError":
        classify.raise_for(code, text="", values=values)


def _same_number(answers: Sequence[object], questions: Sequence[object]) -> None:
    if len(answers) != len(questions):
        raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")


def _failed(ref: Ref, message: Any) -> Gone | Refusal | None:
    """What an item's error means; None if it has none. Raises when the whole call has to be made again."""
    code, values = code_of(message)
    if code == "NoError":
        return None
    meant = classify.item_answer(ref, code, values=values)
    if meant is None:
        classify.raise_for(code, text="", values=values)
        raise UnknownAnswer(f"The source answered {code} for an item.", code=code)
    return meant


def _exported_item(ref: Ref, message: Any, stream: bytes | None) -> Fetched:
    if (failure := _failed(ref, message)) is not None:
        return failure
    if stream is None:
        raise Unavailable("The source sent an item without its stream.", code="no stream")
    soap.check_stream(stream)
    digest = hashlib.blake2b(stream, digest_size=8).digest()
    return Item(ref=ref, lane=Lane.IMPORT, item_class="", digest=digest, stream=stream)


def _composed_item(ref: Ref, message: Any) -> Fetched:
    if (failure := _failed(ref, message)) is not None:
        return failure
    return item_of(ref, message.find(f"{M}Items")[0])
