"""The doubles in memory, read back for comparison."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence

from connectors.base import Address, Gone, Message, Ref
from connectors.memory import MemoryMailbox
from connectors.memory_target import Content, MemoryTarget
from connectors.reading import Portrait, Seen, Wanted, address, body, cut, enclosure, hashed, headers_of, level, named, people
from connectors.reading_mail import nested


class _MemoryReader:
    def __init__(self, find: Callable[[str], tuple[str, Content] | None]) -> None:
        self._find = find

    def read(self, wanted: Sequence[Wanted]) -> Iterator[Seen]:
        """One answer an item, in their order."""
        for one in wanted:
            found = self._find(one.id)
            yield Gone(Ref(one.id)) if found is None else portrait_of(one.id, *found)

    def close(self) -> None:
        """Nothing is held."""


class MemorySourceReader(_MemoryReader):
    """Reads a ``MemoryMailbox``."""

    def __init__(self, mailbox: MemoryMailbox) -> None:
        def find(item_id: str) -> tuple[str, Content] | None:
            found = mailbox.items.get(item_id)
            return None if found is None else (found.change_key, found.content)

        super().__init__(find)


class MemoryTargetReader(_MemoryReader):
    """Reads a ``MemoryTarget``."""

    def __init__(self, target: MemoryTarget) -> None:
        def find(item_id: str) -> tuple[str, Content] | None:
            found = target.items.get(item_id)
            return None if found is None else (found.change_key, found.content)

        super().__init__(find)


def _pairs(addresses: Sequence[Address | None]) -> list[tuple[str, str]]:
    return [pair for one in addresses if one is not None and (pair := address(one.name, one.address))[0]]


def portrait_of(item_id: str, version: str, content: Content) -> Portrait:
    """What is compared of an item in memory."""
    message: Message = content.message
    roles = [_pairs(one) for one in ([message.author], [message.sender], message.to, message.cc, message.bcc, message.reply_to)]
    author, sender, to, cc, bcc, reply_to = map(people, roles)
    text, html = body(message.body_kind, message.body)
    flag = message.follow_up
    attached = [
        nested(each.name, base64.b64decode(bytes(each.content)))
        if each.content_type == "message/rfc822"
        else enclosure(
            each.name, each.content_type, base64.b64decode(bytes(each.content)), inline=each.inline, content_id=each.content_id
        )
        for each in message.attachments
    ]
    return Portrait(
        id=item_id,
        version=version,
        item_class=content.item_class.casefold(),
        subject=hashed(message.subject),
        subject_cut=cut(message.subject),
        text=text,
        html=html,
        author=author,
        sender=sender,
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        names=named(pair for pairs in roles for pair in pairs),
        message_id=level(message.message_id),
        in_reply_to=level(message.in_reply_to),
        references=level(message.references),
        headers=headers_of(message.headers),
        submitted=message.submitted,
        received=message.received,
        importance=message.importance,
        sensitivity=message.sensitivity,
        categories=frozenset(level(one).casefold() for one in message.categories),
        read=message.is_read,
        draft=message.is_draft,
        read_receipt=message.wants_read_receipt,
        delivery_receipt=message.wants_delivery_receipt,
        flag=flag.status if flag else "",
        flag_start=flag.start if flag else None,
        flag_due=flag.due if flag else None,
        flag_completed=flag.completed if flag else None,
        icon=message.icon,
        last_verb=message.last_verb,
        attachments=tuple(attached),
        more=(("start", content.start.isoformat()),) if content.start else (),
    )
