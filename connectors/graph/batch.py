"""Several small requests in one: Graph's ``$batch``, at most twenty parts, one batch in flight a mailbox.

The outer 200 only says that the batch was read; every part has its own status. Throttled parts did nothing and are asked again
together after the longest wait [learn.microsoft.com/graph/json-batching, throttling]. So are parts that failed or have no answer,
if repeating them does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.errors import Throttled, Unavailable, UnknownAnswer, WireError
from connectors.graph.classify import error_of, retry_after
from connectors.graph.client import IMMUTABLE, GraphClient
from connectors.pacer import Cost

PARTS = 20
ROUNDS = 8
"""How often throttled parts are asked again before they come back as unsent."""


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a batch; ``path`` is relative to the version root."""

    method: str
    path: str
    body: dict[str, Any] | None = None


def _written(parts: Sequence[tuple[int, Part]]) -> bytes:
    requests = []
    for index, part in parts:
        headers = {"Prefer": IMMUTABLE}
        request: dict[str, Any] = {"id": str(index), "method": part.method, "url": part.path, "headers": headers}
        if part.body is not None:
            headers["Content-Type"] = "application/json"
            request["body"] = part.body
        requests.append(request)
    return orjson.dumps({"requests": requests})


def _read(response: dict[str, Any]) -> dict[str, Any] | WireError:
    status = int(response.get("status") or 0)
    body = response.get("body")
    if 200 <= status < 300:
        return body if isinstance(body, dict) else {}
    error = body.get("error") if isinstance(body, dict) else None
    code, hint = (str(error.get("code") or ""), str(error.get("message") or "")) if isinstance(error, dict) else ("", "")
    headers = {str(k).casefold(): str(v) for k, v in (response.get("headers") or {}).items()}
    return error_of(status, code, hint, retry_after(headers))


async def batch(
    client: GraphClient, mailbox: str, lock: asyncio.Lock, parts: Sequence[Part], *, kind: str, safe: bool, quiet: bool = False
) -> list[dict[str, Any] | WireError]:
    """Carry out any number of parts; one result a part, in their order: its body, or what its answer means.

    ``safe`` says that repeating a part does no harm. Raises only what is wrong with the whole: Halt, MailboxBlocked.
    """
    results: list[dict[str, Any] | WireError] = [Unavailable("not asked", did_nothing=True)] * len(parts)
    open_parts = list(enumerate(parts))
    rounds = 0
    while open_parts:
        now, rest = open_parts[:PARTS], open_parts[PARTS:]
        try:
            async with lock:
                reply = await client.ask(
                    mailbox, "POST", "/$batch", kind=kind, body=_written(now), safe=safe, quiet=quiet, parts=len(now)
                )
            answered = {str(each.get("id")): each for each in reply.json().get("responses") or ()}
        except (Throttled, Unavailable, UnknownAnswer) as error:
            for index, _ in now:
                results[index] = error
            open_parts = rest
            continue
        again: list[tuple[int, Part]] = []
        wait: Throttled | Unavailable | None = None
        for index, part in now:
            response = answered.get(str(index))
            result = Unavailable("the batch's answer lacks this part") if response is None else _read(response)
            results[index] = result
            if isinstance(result, Throttled) or (safe and isinstance(result, Unavailable)):
                again.append((index, part))
                if wait is None or _longer(result, wait):
                    wait = result
        if wait is not None and rounds < ROUNDS:
            rounds += 1
            try:
                await _wait(client, mailbox, wait)
            except Unavailable:  # asked to stop, or the server wants too long a wait
                break
            open_parts = again + rest
        else:
            open_parts = rest
    return results


def _longer(one: Throttled | Unavailable, other: Throttled | Unavailable) -> bool:
    """Whether the one answer asks for a longer wait than the other; a failure asks for none."""
    return isinstance(one, Throttled) and (not isinstance(other, Throttled) or (one.after or 0) > (other.after or 0))


async def _wait(client: GraphClient, mailbox: str, reason: Throttled | Unavailable) -> None:
    """Let the pacer wait, because only it does, and it accounts for it."""
    asked = False

    async def once() -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise reason

    await client.pacer(mailbox).acall(once, cost=Cost(requests=0), write=False)
