"""$batch: up to twenty requests in one, each with a status of its own, and each counted by itself.

[learn.microsoft.com/graph/json-batching]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from .tenant_call import Answer, Call, GraphError

if TYPE_CHECKING:
    from .tenant import Tenant

BATCH_MOST = 20
Full = dict[str, tuple[str, float]]


def throttled(broken: tuple[str, float]) -> Answer:
    """The answer to what goes over a limit: the limit's name and the seconds to wait."""
    name, seconds = broken
    told = {"Retry-After": f"{max(seconds, 0.001):.3f}"}
    return GraphError(429, "ApplicationThrottled", f"Application is over its {name} limit.", told).answer()


def size_of(call: Call) -> int:
    """The bytes of a request that count as upload."""
    return len(call.body) if call.method in ("POST", "PUT", "PATCH") else 0


def owner_of(tenant: Tenant, path: str) -> str:
    """Whose usage a request is, by whatever name the mailbox goes in its path."""
    found = re.match(r"/v1\.0/(?:users|admin/exchange/mailboxes)/([^/]+)", path, re.IGNORECASE)
    name = unquote(found.group(1)) if found else ""
    index = tenant.index(name)
    return name if index is None else index.mailbox.guid


def read_parts(call: Call) -> list[dict[str, Any]]:
    """The parts of a batch. Raises GraphError, and then nothing of it may be carried out."""
    parts = call.json().get("requests")
    if not isinstance(parts, list) or not all(map(_is_part, parts)):
        raise GraphError(400, "BadRequest", "Invalid batch payload format.")
    ids = [part["id"] for part in parts]
    if len(parts) > BATCH_MOST or len(set(ids)) != len(ids):
        raise GraphError(400, "BadRequest", "A batch has at most 20 requests with ids of their own.")
    if any(not set(part.get("dependsOn") or ()) <= set(ids) for part in parts):
        raise GraphError(400, "BadRequest", "A request depends on one that is not in the batch.")
    if any("body" in part and not _content_type(part) for part in parts):
        raise GraphError(400, "BadRequest", "Write request has no Content-Type header.")
    return parts


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict) or not all(isinstance(part.get(name), str) for name in ("id", "method", "url")):
        return False
    needed = part.get("dependsOn") or []
    headers = part.get("headers")
    return (
        (headers is None or isinstance(headers, dict))
        and isinstance(needed, list)
        and all(isinstance(one, str) for one in needed)
    )


def _content_type(part: dict[str, Any]) -> bool:
    return any(name.lower() == "content-type" for name in part.get("headers") or {})


def path_of(part: dict[str, Any]) -> str:
    """The path of a part, whose address is relative to the version."""
    return f"/v1.0/{part['url'].partition('?')[0].lstrip('/')}"


def all_parts(tenant: Tenant, call: Call, parts: list[dict[str, Any]], full: Full) -> Answer:
    """Carry out the parts one after the other; ``full`` are the mailboxes that had no slot for the batch, and why."""
    done: dict[str, int] = {}
    answers = []
    for part in parts:
        # A part that is named before its turn has no status yet, and holds up nothing.
        if any(done.get(one, 200) >= 400 for one in part.get("dependsOn") or ()):
            answer = GraphError(424, "FailedDependency", "A request that this one depends on failed.").answer()
        else:
            answer = _one_part(tenant, call, part, full)
        done[part["id"]] = answer.status
        shown: dict[str, Any] = {"id": part["id"], "status": answer.status, "headers": dict(answer.headers)}
        if answer.raw is not None:
            shown["body"] = answer.raw.decode("utf-8", "replace")
        elif answer.body is not None:
            shown["headers"]["Content-Type"] = "application/json"
            shown["body"] = answer.body
        answers.append(shown)
    return Answer(200, {"responses": answers})


def _one_part(tenant: Tenant, outer: Call, part: dict[str, Any], full: Full) -> Answer:
    headers = {name.lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    body = orjson.dumps(part["body"]) if "body" in part else b""
    call = tenant.call(part["method"].upper(), path_of(part), part["url"].partition("?")[2], headers, body, outer.app)
    owner = owner_of(tenant, call.path)
    # The batch holds the slot; its parts run one after the other.
    broken = tenant.limits.arrive(call.app, owner, size_of(call), slot=False) or full.get(owner)
    return throttled(broken) if broken is not None else tenant.answer(call)
