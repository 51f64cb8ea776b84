"""Tasks of one mailbox, written by the compose lane into To Do lists.

Ids of To Do are apart from all others: here they are written ``todo:LIST/TASK``, so that whoever has one knows whom to ask. A
folder of tasks is a list: the default folder the default list, any other the list of its name, made if there is none. To Do can't
be searched by a stamp, so look-ups read the lists; where a listing does not bring the linked resources along, they are asked for
task by task. An app without the permission for To Do is told so once, and its tasks are refused by name: nothing else waits for
it [Tasks.ReadWrite.All is documented for apps, while the page of the request itself still says that it is not].
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.base import Entry, Facts, Identity, Outcome, Receipt, Refusal, Role, TargetRef, Write, hash_subject, identify
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.batch import Part, batch
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.folders import Folders
from connectors.graph.resources import NO_FOLDERS, Offer
from connectors.graph.task_json import APPLICATION, compose_task, task_attachment

CLASS = "IPM.Task"
PREFIX = "todo:"
_PAGE = 100
_DEFAULT = "defaultList"
NO_ACCESS = Refusal("no-task-access", "the app may not write To Do lists")


class Tasks:
    """``connectors.graph.resources.Resource`` for tasks."""

    classes: tuple[str, ...] = (CLASS,)

    def __init__(self, client: GraphClient, mailbox: str, folders: Folders, batch_lock: asyncio.Lock) -> None:
        self._client = client
        self._mailbox = mailbox
        self._folders = folders
        self._batch_lock = batch_lock
        self._lock = asyncio.Lock()
        self._lists: list[dict[str, Any]] | None = None
        self._denied = False

    async def create(self, write: Write) -> Outcome:
        """See ``Resource.create``."""
        item = write.item
        if item is None or item.task is None or write.folder_id is None or write.stamp is None:
            raise ValueError("a composed task needs a folder, a stamp and an item with a task")
        if await self._folders.admin_id() is None:
            return NO_FOLDERS
        composed = compose_task(item.task, write.stamp, datetime.now(UTC))
        if isinstance(composed, Refusal):
            return composed
        degraded = composed.degraded
        if item.item_class.casefold() != CLASS.casefold():
            degraded = (*degraded, "task-class")
        list_id = await self._list_of(write.folder_id)
        if list_id is None:
            return NO_ACCESS
        path = paths.todo_tasks(self._mailbox, list_id)
        if composed.later:
            try:
                await self._clear_partial(list_id, write.stamp)
            except Unavailable as error:
                raise Unavailable(str(error), code=error.code, did_nothing=True) from None
        try:
            found = (await self._client.ask(self._mailbox, "POST", path, kind="create", body=composed.body)).json()
        except (MailboxBlocked, Halt):
            # Whoever may read the lists may still not write them; which permission does is not documented beyond doubt.
            self._denied = True
            return NO_ACCESS
        task_id = found.get("id") if isinstance(found, dict) else None
        if not isinstance(task_id, str):
            raise Unavailable("the answer names no task", code="no id")
        version = _version(found)
        if composed.later:
            try:
                for attachment in composed.later:
                    body = orjson.dumps(task_attachment(attachment))
                    await self._client.ask(self._mailbox, "POST", f"{path}/{_q(task_id)}/attachments", kind="attach", body=body)
                version = await self._restamp(list_id, task_id, write.stamp)
            except Rejected as error:
                await self._delete(list_id, task_id)
                return error.refusal()
            except WireError as error:
                if isinstance(error, (MailboxBlocked, Halt)):
                    raise
                raise Unavailable(f"an attachment is in doubt: {error}", code=error.code) from None
        return Receipt(target_id=f"{PREFIX}{list_id}/{task_id}", version=version, degraded=degraded)

    async def remove(self, write: Write) -> Outcome | None:
        """See ``Resource.remove``."""
        parts = split(write.target_id or "")
        if parts is None:
            return None
        await self._delete(*parts)
        return Receipt(target_id=write.target_id or "")

    async def find(self, identities: Sequence[Identity], offer: Offer) -> frozenset[Identity]:
        """See ``Resource.find``: the lists, then the folders of tasks, for what came by the other lane."""
        twins: set[tuple[bytes | None, datetime | None]] = set()
        for found, list_id in [pair async for pair in self._all_tasks()]:
            facts, stamp = facts_of_task(found)
            if stamp is not None:
                twins.add((facts.subject_hash, facts.created))
                folder_id = await self._folder_of(list_id)
                shown = {"id": f"{PREFIX}{list_id}/{found['id']}", "changeKey": _version(found)}
                offer(shown, facts, stamp, folder_id or f"{PREFIX}{list_id}")
        for folder_id in await self._task_folders():
            async for item in self._items(folder_id):
                facts, stamp = x.facts_of_item(item)
                if (facts.subject_hash, facts.created) not in twins:
                    offer(item, facts, stamp, folder_id)
        return frozenset(identities)

    async def peek(self, target_ids: Sequence[str]) -> dict[str, TargetRef]:
        """See ``Resource.peek``."""
        found: dict[str, TargetRef] = {}
        for target_id in target_ids:
            if (parts := split(target_id)) is None:
                continue
            list_id, task_id = parts
            try:
                task = await self._get(f"{paths.todo_tasks(self._mailbox, list_id)}/{_q(task_id)}?$expand=linkedResources")
            except Rejected as error:
                if error.meaning is not Meaning.GONE:
                    raise
                continue
            facts, stamp = facts_of_task((await self._linked(list_id, [task]))[0])
            found[target_id] = TargetRef(
                id=target_id,
                folder_id=await self._folder_of(list_id) or f"{PREFIX}{list_id}",
                version=_version(task),
                stamp=stamp,
                rungs=identify(facts, stamp).rungs,
                modified=facts.modified,
                subject_hash=facts.subject_hash,
            )
        return found

    async def entries(self, folder_id: str) -> list[Entry] | None:
        """The tasks of a folder's list that carry a stamp of ours; None if the folder is none of tasks, or has no list."""
        if folder_id not in await self._task_folders() or self._denied:
            return None
        try:
            list_id = await self._list_of(folder_id, make=False)
        except (MailboxBlocked, Halt):
            return None
        if list_id is None:
            return None
        found: list[Entry] = []
        async for task in self._tasks(list_id):
            facts, stamp = facts_of_task(task)
            if stamp is not None:
                found.append(Entry(f"{PREFIX}{list_id}/{task['id']}", facts, _version(task), stamp))
        return found

    # ---- lists

    async def _list_of(self, folder_id: str, *, make: bool = True) -> str | None:
        """The list of a folder of tasks, made if need be; None if the app may not see To Do, or nothing may be made."""
        if folder_id.startswith(PREFIX):
            return folder_id.removeprefix(PREFIX)
        async with self._lock:
            lists = await self._known()
            if lists is None:
                return None
            if folder_id == await self._folders.special(Role.TASKS):
                return next((one["id"] for one in lists if one.get("wellknownListName") == _DEFAULT), None)
            name = next((node.name for node in await self._folders.nodes() if node.id == folder_id), "")
            alike = [one for one in lists if _own(one) and str(one.get("displayName")).casefold() == name.casefold()]
            if alike:
                return str(alike[0]["id"])
            if not make:
                return None
            body = orjson.dumps({"displayName": name or "-"})
            path = paths.todo_lists(self._mailbox)
            try:
                made = (await self._client.ask(self._mailbox, "POST", path, kind="folder", body=body)).json()
            except (MailboxBlocked, Halt):
                self._denied = True
                return None
            lists.append(made)
            return str(made["id"])

    async def _known(self) -> list[dict[str, Any]] | None:
        """All lists; None if the app may not see them."""
        if self._lists is None and not self._denied:
            try:
                self._lists = [one async for one in self._pages(paths.todo_lists(self._mailbox))]
            except (MailboxBlocked, Halt):
                self._denied = True
        return self._lists

    async def _folder_of(self, list_id: str) -> str | None:
        lists = await self._known() or []
        found = next((one for one in lists if one["id"] == list_id), None)
        if found is None:
            return None
        if found.get("wellknownListName") == _DEFAULT:
            return await self._folders.special(Role.TASKS)
        name = str(found.get("displayName")).casefold()
        nodes = [node for node in await self._folders.nodes() if node.kind.casefold().startswith("ipf.task")]
        return next((node.id for node in nodes if node.name.casefold() == name), None)

    async def _task_folders(self) -> list[str]:
        found = [node.id for node in await self._folders.nodes() if node.kind.casefold().startswith("ipf.task")]
        own = await self._folders.special(Role.TASKS)
        return found if own is None or own in found else [own, *found]

    # ---- tasks

    async def _all_tasks(self) -> AsyncIterator[tuple[dict[str, Any], str]]:
        for one in await self._known() or []:
            if _own(one):
                async for task in self._tasks(str(one["id"])):
                    yield task, str(one["id"])

    async def _tasks(self, list_id: str) -> AsyncIterator[dict[str, Any]]:
        path = paths.query(paths.todo_tasks(self._mailbox, list_id), expand="linkedResources", top=_PAGE)
        some: list[dict[str, Any]] = []
        async for task in self._pages(path):
            some.append(task)
            if len(some) == _PAGE:
                for whole in await self._linked(list_id, some):
                    yield whole
                some = []
        for whole in await self._linked(list_id, some):
            yield whole

    async def _linked(self, list_id: str, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The tasks with their linked resources, asked for apart where an answer lacks them."""
        bare = [task for task in tasks if "linkedResources" not in task]
        top = paths.todo_tasks(self._mailbox, list_id)
        parts = [Part("GET", f"{top}/{_q(task['id'])}/linkedResources") for task in bare]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="find", safe=True) if parts else []
        told: dict[str, Any] = {}
        for task, answer in zip(bare, answers, strict=True):
            if isinstance(answer, Rejected) and answer.meaning is Meaning.GONE:
                continue
            if isinstance(answer, WireError):
                raise answer
            told[task["id"]] = answer.get("value") or []
        return [task if "linkedResources" in task else {**task, "linkedResources": told.get(task["id"], [])} for task in tasks]

    async def _restamp(self, list_id: str, task_id: str, stamp: str) -> str:
        """Give a task its final stamp; its new version. Repeating does no harm."""
        top = f"{paths.todo_tasks(self._mailbox, list_id)}/{_q(task_id)}"
        linked = await self._get(f"{top}/linkedResources")
        ours = next((one for one in linked.get("value") or () if one.get("applicationName") == APPLICATION), None)
        if ours is None:
            raise Unavailable("the task lost its stamp", code="no id")
        body = orjson.dumps({"externalId": stamp})
        path = f"{top}/linkedResources/{_q(ours['id'])}"
        await self._client.ask(self._mailbox, "PATCH", path, kind="stamp", body=body, safe=True)
        return _version(await self._get(top))

    async def _clear_partial(self, list_id: str, stamp: str) -> None:
        async for task in self._tasks(list_id):
            if facts_of_task(task)[1] == stamp + x.PARTIAL:
                await self._delete(list_id, str(task["id"]))

    async def _delete(self, list_id: str, task_id: str) -> None:
        path = f"{paths.todo_tasks(self._mailbox, list_id)}/{_q(task_id)}"
        try:
            await self._client.ask(self._mailbox, "DELETE", path, kind="remove", safe=True)
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise

    async def _items(self, folder_id: str) -> AsyncIterator[dict[str, Any]]:
        mailbox_id = await self._folders.admin_id()
        if mailbox_id is not None:
            path = paths.admin_folder(mailbox_id, folder_id) + "/items"
            async for found in self._pages(paths.query(path, expand=x.expand(x.ITEM_EXPAND), top=500)):
                yield found

    async def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self._client.ask(self._mailbox, "GET", path, kind="find")).json()
        return found

    async def _pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        following: str | None = path
        while following:
            try:
                page = await self._get(following)
            except Rejected as error:
                if error.status == 404:
                    return
                raise
            for found in page.get("value") or ():
                yield found
            following = page.get("@odata.nextLink")


def split(target_id: str) -> tuple[str, str] | None:
    """List and task of an id of To Do; None for any other."""
    if not target_id.startswith(PREFIX):
        return None
    list_id, _, task_id = target_id.removeprefix(PREFIX).partition("/")
    return (list_id, task_id) if task_id else None


def facts_of_task(task: dict[str, Any]) -> tuple[Facts, str | None]:
    """Facts and stamp of a task with its linked resources."""
    ours = [one for one in task.get("linkedResources") or () if one.get("applicationName") == APPLICATION]
    stamp = next((str(one["externalId"]) for one in ours if one.get("externalId")), None)
    created = x.moment(task.get("createdDateTime"))
    facts = Facts(
        item_class=CLASS,
        subject_hash=hash_subject(str(task.get("title") or "")),
        created=None if created is None else created.replace(microsecond=0),
        modified=x.moment(task.get("lastModifiedDateTime")),
    )
    return facts, stamp


def unlike(entries: Sequence[Entry], items: Sequence[dict[str, Any]]) -> list[Entry]:
    """A folder's inventory out of both views of it: the entries of its list, and the items that are none of these.

    Both show one store, by other ids. A task of the list and an item are one if they agree in title and second of creation.
    """
    twins = [(entry.facts.subject_hash, entry.facts.created) for entry in entries]
    found = list(entries)
    for item in items:
        entry = x.entry_of_item(item)
        created = entry.facts.created
        mark = entry.facts.subject_hash, None if created is None else created.replace(microsecond=0)
        if mark in twins:
            twins.remove(mark)
        else:
            found.append(entry)
    return found


def _version(task: dict[str, Any]) -> str:
    """What changes whenever the task does."""
    return str(task.get("@odata.etag") or "")


def _own(list_: dict[str, Any]) -> bool:
    return list_.get("wellknownListName") != "flaggedEmails" and list_.get("isOwner") is not False


def _q(own: str) -> str:
    return paths.quoted(own)
