"""The cutover of a mailbox as a table: which edges there are, what must be true to take one, and the way back.

    READY ─lock─► LOCKED ─final─► FINAL ─route─► ROUTED ─sweep─► SWEEPING ─close─► CLOSED
      ▲             │               │              │                │  └─backfill─► BACKFILLING ─close─┘
      └─ SYNCING ◄──┴── withdrawn ──┘              │                │                    │
            ▲───────────────────────────── rolled back ─────────────┴────────────────────┘

Everything here is a pure function of a ``Position``, which is all that is known of one mailbox at one moment. Whoever acts asks
``hindrances`` first; each is one sentence with its mend. PAUSED, HELD and FAILED count as the state that they came from, but no
edge is taken out of them before a pass or a person has put the mailbox back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from migrator.counts import items
from migrator.forecast import Span, duration
from state.model import ASIDE, MailboxState, PassKind, stands

SWEEP_MINUTES = 15.0
"""Between two sweeps, where the wave says nothing."""

SWEEP_HOURS = 72.0
"""How long late mail is collected, where the wave says nothing."""

TTLS = 2.0
"""Late mail is collected for so many lives of the old routing record at least, whatever the wave says."""

LOCK, ROUTE, PERMISSIONS, RULES, ADDRESSES = "lock", "route", "permissions", "rules", "addresses"
UNLOCK, FORWARDS, HOLDS, REVOKE = "unlock", "forwards", "holds", "revoke"
DONE, FAILED, UNDONE = "done", "failed", "undone"
"""What can be confirmed of a step."""

ROUTES = ("domain", "forward", "none")
"""How the mail of a mailbox flips: with its domain's MX record, by a forward at the source, or not at all."""

STEPS = (LOCK, ROUTE, PERMISSIONS, RULES, ADDRESSES, UNLOCK, FORWARDS, HOLDS, REVOKE)
"""What people do outside of this program, by the names of the kit's scripts."""

WANTED = (LOCK, ROUTE, PERMISSIONS, RULES, ADDRESSES)
"""Those that a cutover wants; the others belong to its way back and to its close."""

QUESTIONS: Mapping[str, str] = {
    "forwards": "Are the forwards that led from the old side to the new one removed, or who keeps them, and until when?",
    "holds": "Are the locks, litigation holds and quotas that were set for this migration taken off again?",
    "rights": "Are the rights of the service account at the source taken away, and the app in the tenant revoked?",
    "readers": "Who read which mailbox and when is listed with this; to whom was that list handed?",
    "old-side": "Which hosts still deliver to the old side, and who changes them? (`none` if there are none)",
    "ledger": "Where does the ledger go, who may read it there, and on which day is it deleted?",
}
"""What has to be answered before a wave is closed, by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """All that is known of one mailbox at one moment, as far as its cutover asks. Times are wall-clock seconds.

    ``pending`` counts what is still to carry before cutover, ``backfill`` what may follow after it. ``refused`` counts what
    can't go and nobody approved. ``behind`` is how long ago the last clean pass began, None without one. ``locked``, ``routed``
    are when that was confirmed; ``final`` when the last clean final pass began, ``swept`` when the last clean sweep did.
    ``answered`` holds the keys of ``QUESTIONS`` that the wave has answers to. ``score`` says why the scoring rule does not let it
    complete, in a sentence; empty if it does or was not asked. It is not to be cut over before ``complete_after``, which
    ``complete_says`` as it was planned, with its zone.
    """

    mailbox_id: int
    address: str
    target: str
    state: MailboxState
    came_from: MailboxState | None = None
    cause: str = ""
    pending: int = 0
    backfill: int = 0
    refused: int = 0
    bytes: int = 0
    behind: float | None = None
    takes: Span | None = None
    confirmed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    route: str = "domain"
    locked: float | None = None
    final: float | None = None
    routed: float | None = None
    swept: float | None = None
    sweep_until: float | None = None
    withdrawn: bool = False
    answered: frozenset[str] = frozenset()
    score: str = ""
    complete_after: float | None = None
    complete_says: str = ""
    now: float = 0.0

    @property
    def stands(self) -> MailboxState:
        """The state that counts: where it came from while it is PAUSED, HELD or FAILED."""
        return stands(self.state, self.came_from)


def route_of(details: Mapping[str, Any]) -> str:
    """How new mail of a mailbox is to reach the target: ``domain`` unless the spreadsheet says otherwise."""
    route = str(details.get("route") or "").casefold()
    return route if route in ROUTES else ROUTES[0]


Test = Callable[[Position], str]
"""Empty if it holds, else one sentence that says what is missing and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One step of a cutover. ``back`` is the state that undoing it leads to, None if nothing does; ``way_back`` says how."""

    name: str
    came: MailboxState
    to: MailboxState
    tests: tuple[Test, ...]
    back: MailboxState | None
    way_back: str


# -- what must be true


def goes_on(one: Position) -> str:
    """That it is not set aside."""
    if one.state in ASIDE:
        return f"It is {one.state.value}: {one.cause or 'no cause is known.'}"
    return ""


def carried(one: Position) -> str:
    """That nothing is left to carry before its cutover."""
    if one.pending:
        return f"{items(one.pending)} still to carry; `migrator run {one.address}` carries them."
    return ""


def approved(one: Position) -> str:
    """That whatever can't go stays behind by somebody's word."""
    if one.refused:
        return (
            f"{items(one.refused)} can't go and nobody approved that;"
            f" `migrator errors list {one.address}` has them, `migrator errors approve` lets them stay behind."
        )
    return ""


def scored(one: Position) -> str:
    """That the scoring rule lets it complete."""
    return one.score


def too_early(one: Position) -> str:
    """Why it is not to be cut over yet, by the clock alone; empty once its time has come. A person may go ahead of it."""
    if one.complete_after is None or one.now >= one.complete_after:
        return ""
    return f"It is not to be cut over before {one.complete_says}; `--early` with a reason behind `--why` does so all the same."


def _locked(one: Position) -> str:
    if LOCK in one.failed:
        return "The script that locks the source failed for it; see the script's result file, mend the cause, run it again."
    if LOCK not in one.confirmed:
        return (
            "Its source is not confirmed to be locked; run the kit's script, then `migrator kit import`,"
            " or say it with `migrator cutover confirm`."
        )
    return ""


def _final_since_lock(one: Position) -> str:
    if one.final is None or (one.locked is not None and one.final < one.locked):
        return "No clean final pass began after its source was locked; `migrator cutover start` runs it."
    return ""


def _routed(one: Position) -> str:
    if ROUTE in one.failed:
        return "The script that routes its mail failed for it; see the script's result file, mend the cause, run it again."
    if ROUTE not in one.confirmed:
        return (
            "Its mail is not confirmed to go to the target; run the kit's script or change the MX record, then"
            " `migrator kit import` or `migrator cutover confirm`."
        )
    return ""


def _swept_once(one: Position) -> str:
    if one.swept is None or (one.routed is not None and one.swept < one.routed):
        return f"No clean sweep began after its mail was routed; `migrator run {one.address}` is one."
    return ""


def _swept_out(one: Position) -> str:
    if one.sweep_until is None:
        return "Nobody knows since when its mail is routed; `migrator cutover confirm` says it."
    if one.now < one.sweep_until:
        return f"Late mail is collected for another {duration(one.sweep_until - one.now)}."
    if one.swept is None or one.swept < one.sweep_until:
        return f"No clean sweep began after the time for late mail was over; `migrator run {one.address}` is one."
    return ""


def _backfill_left(one: Position) -> str:
    return "" if one.backfill else "Nothing older is left to carry, so it can be closed at once."


def _backfilled(one: Position) -> str:
    if one.backfill:
        return f"{items(one.backfill)} of its older part still to carry; `migrator run {one.address}` goes on with them."
    return ""


def _answered(one: Position) -> str:
    missing = [key for key in QUESTIONS if key not in one.answered]
    return f"Not answered yet: {', '.join(missing)}; `migrator cutover close` asks." if missing else ""


_UNLOCK = "Run the kit's unlock script"
_BACK_TO_SYNC = f"`migrator cutover start --without ADDRESS` withdraws it. {_UNLOCK}; its deltas go on."
_BACK_TO_SOURCE = (
    f"`migrator cutover rollback`: put routing back, {_UNLOCK.lower()}, and hand its owner what reached the target since;"
    " nothing is written to the source."
)

EDGES: tuple[Edge, ...] = (
    Edge(
        name="lock", came=MailboxState.READY, to=MailboxState.LOCKED, tests=(goes_on, carried, approved, scored, _locked),
        back=MailboxState.SYNCING, way_back=_BACK_TO_SYNC,
    ),
    Edge(
        name="final", came=MailboxState.LOCKED, to=MailboxState.FINAL,
        tests=(goes_on, _locked, _final_since_lock, carried, approved),
        back=MailboxState.SYNCING, way_back=_BACK_TO_SYNC,
    ),
    Edge(
        name="route", came=MailboxState.FINAL, to=MailboxState.ROUTED, tests=(goes_on, _final_since_lock, _routed),
        back=MailboxState.SYNCING, way_back=_BACK_TO_SOURCE,
    ),
    Edge(
        name="sweep", came=MailboxState.ROUTED, to=MailboxState.SWEEPING, tests=(goes_on, _swept_once),
        back=MailboxState.SYNCING, way_back=_BACK_TO_SOURCE,
    ),
    Edge(
        name="backfill", came=MailboxState.SWEEPING, to=MailboxState.BACKFILLING,
        tests=(goes_on, _swept_out, carried, _backfill_left),
        back=MailboxState.SYNCING, way_back=_BACK_TO_SOURCE,
    ),
    Edge(
        name="close", came=MailboxState.SWEEPING, to=MailboxState.CLOSED,
        tests=(goes_on, _swept_out, carried, approved, _backfilled, _answered),
        back=None, way_back="None: rights are gone by then. What is found later is a migration of its own.",
    ),
    Edge(
        name="close", came=MailboxState.BACKFILLING, to=MailboxState.CLOSED,
        tests=(goes_on, carried, approved, _backfilled, _answered),
        back=None, way_back="None: rights are gone by then. What is found later is a migration of its own.",
    ),
)  # fmt: skip
"""Every step of a cutover, in their order."""

BEFORE_FLIP = frozenset({MailboxState.LOCKED, MailboxState.FINAL})
"""Withdrawn from here, a mailbox goes back to SYNCING and nobody has to hand over anything."""

AFTER_FLIP = frozenset({MailboxState.ROUTED, MailboxState.SWEEPING, MailboxState.BACKFILLING})
"""Rolled back from here, mail has reached the target that the source never had."""

UNDER_WAY = BEFORE_FLIP | AFTER_FLIP


def routed_early(one: Position) -> bool:
    """Whether its mail goes to the target although its source is not even locked: somebody ran a script too soon."""
    return ROUTE in one.confirmed and one.stands not in UNDER_WAY and one.stands is not MailboxState.CLOSED


def edge(name: str, came: MailboxState) -> Edge:
    """The edge of that name out of that state. Raises LookupError if there is none."""
    for one in EDGES:
        if (one.name, one.came) == (name, came):
            return one
    raise LookupError(f"no edge {name} leads out of {came.value}")


def next_edge(one: Position) -> Edge | None:
    """The edge that the mailbox wants to take next; None before READY and after CLOSED."""
    outward = [way for way in EDGES if way.came is one.stands]
    if len(outward) > 1:
        return next(way for way in outward if (way.name == "backfill") == bool(one.backfill))
    return outward[0] if outward else None


def hindrances(way: Edge, one: Position) -> tuple[str, ...]:
    """Why the mailbox may not take that edge now, a sentence each; empty if it may."""
    if one.stands is not way.came:
        return (f"It is {one.state.value}, and this step begins at {way.came.value}.",)
    return tuple(sentence for test in way.tests if (sentence := test(one)))


def kind_of_pass(state: MailboxState) -> PassKind | None:
    """Which pass a mailbox of that state gets: None for one that is closed or set aside."""
    if state in (MailboxState.PLANNED, MailboxState.SEEDING):
        return PassKind.SEED
    if state in (MailboxState.SYNCING, MailboxState.READY):
        return PassKind.DELTA
    if state in BEFORE_FLIP:
        return PassKind.FINAL
    return PassKind.SWEEP if state in AFTER_FLIP else None


def sweep_until(routed: float, ttl: float, hours: float | None) -> float:
    """Until when late mail is collected: as the wave says, 72 hours if it does not, and twice the old TTL at least."""
    return routed + max((SWEEP_HOURS if hours is None else hours) * 3600, TTLS * ttl)
