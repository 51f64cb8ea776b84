"""Archives that go into mailboxes of their own: what the column takes, and the config that is written for them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from migrator.config import BadInput
from migrator.examples import example
from migrator.waves.archives import edited
from migrator.waves.file import read_waves

WANTED: dict[tuple[str, str], str | bool] = {
    ("ledger", "url"): "sqlite:///archives.db", ("waves", "file"): "archives.csv", ("run", "archive"): 'The "old" one',
    ("run", "only_trees"): True,
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        example("example.toml").decode(),
        "[source]\nurl = 'https://x'\n",
        "[run]\narchive='a'   # why\n[ledger]  # where\nurl = \"sqlite:///migrator.db\"\nmin_free_mb = 1\n\n[waves]\n",
        "",
    ],
)
def test_an_edited_config_has_the_new_values_and_all_the_others(text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(edited(text, WANTED))
    for (section, key), value in WANTED.items():
        assert after[section].pop(key) == value
        before.get(section, {}).pop(key, None)
    assert {name: part for name, part in after.items() if part} == {name: part for name, part in before.items() if part}


def lines(tmp_path: Path, *archives: str) -> Path:
    file = tmp_path / "waves.csv"
    rows = [f"u{at}@a.example,u{at}@b.example,{archive}" for at, archive in enumerate(archives)]
    file.write_text("\n".join(["source,target,archive", *rows]) + "\n", "utf-8")
    return file


def test_the_column_takes_an_address_that_nothing_else_goes_into(tmp_path: Path) -> None:
    found = read_waves(lines(tmp_path, "old.u0@b.example", "yes", "Attic"))
    assert [one.details["archive"] for one in found] == ["old.u0@b.example", True, "Attic"]


@pytest.mark.parametrize(
    ("archives", "said"),
    [
        (("U1@b.example", "no"), "the target of line 3"),
        (("x@b.example", "X@b.example"), "where that of line 2 goes"),
        (("no@address@", "no"), "archive is no mail address"),
    ],
)
def test_an_archive_into_what_is_taken_is_refused_by_line(tmp_path: Path, archives: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput) as error:
        read_waves(lines(tmp_path, *archives))
    assert said in str(error.value)
