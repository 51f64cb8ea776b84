"""Reads the settings of an Exchange mailbox. Read-only operations alone.

A part that the server does not give, for a reason that is this part's own, is told as such and the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connectors.base import Folder, Role
from connectors.errors import MailboxBlocked, Unavailable, UnknownAnswer
from connectors.ews import classify, settings_shape, soap
from connectors.ews.answer import SOAP, M, T, code_of, messages
from connectors.ews.client import ExchangeServer
from connectors.ews.source import ExchangeSource
from connectors.settings import (
    AutomaticReply,
    Category,
    Delegate,
    Delivery,
    Holder,
    Kind,
    Permission,
    Place,
    Rule,
    Settings,
    Untold,
    WorkingHours,
)

R = TypeVar("R")

_NOTHING_SET = frozenset({"ErrorDelegateMissingConfiguration", "ErrorItemNotFound", "ErrorFolderNotFound"})
"""Codes that say that nobody ever set this up."""

_AT_ONCE = 100
_DELIVERIES = {
    "DelegatesOnly": Delivery.DELEGATES,
    "DelegatesAndMe": Delivery.BOTH,
    "DelegatesAndSendInformationToMe": Delivery.TOLD,
    "NoForward": Delivery.OWNER,
}


class _Unset(Exception):
    """Nobody ever set this up."""


class ExchangeSettings:
    """One source mailbox; a ``SettingsSource``."""

    def __init__(self, server: ExchangeServer, mailbox: str, *, stop: threading.Event | None = None) -> None:
        self._source = ExchangeSource(server, mailbox, stop=stop)
        self._client = self._source.client
        self._mailbox = mailbox
        # Without impersonation a special folder is the caller's own unless a mailbox is named.
        self._owner = None if server.settings.access == "impersonation" else mailbox

    def read(self) -> Settings:
        """All settings, one operation after the other."""
        told = _Told()
        # First, because it asks what everything else needs: whether the mailbox opens at all.
        permissions = self._permissions(told)
        rules = self._rules(told)
        delegates, delivery = told.part(Kind.DELEGATE, self._delegates, told) or ((), None)
        return Settings(
            rules=rules,
            categories=told.part(Kind.CATEGORY, self._categories) or (),
            reply=told.part(Kind.REPLY, self._reply),
            hours=told.part(Kind.HOURS, self._hours),
            zone=told.part(Kind.ZONE, self._zone),
            delivery=delivery,
            permissions=permissions,
            delegates=delegates,
            untold=tuple(told.untold),
        )

    def close(self) -> None:
        self._source.close()

    def _lone(self, kind: str, body: str, read: Callable[[Any], R]) -> R:
        """Ask for an answer that is its own response message."""

        def once() -> R:
            root = self._client.tree_once(kind, body)
            answer = root.find(f"{SOAP}Body/{M}{kind}Response")
            if answer is None:
                raise Unavailable("The source's answer has no answer in it.", code="empty")
            inner = answer.find(f"{M}ResponseMessage")
            _check(answer if inner is None else inner)
            return read(answer)

        return self._client.call(once)

    # -- rules

    def _rules(self, told: _Told) -> tuple[Rule, ...]:
        def read(answer: Any) -> tuple[tuple[Rule, ...], bool]:
            found = tuple(settings_shape.rule_of(one) for one in answer.iterfind(f"{M}InboxRules/{T}Rule"))
            return found, soap.truth(answer.findtext(f"{M}OutlookRuleBlobExists"))

        asked = told.part(Kind.RULE, lambda: self._lone("GetInboxRules", settings_shape.get_rules(self._mailbox), read))
        if asked is None:
            return ()
        rules, blob = asked
        if blob:
            told.untold.append(
                Untold(Kind.RULE, "(Outlook's own)", "there are rules that no server shows: look for them in Outlook")
            )
        strange = {one for rule in rules for one in settings_shape.addresses_of(rule) if "@" not in one}
        known = {one: address for one in sorted(strange) if (address := self._smtp(one))}
        return tuple(settings_shape.with_addresses(rule, known) for rule in rules)

    def _smtp(self, name: str) -> str:
        """The SMTP address that an old-style address stands for; empty if nobody has it, or several."""

        def once() -> str:
            [message] = messages(self._client.tree_once("ResolveNames", settings_shape.resolve(name)), "ResolveNames")
            code, values = code_of(message)
            found = [one.text or "" for one in message.iter(f"{T}EmailAddress")]
            if code.startswith("ErrorNameResolution"):
                return ""
            if code != "NoError":
                classify.raise_for(code, text="", values=values)
            return found[0] if len(found) == 1 else ""

        try:
            return self._client.call(once)
        except (MailboxBlocked, UnknownAnswer):
            return ""

    # -- one answer each

    def _reply(self) -> AutomaticReply | None:
        def read(answer: Any) -> AutomaticReply | None:
            element = answer.find(f"{T}OofSettings")
            return None if element is None else settings_shape.reply_of(element)

        return self._lone("GetUserOofSettings", settings_shape.get_reply(self._mailbox), read)

    def _delegates(self, told: _Told) -> tuple[tuple[Delegate, ...], Delivery | None]:
        def read(answer: Any) -> tuple[list[Delegate], list[str], Delivery | None]:
            found: list[Delegate] = []
            lost: list[str] = []
            for message in answer.iterfind(f"{M}ResponseMessages/*"):
                code, values = code_of(message)
                element = message.find(f"{M}DelegateUser")
                if code == "NoError" and element is not None:
                    found.append(settings_shape.delegate_of(element))
                elif classify.verdict(code).meaning in (classify.Meaning.THROTTLED, classify.Meaning.UNAVAILABLE):
                    classify.raise_for(code, text="", values=values)
                else:
                    lost.append(code)
            return found, lost, _DELIVERIES.get(answer.findtext(f"{M}DeliverMeetingRequests") or "")

        found, lost, delivery = self._lone("GetDelegate", settings_shape.get_delegates(self._mailbox), read)
        told.untold += [Untold(Kind.DELEGATE, "", f"the source can't name a delegate ({code})") for code in lost]
        return tuple(found), delivery

    def _categories(self) -> tuple[Category, ...]:
        return settings_shape.categories_of(self._document("CategoryList"))

    def _hours(self) -> WorkingHours:
        return settings_shape.hours_of(self._document("WorkHours"))

    def _document(self, name: str) -> bytes:
        """A document of the calendar's own configuration."""
        found = self._configuration(name, "calendar", "XmlData")
        data = soap.binary("".join((found.findtext(f"{T}XmlData") or "").split()))
        if not data:
            raise _Unset
        return data

    def _zone(self) -> str | None:
        return settings_shape.option_of(self._configuration("OWA.UserOptions", "root", "Dictionary"), "timezone")

    def _configuration(self, name: str, folder: str, what: str) -> Any:
        def read(found: list[Any]) -> Any:
            _check(found[0])
            return found[0].find(f"{M}UserConfiguration")

        body = settings_shape.get_configuration(name, folder, what, self._owner)
        configuration = self._client.ask("GetUserConfiguration", body, read)
        if configuration is None:
            raise _Unset
        return configuration

    # -- permissions

    def _permissions(self, told: _Told) -> tuple[Permission, ...]:
        folders = list(self._source.folders())
        places = _places(folders)
        found: list[Permission] = []
        lost = 0
        top = soap.distinguished(Role.ROOT.value, self._owner)
        for at in range(0, max(1, len(folders)), _AT_ONCE):
            some = folders[at : at + _AT_ONCE]
            where = ([] if at else [Place(None)]) + [places[one.id] for one in some]
            body = settings_shape.get_permissions([one.id for one in some], None if at else top)

            def read(answers: list[Any], where: Sequence[Place] = where) -> tuple[list[Permission], int, list[Untold]]:
                return _read_permissions(answers, where)

            mine, unknown, untold = self._client.ask("GetFolder", body, read)
            found += mine
            lost += unknown
            told.untold += untold
        if lost:
            told.untold.append(
                Untold(Kind.PERMISSION, "", f"permissions of accounts that the source can't name any more: {lost}")
            )
        for one in found:
            if one.holder is Holder.PERSON and not one.address:
                why = "it is for an account that has no address any more"
                told.untold.append(Untold(Kind.PERMISSION, one.place.path, why))
        return tuple(one for one in found if one.holder is not Holder.PERSON or one.address)


@dataclass(slots=True)
class _Told:
    """What could not be told so far."""

    untold: list[Untold] = field(default_factory=list)

    def part(self, kind: Kind, work: Callable[..., R], *words: object) -> R | None:
        """What ``work`` reads; None if nothing is set up, or if the server does not give it, which is noted."""
        try:
            return work(*words)
        except _Unset:
            return None
        except ValueError:
            self.untold.append(Untold(kind, "", "what the source holds can't be read"))
        except (MailboxBlocked, UnknownAnswer) as error:
            self.untold.append(Untold(kind, "", f"the source does not give it ({error.code})"))
        return None


def _check(message: Any) -> None:
    """Raise what a response message's code means: ``_Unset`` where nobody ever set this up."""
    code, values = code_of(message)
    if code in _NOTHING_SET:
        raise _Unset
    if code != "NoError":
        classify.raise_for(code, text="", values=values)


def _places(folders: Sequence[Folder]) -> dict[str, Place]:
    """Where each folder is, parents before children as they come."""
    found: dict[str, Place] = {}
    for one in folders:
        calendar = one.kind.casefold().startswith("ipf.appointment")
        above = found.get(one.parent_id or "")
        if one.role is not None:
            found[one.id] = Place(one.role, (), calendar)
        elif above is not None:
            found[one.id] = Place(above.role, (*above.names, one.name), calendar)
        else:
            found[one.id] = Place(None, (one.name,), calendar)
    return found


def _read_permissions(answers: list[Any], where: Sequence[Place]) -> tuple[list[Permission], int, list[Untold]]:
    if len(answers) != len(where):
        raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
    found: list[Permission] = []
    untold: list[Untold] = []
    lost = 0
    for message, place in zip(answers, where, strict=True):
        folder = message.find(f"{M}Folders/*")
        try:
            _check(message)
        except _Unset:
            continue  # the folder is gone
        except (MailboxBlocked, UnknownAnswer) as error:
            untold.append(Untold(Kind.PERMISSION, place.path, f"the source does not give it ({error.code})"))
            continue
        if folder is not None:
            mine, unknown = settings_shape.permissions_of(folder, place)
            found += mine
            lost += unknown
    return found, lost, untold
