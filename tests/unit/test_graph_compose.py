"""Composed messages whose attachments follow: whole or not there, whatever breaks on the way. Against a scripted server."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from graph_script import Answer, Server, client_of, failing, serving

from connectors.base import Attachment, Doubt, Item, Lane, Message, Outcome, Receipt, Ref, Refusal, Write, WriteKind
from connectors.graph import extended as x
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.graph.upload import PART

STAMP = "m1-aa"


class Drafts:
    """A mailbox that takes messages, attachments and uploads. ``disturb`` may answer a request in its place."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.messages: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, bytearray] = {}
        self.sizes: dict[str, tuple[str, str, int]] = {}
        self.disturb: Callable[[str, str, bytes, Callable[[], Answer]], Answer | None] = lambda *_: None
        server.route = self.route

    def route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        def plain() -> Answer:
            return self._plain(method, path, headers, body)

        found = self.disturb(method, path, body, plain)
        return plain() if found is None else found

    def _plain(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.startswith("/upload/"):
            return self._upload(method, path, headers, body)
        if path.endswith("/createUploadSession"):
            item = orjson.loads(body)["AttachmentItem"]
            name = f"/upload/{len(self.sizes)}?secret=1"
            self.sizes[name] = (path.split("/")[4], item["name"], item["size"])
            self.parts[name] = bytearray()
            return 201, {}, {"uploadUrl": self.url + name, "nextExpectedRanges": ["0-"]}
        if re.search(r"/mailFolders/[^/]+/messages$", path):
            number = f"id{len(self.messages)}"
            self.messages[number] = {**orjson.loads(body), "files": {}}
            return 201, {}, {"id": number, "changeKey": "k1"}
        if method == "GET" and "/attachments" in path:
            files = self.messages[path.split("/")[4]]["files"]
            return 200, {}, {"value": [{"name": name, "size": len(content) + 50} for name, content in files.items()]}
        if method == "GET":
            wanted = re.search(r"'(m1-[^']*)'", path.replace("%27", "'"))
            found = [number for number, each in self.messages.items() if wanted and _stamp(each) == wanted.group(1)]
            return 200, {}, {"value": [{"id": number} for number in found]}
        number = path.split("/")[4]
        if method == "POST":
            sent = orjson.loads(body)
            self.messages[number]["files"][sent["name"]] = base64.b64decode(sent["contentBytes"])
            return 201, {}, {"id": "a"}
        if method == "PATCH":
            changed = {each["id"]: each for each in orjson.loads(body)["singleValueExtendedProperties"]}
            kept = [each for each in self.messages[number]["singleValueExtendedProperties"] if each["id"] not in changed]
            self.messages[number]["singleValueExtendedProperties"] = kept + list(changed.values())
            return 200, {}, {"id": number, "changeKey": "k2"}
        del self.messages[number]
        return 204, {}, None

    def _upload(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path not in self.parts:
            return failing(404, "ErrorItemNotFound")
        held = self.parts[path]
        if method == "PUT":
            assert "authorization" not in headers
            start = int(headers["content-range"].split()[1].split("-")[0])
            if start != len(held):
                return failing(416, "invalidRange")
            held.extend(body)
            number, name, size = self.sizes[path]
            if len(held) == size:
                self.messages[number]["files"][name] = bytes(held)
                del self.parts[path]
                return 201, {"Location": "x"}, None
        return 200, {}, {"nextExpectedRanges": [str(len(held))]}


def _stamp(message: dict[str, Any]) -> str:
    return next(str(each["value"]) for each in message["singleValueExtendedProperties"] if each["id"] == x.STAMP)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[GraphClient]:
    with client_of(server) as found:
        yield found


BIG = os.urandom(8_000_000)
MIDDLE = os.urandom(2_800_000)


def _file(name: str, raw: bytes) -> Attachment:
    return Attachment(name=name, content_type="application/octet-stream", content=base64.b64encode(raw))


def _send(client: GraphClient, *files: Attachment, **more: Any) -> Outcome:
    message = Message(subject="s", attachments=files, **more)
    item = Item(Ref("i"), Lane.COMPOSE, "IPM.Note", b"", message=message)
    write = Write(kind=WriteKind.CREATE, lane=Lane.COMPOSE, folder_id="f", stamp=STAMP, item=item)
    (outcome,) = GraphDestination(client, "a").write([write]).result(timeout=30)
    return outcome


def test_large_and_middle_attachments_arrive_whole_and_the_stamp_is_complete_at_the_end(
    server: Server, client: GraphClient
) -> None:
    box = Drafts(server)
    receipt = _send(client, _file("big", BIG), _file("middle", MIDDLE), wants_read_receipt=True)
    assert isinstance(receipt, Receipt)
    message = box.messages[receipt.target_id]
    assert message["files"] == {"big": BIG, "middle": MIDDLE}
    assert receipt.version == "k2"
    assert _stamp(message) == STAMP
    assert {"id": x.WANTS_RECEIPT, "value": "true"} in message["singleValueExtendedProperties"]
    assert all(len(body) < 4 * 1024 * 1024 for _, _, _, body in server.asked)


def test_a_small_message_is_one_request(server: Server, client: GraphClient) -> None:
    Drafts(server)
    assert isinstance(_send(client, _file("small", b"x")), Receipt)
    assert len(server.asked) == 1


@pytest.mark.parametrize("acted", [True, False])
@pytest.mark.parametrize("part", [1, 3])
def test_an_upload_goes_on_where_the_server_stands_after_a_lost_answer(
    server: Server, client: GraphClient, part: int, acted: bool
) -> None:
    box = Drafts(server)
    puts = 0

    def disturb(method: str, path: str, body: bytes, plain: Callable[[], Answer]) -> Answer | None:
        nonlocal puts
        puts += method == "PUT"
        if method == "PUT" and puts == part:
            if acted:
                plain()
            return "reset"
        return None

    box.disturb = disturb
    receipt = _send(client, _file("big", BIG))
    assert isinstance(receipt, Receipt)
    assert box.messages[receipt.target_id]["files"] == {"big": BIG}
    assert puts == -(-len(BIG) // PART) + (not acted)


def test_a_message_whose_attachment_is_refused_does_not_stay(server: Server, client: GraphClient) -> None:
    box = Drafts(server)
    box.disturb = lambda method, path, *_: failing(400, "ErrorCorruptData") if method == "PUT" else None
    refusal = _send(client, _file("big", BIG))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "corrupt"
    assert box.messages == {}


def test_a_broken_message_is_in_doubt_keeps_a_partial_stamp_and_is_replaced_by_the_next_attempt(
    server: Server, client: GraphClient
) -> None:
    box = Drafts(server)
    box.disturb = lambda method, path, *_: failing(500, "") if method == "POST" and path.endswith("/attachments") else None
    assert isinstance(_send(client, _file("middle", MIDDLE)), Doubt)
    (left,) = box.messages.values()
    assert _stamp(left) == STAMP + x.PARTIAL
    box.disturb = lambda *_: None
    receipt = _send(client, _file("middle", MIDDLE))
    assert isinstance(receipt, Receipt)
    (whole,) = box.messages.values()
    assert whole["files"] == {"middle": MIDDLE}
