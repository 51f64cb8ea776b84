"""The words of a plan for settings: what becomes of each, what would be written, and what a plan needs to know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

from connectors.settings import Abilities, AutomaticReply, Category, Delivery, Kind, Rule, WorkingHours


class Verdict(StrEnum):
    """What becomes of a setting."""

    WRITE = "write"
    THERE = "there"
    LISTED = "listed"
    SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True)
class AddRule:
    """A rule that the target does not have; ``enable`` at the operator's word."""

    rule: Rule
    enable: bool = False


@dataclass(frozen=True, slots=True)
class EnableRule:
    """A rule of ours in the target that is to be switched on."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class AddCategory:
    category: Category


@dataclass(frozen=True, slots=True)
class SetReply:
    reply: AutomaticReply


@dataclass(frozen=True, slots=True)
class SetHours:
    hours: WorkingHours


@dataclass(frozen=True, slots=True)
class SetZone:
    zone: str


@dataclass(frozen=True, slots=True)
class SetDelivery:
    delivery: Delivery


Change: TypeAlias = AddRule | EnableRule | AddCategory | SetReply | SetHours | SetZone | SetDelivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting and what becomes of it. ``name`` is for people, ``key`` names it in the ledger over all runs, and changes when
    what it says does.

    ``waits``: it is in the target, or will be, but off until the operator says more. ``on``: it is on there, as the operator
    wished. ``state`` is how the source has it, for the report.
    """

    kind: Kind
    name: str
    verdict: Verdict
    key: bytes
    why: str = ""
    waits: bool = False
    on: bool = False
    state: str = ""
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger knows of a setting that was written: the target's own id, what the target made of it, and whether we
    have switched it on."""

    target: str = ""
    stored: bytes = b""
    switched: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for: rules that send nothing, automatic replies, and rules by their names, whatever they do."""

    rules: bool = False
    replies: bool = False
    named: frozenset[str] = frozenset()

    def rule(self, rule: Rule) -> bool:
        """Whether this rule is to be switched on, if it is on at the source."""
        return rule.name.casefold() in self.named or (self.rules and not rule.sends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a plan needs beside both sides: target folders by source id or role, target addresses by source address in lower
    case, what was written before, and the moment."""

    abilities: Abilities
    now: datetime
    folders: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    remembered: Mapping[bytes, Remembered] = field(default_factory=dict)
    wishes: Wishes = Wishes()


def digest(*parts: object) -> bytes:
    """Sixteen bytes that are equal only for the same parts."""
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def listed(kind: Kind, name: str, why: str, key: bytes, state: str = "") -> Entry:
    """An entry of what can't go, or must not."""
    return Entry(kind=kind, name=name, verdict=Verdict.LISTED, key=key, why=why, state=state)


REMOVED = "it was carried before, and the target's user has removed it since"
