"""What the config says of both sides, as the connectors want to know it: addresses with their secrets, this process's part of
each budget, the cap of the line, and where large items lie meanwhile. Asks no server and opens no ledger.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrator import logs
from migrator.config import BadInput, Config

if TYPE_CHECKING:
    from connectors.ews.endpoint import Exchange
    from connectors.graph.endpoint import Tenant
    from connectors.link import Link
    from connectors.spool import Spool


def exchange_of(config: Config) -> Exchange:
    """The source as its connector wants to know it, the secret resolved. Raises BadInput."""
    from connectors.ews.endpoint import Exchange

    section = config.source
    password = config.secret("source.password") or ""
    logs.hide(password)
    return Exchange(
        url=section.url,
        username=section.username,
        password=password,
        auth=section.auth,
        access=section.access,
        ca_file=_file(config, "source.ca_file", section.ca_file),
        connections_per_server=section.connections_per_server,
        connections_per_mailbox=section.connections_per_mailbox,
        timeout=section.timeout,
    )


def tenant_of(config: Config) -> Tenant:
    """The target as its connector wants to know it, the secret resolved. Raises BadInput."""
    from connectors.graph.endpoint import Tenant

    section, limits = config.target, config.target.limits
    secret, password = config.secret("target.secret"), config.secret("target.certificate_password")
    proxy_password = config.secret("target.proxy_password")
    for hidden in (secret, password, proxy_password):
        logs.hide(hidden)
    return Tenant(
        tenant_id=section.tenant_id,
        client_id=section.client_id,
        secret=secret,
        certificate=_file(config, "target.certificate", section.certificate),
        certificate_password=password,
        graph_url=section.graph_url,
        authority=section.authority,
        ca_file=_file(config, "target.ca_file", section.ca_file),
        proxy=section.proxy or None,
        proxy_password=proxy_password,
        timeout=section.timeout,
        requests=limits.requests,
        requests_window=limits.requests_window,
        upload_bytes=limits.upload_bytes,
        upload_window=limits.upload_window,
        concurrency=limits.concurrency,
        concurrency_scope=limits.concurrency_scope,
        settle_horizon=config.run.settle_horizon,
    )


def tenants_of(config: Config) -> list[Tenant]:
    """The target once for each app registration, the main one first, all secrets resolved. Raises BadInput."""
    main = tenant_of(config)
    further = []
    for index, app in enumerate(config.target.apps):
        key = f"target.apps[{index}]"
        secret, password = config.secret(f"{key}.secret"), config.secret(f"{key}.certificate_password")
        logs.hide(secret)
        logs.hide(password)
        further.append(
            replace(
                main,
                client_id=app.client_id,
                secret=secret,
                certificate=_file(config, f"{key}.certificate", app.certificate),
                certificate_password=password,
            )
        )
    return [main, *further]


def app_of(mailbox: str, apps: int) -> int:
    """Which of so many apps carries this target mailbox: the same in every process, and evenly spread over the mailboxes."""
    digest = hashlib.blake2b(mailbox.casefold().encode(), digest_size=8).digest()
    return int.from_bytes(digest) % apps


class Share:
    """Which part of a budget that many processes share is this one's: number ``index`` of ``of``. Another one when some end."""

    def __init__(self, index: int = 0, of: int = 1) -> None:
        self._part = (index, of)

    def become(self, index: int, of: int) -> None:
        """From now on it is another part."""
        self._part = (index, of)

    def of_number(self, total: int) -> int:
        """This process's part of so many; all parts together are ``total``, unless that is less than one for each."""
        index, of = self._part
        return max(1, total // of + (index < total % of))

    def of_rate(self, total: float) -> float:
        """This process's part of a rate."""
        return total / self._part[1]


def most_processes(config: Config) -> int:
    """How many processes can share what the config allows to all of them together, each getting at least one of everything."""
    source, limits = config.source, config.target.limits
    shared = [config.run.mailboxes_at_once, config.run.in_flight_mb, source.connections_per_server]
    if source.hours() is not None:
        shared.append(max(1, source.business_connections))
    if limits.concurrency_scope == "app":
        shared.append(limits.concurrency)
    return min(shared)


def connections_of(config: Config, wall: Callable[[], float] = time.time, share: Share | None = None) -> Callable[[], int]:
    """How many calls at once the source server may get from this process at this hour."""
    section, hours, part = config.source, config.source.hours(), share or Share()
    if hours is None:
        return lambda: part.of_number(section.connections_per_server)
    return lambda: part.of_number(section.business_connections if hours.hold(wall()) else section.connections_per_server)


def link_of(config: Config, wall: Callable[[], float] = time.time, share: Share | None = None) -> Link | None:
    """The cap of the line for this process; None if there is none at any hour."""
    from connectors.link import Link

    section, hours, part = config.run, config.run.hours(), share or Share()
    if not section.link_mbit and hours is None:
        return None

    def rate() -> float:
        mbit = section.link_mbit_in_hours if hours is not None and hours.hold(wall()) else section.link_mbit
        return part.of_rate(mbit * 1e6 / 8)

    return Link(rate)


def spool_of(config: Config) -> Spool:
    """Where the content of large items lies while it is on its way; nothing is made before the first one."""
    from connectors.spool import Spool
    from migrator.errors.vault import make_private

    return Spool(Path(config.run.spool), spare=config.ledger.min_free_mb * 1_000_000, private=make_private)


def _file(config: Config, key: str, path: str) -> str | None:
    if path and not Path(path).is_file():
        raise BadInput(
            f"{config.file}: {key} names {path}, which is not there; correct the path, it starts at the config's folder."
        )
    return path or None
