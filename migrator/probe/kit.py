"""The probe's questions that are not about classes. Each says what it asks, how, and what it risks; none touches anything but the
probe's own folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from connectors.base import Entry, Item, Lane, Receipt, Refusal, Write, WriteKind
from connectors.errors import Unavailable
from connectors.probing import NO_SUCH_MAILBOX, Burst, Workplace
from migrator.probe.answers import AT_ONCE, IMPORT_CAP, NO, SHARED, YES
from migrator.probe.probing import NO_MAIL, NOT_ASKED, OPEN, Allow, Probe, Reply, ask_compose, fetched

MEGABYTE = 1_000_000
LADDER = (1, 4, 25, 36, 75, 150)
"""Megabytes of an import request, rung by rung: the limits that documents and reports name."""
FREE_UP_TO = 4
"""Megabytes up to which the ladder is climbed without ``--allow traffic``."""
BURSTS = (2, 4, 8)
"""Requests at once, rung by rung; documents name four."""
LONGEST_SESSION = 2 * 3600.0
"""Seconds of a session whose end is waited for at the most."""
_AROUND = 30.0
"""Seconds before a session's end, and after it, at which its address is tried."""
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the probe, for the report: its name, what is asked, how, and what that risks."""

    name: str
    asks: str
    how: str
    risks: str


QUESTIONS = (
    Question(
        "lane import",
        "Does an export stream of this source build arrive untouched, for each item class?",
        "One item a class is exported, imported into the probe's hidden folder, read back, compared and removed.",
        "None by itself: items whose removal could tell somebody are taken only with --allow.",
    ),
    Question(
        "import session life",
        "For how many seconds does an import session last?",
        "A session is opened and its end read; it is not used.",
        "None.",
    ),
    Question(
        "import session end",
        "Is a session refused when its time is over, and not before?",
        "With --allow waiting its end is waited for; shortly before and after it a request is sent whose content is no item.",
        "None, but that a probe takes as long as a session lasts, two hours at the most.",
    ),
    Question(
        "import twice",
        "Does importing the same stream twice make two items?",
        "A mail is imported twice into the probe's folder, and the items there are counted.",
        "None: both lie in the probe's folder.",
    ),
    Question(
        "import update",
        "Does an import in update mode change the item in its place, and is an old change key refused?",
        "A mail of the probe's folder is imported over itself, then once more with the change key from before.",
        "None: it is the probe's own item.",
    ),
    Question(
        "compose mail",
        "Does a composed mail read like its source: no draft, with the dates of its source?",
        "A mail is composed into the probe's folder, read back, compared and removed.",
        "None: it is the probe's own item.",
    ),
    Question(
        IMPORT_CAP,
        "From how many bytes on is an import request refused for its size?",
        "Requests of 1, 4 and, with --allow traffic, 25, 36, 75 and 150 MB are sent whose content is no item.",
        "None for the mailbox's content; with --allow traffic the mailbox's upload budget is used up for minutes.",
    ),
    Question(
        "scope refusal",
        "Is an app that is limited to some mailboxes refused when a session is opened for another one?",
        "A session is asked for the mailbox that --outside names, and not used.",
        "None: nothing is sent into that mailbox.",
    ),
    Question(
        "mail sent",
        "Did anything leave the pilot's mailbox while the probe ran?",
        "Sent mail and the outbox are counted before and after.",
        "None.",
    ),
    Question(
        "removal leaves in the bin",
        "Do removed items come into the bin of the mailbox's user?",
        "The bin is counted before and after.",
        "None.",
    ),
    Question(
        AT_ONCE,
        "How many requests to one mailbox are answered at once?",
        "Two, four and eight reads of the probe's own folder leave at once, each twice, until one of them is turned away.",
        "Requests of the same app to the pilot's mailbox may be turned away for a second or two; they repeat by themselves.",
    ),
    Question(
        "budgets shared",
        "Do the import address and Graph share one budget of requests at once?",
        "As many reads as were answered, and as many imports whose content is no item, leave at once.",
        "The same.",
    ),
    Question(
        SHARED,
        "Do two mailboxes share one budget of requests at once?",
        "With --beside PILOT as many reads of that mailbox's inbox leave together with those of the pilot.",
        "The same, for both pilots.",
    ),
    Question(
        "meeting as a draft",
        "Can a meeting be composed with its attendees as a draft that never sends?",
        "It would take a request that invites somebody if the answer is no.",
        "Mail to outsiders; no part of this program can build such a request, and this stays so.",
    ),
    Question(
        "rebuilt stream",
        "Can a meeting that an import refuses be carried by an export stream that is put together anew?",
        "It would take streams that no server wrote.",
        "Items that no client reads; it is not asked.",
    ),
)


def ask_kit(probe: Probe, place: Workplace, mail: Entry | None, *, outside: str = "", beside: str = "") -> Iterator[Reply]:
    """Every question of the kit, in order. ``mail`` is one of the pilot's, as its listing shows it; ``outside`` a mailbox
    that the app must not reach, ``beside`` a second pilot's target that the same app carries; empty: that is not asked.
    """
    found = None if mail is None else fetched(probe.source, mail)
    example = found if isinstance(found, Item) else None
    asked: tuple[Callable[[], Reply], ...] = (
        partial(session_life, probe),
        partial(session_end, probe, place),
        partial(twice, probe, place, example),
        partial(update, probe, place, example),
        partial(ask_compose, probe, place, mail),
        partial(size_cap, probe, place),
        partial(scope, probe, outside),
    )
    for ask in asked:
        if probe.stop.is_set():
            return
        probe.tenure.keep()
        yield ask()
    yield from at_once(probe, place, beside)
    detail = "The request that asks it could invite somebody; attendees stay text in the compose lane."
    yield Reply(question="meeting as a draft", answer=NOT_ASKED, detail=detail)
    yield Reply(question="rebuilt stream", answer=NOT_ASKED, detail="A stream is carried as the source wrote it, or not at all.")


def session_life(probe: Probe) -> Reply:
    """How long an import session lasts by its own word."""
    life = probe.bench.session_life()
    if life is None:
        return Reply(question="import session life", answer=OPEN, detail="The session names no end.")
    return Reply(question="import session life", answer=str(round(life)), detail="seconds, by the session's own word")


def session_end(probe: Probe, place: Workplace) -> Reply:
    """Whether a session is accepted until its end and no longer, which takes as long as it lasts."""
    question = "import session end"
    if Allow.WAITING not in probe.allow:
        return Reply(question=question, answer=NOT_ASKED, detail="It takes as long as a session lasts; ask with --allow waiting.")
    life = probe.bench.session_life()
    if life is None or life > LONGEST_SESSION:
        detail = "The session names no end." if life is None else f"Its end is {round(life)} s away, too long to wait for."
        return Reply(question=question, answer=OPEN, detail=detail)
    around = min(_AROUND, max(life / 4, 2.0))
    told = f"It was to last {round(life)} s"
    for seconds, held in ((life - around, True), (2 * around, False)):
        if probe.stop.wait(max(0.0, seconds)):
            return Reply(question=question, answer=OPEN, detail="Stopped before its end.")
        probe.tenure.keep()
        accepted = probe.bench.knock(place)
        if held and not accepted:
            return Reply(question=question, answer="early", detail=f"{told}, and was refused {round(around)} s before that.")
        if accepted and not held:
            return Reply(question=question, answer="late", detail=f"{told}, and was accepted {round(around)} s after that.")
    return Reply(question=question, answer="as told", detail=f"{told}; accepted before its end, and refused after it.")


def at_once(probe: Probe, place: Workplace, beside: str) -> Iterator[Reply]:
    """How many requests at once are answered, and who shares that number."""
    most, refused = 1, Burst(0, 0)
    for rung in BURSTS:
        if probe.stop.is_set():
            return
        probe.tenure.keep()
        refused = _twice_at_once(probe, place, rung)
        if refused.refused:
            break
        most = rung
    if not refused.refused:
        detail = f"{most} at once were all answered; more are not asked for, and no more than the documented ones are used."
        yield Reply(question=AT_ONCE, answer=f"at least {most}", detail=detail)
        for question in ("budgets shared", SHARED):
            yield Reply(
                question=question, answer=OPEN, detail="No number of requests at once was refused, so this can't be told."
            )
        return
    detail = f"{most} at once were all answered; of {rung} at once {refused.refused} were turned away."
    yield Reply(question=AT_ONCE, answer=str(most), detail=detail, code=refused.code)
    _rest(probe, refused)
    both = _twice_at_once(probe, place, most, imports=most)
    together = f"With {most} reads and {most} imports at once"
    if both.refused:
        yield Reply(question="budgets shared", answer=YES, detail=f"{together} {both.refused} were turned away.", code=both.code)
    else:
        yield Reply(question="budgets shared", answer=NO, detail=f"{together} none was turned away.")
    if not beside:
        yield Reply(question=SHARED, answer=NOT_ASKED, detail="Name a second pilot with --beside.")
        return
    _rest(probe, both)
    both = _twice_at_once(probe, place, most, beside=beside)
    together = f"With {most} reads at once of each of two mailboxes"
    if both.refused:
        yield Reply(question=SHARED, answer=YES, detail=f"{together} {both.refused} were turned away.", code=both.code)
    else:
        yield Reply(question=SHARED, answer=NO, detail=f"{together} none was turned away.")


def _twice_at_once(probe: Probe, place: Workplace, reads: int, *, imports: int = 0, beside: str = "") -> Burst:
    """One burst, and a second one if none of it was turned away: the first may have spent its time on connections."""
    first = probe.bench.burst(place, reads, imports=imports, beside=beside)
    return first if first.refused else probe.bench.burst(place, reads, imports=imports, beside=beside)


def _rest(probe: Probe, burst: Burst) -> None:
    """Leave the server alone for as long as it asked."""
    probe.stop.wait(min(burst.wait, _LONGEST_PAUSE))


def twice(probe: Probe, place: Workplace, example: Item | None) -> Reply:
    """Whether one stream imported twice makes two items."""
    question = "import twice"
    if example is None:
        return Reply(question=question, answer=NOT_ASKED, detail=NO_MAIL)
    before = {lying.id for lying in probe.bench.holds(place)}
    ids = {answer.target_id for answer in (probe.lay(example, place) for _ in range(2)) if isinstance(answer, Receipt)}
    came = [lying for lying in probe.bench.holds(place) if lying.id not in before]
    for lying in came:
        probe.remove(place, lying)
    if len(ids) == 2 and len(came) == 2:
        return Reply(question=question, answer="two items", detail="A retry in doubt needs a look first, as is done.")
    if len(ids) == 1 and len(came) == 1:
        return Reply(question=question, answer="one item", detail="The target knows the stream again.")
    return Reply(
        question=question, answer=OPEN, detail=f"Imports that were taken: {len(ids)}; items that were there: {len(came)}."
    )


def update(probe: Probe, place: Workplace, example: Item | None) -> Reply:
    """Whether an import can replace an item in its place, and refuses an old change key."""
    question = "import update"
    if example is None:
        return Reply(question=question, answer=NOT_ASKED, detail=NO_MAIL)
    first = probe.lay(example, place)
    if isinstance(first, Refusal):
        return Reply(question=question, answer=OPEN, detail=f"The mail is refused: {first.reason}.", code=first.code)
    write = Write(
        kind=WriteKind.UPDATE, lane=Lane.IMPORT, item_class=example.item_class, folder_id=place.id,
        target_id=first.target_id, version=first.version, item=example,
    )  # fmt: skip
    second, third = (probe.destination.write([write]).result()[0] for _ in range(2))
    for lying in probe.bench.holds(place):
        probe.remove(place, lying)
    if isinstance(second, Refusal):
        return Reply(question=question, answer=NO, detail=f"refused: {second.reason}", code=second.code)
    if not isinstance(second, Receipt):
        return Reply(question=question, answer=OPEN, detail="No clear answer came.")
    if isinstance(third, Receipt):
        return Reply(question=question, answer="without a check", detail="It changes the item, and takes an old change key too.")
    return Reply(question=question, answer=YES, detail="It changes the item in its place, and refuses an old change key.")


def size_cap(probe: Probe, place: Workplace) -> Reply:
    """From how many bytes on an import request is refused for its size; climbed until it is."""
    taken = 0
    for rung in LADDER:
        if probe.stop.is_set() or (rung > FREE_UP_TO and Allow.TRAFFIC not in probe.allow):
            break
        size = rung * MEGABYTE
        probe.tenure.keep()
        try:
            answer = probe.bench.weigh(place, size)
        except Unavailable as error:
            # A server may cut the line instead of reading on; that a second try would tell more is not likely.
            detail = f"At {rung} MB the connection broke; up to {taken // MEGABYTE} MB were answered."
            return Reply(question=IMPORT_CAP, answer=OPEN, detail=detail, code=error.code)
        if answer.too_large:
            detail = f"Refused at {rung} MB of request, not at {taken // MEGABYTE} MB."
            return Reply(question=IMPORT_CAP, answer=str(size), detail=detail, code=answer.code)
        taken = size
    more = "" if Allow.TRAFFIC in probe.allow else " Larger ones are asked for with --allow traffic."
    return Reply(question=IMPORT_CAP, answer=f"none up to {taken}", detail=f"None up to {taken // MEGABYTE} MB.{more}")


def scope(probe: Probe, outside: str) -> Reply:
    """Whether the app is kept out of a mailbox that it must not reach."""
    question = "scope refusal"
    if not outside:
        return Reply(question=question, answer=NOT_ASKED, detail="Name a mailbox that the app must not reach with --outside.")
    code = probe.bench.reaches(outside)
    if not code:
        return Reply(question=question, answer=NO, detail="A session was opened for a mailbox that should be out of reach.")
    if code == NO_SUCH_MAILBOX:
        detail = "There is no such mailbox in the target; name one with --outside that is there."
        return Reply(question=question, answer=OPEN, detail=detail, code=code)
    return Reply(question=question, answer=YES, detail="Refused before a session is opened.", code=code)
