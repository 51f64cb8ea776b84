"""A contact of ours as the JSON that Graph takes; pure.

What the contact resource has no field for travels as extended properties, in the creating request [learn.microsoft.com/graph/
api/resources/contact, extended-properties-overview]: the names that are shown for e-mail addresses, addresses that are no SMTP
addresses, anniversary, further phones, user fields, class and sensitivity. The stamp goes with it; a contact whose photo follows
in a later request carries it with PARTIAL behind, until the photo is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.base import Attachment, Refusal
from connectors.contact import Contact, Mail, Postal
from connectors.graph import extended as x
from connectors.graph.convert import REQUEST_LIMIT, raw_size, safe_text, usable

ADDRESS = "{00062004-0000-0000-c000-000000000046}"
CLASS = "IPM.Contact"
PHOTO_LIMIT = 4 * 1024 * 1024
"""Bytes below which a photo is taken [learn.microsoft.com/graph/api/profilephoto-update]."""

NOTES_LIMIT = 1_000_000
_JPEG = b"/9j/"
_FIELDS = {
    "displayName": "display_name",
    "givenName": "given_name",
    "middleName": "middle_name",
    "surname": "surname",
    "title": "title",
    "generation": "generation",
    "initials": "initials",
    "nickName": "nickname",
    "fileAs": "file_as",
    "yomiGivenName": "phonetic_given_name",
    "yomiSurname": "phonetic_surname",
    "yomiCompanyName": "phonetic_company",
    "companyName": "company",
    "department": "department",
    "jobTitle": "job_title",
    "officeLocation": "office",
    "profession": "profession",
    "manager": "manager",
    "assistantName": "assistant",
    "spouseName": "spouse",
    "businessHomePage": "home_page",
    "mobilePhone": "mobile_phone",
}
_SENSITIVITY = {"personal": "1", "private": "2", "confidential": "3"}
_IMPORTANCE = {"low": "0", "high": "2"}
_PLACES = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")


@dataclass(frozen=True, slots=True)
class ComposedContact:
    """A creating request, the photo that follows it, and the names of what the lane could not carry whole."""

    body: bytes
    photo: Attachment | None
    degraded: tuple[str, ...]


class _Texts:
    """Makes texts fit, and remembers whether one had to be changed."""

    def __init__(self) -> None:
        self.odd = False

    def __call__(self, text: str) -> str:
        found, odd = safe_text(text)
        self.odd = self.odd or odd
        return found


def compose_contact(contact: Contact, stamp: str, item_class: str = CLASS) -> ComposedContact | Refusal:
    """The creating request for a contact, or why it can't go at all."""
    lost: list[str] = []
    fit = _Texts()
    fields: dict[str, Any] = {}
    for name, own in _FIELDS.items():
        if value := fit(getattr(contact, own)):
            fields[name] = value
    # Without a display name the server makes one up.
    fields.setdefault("displayName", "")
    for name, texts in (
        ("businessPhones", contact.business_phones),
        ("homePhones", contact.home_phones),
        ("imAddresses", contact.im_addresses),
        ("children", contact.children),
        ("categories", contact.categories),
    ):
        if found := [fit(one) for one in texts if one]:
            fields[name] = found
    for name, postal in (
        ("businessAddress", contact.business_address),
        ("homeAddress", contact.home_address),
        ("otherAddress", contact.other_address),
    ):
        if postal is not None:
            fields[name] = _postal(postal, fit)
    if contact.birthday:
        fields["birthday"] = x.written(contact.birthday)
    notes = fit(contact.notes)
    if len(notes) > NOTES_LIMIT:
        notes = notes[:NOTES_LIMIT]
        lost.append("notes")
    if notes:
        fields["personalNotes"] = notes
    if contact.notes_formatted:
        lost.append("notes-formatting")
    if contact.follow_up:
        lost.append("follow-up")
    if contact.attachments:
        lost.append("contact-attachments")
    if any(second and not first for first, second in (contact.business_phones, contact.home_phones)):
        lost.append("phone-order")  # they are lists there, in which the second one becomes the first
    properties = [*_emails(contact.emails, fields, fit), *_properties(contact, item_class, fit)]
    photo = _photo(contact.photo, lost)
    properties.append(x.pair(x.STAMP, stamp + x.PARTIAL if photo else stamp))
    fields["singleValueExtendedProperties"] = properties
    if fit.odd or contact.unlawful:
        lost.append("characters")
    body = orjson.dumps(fields)
    if len(body) > REQUEST_LIMIT:
        return Refusal("too-large", "its fields are larger than the target takes in one request")
    return ComposedContact(body, photo, tuple(dict.fromkeys(lost)))


def _postal(postal: Postal, fit: _Texts) -> dict[str, str]:
    parts = {
        "street": postal.street,
        "city": postal.city,
        "state": postal.state,
        "postalCode": postal.postal_code,
        "countryOrRegion": postal.country,
    }
    return {name: fit(text) for name, text in parts.items() if text}


def _emails(emails: Sequence[Mail | None], fields: dict[str, Any], fit: _Texts) -> list[dict[str, str]]:
    """Addresses in their places; returns the extended properties that go with them.

    ``emailAddresses`` has an order but no gaps, so that what stands behind a free place, or behind an address that the field
    does not take, is named by its place instead.
    """
    properties: list[dict[str, str]] = []
    taken: list[tuple[int, dict[str, str]]] = []
    for place, mail in enumerate(emails[:3]):
        if mail is None:
            continue
        first = 0x8080 + 0x10 * place
        if usable(mail.address):
            named = {"address": fit(mail.address)}
            if mail.name:
                named["name"] = fit(mail.name)
            taken.append((place, named))
        else:
            properties.append(_own(first + 3, fit(mail.address)))
        if mail.kind.casefold() != "smtp":
            properties.append(_own(first + 2, fit(mail.kind)))
        properties += [_own(first + step, fit(text)) for step, text in ((0, mail.name), (4, mail.original)) if text]
    if [place for place, _ in taken] == list(range(len(taken))):
        if taken:
            fields["emailAddresses"] = [named for _, named in taken]
    else:
        fields.update({_PLACES[place]: named for place, named in taken})
    return properties


def _own(number: int, value: str) -> dict[str, str]:
    return x.pair(f"String {ADDRESS} Id 0x{number:04X}", value)


def _properties(contact: Contact, item_class: str, fit: _Texts) -> list[dict[str, str]]:
    found = []
    for kept in contact.kept:
        where = f"{{{kept.space}}} Id 0x{kept.number:04X}" if kept.space else f"0x{kept.number:04X}"
        found.append(x.pair(f"{kept.kind} {where}", fit(kept.value)))
    if item_class.casefold() != CLASS.casefold():
        found.append(x.pair(x.ITEM_CLASS, item_class))
    if contact.sensitivity in _SENSITIVITY:
        found.append(x.pair(x.SENSITIVITY, _SENSITIVITY[contact.sensitivity]))
    if contact.importance in _IMPORTANCE:
        found.append(x.pair(x.IMPORTANCE, _IMPORTANCE[contact.importance]))
    return found


def _photo(photo: Attachment | None, lost: list[str]) -> Attachment | None:
    """The photo if the target takes it: a JPEG of less than PHOTO_LIMIT bytes."""
    if photo is None:
        return None
    if photo.content[: len(_JPEG)] == _JPEG and raw_size(photo) < PHOTO_LIMIT:
        return photo
    lost.append("photo")
    return None
