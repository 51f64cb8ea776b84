"""Figures for Prometheus: the format is what it reads, the ledger's sums are in it, and no mailbox is named."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest

from migrator.config import BadInput
from migrator.metrics import Counters, parse_place, serving, text
from migrator.status import standings
from state.model import ItemState, MailboxState, Open, Row, Step
from state.store import Ledger

_LINE = re.compile(r'^migrator_[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9.e+]+$')


def fill(ledger: Ledger, wave: str = 'w "1"\\') -> None:
    mailbox_id = ledger.plan_mailbox(wave, "anna@old.example", "anna@new.example").id
    lease = ledger.lease(mailbox_id, "me", 60)
    [folder] = ledger.record_folders(lease, [("f", None, "Inbox", "IPF.Note", "inbox", 2)], 1)
    ledger.settle(
        lease,
        [
            Step(None, Row(key=b"a" * 16, folder_id=folder.id, state=ItemState.DONE, size=1000), None),
            Step(None, Row(key=b"b" * 16, folder_id=folder.id, state=ItemState.REFUSED, size=10), Open(item_id="b", reason="x")),
        ],
    )


def parsed(told: str) -> dict[str, float]:
    found = {}
    for line in told.splitlines():
        if not line.startswith("#"):
            assert _LINE.match(line), line
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_the_format_is_read_by_its_own_rules(ledger: Ledger) -> None:
    fill(ledger)
    counters = Counters()
    counters.count("created", 3, 5000)
    counters.count("created", 1, 0)
    told = text(standings(ledger), *counters.taken(), counters.began)
    found = parsed(told)
    wave = r'{wave="w \"1\"\\"}'
    assert found[f"migrator_items{wave}"] == 2
    assert found[f"migrator_items_not_gone{wave}"] == 1
    assert found[f"migrator_bytes_arrived{wave}"] == 1000
    assert found['migrator_done_total{what="created"}'] == 4
    assert found["migrator_carried_bytes_total"] == 5000
    assert sum(value for name, value in found.items() if name.startswith("migrator_mailboxes")) == 1
    assert told.endswith("\n")
    for name in {line.split("{")[0].split(" ")[0] for line in told.splitlines() if not line.startswith("#")}:
        assert told.count(f"# TYPE {name} ") == told.count(f"# HELP {name} ") == 1


def test_no_mailbox_is_named(ledger: Ledger) -> None:
    fill(ledger)
    assert "anna" not in text(standings(ledger), {}, 0, 0.0)


def test_every_state_is_there_even_with_nobody_in_it(ledger: Ledger) -> None:
    fill(ledger, "w")
    found = parsed(text(standings(ledger), {}, 0, 0.0))
    for state in MailboxState:
        assert f'migrator_mailboxes{{wave="w",state="{state.value}"}}' in found


def test_it_answers_on_loopback_and_nothing_but_figures(ledger: Ledger) -> None:
    fill(ledger)
    with serving("0", ledger, Counters()) as where:
        assert where.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(where, timeout=10) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            parsed(answer.read().decode())
        with pytest.raises(urllib.error.HTTPError, match="404") as no:
            urllib.request.urlopen(where.replace("metrics", "secrets"), timeout=10)
        no.value.close()
        port = where.rpartition(":")[2].partition("/")[0]
        with pytest.raises(BadInput, match="can't be had"), serving(port, ledger, Counters()):
            pass
    with pytest.raises(OSError):
        urllib.request.urlopen(where, timeout=10)


@pytest.mark.parametrize(
    ("place", "where"), [("9464", ("127.0.0.1", 9464)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:2", ("::1", 2))]
)
def test_a_place_is_a_port_or_an_address_with_one(place: str, where: tuple[str, int]) -> None:
    assert parse_place(place) == where


@pytest.mark.parametrize("place", ["", "here", "1:x", "99999"])
def test_what_is_no_port_is_named(place: str) -> None:
    with pytest.raises(BadInput, match="is no port"):
        parse_place(place)
