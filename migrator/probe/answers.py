"""What probes were answered, as lanes and limits read it. Pure.

An answer about what an export stream keeps is of one source build and of the tenant that the ledger is bound to; for another
build nothing is known, and the question is open again. Answers about the target alone carry no build.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    # `status` asks for a word of this module, and has no time to load a database.
    from migrator.config import LimitsSection
    from state.plans import Answer

LANE_IMPORT = "lane import"
"""Whether the import lane carries items of a class untouched: ``yes``, ``no`` or ``differs``."""

IMPORT_CAP = "import size cap"
"""Bytes of an import request that the target refuses for their number, or ``none up to N``."""

AT_ONCE = "requests at once"
"""The most requests to one mailbox that were all answered when they left at once, or ``at least N``."""

SHARED = "mailboxes share"
"""Whether two mailboxes share what may be under way at once: ``yes`` or ``no``."""

YES, NO, DIFFERS = "yes", "no", "differs"
_WORSE = {YES: 0, DIFFERS: 1, NO: 2}

SERIES = " (series)"
"""Behind a class: the question was asked with a recurring item. A listing doesn't tell one from a single item, so that the worse
of both answers counts for the class."""

_BASE64 = 4 / 3


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one pair of servers: the answer of each item class, in lower case, and from how many bytes of a request
    on the target refuses an import for its size. ``at_once`` is the measured number of requests to one mailbox, None if none
    was refused; ``shared`` says that mailboxes share it."""

    classes: Mapping[str, str] = field(default_factory=dict)
    refused_from: float = math.inf
    at_once: int | None = None
    shared: bool = False

    @property
    def items_from(self) -> float:
        """Bytes of an item whose stream makes a request of that size."""
        return self.refused_from / _BASE64

    def answer_for(self, item_class: str) -> str:
        """The answer of this class, or else that of the nearest class above it (``IPM.Note`` is above ``IPM.Note.SMIME``); empty
        if there is none."""
        name = item_class.casefold()
        while name:
            answer = self.classes.get(name)
            if answer is not None:
                return answer
            name = name.rpartition(".")[0]
        return ""

    def shuns_import(self, item_class: str) -> bool:
        """Whether items of this class had better not be imported."""
        return self.answer_for(item_class) in (NO, DIFFERS)


NOTHING = Known()


DOCUMENTED = 4
"""Requests at once to one mailbox that are documented [learn.microsoft.com/graph/throttling-limits]."""


def slowed_by(answer: str, at: float) -> tuple[float, float] | None:
    """What an answer to AT_ONCE says about passes that began before it: since when they bring which share only; None: nothing.

    A pass that kept so many requests under way brings half as much with half as many at the worst.
    """
    fewer = answer.isdigit() and 0 < int(answer) < DOCUMENTED
    return (at, int(answer) / DOCUMENTED) if fewer else None


def narrowed(limits: LimitsSection, known: Known) -> LimitsSection:
    """The limits of the config with what was measured where that is less; nothing measured ever makes them wider."""
    at_once = limits.concurrency if known.at_once is None else min(limits.concurrency, known.at_once)
    return replace(limits, concurrency=at_once, concurrency_scope="app" if known.shared else limits.concurrency_scope)


def known_of(answers: Iterable[Answer], build: str) -> Known:
    """What the answers say about a source of this build; without a build nothing is known of its classes."""
    classes: dict[str, str] = {}
    cap, at_once, shared = math.inf, None, False
    for one in answers:
        if one.question == LANE_IMPORT and build and one.build == build:
            name = one.subject.casefold().removesuffix(SERIES)
            classes[name] = max(classes.get(name, YES), one.answer, key=lambda answer: _WORSE.get(answer, 0))
        elif one.question == IMPORT_CAP and one.answer.isdigit():
            cap = float(one.answer)
        elif one.question == AT_ONCE and one.answer.isdigit():
            at_once = max(1, int(one.answer))
        elif one.question == SHARED:
            shared = one.answer == YES
    return Known(classes, cap, at_once, shared)
