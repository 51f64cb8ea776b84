"""``connectors.probing.Bench`` over Graph: a hidden mail folder that carries a mark, and questions of the import interface.

A folder can be hidden at creation alone, and only as a mail folder [learn.microsoft.com/graph/api/user-post-mailfolders]; the
import interface takes items of every class into it. The mark tells it from a folder that a person happened to call the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from connectors.errors import Halt, MailboxBlocked, Throttled, UnknownAnswer, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected, clear_of_rejections
from connectors.graph.client import AddressSpent, GraphClient, raise_for
from connectors.graph.importing import MailboxId
from connectors.graph.lookup import is_mail
from connectors.graph.naming import probe_name
from connectors.probing import NO_SUCH_MAILBOX, Burst, Lying, Traces, Weighed, Workplace

T = TypeVar("T")

_LOUD = " loud"
_PIECE = 1 << 16
_LITTLE = 1_000
"""Bytes of an import request that is sent for its answer alone."""
_NO_MAILBOX = frozenset({"ResourceNotFound", "Request_ResourceNotFound", "ErrorInvalidUser"})
_HEADERS = {"Content-Type": "application/json"}


class GraphBench:
    """The workplace of one installation in one mailbox. ``mailbox`` is its user principal name or the user's id."""

    def __init__(self, client: GraphClient, mailbox: str, installation: str) -> None:
        self._client = client
        self._mailbox = mailbox
        self._mark = installation
        self._name = probe_name(installation)
        self._mailbox_id = MailboxId(client, mailbox)
        self._address: str | None = None

    def places(self) -> Sequence[Workplace]:
        return self._run(self._places())

    def make(self, *, loud: bool) -> Workplace:
        mark = self._mark + (_LOUD if loud else "")
        fields = {"displayName": self._name, "isHidden": True, "singleValueExtendedProperties": [x.pair(x.PROBE, mark)]}
        path = f"{paths.user(self._mailbox)}/mailFolders"
        return Workplace(str(self._ask("POST", path, body=orjson.dumps(fields))["id"]), loud)

    def holds(self, place: Workplace) -> Sequence[Lying]:
        async def ask() -> list[Lying]:
            path = paths.admin_folder(await self._mailbox_id.get(), place.id) + "/items"
            found = await self._pages(paths.query(path, top=500))
            return [Lying(str(each["id"]), str(each.get("type") or "")) for each in found]

        return self._run(ask())

    def remove(self, place: Workplace, item: Lying) -> None:
        async def ask() -> None:
            path = paths.message(self._mailbox, item.id)
            if not is_mail(item.item_class):
                path = paths.admin_item(await self._mailbox_id.get(), place.id, item.id)
            try:
                await self._client.ask(self._mailbox, "DELETE", path, kind="probe", safe=True, quiet=True)
            except Rejected as error:
                if error.meaning is not Meaning.GONE:
                    raise

        self._run(ask())

    def drop(self, place: Workplace) -> bool:
        async def ask() -> bool:
            path = paths.mail_folder(self._mailbox, place.id)
            try:
                found = (await self._client.ask(self._mailbox, "GET", path, kind="probe")).json()
                if found.get("totalItemCount") or found.get("childFolderCount"):
                    return False
                await self._client.ask(self._mailbox, "DELETE", path, kind="probe", safe=True)
            except Rejected as error:
                if error.meaning is not Meaning.GONE:
                    raise
            return True

        return self._run(ask())

    def traces(self) -> Traces:
        async def ask() -> Traces:
            counts = []
            for name in ("sentitems", "outbox", "deleteditems"):
                path = paths.query(paths.mail_folder(self._mailbox, name), select="totalItemCount")
                found = (await self._client.ask(self._mailbox, "GET", path, kind="probe")).json()
                counts.append(int(found.get("totalItemCount") or 0))
            return Traces(*counts)

        return self._run(ask())

    def session_life(self) -> float | None:
        found, asked = self._run(self._session(self._mailbox, self._mailbox_id))
        self._address = self._address_in(found)
        ends = x.moment(found.get("expirationDateTime"))
        return None if ends is None else (ends - asked).total_seconds()

    def weigh(self, place: Workplace, size: int) -> Weighed:
        return self._run(self._weigh(place, size))

    def knock(self, place: Workplace) -> bool:
        return self._run(self._knock(place))

    def burst(self, place: Workplace, reads: int, *, imports: int = 0, beside: str = "") -> Burst:
        return self._run(self._burst(place, reads, imports, beside))

    def reaches(self, mailbox: str) -> str:
        try:
            self._run(self._session(mailbox, MailboxId(self._client, mailbox)))
        except (MailboxBlocked, Halt) as error:
            return NO_SUCH_MAILBOX if error.code in _NO_MAILBOX else error.code or "refused"
        return ""

    # -- on the loop

    def _run(self, asking: Coroutine[Any, Any, T]) -> T:
        return self._client.run(clear_of_rejections(asking))

    def _ask(self, method: str, path: str, *, body: bytes | None = None) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            found: dict[str, Any] = (await self._client.ask(self._mailbox, method, path, kind="probe", body=body)).json()
            return found

        return self._run(ask())

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            page = (await self._client.ask(self._mailbox, "GET", following, kind="probe")).json()
            found.extend(page.get("value") or ())
            following = page.get("@odata.nextLink")
        return found

    async def _places(self) -> list[Workplace]:
        path = paths.query(
            f"{paths.user(self._mailbox)}/mailFolders", select="id,displayName,isHidden", expand=x.expand((x.PROBE,)), top=500
        )
        marks = {str(each["id"]): x.values(each).get(x.PROBE) for each in await self._pages(path + "&includeHiddenFolders=true")}
        return [Workplace(id_, mark != self._mark) for id_, mark in marks.items() if mark in (self._mark, self._mark + _LOUD)]

    async def _session(self, mailbox: str, mailbox_id: MailboxId) -> tuple[dict[str, Any], datetime]:
        asked = datetime.now(UTC)
        path = paths.admin(await mailbox_id.get()) + "/createImportSession"
        found: dict[str, Any] = (await self._client.ask(mailbox, "POST", path, kind="import-session", safe=True)).json()
        return found, asked

    def _address_in(self, session: dict[str, Any]) -> str:
        address = session.get("importUrl")
        if not isinstance(address, str) or not _encrypted(address, self._client.tenant.graph_url):
            raise UnknownAnswer("an import session without an address, or one that is not encrypted")
        return address

    async def _open(self) -> str:
        if self._address is None:
            found, _asked = await self._session(self._mailbox, self._mailbox_id)
            self._address = self._address_in(found)
        return self._address

    async def _knock(self, place: Workplace) -> bool:
        if self._address is None:
            return False
        pieces = _no_item(place, _LITTLE)
        try:
            await self._client.send(self._mailbox, "POST", self._address, kind="probe", pieces=pieces, headers=_HEADERS)
        except AddressSpent:
            self._address = None
            return False
        except Rejected:
            return True  # it was looked at, and was no item
        return True

    async def _burst(self, place: Workplace, reads: int, imports: int, beside: str) -> Burst:
        client, own = self._client, self._mailbox
        address = await self._open() if imports else ""
        paths_ = [(own, paths.query(paths.mail_folder(own, place.id), select="id"))] * reads
        paths_ += [(beside, paths.query(paths.mail_folder(beside, "inbox"), select="id"))] * (reads if beside else 0)
        asked = [client.at_once(mailbox, path, kind="probe") for mailbox, path in paths_]
        asked += [
            client.at_once(own, address, kind="probe", pieces=_no_item(place, _LITTLE), headers=_HEADERS) for _ in range(imports)
        ]
        refused: list[Throttled] = []
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            try:
                raise_for(answer.status, answer.headers, answer.body)
            except Throttled as error:
                refused.append(error)
            except WireError:
                continue
        code = refused[0].code if refused else ""
        return Burst(len(asked) - len(refused), len(refused), code, max((one.after or 1.0 for one in refused), default=0.0))

    async def _weigh(self, place: Workplace, size: int) -> Weighed:
        pieces = _no_item(place, size)
        for _ in range(2):
            try:
                address = await self._open()
                reply = await self._client.send(self._mailbox, "POST", address, kind="probe", pieces=pieces, headers=_HEADERS)
                return Weighed(False, f"http {reply.status}")
            except AddressSpent:
                self._address = None
            except Rejected as error:
                return Weighed(error.reason == "too-large", error.code)
        raise MailboxBlocked(
            "the target accepts no import session of its own making",
            code="http 401",
            side="target",
            mend="check MailboxItem.ImportExport.All and the app's scope for this mailbox",
        )


def _encrypted(address: str, graph_url: str) -> bool:
    return urlsplit(address).scheme == "https" or not graph_url.startswith("https:")


@dataclass(frozen=True, slots=True)
class _Noughts:
    """So many characters of base64 that stand for noughts, which no export stream begins with; never all in memory."""

    size: int

    def __len__(self) -> int:
        return self.size

    def pieces(self, size: int = _PIECE) -> Iterator[bytes]:
        for at in range(0, self.size, size):
            yield b"A" * min(size, self.size - at)


def _no_item(place: Workplace, size: int) -> tuple[bytes, _Noughts, bytes]:
    """The body of an import request of so many bytes that no item can come of."""
    head = orjson.dumps({"FolderId": place.id, "Mode": "create"})[:-1] + b',"Data":"'
    return head, _Noughts(max(0, size - len(head) - 2) // 4 * 4), b'"}'
