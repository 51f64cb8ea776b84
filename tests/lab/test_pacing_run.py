"""A whole run under the caps of the config: everything arrives, and what was waited for is named where people look."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from connectors.lab.people import target_address
from connectors.lab.server import Lab, LabPlan
from migrator.cli import run


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(LabPlan(mailboxes=2, items=12, apps=2)) as made:
        yield made


def test_a_run_under_a_cap_of_the_line_and_of_business_hours_brings_everything_and_names_its_waits(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lab.folder / "capped.toml"
    text = lab.config_file.read_text("utf-8")
    text = text.replace("[run]\n", "[run]\nlink_mbit = 1.0\n").replace(
        "[source]\n", '[source]\nbusiness_hours = "Mon-Sun 00:00-24:00"\nbusiness_connections = 1\n'
    )
    file.write_text(text, "utf-8")
    assert run(["run", "-c", str(file), "--json"]) in (0, 2)
    capsys.readouterr()
    assert run(["report", "-c", str(file), "--out", str(lab.folder / "report.html"), "--json"]) in (0, 2)
    told = json.loads(capsys.readouterr().out)
    waited: dict[str, float] = {}
    for mailbox in told["mailboxes"]:
        for name, seconds in mailbox["waited"].items():
            waited[name] = waited.get(name, 0.0) + seconds
    assert waited.get("link", 0) > 0
    for source, mailbox in lab.source.mailboxes.items():
        arrived = lab.target.get(target_address(source))
        assert arrived is not None
        assert len(arrived.items) >= 0.9 * len(mailbox.items)
