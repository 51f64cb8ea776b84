"""What a request asks of each item: its shape, and the element and groups of fields that an item's class has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .exchange_call import Call, T, children, invalid
from .exchange_fields import DEEP, DEFAULT, FIELDS, Renderer
from .exchange_properties import read_path, reader
from .truth import Item

_BASES = ("IdOnly", "Default", "AllProperties")
_KINDS = (
    ("ipm.appointment", "CalendarItem", ("item", "calendar")),
    ("ipm.ole.class.{00061055-0000-0000-c000-000000000046}", "CalendarItem", ("item", "calendar")),
    ("ipm.contact", "Contact", ("item", "contacts")),
    ("ipm.distlist", "DistributionList", ("item", "distributionlist")),
    ("ipm.task", "Task", ("item", "task")),
    ("ipm.post", "PostItem", ("item", "postitem")),
    ("ipm.activity", "Item", ("item",)),
    ("ipm.schedule.meeting.request", "MeetingRequest", ("item", "message", "meeting", "request")),
    ("ipm.schedule.meeting.resp", "MeetingResponse", ("item", "message", "meeting", "response")),
    ("ipm.schedule.meeting.canceled", "MeetingCancellation", ("item", "message", "meeting", "response")),
    ("ipm.schedule.meeting", "MeetingMessage", ("item", "message", "meeting")),
)
_URI = re.compile(
    r"(folder|item|message|calendar|meeting|meetingRequest|contacts|task|postitem|distributionlist|conversation|persona):[A-Za-z:]+"
)


def kind_of(item_class: str) -> tuple[str, tuple[str, ...]]:
    """The element for an item class, and the groups of fields it has; a message if nothing else fits."""
    folded = item_class.lower()
    for start, element, groups in _KINDS:
        if folded == start or folded.startswith(start + ".") or (start.endswith((".resp",)) and folded.startswith(start)):
            return element, groups
    return "Message", ("item", "message")


@dataclass(slots=True)
class Shape:
    """What one request asks of each item. ``deep`` is GetItem; listings leave out what they can't show."""

    call: Call
    base: str
    deep: bool
    mime: bool = False
    body_type: str = "Best"
    uris: set[str] = field(default_factory=set)
    extended: list[Renderer] = field(default_factory=list)
    renderers: dict[str, tuple[str, tuple[Renderer, ...]]] = field(default_factory=dict)
    path: tuple[int, ...] = ()
    """The way to the nested message that is being shown."""

    @property
    def unlawful(self) -> bool:
        return self.call.options.illegal_characters

    def render(self, item: Item) -> str:
        """The item's element, from ``<t:Message>`` to ``</t:Message>``; Refused if its content can't be read."""
        known = self.renderers.get(item.item_class)
        if known is None:
            known = self.renderers[item.item_class] = self._compile(item.item_class)
        element, parts = known
        return f"<t:{element}>{''.join([part(item) for part in parts])}</t:{element}>"

    def _compile(self, item_class: str) -> tuple[str, tuple[Renderer, ...]]:
        element, groups = kind_of(item_class)
        parts: list[Renderer] = []
        for group in groups:
            for uri, show in FIELDS[group]:
                if uri == "extended":
                    parts += self.extended
                elif self._wants(uri, group):
                    parts.append(partial(show, self))
        return element, tuple(parts)

    def _wants(self, uri: str, group: str) -> bool:
        if uri == "item:ItemId":
            return not self.path
        if uri == "item:MimeContent":
            return self.deep and (self.mime or uri in self.uris)
        if uri in DEEP and not self.deep:
            return False
        if uri == "item:Flag" and not self.call.at_least("Exchange2013"):
            return False
        if uri == "item:ParentFolderId" and self.path:
            return False
        asked = uri in self.uris or (group == "request" and uri.replace("meetingRequest:", "calendar:") in self.uris)
        asked = asked or (group == "postitem" and uri.replace("postitem:", "message:") in self.uris)
        return asked or self.base == "AllProperties" or (self.base == "Default" and uri in DEFAULT)


def read_shape(call: Call, element: Any, deep: bool) -> Shape:
    """An ``m:ItemShape`` or ``m:AttachmentShape``; ErrorSchemaValidation if it breaks the schema."""
    if element is None:
        return Shape(call, "AllProperties", deep)
    names = (
        "BaseShape", "IncludeMimeContent", "BodyType", "UniqueBodyType", "NormalizedBodyType", "FilterHtmlContent",
        "ConvertHtmlCodePageToUTF8", "InlineImageUrlTemplate", "BlockExternalImages", "AddBlankTargetToLinks", "MaximumBodySize",
        "AdditionalProperties",
    )  # fmt: skip
    attachment = element.tag.endswith("}AttachmentShape")
    given = children(element, names, () if attachment else ("BaseShape",), T)
    base = given["BaseShape"].text if "BaseShape" in given else "AllProperties"
    if base not in _BASES:
        raise invalid("The 'BaseShape' element is invalid.", element)
    shape = Shape(call, base, deep)
    shape.mime = "IncludeMimeContent" in given and given["IncludeMimeContent"].text in ("true", "1")
    if "BodyType" in given:
        shape.body_type = given["BodyType"].text
        if shape.body_type not in ("Best", "HTML", "Text"):
            raise invalid("The 'BodyType' element is invalid.", element)
    for path in additional(given.get("AdditionalProperties")):
        if path.tag == T + "ExtendedFieldURI":
            shape.extended.append(reader(read_path(path), shape.unlawful))
        else:
            shape.uris.add(path.get("FieldURI"))
    return shape


def additional(element: Any) -> list[Any]:
    """The paths below ``t:AdditionalProperties``, looked over; none if there is no such element."""
    if element is None:
        return []
    found = list(element.iterchildren("*"))
    if not found:
        raise invalid("The element 'AdditionalProperties' has incomplete content.", element)
    for path in found:
        if path.tag not in (T + "FieldURI", T + "IndexedFieldURI", T + "ExtendedFieldURI"):
            raise invalid("The element 'AdditionalProperties' has an invalid child element.", path)
        if path.tag != T + "ExtendedFieldURI" and not _URI.fullmatch(path.get("FieldURI", "")):
            raise invalid("The 'FieldURI' attribute is invalid.", path)
    return found
