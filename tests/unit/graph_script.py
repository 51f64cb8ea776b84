"""A real HTTP server that follows a script, and a client for it; shared by the tests of the Graph connector."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from connectors.graph.client import GraphClient
from connectors.graph.endpoint import Tenant
from connectors.graph.tokens import Tokens

Answer = tuple[int, dict[str, str], Any] | str
Route = Callable[[str, str, dict[str, str], bytes], Answer]


class Server(ThreadingHTTPServer):
    """Answers by calling ``route``; keeps what it was asked. An answer that is text closes the connection instead."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None) -> None:
        self.scheme = "http" if certificate is None else "https"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.route: Route = lambda *_: (404, {}, None)
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that break off, or do not trust us, are part of the tests."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def paths(self, method: str = "") -> list[str]:
        return [f"{verb} {path}" for verb, path, _, _ in self.asked if verb == method or not method]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet, or the kernel waits 40 ms between them
    server: Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix("/v1.0")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, path, headers, body))
        answer = self.server.route(self.command, path, headers, body)
        if isinstance(answer, str):
            self.close_connection = True
            return
        status, more, content = answer
        raw = b"" if content is None else content if isinstance(content, bytes) else orjson.dumps(content)
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server on a free port for the length of a block; with TLS if it is given a certificate and its key in one file."""
    with Server(certificate) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@contextmanager
def client_of(server: Server) -> Iterator[GraphClient]:
    """A client whose tokens need no sign-in."""
    with GraphClient(Tenant(tenant_id="t", client_id="c", secret="s", graph_url=server.url, timeout=5)) as found:
        found.tokens = tokens_of(found.tenant)
        yield found


def tokens_of(tenant: Tenant, given: list[str | None] | None = None) -> Tokens:
    count = 0

    def fetch(claims: str | None) -> dict[str, Any]:
        nonlocal count
        count += 1
        if given is not None:
            given.append(claims)
        return {"access_token": f"token-{count}", "expires_in": 3600}

    return Tokens(tenant, fetch=fetch)


def failing(status: int, code: str, **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"error": {"code": code, "message": "m"}}
