"""How a source mailbox is reached: as its line of the spreadsheet says, else as the config does; the limits are the same ones."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from migrator import app
from migrator.config import load
from state.store import Ledger

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:P"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:S"
"""


def test_a_mailbox_is_reached_as_its_line_says_within_the_same_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P", "x")
    monkeypatch.setenv("S", "x")
    file = tmp_path / "migrator.toml"
    file.write_text(CONFIG, "utf-8")
    config = load(file)
    with (
        Ledger.open(f"sqlite:///{(tmp_path / 'migrator.db').as_posix()}") as ledger,
        app.Connected(config, threading.Event(), memory=app.Hints(ledger)) as connected,
    ):
        plain = ledger.plan_mailbox("w", "anna@old.example", "anna@new.example")
        other = ledger.plan_mailbox("w", "ben@old.example", "ben@new.example")
        ledger.plans.describe(other.id, {"access": "full-access"})
        assert connected.server_of(plain) is connected.server
        reached = connected.server_of(other)
        assert (reached.settings.access, connected.server.settings.access) == ("full-access", "impersonation")
        assert (reached.slots, reached.gate) == (connected.server.slots, connected.server.gate)
