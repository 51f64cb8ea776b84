"""What an item costs: CPU of the engine's process alone, beside a floor, in interleaved rounds.

    uv run python tests/bench/bench.py import-30k
    uv run python tests/bench/bench.py --list

Both servers are in a process of their own and everything runs on this machine. Figures are medians over the rounds, in
milliseconds of CPU (user and system) an item; what is held to is the ratio to the floor, never a figure in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """What is carried: so many items of ``size`` bytes of text, with an attachment or none, in a lane."""

    lane: str
    size: int
    items: int
    attachment: int = 0

    @property
    def bytes(self) -> int:
        return self.size + self.attachment


CASES = {
    "import-4k": Case("import", 4_000, 1500),
    "import-30k": Case("import", 30_000, 1000),
    "import-300k": Case("import", 300_000, 200),
    "import-20m": Case("import", 4_000, 6, 20_000_000),
    "compose-4k": Case("compose", 4_000, 400),
    "compose-30k": Case("compose", 4_000, 400, 26_000),
    "compose-300k": Case("compose", 4_000, 100, 296_000),
}


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("case", nargs="?", default="import-30k", choices=CASES)
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--items", type=int, help="instead of the case's own number")
    reader.add_argument("--out", type=Path, help="the figures, as JSON")
    reader.add_argument("--list", action="store_true", help="name the cases")
    asked = reader.parse_args()
    if asked.list:
        print("\n".join(CASES))
        return 0
    told = measure(CASES[asked.case], rounds=asked.rounds, items=asked.items)
    print(table(asked.case, told))
    if asked.out:
        asked.out.write_text(json.dumps({"case": asked.case, **told}, indent=1))
    return 0


def measure(case: Case, *, rounds: int, items: int | None = None) -> dict[str, Any]:
    """Medians by contestant, and their ratios to the floor."""
    names = ["engine", "floor"]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(once(name, case, items or case.items))
    told: dict[str, Any] = {"items": items or case.items, "bytes": case.bytes, "rounds": rounds}
    for name in names:
        cpu = [one["cpu"] / one["items"] * 1000 for one in found[name]]
        last = found[name][-1]
        told[name] = {
            "cpu_ms": statistics.median(cpu), "all_cpu_ms": cpu,
            "seconds": statistics.median(one["seconds"] for one in found[name]),
            **{word.replace(" ", "_"): value / last["items"] for word, value in last.items() if "requests" in word},
        }  # fmt: skip
    told["ratio"] = told["engine"]["cpu_ms"] / told["floor"]["cpu_ms"]
    return told


def once(name: str, case: Case, items: int) -> dict[str, Any]:
    """One contestant over a fresh lab; the floor always imports, because nothing leaner carries the same items."""
    words = {"engine": case.lane, "floor": str(case.bytes)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, lab(Path(folder), case, items):
        command = [sys.executable, str(HERE / f"{name}.py"), folder, words[name]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
        if done.returncode:
            raise SystemExit(f"{name}: {(done.stderr or done.stdout).strip()[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if told["items"] != items:
        raise SystemExit(f"{name} carried {told['items']} of {items} items")
    return told


@contextmanager
def lab(folder: Path, case: Case, items: int) -> Iterator[None]:
    words = ["--dir", str(folder), "--items", str(items), "--size", str(case.size), "--attachment", str(case.attachment)]
    command = [sys.executable, str(HERE / "bench_lab.py"), *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=HERE.parents[1])
    try:
        until = time.monotonic() + 120
        while not (folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the lab did not start")
            time.sleep(0.05)
        config = folder / "lab.toml"
        # Signing in a connection costs each contestant the same and says nothing.
        config.write_text(config.read_text().replace('auth = "ntlm"', 'auth = "basic"'))
        yield
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(30)


def table(name: str, told: dict[str, Any]) -> str:
    lines = [f"{name}: {told['items']} items of {told['bytes']:,} bytes, medians of {told['rounds']} rounds"]
    for one in ("engine", "floor"):
        lines.append(f"  {one:7} {told[one]['cpu_ms']:8.3f} ms CPU an item   {told[one]['seconds']:6.1f} s")
    lines.append(f"  engine : floor = {told['ratio']:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
