"""Where a tenant is and how to sign in to it; data only, cheap to import."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

PUBLIC_GRAPH = "https://graph.microsoft.com"
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One Microsoft 365 tenant as one app registration sees it.

    Exactly one of ``secret`` and ``certificate`` (path of a PEM or PFX file that holds the private key too) is set.
    ``proxy`` is ``http://[USER@]HOST:PORT``, asked by CONNECT for every connection; its password goes as basic authentication.
    ``timeout`` is seconds of silence after a request before its answer counts as lost. The limits are the documented ones of
    the Outlook service for one app and one mailbox [learn.microsoft.com/graph/throttling-limits]; ``concurrency_scope`` says
    whether the concurrent requests are counted for a mailbox or for the app, on which the documents disagree.
    """

    tenant_id: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    certificate: str | None = None
    certificate_password: str | None = field(default=None, repr=False)
    graph_url: str = PUBLIC_GRAPH
    authority: str = PUBLIC_AUTHORITY
    ca_file: str | None = None
    proxy: str | None = None
    proxy_password: str | None = field(default=None, repr=False)
    timeout: float = 100.0
    requests: int = 10_000
    requests_window: float = 600.0
    upload_bytes: int = 150_000_000
    upload_window: float = 300.0
    concurrency: int = 4
    concurrency_scope: Literal["mailbox", "app"] = "mailbox"
    settle_horizon: float = 120.0

    def __post_init__(self) -> None:
        if (self.secret is None) == (self.certificate is None):
            raise ValueError("a tenant needs either a secret or a certificate, not both")

    @property
    def proxy_authorization(self) -> str | None:
        """What a proxy wants to see in its header; None if it asks nobody. Never to be shown."""
        if self.proxy is None or self.proxy_password is None:
            return None
        pair = f"{unquote(urlsplit(self.proxy).username or '')}:{self.proxy_password}"
        return f"Basic {b64encode(pair.encode()).decode('ascii')}"

    @property
    def root(self) -> str:
        """The address that every Graph path is appended to."""
        return self.graph_url.rstrip("/") + "/v1.0"

    @property
    def public(self) -> bool:
        """Whether sign-in goes to Microsoft's worldwide cloud."""
        return self.authority.rstrip("/") == PUBLIC_AUTHORITY
