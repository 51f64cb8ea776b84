"""Whether a file lies where a SQLite ledger must not be: on a network share, or in a folder that some service copies elsewhere.

On a share the locks and the shared memory of SQLite's write-ahead log are not what they promise to be, and two writers damage the
file [https://www.sqlite.org/wal.html, https://www.sqlite.org/useovernet.html]. A synced folder copies the file in the middle of a
write, and puts old copies back. Postgres is for those who need a ledger that several machines reach.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

REMOTE = frozenset(
    {
        "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "webdav", "davfs", "davfs2", "ncpfs",
        "glusterfs", "ceph", "lustre", "gpfs", "beegfs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.ceph",
        "fuse.s3fs", "fuse.gcsfuse", "fuse.davfs", "fuse.smbnetfs", "fuse.gvfsd-fuse",
    }
)  # fmt: skip
"""Kinds of file systems that another machine keeps."""

_SYNCED = re.compile(
    r"OneDrive(?: - .*)?|Dropbox(?: ?\(.*\))?|Google ?Drive(?:-.*)?|My Drive|iCloud ?Drive|Mobile Documents|CloudStorage|Box Sync"
    r"|Nextcloud\d*|ownCloud\d*|SynologyDrive|pCloudDrive|Seafile",
    re.IGNORECASE,
)
_FOLDERS = ("OneDrive", "OneDriveCommercial", "OneDriveConsumer")
"""Variables of the environment in which Windows says where such a folder is."""

_MENDED = "name a file on a disk of this machine in ledger.url, or use Postgres"
_DRIVE_REMOTE = 4
_PLATFORM: str = sys.platform


def why_not(file: Path) -> str:
    """Why a SQLite ledger must not be at this place, in one sentence with the mend; empty if it may."""
    place = file if file.is_absolute() else Path.cwd() / file
    if synced := synced_by(place, os.environ):
        return (
            f"The ledger {file} lies in {synced}, which a service copies elsewhere: it would copy it in the middle of a write and"
            f" put old copies back; {_MENDED}."
        )
    if remote_here(place):
        return f"The ledger {file} lies on a network share, where two processes can damage it; {_MENDED}."
    return ""


def synced_by(place: PurePath, environment: Mapping[str, str]) -> str:
    """The folder above this place that a service copies elsewhere; empty if none is known to."""
    for folder in place.parents:
        if _SYNCED.fullmatch(folder.name):
            return str(folder)
    for name in _FOLDERS:
        if (text := environment.get(name)) and type(place)(text) in place.parents:
            return text
    return ""


def remote_here(place: Path) -> bool:
    """Whether this machine says that another one keeps this place; False if it says nothing."""
    real = Path(os.path.realpath(place))
    if _PLATFORM == "win32":
        return on_windows_share(str(real))
    try:
        if _PLATFORM == "darwin":
            told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10, check=False).stdout
            return kind_at(real, parse_mount(told)) in REMOTE
        return kind_at(real, parse_mounts(Path("/proc/self/mounts").read_text("utf-8", "replace"))) in REMOTE
    except (OSError, subprocess.SubprocessError):
        return False


def on_windows_share(place: str) -> bool:
    """The same on Windows: a path of the form \\\\server\\share, or a drive that stands for one."""
    if place.startswith("\\\\?\\UNC\\"):
        return True
    if place.startswith("\\\\") and not place.startswith(("\\\\?\\", "\\\\.\\")):
        return True
    drive = re.match(r"(?:\\\\\?\\)?([A-Za-z]:)", place)
    if drive is None or _PLATFORM != "win32":
        return False
    import ctypes

    library: Any = ctypes
    return bool(library.windll.kernel32.GetDriveTypeW(drive[1] + "\\") == _DRIVE_REMOTE)


def parse_mounts(text: str) -> dict[str, str]:
    """Kinds of file systems by where they are mounted, from Linux's own table; spaces in it are octal."""
    found = {}
    for line in text.splitlines():
        parts = line.split(" ")
        if len(parts) >= 3:
            found[re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), parts[1])] = parts[2]
    return found


def parse_mount(text: str) -> dict[str, str]:
    """The same from what ``mount`` prints on a Mac: ``//me@host/share on /Volumes/share (smbfs, nodev)``."""
    lines = (re.match(r".* on (/.*) \(([^,)]+)", line) for line in text.splitlines())
    return {found[1]: found[2].strip() for found in lines if found}


def kind_at(place: PurePath, mounts: Mapping[str, str]) -> str:
    """The kind of the file system that this place lies on: that of the deepest one mounted above it."""
    above: Iterable[PurePath] = (place, *place.parents)
    return next((mounts[str(one)] for one in above if str(one) in mounts), "")
