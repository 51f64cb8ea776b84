"""Finding items in the target: by stamp, by message id, by time, and one by one by id.

A look-up only narrows on the server; what is taken for the same item is decided here, by the rungs of ``base.identify`` over
the facts that the target shows. Servers round times, so a second to either side counts as the same. Copies whose stamp is
partial are left out: they are not whole (see ``composing``).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from connectors.base import Facts, Identity, Role, TargetRef, identify, nearby
from connectors.errors import MailboxBlocked, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.batch import Part, batch
from connectors.graph.classify import Rejected
from connectors.graph.client import GraphClient
from connectors.graph.folders import Folders
from connectors.graph.naming import is_of_a_probe
from connectors.graph.resources import Resource, covers

MAIL_CLASSES = ("IPM.Note", "REPORT", "IPM.Schedule.Meeting", "IPM.Post", "IPM.Recall", "IPM.Outlook.Recall", "IPM.Sharing")
"""Class prefixes of items that Graph shows under ``/messages``."""

TERMS = 10
"""Terms joined by ``or`` in one filter; more make the address too long for some proxies."""

PAGE = 100
SCAN_PAGE = 500
_SECOND = timedelta(seconds=1)


def is_mail(item_class: str) -> bool:
    """Whether an item of this class lies under ``/messages``."""
    return covers(MAIL_CLASSES, item_class)


def _ref(found: dict[str, Any], facts: Facts, stamp: str | None, folder_id: str = "") -> TargetRef:
    return TargetRef(
        id=found["id"],
        folder_id=found.get("parentFolderId") or folder_id,
        version=found.get("changeKey") or "",
        stamp=stamp,
        rungs=identify(facts, stamp).rungs,
        size=facts.size,
        modified=facts.modified,
        subject_hash=facts.subject_hash,
    )


class _Matches:
    """Collects hits for identities; each target item counts once an identity."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self._by_stamp: dict[str, list[Identity]] = defaultdict(list)
        self._by_rung: dict[bytes, list[Identity]] = defaultdict(list)
        self._found: dict[Identity, dict[str, TargetRef]] = {each: {} for each in identities}
        for each in self._found:
            if each.stamp:
                self._by_stamp[each.stamp.casefold()].append(each)
            for rung in each.rungs:
                self._by_rung[rung].append(each)

    def offer(self, found: dict[str, Any], facts: Facts, stamp: str | None, folder_id: str = "") -> None:
        if stamp and stamp.casefold().endswith(x.PARTIAL):
            return
        ref = _ref(found, facts, stamp, folder_id)
        hits = list(self._by_stamp.get(stamp.casefold(), ())) if stamp else []
        for rung in nearby(facts):
            hits.extend(self._by_rung.get(rung, ()))
        for identity in hits:
            self._found[identity].setdefault(ref.id, ref)

    def result(self) -> dict[Identity, list[TargetRef]]:
        return {identity: list(refs.values()) for identity, refs in self._found.items()}


class Lookup:
    """Look-ups in one mailbox. Used on the loop only; raises what the client raises."""

    def __init__(
        self, client: GraphClient, mailbox: str, folders: Folders, batch_lock: asyncio.Lock, resources: Sequence[Resource] = ()
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._folders = folders
        self._batch_lock = batch_lock
        self._resources = resources

    async def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        """See ``Destination.find``."""
        matches = _Matches(identities)
        left: Sequence[Identity] = identities
        for resource in self._resources:
            own = [each for each in left if covers(resource.classes, each.item_class)]
            if own:
                settled = await resource.find(own, matches.offer)
                left = [each for each in left if each not in settled]
        filters, scan = _questions(left)
        if scan and await self._folders.admin_id() is None:
            # What nothing but the admin interface shows can't be there: only by that interface could it have been written.
            scan = not all(self._knows(each) for each in left)
        if filters:
            await self._ask_messages(filters, matches)
        if scan:
            async for folder_id, item in self._all_items():
                matches.offer(item, *x.facts_of_item(item), folder_id)
        return await self._without_probes(matches.result())

    async def _without_probes(self, found: dict[Identity, list[TargetRef]]) -> dict[Identity, list[TargetRef]]:
        """Hits but those that a killed probe left in its folder: they are nobody's copies, and the next probe removes them."""
        if not any(found.values()):
            return found
        probing = {node.id for node in await self._folders.nodes() if is_of_a_probe(node.name)}
        return {identity: [ref for ref in refs if ref.folder_id not in probing] for identity, refs in found.items()}

    def _knows(self, identity: Identity) -> bool:
        """Whether its item is shown by something else than the admin interface."""
        if is_mail(identity.item_class):
            return bool(identity.message_id) or identity.when is not None
        return any(covers(resource.classes, identity.item_class) for resource in self._resources)

    async def _ask_messages(self, filters: Sequence[str], matches: _Matches) -> None:
        paths_ = [self._messages(each) for each in filters]
        if len(paths_) == 1:
            await self._follow(paths_[0], matches)
            return
        parts = [Part("GET", path) for path in paths_]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="find", safe=True)
        for answer in answers:
            if isinstance(answer, WireError):
                raise answer
            self._take(answer, matches)
            following = answer.get("@odata.nextLink")
            if following:
                await self._follow(following, matches)

    async def _follow(self, path: str, matches: _Matches) -> None:
        following: str | None = path
        while following:
            page = (await self._client.ask(self._mailbox, "GET", following, kind="find")).json()
            self._take(page, matches)
            following = page.get("@odata.nextLink")

    def _take(self, page: dict[str, Any], matches: _Matches) -> None:
        for message in page.get("value") or ():
            matches.offer(message, *x.facts_of_message(message))

    def _messages(self, term: str) -> str:
        return paths.query(
            paths.user(self._mailbox) + "/messages",
            filter=term,
            select=x.MESSAGE_SELECT,
            expand=x.expand(x.MESSAGE_EXPAND),
            top=PAGE,
        )

    async def _all_items(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every item of every folder with its folder's id, those of other kinds than mail first."""
        nodes = sorted(await self._folders.nodes(), key=lambda node: node.kind.casefold().startswith("ipf.note"))
        for node in nodes:
            async for item in self.items(node.id):
                yield node.id, item

    async def items(self, folder_id: str) -> AsyncIterator[dict[str, Any]]:
        """Every mailboxItem of a folder; nothing if it is not there."""
        mailbox_id = await self._folders.admin_id()
        if mailbox_id is None:
            raise MailboxBlocked(
                "items of other kinds than mail can't be looked through",
                side="target",
                mend="grant MailboxItem.Read.All to the app",
            )
        following: str | None = _items_path(mailbox_id, folder_id)
        while following:
            items, following = await self.page(following)
            for item in items:
                yield item

    async def inventory_path(self, folder_id: str) -> tuple[str, bool]:
        """The address of a folder's first inventory page, and whether it lists mailboxItems (else messages)."""
        mailbox_id = await self._folders.admin_id()
        if mailbox_id is not None:
            return _items_path(mailbox_id, folder_id), True
        path = paths.mail_folder(self._mailbox, folder_id) + "/messages"
        return paths.query(path, select=x.MESSAGE_SELECT, expand=x.expand(x.MESSAGE_EXPAND), top=SCAN_PAGE), False

    async def page(self, path: str) -> tuple[list[dict[str, Any]], str | None]:
        """One page of a listing and the address of the next; empty if the folder is not there."""
        try:
            page = (await self._client.ask(self._mailbox, "GET", path, kind="inventory")).json()
        except Rejected as error:
            if error.status == 404:
                return [], None
            raise
        return list(page.get("value") or ()), page.get("@odata.nextLink")

    async def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        """See ``Destination.peek``: as messages first; what is none is looked for where it was left, then in the folders of other
        kinds and in the bin."""
        options = {"select": x.MESSAGE_SELECT, "expand": x.expand(x.MESSAGE_EXPAND)}
        # An id with a colon is one of our own making, for what no other interface knows; Graph refuses it as no id at all.
        asked = [index for index, each in enumerate(target_ids) if ":" not in each]
        parts = [Part("GET", paths.query(paths.message(self._mailbox, target_ids[index]), **options)) for index in asked]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="peek", safe=True)
        found: list[TargetRef | None] = [None] * len(target_ids)
        missing = [index for index, each in enumerate(target_ids) if ":" in each]
        for index, answer in zip(asked, answers, strict=True):
            if isinstance(answer, dict):
                found[index] = replace(_ref(answer, *x.facts_of_message(answer)), id=target_ids[index])
            elif isinstance(answer, Rejected):
                missing.append(index)
            else:
                raise answer
        for resource in self._resources:
            here = await resource.peek([target_ids[index] for index in missing]) if missing else {}
            for index in missing:
                found[index] = here.get(target_ids[index])
            missing = [index for index in missing if found[index] is None]
        missing = [index for index in missing if ":" not in target_ids[index]]
        places = {index: left_in[index] if left_in else None for index in missing}
        for index, (folder_id, item) in (await self._elsewhere({i: target_ids[i] for i in missing}, places)).items():
            found[index] = replace(_ref(item, *x.facts_of_item(item), folder_id), id=target_ids[index])
        return found

    async def place_of(self, target_id: str) -> str | None:
        """The folder of an item that is no message; None if it is not found."""
        found = await self._elsewhere({0: target_id}, {})
        return found[0][0] if found else None

    async def _elsewhere(
        self, ids: Mapping[int, str], left_in: Mapping[int, str | None]
    ) -> dict[int, tuple[str, dict[str, Any]]]:
        """Items that are no messages, by asking for each in the folder where it was left, and for those that are not there in
        each folder of another kind. Keyed as ``ids`` are."""
        found: dict[int, tuple[str, dict[str, Any]]] = {}
        mailbox_id = await self._folders.admin_id() if ids else None
        if mailbox_id is None:
            return found

        async def ask(places: Mapping[int, str]) -> None:
            parts = [
                Part("GET", paths.query(paths.admin_item(mailbox_id, place, ids[key]), expand=x.expand(x.ITEM_EXPAND)))
                for key, place in places.items()
            ]
            answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="peek", safe=True)
            for (key, place), answer in zip(places.items(), answers, strict=True):
                if isinstance(answer, dict) and answer.get("id"):
                    found[key] = (place, answer)
                elif isinstance(answer, WireError) and not isinstance(answer, Rejected):
                    raise answer

        await ask({key: place for key, place in left_in.items() if place})
        nodes = await self._folders.nodes() if len(found) < len(ids) else []
        other = [node.id for node in nodes if not node.kind.casefold().startswith("ipf.note")]
        bin_ = await self._folders.special(Role.DELETED) if nodes else None
        for folder_id in [*other, *([bin_] if bin_ else [])]:
            if remaining := [key for key in ids if key not in found]:
                await ask(dict.fromkeys(remaining, folder_id))
        return found


def _items_path(mailbox_id: str, folder_id: str) -> str:
    path = paths.admin_folder(mailbox_id, folder_id) + "/items"
    return paths.query(path, expand=x.expand(x.ITEM_EXPAND), top=SCAN_PAGE)


def _questions(identities: Iterable[Identity]) -> tuple[list[str], bool]:
    """The filters over messages that cover the identities, and whether every item has to be looked through as well.

    Binary filters are not documented, so what has neither message id nor time can only be found by looking through everything.
    """
    stamps, ids, windows, scan = set[str](), set[str](), set[str](), False
    for each in identities:
        if each.stamp:
            stamps.add(each.stamp)
        if not is_mail(each.item_class):
            scan = True
        elif each.message_id:
            ids.add(each.message_id.strip())
        elif each.when is not None:
            low, high = x.written(each.when - _SECOND), x.written(each.when + _SECOND)
            windows.add(f"(sentDateTime ge {low} and sentDateTime le {high})")
        else:
            scan = True  # nothing that a filter could narrow by
    terms = [x.equals(x.STAMP, each) for each in sorted(stamps)]
    found = [" or ".join(terms[at : at + TERMS]) for at in range(0, len(terms), TERMS)]
    terms = ["internetMessageId eq '" + each.replace("'", "''") + "'" for each in sorted(ids)]
    found += [" or ".join(terms[at : at + TERMS]) for at in range(0, len(terms), TERMS)]
    windows_ = sorted(windows)
    found += [" or ".join(windows_[at : at + TERMS]) for at in range(0, len(windows_), TERMS)]
    return found, scan
