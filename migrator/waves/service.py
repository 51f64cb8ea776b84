"""What keeps ``serve`` alive: a systemd unit, or a task of the Windows Task Scheduler. Only text; whoever runs it is asked first.

On Windows a task serves better than a service of its own: that would need a wrapper around the program. The Task Scheduler
starts it at start-up without anybody signed in, looks every quarter of an hour whether it still runs, and sets it no time limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from xml.sax.saxutils import escape

DONT_START_AGAIN = (5, 64, 65)
"""Exit codes after which only a person can help: starting it anew would sign in with a wrong password again and again.
A task can't tell them apart; a quarter of an hour between two tries keeps an account from being locked."""

AGAIN_AFTER = 60
"""Seconds before it is started again."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")


class BadName(ValueError):
    """A name that no system takes for a service; the message is a sentence with the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is to be kept alive: this Python, this config, in the config's folder. ``user`` is empty for the account that asks;
    ``secrets`` are names of environment variables that the config refers to."""

    name: str
    python: PurePath
    config: PurePath
    user: str = ""
    secrets: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadName(f"{self.name} is no name for a service; use letters, digits, dots, - and _.")

    @property
    def words(self) -> list[str]:
        """The command line."""
        return [str(self.python), "-m", "migrator", "-c", str(self.config), "serve"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a file to write, or a command to run."""

    command: tuple[str, ...] = ()
    file: PurePath | None = None
    text: str = ""

    def shown(self) -> str:
        """The step for people, ready to be copied."""
        if self.file is not None:
            return f"write {self.file}:\n" + "".join(f"    {line}\n" for line in self.text.splitlines()).rstrip()
        return " ".join(_quoted(word) for word in self.command)


def _quoted(word: str) -> str:
    return f'"{word}"' if not word or any(mark in word for mark in ' "&|<>^') else word


# -- systemd


def unit_name(name: str) -> str:
    """The unit of that name."""
    return f"migrator-{name}.service"


def unit(service: Service, environment_file: PurePath) -> str:
    """A systemd unit."""
    lines = [
        "[Unit]",
        f"Description=Mailbox migration {service.name}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_for_systemd(word) for word in service.words)}",
        f"WorkingDirectory={str(service.config.parent).replace('%', '%%')}",
        *([f"User={service.user}"] if service.user else []),
        *([f"EnvironmentFile={environment_file}"] if service.secrets else []),
        "Restart=always",
        f"RestartSec={AGAIN_AFTER}",
        f"RestartPreventExitStatus={' '.join(map(str, DONT_START_AGAIN))}",
        "KillSignal=SIGTERM",
        "TimeoutStopSec=300",
        "NoNewPrivileges=yes",
        "UMask=0077",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _for_systemd(word: str) -> str:
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if " " in plain or plain != word else plain


def on_systemd(service: Service, folder: PurePath) -> list[Step]:
    """How it is installed where systemd is; ``folder`` is that of the units."""
    name = unit_name(service.name)
    environment = PurePath(f"/etc/migrator/{service.name}.env")
    return [
        Step(file=folder / name, text=unit(service, environment)),
        Step(("systemctl", "daemon-reload")),
        Step(("systemctl", "enable", "--now", name)),
    ]


def off_systemd(name: str, folder: PurePath) -> list[Step]:
    """How it is removed again; nothing else is."""
    return [
        Step(("systemctl", "disable", "--now", unit_name(name))),
        Step(("rm", "-f", str(folder / unit_name(name)))),
        Step(("systemctl", "daemon-reload")),
    ]


# -- Windows


def task_name(name: str) -> str:
    """The task of that name."""
    return f"\\Migrator\\{name}"


def task(service: Service) -> str:
    """A task as XML: begun at start-up and every quarter of an hour, unless it still runs; without a time limit."""
    command, *arguments = service.words
    user = escape(service.user or "SYSTEM")
    return (
        '<?xml version="1.0" encoding="UTF-16"?>\n'
        '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">\n'
        f"  <RegistrationInfo><Description>Mailbox migration {escape(service.name)}</Description></RegistrationInfo>\n"
        "  <Triggers><BootTrigger><Repetition><Interval>PT15M</Interval></Repetition></BootTrigger></Triggers>\n"
        f'  <Principals><Principal id="Author"><UserId>{user}</UserId>'
        f"<LogonType>{'Password' if service.user else 'ServiceAccount'}</LogonType>"
        "<RunLevel>LeastPrivilege</RunLevel></Principal></Principals>\n"
        "  <Settings>\n"
        "    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n"
        "    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n"
        "    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n"
        "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n"
        "  </Settings>\n"
        '  <Actions Context="Author"><Exec>\n'
        f"    <Command>{escape(command)}</Command>\n"
        f"    <Arguments>{escape(' '.join(_quoted(word) for word in arguments))}</Arguments>\n"
        f"    <WorkingDirectory>{escape(str(service.config.parent))}</WorkingDirectory>\n"
        "  </Exec></Actions>\n"
        "</Task>\n"
    )


def on_windows(service: Service, file: PurePath) -> list[Step]:
    """How it is installed on Windows; ``file`` is where the task's description goes."""
    create = ["schtasks", "/Create", "/TN", task_name(service.name), "/XML", str(file), "/F"]
    if service.user:
        create += ["/RU", service.user, "/RP", "*"]
    return [
        Step(file=file, text=task(service)),
        Step(tuple(create)),
        Step(("schtasks", "/Run", "/TN", task_name(service.name))),
    ]


def off_windows(name: str) -> list[Step]:
    """How it is removed again; nothing else is."""
    return [
        Step(("schtasks", "/End", "/TN", task_name(name))),
        Step(("schtasks", "/Delete", "/TN", task_name(name), "/F")),
    ]


# -- what is to be known besides


def remarks(service: Service, windows: bool) -> list[str]:
    """What a person has to see to before the first start."""
    said = []
    if service.secrets:
        names = ", ".join(service.secrets)
        if windows:
            said.append(
                f"The config takes secrets from the environment ({names}), which a task does not have unless they are set for the"
                " whole machine; `keyring:` or `file:` serves better there."
            )
        else:
            said.append(
                f"Write the secrets ({names}) into /etc/migrator/{service.name}.env, a line NAME=value each, for root only."
            )
    if windows and not service.user:
        said.append("It runs as SYSTEM; name an account with --user for one that may read the config and the ledger.")
    return said


def secrets_of(references: Mapping[str, str]) -> list[str]:
    """The environment variables that these references name."""
    return [text.removeprefix("env:") for text in dict.fromkeys(references.values()) if text.startswith("env:")]
