"""A bundle for whoever helps: what is known of a project, without anything that names a person, a place or a secret.

Addresses, hosts, accounts, folder and wave names become words such as ``#3fa9c012``: the same one everywhere in a bundle, another
in the next. No subject, body or address of an item is read for it, and no server is asked.
"""

from __future__ import annotations

import getpass
import hashlib
import importlib.metadata
import json
import platform
import re
import secrets
import socket
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from migrator import logs
from migrator.config import SECRET_KEYS, BadInput, Config
from migrator.errors.vault import open_private
from migrator.errors.work import by_reason, gather
from migrator.reporting.gathering import gather as gather_report
from migrator.reporting.told import told as report_told
from migrator.status import headline, standings
from state.revision import HEAD
from state.store import Ledger

LINES: Final = 2000
_TAIL: Final = 5_000_000
_SHORTEST: Final = 4
"""Letters of the shortest name that is looked for in sentences; a shorter one would tear plain words apart."""

_ADDRESS: Final = re.compile(r"[^\s@<>\"'(),;:\[\]]+@[^\s@<>\"'(),;:\[\]]+")
_HOST: Final = re.compile(r"(?<=://)[^\s/\"'<>]+")
_SECRETS: Final = frozenset({"password", "secret", "certificate_password", "proxy_password", "key"})
_PLAIN: Final = frozenset(
    {"auth", "access", "lane", "concurrency_scope", "business_hours", "business_time_zone", "link_hours", "link_time_zone"}
)
_LIBRARIES: Final = (
    "mailbox-migrator", "aiohttp", "alembic", "click", "cryptography", "exchangelib", "httptools", "lxml", "msal", "msgspec",
    "psycopg", "requests", "sqlalchemy", "structlog", "tenacity",
)  # fmt: skip

README: Final = """What is in this bundle, and what is not.

Every address, host, account, mailbox, folder and wave is a word such as #3fa9c012: the same everywhere in here, another in the
next bundle. There is no secret, no subject, no body and no attachment. Read it before you pass it on.

versions.json   program, Python, system, libraries
config.json     the config: numbers and choices as they are, the rest hidden
status.json     where each mailbox stands
report.json     the sums of the report
errors.json     what did not go, counted by reason and code
passes.json     the last passes with their figures
notes.json      the last notes of the ledger
log.jsonl       the last lines of the log
"""


class Veil:
    """Puts a word in the place of everything that names a person or a place. One object a bundle."""

    def __init__(self, names: Iterable[str]) -> None:
        self._salt = secrets.token_bytes(16)
        # The longest first: an address before the domain in it.
        self._names = sorted({name for name in names if len(name) >= _SHORTEST}, key=len, reverse=True)
        self._folded = [name.casefold() for name in self._names]

    def name(self, text: str) -> str:
        """The word for a name; the same in any case."""
        return f"#{hashlib.blake2b(text.casefold().encode('utf-8', 'replace'), key=self._salt, digest_size=4).hexdigest()}"

    def text(self, text: str) -> str:
        """A sentence with every known name, address and host in it replaced, and without secrets."""
        text = _ADDRESS.sub(lambda found: self.name(found[0]), logs.redact(text))
        text = _HOST.sub(lambda found: self.name(found[0]), text)
        folded = text.casefold()
        for name, low in zip(self._names, self._folded, strict=True):
            if low in folded:
                text = re.sub(re.escape(name), self.name(name), text, flags=re.IGNORECASE)
                folded = text.casefold()
        return text

    def value(self, value: Any) -> Any:
        """The same for everything within a value, keys of objects included."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(one) for key, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(one) for one in value]
        return value if isinstance(value, int | float | bool) or value is None else self.text(str(value))


def bundle(config: Config, ledger: Ledger, log: Path, file: Path) -> list[str]:
    """Write the bundle to a new file of this account's own; the names of what is in it. Raises FileExistsError and OSError."""
    hide_secrets(config)
    veil = Veil(_names(config, ledger))
    with open_private(file) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in _contents(config, ledger, log, veil):
            pack.writestr(name, content)
        return pack.namelist()


def _contents(config: Config, ledger: Ledger, log: Path, veil: Veil) -> Iterator[tuple[str, str]]:
    mailboxes = ledger.mailboxes()
    rows = standings(ledger)
    report = report_told(gather_report(ledger))
    items = gather(ledger, mailboxes)
    notes = [{"at": one.at, "kind": one.kind, "text": one.text} for one in ledger.notes(None, 1000)]
    yield "README.txt", README
    yield "versions.json", _json(_versions(config))
    yield "config.json", _json(_config(config, veil))
    whose = [{**asdict(row), **{word: veil.name(getattr(row, word)) for word in ("wave", "source", "target")}} for row in rows]
    yield "status.json", _json(veil.value({"headline": headline(rows), "mailboxes": whose}))
    yield (
        "report.json",
        _json(veil.value({word: report[word] for word in ("light", "sentence", "totals", "reasons", "degraded")})),
    )
    counted = {
        reason: {"items": len(mine), "approved": sum(one.approved for one in mine), "codes": Counter(one.code for one in mine)}
        for reason, mine in by_reason(items)
    }
    yield "errors.json", _json(veil.value(counted))
    yield "passes.json", _json([veil.value({**asdict(one), "kind": one.kind.value}) for one in ledger.passes(last=200)])
    yield "notes.json", _json(veil.value(notes))
    yield "log.jsonl", "".join(f"{line}\n" for line in _log(log, veil))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _versions(config: Config) -> dict[str, Any]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return {
        "python": sys.version.split()[0],
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "ledger": {"revision": HEAD, "kind": "file" if config.ledger_file else "postgres"},
        "libraries": found,
    }


def _config(config: Config, veil: Veil) -> dict[str, Any]:
    sections = ("source", "target", "ledger", "run", "rails", "waves", "errors")
    return {name: _veiled(msgspec.to_builtins(getattr(config, name)), veil) for name in sections}


def _veiled(section: Any, veil: Veil) -> Any:
    """A section with numbers and choices as they are, secrets by their kind of reference, and a word for everything else."""
    if isinstance(section, list):
        return [_veiled(one, veil) for one in section]
    if not isinstance(section, dict):
        return section if isinstance(section, int | float | bool) or section is None else veil.name(str(section))
    told: dict[str, Any] = {}
    for word, value in section.items():
        if word in _SECRETS and isinstance(value, str):
            told[word] = f"{value.partition(':')[0]}:{logs.BLOT}" if value else ""
        elif word in _PLAIN or value == "":
            told[word] = value
        else:
            told[word] = _veiled(value, veil)
    return told


def hide_secrets(config: Config) -> None:
    """Have every secret that can be found blotted out of all text from now on."""
    for key in SECRET_KEYS:
        try:
            logs.hide(config.secret(key))
        except BadInput:
            continue  # what can't be found can't be told either


def _names(config: Config, ledger: Ledger) -> Iterator[str]:
    """What this project and this machine call people and places."""
    for row in ledger.mailboxes():
        for address in (row.source, row.target):
            local, _, domain = address.partition("@")
            yield from (address, local, domain)
        yield row.wave
        yield from (folder.name for folder in ledger.folders(row.id))
    for url in (config.source.url, config.target.graph_url, config.target.authority, config.target.proxy, config.ledger.url):
        parts = urlsplit(url)
        yield from (part for part in (parts.hostname, parts.username) if part)
    user = config.source.username
    yield from (user, *re.split(r"[\\@]", user))
    yield from (config.target.tenant_id, config.target.client_id, *(app.client_id for app in config.target.apps))
    yield from (str(config.folder), str(config.file), str(Path.home()), str(Path.cwd()), socket.gethostname())
    try:
        yield getpass.getuser()
    except (OSError, KeyError, ImportError):
        return


def _log(file: Path, veil: Veil) -> Iterator[str]:
    """The last lines of the log; a line that is no JSON object is left out."""
    try:
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - _TAIL))
            lines = source.read().decode("utf-8", "replace").splitlines()[-LINES:]
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield json.dumps(veil.value(entry), ensure_ascii=False)
