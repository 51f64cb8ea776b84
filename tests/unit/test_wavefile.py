"""The waves file: as spreadsheets save it, and what is said about each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.config import BadInput
from migrator.wavefile import read_waves, select

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
    [one] = read_waves(saved(tmp_path, 'Target ; SOURCE;Owner;wave\nt@x.example;s@x.example;"Smith; Jo";w\n'))
    assert (one.wave, one.source, one.target) == ("w", "s@x.example", "t@x.example")
    assert one.extra == {"Owner": "Smith; Jo"}


def test_empty_lines_and_comments_are_skipped_and_lines_keep_their_number(tmp_path: Path) -> None:
    text = "# who goes when\n\nwave,source,target\n,,\n# later: c@old.example\npilot,a@old.example,a@new.example\n"
    assert told(tmp_path, text) == [("pilot", "a@old.example", "a@new.example", 6)]


@pytest.mark.parametrize(
    ("text", "line", "mend"),
    [
        (PLAIN + "wave1,c@old.example\n", 4, "target is empty"),
        (PLAIN + ",c@old.example,c@new.example\n", 4, "wave is empty"),
        (PLAIN + "wave1,nobody,c@new.example\n", 4, "source is no mail address"),
        (PLAIN + "wave1,c @old.example,c@new.example\n", 4, "source is no mail address"),
        (PLAIN + "wave1,c@old.example,@new.example\n", 4, "target is no mail address"),
        (PLAIN + "c@old.example,c@old.example,c@new.example\n", 4, "without @"),
        (PLAIN + "wave1,A@OLD.example,c@new.example\n", 4, "on line 2 already"),
        (PLAIN + "wave1,c@old.example,B@new.example\n", 4, "on line 3 already"),
        (PLAIN + "wave1,c@old.example,c@new.example,more\n", 4, "the heading names 3"),
        (PLAIN + 'wave1,"c"@old.example,c@new.example\n', 4, "check the quotes"),
        ("wave,source\nw,a@x.example\n", 1, "no column target"),
        ("a@x.example,b@x.example,w\n", 1, "no column wave and no column source and no column target"),
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


def test_what_is_not_utf_8_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "waves.csv"
    file.write_bytes((PLAIN + "wälle,c@old.example,c@new.example\n").encode("latin-1"))
    with pytest.raises(BadInput, match=r"line 4: .*CSV UTF-8"):
        read_waves(file)


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
