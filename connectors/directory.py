"""What a directory says of the owner of a mailbox. The words are no vendor's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One entry of a directory. ``addresses`` are all that lead to it, in lower case; ``object_id`` is empty where a directory
    has none to tell."""

    name: str
    addresses: frozenset[str]
    object_id: str = ""
