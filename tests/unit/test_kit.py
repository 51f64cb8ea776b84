"""The kit of a wave: scripts in which no name becomes code, each with its try, its undo and its result; and results read back.

There is no PowerShell here: scripts are read by the lexical rules that ``test_scripts`` has.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import Typed
from test_scripts import NAMES, NASTY, Reader

from migrator import cli
from migrator.config import BadInput
from migrator.cutover import table as cutover
from migrator.kit.folder import checklist, folder_for, read_results, take_in, write_kit
from migrator.kit.scripts import SCRIPTS, Moved, Script, script_text
from state.store import Ledger

PLAIN = Moved(source="anna@old.example", target="anna@new.example", route="forward", access="full-access")
STEPS = [script for script in SCRIPTS if script.step]
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.file)
steps = pytest.mark.parametrize("script", STEPS, ids=lambda script: script.file)
CHANGES = re.compile(
    r"\b(Set|Add|Remove|Enable|Disable|New)-(Mailbox|CASMailbox|RecipientPermission|InboxRule|ManagementRole)\w*"
)


def text(script: Script, wave: str = "wave1", one: Moved = PLAIN, account: str = "OLD\\svc") -> str:
    return script_text(script, wave, [one], [(one.source, one.target)], account)


def code(script: str) -> str:
    """A script with every text and comment taken out; a text in pieces is one text."""
    found = Reader(script).skeleton()[0]
    return re.sub(r"\('(?: \+ (?:'|\[char\]\d+))+\)", "'", found)


def top(script: str) -> str:
    """The part of a script that is made of a wave; behind it nothing depends on names."""
    return script[: script.index("$ErrorActionPreference")]


@scripts
@settings(deadline=None, max_examples=40)
@given(name=NAMES, other=NAMES)
def test_no_name_of_a_wave_mailbox_or_account_becomes_code(script: Script, name: str, other: str) -> None:
    evil = text(script, name, Moved(source=name, target=other, route=name, access=other), other)
    assert code(top(evil)) == code(top(text(script)))
    assert evil.endswith(text(script).removeprefix(top(text(script))))


@scripts
@pytest.mark.parametrize("name", NASTY)
def test_names_that_are_known_to_break_scripts_do_not(script: Script, name: str) -> None:
    evil = Moved(source=name, target=name, route=name, access=name)
    assert code(text(script, name, evil, name)) == code(text(script))
    text(script, name, evil, name).encode()


@scripts
def test_a_script_is_whole(script: Script) -> None:
    bare = code(text(script))
    for opening, closing in ("()", "{}", "[]"):
        depth = 0
        for letter in bare:
            depth += (letter == opening) - (letter == closing)
            assert depth >= 0
        assert depth == 0
    assert "{{" not in bare
    assert "What this script does: " in text(script)
    assert "[CmdletBinding(SupportsShouldProcess = $true)]" in bare


@steps
def test_every_step_can_be_tried_and_taken_back_and_writes_what_it_did(script: Script) -> None:
    bare = text(script)
    assert script.step in cutover.STEPS
    assert "[switch]$Undo" in bare
    assert f"$Name = '{script.file}'" in bare
    assert "'undone'" in script.body
    assert re.search(r"'done'", script.body)
    assert "'failed'" in bare


@steps
def test_nothing_is_changed_before_somebody_was_asked(script: Script) -> None:
    for body in filter(None, (script.body, script.after)):
        first = CHANGES.search(body)
        if first is not None:
            assert body.index("$PSCmdlet.ShouldProcess(") < first.start()
    for line in (script.body + script.after).splitlines():
        if CHANGES.search(line) and "@Own" not in line and "-AccessRights FullAccess -Inheritance" not in line:
            assert "-Confirm:$false" in line, line


def test_the_script_that_only_collects_changes_nothing() -> None:
    assert not CHANGES.search(text(SCRIPTS[0]))


def test_every_step_has_one_script_and_their_numbers_are_their_order() -> None:
    assert [script.number for script in SCRIPTS] == list(range(len(SCRIPTS)))
    assert sorted(script.step for script in STEPS) == sorted(cutover.STEPS)


def test_ways_in_are_closed_but_the_one_that_the_migration_reads_by() -> None:
    lock = next(script for script in SCRIPTS if script.step == cutover.LOCK)
    assert "'MAPIEnabled'" in lock.body
    assert "'EwsEnabled'" not in lock.body


def test_a_kit_is_written_as_windows_reads_it(tmp_path: Path) -> None:
    files = write_kit(tmp_path / "kit", "wave1", [PLAIN], [], "OLD\\svc", "the-app")
    assert [file.name for file in files] == [*(f"{script.file}.ps1" for script in SCRIPTS), "CHECKLIST.md"]
    for file in files:
        data = file.read_bytes()
        assert data.startswith(b"\xef\xbb\xbf")
        assert b"\n" not in data.replace(b"\r\n", b"")


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_two_waves_never_share_a_folder(one: str, other: str) -> None:
    if one != other:
        assert folder_for(Path(), one) != folder_for(Path(), other)


def test_the_checklist_says_which_record_changes_and_who_is_forwarded() -> None:
    by_record = Moved(source="ben@a.example", target="ben@new.example")
    text = checklist("wave 1", [PLAIN, by_record], "the-app")
    assert "MX record of a.example (1 mailboxes)" in text
    assert "`02-route.ps1` for 1 mailboxes" in text
    assert 'migrator cutover start "wave 1"' in text
    assert "| anna@old.example | anna@new.example | forward |" in text
    assert "02-route.ps1` for" not in checklist("w", [by_record], "the-app")


# -- results

HEADING = '"Wave","Mailbox","Step","Result","Detail","Was","At","Who"\r\n'


def rows(*cells: tuple[str, str, str]) -> str:
    return HEADING + "".join(
        f'"wave1","{who}","{step}","{result}","","{{""a"":1}}","","OLD/ops"\r\n' for who, step, result in cells
    )


@pytest.fixture
def kept(either_url: str) -> str:
    with Ledger.open(either_url) as ledger:
        for name in ("anna", "ben"):
            ledger.plan_mailbox("wave1", f"{name}@old.example", f"{name}@new.example")
    return either_url


def test_the_last_word_about_a_mailbox_counts_and_a_try_counts_for_nothing(kept: str, tmp_path: Path) -> None:
    file = tmp_path / "01-lock-source.result.csv"
    cells = [
        ("ANNA@old.example", "lock", "failed"), ("anna@old.example", "lock", "done"), ("ben@old.example", "lock", "done"),
        ("ben@old.example", "lock", "undone"), ("anna@old.example", "route", "would"), ("eve@old.example", "lock", "done"),
        ("ben@old.example", "route", "left"),
    ]  # fmt: skip
    file.write_bytes(b"\xef\xbb\xbf" + rows(*cells).encode())
    with Ledger.open(kept) as ledger:
        dry = take_in(ledger, read_results(file), "me", dry_run=True)
        assert ledger.plans.confirmations() == []
        told = take_in(ledger, read_results(file), "me")
        assert dry.counts == told.counts == {("lock", "done"): 1, ("lock", "undone"): 1}
        assert told.unknown == ("eve@old.example",)
        assert [(one.step, one.result, one.who) for one in ledger.plans.confirmations()] == [
            ("lock", "done", "OLD/ops"),
            ("lock", "undone", "OLD/ops"),
        ]


def test_a_file_read_twice_says_nothing_new_and_an_old_one_undoes_nothing(kept: str, tmp_path: Path) -> None:
    file = tmp_path / "01-lock-source.result.csv"
    done = rows(("anna@old.example", "lock", "done")).replace('"","OLD/ops"', '"2026-11-06T18:00:00Z","OLD/ops"')
    assert "2026-11-06" in done
    file.write_text(done)
    with Ledger.open(kept) as ledger:
        assert take_in(ledger, read_results(file), "me").counts == {("lock", "done"): 1}
        [first] = ledger.plans.confirmations()
        again = take_in(ledger, read_results(file), "me")
        assert (again.counts, again.stale) == ({}, 1)
        assert ledger.plans.confirmations() == [first]
        ledger.plans.confirm(first.mailbox_id, "lock", "me", "undone")
        assert take_in(ledger, read_results(file), "me").stale == 1
        assert [one.result for one in ledger.plans.confirmations()] == ["undone"]


def test_a_file_that_a_spreadsheet_saved_again_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "result.csv"
    file.write_text("mailbox;step;result\nanna@old.example;Lock;DONE\n", encoding="utf-16")
    [one] = read_results(file)
    assert (one.mailbox, one.step, one.result, one.line) == ("anna@old.example", "lock", "done", 2)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"mailbox,step\na,lock\n", "line 1: there is no column Result"),
        (b"mailbox,step,result\na,lick,done\n", "line 2: there is no step 'lick'"),
        (b"mailbox,step,result\na,lock,yes\n", "line 2: 'yes' is no result"),
        (b'mailbox,step,result\n"a,lock,done\n', "line"),
        (b"mailbox,step,result\n\xff,lock,done\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_result_file_is_said_with_its_line(tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / "result.csv"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=re.escape(word)):
        read_results(file)
    with pytest.raises(BadInput, match="can't be read"):
        read_results(tmp_path / "missing.csv")


# -- as commands


@pytest.fixture
def typed(kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> object:
    from test_commands import CONFIG

    (tmp_path / "migrator.toml").write_text(CONFIG + f'\n[ledger]\nurl = "{kept}"\n')
    monkeypatch.chdir(tmp_path)

    def type_it(*words: str) -> Typed:
        code = cli.run(words)
        captured = capsys.readouterr()
        return Typed(code, captured.out, captured.err)

    return type_it


def test_a_kit_is_written_by_the_waves_name_and_its_result_is_counted(typed, kept: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert typed("kit", "WAVE1", "--dry-run").code == 0
    assert not (tmp_path / "kit-wave1").exists()
    assert typed("kit", "WAVE1").code == 0
    script = (tmp_path / "kit-wave1" / "01-lock-source.ps1").read_text("utf-8-sig")
    assert "'anna@old.example'" in script
    assert "'ben@old.example'" in script
    result = tmp_path / "kit-wave1" / "01-lock-source.result.csv"
    result.write_text(rows(("anna@old.example", "lock", "done"), ("ben@old.example", "lock", "failed")))
    answer = typed("kit", "import", str(result))
    assert answer.code == 2
    assert "lock failed: 1 mailbox" in answer.out
    with Ledger.open(kept) as ledger:
        assert [one.what for one in ledger.plans.acts(wave="wave1")] == ["kit import", "kit"]


def test_a_wave_that_is_not_there_is_named_with_those_that_are(typed) -> None:  # type: ignore[no-untyped-def]
    answer = typed("kit", "wave9")
    assert (answer.code, answer.err) == (65, "migrator: wave9 is no wave; waves in the ledger: wave1.\n")
    assert typed("kit", "anna@old.example").err.startswith("migrator: anna@old.example is a mailbox")
