"""Tables that come from spreadsheets and go to them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.config import BadInput
from migrator.sheets import csv_text, guarded, read_table, write_csv

ROWS = (("source", "target"), ("anna@old.example", "änna@new.example"), ("ben@old.example", "a;b,c\td"))


def saved(folder: Path, data: bytes) -> Path:
    file = folder / "table.csv"
    file.write_bytes(data)
    return file


def cells(file: Path) -> list[tuple[str, ...]]:
    sheet = read_table(file)
    return [sheet.heading.cells, *(line.cells for line in sheet.lines)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_every_separator_and_encoding_reads_the_same(tmp_path: Path, separator: str, encoding: str) -> None:
    text = csv_text(ROWS[0], ROWS[1:], separator, "\r\n")
    assert cells(saved(tmp_path, text.encode(encoding))) == list(ROWS)


def test_a_line_that_names_the_separator_is_obeyed_and_counted(tmp_path: Path) -> None:
    sheet = read_table(saved(tmp_path, b"sep=|\r\na,b|c\r\n1|2\r\n"))
    assert (sheet.heading.cells, sheet.lines[0].cells, sheet.lines[0].number) == (("a,b", "c"), ("1", "2"), 3)


def test_no_break_spaces_and_marks_that_nobody_sees_go(tmp_path: Path) -> None:
    text = "source,target\n\u200banna@old.example\u00a0 ,\ufeffben@old.example\u202f\n"
    assert cells(saved(tmp_path, text.encode()))[1] == ("anna@old.example", "ben@old.example")


def test_a_row_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    sheet = read_table(saved(tmp_path, b'a,b\n"one\ntwo",x\ny,z\n'))
    assert [line.number for line in sheet.lines] == [2, 4]


def test_a_workbook_reads_as_a_person_would_type_it(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ("source", "since", "start_after", "priority", "archive", "empty"),
        ("anna@old.example\u00a0", date(2026, 1, 31), datetime(2026, 11, 27, 18, 0), 3.0, True, None),  # noqa: DTZ001 - a cell has no zone
    ):
        sheet.append(row)
    book.save(tmp_path / "waves.xlsx")
    assert cells(tmp_path / "waves.xlsx")[1] == ("anna@old.example", "2026-01-31", "2026-11-27 18:00", "3", "yes", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xd0\xcf\x11\xe0rest", "old Excel"),
        (b"PK\x03\x04rest", "no workbook"),
        (b"a,b\n1,\x81\x8d\n", "line 2"),
        (b'a,b\n1,"2\n', "quotes"),
    ],
)
def test_a_file_that_is_no_table_is_told_in_one_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        read_table(saved(tmp_path, data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["=1+1", "+49 30 1", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_nothing_that_we_write_is_a_formula(text: str) -> None:
    assert guarded(text).startswith("'")


def test_numbers_stay_numbers_and_moments_are_written_plainly() -> None:
    told = [guarded(one) for one in (-2, 1.5, True, None, datetime(2026, 11, 27, 18, 0, tzinfo=UTC), date(2026, 1, 2))]
    assert told == ["-2", "1.5", "yes", "", "2026-11-27 18:00:00+00:00", "2026-01-02"]


def test_the_file_has_what_excel_reads_in_every_language(tmp_path: Path) -> None:
    write_csv(tmp_path / "out.csv", ROWS[0], ROWS[1:])
    data = (tmp_path / "out.csv").read_bytes()
    assert data.startswith(b"\xff\xfe")
    assert data.decode("utf-16").splitlines()[1] == "anna@old.example\tänna@new.example"
    assert not list(tmp_path.glob("*.new"))


_text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf")), max_size=12).map(str.strip)


@given(st.lists(st.tuples(st.just("x"), _text.filter(lambda text: not text.startswith("'"))), max_size=5))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    file = tmp_path_factory.mktemp("sheets") / "out.csv"
    write_csv(file, ("a", "b"), rows)
    assert [line.cells for line in read_table(file).lines] == rows
