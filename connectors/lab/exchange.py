"""The simulated Exchange server: EWS over HTTP, as a view over the lab's truth.

One address, ``POST /EWS/Exchange.asmx``. A request is signed in, parsed, bound to the mailbox it impersonates, and answered
by its operation under that mailbox's lock. What fails as a whole is a SOAP fault with status 500 [MS docs: EWS errors].
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from lxml import etree

from .exchange_call import (
    ERRORS,
    MESSAGES,
    SOAP,
    TYPES,
    VERSIONS,
    Cache,
    Call,
    ExchangeOptions,
    Fault,
    M,
    Refused,
    T,
    busy_for,
    invalid,
    text,
)
from .exchange_ops import OPERATIONS
from .signin import Doors
from .truth import Estate, Mailbox

__all__ = ["ExchangeOptions", "busy_for", "exchange_app", "fault_body"]

_S = f"{{{SOAP}}}"
_PATH = "/EWS/Exchange.asmx"
_LARGEST = 128 * 1024 * 1024
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{soap}"><s:Header><h:ServerVersionInfo {version} '
    'xmlns:h="{types}"/></s:Header><s:Body xmlns:m="{messages}" xmlns:t="{types}">'
)
_END = b"</s:Body></s:Envelope>"
_SCHEMAS = {
    (14, 0): "Exchange2010",
    (14, 1): "Exchange2010_SP1",
    (14, 2): "Exchange2010_SP2",
    (14, 3): "Exchange2010_SP2",
    (15, 0): "V2_23",
}
_NEWEST = {14: "Exchange2010_SP2"}


def exchange_app(estate: Estate, options: ExchangeOptions) -> web.Application:
    """The server as an application; the caller may append middlewares before it starts.

    ValueError if a password can't be used with the schemes that are offered.
    """
    app = web.Application(client_max_size=_LARGEST)
    doors = Doors(options.users, options.auth, options.channel_binding)
    face = _Face(estate, options, doors)
    app.router.add_post(_PATH, face.answer)
    app.router.add_get(_PATH, face.page)

    async def close(_: web.Application) -> None:
        doors.close()

    app.on_cleanup.append(close)
    return app


class _Face:
    """What one server remembers: who is signed in, rendered items, and how far each history was read."""

    def __init__(self, estate: Estate, options: ExchangeOptions, doors: Doors) -> None:
        self.estate, self.options, self.doors = estate, options, doors
        self.cache, self.feeds = Cache(), dict[str, Any]()

    async def page(self, request: web.Request) -> web.Response:
        """The page that a browser would see."""
        judged = self.doors.judge(request)
        return judged if isinstance(judged, web.Response) else web.Response(text="Service", headers=self._headers(request))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to one request."""
        # The body is read before the 401, so that the connection, to which NTLM is bound, can go on.
        sent = await request.read()
        judged = self.doors.judge(request)
        if isinstance(judged, web.Response):
            return judged
        if request.content_type != "text/xml":
            return web.Response(status=415, headers=self._headers(request))
        try:
            wait = self.options.busy() if self.options.busy is not None else None
            if wait is not None:
                raise Fault(
                    "ErrorServerBusy",
                    "The server cannot service this request right now. Try again later.",
                    BackOffMilliseconds=wait,
                )
            status, body = (
                200,
                self._envelope() + self._operate(judged, sent, request.headers.get("X-PublicFolderMailbox", "")) + _END,
            )
        except Fault as fault:
            status, body = 500, fault_body(fault)
        headers = self._headers(request)
        return web.Response(status=status, body=body, headers={**headers, "Content-Type": "text/xml; charset=utf-8"})

    def _operate(self, user: str, sent: bytes, public_mailbox: str) -> bytes:
        try:
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True)
            root = etree.fromstring(sent, parser)
        except (etree.XMLSyntaxError, ValueError):
            raise invalid("The request is not well-formed XML.") from None
        bodies = root.findall(_S + "Body") if root.tag == _S + "Envelope" else []
        asked = list(bodies[0].iterchildren("*")) if len(bodies) == 1 else []
        if len(asked) != 1:
            raise Fault("ErrorInvalidRequest", "The request is invalid: one SOAP envelope with one operation was expected.")
        header = root.find(_S + "Header")
        version, sid = self._header(header if header is not None else etree.Element("none"))
        if not asked[0].tag.startswith(M):
            raise invalid("The operation is not in the messages namespace.", asked[0])
        operation = OPERATIONS.get(asked[0].tag.removeprefix(M))
        if operation is None:
            raise Fault("ErrorInvalidOperation", "The requested operation is invalid.")
        mailbox = self._mailbox(user, sid)
        call = Call(self.estate, self.options, user, mailbox, version, self.cache, self.feeds, public_mailbox)
        try:
            if mailbox is None:
                return operation(call, asked[0])
            with mailbox.lock:
                return operation(call, asked[0])
        except Refused as refused:
            raise Fault(refused.code, refused.text) from None

    def _header(self, header: Any) -> tuple[str, Any]:
        asked = header.find(T + "RequestServerVersion")
        version = "Exchange2007" if asked is None else asked.get("Version", "")
        if version not in VERSIONS:
            raise Fault("ErrorInvalidServerVersion", "The specified server version is invalid.")
        newest = _NEWEST.get(int(self.options.build.split(".")[0]))
        if newest is not None and VERSIONS.index(version) > VERSIONS.index(newest):
            raise Fault("ErrorIncorrectSchemaVersion", "The server does not support the requested schema version.")
        impersonation = header.find(T + "ExchangeImpersonation")
        if impersonation is None:
            return version, None
        sid = impersonation.find(T + "ConnectingSID")
        ways = [] if sid is None else list(sid.iterchildren("*"))
        if len(ways) != 1:
            raise invalid("The element 'ConnectingSID' has incomplete content.", impersonation)
        return version, ways[0]

    def _mailbox(self, user: str, sid: Any) -> Mailbox | None:
        if sid is None:
            own = user.rpartition("\\")[2].casefold()
            return self.estate.get(own) or next(
                (one for one in self.estate.mailboxes.values() if one.address.casefold().partition("@")[0] == own), None
            )
        if sid.tag not in (T + "PrincipalName", T + "PrimarySmtpAddress", T + "SmtpAddress"):
            raise Fault("ErrorInvalidUserSid", "The user's SID is invalid.")
        address = (sid.text or "").strip()
        if user.casefold() not in {name.casefold() for name in self.options.impersonators}:
            raise Fault("ErrorImpersonateUserDenied", "The account does not have permission to impersonate the requested user.")
        mailbox = self.estate.get(address)
        if mailbox is None:
            raise Fault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
        scope = self.options.impersonation_scope
        if scope is not None and address.casefold() not in {one.casefold() for one in scope}:
            raise Fault("ErrorImpersonateUserDenied", "The account does not have permission to impersonate the requested user.")
        return mailbox

    def _envelope(self) -> bytes:
        numbers = (self.options.build + ".0.0.0").split(".")
        schema = _SCHEMAS.get((int(numbers[0]), int(numbers[1])), "V2017_07_11")
        version = (
            f'MajorVersion="{numbers[0]}" MinorVersion="{numbers[1]}" MajorBuildNumber="{numbers[2]}" '
            f'MinorBuildNumber="{numbers[3]}" Version="{schema}"'
        )
        return _ENVELOPE.format(soap=SOAP, types=TYPES, messages=MESSAGES, version=version).encode()

    def _headers(self, request: web.Request) -> Mapping[str, str]:
        found = {
            "request-id": str(uuid.uuid4()),
            "X-FEServer": "LAB-FE01",
            "X-TargetBEServer": "lab-be01.lab.test",
            "X-DiagInfo": "LAB-BE01",
            "Cache-Control": "private",
        }
        if self.options.owa_version:
            found["X-OWA-Version"] = self.options.build
        asked = request.headers.get("client-request-id")
        if asked and request.headers.get("return-client-request-id", "").lower() == "true":
            found["client-request-id"] = asked
        return found


def fault_body(fault: Fault) -> bytes:
    """The SOAP envelope that says that a whole request failed."""
    values = "".join(f'<t:Value Name="{name}">{text(str(value))}</t:Value>' for name, value in fault.values.items())
    more = f'<t:MessageXml xmlns:t="{TYPES}">{values}</t:MessageXml>' if values else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP}"><s:Body><s:Fault>'
        f'<faultcode xmlns:a="{TYPES}">a:{fault.code}</faultcode><faultstring xml:lang="en-US">{text(fault.text)}</faultstring>'
        f'<detail><e:ResponseCode xmlns:e="{ERRORS}">{fault.code}</e:ResponseCode>'
        f'<e:Message xmlns:e="{ERRORS}">{text(fault.text)}</e:Message>{more}</detail></s:Fault></s:Body></s:Envelope>'
    ).encode()
