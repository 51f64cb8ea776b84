"""The lab's command line: keep both faces up in a folder until stopped, or dump a mailbox of a running lab.

Exit codes: 0 done, 64 typed wrong, 65 bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from .control import Control, ControlRefused

_USAGE, _BAD_INPUT = 64, 65


class _Reader(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"{self.prog}: {message}; try --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with its words; returns the exit code. Help and wrong words leave by SystemExit, with 0 and 64."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dump(words[1:]) if words[:1] == ["dump"] else _serve(words)
    except ControlRefused as error:
        return _bad(str(error))


def _bad(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 - a command speaks
    return _BAD_INPUT


def _dump(words: list[str]) -> int:
    reader = _Reader(
        prog="lab dump", description="Write what a mailbox of a running lab holds: one .eml an item, and items.json."
    )
    reader.add_argument("--dir", type=Path, required=True, help="the folder of the running lab")
    reader.add_argument("--side", choices=("source", "target"), required=True)
    reader.add_argument("--mailbox", required=True, metavar="ADDRESS")
    reader.add_argument("--out", type=Path, required=True, help="the folder to write into")
    asked = reader.parse_args(words)
    try:
        number = Control(asked.dir).dump(asked.mailbox, asked.out, asked.side)
    except OSError as error:
        return _bad(f"{asked.out} can't be written ({error.strerror or type(error).__name__}); name another folder.")
    print(f"{number} items are in {asked.out}")  # noqa: T201
    return 0


def _number(least: float, kind: type[int] | type[float] = int) -> object:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not least <= value < 10**9:
            raise argparse.ArgumentTypeError(f"{text} is out of range, from {least} on")
        return value

    return read


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share, which lies between 0 and 1")
    return value


def _options() -> _Reader:
    reader = _Reader(prog="lab", description="Keep a simulated Exchange server and a simulated Microsoft 365 tenant up.")
    reader.add_argument("--dir", type=Path, required=True, help="where config, waves and certificates go")
    reader.add_argument("--mail", type=Path, help="mail of your own: every .eml and .mbox below that folder")
    reader.add_argument("--mailboxes", type=_number(1), default=3, metavar="N")  # type: ignore[arg-type]
    reader.add_argument("--items", type=_number(0), default=200, metavar="N", help="made-up items in each mailbox")  # type: ignore[arg-type]
    reader.add_argument("--seed", type=_number(0), default=1, metavar="N", help="another number makes other mailboxes")  # type: ignore[arg-type]
    reader.add_argument("--limits", choices=("documented", "off"), default="off", help="whether the tenant throttles")
    reader.add_argument("--speed", type=_number(0.001, float), default=1.0, metavar="K", help="its clock runs K times faster")  # type: ignore[arg-type]
    reader.add_argument("--latency", type=_number(0, float), default=0.0, metavar="MS", help="time every answer takes longer")  # type: ignore[arg-type]
    reader.add_argument(
        "--tenant-latency",
        type=_number(0, float),  # type: ignore[arg-type]
        metavar="MS",
        help="another one for the tenant",
    )
    reader.add_argument("--faults", type=_share, default=0.0, metavar="SHARE", help="how many of all requests fail, as 0.05")
    reader.add_argument("--everything", action="store_true", help="one of everything that a mailbox can hold, beside the mail")
    reader.add_argument("--deep", type=_number(2), default=10, metavar="N", help="of that, so many folders within folders")  # type: ignore[arg-type]
    reader.add_argument("--log", type=Path, metavar="FILE.jsonl", help="every exchange, as JSON lines, one file a side")
    return reader


def _serve(words: list[str]) -> int:
    asked = _options().parse_args(words)
    # Loaded late, so that help and mistakes are answered at once.
    from .faults import FaultPlan
    from .mailfiles import NoMail
    from .server import Lab, LabPlan

    plan = LabPlan(
        folder=asked.dir,
        mail=asked.mail,
        mailboxes=asked.mailboxes,
        items=asked.items,
        seed=asked.seed,
        limits=asked.limits,
        speed=asked.speed,
        latency=asked.latency / 1000,
        tenant_latency=None if asked.tenant_latency is None else asked.tenant_latency / 1000,
        log=asked.log,
        everything=asked.everything,
        deep=asked.deep,
        faults=FaultPlan(share=asked.faults, seed=asked.seed) if asked.faults else None,
    )
    lab = Lab(plan)
    with _ending_on_signals(lab.ended):
        try:
            lab.start()
        except NoMail as error:
            return _bad(str(error))
        except OSError as error:
            return _bad(f"the lab can't start in {asked.dir} ({error.strerror or type(error).__name__}); check the folder.")
        try:
            _tell(lab.ews_url, lab.graph_url, lab.config_file)
            # Waiting in slices lets a Ctrl-C through on every system.
            while not lab.ended.wait(0.5):
                pass
        finally:
            lab.stop()
    return 0


def _tell(ews_url: str, graph_url: str, config: Path) -> None:
    for line in (f"Exchange  {ews_url}", f"Graph     {graph_url}", f"Config    {config}", "Ctrl-C ends it."):
        print(line, flush=True)  # noqa: T201


@contextlib.contextmanager
def _ending_on_signals(ended: threading.Event) -> Iterator[None]:
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, OSError):  # not in the main thread, or not on this system
            before[number] = signal.signal(number, lambda *_: ended.set())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
