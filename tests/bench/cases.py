"""What is measured: the cases by name, and who runs in each."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure. ``size`` is bytes of each item's export stream without attachment; ``does`` is what the engine is
    told. ``others`` are the further contestants, which carry the same items over the same wires."""

    about: str
    lane: str = "import"
    does: str = "seed"
    size: int = 30_000
    items: int = 0
    attachment: int = 0
    mailboxes: int = 1
    folders: int = 0
    others: tuple[str, ...] = ()
    few: dict[str, int] = field(default_factory=dict)
    """Fewer items for a contestant that would take minutes; what is compared is an item."""

    @property
    def bytes(self) -> int:
        return self.size + self.attachment


ALL = ("floor", "curl", "stock-raw", "stock-models")
COMPOSED = ("engine-import", *ALL)
_SLOW = {"stock-raw": 60, "stock-models": 60}


def _import(size: int, items: int, attachment: int = 0, few: int = 60) -> Case:
    return Case(
        about=f"import lane, items of {size + attachment:,} bytes", size=size, items=items, attachment=attachment, others=ALL,
        few={"stock-raw": few, "stock-models": few},
    )  # fmt: skip


def _compose(size: int, items: int, attachment: int = 0, few: int = 60) -> Case:
    told = f" and an attachment of {attachment:,}" if attachment else ""
    return Case(
        about=f"compose lane, messages of {size:,} bytes{told}", lane="compose", size=size, items=items, attachment=attachment,
        others=COMPOSED, few={"stock-raw": few, "stock-models": few},
    )  # fmt: skip


def _wave(mailboxes: int, items: int) -> Case:
    return Case(about=f"a seed of {mailboxes} mailboxes at once", mailboxes=mailboxes, items=items, others=("floor",))


CASES = {
    "import-4k": _import(4_000, 3000),
    "import-30k": _import(30_000, 3000),
    "import-300k": _import(300_000, 2000, few=12),
    "import-20m": _import(4_000, 30, 20_000_000, few=1),
    "compose-4k": _compose(4_000, 400),
    "compose-30k": _compose(30_000, 400),
    "compose-30k-attachment": _compose(4_000, 400, 26_000),
    "compose-300k": _compose(300_000, 100, few=12),
    "compose-300k-attachment": _compose(4_000, 100, 296_000, few=12),
    "compose-20m": _compose(4_000, 4, 20_000_000, few=1),
    "seed-1": _wave(1, 1000),
    "seed-10": _wave(10, 100),
    "seed-100": _wave(100, 20),
    # A few real items beside the others, so that the target carries the claim of a mailbox that was written to.
    "delta-unchanged": Case(
        about="a delta where nothing changed, 1,000 folders of 1,000 items each", does="crowd", folders=1000, items=20, size=4_000
    ),
    "delta-unchanged-small": Case(about="a delta where nothing changed, an ordinary mailbox", does="unchanged", items=1000),
    "delta-1-percent": Case(about="a delta where one item in a hundred changed", does="delta", items=2000, size=4_000),
    "verify": Case(about="verify, item by item", does="verify", items=2000, size=4_000),
    "ledger-sqlite": Case(about="list, intend and settle on SQLite", does="ledger", lane="sqlite", items=50_000),
    "ledger-postgres": Case(about="list, intend and settle on Postgres", does="ledger", lane="postgres", items=20_000),
    "startup": Case(about="what the command costs before it does anything", does="startup"),
}
