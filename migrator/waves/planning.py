"""Takes a waves file into the ledger: what it would change, then the change itself, whole or not at all.

    compare    the file's lines against the ledger's mailboxes ─► a change a line, and who is missing
    take_in    writes them down, with the file's hash, so that a file that nobody touched is not taken in again

A mailbox that was moved into another wave by hand stays there until the file says something new about its wave. One that the file
no longer names is never removed. A target may change as long as nothing was carried.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from migrator.waves.columns import DETAILS
from migrator.waves.file import NOT_SHARED, Mistake, WaveLine, complain
from state.model import ItemState, MailboxRow
from state.plans import Intended
from state.store import Ledger

ACT = "wave import"
EXTRA = "extra"
_SAID = "file"


class Word(StrEnum):
    """What a file does to a mailbox."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one line would do. ``sentences`` say what becomes of a known mailbox, one for each thing."""

    word: Word
    line: int
    wave: str
    source: str
    target: str
    sentences: tuple[str, ...]
    intended: Intended


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What a file would do to the ledger. ``missing`` are mailboxes of the ledger that it does not name."""

    changes: tuple[Change, ...]
    missing: tuple[MailboxRow, ...]

    def number(self, word: Word) -> int:
        """How many mailboxes it does that to."""
        return sum(one.word is word for one in self.changes)


def digest_of(file: Path) -> str:
    """What tells one state of a file from another."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def known(ledger: Ledger, file: Path, digest: str) -> bool:
    """Whether this file was the last one taken in under its path, and as it is now."""
    for act in ledger.plans.acts(what=ACT):
        if act.about.get("file") == str(file):
            return bool(act.about.get("sha256") == digest)
    return False


def compare(ledger: Ledger, lines: Sequence[WaveLine], file: object) -> Intake:
    """What taking these lines in would do. Raises BadInput with every line that can't be."""
    rows = {row.source.casefold(): row for row in ledger.mailboxes()}
    details = ledger.plans.details()
    said = {one.mailbox_id: one.about for one in ledger.plans.observed(_SAID)}
    carried = _carried(ledger)
    waves = {row.wave.casefold(): row.wave for row in rows.values()} | {name.casefold(): name for name in ledger.plans.waves()}
    targets = {row.target.casefold(): row for row in rows.values()}
    named = {line.source.casefold() for line in lines}
    mistakes: list[Mistake] = []
    changes = []
    for line in lines:
        row = rows.get(line.source.casefold())
        holder = targets.get(line.target.casefold())
        if holder is not None and holder is not row and holder.source.casefold() not in named:
            sentence = f"the target {line.target} is that of {holder.source} in the ledger; {NOT_SHARED}."
            mistakes.append(Mistake(line.line, sentence))
        wave = waves.setdefault(line.wave.casefold(), line.wave)
        if row is None:
            changes.append(_change(line, wave, Word.NEW, (), {}))
            continue
        if row.target.casefold() != line.target.casefold() and row.id in carried:
            sentence = (
                f"{row.source} is on its way to another target than this line says ({row.target}, not {line.target});"
                " put the old target back, a mailbox can't change it in the middle."
            )
            mistakes.append(Mistake(line.line, sentence))
        changes.append(_known(line, wave, row, details.get(row.id, {}), said.get(row.id, {})))
    complain(file, mistakes)
    missing = tuple(row for folded, row in rows.items() if folded not in named)
    return Intake(changes=tuple(changes), missing=missing)


def take_in(ledger: Ledger, intake: Intake, who: str, file: Path, digest: str) -> None:
    """Write down what the file wants, and that it was taken in."""
    ledger.plans.take_in([one.intended for one in intake.changes if one.word is not Word.SAME])
    new, changed = intake.number(Word.NEW), intake.number(Word.CHANGED)
    ledger.plans.act(who, ACT, file=str(file), sha256=digest, new=new, changed=changed, missing=len(intake.missing))


def _carried(ledger: Ledger) -> frozenset[int]:
    """Mailboxes whose target may hold something of ours."""
    held: Counter[int] = Counter()
    for mailbox_id, one in ledger.tallies():
        held[mailbox_id] += one.items * (one.state not in (ItemState.LISTED, ItemState.FILTERED))
    now = time.time()
    return frozenset(row.id for row in ledger.mailboxes() if row.claimed or held[row.id] or row.lease_until > now)


def _change(line: WaveLine, wave: str, word: Word, sentences: tuple[str, ...], kept: dict[str, Any], before: str = "") -> Change:
    details = kept | line.details | ({EXTRA: filled} if (filled := _filled(line)) else {})
    told = {"wave": line.wave if line.said else before or wave}
    intended = Intended(wave=wave, source=line.source, target=line.target, details=details, said=told)
    return Change(
        word=word,
        line=line.line,
        wave=wave,
        source=line.source,
        target=line.target,
        sentences=sentences,
        intended=intended,
    )


def _filled(line: WaveLine) -> dict[str, str]:
    return {heading: text for heading, text in line.extra.items() if text}


def _known(line: WaveLine, wave: str, row: MailboxRow, details: dict[str, Any], said: dict[str, Any]) -> Change:
    sentences = []
    before = str(said.get("wave", row.wave))
    if not line.said or line.wave.casefold() == before.casefold():
        if line.said and row.wave.casefold() != line.wave.casefold():
            sentences.append(f"stays in {row.wave}, where somebody moved it")
        wave = row.wave
    changed = wave != row.wave or row.target != line.target
    if wave != row.wave:
        sentences.append(f"wave {row.wave} becomes {wave}")
    if row.target != line.target:
        sentences.append(f"target {row.target} becomes {line.target}")
    # What others keep there is not the file's to take away.
    kept = {name: value for name, value in details.items() if name not in DETAILS and name != EXTRA}
    new = kept | line.details | ({EXTRA: filled} if (filled := _filled(line)) else {})
    for name in [*DETAILS, EXTRA]:
        if details.get(name) != new.get(name):
            changed = True
            sentences.append(f"{name} {_shown(details.get(name))} becomes {_shown(new.get(name))}")
    # The first file that names a mailbox which was planned without one only has to be remembered.
    fresh = said.get("wave") != line.wave and line.said
    word = Word.CHANGED if changed else Word.SAME
    return _change(line, wave, Word.CHANGED if fresh else word, tuple(sentences), kept, before)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{heading} {text}" for heading, text in value.items()) or "nothing"
    return str(value)
