"""``init`` and ``check``: what comes before the first pass."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.commands.words import DEFAULT_CONFIG, Words, global_options, pass_words, say_json, say_lines


@click.command("init", short_help="Write a commented config and an example waves file.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default=True,
    help="Where to write; made if it is not there.",
)
@global_options()
@pass_words
def init(words: Words, folder: Path) -> int:
    """Write a commented config with every key, migrator.toml, and an example waves file, waves.csv. Overwrites nothing.

    \b
    Example:
      migrator init --dir ./project
    """
    from migrator.config import BadInput
    from migrator.examples import example

    wanted = {folder / DEFAULT_CONFIG: "example.toml", folder / "waves.csv": "waves.example.csv"}
    for file in wanted:
        if file.exists():
            raise BadInput(f"{file} is there already; move it away, or choose another folder with --dir.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, name in wanted.items():
            with file.open("xb") as out:
                out.write(example(name))
    except OSError as error:
        raise BadInput(f"{folder} can't be written ({error.strerror}); choose another folder with --dir.") from None
    if words.json:
        say_json({"written": [str(file) for file in wanted], "exit_code": 0})
    else:
        say_lines(*(f"Wrote {file}" for file in wanted), "Fill both in, then ask `migrator check`.")
    return 0


@click.command("check", short_help="Ask whether everything is in place; never writes.")
@click.argument("names", nargs=-1, metavar="[WAVE|MAILBOX]...")
@click.option("--fidelity", is_flag=True, help="Print what becomes of each property of each kind of item, by lane; ask nobody.")
@click.option("--left-behind", is_flag=True, help="Count what of each mailbox is not carried, or only on request.")
@click.option("--public-folders", is_flag=True, help="Count the public folders; they are not carried.")
@global_options()
@pass_words
def check(words: Words, names: tuple[str, ...], fidelity: bool, left_behind: bool, public_folders: bool) -> int:
    """Ask whether everything is in place, one question a line: ok, NO with what to do, or not asked. Never writes.

    Without names, the first mailbox of each wave is asked for. Ends with 0 if all is well, 4 if only some mailboxes are not,
    and 5 if nobody could proceed.

    \b
    Examples:
      migrator check
      migrator check pilot
      migrator check anna@example.com --json
      migrator check --fidelity
      migrator check --left-behind wave1
      migrator check --public-folders
    """
    if left_behind or public_folders:
        from migrator.commands import left

        return left.left_behind(words, names) if left_behind else left.public_folders(words, names)
    if fidelity:
        from migrator.fidelity import as_json, text

        if words.json:
            say_json({"fidelity": as_json(), "exit_code": 0})
        else:
            say_lines(*text())
        return 0
    import threading

    from migrator import app, logs
    from migrator.commands.carry import stop_on_signals
    from migrator.preflight import SIGHT, Gate, builds_in, exit_code, local_gates, meetings_gate, probe_gates, server_gates
    from migrator.probe.answers import known_of
    from migrator.waves.file import select

    config = words.load()
    words.start_log()
    lines = app.to_be_asked(config)
    chosen = select(lines, names, config.waves.file)
    if not names:
        chosen = list({line.wave: line for line in reversed(chosen)}.values())[::-1]
    gates: list[Gate] = []
    meetings: dict[str, dict[str, int]] = {}

    def tell(gate: Gate) -> None:
        gates.append(gate)
        if not words.json:
            say_lines(*gate.lines())

    stop = threading.Event()
    try:
        with stop_on_signals(stop):
            for gate in local_gates(config, lines):
                tell(gate)
            if all(gate.answer.ok is not False for gate in gates):
                with app.Connected(config, stop) as connectors:
                    for gate in server_gates(connectors, chosen, stop):
                        tell(gate)
                    answers = app.answers_of(config)
                    for gate in probe_gates(gates, answers):
                        tell(gate)
                    probed = known_of(answers, next(iter(builds_in(gates)), "")).answer_for("IPM.Appointment")
                    for line in chosen if all(gate.answer.ok is not False for gate in gates) and not stop.is_set() else ():
                        run = config.run
                        gate, found = meetings_gate(
                            connectors.meetings,
                            line.source,
                            lane=run.lane,
                            orphans=run.meetings_without_attendees,
                            probed=probed,
                        )
                        tell(gate)
                        if found is not None:
                            meetings[line.source.casefold()] = {"future": found.future, "as_organiser": found.as_organiser}
                if meetings and app.ledger_exists(config):
                    with app.open_ledger(config) as ledger:
                        for row in ledger.mailboxes():
                            if row.source.casefold() in meetings:
                                ledger.plans.observe(row.id, SIGHT, meetings[row.source.casefold()])
    finally:
        logs.take_down()
    code = 3 if stop.is_set() else exit_code(gates)
    if words.json:
        say_json({"questions": [gate.as_json() for gate in gates], "exit_code": code})
    else:
        wrong = sum(gate.answer.ok is False for gate in gates)
        ending = f"{wrong} NO: mend them from the top, then ask again." if wrong else "All is well."
        say_lines("", "Stopped before everything was asked; ask again." if stop.is_set() else ending)
    return code
