# ruff: noqa: F401, F811 - the fixtures are those of another file
"""Monday morning, over a real ledger with both sides in memory: show, trace, redo and mailbox undo."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_commands import Shell, World, shell, world

from connectors.base import Role, TargetRef
from connectors.memory import MemoryDestination, MemoryTarget
from connectors.memory_target import Content
from migrator import app
from migrator.config import load
from state.model import MailboxState
from state.store import Ledger

ANNA = "anna@old.example"

RULE = """
[[mapping.rules]]
name = "old"
folder = "Old"
into = "Inbox"
"""


def target(world: World) -> MemoryTarget:
    return world.targets["anna"]


@pytest.fixture(autouse=True)
def place(world: World, either_place: str, tmp_path: Path) -> None:
    """The project's ledger is on either database."""
    config = tmp_path / "migrator.toml"
    config.write_text(f'[ledger]\nurl = "{either_place}"\n{config.read_text("utf-8")}', "utf-8")


def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(load(tmp_path / "migrator.toml").ledger.url)


def traced(shell: Shell, *words: str) -> list[dict[str, str]]:
    code, out = shell("--json", "trace", ANNA, *words)
    assert code == 0
    return json.loads(out)["items"]  # type: ignore[no-any-return]


def message_id(world: World, number: int = 0) -> str:
    return str([item.content.message.message_id for item in world.mailboxes["anna"].items.values()][number])


def test_show_prints_everything_of_one_person_on_one_screen(world: World, shell: Shell, tmp_path: Path) -> None:
    world.unfit = next(iter(world.mailboxes["anna"].items))
    shell("run")
    with ledger(tmp_path) as open_:
        open_.plans.act("kim@desk", "wave move", mailbox_id=1, why="asked for it")
        open_.plans.confirm(1, "forwards", "kim@desk", "done", "checked")
        open_.plans.observe(1, "arrivals", {"last_in_target": "2026-11-23T08:00:00+00:00", "late": {"mx1": 2}})
        open_.plans.describe(1, {"owner": "Anna A.", "ticket": "T-17"})
    code, out = shell("show", "anna@NEW.example")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{ANNA} -> anna@new.example, wave x"
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 50
    for words in (
        "4 DONE, 1 REFUSED", "1 refused: too-large.", "seed DONE", "kim@desk wave move: asked for it", "forwards: done",
        "mx1 2", "owner: Anna A.", "ticket: T-17", "grade      poor", "a final pass would take",
    ):  # fmt: skip
        assert words in out, words
    assert json.loads(shell("--json", "show", ANNA)[1])["counts"] == {"DONE": 4, "REFUSED": 1}


def test_an_unknown_person_is_a_clear_no(world: World, shell: Shell) -> None:
    shell("run")
    assert shell("show", "nobody@old.example")[0] == 65
    assert shell("show", "x")[0] == 65, "a wave is no person"


def test_a_trail_follows_what_the_targets_user_did(world: World, shell: Shell) -> None:
    shell("run")
    wanted = message_id(world)
    [one] = traced(shell, "--message-id", wanted.strip("<>"))
    assert (one["source"], one["target"], one["state"]) == ("Inbox", "Inbox", "DONE")
    assert "as we left it" in one["sentence"]
    copy = next(item for item in target(world).items.values() if item.content.message.message_id == wanted)
    target(world).move(copy.id, target(world).special(Role.DELETED))
    assert "its user deleted it since" in traced(shell, "--message-id", wanted)[0]["sentence"]
    target(world).delete(copy.id)
    assert "deleted in the target since" in traced(shell, "--message-id", wanted)[0]["sentence"]


def test_a_trail_is_found_in_the_target_once_the_source_has_lost_the_item(world: World, shell: Shell) -> None:
    shell("run")
    wanted = message_id(world)
    world.mailboxes["anna"].delete(next(iter(world.mailboxes["anna"].items)))
    [one] = traced(shell, "--message-id", wanted)
    assert one["sentence"] == "It is in Inbox, as we left it. The source no longer has it."


def test_two_source_folders_in_one_folder_of_the_target_are_no_move(world: World, shell: Shell, tmp_path: Path) -> None:
    old = world.mailboxes["anna"].add_folder("Old")
    world.mailboxes["anna"].put(old, "from the old folder", message_id="<old@x>")
    (tmp_path / "migrator.toml").write_text((tmp_path / "migrator.toml").read_text("utf-8") + RULE, "utf-8")
    assert shell("run")[0] == 0
    [one] = traced(shell, "--message-id", "old@x")
    assert one["sentence"] == "It is in Old, as we left it."


def test_a_refusal_is_traced_by_its_saved_mail(world: World, shell: Shell, tmp_path: Path) -> None:
    world.unfit = next(iter(world.mailboxes["anna"].items))
    shell("run")
    (tmp_path / "it.eml").write_text(f"Message-ID: {message_id(world)}\n\n", "utf-8")
    [one] = traced(shell, "--eml", str(tmp_path / "it.eml"))
    assert one["reason"] == "too-large"
    assert one["sentence"].startswith("It did not go: too-large.")


def test_what_came_by_another_way_is_said_to_be_none_of_ours(world: World, shell: Shell) -> None:
    shell("run")
    other = Content(message=next(iter(world.mailboxes["ben"].items.values())).content.message)
    target(world).deliver(target(world).special(Role.INBOX), other)
    [one] = traced(shell, "--message-id", str(other.message.message_id))
    assert "came by another way" in one["sentence"]
    assert one["key"] == ""


def test_all_of_a_time_is_told_in_order_and_nothing_is_written(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    before = dict(target(world).items)
    found = traced(shell, "--from", "2024-03-01T00:00+00:00")
    assert len(found) == 5
    assert [one["when"] for one in found] == sorted(one["when"] for one in found)
    assert target(world).items == before
    code, out = shell("trace", ANNA, "--from", "1999-01-01")
    assert code == 0
    assert "Neither side" in out


@pytest.mark.parametrize(
    "words", [(), ("--message-id", "a", "--from", "2026-01-01"), ("--from", "soon"), ("--message-id", "a", "--to", "2026-01-01")]
)
def test_a_trace_needs_one_thing_to_look_for(world: World, shell: Shell, words: tuple[str, ...]) -> None:
    shell("run")
    assert shell("trace", ANNA, *words)[0] == 64


def test_redo_carries_again_what_is_missing_and_only_that(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    there = list(target(world).items.values())
    target(world).delete(there[0].id)
    target(world).move(there[1].id, target(world).special(Role.DELETED))
    code, out = shell("--json", "redo", ANNA, "--folder", "inbox", "--dry-run")
    assert [one["again"] for one in json.loads(out)["folders"]] == [1]
    assert len(target(world).items) == 4, "a dry run carries nothing"
    code, out = shell("redo", ANNA, "--folder", "Inbox", "--why", "deleted by mistake")
    assert code == 0
    assert "1 items are carried again." in out
    subjects = sorted(item.content.message.subject for item in target(world).items.values())
    assert subjects == [f"anna {number}" for number in range(5)]
    assert "Nothing is missing." in shell("redo", ANNA)[1]
    with ledger(tmp_path) as open_:
        [act] = open_.plans.acts(1)
    assert (act.what, act.why, act.about) == ("redo", "deleted by mistake", {"folder": "Inbox", "again": 1, "found": 0})


def test_redo_takes_over_a_copy_that_lies_elsewhere_under_another_id(world: World, shell: Shell) -> None:
    shell("run")
    copy = next(iter(target(world).items.values()))
    target(world).delete(copy.id)
    target(world).deliver(target(world).special(Role.ARCHIVE), copy.content)
    out = shell("--json", "redo", ANNA)[1]
    told = json.loads(out)
    assert (sum(one["found"] for one in told["folders"]), sum(one["again"] for one in told["folders"])) == (1, 0)
    assert len(target(world).items) == 5


def test_redo_says_what_the_source_has_lost_too_and_which_folders_there_are(world: World, shell: Shell) -> None:
    shell("run")
    target(world).delete(next(iter(target(world).items)))
    world.mailboxes["anna"].delete(next(iter(world.mailboxes["anna"].items)))
    assert "1 are gone from the source too" in shell("redo", ANNA, "--folder", "Inbox")[1]
    assert shell("redo", ANNA, "--folder", "Nowhere")[0] == 65
    code, out = shell("--json", "redo", ANNA, "--folder", "Inbxo")
    assert (code, json.loads(out)["error"]) == (
        65, "No pass has met a folder called Inbxo in this mailbox; did you mean Inbox?",
    )  # fmt: skip


def test_of_a_mailbox_that_no_pass_has_read_nothing_can_be_missing(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("wave", "import", str(tmp_path / "waves.csv"))
    code, out = shell("--json", "redo", ANNA)
    assert (code, json.loads(out)["error"]) == (
        65, "No pass has read this mailbox yet, so nothing of it can be missing; run it first.",
    )  # fmt: skip
    assert "grade      none yet: no pass of it came to its end yet" in shell("show", ANNA)[1]


def test_undo_removes_exactly_what_was_brought_and_nobody_touched(world: World, shell: Shell, tmp_path: Path) -> None:
    own = target(world).deliver(target(world).special(Role.INBOX), Content(search_key=b"its own"))
    inbox = world.mailboxes["anna"].special(Role.INBOX)
    meeting = world.mailboxes["anna"].put(inbox, "meeting", item_class="IPM.Appointment", has_attendees=True, size=10)
    assert shell("run")[0] == 0
    brought = [item for item in target(world).items.values() if item.id != own]
    touched = next(item for item in brought if item.content.message.subject == "anna 1")
    target(world).edit(touched.id, subject="mine now")
    moved = next(item for item in brought if item.content.message.subject == "anna 2")
    target(world).move(moved.id, target(world).special(Role.ARCHIVE))
    code, out = shell("mailbox", "undo", ANNA, "--dry-run")
    assert code == 0
    assert "3 items were brought and nobody touched them: they go" in out
    assert len(target(world).items) == 7
    code, out = shell("mailbox", "undo", ANNA, "--yes", "--why", "wrong target")
    assert code == 0
    assert "3 items removed, 3 left alone." in out
    assert "0 of them are there still" in out
    left = {item.content.message.subject for item in target(world).items.values()}
    assert left == {"", "mine now", "anna 2", "meeting"}
    assert meeting in world.mailboxes["anna"].items
    assert target(world).sent == []
    with ledger(tmp_path) as open_:
        row = open_.mailbox(1)
        assert row.state is MailboxState.HELD
        assert row.cause.startswith("Taken back by ")
        assert open_.plans.acts(1)[0].why == "wrong target"
    assert shell("run", ANNA)[0] == 0, "a further run begins from nothing"
    subjects = sorted(item.content.message.subject for item in target(world).items.values())
    assert subjects == sorted(["", "mine now", "anna 2", "meeting", "anna 0", "anna 3", "anna 4"])


def test_an_undo_outlasts_its_lease_however_long_the_target_takes(
    world: World, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "migrator.toml"
    config.write_text(config.read_text(encoding="utf-8") + "lease = 1.0\n", encoding="utf-8")
    shell("run")
    real = MemoryDestination._one

    def slowly(self: MemoryDestination, write: object) -> object:
        time.sleep(0.4)  # the last of five leaves after the lease that the command began with
        return real(self, write)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryDestination, "_one", slowly)
    code, out = shell("mailbox", "undo", ANNA, "--yes")
    assert (code, target(world).items) == (0, {}), out


def test_an_undo_forgets_no_copy_that_its_folder_lists_though_it_can_not_be_asked_for(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("run")
    shy = next(iter(target(world).items))
    real = MemoryDestination.peek

    def peek(self: MemoryDestination, ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        return [None if one == shy else found for one, found in zip(ids, real(self, ids, left_in), strict=True)]

    monkeypatch.setattr(MemoryDestination, "peek", peek)
    told = json.loads(shell("--json", "mailbox", "undo", ANNA, "--dry-run")[1])["found"]
    assert (told["ours"], told["unknown"], told["gone"]) == (4, 1, 0)
    assert shell("mailbox", "undo", ANNA, "--yes")[0] == 0
    assert list(target(world).items) == [shy]
    assert shell("run", ANNA)[0] == 0
    assert len(target(world).items) == 5, "nothing is there twice"


def test_undo_asks_first_and_leaves_all_as_it_is_on_a_no(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    shell("run")
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text: "n")
    assert shell("mailbox", "undo", ANNA)[0] == 3
    assert len(target(world).items) == 5


def test_undo_is_refused_once_mail_goes_to_the_target(world: World, shell: Shell, tmp_path: Path) -> None:
    shell("run")
    with ledger(tmp_path) as open_:
        for state in ("LOCKED", "FINAL", "ROUTED"):
            open_.move_mailbox(1, MailboxState(state), "")
    assert shell("mailbox", "undo", ANNA, "--yes")[0] == 65
    assert len(target(world).items) == 5


class Killed(BaseException):
    """The process dies here."""


def test_an_undo_that_is_killed_before_anything_is_removed_counts_all_of_it_again(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("run")

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr("migrator.monday.undo.Transfer.remove", die)
        dying.setattr(app, "owner", lambda: "the same")
        with pytest.raises(Killed):
            shell("mailbox", "undo", ANNA, "--yes")
    assert len(target(world).items) == 5
    assert "5 items were brought and nobody touched them" in shell("mailbox", "undo", ANNA, "--dry-run")[1]
    code, out = shell("mailbox", "undo", ANNA, "--yes")
    assert code == 0
    assert "5 items removed, 0 left alone." in out
    assert target(world).items == {}


@pytest.mark.parametrize("after", range(1, 6))
def test_an_undo_that_is_killed_anywhere_is_finished_by_the_next(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:  # fmt: skip
    shell("run")
    calls = [0]
    real = MemoryDestination._one

    def one(self: MemoryDestination, write: object) -> object:
        calls[0] += 1
        if calls[0] == after:
            raise Killed
        return real(self, write)  # type: ignore[arg-type]

    with monkeypatch.context() as dying:
        dying.setattr(MemoryDestination, "_one", one)
        dying.setattr(app, "owner", lambda: "the same")
        with pytest.raises(Killed):
            shell("mailbox", "undo", ANNA, "--yes")
    code, _ = shell("mailbox", "undo", ANNA, "--yes")
    assert code == 0
    assert target(world).items == {}
    assert shell("run", ANNA)[0] == 0
    assert len(target(world).items) == 5
