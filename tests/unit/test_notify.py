"""Notifications reach real servers on loopback in each one's own form, say no secret, and never hold a run up."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.tls import Papers, make_papers
from migrator import cli, logs
from migrator.config import BadInput, load
from migrator.edges import DIGEST, Digests, Edges, at_the_edges, digest, next_time
from migrator.notify import Event, Failed, Letter, Notifier, Post, Relay, card, channels, generic, letters, mail_of, slack
from migrator.owners import message_of, write
from migrator.progress import Silent
from migrator.waves.wave import Ending
from state.model import MailboxRow, MailboxState, PassKind
from state.store import Ledger

S = MailboxState


class Hook(ThreadingHTTPServer):
    """Takes what is posted; ``status`` is its answer, ``where`` a place that it points to."""

    daemon_threads = True

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status, self.where = 202, ""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.taken.append(json.loads(body))
                self.send_response(hook.status)
                if hook.where:
                    self.send_header("Location", hook.where)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?sig=very-secret-part"


@contextmanager
def up(server: socketserver.BaseServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with up(Hook()) as server:
        yield server


class Post_Office(socketserver.ThreadingTCPServer):
    """A small relay: takes mail of anybody, or refuses the recipient. With ``papers`` it takes mail and passwords by TLS alone:
    after STARTTLS, or from the first byte with ``at_once``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, refuse: bool = False, *, papers: Papers | None = None, at_once: bool = False) -> None:
        self.mails: list[bytes] = []
        self.to: list[str] = []
        self.signed_in: list[bytes] = []
        self.in_clear: list[str] = []
        office = self
        tls = papers.server_context() if papers else None

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # a client that does not like our certificate goes
                    self.serve()

            def secure(self) -> None:
                assert tls is not None
                self.connection = tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()
                self.connection.close()

            def serve(self) -> None:
                say = lambda line: self.wfile.write(line.encode() + b"\r\n")  # noqa: E731
                safe = at_once
                if at_once:
                    self.secure()
                say("220 here")
                while line := self.rfile.readline().decode().strip():
                    word = line.upper()
                    if tls and not safe:
                        office.in_clear.append(word.split(maxsplit=1)[0])
                    if word.startswith("EHLO") and tls:
                        say("250-here")
                        say("250 AUTH PLAIN" if safe else "250 STARTTLS")
                    elif word == "STARTTLS" and tls:
                        say("220 go ahead")
                        self.secure()
                        safe = True
                    elif word.startswith("AUTH PLAIN") and safe:
                        office.signed_in.append(base64.b64decode(line.split()[2]))
                        say("235 welcome")
                    elif word.startswith("RCPT"):
                        office.to.append(line)
                        say("550 no such person secret@example.com" if refuse else "250 ok")
                    elif word == "DATA":
                        say("354 go on")
                        lines = iter(self.rfile.readline, b".\r\n")
                        office.mails.append(b"".join(lines))
                        say("250 taken")
                    elif word == "QUIT":
                        say("221 bye")
                        return
                    else:
                        say("250 ok")

        super().__init__(("127.0.0.1", 0), Handler)


def relay(server: Post_Office, **changes: Any) -> Relay:
    values: dict[str, Any] = {
        "host": "127.0.0.1", "port": server.server_address[1], "security": "none", "user": "", "password": "",
        "sender": "migration@example.com", "to": ("kim@example.com", "lee@example.com"),
    }  # fmt: skip
    return Relay(**(values | changes))


def letter(*lines: str, kind: Any = "held") -> Letter:
    return Letter(kind, lines or ("anna@old.example (w) is HELD: No licence.",), ({"wave": "w"},), 1_764_000_000.0)


def test_each_channel_gets_its_own_form(hook: Hook) -> None:
    for form in (card, slack, generic):
        Post("x", hook.url, form).send(letter("<b>anna*_[x]"))
    teams, slack_, plain = hook.taken
    content = teams["attachments"][0]["content"]
    assert (teams["type"], content["type"], content["version"]) == ("message", "AdaptiveCard", "1.4")
    assert teams["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert content["body"][1]["text"] == r"<b>anna\*\_\[x\]"
    assert slack_["text"] == "*Mailboxes need a person*\n&lt;b&gt;anna*_[x]"
    assert (plain["event"], plain["lines"], plain["about"]) == ("held", ["<b>anna*_[x]"], [{"wave": "w"}])


def test_a_long_message_is_cut_for_people_and_whole_for_programs() -> None:
    long = letter(*(f"line {number}" for number in range(30)))
    assert len(card(long)["attachments"][0]["content"]["body"]) == 22
    assert slack(long)["text"].endswith("and 10 more")
    assert len(generic(long)["lines"]) == 30


def test_mail_goes_to_the_team_and_is_marked_as_made_by_a_program() -> None:
    with up(Post_Office()) as office:
        relay(office).send(letter("Grüße: HELD"))
    [raw] = office.mails
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert (mail["From"], mail["To"]) == ("migration@example.com", "kim@example.com, lee@example.com")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().strip() == "Grüße: HELD"  # type: ignore[attr-defined]
    assert len(office.to) == 2


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_password_and_mail_travel_to_the_relay_by_tls_alone(tmp_path: Path, security: str) -> None:
    papers = make_papers(tmp_path)
    with up(Post_Office(papers=papers, at_once=security == "tls")) as office:
        mine = {"security": security, "user": "robot", "password": "hunter2", "ca_file": str(papers.ca_file)}
        relay(office, **mine).send(letter("Grüße: HELD"))
    assert office.signed_in == [b"\0robot\0hunter2"]
    assert len(office.mails) == 1
    assert office.in_clear == (["EHLO", "STARTTLS"] if security == "starttls" else [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_relay_whose_certificate_nobody_vouches_for_gets_neither_password_nor_mail(tmp_path: Path, security: str) -> None:
    with up(Post_Office(papers=make_papers(tmp_path), at_once=security == "tls")) as office:
        with pytest.raises(Failed, match="names the authority"):
            relay(office, security=security, user="robot", password="hunter2").send(letter())
        assert (office.signed_in, office.mails) == ([], [])


def test_trouble_is_said_without_the_channels_address(hook: Hook) -> None:
    hook.status = 403
    with pytest.raises(Failed, match="status 403") as told:
        Post("teams", hook.url, card).send(letter())
    closed = Hook()
    closed.server_close()
    with pytest.raises(Failed, match="can't be reached") as gone:
        Post("teams", closed.url, card).send(letter())
    with up(Post_Office(refuse=True)) as office, pytest.raises(Failed) as refused:
        relay(office).send(letter())
    for error in (told, gone, refused):
        assert "secret" not in str(error.value)
        assert "127.0.0.1" not in str(error.value)
    assert "very-secret" not in repr(Post("teams", hook.url, card))


def test_nothing_follows_an_answer_that_points_elsewhere(hook: Hook) -> None:
    with up(Hook()) as other:
        hook.status, hook.where = 307, other.url
        with pytest.raises(Failed, match="status 307"):
            Post("webhook", hook.url, generic).send(letter())
        assert other.taken == []


def test_no_password_leaves_a_relay_that_offers_no_encryption() -> None:
    with up(Post_Office()) as office:
        with pytest.raises(Failed):
            relay(office, security="starttls", user="u", password="hunter2").send(letter())
        assert office.mails == []


def test_events_of_one_kind_go_together_and_unwanted_ones_not_at_all(hook: Hook) -> None:
    with Notifier([Post("webhook", hook.url, generic)], ["held", "started"], gather=0.3) as notifier:
        for number in range(5):
            notifier.tell(Event("held", f"mailbox {number}"))
        notifier.tell(Event("started", "w has started"))
        notifier.tell(Event("approval", "not wanted"))
    assert [(one["event"], len(one["lines"])) for one in hook.taken] == [("held", 5), ("started", 1)]
    assert notifier.failures == []


class Broken:
    name = "teams"

    def send(self, letter: Letter) -> None:
        raise RuntimeError("https://secret.example/hook")


def test_a_broken_channel_is_named_and_the_others_still_get_it(hook: Hook) -> None:
    with Notifier([Broken(), Post("webhook", hook.url, generic)], ["held"], gather=0.0) as notifier:
        notifier.tell(Event("held", "x"))
    assert notifier.failures == ["Mailboxes need a person was not sent to teams: it failed (RuntimeError)."]
    assert len(hook.taken) == 1


def test_telling_never_waits_for_a_channel() -> None:
    class Slow:
        name = "slow"

        def send(self, letter: Letter) -> None:
            time.sleep(30)

    notifier = Notifier([Slow()], ["held"], gather=0.0, patience=0.1)
    with notifier:
        begun = time.monotonic()
        for _ in range(100):
            notifier.tell(Event("held", "x"))
        told = time.monotonic() - begun
    assert told < 5


def test_letters_keep_the_order_of_their_kinds() -> None:
    some = [Event("held", "a"), Event("started", "b"), Event("held", "c")]
    assert [(one.kind, one.lines) for one in letters(some, 0)] == [("held", ("a", "c")), ("started", ("b",))]


class Told(Notifier):
    def __init__(self) -> None:
        super().__init__([Broken()], [])
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def ending(row: MailboxRow, **counts: int) -> Ending:
    return Ending(mailbox=row, kind=PassKind.SEED, code=0, cause=row.cause, **counts)


def test_a_waves_life_is_told_once_each(ledger: Ledger) -> None:
    rows = [ledger.plan_mailbox("w", f"{name}@old.example", f"{name}@new.example") for name in ("anna", "ben")]
    told = Told()
    edges = Edges(Silent(), ledger, told, lambda *_: None)
    for _ in range(2):
        for row in rows:
            edges.began(row, PassKind.SEED)
    assert [(one.kind, one.line) for one in told.events] == [("started", "w has started: 2 mailboxes.")]
    held = ledger.move_mailbox(1, S.HELD, "No licence.")
    for _ in range(2):
        edges.ended(ending(held))
    assert told.events[1:] == [
        Event("held", "anna@old.example (w) is HELD: No licence.", {"wave": "w", "mailbox": "anna@old.example", "state": "HELD"})
    ]
    for state in (S.SEEDING, S.SYNCING, S.READY):
        ben = ledger.move_mailbox(2, state, "")
    edges.ended(ending(ben, refused=3, approved=1))
    assert told.events[2].kind == "approval"
    assert "2 items did not go" in told.events[2].line
    assert len(told.events) == 3, "one of them is held, so the wave is not finished"
    for state in (S.PLANNED, S.SEEDING, S.SYNCING, S.READY):
        anna = ledger.move_mailbox(1, state, "")
    edges.ended(ending(anna))
    edges.ended(ending(anna))
    assert [one.kind for one in told.events[3:]] == ["finished"]


def test_a_wave_that_is_under_way_does_not_start_again(ledger: Ledger) -> None:
    rows = [ledger.plan_mailbox("w", f"{name}@old.example", f"{name}@new.example") for name in ("anna", "ben")]
    for state in (S.SEEDING, S.SYNCING):
        ledger.move_mailbox(1, state, "")
    told = Told()
    Edges(Silent(), ledger, told, lambda *_: None).began(rows[1], PassKind.SEED)
    assert told.events == []


def test_a_ledger_that_is_away_does_not_end_a_run(ledger: Ledger) -> None:
    row = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")

    class Away:
        def mailboxes(self, wave: str) -> list[MailboxRow]:
            raise OSError("away")

    Edges(Silent(), Away(), Told(), lambda *_: None).began(row, PassKind.SEED)  # type: ignore[arg-type]


def test_the_digest_comes_once_a_day_whichever_process_is_up(ledger: Ledger) -> None:
    ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
    now = [1_764_000_000.0]
    told = [Told(), Told()]
    both = [Digests(ledger, one, "07:00", clock=lambda: now[0]) for one in told]
    assert not any(one.look() for one in both), "nobody was up before, so the first one is due tomorrow"
    now[0] = next_time("07:00", now[0]) + 1
    assert [one.look() for one in both] == [True, False]
    assert not both[0].look()
    assert "1 PLANNED" in told[0].events[0].line
    assert ledger.hints()[DIGEST] > now[0]
    assert not Digests(ledger, told[0], "", clock=lambda: now[0] + 1e6).look(), "an empty time is never"


def test_the_next_time_of_day_is_ahead() -> None:
    now = 1_764_000_000.0
    assert 0 < next_time("07:00", now) - now <= 90_000
    assert next_time("07:00", next_time("07:00", now)) > next_time("07:00", now)


def test_the_digest_says_first_what_needs_a_person(ledger: Ledger) -> None:
    ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
    ledger.move_mailbox(1, S.HELD, "No licence.")
    assert digest(ledger).line.startswith("A person is needed: of 1 mailbox, 1 HELD")


CONFIG = """
[source]
url = "https://ex.example"
username = "u"
password = "env:PASSWORD"
[target]
tenant_id = "t"
client_id = "c"
secret = "env:PASSWORD"
[notify]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSWORD", "x-secret-x")
    monkeypatch.setenv("HOOK", "https://hooks.example/very/secret")
    with Ledger.open(f"sqlite:///{tmp_path / 'migrator.db'}") as ledger:
        ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
    return tmp_path


def configured(project: Path, text: str) -> Path:
    file = project / "migrator.toml"
    file.write_text(CONFIG + text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('teams = "https://hooks.example/x"', "notify.teams"),
        ('digest_at = "7 o\'clock"', "notify.digest_at is no time of day"),
        ('events = ["everything"]', "notify.events"),
        ('smtp_security = "maybe"', "notify.smtp_security"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_section_is_named(project: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        load(configured(project, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('smtp_host = "relay"', "smtp_from"),
        ('smtp_host = "relay"\nsmtp_from = "a@b"\nsmtp_to = ["c@d"]\nsmtp_user = "u"\nsmtp_security = "none"', "in clear"),
        ('webhook = "env:PASSWORD"', "no https address"),
    ],
)
def test_a_channel_that_would_be_unsafe_is_refused(project: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as told:
        channels(load(configured(project, text)))
    assert "x-secret-x" not in str(told.value)


def test_the_command_tries_every_channel_and_logs_no_address(
    project: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    configured(project, 'webhook = "env:HOOK"\nslack = "env:HOOK"')
    assert cli.run(["notify", "test"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["slack", "sent"], ["webhook", "sent"]]
    assert cli.run(["notify", "digest"]) == 0
    assert hook.taken[-1]["event"] == "digest"
    hook.status = 500
    capsys.readouterr()
    assert cli.run(["--json", "notify", "test"]) == 3
    assert json.loads(capsys.readouterr().out)["channels"]["slack"] == "it answered with status 500"
    assert "very-secret" not in (project / "migrator.log").read_text("utf-8")
    configured(project, "")
    assert cli.run(["notify", "test"]) == 65
    logs.take_down()


def test_a_run_is_surrounded_only_if_somebody_wants_that(project: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    inner = Silent()
    with Ledger.open(f"sqlite:///{project / 'migrator.db'}") as ledger:
        with at_the_edges(load(configured(project, "")), ledger, inner, say=print) as watcher:
            assert watcher is inner
        config = load(configured(project, 'webhook = "env:HOOK"'))
        with at_the_edges(config, ledger, inner, say=print, real=False) as watcher:
            assert watcher is inner, "a dry run tells nobody"
        said: list[str] = []
        hook.status = 500
        monkeypatch.setattr(
            "migrator.notify.Notifier.__init__.__kwdefaults__", {"gather": 0.0, "patience": 9.0, "clock": time.time}
        )
        with at_the_edges(config, ledger, inner, say=said.append) as watcher:
            watcher.began(ledger.mailbox(1), PassKind.SEED)
    assert said == ["Wave started was not sent to webhook: it answered with status 500."]


def test_messages_to_owners_are_drafts_in_their_language_and_never_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    anna = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
    room = ledger.plan_mailbox("w", "room@old.example", "room@new.example")
    details = {anna.id: {"language": "de-DE", "owner": "Anna A."}, room.id: {"kind": "room"}}
    written = write(tmp_path / "out", [anna, room], details, "soon", day="Samstag", contact="die 4711")
    assert [file.name for file in written] == ["anna@old.example.eml"]
    mail = email.message_from_bytes(written[0].read_bytes(), policy=email.policy.default)
    assert (mail["X-Unsent"], mail["To"]) == ("1", "anna@old.example")
    text = mail.get_content()  # type: ignore[attr-defined]
    assert "Guten Tag Anna A." in text
    assert "am Samstag" in text
    assert "die 4711" in text
    with pytest.raises(FileExistsError):
        write(tmp_path / "out", [anna], details, "soon")
    plain = message_of(replace(anna, source="x@old.example"), {"language": "xx"}, "done").get_content()
    assert "its address is anna@new.example" in plain
    assert "{" not in plain


def test_the_command_writes_them_for_a_wave(project: Path) -> None:
    configured(project, "")
    assert cli.run(["notify", "owners", "w", "--to", "out"]) == 0
    assert [file.name for file in (project / "out").iterdir()] == ["anna@old.example.eml"]
    assert cli.run(["notify", "owners", "w", "--to", "out"]) == 65


def test_a_mail_has_one_subject_line_whatever_is_in_it() -> None:
    made = mail_of(letter("a\nBcc: x@y"), "a@b", ["c@d"])
    assert made["Bcc"] is None


def test_a_run_tells_the_team_and_counts_for_prometheus(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_commands import CONFIG as PROJECT
    from test_commands import InMemory, World

    from connectors.errors import MailboxBlocked
    from migrator import app

    made = World()
    made.blocked["ben"] = MailboxBlocked("no licence", mend="assign one")
    monkeypatch.setattr(app, "Connected", lambda config, stop, *, guard=None, memory=None: InMemory(made, guard))
    monkeypatch.chdir(tmp_path)
    for name in ("SOURCE_PASSWORD", "TARGET_SECRET"):
        monkeypatch.setenv(f"MIGRATOR_{name}", "hunter2")
    monkeypatch.setenv("HOOK", hook.url)
    (tmp_path / "migrator.toml").write_text(PROJECT + '\n[notify]\nwebhook = "env:HOOK"\n', "utf-8")
    lines = ["wave,source,target", "x,anna@old.example,anna@new.example", "y,ben@old.example,ben@new.example"]
    (tmp_path / "waves.csv").write_text("\n".join(lines), "utf-8")
    assert cli.run(["run", "--metrics", "0"]) == 4
    logs.take_down()
    assert "Metrics are at http://127.0.0.1:" in capsys.readouterr().err
    told = {one["event"]: one["lines"] for one in hook.taken}
    assert sorted(told["started"]) == ["x has started: 1 mailboxes.", "y has started: 1 mailboxes."]
    assert told["finished"] == ["x is ready: all of its 1 mailboxes may be cut over."]
    assert told["held"] == ["ben@old.example (y) is HELD: No licence. Assign one."]
