"""The PowerShell is read back by the language's own rules: whatever a name holds, it stays one text and becomes no code.

There is no PowerShell here; the reader below follows the lexical grammar of its specification (2.3.5.2 verbatim strings, 2.2.3
comments) and takes every kind of single quote for one.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Role
from connectors.settings import Abilities, Delegate, Holder, Permission, Place, Settings, Untold
from connectors.settings import Kind as SettingKind
from migrator.config import BadInput
from migrator.settings.planning import plan
from migrator.settings.run import Carried
from migrator.settings.scripts import SINGLE, applying, collecting, quoted, remark, table, write_scripts
from migrator.settings.words import Surroundings
from state.model import MailboxRow, MailboxState

PEOPLE = {"anna@old.test": "anna@new.test", "bob@old.test": "bob@new.test"}
NASTY = [
    "o'hara", "‘curly’", "‚low‛", "''", "'; Remove-Mailbox x; '", "$(Remove-Mailbox x)", "`$x", '"double"', "“curly”", "a\nb",
    "a\r\n# b",
    "\u2028", "\x00", "\ud800", "#>", "<#", "@'", "'@", "‘\n’", "ends with '", "\x85", "—dash", "中文", "a`nb",
]  # fmt: skip
NAMES = st.one_of(st.text(max_size=30), st.sampled_from(NASTY), st.text(alphabet=SINGLE + '"`$()#@\n\r {};', max_size=12))


@dataclass
class Reader:
    """Reads PowerShell's verbatim strings, character expressions and comments; everything else is left as it is."""

    text: str
    at: int = 0

    def literal(self) -> str:
        assert self.text[self.at] in SINGLE
        self.at += 1
        found = ""
        while True:
            letter = self.text[self.at]
            self.at += 1
            if letter not in SINGLE:
                found += letter
            elif self.text[self.at : self.at + 1] and self.text[self.at] in SINGLE:
                found += self.text[self.at]
                self.at += 1
            else:
                return found

    def skeleton(self) -> tuple[str, list[str]]:
        """The code with every text and comment taken out, and the texts."""
        code, texts = "", []
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter in SINGLE:
                texts.append(self.literal())
                code += "'"
            elif letter == '"':
                end = self.text.index('"', self.at + 1)
                code += self.text[self.at : end + 1]
                self.at = end + 1
            elif letter == "#":
                while self.at < len(self.text) and self.text[self.at] not in "\r\n":
                    self.at += 1
                code += "#"
            else:
                code += letter
                self.at += 1
        return code, texts


def read(expression: str) -> str:
    """What PowerShell makes of an expression of ``quoted``."""
    if not expression.startswith("("):
        reader = Reader(expression)
        found = reader.literal()
        assert reader.at == len(expression), "one text, and nothing behind it"
        return found
    assert expression.endswith(")")
    inside, reader, found = expression[1:-1], Reader(expression[1:-1]), ""
    while reader.at < len(inside):
        if (number := re.compile(r"\[char\](\d+)").match(inside, reader.at)) is not None:
            found += chr(int(number[1]))
            reader.at = number.end()
        else:
            found += reader.literal()
        if reader.at < len(inside):
            assert inside[reader.at : reader.at + 3] == " + "
            reader.at += 3
    return found


@given(NAMES)
def test_every_text_comes_back_as_it_went(text: str) -> None:
    assert read(quoted(text)) == text


@pytest.mark.parametrize("text", NASTY)
def test_the_texts_that_are_known_to_break_scripts_come_back_too(text: str) -> None:
    assert read(quoted(text)) == text
    assert not set("\n\r\x00\x85\u2028") & set(quoted(text)), "a text never ends a line"


@given(NAMES)
def test_a_remark_is_one_line_of_comment(text: str) -> None:
    shown = remark(text)
    assert shown.startswith("# ")
    assert len(re.split("[\n\r\x0b\x0c\x85\u2028\u2029]", shown)) == 1
    shown.encode()


RIGHTS = ("ReadItems", "CreateItems")
ROLES = ((Role.CALENDAR, "Editor"), (Role.TASKS, "Author"))


def carried(name: str = "Projects", who: str = "bob@old.test", wave: str = "wave1") -> Carried:
    row = MailboxRow(
        id=1, wave=wave, source="anna@old.test", target="anna@new.test", state=MailboxState.READY, came_from=None, cause="",
        epoch=1, owner=None, lease_until=0.0, sequence=0, generation=0, claimed=True,
    )  # fmt: skip
    place = Place(Role.INBOX, (name,))
    source = Settings(
        permissions=(
            Permission(place=place, holder=Holder.PERSON, level="Reviewer", address=who, name=name),
            Permission(
                place=Place(None, (name,)), holder=Holder.PERSON, level="Custom", address=who, rights=("ReadItems", "CreateItems")
            ),
            Permission(place=Place(Role.CALENDAR, (), True), holder=Holder.EVERYBODY, level="LimitedDetails"),
        ),
        delegates=(
            Delegate(
                address=who,
                name=name,
                levels=((Role.CALENDAR, "Editor"), (Role.TASKS, "Author")),
                gets_meetings=True,
                sees_private=True,
            ),
        ),
        untold=(Untold(SettingKind.RULE, name, "why"),),
    )
    around = Surroundings(
        abilities=Abilities(frozenset(), frozenset(), frozenset()), now=datetime(2026, 6, 1, tzinfo=UTC), people=PEOPLE
    )
    return Carried(mailbox=row, source=source, entries=plan(source, Settings(), around))


@given(NAMES.filter(lambda name: not set("/\\") & set(name)), NAMES)
def test_no_name_changes_the_code_of_a_script(name: str, who: str) -> None:
    plain, _ = Reader(applying("w", [carried("x", "y")], PEOPLE, "t.csv")).skeleton()
    script = applying("w", [carried(name or "x", who or "y")], PEOPLE, "t.csv")
    code, texts = Reader(script).skeleton()
    # Letters that can't stand in a text are spelt out by number; apart from that, the code is the same.
    code = re.sub(r"\(' \+ (?:'|\[char\]\d+)(?: \+ (?:'|\[char\]\d+))*\)", "'", code)
    assert sorted(code.splitlines()) == sorted(plain.splitlines()) or known(code) == known(plain)
    assert (who or "y") in texts or quoted(who or "y").startswith("(")


def known(code: str) -> list[str]:
    """The kinds of lines: an unknown address gets one line of comment more, a delegate's own permission none."""
    return sorted({line for line in code.splitlines() if line != "#"})


def test_a_script_grants_everything_and_notifies_nobody() -> None:
    script = applying("wave1", [carried()], PEOPLE, "settings-wave1.csv")
    assert "\n$WhatIf = $true\n" in script
    assert "Grant-Folder 'anna@new.test' 'Inbox' 'Projects' 'bob@new.test' @('Reviewer') @()" in script
    assert "Grant-Folder 'anna@new.test' '' 'Projects' 'bob@new.test' @('ReadItems', 'CreateItems') @()" in script
    assert "Grant-Folder 'anna@new.test' 'Calendar' '' 'Default' @('LimitedDetails') @()" in script
    assert "Grant-Folder 'anna@new.test' 'Calendar' '' 'bob@new.test' @('Editor') @('Delegate', 'CanViewPrivateItems')" in script
    assert "Grant-Folder 'anna@new.test' 'Tasks' '' 'bob@new.test' @('Author') @()" in script
    assert "# By hand: rule Projects: why" in script
    assert "SendNotificationToUser'] = $false" in script
    assert "SendNotificationToUser'] = $true" not in script


CHANGING = (
    "Add-MailboxFolderPermission",
    "Set-MailboxFolderPermission",
    "Add-MailboxPermission",
    "Add-RecipientPermission",
    "Set-Mailbox ",
)


def test_every_cmdlet_that_changes_something_asks_the_one_variable() -> None:
    script = applying("wave1", [carried()], PEOPLE, "t.csv")
    joined = script.replace("`\n", " ")
    lines = [line for line in joined.splitlines() if not line.lstrip().startswith("#")]
    for cmdlet in CHANGING:
        uses = [line for line in lines if cmdlet in line and "Get-Command" not in line]
        assert uses, cmdlet
        for line in uses:
            assert "-WhatIf:$WhatIf" in line or "@Own" in line, line
    assert "WhatIf = $WhatIf" in script
    assert not re.search(r"\b(?:Remove|Disable|Clear|New)-", "\n".join(lines)), "nothing is removed"
    assert script.count("{") == script.count("}")
    assert script.count("(") == script.count(")")


def test_the_script_for_the_source_only_reads() -> None:
    script = collecting([carried()])
    verbs = set(re.findall(r"\b([A-Z][a-z]+)-[A-Z][A-Za-z]+", re.sub("#.*", "", script))) - {"Send"}
    assert verbs <= {"Get", "Where", "Export", "Write", "Join", "For", "Each"} | {"ForEach"}, verbs
    assert "'anna@old.test'" in script
    assert script.count("{") == script.count("}")


def test_the_files_can_be_read_by_old_shells_and_spreadsheets(tmp_path: Path) -> None:
    written = write_scripts(tmp_path / "out", [carried("=cmd|x", "bob@old.test", "wave 1/a")], PEOPLE)
    assert sorted(file.name for file in written) == sorted(file.name for file in (tmp_path / "out").iterdir())
    assert written[0].name == "collect-onprem.ps1"
    assert all("/" not in file.name for file in written)
    for file in written:
        content = file.read_bytes()
        assert content.startswith(b"\xef\xbb\xbf")
        assert b"\n" not in content.replace(b"\r\n", b"")
    rows = list(csv.DictReader(table([carried("=cmd|x")], PEOPLE).splitlines()))
    assert {row["by"] for row in rows} == {"script", "hand: why", "collected"}
    assert "'=cmd|x" in {row["who"] for row in rows}, "a name that begins like a formula stays a name"


def test_a_folder_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="--scripts"):
        write_scripts(tmp_path / "file", [carried()], PEOPLE)
