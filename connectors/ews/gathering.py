"""What a lot of appointments does not bring along: changed occurrences and the contents of attachments, asked for together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from connectors.base import Attachment, Fetched, Gone, Item, Lane, Ref, Refusal
from connectors.errors import Unavailable
from connectors.ews import asking, classify, events
from connectors.ews.answer import M, code_of
from connectors.ews.client import MailboxClient
from connectors.ews.events import Changed, Draft, Listed

T = TypeVar("T")

_MOST_ITEMS = 20
_MOST_BYTES = 8_000_000
"""Bytes of attachments that are asked for at once, as far as the server tells their sizes."""

_Place = tuple[int, int]
"""Whose attachment it is: the item's place, and that of its changed occurrence; -1 for the item itself."""


def event_item(ref: Ref, draft: Draft) -> Item:
    """An appointment as the engine carries it."""
    return Item(ref=ref, lane=Lane.COMPOSE, item_class=draft.item_class, digest=draft.digest.digest(), event=draft.event)


class Gathering:
    """Asks for what is missing of some drafts; reads only. Raises what the client raises."""

    def __init__(self, client: MailboxClient, owner: str) -> None:
        self._client, self._owner = client, owner

    def whole(self, drafts: Mapping[int, Draft], refs: Sequence[Ref]) -> dict[int, Fetched]:
        """The finished answer of each draft, by its place.

        An occurrence that the source does not show is known by its time alone, and named as such. What fails an attachment
        fails its item, by name; what is gone by now, the next page tells.
        """
        failed: dict[int, Fetched] = {}
        changed = [(place, number, one) for place, draft in drafts.items() for number, one in enumerate(draft.changed)]
        occurrences: dict[_Place, Draft | None] = {}
        for some in _cut(changed, lambda each: 0):
            for (place, number, one), message in zip(some, self._ask_events([each.id for _, _, each in some]), strict=True):
                occurrences[place, number] = self._occurrence(one, message)
        wanted = [((place, -1), one) for place, draft in drafts.items() for one in draft.listed]
        wanted += [(key, one) for key, draft in occurrences.items() if draft is not None for one in draft.listed]
        contents: dict[_Place, list[Attachment]] = {}
        for part in _cut(wanted, lambda each: each[1].size):
            asked = [each for each in part if each[0][0] not in failed]
            if not asked:
                continue
            for (key, listed), message in zip(asked, self._ask_attachments([each for _, each in asked]), strict=True):
                found = _attachment(refs[key[0]], listed, message)
                if isinstance(found, Attachment):
                    contents.setdefault(key, []).append(found)
                else:
                    failed[key[0]] = found
        for place, draft in drafts.items():
            if place not in failed:
                draft.attach(contents.get((place, -1), ()))
                for number, one in enumerate(draft.changed):
                    draft.take(one, occurrences[place, number], contents.get((place, number), ()))
        return {place: failed.get(place) or event_item(refs[place], draft) for place, draft in drafts.items()}

    def _ask_events(self, ids: Sequence[str]) -> list[Any]:
        return self._client.ask("GetItem", events.get_events(ids), _as_many(len(ids)))

    def _ask_attachments(self, listed: Sequence[Listed]) -> list[Any]:
        return self._client.ask("GetAttachment", asking.get_attachments([one.id for one in listed]), _as_many(len(listed)))

    def _occurrence(self, changed: Changed, message: Any) -> Draft | None:
        element = message.find(f"{M}Items/*")
        if failure_of(Ref(changed.id), message) is not None or element is None:
            return None
        return events.draft_of(element, self._owner)


def _cut(found: Sequence[T], weight: Callable[[T], int]) -> Iterator[list[T]]:
    some: list[T] = []
    held = 0
    for one in found:
        if some and (len(some) >= _MOST_ITEMS or held + weight(one) > _MOST_BYTES):
            yield some
            some, held = [], 0
        some.append(one)
        held += weight(one)
    if some:
        yield some


def _as_many(asked: int) -> Callable[[list[Any]], list[Any]]:
    """A reader that takes as many messages as were asked for, and none that says that the server can't answer now."""

    def read(messages: list[Any]) -> list[Any]:
        if len(messages) != asked:
            raise Unavailable("The source gave another number of answers than it was asked questions.", code="answer count")
        for message in messages:
            failure_of(Ref(""), message)
        return messages

    return read


def failure_of(ref: Ref, message: Any) -> Gone | Refusal | None:
    """What one answer's error means; None if it has none. Raises when it says nothing of the item itself."""
    code, values = code_of(message)
    if code == "NoError":
        return None
    meant = classify.item_answer(ref, code, values=values)
    if meant is None:
        classify.raise_for(code, text="", values=values)
    return meant


def _attachment(ref: Ref, listed: Listed, message: Any) -> Attachment | Gone | Refusal:
    failure = failure_of(ref, message)
    if failure is not None:
        return failure
    found = events.attachment_of(listed, message.find(f"{M}Attachments/*"))
    return found or Refusal("source-cannot-deliver", "The source shows an attachment without its content.", "no content")
