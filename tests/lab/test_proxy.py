"""The way to the tenant leads through a proxy that asks who comes: a real one, which makes tunnels and looks into nothing."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from test_login import fresh, tenant_of

from connectors.errors import Unavailable
from connectors.graph.client import GraphClient
from connectors.lab.server import Lab, LabPlan

PASSWORD = "p@ss:word/ä"


class Proxy:
    """An HTTP proxy in a thread of its own. ``tunnels`` are the places that it was asked for, with the answer's status."""

    def __init__(self, credentials: str | None) -> None:
        self._wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
        self.tunnels: list[tuple[str, int]] = []
        self.loop = asyncio.new_event_loop()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            place = head.split()[1]
            headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            status = 200 if self._wanted in (None, headers.get("Proxy-Authorization")) else 407
            self.tunnels.append((place, status))
            if status != 200:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!")
                return
            host, _, port = place.rpartition(":")
            far, out = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, out), _copy(far, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def proxy(credentials: str | None = None) -> Iterator[Proxy]:
    made = Proxy(credentials)
    made.loop.run_until_complete(made.start())
    thread = threading.Thread(target=made.loop.run_forever)
    thread.start()
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), made.loop).result(10)
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join(10)
        made.loop.close()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        yield lab


def inbox_of(lab: Lab, **more: object) -> int:
    address = fresh(lab).address
    with GraphClient(tenant_of(lab, **more)) as client:
        return client.run(client.ask(address, "GET", f"/users/{address}/mailFolders/inbox", kind="test")).status


def test_sign_in_and_requests_go_through_the_proxy_and_nothing_goes_past_it(lab: Lab) -> None:
    with proxy(f"anna:{PASSWORD}") as between:
        assert inbox_of(lab, proxy=f"http://anna@127.0.0.1:{between.port}", proxy_password=PASSWORD) == 200
        assert [status for _, status in between.tunnels] == [200, 200], "the sign-in host and Graph"


def test_a_proxy_that_asks_nobody_needs_no_password(lab: Lab) -> None:
    with proxy() as between:
        assert inbox_of(lab, proxy=f"http://127.0.0.1:{between.port}") == 200
        assert len(between.tunnels) == 2


def test_a_proxy_that_lets_nobody_through_is_named_and_no_password_is_told(lab: Lab) -> None:
    with proxy("anna:right") as between, pytest.raises(Unavailable) as caught:
        inbox_of(lab, proxy=f"http://anna@127.0.0.1:{between.port}", proxy_password="wrong-one")
    assert "target.proxy" in str(caught.value)
    assert caught.value.did_nothing
    assert "wrong-one" not in repr(caught.value) + str(caught.value.__cause__)


def test_requests_that_the_proxy_refuses_did_nothing(lab: Lab) -> None:
    """The token is there already, so it is the wire to Graph that meets the proxy."""
    address = fresh(lab).address
    with proxy("anna:right") as between, GraphClient(tenant_of(lab)) as signed_in:
        token = signed_in.run(signed_in.token())
        client = GraphClient(tenant_of(lab, proxy=f"http://anna@127.0.0.1:{between.port}", proxy_password="wrong-one"))
        client.stop.set()  # no waiting for a proxy that may heal
        client.tokens.ready = lambda: token  # type: ignore[method-assign]
        with client, pytest.raises(Unavailable) as caught:
            client.run(client.ask(address, "GET", f"/users/{address}/mailFolders/inbox", kind="test"))
    assert caught.value.did_nothing


def test_a_proxy_that_is_not_there_is_named(lab: Lab) -> None:
    with proxy() as between:
        port = between.port
    with pytest.raises(Unavailable, match=r"target\.proxy"):
        inbox_of(lab, proxy=f"http://127.0.0.1:{port}")
