"""Decides by the operator's rules where a source folder goes and which of its items stay behind. Pure: no I/O, no clock.

routes      every folder ─► kept, renamed, merged into another one, or left out
way_of      a folder and its route ─► what its items are judged by, and the fingerprint that its cursor keeps of that
Judge       an item's facts ─► LISTED, BACKFILL (old mail, carried later) or FILTERED (a rule keeps it back, by name)
left_behind a row that a person skipped ─► REFUSED under that name, whatever is new about it
sorted_step a row that is about to be LISTED ─► the same, in the state that the judge says

What the target holds already is never judged: a rule that comes later takes nothing away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from msgspec.structs import replace

from connectors.base import Facts, Folder
from connectors.reading import is_mail
from migrator.engine import plan
from migrator.engine.backfill import day_of, is_backfill
from migrator.engine.rules import FilterRule, FolderRule, day_from, fits, folded
from state.approvals import SKIPPED
from state.model import ItemState, Mark, Open, Row, Step, Work

FINGERPRINT: Final = "1"
"""What the cursor of a folder keeps that no rule concerns. Another number, and every folder is listed anew."""

AGAIN: Final = "+again"
"""Marks the fingerprint of a folder that is being listed again from nothing, over a resume too."""

NOT_YET_THERE: Final = frozenset({ItemState.LISTED, ItemState.BACKFILL, ItemState.FILTERED})
"""Rows that are judged again when a rule changes."""

_WANTED: Final = frozenset({ItemState.LISTED, ItemState.BACKFILL})


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules that hold for one mailbox. ``since``: mail from then on is required, as the spreadsheet or the config has it."""

    filters: tuple[FilterRule, ...] = ()
    folders: tuple[FolderRule, ...] = ()
    since: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a folder goes. ``rule`` is the name of the rule that says so, empty without one: it is left out (``skip``), gets
    another ``name``, or shares a place: that of the source folder ``into`` or, with ``path``, that of a folder below it (empty:
    the top)."""

    rule: str = ""
    skip: bool = False
    name: str = ""
    into: str = ""
    path: tuple[str, ...] = ()

    @property
    def merged(self) -> bool:
        """Whether the folder has no place of its own."""
        return bool(self.into or self.path)


PLAIN: Final = Route()


@dataclass(frozen=True, slots=True)
class _Bound:
    """A filter rule that covers a folder, with its days counted."""

    name: str
    classes: tuple[str, ...]
    since: date | None
    until: date | None
    most: int
    skip: bool

    def keeps_back(self, facts: Facts, size: int) -> bool:
        if self.classes and not plan.carries(self.classes, facts.item_class):
            return False
        if self.skip or 0 < self.most < size:
            return True
        if (self.since or self.until) and is_mail(facts.item_class) and (day := day_of(facts)) is not None:
            return bool((self.since and day < self.since) or (self.until and day > self.until))
        return False


@dataclass(frozen=True, slots=True)
class Judge:
    """What decides about the items of one folder. ``left_out`` is the rule that leaves out the folder itself."""

    left_out: str
    bounds: tuple[_Bound, ...]
    since: date | None

    def decide(self, facts: Facts, size: int) -> tuple[ItemState, str]:
        """Where an item stands that is not in the target yet, and the name of the rule that keeps it back."""
        if self.left_out:
            return ItemState.FILTERED, self.left_out
        for bound in self.bounds:
            if bound.keeps_back(facts, size):
                return ItemState.FILTERED, bound.name
        if self.since is not None and is_backfill(facts, self.since):
            return ItemState.BACKFILL, ""
        return ItemState.LISTED, ""


@dataclass(frozen=True, slots=True)
class Way:
    """What holds for one folder: its route, what judges its items (None: nothing does), and the fingerprint of both."""

    route: Route
    judge: Judge | None
    fingerprint: str


def names_of(folders: Sequence[Folder]) -> dict[str, tuple[str, ...]]:
    """The paths by which rules know each folder, by its id: by names from the top, and from the special folder it is or is in.

    Parents come before children, as a source lists them.
    """
    named: dict[str, tuple[str, ...]] = {}
    for folder in folders:
        above = named.get(folder.parent_id or "", ())
        name = folded(folder.name.replace("/", " "))
        paths = [f"{path}/{name}" for path in above] or [name]
        if folder.role is not None:
            paths.append(f"@{folder.role.value}")
        named[folder.id] = tuple(paths)
    return named


def routes(rules: Rules, folders: Sequence[Folder], named: Mapping[str, tuple[str, ...]]) -> dict[str, Route]:
    """Where each folder goes, by id. The first rule that names a folder counts; what lies in a folder that is left out is too.

    A folder that is merged takes its subfolders along. A special folder keeps its name, whatever a rule says.
    """
    if not rules.folders:
        return dict.fromkeys(named, PLAIN)
    by_name = {path: folder_id for folder_id, paths in named.items() for path in paths}
    found: dict[str, Route] = {}
    for folder in folders:
        rule = next((one for one in rules.folders if _names(one.folder, named[folder.id])), None)
        above = found.get(folder.parent_id or "", PLAIN)
        if rule is None:
            found[folder.id] = Route(above.rule, skip=True) if above.skip else PLAIN
        elif rule.skip:
            found[folder.id] = Route(rule.name, skip=True)
        elif rule.rename:
            found[folder.id] = PLAIN if folder.role is not None else Route(rule.name, name=rule.rename)
        else:
            found[folder.id] = _merge(rule, folder.id, by_name)
    return {folder_id: _followed(folder_id, found) for folder_id in found}


def _merge(rule: FolderRule, folder_id: str, by_name: Mapping[str, str]) -> Route:
    parts = [part.strip() for part in rule.into.split("/") if part.strip()]
    for length in range(len(parts), 0, -1):
        place = by_name.get("/".join(parts[:length]).casefold())
        if place is not None:
            rest = tuple(parts[length:])
            return PLAIN if place == folder_id and not rest else Route(rule.name, into=place, path=rest)
    return Route(rule.name, path=tuple(parts))


def _followed(folder_id: str, found: Mapping[str, Route]) -> Route:
    """The end of a chain of merges. One that leads in a circle is none."""
    route, passed = found[folder_id], {folder_id}
    while route.into and not route.path:
        if route.into in passed:
            return PLAIN
        passed.add(route.into)
        follows = found[route.into]
        if not follows.merged:
            break
        route = Route(route.rule, into=follows.into, path=follows.path)
    return route


def way_of(rules: Rules, route: Route, paths: Sequence[str], today: date) -> Way:
    """What holds for a folder that is known by these paths, on a day."""
    covering = [rule for rule in rules.filters if not rule.folders or any(_covers(one, paths) for one in rule.folders)]
    if route == PLAIN and not covering and not rules.since:
        return Way(PLAIN, None, FINGERPRINT)
    judge = None
    if route.skip or covering or rules.since:
        bounds = tuple(
            _Bound(
                rule.name,
                rule.classes,
                day_from(rule.since, today),
                day_from(rule.until, today),
                int(rule.max_mb * 1_000_000),
                rule.skip,
            )
            for rule in covering
        )
        judge = Judge(route.rule if route.skip else "", bounds, day_from(rules.since, today))
    # The words of the rules and not the days that they come to, which move on by themselves.
    told = [
        [route.rule, route.skip, route.name, route.into, route.path],
        [[one.name, one.classes, one.since, one.until, one.max_mb, one.skip] for one in covering],
        rules.since,
    ]
    mark = hashlib.blake2b(json.dumps(told).encode(), digest_size=6).hexdigest()
    return Way(route, judge, f"{FINGERPRINT}-{mark}")


def renewed(fingerprint: str, present: str) -> str | None:
    """What a cursor's fingerprint becomes once the rows of its folder are judged by the present rules; None if that can't be,
    because the folder was never listed, or not as folders are today."""
    before = fingerprint.removesuffix(AGAIN)
    if before.partition("-")[0] != FINGERPRINT:
        return None
    return present + AGAIN if fingerprint.endswith(AGAIN) else present


def sorted_step(step: Step, judge: Judge) -> Step:
    """The step; if it lists an item that is not in the target yet, with its row in the state that the judge says."""
    new, opened = step.new, step.open
    if new.state is not ItemState.LISTED or opened is None or not _is_free(new, opened):
        return step
    state, rule = judge.decide(plan.unpack_facts(opened.facts), new.size)
    if state is ItemState.LISTED:
        return step
    return Step(step.old, replace(new, state=state), replace(opened, reason=rule))


def left_behind(step: Step) -> Step:
    """The step of an item that a person left behind for good: whatever is new about it, as long as no copy of it is there."""
    new, opened = step.new, step.open
    if new.state not in _WANTED or opened is None or not _is_free(new, opened):
        return step
    return Step(step.old, replace(new, state=ItemState.REFUSED), replace(opened, reason=SKIPPED, detail="", code=""))


def judged_again(row: Row, opened: Open, judge: Judge | None) -> Step | None:
    """What a changed rule makes of a row that is not in the target yet; None: nothing."""
    if row.state not in NOT_YET_THERE or not _is_free(row, opened):
        return None
    state, rule = ItemState.LISTED, ""
    if judge is not None:
        state, rule = judge.decide(plan.unpack_facts(opened.facts), row.size)
    if state is row.state and rule == opened.reason:
        return None
    return Step(row, replace(row, state=state), replace(opened, reason=rule, detail="", code=""))


def met_again(step: Step, facts: Facts, judge: Judge | None) -> Step:
    """The step of an item that a listing from nothing met again; if the ledger had no facts to judge it by, these are they."""
    new, opened = step.new, step.open
    if opened is None or opened.facts or new.state not in NOT_YET_THERE or not _is_free(new, opened):
        return step
    told = replace(opened, facts=plan.pack_facts(facts))
    judged = judged_again(new, told, judge)
    return Step(step.old, new, told) if judged is None else Step(step.old, judged.new, judged.open)


def _is_free(row: Row, opened: Open) -> bool:
    # Of what was sent once a late copy may still turn up in the target, so it is carried to its end.
    return opened.work is Work.CREATE and row.target is None and not row.marks & Mark.REWRITTEN


def _names(pattern: str, paths: Sequence[str]) -> bool:
    return any(fits(folded(pattern), path) for path in paths)


def _covers(pattern: str, paths: Sequence[str]) -> bool:
    """Whether a pattern names a folder or one above it."""
    wanted = folded(pattern)
    return any(fits(wanted, path) or fits(wanted + "/*", path) for path in paths)
