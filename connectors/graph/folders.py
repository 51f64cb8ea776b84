"""The folders of a target mailbox: listed once, then kept in step with what we do to them.

Special folders are found by role, never by name, which the mailbox's language decides. Everything else is found among the
children of its parent, where names are unique without regard to case. Folders of mail are made through mailFolders; others
need the admin interface, the only one that sets a folder's class [learn.microsoft.com/graph/api/mailbox-post-folders].
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson
import structlog

from connectors.base import Folder, Role
from connectors.errors import Halt, MailboxBlocked, Unavailable, UnknownAnswer, WireError
from connectors.graph import paths
from connectors.graph.batch import Part, batch
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.extended import expand
from connectors.graph.importing import MailboxId
from connectors.graph.naming import (
    FOLDER_CLASS,
    KIND_WORDS,
    MAIL,
    MAIL_NAMES,
    NAME_LIMIT,
    OTHER_KINDS,
    Node,
    family,
    node_of,
    safe_name,
)

_log = structlog.get_logger("connectors.graph")


class Folders:
    """The folder tree of one mailbox. Used on the loop only."""

    def __init__(self, client: GraphClient, mailbox: str, mailbox_id: MailboxId, batch_lock: asyncio.Lock) -> None:
        self._client = client
        self._mailbox = mailbox
        self._mailbox_id = mailbox_id
        self._batch_lock = batch_lock
        self._lock = asyncio.Lock()
        self._nodes: dict[str, Node] | None = None
        self._names: dict[tuple[str, str], str] = {}
        self._placed: dict[str, str] = {}
        self._special: dict[str, str] = {}
        self._admin = True
        self.renamed: dict[str, str] = {}

    async def nodes(self) -> tuple[Node, ...]:
        """All folders below the top."""
        async with self._lock:
            return tuple((await self._tree()).values())

    async def special(self, role: Role) -> str | None:
        """The id of a special folder; None if the mailbox has none such."""
        async with self._lock:
            await self._tree()
            return self._role(role)

    async def admin_id(self) -> str | None:
        """The mailbox's id for the admin interface; None if the app may not use that interface here."""
        async with self._lock:
            await self._tree()
        return await self._mailbox_id.get() if self._admin else None

    async def place(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        """See ``Destination.place_folder``. Raises what the client raises."""
        async with self._lock:
            tree = await self._tree()
            special = self._role(folder.role) if folder.role is not None else None
            if special is not None:
                return special
            parent = parent or self._special["msgfolderroot"]
            name = safe_name(folder.name)
            node = None
            if known is not None:
                node = tree.get(known) or await self._fetch(known)
            if node is not None:
                # Two source folders whose names differ in case only share one target folder; the first one names it.
                if not keep and self._placed.setdefault(node.id, folder.id) == folder.id:
                    await self._fit(node, name, parent)
                return node.id
            name = self._wanted(parent, name, folder.kind)
            node = self._child(parent, name)
            if node is None:
                node = await self._make(folder, parent, name)
            self._placed.setdefault(node.id, folder.id)
            return self._noted(node.id, folder.name, node.name)

    async def forget(self, folder_id: str) -> None:
        """Drop what is remembered of a folder that turned out to be gone; the next look asks the server."""
        async with self._lock:
            tree = await self._tree()
            tree.pop(folder_id, None)
            self._names = {key: each for key, each in self._names.items() if each != folder_id}

    async def held(self, folder_id: str) -> int:
        """How many items a folder held when it was listed; 0 for one that is not there."""
        async with self._lock:
            node = (await self._tree()).get(folder_id) or await self._fetch(folder_id)
            return node.total if node is not None else 0

    async def kind(self, folder_id: str) -> str:
        """The class of a folder; that of mail if it is not known."""
        async with self._lock:
            node = (await self._tree()).get(folder_id)
            return node.kind if node is not None else MAIL

    async def is_there(self, folder_id: str) -> bool:
        """Whether a mail folder is there now."""
        async with self._lock:
            return await self._fetch(folder_id) is not None

    async def remove(self, target_id: str) -> bool:
        """See ``Destination.remove_folder``; a special folder is never removed."""
        async with self._lock:
            tree = await self._tree()
            if target_id in self._special.values():
                return False
            node = tree.get(target_id)
            path, kind = await self._path(target_id, node.kind if node else MAIL), "folder"
            try:
                found = (await self._client.ask(self._mailbox, "GET", path, kind=kind)).json()
                if (found.get("totalItemCount") or 0) or (found.get("childFolderCount") or 0):
                    return False
                await self._client.ask(self._mailbox, "DELETE", path, kind=kind, safe=True)
            except Rejected as error:
                if error.meaning is not Meaning.GONE:
                    raise
            tree.pop(target_id, None)
            self._names = {key: each for key, each in self._names.items() if each != target_id}
            return True

    # ---- the tree

    async def _tree(self) -> dict[str, Node]:
        if self._nodes is None:
            await self._find_special()
            try:
                nodes = await self._list_admin()
            except (Rejected, Halt, MailboxBlocked) as error:
                _log.info("admin folders not available, mail folders only", code=error.code)
                self._admin = False
                nodes = await self._list_mail()
            self._nodes = {}
            for node in nodes:
                self._put(node)
        return self._nodes

    async def _find_special(self) -> None:
        names = list(MAIL_NAMES.values())
        parts = [Part("GET", paths.query(paths.mail_folder(self._mailbox, name), select="id")) for name in names]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="folders", safe=True)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Rejected):
                continue
            if isinstance(answer, WireError):
                raise answer
            self._special[name] = answer["id"]
        if "msgfolderroot" not in self._special:
            raise UnknownAnswer("the mailbox shows no top folder")

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            page = (await self._client.ask(self._mailbox, "GET", following, kind="folders")).json()
            found.extend(page.get("value") or ())
            following = page.get("@odata.nextLink")
        return found

    async def _list_admin(self) -> list[Node]:
        mailbox_id = await self._mailbox_id.get()

        async def below(parent: str | None) -> list[Node]:
            path = f"{paths.admin_folder(mailbox_id, parent)}/childFolders" if parent else f"{paths.admin(mailbox_id)}/folders"
            here = [node_of(each) for each in await self._pages(paths.query(path, top=500))]
            above = parent or self._special["msgfolderroot"]
            return [node if node.parent_id else replace(node, parent_id=above) for node in here]

        nodes = await _by_level(below)
        await self._find_others(mailbox_id, nodes)
        return nodes

    async def _find_others(self, mailbox_id: str, nodes: list[Node]) -> None:
        root = self._special["msgfolderroot"]
        open_roles = []
        for role, kind in OTHER_KINDS.items():
            named = [node for node in nodes if node.well_known == role.value]
            if named:
                self._special[role.value] = named[0].id
            else:
                open_roles.append((role, kind))
        if not open_roles:
            return
        parts = [Part("GET", paths.admin_folder(mailbox_id, role.value)) for role, _ in open_roles]
        answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="folders", safe=True)
        for (role, kind), answer in zip(open_roles, answers, strict=True):
            if isinstance(answer, dict) and answer.get("id"):
                self._special[role.value] = answer["id"]
                continue
            alike = [n for n in nodes if n.parent_id == root and n.kind.casefold() == kind.casefold()]
            if len(alike) == 1:
                self._special[role.value] = alike[0].id

    async def _list_mail(self) -> list[Node]:
        options: dict[str, str | int] = {
            "select": "id,displayName,parentFolderId,childFolderCount,totalItemCount",
            "expand": expand((FOLDER_CLASS,)),
            "top": 500,
        }

        async def below(parent: str | None) -> list[Node]:
            mail = f"{paths.user(self._mailbox)}/mailFolders"
            path = f"{paths.mail_folder(self._mailbox, parent)}/childFolders" if parent else mail
            return [node_of(each) for each in await self._pages(paths.query(path, **options) + "&includeHiddenFolders=true")]

        return await _by_level(below)

    def _role(self, role: Role) -> str | None:
        return self._special.get(MAIL_NAMES.get(role) or role.value)

    def _put(self, node: Node) -> None:
        nodes = self._nodes if self._nodes is not None else {}
        before = nodes.get(node.id)
        if before is not None:
            self._names.pop((before.parent_id, before.name.casefold()), None)
        nodes[node.id] = node
        self._names[node.parent_id, node.name.casefold()] = node.id

    def _child(self, parent: str, name: str) -> Node | None:
        found = self._names.get((parent, name.casefold()))
        return None if found is None else (self._nodes or {}).get(found)

    def _fits(self, node: Node, kind: str) -> bool:
        # A plain folder that is called like a special one must not pour its items into that.
        return node.id not in self._special.values() and family(node.kind) == family(kind)

    def _wanted(self, parent: str, name: str, kind: str, own: str | None = None) -> str:
        """The name; or, if a sibling that this folder must not share has it, one that tells its kind, then a numbered one.

        A folder that exists (``own``) shares with none; a new one shares with an ordinary folder of its kind.
        """

        def usable(candidate: str) -> bool:
            taken = self._child(parent, candidate)
            return taken is None or taken.id == own or (own is None and self._fits(taken, kind))

        candidate, number = name, 1
        while not usable(candidate):
            told = f"{name[: NAME_LIMIT - 20]} ({KIND_WORDS[family(kind)]})"
            candidate = told if number == 1 else f"{told} ({number})"
            number += 1
        return candidate

    def _noted(self, target_id: str, wanted: str, got: str) -> str:
        if wanted.casefold() != got.casefold() and self.renamed.get(target_id) != got:
            self.renamed[target_id] = got
            _log.warning("folder has another name in the target", folder=target_id)
        return target_id

    # ---- changes

    async def _path(self, folder_id: str, kind: str) -> str:
        if self._admin and family(kind) != "ipf.note":
            return paths.admin_folder(await self._mailbox_id.get(), folder_id)
        return paths.mail_folder(self._mailbox, folder_id)

    async def _fetch(self, folder_id: str) -> Node | None:
        """A folder that the listing did not show; None if it is not there."""
        path = paths.mail_folder(self._mailbox, folder_id)
        try:
            found = (await self._client.ask(self._mailbox, "GET", path, kind="folder")).json()
        except Rejected as error:
            if error.meaning is Meaning.GONE:
                return None
            raise
        node = node_of(found)
        self._put(node)
        return node

    async def _fit(self, node: Node, name: str, parent: str) -> None:
        if node.id in self._special.values():
            return
        if node.parent_id != parent:
            try:
                body = orjson.dumps({"destinationId": parent})
                path = paths.mail_folder(self._mailbox, node.id) + "/move"
                await self._client.ask(self._mailbox, "POST", path, kind="folder", body=body, safe=True)
                self._put(node := replace(node, parent_id=parent))
            except Rejected as error:
                _log.warning("folder can't be moved", folder=node.id, code=error.code)
        wanted = self._wanted(node.parent_id, name, node.kind, node.id)
        if node.name != wanted:
            path, body = await self._path(node.id, node.kind), orjson.dumps({"displayName": wanted})
            try:
                await self._client.ask(self._mailbox, "PATCH", path, kind="folder", body=body, safe=True)
            except Rejected as error:
                _log.warning("folder can't be renamed", folder=node.id, code=error.code)
                return
            self._put(replace(node, name=wanted))
        self._noted(node.id, name, wanted)

    async def _make(self, folder: Folder, parent: str, name: str) -> Node:
        try:
            return await self._create(folder, parent, name)
        except Rejected as error:
            if error.reason != "folder-name":
                raise
            # The server knows rules for names that are written nowhere; a plain one, always the same, stands in.
            plain = "Folder " + blake2b(name.encode(), digest_size=4).hexdigest()
            return self._child(parent, plain) or await self._create(folder, parent, plain)

    async def _create(self, folder: Folder, parent: str, name: str) -> Node:
        mail = family(folder.kind) == "ipf.note"
        if self._admin and not mail:
            top = paths.admin(await self._mailbox_id.get())
            place = (
                f"{top}/folders" if parent == self._special["msgfolderroot"] else f"{top}/folders/{_last(parent)}/childFolders"
            )
            node = await self._post(place, {"displayName": name, "type": folder.kind}, parent, name, folder.kind)
            if node is not None:
                return node
        root = parent == self._special["msgfolderroot"]
        place = f"{paths.user(self._mailbox)}/mailFolders" if root else f"{paths.mail_folder(self._mailbox, parent)}/childFolders"
        fields: dict[str, Any] = {"displayName": name}
        if folder.hidden:
            fields["isHidden"] = True
        node = await self._post(place, fields, parent, name, MAIL)
        if node is None:
            raise MailboxBlocked("a folder can't be made in the target", side="target", mend="check MailboxFolder.ReadWrite.All")
        if not mail:
            _log.warning("folder was made as a folder of mail", folder=node.id, kind=folder.kind)
        return node

    async def _post(self, path: str, fields: dict[str, Any], parent: str, name: str, kind: str) -> Node | None:
        """Make a folder, or find the one that is there after all; None if this interface may not be used."""
        try:
            reply = await self._client.ask(self._mailbox, "POST", path, kind="folder", body=orjson.dumps(fields))
            node = replace(node_of(reply.json(), kind), parent_id=parent)
        except (Unavailable, Rejected, Halt) as error:
            if isinstance(error, Halt) or (isinstance(error, Rejected) and error.meaning is not Meaning.EXISTS):
                if "/admin/" in path:
                    return None
                raise
            for each in await self._children(parent):
                self._put(each)
            found = self._child(parent, name)
            if found is None:
                raise
            node = found
        self._put(node)
        return node

    async def _children(self, parent: str) -> list[Node]:
        root = parent == self._special["msgfolderroot"]
        if self._admin:
            mailbox_id = await self._mailbox_id.get()
            top = paths.admin(mailbox_id)
            path = f"{top}/folders" if root else f"{paths.admin_folder(mailbox_id, parent)}/childFolders"
            found = await self._pages(paths.query(path, top=500))
        else:
            path = f"{paths.mail_folder(self._mailbox, parent)}/childFolders"
            found = await self._pages(paths.query(path, top=500) + "&includeHiddenFolders=true")
        return [replace(node_of(each), parent_id=parent) for each in found]


def _last(folder_id: str) -> str:
    return paths.admin_folder("", folder_id).rsplit("/", 1)[1]


async def _by_level(below: Callable[[str | None], Awaitable[list[Node]]]) -> list[Node]:
    """All folders, asked for level by level from the top, which is None: no stack has to hold a tree that is 300 deep."""
    found: list[Node] = []
    waiting: list[str | None] = [None]
    while waiting:
        level = [node for nodes in await asyncio.gather(*(below(parent) for parent in waiting)) for node in nodes]
        found += level
        waiting = [node.id for node in level if node.children]
    return found
