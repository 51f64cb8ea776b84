"""Where a SQLite ledger must not lie: told by names and by tables of file systems, as each system has them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from migrator import cli, logs, shares
from migrator.shares import REMOTE, kind_at, on_windows_share, parse_mount, parse_mounts, synced_by, why_not

LINUX = """overlay / overlay rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /srv/data nfs4 rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
/dev/sdb1 /srv/data/local ext4 rw 0 0
"""

MAC = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@server/share on /Volumes/a share (smbfs, nodev, nosuid)
"""


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("/srv/data/ledger.db", True),
        ("/srv/data/local/ledger.db", False),
        ("/srv/database/ledger.db", False),
        ("/mnt/with space/x/ledger.db", True),
        ("/tmp/ledger.db", False),
    ],
)
def test_linux_says_it_in_its_table(place: str, remote: bool) -> None:
    assert (kind_at(PurePosixPath(place), parse_mounts(LINUX)) in REMOTE) == remote


def test_a_mac_says_it_by_mount() -> None:
    mounts = parse_mount(MAC)
    assert kind_at(PurePosixPath("/Volumes/a share/ledger.db"), mounts) == "smbfs"
    assert kind_at(PurePosixPath("/Users/me/ledger.db"), mounts) == "apfs"


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("\\\\server\\share\\ledger.db", True),
        ("\\\\?\\UNC\\server\\share\\ledger.db", True),
        ("\\\\?\\relative", False),
    ],
)
def test_windows_says_it_in_the_path(place: str, remote: bool) -> None:
    assert on_windows_share(place) == remote


@pytest.mark.parametrize(
    "folder",
    [
        "OneDrive",
        "OneDrive - Contoso Ltd",
        "Dropbox",
        "Dropbox (Contoso)",
        "Google Drive",
        "iCloud Drive",
        "CloudStorage",
        "Nextcloud",
    ],
)
def test_a_synced_folder_is_known_by_its_name(folder: str) -> None:
    assert synced_by(PurePosixPath(f"/home/me/{folder}/project/ledger.db"), {}) == f"/home/me/{folder}"
    assert synced_by(PureWindowsPath(f"C:\\Users\\me\\{folder}\\ledger.db"), {}) == f"C:\\Users\\me\\{folder}"


@pytest.mark.parametrize("folder", ["onedrive-migration", "dropbox-to-exchange", "box", "drive", "my-nextcloud"])
def test_a_project_about_such_a_service_is_not_one(folder: str) -> None:
    assert synced_by(PurePosixPath(f"/home/me/{folder}/ledger.db"), {}) == ""


def test_a_folder_that_windows_names_in_the_environment_counts_too() -> None:
    place = PureWindowsPath("D:\\Clouds\\mine\\ledger.db")
    assert synced_by(place, {"OneDriveCommercial": "D:\\Clouds\\mine"}) == "D:\\Clouds\\mine"
    assert synced_by(place, {"OneDriveCommercial": "D:\\Clouds\\other"}) == ""


def test_this_machines_own_disk_is_fine(tmp_path: Path) -> None:
    assert why_not(tmp_path / "ledger.db") == ""


CONFIG = """
[source]
url = "https://mail.old.example/EWS/Exchange.asmx"
username = "svc"
password = "env:P"

[target]
tenant_id = "t"
client_id = "a"
secret = "env:S"
"""


def test_such_a_ledger_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "OneDrive - Contoso"
    folder.mkdir()
    (folder / "migrator.toml").write_text(CONFIG, "utf-8")
    (folder / "waves.csv").write_text("source,target\na@old.example,a@new.example\n", "utf-8")
    for words in (("wave", "import", str(folder / "waves.csv")), ("run",)):
        assert cli.run(["-c", str(folder / "migrator.toml"), *words]) == 65
        assert "which a service copies elsewhere" in capsys.readouterr().err
    logs.take_down()
    assert not (folder / "migrator.db").exists()
    monkeypatch.setattr(shares, "remote_here", lambda place: True)
    assert "on a network share" in why_not(tmp_path / "ledger.db")
