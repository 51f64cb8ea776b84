"""Secrets by reference: a config names where a secret is kept and never holds it.

    env:NAME                  an environment variable
    file:PATH                 the first line of a file; a relative path starts at the config's folder
    keyring:SERVICE/NAME      the system's key ring (needs the extra ``keyring``)

No message of this module repeats what it was given beyond the kind of reference, because that could be a secret in clear.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

KINDS = ("env", "file", "keyring")


class BadSecret(Exception):
    """A reference is none, or what it names is not there; one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is kept."""

    kind: Literal["env", "file", "keyring"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_reference(text: str) -> Reference:
    """Take a reference apart. Raises BadSecret for anything else, which is taken for a secret in clear and not repeated."""
    kind, colon, name = text.partition(":")
    if not colon or kind not in KINDS:
        raise BadSecret(
            "holds a secret in clear (or no reference); write env:NAME, file:PATH or keyring:SERVICE/NAME instead"
            " and keep the secret there"
        )
    if not name.strip():
        raise BadSecret(f"names nothing after `{kind}:`; write what it is kept under")
    if kind == "keyring":
        service, slash, entry = name.rpartition("/")
        if not slash or not service or not entry:
            raise BadSecret("needs both parts of keyring:SERVICE/NAME")
    return Reference(cast(Literal["env", "file", "keyring"], kind), name)


def resolve(reference: Reference, folder: Path, *, environ: Mapping[str, str] = os.environ) -> str:
    """The secret itself. ``folder`` is where relative paths start. Raises BadSecret when it is not there or empty."""
    match reference.kind:
        case "env":
            secret = environ.get(reference.name, "")
            mend = f"set the environment variable {reference.name} before starting"
        case "file":
            secret = _first_line(folder, reference.name)
            mend = f"write the secret into the first line of {reference.name}"
        case "keyring":
            secret = _from_keyring(reference.name)
            service, _, entry = reference.name.rpartition("/")
            mend = f"store it with `keyring set {service} {entry}`"
    if not secret:
        raise BadSecret(f"names {reference}, where there is no secret; {mend}")
    return secret


def _first_line(folder: Path, name: str) -> str:
    try:
        with (folder / Path(name).expanduser()).open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: no UTF-8, or no path; RuntimeError: a home of nobody
        raise BadSecret(f"names the file {folder / name}, which can't be read ({type(error).__name__}); check the file") from None


def _from_keyring(name: str) -> str:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise BadSecret("needs the key ring; install mailbox-migrator[keyring] or use env: or file:") from None
    service, _, entry = name.rpartition("/")
    try:
        return keyring.get_password(service, entry) or ""
    except keyring.errors.KeyringError as error:
        raise BadSecret(f"needs the key ring, which does not answer ({type(error).__name__}); unlock it or use env:") from None
