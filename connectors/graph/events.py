"""Appointments in the target's calendars: made, looked up and removed without anybody hearing of it.

One request makes an event that is whole at once. What has to follow, attachments and single occurrences, follows while the event
bears its stamp with PARTIAL behind it, as with mail (see ``composing``). No event of ours has attendees, so its changes and its
removal tell nobody; before one is changed or removed that may have been somebody else's since, it is asked whether it has any.

A calendar's id is that of its folder. ``transactionId`` makes a repeated creation one [learn.microsoft.com: event resource]; it
is made of the stamp and of the content, so that a newer version is another event.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import orjson

from connectors.base import Attachment, Identity, Outcome, Receipt, Refusal, TargetRef, Write, identify
from connectors.errors import Halt, MailboxBlocked, Unavailable, WireError
from connectors.graph import extended as x
from connectors.graph import paths
from connectors.graph.batch import Part, batch
from connectors.graph.classify import Meaning, Rejected
from connectors.graph.client import GraphClient
from connectors.graph.convert import DIRECT_LIMIT, attachment_name, file_attachment, raw_size
from connectors.graph.event_json import Change, Composed, compose
from connectors.graph.folders import Folders
from connectors.graph.naming import family
from connectors.graph.resources import Offer
from connectors.graph.upload import upload

CLASSES = ("IPM.Appointment",)

TERMS = 10
"""Terms joined by ``or`` in one filter."""

PAGE = 100
_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
_APART = timedelta(days=40)
"""Occurrences further apart than this are asked for one by one."""


class Events:
    """``connectors.graph.resources.Resource`` for appointments. ``orphans`` lets future meetings lose their attendees."""

    def __init__(
        self,
        client: GraphClient,
        mailbox: str,
        folders: Folders,
        batch_lock: asyncio.Lock,
        *,
        orphans: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._mailbox, self._folders, self._batch_lock = client, mailbox, folders, batch_lock
        self._orphans, self._clock = orphans, clock
        self._open = True
        """Whether the app may see calendars; without that permission they are the admin interface's."""

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    # ---- making

    async def create(self, write: Write) -> Outcome:
        """See ``Resource.create``. Raises what the client raises."""
        item = write.item
        if item is None or item.event is None or write.folder_id is None or write.stamp is None:
            raise ValueError("a composed appointment needs a folder, a stamp and an item with an event")
        if family(await self._folders.kind(write.folder_id)) != "ipf.appointment":
            return Refusal("not-a-calendar", "the folder holds mail, and an appointment can be composed in a calendar only")
        composed = compose(item.event, item_class=item.item_class, now=self._clock(), orphans=self._orphans)
        if isinstance(composed, Refusal):
            return composed
        # What takes the place of an older copy is another event than that, even if its content is the same.
        attempt = _mark(write.target_id) if write.target_id else ""
        if composed.follows:
            try:
                attempt += await self._clear_partial(write.folder_id, write.stamp)
            except Unavailable as error:
                raise Unavailable(str(error), code=error.code, did_nothing=True) from None
        fields = dict(composed.fields)
        stamp = write.stamp + x.PARTIAL if composed.follows else write.stamp
        fields["singleValueExtendedProperties"] = [*fields["singleValueExtendedProperties"], x.pair(x.STAMP, stamp)]
        fields["transactionId"] = f"{write.stamp}-{item.digest.hex()}{attempt}"
        path = paths.calendar(self._mailbox, write.folder_id) + "/events"
        try:
            reply = await self._client.ask(self._mailbox, "POST", path, kind="create", body=orjson.dumps(fields))
        except Rejected as error:
            if error.meaning not in (Meaning.EXISTS, Meaning.CHANGED):
                raise
            return await self._already_there(write, composed, error)
        found = reply.json()
        event_id = found.get("id") if isinstance(found, dict) else None
        if not isinstance(event_id, str):
            raise Unavailable("the answer names no event", code=f"http {reply.status}")
        version, lost = str(found.get("changeKey") or ""), composed.degraded
        if composed.follows:
            try:
                version, more = await self._complete(event_id, composed, write.stamp)
            except Rejected as error:
                # For certain it lacks something, so it must not stay.
                await self._delete(event_id)
                return error.refusal()
            except WireError as error:
                if isinstance(error, (MailboxBlocked, Halt)):
                    raise
                raise Unavailable(f"part of an appointment is in doubt: {error}", code=error.code) from None
            lost = tuple(dict.fromkeys((*lost, *more)))
        return Receipt(target_id=event_id, version=version, degraded=lost)

    async def _already_there(self, write: Write, composed: Composed, error: Rejected) -> Outcome:
        """An earlier request for it was carried out after all; whole it is only with its final stamp."""
        for found in await self._stamped(write.folder_id or "", (write.stamp or "",)):
            if found["id"] == write.target_id:
                continue  # the older copy, which goes
            return Receipt(target_id=found["id"], version=str(found.get("changeKey") or ""), degraded=composed.degraded)
        raise Unavailable("an earlier request made it, and it can't be seen yet", code=error.code)

    async def _complete(self, event_id: str, composed: Composed, stamp: str) -> tuple[str, list[str]]:
        await self._attach_all(event_id, composed.attachments)
        lost = await self._occurrences(event_id, composed)
        body = orjson.dumps({"singleValueExtendedProperties": [x.pair(x.STAMP, stamp)]})
        path = paths.event(self._mailbox, event_id)
        reply = await self._client.ask(self._mailbox, "PATCH", path, kind="stamp", body=body, safe=True, quiet=True)
        found: Any = reply.json() if reply.body else {}
        return str(found.get("changeKey") or ""), lost

    async def _attach_all(self, event_id: str, attachments: Sequence[Attachment]) -> None:
        done: Counter[tuple[str, int]] = Counter()
        for attachment in attachments:
            like = (attachment.name, raw_size(attachment))
            await self._attach(event_id, attachment, done[like])
            done[like] += 1

    async def _attach(self, event_id: str, attachment: Attachment, earlier: int) -> None:
        path = paths.event(self._mailbox, event_id)
        if raw_size(attachment) < DIRECT_LIMIT:
            body = orjson.dumps(file_attachment(attachment))
            try:
                await self._client.ask(
                    self._mailbox, "POST", path + "/attachments", kind="attach", body=body, quiet=True
                )  # fmt: skip
                return
            except Rejected as error:
                if error.reason != "too-large":
                    raise
        await upload(self._client, self._mailbox, path, attachment, earlier, quiet=True)

    # ---- single occurrences

    async def _occurrences(self, event_id: str, composed: Composed) -> list[str]:
        """Take out and change what differs from the rule; names of what the target does not have to be changed.

        What is taken out goes first, and of what is moved the furthest: no occurrence may cross its neighbour, on no way there.
        """
        wanted = sorted({*composed.deleted, *(each.original for each in composed.exceptions)})
        found = await self._instances(event_id, wanted, composed)
        lost: list[str] = []
        for original in composed.deleted:
            if (instance := found.get(original)) is not None:
                await self._delete(instance)
        later = [each for each in composed.exceptions if each.start >= each.original]
        earlier = [each for each in composed.exceptions if each.start < each.original]
        for change in (
            *sorted(later, key=lambda each: each.original, reverse=True),
            *sorted(earlier, key=lambda each: each.original),
        ):
            instance = found.get(change.original)
            if instance is None:
                lost.append("exceptions")
            else:
                await self._change(instance, change)
        return lost

    async def _change(self, instance: str, change: Change) -> None:
        path, body = paths.event(self._mailbox, instance), orjson.dumps(change.fields)
        await self._client.ask(self._mailbox, "PATCH", path, kind="occurrence", body=body, safe=True, quiet=True)
        if change.attachments is None:
            return
        wanted = Counter((attachment_name(each), raw_size(each)) for each in change.attachments)
        listing = paths.query(path + "/attachments", select="id,name,size", top=PAGE)
        for each in await self._pages(listing, kind="attachments"):
            name, size = str(each.get("name")), int(each.get("size") or 0)
            # Servers count some bytes on top of an attachment's own.
            alike = next((like for like in wanted if like[0] == name and wanted[like] and 0 <= size - like[1] < 4096), None)
            if alike is not None:
                wanted[alike] -= 1
            else:
                own = f"{path}/attachments/{paths.quoted(each['id'])}"
                await self._client.ask(self._mailbox, "DELETE", own, kind="attach", safe=True, quiet=True)
        for attachment in change.attachments:
            like = (attachment_name(attachment), raw_size(attachment))
            if wanted[like] > 0:
                wanted[like] -= 1
                await self._attach(instance, attachment, 0)

    async def _instances(self, event_id: str, wanted: Sequence[datetime], composed: Composed) -> dict[datetime, str]:
        """The ids of the occurrences that would begin at these moments, or on these days where the clocks differ."""
        shown: dict[datetime, str] = {}
        for low, high in _spans(wanted):
            path = paths.event(self._mailbox, event_id) + "/instances"
            path += f"?startDateTime={x.written(low - _DAY)}&endDateTime={x.written(high + _DAY)}"
            path += f"&$select=id,start,originalStart,type&$top={PAGE}"
            for each in await self._pages(path, kind="instances"):
                original = x.moment(each.get("originalStart")) or x.moment((each.get("start") or {}).get("dateTime"))
                if original is not None:
                    shown[original] = each["id"]
        found: dict[datetime, str] = {}
        by_day: dict[Any, list[datetime]] = {}
        for original in shown:
            by_day.setdefault(original.astimezone(composed.clock).date(), []).append(original)
        for moment in wanted:
            same_day = by_day.get(moment.astimezone(composed.clock).date(), [])
            near = [one for one in same_day if abs(one - moment) < _MINUTE] or (same_day if len(same_day) == 1 else [])
            if near:
                found[moment] = shown[near[0]]
        return found

    # ---- removing

    async def remove(self, write: Write) -> Outcome | None:
        """See ``Resource.remove``: never of an event that has attendees, whoever gave it some."""
        target = write.target_id or ""
        if not self._open:
            return None
        path = paths.query(paths.event(self._mailbox, target), select="id,attendees")
        try:
            found = (await self._client.ask(self._mailbox, "GET", path, kind="peek")).json()
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise
            return None
        except (MailboxBlocked, Halt):
            self._open = False
            return None
        if found.get("attendees"):
            return Refusal("could-send-cancellation", "it has attendees by now, who would be told")
        await self._delete(target)
        return Receipt(target_id=target)

    async def _delete(self, event_id: str) -> None:
        path = paths.event(self._mailbox, event_id)
        try:
            await self._client.ask(self._mailbox, "DELETE", path, kind="remove", safe=True, quiet=True)
        except Rejected as error:
            if error.meaning is not Meaning.GONE:
                raise

    async def _clear_partial(self, folder_id: str, stamp: str) -> str:
        """Remove what an earlier, broken attempt left; what marks this attempt as another one than that."""
        mark = ""
        for each in await self._stamped(folder_id, (stamp + x.PARTIAL,)):
            if not each.get("attendees"):
                await self._delete(each["id"])
            mark = _mark(str(each["id"]))
        return mark

    # ---- looking up

    async def find(self, identities: Sequence[Identity], offer: Offer) -> frozenset[Identity]:
        """See ``Resource.find``: settled are those whose stamp was found; others may lie where no calendar is."""
        if not self._open:
            return frozenset()
        stamps = sorted({each.stamp for each in identities if each.stamp})
        windows = sorted({each.when for each in identities if each.when is not None})
        filters = [" or ".join(x.equals(x.STAMP, each) for each in some) for some in _cut(stamps)]
        filters += [" or ".join(_window(each) for each in some) for some in _cut(windows)]
        seen: set[str] = set()
        try:
            for folder_id in await self._calendars():
                for each in await self._ask_all([self._listing(folder_id, term) for term in filters]):
                    facts, stamp = x.facts_of_event(each)
                    offer(each, facts, stamp, folder_id)
                    seen.add((stamp or "").casefold())
        except (MailboxBlocked, Halt):
            self._open = False
            return frozenset()
        return frozenset(each for each in identities if each.stamp and each.stamp.casefold() in seen)

    async def peek(self, target_ids: Sequence[str]) -> dict[str, TargetRef]:
        """See ``Resource.peek``. An event does not tell in which calendar it lies."""
        if not self._open or not target_ids:
            return {}
        options = {"select": x.EVENT_SELECT, "expand": x.expand(x.EVENT_EXPAND)}
        parts = [Part("GET", paths.query(paths.event(self._mailbox, each), **options)) for each in target_ids]
        try:
            answers = await batch(self._client, self._mailbox, self._batch_lock, parts, kind="peek", safe=True)
        except (MailboxBlocked, Halt):
            answers = [MailboxBlocked("calendars are closed to the app", side="target")]
        found: dict[str, TargetRef] = {}
        for target_id, answer in zip(target_ids, answers, strict=False):
            if isinstance(answer, dict):
                found[target_id] = _ref({**answer, "id": target_id}, "")
            elif isinstance(answer, (MailboxBlocked, Halt)):
                self._open = False
                return {}
            elif not isinstance(answer, Rejected):
                raise answer
        return found

    async def _calendars(self) -> list[str]:
        return [node.id for node in await self._folders.nodes() if family(node.kind) == "ipf.appointment"]

    async def _stamped(self, folder_id: str, stamps: Sequence[str]) -> list[dict[str, Any]]:
        return await self._pages(self._listing(folder_id, " or ".join(x.equals(x.STAMP, each) for each in stamps)), kind="find")

    def _listing(self, folder_id: str, term: str) -> str:
        path = paths.calendar(self._mailbox, folder_id) + "/events"
        return paths.query(path, filter=term, select=x.EVENT_SELECT, expand=x.expand(x.EVENT_EXPAND), top=PAGE)

    async def _ask_all(self, addresses: Sequence[str]) -> list[dict[str, Any]]:
        """What several listings show; a calendar that is not there any more shows nothing."""
        if len(addresses) == 1:
            return await self._pages(addresses[0], kind="find")
        parts = [Part("GET", each) for each in addresses]
        found: list[dict[str, Any]] = []
        for answer in await batch(self._client, self._mailbox, self._batch_lock, parts, kind="find", safe=True):
            if isinstance(answer, Rejected) and answer.meaning is Meaning.GONE:
                continue
            if isinstance(answer, WireError):
                raise answer
            found += answer.get("value") or ()
            if answer.get("@odata.nextLink"):
                found += await self._pages(answer["@odata.nextLink"], kind="find")
        return found

    async def _pages(self, path: str, *, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            try:
                page = (await self._client.ask(self._mailbox, "GET", following, kind=kind)).json()
            except Rejected as error:
                if error.meaning is Meaning.GONE and kind == "find":
                    return found
                raise
            found += page.get("value") or ()
            following = page.get("@odata.nextLink")
        return found


def _mark(event_id: str) -> str:
    return "-" + blake2b(event_id.encode(), digest_size=4).hexdigest()


def _cut(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[at : at + TERMS] for at in range(0, len(values), TERMS))


def _window(when: datetime) -> str:
    low, high = (x.written(each).removesuffix("Z") for each in (when - _SECOND, when + _SECOND))
    return f"(start/dateTime ge '{low}' and start/dateTime le '{high}')"


def _spans(moments: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Ranges that hold the moments, which are in order, without the long times between them."""
    first = last = None
    for moment in moments:
        if first is None or last is None:
            first = last = moment
        elif moment - last > _APART:
            yield first, last
            first = last = moment
        else:
            last = moment
    if first is not None and last is not None:
        yield first, last


def _ref(found: dict[str, Any], folder_id: str) -> TargetRef:
    facts, stamp = x.facts_of_event(found)
    return TargetRef(
        id=found["id"],
        folder_id=folder_id,
        version=str(found.get("changeKey") or ""),
        stamp=stamp,
        rungs=identify(facts, stamp).rungs,
        size=facts.size,
        modified=facts.modified,
        subject_hash=facts.subject_hash,
    )
