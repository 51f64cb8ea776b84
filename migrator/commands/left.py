"""``check --left-behind`` and ``check --public-folders``: what the source holds that is not carried, counted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from migrator.commands.words import BUG, Words, explain, say_json, say_lines

if TYPE_CHECKING:
    from migrator.app import Connected
    from migrator.config import Config
    from migrator.waves.file import Planned


def left_behind(words: Words, names: Sequence[str]) -> int:
    """Count, for every mailbox named or all, what is never carried, and what could be. Figures are kept in the ledger, if any."""
    from migrator import app
    from migrator.inventory import left_behind_lines
    from migrator.waves.file import select

    config = words.load()
    lines = select(app.to_be_asked(config), names, config.waves.file)
    found = _ask(words, config, lines)
    code = max((each["exit_code"] for each in found), default=0)
    if words.json:
        say_json({"mailboxes": found, "exit_code": code})
        return code
    for each in found:
        if each["error"]:
            say_lines(f"{each['source']}: not counted. {each['error']}")
        else:
            say_lines(*left_behind_lines(each["source"], each["figures"], each["trees"]))
    return code


def _ask(words: Words, config: Config, lines: Sequence[Planned]) -> list[dict[str, Any]]:
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals

    words.start_log()
    stop = threading.Event()
    try:
        with (
            app.Connected(config, stop) as connectors,
            stop_on_signals(stop),
            ThreadPoolExecutor(config.run.mailboxes_at_once, thread_name_prefix="mailbox") as threads,
        ):
            most = int(max(app.takes(config, app.answers_of(config)).values()))
            found = list(threads.map(lambda line: _count(connectors, line.source, stop, most), lines))
    finally:
        logs.take_down()
    _keep(config, found)
    return found


def _count(connectors: Connected, source: str, stop: threading.Event, most: int) -> dict[str, Any]:
    told: dict[str, Any] = {"source": source, "figures": {}, "trees": {}, "error": None, "exit_code": 0}
    try:
        told["figures"] = connectors.left_behind(source, stop, most)
    except Exception as error:
        code, sentence = explain(error)
        if code == BUG:
            raise
        told |= {"error": sentence, "exit_code": code}
    return told


def _keep(config: Config, found: Sequence[dict[str, Any]]) -> None:
    """Keep the figures of mailboxes that the ledger knows, and take from it which trees of theirs are carried."""
    from connectors.errors import MailboxBlocked
    from migrator import app
    from migrator.inventory import SEEN
    from migrator.kinds import archive_address, trees_of

    rows, details = {}, {}
    if app.ledger_exists(config):
        with app.open_ledger(config) as ledger:
            rows = {row.source.casefold(): row.id for row in ledger.mailboxes()}
            details = ledger.plans.details()
            for each in found:
                number = rows.get(each["source"].casefold())
                if number is not None and not each["error"]:
                    ledger.plans.observe(number, SEEN, each["figures"])
    for each in found:
        about = details.get(rows.get(each["source"].casefold(), 0), {})
        try:
            trees = trees_of(config.run, about, {})
        except MailboxBlocked:
            trees = ()
        each["trees"] = {tree.kind: tree.name for tree in trees}
        if address := archive_address(about):
            each["trees"]["archive"] = address


def public_folders(words: Words, names: Sequence[str]) -> int:
    """Count every public folder that the owner of the first mailbox named, or of the first of all, sees."""
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.inventory import public_as_json, public_lines
    from migrator.waves.file import select

    config = words.load()
    lines = select(app.to_be_asked(config), names, config.waves.file)
    words.start_log()
    stop = threading.Event()
    try:
        with app.Connected(config, stop) as connectors, stop_on_signals(stop):
            found = list(connectors.public_folders(lines[0].source, stop))
    finally:
        logs.take_down()
    if words.json:
        say_json({**public_as_json(found), "seen_by": lines[0].source, "exit_code": 0})
    else:
        say_lines(*public_lines(found))
    return 0
