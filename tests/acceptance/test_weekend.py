"""The weekend of docs/cutover.md, played from the decision to the close over real wires.

With a mailbox that is withdrawn, late mail, somebody on an old profile, and a roll-back.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.lab.control import Control
from connectors.lab.server import Lab, LabPlan
from migrator import cli, logs
from migrator.config import load
from state.model import MailboxState
from state.plans import WaveState
from state.store import Ledger

Tell = Callable[..., dict[str, Any]]

RESULT = '"Wave","Mailbox","Step","Result","Detail","Was","At","Who"\r\n'
ANSWERS = ("forwards=none", "holds=off", "rights=revoked", "readers=security", "old-side=none", "ledger=archive, deleted in May")


@pytest.fixture
def lab(tmp_path: Path, either_place: str) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=4, items=12)) as lab:
        # The lab's own lease is so short that on a busy machine it runs out within a command.
        # Old mail waits until it is asked for, so that there is some left on Monday.
        text = lab.config_file.read_text("utf-8").replace("lease = 5.0", "lease = 60.0\nbackfill_minutes = 0")
        text = text.replace('url = "sqlite:///migrator.db"', f'url = "{either_place}"')
        lab.config_file.write_text(text, "utf-8")
        yield lab


@pytest.fixture
def told(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Iterator[Tell]:
    """Runs a command over the lab, in this process, and gives its answer; ``code`` is what it has to end with."""

    def tell(*words: str, code: int | tuple[int, ...] = (0, 2)) -> dict[str, Any]:
        capsys.readouterr()
        ended = cli.run(("-c", str(lab.config_file), *words, "--json"))
        out = capsys.readouterr()
        assert ended in (code if isinstance(code, tuple) else (code,)), out.out + out.err
        answer: dict[str, Any] = json.loads(out.out[out.out.index("{") :])
        return answer

    yield tell
    logs.take_down()


def confirmed_by_file(folder: Path, script: str, step: str, *addresses: str) -> str:
    """The result file that a script of the kit would have written."""
    file = folder / f"{script}.result.csv"
    rows = "".join(f'"lab","{address}","{step}","done","","{{}}","2026-11-06T18:00:00Z","OLD/ops"\r\n' for address in addresses)
    file.write_bytes(b"\xef\xbb\xbf" + (RESULT + rows).encode())
    return str(file)


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {one["mailbox"]: one["state"] for one in answer["mailboxes"]}


def test_the_weekend_of_the_handbook(lab: Lab, told: Tell, tmp_path: Path) -> None:
    control = Control(tmp_path)
    ledger_url = load(lab.config_file).ledger.url
    sheet = (tmp_path / "waves.csv").read_text("utf-8-sig").splitlines()
    late_line = next(number for number, line in enumerate(sheet) if control.mailboxes("source")[2] in line)
    lines = [
        f"{line},{'since' if not number else '2020-01-01' if number == late_line else ''}" for number, line in enumerate(sheet)
    ]
    (tmp_path / "waves.csv").write_text("\n".join(lines), "utf-8")
    told("run")
    told("run")
    with Ledger.open(ledger_url) as ledger:
        rows = ledger.mailboxes()
        wave = rows[0].wave
    addresses = [row.source for row in rows]
    withdrawn, back, late, quiet = addresses
    there = {row.source: row.target for row in rows}

    # What can't go is approved before the decision; without that there is none.
    ready = told("cutover", "ready", wave, "--no-dns", code=(0, 2, 4))
    reasons = {one["reason"] for one in told("errors", "list")["items"]}
    for reason in reasons:
        told("errors", "approve", "--reason", reason, "--why", "its owners know")
    if reasons:
        assert ready["verdict"] != "go"
        told("run")
    ready = told("cutover", "ready", wave, "--no-dns", code=0)
    assert ready["verdict"] == "go"
    assert all(one["behind_seconds"] is not None and one["final_seconds"] for one in ready["mailboxes"])
    assert all("lock" in one["unconfirmed"] for one in ready["mailboxes"])

    kit = tmp_path / "kit"
    assert len(told("kit", wave, "--to", str(kit))["files"]) == 11
    rehearsed = told("cutover", "rehearse", wave, "--no-dns", code=0)
    assert (rehearsed["passes"], rehearsed["targets_seen"]) == (4, 4)
    assert set(rehearsed["rollback"]["reached"].values()) == {0}
    assert len(rehearsed["rollback"]["reached"]) == 4

    # Nothing begins while nobody said that the source is locked.
    not_yet = told("cutover", "start", wave, "--no-dns", "--without", withdrawn, code=4)
    assert set(not_yet["not_locked"]) == {back, late, quiet}
    assert set(states(not_yet).values()) == {"READY"}

    # Locked. What came in meanwhile goes with the final passes; the withdrawn mailbox is left alone.
    told("kit", "import", confirmed_by_file(kit, "01-lock-source", "lock", back, late, quiet))
    control.new(quiet, subject="in the last minute")
    begun = told("cutover", "start", wave, "--no-dns")
    assert sorted(begun["final"]) == sorted([back, late, quiet])
    assert states(begun) == {withdrawn: "READY", back: "FINAL", late: "FINAL", quiet: "FINAL"}
    assert "in the last minute" in {one["subject"] for one in control.items(there[quiet], "target")}

    # Routing can be confirmed of those alone whose final pass is done.
    routed = told("cutover", "confirm", wave, "route", code=2)
    assert routed["mailboxes"] == {back: "ROUTED", late: "ROUTED", quiet: "ROUTED"}
    assert list(routed["left_out"]) == [withdrawn]

    # Saturday: late mail by a host that nobody thought of, mail from an old profile, and new mail that arrives as it should.
    control.new(late, host="mx7.partner.example", subject="late")
    control.new(late, "sentitems", subject="from an old profile")
    control.delete(late, control.items(late)[0]["id"], hard=True)
    [edited, *_] = [one["id"] for one in control.items(back) if one["item_class"] == "IPM.Note"]
    control.edit(back, edited, subject="changed while away")
    before = {one["id"] for one in control.items(there[late], "target")}
    for address in (back, late, quiet):
        control.new(there[address], side="target", subject="native")
    told("run", late, back, quiet)
    seen = told("cutover", "status", wave, "--no-dns")
    assert states(seen) == {withdrawn: "READY", back: "SWEEPING", late: "SWEEPING", quiet: "SWEEPING"}
    by_address = {one["mailbox"]: one["arrivals"] for one in seen["mailboxes"]}
    assert seen["late"] == {"mx7.partner.example": 1}
    assert (by_address[late]["late_items"], by_address[late]["sent_from_old"]) == (1, 1)
    assert by_address[quiet]["late_items"] == 0
    assert all(by_address[address]["last_in_target"] for address in (back, late, quiet))
    after = {one["id"]: one["subject"] for one in control.items(there[late], "target")}
    assert before <= set(after), "a sweep removes nothing, whatever was deleted at the source"
    assert {"late", "from an old profile", "native"} <= set(after.values())

    # Sunday: one goes back. Its route first, then the list of what reached the target, and the messages for its owner.
    told("cutover", "rollback", wave, back, code=4)
    told("cutover", "confirm", wave, "route", back, "--result", "undone", code=0)
    home = tmp_path / "home"
    assert told("cutover", "rollback", wave, back, "--dry-run", "--to", str(home), code=0)["reached_since"] == {back: 1}
    assert not home.exists()
    source_before = control.items(back)
    told("cutover", "rollback", wave, back, "--eml", "--to", str(home), "--why", "the owner asked", code=0)
    assert control.items(back) == source_before, "nothing is written to the source"
    text = (home / "reached-the-target.csv").read_bytes().decode("utf-16")
    [listed] = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    assert "native" in (home / listed["file"]).read_text("utf-8")
    assert "native" not in text
    assert states(told("cutover", "status", wave, "--no-dns"))[back] == "SYNCING"
    assert "changed while away" not in {one["subject"] for one in control.items(there[back], "target")}
    told("run", back)
    assert "changed while away" in {one["subject"] for one in control.items(there[back], "target")}, "the source counts again"

    # The close: not before every question is answered, and for good.
    refused = told("cutover", "close", wave, code=4)
    assert refused["missing"] == ["forwards", "holds", "rights", "readers", "old-side", "ledger"]
    words = [word for answer in ANSWERS for word in ("--answer", answer)]
    left = told("cutover", "close", wave, *words, "--yes", code=4)
    assert left["open"] == dict.fromkeys((late, quiet), "Late mail is collected for another 3 d.")
    with Ledger.open(ledger_url) as ledger:
        # Nobody waits for three days here.
        ledger.plans.keep_wave(wave, WaveState.OPEN, {**ledger.plans.waves()[wave].details, "sweep_hours": 0})
    # What is older than the wave cares for is left of one of them, and goes on being carried, add-only.
    left = told("cutover", "close", wave, "--yes", code=4)
    assert left["closed"] == [quiet]
    assert "of its older part still to carry" in left["open"][late]
    older = {one["mailbox"]: one for one in told("cutover", "status", wave, "--no-dns")["mailboxes"]}
    assert (older[late]["state"], older[late]["backfill"] > 0) == ("BACKFILLING", True)
    told("run", late)
    closed = told("cutover", "close", wave, "--yes", code=0)
    with Ledger.open(ledger_url) as ledger:
        assert {row.source: row.state for row in ledger.mailboxes() if row.source in (late, quiet)} == {
            late: MailboxState.CLOSED,
            quiet: MailboxState.CLOSED,
        }
        acts = [act.what for act in ledger.plans.acts()]
    assert {
        "mailbox withdrawn",
        "locked",
        "cutover start",
        "rolled back",
        "close answered",
        "closed",
        "kit",
        "kit import",
    } <= set(acts)
    readers = Path(closed["readers"]).read_bytes().decode("utf-16")
    assert all(kind in readers for kind in ("seed", "delta", "final", "sweep"))
    assert control.stats()["sent"] == 0
