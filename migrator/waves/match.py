"""Whether the two ends of a pair are one person: the worst accident of a migration is one person's mail in another's mailbox.

    judge     both directories' entries ─► a card: ok, not ok, or not to be told, with why; pure
    accepted  a person said that a card which is not ok is right all the same; that holds as long as both names stay as they were

What is compared are the directory's id where the spreadsheet names it, then addresses (the target has the source's), then names:
in any order, with or without accents, titles and what stands in brackets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.directory import Person

KIND = "match"
"""The kind of observation that a card is kept as."""

CODE = "other-person"
"""The code that a mailbox is held with whose two ends may be two people."""

_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"})
_TITLES = frozenset({"dr", "prof", "mr", "mrs", "ms", "herr", "frau", "jr", "sr", "ext", "extern", "external", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What both directories say of one pair. ``ok`` is None where nobody can tell; ``why`` is one sentence."""

    source: str
    target: str
    source_name: str
    target_name: str
    source_addresses: tuple[str, ...]
    target_addresses: tuple[str, ...]
    object_id: str
    ok: bool | None
    why: str

    def about(self) -> dict[str, Any]:
        """The card as it is kept with the mailbox."""
        return {
            "target": self.target,
            "source_name": self.source_name,
            "target_name": self.target_name,
            "object_id": self.object_id,
            "ok": self.ok,
            "why": self.why,
        }


def judge(source: str, target: str, here: Person | None, there: Person | None, object_id: str = "", *, untold: str = "") -> Card:
    """The card of a pair of addresses. ``object_id`` is the target's as the spreadsheet has it; ``untold`` says why the target's
    directory would not tell."""
    ok, why = (None, untold) if untold else _verdict(source, here, there, object_id)
    return Card(
        source=source,
        target=target,
        source_name=here.name if here else "",
        target_name=there.name if there else "",
        source_addresses=tuple(sorted(here.addresses)) if here else (),
        target_addresses=tuple(sorted(there.addresses)) if there else (),
        object_id=there.object_id if there else "",
        ok=ok,
        why=why,
    )


def _verdict(source: str, here: Person | None, there: Person | None, object_id: str) -> tuple[bool | None, str]:
    if there is None:
        return False, "The target's directory knows nobody of that address."
    if object_id and there.object_id != object_id.lower():
        return (
            False,
            f"The target's id in the directory is {there.object_id or 'not told'}, and the spreadsheet says {object_id}.",
        )
    if here is not None and here.addresses and source.casefold() not in here.addresses:
        return False, "The source's directory leads that address to somebody with other ones."
    if source.casefold() in there.addresses:
        return True, "The target has the source's address, too."
    if object_id:
        return True, "The target's id is the one of the spreadsheet."
    if here is None or not here.name or not there.name:
        return None, "One of the directories tells no name; look at it yourself."
    if alike(here.name, there.name):
        return True, "The names agree."
    return False, "The names differ."


def alike(one: str, other: str) -> bool:
    """Whether two display names may be one person's: all words of the shorter one are in the longer one, two at least unless one
    is all that both have."""
    return any(_within(first, second) for first in _words(one) for second in _words(other))


def _within(one: frozenset[str], other: frozenset[str]) -> bool:
    if not one or not other:
        return False
    return one == other or (min(len(one), len(other)) >= 2 and (one <= other or other <= one))


def _words(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The words of a name, with accents spelt out and with accents left out."""
    plain = re.sub(r"\(.*?\)|\[.*?\]", " ", name.casefold())
    spelt = plain.translate(_GERMAN)
    return _split(spelt), _split(plain)


def _split(text: str) -> frozenset[str]:
    bare = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return frozenset(word for word in re.findall(r"\w+", bare) if word not in _TITLES)


def fits(about: Mapping[str, Any] | None, target: str) -> bool:
    """Whether a card as it is kept is of this target; one of a target that the mailbox had before says nothing any more."""
    return about is not None and str(about.get("target", target)).casefold() == target.casefold()


def held_by(about: Mapping[str, Any] | None, target: str) -> str:
    """Why a mailbox may not run, by its card as it is kept; empty if it may, or if nobody ever looked at this target."""
    if about is None or not fits(about, target) or about.get("ok") is not False or accepted(about):
        return ""
    names = f"{about.get('source_name') or 'nobody'} and {about.get('target_name') or 'nobody'}"
    return f"The two ends may be two people ({names}): {about.get('why', '')}"


def accepted(about: Mapping[str, Any]) -> bool:
    """Whether somebody said that this card is right, as it is now."""
    said = about.get("accepted")
    return isinstance(said, dict) and said.get("names") == _names(about)


def accept(about: Mapping[str, Any], who: str, why: str) -> dict[str, Any]:
    """The card with somebody's word that it is right."""
    return {**about, "accepted": {"who": who, "why": why, "names": _names(about)}}


def kept(card: Card, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """A new card as it is kept, with the word that somebody gave for the one before."""
    return {**card.about(), **({"accepted": before["accepted"]} if before and "accepted" in before else {})}


def _names(about: Mapping[str, Any]) -> list[str]:
    return [str(about.get(key) or "") for key in ("source_name", "target_name", "object_id")]
