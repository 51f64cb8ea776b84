"""Contacts of one mailbox, written by the compose lane: one request for a contact, two more if it has a photo.

A contact with a photo first carries its stamp with PARTIAL behind; only when the photo is there does it get its final one, as
messages do (see ``composing``). Look-ups list the folders of contacts, since items of other folders can't be contacts, and never
the whole mailbox; what the user threw away meanwhile lies in Deleted Items, which is listed too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pybase64

from connectors.base import Attachment, Facts, Identity, Outcome, Receipt, Refusal, Role, TargetRef, Write, identify
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.batch import Part, batch
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.contacts import CLASS, compose_contact
from connectors.graph.folders import Folders
from connectors.graph.resources import NO_FOLDERS, Offer

_EXPAND = (*x.ITEM_EXPAND, x.ITEM_CLASS)
_SELECT = "id,changeKey,parentFolderId,createdDateTime,lastModifiedDateTime"
_TERMS = 10
_PAGE = 500
NOT_PERMITTED = frozenset({"Authorization_RequestDenied", "ErrorAccessDenied", "accessDenied", "http 403"})
"""What is answered to an app that may do much in the mailbox, but not this."""

NO_ACCESS = Refusal("no-contact-access", "the app may not write contacts")


class Contacts:
    """``connectors.graph.resources.Resource`` for contacts."""

    classes: tuple[str, ...] = (CLASS,)

    def __init__(self, client: GraphClient, mailbox: str, folders: Folders, batch_lock: asyncio.Lock) -> None:
        self._client = client
        self._mailbox = mailbox
        self._folders = folders
        self._batch_lock = batch_lock

    async def create(self, write: Write) -> Outcome:
        """See ``Resource.create``."""
        item = write.item
        if item is None or item.contact is None or write.folder_id is None or write.stamp is None:
            raise ValueError("a composed contact needs a folder, a stamp and an item with a contact")
        if await self._folders.admin_id() is None:
            return NO_FOLDERS
        composed = compose_contact(item.contact, write.stamp, item.item_class)
        if isinstance(composed, Refusal):
            return composed
        if composed.photo is not None:
            try:
                await self._clear_partial(write.folder_id, write.stamp)
            except (MailboxBlocked, Halt) as error:
                if error.code not in NOT_PERMITTED:
                    raise
                return NO_ACCESS
            except Unavailable as error:
                raise Unavailable(str(error), code=error.code, did_nothing=True) from None
        path = paths.contacts_of(self._mailbox, write.folder_id)
        try:
            reply = await self._client.ask(self._mailbox, "POST", path, kind="create", body=composed.body)
        except (MailboxBlocked, Halt) as error:
            if error.code not in NOT_PERMITTED:
                raise
            return NO_ACCESS
        found = reply.json()
        contact_id = found.get("id") if isinstance(found, dict) else None
        if not isinstance(contact_id, str):
            raise Unavailable("the answer names no contact", code=f"http {reply.status}")
        version, degraded = str(found.get("changeKey") or ""), composed.degraded
        if composed.photo is not None:
            try:
                if not await self._put_photo(contact_id, composed.photo):
                    degraded = (*degraded, "photo")
                version = await self._restamp(contact_id, write.stamp)
            except Rejected as error:
                # For certain it isn't whole, so it must not stay.
                await self._delete(contact_id)
                return error.refusal()
            except WireError as error:
                if isinstance(error, (MailboxBlocked, Halt)):
                    raise
                raise Unavailable(f"a photo is in doubt: {error}", code=error.code) from None
        return Receipt(target_id=contact_id, version=version, degraded=degraded)

    async def remove(self, write: Write) -> Outcome | None:
        """See ``Resource.remove``; nobody is told of a contact that goes. Another interface may remove what this one may not."""
        target = write.target_id or ""
        try:
            return Receipt(target_id=target) if ":" not in target and await self._delete(target) else None
        except (MailboxBlocked, Halt) as error:
            if error.code not in NOT_PERMITTED:
                raise
            return None

    async def find(self, identities: Sequence[Identity], offer: Offer) -> frozenset[Identity]:
        """See ``Resource.find``: by whatever identifies, if the admin interface may be used; else by stamp alone."""
        folders = await self._contact_folders()
        if await self._folders.admin_id() is None:
            stamps = sorted({each.stamp for each in identities if each.stamp})
            for folder_id in folders:
                for at in range(0, len(stamps), _TERMS):
                    term = " or ".join(x.equals(x.STAMP, each) for each in stamps[at : at + _TERMS])
                    async for found in self._pages(self._listing(folder_id, term)):
                        offer(found, *x.facts_of_item(found), folder_id)
            return frozenset(identities)
        bin_ = await self._folders.special(Role.DELETED)
        for folder_id in [*folders, *([bin_] if bin_ else [])]:
            async for found in self._items(folder_id):
                offer(found, *x.facts_of_item(found), folder_id)
        return frozenset(identities)

    async def peek(self, target_ids: Sequence[str]) -> dict[str, TargetRef]:
        """See ``Resource.peek``."""
        options = {"select": _SELECT, "expand": x.expand(_EXPAND)}
        target_ids = [each for each in target_ids if ":" not in each]
        parts = [Part("GET", paths.query(paths.contact(self._mailbox, each), **options)) for each in target_ids]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="peek", safe=True)
        found: dict[str, TargetRef] = {}
        for target_id, answer in zip(target_ids, answers, strict=True):
            if isinstance(answer, dict):
                found[target_id] = _ref(target_id, answer, *x.facts_of_item(answer))
            elif not isinstance(answer, Rejected) and answer.code not in NOT_PERMITTED:
                raise answer
        return found

    # ---- requests

    async def _put_photo(self, contact_id: str, photo: Attachment) -> bool:
        """Whether the target took the photo; it may find that it is none."""
        path = paths.contact(self._mailbox, contact_id) + "/photo/$value"
        body = pybase64.b64decode(bytes(photo.content))
        try:
            await self._client.ask(self._mailbox, "PUT", path, kind="photo", body=body, safe=True, content_type="image/jpeg")
        except Rejected as error:
            if error.meaning is Meaning.GONE:
                raise
            return False
        return True

    async def _restamp(self, contact_id: str, stamp: str) -> str:
        body = orjson.dumps({"singleValueExtendedProperties": [x.pair(x.STAMP, stamp)]})
        path = paths.contact(self._mailbox, contact_id)
        reply = await self._client.ask(self._mailbox, "PATCH", path, kind="stamp", body=body, safe=True)
        found: Any = reply.json() if reply.body else {}
        return str(found.get("changeKey") or "")

    async def _delete(self, contact_id: str) -> bool:
        """Delete a contact; False if it is not there."""
        try:
            await self._client.ask(self._mailbox, "DELETE", paths.contact(self._mailbox, contact_id), kind="remove", safe=True)
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise
            return False
        return True

    async def _clear_partial(self, folder_id: str, stamp: str) -> None:
        """Remove what an earlier, broken attempt at the same contact left; it can't be whole."""
        async for found in self._pages(self._listing(folder_id, x.equals(x.STAMP, stamp + x.PARTIAL))):
            await self._delete(found["id"])

    async def _contact_folders(self) -> list[str]:
        kinds = [(node.id, node.kind.casefold()) for node in await self._folders.nodes()]
        found = [folder_id for folder_id, kind in kinds if kind.startswith("ipf.contact")]
        own = await self._folders.special(Role.CONTACTS)
        return found if own is None or own in found else [own, *found]

    def _listing(self, folder_id: str, term: str) -> str:
        path = paths.contacts_of(self._mailbox, folder_id)
        return paths.query(path, filter=term, select=_SELECT, expand=x.expand(_EXPAND), top=_PAGE)

    async def _items(self, folder_id: str) -> AsyncIterator[dict[str, Any]]:
        mailbox_id = await self._folders.admin_id()
        if mailbox_id is not None:
            path = paths.admin_folder(mailbox_id, folder_id) + "/items"
            async for found in self._pages(paths.query(path, expand=x.expand(x.ITEM_EXPAND), top=_PAGE)):
                yield found

    async def _pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        following: str | None = path
        while following:
            try:
                page = (await self._client.ask(self._mailbox, "GET", following, kind="find")).json()
            except Rejected as error:
                if error.status == 404:
                    return
                raise
            for found in page.get("value") or ():
                yield found
            following = page.get("@odata.nextLink")


def _ref(target_id: str, found: dict[str, Any], facts: Facts, stamp: str | None) -> TargetRef:
    return TargetRef(
        id=target_id,
        folder_id=found.get("parentFolderId") or "",
        version=found.get("changeKey") or "",
        stamp=stamp,
        rungs=identify(facts, stamp).rungs,
        size=facts.size,
        modified=facts.modified,
        subject_hash=facts.subject_hash,
    )
