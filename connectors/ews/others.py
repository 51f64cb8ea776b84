"""An item that the target has no resource for, as a message that holds it: what people read of it, and the original attached.

The original is the export stream as Exchange gave it, so that nothing is lost: the import lane, or Exchange itself, takes it back
unchanged. Deterministic but for that stream, of which the digest knows nothing. Reads as a message of class IPM.Note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.base import Attachment, Message
from connectors.ews.answer import T
from connectors.ews.asking import get_items
from connectors.ews.contacts import body_of
from connectors.ews.convert import fields_of
from connectors.ews.soap import Prop, extended, moment, number
from connectors.spool import Content

CARRIED = "carried-as-attachment"
"""The word of the receipt for it."""

_READ = 1
"""MSGFLAG_READ [MS-OXCMSG 2.2.1.6]."""

ORIGINAL = ".exported"
"""How the name of the attached original ends; the item's class stands before it."""

_SHAPE = (
    "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:BodyType>Best</t:BodyType><t:AdditionalProperties>"
    + "".join(
        f'<t:FieldURI FieldURI="item:{field}"/>'
        for field in (
            "ItemClass", "Subject", "Sensitivity", "Body", "Attachments", "Importance", "Categories", "DateTimeCreated",
        )
    )
    + "".join(
        f'<t:ExtendedFieldURI PropertyTag="{prop.value}" PropertyType="{kind}"/>'
        for prop, kind in (
            (Prop.SUBMITTED, "SystemTime"), (Prop.RECEIVED, "SystemTime"), (Prop.FLAGS, "Integer"), (Prop.MESSAGE_ID, "String"),
        )
    )
    + "</t:AdditionalProperties></m:ItemShape>"
)  # fmt: skip


def get_others(ids: Sequence[str]) -> str:
    """GetItem with what people read of an item, whatever it is."""
    return get_items(_SHAPE, ids)


def original(item_class: str, stream: Content) -> Attachment:
    """The original as a file; its name says what it was. ``stream`` is base64."""
    return Attachment(f"{item_class or 'item'}{ORIGINAL}", "application/octet-stream", stream, len(stream) // 4 * 3)


def message_of(element: Any, attached: Sequence[tuple[Attachment, bool]]) -> Message:
    """The message that carries an item, which the element and its attachments describe; the original is one of these."""
    kind, text = body_of(element)
    found, told = fields_of(element), extended(element)
    # Whatever has no date of sending keeps the day on which it was made, and nothing of it asks for an answer.
    made = moment(element.findtext(f"{T}DateTimeCreated"))
    return replace(
        found,
        body=text,
        body_kind=kind,
        message_id=told.get(Prop.MESSAGE_ID) or None,
        submitted=found.submitted or made,
        received=found.received or found.submitted or made,
        is_read=bool((number(told.get(Prop.FLAGS)) or 0) & _READ),
        attachments=tuple(one for one, _ in attached),
        odd=(*found.odd, CARRIED),
    )


def with_original(message: Message, attached: Sequence[tuple[Attachment, bool]]) -> Message:
    """A message of a class that the target does not make, as plain mail with the original attached; it asks for no answer."""
    files = (*message.attachments, *(one for one, _ in attached if one.name.endswith(ORIGINAL)))
    return replace(
        message,
        is_draft=False,
        wants_read_receipt=False,
        wants_delivery_receipt=False,
        attachments=files,
        odd=(*message.odd, CARRIED),
    )
