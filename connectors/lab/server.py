"""The lab itself: a simulated Exchange server and a simulated tenant, two real HTTPS servers on loopback in one event loop.

    with Lab(LabPlan(mailboxes=2)) as lab:
        ...  # lab.ews_url, lab.graph_url, lab.source, lab.target, lab.config_file

The loop runs in a thread of its own, so that tests and the command can do as they like with theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aiohttp import web

from .control import LAB_FILE, Controls, add_control
from .everything import furnish_everything
from .exchange import ExchangeOptions, exchange_app
from .fault_wires import trouble_exchange, trouble_tenant
from .faults import FaultPlan, Faults
from .journal import Journal, Seen, watch_exchange, watch_tenant
from .mailfiles import fill_from
from .papers import Addresses, write_papers
from .people import Shelf, furnish, legacy_names, target_for
from .tenant import TenantOptions, tenant_app
from .tls import make_papers
from .truth import Estate

USER = "LAB\\svc-migration"
TENANT_ID, CLIENT_ID = "7a9f0c1e-5b7d-4c2a-9d57-0c0a1f6b2e01", "3c1d2b77-8a44-4b0e-b7a6-6f3d9f1c5a02"

_KEEP_ALIVE = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """What to simulate. ``folder`` None is a temporary one, removed at the end.

    ``mail`` names a folder of .eml and .mbox files that replaces the made-up items. ``speed`` is how many times faster the
    tenant's clock runs; ``latency`` is seconds that every answer takes longer. ``log`` is where exchanges are written, one file
    a face: ``x.jsonl`` becomes ``x-ews.jsonl`` and ``x-graph.jsonl``. ``source`` brings mailboxes of the caller's own.
    """

    folder: Path | None = None
    mail: Path | None = None
    mailboxes: int = 3
    items: int = 200
    seed: int = 1
    everything: bool = False
    """One of everything that a mailbox can hold goes into each, beside its mail."""
    deep: int = 10
    """So many folders within folders are part of that."""
    limits: str = "off"
    speed: float = 1.0
    latency: float = 0.0
    apps: int = 1
    """How many app registrations the tenant knows; the config lists them all."""
    tenant_latency: float | None = None
    log: Path | None = None
    bind_sign_in: bool = True
    """NTLM has to be bound to the server's certificate (Extended Protection), as servers of today want it."""
    source: Estate | None = None
    exchange: dict[str, Any] = field(default_factory=dict)
    """Further switches of ExchangeOptions, by name."""
    tenant: dict[str, Any] = field(default_factory=dict)
    """Further switches of TenantOptions, by name."""
    faults: FaultPlan | None = None
    """What goes wrong on both wires."""


class Lab:
    """Both faces, from ``start`` to ``stop``; as a context manager it does both. The truths may be read and changed meanwhile,
    under the lock of the mailbox. Raises NoMail, and OSError where the folder can't be written."""

    def __init__(self, plan: LabPlan) -> None:
        self.plan = plan
        self.source, self.seen = Estate() if plan.source is None else plan.source, Seen()
        self.target = Estate()
        self.faults = Faults(plan.faults or FaultPlan())
        """What goes wrong on both wires; may be armed and disarmed at any time."""
        self.folder = Path(plan.folder or tempfile.mkdtemp(prefix="lab-"))
        self.password, self.secret, self.token = (secrets.token_urlsafe(24) for _ in range(3))
        self.further = {f"{CLIENT_ID[:-4]}{number:04d}": secrets.token_urlsafe(24) for number in range(1, plan.apps)}
        """Secrets of the further app registrations, by client id."""
        self.ended = threading.Event()
        """Set when somebody asked the lab to end."""
        self._journals: list[Journal] = []
        self._sockets: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    @cached_property
    def options(self) -> tuple[ExchangeOptions, TenantOptions]:
        """The switches of both faces; changing them works at once, where the faces say so."""
        exchange = ExchangeOptions(
            users={USER: self.password}, impersonators={USER}, legacy_names=legacy_names(), **self.plan.exchange
        )
        plan = self.plan
        tenant = TenantOptions(
            tenant_id=TENANT_ID,
            clients={CLIENT_ID: self.secret, **self.further},
            graph_base=self.graph_url,
            import_base=f"https://localhost:{self._port(2)}",
            limits=plan.limits,
            speed=plan.speed,
            latency=plan.latency if plan.tenant_latency is None else plan.tenant_latency,
            **plan.tenant,
        )
        return exchange, tenant

    @cached_property
    def shelf(self) -> Shelf:
        """What made-up items share."""
        return Shelf(self.plan.seed)

    @property
    def ews_url(self) -> str:
        """The address of Exchange Web Services."""
        return f"https://127.0.0.1:{self._port(0)}/EWS/Exchange.asmx"

    @property
    def graph_url(self) -> str:
        """Where Graph is, without version."""
        return f"https://127.0.0.1:{self._port(1)}"

    @property
    def authority(self) -> str:
        """Where an app signs in, without tenant."""
        return self.graph_url

    @property
    def control_url(self) -> str:
        """The lab's own door."""
        return f"https://127.0.0.1:{self._port(0)}/lab/"

    @property
    def ca_file(self) -> Path:
        """The authority to trust, as PEM."""
        return self.folder / "ca.pem"

    @property
    def config_file(self) -> Path:
        """A complete config of a migration from the one to the other."""
        return self.folder / "lab.toml"

    def start(self) -> Lab:
        """Furnish the mailboxes and bring both faces up; returns once they answer. What fails leaves nothing behind."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / LAB_FILE).unlink(missing_ok=True)
        plan = self.plan
        if plan.mail is not None:
            fill_from(plan.mail, self.source, mailboxes=plan.mailboxes, seed=plan.seed)
        elif plan.source is None:
            furnish(self.source, mailboxes=plan.mailboxes, items=plan.items, seed=plan.seed)
        if plan.everything:
            furnish_everything(self.source, plan.seed, plan.deep)
        for address, mailbox in target_for(self.source, plan.seed).mailboxes.items():
            self.target.mailboxes[address] = mailbox
        papers = make_papers(self.folder)
        # The third is for import and upload sessions, whose addresses name another host than Graph's.
        self._sockets = [_loopback() for _ in range(3)]
        self._sockets += _loopback_6(self._port(2))
        exchange, _ = self.options
        if plan.bind_sign_in and exchange.channel_binding is None:
            exchange.channel_binding = papers.fingerprint
        if plan.log is not None:
            names = (f"{plan.log.stem}-{face}{plan.log.suffix or '.jsonl'}" for face in ("ews", "graph"))
            self._journals = [Journal(plan.log.with_name(name)) for name in names]
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(papers.server_context(), ready), name="lab", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed is not None:
            raise self._failed
        write_papers(self.folder, self._addresses(), sorted(self.source.mailboxes))

    def stop(self) -> None:
        """End both faces and close every file; harmless twice."""
        self.ended.set()
        if self._thread is not None:
            if self._loop is not None and self._leave is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                    self._loop.call_soon_threadsafe(self._leave.set)
            self._thread.join()
            self._thread = None
        for one in self._sockets:
            one.close()
        for journal in self._journals:
            journal.close()
        with contextlib.suppress(OSError):  # the folder never was one
            (self.folder / LAB_FILE).unlink(missing_ok=True)
        if self.plan.folder is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Lab:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _port(self, number: int) -> int:
        return int(self._sockets[number].getsockname()[1])

    def _addresses(self) -> Addresses:
        return Addresses(
            ews_url=self.ews_url,
            graph_url=self.graph_url,
            authority=self.authority,
            control_url=self.control_url,
            token=self.token,
            user=USER,
            password=self.password,
            tenant_id=TENANT_ID,
            client_id=CLIENT_ID,
            secret=self.secret,
            further=self.further,
            limited=self.plan.limits != "off",
            speed=self.plan.speed,
            process=os.getpid(),
        )

    def _run(self, tls: ssl.SSLContext, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(tls, ready))
        except BaseException as error:
            self._failed = error
        finally:
            ready.set()
            self.ended.set()

    async def _serve(self, tls: ssl.SSLContext, ready: threading.Event) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        journals = [*self._journals, None, None]
        exchange_options, tenant_options = self.options
        exchange = exchange_app(self.source, exchange_options)
        exchange.middlewares.append(watch_exchange(self.seen, journals[0], self.plan.latency))
        exchange.middlewares.append(trouble_exchange(self.faults))
        add_control(exchange, Controls(self.source, self.target, self.seen, self.token, self.shelf, self.ended.set, self.faults))
        tenant = tenant_app(self.target, tenant_options)
        tenant.middlewares.append(watch_tenant(self.seen, journals[1]))
        tenant.middlewares.append(trouble_tenant(self.faults))
        runners = [
            web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=0.2) for app in (exchange, tenant)
        ]
        # Everything that lives as long as the lab is kept out of the collector's rounds, which would cost a tenth of the time.
        gc.freeze()
        flushing = asyncio.create_task(self._flush())
        try:
            for runner in runners:
                await runner.setup()
            for runner, listening in zip((*runners, *runners[1:] * 2), self._sockets, strict=False):
                await web.SockSite(runner, listening, ssl_context=tls, backlog=512).start()
            ready.set()
            await self._leave.wait()
        finally:
            flushing.cancel()
            for runner in runners:
                await runner.cleanup()
            await _abort_what_is_left(asyncio.get_running_loop())
            gc.unfreeze()

    async def _flush(self) -> None:
        while self._journals:
            await asyncio.sleep(1)
            for journal in self._journals:
                journal.flush()


async def _abort_what_is_left(loop: asyncio.AbstractEventLoop) -> None:
    """Cut connections that are still saying goodbye: a client that was killed never answers, and the loop won't wait."""
    # The loop's own list is the only one that has connections whose TLS is being shut down; other kinds of loop have none.
    for transport in list(getattr(loop, "_transports", {}).values()):
        transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _loopback() -> socket.socket:
    """A socket on a free port, bound before the server starts, because the tenant writes its own address into answers."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.bind(("127.0.0.1", 0))
    return made


def _loopback_6(port: int) -> list[socket.socket]:
    """The same port for those to whom ``localhost`` is ::1 first, where the system has that; else they would wait for nothing."""
    made = None
    try:
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("::1", port))
    except OSError:
        if made is not None:
            made.close()
        return []
    return [made]
