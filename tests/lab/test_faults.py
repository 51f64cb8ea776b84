"""Every fault of the lab's wires is seen on the wire as it is described, and counted by name."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from lxml import etree
from test_login import Face, fresh, signed_in

from connectors.lab import command
from connectors.lab.control import Control, ControlRefused
from connectors.lab.faults import BY_NAME, KINDS, Fault, FaultPlan, Faults, NoSuchFault
from connectors.lab.faults import Face as Wire
from connectors.lab.server import USER, Lab, LabPlan
from connectors.lab.truth import Item

MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
MARKER = b"=== Truncated Data ==="
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("lab"), mailboxes=1, items=30)) as lab:
        yield lab


@pytest.fixture(autouse=True)
def calm(lab: Lab) -> Iterator[None]:
    yield
    lab.faults.disarm()


class Exchange:
    """A plain client of the Exchange face, signed in by Basic."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        [self.mailbox] = lab.source.mailboxes.values()
        self.session = requests.Session()
        self.session.verify, self.session.trust_env = str(lab.ca_file), False
        self.session.auth = (USER, lab.password)

    def post(self, body: str) -> requests.Response:
        text = (
            f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Header>'
            '<t:RequestServerVersion Version="Exchange2010_SP2"/><t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>'
            f"{self.mailbox.address}</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header>"
            f"<s:Body>{body}</s:Body></s:Envelope>"
        )
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        return self.session.post(self.lab.ews_url, data=text.encode(), headers=headers, timeout=20)

    def sync(self, state: str = "") -> requests.Response:
        given = f"<m:SyncState>{state}</m:SyncState>" if state else ""
        return self.post(
            "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:SyncFolderId>"
            f'<t:DistinguishedFolderId Id="inbox"/></m:SyncFolderId>{given}<m:MaxChangesReturned>5</m:MaxChangesReturned>'
            "</m:SyncFolderItems>"
        )

    def ids(self, number: int) -> str:
        found = etree.fromstring(self.sync().content).iter(f"{{{TYPES}}}ItemId")
        return "".join(f'<t:ItemId Id="{one.get("Id")}"/>' for one, _ in zip(found, range(number), strict=False))

    def export(self, number: int = 3) -> requests.Response:
        """ExportItems of some items of the inbox; the faults that are armed don't meet the listing before."""
        plan = self.lab.faults.plan
        self.lab.faults.disarm()
        ids = self.ids(number)
        self.lab.faults.arm(plan)
        return self.post(f"<m:ExportItems><m:ItemIds>{ids}</m:ItemIds></m:ExportItems>")


@pytest.fixture
def exchange(lab: Lab) -> Iterator[Exchange]:
    client = Exchange(lab)
    with client.session:
        yield client


@pytest.fixture
def face(lab: Lab) -> Iterator[Face]:
    with signed_in(lab) as session:
        yield Face(lab, session, fresh(lab))


class armed:
    """Arms one fault for the next request that fits, and holds that it struck once and is counted."""

    def __init__(self, lab: Lab, kind: str, **more: Any) -> None:
        self.faults, self.kind = lab.faults, kind
        self.faults.arm(FaultPlan(script=(Fault(kind, **more),), slow=0.3, wait=0.4))
        self.before = self.faults.struck[kind]

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            assert self.faults.struck[self.kind] == self.before + 1
            assert self.faults.due() == []


def parsed(answer: requests.Response) -> Any:
    return etree.fromstring(answer.content)


def codes(answer: requests.Response) -> list[str | None]:
    return [one.text for one in parsed(answer).iter(f"{{{MESSAGES}}}ResponseCode")]


# -- Exchange


@pytest.mark.parametrize("kind", ["ews-reset", "ews-cut"])
def test_a_broken_connection_to_exchange_is_no_answer(lab: Lab, exchange: Exchange, kind: str) -> None:
    with armed(lab, kind), pytest.raises(BROKEN):
        exchange.sync()
    assert exchange.sync().status_code == 200


def test_a_bare_503_has_no_soap_in_it(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-503"):
        answer = exchange.sync()
    assert (answer.status_code, "Retry-After" in answer.headers, b"Envelope" in answer.content) == (503, False, False)


def test_a_slow_answer_takes_as_long_as_the_plan_says_and_is_whole(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-slow"):
        answer = exchange.sync()
    assert answer.elapsed.total_seconds() >= 0.3
    assert codes(answer) == ["NoError"]


def test_a_truncated_listing_has_its_sync_state_and_no_end(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-truncated-sync"):
        answer = exchange.sync()
    assert answer.status_code == 200
    assert b"</m:SyncState>" in answer.content
    assert b"<t:Create>" in answer.content
    assert b"Envelope>" not in answer.content[-20:]
    with pytest.raises(etree.XMLSyntaxError):
        parsed(answer)


def test_a_truncated_answer_is_no_document(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-truncated-xml"):
        answer = exchange.export()
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(etree.XMLSyntaxError):
        parsed(answer)


def test_the_marker_stands_in_place_of_data_in_a_whole_document(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-truncated-data"):
        answer = exchange.export()
    data = [one.text or "" for one in parsed(answer).iter(f"{{{MESSAGES}}}Data")]
    assert [MARKER.decode() in one for one in data].count(True) == 1
    assert len(data) == 3


def test_an_answer_breaks_off_with_the_marker(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-truncated-end"):
        answer = exchange.export()
    assert answer.content.endswith(MARKER)


@pytest.mark.parametrize(("kind", "number"), [("ews-answer-missing", 2), ("ews-answer-too-many", 4)])
def test_a_batch_has_another_number_of_answers_than_questions(lab: Lab, exchange: Exchange, kind: str, number: int) -> None:
    with armed(lab, kind):
        answer = exchange.export()
    assert codes(answer) == ["NoError"] * number


def test_a_single_answer_is_never_the_missing_one(lab: Lab, exchange: Exchange) -> None:
    lab.faults.arm(FaultPlan(script=(Fault("ews-answer-missing"),)))
    assert codes(exchange.export(1)) == ["NoError"]
    assert lab.faults.due() == ["ews-answer-missing"]


def test_illegal_characters_are_references_and_bytes(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-illegal-characters"):
        answer = exchange.sync()
    assert b"&#x1;" in answer.content
    assert b"\x0b" in answer.content
    with pytest.raises(etree.XMLSyntaxError):
        parsed(answer)


def test_a_sync_state_goes_stale_only_where_one_was_given(lab: Lab, exchange: Exchange) -> None:
    lab.faults.arm(FaultPlan(script=(Fault("ews-stale-sync-state"),)))
    first = exchange.sync()
    assert codes(first) == ["NoError"]
    [state] = [one.text for one in parsed(first).iter(f"{{{MESSAGES}}}SyncState")]
    assert codes(exchange.sync(str(state))) == ["ErrorInvalidSyncStateData"]
    assert codes(exchange.sync(str(state))) == ["NoError"]


def test_a_busy_server_says_so_in_a_fault_with_the_time_to_wait(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-busy"):
        answer = exchange.sync()
    assert answer.status_code == 500
    assert b"ErrorServerBusy" in answer.content
    assert [(one.get("Name"), one.text) for one in parsed(answer).iter(f"{{{TYPES}}}Value")] == [("BackOffMilliseconds", "400")]


def test_a_busy_server_says_so_for_one_item_of_many(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-busy-item"):
        answer = exchange.export()
    assert sorted(map(str, codes(answer))) == ["ErrorServerBusy", "NoError", "NoError"]
    assert [one.text for one in parsed(answer).iter(f"{{{TYPES}}}Value")] == ["400"]


def test_a_connection_that_was_signed_in_stays_shut_and_another_one_is_open(lab: Lab, exchange: Exchange) -> None:
    with armed(lab, "ews-401"):
        assert exchange.sync().status_code == 401
        assert exchange.sync().status_code == 401
    other = Exchange(lab)
    with other.session:
        assert other.sync().status_code == 200


@pytest.mark.parametrize(
    ("kind", "code"), [("ews-moving", "ErrorMailboxMoveInProgress"), ("ews-mailbox-vanishes", "ErrorNonExistentMailbox")]
)
def test_a_mailbox_is_away_for_as_many_requests_as_the_script_says(lab: Lab, exchange: Exchange, kind: str, code: str) -> None:
    lab.faults.arm(FaultPlan(script=(Fault(kind, times=2),)))
    answers = [exchange.sync() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 500, 200]
    assert [code.encode() in answer.content for answer in answers] == [True, True, False]


# -- the tenant


def made(face: Face) -> list[str]:
    return [item.subject for item in face.mailbox.items.values()]


def post_one(face: Face) -> requests.Response:
    return face.ask("POST", "messages", {"subject": "one"})


@pytest.mark.parametrize(("kind", "there"), [("graph-reset-before", []), ("graph-reset-after", ["one"]), ("graph-cut", ["one"])])
def test_a_reset_leaves_behind_what_the_server_did_before_it(lab: Lab, face: Face, kind: str, there: list[str]) -> None:
    with armed(lab, kind, asked="messages"), pytest.raises(BROKEN):
        post_one(face)
    assert made(face) == there


@pytest.mark.parametrize(
    ("kind", "status", "after"),
    [
        ("graph-429-whole", 429, "1"), ("graph-429-fraction", 429, "0.450"), ("graph-429-absent", 429, None),
        ("graph-503-later", 503, "1"), ("graph-503", 503, None),
    ],
)  # fmt: skip
def test_a_server_that_did_nothing_says_when_to_come_back_or_does_not(
    lab: Lab, face: Face, kind: str, status: int, after: str | None
) -> None:
    with armed(lab, kind):
        answer = post_one(face)
    assert (answer.status_code, answer.headers.get("Retry-After"), made(face)) == (status, after, [])


@pytest.mark.parametrize(("kind", "status"), [("graph-500", 500), ("graph-502", 502), ("graph-504", 504)])
def test_a_failure_can_follow_what_was_done(lab: Lab, face: Face, kind: str, status: int) -> None:
    with armed(lab, kind):
        answer = post_one(face)
    assert (answer.status_code, "Retry-After" in answer.headers, made(face)) == (status, False, ["one"])


def test_a_failure_never_hides_a_refusal(lab: Lab, face: Face) -> None:
    lab.faults.arm(FaultPlan(script=(Fault("graph-504"),)))
    assert face.ask("GET", "messages/none").status_code == 404
    assert lab.faults.due() == ["graph-504"]


def test_a_slow_answer_of_the_tenant_is_a_good_one(lab: Lab, face: Face) -> None:
    with armed(lab, "graph-slow"):
        answer = post_one(face)
    assert answer.elapsed.total_seconds() >= 0.3
    assert (answer.status_code, made(face)) == (201, ["one"])


def test_a_token_that_ended_early_lets_in_no_more(lab: Lab, face: Face) -> None:
    with armed(lab, "graph-401"):
        assert post_one(face).status_code == 401
        assert face.refused("GET", "mailFolders/inbox") == (401, "InvalidAuthenticationToken")
    with signed_in(lab) as again:
        assert Face(lab, again, face.mailbox).ask("GET", "mailFolders/inbox").status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("graph-import-401", 401), ("graph-import-404", 404), ("graph-import-410", 410)])
def test_an_import_address_expires_for_good(lab: Lab, face: Face, kind: str, status: int) -> None:
    address, body = face.import_address(), face.import_body(Item(id="x", folder_id="", subject="imported"))
    plain = {"Authorization": None}
    with armed(lab, kind):
        assert face.ask("POST", address, body, headers=plain).status_code == status
    assert face.ask("POST", address, body, headers=plain).status_code == 401
    assert made(face) == []
    assert face.ask("POST", face.import_address(), body, headers=plain).status_code == 200


def begin_upload(face: Face) -> tuple[str, bytes]:
    """The address of an upload session, and the content that it waits for."""
    content = secrets.token_bytes(4_000_000)
    own = face.good("POST", "messages", {"subject": "large"}, 201)["id"]
    item = {"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": len(content)}}
    return str(face.good("POST", f"messages/{own}/attachments/createUploadSession", item, 201)["uploadUrl"]), content


def put_half(face: Face, address: str, content: bytes) -> requests.Response:
    half, size = content[:2_000_000], len(content)
    told = {"Authorization": None, "Content-Range": f"bytes 0-{len(half) - 1}/{size}", "Content-Type": "application/octet-stream"}
    return face.ask("PUT", address, data=half, headers=told)


def stand(face: Face, address: str) -> requests.Response:
    return face.ask("GET", address, headers={"Authorization": None})


def test_a_part_of_an_upload_arrives_and_its_answer_does_not(lab: Lab, face: Face) -> None:
    address, content = begin_upload(face)
    with armed(lab, "graph-upload-cut"), pytest.raises(BROKEN):
        put_half(face, address, content)
    assert stand(face, address).json()["nextExpectedRanges"] == ["2000000"]


@pytest.mark.parametrize(("kind", "status"), [("graph-upload-gone", 404), ("graph-upload-401", 401)])
def test_an_upload_session_is_over_in_the_middle(lab: Lab, face: Face, kind: str, status: int) -> None:
    address, content = begin_upload(face)
    with armed(lab, kind):
        assert put_half(face, address, content).status_code == status
    assert stand(face, address).status_code == 404


def test_tokens_end_while_an_upload_goes_on(lab: Lab, face: Face) -> None:
    address, content = begin_upload(face)
    with armed(lab, "graph-token-in-upload"):
        assert put_half(face, address, content).status_code in (200, 202)
    assert stand(face, address).status_code == 200
    assert face.ask("GET", "mailFolders/inbox").status_code == 401


@pytest.mark.parametrize(("kind", "statuses"), [("graph-batch-missing", [201]), ("graph-batch-504", [201, 504])])
def test_a_part_of_a_batch_is_done_and_not_told(lab: Lab, face: Face, kind: str, statuses: list[int]) -> None:
    parts = [
        {
            "id": str(number),
            "method": "POST",
            "url": f"/users/{face.mailbox.address}/messages",
            "body": {"subject": f"part {number}"},
            "headers": {"Content-Type": "application/json"},
        }
        for number in range(2)
    ]
    with armed(lab, kind):
        told = face.good("POST", f"{lab.graph_url}/v1.0/$batch", {"requests": parts})
    assert sorted(part["status"] for part in told["responses"]) == statuses
    assert sorted(made(face)) == ["part 0", "part 1"]


def test_the_quota_is_reached_and_the_mailbox_vanishes(lab: Lab, face: Face) -> None:
    with armed(lab, "graph-quota"):
        answer = post_one(face)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "ErrorQuotaExceeded")
    with armed(lab, "graph-mailbox-vanishes"):
        assert face.refused("GET", "mailFolders/inbox") == (404, "MailboxNotEnabledForRESTAPI")
    assert made(face) == []


def test_every_kind_of_the_table_is_shown_by_a_test_above() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [kind.name for kind in KINDS if f'"{kind.name}"' not in text] == []


# -- plans


def strikes(plan: FaultPlan, requests_: int = 400, asked: str = "POST importItem") -> list[str]:
    """What strikes each of so many equal requests; an empty word is none."""
    faults, found = Faults(plan), []
    for _ in range(requests_):
        met = faults.meet(Wire.GRAPH, asked)
        if met:
            met[0].done()
        found.append(met[0].kind.name if met else "")
    return found


def test_the_same_seed_strikes_the_same_requests_and_another_seed_others() -> None:
    plan = FaultPlan(share=0.1, seed=7)
    assert strikes(plan) == strikes(plan)
    assert strikes(plan) != strikes(FaultPlan(share=0.1, seed=8))


def test_about_the_share_of_all_requests_is_struck_and_every_fitting_kind_comes() -> None:
    found = [kind for kind in strikes(FaultPlan(share=0.1), 2000) if kind]
    assert 120 < len(found) < 280
    fitting = {kind.name for kind in KINDS if kind.face is Wire.GRAPH and kind.seeded}
    fitting -= {"graph-401", *(name for name in fitting if "upload" in name or "batch" in name)}
    assert set(found) == fitting


def test_a_kind_that_fits_few_requests_does_not_wait_for_chance_but_leaves_every_other_one_alone() -> None:
    found = strikes(FaultPlan(share=0.0001), 12, "PUT AttachmentSessions")
    assert found[::2] == [""] * 6
    assert {*found[1:9:2]} == {"graph-upload-cut", "graph-upload-gone", "graph-upload-401", "graph-token-in-upload"}
    assert found[9:] == [""] * 3


def test_kinds_that_take_a_mailbox_away_are_for_scripts_alone() -> None:
    alone = {kind.name for kind in KINDS if not kind.seeded}
    assert alone == {"ews-moving", "ews-mailbox-vanishes", "graph-quota", "graph-mailbox-vanishes"}
    assert len(BY_NAME) == len(KINDS)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"share": 2}, "between 0 and 1"), ({"script": [{"kind": "no"}]}, "no fault called no"), ({"kinds": ["x"]}, "called x"),
        ({"script": [{"kind": "ews-503", "nth": 0}]}, "first request"), ({"script": [{"what": 1}]}, "not understood"),
        ({"script": [{"kind": "ews-503", "asked": "("}]}, "no pattern"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_by_a_sentence(lab: Lab, plan: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ControlRefused, match=sentence):
        Control(lab.folder).arm(**plan)
    assert lab.faults.due() == []


def test_a_plan_is_armed_and_looked_at_through_the_labs_own_door(lab: Lab, exchange: Exchange) -> None:
    control = Control(lab.folder)
    before = control.faults()["struck"].get("ews-503", 0)
    control.arm(script=[{"kind": "ews-503", "asked": "SyncFolderItems", "nth": 2}])
    assert control.faults()["due"] == ["ews-503"]
    assert [exchange.sync().status_code for _ in range(3)] == [200, 503, 200]
    told = control.faults()
    assert (told["struck"]["ews-503"], told["due"]) == (before + 1, [])
    assert told["asked"]["ews"] >= 3
    control.arm(share=1.0, kinds=["ews-503"])
    assert exchange.sync().status_code == 503
    control.disarm()
    assert exchange.sync().status_code == 200
    [(address, mailbox)] = lab.source.mailboxes.items()
    assert Counter(row["id"] for row in control.items(address)) == Counter(list(mailbox.items))


def test_a_share_is_a_number_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for word in ("2", "few"):
        with pytest.raises(SystemExit) as ended:
            command.main(["--dir", str(tmp_path), "--faults", word])
        assert ended.value.code == 64
    assert "share" in capsys.readouterr().err


def test_no_plan_is_made_of_a_fault_that_does_not_exist() -> None:
    with pytest.raises(NoSuchFault):
        FaultPlan(script=(Fault("ews-nothing"),))
