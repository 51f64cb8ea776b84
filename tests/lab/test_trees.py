"""Online archives and recoverable items, carried into folders of their own: nothing lost, nothing mixed up, nobody told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.errors import MailboxBlocked
from connectors.lab.appointments import END, START
from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.trees import add_archive, add_public, add_recoverable
from connectors.lab.truth import Box, Estate, Item, Mailbox, Person, seeded_bytes
from migrator import cli
from migrator.config import RunSection
from migrator.kinds import ARCHIVE_FOLDER, Tree, trees_of

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
Shell = Callable[..., tuple[int, str]]


RECOVERABLE = (("deletions", "deleted one"), ("deletions", "deleted two"), ("versions", "a version"), ("purges", "purged"))


def a_mail(mailbox: Mailbox, box: Box, subject: str) -> Item:
    return mailbox.add(
        Item(
            id=seeded_bytes(box.id, subject, length=12).hex(), folder_id=box.id, subject=subject, body_text=subject,
            message_id=f"<{subject.replace(' ', '.')}@contoso.test>", search_key=seeded_bytes(subject), submitted=WHEN,
            received=WHEN, created=WHEN, modified=WHEN, author=Person("Anna", "anna@contoso.test"),
        )
    )  # fmt: skip


def a_meeting(mailbox: Mailbox, box: Box) -> Item:
    item = Item(
        id="meeting", folder_id=box.id, item_class="IPM.Appointment", subject="kept meeting", search_key=b"m", created=WHEN,
        to=[Person("Outside", "somebody@outside.example")], extended={START: WHEN, END: WHEN + timedelta(hours=1)},
    )  # fmt: skip
    return mailbox.add(item)


@pytest.fixture
def estate() -> Estate:
    """One mailbox with a mail in its inbox, an archive of five items in a tree, and four recoverable items."""
    made = Estate()
    mailbox = made.add(an_empty(0, 1))
    inbox = mailbox.by_role("inbox")
    assert inbox is not None
    a_mail(mailbox, inbox, "in the inbox")
    paths = [("Inbox", "IPF.Note"), ("Inbox/Projects", "IPF.Note"), ("Calendar", "IPF.Appointment"), ("Old", "IPF.Note")]
    archive = add_archive(mailbox, paths)
    for path, subject in (("", "at the top"), ("Inbox", "old inbox"), ("Inbox/Projects", "old plan"), ("Old", "oldest")):
        a_mail(mailbox, archive[path], subject)
    a_meeting(mailbox, archive["Calendar"])
    kept = add_recoverable(mailbox)
    for role, subject in (
        ("deletions", "deleted one"),
        ("deletions", "deleted two"),
        ("versions", "a version"),
        ("purges", "purged"),
    ):
        a_mail(mailbox, kept[f"recoverableitems{role}"], subject)
    return made


@pytest.fixture
def lab(estate: Estate, tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as made:
        yield made


@pytest.fixture
def shell(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Shell:
    def type_it(*words: str) -> tuple[int, str]:
        code = cli.run(["-c", str(lab.config_file), *words])
        return code, capsys.readouterr().out

    return type_it


def set_run(lab: Lab, **values: str | bool) -> None:
    """Put keys of [run] into the config, in the place of those that are there."""
    told = [line for line in lab.config_file.read_text(encoding="utf-8").splitlines() if line.split(" ")[0] not in values]
    at = told.index("[run]") if "[run]" in told else len(told)
    head = [] if at < len(told) else ["[run]"]
    keys = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    told[at + 1 : at + 1] = [*head, *keys]
    lab.config_file.write_text("\n".join(told) + "\n", encoding="utf-8")


def arrived(lab: Lab) -> dict[str, str]:
    """The path of each item in the target, by subject."""
    [target] = lab.target.mailboxes.values()
    return {item.subject: target.path(target.boxes[item.folder_id]) for item in target.items.values()}


ARCHIVED = {
    "at the top": "Cold storage",
    "old inbox": "Cold storage/Inbox",
    "old plan": "Cold storage/Inbox/Projects",
    "oldest": "Cold storage/Old",
    "kept meeting": "Cold storage/Calendar",
}


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_an_archive_comes_as_a_tree_of_its_own(lab: Lab, shell: Shell, lane: str) -> None:
    set_run(lab, archive="Cold storage")
    code, out = shell("run", "--lane", lane)
    assert code == 0, out
    found = arrived(lab)
    assert found.pop("in the inbox") == "Inbox"
    assert found == ARCHIVED
    [target] = lab.target.mailboxes.values()
    assert target.sent == []
    code, out = shell("verify", "--deep", "--json")
    assert code == 0, out
    assert json.loads(out)["mailboxes"][0]["figures"]["matched"] == 6
    code, out = shell("status", "--folders", "--json")
    sums = json.loads(out)["folders"]
    inside = [one for one in sums if "Cold storage" in json.dumps(one)]
    assert len(inside) == 5
    assert all(one.get("off", 0) == 0 for one in sums)


def test_nothing_of_it_is_touched_unless_somebody_asks(lab: Lab, shell: Shell) -> None:
    assert shell("run")[0] == 0
    assert set(arrived(lab)) == {"in the inbox"}


def test_what_changes_in_an_archive_follows(lab: Lab, shell: Shell) -> None:
    set_run(lab, archive="Cold storage")
    assert shell("run")[0] == 0
    [source] = lab.source.mailboxes.values()
    [inbox] = [box for box in source.boxes.values() if box.role == "inbox"]
    [old] = [box for box in source.boxes.values() if box.name == "Old"]
    moved = next(item for item in source.items.values() if item.subject == "in the inbox")
    source.remove(moved.id)
    moved.id, moved.folder_id = "moved", old.id
    source.add(moved)
    a_mail(source, old, "another")
    assert inbox.id
    assert shell("run")[0] == 0
    found = arrived(lab)
    assert found == {**ARCHIVED, "in the inbox": "Cold storage/Old", "another": "Cold storage/Old"}


def test_a_renamed_tree_is_renamed_and_one_that_is_left_out_is_asked_about(lab: Lab, shell: Shell) -> None:
    set_run(lab, archive="Cold storage")
    assert shell("run")[0] == 0
    set_run(lab, archive="Attic")
    assert shell("run")[0] == 0
    assert arrived(lab)["oldest"] == "Attic/Old"
    set_run(lab, archive="")
    code, _ = shell("run")
    assert code == 4
    assert arrived(lab)["oldest"] == "Attic/Old"
    assert "carried to the folder Attic before" in shell("status", "--json")[1]


def test_an_archive_that_is_gone_takes_nothing_with_it(lab: Lab, shell: Shell) -> None:
    set_run(lab, archive="Cold storage")
    assert shell("run")[0] == 0
    [source] = lab.source.mailboxes.values()
    [top] = [box for box in source.boxes.values() if box.role == "archivemsgfolderroot"]
    top.role = None
    for _ in range(3):
        assert shell("run")[0] == 4
    assert arrived(lab).items() >= ARCHIVED.items()


@pytest.mark.parametrize(("holds", "more"), [(False, {}), (True, {"a version": "Versions", "purged": "Purges"})])
def test_recoverable_items_come_on_request(lab: Lab, shell: Shell, holds: bool, more: dict[str, str]) -> None:
    set_run(lab, recoverable="Recovered", recoverable_holds=holds)
    assert shell("run")[0] == 0
    found = arrived(lab)
    assert found.pop("in the inbox") == "Inbox"
    expected = {"deleted one": "Deletions", "deleted two": "Deletions", **more}
    assert found == {subject: f"Recovered/{place}" for subject, place in expected.items()}
    assert shell("verify")[0] == 0


def test_an_archive_of_the_name_of_a_folder_shares_it_and_loses_nothing(lab: Lab, shell: Shell) -> None:
    [source] = lab.source.mailboxes.values()
    own = source.add_box(Box("own", source.root_id, "Attic", "IPF.Note"))
    a_mail(source, own, "own attic")
    set_run(lab, archive="Attic")
    assert shell("run")[0] == 0
    found = arrived(lab)
    assert found["own attic"] == found["at the top"] == "Attic"
    assert {"own attic", "in the inbox", *ARCHIVED} == set(found)
    assert shell("verify")[0] == 0


def test_an_archive_can_go_into_a_mailbox_of_its_own(lab: Lab, shell: Shell) -> None:
    set_run(lab, archive="Cold storage", only_trees=True)
    assert shell("run")[0] == 0
    assert arrived(lab) == ARCHIVED
    assert shell("verify")[0] == 0


def test_an_archive_with_an_address_goes_there_by_the_project_that_is_written_for_it(
    lab: Lab, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    [source] = lab.source.mailboxes.values()
    own = an_empty(5, 1)
    own.address = "anna.archive@contoso.test"
    lab.target.add(own)
    [first] = [one for one in lab.target.mailboxes.values() if one is not own]
    waves = lab.config_file.with_name("waves.csv")
    waves.write_text(f"wave,source,target,archive\nw,{source.address},{first.address},{own.address}\n", "utf-8")
    assert shell("run")[0] == 0
    assert {item.subject for item in first.items.values()} == {"in the inbox"}
    assert not own.items
    code, out = shell("check", "--left-behind")
    assert (code, f'go to "{own.address}"' in out) == (0, True)
    before = sorted(lab.folder.iterdir())
    assert shell("wave", "archives", "--dry-run")[0] == 0
    assert sorted(lab.folder.iterdir()) == before
    code, out = shell("wave", "archives")
    assert (code, "its archive goes into anna.archive@contoso.test" in out) == (0, True)
    beside = ["-c", str(lab.config_file.with_name(f"{lab.config_file.stem}.archives.toml"))]
    for _ in range(2):
        assert cli.run([*beside, "run"]) == 0
    found = {item.subject: own.path(own.boxes[item.folder_id]) for item in own.items.values()}
    assert found == {subject: path.replace("Cold storage", "Online archive") for subject, path in ARCHIVED.items()}
    assert cli.run([*beside, "verify"]) == 0
    assert {item.subject for item in first.items.values()} == {"in the inbox"}
    capsys.readouterr()
    text = lab.config_file.read_text("utf-8")
    assert "Kept as it is" in shell("wave", "archives")[1]
    assert lab.config_file.read_text("utf-8") == text


def test_a_mailbox_that_was_carried_whole_is_not_left_out_later(lab: Lab, shell: Shell) -> None:
    set_run(lab, archive="Cold storage")
    assert shell("run")[0] == 0
    set_run(lab, only_trees=True)
    for _ in range(3):
        assert shell("run")[0] == 4
    assert arrived(lab)["in the inbox"] == "Inbox"


# -- what is not carried is counted


def test_what_stays_behind_is_counted_by_name(lab: Lab, shell: Shell) -> None:
    [source] = lab.source.mailboxes.values()
    inbox = source.by_role("inbox")
    assert inbox is not None
    inbox.extended |= {"Integer 0x3617": 7, "Binary 0x3019": b"tag"}
    for number in range(2):
        a_mail(source, inbox, f"tagged {number}").extended["Binary 0x3019"] = b"tag"
    a_mail(source, inbox, "large").extended["Integer 0x0E08"] = 170_000_000
    source.add_box(Box("finder", None, "Finder", "IPF", "searchfolders"))
    source.add_box(Box("unread", "finder", "Unread", "IPF.Note", extended={"Integer 0x3601": 2}))
    source.add_box(Box("own-search", source.root_id, "My search", "IPF.Note", extended={"Integer 0x3601": 2}))
    code, out = shell("check", "--left-behind")
    assert code == 0
    assert "7 hidden associated items" in out
    assert "2 search folders" in out
    assert "1 folders with a retention or archive tag" in out
    assert "2 items with a retention or archive tag" in out
    assert "2 items are kept for a hold or for single item recovery" in out
    assert "1 items are larger than what any lane takes" in out
    assert "5 items" in out
    assert "of the online archive are not carried; run.archive would do it" in out
    assert "4 items" in out
    set_run(lab, archive="Cold storage")
    assert shell("run")[0] == 0
    code, out = shell("check", "--left-behind", "--json")
    [told] = json.loads(out)["mailboxes"]
    assert told["trees"] == {"archive": "Cold storage"}
    assert told["figures"]["archive_items"] == 5
    assert "in the inbox" not in out


def test_public_folders_are_counted_with_what_they_hold(lab: Lab, shell: Shell) -> None:
    [source] = lab.source.mailboxes.values()
    folders = add_public(source, [("Sales", "IPF.Note"), ("Sales/Offers", "IPF.Note"), ("People", "IPF.Contact")])
    for number in range(3):
        a_mail(source, folders["Sales/Offers"], f"offer {number}")
    post = a_mail(source, folders["Sales"], "a post")
    post.item_class = "IPM.Post"
    lab.options[0].find_page = 2
    code, out = shell("check", "--public-folders", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["carried"] is False
    assert {one["path"]: (one["items"], one["classes"]) for one in told["public_folders"]} == {
        "Sales": (1, {"IPM.Post": 1}),
        "Sales/Offers": (3, {"IPM.Note": 3}),
        "People": (0, {}),
    }
    assert told["totals"]["items"] == 4
    code, out = shell("check", "--public-folders")
    assert "Sales/Offers: IPF.Note, 3 items" in out
    assert "Public folders are not carried" in out
    assert "offer 1" not in out


HELD_BY = [b"4a6c1d0e-0000-4000-8000-000000000001\0", b"4a6c1d0e-0000-4000-8000-000000000002\0"]


def test_public_folders_are_read_in_the_mailbox_that_holds_them(lab: Lab, shell: Shell) -> None:
    [source] = lab.source.mailboxes.values()
    folders = add_public(source, [("Sales", "IPF.Note"), ("People", "IPF.Contact"), ("Old", "IPF.Note")])
    for holder, name in zip(HELD_BY, ("Sales", "People"), strict=True):
        folders[name].extended["Binary 0x6698"] = holder
    a_mail(source, folders["Sales"], "an offer")
    a_mail(source, folders["Old"], "an old one")
    code, out = shell("check", "--public-folders", "--json")
    told = json.loads(out)["totals"]
    assert code == 0
    assert (told["items"], told["unreadable"], told["public_folder_mailboxes"], told["untold"]) == (2, 0, 2, 1)
    out = shell("check", "--public-folders")[1]
    assert "in 2 public folder mailboxes" in out
    assert "1 of them do not tell which public folder mailbox holds them" in out


def test_a_database_of_public_folders_is_called_one_and_read_as_far_as_it_goes(lab: Lab, shell: Shell) -> None:
    lab.options[0].build = "14.3.513.0"
    [source] = lab.source.mailboxes.values()
    folders = add_public(source, [("Sales", "IPF.Note"), ("Elsewhere", "IPF.Note")])
    folders["Elsewhere"].extended["Binary 0x6698"] = b"PF database 2\0"
    a_mail(source, folders["Sales"], "an offer")
    code, out = shell("check", "--public-folders")
    assert code == 0
    assert "Sales: IPF.Note, 1 items" in out
    assert "Elsewhere: can't be read (ErrorNoPublicFolderReplicaAvailable)" in out
    assert "databases of public folders (Exchange 2010)" in out


def test_where_there_are_no_public_folders_it_says_so(lab: Lab, shell: Shell) -> None:
    [source] = lab.source.mailboxes.values()
    add_public(source, [])
    assert "There are no public folders" in shell("check", "--public-folders")[1]


def test_a_mailbox_without_any_of_it_has_nothing_to_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Estate()
    made.add(an_empty(0, 1))
    with Lab(LabPlan(folder=tmp_path, source=made, mailboxes=1)) as lab:
        assert cli.run(["-c", str(lab.config_file), "check", "--left-behind"]) == 0
        assert "nothing that is never carried" in capsys.readouterr().out
        assert cli.run(["-c", str(lab.config_file), "check", "--public-folders"]) == 0
        assert "There are no public folders" in capsys.readouterr().out
        set_run(lab, archive="Cold storage", recoverable="Kept")
        assert cli.run(["-c", str(lab.config_file), "run"]) == 0


# -- which trees are wanted


RUN = RunSection()


def test_the_waves_file_comes_before_the_config() -> None:
    everybody = RunSection(archive="Cold storage")
    assert trees_of(RUN, {}, {}) == ()
    assert trees_of(everybody, {}, {}) == (Tree("archive", "Cold storage"),)
    assert trees_of(everybody, {"archive": False}, {}) == ()
    assert trees_of(everybody, {"archive": True}, {}) == (Tree("archive", "Cold storage", needed=True),)
    assert trees_of(RUN, {"archive": True}, {}) == (Tree("archive", ARCHIVE_FOLDER, needed=True),)
    assert trees_of(everybody, {"archive": "Attic"}, {}) == (Tree("archive", "Attic", needed=True),)


def test_trees_alone_have_to_be_named() -> None:
    with pytest.raises(MailboxBlocked) as blocked:
        trees_of(RunSection(only_trees=True), {}, {})
    assert blocked.value.code == "no-tree"


def test_a_tree_that_was_carried_has_to_stay() -> None:
    everybody = RunSection(archive="Cold storage", recoverable="Kept")
    seen = {"archive": "Cold storage", "recoverable": "Kept"}
    assert all(tree.needed for tree in trees_of(everybody, {}, seen))
    for run, details in ((RUN, {}), (everybody, {"archive": False}), (RunSection(archive="x"), {})):
        with pytest.raises(MailboxBlocked) as blocked:
            trees_of(run, details, seen)
        assert blocked.value.mend
