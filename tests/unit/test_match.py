"""Whether two ends are one person's: by tables."""

from __future__ import annotations

import pytest

from connectors.directory import Person
from migrator.waves.match import accept, accepted, alike, fits, held_by, judge, kept

SOURCE, TARGET, ID = "anna@old.example", "anna@new.example", "12345678-90ab-cdef-1234-567890abcdef"


def person(name: str, *addresses: str, object_id: str = "") -> Person:
    return Person(name=name, addresses=frozenset(addresses), object_id=object_id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Berg", "anna berg"),
        ("Berg, Anna", "Anna Berg"),
        ("Berg, Anna (Sales)", "Anna Berg"),
        ("Dr. Anna Berg", "Anna Berg"),
        ("Müller, Jörg", "Joerg Mueller"),
        ("Müller, Jörg", "Jorg Muller"),
        ("José Núñez", "Jose Nunez"),
        ("Anna Maria Berg", "Berg, Anna"),
        ("Reception", "reception"),
        ("Анна Берг", "Берг, Анна"),
    ],
)
def test_names_of_one_person_agree(one: str, other: str) -> None:
    assert alike(one, other)
    assert alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Anna Berg", "Anna Weber"), ("Anna Berg", "Ben Berg"), ("Anna", "Anna Berg"), ("", ""), ("Berg", "Bergmann")],
)
def test_names_of_two_people_do_not(one: str, other: str) -> None:
    assert not alike(one, other)
    assert not alike(other, one)


@pytest.mark.parametrize(
    ("here", "there", "object_id", "ok", "why"),
    [
        (person("Anna Berg", SOURCE), person("Berg, Anna", TARGET), "", True, "names agree"),
        (person("Anna Berg", SOURCE), person("Anna Weber", TARGET), "", False, "names differ"),
        (person("Anna Berg", SOURCE), person("Anna Weber", TARGET, SOURCE), "", True, "has the source's address"),
        (person("Anna Berg", SOURCE), None, "", False, "knows nobody"),
        (None, person("Anna Berg", TARGET), "", None, "tells no name"),
        (None, person("Anna Berg", TARGET, object_id=ID), ID, True, "the one of the spreadsheet"),
        (person("Anna Berg", SOURCE), person("Anna Berg", TARGET, object_id="other"), ID, False, "the spreadsheet says"),
        (person("Anna Berg", "ben@old.example"), person("Anna Berg", TARGET), "", False, "somebody with other ones"),
    ],
)
def test_a_card_says_whether_and_why(
    here: Person | None, there: Person | None, object_id: str, ok: bool | None, why: str
) -> None:
    card = judge(SOURCE, TARGET, here, there, object_id)
    assert (card.ok, why in card.why) == (ok, True), card
    assert bool(held_by(card.about(), TARGET)) == (ok is False)


def test_a_directory_that_may_not_be_read_holds_nobody() -> None:
    card = judge(SOURCE, TARGET, person("Anna Berg", SOURCE), None, untold="The directory may not be read.")
    assert (card.ok, held_by(card.about(), TARGET)) == (None, "")


def test_somebodys_word_holds_until_a_name_changes() -> None:
    wrong = judge(SOURCE, TARGET, person("Anna Berg", SOURCE), person("Anna Weber", TARGET))
    said = accept(wrong.about(), "ops", "she married")
    assert accepted(said)
    assert held_by(said, TARGET) == ""
    assert held_by(kept(wrong, said), TARGET) == "", "looked at again"
    other = judge(SOURCE, TARGET, person("Anna Berg", SOURCE), person("Ben Kahn", TARGET))
    assert held_by(kept(other, said), TARGET) == "The two ends may be two people (Anna Berg and Ben Kahn): The names differ."
    assert held_by(None, TARGET) == ""


def test_a_card_of_a_target_that_was_corrected_since_holds_nobody() -> None:
    wrong = judge(SOURCE, TARGET, person("Anna Berg", SOURCE), person("Anna Weber", TARGET)).about()
    assert held_by(wrong, TARGET.upper())
    assert held_by(wrong, "anna.berg@new.example") == ""
    assert fits(wrong, TARGET)
    assert not fits(wrong, "anna.berg@new.example")
    assert not fits(None, TARGET)
