"""Appointments through the compose lane, over both servers: what takes place when is the same on both sides."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.lab.appointments import diary_of, occasions
from connectors.lab.icsfiles import read_calendar
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Part, Person, seeded_bytes

SERIES = b"""BEGIN:VCALENDAR
BEGIN:VEVENT
UID:s1
SUMMARY:Round
DTSTART;TZID=Europe/Berlin:20240325T090000
DTEND;TZID=Europe/Berlin:20240325T100000
RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=8
EXDATE;TZID=Europe/Berlin:20240328T090000
END:VEVENT
BEGIN:VEVENT
UID:s1
RECURRENCE-ID;TZID=Europe/Berlin:20240408T090000
SUMMARY:Round\\, later
DTSTART;TZID=Europe/Berlin:20240408T140000
DTEND;TZID=Europe/Berlin:20240408T160000
END:VEVENT
BEGIN:VEVENT
UID:s2
SUMMARY:Last Friday
DTSTART;VALUE=DATE:20240126
RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20250601
END:VEVENT
BEGIN:VEVENT
UID:s3
SUMMARY:Once
DTSTART:20240102T080000Z
DURATION:PT45M
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_file_is_read_as_exchange_would_hold_it() -> None:
    round_, friday, once = read_calendar(SERIES, Person("Anna", "anna@contoso.test"))
    taking_place = [one.start for one in occasions(round_)]
    assert taking_place[:3] == [
        datetime(2024, 3, 25, 8, tzinfo=UTC),
        datetime(2024, 4, 8, 12, tzinfo=UTC),
        datetime(2024, 4, 11, 7, tzinfo=UTC),
    ]
    assert len(taking_place) == 7
    assert all(f"{one.start:%A}" == "Friday" for one in occasions(friday))
    [only] = occasions(once)
    assert only.end - only.start == timedelta(minutes=45)


def test_what_takes_place_when_is_the_same_on_both_sides(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0)) as lab:
        [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
        box = source.by_role("calendar")
        assert box is not None
        for number, item in enumerate(read_calendar(SERIES, Person(source.display_name, source.address))):
            item.id, item.folder_id, item.search_key = seeded_bytes(number, length=12).hex(), box.id, seeded_bytes(number)
            item.parts = [
                Part("agenda.txt", "text/plain", b"first"),
                Part("plan.bin", "application/octet-stream", b"x" * 3_200_000),
            ]
            source.add(item)
        command = [sys.executable, "-m", "migrator", "-c", str(lab.config_file), "--json"]
        done = subprocess.run([*command, "run", "--lane", "compose"], capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        ours, theirs = (_by_subject(one.items.values()) for one in (source, target))
        assert ours.keys() == theirs.keys()
        for subject, item in ours.items():
            copy = theirs[subject]
            assert [(one.start, one.end) for one in occasions(item)] == [(one.start, one.end) for one in occasions(copy)]
            assert [(part.name, part.content) for part in item.parts] == [(part.name, part.content) for part in copy.parts]
            assert diary_of(copy).zone == diary_of(item).zone
        assert target.sent == []
        checked = subprocess.run([*command, "verify", "--deep"], capture_output=True, text=True, check=False, timeout=100)
        assert json.loads(checked.stdout)["differences"] == 0


def _by_subject(items: object) -> dict[str, Item]:
    return {item.subject: item for item in items}  # type: ignore[attr-defined]
