"""Reads and writes the settings of a target mailbox through Graph. Nothing is removed, and nothing is switched on unasked.

Calendar permissions are read only: creating one can e-mail whoever it is for, and no switch of Graph's prevents that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from connectors.base import Refusal
from connectors.errors import MailboxBlocked, Unavailable, UnknownAnswer
from connectors.graph import paths, settings_shape
from connectors.graph.classify import Rejected, row_of
from connectors.graph.client import GraphClient, Reply
from connectors.graph.silence import Word
from connectors.settings import (
    Abilities,
    AutomaticReply,
    Category,
    Delivery,
    Kind,
    ReplyState,
    Rule,
    Settings,
    Untold,
    WorkingHours,
)


class GraphSettings:
    """One target mailbox; a ``SettingsTarget``."""

    def __init__(self, client: GraphClient, mailbox: str) -> None:
        self._client = client
        self._mailbox = mailbox

    @property
    def abilities(self) -> Abilities:
        """What Graph has words for."""
        return Abilities(settings_shape.TESTS, settings_shape.DEEDS, settings_shape.DELIVERIES)

    def read(self) -> Settings:
        """What the mailbox has: rules, categories, its settings, and who may do what in its calendar."""
        try:
            return self._read()
        except Rejected as error:
            raise MailboxBlocked(str(error), code=error.code, side="target", mend="see that the mailbox opens") from None

    def _read(self) -> Settings:
        mailbox = self._mailbox
        rules = self._list(paths.rules(mailbox), "rules")
        categories = self._list(paths.categories(mailbox), "categories")
        own = self._get(paths.settings(mailbox), "settings").json()
        untold: list[Untold] = []
        try:
            permissions = self._list(paths.calendar_permissions(mailbox), "permissions")
        except Rejected as error:
            # A mailbox without a calendar has none such.
            untold.append(Untold(Kind.PERMISSION, "", f"the target does not give those of the calendar ({error.code})"))
            permissions = []
        return Settings(
            rules=tuple(sorted(map(settings_shape.rule_of, rules), key=lambda rule: rule.order)),
            categories=tuple(map(settings_shape.category_of, categories)),
            reply=settings_shape.reply_of(own.get("automaticRepliesSetting")),
            hours=settings_shape.hours_of(own.get("workingHours")),
            zone=own.get("timeZone") or None,
            delivery=settings_shape.delivery_of(own.get("delegateMeetingMessageDeliveryOptions")),
            permissions=tuple(map(settings_shape.permission_of, permissions)),
            untold=tuple(untold),
        )

    def add_rule(self, rule: Rule) -> Rule | Refusal:
        """POST, always switched off."""
        body = settings_shape.rule_body(rule, enabled=False)
        made = self._write("POST", paths.rules(self._mailbox), "rules", body)
        return made if isinstance(made, Refusal) else settings_shape.rule_of(made.json())

    def enable_rule(self, rule: Rule) -> Refusal | None:
        """PATCH, which shows what the rule does, so that the guard sees what is switched on."""
        body = {"isEnabled": True, "actions": settings_shape.actions_body(rule)}
        word = Word.FORWARDING if rule.sends else Word.RULES
        return _refusal(self._write("PATCH", paths.rule(self._mailbox, rule.id), "rules", body, word))

    def add_category(self, category: Category) -> Refusal | None:
        """POST; names are unique in any case, and fixed from then on."""
        body = settings_shape.category_body(category)
        return _refusal(self._write("POST", paths.categories(self._mailbox), "categories", body))

    def set_reply(self, reply: AutomaticReply) -> Refusal | None:
        """PATCH of the mailbox's settings."""
        word = None if reply.state is ReplyState.OFF else Word.REPLIES
        return self._set(settings_shape.reply_body(reply), word)

    def set_hours(self, hours: WorkingHours) -> Refusal | None:
        """PATCH of the mailbox's settings."""
        return self._set(settings_shape.hours_body(hours))

    def set_zone(self, zone: str) -> Refusal | None:
        """PATCH of the mailbox's settings."""
        return self._set({"timeZone": zone})

    def set_delivery(self, delivery: Delivery) -> Refusal | None:
        """PATCH of the mailbox's settings; it sends nothing, it says where later requests go."""
        return self._set(settings_shape.delivery_body(delivery))

    def _set(self, body: dict[str, Any], word: Word | None = None) -> Refusal | None:
        # The same settings again are the same settings, so this may be repeated.
        return _refusal(self._write("PATCH", paths.settings(self._mailbox), "settings", body, word, safe=True))

    # -- requests

    def _get(self, path: str, kind: str) -> Reply:
        return self._client.run(self._client.ask(self._mailbox, "GET", path, kind=kind))

    def _list(self, path: str, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            page = self._get(following, kind).json()
            if not isinstance(page, dict) or not isinstance(page.get("value"), list):
                raise Unavailable("The target's list has no values in it.", code="empty")
            found += page["value"]
            following = page.get("@odata.nextLink")
        return found

    def _write(
        self, method: str, path: str, kind: str, body: dict[str, Any], word: Word | None = None, *, safe: bool = False
    ) -> Reply | Refusal:
        asked = self._client.ask(self._mailbox, method, path, kind=kind, body=orjson.dumps(body), safe=safe, word=word)
        return _as_refusal(lambda: self._client.run(asked))


def _as_refusal(act: Callable[[], Reply]) -> Reply | Refusal:
    """What came of a write; a Refusal if the server turned down this one thing, by a code that the tables know."""
    try:
        return act()
    except Rejected as error:
        return error.refusal()
    except UnknownAnswer as error:
        if row_of(400, error.code) is None:
            raise
        # The request follows the documentation, so it is the value in it that the server does not take.
        return Refusal("setting-refused", "the target does not take it as it is", error.code)


def _refusal(made: Reply | Refusal) -> Refusal | None:
    return made if isinstance(made, Refusal) else None
