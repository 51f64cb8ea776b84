"""The fidelity contract: what becomes of each property of each kind of item, by lane; one table.

    kept      it arrives as it was
    degraded  it arrives in part, or differently; ``name`` is the word by which the receipt, the report and the figures call it
    lost      it does not arrive, and why

``migrator check --fidelity`` prints it. It is held from both sides: every word that the code can put into a receipt has a row
(tests/unit/test_fidelity.py), and every row is carried from server to server (tests/lab/test_fidelity_table.py says by whom).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Fate: TypeAlias = Literal["kept", "degraded", "lost"]

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One row: ``what`` of an item of ``kind`` in ``lane``; ``how`` tells how it is degraded, or why it is lost."""

    lane: Literal["import", "compose"]
    kind: str
    what: str
    fate: Fate
    how: str = ""

    @property
    def name(self) -> str:
        """The word of the receipt that says so; empty for what is kept or lost."""
        return self.what if self.fate == "degraded" else ""


def _kept(kind: str, *names: str) -> Iterator[Line]:
    return (Line("compose", kind, name, "kept") for name in names)


def _degraded(kind: str, **names: str) -> Iterator[Line]:
    return (Line("compose", kind, name.replace("_", "-"), "degraded", how) for name, how in names.items())


def _lost(kind: str, **names: str) -> Iterator[Line]:
    return (Line("compose", kind, name.replace("_", "-"), "lost", why) for name, why in names.items())


IMPORT = (
    *(
        Line("import", kind, "every property", "kept")
        for kind in ("mail", "appointment", "contact", "task", "list", "note", "journal", "any other class")
    ),
    Line("import", "every kind", "created", "lost", "The target may set the time of creation to that of the import."),
    Line("import", "every kind", "search-key", "lost", "The target may give a new one."),
)

_CHARACTERS = "Signs that JSON or Exchange can't hold, such as controls and halves of a surrogate pair, are left out or replaced."
_CUT = "It is cut at 255 signs."

MAIL = (
    *_kept(
        "mail", "class", "subject", "text", "html", "from", "sender", "to", "cc", "bcc", "reply-to", "names", "message-id",
        "in-reply-to", "references", "headers", "submitted", "received", "importance", "sensitivity", "categories", "read",
        "draft", "read-receipt", "delivery-receipt", "flag", "flag-start", "flag-due", "flag-completed", "icon", "last-verb",
        "attachment-missing", "attachment-surplus", "attachment-name", "attachment-type", "attachment-size",
        "attachment-content", "attachment-inline", "attachment-content-id",
    ),
    *_degraded(
        "mail",
        characters=_CHARACTERS,
        subject=_CUT,
        body="A body that is too large for one request is attached as a file.",
        dates="It has neither a time of sending nor of receipt; the target sets that of its arrival.",
        headers="Transport headers of more than 250,000 bytes are left out.",
        reply_to="Addresses to reply to that are no SMTP addresses are left out, because one of them fails the whole request.",
        flag_dates="A follow-up that has a start but no end keeps neither.",
        nested_attachments="A message within the message is attached as a file, .eml, that opens as one.",
        empty="It has no content at all.",
        no_headers="Its content begins without headers; what could be read of it is carried.",
        broken_structure="Its parts are not separated as they should be; they are carried as a mail program would show them.",
        unreadable_mime="Its content can't be read; the original is attached as a file.",
        charset="Its text does not fit the character set that it names; it is read as the likeliest one.",
        broken_base64="The content of an attachment is damaged; what can be read of it is carried.",
        smime="It is signed or encrypted by S/MIME: its class and parts are kept, the exact bytes that were signed are not.",
        pgp="It is signed or encrypted by PGP: its parts are kept, the exact bytes that were signed are not.",
        tnef="It holds a winmail.dat, which is attached as it is.",
        signed="It is signed in a way that is not known: its parts are kept, the exact bytes that were signed are not.",
        encrypted="It is encrypted in a way that is not known: its parts are kept, the exact bytes are not.",
    ),
    *_lost(
        "mail",
        mime="The exact MIME: Graph makes a new one of the parts.",
        rtf="A body in RTF arrives as the HTML that Exchange makes of it.",
        search_key="The target gives a new one.",
        created="The target sets that of its arrival.",
    ),
)  # fmt: skip

CONTACT = (
    *_kept(
        "contact", "class", "subject", "submitted", "categories", "importance", "sensitivity", "notes", "photo", "display-name",
        "given-name", "middle-name", "surname", "title", "generation", "initials", "nickname", "file-as", "phonetic-given-name",
        "phonetic-surname", "phonetic-company", "company", "department", "job-title", "office", "profession", "manager",
        "assistant", "spouse", "children", "home-page", "mobile-phone", "business-phone", "business-phone-2", "home-phone",
        "home-phone-2", "business-fax", "home-fax", "other-fax", "assistant-phone", "callback-phone", "car-phone",
        "company-phone", "isdn", "other-phone", "pager", "primary-phone", "radio-phone", "telex", "tty-phone", "hobbies",
        "personal-home-page", "ftp-site", "government-id", "account", "customer-id", "organisation-id", "computer-network",
        "language", "location", "referred-by", "work-street", "work-city", "work-state", "work-postal-code", "work-country",
        "home-street", "home-city", "home-state", "home-postal-code", "home-country", "other-street", "other-city",
        "other-state", "other-postal-code", "other-country", "home-address-text", "work-address-text", "other-address-text",
        "web-page", "free-busy", "im-1", "im-2", "im-3", "email-1", "email-1-name", "email-1-type", "email-1-original",
        "email-2", "email-2-name", "email-2-type", "email-3", "email-3-name", "user-field-1", "user-field-2", "user-field-3",
        "user-field-4", "mileage", "billing", "birthday", "anniversary", "gender", "mailing-address",
    ),
    *_degraded(
        "contact",
        characters=_CHARACTERS,
        notes="Notes are cut at a million signs.",
        notes_formatting="Notes arrive as plain text.",
        photo="A photo that is no JPEG, or of 4 MB and more, is left out.",
        phone_order="The second business or home phone becomes the first where there is no first.",
        follow_up="A flag or reminder is left out.",
        contact_attachments="Files that are attached to a contact are left out.",
    ),
    *_lost(
        "contact",
        user_property="Properties of programs and forms: Exchange shows them only to whom asks for them by name.",
        certificate="Certificates: Graph takes none.",
        search_key="The target gives a new one.",
        created="The target sets that of its arrival.",
    ),
)  # fmt: skip

TASK = (
    *_kept(
        "task", "subject", "text", "html", "importance", "categories", "start", "due", "completed", "status", "reminder",
        "recurrence", "attachment-name", "attachment-content",
    ),
    *_degraded(
        "task",
        characters=_CHARACTERS,
        subject=_CUT,
        task_body="The text is cut at a million signs.",
        task_title="A task without a subject is called by a dash; To Do takes none without.",
        task_class="A class below IPM.Task becomes IPM.Task.",
        task_percent="How much of it is done: To Do knows only done and not done.",
        task_sensitivity="How private it is: To Do has no place for it.",
        task_recurrence="A task that begins anew when it is done, that is done, or that has no due day does not repeat.",
        reminder_over="A reminder that is over, or of a task that is done, is left out: it would go off at once.",
        task_attachments="Attachments of 3 MB and more are left out.",
        task_inline="A picture within the text becomes a file.",
        task_mileage="To Do has no place for it.",
        task_billing="To Do has no place for it.",
        task_total_work="To Do has no place for it.",
        task_actual_work="To Do has no place for it.",
        task_role="To Do has no place for it.",
        task_assigned="To whom it was assigned: To Do has no place for it, and nobody is told.",
        task_companies="To Do has no place for them.",
        task_people="To Do has no place for them.",
    ),
    *_lost(
        "task",
        submitted="To Do has no place for a time of sending.",
        time_of_day="Days of a task have no time of day in To Do.",
        user_property="Properties of programs and forms: To Do knows no extended properties.",
        search_key="The target gives a new one.",
        created="The target sets that of its arrival.",
    ),
)  # fmt: skip

APPOINTMENT = (
    *_kept(
        "appointment", "class", "subject", "text", "html", "start", "end", "all-day", "location", "shown-as", "recurrence",
        "occurrences", "reminder", "importance", "sensitivity", "categories", "submitted", "received", "attachment-name",
        "attachment-type", "attachment-size", "attachment-content", "attachment-inline", "attachment-content-id",
    ),
    *_degraded(
        "appointment",
        characters=_CHARACTERS,
        subject=_CUT,
        location=_CUT,
        body="A body that is too large for one request is attached as a file.",
        nested_attachments="A message within the appointment is attached as a file, .eml, that opens as one.",
        attendees="Attendees and their answers become text on top of the body, and data in an extended property.",
        attendee_data="So many attendees that they are kept as text alone.",
        organizer="The organiser becomes the mailbox's owner; who it was stands in the text.",
        cancelled="A cancelled meeting is one whose subject says so; the target sets the mark itself.",
        time_zone="A zone that neither Windows nor IANA has, or none: its moments are kept, by the clock of UTC.",
        all_day="It lasts whole days but does not begin at midnight by its own zone; it is moved to the nearest day.",
        end="It ends before it begins; it ends when it begins.",
        exceptions="An occurrence was changed that the target's series does not have; the change is left out.",
        exception_details="The source tells no more of a changed occurrence than when it is.",
    ),
    *_lost(
        "appointment",
        uid="The target gives a new one, so that an update sent by the organiser makes another appointment.",
        answer="Whether its owner accepted; it stands in the text.",
        reminder_over="A reminder that is over is off: it would go off on arrival.",
        search_key="The target gives a new one.",
        created="The target sets that of its arrival.",
    ),
)  # fmt: skip

_CARRIED = (
    'With run.others_as = "attachment" it becomes a message with its subject, text, date and files; the original, with every '
    "property, is attached as an export stream, which is no longer what it was until somebody takes it back from there."
)

OTHERS = (
    Line("compose", "list", "every property", "lost", "Personal distribution lists are refused by name: Graph v1.0 has none."),
    Line("compose", "note", "every property", "lost", "Sticky notes are refused by name: Graph has no resource for them."),
    Line("compose", "journal", "every property", "lost", "Journal entries are refused by name: Graph has no resource for them."),
    Line("compose", "any other class", "every property", "lost", "It is refused by name: no resource of Graph's takes it."),
    *(
        Line("compose", kind, "carried-as-attachment", "degraded", _CARRIED)
        for kind in ("list", "note", "journal", "any other class")
    ),
)

TABLE: tuple[Line, ...] = (*IMPORT, *MAIL, *APPOINTMENT, *CONTACT, *TASK, *OTHERS)


def names(kind: str | None = None) -> frozenset[str]:
    """The words that a receipt may hold: of one kind of item, or of all."""
    return frozenset(line.name for line in TABLE if line.name and kind in (None, line.kind))


def what(kind: str, fate: Fate) -> frozenset[str]:
    """What of one kind of item has this fate in the compose lane."""
    return frozenset(line.what for line in TABLE if line.lane == "compose" and line.kind == kind and line.fate == fate)


def text(lines: Iterable[Line] = TABLE) -> Iterator[str]:
    """The table for people: kinds one after the other, what is kept in one paragraph, the rest line by line."""
    held: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        held.setdefault((line.lane, line.kind), []).append(line)
    for (lane, kind), own in held.items():
        yield f"{lane}: {kind}"
        kept = [line.what for line in own if line.fate == "kept"]
        if kept:
            yield from _wrapped("kept", ", ".join(kept))
        for line in own:
            if line.fate != "kept":
                yield from _wrapped(line.fate, f"{line.what}: {line.how}")
        yield ""


def _wrapped(fate: str, said: str) -> list[str]:
    return textwrap.wrap(said, _WIDTH, initial_indent=f"  {fate:<10}", subsequent_indent=" " * 12, break_on_hyphens=False)


def as_json() -> list[dict[str, str]]:
    """The table for programs."""
    return [{"lane": line.lane, "kind": line.kind, "what": line.what, "fate": line.fate, "how": line.how} for line in TABLE]
