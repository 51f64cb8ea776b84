"""The dashboard as a server: who may look, what is answered, and that mailboxes are searched, sorted and cut into pages there."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from test_report_command import CONFIG

from connectors.lab.tls import make_papers
from migrator import cli
from migrator.config import BadInput
from migrator.dashboard import HEADERS, Place, serving
from migrator.reporting.facts import Facts, MailboxLine
from migrator.reporting.gathering import gather, gather_mailbox
from migrator.reporting.live import SORTS, Live, Query, find
from migrator.reporting.names import names_of, veiled
from migrator.reporting.words import language
from state.model import LedgerAway, MailboxState
from state.store import Ledger


def line(number: int, **values: object) -> MailboxLine:
    told: dict[str, object] = {"state": MailboxState.SYNCING, "cause": "", "wave": f"wave {number % 2}", "done": number, **values}
    return MailboxLine(id=number, source=f"user{number:03}@old.test", target=f"u{number}@new.test", came_from=None, **told)  # type: ignore[arg-type]


LINES = [line(number) for number in range(1, 121)]


def test_all_are_found_in_pages() -> None:
    first, last, beyond = (find(LINES, Query(number=number)) for number in (1, 3, 99))
    assert (first.first, first.last, first.of, first.pages) == (1, 50, 120, 3)
    assert (last.first, last.last, len(last.lines)) == (101, 120, 20)
    assert beyond == last, "a page that there is not is the last one"


def test_every_word_of_a_search_has_to_be_somewhere() -> None:
    lines = [*LINES, line(500, cause="The quota is full.", owner="Kim", wave="pilot")]
    assert [one.id for one in find(lines, Query(text="QUOTA  kim")).lines] == [500]
    assert find(lines, Query(text="quota anna")).of == 0
    assert find(lines, Query(text="user00")).of == 9


def test_filters_narrow_together() -> None:
    lines = [*LINES, line(500, state=MailboxState.HELD, cause="x", wave="wave 1")]
    assert [one.id for one in find(lines, Query(state="HELD", wave="wave 1")).lines] == [500]
    assert find(lines, Query(state="HELD", wave="wave 0")).of == 0
    assert [one.id for one in find(lines, Query(attention=True)).lines] == [500]


@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts_both_ways(sort: str) -> None:
    values = {
        "bytes": (3, 1, 2),
        "pending": (3, 1, 2),
        "refused": (3, 1, 2),
        "listed": (6, 6, 6),
        "last_pass_at": (3.0, 1.0, 2.0),
    }
    states = (MailboxState.SYNCING, MailboxState.READY, MailboxState.CLOSED)
    lines = [line(at, state=states[at - 1], **{word: some[at - 1] for word, some in values.items()}) for at in (1, 2, 3)]
    up = [one.id for one in find(lines, Query(sort=sort)).lines]
    down = [one.id for one in find(lines, Query(sort=sort, down=True)).lines]
    assert up == down[::-1]
    assert sorted(up) == [1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "means"),
    [
        ({"page": "2", "sort": "done", "dir": "down"}, Query(number=2, sort="done", down=True)),
        ({"page": "-1", "sort": "password"}, Query()),
        ({"page": "²", "q": " x "}, Query(text="x")),
        ({"sort": "done", "by": "done", "page": "3"}, Query(sort="done", down=True)),
        ({"sort": "done", "dir": "down", "by": "open"}, Query(sort="open")),
        ({"page": "3", "to": "4"}, Query(number=4)),
    ],
)
def test_an_address_is_read_by_what_makes_sense_in_it(asked: dict[str, str], means: Query) -> None:
    assert Query.of(asked) == means


def watched(ledger: Ledger, every: float = 0.2, *, anonymous: bool = False) -> Live:
    names = names_of(gather(ledger, recount=False), anonymous=anonymous)
    return Live(
        lambda: veiled(gather(ledger, recount=False), anonymous=anonymous),
        language("en"),
        every,
        lambda line: gather_mailbox(ledger, line, names),
    )


@contextmanager
def shown(ledger: Ledger, place: Place | None = None, every: float = 0.2) -> Iterator[tuple[Live, str]]:
    with watched(ledger, every) as live, serving(place or Place(), live) as url:
        yield live, url


def ask(url: str, what: str = "", *, host: str | None = None, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One question over a connection of its own: status, headers, content."""
    to = urlsplit(url)
    connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
    try:
        connection.putrequest(method, f"{to.path}{what}", skip_host=True)
        connection.putheader("Host", host or to.netloc)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_who_has_the_address_sees_everything(forty: Ledger) -> None:
    with shown(forty) as (live, url):
        for what, kind in {
            "": "text/html",
            "style.css": "text/css",
            "script.js": "text/javascript",
            "parts": "application/json",
        }.items():
            status, headers, content = ask(url, what)
            assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8"), what
            assert content
            assert HEADERS.items() <= headers.items()
        assert live.view.facts.mailboxes[0].source.encode() in ask(url)[2]
        assert ask(url, "parts?version=1")[0] in (200, 204)
        found = json.loads(ask(url, "mailboxes?wave=wave+3&sort=open&dir=down")[2])
        assert (found["found"], found["pages"]) == ("1 to 8 of 8", 1)
        assert found["rows"].count("<tr>") == 8


def test_one_mailbox_has_a_page_of_its_own(forty: Ledger) -> None:
    with shown(forty) as (live, url):
        line = next(one for one in live.view.facts.mailboxes if one.refused)
        page = ask(url, f"mailbox?id={line.id}")[2].decode()
        assert line.source in page
        assert "Projects" in page
        assert "changes, done" in page
        assert page.count("<code>") == line.refused
        assert not any(other.source in page for other in live.view.facts.mailboxes if other is not line)
        assert f'href="mailbox?id={line.id}"' in ask(url, f"?q={line.source}")[2].decode()
        for wrong in ("", "0", "x", "9" * 30):
            assert ask(url, f"mailbox?id={wrong}")[0] == 404


def test_the_page_of_one_mailbox_names_nobody_where_names_are_hidden(forty: Ledger) -> None:
    forty.plans.act("J. Krueger", "looked at", mailbox_id=3, why="marek.costa1@contoso.test asked")
    with watched(forty, anonymous=True) as live, serving(Place(), live) as url:
        page = ask(url, "mailbox?id=3")[2].decode().casefold()
        assert "looked at" in page
        assert not any(word in page for word in ("contoso", "krueger", "projects", "costa"))


def test_nobody_else_sees_anything(forty: Ledger) -> None:
    with shown(forty) as (_, url):
        to = urlsplit(url)
        token = to.path.strip("/")
        other = f"http://{to.netloc}/"
        for path in ("", "favicon.ico", "style.css", f"{token[:-1]}/", f"{token}x/", "../etc/passwd", "%2e%2e/"):
            status, _, content = ask(other, path)
            assert (status, content) == (404, b"There is nothing here.\n"), path
        assert ask(url, "../../pyproject.toml")[0] == 404
        assert ask(url, "nothing")[0] == 404
        for host in ("evil.test", f"evil.test:{to.port}", "127.0.0.1", ""):
            assert ask(url, host=host or "x")[0] == 421, host
        assert ask(url, host=f"localhost:{to.port}")[0] == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(url, method=method)[0] == 501
        status, headers, content = ask(url, method="HEAD")
        assert (status, content) == (200, b"")
        assert int(headers["Content-Length"]) > 1000
        assert len(token) >= 32


def test_a_token_is_another_each_time(forty: Ledger) -> None:
    with shown(forty) as (_, one), shown(forty) as (_, two):
        assert urlsplit(one).path != urlsplit(two).path


def test_what_changes_in_the_ledger_is_told_without_being_asked_twice(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as writing, Ledger.look(sqlite_url) as looking, shown(looking, every=0.05) as (_, url):
        version = json.loads(ask(url, "parts")[2])["version"]
        writing.plan_mailbox("pilot", "anna@old.test", "anna@new.test")
        until = time.monotonic() + 30
        while b"anna@old.test" not in ask(url, "mailboxes")[2] and time.monotonic() < until:
            time.sleep(0.05)
        news = json.loads(ask(url, f"parts?version={version}")[2])
        assert news["version"] > version
        assert "pilot" in news["parts"]["waves"]


def test_a_ledger_that_is_away_leaves_the_last_view_and_says_so(forty: Ledger) -> None:
    facts = gather(forty, recount=False)
    times = iter([facts])

    def once() -> Facts:
        for one in times:
            return one
        raise LedgerAway("The ledger's server does not answer.")

    with Live(once, language("en"), 0.01) as live:
        until = time.monotonic() + 30
        while not live.view.trouble and time.monotonic() < until:
            time.sleep(0.01)
        assert live.view.trouble == "The ledger's server does not answer."
        assert live.view.facts is facts


def test_what_people_wrote_is_text_on_the_dashboard_too(forty: Ledger) -> None:
    evil = "<img src=x onerror=alert(1)>"
    facts = gather(forty)
    facts = replace(
        facts,
        mailboxes=[replace(facts.mailboxes[0], source=evil, cause=evil, wave=evil, owner=evil)],
        waves=[replace(facts.waves[0], name=evil)],
    )
    with Live(lambda: facts, language("en"), 60) as live, serving(Place(), live) as url:
        for what in ("", "parts", "mailboxes"):
            assert b"<img" not in ask(url, what)[2]
        assert b"<img" not in ask(url, "?q=%3Cimg+src=x%3E&wave=%3Cimg%3E&sort=%22%3E%3Cimg%3E")[2]


def test_other_machines_need_a_certificate() -> None:
    for host in ("0.0.0.0", "10.0.0.5", "example.test", "::"):
        with pytest.raises(BadInput, match="--tls-certificate"):
            Place(host=host).checked()
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        assert Place(host=host).checked()


def test_with_a_certificate_it_speaks_tls_alone(forty: Ledger, tmp_path: Path) -> None:
    papers = make_papers(tmp_path)
    place = Place(certificate=papers.server_file, names=("localhost",))
    with shown(forty, place) as (_, url):
        assert url.startswith("https://localhost:")
        to = urlsplit(url)
        connection = http.client.HTTPSConnection(
            "localhost", to.port, context=ssl.create_default_context(cafile=str(papers.ca_file)), timeout=30
        )  # fmt: skip
        connection.request("GET", to.path)
        assert connection.getresponse().status == 200
        connection.close()
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            ask(url.replace("https", "http"))
    with pytest.raises(BadInput, match="can't be used"), shown(forty, Place(certificate=tmp_path / "none")):
        pass


def test_a_port_that_is_taken_is_a_plain_no(forty: Ledger) -> None:
    with (
        shown(forty) as (live, url),
        pytest.raises(BadInput, match="name another with --port"),
        serving(Place(port=urlsplit(url).port or 0), live),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="a process of this system can't be asked to end by a signal")
def test_the_command_tells_its_address_and_ends_by_a_signal(made: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copy(made(), tmp_path / "ledger.db")
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    words = [sys.executable, "-m", "migrator", "dashboard", "--port", "0", "--anonymous", "--language", "de"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            url = running.stdout.readline().split()[-1]
            page = ask(url)[2].decode()
        finally:
            running.send_signal(signal.SIGTERM)
            rest = "".join(running.communicate(timeout=60))
    assert running.returncode == 0, rest
    assert '<html lang="de">' in page
    assert "contoso" not in page
    token = urlsplit(url).path.strip("/")
    assert token not in rest, "nothing that was asked for is written down"


def test_without_a_ledger_or_on_a_strange_address_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")
    assert cli.run(["dashboard"]) == 65
    assert "migrator run" in capsys.readouterr().err
    assert cli.run(["dashboard", "--bind", "0.0.0.0"]) == 65
    assert "--tls-certificate" in capsys.readouterr().err
