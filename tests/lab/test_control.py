"""Users change things through the lab's own door, on both sides, and it tells what is there and what was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from connectors.lab.control import Control, ControlRefused
from connectors.lab.journal import Seen, graph_kind, graph_writes
from connectors.lab.mailfiles import read_mail
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Mailbox, Part

ANNA, CLOUD = "anna.becker@contoso.test", "anna.becker@contoso-cloud.test"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("lab"), mailboxes=1, items=0)) as lab:
        yield lab


@pytest.fixture
def lab(running: Lab) -> Lab:
    """The running lab with fresh mailboxes of sixty items."""
    fresh = SimpleNamespace(source=running.source, target=running.target)
    from connectors.lab.people import furnish, target_for

    furnish(fresh.source, mailboxes=1, items=60, seed=3)
    running.target.mailboxes.update(target_for(running.source).mailboxes)
    return running


@pytest.fixture
def control(lab: Lab) -> Control:
    return Control(lab.folder)


def anna(lab: Lab) -> Mailbox:
    return lab.source.mailboxes[ANNA]


def an_item(lab: Lab) -> Item:
    return next(item for item in anna(lab).items.values() if item.item_class == "IPM.Note" and item.message_id)


def arrived(lab: Lab) -> Item:
    """An item in the target's inbox."""
    mailbox = lab.target.mailboxes[CLOUD]
    inbox = mailbox.by_role("inbox")
    assert inbox is not None
    return mailbox.add(Item(id="immutable-1", folder_id=inbox.id, subject="arrived"))


def test_a_new_message_lies_in_the_folder_named(lab: Lab, control: Control) -> None:
    own = control.new(ANNA, "Projekte/Brücke Süd", subject="neu")
    mailbox = anna(lab)
    assert mailbox.items[own].subject == "neu"
    assert mailbox.path(mailbox.boxes[mailbox.items[own].folder_id]) == "Projekte/Brücke Süd"
    assert anna(lab).items[control.new(ANNA)].folder_id == mailbox.by_role("inbox").id  # type: ignore[union-attr]


def test_an_edit_changes_the_item_and_writes_history(lab: Lab, control: Control) -> None:
    item = an_item(lab)
    control.edit(ANNA, item.id, categories=["Blau"], subject="anders")
    assert (item.categories, item.subject) == (["Blau"], "anders")
    assert anna(lab).history[-1].what in ("edit",)
    assert anna(lab).history[-1].item_id == item.id


def test_an_edit_of_the_text_gives_up_the_original_bytes_and_one_of_the_categories_does_not(lab: Lab, control: Control) -> None:
    mail = read_mail(b"Subject: a\r\n\r\nb\r\n")
    mail.id, mail.folder_id = "from-file", anna(lab).by_role("inbox").id  # type: ignore[union-attr]
    anna(lab).add(mail)
    control.edit(ANNA, "from-file", categories=["x"])
    assert mail.mime is not None
    control.edit(ANNA, "from-file", body_text="c")
    assert mail.mime is None


def test_moving_gives_another_id_on_the_old_side_and_keeps_it_on_the_new_one(lab: Lab, control: Control) -> None:
    item = an_item(lab)
    before, key = item.id, item.search_key
    after = control.move(ANNA, before, "Müller & Söhne")
    assert after != before
    assert before not in anna(lab).items
    assert anna(lab).items[after].search_key == key
    there = arrived(lab)
    assert control.move(CLOUD, there.id, "archive", side="target") == there.id


def test_deleting_goes_to_the_deleted_items_first_and_then_away(lab: Lab, control: Control) -> None:
    item = next(item for item in anna(lab).items.values() if item.folder_id == anna(lab).by_role("inbox").id)  # type: ignore[union-attr]
    control.delete(ANNA, item.id)
    assert item.folder_id == anna(lab).by_role("deleteditems").id  # type: ignore[union-attr]
    control.delete(ANNA, item.id)
    assert item.id not in anna(lab).items
    there = arrived(lab)
    control.delete(CLOUD, there.id, side="target", hard=True)
    assert not lab.target.mailboxes[CLOUD].items


def test_reading_changes_the_read_flag_alone(lab: Lab, control: Control) -> None:
    item = an_item(lab)
    control.read(ANNA, item.message_id or "", read=not item.is_read)
    assert anna(lab).history[-1].what == "read"
    there = arrived(lab)
    control.read(CLOUD, there.id, side="target")
    assert there.is_read


def test_churn_does_what_it_says_and_the_same_seed_does_the_same(lab: Lab, control: Control) -> None:
    before = set(anna(lab).items)
    done = control.churn(ANNA, new=5, edit=4, move=3, delete=2, read=1, seed=7)
    assert done == {"new": 5, "edit": 4, "move": 3, "delete": 2, "read": 1}
    after = set(anna(lab).items)
    # Three moved and one put into the deleted items have other ids now, and one is gone for good.
    assert len(before - after) == 5
    assert len(after - before) == 9
    from connectors.lab.people import furnish

    furnish(lab.source, mailboxes=1, items=60, seed=3)
    control.churn(ANNA, new=5, edit=4, move=3, delete=2, read=1, seed=7)
    assert set(anna(lab).items) == after


def test_churn_stops_where_items_run_out(control: Control) -> None:
    done = control.churn(ANNA, edit=1000)
    assert 10 < done["edit"] < 60


def test_churn_works_on_the_new_side_too(lab: Lab, control: Control) -> None:
    arrived(lab)
    assert control.churn(CLOUD, side="target", read=3, new=2) == {"new": 2, "edit": 0, "move": 0, "delete": 0, "read": 1}


def test_a_dump_holds_every_item_with_what_its_text_does_not_show(lab: Lab, control: Control, tmp_path: Path) -> None:
    raw = b"Subject: from a file\nMessage-ID: <f@x>\n\nas it is\n"
    mail = read_mail(raw)
    mail.id, mail.folder_id = "from-file", anna(lab).by_role("inbox").id  # type: ignore[union-attr]
    anna(lab).add(mail)
    rich = an_item(lab)
    rich.parts = [Part("ä.pdf", "application/pdf", b"pdf", inline=False)]
    number = control.dump(ANNA, tmp_path)
    rows = json.loads((tmp_path / "items.json").read_text("utf-8"))
    assert number == len(rows) == len(anna(lab).items)
    assert len({row["file"] for row in rows}) == number
    by_id = {row["id"]: row for row in rows}
    assert (tmp_path / by_id["from-file"]["file"]).read_bytes() == raw
    assert by_id["from-file"]["folder"] == "Posteingang"
    row = by_id[rich.id]
    assert row["attachments"][0]["sha256"] == hashlib.sha256(b"pdf").hexdigest()
    assert (row["attachments"][0]["name"], row["attachments"][0]["size"]) == ("ä.pdf", 3)
    for name in ("subject", "is_read", "is_draft", "flag", "categories", "importance", "item_class", "message_id", "size"):
        assert row[name] == getattr(rich, name)
    text = message_from_bytes((tmp_path / row["file"]).read_bytes())
    assert text["Message-ID"] == rich.message_id
    assert {row["item_class"] for row in rows} >= {"IPM.Contact", "IPM.Task", "IPM.StickyNote"}


def test_stats_count_requests_writes_and_mail_to_people(lab: Lab, control: Control) -> None:
    before = control.stats()
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(lab.ca_file)
        session.get(f"{lab.graph_url}/v1.0/organization", timeout=20)
    anna(lab).sent.append({"kind": "receipt"})
    after = control.stats()
    kind = "tenant GET organization"
    assert after["requests"][kind] == before["requests"].get(kind, 0) + 1
    assert after["writes"] == before["writes"]
    assert after["sent"] == before["sent"] + 1
    assert after["folders"] > 15
    assert after["source"][ANNA]["items"] == len(anna(lab).items)
    assert control.mailboxes() == [ANNA]
    assert control.mailboxes("target") == [CLOUD]
    assert control.folders(ANNA)["Posteingang"] > 0


@pytest.mark.parametrize(
    ("method", "path", "kind", "writes"),
    [
        ("GET", "/v1.0/users/a@b/mailFolders/AAMk/messages/delta", "GET users/mailFolders/messages/delta", False),
        ("POST", "/v1.0/users/a@b/mailFolders/inbox/messages", "POST users/mailFolders/messages", True),
        ("PATCH", "/v1.0/users/a@b/messages/AAMk", "PATCH users/messages", True),
        (
            "POST",
            "/v1.0/admin/exchange/mailboxes/x/createImportSession",
            "POST admin/exchange/mailboxes/createImportSession",
            False,
        ),
        ("POST", "/v1.0/admin/exchange/mailboxes/x/exportItems", "POST admin/exchange/mailboxes/exportItems", False),
        ("POST", "/t/oauth2/v2.0/token", "POST token", False),
        ("PUT", "/api/gv1.0/AttachmentSessions('some-token')", "PUT AttachmentSessions", True),
        ("POST", "/api/gv1.0/Mailboxes('MBX:a@b')/importItem", "POST importItem", True),
    ],
)
def test_requests_are_counted_by_kind_and_known_to_write_or_not(method: str, path: str, kind: str, writes: bool) -> None:
    assert graph_kind(method, path) == kind
    assert graph_writes(method, path) is writes


def test_parts_of_a_batch_are_counted_apart_and_their_writes_count() -> None:
    seen = Seen()
    parts = [
        {"id": "1", "method": "PATCH", "url": "/users/a/messages/b"},
        {"id": "2", "method": "GET", "url": "/users/a/messages/b"},
    ]
    seen.tenant("POST", "/v1.0/$batch", json.dumps({"requests": parts}).encode(), 200)
    seen.tenant("POST", "/v1.0/$batch", b"broken", 400)
    assert seen.requests == {"tenant POST $batch": 2}
    assert seen.batched == {"tenant PATCH users/messages": 1, "tenant GET users/messages": 1}
    assert seen.writes == 1


def test_operations_that_write_to_exchange_are_known() -> None:
    seen = Seen()
    for operation in ("GetItem", "SyncFolderItems", "ExportItems", "ResolveNames", "FindItem"):
        seen.exchange(operation, 200)
    assert seen.writes == 0
    for operation in ("CreateItem", "UpdateItem", "UploadItems", "MarkAllItemsAsRead", "DeleteFolder"):
        seen.exchange(operation, 200)
    assert seen.writes == 5
    seen.exchange("GetItem", 401)
    assert seen.requests["exchange sign-in"] == 1


def test_the_door_opens_with_the_token_only(lab: Lab) -> None:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(lab.ca_file)
        for headers in ({}, {"X-Lab-Token": "guess"}):
            assert session.get(lab.control_url + "stats", headers=headers, timeout=20).status_code == 403
            assert session.post(lab.control_url + "stop", json={}, headers=headers, timeout=20).status_code == 403
    assert not lab.ended.is_set()


def test_wishes_that_make_no_sense_are_refused_in_a_sentence(control: Control) -> None:
    for wish in (
        lambda: control.new("nobody@contoso.test"),
        lambda: control.new(ANNA, "No/Such/Folder"),
        lambda: control.read(ANNA, "no such item"),
        lambda: control.new(ANNA, side="middle"),
        lambda: control.edit(ANNA, control.new(ANNA), flavour="sweet"),
    ):
        with pytest.raises(ControlRefused, match=r"the lab refuses: .+"):
            wish()


def test_stop_asks_the_lab_to_end() -> None:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        Control(lab.folder).stop()
        assert lab.ended.wait(5)
