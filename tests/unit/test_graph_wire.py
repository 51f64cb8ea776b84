"""The bare HTTP exchange, against a server that answers byte by byte what a test wants."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from connectors.graph import wire as wires
from connectors.graph.wire import Answer, NotConnected, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Scripted:
    """A server that reads each request whole and sends the next answer of its script; None closes the connection."""

    def __init__(self, *script: bytes | None) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Scripted:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.wire = Wire(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()
        self.server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = self.script.pop(0) if self.script else b""
                if answer is None:
                    writer.close()
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def ask(self, *pieces: Any, method: str = "POST", **more: Any) -> Answer | None:
        options: dict[str, Any] = {"whole": True, "patience": 5.0, "connect": 5.0, **more}
        url = f"http://127.0.0.1:{self.port}/import?token=a%2Fb"
        return await self.wire.exchange(
            method, url, {"Content-Type": "text/x"}, pieces, length=sum(map(len, pieces)), **options
        )  # fmt: skip

    async def good(self, *pieces: Any, **more: Any) -> Answer:
        answer = await self.ask(*pieces, **more)
        assert answer is not None
        return answer


def over(*script: bytes | None) -> Callable[[Callable[[Scripted], Awaitable[None]]], None]:
    """Run a test's coroutine with a server of that script."""

    def run(play: Callable[[Scripted], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with Scripted(*script) as server:
                await play(server)

        asyncio.run(whole())

    return run


def test_a_request_is_sent_as_it_is_and_its_connection_kept() -> None:
    @over(OK, OK)
    async def _(server: Scripted) -> None:
        assert await server.good(b"ab", b"c") == (200, {"Content-Length": "2"}, b"hi")
        assert (await server.good(method="GET"))[0] == 200
        assert server.connections == len(server.wire) == 1
        first, second = server.requests
        assert first.startswith(b"POST /import?token=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1:")
        assert first.endswith(b"Content-Type: text/x\r\nContent-Length: 3\r\n\r\nabc")
        assert b"Content-Length" not in second


def test_a_write_without_a_body_says_so() -> None:
    @over(OK)
    async def _(server: Scripted) -> None:
        await server.good()
        assert server.requests[0].endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", b"hi yo"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: GZIP\r\nContent-Length: %d\r\n\r\n%s"
         % (len(packed := gzip.compress(b"long")), packed), b"long"),
    ],
    ids=["chunked", "continue", "nothing", "gzip"],
)  # fmt: skip
def test_answers_in_every_dress_are_read_whole(answer: bytes, body: bytes) -> None:
    @over(answer, OK)
    async def _(server: Scripted) -> None:
        assert (await server.good(b"x"))[2] == body
        assert (await server.good(b"x"))[2] == b"hi"
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\nwithout a length",
    ],
    ids=["closed", "short", "no-http", "upgrade", "not-packed", "endless"],
)
def test_what_is_no_complete_answer_leaves_the_request_in_doubt_and_costs_the_connection(answer: bytes | None) -> None:
    @over(answer, OK)
    async def _(server: Scripted) -> None:
        with pytest.raises(OSError) as caught:
            await server.ask(b"x", patience=0.3)
        assert not isinstance(caught.value, NotConnected)
        assert len(server.wire) == 0
        assert (await server.good(b"x"))[2] == b"hi"
        assert server.connections == 2


def test_an_answer_that_does_not_come_is_waited_for_only_so_long() -> None:
    @over(OK, b"")
    async def _(server: Scripted) -> None:
        await server.good(b"x", patience=60.0)
        with pytest.raises(TimeoutError):
            await server.ask(b"x", patience=0.05)
        assert len(server.wire) == 0


def test_a_longer_patience_after_a_short_one_counts() -> None:
    @over(OK)
    async def _(server: Scripted) -> None:
        await server.good(b"x", patience=0.05)
        server.script.append(b"")
        late = asyncio.ensure_future(server.good(b"x", patience=5.0))
        await asyncio.sleep(0.2)
        assert not late.done()
        server._writers[0].write(OK)
        assert (await late)[2] == b"hi"


def test_a_server_that_is_not_there_got_nothing() -> None:
    @over()
    async def _(server: Scripted) -> None:
        server.server.close()
        await server.server.wait_closed()
        with pytest.raises(NotConnected):
            await server.ask(b"x")


@pytest.mark.parametrize(
    "farewell",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"],
)
def test_a_connection_that_the_server_ends_is_not_used_again(farewell: bytes) -> None:
    @over(farewell, OK)
    async def _(server: Scripted) -> None:
        await server.good(b"x")
        await server.good(b"x")
        assert server.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    @over(OK, OK)
    async def _(server: Scripted) -> None:
        await server.good(b"x")
        monkeypatch.setattr(wires, "KEPT", -1.0)
        await server.good(b"x")
        assert server.connections == 2


def test_what_a_server_says_unasked_is_never_taken_for_an_answer() -> None:
    @over(OK, OK)
    async def _(server: Scripted) -> None:
        await server.good(b"x")
        server._writers[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.1)
        assert (await server.good(b"x"))[0] == 200
        assert server.connections == 2


def test_two_answers_at_once_cost_the_connection() -> None:
    @over(OK + OK, OK)
    async def _(server: Scripted) -> None:
        assert (await server.good(b"x"))[2] == b"hi"
        assert (await server.good(b"x"))[2] == b"hi"
        assert server.connections == 2


def test_a_request_that_is_given_up_takes_its_connection_with_it() -> None:
    @over(b"", OK)
    async def _(server: Scripted) -> None:
        task = asyncio.ensure_future(server.ask(b"x"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server.wire) == 0
        assert (await server.good(b"x"))[2] == b"hi"


class Large:
    """A body that says how far it was read."""

    def __init__(self, number: int) -> None:
        self.number, self.read = number, 0

    def __len__(self) -> int:
        return self.number * 100_000

    def pieces(self) -> Iterable[bytes]:
        for _ in range(self.number):
            self.read += 1
            yield b"x" * 100_000


def test_a_large_body_leaves_in_pieces_as_the_network_takes_them() -> None:
    @over(OK, OK)
    async def _(server: Scripted) -> None:
        large = Large(200)
        assert (await server.good(b"<", large, b">", whole=False))[2] == b"hi"
        assert len(server.requests[0].partition(b"\r\n\r\n")[2]) == len(large) + 2
        assert (await server.good(b"x" * 3_000_000, whole=False))[2] == b"hi"
        assert server.connections == 1


def test_a_large_body_ends_when_it_may_not_leave_any_more() -> None:
    @over(OK)
    async def _(server: Scripted) -> None:
        large = Large(200)
        assert await server.ask(large, whole=False, may_leave=lambda: large.read < 20) is None
        assert large.read == 20
        assert server.requests == []
        assert len(server.wire) == 0


def test_a_body_that_is_answered_before_its_end_is_not_sent_to_its_end() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        wire, large = Wire(None), Large(2000)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        answer = await wire.exchange("POST", url, {}, (large,), length=len(large), whole=False, patience=9.0, connect=5.0)
        assert answer is not None
        assert answer[0] == 413
        assert large.read < large.number
        assert len(wire) == 0
        server.close()
        await asyncio.sleep(0.3)

    asyncio.run(play())
