"""The files of ``configs/`` as they are shipped: inside the installed package, or beside it in the source tree."""

from __future__ import annotations

from pathlib import Path


def example(name: str) -> bytes:
    """What is in one of them. Raises FileNotFoundError."""
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise FileNotFoundError(name)
