"""What a source holds that no lane carries, counted so that it can be named: hidden associated items, search folders, retention
tags, what is kept for a hold, and the trees beside the mailbox. Reads only, and counts: no item is opened, no subject seen.
"""

from __future__ import annotations

import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from connectors.base import Inventory
from connectors.errors import MailboxBlocked, Throttled, Unavailable, UnknownAnswer, WireError
from connectors.ews.answer import M, T, check, code_of
from connectors.ews.client import ExchangeServer, MailboxClient, escape
from connectors.ews.soap import distinguished, extended, number

_TYPE, _ASSOCIATED, _SIZE = "0x3601", "0x3617", "0x0e08"
_TAGS = ("0x3018", "0x3019")
"""PidTagArchiveTag, PidTagPolicyTag [MS-OXCSPAM 2.2.5]."""

_HELD = ("recoverableitemsversions", "recoverableitemspurges", "recoverableitemsdiscoveryholds")
"""Where a server keeps what was changed or removed under a hold, or for single item recovery; there from 2010 on."""

_REPLICAS = "0x6698"
"""PidTagReplicaList: names what holds the content of a public folder; of a 2010 server its databases [MS-OXCSTOR]."""

_UNREACHED = frozenset(
    {
        "ErrorNoPublicFolderReplicaAvailable", "ErrorNoPublicFolderServerAvailable", "ErrorPublicFolderServerNotFound",
        "ErrorPublicFolderMailboxDiscoveryFailed", "ErrorPublicFolderOperationFailed", "ErrorPublicFolderRequestProcessingFailed",
    }
)  # fmt: skip
"""Answers that no second try changes: the content lies where this request was not led to."""

_AT_ONCE = 50
"""Folders that are counted by one request."""

_ASKED = {_TYPE: "Integer", _ASSOCIATED: "Integer", _SIZE: "Long", _TAGS[0]: "Binary", _TAGS[1]: "Binary"}
_SEARCH = "2"
_ABSENT = frozenset({"ErrorFolderNotFound", "ErrorItemNotFound"})
_PAGE = 1000
_MOST_FOLDERS = 100_000

_SHAPE = (
    "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
    + "".join(f'<t:FieldURI FieldURI="folder:{name}"/>' for name in ("DisplayName", "FolderClass", "TotalCount"))
    + "".join(f'<t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="{kind}"/>' for tag, kind in _ASKED.items())
    + "</t:AdditionalProperties></m:FolderShape>"
)
_PUBLIC_SHAPE = _SHAPE.replace(
    "</t:AdditionalProperties>",
    f'<t:ExtendedFieldURI PropertyTag="{_REPLICAS}" PropertyType="Binary"/></t:AdditionalProperties>',
)


class _Absent(Exception):
    """There is no such folder; asking again would not change that."""


class _Unreached(Exception):
    """The content of a public folder lies elsewhere; the message is the server's code."""


def left_behind(
    server: ExchangeServer, mailbox: str, stop: threading.Event | None = None, larger_than: int | None = None
) -> dict[str, int]:
    """Figures of one mailbox: associated, search_folders, tagged_folders, tagged_items, and large_items of more than
    ``larger_than`` bytes (-1 for the last two where the server can't count them); held_items, kept for a hold or for single item
    recovery; archive_items and recoverable_items with _folders and _bytes of each, where there are such, archive_elsewhere where
    another server has it. Raises what the client raises.
    """
    client = MailboxClient(server, mailbox, stop)
    owner = mailbox if server.settings.access == "full-access" else None
    found: Counter[str] = Counter()
    ids: list[str] = []
    try:
        for element in (*_one(client, distinguished("msgfolderroot", owner)), *_deep(client, "msgfolderroot", owner)):
            told = extended(element)
            if told.get(_TYPE) == _SEARCH:
                found["search_folders"] += 1
                continue
            own = element.find(f"{T}FolderId")
            ids += [own.get("Id") or ""] if own is not None and number(element.findtext(f"{T}TotalCount")) else []
            found["associated"] += number(told.get(_ASSOCIATED)) or 0
            found["tagged_folders"] += any(told.get(tag) for tag in _TAGS)
        found["search_folders"] += _searches(client, owner)
        found["tagged_items"] = _fitting(client, ids, _TAGGED)
        if larger_than is not None:
            found["large_items"] = _fitting(client, ids, _LARGER.format(size=larger_than))
        found["held_items"] = sum(_items_in(client, distinguished(name, owner)) for name in _HELD)
        for name, root in (("archive", "archivemsgfolderroot"), ("recoverable", "recoverableitemsroot")):
            try:
                tree = [*_one(client, distinguished(root, owner)), *_deep(client, root, owner)]
            except MailboxBlocked:
                found[f"{name}_elsewhere"] = 1
                continue
            except (_Absent, UnknownAnswer):
                continue  # there is none, or the server is too old to know of any
            for element in tree:
                found[f"{name}_folders"] += 1
                found[f"{name}_items"] += number(element.findtext(f"{T}TotalCount")) or 0
                found[f"{name}_bytes"] += number(extended(element).get(_SIZE)) or 0
    finally:
        client.close()
    return dict(found)


def public_folders(server: ExchangeServer, mailbox: str, stop: threading.Event | None = None) -> Iterator[Inventory]:
    """Every public folder that this mailbox's owner sees, parents first, with what it holds by class.

    Folder by folder, because a deep search is refused there [learn.microsoft.com: public folder access with EWS]; one that
    can't be read comes with the server's code. From 2013 on the content lies in public folder mailboxes, to which a request is
    led by headers; a folder that doesn't tell which one holds it is read without. Raises what the client raises if there is no
    way to the topmost one.
    """
    domain = mailbox.rpartition("@")[2]
    client = MailboxClient(server, mailbox, stop)
    try:
        waiting = [(distinguished("publicfoldersroot", None), "")]
        seen: set[str] = set()
        while waiting and len(seen) < _MOST_FOLDERS:
            place, path = waiting.pop(0)
            try:
                below = list(_shallow(client, place))
            except _Absent:
                continue  # it went away, or there are none at all
            except _Unreached as unreached:
                if not path:
                    raise _no_way(str(unreached)) from None
                yield Inventory(path, code=str(unreached))
                continue
            except WireError as error:
                if not path or isinstance(error, Throttled | Unavailable):
                    raise
                yield Inventory(path, code=error.code)
                continue
            for element in below:
                own = element.find(f"{T}FolderId")
                id_ = "" if own is None else own.get("Id") or ""
                if not id_ or id_ in seen:
                    continue
                seen.add(id_)
                name = f"{path}/{element.findtext(f'{T}DisplayName') or ''}".lstrip("/")
                kind = element.findtext(f"{T}FolderClass") or "IPF.Note"
                size = number(extended(element).get(_SIZE)) or 0
                database = client.build.startswith("14.")
                store = _store(extended(element).get(_REPLICAS))
                try:
                    classes, code = _led(client, id_, "" if database or not store else f"{store}@{domain}")
                except _Absent:
                    continue
                total = number(element.findtext(f"{T}TotalCount")) or 0
                yield Inventory(name, kind, max(total, sum(classes.values())), size, classes, code, store, database)
                waiting.append((f'<t:FolderId Id="{escape(id_)}"/>', name))
    finally:
        client.close()


_HAS_TAG = (f'<t:Exists><t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="Binary"/></t:Exists>' for tag in _TAGS)
_TAGGED = f"<t:Or>{''.join(_HAS_TAG)}</t:Or>"
_LARGER = (
    '<t:IsGreaterThan><t:FieldURI FieldURI="item:Size"/><t:FieldURIOrConstant><t:Constant Value="{size}"/></t:FieldURIOrConstant>'
    "</t:IsGreaterThan>"
)


def _fitting(client: MailboxClient, ids: list[str], restriction: str) -> int:
    """How many items of these folders fit a restriction; -1 if the server can't say."""
    found = 0
    for at in range(0, len(ids), _AT_ONCE):
        places = "".join(f'<t:FolderId Id="{escape(id_)}"/>' for id_ in ids[at : at + _AT_ONCE])
        body = (
            '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>'
            '<m:IndexedPageItemView MaxEntriesReturned="1" Offset="0" BasePoint="Beginning"/>'
            f"<m:Restriction>{restriction}</m:Restriction><m:ParentFolderIds>{places}</m:ParentFolderIds></m:FindItem>"
        )
        try:
            found += client.ask("FindItem", body, _in_view)
        except (Throttled, Unavailable, MailboxBlocked):
            raise
        except WireError:
            return -1
    return found


def _in_view(messages: list[Any]) -> int:
    found = 0
    for message in messages:
        if code_of(message)[0] in _ABSENT:
            continue  # it went away meanwhile
        check(message)
        root = message.find(f"{M}RootFolder")
        found += (number(root.get("TotalItemsInView")) or 0) if root is not None else 0
    return found


def _items_in(client: MailboxClient, place: str) -> int:
    try:
        return sum(number(element.findtext(f"{T}TotalCount")) or 0 for element in _one(client, place))
    except (_Absent, UnknownAnswer):
        return 0  # the server is too old to have it, or nothing was ever kept


def _no_way(code: str) -> MailboxBlocked:
    return MailboxBlocked(
        "The tree of public folders does not lie where this mailbox's server looks for it.",
        code=code,
        side="source",
        mend="Name a mailbox whose default public folder mailbox (Get-Mailbox, DefaultPublicFolderMailbox) is on a server that"
        " source.url reaches; on Exchange 2010 one whose database has a public folder database.",
    )


def _one(client: MailboxClient, place: str) -> list[Any]:
    ask = f"<m:GetFolder>{_SHAPE}<m:FolderIds>{place}</m:FolderIds></m:GetFolder>"
    return client.ask("GetFolder", ask, partial(_folders, f"{M}Folders/*"))


def _folders(path: str, messages: list[Any]) -> list[Any]:
    [message] = messages
    _checked(message)
    return list(message.iterfind(path))


def _searches(client: MailboxClient, owner: str | None) -> int:
    """How many search folders lie beside the top of the mailbox, where Outlook keeps them; 0 if that place is not shown."""
    try:
        return sum(1 for _ in _deep(client, "searchfolders", owner))
    except (_Absent, UnknownAnswer):
        return 0


def _checked(message: Any) -> None:
    code = code_of(message)[0]
    if code in _ABSENT:
        raise _Absent
    if code in _UNREACHED:
        raise _Unreached(code)
    check(message)


def _deep(client: MailboxClient, name: str, owner: str | None) -> Iterator[Any]:
    yield from _pages(client, "Deep", distinguished(name, owner))


def _shallow(client: MailboxClient, place: str) -> Iterator[Any]:
    yield from _pages(client, "Shallow", place, _PUBLIC_SHAPE)


def _pages(client: MailboxClient, traversal: str, place: str, shape: str = _SHAPE) -> Iterator[Any]:
    offset: int | None = 0
    while offset is not None:
        body = (
            f'<m:FindFolder Traversal="{traversal}">{shape}'
            f'<m:IndexedPageFolderView MaxEntriesReturned="{_PAGE}" Offset="{offset}" BasePoint="Beginning"/>'
            f"<m:ParentFolderIds>{place}</m:ParentFolderIds></m:FindFolder>"
        )
        found, offset = client.ask("FindFolder", body, partial(_page, f"{T}Folders/*", offset))
        yield from found


def _store(replicas: str | None) -> str:
    """What holds a folder's content first of all: the id of a mailbox, or the name of a database; empty if nothing is told."""
    try:
        return b64decode(replicas or "").split(b"\0")[0].decode("ascii")
    except ValueError:
        return ""


def _led(client: MailboxClient, folder_id: str, store: str) -> tuple[dict[str, int], str]:
    """What a public folder holds by class, or why that can't be read; led to its mailbox, then asked plainly if that fails."""
    code = ""
    for place in dict.fromkeys((store, "")):
        client.routed = {"X-AnchorMailbox": place, "X-PublicFolderMailbox": place} if place else {}
        try:
            return _classes(client, folder_id), ""
        except (Throttled, Unavailable):
            raise
        except _Unreached as unreached:
            code = code or str(unreached)
        except WireError as error:
            code = code or error.code
        finally:
            client.routed = {}
    return {}, code


def _classes(client: MailboxClient, folder_id: str) -> dict[str, int]:
    """How many items of each class a folder holds."""
    found: Counter[str] = Counter()
    offset: int | None = 0
    while offset is not None:
        body = (
            '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>'
            '<t:FieldURI FieldURI="item:ItemClass"/></t:AdditionalProperties></m:ItemShape>'
            f'<m:IndexedPageItemView MaxEntriesReturned="{_PAGE}" Offset="{offset}" BasePoint="Beginning"/>'
            f'<m:ParentFolderIds><t:FolderId Id="{escape(folder_id)}"/></m:ParentFolderIds></m:FindItem>'
        )
        items, offset = client.ask("FindItem", body, partial(_page, f"{T}Items/*", offset))
        found.update(item.findtext(f"{T}ItemClass") or "IPM.Note" for item in items)
    return dict(found)


def _page(path: str, offset: int, messages: list[Any]) -> tuple[list[Any], int | None]:
    """What one page brought, and where the next one begins; None after the last."""
    [message] = messages
    _checked(message)
    root = message.find(f"{M}RootFolder")
    if root is None:
        raise Unavailable("The source sent a page without its folder.", code="no content")
    found = list(root.iterfind(path))
    if root.get("IncludesLastItemInRange", "true") == "true":
        return found, None
    following = number(root.get("IndexedPagingOffset")) or offset + len(found)
    if following <= offset:
        raise Unavailable("The source's pages do not go on.", code="no progress")
    return found, following
