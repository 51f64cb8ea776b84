"""What is asked of Exchange about contacts, and how the answer becomes a ``Contact``; pure.

Nearly everything is asked for by its MAPI name [MS-OXOCNTC, MS-OXPROPS], because every version of Exchange shows those, and the
schema's own fields leave much out (yomi of the company, user fields, gender, a second type of address). What the target has no
field for keeps its MAPI name all the way.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from connectors.base import Attachment
from connectors.contact import Contact, Kept, Mail, Postal
from connectors.ews.answer import M, T, left_out
from connectors.ews.asking import get_items
from connectors.ews.marks import importance_of, sensitivity_of
from connectors.ews.soap import extended, moment, number

ADDRESS = "00062004-0000-0000-c000-000000000046"
COMMON = "00062008-0000-0000-c000-000000000046"

Place = tuple[str, int]
"""Set (empty: a tag) and number."""

_TEXTS: dict[str, Place] = {
    "display_name": ("", 0x3001),
    "given_name": ("", 0x3A06),
    "middle_name": ("", 0x3A44),
    "surname": ("", 0x3A11),
    "title": ("", 0x3A45),
    "generation": ("", 0x3A05),
    "initials": ("", 0x3A0A),
    "nickname": ("", 0x3A4F),
    "file_as": (ADDRESS, 0x8005),
    "phonetic_given_name": (ADDRESS, 0x802C),
    "phonetic_surname": (ADDRESS, 0x802D),
    "phonetic_company": (ADDRESS, 0x802E),
    "company": ("", 0x3A16),
    "department": ("", 0x3A18),
    "job_title": ("", 0x3A17),
    "office": ("", 0x3A19),
    "profession": ("", 0x3A46),
    "manager": ("", 0x3A4E),
    "assistant": ("", 0x3A30),
    "spouse": ("", 0x3A48),
    "home_page": ("", 0x3A51),
    "mobile_phone": ("", 0x3A1C),
}
_PAIRS: dict[str, tuple[Place, Place]] = {
    "business_phones": (("", 0x3A08), ("", 0x3A1B)),
    "home_phones": (("", 0x3A09), ("", 0x3A2F)),
}
_POSTAL: dict[str, tuple[Place, ...]] = {
    "business_address": tuple((ADDRESS, one) for one in (0x8045, 0x8046, 0x8047, 0x8048, 0x8049)),
    "home_address": tuple(("", one) for one in (0x3A5D, 0x3A59, 0x3A5C, 0x3A5B, 0x3A5A)),
    "other_address": tuple(("", one) for one in (0x3A63, 0x3A5F, 0x3A62, 0x3A61, 0x3A60)),
}
"""Street, city, state, postal code, country."""

_MAIL = tuple(tuple((ADDRESS, first + step) for step in (3, 2, 0, 4)) for first in (0x8080, 0x8090, 0x80A0))
"""Of each e-mail address: the address, its type, the name shown, the name it came with."""

_BIRTHDAY, _CHILDREN, _TEXT = ("", 0x3A42), ("", 0x3A58), ("", 0x1000)
_FLAG, _REMINDER = ("", 0x1090), (COMMON, 0x8503)

KEPT: tuple[tuple[str, str, str, int], ...] = (
    ("subject", "String", "", 0x0037),
    ("submitted", "SystemTime", "", 0x0039),
    ("received", "SystemTime", "", 0x0E06),
    ("business-fax", "String", "", 0x3A24),
    ("home-fax", "String", "", 0x3A25),
    ("other-fax", "String", "", 0x3A23),
    ("assistant-phone", "String", "", 0x3A2E),
    ("callback-phone", "String", "", 0x3A02),
    ("car-phone", "String", "", 0x3A1E),
    ("company-phone", "String", "", 0x3A57),
    ("isdn", "String", "", 0x3A2D),
    ("other-phone", "String", "", 0x3A1F),
    ("pager", "String", "", 0x3A21),
    ("primary-phone", "String", "", 0x3A1A),
    ("radio-phone", "String", "", 0x3A1D),
    ("telex", "String", "", 0x3A2C),
    ("tty-phone", "String", "", 0x3A4B),
    ("anniversary", "SystemTime", "", 0x3A41),
    ("gender", "Short", "", 0x3A4D),
    ("hobbies", "String", "", 0x3A43),
    ("personal-home-page", "String", "", 0x3A50),
    ("ftp-site", "String", "", 0x3A4C),
    ("government-id", "String", "", 0x3A07),
    ("account", "String", "", 0x3A00),
    ("customer-id", "String", "", 0x3A4A),
    ("organisation-id", "String", "", 0x3A10),
    ("computer-network", "String", "", 0x3A49),
    ("language", "String", "", 0x3A0C),
    ("location", "String", "", 0x3A0D),
    ("referred-by", "String", "", 0x3A47),
    ("home-address-text", "String", ADDRESS, 0x801A),
    ("work-address-text", "String", ADDRESS, 0x801B),
    ("other-address-text", "String", ADDRESS, 0x801C),
    ("mailing-address", "Integer", ADDRESS, 0x8022),
    ("web-page", "String", ADDRESS, 0x802B),
    ("free-busy", "String", ADDRESS, 0x80D8),
    ("user-field-1", "String", ADDRESS, 0x804F),
    ("user-field-2", "String", ADDRESS, 0x8050),
    ("user-field-3", "String", ADDRESS, 0x8051),
    ("user-field-4", "String", ADDRESS, 0x8052),
    ("mileage", "String", COMMON, 0x8534),
    ("billing", "String", COMMON, 0x8535),
)
"""Name, type, set and number of what keeps its MAPI name."""

_FIELDS = ("item:ItemClass", "item:Sensitivity", "item:Importance", "item:Categories", "item:Body", "item:Attachments")
_IM = (("ImAddress1", (ADDRESS, 0x8062)),)
_MARKUP = re.compile(r"<\s*/?\s*([a-zA-Z][\w:]*)")
_PLAIN = frozenset({"html", "head", "meta", "body", "title", "style", "p", "br", "div", "span", "font", "o:p"})


def path_of(place: Place, kind: str) -> str:
    """An ExtendedFieldURI."""
    space, own = place
    where = f'PropertySetId="{space}" PropertyId="{own}"' if space else f'PropertyTag="0x{own:04x}"'
    return f'<t:ExtendedFieldURI {where} PropertyType="{kind}"/>'


def _asked() -> str:
    found = [path_of(place, "String") for place in _TEXTS.values()]
    found += [path_of(place, "String") for pair in _PAIRS.values() for place in pair]
    found += [path_of(place, "String") for parts in _POSTAL.values() for place in parts]
    found += [path_of(place, "String") for parts in _MAIL for place in parts]
    found += [path_of(place, "String") for _, place in _IM]
    found += [path_of((space, own), kind) for _, kind, space, own in KEPT]
    found += [path_of(_BIRTHDAY, "SystemTime"), path_of(_CHILDREN, "StringArray"), path_of(_TEXT, "String")]
    found += [path_of(_FLAG, "Integer"), path_of(_REMINDER, "Boolean")]
    return "".join(found)


FIELDS = (*_FIELDS, "contacts:ImAddresses")
SHAPE = (
    "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:BodyType>Best</t:BodyType><t:AdditionalProperties>"
    + "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in FIELDS)
    + _asked()
    + "</t:AdditionalProperties></m:ItemShape>"
)


def get_contacts(ids: Sequence[str]) -> str:
    """GetItem with everything of contacts but the content of their attachments."""
    return get_items(SHAPE, ids)


def attachment_ids(element: Any) -> list[tuple[str, int]]:
    """Ids and sizes of an item's attachments, in its order."""
    found = []
    for one in element.iterfind(f"{T}Attachments/*"):
        own = one.find(f"{T}AttachmentId")
        if own is not None and own.get("Id"):
            found.append((own.get("Id"), number(one.findtext(f"{T}Size")) or 0))
    return found


def attachment_ids_in(message: Any) -> list[tuple[str, int]]:
    """Those of the item that an answer of GetItem holds, if it holds one."""
    element = message.find(f"{M}Items/*")
    return [] if element is None else attachment_ids(element)


def attachment_of(message: Any) -> tuple[Attachment, bool] | None:
    """The attachment that a GetAttachment answer holds, and whether it is a contact's photo; None if it has no content."""
    one = next(iter(message.iterfind(f"{M}Attachments/*")), None)
    if one is None:
        return None
    name, kind = one.findtext(f"{T}Name") or "", one.findtext(f"{T}ContentType") or ""
    content = one.findtext(f"{T}Content")
    if content is None:
        content, kind = one.findtext(f"./*/{T}MimeContent"), "message/rfc822"
        name = name if name.casefold().endswith(".eml") else f"{name or 'message'}.eml"
    if content is None:
        return None
    raw = content.encode().translate(None, b" \t\r\n")
    size = len(raw) // 4 * 3 - raw[-2:].count(b"=")
    inline = (one.findtext(f"{T}IsInline") or "").strip().casefold() in ("true", "1")
    is_photo = (one.findtext(f"{T}IsContactPhoto") or "").strip().casefold() in ("true", "1")
    own = one.findtext(f"{T}ContentId") or None
    return Attachment(name, kind, raw, size, own, inline), is_photo


def contact_of(element: Any, attached: Sequence[tuple[Attachment, bool]] = ()) -> Contact:
    """The contact that an element of GetItem and its attachments describe."""
    told = extended(element)

    def text(place: Place) -> str:
        return told.get(key_of(place)) or ""

    texts: dict[str, Any] = {name: text(place) for name, place in _TEXTS.items()}
    texts |= {name: (text(one), text(other)) for name, (one, other) in _PAIRS.items()}
    texts |= {name: _postal([text(place) for place in places]) for name, places in _POSTAL.items()}
    kind, body = body_of(element)
    notes = body if kind == "text" else (text(_TEXT) or plain(body))
    photo = next((one for one, is_photo in attached if is_photo), None)
    return Contact(
        **texts,
        emails=tuple(_mail([text(place) for place in places]) for places in _MAIL),
        im_addresses=_im(element, text),
        children=children_of(element),
        birthday=moment(told.get(key_of(_BIRTHDAY))),
        notes=notes,
        notes_formatted=kind == "html" and any(tag.casefold() not in _PLAIN for tag in _MARKUP.findall(body)),
        categories=tuple(one.text or "" for one in element.iterfind(f"{T}Categories/{T}String")),
        importance=importance_of(element),
        sensitivity=sensitivity_of(element),
        follow_up=(number(text(_FLAG)) or 0) > 0 or text(_REMINDER).casefold() == "true",
        photo=photo,
        attachments=tuple(one for one, _ in attached if one is not photo),
        kept=kept_of(told, KEPT),
        unlawful=left_out(element),
    )


def key_of(place: Place) -> str:
    """A property by the key that ``soap.extended`` reads it under."""
    space, own = place
    return f"{space}:{own}" if space else f"0x{own:04x}"


def kept_of(told: Mapping[str, str], table: Sequence[tuple[str, str, str, int]]) -> tuple[Kept, ...]:
    """The properties of a table that the item has."""
    found = []
    for name, kind, space, own in table:
        value = told.get(key_of((space, own)))
        if value and not (kind in ("Short", "Integer") and value == "0"):
            found.append(Kept(name, kind, space, own, value))
    return tuple(found)


def body_of(element: Any) -> tuple[Literal["html", "text"], str]:
    """The body in the type in which it came."""
    holder = element.find(f"{T}Body")
    if holder is None:
        return "text", ""
    return "html" if holder.get("BodyType") == "HTML" else "text", holder.text or ""


def plain(markup: str) -> str:
    """The words of HTML, for servers that show no text of it."""
    shown = re.sub(r"(?is)<(style|script|head|title)\b.*?</\1\s*>", "", markup)
    shown = re.sub(r"\s+", " ", shown)
    shown = re.sub(r"(?i)<br\s*/?>|</p\s*>|</div\s*>", "\n", shown)
    return html.unescape(re.sub(r"<[^>]*>", "", shown)).strip()


def children_of(element: Any) -> tuple[str, ...]:
    """The only property of several values that a contact has."""
    for prop in element.iterfind(f"{T}ExtendedProperty"):
        uri = prop.find(f"{T}ExtendedFieldURI")
        tag = (uri.get("PropertyTag") if uri is not None else None) or ""
        if tag.casefold() in ("0x3a58", "0x03a58"):
            return tuple(one.text for one in prop.iterfind(f"{T}Values/{T}Value") if one.text)
    return ()


def _postal(parts: Sequence[str]) -> Postal | None:
    return Postal(*parts) if any(parts) else None


def _mail(parts: Sequence[str]) -> Mail | None:
    address, kind, name, original = parts
    return Mail(address, kind or "SMTP", name, original) if address else None


def _im(element: Any, text: Any) -> tuple[str, ...]:
    entries = {one.get("Key"): one.text or "" for one in element.iterfind(f"{T}ImAddresses/{T}Entry")}
    first = entries.get("ImAddress1") or text(_IM[0][1])
    found = (first, entries.get("ImAddress2") or "", entries.get("ImAddress3") or "")
    return tuple(one for one in found if one)
