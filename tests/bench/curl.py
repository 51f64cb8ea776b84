"""One contestant: the limit. libcurl by way of pycurl and a search for bytes; lists, lots and posts as the floor has them.

One thread exports, one lot ahead; four threads post. What is left out is what the floor leaves out. It shows how much of the
floor is the price of the HTTP libraries, which this project has chosen for being what everybody knows.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pycurl
from floor import BATCH, BYTES, ENVELOPE, FOLDERS, Asks


class Wire:
    """A connection that is kept. One thread at a time."""

    def __init__(self, folder: Path, *headers: str, user: str = "") -> None:
        self.curl, self.requests = pycurl.Curl(), 0
        self.curl.setopt(pycurl.CAINFO, str(folder / "ca.pem"))
        self.curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])
        if user:
            self.curl.setopt(pycurl.USERPWD, user.encode())
            self.curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)

    def ask(self, url: str, body: bytes | None = None, method: str = "") -> bytes:
        self.requests += 1
        heard = BytesIO()
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.WRITEDATA, heard)
        if body is None:
            curl.setopt(pycurl.HTTPGET, 1)
        else:
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
            curl.setopt(pycurl.POSTFIELDS, body)
        curl.perform()
        if (status := curl.getinfo(pycurl.RESPONSE_CODE)) >= 300:
            raise SystemExit(f"curl was refused: {status}")
        return heard.getvalue()


class Source(Asks):
    def __init__(self, config: dict[str, Any], folder: Path, address: str) -> None:
        section = config["source"]
        user = f"{section['username']}:{(folder / 'source-password.txt').read_text().strip()}"
        self.wire = Wire(folder, "Content-Type: text/xml; charset=utf-8", user=user)
        self.url, self.address = section["url"], address

    def ask(self, body: str) -> bytes:
        return self.wire.ask(self.url, ENVELOPE.format(address=self.address, body=body).encode())


def carry(config: dict[str, Any], folder: Path, address: str, place: str, lot: int) -> tuple[int, int, int]:
    """Items, requests to the source, requests to the target."""
    tenant, source = config["target"], Source(config, folder, address)
    secret = (folder / "target-secret.txt").read_text().strip()
    form = {"client_id": tenant["client_id"], "client_secret": secret, "grant_type": "client_credentials"}
    signing = urlencode({**form, "scope": tenant["graph_url"] + "/.default"}).encode()
    token = json.loads(Wire(folder).ask(f"{tenant['authority']}/{tenant['tenant_id']}/oauth2/v2.0/token", signing))[
        "access_token"
    ]
    graph, root = Wire(folder, f"Authorization: Bearer {token}"), tenant["graph_url"] + "/v1.0"
    mailbox = json.loads(graph.ask(f"{root}/users/{place}/settings/exchange"))["primaryMailboxId"]
    url = json.loads(graph.ask(f"{root}/admin/exchange/mailboxes/{mailbox}/createImportSession", b""))["importUrl"]
    posters = [Wire(folder, "Content-Type: application/json") for _ in range(4)]
    done = 0

    def post_all(wire: Wire, head: bytes, streams: list[memoryview]) -> None:
        while True:
            try:
                stream = streams.pop()
            except IndexError:
                return
            json.loads(wire.ask(url, b"".join((head, stream, b'"}'))))["itemId"]

    with ThreadPoolExecutor(5) as threads:
        for name in FOLDERS:
            where = json.loads(graph.ask(f"{root}/users/{place}/mailFolders/{name}"))["id"]
            head = b'{"FolderId":"' + where.encode() + b'","Mode":"create","Data":"'
            ids = source.ids(name)
            ahead: Future[list[memoryview]] = threads.submit(source.export, ids[:lot])
            for at in range(lot, len(ids) + lot, lot):
                streams = ahead.result()
                done += len(streams)
                ahead = threads.submit(source.export, ids[at : at + lot])
                for one in [threads.submit(post_all, wire, head, streams) for wire in posters]:
                    one.result()
    return done, source.wire.requests, graph.requests + sum(wire.requests for wire in posters)


def main(folder: Path, size: int) -> int:
    config = tomllib.loads((folder / "lab.toml").read_text())
    lot = max(1, min(BATCH, BYTES // max(1, size)))
    told: dict[str, Any] = {}
    for line in (folder / "waves.csv").read_text().split()[1:]:
        _, address, place = line.split(",")[:3]
        began, wall = time.process_time(), time.perf_counter()
        items, asked, sent = carry(config, folder, address, place, lot)
        told = {"cpu": time.process_time() - began, "seconds": time.perf_counter() - wall}
        told |= {"items": items, "source requests": asked, "target requests": sent}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
