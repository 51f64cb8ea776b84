"""What leaves fits Microsoft's own description of Graph v1.0; skipped where that description is not at hand."""

from __future__ import annotations

import base64
import importlib.util
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graph_script import Server, client_of, serving
from test_graph_compose import Drafts, _file
from test_graph_folders import Tree

from connectors.base import (
    Address,
    Claim,
    Facts,
    Folder,
    FollowUp,
    Identity,
    Item,
    Lane,
    Message,
    Ref,
    Write,
    WriteKind,
    identify,
)
from connectors.graph.destination import GraphDestination

WHEN = datetime(2020, 1, 1, tzinfo=UTC)
CONTRACTS = Path(os.environ.get("MIGRATOR_CONTRACTS") or Path(__file__).parents[3] / "shared" / "contracts")
pytestmark = pytest.mark.skipif(not (CONTRACTS / "validate_graph.py").exists(), reason="Microsoft's description is not at hand")


@pytest.fixture(scope="module")
def checker() -> Any:
    spec = importlib.util.spec_from_file_location("validate_graph", CONTRACTS / "validate_graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Checker()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def _findings(checker: Any, server: Server) -> list[tuple[Any, ...]]:
    found = []
    for method, path, headers, body in server.asked:
        bare, _, query = path.partition("?")
        if bare.startswith(("/upload", "/import")):
            continue
        exchange = {
            "method": method,
            "path": "/v1.0" + bare,
            "query": query,
            "headers": headers,
            "request_body": base64.b64encode(body).decode(),
            "request_body_encoding": "base64",
            "status": 500,
            "fault": {"kind": "only the request is judged"},
        }
        findings, name = checker.check(exchange)
        found += [(name, *each) for each in findings]
    assert server.asked
    return found


def test_composed_messages_and_their_attachments(checker: Any, server: Server) -> None:
    Drafts(server)
    message = Message(
        subject="s", body="<b>", body_kind="html", sender=Address("n", "a@b.c"), to=(Address("n", "/O=X"), Address("x")),
        reply_to=(Address("", "q@w.e"),), message_id="<1@2>", headers="A: b", submitted=WHEN, received=WHEN, categories=("x",),
        follow_up=FollowUp("complete", completed=WHEN), importance="high", sensitivity="private", icon=261, last_verb=102,
        attachments=(_file("a", b"x"), _file("m", os.urandom(2_800_000)), _file("b", os.urandom(8_000_000))),
        wants_read_receipt=True,
    )  # fmt: skip
    draft = Message(is_draft=True, follow_up=FollowUp("flagged", due=WHEN))
    with client_of(server) as client:
        for each in (message, draft):
            item = Item(Ref("i"), Lane.COMPOSE, "IPM.Note.X", b"", message=each)
            write = Write(kind=WriteKind.CREATE, lane=Lane.COMPOSE, folder_id="f", stamp="m1-a", item=item)
            GraphDestination(client, "a@x.com").write([write]).result(timeout=20)
    assert _findings(checker, server) == []


def test_folders(checker: Any, server: Server) -> None:
    Tree(server)
    with client_of(server) as client:
        destination = GraphDestination(client, "a@x.com")
        made = destination.place_folder(Folder("1", None, "A"), None, None)
        destination.place_folder(Folder("2", "1", "B", "IPF.Contact"), made, None)
        again = GraphDestination(client, "a@x.com")
        again.place_folder(Folder("1", None, "D"), "inbox", made)
        again.remove_folder(made)
    # Creating folders of any class is documented, but newer than the description.
    newer = "POST not allowed on /admin/exchange/mailboxes/"
    assert [each for each in _findings(checker, server) if newer not in str(each)] == []


@pytest.mark.parametrize(
    "identities",
    [
        [identify(Facts(message_id="<it's&@x>", submitted=WHEN), "m1-aa")],
        [identify(Facts(subject_hash=b"1", submitted=WHEN))],
        [identify(Facts(item_class="IPM.Contact", search_key=b"1"))],
        [identify(Facts(message_id=f"<{n}@x>"), f"m1-{n}") for n in range(50)],
    ],
)
def test_look_ups(checker: Any, server: Server, identities: list[Identity]) -> None:
    tree = Tree(server)

    def route(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if path == "/$batch" and b"/messages" in body:
            ids = range(body.count(b'"GET"'))
            return 200, {}, {"responses": [{"id": str(n), "status": 200, "body": {"value": []}} for n in ids]}
        if "/messages" in path or "/items" in path:
            return 200, {}, {"value": []}
        return tree.route(method, path, headers, body)

    server.route = route
    with client_of(server) as client:
        destination = GraphDestination(client, "a@x.com")
        assert destination.find(identities) == {each: [] for each in identities}
        assert list(destination.inventory("inbox")) == []
    assert _findings(checker, server) == []


def test_flags_moves_removals_and_claims(checker: Any, server: Server) -> None:
    server.route = lambda *_: (200, {}, {"id": "x", "changeKey": "k", "responses": []})
    flag = Write(kind=WriteKind.FLAG, is_read=True, target_id="t")
    move = Write(kind=WriteKind.MOVE, lane=Lane.COMPOSE, stamp="m1-a", folder_id="f", target_id="t")
    with client_of(server) as client:
        destination = GraphDestination(client, "a@x.com")
        destination.stake(Claim("here", 1, 2))
        destination.claim()
        destination.write([move, flag, Write(kind=WriteKind.REMOVE, target_id="t")]).result(timeout=20)
    assert _findings(checker, server) == []
