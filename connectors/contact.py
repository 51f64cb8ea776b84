"""A contact and a task taken apart for the compose lane; pure values, no wire.

What both wires know by a name of their own is a field here. What both know only as a MAPI property [MS-OXPROPS] travels as
``Kept``: its place, its type and its value as text, which both wires write alike. Whatever is empty at the source is empty here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from connectors.base import Attachment
from connectors.event import Recurrence

Sensitivity = Literal["normal", "personal", "private", "confidential"]
Importance = Literal["low", "normal", "high"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One MAPI property: ``name`` for people, ``kind`` its type's word, ``space`` its set (empty: a tag), ``value`` as text."""

    name: str
    kind: str
    space: str
    number: int
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """One of a contact's three e-mail addresses. ``kind`` is ``SMTP``, ``EX`` (X.500) or another routing type.

    ``name`` is what is shown for it; ``original`` the name it came with, for an X.500 address often the SMTP address behind it.
    """

    address: str = ""
    kind: str = "SMTP"
    name: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True)
class Postal:
    """One postal address."""

    street: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person or company. ``emails`` has three places, ``business_phones`` and ``home_phones`` two each; None or empty if free.

    ``notes`` is plain text; ``notes_formatted`` says that the source has more than plain text there. ``follow_up`` says that a
    flag or a reminder is set. ``attachments`` are without the photo. ``unlawful`` says that the source sent characters that its
    wire can't hold, and that they were left out.
    """

    display_name: str = ""
    given_name: str = ""
    middle_name: str = ""
    surname: str = ""
    title: str = ""
    generation: str = ""
    initials: str = ""
    nickname: str = ""
    file_as: str = ""
    phonetic_given_name: str = ""
    phonetic_surname: str = ""
    phonetic_company: str = ""
    company: str = ""
    department: str = ""
    job_title: str = ""
    office: str = ""
    profession: str = ""
    manager: str = ""
    assistant: str = ""
    spouse: str = ""
    children: tuple[str, ...] = ()
    home_page: str = ""
    emails: tuple[Mail | None, ...] = (None, None, None)
    im_addresses: tuple[str, ...] = ()
    business_phones: tuple[str, str] = ("", "")
    home_phones: tuple[str, str] = ("", "")
    mobile_phone: str = ""
    business_address: Postal | None = None
    home_address: Postal | None = None
    other_address: Postal | None = None
    birthday: datetime | None = None
    notes: str = field(default="", repr=False)
    notes_formatted: bool = False
    categories: tuple[str, ...] = ()
    importance: Importance = "normal"
    sensitivity: Sensitivity = "normal"
    follow_up: bool = False
    photo: Attachment | None = None
    attachments: tuple[Attachment, ...] = ()
    kept: tuple[Kept, ...] = ()
    unlawful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do. ``start``, ``due`` and ``completed`` are days; ``percent`` is 0 to 100.

    ``repeat`` is None for a task that doesn't, and for one whose pattern can't be read (``repeats`` then is still true).
    ``kept``, ``companies`` and ``people`` are what To Do has no place for. ``unlawful`` is that of ``Contact``.
    """

    subject: str = field(default="", repr=False)
    body: str = field(default="", repr=False)
    body_kind: Literal["html", "text"] = "text"
    start: date | None = None
    due: date | None = None
    completed: date | None = None
    reminder: datetime | None = None
    status: Literal["notStarted", "inProgress", "completed", "waitingOnOthers", "deferred"] = "notStarted"
    percent: float = 0.0
    importance: Importance = "normal"
    sensitivity: Sensitivity = "normal"
    categories: tuple[str, ...] = ()
    repeats: bool = False
    repeat: Recurrence | None = None
    attachments: tuple[Attachment, ...] = ()
    kept: tuple[Kept, ...] = ()
    companies: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    unlawful: bool = False
