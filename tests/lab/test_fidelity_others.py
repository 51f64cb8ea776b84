"""What has no kind of its own in the target: untouched by the import lane, in the other one refused by name; and what even an
import may lose. What of it is carried within messages is in test_others_as.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fidelity_world import Row, all_the_same

from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Mailbox
from migrator import app, cli, config

KINDS = {
    "mail": ("IPM.Note", "IPM.Post", "REPORT", "IPM.Schedule.Meeting"), "appointment": ("IPM.Appointment",),
    "contact": ("IPM.Contact",), "task": ("IPM.Task",), "list": ("IPM.DistList",), "note": ("IPM.StickyNote",),
    "journal": ("IPM.Activity",), "any other class": ("IPM.Vendor", "IPM.Microsoft"),
}  # fmt: skip
ALONE = ("list", "note", "journal", "any other class")
LOST = {"created": lambda item: item.created, "search-key": lambda item: item.search_key}
ROWS: set[Row] = {
    *(("import", kind, "every property", "kept") for kind in KINDS),
    *(("import", "every kind", name, "lost") for name in LOST),
    *(("compose", kind, "every property", "lost") for kind in ALONE),
}


def kind_of(item: Item) -> str:
    return next(kind for kind, classes in KINDS.items() if item.item_class.startswith(classes))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mailbox, Mailbox]]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("imported"), mailboxes=1, items=0, everything=True)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "import"]) == 0
        [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
        yield source, target


def test_every_property_of_every_kind_is_kept_by_the_import_lane(imported: tuple[Mailbox, Mailbox]) -> None:
    all_the_same(*imported)
    assert {kind_of(item) for item in imported[0].items.values()} == KINDS.keys()


@pytest.mark.parametrize("name", LOST)
def test_a_target_may_give_new_ones_of_what_even_an_import_loses(imported: tuple[Mailbox, Mailbox], name: str) -> None:
    ours, theirs = ({(one.item_class, one.subject): LOST[name](one) for one in box.items.values()} for box in imported)
    assert all(ours[key] and theirs[key] != ours[key] for key in ours)


def test_what_only_the_import_lane_takes_is_refused_by_name_in_the_other(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0, everything=True)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "compose"]) == 2
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            reasons = {one.reason for one in ledger.refusals()}
        [source], [target] = lab.source.mailboxes.values(), lab.target.mailboxes.values()
    assert reasons == {"list-needs-import", "note-needs-import", "journal-needs-import", "no-lane", "meeting-without-attendees"}
    assert {kind_of(item) for item in source.items.values()} >= set(ALONE)
    assert not {kind_of(item) for item in target.items.values()} & set(ALONE)
