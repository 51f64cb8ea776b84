"""Names and ids: ResolveNames and ConvertId; and the table of all operations."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from .exchange_call import Call, answer, b64, children, invalid, message, text
from .exchange_folders import find_folder_below, get_folder
from .exchange_items import export_items, find_item_below, get_attachment, get_item
from .exchange_settings import get_delegate, get_inbox_rules, get_user_configuration, get_user_oof_settings
from .exchange_sync import sync_folder_hierarchy, sync_folder_items

Operation = Callable[[Call, Any], bytes]


def resolve_names(call: Call, element: Any) -> bytes:
    """Whom a name or address may mean: nobody is an error, several are a warning with all of them."""
    given = children(element, ("ParentFolderIds", "UnresolvedEntry"), ("UnresolvedEntry",))
    asked = (given["UnresolvedEntry"].text or "").strip()
    if not asked or element.get("ReturnFullContactData") not in ("true", "false", "1", "0"):
        raise invalid("The request for names is incomplete.", element)
    wanted = asked.casefold().removeprefix("smtp:")
    wanted = next((smtp for dn, smtp in call.options.legacy_names.items() if dn.casefold() == wanted), wanted).casefold()
    everybody = call.estate.mailboxes.values()
    found = [one for one in everybody if one.address.casefold() == wanted]
    found = found or [
        one for one in everybody if one.address.casefold().startswith(wanted) or wanted in one.display_name.casefold()
    ]
    if not found:
        sentence = "No results were found."
        return answer("ResolveNames", iter([message("ResolveNames", "", "ErrorNameResolutionNoResults", sentence)]))
    full = element.get("ReturnFullContactData") in ("true", "1")
    inner = "".join(_resolution(one.display_name, one.address, full) for one in found[:100])
    body = f'<m:ResolutionSet TotalItemsInView="{len(found[:100])}" IncludesLastItemInRange="true">{inner}</m:ResolutionSet>'
    if len(found) == 1:
        return answer("ResolveNames", iter([message("ResolveNames", body)]))
    sentence = "Multiple results were found."
    several = message("ResolveNames", body, "ErrorNameResolutionMultipleResults", sentence, "Warning")
    return answer("ResolveNames", iter([several]))


def _resolution(name: str, address: str, full: bool) -> str:
    contact = ""
    if full:
        contact = (
            f"<t:Contact><t:DisplayName>{text(name)}</t:DisplayName><t:EmailAddresses>"
            f'<t:Entry Key="EmailAddress1">SMTP:{text(address)}</t:Entry></t:EmailAddresses>'
            "<t:ContactSource>ActiveDirectory</t:ContactSource></t:Contact>"
        )
    return (
        f"<t:Resolution><t:Mailbox><t:Name>{text(name)}</t:Name><t:EmailAddress>{text(address)}</t:EmailAddress>"
        f"<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>Mailbox</t:MailboxType></t:Mailbox>{contact}</t:Resolution>"
    )


def convert_id(call: Call, element: Any) -> bytes:
    """Each id in another format; the text of a format is the same bytes written otherwise."""
    given = children(element, ("SourceIds",), ("SourceIds",))
    wanted = element.get("DestinationFormat")
    if wanted not in _FORMATS:
        raise invalid("The 'DestinationFormat' attribute is invalid.", element)
    out = []
    for source in given["SourceIds"].iterchildren("*"):
        form, wire = source.get("Format", ""), source.get("Id", "")
        try:
            raw = bytes.fromhex(wire) if form == "HexEntryId" else base64.b64decode(wire, validate=True)
            if form not in _FORMATS or len(raw) < 48:
                raise ValueError
        except ValueError:
            out.append(message("ConvertId", "", "ErrorInvalidIdMalformed", "The Id is malformed."))
            continue
        shown = raw.hex().upper() if wanted == "HexEntryId" else b64(raw)
        inner = f'Format="{wanted}" Id="{shown}" Mailbox="{text(source.get("Mailbox", ""))}"'
        out.append(message("ConvertId", f'<m:AlternateId xsi:type="t:AlternateIdType" xmlns:xsi="{_XSI}" {inner}/>'))
    return answer("ConvertId", iter(out))


_FORMATS = ("EwsLegacyId", "EwsId", "EntryId", "HexEntryId", "StoreId", "OwaId")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


OPERATIONS: dict[str, Operation] = {
    "GetFolder": get_folder,
    "FindFolder": find_folder_below,
    "SyncFolderHierarchy": sync_folder_hierarchy,
    "SyncFolderItems": sync_folder_items,
    "FindItem": find_item_below,
    "GetItem": get_item,
    "GetAttachment": get_attachment,
    "ExportItems": export_items,
    "ResolveNames": resolve_names,
    "ConvertId": convert_id,
    "GetInboxRules": get_inbox_rules,
    "GetUserOofSettingsRequest": get_user_oof_settings,
    "GetDelegate": get_delegate,
    "GetUserConfiguration": get_user_configuration,
}
"""What the server answers, by the name of the request's element in the messages namespace."""
