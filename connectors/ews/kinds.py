"""What the compose lane asks of Exchange for each kind of item, and who reads the answer.

``KINDS`` is the whole table: messages are asked for with their MIME; other kinds have a shape of their own, and attachments that
come by GetAttachment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from lxml import etree

from connectors.base import Attachment, Item, Lane, Ref, digest_of
from connectors.ews import contacts, convert, events, others, soap, tasks
from connectors.ews.answer import T

Attached: TypeAlias = Sequence[tuple[Attachment, bool]]
"""Attachments with their content, and whether each is a contact's photo."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of item: the class prefixes (none: whatever no other takes), its GetItem, and the reader of an answer.

    ``exported``: its export stream is asked for, too, and comes as the last of its attachments.
    """

    classes: tuple[str, ...]
    ask: Callable[[Sequence[str]], str]
    read: Callable[[Ref, Any, Attached], Item]
    attachments: bool = False
    exported: bool = False


def _message(ref: Ref, element: Any, _: Attached) -> Item:
    return convert.item_of(ref, element)


def _contact(ref: Ref, element: Any, attached: Attached) -> Item:
    item_class = element.findtext(f"{T}ItemClass") or "IPM.Contact"
    return Item(
        ref=ref,
        lane=Lane.COMPOSE,
        item_class=item_class,
        digest=_digest(element, attached),
        contact=contacts.contact_of(element, attached),
    )


def _task(ref: Ref, element: Any, attached: Attached) -> Item:
    item_class = element.findtext(f"{T}ItemClass") or "IPM.Task"
    found = tasks.task_of(element, attached)
    return Item(ref=ref, lane=Lane.COMPOSE, item_class=item_class, digest=_digest(element, attached), task=found)


def _other(ref: Ref, element: Any, attached: Attached) -> Item:
    found = others.message_of(element, attached)
    own = [one for one in attached if not one[0].name.endswith(others.ORIGINAL)]
    return Item(ref=ref, lane=Lane.COMPOSE, item_class="IPM.Note", digest=_digest(element, own), message=found)


def _other_mail(ref: Ref, element: Any, attached: Attached) -> Item:
    found = convert.item_of(ref, element)
    assert found.message is not None
    return replace(found, item_class="IPM.Note", message=others.with_original(found.message, attached))


def _event(ref: Ref, element: Any, _: Attached) -> Item:
    raise ValueError("an appointment is put together from several answers (see gathering)")


def _digest(element: Any, attached: Attached) -> bytes:
    """Eight bytes over all that an element tells but its id and version, and over its attachments."""
    told = [etree.tostring(child) for child in element if etree.QName(child).localname not in ("ItemId", "Attachments")]
    for one, _ in attached:
        told += one.name.encode("utf-8", "surrogatepass"), one.content
    return digest_of(b"".join(told))


MAIL = Kind(("IPM.Note", "REPORT", "IPM.Post", "IPM.Recall", "IPM.Outlook.Recall"), soap.get_composed, _message)
OTHER_MAIL = Kind(("IPM.Schedule.Meeting", "IPM.Sharing"), soap.get_composed, _other_mail, exported=True)
OTHERS = Kind((), others.get_others, _other, attachments=True, exported=True)
"""What no target has a resource for: fetched in this lane only where the operator wants it carried as a message."""
EVENT = Kind(("IPM.Appointment",), events.get_events, _event)
KINDS: tuple[Kind, ...] = (
    EVENT,
    Kind(("IPM.Contact",), contacts.get_contacts, _contact, attachments=True),
    Kind(("IPM.Task",), tasks.get_tasks, _task, attachments=True),
)


def kind_of(item_class: str) -> Kind:
    """The kind of items of this class; that of messages if it is not known, and OTHERS if no other takes it."""
    folded = item_class.casefold()
    for kind in (MAIL, *KINDS, OTHER_MAIL):
        if any(folded == one.casefold() or folded.startswith(one.casefold() + ".") for one in kind.classes):
            return kind
    return OTHERS if folded else MAIL
