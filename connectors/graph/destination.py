"""One mailbox of Microsoft 365 as a place to write to: the synchronous face over the client's loop.

Up to the pacer's slots many requests of a mailbox are under way, over all calls of ``write`` together; nothing waits for a
batch to end before the next begins. Nothing is guessed: what certainly did nothing is Unsent, what may have happened is a
Doubt, what can never go is a Refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import orjson
import structlog
from msgspec.structs import replace

from connectors.base import (
    Claim,
    Doubt,
    Entry,
    Folder,
    Identity,
    Lane,
    Limits,
    Outcome,
    Receipt,
    Refusal,
    TargetRef,
    Unsent,
    Write,
    WriteKind,
)
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import composing, paths
from connectors.graph import extended as x
from connectors.graph.batch import Part, batch
from connectors.graph.carriers import Carriers
from connectors.graph.classify import Meaning, Rejected, clear_of_rejections
from connectors.graph.client import GraphClient
from connectors.graph.convert import ITEM_LIMIT
from connectors.graph.events import Events
from connectors.graph.folders import Folders
from connectors.graph.importing import Importing, MailboxId
from connectors.graph.lookup import MAIL_CLASSES, Lookup, is_mail
from connectors.graph.naming import MAIL, Node, family
from connectors.graph.people import NOT_PERMITTED, Contacts
from connectors.graph.resources import Resource, covers
from connectors.graph.todo import Tasks, unlike

COMPOSE_CLASSES = ("IPM.Note", "REPORT", "IPM.Post", "IPM.Recall", "IPM.Outlook.Recall")
ASIDE = "Carried as attachments"
"""The folder of messages that hold an item of another kind."""

CLASSIC_LENGTH = 100
"""An id longer than this is a classic one, which changes when the item moves; immutable ones have about 72 characters."""

_log = structlog.get_logger("connectors.graph")


def outcome_of(error: WireError) -> Outcome:
    """What an exception says about the one write that it ended.

    A Rejected is the item's own fault. An answer that no table knows is a 4xx, so nothing was done; its cause travels on as
    what it is, a bug to report.
    """
    if isinstance(error, Rejected):
        return error.refusal()
    if isinstance(error, Unavailable) and not error.did_nothing:
        return Doubt(error)
    return Unsent(error)


class GraphDestination:
    """``connectors.base.Destination`` for one mailbox. ``mailbox`` is its user principal name or the user's id.

    ``orphans`` lets future meetings of the mailbox's owner be composed, although their attendees become text. ``others`` lets
    what has no resource be composed as a message that holds it; where its folder takes no mail, in the folder ASIDE.
    """

    def __init__(self, client: GraphClient, mailbox: str, *, orphans: bool = False, others: bool = False) -> None:
        self._client = client
        self._mailbox = mailbox
        self._batch_lock = asyncio.Lock()
        self._mailbox_id = MailboxId(client, mailbox)
        self._importing = Importing(client, mailbox, self._mailbox_id)
        self._folders = Folders(client, mailbox, self._mailbox_id, self._batch_lock)
        self._tasks = Tasks(client, mailbox, self._folders, self._batch_lock)
        self._resources: tuple[Resource, ...] = (
            Events(client, mailbox, self._folders, self._batch_lock, orphans=orphans),
            Contacts(client, mailbox, self._folders, self._batch_lock),
            self._tasks,
        )
        self._lookup = Lookup(client, mailbox, self._folders, self._batch_lock, self._resources)
        self._carriers = Carriers(self._one, client.tenant.concurrency, client.stop)
        self._translates = True
        self._others = others

    @property
    def limits(self) -> Limits:
        return Limits(settle_horizon=self._client.tenant.settle_horizon)

    @property
    def accepts(self) -> Mapping[Lane, tuple[str, ...]]:
        others = (item_class for resource in self._resources for item_class in resource.classes)
        return {Lane.IMPORT: ("",), Lane.COMPOSE: ("",) if self._others else (*COMPOSE_CLASSES, *others)}

    @property
    def largest(self) -> Mapping[Lane, int]:
        return {Lane.COMPOSE: ITEM_LIMIT}

    @property
    def movable(self) -> tuple[str, ...]:
        return MAIL_CLASSES

    @property
    def renamed(self) -> Mapping[str, str]:
        """Target folders whose name had to differ from the source's: id and the name they got."""
        return dict(self._folders.renamed)

    @property
    def aside(self) -> tuple[str, ...]:
        """The folder of what is carried as a message and whose own folder takes none, if it is there."""
        if not self._others:
            return ()
        return tuple(node.id for node in self._client.run(clear_of_rejections(self._folders.nodes())) if node.name == ASIDE)

    def guard(self, may_leave: Callable[[], bool]) -> None:
        self._client.guard(self._mailbox, may_leave)

    def place_folder(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        return self._client.run(clear_of_rejections(self._folders.place(folder, parent, known, keep=keep)))

    def held(self, target_id: str) -> int:
        return self._client.run(clear_of_rejections(self._folders.held(target_id)))

    def remove_folder(self, target_id: str) -> bool:
        return self._client.run(clear_of_rejections(self._folders.remove(target_id)))

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        return self._client.spawn(self._write(tuple(writes)))

    def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        asked = {each: self._as_written(each) for each in identities}
        found = self._client.run(clear_of_rejections(self._lookup.find(list(dict.fromkeys(asked.values())))))
        return {each: found[written] for each, written in asked.items()}

    def _as_written(self, identity: Identity) -> Identity:
        """What is carried as a message is looked for as one, by its stamp."""
        if self._others and identity.stamp and self._is_other(identity.item_class):
            return replace(identity, item_class="IPM.Note")
        return identity

    def _is_other(self, item_class: str) -> bool:
        return not covers(COMPOSE_CLASSES, item_class) and not any(covers(one.classes, item_class) for one in self._resources)

    def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        return self._client.run(clear_of_rejections(self._lookup.peek(target_ids, left_in)))

    def inventory(self, folder_id: str) -> Iterator[Entry]:
        path, of_items = self._client.run(self._lookup.inventory_path(folder_id))
        following: str | None = path
        tasks = self._client.run(clear_of_rejections(self._tasks.entries(folder_id))) if of_items else None
        if tasks is not None:
            items: list[dict[str, Any]] = []
            while following:
                found, following = self._client.run(clear_of_rejections(self._lookup.page(following)))
                items += found
            yield from unlike(tasks, items)
            return
        while following:
            found, following = self._client.run(clear_of_rejections(self._lookup.page(following)))
            for each in found:
                yield x.entry_of_item(each) if of_items else x.entry_of_message(each)

    def tree(self) -> list[tuple[str, str]]:
        """Every folder below the top, with its path; names joined by ``/``."""
        nodes = {node.id: node for node in self._client.run(clear_of_rejections(self._folders.nodes()))}

        def path(node: Node) -> str:
            above = nodes.get(node.parent_id)
            return node.name if above is None else f"{path(above)}/{node.name}"

        return [(node.id, path(node)) for node in nodes.values()]

    def claim(self) -> Claim | None:
        path = paths.query(self._root(), select="id", expand=x.expand((x.CLAIM,)))
        found = self._client.run(clear_of_rejections(self._client.ask(self._mailbox, "GET", path, kind="claim"))).json()
        text = x.values(found).get(x.CLAIM)
        return None if text is None else x.claim_of(text)

    def stake(self, claim: Claim) -> None:
        body = orjson.dumps({"singleValueExtendedProperties": [x.pair(x.CLAIM, x.claim_text(claim))]})
        asking = self._client.ask(self._mailbox, "PATCH", self._root(), kind="claim", body=body, safe=True)
        self._client.run(clear_of_rejections(asking))

    def figures(self) -> dict[str, float]:
        return self._client.figures(self._mailbox)

    def close(self) -> None:
        """Forget the guard; all else is the client's, which is closed by whoever made it."""
        self._client.guard(self._mailbox, None)

    def _root(self) -> str:
        return paths.mail_folder(self._mailbox, "msgfolderroot")

    # ---- on the loop

    async def _write(self, writes: tuple[Write, ...]) -> list[Outcome]:
        flags = [index for index, write in enumerate(writes) if write.kind is WriteKind.FLAG and not self._resource(write)]
        if len(flags) < 2:
            flags = []
        together = frozenset(flags)
        alone = [index for index in range(len(writes)) if index not in together]
        flagging = asyncio.ensure_future(self._flag_all([writes[index] for index in flags])) if flags else None
        done = await self._carriers.all([writes[index] for index in alone])
        outcomes = dict(zip(alone, done, strict=True))
        if flagging is not None:
            outcomes.update(zip(flags, await _ended(flagging, len(flags)), strict=True))
        await self._translate(writes, outcomes)
        return [outcomes[index] for index in range(len(writes))]

    async def _one(self, write: Write) -> Outcome:
        try:
            match write.kind:
                case WriteKind.CREATE if write.lane is Lane.COMPOSE:
                    resource = self._resource(write)
                    if resource is not None:
                        return await resource.create(write)
                    if self._others and self._is_other(write.item_class):
                        write = replace(write, folder_id=await self._place_of_others(write.folder_id or ""))
                    return await composing.create(self._client, self._mailbox, write)
                case WriteKind.CREATE | WriteKind.UPDATE:
                    return await self._importing.carry(write)
                case WriteKind.FLAG if self._resource(write) is not None:
                    return Receipt(target_id=write.target_id or "")  # only mail shows whether it was read
                case WriteKind.FLAG:
                    return (await self._flag_all([write]))[0]
                case WriteKind.MOVE:
                    return await self._move(write)
                case WriteKind.REMOVE if ":" in (write.target_id or ""):
                    return await self._tasks.remove(write) or Receipt(target_id=write.target_id or "")
                case WriteKind.REMOVE:
                    return await self._remove(write)
        except Rejected as error:
            return await self._rejected(write, error)
        except WireError as error:
            return outcome_of(error)

    async def _place_of_others(self, folder_id: str) -> str:
        """The folder itself if it takes mail, else the one beside all others."""
        if family(await self._folders.kind(folder_id)) == family(MAIL):
            return folder_id
        return await self._folders.place(Folder(id=ASIDE, name=ASIDE, parent_id=None, kind=MAIL), None, None)

    def _resource(self, write: Write) -> Resource | None:
        """Whose business a write is; None: that of messages, or of the admin interface."""
        return next((one for one in self._resources if covers(one.classes, write.item_class)), None)

    async def _rejected(self, write: Write, error: Rejected) -> Outcome:
        """A refusal is the item's own fault; a target folder that is gone is not."""
        gone = error.meaning is Meaning.GONE and write.folder_id is not None
        if gone and write.kind is WriteKind.MOVE:
            try:
                gone = not await self._folders.is_there(write.folder_id or "")
            except WireError as other:
                return Unsent(other)
        if gone and write.kind in (WriteKind.CREATE, WriteKind.MOVE):
            await self._folders.forget(write.folder_id or "")
            return Unsent(Unavailable("the target folder is gone; it will be made again", code=error.code, did_nothing=True))
        return error.refusal()

    async def _flag_all(self, writes: Sequence[Write]) -> list[Outcome]:
        """Set read flags: one request for one, batches for several. The engine has judged that these are quiet."""
        if not writes:
            return []
        parts = [
            Part("PATCH", paths.message(self._mailbox, write.target_id or ""), {"isRead": bool(write.is_read)})
            for write in writes
        ]
        if len(parts) == 1:
            body = orjson.dumps(parts[0].body)
            try:
                reply = await self._client.ask(
                    self._mailbox, "PATCH", parts[0].path, kind="flag", body=body, safe=True, quiet=True
                )
                answers: list[dict[str, Any] | WireError] = [reply.json() if reply.body else {}]
            except WireError as error:
                answers = [error]
        else:
            answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="flags", safe=True, quiet=True)
        return [
            outcome_of(answer)
            if isinstance(answer, WireError)
            else Receipt(target_id=write.target_id or "", version=str(answer.get("changeKey") or ""))
            for write, answer in zip(writes, answers, strict=True)
        ]

    async def _move(self, write: Write) -> Outcome:
        path = paths.message(self._mailbox, write.target_id or "") + "/move"
        body = orjson.dumps({"destinationId": write.folder_id})
        found = (await self._client.ask(self._mailbox, "POST", path, kind="move", body=body)).json()
        target_id, version = str(found.get("id") or write.target_id), str(found.get("changeKey") or "")
        if write.stamp and write.lane is Lane.COMPOSE:
            try:
                version = await composing.restamp(self._client, self._mailbox, target_id, write.stamp) or version
            except (MailboxBlocked, Halt):
                raise
            except WireError as error:
                # Moved, but under its old stamp: only a look can settle it.
                return Doubt(Unavailable(f"moved, but not stamped: {error}", code=error.code))
        return Receipt(target_id=target_id, version=version)

    async def _remove(self, write: Write) -> Outcome:
        """Remove an item, whatever it is: of what left the source often only its id is known, and then its class says mail.

        So what is not where its class belongs is looked for elsewhere; nowhere means that it is gone.
        """
        target = write.target_id or ""
        receipt = Receipt(target_id=target)
        own = self._resource(write)
        if (
            own is None
            and (self._others or is_mail(write.item_class))
            and await self._delete(paths.message(self._mailbox, target))
        ):
            return receipt
        for resource in self._resources if own is None else (own,):
            if (outcome := await resource.remove(write)) is not None:
                return outcome
        mailbox_id = await self._folders.admin_id()
        if mailbox_id is None:
            known = own is not None or is_mail(write.item_class)
            return receipt if known else Refusal("no-admin-access", "items of this class can't be removed here")
        folder_id = write.folder_id or await self._lookup.place_of(target)
        if folder_id is not None:
            await self._delete(paths.admin_item(mailbox_id, folder_id, target))
        return receipt

    async def _delete(self, path: str) -> bool:
        """Delete what the engine has judged to be quiet; False if it is not there."""
        try:
            await self._client.ask(self._mailbox, "DELETE", path, kind="remove", safe=True, quiet=True)
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise
            return False
        return True

    async def _translate(self, writes: Sequence[Write], outcomes: dict[int, Outcome]) -> None:
        """Replace classic ids of imported items by immutable ones, because look-ups answer with those and moves change the rest.

        [learn.microsoft.com/graph/api/user-translateexchangeids] Without the permission for it the classic ids stay.
        """
        wanted: dict[int, Receipt] = {}
        for index, write in enumerate(writes):
            outcome = outcomes[index]
            imported = write.lane is Lane.IMPORT and write.kind in (WriteKind.CREATE, WriteKind.UPDATE)
            if not imported or not isinstance(outcome, Receipt) or outcome.target_id == write.target_id:
                continue
            if len(outcome.target_id) > CLASSIC_LENGTH:
                wanted[index] = outcome
        if not wanted or not self._translates:
            return
        body = orjson.dumps(
            {
                "inputIds": [receipt.target_id for receipt in wanted.values()],
                "sourceIdType": "restId",
                "targetIdType": "restImmutableEntryId",
            }
        )
        path = paths.user(self._mailbox) + "/translateExchangeIds"
        try:
            reply = await self._client.ask(self._mailbox, "POST", path, kind="translate", body=body, safe=True)
            found = {each.get("sourceId"): each.get("targetId") for each in reply.json().get("value") or ()}
        except WireError as error:
            if error.code in NOT_PERMITTED:
                self._translates = False
                _log.warning("item ids can't be translated; User.Read.All is missing", code=error.code)
                return
            # An id that no look-up answers with would make the copy look like nobody's: it is looked up instead.
            cause = Unavailable(f"what arrived has no lasting id yet: {error}", code=error.code)
            outcomes.update(dict.fromkeys(wanted, Doubt(cause)))
            return
        for index, receipt in wanted.items():
            target_id = found.get(receipt.target_id)
            if target_id:
                outcomes[index] = replace(receipt, target_id=target_id)
            else:
                outcomes[index] = Doubt(Unavailable("what arrived has no lasting id yet", code="translate"))


async def _ended(flagging: asyncio.Task[list[Outcome]], flags: int) -> list[Outcome]:
    """The outcomes of flags; doubts if the client is closing."""
    try:
        return await flagging
    except asyncio.CancelledError:
        flagging.cancel()
        await asyncio.wait([flagging])
        return [Doubt(Unavailable("the program ended while this was under way"))] * flags
