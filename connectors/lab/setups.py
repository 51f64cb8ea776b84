"""What a simulated mailbox is set up with: rules, categories, automatic replies, permissions and so on; and samples of all.

Values are in the words of the Exchange wire, because it is the source's truth: element names of rules, levels of permissions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .truth import Box, Mailbox


@dataclass(slots=True, kw_only=True)
class Grant:
    """One permission of a folder. ``who`` is an address, ``Default`` or ``Anonymous``; empty for an account that is gone."""

    who: str
    level: str
    name: str = ""
    rights: dict[str, str] = field(default_factory=dict)
    """Elements that spell a custom level out, such as ``CanCreateItems``: ``true``."""


@dataclass(slots=True, kw_only=True)
class RuleSet:
    """One inbox rule. The three dicts go by element name; a value is True, a text, a list of texts, or a pair for a range.

    Folders are named by the truth's id; people by address or old-style name.
    """

    name: str
    enabled: bool = True
    conditions: dict[str, Any] = field(default_factory=dict)
    exceptions: dict[str, Any] = field(default_factory=dict)
    actions: dict[str, Any] = field(default_factory=dict)
    unsupported: bool = False
    in_error: bool = False


@dataclass(slots=True, kw_only=True)
class Assistant:
    """One delegate, with the level for each kind of folder (``Calendar``: ``Editor``)."""

    address: str
    name: str = ""
    levels: dict[str, str] = field(default_factory=dict)
    gets_meetings: bool = True
    sees_private: bool = False


@dataclass(slots=True, kw_only=True)
class Setup:
    """Everything together; what is None or empty nobody ever set."""

    rules: list[RuleSet] = field(default_factory=list)
    outlook_rules: bool = False
    categories: list[tuple[str, int]] | None = None
    reply: dict[str, Any] = field(default_factory=dict)
    hours: dict[str, str] = field(default_factory=dict)
    zone: str = ""
    grants: dict[str, list[Grant]] = field(default_factory=dict)
    """Permissions by folder, beside those that every folder has."""
    assistants: list[Assistant] = field(default_factory=list)
    delivery: str = "DelegatesOnly"


def grants_of(mailbox: Mailbox, box: Box) -> list[Grant]:
    """All permissions of a folder: those that it was made with, then what somebody set."""
    own = mailbox.setup.grants.get(box.id, [])
    named = {grant.who for grant in own}
    default = "FreeBusyTimeOnly" if box.role == "calendar" else "None"
    first = [Grant(who=who, level=level) for who, level in (("Default", default), ("Anonymous", "None")) if who not in named]
    return [*first, *own]


_ZONES = (
    ("W. Europe Standard Time", "Monday Tuesday Wednesday Thursday Friday", "08:00:00", "16:30:00"),
    ("Tokyo Standard Time", "Monday Tuesday Wednesday Thursday", "09:00:00", "18:00:00"),
    ("Arabian Standard Time", "Sunday Monday Tuesday Wednesday Thursday", "07:30:00", "15:30:00"),
)


def furnish_setups(mailboxes: list[Mailbox], today: datetime) -> None:
    """Give every mailbox settings of all kinds, the awkward ones too; the same mailboxes get the same."""
    for number, mailbox in enumerate(mailboxes):
        colleagues = [one for one in mailboxes if one is not mailbox]
        mailbox.setup = _setup(number, mailbox, colleagues, today)


def _setup(number: int, mailbox: Mailbox, colleagues: list[Mailbox], today: datetime) -> Setup:
    zone, days, start, end = _ZONES[number % len(_ZONES)]
    boxes = {box.role: box.id for box in mailbox.boxes.values() if box.role}
    own = next((box.id for box in mailbox.walk() if box.role is None and not box.hidden), boxes["inbox"])
    friend = colleagues[0].address if colleagues else "friend@contoso.test"
    replies: tuple[dict[str, Any], ...] = (
        {"OofState": "Enabled", "ExternalAudience": "Known", "internal": "<p>I'm away &amp; back soon.</p>", "external": "Away."},
        {
            "OofState": "Scheduled", "ExternalAudience": "All", "internal": "Auf Reisen", "external": "Ich bin unterwegs.",
            "from": today - timedelta(days=1), "to": datetime(2099, 1, 1, tzinfo=UTC),
        },
        {},
    )  # fmt: skip
    return Setup(
        rules=_rules(own, boxes, friend),
        outlook_rules=number == 0,
        categories=[("Blue Category", 7), ("Müller & Söhne", 0), ("「緊急」", 24), ("No colour", -1)] if number != 2 else None,
        reply=replies[number % 3],
        hours={"days": days, "start": start, "end": end, "zone": zone},
        zone=zone,
        grants={
            boxes["calendar"]: [
                Grant(who="Default", level="FreeBusyTimeAndSubjectAndLocation"),
                Grant(who=friend, level="Reviewer", name="Friend"),
            ],
            boxes["inbox"]: [Grant(who="o'hara@contoso.test", level="Author", name="Mary O'Hara")],
            own: [
                Grant(
                    who=friend,
                    level="Custom",
                    rights={"CanCreateItems": "true", "ReadItems": "FullDetails", "EditItems": "Owned", "DeleteItems": "None"},
                ),
                Grant(who="", level="Editor", name="S-1-5-21-1-2-3-1234"),
            ],
        },
        assistants=[
            Assistant(
                address="assistant@contoso.test", name="Assi", levels={"Calendar": "Editor", "Tasks": "Editor"}, sees_private=True
            )
        ],
        delivery="DelegatesAndMe",
    )


def _rules(own: str, boxes: dict[str, str], friend: str) -> list[RuleSet]:
    return [
        RuleSet(
            name="Newsletters",
            conditions={"ContainsSubjectStrings": ["newsletter", "[ad]"], "HasAttachments": True},
            exceptions={"FromAddresses": [friend]},
            actions={"MoveToFolder": own, "MarkAsRead": True, "StopProcessingRules": True},
        ),
        RuleSet(
            name="Chef's mail",
            conditions={"FromAddresses": ["/O=CONTOSO/OU=EX/CN=RECIPIENTS/CN=GONE", "boss@contoso.test"]},
            actions={"MarkImportance": "High"},
        ),
        RuleSet(
            name="Large ones",
            enabled=False,
            conditions={"WithinSizeRange": ("500", "2000"), "Importance": "Low", "Sensitivity": "Private"},
            actions={"CopyToFolder": boxes["deleteditems"], "AssignCategories": ["Blue Category", "Müller & Söhne"]},
        ),
        RuleSet(
            name="To my assistant",
            conditions={"SentToMe": True, "FlaggedForAction": "FollowUp"},
            actions={"ForwardToRecipients": ["outside@example.org"]},
        ),
        RuleSet(name="To my assistant", conditions={"SentCcMe": True}, actions={"RedirectToRecipients": ["outside@example.org"]}),
        RuleSet(name="By date", conditions={"WithinDateRange": ("2020-01-01T00:00:00Z", "")}, actions={"Delete": True}),
        RuleSet(name="Says so", conditions={"IsSigned": True}, actions={"ServerReplyWithMessage": "AAMk"}),
        RuleSet(name="Not for us", unsupported=True, conditions={"ItemClasses": ["IPM.Note.X"]}, actions={"Delete": True}),
        RuleSet(name="Broken", in_error=True, actions={"MoveToFolder": "gone"}),
    ]
