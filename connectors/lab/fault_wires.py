"""How faults are done to the two wires: connections that break, answers that are cut, changed or replaced."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import orjson
from aiohttp import web

from .exchange import fault_body
from .exchange_call import Fault, message
from .faults import Face, FaultPlan, Faults, Strike
from .journal import OWN, Cut, Handler, asked_of, graph_kind
from .tenant import TENANT, Tenant
from .tenant_call import GraphError

_MARKER = b"=== Truncated Data ==="
_SHARE = 0.6
"""How much of a cut answer comes."""


def _reset(request: web.Request, strike: Strike) -> web.Response:
    """End the connection at once and hard, as a dying server does."""
    strike.done()
    transport = request.transport
    if transport is not None:
        own = transport.get_extra_info("socket")
        if own is not None:
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0))
        transport.abort()
    return Cut()


async def _cut(request: web.Request, response: web.StreamResponse, strike: Strike) -> web.StreamResponse | None:
    """Send the head and a part of the body, then end the connection; None if there is too little of it."""
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or len(body) < 2 or request.transport is None:
        return None
    strike.done()
    begun = web.StreamResponse(status=response.status, headers=response.headers)
    begun.content_length = len(body)
    await begun.prepare(request)
    await begun.write(body[: max(1, int(len(body) * _SHARE))])
    request.transport.close()
    return Cut()


def _copy(response: web.StreamResponse, body: bytes, status: int = 200) -> web.Response:
    kept = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
    return web.Response(status=status, body=body, headers=kept)


# -- Exchange


def trouble_exchange(faults: Faults) -> Any:
    """The middleware of the Exchange face. Sign-ins are left alone: they are no requests yet."""
    shut_out: WeakSet[Any] = WeakSet()

    @web.middleware
    async def trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OWN) or request.method != "POST":
            return await handler(request)
        if request.transport in shut_out:
            return _offer()
        sent = await request.read()
        response = await handler(request)
        operation = asked_of(sent)
        if response.status == 401 or not operation:
            return response
        told = f"{operation} after state" if b"SyncState>" in sent and operation == "SyncFolderItems" else operation
        strikes = faults.meet(Face.EWS, told)
        try:
            for strike in strikes:
                done = await _done_to_exchange(strike, faults.plan, request, response, operation)
                if done is not None:
                    strike.done()
                    if strike.kind.name == "ews-401":
                        shut_out.add(request.transport)
                    return done
            return response
        finally:
            for strike in strikes:
                strike.leave()

    return trouble


def _offer() -> web.Response:
    response = web.Response(status=401)
    response.headers.add("WWW-Authenticate", "NTLM")
    response.headers.add("WWW-Authenticate", 'Basic realm="exchange.lab"')
    return response


async def _done_to_exchange(
    strike: Strike, plan: FaultPlan, request: web.Request, response: web.StreamResponse, operation: str
) -> web.StreamResponse | None:
    name = strike.kind.name
    match name:
        case "ews-reset":
            return _reset(request, strike)
        case "ews-cut":
            return await _cut(request, response, strike)
        case "ews-503":
            return web.Response(status=503, text="<html><body>Service Unavailable</body></html>", content_type="text/html")
        case "ews-slow":
            await asyncio.sleep(plan.slow)
            return response
        case "ews-401":
            return _offer()
        case "ews-busy":
            wait = Fault("ErrorServerBusy", "The server cannot service this request right now.", BackOffMilliseconds=_ms(plan))
            return _copy(response, fault_body(wait), 500)
        case "ews-moving":
            return _copy(response, fault_body(Fault("ErrorMailboxMoveInProgress", "The mailbox is being moved.")), 500)
        case "ews-mailbox-vanishes":
            gone = Fault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
            return _copy(response, fault_body(gone), 500)
    body = getattr(response, "body", None)
    if response.status != 200 or not isinstance(body, bytes):
        return None
    changed = _CHANGES[name](body, operation, strike.number, plan)
    return None if changed is None else _copy(response, changed)


def _ms(plan: FaultPlan) -> int:
    return int(plan.wait * 1000)


def _messages(body: bytes, operation: str) -> list[tuple[int, int]]:
    """Where each response message begins and ends."""
    opening, closing = f"<m:{operation}ResponseMessage".encode(), f"</m:{operation}ResponseMessage>".encode()
    found, at = [], body.find(opening)
    while at >= 0:
        end = body.index(closing, at) + len(closing)
        found.append((at, end))
        at = body.find(opening, end)
    return found


def _one_of(body: bytes, operation: str, number: int, least: int = 2) -> tuple[int, int] | None:
    found = _messages(body, operation)
    return found[number % len(found)] if len(found) >= least else None


def _truncated_xml(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    return body[: int(len(body) * _SHARE)]


def _truncated_sync(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    begin, end = body.find(b"<m:Changes>"), body.find(b"</m:Changes>")
    return None if begin < 0 or end - begin < 50 else body[: begin + int((end - begin) * _SHARE)]


def _truncated_data(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    place = _one_of(body, operation, number, least=1)
    if place is None:
        return None
    begin, end = body.find(b"<m:Data>", *place) + 8, body.find(b"</m:Data>", *place)
    return None if end < 0 else body[: begin + int((end - begin) * _SHARE)] + _MARKER + body[end:]


def _truncated_end(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    return body[: int(len(body) * _SHARE)] + _MARKER


def _missing(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    place = _one_of(body, operation, number)
    return None if place is None else body[: place[0]] + body[place[1] :]


def _too_many(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    place = _one_of(body, operation, number, least=1)
    return None if place is None else body[: place[1]] + body[place[0] :]


def _illegal(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    for tag in (b"<t:Subject>", b"<t:DisplayName>"):
        if (at := body.find(tag)) >= 0:
            at += len(tag)
            return body[:at] + b"&#x1;\x0b&#xB;" + body[at:]
    at = body.find(b"<m:ResponseCode>")
    return None if at < 0 else body[:at] + b"<m:MessageText>&#x1;\x0b</m:MessageText>" + body[at:]


def _stale(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    place = _one_of(body, operation, number, least=1)
    if place is None:
        return None
    inner = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
    told = message(
        operation, inner, "ErrorInvalidSyncStateData", "The synchronization state data is corrupt or otherwise invalid."
    )
    return body[: place[0]] + told.encode() + body[place[1] :]


def _busy_item(body: bytes, operation: str, number: int, plan: FaultPlan) -> bytes | None:
    place = _one_of(body, operation, number)
    if place is None:
        return None
    values = f'<m:MessageXml><t:Value Name="BackOffMilliseconds">{_ms(plan)}</t:Value></m:MessageXml>'
    told = message(operation, values + ("<m:Items/>" if operation == "GetItem" else ""), "ErrorServerBusy", "Try again later.")
    return body[: place[0]] + told.encode() + body[place[1] :]


_CHANGES: dict[str, Callable[[bytes, str, int, FaultPlan], bytes | None]] = {
    "ews-truncated-xml": _truncated_xml,
    "ews-truncated-sync": _truncated_sync,
    "ews-truncated-data": _truncated_data,
    "ews-truncated-end": _truncated_end,
    "ews-answer-missing": _missing,
    "ews-answer-too-many": _too_many,
    "ews-illegal-characters": _illegal,
    "ews-stale-sync-state": _stale,
    "ews-busy-item": _busy_item,
}


# -- the tenant


def trouble_tenant(faults: Faults) -> Any:
    """The middleware of the tenant's face. Sign-ins are left alone."""

    @web.middleware
    async def trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path.endswith(("/oauth2/v2.0/token", "/openid-configuration")):
            return await handler(request)
        strikes = faults.meet(Face.GRAPH, graph_kind(request.method, path))
        try:
            return await _met(strikes, faults.plan, request, handler)
        finally:
            for strike in strikes:
                strike.leave()

    return trouble


async def _met(strikes: list[Strike], plan: FaultPlan, request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer to a request that may be struck by the first of these that can be done to it."""
    tenant, response = request.app[TENANT], None
    if strikes:
        await request.read()
    for strike in strikes:
        if response is None and not strike.kind.acts:
            strike.done()
            return _instead(strike, plan, request, tenant)
        if strike.kind.acts:
            response = await handler(request) if response is None else response
            done = await _afterwards(strike, plan, request, response, tenant)
            if done is not None:
                strike.done()
                return done
    return await handler(request) if response is None else response


def _bare(status: int) -> web.Response:
    return web.Response(status=status, text=f"<html><body><h1>{status}</h1></body></html>", content_type="text/html")


def _told(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    answer = GraphError(status, code, text).answer()
    return web.Response(status=status, body=answer.written(), content_type="application/json", headers=headers or {})


def _instead(strike: Strike, plan: FaultPlan, request: web.Request, tenant: Tenant) -> web.Response:
    """What comes in place of an answer; nothing was done."""
    match strike.kind.name:
        case "graph-reset-before":
            return _reset(request, strike)
        case "graph-429-whole":
            return _told(429, "ApplicationThrottled", "Too many requests.", {"Retry-After": str(math.ceil(plan.wait))})
        case "graph-429-fraction":
            return _told(429, "ApplicationThrottled", "Too many requests.", {"Retry-After": f"{plan.wait + 0.05:.3f}"})
        case "graph-429-absent":
            return _told(429, "ApplicationThrottled", "Too many requests.")
        case "graph-503-later":
            return _told(503, "serviceNotAvailable", "Come back.", {"Retry-After": str(math.ceil(plan.wait))})
        case "graph-503":
            return _bare(503)
        case "graph-401":
            tenant.login.end(request.headers.get("Authorization", "").removeprefix("Bearer "))
            challenge = {"WWW-Authenticate": 'Bearer realm="", authorization_uri="", error="invalid_token"'}
            return _told(401, "InvalidAuthenticationToken", "Access token has expired.", challenge)
        case "graph-import-401" | "graph-import-404" | "graph-import-410" as name:
            tenant.sessions.pop(request.query.get("authtoken", ""), None)
            return (
                _told(401, "InvalidAuthenticationToken", "The session has expired.") if "401" in name else _bare(int(name[-3:]))
            )
        case "graph-upload-gone" | "graph-upload-401" as name:
            for token in [token for token in tenant.uploads if f"('{token}')" in request.path]:
                del tenant.uploads[token]
            if "401" in name:
                return _told(401, "InvalidAuthenticationToken", "The session has expired.")
            return _told(404, "ErrorItemNotFound", "The upload session was not found.")
        case "graph-quota":
            return _told(507, "ErrorQuotaExceeded", "The mailbox is full.")
        case "graph-mailbox-vanishes":
            return _told(
                404, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            )
    raise LookupError(strike.kind.name)


async def _afterwards(
    strike: Strike, plan: FaultPlan, request: web.Request, response: web.StreamResponse, tenant: Tenant
) -> web.StreamResponse | None:
    """What becomes of an answer after the server acted; None if this one can't be changed so."""
    match strike.kind.name:
        case "graph-slow":
            await asyncio.sleep(plan.slow)
            return response
        case _ if not 200 <= response.status < 300:
            return None
        case "graph-reset-after" | "graph-upload-cut":
            return _reset(request, strike)
        case "graph-cut":
            return await _cut(request, response, strike)
        case "graph-500":
            return _bare(500)
        case "graph-502":
            return _bare(502)
        case "graph-504":
            return _told(504, "GatewayTimeout", "The server did not answer in time.")
        case "graph-token-in-upload":
            tenant.login.end()
            return response
        case name:
            return _part_changed(name, strike.number, response)


def _part_changed(name: str, number: int, response: web.StreamResponse) -> web.Response | None:
    body = getattr(response, "body", None)
    if not isinstance(body, bytes):
        return None
    told = orjson.loads(body)
    answers = told.get("responses") or []
    if not answers:
        return None
    place = number % len(answers)
    if name == "graph-batch-missing":
        del answers[place]
    else:
        late = {"error": {"code": "GatewayTimeout", "message": "The server did not answer in time."}}
        answers[place] = {
            "id": answers[place]["id"],
            "status": 504,
            "headers": {"Content-Type": "application/json"},
            "body": late,
        }
    return _copy(response, orjson.dumps(told))
