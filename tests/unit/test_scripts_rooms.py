"""The scripts for rooms: they hold the rooms of the waves file and no others, change nothing unasked, and stay silent."""

from __future__ import annotations

import re

import pytest

from migrator.settings.rooms import PLAIN, room_files, rooms_of
from migrator.settings.scripts import quoted
from state.model import MailboxRow, MailboxState

PEOPLE = {"room1@old.test": "room1@new.test", "o'hara@old.test": "o'hara@new.test"}


def a_row(number: int, name: str, wave: str = "wave1") -> MailboxRow:
    return MailboxRow(
        id=number, wave=wave, source=f"{name}@old.test", target=f"{name}@new.test", state=MailboxState.PLANNED, came_from=None,
        cause="", epoch=0, owner=None, lease_until=0.0, sequence=0, generation=0, claimed=False,
    )  # fmt: skip


ROWS = [a_row(1, "room1"), a_row(2, "anna"), a_row(3, "beamer", "wave2"), a_row(4, "team")]
DETAILS = {1: {"kind": "room"}, 2: {"kind": "user"}, 3: {"kind": "equipment"}, 4: {"kind": "shared"}}


def test_rooms_and_equipment_alone_are_in_them() -> None:
    rooms = rooms_of(ROWS, DETAILS)
    assert [one.source for one in rooms] == ["room1@old.test", "beamer@old.test"]
    files = room_files(rooms, PEOPLE)
    assert set(files) == {"rooms-onprem.ps1", "rooms-wave1.ps1", "rooms-wave2.ps1"}
    assert "'room1@old.test' = 'room1@new.test'" in files["rooms-wave1.ps1"]
    assert "beamer" not in files["rooms-wave1.ps1"]
    assert "anna" not in "".join(files.values())
    assert room_files([], PEOPLE) == {}


def test_the_script_for_the_source_only_reads() -> None:
    text = room_files(rooms_of(ROWS, DETAILS), PEOPLE)["rooms-onprem.ps1"]
    assert set(re.findall(r"\b[A-Z][a-z]+-[A-Z]\w+", re.sub(r"(?m)^#.*$", "", text))) == {
        "Get-Command", "Get-CalendarProcessing", "Get-Recipient", "Export-Clixml", "Write-Warning", "Write-Host", "Where-Object",
        "Join-Path",
    }  # fmt: skip


def test_a_room_stays_silent_and_nothing_changes_until_somebody_says_so() -> None:
    text = room_files(rooms_of(ROWS, DETAILS), PEOPLE)["rooms-wave1.ps1"]
    assert "$WhatIf = $true" in text
    assert "$Answer = $false" in text
    assert "AutomateProcessing = 'None'; WhatIf = $WhatIf; Confirm = $false" in text
    assert "AutomateProcessing" not in PLAIN
    assert re.findall(r"(?m)^\s+(Set|Add|Remove|New|Enable)-\w+", text) == ["Set"]


@pytest.mark.parametrize("name", ["o'hara", "$(x)", "`n", '"'])
def test_no_address_becomes_code(name: str) -> None:
    text = room_files([a_row(1, name)], {})["rooms-wave1.ps1"]
    assert f"    {quoted(f'{name}@old.test')} = {quoted(f'{name}@new.test')}" in text
