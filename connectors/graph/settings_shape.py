"""Settings as Graph writes them; pure.

[learn.microsoft.com/graph/api/resources/messagerule, outlookcategory, mailboxsettings, calendarpermission]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.base import Role
from connectors.settings import (
    DAYS,
    Action,
    Audience,
    AutomaticReply,
    Category,
    Clause,
    Deed,
    Delivery,
    Holder,
    Permission,
    Place,
    ReplyState,
    Rule,
    Test,
    WorkingHours,
)

_WORDS: Mapping[Test, str] = {
    Test.BODY: "bodyContains",
    Test.SUBJECT: "subjectContains",
    Test.SUBJECT_OR_BODY: "bodyOrSubjectContains",
    Test.HEADER: "headerContains",
    Test.SENDER: "senderContains",
    Test.RECIPIENT: "recipientContains",
    Test.CATEGORIES: "categories",
}
_PEOPLE: Mapping[Test, str] = {Test.FROM: "fromAddresses", Test.SENT_TO: "sentToAddresses"}
_CHOICES: Mapping[Test, str] = {
    Test.IMPORTANCE: "importance",
    Test.SENSITIVITY: "sensitivity",
    Test.ACTION_FLAG: "messageActionFlag",
}
_YES: Mapping[Test, str] = {
    Test.ATTACHMENTS: "hasAttachments",
    Test.APPROVAL_REQUEST: "isApprovalRequest",
    Test.AUTOMATIC_FORWARD: "isAutomaticForward",
    Test.AUTOMATIC_REPLY: "isAutomaticReply",
    Test.ENCRYPTED: "isEncrypted",
    Test.MEETING_REQUEST: "isMeetingRequest",
    Test.MEETING_RESPONSE: "isMeetingResponse",
    Test.NOT_DELIVERED: "isNonDeliveryReport",
    Test.PERMISSION_CONTROLLED: "isPermissionControlled",
    Test.READ_RECEIPT: "isReadReceipt",
    Test.SIGNED: "isSigned",
    Test.VOICEMAIL: "isVoicemail",
    Test.NOT_TO_ME: "notSentToMe",
    Test.CC_ME: "sentCcMe",
    Test.ONLY_TO_ME: "sentOnlyToMe",
    Test.TO_ME: "sentToMe",
    Test.TO_OR_CC_ME: "sentToOrCcMe",
}
_SIZE = "withinSizeRange"
_FLAGS = (
    "any", "call", "doNotForward", "followUp", "fyi", "forward", "noResponseNecessary", "read", "reply", "replyToAll", "review",
)  # fmt: skip
_AS_FLAG = {flag.casefold(): flag for flag in _FLAGS}

_DEEDS_OF_PEOPLE: Mapping[Deed, str] = {
    Deed.FORWARD: "forwardTo",
    Deed.FORWARD_ATTACHED: "forwardAsAttachmentTo",
    Deed.REDIRECT: "redirectTo",
}
_DEEDS_YES: Mapping[Deed, str] = {
    Deed.DELETE: "delete",
    Deed.DELETE_FOR_GOOD: "permanentDelete",
    Deed.MARK_READ: "markAsRead",
    Deed.STOP: "stopProcessingRules",
}
_DEEDS_OF_ONE: Mapping[Deed, str] = {
    Deed.COPY: "copyToFolder",
    Deed.MOVE: "moveToFolder",
    Deed.IMPORTANCE: "markImportance",
}

TESTS = frozenset({*_WORDS, *_PEOPLE, *_CHOICES, *_YES, Test.SIZE})
"""Every condition that a rule of Graph can have."""

DEEDS = frozenset({*_DEEDS_OF_PEOPLE, *_DEEDS_YES, *_DEEDS_OF_ONE, Deed.CATEGORIES})
"""Everything that a rule of Graph can do."""


def rule_body(rule: Rule, *, enabled: bool) -> dict[str, Any]:
    """A rule for POST. Raises KeyError for what Graph has no word for."""
    body: dict[str, Any] = {"displayName": rule.name, "sequence": rule.order, "isEnabled": enabled}
    if rule.conditions:
        body["conditions"] = _predicates(rule.conditions)
    if rule.exceptions:
        body["exceptions"] = _predicates(rule.exceptions)
    body["actions"] = actions_body(rule)
    return body


def actions_body(rule: Rule) -> dict[str, Any]:
    """What the rule does."""
    body: dict[str, Any] = {}
    for one in rule.actions:
        if one.deed in _DEEDS_YES:
            body[_DEEDS_YES[one.deed]] = True
        elif one.deed in _DEEDS_OF_ONE:
            body[_DEEDS_OF_ONE[one.deed]] = one.values[0]
        elif one.deed is Deed.CATEGORIES:
            body["assignCategories"] = list(one.values)
        else:
            body[_DEEDS_OF_PEOPLE[one.deed]] = _recipients(one.values)
    return body


def _predicates(clauses: tuple[Clause, ...]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for one in clauses:
        if one.test in _YES:
            body[_YES[one.test]] = True
        elif one.test in _WORDS:
            body[_WORDS[one.test]] = list(one.values)
        elif one.test in _PEOPLE:
            body[_PEOPLE[one.test]] = _recipients(one.values)
        elif one.test is Test.ACTION_FLAG:
            body["messageActionFlag"] = _AS_FLAG[one.values[0]]
        elif one.test is Test.SIZE:
            low, high = one.values
            bounds = {"minimumSize": low, "maximumSize": high}
            body[_SIZE] = {name: int(value) for name, value in bounds.items() if value}
        else:
            body[_CHOICES[one.test]] = one.values[0]
    return body


def _recipients(addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"emailAddress": {"address": one}} for one in addresses]


def rule_of(found: Mapping[str, Any]) -> Rule:
    """A rule as Graph shows it; a word that is not known here is in its ``untold``, so that it equals no other rule."""
    untold: list[str] = []
    return Rule(
        id=str(found.get("id") or ""),
        name=str(found.get("displayName") or ""),
        order=int(found.get("sequence") or 1),
        enabled=found.get("isEnabled") is True,
        conditions=_clauses(found.get("conditions"), untold),
        exceptions=_clauses(found.get("exceptions"), untold),
        actions=_deeds(found.get("actions"), untold),
        untold=tuple(untold),
        locked=found.get("isReadOnly") is True,
    )


_TEST_OF = {name: test for table in (_WORDS, _PEOPLE, _CHOICES, _YES) for test, name in table.items()}
_DEED_OF = {name: deed for table in (_DEEDS_OF_PEOPLE, _DEEDS_YES, _DEEDS_OF_ONE) for deed, name in table.items()}


def _clauses(given: Any, untold: list[str]) -> tuple[Clause, ...]:
    found: list[Clause] = []
    for name, value in (given or {}).items():
        if "@odata" in name or value in (None, False, []):
            continue
        test = _TEST_OF.get(name)
        if name == _SIZE:
            found.append(Clause(Test.SIZE, tuple(str(value.get(bound) or "") for bound in ("minimumSize", "maximumSize"))))
        elif test is None:
            untold.append(name)
        elif test in _YES:
            found.append(Clause(test))
        elif test in _CHOICES:
            found.append(Clause(test, (str(value).casefold(),)))
        else:
            found.append(Clause(test, _people(value) if test in _PEOPLE else tuple(map(str, value))))
    return tuple(found)


def _deeds(given: Any, untold: list[str]) -> tuple[Action, ...]:
    found: list[Action] = []
    for name, value in (given or {}).items():
        if "@odata" in name or value in (None, False, []):
            continue
        deed = _DEED_OF.get(name)
        if name == "assignCategories":
            found.append(Action(Deed.CATEGORIES, tuple(map(str, value))))
        elif deed is None:
            untold.append(name)
        elif deed in _DEEDS_YES:
            found.append(Action(deed))
        elif deed in _DEEDS_OF_ONE:
            found.append(Action(deed, (str(value).casefold() if deed is Deed.IMPORTANCE else str(value),)))
        else:
            found.append(Action(deed, _people(value)))
    return tuple(found)


def _people(value: Any) -> tuple[str, ...]:
    return tuple(str((one.get("emailAddress") or {}).get("address") or "") for one in value)


# -- categories


def category_body(category: Category) -> dict[str, Any]:
    """A category for POST."""
    return {"displayName": category.name, "color": "none" if category.colour is None else f"preset{category.colour}"}


def category_of(found: Mapping[str, Any]) -> Category:
    """A category as Graph shows it."""
    number = str(found.get("color") or "").removeprefix("preset")
    return Category(str(found.get("displayName") or ""), int(number) if number.isdecimal() else None)


# -- mailbox settings

_STATES = {ReplyState.OFF: "disabled", ReplyState.ON: "alwaysEnabled", ReplyState.SCHEDULED: "scheduled"}
_AUDIENCES = {Audience.NOBODY: "none", Audience.KNOWN: "contactsOnly", Audience.EVERYBODY: "all"}
_DELIVERIES = {
    Delivery.DELEGATES: "sendToDelegateOnly",
    Delivery.BOTH: "sendToDelegateAndPrincipal",
    Delivery.TOLD: "sendToDelegateAndInformationToPrincipal",
}
DELIVERIES = frozenset(_DELIVERIES)
"""The ways of delivering meeting requests that Graph has a word for."""


def reply_body(reply: AutomaticReply) -> dict[str, Any]:
    """Automatic replies for PATCH; times only where they are scheduled, because others would be checked too."""
    inner: dict[str, Any] = {
        "status": _STATES[reply.state],
        "externalAudience": _AUDIENCES[reply.audience],
        "internalReplyMessage": reply.internal,
        "externalReplyMessage": reply.external,
    }
    if reply.state is ReplyState.SCHEDULED and reply.start is not None and reply.end is not None:
        inner["scheduledStartDateTime"] = _moment(reply.start)
        inner["scheduledEndDateTime"] = _moment(reply.end)
    return {"automaticRepliesSetting": inner}


def _moment(when: datetime) -> dict[str, str]:
    return {"dateTime": when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}


def reply_of(found: Mapping[str, Any] | None) -> AutomaticReply | None:
    """Automatic replies as Graph shows them; None if it shows none, or some of a kind that is not known."""
    if not found:
        return None
    states = {name: state for state, name in _STATES.items()}
    audiences = {name: audience for audience, name in _AUDIENCES.items()}
    state, audience = states.get(str(found.get("status"))), audiences.get(str(found.get("externalAudience") or "none"))
    if state is None or audience is None:
        return None
    scheduled = state is ReplyState.SCHEDULED
    return AutomaticReply(
        state=state,
        audience=audience,
        internal=str(found.get("internalReplyMessage") or ""),
        external=str(found.get("externalReplyMessage") or ""),
        start=_read_moment(found.get("scheduledStartDateTime")) if scheduled else None,
        end=_read_moment(found.get("scheduledEndDateTime")) if scheduled else None,
    )


def _read_moment(found: Any) -> datetime | None:
    """A time that says its zone; only UTC is asked for, so that another one is none of ours."""
    if not isinstance(found, dict) or str(found.get("timeZone")).upper() != "UTC":
        return None
    text = str(found.get("dateTime") or "")
    try:
        # Graph writes seven digits of a second, one more than a datetime has.
        return datetime.fromisoformat(text.partition(".")[0]).replace(tzinfo=UTC)
    except ValueError:
        return None


def hours_body(hours: WorkingHours) -> dict[str, Any]:
    """Working hours for PATCH."""
    inner = {"daysOfWeek": list(hours.days), "startTime": _clock(hours.start), "endTime": _clock(hours.end)}
    return {"workingHours": {**inner, "timeZone": {"name": hours.zone}}}


def _clock(text: str) -> str:
    return f"{text}.0000000"


def hours_of(found: Mapping[str, Any] | None) -> WorkingHours | None:
    """Working hours as Graph shows them; None if it shows none."""
    if not found or not found.get("startTime") or not found.get("endTime"):
        return None
    named = {str(day).casefold() for day in found.get("daysOfWeek") or ()}
    return WorkingHours(
        days=tuple(day for day in DAYS if day in named),
        start=str(found["startTime"])[:8],
        end=str(found["endTime"])[:8],
        zone=str((found.get("timeZone") or {}).get("name") or ""),
    )


def delivery_body(delivery: Delivery) -> dict[str, Any]:
    """Where meeting requests go, for PATCH. Raises KeyError for a way that Graph has no word for."""
    return {"delegateMeetingMessageDeliveryOptions": _DELIVERIES[delivery]}


def delivery_of(found: Any) -> Delivery | None:
    """Where meeting requests go; None for a way that is not known."""
    return {name: delivery for delivery, name in _DELIVERIES.items()}.get(str(found))


# -- permissions

_LEVELS = {
    "none": "None",
    "freeBusyRead": "AvailabilityOnly",
    "limitedRead": "LimitedDetails",
    "read": "Reviewer",
    "write": "Editor",
    "delegateWithoutPrivateEventAccess": "Delegate",
    "delegateWithPrivateEventAccess": "Delegate with private items",
}
_EVERYBODY = "my organization"


def permission_of(found: Mapping[str, Any]) -> Permission:
    """A permission of the calendar; the organisation's own has a name and no address."""
    address = found.get("emailAddress") or {}
    own, name = str(address.get("address") or ""), str(address.get("name") or "")
    everybody = not own and name.casefold() == _EVERYBODY
    return Permission(
        place=Place(Role.CALENDAR, (), True),
        holder=Holder.EVERYBODY if everybody else Holder.PERSON,
        level=_LEVELS.get(str(found.get("role")), "Custom"),
        address=own,
        name=name,
    )
