"""Everything that leaves for the target is in the books before it leaves: requests, parts of batches, bytes, every repetition."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import orjson
import pytest
from graph_script import Answer, Route, Server, client_of, failing, serving
from test_graph_client import Mailbox, _create, _flag, _outcomes
from test_graph_compose import Drafts, _file, _send

from connectors.base import Doubt, Receipt
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.link import Link

WAIT = {"Retry_After": "0.01"}


class Books:
    """What reached the server, against what the client's budgets say at that moment."""

    def __init__(self, server: Server, client: GraphClient) -> None:
        self.server, self.client = server, client
        self.requests = self.bytes = 0
        self.wrong: list[str] = []

    def keep(self) -> None:
        """From now on, look into the client's books whenever something arrives."""
        inside: Route = self.server.route

        def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
            self.requests += len(orjson.loads(body)["requests"]) if path == "/$batch" else 1
            self.bytes += len(body)
            requests, size = self.booked()
            if requests < self.requests or size < self.bytes:
                self.wrong.append(f"{method} left unbooked")
            return inside(method, path, headers, body)

        self.server.route = route

    def booked(self) -> tuple[float, float]:
        """Requests and bytes that count for the mailbox now."""
        used = {budget.name: budget.used(time.monotonic()) for budget in self.client.pacer("a")._budgets}
        return used["requests"], used["upload_bytes"]

    def agree(self) -> bool:
        return self.wrong == [] and self.booked() == (self.requests, self.bytes)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[GraphClient]:
    with client_of(server) as found:
        yield found


@pytest.fixture
def books(server: Server, client: GraphClient) -> Books:
    return Books(server, client)


def test_imports_their_sessions_and_all_their_repetitions(server: Server, client: GraphClient, books: Books) -> None:
    box = Mailbox(server)
    spoilt: dict[int, Answer] = {
        1: failing(429, "ApplicationThrottled", **WAIT),
        2: failing(503, "ServiceUnavailable", **WAIT),
        3: failing(401, "InvalidAuthenticationToken"),
        5: "reset",
    }
    box.on_import = lambda n: spoilt.get(n, (200, {}, {"itemId": f"item-{n}", "changeKey": "ck"}))
    books.keep()
    destination = GraphDestination(client, "a")
    assert isinstance(_outcomes(destination.write([_create(b"QUJD" * 5000)]))[0], Receipt)
    assert isinstance(_outcomes(destination.write([_create(b"QUJD" * 7000)]))[0], Doubt)
    assert (box.imports, box.sessions) == (5, 2)
    assert books.agree()
    assert books.bytes > 4 * 20_000 + 28_000


def test_an_upload_with_its_session_its_parts_and_what_was_asked_after_a_lost_answer(
    server: Server, client: GraphClient, books: Books
) -> None:
    box, puts = Drafts(server), 0

    def disturb(method: str, path: str, body: bytes, plain: Callable[[], Answer]) -> Answer | None:
        nonlocal puts
        puts += method == "PUT"
        if method == "PUT" and puts == 2:
            return "reset"
        return failing(429, "ApplicationThrottled", **WAIT) if method == "PUT" and puts == 3 else None

    box.disturb = disturb
    books.keep()
    assert isinstance(_send(client, _file("big", os.urandom(8_000_000)), _file("middle", os.urandom(2_900_000))), Receipt)
    assert books.agree()
    assert puts == 5
    assert books.bytes > 8_000_000 + 2 * 3_750_000 + 2_900_000 * 4 / 3


def test_each_part_of_a_batch_and_the_parts_that_are_asked_again(server: Server, client: GraphClient, books: Books) -> None:
    asked = 0

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 1:
            return failing(429, "ApplicationThrottled", **WAIT)
        answers: list[dict[str, object]] = []
        for part in orjson.loads(body)["requests"]:
            number = part["url"].rsplit("/", 1)[1]
            if asked == 2 and number in "37":
                error = {"error": {"code": "ApplicationThrottled", "message": "m"}}
                answers.append({"id": part["id"], "status": 429, "headers": {"Retry-After": "0.01"}, "body": error})
            else:
                answers.append({"id": part["id"], "status": 200, "body": {"id": number, "changeKey": "k"}})
        return 200, {}, {"responses": answers}

    server.route = route
    books.keep()
    outcomes = _outcomes(GraphDestination(client, "a").write([_flag(str(number)) for number in range(30)]))
    assert {type(outcome) for outcome in outcomes} == {Receipt}
    assert books.requests == 20 + 20 + 12
    assert books.agree()


def test_a_read_that_was_cut_and_one_whose_token_was_challenged(server: Server, client: GraphClient, books: Books) -> None:
    answers: list[Answer] = ["reset", failing(401, "InvalidAuthenticationToken"), failing(504, "x"), (200, {}, {"value": []})]
    server.route = lambda *_: answers.pop(0)
    books.keep()
    assert client.run(client.ask("a", "GET", "/users/a/messages", kind="test")).status == 200
    assert books.requests == 4
    assert books.agree()


def test_bytes_that_go_to_the_target_go_over_the_link_too(server: Server, client: GraphClient) -> None:
    sent: list[int] = []
    link = Link(lambda: 1e12)
    pay = link.start
    link.start = lambda amount, now: (sent.append(int(amount)), pay(amount, now))[1]  # type: ignore[method-assign]
    client._link = link
    Mailbox(server)
    assert isinstance(_outcomes(GraphDestination(client, "a").write([_create(b"QUJD" * 5000)]))[0], Receipt)
    assert sum(sent) == sum(len(body) for _, _, _, body in server.asked)
