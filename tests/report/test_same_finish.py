"""One ledger, one answer: what every view says of a finish, and of a final pass, is the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migrator import cli, logs
from migrator.cutover.positions import positions
from migrator.forecast import Span
from migrator.reporting.gathering import gather
from migrator.status import standings
from state.store import Ledger

A_WHILE = 60.0
"""Seconds that may lie between two looks."""

CONFIG = """
[source]
url = "https://127.0.0.1:9/EWS/Exchange.asmx"
username = "x"
password = "env:X"
[target]
tenant_id = "t"
client_id = "c"
secret = "env:X"
[ledger]
url = "sqlite:///made.db"
"""


@pytest.fixture
def asked(made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs a command over a copy of the made ledger and gives its JSON."""
    (tmp_path / "made.db").write_bytes(made().read_bytes())
    (tmp_path / "migrator.toml").write_text(CONFIG, "utf-8")

    def ask(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        cli.run(("-c", str(tmp_path / "migrator.toml"), *words, "--json"))
        logs.take_down()
        said = capsys.readouterr().out
        answer: dict[str, Any] = json.loads(said[said.index("{") :])
        return answer

    return ask


def test_status_and_report_say_the_same_of_when_a_wave_is_done(
    forty: Ledger, asked: Callable[..., dict[str, Any]]
) -> None:  # fmt: skip
    told = {one["wave"]: one["finish"] for one in asked("status", "--waves")["waves"]}
    facts = gather(forty)
    assert len(told) == len(facts.waves) == 5
    assert any(one.forecast.open for one in facts.waves)
    for wave in facts.waves:
        early, late = wave.forecast.early, wave.forecast.late
        assert (early is None) == (told[wave.name] is None)
        if early is not None and late is not None:
            assert told[wave.name]["least"] == pytest.approx(early - facts.made, rel=0.01, abs=A_WHILE)
            assert told[wave.name]["most"] == pytest.approx(late - facts.made, rel=0.01, abs=A_WHILE)


def test_one_wave_alone_is_asked_alike(forty: Ledger, asked: Callable[..., dict[str, Any]]) -> None:
    [told] = asked("status", "--waves", "--wave", "wave 4")["waves"]
    facts = gather(forty, "wave 4")
    [wave] = facts.waves
    assert wave.forecast.late is not None
    assert told["finish"]["most"] == pytest.approx(wave.forecast.late - facts.made, rel=0.01, abs=A_WHILE)


def test_status_and_the_page_before_a_cutover_say_the_same_of_a_final_pass(forty: Ledger) -> None:
    now = gather(forty).made
    of_status = {row.source: row.final for row in standings(forty, now=now) if not row.flipped}
    of_cutover = {one.address: one.takes for one in positions(forty, forty.mailboxes(), now)}
    assert {address: of_cutover[address] for address in of_status} == of_status
    assert any(isinstance(one, Span) and one.most > 0 for one in of_status.values())
