"""A small world for the core: a source in memory, a target in memory, a real ledger, and a hand that can kill at any step."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Literal

from connectors.base import Doubt, Role, WriteKind
from connectors.errors import Unavailable
from connectors.memory import MemoryMailbox, MemorySource
from connectors.memory_destination import MemoryDestination
from connectors.memory_target import MemoryTarget
from migrator.config import PassSettings
from migrator.engine.passes import Job, PassReport, run_pass
from migrator.engine.tenure import Tenure
from state.model import PassKind
from state.store import Ledger


class Killed(BaseException):
    """The process died here; no handler of the program may live on."""


class Hand:
    """Counts steps and kills at one of them; once dead, everything it guards is dead."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.steps, self.dead = at, 0, False
        self.names: Counter[str] = Counter()
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        with self._lock:
            if self.dead:
                raise Killed
            self.steps += 1
            self.names[name] += 1
            if self.steps == self.at:
                self.dead = True
                raise Killed


class Guarded:
    """Another object with a step before and after each of the methods named."""

    def __init__(self, inner: Any, hand: Hand, methods: tuple[str, ...]) -> None:
        self._inner, self._hand, self._methods = inner, hand, methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._methods:
            if callable(found) and self._hand.dead:
                raise Killed
            return found

        def call(*args: Any, **named: Any) -> Any:
            self._hand.step(f"before {name}")
            answer = found(*args, **named)
            self._hand.step(f"after {name}")
            return answer

        return call


LEDGER_STEPS = (
    "begin_pass", "end_pass", "next_round", "record_folders", "place_folder", "record_page", "intend", "settle", "rekey",
    "claimed", "distrust_stamps",
)  # fmt: skip
TARGET_STEPS = ("place_folder", "remove_folder", "write", "stake")
SOURCE_STEPS = ("changes",)

SETTINGS = PassSettings(lane="auto", max_deletes=100, max_delete_share=0.05, settle_horizon=0.0, lease=300.0)


class World:
    """One mailbox on its way. ``run`` is one pass by a new process: fresh connectors, fresh lease."""

    def __init__(self, url: str, *, lane: str = "auto", page_size: int = 4, settle_horizon: float = 0.0, **switches: Any) -> None:
        self.url, self.lane, self.page_size, self.switches = url, lane, page_size, switches
        self.settle_horizon = settle_horizon
        self.stamps: Literal["honest", "none", "lying"] = "honest"
        self.source = MemoryMailbox()
        self.target = MemoryTarget()
        self.inbox = self.source.special(Role.INBOX)
        self._runs = itertools.count(1)
        self.wrap_source: Callable[[MemorySource], Any] = lambda source: source
        self.wrap_target: Callable[[MemoryDestination], Any] = lambda target: target
        with Ledger.open(url) as ledger:
            self.mailbox_id = ledger.plan_mailbox("wave", "anna@source.example", "anna@target.example").id

    def run(self, kind: PassKind = PassKind.DELTA, hand: Hand | None = None, **settings: Any) -> PassReport:
        number = next(self._runs)
        hand = hand or Hand()
        with Ledger.open(self.url) as ledger:
            # A process that died keeps its lease for a while; this one comes long after that.
            lease = ledger.lease(self.mailbox_id, f"process {number}", 300.0, now=time.time() + number * 1000)
            return run_pass(
                Job(
                    ledger=Guarded(ledger, hand, LEDGER_STEPS),
                    tenure=Tenure(ledger, lease, 300.0, 100.0, time.time()),
                    source=Guarded(
                        self.wrap_source(MemorySource(self.source, page_size=self.page_size, stamps=self.stamps)),
                        hand,
                        SOURCE_STEPS,
                    ),
                    destination=Guarded(self.wrap_target(MemoryDestination(self.target, **self.switches)), hand, TARGET_STEPS),
                    kind=kind,
                    settings=replace(SETTINGS, lane=self.lane, settle_horizon=self.settle_horizon, **settings),
                    stop=threading.Event(),
                )
            )

    def states(self) -> dict[str, int]:
        """Rows by state, counted one by one."""
        with Ledger.open(self.url) as ledger:
            counts: Counter[str] = Counter()
            for tally in ledger.recount(self.mailbox_id):
                counts[tally.state.name] += tally.items
            kept: Counter[str] = Counter()
            for _, tally in ledger.tallies(self.mailbox_id):
                kept[tally.state.name] += tally.items
            assert +kept == +counts, "the sums beside the rows differ from the rows"
            return dict(+counts)

    def at_source(self) -> Counter[tuple[object, ...]]:
        """What the source holds: folder, subject, text, read flag."""
        names = {folder_id: box.name for folder_id, box in self.source.boxes.items()} | {self.inbox: "Inbox"}
        return Counter(
            (names[one.folder_id], one.content.message.subject, one.content.message.body, one.content.message.is_read)
            for one in self.source.items.values()
        )

    def at_target(self) -> Counter[tuple[object, ...]]:
        """The same of the target."""
        names = {folder_id: box.name for folder_id, box in self.target.boxes.items()}
        names[self.target.special(Role.INBOX)] = "Inbox"
        return Counter(
            (names[one.folder_id], one.content.message.subject, one.content.message.body, one.content.message.is_read)
            for one in self.target.items.values()
        )

    def copy_of(self, subject: str) -> Any:
        """The one target item with that subject."""
        [found] = [one for one in self.target.items.values() if one.content.message.subject == subject]
        return found


def done(answer: list[Any]) -> Future[list[Any]]:
    future: Future[list[Any]] = Future()
    future.set_result(answer)
    return future


def lean(world: World) -> World:
    """Leave the source nothing but its inbox: what happens in one more empty folder is known already."""
    for folder_id in list(world.source.boxes):
        if folder_id != world.inbox:
            del world.source.boxes[folder_id]
    return world


def furnished(url: str, **options: Any) -> World:
    world = World(url, **options)
    projects = world.source.add_folder("Projects")
    for number in range(6):
        world.source.put(world.inbox, f"mail {number}", body=f"text {number}")
    world.source.put(projects, "plan", body="first")
    twin = world.source.put(projects, "twin", body="same")
    world.source.copy(twin, projects)
    world.projects = projects  # type: ignore[attr-defined]
    return world


def id_of(world: World, subject: str) -> str:
    return next(item_id for item_id, one in world.source.items.items() if one.content.message.subject == subject)


class Late:
    """A destination whose first create is given up; ``held`` gets it, for a test to carry it out later."""

    def __init__(self, inner: Any, held: list[Any]) -> None:
        self._inner, self._held = inner, held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, writes: Any) -> Any:
        if self._held or writes[0].kind is not WriteKind.CREATE:
            return self._inner.write(writes)
        self._held.append((self._inner, writes[0]))
        return done([Doubt(Unavailable("no answer in time")), *self._inner.write(writes[1:]).result()])


class Poisoned:
    """A source that breaks down over one item, whoever its neighbours are, for as long as it is asked."""

    def __init__(self, inner: Any, poison: str) -> None:
        self._inner, self._poison = inner, poison

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fetch(self, refs: Any, lane: Any) -> Any:
        if any(ref.id == self._poison for ref in refs):
            raise Unavailable("timed out")
        return self._inner.fetch(refs, lane)
