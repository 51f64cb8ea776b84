"""Whether a wave can be cut over now: go, no-go, or go without these. Pure; ``table`` has the tests of each edge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from migrator.counts import mailboxes
from migrator.cutover.table import (
    AFTER_FLIP,
    ROUTE,
    UNDER_WAY,
    WANTED,
    Position,
    approved,
    carried,
    goes_on,
    scored,
    too_early,
)
from migrator.forecast import Span, together
from state.model import ASIDE, MailboxState


class Verdict(StrEnum):
    """What the page before a cutover says on top."""

    GO = "go"
    WITHOUT = "go without these"
    NO_GO = "no-go"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mailbox on that page: what keeps it back, and which scripts nobody confirmed yet."""

    position: Position
    hindrances: tuple[str, ...]
    unconfirmed: tuple[str, ...]

    @property
    def goes(self) -> bool:
        """Whether it can be cut over now."""
        return not self.hindrances


@dataclass(frozen=True, slots=True)
class Readiness:
    """The page: the verdict, why, every mailbox in the order of its final pass, and what to know besides."""

    wave: str
    verdict: Verdict
    sentence: str
    candidates: tuple[Candidate, ...]
    remarks: tuple[str, ...]
    takes: Span | None


def readiness(
    wave: str, positions: Iterable[Position], *, stopped: str = "", at_once: int = 1, apart: int | None = None
) -> Readiness:
    """Whether a wave can be cut over. ``stopped`` says why the wave itself may not run; ``at_once`` final passes run together,
    ``apart`` of them with budgets of their own (None: all).

    Closed mailboxes and those withdrawn are left out; those that are under way already count as going.
    """
    here = [one for one in positions if one.stands is not MailboxState.CLOSED]
    away = [one for one in here if one.withdrawn]
    candidates = tuple(_candidate(one) for one in smallest_first(one for one in here if not one.withdrawn))
    going = [one for one in candidates if one.goes]
    staying = [one for one in candidates if not one.goes]
    remarks = list(_split_domains([one.position for one in going], [one.position for one in staying] + away))
    remarks += _not_yet([one.position for one in going])
    if away:
        remarks.append(f"Withdrawn, and left out here: {', '.join(one.address for one in away)}.")
    takes = together([one.position.takes for one in going if one.position.stands not in AFTER_FLIP], at_once, apart)
    if stopped:
        verdict, sentence = Verdict.NO_GO, stopped
    elif not candidates:
        verdict, sentence = Verdict.NO_GO, "There is no mailbox to cut over."
    elif not going:
        verdict, sentence = Verdict.NO_GO, f"None of {mailboxes(len(candidates))} can be cut over now; each says why."
    elif staying:
        verdict = Verdict.WITHOUT
        sentence = f"{len(going)} of {mailboxes(len(candidates))} can be cut over now, {len(staying)} can't; each says why."
    else:
        verdict, sentence = Verdict.GO, f"All of {mailboxes(len(candidates))} can be cut over now."
    return Readiness(wave, verdict, sentence, candidates, tuple(remarks), takes)


def _candidate(one: Position) -> Candidate:
    missing = tuple(step for step in WANTED if step not in one.confirmed and not (step == ROUTE and one.route == "none"))
    if one.stands in UNDER_WAY:
        return Candidate(one, tuple(filter(None, (goes_on(one),))), missing)
    if one.stands is not MailboxState.READY:
        why = " ".join(filter(None, (carried(one) or approved(one), scored(one))))
        waits = f"It is {one.stands.value}, not READY." if one.state not in ASIDE else ""
        return Candidate(one, tuple(filter(None, (goes_on(one), waits, why))), missing)
    # Whether the source is locked is not asked here: that is done once the decision is go.
    return Candidate(one, tuple(filter(None, (goes_on(one), carried(one), approved(one), scored(one)))), missing)


def _split_domains(going: Sequence[Position], staying: Sequence[Position]) -> Iterable[str]:
    """A domain has one MX record: whoever stays behind in a domain that flips gets mail where nobody looks for it."""
    flipping = {_domain(one.address) for one in going if one.route == "domain"}
    for domain in sorted(flipping):
        left = [one.address for one in staying if _domain(one.address) == domain and one.stands not in UNDER_WAY]
        if left:
            yield (
                f"The MX record of {domain} is for all of it: mail for {_some(left)} would reach the target too;"
                " give those a forward to the old side first, or flip by forward (`route`)."
            )


def _not_yet(going: Sequence[Position]) -> Iterable[str]:
    """Whoever is ready, and planned for a later moment: the decision may be taken now, the start waits."""
    for moment in sorted({one.complete_says for one in going if one.stands not in UNDER_WAY and too_early(one)}):
        named = [one.address for one in going if one.complete_says == moment]
        yield f"Not to be cut over before {moment}: {_some(named)}."


def smallest_first(positions: Iterable[Position]) -> list[Position]:
    """The order of final passes: what takes least comes first, so that most people wait the shortest; unknown ones come last."""
    return sorted(
        positions,
        key=lambda one: (one.takes is None, one.takes.most if one.takes else 0.0, one.bytes, one.address.casefold()),
    )


def _domain(address: str) -> str:
    return address.rpartition("@")[2].casefold()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
