"""What has to be true of a tenant before a migration, asked without writing anything.

An import session is opened by POST, so the right to import is not tried here; what can be read tells whether the same interface
answers. Every answer of the server becomes a sentence of its own, with what mends it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import pybase64

from connectors.base import Answer
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import paths
from connectors.graph.classify import Rejected, error_of
from connectors.graph.client import GraphClient

NEEDED = (
    "MailboxItem.ImportExport.All",
    "MailboxFolder.ReadWrite.All",
    "MailboxItem.ReadWrite.All",
    "Mail.ReadWrite",
    "User.Read.All",
)
"""Application permissions of a migration [learn.microsoft.com/graph/permissions-reference]."""

FOR_COMPOSE = {"Calendars.ReadWrite": "appointments", "Contacts.ReadWrite": "contacts", "Tasks.ReadWrite.All": "tasks"}
"""Permissions that only the compose lane needs, and for which kind of item; without one these are refused there by name."""

FOR_SETTINGS = "MailboxSettings.ReadWrite"
"""What `migrator settings` needs for rules, categories, replies and hours."""

_ASKED_LATER = "not asked, because an earlier question failed"


@dataclass(frozen=True, slots=True)
class Account:
    """What the directory says of a user."""

    enabled: bool | None
    address: str


def ask(client: GraphClient, mailboxes: Iterable[str]) -> Iterator[Answer]:
    """Answers about the sign-in, then about each mailbox in turn. Never writes, never raises for what the server says."""
    token: str | None = None
    try:
        token = client.tokens.get()
        yield Answer("sign-in host", True, "The sign-in host answers.")
        yield Answer("access token", True, "The app gets an access token.")
    except Unavailable as error:
        yield Answer("sign-in host", False, f"{_capital(error)}.", "check the authority, the proxy and the firewall")
        yield Answer("access token", None, _ASKED_LATER)
    except Halt as error:
        yield Answer("sign-in host", True, "The sign-in host answers.")
        yield Answer("access token", False, f"{_capital(error)}.", error.mend)
    yield permissions(token)
    for mailbox in mailboxes:
        if token is None:
            yield Answer(f"{mailbox}: mailbox", None, _ASKED_LATER)
        else:
            yield from _mailbox(client, mailbox)


def roles_of(token: str) -> frozenset[str] | None:
    """The application permissions that a token carries; None if it can't be read. Only a hint: the server decides."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(pybase64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_"))
    except ValueError:
        return None
    roles = claims.get("roles") if isinstance(claims, dict) else None
    return frozenset(map(str, roles)) if isinstance(roles, list) else None


def permissions(token: str | None) -> Answer:
    """What a token shows of the app's permissions."""
    question = "permissions"
    if token is None:
        return Answer(question, None, _ASKED_LATER)
    roles = roles_of(token)
    if roles is None:
        return Answer(question, None, "The access token does not show the app's permissions.")
    missing = [
        each
        for each in NEEDED
        if each not in roles and not (each == "MailboxItem.ReadWrite.All" and "MailboxItem.Read.All" in roles)
    ]
    if missing:
        # Permissions that are scoped to some mailboxes by RBAC for Applications never show in a token.
        text = f"The token does not show {', '.join(missing)}; scoped grants never show there."
        return Answer(question, None, text, "grant them with admin consent, unless they are assigned in Exchange Online by RBAC")
    if "Mail.Send" in roles:
        return Answer(
            question, True, "The app has all permissions, and may send mail, which it never does.", "take Mail.Send away"
        )
    without = [kind for permission, kind in FOR_COMPOSE.items() if permission not in roles]
    lost = [f"the compose lane will refuse {' and '.join(without)}"] if without else []
    if FOR_SETTINGS not in roles:
        lost.append("rules, categories, replies and hours can't be carried")
    if lost:
        wanted = [each for each in (*FOR_COMPOSE, FOR_SETTINGS) if each not in roles]
        text = f"The app has all permissions that every lane needs; {', and '.join(lost)}."
        return Answer(question, True, text, f"grant {', '.join(wanted)} to carry them")
    return Answer(question, True, "The app has all permissions.")


def _mailbox(client: GraphClient, mailbox: str) -> Iterator[Answer]:
    yield _directory(client, mailbox)
    root = paths.query(paths.mail_folder(mailbox, "msgfolderroot"), select="id")
    found, answer = _read(client, mailbox, root, f"{mailbox}: mailbox", "The mailbox is there and opens.")
    yield answer
    if found is None:
        for question in ("import interface", "folders", "items"):
            yield Answer(f"{mailbox}: {question}", None, _ASKED_LATER)
        return
    path = paths.user(mailbox) + "/settings/exchange"
    found, answer = _read(client, mailbox, path, f"{mailbox}: import interface", "The import interface knows the mailbox.")
    mailbox_id = found.get("primaryMailboxId") if found else None
    if answer.ok and not isinstance(mailbox_id, str):
        answer = Answer(answer.question, False, "The user has no primary mailbox in Exchange Online.", "assign a licence")
    yield answer
    if not answer.ok or not isinstance(mailbox_id, str):
        yield Answer(f"{mailbox}: folders", None, _ASKED_LATER)
        yield Answer(f"{mailbox}: items", None, _ASKED_LATER)
        return
    path = paths.query(paths.admin(mailbox_id) + "/folders", top=1)
    _, answer = _read(client, mailbox, path, f"{mailbox}: folders", "Folders of every class can be listed.")
    yield answer
    path = paths.query(paths.admin_folder(mailbox_id, "inbox") + "/items", top=1)
    _, answer = _read(client, mailbox, path, f"{mailbox}: items", "Items of every class can be listed.")
    yield answer


def _read(client: GraphClient, mailbox: str, path: str, question: str, good: str) -> tuple[dict[str, Any] | None, Answer]:
    try:
        found = client.run(client.ask(mailbox, "GET", path, kind="preflight")).json()
        return found, Answer(question, True, good)
    except (Halt, MailboxBlocked) as error:
        return None, Answer(question, False, f"{_capital(error)}.", error.mend)
    except Rejected as error:
        return None, Answer(question, False, f"{_capital(error)}.", "check the address and the app's scope for this mailbox")
    except WireError as error:
        return None, Answer(question, False, f"{_capital(error)}.", "try again later; if it stays, report the code")


def _directory(client: GraphClient, mailbox: str) -> Answer:
    question = f"{mailbox}: user"
    _load_sdk()
    try:
        account = client.run(client.pacer(mailbox).acall(partial(_account, client, mailbox)))
    except (Halt, MailboxBlocked) as error:
        if error.code in ("Authorization_RequestDenied", "http 403", "ErrorAccessDenied", "accessDenied"):
            return Answer(
                question, None, "The directory may not be read; the mailbox itself is asked next.", "grant User.Read.All"
            )
        return Answer(question, False, f"{_capital(error)}.", error.mend)
    except WireError as error:
        return Answer(question, False, f"{_capital(error)}.", "check the address")
    if account.enabled is False:
        return Answer(
            question,
            True,
            "The user is there; sign-in is blocked, which is right for a shared mailbox only.",
            "enable the account",
        )
    return Answer(question, True, "The user is there.")


def _load_sdk() -> None:
    """Import Microsoft's SDK on the caller's thread, not on the loop: its models take seconds, and it warns about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import msgraph.generated.models.o_data_errors.o_data_error
        import msgraph.generated.users.item.user_item_request_builder
        import msgraph.generated.users.users_request_builder
        import msgraph.graph_request_adapter  # noqa: F401
        from msgraph.generated.models.user import User

        User().get_field_deserializers()  # this is what loads the models


async def _account(client: GraphClient, mailbox: str) -> Account:
    """The user's directory entry through Microsoft's SDK.

    Its own retries, which would repeat any method, are off: the HTTP client that it is given has no middleware.
    """
    import httpx
    from kiota_abstractions.api_error import APIError
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph import GraphServiceClient
    from msgraph.generated.users.item.user_item_request_builder import UserItemRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter

    token = await client.token()

    class Bearer(AccessTokenProvider):  # type: ignore[misc]
        async def get_authorization_token(self, uri: str, additional_authentication_context: dict[str, Any] | None = None) -> str:
            return token

        def get_allowed_hosts_validator(self) -> Any:
            return AllowedHostsValidator([])

    parameters = UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(
        select=["id", "userPrincipalName", "accountEnabled", "mail"]
    )
    timeout = client.tenant.timeout
    async with httpx.AsyncClient(verify=client.context or True, trust_env=False, timeout=timeout, follow_redirects=False) as http:
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Bearer()), client=http)
        adapter.base_url = client.tenant.root
        users = GraphServiceClient(request_adapter=adapter).users
        try:
            user = await users.by_user_id(mailbox).get(request_configuration=RequestConfiguration(query_parameters=parameters))
        except APIError as error:
            main = getattr(error, "error", None)
            raise error_of(error.response_status_code or 0, str(getattr(main, "code", "") or "")) from None
        except httpx.HTTPError as error:
            raise Unavailable("the target can't be reached", code=type(error).__name__, did_nothing=True) from None
    return Account(enabled=user.account_enabled, address=user.user_principal_name or "") if user else Account(None, "")


def _capital(error: WireError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
