"""Whose names a report shows: those of the mailboxes it is about, never a third person's; with ``anonymous`` nobody's.

A hidden name is a word such as ``#3fa9c012``, the same one in every report of one ledger, so that two reports can be compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from migrator.reporting.facts import Facts, MailboxLine, Saying, Stayed, Wanted

BLOT: Final = "[…]"
"""What stands in the place of a third person's address."""

_ADDRESS: Final = re.compile(r"[^\s@<>\"'(),;:\[\]]+@[^\s@<>\"'(),;:\[\]]+")
_TOKEN: Final = re.compile(r"[\w.+-]+")


class Names:
    """Shows or hides names. ``key`` is any text of the ledger's own; ``ours`` are the addresses that a report is about."""

    def __init__(self, ours: Iterable[str], people: Iterable[str], key: str, *, anonymous: bool) -> None:
        self.anonymous = anonymous
        self._key = key.encode()[:64]
        self._ours = {one.casefold() for one in ours}
        self._people = sorted({one for one in people if len(one) > 2}, key=len, reverse=True) if anonymous else []
        self._local = {one.partition("@")[0] for one in self._ours} if anonymous else set()

    def name(self, text: str) -> str:
        """A name, or the word for it."""
        if not self.anonymous or not text:
            return text
        return f"#{hashlib.blake2b(text.casefold().encode('utf-8', 'replace'), key=self._key, digest_size=4).hexdigest()}"

    def text(self, text: str) -> str:
        """A sentence without third persons' addresses; with ``anonymous`` without any name that is known."""
        if "@" in text:
            text = _ADDRESS.sub(self._address, text)
        if self.anonymous:
            for one in self._people:
                text = text.replace(one, self.name(one))
            text = _TOKEN.sub(lambda found: self.name(found[0]) if found[0].casefold() in self._local else found[0], text)
        return text

    def _address(self, found: re.Match[str]) -> str:
        return self.name(found[0]) if self.anonymous or found[0].casefold().rstrip(".") in self._ours else BLOT


def names_of(facts: Facts, *, anonymous: bool = False) -> Names:
    """The names of a report, before they are hidden."""
    ours = [address for line in facts.mailboxes for address in (line.source, line.target)]
    people = [
        *(line.owner for line in facts.mailboxes),
        *(one.who for one in facts.approvals),
        *(one.who for one in facts.events),
    ]
    return Names(ours, people, facts.installation, anonymous=anonymous)


def veiled(facts: Facts, *, anonymous: bool = False) -> Facts:
    """The same facts as they may be shown."""
    names = names_of(facts, anonymous=anonymous)
    return replace(
        facts,
        mailboxes=[_line(names, line) for line in facts.mailboxes],
        stayed=[hidden(names, one) for one in facts.stayed],
        left_alone=[hidden(names, one) for one in facts.left_alone],
        approvals=[replace(one, who=names.name(one.who), why=names.text(one.why)) for one in facts.approvals],
        waiters=[replace(one, mailbox=names.name(one.mailbox)) for one in facts.waiters],
        late=[replace(one, host=names.name(one.host)) for one in facts.late],
        events=[
            replace(one, who=names.name(one.who), mailbox=names.name(one.mailbox), why=names.text(one.why))
            for one in facts.events
        ],
        wanted=[_wanted(names, one) for one in facts.wanted],
    )


def _line(names: Names, line: MailboxLine) -> MailboxLine:
    if not names.anonymous:
        return replace(line, cause=names.text(line.cause)) if "@" in line.cause else line
    return replace(
        line,
        source=names.name(line.source),
        target=names.name(line.target),
        owner=names.name(line.owner),
        ticket=names.name(line.ticket),
        cause=names.text(line.cause),
    )


def hidden(names: Names, one: Stayed) -> Stayed:
    """An item that did not go, as it may be shown."""
    return replace(one, mailbox=names.name(one.mailbox), folder=names.name(one.folder), detail=names.text(one.detail))


def _wanted(names: Names, one: Wanted) -> Wanted:
    values: Mapping[str, object] = {
        word: names.name(str(value)) if word in ("mailbox", "target") else names.text(value) if isinstance(value, str) else value
        for word, value in one.saying.values.items()
    }
    return replace(one, saying=Saying(one.saying.key, values), who=names.name(one.who))
