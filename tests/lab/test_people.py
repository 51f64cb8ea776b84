"""Sample mailboxes hold what real ones hold, the same for the same seed; files become mailboxes byte for byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.lab import oddities
from connectors.lab.mailfiles import NoMail, fill_from, read_mail, split_mbox
from connectors.lab.people import furnish, target_for
from connectors.lab.stream import pack, unpack
from connectors.lab.truth import Estate, Item, Mailbox


def furnished(mailboxes: int = 1, items: int = 300, seed: int = 1) -> Estate:
    estate = Estate()
    furnish(estate, mailboxes=mailboxes, items=items, seed=seed)
    return estate


def everything(estate: Estate) -> list[Item]:
    return [item for mailbox in estate.mailboxes.values() for item in mailbox.items.values()]


def content(estate: Estate) -> list[object]:
    return [(box.id, box.name) for mailbox in estate.mailboxes.values() for box in mailbox.walk()] + [
        asdict(item) for item in everything(estate)
    ]


def anna(estate: Estate) -> Mailbox:
    return next(iter(estate.mailboxes.values()))


def test_the_same_seed_makes_the_same_mailboxes_and_another_seed_others() -> None:
    assert content(furnished(2, 60)) == content(furnished(2, 60))
    assert content(furnished(2, 60)) != content(furnished(2, 60, seed=2))


def test_every_item_of_every_mailbox_has_an_id_of_its_own() -> None:
    items = everything(furnished(7, 50))
    assert len({item.id for item in items}) == len(items)


@pytest.mark.parametrize("number", [0, 1, 2, 19, 20, 47, 100, 300, 1000])
def test_a_mailbox_holds_as_many_items_as_asked_for_copies_included(number: int) -> None:
    assert [len(mailbox.items) for mailbox in furnished(2, number).mailboxes.values()] == [number, number]


def test_every_oddity_occurs_where_there_are_enough_items() -> None:
    items = everything(furnished())
    mails = [item for item in items if item.item_class == "IPM.Note"]
    assert {"IPM.Contact", "IPM.Appointment", "IPM.StickyNote", "IPM.Task", "IPM.Schedule.Meeting.Request"} <= {
        item.item_class for item in items
    }
    assert any(item.message_id is None and not item.is_draft for item in mails)
    assert any(item.subject == "" for item in mails)
    assert any("🎉" in item.subject for item in mails)
    assert any(item.submitted is not None and item.submitted.year == 1970 for item in mails)
    assert any(item.submitted is not None and item.submitted.year >= 2038 for item in mails)
    assert any(item.submitted is None and item.received is None for item in mails)
    assert any(item.sender is not None and item.sender.address.startswith("/O=") for item in mails)
    assert any(item.wants_read_receipt for item in mails)
    assert any(item.is_draft for item in mails)
    assert any(item.flag == "flagged" and item.flag_due for item in mails)
    assert any(item.flag == "complete" and item.flag_completed for item in mails)
    assert any(item.categories for item in mails)
    assert any(item.sensitivity for item in mails)
    assert {item.importance for item in mails} == {0, 1, 2}
    assert any(part.kind == "message" for item in mails for part in item.parts)


def test_replies_name_the_message_that_they_answer() -> None:
    items = everything(furnished())
    ids = {item.message_id for item in items}
    replies = [item for item in items if item.in_reply_to]
    assert len(replies) > 30
    assert all(item.references and item.references.split()[-1] == item.in_reply_to for item in replies)
    assert any(item.in_reply_to in ids for item in replies)


def test_inline_pictures_are_shown_by_the_body_that_holds_them() -> None:
    pictures = [(item, part) for item in everything(furnished()) for part in item.parts if part.inline]
    assert pictures
    assert all(item.body_html is None or f"cid:{part.content_id}" in item.body_html for item, part in pictures)


def test_copies_are_equal_in_all_but_their_id_and_lie_in_one_folder() -> None:
    items = [item for item in everything(furnished()) if item.message_id]
    twice = [key for key, number in Counter((item.folder_id, item.message_id) for item in items).items() if number == 2]
    assert twice
    first, second = (item for item in items if (item.folder_id, item.message_id) == twice[0])
    assert first.search_key == second.search_key
    assert asdict(first) | {"id": "", "change": 0} == asdict(second) | {"id": "", "change": 0}


def test_one_mailbox_holds_one_attachment_of_five_megabytes_and_large_ones_are_rare() -> None:
    sizes = [len(part.content) for item in everything(furnished(2, 500)) for part in item.parts]
    assert sizes.count(5_000_000) == 1
    assert sum(1_000_000 < size < 5_000_000 for size in sizes) == 2


def test_items_are_as_large_as_mail_is() -> None:
    items = everything(furnished(1, 2000))
    assert 5_000 < sum(item.size for item in items) / len(items) < 30_000


def test_folders_have_names_in_the_language_of_their_owner() -> None:
    names = {mailbox.by_role("inbox").name for mailbox in furnished(5, 0).mailboxes.values()}  # type: ignore[union-attr]
    assert names == {"Posteingang", "Boîte de réception", "受信トレイ", "Εισερχόμενα", "Inbox"}


def test_folders_are_nested_and_one_name_holds_a_slash() -> None:
    mailbox = anna(furnished(1, 0))
    paths = {mailbox.path(box) for box in mailbox.walk()}
    assert "Projekte/Brücke Süd/Gutachten/Übergabe" in paths
    assert any(box.name == "2019/2020" for box in mailbox.boxes.values())


def test_targets_are_empty_and_have_english_special_folders() -> None:
    source = furnished(2, 20)
    target = target_for(source)
    assert sorted(target.mailboxes) == ["anna.becker@contoso-cloud.test", "bernard.lefevre@contoso-cloud.test"]
    for mailbox in target.mailboxes.values():
        assert not mailbox.items
        roles = {box.role: box.name for box in mailbox.walk()}
        assert roles["inbox"] == "Inbox"
        assert roles["deleteditems"] == "Deleted Items"
        assert {"archive", "conversationhistory", "calendar", "contacts", "tasks", "notes", "junkemail", "outbox"} <= roles.keys()
    assert not {mailbox.guid for mailbox in target.mailboxes.values()} & {one.guid for one in source.mailboxes.values()}


def test_every_item_survives_an_export_stream() -> None:
    for item in everything(furnished()):
        again = unpack(pack(item, (15, 1, 2507)))
        assert again.subject == item.subject
        assert [part.content for part in again.parts] == [part.content for part in item.parts]


def test_every_oddity_stands_in_the_list_once() -> None:
    assert len(set(oddities.ALL)) == len(oddities.ALL)


MAIL = b"From: Ann <ann@x.test>\r\nTo: ben@x.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@x.test>\r\n"
MAIL += b"Date: Thu, 04 Mar 2021 05:06:07 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHallo\r\nFrom here on\r\n"


def test_a_file_becomes_an_item_byte_for_byte_with_its_fields_read(tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(MAIL)
    estate = Estate()
    assert fill_from(tmp_path, estate, mailboxes=1, seed=1) == 1
    item = everything(estate)[0]
    assert item.mime == MAIL
    assert (item.subject, item.message_id, item.body_text) == ("Grüße", "<1@x.test>", "Hallo\r\nFrom here on\r\n")
    assert item.sender is not None
    assert (item.sender.name, item.sender.address) == ("Ann", "ann@x.test")
    assert item.submitted is not None
    assert item.submitted.isoformat() == "2021-03-04T04:06:07+00:00"
    assert item.folder_id == anna(estate).by_role("inbox").id  # type: ignore[union-attr]


def test_an_mbox_is_split_where_messages_begin_and_nowhere_else() -> None:
    quoted = b"Subject: b\n\nThey write:\nFrom the top\n"
    box = b"From ann Thu Mar  4\n" + MAIL + b"\nFrom ben Thu Mar  4\n" + quoted + b"\n"
    assert list(split_mbox(box)) == [MAIL, quoted]
    assert list(split_mbox(b"")) == []
    assert list(split_mbox(MAIL)) == [MAIL]


def test_sub_directories_become_folders_and_are_spread_over_the_mailboxes(tmp_path: Path) -> None:
    for name in ("work/deep/a.eml", "sent/b.eml", "home/c.EML"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(MAIL)
    (tmp_path / "home" / "old.mbox").write_bytes(b"From x\n" + MAIL + b"\nFrom y\n" + MAIL)
    estate = Estate()
    assert fill_from(tmp_path, estate, mailboxes=2, seed=1) == 5
    found = {
        (mailbox.display_name.split()[0], mailbox.path(box)): len(mailbox.by_folder[box.id])
        for mailbox in estate.mailboxes.values()
        for box in mailbox.walk()
        if mailbox.by_folder[box.id]
    }
    assert found == {
        ("Anna", "home"): 1, ("Anna", "home/old"): 2, ("Bernard", "Éléments envoyés"): 1, ("Anna", "work/deep"): 1,
    }  # fmt: skip


def test_a_folder_without_mail_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoMail, match="holds no mail"):
        fill_from(tmp_path, Estate(), mailboxes=1, seed=1)
    with pytest.raises(NoMail, match="is no folder"):
        fill_from(tmp_path / "none", Estate(), mailboxes=1, seed=1)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\0", b"no header, no blank line", b"Subject", b"\r\n\r\n", b"From: \xff\xfe\r\nSubject: \xe4\r\n\r\nx",
        b"Subject: =?no-such-charset?q?a?=\nDate: Mon, 99 Foo\nDate: twice\n\nx", b"Content-Type: multipart/mixed\n\nno boundary",
        b"Content-Type: text/plain; charset=no-such\nContent-Transfer-Encoding: base64\n\n!!!",
        b"To: " + b"a@x," * 5000 + b"\n\n", b"Content-Type: message/rfc822\n\n",
    ],
)  # fmt: skip
def test_broken_mail_is_an_item_all_the_same(raw: bytes) -> None:
    item = read_mail(raw)
    assert item.mime == raw
    assert "\0" not in item.subject + (item.body_text or "") + (item.headers or "")
    assert unpack(pack(item, (15, 1, 2507))).mime == raw


@given(st.binary(max_size=300), st.sampled_from([b"", b"Subject: ", b"From: ", b"Date: ", b"Content-Type: multipart/mixed; b"]))
def test_no_bytes_at_all_make_reading_fail(raw: bytes, before: bytes) -> None:
    item = read_mail(before + raw)
    assert item.mime == before + raw
    pack(item, (15, 1, 2507))
