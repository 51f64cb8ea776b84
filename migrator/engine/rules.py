"""The operator's rules about folders and items as the config writes them, and what is wrong with them. Pure.

    [[mapping.rules]]   a folder goes elsewhere: ``rename``, ``into`` another folder, or ``skip``
    [[filters.rules]]   items stay behind: older, younger, larger, or of a class

Every rule has a name: what it keeps back is listed and counted under it. ``waves`` are those that it holds for; empty: all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

_AGO = re.compile(r"(\d{1,5})\s*d", re.IGNORECASE)

ROLES = (
    "inbox", "drafts", "sentitems", "deleteditems", "junkemail", "outbox", "calendar", "contacts", "tasks", "notes", "journal",
    "conversationhistory", "archive",
)  # fmt: skip
"""Special folders as rules name them, with an @ before: @inbox. Their names depend on the mailbox's language."""

_LONGEST = 60
_SOME_DAY = date(2026, 1, 1)
_Name = Annotated[str, Meta(min_length=1)]


class FilterRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[filters.rules]]``: of the items in ``folders`` with one of ``classes`` (empty: all), those before ``since``, after
    ``until`` and above ``max_mb`` stay behind; with ``skip`` all of them do. Days concern mail alone."""

    name: _Name
    folders: tuple[_Name, ...] = ()
    classes: tuple[_Name, ...] = ()
    since: str = ""
    until: str = ""
    max_mb: Annotated[float, Meta(ge=0)] = 0.0
    skip: bool = False
    waves: tuple[_Name, ...] = ()


class FolderRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[mapping.rules]]``: what becomes of the folders that ``folder`` names; one of ``rename``, ``into`` and ``skip``."""

    name: _Name
    folder: _Name
    rename: str = ""
    into: str = ""
    skip: bool = False
    waves: tuple[_Name, ...] = ()


_Rule = TypeVar("_Rule", FilterRule, FolderRule)


class BadRule(Exception):
    """A rule or a day is wrong. ``key`` names where it stands; the message is the rest of the sentence, with the mend."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


def day_from(text: str, today: date) -> date | None:
    """The day that ``2026-01-31`` or ``90d`` (that many days before ``today``) means; None if the text is empty.

    Raises BadRule.
    """
    text = text.strip()
    if not text:
        return None
    if found := _AGO.fullmatch(text):
        return today - timedelta(days=min(int(found[1]), (today - date.min).days))
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRule("is no date; write one such as 2026-01-31, or a number of days such as 90d") from None


def folded(path: str) -> str:
    """A path or pattern as it is compared: without regard to case and to slashes at its ends."""
    return "/".join(part.strip() for part in path.split("/") if part.strip()).casefold()


def fits(pattern: str, path: str) -> bool:
    """Whether a pattern names exactly this path, both as ``folded`` gives them. ``*`` stands for anything, slashes too."""
    if "*" not in pattern:
        return pattern == path
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), path, re.DOTALL) is not None


def hold_for(rules: Sequence[_Rule], wave: str) -> tuple[_Rule, ...]:
    """Those of the rules that hold for a wave, in their order; case does not count."""
    return tuple(rule for rule in rules if not rule.waves or wave.casefold() in map(str.casefold, rule.waves))


def check_rules(filters: Sequence[FilterRule], folders: Sequence[FolderRule], required_since: str = "") -> None:
    """Raise BadRule for the first thing that is wrong."""
    _check_day(required_since, "run.required_since")
    seen: dict[str, str] = {}
    named = [(f"mapping.rules[{at}]", rule.name) for at, rule in enumerate(folders)]
    named += [(f"filters.rules[{at}]", rule.name) for at, rule in enumerate(filters)]
    for key, name in named:
        if name != name.strip() or len(name) > _LONGEST or not name.isprintable():
            raise BadRule(f"is no name; write up to {_LONGEST} characters on one line, without spaces at the ends", f"{key}.name")
        if (before := seen.setdefault(name.casefold(), key)) != key:
            raise BadRule(f"is the name of {before} too; give each rule a name of its own", f"{key}.name")
    for at, rule in enumerate(filters):
        _check_filter(f"filters.rules[{at}]", rule)
    for at, one in enumerate(folders):
        _check_folder(f"mapping.rules[{at}]", one)
    _check_chains(folders)


def _check_day(text: str, key: str) -> None:
    try:
        day_from(text, _SOME_DAY)
    except BadRule as error:
        raise BadRule(str(error), key) from None


def _check_filter(key: str, rule: FilterRule) -> None:
    for word in ("since", "until"):
        _check_day(getattr(rule, word), f"{key}.{word}")
    for at, pattern in enumerate(rule.folders):
        _check_pattern(pattern, f"{key}.folders[{at}]")
    bounds = [word for word in ("since", "until", "max_mb") if getattr(rule, word)]
    if rule.skip and bounds:
        raise BadRule(f"keeps everything back, so {bounds[0]} beside it means nothing; take one of them out", f"{key}.skip")
    if not rule.skip and not bounds:
        raise BadRule("keeps nothing back; give since, until, max_mb or skip = true, or take the rule out", key)
    if rule.skip and not rule.folders and not rule.classes:
        raise BadRule("would keep back every item of every mailbox; name folders or classes", key)
    since, until = day_from(rule.since, _SOME_DAY), day_from(rule.until, _SOME_DAY)
    if since and until and since > until and rule.since[-1:].isdigit() == rule.until[-1:].isdigit():
        raise BadRule("is later than until, so that no mail is left between them; exchange them", f"{key}.since")


def _check_folder(key: str, rule: FolderRule) -> None:
    _check_pattern(rule.folder, f"{key}.folder")
    given = [word for word in ("rename", "into", "skip") if getattr(rule, word)]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise BadRule(f"has {found}; give exactly one of rename, into and skip", key)
    if rule.rename:
        if "/" in rule.rename or not rule.rename.strip():
            raise BadRule("is no name of one folder; leave out slashes, and use into for another place", f"{key}.rename")
        if folded(rule.folder).rpartition("/")[2].startswith("@"):
            raise BadRule("is a special folder, which the target names itself; use into or skip", f"{key}.folder")
    if rule.into:
        if "*" in rule.into:
            raise BadRule("has a * in it; name one folder", f"{key}.into")
        _check_pattern(rule.into, f"{key}.into")


def _check_pattern(pattern: str, key: str) -> None:
    parts = folded(pattern).split("/")
    if parts == [""]:
        raise BadRule("names no folder; write a path such as Inbox/Projects, or @inbox", key)
    for at, part in enumerate(parts):
        if part.startswith("@") and at:
            raise BadRule("has a special folder below another one; begin with it", key)
        if part.startswith("@") and part[1:] not in ROLES:
            raise BadRule(f"names no special folder; there are {', '.join('@' + role for role in ROLES)}", key)


def _check_chains(folders: Sequence[FolderRule]) -> None:
    """No folder comes back to itself, and none goes into one that is left out, as far as the rules alone can tell."""
    for at, rule in enumerate(folders):
        if not rule.into:
            continue
        key, path, passed = f"mapping.rules[{at}].into", folded(rule.into), [folded(rule.folder)]
        if path == passed[0]:
            raise BadRule("is the folder itself; name another one, or take the rule out", key)
        while True:
            follows = next((one for one in folders if fits(folded(one.folder), path) and _meet(one, rule)), None)
            if follows is None or follows.rename or (follows is rule and "*" in rule.folder):
                break
            if follows.skip:
                raise BadRule(
                    f"is a folder that the rule {follows.name} leaves out; name another one, or take that rule out", key
                )
            passed.append(path)
            path = folded(follows.into)
            if path in passed:
                raise BadRule(f"leads in a circle, by way of the rule {follows.name}; end it at one folder", key)


def _meet(one: FolderRule, other: FolderRule) -> bool:
    """Whether there can be a wave that two rules hold for."""
    mine, theirs = ({wave.casefold() for wave in rule.waves} for rule in (one, other))
    return not mine or not theirs or not mine.isdisjoint(theirs)
