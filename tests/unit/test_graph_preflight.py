"""Signing in for real, and what a tenant is asked before a migration; against a scripted server with TLS."""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID
from graph_script import Answer, Server, failing, serving

from connectors.base import Answer as Told
from connectors.graph.client import GraphClient
from connectors.graph.endpoint import Tenant
from connectors.graph.preflight import NEEDED, ask, permissions

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for this computer: ``both.pem``, ``public.pem`` and ``both.pfx`` (password ``word``)."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HERE)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(Encoding.PEM)
    (folder / "public.pem").write_bytes(public)
    (folder / "both.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + public)
    (folder / "both.pfx").write_bytes(
        pkcs12.serialize_key_and_certificates(b"k", key, certificate, None, BestAvailableEncryption(b"word"))
    )
    return folder


@pytest.fixture
def server(keys: Path) -> Iterator[Server]:
    with serving(keys / "both.pem") as found:
        found.route = Cloud(found.url).route
        yield found


class Cloud:
    """A sign-in host and a tenant with one good mailbox, ``a@x``; ``bad`` is a wrong secret."""

    def __init__(self, url: str) -> None:
        self.url = url

    def route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.endswith("/.well-known/openid-configuration"):
            base = f"{self.url}/t/oauth2/v2.0"
            found: dict[str, Any] = {"issuer": f"{self.url}/t/v2.0"}
            return 200, {}, {**found, "authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
        if path.endswith("/token"):
            if b"client_secret=bad" in body:
                wrong = {"error": "invalid_client", "error_codes": [7000215], "error_description": "AADSTS7000215: bad"}
                return 401, {"Content-Type": "application/json"}, wrong
            return 200, {}, {"access_token": "abc", "token_type": "Bearer", "expires_in": 3599}
        return self.graph(path)

    def graph(self, path: str) -> Answer:
        json = {"Content-Type": "application/json"}
        who = path.split("/")[2].split("?")[0]
        if path.startswith("/users/") and who != "a%40x":
            code = "MailboxNotEnabledForRESTAPI" if "mailFolders" in path else "Request_ResourceNotFound"
            return failing(404, code, Content_Type="application/json")
        if path.endswith("/settings/exchange"):
            return 200, json, {"primaryMailboxId": "MBX:1@2"}
        if path.startswith("/admin/"):
            return 200, json, {"value": []}
        return 200, json, {"id": "1", "accountEnabled": True}


def _told(server: Server, keys: Path, *mailboxes: str, **how: Any) -> dict[str, Told]:
    settings: dict[str, Any] = {
        "tenant_id": "t", "client_id": "c", "graph_url": server.url, "authority": server.url, "ca_file": str(keys / "public.pem"),
    }  # fmt: skip
    settings.update(how)
    with GraphClient(Tenant(**settings)) as client:
        return {each.question: each for each in ask(client, mailboxes)}


def test_a_good_tenant_answers_every_question_and_nothing_is_written(server: Server, keys: Path) -> None:
    told = _told(server, keys, "a@x", secret="good")
    assert {question for question, each in told.items() if not each.ok} == {"permissions"}
    assert told["permissions"].ok is None  # an opaque token shows nothing, which is no failure
    assert {method for method, path, _, _ in server.asked if not path.endswith("/token")} == {"GET"}


def test_a_missing_user_and_a_missing_mailbox_are_two_sentences(server: Server, keys: Path) -> None:
    told = _told(server, keys, "b@x", secret="good")
    assert "no such user" in told["b@x: user"].sentence
    assert "no Exchange Online mailbox" in told["b@x: mailbox"].sentence
    assert "licence" in told["b@x: mailbox"].mend
    assert told["b@x: items"].ok is None


def test_a_wrong_secret_is_named_and_never_shown(server: Server, keys: Path) -> None:
    told = _told(server, keys, "a@x", secret="bad")
    assert told["sign-in host"].ok
    assert "the client secret is wrong" in told["access token"].sentence
    assert told["a@x: mailbox"].ok is None


@pytest.mark.parametrize(("file", "password"), [("both.pem", None), ("both.pfx", "word")])
def test_a_certificate_signs_in(server: Server, keys: Path, file: str, password: str | None) -> None:
    told = _told(server, keys, certificate=str(keys / file), certificate_password=password)
    assert told["access token"].ok
    (body,) = [body for _, path, _, body in server.asked if path.endswith("/token")]
    assert b"client_assertion=" in body


@pytest.mark.parametrize(
    ("file", "password", "says"),
    [("public.pem", None, "private key"), ("nothing.pem", None, "can't be read"), ("both.pfx", "wrong", "not usable")],
)
def test_a_certificate_that_cannot_be_used_says_why(
    server: Server, keys: Path, file: str, password: str | None, says: str
) -> None:
    told = _told(server, keys, certificate=str(keys / file), certificate_password=password)
    assert told["access token"].ok is False
    assert says in told["access token"].sentence


def test_a_host_that_is_not_trusted_is_told_from_one_that_cannot_be_reached(server: Server, keys: Path) -> None:
    assert "not trusted" in _told(server, keys, secret="good", ca_file=None)["access token"].sentence
    away = _told(server, keys, secret="good", authority="https://127.0.0.1:9")
    assert away["sign-in host"].ok is False
    assert away["access token"].ok is None


def test_the_directory_is_asked_in_the_books_and_waited_for(server: Server, keys: Path) -> None:
    tenant = Tenant(
        tenant_id="t", client_id="c", secret="good", graph_url=server.url, authority=server.url, ca_file=str(keys / "public.pem")
    )
    busy = [failing(429, "TooManyRequests", Retry_After="0.2", Content_Type="application/json")]
    inside = server.route

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return busy.pop() if busy and path.startswith("/users/a%40x?") else inside(method, path, headers, body)

    server.route = route
    with GraphClient(tenant) as client:
        told = {each.question: each for each in ask(client, ["a@x"])}
        assert told["a@x: user"].ok, told["a@x: user"].sentence
        asked = sum("/token" not in path and "openid" not in path for path in server.paths())
        assert client.pacer("a@x")._budgets[0].used(time.monotonic()) == asked
        assert "waited.server" in client.figures("a@x")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), ("appointments and contacts and tasks", "Contacts.ReadWrite, Tasks.ReadWrite.All, MailboxSettings")),
        (("Calendars.ReadWrite", "Contacts.ReadWrite", "MailboxSettings.ReadWrite"), ("refuse tasks.", "grant Tasks")),
        (("Calendars.ReadWrite", "Contacts.ReadWrite", "Tasks.ReadWrite.All"), ("rules", "grant MailboxSettings.ReadWrite")),
    ],
)
def test_what_only_the_compose_lane_needs_is_asked_for_without_a_no(more: tuple[str, ...], words: tuple[str, str]) -> None:
    claims = base64.urlsafe_b64encode(orjson.dumps({"roles": [*NEEDED, *more]})).decode().rstrip("=")
    answer = permissions(f"x.{claims}.x")
    assert answer.ok is True
    assert words[0] in answer.sentence
    assert words[1] in answer.mend
