"""``cutover``: from the decision on Friday to the close, with a way back on every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from migrator.commands.cutover_shown import (
    arrivals_table,
    hint_as_json,
    hints_of,
    page_as_json,
    page_lines,
    position_as_json,
    steps_table,
)
from migrator.commands.words import HELD, Words, global_options, pass_words, say_json, say_lines
from migrator.counts import items, mailboxes

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.cutover.readiness import Readiness
    from migrator.cutover.table import Position
    from migrator.scoring import Score
    from state.model import MailboxRow
    from state.store import Ledger

F = TypeVar("F", bound=Callable[..., Any])


def _said(function: F) -> F:
    why = click.option("--why", default="", help="A sentence for the record.")
    who = click.option("--who", default="", help="Who decides it, instead of this account and host.")
    return why(who(function))


def _dns(function: F) -> F:
    off = click.option("--no-dns", is_flag=True, help="Ask no resolver about MX records.")
    inside = click.option("--internal-dns", default="", metavar="ADDRESS[:PORT]", help="Instead of this machine's resolver.")
    outside = click.option(
        "--public-dns",
        default="",
        metavar="ADDRESS[:PORT]",
        help="A public resolver to ask too, instead of `cutover.public_dns`.",
    )
    return off(inside(outside(function)))


@click.group("cutover", short_help="Cut a wave over: ready, start, confirm, roll back, close.")
@global_options()
def cutover() -> None:
    """Cut a wave over: decide, lock, final passes, route, collect late mail, close; with a way back on every step.

    \b
    Example:
      migrator cutover ready wave1
    """


@cutover.command("ready", short_help="Say go, no-go, or go without whom.")
@click.argument("wave")
@_dns
@global_options()
@pass_words
def ready(words: Words, wave: str, no_dns: bool, internal_dns: str, public_dns: str) -> int:
    """One page before the decision: go, no-go, or go without these. For each mailbox how far behind it is, how long its final
    pass would take, what can't go and nobody approved, and which scripts nobody confirmed. Asks no server but a resolver.

    Exit code 0 for go, 2 for go without these, 4 for no-go.

    \b
    Example:
      migrator cutover ready wave1 --no-dns
    """
    from migrator.commands.finding import existing_ledger, wave_of
    from migrator.cutover.readiness import Verdict
    from migrator.cutover.work import page
    from migrator.scoring import sentences

    config = words.load()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        scores, blocked = _scores(config, ledger, rows)
        told = page(ledger, rows[0].wave, rows, config.run.mailboxes_at_once, len(config.target.apps) + 1, blocked)
        hints = hints_of(ledger, rows, not no_dns, internal_dns, public_dns or config.cutover.public_dns)
    code = {Verdict.GO: 0, Verdict.WITHOUT: 2, Verdict.NO_GO: HELD}[told.verdict]
    if any(not scores[one.position.address].may_complete for one in told.candidates if one.goes):
        code = max(code, 2)
    if words.json:
        graded = {address: asdict(one) for address, one in scores.items()}
        say_json({**page_as_json(told), "scores": graded, "dns": [hint_as_json(hint) for hint in hints], "exit_code": code})
    else:
        # What blocks says the page; where nothing is blocked by it, it has to be said here.
        graded_lines = sentences(scores)[: 1 if config.cutover.score_blocks else None]
        say_lines(*page_lines(told), *graded_lines, *(hint.sentence() for hint in hints))
    return code


def _scores(config: Config, ledger: Ledger, rows: Sequence[MailboxRow]) -> tuple[dict[str, Score], dict[int, str]]:
    """The score of each mailbox by its address, and what it keeps back by number; nothing where the config says so."""
    from migrator.scoring import hindrance, measure, read_rule, score

    rule, measured = read_rule(config.errors.scoring), measure(ledger, [row.id for row in rows])
    scores = {row.id: score(measured[row.id], rule) for row in rows}
    blocked = {number: why for number, one in scores.items() if (why := hindrance(one))} if config.cutover.score_blocks else {}
    return {row.source: scores[row.id] for row in rows}, blocked


@cutover.command("start", short_help="Lock what is ready, and run the final passes.")
@click.argument("wave")
@click.option("--without", multiple=True, metavar="ADDRESS", help="Withdraw this mailbox first; may be given several times.")
@click.option("--with", "again", multiple=True, metavar="ADDRESS", help="Take in again one that was withdrawn.")
@click.option("--early", is_flag=True, help="Begin although --complete-after is still to come; needs --why.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@_dns
@_said
@global_options()
@pass_words
def start(
    words: Words,
    wave: str,
    without: tuple[str, ...],
    again: tuple[str, ...],
    early: bool,
    dry_run: bool,
    no_dns: bool,
    internal_dns: str,
    public_dns: str,
    why: str,
    who: str,
) -> int:
    """Move every mailbox whose lock is confirmed from READY to LOCKED and run the final passes, the smallest first.

    Begins nothing while a mailbox of the wave is not ready, or planned for later (`complete_after`), and not named behind
    --without. Run it again after a stop: it goes on.
    A resolver is asked for the TTL of the records that will change: late mail is collected for twice that at least.

    \b
    Examples:
      migrator cutover start wave1 --dry-run
      migrator cutover start wave1 --without ben@example.com
    """
    from migrator.commands.carry import carry
    from migrator.commands.finding import existing_ledger, some_of, wave_of
    from migrator.commands.finding import who as who_am_i
    from migrator.config import BadInput
    from migrator.cutover import work
    from migrator.cutover.positions import positions
    from migrator.cutover.positions import stopped as why_not_at_all
    from migrator.cutover.readiness import smallest_first
    from migrator.cutover.table import UNDER_WAY, edge, hindrances, too_early
    from state.model import MailboxState

    if early and not why.strip():
        raise BadInput("--early needs a sentence behind --why; somebody planned it for later, and will ask.")
    config, who = words.load(), who or who_am_i()
    words.start_log()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        out, back = some_of(rows, without), some_of(rows, again)
        name = rows[0].wave
        if not dry_run:
            for row in back:
                work.take_in_again(ledger, row, who)
            for row in out:
                work.withdraw(ledger, row, who, why)
        here = [row for row in wave_of(ledger, wave) if row.id not in {one.id for one in out}]
        _, blocked = _scores(config, ledger, here)
        told = work.page(ledger, name, here, config.run.mailboxes_at_once, len(config.target.apps) + 1, blocked)
        # What was stopped on its way goes on by being run again; only who has not begun can be left out.
        staying = [one for one in told.candidates if not one.goes and one.position.stands not in UNDER_WAY]
        stopped = why_not_at_all(ledger.plans.waves().get(name))
        waiting = (
            {}
            if early
            else {
                one.position.address: sentence
                for one in told.candidates
                if one.position.stands not in UNDER_WAY and (sentence := too_early(one.position))
            }
        )
        if staying or stopped or waiting:
            return _not_begun(words, told, stopped, waiting)
        kept: dict[str, str] = {}
        final: list[Position] = []
        for one in positions(ledger, here, scores=blocked):
            if one.withdrawn:
                continue
            if one.stands is MailboxState.READY:
                why_not = hindrances(edge("lock", MailboxState.READY), one)
                if why_not:
                    kept[one.address] = " ".join(why_not)
                    continue
                if not dry_run and (busy := work.lock(ledger, name, one, who)):
                    kept[one.address] = " ".join(busy)
                    continue
                final.append(one)
            elif one.stands is MailboxState.LOCKED:
                final.append(one)
        if not dry_run:
            hints_of(ledger, here, not no_dns, internal_dns, public_dns or config.cutover.public_dns)
            ledger.plans.act(who, "cutover start", wave=name, why=why, final=len(final), not_locked=len(kept), early=early)
    order = [one.address for one in smallest_first(final)]
    endings = [] if dry_run or not order else carry(config, order, quiet=words.json, first=order)
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        after = positions(ledger, rows)
    code = max([HELD if kept else 0, *(ending.code for ending in endings)])
    if words.json:
        say_json(
            {
                "wave": name, "final": order, "not_locked": kept, "withdrawn": [row.source for row in out],
                "mailboxes": [position_as_json(one) for one in after], "dry_run": dry_run, "exit_code": code,
            }
        )  # fmt: skip
        return code
    say_lines(*(f"{address}: {sentence}" for address, sentence in kept.items()))
    if dry_run:
        say_lines(f"Would run {len(order)} final passes, in this order: {', '.join(order) or 'none'}.")
        return code
    say_lines(*steps_table(after))
    if not kept and all(ending.code in (0, 2) for ending in endings):
        say_lines(f"Now route the mail, then `migrator cutover confirm {name} route`.")
    return code


def _not_begun(words: Words, told: Readiness, stopped: str, waiting: Mapping[str, str]) -> int:
    from migrator.cutover.table import UNDER_WAY

    if words.json:
        say_json({**page_as_json(told), "too_early": dict(waiting), "exit_code": HELD})
        return HELD
    say_lines(stopped or "Nothing was begun. Mend these, or name them behind --without:")
    for one in told.candidates:
        sentences = [*one.hindrances, *filter(None, [waiting.get(one.position.address)])]
        if sentences and one.position.stands not in UNDER_WAY:
            say_lines(f"{one.position.address}: {' '.join(sentences)}")
    return HELD


@cutover.command("status", short_help="Say where each mailbox is on its way over.")
@click.argument("wave")
@_dns
@global_options()
@pass_words
def status(words: Words, wave: str, no_dns: bool, internal_dns: str, public_dns: str) -> int:
    """Say where each mailbox is on its way over and what it waits for; what arrived last on either side, late mail by the host
    that still delivers to the old side, and who still sends from there. Asks no server but a resolver.

    \b
    Example:
      migrator cutover status wave1 --no-dns
    """
    from migrator.commands.finding import existing_ledger, wave_of
    from migrator.cutover.positions import positions
    from migrator.cutover.work import arrivals, still_delivering

    config = words.load()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        where, seen = positions(ledger, rows), arrivals(ledger)
        hosts = still_delivering(ledger, rows)
        hints = hints_of(ledger, rows, not no_dns, internal_dns, public_dns or config.cutover.public_dns)
    if words.json:
        say_json(
            {
                "wave": rows[0].wave,
                "mailboxes": [{**position_as_json(one), "arrivals": seen.get(one.mailbox_id, {})} for one in where],
                "late": dict(hosts),
                "dns": [hint_as_json(hint) for hint in hints],
                "exit_code": 0,
            }
        )
        return 0
    say_lines(*arrivals_table(where, seen))
    if hosts:
        told = ", ".join(f"{host} ({number:,})" for host, number in hosts.most_common())
        say_lines(f"Hosts that still delivered to the old side: {told}")
    say_lines(*(hint.sentence() for hint in hints))
    return 0


@cutover.command("confirm", short_help="Say that a step was done by hand.")
@click.argument("wave")
@click.argument(
    "step",
    type=click.Choice(["lock", "route", "permissions", "rules", "addresses", "unlock", "forwards", "holds", "revoke"]),
)
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option(
    "--result", type=click.Choice(["done", "failed", "undone"]), default="done", show_default=True, help="What became of it."
)
@click.option("--dry-run", is_flag=True, help="Say of whom it would be written down; write nothing.")
@_said
@global_options()
@pass_words
def confirm(
    words: Words, wave: str, step: str, addresses: tuple[str, ...], result: str, dry_run: bool, why: str, who: str
) -> int:  # fmt: skip
    """Say that a step outside of this program was done, for the whole wave or some mailboxes; `kit import` does so by file.

    Confirmed routing moves mailboxes from FINAL to ROUTED; from then on passes only add. Exit code 2 if some were left out.

    \b
    Examples:
      migrator cutover confirm wave1 route
      migrator cutover confirm wave1 route ben@example.com --result undone
    """
    from migrator.commands.finding import existing_ledger, some_of, wave_of
    from migrator.commands.finding import who as who_am_i
    from migrator.cutover import work

    config = words.load()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        chosen = some_of(rows, addresses) if addresses else rows
        told = work.confirm(ledger, chosen, step, result, who or who_am_i(), why, dry_run=dry_run)
    code = 2 if told.left else 0
    if words.json:
        say_json(
            {
                "step": step, "result": result, "dry_run": dry_run, "exit_code": code,
                "mailboxes": {row.source: row.state.value for row in told.rows},
                "left_out": {row.source: sentence for row, sentence in told.left},
            }
        )  # fmt: skip
        return code
    say_lines(f"{step} {result}: {len(told.rows):,} of {len(chosen):,} mailboxes{' (not written down)' if dry_run else ''}.")
    say_lines(*(f"{row.source}: {sentence}" for row, sentence in told.left))
    return code


@cutover.command("rollback", short_help="Take mailboxes back to the source.")
@click.argument("wave")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--all", "everybody", is_flag=True, help="Every mailbox of the wave that is under way.")
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where the list of what reached the target goes."
)
@click.option("--eml", is_flag=True, help="Write each of these messages there too, as .eml.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--dry-run", is_flag=True, help="Read and count; write nothing.")
@_said
@global_options()
@pass_words
def rollback(
    words: Words,
    wave: str,
    addresses: tuple[str, ...],
    everybody: bool,
    folder: Path | None,
    eml: bool,
    yes: bool,
    dry_run: bool,
    why: str,
    who: str,
) -> int:
    """Take mailboxes back to SYNCING, and list what reached the target since and is not at the source.

    Routing has to be back first. Nothing is written to the source: whoever gets the list, and with --eml the messages, hands them
    to the owners. What people changed in the target about older items stays there alone, and is not in the list.

    \b
    Examples:
      migrator cutover rollback wave1 ben@example.com --dry-run
      migrator cutover rollback wave1 ben@example.com --eml --to ./ben
    """
    import threading

    from migrator import app, logs
    from migrator.commands.finding import existing_ledger, some_of, wave_of
    from migrator.commands.finding import who as who_am_i
    from migrator.cutover import work
    from migrator.cutover.positions import positions
    from migrator.cutover.table import UNDER_WAY
    from migrator.settings.scripts import file_name

    if bool(addresses) == everybody:
        raise click.UsageError("Name mailboxes by their source addresses, or give --all.")
    config, who = words.load(), who or who_am_i()
    words.start_log()
    stop = threading.Event()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        name = rows[0].wave
        chosen = positions(ledger, some_of(rows, addresses) if addresses else rows)
        if everybody:
            chosen = [one for one in chosen if one.stands in UNDER_WAY]
        refused = [sentence for one in chosen if (sentence := work.may_roll_back(one))]
        if refused or not chosen:
            say_lines(*(refused or ["No mailbox of this wave is under way."]))
            if words.json:
                say_json({"refused": refused, "exit_code": HELD})
            return HELD
        folder = folder or config.folder / f"rollback-{file_name(name)}"
        by_id = {row.id: row for row in rows}
        reached = {}
        try:
            with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:
                for one in chosen:
                    look = connectors.look(by_id[one.mailbox_id])
                    since = work.since_when(one) if one.final or one.routed else None
                    found = [] if since is None else list(work.reached_since(ledger, by_id[one.mailbox_id], look, since))
                    reached[one.address] = (found, look)
                since_then = items(sum(len(found) for found, _ in reached.values()))
                question = f"Take {mailboxes(len(chosen))} back? {since_then} reached the targets since."
                if not (dry_run or yes or words.json):
                    click.confirm(question, abort=True)
                written: list[work.Reached] = []
                if not dry_run:
                    for found, look in reached.values():
                        written += work.export(folder, found, look if eml else None, start=len(written))
                    work.write_list(folder, written)
        finally:
            logs.take_down()
        after = []
        if not dry_run:
            for one in chosen:
                row = work.roll_back(ledger, one, by_id[one.mailbox_id], who, why, len(reached[one.address][0]))
                after.append(row)
    told = {address: len(found) for address, (found, _) in reached.items()}
    if words.json:
        say_json({"reached_since": told, "folder": str(folder), "eml": eml, "dry_run": dry_run, "exit_code": 0})
        return 0
    say_lines(*(f"{address}: {items(number)} reached the target since" for address, number in told.items()))
    if dry_run:
        say_lines("Dry run: nothing was taken back.")
    else:
        say_lines(f"The list is in {folder / work.LIST}. Now run the kit's unlock script for these; their deltas go on.")
    return 0


@cutover.command("close", short_help="Close a wave, once every question is answered.")
@click.argument("wave")
@click.option("--answer", "answers", multiple=True, metavar="KEY=TEXT", help="Answer a question; may be given several times.")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where the list of readers goes.")
@click.option("--yes", is_flag=True, help="Don't ask before closing: a closed mailbox can't be opened again.")
@click.option("--dry-run", is_flag=True, help="Say what is missing; write nothing.")
@click.option("--who", default="", help="Who decides it, instead of this account and host.")
@global_options()
@pass_words
def close(
    words: Words, wave: str, answers: tuple[str, ...], folder: Path | None, yes: bool, dry_run: bool, who: str
) -> int:  # fmt: skip
    """Close the mailboxes of a wave whose late mail is over and whose older part is carried, once every question is answered.

    Questions: forwards, holds, rights, readers, old-side, ledger. On a terminal it asks for those without an answer. Who read
    which mailbox and when is written to a list. Exit code 4 while anything is missing.

    \b
    Examples:
      migrator cutover close wave1 --dry-run
      migrator cutover close wave1 --answer forwards="removed on 2026-11-09" --answer old-side=none
    """
    import sys

    from migrator.commands.finding import existing_ledger, wave_of
    from migrator.commands.finding import who as who_am_i
    from migrator.config import BadInput
    from migrator.cutover import work
    from migrator.cutover.positions import answers_of, positions
    from migrator.cutover.table import FORWARDS, HOLDS, QUESTIONS, REVOKE
    from migrator.settings.scripts import file_name

    config, who = words.load(), who or who_am_i()
    given: dict[str, str] = {}
    for one in answers:
        key, separator, text = one.partition("=")
        if not separator or not text.strip():
            raise BadInput(f"{one!r} is no answer; write it as KEY=TEXT.")
        given[key.strip()] = text.strip()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        name = rows[0].wave
        hosts = work.still_delivering(ledger, rows)
        where = positions(ledger, rows)
        facts = [
            *(
                f"{step}: confirmed for {sum(step in one.confirmed for one in where):,} of {len(where):,} mailboxes"
                for step in (FORWARDS, HOLDS, REVOKE)
            ),
            "hosts that delivered to the old side: "
            + (", ".join(f"{host} ({number:,})" for host, number in hosts.most_common()) or "none seen"),
        ]
        missing = [key for key in QUESTIONS if key not in given and key not in answers_of(ledger.plans.waves().get(name))]
        if missing and not words.json and not dry_run and sys.stdin.isatty():
            say_lines(*facts)
            for key in missing:
                if text := click.prompt(f"{key}: {QUESTIONS[key]}\n", default="", show_default=False).strip():
                    given[key] = text
        if not dry_run:
            work.answer(ledger, name, given, who)
        missing = [key for key in missing if key not in given]
        folder = folder or config.folder / f"close-{file_name(name)}"
        if missing or dry_run:
            left = [(row, "Questions are open.") for row in rows] if missing else []
            closed: list[MailboxRow] = []
        else:
            read = work.readers(ledger, rows, config.source.username, config.target.client_id)
            work.write_readers(folder, read)
            if not yes and not words.json and sys.stdin.isatty():
                click.confirm(f"Close what can be closed of {len(rows)} mailboxes? That can't be undone.", abort=True)
            closed, left = work.close(ledger, rows, who)
            ledger.plans.act(who, "cutover close", wave=name, closed=len(closed), open=len(left))
    code = HELD if missing or left else 0
    if words.json:
        say_json(
            {
                "wave": name, "missing": missing, "closed": [row.source for row in closed],
                "open": {row.source: sentence for row, sentence in left} if not missing else {},
                "late": dict(hosts), "readers": str(folder / work.READERS), "dry_run": dry_run, "exit_code": code,
            }
        )  # fmt: skip
        return code
    say_lines(*facts)
    say_lines(*(f"Not answered: {key}: {QUESTIONS[key]}" for key in missing))
    if not missing:
        say_lines(*(f"{row.source}: {sentence}" for row, sentence in left))
        say_lines(f"Closed: {len(closed):,} of {len(rows):,}." if not dry_run else "Dry run: nothing was closed.")
        if not dry_run:
            say_lines(f"Who read which mailbox and when is in {folder / work.READERS}.")
    return code


@cutover.command("rehearse", short_help="Do everything but flip anything.")
@click.argument("wave")
@click.option("--dry-run", is_flag=True, help="Carry nothing either: passes work on a copy of the ledger.")
@_dns
@global_options()
@pass_words
def rehearse(words: Words, wave: str, dry_run: bool, no_dns: bool, internal_dns: str, public_dns: str) -> int:
    """Run a delta over every mailbox in the order of the final passes, see whether arrivals can be looked at, count what a
    roll-back would list, look for the kit, and print the page of `cutover ready` with the times of this rehearsal. No state
    changes but by the passes.

    \b
    Example:
      migrator cutover rehearse wave1
    """
    import threading
    import time

    from migrator import app, logs
    from migrator.commands.carry import carry
    from migrator.commands.finding import existing_ledger, wave_of
    from migrator.cutover import work
    from migrator.cutover.positions import positions
    from migrator.cutover.readiness import Verdict, smallest_first
    from migrator.cutover.table import UNDER_WAY, kind_of_pass
    from migrator.forecast import duration
    from migrator.kit.folder import folder_for
    from state.model import PassKind

    config = words.load()
    words.start_log()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        name = rows[0].wave
        before = [
            one
            for one in positions(ledger, rows)
            if one.stands not in UNDER_WAY and not one.withdrawn and kind_of_pass(one.stands) in (PassKind.SEED, PassKind.DELTA)
        ]
        order = [one.address for one in smallest_first(before)]
    endings = carry(config, order, quiet=words.json, dry_run=dry_run, first=order) if order else []
    looks: dict[str, int] = {}
    reached: dict[str, int] = {}
    stop = threading.Event()
    words.start_log()
    with existing_ledger(config) as ledger:
        rows = wave_of(ledger, wave)
        try:
            with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:
                begun = time.monotonic()
                for row, one in zip(rows, positions(ledger, rows), strict=True):
                    look = connectors.look(row)
                    looks[row.source] = len(look.newest(1))
                    # What a roll-back would list, and how long that takes, is better known before somebody needs it at night.
                    if (since := work.since_when(one)) is not None:
                        reached[row.source] = sum(1 for _ in work.reached_since(ledger, row, look, since))
                listing = time.monotonic() - begun
        finally:
            logs.take_down()
        _, blocked = _scores(config, ledger, rows)
        told = work.page(ledger, name, rows, config.run.mailboxes_at_once, len(config.target.apps) + 1, blocked)
        hints = hints_of(ledger, rows, not no_dns, internal_dns, public_dns or config.cutover.public_dns)
    kit = folder_for(config.folder, name)
    code = max([HELD if told.verdict is Verdict.NO_GO else 0, *(ending.code for ending in endings)])
    if words.json:
        say_json(
            {
                **page_as_json(told), "passes": len(endings), "targets_seen": len(looks), "kit": kit.is_dir(),
                "rollback": {"reached": reached, "seconds": round(listing, 1)},
                "dns": [hint_as_json(hint) for hint in hints], "dry_run": dry_run, "exit_code": code,
            }
        )  # fmt: skip
        return code
    say_lines(
        f"Passes run: {len(endings)}, in the order of the final ones. Targets whose arrivals can be seen: {len(looks)}.",
        f"A roll-back now would list {items(sum(reached.values()))} that reached the targets since their last pass; to look"
        f" through {mailboxes(len(reached))} for them took {duration(listing)}.",
        f"The kit is in {kit}." if kit.is_dir() else f"There is no kit in {kit} yet; `migrator kit {name}` writes it.",
        *page_lines(told),
        *(hint.sentence() for hint in hints),
    )
    return code
