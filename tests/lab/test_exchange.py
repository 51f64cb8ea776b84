"""The simulated Exchange server speaks EWS as the schema and the documented behaviour have it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree
from requests_ntlm import HttpNtlmAuth

from connectors.lab import exchange_mime
from connectors.lab.exchange import ExchangeOptions, busy_for, exchange_app
from connectors.lab.stream import partner, unpack
from connectors.lab.truth import Box, Estate, Item, Mailbox, Part, Person

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"
NS = {"s": SOAP, "m": MESSAGES, "t": TYPES, "e": ERRORS}
MOMENT = datetime(2021, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
APPOINTMENT = "00062002-0000-0000-c000-000000000046"
STRINGS = "00020329-0000-0000-c000-000000000046"
ANNA = "anna@lab.test"
NESTED = (
    b"From: n@x.test\r\nTo: m@x.test\r\nSubject: inner\r\nMessage-ID: <inner@x>\r\nDate: Thu, 04 Mar 2021 05:06:07 +0000\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
    b"--b\r\nContent-Type: application/x-thing\r\nContent-Disposition: attachment; filename=deep.bin\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"
)


def a_mail(number: int, folder: str = "f-inbox", **more: Any) -> Item:
    return Item(
        id=f"i-{number}",
        folder_id=folder,
        subject=f"mail <{number}> & Grüße",
        body_html=f"<p>{number}</p>",
        sender=Person("Sam", "sam@x.test"),
        author=Person("Ann", "ann@x.test"),
        to=[Person("To", "to@x.test")],
        message_id=f"<{number}@x.test>",
        search_key=number.to_bytes(16, "big"),
        submitted=MOMENT + timedelta(minutes=number),
        received=MOMENT + timedelta(minutes=number, seconds=5),
        created=MOMENT + timedelta(minutes=number, seconds=6),
        modified=MOMENT + timedelta(minutes=number, seconds=7),
        **more,
    )


def a_rich_mail() -> Item:
    rich = a_mail(900, is_read=True, importance=2, sensitivity=2, categories=["Red", "Blå"], flag="flagged", flag_due=MOMENT)
    rich.cc, rich.bcc = [Person("C", "/o=Lab/cn=Recipients/cn=c")], [Person("B", "b@x.test"), Person("only a name", "")]
    rich.reply_to = [Person("R", "r@x.test")]
    rich.in_reply_to, rich.references = "<0@x.test>", "<0@x.test> <00@x.test>"
    rich.headers = "Received: from a\r\n\tby b\r\nX-Thing: value <&>\r\n"
    rich.wants_read_receipt = True
    rich.body_text = "plain & text"
    rich.parts = [
        Part("a&b.pdf", "application/pdf", b"\x00pdf" * 10),
        Part("logo.png", "image/png", b"png", inline=True, content_id="logo@x"),
        Part("inner", "message/rfc822", NESTED, kind="message"),
    ]
    rich.extended = {
        "Integer 0x1080": 262,
        f"String {{{STRINGS}}} Name X-Test": "tést",
        f"StringArray {{{STRINGS}}} Name Many": ["a", "b"],
        f"Integer {{{APPOINTMENT}}} Id 0x8205": 2,
        "Binary 0x3FFF": b"\x01\x02",
    }
    return rich


def a_mailbox(address: str, name: str, guid: str) -> Mailbox:
    mailbox = Mailbox(address, name, guid, "f-root")
    mailbox.add_box(Box("f-root", None, "Top of Information Store", "IPF.Note", "msgfolderroot"))
    for own, shown, kind, role, parent in (
        ("f-inbox", "Posteingang", "IPF.Note", "inbox", "f-root"),
        ("f-sub", "Projekte & <mehr>", "IPF.Note", None, "f-inbox"),
        ("f-calendar", "Kalender", "IPF.Appointment", "calendar", "f-root"),
        ("f-contacts", "Kontakte", "IPF.Contact", "contacts", "f-root"),
        ("f-tasks", "Aufgaben", "IPF.Task", "tasks", "f-root"),
    ):
        mailbox.add_box(Box(own, parent, shown, kind, role))
    mailbox.add_box(Box("f-search", "f-root", "Ungelesen", extended={"Integer 0x3601": 2}))
    mailbox.add_box(Box("f-hidden", "f-root", "Versteckt", hidden=True))
    return mailbox


def an_estate() -> Estate:
    estate = Estate()
    anna = estate.add(a_mailbox(ANNA, "Anna Ärlig", "11111111-2222-3333-4444-555555555555"))
    for number in range(1, 31):
        anna.add(a_mail(number))
    anna.add(a_rich_mail())
    start: dict[str, object] = {
        f"SystemTime {{{APPOINTMENT}}} Id 0x820D": MOMENT,
        f"SystemTime {{{APPOINTMENT}}} Id 0x820E": MOMENT,
    }
    anna.add(replace(a_mail(901, "f-calendar"), item_class="IPM.Appointment", extended=start))
    anna.add(
        replace(a_mail(902, "f-contacts"), item_class="IPM.Contact", extended={"String 0x3A06": "Carl", "String 0x3A11": "Doe"})
    )
    anna.add(replace(a_mail(903, "f-contacts"), item_class="IPM.DistList"))
    anna.add(replace(a_mail(904, "f-tasks"), item_class="IPM.Task"))
    anna.add(replace(a_mail(905, "f-sub"), item_class="IPM.Post"))
    anna.add(replace(a_mail(906, "f-sub"), item_class="IPM.Activity"))
    anna.add(replace(a_mail(907, "f-sub"), item_class="IPM.Schedule.Meeting.Request"))
    anna.add(replace(a_mail(908, "f-sub"), item_class="IPM.Schedule.Meeting.Resp.Pos"))
    anna.add(replace(a_mail(909, "f-sub"), item_class="IPM.Schedule.Meeting.Canceled"))
    anna.add(replace(a_mail(910, "f-sub"), item_class="REPORT.IPM.Note.NDR"))
    estate.add(a_mailbox("ben@lab.test", "Ben Ärger", "99999999-2222-3333-4444-555555555555"))
    return estate


def the_options() -> ExchangeOptions:
    return ExchangeOptions(users={"LAB\\svc": "p w", "LAB\\plain": "x", ANNA: "own"}, impersonators={"lab\\SVC"})


class Served:
    """A running server, its truth, and a client that speaks to it; every exchange is written down."""

    def __init__(self, estate: Estate, options: ExchangeOptions, certificate: Path | None = None) -> None:
        self.estate, self.options, self.log, self.cookies = estate, options, list[dict[str, Any]](), 0
        self.url, self.tls = "", None if certificate is None else ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if self.tls is not None and certificate is not None:
            self.tls.load_cert_chain(certificate)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = ("LAB\\svc", "p w")

    @property
    def anna(self) -> Mailbox:
        return self.estate.mailboxes[ANNA]

    def post(self, body: bytes, **more: Any) -> requests.Response:
        headers = {"Content-Type": "text/xml; charset=utf-8", **more.pop("headers", {})}
        return self.session.post(self.url, data=body, headers=headers, timeout=20, **more)

    def ask(self, body: str, *, status: int = 200, address: str | None = ANNA, version: str = "Exchange2010_SP2") -> Any:
        sid = f"<t:ConnectingSID><t:PrimarySmtpAddress>{address}</t:PrimarySmtpAddress></t:ConnectingSID>"
        who = f"<t:ExchangeImpersonation>{sid}</t:ExchangeImpersonation>" if address else ""
        whole = (
            f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Header>'
            f'<t:RequestServerVersion Version="{version}"/>{who}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
        )
        response = self.post(whole.encode())
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"] == "text/xml; charset=utf-8"
        return etree.fromstring(response.content)

    def fault(self, body: str, **more: Any) -> Any:
        return self.ask(body, status=500, **more)


async def _serve(served: Served, ready: threading.Event, stop: threading.Event) -> None:
    @web.middleware
    async def journal(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        began, sent = time.time(), await request.read()
        response = await handler(request)
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes | None)
        served.log.append(
            {
                "method": request.method, "path": request.path, "query": request.query_string, "headers": dict(request.headers),
                "request_body": base64.b64encode(sent).decode(), "request_body_encoding": "base64", "status": response.status,
                "response_headers": dict(response.headers), "response_body_encoding": "base64",
                "response_body": base64.b64encode(response.body or b"").decode(), "t0": began, "t1": time.time(),
            }
        )  # fmt: skip
        return response

    app = exchange_app(served.estate, served.options)
    app.middlewares.append(journal)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served.tls)
    await site.start()
    served.url = f"http{'s' if served.tls else ''}://127.0.0.1:{runner.addresses[0][1]}/EWS/Exchange.asmx"
    ready.set()
    await asyncio.to_thread(stop.wait)
    await runner.cleanup()


@contextmanager
def running(
    estate: Estate | None = None, options: ExchangeOptions | None = None, certificate: Path | None = None
) -> Iterator[Served]:
    served = Served(estate or an_estate(), options or the_options(), certificate)
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(served, ready, stop)))
    thread.start()
    try:
        assert ready.wait(10)
        yield served
    finally:
        served.session.close()
        stop.set()
        thread.join(10)


@pytest.fixture
def served() -> Iterator[Served]:
    with running() as one:
        yield one
    check_against_the_schema(one.log)


def the_validator() -> Path:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "contracts"
    return Path(os.environ.get("MIGRATOR_CONTRACTS", beside)) / "validate_ews.py"


def check_against_the_schema(log: list[dict[str, Any]]) -> None:
    """Holds the answers of a log against the schema, where a validator stands beside the project.

    What it says of the requests is left out: some of them are wrong on purpose.
    """
    told = [one for one in log if one["status"] in (200, 500) and one["method"] == "POST"]
    if not the_validator().exists() or not told:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
        command = [sys.executable, str(the_validator()), str(path), "--schema", "se", "--max-show", "1000"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SOAP exchanges" in done.stdout, done.stderr
    wrong = [line for line in done.stdout.splitlines() if ": E " in line and not re.search(r":: (req\b|req:)", line)]
    assert not wrong, "\n".join(wrong[:20])


def test_answers_are_held_against_the_schema_where_it_is_at_hand(served: Served) -> None:
    if not the_validator().exists():
        pytest.skip("no validator beside the project: answers were not held against the schema")
    served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"))


# --- asking ---------------------------------------------------------------------------------------------------------------


def get_folder(ids: str, base: str = "Default", more: str = "") -> str:
    shape = f"<m:FolderShape><t:BaseShape>{base}</t:BaseShape>{more}</m:FolderShape>"
    return f"<m:GetFolder>{shape}<m:FolderIds>{ids}</m:FolderIds></m:GetFolder>"


def plus(*paths: str) -> str:
    return f"<t:AdditionalProperties>{''.join(paths)}</t:AdditionalProperties>"


def uri(name: str) -> str:
    return f'<t:FieldURI FieldURI="{name}"/>'


def tag(number: str, kind: str) -> str:
    return f'<t:ExtendedFieldURI PropertyTag="{number}" PropertyType="{kind}"/>'


def sync(state: str = "", limit: int = 512, shape: str = "", folder: str = "<t:DistinguishedFolderId Id='inbox'/>") -> str:
    told = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    return (
        f"<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>{shape}</m:ItemShape><m:SyncFolderId>{folder}</m:SyncFolderId>"
        f"{told}<m:MaxChangesReturned>{limit}</m:MaxChangesReturned></m:SyncFolderItems>"
    )


def get_item(ids: list[str], shape: str) -> str:
    wires = "".join(f'<t:ItemId Id="{wire}"/>' for wire in ids)
    return f"<m:GetItem><m:ItemShape>{shape}</m:ItemShape><m:ItemIds>{wires}</m:ItemIds></m:GetItem>"


def export(ids: list[str]) -> str:
    wires = "".join(f'<t:ItemId Id="{wire}"/>' for wire in ids)
    return f"<m:ExportItems><m:ItemIds>{wires}</m:ItemIds></m:ExportItems>"


ALL = "<t:BaseShape>AllProperties</t:BaseShape>"
ONLY_ID = "<t:BaseShape>IdOnly</t:BaseShape>"
SUBJECT = plus(uri("item:Subject"))


def found(root: Any, path: str) -> list[str]:
    return [str(one if isinstance(one, str) else one.text) for one in root.xpath(path, namespaces=NS)]


def only(root: Any, path: str) -> str:
    values = found(root, path)
    assert len(values) == 1, (path, values)
    return values[0]


def codes(root: Any) -> list[str]:
    return found(root, "//m:ResponseCode")


def fault_code(root: Any) -> str:
    return only(root, "//e:ResponseCode")


def wires_by_subject(served: Served, folder: str = "<t:DistinguishedFolderId Id='inbox'/>") -> dict[str, str]:
    root = served.ask(sync(shape=SUBJECT, folder=folder))
    return {
        one.findtext(f"{{{TYPES}}}Subject"): one.find(f"{{{TYPES}}}ItemId").get("Id")
        for one in root.xpath("//t:Create/*", namespaces=NS)
    }


def wire_of(served: Served, number: int, folder: str = "<t:DistinguishedFolderId Id='inbox'/>") -> str:
    return wires_by_subject(served, folder)[f"mail <{number}> & Grüße"]


def sub_folder(served: Served) -> str:
    root = served.ask(
        "<m:FindFolder Traversal='Deep'><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape><m:ParentFolderIds>"
        "<t:DistinguishedFolderId Id='msgfolderroot'/></m:ParentFolderIds></m:FindFolder>"
    )
    wire = only(root, "//t:Folder[t:DisplayName='Projekte & <mehr>']/t:FolderId/@Id")
    return f"<t:FolderId Id='{wire}'/>"


# --- signing in -----------------------------------------------------------------------------------------------------------


def test_a_stranger_is_told_how_to_sign_in(served: Served) -> None:
    served.session.auth = None
    answer = served.post(b"<x/>")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'NTLM, Basic realm="exchange.lab"'


def test_ntlm_signs_in_the_connection_and_not_the_request(served: Served) -> None:
    served.session.auth = HttpNtlmAuth("LAB\\svc", "p w")
    served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"))
    steps = [one["status"] for one in served.log]
    served.session.auth = None
    served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"))
    assert steps == [401, 401, 200]
    assert [one["status"] for one in served.log] == [401, 401, 200, 200]
    with requests.Session() as other:
        assert other.post(served.url, data=b"<x/>", headers={"Content-Type": "text/xml"}, timeout=20).status_code == 401


@pytest.mark.parametrize(("name", "word"), [("LAB\\svc", "wrong"), ("LAB\\nobody", "p w"), ("OTHER\\svc", "p w"), ("svc", "p w")])
def test_ntlm_lets_nobody_in_with_a_wrong_name_or_password(served: Served, name: str, word: str) -> None:
    served.session.auth = HttpNtlmAuth(name, word)
    assert served.post(b"<x/>").status_code == 401


def test_ntlm_knows_users_by_their_address_too(served: Served) -> None:
    served.session.auth = HttpNtlmAuth(ANNA, "own")
    served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"), address=None)


@pytest.mark.parametrize("given", ["NTLM", "NTLM !!!", "NTLM AAAA", "Basic AAAA", "Bearer x", "NTLM TlRMTVNTUAADAAAA"])
def test_nonsense_in_place_of_credentials_is_a_401(served: Served, given: str) -> None:
    served.session.auth = None
    assert served.post(b"<x/>", headers={"Authorization": given}).status_code == 401


def test_basic_is_judged_request_by_request(served: Served) -> None:
    served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"))
    served.session.auth = ("LAB\\svc", "wrong")
    assert served.post(b"<x/>").status_code == 401
    served.session.auth = None
    assert served.post(b"<x/>").status_code == 401


def test_only_the_schemes_that_are_configured_are_taken() -> None:
    options = the_options()
    options.auth = ("negotiate", "ntlm")
    with running(options=options) as served:
        answer = served.post(b"<x/>")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Negotiate, NTLM"


def test_two_servers_in_one_process_keep_their_users_apart() -> None:
    other = ExchangeOptions(users={"LAB\\svc": "another"}, impersonators={"LAB\\svc"})
    with running() as one, running(options=other) as two:
        for served, word, status in ((one, "p w", 200), (two, "p w", 401), (two, "another", 200), (one, "another", 401)):
            served.session.auth = HttpNtlmAuth("LAB\\svc", word)
            served.session.close()
            answer = served.session.get(served.url, timeout=20)
            assert answer.status_code == status
    assert "NTLM_USER_FILE" not in os.environ


def a_certificate(folder: Path) -> tuple[Path, bytes]:
    """A file with a key and its own certificate, and the hash by which NTLM is bound to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    begin = datetime.now(UTC) - timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, begin + timedelta(days=9))
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "lab.pem"
    path.write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()) + certificate.public_bytes(pem))
    return path, hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def test_ntlm_can_be_bound_to_the_certificate(tmp_path: Path) -> None:
    path, fingerprint = a_certificate(tmp_path)
    options = the_options()
    options.channel_binding = fingerprint
    with running(options=options, certificate=path) as served:
        served.session.verify = str(path)
        for bound, status in ((True, 200), (False, 401)):
            served.session.close()
            served.session.auth = HttpNtlmAuth("LAB\\svc", "p w", send_cbt=bound)
            assert served.session.get(served.url, timeout=20).status_code == status


# --- the envelope ---------------------------------------------------------------------------------------------------------


def test_the_answer_tells_the_build(served: Served) -> None:
    root = served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>"))
    info = root.find(f".//{{{TYPES}}}ServerVersionInfo").attrib
    assert dict(info) == {
        "MajorVersion": "15", "MinorVersion": "1", "MajorBuildNumber": "2507", "MinorBuildNumber": "66", "Version": "V2017_07_11",
    }  # fmt: skip
    headers = served.log[-1]["response_headers"]
    assert headers["X-OWA-Version"] == "15.1.2507.66"
    assert {"request-id", "X-FEServer", "X-TargetBEServer"} <= headers.keys()


def test_impersonation_needs_a_mailbox_and_the_right(served: Served) -> None:
    ask = get_folder("<t:DistinguishedFolderId Id='inbox'/>")
    assert fault_code(served.fault(ask, address="nobody@lab.test")) == "ErrorNonExistentMailbox"
    served.options.impersonation_scope = {"BEN@lab.test"}
    assert fault_code(served.fault(ask)) == "ErrorImpersonateUserDenied"
    served.ask(ask, address="Ben@LAB.test")
    served.session.auth = ("LAB\\plain", "x")
    assert fault_code(served.fault(ask)) == "ErrorImpersonateUserDenied"
    assert fault_code(served.fault(ask, address=None)) == "ErrorNonExistentMailbox"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<m:Nonsense/>", "ErrorInvalidOperation"),
        ("<m:CreateItem/>", "ErrorInvalidOperation"),
        ("<m:GetFolder/>", "ErrorSchemaValidation"),
        ("<t:GetFolder/>", "ErrorSchemaValidation"),
        ("", "ErrorInvalidRequest"),
        (sync(limit=513), "ErrorSchemaValidation"),
        (sync(limit=0), "ErrorSchemaValidation"),
        (sync(shape=plus(uri("nothing:Here"))), "ErrorSchemaValidation"),
        (sync(shape=plus(tag("0x300B", "Bytes"))), "ErrorSchemaValidation"),
        (
            sync(shape=plus("<t:ExtendedFieldURI PropertyTag='0x1' PropertyName='x' PropertyType='String'/>")),
            "ErrorSchemaValidation",
        ),
        (get_item([], ONLY_ID), "ErrorSchemaValidation"),
        ("<m:GetItem><m:ItemIds/><m:ItemShape/></m:GetItem>", "ErrorSchemaValidation"),
    ],
)
def test_a_request_that_breaks_the_schema_fails_as_a_whole(served: Served, body: str, code: str) -> None:
    assert fault_code(served.fault(body)) == code


def test_xml_that_is_none_and_versions_that_are_none_are_faults(served: Served) -> None:
    answer = served.post(b"<broken")
    assert (answer.status_code, fault_code(etree.fromstring(answer.content))) == (500, "ErrorSchemaValidation")
    ask = get_folder("<t:DistinguishedFolderId Id='inbox'/>")
    assert fault_code(served.fault(ask, version="V2_23")) == "ErrorInvalidServerVersion"
    served.options.build = "14.3.513.0"
    assert fault_code(served.fault(ask, version="Exchange2013")) == "ErrorIncorrectSchemaVersion"
    served.ask(ask)


def test_another_content_type_is_not_taken(served: Served) -> None:
    assert served.post(b"<x/>", headers={"Content-Type": "application/json"}).status_code == 415


def test_a_busy_server_says_when_to_come_back(served: Served) -> None:
    served.options.busy = busy_for(2, 4321)
    ask = get_folder("<t:DistinguishedFolderId Id='inbox'/>")
    for _ in range(2):
        root = served.fault(ask)
        assert fault_code(root) == "ErrorServerBusy"
        assert only(root, "//t:Value[@Name='BackOffMilliseconds']") == "4321"
    served.ask(ask)


# --- folders --------------------------------------------------------------------------------------------------------------

STAMPS = plus(
    tag("0x3601", "Integer"), tag("0x10F4", "Boolean"), tag("0x0E08", "Long"), tag("0x3613", "String"),
    tag("0x670A", "SystemTime"), tag("0x670B", "Integer"), uri("folder:FolderClass"), uri("folder:ParentFolderId"),
)  # fmt: skip


def test_folders_are_told_in_the_order_of_their_ids(served: Served) -> None:
    ids = "".join(f"<t:DistinguishedFolderId Id='{name}'/>" for name in ("inbox", "archivemsgfolderroot", "calendar"))
    root = served.ask(get_folder(ids, more=STAMPS))
    assert codes(root) == ["NoError", "ErrorFolderNotFound", "NoError"]
    assert found(root, "//t:DisplayName") == ["Posteingang", "Kalender"]
    assert found(root, "//t:TotalCount") == ["31", "1"]
    assert found(root, "//t:UnreadCount") == ["30"]
    assert found(root, "//t:CalendarFolder/t:FolderClass") == ["IPF.Appointment"]


def test_a_folder_s_stamps_tell_every_change(served: Served) -> None:
    def stamps() -> list[str]:
        return found(served.ask(get_folder("<t:DistinguishedFolderId Id='inbox'/>", more=STAMPS)), "//t:Value")

    seen = [stamps()]
    served.anna.add(a_mail(31))
    seen.append(stamps())
    served.anna.touch(served.anna.items["i-31"], "read")
    seen.append(stamps())
    served.anna.remove("i-31")
    seen.append(stamps())
    assert len({tuple(one) for one in seen}) == 4
    served.options.change_stamps = False
    assert len(stamps()) == len(seen[0]) - 2


def test_find_folder_goes_deep_and_by_pages(served: Served) -> None:
    def ask(traversal: str, view: str) -> Any:
        return served.ask(
            f"<m:FindFolder Traversal='{traversal}'><m:FolderShape><t:BaseShape>AllProperties</t:BaseShape></m:FolderShape>{view}"
            "<m:ParentFolderIds><t:DistinguishedFolderId Id='msgfolderroot'/></m:ParentFolderIds></m:FindFolder>",
            version="Exchange2013",
        )

    names, offset = [], 0
    while True:
        root = ask("Deep", f"<m:IndexedPageFolderView MaxEntriesReturned='3' Offset='{offset}' BasePoint='Beginning'/>")
        names += found(root, "//t:DisplayName")
        if only(root, "//m:RootFolder/@IncludesLastItemInRange") == "true":
            break
        offset = int(only(root, "//m:RootFolder/@IndexedPagingOffset"))
    assert sorted(names) == sorted(box.name for box in served.anna.walk())
    assert "Projekte & <mehr>" not in found(ask("Shallow", ""), "//t:DisplayName")


def hierarchy(state: str = "") -> str:
    told = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    return (
        f"<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>AllProperties</t:BaseShape>{STAMPS}</m:FolderShape>"
        f"<m:SyncFolderId><t:DistinguishedFolderId Id='msgfolderroot'/></m:SyncFolderId>{told}</m:SyncFolderHierarchy>"
    )


def test_the_folder_tree_is_told_once_and_then_its_changes(served: Served) -> None:
    first = served.ask(hierarchy())
    assert len(found(first, "//t:Create/*/t:FolderId/@Id")) == 7
    state = only(first, "//m:SyncState")
    served.anna.add_box(Box("f-new", "f-inbox", "Neu"))
    served.anna.boxes["f-sub"].name = "Umbenannt"
    served.anna.boxes["f-sub"].change = served.anna.tick("folder-edit", "f-sub")
    del served.anna.boxes["f-hidden"]
    served.anna.tick("folder-gone", "f-hidden")
    second = served.ask(hierarchy(state))
    assert found(second, "//t:Create/*/t:DisplayName") == ["Neu"]
    assert found(second, "//t:Update/*/t:DisplayName") == ["Umbenannt"]
    assert len(found(second, "//t:Delete/t:FolderId/@Id")) == 1
    assert not found(served.ask(hierarchy(only(second, "//m:SyncState"))), "//m:Changes/*/*")
    other = served.ask(hierarchy(state).replace("msgfolderroot", "inbox"))
    assert codes(other) == ["ErrorInvalidSyncStateData"]


# --- items of a folder ----------------------------------------------------------------------------------------------------

FACTS = plus(
    uri("item:Size"), uri("item:ItemClass"), uri("item:DateTimeReceived"), uri("item:DateTimeSent"), uri("item:DateTimeCreated"),
    uri("item:Subject"), uri("message:InternetMessageId"), uri("message:IsReadReceiptRequested"), uri("message:IsRead"),
    tag("0x3008", "SystemTime"), tag("0x300B", "Binary"), tag("0x1035", "String"), tag("0x0039", "SystemTime"),
    tag("0x0029", "Boolean"),
)  # fmt: skip


def test_a_folder_is_listed_newest_first_by_pages(served: Served) -> None:
    subjects, state, pages = [], "", 0
    while True:
        root = served.ask(sync(state, 10, FACTS))
        subjects += found(root, "//t:Create/t:Message/t:Subject")
        state, pages = only(root, "//m:SyncState"), pages + 1
        if only(root, "//m:IncludesLastItemInRange") == "true":
            break
    assert pages == 4
    assert subjects == [item.subject for item in reversed(served.anna.items_in("f-inbox"))]


def test_a_listing_tells_what_a_planner_needs(served: Served) -> None:
    root = served.ask(sync(shape=FACTS))
    rich = root.xpath("//t:Message[t:Subject='mail <900> & Grüße']", namespaces=NS)[0]
    assert found(rich, "t:ExtendedProperty/t:Value") == [
        "2021-03-04T20:06:14Z", base64.b64encode((900).to_bytes(16, "big")).decode(), "<900@x.test>",
        "2021-03-04T20:06:07Z", "true",
    ]  # fmt: skip
    assert only(rich, "t:DateTimeReceived") == "2021-03-04T20:06:12Z"
    assert only(rich, "t:Size") == str(served.anna.items["i-900"].size)
    assert only(rich, "t:IsRead") == "true"


def test_what_happens_during_and_after_the_listing_is_told(served: Served) -> None:
    first = served.ask(sync(limit=20))
    anna, state = served.anna, only(first, "//m:SyncState")
    anna.remove("i-1")
    anna.add(a_mail(50))
    anna.items["i-2"].is_read = True
    anna.touch(anna.items["i-2"], "read")
    second = served.ask(sync(state, 20, SUBJECT))
    assert only(second, "//m:IncludesLastItemInRange") == "false"
    assert len(found(second, "//t:Create")) == 10
    anna.touch(anna.items["i-3"], "read")
    anna.touch(anna.items["i-3"], "edit")
    anna.add(a_mail(51))
    anna.remove("i-51")
    third = served.ask(sync(only(second, "//m:SyncState"), 20, SUBJECT))
    assert found(third, "//t:Create/t:Message/t:Subject") == ["mail <50> & Grüße"]
    assert found(third, "//t:Update/t:Message/t:Subject") == ["mail <3> & Grüße"]
    assert found(third, "//t:ReadFlagChange/t:IsRead") == ["true"]
    assert len(found(third, "//t:Delete/t:ItemId/@Id")) == 1
    assert only(third, "//m:IncludesLastItemInRange") == "true"
    assert not found(served.ask(sync(only(third, "//m:SyncState"))), "//m:Changes/*")
    assert found(served.ask(sync(state, 20)), "//t:Create/*/t:ItemId/@Id") == found(second, "//t:Create/*/t:ItemId/@Id")


def test_many_changes_are_told_by_pages_without_losing_one(served: Served) -> None:
    state = only(served.ask(sync()), "//m:SyncState")
    for number in range(100, 125):
        served.anna.add(a_mail(number))
    told, last = [], "false"
    while last == "false":
        root = served.ask(sync(state, 10, SUBJECT))
        told += found(root, "//t:Create/*/t:Subject")
        state, last = only(root, "//m:SyncState"), only(root, "//m:IncludesLastItemInRange")
    assert sorted(told) == sorted(f"mail <{number}> & Grüße" for number in range(100, 125))


def test_a_state_that_is_broken_foreign_or_outlived_is_refused(served: Served) -> None:
    state = only(served.ask(sync()), "//m:SyncState")
    assert state.startswith("H4sI")
    for spoiled in ("x", state[:-8], state[:20] + "A" + state[21:], base64.b64encode(b"\x1f\x8b").decode()):
        root = served.ask(sync(spoiled))
        assert codes(root) == ["ErrorInvalidSyncStateData"]
        assert not found(root, "//m:Changes")
    assert codes(served.ask(sync(state, folder="<t:DistinguishedFolderId Id='calendar'/>"))) == ["ErrorInvalidSyncStateData"]
    assert codes(served.ask(sync(state), address="ben@lab.test")) == ["ErrorInvalidSyncStateData"]
    assert codes(served.ask(sync(state))) == ["NoError"]
    served.options.sync_epoch = 1
    assert codes(served.ask(sync(state))) == ["ErrorInvalidSyncStateData"]


def test_some_folders_and_shapes_can_not_be_listed(served: Served) -> None:
    assert codes(served.ask(sync(folder="<t:DistinguishedFolderId Id='archiveinbox'/>"))) == ["ErrorSyncFolderNotFound"]
    served.options.refuse_additional_in_sync = True
    assert codes(served.ask(sync(shape=SUBJECT))) == ["ErrorInvalidPropertyRequest"]
    assert codes(served.ask(sync())) == ["NoError"]


def test_ids_look_like_those_of_exchange(served: Served) -> None:
    root = served.ask(sync())
    wires = found(root, "//t:ItemId/@Id")
    assert len(set(wires)) == 31
    assert all(len(wire) == 152 and "+" in wire and "/" in wire and wire.endswith("=") for wire in wires)
    before = only(served.ask(get_item([wires[0]], ONLY_ID)), "//t:ItemId/@ChangeKey")
    served.anna.touch(served.anna.items["i-900"])
    assert only(served.ask(get_item([wires[0]], ONLY_ID)), "//t:ItemId/@ChangeKey") != before
    assert codes(served.ask(get_item([wires[0].swapcase()], ONLY_ID)))[0].startswith("ErrorInvalidId")


def find_item(more: str = "", order: str = "", traversal: str = "Shallow") -> str:
    return (
        f"<m:FindItem Traversal='{traversal}'><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>{SUBJECT}</m:ItemShape>{more}{order}"
        "<m:ParentFolderIds><t:DistinguishedFolderId Id='inbox'/></m:ParentFolderIds></m:FindItem>"
    )


def test_find_item_pages_sorts_and_restricts(served: Served) -> None:
    served.options.find_page = 12
    subjects, offset, last = [], 0, "false"
    order = f"<m:SortOrder><t:FieldOrder Order='Ascending'>{uri('item:DateTimeReceived')}</t:FieldOrder></m:SortOrder>"
    while last == "false":
        view = f"<m:IndexedPageItemView MaxEntriesReturned='1000' Offset='{offset}' BasePoint='Beginning'/>"
        root = served.ask(find_item(view, order))
        subjects += found(root, "//t:Subject")
        last = only(root, "//m:RootFolder/@IncludesLastItemInRange")
        offset = int(only(root, "//m:RootFolder/@IndexedPagingOffset"))
    assert subjects == [item.subject for item in served.anna.items_in("f-inbox")]
    constant = "<t:FieldURIOrConstant><t:Constant Value='&lt;7@x.test&gt;'/></t:FieldURIOrConstant>"
    test = f"<m:Restriction><t:IsEqualTo>{tag('0x1035', 'String')}{constant}</t:IsEqualTo></m:Restriction>"
    assert found(served.ask(find_item(test)), "//t:Subject") == ["mail <7> & Grüße"]
    assert found(served.ask(find_item(traversal="Associated")), "//t:Subject") == []


# --- one item -------------------------------------------------------------------------------------------------------------


def test_a_message_shows_all_it_has(served: Served) -> None:
    paths = plus(
        tag("0x1080", "Integer"), tag("0x3fff", "Binary"), tag("0x1090", "Integer"), tag("0x0E07", "Integer"),
        tag("0x4711", "String"),
        f'<t:ExtendedFieldURI PropertySetId="{STRINGS.upper()}" PropertyName="X-Test" PropertyType="String"/>',
        '<t:ExtendedFieldURI DistinguishedPropertySetId="PublicStrings" PropertyName="Many" PropertyType="StringArray"/>',
        '<t:ExtendedFieldURI DistinguishedPropertySetId="PublicStrings" PropertyName="Keywords" PropertyType="StringArray"/>',
        '<t:ExtendedFieldURI DistinguishedPropertySetId="Appointment" PropertyId="33285" PropertyType="Integer"/>',
        '<t:ExtendedFieldURI DistinguishedPropertySetId="Task" PropertyId="33029" PropertyType="SystemTime"/>',
        '<t:ExtendedFieldURI DistinguishedPropertySetId="InternetHeaders" PropertyName="x-thing" PropertyType="String"/>',
    )  # fmt: skip
    wire = wire_of(served, 900)
    root = served.ask(get_item([wire], ALL + paths), version="Exchange2013")
    one = root.xpath("//m:Items/t:Message", namespaces=NS)[0]
    assert only(one, "t:ItemId/@Id") == wire
    assert only(one, "t:Body") == "<p>900</p>"
    assert only(one, "t:Body/@BodyType") == "HTML"
    assert (only(one, "t:Importance"), only(one, "t:Sensitivity")) == ("High", "Private")
    assert found(one, "t:Categories/t:String") == ["Red", "Blå"]
    assert only(one, "t:From/t:Mailbox/t:EmailAddress") == "ann@x.test"
    assert only(one, "t:Sender/t:Mailbox/t:EmailAddress") == "sam@x.test"
    assert only(one, "t:CcRecipients/t:Mailbox/t:RoutingType") == "EX"
    assert found(one, "t:BccRecipients/t:Mailbox/t:Name") == ["B", "only a name"]
    assert found(one, "t:BccRecipients/t:Mailbox/t:EmailAddress") == ["b@x.test"]
    assert only(one, "t:ReplyTo/t:Mailbox/t:EmailAddress") == "r@x.test"
    assert (only(one, "t:InReplyTo"), only(one, "t:References")) == ("<0@x.test>", "<0@x.test> <00@x.test>")
    assert (only(one, "t:Flag/t:FlagStatus"), only(one, "t:Flag/t:DueDate")) == ("Flagged", "2021-03-04T05:06:07Z")
    assert found(one, "t:InternetMessageHeaders/t:InternetMessageHeader") == ["from a by b", "value <&>"]
    assert only(one, "t:HasAttachments") == "true"
    assert found(one, "t:Attachments/t:FileAttachment/t:Name") == ["a&b.pdf", "logo.png"]
    assert found(one, "t:Attachments/*/t:IsInline") == ["false", "true", "false"]
    assert found(one, "t:Attachments/t:ItemAttachment/t:Name") == ["inner"]
    assert found(one, "t:ExtendedProperty//t:Value") == [
        "262", "AQI=", "2", "17", "tést", "a", "b", "Red", "Blå", "2", "2021-03-04T05:06:07Z", "value <&>",
    ]  # fmt: skip
    as_text = served.ask(get_item([wire], ONLY_ID + "<t:BodyType>Text</t:BodyType>" + plus(uri("item:Body"))))
    assert only(as_text, "//t:Body") == "plain & text"


def test_every_class_is_shown_as_its_own_element(served: Served) -> None:
    sub = sub_folder(served)
    for number, element, folder in (
        (901, "CalendarItem", "<t:DistinguishedFolderId Id='calendar'/>"),
        (902, "Contact", "<t:DistinguishedFolderId Id='contacts'/>"),
        (903, "DistributionList", "<t:DistinguishedFolderId Id='contacts'/>"),
        (904, "Task", "<t:DistinguishedFolderId Id='tasks'/>"),
        (905, "PostItem", sub), (906, "Item", sub), (907, "MeetingRequest", sub), (908, "MeetingResponse", sub),
        (909, "MeetingCancellation", sub), (910, "Message", sub),
    ):  # fmt: skip
        wire = wire_of(served, number, folder)
        for base in (ALL, "<t:BaseShape>Default</t:BaseShape>"):
            root = served.ask(get_item([wire], base), version="Exchange2013_SP1")
            assert [etree.QName(one).localname for one in root.xpath("//m:Items/*", namespaces=NS)] == [element]


def test_what_fails_in_a_batch_fails_alone_and_in_its_place(served: Served) -> None:
    good, gone, bad = wire_of(served, 1), wire_of(served, 2), wire_of(served, 3)
    foreign = "A" * 152
    served.anna.remove("i-2")
    served.options.item_errors["i-3"] = "ErrorContentConversionFailed"
    wanted = ["NoError", "ErrorItemNotFound", "ErrorInvalidIdMalformed", "ErrorContentConversionFailed", "NoError"]
    shape = ONLY_ID + "<t:IncludeMimeContent>true</t:IncludeMimeContent>"
    assert codes(served.ask(get_item([good, gone, foreign, bad, good], shape))) == wanted
    assert codes(served.ask(export([good, gone, foreign, bad, good]))) == wanted
    assert codes(served.ask(get_item([bad], ONLY_ID))) == ["NoError"]
    stale = get_item([good], ONLY_ID).replace("/></m:ItemIds>", ' ChangeKey="AAAA"/></m:ItemIds>')
    assert codes(served.ask(stale)) == ["ErrorInvalidChangeKey"]


def test_mime_is_the_original_where_there_is_one_and_rendered_otherwise(served: Served) -> None:
    original = b"Subject: o\r\n\r\n\xff raw \x00"
    served.anna.items["i-1"].mime = original
    shape = ONLY_ID + "<t:IncludeMimeContent>true</t:IncludeMimeContent>"
    root = served.ask(get_item([wire_of(served, 1), wire_of(served, 900)], shape))
    first, second = [base64.b64decode(text) for text in found(root, "//t:MimeContent")]
    assert first == original
    mail = message_from_bytes(second)
    assert mail["Message-ID"] == "<900@x.test>"
    kinds = [part.get_content_type() for part in mail.walk()]
    assert {"text/plain", "text/html", "application/pdf", "image/png", "message/rfc822"} <= set(kinds)
    contacts = wires_by_subject(served, "<t:DistinguishedFolderId Id='contacts'/>")
    both = [contacts["mail <902> & Grüße"], contacts["mail <903> & Grüße"]]
    root = served.ask(get_item(both, shape))
    assert codes(root) == ["NoError", "ErrorUnsupportedMimeConversion"]
    assert base64.b64decode(only(root, "//t:MimeContent")).startswith(b"BEGIN:VCARD")
    by_path = served.ask(get_item(both, ONLY_ID + plus(uri("item:MimeContent"))))
    assert (codes(by_path), len(found(by_path, "//t:MimeContent"))) == (["NoError", "NoError"], 1)


def test_attachments_are_fetched_by_ids_that_end_with_the_version(served: Served) -> None:
    def ask(wires: list[str], shape: str = "") -> Any:
        ids = "".join(f'<t:AttachmentId Id="{wire}"/>' for wire in wires)
        return served.ask(f"<m:GetAttachment>{shape}<m:AttachmentIds>{ids}</m:AttachmentIds></m:GetAttachment>")

    wires = found(served.ask(get_item([wire_of(served, 900)], ALL)), "//t:AttachmentId/@Id")
    root = ask(wires, "<m:AttachmentShape><t:IncludeMimeContent>true</t:IncludeMimeContent></m:AttachmentShape>")
    assert [base64.b64decode(text) for text in found(root, "//t:FileAttachment/t:Content")] == [b"\x00pdf" * 10, b"png"]
    nested = root.xpath("//t:ItemAttachment/t:Message", namespaces=NS)[0]
    assert base64.b64decode(only(nested, "t:MimeContent")) == NESTED
    assert (only(nested, "t:Subject"), only(nested, "t:Body")) == ("inner", "hello")
    assert only(nested, "t:From/t:Mailbox/t:EmailAddress") == "n@x.test"
    deep = only(nested, "t:Attachments/t:FileAttachment/t:AttachmentId/@Id")
    assert base64.b64decode(only(ask([deep]), "//t:Content")) == b"\x00\x01\x02"
    served.anna.touch(served.anna.items["i-900"])
    assert codes(ask([wires[0], "x"])) == ["ErrorInvalidAttachmentId", "ErrorInvalidAttachmentId"]


def test_export_gives_a_stream_that_holds_the_whole_item(served: Served) -> None:
    wires = [wire_of(served, 900), wire_of(served, 901, "<t:DistinguishedFolderId Id='calendar'/>")]
    root = served.ask(export(wires))
    for data, own in zip(found(root, "//m:Data"), ("i-900", "i-901"), strict=True):
        raw = base64.b64decode(data)
        assert partner(raw) == (15, 1, 2507)
        held = served.anna.items[own]
        assert unpack(raw) == replace(held, id="", change=0, folder_id="")
    other = found(root, "//m:ItemId/@Id")
    assert not set(other) & set(wires)
    assert codes(served.ask(get_item(other, ONLY_ID))) == ["NoError", "NoError"]
    served.anna.items["i-900"].subject = "changed"
    served.anna.touch(served.anna.items["i-900"])
    assert unpack(base64.b64decode(found(served.ask(export(wires)), "//m:Data")[0])).subject == "changed"


def test_characters_that_xml_forbids_are_left_out_or_let_through(served: Served) -> None:
    served.anna.items["i-5"].subject = "a\x01b\x0bc\ud800\r\n"
    wire = found(served.ask(sync(shape=SUBJECT)), "//t:ItemId/@Id")[-5]
    assert only(served.ask(get_item([wire], ONLY_ID + SUBJECT)), "//t:Subject") == "abc\ufffd\r\n"
    served.options.illegal_characters = True
    with pytest.raises(etree.XMLSyntaxError):
        served.ask(get_item([wire], ONLY_ID + SUBJECT))
    assert b"a&#x1;b&#xB;c&#xD800;" in binascii.a2b_base64(served.log.pop()["response_body"])


def test_what_is_rendered_can_be_read_again() -> None:
    rich = a_rich_mail()
    came = exchange_mime.parse(exchange_mime.render(rich))
    assert (came.subject, came.message_id, came.body_text, came.body_html) == (
        rich.subject, rich.message_id, rich.body_text, rich.body_html,
    )  # fmt: skip
    assert [(part.name, part.kind, part.inline, part.content_id) for part in came.parts] == [
        (part.name, part.kind, part.inline, part.content_id) for part in rich.parts
    ]
    assert [part.content for part in came.parts[:2]] == [part.content for part in rich.parts[:2]]
    assert exchange_mime.parse(came.parts[2].content).parts[0].content == b"\x00\x01\x02"
    assert came.author == rich.author
    assert came.submitted == MOMENT.replace(microsecond=0) + timedelta(minutes=900)


# --- names and settings ---------------------------------------------------------------------------------------------------


def names(entry: str, full: str = "true") -> str:
    how = f"ReturnFullContactData='{full}' SearchScope='ActiveDirectory'"
    return f"<m:ResolveNames {how}><m:UnresolvedEntry>{entry}</m:UnresolvedEntry></m:ResolveNames>"


def test_names_are_resolved_among_the_estate_s_people(served: Served) -> None:
    served.options.legacy_names["/o=Lab/cn=ben"] = "ben@lab.test"
    assert only(served.ask(names("smtp:ANNA@lab.test")), "//t:Resolution/t:Mailbox/t:EmailAddress") == ANNA
    assert only(served.ask(names("/O=lab/CN=BEN"), address=None), "//t:Resolution/t:Mailbox/t:EmailAddress") == "ben@lab.test"
    assert codes(served.ask(names("nobody"))) == ["ErrorNameResolutionNoResults"]
    several = served.ask(names("är", "false"))
    assert codes(several) == ["ErrorNameResolutionMultipleResults"]
    assert only(several, "//m:ResolveNamesResponseMessage/@ResponseClass") == "Warning"
    assert len(found(several, "//t:Resolution")) == 2


def test_settings_are_empty_unless_the_options_say_else(served: Served) -> None:
    rules = f"<m:GetInboxRules><m:MailboxSmtpAddress>{ANNA}</m:MailboxSmtpAddress></m:GetInboxRules>"
    assert codes(served.ask(rules)) == ["NoError"]
    replies = f"<m:GetUserOofSettingsRequest><t:Mailbox><t:Address>{ANNA}</t:Address></t:Mailbox></m:GetUserOofSettingsRequest>"
    assert only(served.ask(replies), "//t:OofState") == "Disabled"
    delegates = (
        f"<m:GetDelegate IncludePermissions='true'><m:Mailbox><t:EmailAddress>{ANNA}</t:EmailAddress></m:Mailbox></m:GetDelegate>"
    )
    assert codes(served.ask(delegates)) == ["ErrorDelegateMissingConfiguration"]
    categories = (
        "<m:GetUserConfiguration><m:UserConfigurationName Name='CategoryList'><t:DistinguishedFolderId Id='calendar'/>"
        "</m:UserConfigurationName><m:UserConfigurationProperties>XmlData</m:UserConfigurationProperties></m:GetUserConfiguration>"
    )
    assert codes(served.ask(categories)) == ["ErrorItemNotFound"]
    served.options.answers[ANNA, "GetInboxRules"] = (
        '<m:GetInboxRulesResponse ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        "<m:OutlookRuleBlobExists>true</m:OutlookRuleBlobExists></m:GetInboxRulesResponse>"
    )
    assert only(served.ask(rules), "//m:OutlookRuleBlobExists") == "true"


def test_ids_are_converted_and_back(served: Served) -> None:
    def ask(wire: str, form: str, wanted: str) -> Any:
        source = f'<t:AlternateId Format="{form}" Id="{wire}" Mailbox="{ANNA}"/>'
        return served.ask(f'<m:ConvertId DestinationFormat="{wanted}"><m:SourceIds>{source}</m:SourceIds></m:ConvertId>')

    wire = wire_of(served, 1)
    as_hex = only(ask(wire, "EwsId", "HexEntryId"), "//m:AlternateId/@Id")
    assert as_hex != wire
    assert only(ask(as_hex, "HexEntryId", "EwsId"), "//m:AlternateId/@Id") == wire
    assert codes(ask("DUMMY", "EwsId", "EntryId")) == ["ErrorInvalidIdMalformed"]
