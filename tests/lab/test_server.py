"""The lab comes up as two real HTTPS servers, hands out what is needed to use them, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509

from connectors.lab import command
from connectors.lab.control import Control, ControlRefused
from connectors.lab.mailfiles import NoMail
from connectors.lab.server import CLIENT_ID, TENANT_ID, USER, Lab, LabPlan

ROOT = Path(__file__).parents[2]
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
GET_INBOX = (
    f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="{TYPES}" xmlns:m="{MESSAGES}"><s:Header>'
    '<t:RequestServerVersion Version="Exchange2010_SP2"/><t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>'
    "anna.becker@contoso.test</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header><s:Body><m:GetFolder>"
    "<m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape><m:FolderIds>"
    '<t:DistinguishedFolderId Id="inbox"/></m:FolderIds></m:GetFolder></s:Body></s:Envelope>'
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path / "lab", mailboxes=2, items=20, log=tmp_path / "wire.jsonl")) as running:
        yield running


def ask_exchange(lab: Lab, body: str = GET_INBOX) -> requests.Response:
    with requests.Session() as session:
        session.trust_env, session.verify, session.auth = False, str(lab.ca_file), (USER, lab.password)
        return session.post(lab.ews_url, data=body.encode(), headers={"Content-Type": "text/xml; charset=utf-8"}, timeout=20)


def ask_token(lab: Lab) -> requests.Response:
    wish = {
        "client_id": CLIENT_ID, "client_secret": lab.secret, "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
    }  # fmt: skip
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(lab.ca_file)
        return session.post(f"{lab.authority}/{TENANT_ID}/oauth2/v2.0/token", data=wish, timeout=20)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_exchange_face_answers_over_tls_that_its_own_authority_vouches_for(lab: Lab) -> None:
    response = ask_exchange(lab)
    assert response.status_code == 200, response.text
    assert "Posteingang" in response.text


def test_the_tenant_face_lets_the_app_of_the_config_in(lab: Lab) -> None:
    response = ask_token(lab)
    assert response.status_code == 200, response.text
    assert response.json()["access_token"]


def test_nobody_else_vouches_for_the_servers(lab: Lab) -> None:
    with socket.create_connection(("127.0.0.1", lab._port(0))) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1").close()


def test_the_certificate_is_for_loopback_under_every_name(lab: Lab) -> None:
    found = x509.load_pem_x509_certificates((lab.folder / "server.pem").read_bytes())[0]
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert sorted(map(str, names.get_values_for_type(x509.IPAddress))) == ["127.0.0.1", "::1"]


def test_the_folder_holds_a_complete_config_whose_secrets_are_references(lab: Lab) -> None:
    config = tomllib.loads(lab.config_file.read_text("utf-8"))
    assert config["source"]["url"] == lab.ews_url
    assert config["source"]["username"] == USER
    assert config["target"]["graph_url"] == lab.graph_url
    assert config["target"]["limits"]["concurrency"] == 4
    assert config["run"]["settle_horizon"] == 0.5
    for section, key, secret in (("source", "password", lab.password), ("target", "secret", lab.secret)):
        kind, _, path = config[section][key].partition(":")
        assert kind == "file"
        assert (lab.folder / path).read_text() == secret
        assert secret not in lab.config_file.read_text("utf-8")
    assert (lab.folder / "waves.csv").read_text("utf-8").splitlines() == [
        "wave,source,target",
        "wave1,anna.becker@contoso.test,anna.becker@contoso-cloud.test",
        "wave1,bernard.lefevre@contoso.test,bernard.lefevre@contoso-cloud.test",
    ]


@pytest.mark.skipif(os.name != "posix", reason="rights of files are of another kind here")
def test_only_the_owner_may_read_the_secrets(lab: Lab) -> None:
    for name in ("lab.json", "server.pem", "source-password.txt", "target-secret.txt"):
        assert stat.S_IMODE((lab.folder / name).stat().st_mode) == 0o600


def test_documented_limits_shrink_with_the_speed(tmp_path: Path) -> None:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0, limits="documented", speed=60)):
        limits = tomllib.loads((tmp_path / "lab.toml").read_text("utf-8"))["target"]["limits"]
    assert limits == {
        "requests": 10_000, "requests_window": 10.0, "upload_bytes": 150_000_000, "upload_window": 5.0, "concurrency": 4,
        "concurrency_scope": "mailbox",
    }  # fmt: skip


def test_every_exchange_is_written_down_and_no_secret_with_it(lab: Lab, tmp_path: Path) -> None:
    ask_exchange(lab)
    token = ask_token(lab).json()["access_token"]
    lab.stop()
    ews, graph = lines_of(tmp_path / "wire-ews.jsonl"), lines_of(tmp_path / "wire-graph.jsonl")
    answered = ews[-1]
    assert answered["method"] == "POST"
    assert answered["path"] == "/EWS/Exchange.asmx"
    assert answered["status"] == 200
    assert answered["request_body"] == GET_INBOX
    assert answered["request_bytes"] == len(GET_INBOX.encode())
    assert "Posteingang" in answered["response_body"]
    assert answered["t0"] <= answered["t1"]
    assert [line["path"].rpartition("/")[2] for line in graph] == ["token"]
    assert f"client_id={CLIENT_ID}&client_secret=redacted&grant_type" in graph[0]["request_body"]
    assert json.loads(graph[0]["response_body"])["access_token"] == "redacted"
    whole = (tmp_path / "wire-ews.jsonl").read_text("utf-8") + (tmp_path / "wire-graph.jsonl").read_text("utf-8")
    for secret in (lab.password, lab.secret, token):
        assert secret not in whole
    assert answered["headers"].get("Authorization", "redacted") == "redacted"


def test_stopping_frees_the_ports_ends_the_thread_and_removes_a_temporary_folder() -> None:
    before = threading.active_count()
    lab = Lab(LabPlan(mailboxes=1, items=0))
    with lab:
        port = lab._port(0)
        assert lab.config_file.exists()
    lab.stop()
    assert threading.active_count() == before
    assert not lab.folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_two_labs_run_side_by_side(lab: Lab) -> None:
    with Lab(LabPlan(mailboxes=1, items=0)) as other:
        assert {lab.ews_url, lab.graph_url}.isdisjoint({other.ews_url, other.graph_url})
        assert ask_exchange(other).status_code == 200
        assert ask_exchange(lab).status_code == 200


def test_a_lab_that_can_not_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(NoMail), Lab(LabPlan(folder=tmp_path / "x", mail=tmp_path / "none")):
        pass
    assert threading.active_count() == before


def a_process(*words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "connectors.lab", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def what_it_says(process: subprocess.Popen[str]) -> str:
    """Everything up to the line that says how to end it."""
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        said += line
    return said


def test_the_command_runs_until_the_control_plane_stops_it_and_dumps_in_between(tmp_path: Path) -> None:
    home, out = tmp_path / "lab", tmp_path / "out"
    with a_process("--dir", str(home), "--mailboxes", "1", "--items", "25") as process:
        assert "/EWS/Exchange.asmx" in what_it_says(process)
        words = ["dump", "--dir", str(home), "--side", "source", "--mailbox", "anna.becker@contoso.test", "--out", str(out)]
        assert command.main(words) == 0
        assert len(json.loads((out / "items.json").read_text("utf-8"))) == len(list(out.glob("*.eml"))) >= 25
        Control(home).stop()
        assert process.wait(20) == 0
    assert not (home / "lab.json").exists()
    with pytest.raises(ControlRefused, match="no lab runs"):
        Control(home)


@pytest.mark.skipif(os.name != "posix", reason="a process can't be asked to end like this here")
def test_the_command_ends_cleanly_when_it_is_terminated(tmp_path: Path) -> None:
    with a_process("--dir", str(tmp_path), "--mailboxes", "1", "--items", "0") as process:
        what_it_says(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--dir", "x", "--items", "-1"],
        ["--dir", "x", "--limits", "some"],
        ["--dir", "x", "--speed", "fast"],
        ["dump"],
        ["--hm"],
    ],
)
def test_what_is_typed_wrong_is_told_in_one_line_with_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 64
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_bad_input_is_one_sentence_with_65(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--dir", str(tmp_path / "lab"), "--mail", str(tmp_path)]) == 65
    assert "holds no mail" in capsys.readouterr().err
    dump = ["dump", "--dir", str(tmp_path), "--side", "target", "--mailbox", "a@b", "--out", str(tmp_path / "o")]
    assert command.main(dump) == 65
    assert "no lab runs" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert command.main(["--dir", str(tmp_path / "file")]) == 65
    assert "check the folder" in capsys.readouterr().err
