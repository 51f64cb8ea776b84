"""How much of what the tenant allows does the engine use, and does it ever ask for more?

    uv run python tests/limits/limits_run.py                                          # bytes and requests, nine minutes
    uv run python tests/limits/limits_run.py --case slots-100ms --case slots-300ms    # at the real clock, nine minutes
    uv run python tests/limits/limits_run.py --case slots-1s --case crowd             # 100 mailboxes beside one, 12 minutes

One mailbox a case (in ``crowd`` a hundred at once), carried by the real command in a process of its own, against the lab with the
documented limits: 150 MB of bodies in 5 minutes, 10,000 requests in 10 minutes, 4 requests at once. The tenant's clock runs
``speed`` times faster, so that the budget binds and not the processor; the engine's config says the same of its windows. Use is
what arrived at the tenant in whole sliding windows, the first left out, by the budget. Exit code 1 if a binding budget was used
by less than 97 %, if the mailboxes of the crowd lose more than 3 % to each other, or if the tenant had to refuse a request.

The lab's ``speed`` shrinks windows and not latency, so the slots are measured at speed 1. An answer takes a fifth more or less
than the latency that a case names.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arrivals import Arrival, slots_busy, use_of

from connectors.lab.limits import AT_ONCE, REQUEST_WINDOW, REQUESTS, UPLOAD, UPLOAD_WINDOW

HERE = Path(__file__).parent
LEAST_USE = 0.97
MOST_LOST = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One budget that is to bind. ``rest`` is the share of slots that has to be free, or the slots would bind instead.

    ``windows`` is how many the run shall last, the first one included. ``scale`` makes amounts and windows that many times
    smaller, for a short run at the documented rate. ``mailboxes`` run at once; figures are means over them.
    """

    name: str
    binds: str
    size: int = 0
    speed: float = 1.0
    windows: float = 4.0
    latency: float = 0.0
    rest: float = 0.3
    scale: int = 1
    mailboxes: int = 1

    @property
    def budget(self) -> tuple[float, float]:
        """Amount and window in seconds, as this run has them."""
        amount, window = (UPLOAD, UPLOAD_WINDOW) if self.binds == "upload_bytes" else (REQUESTS, REQUEST_WINDOW)
        return amount / self.scale, window / self.speed / self.scale

    @property
    def items(self) -> int:
        """Enough for all windows, in each mailbox; one request and the stream's body an item."""
        if self.binds == "slots":
            return int(self.windows * 60 * AT_ONCE / self.latency)
        an_item = 4 / 3 * self.size + 2000 if self.binds == "upload_bytes" else 1
        return int(self.budget[0] * self.windows / an_item)


CASES = (
    Case(name="bytes", binds="upload_bytes", size=750_000, speed=20.0, windows=5.3),
    Case(name="requests", binds="requests", speed=5.0, windows=3.3),
    # At 100 ms the requests of ten minutes would bind after four.
    Case(name="slots-100ms", binds="slots", latency=0.1, windows=3.5, rest=0.0),
    Case(name="slots-300ms", binds="slots", latency=0.3, windows=5.0, rest=0.0),
    Case(name="slots-1s", binds="slots", latency=1.0, windows=5.0, rest=0.0),
    Case(name="crowd", binds="slots", latency=1.0, windows=6.0, rest=0.0, mailboxes=100),
)
NORMAL = ("bytes", "requests")


def main() -> int:
    reader = argparse.ArgumentParser(description="Measure how much of the tenant's documented limits is used.")
    reader.add_argument("--case", choices=[case.name for case in CASES], action="append", help="by default bytes and requests")
    reader.add_argument("--out", type=Path, default=Path("limits.json"), help="the figures, as JSON")
    asked = reader.parse_args()
    found = [run_case(case) for case in CASES if case.name in (asked.case or NORMAL)]
    compare(found)
    asked.out.write_text(json.dumps(found, indent=1), "utf-8")
    print(table(found))
    wrong = [f"{one['case']}: {one['wrong']}" for one in found if one["wrong"]]
    print("\n".join(wrong) or "Every binding budget is used, and nothing had to be refused.")
    return 1 if wrong else 0


def run_case(case: Case) -> dict[str, Any]:
    """Run one case and return its figures; ``wrong`` is a sentence if it does not hold."""
    with tempfile.TemporaryDirectory(prefix="limits-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with limited_lab(case, folder):
            pace_for(case, folder / "lab.toml")
            begun = time.monotonic()
            command = [sys.executable, "-m", "migrator", "-c", str(folder / "lab.toml"), "--json", "run", "--lane", "import"]
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
            seconds = time.monotonic() - begun
        if done.returncode:
            return {
                "case": case.name,
                "wrong": f"the pass ended with {done.returncode}: {_cause(done.stdout) or done.stderr.strip()[-300:]}",
            }
        mailboxes = json.loads(done.stdout)["mailboxes"]
        arrived = [[Arrival(**one) for one in some] for some in json.loads((folder / "arrivals.json").read_text()).values()]
    waited = Counter[str]()
    for mailbox in mailboxes:
        waited.update({name: value for name, value in mailbox["figures"].items() if "waited." in name})
    # A hundred mailboxes begin one after the other, since listing them takes a processor: all are looked at in the time in which
    # all write.
    span = (max(some[0].came for some in arrived), min(some[-1].came for some in arrived))
    found = together(case, [figures(case, some, waited, span) for some in arrived])
    return found | {"items": sum(mailbox["done"] for mailbox in mailboxes), "seconds": round(seconds, 1)}


def _cause(told: str) -> str:
    try:
        return next((str(one["cause"]) for one in json.loads(told)["mailboxes"] if one["cause"]), "")
    except (ValueError, KeyError):
        return ""


def together(case: Case, each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all mailboxes of a case as one: sums of what came, means of what was used."""
    if len(each) == 1:
        return each[0]
    found = dict(each[0])
    for name in ("requests", "MB"):
        found[name] = round(sum(one[name] for one in each), 1)
    for name in ("used", "slots_busy"):
        found[name] = round(sum(one[name] for one in each) / len(each), 4)
    found["least_used"] = min(one["used"] for one in each)
    found["refused"] = dict(sum((Counter(one["refused"]) for one in each), Counter[str]()))
    refused = sorted({one["wrong"] for one in each if one["refused"]})
    return found | {"mailboxes": len(each), "wrong": "; ".join(refused)}


def compare(found: Sequence[dict[str, Any]]) -> None:
    """Hold a crowd against one mailbox alone, in the same run if that was asked for, else against all of the budget."""
    alone = next((one["used"] for one in found if one["case"] == "slots-1s" and "used" in one), 1.0)
    for one in found:
        if one["case"] == "crowd" and "used" in one and one["used"] < alone * (1 - MOST_LOST):
            one["wrong"] = f"{one['wrong']}; each mailbox used {one['used']:.1%} of its slots, and {alone:.1%} alone".strip("; ")


@contextmanager
def limited_lab(case: Case, folder: Path) -> Iterator[None]:
    words: list[object] = ["--dir", folder, "--items", case.items, "--size", case.size, "--speed", case.speed]
    words += ["--scale", case.scale, "--latency", case.latency, "--mailboxes", case.mailboxes]
    command = [sys.executable, str(HERE / "limited_lab.py"), *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as lab:
        assert lab.stdin is not None
        try:
            while not (folder / "ready").exists():
                if lab.poll() is not None:
                    raise SystemExit("The lab did not start; its words are above.")
                time.sleep(0.05)
            yield
            lab.stdin.close()
            lab.wait(60)
        finally:
            if lab.poll() is None:
                lab.kill()


def pace_for(case: Case, config: Path) -> None:
    """Tell the engine the scaled amounts; the windows are in the lab's papers already."""
    text = config.read_text("utf-8")
    for key, amount in (("requests", REQUESTS), ("upload_bytes", UPLOAD)):
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {amount // case.scale}", text)
    text = re.sub(r"(?m)^mailboxes_at_once = .*$", f"mailboxes_at_once = {max(4, case.mailboxes)}", text)
    # The lab's lease is made for tests of death; a hundred mailboxes on one core can't renew each in so few seconds.
    text = re.sub(r"(?m)^lease = .*$", "lease = 120.0", text)
    config.write_text(text, "utf-8")


def figures(
    case: Case, arrivals: Sequence[Arrival], waited: Mapping[str, float], span: tuple[float, float] | None = None
) -> dict[str, Any]:
    """What a run shows, judged. Slots are looked at within ``span``, by default from the first arrival to the last, less its
    first minute."""
    refused = Counter(one.broke for one in arrivals if one.broke)
    amount, window = case.budget
    begin, end = span or (arrivals[0].came, arrivals[-1].came)
    begin += min(window, 60.0)
    busy = slots_busy(arrivals, AT_ONCE, begin, end)
    found: dict[str, Any] = {
        "case": case.name, "speed": case.speed, "scale": case.scale, "requests": len(arrivals),
        "MB": round(sum(one.size for one in arrivals) / 1e6, 1), "refused": dict(refused), "slots_busy": round(busy, 4),
        "waited": {name.partition("waited.")[2]: round(seconds, 1) for name, seconds in waited.items() if "waited." in name},
    }  # fmt: skip
    if case.binds == "slots":
        used = busy
    else:
        amounts = [float(one.size) if case.binds == "upload_bytes" else 1.0 for one in arrivals]
        use = use_of(arrivals, amounts, amount, window)
        used, found["use"] = use.mean, use.as_json()
    found["used"] = round(used, 4)
    wrong = []
    if refused:
        wrong.append(f"the tenant had to refuse {sum(refused.values())} requests ({', '.join(refused)})")
    if busy > 1 - case.rest:
        wrong.append(f"{busy:.0%} of the slots were taken, so it is not sure what bound")
    if used < LEAST_USE:
        wrong.append(f"only {used:.1%} of the budget {case.binds} was used")
        if not found["waited"].get(case.binds):
            wrong.append("nothing ever waited for it, so it did not bind here: a lower speed asks less of the processor")
    return found | {"case_as_run": asdict(case), "wrong": "; ".join(wrong)}


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """The figures for people, a line a case."""
    lines = [f"{'CASE':<13}{'SPEED':>7}{'ITEMS':>9}{'SECONDS':>9}{'MB':>9}{'REQUESTS':>10}{'USED':>8}{'SLOTS':>8}{'REFUSED':>9}"]
    lines += [
        f"{one['case']:<13}{one['speed']:>7g}{one['items']:>9,}{one['seconds']:>9,.0f}{one['MB']:>9,.0f}{one['requests']:>10,}"
        f"{one['used']:>8.1%}{one['slots_busy']:>8.1%}{sum(one['refused'].values()):>9}"
        for one in found
        if "used" in one
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
