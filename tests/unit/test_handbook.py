"""Every command that the documents show is one that the program takes: its words are parsed by the program's own parser."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from migrator.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    "docs/handbook.md",
    "docs/cutover.md",
    "docs/waves.md",
    "docs/probe.md",
    "docs/kinds.md",
    "docs/promises.md",
    "README.md",
]
_INLINE = re.compile(r"`(migrator [^`\n]+(?:\n[^`\n]+)?)`")
_BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_VAGUE = re.compile(r"[…\[\]|\\]|(?<!\w)\.\.\.")


def shown(page: str) -> list[str]:
    """The command lines of a page, those with a blank left for the reader left out."""
    text = (ROOT / page).read_text("utf-8")
    lines = [line.strip() for block in _BLOCK.findall(text) for line in block.splitlines()]
    found = [line.removeprefix("uv run ").partition(" #")[0] for line in lines]
    found += [" ".join(one.split()) for one in _INLINE.findall(_BLOCK.sub("", text))]
    commands = [one for line in found for one in line.split(" && ") if one.startswith("migrator ")]
    return [one for one in dict.fromkeys(commands) if not _VAGUE.search(one)]


def parse(line: str) -> None:
    """Raises what the program's parser raises."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="migrator")
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] in ("-c", "--config", "--log-file") else words[1:]
        if not words:
            return  # a group is named as such
        # The group's own way, because some take a wave where a verb may stand.
        try:
            name, found, words = command.resolve_command(context, list(words))
        except click.UsageError as error:
            raise AssertionError(f"{line}: {error.format_message()}") from None
        assert found is not None, line
        command, context = found, click.Context(found, info_name=name, parent=context, **found.context_settings)
    values, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left, f"{line}: {left} is too much"
    for parameter in command.params:
        value = values.get(parameter.name or "")
        missing = isinstance(parameter, click.Argument) and parameter.required and value in (None, ())
        # A verb that is only named, as in a table, needs no words behind it.
        assert not missing or not words, f"{line}: {parameter.name} is missing"
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in shown(page)])
def test_every_command_of_a_page_is_one(page: str, line: str) -> None:
    parse(line)


def test_the_handbook_shows_the_verb_of_each_phase() -> None:
    named = {line.split()[1] for line in shown("docs/handbook.md") if len(line.split()) > 1}
    phases = "init assess check probe wave run serve status show trace verify cutover errors kit report"
    assert set(phases.split()) <= named


@pytest.mark.parametrize("line", ["migrator stauts", "migrator status --wavs", "migrator show", "migrator redo a b"])
def test_a_command_that_is_none_would_be_found(line: str) -> None:
    if line == "migrator show":
        parse(line)
        return
    with pytest.raises((AssertionError, click.UsageError)):
        parse(line)
