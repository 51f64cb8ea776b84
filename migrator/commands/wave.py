"""``wave``: mailboxes from a spreadsheet, and what is done with those that move together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.directory import Person
    from migrator.config import Config
    from migrator.waves.planning import Intake
    from migrator.waves.work import Wave
    from state.model import MailboxRow
    from state.store import Ledger

F = TypeVar("F", bound=Callable[..., Any])

_ASKED_AT_ONCE = 8
"""Pairs that directories are asked about at the same time; each is a request to either side."""

_SHOWN = 200
"""Lines of an import that are printed for people; all of them with --json."""


@click.group("wave", short_help="Plan waves from a spreadsheet; start, pause and move them.")
@global_options()
def wave() -> None:
    """Plan waves from a spreadsheet; look at them, start, pause, resume and stop them, move mailboxes, try failed ones again.

    \b
    Examples:
      migrator wave import ./people.xlsx
      migrator wave start pilot
      migrator wave pause wave1
    """


def _acting(function: F) -> F:
    """The options of everything that is written down as an operator's act."""
    who = click.option("--who", default="", help="Who does it, instead of this account and host.")
    why = click.option("--why", default="", help="Why; it is kept with your name.")
    return why(who(function))


def _ledger(config: Config) -> Ledger:
    from migrator import app
    from migrator.config import BadInput

    if not app.ledger_exists(config):
        raise BadInput(f"{config.file}: there is no ledger at {config.ledger_file} yet; `migrator wave import FILE` makes it.")
    return app.open_ledger(config)


def _me(who: str) -> str:
    from migrator.errors.work import who_am_i

    return who or who_am_i()


@wave.command("import", short_help="Plan the mailboxes of a spreadsheet.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--wave", "name", default="wave1", show_default=True, help="The wave of mailboxes whose line names none.")
@click.option("--dry-run", is_flag=True, help="Show what it would change, and change nothing.")
@click.option("--who", default="", help="Who does it, instead of this account and host.")
@global_options()
@pass_words
def import_(words: Words, file: Path, name: str, dry_run: bool, who: str) -> int:
    """Plan the mailboxes of a .csv or .xlsx file. Only source and target are needed; docs/waves.md lists all columns.

    Importing again updates: new lines are planned, changed ones take effect, and what the file no longer names stays and is told.
    Everything that is wrong is told at once, and then nothing is taken in.

    \b
    Examples:
      migrator wave import ./people.xlsx --dry-run
      migrator wave import ./late-joiners.csv --wave wave2
    """
    from migrator import app
    from migrator.waves.file import read_waves, remarks
    from migrator.waves.planning import compare, digest_of, take_in

    config = words.load()
    lines = read_waves(file, name)
    with app.open_ledger(config) if app.ledger_exists(config) or not dry_run else app.throw_away_copy(config) as ledger:
        if not dry_run:
            app.bind(config, ledger)
        intake = compare(ledger, lines, file)
        if not dry_run:
            take_in(ledger, intake, _me(who), file.resolve(), digest_of(file))
    said = remarks(lines)
    if words.json:
        say_json({**_intake_as_json(intake), "remarks": said, "dry_run": dry_run, "exit_code": 0})
    else:
        say_lines(*_intake_lines(intake, dry_run), *said)
    return 0


def _intake_as_json(intake: Intake) -> dict[str, Any]:
    return {
        "mailboxes": [
            {
                "line": one.line,
                "what": one.word.value,
                "wave": one.wave,
                "source": one.source,
                "target": one.target,
                "changes": list(one.sentences),
            }
            for one in intake.changes
        ],
        "missing": [{"wave": row.wave, "source": row.source, "state": row.state.value} for row in intake.missing],
    }


def _intake_lines(intake: Intake, dry_run: bool) -> list[str]:
    from migrator.counts import mailboxes
    from migrator.waves.planning import Word

    lines = []
    told = [one for one in intake.changes if one.word is Word.NEW or one.sentences]
    for one in told[:_SHOWN]:
        if one.word is Word.NEW:
            lines.append(f"new      {one.source} to {one.target}, in {one.wave}")
        else:
            lines.append(f"changed  {one.source}: {'; '.join(one.sentences)}")
    if len(told) > _SHOWN:
        lines.append(f"         and {len(told) - _SHOWN:,} more; --json has them all")
    lines += [
        f"not in the file  {row.source} ({row.wave}, {row.state.value}); it stays planned" for row in intake.missing[:_SHOWN]
    ]
    verb = "would be" if dry_run else "are"
    counts = (f"{intake.number(word):,} {word.value}" for word in Word)
    lines.append(f"{mailboxes(len(intake.changes))} in the file {verb} planned: {', '.join(counts)}.")
    if dry_run:
        lines.append("Dry run: nothing was changed.")
    return lines


# -- looking


@wave.command("archives", short_help="Write the project that carries archives into mailboxes of their own.")
@click.option("--ledger", "url", default="", metavar="URL", help="Its ledger.  [default: sqlite:///archives.db]")
@click.option("--dry-run", is_flag=True, help="Show which archives go where, and write nothing.")
@global_options()
@pass_words
def archives(words: Words, url: str, dry_run: bool) -> int:
    """Write the project that carries the online archives whose column `archive` names the address of another target mailbox.

    Its config lies beside this one (migrator.archives.toml), with a ledger and a waves file of its own (archives.csv). A config
    that is there already is kept; the waves file is written anew.

    \b
    Examples:
      migrator wave archives
      migrator -c migrator.archives.toml run
    """
    from dataclasses import asdict

    from migrator import app
    from migrator.config import BadInput
    from migrator.waves.archives import LEDGER, archives_of, file_beside, write

    config = words.load()
    if not url and config.ledger_file is None:
        raise BadInput(f"{config.file}: ledger.url is a database server; name another database for the archives with --ledger.")
    with _ledger(config) as ledger:
        found = archives_of(app.planned(config, ledger), ledger.plans.details())
    if not found:
        raise BadInput("No archive goes into a mailbox of its own; give its address in the column archive of the waves file.")
    file, made = (file_beside(config), False) if dry_run else write(config, found, url or LEDGER)
    if words.json:
        mailboxes = [asdict(one) for one in found]
        say_json({"config": str(file), "new": made, "mailboxes": mailboxes, "dry_run": dry_run, "exit_code": 0})
        return 0
    say_lines(*(f"{one.source}: its archive goes into {one.target}" for one in found))
    if not dry_run:
        kept = "Wrote" if made else "Kept as it is:"
        say_lines(f"{kept} {file}", f"Carry them with: migrator -c {file.name} run")
    return 0


@wave.command("list", short_help="List the waves.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@global_options()
@pass_words
def list_(words: Words, as_csv: bool) -> int:
    """List the waves: whether they may run, how many mailboxes stand where, and by which schedule they go.

    \b
    Example:
      migrator wave list
    """
    from migrator.sheets import csv_text
    from migrator.status import WIDTH, lay_out
    from migrator.waves.work import waves_of

    config = words.load()
    with _ledger(config) as ledger:
        waves = waves_of(ledger)
    if words.json:
        say_json({"waves": [_wave_as_json(one) for one in waves], "exit_code": 0})
        return 0
    heading = ("WAVE", "STATE", "MAILBOXES", "READY", "HELD", "FAILED", "SCHEDULE")
    cells = [
        (
            one.plan.name,
            one.plan.state.value,
            f"{len(one.mailboxes)}",
            *(f"{one.states[state]}" for state in _counted()),
            _schedule(one),
        )
        for one in waves
    ]
    if as_csv:
        click.echo(csv_text([name.lower() for name in heading], cells), nl=False)
    else:
        say_lines(*lay_out(heading, cells, WIDTH, left=frozenset({0, 1, 6}), limits={0: 24}))
    return 0


def _counted() -> Sequence[Any]:
    from state.model import MailboxState

    return (MailboxState.READY, MailboxState.HELD, MailboxState.FAILED)


def _wave_as_json(one: Wave) -> dict[str, Any]:
    states: Counter[str] = Counter({state.value: number for state, number in one.states.items()})
    return {
        "wave": one.plan.name,
        "state": one.plan.state.value,
        "mailboxes": len(one.mailboxes),
        "states": dict(states),
        "schedule": dict(one.details),
    }


def _schedule(one: Wave) -> str:
    details, plan = one.details, one.plan
    parts = [
        "pilot" if plan.pilot else "",
        f"from {details['start_after']}" if "start_after" in details else "",
        f"cutover after {details['complete_after']}" if "complete_after" in details else "",
        f"every {plan.every_hours:g} h",
        f"not {details['blackout']}" if "blackout" in details else "",
        f"sweeps every {plan.sweep_minutes:g} min" if "sweep_minutes" in details else "",
        f"for {details['sweep_hours']:g} h" if "sweep_hours" in details else "",
        str(details.get("time_zone", "")),
    ]
    return ", ".join(part for part in parts if part)


@wave.command("show", short_help="Show one wave and its mailboxes.")
@click.argument("name", metavar="WAVE")
@global_options()
@pass_words
def show(words: Words, name: str) -> int:
    """Show one wave: its schedule, its mailboxes with what the spreadsheet said of each, and what was done to it, newest first.

    \b
    Example:
      migrator wave show pilot
    """
    from migrator.errors.work import moment
    from migrator.waves.work import wave_named

    config = words.load()
    with _ledger(config) as ledger:
        one = wave_named(ledger, name)
        details = ledger.plans.details()
        acts = ledger.plans.acts(wave=one.plan.name, last=20)
        waits = {seen.mailbox_id: seen.about for seen in ledger.plans.observed("waits")}
    if words.json:
        mailboxes = [
            {
                "source": row.source,
                "target": row.target,
                "state": row.state.value,
                "cause": row.cause,
                "details": details.get(row.id, {}),
                "waits": waits.get(row.id),
            }
            for row in one.mailboxes
        ]
        done = [{"at": moment(act.at), "who": act.who, "what": act.what, "why": act.why, "about": act.about} for act in acts]
        say_json({**_wave_as_json(one), "list": mailboxes, "acts": done, "exit_code": 0})
        return 0
    say_lines(f"{one.plan.name}: {one.plan.state.value}, {len(one.mailboxes)} mailboxes; {_schedule(one)}.")
    for row in one.mailboxes:
        say_lines(f"{row.source} to {row.target}: {row.state.value}{f', {row.cause}' if row.cause else ''}")
        say_lines(*(f"  {heading}: {_told(value)}" for heading, value in details.get(row.id, {}).items()))
    say_lines(*(f"{moment(act.at)}  {act.who}: {act.what}{f', {act.why}' if act.why else ''}" for act in acts))
    return 0


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{heading}: {text}" for heading, text in value.items())
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@wave.command("check", short_help="Show whether the two ends of each pair are one person.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option(
    "--accept", "right", multiple=True, metavar="ADDRESS", help="This pair is right, whatever the card says; needs --why."
)
@_acting
@global_options()
@pass_words
def check(words: Words, names: tuple[str, ...], right: tuple[str, ...], who: str, why: str) -> int:
    """Ask both directories whose mailboxes these are, and print a card for each pair. Writes to the ledger only.

    A pair that is not one person's is not run until the spreadsheet is corrected, or somebody says with their name that it is
    right; that holds until a name changes. Ends with 0 if all pairs are right, else with 4.

    \b
    Examples:
      migrator wave check pilot
      migrator wave check --accept anna@example.com --why "she married"
    """
    from migrator.config import BadInput
    from migrator.waves.work import mailboxes_named

    config = words.load()
    if right and not why.strip():
        raise BadInput("An acceptance needs a sentence behind --why; somebody will ask.")
    with _ledger(config) as ledger:
        rows = mailboxes_named(ledger, right or names)
        if right:
            _accept(ledger, rows, _me(who), why)
        else:
            _look(words, config, ledger, rows)
        details = {seen.mailbox_id: seen.about for seen in ledger.plans.observed("match")}
    return _tell_cards(words, [(row, details.get(row.id, {})) for row in rows])


def _look(words: Words, config: Config, ledger: Ledger, rows: Sequence[MailboxRow]) -> None:
    """Ask both sides about each pair and keep the card."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.waves.match import KIND, Card, judge, kept

    words.start_log()
    stop = threading.Event()
    details = ledger.plans.details()
    before = {seen.mailbox_id: seen.about for seen in ledger.plans.observed(KIND)}
    try:
        with stop_on_signals(stop), app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:

            def ask(row: MailboxRow) -> Card:
                here, _ = _person(connectors.source_person, row.source)
                there, untold = _person(connectors.target_person, row.target)
                object_id = str(details.get(row.id, {}).get("target_object_id", ""))
                return judge(row.source, row.target, here, there, object_id, untold=untold)

            with ThreadPoolExecutor(max_workers=min(_ASKED_AT_ONCE, max(1, len(rows)))) as asking:
                for row, card in zip(rows, asking.map(ask, rows), strict=True):
                    ledger.plans.observe(row.id, KIND, kept(card, before.get(row.id)))
    finally:
        logs.take_down()


def _person(find: Callable[[str], Person | None], address: str) -> tuple[Person | None, str]:
    """What a directory says, or why it would not."""
    from connectors.errors import MailboxBlocked
    from migrator.status import sentences

    try:
        return find(address), ""
    except MailboxBlocked as error:
        return None, sentences(str(error), error.mend)


def _accept(ledger: Ledger, rows: Sequence[MailboxRow], who: str, why: str) -> None:
    from migrator.config import BadInput
    from migrator.waves.match import KIND, accept, fits

    seen = {one.mailbox_id: one.about for one in ledger.plans.observed(KIND)}
    if unseen := [row.source for row in rows if not fits(seen.get(row.id), row.target)]:
        raise BadInput(f"Nobody has seen the card of {unseen[0]} yet; `migrator wave check {unseen[0]}` shows it.")
    for row in rows:
        ledger.plans.observe(row.id, KIND, accept(seen[row.id], who, why))
        ledger.plans.act(who, "wave accept", wave=row.wave, mailbox_id=row.id, why=why)


def _tell_cards(words: Words, cards: Sequence[tuple[MailboxRow, Mapping[str, Any]]]) -> int:
    from migrator.waves.match import accepted, held_by

    code = 4 if any(held_by(about, row.target) for row, about in cards) else 0
    if words.json:
        told = [{**about, "source": row.source, "target": row.target, "wave": row.wave} for row, about in cards]
        say_json({"pairs": told, "exit_code": code})
        return code
    for row, about in cards:
        word = "ok" if about.get("ok") else "look" if about.get("ok") is None else "NO"
        said = f" Accepted by {about['accepted']['who']}: {about['accepted']['why']}" if accepted(about) else ""
        say_lines(
            f"{'ok' if said else word:<4}  {row.source}  {about.get('source_name') or 'no name told'}",
            f"      {row.target}  {about.get('target_name') or 'no name told'}  {about.get('object_id', '')}".rstrip(),
            f"      {about.get('why', '')}{said}",
        )
    wrong = sum(bool(held_by(about, row.target)) for row, about in cards)
    say_lines(f"{wrong} of {len(cards)} pairs need a person." if wrong else f"All {len(cards)} pairs may run.")
    return code


# -- acting on a wave


@wave.command("start", short_help="Let a wave run, by a schedule.")
@click.argument("name", metavar="WAVE")
@click.option("--start-after", help='Nothing runs before, such as "2026-11-27 18:00"; "" takes it away.')
@click.option("--complete-after", help="When it is to be cut over at the earliest; one more delta runs then.")
@click.option("--time-zone", help="The zone of these moments and of the blackout, such as Europe/Berlin; else this machine's.")
@click.option("--every-hours", type=click.FloatRange(min=0, min_open=True), help="Hours between two deltas (4 unless set).")
@click.option("--blackout", help='When no seed and no delta begins: "Mon-Fri 08:00-18:00", or several with commas.')
@click.option("--sweep-minutes", type=click.FloatRange(min=0, min_open=True), help="Minutes between two sweeps (15 unless set).")
@click.option(
    "--sweep-hours", type=click.FloatRange(min=0), help="How long late mail is collected (72, twice the old TTL at least)."
)
@click.option("--pilot/--no-pilot", default=None, help="Other waves begin when all of the pilot is READY.")
@_acting
@global_options()
@pass_words
def start(
    words: Words,
    name: str,
    start_after: str | None,
    complete_after: str | None,
    time_zone: str | None,
    every_hours: float | None,
    blackout: str | None,
    sweep_minutes: float | None,
    sweep_hours: float | None,
    pilot: bool | None,
    who: str,
    why: str,
) -> int:
    """Let a wave run: `migrator serve` begins with it as its schedule says, `migrator run WAVE` whenever you like.

    What is not given stays as it was. A wave that was paused or stopped goes on.

    \b
    Examples:
      migrator wave start pilot --pilot
      migrator wave start wave1 --start-after "2026-11-27 18:00" --time-zone Europe/Berlin
    """
    from migrator.waves.work import schedule_of, wave_named
    from migrator.waves.work import start as begin

    config = words.load()
    with _ledger(config) as ledger:
        one = wave_named(ledger, name)
        details = schedule_of(
            one.details,
            time_zone=time_zone,
            start_after=start_after,
            complete_after=complete_after,
            every_hours=every_hours,
            blackout=blackout,
            sweep_minutes=sweep_minutes,
            sweep_hours=sweep_hours,
            pilot=pilot,
        )
        begin(ledger, one, details, _me(who), why)
        one = wave_named(ledger, name)
    if words.json:
        say_json({**_wave_as_json(one), "exit_code": 0})
    else:
        say_lines(f"{one.plan.name} may run: {_schedule(one)}.")
    return 0


def _putting(verb: str, state: str, short: str, text: str) -> None:
    """Make one of the three commands that differ in a word."""

    @wave.command(verb, short_help=short, help=text)
    @click.argument("name", metavar="WAVE")
    @_acting
    @global_options()
    @pass_words
    def act(words: Words, name: str, who: str, why: str) -> int:
        from migrator.counts import mailboxes
        from migrator.waves.work import late_mail_waits, put, wave_named
        from state.plans import WaveState

        config = words.load()
        with _ledger(config) as ledger:
            one = wave_named(ledger, name)
            changed = put(ledger, one, WaveState(state), verb, _me(who), why)
        late = late_mail_waits(one) if WaveState(state) is not WaveState.OPEN else []
        if words.json:
            flipped = [row.source for row in late]
            say_json({"wave": one.plan.name, "state": state, "changed": changed, "no_sweeps": flipped, "exit_code": 0})
        else:
            say_lines(f"{one.plan.name} is {state}{'' if changed else ' already'}.")
            if late:
                back = "resume" if state == "PAUSED" else "start"
                say_lines(
                    f"The mail of {mailboxes(len(late))} of it goes to the target already: they are not swept now, so mail that"
                    f" still comes to the old side waits there until `migrator wave {back} {one.plan.name}`."
                )
        return 0


_putting(
    "pause",
    "PAUSED",
    "Stop a wave for a while.",
    "Stop a wave for a while, in whichever process it runs: what is under way ends at its next lot.\n\n"
    "Sweeps stop too: it says so if mail has flipped already, because late mail waits then.\n\n"
    '\b\nExample:\n  migrator wave pause wave1 --why "the line is needed"',
)
_putting("resume", "OPEN", "Let a paused wave go on.", "Let a wave go on.\n\n\b\nExample:\n  migrator wave resume wave1")
_putting(
    "stop",
    "STOPPED",
    "Give a wave up.",
    "Give a wave up: it does not run until it is started again. Nothing is removed anywhere.\n\n"
    '\b\nExample:\n  migrator wave stop wave3 --why "they stay where they are"',
)


# -- acting on mailboxes


@wave.command("move", short_help="Put mailboxes into another wave.")
@click.argument("names", nargs=-1, required=True, metavar="MAILBOX|WAVE...")
@click.option("--into", required=True, metavar="WAVE", help="The wave they go into; made if there is none of that name.")
@_acting
@global_options()
@pass_words
def move(words: Words, names: tuple[str, ...], into: str, who: str, why: str) -> int:
    """Put mailboxes into another wave, also into one that runs. They stay there until the waves file says something new of them.

    \b
    Example:
      migrator wave move anna@example.com --into wave2 --why "on leave this week"
    """
    from migrator.waves.work import mailboxes_named
    from migrator.waves.work import move as regroup

    config = words.load()
    with _ledger(config) as ledger:
        moved = regroup(ledger, mailboxes_named(ledger, names), into, _me(who), why)
    if words.json:
        say_json({"moved": moved, "into": into, "exit_code": 0})
    else:
        say_lines(f"{moved} mailbox{'' if moved == 1 else 'es'} moved into {into}.")
    return 0


@wave.command("retry", short_help="Let held and failed mailboxes go on.")
@click.argument("names", nargs=-1, required=True, metavar="MAILBOX|WAVE...")
@click.option("--into", default="", metavar="WAVE", help="Put them into this wave, too; made if there is none of that name.")
@_acting
@global_options()
@pass_words
def retry(words: Words, names: tuple[str, ...], into: str, who: str, why: str) -> int:
    """Let those of the named mailboxes that are HELD or FAILED go on where they stopped, at once or with a next wave.

    \b
    Examples:
      migrator wave retry anna@example.com --why "her quota was raised"
      migrator wave retry wave1 --into wave1-late
    """
    from migrator.waves.work import mailboxes_named
    from migrator.waves.work import retry as again

    config = words.load()
    with _ledger(config) as ledger:
        rows = again(ledger, mailboxes_named(ledger, names), _me(who), why, into)
    if words.json:
        told = [{"source": row.source, "wave": row.wave, "state": row.state.value} for row in rows]
        say_json({"mailboxes": told, "exit_code": 0})
    elif rows:
        say_lines(*(f"{row.source}: {row.state.value}, in {row.wave}" for row in rows))
    else:
        say_lines("None of them is HELD or FAILED; nothing was changed.")
    return 0
