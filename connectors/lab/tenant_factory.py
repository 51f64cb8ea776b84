"""What a mailbox of the tenant is made with, before anybody sets anything."""

from __future__ import annotations

from typing import Any


def new_settings() -> dict[str, Any]:
    """What a mailbox is made with."""
    return {
        "archiveFolder": None,
        "automaticRepliesSetting": {
            "status": "disabled",
            "externalAudience": "all",
            "internalReplyMessage": "",
            "externalReplyMessage": "",
            "scheduledStartDateTime": {"dateTime": "2026-06-01T08:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2026-06-02T08:00:00.0000000", "timeZone": "UTC"},
        },
        "dateFormat": "M/d/yyyy",
        "timeFormat": "h:mm tt",
        "timeZone": "UTC",
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": {
            "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"],
            "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000",
            "timeZone": {"name": "Pacific Standard Time"},
        },
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "userPurpose": "user",
    }


def new_permissions() -> dict[str, dict[str, Any]]:
    """What a calendar is made with: the whole organisation sees free and busy."""
    everybody = {"name": "My Organization"}
    allowed = ["none", "freeBusyRead", "limitedRead", "read", "write"]
    return {
        "RGVmYXVsdA==": {
            "id": "RGVmYXVsdA==", "isRemovable": False, "isInsideOrganization": True, "role": "freeBusyRead",
            "allowedRoles": allowed, "emailAddress": everybody,
        }
    }  # fmt: skip
