"""Tasks by the compose lane, from server to server of the lab: what To Do has a place for arrives, the rest is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from fidelity_world import Row, all_the_same
from test_contacts import COMMON, a_contact

from connectors.graph.task_json import BODY_LIMIT
from connectors.lab.exchange_properties import own_value, place_of
from connectors.lab.exchange_tasks import RECURRENCE
from connectors.lab.login import ROLES
from connectors.lab.people import an_empty, make_path
from connectors.lab.server import Lab, LabPlan
from connectors.lab.tenant_todo import links
from connectors.lab.truth import Estate, Item, Mailbox, Part
from migrator import app, cli, config

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
TASK = "{00062003-0000-0000-c000-000000000046}"
DAY = datetime(2026, 9, 1, tzinfo=UTC)
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
START, DUE, DONE = (f"SystemTime {TASK} Id 0x{number:X}" for number in (0x8104, 0x8105, 0x810F))
STATUS, COMPLETE, PERCENT = f"Integer {TASK} Id 0x8101", f"Boolean {TASK} Id 0x811C", f"Double {TASK} Id 0x8102"
OWN = "String {00020329-0000-0000-c000-000000000046} Name Own"
REMINDS, REMINDER = f"Boolean {COMMON} Id 0x8503", f"SystemTime {COMMON} Id 0x8502"


def a_task(subject: str, **fields: Any) -> Item:
    given: dict[str, Any] = {"created": WHEN, "modified": WHEN, "is_read": True, **fields}
    extended = {STATUS: 0, COMPLETE: False, **given.pop("extended", {})}
    return Item(item_class=given.pop("item_class", "IPM.Task"), subject=subject, extended=extended, **given)


def repeats(pattern: dict[str, Any], span: dict[str, Any]) -> dict[str, object]:
    held = {"pattern": pattern, "range": {"startDate": "2026-09-01", **span}}
    return {RECURRENCE: orjson.dumps(held).decode(), f"Boolean {TASK} Id 0x8126": True, DUE: DAY}


PATTERNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "daily": ({"type": "daily", "interval": 2}, {"type": "noEnd"}),
    "weekly": (
        {"type": "weekly", "interval": 1, "daysOfWeek": ["monday", "friday"], "firstDayOfWeek": "monday"},
        {"type": "endDate", "endDate": "2027-01-01"},
    ),
    "monthly": ({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}, {"type": "numbered", "numberOfOccurrences": 5}),
    "relative": (
        {"type": "relativeMonthly", "interval": 3, "daysOfWeek": ["tuesday"], "index": "last"},
        {"type": "noEnd"},
    ),
    "yearly": ({"type": "absoluteYearly", "interval": 1, "dayOfMonth": 29, "month": 2}, {"type": "noEnd"}),
    "thanksgiving": (
        {"type": "relativeYearly", "interval": 1, "daysOfWeek": ["thursday"], "index": "fourth", "month": 11},
        {"type": "noEnd"},
    ),
}  # fmt: skip


def a_full_task() -> Item:
    return a_task(
        "full",
        body_html="<html><body><p>Do <b>it</b></p></body></html>",
        importance=2,
        submitted=WHEN,
        categories=["Red", "Müller"],
        extended={START: DAY, DUE: DAY + timedelta(days=2), STATUS: 1, REMINDS: True, REMINDER: SOON, OWN: "own"},
        parts=[Part("plan.txt", "text/plain", b"the plan"), Part("größe.bin", "application/octet-stream", b"\x00" * 5000)],
    )


def plain_tasks() -> list[Item]:
    found = [
        a_task("done", body_text="Well done", extended={STATUS: 2, COMPLETE: True, PERCENT: 1.0, DONE: DAY}),
        a_task("waiting", extended={STATUS: 3}),
        a_task("hours", extended={DUE: DAY + timedelta(hours=9)}),
        a_task("deferred", extended={STATUS: 4}, importance=0),
    ]
    return found + [a_task(name, extended=repeats(*how)) for name, how in PATTERNS.items()]


def odd_tasks() -> dict[str, Item]:
    """Tasks with something that To Do has no place for, by the name under which the lane says so."""
    return {
        "task-percent": a_task("half", extended={STATUS: 1, PERCENT: 0.5}),
        "task-sensitivity": a_task("secret", sensitivity=2),
        "task-mileage": a_task("far", extended={f"String {COMMON} Id 0x8534": "100 km"}),
        "task-billing": a_task("dear", extended={f"String {COMMON} Id 0x8535": "100 EUR"}),
        "task-total-work": a_task("long", extended={f"Integer {TASK} Id 0x8111": 480}),
        "task-actual-work": a_task("quick", extended={f"Integer {TASK} Id 0x8110": 5}),
        "task-role": a_task("role", extended={f"String {TASK} Id 0x8127": "Tester"}),
        "task-assigned": a_task("assigned", extended={f"Integer {TASK} Id 0x8129": 2}),
        "task-companies": a_task("companies", extended={f"StringArray {COMMON} Id 0x8539": ["Contoso"]}),
        "task-people": a_task("people", extended={f"StringArray {COMMON} Id 0x853A": ["Anna"]}),
        "task-recurrence": a_task(
            "anew", extended={RECURRENCE: "DailyRegeneration", f"Boolean {TASK} Id 0x8126": True, DUE: DAY}
        ),
        "reminder-over": a_task("late", extended={REMINDS: True, REMINDER: WHEN}),
        "task-title": a_task(""),
        "task-class": a_task("other class", item_class="IPM.Task.Custom"),
        "task-attachments": a_task("large", parts=[Part("large.bin", "application/octet-stream", b"x" * 3_200_000)]),
        "task-inline": a_task("inline", parts=[Part("a.png", "image/png", b"\x89PNG", True, "a@b")]),
        "subject": a_task("s" * 300),
        "characters": a_task("chars\x01"),
        "task-body": a_task("talkative", body_text="b" * (BODY_LIMIT + 1)),
    }


def _of(key: str) -> Callable[[Item], object]:
    return lambda item: _held(item, key)


DEGRADED: dict[str, Callable[[Item], object]] = {
    "task-percent": _of(PERCENT), "task-sensitivity": lambda item: item.sensitivity,
    "task-mileage": _of(f"String {COMMON} Id 0x8534"), "task-billing": _of(f"String {COMMON} Id 0x8535"),
    "task-total-work": _of(f"Integer {TASK} Id 0x8111"), "task-actual-work": _of(f"Integer {TASK} Id 0x8110"),
    "task-role": _of(f"String {TASK} Id 0x8127"), "task-assigned": _of(f"Integer {TASK} Id 0x8129"),
    "task-companies": _of(f"StringArray {COMMON} Id 0x8539"), "task-people": _of(f"StringArray {COMMON} Id 0x853A"),
    "task-recurrence": lambda item: item.extended.get(RECURRENCE), "reminder-over": _of(REMINDS),
    "task-title": lambda item: item.subject, "task-class": lambda item: item.item_class,
    "task-attachments": lambda item: len(item.parts), "task-inline": lambda item: [part.inline for part in item.parts],
    "subject": lambda item: item.subject, "characters": lambda item: item.subject, "task-body": lambda item: item.body_text,
}  # fmt: skip
"""What each of them has less, as both stores hold it."""


@dataclass
class Carried:
    lab: Lab
    source: Mailbox
    target: Mailbox
    codes: list[int]
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def degraded(self) -> dict[str, int]:
        return {name.removeprefix("degraded."): n for name, n in self.figures.items() if name.startswith("degraded.")}

    def copy(self, subject: str) -> Item:
        found = [item for item in self.target.items.values() if item.subject == subject]
        assert len(found) == 1, f"{subject}: {len(found)} copies"
        return found[0]


def filled() -> tuple[Estate, Mailbox]:
    """A mailbox of tasks, in the default folder and in one below it."""
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    home = mailbox.by_role("tasks")
    assert home is not None
    below = make_path(mailbox, [home.name, "Garden"], "IPF.Task")
    everybody = [(item, home.id) for item in (a_full_task(), *plain_tasks(), *odd_tasks().values())]
    for item, folder in [*everybody, (a_task("dig"), below.id)]:
        number = len(mailbox.items)
        item.id, item.folder_id, item.search_key = f"t{number:023}", folder, b"k%015d" % number
        mailbox.add(item)
    return estate, mailbox


def carry(lab: Lab, mailbox: Mailbox, passes: int) -> Carried:
    codes = [cli.run(["-c", str(lab.config_file), "run", "--lane", "compose"]) for _ in range(passes)]
    figures: Counter[str] = Counter()
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        for run in ledger.passes(ledger.mailboxes()[0].id):
            figures.update({name: int(value) for name, value in run.figures.items()})
    return Carried(lab, mailbox, next(iter(lab.target.mailboxes.values())), codes, figures)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    estate, mailbox = filled()
    folder, unlawful = tmp_path_factory.mktemp("tasks"), {"illegal_characters": True}
    with Lab(LabPlan(folder=folder, source=estate, mailboxes=1, exchange=unlawful)) as lab:
        yield carry(lab, mailbox, 2)


def _held(item: Item, key: str) -> object:
    place = place_of(key)
    assert place is not None, key
    return own_value(item.extended, place[0])


@pytest.mark.parametrize("subject", ["full", "done", "waiting", "deferred"])
@pytest.mark.parametrize("key", [START, DUE, DONE, STATUS, REMINDS, REMINDER])
def test_each_property_of_a_task_arrives(carried: Carried, subject: str, key: str) -> None:
    ours = next(item for item in carried.source.items.values() if item.subject == subject)
    assert (_held(carried.copy(subject), key) or None) == (_held(ours, key) or None)


@pytest.mark.parametrize("subject", ["full", "done", "deferred"])
def test_what_is_no_property_of_its_own_arrives_too(carried: Carried, subject: str) -> None:
    ours, copy = next(item for item in carried.source.items.values() if item.subject == subject), carried.copy(subject)
    assert (copy.body_html, copy.body_text or None) == (
        ours.body_html,
        ours.body_text or None,
    ) or copy.body_text == ours.body_text
    assert (copy.importance, copy.categories) == (ours.importance, ours.categories)
    assert [(one.name, one.content) for one in copy.parts] == [(one.name, one.content) for one in ours.parts]


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_arrives(carried: Carried, name: str) -> None:
    pattern, span = PATTERNS[name]
    held = orjson.loads(str(carried.copy(name).extended[RECURRENCE]))
    assert held == {"pattern": pattern, "range": {"startDate": "2026-09-01", **span}}


def test_what_is_said_to_be_lost_is_lost(carried: Carried) -> None:
    ours, copy = next(item for item in carried.source.items.values() if item.subject == "full"), carried.copy("full")
    assert (_held(ours, OWN), _held(copy, OWN)) == ("own", None)
    assert (ours.submitted, copy.submitted) == (WHEN, None)
    assert copy.search_key != ours.search_key
    assert copy.created != ours.created
    assert _held(carried.copy("hours"), DUE) == DAY


KEPT = (
    "subject", "text", "html", "importance", "categories", "start", "due", "completed", "status", "reminder", "recurrence",
    "attachment-name", "attachment-content",
)  # fmt: skip
LOST = ("user-property", "search-key", "created", "time-of-day", "submitted")
ROWS: set[Row] = {
    *(("compose", "task", name, "kept") for name in KEPT),
    *(("compose", "task", name, "degraded") for name in DEGRADED),
    *(("compose", "task", name, "lost") for name in LOST),
    ("import", "task", "every property", "kept"),
}


def test_every_task_that_is_less_is_one_that_is_looked_at() -> None:
    assert odd_tasks().keys() == DEGRADED.keys()


@pytest.mark.parametrize("name", DEGRADED)
def test_what_is_said_to_be_less_is_less(carried: Carried, name: str) -> None:
    ours = odd_tasks()[name]
    renamed = {"task-title": "-", "subject": ours.subject[:255], "characters": "chars"}
    assert DEGRADED[name](carried.copy(renamed.get(name, ours.subject))) != DEGRADED[name](ours)


def test_nothing_of_a_task_is_less_by_the_import_lane(tmp_path: Path) -> None:
    estate, mailbox = filled()
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "import"]) == 0
        [target] = lab.target.mailboxes.values()
    all_the_same(mailbox, target)


@pytest.mark.parametrize("name", sorted(odd_tasks()))
def test_what_to_do_has_no_place_for_is_named_once(carried: Carried, name: str) -> None:
    assert carried.degraded.get(name) == 1


def test_nothing_else_is_named_as_lost(carried: Carried) -> None:
    assert set(carried.degraded) == set(odd_tasks())


def test_every_task_is_there_once_with_a_whole_stamp_and_nobody_got_mail(carried: Carried) -> None:
    assert carried.codes == [0, 0]
    stamps = [one["externalId"] for item in carried.target.items.values() for one in links(item)]
    assert len(stamps) == len(set(stamps)) == len(carried.source.items) == len(carried.target.items)
    assert not any(stamp.endswith("-partial") for stamp in stamps)
    assert carried.target.sent == []


def test_lists_are_the_folders_of_the_source(carried: Carried) -> None:
    box = carried.target.boxes[carried.copy("dig").folder_id]
    assert (box.name, box.kind) == ("Garden", "IPF.Task")
    assert carried.target.boxes[carried.copy("full").folder_id].role == "tasks"


def test_the_source_is_asked_seldom(carried: Carried) -> None:
    assert carried.figures["source.requests.GetItem"] <= 0.12 * len(carried.source.items) + 1


def test_verification_finds_no_difference_but_what_the_lane_named(carried: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = cli.run(["-c", str(carried.lab.config_file), "verify", "--deep", "--json"])
    assert code == 0, capsys.readouterr().out


def test_what_lost_its_answer_is_found_again_and_not_written_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    estate, mailbox = filled()
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("doubt"), source=estate, mailboxes=1)) as lab:
        options = lab.options[1]
        options.commit_after_timeout = 0.05
        first = carry(lab, mailbox, 1)
        assert first.figures["doubts"] > 0
        options.commit_after_timeout = 0.0
        carry(lab, mailbox, 2)
        found = [one["externalId"] for item in first.target.items.values() for one in links(item)]
        # Half a copy whose answer was lost may stay; nobody takes it for the task.
        stamps = [stamp for stamp in found if not stamp.endswith("-partial")]
        assert len(stamps) == len(set(stamps)) == len(mailbox.items)


def test_an_app_without_the_permission_has_its_tasks_refused_by_name_and_all_else_carried(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    estate, mailbox = filled()
    inbox = mailbox.by_role("inbox")
    assert inbox is not None
    mail = Item(
        id="m" * 24, folder_id=inbox.id, subject="mail", body_text="x", search_key=b"m" * 16, submitted=WHEN, received=WHEN,
        created=WHEN, modified=WHEN, message_id="<m@x>",
    )  # fmt: skip
    mailbox.add(mail)
    roles = tuple(one for one in ROLES if not one.startswith("Tasks."))
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("denied"), source=estate, mailboxes=1)) as lab:
        lab.options[1].roles = roles
        found = carry(lab, mailbox, 1)
        assert found.codes == [2]
        assert [item.subject for item in found.target.items.values()] == ["mail"]
        assert found.figures["refused"] == len(mailbox.items) - 1


def test_what_changes_and_goes_at_the_source_does_so_in_the_target(tmp_path_factory: pytest.TempPathFactory) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    for number, (role, item) in enumerate(
        [("contacts", a_contact("Ben")), ("contacts", a_contact("Gone")), ("tasks", a_task("dig")), ("tasks", a_task("gone too"))]
    ):
        box = mailbox.by_role(role)
        assert box is not None
        item.id, item.folder_id, item.search_key = f"e{number:023}", box.id, b"e%015d" % number
        mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("edits"), source=estate, mailboxes=1)) as lab:
        carry(lab, mailbox, 1)
        by_name = {item.subject: item for item in mailbox.items.values()}
        by_name["Ben"].extended["String 0x3A17"] = "Boss"
        by_name["dig"].extended[STATUS] = 1
        for name in ("Ben", "dig"):
            mailbox.touch(by_name[name])
        for name in ("Gone", "gone too"):
            mailbox.remove(by_name[name].id)
        target = carry(lab, mailbox, 2).target
        found = {item.subject: item for item in target.items.values()}
        assert len(found) == len(target.items)
        assert set(found) == {"Ben", "dig"}
        assert found["Ben"].extended["String 0x3A17"] == "Boss"
        assert _held(found["dig"], STATUS) == 1
        assert target.sent == []
