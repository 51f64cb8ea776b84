"""Reads a waves file: which mailbox goes where, with which wave, and what else is to be known of it.

A table (``migrator.sheets``) whose columns are those of ``migrator.waves.columns``, by their own names or those that
other tools use. Further columns are kept. What is wrong is told all at once, a sentence each that names file, line and mend.

Two mailboxes never go into one target: the mark that a target carries counts what one mailbox wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from migrator.config import BadInput
from migrator.kinds import archive_address
from migrator.sheets import Line, read_table
from migrator.waves.columns import (
    COLUMNS,
    NEEDED,
    Unfit,
    address_of,
    column_of,
    details_of,
    is_password,
    keeps_address,
    near,
    wave_name_of,
)

WAVE = "wave1"
"""The wave of a mailbox of which nobody said one."""

_TOLD = 50
"""Mistakes that are told at once."""


@dataclass(frozen=True, slots=True)
class WaveLine:
    """One mailbox of a wave. ``line`` is its number in the file, from 1; ``extra`` holds the further columns by their heading,
    ``details`` what our own columns say beyond the first three; ``said`` whether the file names the wave itself."""

    wave: str
    source: str
    target: str
    line: int
    extra: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    said: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """What is wrong on a line of a file: a whole sentence without the name of the file."""

    line: int
    sentence: str


def read_waves(file: Path, wave: str = WAVE) -> list[WaveLine]:
    """All lines, in the order of the file; ``wave`` is that of lines that name none. Raises BadInput with all that is wrong."""
    sheet = read_table(file)
    if not sheet.heading.cells:
        raise BadInput(f"{file} names no mailbox; add a line such as `wave1,anna@example.com,anna@example.com`.")
    header = _header(file, sheet.heading)
    mistakes: list[Mistake] = []
    lines = [found for line in sheet.lines if (found := _line(header, line, wave, mistakes))]
    if not lines and not mistakes:
        raise BadInput(f"{file} names no mailbox; add a line such as `wave1,anna@example.com,anna@example.com`.")
    mistakes += _twice(lines)
    mistakes += _taken(lines)
    mistakes += _circles(lines)
    complain(file, mistakes)
    return lines


def complain(file: object, mistakes: Iterable[Mistake]) -> None:
    """Raise BadInput if there are any mistakes, with a line for each, in the order of the file."""
    found = sorted(set(mistakes))
    if not found:
        return
    told = [f"{file} line {one.line}: {one.sentence}" for one in found[:_TOLD]]
    if len(found) > _TOLD:
        told.append(f"{len(found) - _TOLD} more; mend these first.")
    raise BadInput("\n".join(told))


def remarks(lines: Sequence[WaveLine]) -> list[str]:
    """What nobody has to mend, but should know: columns that are nearly ours, and so may be misspelt."""
    headings = dict.fromkeys(heading for line in lines for heading in line.extra)
    return [
        f"The column {heading} is kept as it is, and means nothing here; {meant}"
        for heading in headings
        if (meant := near(heading.replace(" ", "_"), COLUMNS))
    ]


class Planned(Protocol):
    """Anything that stands for a mailbox of a wave: a line of the file, or a row of the ledger."""

    @property
    def wave(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def target(self) -> str: ...


P = TypeVar("P", bound=Planned)


def select(lines: Sequence[P], names: Sequence[str], place: object) -> list[P]:
    """Those of the named waves and source mailboxes, in their order; all if none is named. Raises BadInput.

    ``place`` says in the message where a name was looked for.
    """
    if not names:
        return list(lines)
    wanted = {name.casefold() for name in names}
    known = {one.wave.casefold() for one in lines} | {one.source.casefold() for one in lines}
    for name in names:
        if name.casefold() not in known:
            near = difflib.get_close_matches(name.casefold(), sorted(known), n=1)
            mend = f"did you mean {near[0]}?" if near else "name a wave or a source address that is in it."
            raise BadInput(f"{place} has no wave and no mailbox called {name}; {mend}")
    return [one for one in lines if one.wave.casefold() in wanted or one.source.casefold() in wanted]


def _header(file: Path, line: Line) -> list[str]:
    """Our name of each column, or the heading itself. Raises BadInput."""
    headings = line.cells
    if secret := next((heading for heading in headings if is_password(heading)), None):
        raise BadInput(
            f"{file} line {line.number}: the column {secret} holds passwords, and none is needed here; delete that column,"
            " also in every copy of the file, and change the passwords if it was sent around."
        )
    meant = [column_of(heading) for heading in headings]
    own = {name for name, exact in meant if exact}
    names = [
        name if name and (exact or name not in own) else heading
        for heading, (name, exact) in zip(headings, meant, strict=True)
    ]  # fmt: skip
    missing = [name for name in NEEDED if name not in names]
    if missing == ["target"] and any(keeps_address(heading) for heading in headings):
        missing = []  # mailboxes that keep their address
    if missing:
        raise BadInput(
            f"{file} line {line.number}: the heading has no column {' and no column '.join(missing)};"
            " the first line has to name source and target."
        )
    folded = [name.casefold() for name in names]
    if twice := next((name for name in folded if name and folded.count(name) > 1), None):
        raise BadInput(f"{file} line {line.number}: the column {twice} is there twice; rename one of them.")
    return names


def _line(header: Sequence[str], line: Line, wave: str, mistakes: list[Mistake]) -> WaveLine | None:
    """What a line says; None if it can't be said what, and why is in the mistakes."""
    number, cells = line.number, line.cells
    if any(cells[len(header) :]):
        sentence = (
            f"{len(cells)} fields, but the heading names {len(header)}; put quotes around a field that holds the separator."
        )
        mistakes.append(Mistake(number, sentence))
        return None
    values = dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False))
    values.setdefault("target", values["source"])
    before = len(mistakes)
    for name in NEEDED:
        if not values[name]:
            mistakes.append(Mistake(number, f"{name} is empty; fill it in or take the line out."))
            continue
        try:
            values[name] = address_of(values[name])
        except Unfit as error:
            mistakes.append(Mistake(number, f"the {name} {error}."))
    said = bool(values.get("wave"))
    name = values.get("wave") or wave
    try:
        name = wave_name_of(name)
    except Unfit as error:
        mistakes.append(Mistake(number, f"a wave {error}."))
    details, wrong = details_of(values)
    mistakes += (Mistake(number, f"{name} {sentence}.") for name, sentence in wrong)
    if len(mistakes) > before and not all("@" in values[one] for one in NEEDED):
        return None
    extra = {heading: text for heading, text in values.items() if heading and heading not in COLUMNS}
    return WaveLine(name, values["source"], values["target"], number, extra, details, said)


NOT_SHARED = (
    "two mailboxes can't go into one; give each a target of its own (a shared mailbox needs no licence) and let the owner move"
    " things over afterwards, or take one out; docs/waves.md says why"
)


def _twice(lines: Sequence[WaveLine]) -> Iterator[Mistake]:
    for what, mend in (
        ("source", "take one of them out."),
        ("target", f"{NOT_SHARED}."),
    ):
        met: dict[str, int] = {}
        for one in lines:
            address: str = getattr(one, what)
            before = met.setdefault(address.casefold(), one.line)
            if before != one.line:
                yield Mistake(one.line, f"the {what} {address} is on line {before} already; {mend}")


def _taken(lines: Sequence[WaveLine]) -> Iterator[Mistake]:
    """Archives that are to go into a mailbox which something else goes into."""
    met = {one.target.casefold(): f"the target of line {one.line}" for one in lines}
    for one in lines:
        address = archive_address(one.details)
        if not address:
            continue
        if address.casefold() in met:
            mend = "name a mailbox that nothing else goes into, or a folder's name for its own target"
            yield Mistake(one.line, f"the archive is to go into {address}, {met[address.casefold()]}; {mend}.")
        met.setdefault(address.casefold(), f"where that of line {one.line} goes")


def _circles(lines: Sequence[WaveLine]) -> Iterator[Mistake]:
    """Mailboxes that go into one another: a to b and b to a."""
    ways = {one.source.casefold(): one for one in lines if one.source.casefold() != one.target.casefold()}
    told: set[str] = set()
    for first in ways:
        way, at = [first], ways[first].target.casefold()
        while at in ways and at not in way and at not in told:
            way.append(at)
            at = ways[at].target.casefold()
        if at == first:
            told.update(way)
            last = ways[way[-1]]
            route = " to ".join([*way, first])
            yield Mistake(last.line, f"{route} is a circle, each into another's mailbox; correct the targets.")
