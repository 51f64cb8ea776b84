"""How much memory the engine's process holds at most, with both servers in a process of their own.

    uv run python tests/memory/memory_run.py --mailboxes 100 --items 100 --size 30000
    uv run python tests/memory/memory_run.py --mailboxes 1 --items 100 --size 30000 --large 150000000 --lane compose

Linux only: other systems don't tell the most that a process held of itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--lane", choices=["import", "compose"], default="import")
    reader.add_argument("--mailboxes", type=int, default=1)
    reader.add_argument("--items", type=int, default=100)
    reader.add_argument("--size", type=int, default=30_000)
    reader.add_argument("--large", type=int, default=0)
    reader.add_argument("--latency", type=float, default=0.0)
    asked = reader.parse_args()
    told = measure(
        asked.lane, mailboxes=asked.mailboxes, items=asked.items, size=asked.size, large=asked.large, latency=asked.latency
    )
    print(json.dumps(told | {"peak_mb": round(told["peak"] / 1e6, 1)}))
    return 0


def measure(
    lane: str, *, mailboxes: int = 1, items: int, size: int, large: int = 0, latency: float = 0.0, extra: str = ""
) -> dict[str, Any]:
    """``peak`` in bytes, ``items`` carried, ``bytes`` and ``seconds``. ``extra`` are further lines of the config's ``[run]``."""
    with tempfile.TemporaryDirectory(prefix="memory-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        words = ["--mailboxes", mailboxes, "--items", items, "--size", size, "--large", large, "--latency", latency]
        with _lab(folder, *map(str, words)):
            config = folder / "lab.toml"
            text = config.read_text("utf-8").replace('auth = "ntlm"', 'auth = "basic"')
            # The lab's short lease is for kills; here a hundred mailboxes share two cores with their servers.
            text = text.replace("lease = 5.0", "lease = 300.0").replace("[run]\n", f"[run]\n{extra}\n")
            config.write_text(text, "utf-8")
            command = [sys.executable, str(HERE / "memory_engine.py"), name, lane]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
        if done.returncode:
            raise SystemExit(f"{(done.stderr or done.stdout).strip()[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    wanted = mailboxes * items + bool(large)
    if told["items"] != wanted:
        raise SystemExit(f"the engine carried {told['items']} of {wanted} items")
    return told


@contextmanager
def _lab(folder: Path, *words: str) -> Iterator[None]:
    command = [sys.executable, str(HERE / "memory_lab.py"), "--dir", str(folder), *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=HERE.parents[1])
    try:
        until = time.monotonic() + 300
        while not (folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the lab did not start")
            time.sleep(0.05)
        yield
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
