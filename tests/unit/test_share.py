"""What many processes of one run share: their parts are whole, and together no more than the config says."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import msgspec
import pytest

from migrator import logs, parts
from migrator.config import Config, load
from migrator.waves.wave import Ending
from migrator.workers import orders
from migrator.workers.processes import largest_first
from state.model import ItemState, MailboxState, PassKind, Row, Step
from state.store import Ledger

CONFIG = """
[source]
url = "https://mail.example.com/EWS/Exchange.asmx"
username = "svc"
password = "env:P"
connections_per_server = 7
{source}
[target]
tenant_id = "t"
client_id = "c"
secret = "env:S"
{target}
[run]
mailboxes_at_once = 5
link_mbit = 80.0
"""


def config_of(folder: Path, source: str = "", target: str = "") -> Config:
    file = folder / "migrator.toml"
    file.write_text(CONFIG.format(source=source, target=target), "utf-8")
    return load(file)


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_parts_of_a_number_add_up_to_it(of: int) -> None:
    assert sum(parts.Share(index, of).of_number(7) for index in range(of)) == 7


def test_connections_and_line_are_divided_and_divided_anew_when_one_ends(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    share = parts.Share(1, 2)
    calls, link = parts.connections_of(config, share=share), parts.link_of(config, share=share)
    assert link is not None
    assert (calls(), link._rate()) == (3, 5e6)
    share.become(0, 1)
    assert (calls(), link._rate()) == (7, 10e6)


def test_no_more_processes_than_can_share_what_there_is(tmp_path: Path) -> None:
    assert parts.most_processes(config_of(tmp_path)) == 5
    hours = 'business_hours = "Mon-Fri 08:00-18:00"\nbusiness_time_zone = "Europe/Vienna"\nbusiness_connections = 2'
    assert parts.most_processes(config_of(tmp_path, source=hours)) == 2
    limits = '[target.limits]\nconcurrency = 3\nconcurrency_scope = "app"'
    assert parts.most_processes(config_of(tmp_path, target=limits)) == 3


def test_mailboxes_that_were_never_through_come_first_and_then_the_largest(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as ledger:
        small, large, _ = (ledger.plan_mailbox("w", f"{name}@a", f"{name}@b") for name in ("small", "large", "fresh"))
        for mailbox, size in ((small, 10), (large, 1000)):
            lease = ledger.lease(mailbox.id, "o", 60)
            [folder] = ledger.record_folders(lease, [("f", None, "F", "mail", None, 1)], 1)
            row = Row(key=b"k", folder_id=folder.id, state=ItemState.DONE, size=size)
            ledger.settle(lease, [Step(None, row, None)])
            for state in (MailboxState.SEEDING, MailboxState.SYNCING):
                ledger.move_mailbox(mailbox.id, state, "")
        assert [row.source for row in largest_first(ledger, ledger.mailboxes())] == ["fresh@a", "large@a", "small@a"]


@pytest.mark.parametrize("kind", ["sqlite_url", "postgres_url"])
def test_a_worker_opens_the_ledger_that_its_run_has_open(kind: str, request: pytest.FixtureRequest) -> None:
    with Ledger.open(request.getfixturevalue(kind), migrate=True) as ledger:
        planned = ledger.plan_mailbox("w", "a@a", "a@b")
        with Ledger.open(ledger.url) as same:
            assert same.mailbox(planned.id) == planned


def test_an_ending_comes_over_the_pipe_as_it_was(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as ledger:
        row = ledger.plan_mailbox("w", "a@a", "a@b")
    ending = Ending(mailbox=row, kind=PassKind.SEED, code=2, cause="So ist es – ü.", done=3, bytes=7, figures={"created": 3.0})
    pipe = io.BytesIO()
    speaker = orders.Speaker(pipe)
    speaker.say(orders.ended(ending))
    speaker.say(orders.Did(1, "created", 2, 3))
    news = list(orders.news(io.BytesIO(pipe.getvalue() + b'["Did", "cut off')))
    assert len(news) == 2
    assert isinstance(news[0], orders.Ended)
    assert orders.ending_of(news[0]) == ending


def test_a_worker_says_nothing_more_once_nobody_listens() -> None:
    pipe = io.BytesIO()
    speaker = orders.Speaker(pipe)
    pipe.close()
    speaker.say(orders.Enough())
    speaker.close()


def test_a_worker_refuses_an_order_that_it_does_not_know() -> None:
    with pytest.raises(msgspec.ValidationError):
        list(orders.orders(io.BytesIO(b'{"type": "Dance"}\n')))


def test_what_a_worker_logs_stands_in_the_runs_log_with_secrets_blotted_out(tmp_path: Path) -> None:
    said: list[tuple[int, str]] = []
    logs.hide("hunter22")
    try:
        logs.relay(lambda level, line: said.append((level, line)))
        logs.logger("migrator.run").info("pass begins", mailbox="a@a", password="hunter22")
        logging.getLogger("connectors.ews").warning("plain %s", "words")
        logs.set_up(tmp_path / "log", quiet=True)
        for level, line in said:
            logs.repeat(level, line)
    finally:
        logs.take_down()
    written = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert [one["event"] for one in written] == ["pass begins", "plain words"]
    assert written == [json.loads(line) for _, line in said]
    assert "hunter22" not in (tmp_path / "log").read_text("utf-8")
