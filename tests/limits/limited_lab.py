"""The lab with documented limits and mailboxes made for one of them; writes down what arrived at the tenant.

A process of its own, so that lab and engine share no interpreter. Ends when its input does, and then writes ``arrivals.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from arrivals import Arrival

from connectors.lab import limits
from connectors.lab.limits import Limits
from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Mailbox, Part, Person, seeded_bytes

JITTER = 0.2
"""No server takes equally long for every answer; one that does brings answers in fours, which then wait for one another."""

FOLDERS = ("inbox", "sentitems", "deleteditems")


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("--dir", type=Path, required=True)
    reader.add_argument("--items", type=int, required=True)
    reader.add_argument("--size", type=int, required=True, help="bytes of an attachment of each item; 0 for none")
    reader.add_argument("--speed", type=float, required=True)
    reader.add_argument("--scale", type=int, default=1)
    reader.add_argument("--mailboxes", type=int, default=1, help="each with all the items")
    reader.add_argument("--latency", type=float, default=0.0, help="seconds that the tenant takes longer")
    asked = reader.parse_args()
    limits.REQUESTS //= asked.scale
    limits.UPLOAD //= asked.scale
    # A scaled limit is as many times smaller in a window as many times shorter: the rate stays the documented one.
    plan = LabPlan(
        folder=asked.dir, limits="documented", speed=asked.speed * asked.scale, tenant_latency=asked.latency,
        source=furnished(asked.mailboxes, asked.items, asked.size), tenant={"jitter": JITTER},
    )  # fmt: skip
    arrivals = watch_limits()
    with Lab(plan):
        (asked.dir / "ready").touch()
        sys.stdin.read()
    made = {owner: [asdict(one) for one in sorted(some, key=lambda one: one.came)] for owner, some in arrivals.items()}
    (asked.dir / "arrivals.json").write_text(json.dumps(made))
    return 0


def furnished(mailboxes: int, items: int, size: int) -> Estate:
    """Mailboxes with so many messages over three folders each, every message with an attachment of that size."""
    estate = Estate()
    content = random.Random(1).randbytes(size)
    for index in range(mailboxes):
        furnish(estate.add(an_empty(index, 1)), items, content)
    return estate


def furnish(mailbox: Mailbox, items: int, content: bytes) -> None:
    when, anna = datetime(2024, 1, 1, tzinfo=UTC), Person("Anna", "anna@contoso.test")
    boxes = [box for role in FOLDERS if (box := mailbox.by_role(role)) is not None]
    for number in range(items):
        moment = when + timedelta(minutes=number)
        parts = [Part("data.bin", "application/octet-stream", content, id=f"part {number}")] if content else []
        mailbox.add(
            Item(
                id=seeded_bytes("limited", mailbox.address, number, length=12).hex(),
                folder_id=boxes[number * len(boxes) // items].id,
                subject=f"message {number}", body_text=f"Text of message {number}.", sender=anna, author=anna, to=[anna],
                message_id=f"<limited.{number}@contoso.test>", search_key=seeded_bytes("key", mailbox.address, number),
                submitted=moment, received=moment, created=moment, modified=moment, is_read=True, parts=parts,
            )
        )  # fmt: skip


def watch_limits() -> dict[str, list[Arrival]]:
    """Note every request that the tenant's limits see, by the mailbox it is for. Called in the server's one thread."""
    noted: dict[str, list[Arrival]] = {}
    arrive, leave = Limits.arrive, Limits.leave
    under_way: dict[str, list[tuple[float, int]]] = {}

    def noting_arrive(self: Limits, app: str, mailbox: str, size: int, *, slot: bool = True, **more: Any) -> Any:
        broken = arrive(self, app, mailbox, size, slot=slot, **more)
        now = time.monotonic()
        if broken is not None:
            noted.setdefault(mailbox, []).append(Arrival(came=now, went=now, size=size, broke=broken[0]))
        elif slot:
            under_way.setdefault(mailbox, []).append((now, size))
        else:
            noted.setdefault(mailbox, []).append(Arrival(came=now, went=now, size=size))
        return broken

    def noting_leave(self: Limits, app: str, mailbox: str, *more: Any, **named: Any) -> None:
        leave(self, app, mailbox, *more, **named)
        # Which of those under way it was changes no sum: neither of arrivals nor of the time that slots were taken.
        if waiting := under_way.get(mailbox):
            came, size = waiting.pop(0)
            noted.setdefault(mailbox, []).append(Arrival(came=came, went=time.monotonic(), size=size))

    Limits.arrive, Limits.leave = noting_arrive, noting_leave  # type: ignore[method-assign]
    return noted


if __name__ == "__main__":
    sys.exit(main())
