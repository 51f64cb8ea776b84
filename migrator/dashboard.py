"""The dashboard: the report's views live in a browser, read-only, over the ledger alone.

    /TOKEN/             the page, with the first mailboxes in it; works without a script, too
    /TOKEN/parts        what changed since a version, as JSON; 204 if nothing did
    /TOKEN/mailboxes    one page of mailboxes, as JSON
    /TOKEN/mailbox      everything of one mailbox, as a page
    /TOKEN/style.css, /TOKEN/script.js

Whoever knows the token may look; a wrong one is answered like any address that is not there. The Host header has to be one of
ours, so that no page from elsewhere can have a browser ask on its behalf under another name (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from migrator.config import BadInput
from migrator.reporting.live import NUMBERS, SORTS, Found, Live, Query, find
from migrator.reporting.pages import page
from state.model import LedgerError, MailboxState

LOOPBACK: Final = "127.0.0.1"
CONNECTIONS: Final = 200
"""Threads of the process above which no further browser is answered."""

_IDLE: Final = 30.0
_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the dashboard listens. ``port`` 0 is any free one; ``names`` are further names that browsers may call it by."""

    host: str = LOOPBACK
    port: int = 0
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def checked(self) -> Place:
        """The same; raises BadInput for one that others could listen in on."""
        if self.certificate is None and not _loopback(self.host):
            raise BadInput(
                f"--bind {self.host} is not this machine alone: name a certificate with --tls-certificate, or leave --bind out"
                " and reach the dashboard through an SSH tunnel."
            )
        if self.key is not None and self.certificate is None:
            raise BadInput("--tls-key needs --tls-certificate.")
        return self


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Windows that option would let another program take the port over.
    allow_reuse_address = os.name == "posix"

    def __init__(self, place: Place, live: Live, token: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        self.live = live
        self.token = token
        self.context = _tls(place)
        super().__init__((place.host, place.port), _Handler)
        shown = f"[{place.host}]" if ":" in place.host else place.host
        self.names = {f"{name}:{self.server_port}".casefold() for name in (*_NAMES, shown, *place.names)}
        if self.context and self.server_port == 443:
            self.names |= {name.casefold() for name in (shown, *place.names)}
        scheme = "https" if self.context else "http"
        self.url = f"{scheme}://{place.names[0] if place.names else shown}:{self.server_port}/{token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, unless so many are open that one more could only be held against us."""
        if threading.active_count() > CONNECTIONS:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(_IDLE)
        if self.context:
            # The greeting belongs to the connection's own thread, or one slow browser would hold up all others.
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no trouble."""


def _tls(place: Place) -> ssl.SSLContext | None:
    if place.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(place.certificate, place.key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(
            f"The certificate {place.certificate} can't be used ({reason}); name a PEM file, and its key with --tls-key."
        ) from None
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "migrator"
    sys_version = ""
    timeout = _IDLE
    server: _Server

    def do_GET(self) -> None:
        """Answer one question."""
        if self.headers.get("Host", "").casefold() not in self.server.names:
            self._say(421, "text/plain", b"This name is not the dashboard's.\n")
            return
        asked = urlsplit(self.path)
        _, token, *rest = [*asked.path.split("/"), ""]
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            self._say(404, "text/plain", b"There is nothing here.\n")
            return
        values = dict(parse_qsl(asked.query, keep_blank_values=True, max_num_fields=20))
        match "/".join(rest).rstrip("/"):
            case "":
                self._say(200, "text/html", self._page(values).encode())
            case "parts":
                self._parts(values.get("version", ""))
            case "mailbox":
                self._mailbox(values.get("id", ""))
            case "mailboxes":
                self._json(self._mailboxes(values))
            case "style.css":
                self._say(200, "text/css", _asset("base.css") + _asset("dashboard.css"))
            case "script.js":
                self._say(200, "text/javascript", _asset("dashboard.js"))
            case _:
                self._say(404, "text/plain", b"There is nothing here.\n")

    do_HEAD = do_GET

    def _page(self, values: Mapping[str, str]) -> str:
        live = self.server.live
        view, query = live.view, Query.of(values)
        found = find(view.facts.mailboxes, query)
        return page(
            "dashboard.html",
            live.language,
            view=view,
            query=query,
            found=found,
            rows=rows(found, live),
            sorts=SORTS,
            numbers=NUMBERS,
            states=[state for state in MailboxState if any(line.state is state for line in view.facts.mailboxes)],
        )

    def _parts(self, version: str) -> None:
        live = self.server.live
        view = live.view
        if version == str(view.version):
            self._say(204, "", b"")
            return
        made = live.language.stamp(view.facts.made)
        stale = live.language("dashboard.stale", at=made)
        trouble = f"{live.language('dashboard.old', at=made)} {view.trouble}" if view.trouble else ""
        news = {"stamp": live.language("dashboard.live", at=made), "stale": stale, "trouble": trouble}
        self._json({"version": view.version, "parts": dict(view.parts), **news})

    def _mailbox(self, number: str) -> None:
        live = self.server.live
        line = next((line for line in live.view.facts.mailboxes if str(line.id) == number), None)
        if line is None or live.detail is None:
            self._say(404, "text/plain", b"There is nothing here.\n")
            return
        try:
            detail = live.detail(line)
        except LedgerError as error:
            self._say(503, "text/plain", f"{error}\n".encode())
            return
        content = page("dashboard_mailbox.html", live.language, line=line, detail=detail, made=live.view.facts.made)
        self._say(200, "text/html", content.encode())

    def _mailboxes(self, values: Mapping[str, str]) -> dict[str, object]:
        live = self.server.live
        found = find(live.view.facts.mailboxes, Query.of(values))
        return {"rows": rows(found, live), "found": told(found, live), "page": found.number, "pages": found.pages}

    def _json(self, value: Mapping[str, object]) -> None:
        self._say(200, "application/json", json.dumps(value, ensure_ascii=False).encode())

    def _say(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content and self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Addresses hold the token, so none is ever written down."""


def rows(found: Found, live: Live) -> str:
    """The rows of a table of mailboxes."""
    return page("dashboard_rows.html", live.language, lines=found.lines, linked=live.detail is not None)


def told(found: Found, live: Live) -> str:
    """Which of how many are shown."""
    language = live.language
    if not found.of:
        return language("dashboard.nothing")
    return language("dashboard.found", **{"from": found.first, "to": found.last, "n": found.of})


def _asset(name: str) -> bytes:
    return resources.files("migrator").joinpath("templates", name).read_bytes()


@contextmanager
def serving(place: Place, live: Live, token: str | None = None) -> Iterator[str]:
    """Serve as long as the context lasts; its address, token and all. Raises BadInput if nobody can listen there."""
    place = place.checked()
    try:
        server = _Server(place, live, token or secrets.token_urlsafe(24))
    except OSError as error:
        raise BadInput(
            f"Nobody can listen on {place.host} port {place.port} ({error.strerror or error});"
            " name another with --port, or 0 for any."
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dashboard", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
