"""``probe``: asks a pilot's two mailboxes what no document settles, above all which classes the import lane carries untouched.

    what an earlier probe left ─► cleared      one item a class ─► imported into a hidden folder ─► read back, compared, removed
    the answers ─► the ledger                  the questions of the kit (``migrator.probe.kit``) ─► the same

The source is only read. In the target nothing is touched but the probe's own folder and what it laid into it. What could be seen
by anybody else, such as the removal of a meeting that has attendees, is not asked without a word of the operator's.
"""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from connectors.base import Destination, Doubt, Entry, Facts, Gone, Item, Lane, Receipt, Ref, Refusal, Role, Source, Unsent, Write
from connectors.base import WriteKind as Kind
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.probing import Bench, Lying, Workplace
from connectors.reading import CUT, Portrait, Reader, Seen, Unreadable, Wanted, compare
from migrator.engine.tenure import Tenure
from migrator.probe.answers import DIFFERS, LANE_IMPORT, NO, SERIES, YES
from state.model import Fenced, LedgerError, MailboxRow, MailboxState
from state.store import Ledger

NOT_ASKED, OPEN = "not asked", "open"
"""Answers that are none: nobody asked, or what came back tells nothing. Neither is kept in the ledger."""

MOST_CLASSES = 60
"""Classes that one probe asks about; a mailbox with more has classes of forms that somebody made."""

NO_MAIL = "The pilot has no mail that could be used without telling somebody."
_STAMP = "probe"
_LIKED = 256 * 1024
"""Bytes of the items that are liked best: rich ones, but not such as take a while."""
_TRIES = 3
"""Items that a class is asked with at most, until one arrives."""
_LOOKED_AT = 12
"""Items of a class that are kept in mind; among those a series is looked for."""
_RECURRING = ("ipm.appointment", "ipm.task")
_LOOKS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look at what was imported: a target may show it late."""


AFTER_LOCK = frozenset(
    {
        MailboxState.LOCKED, MailboxState.FINAL, MailboxState.ROUTED, MailboxState.SWEEPING, MailboxState.BACKFILLING,
        MailboxState.CLOSED,
    }
)  # fmt: skip


class Allow(StrEnum):
    """What an operator may allow, because somebody else could notice it."""

    MEETINGS = "meetings"  # import and remove a meeting with attendees, who might be told
    RECEIPTS = "receipts"  # the same with an unread mail whose sender asked for a receipt
    WAITING = "waiting"  # wait for the end of an import session, as long as it lasts
    TRAFFIC = "traffic"  # send so much that the pilot's mailbox may be slowed down for minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One question answered. ``names`` are property names, ``detail`` a sentence without anything private; ``build`` is the
    source's version if the answer depends on it."""

    question: str
    subject: str = ""
    answer: str
    detail: str = ""
    names: tuple[str, ...] = ()
    code: str = ""
    build: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is an answer to keep."""
        return self.answer not in (NOT_ASKED, OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a probe of one pilot works with. ``say`` is told each reply at once; ``stop`` is heeded between questions."""

    ledger: Ledger
    tenure: Tenure
    source: Source
    source_reader: Reader
    destination: Destination
    destination_reader: Reader
    bench: Bench
    allow: frozenset[Allow] = frozenset()
    stop: threading.Event = field(default_factory=threading.Event)
    say: Callable[[Reply], None] = lambda reply: None

    def tell(self, reply: Reply) -> Reply:
        """Keep a reply in the ledger, if it is one to keep, and show it."""
        if reply.kept:
            self.ledger.plans.answer(reply.question, reply.subject, reply.build, reply.answer, reply.detail)
        self.say(reply)
        return reply

    def lay(self, item: Item, place: Workplace, lane: Lane = Lane.IMPORT) -> Receipt | Refusal:
        """Lay an item into the workplace as a lane does. Raises whatever else ended it, and when the mailbox is full."""
        self.tenure.keep()
        # A stamp that is no item's: whoever looks for copies by stamp never takes this for one.
        write = Write(kind=Kind.CREATE, lane=lane, item_class=item.item_class, folder_id=place.id, stamp=_STAMP, item=item)
        match self.destination.write([write]).result()[0]:
            case Refusal(reason="quota") as full:
                raise MailboxBlocked(full.detail, code=full.code, side="target", mend="Take a pilot whose target has room.")
            case Receipt() | Refusal() as answer:
                return answer
            case Doubt(cause) | Unsent(cause):
                raise cause

    def remove(self, place: Workplace, lying: Lying) -> None:
        """Remove one item of the workplace, unless the ledger has it for somebody's copy."""
        self.tenure.keep()
        if self.ledger.owners(self.tenure.lease.mailbox_id, [lying.id]):
            raise MailboxBlocked(
                "An item in the probe's folder is what the ledger takes for a copy; it is left there.",
                side="target",
                mend="Move it to where it belongs, then probe again.",
            )
        self.bench.remove(place, lying)

    def clear(self, place: Workplace) -> None:
        """Remove a workplace with all that is in it."""
        for lying in self.bench.holds(place):
            self.remove(place, lying)
        if not self.bench.drop(place):
            raise Unavailable("The probe's folder is not empty yet.", code="probe folder")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source item that a class could be asked with, and what has to be allowed for that."""

    entry: Entry
    needs: frozenset[Allow]


def needs_of(facts: Facts) -> frozenset[Allow]:
    """What has to be allowed before a copy of this item is made and removed again; what a listing doesn't tell counts as yes."""
    needs = set()
    if facts.has_attendees is not False:
        needs.add(Allow.MEETINGS)
    if facts.wants_receipt is not False and facts.is_read is not True:
        needs.add(Allow.RECEIPTS)
    return frozenset(needs)


def liking(facts: Facts) -> tuple[bool, int]:
    """How much an item is liked: of those that are not large, the largest."""
    return facts.size <= _LIKED, facts.size if facts.size <= _LIKED else -facts.size


def gather(source: Source, allow: frozenset[Allow], stop: threading.Event) -> dict[str, list[Candidate]]:
    """Every item class of the mailbox, by name, with the few items that are liked best; those that need nothing allowed first."""
    found: dict[str, list[tuple[tuple[bool, bool, int], int, Candidate]]] = defaultdict(list)
    names: dict[str, str] = {}
    number = 0
    for folder in list(source.folders()):
        if folder.role is Role.ROOT:
            continue
        for entry in source.inventory(folder):
            if stop.is_set():
                break
            number += 1
            needs = needs_of(entry.facts)
            name = names.setdefault(entry.facts.item_class.casefold(), entry.facts.item_class)
            rank = (needs <= allow, *liking(entry.facts))
            best = found[name]
            (heapq.heappush if len(best) < _LOOKED_AT else heapq.heappushpop)(best, (rank, number, Candidate(entry, needs)))
    return {name: [one for _, _, one in sorted(found[name], reverse=True)] for name in sorted(found)}


def check_state(mailbox: MailboxRow) -> None:
    """Raise MailboxBlocked for a mailbox whose user works in the target already, or is about to."""
    if mailbox.state in AFTER_LOCK or mailbox.came_from in AFTER_LOCK:
        raise MailboxBlocked(
            f"{mailbox.source} is {mailbox.state.value}: a probe asks pilots that are not cut over.",
            side="target",
            mend="Name another pilot.",
        )


def would_ask(source: Source, allow: frozenset[Allow], stop: threading.Event) -> list[Reply]:
    """What a probe would ask about classes; reads the source and nothing else."""
    replies = []
    for name, candidates in gather(source, allow, stop).items():
        free = any(one.needs <= allow for one in candidates)
        detail = "would be asked" if free else _needed(candidates)
        replies.append(Reply(question=LANE_IMPORT, subject=name, answer=OPEN if free else NOT_ASKED, detail=detail))
    return replies


def _needed(candidates: Sequence[Candidate]) -> str:
    words = " ".join(f"--allow {word}" for word in sorted(frozenset().union(*(one.needs for one in candidates))))
    return f"Removing its copy again could tell somebody; ask with {words}."


def run_probe(probe: Probe, kit: Callable[[Probe, Workplace, Entry | None], Iterator[Reply]]) -> list[Reply]:
    """Ask everything, in order, and leave nothing behind. ``kit`` asks what is not about classes, with a mail of the pilot.

    Raises MailboxBlocked, Unavailable and Halt; what was answered before is kept.
    """
    left = list(clear_left(probe))
    classes = gather(probe.source, probe.allow, probe.stop)
    before = probe.bench.traces()
    place = probe.bench.make(loud=bool(probe.allow & {Allow.MEETINGS, Allow.RECEIPTS}))
    # CRASH WINDOW: the folder is there; the next probe removes it
    replies = left
    try:
        replies += _classes(probe, place, classes)
        if not probe.stop.is_set():
            replies += [probe.tell(reply) for reply in kit(probe, place, _example(classes))]
    except Fenced:
        raise  # the mailbox is another's now, and nothing may leave any more
    except Exception:
        _clear_quietly(probe, place)
        raise
    probe.clear(place)
    after = probe.bench.traces()
    replies.append(probe.tell(_sent(before.sent + before.outbox, after.sent + after.outbox)))
    replies.append(probe.tell(_bin(before.bin, after.bin)))
    return replies


def clear_left(probe: Probe) -> Iterator[Reply]:
    """Remove what a probe that was killed left; what that could tell to somebody stays until it is allowed."""
    for place in probe.bench.places():
        if place.loud and not probe.allow >= {Allow.MEETINGS, Allow.RECEIPTS} and probe.bench.holds(place):
            raise MailboxBlocked(
                "An earlier probe was ended while its folder held what an operator had allowed, and removing that could tell"
                " somebody.",
                code="probe folder",
                side="target",
                mend="Probe again with --allow meetings --allow receipts, which removes it.",
            )
        number = len(probe.bench.holds(place))
        probe.clear(place)
        yield probe.tell(
            Reply(question="left behind", answer=OPEN, detail=f"An earlier probe's folder is removed; items: {number}.")
        )


def _clear_quietly(probe: Probe, place: Workplace) -> None:
    try:
        probe.clear(place)
    except (WireError, LedgerError):
        return  # the reason is on its way up, and the next probe clears it


def _classes(probe: Probe, place: Workplace, classes: dict[str, list[Candidate]]) -> list[Reply]:
    replies = []
    for number, (name, candidates) in enumerate(classes.items()):
        if probe.stop.is_set():
            break
        if number >= MOST_CLASSES:
            detail = f"More than {MOST_CLASSES} classes; this one was left out."
            replies.append(probe.tell(Reply(question=LANE_IMPORT, subject=name, answer=NOT_ASKED, detail=detail)))
            continue
        series = series_in(probe.source_reader, name, [one for one in candidates if one.needs <= probe.allow])
        single = [one for one in candidates if one not in series]
        if single:
            replies.append(probe.tell(ask_class(probe, place, name, single)))
        if series:
            replies.append(probe.tell(replace(ask_class(probe, place, name, series), subject=name + SERIES)))
    return replies


def series_in(reader: Reader, name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those of the candidates that recur, with what changed of single occurrences inside: the class's hardest items."""
    if name.casefold() not in _RECURRING or not candidates:
        return []
    facts = [one.entry.facts for one in candidates]
    wanted = [Wanted(id=one.entry.id, item_class=name, size=told.size) for one, told in zip(candidates, facts, strict=True)]
    seen = list(reader.read(wanted))
    return [
        one
        for one, shown in zip(candidates, seen, strict=True)
        if isinstance(shown, Portrait) and any("recurring" in told and value == "true" for told, value in shown.more)
    ]


def ask_class(probe: Probe, place: Workplace, name: str, candidates: Sequence[Candidate]) -> Reply:
    """Whether the import lane carries this class: the first item that arrives tells; *no* if none of a few did."""
    build = probe.source.build
    free = [one for one in candidates if one.needs <= probe.allow]
    if not free:
        return Reply(question=LANE_IMPORT, subject=name, answer=NOT_ASKED, detail=_needed(candidates), build=build)
    refused: list[Refusal] = []
    for candidate in free[:_TRIES]:
        item = fetched(probe.source, candidate.entry)
        if item is None:
            continue
        if isinstance(item, Refusal):
            refused.append(item)
            continue
        answer = probe.lay(item, place)
        if isinstance(answer, Refusal):
            refused.append(answer)
            continue
        # CRASH WINDOW: the item is there; the next probe removes it
        reply = _compared(probe, place, candidate.entry, answer)
        probe.remove(place, Lying(answer.target_id, name))
        return replace(reply, subject=name, build=build)
    if not refused:
        detail = "Every item of it was gone before it could be read."
        return Reply(question=LANE_IMPORT, subject=name, answer=OPEN, detail=detail, build=build)
    last = refused[-1]
    detail = f"refused: {last.reason} ({last.code}), items: {len(refused)}" if last.code else f"refused: {last.reason}"
    return Reply(question=LANE_IMPORT, subject=name, answer=NO, detail=detail, names=(last.reason,), code=last.code, build=build)


def fetched(source: Source, entry: Entry, lane: Lane = Lane.IMPORT) -> Item | Refusal | None:
    """The item as one lane takes it; None if it is gone."""
    ref = Ref(entry.id, entry.version, entry.facts.size, entry.facts.item_class)
    [found] = source.fetch([ref], lane)
    return None if isinstance(found, Gone) else found


def ask_compose(probe: Probe, place: Workplace, example: Entry | None) -> Reply:
    """Whether a composed mail reads like its source: above all that it is no draft, and has the dates of its source."""
    question = "compose mail"
    item = None if example is None else fetched(probe.source, example, Lane.COMPOSE)
    if example is None or not isinstance(item, Item):
        return Reply(question=question, answer=NOT_ASKED, detail=NO_MAIL)
    try:
        answer = probe.lay(item, place, Lane.COMPOSE)
    except (MailboxBlocked, Halt) as error:
        # Who only imports needs no permission for mail.
        return Reply(question=question, answer=OPEN, detail=str(error), code=error.code)
    if isinstance(answer, Refusal):
        return Reply(question=question, answer=NO, detail=f"refused: {answer.reason}", names=(answer.reason,), code=answer.code)
    reply = _compared(probe, place, example, answer, stored=False)
    probe.remove(place, Lying(answer.target_id, item.item_class))
    return replace(reply, question=question)


def _compared(probe: Probe, place: Workplace, entry: Entry, there: Receipt, *, stored: bool = True) -> Reply:
    """How the copy differs from the item."""
    facts = entry.facts
    [ours] = probe.source_reader.read([Wanted(id=entry.id, item_class=facts.item_class, size=facts.size, stored=stored)])
    wanted = Wanted(id=there.target_id, item_class=facts.item_class, folder_id=place.id, size=facts.size)
    theirs: Seen = Gone(Ref(there.target_id))
    for seconds in _LOOKS:
        if seconds:
            probe.stop.wait(seconds)
        [theirs] = probe.destination_reader.read([wanted])
        if not isinstance(theirs, Gone):
            break
    if isinstance(theirs, Gone):
        return Reply(question=LANE_IMPORT, answer=DIFFERS, detail="It was taken, but is not there.", names=("missing",))
    if isinstance(theirs, Unreadable):
        detail = f"It arrived, but the target does not show it ({theirs.reason})."
        return Reply(question=LANE_IMPORT, answer=OPEN, detail=detail, code=theirs.reason)
    if not isinstance(ours, Portrait):
        detail = "It arrived, but the source does not show the item to compare it with."
        return Reply(question=LANE_IMPORT, answer=OPEN, detail=detail)
    names = tuple(name for name in compare(ours, theirs) if name not in CUT)
    if names:
        return Reply(question=LANE_IMPORT, answer=DIFFERS, detail=", ".join(names), names=names)
    return Reply(question=LANE_IMPORT, answer=YES, detail="arrived, and reads the same")


def _example(classes: dict[str, list[Candidate]]) -> Entry | None:
    """A plain mail that needs nothing allowed, for questions that are not about classes."""
    return next((candidate.entry for candidate in classes.get("IPM.Note", ()) if not candidate.needs), None)


def _sent(before: int, after: int) -> Reply:
    if after == before:
        return Reply(question="mail sent", answer=NO, detail="Nothing came into sent mail or the outbox meanwhile.")
    detail = (
        f"Items that came into sent mail or the outbox meanwhile: {after - before}; look whether the probe or a person sent them."
    )
    return Reply(question="mail sent", answer=OPEN, detail=detail)


def _bin(before: int, after: int) -> Reply:
    if after == before:
        return Reply(question="removal leaves in the bin", answer=NO, detail="Removed items did not come into the bin.")
    return Reply(question="removal leaves in the bin", answer=YES, detail="Items came into the bin meanwhile.")
