"""An app gets a token only for what it can prove, by msal as everybody signs in; a token lets in for its time and no longer."""

from __future__ import annotations

import base64
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from connectors.errors import Halt
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.graph.endpoint import Tenant
from connectors.lab import stream
from connectors.lab.login import Login
from connectors.lab.people import an_empty, target_for
from connectors.lab.server import CLIENT_ID, TENANT_ID, Lab, LabPlan
from connectors.lab.truth import Box, Estate, Item, Mailbox

_NUMBERS = itertools.count(5000)
BUILD = (15, 1, 2507)


@dataclass
class Face:
    """One mailbox of the tenant as an app sees it, and the truth behind it."""

    lab: Lab
    session: requests.Session
    mailbox: Mailbox

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> requests.Response:
        """``path`` below the user, below the mailbox of the import interface (``admin/…``), or a whole address."""
        if path.startswith("admin/"):
            path = f"{self.lab.graph_url}/v1.0/admin/exchange/mailboxes/{self.box_id}/{path[6:]}"
        elif not path.startswith("https:"):
            path = f"{self.lab.graph_url}/v1.0/users/{self.mailbox.address}/{path}".rstrip("/")
        if body is not None:
            more["json"] = body
        return self.session.request(method, path, timeout=20, **more)

    def good(self, method: str, path: str, body: object = None, status: int = 200, **more: Any) -> Any:
        answer = self.ask(method, path, body, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str]:
        answer = self.ask(method, path, body, **more)
        return answer.status_code, answer.json()["error"]["code"]

    @property
    def box_id(self) -> str:
        return f"MBX:{self.mailbox.guid}@{TENANT_ID}"

    def box(self, role: str) -> Box:
        found = self.mailbox.by_role(role)
        assert found is not None
        return found

    def put(self, role: str = "inbox", **fields: Any) -> Item:
        """An item that a user's own program left in the mailbox."""
        item = Item(id=secrets.token_hex(8), folder_id=self.box(role).id, search_key=secrets.token_bytes(16), **fields)
        with self.mailbox.lock:
            return self.mailbox.add(item)

    def only(self, role: str = "inbox") -> Item:
        [item] = self.mailbox.items_in(self.box(role).id)
        return item

    def folder_id(self, role: str) -> str:
        return str(self.good("GET", f"mailFolders/{role}")["id"])

    def import_address(self) -> str:
        return str(self.good("POST", "admin/createImportSession", status=201)["importUrl"])

    def import_body(self, item: Item, role: str = "inbox", **more: str) -> dict[str, str]:
        data = base64.b64encode(stream.pack(item, BUILD)).decode()
        return {"FolderId": self.folder_id(role), "Mode": "create", "Data": data, **more}


def signed_in(lab: Lab) -> requests.Session:
    session = requests.Session()
    session.verify, session.trust_env = str(lab.ca_file), False
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": lab.secret, "scope": "x"}
    token = session.post(f"{lab.authority}/{TENANT_ID}/oauth2/v2.0/token", data=form, timeout=20).json()["access_token"]
    session.headers.update({"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"'})
    return session


def fresh(lab: Lab) -> Mailbox:
    """A target mailbox of the test's own."""
    estate = Estate()
    estate.add(an_empty(next(_NUMBERS), 1))
    (mailbox,) = target_for(estate).mailboxes.values()
    return lab.target.add(mailbox)


ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE = ["https://graph.microsoft.com/.default"]


def a_certificate(folder: Path) -> tuple[Path, str]:
    """A file with key and certificate, and the certificate alone as text."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "migration")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(Encoding.PEM)
    path = folder / "app.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + public)
    return path, public.decode()


def tenant_of(lab: Lab, **more: Any) -> Tenant:
    """The lab's tenant as an app registration sees it."""
    given: dict[str, Any] = {
        "tenant_id": TENANT_ID,
        "client_id": CLIENT_ID,
        "secret": lab.secret,
        "graph_url": lab.graph_url,
        "authority": lab.authority,
        "ca_file": str(lab.ca_file),
        "timeout": 20,
    }
    return Tenant(**{**given, **more})


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return a_certificate(tmp_path_factory.mktemp("registered"))


@pytest.fixture(scope="module")
def lab(keys: tuple[Path, str]) -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0, tenant={"certificates": {CLIENT_ID: keys[1]}})) as lab:
        yield lab


@pytest.fixture
def plain(lab: Lab) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.verify, session.trust_env = str(lab.ca_file), False
        yield session


def ask(lab: Lab, session: requests.Session, **form: str) -> tuple[int, Any]:
    given = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": lab.secret, **form}
    answer = session.post(f"{lab.authority}/{TENANT_ID}/oauth2/v2.0/token", data=given, timeout=20)
    return answer.status_code, answer.json()


def by_msal(lab: Lab, session: requests.Session, credential: object) -> dict[str, Any]:
    app = msal.ConfidentialClientApplication(
        CLIENT_ID,
        authority=f"{lab.authority}/{TENANT_ID}",
        client_credential=credential,
        instance_discovery=False,
        http_client=session,
    )
    return dict(app.acquire_token_for_client(SCOPE))


def pem_parts(path: Path) -> dict[str, str]:
    text = path.read_text("ascii")
    return {"private_key": text, "public_certificate": text[text.index("-----BEGIN CERTIFICATE") :]}


def read_folder(lab: Lab, session: requests.Session, token: str) -> requests.Response:
    mailbox = next(iter(lab.target.mailboxes))
    path = f"{lab.graph_url}/v1.0/users/{mailbox}/mailFolders/inbox"
    return session.get(path, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def test_a_secret_signs_in_and_its_token_lets_in(lab: Lab, plain: requests.Session) -> None:
    answer = by_msal(lab, plain, lab.secret)
    assert (answer["token_type"], read_folder(lab, plain, answer["access_token"]).status_code) == ("Bearer", 200)


def test_a_certificate_signs_in_by_msal(lab: Lab, plain: requests.Session, keys: tuple[Path, str]) -> None:
    answer = by_msal(lab, plain, pem_parts(keys[0]))
    assert read_folder(lab, plain, answer["access_token"]).status_code == 200


def test_another_certificate_does_not(lab: Lab, plain: requests.Session, tmp_path: Path) -> None:
    assert by_msal(lab, plain, pem_parts(a_certificate(tmp_path)[0]))["error_codes"] == [700027]


@pytest.mark.parametrize(
    ("wrong", "number"), [({"exp": 1}, 700024), ({"iss": "other"}, 700024), ({}, None), ({"print": 1}, 700027)]
)
def test_an_assertion_is_good_for_one_app_one_certificate_and_its_time(
    lab: Lab, plain: requests.Session, keys: tuple[Path, str], wrong: dict[str, Any], number: int | None
) -> None:
    certificate = x509.load_pem_x509_certificate(keys[1].encode())
    print_ = b"?" * 32 if "print" in wrong else certificate.fingerprint(hashes.SHA256())
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "exp": datetime.now(UTC) + timedelta(minutes=5), **wrong}
    headers = {"x5t#S256": base64.urlsafe_b64encode(print_).decode().rstrip("=")}
    key = load_pem_private_key(keys[0].read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    signed = jwt.encode(claims, key, "PS256", headers)
    _, body = ask(lab, plain, client_assertion=signed, client_assertion_type=ASSERTION)
    assert body.get("error_codes", [None]) == [number]


def test_our_own_client_signs_in_either_way(lab: Lab, keys: tuple[Path, str]) -> None:
    mailbox = fresh(lab)
    for credential in ({}, {"secret": None, "certificate": str(keys[0])}):
        client = GraphClient(tenant_of(lab, **credential))
        try:
            assert GraphDestination(client, mailbox.address).claim() is None
        finally:
            client.close()


def test_a_wrong_secret_stops_our_client_and_is_not_shown(lab: Lab) -> None:
    client = GraphClient(tenant_of(lab, secret="guessed-wrong"))
    try:
        with pytest.raises(Halt) as caught:
            GraphDestination(client, fresh(lab).address).claim()
    finally:
        client.close()
    assert (caught.value.code, "guessed" in str(caught.value)) == ("AADSTS7000215", False)


@pytest.mark.parametrize(
    ("form", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "nobody"}, 401, 700016),
        ({"grant_type": "password"}, 401, 70003),
        ({"client_assertion": "a.b.c"}, 401, 700027),
        ({"client_assertion": "no assertion", "client_assertion_type": "x"}, 401, 700027),
    ],
)
def test_what_proves_nothing_gets_no_token(
    lab: Lab, plain: requests.Session, form: dict[str, str], status: int, number: int
) -> None:
    answered, body = ask(lab, plain, **form)
    assert (answered, body["error_codes"], "access_token" in body) == (status, [number], False)


def test_no_token_and_a_made_up_one_let_nobody_in(lab: Lab, plain: requests.Session) -> None:
    for token in ("", "made.up.token"):
        answer = read_folder(lab, plain, token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_is_known_for_its_time_only() -> None:
    login = Login(TENANT_ID, {"app": "s"}, {}, ())
    form = b"grant_type=client_credentials&client_id=app&client_secret=s"
    assert login.app_of(login.token(form)["access_token"]) == ("app", False)
    assert login.app_of(login.token(form + b"&claims=x")["access_token"]) == ("app", True)
    login.seconds = -1
    assert login.app_of(login.token(form)["access_token"]) is None


def test_a_challenge_is_met_by_a_token_with_claims_only(lab: Lab, plain: requests.Session, monkeypatch: Any) -> None:
    monkeypatch.setattr(lab.options[1], "need_claims", True)
    answer = read_folder(lab, plain, ask(lab, plain)[1]["access_token"])
    assert answer.status_code == 401
    assert "insufficient_claims" in answer.headers["WWW-Authenticate"]
    assert read_folder(lab, plain, ask(lab, plain, claims="{}")[1]["access_token"]).status_code == 200
    client = GraphClient(tenant_of(lab))
    try:
        assert GraphDestination(client, fresh(lab).address).claim() is None
    finally:
        client.close()


def test_where_to_sign_in_is_told(lab: Lab, plain: requests.Session) -> None:
    told = plain.get(f"{lab.authority}/{TENANT_ID}/v2.0/.well-known/openid-configuration", timeout=20).json()
    assert told["token_endpoint"] == f"{lab.authority}/{TENANT_ID}/oauth2/v2.0/token"
