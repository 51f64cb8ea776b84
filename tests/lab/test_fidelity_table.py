"""Every row of the fidelity table, by kind of item, property and lane, is carried from server to server by some test.

The suites that carry rows say which in ``ROWS``, made of the very tables over which their tests run.
"""

from __future__ import annotations

from collections.abc import Iterable

import test_contacts
import test_deep
import test_fidelity_mail
import test_fidelity_others
import test_fidelity_rows
import test_others_as
import test_tasks
from fidelity_world import Row

from migrator import fidelity
from migrator.fidelity import Line

SUITES = (
    test_contacts, test_deep, test_fidelity_mail, test_fidelity_others, test_fidelity_rows, test_others_as, test_tasks,
)  # fmt: skip
CASES: frozenset[Row] = frozenset().union(*(suite.ROWS for suite in SUITES))


def rows_of(table: Iterable[Line]) -> set[Row]:
    return {(line.lane, line.kind, line.what, line.fate) for line in table}


def test_every_row_of_the_table_has_a_round_trip() -> None:
    assert rows_of(fidelity.TABLE) - CASES == set()


def test_no_round_trip_is_of_a_row_that_the_table_does_not_have() -> None:
    assert CASES - rows_of(fidelity.TABLE) == set()


def test_a_row_without_a_round_trip_would_be_found_and_one_of_another_fate_too() -> None:
    [made_up] = rows_of([Line("compose", "mail", "scent", "kept")])
    [other] = rows_of([Line("import", "mail", "every property", "lost", "why")])
    assert not {made_up, other} & CASES
