"""The tenant's documented limits: who is over them gets 429 and a wait that is long enough; batches count by their parts."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from test_login import Face, tenant_of

from connectors.base import Item as Fetched
from connectors.base import Lane, Receipt, Write, WriteKind, stamp_of
from connectors.base import Ref as Source
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination
from connectors.lab import limits, stream
from connectors.lab.limits import AT_ONCE, REQUEST_WINDOW, REQUESTS, UPLOAD, UPLOAD_WINDOW, Limits
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item

SPEED = 6000.0
"""Ten minutes are a tenth of a second."""


class Clock:
    """A clock that stands until it is moved on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


def one(counted: Limits, size: int = 0, mailbox: str = "m", app: str = "a") -> tuple[str, float] | None:
    """A request from its arrival to its answer."""
    broken = counted.arrive(app, mailbox, size)
    if broken is None:
        counted.leave(app, mailbox)
    return broken


# --- what is counted


def test_ten_thousand_requests_go_in_ten_minutes_and_no_more(clock: Clock) -> None:
    counted = Limits(on=True, speed=1)
    assert {one(counted) for _ in range(REQUESTS)} == {None}
    clock.now += 60
    assert one(counted) == ("requests", REQUEST_WINDOW - 60)
    assert one(counted, mailbox="other") is None
    assert one(counted, app="other") is None
    clock.now += REQUEST_WINDOW - 60
    assert one(counted) is None


def test_a_refused_request_is_usage_too(clock: Clock) -> None:
    counted = Limits(on=True, speed=1)
    for _ in range(REQUESTS):
        one(counted)
    clock.now += REQUEST_WINDOW / 2
    for _ in range(REQUESTS):
        assert one(counted) is not None
    clock.now += REQUEST_WINDOW / 2
    assert one(counted) == ("requests", REQUEST_WINDOW / 2)
    assert counted.usage["a", "m"].refused == {"requests": REQUESTS + 1}


def test_uploads_are_counted_by_their_bytes(clock: Clock) -> None:
    counted = Limits(on=True, speed=1)
    assert one(counted, UPLOAD) is None
    clock.now += 100
    assert one(counted, 1) == ("upload", UPLOAD_WINDOW - 100)
    assert one(counted) is None, "what brings nothing is not held up"
    clock.now += UPLOAD_WINDOW
    assert one(counted, UPLOAD + 1) is None, "one large item goes where nothing went before it"


def test_four_go_at_once_and_the_fifth_waits() -> None:
    counted = Limits(on=True, speed=1)
    assert [counted.arrive("a", "m", 0) for _ in range(AT_ONCE)] == [None] * AT_ONCE
    assert counted.arrive("a", "m", 0) == ("MailboxConcurrency", 1.0)
    assert counted.arrive("a", "m", 0, slot=False) is None, "a part of a batch needs no slot of its own"
    counted.leave("a", "m")
    assert counted.arrive("a", "m", 0) is None
    assert counted.usage["a", "m"].most == AT_ONCE


def test_speed_shrinks_every_window(clock: Clock) -> None:
    counted = Limits(on=True, speed=100)
    one(counted, UPLOAD)
    assert one(counted, 1) == ("upload", UPLOAD_WINDOW / 100)
    clock.now += UPLOAD_WINDOW / 100
    assert one(counted, 1) is None


def test_without_limits_everything_is_counted_and_nothing_refused() -> None:
    counted = Limits(on=False, speed=1)
    assert [counted.arrive("a", "m", UPLOAD) for _ in range(9)] == [None] * 9
    usage = counted.usage["a", "m"]
    assert (usage.total, usage.bytes, usage.most) == (9, 9 * UPLOAD, 9)


# --- over the wire


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=1, items=0, limits="documented", speed=SPEED)) as lab:
        yield lab


def batch(face: Face, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    answer = face.good("POST", f"{face.lab.graph_url}/v1.0/$batch", {"requests": list(parts)})
    found: list[dict[str, Any]] = answer["responses"]
    return found


def part(face: Face, number: int, method: str = "GET", path: str = "mailFolders/inbox", **more: Any) -> dict[str, Any]:
    if "body" in more:
        more["headers"] = {"Content-Type": "application/json"}
    return {"id": str(number), "method": method, "url": f"/users/{face.mailbox.address}/{path}", **more}


def test_each_part_of_a_batch_is_a_request_and_the_wait_is_long_enough(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS", 15)
    answers = batch(face, *(part(face, number) for number in range(20)))
    assert [answer["status"] for answer in answers] == [200] * 15 + [429] * 5
    waits = [float(answer["headers"]["Retry-After"]) for answer in answers[15:]]
    assert all(0 < wait <= REQUEST_WINDOW / SPEED for wait in waits)
    assert answers[-1]["body"]["error"]["code"] == "ApplicationThrottled"
    time.sleep(max(waits) + 0.05)
    assert face.ask("GET", "mailFolders/inbox").status_code == 200


def test_bytes_over_the_limit_are_refused_with_a_wait(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOAD", 10)
    bodies = [part(face, number, "POST", "messages", body={"subject": "x" * 20}) for number in range(3)]
    answers = batch(face, *bodies)
    assert [answer["status"] for answer in answers] == [201, 429, 429]
    assert 0 < float(answers[1]["headers"]["Retry-After"]) <= UPLOAD_WINDOW / SPEED
    assert len(face.mailbox.items) == 1


def test_more_than_four_at_once_are_refused_with_a_wait(lab: Lab, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.options[1], "latency", 0.2)

    def ask(_: int) -> requests.Response:
        with requests.Session() as own:
            own.headers.update(face.session.headers)
            own.verify, own.trust_env = face.session.verify, False
            return Face(lab, own, face.mailbox).ask("GET", "mailFolders/inbox")

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(12)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.status_code for answer in answers} == {200, 429}
    assert {float(answer.headers["Retry-After"]) for answer in refused} == {0.001}
    assert "MailboxConcurrency" in refused[0].json()["error"]["message"]


def test_a_batch_takes_one_slot_and_without_one_all_its_parts_wait(lab: Lab, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.options[1], "at_once", 0)
    assert [answer["status"] for answer in batch(face, part(face, 1), part(face, 2))] == [429, 429]
    monkeypatch.setattr(lab.options[1], "at_once", 1)
    for _ in range(2):
        assert [answer["status"] for answer in batch(face, part(face, 1), part(face, 2))] == [200, 200]


def test_our_client_brings_everything_though_it_is_throttled(lab: Lab, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS", 16)
    client = GraphClient(tenant_of(lab))
    destination = GraphDestination(client, face.mailbox.address)
    try:
        folder = face.folder_id("inbox")
        data = base64.b64encode(stream.pack(Item(subject="s", message_id="<1@x>"), (15, 1, 2507)))
        writes = [
            Write(
                kind=WriteKind.CREATE,
                folder_id=folder,
                stamp=stamp_of(bytes([number]) * 16),
                item=Fetched(Source(f"i{number}"), Lane.IMPORT, "IPM.Note", b"12345678", stream=data),
            )
            for number in range(20)
        ]
        outcomes = destination.write(writes).result(60)
    finally:
        client.close()
    assert {type(outcome) for outcome in outcomes} == {Receipt}
    assert len(face.mailbox.items) == 20


# --- batches


def test_a_part_waits_for_those_it_depends_on_and_fails_with_them(face: Face) -> None:
    answers = batch(
        face,
        part(face, 1),
        part(face, 2, path="mailFolders/nowhere"),
        part(face, 3, dependsOn=["1"]),
        part(face, 4, "POST", "messages", body={"subject": "never"}, dependsOn=["1", "2"]),
        part(face, 5, dependsOn=["4"]),
    )
    assert [(answer["id"], answer["status"]) for answer in answers] == [
        ("1", 200),
        ("2", 404),
        ("3", 200),
        ("4", 424),
        ("5", 424),
    ]
    assert not face.mailbox.items


def test_each_part_has_headers_of_its_own(face: Face) -> None:
    face.put()
    immutable, classic = batch(
        face,
        {**part(face, 1, path="messages?$select=id"), "headers": {"Prefer": 'IdType="ImmutableId"'}},
        part(face, 2, path="messages?$select=id"),
    )
    assert immutable["body"]["value"] == face.good("GET", "messages?$select=id")["value"]
    assert immutable["body"]["value"] != classic["body"]["value"]


@pytest.mark.parametrize("wrong", ["too many", "same id", "no content type", "no list"])
def test_a_batch_that_is_wrong_is_refused_as_a_whole(face: Face, wrong: str) -> None:
    create = part(face, 0, "POST", "messages", body={})
    bodies: dict[str, object] = {
        "too many": {"requests": [create, *(part(face, number) for number in range(1, 21))]},
        "same id": {"requests": [create, part(face, 0)]},
        "no content type": {"requests": [create, {**create, "id": "1", "headers": {}}]},
        "no list": {"requests": create},
    }
    assert face.refused("POST", f"{face.lab.graph_url}/v1.0/$batch", bodies[wrong]) == (400, "BadRequest")
    assert not face.mailbox.items
