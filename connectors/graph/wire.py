"""One HTTP exchange over a kept connection, and nothing else, because each item costs one.

What a general client does around every request (a session, cookies, redirects, tracing, a task that writes) costs more CPU than
all the rest of an item. HTTP is parsed by llhttp (``httptools``), TLS is asyncio's. A connection carries one request at a time;
whatever is unusual about an answer costs the connection, never the caller's certainty: what is not a complete answer is an error
after which nobody knows whether the request was carried out. Used on the loop only.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit

import httptools
from multidict import CIMultiDict
from yarl import URL

from connectors.spool import PIECE

KEPT: Final = 15.0
"""Seconds that a connection without a request is kept; servers end theirs later than that."""

_SAID: Final = "User-Agent: mailbox-migrator\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
_LONGEST_GREETING: Final = 64 * 1024
_GZIP: Final = 31
"""How zlib is told that a gzip header comes first."""


class NotConnected(OSError):
    """No connection was made, so nothing was sent."""


class ProxyRefused(NotConnected):
    """The proxy made no connection; the message is its status, or what broke."""


class Pieces(Protocol):
    """A part of a body that is not in memory: its length, and its bytes in the order in which they leave, as often as asked."""

    def __len__(self) -> int: ...

    def pieces(self) -> Iterable[bytes]: ...


Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers by name in any case, and the whole body."""


@lru_cache(maxsize=64)
def _request_line(method: str, url: str) -> tuple[tuple[bool, str, int], bytes]:
    """Where a request goes, and how it begins; taken apart once, since an import session serves a whole mailbox."""
    parsed = URL(url, encoded=True)
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or parsed.port is None:
        raise ValueError("an address without a host")
    start = f"{method} {parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.host_port_subcomponent}\r\n{_SAID}"
    return (parsed.scheme == "https", parsed.raw_host, parsed.port), start.encode("ascii")


class _Line(asyncio.Protocol):
    """One connection, and the exchange that is under way on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._body: list[bytes] = []
        self._room: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.usable = True
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection is no more."""

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked: what a server says then is about the connection
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(ConnectionAbortedError("the answer is no HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed before the answer was complete"))
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            self.usable = False  # a second answer: from here on nobody knows which one belongs to what

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self.usable = self.usable and self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status, headers, body = self._parser.get_status_code(), self._headers, b"".join(self._body)
        self._headers, self._body = CIMultiDict(), []
        if 100 <= status < 200:
            return  # the answer proper is yet to come
        if headers.get("Content-Encoding", "identity").casefold() == "gzip":
            try:
                body = zlib.decompress(body, _GZIP)
            except zlib.error:
                self._fail(ConnectionAbortedError("the answer can't be unpacked"))
                return
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, headers, body))

    # ---- what the wire calls

    async def exchange(
        self, head: bytes, pieces: Sequence[bytes | Pieces], *, whole: bool, patience: float, may_leave: Callable[[], bool] | None
    ) -> Answer | None:
        """Send one request and wait for its answer; None if ``may_leave`` forbade it before it was whole."""
        self._answer = answer = self._loop.create_future()
        self._watch(patience)
        try:
            if whole:
                self._transport.write(b"".join((head, *(_together(piece) for piece in pieces))))
            elif not await self._stream(head, pieces, may_leave):
                return None
            found: Answer = await answer
            return found
        finally:
            # A request that was given up leaves an answer on its way that belongs to nobody.
            if not answer.done() or answer.cancelled() or answer.exception() is not None:
                self.abort()
            self._answer = None

    async def _stream(self, head: bytes, pieces: Sequence[bytes | Pieces], may_leave: Callable[[], bool] | None) -> bool:
        self._transport.write(head)
        for part in pieces:
            for piece in _cut(part) if isinstance(part, bytes) else part.pieces():
                if self._room is not None:
                    await self._room
                if self._answer is None or self._answer.done():
                    self.usable = False  # it was answered before it was whole
                    return True
                # A process that slept in the middle finds its lease gone; what is not whole is never carried out.
                if may_leave is not None and not may_leave():
                    return False
                self._transport.write(piece)
        return True

    def _watch(self, patience: float) -> None:
        """End the exchange when nobody answers in time. One timer serves many exchanges."""
        self._deadline = self._loop.time() + patience
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._fail(TimeoutError("no answer in time"))

    def _fail(self, error: OSError) -> None:
        self.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.resume_writing()

    def abort(self) -> None:
        """Close it at once."""
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()


def _cut(part: bytes) -> Iterator[memoryview]:
    """A large part in one go would hold the loop up."""
    view = memoryview(part)
    for at in range(0, len(part), PIECE):
        yield view[at : at + PIECE]


def _together(piece: bytes | Pieces) -> bytes:
    return piece if isinstance(piece, bytes) else b"".join(piece.pieces())


class Wire:
    """Kept connections to hosts. ``context`` is that of every ``https`` one; ``proxy`` the address ``http://HOST:PORT`` of one
    that makes them, with what it wants to see in its header. Its length is how many are open."""

    def __init__(
        self, context: ssl.SSLContext | None, *, proxy: str | None = None, proxy_authorization: str | None = None
    ) -> None:
        self._proxy_authorization = proxy_authorization
        self._context = context
        self._proxy = None if proxy is None else urlsplit(proxy)
        self._loop = asyncio.get_running_loop()
        self._idle: dict[tuple[bool, str, int], deque[_Line]] = {}
        self._lines: set[_Line] = set()

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        pieces: Sequence[bytes | Pieces],
        *,
        length: int,
        whole: bool,
        patience: float,
        connect: float,
        may_leave: Callable[[], bool] | None = None,
    ) -> Answer | None:
        """One request and its answer, whatever its status; None if ``may_leave`` did not let it leave, or not to its end.

        ``length`` is that of all ``pieces``; ``whole`` sends them in one go, else one by one as the network takes them.
        ``patience`` is in seconds for the whole exchange, ``connect`` for making a connection. Raises NotConnected if nothing
        was sent, ssl.SSLCertVerificationError for a host that is not trusted, TimeoutError, and OSError for whatever else is
        no complete answer.
        """
        place, start = _request_line(method, url)
        line = self._take(place) or await self._connect(place, connect)
        if may_leave is not None and not may_leave():
            self._give(place, line)
            return None
        told = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        size = "" if method == "GET" else f"Content-Length: {length}\r\n"
        head = start + f"{told}{size}\r\n".encode("ascii")
        try:
            return await line.exchange(head, pieces, whole=whole, patience=patience, may_leave=may_leave)
        finally:
            self._give(place, line)

    async def close(self) -> None:
        """Close every connection at once; what is under way fails. May be called twice, and used again afterwards."""
        lines = list(self._lines)
        self._idle.clear()
        for line in lines:
            self._drop(line)
        if lines:
            await asyncio.wait([line.lost for line in lines], timeout=1.0)

    def __len__(self) -> int:
        return len(self._lines)

    def _take(self, place: tuple[bool, str, int]) -> _Line | None:
        idle, now = self._idle.get(place), self._loop.time()
        while idle:
            line = idle.pop()
            if line.usable and now - line.idle_since < KEPT:
                return line
            self._drop(line)
        return None

    def _give(self, place: tuple[bool, str, int], line: _Line) -> None:
        if not line.usable:
            self._drop(line)
            return
        line.idle_since = now = self._loop.time()
        idle = self._idle.setdefault(place, deque())
        idle.append(line)
        while now - idle[0].idle_since > KEPT or not idle[0].usable:
            self._drop(idle.popleft())
            if not idle:
                break

    def _drop(self, line: _Line) -> None:
        line.abort()
        self._lines.discard(line)

    async def _connect(self, place: tuple[bool, str, int], seconds: float) -> _Line:
        secure, host, port = place
        context = (self._context or ssl.create_default_context()) if secure else None
        try:
            async with asyncio.timeout(seconds):
                if self._proxy is not None:
                    line = await self._through(self._proxy, host, port, context)
                else:
                    _, line = await self._loop.create_connection(
                        lambda: _Line(self._loop), host, port, ssl=context, happy_eyeballs_delay=0.25
                    )
        except (ssl.SSLCertVerificationError, ProxyRefused):
            raise
        except OSError as error:
            raise NotConnected(type(error).__name__) from None
        self._lines.add(line)
        return line

    async def _through(self, proxy: SplitResult, host: str, port: int, context: ssl.SSLContext | None) -> _Line:
        """A connection that a proxy makes [RFC 9110 section 9.3.6]."""
        try:
            transport, greeting = await self._loop.create_connection(
                lambda: _Greeting(self._loop), proxy.hostname or "", proxy.port or 0, happy_eyeballs_delay=0.25
            )
        except OSError as error:
            raise ProxyRefused(type(error).__name__) from None
        try:
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            words = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
            if self._proxy_authorization is not None:
                words.append(f"Proxy-Authorization: {self._proxy_authorization}")
            transport.write(("\r\n".join(words) + "\r\n\r\n").encode("ascii"))
            status = await greeting.status
            if not 200 <= status < 300:
                raise ProxyRefused(f"http {status}")
            line = _Line(self._loop)
            if context is not None:
                transport = await self._loop.start_tls(transport, line, context, server_hostname=host)  # type: ignore[assignment]
            else:
                transport.set_protocol(line)
            line.connection_made(transport)
            return line
        except BaseException:
            transport.abort()
            raise


class _Greeting(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.status: asyncio.Future[int] = loop.create_future()
        self._told = b""

    def data_received(self, data: bytes) -> None:
        # Only the head: what follows it belongs to the connection, and its length means nothing here.
        self._told += data
        head, ended, _ = self._told.partition(b"\r\n\r\n")
        if self.status.done() or not (ended or len(head) > _LONGEST_GREETING):
            return
        words = head.split(b" ", 2)
        if ended and len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit():
            self.status.set_result(int(words[1]))
        else:
            self.status.set_exception(ProxyRefused("no HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(ProxyRefused("closed"))
