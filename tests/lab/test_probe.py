"""``migrator probe`` over both servers of the lab: what it answers, what it touches, and who follows it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_deep import WHEN, a_rich_mail, others

from connectors.base import Facts, identify
from connectors.graph.naming import probe_name
from connectors.lab.oddities import APPOINTMENT
from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox, Person
from migrator import app, cli, config
from migrator.preflight import local_gates
from migrator.probe.answers import IMPORT_CAP, LANE_IMPORT, known_of
from state.model import MailboxState, Row
from state.plans import Answer


def put(mailbox: Mailbox, role: str, item: Item) -> Item:
    box = mailbox.by_role(role)
    assert box is not None
    item.id, item.folder_id = f"probe{len(mailbox.items):019}", box.id
    return mailbox.add(item)


def a_meeting() -> Item:
    """A meeting that somebody would be told about."""
    times = {f"SystemTime {APPOINTMENT} Id 0x820D": WHEN, f"SystemTime {APPOINTMENT} Id 0x820E": WHEN}
    return Item(
        item_class="IPM.Appointment", subject="Board", body_text="Agenda", search_key=b"meeting", is_read=True,
        author=Person("Anna", "anna@contoso.test"), to=[Person("Guest", "guest@outside.example")], created=WHEN, modified=WHEN,
        submitted=WHEN, extended={**times, f"Integer {APPOINTMENT} Id 0x8217": 1},
    )  # fmt: skip


def a_single_appointment() -> Item:
    """An appointment that nobody else knows of, and that takes place once."""
    item = a_meeting()
    item.subject, item.to, item.search_key = "Dentist", [], b"single"
    item.extended[f"Integer {APPOINTMENT} Id 0x8217"] = 0
    return item


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """One mailbox with a mail, one item of each other class, and of appointments a single one and a series."""
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    put(mailbox, "inbox", a_rich_mail())
    for role, item in others().items():
        put(mailbox, role, item)
    put(mailbox, "calendar", a_single_appointment())
    with Lab(LabPlan(folder=tmp_path / "lab", source=estate, mailboxes=1)) as lab:
        yield lab


def sides(lab: Lab) -> tuple[Mailbox, Mailbox]:
    return next(iter(lab.source.mailboxes.values())), next(iter(lab.target.mailboxes.values()))


def truth(mailbox: Mailbox) -> tuple[Any, ...]:
    """All that a mailbox holds, and what it ever sent."""
    held = {box: list(mailbox.by_folder[box]) for box in mailbox.boxes}
    return copy.deepcopy((mailbox.boxes, mailbox.items, held, mailbox.sent, mailbox.setup))


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Ask:
    """One probe by the real command; what it says as JSON."""

    def probe(*words: str, code: int = 0) -> dict[str, Any]:
        command = ["-c", str(lab.config_file), "--json", "probe", *words]
        if not set(words) & {"--kept", "--read"}:
            command += ["--mailbox", sides(lab)[0].address]
        capsys.readouterr()
        ended = cli.run(command)
        said = capsys.readouterr()
        assert ended == code, said.out + said.err
        told: dict[str, Any] = json.loads(said.out)
        return told

    return probe


def by_question(told: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["question"], one["subject"]): one for one in told["replies"]}


def kept(lab: Lab) -> list[Answer]:
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        return ledger.plans.answers()


def keep(lab: Lab, question: str, subject: str, answer: str) -> None:
    """An answer as a probe of this lab would have kept it."""
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        ledger.plans.answer(question, subject, lab.options[0].build if subject else "", answer)


def run(lab: Lab) -> dict[str, float]:
    """One pass by ``lane = auto``; its figures."""
    assert cli.run(["-c", str(lab.config_file), "run"]) in (0, 2)
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        return ledger.passes()[0].figures


def rows(lab: Lab) -> list[Row]:
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        return list(ledger.folder_rows(1, None))


def lanes(lab: Lab) -> list[str]:
    return sorted(row.lane for row in rows(lab))


def test_every_class_that_the_target_takes_as_it_is_gets_a_yes_and_nothing_else_is_touched(lab: Lab, ask: Ask) -> None:
    source, target = sides(lab)
    before = truth(source), len(source.history), truth(target), len(target.history)
    told = ask()
    answers = by_question(told)
    for item_class in ("IPM.Note", "IPM.Appointment", "IPM.Appointment (series)", "IPM.Contact", "IPM.Task", "IPM.StickyNote"):
        assert answers[LANE_IMPORT, item_class]["answer"] == "yes", answers[LANE_IMPORT, item_class]
    assert answers["import twice", ""]["answer"] == "two items"
    assert answers["import update", ""]["answer"] == answers["compose mail", ""]["answer"] == "yes"
    assert answers["mail sent", ""]["answer"] == answers["removal leaves in the bin", ""]["answer"] == "no"
    assert (truth(source), len(source.history)) == before[:2]
    assert truth(target) == before[2]
    places = {event.folder_id for event in target.history[before[3] :]}
    assert len(places) == 1, "every change happened in one folder"
    assert places.isdisjoint(target.boxes), "and that one is gone"
    log = (lab.folder / "migrator.log").read_text("utf-8")
    assert not any(private in log for private in ("authtoken", a_rich_mail().subject, "soren@fjord.example", lab.secret))


def test_answers_are_kept_for_this_source_build_and_shown_again(lab: Lab, ask: Ask) -> None:
    lab.options[1].import_refuses["IPM.Contact"] = "ErrorCorruptData"

    def shorten(item: Item) -> None:
        item.subject, item.importance = item.subject[:2], 0

    lab.options[1].import_alters["IPM.Note"] = shorten
    told = ask()
    answers = by_question(told)
    assert answers[LANE_IMPORT, "IPM.Contact"]["answer"] == "no"
    assert answers[LANE_IMPORT, "IPM.Contact"]["code"] == "ErrorCorruptData"
    assert answers[LANE_IMPORT, "IPM.Note"]["answer"] == "differs"
    assert set(answers[LANE_IMPORT, "IPM.Note"]["names"]) == {"subject", "importance"}
    build = lab.options[0].build
    found = {(one.question, one.subject, one.build): one for one in kept(lab)}
    assert found[LANE_IMPORT, "IPM.Contact", build].answer == "no"
    assert found[LANE_IMPORT, "IPM.Note", build].detail == "subject, importance"
    assert not any(one.answer in ("not asked", "open") for one in kept(lab))
    assert ask("--kept")["answers"] == [
        {name: getattr(one, name) for name in ("question", "subject", "build", "at", "answer", "detail")} for one in kept(lab)
    ]


def test_lane_auto_composes_from_the_start_what_a_probe_saw_refused(lab: Lab, ask: Ask) -> None:
    lab.options[1].import_refuses["IPM.Contact"] = "ErrorCorruptData"
    ask()
    figures = run(lab)
    assert "other_lane" not in figures
    assert lanes(lab) == ["compose", *["import"] * 5]


def test_without_an_answer_for_this_build_it_falls_back_and_the_log_names_the_stream_and_the_refusal(lab: Lab, ask: Ask) -> None:
    lab.options[1].import_refuses["IPM.Contact"] = "ErrorCorruptData"
    ask()
    lab.options[0].build = "15.2.1544.4"
    assert run(lab)["other_lane"] == 1
    assert lanes(lab) == ["compose", *["import"] * 5]
    [line] = [
        json.loads(one) for one in (lab.folder / "migrator.log").read_text("utf-8").splitlines() if "composed instead" in one
    ]
    assert (line["stream"], line["build"]) == ("15.2.1544.0", "15.2.1544.4")
    assert (line["item_class"], line["reason"], line["code"]) == ("IPM.Contact", "corrupt", "ErrorCorruptData")


def test_a_series_that_does_not_arrive_whole_keeps_all_appointments_from_the_import_lane(lab: Lab, ask: Ask) -> None:
    def forget(item: Item) -> None:
        item.extended.pop(f"String {APPOINTMENT} Id 0x8232", None)

    lab.options[1].import_alters["IPM.Appointment"] = forget
    answers = by_question(ask())
    assert answers[LANE_IMPORT, "IPM.Appointment"]["answer"] == "yes"
    assert answers[LANE_IMPORT, "IPM.Appointment (series)"]["answer"] == "differs"
    known = known_of(kept(lab), lab.options[0].build)
    assert known.shuns_import("IPM.Appointment")
    assert not known.shuns_import("IPM.Task")


def test_check_says_what_probes_were_answered(lab: Lab) -> None:
    loaded = config.load(lab.config_file)
    keep(lab, IMPORT_CAP, "", "4000000")
    for answer, ok in (("", None), ("no", True)):
        if answer:
            keep(lab, LANE_IMPORT, "IPM.Contact", answer)
        [gate] = [one for one in local_gates(loaded, []) if one.answer.question == "probe"]
        assert gate.answer.ok is ok
        assert ("IPM.Contact" in gate.answer.sentence) == bool(answer)


def test_what_nothing_but_the_import_lane_carries_is_imported_whatever_was_answered(lab: Lab) -> None:
    keep(lab, LANE_IMPORT, "IPM.StickyNote", "differs")
    run(lab)
    assert lanes(lab) == ["import"] * 6


def test_a_measured_cap_of_the_import_address_sends_larger_items_by_compose(lab: Lab, ask: Ask) -> None:
    lab.options[1].import_cap = 2_000_000
    told = by_question(ask())
    assert told[IMPORT_CAP, ""]["answer"] == "4000000"
    assert told[IMPORT_CAP, ""]["detail"] == "Refused at 4 MB of request, not at 1 MB."
    source, _ = sides(lab)
    large = a_rich_mail()
    large.parts[0].content = b"x" * 3_100_000
    large.message_id, large.search_key, large.subject = "<large@contoso.test>", b"large", "Large"
    put(source, "inbox", large)
    assert "other_lane" not in run(lab)
    [row] = [row for row in rows(lab) if row.size > 3_000_000]
    assert row.lane == "compose"


def test_what_is_too_large_to_carry_is_told_beforehand_refused_unfetched_and_goes_once_a_larger_one_was_taken(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(lab, IMPORT_CAP, "", "4000000")
    source, _ = sides(lab)
    note = next(item for item in source.items.values() if item.item_class == "IPM.StickyNote")
    note.body_text = "x" * 3_200_000
    source.touch(note)
    command = ["-c", str(lab.config_file)]
    assert cli.run([*command, "assess", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)["mailboxes"]
    assert (told["one_lane"], told["too_large"]) == (1, 0), "a listing tells no class of its lane, and some go by the other"
    figures = run(lab)
    assert figures["refused"] == 1
    assert figures["source.bytes.received"] < 3_000_000
    assert cli.run([*command, "errors", "list", "--json"]) == 0
    assert "too-large-to-carry" in capsys.readouterr().out
    keep(lab, IMPORT_CAP, "", "none up to 25000000")
    assert cli.run([*command, "errors", "retry", "--reason", "too-large-to-carry"]) == 0
    run(lab)
    assert lanes(lab) == ["import"] * 6


def test_a_meeting_with_attendees_is_not_asked_without_a_word(lab: Lab, ask: Ask) -> None:
    source, target = sides(lab)
    for item in [one for one in source.items.values() if one.item_class == "IPM.Appointment"]:
        source.remove(item.id)
    put(source, "calendar", a_meeting())
    reply = by_question(ask())[LANE_IMPORT, "IPM.Appointment"]
    assert reply["answer"] == "not asked"
    assert "--allow meetings" in reply["detail"]
    assert target.sent == []
    reply = by_question(ask("--allow", "meetings"))[LANE_IMPORT, "IPM.Appointment"]
    assert reply["answer"] == "yes"
    assert not target.items


def test_an_unread_mail_that_asks_for_a_receipt_is_not_asked_without_a_word(lab: Lab, ask: Ask) -> None:
    source, target = sides(lab)
    for item in source.items.values():
        item.is_read = item.item_class != "IPM.Note"
    told = by_question(ask())
    assert told[LANE_IMPORT, "IPM.Note"]["answer"] == "not asked"
    assert told["import twice", ""]["answer"] == "not asked"
    assert "--allow receipts" in told[LANE_IMPORT, "IPM.Note"]["detail"]
    assert target.sent == []


def test_a_dry_run_writes_nothing(lab: Lab, ask: Ask) -> None:
    source, target = sides(lab)
    before = truth(source), truth(target), len(target.history)
    told = by_question(ask("--dry-run"))
    assert told[LANE_IMPORT, "IPM.Task"]["answer"] == "open"
    assert (truth(source), truth(target), len(target.history)) == before
    assert not config.load(lab.config_file).ledger_file.exists()  # type: ignore[union-attr]


def probe_box(target: Mailbox) -> Box | None:
    return next((box for box in target.boxes.values() if box.name.startswith("Migrator probe")), None)


def test_killed_in_the_middle_it_leaves_its_hidden_folder_alone_and_the_next_probe_removes_it(lab: Lab) -> None:
    _, target = sides(lab)
    before = truth(target)
    file = lab.config_file
    lab.options[1].latency = 0.1
    command = [sys.executable, "-m", "migrator", "-c", str(file), "--json", "probe", "--mailbox", sides(lab)[0].address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not target.items:
            assert process.poll() is None, "it ended before it had imported anything"
            time.sleep(0.01)
        process.kill()
    lab.options[1].latency = 0.0
    time.sleep(0.3)  # what was under way is carried out
    left = probe_box(target)
    assert left is not None
    assert left.hidden
    held = target.items_in(left.id)
    boxes, items, places, *rest = truth(target)
    for one in held:
        del items[one.id]
    del boxes[left.id], places[left.id]
    assert (boxes, items, places, *rest) == before
    patience = time.monotonic() + 30  # the dead one's lease is held for a while
    while cli.run(["-c", str(file), "probe", "--mailbox", sides(lab)[0].address]) == 3:
        assert time.monotonic() < patience
        time.sleep(0.2)
    assert truth(target) == before


def test_answers_that_are_lost_while_the_server_acts_later_leave_nothing_after_the_next_probe(lab: Lab, ask: Ask) -> None:
    _, target = sides(lab)
    before = truth(target)
    lab.options[1].commit_after_timeout = 0.2
    ask(code=3)
    assert not kept(lab), "what may have happened is no answer"
    lab.options[1].commit_after_timeout = 0.0
    time.sleep(0.3)  # what was under way is carried out, if its folder is still there
    assert by_question(ask())[LANE_IMPORT, "IPM.Note"]["answer"] == "yes"
    assert truth(target) == before


def test_what_a_killed_probe_left_is_nobodys_copy(lab: Lab) -> None:
    source, target = sides(lab)
    mail = next(item for item in source.items.values() if item.item_class == "IPM.Note")
    for number, name in enumerate(("Migrator probe 0a1b2c3d", "Migrator probe of mine")):
        box = target.add_box(Box(f"box{number}", target.root_id, name, hidden=True))
        there = copy.deepcopy(mail)
        there.id, there.folder_id = f"copy{number}", box.id
        target.add(there)
    loaded = config.load(lab.config_file)
    assert cli.run(["-c", str(lab.config_file), "probe", "--mailbox", source.address]) == 0
    with app.open_ledger(loaded) as ledger, app.Connected(loaded, threading.Event()) as connected:
        [row] = ledger.mailboxes()
        identity = identify(Facts(message_id=mail.message_id, submitted=mail.submitted))
        with closing(connected.destination(row, threading.Event())) as destination:
            [found] = destination.find([identity]).values()
    assert len(found) == 1, "the folder that only sounds like a probe's is a user's"
    assert len(target.items) == 2, "a folder without our mark is not ours to clear"


def test_an_app_that_may_not_import_is_told_so_and_nothing_stays_behind(lab: Lab, ask: Ask) -> None:
    _, target = sides(lab)
    before = truth(target)
    tenant = lab.options[1]
    tenant.roles = tuple(role for role in tenant.roles if role != "MailboxItem.ImportExport.All")
    assert "may not open" in ask(code=4)["error"]
    assert truth(target) == before


def test_a_mailbox_that_is_cut_over_is_no_pilot(lab: Lab, ask: Ask) -> None:
    ask("--dry-run")
    _, target = sides(lab)
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        [row] = app.planned(config.load(lab.config_file), ledger)
        for state in ("SEEDING", "SYNCING", "READY", "LOCKED"):
            ledger.move_mailbox(row.id, MailboxState(state), "")
    before = truth(target), len(target.history)
    assert "not cut over" in ask(code=4)["error"]
    assert (truth(target), len(target.history)) == before


def test_a_probe_waits_for_a_pass_that_has_the_mailbox(lab: Lab, ask: Ask) -> None:
    _, target = sides(lab)
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        [row] = app.planned(config.load(lab.config_file), ledger)
        ledger.lease(row.id, "a pass", 600.0)
    before = len(target.history)
    assert "a pass" in ask(code=3)["error"]
    assert len(target.history) == before


def test_a_folder_of_that_name_that_is_not_ours_stops_the_probe(lab: Lab) -> None:
    source, target = sides(lab)
    with app.open_ledger(config.load(lab.config_file)) as ledger:
        name = probe_name(ledger.installation())
    target.add_box(Box("theirs", target.root_id, name))
    before = truth(target)
    assert cli.run(["-c", str(lab.config_file), "probe", "--mailbox", source.address]) == 4
    assert truth(target) == before


def test_the_result_file_names_nobody_and_can_be_read_by_anybody(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    source, _ = sides(lab)
    form = a_rich_mail()
    form.item_class, form.message_id, form.search_key = "IPM.Note.Contoso.Secret", "<form@contoso.test>", b"form"
    form.wants_read_receipt = False
    put(source, "inbox", form)
    file = tmp_path / "result.json"
    ask("--result", str(file))
    text = file.read_text("utf-8")
    loaded = config.load(lab.config_file)
    for private in ("contoso", "secret", "@", loaded.target.tenant_id, source.guid, source.display_name, "127.0.0.1"):
        assert private.casefold() not in text.casefold(), private
    result = ask("--read", str(file))["result"]
    assert (result["format"], result["version"]) == ("migrator-probe-result", 1)
    assert result["source_build"] == lab.options[0].build
    classes = {one["class"]: one["answer"] for one in result["answers"] if one["question"] == LANE_IMPORT}
    assert classes["IPM.Note.*"] == "yes"
    ask("--result", str(file), code=65)
    file.write_text(text.replace('"version": 1', '"version": 2'), "utf-8")
    ask("--read", str(file), code=65)


def test_an_app_that_reaches_further_than_it_should_is_told(lab: Lab, ask: Ask) -> None:
    stranger = an_empty(7, 1)
    stranger.address = "stranger@contoso.test"
    lab.target.add(stranger)
    told = by_question(ask("--outside", stranger.address))
    assert told["scope refusal", ""]["answer"] == "no"
    assert not stranger.items
    ask("--outside", sides(lab)[1].address, code=65)


def test_the_answers_of_another_build_say_nothing(lab: Lab, ask: Ask) -> None:
    ask()
    assert known_of(kept(lab), "15.0.1497.2").classes == {}
