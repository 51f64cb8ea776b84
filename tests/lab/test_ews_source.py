"""The Exchange connector reads the lab's Exchange server as it is: every folder, every item, every lane, by every way in."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from test_exchange import ANNA, Served, a_certificate, an_estate, check_against_the_schema, running, the_options, the_validator

from connectors.base import Address, Entry, Facts, Folder, Gone, Item, Lane, Message, Put, Ref, Refusal, Role, hash_subject
from connectors.errors import Halt, MailboxBlocked, StaleCursor
from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.folders import settled
from connectors.ews.source import ExchangeSource
from connectors.lab import exchange_ids, exchange_mime, stream, truth
from connectors.lab.exchange import busy_for
from connectors.lab.people import furnish
from connectors.lab.truth import Estate, Mailbox

BEN = "ben@lab.test"


@contextmanager
def reading(served: Served, mailbox: str = ANNA, **more: Any) -> Iterator[ExchangeSource]:
    settings: dict[str, Any] = {"username": "LAB\\svc", "password": "p w", "timeout": 20.0, **more}
    server = ExchangeServer(Exchange(url=served.url, **settings), stop=threading.Event())
    source = ExchangeSource(server, mailbox)
    try:
        yield source
    finally:
        source.close()
        server.close()


@contextmanager
def exchange(estate: Estate | None = None, certificate: Path | None = None, **options: Any) -> Iterator[Served]:
    chosen = the_options()
    for name, value in options.items():
        setattr(chosen, name, value)
    with running(estate or an_estate(), chosen, certificate) as served:
        yield served
    check_against_the_schema(served.log)


@pytest.fixture(scope="module")
def furnished() -> Estate:
    """Mailboxes as people fill theirs, oddities included."""
    estate = Estate()
    furnish(estate, mailboxes=2, items=150, seed=7)
    return estate


def inbox_of(source: ExchangeSource) -> Folder:
    return next(folder for folder in source.folders() if folder.role is Role.INBOX)


def listed(source: ExchangeSource, folder: Folder) -> list[Put]:
    found: list[Put] = []
    cursor: str | None = None
    while True:
        page = source.changes(folder, cursor)
        found += [change for change in page.changes if isinstance(change, Put)]
        cursor = page.cursor
        if page.last:
            return found


def own_ids(mailbox: Mailbox) -> dict[str, truth.Item]:
    """The truth's items by the ids that the wire shows."""
    return {exchange_ids.item_id(mailbox, item.id): item for item in mailbox.items.values()}


def whole_seconds(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


def people(persons: list[truth.Person]) -> list[tuple[str, str]]:
    """Names and addresses as the server shows them: who has no name is shown by the address."""
    return [(one.name or one.address, one.address) for one in persons]


def shown(addresses: Iterable[Address | None]) -> list[tuple[str, str]]:
    return [(one.name, one.address) for one in addresses if one is not None]


# --- every way in


@pytest.mark.parametrize("auth", ["ntlm", "basic"])
def test_a_mailbox_is_read_whole_in_both_lanes(furnished: Estate, auth: str) -> None:
    with exchange(furnished) as served:
        for address, mailbox in furnished.mailboxes.items():
            served.options.impersonation_scope = {address}
            with reading(served, address, auth=auth) as source:
                read_all(source, mailbox)


def read_all(source: ExchangeSource, mailbox: Mailbox) -> None:
    known = own_ids(mailbox)
    folders = list(source.folders())
    assert {folder.name for folder in folders} <= {box.name for box in mailbox.boxes.values()}
    seen: dict[str, Put] = {}
    for folder in folders:
        assert folder.total == len(listed(source, folder))
        for put in listed(source, folder):
            seen[put.ref.id] = put
    assert seen.keys() == known.keys()
    refs = [put.ref for put in seen.values()]
    for at in range(0, len(refs), source.limits.fetch_items):
        lot = refs[at : at + source.limits.fetch_items]
        for ref, answer in zip(lot, source.fetch(lot, Lane.IMPORT), strict=True):
            assert isinstance(answer, Item), (answer, known[ref.id].item_class)
            assert answer.stream is not None
            same_item(stream.unpack(base64.b64decode(answer.stream, validate=True)), known[ref.id])
        for ref, answer in zip(lot, source.fetch(lot, Lane.COMPOSE), strict=True):
            item = known[ref.id]
            if isinstance(answer, Refusal):
                assert answer.reason == "no-mime"
                assert not item.item_class.startswith(("IPM.Note", "IPM.Post", "IPM.Schedule", "REPORT"))
            else:
                assert isinstance(answer, Item)
                assert answer.message is not None
                if item.item_class.startswith("IPM.Note"):
                    same_message(answer.message, item)


def same_item(found: truth.Item, item: truth.Item) -> None:
    assert (found.subject, found.item_class, found.message_id) == (item.subject, item.item_class, item.message_id)
    assert [part.content for part in found.parts] == [part.content for part in item.parts]
    assert (found.body_html, found.is_read, found.categories) == (item.body_html, item.is_read, item.categories)


def same_message(message: Message, item: truth.Item) -> None:
    body = item.body_html if item.body_html is not None else item.body_text or ""
    assert (message.body, message.body_kind) == (body, "text" if item.body_html is None else "html")
    assert message.subject == item.subject
    assert shown(message.to) == people(item.to)
    assert shown(message.cc) == people(item.cc)
    assert shown(message.bcc) == people(item.bcc)
    assert shown([message.sender]) == people([item.sender] if item.sender else [])
    assert shown([message.author]) == people([item.author] if item.author else [])
    assert message.message_id == item.message_id
    assert (message.submitted, message.received) == (whole_seconds(item.submitted), whole_seconds(item.received))
    assert (message.is_read, message.is_draft) == (item.is_read, item.is_draft)
    assert message.categories == tuple(item.categories)
    assert message.importance == ("low", "normal", "high")[item.importance]
    assert message.sensitivity == ("normal", "personal", "private", "confidential")[item.sensitivity]
    assert message.wants_read_receipt == item.wants_read_receipt
    assert ("notFlagged" if message.follow_up is None else message.follow_up.status) == item.flag
    if message.follow_up is not None:
        times = (message.follow_up.start, message.follow_up.due)
        assert times == (whole_seconds(item.flag_start), whole_seconds(item.flag_due))
    assert message.headers == (item.headers or None)
    parts = [(base64.b64decode(one.content, validate=True), one.inline, one.content_id) for one in message.attachments]
    assert parts == [(part.content, part.inline, part.content_id) for part in item.parts]
    assert [one.name for one in message.attachments if one.content_type != "message/rfc822"] == [
        part.name for part in item.parts if part.kind == "file"
    ]
    assert "unreadable-mime" not in message.odd


def test_a_sign_in_that_is_bound_to_the_certificate_works(tmp_path: Path) -> None:
    path, fingerprint = a_certificate(tmp_path)
    with exchange(certificate=path, channel_binding=fingerprint) as served, reading(served, ca_file=str(path)) as source:
        assert inbox_of(source).total == 31


def test_a_certificate_that_is_not_trusted_stops_everything(tmp_path: Path) -> None:
    path, _ = a_certificate(tmp_path)
    with exchange(certificate=path) as served, reading(served) as source, pytest.raises(Halt) as caught:
        list(source.folders())
    assert "ca_file" in caught.value.mend


def test_a_mailbox_is_read_by_who_has_full_access_to_it() -> None:
    with exchange(impersonators=set()) as served:
        with reading(served, username=ANNA, password="own", access="full-access") as source:
            put = listed(source, inbox_of(source))[0]
            assert [type(one) for one in source.fetch([put.ref], Lane.IMPORT)] == [Item]
        with reading(served, BEN, username=ANNA, password="own", access="full-access") as source, pytest.raises(MailboxBlocked):
            list(source.folders())


@pytest.mark.parametrize("build", ["14.3.513.0", "15.0.1497.48", "15.2.2562.17"])
def test_every_version_of_the_server_is_read(build: str) -> None:
    with exchange(build=build) as served, reading(served) as source:
        refs = [put.ref for put in listed(source, inbox_of(source))]
        assert len(refs) == 31
        for lane in Lane:
            assert {type(one) for one in source.fetch(refs[:5], lane)} == {Item}


# --- what a listing tells


def test_facts_are_those_of_the_truth(furnished: Estate) -> None:
    [(address, mailbox), *_] = furnished.mailboxes.items()
    known = own_ids(mailbox)
    with exchange(furnished) as served, reading(served, address) as source:
        facts = {put.ref.id: put.facts for folder in source.folders() for put in listed(source, folder)}
    for id_, found in facts.items():
        item = known[id_]
        appointment = item.item_class.startswith("IPM.Appointment")
        assert found == Facts(
            item_class=item.item_class,
            size=item.size,
            search_key=item.search_key or None,
            message_id=item.message_id,
            subject_hash=hash_subject(item.subject),
            submitted=whole_seconds(item.submitted),
            received=whole_seconds(item.received),
            created=whole_seconds(item.created),
            modified=whole_seconds(item.modified),
            start=found.start if appointment else None,
            is_read=item.is_read,
            has_attendees=found.has_attendees if appointment or item.item_class.startswith("IPM.Schedule") else False,
            wants_receipt=item.wants_read_receipt,
        )
        assert not appointment or found.start is not None


@pytest.mark.parametrize("bare", [False, True])
def test_an_inventory_tells_the_same_as_a_listing(bare: bool) -> None:
    with exchange(find_page=7, sync_page=5, refuse_additional_in_sync=bare) as served, reading(served) as source:
        folder = inbox_of(source)
        entries = {entry.id: entry for entry in source.inventory(folder)}
        assert len(entries) == 31
        assert entries == {put.ref.id: Entry(put.ref.id, put.facts, put.ref.version) for put in listed(source, folder)}


def test_folders_have_their_counts_and_search_folders_are_left_out() -> None:
    with exchange() as served, reading(served) as source:
        folders = {folder.name: folder for folder in source.folders()}
    assert "Ungelesen" not in folders
    assert folders["Versteckt"].hidden
    assert (folders["Posteingang"].total, folders["Posteingang"].unread) == (31, 30)
    assert folders["Projekte & <mehr>"].parent_id == folders["Posteingang"].id
    assert folders["Kalender"].role is Role.CALENDAR
    assert folders["Posteingang"].parent_id is None


def test_a_folder_without_a_change_stamp_has_none() -> None:
    with exchange(change_stamps=False) as served, reading(served) as source:
        assert {folder.change_stamp for folder in source.folders()} == {None}


def stamps_of(source: ExchangeSource) -> dict[str, str | None]:
    return {folder.name: folder.change_stamp for folder in source.folders()}


def test_stamps_that_a_listing_leaves_out_are_asked_for_a_hundred_at_once() -> None:
    with exchange(stamps_in_find=True) as served, reading(served) as source:
        at_once = stamps_of(source)
        assert source.figures()["requests.GetFolder"] == 1
        assert all(at_once.values())
    with exchange(stamps_in_find=False) as served, reading(served) as source:
        assert stamps_of(source) == at_once
        assert source.figures()["requests.GetFolder"] == 2


def test_a_server_that_refuses_stamps_is_asked_without_them() -> None:
    with exchange(refuse_stamps=("FindFolder",)) as served, reading(served) as source:
        assert all(stamps_of(source).values())
    with exchange(refuse_stamps=("FindFolder", "GetFolder")) as served, reading(served) as source:
        assert set(stamps_of(source).values()) == {None}
        assert stamps_of(source).keys() >= {"Posteingang"}


@pytest.mark.parametrize("in_find", [True, False])
def test_one_folder_without_a_stamp_does_not_spoil_the_others(in_find: bool) -> None:
    with exchange(stamps_in_find=in_find) as served, reading(served) as source:
        box = served.anna.by_role("inbox")
        assert box is not None
        served.options.unstamped = {box.id}
        assert [name for name, stamp in stamps_of(source).items() if stamp is None] == ["Posteingang"]


@pytest.mark.parametrize("in_find", [True, False])
def test_a_stamp_is_trusted_when_no_later_change_can_share_its_time(in_find: bool) -> None:
    with exchange(stamps_in_find=in_find) as served, reading(served) as source:
        for age, trusted in ((-3600, False), (0, False), (30, False), (90, True)):
            committed = datetime.now(UTC) - timedelta(seconds=age)
            served.options.stamp_clock = lambda _, committed=committed: committed  # type: ignore[misc]
            assert {stamp is not None for stamp in stamps_of(source).values()} == {trusted}, age


def test_a_server_that_does_not_tell_the_time_gives_no_stamp_to_be_trusted() -> None:
    assert settled({}, 0.0) is None
    assert settled({"date": "yesterday"}, 0.0) is None
    told = settled({"date": "Wed, 01 May 2024 10:00:00 GMT"}, 5.0)
    assert told == datetime(2024, 5, 1, 9, 58, 55, tzinfo=UTC)


def test_all_cursors_can_die_at_once() -> None:
    with exchange() as served, reading(served) as source:
        folder = inbox_of(source)
        cursor = source.changes(folder, None).cursor
        served.options.sync_epoch = 1
        with pytest.raises(StaleCursor):
            source.changes(folder, cursor)


# --- trouble


def test_characters_that_xml_forbids_stop_neither_lane() -> None:
    estate = an_estate()
    for item in list(estate.mailboxes[ANNA].items.values())[:3]:
        item.subject, item.body_text = "a\x01b\x0bc\ufffe", "x\x08y"
    options = the_options()
    options.illegal_characters = True
    # The schema's validator reads no such answers, so that this one is not held against it.
    with running(estate, options) as served, reading(served) as source:
        puts = listed(source, inbox_of(source))
        assert len(puts) == 31
        found = list(source.fetch([put.ref for put in puts], Lane.COMPOSE))
    assert {type(one) for one in found} == {Item}
    assert sum(one.message.subject == "abc" for one in found if isinstance(one, Item) and one.message) == 3


@pytest.mark.parametrize("lane", list(Lane))
def test_items_that_can_not_be_read_are_told_in_their_place(lane: Lane) -> None:
    broken = {"i-3": "ErrorItemCorrupt", "i-5": "ErrorAccessDenied", "i-7": "ErrorItemNotFound"}
    with exchange(item_errors=broken) as served, reading(served) as source:
        known = own_ids(served.anna)
        refs = [put.ref for put in listed(source, inbox_of(source))]
        found = {known[ref.id].id: one for ref, one in zip(refs, source.fetch(refs, lane), strict=True)}
    assert {own: type(one) for own, one in found.items() if not isinstance(one, Item)} == {
        "i-3": Refusal,
        "i-5": Refusal,
        "i-7": Gone,
    }


def test_a_busy_server_is_waited_for_and_nothing_is_lost() -> None:
    with exchange() as served, reading(served) as source:
        folder = inbox_of(source)
        served.options.busy = busy_for(3, 20)
        puts = listed(source, folder)
        served.options.busy = busy_for(2, 20)
        assert len(list(source.fetch([put.ref for put in puts], Lane.IMPORT))) == len(puts) == 31
        assert source.figures()["waited.server"] >= 0.09


def test_a_busy_server_is_asked_less_at_once_and_other_mailboxes_are_not() -> None:
    with exchange() as served, reading(served) as source, closing(ExchangeSource(source.client.server, BEN)) as other:
        folder = inbox_of(source)
        configured = source.client.slots.n
        served.options.busy = busy_for(1, 20)
        puts = listed(source, folder)
        assert len(list(source.fetch([put.ref for put in puts], Lane.IMPORT))) == len(puts) == 31
        assert 1 <= source.client.slots.n < configured
        inbox_of(other)
        assert other.client.slots.n == configured


def test_a_mailbox_out_of_scope_is_blocked() -> None:
    with exchange(impersonation_scope={BEN}) as served, reading(served) as source, pytest.raises(MailboxBlocked) as caught:
        list(source.folders())
    assert (caught.value.side, bool(caught.value.mend)) == ("source", True)


def test_an_id_that_is_gone_is_gone_in_both_lanes() -> None:
    with exchange() as served, reading(served) as source:
        put = listed(source, inbox_of(source))[0]
        served.anna.remove(own_ids(served.anna)[put.ref.id].id)
        for lane in Lane:
            assert list(source.fetch([put.ref], lane)) == [Gone(put.ref)]


# --- how it is asked


def test_one_thread_lists_while_another_fetches_and_each_signs_in_once() -> None:
    with exchange() as served, reading(served) as source:
        folder = inbox_of(source)
        refs = [put.ref for put in listed(source, folder)]
        fetched: list[object] = []
        thread = threading.Thread(target=lambda: fetched.extend(one for ref in refs for one in source.fetch([ref], Lane.IMPORT)))
        thread.start()
        for _ in range(10):
            assert len(listed(source, folder)) == 31
        thread.join()
        refused = sum(one["status"] == 401 for one in served.log)
    assert [type(one) for one in fetched] == [Item] * 31
    assert refused <= 4, "two sessions, and two answers without a sign-in for each of them"


def test_a_seed_takes_few_requests(furnished: Estate) -> None:
    [(address, mailbox), *_] = furnished.mailboxes.items()
    with exchange(furnished) as served, reading(served, address) as source:
        folders = list(source.folders())
        puts = [put for folder in folders for put in listed(source, folder)]
        for lane, most in ((Lane.IMPORT, 0.06), (Lane.COMPOSE, 0.06)):
            before = sum(value for name, value in source.figures().items() if name.startswith("requests."))
            for at in range(0, len(puts), 20):
                list(source.fetch([put.ref for put in puts[at : at + 20]], lane))
            asked = sum(value for name, value in source.figures().items() if name.startswith("requests.")) - before
            assert asked / len(mailbox.items) <= most
        figures = source.figures()
    assert figures["requests.SyncFolderItems"] == len(folders)
    assert (figures["requests.GetFolder"], figures["requests.FindFolder"]) == (2, 1), "roles, change stamps; the tree"
    assert figures["bytes.received"] > figures["bytes.sent"] > 0


def test_every_request_keeps_to_the_schema(tmp_path: Path) -> None:
    if not the_validator().exists():
        pytest.skip("no validator beside the project")
    with exchange(refuse_additional_in_sync=True) as served:
        for access in ("impersonation", "full-access"):
            with reading(served, username=ANNA if access == "full-access" else "LAB\\svc",
                         password="own" if access == "full-access" else "p w", access=access) as source:  # fmt: skip
                folder = inbox_of(source)
                refs = [put.ref for put in listed(source, folder)][:3]
                for lane in Lane:
                    assert len(list(source.fetch(refs, lane))) == 3
                assert len(list(source.inventory(folder))) == 31
        asked = [one for one in served.log if one["status"] == 200]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in asked), encoding="utf-8")
    command = [sys.executable, str(the_validator()), str(path), "--schema", "se", "--max-show", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SOAP exchanges" in done.stdout, done.stderr
    assert [line for line in done.stdout.splitlines() if ": E " in line] == []


def test_nested_messages_are_exact() -> None:
    with exchange() as served, reading(served) as source:
        known = own_ids(served.anna)
        ref = next(Ref(wire) for wire, item in known.items() if item.id == "i-900")
        [one] = source.fetch([ref], Lane.COMPOSE)
    assert isinstance(one, Item)
    assert one.message is not None
    inner = one.message.attachments[-1]
    assert (inner.content_type, base64.b64decode(inner.content)) == ("message/rfc822", known[ref.id].parts[-1].content)
    assert exchange_mime.parse(base64.b64decode(inner.content)).subject == "inner"
