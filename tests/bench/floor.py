"""One contestant: the floor. The leanest script over the same libraries that moves the same bytes over the same wires.

It lists ids, exports lots in a second thread (one ahead, so that as much is in memory as the engine may hold), reads each answer
in one piece, cuts the streams out with a search for one byte, never decodes them, and keeps four posts under way. An item of 4 MB
and more goes through a file, because the engine may not have it in memory either. TLS, kept connections and the size of a lot are
the engine's. It prints a hash over the bytes that arrived at it and left it again, and one
over what the tenant confirmed, so that it can't cheat.

What it leaves out, and no migration may: a ledger, look-ups, pacing, retries, time-outs, checks of answers and streams, a token
that ends, a session that ends, folders other than three, and any second thought about an item.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import aiohttp
import requests
from requests.adapters import HTTPAdapter
from yarl import URL

ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Header>'
    '<t:RequestServerVersion Version="Exchange2016"/><t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}'
    "</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header><s:Body>{body}</s:Body></s:Envelope>"
)
SYNC = (
    "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:SyncFolderId>"
    '<t:DistinguishedFolderId Id="{folder}"/></m:SyncFolderId>{state}<m:MaxChangesReturned>512</m:MaxChangesReturned>'
    "</m:SyncFolderItems>"
)
FOLDERS = ("inbox", "sentitems", "deleteditems")
BATCH, BYTES = 100, 8_000_000
OPENING = b"<m:Data>"
JSON = {"Content-Type": "application/json"}
PATIENT = aiohttp.ClientTimeout()
STREAM_FROM, PIECE = 1024 * 1024, 256 * 1024
"""A larger body in one piece would hold the loop up; the engine streams it as well."""
FILE_FROM = 4_000_000
"""Bytes of an item that may not be in memory, as in the engine."""


class Spooled:
    """The stream of one item in a file, which serves the next one afterwards."""

    def __init__(self, file: IO[bytes], idle: list[IO[bytes]]) -> None:
        self.file, self.idle, self.size = file, idle, 0

    def __len__(self) -> int:
        return self.size

    def write(self, piece: bytes) -> None:
        self.size += self.file.write(piece)

    def pieces(self) -> Iterator[bytes]:
        self.file.seek(0)
        left = self.size
        while left:
            piece = self.file.read(min(left, PIECE))
            left -= len(piece)
            yield piece
        self.idle.append(self.file)


class TrustingAdapter(HTTPAdapter):
    """The TLS setup is loaded once a process."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self.context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self.context}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None: ...


class Asks:
    """What floor and curl ask a source alike; how, by ``ask``."""

    def ask(self, body: str) -> bytes:
        raise NotImplementedError

    def ids(self, folder: str) -> list[str]:
        found: list[str] = []
        state = ""
        while True:
            answer = self.ask(SYNC.format(folder=folder, state=state)).decode()
            found += re.findall(r'<t:ItemId Id="([^"]+)"', answer)
            if ">true</m:IncludesLastItemInRange>" in answer:
                return found
            state = f"<m:SyncState>{re.search('<m:SyncState>([^<]*)', answer)[1]}</m:SyncState>"  # type: ignore[index]

    def export(self, ids: list[str]) -> list[memoryview]:
        if not ids:
            return []
        named = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
        return list(streams_in(self.ask(f"<m:ExportItems><m:ItemIds>{named}</m:ItemIds></m:ExportItems>")))


class Source(Asks):
    def __init__(self, config: dict[str, Any], folder: Path, context: ssl.SSLContext, address: str) -> None:
        section = config["source"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("https://", TrustingAdapter(context))
        self.session.auth = (section["username"], (folder / "source-password.txt").read_text().strip())
        self.session.headers.update({"Content-Type": "text/xml; charset=utf-8", "Accept-Encoding": "identity"})
        self.url, self.address, self.requests = section["url"], address, 0
        self.idle: list[IO[bytes]] = []

    def ask(self, body: str) -> bytes:
        self.requests += 1
        text = ENVELOPE.format(address=self.address, body=body).encode()
        with self.session.post(self.url, text, stream=True) as answer:
            answer.raise_for_status()
            return answer.raw.read()  # type: ignore[no-any-return]

    def spool(self, id_: str) -> Spooled:
        """One item, its stream written to a file as it comes."""
        self.requests += 1
        body = f'<m:ExportItems><m:ItemIds><t:ItemId Id="{id_}"/></m:ItemIds></m:ExportItems>'
        file = self.idle.pop() if self.idle else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is kept for the next item
        file.seek(0)
        found, ended = Spooled(file, self.idle), False
        head: bytes | None = b""
        with self.session.post(self.url, ENVELOPE.format(address=self.address, body=body).encode(), stream=True) as answer:
            answer.raise_for_status()
            for piece in answer.raw.stream(PIECE, decode_content=False):
                if head is not None:
                    head += piece
                    begin = head.find(OPENING)
                    if begin < 0:
                        continue
                    piece, head = head[begin + len(OPENING) :], None
                if not ended:
                    end = piece.find(b"<")
                    ended = end >= 0
                    found.write(piece[:end] if ended else piece)
        return found


def streams_in(answer: bytes) -> Iterator[memoryview]:
    """The text of every Data element, not copied. One byte is found several times as fast as a closing tag."""
    view = memoryview(answer)
    at = answer.find(OPENING)
    while at >= 0:
        at += len(OPENING)
        end = answer.find(b"<", at)
        yield view[at:end]
        at = answer.find(OPENING, end)


async def pieces_of(*parts: bytes | memoryview | Spooled) -> Any:
    for part in parts:
        if isinstance(part, Spooled):
            for piece in part.pieces():
                yield piece
            continue
        view = memoryview(part)
        for at in range(0, len(part), PIECE):
            yield bytes(view[at : at + PIECE])


class Target:
    """One HTTP session, and what is known of one mailbox."""

    def __init__(self, session: aiohttp.ClientSession, config: dict[str, Any]) -> None:
        self.session, self.url = session, config["target"]["graph_url"]
        self.headers: dict[str, str] = {}
        self.import_url = URL("")
        self.sent = self.posts = self.requests = 0

    async def sign_in(self, config: dict[str, Any], folder: Path) -> None:
        tenant = config["target"]
        form = {
            "client_id": tenant["client_id"], "client_secret": (folder / "target-secret.txt").read_text().strip(),
            "grant_type": "client_credentials", "scope": tenant["graph_url"] + "/.default",
        }  # fmt: skip
        async with self.session.post(f"{tenant['authority']}/{tenant['tenant_id']}/oauth2/v2.0/token", data=form) as answer:
            self.headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

    async def ask(self, path: str, method: str = "GET") -> Any:
        self.requests += 1
        async with self.session.request(method, self.url + path, headers=self.headers) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def open(self, address: str) -> dict[str, str]:
        """The ids of the folders; begins an import session."""
        mailbox = (await self.ask(f"/v1.0/users/{address}/settings/exchange"))["primaryMailboxId"]
        session = await self.ask(f"/v1.0/admin/exchange/mailboxes/{mailbox}/createImportSession", "POST")
        self.import_url = URL(session["importUrl"], encoded=True)
        return {name: (await self.ask(f"/v1.0/users/{address}/mailFolders/{name}"))["id"] for name in FOLDERS}

    async def post_all(self, head: bytes, streams: list[memoryview] | list[Spooled]) -> None:
        """Post until nothing is left; several of these share a list."""
        while streams:
            stream = streams.pop()
            size = len(head) + len(stream) + 2
            headers, body = JSON, None
            if size < STREAM_FROM and not isinstance(stream, Spooled):
                body = b"".join((head, stream, b'"}'))
            else:
                headers = {**JSON, "Content-Length": str(size)}
            async with self.session.post(self.import_url, data=body or pieces_of(head, stream, b'"}'), headers=headers) as answer:
                if answer.status >= 300:
                    raise SystemExit(f"the floor was refused: {answer.status}")
                json.loads(await answer.read())["itemId"]
            self.sent, self.posts, self.requests = self.sent + size, self.posts + 1, self.requests + 1


async def carry(
    config: dict[str, Any], folder: Path, context: ssl.SSLContext, source: Source, address: str, lot: int, large: bool
) -> Target:
    loop = asyncio.get_running_loop()

    def fetch(ids: list[str]) -> list[memoryview] | list[Spooled]:
        return [source.spool(one) for one in ids] if large else source.export(ids)

    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=PATIENT) as session:
        target = Target(session, config)
        await target.sign_in(config, folder)
        for name, place in (await target.open(address)).items():
            head = b'{"FolderId":"' + place.encode() + b'","Mode":"create","Data":"'
            ids = await loop.run_in_executor(None, source.ids, name)
            ahead = loop.run_in_executor(None, fetch, ids[:lot])
            for at in range(lot, len(ids) + lot, lot):
                streams = await ahead
                ahead = loop.run_in_executor(None, fetch, ids[at : at + lot])
                await asyncio.gather(*(target.post_all(head, streams) for _ in range(4)))
            await ahead
    return target


def main(folder: Path, size: int) -> int:
    config = tomllib.loads((folder / "lab.toml").read_text())
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    lot = max(1, min(BATCH, BYTES // max(1, size)))
    items = sent = asked = told = 0
    cpu = seconds = 0.0
    for number, line in enumerate((folder / "waves.csv").read_text().split()[1:]):
        _, address, place = line.split(",")[:3]
        source = Source(config, folder, context, address)
        began, wall = time.process_time(), time.perf_counter()
        target = asyncio.run(carry(config, folder, context, source, place, lot, size >= FILE_FROM))
        if number:  # the first is there to warm up on
            cpu, seconds = cpu + time.process_time() - began, seconds + time.perf_counter() - wall
            items, sent = items + target.posts, sent + target.sent
            asked, told = asked + source.requests, told + target.requests
        source.session.close()
        for file in source.idle:
            file.close()
    found = {"items": items, "cpu": cpu, "seconds": seconds, "sent": sent, "source requests": asked, "target requests": told}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
