"""The token endpoint: client credentials with a secret or a certificate, as msal asks for them."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROLES = (
    "MailboxItem.ImportExport.All", "MailboxItem.ReadWrite.All", "MailboxItem.Read.All", "MailboxFolder.ReadWrite.All",
    "Mail.ReadWrite", "Calendars.ReadWrite", "Contacts.ReadWrite", "MailboxSettings.ReadWrite", "Tasks.ReadWrite.All",
    "User.Read.All",
)  # fmt: skip
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class LoginError(Exception):
    """A sign-in that is refused, with the code that the real service gives."""

    def __init__(self, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.body = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}
        self.status = 400 if error == "invalid_request" else 401


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Login:
    """Gives tokens and knows them again."""

    def __init__(self, tenant_id: str, clients: dict[str, str], certificates: dict[str, str], roles: tuple[str, ...]) -> None:
        self.tenant_id, self.clients, self.certificates, self.roles = tenant_id, clients, certificates, roles
        self.seconds = 3600
        self._known: dict[str, tuple[str, float, bool]] = {}

    def knows(self, tenant: str) -> None:
        """Raise LoginError unless this is the tenant's name in a sign-in address."""
        if tenant.lower() != self.tenant_id.lower():
            raise LoginError("invalid_request", 90002, "Tenant was not found.")

    def configuration(self, base: str) -> dict[str, Any]:
        """What msal discovers before it asks for a token."""
        root = f"{base}/{self.tenant_id}"
        return {
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(self, body: bytes) -> dict[str, Any]:
        """A token for what the form proves. Raises LoginError."""
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            raise LoginError("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client = form.get("client_id", "")
        if client not in self.clients and client not in self.certificates:
            raise LoginError("unauthorized_client", 700016, "Application was not found in the directory.")
        if "client_assertion" in form:
            self._check_assertion(client, form)
        elif not secrets.compare_digest(form.get("client_secret", ""), self.clients.get(client, "\0")):
            raise LoginError("invalid_client", 7000215, "Invalid client secret provided.")
        claims = {"appid": client, "tid": self.tenant_id, "roles": list(self.roles), "exp": int(time.time()) + self.seconds}
        token = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.{secrets.token_urlsafe(32)}"
        self._known[token] = (client, time.time() + self.seconds, "claims" in form)
        return {"token_type": "Bearer", "expires_in": self.seconds, "ext_expires_in": self.seconds, "access_token": token}

    def _check_assertion(self, client: str, form: dict[str, str]) -> None:
        refused = LoginError(
            "invalid_client", 700027, "The certificate with identifier used to sign the client assertion is not registered."
        )
        if form.get("client_assertion_type") != _ASSERTION or client not in self.certificates:
            raise refused
        try:
            head, claims, signature = form["client_assertion"].split(".")
            header, told = orjson.loads(_bytes(head)), orjson.loads(_bytes(claims))
            if not (isinstance(header, dict) and isinstance(told, dict) and header["alg"] in ("RS256", "PS256")):
                raise refused
            certificate = x509.load_pem_x509_certificate(self.certificates[client].encode())
            key = certificate.public_key()
            assert isinstance(key, rsa.RSAPublicKey)
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if header["alg"] == "PS256" else padding.PKCS1v15()
            key.verify(_bytes(signature), f"{head}.{claims}".encode(), scheme, hashes.SHA256())
            print_ = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
        except (ValueError, KeyError, AssertionError, InvalidSignature):
            raise refused from None
        if "x5t#S256" in header and str(header["x5t#S256"]).rstrip("=") != base64.urlsafe_b64encode(print_).decode().rstrip("="):
            raise refused
        if "aud" in told and not str(told["aud"]).lower().endswith(f"/{self.tenant_id.lower()}/oauth2/v2.0/token"):
            raise LoginError("invalid_client", 700023, "Client assertion audience claim does not match.")
        if not isinstance(told.get("exp"), int | float) or told["exp"] < time.time() or told.get("iss") != client:
            raise LoginError("invalid_client", 700024, "Client assertion is not within its valid time range.")

    def end(self, token: str | None = None) -> None:
        """End a token before its time; every one that was given if none is named."""
        if token is None:
            self._known.clear()
        else:
            self._known.pop(token, None)

    def app_of(self, token: str) -> tuple[str, bool] | None:
        """The app of a token and whether it was asked for with claims; None if the token is unknown or its time is over."""
        app, until, claims = self._known.get(token, ("", 0.0, False))
        return (app, claims) if until > time.time() else None
