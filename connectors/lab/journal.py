"""What the lab's two faces were asked: counts by kind, and, if wished, every exchange as one line of JSON.

A line holds ``method, path, query, headers, request_body, status, response_headers, response_body`` with the encodings of
both bodies (``utf-8`` or ``base64``), and ``t0, t1`` (seconds), ``request_bytes, request_sha256``. Secrets are struck out:
the Authorization header, and what the sign-in sends and gets.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDictProxy

OWN = "/lab/"
"""Paths below are the lab's own: neither counted nor written down."""

_FULL = 4_000_000
_STRUCK = {"authorization", "proxy-authorization", "cookie"}
_SECRETS = re.compile(r"""((?:^|&)(?:client_secret|client_assertion)=|"(?:access_token|id_token)"\s*:\s*")[^&"]*""")
_OPERATION = re.compile(rb"<(?:[\w.-]+:)?Body[^>]*>\s*(?:<!--.*?-->\s*)*<(?:[\w.-]+:)?(\w+)", re.DOTALL)
_CHANGES_SOURCE = re.compile(
    r"(?:Create|Update|Delete|Move|Copy|Send|Upload|Set|Add|Remove|Mark|Empty|Archive|Apply|Disable|Install)[A-Z]"
)
_OWNERS = {
    "users", "mailFolders", "childFolders", "messages", "attachments", "folders", "items", "mailboxes", "contactFolders",
    "contacts", "calendars", "events", "masterCategories", "organization", "servicePrincipals", "lists", "tasks",
}  # fmt: skip
_WORDS = {"delta", "delta()", "messageRules"}
_READS_ONLY = {
    "token", "$batch", "exportItems", "translateExchangeIds", "getMailTips", "createImportSession", "getByIds", "getSchedule",
}  # fmt: skip

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cut(web.Response):
    """Stands for the answer to a request whose connection was cut before there was one."""


def asked_of(body: bytes) -> str:
    """The operation that a SOAP request asks for; empty if it is none."""
    found = _OPERATION.search(body[:20_000])
    return found[1].decode() if found else ""


@dataclass(slots=True)
class Seen:
    """How often what was asked, both faces together; parts of a batch apart, because they are no requests of their own."""

    requests: Counter[str] = field(default_factory=Counter)
    batched: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    """Requests and parts of batches that would change a mailbox, whatever was answered."""

    def exchange(self, operation: str, status: int) -> None:
        """Count one request to the Exchange server; a refused sign-in is a kind of its own, since NTLM needs two of them."""
        self.statuses[f"exchange {status}"] += 1
        if status == 401:
            self.requests["exchange sign-in"] += 1
            return
        self.requests[f"exchange {operation or 'other'}"] += 1
        self.writes += bool(_CHANGES_SOURCE.match(operation))

    def tenant(self, method: str, path: str, body: bytes, status: int) -> None:
        """Count one request to the tenant."""
        self.statuses[f"tenant {status}"] += 1
        self.requests[f"tenant {graph_kind(method, path)}"] += 1
        self.writes += graph_writes(method, path)
        if path.endswith("/$batch"):
            for part in _parts(body):
                self.batched[f"tenant {graph_kind(*part)}"] += 1
                self.writes += graph_writes(*part)


def _parts(body: bytes) -> list[tuple[str, str]]:
    try:
        parts = orjson.loads(body)["requests"]
        return [(str(part["method"]).upper(), "/v1.0" + str(part["url"]).partition("?")[0]) for part in parts]
    except (ValueError, KeyError, TypeError):
        return []


def graph_kind(method: str, path: str) -> str:
    """A request's kind: its method and the words of its path, without ids."""
    words, before = list[str](), ""
    for word in path.strip("/").split("/"):
        if before not in _OWNERS or word in _WORDS or word.startswith(("$", "microsoft.graph")):
            words.append(word)
        before = word
    if words and words[0] in ("v1.0", "beta"):
        return f"{method} {'/'.join(words[1:])}"
    return f"{method} {words[-1].partition('(')[0] if words else ''}"


def graph_writes(method: str, path: str) -> bool:
    """Whether such a request changes a mailbox."""
    last = path.rpartition("/")[2].partition("(")[0].removeprefix("microsoft.graph.")
    return method not in ("GET", "HEAD", "OPTIONS") and last not in _READS_ONLY


_SIGN_IN = b"grant_type=client_credentials&client_secret=redacted"
_TOKEN = b'{"token_type":"Bearer","expires_in":3600,"access_token":"redacted"}'
"""What stands in the journal for a sign-in: its shape, and nothing that could be used."""


class Journal:
    """A file with one line an exchange. Lines are held back for a moment; ``flush`` writes them, ``close`` does it at last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._lines: list[bytes] = []
        self._waiting = 0

    def note(self, request: web.Request, sent: bytes, response: web.StreamResponse | None, began: float) -> None:
        """Write down one exchange; no response means that the connection was cut before there was one."""
        path = request.raw_path.partition("?")[0]
        signs_in = path.endswith("/token")
        line: dict[str, Any] = {
            "method": request.method,
            "path": path,
            "query": request.raw_path.partition("?")[2],
            "headers": _headers(request.headers),
            "t0": began,
            "t1": time.time(),
            "request_bytes": len(sent),
            "request_sha256": hashlib.sha256(sent).hexdigest(),
        }
        line["request_body"], line["request_body_encoding"] = _body(sent, signs_in)
        if response is None:
            line |= {"status": 0, "response_headers": {}, "response_body": "", "response_body_encoding": "utf-8"}
        else:
            body = getattr(response, "body", None)
            line |= {"status": response.status, "response_headers": _headers(response.headers)}
            raw = bytes(body) if isinstance(body, bytes | bytearray) else None
            shown, encoding = _body(raw or b"", signs_in)
            line |= {"response_body": shown, "response_body_encoding": encoding}
            if body is not None and raw is None:
                line["response_body_truncated"] = True
        made = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(made)
        self._waiting += len(made)
        if self._waiting > _FULL:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines, self._waiting = self._lines, [], 0
            self._file.writelines(lines)
            self._file.flush()

    def close(self) -> None:
        """Write what waits and close the file; harmless twice."""
        if not self._file.closed:
            self.flush()
            self._file.close()


def _headers(headers: Mapping[str, str] | CIMultiDictProxy[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in headers.items():
        name = str(key)  # aiohttp's own names are a kind of str that JSON does not take
        shown = "redacted" if name.lower() in _STRUCK else value.encode("utf-8", "replace").decode()
        found[name] = f"{found[name]}, {shown}" if name in found else shown
    return found


def _body(body: bytes, signs_in: bool) -> tuple[str, str]:
    try:
        shown = body.decode("utf-8")
        return _SECRETS.sub(r"\1redacted", shown) if signs_in else shown, "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"


def watch_exchange(seen: Seen, journal: Journal | None, latency: float) -> Any:
    """The middleware of the Exchange face: counts, writes down, and lets each answer take ``latency`` seconds longer."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OWN):
            return await handler(request)
        began, sent, response = time.time(), await request.read(), None
        try:
            if latency:
                await asyncio.sleep(latency)
            response = await handler(request)
        except web.HTTPException as error:
            response = error
            raise
        finally:
            told = None if isinstance(response, Cut) else response
            seen.exchange(asked_of(sent), 0 if told is None else told.status)
            if journal is not None:
                journal.note(request, sent, told, began)
        return response

    return watch


def watch_tenant(seen: Seen, journal: Journal | None) -> Any:
    """The middleware of the tenant's face: counts and writes down."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, response = time.time(), None
        sent = await request.read() if journal is not None or request.path.endswith("/$batch") else b""
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = error
            raise
        finally:
            told = None if isinstance(response, Cut) else response
            seen.tenant(request.method, request.path, sent, 0 if told is None else told.status)
            if journal is not None:
                journal.note(request, sent, told, began)
        return response

    return watch
