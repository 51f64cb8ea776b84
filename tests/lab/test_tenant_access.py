"""Only who may is let in: an app by what it can prove, to what its permissions name, at the host where it belongs."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from test_login import ASSERTION as JWT
from test_login import Face

from connectors.lab.login import ROLES, Login, LoginError
from connectors.lab.server import CLIENT_ID, TENANT_ID, Lab, LabPlan
from connectors.lab.truth import Item

PLAIN: dict[str, Any] = {"Authorization": None}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0)) as lab:
        yield lab


@cache
def a_certificate() -> tuple[str, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), key


def switch(face: Face, monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setattr(face.lab.options[1], name, value)


# --- permissions


@pytest.mark.parametrize(
    ("without", "method", "path", "code"),
    [
        ("Mail.ReadWrite", "GET", "messages", "ErrorAccessDenied"),
        ("Mail.ReadWrite", "POST", "mailFolders", "ErrorAccessDenied"),
        ("User.Read.All", "GET", "", "Authorization_RequestDenied"),
        ("User.Read.All", "POST", "translateExchangeIds", "ErrorAccessDenied"),
        ("Calendars.ReadWrite", "POST", "events", "ErrorAccessDenied"),
        ("MailboxSettings.ReadWrite", "GET", "outlook/masterCategories", "ErrorAccessDenied"),
        ("MailboxFolder.ReadWrite.All", "GET", "admin/folders", "ErrorAccessDenied"),
        ("MailboxItem.ReadWrite.All", "DELETE", "admin/folders/inbox/items/x", "ErrorAccessDenied"),
        ("MailboxItem.ImportExport.All", "POST", "admin/createImportSession", "ErrorAccessDenied"),
        ("MailboxItem.ImportExport.All", "POST", "admin/exportItems", "ErrorAccessDenied"),
    ],
)
def test_without_its_permission_a_door_stays_shut(
    face: Face, monkeypatch: pytest.MonkeyPatch, without: str, method: str, path: str, code: str
) -> None:
    assert face.ask(method, path).status_code != 403
    switch(face, monkeypatch, roles=tuple(role for role in ROLES if role != without))
    assert face.refused(method, path) == (403, code)


def test_reading_needs_less_than_writing(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    switch(face, monkeypatch, roles=("Mail.Read", "MailboxFolder.Read.All", "MailboxItem.Read.All"))
    for path in ("messages", "mailFolders", "settings/exchange", "admin/folders", "admin/folders/inbox/items"):
        face.good("GET", path)
    for path in ("messages", "mailFolders", "admin/folders"):
        assert face.refused("POST", path, {}) == (403, "ErrorAccessDenied")


def test_the_token_shows_the_permissions_of_now(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    switch(face, monkeypatch, roles=("Mail.Read",))
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": face.lab.secret}
    address = f"{face.lab.authority}/{TENANT_ID}/oauth2/v2.0/token"
    claims = face.session.post(address, data=form, timeout=20).json()["access_token"].split(".")[1]
    assert b'"roles":["Mail.Read"]' in base64.urlsafe_b64decode(claims + "==")
    answer = face.session.post(address.replace(TENANT_ID, "elsewhere"), data=form, timeout=20)
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@pytest.mark.parametrize("assertion", ["a.b", "!.!.!", f"{b64([])}.{b64({})}.AA", f"{b64({'alg': 'none'})}.{b64({})}.", "\udcff"])
def test_an_assertion_that_can_not_be_read_proves_nothing(assertion: str) -> None:
    login = Login(TENANT_ID, {}, {"app": a_certificate()[0]}, ())
    form = {"grant_type": "client_credentials", "client_id": "app", "client_assertion": assertion, "client_assertion_type": JWT}
    with pytest.raises(LoginError) as caught:
        login.token(urlencode(form, errors="surrogateescape").encode())
    assert caught.value.body["error_codes"] == [700027]


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        ({}, None),
        ({"aud": f"https://x.example/{TENANT_ID}/oauth2/v2.0/token"}, None),
        ({"aud": "https://x.example/elsewhere/oauth2/v2.0/token"}, 700023),
        ({"exp": "soon"}, 700024),
    ],
)
@pytest.mark.parametrize("scheme", ["RS256", "PS256"])
def test_an_assertion_is_meant_for_this_tenant(claims: dict[str, object], number: int | None, scheme: str) -> None:
    certificate, key = a_certificate()
    told = f"{b64({'alg': scheme})}.{b64({'iss': 'app', 'exp': int(time.time()) + 60, **claims})}"
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if scheme == "PS256" else padding.PKCS1v15()
    signature = base64.urlsafe_b64encode(key.sign(told.encode(), how, hashes.SHA256())).decode().rstrip("=")
    form = {"grant_type": "client_credentials", "client_id": "app", "client_assertion_type": JWT}
    body = urlencode({**form, "client_assertion": f"{told}.{signature}"}).encode()
    try:
        Login(TENANT_ID, {}, {"app": certificate}, ()).token(body)
        found = None
    except LoginError as error:
        found = error.body["error_codes"][0]
    assert found == number


def test_the_address_of_a_session_is_at_its_own_host_and_takes_no_token(face: Face) -> None:
    draft = face.good("POST", "messages", {}, status=201)["id"]
    asked = {"AttachmentItem": {"attachmentType": "file", "name": "x", "size": 1}}
    upload = face.good("POST", f"messages/{draft}/attachments/createUploadSession", asked, status=201)["uploadUrl"]
    url, body = face.import_address(), face.import_body(Item(subject="one"))
    for address, method in ((url, "POST"), (upload, "GET")):
        assert face.refused(method, address, body) == (401, "InvalidAuthenticationToken")
        there = address.partition("/api/")
        moved = f"{face.lab.graph_url}/api/{there[2]}"
        assert face.refused(method, moved, body, headers=PLAIN) == (404, "ResourceNotFound")
        assert face.refused("GET", f"{there[0]}/v1.0/users/{face.mailbox.address}") == (404, "ResourceNotFound")
    assert [item.id for item in face.mailbox.items_in(face.box("inbox").id)] == []
