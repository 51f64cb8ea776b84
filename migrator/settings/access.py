"""What becomes of permissions and delegates: nearly all of it goes into a script; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from connectors.base import Role
from connectors.settings import Delegate, Holder, Kind, Permission, Place, Settings
from migrator.settings.words import Entry, Surroundings, Verdict, digest, listed

NAMELESS = frozenset("/\\")
"""Letters in a folder's name that no folder path of the scripts can hold."""

_NO_ADDRESS = "it is for somebody who has no address any more"


def plan_delegates(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    """What becomes of every delegate."""
    levels = _in_target(target)
    for one in source.delegates:
        key = digest(Kind.DELEGATE, one)
        name = one.address or one.name or "(unknown)"
        if not one.address:
            yield listed(Kind.DELEGATE, name, _NO_ADDRESS, key)
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


def plan_permissions(source: Settings, target: Settings, around: Surroundings) -> Iterable[Entry]:
    """What becomes of every permission that somebody set."""
    levels = _in_target(target)
    for one in worth_carrying(source):
        key = digest(Kind.PERMISSION, one)
        who = one.address if one.holder is Holder.PERSON else one.holder.value
        name = f"{one.place.path}: {who}"
        if hindrance := hindrance_of(one.place):
            yield listed(Kind.PERMISSION, name, hindrance, key, one.level)
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


def plan_access() -> Entry:
    """What no wire of the source shows."""
    return Entry(
        kind=Kind.ACCESS,
        name="full access, send as, X.500 addresses",
        verdict=Verdict.SCRIPTED,
        key=digest(Kind.ACCESS),
        why="no wire shows them: the script collects them from the source's own shell",
    )
