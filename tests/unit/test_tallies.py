"""Whatever happens to rows, in whatever order, the sums that are kept are the sums of the rows."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from state.model import ITEM_MOVES, ItemState, Lease, Mark, Open, Row, Step, Tally, Work
from state.store import Ledger

_addresses = itertools.count()

IDS = [None, "", "QUJD", "QUI=", "-_-_", "+/+/", "not base64", "é"]


@dataclass
class Expected:
    """One mailbox as it ought to be."""

    ledger: Ledger
    lease: Lease
    folders: list[int]
    rows: dict[bytes, Row] = field(default_factory=dict)
    opens: dict[bytes, Open] = field(default_factory=dict)

    def note(self, step: Step) -> None:
        self.rows[step.new.key] = step.new
        self.opens.pop(step.new.key, None)
        if step.open is not None:
            self.opens[step.new.key] = step.open

    def tallies(self) -> list[Tally]:
        sums: dict[tuple[int, ItemState], list[int]] = {}
        for row in self.rows.values():
            both = sums.setdefault((row.folder_id, row.state), [0, 0])
            both[0] += 1
            both[1] += row.size
        return [Tally(*place, *both) for place, both in sorted(sums.items())]

    def check(self) -> None:
        mailbox_id = self.lease.mailbox_id
        assert [tally for _, tally in self.ledger.tallies(mailbox_id)] == self.tallies() == self.ledger.recount(mailbox_id)
        assert list(self.ledger.folder_rows(mailbox_id, None)) == [self.rows[key] for key in sorted(self.rows)]
        assert self.ledger.opens(mailbox_id, list(self.rows)) == self.opens
        listed = self.ledger.open_rows(mailbox_id, set(ItemState))
        assert {row.key: (row, opened) for row, opened in listed} == {
            key: (self.rows[key], opened) for key, opened in self.opens.items()
        }


def begin(ledger: Ledger) -> Expected:
    address = f"user{next(_addresses)}@example.com"
    lease = ledger.lease(ledger.plan_mailbox("first", address, address).id, "me", 600)
    tree = [(name, None, name, "IPF.Note", None, 0) for name in ("one", "two")]
    return Expected(ledger, lease, [folder.id for folder in ledger.record_folders(lease, tree, 1)])


class History:
    """Legal changes by chance, but the same ones for the same number."""

    def __init__(self, expected: Expected, number: int) -> None:
        self._expected = expected
        self._chance = random.Random(number)
        self._keys = [bytes([number]) * 16 for number in range(6)]

    def row(self, key: bytes, old: Row | None) -> Row:
        chance = self._chance
        return Row(
            key=key,
            folder_id=chance.choice(self._expected.folders),
            state=chance.choice(sorted(ITEM_MOVES[old.state] if old else ItemState)),
            size=chance.choice([0, 1, 70_000, 10**12]),
            marks=Mark(chance.randrange(256)),
            generation=chance.randrange(5),
            target=chance.choice(IDS),
        )

    def opened(self) -> Open | None:
        chance = self._chance
        if chance.random() < 0.4:
            return None
        return Open(item_id=chance.choice(IDS) or "", work=chance.choice(list(Work)), old_target=chance.choice(IDS))

    def go_on(self) -> None:
        """One change."""
        what = self._chance.choice(["page", "intend", "settle", "rekey"])
        if what == "rekey":
            self._rekey()
            return
        expected, steps = self._expected, list[Step]()
        for key in self._chance.choices(self._keys, k=self._chance.randrange(7)):
            old = expected.rows.get(key)
            steps.append(Step(old, self.row(key, old), self.opened()))
            expected.note(steps[-1])
        if what == "page":
            folder_id = expected.folders[0]
            expected.ledger.record_page(
                expected.lease, folder_id, steps, cursor="c", fingerprint="", complete=False, generation=1
            )
        else:
            (expected.ledger.intend if what == "intend" else expected.ledger.settle)(expected.lease, steps)

    def _rekey(self) -> None:
        expected = self._expected
        if not expected.rows:
            return
        left = self._chance.choice(list(expected.rows.values()))
        key = self._chance.choice([one for one in self._keys if one != left.key])
        came = expected.rows.get(key)
        step = Step(came, self.row(key, came), self.opened())
        expected.ledger.rekey(expected.lease, left, came, step.new, step.open)
        del expected.rows[left.key]
        expected.opens.pop(left.key, None)
        expected.note(step)


def test_sums_rows_and_the_work_list_agree_after_any_history(ledger: Ledger) -> None:
    for number in range(20):
        expected = begin(ledger)
        history = History(expected, number)
        for _ in range(12):
            history.go_on()
            expected.check()


def test_a_row_that_did_not_change_leaves_its_sums(ledger: Ledger) -> None:
    expected = begin(ledger)
    row = Row(key=b"k", folder_id=expected.folders[0], state=ItemState.LISTED, size=5)
    for old, new in ((None, row), (row, row), (row, replace(row, generation=2))):
        step = Step(old, new, Open(item_id="i"))
        ledger.settle(expected.lease, [step])
        expected.note(step)
        expected.check()
