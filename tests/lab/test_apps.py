"""Several app registrations in one project: mailboxes are spread over them, and each has its own sign-in and its own limits."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.graph.client import GraphClient
from connectors.lab import limits
from connectors.lab.people import target_address
from connectors.lab.server import CLIENT_ID, Lab, LabPlan
from migrator import logs
from migrator.app import Connected
from migrator.cli import run
from migrator.config import load
from migrator.parts import app_of

APPS = 3


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=6, items=1, limits="documented", speed=1000.0, apps=APPS, tenant_latency=0.02)) as made:
        yield made


@pytest.fixture
def connected(lab: Lab) -> Iterator[Connected]:
    with Connected(load(lab.config_file), threading.Event()) as made:
        yield made


@pytest.fixture
def mailboxes(lab: Lab) -> list[str]:
    return [target_address(source) for source in sorted(lab.source.mailboxes)]


@pytest.mark.parametrize("apps", [1, 2, 3, 5])
def test_mailboxes_are_spread_evenly_and_always_the_same_way(apps: int) -> None:
    addresses = [f"person.{number}@contoso.example" for number in range(3000)]
    shares = Counter(app_of(address, apps) for address in addresses)
    assert sorted(shares) == list(range(apps))
    assert max(shares.values()) <= 1.2 * len(addresses) / apps
    assert [app_of(address.upper(), apps) for address in addresses] == [app_of(address, apps) for address in addresses]


def test_each_mailbox_is_carried_by_its_app_and_by_no_other(
    lab: Lab, connected: Connected, mailboxes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = watched(monkeypatch)
    for mailbox in mailboxes:
        client = connected.client_for(mailbox)
        assert client is connected.client_for(mailbox.upper())
        client.run(client.ask(mailbox, "GET", f"/users/{mailbox}/mailFolders/inbox", kind="test"))
    ids = [CLIENT_ID, *lab.further]
    assert len(served.apps) == len(mailboxes)
    assert Counter(served.apps.values()) == Counter(ids[app_of(mailbox, APPS)] for mailbox in mailboxes)
    assert len(set(served.apps.values())) > 1, "six mailboxes meet more than one app"


def test_limits_that_the_service_counts_for_an_app_multiply_with_the_apps(
    lab: Lab, mailboxes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lab.folder / "by-app.toml"
    text = lab.config_file.read_text("utf-8").replace('concurrency_scope = "mailbox"', 'concurrency_scope = "app"')
    file.write_text(text, "utf-8")
    alone = lab.folder / "alone.toml"
    alone.write_text(re.sub(r"\[\[target\.apps\]\]\n(.+\n)+", "", text), "utf-8")
    used = len({app_of(mailbox, APPS) for mailbox in mailboxes})
    for config, most in ((alone, 4), (file, 4 * used)):
        served = watched(monkeypatch)
        with Connected(load(config), threading.Event()) as connected:
            waiting = [
                client.spawn(client.ask(mailbox, "GET", f"/users/{mailbox}/mailFolders/inbox", kind="test"))
                for _ in range(12)
                for mailbox in mailboxes
                for client in [connected.client_for(mailbox)]
            ]
            for each in waiting:
                assert each.result(60).status == 200
        assert served.most == most
        monkeypatch.undo()


def test_check_asks_every_app(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [CLIENT_ID, *lab.further]
    gates = checked(lab, capsys, 0)
    for client_id in ids:
        [token] = [gate for gate in gates if gate["question"] == f"access token of app {client_id}"]
        assert token["ok"] is True
    asked = {gate["mailbox"] for gate in gates if gate["side"] == "target" and gate["question"] == "mailbox" and gate["ok"]}
    assert asked == {target_address(source) for source in lab.source.mailboxes}, "each mailbox by the app that carries it"
    assert {gate["question"] for gate in gates} >= {"target.secret", *(f"target.apps[{n}].secret" for n in range(APPS - 1))}


def test_check_names_the_app_whose_secret_is_wrong(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    file = lab.folder / "target-secret-3.txt"
    right = file.read_bytes()
    file.write_bytes(b"guessed-wrong")
    try:
        wrong = [gate["question"] for gate in checked(lab, capsys, 5) if gate["ok"] is False]
    finally:
        file.write_bytes(right)
    assert wrong == [f"access token of app {list(lab.further)[1]}"]


def test_every_secret_is_blotted_out_of_the_log_and_stays_out_of_what_is_shown(lab: Lab, connected: Connected) -> None:
    for secret in (lab.secret, *lab.further.values()):
        assert secret not in logs.redact(f"the server quotes {secret} back")
        assert secret not in repr(connected._tenants)


def test_the_end_closes_every_apps_connections(lab: Lab, mailboxes: list[str]) -> None:
    with Connected(load(lab.config_file), threading.Event()) as connected:
        clients: set[GraphClient] = set()
        for mailbox in mailboxes:
            client = connected.client_for(mailbox)
            client.run(client.ask(mailbox, "GET", f"/users/{mailbox}/mailFolders/inbox", kind="test"))
            clients.add(client)
        threads = [client._thread for client in clients]
    assert len(threads) > 1
    assert not any(thread is not None and thread.is_alive() for thread in threads)
    assert all(client._wire is not None and not len(client._wire) for client in clients)


class Served:
    """What the tenant let in: the app of each mailbox, and the most requests at once over all of them."""

    def __init__(self) -> None:
        self.apps: dict[str, str] = {}
        self.most = 0


def watched(monkeypatch: pytest.MonkeyPatch) -> Served:
    served, arrive = Served(), limits.Limits.arrive

    def watch(self: limits.Limits, app: str, mailbox: str, size: int, **more: Any) -> tuple[str, float] | None:
        broken = arrive(self, app, mailbox, size, **more)
        assert served.apps.setdefault(mailbox, app) == app, "one app a mailbox"
        served.most = max(served.most, sum(usage.running for usage in self.usage.values()))
        return broken

    monkeypatch.setattr(limits.Limits, "arrive", watch)
    return served


def checked(lab: Lab, capsys: pytest.CaptureFixture[str], code: int) -> list[dict[str, Any]]:
    """What ``check --json`` says."""
    assert run(["check", "wave1", "-c", str(lab.config_file), "--json"]) == code
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["questions"]
    return found
