"""What answers of probes mean to lanes and limits, what a stream tells of itself, and what of a class may be shown."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import pytest

from connectors.base import Answer as Question
from connectors.base import Facts, Lane
from connectors.ews.client import build_in
from connectors.lab import stream
from connectors.lab.truth import Item
from connectors.streams import made_by
from migrator.engine import plan
from migrator.preflight import Gate, meetings_gate, probe_gates
from migrator.probe.answers import IMPORT_CAP, LANE_IMPORT, known_of
from migrator.probe.probing import Allow, liking, needs_of
from migrator.probe.result import class_shown
from state.plans import Answer


def answer(question: str, subject: str, build: str, word: str) -> Answer:
    return Answer(question=question, subject=subject, build=build, at=0.0, answer=word, detail="")


def test_an_answer_counts_for_its_build_alone() -> None:
    answers = [answer(LANE_IMPORT, "IPM.Task", "15.1", "no"), answer(LANE_IMPORT, "IPM.Task", "15.2", "yes")]
    assert known_of(answers, "15.1").shuns_import("IPM.Task")
    assert not known_of(answers, "15.2").shuns_import("IPM.Task")
    assert not known_of(answers, "15.3").shuns_import("IPM.Task")
    assert not known_of([answer(LANE_IMPORT, "IPM.Task", "", "no")], "").shuns_import("IPM.Task"), (
        "an unknown build proves nothing"
    )


def test_a_class_without_an_answer_takes_that_of_the_nearest_one_above() -> None:
    answers = [answer(LANE_IMPORT, "IPM.Note", "b", "differs"), answer(LANE_IMPORT, "IPM.Note.SMIME", "b", "yes")]
    known = known_of(answers, "b")
    assert known.shuns_import("ipm.note.custom.form")
    assert not known.shuns_import("IPM.Note.SMIME.MultipartSigned")
    assert not known.shuns_import("IPM.NoteBook"), "a class is above another by its dots"
    assert not known.shuns_import("IPM.Contact")


def test_of_single_items_and_series_the_worse_answer_counts() -> None:
    for single, series, shunned in (("yes", "yes", False), ("yes", "differs", True), ("no", "yes", True)):
        answers = [
            answer(LANE_IMPORT, "IPM.Appointment", "b", single),
            answer(LANE_IMPORT, "IPM.Appointment (series)", "b", series),
        ]
        assert known_of(answers, "b").shuns_import("IPM.Appointment") is shunned
        assert known_of(answers[::-1], "b").shuns_import("IPM.Appointment") is shunned


def test_a_cap_counts_for_every_build_and_in_bytes_of_the_item() -> None:
    assert known_of([answer(IMPORT_CAP, "", "", "4000000")], "b").items_from == 3_000_000
    assert known_of([answer(IMPORT_CAP, "", "", "none up to 4000000")], "b").items_from == math.inf


@pytest.mark.parametrize(
    ("kept", "wanted", "lane"),
    [("", "auto", Lane.COMPOSE), ("import", "auto", Lane.IMPORT), ("", "import", Lane.IMPORT)],
)
def test_what_is_imported_last_still_goes_the_way_it_is_bound_to(kept: str, wanted: str, lane: Lane) -> None:
    accepts = {Lane.IMPORT: ("",), Lane.COMPOSE: ("IPM.Note",)}
    assert plan.choose("IPM.Note", kept, wanted, frozenset(Lane), accepts, import_last=True) is lane


def test_what_no_other_lane_carries_is_imported_even_if_last() -> None:
    accepts = {Lane.IMPORT: ("",), Lane.COMPOSE: ("IPM.Note",)}
    assert plan.choose("IPM.StickyNote", "", "auto", frozenset(Lane), accepts, import_last=True) is Lane.IMPORT


def test_a_stream_tells_which_server_exported_it() -> None:
    packed = base64.b64encode(stream.pack(Item(subject="Hello"), (15, 20, 4566)))
    assert made_by(packed) == "15.20.4566.0"
    for broken in (None, b"", b"AAAA", b"no base64!", packed[:40]):
        assert made_by(broken) == ""


def test_the_published_sample_of_a_frame_is_read() -> None:
    head = bytes.fromhex("010000000800000000000000010000000300000018000000" + "00" * 24 + "0400000006000000140fd6918617")
    assert made_by(base64.b64encode(head + b"\x02\0\0\0\0\0\0\0")) == "15.20.4566.6022"


def test_a_build_is_read_from_the_answer_or_else_from_its_headers() -> None:
    told = b'<h:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="66" Version="x"/>'
    assert build_in(b"<s:Header>" + told, {}) == "15.1.2507.66"
    assert build_in(b"<s:Header/>", {"X-OWA-Version": "15.2.1544.4"}) == "15.2.1544.4"
    assert build_in(b"<s:Header/>", {"x-owa-version": "a proxy"}) == ""


@pytest.mark.parametrize(
    ("item_class", "shown"),
    [
        ("ipm.note", "IPM.Note"),
        ("IPM.Note.Contoso.Invoice", "IPM.Note.*"),
        ("REPORT.IPM.Note.NDR", "REPORT.IPM.Note.NDR"),
        ("Contoso.Form", "other"),
        ("", "other"),
    ],
)
def test_of_a_class_that_somebody_made_only_the_known_one_above_is_shown(item_class: str, shown: str) -> None:
    assert class_shown(item_class) == shown


@pytest.mark.parametrize(
    ("facts", "needs"),
    [
        (Facts(has_attendees=False, wants_receipt=False), set()),
        (Facts(has_attendees=None, wants_receipt=False), {Allow.MEETINGS}),
        (Facts(has_attendees=True, wants_receipt=True, is_read=False), {Allow.MEETINGS, Allow.RECEIPTS}),
        (Facts(has_attendees=False, wants_receipt=True, is_read=True), set()),
        (Facts(has_attendees=False), {Allow.RECEIPTS}),
    ],
)
def test_what_a_listing_does_not_tell_counts_as_something_that_could_be_noticed(facts: Facts, needs: set[Allow]) -> None:
    assert needs_of(facts) == needs


def test_of_items_that_are_not_large_the_largest_is_liked_best() -> None:
    sizes = [100, 200_000, 300_000, 9_000_000]
    assert sorted(sizes, key=lambda size: liking(Facts(size=size)), reverse=True) == [200_000, 100, 300_000, 9_000_000]


@dataclass(frozen=True)
class Counts:
    future: int
    as_organiser: int


def version_gate(build: str) -> Gate:
    return Gate("source", "anna@old.example", Question("version", True, f"Exchange 2016 answers ({build})."))


def test_check_asks_for_a_probe_of_a_build_that_was_not_asked_yet() -> None:
    gates = [version_gate("15.1.2507.66"), version_gate("15.1.2507.66"), version_gate("15.2.1544.4")]
    assert list(probe_gates(gates, [])) == [], "without any probe it was said already"
    [gate] = probe_gates(gates, [answer(LANE_IMPORT, "IPM.Note", "15.1.2507.66", "yes")])
    assert gate.answer.ok is None
    assert gate.answer.sentence.startswith("15.2.1544.4 ")


@pytest.mark.parametrize(
    ("lane", "probed", "says", "says_not"),
    [
        ("auto", "yes", "carries appointments of this source build whole", "refuses those by name"),
        ("auto", "differs", "have to be composed", "whole."),
        ("auto", "", "refuses those by name", "A probe"),
        ("compose", "yes", "refuses those by name", "A probe"),
    ],
)
def test_check_says_of_meetings_to_come_what_a_probe_found(lane: str, probed: str, says: str, says_not: str) -> None:
    gate, _ = meetings_gate(lambda _: Counts(5, 3), "anna@old.example", lane=lane, orphans=False, probed=probed)
    sentence = gate.answer.sentence.replace("the import lane keeps them whole.", "")
    assert says in sentence
    assert says_not not in sentence
