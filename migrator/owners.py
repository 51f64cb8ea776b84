"""Messages to owners of mailboxes, as files for the operator to send: this program never writes to them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from migrator.errors.vault import safe_name
from state.model import MailboxRow

TEXTS: dict[str, dict[str, tuple[str, str]]] = {
    "en": {
        "soon": (
            "Your mailbox moves to Microsoft 365",
            "Hello {name},\n\nyour mailbox {source} moves to Microsoft 365{day}. Mail, calendar, contacts and tasks are carried"
            " over; you need not do anything before.\n\nAfterwards, set your mail up anew on your phone and start Outlook once"
            " more. Outlook signatures, autocomplete and views stay on your computer and do not come along.\n\n{contact}",
        ),
        "done": (
            "Your mailbox has moved to Microsoft 365",
            "Hello {name},\n\nyour mailbox has moved; its address is {target}. Start Outlook once more, and set your mail up anew"
            " on your phone. Please no longer use the old mailbox: what is written there is not seen.\n\n{contact}",
        ),
    },
    "de": {
        "soon": (
            "Ihr Postfach zieht zu Microsoft 365 um",
            "Guten Tag {name},\n\nIhr Postfach {source} zieht zu Microsoft 365 um{day}. E-Mails, Kalender, Kontakte und Aufgaben"
            " werden übernommen; vorher müssen Sie nichts tun.\n\nRichten Sie danach die E-Mail auf Ihrem Telefon neu ein und"
            " starten Sie Outlook neu. Signaturen, Vorschläge beim Adressieren und Ansichten von Outlook bleiben auf Ihrem"
            " Rechner und ziehen nicht mit um.\n\n{contact}",
        ),
        "done": (
            "Ihr Postfach ist zu Microsoft 365 umgezogen",
            "Guten Tag {name},\n\nIhr Postfach ist umgezogen; seine Adresse ist {target}. Starten Sie Outlook neu und richten Sie"
            " die E-Mail auf Ihrem Telefon neu ein. Bitte benutzen Sie das alte Postfach nicht mehr: Was dort geschrieben wird,"
            " sieht niemand.\n\n{contact}",
        ),
    },
}
"""Subject and text of each message, by language; a further language is a further entry."""

_WHEN = {"en": " on {day}", "de": " am {day}"}
_ASK = {"en": "If you have questions, ask {contact}.\n", "de": "Bei Fragen wenden Sie sich an {contact}.\n"}


def message_of(row: MailboxRow, details: Mapping[str, Any], message: str, *, day: str = "", contact: str = "") -> EmailMessage:
    """One message, unsent. The language is the spreadsheet's (``de-DE`` is ``de``), else English."""
    language = str(details.get("language") or "en").replace("_", "-").partition("-")[0].lower()
    language = language if language in TEXTS else "en"
    subject, text = TEXTS[language][message]
    made = EmailMessage()
    made["X-Unsent"] = "1"
    made["To"] = row.source
    made["Subject"] = subject
    made.set_content(
        text.format(
            name=str(details.get("owner") or row.source),
            source=row.source,
            target=row.target,
            day=_WHEN[language].format(day=day) if day else "",
            contact=_ASK[language].format(contact=contact) if contact else "",
        ).rstrip()
        + "\n"
    )
    return made


def write(
    folder: Path,
    rows: Sequence[MailboxRow],
    details: Mapping[int, Mapping[str, Any]],
    message: str,
    *,
    day: str = "",
    contact: str = "",
) -> list[Path]:
    """Write a file for each mailbox; shared ones, rooms and equipment have no owner to write to. Raises FileExistsError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        mine = details.get(row.id, {})
        if mine.get("kind", "user") != "user":
            continue
        file = folder / f"{safe_name(row.source)}.eml"
        with file.open("xb") as out:
            out.write(message_of(row, mine, message, day=day, contact=contact).as_bytes())
        written.append(file)
    return written
