"""``demo`` and ``lab``: everything on this machine, with simulated servers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import click

from migrator.commands.words import Words, global_options, pass_words, say_json, say_lines

WAVES = (40, 12)
"""How many mailboxes the demo of waves has, and items in each."""

SERVED = 20
"""Items in each where `serve` is killed: some of them can't go, so that there is something to approve."""

LANES = click.Choice(["auto", "import", "compose"])


@click.command("demo", short_help="Show the whole job on this machine.")
@click.option("--mailboxes", type=click.IntRange(1), help="How many mailboxes.  [default: 3; with --faults 4]")
@click.option("--items", type=click.IntRange(1), help="Items in each.  [default: 1000; with --faults 2500, --whole 100]")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number makes other mailboxes.")
@click.option("--lane", type=LANES, default="auto", show_default=True, help="How items travel.")
@click.option(
    "--mail",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Move the .eml and .mbox files below this folder instead of made-up mail.",
)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep config, ledger and report in this folder.")
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Write every exchange of the simulated servers here."
)
@click.option("--latency", type=click.FloatRange(0), default=0.0, show_default=True, help="Milliseconds a server takes.")
@click.option(
    "--faults",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    metavar="SHARE",
    help="Let that share of all requests fail, in every way there is, and show that nothing is lost and nothing comes twice.",
)
@click.option("--whole", is_flag=True, help="Everything that a mailbox can hold, not only mail, by each lane, and its settings.")
@click.option("--waves", is_flag=True, help="Show 40 mailboxes in 3 waves instead, from a spreadsheet to a signed-off report.")
@click.option(
    "--kill-serve",
    type=int,
    metavar="SEED",
    help="With --waves: let `serve` carry them, kill it at moments that this number draws, and show what survives.",
)
@click.option("--kill/--no-kill", default=True, help="Kill the first pass in the middle and go on.  [default: kill]")
@global_options()
@pass_words
def demo(words: Words, /, **options: Any) -> int:
    """Show the whole job on this machine: a first pass that is killed, its resume, a delta, a comparison, a report.

    \b
    Examples:
      migrator demo
      migrator demo --mail ./mail --lane compose
      migrator demo --faults 0.05
      migrator demo --whole
      migrator demo --waves --keep ./project
      migrator demo --waves --kill-serve 7
    """
    from migrator.demo.faults import run_fault_demo
    from migrator.demo.run import DemoFailed, DemoPlan, run_demo
    from migrator.demo.served import run_served_demo
    from migrator.demo.waves import run_wave_demo
    from migrator.demo.whole import run_whole_demo

    def say(text: str) -> None:
        click.echo(text, err=words.json)

    hostile, whole, waves, dies = options["faults"] > 0, *(options.pop(word) for word in ("whole", "waves", "kill_serve"))
    if dies is not None and not waves:
        raise click.UsageError("--kill-serve is for --waves; add --waves, or leave --kill-serve out.")
    if whole and (hostile or options["mail"]):
        raise click.UsageError("--whole is a demo of its own; leave --faults and --mail out.")
    if waves and (whole or hostile or options["mail"]):
        raise click.UsageError("--waves is a demo of its own; leave --whole, --faults and --mail out.")
    mailboxes = WAVES[0] if waves else options["mailboxes"] or (4 if hostile else 3)
    items = options["items"] or (
        2500 if hostile else 100 if whole else SERVED if dies is not None else WAVES[1] if waves else 1000
    )
    plan = DemoPlan(**(options | {"mailboxes": mailboxes, "items": items}))
    try:
        show = (
            partial(run_served_demo, type_it=_typed, seed=dies)
            if dies is not None
            else partial(run_wave_demo, type_it=_typed)
            if waves
            else run_whole_demo
            if whole
            else run_fault_demo
            if hostile
            else run_demo
        )
        told = show(plan, say=say)
    except DemoFailed as failed:
        click.echo(f"migrator: the demo does not do what it promises: {failed}", err=True)
        if words.json:
            say_json({"error": str(failed), "exit_code": 70})
        return 70
    if words.json:
        say_json(told)
    elif hostile:
        say_lines(*_survived(told))
    elif whole:
        say_lines(*_whole(told))
    elif waves:
        say_lines(", ".join(f"{number} {state}" for state, number in told["states"].items()) + f"; {told['seconds']} s.")
        if dies is not None:
            say_lines(
                f"serve was killed {told['deaths']} times, in the middle of {told['cut_off']} passes; nothing is lost, nothing is"
                f" there twice, and schedules, pauses and {told['approvals']} approvals stand as they were given."
            )
    else:
        say_lines(f"Everything arrived: {told['items']:,} items, {told['differences']} differences, {told['seconds']} s.")
    return 0


def _typed(line: Sequence[str]) -> tuple[int, str]:
    """Run one command line in this process; its exit code, and what it said."""
    from migrator.cli import run

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(line)
    return code, out.getvalue() or err.getvalue()


def _survived(told: dict[str, Any]) -> list[str]:
    """What a run over hostile wires came to, for people."""
    passes = ", ".join(f"{number} by the {lane} lane" for lane, number in told["passes"].items())
    refused = ", ".join(f"{number} {reason}" for reason, number in told["refused"].items()) or "none"
    return [
        *(f"  {number:>5}  {kind}" for kind, number in told["faults_by_kind"].items()),
        f"{told['items']:,} items, {told['faults']:,} of {told['requests']:,} requests failed. Passes: {passes}.",
        f"In doubt and looked up: {told['in_doubt']:,}. Lost: {told['lost']}. Twice: {told['twice']}.",
        f"Refused by name: {refused}.",
    ]


def _whole(told: dict[str, Any]) -> list[str]:
    """What became of everything, lane by lane, for people."""
    lines = []
    for lane, one in told["lanes"].items():
        lines.append(f"{lane}: {one['items']:,} items of {len(one['classes'])} classes, {one['settings']['written']} settings")
        for word, title in (("refused", "refused by name"), ("degraded", "arrived with something less")):
            some = ", ".join(f"{name} {number}" for name, number in one[word].items()) or "nothing"
            lines.append(f"  {title}: {some}")
        lines.append(f"  read back: {one['compared']:,}; unexplained differences: {one['differences']}; {one['report']}")
    return [*lines, f"All is explained; {told['seconds']} s."]


@click.command(
    "lab",
    short_help="Keep two simulated servers up, to try things on.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[dump] --dir DIR [OPTIONS]...")
def lab(options: tuple[str, ...]) -> int:
    """Keep a simulated Exchange and a simulated tenant up, to try things on.

    Writes lab.toml (a complete config) and waves.csv into the folder, prints the addresses, and runs until stopped.

    \b
      --dir DIR                  where config, waves and certificates go
      --mail DIR                 mail of your own: every .eml and .mbox below
      --mailboxes N, --items N   how many made-up mailboxes, and items in each
      --seed N                   another number makes other mailboxes
      --limits documented|off    whether the tenant throttles
      --speed K                  its clock runs so many times faster
      --latency MS               time a server takes
      --faults SHARE             how many of all requests fail, as 0.05
      --everything               one of all that a mailbox can hold, beside the mail
      --deep N                   of that, so many folders within folders (10)
      --log FILE                 every exchange, as JSON lines

    \b
      dump --dir DIR --side source|target --mailbox ADDRESS --out OUT
                                 what a mailbox holds now, one .eml an item and an items.json

    \b
    Examples:
      migrator lab --dir ./lab --mailboxes 2 --items 200
      migrator -c ./lab/lab.toml run
      migrator lab dump --dir ./lab --side target --mailbox anna@lab.example --out ./dump
    """
    from connectors.lab.command import main

    try:
        return main(list(options)) or 0
    except SystemExit as error:  # its own reader of options ends like this, with 0 after help and 2 for what is typed wrong
        return 0 if not error.code else 64
