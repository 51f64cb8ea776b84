"""``check``: asks whether everything is in place, one question at a time, and never writes.

    config, secrets, waves, ledger      on this machine
    source, target                      for each asked mailbox, by the connectors' own questions

A *no* about this machine, or one that every asked mailbox gets, concerns all (exit 5); any other only its mailbox (exit 4).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.base import Answer
from connectors.errors import WireError
from migrator.config import SECRET_KEYS, BadInput, Config
from migrator.wavefile import WaveLine
from state.model import LedgerError


@dataclass(frozen=True, slots=True)
class Gate:
    """One question answered. ``mailbox`` is empty for those that are not about one."""

    side: str
    mailbox: str
    answer: Answer

    def lines(self) -> list[str]:
        """The answer for people: a line, and one more with the mend of a *no*."""
        word = {True: "ok", False: "NO", None: "not asked"}[self.answer.ok]
        about = f" [{self.mailbox}]" if self.mailbox else ""
        lines = [f"{word:<9}  {self.side}: {self.answer.question}{about} {self.answer.sentence}".rstrip()]
        if self.answer.ok is False and self.answer.mend:
            lines.append(f"{'':<9}  {self.answer.mend}")
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
    """Both sides' questions about one mailbox."""

    def ask_source(self, mailbox: str, stop: threading.Event) -> Iterator[Answer]: ...

    def ask_target(self, mailbox: str, stop: threading.Event) -> Iterator[Answer]: ...


def local_gates(config: Config, lines: Sequence[WaveLine]) -> Iterator[Gate]:
    """What can be asked without any server but the ledger's."""
    yield Gate("here", "", Answer("Is the config in order?", True, f"{config.file} is read."))
    for key in SECRET_KEYS:
        section, _, name = key.partition(".")
        reference = getattr(getattr(config, section), name)
        if not reference:
            continue
        question = f"Is there a secret behind {key}?"
        try:
            config.secret(key)
        except BadInput as error:
            yield Gate("here", "", Answer(question, False, str(error)))
        else:
            yield Gate("here", "", Answer(question, True, f"{reference} holds one."))
    waves = len({line.wave for line in lines})
    said = f"{config.waves.file}: mailboxes {len(lines)}, waves {waves}."
    yield Gate("here", "", Answer("Is the waves file in order?", True, said))
    yield Gate("here", "", _ask_ledger(config))


def _ask_ledger(config: Config) -> Answer:
    from sqlalchemy.exc import OperationalError

    from state.store import Ledger

    question = "Is the ledger there and at this version?"
    file = config.ledger_file
    if file is not None and not file.exists():
        if not file.parent.is_dir():
            return Answer(question, False, f"{file.parent} is not there.", "Make that folder, or correct ledger.url.")
        return Answer(question, True, f"{file} will be made by the first run.")
    try:
        with Ledger.open(config.ledger.url) as ledger:
            mailboxes = len(ledger.mailboxes())
    except LedgerError as error:
        return Answer(question, False, str(error), "Run `migrator db upgrade`, or name the right ledger in ledger.url.")
    except OperationalError as error:
        return Answer(question, False, f"It does not answer ({error.orig}).", "Start the database, or correct ledger.url.")
    return Answer(question, True, f"It knows mailboxes: {mailboxes}.")


def mailbox_gates(connectors: Asked, lines: Sequence[WaveLine], stop: threading.Event) -> Iterator[Gate]:
    """Each side's questions for each mailbox, in order; ends early when ``stop`` is set."""
    for line in lines:
        for side, mailbox, ask in (
            ("source", line.source, connectors.ask_source),
            ("target", line.target, connectors.ask_target),
        ):
            if stop.is_set():
                return
            try:
                for answer in ask(mailbox, stop):
                    yield Gate(side, mailbox, answer)
            except WireError as error:
                # The connectors answer their own errors; what still comes through is a no all the same.
                yield Gate(side, mailbox, Answer("Does it answer?", False, str(error), getattr(error, "mend", "")))


def exit_code(gates: Sequence[Gate]) -> int:
    """0 all well, 5 if a *no* concerns everybody, 4 if only some mailboxes."""
    answers: dict[tuple[str, str], list[bool | None]] = defaultdict(list)
    for gate in gates:
        if gate.answer.ok is False and not gate.mailbox:
            return 5
        answers[gate.side, gate.answer.question].append(gate.answer.ok)
    wrong = [given for given in answers.values() if False in given]
    if any(all(ok is False for ok in given) for given in wrong):
        return 5
    return 4 if wrong else 0
