"""What a source is asked before a migration; against the simulated Exchange server, and servers that are none."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_exchange import ANNA, Served, a_certificate, an_estate, check_against_the_schema, running, the_options

from connectors.base import Answer
from connectors.ews.client import ExchangeServer
from connectors.ews.endpoint import Exchange
from connectors.ews.preflight import ask, line_of
from connectors.lab.exchange import busy_for
from connectors.lab.exchange_call import Refused, message
from connectors.lab.exchange_ops import OPERATIONS

BEN = "ben@lab.test"
QUESTIONS = ("mailbox", "folders", "export", "version")


def told(url: str, *mailboxes: str, **more: Any) -> dict[str, Answer]:
    settings: dict[str, Any] = {"username": "LAB\\svc", "password": "p w", "timeout": 10.0, **more}
    server = ExchangeServer(Exchange(url=url, **settings))
    try:
        answers = list(ask(server, mailboxes))
    finally:
        server.close()
    found = {answer.question: answer for answer in answers}
    wanted = ["address", "sign in", *(f"{mailbox}: {question}" for mailbox in mailboxes for question in QUESTIONS)]
    assert list(found) == wanted, "every question once, in their order"
    assert len(answers) == len(wanted)
    for answer in answers:
        assert answer.sentence
        assert "p w" not in answer.sentence + answer.mend
        assert answer.mend or answer.ok is not False, answer
    return found


@contextmanager
def answering(plain: int, signed_in: int = 200, scheme: str = "Basic realm=x", **headers: str) -> Iterator[str]:
    """The address of a server that answers one status without credentials, another with them, whatever they are."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(signed_in if self.headers.get("Authorization") else plain)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if scheme:
                self.send_header("WWW-Authenticate", scheme)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/EWS/Exchange.asmx"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def exchange(change: Callable[[Any], None] = lambda options: None) -> Iterator[Served]:
    options = the_options()
    change(options)
    with running(an_estate(), options) as served:
        yield served
    check_against_the_schema(served.log)


# --- a good source


def test_a_good_source_answers_yes_to_everything_over_tls(tmp_path: Path) -> None:
    path, fingerprint = a_certificate(tmp_path)
    options = the_options()
    options.channel_binding = fingerprint
    with running(options=options, certificate=path) as served:
        answers = told(served.url, ANNA, BEN, ca_file=str(path))
    assert [answer.question for answer in answers.values() if answer.ok is not True] == []
    assert answers[f"{ANNA}: version"].sentence == "Exchange 2016 answers (15.1.2507.66)."
    assert answers["address"].mend == ""


def test_nothing_is_written_and_no_item_is_read() -> None:
    with exchange() as served:
        before = {address: (len(box.items), len(box.boxes)) for address, box in served.estate.mailboxes.items()}
        told(served.url, ANNA)
        bodies = [base64.b64decode(one["request_body"]).decode() for one in served.log]
        after = {address: (len(box.items), len(box.boxes)) for address, box in served.estate.mailboxes.items()}
    assert before == after
    asked = {body.split("<s:Body><m:")[1].split(">")[0].split(" ")[0] for body in bodies}
    assert asked == {"GetFolder", "FindFolder", "ExportItems"}


def test_an_address_without_encryption_is_told() -> None:
    with exchange() as served:
        answer = told(served.url)["address"]
    assert answer.ok
    assert answer.mend == "use https"


# --- the address


def test_a_server_that_is_not_there_can_not_be_reached() -> None:
    with answering(401) as url:
        pass
    answers = told(url, ANNA)
    assert answers["address"].ok is False
    assert "reached" in answers["address"].sentence
    assert {answer.ok for question, answer in answers.items() if question != "address"} == {None}


def test_a_certificate_that_is_not_trusted_is_told_as_such(tmp_path: Path) -> None:
    path, _ = a_certificate(tmp_path)
    with running(certificate=path) as served:
        answers = told(served.url, ANNA)
    assert answers["address"].ok is False
    assert "certificate" in answers["address"].sentence
    assert "ca_file" in answers["address"].mend
    assert answers["sign in"].ok is None


@pytest.mark.parametrize(
    ("status", "word"),
    [(200, "without asking"), (302, "another address"), (403, "turns everybody away"), (404, "not that of an EWS"), (503, "now")],
)
def test_an_address_that_is_none_is_told_by_what_it_answers(status: int, word: str) -> None:
    with answering(status, scheme="", Location="https://elsewhere.test/owa") as url:
        answers = told(url)
    assert answers["address"].ok is False
    assert word in answers["address"].sentence
    assert answers["sign in"].ok is None


def test_a_port_without_tls_is_not_taken_for_a_certificate_that_is_not_trusted() -> None:
    with answering(401) as url:
        answer = told(url.replace("http:", "https:"))["address"]
    assert answer.ok is False
    assert "TLS" in answer.sentence
    assert "port" in answer.mend


def test_a_file_of_authorities_that_is_none_is_told() -> None:
    answer = told("https://127.0.0.1:9/EWS/Exchange.asmx", ca_file="/nowhere/ca.pem")["address"]
    assert answer.ok is False
    assert "ca_file" in answer.mend


def test_an_address_that_is_no_url_is_told() -> None:
    assert told("mail.lab.test")["address"].ok is False


# --- the sign-in


@pytest.mark.parametrize("auth", ["ntlm", "basic"])
def test_a_wrong_password_is_told_and_no_mailbox_is_asked(auth: str) -> None:
    with exchange() as served:
        answers = told(served.url, ANNA, password="wrong", auth=auth)
        statuses = {one["status"] for one in served.log}
    assert answers["address"].ok
    assert answers["sign in"].ok is False
    assert "password" in answers["sign in"].sentence
    assert "locked" in answers["sign in"].mend
    assert answers[f"{ANNA}: export"].ok is None
    assert statuses == {401}


def test_a_scheme_that_is_not_offered_is_told_with_those_that_are() -> None:
    with exchange(lambda options: setattr(options, "auth", ("ntlm",))) as served:
        answer = told(served.url, auth="basic")["sign in"]
        assert len(served.log) == 1, "no password was sent"
    assert answer.ok is False
    assert "offers ntlm" in answer.sentence
    assert "ntlm" in answer.mend


def test_a_sign_in_page_before_the_server_is_told() -> None:
    with answering(401, scheme="Bearer") as url:
        answer = told(url)["sign in"]
    assert answer.ok is False
    assert "offers bearer" in answer.sentence


def test_extended_protection_is_suspected_where_the_password_is_right(tmp_path: Path) -> None:
    path, _ = a_certificate(tmp_path)
    options = the_options()
    options.channel_binding = b"another certificate"
    with running(options=options, certificate=path) as served:
        right = told(served.url, ANNA, ca_file=str(path))["sign in"]
        wrong = told(served.url, ANNA, ca_file=str(path), password="wrong")["sign in"]
    assert (right.ok, wrong.ok) == (False, False)
    assert "The password is right" in right.sentence
    assert "Extended Protection" in right.sentence
    assert "refuses the user name or the password" in wrong.sentence


def test_extended_protection_is_named_where_nothing_can_tell(tmp_path: Path) -> None:
    path, _ = a_certificate(tmp_path)
    options = the_options()
    options.channel_binding, options.auth = b"another certificate", ("ntlm",)
    with running(options=options, certificate=path) as served:
        answer = told(served.url, ca_file=str(path))["sign in"]
    assert answer.ok is False
    assert "Extended Protection" in answer.mend


@pytest.mark.parametrize(
    ("status", "word"), [(403, "switched off"), (404, "no EWS"), (503, "now"), (302, "another address"), (413, "size")]
)
def test_a_sign_in_that_leads_nowhere_is_told(status: int, word: str) -> None:
    with answering(401, status) as url:
        answers = told(url, ANNA, auth="basic")
    assert answers["sign in"].ok is False
    assert word in answers["sign in"].sentence
    assert answers[f"{ANNA}: mailbox"].ok is None


# --- a mailbox


def test_a_mailbox_that_is_not_there_is_told_and_the_next_one_is_asked() -> None:
    with exchange() as served:
        answers = told(served.url, "nobody@lab.test", ANNA)
    first = answers["nobody@lab.test: mailbox"]
    assert first.ok is False
    assert "ErrorNonExistentMailbox" in first.sentence
    assert "waves" in first.mend
    assert answers["nobody@lab.test: version"].ok is None
    assert answers[f"{ANNA}: export"].ok


def test_a_mailbox_out_of_the_scope_of_impersonation_is_told() -> None:
    with exchange(lambda options: setattr(options, "impersonation_scope", {BEN})) as served:
        answers = told(served.url, ANNA, BEN)
    assert answers[f"{ANNA}: mailbox"].ok is False
    assert "ApplicationImpersonation" in answers[f"{ANNA}: mailbox"].mend
    assert answers[f"{BEN}: mailbox"].ok


def test_an_account_that_may_not_impersonate_is_told() -> None:
    with exchange(lambda options: setattr(options, "impersonators", set())) as served:
        answer = told(served.url, ANNA)[f"{ANNA}: mailbox"]
    assert answer.ok is False
    assert "ErrorImpersonateUserDenied" in answer.sentence


def test_without_impersonation_the_named_mailbox_is_opened_and_not_the_callers() -> None:
    with exchange() as served:
        answers = told(served.url, ANNA, BEN, username=ANNA, password="own", access="full-access")
    assert answers["sign in"].ok
    assert answers[f"{ANNA}: mailbox"].sentence.endswith("may be opened.")
    assert answers[f"{BEN}: mailbox"].ok is False
    assert "ErrorAccessDenied" in answers[f"{BEN}: mailbox"].sentence


def test_a_busy_server_is_told_without_waiting_for_it() -> None:
    with exchange() as served:
        # One answer for the sign-in, which a busy server grants; the second is the mailbox's.
        served.options.busy = busy_for(2, 600_000)
        answer = told(served.url, ANNA)[f"{ANNA}: mailbox"]
    assert answer.ok is False
    assert "ErrorServerBusy" in answer.sentence
    assert "later" in answer.mend


@pytest.mark.parametrize(
    ("code", "ok", "word"),
    [
        ("ErrorInvalidIdMalformed", True, "can be exported"),
        ("ErrorItemNotFound", True, "can be exported"),
        ("ErrorAccessDenied", False, "may not export"),
        ("ErrorInvalidOperation", False, "knows no export"),
        ("ErrorMailboxStoreUnavailable", False, "can't answer now"),
        ("ErrorOfTomorrow", False, "no table knows"),
    ],
)
@pytest.mark.parametrize("whole_call", [False, True])
def test_what_export_answers_for_an_id_that_is_none(
    code: str, ok: bool, word: str, whole_call: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_items(call: Any, element: Any) -> bytes:
        if whole_call:
            raise Refused(code, "no")
        one = message("ExportItems", "", code, "no")
        return f"<m:ExportItemsResponse><m:ResponseMessages>{one}</m:ResponseMessages></m:ExportItemsResponse>".encode()

    monkeypatch.setitem(OPERATIONS, "ExportItems", export_items)
    with running() as served:
        answer = told(served.url, ANNA)[f"{ANNA}: export"]
    assert answer.ok is ok
    assert word in answer.sentence


# --- the version


@pytest.mark.parametrize(
    ("build", "ok", "line"),
    [
        ("14.1.218.15", False, "Exchange 2010"),
        ("14.3.513.0", True, "Exchange 2010"),
        ("15.0.1497.48", True, "Exchange 2013"),
        ("15.1.2507.66", True, "Exchange 2016"),
        ("15.2.1748.49", True, "Exchange 2019"),
        ("15.2.2562.17", True, "Exchange Server SE"),
        ("15.20.9000.1", False, "Exchange Online"),
        ("16.0.1.1", True, "does not know"),
    ],
)
def test_the_build_that_answers_is_named(build: str, ok: bool, line: str) -> None:
    with exchange(lambda options: setattr(options, "build", build)) as served:
        answer = told(served.url, ANNA)[f"{ANNA}: version"]
    assert answer.ok is ok
    assert line in answer.sentence
    assert build in answer.sentence


def test_the_line_changes_at_the_first_build_of_se() -> None:
    assert line_of((15, 2, 2561, 99)) == "Exchange 2019"
    assert line_of((15, 2, 2562, 0)) == "Exchange Server SE"
    assert line_of((13, 0, 1, 1)) == ""
