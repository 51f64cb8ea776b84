"""What is not carried by itself is in the report, mailbox by mailbox and by name."""

from __future__ import annotations

from pathlib import Path

from migrator.inventory import SEEN, left_behind_lines
from migrator.kinds import SEEN as TREES
from migrator.reporting.gathering import gather
from migrator.reporting.pages import report_page
from migrator.reporting.told import told
from migrator.reporting.words import language
from state.store import Ledger

FIGURES = {
    "associated": 7, "search_folders": 0, "tagged_folders": 1, "tagged_items": 12, "held_items": 3, "archive_folders": 2,
    "archive_items": 5, "archive_bytes": 900, "recoverable_folders": 4, "recoverable_items": 4, "large_items": -1,
}  # fmt: skip


def test_every_figure_is_named_for_its_mailbox_and_a_tree_that_was_carried_is_not(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}") as ledger:
        anna, ben, _ = (ledger.plan_mailbox("wave", f"{who}@a.example", f"{who}@b.example") for who in ("anna", "ben", "carla"))
        ledger.plans.observe(anna.id, SEEN, FIGURES)
        ledger.plans.observe(ben.id, SEEN, FIGURES)
        ledger.plans.observe(ben.id, TREES, {"archive": "Attic", "recoverable": "Recovered"})
        facts = gather(ledger)
    by_source = {line.source: line.left_behind for line in facts.mailboxes}
    always = {"associated": 7, "tagged_folders": 1, "tagged_items": 12}
    assert by_source["anna@a.example"] == {**always, "archive_items": 5, "recoverable_items": 4, "held_items": 3}
    assert by_source["ben@a.example"] == always
    assert by_source["carla@a.example"] == {}
    assert told(facts)["left_behind"]["tagged_items"] == 24
    for code, words in (("en", "12 items with a retention or archive tag"), ("de", "12 Elemente mit einer Aufbewahrungs-")):
        assert words in report_page(facts, language(code))


def test_a_server_that_can_not_count_is_said_so() -> None:
    said = "\n".join(left_behind_lines("anna@a.example", {**FIGURES, "tagged_items": -1}, {}))
    assert "does not count tags on items or large items" in said
    assert "-1" not in said
    assert "3 items are kept for a hold or for single item recovery" in said
    assert "LitigationHoldEnabled" in said
