"""What things cost: CPU of each contestant's process alone, side by side, in interleaved rounds.

    uv run python tests/bench/bench.py import-30k
    uv run python tests/bench/bench.py --list
    uv run python tests/bench/bench.py all --out bench.json

Both servers are in a process of their own and everything runs on this machine. Figures are medians over the rounds, in
milliseconds of CPU (user and system) an item; what is held to is the ratio between contestants of one run, never a figure in
seconds. Contestants: ``engine``; ``floor``, the leanest script over the same libraries; ``curl``, libcurl with a search for
bytes, the limit (``uv pip install pycurl``; left out where it is missing); ``stock-raw`` and ``stock-models``, what an engineer
would write with exchangelib and the vendor's SDK.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cases import CASES, Case

HERE = Path(__file__).parent


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("case", nargs="*", default=["import-30k"], help="names of cases, or all")
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--items", type=int, help="instead of the case's own number")
    reader.add_argument("--only", action="append", help="a contestant; may be given several times")
    reader.add_argument("--out", type=Path, help="the figures, as JSON")
    reader.add_argument("--list", action="store_true", help="name the cases")
    asked = reader.parse_args()
    if asked.list:
        print("\n".join(f"{name:24} {case.about}" for name, case in CASES.items()))
        return 0
    names = list(CASES) if asked.case == ["all"] else asked.case
    if unknown := [name for name in names if name not in CASES]:
        raise SystemExit(f"there is no case {unknown[0]}; --list names them")
    found: dict[str, Any] = {"at": datetime.now().astimezone().isoformat("T", "seconds"), "machine": machine(), "cases": {}}
    for name in names:
        case = replace(CASES[name], items=asked.items, few={}) if asked.items else CASES[name]
        found["cases"][name] = told = measure(case, rounds=asked.rounds, only=asked.only)
        print(table(name, told), flush=True)
        if asked.out:
            asked.out.write_text(json.dumps(found, indent=1))
    return 0


def machine() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def measure(case: Case, *, rounds: int, only: list[str] | None = None) -> dict[str, Any]:
    """Medians by contestant, and their ratios to the floor."""
    if case.does == "startup":
        return startup(rounds)
    names = [name for name in ("engine", *case.others) if only is None or name in only]
    missing = [name for name in names if name == "curl" and importlib.util.find_spec("pycurl") is None]
    turns = [name for _ in range(rounds) for name in names if name not in missing]
    counts = [min(case.items, case.few.get(name, case.items)) for name in turns]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    if case.does == "ledger":
        for name in turns:
            found[name].append(answered([sys.executable, str(HERE / "ledger.py"), case.lane, str(case.items)], None))
    else:
        with LabProcess(case, counts) as lab:
            for number, (name, items) in enumerate(zip(turns, counts, strict=True)):
                found[name].append(once(name, replace(case, items=items), lab, number))
    told: dict[str, Any] = {"about": case.about, "items": case.items, "bytes": case.bytes, "rounds": rounds, "missing": missing}
    for name in names:
        if found[name]:
            told[name] = medians(found[name])
    agree(case, told)
    if {"engine", "floor"} <= told.keys():
        told["ratio"] = told["engine"]["cpu_ms"] / told["floor"]["cpu_ms"]
    for name in names:
        if name != "engine" and {"engine", name} <= told.keys():
            told[f"engine : {name}"] = told["engine"]["cpu_ms"] / told[name]["cpu_ms"]
    return told


def medians(found: list[dict[str, Any]]) -> dict[str, Any]:
    last = found[-1]
    cpu = [one["cpu"] / max(1, one["items"]) * 1000 for one in found]
    told: dict[str, Any] = {
        "items": last["items"], "cpu_ms": statistics.median(cpu), "all_cpu_ms": cpu,
        "cpu_seconds": statistics.median(one["cpu"] for one in found),
        "seconds": statistics.median(one["seconds"] for one in found),
    }  # fmt: skip
    for side in ("source", "target"):
        if f"{side} requests" in last:
            told[f"{side}_requests"] = last[f"{side} requests"]
            told[f"{side}_requests_an_item"] = last[f"{side} requests"] / max(1, last["items"])
        if f"{side} by kind" in last:
            told[f"{side}_requests_by_kind"] = last[f"{side} by kind"]
    if "ledger" in last:
        told["ledger_share"] = statistics.median(
            (one["ledger"].get("intend", 0.0) + one["ledger"].get("settle", 0.0)) / one["cpu"] for one in found
        )
        told["ledger_cpu_seconds"] = last["ledger"]
    same = ("mailboxes", "folders", "peak_mb", "hash", "bytes_an_item", "loose_bytes_an_item", "us_an_item", "wall_us_an_item")
    return told | {word: last[word] for word in same if last.get(word) is not None}


def agree(case: Case, told: dict[str, Any]) -> None:
    """Hold what arrived against one another: in the import lane the very same items, whoever carried them."""
    if case.does == "seed" and case.lane == "import":
        by_number: dict[int, set[str]] = {}
        for one in told.values():
            if isinstance(one, dict) and "hash" in one:
                by_number.setdefault(one["items"], set()).add(one["hash"])
        if any(len(hashes) > 1 for hashes in by_number.values()):
            raise SystemExit("the contestants did not carry the same")


def command_of(name: str, case: Case, folder: str) -> list[str]:
    words = {
        "engine": ["engine.py", folder, case.lane, case.does, str(case.mailboxes)],
        "engine-import": ["engine.py", folder, "import", case.does, str(case.mailboxes)],
        "floor": ["floor.py", folder, str(case.bytes)],
        "curl": ["curl.py", folder, str(case.bytes)],
        "stock-raw": ["stock.py", folder, "raw", case.lane],
        "stock-models": ["stock.py", folder, "models", case.lane],
    }[name]
    return [sys.executable, str(HERE / words[0]), *words[1:]]


def once(name: str, case: Case, lab: LabProcess, number: int) -> dict[str, Any]:
    """One contestant over a set of fresh mailboxes. Floor and curl always import: nothing leaner carries the same items."""
    told = answered(command_of(name, case, str(lab.papers(number))), lab, number)
    several = lab.gather(number)
    if case.does == "seed":
        told["hash"] = several[0][1]
        for count, _ in several:
            if count != case.items or told["items"] != case.items * case.mailboxes:
                raise SystemExit(f"{name} carried {told['items']} items, {count} arrived, and not {case.items}")
    return told


def answered(command: list[str], lab: LabProcess | None, number: int = 0) -> dict[str, Any]:
    """The last line of a contestant; what it asks of the lab on the way is done."""
    told = ""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE.parents[1]
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in process.stdout:
                told = line
                if line.startswith("lab: ") and lab is not None:
                    what, *words = line.split()[1:]
                    lab.do(what, number, *words)
                    process.stdin.write("done\n")
                    process.stdin.flush()
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{Path(command[1]).name}: {errors.read().strip()[-2000:]}")
    found: dict[str, Any] = json.loads(told)
    return found


class LabProcess:
    """Both servers, in a process of their own, with a set of mailboxes for each run of a contestant."""

    def __init__(self, case: Case, counts: list[int]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.folder = Path(self._folder.name)
        words = ["--dir", self.folder, "--size", case.size, "--attachment", case.attachment, "--mailboxes", case.mailboxes]
        words += ["--folders", case.folders, "--items", *counts]
        command = [sys.executable, str(HERE / "bench_lab.py"), *map(str, words)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=HERE.parents[1]
        )
        self._done = 0

    def __enter__(self) -> LabProcess:
        try:
            self._wait_for("ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(120)
        self._folder.cleanup()

    def papers(self, number: int) -> Path:
        """A folder with config, secrets and waves of one set, and with a ledger of its own."""
        made = self.folder / f"set-{number}"
        made.mkdir()
        for name in ("ca.pem", "source-password.txt", "target-secret.txt"):
            shutil.copy(self.folder / name, made)
        # Signing in a connection costs each contestant the same and says nothing.
        (made / "lab.toml").write_text((self.folder / "lab.toml").read_text().replace('auth = "ntlm"', 'auth = "basic"'))
        head, *lines = (self.folder / "waves.csv").read_text().splitlines()
        (made / "waves.csv").write_text("\n".join([head, *(line for line in lines if f",set{number:03d}" in line)]) + "\n")
        return made

    def do(self, *words: object) -> None:
        """Have the lab do something, and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        self._wait_for(f"done-{self._done}")
        self._done += 1

    def gather(self, number: int) -> list[tuple[int, str]]:
        """How many items came to each mailbox of a set, and a hash of them; they are forgotten then."""
        self.do("gather", number)
        told: list[tuple[int, str]] = json.loads((self.folder / f"arrived-{number}.json").read_text())
        return told

    def _wait_for(self, name: str) -> None:
        until = time.monotonic() + 300
        while not (self.folder / name).exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the lab did not answer")
            time.sleep(0.02)


def startup(rounds: int) -> dict[str, Any]:
    """CPU of ``--help`` and ``status`` as processes of their own, beside a Python that does nothing."""
    import resource

    told: dict[str, Any] = {"about": CASES["startup"].about, "rounds": rounds}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "migrator"]
        subprocess.run([*command, "init", "--dir", folder], check=True, capture_output=True)
        config = make_ready(Path(folder))
        contestants = {
            "python": [sys.executable, "-c", "pass"],
            "help": [*command, "--help"],
            "status": [*command, "-c", str(config), "status"],
        }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for _ in range(rounds + 1):  # the first of all writes byte code
            for name, words in contestants.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(words, check=True, capture_output=True, cwd=HERE.parents[1], env=kept)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                found[name].append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    for name, seconds in found.items():
        told[name] = {"cpu_seconds": statistics.median(seconds[1:])}
    return told


def make_ready(folder: Path) -> Path:
    """A config whose ledger is there, with nothing in it."""
    from migrator import app
    from migrator.config import load

    config = folder / "migrator.toml"
    with app.open_ledger(load(config)):
        return config


def table(name: str, told: dict[str, Any]) -> str:
    lines = [f"{name}: {told['about']}, medians of {told['rounds']} rounds"]
    for one, figures in told.items():
        if not isinstance(figures, dict):
            continue
        if "cpu_ms" in figures:
            line = f"  {one:14} {figures['cpu_ms']:9.3f} ms CPU an item {figures['cpu_seconds']:8.2f} s CPU"
            line += f" {figures['seconds']:7.1f} s"
        else:
            line = f"  {one:14} {figures['cpu_seconds']:8.2f} s CPU"
        if "target_requests" in figures:
            line += f"   requests {figures['source_requests']:5} + {figures['target_requests']:6}"
        lines.append(line)
    for word, value in told.items():
        if word.startswith("engine : "):
            lines.append(f"  {word} = {value:.3g}")
    engine = told.get("engine", {})
    for word, shown in (
        ("ledger_share", "intend and settle, share of CPU"),
        ("bytes_an_item", "bytes an item"),
        ("peak_mb", "MB"),
    ):
        if word in engine:
            lines.append(f"  {shown} = {engine[word]:.3g}")
    lines += [f"  {one} is not installed here: left out" for one in told.get("missing", ())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
