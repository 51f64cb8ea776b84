"""The compose lane: a message put together again from its parts.

One request creates the message with everything that fits. If attachments have to follow, the message first carries its stamp
with PARTIAL behind it; only when the last attachment is there does it get its final stamp. So a stamp that is found proves a
whole message. After a break the partial copy is found by nobody (look-ups leave it out); when the same item is written again
its partial copy is removed first. If the item is never written again because the source lost it meanwhile, the partial copy
stays, and the inventory shows it with its partial stamp. A partial copy asks for no read receipt, so that its removal can't
send one; the request for it comes with the final stamp.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from connectors.base import Attachment, Outcome, Receipt, Refusal, Write
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.convert import DIRECT_LIMIT, Composed, compose, file_attachment, raw_size
from connectors.graph.upload import upload


async def create(client: GraphClient, mailbox: str, write: Write) -> Outcome:
    """Carry out a CREATE of the compose lane. Raises what the client raises."""
    item = write.item
    if item is None or item.message is None or write.folder_id is None or write.stamp is None:
        raise ValueError("a composed create needs a folder, a stamp and an item with a message")
    composed = compose(item.message, write.stamp, item.item_class)
    if isinstance(composed, Refusal):
        return composed
    if composed.later:
        try:
            await _clear_partial(client, mailbox, write.stamp)
        except Unavailable as error:
            raise Unavailable(str(error), code=error.code, did_nothing=True) from None
    path = paths.mail_folder(mailbox, write.folder_id) + "/messages"
    reply = await client.ask(mailbox, "POST", path, kind="create", body=composed.body)
    found = reply.json()
    message_id = found.get("id") if isinstance(found, dict) else None
    if not isinstance(message_id, str):
        raise Unavailable("the answer names no message", code=f"http {reply.status}")
    version = found.get("changeKey") or ""
    if composed.later:
        try:
            version = await _complete(client, mailbox, message_id, composed, write.stamp)
        except Rejected as error:
            # For certain it lacks an attachment, so it must not stay.
            await client.ask(mailbox, "DELETE", paths.message(mailbox, message_id), kind="remove", safe=True, quiet=True)
            return error.refusal()
        except WireError as error:
            if isinstance(error, (MailboxBlocked, Halt)):
                raise
            raise Unavailable(f"an attachment is in doubt: {error}", code=error.code) from None
    return Receipt(target_id=message_id, version=version, degraded=composed.degraded)


async def _complete(client: GraphClient, mailbox: str, message_id: str, composed: Composed, stamp: str) -> str:
    done: Counter[tuple[str, int]] = Counter()
    for attachment in composed.later:
        like = (attachment.name, raw_size(attachment))
        await _attach(client, mailbox, message_id, attachment, done[like])
        done[like] += 1
    return await restamp(client, mailbox, message_id, stamp, wants_receipt=composed.receipt_later)


async def _attach(client: GraphClient, mailbox: str, message_id: str, attachment: Attachment, earlier: int) -> None:
    if raw_size(attachment) >= DIRECT_LIMIT:
        await upload(client, mailbox, paths.message(mailbox, message_id), attachment, earlier)
        return
    body = orjson.dumps(file_attachment(attachment))
    try:
        await client.ask(mailbox, "POST", paths.message(mailbox, message_id) + "/attachments", kind="attach", body=body)
    except Rejected as error:
        if error.reason != "too-large":
            raise
        await upload(client, mailbox, paths.message(mailbox, message_id), attachment, earlier)


async def restamp(client: GraphClient, mailbox: str, message_id: str, stamp: str, *, wants_receipt: bool = False) -> str:
    """Give a message its stamp; its new change key. Repeating does no harm."""
    properties = [x.pair(x.STAMP, stamp)]
    if wants_receipt:
        properties.append(x.pair(x.WANTS_RECEIPT, "true"))
    body = orjson.dumps({"singleValueExtendedProperties": properties})
    reply = await client.ask(mailbox, "PATCH", paths.message(mailbox, message_id), kind="stamp", body=body, safe=True)
    found: Any = reply.json() if reply.body else {}
    return str(found.get("changeKey") or "")


async def _clear_partial(client: GraphClient, mailbox: str, stamp: str) -> None:
    """Remove what an earlier, broken attempt at the same item left; it can't be whole."""
    path = paths.query(paths.user(mailbox) + "/messages", filter=x.equals(x.STAMP, stamp + x.PARTIAL), select="id", top=10)
    for each in (await client.ask(mailbox, "GET", path, kind="find")).json().get("value") or ():
        try:
            await client.ask(mailbox, "DELETE", paths.message(mailbox, each["id"]), kind="remove", safe=True, quiet=True)
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise
