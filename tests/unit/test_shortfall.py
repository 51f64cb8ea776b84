"""What arrived with something less is counted for each mailbox, beside its rows."""

from __future__ import annotations

from migrator.engine.shortfall import Shortfall, shortfalls
from state.store import Ledger


def test_counts_of_a_mailbox_go_on_where_an_earlier_process_left_them(ledger: Ledger) -> None:
    one, other = (ledger.plan_mailbox("wave", f"{name}@old.test", f"{name}@new.test").id for name in ("anna", "ben"))
    first = Shortfall(ledger, one)
    first.keep()
    assert shortfalls(ledger) == {}
    first.add(("attendees", "body"))
    first.keep()
    first.add(("attendees",))
    second = Shortfall(ledger, one)
    second.add(("subject",))
    second.keep()
    assert shortfalls(ledger, one) == shortfalls(ledger) == {one: {"attendees": 1, "body": 1, "subject": 1}}
    assert shortfalls(ledger, other) == {}
