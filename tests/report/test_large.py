"""A large ledger: whatever is asked of it costs statements that do not grow with it, and pages that are as long as small ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import large
import pytest

from migrator.dashboard import rows
from migrator.reporting.gathering import gather
from migrator.reporting.live import Live, Query, find
from migrator.reporting.words import language
from state.store import Ledger


def test_a_page_of_the_dashboard_is_as_long_for_four_times_the_mailboxes(made: Callable[..., Path]) -> None:
    lengths = []
    for mailboxes in (120, 480):
        with Ledger.open(f"sqlite:///{made(mailboxes, 30).as_posix()}") as ledger:
            live = Live(lambda ledger=ledger: gather(ledger, recount=False), language("en"), 60)  # type: ignore[misc]
        found = find(live.view.facts.mailboxes, Query(sort="size", down=True))
        assert found.of == mailboxes
        lengths.append(len(rows(found, live)) + sum(len(part) for part in live.view.parts.values()))
    assert lengths[1] < lengths[0] * 1.25


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name != "posix", reason="what a process cost can't be asked of this system")
def test_ten_thousand_mailboxes_and_five_million_items(tmp_path: Path, tell: Callable[[str], None]) -> None:
    told = large.measure(tmp_path, 10_000, 500)
    tell(f"a ledger of {told['mailboxes']:,} mailboxes and {told['items']:,} items: {told}")
    assert told["report"]["kb"] < 500
    # A page comes out of what was gathered before, so it takes a small part of a gathering.
    assert told["dashboard"]["page_ms"] < told["report"]["seconds"] * 1000 / 20
