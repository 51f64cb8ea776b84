"""One Exchange mailbox to read from. Never writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from connectors.base import (
    Attachment,
    Entry,
    Fetched,
    Folder,
    Item,
    Lane,
    Limits,
    Page,
    Put,
    Ref,
    Refusal,
    digest_of,
)
from connectors.errors import Throttled, Unavailable, UnknownAnswer, WireError
from connectors.ews import asking, classify, contacts, events, export, soap
from connectors.ews.answer import M, T, check, code_of, parse
from connectors.ews.answer import messages as messages_of
from connectors.ews.client import ExchangeServer, MailboxClient
from connectors.ews.convert import item_of
from connectors.ews.gathering import Gathering, event_item, failure_of
from connectors.ews.kinds import EVENT, MAIL, Kind, kind_of
from connectors.ews.large import OPERATIONS, Stream, ask_large
from connectors.ews.others import original
from connectors.ews.roots import Root
from connectors.ews.tree import REFUSED_IN_LISTING, Tree, paged, same_number
from connectors.spool import SPOOL_FROM, Content, Spool

R = TypeVar("R")

_log = structlog.get_logger("connectors.ews")

_FOLDERS = 20
"""Folders that are searched by one request."""

_LOOK_UP = 100
_FEWEST = 16
_TOO_LONG = frozenset({"ErrorTimeoutExpired", "time-out"})
_TOO_MUCH = _TOO_LONG | {"malformed", "cut short", "answer count"}
_POISONED = frozenset({"malformed", "answer count"})
_BREAKS = frozenset({"ErrorInternalServerError", "no content", "no stream", "no item"})
"""What a server answers for an item that breaks it."""
_TRIES = 4

# One GetItem or ExportItems a lot: the vendor advises at most 100 exports and short calls, since one may run a minute at most.
_LIMITS = Limits(fetch_items=100, fetch_bytes=8_000_000)
_SPOOLING = replace(_LIMITS, spool_from=SPOOL_FROM)


class ExchangeSource:
    """A mailbox behind ``connectors.base.Source``. ``fetch`` may run on a second thread while another one lists.

    ``spool`` takes the content of large items; without one they are in memory as all others. ``roots`` are further trees of it;
    with ``alone`` they are all that is read.
    """

    def __init__(
        self,
        server: ExchangeServer,
        mailbox: str,
        *,
        stop: threading.Event | None = None,
        spool: Spool | None = None,
        roots: Sequence[Root] = (),
        alone: bool = False,
    ) -> None:
        self.client = MailboxClient(server, mailbox, stop)
        self._mailbox = mailbox
        owner = mailbox if server.settings.access == "full-access" else None
        self._tree = Tree(self.client, owner, roots=roots, alone=alone)
        self._spool = spool
        self._bare = False
        self._most = {"SyncFolderItems": 512, "FindItem": 1000}

    @property
    def limits(self) -> Limits:
        return _LIMITS if self._spool is None else _SPOOLING

    @property
    def offers(self) -> frozenset[Lane]:
        return frozenset(Lane)

    @property
    def build(self) -> str:
        return self.client.build

    def folders(self) -> Iterator[Folder]:
        """All folders below the top, parents before children; search folders left out, special ones by their role."""
        return self._tree.folders()

    # -- what changed

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        """The next page of a folder. Raises StaleCursor when the server does not know the cursor any more."""
        try:
            page, told = self._changes(folder, cursor)
        except UnknownAnswer as error:
            if error.code not in REFUSED_IN_LISTING or self._bare:
                raise
            self._bare = True
            page, told = self._changes(folder, cursor)
        if not page.last and page.cursor == cursor:
            # Seen on real servers: the same state again, said not to be the end. Asking on would bring the same for ever.
            page = Page(page.changes, page.cursor, True)
        return page if told else self._with_facts(page)

    def _changes(self, folder: Folder, cursor: str | None) -> tuple[Page, bool]:
        def read(messages: list[Any]) -> tuple[Page, bool]:
            same_number(messages, (folder,))
            check(messages[0])
            return soap.read_page(messages[0])

        return self._ask_less("SyncFolderItems", partial(soap.sync_items, folder.id, cursor, bare=self._bare), read)

    def _with_facts(self, page: Page) -> Page:
        """A page of bare ids with what the planner needs, asked for a hundred at once."""
        refs = [change.ref for change in page.changes if isinstance(change, Put)]
        facts: dict[str, Entry] = {}
        for at in range(0, len(refs), _LOOK_UP):
            facts.update(self._listed(refs[at : at + _LOOK_UP]))
        changes = tuple(
            Put(Ref(one.ref.id, one.ref.version, facts[one.ref.id].facts.size), facts[one.ref.id].facts)
            if isinstance(one, Put) and one.ref.id in facts
            else one
            for one in page.changes
        )
        return Page(changes, page.cursor, page.last)

    def _listed(self, refs: Sequence[Ref]) -> dict[str, Entry]:
        def read(messages: list[Any]) -> dict[str, Entry]:
            same_number(messages, refs)
            found: dict[str, Entry] = {}
            for ref, message in zip(refs, messages, strict=True):
                # What went away since, or can't be read, stays bare: fetching it tells.
                if failure_of(ref, message) is None:
                    found[ref.id] = soap.entry_of(_item_in(message))
            return found

        return self.client.ask("GetItem", soap.get_listed([ref.id for ref in refs]), read)

    # -- items

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        """One answer a ref, in their order."""
        return iter(_Fetch(self.client, refs, lane, self._mailbox, self._spool).run())

    def inventory(self, folder: Folder) -> Iterator[Entry]:
        """Every item of the folder, as the server has it now."""
        offset: int | None = 0
        while offset is not None:
            page, offset = self._ask_less("FindItem", partial(soap.find_items, folder.id, offset), paged("Items", offset))
            for item in page:
                yield soap.entry_of(item)

    def with_message_id(self, folders: Sequence[Folder], message_id: str) -> Iterator[tuple[Folder, Entry]]:
        """The items of these folders that have a message id, with brackets or without, up to a hundred a folder: found by the
        server, so that nothing is listed for it."""
        bare = message_id.strip().strip("<>")
        for at in range(0, len(folders), _FOLDERS):
            some = folders[at : at + _FOLDERS]

            def read(messages: list[Any], some: Sequence[Folder] = some) -> list[tuple[Folder, Entry]]:
                same_number(messages, some)
                found = []
                for folder, message in zip(some, messages, strict=True):
                    check(message)
                    found += [(folder, soap.entry_of(item)) for item in message.iterfind(f"{M}RootFolder/{T}Items/*")]
                return found

            body = soap.find_message([folder.id for folder in some], [f"<{bare}>", bare])
            yield from self.client.ask("FindItem", body, read)

    def _ask_less(self, kind: str, body: Callable[[int], str], read: Callable[[list[Any]], R]) -> R:
        """Ask for one page; for a smaller one, then and from then on, if it took the server too long."""

        def once() -> R:
            try:
                return read(messages_of(self.client.tree_once(kind, body(self._most[kind])), kind))
            except Unavailable as error:
                if error.code in _TOO_LONG:
                    self._most[kind] = max(_FEWEST, self._most[kind] // 2)
                raise

        return self.client.call(once)

    def figures(self) -> dict[str, float]:
        return self.client.figures()

    def close(self) -> None:
        self.client.close()


_UNAVAILABLE = classify.Meaning.UNAVAILABLE


class _Fetch:
    """One lot on its way. What was answered is kept, so that only what is missing is asked for again.

    A lot that takes too long, or whose answer can't be read, is halved until the one item that spoils it stands alone; that one
    comes last from then on. An item is refused by name if the server delivers its neighbours, but not it, again and again.
    """

    def __init__(self, client: MailboxClient, refs: Sequence[Ref], lane: Lane, owner: str, spool: Spool | None = None) -> None:
        self.client, self.refs, self.lane, self.owner, self.spool = client, refs, lane, owner, spool
        self.large: frozenset[int] = frozenset()
        """Items that come one at a time and go into a file."""
        if spool is not None:
            large = (at for at, ref in enumerate(refs) if ref.size >= SPOOL_FROM)
            self.large = frozenset(at for at in large if lane is Lane.IMPORT or kind_of(refs[at].item_class) is MAIL)
        self.answers: dict[int, Fetched] = {}
        self.drafts: dict[int, events.Draft] = {}
        self.size = len(refs)
        self.order = list(range(len(refs)))
        self.tries: dict[int, int] = {}
        self.damaged: dict[int, bytes] = {}
        self.attached: dict[str, tuple[Attachment, bool] | None] = {}

    def run(self) -> list[Fetched]:
        while len(self.answers) < len(self.refs):
            self.client.call(self._once)
        if self.drafts:
            self.answers.update(Gathering(self.client, self.owner).whole(self.drafts, self.refs))
        return [self.answers[index] for index in range(len(self.refs))]

    def _once(self) -> None:
        """Ask for the next items that have no answer yet. Raises the first trouble, after every good answer was kept."""
        places = self._next()
        kind = kind_of(self.refs[places[0]].item_class)
        if self.lane is Lane.COMPOSE:
            # Other kinds of items are asked for other things, so they go apart.
            places = [index for index in places if kind_of(self.refs[index].item_class) is kind]
        try:
            told = self._ask(places, kind)
            same_number(told, places)
        except Unavailable as error:
            if self._given_up(places, error):
                return
            raise
        trouble: WireError | None = None
        for index, (message, stream) in zip(places, told, strict=True):
            try:
                # By position: the ids of the answers can differ in text from those of the questions.
                self.answers[index] = self._read(index, message, stream, kind)
            except (Throttled, Unavailable) as error:
                trouble = trouble or error
                self._not_delivered(index, error)
        if trouble is not None and any(index not in self.answers for index in places):
            raise trouble

    def _next(self) -> list[int]:
        waiting = [index for index in self.order if index not in self.answers]
        if not self.large:
            return waiting[: self.size]
        return waiting[:1] if waiting[0] in self.large else [index for index in waiting if index not in self.large][: self.size]

    def _ask(self, places: Sequence[int], kind: Kind) -> Sequence[tuple[Any, Content | None]]:
        if self.spool is not None and places[0] in self.large:
            ref = self.refs[places[0]]
            return ask_large(self.client, ref.id, self.lane, self.spool, ref.size)
        operation, ids = OPERATIONS[self.lane], [self.refs[index].id for index in places]
        if self.lane is Lane.IMPORT:
            return export.read_export(self.client.post_once(operation, soap.export(ids)))
        root = parse(self.client.post_once(operation, kind.ask(ids)))
        messages = messages_of(root, operation)
        if kind.attachments:
            self._fetch_attachments(messages)
        if kind.exported:
            same_number(messages, places)
            return self._with_originals(messages, ids)
        return [(message, None) for message in messages]

    def _with_originals(self, messages: Sequence[Any], ids: Sequence[str]) -> list[tuple[Any, Content | None]]:
        """Items with their export streams; where one is refused, what refuses it takes the item's place."""
        told = export.read_export(self.client.post_once("ExportItems", soap.export(ids)))
        same_number(told, ids)
        return [
            (message, stream) if code_of(message)[0] != "NoError" or code_of(exported)[0] == "NoError" else (exported, None)
            for message, (exported, stream) in zip(messages, told, strict=True)
        ]

    def _fetch_attachments(self, messages: Sequence[Any]) -> None:
        """Ask for the content of what is attached to these items, and keep it for their reading."""
        self.attached.clear()
        some: list[str] = []
        weight = 0
        for id_, size in [one for message in messages for one in contacts.attachment_ids_in(message)]:
            if some and (weight + size > _LIMITS.fetch_bytes or len(some) >= _LIMITS.fetch_items):
                self._fetch_some(some)
                some, weight = [], 0
            some.append(id_)
            weight += size
        if some:
            self._fetch_some(some)

    def _fetch_some(self, ids: Sequence[str]) -> None:
        operation = "GetAttachment"
        found = messages_of(parse(self.client.post_once(operation, asking.get_attachments(ids))), operation)
        same_number(found, ids)
        for id_, message in zip(ids, found, strict=True):
            code, values = code_of(message)
            if code != "NoError" and classify.item_answer(Ref(id_), code, values=values) is None:
                classify.raise_for(code, text="", values=values)
            self.attached[id_] = contacts.attachment_of(message) if code == "NoError" else None

    def _given_up(self, places: Sequence[int], error: Unavailable) -> bool:
        """Ask for less the next time; True if the one item that was asked for is refused for what it did to the answer."""
        if error.code in _TOO_MUCH:
            self.size = max(1, len(places) // 2)
        if error.code not in _POISONED or len(places) > 1:
            return False
        [index] = places
        self.tries[index] = self.tries.get(index, 0) + 1
        if self.tries[index] >= _TRIES and self._delivers():
            self._refuse(index, error)
            return True
        self.order.remove(index)
        self.order.append(index)
        self.size = max(1, len(self.refs) - len(self.answers) - 1)
        return False

    def _delivers(self) -> bool:
        """Whether a neighbour arrived, which proves that it is not the server as such."""
        return any(isinstance(one, Item) for one in self.answers.values())

    def _read(self, index: int, message: Any, stream: Content | None, kind: Kind) -> Fetched:
        ref = self.refs[index]
        if (failure := failure_of(ref, message)) is not None:
            return failure
        if self.lane is Lane.COMPOSE and kind is EVENT:
            draft = events.draft_of(_item_in(message), self.owner)
            if draft.listed or draft.changed:
                self.drafts[index] = draft
            return event_item(ref, draft)
        if self.lane is Lane.COMPOSE and kind.exported and stream is None:
            raise Unavailable("The source sent an item without its stream.", code="no stream")
        if self.lane is Lane.COMPOSE:
            mail = stream is not None and not kind.exported
            return item_of(ref, _item_in(message), stream) if mail else self._composed(ref, _item_in(message), kind, stream)
        if stream is None:
            raise Unavailable("The source sent an item without its stream.", code="no stream")
        digest = digest_of(stream)
        try:
            strange = stream.records.end() if isinstance(stream, Stream) else export.check_stream(bytes(stream))
        except Unavailable as error:
            if self.damaged.get(index) == digest:
                return Refusal("corrupt", f"{error} It came like this twice.", error.code)
            self.damaged[index] = digest
            raise
        if strange:
            _tell_once(strange)
        return Item(ref=ref, lane=Lane.IMPORT, item_class="", digest=digest, stream=stream)

    def _composed(self, ref: Ref, element: Any, kind: Kind, stream: Content | None = None) -> Fetched:
        attached: list[tuple[Attachment, bool]] = []
        for id_, _ in contacts.attachment_ids(element) if kind.attachments else ():
            if (one := self.attached.get(id_)) is None:
                return Refusal("source-cannot-deliver", "The source does not deliver one of its attachments.", "no content")
            attached.append(one)
        if stream is not None:
            attached.append((original(ref.item_class, stream), False))
        return kind.read(ref, element, attached)

    def _not_delivered(self, index: int, error: WireError) -> None:
        if error.code in _BREAKS:
            self.tries[index] = self.tries.get(index, 0) + 1
            if self.tries[index] >= _TRIES and self._delivers():
                self._refuse(index, error)

    def _refuse(self, index: int, error: WireError) -> None:
        self.answers[index] = Refusal("source-cannot-deliver", str(error), error.code)


_told: set[int] = set()


def _tell_once(opcodes: frozenset[int]) -> None:
    for opcode in opcodes - _told:
        _told.add(opcode)
        _log.warning("export streams hold records of a kind that is not known; they are carried as they are", opcode=opcode)


def _item_in(message: Any) -> Any:
    found = message.find(f"{M}Items/*")
    if found is None:
        raise Unavailable("The source's answer lacks the item that it is about.", code="no item")
    return found
