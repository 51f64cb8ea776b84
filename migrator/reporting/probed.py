"""What probes were answered, as sentences of a report; pure. What lanes and limits follow comes first, by source build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from migrator.probe.answers import AT_ONCE, DIFFERS, IMPORT_CAP, LANE_IMPORT, NO, SHARED, YES
from migrator.reporting.facts import Saying
from state.plans import Answer

_BASE64: Final = 4 / 3
_MINUTE: Final = 60
_BY_ANSWER: Final[Mapping[tuple[str, str], str]] = {
    ("import session end", "as told"): "session-as-told",
    ("import session end", "early"): "session-early",
    ("import session end", "late"): "session-late",
    ("import twice", "two items"): "twice-two",
    ("import twice", "one item"): "twice-one",
    ("import update", YES): "update-yes",
    ("import update", NO): "update-no",
    ("import update", "without a check"): "update-unchecked",
    ("compose mail", YES): "compose-yes",
    ("compose mail", NO): "compose-no",
    ("compose mail", DIFFERS): "compose-differs",
    ("budgets shared", YES): "budgets-yes",
    ("budgets shared", NO): "budgets-no",
    (SHARED, YES): "mailboxes-yes",
    (SHARED, NO): "mailboxes-no",
    ("scope refusal", YES): "scope-yes",
    ("scope refusal", NO): "scope-no",
    ("mail sent", NO): "sent-no",
    ("removal leaves in the bin", YES): "bin-yes",
    ("removal leaves in the bin", NO): "bin-no",
}


def sayings(answers: Sequence[Answer]) -> list[Saying]:
    """Every answer that is kept, in plain sentences; one that says that nobody was asked if there is none."""
    if not answers:
        return [Saying("probe.none")]
    return [*_classes(answers), *(saying for one in answers if one.question != LANE_IMPORT for saying in _about(one))]


def _classes(answers: Iterable[Answer]) -> Iterator[Saying]:
    by_build: dict[str, list[Answer]] = {}
    for one in answers:
        if one.question == LANE_IMPORT:
            by_build.setdefault(one.build, []).append(one)
    for build, some in by_build.items():
        for key, words in (("carried", (YES,)), ("composed", (NO, DIFFERS))):
            names = [one.subject for one in some if one.answer in words]
            if names:
                yield Saying(f"probe.{key}", {"build": build or "–", "classes": ", ".join(names)})


def _about(one: Answer) -> Iterator[Saying]:
    about, number = "probe.", one.answer.rpartition(" ")[2]
    if one.question == IMPORT_CAP and number.isdigit():
        mb = int(number) / 1e6
        values = {"mb": f"{mb:g}", "item_mb": f"{mb / _BASE64:g}"}
        yield Saying(about + ("cap" if one.answer == number else "cap-none"), values)
    elif one.question == AT_ONCE and number.isdigit():
        yield Saying(about + ("at-once" if one.answer == number else "at-once-least"), {"n": int(number)})
    elif one.question == "import session life" and number.isdigit():
        yield Saying(about + "session-life", {"n": max(1, int(number) // _MINUTE)})
    elif key := _BY_ANSWER.get((one.question, one.answer)):
        yield Saying(about + key)
    else:
        yield Saying(about + "other", {"question": one.question, "answer": one.answer})
