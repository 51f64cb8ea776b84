"""Settings on the wire of Exchange: what is asked, and how the answers are read. Pure; every request only reads.

[messages.xsd and types.xsd of Exchange; MS-OXOCFG 2.2.5 for the category list and the working hours]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from connectors.base import Role
from connectors.ews import soap
from connectors.ews.answer import T
from connectors.ews.client import escape
from connectors.settings import (
    DAYS,
    Action,
    Audience,
    AutomaticReply,
    Category,
    Clause,
    Deed,
    Delegate,
    Holder,
    Permission,
    Place,
    ReplyState,
    Rule,
    Test,
    WorkingHours,
)

# -- what is asked


def get_rules(mailbox: str) -> str:
    """GetInboxRules."""
    return f"<m:GetInboxRules><m:MailboxSmtpAddress>{escape(mailbox)}</m:MailboxSmtpAddress></m:GetInboxRules>"


def get_reply(mailbox: str) -> str:
    """GetUserOofSettings; the element's name has one word more than the operation's."""
    return (
        "<m:GetUserOofSettingsRequest><t:Mailbox>"
        f"<t:Address>{escape(mailbox)}</t:Address></t:Mailbox></m:GetUserOofSettingsRequest>"
    )


def get_delegates(mailbox: str) -> str:
    """GetDelegate with their levels."""
    return (
        '<m:GetDelegate IncludePermissions="true"><m:Mailbox>'
        f"<t:EmailAddress>{escape(mailbox)}</t:EmailAddress></m:Mailbox></m:GetDelegate>"
    )


def get_configuration(name: str, folder: str, what: str, owner: str | None) -> str:
    """GetUserConfiguration: a hidden item of a special folder, by its name."""
    return (
        f'<m:GetUserConfiguration><m:UserConfigurationName Name="{name}">{soap.distinguished(folder, owner)}'
        f"</m:UserConfigurationName><m:UserConfigurationProperties>{what}</m:UserConfigurationProperties></m:GetUserConfiguration>"
    )


def get_permissions(folders: Sequence[str], root: str | None) -> str:
    """GetFolder with the permissions of each folder; ``root`` is the top of the mailbox, ready as XML, which comes first."""
    ids = (root or "") + "".join(f'<t:FolderId Id="{escape(one)}"/>' for one in folders)
    shape = (
        "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
        '<t:FieldURI FieldURI="folder:PermissionSet"/></t:AdditionalProperties></m:FolderShape>'
    )
    return f"<m:GetFolder>{shape}<m:FolderIds>{ids}</m:FolderIds></m:GetFolder>"


def resolve(name: str) -> str:
    """ResolveNames for one address that is no SMTP address."""
    return (
        '<m:ResolveNames ReturnFullContactData="false" SearchScope="ActiveDirectory">'
        f"<m:UnresolvedEntry>{escape(name)}</m:UnresolvedEntry></m:ResolveNames>"
    )


# -- rules

_WORDS: Mapping[str, Test] = {
    "Categories": Test.CATEGORIES,
    "ContainsBodyStrings": Test.BODY,
    "ContainsHeaderStrings": Test.HEADER,
    "ContainsRecipientStrings": Test.RECIPIENT,
    "ContainsSenderStrings": Test.SENDER,
    "ContainsSubjectOrBodyStrings": Test.SUBJECT_OR_BODY,
    "ContainsSubjectStrings": Test.SUBJECT,
    "FromConnectedAccounts": Test.CONNECTED_ACCOUNT,
    "ItemClasses": Test.ITEM_CLASS,
    "MessageClassifications": Test.CLASSIFICATION,
}
_PEOPLE: Mapping[str, Test] = {"FromAddresses": Test.FROM, "SentToAddresses": Test.SENT_TO}
_CHOICES: Mapping[str, Test] = {
    "FlaggedForAction": Test.ACTION_FLAG,
    "Importance": Test.IMPORTANCE,
    "Sensitivity": Test.SENSITIVITY,
}
_YES: Mapping[str, Test] = {
    "HasAttachments": Test.ATTACHMENTS,
    "IsApprovalRequest": Test.APPROVAL_REQUEST,
    "IsAutomaticForward": Test.AUTOMATIC_FORWARD,
    "IsAutomaticReply": Test.AUTOMATIC_REPLY,
    "IsEncrypted": Test.ENCRYPTED,
    "IsMeetingRequest": Test.MEETING_REQUEST,
    "IsMeetingResponse": Test.MEETING_RESPONSE,
    "IsNDR": Test.NOT_DELIVERED,
    "IsPermissionControlled": Test.PERMISSION_CONTROLLED,
    "IsReadReceipt": Test.READ_RECEIPT,
    "IsSigned": Test.SIGNED,
    "IsVoicemail": Test.VOICEMAIL,
    "NotSentToMe": Test.NOT_TO_ME,
    "SentCcMe": Test.CC_ME,
    "SentOnlyToMe": Test.ONLY_TO_ME,
    "SentToMe": Test.TO_ME,
    "SentToOrCcMe": Test.TO_OR_CC_ME,
}
_DEEDS_OF_PEOPLE: Mapping[str, Deed] = {
    "ForwardAsAttachmentToRecipients": Deed.FORWARD_ATTACHED,
    "ForwardToRecipients": Deed.FORWARD,
    "RedirectToRecipients": Deed.REDIRECT,
    "SendSMSAlertToRecipients": Deed.TEXT_MESSAGE,
}
_DEEDS_YES: Mapping[str, Deed] = {
    "Delete": Deed.DELETE,
    "MarkAsRead": Deed.MARK_READ,
    "PermanentDelete": Deed.DELETE_FOR_GOOD,
    "StopProcessingRules": Deed.STOP,
}
_DEEDS_OF_FOLDERS: Mapping[str, Deed] = {"CopyToFolder": Deed.COPY, "MoveToFolder": Deed.MOVE}


def rule_of(element: Any) -> Rule:
    """One rule; what has no word here is in its ``untold``. Addresses are as the server has them, not all of them SMTP."""
    untold: list[str] = []
    conditions = _clauses(element.find(f"{T}Conditions"), untold)
    exceptions = _clauses(element.find(f"{T}Exceptions"), untold)
    actions = _actions(element.find(f"{T}Actions"), untold)
    if soap.truth(element.findtext(f"{T}IsNotSupported")):
        untold.append("parts that the source shows to Outlook alone")
    if soap.truth(element.findtext(f"{T}IsInError")):
        untold.append("parts that the source itself calls faulty")
    return Rule(
        name=element.findtext(f"{T}DisplayName") or "",
        order=soap.number(element.findtext(f"{T}Priority")) or 1,
        enabled=soap.truth(element.findtext(f"{T}IsEnabled")),
        conditions=conditions,
        exceptions=exceptions,
        actions=actions,
        untold=tuple(untold),
        id=element.findtext(f"{T}RuleId") or "",
    )


def _strings(element: Any) -> tuple[str, ...]:
    return tuple(one.text or "" for one in element.iterchildren(f"{T}String"))


def _addresses(element: Any) -> tuple[str, ...]:
    return tuple(
        one.findtext(f"{T}EmailAddress") or one.findtext(f"{T}Name") or "" for one in element.iterchildren(f"{T}Address")
    )


def _clauses(element: Any, untold: list[str]) -> tuple[Clause, ...]:
    found: list[Clause] = []
    for one in () if element is None else element.iterchildren("*"):
        name = etree.QName(one).localname
        if name in _YES:
            if soap.truth(one.text):
                found.append(Clause(_YES[name]))
        elif name in _WORDS:
            found.append(Clause(_WORDS[name], _strings(one)))
        elif name in _PEOPLE:
            found.append(Clause(_PEOPLE[name], _addresses(one)))
        elif name in _CHOICES:
            found.append(Clause(_CHOICES[name], ((one.text or "").casefold(),)))
        elif name == "WithinSizeRange":
            found.append(Clause(Test.SIZE, _bounds(one, "MinimumSize", "MaximumSize")))
        elif name == "WithinDateRange":
            found.append(Clause(Test.DATES, _bounds(one, "StartDateTime", "EndDateTime")))
        else:
            untold.append(f"a condition of a kind that is not known ({name})")
    return tuple(found)


def _bounds(element: Any, low: str, high: str) -> tuple[str, str]:
    return element.findtext(f"{T}{low}") or "", element.findtext(f"{T}{high}") or ""


def _actions(element: Any, untold: list[str]) -> tuple[Action, ...]:
    found: list[Action] = []
    for one in () if element is None else element.iterchildren("*"):
        name = etree.QName(one).localname
        if name in _DEEDS_YES:
            if soap.truth(one.text):
                found.append(Action(_DEEDS_YES[name]))
        elif name in _DEEDS_OF_PEOPLE:
            found.append(Action(_DEEDS_OF_PEOPLE[name], _addresses(one)))
        elif name in _DEEDS_OF_FOLDERS:
            id_ = one.find(f"{T}FolderId")
            if id_ is None:
                id_ = one.find(f"{T}DistinguishedFolderId")
            if id_ is None:
                untold.append("a folder that the source does not name")
            else:
                found.append(Action(_DEEDS_OF_FOLDERS[name], (id_.get("Id", ""),)))
        elif name == "AssignCategories":
            found.append(Action(Deed.CATEGORIES, _strings(one)))
        elif name == "MarkImportance":
            found.append(Action(Deed.IMPORTANCE, ((one.text or "").casefold(),)))
        elif name == "ServerReplyWithMessage":
            found.append(Action(Deed.REPLY))
        else:
            untold.append(f"an action of a kind that is not known ({name})")
    return tuple(found)


def with_addresses(rule: Rule, known: Mapping[str, str]) -> Rule:
    """The rule with each address that ``known`` has as an SMTP address; those still without one are told in ``untold``."""
    lost = [one for one in addresses_of(rule) if "@" not in known.get(one, one)]

    def clauses(given: tuple[Clause, ...]) -> tuple[Clause, ...]:
        people = frozenset(_PEOPLE.values())
        return tuple(
            Clause(one.test, tuple(known.get(value, value) for value in one.values)) if one.test in people else one
            for one in given
        )

    return replace(
        rule,
        conditions=clauses(rule.conditions),
        exceptions=clauses(rule.exceptions),
        actions=tuple(
            Action(one.deed, tuple(known.get(value, value) for value in one.values))
            if one.deed in _DEEDS_OF_PEOPLE.values()
            else one
            for one in rule.actions
        ),
        untold=(*rule.untold, *("the name of somebody who has no address any more" for _ in lost[:1])),
    )


def addresses_of(rule: Rule) -> list[str]:
    """Every address that a rule names."""
    parts = (*rule.conditions, *rule.exceptions)
    found = [value for one in parts if one.test in _PEOPLE.values() for value in one.values]
    wanted = (Deed.FORWARD, Deed.FORWARD_ATTACHED, Deed.REDIRECT)
    return found + [value for action in rule.actions if action.deed in wanted for value in action.values]


# -- categories, replies, hours


def categories_of(document: bytes) -> tuple[Category, ...]:
    """The list of categories. Raises ValueError if the document is none [MS-OXOCFG 2.2.5.1.2]."""
    found: dict[str, Category] = {}
    for one in _root(document).iter("{*}category"):
        name, colour = one.get("name") or "", soap.number(one.get("color"))
        if name:
            # The first of two names that differ in case only is the one that counts.
            found.setdefault(name.casefold(), Category(name, colour if colour is not None and 0 <= colour <= 24 else None))
    return tuple(found.values())


_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?")


def hours_of(document: bytes) -> WorkingHours:
    """The working hours. Raises ValueError if the document is none, or has hours that no clock has [MS-OXOCFG 2.2.5.1.3]."""
    root = _root(document)
    start, end = (_clock(root.findtext(f".//{{*}}TimeSlot/{{*}}{word}")) for word in ("Start", "End"))
    named = {day.casefold() for day in (root.findtext(".//{*}WorkDays") or "").split()}
    zone = (root.findtext(".//{*}TimeZone/{*}Name") or "").strip()
    return WorkingHours(days=tuple(day for day in DAYS if day in named), start=start, end=end, zone=zone)


def _clock(text: str | None) -> str:
    found = _CLOCK.fullmatch((text or "").strip())
    if found is None:
        raise ValueError("no time of day")
    return found.group() if len(found.group()) == 8 else f"{found.group()}:00"


def _root(document: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        return etree.fromstring(document, parser)
    except etree.XMLSyntaxError:
        raise ValueError("no document") from None


def option_of(configuration: Any, key: str) -> str | None:
    """One value of a configuration's dictionary."""
    for entry in configuration.iter(f"{T}DictionaryEntry"):
        if (entry.findtext(f"{T}DictionaryKey/{T}Value") or "").casefold() == key:
            return entry.findtext(f"{T}DictionaryValue/{T}Value") or None
    return None


_STATES = {"Disabled": ReplyState.OFF, "Enabled": ReplyState.ON, "Scheduled": ReplyState.SCHEDULED}
_AUDIENCES = {"None": Audience.NOBODY, "Known": Audience.KNOWN, "All": Audience.EVERYBODY}


def reply_of(element: Any) -> AutomaticReply:
    """The automatic replies. Raises ValueError for a state or an audience that the schema does not have."""
    try:
        state = _STATES[element.findtext(f"{T}OofState") or ""]
        audience = _AUDIENCES[element.findtext(f"{T}ExternalAudience") or ""]
    except KeyError:
        raise ValueError("no such state") from None
    scheduled = state is ReplyState.SCHEDULED
    return AutomaticReply(
        state=state,
        audience=audience,
        internal=element.findtext(f"{T}InternalReply/{T}Message") or "",
        external=element.findtext(f"{T}ExternalReply/{T}Message") or "",
        start=soap.moment(element.findtext(f"{T}Duration/{T}StartTime")) if scheduled else None,
        end=soap.moment(element.findtext(f"{T}Duration/{T}EndTime")) if scheduled else None,
    )


# -- permissions and delegates

_DISTINGUISHED = {"Default": Holder.EVERYBODY, "Anonymous": Holder.ANONYMOUS}
_LEVELS_IN_SCRIPTS = {"FreeBusyTimeOnly": "AvailabilityOnly", "FreeBusyTimeAndSubjectAndLocation": "LimitedDetails"}
_ROLES_OF_DELEGATES = {
    "CalendarFolderPermissionLevel": Role.CALENDAR,
    "TasksFolderPermissionLevel": Role.TASKS,
    "InboxFolderPermissionLevel": Role.INBOX,
    "ContactsFolderPermissionLevel": Role.CONTACTS,
    "NotesFolderPermissionLevel": Role.NOTES,
    "JournalFolderPermissionLevel": Role.JOURNAL,
}


def permissions_of(folder: Any, place: Place) -> tuple[list[Permission], int]:
    """The permissions in a folder's answer, and how many entries are of accounts that the server can't name."""
    found: list[Permission] = []
    for one in (*folder.iter(f"{T}Permission"), *folder.iter(f"{T}CalendarPermission")):
        user = one.find(f"{T}UserId")
        if user is None:
            continue
        level = one.findtext(f"{T}PermissionLevel") or one.findtext(f"{T}CalendarPermissionLevel") or ""
        found.append(
            Permission(
                place=place,
                holder=_DISTINGUISHED.get(user.findtext(f"{T}DistinguishedUser") or "", Holder.PERSON),
                level=_LEVELS_IN_SCRIPTS.get(level, level),
                address=user.findtext(f"{T}PrimarySmtpAddress") or user.findtext(f"{T}ExternalUserIdentity") or "",
                name=user.findtext(f"{T}DisplayName") or user.findtext(f"{T}SID") or "",
                rights=_rights(one) if level == "Custom" else (),
            )
        )
    return found, sum(1 for _ in folder.iter(f"{T}UnknownEntry"))


def _rights(one: Any) -> tuple[str, ...]:
    """A custom permission spelt out as Add-MailboxFolderPermission names it.

    [learn.microsoft.com/powershell/module/exchange/add-mailboxfolderpermission]
    """
    yes = {
        "CanCreateItems": "CreateItems",
        "CanCreateSubFolders": "CreateSubfolders",
        "IsFolderOwner": "FolderOwner",
        "IsFolderVisible": "FolderVisible",
        "IsFolderContact": "FolderContact",
    }
    rights = [right for name, right in yes.items() if soap.truth(one.findtext(f"{T}{name}"))]
    reads = one.findtext(f"{T}ReadItems") or "None"
    rights += {
        "FullDetails": ["ReadItems"],
        "TimeOnly": ["AvailabilityOnly"],
        "TimeAndSubjectAndLocation": ["LimitedDetails"],
    }.get(reads, [])
    for name, own, everything in (
        ("EditItems", "EditOwnedItems", "EditAllItems"),
        ("DeleteItems", "DeleteOwnedItems", "DeleteAllItems"),
    ):
        rights += {"Owned": [own], "All": [own, everything]}.get(one.findtext(f"{T}{name}") or "None", [])
    return tuple(rights)


def delegate_of(element: Any) -> Delegate:
    """One delegate."""
    user, levels = element.find(f"{T}UserId"), element.find(f"{T}DelegatePermissions")
    given = {} if levels is None else {etree.QName(one).localname: one.text or "None" for one in levels.iterchildren("*")}
    return Delegate(
        address=("" if user is None else user.findtext(f"{T}PrimarySmtpAddress")) or "",
        name=("" if user is None else user.findtext(f"{T}DisplayName") or user.findtext(f"{T}SID")) or "",
        levels=tuple((role, given[name]) for name, role in _ROLES_OF_DELEGATES.items() if given.get(name, "None") != "None"),
        gets_meetings=soap.truth(element.findtext(f"{T}ReceiveCopiesOfMeetingMessages")),
        sees_private=soap.truth(element.findtext(f"{T}ViewPrivateItems")),
    )
