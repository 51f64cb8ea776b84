"""The contract wrapped: DryRun writes nothing, Traced tells what is called, Faulty fails as planned. They nest in any order."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

import structlog

from connectors.base import (
    Claim,
    Destination,
    Doubt,
    Entry,
    Fetched,
    Folder,
    Identity,
    Lane,
    Limits,
    Outcome,
    Page,
    Receipt,
    Ref,
    Source,
    TargetRef,
    Unsent,
    Write,
    WriteKind,
)
from connectors.errors import Unavailable, WireError

T = TypeVar("T")

_log = structlog.get_logger("connectors.trace")


class AroundSource:
    """A Source that passes every call on to ``inner`` through ``around``, which subclasses replace."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    def around(self, method: str, call: Callable[[], T]) -> T:
        return call()

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    @property
    def offers(self) -> frozenset[Lane]:
        return self.inner.offers

    @property
    def build(self) -> str:
        return self.inner.build

    def folders(self) -> Iterator[Folder]:
        return self.around("folders", self.inner.folders)

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        return self.around("changes", lambda: self.inner.changes(folder, cursor))

    def fetch(self, refs: Sequence[Ref], lane: Lane) -> Iterator[Fetched]:
        return self.around("fetch", lambda: self.inner.fetch(refs, lane))

    def inventory(self, folder: Folder) -> Iterator[Entry]:
        return self.around("inventory", lambda: self.inner.inventory(folder))

    def figures(self) -> dict[str, float]:
        return self.inner.figures()

    def close(self) -> None:
        self.inner.close()


class AroundDestination:
    """A Destination that passes every call on to ``inner`` through ``around``, which subclasses replace."""

    def __init__(self, inner: Destination) -> None:
        self.inner = inner

    def around(self, method: str, call: Callable[[], T]) -> T:
        return call()

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    @property
    def accepts(self) -> Mapping[Lane, tuple[str, ...]]:
        return self.inner.accepts

    @property
    def largest(self) -> Mapping[Lane, int]:
        return self.inner.largest

    @property
    def movable(self) -> tuple[str, ...]:
        return self.inner.movable

    @property
    def aside(self) -> tuple[str, ...]:
        return self.inner.aside

    def guard(self, may_leave: Callable[[], bool]) -> None:
        self.inner.guard(may_leave)

    def place_folder(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        return self.around("place_folder", lambda: self.inner.place_folder(folder, parent, known, keep=keep))

    def held(self, target_id: str) -> int:
        return self.around("held", lambda: self.inner.held(target_id))

    def remove_folder(self, target_id: str) -> bool:
        return self.around("remove_folder", lambda: self.inner.remove_folder(target_id))

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        return self.around("write", lambda: self.inner.write(writes))

    def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        return self.around("find", lambda: self.inner.find(identities))

    def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        return self.around("peek", lambda: self.inner.peek(target_ids, left_in))

    def inventory(self, folder_id: str) -> Iterator[Entry]:
        return self.around("inventory", lambda: self.inner.inventory(folder_id))

    def claim(self) -> Claim | None:
        return self.around("claim", self.inner.claim)

    def stake(self, claim: Claim) -> None:
        self.around("stake", lambda: self.inner.stake(claim))

    def figures(self) -> dict[str, float]:
        return self.inner.figures()

    def close(self) -> None:
        self.inner.close()


# ---- dry


class DryRun(AroundDestination):
    """A Destination that reads what is there and writes nothing: every write succeeds with a made-up id.

    What it made up it also shows to ``peek`` and ``inventory``, as something that is there and never changed.
    """

    _MADE_UP = "dry-run-"

    def __init__(self, inner: Destination) -> None:
        super().__init__(inner)
        self._numbers = itertools.count(1)
        self._places: dict[str, str] = {}

    def place_folder(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        return known or self._new()

    def held(self, target_id: str) -> int:
        return 0 if target_id.startswith(self._MADE_UP) else self.inner.held(target_id)

    def remove_folder(self, target_id: str) -> bool:
        return True

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        future: Future[list[Outcome]] = Future()
        future.set_result([self._pretend(write) for write in writes])
        return future

    def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        places = dict(zip(target_ids, left_in or [None] * len(target_ids), strict=True))
        real = [each for each in target_ids if not each.startswith(self._MADE_UP)]
        found = dict(zip(real, self.inner.peek(real, [places[each] for each in real]) if real else (), strict=True))
        return [found[each] if each in found else TargetRef(each, self._places.get(each, "")) for each in target_ids]

    def inventory(self, folder_id: str) -> Iterator[Entry]:
        return iter(()) if folder_id.startswith(self._MADE_UP) else self.inner.inventory(folder_id)

    def stake(self, claim: Claim) -> None:
        """Nothing is staked, because nothing is written."""

    def _pretend(self, write: Write) -> Receipt:
        target_id = self._new() if write.kind is WriteKind.CREATE else write.target_id or ""
        if write.folder_id is not None:
            self._places[target_id] = write.folder_id
        return Receipt(target_id)

    def _new(self) -> str:
        return f"{self._MADE_UP}{next(self._numbers)}"


# ---- traced


class _Traced:
    """Counts calls in ``calls`` and logs each with its seconds and, if it failed, the kind and code of its error."""

    def __init__(self, inner: Any, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)  # type: ignore[call-arg]
        self.calls: Counter[str] = Counter()
        self._clock = clock

    def around(self, method: str, call: Callable[[], T]) -> T:
        self.calls[method] += 1
        began = self._clock()
        try:
            result = call()
        except Exception as error:
            self._tell(method, began, error=type(error).__name__, code=getattr(error, "code", ""))
            raise
        if isinstance(result, Future):
            result.add_done_callback(lambda future: self._answered(method, began, future))
        else:
            self._tell(method, began)
        return result

    def _answered(self, method: str, began: float, future: Future[list[Outcome]]) -> None:
        failed = future.cancelled() or future.exception() is not None
        kinds = Counter[str]() if failed else Counter(type(each).__name__.lower() for each in future.result())
        self._tell(method, began, failed=failed, **kinds)

    def _tell(self, method: str, began: float, **words: object) -> None:
        _log.debug("call", method=method, number=self.calls[method], seconds=round(self._clock() - began, 4), **words)


class TracedSource(_Traced, AroundSource):
    """A Source whose calls are counted and logged. Iterators are passed on as they are."""


class TracedDestination(_Traced, AroundDestination):
    """A Destination whose calls are counted and logged; a write when its outcomes are there, by their kinds."""


# ---- faulty


@dataclass(frozen=True, slots=True)
class Fault:
    """How one call fails. ``error`` may be any exception, also one that stands for the death of the process.

    ``when``: ``before`` the inner call acted, ``after`` it did, or ``lost``: it never acted and nobody can know.
    ``cut`` lets that many elements of a listing through first. For ``write`` a WireError becomes an outcome instead of being
    raised, for the writes whose index is in ``only`` (None: all): Unsent before; Doubt after or lost.
    """

    error: BaseException
    when: Literal["before", "after", "lost"] = "before"
    cut: int | None = None
    only: frozenset[int] | None = None


Plan: TypeAlias = Callable[[str, int], Fault | None]
"""What happens to call number n (from 1) of a method; None: nothing."""


def scripted(faults: Mapping[tuple[str, int], Fault]) -> Plan:
    """A plan by method and number of the call."""
    return lambda method, number: faults.get((method, number))


def seeded(seed: int, share: float, methods: Sequence[str] = ("changes", "fetch", "write", "find", "peek")) -> Plan:
    """A plan that lets about this share of calls fail in random ways; the same for the same seed, whatever the order of calls."""

    def plan(method: str, number: int) -> Fault | None:
        chance = random.Random(f"{seed}/{method}/{number}")  # noqa: S311 - a reproducible plan, no secret
        if method not in methods or chance.random() >= share:
            return None
        when = chance.choice(("before", "after", "lost"))
        error = Unavailable("planned fault", code="planned", did_nothing=when == "before")
        return Fault(error, cast(Literal["before", "after", "lost"], when))

    return plan


class _Faulty:
    """Fails as ``plan`` says; ``calls`` counts per method, ``hit`` lists the faults that struck."""

    def __init__(self, inner: Any, plan: Plan) -> None:
        super().__init__(inner)  # type: ignore[call-arg]
        self.calls: Counter[str] = Counter()
        self.hit: list[tuple[str, int]] = []
        self._plan = plan

    def strike(self, method: str) -> Fault | None:
        """Count a call and say how it fails."""
        self.calls[method] += 1
        fault = self._plan(method, self.calls[method])
        if fault is not None:
            self.hit.append((method, self.calls[method]))
        return fault

    def around(self, method: str, call: Callable[[], T]) -> T:
        fault = self.strike(method)
        if fault is None:
            return call()
        if fault.when != "after":
            if fault.cut is None:
                raise fault.error
            return cast(T, _cut(cast(Iterator[Any], call()), fault.cut, fault.error))
        result = call()
        if isinstance(result, Iterator):
            for _ in result:
                pass
        raise fault.error


def _cut(listing: Iterator[T], length: int, error: BaseException) -> Iterator[T]:
    yield from itertools.islice(listing, length)
    raise error


class FaultySource(_Faulty, AroundSource):
    """A Source that fails as planned."""


class FaultyDestination(_Faulty, AroundDestination):
    """A Destination that fails as planned. A write's future never fails; see ``Fault``."""

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        fault = self.strike("write")
        if fault is None:
            return self.inner.write(writes)
        error = fault.error
        if not isinstance(error, WireError):
            if fault.when == "after":
                self.inner.write(writes).result()
            raise error
        struck = {index for index in range(len(writes)) if fault.only is None or index in fault.only}
        acting = [index for index in range(len(writes)) if fault.when == "after" or index not in struck]
        answer: Outcome = Unsent(error) if fault.when == "before" else Doubt(error)
        future: Future[list[Outcome]] = Future()

        def answered(inner: Future[list[Outcome]]) -> None:
            if (bug := inner.exception()) is not None:
                future.set_exception(bug)
                return
            outcomes = dict(zip(acting, inner.result(), strict=True))
            future.set_result([answer if index in struck else outcomes[index] for index in range(len(writes))])

        self.inner.write([writes[index] for index in acting]).add_done_callback(answered)
        return future
