"""The simulated tenant: sign-in, Graph v1.0, and the addresses of import and upload sessions, one app for all of them.

The addresses of sessions name another host than Graph's, as the real ones do. Every switch that stands for something which the
documentation leaves open is set to the bad case.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from . import tenant_import as imports
from .limits import AT_ONCE, Limits
from .login import ROLES, Login, LoginError
from .tenant_batch import all_parts, owner_of, path_of, read_parts, size_of, throttled
from .tenant_call import FOUR_MB, Answer, Call, GraphError, read_query
from .tenant_index import Index
from .tenant_parts import put_part
from .tenant_routes import CREATING, ROUTES, Handler
from .tenant_sending import SENDING
from .truth import Estate, Item


@dataclass(slots=True, kw_only=True)
class TenantOptions:
    """What the tenant is like. ``latency`` in seconds, of which each answer takes up to the share ``jitter`` more or less;
    ``speed`` shrinks the windows of the limits.

    Switches: ``size_delta`` is added to every size; ``keep_search_key`` on import; ``rounded_dates`` to seconds; ``created_now``
    makes the moment of arrival the created time, whatever an import says; ``well_known_names`` shows the roles of folders in the
    import and export interface, which its pages name and its metadata does not; ``import_reply_ids`` classic or immutable;
    ``visibility_lag`` seconds until lists and filters show an item; ``import_cap`` bytes of an import request, None for no cap;
    ``import_refuses`` is the error code by item class, in any case, that an import of such an item is answered with;
    ``import_alters`` changes items of a class on their way in, as a target would that reads a stream otherwise;
    ``at_once`` requests are let in, of one mailbox, or with ``at_once_of_app`` of all mailboxes together, on which the documents
    disagree; ``import_once`` knows a stream again that the same folder has, and makes no second item of it; ``import_apart``
    counts requests at once to the import address for themselves; ``out_of_scope`` are addresses that the app may not open;
    ``session_honoured`` is for how many seconds longer than it says a session is accepted, below 0: less long;
    ``need_claims`` refuses every token that was asked for without claims. While ``commit_after_timeout`` is above 0, a request
    that creates or imports an item is answered with 504 and carried out that many seconds later. ``roles`` are the app's
    permissions, in its tokens and for the tenant's own decision.
    """

    tenant_id: str
    clients: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    graph_base: str = ""
    import_base: str = ""
    limits: str = "off"
    speed: float = 1.0
    latency: float = 0.0
    jitter: float = 0.0
    roles: tuple[str, ...] = ROLES
    size_delta: int = 37
    keep_search_key: bool = False
    rounded_dates: bool = True
    created_now: bool = True
    well_known_names: bool = False
    import_reply_ids: str = "classic"
    visibility_lag: float = 0.0
    import_cap: int | None = 150_000_000
    import_refuses: dict[str, str] = field(default_factory=dict)
    import_alters: dict[str, Callable[[Item], None]] = field(default_factory=dict)
    at_once: int = AT_ONCE
    at_once_of_app: bool = False
    import_once: bool = False
    import_apart: bool = False
    out_of_scope: set[str] = field(default_factory=set)
    session_seconds: float = 3600.0
    session_honoured: float = 0.0
    token_seconds: int = 3600
    need_claims: bool = False
    commit_after_timeout: float = 0.0


_IMPORT = re.compile(r"/api/gv1\.0/Mailboxes\('[^']+'\)/importItem$", re.IGNORECASE)
_UPLOAD = re.compile(r"/api/gv1\.0/AttachmentSessions\('([^']+)'\)$", re.IGNORECASE)


class Tenant:
    """The tenant's state: indexes of its mailboxes, sign-ins, sessions and usage."""

    def __init__(self, estate: Estate, options: TenantOptions) -> None:
        self.estate, self.options = estate, options
        self.login = Login(options.tenant_id, options.clients, options.certificates, options.roles)
        self.limits = Limits(on=options.limits == "documented", speed=options.speed)
        self.sessions: dict[str, Any] = {}
        self.uploads: dict[str, Any] = {}
        self._indexes: dict[str, Index] = {}

    def index(self, address: str) -> Index | None:
        """The mailbox of an address, of a user's id, or of an id of the import interface; None if there is none."""
        name = address.lower()
        if name.startswith("mbx:"):
            name = name[4:].partition("@")[0]
        mailbox = self.estate.get(name) or next((one for one in self.estate.mailboxes.values() if one.guid == name), None)
        if mailbox is None:
            return None
        index = self._indexes.get(mailbox.address)
        if index is None or index.mailbox is not mailbox:
            index = self._indexes[mailbox.address] = Index(mailbox, self.options.size_delta)
        index.catch_up()
        return index

    def call(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes, app: str) -> Call:
        """A request as the handlers want it."""
        options = self.options
        call = Call(method, path, read_query(query), headers, body, options.graph_base, app)
        call.import_base, call.session_seconds = options.import_base, options.session_seconds
        call.visible_after, call.tenant_id = options.visibility_lag, options.tenant_id
        call.uploads, call.sessions, call.created_now = self.uploads, self.sessions, options.created_now
        call.well_known_names = options.well_known_names
        return call

    def handler(self, call: Call) -> Handler:
        """The handler of a request; sets the mailbox. Raises GraphError."""
        known = False
        for route in (*ROUTES, *SENDING):
            found = route.path.match(call.path)
            if found is None:
                continue
            known = True
            if route.method == call.method:
                if route.roles and route.roles.isdisjoint(self.options.roles):
                    raise _denied(call)
                call.names = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
                owner = call.names.get("user") or call.names.get("mailbox") or ""
                call.index = self.index(owner)
                if call.index is None:
                    raise GraphError(404, "Request_ResourceNotFound", "The resource does not exist.")
                if call.index.mailbox.address in self.options.out_of_scope:
                    raise GraphError(403, "ErrorAccessDenied", "Access to OData is disabled.")
                return route.handler
        if known:
            raise GraphError(405, "Request_BadRequest", "The method is not allowed.")
        raise GraphError(400, "BadRequest", "Resource not found for the segment.")

    def answer(self, call: Call) -> Answer:
        """Carry out one request that the limits let in."""
        try:
            handler = self.handler(call)
        except GraphError as error:
            return error.answer()
        return self.carry_out(call, handler, creates=handler in CREATING)

    def carry_out(self, call: Call, handler: Handler, *, creates: bool) -> Answer:
        """Let a handler answer, with the mailbox to itself; or answer that nothing is known, and let it act later."""
        if creates and (late := self.options.commit_after_timeout) > 0:
            asyncio.get_running_loop().call_later(late, self._act, call, handler)
            return GraphError(504, "GatewayTimeout", "The server did not answer in time.").answer()
        return self._act(call, handler)

    @staticmethod
    def _act(call: Call, handler: Handler) -> Answer:
        call.box.catch_up()
        try:
            with call.box.mailbox.lock:
                return handler(call)
        except GraphError as error:
            return error.answer()


def _denied(call: Call) -> GraphError:
    if re.match(r"/v1\.0/users/[^/]+$", call.path, re.IGNORECASE):
        return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    return GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def _switch_limits(tenant: Tenant) -> None:
    tenant.limits.most, tenant.limits.of_app = tenant.options.at_once, tenant.options.at_once_of_app


async def _pass_time(options: TenantOptions) -> None:
    if options.latency:
        await asyncio.sleep(options.latency * (1 + options.jitter * (2 * random.random() - 1)))


async def _within_limits(tenant: Tenant, owner: str, call: Call, act: Callable[[], Answer], apart: str = "") -> Answer:
    _switch_limits(tenant)
    if (broken := tenant.limits.arrive(call.app, owner, size_of(call), apart=apart)) is not None:
        return throttled(broken)
    try:
        await _pass_time(tenant.options)
        return act()
    finally:
        tenant.limits.leave(call.app, owner, apart)


async def _batch(tenant: Tenant, call: Call) -> Answer:
    try:
        parts = read_parts(call)
    except GraphError as error:
        return error.answer()
    owners = {owner_of(tenant, path_of(part)) for part in parts}
    _switch_limits(tenant)
    full = {owner: broken for owner in owners if (broken := tenant.limits.hold(call.app, owner)) is not None}
    try:
        await _pass_time(tenant.options)
        return all_parts(tenant, call, parts, full)
    finally:
        for owner in owners - full.keys():
            tenant.limits.leave(call.app, owner)


async def _graph(tenant: Tenant, call: Call) -> Answer:
    token = call.headers.get("authorization", "").removeprefix("Bearer ")
    known = tenant.login.app_of(token)
    if known is None:
        challenge = {"WWW-Authenticate": 'Bearer realm="", authorization_uri="", error="invalid_token"'}
        return GraphError(401, "InvalidAuthenticationToken", "Access token is missing or has expired.", challenge).answer()
    call.app, with_claims = known
    if tenant.options.need_claims and not with_claims:
        challenge = {"WWW-Authenticate": 'Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'}
        return GraphError(
            401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge.", challenge
        ).answer()
    if len(call.body) > FOUR_MB:
        too_large = GraphError(413, "RequestEntityTooLarge", "The maximum request length supported is 4MB.").answer()
        return await _within_limits(tenant, owner_of(tenant, call.path), call, lambda: too_large)
    if call.path.lower() == "/v1.0/$batch":
        return await _batch(tenant, call)
    return await _within_limits(tenant, owner_of(tenant, call.path), call, lambda: tenant.answer(call))


def _without_token(call: Call) -> None:
    """The addresses of sessions carry their own credential; another one there is a leak. Raises GraphError."""
    if call.headers.get("authorization"):
        raise GraphError(401, "InvalidAuthenticationToken", "The address takes no other credential than its own.")


async def _import(tenant: Tenant, call: Call) -> Answer:
    session = tenant.sessions.get(call.query.get("authtoken", ""))
    if session is None or session.until + tenant.options.session_honoured < time.time():
        raise GraphError(401, "InvalidAuthenticationToken", "The session has expired.")
    _without_token(call)
    if call.method != "POST":
        raise GraphError(405, "Request_BadRequest", "The method is not allowed.")
    call.app, call.index = session.app, session.index
    options = tenant.options

    def carry(call: Call) -> Answer:
        if options.import_cap is not None and len(call.body) > options.import_cap:
            raise GraphError(413, "ErrorMessageSizeExceeded", "The item is too large.")
        classic = options.import_reply_ids == "classic"
        return imports.import_item(
            call,
            keep_search_key=options.keep_search_key,
            rounded=options.rounded_dates,
            classic_reply=classic,
            refuses=options.import_refuses,
            alters=options.import_alters,
            once=options.import_once,
        )

    owner, apart = session.index.mailbox.guid, "/import" if options.import_apart else ""
    return await _within_limits(tenant, owner, call, lambda: tenant.carry_out(call, carry, creates=True), apart)


async def _upload(tenant: Tenant, call: Call, token: str) -> Answer:
    upload = tenant.uploads.get(token)
    if upload is None:
        raise GraphError(404, "ErrorItemNotFound", "The upload session was not found.")
    _without_token(call)
    call.app, call.index = upload.app, upload.index

    def carry(call: Call) -> Answer:
        if call.method == "DELETE":
            tenant.uploads.pop(token, None)
            return Answer(204)
        if call.method == "GET":
            return Answer(200, {"nextExpectedRanges": [str(len(upload.data))]})
        if call.method != "PUT":
            raise GraphError(405, "Request_BadRequest", "The method is not allowed.")
        answer = put_part(upload, call.headers.get("content-range", ""), call.body)
        if answer.status == 201:
            tenant.uploads.pop(token, None)
        return answer

    owner = upload.index.mailbox.guid
    return await _within_limits(tenant, owner, call, lambda: tenant.carry_out(call, carry, creates=False))


async def _of_session(tenant: Tenant, call: Call) -> Answer | None:
    """The answer of an import or upload session; None if the path is none of theirs."""
    plain = unquote(call.path)
    try:
        if _IMPORT.match(plain):
            return await _import(tenant, call)
        if (found := _UPLOAD.match(plain)) is not None:
            return await _upload(tenant, call, found.group(1))
    except GraphError as error:
        return error.answer()
    return None


def _signs_in(tenant: Tenant, path: str, body: bytes) -> web.Response | None:
    """The answer of the sign-in host; None if the path is none of its."""
    discovers = path.endswith("/.well-known/openid-configuration")
    if not discovers and not path.endswith("/oauth2/v2.0/token"):
        return None
    tenant.login.roles, tenant.login.seconds = tenant.options.roles, tenant.options.token_seconds
    try:
        tenant.login.knows(path.split("/")[1])
        if discovers:
            return web.json_response(tenant.login.configuration(tenant.options.graph_base))
        return web.json_response(tenant.login.token(body))
    except LoginError as error:
        return web.json_response(error.body, status=error.status)


TENANT = web.AppKey("tenant", Tenant)


def tenant_app(estate: Estate, options: TenantOptions) -> web.Application:
    """The whole tenant over its mailboxes. Middlewares may be appended before the start; ``app[TENANT]`` shows the inside."""
    tenant = Tenant(estate, options)
    app = web.Application(client_max_size=400 * 1024 * 1024)
    app[TENANT] = tenant

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if (signed := _signs_in(tenant, path, body)) is not None:
            return signed
        call = tenant.call(request.method, path, request.rel_url.raw_query_string, headers, body, "")
        elsewhere = urlsplit(options.import_base).netloc
        apart = elsewhere not in ("", urlsplit(options.graph_base).netloc)
        if apart and (request.host == elsewhere) != path.startswith("/api/"):
            answer = GraphError(404, "ResourceNotFound", "There is no such resource at this host.").answer()
        else:
            answer = await _of_session(tenant, call) or await _graph(tenant, call)
        kind = answer.headers.pop("Content-Type", "application/json; odata.metadata=minimal; charset=utf-8")
        told = {"request-id": str(uuid.uuid4()), **answer.headers}
        if asked := headers.get("client-request-id"):
            told["client-request-id"] = asked
        if answer.status == 204:
            return web.Response(status=204, headers=told)
        return web.Response(status=answer.status, body=answer.written(), headers={**told, "Content-Type": kind})

    app.router.add_route("*", "/{tail:.*}", handle)
    return app
