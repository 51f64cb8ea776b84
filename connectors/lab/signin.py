"""Signing in to the simulated Exchange server: NTLM, Negotiate with NTLM inside, and Basic.

NTLM is really checked, by pyspnego's acceptor, and belongs to the TCP connection: once it is through, every request on
that connection is the user's [MS docs: MS-NTHT 1.3]. Basic is judged request by request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import spnego
from aiohttp import web
from multidict import CIMultiDict
from spnego.channel_bindings import GssChannelBindings

_ENVIRONMENT = threading.Lock()
"""pyspnego finds its users by an environment variable, of which a process has one; every server of the lab borrows it."""


class Doors:
    """Judges the Authorization header of each request and remembers which connections are signed in.

    ``schemes`` are offered in that order. The users' file lives in a temporary folder that ``close`` removes.
    """

    def __init__(self, users: Mapping[str, str], schemes: tuple[str, ...], channel_binding: bytes | None = None) -> None:
        if "ntlm" in schemes and any(":" in word or "\n" in word for word in users.values()):
            raise ValueError("a password with a colon or a line break can't be used with NTLM in the lab")
        self._users = {name.casefold(): (name, word) for name, word in users.items()}
        self._schemes = schemes
        self._binding = channel_binding
        self._folder = tempfile.TemporaryDirectory(prefix="lab-exchange-")
        self._file = Path(self._folder.name) / "users"
        self._file.write_text("".join(self._line(name, word) for name, word in users.items()), encoding="utf-8")
        self._steps: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._inside: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    @staticmethod
    def _line(name: str, word: str) -> str:
        domain, _, user = name.rpartition("\\")
        return f"{domain}:{user}:{word}\n"

    def close(self) -> None:
        """Removes the users' file."""
        self._folder.cleanup()

    @contextmanager
    def _users_file(self) -> Iterator[None]:
        with _ENVIRONMENT:
            before = os.environ.get("NTLM_USER_FILE")
            os.environ["NTLM_USER_FILE"] = str(self._file)
            try:
                yield
            finally:
                if before is None:
                    del os.environ["NTLM_USER_FILE"]
                else:
                    os.environ["NTLM_USER_FILE"] = before

    def judge(self, request: web.Request) -> str | web.Response:
        """The sign-in name of the caller, or the 401 that has to be sent: an offer, or the next step of a handshake."""
        given = request.headers.get("Authorization")
        if given is None:
            return self._inside.get(request.transport) or self._offer()
        scheme, _, token = given.partition(" ")
        scheme = scheme.lower()
        if scheme not in self._schemes:
            return self._offer()
        try:
            raw = base64.b64decode(token.strip(), validate=True)
        except binascii.Error:
            return self._offer()
        return self._basic(raw) if scheme == "basic" else self._handshake(request, scheme, raw)

    def _basic(self, raw: bytes) -> str | web.Response:
        name, colon, word = raw.decode("utf-8", "replace").partition(":")
        known = self._users.get(name.casefold())
        if known and colon and hmac.compare_digest(known[1].encode(), word.encode()):
            return known[0]
        return self._offer()

    def _handshake(self, request: web.Request, scheme: str, raw: bytes) -> str | web.Response:
        connection = request.transport
        self._inside.pop(connection, None)
        bindings = None
        if self._binding is not None:
            bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + self._binding)
        try:
            with self._users_file():
                step = self._steps.pop(connection, None)
                if step is None or raw[:12] == b"NTLMSSP\x00\x01\x00\x00\x00":
                    step = spnego.server(protocol=scheme, channel_bindings=bindings, options=spnego.NegotiateOptions.use_ntlm)
                reply = step.step(raw)
        except Exception:  # whatever a foreign token does to the acceptor, the caller is not signed in
            return self._offer()
        if not step.complete:
            self._steps[connection] = step
            return self._unauthorized(
                [f"{'NTLM' if scheme == 'ntlm' else 'Negotiate'} {base64.b64encode(reply or b'').decode()}"]
            )
        known = self._users.get((step.client_principal or "").casefold())
        if known is None:
            return self._offer()
        self._inside[connection] = known[0]
        return known[0]

    def _offer(self) -> web.Response:
        texts = {"negotiate": "Negotiate", "ntlm": "NTLM", "basic": 'Basic realm="exchange.lab"'}
        return self._unauthorized([texts[scheme] for scheme in self._schemes])

    @staticmethod
    def _unauthorized(challenges: list[str]) -> web.Response:
        headers: CIMultiDict[str] = CIMultiDict()
        for challenge in challenges:
            headers.add("WWW-Authenticate", challenge)
        return web.Response(status=401, headers=headers)
