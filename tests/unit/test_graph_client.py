"""How requests leave and what becomes of their answers, against a real HTTP server that follows a script."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import orjson
import pytest
from graph_script import Answer, Server, client_of, failing, serving, tokens_of

from connectors.base import Doubt, Item, Lane, Outcome, Receipt, Ref, Refusal, Unsent, Write, WriteKind
from connectors.errors import Halt, MailboxBlocked, Unavailable
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.graph.endpoint import Tenant
from connectors.graph.silence import ForbiddenRequest
from connectors.graph.tokens import Tokens


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[GraphClient]:
    with client_of(server) as found:
        yield found


def _create(stream: bytes = b"QUJD") -> Write:
    return Write(
        kind=WriteKind.CREATE, folder_id="f", stamp="m1-aa", item=Item(Ref("i"), Lane.IMPORT, "IPM.Note", b"", stream=stream)
    )


class Mailbox:
    """Routes of a mailbox that takes imports; ``on_import`` answers each of them."""

    def __init__(self, server: Server) -> None:
        self.sessions = 0
        self.imports = 0
        self.on_import: Callable[[int], Answer] = lambda n: (200, {}, {"itemId": f"item-{n}", "changeKey": "ck"})
        self.url = server.url
        server.route = self.route

    def route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.endswith("/settings/exchange"):
            return 200, {}, {"primaryMailboxId": "MBX:1@2"}
        if path.endswith("/createImportSession"):
            self.sessions += 1
            url = f"{self.url}/import?authtoken=secret-{self.sessions}"
            return 201, {}, {"importUrl": url, "expirationDateTime": "2099-01-01T00:00:00Z"}
        if path.startswith("/import"):
            self.imports += 1
            return self.on_import(self.imports)
        return 404, {}, {"error": {"code": "ErrorItemNotFound", "message": "m"}}


def _outcomes(future: Future[list[Outcome]]) -> list[Outcome]:
    return future.result(timeout=20)


def test_many_imports_share_one_session_and_carry_no_token_to_its_address(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    destination = GraphDestination(client, "a@example.com")
    first, second = destination.write([_create()] * 5), destination.write([_create()] * 5)
    receipts = _outcomes(first) + _outcomes(second)
    assert all(isinstance(each, Receipt) and each.version == "ck" for each in receipts)
    assert len({each.target_id for each in receipts if isinstance(each, Receipt)}) == 10
    assert box.sessions == 1
    for _, path, headers, _ in server.asked:
        assert ("authorization" in headers) is not path.startswith("/import")


def test_a_large_stream_arrives_whole(server: Server, client: GraphClient) -> None:
    Mailbox(server)
    stream = base64.b64encode(bytes(range(256)) * 12_000)
    (receipt,) = _outcomes(GraphDestination(client, "a").write([_create(stream)]))
    assert isinstance(receipt, Receipt)
    body = orjson.loads(server.asked[-1][3])
    assert body["Data"].encode() == stream


@pytest.mark.parametrize("status", [401, 404, 410])
def test_a_spent_address_is_renewed_and_the_item_sent_again_because_nothing_was_done(
    server: Server, client: GraphClient, status: int
) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: (status, {}, None) if n == 1 else (200, {}, {"itemId": "x", "changeKey": "k"})
    (receipt,) = _outcomes(GraphDestination(client, "a").write([_create()]))
    assert receipt == Receipt("x", "k")
    assert box.sessions == 2


def test_a_throttled_import_is_sent_again_and_lands_once(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: (
        failing(429, "ApplicationThrottled", Retry_After="0.01") if n == 1 else (200, {}, {"itemId": "x", "changeKey": "k"})
    )
    assert _outcomes(GraphDestination(client, "a").write([_create()])) == [Receipt("x", "k")]


@pytest.mark.parametrize(
    "answer", [failing(500, ""), failing(502, ""), failing(503, ""), failing(504, "UnknownError"), "reset", (200, {}, b"<html>")]
)
def test_what_may_have_happened_is_a_doubt_and_never_sent_again(server: Server, client: GraphClient, answer: Answer) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: answer
    (doubt,) = _outcomes(GraphDestination(client, "a").write([_create()]))
    assert isinstance(doubt, Doubt)
    assert box.imports == 1


def test_what_the_target_cannot_read_is_refused_by_name_and_its_neighbours_go_through(
    server: Server, client: GraphClient
) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: failing(400, "ErrorCorruptData") if n == 2 else (200, {}, {"itemId": f"x{n}", "changeKey": "k"})
    outcomes = _outcomes(GraphDestination(client, "a").write([_create()] * 4))
    assert sorted(type(each).__name__ for each in outcomes) == ["Receipt", "Receipt", "Receipt", "Refusal"]


def test_a_full_mailbox_leaves_the_item_unsent_with_the_mailbox_blocked(server: Server, client: GraphClient) -> None:
    Mailbox(server).on_import = lambda n: failing(507, "ErrorQuotaExceeded")
    (unsent,) = _outcomes(GraphDestination(client, "a").write([_create()]))
    assert isinstance(unsent, Unsent)
    assert isinstance(unsent.cause, MailboxBlocked)
    assert unsent.cause.mend


def test_a_target_folder_that_is_gone_is_no_fault_of_the_item(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: failing(404, "ErrorFolderNotFound")
    inner = box.route

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path == "/$batch":
            parts = orjson.loads(body)["requests"]
            return 200, {}, {"responses": [{"id": each["id"], "status": 200, "body": {"id": each["url"]}} for each in parts]}
        if path.split("?")[0].endswith("/folders"):
            return 200, {}, {"value": []}
        return inner(method, path, headers, body)

    server.route = route
    (unsent,) = _outcomes(GraphDestination(client, "a").write([_create()]))
    assert isinstance(unsent, Unsent)
    assert isinstance(unsent.cause, Unavailable)


def test_a_refused_connection_did_nothing(client: GraphClient, server: Server) -> None:
    Mailbox(server)
    dead = Tenant(tenant_id="t", client_id="c", secret="s", graph_url="http://127.0.0.1:9", timeout=1)
    with GraphClient(dead, stop=_stopped()) as other:
        other.tokens = tokens_of(dead)
        (unsent,) = _outcomes(GraphDestination(other, "a").write([_create()]))
    assert isinstance(unsent, Unsent)


def _stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_secrets_stand_in_no_outcome(server: Server, client: GraphClient) -> None:
    Mailbox(server).on_import = lambda n: "reset"
    (doubt,) = _outcomes(GraphDestination(client, "a").write([_create()]))
    assert isinstance(doubt, Doubt)
    shown = repr(doubt) + str(doubt.cause) + repr(doubt.cause.__cause__)
    assert "secret" not in shown
    assert "token" not in shown


def test_a_challenged_token_is_replaced_by_one_that_answers_the_challenge(server: Server, client: GraphClient) -> None:
    given: list[str | None] = []
    client.tokens = tokens_of(client.tenant, given)
    challenge = base64.urlsafe_b64encode(b'{"access_token":{"nbf":1}}').decode()

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if headers["authorization"] == "Bearer token-1":
            return 401, {"WWW-Authenticate": f'Bearer error="insufficient_claims", claims="{challenge}"'}, None
        return 200, {}, {"id": "x", "singleValueExtendedProperties": []}

    server.route = route
    assert GraphDestination(client, "a").claim() is None
    assert given == [None, '{"access_token":{"nbf":1}}']


def test_a_fresh_token_that_is_not_accepted_halts(server: Server, client: GraphClient) -> None:
    server.route = lambda *_: (401, {}, None)
    with pytest.raises(Halt):
        GraphDestination(client, "a").claim()
    assert len({headers["authorization"] for _, _, headers, _ in server.asked}) == len(server.asked) == 4


def test_a_token_that_ended_under_another_request_too_is_replaced_once_more(server: Server, client: GraphClient) -> None:
    answers: list[Answer] = [(401, {}, None), (401, {}, None), (200, {}, {"id": "x"})]
    server.route = lambda *_: answers.pop(0)
    assert GraphDestination(client, "a").claim() is None


def test_a_read_is_asked_again_after_a_cut(server: Server, client: GraphClient) -> None:
    answers: list[Answer] = ["reset", (200, {}, {"id": "x"})]
    server.route = lambda *_: answers.pop(0)
    assert GraphDestination(client, "a").claim() is None


def test_no_redirect_is_followed(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: (302, {"Location": f"{server.url}/elsewhere"}, None)
    _outcomes(GraphDestination(client, "a").write([_create()]))
    assert not [each for each in server.paths() if "elsewhere" in each]


def test_a_forbidden_request_never_reaches_the_wire(server: Server, client: GraphClient) -> None:
    with pytest.raises(ForbiddenRequest):
        client.run(client.ask("a", "POST", "/users/a/sendMail", kind="x", body=b"{}"))
    assert server.asked == []


def test_a_link_to_another_host_gets_no_token(server: Server, client: GraphClient) -> None:
    from connectors.errors import UnknownAnswer

    with pytest.raises(UnknownAnswer):
        client.run(client.ask("a", "GET", "https://elsewhere.example/v1.0/x", kind="x"))
    assert server.asked == []


def _flag(target: str) -> Write:
    return Write(kind=WriteKind.FLAG, target_id=target, is_read=True)


def test_flags_go_in_batches_of_twenty_and_each_part_counts_alone(server: Server, client: GraphClient) -> None:
    sizes: list[int] = []
    throttled: set[str] = set()

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = orjson.loads(body)["requests"]
        sizes.append(len(parts))
        answers = []
        for part in parts:
            assert part["headers"] == {"Prefer": 'IdType="ImmutableId"', "Content-Type": "application/json"}
            number = part["url"].rsplit("/", 1)[1]
            if number == "3":
                answers.append(
                    {"id": part["id"], "status": 404, "body": {"error": {"code": "ErrorItemNotFound", "message": "m"}}}
                )
            elif number == "4" and number not in throttled:
                throttled.add(number)
                error = {"error": {"code": "ApplicationThrottled", "message": "m"}}
                answers.append({"id": part["id"], "status": 429, "headers": {"Retry-After": "0.01"}, "body": error})
            else:
                answers.append({"id": part["id"], "status": 200, "body": {"id": number, "changeKey": f"k{number}"}})
        return 200, {}, {"responses": answers[::-1]}

    server.route = route
    outcomes = _outcomes(GraphDestination(client, "a").write([_flag(str(n)) for n in range(30)]))
    assert sizes == [20, 11]
    assert outcomes[4] == Receipt("4", "k4")
    refusal = outcomes[3]
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "target-gone"
    assert all(isinstance(each, Receipt) for n, each in enumerate(outcomes) if n != 3)


def test_a_part_of_a_batch_without_an_answer_is_asked_again_if_that_does_no_harm(server: Server, client: GraphClient) -> None:
    sizes: list[int] = []

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = orjson.loads(body)["requests"]
        sizes.append(len(parts))
        late = {"error": {"code": "GatewayTimeout", "message": "m"}}
        answers = [{"id": part["id"], "status": 200, "body": {"id": "t", "changeKey": "k"}} for part in parts]
        if len(sizes) == 1:
            answers = [answers[0], {"id": parts[1]["id"], "status": 504, "body": late}]
        return 200, {}, {"responses": answers}

    server.route = route
    outcomes = _outcomes(GraphDestination(client, "a").write([_flag(str(n)) for n in range(3)]))
    assert outcomes == [Receipt(str(n), "k") for n in range(3)]
    assert sizes == [3, 2]


def test_classic_ids_are_translated_once_a_batch(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: (200, {}, {"itemId": f"{n}" * 150, "changeKey": "k"})
    inner = box.route

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.endswith("/translateExchangeIds"):
            ids = orjson.loads(body)["inputIds"]
            return 200, {}, {"value": [{"sourceId": each, "targetId": "immutable-" + each[0]} for each in ids]}
        return inner(method, path, headers, body)

    server.route = route
    outcomes = _outcomes(GraphDestination(client, "a").write([_create()] * 3))
    assert {each.target_id for each in outcomes if isinstance(each, Receipt)} == {"immutable-1", "immutable-2", "immutable-3"}
    assert len([each for each in server.paths() if "translate" in each]) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((401, {}, None), Doubt), ((200, {}, {"value": []}), Doubt),
        (failing(403, "ErrorAccessDenied"), Receipt), (failing(403, "Authorization_RequestDenied"), Receipt),
    ],
)  # fmt: skip
def test_an_id_that_no_look_up_would_know_is_kept_only_where_no_other_can_be_had(
    server: Server, client: GraphClient, answer: Answer, outcome: type
) -> None:
    box = Mailbox(server)
    box.on_import = lambda n: (200, {}, {"itemId": f"{n}" * 150, "changeKey": "k"})
    inner = box.route
    server.route = lambda *asked: answer if asked[1].endswith("/translateExchangeIds") else inner(*asked)
    assert [type(each) for each in _outcomes(GraphDestination(client, "a").write([_create()] * 2))] == [outcome] * 2


def test_no_more_than_four_requests_of_a_mailbox_are_under_way(server: Server, client: GraphClient) -> None:
    box = Mailbox(server)
    lock, now, most = threading.Lock(), 0, 0

    def slow(n: int) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return 200, {}, {"itemId": str(n), "changeKey": "k"}

    box.on_import = slow
    destination = GraphDestination(client, "a")
    for future in [destination.write([_create()] * 10), destination.write([_create()] * 10)]:
        _outcomes(future)
    assert most == 4


def test_figures_name_requests_and_bytes(server: Server, client: GraphClient) -> None:
    Mailbox(server)
    destination = GraphDestination(client, "a")
    _outcomes(destination.write([_create()] * 3))
    figures = destination.figures()
    assert figures["requests.import"] == 3
    assert figures["requests.import-session"] == 1
    assert figures["bytes.sent"] >= 3 * 40
    assert figures["bytes.received"] > 0


def test_closing_while_a_write_is_under_way_leaves_a_doubt(server: Server) -> None:
    box = Mailbox(server)
    arrived, release = threading.Event(), threading.Event()

    def held(n: int) -> Answer:
        arrived.set()
        release.wait(5)
        return "reset"

    box.on_import = held
    client = GraphClient(Tenant(tenant_id="t", client_id="c", secret="s", graph_url=server.url))
    client.tokens = tokens_of(client.tenant)
    future = GraphDestination(client, "a").write([_create()])
    assert arrived.wait(5)
    client.close()
    release.set()
    (doubt,) = _outcomes(future)
    assert isinstance(doubt, Doubt)
    client.close()


class TestTokens:
    def test_a_token_is_renewed_before_its_end_without_anybody_asking(self) -> None:
        given: list[str | None] = []
        done = threading.Event()

        def fetch(claims: str | None) -> dict[str, Any]:
            given.append(claims)
            if len(given) == 3:
                done.set()
            return {"access_token": f"t{len(given)}", "expires_in": 0.05}

        tokens = Tokens(Tenant(tenant_id="t", client_id="c", secret="s"), fetch=fetch)
        tokens.get()
        assert done.wait(5)
        tokens.close()

    def test_a_crowd_that_waits_for_a_sign_in_that_fails_tries_it_once(self) -> None:
        waiting, tries, lock = threading.Semaphore(0), 0, threading.Lock()

        def fetch(claims: str | None) -> dict[str, Any]:
            nonlocal tries
            with lock:
                tries += 1
            for _ in range(8):
                assert waiting.acquire(timeout=10)
            time.sleep(0.05)  # the last of them has yet to reach the lock
            return {"error": "temporarily_unavailable"}

        tokens = Tokens(Tenant(tenant_id="t", client_id="c", secret="s"), fetch=fetch)
        raised: list[Unavailable] = []

        def get() -> None:
            waiting.release()
            with pytest.raises(Unavailable) as caught:
                tokens.get()
            with lock:
                raised.append(caught.value)

        threads = [threading.Thread(target=get) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (tries, len(raised), {error.did_nothing for error in raised}) == (1, 8, {True})
        for _ in range(8):
            waiting.release()
        with pytest.raises(Unavailable):
            tokens.get()
        assert tries == 2, "who comes later tries again"
        tokens.close()

    def test_many_that_hold_the_same_spent_token_cause_one_sign_in(self) -> None:
        given: list[str | None] = []
        tokens = tokens_of(Tenant(tenant_id="t", client_id="c", secret="s"), given)
        first = tokens.get()
        assert {tokens.get(None, first) for _ in range(5)} == {"token-2"}
        assert len(given) == 2
        tokens.close()
