"""The waves file: as spreadsheets save it, and what is said about each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.config import BadInput
from migrator.waves.columns import DETAILS, details_of
from migrator.waves.file import read_waves, remarks, select

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "waves.example.csv"

PLAIN = "wave,source,target\npilot,a@old.example,a@new.example\nwave1,b@old.example,b@new.example\n"


def saved(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    file = tmp_path / "waves.csv"
    file.write_bytes(text.encode(encoding))
    return file


def told(tmp_path: Path, text: str) -> list[tuple[str, str, str, int]]:
    return [(one.wave, one.source, one.target, one.line) for one in read_waves(saved(tmp_path, text))]


EXPECTED = [("pilot", "a@old.example", "a@new.example", 2), ("wave1", "b@old.example", "b@new.example", 3)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_way_a_spreadsheet_saves_it_reads_the_same(tmp_path: Path, separator: str, encoding: str, ending: str) -> None:
    file = saved(tmp_path, PLAIN.replace(",", separator).replace("\n", ending), encoding)
    assert [(one.wave, one.source, one.target, one.line) for one in read_waves(file)] == EXPECTED


def test_the_shipped_example_reads() -> None:
    assert {one.wave for one in read_waves(EXAMPLE)} == {"pilot", "wave1"}


def test_columns_may_stand_in_any_order_and_case_and_further_ones_are_kept(tmp_path: Path) -> None:
    [one] = read_waves(saved(tmp_path, 'Target ; SOURCE;Floor;wave\nt@x.example;s@x.example;"Smith; Jo";w\n'))
    assert (one.wave, one.source, one.target) == ("w", "s@x.example", "t@x.example")
    assert one.extra == {"Floor": "Smith; Jo"}


def test_empty_lines_and_comments_are_skipped_and_lines_keep_their_number(tmp_path: Path) -> None:
    text = "# who goes when\n\nwave,source,target\n,,\n# later: c@old.example\npilot,a@old.example,a@new.example\n"
    assert told(tmp_path, text) == [("pilot", "a@old.example", "a@new.example", 6)]


@pytest.mark.parametrize(
    ("text", "line", "mend"),
    [
        (PLAIN + "wave1,c@old.example\n", 4, "target is empty"),
        (PLAIN + "wave1,nobody,c@new.example\n", 4, "source is no mail address"),
        (PLAIN + "wave1,c @old.example,c@new.example\n", 4, "source is no mail address"),
        (PLAIN + "wave1,c@old.example,@new.example\n", 4, "target is no mail address"),
        (PLAIN + "c@old.example,c@old.example,c@new.example\n", 4, "without @"),
        (PLAIN + '"of two\nlines",c@old.example,c@new.example\n', 4, "on one line"),
        (PLAIN + f"{'w' * 65},c@old.example,c@new.example\n", 4, "at most 64 letters"),
        (PLAIN + "wave1,A@OLD.example,c@new.example\n", 4, "on line 2 already"),
        (PLAIN + "wave1,c@old.example,B@new.example\n", 4, "on line 3 already"),
        (PLAIN + "wave1,c@old.example,c@new.example,more\n", 4, "the heading names 3"),
        (PLAIN + 'wave1,"c"@old.example,c@new.example\n', 4, "check the quotes"),
        ("wave,source\nw,a@x.example\n", 1, "no column target"),
        ("a@x.example,b@x.example,w\n", 1, "no column source and no column target"),
        ("wave,source,target,Wave\n", 1, "twice"),
    ],
)
def test_a_mistake_names_file_line_and_mend(tmp_path: Path, text: str, line: int, mend: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_waves(saved(tmp_path, text))
    said = str(caught.value)
    assert f"{tmp_path / 'waves.csv'} line {line}:" in said
    assert mend in said
    assert "\n" not in said


def test_a_wave_that_nobody_named_is_the_one_that_was_said(tmp_path: Path) -> None:
    file = saved(tmp_path, "wave,source,target\n,c@old.example,c@new.example\nx,d@old.example,d@new.example\n")
    assert [(one.wave, one.said) for one in read_waves(file, "later")] == [("later", False), ("x", True)]
    assert read_waves(saved(tmp_path, "source,target\na@x.example,b@x.example\n"))[0].wave == "wave1"


@pytest.mark.parametrize(
    "heading",
    [
        "Source Email,Destination Email",
        "sourceemail;destinationemail",
        "SourceMailbox\tTargetMailbox",
        "PrimarySmtpAddress,NewEmailAddress",
        "EmailAddress,Target",
    ],
)
def test_headings_of_other_tools_are_understood(tmp_path: Path, heading: str) -> None:
    separator = next(mark for mark in ",;\t" if mark in heading)
    [one] = read_waves(saved(tmp_path, f"{heading}\na@old.example{separator}a@new.example\n"))
    assert (one.source, one.target, one.extra) == ("a@old.example", "a@new.example", {})


def test_a_list_of_addresses_alone_keeps_them(tmp_path: Path) -> None:
    [one] = read_waves(saved(tmp_path, "EmailAddress\r\nanna@x.example\r\n"))
    assert (one.source, one.target) == ("anna@x.example", "anna@x.example")


@pytest.mark.parametrize("heading", ["Source Password", "password", "Kennwort", "Pwd"])
def test_a_column_of_passwords_is_refused_without_repeating_one(tmp_path: Path, heading: str) -> None:
    with pytest.raises(BadInput, match="delete that column") as caught:
        read_waves(saved(tmp_path, f"source,target,{heading}\na@x.example,b@x.example,hunter2\n"))
    assert "hunter2" not in str(caught.value)


def test_all_columns_are_read_into_values(tmp_path: Path) -> None:
    text = (
        "source;target;Target Object ID;kind;priority;route;access;since;archive;language;time zone;start_after;"
        "complete_after;owner;ticket;notes;floor\n"
        "a@old.example;a@new.example;{12345678-90AB-cdef-1234-567890abcdef};SharedMailbox;2;Forward;full access;31.01.2026;ja"
        ";de-CH;Europe/Berlin;27.11.2026 18:00;2026-11-29T08:00+00:00;Zoë;T-1;vip;3\n"
    )
    [one] = read_waves(saved(tmp_path, text))
    assert one.details == {
        "target_object_id": "12345678-90ab-cdef-1234-567890abcdef",
        "kind": "shared",
        "priority": 2,
        "route": "forward",
        "access": "full-access",
        "since": "2026-01-31",
        "archive": True,
        "language": "de-CH",
        "time_zone": "Europe/Berlin",
        "start_after": "2026-11-27T18:00+01:00",
        "complete_after": "2026-11-29T08:00+00:00",
        "owner": "Zoë",
        "ticket": "T-1",
        "notes": "vip",
    }
    assert one.extra == {"floor": "3"}


def test_all_mistakes_are_told_at_once_each_with_its_line_and_mend(tmp_path: Path) -> None:
    text = (
        "source,target,kind,since,priority,time_zone,start_after,route\n"
        "a@old.example,b@old.example,usr,,,,,\n"
        "b@old.example,a@old.example,,01/02/2026,,,,\n"
        "c@old.example,nobody,,,high,,,\n"
        "c@old.example,d@new.example,,,,Europe/Berln,,\n"
        "e@old.example,d@new.example,,,,Europe/Berlin,2026-03-29 02:30,\n"
        "f@old.example,f@new.example,,,,,,domian\n"
    )
    with pytest.raises(BadInput) as caught:
        read_waves(saved(tmp_path, text))
    told = [line.partition("waves.csv ")[2] for line in str(caught.value).splitlines()]
    expected = [
        ("line 2: kind is 'usr', which is unknown; did you mean user?"),
        ("line 3: a@old.example to b@old.example to a@old.example is a circle"),
        ("line 3: since is no date that reads the same everywhere; write it as 2026-01-31"),
        ("line 4: priority is no whole number"),
        ("line 4: the target is no mail address"),
        ("line 5: time_zone names no time zone"),
        ("line 6: start_after is in the hour that the clocks leave out that night"),
        ("line 6: the target d@new.example is on line 5 already; two mailboxes can't go into one"),
        ("line 7: route is 'domian', which is unknown; did you mean domain?"),
    ]
    assert len(told) == len(expected)
    for line, begins in zip(told, expected, strict=True):
        assert line.startswith(begins), line


def test_a_column_that_is_nearly_ours_is_kept_and_told(tmp_path: Path) -> None:
    lines = read_waves(saved(tmp_path, "source,target,prioritty,Floor\na@x.example,b@x.example,1,2\n"))
    [said] = remarks(lines)
    assert "prioritty is kept as it is" in said
    assert "did you mean priority?" in said


@pytest.mark.parametrize("text", ["0001-01-01 00:00", "9999-12-31 23:59"])
@pytest.mark.parametrize("zone", ["", "Asia/Tokyo", "America/New_York"])
def test_a_moment_beyond_the_clock_is_told_and_is_no_bug(text: str, zone: str) -> None:
    found, wrong = details_of({"start_after": text, "time_zone": zone})
    assert ("start_after" in found) != ("start_after" in dict(wrong))


@given(st.text(max_size=40))
def test_whatever_stands_in_a_cell_is_taken_or_told(text: str) -> None:
    found, wrong = details_of(dict.fromkeys(DETAILS, text))
    assert {*found} | {name for name, _ in wrong} == (set(DETAILS) if text else set())


def test_a_file_without_mailboxes_or_no_file_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="add a line"):
        read_waves(saved(tmp_path, "wave,source,target\n"))
    with pytest.raises(BadInput, match="add a line"):
        read_waves(saved(tmp_path, ""))
    with pytest.raises(BadInput, match="not there"):
        read_waves(tmp_path / "none.csv")


def test_waves_and_mailboxes_are_chosen_by_name_in_the_files_order(tmp_path: Path) -> None:
    lines = read_waves(saved(tmp_path, PLAIN + "wave1,c@old.example,c@new.example\n"))

    def chosen(*names: str) -> list[str]:
        return [one.source[0] for one in select(lines, names, "waves.csv")]

    assert chosen() == ["a", "b", "c"]
    assert chosen("WAVE1") == ["b", "c"]
    assert chosen("c@OLD.example", "pilot") == ["a", "c"]
    assert chosen("wave1", "b@old.example") == ["b", "c"]
    with pytest.raises(BadInput, match=r"waves.csv has no wave and no mailbox called wvae1; did you mean wave1\?"):
        chosen("wvae1")
    with pytest.raises(BadInput, match="name a wave or a source address"):
        chosen("zzz")
