"""DryRun writes nothing, Traced tells no secrets, Faulty fails exactly as planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import structlog

from connectors.base import (
    Claim,
    Destination,
    Doubt,
    Folder,
    Identity,
    Item,
    Lane,
    Outcome,
    Receipt,
    Ref,
    Role,
    Source,
    Unsent,
    Write,
    WriteKind,
)
from connectors.errors import Unavailable
from connectors.memory import Content, MemoryDestination, MemoryMailbox, MemorySource, MemoryTarget
from connectors.memory_target import pack
from connectors.wrappers import (
    DryRun,
    Fault,
    FaultyDestination,
    FaultySource,
    Plan,
    TracedDestination,
    TracedSource,
    scripted,
    seeded,
)


class Killed(BaseException):
    """The process died here."""


def creations(target: MemoryTarget, count: int) -> list[Write]:
    inbox = target.special(Role.INBOX)
    item = Item(Ref("i"), Lane.IMPORT, "IPM.Note", b"12345678", stream=pack(Content()))
    return [Write(kind=WriteKind.CREATE, folder_id=inbox, item=item) for _ in range(count)]


def written(destination: Destination, writes: list[Write]) -> list[Outcome]:
    return destination.write(writes).result(5)


def source_and_folder(items: int = 0) -> tuple[MemorySource, Folder]:
    mailbox = MemoryMailbox()
    inbox = mailbox.special(Role.INBOX)
    for n in range(items):
        mailbox.put(inbox, f"private subject {n}")
    source = MemorySource(mailbox)
    return source, next(folder for folder in source.folders() if folder.id == inbox)


# ---- dry


def test_a_dry_run_leaves_the_target_as_it_was() -> None:
    target = MemoryTarget()
    kept = target.deliver(target.special(Role.INBOX), Content())
    before = (dict(target.boxes), dict(target.items), target.items[kept].version)
    dry = DryRun(MemoryDestination(target))
    folder_id = dry.place_folder(Folder("x", None, "New"), None, None)
    assert dry.place_folder(Folder("x", None, "New"), None, folder_id) == folder_id
    outcomes = written(dry, [*creations(target, 2), Write(kind=WriteKind.REMOVE, target_id=kept)])
    dry.stake(Claim("i", 1, 1))
    assert dry.remove_folder(target.special(Role.INBOX))
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert len({outcome.target_id for outcome in outcomes if isinstance(outcome, Receipt)}) == 3
    assert (dict(target.boxes), dict(target.items), target.items[kept].version) == before
    assert dry.claim() is None


def test_a_dry_run_shows_what_it_made_up_beside_what_is_there() -> None:
    target = MemoryTarget()
    kept = target.deliver(target.special(Role.INBOX), Content())
    dry = DryRun(MemoryDestination(target))
    folder_id = dry.place_folder(Folder("x", None, "New"), None, None)
    (made,) = written(dry, [Write(kind=WriteKind.CREATE, folder_id=folder_id)])
    assert isinstance(made, Receipt)
    refs = dry.peek([made.target_id, kept, "not there"])
    assert [ref and ref.id for ref in refs] == [made.target_id, kept, None]
    assert refs[0] is not None
    assert refs[0].folder_id == folder_id
    assert list(dry.inventory(folder_id)) == []
    assert [entry.id for entry in dry.inventory(target.special(Role.INBOX))] == [kept]


# ---- traced


def test_every_call_is_counted_and_logged_without_private_content() -> None:
    source, folder = source_and_folder(2)
    target = MemoryTarget()
    traced, written_to = TracedSource(source), TracedDestination(MemoryDestination(target))
    with structlog.testing.capture_logs() as logs:
        page = traced.changes(folder, None)
        written(written_to, creations(target, 3))
        with pytest.raises(Unavailable):
            written_to.place_folder(Folder("x", "p", "private name"), "gone", None)
    assert len(page.changes) == 2
    assert traced.calls == Counter(changes=1)
    assert written_to.calls == Counter(write=1, place_folder=1)
    assert [line["method"] for line in logs] == ["changes", "write", "place_folder"]
    assert logs[1]["receipt"] == 3
    assert (logs[2]["error"], logs[2]["code"]) == ("Unavailable", "memory")
    assert "private" not in str(logs)


# ---- faulty


@pytest.mark.parametrize(("when", "kind", "there"), [("before", Unsent, 0), ("after", Doubt, 3), ("lost", Doubt, 0)])
def test_a_write_that_fails_ends_in_an_outcome(when: str, kind: type[Outcome], there: int) -> None:
    target = MemoryTarget()
    error = Unavailable("planned")
    faulty = FaultyDestination(MemoryDestination(target), scripted({("write", 2): Fault(error, when)}))  # type: ignore[arg-type]
    assert all(isinstance(outcome, Receipt) for outcome in written(faulty, creations(target, 1)))
    outcomes = written(faulty, creations(target, 3))
    assert [type(outcome) for outcome in outcomes] == [kind] * 3
    assert all(isinstance(outcome, Unsent | Doubt) and outcome.cause is error for outcome in outcomes)
    assert len(target.items) == 1 + there
    assert faulty.hit == [("write", 2)]


def test_a_fault_may_strike_some_writes_of_a_lot() -> None:
    target = MemoryTarget()
    fault = Fault(Unavailable("planned"), "lost", only=frozenset({0, 2}))
    faulty = FaultyDestination(MemoryDestination(target), scripted({("write", 1): fault}))
    outcomes = written(faulty, creations(target, 4))
    assert [type(outcome) for outcome in outcomes] == [Doubt, Receipt, Doubt, Receipt]
    assert len(target.items) == 2


@pytest.mark.parametrize(("when", "there"), [("before", 0), ("lost", 0), ("after", 2)])
def test_death_comes_before_or_after_the_server_acted(when: str, there: int) -> None:
    target = MemoryTarget()
    faulty = FaultyDestination(MemoryDestination(target), scripted({("write", 1): Fault(Killed(), when)}))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        faulty.write(creations(target, 2))
    assert len(target.items) == there


def test_a_call_may_act_and_still_fail() -> None:
    target = MemoryTarget()
    plan = scripted({("place_folder", 1): Fault(Unavailable("planned"), "after"), ("stake", 1): Fault(Killed())})
    faulty = FaultyDestination(MemoryDestination(target), plan)
    with pytest.raises(Unavailable):
        faulty.place_folder(Folder("x", None, "New"), None, None)
    assert "New" in {box.name for box in target.boxes.values()}
    with pytest.raises(Killed):
        faulty.stake(Claim("i", 1, 1))
    assert target.claim is None


def test_a_listing_may_be_cut() -> None:
    source, folder = source_and_folder(5)
    plan = scripted({("inventory", 1): Fault(Unavailable("cut"), cut=2), ("fetch", 1): Fault(Unavailable("cut"), cut=1)})
    faulty = FaultySource(source, plan)
    inventory = faulty.inventory(folder)
    assert [next(inventory).id, next(inventory).id] == [entry.id for entry in source.inventory(folder)][:2]
    with pytest.raises(Unavailable):
        next(inventory)
    refs = [Ref(entry.id) for entry in source.inventory(folder)]
    listing = faulty.fetch(refs, Lane.IMPORT)
    assert isinstance(next(listing), Item)
    with pytest.raises(Unavailable):
        next(listing)
    assert len(list(faulty.inventory(folder))) == 5


def test_a_seeded_plan_is_the_same_again_and_hits_its_share() -> None:
    def hits(plan: Plan) -> list[tuple[str, int]]:
        return [(method, n) for n in range(1, 1001) for method in ("write", "close") if plan(method, n)]

    first = hits(seeded(7, 0.2))
    assert first == hits(seeded(7, 0.2))
    assert first != hits(seeded(8, 0.2))
    assert 130 < len(first) < 270
    assert {method for method, _ in first} == {"write"}
    assert hits(seeded(7, 0.0)) == []


def test_a_seeded_fault_before_the_call_says_that_it_did_nothing() -> None:
    faults = [fault for n in range(1, 200) if (fault := seeded(1, 1.0)("write", n))]
    assert {fault.when for fault in faults} == {"before", "after", "lost"}
    assert all(isinstance(fault.error, Unavailable) and fault.error.did_nothing == (fault.when == "before") for fault in faults)


# ---- nesting


@pytest.mark.parametrize(
    "wrap", [TracedDestination, lambda inner: FaultyDestination(TracedDestination(inner), seeded(1, 0.0)), DryRun]
)
def test_wrappers_nest_and_pass_powers_and_figures_on(wrap: Callable[[Destination], Destination]) -> None:
    inner = MemoryDestination(MemoryTarget())
    destination = wrap(wrap(inner))
    assert destination.limits == inner.limits
    assert destination.accepts == inner.accepts
    assert destination.movable == inner.movable
    identity = Identity("IPM.Note", b"k", None, None, None)
    assert destination.find([identity]) == {identity: []}
    assert destination.figures()["requests.find"] == 1
    destination.close()


def test_a_wrapped_source_passes_powers_and_figures_on() -> None:
    inner, _ = source_and_folder()
    source: Source = FaultySource(TracedSource(inner), seeded(1, 0.0))
    assert (source.limits, source.offers) == (inner.limits, inner.offers)
    list(source.folders())
    assert source.figures()["requests.folders"] == 2
    source.close()
