"""``check``: asks whether everything is in place, one question at a time, and never writes.

    config, secrets, waves, ledger      on this machine
    source, target                      by the connectors' own questions, some of them for each asked mailbox

A *no* that is not about one mailbox, or that every one of several mailboxes gets, concerns all (exit 5); any other only its
mailbox (exit 4).
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from connectors.base import Answer
from connectors.errors import WireError
from migrator.config import BadInput, Config
from migrator.probe.answers import DIFFERS, LANE_IMPORT, NO, YES
from migrator.shares import why_not
from migrator.waves.file import Planned
from state.model import LedgerError
from state.plans import Answer as Probed


@dataclass(frozen=True, slots=True)
class Gate:
    """One question answered. ``mailbox`` is empty for those that are not about one."""

    side: str
    mailbox: str
    answer: Answer

    def lines(self) -> list[str]:
        """The answer for people: a line, and one more with the mend of a *no*."""
        word = {True: "ok", False: "NO", None: "not asked"}[self.answer.ok]
        about = f" of {self.mailbox}" if self.mailbox else ""
        lines = [f"{word:<9}  {self.side}, {self.answer.question}{about}: {self.answer.sentence}".rstrip()]
        if self.answer.mend:
            lines.append(f"{'':<9}  mend: {self.answer.mend}")
        return lines

    def as_json(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "mailbox": self.mailbox or None,
            "question": self.answer.question,
            "ok": self.answer.ok,
            "sentence": self.answer.sentence,
            "mend": self.answer.mend,
        }


class Asked(Protocol):
    """Both sides' questions: those about the side itself, then those about each mailbox."""

    def ask_source(self, mailboxes: Sequence[str]) -> Iterator[Answer]: ...

    def ask_target(self, mailboxes: Sequence[str]) -> Iterator[Answer]: ...


def local_gates(config: Config, lines: Sequence[Planned]) -> Iterator[Gate]:
    """What can be asked without any server but the ledger's."""
    yield Gate("here", "", Answer("config", True, f"{config.file} is read."))
    for key in config.secret_keys:
        reference = config.text(key)
        if not reference:
            continue
        question = key
        try:
            config.secret(key)
        except BadInput as error:
            yield Gate("here", "", Answer(question, False, str(error)))
        else:
            yield Gate("here", "", Answer(question, True, f"{reference} holds one."))
    waves = len({line.wave for line in lines})
    # Without the file a run goes by the ledger alone, and so does this.
    where = config.waves.file if Path(config.waves.file).is_file() else f"{config.waves.file} is not there; the ledger has"
    said = f"{where}: mailboxes {len(lines)}, waves {waves}."
    yield Gate("here", "", Answer("waves", True, said))
    ledger = _ask_ledger(config)
    yield Gate("here", "", ledger)
    if ledger.ok and (config.ledger_file is None or config.ledger_file.exists()):
        yield Gate("here", "", _ask_probes(config))


def _ask_ledger(config: Config) -> Answer:
    from sqlalchemy.exc import OperationalError

    from state.store import Ledger

    question = "ledger"
    file = config.ledger_file
    if file is not None and (sentence := why_not(file)):
        return Answer(question, False, sentence)
    if file is not None and not file.exists():
        if not file.parent.is_dir():
            return Answer(question, False, f"{file.parent} is not there.", "Make that folder, or correct ledger.url.")
        return Answer(question, True, f"{file} will be made by the first run.")
    try:
        with Ledger.open(config.ledger.url) as ledger:
            mailboxes = len(ledger.mailboxes())
    except LedgerError as error:
        return Answer(question, False, str(error))  # which says what to do
    except OperationalError as error:
        return Answer(question, False, f"It does not answer ({error.orig}).", "Start the database, or correct ledger.url.")
    return Answer(question, True, f"It knows mailboxes: {mailboxes}.")


def _ask_probes(config: Config) -> Answer:
    """Whether a pilot was asked what the import lane carries, and of which source build."""
    from state.store import Ledger

    question = "probe"
    with Ledger.open(config.ledger.url) as ledger:
        answers = [one for one in ledger.plans.answers() if one.question == LANE_IMPORT]
    if not answers:
        sentence = "no pilot was asked which classes the import lane carries; `migrator probe --mailbox PILOT` does."
        return Answer(question, None, sentence)
    told = []
    for build in dict.fromkeys(one.build for one in answers):
        own = [one for one in answers if one.build == build]
        shunned = [one.subject for one in own if one.answer in (NO, DIFFERS)]
        composed = f", of them composed if that can be: {', '.join(shunned)}" if shunned else ""
        told.append(f"source build {build or 'not told'}, classes asked: {len(own)}{composed}.")
    return Answer(question, True, " ".join(told))


_BUILD = re.compile(r"\((\d+(?:\.\d+){3})\)")


def builds_in(gates: Sequence[Gate]) -> list[str]:
    """The builds that the source told when it was asked for its version, each once."""
    told = (_BUILD.search(gate.answer.sentence) for gate in gates if gate.side == "source" and gate.answer.question == "version")
    return list(dict.fromkeys(found.group(1) for found in told if found))


def probe_gates(gates: Sequence[Gate], answers: Sequence[Probed]) -> Iterator[Gate]:
    """Which source builds answer now of which no pilot was asked, if pilots were asked of others; never a *no*."""
    asked = {one.build for one in answers if one.question == LANE_IMPORT}
    for build in builds_in(gates) if asked else ():
        if build not in asked:
            sentence = f"{build} answers now, of which no pilot was asked; ask again with `migrator probe --mailbox PILOT`."
            yield Gate("source", "", Answer("probe", None, sentence))


def server_gates(connectors: Asked, lines: Sequence[Planned], stop: threading.Event) -> Iterator[Gate]:
    """Each side's questions, in order; ends early when ``stop`` is set."""
    for side, ask, mailboxes in (
        ("source", connectors.ask_source, [line.source for line in lines]),
        ("target", connectors.ask_target, [line.target for line in lines]),
    ):
        if stop.is_set():
            return
        try:
            for answer in ask(mailboxes):
                yield _sort(side, answer, mailboxes)
                if stop.is_set():
                    return
        except WireError as error:
            # The connectors answer what their servers say; what still comes through is a no all the same.
            yield Gate(side, "", Answer("answers", False, str(error), getattr(error, "mend", "")))


SIGHT = "meetings"


class Counts(Protocol):
    """The meetings to come of one mailbox, all and those that its owner called."""

    @property
    def future(self) -> int: ...
    @property
    def as_organiser(self) -> int: ...


def meetings_gate(
    count: Callable[[str], Counts], mailbox: str, *, lane: str, orphans: bool, probed: str = ""
) -> tuple[Gate, Counts | None]:
    """How many meetings to come would lose their attendees; never a *no*. ``orphans``: they are carried all the same.
    ``probed`` is what a probe was answered about importing appointments; empty if none was.
    """
    try:
        found = count(mailbox)
    except WireError as error:
        return Gate("source", mailbox, Answer(SIGHT, None, f"They can't be counted: {str(error).rstrip('.')}.")), None
    said = f"Meetings to come: {found.future}, called by its owner: {found.as_organiser}."
    if found.as_organiser and lane == "auto" and probed == YES:
        said += " A probe found that the import lane carries appointments of this source build whole."
    elif found.as_organiser and lane != "import":
        if lane == "auto" and probed:
            said += " A probe found that appointments of this source build have to be composed."
        said += " The compose lane " + (
            "carries those with their attendees as text alone, as run.meetings_without_attendees says."
            if orphans
            else "refuses those by name, unless run.meetings_without_attendees says otherwise; the import lane keeps them whole."
        )
    return Gate("source", mailbox, Answer(SIGHT, True, said)), found


def _sort(side: str, answer: Answer, mailboxes: Sequence[str]) -> Gate:
    """A question that begins with a mailbox's address is about that mailbox."""
    about, colon, question = answer.question.partition(": ")
    if colon and about in mailboxes:
        return Gate(side, about, replace(answer, question=question))
    return Gate(side, "", answer)


def exit_code(gates: Sequence[Gate]) -> int:
    """0 all well; 5 if a *no* concerns everybody; 4 if it concerns some mailboxes."""
    wrong = [gate for gate in gates if gate.answer.ok is False]
    if not wrong:
        return 0
    if any(not gate.mailbox for gate in wrong):
        return 5
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    refused: dict[tuple[str, str], set[str]] = defaultdict(set)
    for gate in gates:
        asked[gate.side, gate.answer.question].add(gate.mailbox)
        if gate.answer.ok is False:
            refused[gate.side, gate.answer.question].add(gate.mailbox)
    return 5 if any(len(asked[key]) > 1 and refused[key] == asked[key] for key in refused) else 4
