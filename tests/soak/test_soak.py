"""The soak's judgement, by made-up runs, and the command itself for some seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from steadiness import judge, sentence, table, windows

SOAK = Path(__file__).with_name("soak.py")
STEADY = {"rss": 150_000_000, "handles": 30, "threads": 7, "blocks": 500_000, "tasks": 0, "ledger": 10_000_000}


def made(hours: float = 2.0, **growth: float) -> list[dict[str, Any]]:
    """Samples every ten seconds, each figure growing by so much an hour."""
    seconds = [10.0 * number for number in range(1, int(hours * 360) + 1)]
    return [
        {"at": at, **{name: value + round(growth.get(name, 0) * at / 3600) for name, value in STEADY.items()}} for at in seconds
    ]


def wrong(samples: list[dict[str, Any]]) -> list[str]:
    return [one.figure for one in judge(samples) if one.steady is False]


def test_a_flat_run_is_steady_and_says_nothing() -> None:
    assert wrong(made()) == []
    assert sentence(judge(made()), []) == ""


@pytest.mark.parametrize(
    ("growth", "named"),
    [
        ({"rss": 20_000_000}, ["rss"]),
        ({"rss": 5_000_000}, []),
        ({"handles": 5}, ["handles"]),
        ({"handles": 1.5}, []),
        ({"threads": 2}, ["threads"]),
        ({"rss": 30_000_000, "threads": 4}, ["rss", "threads"]),
        ({"ledger": 90_000_000, "blocks": 90_000}, []),
    ],
)
def test_what_grows_from_hour_to_hour_is_named(growth: dict[str, float], named: list[str]) -> None:
    assert wrong(made(**growth)) == named


def test_what_grows_only_while_the_engine_warms_up_is_no_leak() -> None:
    samples = made()
    for one in samples:
        one["rss"] -= max(0, 600 - one["at"]) * 100_000
    assert wrong(samples) == []


def test_a_short_peak_is_no_leak_but_is_shown() -> None:
    samples = made()
    samples[-5]["rss"] += 400_000_000
    [memory, *_] = judge(samples)
    assert memory.steady
    assert memory.most == 550_000_000


def test_the_last_hour_is_compared_with_the_first_one_after_the_warm_up() -> None:
    early, late = windows(made(hours=4))
    assert (early[0]["at"], early[-1]["at"]) == (600, 4190)
    assert (late[0]["at"], late[-1]["at"]) == (10_810, 14_400)


def test_a_figure_that_the_system_does_not_tell_is_named_and_not_judged() -> None:
    samples = [one | {"handles": None} for one in made()]
    assert wrong(samples) == []
    assert "not to be had on this system" in table(judge(samples))


def test_a_run_that_ended_before_it_was_looked_at_is_not_steady() -> None:
    assert wrong(made(hours=0.005)) == ["rss", "handles", "threads"]
    assert wrong([]) == ["rss", "handles", "threads"]


def test_troubles_of_the_run_are_told_with_what_grew() -> None:
    said = sentence(judge(made(threads=4)), ["verify ended with exit code 4"])
    assert said == "Not steady: threads: grew from 9 to 13, more than the 10 allowed; verify ended with exit code 4."


def test_the_command_runs_passes_samples_them_and_judges(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    words = ["--hours", "0.004", "--every", "0.5", "--pace", "0.5", "--mailboxes", "2", "--items", "40", "--churn", "2"]
    done = subprocess.run([sys.executable, str(SOAK), *words, "--out", str(out)], capture_output=True, text=True, check=False)
    figures = json.loads(out.read_text("utf-8"))
    assert figures["finished"]
    assert figures["troubles"] == [], done.stdout
    assert (figures["verify"], figures["sent_to_people"]) == (0, 0)
    assert figures["rounds"] > 2
    assert figures["done"] > 80
    assert set(figures["codes"]) <= {"0", "2"}
    samples = figures["samples"]
    assert len(samples) > 10
    assert samples[-1]["done"] == figures["done"]
    assert all(one["threads"] > 1 for one in samples)
    assert sys.platform != "linux" or all(one["rss"] > 1e6 and one["handles"] > 2 for one in samples)
    # Seconds are no hours, so what the engine learns at first may count as growth here; the judgement has to be the file's own.
    findings = judge(samples)
    assert figures["steady"] == (sentence(findings, []) == "")
    assert done.returncode == (0 if figures["steady"] else 1)
    assert table(findings) in done.stdout
