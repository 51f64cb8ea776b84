"""Users, faults and deaths in any order: whatever happened, clean passes end with the source's mailbox in the target.

    people   put, edit, move, copy, delete and read at the source, and its folders; use what arrived in the target
    faults   calls that fail before or after they acted, or nobody knows; listings that break off; requests carried out late
    deaths   at any step
    servers  dead cursors, a restored source whose ids are all new, and the switches of the target: what is not known of it

Deterministic by default; under ``--full`` thousands of new ones each time.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from resume_world import Hand, Killed, Late, World, lean

from connectors.base import Folder
from connectors.errors import Unavailable
from connectors.wrappers import AroundSource, Fault, FaultyDestination, FaultySource, Plan
from state.model import PassKind, PassState

WRITES = {"created", "updated", "moved", "removed", "flagged", "surplus_removed"}
LISTINGS = ("folders", "fetch", "inventory")
ROUNDS = 4
"""Clean passes after which nothing may be left to do: a folder is believed gone when two listings of the tree agree."""

SWITCHES = st.fixed_dictionaries(
    {
        "lane": st.sampled_from(["import", "compose", "auto"]),
        "page_size": st.sampled_from([1, 3, 100]),
        "keep_search_key": st.booleans(),
        "immutable_ids": st.booleans(),
        "whole_seconds": st.booleans(),
        "size_factor": st.sampled_from([0.5, 1.0, 1.1]),
        "lag": st.sampled_from([0.0, 0.0, 0.002]),
        "settle_horizon": st.just(0.003),
    }
)


def random_faults(seed: int, share: float) -> Plan:
    """A plan by chance, the same for the same seed: before, after, lost; listings also break off in the middle."""

    def plan(method: str, number: int) -> Fault | None:
        dice = random.Random(f"{seed}/{method}/{number}")
        if dice.random() >= share:
            return None
        when = dice.choice(("before", "after", "lost"))
        cut = dice.choice((None, 0, 1, 2)) if method in LISTINGS and when != "after" else None
        only = frozenset({0, 2}) if method == "write" and dice.random() < 0.5 else None
        error = Unavailable("planned fault", code="planned", did_nothing=when == "before")
        return Fault(error, when, cut, only)  # type: ignore[arg-type]

    return plan


@dataclass(frozen=True)
class _Left:
    """What the target's user left of one item: the copies that lie there, as they are."""

    copies: Counter[tuple[object, ...]]


class _Misled(AroundSource):
    """A source whose folders have other counts than they hold, or lack one."""

    def __init__(self, inner: Any, *, off: int = 0, hidden: str = "") -> None:
        super().__init__(inner)
        self._off, self._hidden = off, hidden

    def folders(self) -> Iterator[Folder]:
        for folder in self.inner.folders():
            if folder.id != self._hidden:
                yield replace(folder, total=max(0, folder.total + self._off))


class Machine(RuleBasedStateMachine):
    """One mailbox and everybody who has to do with it."""

    template: Path
    memory: Path | None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.memory))
        self.number = 0
        self.theirs: dict[str, _Left] = {}
        self.copied: set[str] = set()
        self.quiet = False
        """Nothing is open: only now is what the target's user does told from what a pass that died did."""
        self.misled = False
        """One listing lacked a folder; if two agree on that, it is believed."""

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.clean_passes()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(switches=SWITCHES, items=st.integers(0, 6), stamps=st.sampled_from(["honest", "honest", "none", "lying"]))
    def begin(self, switches: dict[str, Any], items: int, stamps: Any) -> None:
        path = shutil.copy(self.template, self.folder / "ledger.db")
        self.world = lean(World(f"sqlite:///{Path(path).as_posix()}", **switches))
        self.world.stamps = stamps
        self.kind = PassKind.SEED
        for _ in range(items):
            self._put(self.world.inbox)

    # -- what is there

    def _name(self, word: str) -> str:
        self.number += 1
        return f"{word} {self.number}"

    def _items(self) -> list[str]:
        return sorted(self.world.source.items, key=lambda one: self.world.source.items[one].content.message.subject)

    def _folders(self, own: bool = False) -> list[str]:
        return sorted(box.id for box in self.world.source.boxes.values() if not own or box.role is None)

    def _put(self, folder: str) -> None:
        self.world.source.put(folder, self._name("mail"), body="first")

    def _some(self, of: list[str], choice: int) -> str:
        return of[choice % len(of)]

    def _subject(self, item: str) -> str:
        return self.world.source.items[item].content.message.subject

    def _copies(self, subject: str) -> list[Any]:
        return [one for one in self.world.target.items.values() if one.content.message.subject == subject]

    # -- the source's people

    @rule(where=st.integers(0, 99), number=st.integers(1, 3))
    def put(self, where: int, number: int) -> None:
        for _ in range(number):
            self._put(self._some(self._folders(), where))
        self.quiet = False

    @precondition(lambda self: self.world.source.items)
    @rule(which=st.integers(0, 99), length=st.integers(0, 9))
    def edit(self, which: int, length: int) -> None:
        self.world.source.edit(self._some(self._items(), which), body=f"text {'x' * length}")

    @precondition(lambda self: self.world.source.items)
    @rule(which=st.integers(0, 99), is_read=st.booleans())
    def mark_read(self, which: int, is_read: bool) -> None:
        self.world.source.mark_read(self._some(self._items(), which), is_read)

    @precondition(lambda self: self.world.source.items)
    @rule(which=st.integers(0, 99), where=st.integers(0, 99))
    def move(self, which: int, where: int) -> None:
        self.world.source.move(self._some(self._items(), which), self._some(self._folders(), where))

    @precondition(lambda self: self.world.source.items)
    @rule(which=st.integers(0, 99), where=st.integers(0, 99))
    def copy(self, which: int, where: int) -> None:
        item = self._some(self._items(), which)
        if self._subject(item) not in self.theirs:
            self.copied.add(self._subject(item))
            self.world.source.copy(item, self._some(self._folders(), where))

    @precondition(lambda self: self.world.source.items)
    @rule(which=st.integers(0, 99))
    def delete(self, which: int) -> None:
        self.world.source.delete(self._some(self._items(), which))

    @rule(where=st.integers(0, 99), below=st.booleans())
    def add_folder(self, where: int, below: bool) -> None:
        self.world.source.add_folder(self._name("folder"), self._some(self._folders(), where) if below else None)

    @precondition(lambda self: self._folders(own=True))
    @rule(which=st.integers(0, 99))
    def rename_folder(self, which: int) -> None:
        self.world.source.rename_folder(self._some(self._folders(own=True), which), self._name("renamed"))

    @precondition(lambda self: self._folders(own=True))
    @rule(which=st.integers(0, 99))
    def move_folder_to_the_top(self, which: int) -> None:
        self.world.source.move_folder(self._some(self._folders(own=True), which), None)

    @precondition(lambda self: self._folders(own=True))
    @rule(which=st.integers(0, 99), again=st.booleans())
    def delete_folder(self, which: int, again: bool) -> None:
        folder = self._some(self._folders(own=True), which)
        name = self.world.source.boxes[folder].name
        self.world.source.delete_folder(folder)
        if again:
            self._put(self.world.source.add_folder(name))

    # -- the servers

    @rule()
    def expire_cursors(self) -> None:
        self.world.source.expire_cursors()

    @rule()
    def restore_the_source(self) -> None:
        self.world.source.restore()

    # -- the target's user

    @precondition(lambda self: self.quiet and self.world.source.items)
    @rule(which=st.integers(0, 99), how=st.sampled_from(["read", "edit", "move", "delete"]))
    def use_what_arrived(self, which: int, how: str) -> None:
        subject = self._subject(self._some(self._items(), which))
        copies = self._copies(subject)
        if len(copies) != 1 or subject in self.copied:
            return
        [copy] = copies
        target = self.world.target
        match how:
            case "read":
                target.mark_read(copy.id, not copy.content.message.is_read)
            case "edit":
                target.edit(copy.id, body="the target user's own")
            case "move":
                target.move(copy.id, self._some(sorted(target.boxes), which))
            case "delete":
                target.delete(copy.id)
        self.theirs[subject] = self._left(subject)

    def _left(self, subject: str) -> _Left:
        return _Left(
            Counter((copy.folder_id, copy.content.message.body, copy.content.message.is_read) for copy in self._copies(subject))
        )

    # -- passes

    def _pass(self, hand: Hand | None = None) -> PassState | None:
        """One pass, by whatever wraps the world just now; None: it was killed."""
        self.quiet = False
        try:
            report = self.world.run(self.kind, hand, approve_deletes=True)
        except Killed:
            return None
        finally:
            self.world.wrap_source = self.world.wrap_target = lambda inner: inner
        if report.state is PassState.DONE:
            self.kind = PassKind.DELTA
        return report.state

    @rule(seed=st.integers(0, 2**16), share=st.sampled_from([0.02, 0.1, 0.3]))
    def a_pass_with_faults(self, seed: int, share: float) -> None:
        plan = random_faults(seed, share)
        self.world.wrap_source = lambda inner: FaultySource(inner, plan)
        self.world.wrap_target = lambda inner: FaultyDestination(inner, plan)
        self._pass()

    @rule(at=st.integers(1, 160))
    def a_pass_that_is_killed(self, at: int) -> None:
        self._pass(Hand(at))

    @rule(at=st.integers(1, 160), seed=st.integers(0, 2**16))
    def a_pass_with_faults_that_is_killed(self, at: int, seed: int) -> None:
        plan = random_faults(seed, 0.1)
        self.world.wrap_source = lambda inner: FaultySource(inner, plan)
        self.world.wrap_target = lambda inner: FaultyDestination(inner, plan)
        self._pass(Hand(at))

    @rule()
    def a_pass_with_a_request_carried_out_late(self) -> None:
        held: list[Any] = []
        self.world.wrap_target = lambda inner: Late(inner, held)
        self._pass()
        for inner, write in held:
            inner.guard(lambda: True)
            inner.write([write])

    @rule(off=st.sampled_from([-2, -1, 1, 3]))
    def a_pass_that_is_told_wrong_counts(self, off: int) -> None:
        self.world.wrap_source = lambda inner: _Misled(inner, off=off)
        self._pass()

    @precondition(lambda self: not self.misled and self._folders(own=True))
    @rule(which=st.integers(0, 99))
    def a_pass_that_is_not_shown_a_folder(self, which: int) -> None:
        self.misled = True
        parents = {box.parent_id for box in self.world.source.boxes.values()}
        hidden = self._some([one for one in self._folders(own=True) if one not in parents], which)
        self.world.wrap_source = lambda inner: _Misled(inner, hidden=hidden)
        self._pass()

    @rule()
    def clean_passes(self) -> None:
        written: list[set[str]] = []
        for number in range(ROUNDS + 1):
            # What a stamp that lies hides is found when every folder is read, as is done on a schedule.
            hours = 0.0 if self.world.stamps == "lying" and not number else 24.0
            report = self.world.run(self.kind, approve_deletes=True, list_fully_hours=hours)
            assert report.state is PassState.DONE, report.cause
            self.kind = PassKind.DELTA
            written.append(WRITES & report.figures.keys())
        assert not written[-1], f"passes never come to an end: {written}"
        self.quiet, self.misled = True, False
        self._check()

    def _check(self) -> None:
        mine, arrived = (
            Counter({one: number for one, number in held.items() if one[1] not in self.theirs})
            for held in (self.world.at_source(), self.world.at_target())
        )
        assert arrived - mine == Counter(), "twice, or left behind"
        assert mine - arrived == Counter(), "lost"
        assert not {"LISTED", "INTENDED", "DOOMED", "REFUSED", "WITHHELD"} & self.world.states().keys()
        for subject, left in self.theirs.items():
            assert self._left(subject) == left, f"what the target's user did to {subject} was undone"


@pytest.mark.timeout(4 * 3600)
def test_whatever_happens_clean_passes_end_with_the_same_mailbox(
    full: bool, migrated_file: Path, tell: Callable[[str], None]
) -> None:
    Machine.template = migrated_file
    Machine.memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    examples = 3000 if full else 16
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25 if full else 15,
            derandomize=not full,
            database=None,
            deadline=None,
            print_blob=full,
            suppress_health_check=list(HealthCheck),
        ),
    )
    tell(f"{examples} stories of users, faults and deaths")
