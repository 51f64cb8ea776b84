"""One contestant: the floor. The leanest script over the same libraries that moves the same bytes over the same wires.

No ledger, no look-ups, no pacing, no second thought: it lists ids, exports batches in a second thread, finds the data with a
search for bytes, and keeps four posts under way. It prints a hash over what the tenant confirmed, so that it can't cheat.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import requests

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
FOLDERS = {"inbox": "inbox", "sentitems": "sentitems", "deleteditems": "deleteditems"}
BATCH, BYTES = 20, 8_000_000
DATA = re.compile(rb"<m:Data>([^<]*)</m:Data>")


class Source:
    def __init__(self, config: dict[str, Any], folder: Path, address: str) -> None:
        section = config["source"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(folder / "ca.pem")
        self.session.auth = (section["username"], (folder / "source-password.txt").read_text().strip())
        self.session.headers["Content-Type"] = "text/xml; charset=utf-8"
        self.url, self.address, self.requests = section["url"], address, 0

    def ask(self, body: str) -> bytes:
        self.requests += 1
        answer = self.session.post(self.url, ENVELOPE.format(address=self.address, body=body).encode())
        answer.raise_for_status()
        return answer.content

    def ids(self, folder: str) -> list[str]:
        found: list[str] = []
        state = ""
        while True:
            answer = self.ask(SYNC.format(folder=folder, state=state)).decode()
            found += re.findall(r'<t:ItemId Id="([^"]+)"', answer)
            if ">true</m:IncludesLastItemInRange>" in answer:
                return found
            state = f"<m:SyncState>{re.search('<m:SyncState>([^<]*)', answer)[1]}</m:SyncState>"  # type: ignore[index]

    def export(self, ids: list[str]) -> list[bytes]:
        named = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
        return DATA.findall(self.ask(f"<m:ExportItems><m:ItemIds>{named}</m:ItemIds></m:ExportItems>"))


async def carry(config: dict[str, Any], folder: Path, source: Source, target: str, per_batch: int) -> dict[str, Any]:
    tenant = config["target"]
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    sent = posts = 0
    confirmed = hashlib.sha256()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        form = {
            "client_id": tenant["client_id"], "client_secret": (folder / "target-secret.txt").read_text().strip(),
            "grant_type": "client_credentials", "scope": tenant["graph_url"] + "/.default",
        }  # fmt: skip
        async with session.post(f"{tenant['authority']}/{tenant['tenant_id']}/oauth2/v2.0/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}

        async def get(path: str, method: str = "GET") -> Any:
            async with session.request(method, tenant["graph_url"] + path, headers=headers) as answer:
                answer.raise_for_status()
                return await answer.json()

        mailbox = (await get(f"/v1.0/users/{target}/settings/exchange"))["primaryMailboxId"]
        url = (await get(f"/v1.0/admin/exchange/mailboxes/{mailbox}/createImportSession", "POST"))["importUrl"]
        places = {name: (await get(f"/v1.0/users/{target}/mailFolders/{name}"))["id"] for name in FOLDERS}
        slots = asyncio.Semaphore(4)

        async def post(place: str, data: bytes) -> None:
            nonlocal sent, posts
            head = b'{"FolderId":"' + place.encode() + b'","Mode":"create","Data":"'
            body = b"".join((head, data, b'"}'))
            async with slots, session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                told = await answer.read()
                if answer.status >= 300:
                    raise SystemExit(f"the floor was refused: {answer.status}")
            sent, posts = sent + len(body), posts + 1
            confirmed.update(json.loads(told)["itemId"].encode())

        loop = asyncio.get_running_loop()
        for name, place in places.items():
            ids = await loop.run_in_executor(None, source.ids, name)
            batches = [ids[at : at + per_batch] for at in range(0, len(ids), per_batch)]
            ahead = loop.run_in_executor(None, source.export, batches[0]) if batches else None
            for number in range(len(batches)):
                assert ahead is not None
                streams = await ahead
                ahead = loop.run_in_executor(None, source.export, batches[number + 1]) if number + 1 < len(batches) else None
                await asyncio.gather(*(post(place, stream) for stream in streams))
    return {"items": posts, "sent": sent, "confirmed": confirmed.hexdigest()[:16]}


def main(folder: Path, size: int) -> int:
    config = tomllib.loads((folder / "lab.toml").read_text())
    lines = (folder / "waves.csv").read_text().split()[1:]
    per_batch = max(1, min(BATCH, BYTES // max(1, size)))
    for line in lines:
        _, address, target = line.split(",")[:3]
        source = Source(config, folder, address)
        began, wall = time.process_time(), time.perf_counter()
        told = asyncio.run(carry(config, folder, source, target, per_batch))
        told |= {"cpu": time.process_time() - began, "seconds": time.perf_counter() - wall, "source requests": source.requests}
        source.session.close()
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
