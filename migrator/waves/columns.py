"""The columns of a waves file: how they are called, in our words and those of other tools, and what may stand in them. Pure.

source, target          mail addresses; the only two that are needed
wave                    a name without @
target_object_id        the directory's id of the target
kind                    user | shared | room | equipment
priority                a whole number, 1 goes first
route                   domain | forward | none
access                  impersonation | full-access
since                   a date: mail from then on has to be there before cutover
archive                 yes | no | the folder of the target that the online archive goes into | a mailbox of its own for it
language, time_zone     en, de-CH; Europe/Berlin
start_after             a moment, in the line's time zone, else this machine's, unless it names an offset
complete_after          the same
owner, ticket, notes    any text
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from migrator.waves.hours import BadHours, parse_zone

NEEDED = ("source", "target")
DETAILS = (
    "target_object_id", "kind", "priority", "route", "access", "since", "archive", "language", "time_zone",
    "start_after", "complete_after", "owner", "ticket", "notes",
)  # fmt: skip
COLUMNS = ("wave", *NEEDED, *DETAILS)

EVERY = "emailaddress"
"""The one heading of a list of mailboxes that keep their address: it is source and target at once."""

_CALLED: Mapping[str, tuple[str, ...]] = {
    "wave": ("batch", "batchname", "migrationbatch", "wavename", "welle"),
    "source": (
        "sourceemail", "sourceemailaddress", "sourceaddress", "sourcemailbox", "sourceuser", "sourcesmtp",
        "sourceprimarysmtpaddress", "primarysmtpaddress", "mailbox", "email", "quelle", EVERY,
    ),
    "target": (
        "targetemail", "targetemailaddress", "targetaddress", "targetmailbox", "targetuser", "targetsmtp",
        "targetprimarysmtpaddress", "destination", "destinationemail", "destinationemailaddress", "destinationaddress",
        "destinationmailbox", "destinationuser", "newemailaddress", "ziel",
    ),
    "target_object_id": ("objectid", "externaldirectoryobjectid", "entraobjectid", "azureadobjectid", "destinationobjectid"),
    "kind": ("recipienttypedetails", "recipienttype", "mailboxtype"),
    "notes": ("note", "comment", "comments", "remarks"),
    "language": ("preferredlanguage",),
    "ticket": ("ticketnumber", "ticketid"),
}  # fmt: skip

LONGEST_WAVE = 64
"""Letters of a wave's name."""

_PASSWORD = re.compile(r"password|passwort|kennwort|passwd|\bpwd\b|secret", re.IGNORECASE)

_WORDS: Mapping[str, Mapping[str, str]] = {
    "kind": {
        "user": "user", "usermailbox": "user", "shared": "shared", "sharedmailbox": "shared", "room": "room",
        "roommailbox": "room", "equipment": "equipment", "equipmentmailbox": "equipment",
    },
    "route": {"domain": "domain", "forward": "forward", "none": "none"},
    "access": {"impersonation": "impersonation", "full-access": "full-access", "fullaccess": "full-access"},
    "archive": {
        "yes": "yes", "true": "yes", "1": "yes", "ja": "yes", "x": "yes",
        "no": "no", "false": "no", "0": "no", "nein": "no",
    },
}  # fmt: skip

_SHOWN: Mapping[str, str] = {
    "kind": "user, shared, room or equipment",
    "route": "domain, forward or none",
    "access": "impersonation or full-access",
    "archive": "yes, no, the name of a folder in the mailbox's own target, or the address of another target mailbox",
}
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.IGNORECASE)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T]+(\d{1,2}:\d{2}(?::\d{2})?))?")


class Unfit(Exception):
    """What stands in a cell can't be: the rest of a sentence that begins with the column, with the mend."""


def is_password(heading: str) -> bool:
    """Whether a column by that name holds secrets."""
    return bool(_PASSWORD.search(heading))


def column_of(heading: str) -> tuple[str, bool]:
    """Which of our columns a heading means, and whether it is its own name; an empty name if none."""
    word = re.sub(r"[\W_]", "", heading.casefold())
    for name in COLUMNS:
        if word == name.replace("_", ""):
            return name, True
    return next((name for name, called in _CALLED.items() if word in called), ""), False


def keeps_address(heading: str) -> bool:
    """Whether this heading stands for source and target at once, where no other one names the target."""
    return re.sub(r"[\W_]", "", heading.casefold()) == EVERY


def near(word: str, known: object) -> str:
    """``did you mean X?`` for a word that is nearly one of these, else nothing."""
    found = difflib.get_close_matches(word.casefold(), [str(one) for one in known], n=1)  # type: ignore[attr-defined]
    return f"did you mean {found[0]}?" if found else ""


def wave_name_of(text: str) -> str:
    """A wave's name as it is kept. It is typed, printed and part of file names, so it has one line. Raises Unfit."""
    name = text.strip()
    if not name or "@" in name:
        raise Unfit("has a name without @, which tells it from a mailbox; write one")
    if len(name) > LONGEST_WAVE or not name.isprintable():
        raise Unfit(f"has a name of at most {LONGEST_WAVE} letters on one line; shorten it")
    return name


def address_of(text: str) -> str:
    """A mail address as it is compared and kept. Raises Unfit."""
    plain = text.removeprefix("smtp:").removeprefix("SMTP:")
    local, at, domain = plain.rpartition("@")
    if not at or not local or not domain or re.search(r"[\s,;<>]", plain) or "@" in local or ".." in domain:
        raise Unfit("is no mail address; write it as name@example.com")
    return plain


def details_of(cells: Mapping[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The columns of one line beyond wave, source and target, as values; and what is wrong with which of them.

    Moments come as ISO 8601 with an offset, dates as ISO 8601; empty cells are left out.
    """
    found: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    zone = cells.get("time_zone", "")
    try:
        parse_zone(zone)
    except BadHours as error:
        wrong.append(("time_zone", str(error)))
        zone = ""
    for name in DETAILS:
        text = cells.get(name, "")
        if not text or ((name, text) == ("time_zone", cells.get("time_zone", "")) and not zone):
            continue
        try:
            found[name] = value_of(name, text, zone)
        except Unfit as error:
            wrong.append((name, str(error)))
    if "start_after" in found and "complete_after" in found:
        first, last = (datetime.fromisoformat(found[name]) for name in ("start_after", "complete_after"))
        if last < first:
            wrong.append(("complete_after", "is before start_after; exchange them, or correct one"))
    return found, wrong


def value_of(name: str, text: str, zone: str = "") -> Any:
    """What one cell means. Raises Unfit."""
    if name in _WORDS:
        word = _WORDS[name].get(re.sub(r"[\s_]", "", text.casefold()))
        if word is None and name == "archive":
            return address_of(text) if "@" in text else text
        if word is None:
            mend = near(text, [*dict.fromkeys(_WORDS[name].values())]) or f"write {_SHOWN[name]}"
            raise Unfit(f"is {text!r}, which is unknown; {mend}")
        return word == "yes" if name == "archive" else word
    if name == "priority":
        if not text.isdecimal() or not 1 <= int(text) <= 1000:
            raise Unfit("is no whole number from 1 to 1000; 1 goes first")
        return int(text)
    if name == "target_object_id":
        if not _GUID.fullmatch(text.strip("{}")):
            raise Unfit("is no id of a directory; copy the object id, such as 12345678-90ab-cdef-1234-567890abcdef")
        return text.strip("{}").lower()
    if name == "language":
        if not _LANGUAGE.fullmatch(text):
            raise Unfit("is no language; write one such as en, de or pt-BR")
        return text
    if name == "since":
        return day_of(text).isoformat()
    if name in ("start_after", "complete_after"):
        return moment_of(text, zone).isoformat(timespec="minutes")
    return text


def day_of(text: str) -> date:
    """A date: 2026-01-31 or 31.01.2026. Raises Unfit."""
    return _read(text).date()


def moment_of(text: str, zone: str = "") -> datetime:
    """A moment: 2026-11-27 18:00, with an offset or in that zone (empty: this machine's). Raises Unfit, also for one that the
    clocks leave out when they are put forward; of an hour that comes twice the first one is meant."""
    naive = _read(text)
    if naive.tzinfo is not None:
        return naive
    try:
        shown = naive.replace(tzinfo=parse_zone(zone)) if zone else naive.astimezone()
        back = shown.astimezone(UTC).astimezone(shown.tzinfo if zone else None).replace(tzinfo=None)
    except BadHours as error:
        raise Unfit(f"is in a zone that {error}") from None
    except (OSError, OverflowError, ValueError):
        raise Unfit("is too far away for this machine's clock; write a moment of this project") from None
    if back != naive:
        raise Unfit("is in the hour that the clocks leave out that night; write one an hour later")
    return shown


def _read(text: str) -> datetime:
    mend = "write it as 2026-01-31, with a time as 2026-01-31 18:00"
    if dotted := _DOTTED.fullmatch(text):
        day, month, year, clock = dotted.groups()
        text = f"{year}-{int(month):02}-{int(day):02}" + (f" {clock.zfill(len(clock) + (clock[1] == ':'))}" if clock else "")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.combine(date.fromisoformat(text), time())
    except ValueError:
        raise Unfit(f"is no date that reads the same everywhere; {mend}") from None
