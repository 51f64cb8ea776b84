"""Settings of the simulated Exchange server: rules, automatic replies, delegates, configurations, and permissions of folders.

Shapes and their order are those of types.xsd; what nobody set answers as the real server does. Nothing here can be written:
the operations that would are not among those that the server knows.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from .exchange_call import Call, T, answer, b64, children, invalid, message, text, when
from .exchange_ids import change_key, folder_id
from .setups import Grant, RuleSet, grants_of
from .truth import Box, Mailbox

_CONDITIONS = (
    "Categories", "ContainsBodyStrings", "ContainsHeaderStrings", "ContainsRecipientStrings", "ContainsSenderStrings",
    "ContainsSubjectOrBodyStrings", "ContainsSubjectStrings", "FlaggedForAction", "FromAddresses", "FromConnectedAccounts",
    "HasAttachments", "Importance", "IsApprovalRequest", "IsAutomaticForward", "IsAutomaticReply", "IsEncrypted",
    "IsMeetingRequest", "IsMeetingResponse", "IsNDR", "IsPermissionControlled", "IsReadReceipt", "IsSigned", "IsVoicemail",
    "ItemClasses", "MessageClassifications", "NotSentToMe", "SentCcMe", "SentOnlyToMe", "SentToAddresses", "SentToMe",
    "SentToOrCcMe", "Sensitivity", "WithinDateRange", "WithinSizeRange",
)  # fmt: skip
_ACTIONS = (
    "AssignCategories", "CopyToFolder", "Delete", "ForwardAsAttachmentToRecipients", "ForwardToRecipients", "MarkImportance",
    "MarkAsRead", "MoveToFolder", "PermanentDelete", "RedirectToRecipients", "SendSMSAlertToRecipients",
    "ServerReplyWithMessage", "StopProcessingRules",
)  # fmt: skip
_PEOPLE = {
    "FromAddresses", "SentToAddresses", "ForwardAsAttachmentToRecipients", "ForwardToRecipients", "RedirectToRecipients",
    "SendSMSAlertToRecipients",
}  # fmt: skip
_BOUNDS = {"WithinDateRange": ("StartDateTime", "EndDateTime"), "WithinSizeRange": ("MinimumSize", "MaximumSize")}
_SUCCESS = "<m:ResponseCode>NoError</m:ResponseCode>"


def _written(call: Call, operation: str) -> bytes | None:
    """The answer that the options have for this mailbox, if any."""
    found = call.options.answers.get((call.box_of().address.lower(), operation))
    return None if found is None else found.encode()


def get_inbox_rules(call: Call, element: Any) -> bytes:
    """The rules, in the order of their priority; none at all has no InboxRules."""
    children(element, ("MailboxSmtpAddress",))
    if (found := _written(call, "GetInboxRules")) is not None:
        return found
    owner = call.box_of()
    rules = "".join(_rule(owner, number, rule) for number, rule in enumerate(owner.setup.rules, 1))
    inner = f"<m:InboxRules>{rules}</m:InboxRules>" if rules else ""
    blob = str(owner.setup.outlook_rules).lower()
    return (
        f'<m:GetInboxRulesResponse ResponseClass="Success">{_SUCCESS}'
        f"<m:OutlookRuleBlobExists>{blob}</m:OutlookRuleBlobExists>{inner}</m:GetInboxRulesResponse>"
    ).encode()


def _rule(owner: Mailbox, number: int, rule: RuleSet) -> str:
    out = [
        f"<t:Rule><t:RuleId>{b64(f'{owner.guid}{number}'.encode())}</t:RuleId><t:DisplayName>{text(rule.name)}</t:DisplayName>",
        f"<t:Priority>{number}</t:Priority><t:IsEnabled>{str(rule.enabled).lower()}</t:IsEnabled>",
        "<t:IsNotSupported>true</t:IsNotSupported>" if rule.unsupported else "",
        "<t:IsInError>true</t:IsInError>" if rule.in_error else "",
    ]
    for part, names, given in (
        ("Conditions", _CONDITIONS, rule.conditions),
        ("Exceptions", _CONDITIONS, rule.exceptions),
        ("Actions", _ACTIONS, rule.actions),
    ):
        inner = "".join(_part(owner, name, given[name]) for name in names if name in given)
        out.append(f"<t:{part}>{inner}</t:{part}>" if inner else "")
    return "".join(out) + "</t:Rule>"


def _part(owner: Mailbox, name: str, value: Any) -> str:
    if value is True:
        inner = "true"
    elif name in _PEOPLE:
        inner = "".join(_person(one) for one in value)
    elif name in _BOUNDS:
        inner = "".join(f"<t:{bound}>{one}</t:{bound}>" for bound, one in zip(_BOUNDS[name], value, strict=True) if one)
    elif name in ("MoveToFolder", "CopyToFolder"):
        box = owner.boxes.get(value)
        key = change_key(owner, box.change) if box else "AQAA"
        inner = f'<t:FolderId Id="{folder_id(owner, value)}" ChangeKey="{key}"/>'
    elif name == "ServerReplyWithMessage":
        return f"<t:{name} Id={quoteattr(value)}/>"
    elif isinstance(value, list):
        inner = "".join(f"<t:String>{text(one)}</t:String>" for one in value)
    else:
        inner = text(value)
    return f"<t:{name}>{inner}</t:{name}>"


def _person(address: str) -> str:
    kind = "SMTP" if "@" in address else "EX"
    return (
        f"<t:Address><t:Name>{text(address)}</t:Name><t:EmailAddress>{text(address)}</t:EmailAddress>"
        f"<t:RoutingType>{kind}</t:RoutingType></t:Address>"
    )


def get_user_oof_settings(call: Call, element: Any) -> bytes:
    """The automatic replies; those of a mailbox that never had any are off and without text."""
    children(element, ("Mailbox",), ("Mailbox",), T)
    if (found := _written(call, "GetUserOofSettings")) is not None:
        return found
    reply = call.box_of().setup.reply
    times = (
        f"<t:Duration><t:StartTime>{when(reply['from'])}</t:StartTime><t:EndTime>{when(reply['to'])}</t:EndTime></t:Duration>"
        if reply.get("from")
        else ""
    )
    texts = "".join(
        f"<t:{name}><t:Message>{text(reply.get(word, ''))}</t:Message></t:{name}>"
        for name, word in (("InternalReply", "internal"), ("ExternalReply", "external"))
    )
    return (
        f'<m:GetUserOofSettingsResponse><m:ResponseMessage ResponseClass="Success">{_SUCCESS}</m:ResponseMessage><t:OofSettings>'
        f"<t:OofState>{reply.get('OofState', 'Disabled')}</t:OofState>"
        f"<t:ExternalAudience>{reply.get('ExternalAudience', 'None')}</t:ExternalAudience>{times}{texts}</t:OofSettings>"
        "<m:AllowExternalOof>All</m:AllowExternalOof></m:GetUserOofSettingsResponse>"
    ).encode()


def get_delegate(call: Call, element: Any) -> bytes:
    """The delegates; an error of its own kind says that there are none."""
    children(element, ("Mailbox", "UserIds"), ("Mailbox",))
    if element.get("IncludePermissions") not in ("true", "false", "1", "0"):
        raise invalid("The 'IncludePermissions' attribute is missing.", element)
    if (found := _written(call, "GetDelegate")) is not None:
        return found
    setup = call.box_of().setup
    if not setup.assistants:
        return (
            b'<m:GetDelegateResponse ResponseClass="Error"><m:MessageText>No delegates are set.</m:MessageText>'
            b"<m:ResponseCode>ErrorDelegateMissingConfiguration</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>"
            b"</m:GetDelegateResponse>"
        )
    out = [f'<m:GetDelegateResponse ResponseClass="Success">{_SUCCESS}<m:ResponseMessages>']
    for one in setup.assistants:
        kinds = ("Calendar", "Tasks", "Inbox", "Contacts", "Notes", "Journal")
        levels = "".join(
            f"<t:{kind}FolderPermissionLevel>{one.levels.get(kind, 'None')}</t:{kind}FolderPermissionLevel>" for kind in kinds
        )
        out.append(
            f'<m:DelegateUserResponseMessageType ResponseClass="Success">{_SUCCESS}<m:DelegateUser><t:UserId>'
            f"<t:PrimarySmtpAddress>{text(one.address)}</t:PrimarySmtpAddress><t:DisplayName>{text(one.name)}</t:DisplayName>"
            f"</t:UserId><t:DelegatePermissions>{levels}</t:DelegatePermissions>"
            f"<t:ReceiveCopiesOfMeetingMessages>{str(one.gets_meetings).lower()}</t:ReceiveCopiesOfMeetingMessages>"
            f"<t:ViewPrivateItems>{str(one.sees_private).lower()}</t:ViewPrivateItems>"
            "</m:DelegateUser></m:DelegateUserResponseMessageType>"
        )
    out.append(
        f"</m:ResponseMessages><m:DeliverMeetingRequests>{setup.delivery}</m:DeliverMeetingRequests></m:GetDelegateResponse>"
    )
    return "".join(out).encode()


def get_user_configuration(call: Call, element: Any) -> bytes:
    """A hidden item of a folder by its name: the category list and the working hours of the calendar, the options of the root."""
    names = ("UserConfigurationName", "UserConfigurationProperties")
    given = children(element, names, names)
    if (found := _written(call, "GetUserConfiguration")) is not None:
        return found
    asked, wanted = given["UserConfigurationName"], (given["UserConfigurationProperties"].text or "").split()
    folder = next(asked.iterchildren("*"), None)
    if folder is None or not asked.get("Name") or set(wanted) - {"Id", "Dictionary", "XmlData", "BinaryData", "All"}:
        raise invalid("The request for a configuration is incomplete.", element)
    setup, name, where = call.box_of().setup, asked.get("Name"), folder.get("Id")
    inner = ""
    if name == "CategoryList" and where == "calendar" and setup.categories is not None:
        inner = _document(_category_list(setup.categories))
    elif name == "WorkHours" and where == "calendar" and setup.hours:
        inner = _document(_work_hours(setup.hours))
    elif name == "OWA.UserOptions" and where == "root" and setup.zone:
        inner = f"<t:Dictionary>{_entry('timezone', setup.zone)}{_entry('timeformat', 'HH:mm')}</t:Dictionary>"
    if not inner:
        sentence = "The specified object was not found in the store."
        return answer("GetUserConfiguration", iter([message("GetUserConfiguration", "", "ErrorItemNotFound", sentence)]))
    at = f'<t:UserConfigurationName Name="{name}"><t:DistinguishedFolderId Id="{where}"/></t:UserConfigurationName>'
    body = f"<m:UserConfiguration>{at}{inner}</m:UserConfiguration>"
    return answer("GetUserConfiguration", iter([message("GetUserConfiguration", body)]))


def _document(xml: str) -> str:
    return f"<t:XmlData>{b64(xml.encode())}</t:XmlData>"


def _entry(key: str, value: str) -> str:
    def shown(name: str, word: str) -> str:
        return f"<t:{name}><t:Type>String</t:Type><t:Value>{text(word)}</t:Value></t:{name}>"

    return f"<t:DictionaryEntry>{shown('DictionaryKey', key)}{shown('DictionaryValue', value)}</t:DictionaryEntry>"


def _category_list(categories: list[tuple[str, int]]) -> str:
    inner = "".join(
        f'<category name={quoteattr(name)} color="{colour}" keyboardShortcut="0" usageCount="1" renameOnFirstUse="0"/>'
        for name, colour in categories
    )
    return f'<?xml version="1.0"?><categories default="Red Category" xmlns="CategoryList.xsd">{inner}</categories>'


def _work_hours(hours: dict[str, str]) -> str:
    return (
        '<?xml version="1.0"?><Root xmlns="WorkingHours.xsd"><WorkHoursVersion1><TimeZone><Bias>-60</Bias>'
        "<Standard><Bias>0</Bias><ChangeDate><Time>03:00:00</Time><Date>0000/10/05</Date><DayOfWeek>0</DayOfWeek></ChangeDate>"
        "</Standard><DaylightSavings><Bias>-60</Bias><ChangeDate><Time>02:00:00</Time><Date>0000/03/05</Date>"
        f"<DayOfWeek>0</DayOfWeek></ChangeDate></DaylightSavings><Name>{text(hours['zone'])}</Name></TimeZone>"
        f"<TimeSlot><Start>{hours['start']}</Start><End>{hours['end']}</End></TimeSlot>"
        f"<WorkDays>{hours['days']}</WorkDays></WorkHoursVersion1></Root>"
    )


_RIGHTS = (
    "CanCreateItems",
    "CanCreateSubFolders",
    "IsFolderOwner",
    "IsFolderVisible",
    "IsFolderContact",
    "EditItems",
    "DeleteItems",
)


def permission_set(owner: Mailbox, box: Box, calendar: bool) -> str:
    """The permissions of a folder, as the property ``folder:PermissionSet`` shows them."""
    kind = "Calendar" if calendar else ""
    shown = "".join(_permission(grant, kind) for grant in grants_of(owner, box))
    return f"<t:PermissionSet><t:{kind}Permissions>{shown}</t:{kind}Permissions></t:PermissionSet>"


def _permission(grant: Grant, kind: str) -> str:
    if grant.who in ("Default", "Anonymous"):
        who = f"<t:DistinguishedUser>{grant.who}</t:DistinguishedUser>"
    elif grant.who:
        shown = text(grant.name or grant.who)
        who = f"<t:PrimarySmtpAddress>{text(grant.who)}</t:PrimarySmtpAddress><t:DisplayName>{shown}</t:DisplayName>"
    else:
        who = f"<t:SID>{text(grant.name)}</t:SID>"
    rights = "".join(f"<t:{name}>{grant.rights[name]}</t:{name}>" for name in _RIGHTS if name in grant.rights)
    reads = f"<t:ReadItems>{grant.rights['ReadItems']}</t:ReadItems>" if "ReadItems" in grant.rights else ""
    level = f"<t:{kind}PermissionLevel>{grant.level}</t:{kind}PermissionLevel>"
    return f"<t:{kind}Permission><t:UserId>{who}</t:UserId>{rights}{reads}{level}</t:{kind}Permission>"
