"""The extended properties that this connector sets or reads, in Graph's spelling, and how to ask for and read them; pure.

[learn.microsoft.com/graph/api/resources/extended-properties-overview; tags from MS-OXPROPS]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pybase64

from connectors.base import Claim, Entry, Facts, hash_subject

OUR_SET = "{6f6ac0a2-8c1c-4d39-9d5c-2f8d8f6a1f10}"
STAMP = f"String {OUR_SET} Name MigrationStamp"
ATTENDEES = f"String {OUR_SET} Name MigrationAttendees"
CLAIM = f"String {OUR_SET} Name MigrationClaim"
PROBE = f"String {OUR_SET} Name MigrationProbe"
FLAGS = "Integer 0x0E07"  # PidTagMessageFlags; only at creation
RECEIVED = "SystemTime 0x0E06"
SUBMITTED = "SystemTime 0x0039"
HEADERS = "String 0x007D"
IN_REPLY_TO = "String 0x1042"
REFERENCES = "String 0x1039"
ICON = "Integer 0x1080"
LAST_VERB = "Integer 0x1081"
ITEM_CLASS = "String 0x001A"
SENSITIVITY = "Integer 0x0036"
IMPORTANCE = "Integer 0x0017"
SEARCH_KEY = "Binary 0x300B"
MESSAGE_ID = "String 0x1035"
SUBJECT = "String 0x0037"
SIZE = "Integer 0x0E08"
WANTS_RECEIPT = "Boolean 0x0029"
START = "SystemTime {00062002-0000-0000-C000-000000000046} Id 0x820D"  # PidLidAppointmentStartWhole

READ_BIT, UNSENT_BIT = 0x1, 0x8
PARTIAL = "-partial"
"""Behind the stamp of a message whose attachments are still under way."""

MESSAGE_EXPAND = (STAMP, SEARCH_KEY, SUBMITTED, RECEIVED, ITEM_CLASS, SIZE)
ITEM_EXPAND = (STAMP, SEARCH_KEY, MESSAGE_ID, SUBMITTED, RECEIVED, SUBJECT, FLAGS, WANTS_RECEIPT, START)
EVENT_EXPAND = (STAMP, SEARCH_KEY, ITEM_CLASS, SIZE, SUBMITTED, RECEIVED)
EVENT_SELECT = "id,changeKey,subject,start,createdDateTime,lastModifiedDateTime,attendees"
MESSAGE_SELECT = (
    "id,changeKey,parentFolderId,internetMessageId,subject,sentDateTime,receivedDateTime,createdDateTime,"
    "lastModifiedDateTime,isRead,isDraft,isReadReceiptRequested"
)


def expand(names: Iterable[str]) -> str:
    """The value of ``$expand`` that brings these properties along."""
    return "singleValueExtendedProperties($filter=" + " or ".join(f"id eq '{name}'" for name in names) + ")"


def equals(name: str, value: str) -> str:
    """A ``$filter`` term for items whose property has this value; the server compares without regard to case."""
    quoted = value.replace("'", "''")
    return f"singleValueExtendedProperties/any(ep: ep/id eq '{name}' and ep/value eq '{quoted}')"


def pair(name: str, value: str) -> dict[str, str]:
    """One property as Graph takes it; every value is text."""
    return {"id": name, "value": value}


def _levelled(name: str) -> str:
    # Servers answer ids with other letter case and without leading zeros: "Integer 0xe07".
    kind, _, rest = name.partition(" ")
    if rest[:2].casefold() == "0x":
        return f"{kind.casefold()} {int(rest, 16):x}"
    return name.casefold()


_KEYS = {
    _levelled(name): name
    for name in {
        *MESSAGE_EXPAND,
        *ITEM_EXPAND,
        *EVENT_EXPAND,
        CLAIM,
        PROBE,
        STAMP,
        HEADERS,
        IN_REPLY_TO,
        REFERENCES,
        ICON,
        LAST_VERB,
        SENSITIVITY,
    }
}


def values(resource: Mapping[str, Any]) -> dict[str, str]:
    """The extended properties of an answer, by the names of this module; those it doesn't know are left out."""
    found = {}
    for each in resource.get("singleValueExtendedProperties") or ():
        try:
            name = _KEYS.get(_levelled(each.get("id") or ""))
        except ValueError:
            continue
        if name is not None and isinstance(each.get("value"), str):
            found[name] = each["value"]
    return found


def moment(text: str | None) -> datetime | None:
    """A time as Graph writes it, with up to seven digits of a second; None for none or for the year 1."""
    if not text:
        return None
    body, sign, fraction = text.removesuffix("Z").partition(".")
    try:
        found = datetime.fromisoformat(body + (sign + fraction[:6].ljust(6, "0") if fraction[:6].isdigit() else ""))
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if found.year > 1601 else None


def written(when: datetime) -> str:
    """A time as Graph takes it, in UTC, fractions only where there are some."""
    utc = when.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + (f".{utc.microsecond:06d}" if utc.microsecond else "") + "Z"


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _binary(text: str | None) -> bytes | None:
    if not text:
        return None
    try:
        return pybase64.b64decode(text, validate=True) or None
    except ValueError:
        return None


def _truth(text: str | None) -> bool | None:
    return None if text is None else text.casefold() in ("true", "1")


def facts_of_message(message: Mapping[str, Any]) -> tuple[Facts, str | None]:
    """Facts and stamp of a message resource asked for with MESSAGE_SELECT and MESSAGE_EXPAND."""
    more = values(message)
    subject = message.get("subject")
    return Facts(
        item_class=more.get(ITEM_CLASS) or "IPM.Note",
        size=_number(more.get(SIZE)) or 0,
        search_key=_binary(more.get(SEARCH_KEY)),
        message_id=message.get("internetMessageId") or None,
        subject_hash=hash_subject(subject or ""),
        submitted=moment(more.get(SUBMITTED) or message.get("sentDateTime")),
        received=moment(more.get(RECEIVED) or message.get("receivedDateTime")),
        created=moment(message.get("createdDateTime")),
        modified=moment(message.get("lastModifiedDateTime")),
        is_read=message.get("isRead"),
        wants_receipt=message.get("isReadReceiptRequested"),
    ), more.get(STAMP)


def facts_of_event(event: Mapping[str, Any]) -> tuple[Facts, str | None]:
    """Facts and stamp of an event asked for with EVENT_SELECT and EVENT_EXPAND; without a preference its times are in UTC."""
    more = values(event)
    return Facts(
        item_class=more.get(ITEM_CLASS) or "IPM.Appointment",
        size=_number(more.get(SIZE)) or 0,
        search_key=_binary(more.get(SEARCH_KEY)),
        subject_hash=hash_subject(event.get("subject") or ""),
        submitted=moment(more.get(SUBMITTED)),
        received=moment(more.get(RECEIVED)),
        created=moment(event.get("createdDateTime")),
        modified=moment(event.get("lastModifiedDateTime")),
        start=moment((event.get("start") or {}).get("dateTime")),
        has_attendees=bool(event.get("attendees")),
    ), more.get(STAMP)


def facts_of_item(item: Mapping[str, Any]) -> tuple[Facts, str | None]:
    """Facts and stamp of a mailboxItem resource asked for with ITEM_EXPAND."""
    more = values(item)
    flags = _number(more.get(FLAGS))
    subject = more.get(SUBJECT)
    item_class = item.get("type") or more.get(ITEM_CLASS) or "IPM.Note"
    return Facts(
        item_class=item_class,
        size=int(item.get("size") or 0),
        search_key=_binary(more.get(SEARCH_KEY)),
        message_id=more.get(MESSAGE_ID) or None,
        subject_hash=hash_subject(subject or ""),
        submitted=moment(more.get(SUBMITTED)),
        received=moment(more.get(RECEIVED)),
        created=moment(item.get("createdDateTime")),
        modified=moment(item.get("lastModifiedDateTime")),
        start=moment(more.get(START)) if item_class.casefold().startswith("ipm.appointment") else None,
        is_read=None if flags is None else bool(flags & READ_BIT),
        wants_receipt=_truth(more.get(WANTS_RECEIPT)),
    ), more.get(STAMP)


def entry_of_item(item: Mapping[str, Any]) -> Entry:
    """One line of an inventory from a mailboxItem."""
    facts, stamp = facts_of_item(item)
    return Entry(id=item["id"], facts=facts, version=item.get("changeKey") or "", stamp=stamp)


def entry_of_message(message: Mapping[str, Any]) -> Entry:
    """One line of an inventory from a message."""
    facts, stamp = facts_of_message(message)
    return Entry(id=message["id"], facts=facts, version=message.get("changeKey") or "", stamp=stamp)


def claim_text(claim: Claim) -> str:
    """A claim as the mailbox carries it."""
    return orjson.dumps({"installation": claim.installation, "epoch": claim.epoch, "sequence": claim.sequence}).decode()


def claim_of(text: str) -> Claim:
    """The claim that a text carries; one that can't be read is a foreign claim, never none."""
    try:
        found = orjson.loads(text)
        return Claim(str(found["installation"]), int(found["epoch"]), int(found["sequence"]))
    except (ValueError, KeyError, TypeError):
        return Claim(installation="unreadable", epoch=0, sequence=0)
