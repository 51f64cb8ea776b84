"""Gives every source folder its place in the target, as the operator's rules have it, and holds rows against rules that changed.

    ways_of      what the rules say of each folder
    place        parents first; a folder that is merged shares the place of another one, one that is left out gets none
    judge_again  rows that are not in the target yet are judged by the present rules; the folder's fingerprint moves last

A merge that comes, changes or goes after a folder was carried takes along what is in the target already, as moves; not after
cutover.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from connectors.base import Entry, Folder, Role, item_key
from connectors.errors import MailboxBlocked
from migrator.engine import plan
from migrator.engine.crew import Crew
from migrator.engine.mapping import (
    AGAIN,
    NOT_YET_THERE,
    PLAIN,
    Route,
    Rules,
    Way,
    judged_again,
    names_of,
    renewed,
    routes,
    way_of,
)
from migrator.engine.rules import hold_for
from state.model import ItemState, Mark, Open, Row, Step, Work

PLACE_KEPT = "place-kept"
"""Reason of an item that stayed where it was when a rule gave its folder another place: its class can't be moved."""

_AT_ONCE = 500


def ways_of(crew: Crew, sources: Mapping[int, Folder]) -> dict[int, Way]:
    """What the rules say of each folder, by the ledger's numbers; empty if there are no rules."""
    settings = crew.settings
    since = str(crew.ledger.plans.details_of(crew.lease.mailbox_id).get("since") or "") or settings.required_since
    if not (settings.filter_rules or settings.folder_rules or since):
        return {}
    wave = crew.ledger.mailbox(crew.lease.mailbox_id).wave
    rules = Rules(hold_for(settings.filter_rules, wave), hold_for(settings.folder_rules, wave), since)
    folders = list(sources.values())
    named = names_of(folders)
    found = routes(rules, folders, named)
    today = datetime.fromtimestamp(crew.clock(), UTC).date()
    return {number: way_of(rules, found[folder.id], named[folder.id], today) for number, folder in sources.items()}


def place(crew: Crew, sources: Mapping[int, Folder], settled: Collection[int], *, keep: bool) -> frozenset[str]:
    """Give every folder its place, parents first. ``settled`` ones are where they belong and are not looked at.

    With ``keep`` a folder that has a place stays as it is: its name and place are its owner's by now. Raises MailboxBlocked
    (``mapping``) if a rule can't be followed. Returns the places that a rule took away from a folder: once their items have
    moved, they may be empty.
    """
    placing = _Placing(crew, sources, settled, keep)
    for number in sources:
        placing.place(number)
    return frozenset(placing.left)


class _Placing:
    def __init__(self, crew: Crew, sources: Mapping[int, Folder], settled: Collection[int], keep: bool) -> None:
        self._crew = crew
        self._sources = sources
        self._settled = settled
        self._keep = keep
        self._numbers = {folder.id: number for number, folder in sources.items()}
        self._sharing = Counter(row.target_id for number, row in crew.folders.items() if number in sources)
        self._done: dict[int, str | None] = {}
        self._replaced: set[str | None] = set()
        self._under_way: set[int] = set()
        self.left: set[str] = set()

    def place(self, number: int) -> str | None:
        """The folder's place, after that of what it depends on; each is placed once."""
        if number in self._done:
            return self._done[number]
        self._under_way.add(number)
        crew, folder, row = self._crew, self._sources[number], self._crew.folders[number]
        above = self._numbers.get(folder.parent_id or "")
        parent = None if above is None or above in self._under_way else self.place(above)
        target = row.target_id
        if number not in self._settled or folder.parent_id in self._replaced:
            crew.halt_if_asked()
            target = self._placed(number, folder, parent)
        if target is not None and target != row.target_id:
            if row.target_id is not None and self._by_rule(number) and not self._keep:
                _take_along(crew, number, folder)
                self.left.add(row.target_id)
                # CRASH WINDOW: rows want to move, and the new place is not written down
            crew.guard_lease()
            crew.ledger.place_folder(crew.lease, row.id, target)
            crew.folders[number] = replace(row, target_id=target)
            self._replaced.add(folder.id)
            crew.count("folders")
        self._under_way.discard(number)
        self._done[number] = target
        return target

    def _placed(self, number: int, folder: Folder, parent: str | None) -> str | None:
        crew, known = self._crew, self._crew.folders[number].target_id
        way = crew.ways.get(number)
        route = PLAIN if way is None else way.route
        if (self._keep and known is not None and route != PLAIN) or route.skip:
            return known
        if route.merged:
            return self._shared(folder, route)
        if route.name:
            folder = dataclasses.replace(folder, name=route.name)
        if known is not None and self._sharing[known] > 1 and self._by_rule(number):
            known = None  # it shared the place of another folder, which a rule does not ask for any more
        return crew.destination.place_folder(folder, parent, known, keep=self._keep)

    def _shared(self, folder: Folder, route: Route) -> str:
        """The place that a folder shares with others: that of a source folder, or one that is made in the target."""
        crew, place = self._crew, None
        if route.into:
            number = self._numbers[route.into]
            other = self._sources[number]
            if not route.path and family(other.kind) != family(folder.kind):
                raise _blocked(
                    route, f"puts {folder.name} ({folder.kind}) into {other.name} ({other.kind})", "folders of one kind"
                )
            place = None if number in self._under_way else self.place(number)
            if place is None:
                raise _blocked(route, f"puts {folder.name} into {other.name}, which has no place in the target", "another folder")
        made = "rule"
        for at, name in enumerate(route.path):
            made += f"/{name}"
            role = Role(name[1:].casefold()) if name.startswith("@") and not place else None
            kind = folder.kind if at == len(route.path) - 1 else "IPF.Note"
            place = crew.destination.place_folder(Folder(made, None, name, kind, role), place, None, keep=self._keep)
        if place is None:
            raise LookupError("a merge leads nowhere")
        return place

    def _by_rule(self, number: int) -> bool:
        """Whether the rules of this folder are others than when its feed was last read."""
        before = self._crew.folders[number].fingerprint.removesuffix(AGAIN)
        return before != self._crew.fingerprint(number)


def family(kind: str) -> str:
    """What kind of things a folder holds, by its class."""
    word = kind.casefold().removeprefix("ipf").strip(".").partition(".")[0]
    return "note" if word in ("", "imap") else word


def _blocked(route: Route, what: str, instead: str) -> MailboxBlocked:
    return MailboxBlocked(
        f"the rule {route.rule} in [mapping] {what}",
        code="mapping",
        side="target",
        mend=f"name {instead} in that rule, or take it out, and run again",
    )


def _take_along(crew: Crew, folder_id: int, folder: Folder) -> None:
    """Let everything of a folder that is in the target already want to move to the folder's new place.

    Asks the source for its ids once more, because the ledger keeps none of what is done.
    """
    for entries in plan.chunks(crew.source.inventory(folder), _AT_ONCE):
        crew.halt_if_asked()
        met = {item_key(entry.id): entry for entry in entries}
        rows = crew.ledger.rows(crew.lease.mailbox_id, list(met))
        opened = crew.ledger.opens(crew.lease.mailbox_id, list(met))
        mine = ((row, opened.get(key), met[key]) for key, row in rows.items() if row.folder_id == folder_id)
        steps = [step for one in mine if (step := _moved(crew, *one)) is not None]
        if steps:
            crew.ledger.settle(crew.lease, steps)


def _moved(crew: Crew, row: Row, opened: Open | None, entry: Entry) -> Step | None:
    if row.target is None or row.marks & Mark.TARGET_WINS:
        return None
    facts = plan.pack_facts(entry.facts)
    if row.state is ItemState.LISTED and opened is not None and opened.work in (Work.UPDATE, Work.FLAG):
        return Step(row, row, replace(opened, work=Work.MOVE, reason=plan.CHANGED_SINCE))
    if row.state is not ItemState.DONE:
        return None
    if plan.carries(crew.destination.movable, entry.facts.item_class):
        return Step(row, replace(row, state=ItemState.LISTED), Open(item_id=entry.id, work=Work.MOVE, facts=facts))
    detail = "A rule gave its folder another place after it was carried, and its class can't be moved."
    kept = Open(item_id=entry.id, facts=facts, reason=PLACE_KEPT, detail=detail)
    return Step(row, replace(row, marks=row.marks | Mark.TARGET_WINS), kept)


def judge_again(crew: Crew, sources: Collection[int]) -> None:
    """Judge by the present rules what is not in the target yet, in folders whose cursor knows other ones.

    A folder that was never listed, or whose rows lack the facts, keeps its old fingerprint and is listed again.
    """
    stale: dict[int, str] = {}
    for number, known in crew.folders.items():
        present = crew.fingerprint(number)
        if (
            number in sources
            and known.fingerprint.removesuffix(AGAIN) != present
            and (new := renewed(known.fingerprint, present))
        ):
            stale[number] = new
    if not stale:
        return
    for state in sorted(NOT_YET_THERE):
        for pairs in plan.chunks(crew.ledger.waiting(crew.lease.mailbox_id, state, Work.CREATE), _AT_ONCE):
            crew.halt_if_asked()
            steps: list[Step] = []
            for row, opened in pairs:
                if row.folder_id not in stale:
                    continue
                if not opened.facts:
                    del stale[row.folder_id]
                    continue
                way = crew.ways.get(row.folder_id)
                if (step := judged_again(row, opened, way.judge if way else None)) is not None:
                    steps.append(step)
            if steps:
                crew.ledger.settle(crew.lease, steps)
                crew.count("judged_again", len(steps))
            # CRASH WINDOW: some rows judged by the present rules, the fingerprint still the old one
    for number, fingerprint in stale.items():
        known = crew.folders[number]
        crew.ledger.record_page(
            crew.lease,
            number,
            [],
            cursor=known.cursor,
            fingerprint=fingerprint,
            complete=known.complete,
            generation=known.generation,
            stamp=known.change_stamp,
        )
        crew.folders[number] = replace(known, fingerprint=fingerprint)
