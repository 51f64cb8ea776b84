"""No secret and nothing private is ever written down or shown: not in a log, not in the ledger, not in a report, not on a screen.

Every command runs as a user types it, well and badly: killed, refused at the door, stopped by a bug, talkative to the last
library. Then all that was printed and every byte that lies in the project's folder is searched for every secret in use: the
passwords, each access token, import address and upload address, and what was planted in subjects, bodies, attachments and
addresses of the mailboxes.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from leaks import dresses, leaks

from connectors.lab import churn
from connectors.lab.login import Login
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Item, Mailbox, Part, Person

MIGRATOR = [sys.executable, "-m", "migrator"]

BROKEN = """
import sys
from connectors.graph.client import GraphClient
from migrator.cli import main
exchange = GraphClient._exchange
async def broken(self, mailbox, method, url, kind, headers, pieces):
    if kind in ("import", "create", "upload"):
        raise RuntimeError(f"no idea what to do with {method} {url} and {dict(headers)}")
    return await exchange(self, mailbox, method, url, kind, headers, pieces)
GraphClient._exchange = broken
main()
"""
"""A bug in the most talkative place: its message names the address and all headers, the token among them."""

TALKATIVE = """
import logging, sys
from migrator import logs
from migrator.cli import main
set_up = logs.set_up
def loud(file, *, quiet=False):
    set_up(file, quiet=quiet)
    logging.getLogger().setLevel(logging.DEBUG)
    for name in ("migrator", "connectors", "state"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.DEBUG)
logs.set_up = loud
main()
"""


@dataclass
class Project:
    """A folder with a project in it, what was used there in secret, and what its commands said."""

    lab: Lab
    folder: Path
    journal: Path
    planted: dict[str, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    said: list[tuple[str, bytes]] = field(default_factory=list)
    shown_on_demand: bytes = b""
    found: list[str] = field(default_factory=list)
    """What was found on the disk right after a command; later ones may write over it."""

    @property
    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return os.environ | {"TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}

    def run(self, name: str, *words: str, program: list[str] = MIGRATOR, config: str = "lab.toml", quiet: bool = True) -> int:
        command = [*program, "-c", str(self.folder / config), *(["--json"] if quiet else []), *words]
        done = subprocess.run(command, capture_output=True, check=False, timeout=100, env=self.environment)
        self.said.append((f"the output of {name}", done.stdout + done.stderr))
        self.look(name)
        return done.returncode

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "killed.out").open("wb") as out:
            return subprocess.Popen(
                [*MIGRATOR, "-c", str(self.folder / "lab.toml"), *words], stdout=out, stderr=out, env=self.environment
            )

    def look(self, when: str) -> None:
        secrets_now = self.planted | self.in_use()
        self.found += [f"{leak}, after {when}" for leak in leaks(secrets_now, self.files())]

    def in_use(self) -> dict[str, str]:
        known = {"source password": self.lab.password, "client secret": self.lab.secret, "lab's token": self.lab.token}
        return known | {f"access token {number}": token for number, token in enumerate(self.tokens)}

    def addresses(self) -> dict[str, str]:
        """Import and upload addresses that were given out, whole and by what makes them secret."""
        found: dict[str, str] = {}
        for line in self.journal.read_bytes().splitlines():
            body = json.loads(line)["response_body"]
            for name in ("importUrl", "uploadUrl"):
                if f'"{name}"' in body:
                    url = json.loads(body)[name]
                    found[f"{name} {len(found)}"] = url
                    found[f"{name} {len(found)}, its credential"] = url.partition("authtoken=")[2]
        return found

    def files(self, *, kept: bool = False) -> Iterator[tuple[str, bytes]]:
        """Everything in the folder but what the lab's own papers and the tests put there to be secret.

        ``refused/`` keeps content on purpose, that of items which did not go; ``kept`` yields what lies there and nothing else.
        """
        papers = {"source-password.txt", "target-secret.txt", "lab.json", "server.pem", "ca.pem", "wrong.txt", "clear.toml"}
        for file in self.folder.rglob("*"):
            if file.is_file() and file.name not in papers and ("refused" in file.parts) == kept:
                yield file.name, file.read_bytes()
                if zipfile.is_zipfile(file):
                    with zipfile.ZipFile(file) as packed:
                        yield from ((f"{file.name}/{name}", packed.read(name)) for name in packed.namelist())


def plant(project: Project, mailbox: Mailbox) -> None:
    """Mark what every item holds, so that it can be told from everything else."""

    def mark(what: str) -> str:
        # One word a kind, so that the search is quick; a number behind it makes each a text of its own.
        word = project.planted.setdefault(what, f"Planted{what}{secrets.token_hex(8)}")
        return f"{word}x{secrets.token_hex(3)}"

    with mailbox.lock:
        for number, item in enumerate(mailbox.items.values()):
            item.mime = None
            item.subject = f"{item.subject} {mark('Subject')}"
            item.body_text, item.body_html = f"{item.body_text} {mark('Body')}", None
            if number % 5 == 0:
                item.to = [*item.to, Person(mark("Name"), f"{mark('Person')}@third.example")]
                item.parts = [*item.parts, Part(mark("File"), "text/plain", mark("Content").encode(), id=f"planted {number}")]
        inbox = mailbox.by_role("inbox")
        assert inbox is not None
        for number, size in enumerate((3_500_000, 9_000_000)):
            # One needs an upload session in the compose lane; the other is too large for the import lane here.
            part = Part(mark("File"), "application/octet-stream", secrets.token_bytes(size), id=f"large {number}")
            large = Item(id=f"{number:024x}", folder_id=inbox.id, subject=mark("Subject"), body_text=mark("Body"), parts=[part])
            large.search_key = secrets.token_bytes(16)
            mailbox.add(large)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder, logs = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("journal")
    plan = LabPlan(
        folder=folder, mailboxes=2, items=40, log=logs / "x.jsonl", tenant_latency=0.02, tenant={"import_cap": 8_000_000}
    )
    with pytest.MonkeyPatch.context() as patch, Lab(plan) as lab:
        project = Project(lab, folder, logs / "x-graph.jsonl")
        give = Login.token

        def remember(self: Login, body: bytes) -> dict[str, Any]:
            answer = give(self, body)
            project.tokens.append(answer["access_token"])
            return answer

        patch.setattr(Login, "token", remember)
        for mailbox in lab.source.mailboxes.values():
            plant(project, mailbox)
        live(project)
        yield project


def live(project: Project) -> None:
    """Everything that a project meets, good and bad."""
    lab, folder = project.lab, project.folder
    imported, composed = lab.source.mailboxes
    assert project.run("check", "check", quiet=False) == 0
    target = lab.target.mailboxes[next(iter(lab.target.mailboxes))]
    killed = project.start("run", imported, "--lane", "import")
    until = time.monotonic() + 60
    while len(target.items) < 8 and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() != 0, "it was killed in the middle"
    project.look("a kill")
    time.sleep(5.5)  # the lease of who was killed
    assert project.run("run", "run", imported, "--lane", "import", quiet=False) == 2
    assert project.run("compose", "run", composed, "--lane", "compose") == 2
    for words in (
        ("verify",),
        ("status",),
        ("report", "--out", str(folder)),
        ("errors", "list"),
        ("db", "backup", str(folder / "copy.db")),
    ):
        assert project.run(words[0], *words) == 0, project.said[-1]
    asked = subprocess.run(
        [*MIGRATOR, "-c", str(folder / "lab.toml"), "errors", "list", "--subjects"], capture_output=True, check=False
    )
    project.shown_on_demand = asked.stdout + asked.stderr
    project.look("errors list --subjects")
    spoil(project)
    for lane, mailbox in (("import", imported), ("compose", composed)):
        for program, code in ((BROKEN, 70), (TALKATIVE, 2)):
            source = lab.source.mailboxes[mailbox]
            with source.lock:
                arrived = churn.add_new(source, lab.shelf, len(project.said))
                churn.edit(arrived, source, {"subject": f"new {project.planted['Subject']}"})
            name = f"{'a bug' if code == 70 else 'a talkative run'} in the {lane} lane"
            run = [sys.executable, "-c", program]
            assert project.run(name, "run", mailbox, "--lane", lane, program=run, quiet=False) == code, project.said[-1]
    assert project.run("support bundle", "support", "bundle", str(folder / "for-support.zip"), quiet=False) == 0


def spoil(project: Project) -> None:
    """Wrong passwords on either side, and a secret in clear."""
    config = (project.folder / "lab.toml").read_text("utf-8")
    wrong = project.planted["wrong password"] = secrets.token_urlsafe(20)
    (project.folder / "wrong.txt").write_text(wrong, "utf-8")
    for side, reference in (("source", "file:source-password.txt"), ("target", "file:target-secret.txt")):
        (project.folder / f"wrong-{side}.toml").write_text(config.replace(reference, "file:wrong.txt"), "utf-8")
        name = f"a run with the {side}'s wrong password"
        assert project.run(name, "run", config=f"wrong-{side}.toml", quiet=False) in (3, 4, 5)
    clear = project.planted["secret in clear"] = secrets.token_urlsafe(20)
    (project.folder / "clear.toml").write_text(config.replace("file:source-password.txt", clear), "utf-8")
    assert project.run("a secret in clear", "run", config="clear.toml", quiet=False) == 65


@pytest.mark.timeout(600)
def test_nothing_secret_or_private_was_ever_on_the_disk_or_on_the_screen(project: Project) -> None:
    everything = project.planted | project.in_use() | project.addresses()
    assert project.found == []
    assert leaks(everything, project.files()) == []
    assert leaks(everything, project.said) == []
    assert leaks(project.in_use() | project.addresses(), project.files(kept=True)) == []


def test_there_was_something_to_be_found(project: Project) -> None:
    names = project.planted.keys() | project.addresses().keys()
    kinds = {name.split()[0] for name in names}
    assert kinds >= {"Subject", "Body", "Person", "Name", "File", "Content", "importUrl", "uploadUrl", "wrong", "secret"}
    assert len(project.tokens) >= 8
    written = {name for name, _ in project.files()}
    assert written >= {"migrator.db", "copy.db", "migrator.log", "killed.out", "lab.toml", "for-support.zip"}
    assert any(name.endswith(".html") for name in written)
    log = (project.folder / "migrator.log").read_text("utf-8")
    assert "no idea what to do with POST" in log, "the bugs' tracebacks are there"
    assert '"level": "debug"' in log, "and so is what libraries say to nobody else"
    assert leaks(project.planted, project.files(kept=True)), "what did not go is kept where the operator alone can read it"
    assert b"PlantedSubject" in project.shown_on_demand, "a subject is shown where a person asked for it, and only there"


def test_every_secret_would_be_found_wherever_it_lay(project: Project) -> None:
    everything = project.planted | project.in_use() | project.addresses()
    for name, secret in everything.items():
        assert leaks(everything, [("a place", b"before " + secret.encode() + b" after")]), name


@pytest.mark.parametrize("dress", list(dresses("a secret of some length")))
def test_the_scanner_knows_a_secret_in_every_dress(dress: str) -> None:
    secret = "a secret/of+some length"
    content = b"\x00\xff before " + dresses(secret)[dress] + b" after"
    assert any(f"it, {dress}" in leak or "it, " in leak for leak in leaks({"it": secret}, [("there", content)]))


@pytest.mark.parametrize("before", [b"", b"1", b"12", b"123"])
def test_the_scanner_finds_what_was_encoded_with_its_neighbours(before: bytes) -> None:
    secret = "a secret of some length"
    for content in (
        base64.b64encode(before + secret.encode() + b" and more"),
        base64.b64encode(before + secret.encode("utf-16-le")),
        b"row" + zlib.compress(before + secret.encode()),
    ):
        assert leaks({"it": secret}, [("there", content)])
    assert leaks({"it": secret}, [("there", base64.b64encode(before + b"another text of some length"))]) == []
