"""What becomes of each setting of a mailbox, decided before anything is written; pure.

    WRITE      it will be written
    THERE      the target has it already
    LISTED     it can't go, or the target's user has something else there: why
    SCRIPTED   no interface of the target takes it silently; it goes into the PowerShell script

Nothing of the target is overwritten or removed. What was written before and is not there any more was removed by the target's
user, and stays so. A rule is written switched off; what sends mail is switched on only at the operator's word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from connectors.settings import AutomaticReply, Delivery, Kind, ReplyState, Settings
from migrator.settings.access import plan_access, plan_delegates, plan_permissions
from migrator.settings.rules import plan_rules
from migrator.settings.words import (
    REMOVED,
    AddCategory,
    Change,
    Entry,
    SetDelivery,
    SetHours,
    SetReply,
    SetZone,
    Surroundings,
    Verdict,
    digest,
    listed,
)


def plan(source: Settings, target: Settings, around: Surroundings) -> tuple[Entry, ...]:
    """What becomes of every setting, in the order in which it will be written."""
    return (
        *_categories(source, target, around),
        *plan_rules(source, target, around),
        *_reply(source, target, around),
        *_zone(source, target, around),
        *_hours(source, target, around),
        *_delivery(source, target, around),
        *plan_delegates(source, target, around),
        *plan_permissions(source, target, around),
        *(listed(one.kind, one.name, one.why, digest(one.kind, one.name, one.why)) for one in source.untold),
        plan_access(),
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


# -- categories


def _categories(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    there = {one.name.casefold(): one for one in target.categories}
    for one in source.categories:
        key = digest(Kind.CATEGORY, one.name.casefold())
        found = there.get(one.name.casefold())
        entry = Entry(kind=Kind.CATEGORY, name=one.name, verdict=Verdict.THERE, key=key)
        if found is None and key in around.remembered:
            yield listed(Kind.CATEGORY, one.name, REMOVED, key)
        elif found is None:
            yield replace(entry, verdict=Verdict.WRITE, change=AddCategory(one))
        elif found.colour != one.colour:
            yield listed(Kind.CATEGORY, one.name, "it has another colour in the target, which is left", key)
        else:
            yield entry


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
        yield listed(Kind.REPLY, "texts", "the target shows no automatic replies", key, state)
    elif there.says_the_same(reply):
        if _alike(there, wanted):
            yield replace(entry, on=wanted.state is not ReplyState.OFF)
        elif there.state is not ReplyState.OFF:
            yield replace(entry, why="the target's user has switched them on", waits=False)
        elif wanted.state is not ReplyState.OFF and not (known is not None and known.switched):
            yield replace(entry, verdict=Verdict.WRITE, change=SetReply(wanted))
        elif known is not None and known.switched:
            yield replace(entry, why="the target's user has switched them off", waits=False)
        else:
            yield replace(entry, why="the target's user has chosen another audience", waits=False)
    elif not there.empty:
        yield listed(Kind.REPLY, "texts", "the target's user has written others, which are left", key, state)
    elif known is not None:
        yield listed(Kind.REPLY, "texts", REMOVED, key, state)
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
        yield listed(Kind.HOURS, name, "the source does not say in which time zone they are", key)
    elif not hours.days:
        yield listed(Kind.HOURS, name, "the source names no working day", key)
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
        yield listed(Kind.DELIVERY, delivery.value, "the target can't deliver them like this while there are delegates", key)
    else:
        untouched = target.delivery in (None, Delivery.DELEGATES)
        yield _one(Kind.DELIVERY, delivery.value, key, target.delivery is delivery, untouched, SetDelivery(delivery), around)


def _one(kind: Kind, name: str, key: bytes, same: bool, untouched: bool, change: Change, around: Surroundings) -> Entry:
    """A setting of which a mailbox has exactly one: written only over what nobody has chosen."""
    if same:
        return Entry(kind=kind, name=name, verdict=Verdict.THERE, key=key)
    if key in around.remembered:
        return listed(kind, name, "it was carried before, and the target's user has changed it since", key)
    if not untouched:
        return listed(kind, name, "the target's user has chosen something else, which is left", key)
    return Entry(kind=kind, name=name, verdict=Verdict.WRITE, key=key, change=change)
