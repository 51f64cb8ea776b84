"""The words: identities, stamps and hashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.base import Attachment, Facts, Item, Lane, Message, Ref, hash_subject, identify, item_key, stamp_of

WHEN = datetime(2022, 6, 1, 12, 0, 0, 700_000, tzinfo=UTC)
FULL = Facts(search_key=b"k" * 16, message_id="<a@b>", subject_hash=hash_subject("Hello"), submitted=WHEN)


def share(one: Facts, other: Facts) -> bool:
    return bool(set(identify(one).rungs) & set(identify(other).rungs))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"size": 99}, True),
        ({"search_key": None}, True),
        ({"message_id": None}, True),
        ({"item_class": "ipm.note"}, True),
        ({"submitted": WHEN.replace(microsecond=0)}, True),
        ({"submitted": WHEN.astimezone(timezone(timedelta(hours=5)))}, True),
        ({"message_id": " <a@b> "}, True),
        ({"subject_hash": None}, True),
        ({"search_key": b"x" * 16, "message_id": "<c@d>"}, False),
        ({"search_key": None, "submitted": WHEN + timedelta(seconds=2)}, False),
        ({"item_class": "IPM.Note.SMIME"}, False),
    ],
)
def test_what_counts_for_an_identity(change: dict[str, object], same: bool) -> None:
    assert share(FULL, replace(FULL, **change)) is same  # type: ignore[arg-type]


def test_the_surest_rung_comes_first_and_nothing_known_gives_none() -> None:
    assert identify(FULL).rungs[0] == identify(replace(FULL, message_id="<other@x>")).rungs[0]
    assert identify(Facts()).rungs == ()
    weak = identify(Facts(subject_hash=hash_subject("x"))).rungs
    assert len(weak) == 1, "an item with neither id nor time must be found again too, or a lost answer doubles it"
    assert weak != identify(Facts(subject_hash=hash_subject("y"))).rungs


def test_the_start_of_an_appointment_goes_before_its_other_times() -> None:
    one = Facts(item_class="IPM.Appointment", subject_hash=hash_subject("Lunch"), start=WHEN, created=WHEN + timedelta(days=1))
    assert share(one, replace(one, created=WHEN))
    assert not share(one, replace(one, start=WHEN + timedelta(days=7)))


def test_a_subjects_hash_levels_case_and_spaces_only() -> None:
    assert hash_subject(" Re:  HELLO ") == hash_subject("re: hello")
    assert hash_subject("hello") != hash_subject("hell o")
    assert len(hash_subject("\ud800 lone surrogate")) == 8


def test_a_subject_that_the_target_cut_is_still_the_same_subject() -> None:
    long = "RE: " + "no end, " * 40
    assert hash_subject(long) == hash_subject(long[:255])
    assert hash_subject(long) != hash_subject(long[:250])


def test_a_subject_is_the_same_with_and_without_what_xml_can_not_hold() -> None:
    assert hash_subject("a\x01b\x1fc\ufffe") == hash_subject("abc")
    assert hash_subject("a\tb") != hash_subject("ab")
    assert hash_subject("\x01" * 9 + "x" * 300) == hash_subject("x" * 300)


@given(st.text(), st.text())
def test_keys_are_short_and_tell_ids_apart(one: str, other: str) -> None:
    assert len(item_key(one)) == 16
    assert (item_key(one) == item_key(other)) == (one == other)


def test_a_stamp_survives_a_comparison_without_case() -> None:
    stamp = stamp_of(item_key("AAMk"))
    assert stamp == stamp.lower()
    assert stamp.startswith("m1-")
    assert stamp != stamp_of(item_key("aamk"))


def test_nothing_private_is_shown_by_a_repr() -> None:
    message = Message(subject="secret", body="secret", headers="secret", attachments=(Attachment("a", "b", b"secret"),))
    item = Item(Ref("i"), Lane.COMPOSE, "IPM.Note", b"12345678", stream=b"secret", message=message)
    assert "secret" not in repr(message) + repr(item)
