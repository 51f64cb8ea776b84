"""Settings of the simulated tenant: inbox rules, mailbox settings, and permissions of the calendar.

What would e-mail somebody from then on is written down: a rule that forwards and is on, automatic replies that are on, a
permission of the calendar that is given or changed. [learn.microsoft.com/graph/api/resources/messagerule, mailboxsettings]
"""

from __future__ import annotations

import secrets
import zoneinfo
from datetime import UTC, datetime, time
from typing import Any

import orjson

from .tenant_call import Answer, Call, GraphError, check, gone, page

_FORWARDS = ("forwardTo", "forwardAsAttachmentTo", "redirectTo")
_ROOM_FOR_RULES = 256 * 1024

_WORDS = (
    "bodyContains", "bodyOrSubjectContains", "categories", "headerContains", "recipientContains", "senderContains",
    "subjectContains",
)  # fmt: skip
_YES = (
    "hasAttachments", "isApprovalRequest", "isAutomaticForward", "isAutomaticReply", "isEncrypted", "isMeetingRequest",
    "isMeetingResponse", "isNonDeliveryReport", "isPermissionControlled", "isReadReceipt", "isSigned", "isVoicemail",
    "notSentToMe", "sentCcMe", "sentOnlyToMe", "sentToMe", "sentToOrCcMe",
)  # fmt: skip
_CHOICES = {
    "importance": ("low", "normal", "high"),
    "markImportance": ("low", "normal", "high"),
    "sensitivity": ("normal", "personal", "private", "confidential"),
    "messageActionFlag": (
        "any", "call", "doNotForward", "followUp", "fyi", "forward", "noResponseNecessary", "read", "reply", "replyToAll",
        "review",
    ),
}  # fmt: skip
_PEOPLE = [{"emailAddress": {"name": str, "address": str}}]
_PREDICATES: dict[str, Any] = {
    **{name: [str] for name in _WORDS},
    **dict.fromkeys(_YES, bool),
    **dict.fromkeys(("importance", "sensitivity", "messageActionFlag"), str),
    **dict.fromkeys(("fromAddresses", "sentToAddresses"), _PEOPLE),
    "withinSizeRange": {"minimumSize": int, "maximumSize": int},
}
_DEEDS: dict[str, Any] = {
    "assignCategories": [str],
    **dict.fromkeys(("copyToFolder", "moveToFolder", "markImportance"), str),
    **dict.fromkeys(("delete", "markAsRead", "permanentDelete", "stopProcessingRules"), bool),
    **dict.fromkeys(_FORWARDS, _PEOPLE),
}
_RULE: dict[str, Any] = {
    "displayName": str,
    "sequence": int,
    "isEnabled": bool,
    "hasError": bool,
    "isReadOnly": bool,
    "conditions": _PREDICATES,
    "exceptions": _PREDICATES,
    "actions": _DEEDS,
}


def _box(call: Call) -> Any:
    """The folder of the path; rules are for the inbox alone."""
    if call.names["folder"].lower() != "inbox":
        raise GraphError(400, "ErrorInvalidRequest", "Rules are supported for the inbox only.")
    return call.box


def list_rules(call: Call) -> Answer:
    """GET of the rules, by their order."""
    rules = sorted(_box(call).rules.values(), key=lambda one: one["sequence"])
    return page(call, rules, lambda one: one, "messageRules")


def make_rule(call: Call) -> Answer:
    """POST of a rule: a name, an order and something to do are required; it is on unless it says that it is not."""
    box, given = _box(call), check(call.json(), _RULE, "messageRule")
    if not given.get("displayName") or not isinstance(given.get("sequence"), int) or given["sequence"] < 1:
        raise GraphError(400, "ErrorInvalidRequest", "A rule needs a name and an order.")
    rule = {"id": secrets.token_urlsafe(9), "isEnabled": True, "hasError": False, "isReadOnly": False, **given}
    _looked_over(call, rule)
    if sum(len(orjson.dumps(one)) for one in (*box.rules.values(), rule)) > _ROOM_FOR_RULES:
        raise GraphError(403, "ErrorRulesOverQuota", "The rules would need more room than the mailbox has for them.")
    box.rules[rule["id"]] = rule
    _note_forwarding(call, rule)
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#messageRule", **rule})


def get_rule(call: Call) -> Answer:
    """GET of one rule."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#messageRule", **_rule(call)})


def change_rule(call: Call) -> Answer:
    """PATCH of a rule."""
    rule, given = _rule(call), check(call.json(), _RULE, "messageRule")
    if rule["isReadOnly"]:
        raise GraphError(400, "ErrorInvalidRequest", "The rule is read-only.")
    _looked_over(call, {**rule, **given})
    rule.update(given)
    _note_forwarding(call, rule)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#messageRule", **rule})


def remove_rule(call: Call) -> Answer:
    """DELETE of a rule."""
    del _box(call).rules[_rule(call)["id"]]
    return Answer(204)


def _rule(call: Call) -> dict[str, Any]:
    found: dict[str, Any] | None = _box(call).rules.get(call.names["rule"])
    if found is None:
        raise gone("rule")
    return found


def _looked_over(call: Call, rule: dict[str, Any]) -> None:
    """Refuse what makes no rule; addresses get a name, as the real ones do."""
    actions = rule.get("actions") or {}
    if not actions:
        raise GraphError(400, "ErrorInvalidRequest", "A rule needs an action.")
    for part in (rule.get("conditions") or {}, rule.get("exceptions") or {}, actions):
        for name, value in part.items():
            if name in _CHOICES and value not in _CHOICES[name]:
                raise GraphError(400, "RequestBodyRead", f"The value of '{name}' is none of its kind.")
            if isinstance(value, list) and not value:
                raise GraphError(400, "ErrorInboxRulesValidationError", f"The list '{name}' is empty.")
            if name in ("fromAddresses", "sentToAddresses", *_FORWARDS):
                for one in value:
                    address = one.get("emailAddress") or {}
                    if "@" not in str(address.get("address")):
                        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
                    address.setdefault("name", address["address"])
    for name in ("moveToFolder", "copyToFolder"):
        if name in actions and call.box.folder(actions[name]) is None:
            raise GraphError(404, "ErrorItemNotFound", "The folder of the rule was not found in the store.")


def _note_forwarding(call: Call, rule: dict[str, Any]) -> None:
    actions = rule["actions"]
    if rule["isEnabled"] and any(actions.get(name) for name in _FORWARDS):
        call.box.mailbox.sent.append({"kind": "forwarding rule", "to": []})


# -- mailbox settings

_MOMENT = {"dateTime": str, "timeZone": str}
_SETTINGS: dict[str, Any] = {
    "archiveFolder": str,
    "automaticRepliesSetting": {
        "status": str,
        "externalAudience": str,
        "internalReplyMessage": str,
        "externalReplyMessage": str,
        "scheduledStartDateTime": _MOMENT,
        "scheduledEndDateTime": _MOMENT,
    },
    "dateFormat": str,
    "timeFormat": str,
    "timeZone": str,
    "language": {"locale": str, "displayName": str},
    "workingHours": {"daysOfWeek": [str], "startTime": str, "endTime": str, "timeZone": {"name": str}},
    "delegateMeetingMessageDeliveryOptions": str,
}
_DELIVERIES = ("sendToDelegateAndInformationToPrincipal", "sendToDelegateAndPrincipal", "sendToDelegateOnly")
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def get_settings(call: Call) -> Answer:
    """GET of the mailbox's settings."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxSettings", **call.box.settings})


def change_settings(call: Call) -> Answer:
    """PATCH of the mailbox's settings; only what is given changes. Replies come back in markup of the server's own."""
    given, settings = check(call.json(), _SETTINGS, "mailboxSettings"), call.box.settings
    if "timeZone" in given and not _is_zone(given["timeZone"]):
        raise GraphError(400, "InvalidArguments", "The time zone is not known.")
    if (hours := given.get("workingHours")) is not None:
        _check_hours(hours)
    delivery = given.get("delegateMeetingMessageDeliveryOptions")
    if delivery is not None and delivery not in _DELIVERIES:
        raise GraphError(400, "RequestBodyRead", "The delivery of meetings is none of its kind.")
    if (replies := given.get("automaticRepliesSetting")) is not None:
        merged = {**settings["automaticRepliesSetting"], **replies}
        _check_replies(merged)
        for name in ("internalReplyMessage", "externalReplyMessage"):
            if name in replies and replies[name] and "<html" not in replies[name]:
                merged[name] = f"<html>\n<body>\n{replies[name]}\n</body>\n</html>\n"
        given = {**given, "automaticRepliesSetting": merged}
        if merged["status"] != "disabled":
            call.box.mailbox.sent.append({"kind": "automatic replies", "to": []})
    settings.update(given)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#mailboxSettings", **given})


def _is_zone(name: Any) -> bool:
    return isinstance(name, str) and (
        name == "UTC" or name.endswith(" Standard Time") or ("/" in name and name in zoneinfo.available_timezones())
    )


def _check_hours(hours: dict[str, Any]) -> None:
    try:
        start, end = (time.fromisoformat(str(hours[word])[:8]) for word in ("startTime", "endTime"))
    except (KeyError, ValueError):
        raise GraphError(400, "RequestBodyRead", "The working hours can't be read.") from None
    if start >= end:
        raise GraphError(400, "ErrorInvalidTimeSettings", "The working hours end before they begin.")
    if not set(hours.get("daysOfWeek") or ()) <= set(_DAYS):
        raise GraphError(400, "RequestBodyRead", "A day is none of its kind.")
    if not _is_zone((hours.get("timeZone") or {}).get("name")):
        raise GraphError(400, "InvalidArguments", "The time zone is not known.")


def _check_replies(replies: dict[str, Any]) -> None:
    if replies["status"] not in ("disabled", "alwaysEnabled", "scheduled"):
        raise GraphError(400, "RequestBodyRead", "The status is none of its kind.")
    if replies["externalAudience"] not in ("none", "contactsOnly", "all"):
        raise GraphError(400, "RequestBodyRead", "The audience is none of its kind.")
    if replies["status"] != "scheduled":
        return
    try:
        start, end = (
            datetime.fromisoformat(replies[name]["dateTime"].partition(".")[0]).replace(tzinfo=UTC)
            for name in ("scheduledStartDateTime", "scheduledEndDateTime")
        )
    except (KeyError, TypeError, ValueError):
        raise GraphError(400, "ErrorInvalidTimeSettings", "The times of the replies can't be read.") from None
    if not datetime.now(UTC) < start < end:
        raise GraphError(400, "ErrorInvalidTimeSettings", "The times of the replies are not in the future.")


# -- permissions of the calendar

_PERMISSION = {
    "emailAddress": {"name": str, "address": str},
    "role": str,
    "allowedRoles": [str],
    "isRemovable": bool,
    "isInsideOrganization": bool,
}
_ROLES = (
    "none", "freeBusyRead", "limitedRead", "read", "write", "delegateWithoutPrivateEventAccess",
    "delegateWithPrivateEventAccess", "custom",
)  # fmt: skip


def list_permissions(call: Call) -> Answer:
    """GET of the calendar's permissions."""
    return page(call, list(call.box.permissions.values()), lambda one: one, "calendarPermissions")


def share(call: Call) -> Answer:
    """POST of a permission of the calendar: who it is for gets an invitation."""
    given = check(call.json(), _PERMISSION, "calendarPermission")
    if given.get("role") not in _ROLES:
        raise GraphError(400, "RequestBodyRead", "The role is none of its kind.")
    call.box.mailbox.sent.append({"kind": "sharing invitation", "to": []})
    made = {"id": secrets.token_urlsafe(9), "isRemovable": True, "isInsideOrganization": True, **given}
    made.setdefault("allowedRoles", list(_ROLES))
    call.box.permissions[made["id"]] = made
    return Answer(201, made)


def share_otherwise(call: Call) -> Answer:
    """PATCH of a permission of the calendar: only its role can change, and who it is for may hear of it."""
    given, found = check(call.json(), _PERMISSION, "calendarPermission"), call.box.permissions.get(call.names["permission"])
    if found is None:
        raise gone("permission")
    if set(given) != {"role"} or given["role"] not in _ROLES:
        raise GraphError(400, "ErrorInvalidRequest", "Only the role can change.")
    call.box.mailbox.sent.append({"kind": "sharing invitation", "to": []})
    found["role"] = given["role"]
    return Answer(200, found)
