"""The operator's handbook, typed line by line against the lab: every command of it is run, in the order of the page."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from pages import ROOT, Step, World, lab_plan, play, settle_in

from connectors.lab.server import Lab
from migrator import logs
from migrator.config import load
from state.plans import WaveState
from state.store import Ledger

ANSWERS = ("forwards=none", "holds=off", "rights=revoked", "readers=security", "old-side=none", "ledger=archive, deleted in May")
RESULT = '"Wave","Mailbox","Step","Result","Detail","Was","At","Who"\r\n'


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    with Lab(lab_plan(tmp_path / "lab")) as lab:
        yield World(tmp_path, lab, capsys)
    logs.take_down()


def people(world: World, **waves: str) -> None:
    """The spreadsheet: the names of each wave's people."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["wave", "source", "target"])
    for wave, names in waves.items():
        for name in names.split():
            sheet.append([wave, f"{name}@example.com", world.target(name)])
    book.save(world.project / "people.xlsx")


def confirmed(world: World, script: str, step: str, *names: str) -> None:
    """The result file that a script of the kit writes."""
    rows = "".join(f'"wave1","{one}@example.com","{step}","done","","{{}}","2026-11-06T18:00:00Z","ops"\r\n' for one in names)
    (world.project / "kit-wave1" / f"{script}.result.csv").write_bytes(b"\xef\xbb\xbf" + (RESULT + rows).encode())


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def set_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """``cd project``, the config filled in, the example of a waves file deleted."""
    monkeypatch.chdir(world.project)
    settle_in(world)
    (world.project / "waves.csv").unlink()
    people(world, pilot="pilot cara anna")


def trouble(world: World) -> None:
    """Two items of ben's that the target takes under no circumstances, for two reasons."""
    refuses = world.lab.options[1].import_refuses
    refuses |= {"IPM.Note.Huge": "ErrorMessageSizeExceeded", "IPM.Note.Odd": "ErrorCorruptData"}
    ben = world.lab.source.mailboxes["ben@example.com"]
    for item, kind in zip(list(ben.items.values())[:2], ("IPM.Note.Huge", "IPM.Note.Odd"), strict=True):
        item.item_class = kind
    people(world, pilot="pilot cara", wave1="anna ben dora")


def a_folder_for_anna(world: World) -> None:
    """Two of her messages lie in a folder of her own, as people order their mail."""
    mine = [one for one in world.control.items("anna@example.com") if one["item_class"] == "IPM.Note"]
    for one in mine[:2]:
        world.control.move("anna@example.com", one["id"], "Inbox/Projects")


def hears(world: World) -> None:
    """A webhook of the team's on this machine, in the config."""

    class Team(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    heard: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), Team)

    def answer_once() -> None:
        server.handle_request()
        server.server_close()

    threading.Thread(target=answer_once, daemon=True).start()
    (world.project / "hook.txt").write_text(f"http://127.0.0.1:{server.server_port}/", "utf-8")
    config = world.project / "migrator.toml"
    config.write_text(config.read_text("utf-8") + '\n[notify]\nwebhook = "file:hook.txt"\n', "utf-8")


def hears_no_more(world: World) -> None:
    config = world.project / "migrator.toml"
    config.write_text(config.read_text("utf-8").partition("\n[notify]")[0], "utf-8")


def key_of(world: World) -> str:
    told = world.run("migrator errors list wave1 --json")
    return str(json.loads(told[told.index("{") :])["items"][0]["key"])


def in_step(world: World) -> None:
    """What was tried again did not go this time either, so that is approved, too; and a last delta ran."""
    world.run("migrator run wave1", 2)
    world.run("migrator errors approve --reason corrupt --why 'its owners know'")
    world.run("migrator run wave1")


def mail_to_find(world: World) -> str:
    [first, *_] = [one for one in world.control.items("anna@example.com") if one["item_class"] == "IPM.Note"]
    return str(first["message_id"]).strip("<>")


def a_copy(world: World) -> None:
    (world.project / "copy-of-it.eml").write_text(f"Message-ID: <{mail_to_find(world)}>\r\nSubject: x\r\n\r\nx\r\n", "utf-8")


def lost_in_the_target(world: World) -> None:
    """Somebody deletes for good what lay in the folder; only before the flip would a pass bring it again by itself."""
    target = world.target("anna")
    for one in world.control.items(target, "target"):
        if one["folder"].endswith("Projects"):
            world.control.delete(target, one["id"], side="target", hard=True)


def lost_ledger(world: World) -> None:
    """A copy of today, and then the ledger is gone."""
    (world.project / "backup" / "monday.db").unlink()
    world.run("migrator db backup ./backup/monday.db")
    for file in world.project.glob("migrator.db*"):
        file.unlink()


def over(world: World) -> None:
    """Three days later: nobody waits for late mail here."""
    with Ledger.open(load(world.project / "migrator.toml").ledger.url) as ledger:
        ledger.plans.keep_wave("wave1", WaveState.OPEN, {**ledger.plans.waves()["wave1"].details, "sweep_hours": 0})


ELSEWHERE = {
    "migrator demo": "tests/e2e plays it whole",
    "migrator demo --waves": "tests/acceptance/test_wave_demo.py plays it whole",
    "migrator lab": "tests/lab/test_server.py runs it; here it is what everything else talks to",
}


def answered(world: World) -> None:
    """With every answer two are closed for good; who went back stays open."""
    words = " ".join(f"--answer '{answer}'" for answer in ANSWERS)
    world.run(f"migrator close wave1 {words} --yes")
    assert world.run("migrator status").count("CLOSED") == 2


def handbook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Step]:
    """How each line of the handbook is run. Where nothing is said it ends with 0."""
    lab_has = "the lab has no such thing by that name"
    port = f"migrator serve --metrics {free_port()}"
    return {
        "migrator init --dir ./project": Step(after=lambda world: set_up(world, monkeypatch)),
        "migrator wave import ./people.xlsx": Step(says="are planned"),
        "migrator assess": Step(says="3 mailboxes"),
        "migrator check": Step(code=0),
        "migrator check pilot": Step(),
        "migrator check --fidelity": Step(says="lost"),
        "migrator probe --mailbox pilot@example.com": Step(),
        "migrator wave check pilot": Step(says="ok"),
        "migrator run pilot --dry-run": Step(says="nothing was written"),
        "migrator run pilot": Step(),
        "migrator verify pilot --deep --sample 200": Step(says="no difference"),
        "migrator settings pilot": Step(says="would be written"),
        "migrator settings pilot --apply": Step(says="written"),
        "migrator mailbox undo anna@example.com --dry-run": Step(),
        'migrator mailbox undo anna@example.com --yes --why "wrong target"': Step(says="Proof", after=trouble),
        "migrator wave import ./people.xlsx --dry-run": Step(),
        "migrator wave check wave1": Step(),
        "migrator wave list": Step(says="wave1"),
        "migrator wave start wave1 --every-hours 4": Step(),
        "migrator serve --metrics 9464": Step(
            before=a_folder_for_anna, until="pass begins", typed=port, why="that port may be taken"
        ),
        "migrator serve": Step(until="Its next delta"),
        "migrator service install": Step(),
        "migrator run wave1": Step(code=(0, 2)),
        "migrator db backup ./backup/monday.db": Step(),
        "migrator db check": Step(),
        "migrator status --waves": Step(says="wave1"),
        "migrator status --watch": Step(until="ben@example.com"),
        "migrator notify test": Step(before=hears, after=hears_no_more),
        "migrator dashboard": Step(until="The dashboard is at", typed="migrator dashboard --port 0", why="its port may be taken"),
        "migrator report --every 15m --to ./share": Step(until="files in"),
        "migrator errors list wave1": Step(says="too-large"),
        "migrator errors show 3f2a9c01": Step(typed=lambda world: f"migrator errors show {key_of(world)}", why=lab_has),
        'migrator errors retry --reason source-cannot-deliver --why "mailbox repaired"': Step(
            typed='migrator errors retry --reason corrupt --why "mailbox repaired"', why=lab_has
        ),
        'migrator errors approve --reason too-large --why "its owners have copies"': Step(),
        'migrator errors skip --reason corrupt --why "nobody can open these" --dry-run': Step(
            before=lambda world: world.run("migrator run wave1", 2)
        ),
        "migrator errors score wave1": Step(says="ben@example.com"),
        "migrator errors score --rule": Step(says="[[grade]]"),
        "migrator audit": Step(says="its owners have copies"),
        'migrator notify owners wave1 --day "Saturday, 28 November" --contact "the help desk"': Step(says="nothing was sent"),
        "migrator cutover ready wave1": Step(before=in_step, says="GO"),
        "migrator kit write wave1": Step(after=lambda world: confirmed(world, "01-lock-source", "lock", "anna", "ben", "dora")),
        "migrator kit import ./kit-wave1/01-lock-source.result.csv": Step(),
        "migrator cutover rehearse wave1": Step(says="GO"),
        "migrator cutover start wave1": Step(says="route"),
        "migrator cutover confirm wave1 route": Step(),
        "migrator cutover status wave1": Step(says="SWEEPING"),
        "migrator cutover confirm wave1 route --result undone": Step(
            typed="migrator cutover confirm wave1 route ben@example.com --result undone", why="only one goes back"
        ),
        "migrator cutover rollback wave1 --all": Step(
            typed="migrator cutover rollback wave1 ben@example.com --yes", why="only one goes back; nobody sits at a terminal"
        ),
        "migrator trace anna@example.com --message-id CAF123@mail.example.com": Step(
            typed=lambda world: f"migrator trace anna@example.com --message-id {mail_to_find(world)}", why=lab_has
        ),
        "migrator trace anna@example.com --eml ./copy-of-it.eml": Step(before=a_copy),
        "migrator trace anna@example.com --from 2026-11-23T14:00 --to 2026-11-23T15:00": Step(),
        "migrator redo anna@example.com --folder Inbox/Projects --dry-run": Step(before=lost_in_the_target),
        'migrator redo anna@example.com --folder Inbox/Projects --why "deleted by mistake"': Step(says="2"),
        "migrator show anna@example.com": Step(says="SWEEPING"),
        "migrator status --old-profile": Step(),
        "migrator verify anna@example.com": Step(),
        "migrator verify anna@example.com --deep": Step(),
        "migrator report --cards ./cards": Step(says="cards"),
        "migrator audit anna@example.com": Step(says="deleted by mistake"),
        "migrator support bundle ./help.zip": Step(),
        "migrator errors list": Step(),
        "migrator wave retry anna@example.com": Step(),
        "migrator run anna@example.com --approve-deletes": Step(),
        "migrator db restore ./backup/monday.db": Step(before=lost_ledger),
        "migrator db rebuild": Step(),
        "migrator check --left-behind": Step(),
        "migrator close wave1": Step(before=over, code=4, says="Not answered", after=answered),
        "migrator report --out ./final/report.html": Step(),
        "migrator report --protocol ./final/protocol.html": Step(),
    }  # fmt: skip


def test_every_command_of_the_handbook_runs_in_its_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    play("docs/handbook.md", handbook(monkeypatch), world, since="## Set up", elsewhere=ELSEWHERE)


def a_wave_in_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose first wave is READY."""
    world.run("migrator init --dir ./project")
    set_up(world, monkeypatch)
    people(world, wave1="anna ben")
    world.run("migrator wave import people.xlsx")
    world.run("migrator run wave1")


def test_every_command_of_the_weekend_runs_in_its_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wave_in_step(world, monkeypatch)
    back, asks = "migrator cutover rollback wave1 ben@example.com --eml --to ./ben", "nobody sits at a terminal here"
    story = {
        "migrator kit wave1": Step(after=lambda world: confirmed(world, "01-lock-source", "lock", "anna", "ben")),
        "migrator cutover rehearse wave1": Step(),
        "migrator cutover ready wave1": Step(says="GO"),
        "migrator errors list wave1": Step(),
        "migrator run wave1": Step(),
        "migrator kit import kit-wave1/01-lock-source.result.csv": Step(),
        "migrator cutover start wave1": Step(says="confirm wave1 route"),
        "migrator cutover confirm wave1 route": Step(after=lambda world: world.run("migrator run wave1")),
        "migrator cutover status wave1": Step(says="SWEEPING"),
        "migrator serve": Step(typed="migrator serve --dry-run", why="the handbook's test lets it live", says="sweep"),
        "migrator cutover confirm wave1 route ben@example.com --result undone": Step(),
        back: Step(typed=f"{back} --yes", why=asks),
        "migrator status": Step(says="SYNCING"),
        "migrator status --old-profile": Step(),
        "migrator cutover close wave1": Step(code=4, says="Not answered"),
    }
    play("docs/cutover.md", story, world, elsewhere={"migrator demo --waves --keep ./project": "test_wave_demo.py"})


def an_archive_apart(world: World) -> None:
    """Anna's archive is to go into a mailbox of its own: here it is cara's, who is in no wave."""
    book = load_workbook(world.project / "people.xlsx")
    for row, said in zip(book.active.iter_rows(), ("archive", world.target("cara"), ""), strict=False):  # type: ignore[union-attr]
        row[0].offset(column=3).value = said
    book.save(world.project / "people.xlsx")
    world.run("migrator wave import people.xlsx")


def the_file_of_the_page(world: World) -> None:
    shown = (ROOT / "docs" / "probe.md").read_text("utf-8").partition("```\n{")[2].partition("\n```")[0]
    (world.project / "answers.json").write_text("{" + shown, "utf-8")


def test_every_command_of_the_other_pages_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wave_in_step(world, monkeypatch)
    blanks = {"WAVE": "wave1", "FILE": "people.xlsx", "PILOT": "anna@example.com", "MAILBOX": "anna@example.com"}
    service = Step(says="systemd") if sys.platform == "linux" else Step()
    waves = {
        "migrator wave import FILE": Step(says="are planned"),
        "migrator run": Step(),
        "migrator wave list": Step(says="wave1"),
        "migrator wave show WAVE": Step(says="anna@example.com"),
        "migrator wave check": Step(),
        "migrator wave start WAVE": Step(),
        "migrator wave pause WAVE": Step(),
        "migrator wave stop WAVE": Step(after=lambda world: world.run("migrator wave start wave1")),
        "migrator serve --dry-run": Step(says="nothing was run"),
        "migrator service install": service,
        "migrator status": Step(),
        "migrator service status": Step(code=3, says="No process serves"),
    }
    other = "the handbook's test"
    named = {"migrator cutover": other, "migrator wave retry": other, "migrator serve": other}
    play("docs/waves.md", waves, world, blanks=blanks, elsewhere=named)
    probe = {
        "migrator probe --mailbox PILOT": Step(),
        "migrator probe --questions": Step(),
        "migrator probe --kept": Step(),
        "migrator assess": Step(),
        "migrator report": Step(),
        "migrator show MAILBOX": Step(says="anna@example.com"),
        "migrator check": Step(),
        "migrator probe --read FILE": Step(
            before=the_file_of_the_page, typed="migrator probe --read answers.json", why="the file is the one that the page shows"
        ),
    }
    play("docs/probe.md", probe, world, blanks=blanks)
    kinds = {
        "migrator settings": Step(),
        "migrator wave archives": Step(before=an_archive_apart, says="migrator.archives.toml"),
        # The lab's people have no archive, which the project of archives says of each.
        "migrator -c migrator.archives.toml run": Step(code=4, says="archive"),
        "migrator check --left-behind": Step(),
        "migrator check --public-folders": Step(),
    }
    play("docs/kinds.md", kinds, world, blanks=blanks)
    play("docs/mapping.md", {"migrator status --folders": Step(), "migrator verify": Step()}, world)
    play("docs/promises.md", {"migrator verify --deep": Step(), "migrator check": Step(), "migrator db rebuild": Step()}, world)
    reports = {
        "migrator report": Step(),
        "migrator report --out report.xlsx": Step(),
        "migrator report --out report.json": Step(),
        "migrator report --protocol protocol.html": Step(),
        "migrator report --cards ./cards": Step(),
        "migrator report --every 15m --to ./share": Step(
            typed="migrator report --to ./share", why="the handbook's test lets it go on"
        ),
    }
    play("docs/reports.md", reports, world, elsewhere={"migrator dashboard": "the handbook's test"})
