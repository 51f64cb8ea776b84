"""What becomes of each setting of a mailbox, decided before anything is written; pure.

    WRITE      it will be written
    THERE      the target has it already
    LISTED     it can't go, or the target's user has something else there: why
    SCRIPTED   no interface of the target takes it silently; it goes into the PowerShell script

Nothing of the target is overwritten or removed. What was written before and is not there any more was removed by the target's
user, and stays so. A rule is written switched off; what sends mail is switched on only at the operator's word.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

from connectors.base import Role
from connectors.settings import (
    Abilities,
    Action,
    AutomaticReply,
    Category,
    Clause,
    Content,
    Deed,
    Delegate,
    Delivery,
    Holder,
    Kind,
    Permission,
    Place,
    ReplyState,
    Rule,
    Settings,
    Test,
    WorkingHours,
)


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
    """One setting and what becomes of it. ``waits``: it is in the target, or will be, but off until the operator says more.

    ``name`` is for people. ``key`` names it in the ledger, over all runs; it changes when what it says does. ``state`` is how
    the source has it, for the report.
    """

    kind: Kind
    name: str
    verdict: Verdict
    key: bytes
    why: str = ""
    waits: bool = False
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


def plan(source: Settings, target: Settings, around: Surroundings) -> tuple[Entry, ...]:
    """What becomes of every setting, in the order in which it will be written."""
    return (
        *_categories(source, target, around),
        *_rules(source, target, around),
        *_reply(source, target, around),
        *_zone(source, target, around),
        *_hours(source, target, around),
        *_delivery(source, target, around),
        *_delegates(source, target, around),
        *_permissions(source, target, around),
        *(_listed(one.kind, one.name, one.why, digest(one.kind, one.name, one.why)) for one in source.untold),
        _access(),
    )


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many are carried (written or there), waiting for the operator's word, listed and scripted."""
    tally = Counter(one.verdict for one in entries)
    return {
        "carried": tally[Verdict.WRITE] + tally[Verdict.THERE],
        "waiting": sum(one.waits for one in entries),
        "listed": tally[Verdict.LISTED],
        "scripted": tally[Verdict.SCRIPTED],
    }


def _listed(kind: Kind, name: str, why: str, key: bytes, state: str = "") -> Entry:
    return Entry(kind=kind, name=name, verdict=Verdict.LISTED, key=key, why=why, state=state)


_REMOVED = "it was carried before, and the target's user has removed it since"


# -- categories


def _categories(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    there = {one.name.casefold(): one for one in target.categories}
    for one in source.categories:
        key = digest(Kind.CATEGORY, one.name.casefold())
        found = there.get(one.name.casefold())
        entry = Entry(kind=Kind.CATEGORY, name=one.name, verdict=Verdict.THERE, key=key)
        if found is None and key in around.remembered:
            yield _listed(Kind.CATEGORY, one.name, _REMOVED, key)
        elif found is None:
            yield replace(entry, verdict=Verdict.WRITE, change=AddCategory(one))
        elif found.colour != one.colour:
            yield _listed(Kind.CATEGORY, one.name, "it has another colour in the target, which is left", key)
        else:
            yield entry


# -- rules


def rule_key(rule: Rule) -> bytes:
    """A source rule in the ledger: by its name and by what it says."""
    return digest(Kind.RULE, rule.name.casefold(), rule.content())


def _rules(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    free = list(target.rules)
    judged: list[tuple[Rule, Rule, str, Rule | None]] = []
    for rule in sorted(source.rules, key=lambda one: one.order):
        mapped, hindrance = _mapped(rule, around)
        found = (
            None if hindrance else next((one for one in free if _same(mapped, one, around.remembered.get(rule_key(rule)))), None)
        )
        if found is not None:
            free.remove(found)
        judged.append((rule, mapped, hindrance, found))
    # Ours come after what the target's user made, so that those go on to do what they did.
    after = max((one.order for one in free), default=0)
    others = {_name(one).casefold() for one in free}
    seen: Counter[bytes] = Counter()
    for rule, mapped, hindrance, found in judged:
        key = rule_key(rule)
        seen[key] += 1
        if seen[key] > 1:
            key = digest(key, seen[key])
        yield _rule(rule, replace(mapped, order=mapped.order + after), hindrance, found, key, others, around)


def _rule(
    rule: Rule, mapped: Rule, hindrance: str, found: Rule | None, key: bytes, others: set[str], around: Surroundings
) -> Entry:
    name, state = _name(rule), "on" if rule.enabled else "off"
    known = around.remembered.get(key)
    if hindrance:
        return _listed(Kind.RULE, name, hindrance, key, state)
    wanted = rule.enabled and around.wishes.rule(rule)
    entry = Entry(kind=Kind.RULE, name=name, verdict=Verdict.THERE, key=key, state=state)
    if found is None:
        if known is not None:
            return _listed(Kind.RULE, name, "it was carried before, and the target's user has changed or removed it", key, state)
        if name.casefold() in others:
            return _listed(Kind.RULE, name, "the target has another rule of this name, which is left", key, state)
        off = _why_off(rule, wanted)
        return replace(entry, verdict=Verdict.WRITE, change=AddRule(mapped, wanted), why=off, waits=rule.enabled and not wanted)
    if found.enabled or not rule.enabled:
        return entry if found.enabled == rule.enabled else replace(entry, why="it is off at the source and on in the target")
    if wanted and not (known is not None and known.switched):
        return replace(entry, verdict=Verdict.WRITE, change=EnableRule(found))
    if known is not None and known.switched:
        return replace(entry, why="the target's user has switched it off")
    return replace(entry, why=_why_off(rule, wanted), waits=True)


def _why_off(rule: Rule, wanted: bool) -> str:
    if wanted:
        return ""
    if not rule.enabled:
        return "it is off at the source too"
    if rule.sends:
        return "it sends mail: it stays off until you name it with --enable-rule"
    return "it stays off until you say --enable-rules"


def _name(rule: Rule) -> str:
    return rule.name or "(no name)"


def _same(mapped: Rule, there: Rule, known: Remembered | None) -> bool:
    if there.untold or _name(there).casefold() != _name(mapped).casefold():
        return False
    content = there.content()
    # A server may write down what it was given in a way of its own; then what it answered at the time counts.
    return content == mapped.content() or (known is not None and known.target == there.id and known.stored == stored(content))


def stored(content: Content) -> bytes:
    """What a target made of a rule, as the ledger keeps it."""
    return digest(content)


def _mapped(rule: Rule, around: Surroundings) -> tuple[Rule, str]:
    """The rule as the target can have it, and what hinders that; empty if nothing does."""
    if rule.untold:
        return rule, f"it has {', '.join(dict.fromkeys(rule.untold))}"
    can = around.abilities
    strange = [one.test.value for one in (*rule.conditions, *rule.exceptions) if one.test not in can.tests]
    strange += [one.deed.value for one in rule.actions if one.deed not in can.deeds]
    if strange:
        return rule, f"the target has no rule that says: {', '.join(dict.fromkeys(strange))}"
    if not rule.actions:
        return rule, "it does nothing"
    repeated = [one for one, number in Counter(clause.test for clause in rule.conditions).items() if number > 1]
    if repeated:
        return rule, f"it says the same thing twice: {repeated[0].value}"
    actions = []
    for one in rule.actions:
        if one.deed in (Deed.MOVE, Deed.COPY):
            folder = around.folders.get(one.values[0] if one.values else "")
            if not folder:
                return rule, "the folder that it files into is not in the target; run the migration first"
            actions.append(Action(one.deed, (folder,)))
        else:
            actions.append(one)
    sizes = [one for one in (*rule.conditions, *rule.exceptions) if one.test is Test.SIZE]
    if any(not _sizes(one) for one in sizes):
        return rule, "it has a size that can't be read"
    return replace(rule, name=_name(rule), actions=tuple(actions)), ""


def _sizes(clause: Clause) -> bool:
    return all(value == "" or value.isdecimal() for value in clause.values) and any(clause.values)


# -- automatic replies

_SOON = timedelta(minutes=5)


def _reply(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    reply, there = source.reply, target.reply
    if reply is None or reply.empty:
        return
    key = digest(Kind.REPLY)
    known = around.remembered.get(key)
    state = reply.state.value
    if reply.state is ReplyState.SCHEDULED and reply.start and reply.end:
        state = f"scheduled from {reply.start:%Y-%m-%d %H:%M} to {reply.end:%Y-%m-%d %H:%M} UTC"
    over = reply.state is ReplyState.SCHEDULED and (reply.end is None or reply.end <= around.now)
    active = reply.state is not ReplyState.OFF and not over
    wanted = (
        _wanted(reply, around) if active and around.wishes.replies else replace(reply, state=ReplyState.OFF, start=None, end=None)
    )
    off = (
        ""
        if wanted.state is not ReplyState.OFF or reply.state is ReplyState.OFF
        else ("their time is over" if over else "they stay off until you say --enable-replies")
    )
    entry = Entry(kind=Kind.REPLY, name="texts", verdict=Verdict.THERE, key=key, state=state, why=off, waits=active and bool(off))
    if there is None:
        yield _listed(Kind.REPLY, "texts", "the target shows no automatic replies", key, state)
    elif there.says_the_same(reply):
        if _alike(there, wanted):
            yield entry
        elif there.state is not ReplyState.OFF:
            yield replace(entry, why="the target's user has switched them on", waits=False)
        elif wanted.state is not ReplyState.OFF and not (known is not None and known.switched):
            yield replace(entry, verdict=Verdict.WRITE, change=SetReply(wanted))
        elif known is not None and known.switched:
            yield replace(entry, why="the target's user has switched them off", waits=False)
        else:
            yield replace(entry, why="the target's user has chosen another audience", waits=False)
    elif not there.empty:
        yield _listed(Kind.REPLY, "texts", "the target's user has written others, which are left", key, state)
    elif known is not None:
        yield _listed(Kind.REPLY, "texts", _REMOVED, key, state)
    else:
        yield replace(entry, verdict=Verdict.WRITE, change=SetReply(wanted))


def _wanted(reply: AutomaticReply, around: Surroundings) -> AutomaticReply:
    if reply.state is ReplyState.SCHEDULED and reply.start is not None:
        # Times have to be in the future; a beginning that is over means now.
        return replace(reply, start=max(reply.start, around.now + _SOON))
    return reply


def _alike(there: AutomaticReply, wanted: AutomaticReply) -> bool:
    if there.state is not wanted.state or there.audience is not wanted.audience:
        return False
    return wanted.state is not ReplyState.SCHEDULED or there.end == wanted.end


# -- hours, zone, delivery

_FACTORY_ZONES = frozenset({"", "utc", "pacific standard time"})
"""Zones that a mailbox shows whose user never chose one."""

_FACTORY_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def _zone(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    zone, there = source.zone, target.zone or ""
    if zone:
        key = digest(Kind.ZONE, zone)
        untouched = there.casefold() in _FACTORY_ZONES
        yield _one(Kind.ZONE, zone, key, there.casefold() == zone.casefold(), untouched, SetZone(zone), around)


def _hours(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    hours, there = source.hours, target.hours
    if hours is None:
        return
    hours = replace(hours, zone=hours.zone or source.zone or "")
    name = f"{', '.join(day[:3] for day in hours.days)} {hours.start[:5]}-{hours.end[:5]} {hours.zone}".strip()
    key = digest(Kind.HOURS, hours)
    if not hours.zone:
        yield _listed(Kind.HOURS, name, "the source does not say in which time zone they are", key)
    elif not hours.days:
        yield _listed(Kind.HOURS, name, "the source names no working day", key)
    else:
        same = there is not None and replace(there, zone=there.zone.casefold()) == replace(hours, zone=hours.zone.casefold())
        untouched = there is None or (
            there.zone.casefold() in {*_FACTORY_ZONES, (source.zone or "").casefold()}
            and (there.days, there.start, there.end) == (_FACTORY_DAYS, "08:00:00", "17:00:00")
        )
        yield _one(Kind.HOURS, name, key, same, untouched, SetHours(hours), around)


def _delivery(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    delivery = source.delivery
    if delivery is None or not source.delegates:
        return
    key = digest(Kind.DELIVERY, delivery)
    if delivery not in around.abilities.deliveries:
        yield _listed(Kind.DELIVERY, delivery.value, "the target can't deliver them like this while there are delegates", key)
    else:
        untouched = target.delivery in (None, Delivery.DELEGATES)
        yield _one(Kind.DELIVERY, delivery.value, key, target.delivery is delivery, untouched, SetDelivery(delivery), around)


def _one(kind: Kind, name: str, key: bytes, same: bool, untouched: bool, change: Change, around: Surroundings) -> Entry:
    """A setting of which a mailbox has exactly one: written only over what nobody has chosen."""
    if same:
        return Entry(kind=kind, name=name, verdict=Verdict.THERE, key=key)
    if key in around.remembered:
        return _listed(kind, name, "it was carried before, and the target's user has changed it since", key)
    if not untouched:
        return _listed(kind, name, "the target's user has chosen something else, which is left", key)
    return Entry(kind=kind, name=name, verdict=Verdict.WRITE, key=key, change=change)


# -- who may do what

NAMELESS = frozenset("/\\")
"""Letters in a folder's name that no folder path of the scripts can hold."""

_NO_ADDRESS = "it is for somebody who has no address any more"


def _delegates(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    levels = _in_target(target)
    for one in source.delegates:
        key = digest(Kind.DELEGATE, one)
        name = one.address or one.name or "(unknown)"
        if not one.address:
            yield _listed(Kind.DELEGATE, name, _NO_ADDRESS, key)
            continue
        wanted = "Delegate with private items" if one.sees_private else "Delegate"
        there = one.gets_meetings and levels[_person(one.address, around)] == wanted and len(one.levels) == 1
        verdict = Verdict.THERE if there else Verdict.SCRIPTED
        yield Entry(kind=Kind.DELEGATE, name=name, verdict=verdict, key=key, state=_levels(one))


def _levels(one: Delegate) -> str:
    said = [f"{role.value}: {level}" for role, level in one.levels]
    said += ["gets meeting requests"] * one.gets_meetings + ["sees private items"] * one.sees_private
    return ", ".join(said)


def _in_target(target: Settings) -> defaultdict[str, str]:
    found: defaultdict[str, str] = defaultdict(str)
    for one in target.permissions:
        if one.place.role is Role.CALENDAR and not one.place.names:
            found[one.holder.value if one.holder is not Holder.PERSON else one.address.casefold()] = one.level
    return found


def _person(address: str, around: Surroundings) -> str:
    return around.people.get(address.casefold(), address).casefold()


def _permissions(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    levels = _in_target(target)
    for one in worth_carrying(source):
        key = digest(Kind.PERMISSION, one)
        who = one.address if one.holder is Holder.PERSON else one.holder.value
        name = f"{one.place.path}: {who}"
        if hindrance := hindrance_of(one.place):
            yield _listed(Kind.PERMISSION, name, hindrance, key, one.level)
            continue
        holder = one.holder.value if one.holder is not Holder.PERSON else _person(one.address, around)
        own_calendar = one.place.role is Role.CALENDAR and not one.place.names
        there = own_calendar and one.level not in ("Custom", "") and levels[holder] == one.level
        verdict = Verdict.THERE if there else Verdict.SCRIPTED
        yield Entry(kind=Kind.PERMISSION, name=name, verdict=verdict, key=key, state=", ".join(one.rights) or one.level)


def hindrance_of(place: Place) -> str:
    """Why no script can name a folder; empty if one can."""
    if any(NAMELESS & set(name) for name in place.names):
        return "a slash in a folder's name can't be written in a path: set it by hand"
    return ""


def worth_carrying(source: Settings) -> Sequence[Permission]:
    """The permissions that somebody set: without those that every mailbox is made with, and those that come with a delegate."""
    delegated = {(one.address.casefold(), role) for one in source.delegates for role, _ in one.levels if one.address}
    return [one for one in source.permissions if not _factory(one) and not _delegated(one, delegated)]


def _delegated(one: Permission, delegated: set[tuple[str, Role]]) -> bool:
    return one.place.role is not None and not one.place.names and (one.address.casefold(), one.place.role) in delegated


def _factory(one: Permission) -> bool:
    if one.holder is Holder.PERSON:
        return False
    own_calendar = one.place.role is Role.CALENDAR and not one.place.names
    calm = ("None", "AvailabilityOnly") if one.holder is Holder.EVERYBODY and own_calendar else ("None",)
    return one.level in calm or (one.level == "Custom" and not one.rights)


def _access() -> Entry:
    return Entry(
        kind=Kind.ACCESS,
        name="full access, send as, X.500 addresses",
        verdict=Verdict.SCRIPTED,
        key=digest(Kind.ACCESS),
        why="no wire shows them: the script collects them from the source's own shell",
    )
