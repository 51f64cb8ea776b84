"""The only door to Graph: one event loop thread, one HTTP session and one request function a process.

Every request passes ``silence.check``, is paced by its mailbox's pacer, carries a token only to the Graph host, follows no
redirect, and is never repeated by the HTTP library. What may be repeated: what the server says it did not do, and what the
caller calls safe. Bodies over 1 MiB are streamed in pieces.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import uuid
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import orjson
import pybase64

from connectors.errors import Halt, Unavailable, UnknownAnswer, WireError
from connectors.graph import classify, silence
from connectors.graph.endpoint import Tenant
from connectors.graph.tokens import Tokens, proxy_failed
from connectors.graph.wire import NotConnected, Pieces, ProxyRefused, Wire
from connectors.link import Link
from connectors.pacer import LEASE_OVER, Budget, Cost, Memory, Pacer, Slots, Stopped

T = TypeVar("T")

STREAM_FROM = 1024 * 1024
"""Bytes from which a body is streamed; a larger one in one piece would hold the loop up."""

SLOWEST = 50_000.0
"""Bytes a second below which a transfer counts as stuck."""

_REFUSALS_IN_A_ROW = 4
"""So many tokens, each newer than the one before, are refused before it is the app's fault: the one that another request fetched
can have ended too in the meantime."""

IMMUTABLE = 'IdType="ImmutableId"'
_CLAIMS = re.compile(r'claims="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer that is a success."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; Unavailable if it is none, because then nobody knows what happened."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Unavailable("Graph's answer is no JSON", code=f"http {self.status}") from None


class _Spent(Exception):
    """A 401: the server did nothing; the token goes."""

    def __init__(self, claims: str | None) -> None:
        super().__init__("token not accepted")
        self.claims = claims


class AddressSpent(WireError):
    """A pre-authenticated address is used up; the server did nothing."""


def claims_of(headers: Mapping[str, str]) -> str | None:
    """The claims challenge of a 401, decoded; None if there is none."""
    found = _CLAIMS.search(headers.get("WWW-Authenticate", ""))
    if found is None:
        return None
    text = found.group(1)
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_").decode()
    except ValueError:
        return None


def code_of(body: bytes) -> tuple[str, str]:
    """The code and message of an error answer; both empty if it has none. The message is for reading, never for showing."""
    try:
        error = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or ""), str(error.get("message") or "")


def raise_for(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise what an answer means unless it is a success."""
    if 200 <= status < 300:
        return
    code, hint = code_of(body)
    raise classify.error_of(status, code, hint, classify.retry_after(headers))


_BUFFER = 32 * 1024


def _small_buffers() -> None:
    """Let each connection hold a small buffer for what it reads: asyncio gives each 256 KB, and a hundred mailboxes have four
    connections each. Answers are small; what is large is read in more turns."""
    SSLProtocol.max_size = min(SSLProtocol.max_size, _BUFFER)


class GraphClient:
    """One tenant for one process. Thread-safe; the loop starts with the first request.

    ``stop`` ends every wait. ``memory`` keeps the server's hints beyond this process. ``link`` is the cap of the line, which
    other connectors may share.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        stop: threading.Event | None = None,
        memory: Memory | None = None,
        link: Link | None = None,
    ) -> None:
        self.tenant = tenant
        self._link = link
        self._memory = memory
        self.stop = stop or threading.Event()
        self.tokens = Tokens(tenant)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._wire: Wire | None = None
        self.context: ssl.SSLContext | None = None
        self._closed = False
        self._pacers: dict[str, Pacer] = {}
        self._figures: dict[str, Counter[str]] = {}
        self._guards: dict[str, Callable[[], bool]] = {}
        self._shared = Slots(tenant.concurrency) if tenant.concurrency_scope == "app" else None

    def __enter__(self) -> GraphClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- the loop

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; its future can be waited for in any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; wakes when asked to stop or when the loop has died."""
        future = self.spawn(coroutine)
        patience = 40
        while True:
            try:
                return future.result(timeout=0.25)
            except FutureTimeout:
                if future.done():
                    raise
                thread = self._thread
                patience -= self.stop.is_set()
                if patience <= 0 or thread is None or not thread.is_alive():
                    future.cancel()
                    raise Unavailable("stopped before the answer came") from None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._loop is None:
                started: Future[None] = Future()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._serve, args=(self._loop, started), name="graph-loop", daemon=True)
                self._thread.start()
                started.result()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop, started: Future[None]) -> None:
        asyncio.set_event_loop(loop)
        try:
            self._wire = loop.run_until_complete(self._open())
        except BaseException as error:
            loop.close()
            self._loop = None
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(self._wire.close())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _open(self) -> Wire:
        _small_buffers()
        if self.tenant.graph_url.startswith("https:"):
            try:
                self.context = ssl.create_default_context(cafile=self.tenant.ca_file)
            except OSError as error:
                text = f"the target's ca_file can't be used ({type(error).__name__})"
                raise Halt(text, side="target", mend="check ca_file of the target") from None
        return Wire(self.context, proxy=self.tenant.proxy, proxy_authorization=self.tenant.proxy_authorization)

    def close(self) -> None:
        """End loop, session and token thread; writes still under way come back as doubts. May be called twice."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(timeout=10)
        self.tokens.close()

    # ---- pacing and figures

    def pacer(self, mailbox: str) -> Pacer:
        """The pacer of a mailbox: its two documented budgets, the link that all share, and its slots."""
        with self._lock:
            found = self._pacers.get(mailbox)
            if found is None:
                tenant = self.tenant
                found = Pacer(
                    (
                        Budget("requests", tenant.requests, tenant.requests_window, unit="requests"),
                        Budget("upload_bytes", tenant.upload_bytes, tenant.upload_window, unit="upload_bytes"),
                        *(() if self._link is None else (self._link,)),
                    ),
                    slots=[self._shared or Slots(tenant.concurrency)],
                    stop=self.stop,
                    memory=self._memory,
                    scope=f"graph/{tenant.tenant_id}/{tenant.client_id}/{mailbox.casefold()}",
                )
                self._pacers[mailbox] = found
            return found

    def figures(self, mailbox: str) -> dict[str, float]:
        """What was done for a mailbox so far."""
        found: dict[str, float] = {"bytes.sent": 0.0, "bytes.received": 0.0}
        found.update(self._figures.get(mailbox, {}))
        for budget, seconds in self.pacer(mailbox).waited().items():
            found[f"waited.{budget}"] = seconds
        return found

    def _count(self, mailbox: str, kind: str, sent: int) -> Counter[str]:
        counter = self._figures.setdefault(mailbox, Counter())
        counter[f"requests.{kind}"] += 1
        counter["bytes.sent"] += sent
        return counter

    def guard(self, mailbox: str, may_leave: Callable[[], bool] | None) -> None:
        """Ask this before each request for a mailbox that may change something; None: ask nobody."""
        if may_leave is None:
            self._guards.pop(mailbox, None)
        else:
            self._guards[mailbox] = may_leave

    # ---- requests

    async def ask(
        self,
        mailbox: str,
        method: str,
        path: str,
        *,
        kind: str,
        body: bytes | None = None,
        safe: bool | None = None,
        quiet: bool = False,
        parts: int = 1,
        content_type: str = "application/json",
        word: silence.Word | None = None,
    ) -> Reply:
        """One request to Graph, paced; the answer if it is a success.

        ``path`` is relative to the version root, or a next link as the server gave it. ``safe`` says that repeating it does no
        harm; by default only GET is. ``parts`` is how many requests a batch counts for. ``content_type`` is that of the body.
        ``word`` is what the operator asked for that the guard would refuse. Raises what ``classify`` says.
        """
        tenant = self.tenant
        silence.check(method, path, body, quiet=quiet, word=word)
        if path.startswith("http"):
            if not path.startswith(tenant.graph_url.rstrip("/") + "/"):
                raise UnknownAnswer("Graph gave a link to another host")
            url = path
        else:
            url = tenant.root + path
        safe = method == "GET" if safe is None else safe
        headers = {"Prefer": IMMUTABLE}
        if body is not None:
            headers["Content-Type"] = content_type
        cost = Cost(requests=parts, upload_bytes=0 if body is None else len(body))
        token = await self.token()
        refusals = 0

        async def attempt() -> Reply:
            own = {**headers, "Authorization": f"Bearer {token}", "client-request-id": str(uuid.uuid4())}
            reply = await self._exchange(mailbox, method, url, kind, own, () if body is None else (body,))
            if reply.status == 401:
                raise _Spent(claims_of(reply.headers))
            raise_for(reply.status, reply.headers, reply.body)
            return reply

        while True:
            try:
                return await self._paced(mailbox, attempt, cost, write=not safe)
            except _Spent as spent:
                refusals += 1
                if refusals >= _REFUSALS_IN_A_ROW:
                    text = "Graph does not accept a fresh access token"
                    raise Halt(text, code="http 401", side="target", mend="check the tenant and the app's consent") from None
                token = await self.token(spent.claims, token)

    async def send(
        self,
        mailbox: str,
        method: str,
        url: str,
        *,
        kind: str,
        pieces: Sequence[bytes | Pieces],
        headers: Mapping[str, str],
        safe: bool = False,
    ) -> Reply:
        """One request to a pre-authenticated address, which is a secret: no token goes with it, and no error names it.

        Raises AddressSpent if the address is not accepted any more, which did nothing; else what ``classify`` says.
        """
        cost = Cost(requests=1, upload_bytes=sum(map(len, pieces)))

        async def attempt() -> Reply:
            reply = await self._exchange(mailbox, method, url, kind, headers, pieces)
            # What a spent address answers is not documented. Where something else is missing, Graph names it by a code.
            if reply.status in (401, 410) or (reply.status == 404 and not code_of(reply.body)[0]):
                raise AddressSpent("the pre-authenticated address is used up", code=f"http {reply.status}")
            raise_for(reply.status, reply.headers, reply.body)
            return reply

        return await self._paced(mailbox, attempt, cost, write=not safe)

    async def at_once(
        self,
        mailbox: str,
        address: str,
        *,
        kind: str,
        pieces: Sequence[bytes | Pieces] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One exchange that waits for no budget, whatever its answer: for a probe that asks what a budget is.

        Without ``pieces`` a GET of a path of Graph; with them a POST to a pre-authenticated address. Never repeated.
        """
        if pieces:
            return await self._exchange(mailbox, "POST", address, kind, headers or {}, pieces)
        silence.check("GET", address, None, quiet=False, word=None)
        own = {"Prefer": IMMUTABLE, "Authorization": f"Bearer {await self.token()}", "client-request-id": str(uuid.uuid4())}
        return await self._exchange(mailbox, "GET", self.tenant.root + address, kind, own, ())

    async def _paced(self, mailbox: str, attempt: Callable[[], Awaitable[Reply]], cost: Cost, *, write: bool) -> Reply:
        return await self.pacer(mailbox).acall(attempt, cost=cost, write=write)

    async def token(self, claims: str | None = None, spent: str | None = None) -> str:
        """An access token; see ``Tokens.get``. Blocks nothing but the caller."""
        if spent is None:
            ready = self.tokens.ready()
            if ready is not None:
                return ready
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self.tokens.get, claims, spent)
        except Unavailable as error:
            raise Unavailable(str(error), code=error.code, did_nothing=True) from None

    async def _exchange(
        self, mailbox: str, method: str, url: str, kind: str, headers: Mapping[str, str], pieces: Sequence[bytes | Pieces]
    ) -> Reply:
        """One HTTP exchange, whatever its status. Raises Unavailable; ``did_nothing`` only if no connection was made."""
        wire = self._wire
        if wire is None:  # only while closing
            raise Unavailable("the client is closed", did_nothing=True)
        length = sum(map(len, pieces))
        counter = self._count(mailbox, kind, length)
        patience = self.tenant.timeout
        try:
            answer = await wire.exchange(
                method,
                url,
                headers,
                pieces,
                length=length,
                whole=length < STREAM_FROM,
                patience=patience + length / SLOWEST,
                connect=min(30.0, patience),
                may_leave=None if method == "GET" else self._guards.get(mailbox),
            )
        except ssl.SSLCertVerificationError as error:
            text = "the target host's certificate is not trusted"
            raise Halt(text, code=type(error).__name__, side="target", mend="set the target's ca_file") from None
        except ProxyRefused as error:
            raise proxy_failed(str(error)) from None
        except NotConnected as error:
            raise Unavailable("the target can't be reached", code=type(error).__name__, did_nothing=True) from None
        except TimeoutError as error:
            raise Unavailable("the target gave no answer in time", code=type(error).__name__) from None
        except OSError as error:
            raise Unavailable("the connection to the target broke", code=type(error).__name__) from None
        if answer is None:
            raise Stopped(LEASE_OVER, code="lease")
        status, answered, body = answer
        counter["bytes.received"] += len(body)
        return Reply(status, answered, body)
