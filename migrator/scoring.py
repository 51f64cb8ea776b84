"""How good a mailbox arrived, by an open rule in a file: a grade, whether the mailbox may complete, and who must approve.

    measured   what the ledger counts about a mailbox
    rule       points for what did not go, limits of grades (configs/scoring.toml says how to write one)
    score      the grade, and a sentence that says why

``score`` is pure. A mailbox with anything still to carry gets a grade too, but may never complete.
"""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from migrator.complaints import explain
from migrator.config import BadInput
from migrator.counts import items

if TYPE_CHECKING:
    from state.model import PassRow
    from state.store import Ledger

Completes = Literal["yes", "approved", "no"]

_Points = Annotated[float, Meta(ge=0)]


class Points(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[points]``: what each thing counts for; ``reason`` has those of single reasons."""

    refused: _Points
    withheld: _Points
    unaccounted: _Points
    degraded: _Points
    reason: dict[str, _Points] = {}


class Grade(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[grade]]``: a name and its limits; None: no limit. ``by`` says who has to approve."""

    name: Annotated[str, Meta(min_length=1)]
    completes: Completes
    most: _Points | None = None
    percent: _Points | None = None
    by: str = ""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. ``version`` names the rule; it goes on record with every score."""

    version: Annotated[str, Meta(min_length=1)]
    points: Points
    grade: tuple[Grade, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the ledger counts about one mailbox. ``refused`` and ``withheld`` are by reason, approved ones included.

    ``items`` are those that the source has and the ledger knows; ``approved`` those of the refused and withheld that a person
    let stay behind, ``approved_by`` the same by who did; ``degraded`` properties that arrived in part, an item once for each,
    however often it was carried. ``read`` says whether a pass of this mailbox ever came to its end: before that nobody knows what
    there is.
    """

    items: int
    pending: int = 0
    approved_by: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    withheld: Mapping[str, int] = field(default_factory=dict)
    approved: int = 0
    degraded: int = 0
    unaccounted: int = 0
    read: bool = True

    @property
    def stayed(self) -> int:
        """Items that did not go, approved or not."""
        return sum(self.refused.values()) + sum(self.withheld.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The grade of one mailbox under the rule called ``version``. ``why`` is a sentence; ``by`` names who has to approve, if
    anybody has to."""

    grade: str
    points: float
    percent: float
    may_complete: bool
    by: str
    why: str
    version: str


NO_GRADE = "none yet"
_WAITS = "still to be carried"


def score(measured: Measured, rule: Rule) -> Score:
    """Grade a mailbox."""
    if not measured.read:
        why = "no pass of it came to its end yet"
        return Score(grade=NO_GRADE, points=0, percent=0, may_complete=False, by="", why=why, version=rule.version)
    points = _points(measured, rule.points)
    percent = 100 * points / max(1, measured.items)
    grade = next((one for one in rule.grade if _keeps(one, points, percent)), rule.grade[-1])
    named = accounts(grade.by)
    left = measured.stayed - (_by(measured.approved_by, named) if named else measured.approved)
    needs = grade.completes == "approved" and (left > 0 or measured.unaccounted > 0)
    if measured.pending:
        may, why = False, f"{items(measured.pending)} {_WAITS}"
    elif grade.completes == "no":
        may, why = False, f"a mailbox that is {grade.name} does not complete under this rule"
    elif needs and measured.unaccounted:
        may, why = False, f"{items(measured.unaccounted)} not accounted for; `migrator status --folders` says where"
    elif needs:
        who = f"{grade.by} did not approve" if named else "nobody approved yet"
        may, why = False, f"{items(left)} that did not go and {who}"
    elif not points:
        may, why = True, "everything arrived"
    elif grade.completes == "yes":
        may, why = True, "within the limits of the rule"
    else:
        may, why = True, "what did not go is approved"
    return Score(
        grade=grade.name,
        points=round(points, 3),
        percent=round(percent, 4),
        may_complete=may,
        by=grade.by if needs else "",
        why=why,
        version=rule.version,
    )


def accounts(by: str) -> frozenset[str]:
    """The accounts that a grade names (`anna@host`, as ``--who`` writes them), in small letters; none if it names an office.

    Who holds an office nobody here can know, so anybody's approval counts there, under the name of whoever gave it.
    """
    return frozenset(word.strip(".,;").casefold() for word in by.split() if "@" in word.strip(".,;@"))


def _by(approved: Mapping[str, int], named: frozenset[str]) -> int:
    return sum(number for who, number in approved.items() if who.casefold() in named)


def hindrance(one: Score) -> str:
    """Why the rule does not let a mailbox complete, with whose word it waits for; empty if it does, or if the reason is that
    passes are not through with it, which everybody else says too."""
    if one.may_complete or one.grade == NO_GRADE or one.why.endswith(_WAITS):
        return ""
    who = f"; {one.by} has to approve (`migrator errors approve --who …`)." if one.by else "."
    return f"By scoring rule {one.version} it is {one.grade}: {one.why}{who}"


def _points(measured: Measured, points: Points) -> float:
    total = measured.unaccounted * points.unaccounted + measured.degraded * points.degraded
    for counts, each in ((measured.refused, points.refused), (measured.withheld, points.withheld)):
        total += sum(number * points.reason.get(reason, each) for reason, number in counts.items())
    return total


def _keeps(grade: Grade, points: float, percent: float) -> bool:
    return (grade.most is None or points <= grade.most) and (grade.percent is None or percent <= grade.percent)


def read_rule(file: str = "") -> Rule:
    """The rule of a file, or the one that comes with the program. Raises BadInput."""
    path = Path(file) if file else packaged()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise BadInput(
            f"{path} can't be read as UTF-8 text; errors.scoring has to name a file like configs/scoring.toml."
        ) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}; correct that place.") from None
    try:
        rule = msgspec.convert(values, Rule)
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {explain(str(error), values, Rule)}.") from None
    if not rule.grade:
        raise BadInput(f"{path} has no grade; add a [[grade]] with a name and what it `completes`.")
    last = rule.grade[-1]
    if last.most is not None or last.percent is not None:
        raise BadInput(f"{path}: the last grade, {last.name}, has limits; take them out, so that every mailbox gets a grade.")
    return rule


def sentences(scores: Mapping[str, Score]) -> list[str]:
    """What a page before a cutover says of these scores, by address: how many have which grade, and who may not complete."""
    if not scores:
        return []
    version = next(iter(scores.values())).version
    grades = Counter(one.grade for one in scores.values())
    told = [f"By scoring rule {version}: {', '.join(f'{number} {grade}' for grade, number in grades.most_common())}."]
    for address, one in scores.items():
        if hindrance(one):
            told.append(
                f"{address} may not complete by that rule: {one.why}" + (f"; {one.by} has to approve." if one.by else ".")
            )
    return told


def packaged() -> Path:
    """The rule that comes with the program."""
    here = Path(__file__).resolve().parent
    return next(
        (
            folder / "scoring.toml"
            for folder in (here / "configs", here.parent / "configs")
            if (folder / "scoring.toml").is_file()
        ),
        here / "configs" / "scoring.toml",
    )


def measure(ledger: Ledger, mailbox_ids: Iterable[int] | None = None) -> dict[int, Measured]:
    """What the ledger counts, by mailbox: those named, or all."""
    from migrator.engine.conservation import last_told, off_by
    from migrator.engine.shortfall import shortfalls
    from state.model import PENDING, ItemState, PassState

    wanted = None if mailbox_ids is None else set(mailbox_ids)
    one_by_one = [None] if wanted is None or len(wanted) > 20 else sorted(wanted)
    counts: dict[int, Counter[ItemState]] = defaultdict(Counter)
    reasons: dict[int, dict[ItemState, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    approved: Counter[int] = Counter()
    approved_by: dict[int, Counter[str]] = defaultdict(Counter)
    lessened: dict[int, dict[str, int]] = {}
    for only in one_by_one:
        lessened.update(shortfalls(ledger, only))
        for mailbox_id, tally in ledger.tallies(only):
            counts[mailbox_id][tally.state] += tally.items
        for refused in ledger.refusals(only):
            reasons[refused.mailbox_id][refused.state][refused.reason] += 1
        for mailbox_id, by in ledger.approvals.approved_by(only).items():
            approved_by[mailbox_id] += by
            approved[mailbox_id] += sum(by.values())
    found = {}
    for mailbox in ledger.mailboxes():
        if wanted is not None and mailbox.id not in wanted:
            continue
        passes = ledger.passes(mailbox.id)
        mine = counts[mailbox.id]
        found[mailbox.id] = Measured(
            items=sum(number for state, number in mine.items() if state is not ItemState.GONE),
            pending=sum(mine[state] for state in PENDING),
            refused=dict(reasons[mailbox.id][ItemState.REFUSED]),
            withheld=dict(reasons[mailbox.id][ItemState.WITHHELD]),
            approved=approved[mailbox.id],
            approved_by=dict(approved_by[mailbox.id]),
            degraded=sum(lessened[mailbox.id].values()) if mailbox.id in lessened else _told(passes),
            unaccounted=off_by(last_told(passes)),
            read=any(one.state is PassState.DONE for one in passes),
        )
    return found


def _told(passes: Iterable[PassRow]) -> int:
    """What passes said that are older than the count of items: each time that one was carried."""
    return int(sum(value for one in passes for word, value in one.figures.items() if word.startswith("degraded.")))
