"""A real Chromium for tests of pages, and ledgers to make pages of.

The browser is the one that MIGRATOR_CHROMIUM names, else the system's, else the one that playwright installed. Without any a test
skips, or fails if MIGRATOR_REQUIRE_ALL is 1. Pictures go to the folder that MIGRATOR_SCREENSHOTS names, else to a temporary one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_ledger
import pytest

from state.store import Ledger

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A running browser, for one test: as long as it runs, its event loop runs in this thread, and nobody else can run one."""
    reason = "no Chromium is here: install one, or name it in MIGRATOR_CHROMIUM"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        _without(f"playwright can't be loaded: {error}")
    named = os.environ.get("MIGRATOR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        if named is None and not Path(playwright.chromium.executable_path).exists():
            _without(reason)
        browser = playwright.chromium.launch(executable_path=named, args=QUIET)
        yield browser
        browser.close()


def _without(reason: str) -> None:
    if os.environ.get("MIGRATOR_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checks, as a script to be run in a page."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots."""
    named = os.environ.get("MIGRATOR_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes ledgers, each once: ``made(mailboxes, items)`` is the file of one."""
    known: dict[tuple[int, int], Path] = {}

    def make(mailboxes: int = 40, items: int = 60) -> Path:
        if (mailboxes, items) not in known:
            file = tmp_path_factory.mktemp("ledger") / "made.db"
            known[mailboxes, items] = made_ledger.make(file, mailboxes, items)
        return known[mailboxes, items]

    return make


@pytest.fixture
def forty(made: Callable[..., Path]) -> Iterator[Ledger]:
    """A ledger of forty mailboxes in five waves, open."""
    with Ledger.open(f"sqlite:///{made().as_posix()}") as ledger:
        yield ledger
