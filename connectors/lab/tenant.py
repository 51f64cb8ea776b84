"""The simulated tenant: sign-in, Graph v1.0, and the addresses of import and upload sessions, one app for all of them.

The addresses of sessions name another host than Graph's, as the real ones do. Every switch that stands for something which the
documentation leaves open is set to the bad case.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from . import tenant_delta as delta
from . import tenant_folders as folders
from . import tenant_import as imports
from . import tenant_mail as mail
from .limits import Limits
from .login import ROLES, Login, LoginError
from .tenant_call import Answer, Call, GraphError, read_query
from .tenant_index import Index
from .truth import Estate

BATCH_MOST = 20


@dataclass(slots=True, kw_only=True)
class TenantOptions:
    """What the tenant is like. ``latency`` in seconds; ``speed`` shrinks the windows of the limits.

    Switches: ``size_delta`` is added to every size; ``keep_search_key`` on import; ``rounded_dates`` to seconds;
    ``import_reply_ids`` classic or immutable; ``visibility_lag`` seconds until lists and filters show an item;
    ``import_cap`` bytes of an import request, None for no cap; ``need_claims`` answers 401 with claims once.
    """

    tenant_id: str
    clients: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    graph_base: str = ""
    import_base: str = ""
    limits: str = "off"
    speed: float = 1.0
    latency: float = 0.0
    roles: tuple[str, ...] = ROLES
    size_delta: int = 37
    keep_search_key: bool = False
    rounded_dates: bool = True
    import_reply_ids: str = "classic"
    visibility_lag: float = 0.0
    import_cap: int | None = 150_000_000
    session_seconds: float = 3600.0
    token_seconds: int = 3600
    need_claims: bool = False


Handler = Callable[[Call], Answer]


def _route(method: str, path: str, handler: Handler) -> tuple[str, re.Pattern[str], Handler]:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return method, re.compile(f"/v1\\.0/{pattern}$", re.IGNORECASE), handler


_MAILBOX = "admin/exchange/mailboxes/{mailbox}"
_ROUTES = [
    _route("GET", r"users/{user}/mailFolders/delta(?:\(\))?", delta.mail_folders),
    _route("GET", r"users/{user}/mailFolders/{folder}/messages/delta(?:\(\))?", delta.messages),
    _route("GET", rf"{_MAILBOX}/folders/delta(?:\(\))?", delta.folders),
    _route("GET", rf"{_MAILBOX}/folders/{{folder}}/items/delta(?:\(\))?", delta.items),
    _route("GET", "users/{user}", folders.user),
    _route("GET", "users/{user}/settings/exchange", folders.settings),
    _route("POST", "users/{user}/translateExchangeIds", folders.translate),
    _route("GET", "users/{user}/mailFolders", folders.list_mail),
    _route("POST", "users/{user}/mailFolders", folders.make_mail),
    _route("GET", "users/{user}/mailFolders/{folder}", folders.get_mail),
    _route("PATCH", "users/{user}/mailFolders/{folder}", folders.change_mail),
    _route("DELETE", "users/{user}/mailFolders/{folder}", folders.remove),
    _route("GET", "users/{user}/mailFolders/{folder}/childFolders", folders.list_mail),
    _route("POST", "users/{user}/mailFolders/{folder}/childFolders", folders.make_mail),
    _route("POST", "users/{user}/mailFolders/{folder}/move", folders.move),
    _route("GET", "users/{user}/mailFolders/{folder}/messages", mail.list_),
    _route("POST", "users/{user}/mailFolders/{folder}/messages", mail.create),
    _route("GET", r"users/{user}/mailFolders/{folder}/messages/\$count", mail.count),
    _route("GET", "users/{user}/messages", mail.list_),
    _route("POST", "users/{user}/messages", mail.create),
    _route("GET", "users/{user}/messages/{message}", mail.get),
    _route("PATCH", "users/{user}/messages/{message}", mail.change),
    _route("DELETE", "users/{user}/messages/{message}", mail.remove),
    _route("POST", "users/{user}/messages/{message}/move", mail.move),
    _route("GET", r"users/{user}/messages/{message}/\$value", mail.content),
    _route("GET", "users/{user}/messages/{message}/attachments", mail.attachments),
    _route("POST", "users/{user}/messages/{message}/attachments", mail.attach),
    _route("POST", "users/{user}/messages/{message}/attachments/createUploadSession", mail.open_upload),
    _route("POST", "users/{user}/messages/{message}/(?:send|reply|replyAll|forward)", folders.send),
    _route("POST", "users/{user}/sendMail", folders.send),
    _route("POST", "users/{user}/(?:calendar/)?events", folders.make_event),
    _route("PATCH", "users/{user}/events/{message}", folders.change_event),
    _route("DELETE", "users/{user}/events/{message}", folders.change_event),
    _route("GET", f"{_MAILBOX}/folders", folders.list_admin),
    _route("POST", f"{_MAILBOX}/folders", folders.make_admin),
    _route("GET", f"{_MAILBOX}/folders/{{folder}}", folders.get_admin),
    _route("PATCH", f"{_MAILBOX}/folders/{{folder}}", folders.change_admin),
    _route("DELETE", f"{_MAILBOX}/folders/{{folder}}", folders.remove),
    _route("GET", f"{_MAILBOX}/folders/{{folder}}/childFolders", folders.list_admin),
    _route("POST", f"{_MAILBOX}/folders/{{folder}}/childFolders", folders.make_admin),
    _route("GET", f"{_MAILBOX}/folders/{{folder}}/items", imports.list_items),
    _route("GET", f"{_MAILBOX}/folders/{{folder}}/items/{{item}}", imports.get_item),
    _route("DELETE", f"{_MAILBOX}/folders/{{folder}}/items/{{item}}", imports.remove_item),
    _route("POST", f"{_MAILBOX}/exportItems", imports.export),
    _route("POST", f"{_MAILBOX}/createImportSession", imports.open_session),
]
_IMPORT = re.compile(r"/api/gv1\.0/Mailboxes\('[^']+'\)/importItem$", re.IGNORECASE)
_UPLOAD = re.compile(r"/api/gv1\.0/AttachmentSessions\('([^']+)'\)$", re.IGNORECASE)


class Tenant:
    """The tenant's state: indexes of its mailboxes, sign-ins, sessions and usage."""

    def __init__(self, estate: Estate, options: TenantOptions) -> None:
        self.estate, self.options = estate, options
        self.login = Login(options.tenant_id, options.clients, options.certificates, options.roles)
        self.login.seconds = options.token_seconds
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
        call.uploads, call.sessions = self.uploads, self.sessions
        return call

    def handler(self, call: Call) -> Handler:
        """The handler of a request; sets the mailbox. Raises GraphError."""
        known = False
        for method, pattern, handler in _ROUTES:
            found = pattern.match(call.path)
            if found is None:
                continue
            known = True
            if method == call.method:
                call.names = {name: unquote(value) for name, value in found.groupdict().items()}
                owner = call.names.get("user") or call.names.get("mailbox") or ""
                call.index = self.index(owner)
                if call.index is None:
                    raise GraphError(404, "Request_ResourceNotFound", "The resource does not exist.")
                return handler
        if known:
            raise GraphError(405, "Request_BadRequest", "The method is not allowed.")
        raise GraphError(400, "BadRequest", "Resource not found for the segment.")

    def answer(self, call: Call) -> Answer:
        """Carry out one request that the limits let in."""
        try:
            handler = self.handler(call)
            with call.box.mailbox.lock:
                return handler(call)
        except GraphError as error:
            return error.answer()


def _throttled(broken: tuple[str, float]) -> Answer:
    name, seconds = broken
    told = {"Retry-After": f"{max(seconds, 0.001):.3f}"}
    return GraphError(429, "ApplicationThrottled", f"Application is over its {name} limit.", told).answer()


def _mailbox_in(path: str) -> str:
    found = re.match(r"/v1\.0/(?:users|admin/exchange/mailboxes)/([^/]+)", path, re.IGNORECASE)
    return unquote(found.group(1)) if found else ""


def _size(call: Call) -> int:
    return len(call.body) if call.method in ("POST", "PUT", "PATCH") else 0


async def _within_limits(tenant: Tenant, mailbox: str, call: Call, act: Callable[[], Answer]) -> Answer:
    owner = _owner(tenant, mailbox)
    if (broken := tenant.limits.arrive(call.app, owner, _size(call))) is not None:
        return _throttled(broken)
    try:
        if tenant.options.latency:
            await asyncio.sleep(tenant.options.latency)
        return act()
    finally:
        tenant.limits.leave(call.app, owner)


async def _batch(tenant: Tenant, call: Call) -> Answer:
    """POST $batch: every part has its own status, and counts by itself; a part waits for those that it depends on."""
    try:
        parts = call.json()["requests"]
        assert isinstance(parts, list)
    except (KeyError, AssertionError):
        return GraphError(400, "BadRequest", "Invalid batch payload format.").answer()
    if len(parts) > BATCH_MOST or len({part.get("id") for part in parts}) != len(parts):
        return GraphError(400, "BadRequest", "A batch has at most 20 requests with ids of their own.").answer()
    if any("body" in part and not _content_type(part) for part in parts):
        return GraphError(400, "BadRequest", "Write request has no Content-Type header.").answer()
    owners = {_owner(tenant, _mailbox_in(_path_of(part))) for part in parts}
    full = {owner: broken for owner in owners if (broken := tenant.limits.hold(call.app, owner)) is not None}
    try:
        if tenant.options.latency:
            await asyncio.sleep(tenant.options.latency)
        return _all_parts(tenant, call, parts, full)
    finally:
        for owner in owners - full.keys():
            tenant.limits.leave(call.app, owner)


def _all_parts(tenant: Tenant, call: Call, parts: list[dict[str, Any]], full: dict[str, tuple[str, float]]) -> Answer:
    done: dict[str, int] = {}
    answers = []
    for part in parts:
        if any(done.get(one, 200) >= 400 for one in part.get("dependsOn") or ()):
            answer = GraphError(424, "FailedDependency", "A request that this one depends on failed.").answer()
        else:
            answer = _one_part(tenant, call, part, full)
        done[part["id"]] = answer.status
        shown: dict[str, Any] = {"id": part["id"], "status": answer.status, "headers": dict(answer.headers)}
        if answer.body is not None:
            shown["headers"]["Content-Type"] = "application/json"
            shown["body"] = answer.body
        answers.append(shown)
    return Answer(200, {"responses": answers})


def _content_type(part: dict[str, Any]) -> bool:
    return any(name.lower() == "content-type" for name in part.get("headers") or {})


def _path_of(part: dict[str, Any]) -> str:
    return f"/v1.0/{str(part.get('url', '')).partition('?')[0].lstrip('/')}"


def _owner(tenant: Tenant, mailbox: str) -> str:
    """Whose usage a request is, by whatever name the mailbox goes."""
    index = tenant.index(mailbox)
    return mailbox if index is None else index.mailbox.guid


def _one_part(tenant: Tenant, outer: Call, part: dict[str, Any], full: dict[str, tuple[str, float]]) -> Answer:
    query = str(part.get("url", "")).partition("?")[2]
    headers = {name.lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    body = orjson.dumps(part["body"]) if "body" in part else b""
    call = tenant.call(str(part.get("method", "")).upper(), _path_of(part), query, headers, body, outer.app)
    owner = _owner(tenant, _mailbox_in(call.path))
    # The batch holds the slot; its parts run one after the other.
    broken = tenant.limits.arrive(call.app, owner, _size(call), slot=False) or full.get(owner)
    return _throttled(broken) if broken is not None else tenant.answer(call)


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
    if call.path.lower() == "/v1.0/$batch":
        return await _batch(tenant, call)
    return await _within_limits(tenant, _mailbox_in(call.path), call, lambda: tenant.answer(call))


async def _import(tenant: Tenant, call: Call) -> Answer:
    session = tenant.sessions.get(call.query.get("authtoken", ""))
    if session is None or session.until < time.time():
        return GraphError(401, "InvalidAuthenticationToken", "The session has expired.").answer()
    cap = tenant.options.import_cap
    if cap is not None and len(call.body) > cap:
        return GraphError(413, "ErrorMessageSizeExceeded", "The item is too large.").answer()
    call.app, call.index = session.app, session.index
    session.index.catch_up()
    options = tenant.options

    def act() -> Answer:
        try:
            with session.index.mailbox.lock:
                return imports.import_item(
                    call,
                    keep_search_key=options.keep_search_key,
                    rounded=options.rounded_dates,
                    classic_reply=options.import_reply_ids == "classic",
                )
        except GraphError as error:
            return error.answer()

    return await _within_limits(tenant, session.index.mailbox.guid, call, act)


async def _upload(tenant: Tenant, call: Call, token: str) -> Answer:
    upload = tenant.uploads.get(token)
    if upload is None:
        return GraphError(404, "ErrorItemNotFound", "The upload session was not found.").answer()
    if call.method == "DELETE":
        tenant.uploads.pop(token)
        return Answer(204)
    if call.method == "GET":
        return Answer(200, {"nextExpectedRanges": [str(len(upload.data))]})

    def act() -> Answer:
        try:
            with upload.index.mailbox.lock:
                answer = mail.put_part(upload, call.headers.get("content-range", ""), call.body)
        except GraphError as error:
            return error.answer()
        if answer.status == 201:
            tenant.uploads.pop(token, None)
        return answer

    return await _within_limits(tenant, upload.index.mailbox.guid, call, act)


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
        if path.endswith("/.well-known/openid-configuration"):
            return web.json_response(tenant.login.configuration(options.graph_base))
        if path.endswith("/oauth2/v2.0/token"):
            try:
                return web.json_response(tenant.login.token(body))
            except LoginError as error:
                return web.json_response(error.body, status=error.status)
        call = tenant.call(request.method, path, request.rel_url.raw_query_string, headers, body, "")
        plain = unquote(path)
        if _IMPORT.match(plain):
            answer = await _import(tenant, call)
        elif (found := _UPLOAD.match(plain)) is not None:
            answer = await _upload(tenant, call, found.group(1))
        else:
            answer = await _graph(tenant, call)
        kind = answer.headers.pop("Content-Type", "application/json; odata.metadata=minimal; charset=utf-8")
        told = {"request-id": headers.get("client-request-id", ""), **answer.headers}
        if answer.status == 204:
            return web.Response(status=204, headers=told)
        return web.Response(status=answer.status, body=answer.written(), headers={**told, "Content-Type": kind})

    app.router.add_route("*", "/{tail:.*}", handle)
    return app
