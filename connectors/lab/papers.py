"""The files that the lab writes into its folder: a complete config, the waves, the secrets, and where everything is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .control import LAB_FILE
from .people import target_address
from .tls import write_secret

_FURTHER = "target-secret-{}.txt"
_PASSWORD, _SECRET = "source-password.txt", "target-secret.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the faces are and how to sign in. ``further`` has secrets of more apps by client id. ``limited``: the tenant
    throttles, its clock ``speed`` times faster.
    """

    ews_url: str
    graph_url: str
    authority: str
    control_url: str
    token: str
    user: str
    password: str
    tenant_id: str
    client_id: str
    secret: str
    further: Mapping[str, str]
    limited: bool
    speed: float
    process: int


def write_papers(folder: Path, at: Addresses, sources: Sequence[str]) -> None:
    """Write all files; ``lab.json`` comes last and at once, so that whoever sees it can start."""
    write_secret(folder / _PASSWORD, at.password.encode())
    write_secret(folder / _SECRET, at.secret.encode())
    for number, secret in enumerate(at.further.values(), 2):
        write_secret(folder / _FURTHER.format(number), secret.encode())
    waves = "".join(f"wave1,{source},{target_address(source)}\n" for source in sources)
    (folder / "waves.csv").write_text("wave,source,target\n" + waves, "utf-8")
    (folder / "lab.toml").write_text(config_text(at), "utf-8")
    held = {
        "ews_url": at.ews_url, "graph_url": at.graph_url, "authority": at.authority, "control_url": at.control_url,
        "ca_file": "ca.pem", "config": "lab.toml", "waves": "waves.csv", "process": at.process, "token": at.token,
    }  # fmt: skip
    fresh = folder / (LAB_FILE + ".new")
    write_secret(fresh, json.dumps(held, indent=2).encode())
    os.replace(fresh, folder / LAB_FILE)


def config_text(at: Addresses) -> str:
    """The config of a migration from the simulated server to the simulated tenant. The lab's answers are never late."""
    limits = (10_000, 600.0 / at.speed, 150_000_000, 300.0 / at.speed) if at.limited else (10_000_000, 600.0, 10**13, 300.0)
    apps = "".join(
        f'\n[[target.apps]]\nclient_id = "{client}"\nsecret = "file:{_FURTHER.format(number)}"\n'
        for number, client in enumerate(at.further, 2)
    )
    return f"""# Written by the lab; the addresses hold as long as it runs.
[source]
url = "{at.ews_url}"
username = '{at.user}'
password = "file:{_PASSWORD}"
auth = "ntlm"
access = "impersonation"
ca_file = "ca.pem"
connections_per_server = 20
connections_per_mailbox = 3
timeout = 120.0

[target]
tenant_id = "{at.tenant_id}"
client_id = "{at.client_id}"
secret = "file:{_SECRET}"
graph_url = "{at.graph_url}"
authority = "{at.authority}"
ca_file = "ca.pem"
timeout = 100.0
{apps}
[target.limits]
requests = {limits[0]}
requests_window = {limits[1]!r}
upload_bytes = {limits[2]}
upload_window = {limits[3]!r}
concurrency = 4
concurrency_scope = "mailbox"

[ledger]
url = "sqlite:///migrator.db"

[run]
lane = "auto"
mailboxes_at_once = 4
settle_horizon = 0.5
lease = 5.0

[rails]
max_deletes = 100
max_delete_share = 0.05

[waves]
file = "waves.csv"
"""
