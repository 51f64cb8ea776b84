"""Access tokens: fetched by msal, renewed before their end by a thread of its own, never by the event loop.

msal blocks, so it is never called on the loop. One app object lives as long as the process. A token that the service turned
down with a claims challenge is replaced by one that answers the challenge [learn.microsoft.com/entra, continuous access
evaluation]. No token and no secret ever stands in a log line or an exception.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connectors.errors import Halt, Unavailable, WireError
from connectors.graph.endpoint import Tenant

SPARE = 300.0
"""Seconds before its end at which a token is renewed, or a fifth of its life if that is shorter."""

AGAIN = 30.0
"""Seconds between two attempts of the renewing thread."""

_SECRET = ("secret-wrong", "the client secret is wrong", "enter the secret's value, not its id, where the config names it")
_APP = ("no-app", "the tenant doesn't know this app", "check tenant_id and client_id; grant admin consent in this tenant")
_CERTIFICATE = ("certificate-wrong", "the app doesn't know this certificate", "upload its public half to the app registration")
SIGN_IN: dict[int, tuple[str, str, str]] = {
    7000215: _SECRET,
    7000222: ("secret-expired", "the client secret has expired", "make a new secret in the app registration"),
    7000218: ("secret-missing", "the sign-in carried no credential", "set a secret or a certificate for the target"),
    700016: _APP,
    700027: _CERTIFICATE,
    700023: ("wrong-audience", "the signed assertion names another audience", "check the authority"),
    700024: ("clock", "the signed assertion is not valid now", "set this computer's clock"),
    500011: _APP,
    500014: ("service-disabled", "the tenant has Microsoft Graph disabled", "enable the Microsoft Graph service principal"),
    7000112: ("app-disabled", "the app is disabled in this tenant", "enable it under Enterprise applications"),
    7000229: ("no-app", "the app has no service principal in this tenant", "grant admin consent in this tenant"),
    90002: ("no-tenant", "there is no such tenant", "check tenant_id"),
    900023: ("no-tenant", "the tenant id is not well-formed", "check tenant_id"),
    53003: ("conditional-access", "a conditional access policy blocks the sign-in", "exclude the app or allow this address"),
    65001: ("consent-missing", "nobody has consented to this app", "grant admin consent in this tenant"),
    50034: _APP,
    50057: ("account-disabled", "the account is disabled", "enable it"),
    1002012: ("scope", "the app asks for a scope that is no default scope", "report this"),
}
"""AADSTS numbers of failed app sign-ins: reason, sentence, mend.

[learn.microsoft.com/entra/identity-platform/reference-error-codes]
"""

_PASSING = frozenset({50196, 90033, 90099, 90100, 50196001, 10000000})
_PASSING_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down", "request_timeout"})


def failure_of(answer: dict[str, Any]) -> WireError:
    """The exception for msal's answer to a failed sign-in. The server's own description is left out: it quotes ids and times."""
    numbers = [int(n) for n in answer.get("error_codes") or () if str(n).isdigit()]
    error = str(answer.get("error") or "unknown")
    shown = f"AADSTS{numbers[0]}" if numbers else error
    if error in _PASSING_ERRORS or _PASSING.intersection(numbers):
        return Unavailable(f"sign-in is not available for now ({shown})", code=shown, did_nothing=True)
    for number in numbers:
        if number in SIGN_IN:
            _, sentence, mend = SIGN_IN[number]
            return Halt(f"sign-in failed: {sentence} ({shown})", code=shown, side="target", mend=mend)
    mend = "look the code up at https://login.microsoftonline.com/error" if numbers else "check the target's sign-in settings"
    return Halt(f"sign-in failed ({shown})", code=shown, side="target", mend=mend)


def credential_of(tenant: Tenant) -> str | dict[str, str]:
    """What msal wants: the secret, or the certificate from a PEM or PFX file."""
    if tenant.secret is not None:
        return tenant.secret
    path = Path(tenant.certificate or "")
    mend = "check the target's certificate path"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Halt(f"the certificate file can't be read ({type(error).__name__})", side="target", mend=mend) from None
    if b"-----BEGIN" not in content:
        found = {"private_key_pfx_path": str(path)}
        if tenant.certificate_password is not None:
            found["passphrase"] = tenant.certificate_password
        return found
    text = content.decode("ascii", "replace")
    begin = text.find("-----BEGIN CERTIFICATE-----")
    if begin < 0 or "PRIVATE KEY-----" not in text:
        raise Halt("the certificate file needs both the certificate and its private key", side="target", mend=mend)
    found = {"private_key": text, "public_certificate": text[begin:]}
    if tenant.certificate_password is not None:
        found["passphrase"] = tenant.certificate_password
    return found


def proxy_failed(code: str) -> Unavailable:
    """What it means that the proxy let nothing through."""
    return Unavailable("the proxy makes no connection to the target; check target.proxy", code=code, did_nothing=True)


def through_proxy(http: Any, tenant: Tenant) -> None:
    """Let a session of requests go through the tenant's proxy."""
    from requests.adapters import HTTPAdapter

    said = tenant.proxy_authorization

    class Through(HTTPAdapter):
        # By itself requests can only say passwords in Latin-1.
        def proxy_headers(self, proxy: str) -> dict[str, str]:
            return {} if said is None else {"Proxy-Authorization": said}

    parts = urlsplit(tenant.proxy or "")
    address = f"http://{parts.netloc.rpartition('@')[2]}"
    http.proxies = {"http": address, "https": address}
    http.mount("https://", Through())


class Tokens:
    """The current token of one app in one tenant. Thread-safe.

    ``fetch`` is for tests of timing: it answers what msal's ``acquire_token_for_client`` would, given the claims or None.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        fetch: Callable[[str | None], dict[str, Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenant = tenant
        self._fetch = fetch or self._ask_msal
        self._clock = clock
        self._app: Any = None
        self._http: Any = None
        self._value: str | None = None
        self._renew_at = 0.0
        self._ends = 0.0
        self._failure: tuple[float, WireError] | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self.fetched = 0

    def ready(self) -> str | None:
        """The token if one is there that will last for the next moments; never blocks."""
        value = self._value
        return value if value is not None and self._clock() < self._ends - 5 else None

    def get(self, claims: str | None = None, spent: str | None = None) -> str:
        """A token that lasts; blocks while it is fetched. Raises Halt or Unavailable.

        ``spent`` is a token that the service turned down: if another thread has replaced it meanwhile, its successor is given
        without a second sign-in. ``claims`` is the challenge that came with the refusal. Who waited while another thread's
        sign-in failed gets the same error: a crowd that tried one by one would wait for all time-outs and lock the app out.
        """
        asked = self._clock()
        with self._lock:
            value = self.ready()
            if value is not None and value != spent:
                return value
            if self._failure is not None and self._failure[0] > asked:
                raise copy(self._failure[1])
            try:
                return self._renew(claims)
            except WireError as error:
                self._failure = (self._clock(), error)
                raise

    def _renew(self, claims: str | None) -> str:
        began = self._clock()
        answer = self._fetch(claims)
        value = answer.get("access_token")
        if not isinstance(value, str):
            raise failure_of(answer)
        self.fetched += 1
        life = float(answer.get("expires_in") or 3600)
        self._value = value
        self._ends = began + life
        self._renew_at = began + life - min(SPARE, life / 5)
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._watch, name="graph-tokens", daemon=True)
            self._thread.start()
        self._due.set()
        return value

    def _watch(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            self._due.clear()
            self._due.wait(max(pause, self._renew_at - self._clock(), 0.01))
            pause = 0.0
            if self._stop.is_set() or self._clock() < self._renew_at:
                continue
            try:
                with self._lock:
                    if self._clock() >= self._renew_at:
                        self._renew(None)
            except WireError:
                pause = AGAIN  # the old token still serves; whoever needs one after its end gets the error itself

    def _ask_msal(self, claims: str | None) -> dict[str, Any]:
        import msal
        import requests

        tenant = self._tenant
        try:
            if self._app is None:
                # Not msal's own session: the environment's CA bundle would override the tenant's ca_file there.
                self._http = http = requests.Session()
                http.trust_env = False
                http.verify = tenant.ca_file or True
                if tenant.proxy is not None:
                    through_proxy(http, tenant)
                http.request = partial(http.request, timeout=30)  # type: ignore[method-assign]
                self._app = msal.ConfidentialClientApplication(
                    tenant.client_id,
                    client_credential=credential_of(tenant),
                    authority=f"{tenant.authority.rstrip('/')}/{tenant.tenant_id}",
                    # Only Microsoft's own hosts can be discovered; asking them about another would tell them of it.
                    instance_discovery=None if tenant.public else False,
                    validate_authority=tenant.public,
                    http_client=http,
                    client_capabilities=["CP1"],
                )
            self._app.remove_tokens_for_client()  # its cache would give the old token until five minutes before its end
            answer = self._app.acquire_token_for_client(
                scopes=[f"{tenant.graph_url.rstrip('/')}/.default"], claims_challenge=claims
            )
        except requests.exceptions.ProxyError as error:
            raise proxy_failed(type(error).__name__) from None
        except requests.exceptions.SSLError as error:
            text = "the sign-in host's certificate is not trusted"
            raise Halt(text, code=type(error).__name__, side="target", mend="set the target's ca_file") from None
        except requests.exceptions.RequestException as error:
            raise Unavailable("the sign-in host can't be reached", code=type(error).__name__, did_nothing=True) from None
        except WireError:
            raise
        except ValueError as error:
            # msal says so both for an unknown tenant and for a key that it can't read; its text may quote the key's path only.
            self._app = None
            self._http.close()
            reading = "tenant" if "authority" in str(error).casefold() else "certificate"
            file = "check the file that target.certificate names, and target.certificate_password"
            mend = "check tenant_id and authority" if reading == "tenant" else file
            raise Halt(
                f"sign-in failed: the {reading} is not usable", code="invalid_" + reading, side="target", mend=mend
            ) from None
        return answer if isinstance(answer, dict) else {}

    def close(self) -> None:
        """End the renewing thread."""
        self._stop.set()
        self._due.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        with self._lock:
            if self._http is not None:
                self._http.close()
