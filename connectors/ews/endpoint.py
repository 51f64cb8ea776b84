"""Where an Exchange server is and how to sign in; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One source server. ``timeout`` in seconds a call; ``ca_file`` a PEM file, None for the system's authorities.

    ``request_version`` is the lowest schema version that has what we ask for, as the vendor advises.
    """

    url: str
    username: str
    password: str = field(repr=False)
    auth: str = "ntlm"
    access: str = "impersonation"
    ca_file: str | None = None
    connections_per_server: int = 20
    connections_per_mailbox: int = 3
    timeout: float = 120.0
    request_version: str = "Exchange2010_SP2"
