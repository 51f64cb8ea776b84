"""The folder tree of one Exchange mailbox: every folder with its role and its change stamp, parents before children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from connectors.base import Folder, Role
from connectors.errors import Unavailable, UnknownAnswer, WireError
from connectors.ews import classify, soap
from connectors.ews.answer import M, T, check, code_of
from connectors.ews.client import MailboxClient
from connectors.ews.folders import Shown, folder_of, settled, shown, stamp_of
from connectors.ews.roots import Root, further
from connectors.ews.soap import Prop

REFUSED_IN_LISTING: Final = frozenset({"ErrorInvalidPropertyRequest", "ErrorInvalidPropertyForOperation"})
"""What a server answers that does not give a property in a listing."""

_REFUSED_ROLE: Final = frozenset({"ErrorSchemaValidation", "ErrorInvalidRequest", "ErrorInvalidServerVersion"})
_PASSING: Final = frozenset({classify.Meaning.THROTTLED, classify.Meaning.UNAVAILABLE})
_FOLDERS: Final = f"{M}Folders"
_LOOK_UP: Final = 100
"""Folders that one request asks for by their ids."""


class Tree:
    """Reads the tree below the top, or with ``alone`` only the further ``roots``. ``owner`` is whose folders are asked for where
    the account does not impersonate."""

    def __init__(self, client: MailboxClient, owner: str | None, *, roots: Sequence[Root] = (), alone: bool = False) -> None:
        self._client = client
        self._owner = owner
        self._roots, self._alone = tuple(roots), alone
        self._stamped = True
        self._roles_asked = [role for role in Role if role is not Role.ARCHIVE]

    def folders(self) -> Iterator[Folder]:
        """All folders below the top, parents before children; search folders left out, special ones by their role."""
        roles = self._roles()
        top = next((id_ for id_, role in roles.items() if role is Role.ROOT), None)
        listed = [] if self._alone else list(self._folder_pages())
        trees = [each for root in self._roots for each in further(self._client, root, self._folder_pages, self._owner)]
        if any(Prop.COMMITTED in one.told for one in listed):
            stamps = {one.id: stamp_of(one) for one in listed} | {each.id: each.change_stamp for each in trees}
        else:
            stamps = self._stamps([one.id for one in listed] + [each.id for each in trees])
        found = {one.id: folder_of(one, roles, top, stamps[one.id]) for one in listed}
        found |= {each.id: replace(each, change_stamp=stamps[each.id]) for each in trees}
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
        try:
            return self._ask_roles(self._roles_asked)
        except WireError as error:
            if error.code not in _REFUSED_ROLE or Role.CONVERSATION_HISTORY not in self._roles_asked:
                raise
            # Exchange 2010 has no name for that folder, and refuses the whole question.
            self._roles_asked = [role for role in self._roles_asked if role is not Role.CONVERSATION_HISTORY]
            return self._ask_roles(self._roles_asked)

    def _ask_roles(self, asked: Sequence[Role]) -> dict[str, Role]:
        def read(messages: list[Any]) -> dict[str, Role]:
            same_number(messages, asked)
            found: dict[str, Role] = {}
            for role, message in zip(asked, messages, strict=True):
                code, values = code_of(message)
                id_ = message.find(f"{M}Folders/*/{T}FolderId")
                if code == "NoError" and id_ is not None:
                    found[id_.get("Id")] = role
                elif role is Role.ROOT or classify.verdict(code).meaning in _PASSING:
                    classify.raise_for(code, text="", values=values)
            return found

        return self._client.ask("GetFolder", soap.get_special([role.value for role in asked], self._owner), read)

    def _folder_pages(self, below: str = Role.ROOT.value) -> Iterator[Shown]:
        """Every folder that is no search folder."""
        offset: int | None = 0
        while offset is not None:
            began = self._client.server.clock()
            body = soap.find_folders(offset, self._owner, stamps=self._stamped, below=below)
            try:
                page, offset = self._client.ask("FindFolder", body, paged("Folders", offset))
            except UnknownAnswer as error:
                if error.code not in REFUSED_IN_LISTING or not self._stamped:
                    raise
                self._stamped = False
                continue
            old = self._settled(began)
            yield from (one for element in page if (one := shown(element, old)) is not None)

    def _stamps(self, ids: Sequence[str]) -> dict[str, str | None]:
        """The change stamps of folders, asked for one by one, a hundred in a request; None where there is none.

        A server that gives none for the first hundred is not asked for the others.
        """
        found: dict[str, str | None] = dict.fromkeys(ids)
        for at in range(0, len(ids), _LOOK_UP):
            asked = ids[at : at + _LOOK_UP]
            began = self._client.server.clock()
            try:
                elements = self._client.ask("GetFolder", soap.get_stamps(asked), partial(_told, asked))
            except UnknownAnswer as error:
                if error.code not in REFUSED_IN_LISTING:
                    raise
                break
            old = self._settled(began)
            told = [Shown(id_, *soap.parts_of(element), old) for id_, element in elements.items()]
            found.update((one.id, stamp_of(one)) for one in told)
            if not any(Prop.COMMITTED in one.told for one in told):
                break
        return found

    def _settled(self, began: float) -> datetime | None:
        return settled(self._client.last_headers, self._client.server.clock() - began)


def _told(asked: Sequence[str], messages: list[Any]) -> dict[str, Any]:
    """The elements of a GetFolder's answer by the ids that were asked for; a folder that can't be read is missing."""
    same_number(messages, asked)
    found: dict[str, Any] = {}
    for id_, message in zip(asked, messages, strict=True):
        code, values = code_of(message)
        folders = message.find(_FOLDERS) if code == "NoError" else None
        if folders is not None and len(folders):
            found[id_] = folders[0]
        elif classify.verdict(code).meaning in _PASSING:
            classify.raise_for(code, text="", values=values)
    return found


def paged(held: str, offset: int) -> Callable[[list[Any]], tuple[list[Any], int | None]]:
    """A reader of one page of a listing: its elements, and where the next one begins; None at the end."""

    def read(messages: list[Any]) -> tuple[list[Any], int | None]:
        same_number(messages, (offset,))
        check(messages[0])
        page = messages[0].find(f"{M}RootFolder")
        elements = None if page is None else page.find(f"{T}{held}")
        if elements is None:
            raise Unavailable("The source's listing has no page in it.", code="empty")
        if soap.truth(page.get("IncludesLastItemInRange")):
            return list(elements), None
        following = soap.number(page.get("IndexedPagingOffset")) or 0
        if following <= offset:
            raise Unavailable("The source's listing does not get on.", code="no progress")
        return list(elements), following

    return read


def same_number(answers: Sequence[object], questions: Sequence[object]) -> None:
    """Raise Unavailable unless there is one answer for each question, since answers carry no name."""
    if len(answers) != len(questions):
        raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
