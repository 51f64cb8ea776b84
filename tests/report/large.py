"""How long the views of a large ledger take: ``status``, the report, the dashboard's first page, each as a user starts it.

    python tests/report/large.py --mailboxes 10000 --items 500 --out large.json

The ledger is made up (made_ledger.py). Seconds are of this machine and of the moment; CPU is of the command's own process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import made_ledger

CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc@old.example"
password = "env:MIGRATOR_SOURCE_PASSWORD"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:MIGRATOR_TARGET_SECRET"

[ledger]
url = "sqlite:///ledger.db"
"""


def measure(folder: Path, mailboxes: int, items: int) -> dict[str, Any]:
    """The figures for a ledger of so many mailboxes with so many items each, made in this folder."""
    file = folder / "ledger.db"
    if not file.exists():
        made_ledger.make(file, mailboxes, items)
    (folder / "migrator.toml").write_text(CONFIG, "utf-8")
    told: dict[str, Any] = {"mailboxes": mailboxes, "items": mailboxes * items, "ledger_mb": round(file.stat().st_size / 1e6)}
    told["start"] = command(folder, "--version")
    told["status"] = command(folder, "status")
    told["report"] = command(folder, "report", "--out", "report.html")
    told["report"]["kb"] = round((folder / "report.html").stat().st_size / 1000)
    told["everything"] = command(folder, "report", "--to", "all")
    told["dashboard"] = dashboard(folder)
    return told


def command(folder: Path, *words: str) -> dict[str, float]:
    """One command as a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "migrator", *words], cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 2), "cpu": round(cpu, 2)}


def dashboard(folder: Path) -> dict[str, float]:
    """Milliseconds of pages, the first one and the median of ten, once the server says where it is."""
    words = [sys.executable, "-m", "migrator", "dashboard", "--port", "0"]
    begun = time.perf_counter()
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            url = re.findall(r"http://\S+", running.stdout.readline())[0]
            up = time.perf_counter() - begun
            first = asked(url)
            told = {"up_seconds": round(up, 2), "first_page_ms": first}
            for name, what in (("page", ""), ("search", "mailboxes?q=anna+becker"), ("sort", "mailboxes?sort=size&dir=down")):
                told[f"{name}_ms"] = sorted(asked(url + what) for _ in range(10))[5]
        finally:
            running.send_signal(signal.SIGTERM)
    return told


def asked(url: str) -> float:
    """Milliseconds of one question."""
    begun = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return round((time.perf_counter() - begun) * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=500, help="items of each mailbox")
    parser.add_argument("--folder", type=Path, help="where the ledger is made, and found by the next run")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        told = {**measure(folder, given.mailboxes, given.items), "cores": os.cpu_count()}
    text = json.dumps(told, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
