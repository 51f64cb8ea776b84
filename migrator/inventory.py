"""Says what a source holds that is not carried: for people, and as values of JSON. Pure; nothing here names a subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from connectors.base import Inventory

SEEN = "left-behind"
"""The kind of observation that keeps the figures of a mailbox."""

STATEMENT = (
    "Public folders are not carried: Graph has no way to write them. Move them with the vendor's own batches, or export them,",
    "and tell their people beforehand. Mail-enabled ones keep getting mail at the source until their addresses are moved.",
)

_NEVER: Mapping[str, str] = {
    "associated": "hidden associated items, where programs keep views, settings and rules of their own",
    "search_folders": "search folders, which a program makes anew from its own saved search",
    "tagged_folders": "folders with a retention or archive tag, which are set anew in the target",
    "tagged_items": "items with a retention or archive tag, which arrive without it where they are composed",
}
"""What never goes, whatever is configured, and what becomes of it."""


def left_behind_lines(mailbox: str, figures: Mapping[str, int], trees: Mapping[str, str]) -> Iterator[str]:
    """What of a mailbox stays behind. ``trees`` are the folders that archive and recoverable items go to, by kind."""
    told = [f"{number:,} {what}" for word, what in _NEVER.items() if (number := figures.get(word, 0)) > 0]
    yield f"{mailbox}: " + ("; ".join(told) + "; not carried." if told else "nothing that is never carried.")
    countable = {"tagged_items": "tags on items", "large_items": "large items"}
    unknown = [what for word, what in countable.items() if figures.get(word) == -1]
    if unknown:
        yield f"  The server does not count {' or '.join(unknown)}; there may be such."
    if (large := figures.get("large_items", 0)) > 0:
        yield f"  {large:,} items are larger than what any lane takes; expect them to be refused by name."
    if held := figures.get("held_items", 0):
        yield f"  {held:,} items are kept for a hold or for single item recovery; run.recoverable_holds carries such."
    if any(figures.get(word, 0) for word in ("tagged_folders", "tagged_items", "held_items")):
        yield "  The policy and the holds of the mailbox itself no wire of the source tells: look at RetentionPolicy,"
        yield "  LitigationHoldEnabled and InPlaceHolds of Get-Mailbox, and set them in the target before the wave."
    if figures.get("archive_elsewhere"):
        yield "  Its online archive is hosted on another server; migrate it from there."
    for kind, name in (("archive", "the online archive"), ("recoverable", "the recoverable items")):
        if f"{kind}_folders" in figures:
            items, size = figures.get(f"{kind}_items", 0), figures.get(f"{kind}_bytes", 0)
            where = f'go to "{trees[kind]}"' if kind in trees else f"are not carried; run.{kind} would do it"
            yield f"  {items:,} items ({size / 1e6:,.1f} MB) of {name} {where}."


def public_lines(found: Sequence[Inventory]) -> Iterator[str]:
    """The tree of public folders with counts, sizes and classes, its sum, and what becomes of it."""
    if not found:
        yield "There are no public folders, or this mailbox's owner sees none."
        return
    for one in found:
        if one.code:
            yield f"{one.path}: can't be read ({one.code})"
            continue
        classes = ", ".join(f"{name} {number:,}" for name, number in sorted(one.classes.items()))
        yield f"{one.path}: {one.kind}, {one.items:,} items, {one.size / 1e6:,.1f} MB" + (f" ({classes})" if classes else "")
    total = totals(found)
    yield ""
    yield from _where(found)
    yield f"{total['folders']:,} public folders hold {total['items']:,} items, {total['bytes'] / 1e6:,.1f} MB."
    if total["unreadable"]:
        yield f"{total['unreadable']:,} folders can't be read by this mailbox's owner, or lie in a mailbox that was not reached."
    yield from STATEMENT


def _where(found: Sequence[Inventory]) -> Iterator[str]:
    """Where the content of these folders lies, as far as the server told, and what that means for the figures."""
    if any(one.database for one in found):
        yield "They lie in databases of public folders (Exchange 2010): a server shows the replicas that it has or finds, and"
        yield "what none of them holds counts as unreadable. Ask with a mailbox of another server's if figures are missing."
        return
    stores = {one.store for one in found if one.store}
    untold = sum(not one.store for one in found)
    if stores:
        yield f"Their content lies in {len(stores):,} public folder mailboxes, each of which was asked."
    if untold:
        yield f"{untold:,} of them do not tell which public folder mailbox holds them; they were read as the server found them,"
        yield "and what lies elsewhere may be missing from the figures."


def totals(found: Sequence[Inventory]) -> dict[str, Any]:
    """The sums over all public folders: folders, items, bytes, unreadable, and items by class."""
    classes: Counter[str] = Counter()
    for one in found:
        classes.update(one.classes)
    return {
        "folders": len({one.path for one in found}),
        "items": sum(one.items for one in found),
        "bytes": sum(one.size for one in found),
        "unreadable": len({one.path for one in found if one.code}),
        "public_folder_mailboxes": len({one.store for one in found if one.store and not one.database}),
        "untold": sum(not one.store for one in found),
        "database": any(one.database for one in found),
        "classes": dict(sorted(classes.items())),
    }


def public_as_json(found: Sequence[Inventory]) -> dict[str, Any]:
    """The same for programs."""
    return {"public_folders": [asdict(one) for one in found], "totals": totals(found), "carried": False}
