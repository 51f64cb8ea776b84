"""What every operation of the simulated Exchange server stands on: options, one call, errors, and text that goes into XML."""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from .truth import Estate, Mailbox

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"
M, T = f"{{{MESSAGES}}}", f"{{{TYPES}}}"

VERSIONS = (
    "Exchange2007", "Exchange2007_SP1", "Exchange2009", "Exchange2010", "Exchange2010_SP1", "Exchange2010_SP2", "Exchange2012",
    "Exchange2013", "Exchange2013_SP1", "Exchange2015", "Exchange2016", "V2015_10_05", "V2016_01_06", "V2016_04_13",
    "V2016_07_13", "V2016_10_10", "V2017_01_07", "V2017_04_14", "V2017_07_11",
)  # fmt: skip
"""Values of RequestServerVersion, oldest first [XSD: ExchangeVersionType]."""


def _commit_time(number: int) -> datetime:
    """A later event, a later time, and all of them long ago."""
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=number)


@dataclass(slots=True, kw_only=True)
class ExchangeOptions:
    """How the simulated server behaves. Where the real one is not known for sure, the default is the harder case.

    May be changed while the server runs; each request reads it anew (but for ``users`` and ``auth``, read at the start).
    """

    build: str = "15.1.2507.66"
    """Version of the server: ServerVersionInfo, X-OWA-Version, and the partner version of export streams."""
    users: dict[str, str] = field(default_factory=dict)
    """Password of each sign-in name: ``LAB\\svc`` or ``svc@lab.test``. With NTLM a password can't hold a colon."""
    impersonators: set[str] = field(default_factory=set)
    """Sign-in names that may impersonate, in any case."""
    impersonation_scope: set[str] | None = None
    """Addresses that may be impersonated; None is all of them."""
    auth: tuple[str, ...] = ("ntlm", "basic")
    """Offered schemes, in this order: ``negotiate``, ``ntlm``, ``basic``."""
    channel_binding: bytes | None = None
    """Hash of the server's certificate; NTLM then has to be bound to it (Extended Protection)."""
    owa_version: bool = True
    """Send the header X-OWA-Version; proxies strip it."""
    sync_page: int = 512
    find_page: int = 1000
    public_unrouted: bool = False
    newest_first: bool = True
    refuse_additional_in_sync: bool = False
    """SyncFolderItems refuses every property beyond IdOnly, as if none could be had there."""
    sync_epoch: int = 0
    """Another number makes every sync state given out before unreadable."""
    change_stamps: bool = True
    """Folders show 0x670A and 0x670B."""
    stamps_in_find: bool = False
    """FindFolder shows them as well as GetFolder."""
    refuse_stamps: tuple[str, ...] = ()
    """Operations that refuse a request for them: ``FindFolder``, ``GetFolder``."""
    unstamped: set[str] = field(default_factory=set)
    """Folders (by the truth's id) that don't show them."""
    stamp_hides: frozenset[str] = frozenset()
    """Kinds of event (``new``, ``edit``, ``read``, ``gone``) that don't move a stamp, as they should."""
    stamp_clock: Callable[[int], datetime] = _commit_time
    """When the event of a number was committed. A coarse clock gives two of them one time."""
    search_key_on_copy: bool = True
    """A copy keeps the search key of its original; read by whoever copies."""
    export_ids_differ: bool = True
    """ExportItems answers with another text of the same id (seen with real servers: OfficeDev/ews-managed-api #46)."""
    attachment_ids_die: bool = True
    """An attachment's id ends with the version of its item."""
    illegal_characters: bool = False
    """Characters that XML 1.0 forbids go out as ``&#x1;``, as Exchange lets them; otherwise they are left out."""
    item_errors: dict[str, str] = field(default_factory=dict)
    """Items (by the truth's id) whose content can't be read, and the ResponseCode that GetItem and ExportItems answer."""
    legacy_names: dict[str, str] = field(default_factory=dict)
    """Addresses by legacyExchangeDN, for ResolveNames."""
    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    """Whole answers by (address, operation): the XML below soap:Body, prefixes m and t declared around it."""
    busy: Callable[[], int | None] | None = None
    """Asked once a request; a number makes the request fail as ErrorServerBusy with that many BackOffMilliseconds."""


def busy_for(requests: int, milliseconds: int) -> Callable[[], int | None]:
    """A value for ``ExchangeOptions.busy``: so many requests are told to come back later, the rest is served."""
    left = requests

    def ask() -> int | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        return milliseconds

    return ask


class Fault(Exception):
    """The whole request fails: a SOAP fault with HTTP status 500."""

    def __init__(self, code: str, text: str, **values: object) -> None:
        super().__init__(code)
        self.code, self.text, self.values = code, text, values


class Refused(Exception):
    """One thing of the request fails: a response message of class Error, in its place."""

    def __init__(self, code: str, text: str = "The request failed.") -> None:
        super().__init__(code)
        self.code, self.text = code, text


class Cache:
    """Rendered bytes by (item, version, kind), the oldest thrown out above a total size."""

    def __init__(self, limit: int = 64_000_000) -> None:
        self.limit, self.total = limit, 0
        self.kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def get(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """What is kept under the key, made and kept if it isn't there."""
        if (found := self.kept.get(key)) is not None:
            return found
        made = make()
        self.kept[key] = made
        self.total += len(made)
        while self.total > self.limit and self.kept:
            self.total -= len(self.kept.popitem(last=False)[1])
        return made


@dataclass(slots=True)
class Call:
    """One request: who asks, in whose mailbox, in which schema version, and what the server remembers."""

    estate: Estate
    options: ExchangeOptions
    user: str
    mailbox: Mailbox | None
    version: str
    cache: Cache
    feeds: dict[str, Any]
    public_mailbox: str = ""
    """What the header X-PublicFolderMailbox names."""

    def box_of(self) -> Mailbox:
        """The mailbox of the call; a fault if the caller has none."""
        if self.mailbox is None:
            raise Fault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
        return self.mailbox

    def at_least(self, version: str) -> bool:
        """Whether the request's schema is that one or a later one."""
        return VERSIONS.index(self.version) >= VERSIONS.index(version)

    @property
    def build(self) -> tuple[int, int, int]:
        """Major, minor and build number of the server."""
        major, minor, build = (int(number) for number in self.options.build.split(".")[:3])
        return major, minor, build


_SPECIAL = re.compile('[&<>"\\x00-\\x08\\x0b\\x0c\\r\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]')
_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]")


def text(value: str, unlawful: bool = False) -> str:
    """A value as it stands between tags or quotes; with ``unlawful``, forbidden characters go out as references."""
    if _SPECIAL.search(value) is None:
        return value
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("\r", "&#xD;")
    if _FORBIDDEN.search(value) is None:
        return value
    if unlawful:
        return _FORBIDDEN.sub(lambda one: f"&#x{ord(one[0]):X};", value)
    return _FORBIDDEN.sub(lambda one: "" if one[0] < " " else "\ufffd", value)


@lru_cache(maxsize=200_000)
def when(moment: datetime) -> str:
    """A moment as Exchange writes it: UTC, whole seconds, the rest cut off."""
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()[:19] + "Z"


def b64(value: bytes) -> str:
    """Base64 without line breaks."""
    return base64.b64encode(value).decode("ascii")


def children(element: Any, names: tuple[str, ...], required: tuple[str, ...] = (), space: str = M) -> dict[str, Any]:
    """The element's children by name; ErrorSchemaValidation unless they are of these names, in this order, once each."""
    found: dict[str, Any] = {}
    at = 0
    for child in element.iterchildren("*"):
        name = child.tag.removeprefix(space)
        if name not in names[at:]:
            raise invalid(
                f"The element '{element.tag.rpartition('}')[2]}' has invalid child element '{name.rpartition('}')[2]}'.", child
            )
        at = names.index(name) + 1
        found[name] = child
    for name in required:
        if name not in found:
            raise invalid(f"The element '{element.tag.rpartition('}')[2]}' has incomplete content: '{name}' expected.", element)
    return found


def invalid(sentence: str, element: Any = None) -> Fault:
    """The fault for a request that does not follow the schema."""
    line = getattr(element, "sourceline", None) or 1
    return Fault(
        "ErrorSchemaValidation",
        f"The request failed schema validation: {sentence}",
        LineNumber=line,
        LinePosition=1,
        Violation=sentence,
    )


def message(operation: str, body: str, code: str = "NoError", sentence: str = "", kind: str = "") -> str:
    """One response message of an operation. A code other than NoError makes it an error, unless ``kind`` says else."""
    if code == "NoError":
        head = f'<m:{operation}ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
    else:
        head = (
            f'<m:{operation}ResponseMessage ResponseClass="{kind or "Error"}"><m:MessageText>{text(sentence)}</m:MessageText>'
            f"<m:ResponseCode>{code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>"
        )
    return f"{head}{body}</m:{operation}ResponseMessage>"


def answer(operation: str, messages: Iterator[str]) -> bytes:
    """The response of an operation around its messages."""
    inner = "".join(messages)
    return f"<m:{operation}Response><m:ResponseMessages>{inner}</m:ResponseMessages></m:{operation}Response>".encode()
