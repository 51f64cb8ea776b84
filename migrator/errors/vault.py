"""Keeps the content of what the target refused, so that a person can act on it: a folder an owner, beside the ledger.

    refused/anna@example.com/5f….eml        a message, put together again from its parts
    refused/anna@example.com/5f….fts        an export stream, as the source gave it
    refused/anna@example.com/5f….eml.enc    the same under the operator's key

Files can be read by the operator's account alone. The hash of the plain content is in the ledger. A file goes when its item has
arrived after all. What the source itself refused has no content to keep.

An encrypted file is a line with the salt, then a Fernet token a line, each over the number of its piece, a mark on the last one,
and the piece: so that none can be left out, put elsewhere or cut off.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from connectors.base import Item, Refusal
from migrator import logs
from migrator.errors.eml import decoded, eml_of
from state.model import Kept, MailboxRow, Row
from state.store import Ledger

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SPARE: Final = 500_000_000
"""Bytes of the disk that are left alone: the ledger may lie on it too, and must not be stopped by what is kept beside it."""

_MAGIC: Final = b"mailbox-migrator vault 1 "
_PIECE: Final = struct.Struct(">Q?")
_AT_ONCE: Final = 1 << 20
_RESERVED: Final = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_UNFIT: Final = re.compile(r"[^a-z0-9._@+-]")
_LONGEST: Final = 80


class VaultError(Exception):
    """What is kept can't be read; one sentence that says why."""


class Vault:
    """The folder of kept content. Thread-safe. ``key`` encrypts what is written from now on, and opens what was encrypted."""

    def __init__(self, folder: Path, ledger: Ledger, *, key: str | None = None, spare: int = SPARE) -> None:
        self.folder = folder
        self._ledger = ledger
        self._key = key
        self._spare = spare
        self._salt = secrets.token_bytes(16)
        self._locks: dict[bytes, Fernet] = {}
        self._guard = threading.Lock()
        self._warned = False

    def keeper(self, mailbox: MailboxRow) -> Callable[[Row, Item, Refusal], None]:
        """What a pass over this mailbox calls for each refused item that it holds in its hands. Never raises."""

        def keep(row: Row, item: Item, refusal: Refusal) -> None:
            try:
                self._keep(mailbox, row, item)
            except Exception as error:
                self._tell(mailbox, row, error)

        return keep

    def _keep(self, mailbox: MailboxRow, row: Row, item: Item) -> None:
        if item.message is not None:
            pieces, ending = eml_of(item.message), ".eml"
        elif item.stream is not None:
            pieces, ending = decoded(item.stream), ".fts"
        else:
            return
        self._need_room(row.size)
        owner = self.folder / safe_name(mailbox.source)
        self._make(owner)
        name = row.key.hex() + ending + (".enc" if self._key else "")
        file = owner / name
        part = owner / f"{name}.part"
        digest, size = hashlib.sha256(), 0
        part.unlink(missing_ok=True)
        try:
            with open_private(part) as out:
                for piece in self._sealed(_told(pieces, digest)) if self._key else _told(pieces, digest):
                    size += len(piece)
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        where = f"{owner.name}/{name}"
        now = time.time()
        self._ledger.approvals.keep(
            Kept(mailbox_id=mailbox.id, key=row.key, file=where, sha256=digest.hexdigest(), bytes=size, at=now)
        )
        for other in owner.glob(f"{row.key.hex()}.*"):
            # The other lane's content of the same item, from an earlier refusal.
            if other != file and other.suffix != ".part":
                other.unlink(missing_ok=True)

    def tidy(self, mailbox: MailboxRow) -> int:
        """Remove what is kept of items that have arrived after all; how many. Never raises."""
        try:
            gone = self._ledger.approvals.superfluous(mailbox.id)
            for one in gone:
                (self.folder / one.file).unlink(missing_ok=True)
            self._ledger.approvals.let_go(mailbox.id, [one.key for one in gone])
            return len(gone)
        except Exception as error:
            logs.logger("migrator.errors.vault").warning(
                "what was kept of items that arrived could not be removed", mailbox=mailbox.source, error=type(error).__name__
            )
            return 0

    def read(self, kept: Kept) -> Iterator[bytes]:
        """The plain content, in pieces. Raises VaultError; at the end too, if it is not what was kept."""
        file = self.folder / kept.file
        digest = hashlib.sha256()
        try:
            with file.open("rb") as source:
                pieces = self._opened(source) if file.suffix == ".enc" else iter(lambda: source.read(_AT_ONCE), b"")
                yield from _told(pieces, digest)
        except OSError as error:
            raise VaultError(f"{file} can't be read ({error.strerror or type(error).__name__}).") from None
        if digest.hexdigest() != kept.sha256:
            raise VaultError(f"{file} is not what was kept: its hash differs from the one in the ledger.")

    def save(self, kept: Kept, file: Path) -> None:
        """Write the plain content to a file of this account's own. Raises VaultError, FileExistsError and OSError."""
        whole = False
        out = open_private(file)
        try:
            with out:
                for piece in self.read(kept):
                    out.write(piece)
            whole = True
        finally:
            if not whole:
                file.unlink(missing_ok=True)

    # -- encryption

    def _sealed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        fernet = self._fernet(self._salt)
        yield _MAGIC + base64.b64encode(self._salt) + b"\n"
        waiting, number = b"", 0
        for piece in pieces:
            yield fernet.encrypt(_PIECE.pack(number, False) + waiting) + b"\n"
            waiting, number = piece, number + 1
        yield fernet.encrypt(_PIECE.pack(number, True) + waiting) + b"\n"

    def _opened(self, source: Iterator[bytes]) -> Iterator[bytes]:
        from cryptography.fernet import InvalidToken

        first = next(iter(source), b"")
        if not first.startswith(_MAGIC):
            raise VaultError("This file was not encrypted by this program.")
        if not self._key:
            raise VaultError("It is encrypted; name the key that it was kept under as errors.key.")
        fernet = self._fernet(base64.b64decode(first.removeprefix(_MAGIC).strip()))
        number, ended = 0, False
        for line in source:
            try:
                plain = fernet.decrypt(line.strip())
            except InvalidToken:
                raise VaultError("It can't be opened: errors.key is another one, or the file was changed.") from None
            told, last = _PIECE.unpack_from(plain)
            if told != number or ended:
                raise VaultError("Its pieces are not in their order: the file was changed.")
            number, ended = number + 1, last
            yield plain[_PIECE.size :]
        if not ended:
            raise VaultError("Its end is missing: the file was cut off.")

    def _fernet(self, salt: bytes) -> Fernet:
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        with self._guard:
            if salt not in self._locks:
                made = Scrypt(salt=salt, length=32, n=1 << 14, r=8, p=1).derive((self._key or "").encode())
                self._locks[salt] = Fernet(base64.urlsafe_b64encode(made))
            return self._locks[salt]

    # -- places

    def _make(self, owner: Path) -> None:
        with self._guard:
            if owner.is_dir():
                return
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner.mkdir(mode=0o700, exist_ok=True)
            make_private(owner)

    def _need_room(self, size: int) -> None:
        place = next(one for one in (self.folder, *self.folder.parents) if one.exists())
        if shutil.disk_usage(place).free < self._spare + 3 * size:
            raise OSError("too little room is left on the disk")

    def _tell(self, mailbox: MailboxRow, row: Row, error: Exception) -> None:
        log = logs.logger("migrator.errors.vault")
        # Once aloud: a full disk would say the same for every further item.
        say, self._warned = (log.info if self._warned else log.warning), True
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__
        say("the content of a refused item could not be kept", mailbox=mailbox.source, key=row.key.hex(), error=reason)


def safe_name(address: str) -> str:
    """A mailbox's folder name that every file system takes; addresses that look alike in it get a hash behind them."""
    name = _UNFIT.sub("_", address.casefold())[:_LONGEST].rstrip(". ")
    if name != address.casefold() or _RESERVED.match(name):
        name = f"_{name}-{hashlib.sha256(address.casefold().encode()).hexdigest()[:8]}"
    return name


def make_private(folder: Path) -> None:
    """Let nobody but this account into a folder and what will be in it. Raises OSError where that fails."""
    if sys.platform == "win32":
        done = subprocess.run(private_command(folder, os.environ), capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            raise OSError(f"icacls ended with {done.returncode}")
    else:
        folder.chmod(0o700)


def private_command(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """What is run on Windows: no inherited rights, and full ones for this account, which everything below inherits."""
    user = environ.get("USERNAME") or getpass.getuser()
    domain = environ.get("USERDOMAIN", "")
    account = f"{domain}\\{user}" if domain else user
    icacls = Path(environ.get("SYSTEMROOT", "C:\\Windows")) / "System32" / "icacls.exe"
    return [str(icacls), str(folder), "/inheritance:r", "/grant:r", f"{account}:(OI)(CI)F"]


def open_private(file: Path) -> BinaryIO:
    """A new file that this account alone can read. Raises FileExistsError and OSError."""
    binary = getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, 0o600), "wb")


def _told(pieces: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece
