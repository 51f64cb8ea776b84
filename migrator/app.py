"""Puts the parts together as the config says; the only place where engine, ledger and both connectors meet.

Heavy libraries come in with the first mailbox, not with this module.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec.structs import replace as rebuilt

from migrator import logs, shares
from migrator.config import BadInput, Config
from migrator.footprint import few_arenas, loaded_for_good, prompt_threads
from migrator.parts import Share, app_of, connections_of, exchange_of, link_of, spool_of, tenants_of
from state.model import MailboxRow

if TYPE_CHECKING:
    from connectors.base import Answer, Destination, Inventory, Lane, Source
    from connectors.directory import Person
    from connectors.ews.client import ExchangeServer
    from connectors.ews.meetings import MeetingsToCome
    from connectors.ews.roots import Root
    from connectors.graph.client import GraphClient
    from connectors.pacer import Memory
    from connectors.probing import Bench
    from connectors.reading import Reader
    from connectors.reading_calendar import CalendarReader
    from connectors.settings import SettingsSource, SettingsTarget
    from migrator.cutover.arrivals import Look
    from migrator.errors.vault import Vault
    from migrator.kinds import Tree
    from migrator.waves.file import Planned, WaveLine
    from state.plans import Answer as Answered
    from state.store import Ledger


class Hints:
    """What connectors remember through the ledger: what a server asked to wait for, and which trees a mailbox has.

    A hint that can't be kept costs one more refusal by the server, so trouble of the ledger is not raised here.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def hint(self, scope: str, until_wall: float) -> None:
        """Keep that nothing of this scope may leave before then."""
        try:
            self._ledger.hint(scope, until_wall)
        except Exception as error:
            logs.logger("migrator.app").warning("a hint could not be kept", scope=scope, exc_info=error)

    def hints(self) -> Mapping[str, float]:
        """All hints kept."""
        kept: Mapping[str, float] = self._ledger.hints()
        return kept

    def trees(self, mailbox_id: int) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """What the waves file says of a mailbox, and which of its further trees were carried, by kind."""
        from migrator.kinds import SEEN

        plans = self._ledger.plans
        seen = [one.about for one in plans.observed(SEEN, mailbox_id)]
        return plans.details_of(mailbox_id), seen[0] if seen else {}

    def has_special(self, mailbox_id: int) -> bool:
        """Whether special folders of the mailbox itself were carried."""
        return any(row.role is not None and row.target_id is not None for row in self._ledger.folders(mailbox_id))

    def tree_found(self, mailbox_id: int, tree: Tree, kind: str) -> None:
        """Remember that a mailbox has such a tree, which is carried."""
        from migrator.kinds import SEEN

        seen = self.trees(mailbox_id)[1]
        if seen.get(kind) != tree.name:
            self._ledger.plans.observe(mailbox_id, SEEN, {**seen, kind: tree.name})


class Connected:
    """Both sides of a project, shared by all mailboxes of this process. Thread-safe; opens nothing before the first mailbox.

    ``guard`` wraps every destination, for a run that must not write. ``share`` is this process's part of what the config gives to
    all processes of a run together. ``waves.Connectors`` says what it offers.
    """

    def __init__(
        self,
        config: Config,
        stop: threading.Event,
        *,
        guard: Callable[[Destination], Destination] | None = None,
        memory: Memory | None = None,
        share: Share | None = None,
    ) -> None:
        few_arenas()
        prompt_threads()
        self._exchange = exchange_of(config)
        self._tenants = tenants_of(config)
        self._share = share or Share()
        self._cap = connections_of(config, share=self._share)
        self._link = link_of(config, share=self._share)
        self._run = config.run
        self._orphans = config.run.meetings_without_attendees
        self._others = config.run.others_as == "attachment"
        self._stop = stop
        self._guard = guard
        self._memory = memory
        self._spool = spool_of(config)
        self._lock = threading.Lock()
        self._server: ExchangeServer | None = None
        self._clients: dict[int, GraphClient] = {}

    def __enter__(self) -> Connected:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with ExitStack() as closing_all:
            for client in self._clients.values():
                closing_all.callback(client.close)
            if self._server is not None:
                closing_all.callback(self._server.close)

    @property
    def server(self) -> ExchangeServer:
        """The source server."""
        from connectors.ews.client import ExchangeServer

        with self._lock:
            if self._server is None:
                self._server = ExchangeServer(
                    self._exchange, stop=self._stop, memory=self._memory, cap=self._cap, link=self._link
                )
            return self._server

    @property
    def client(self) -> GraphClient:
        """The way to the target tenant, as its main app."""
        return self._client(0)

    def client_for(self, mailbox: str) -> GraphClient:
        """The way to a target mailbox, as the app that carries it. Each app has its own sign-in and its own budgets."""
        return self._client(app_of(mailbox, len(self._tenants)))

    def _client(self, app: int) -> GraphClient:
        from connectors.graph.client import GraphClient

        with self._lock:
            found = self._clients.get(app)
            if found is None:
                tenant = self._tenants[app]
                if tenant.concurrency_scope == "app":
                    tenant = replace(tenant, concurrency=self._share.of_number(tenant.concurrency))
                found = GraphClient(tenant, stop=self._stop, memory=self._memory, link=self._link)
                self._clients[app] = found
            return found

    def heed(self, scope: str, until_wall: float) -> None:
        """Let nothing of this scope leave before then: another process of this run was asked that."""
        server = self._server
        if server is not None and server.scope == scope:
            server.gate.block(server.clock() + until_wall - server.wall())

    def source(self, mailbox: MailboxRow, stop: threading.Event) -> Source:
        """Open one source mailbox."""
        from connectors.ews.source import ExchangeSource

        return ExchangeSource(
            self.server_of(mailbox),
            mailbox.source,
            stop=stop,
            spool=self._spool,
            roots=self._roots(mailbox),
            alone=self._run.only_trees,
        )

    def server_of(self, mailbox: MailboxRow) -> ExchangeServer:
        """The source server as this mailbox is reached: by its line of the spreadsheet, else as the config says."""
        access = self._memory.trees(mailbox.id)[0].get("access") if isinstance(self._memory, Hints) else None
        return self.server.with_access(str(access)) if access else self.server

    def _roots(self, mailbox: MailboxRow) -> list[Root]:
        """The further trees of a source mailbox. Raises MailboxBlocked."""
        from connectors.ews.roots import Root
        from migrator.kinds import carried_whole, trees_of

        memory = self._memory if isinstance(self._memory, Hints) else None
        details: Mapping[str, Any] = {}
        seen: Mapping[str, str] = {}
        if memory is not None:
            details, seen = memory.trees(mailbox.id)
            if self._run.only_trees and memory.has_special(mailbox.id):
                raise carried_whole()
        found = []
        for tree in trees_of(self._run, details, seen):
            tell = partial(memory.tree_found, mailbox.id, tree) if memory is not None else None
            found.append(Root(tree.kind, tree.name, tree.needed, self._run.recoverable_holds, tell))
        return found

    def destination(self, mailbox: MailboxRow, stop: threading.Event) -> Destination:
        """Open one target mailbox."""
        from connectors.graph.destination import GraphDestination

        client = self.client_for(mailbox.target)
        destination: Destination = GraphDestination(client, mailbox.target, orphans=self._orphans, others=self._others)
        loaded_for_good()
        return self._guard(destination) if self._guard else destination

    def look(self, mailbox: MailboxRow) -> Look:
        """Open one target mailbox to see what arrives there; never writes."""
        from connectors.graph.looking import GraphLook

        return GraphLook(self.client_for(mailbox.target), mailbox.target)

    def subjects(self, mailbox: MailboxRow, ids: Sequence[str]) -> dict[str, str]:
        """The subjects of source items by their id, read now from the server; what is gone there is missing."""
        from connectors.ews.subjects import read_subjects

        return read_subjects(self.server_of(mailbox), mailbox.source, ids, self._stop)

    def source_person(self, address: str) -> Person | None:
        """Whose mailbox the source's directory says that address is."""
        from connectors.ews.directory import find_person

        return find_person(self.server, address, self._stop)

    def target_person(self, address: str) -> Person | None:
        """Whose mailbox the tenant's directory says that address is."""
        from connectors.graph.directory import find_person

        return find_person(self.client_for(address), address)

    def meetings(self, mailbox: str) -> MeetingsToCome:
        """The meetings to come of a source mailbox, counted now."""
        from connectors.ews.meetings import meetings_to_come

        return meetings_to_come(self.server, mailbox, datetime.now(UTC))

    def source_reader(self, mailbox: MailboxRow, stop: threading.Event) -> Reader:
        """Open one source mailbox to read content back."""
        from connectors.ews.reading import ExchangeReader

        return ExchangeReader(self.server_of(mailbox), mailbox.source, stop=stop)

    def destination_reader(self, mailbox: MailboxRow, stop: threading.Event) -> Reader:
        """Open one target mailbox to read content back."""
        from connectors.graph.reading import GraphReader

        return GraphReader(self.client_for(mailbox.target), mailbox.target)

    def source_calendars(self, mailbox: MailboxRow, stop: threading.Event) -> CalendarReader:
        """Open the calendars of one source mailbox to read what takes place when."""
        from connectors.ews.reading_calendar import ExchangeCalendars

        return ExchangeCalendars(self.server_of(mailbox), mailbox.source, stop=stop)

    def destination_calendars(self, mailbox: MailboxRow, stop: threading.Event) -> CalendarReader:
        """Open the calendars of one target mailbox to read what takes place when."""
        from connectors.graph.reading_calendar import GraphCalendars

        return GraphCalendars(self.client_for(mailbox.target), mailbox.target)

    def bench(self, mailbox: MailboxRow, installation: str) -> Bench:
        """Open what a probe of this installation needs of one target mailbox."""
        from connectors.graph.probing import GraphBench

        return GraphBench(self.client_for(mailbox.target), mailbox.target, installation)

    def source_settings(self, mailbox: MailboxRow, stop: threading.Event) -> SettingsSource:
        """Open the settings of one source mailbox."""
        from connectors.ews.settings import ExchangeSettings

        return ExchangeSettings(self.server_of(mailbox), mailbox.source, stop=stop)

    def target_settings(self, mailbox: MailboxRow) -> SettingsTarget:
        """Open the settings of one target mailbox."""
        from connectors.graph.settings import GraphSettings

        return GraphSettings(self.client_for(mailbox.target), mailbox.target)

    def left_behind(self, mailbox: str, stop: threading.Event, larger_than: int | None = None) -> dict[str, int]:
        """Figures of what a source mailbox holds that is not carried, or only on request; never writes."""
        from connectors.ews.beside import left_behind

        return left_behind(self.server, mailbox, stop, larger_than)

    def public_folders(self, mailbox: str, stop: threading.Event) -> Iterator[Inventory]:
        """Every public folder that a source mailbox's owner sees; never writes."""
        from connectors.ews.beside import public_folders

        return public_folders(self.server, mailbox, stop)

    def ask_source(self, mailboxes: Sequence[str]) -> Iterator[Answer]:
        """The source's questions before a migration; never writes."""
        from connectors.ews.preflight import ask

        return ask(self.server, mailboxes)

    def ask_target(self, mailboxes: Sequence[str]) -> Iterator[Answer]:
        """The target's questions before a migration, of each app about itself and the mailboxes that it carries; never writes."""
        from connectors.graph.preflight import ask

        for number, tenant in enumerate(self._tenants):
            own = [mailbox for mailbox in mailboxes if app_of(mailbox, len(self._tenants)) == number]
            for answer in ask(self._client(number), own):
                about = answer.question.partition(": ")[0]
                if len(self._tenants) > 1 and about not in own:
                    answer = replace(answer, question=f"{answer.question} of app {tenant.client_id}")
                yield answer


def open_ledger(config: Config) -> Ledger:
    """Open the project's ledger, made if it is a file and not there. Raises LedgerError."""
    from state.store import Ledger

    file = config.ledger_file
    if file is not None and not file.parent.is_dir():
        raise BadInput(
            f"{config.file}: ledger.url lies in {file.parent}, which is not there; make that folder or correct the path."
        )
    if file is not None and (sentence := shares.why_not(file)):
        raise BadInput(sentence)
    return Ledger.open(config.ledger.url)


def look_at_ledger(config: Config) -> Ledger:
    """Open the project's ledger to read only, beside a run. Raises LedgerError; makes nothing."""
    from state.store import Ledger

    return Ledger.look(config.ledger.url)


def no_room(config: Config) -> str:
    """A sentence if the disk under a ledger in a file is nearly full, else nothing."""
    file = config.ledger_file
    if file is None:
        return ""
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError:
        return ""
    wanted = config.ledger.min_free_mb * 1_000_000
    if free >= wanted:
        return ""
    return (
        f"The disk under the ledger has {free / 1e6:,.0f} MB left, less than ledger.min_free_mb ({config.ledger.min_free_mb:,});"
        " make room, then run again."
    )


def open_vault(config: Config, ledger: Ledger) -> Vault | None:
    """Where the content of refused items is kept; None if the config wants none kept. Raises BadInput."""
    from migrator.errors.vault import SPARE, Vault

    if not config.errors.keep:
        return None
    key = config.secret("errors.key")
    logs.hide(key)
    # It gives up long before the disk is so full that the ledger has to.
    return Vault(Path(config.errors.keep), ledger, key=key, spare=max(SPARE, 2_000_000 * config.ledger.min_free_mb))


def ledger_exists(config: Config) -> bool:
    """False only if the ledger is a file that nobody made yet."""
    file = config.ledger_file
    return file is None or file.exists()


@contextmanager
def throw_away_copy(config: Config) -> Iterator[Ledger]:
    """A copy of the ledger that may be written to and is gone afterwards: a dry run runs the real code, on this.

    Only for a ledger in a file; a database server's would have to be copied over the wire. Raises BadInput.
    """
    from state.store import Ledger

    file = config.ledger_file
    if file is None:
        raise BadInput(
            f"{config.file}: a dry run works on a copy of the ledger, which ledger.url on Postgres does not allow;"
            " restore a copy of it elsewhere and name that in another config."
        )
    with tempfile.TemporaryDirectory(prefix="migrator-dry-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "ledger.db"
        if file.exists():
            with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(copy)) as new:
                old.backup(new)
        with Ledger.open(f"sqlite:///{copy.as_posix()}") as ledger:
            yield ledger


def bind(config: Config, ledger: Ledger) -> None:
    """Tie the ledger to this tenant and source server, or raise BoundElsewhere."""
    ledger.bind(config.target.tenant_id, urlsplit(config.source.url).hostname or "")


def plan_mailboxes(config: Config, ledger: Ledger, lines: list[WaveLine]) -> dict[str, MailboxRow]:
    """Put every line of the waves file into the ledger; rows by source address in lower case. Raises BadInput."""
    from migrator.waves.planning import compare

    intake = compare(ledger, lines, config.waves.file)
    ledger.plans.take_in([one.intended for one in intake.changes])
    rows = {row.source.casefold(): row for row in ledger.mailboxes()}
    return {line.source.lower(): rows[line.source.casefold()] for line in lines}


def planned(config: Config, ledger: Ledger) -> list[MailboxRow]:
    """All mailboxes of the project: those of the ledger, once the config's waves file was taken in if that is there and changed.

    Raises BadInput, also if there is no mailbox at all.
    """
    from migrator.errors.work import who_am_i
    from migrator.examples import example
    from migrator.waves.file import read_waves
    from migrator.waves.planning import compare, digest_of, known, take_in

    file = Path(config.waves.file).resolve()
    rows = ledger.mailboxes()
    if not file.is_file():
        if not rows:
            raise BadInput(f"{file} is not there, and the ledger has no mailbox; `migrator wave import FILE` plans some.")
        return rows
    digest = digest_of(file)
    # The example that `init` writes is nobody's plan once there is another one.
    if known(ledger, file, digest) or (rows and file.read_bytes() == example("waves.example.csv")):
        return rows
    take_in(ledger, compare(ledger, read_waves(file), file), who_am_i(), file, digest)
    return ledger.mailboxes()


def to_be_asked(config: Config) -> list[Planned]:
    """All mailboxes as the next run would know them, without writing anything. Raises BadInput if there is none.

    A ledger that can't be opened counts as one without mailboxes; that is for others to tell.
    """
    from sqlalchemy.exc import OperationalError

    from migrator.waves.file import read_waves
    from state.model import LedgerError

    rows: list[MailboxRow] = []
    if ledger_exists(config):
        try:
            with open_ledger(config) as ledger:
                rows = ledger.mailboxes()
        except (BadInput, LedgerError, OperationalError):
            rows = []
    file = Path(config.waves.file)
    lines: list[Planned] = [*read_waves(file)] if file.is_file() or not rows else []
    named = {line.source.casefold() for line in lines}
    return [*lines, *(row for row in rows if row.source.casefold() not in named)]


def answers_of(config: Config) -> list[Answered]:
    """What probes were answered, by the ledger; nothing if there is none yet."""
    if not ledger_exists(config):
        return []
    with open_ledger(config) as ledger:
        return ledger.plans.answers()


def measured(config: Config, ledger: Ledger) -> Config:
    """The config with the limits of the target lowered to what probes measured."""
    from migrator.probe.answers import known_of, narrowed

    limits = narrowed(config.target.limits, known_of(ledger.plans.answers(), ""))
    if limits == config.target.limits:
        return config
    logs.logger("migrator.app").info(
        "limits follow a probe", concurrency=limits.concurrency, concurrency_scope=limits.concurrency_scope
    )
    return replace(config, target=rebuilt(config.target, limits=limits))


def takes(config: Config, answers: Iterable[Answered]) -> dict[Lane, float]:
    """Bytes of an item that each lane takes, of those that the config opens: measured, or else documented for any message."""
    from connectors.base import Lane
    from connectors.graph.convert import ITEM_LIMIT
    from migrator.probe.answers import known_of

    measured = known_of(answers, "").items_from - 1
    found = {Lane.IMPORT: min(measured, ITEM_LIMIT), Lane.COMPOSE: float(ITEM_LIMIT)}
    return {lane: most for lane, most in found.items() if config.run.lane in ("auto", lane)}


def owner() -> str:
    """This process in the words of a lease: host, process number, and a random part because numbers come again."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


def upgrade_ledger(config: Config) -> tuple[str | None, str]:
    """Bring the ledger to this version's schema; its revisions before (None: it was empty or not there) and after."""
    from state.migrate import upgrade

    return upgrade(config.ledger.url)
