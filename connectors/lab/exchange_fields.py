"""The fields of an item as EWS shows them: which element, in which order, and what a shape asks for.

The order within each group is the schema's sequence [XSD: ItemType and the types that extend it].
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from . import exchange_calendar as calendar
from . import exchange_mime as mime
from .appointments import diary_of
from .exchange_call import Refused, b64, text, when
from .exchange_ids import attachment_id, change_key, folder_id, item_id
from .exchange_properties import address, appointment, common, meeting, named_address, own_value, task
from .exchange_tasks import task_recurrence
from .truth import Item, Person

if TYPE_CHECKING:
    from .exchange_shape import Shape

Renderer = Callable[[Item], str]
Show = Callable[["Shape", Item], str]


def mailbox(person: Person, unlawful: bool = False, tag: str = "Mailbox") -> str:
    """A person as ``t:Mailbox``; an address that is none is left out, one that is no SMTP address says so."""
    inner = f"<t:Name>{text(person.name or person.address, unlawful)}</t:Name>"
    if person.address:
        way = "EX" if person.address.startswith("/") else "SMTP"
        inner += f"<t:EmailAddress>{text(person.address, unlawful)}</t:EmailAddress><t:RoutingType>{way}</t:RoutingType>"
    return f"<t:{tag}>{inner}<t:MailboxType>{'OneOff' if person.address else 'Unknown'}</t:MailboxType></t:{tag}>"


def _text(tag: str, get: Callable[[Item], object]) -> Show:
    def show(shape: Shape, item: Item) -> str:
        value = get(item)
        return f"<t:{tag}>{text(value, shape.unlawful)}</t:{tag}>" if isinstance(value, str) else ""

    return show


def _filled(tag: str, get: Callable[[Item], object]) -> Show:
    plain = _text(tag, get)
    return lambda shape, item: plain(shape, item) if get(item) else ""


def _time(tag: str, get: Callable[[Item], object]) -> Show:
    def show(_: Shape, item: Item) -> str:
        value = get(item)
        return f"<t:{tag}>{when(value)}</t:{tag}>" if isinstance(value, datetime) else ""

    return show


def _number(tag: str, get: Callable[[Item], object]) -> Show:
    def show(_: Shape, item: Item) -> str:
        value = get(item)
        return f"<t:{tag}>{value}</t:{tag}>" if isinstance(value, int) and not isinstance(value, bool) else ""

    return show


def _bool(tag: str, get: Callable[[Item], object]) -> Show:
    yes, no = f"<t:{tag}>true</t:{tag}>", f"<t:{tag}>false</t:{tag}>"
    return lambda _, item: yes if get(item) else no


def _choice(tag: str, words: tuple[str, ...], get: Callable[[Item], object]) -> Show:
    def show(_: Shape, item: Item) -> str:
        value = get(item)
        return f"<t:{tag}>{words[value] if isinstance(value, int) and 0 <= value < len(words) else words[0]}</t:{tag}>"

    return show


def _person(tag: str, get: Callable[[Item], Person | None]) -> Show:
    def show(shape: Shape, item: Item) -> str:
        person = get(item)
        if person is None or not (person.name or person.address):
            return ""
        return f"<t:{tag}>{mailbox(person, shape.unlawful)}</t:{tag}>"

    return show


def _people(tag: str, get: Callable[[Item], list[Person]]) -> Show:
    def show(shape: Shape, item: Item) -> str:
        people = get(item)
        if not people:
            return ""
        return f"<t:{tag}>{''.join(mailbox(person, shape.unlawful) for person in people)}</t:{tag}>"

    return show


def _asked(tag: str, get: Callable[[Item], list[Person]]) -> Show:
    """Attendees with what each of them answered."""

    def show(shape: Shape, item: Item) -> str:
        answers = diary_of(item).answers
        inner = "".join(
            f"<t:Attendee>{mailbox(one, shape.unlawful)}<t:ResponseType>{answers.get(one.address, 'Unknown')}</t:ResponseType>"
            "</t:Attendee>"
            for one in get(item)
        )
        return f"<t:{tag}>{inner}</t:{tag}>" if inner else ""

    return show


def _item_id(shape: Shape, item: Item) -> str:
    owner = shape.call.box_of()
    return f'<t:ItemId Id="{item_id(owner, item.id)}" ChangeKey="{change_key(owner, item.change)}"/>'


def _parent(shape: Shape, item: Item) -> str:
    owner = shape.call.box_of()
    box = owner.boxes.get(item.folder_id)
    key = change_key(owner, box.change if box else 0)
    return f'<t:ParentFolderId Id="{folder_id(owner, item.folder_id)}" ChangeKey="{key}"/>'


def _mime(shape: Shape, item: Item) -> str:
    key = (shape.call.box_of().guid, item.id, item.change, shape.path, "mime")
    try:
        made = shape.call.cache.get(key, lambda: mime.render(item, contacts=shape.call.build[0] >= 15))
    except Refused:
        # Clients that ask for every field by its path get the others; who asks for the MIME itself gets the error.
        if shape.mime:
            raise
        return ""
    return f'<t:MimeContent CharacterSet="UTF-8">{b64(made)}</t:MimeContent>'


def body(shape: Shape, item: Item) -> str:
    """``t:Body`` in the type asked for; made from the other type where the item has only that one."""
    as_text = shape.body_type == "Text" or (shape.body_type == "Best" and item.body_html is None)
    if as_text:
        value = item.body_text
        if value is None and item.body_html is not None:
            value = html.unescape(re.sub(r"<[^>]*>", "", item.body_html))
    else:
        value = item.body_html
        if value is None and item.body_text is not None:
            value = f"<html><body>{html.escape(item.body_text)}</body></html>"
    return f'<t:Body BodyType="{"Text" if as_text else "HTML"}">{text(value or "", shape.unlawful)}</t:Body>'


def attachment(shape: Shape, item: Item, index: int, tail: str = "") -> str:
    """One ``t:FileAttachment`` or ``t:ItemAttachment``; ``tail`` is its content, if that was asked for."""
    part = item.parts[index]
    tag = "ItemAttachment" if part.kind == "message" else "FileAttachment"
    wire = attachment_id(shape.call, item, (*shape.path, index))
    inner = f'<t:AttachmentId Id="{wire}"/><t:Name>{text(part.name, shape.unlawful)}</t:Name>'
    if part.content_type:
        inner += f"<t:ContentType>{text(part.content_type)}</t:ContentType>"
    if part.content_id is not None:
        inner += f"<t:ContentId>{text(part.content_id)}</t:ContentId>"
    inner += f"<t:Size>{len(part.content) + 200}</t:Size>"
    if item.modified is not None:
        inner += f"<t:LastModifiedTime>{when(item.modified)}</t:LastModifiedTime>"
    inner += f"<t:IsInline>{'true' if part.inline else 'false'}</t:IsInline>"
    if tag == "FileAttachment":
        inner += f"<t:IsContactPhoto>{'true' if part.photo else 'false'}</t:IsContactPhoto>"
    return f"<t:{tag}>{inner}{tail}</t:{tag}>"


def _attachments(shape: Shape, item: Item) -> str:
    if not item.parts:
        return ""
    return f"<t:Attachments>{''.join(attachment(shape, item, index) for index in range(len(item.parts)))}</t:Attachments>"


def _headers(shape: Shape, item: Item) -> str:
    found = []
    for line in re.split(r"\r?\n(?![ \t])", item.headers or ""):
        name, colon, value = line.partition(":")
        if colon and name:
            value = text(re.sub(r"\r?\n[ \t]+", " ", value).strip(), shape.unlawful)
            found.append(f'<t:InternetMessageHeader HeaderName="{text(name)}">{value}</t:InternetMessageHeader>')
    return f"<t:InternetMessageHeaders>{''.join(found)}</t:InternetMessageHeaders>" if found else ""


def _categories(shape: Shape, item: Item) -> str:
    if not item.categories:
        return ""
    inner = "".join(f"<t:String>{text(name, shape.unlawful)}</t:String>" for name in item.categories)
    return f"<t:Categories>{inner}</t:Categories>"


def _flag(_: Shape, item: Item) -> str:
    status = {"flagged": "Flagged", "complete": "Complete"}.get(item.flag, "NotFlagged")
    inner = f"<t:FlagStatus>{status}</t:FlagStatus>"
    if status == "Flagged":
        for tag, moment in (("StartDate", item.flag_start), ("DueDate", item.flag_due)):
            inner += f"<t:{tag}>{when(moment)}</t:{tag}>" if moment else ""
    if status == "Complete" and item.flag_completed:
        inner += f"<t:CompleteDate>{when(item.flag_completed)}</t:CompleteDate>"
    return f"<t:Flag>{inner}</t:Flag>"


def _addresses(shape: Shape, item: Item) -> str:
    found = []
    for key, numbers in (("1", (0x8083, 0x8080)), ("2", (0x8093, 0x8090)), ("3", (0x80A3, 0x80A0))):
        value, name = address(item, numbers[0]), address(item, numbers[1])
        if isinstance(value, str) and value:
            shown = f' Name="{text(name)}"' if isinstance(name, str) and name else ""
            way = address(item, numbers[0] - 1)
            shown += f' RoutingType="{text(way)}"' if isinstance(way, str) and way else ' RoutingType="SMTP"'
            found.append(f'<t:Entry Key="EmailAddress{key}"{shown}>{text(value, shape.unlawful)}</t:Entry>')
    return f"<t:EmailAddresses>{''.join(found)}</t:EmailAddresses>" if found else ""


_PHONES = (
    ("AssistantPhone", 0x3A2E), ("BusinessFax", 0x3A24), ("BusinessPhone", 0x3A08), ("BusinessPhone2", 0x3A1B),
    ("Callback", 0x3A02), ("CarPhone", 0x3A1E), ("CompanyMainPhone", 0x3A57), ("HomeFax", 0x3A25), ("HomePhone", 0x3A09),
    ("HomePhone2", 0x3A2F), ("Isdn", 0x3A2D), ("MobilePhone", 0x3A1C), ("OtherFax", 0x3A23), ("OtherTelephone", 0x3A1F),
    ("Pager", 0x3A21), ("PrimaryPhone", 0x3A1A), ("RadioPhone", 0x3A1D), ("Telex", 0x3A2C), ("TtyTddPhone", 0x3A4B),
)  # fmt: skip
_POSTAL = ("Street", "City", "State", "CountryOrRegion", "PostalCode")
_PLACES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("Home", (0x3A5D, 0x3A59, 0x3A5C, 0x3A5A, 0x3A5B)),
    ("Business", (0x8045, 0x8046, 0x8047, 0x8049, 0x8048)),
    ("Other", (0x3A63, 0x3A5F, 0x3A62, 0x3A60, 0x3A61)),
)


def _phones(shape: Shape, item: Item) -> str:
    found = []
    for key, tag in _PHONES:
        value = own_value(item.extended, tag)
        if isinstance(value, str) and value:
            found.append(f'<t:Entry Key="{key}">{text(value, shape.unlawful)}</t:Entry>')
    return f"<t:PhoneNumbers>{''.join(found)}</t:PhoneNumbers>" if found else ""


def _postal(shape: Shape, item: Item) -> str:
    found = []
    for key, places in _PLACES:
        inner = ""
        for tag, place in zip(_POSTAL, places, strict=True):
            value = address(item, place) if place >= 0x8000 else own_value(item.extended, place)
            if isinstance(value, str) and value:
                inner += f"<t:{tag}>{text(value, shape.unlawful)}</t:{tag}>"
        if inner:
            found.append(f'<t:Entry Key="{key}">{inner}</t:Entry>')
    return f"<t:PhysicalAddresses>{''.join(found)}</t:PhysicalAddresses>" if found else ""


def _im(shape: Shape, item: Item) -> str:
    values = (address(item, 0x8062), *(named_address(item, f"AirSync:IMAddress{number}") for number in (2, 3)))
    found = [
        f'<t:Entry Key="ImAddress{place}">{text(value, shape.unlawful)}</t:Entry>'
        for place, value in enumerate(values, 1)
        if isinstance(value, str) and value
    ]
    return f"<t:ImAddresses>{''.join(found)}</t:ImAddresses>" if found else ""


def _strings(tag: str, get: Callable[[Item], object]) -> Show:
    def show(shape: Shape, item: Item) -> str:
        values = get(item)
        if not isinstance(values, list) or not values:
            return ""
        return f"<t:{tag}>{''.join(f'<t:String>{text(one, shape.unlawful)}</t:String>' for one in values)}</t:{tag}>"

    return show


def _member(shape: Shape, person: Person) -> str:
    key = b64(b"member" + person.address.encode("utf-8", "replace"))
    return f'<t:Member Key="{key}">{mailbox(person, shape.unlawful)}<t:Status>Normal</t:Status></t:Member>'


def _members(shape: Shape, item: Item) -> str:
    return f"<t:Members>{''.join(_member(shape, person) for person in item.to)}</t:Members>" if item.to else ""


def _tag(number: int) -> Callable[[Item], object]:
    return lambda item: own_value(item.extended, number)


def _cal(number: int) -> Callable[[Item], object]:
    return lambda item: appointment(item, number)


def _uid(item: Item) -> str:
    value, own = meeting(item, 3), diary_of(item).uid
    return own or (value.hex().upper() if isinstance(value, bytes) else f"lab-{item.id.partition('#')[0]}")


def _is_meeting(item: Item) -> bool:
    state = appointment(item, 0x8217)
    return bool(item.to or item.cc or item.bcc) or bool(isinstance(state, int) and state & 1)


def _percent(_: Shape, item: Item) -> str:
    value = task(item, 0x8102)
    return f"<t:PercentComplete>{value * 100:g}</t:PercentComplete>" if isinstance(value, float | int) else ""


_BUSY = ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere")
_STATUS = ("NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred")
_RESPONSE = ("Unknown", "Organizer", "Tentative", "Accept", "Decline", "NoResponseReceived")
_SENSITIVITY = ("Normal", "Personal", "Private", "Confidential")
_IMPORTANCE = ("Low", "Normal", "High")


def _when_fields(prefix: str, after_end: Sequence[tuple[str, Show]] = ()) -> list[tuple[str, Show]]:
    """What calendar items and meeting requests share, in order."""
    return [
        (f"{prefix}:Start", _time("Start", _cal(0x820D))),
        (f"{prefix}:End", _time("End", _cal(0x820E))),
        *after_end,
        (f"{prefix}:IsAllDayEvent", _bool("IsAllDayEvent", _cal(0x8215))),
        (f"{prefix}:LegacyFreeBusyStatus", _choice("LegacyFreeBusyStatus", _BUSY, _cal(0x8205))),
        (f"{prefix}:Location", _text("Location", _cal(0x8208))),
        (f"{prefix}:IsMeeting", _bool("IsMeeting", _is_meeting)),
        (f"{prefix}:IsCancelled", _bool("IsCancelled", lambda item: bool(_int(appointment(item, 0x8217)) & 4))),
        (f"{prefix}:IsRecurring", _bool("IsRecurring", _cal(0x8223))),
    ]


def _attendee_fields(prefix: str) -> list[tuple[str, Show]]:
    return [
        (f"{prefix}:MyResponseType", _choice("MyResponseType", _RESPONSE, _cal(0x8218))),
        (f"{prefix}:Organizer", _person("Organizer", lambda item: item.author or item.sender)),
        (f"{prefix}:RequiredAttendees", _asked("RequiredAttendees", lambda item: item.to)),
        (f"{prefix}:OptionalAttendees", _asked("OptionalAttendees", lambda item: item.cc)),
        (f"{prefix}:Resources", _asked("Resources", lambda item: item.bcc)),
    ]


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


FIELDS: dict[str, list[tuple[str, Show]]] = {
    "item": [
        ("item:MimeContent", _mime),
        ("item:ItemId", _item_id),
        ("item:ParentFolderId", _parent),
        ("item:ItemClass", _text("ItemClass", lambda item: item.item_class)),
        ("item:Subject", _text("Subject", lambda item: item.subject)),
        ("item:Sensitivity", _choice("Sensitivity", _SENSITIVITY, lambda item: item.sensitivity)),
        ("item:Body", body),
        ("item:Attachments", _attachments),
        ("item:DateTimeReceived", _time("DateTimeReceived", lambda item: item.received or item.created)),
        ("item:Size", _number("Size", lambda item: item.size)),
        ("item:Categories", _categories),
        ("item:Importance", _choice("Importance", _IMPORTANCE, lambda item: item.importance)),
        ("item:InReplyTo", _filled("InReplyTo", lambda item: item.in_reply_to)),
        ("item:IsSubmitted", _bool("IsSubmitted", lambda item: False)),
        ("item:IsDraft", _bool("IsDraft", lambda item: item.is_draft)),
        ("item:IsFromMe", _bool("IsFromMe", lambda item: False)),
        ("item:InternetMessageHeaders", _headers),
        ("item:DateTimeSent", _time("DateTimeSent", lambda item: item.submitted)),
        ("item:DateTimeCreated", _time("DateTimeCreated", lambda item: item.created)),
        ("item:ReminderDueBy", _time("ReminderDueBy", lambda item: common(item, 0x8502))),
        ("item:ReminderIsSet", _bool("ReminderIsSet", lambda item: common(item, 0x8503))),
        ("item:ReminderMinutesBeforeStart", _number("ReminderMinutesBeforeStart", lambda item: common(item, 0x8501))),
        ("item:DisplayCc", _text("DisplayCc", lambda item: "; ".join(one.name for one in item.cc))),
        ("item:DisplayTo", _text("DisplayTo", lambda item: "; ".join(one.name for one in item.to))),
        ("item:HasAttachments", _bool("HasAttachments", lambda item: any(not part.inline for part in item.parts))),
        ("extended", body),
        ("item:LastModifiedTime", _time("LastModifiedTime", lambda item: item.modified)),
        ("item:Flag", _flag),
    ],
    "message": [
        ("message:Sender", _person("Sender", lambda item: item.sender)),
        ("message:ToRecipients", _people("ToRecipients", lambda item: item.to)),
        ("message:CcRecipients", _people("CcRecipients", lambda item: item.cc)),
        ("message:BccRecipients", _people("BccRecipients", lambda item: item.bcc)),
        ("message:IsReadReceiptRequested", _bool("IsReadReceiptRequested", lambda item: item.wants_read_receipt)),
        ("message:IsDeliveryReceiptRequested", _bool("IsDeliveryReceiptRequested", lambda item: item.wants_delivery_receipt)),
        ("message:From", _person("From", lambda item: item.author)),
        ("message:InternetMessageId", _filled("InternetMessageId", lambda item: item.message_id)),
        ("message:IsRead", _bool("IsRead", lambda item: item.is_read)),
        ("message:References", _filled("References", lambda item: item.references)),
        ("message:ReplyTo", _people("ReplyTo", lambda item: item.reply_to)),
    ],
    "postitem": [
        ("message:From", _person("From", lambda item: item.author)),
        ("message:InternetMessageId", _filled("InternetMessageId", lambda item: item.message_id)),
        ("message:IsRead", _bool("IsRead", lambda item: item.is_read)),
        ("postitem:PostedTime", _time("PostedTime", lambda item: item.submitted)),
        ("message:References", _filled("References", lambda item: item.references)),
        ("message:Sender", _person("Sender", lambda item: item.sender)),
    ],
    "meeting": [("calendar:UID", _text("UID", _uid))],
    "request": [
        ("meetingRequest:MeetingRequestType", lambda _, item: "<t:MeetingRequestType>NewMeetingRequest</t:MeetingRequestType>"),
        *_when_fields("meetingRequest"),
        *_attendee_fields("meetingRequest"),
    ],
    "response": [
        ("calendar:Start", _time("Start", _cal(0x820D))),
        ("calendar:End", _time("End", _cal(0x820E))),
        ("calendar:Location", _text("Location", _cal(0x8208))),
    ],
    "calendar": [
        ("calendar:UID", _text("UID", _uid)),
        *_when_fields("calendar", (("calendar:OriginalStart", calendar.original_start),)),
        ("calendar:MeetingRequestWasSent", _bool("MeetingRequestWasSent", _is_meeting)),
        ("calendar:CalendarItemType", _filled("CalendarItemType", calendar.kind_of)),
        *_attendee_fields("calendar"),
        ("calendar:AppointmentSequenceNumber", _number("AppointmentSequenceNumber", _cal(0x8201))),
        ("calendar:AppointmentState", _number("AppointmentState", _cal(0x8217))),
        ("calendar:Recurrence", calendar.recurrence),
        ("calendar:ModifiedOccurrences", calendar.modified),
        ("calendar:DeletedOccurrences", calendar.deleted),
        ("calendar:StartTimeZone", calendar.zone("StartTimeZone")),
        ("calendar:EndTimeZone", calendar.zone("EndTimeZone")),
        ("calendar:StartTimeZoneId", _filled("StartTimeZoneId", calendar.zone_id)),
        ("calendar:EndTimeZoneId", _filled("EndTimeZoneId", calendar.zone_id)),
    ],
    "contacts": [
        ("contacts:FileAs", _text("FileAs", lambda item: address(item, 0x8005))),
        ("contacts:DisplayName", _text("DisplayName", _tag(0x3001))),
        ("contacts:GivenName", _text("GivenName", _tag(0x3A06))),
        ("contacts:Initials", _text("Initials", _tag(0x3A0A))),
        ("contacts:MiddleName", _text("MiddleName", _tag(0x3A44))),
        ("contacts:Nickname", _text("Nickname", _tag(0x3A4F))),
        ("contacts:CompanyName", _text("CompanyName", _tag(0x3A16))),
        ("contacts:EmailAddresses", _addresses),
        ("contacts:PhysicalAddresses", _postal),
        ("contacts:PhoneNumbers", _phones),
        ("contacts:AssistantName", _text("AssistantName", _tag(0x3A30))),
        ("contacts:Birthday", _time("Birthday", _tag(0x3A42))),
        ("contacts:BusinessHomePage", _filled("BusinessHomePage", _tag(0x3A51))),
        ("contacts:Children", _strings("Children", _tag(0x3A58))),
        ("contacts:Department", _text("Department", _tag(0x3A18))),
        ("contacts:Generation", _text("Generation", _tag(0x3A05))),
        ("contacts:ImAddresses", _im),
        ("contacts:JobTitle", _text("JobTitle", _tag(0x3A17))),
        ("contacts:Manager", _text("Manager", _tag(0x3A4E))),
        ("contacts:OfficeLocation", _text("OfficeLocation", _tag(0x3A19))),
        ("contacts:Profession", _text("Profession", _tag(0x3A46))),
        ("contacts:SpouseName", _text("SpouseName", _tag(0x3A48))),
        ("contacts:Surname", _text("Surname", _tag(0x3A11))),
        ("contacts:WeddingAnniversary", _time("WeddingAnniversary", _tag(0x3A41))),
        ("contacts:HasPicture", _bool("HasPicture", lambda item: any(part.photo for part in item.parts))),
    ],
    "distributionlist": [
        ("distributionlist:DisplayName", _text("DisplayName", lambda item: item.subject)),
        ("contacts:FileAs", _text("FileAs", lambda item: item.subject)),
        ("distributionlist:Members", _members),
    ],
    "task": [
        ("task:CompleteDate", _time("CompleteDate", lambda item: task(item, 0x810F))),
        ("task:DueDate", _time("DueDate", lambda item: task(item, 0x8105) or item.flag_due)),
        ("task:IsComplete", _bool("IsComplete", lambda item: task(item, 0x811C))),
        ("task:IsRecurring", _bool("IsRecurring", lambda item: task(item, 0x8126))),
        ("task:Owner", _text("Owner", lambda item: task(item, 0x811F))),
        ("task:PercentComplete", _percent),
        ("task:Recurrence", lambda _, item: task_recurrence(item)),
        ("task:StartDate", _time("StartDate", lambda item: task(item, 0x8104) or item.flag_start)),
        ("task:Status", _choice("Status", _STATUS, lambda item: task(item, 0x8101))),
    ],
}

DEEP = {
    "item:MimeContent", "item:Body", "item:Attachments", "item:InternetMessageHeaders", "message:ToRecipients",
    "message:CcRecipients", "message:BccRecipients", "message:ReplyTo", "calendar:RequiredAttendees",
    "calendar:OptionalAttendees", "calendar:Resources", "meetingRequest:RequiredAttendees", "meetingRequest:OptionalAttendees",
    "meetingRequest:Resources", "distributionlist:Members", "calendar:Recurrence", "calendar:ModifiedOccurrences",
    "calendar:DeletedOccurrences", "calendar:StartTimeZone", "calendar:EndTimeZone",
}  # fmt: skip
"""What a listing never shows [MS docs: FindItem and SyncFolderItems return no bodies, attachments or recipients]."""

DEFAULT = {
    "item:Subject", "item:Sensitivity", "item:Body", "item:Attachments", "item:Size", "item:DateTimeSent", "item:DateTimeCreated",
    "item:HasAttachments", "message:From", "message:ToRecipients", "message:CcRecipients", "message:IsRead",
    "message:IsReadReceiptRequested", "message:IsDeliveryReceiptRequested", "message:InternetMessageId", "calendar:Start",
    "calendar:End", "calendar:Location", "calendar:Organizer", "calendar:LegacyFreeBusyStatus", "calendar:CalendarItemType",
    "contacts:FileAs", "contacts:EmailAddresses", "contacts:PhoneNumbers", "contacts:JobTitle", "contacts:CompanyName",
    "task:DueDate", "task:Status", "task:PercentComplete", "task:StartDate", "distributionlist:DisplayName",
}  # fmt: skip
