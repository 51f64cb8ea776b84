"""The documents can fail the build: every command, option and config key is in them, and every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from migrator.cli import cli
from migrator.config import keys

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(group: click.Command, name: str = "migrator") -> list[tuple[str, click.Command]]:
    found = []
    with click.Context(group) as context:
        for word in group.list_commands(context) if isinstance(group, click.Group) else ():
            command = group.get_command(context, word)  # type: ignore[attr-defined]
            assert command is not None
            found.append((f"{name} {word}", command))
            found += commands(command, f"{name} {word}")
    return found


@pytest.mark.parametrize(("name", "command"), commands(cli), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_is_in_the_reference(name: str, command: click.Command) -> None:
    if isinstance(command, click.Group):
        return
    assert f"`{name}" in REFERENCE
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert any(f"`{flag}" in REFERENCE for flag in option.opts), f"{name} {option.opts}"


@pytest.mark.parametrize("key", keys())
def test_every_config_key_is_in_the_reference(key: str) -> None:
    assert f"`{key}`" in REFERENCE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link, place in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text("utf-8")):
        goal = page.parent / link if link else page
        assert goal.exists(), link
        assert not place or place in headings(goal), f"{link}#{place}"


def headings(page: Path) -> set[str]:
    """How a link names the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in found}


YOURS = {"configs/live.toml"}
"""Files that whoever reads the page writes."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(
        re.findall(r"(?<![\w/.-])((?:migrator|connectors|state|tests|docs|configs|alembic)/[\w/.-]*\w)", page.read_text("utf-8"))
    )
    assert not {one for one in named - YOURS if not (ROOT / one).exists()}


def test_every_folder_of_the_code_map_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for folder in re.findall(r"^\| `([\w/]+/)` \|", text, re.MULTILINE):
        assert folder == "tests/bench/" or (ROOT / folder).is_dir(), folder


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    lines = [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    examples = [line.removeprefix("uv run ") for line in lines if line.startswith("uv run migrator ")]
    examples = [one for one in examples if one.split()[1] not in ("demo", "lab")]  # they have tests of their own
    assert len(examples) >= 2
    monkeypatch.setenv("MIGRATOR_SOURCE_PASSWORD", "x")
    monkeypatch.setenv("MIGRATOR_TARGET_SECRET", "x")
    for example in examples:
        words = example.split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "migrator", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        # A fresh project has no ledger yet, which is no fault of the example.
        assert done.returncode in (0, 65), done.stderr
        assert "bug" not in done.stderr


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom migrator.cli import run\n"
        "try:\n    run(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'aiohttp', 'exchangelib', 'sqlalchemy', 'msgraph', 'msal', 'lxml', 'requests'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
