"""The lab's own door beside its two faces: let users change things, look what is there, count requests, stop.

It hangs on the Exchange server's port below ``/lab/``, answers this machine alone, and wants a token that only the lab's
folder holds. ``Control`` is the client.
"""

from __future__ import annotations

import hmac
import http.client
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from . import churn
from .dump import dump_lines, list_items, write_dump
from .faults import Faults, read_plan
from .journal import OWN, Seen
from .people import Shelf
from .truth import Estate, Mailbox, Part, seeded_bytes

LAB_FILE = "lab.json"
_TOKEN = "X-Lab-Token"  # noqa: S105 - the header's name
_HERE = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@dataclass(slots=True)
class Controls:
    """What the door leads to."""

    source: Estate
    target: Estate
    seen: Seen
    token: str
    shelf: Shelf
    stop: Callable[[], None]
    faults: Faults = field(default_factory=Faults)

    def mailbox(self, asked: dict[str, Any]) -> Mailbox:
        """The mailbox that a wish names; the source side unless it says ``target``. Raises Unknown."""
        side = asked.get("side", "source")
        if side not in churn.SIDES:
            raise churn.Unknown("the side is source or target")
        found = (self.source if side == "source" else self.target).get(str(asked.get("mailbox", "")))
        if found is None:
            raise churn.Unknown(f"the {side} has no mailbox {asked.get('mailbox')}")
        return found


def add_control(app: web.Application, controls: Controls) -> None:
    """Hang the door on an application that has not started yet."""

    def guarded(work: Callable[[dict[str, Any]], Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            given = request.headers.get(_TOKEN, "")
            if request.remote not in _HERE or not hmac.compare_digest(given.encode(), controls.token.encode()):
                return web.json_response({"error": "the lab's token is missing or wrong"}, status=403)
            try:
                asked = dict(request.query) if request.method == "GET" else await request.json()
                if not isinstance(asked, dict):
                    raise churn.Unknown("an object was expected")
                found = work(asked)
            except (churn.Unknown, ValueError) as error:
                return web.json_response({"error": str(error)}, status=400)
            if isinstance(found, Iterator):
                return await _stream(request, found)
            return web.json_response(found)

        return answer

    for word, work in _actions(controls).items():
        app.router.add_post(OWN + word, guarded(work))
    for word, work in _looks(controls).items():
        app.router.add_get(OWN + word, guarded(work))


async def _stream(request: web.Request, lines: Iterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in lines:
        await response.write(line)
    await response.write_eof()
    return response


def _actions(controls: Controls) -> dict[str, Callable[[dict[str, Any]], Any]]:
    def on_item(work: Callable[[dict[str, Any], Mailbox, Any], Any]) -> Callable[[dict[str, Any]], Any]:
        def act(asked: dict[str, Any]) -> Any:
            mailbox = controls.mailbox(asked)
            with mailbox.lock:
                item = churn.item_called(mailbox, str(asked.get("item", "")))
                return {"item": (work(asked, mailbox, item) or item).id}

        return act

    def new(asked: dict[str, Any]) -> Any:
        mailbox = controls.mailbox(asked)
        with mailbox.lock:
            folder = churn.folder_at(mailbox, asked["folder"]) if "folder" in asked else None
            item = churn.add_new(mailbox, controls.shelf, asked.get("seed", 1), folder=folder)
            if "subject" in asked:
                churn.edit(item, mailbox, {"subject": asked["subject"]})
            if "host" in asked:
                item.headers = (
                    f"Received: from {asked['host']} (192.0.2.1) by ex1.lab.example;\r\n"
                    f"\t{item.submitted:%d %b %Y %H:%M:%S} +0000\r\n"
                    f"Message-ID: {item.message_id}\r\nMIME-Version: 1.0\r\n"
                )
            if "attach" in asked:
                content = seeded_bytes(item.id, length=int(asked["attach"]))
                item.parts.append(Part("attached.bin", "application/octet-stream", content))
            return {"item": item.id, "folder": mailbox.path(mailbox.boxes[item.folder_id])}

    def edit(asked: dict[str, Any], mailbox: Mailbox, item: Any) -> None:
        churn.edit(item, mailbox, asked.get("changes") or {"subject": f"{item.subject} (edited)"})

    def move(asked: dict[str, Any], mailbox: Mailbox, item: Any) -> Any:
        to = churn.folder_at(mailbox, str(asked.get("folder", "")))
        return churn.move(item, mailbox, to, asked.get("side", "source"))

    def delete(asked: dict[str, Any], mailbox: Mailbox, item: Any) -> None:
        churn.delete(item, mailbox, asked.get("side", "source"), hard=bool(asked.get("hard", False)))

    def read(asked: dict[str, Any], mailbox: Mailbox, item: Any) -> None:
        churn.read(item, mailbox, bool(asked.get("read", True)))

    def do_churn(asked: dict[str, Any]) -> Any:
        mailbox = controls.mailbox(asked)
        wanted = {kind: int(asked.get(kind, 0)) for kind in churn.KINDS}
        with mailbox.lock:
            side, seed = str(asked.get("side", "source")), int(asked.get("seed", 1))
            return churn.churn(mailbox, wanted, controls.shelf, side=side, seed=seed)

    def arm(asked: dict[str, Any]) -> Any:
        controls.faults.arm(read_plan(asked))
        return {}

    def stop(asked: dict[str, Any]) -> Any:
        controls.stop()
        return {}

    return {
        "new": new, "edit": on_item(edit), "move": on_item(move), "delete": on_item(delete), "read": on_item(read),
        "churn": do_churn, "arm": arm, "stop": stop,
    }  # fmt: skip


def _looks(controls: Controls) -> dict[str, Callable[[dict[str, Any]], Any]]:
    def stats(asked: dict[str, Any]) -> Any:
        both = (controls.source, controls.target)
        sent = [dict(one) for estate in both for mailbox in estate.mailboxes.values() for one in mailbox.sent]
        counts = [
            {
                address: {"folders": _folders(mailbox), "items": len(mailbox.items)}
                for address, mailbox in estate.mailboxes.items()
            }
            for estate in both
        ]
        return {
            "requests": dict(controls.seen.requests),
            "batched": dict(controls.seen.batched),
            "statuses": dict(controls.seen.statuses),
            "writes": controls.seen.writes,
            "folders": sum(one["folders"] for one in counts[0].values()),
            "sent": len(sent),
            "sent_kinds": sorted(str(one.get("kind", one.get("what", "message"))) for one in sent),
            "source": counts[0],
            "target": counts[1],
        }

    def mailboxes(asked: dict[str, Any]) -> Any:
        return sorted((controls.target if asked.get("side") == "target" else controls.source).mailboxes)

    def folders(asked: dict[str, Any]) -> Any:
        mailbox = controls.mailbox(asked)
        return {mailbox.path(box): len(mailbox.by_folder[box.id]) for box in mailbox.walk()}

    def faults(asked: dict[str, Any]) -> Any:
        told = controls.faults
        return {"struck": dict(told.struck), "asked": dict(told.asked), "due": told.due()}

    return {
        "stats": stats, "mailboxes": mailboxes, "folders": folders, "dump": lambda asked: dump_lines(controls.mailbox(asked)),
        "faults": faults, "items": lambda asked: list_items(controls.mailbox(asked)),
    }  # fmt: skip


def _folders(mailbox: Mailbox) -> int:
    return sum(not box.hidden for box in mailbox.walk())


class ControlRefused(Exception):
    """The lab can't be reached, or refuses a wish; one sentence."""


class Control:
    """A client of a running lab, found by the lab's folder. Raises ControlRefused, from every method."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            held = json.loads((self.folder / LAB_FILE).read_text("utf-8"))
            self._token, parts = held["token"], urlsplit(held["control_url"])
            self._host, self._port = parts.hostname or "", parts.port or 443
            self._tls = ssl.create_default_context(cafile=str(self.folder / held["ca_file"]))
        except (OSError, ValueError, KeyError):
            raise ControlRefused(f"no lab runs with the folder {self.folder}; start one with --dir {self.folder}.") from None
        self.addresses: dict[str, Any] = {name: value for name, value in held.items() if name != "token"}

    def new(self, mailbox: str, folder: str | None = None, *, side: str = "source", **more: Any) -> str:
        """Let a message arrive, in the inbox unless a folder's path is named; returns its id. ``subject`` gives it one,
        ``attach`` an attachment of so many bytes, ``host`` names who handed it over."""
        where = {} if folder is None else {"folder": folder}
        return str(self._post("new", side=side, mailbox=mailbox, **where, **more)["item"])

    def edit(self, mailbox: str, item: str, *, side: str = "source", **changes: Any) -> None:
        """Change fields of an item (named by id or message id); its subject if none is given."""
        self._post("edit", side=side, mailbox=mailbox, item=item, changes=changes)

    def move(self, mailbox: str, item: str, folder: str, *, side: str = "source") -> str:
        """Move an item to the folder of that path or role; returns the id that it has then."""
        return str(self._post("move", side=side, mailbox=mailbox, item=item, folder=folder)["item"])

    def delete(self, mailbox: str, item: str, *, side: str = "source", hard: bool = False) -> None:
        """Delete an item: into the deleted items, or for good."""
        self._post("delete", side=side, mailbox=mailbox, item=item, hard=hard)

    def read(self, mailbox: str, item: str, *, side: str = "source", read: bool = True) -> None:
        """Mark an item as read or unread."""
        self._post("read", side=side, mailbox=mailbox, item=item, read=read)

    def churn(
        self, mailbox: str, *, side: str = "source", new: int = 0, edit: int = 0, move: int = 0, delete: int = 0, read: int = 0,
        seed: int = 1,
    ) -> dict[str, int]:  # fmt: skip
        """Change so many things as users would; returns how many of each kind were done."""
        found: dict[str, int] = self._post(
            "churn", side=side, mailbox=mailbox, new=new, edit=edit, move=move, delete=delete, read=read, seed=seed
        )
        return found

    def stats(self) -> dict[str, Any]:
        """Requests by kind, how many wrote, source folders, items by mailbox, and how much would have been e-mailed."""
        found: dict[str, Any] = self._get("stats")
        return found

    def mailboxes(self, side: str = "source") -> list[str]:
        """The addresses of one side."""
        found: list[str] = self._get("mailboxes", side=side)
        return found

    def folders(self, mailbox: str, side: str = "source") -> dict[str, int]:
        """How many items each folder holds, by path."""
        found: dict[str, int] = self._get("folders", side=side, mailbox=mailbox)
        return found

    def items(self, mailbox: str, side: str = "source") -> list[dict[str, Any]]:
        """What the mailbox holds: a row an item, as in a dump's items.json."""
        with self._ask("GET", f"items?{urlencode({'side': side, 'mailbox': mailbox})}") as answer:
            return [json.loads(line) for line in answer]

    def dump(self, mailbox: str, out: Path | str, side: str = "source") -> int:
        """Write what the mailbox holds into a folder; returns how many items there are."""
        with self._ask("GET", f"dump?{urlencode({'side': side, 'mailbox': mailbox})}") as answer:
            return write_dump(answer, Path(out))

    def arm(self, *, script: Sequence[Mapping[str, Any]] = (), **plan: Any) -> None:
        """Let things go wrong from now on; ``faults.FaultPlan`` says what a plan holds."""
        self._post("arm", script=list(script), **plan)

    def disarm(self) -> None:
        """Let nothing go wrong any more."""
        self._post("arm")

    def faults(self) -> dict[str, Any]:
        """What struck so far (``struck``, by kind), requests by face (``asked``), and what of the script is still ``due``."""
        found: dict[str, Any] = self._get("faults")
        return found

    def stop(self) -> None:
        """Let the lab end."""
        self._post("stop")

    def _get(self, word: str, **asked: str) -> Any:
        with self._ask("GET", f"{word}?{urlencode(asked)}") as answer:
            return json.loads(answer.read())

    def _post(self, word: str, **asked: Any) -> Any:
        with self._ask("POST", word, json.dumps(asked).encode()) as answer:
            return json.loads(answer.read())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=120, context=self._tls)
        try:
            connection.request(method, OWN + path, body, {_TOKEN: self._token, "Content-Type": "application/json"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ControlRefused(f"the lab of {self.folder} does not answer ({type(error).__name__}); is it running?") from None
        if response.status != 200:
            try:
                said = json.loads(response.read()).get("error", "")
            except ValueError:
                said = ""
            connection.close()
            raise ControlRefused(f"the lab refuses: {said or response.status}.")
        return _Answer(connection, response)


class _Answer:
    """An answer that closes its connection; iterates over lines."""

    def __init__(self, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def read(self) -> bytes:
        return self._response.read()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self._response.close()
        self._connection.close()
