"""``verify`` and ``report``: look, and change nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from migrator.commands.words import BUG, HELD, PAUSED, Words, explain, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from connectors.base import Source
    from migrator.checking.calendars import CalendarVerdict
    from migrator.checking.deep import DeepVerdict
    from migrator.checking.verify import Verdict
    from migrator.config import Config
    from state.model import MailboxRow
    from state.store import Ledger

RUN_AGAIN = frozenset({"not-listed", "left-since", "pending", "not-placed", "changed-since"})
"""Differences that another pass mends; every other kind needs a person."""


_EXPLAINED = {
    "refused": "refused",
    "withheld": "withheld",
    "target_wins": "left as the target's user has them",
    "touched": "changed in the target since",
    "backfill": "old mail still to carry",
}
"""Figures of a verdict that explain why items were not compared equal."""


@click.command("verify", short_help="Compare both sides with the ledger, item by item.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--deep", is_flag=True, help="Read the content of every item back from both sides, too.")
@click.option("--calendar", is_flag=True, help="Compare when everything in the calendars takes place; --deep does so, too.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="With --deep: only N items a mailbox, always the same ones.")
@global_options()
@pass_words
def verify(words: Words, names: tuple[str, ...], deep: bool, calendar: bool, sample: int | None) -> int:
    """Compare what both servers hold now, item by item, and hold the ledger against it. Never writes.

    Ends with 0 if there is no difference, 3 if another pass mends them all, and 4 if one needs a person.

    \b
    Examples:
      migrator verify
      migrator verify wave1
      migrator verify --deep --sample 200
      migrator verify --calendar anna@contoso.com
    """
    if sample is not None and not deep:
        raise click.UsageError("--sample is for --deep; add --deep, or leave --sample out.")
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.waves.file import select

    config = words.load()
    need_ledger(config)
    words.start_log()
    stop = threading.Event()
    try:
        with (
            app.open_ledger(config) as ledger,
            app.Connected(config, stop, memory=app.Hints(ledger)) as connectors,
            stop_on_signals(stop),
        ):
            rows = select(ledger.mailboxes(), names, "The ledger")
            with ThreadPoolExecutor(config.run.mailboxes_at_once, thread_name_prefix="mailbox") as threads:
                asked = _Asked(deep, calendar, sample)
                tasks = [threads.submit(_verify, ledger, connectors, row, stop, asked) for row in rows]
                found = [(row, task.result()) for row, task in zip(rows, tasks, strict=True)]
    finally:
        logs.take_down()
    code = max((_code(one, calendar) for _, one in found), default=0)
    if words.json:
        mailboxes = [_verdict_as_json(row, one, calendar) for row, one in found]
        say_json({"mailboxes": mailboxes, "differences": sum(map(_differences, mailboxes)), "exit_code": code})
    else:
        for row, one in found:
            say_lines(*_verdict_lines(row, one.verdict, one.error), *_content_lines(one.content), *_calendar_lines(one.times))
    return code


@dataclass(frozen=True, slots=True)
class _Asked:
    deep: bool
    calendar: bool
    sample: int | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the comparison of one mailbox found, as far as it was asked for and got."""

    verdict: Verdict | None = None
    content: DeepVerdict | None = None
    times: CalendarVerdict | None = None
    error: tuple[int, str] | None = None


def _differences(mailbox: dict[str, Any]) -> int:
    """Items that differ, and series that fail."""
    items = [*mailbox["differences"], *mailbox.get("content", {}).get("differences", ())]
    series = [one for one in mailbox.get("calendar", {}).get("differences", ()) if one["verdict"] == "fail"]
    return sum(int(one["items"]) for one in items) + len(series)


def need_ledger(config: Config) -> None:
    """Raise BadInput if there is no ledger yet."""
    from migrator import app
    from migrator.config import BadInput

    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator run` makes it.")


def _verify(ledger: Ledger, connectors: Any, row: MailboxRow, stop: threading.Event, asked: _Asked) -> _Found:
    from migrator.checking.verify import verify_mailbox

    if stop.is_set():
        return _Found(error=(PAUSED, "Not begun: stopped before its turn."))
    try:
        with closing(connectors.source(row, stop)) as source:
            with closing(connectors.destination(row, stop)) as destination:
                verdict = verify_mailbox(ledger, row.id, source, destination)
            content = _verify_content(ledger, connectors, row, source, stop, asked.sample) if asked.deep else None
            times = _verify_calendars(ledger, connectors, row, source, stop) if asked.deep or asked.calendar else None
        return _Found(verdict, content, times)
    except Exception as error:
        code, sentence = explain(error)
        if code == BUG:
            raise
        return _Found(error=(code, sentence))


def _verify_calendars(ledger: Ledger, connectors: Any, row: MailboxRow, source: Source, stop: threading.Event) -> CalendarVerdict:
    from migrator.checking.calendars import CalendarJob, verify_calendars

    with closing(connectors.source_calendars(row, stop)) as ours, closing(connectors.destination_calendars(row, stop)) as theirs:
        return verify_calendars(CalendarJob(ledger=ledger, mailbox_id=row.id, source=source, ours=ours, theirs=theirs, stop=stop))


def _verify_content(
    ledger: Ledger, connectors: Any, row: MailboxRow, source: Source, stop: threading.Event, sample: int | None
) -> DeepVerdict:
    from migrator.checking.deep import DeepJob, verify_content

    with closing(connectors.source_reader(row, stop)) as ours, closing(connectors.destination_reader(row, stop)) as theirs:
        return verify_content(
            DeepJob(
                ledger=ledger,
                mailbox_id=row.id,
                source=source,
                source_reader=ours,
                destination_reader=theirs,
                sample=sample,
                stop=stop,
            )
        )


def _code(found: _Found, calendar_asked: bool) -> int:
    if found.verdict is None:
        return found.error[0] if found.error else 0
    content, times = found.content, found.times
    reasons = [one.what for one in (*found.verdict.differences, *(content.differences if content else ()))]
    if times is not None:
        reasons += [one.why for one in times.differences if one.verdict == "fail"]
        reasons += ["hidden"] if times.hidden and calendar_asked else []
    if not reasons:
        stopped = any(one is not None and one.figures.get("stopped") for one in (content, times))
        return PAUSED if stopped else 0
    return PAUSED if all(what in RUN_AGAIN for what in reasons) else HELD


def _verdict_as_json(row: MailboxRow, found: _Found, calendar_asked: bool) -> dict[str, Any]:
    verdict, content, times = found.verdict, found.content, found.times
    told: dict[str, Any] = {
        "wave": row.wave,
        "source": row.source,
        "target": row.target,
        "figures": verdict.figures if verdict else {},
        "differences": [asdict(one) for one in verdict.differences] if verdict else [],
        "error": found.error[1] if found.error else None,
        "exit_code": _code(found, calendar_asked),
    }
    if content is not None:
        told["content"] = {"figures": content.figures, "differences": [asdict(one) for one in content.differences]}
    if times is not None:
        told["calendar"] = {
            "figures": times.figures,
            "differences": [{**asdict(one), "sentence": one.sentence} for one in times.differences],
            "hidden": times.hidden,
        }
    return told


def _verdict_lines(row: MailboxRow, verdict: Verdict | None, error: tuple[int, str] | None) -> list[str]:
    if verdict is None:
        return [f"{row.source}: not compared. {error[1] if error else ''}".rstrip()]
    explained = [f"{number:,} {say}" for word, say in _EXPLAINED.items() if (number := verdict.figures.get(word, 0))]
    rules = [(word.partition(".")[2], number) for word, number in verdict.figures.items() if word.startswith("filtered.")]
    if rules:
        number = verdict.figures.get("filtered", 0)
        explained.append(f"{number:,} kept back by rules: {', '.join(f'{rule} {count:,}' for rule, count in rules)}")
    aside = f" ({', '.join(explained)})" if explained else ""
    matched = f"{verdict.figures.get('matched', 0):,} of {verdict.figures.get('source', 0):,} items compared equal{aside}"
    if not verdict.differences:
        return [f"{row.source}: no difference; {matched}."]
    total = sum(one.items for one in verdict.differences)
    lines = [f"{row.source}: {total:,} differences; {matched}."]
    return lines + [f"  {_short(one.folder)}: {one.sentence}" for one in verdict.differences]


_PATH = 60


def _short(path: str) -> str:
    """A path that leaves room for a sentence: its beginning and its end, because the end tells folders apart."""
    return path if len(path) <= _PATH else f"{path[: _PATH // 3]}…{path[-(_PATH - _PATH // 3 - 1) :]}"


def _content_lines(content: DeepVerdict | None) -> list[str]:
    if content is None:
        return []
    figures = content.figures
    told = [f"{figures.get('equal', 0):,} of {figures.get('compared', 0):,} items have equal content"]
    if number := figures.get("target_wins", 0):
        told.append(f"{number:,} changed by the target's user")
    for begin, sentence in (("explained.", "known to be lost"), ("unseen.", "not shown by the target")):
        some = [f"{word.removeprefix(begin)} of {number:,}" for word, number in figures.items() if word.startswith(begin)]
        if some:
            told.append(f"{sentence}: {', '.join(some)}")
    if figures.get("stopped"):
        told.append("stopped before the end")
    return [f"  content: {'; '.join(told)}.", *(f"  {_short(one.folder)}: {one.sentence}" for one in content.differences)]


def _calendar_lines(times: CalendarVerdict | None) -> list[str]:
    if times is None:
        return []
    if times.hidden:
        return [f"  calendar: not compared by time. {times.hidden}"]
    figures = times.figures
    told = [f"{figures.get('pass', 0):,} of {figures.get('series', 0):,} series and appointments take place at the same times"]
    told += [f"{number:,} {say}" for word, say in _ASIDE.items() if (number := figures.get(word, 0))]
    if figures.get("stopped"):
        told.append("stopped before the end")
    return [
        f"  calendar: {'; '.join(told)}.",
        *(f"  {_short(one.folder)}: {one.verdict}: {one.sentence}" for one in times.differences),
    ]


_ASIDE = {
    "degraded": "degraded",
    "fail": "failed",
    "target_wins": "changed by the target's user",
    "not_carried": "not carried",
    "absent": "not in that calendar of the target",
    "unnamed": "whose occurrences the source does not name",
}
"""Figures of a calendar's verdict that explain why series were not compared equal."""
