"""A hostile wire: what can go wrong between a program and the lab's two faces, by name, scripted or by chance.

A scripted fault strikes once (or ``times``) at the n-th request of its kind. A seeded plan strikes a share of all requests; which
of them depends on the seed and the request's number alone, and of the kinds that fit, the one that struck least comes next. A
kind that fits few requests does not wait for chance the first time, so that even a short run meets every one. Whatever strikes
is counted by name. What is done to the wires is in ``fault_wires``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .truth import seeded_bytes


class Face(StrEnum):
    """Which wire."""

    EWS = "ews"
    GRAPH = "graph"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. ``fits`` finds the requests that it can strike, by what is asked; ``acts``: the server carries the
    request out before it fails (all requests of the Exchange face read, so there it makes no difference). ``seeded``: it is in
    the mix of a seeded plan; the others take a mailbox away and are for scripts alone."""

    name: str
    face: Face
    acts: bool
    seeded: bool
    sentence: str
    fits: str = ""

    @property
    def rare(self) -> bool:
        """Whether few requests can meet it."""
        return self.fits not in ("", _OWN)


_E, _G = Face.EWS, Face.GRAPH
_BATCH, _IMPORT, _UPLOAD = r"POST \$batch$", r"POST importItem$", r"PUT AttachmentSessions$"
_SYNC, _LOTS = r"SyncFolderItems", r"(ExportItems|GetItem)$"
_OWN = r"(?!POST importItem$|(PUT|GET|DELETE) AttachmentSessions$)"
"""Whatever goes to Graph's own host, with a token."""

KINDS: tuple[Kind, ...] = (
    Kind("ews-reset", _E, False, True, "The connection is reset before there is an answer."),
    Kind("ews-cut", _E, True, True, "The connection ends in the middle of an answer, whose length was told."),
    Kind("ews-503", _E, False, True, "A bare 503 of a proxy, without a SOAP body."),
    Kind("ews-slow", _E, True, True, "The answer takes its time."),
    Kind("ews-truncated-xml", _E, True, True, "The document ends before its end, and HTTP says that it is whole.", _LOTS),
    Kind("ews-truncated-sync", _E, True, True, "The same, with the new sync state in the part that came.", _SYNC),
    Kind(
        "ews-truncated-data", _E, True, True, "`=== Truncated Data ===` stands in place of the rest of a stream.", r"ExportItems$"
    ),
    Kind("ews-truncated-end", _E, True, True, "The answer breaks off with `=== Truncated Data ===`.", _LOTS),
    Kind("ews-answer-missing", _E, True, True, "One answer of a batch is missing.", _LOTS),
    Kind("ews-answer-too-many", _E, True, True, "A batch has one answer too many.", _LOTS),
    Kind("ews-illegal-characters", _E, True, True, "Characters that XML forbids, as references and as bytes."),
    Kind("ews-stale-sync-state", _E, False, True, "The sync state means nothing any more.", _SYNC + " after state$"),
    Kind("ews-busy", _E, False, True, "ErrorServerBusy as a SOAP fault with BackOffMilliseconds."),
    Kind("ews-busy-item", _E, True, True, "ErrorServerBusy for one item of many.", _LOTS),
    Kind("ews-401", _E, False, True, "A connection that was signed in is not any more, and can't be again."),
    Kind("ews-moving", _E, False, False, "ErrorMailboxMoveInProgress: the mailbox moves between servers."),
    Kind("ews-mailbox-vanishes", _E, False, False, "ErrorNonExistentMailbox: the mailbox is not there for a while."),
    Kind("graph-reset-before", _G, False, True, "The connection is reset before the server acted."),
    Kind("graph-reset-after", _G, True, True, "The connection is reset after the server acted."),
    Kind("graph-cut", _G, True, True, "The connection ends in the middle of an answer, whose length was told."),
    Kind("graph-429-whole", _G, False, True, "429 with Retry-After in whole seconds."),
    Kind("graph-429-fraction", _G, False, True, "429 with a fraction of a second as Retry-After."),
    Kind("graph-429-absent", _G, False, True, "429 without Retry-After."),
    Kind("graph-503-later", _G, False, True, "503 with Retry-After."),
    Kind("graph-503", _G, False, True, "A bare 503, nothing done."),
    Kind("graph-500", _G, True, True, "A bare 500 after the server acted."),
    Kind("graph-502", _G, True, True, "A bare 502: the gateway lost the answer."),
    Kind("graph-504", _G, True, True, "504 after the server acted."),
    Kind("graph-slow", _G, True, True, "The answer takes its time."),
    Kind("graph-401", _G, False, True, "The access token ends before its time.", _OWN),
    Kind("graph-import-401", _G, False, True, "The import address has expired: 401.", _IMPORT),
    Kind("graph-import-404", _G, False, True, "The import address has expired: 404.", _IMPORT),
    Kind("graph-import-410", _G, False, True, "The import address has expired: 410.", _IMPORT),
    Kind("graph-upload-cut", _G, True, True, "The connection is reset after a part of an upload was taken.", _UPLOAD),
    Kind("graph-upload-gone", _G, False, True, "The upload session is over in the middle: 404.", _UPLOAD),
    Kind("graph-upload-401", _G, False, True, "The address of an upload has expired in the middle: 401.", _UPLOAD),
    Kind("graph-token-in-upload", _G, True, True, "Every access token ends while an upload is under way.", _UPLOAD),
    Kind("graph-batch-missing", _G, True, True, "A batch is carried out, and one part of the answer is missing.", _BATCH),
    Kind("graph-batch-504", _G, True, True, "A batch is carried out, and one part is answered with 504.", _BATCH),
    Kind(
        "graph-quota", _G, False, False, "The mailbox is full.", _IMPORT + r"|POST users/(mailFolders/)?(messages|attachments)$"
    ),
    Kind("graph-mailbox-vanishes", _G, False, False, "The mailbox is not there for a while.", r"\w+ users/"),
)
"""Every kind there is."""

BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}


class NoSuchFault(ValueError):
    """A plan names a kind that is not there, or a number that makes no sense; one sentence."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted fault: ``kind`` strikes the ``nth`` request that fits it, and as many after that as ``times`` says.

    ``asked`` is a pattern for what is asked, besides what the kind itself needs: ``ExportItems``, ``POST users/messages``. A
    request to which the kind can't be done (one answer missing of one) is passed by, and the fault stays due.
    """

    kind: str
    asked: str = ""
    nth: int = 1
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """What is to go wrong. ``share`` of all requests (0 to 1) are struck by chance, by ``kinds`` (empty: all seeded ones).

    ``slow`` is how long a slow answer takes, and ``wait`` what a busy server names, in seconds. Raises NoSuchFault.
    """

    script: tuple[Fault, ...] = ()
    share: float = 0.0
    seed: int = 1
    kinds: tuple[str, ...] = ()
    slow: float = 0.2
    wait: float = 0.2

    def __post_init__(self) -> None:
        for name in (*self.kinds, *(fault.kind for fault in self.script)):
            if name not in BY_NAME:
                raise NoSuchFault(f"there is no fault called {name}")
        if not 0 <= self.share <= 1:
            raise NoSuchFault("the share of faults lies between 0 and 1")
        if any(fault.nth < 1 or fault.times < 1 for fault in self.script):
            raise NoSuchFault("a fault strikes the first request at the earliest, and once at the least")
        for fault in self.script:
            try:
                re.compile(fault.asked)
            except re.error:
                raise NoSuchFault(f"{fault.asked!r} is no pattern") from None


def read_plan(given: Mapping[str, Any]) -> FaultPlan:
    """A plan from JSON. Raises NoSuchFault."""
    try:
        script = tuple(Fault(**fault) for fault in given.get("script") or ())
        more = {name: given[name] for name in ("share", "seed", "slow", "wait") if name in given}
        return FaultPlan(script=script, kinds=tuple(given.get("kinds") or ()), **more)
    except (TypeError, AttributeError):
        raise NoSuchFault("the plan is not understood") from None


@dataclass(slots=True)
class _Due:
    """A scripted fault and how far it is."""

    fault: Fault
    met: int = 0
    struck: int = 0
    tried: int = 0
    """Requests that it is being done to at this moment; it must not strike more of them than it may."""

    @property
    def over(self) -> bool:
        return self.struck >= self.fault.times


@dataclass(slots=True)
class Strike:
    """One kind that may be done to one request: ``done`` has to be called if it was, and ``leave`` in any case."""

    kind: Kind
    number: int
    _faults: Faults
    _due: _Due | None = None
    _done: bool = False

    def done(self) -> None:
        """Count it; harmless twice. Where a client can see it happen, it has to be counted before."""
        if self._done:
            return
        self._done = True
        self._faults.struck[self.kind.name] += 1
        if self._due is not None:
            self._due.struck += 1

    def leave(self) -> None:
        """The request is over, whatever became of it."""
        if self._due is not None:
            self._due.tried -= 1


@dataclass(slots=True)
class Faults:
    """The plan at work: which faults a request may meet, and a count of what struck, by kind. Used on the lab's loop; another
    thread may arm it and read the count."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    struck: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    _script: list[_Due] = field(default_factory=list)
    _rare: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.arm(self.plan)

    def arm(self, plan: FaultPlan) -> None:
        """Follow another plan from now on; counts go on."""
        self._script = [_Due(fault) for fault in plan.script]
        self.plan = plan

    def disarm(self) -> None:
        """Let nothing go wrong any more."""
        self.arm(FaultPlan())

    def due(self) -> list[str]:
        """Scripted faults that have not struck as often as they are to."""
        return [due.fault.kind for due in self._script if not due.over]

    def meet(self, face: Face, asked: str) -> list[Strike]:
        """What may be done to this request, the first choice first; at most one of them is to be done. Counts the request."""
        self.asked[face] += 1
        number = self.asked[face]
        strikes = [Strike(BY_NAME[due.fault.kind], number, self, due) for due in self._scripted(face, asked)]
        if not strikes and self.plan.share > 0:
            fitting = [kind for kind in self._mix(face) if re.match(kind.fits, asked)]
            if not self._by_chance(face, number):
                # Every other one at most: a request that is asked again has to come through.
                self._rare[asked] += 1
                fitting = [kind for kind in fitting if kind.rare and not self.struck[kind.name] and self._rare[asked] % 2 == 0]
            fitting.sort(key=lambda kind: (self.struck[kind.name], seeded_bytes(self.plan.seed, kind.name, number)))
            strikes = [Strike(kind, number, self) for kind in fitting]
        return strikes

    def _scripted(self, face: Face, asked: str) -> Iterator[_Due]:
        for due in self._script:
            kind = BY_NAME[due.fault.kind]
            if due.over or kind.face is not face or not re.match(kind.fits, asked) or not re.search(due.fault.asked, asked):
                continue
            due.met += 1
            if due.met >= due.fault.nth and due.struck + due.tried < due.fault.times:
                due.tried += 1
                yield due

    def _by_chance(self, face: Face, number: int) -> bool:
        plan = self.plan
        return plan.share > 0 and int.from_bytes(seeded_bytes(plan.seed, face, number, length=6)) < plan.share * 2**48

    def _mix(self, face: Face) -> Iterator[Kind]:
        named = self.plan.kinds
        return (kind for kind in KINDS if kind.face is face and (kind.name in named if named else kind.seeded))
