"""The way to an Exchange server: exchangelib's configuration, sign-in and sessions, our own requests and strict answers.

exchangelib's pool, retries and sleeps are not used: a pool shared by all mailboxes can lock itself up, and a body that was cut
short is accepted there. Here every thread of a mailbox has a session of its own, an answer is complete or it is none, and only
the pacer waits.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lxml import etree

from connectors.errors import Halt, Unavailable
from connectors.ews import classify
from connectors.ews.endpoint import Exchange
from connectors.pacer import Cost, Pacer, Slots

if TYPE_CHECKING:
    import requests

M = "{http://schemas.microsoft.com/exchange/services/2006/messages}"
T = "{http://schemas.microsoft.com/exchange/services/2006/types}"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"

TRUNCATED = b"=== Truncated Data ==="
"""What the server writes into an answer that it could not finish [MS docs: exporting items by using EWS in Exchange]."""

_CHUNK = 65536
_CONNECT_SECONDS = 30.0
_REFUSALS_IN_A_ROW = 3
_ILLEGAL = re.compile(rb"&#(?:x(?:0?[0-8bBcCeEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF])|(?:[0-8]|1[124-9]|2[0-9]|3[01]));")

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
    """One source server, shared by all its mailboxes: the sign-in and the number of calls at once. Thread-safe."""

    def __init__(self, settings: Exchange, *, stop: threading.Event | None = None) -> None:
        self.settings = settings
        self.stop = stop
        self.slots = Slots(settings.connections_per_server, "server connections")
        self._protocol: Any = None
        self._lock = threading.Lock()

    def open_session(self) -> requests.Session:
        """A new signed-in session with one connection of its own; NTLM signs in a connection, not a request."""
        with self._lock:
            if self._protocol is None:
                self._protocol = _protocol(self.settings)
            session: requests.Session = self._protocol.create_session()
        # The environment must not replace the authority that the operator named.
        session.trust_env = False
        session.verify = self.settings.ca_file or True
        return session

    def close(self) -> None:
        """Nothing is shared that would have to be closed; sessions belong to the mailboxes."""


def _protocol(settings: Exchange) -> Any:
    import sys

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


class MailboxClient:
    """Calls as one mailbox. ``last_version`` is the ServerVersionInfo of the newest answer, ``last_headers`` its HTTP headers."""

    def __init__(self, server: ExchangeServer, mailbox: str, stop: threading.Event | None = None) -> None:
        self.server = server
        self.mailbox = mailbox
        self.counts: Counter[str] = Counter()
        self.last_version: dict[str, str] = {}
        self.last_headers: dict[str, str] = {}
        settings = server.settings
        self._identity = _IDENTITY.format(address=escape(mailbox)) if settings.access == "impersonation" else ""
        self.pacer = Pacer(
            requests=None,
            upload=None,
            slots=Slots(settings.connections_per_mailbox, "mailbox connections"),
            stop=stop or server.stop,
        )
        self._own = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()
        self._signed_in = False
        self._refusals = 0

    def call(self, kind: str, body: str) -> bytes:
        """Post one SOAP body and return the whole answer; reads only, so it is repeated as the pacer sees fit.

        Raises what ``classify`` makes of HTTP's and SOAP's answers. Faults are raised here, item errors are the caller's.
        """
        return self.pacer.call(lambda: self.post_once(kind, body), cost=Cost())

    def tree(self, kind: str, body: str) -> Any:
        """Post one SOAP body and return the answer's root element, proven to be a complete document."""
        return self.pacer.call(lambda: self.tree_once(kind, body), cost=Cost())

    def tree_once(self, kind: str, body: str) -> Any:
        """As ``tree``, for a caller that runs its own checks inside the pacer."""
        return parse(self.post_once(kind, body))

    def post_once(self, kind: str, body: str) -> bytes:
        """One post, not repeated; for a caller that runs its own checks inside the pacer."""
        import requests

        settings = self.server.settings
        text = _ENVELOPE.format(version=settings.request_version, identity=self._identity, body=body).encode()
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "Accept-Encoding": "identity",
            "X-AnchorMailbox": self.mailbox,
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
        }
        self.counts[f"requests.{kind}"] += 1
        self.counts["bytes.sent"] += len(text)
        self.server.slots.acquire()
        try:
            session = self._session()
            response = session.post(
                settings.url,
                data=text,
                headers=headers,
                stream=True,
                timeout=(_CONNECT_SECONDS, settings.timeout),
                allow_redirects=False,
            )
            with response:
                answer = b"".join(response.iter_content(_CHUNK))
                status, told = response.status_code, dict(response.headers)
        except requests.exceptions.SSLError as error:
            raise Halt(
                "The source's certificate is not trusted.",
                code="tls",
                side="source",
                mend="Name its authority in source.ca_file, or correct the name in source.url.",
            ) from error
        except (requests.RequestException, OSError) as error:
            self._drop_session()
            raise Unavailable("The source did not answer completely.", code=type(error).__name__) from error
        finally:
            self.server.slots.release()
        self.counts["bytes.received"] += len(answer)
        self.last_headers = told
        return self._checked(status, told, answer)

    def _checked(self, status: int, headers: Mapping[str, str], answer: bytes) -> bytes:
        if status == 401:
            self._drop_session()
            self._refusals += 1
            if self._signed_in and self._refusals < _REFUSALS_IN_A_ROW:
                # Seen under load; signing in once more is harmless, going on for ever would lock the account.
                raise Unavailable("The source refused a sign-in that it had accepted before.", code="http 401")
            classify.raise_for_http(status, headers)
        self._signed_in, self._refusals = True, 0
        if status == 500 and b"Fault" in answer:
            raise_fault(parse(answer))
        if status != 200:
            classify.raise_for_http(status, headers)
        if TRUNCATED in answer:
            raise Unavailable("The source could not finish its answer.", code="truncated")
        if not answer.rstrip().endswith(b"Envelope>"):
            raise Unavailable("The source's answer was cut short.", code="cut short")
        return answer

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
            session.close()

    def figures(self) -> dict[str, float]:
        """Requests by operation, bytes, and seconds waited by budget."""
        told: dict[str, float] = dict(self.counts)
        for budget, seconds in self.pacer.waited.items():
            told[f"waited.{budget}"] = seconds
        return told

    def close(self) -> None:
        """Close every session of this mailbox."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()


def parse(answer: bytes) -> Any:
    """The root element of a complete document; Unavailable if it is none.

    Exchange writes characters that XML forbids; references to such are left out at a second attempt, which is strict again.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True)
    try:
        root = etree.fromstring(answer, parser)
    except etree.XMLSyntaxError:
        try:
            root = etree.fromstring(_ILLEGAL.sub(b"", answer), parser)
        except etree.XMLSyntaxError as error:
            raise Unavailable("The source's answer is no complete document.", code="malformed") from error
    if root.find(f"{SOAP}Body/{SOAP}Fault") is not None:
        raise_fault(root)
    return root


def raise_fault(root: Any) -> None:
    """Raise what a SOAP fault means."""
    fault = root.find(f"{SOAP}Body/{SOAP}Fault")
    code, values = "", dict[str, str]()
    for element in fault.iter():
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        if name == "ResponseCode":
            code = element.text or ""
        elif name == "Value":
            values[element.get("Name", "")] = element.text or ""
    if not code:
        code = (fault.findtext("faultcode") or "").rpartition(":")[2]
    classify.raise_for(code, text="", values=values, status=500)


def messages(root: Any, kind: str) -> list[Any]:
    """The response messages of an answer, in the order of the questions."""
    found = root.find(f"{SOAP}Body/{M}{kind}Response/{M}ResponseMessages")
    if found is None:
        raise Unavailable("The source's answer has no answer in it.", code="empty")
    return list(found)


def code_of(message: Any) -> tuple[str, dict[str, str]]:
    """A response message's code and the values that came with it; ``NoError`` is success."""
    code = message.findtext(f"{M}ResponseCode") or ""
    xml = message.find(f"{M}MessageXml")
    values = {} if xml is None else {one.get("Name", ""): one.text or "" for one in xml.iter(f"{T}Value")}
    return code, values
