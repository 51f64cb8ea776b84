"""A server that answers as scripted, to see how the Exchange connector takes what a real one says on a bad day."""

from __future__ import annotations

import base64
import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.source import ExchangeSource
from connectors.spool import Spool

S = "http://schemas.xmlsoap.org/soap/envelope/"
M = "http://schemas.microsoft.com/exchange/services/2006/messages"
T = "http://schemas.microsoft.com/exchange/services/2006/types"
E = "http://schemas.microsoft.com/exchange/services/2006/errors"
ANNA = "anna@lab.test"


def envelope(body: str) -> bytes:
    spaces = f'xmlns:s="{S}" xmlns:m="{M}" xmlns:t="{T}"'
    return f'<?xml version="1.0"?><s:Envelope {spaces}><s:Body>{body}</s:Body></s:Envelope>'.encode()


def message(kind: str, inner: str = "", code: str = "NoError", **values: object) -> str:
    told = "".join(f'<t:Value Name="{name}">{value}</t:Value>' for name, value in values.items())
    xml = f"<m:MessageXml>{told}</m:MessageXml>" if values else ""
    head = f'<m:{kind}ResponseMessage ResponseClass="{"Success" if code == "NoError" else "Error"}">'
    return f"{head}<m:ResponseCode>{code}</m:ResponseCode>{xml}{inner}</m:{kind}ResponseMessage>"


def answers(kind: str, *messages: str) -> bytes:
    return envelope(f"<m:{kind}Response><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages></m:{kind}Response>")


def fault(code: str, **values: object) -> Answer:
    told = "".join(f'<t:Value Name="{name}">{value}</t:Value>' for name, value in values.items())
    xml = f"<t:MessageXml>{told}</t:MessageXml>" if values else ""
    detail = f'<detail><e:ResponseCode xmlns:e="{E}">{code}</e:ResponseCode>{xml}</detail>'
    return Answer(envelope(f"<s:Fault><faultcode>a:{code}</faultcode>{detail}</s:Fault>"), 500)


def stream(content: bytes = b"content") -> str:
    def record(opcode: int, inside: bytes) -> bytes:
        return struct.pack("<II", opcode, len(inside)) + inside

    return base64.b64encode(record(1, bytes(8)) + record(3, bytes(24)) + record(4, bytes(6)) + record(2, content)).decode()


def exported(own: str) -> str:
    return message("ExportItems", f'<m:ItemId Id="{own}"/><m:Data>{stream(own.encode())}</m:Data>')


def page(changes: str = "", state: str = "s2", last: bool = True) -> bytes:
    whole = f"<m:SyncState>{state}</m:SyncState><m:IncludesLastItemInRange>{str(last).lower()}</m:IncludesLastItemInRange>"
    return answers("SyncFolderItems", message("SyncFolderItems", f"{whole}<m:Changes>{changes}</m:Changes>"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. ``cut`` is the share of the body that is sent before the connection is closed, or ``held`` is set."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: float = 1.0
    held: threading.Event | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    headers: dict[str, str]
    body: str

    @property
    def ids(self) -> list[str]:
        return re.findall(r'<t:ItemId Id="([^"]*)"', self.body)

    @property
    def kind(self) -> str:
        found = re.search(r"<s:Body><m:(\w+)", self.body)
        assert found is not None
        return found[1]


Script = Callable[[Request], Answer | bytes]


class Scripted:
    """The running server: its address, and every request that it got."""

    def __init__(self, script: Script) -> None:
        self.script, self.requests, self.lock = script, list[Request](), threading.Lock()
        self.url = ""

    @property
    def asked(self) -> list[list[str]]:
        """The item ids of each request."""
        return [one.ids for one in self.requests]


class Time:
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@contextmanager
def scripted(script: Script | list[Answer | bytes]) -> Iterator[Scripted]:
    """A server with a script: a function, or answers in their order, the last one for ever."""
    if isinstance(script, list):
        left = iter(script)
        last = script[-1]
        served = Scripted(lambda _: next(left, last))
    else:
        served = Scripted(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            request = Request(dict(self.headers), body.decode())
            with served.lock:
                served.requests.append(request)
            answer = served.script(request)
            answer = Answer(answer) if isinstance(answer, bytes) else answer
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: int(len(answer.body) * answer.cut)])
            self.close_connection = answer.cut < 1.0
            if answer.held is not None:
                answer.held.wait(10)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}/EWS/Exchange.asmx"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def source_of(
    url: str, time: Time | None = None, stop: threading.Event | None = None, spool: Spool | None = None, **more: Any
) -> Iterator[ExchangeSource]:
    """A mailbox behind that address, signed in by Basic; waits cost nothing."""
    time = time or Time()
    settings: dict[str, Any] = {"username": "svc", "password": "pass word", "auth": "basic", "timeout": 5.0, **more}
    server = ExchangeServer(Exchange(url=url, **settings), stop=stop, clock=time.clock, sleep=time.sleep, random=lambda: 0.5)
    source = ExchangeSource(server, ANNA, spool=spool)
    try:
        yield source
    finally:
        source.close()
        server.close()
