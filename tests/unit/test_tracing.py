"""What a trail says about an item: of every way that it can have gone, the sentence names who did it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Facts, TargetRef, short_hash
from migrator.config import BadInput
from migrator.monday.tracing import Seen, Wanted, bare, sentence, wanted_by_file
from state.model import ItemState, Mark, Open, Row, Work

S = ItemState
THERE = TargetRef("t1", "f1", version="v1")


def row(state: ItemState = S.DONE, target: str | None = "t1", **changes: object) -> Row:
    return Row(key=bytes(16), folder_id=1, state=state, target=target, target_version=short_hash("v1"), **changes)  # type: ignore[arg-type]


def seen(row_: Row | None, **changes: object) -> Seen:
    values: dict[str, object] = {"source": "Inbox", "row": row_, "was": "Inbox", "there": THERE, "place": "Inbox"} | changes
    return Seen(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (seen(row()), "It is in Inbox, as we left it."),
        (seen(row(), source=""), "It is in Inbox, as we left it. The source no longer has it."),
        (seen(row(), there=TargetRef("t1", "f1", version="v2")), "the target's user changed it since it arrived"),
        (seen(row(), there=TargetRef("t1", "f2", version="v2"), place="Projects"), "was moved to Projects since, by its user"),
        (seen(row(), place="Deleted Items", in_bin=True), "its user deleted it since: it lies in Deleted Items"),
        (seen(row(), was="Deleted Items", place="Deleted Items", in_bin=True), "It is in Deleted Items, as we left it."),
        (seen(row(), there=None, place=""), "was deleted in the target since, by its user or a policy; not by us"),
        (seen(row(), there=None, strangers=("Old",)), "one like it is in Old: moved since, not by us"),
        (seen(row(marks=Mark.TARGET_WINS)), "as the target's user has it"),
        (seen(None, there=None), "no pass has met it yet: run again"),
        (
            seen(None, there=None, strangers=("Inbox", "Inbox")),
            "A copy like it is in the target, in Inbox, but it is none of ours",
        ),
        (seen(None, source="", strangers=("Inbox",)), "came by another way"),
        (seen(row(S.REFUSED, None), opened=Open(item_id="i", reason="too-large")), "It did not go: too-large."),
        (seen(row(S.WITHHELD), opened=Open(item_id="i", reason="could-send-receipt")), "A change to it was not carried over"),
        (
            seen(row(S.FILTERED, None), opened=Open(item_id="i", reason="older-than")),
            "A rule of yours keeps it back (older-than).",
        ),
        (seen(row(S.LISTED, None)), "still to be carried"),
        (seen(row(S.BACKFILL, None)), "older than what a cutover waits for"),
        (seen(row(S.LISTED)), "a change is still to be carried"),
        (seen(row(S.INTENDED, None)), "in doubt"),
        (seen(row(S.DOOMED), source=""), "the next pass removes its copy"),
        (seen(row(S.GONE, None), source=""), "It left the source, and we removed its copy."),
        (seen(row(S.GONE, None, marks=Mark.TARGET_WINS), source=""), "the target's user changed it, so its copy was left"),
        (seen(row(S.GONE, None)), "It came back to the source"),
    ],
)
def test_who_moved_or_deleted_it_is_named(what: Seen, says: str) -> None:
    assert says in sentence(what)


def test_no_state_of_an_item_lacks_its_sentence() -> None:
    for state in ItemState:
        opened = Open(item_id="i", work=Work.CREATE, reason="too-large")
        assert sentence(seen(row(state), opened=opened)).endswith(".")


def test_a_message_id_is_known_with_its_brackets_and_without() -> None:
    assert bare(" <a@b> ") == bare("a@b") == "a@b"
    assert Wanted("a@b").fits(Facts(message_id="<a@b>"))
    assert not Wanted("a@b").fits(Facts(message_id="<x@b>"))
    assert not Wanted("a@b").fits(Facts())


def test_a_time_asks_for_its_beginning_and_not_for_its_end() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    wanted = Wanted(since=noon, until=noon.replace(hour=13))
    assert wanted.fits(Facts(received=noon))
    assert not wanted.fits(Facts(received=noon.replace(hour=13)))
    assert not wanted.fits(Facts())


def test_a_saved_mail_is_known_by_its_id_or_else_by_its_minute(tmp_path: Path) -> None:
    file = tmp_path / "lost.eml"
    file.write_bytes(b"Message-ID: <a@b>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0100\r\n\r\nMessage-ID: <other@b>\r\n")
    assert wanted_by_file(file) == Wanted("a@b")
    file.write_bytes(b"Date: Mon, 23 Nov 2026 12:00:00 +0100\r\n\r\nx")
    assert wanted_by_file(file).fits(Facts(submitted=datetime(2026, 11, 23, 11, 0, 30, tzinfo=UTC)))
    file.write_bytes(b"Subject: nothing else\r\n\r\nx")
    with pytest.raises(BadInput, match="neither a message id nor a date"):
        wanted_by_file(file)
