"""``errors``: what did not go, as work for a person."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator import counts
from migrator.commands.finding import existing_ledger
from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.errors.work import Stayed
    from state.store import Ledger

_COLUMNS = (
    "wave", "mailbox", "folder", "item_class", "when", "size", "state", "approved", "reason", "code", "detail", "work", "key",
    "kept",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t")
_HIDDEN = ("mailbox_id", "item_id")


@click.group("errors", short_help="Work on what did not go.")
@global_options()
def errors() -> None:
    """Work on what did not go: see it by cause, try it again, approve that it stays behind, or leave it behind for good.

    \b
    Examples:
      migrator errors list
      migrator errors retry 3f2a9c01
    """


@errors.command("list", short_help="List what did not go, by cause, with what to do.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--reason", default="", help="Only this reason or code.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@click.option("--subjects", is_flag=True, help="Show subjects too: read now from the source server, stored nowhere.")
@global_options()
@pass_words
def list_(words: Words, names: tuple[str, ...], reason: str, as_csv: bool, subjects: bool) -> int:
    """List what is refused or withheld: by cause, with what can be done about it, then item by item. Asks no server.

    \b
    Examples:
      migrator errors list
      migrator errors list wave1 --reason too-large
      migrator errors list anna@example.com --subjects
    """
    from migrator.errors.work import gather
    from migrator.waves.file import select

    config = words.load()
    with existing_ledger(config) as ledger:
        mailboxes = select(ledger.mailboxes(), names, "The ledger")
        items = gather(ledger, mailboxes, reason)
        shown = _read_subjects(words, config, ledger, items) if subjects else {}
    if words.json:
        say_json({"items": [_as_json(one, shown) for one in items], "reasons": _reasons_as_json(items), "exit_code": 0})
    elif as_csv:
        click.echo(_as_csv(items, shown if subjects else None), nl=False)
    else:
        say_lines(*_listing(items, shown, config.errors.keep))
    return 0


@errors.command("show", short_help="Show everything about one item.")
@click.argument("key")
@click.option("--subjects", is_flag=True, help="Show its subject too: read now from the source server, stored nowhere.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write its content here, in clear, if it was kept.")
@global_options()
@pass_words
def show(words: Words, key: str, subjects: bool, save: Path | None) -> int:
    """Show everything about one item: where it is, why it did not go, what to do, and what was decided about it.

    KEY may be cut short as long as it names one item only; a whole key may be that of any item, such as `verify` names.

    \b
    Examples:
      migrator errors show 3f2a9c01
      migrator errors show 3f2a9c01 --save ./handed-over.eml
    """
    from migrator.errors.advice import advice
    from migrator.errors.catalogue import about
    from migrator.errors.work import find, moment

    config = words.load()
    with existing_ledger(config) as ledger:
        item = find(ledger, ledger.mailboxes(), key)
        decided = ledger.approvals.decisions(item.mailbox_id, bytes.fromhex(item.key))
        shown = _read_subjects(words, config, ledger, [item]) if subjects and item.item_id else {}
        if save is not None:
            _save(config, ledger, item, save)
    told = advice(item.reason)
    # Both sides have codes of the same name, so the table is asked only where no sentence says which side it was.
    meant = about(item.code) if item.code and not item.detail else None
    history = [
        {"decision": one.decision.value, "who": one.who, "why": one.why, "at": moment(one.at), "reason": one.reason}
        for one in decided
    ]
    if words.json:
        say_json(
            {
                **_as_json(item, shown),
                **(_advice_as_json(item.reason) if item.reason else {}),
                "decisions": history,
                "exit_code": 0,
            }
        )
        return 0
    size = f"{item.size:,} bytes"
    state = f"{item.state}, approved" if item.approved else item.state
    lines = [
        ("key", item.key),
        ("mailbox", f"{item.mailbox} ({item.wave})"),
        ("folder", item.folder),
        ("class", item.item_class or "not kept of what is settled"),
        ("date", item.when or "none"),
        ("size", size if item.size else "unknown"),
        ("subject", shown.get(item.item_id, "not to be had from the source") if subjects else "hidden; --subjects shows it"),
        ("state", (f"{state}: {item.work}" if item.work else state) + (f" by the {item.lane} lane" if item.lane else "")),
    ]
    if item.reason:
        lines += [
            ("reason", " ".join(part for part in (item.reason, item.code and f"({item.code})", item.detail) if part)),
            ("kept", str(Path(config.errors.keep) / item.kept) if item.kept else _why_nothing_is_kept([item])),
            ("code", f"{meant.meaning} {meant.operator}" if meant else item.code or "none"),
            ("meaning", told.meaning),
            ("done", told.engine),
            ("to do", told.operator),
        ]
    lines += [(one["decision"], f"{one['at']} by {one['who']}: {one['why'] or 'no reason given'}") for one in history]
    say_lines(*(f"{name:<10}{value}" for name, value in lines))
    if save is not None:
        say_lines(f"Its content is in {save} now, in clear.")
    return 0


@errors.command("retry", short_help="Let the next pass try items again.")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--reason", default="", help="All of this reason or code.")
@click.option("--all", "everything", is_flag=True, help="All that did not go.")
@click.option("--why", default="", help="A sentence for the record.")
@click.option("--who", default="", help="Who decides it, instead of this account and host.")
@global_options()
@pass_words
def retry(words: Words, keys: tuple[str, ...], reason: str, everything: bool, why: str, who: str) -> int:
    """Put items back on the work list, so that the next pass tries them again. Writes to the ledger only.

    What is withheld because somebody could be e-mailed is left alone, and so is what a second try would double.

    \b
    Examples:
      migrator errors retry 3f2a9c01
      migrator errors retry --reason source-cannot-deliver --why "mailbox repaired"
      migrator errors retry --all
    """
    from migrator import app
    from migrator.errors.work import retry as put_back
    from migrator.errors.work import who_am_i

    config = words.load()
    with existing_ledger(config) as ledger:
        chosen = _chosen(ledger, keys, reason, everything)
        again = [one for one in chosen if one.again]
        left = len(chosen) - len(again)
        if keys and left:
            from migrator.config import BadInput

            one = next(one for one in chosen if not one.again)
            raise BadInput(f"{one.key} is not tried again, because of {one.reason}: see `migrator errors show {one.key[:8]}`.")
        done = put_back(ledger, again, who or who_am_i(), why, app.owner())
        _record(ledger, who or who_am_i(), "errors retry", again, why)
    if words.json:
        say_json({"retried": done, "left_alone": left, "exit_code": 0})
    else:
        say_lines(f"{counts.items(done)} will be tried again by the next `migrator run`.")
        if left:
            say_lines(f"{counts.items(left)} left alone: a second try could e-mail somebody, or double them.")
    return 0


@errors.command("approve", short_help="Let items stay behind, and say why.")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--reason", default="", help="All of this reason or code.")
@click.option("--why", required=True, help="Why that is all right; it is kept with your name.")
@click.option("--who", default="", help="Who decides it, instead of this account and host.")
@global_options()
@pass_words
def approve(words: Words, keys: tuple[str, ...], reason: str, why: str, who: str) -> int:
    """Approve that items stay behind. They are counted as approved, and a run no longer ends with 2 because of them.

    An approval is of this version of the item and of this reason; it ends when either changes, and with a retry.

    \b
    Examples:
      migrator errors approve 3f2a9c01 --why "its owner has a copy"
      migrator errors approve --reason could-send-cancellation --why "removed by their owners"
    """
    from migrator.config import BadInput
    from migrator.errors.work import approve as let_stay
    from migrator.errors.work import who_am_i

    config = words.load()
    if not why.strip():
        raise BadInput("An approval needs a sentence behind --why; somebody will ask.")
    with existing_ledger(config) as ledger:
        chosen = _chosen(ledger, keys, reason, False)
        done = let_stay(ledger, chosen, who or who_am_i(), why)
        _record(ledger, who or who_am_i(), "errors approve", chosen, why)
    if words.json:
        say_json({"approved": done, "exit_code": 0})
    else:
        say_lines(f"{counts.items(done)} may stay behind; `migrator errors list` shows them as approved.")
    return 0


@errors.command("skip", short_help="Leave items behind for good, and say why.")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--reason", default="", help="All of this reason or code.")
@click.option("--why", required=True, help="Why that is all right; it is kept with your name.")
@click.option("--who", default="", help="Who decides it, instead of this account and host.")
@click.option("--dry-run", is_flag=True, help="Say which items it would be; write nothing.")
@global_options()
@pass_words
def skip(words: Words, keys: tuple[str, ...], reason: str, why: str, who: str, dry_run: bool) -> int:
    """Leave items behind for good. They count as refused and approved, under the reason `skipped`, in every sum and report.

    An approval is of one version and one reason, and asks again when either changes; this is of the item: no pass tries it again,
    even if it changes at the source, until `errors retry` takes the word back. A whole key may be that of an item that is not
    refused yet, such as one that lets its mailbox fail again and again. What has a copy in the target can't be skipped.

    \b
    Examples:
      migrator errors skip 3f2a9c01 --why "its owner deleted the original"
      migrator errors skip --reason corrupt --why "nobody can open these" --dry-run
    """
    from migrator import app
    from migrator.config import BadInput
    from migrator.errors.work import find, unskippable, who_am_i
    from migrator.errors.work import skip as leave_behind

    config = words.load()
    if not why.strip():
        raise BadInput("Leaving items behind needs a sentence behind --why; somebody will ask.")
    if bool(keys) == bool(reason):
        raise click.UsageError("Name items by their keys, or give one option that names them all.")
    with existing_ledger(config) as ledger:
        mailboxes = ledger.mailboxes()
        chosen = [find(ledger, mailboxes, key) for key in keys] if keys else _chosen(ledger, (), reason, False)
        going: list[Stayed] = []
        left: dict[str, str] = {}
        for one in chosen:
            key = bytes.fromhex(one.key)
            row, opened = ledger.rows(one.mailbox_id, [key]).get(key), ledger.opens(one.mailbox_id, [key]).get(key)
            if sentence := unskippable(row, opened):
                left[one.key] = sentence
            else:
                going.append(one)
        if keys and left:
            whole, sentence = next(iter(left.items()))
            raise BadInput(f"{whole} can't be skipped: {sentence}.")
        done = len(going)
        if not dry_run:
            done = leave_behind(ledger, going, who or who_am_i(), why, app.owner())
            _record(ledger, who or who_am_i(), "errors skip", going, why)
    if words.json:
        listed = [one.key for one in going]
        say_json({"skipped": done, "left_alone": len(left), "keys": listed, "dry_run": dry_run, "exit_code": 0})
    else:
        say_lines(f"{counts.items(done)} {'would be' if dry_run else 'are'} left behind for good, under the reason skipped.")
        say_lines(*(f"{whole[:12]} left alone: {sentence}." for whole, sentence in left.items()))
    return 0


@errors.command("score", short_help="Grade mailboxes by the scoring rule.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--rule", is_flag=True, help="Print the rule itself instead, ready to be copied and changed.")
@global_options()
@pass_words
def score_(words: Words, names: tuple[str, ...], rule: bool) -> int:
    """Grade how well each mailbox arrived, and say whether it may complete and who must approve. Asks no server.

    The rule is an open file: `errors.scoring` names yours, else the one that comes with the program counts.

    \b
    Examples:
      migrator errors score
      migrator errors score wave1 --json
      migrator errors score --rule
    """
    from migrator.scoring import measure, packaged, read_rule, score
    from migrator.status import WIDTH, lay_out
    from migrator.waves.file import select

    config = words.load()
    found = read_rule(config.errors.scoring)
    if rule:
        click.echo(Path(config.errors.scoring or packaged()).read_text(encoding="utf-8-sig"), nl=False)
        return 0
    with existing_ledger(config) as ledger:
        mailboxes = select(ledger.mailboxes(), names, "The ledger")
        measured = measure(ledger, [one.id for one in mailboxes])
    scores = [(one, measured[one.id], score(measured[one.id], found)) for one in mailboxes]
    if words.json:
        told = [
            {"wave": one.wave, "mailbox": one.source, "items": counts.items, **asdict(graded)} for one, counts, graded in scores
        ]
        say_json({"rule": found.version, "mailboxes": told, "exit_code": 0})
        return 0
    waiting = sum(not graded.may_complete for _, _, graded in scores)
    say_lines(
        f"Under rule {found.version}, {len(scores) - waiting:,} of {len(scores):,} mailboxes may complete.",
        "",
        *lay_out(
            ("MAILBOX", "GRADE", "POINTS", "IN 100", "COMPLETES", "WHY"),
            [
                (
                    one.source,
                    graded.grade,
                    f"{graded.points:,g}",
                    f"{graded.percent:.2f}",
                    "yes" if graded.may_complete else "no",
                    graded.why + (f"; {graded.by} has to" if graded.by else ""),
                )
                for one, _, graded in scores
            ],
            WIDTH,
            left=frozenset({0, 1, 4, 5}),
            limits={0: 32},
        ),
    )
    return 0


def _chosen(ledger: Ledger, keys: Sequence[str], reason: str, everything: bool) -> list[Stayed]:
    """What the command line names: keys, or a reason, or all of it."""
    from migrator.config import BadInput
    from migrator.errors.work import choose, gather

    if sum((bool(keys), bool(reason), everything)) != 1:
        raise click.UsageError("Name items by their keys, or give one option that names them all.")
    items = gather(ledger, ledger.mailboxes(), reason)
    if keys:
        return choose(items, keys)
    if reason and not items:
        there = sorted({one.reason for one in gather(ledger, ledger.mailboxes())})
        raise BadInput(f"Nothing stayed behind because of {reason}; reasons there are: {', '.join(there) or 'none'}.")
    return items


def _record(ledger: Ledger, who: str, what: str, items: Sequence[Stayed], why: str) -> None:
    """One line a mailbox in the trail of what operators did."""
    counts = Counter((one.mailbox_id, one.wave) for one in items)
    for (mailbox_id, wave), number in counts.items():
        ledger.plans.act(who, what, wave=wave, mailbox_id=mailbox_id, why=why, items=number)


def _read_subjects(words: Words, config: Config, ledger: Ledger, items: Sequence[Stayed]) -> dict[str, str]:
    """Subjects by item id, read now from the source. Nothing of them goes to the log, the ledger or a file."""
    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals

    mine: dict[int, list[str]] = defaultdict(list)
    for one in items:
        mine[one.mailbox_id].append(one.item_id)
    found: dict[str, str] = {}
    stop = threading.Event()
    words.start_log()
    try:
        with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors, stop_on_signals(stop):
            for row in ledger.mailboxes():
                if row.id in mine:
                    found |= connectors.subjects(row, mine[row.id])
    finally:
        logs.take_down()
    return found


def _as_json(item: Stayed, subjects: dict[str, str]) -> dict[str, Any]:
    told = {name: value for name, value in asdict(item).items() if name not in _HIDDEN}
    return told | ({"subject": subjects[item.item_id]} if item.item_id in subjects else {})


def _advice_as_json(reason: str) -> dict[str, Any]:
    from migrator.errors.advice import advice

    told = advice(reason)
    return {"meaning": told.meaning, "engine": told.engine, "operator": told.operator, "can_be_retried": told.again}


def _reasons_as_json(items: Sequence[Stayed]) -> dict[str, Any]:
    from migrator.errors.work import by_reason

    return {
        reason: {"items": len(mine), "approved": sum(one.approved for one in mine), **_advice_as_json(reason)}
        for reason, mine in by_reason(items)
    }


def _as_csv(items: Sequence[Stayed], subjects: dict[str, str] | None) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(["subject"] if subjects is not None else [])])
    for one in items:
        cells = [getattr(one, name) for name in _COLUMNS]
        if subjects is not None:
            cells.append(subjects.get(one.item_id, ""))
        # A name that begins like a formula must stay a name in a spreadsheet.
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell for cell in cells])
    return out.getvalue()


def _listing(items: Sequence[Stayed], subjects: dict[str, str], keep: str) -> list[str]:
    from migrator.errors.advice import advice
    from migrator.errors.work import by_reason, short_keys
    from migrator.status import WIDTH, lay_out

    if not items:
        return ["Nothing stayed behind."]
    approved = sum(one.approved for one in items)
    lines = [f"{counts.items(len(items))} did not go{f', {approved:,} of them approved' if approved else ''}."]
    short = short_keys(items)
    heading = ("KEY", "DATE", "KB", "CLASS", "CODE", "MAILBOX", "FOLDER")
    for reason, mine in by_reason(items):
        told = advice(reason)
        done = sum(one.approved for one in mine)
        kept = sum(bool(one.kept) for one in mine)
        lines += [
            "",
            f"{reason}: {counts.items(len(mine))}{f', {done:,} approved' if done else ''}. {told.meaning}",
            f"  What is done: {told.engine}",
            f"  What to do:   {told.operator}",
            f"  What is kept: {f'the content of {counts.items(kept)}, in {keep}' if kept else _why_nothing_is_kept(mine)}.",
        ]
        cells = [
            (
                short[one.key] + ("+" if one.approved else ""),
                one.when[:10] or "-",
                f"{one.size / 1000:,.0f}",
                one.item_class,
                one.code or "-",
                one.mailbox,
                one.folder,
            )
            for one in mine
        ]
        laid = lay_out(heading, cells, WIDTH - 2, left=frozenset({0, 1, 3, 4, 5, 6}), limits={5: 30, 4: 26, 3: 20})
        lines.append(f"  {laid[0]}")
        for one, line in zip(mine, laid[1:], strict=True):
            lines.append(f"  {line}")
            if one.item_id in subjects:
                lines.append(f"  {'':<{SUBJECT}}{' '.join(subjects[one.item_id].split())}")
    if approved:
        lines += ["", "+ approved: `migrator errors show KEY` says by whom and why."]
    return lines


SUBJECT = 10
"""Columns by which a subject below its item is moved in."""


def _why_nothing_is_kept(items: Sequence[Stayed]) -> str:
    if all(one.work not in ("create", "update") for one in items):
        return "nothing; this is about a copy that the target has"
    return "nothing; there is only content of what the source delivered and the target refused"


def _save(config: Config, ledger: Ledger, item: Stayed, file: Path) -> None:
    """Write what is kept of an item, checked against its hash. Raises BadInput."""
    from migrator import app
    from migrator.config import BadInput
    from migrator.errors.vault import VaultError

    kept = next((one for one in ledger.approvals.kept(item.mailbox_id) if one.key.hex() == item.key), None)
    vault = app.open_vault(config, ledger)
    if kept is None:
        raise BadInput(f"No content of {item.key} is kept: {_why_nothing_is_kept([item])}.")
    if vault is None:
        raise BadInput(f"{config.file}: errors.keep is empty, so nobody knows where {kept.file} lies; name the folder again.")
    try:
        vault.save(kept, file)
    except FileExistsError:
        raise BadInput(f"{file} is there already; name another one.") from None
    except VaultError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadInput(f"{file} can't be written ({error.strerror}); name another one.") from None
