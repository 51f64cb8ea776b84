"""Figures for Prometheus: the ledger's sums at every look, and what this process has done since it began.

Text format 0.0.4 [https://prometheus.io/docs/instrumenting/exposition_formats/]. Served on loopback unless another address is
asked for; read only; names no mailbox, because figures go to more people than mail does.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from migrator import logs
from migrator.config import BadInput
from migrator.status import Standing, standings
from state.model import MailboxState
from state.store import Ledger

LOOPBACK = "127.0.0.1"

Sample = tuple[Mapping[str, str], float]


class Counters:
    """What was done since this process began, by word. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: Counter[str] = Counter()
        self._bytes = 0
        self.began = time.time()

    def count(self, word: str, items: int, size: int) -> None:
        """Something was done."""
        with self._lock:
            self._items[word] += items
            self._bytes += size

    def taken(self) -> tuple[dict[str, int], int]:
        """Items by word, and bytes."""
        with self._lock:
            return dict(self._items), self._bytes


def text(rows: Iterable[Standing], items: Mapping[str, int], size: int, began: float) -> str:
    """All figures, as Prometheus reads them."""
    rows = list(rows)
    states = Counter((row.wave, row.state.value) for row in rows)
    waves = sorted({row.wave for row in rows})
    mine = {wave: [row for row in rows if row.wave == wave] for wave in waves}
    known = [state.value for state in MailboxState]
    lines: list[str] = []

    def add(name: str, kind: str, told: str, samples: Iterable[Sample]) -> None:
        lines.append(f"# HELP migrator_{name} {told}")
        lines.append(f"# TYPE migrator_{name} {kind}")
        lines.extend(f"migrator_{name}{_labels(labels)} {value:.15g}" for labels, value in samples)

    add(
        "mailboxes", "gauge", "Mailboxes by wave and state.",
        [({"wave": wave, "state": state}, states[wave, state]) for wave in waves for state in known],
    )  # fmt: skip
    for name, told, value in (
        ("items", "Items that the source has, as far as they were listed.", lambda row: row.items),
        ("items_pending", "Items known to be still to carry.", lambda row: row.pending),
        ("items_backfill", "Older items that are carried after everything else.", lambda row: row.backfill),
        ("items_not_gone", "Refused and withheld items that nobody approved.", lambda row: row.refused - row.approved),
        ("items_approved", "Refused and withheld items that stay behind by approval.", lambda row: row.approved),
        ("bytes_arrived", "Bytes of items that arrived.", lambda row: row.gigabytes * 1e9),
        ("late_mails", "Mails that came to the old side after the flip, as last seen.", lambda row: row.late),
    ):
        add(name, "gauge", told, [({"wave": wave}, sum(map(value, mine[wave]))) for wave in waves])
    behind = {
        wave: max((row.behind for row in mine[wave] if row.behind is not None and not row.flipped), default=0.0) for wave in waves
    }
    add("behind_seconds", "gauge", "For how long nobody has looked for changes, in the mailbox that waits longest.",
        [({"wave": wave}, behind[wave]) for wave in waves])  # fmt: skip
    add(
        "done_total",
        "counter",
        "Items by what this process did to them.",
        [({"what": word}, number) for word, number in sorted(items.items())],
    )
    add("carried_bytes_total", "counter", "Bytes that this process carried.", [({}, size)])
    add("start_time_seconds", "gauge", "When this process began, in seconds since 1970.", [({}, began)])
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def parse_place(place: str) -> tuple[str, int]:
    """``9464`` or ``ADDRESS:9464``. Raises BadInput."""
    address, _, port = place.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise BadInput(f"--metrics {place} is no port; write 9464, or ADDRESS:9464 to let other machines ask.")
    return address.strip("[]") or LOOPBACK, int(port)


@contextmanager
def serving(place: str, ledger: Ledger, counters: Counters) -> Iterator[str]:
    """Answer on that port until left; gives the address. Raises BadInput if the port can't be had."""
    address, port = parse_place(place)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/metrics", "/"):
                self.send_error(404)
                return
            try:
                body = text(standings(ledger), *counters.taken(), counters.began).encode()
            except Exception as error:
                # The ledger may be away for a moment; whoever asks, asks again.
                logs.logger("migrator.metrics").warning("no figures", why=type(error).__name__)
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Who asks for figures is of no interest."""

    try:
        server = ThreadingHTTPServer((address, port), Handler)
    except OSError as error:
        raise BadInput(f"--metrics {place}: that port can't be had ({error.strerror}); name another one.") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
