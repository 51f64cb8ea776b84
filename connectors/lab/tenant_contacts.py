"""Contacts, contact folders and photos, as Graph has them [learn.microsoft.com/graph/api/resources/contact, contactfolder].

A contact keeps its properties under their MAPI names, so that both servers show one truth. Strict as documented: unknown fields,
values of another type and more values than there are places are refused; a contact without a display name gets one.
"""

from __future__ import annotations

import secrets
from typing import Any

from .tenant_call import PROPERTIES, Answer, Call, GraphError, check, chosen, gone, page
from .tenant_filter import read_filter
from .tenant_folders import show_mail
from .tenant_index import levelled, set_property, shown_time, when
from .tenant_mail import take_in, with_properties
from .truth import Box, Item, Part, now

_SET = "{00062004-0000-0000-c000-000000000046}"
PHOTO_MOST = 4 * 1024 * 1024
_TEXTS = {
    "displayName": "String 0x3001", "givenName": "String 0x3A06", "middleName": "String 0x3A44", "surname": "String 0x3A11",
    "title": "String 0x3A45", "generation": "String 0x3A05", "initials": "String 0x3A0A", "nickName": "String 0x3A4F",
    "fileAs": f"String {_SET} Id 0x8005", "yomiGivenName": f"String {_SET} Id 0x802C",
    "yomiSurname": f"String {_SET} Id 0x802D", "yomiCompanyName": f"String {_SET} Id 0x802E", "companyName": "String 0x3A16",
    "department": "String 0x3A18", "jobTitle": "String 0x3A17", "officeLocation": "String 0x3A19", "profession": "String 0x3A46",
    "manager": "String 0x3A4E", "assistantName": "String 0x3A30", "spouseName": "String 0x3A48",
    "businessHomePage": "String 0x3A51", "mobilePhone": "String 0x3A1C",
}  # fmt: skip
_LISTS = {
    "businessPhones": ("String 0x3A08", "String 0x3A1B"),
    "homePhones": ("String 0x3A09", "String 0x3A2F"),
    "imAddresses": (
        f"String {_SET} Id 0x8062",
        f"String {_SET} Name AirSync:IMAddress2",
        f"String {_SET} Name AirSync:IMAddress3",
    ),
}
_POSTAL = ("street", "city", "state", "postalCode", "countryOrRegion")
_ADDRESSES = {
    "businessAddress": tuple(f"String {_SET} Id 0x{one:X}" for one in (0x8045, 0x8046, 0x8047, 0x8048, 0x8049)),
    "homeAddress": tuple(f"String 0x{one:X}" for one in (0x3A5D, 0x3A59, 0x3A5C, 0x3A5B, 0x3A5A)),
    "otherAddress": tuple(f"String 0x{one:X}" for one in (0x3A63, 0x3A5F, 0x3A62, 0x3A61, 0x3A60)),
}
_MAILS = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")
_CHILDREN, _BIRTHDAY = "StringArray 0x3A58", "SystemTime 0x3A42"
_MAIL = {"name": str, "address": str}
_WRITABLE: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **{name: [str] for name in _LISTS},
    **{name: dict.fromkeys(_POSTAL, str) for name in _ADDRESSES},
    **dict.fromkeys(_MAILS, _MAIL),
    "emailAddresses": [_MAIL],
    "children": [str],
    "categories": [str],
    "birthday": str,
    "personalNotes": str,
    **PROPERTIES,
}
_FOLDER = {"displayName": str, **PROPERTIES}


def is_contact(item: Item) -> bool:
    """Whether an item is shown as a contact."""
    return item.item_class.lower().startswith("ipm.contact")


def _holds_contacts(box: Box) -> bool:
    return box.kind.lower().startswith("ipf.contact")


def _box(call: Call) -> Box:
    """The contact folder that the path names, or the default one. Raises GraphError."""
    box = call.box.folder(call.names.get("folder", "contacts"))
    if box is None or not _holds_contacts(box):
        raise gone("folder")
    return box


def _find(call: Call) -> Item:
    item = call.box.item(call.names["contact"])
    if item is None or not is_contact(item):
        raise gone()
    return item


def value(item: Item, key: str) -> Any:
    """What an item holds under a MAPI name, however that is spelt."""
    wanted = levelled(key)
    return next((held for name, held in item.extended.items() if levelled(name) == wanted), None)


def keep(item: Item, key: str, held: object) -> None:
    """Put a value under a MAPI name, in place of what is there under any spelling; nothing and none take it away."""
    wanted = levelled(key)
    for name in [name for name in item.extended if levelled(name) == wanted]:
        del item.extended[name]
    if held not in (None, "", []):
        item.extended[key] = held


def _mail_keys(place: int) -> tuple[str, str, str]:
    first = 0x8080 + 0x10 * place
    return tuple(f"String {_SET} Id 0x{first + step:X}" for step in (3, 0, 2))  # type: ignore[return-value]


def _show_mail(item: Item, place: int) -> dict[str, str] | None:
    address, name, _ = (value(item, key) for key in _mail_keys(place))
    return {"name": name or address, "address": address} if address else None


def show(call: Call, item: Item) -> dict[str, Any]:
    """A contact as Graph shows it."""
    index = call.box
    mails = [_show_mail(item, place) for place in range(3)]
    birthday = value(item, _BIRTHDAY)
    shown: dict[str, Any] = {
        "@odata.etag": f'W/"{index.change_key(item.change)}"',
        "id": index.wire(item, call.immutable),
        "changeKey": index.change_key(item.change),
        "createdDateTime": shown_time(item.created),
        "lastModifiedDateTime": shown_time(item.modified or item.created),
        "parentFolderId": index.folder_wire(item.folder_id),
        "categories": list(item.categories),
        "birthday": shown_time(birthday),
        "personalNotes": item.body_text or "",
        "emailAddresses": [one for one in mails if one],
        "children": list(value(item, _CHILDREN) or ()),
    }
    shown |= {name: value(item, key) for name, key in _TEXTS.items()}
    shown |= {name: [held for key in keys if (held := value(item, key))] for name, keys in _LISTS.items()}
    for name, keys in _ADDRESSES.items():
        shown[name] = {part: held for part, key in zip(_POSTAL, keys, strict=True) if (held := value(item, key))}
    shown |= dict(zip(_MAILS, mails, strict=True))
    return with_properties(call, item, chosen(call, shown))


def _apply(item: Item, given: dict[str, Any]) -> None:
    for name, key in _TEXTS.items():
        if name in given:
            keep(item, key, given[name])
    for name, keys in _LISTS.items():
        if name in given:
            _fill(item, keys, given[name] or [], name)
    for name, keys in _ADDRESSES.items():
        if (postal := given.get(name)) is not None:
            for part, key in zip(_POSTAL, keys, strict=True):
                keep(item, key, postal.get(part))
    if "emailAddresses" in given:
        mails = given["emailAddresses"] or []
        if len(mails) > len(_MAILS):
            raise GraphError(400, "ErrorInvalidPropertySet", "A contact has no more than three e-mail addresses.")
        for place in range(len(_MAILS)):
            _mail(item, place, mails[place] if place < len(mails) else {})
    for place, name in enumerate(_MAILS):
        if given.get(name) is not None:
            _mail(item, place, given[name])
    if "children" in given:
        keep(item, _CHILDREN, list(given["children"] or ()))
    if given.get("categories") is not None:
        item.categories = [str(one) for one in given["categories"]]
    if given.get("birthday"):
        try:
            keep(item, _BIRTHDAY, when(given["birthday"]))
        except ValueError:
            raise GraphError(400, "RequestBodyRead", "A value is none of its property's type.") from None
    if "personalNotes" in given:
        item.body_text, item.body_html = given["personalNotes"], None


def _fill(item: Item, keys: tuple[str, ...], values: list[str], name: str) -> None:
    if len(values) > len(keys):
        raise GraphError(400, "ErrorInvalidPropertySet", f"There are more values than places: {name}.")
    for at, key in enumerate(keys):
        keep(item, key, values[at] if at < len(values) else None)


def _mail(item: Item, place: int, given: dict[str, Any]) -> None:
    address, name = given.get("address"), given.get("name")
    if address and ("@" not in address or any(sign.isspace() for sign in address)):
        raise GraphError(400, "ErrorInvalidRecipients", "An e-mail address isn't valid.")
    for key, held in zip(_mail_keys(place), (address, name or address, "SMTP" if address else None), strict=True):
        keep(item, key, held)


def _properties(item: Item, given: dict[str, Any]) -> None:
    for one in given.get("singleValueExtendedProperties") or ():
        if not set_property(item, str(one.get("id", "")), str(one.get("value", ""))):
            raise GraphError(400, "ErrorInvalidRequest", "The value of an extended property is none of its type.")


def create(call: Call) -> Answer:
    """POST of a contact into a folder of contacts."""
    box, given = _box(call), check(call.json(), _WRITABLE, "contact")
    item = Item(item_class="IPM.Contact", is_read=True, search_key=secrets.token_bytes(16))
    if "displayName" not in given:
        given = {**given, "displayName": " ".join(filter(None, (given.get("givenName"), given.get("surname"))))}
    _apply(item, given)
    item.subject = str(given["displayName"] or "")
    _properties(item, given)
    if not value(item, _TEXTS["fileAs"]):
        keep(item, _TEXTS["fileAs"], item.subject)
    if not is_contact(item):
        raise GraphError(400, "ErrorObjectTypeChanged", "The class of a contact begins with IPM.Contact.")
    take_in(call, item, box)
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#contact", **show(call, item)})


def get(call: Call) -> Answer:
    """GET of a contact."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#contact", **show(call, _find(call))})


def list_(call: Call) -> Answer:
    """GET of the contacts of one folder."""
    text = call.query.get("$filter")
    filter_ = read_filter(text, call.box) if text else None
    items = [item for item in call.box.mailbox.items_in(_box(call).id) if is_contact(item) and call.visible(item)]
    items = [item for item in items if filter_ is None or filter_.test(item)]
    return page(call, items, lambda item: show(call, item), "contacts")


def _touched(call: Call, item: Item) -> None:
    item.modified = now()
    call.box.mailbox.touch(item)
    call.box.catch_up()


def change(call: Call) -> Answer:
    """PATCH of a contact; one whose name changes without its display name gets another display name."""
    item, given = _find(call), check(call.json(), _WRITABLE, "contact")
    _apply(item, given)
    if {"givenName", "surname"} & given.keys() and "displayName" not in given:
        parts = (value(item, _TEXTS["givenName"]), value(item, _TEXTS["surname"]))
        keep(item, _TEXTS["displayName"], " ".join(filter(None, parts)))
    _properties(item, given)
    _touched(call, item)
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#contact", **show(call, item)})


def remove(call: Call) -> Answer:
    """DELETE of a contact."""
    call.box.mailbox.remove(_find(call).id)
    call.box.catch_up()
    return Answer(204)


# -- photos


def put_photo(call: Call) -> Answer:
    """PUT …/photo/$value: a picture of less than 4 MB."""
    item = _find(call)
    kind = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("image/jpeg", "application/octet-stream"):
        raise GraphError(400, "ErrorInvalidRequest", "A photo is image/jpeg.")
    if len(call.body) >= PHOTO_MOST:
        raise GraphError(413, "RequestEntityTooLarge", "The photo is too large.")
    if not call.body.startswith(b"\xff\xd8\xff"):
        raise GraphError(400, "ErrorInvalidImage", "The photo is no picture that can be read.")
    item.parts = [part for part in item.parts if not part.photo]
    item.parts.append(Part("ContactPicture.jpg", "image/jpeg", call.body, id=secrets.token_hex(8), photo=True))
    _touched(call, item)
    return Answer(200)


def get_photo(call: Call) -> Answer:
    """GET …/photo/$value."""
    found = next((part for part in _find(call).parts if part.photo), None)
    if found is None:
        raise GraphError(404, "ErrorItemNotFound", "The photo wasn't found.")
    return Answer(200, raw=found.content, headers={"Content-Type": "image/jpeg"})


# -- folders


def _show_folder(call: Call, box: Box) -> dict[str, Any]:
    shown = show_mail(call, box)
    kept = {"id", "displayName", "parentFolderId", "singleValueExtendedProperties"}
    return {name: held for name, held in shown.items() if name in kept or name.startswith("@")}


def list_folders(call: Call) -> Answer:
    """GET of contact folders, below the default one or below one; the default one itself is never shown."""
    parent = _box(call)
    boxes = [box for box in call.box.mailbox.children(parent.id) if _holds_contacts(box)]
    if "folder" not in call.names:
        root = call.box.mailbox.children(call.box.mailbox.root_id)
        boxes += [box for box in root if _holds_contacts(box) and box.role != "contacts"]
    return page(call, boxes, lambda box: _show_folder(call, box), "contactFolders")


def get_folder(call: Call) -> Answer:
    """GET of one contact folder."""
    return Answer(200, {"@odata.context": f"{call.base}/v1.0/$metadata#contactFolder", **_show_folder(call, _box(call))})


def make_folder(call: Call) -> Answer:
    """POST of a contact folder, below the default one or below one."""
    given, parent = check(call.json(), _FOLDER, "contactFolder"), _box(call)
    name = str(given.get("displayName") or "")
    if not name.strip() or len(name) > 255:
        raise GraphError(400, "ErrorFolderNameInvalid", "The folder name is invalid.")
    if any(one.name.casefold() == name.casefold() for one in call.box.mailbox.children(parent.id)):
        raise GraphError(409, "ErrorFolderExists", "A folder with the specified name already exists.")
    stand_in = Item()
    _properties(stand_in, given)
    box = Box(secrets.token_hex(12), parent.id, name, "IPF.Contact", extended=stand_in.extended)
    call.box.mailbox.add_box(box)
    call.box.catch_up()
    return Answer(201, {"@odata.context": f"{call.base}/v1.0/$metadata#contactFolder", **_show_folder(call, box)})
