"""What has to be true of the source before a migration, asked without writing anything.

The address is asked without credentials first: what it offers tells a wrong scheme from a wrong password, and asking locks no
account. A sign-in is tried once, and once more by another way if that can tell why it failed. No item is read: that export is
allowed is concluded from how the server answers for an id that no item has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.base import Answer
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.ews import classify, soap
from connectors.ews.answer import M, T, code_of, messages
from connectors.ews.client import ExchangeServer, MailboxClient, distrusted, escape

if TYPE_CHECKING:
    import requests

_ASKED_LATER = "not asked, because an earlier question failed"
_ADDRESS, _SIGN_IN = "address", "sign in"
_OF_A_MAILBOX = ("mailbox", "folders", "export", "version")
_LATER = "try again later; if it stays, report the code"
_NO_SUCH_ID = "AAA="
_NO_EXPORT = frozenset({"ErrorInvalidOperation", "ErrorInvalidRequest", "ErrorSchemaValidation", "ErrorInvalidServerVersion"})
_TAKES = {"ntlm": frozenset({"ntlm", "negotiate"}), "kerberos": frozenset({"negotiate"}), "basic": frozenset({"basic"})}
_SCHEME = re.compile(r"(?:^|,)\s*(negotiate|ntlm|basic|bearer|kerberos|digest)\b", re.IGNORECASE)
_SE_FROM = 2562
_CONNECT_SECONDS = 15.0
_PROBE = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
    '<s:Header><t:RequestServerVersion Version="{version}"/></s:Header><s:Body>{body}</s:Body></s:Envelope>'
)


def ask(server: ExchangeServer, mailboxes: Sequence[str]) -> Iterator[Answer]:
    """Answers about the address and the sign-in, then four about each mailbox. Never writes, never raises what a server says."""
    answer, offered = _address(server)
    yield answer
    if answer.ok:
        answer = _sign_in(server, offered)
        yield answer
    else:
        yield Answer(_SIGN_IN, None, _ASKED_LATER)
    for mailbox in mailboxes:
        if answer.ok:
            yield from _mailbox(server, mailbox)
        else:
            for question in _OF_A_MAILBOX:
                yield Answer(f"{mailbox}: {question}", None, _ASKED_LATER)


# -- the server


def _address(server: ExchangeServer) -> tuple[Answer, frozenset[str]]:
    import requests

    settings = server.settings
    none: frozenset[str] = frozenset()
    try:
        with requests.Session() as session:
            status, headers = _probe(session, server)
    except Halt as error:
        return _failed(_ADDRESS, error), none
    except requests.exceptions.SSLError as error:
        if not distrusted(error):
            return Answer(
                _ADDRESS,
                False,
                "No encrypted connection comes about: the server speaks no TLS at this port, or only versions that are too old.",
                "check the port in source.url, and that the server offers TLS 1.2",
            ), none
        return Answer(
            _ADDRESS,
            False,
            "The server's certificate is not trusted, or its name is another than the address has.",
            "name its authority in source.ca_file, or use the name that the certificate has in source.url",
        ), none
    except requests.exceptions.Timeout:
        return Answer(_ADDRESS, False, "The server does not answer in time.", "check the firewall between here and it"), none
    except requests.exceptions.ConnectionError:
        return Answer(
            _ADDRESS, False, "The server can't be reached.", "check the name, the port and the firewall between here and it"
        ), none
    except (requests.RequestException, ValueError):
        return Answer(_ADDRESS, False, "The address can't be used.", "write source.url as https://…/EWS/Exchange.asmx"), none
    if status == 401:
        if settings.url.lower().startswith("http://"):
            text = "The address answers, but without encryption: whoever listens can read all mail."
            return Answer(_ADDRESS, True, text, "use https"), _schemes(headers)
        return Answer(_ADDRESS, True, "The address answers and asks for a sign-in."), _schemes(headers)
    if status == 403:
        text, mend = (
            "The server turns everybody away before a sign-in.",
            "allow this computer's address, and EWS, on the web server",
        )
        return Answer(_ADDRESS, False, text, mend), none
    if status < 300:
        text = "The address answers without asking for a sign-in, which EWS never does."
        return Answer(_ADDRESS, False, text, "give the address that ends in /EWS/Exchange.asmx"), none
    return _told_by_status(_ADDRESS, status, headers), none


def _sign_in(server: ExchangeServer, offered: frozenset[str]) -> Answer:
    import requests

    settings = server.settings
    if not _TAKES[settings.auth] & offered:
        shown = ", ".join(sorted(offered)) or "nothing"
        usable = [name for name, takes in _TAKES.items() if takes & offered]
        mend = f"set source.auth to {' or '.join(usable)}" if usable else "publish EWS without a sign-in page before it"
        text = f"The server does not offer to sign in by {settings.auth}; it offers {shown}."
        return Answer(_SIGN_IN, False, text, f"{mend}, or allow {settings.auth} on the EWS virtual directory")
    try:
        session = server.open_session()
    except (ImportError, KeyError, TypeError):
        text = f"This computer can't sign in by {settings.auth}."
        return Answer(_SIGN_IN, False, text, "install the part for Kerberos, or set source.auth to ntlm")
    try:
        with session:
            status, headers = _probe(session, server)
    except (requests.RequestException, OSError) as error:
        return Answer(_SIGN_IN, False, f"The sign-in was cut off ({type(error).__name__}).", "check any proxy before the server")
    except Exception as error:
        # Tickets and tokens are made by libraries of the system, whose errors have no common base.
        text = f"This computer could not make a token for the sign-in ({type(error).__name__})."
        return Answer(_SIGN_IN, False, text, "get a Kerberos ticket for the account, or set source.auth to ntlm")
    if status == 401:
        return _refused(server, offered)
    if status == 403:
        return Answer(
            _SIGN_IN,
            False,
            "The account signs in, but EWS is switched off for it or for this program.",
            "check Set-CASMailbox -EwsEnabled of the account, and EwsApplicationAccessPolicy of it and of the organisation",
        )
    if status == 404:
        return Answer(
            _SIGN_IN,
            False,
            "The account signs in, but there is no EWS at this address.",
            "give the address that ends in /EWS/Exchange.asmx, and check that the EWS application runs",
        )
    if status not in (200, 500):
        return _told_by_status(_SIGN_IN, status, headers)
    if settings.auth == "basic" and settings.url.lower().startswith("http://"):
        return Answer(_SIGN_IN, True, "The account signs in, with a password that whoever listens can read.", "use https")
    return Answer(_SIGN_IN, True, "The account signs in.")


def _refused(server: ExchangeServer, offered: frozenset[str]) -> Answer:
    """Why a sign-in failed though its scheme is offered: Extended Protection looks like a wrong password from outside."""
    settings = server.settings
    tls = settings.url.lower().startswith("https://")
    way = _other_way(server, offered) if tls and settings.auth == "ntlm" else ""
    if way == "basic":
        return Answer(
            _SIGN_IN,
            False,
            "The password is right, but the server refuses it by NTLM: Extended Protection may not see its own certificate.",
            "let the address lead to Exchange without a proxy that opens TLS, or give that proxy Exchange's own certificate; "
            "check also that NTLM is not restricted for the account",
        )
    if way == "unbound":
        return Answer(
            _SIGN_IN,
            False,
            "The sign-in works only without channel binding: another certificate than Exchange's own stands before it, and "
            "Extended Protection notices.",
            "give the load balancer or proxy the same certificate as Exchange, or go to Exchange without it",
        )
    if settings.auth == "kerberos":
        return Answer(
            _SIGN_IN,
            False,
            "The server refuses the Kerberos ticket.",
            "check the service names (setspn -L) of the address, the computer's clock, and the account",
        )
    mend = "check source.username (DOMAIN\\name or name@domain), the password, and whether the account is locked"
    if settings.auth == "ntlm" and tls:
        mend += "; if they are right, check Extended Protection on the EWS virtual directory"
    return Answer(_SIGN_IN, False, "The server refuses the user name or the password.", mend)


def _other_way(server: ExchangeServer, offered: frozenset[str]) -> str:
    """One more sign-in that can tell a wrong password from a refused binding; its name if it works. More could lock it."""
    import requests
    from requests_ntlm import HttpNtlmAuth

    settings = server.settings
    basic = "basic" in offered
    try:
        with requests.Session() as session:
            if basic:
                # requests would take text for Latin-1; servers take UTF-8 [RFC 7617 2.1].
                session.auth = requests.auth.HTTPBasicAuth(settings.username.encode(), settings.password.encode())
            else:
                session.auth = HttpNtlmAuth(settings.username, settings.password, send_cbt=False)
            status, _ = _probe(session, server)
    except (requests.RequestException, OSError):
        return ""
    return ("basic" if basic else "unbound") if status in (200, 403, 500) else ""


def _probe(session: requests.Session, server: ExchangeServer) -> tuple[int, Mapping[str, str]]:
    """Status and headers of one harmless request, as whoever the session is signed in as."""
    settings = server.settings
    server.prepare(session)
    with session.post(
        settings.url,
        data=_PROBE.format(version=settings.request_version, body=soap.get_special(["msgfolderroot"], None)).encode(),
        headers={"Content-Type": "text/xml; charset=utf-8", "Accept-Encoding": "identity"},
        timeout=(_CONNECT_SECONDS, settings.timeout),
        allow_redirects=False,
    ) as response:
        return response.status_code, response.headers


def _schemes(headers: Mapping[str, str]) -> frozenset[str]:
    return frozenset(found.lower() for found in _SCHEME.findall(headers.get("WWW-Authenticate", "")))


def _told_by_status(question: str, status: int, headers: Mapping[str, str]) -> Answer:
    try:
        classify.raise_for_http(status, headers)
    except WireError as error:
        return _failed(question, error)


# -- one mailbox


@dataclass(slots=True)
class _Asked:
    """What one question brought: the answer's message, or the error."""

    code: str = "NoError"
    message: Any = None
    error: WireError | None = None


def _mailbox(server: ExchangeServer, mailbox: str) -> Iterator[Answer]:
    client = MailboxClient(server, mailbox)
    try:
        yield from _questions(client, server.settings.access == "impersonation", mailbox)
    finally:
        client.close()


def _questions(client: MailboxClient, impersonates: bool, mailbox: str) -> Iterator[Answer]:
    version: list[Mapping[str, str]] = []
    root = _root(mailbox, impersonates)
    body = f"<m:GetFolder>{_ONLY_ID}<m:FolderIds>{root}</m:FolderIds></m:GetFolder>"
    asked = _asked(client, "GetFolder", body, version)
    question = f"{mailbox}: mailbox"
    if asked.error is not None:
        yield _failed(question, asked.error)
        for later in _OF_A_MAILBOX[1:]:
            yield Answer(f"{mailbox}: {later}", None, _ASKED_LATER)
        return
    yield Answer(question, True, f"The mailbox is there and may be {'impersonated' if impersonates else 'opened'}.")
    view = '<m:IndexedPageFolderView MaxEntriesReturned="1" Offset="0" BasePoint="Beginning"/>'
    parents = f"<m:ParentFolderIds>{root}</m:ParentFolderIds>"
    asked = _asked(client, "FindFolder", f'<m:FindFolder Traversal="Deep">{_ONLY_ID}{view}{parents}</m:FindFolder>', version)
    question = f"{mailbox}: folders"
    if asked.error is not None:
        yield _failed(question, asked.error)
        yield Answer(f"{mailbox}: export", None, _ASKED_LATER)
    else:
        yield Answer(question, True, "Its folders can be listed.")
        yield _export(client, f"{mailbox}: export", version)
    yield _version(f"{mailbox}: version", version, client.last_headers)


_ONLY_ID = "<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"


def _root(mailbox: str, impersonates: bool) -> str:
    # Without impersonation a distinguished folder is the caller's own unless a mailbox is named.
    whose = "" if impersonates else f"<t:Mailbox><t:EmailAddress>{escape(mailbox)}</t:EmailAddress></t:Mailbox>"
    return f'<t:DistinguishedFolderId Id="msgfolderroot">{whose}</t:DistinguishedFolderId>'


def _asked(client: MailboxClient, kind: str, body: str, version: list[Mapping[str, str]]) -> _Asked:
    """One call, not repeated: who waits before a screen learns sooner that the server is busy."""
    try:
        root = client.tree_once(kind, body)
        told = root.find(f".//{T}ServerVersionInfo")
        if told is not None:
            version.append(dict(told.attrib))
        found = messages(root, kind)
        if not found or found[0].find(f"{M}ResponseCode") is None:
            raise Unavailable("the server's answer has no answer in it", code="empty")
        code, values = code_of(found[0])
        if code != "NoError":
            classify.raise_for(code, values=values)
        return _Asked(code, found[0])
    except WireError as error:
        return _Asked(error.code, None, error)


def _export(client: MailboxClient, question: str, version: list[Mapping[str, str]]) -> Answer:
    asked = _asked(client, "ExportItems", soap.export([_NO_SUCH_ID]), version)
    if asked.code.startswith("ErrorInvalidId") or asked.code in ("NoError", "ErrorItemNotFound", "ErrorCorruptData"):
        return Answer(question, True, "Items can be exported; the server looked for the one that was asked for.")
    if asked.code in _NO_EXPORT:
        text = f"The server knows no export of items ({asked.code})."
        return Answer(question, False, text, "update Exchange 2010 to SP2 or later, or let every item take the compose lane")
    if asked.code == "ErrorAccessDenied":
        text = f"The account may not export items of this mailbox ({asked.code})."
        return Answer(question, False, text, "grant the account ApplicationImpersonation, or full access to the mailbox")
    return _failed(question, asked.error or Unavailable("the server can't answer now", code=asked.code))


def _version(question: str, told: Sequence[Mapping[str, str]], headers: Mapping[str, str]) -> Answer:
    """The build that answered. A mailbox server tells its own; the front end, by a header that proxies strip, another maybe."""
    build: tuple[int, ...] = ()
    if told:
        names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
        build = _numbers(".".join(told[-1].get(name, "0") for name in names))
    build = build or _numbers({name.casefold(): value for name, value in headers.items()}.get("x-owa-version", ""))
    if not build:
        return Answer(question, None, "The server does not tell its version; a proxy may strip it.")
    shown, line = ".".join(map(str, build)), line_of(build)
    if line == "Exchange Online":
        text = f"Exchange Online answers ({shown}); the mailbox is in the cloud already."
        return Answer(question, False, text, "check the source address in the waves file, and source.url")
    if line == "":
        return Answer(
            question, True, f"A version of Exchange answers that this program does not know ({shown}).", "try one mailbox"
        )
    if build[:2] < (14, 2):
        text = f"{line} answers ({shown}), which is older than what this program speaks."
        return Answer(question, False, text, "update Exchange 2010 to SP3, the last that there is")
    return Answer(question, True, f"{line} answers ({shown}).")


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    return tuple(map(int, parts)) if len(parts) == 4 and all(part.isascii() and part.isdigit() for part in parts) else ()


def line_of(build: Sequence[int]) -> str:
    """The product that a build belongs to; empty if it is none that is known. [MS docs: Exchange Server build numbers]"""
    major, minor, number = build[0], build[1], build[2]
    if (major, minor) == (15, 2):
        return "Exchange Server SE" if number >= _SE_FROM else "Exchange 2019"
    if major == 15 and minor >= 20:
        return "Exchange Online"
    if major in (8, 14):
        return "Exchange 2007" if major == 8 else "Exchange 2010"
    return {(15, 0): "Exchange 2013", (15, 1): "Exchange 2016"}.get((major, minor), "")


def _failed(question: str, error: WireError) -> Answer:
    text = str(error).rstrip(".")
    mend = error.mend if isinstance(error, Halt | MailboxBlocked) and error.mend else _LATER
    return Answer(question, False, f"{text[:1].upper()}{text[1:]}.", mend)
