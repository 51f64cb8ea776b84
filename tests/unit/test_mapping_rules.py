"""The operator's rules as the config writes them: what fits, what is kept back, where folders go, what is said of mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Facts, Folder, Role
from migrator.config import BadInput, load
from migrator.engine import plan
from migrator.engine.mapping import (
    AGAIN,
    FINGERPRINT,
    PLAIN,
    Judge,
    Route,
    Rules,
    judged_again,
    met_again,
    names_of,
    renewed,
    routes,
    sorted_step,
    way_of,
)
from migrator.engine.rules import BadRule, FilterRule, FolderRule, check_rules, fits, folded
from state.model import ITEM_MOVES, ItemState, Mark, Open, Row, Step, Work

TODAY = date(2026, 11, 24)
TREE = [
    Folder("in", None, "Posteingang", role=Role.INBOX),
    Folder("c", "in", "Customers"),
    Folder("junk", None, "Junk-E-Mail", role=Role.JUNK),
    Folder("spam", "junk", "Worse"),
    Folder("a", None, "Archive"),
    Folder("a1", "a", "2019"),
    Folder("a2", "a1", "Q1"),
    Folder("slash", None, "In/Out"),
]
NAMED = names_of(TREE)


def where(*rules: FolderRule) -> dict[str, Route]:
    """The folders that a rule says something about."""
    found = routes(Rules(folders=rules), TREE, NAMED)
    assert found.keys() == NAMED.keys()
    return {folder: route for folder, route in found.items() if route != PLAIN}


def to(folder: str, **what: Any) -> FolderRule:
    return FolderRule(name=f"r{folder}", folder=folder, **what)


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("inbox/Customers", "inbox/customers", True),
        (" /Inbox/ Customers/", "inbox/customers", True),
        ("inbox", "inbox/customers", False),
        ("inbox/*", "inbox/customers/b", True),
        ("inbox/*", "inbox", False),
        ("*20??", "archive 20??", True),
        ("*20??", "archive 2019", False),
        ("a.c", "abc", False),
        ("*", "anything/at all", True),
    ],
)
def test_a_pattern_names_paths_without_regard_to_case(pattern: str, path: str, named: bool) -> None:
    assert fits(folded(pattern), path) is named


@given(st.text(alphabet="ab*/", min_size=1, max_size=12), st.text(alphabet="ab/", max_size=12))
def test_a_star_stands_for_anything_and_nothing_else_is_special(pattern: str, path: str) -> None:
    parts = pattern.split("*")
    rest, fitting = path, path.startswith(parts[0]) and path.endswith(parts[-1]) and len(path) >= len(parts[0]) + len(parts[-1])
    if len(parts) == 1:
        fitting = pattern == path
    elif fitting:
        rest = path[len(parts[0]) : len(path) - len(parts[-1])]
        for part in parts[1:-1]:
            at = rest.find(part)
            fitting, rest = fitting and at >= 0, rest[at + len(part) :]
    assert fits(pattern, path) is fitting


def test_a_folder_is_known_by_its_names_and_by_the_special_folder_it_is_in() -> None:
    assert NAMED["c"] == ("posteingang/customers", "@inbox/customers")
    assert NAMED["a2"] == ("archive/2019/q1",)
    assert NAMED["slash"] == ("in out",)


def test_what_is_left_out_takes_everything_below_along_unless_that_has_a_rule_of_its_own() -> None:
    assert where(to("archive", skip=True)) == {one: Route("rarchive", skip=True) for one in ("a", "a1", "a2")}
    found = where(to("Archive/2019", into="@inbox/customers"), to("archive", skip=True))
    assert found == {"a": Route("rarchive", skip=True), "a1": Route("rArchive/2019", into="c")}


def test_the_first_rule_that_names_a_folder_counts() -> None:
    assert where(to("archive/*", rename="Old"), to("archive/2019", skip=True))["a1"] == Route("rarchive/*", name="Old")


def test_a_special_folder_keeps_its_name() -> None:
    assert where(to("*", rename="All"))["a"] == Route("r*", name="All")
    assert "in" not in where(to("*", rename="All"))


def test_a_merge_leads_to_a_folder_or_to_one_that_is_made() -> None:
    assert where(to("@junkemail", into="posteingang")) == {"junk": Route("r@junkemail", into="in")}
    assert where(to("archive", into="@inbox/New/Old")) == {"a": Route("rarchive", into="in", path=("New", "Old"))}
    assert where(to("archive", into="New")) == {"a": Route("rarchive", path=("New",))}


def test_merges_in_a_row_lead_to_the_last_and_a_circle_to_none() -> None:
    assert where(to("archive", into="@junkemail"), to("@junkemail", into="@inbox"))["a"] == Route("rarchive", into="in")
    assert where(to("archive", into="@junkemail"), to("@junk*", into="Made"))["a"] == Route("rarchive", path=("Made",))
    assert where(to("archive/*", into="archive/2019")) == {"a2": Route("rarchive/*", into="a1")}
    assert where(to("archive", into="@junkemail"), to("@junk*", into="archive")) == {}


OLD, NEW = datetime(2015, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


def judge(*rules: FilterRule, paths: Sequence[str] = ("inbox",), since: str = "", route: Route = PLAIN) -> Judge:
    found = way_of(Rules(filters=rules, since=since), route, paths, TODAY).judge
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rule", "facts", "size", "kept"),
    [
        (FilterRule(name="n", since="2016-01-01"), Facts(received=OLD), 0, True),
        (FilterRule(name="n", since="2015-06-01"), Facts(received=OLD), 0, False),
        (FilterRule(name="n", since="30d"), Facts(received=NEW), 0, True),
        (FilterRule(name="n", until="2015-06-01"), Facts(received=OLD), 0, False),
        (FilterRule(name="n", until="2015-06-01"), Facts(received=NEW), 0, True),
        (FilterRule(name="n", since="2016-01-01"), Facts(), 0, False),
        (FilterRule(name="n", since="2016-01-01"), Facts(item_class="IPM.Appointment", received=OLD, start=OLD), 0, False),
        (FilterRule(name="n", max_mb=1.5), Facts(), 1_500_000, False),
        (FilterRule(name="n", max_mb=1.5), Facts(), 1_500_001, True),
        (FilterRule(name="n", classes=("ipm.note",), skip=True), Facts(item_class="IPM.Note.SMIME"), 0, True),
        (FilterRule(name="n", classes=("IPM.Note",), skip=True), Facts(item_class="IPM.Notebook"), 0, False),
        (FilterRule(name="n", classes=("IPM.Note",), max_mb=1), Facts(item_class="IPM.Contact"), 9_000_000, False),
    ],
)
def test_what_a_rule_keeps_back(rule: FilterRule, facts: Facts, size: int, kept: bool) -> None:
    assert judge(rule).decide(facts, size) == ((ItemState.FILTERED, "n") if kept else (ItemState.LISTED, ""))


@pytest.mark.parametrize(("pattern", "covered"), [("inbox", True), ("Inbox/A", True), ("inbox/a/*", False), ("other", False)])
def test_a_rule_covers_its_folders_and_all_below(pattern: str, covered: bool) -> None:
    rule = FilterRule(name="n", folders=(pattern,), max_mb=1)
    assert (way_of(Rules(filters=(rule,)), PLAIN, ("inbox/a",), TODAY).judge is not None) is covered


def test_a_folder_that_is_left_out_goes_before_filters_and_filters_before_old_mail() -> None:
    rule = FilterRule(name="large", max_mb=1)
    everything = Facts(received=OLD)
    assert judge(rule, route=Route("out", skip=True)).decide(everything, 9) == (ItemState.FILTERED, "out")
    assert judge(rule, since="2020-01-01").decide(everything, 2_000_000) == (ItemState.FILTERED, "large")
    assert judge(rule, since="2020-01-01").decide(everything, 9) == (ItemState.BACKFILL, "")
    assert judge(rule, since="2020-01-01").decide(Facts(received=NEW), 9) == (ItemState.LISTED, "")


def test_without_a_rule_nothing_judges_and_cursors_stay_as_they_were() -> None:
    way = way_of(Rules(), PLAIN, ("inbox",), TODAY)
    assert (way.judge, way.fingerprint) == (None, FINGERPRINT)
    other = FilterRule(name="n", folders=("other",), max_mb=1)
    assert way_of(Rules(filters=(other,)), PLAIN, ("inbox",), TODAY) == way


def test_a_fingerprint_moves_with_the_rules_of_its_folder_and_not_with_the_day() -> None:
    def mark(rule: FilterRule, since: str = "", route: Route = PLAIN, today: date = TODAY) -> str:
        return way_of(Rules(filters=(rule,), since=since), route, ("inbox",), today).fingerprint

    rule = FilterRule(name="n", since="90d")
    marks = [
        mark(rule),
        mark(FilterRule(name="m", since="90d")),
        mark(FilterRule(name="n", since="91d")),
        mark(rule, since="30d"),
        mark(rule, route=Route("x", name="y")),
    ]
    assert len(set(marks)) == len(marks)
    assert mark(rule, today=date(2027, 1, 1)) == marks[0]


def test_a_cursor_that_was_taken_as_today_outlives_a_change_of_rules() -> None:
    assert renewed("1", "1-ab") == "1-ab"
    assert renewed("1-cd", "1") == "1"
    assert renewed("1-cd" + AGAIN, "1-ab") == "1-ab" + AGAIN
    assert renewed("", "1-ab") is None
    assert renewed("0", "1-ab") is None


def row(state: ItemState = ItemState.LISTED, **more: Any) -> Row:
    return Row(key=b"k" * 16, folder_id=1, state=state, size=2_000_000, **more)


LARGE = FilterRule(name="large", max_mb=1)
OPENED = Open(item_id="i", facts=plan.pack_facts(Facts(received=OLD)))


def test_a_step_that_lists_something_new_is_sorted_and_every_other_one_is_not() -> None:
    kept = sorted_step(Step(None, row(), OPENED), judge(LARGE))
    assert (kept.new.state, kept.open and kept.open.reason) == (ItemState.FILTERED, "large")
    for step in (
        Step(row(), row(target="T"), OPENED),
        Step(row(), row(marks=Mark.REWRITTEN), OPENED),
        Step(row(), row(ItemState.DONE), None),
        Step(row(), row(), Open(item_id="i", work=Work.UPDATE)),
        Step(row(), row(ItemState.INTENDED), OPENED),
    ):
        assert sorted_step(step, judge(LARGE)) is step


@pytest.mark.parametrize("state", sorted(ItemState))
def test_only_what_is_not_there_yet_is_judged_again(state: ItemState) -> None:
    opened = Open(item_id="i", facts=OPENED.facts, reason="" if state is ItemState.LISTED else "before")
    for one in (judge(LARGE), judge(LARGE, since="2020-01-01"), judge(since="2020-01-01"), None):
        step = judged_again(row(state), opened, one)
        if state in (ItemState.LISTED, ItemState.BACKFILL, ItemState.FILTERED):
            assert step is None or step.new.state in ITEM_MOVES[state]
        else:
            assert step is None
    assert judged_again(row(ItemState.FILTERED), Open(item_id="i", facts=OPENED.facts, reason="large"), judge(LARGE)) is None


def test_what_lacks_its_facts_is_judged_when_it_is_met_again() -> None:
    bare = Open(item_id="i", reason="before")
    step = met_again(Step(row(ItemState.FILTERED), row(ItemState.FILTERED), bare), Facts(received=NEW), judge(LARGE))
    assert step.open is not None
    assert (step.open.reason, plan.unpack_facts(step.open.facts)) == ("large", Facts(received=NEW))
    assert met_again(Step(row(ItemState.FILTERED), row(ItemState.FILTERED), bare), Facts(), None).new.state is ItemState.LISTED
    known = Step(row(ItemState.FILTERED), row(ItemState.FILTERED), OPENED)
    assert met_again(known, Facts(), None) is known


@pytest.mark.parametrize(
    ("filters", "folders", "key", "words"),
    [
        ([{"name": "a", "since": "soon"}], [], "filters.rules[0].since", "90d"),
        ([{"name": "a"}], [], "filters.rules[0]", "keeps nothing back"),
        ([{"name": "a", "skip": True}], [], "filters.rules[0]", "name folders or classes"),
        ([{"name": "a", "skip": True, "max_mb": 3, "classes": ("x",)}], [], "filters.rules[0].skip", "max_mb"),
        ([{"name": "a", "since": "2020-01-02", "until": "2020-01-01"}], [], "filters.rules[0].since", "later than until"),
        ([{"name": "a", "folders": ("@posteingang",), "skip": True}], [], "filters.rules[0].folders[0]", "@inbox"),
        ([{"name": "A", "max_mb": 3}], [{"name": "a", "folder": "x", "skip": True}], "filters.rules[0].name", "mapping.rules[0]"),
        ([{"name": " a", "max_mb": 3}], [], "filters.rules[0].name", "without spaces"),
        ([], [{"name": "a", "folder": "x"}], "mapping.rules[0]", "exactly one of"),
        ([], [{"name": "a", "folder": "x", "skip": True, "into": "y"}], "mapping.rules[0]", "into and skip"),
        ([], [{"name": "a", "folder": "//", "skip": True}], "mapping.rules[0].folder", "names no folder"),
        ([], [{"name": "a", "folder": "x/@inbox", "skip": True}], "mapping.rules[0].folder", "begin with it"),
        ([], [{"name": "a", "folder": "x", "rename": "y/z"}], "mapping.rules[0].rename", "slashes"),
        ([], [{"name": "a", "folder": "@inbox", "rename": "y"}], "mapping.rules[0].folder", "special"),
        ([], [{"name": "a", "folder": "x", "into": "y*"}], "mapping.rules[0].into", "one folder"),
        ([], [{"name": "a", "folder": "X", "into": "x/"}], "mapping.rules[0].into", "the folder itself"),
        (
            [],
            [{"name": "a", "folder": "x", "into": "y"}, {"name": "b", "folder": "y", "into": "X"}],
            "mapping.rules[0].into",
            "the rule b",
        ),
        (
            [],
            [{"name": "a", "folder": "x", "into": "y/z"}, {"name": "b", "folder": "y*", "skip": True}],
            "mapping.rules[0].into",
            "the rule b leaves out",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_by_its_key(
    filters: list[dict[str, Any]], folders: list[dict[str, Any]], key: str, words: str
) -> None:
    with pytest.raises(BadRule, match=words.replace("[", r"\[")) as caught:
        check_rules([FilterRule(**one) for one in filters], [FolderRule(**one) for one in folders])
    assert caught.value.key == key


LEAST = """
[source]
url = "https://mail.example.com/EWS/Exchange.asmx"
username = "svc"
password = "env:P"
[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:S"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[filters.rules]]\nname = "a"\nsince = "soon"\n', "filters.rules[0].since is no date"),
        ('[[mapping.rules]]\nname = "a"\nfolder = "x"\nskip = 1\n', "mapping.rules[0].skip"),
        ('[[mapping.rules]]\nname = "a"\nfolders = "x"\n', "mapping.rules[0]"),
        ('[run]\nrequired_since = "90"\n', "run.required_since is no date"),
    ],
)
def test_the_config_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "migrator.toml"
    file.write_text(LEAST + text, "utf-8")
    with pytest.raises(BadInput) as caught:
        load(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_the_rules_of_the_page_are_rules(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    assert len(blocks) == 3
    file = tmp_path / "migrator.toml"
    file.write_text(LEAST + "\n".join(blocks), "utf-8")
    config = load(file)
    assert [rule.name for rule in config.mapping.rules] == ["no-junk", "one-archive", "new-name"]
    assert len(config.filters.rules) == 4
    settings = config.pass_settings(backfill=True)
    assert (settings.required_since, settings.backfill) == ("90d", True)
    assert settings.filter_rules == config.filters.rules
