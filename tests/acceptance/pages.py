"""Plays the commands of a page against the lab, in the order in which they stand there, each with its exit code."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.lab.control import Control
from connectors.lab.people import furnish, make_path
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate
from migrator import cli

ROOT = Path(__file__).parents[2]
PEOPLE = ("pilot", "cara", "ben", "dora", "anna")
"""Of the simulated people only the fifth has folders with English names."""

_SHOWN = re.compile(r"```\w*\n(?P<block>.*?)```|`(?P<inline>migrator [^`\n]+(?:\n[^`\n]+)?)`", re.DOTALL)
_VAGUE = re.compile(r"[…\[\]|\\]|(?<!\w)\.\.\.")
_PATIENCE = 60.0


def shown_in_order(text: str) -> list[str]:
    """The command lines of a page in the order in which they stand there, those with a blank left for the reader left out.

    Those of a block are there as often as the page has them; one within a sentence only if it is new.
    """
    found: list[str] = []
    for one in _SHOWN.finditer(text):
        block = one["block"] is not None
        for line in one["block"].splitlines() if block else [" ".join(one["inline"].split())]:
            words = line.strip().removeprefix("uv run ").partition(" #")[0].strip().split(" && ")
            good = [word for word in words if word.startswith("migrator ") and not _VAGUE.search(word)]
            found += good if block else [word for word in good if word not in found]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How a line of a page is run. ``before`` and ``after`` are what people and servers do around it.

    ``until`` ends a command that would go on for ever once it has said that. ``typed`` is what is run instead of the line, and
    ``why`` says why. ``says`` has to be in what it says.
    """

    code: int | tuple[int, ...] = 0
    before: Callable[[World], None] | None = None
    after: Callable[[World], None] | None = None
    until: str = ""
    typed: str | Callable[[World], str] = ""
    why: str = ""
    says: str = ""


class World:
    """A project in an empty folder, and the lab that its config names."""

    def __init__(self, folder: Path, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.lab, self.control = folder, lab, Control(lab.folder)
        self._capsys = capsys

    @property
    def project(self) -> Path:
        """Where its commands are typed, from ``cd project`` on."""
        return self.folder / "project"

    def target(self, address: str) -> str:
        """Where a mailbox goes."""
        name = address.partition("@")[0]
        return next(one for one in self.control.mailboxes("target") if one.startswith(f"{name}@"))

    def run(self, line: str, code: int | tuple[int, ...] = 0) -> str:
        """Run a line as it stands; what it said."""
        self._capsys.readouterr()
        ended = cli.run(shlex.split(line)[1:])
        said = "".join(self._capsys.readouterr())
        print(f"$ {line}  -> {ended}\n{said}")
        assert ended in (code if isinstance(code, tuple) else (code,)), f"`{line}` ended with {ended}:\n{said}"
        return said

    def run_until(self, line: str, word: str) -> str:
        """Run a line in a process of its own until it says a word, and end it then as Ctrl-C does."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # Tests that run behind a shell's `&` are deaf to it, and what they start would be too.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-m", "migrator", *shlex.split(line)[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        assert process.stdout is not None
        said: list[str] = []
        found = threading.Event()

        def read(out=process.stdout) -> None:  # type: ignore[no-untyped-def]
            for heard in out:
                said.append(heard)
                if word in heard:
                    found.set()
            found.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            found.wait(_PATIENCE)
            assert process.poll() is None, f"`{line}`: {''.join(said)}"
            assert word in "".join(said), f"`{line}`: {''.join(said)}"
            process.send_signal(signal.SIGINT) if sys.platform != "win32" else process.terminate()
            process.wait(_PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join()
            process.stdout.close()
        print(f"$ {line}  -> {process.returncode}\n{''.join(said)}")
        if sys.platform != "win32":
            assert process.returncode in (0, 3), "".join(said)
        return "".join(said)


def play(
    page: str,
    story: Mapping[str, Step],
    world: World,
    *,
    since: str = "",
    elsewhere: Mapping[str, str] | None = None,
    blanks: Mapping[str, str] | None = None,
) -> None:
    """Run every line of a page that the story has, in order, from the heading ``since`` on.

    Any other line has to be a verb that is only named: it begins a line that is run. ``elsewhere`` are lines that other tests
    run, and which. ``blanks`` are words in capitals that a reader fills in, and with what.
    """
    text = (ROOT / page).read_text("utf-8")
    at = text.index(f"\n{since}\n") if since else 0
    lines = [line for line in shown_in_order(text[at:]) if line in story]
    named = set(shown_in_order(text)) - set(story) - set(elsewhere or {})
    unrun = sorted(one for one in named if not any(line.startswith(f"{one} ") for line in lines))
    assert unrun == [], f"no test runs these lines of {page}; say how in its story: {unrun}"
    assert [line for line in story if line not in lines] == [], f"not in {page} any more"
    for line in lines:
        step = story[line]
        if step.before is not None:
            step.before(world)
        typed = step.typed(world) if callable(step.typed) else step.typed or line
        assert not step.typed or step.why, f"{line}: say why something else is run"
        typed = " ".join((blanks or {}).get(word, word) for word in typed.split(" "))
        said = world.run_until(typed, step.until) if step.until else world.run(typed, step.code)
        assert step.says in said, f"`{typed}` does not say {step.says!r}:\n{said}"
        if step.after is not None:
            step.after(world)


def people_of_example() -> Estate:
    """The source mailboxes of the people whom the pages name."""
    made, renamed = Estate(), Estate()
    furnish(made, mailboxes=len(PEOPLE), items=12, seed=1)
    for name, mailbox in zip(PEOPLE, made.mailboxes.values(), strict=True):
        mailbox.address = f"{name}@example.com"
        if name == "anna":
            make_path(mailbox, ["Inbox", "Projects"])
        renamed.add(mailbox)
    return renamed


def lab_plan(folder: Path) -> LabPlan:
    """A lab of those people."""
    return LabPlan(folder=folder, source=people_of_example())


def settle_in(world: World) -> None:
    """Fill the config in, as an operator does after ``init``: the lab's servers and secrets, and a lease for a busy machine."""
    text = world.lab.config_file.read_text("utf-8").replace("lease = 5.0", "lease = 60.0").replace('"auto"', '"import"')
    text = text.replace("waves.csv", "people.xlsx")
    folder = world.lab.folder.as_posix()
    for file in ("ca.pem", "source-password.txt", "target-secret.txt"):
        text = text.replace(f'"{file}"', f'"{folder}/{file}"').replace(f'"file:{file}"', f'"file:{folder}/{file}"')
    (world.project / "migrator.toml").write_text(text, "utf-8")
