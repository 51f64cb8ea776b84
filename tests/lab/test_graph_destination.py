"""The Graph connector writes into the lab's tenant: what arrives is looked at in the mailbox itself, and nobody gets mail."""

from __future__ import annotations

import base64
import dataclasses
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from test_login import fresh, tenant_of

from connectors import base
from connectors.base import (
    Address,
    Attachment,
    Claim,
    Facts,
    Folder,
    FollowUp,
    Lane,
    Message,
    Outcome,
    Receipt,
    Ref,
    Refusal,
    Role,
    Unsent,
    Write,
    WriteKind,
    hash_subject,
    identify,
    stamp_of,
)
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.lab import stream
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Mailbox, Person

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
BUILD = (15, 1, 2507)


class Target:
    """A mailbox of the test's own, and our connector for it."""

    def __init__(self, lab: Lab, client: GraphClient) -> None:
        self.lab = lab
        self.mailbox: Mailbox = fresh(lab)
        self.there = GraphDestination(client, self.mailbox.address)

    def inbox(self) -> str:
        return self.there.place_folder(Folder("inbox", None, "Posteingang", role=Role.INBOX), None, None)

    def folder(self, name: str, kind: str = "IPF.Note", parent: str | None = None) -> str:
        return self.there.place_folder(Folder(f"s/{name}", None, name, kind), parent, None)

    def write(self, *writes: Write) -> list[Outcome]:
        return self.there.write(writes).result(60)

    def good(self, *writes: Write) -> list[Receipt]:
        outcomes = self.write(*writes)
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert len(receipts) == len(writes), outcomes
        return receipts

    def items(self) -> list[Item]:
        return list(self.mailbox.items.values())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        yield lab


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[GraphClient]:
    client = GraphClient(tenant_of(lab))
    yield client
    client.close()


@pytest.fixture
def target(lab: Lab, client: GraphClient) -> Iterator[Target]:
    made = Target(lab, client)
    yield made
    assert made.mailbox.sent == [], "the connector made the tenant send mail"


def an_item(subject: str = "Hello", **more: Any) -> Item:
    fields: dict[str, Any] = {"submitted": WHEN, "received": WHEN, "created": WHEN, "message_id": f"<{subject}@x>"}
    return Item(subject=subject, body_text="x", search_key=secrets.token_bytes(16), **{**fields, **more})


def imported(item: Item, folder: str, **more: Any) -> Write:
    data = base64.b64encode(stream.pack(item, BUILD))
    carried = base.Item(Ref(item.subject), Lane.IMPORT, item.item_class, b"12345678", stream=data)
    given: dict[str, Any] = {"kind": WriteKind.CREATE, "stamp": stamp_of(secrets.token_bytes(16)), **more}
    return Write(lane=Lane.IMPORT, item_class=item.item_class, folder_id=folder, item=carried, **given)


def composed(folder: str, item_class: str = "IPM.Note", stamp: str | None = None, **fields: Any) -> Write:
    message = Message(**{"subject": "Hello", "body": "x", "submitted": WHEN, "received": WHEN, "message_id": "<c@x>", **fields})
    carried = base.Item(Ref("c"), Lane.COMPOSE, item_class, b"12345678", message=message)
    mark = stamp or stamp_of(secrets.token_bytes(16))
    return Write(kind=WriteKind.CREATE, lane=Lane.COMPOSE, item_class=item_class, folder_id=folder, stamp=mark, item=carried)


def an_attachment(size: int, name: str = "big.bin", **more: Any) -> tuple[bytes, Attachment]:
    data = secrets.token_bytes(size)
    return data, Attachment(name, "application/octet-stream", base64.b64encode(data), size, **more)


# --- what arrives


def test_every_class_of_item_is_imported_as_it_is(target: Target) -> None:
    inbox, contacts = target.inbox(), target.folder("People", "IPF.Contact")
    mail = an_item("mail", is_read=True, categories=["Red"], sender=Person("A", "a@x"), flag="flagged")
    contact = an_item("contact", item_class="IPM.Contact", message_id=None)
    one, two = target.good(imported(mail, inbox), imported(contact, contacts))
    found = {item.subject: item for item in target.items()}
    assert (found["mail"].is_read, found["mail"].categories, found["mail"].flag) == (True, ["Red"], "flagged")
    assert (found["mail"].received, found["mail"].is_draft) == (WHEN, False)
    assert target.mailbox.boxes[found["contact"].folder_id].name == "People"
    assert [len(one.target_id) < 100, len(two.target_id) < 100] == [True, True], "ids are those that survive a move"
    assert [ref and ref.version for ref in target.there.peek([one.target_id, two.target_id])] == [one.version, two.version]


def test_a_composed_message_has_all_that_it_had(target: Target) -> None:
    ann, ben = Address("Ann", "ann@x.example"), Address("Ben", "ben@x.example")
    data, attachment = an_attachment(2000, content_id="logo", inline=True)
    due = WHEN + timedelta(days=1)
    write = composed(
        target.inbox(),
        body="<p>x</p>",
        body_kind="html",
        author=ann,
        to=(ben,),
        cc=(ann, ben),
        bcc=(ann,),
        reply_to=(ben,),
        in_reply_to="<0@x>",
        references="<0@x> <00@x>",
        headers="Received: by x\r\n",
        received=due,
        is_read=True,
        importance="high",
        sensitivity="private",
        categories=("Red", "Blue"),
        follow_up=FollowUp("flagged", due=due),
        wants_delivery_receipt=True,
        attachments=(attachment,),
    )
    target.good(write)
    [item] = target.items()
    assert (item.subject, item.body_html, item.message_id, item.is_draft, item.is_read) == (
        "Hello",
        "<p>x</p>",
        "<c@x>",
        False,
        True,
    )
    assert [one and one.address for one in (item.author, item.sender)] == ["ann@x.example"] * 2
    assert [len(people) for people in (item.to, item.cc, item.bcc, item.reply_to)] == [1, 2, 1, 1]
    assert (item.in_reply_to, item.references, item.headers) == ("<0@x>", "<0@x> <00@x>", "Received: by x\r\n")
    assert (item.submitted, item.received) == (WHEN, due)
    assert (item.importance, item.sensitivity, item.categories) == (2, 2, ["Red", "Blue"])
    assert (item.flag, item.flag_due, item.wants_delivery_receipt) == ("flagged", due, True)
    assert [(part.name, part.content, part.inline, part.content_id) for part in item.parts] == [("big.bin", data, True, "logo")]
    assert target.mailbox.boxes[item.folder_id].role == "inbox"


def test_a_draft_stays_a_draft_and_a_report_a_report(target: Target) -> None:
    target.good(composed(target.inbox(), is_draft=True), composed(target.inbox(), "REPORT.IPM.Note.NDR", subject="ndr"))
    assert {item.subject: (item.is_draft, item.item_class) for item in target.items()} == {
        "Hello": (True, "IPM.Note"),
        "ndr": (False, "REPORT.IPM.Note.NDR"),
    }


def test_a_large_attachment_goes_up_in_a_session_of_its_own(target: Target) -> None:
    large, first = an_attachment(5_000_000)
    small, second = an_attachment(10, "small.bin")
    write = composed(target.inbox(), attachments=(first, second), wants_read_receipt=True)
    [receipt] = target.good(write)
    [item] = target.items()
    assert sorted((part.name, part.content == large or part.content == small) for part in item.parts) == [
        ("big.bin", True),
        ("small.bin", True),
    ]
    assert item.wants_read_receipt
    [found] = target.there.find([identify(Facts(), write.stamp)]).values()
    assert [(ref.id, ref.version, ref.stamp) for ref in found] == [(receipt.target_id, receipt.version, write.stamp)]


@pytest.mark.parametrize("data", [b"", b"no stream at all"])
def test_a_broken_stream_is_refused_and_leaves_nothing(target: Target, data: bytes) -> None:
    write = imported(an_item(), target.inbox())
    assert write.item is not None
    broken = replace(write, item=dataclasses.replace(write.item, stream=base64.b64encode(data)))
    [outcome] = target.write(broken)
    assert isinstance(outcome, Refusal)
    assert target.items() == []


def test_an_item_over_the_tenants_cap_is_refused_as_too_large(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.lab.options[1], "import_cap", 100)
    [outcome] = target.write(imported(an_item(), target.inbox()))
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "too-large"


def test_an_import_address_that_is_never_good_is_no_items_fault(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.lab.options[1], "session_seconds", -5.0)
    [outcome] = target.write(imported(an_item(), target.inbox()))
    assert isinstance(outcome, Unsent)
    monkeypatch.undo()
    target.good(imported(an_item(), target.inbox()))
    assert len(target.items()) == 1


# --- what changes afterwards


def test_an_update_replaces_what_was_seen_and_nothing_newer(target: Target) -> None:
    inbox = target.inbox()
    [made] = target.good(imported(an_item("old"), inbox))
    change = imported(an_item("new"), inbox, kind=WriteKind.UPDATE, target_id=made.target_id, version=made.version)
    [after] = target.good(change)
    assert ([item.subject for item in target.items()], after.target_id) == (["new"], made.target_id)
    [refused] = target.write(change)
    assert isinstance(refused, Refusal)
    assert refused.reason == "target-changed"


def test_what_is_no_message_and_lies_among_mail_is_found_where_it_was_left(target: Target) -> None:
    inbox, contacts = target.inbox(), target.folder("People", "IPF.Contact")
    lying, moved = (imported(an_item(name, item_class="IPM.Contact"), inbox) for name in ("lying", "moved"))
    ids = [receipt.target_id for receipt in target.good(lying, moved)]
    (item,) = (one for one in target.items() if one.subject == "moved")
    people = next(box.id for box in target.mailbox.boxes.values() if box.name == "People")
    target.mailbox.by_folder[people][item.id] = target.mailbox.by_folder[item.folder_id].pop(item.id)
    item.folder_id = people
    found = target.there.peek([*ids, "AAMkgone"], [inbox, inbox, inbox])
    assert [ref and (ref.id, ref.folder_id) for ref in found] == [(ids[0], inbox), (ids[1], contacts), None]


def test_flags_moves_and_removals(target: Target) -> None:
    inbox, archive = target.inbox(), target.folder("Old")
    writes = [imported(an_item(f"i{number}"), inbox) for number in range(3)]
    one, two, three = (receipt.target_id for receipt in target.good(*writes))
    target.good(*(Write(kind=WriteKind.FLAG, target_id=each, is_read=True) for each in (one, two, three)))
    assert [item.is_read for item in target.items()] == [True] * 3
    stamp = stamp_of(b"2" * 16)
    [moved] = target.good(Write(kind=WriteKind.MOVE, target_id=two, folder_id=archive, stamp=stamp))
    assert [ref and ref.folder_id for ref in target.there.peek([one, moved.target_id])] == [inbox, archive]
    target.good(*(Write(kind=WriteKind.REMOVE, target_id=each) for each in (one, one, three)))
    assert [item.subject for item in target.items()] == ["i1"]
    assert target.there.peek([one, moved.target_id])[0] is None


@pytest.mark.parametrize("lane", [Lane.IMPORT, Lane.COMPOSE])
def test_nothing_leaves_once_the_guard_says_no(target: Target, lane: Lane) -> None:
    inbox = target.inbox()
    [there] = target.good(imported(an_item("before"), inbox))
    target.there.guard(lambda: False)
    create = imported(an_item("after"), inbox) if lane is Lane.IMPORT else composed(inbox)
    outcomes = target.write(create, Write(kind=WriteKind.REMOVE, lane=lane, target_id=there.target_id))
    assert all(isinstance(each, Unsent) and each.cause.code == "lease" for each in outcomes), outcomes
    assert [item.subject for item in target.items()] == ["before"]
    target.there.guard(lambda: True)
    target.good(Write(kind=WriteKind.REMOVE, lane=lane, target_id=there.target_id))


def test_the_guard_is_asked_when_the_connection_is_there(target: Target, client: GraphClient) -> None:
    """Making it may have outlasted the lease."""
    inbox = target.inbox()
    wire = client._wire
    assert wire is not None
    client.run(wire.close())
    asked: list[int] = []

    def may_leave() -> bool:
        asked.append(len(wire))
        return False

    target.there.guard(may_leave)
    [outcome] = target.write(composed(inbox))
    assert asked == [1]
    assert isinstance(outcome, Unsent)
    assert outcome.cause.code == "lease"
    assert target.items() == []


def test_the_guard_is_asked_before_each_piece_of_a_large_body(target: Target) -> None:
    """A process that slept while a body went out finds its lease gone; what is not whole is not carried out."""
    inbox = target.inbox()
    target.good(imported(an_item("small"), inbox))  # so that the session is open
    answers = iter([True, True, True, False])
    target.there.guard(lambda: next(answers))
    [outcome] = target.write(imported(dataclasses.replace(an_item("large"), body_text="x" * 2_000_000), inbox))
    assert isinstance(outcome, Unsent)
    assert outcome.cause.code == "lease"
    assert next(answers, None) is None
    assert [item.subject for item in target.items()] == ["small"]


# --- looking


def test_copies_are_counted_wherever_they_lie_and_by_identity_alone(target: Target) -> None:
    inbox, other = target.inbox(), target.folder("Other")
    target.good(*(imported(an_item("twin"), folder) for folder in (inbox, inbox, other)), imported(an_item("single"), inbox))
    twin, single, nobody = (
        identify(Facts(message_id=f"<{name}@x>", subject_hash=hash_subject(name), submitted=WHEN))
        for name in ("twin", "single", "nobody")
    )
    found = target.there.find([twin, single, nobody])
    assert [len(found.get(each, [])) for each in (twin, single, nobody)] == [3, 1, 0]


def test_a_contact_is_found_by_its_time_and_subject(target: Target) -> None:
    contacts = target.folder("People", "IPF.Contact")
    [made] = target.good(imported(an_item("Zoe", item_class="IPM.Contact", message_id=None), contacts))
    facts = Facts(item_class="IPM.Contact", subject_hash=hash_subject("Zoe"), submitted=WHEN)
    [found] = target.there.find([identify(facts)]).values()
    assert [ref.id for ref in found] == [made.target_id]


def test_an_inventory_pages_through_everything(target: Target) -> None:
    inbox = target.inbox()
    with target.mailbox.lock:
        box = target.mailbox.by_role("inbox")
        assert box is not None
        for number in range(1203):
            target.mailbox.add(Item(id=f"n{number}", folder_id=box.id, message_id=f"<{number}@x>", submitted=WHEN))
    entries = list(target.there.inventory(inbox))
    assert len({entry.id for entry in entries}) == 1203
    assert {entry.facts.message_id for entry in entries} == {f"<{number}@x>" for number in range(1203)}
    assert list(target.there.inventory("nowhere")) == []


# --- folders and claims


def test_folders_are_placed_by_role_and_removed_only_if_empty(target: Target) -> None:
    calendar = target.there.place_folder(Folder("k", None, "Kalender", "IPF.Appointment", Role.CALENDAR), None, None)
    parent = target.folder("Projects")
    inner = target.folder("In/ner\n", parent=parent)
    tasks = target.folder("Projects", "IPF.Task")
    assert len({calendar, parent, inner, tasks}) == 4
    target.good(imported(an_item(), inner))
    assert not target.there.remove_folder(inner)
    assert not target.there.remove_folder(parent)
    target.good(*(Write(kind=WriteKind.REMOVE, target_id=entry.id) for entry in target.there.inventory(inner)))
    assert target.there.remove_folder(inner)
    assert target.there.remove_folder(parent)
    assert not target.there.remove_folder(target.inbox())
    assert "Projects (tasks)" in {box.name for box in target.mailbox.boxes.values() if box.kind == "IPF.Task"}


def test_a_claim_stays_with_the_mailbox(target: Target, client: GraphClient) -> None:
    assert target.there.claim() is None
    for claim in (Claim("here", 1, 5), Claim("here", 2, 9)):
        target.there.stake(claim)
        assert GraphDestination(client, target.mailbox.address).claim() == claim
