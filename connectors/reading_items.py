"""What is read of items that are no messages: MAPI properties, asked for by the same name on both wires. Pure.

[MS-OXPROPS; MS-OXOCAL, MS-OXOCNTC, MS-OXOTASK, MS-OXONOTE for the sets]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.reading import level

APPOINTMENT = "00062002-0000-0000-c000-000000000046"
TASK = "00062003-0000-0000-c000-000000000046"
ADDRESS = "00062004-0000-0000-c000-000000000046"
COMMON = "00062008-0000-0000-c000-000000000046"
NOTE = "0006200e-0000-0000-c000-000000000046"
LOG = "0006200a-0000-0000-c000-000000000046"


@dataclass(frozen=True, slots=True)
class Told:
    """One property: the name that a difference in it has, its type, its set (empty: a tag) and its number."""

    name: str
    type: str
    set: str
    number: int

    @property
    def key(self) -> tuple[str, int]:
        """Where it is, whatever way a server writes that."""
        return self.set, self.number


TEXT = Told("text", "String", "", 0x1000)
SUBJECT = Told("subject", "String", "", 0x0037)
SENSITIVITY = Told("sensitivity", "Integer", "", 0x0036)
IMPORTANCE = Told("importance", "Integer", "", 0x0017)
ALL = (TEXT, SUBJECT, SENSITIVITY, IMPORTANCE)

_CALENDAR = (
    Told("start", "SystemTime", APPOINTMENT, 0x820D),
    Told("end", "SystemTime", APPOINTMENT, 0x820E),
    Told("all-day", "Boolean", APPOINTMENT, 0x8215),
    Told("location", "String", APPOINTMENT, 0x8208),
    Told("shown-as", "Integer", APPOINTMENT, 0x8205),
    Told("recurrence", "String", APPOINTMENT, 0x8232),
    Told("recurring", "Boolean", APPOINTMENT, 0x8223),
)
_CONTACT = (
    Told("display-name", "String", "", 0x3001),
    Told("given-name", "String", "", 0x3A06),
    Told("middle-name", "String", "", 0x3A44),
    Told("surname", "String", "", 0x3A11),
    Told("name-prefix", "String", "", 0x3A45),
    Told("generation", "String", "", 0x3A05),
    Told("initials", "String", "", 0x3A0A),
    Told("nickname", "String", "", 0x3A4F),
    Told("file-as", "String", ADDRESS, 0x8005),
    Told("phonetic-given-name", "String", ADDRESS, 0x802C),
    Told("phonetic-surname", "String", ADDRESS, 0x802D),
    Told("phonetic-company", "String", ADDRESS, 0x802E),
    Told("company", "String", "", 0x3A16),
    Told("department", "String", "", 0x3A18),
    Told("job-title", "String", "", 0x3A17),
    Told("office", "String", "", 0x3A19),
    Told("profession", "String", "", 0x3A46),
    Told("manager", "String", "", 0x3A4E),
    Told("assistant", "String", "", 0x3A30),
    Told("spouse", "String", "", 0x3A48),
    Told("home-page", "String", "", 0x3A51),
    Told("business-phone", "String", "", 0x3A08),
    Told("business-phone-2", "String", "", 0x3A1B),
    Told("home-phone", "String", "", 0x3A09),
    Told("home-phone-2", "String", "", 0x3A2F),
    Told("mobile-phone", "String", "", 0x3A1C),
    Told("business-fax", "String", "", 0x3A24),
    Told("home-fax", "String", "", 0x3A25),
    Told("other-fax", "String", "", 0x3A23),
    Told("assistant-phone", "String", "", 0x3A2E),
    Told("callback-phone", "String", "", 0x3A02),
    Told("car-phone", "String", "", 0x3A1E),
    Told("company-phone", "String", "", 0x3A57),
    Told("isdn", "String", "", 0x3A2D),
    Told("other-phone", "String", "", 0x3A1F),
    Told("pager", "String", "", 0x3A21),
    Told("primary-phone", "String", "", 0x3A1A),
    Told("radio-phone", "String", "", 0x3A1D),
    Told("telex", "String", "", 0x3A2C),
    Told("tty-phone", "String", "", 0x3A4B),
    Told("hobbies", "String", "", 0x3A43),
    Told("personal-home-page", "String", "", 0x3A50),
    Told("ftp-site", "String", "", 0x3A4C),
    Told("government-id", "String", "", 0x3A07),
    Told("account", "String", "", 0x3A00),
    Told("customer-id", "String", "", 0x3A4A),
    Told("organisation-id", "String", "", 0x3A10),
    Told("computer-network", "String", "", 0x3A49),
    Told("language", "String", "", 0x3A0C),
    Told("location", "String", "", 0x3A0D),
    Told("referred-by", "String", "", 0x3A47),
    Told("email-1", "String", ADDRESS, 0x8083),
    Told("email-1-type", "String", ADDRESS, 0x8082),
    Told("email-1-name", "String", ADDRESS, 0x8080),
    Told("email-1-original", "String", ADDRESS, 0x8084),
    Told("email-2", "String", ADDRESS, 0x8093),
    Told("email-2-type", "String", ADDRESS, 0x8092),
    Told("email-2-name", "String", ADDRESS, 0x8090),
    Told("email-2-original", "String", ADDRESS, 0x8094),
    Told("email-3", "String", ADDRESS, 0x80A3),
    Told("email-3-type", "String", ADDRESS, 0x80A2),
    Told("email-3-name", "String", ADDRESS, 0x80A0),
    Told("email-3-original", "String", ADDRESS, 0x80A4),
    Told("im-1", "String", ADDRESS, 0x8062),
    Told("work-address", "String", ADDRESS, 0x801B),
    Told("home-address", "String", ADDRESS, 0x801A),
    Told("other-address", "String", ADDRESS, 0x801C),
    Told("work-street", "String", ADDRESS, 0x8045),
    Told("work-city", "String", ADDRESS, 0x8046),
    Told("work-state", "String", ADDRESS, 0x8047),
    Told("work-postal-code", "String", ADDRESS, 0x8048),
    Told("work-country", "String", ADDRESS, 0x8049),
    Told("home-street", "String", "", 0x3A5D),
    Told("home-city", "String", "", 0x3A59),
    Told("home-state", "String", "", 0x3A5C),
    Told("home-postal-code", "String", "", 0x3A5B),
    Told("home-country", "String", "", 0x3A5A),
    Told("other-street", "String", "", 0x3A63),
    Told("other-city", "String", "", 0x3A5F),
    Told("other-state", "String", "", 0x3A62),
    Told("other-postal-code", "String", "", 0x3A61),
    Told("other-country", "String", "", 0x3A60),
    Told("web-page", "String", ADDRESS, 0x802B),
    Told("free-busy", "String", ADDRESS, 0x80D8),
    Told("user-field-1", "String", ADDRESS, 0x804F),
    Told("user-field-2", "String", ADDRESS, 0x8050),
    Told("user-field-3", "String", ADDRESS, 0x8051),
    Told("user-field-4", "String", ADDRESS, 0x8052),
    Told("mileage", "String", COMMON, 0x8534),
    Told("billing", "String", COMMON, 0x8535),
    Told("birthday", "SystemTime", "", 0x3A42),
    Told("anniversary", "SystemTime", "", 0x3A41),
    Told("gender", "Short", "", 0x3A4D),
    Told("mailing-address", "Integer", ADDRESS, 0x8022),
)
_TASKS = (
    Told("task-status", "Integer", TASK, 0x8101),
    Told("task-complete", "Boolean", TASK, 0x811C),
    Told("task-start", "SystemTime", TASK, 0x8104),
    Told("task-due", "SystemTime", TASK, 0x8105),
    Told("task-completed", "SystemTime", TASK, 0x810F),
    Told("task-percent", "Double", TASK, 0x8102),
    Told("task-reminds", "Boolean", COMMON, 0x8503),
    Told("task-reminder", "SystemTime", COMMON, 0x8502),
)
DAYS = frozenset({"task-start", "task-due", "task-completed"})
"""What is a day, whatever the time of day that a program wrote with it [MS-OXOTASK 2.2.2.2.4]."""

_NOTES = (Told("note-color", "Integer", NOTE, 0x8B00),)
_JOURNAL = (Told("log-type", "String", LOG, 0x8700), Told("log-start", "SystemTime", LOG, 0x8706))
_BY_CLASS = (
    ("ipm.appointment", _CALENDAR),
    ("ipm.contact", _CONTACT),
    ("ipm.task", _TASKS),
    ("ipm.stickynote", _NOTES),
    ("ipm.activity", _JOURNAL),
)


PHOTO = "photo"
"""The name of a difference in a contact's picture."""


def is_contact(item_class: str) -> bool:
    """Whether items of this class may have a photo."""
    folded = item_class.casefold()
    return folded == "ipm.contact" or folded.startswith("ipm.contact.")


def asked_of(item_class: str) -> tuple[Told, ...]:
    """The properties that are read of an item of this class, those of all items included."""
    folded = item_class.casefold()
    own = next((props for start, props in _BY_CLASS if folded == start or folded.startswith(start + ".")), ())
    return (*ALL, *own)


def more_of(item_class: str, values: Mapping[tuple[str, int], str]) -> tuple[tuple[str, str], ...]:
    """A class's own properties in normal form, those that have a value; ``values`` are as the wire writes them."""
    found = []
    for told in asked_of(item_class)[len(ALL) :]:
        value = values.get(told.key)
        if value is not None and (normal := _normal(told.type, value)):
            found.append((told.name, normal[:10] if told.name in DAYS else normal))
    return tuple(found)


def _normal(kind: str, value: str) -> str:
    """A value as both wires could write it; no, nought and nothing are one."""
    if kind == "SystemTime":
        moment = read_time(value)
        return moment.replace(microsecond=0).isoformat() if moment else ""
    if kind == "Boolean":
        return "true" if value.strip().casefold() in ("true", "1") else ""
    if kind in ("Integer", "Double", "Short"):
        try:
            return f"{float(value):g}" if float(value) else ""
        except ValueError:
            return value.strip()
    return level(value)


def read_time(text: str | None) -> datetime | None:
    """A moment of either wire, in UTC; None for none, and for the years 1601 and 4501, which stand for none."""
    if not text:
        return None
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = "".join(sign for sign in tail.partition("+")[0] if sign.isdigit())
        head += f".{digits[:6]:0<6}" + (tail[len(digits) :] if len(tail) > len(digits) else "")
    try:
        found = datetime.fromisoformat(head)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1601 < found.year < 4500 else None


def number(text: str | None) -> int | None:
    """A number of either wire."""
    try:
        return int(text) if text else None
    except ValueError:
        return None


IMPORTANCES = {0: "low", 1: "normal", 2: "high"}
SENSITIVITIES = {0: "normal", 1: "personal", 2: "private", 3: "confidential"}
