"""What a mailbox is set up with, apart from its items: rules, categories, automatic replies, working hours, permissions.

    SettingsSource   reads all of it from one mailbox, never writes
    SettingsTarget   reads what the target has already, and writes one thing at a time

The words are no vendor's. What a side can't tell in them is not dropped: it comes as ``Untold``, with the reason.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from connectors.base import Refusal, Role


class Kind(StrEnum):
    """What kind of setting something is."""

    RULE = "rule"
    CATEGORY = "category"
    REPLY = "automatic reply"
    HOURS = "working hours"
    ZONE = "time zone"
    DELIVERY = "meeting delivery"
    PERMISSION = "folder permission"
    DELEGATE = "delegate"
    ACCESS = "mailbox access"


class Test(StrEnum):
    """What a rule looks at. Words are compared by containing; the values of a size are two numbers of kilobytes, or empty."""

    __test__ = False  # no test of pytest's

    BODY = "body contains"
    SUBJECT = "subject contains"
    SUBJECT_OR_BODY = "subject or body contains"
    HEADER = "header contains"
    SENDER = "sender contains"
    RECIPIENT = "recipient contains"
    FROM = "from"
    SENT_TO = "sent to"
    CATEGORIES = "has a category of"
    IMPORTANCE = "importance is"
    SENSITIVITY = "sensitivity is"
    ACTION_FLAG = "flagged for"
    SIZE = "size between"
    ATTACHMENTS = "has attachments"
    APPROVAL_REQUEST = "is an approval request"
    AUTOMATIC_FORWARD = "is forwarded automatically"
    AUTOMATIC_REPLY = "is an automatic reply"
    ENCRYPTED = "is encrypted"
    MEETING_REQUEST = "is a meeting request"
    MEETING_RESPONSE = "is a meeting response"
    NOT_DELIVERED = "is a non-delivery report"
    PERMISSION_CONTROLLED = "is rights-protected"
    READ_RECEIPT = "is a read receipt"
    SIGNED = "is signed"
    VOICEMAIL = "is a voice message"
    NOT_TO_ME = "is not sent to me"
    CC_ME = "has me in Cc"
    ONLY_TO_ME = "is sent to me alone"
    TO_ME = "is sent to me"
    TO_OR_CC_ME = "has me in To or Cc"
    # what only some sides know
    DATES = "arrived between"
    ITEM_CLASS = "is of class"
    CLASSIFICATION = "is classified as"
    CONNECTED_ACCOUNT = "came by the connected account"


class Deed(StrEnum):
    """What a rule does. The value of a folder's deed is the folder's id; those of people are addresses."""

    CATEGORIES = "give categories"
    COPY = "copy to folder"
    MOVE = "move to folder"
    DELETE = "delete"
    DELETE_FOR_GOOD = "delete for good"
    FORWARD = "forward to"
    FORWARD_ATTACHED = "forward as attachment to"
    REDIRECT = "redirect to"
    IMPORTANCE = "mark with importance"
    MARK_READ = "mark as read"
    STOP = "stop"
    # what only some sides know
    REPLY = "reply with a template"
    TEXT_MESSAGE = "send a text message to"


SENDING = frozenset({Deed.FORWARD, Deed.FORWARD_ATTACHED, Deed.REDIRECT, Deed.REPLY, Deed.TEXT_MESSAGE})
"""Deeds that send something to somebody."""

_OF_PEOPLE = frozenset({Test.FROM, Test.SENT_TO, Deed.FORWARD, Deed.FORWARD_ATTACHED, Deed.REDIRECT})


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of a rule; no values where the test itself says all."""

    test: Test
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a rule does."""

    deed: Deed
    values: tuple[str, ...] = ()


Content: TypeAlias = tuple[tuple[str, str, tuple[str, ...]], ...]
"""What a rule says, in a form that is equal for two rules only if they do the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One inbox rule. ``order`` is its place among the rules, from 1. ``id`` is its side's own.

    ``untold`` has what the side itself can't tell of it in words: then it can't be carried. ``locked`` rules are the
    server's own, which nobody may change.
    """

    name: str
    order: int
    enabled: bool
    conditions: tuple[Clause, ...] = ()
    exceptions: tuple[Clause, ...] = ()
    actions: tuple[Action, ...] = ()
    untold: tuple[str, ...] = ()
    locked: bool = False
    id: str = ""

    @property
    def sends(self) -> bool:
        """Whether it would e-mail somebody once it is on."""
        return any(one.deed in SENDING for one in self.actions)

    def content(self) -> Content:
        """What it says, whatever its order, name and state; addresses are compared without regard to case."""
        return tuple(
            sorted(
                (part, one.value, tuple(sorted(map(str.casefold, values) if one in _OF_PEOPLE else values)))
                for part, one, values in (
                    *(("if", clause.test, clause.values) for clause in self.conditions),
                    *(("unless", clause.test, clause.values) for clause in self.exceptions),
                    *(("do", action.deed, action.values) for action in self.actions),
                )
            )
        )


@dataclass(frozen=True, slots=True)
class Category:
    """One name of the mailbox's list of categories. ``colour`` is 0 to 24 in the order that both vendors share; None for none."""

    name: str
    colour: int | None = None


class ReplyState(StrEnum):
    """Whether automatic replies are sent."""

    OFF = "off"
    ON = "on"
    SCHEDULED = "scheduled"


class Audience(StrEnum):
    """Who outside gets an automatic reply."""

    NOBODY = "nobody"
    KNOWN = "contacts"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticReply:
    """The automatic replies. ``start`` and ``end`` in UTC, for those that are scheduled; the texts are HTML."""

    state: ReplyState = ReplyState.OFF
    audience: Audience = Audience.NOBODY
    internal: str = ""
    external: str = ""
    start: datetime | None = None
    end: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether nobody ever wrote one."""
        return self.state is ReplyState.OFF and not words_of(self.internal) and not words_of(self.external)

    def says_the_same(self, other: AutomaticReply) -> bool:
        """Whether the words are the same: a server wraps them in markup of its own."""
        return words_of(self.internal) == words_of(other.internal) and words_of(self.external) == words_of(other.external)


_MARKUP = re.compile(r"<style\b.*?</style>|<head\b.*?</head>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def words_of(text: str) -> str:
    """The words of a text in HTML, without markup and with single spaces."""
    return " ".join(html.unescape(_MARKUP.sub(" ", text)).split())


DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingHours:
    """When somebody works: days in the order of ``DAYS``, ``start`` and ``end`` as HH:MM:SS there; ``zone`` is a Windows name."""

    days: tuple[str, ...]
    start: str
    end: str
    zone: str


class Delivery(StrEnum):
    """Where meeting requests go when there are delegates."""

    DELEGATES = "delegates only"
    BOTH = "delegates and owner"
    TOLD = "delegates, and the owner is told"
    OWNER = "owner only"


class Holder(StrEnum):
    """Who a permission is for."""

    PERSON = "person"
    EVERYBODY = "everybody"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder by the special folder that it is or lies in, and the names below that; no role for folders below the top."""

    role: Role | None
    names: tuple[str, ...] = ()
    calendar: bool = False

    @property
    def path(self) -> str:
        """It for people."""
        return "/".join((f"({self.role.value})" if self.role else "", *self.names)).lstrip("/") or "(top)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What one holder may do in one folder. ``level`` is the vendor's name of it (Reviewer, Editor, …).

    ``rights`` spell it out where the level is Custom, in the words of the target's scripts. ``address`` is empty where the
    side knows none (an account that was deleted): ``name`` says what it does know.
    """

    place: Place
    holder: Holder
    level: str
    address: str = ""
    name: str = ""
    rights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """Somebody who acts for the owner. ``levels`` by role of the folder; those that are None are left out."""

    address: str
    name: str = ""
    levels: tuple[tuple[Role, str], ...] = ()
    gets_meetings: bool = False
    sees_private: bool = False


@dataclass(frozen=True, slots=True)
class Untold:
    """Something that can't be read, or not be told in these words, and why; ``name`` may be empty."""

    kind: Kind
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that one side tells. None where it has no such setting, or could not tell it: see ``untold``."""

    rules: tuple[Rule, ...] = ()
    categories: tuple[Category, ...] = ()
    reply: AutomaticReply | None = None
    hours: WorkingHours | None = None
    zone: str | None = None
    delivery: Delivery | None = None
    permissions: tuple[Permission, ...] = ()
    delegates: tuple[Delegate, ...] = ()
    untold: tuple[Untold, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a target has words for."""

    tests: frozenset[Test]
    deeds: frozenset[Deed]
    deliveries: frozenset[Delivery]


class SettingsSource(Protocol):
    """One mailbox whose settings are read."""

    def read(self) -> Settings:
        """All settings. Raises WireError only for what concerns the mailbox or the side as a whole."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SettingsTarget(Protocol):
    """One mailbox that settings are written to, one at a time.

    A write returns a Refusal where the side turned that one thing down. Unavailable whose ``did_nothing`` is False leaves a
    write in doubt: read again before it is tried again. Nothing is ever removed.
    """

    @property
    def abilities(self) -> Abilities:
        """What can be said here at all."""
        ...

    def read(self) -> Settings:
        """What the mailbox has already; permissions are those of its calendar alone."""
        ...

    def add_rule(self, rule: Rule) -> Rule | Refusal:
        """Add a rule, switched off whatever it says of itself; as the side keeps it. Folders are the target's own ids."""
        ...

    def enable_rule(self, rule: Rule) -> Refusal | None:
        """Switch on a rule that is there, at the operator's word alone."""
        ...

    def add_category(self, category: Category) -> Refusal | None:
        """Add a category."""
        ...

    def set_reply(self, reply: AutomaticReply) -> Refusal | None:
        """Set the automatic replies; anything but OFF at the operator's word alone."""
        ...

    def set_hours(self, hours: WorkingHours) -> Refusal | None:
        """Set the working hours."""
        ...

    def set_zone(self, zone: str) -> Refusal | None:
        """Set the time zone."""
        ...

    def set_delivery(self, delivery: Delivery) -> Refusal | None:
        """Say where meeting requests go."""
        ...
