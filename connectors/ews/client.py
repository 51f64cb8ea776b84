"""The way to an Exchange server: exchangelib's configuration, sign-in and sessions, our own requests and strict answers.

exchangelib's pool, retries and sleeps are not used: a pool shared by all mailboxes can lock itself up, and a body that was cut
short is accepted there. Here every thread of a mailbox has a session of its own, an answer is complete or it is none, and only
the pacer waits.
"""

from __future__ import annotations

import copy
import random as chance
import re
import ssl
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError, ReadTimeoutError

from connectors.adaptive import AdaptiveSlots
from connectors.errors import Halt, Throttled, Unavailable, WireError
from connectors.ews import classify
from connectors.ews.answer import messages, parse, raise_fault, raise_if_truncated
from connectors.ews.endpoint import Exchange
from connectors.link import Link
from connectors.pacer import Budget, Cost, Memory, Pacer
from connectors.spool import PIECE

R = TypeVar("R")

_CONNECT_SECONDS = 30.0
_REFUSALS_IN_A_ROW = 3
_UNKNOWN_SIZE = Cost(upload_bytes=1)
"""A call stands in line for the link; what it took of it is charged when it is over."""
_OLD_RENEGOTIATION = getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
    '<s:Header><t:RequestServerVersion Version="{version}"/>{identity}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
)
_IDENTITY = (
    "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}</t:PrimarySmtpAddress>"
    "</t:ConnectingSID></t:ExchangeImpersonation>"
)


def escape(text: str) -> str:
    """Text for an XML attribute or element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


class ExchangeServer:
    """One source server, shared by all its mailboxes: the sign-in, the TLS setup and the number of calls at once. Thread-safe.

    ``cap`` says how many calls at once are allowed at this hour. ``memory`` keeps the server's hints beyond this process.
    ``link`` is the cap of the line, which other connectors may share. ``sleep`` replaces every wait in tests; it returns when
    the seconds have passed by ``clock``.
    """

    def __init__(
        self,
        settings: Exchange,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = chance.random,
        memory: Memory | None = None,
        cap: Callable[[], int] | None = None,
        link: Link | None = None,
    ) -> None:
        self.settings = settings
        self.stop = stop
        self.clock = clock
        self.sleep = sleep
        self.wall = wall
        self.random = random
        self.memory = memory
        self.link = link
        self.scope = f"ews/{(urlsplit(settings.url).hostname or '').casefold()}"
        """Under this name hints for all mailboxes are remembered."""
        self.slots = AdaptiveSlots(settings.connections_per_server, "server connections", clock=clock, cap=cap)
        self.gate = Budget(classify.WHOLE, float("inf"), 1.0, unit="", scope=self.scope)
        """What the server asks of all mailboxes together."""
        self.signed_in = False
        """Whether the account was let in once; a refusal after that is no proof of a wrong password."""
        self._protocol: Any = None
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def with_access(self, access: str) -> ExchangeServer:
        """The same server, its connections and limits, for mailboxes that are reached in another way; closed with this one."""
        if access == self.settings.access:
            return self
        other = copy.copy(self)
        other.settings = replace(self.settings, access=access)
        return other

    def open_session(self) -> requests.Session:
        """A new signed-in session with one connection of its own; NTLM signs in a connection, not a request."""
        with self._lock:
            if self._protocol is None:
                self._protocol = _protocol(self.settings)
            session: requests.Session = self._protocol.create_session()
        settings = self.settings
        if settings.auth == "basic":
            # requests would take text for Latin-1; servers take UTF-8 [RFC 7617 2.1].
            session.auth = HTTPBasicAuth(settings.username.encode(), settings.password.encode())
        elif settings.auth == "kerberos" and sys.platform != "win32" and settings.url.lower().startswith("https:"):
            from requests_gssapi import HTTPSPNEGOAuth

            # Extended Protection, on by default since 2019 CU14, wants it; exchangelib leaves it out.
            session.auth = HTTPSPNEGOAuth(channel_bindings="tls-server-end-point")
        return self.prepare(session)

    def prepare(self, session: requests.Session) -> requests.Session:
        """Give a session this server's TLS setup; the same session. Raises Halt if the authorities' file can't be read.

        The environment's proxies, authorities and netrc are left out: they must not replace what the operator named.
        """
        session.trust_env = False
        adapter = _Adapter(self._tls())
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.mount(self.settings.url, adapter)
        return session

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=self.settings.ca_file or None)
                except (OSError, ssl.SSLError) as error:
                    raise Halt(
                        "The file of the source's authorities can't be read.",
                        code="tls",
                        side="source",
                        mend="Name a readable PEM file in source.ca_file, or leave it empty.",
                    ) from error
                # Old Windows servers answer without secure renegotiation, which OpenSSL 3 refuses unless told otherwise
                # [github.com/ecederstrand/exchangelib/issues/1330]. We never renegotiate.
                self._context.options |= _OLD_RENEGOTIATION
            return self._context

    def close(self) -> None:
        """Nothing is shared that would have to be closed; sessions belong to the mailboxes."""


class _Adapter(HTTPAdapter):
    """One connection, no retries, and a TLS setup that is loaded once a process instead of once a connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._context}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows the authorities; without this they would be loaded again, from another place."""


def _protocol(settings: Exchange) -> Any:
    from exchangelib import Build, Configuration, Credentials, FailFast, Version
    from exchangelib.protocol import BaseProtocol
    from exchangelib.transport import BASIC, GSSAPI, NTLM, SSPI

    kerberos = SSPI if sys.platform == "win32" else GSSAPI
    scheme = {"ntlm": NTLM, "basic": BASIC, "kerberos": kerberos}[settings.auth]
    credentials = None if settings.auth == "kerberos" else Credentials(settings.username, settings.password)
    return BaseProtocol(
        config=Configuration(
            service_endpoint=settings.url,
            credentials=credentials,
            auth_type=scheme,
            version=Version(Build(14, 2)),  # named, so that nothing is probed
            retry_policy=FailFast(),
            max_connections=settings.connections_per_mailbox,
        )
    )


_HEAD = 4096
_VERSION = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?ServerVersionInfo\s([^>]*)>")
_VERSION_PARTS = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")


def build_in(head: bytes, headers: Mapping[str, str]) -> str:
    """The server's version in the beginning of an answer, or else in its HTTP headers; empty if neither tells. Pure."""
    found = _VERSION.search(head)
    told = dict(re.findall(r"(\w+)=[\"'](\d+)[\"']", found.group(1).decode("ascii", "replace"))) if found else {}
    if all(part in told for part in _VERSION_PARTS):
        return ".".join(told[part] for part in _VERSION_PARTS)
    shown = next((value for name, value in headers.items() if name.casefold() == "x-owa-version"), "")
    return shown if re.fullmatch(r"\d+(\.\d+){3}", shown) else ""


class Diversion(Protocol):
    """Reads an answer piece by piece and leads a part of it elsewhere. ``received`` counts all bytes that came."""

    received: int

    def read(self, pieces: Iterable[bytes]) -> bytes:
        """What is left of the answer."""
        ...


class MailboxClient:
    """Calls as one mailbox. ``last_headers`` are the HTTP headers of the newest answer. Used by any thread of its mailbox."""

    def __init__(self, server: ExchangeServer, mailbox: str, stop: threading.Event | None = None) -> None:
        self.server = server
        self.mailbox = mailbox
        self.last_headers: dict[str, str] = {}
        self.routed: dict[str, str] = {}
        """Headers that lead a request elsewhere than to the mailbox's own server."""
        self.build = ""
        """The server's version, as the first answer that tells one has it."""
        settings = server.settings
        self._identity = _IDENTITY.format(address=escape(mailbox)) if settings.access == "impersonation" else ""
        self.slots = AdaptiveSlots(settings.connections_per_mailbox, "mailbox connections", clock=server.clock)
        self.pacer = Pacer(
            (server.gate,) if server.link is None else (server.gate, server.link),
            slots=(self.slots, server.slots),
            stop=stop or server.stop,
            clock=server.clock,
            wall=server.wall,
            sleep=server.sleep,
            random=server.random,
            memory=server.memory,
            scope=f"{server.scope}/{mailbox.casefold()}",
        )
        self._own = threading.local()
        self._lock = threading.Lock()
        self._sessions: list[requests.Session] = []
        self._counts: Counter[str] = Counter()
        self._refusals = 0

    def ask(self, kind: str, body: str, read: Callable[[list[Any]], R]) -> R:
        """Post one SOAP body and return what ``read`` makes of the response messages; reads only, so it may be repeated.

        ``read`` runs inside the pacer: a busy server or trouble that only one message tells of is waited for as well. Raises
        what ``classify`` makes of HTTP's and SOAP's answers.
        """
        return self.call(lambda: read(messages(self.tree_once(kind, body), kind)))

    def call(self, once: Callable[[], R]) -> R:
        """Have ``once``, which posts one body and reads its answer, paced and repeated by the pacer.

        With impersonation the server counts calls for each mailbox; with full access they all are the account's own, and what it
        asks of one mailbox it asks of all [learn.microsoft.com/exchange/client-developer/exchange-web-services, EWS throttling].
        """

        def heard() -> R:
            began = self.server.clock()
            try:
                return once()
            except Throttled as error:
                if not self._identity:
                    error.budget = classify.WHOLE
                self.slots.pushed_back(began)
                if error.budget == classify.WHOLE:
                    self.server.slots.pushed_back(began)
                raise

        return self.pacer.call(heard, cost=_UNKNOWN_SIZE)

    def tree_once(self, kind: str, body: str) -> Any:
        """Post one SOAP body, once, and return the answer's root element, proven to be a complete document."""
        return parse(self.post_once(kind, body))

    def post_once(self, kind: str, body: str, divert: Diversion | None = None) -> bytes:
        """One post, not repeated; the answer whole, but not parsed. For a caller inside ``call``.

        With ``divert`` a success is read in pieces by that, and what it leaves over is returned.
        """
        text = _ENVELOPE.format(version=self.server.settings.request_version, identity=self._identity, body=body).encode()
        with self._lock:
            self._counts[f"requests.{kind}"] += 1
            self._counts["bytes.sent"] += len(text)
        began = self.server.clock()
        status, told, answer = self._exchange(text, divert)
        size = len(answer) if divert is None else divert.received or len(answer)
        if self.server.link is not None:
            self.server.link.charge(len(text) + size, began)
        with self._lock:
            self._counts["bytes.received"] += size
        self.last_headers = told
        whole = self._checked(status, told, answer)
        if not self.build:
            self.build = build_in(whole[:_HEAD], told)
        like = (kind, size.bit_length() // 2)
        for slots in (self.slots, self.server.slots):
            slots.answered(like, began)
        return whole

    def _exchange(self, text: bytes, divert: Diversion | None) -> tuple[int, dict[str, str], bytes]:
        settings = self.server.settings
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "Accept-Encoding": "identity",
            "X-AnchorMailbox": self.mailbox,
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
            **self.routed,
        }
        try:
            with self._session().post(
                settings.url,
                data=text,
                headers=headers,
                stream=True,
                timeout=(_CONNECT_SECONDS, settings.timeout),
                allow_redirects=False,
            ) as response:
                if divert is not None and response.status_code == 200:
                    packed = "content-encoding" in response.headers
                    left = divert.read(response.raw.stream(PIECE, decode_content=packed))
                    return response.status_code, dict(response.headers), left
                # Read in one piece: that copies a large answer once less than chunks joined later, and costs half the time.
                return response.status_code, dict(response.headers), response.raw.read(decode_content=True)
        except WireError:
            raise
        except (requests.RequestException, HTTPError, OSError) as error:
            self._drop_session()
            if distrusted(error):
                raise Halt(
                    "The source's certificate is not trusted.",
                    code="tls",
                    side="source",
                    mend="Name its authority in source.ca_file, or correct the name in source.url.",
                ) from error
            late = isinstance(error, requests.exceptions.Timeout | ReadTimeoutError)
            raise Unavailable(
                "The source did not answer in time." if late else "The source did not answer completely.",
                code="time-out" if late else type(error).__name__,
            ) from error
        except Exception as error:
            # Tickets and tokens are made by libraries of the system, whose errors have no common base.
            self._drop_session()
            raise Unavailable("The sign-in to the source could not be made.", code=type(error).__name__) from error

    def _checked(self, status: int, headers: Mapping[str, str], answer: bytes) -> bytes:
        if status == 500 and b"Fault" in answer:
            self._let_in()
            raise_fault(parse(answer, fault=True))
        if status != 200:
            self._refused(status, headers)
        self._let_in()
        if not answer[-256:].rstrip().endswith(b"Envelope>"):
            raise_if_truncated(answer)
            raise Unavailable("The source's answer was cut short.", code="cut short")
        return answer

    def _let_in(self) -> None:
        self.server.signed_in, self._refusals = True, 0

    def _refused(self, status: int, headers: Mapping[str, str]) -> NoReturn:
        """Raise what a status means. Refusals after a sign-in that worked are seen under load and while servers are restarted;
        asking again a few times is harmless, going on for ever would lock the account."""
        if status == 401:
            self._drop_session()
        try:
            classify.raise_for_http(status, headers)
        except Halt as halt:
            self._refusals += 1
            if not self.server.signed_in or self._refusals >= _REFUSALS_IN_A_ROW:
                raise
            raise Unavailable(f"The source refused what it had granted before: {halt}", code=halt.code) from halt

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = self.server.open_session()
            with self._lock:
                self._sessions.append(session)
        return session

    def _drop_session(self) -> None:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is not None:
            self._own.session = None
            with self._lock:
                if session in self._sessions:
                    self._sessions.remove(session)
            session.close()

    def figures(self) -> dict[str, float]:
        """Requests by operation, bytes, and seconds waited by budget."""
        with self._lock:
            told: dict[str, float] = dict(self._counts)
        for budget, seconds in self.pacer.waited().items():
            told[f"waited.{budget}"] = seconds
        return told

    def close(self) -> None:
        """Close every session of this mailbox."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()


def distrusted(error: BaseException) -> bool:
    """Whether it was the server's certificate; a TLS connection that merely broke looks alike to requests."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ssl.SSLCertVerificationError):
            return True
        around = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting.extend(each for each in around if isinstance(each, BaseException))
    return False
