"""The catalogue of errors: every exit code, reason and code, with what it means, what is done and what can be done about it.

The page is written from the tables that the engine acts by and from ``migrator.errors.advice``; nothing is said in two places:

    python -m migrator.errors.catalogue --write docs/errors.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.ews import classify as exchange
from connectors.graph import classify as graph
from migrator.errors.advice import CODES, OF_ITEMS, OF_MORE, REASONS, Advice, advice


@dataclass(frozen=True, slots=True)
class Entry:
    """One code: what it means, what the engine does, what the operator can do. ``reason`` may be empty."""

    code: str
    reason: str
    meaning: str
    engine: str
    operator: str


EXCHANGE_DOES: Final[Mapping[exchange.Meaning, str]] = {
    exchange.Meaning.THROTTLED: "waits as long as asked, then asks again",
    exchange.Meaning.UNAVAILABLE: "asks again, later and later; in the end the pass is PAUSED",
    exchange.Meaning.STALE: "lists the folder again from its beginning",
    exchange.Meaning.GONE: "leaves it; the next listing tells where it went",
    exchange.Meaning.REFUSED: "refuses this item by name and goes on",
    exchange.Meaning.BLOCKED: "holds this mailbox; the others go on",
    exchange.Meaning.HALT: "stops the run",
    exchange.Meaning.BUG: "never tries it again; the mailbox is FAILED, the others go on",
}

GRAPH_DOES: Final[Mapping[graph.Meaning, str]] = {
    graph.Meaning.LATER: "waits as long as asked, then sends it again: nothing was done",
    graph.Meaning.DOUBT: "asks again if it was a read; looks a write up in the target before anything is sent again",
    graph.Meaning.REFUSED: "refuses this item by name, or tries the other lane; goes on",
    graph.Meaning.GONE: "takes it for gone",
    graph.Meaning.EXISTS: "takes that folder, or another name",
    graph.Meaning.CHANGED: "leaves the copy to its user, who changed it",
    graph.Meaning.SIGN_IN: "signs in again and sends it again; after that stops the run",
    graph.Meaning.STALE: "reads from the beginning again",
    graph.Meaning.BLOCKED: "holds this mailbox; the others go on",
    graph.Meaning.HALT: "stops the run",
    graph.Meaning.BUG: "never tries it again; the mailbox is FAILED, the others go on",
}

EXITS: Final[Sequence[tuple[int, str, str]]] = (
    (0, "clean: everything is carried, or stays behind by approval", "nothing"),
    (2, "done, and some items are refused or withheld, each by name", "`migrator errors list`, then retry or approve"),
    (3, "paused: a server was away, the disk is nearly full, or somebody stopped it", "read the cause, run again"),
    (4, "a mailbox is held until a person acts; the others went on", "`migrator status` says which and why; mend it, run again"),
    (5, "nobody can proceed until a person acts", "mend what the message names (a secret, a consent, a tenant), run again"),
    (64, "the command was typed wrong", "read the usage line, or `--help`"),
    (65, "a file, line or key is wrong", "the message names it and the mend"),
    (70, "a bug", "report it with the log file; the ledger is as good as before"),
)

CLASSES: Final[Sequence[tuple[str, str, str]]] = (
    ("Refusal", "this item can't go as it is", "settles it by name and goes on; exit code 2 in the end"),
    ("Throttled", "later: the server did nothing", "the pacer waits, and says for which budget"),
    ("Unavailable", "this call failed, the world may heal", "reads are repeated, writes looked up; in the end PAUSED, 3"),
    ("StaleCursor", "the place in a listing means nothing any more", "lists again; what is done stays done"),
    ("MailboxBlocked", "this mailbox can't proceed", "HELD with the cause, the others go on; 4"),
    ("Halt", "nobody can proceed", "the run stops; 5"),
    ("UnknownAnswer", "a server said what no table of ours knows", "FAILED, never retried in silence, the others go on; 70"),
    ("ForbiddenRequest", "a request that could e-mail somebody was about to leave", "nothing leaves; a bug, 70"),
)


def about(code: str) -> Entry | None:
    """What there is to say about a code of either server, or of our own; None for one that no table knows."""
    if code in CODES:
        return _entry(code, code, CODES[code])
    if code in REASONS:
        return _entry(code, code, REASONS[code])
    if code in exchange.CODES:
        return exchange_code(code)
    known = {name.casefold(): name for name in graph.CODES}
    return graph_code(known[code.casefold()]) if code.casefold() in known else None


def exchange_code(code: str) -> Entry:
    """What a response code of Exchange means here. Raises KeyError for one that the schema does not have."""
    found = exchange.CODES[code]
    told = advice(found.reason or "bad-request")
    operator = _sentence(found.mend) or told.operator
    return Entry(code, found.reason, _sentence(found.sentence), _sentence(EXCHANGE_DOES[found.meaning]), operator)


def graph_code(code: str) -> Entry:
    """What an error code of Graph means here. Raises KeyError for one that the table does not have."""
    return _of_row(code, graph.CODES[code])


def _of_row(code: str, found: graph.Row) -> Entry:
    operator = _sentence(found.mend) or advice(found.reason).operator
    return Entry(code, found.reason, _sentence(found.sentence), _sentence(GRAPH_DOES[found.meaning]), operator)


def _entry(code: str, reason: str, told: Advice) -> Entry:
    return Entry(code, reason, told.meaning, told.engine, told.operator)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", ")")) else ".")


def page() -> str:
    """The whole page, as ``docs/errors.md`` has it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Errors: what they mean and what to do"
    yield ""
    yield "Written by `python -m migrator.errors.catalogue --write docs/errors.md` from the tables that the engine acts by; a"
    yield "test holds it to them. `migrator errors list` and `migrator errors show KEY` say the same about the items of a ledger."
    yield ""
    yield "## Exit codes"
    yield ""
    yield "The highest of a run's mailboxes wins, in the order 70, 5, 4, 3, 2, 0."
    yield ""
    yield from _table(("code", "meaning", "what to do"), ((str(code), meaning, do) for code, meaning, do in EXITS))
    yield "## Classes of errors"
    yield ""
    yield from _table(("class", "says", "what is done"), ((f"`{name}`", says, does) for name, says, does in CLASSES))
    yield "## Reasons of items"
    yield ""
    yield "The word that the ledger, the report and `migrator errors` give for an item that did not go. *Retry* says whether"
    yield "`migrator errors retry` tries it again; where it does not, that could e-mail somebody, or make one copy too many."
    yield ""
    yield from _table(
        ("reason", "meaning", "what is done", "what to do", "retry"),
        ((f"`{word}`", one.meaning, one.engine, one.operator, "yes" if one.again else "never") for word, one in OF_ITEMS.items()),
    )
    yield "## Reasons of more than an item"
    yield ""
    yield "Told of a whole call, a mailbox or a run; the last two are notes on what is still open."
    yield ""
    yield from _table(
        ("reason", "meaning", "what is done", "what to do"),
        ((f"`{word}`", one.meaning, one.engine, one.operator) for word, one in OF_MORE.items()),
    )
    yield "## Codes of our own"
    yield ""
    yield "For what a server did not name itself. `http NNN` is the status of an answer without a code; further ones are names"
    yield "of network errors, and mean that the server was not reached or the connection broke: as for `time-out`."
    yield ""
    yield from _codes(_entry(code, "", told) for code, told in CODES.items())
    yield "## Statuses of Graph without a code"
    yield ""
    yield "Any other 5xx proves nothing, so that a write behind it is looked up; any other 4xx is a bug, never retried. 503 with"
    yield "Retry-After did nothing."
    yield ""
    yield from _codes(_of_row(f"http {status}", row) for status, row in graph.STATUSES.items())
    yield "## Sign-in at the tenant"
    yield ""
    yield "A sign-in that fails for good stops the run (5); one that is not available for now is tried again."
    yield ""
    yield from _table(("code", "meaning", "what to do"), _sign_in())
    yield "## Codes of Graph"
    yield ""
    yield "Compared without regard to case. A code that is not here is a bug to report, and is never retried."
    yield ""
    yield from _codes(map(graph_code, sorted(graph.CODES, key=str.casefold)))
    yield "## Response codes of Exchange"
    yield ""
    yield "Every code of the schema. All requests are reads, so that none is ever in doubt. Told of a whole call, a code that"
    yield "refuses an item holds the mailbox, because nothing says which item it was."
    yield ""
    told = list(map(exchange_code, sorted(exchange.CODES)))
    yield from _codes(one for one in told if exchange.CODES[one.code].meaning is not exchange.Meaning.BUG)
    bug = advice("bad-request")
    yield "The rest are about writing, sharing, search and calls that are never made, or say that a request was malformed:"
    yield f"{bug.meaning} {bug.engine} {bug.operator}"
    yield ""
    yield from _table(
        ("code", "meaning"),
        ((f"`{one.code}`", one.meaning) for one in told if exchange.CODES[one.code].meaning is exchange.Meaning.BUG),
        last=True,
    )


def _sign_in() -> Iterator[tuple[str, str, str]]:
    from connectors.graph.tokens import SIGN_IN

    for number, (_, sentence, mend) in sorted(SIGN_IN.items()):
        yield f"`AADSTS{number}`", _sentence(sentence), _sentence(mend)


def _codes(entries: Iterable[Entry]) -> Iterator[str]:
    rows = [(f"`{one.code}`", f"`{one.reason}`" if one.reason else "", *_rest(one)) for one in entries]
    if any(row[1] for row in rows):
        yield from _table(("code", "reason", "meaning", "what is done", "what to do"), rows)
    else:
        yield from _table(("code", "meaning", "what is done", "what to do"), (row[:1] + row[2:] for row in rows))


def _rest(one: Entry) -> tuple[str, str, str]:
    return one.meaning, one.engine, one.operator


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, last: bool = False) -> Iterator[str]:
    yield f"| {' | '.join(heading)} |"
    yield f"|{'---|' * len(heading)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    if not last:
        yield ""


def main(words: Sequence[str]) -> int:
    """Write the page to a file, or to stdout."""
    reader = argparse.ArgumentParser(prog="python -m migrator.errors.catalogue", description="Write the catalogue of errors.")
    reader.add_argument("--write", type=Path, metavar="FILE", help="the file; without it stdout")
    asked = reader.parse_args(words)
    if asked.write:
        asked.write.write_text(page(), encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
