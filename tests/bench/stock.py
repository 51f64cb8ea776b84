"""Two contestants: what a Python engineer would write from the documentation, with exchangelib and the vendor's SDK.

    stock.py FOLDER raw|models import|compose

``raw`` posts through the SDK's request adapter (``send_primitive_async``), ``models`` fills the SDK's models and lets it send
them. For the import URL, which answers outside Graph's address space, the SDK has no model: there both build a request of their
own, ``models`` with the HTTP client that the SDK brings along. Nothing is remembered, looked up or repeated beyond what the
libraries do by themselves. Four posts are under way at once, and exports are in lots of 20.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDERS = ("inbox", "sentitems", "deleteditems")
LOT = 20
SMALL = 3_000_000
"""Bytes of attachments above which they go through an upload session [learn.microsoft.com/graph/outlook-large-attachments]."""


class Source:
    """One mailbox through exchangelib."""

    def __init__(self, config: dict[str, Any], folder: Path, address: str) -> None:
        from exchangelib import IMPERSONATION, Account, Configuration, Credentials, Version
        from exchangelib.transport import BASIC
        from exchangelib.version import EXCHANGE_2016

        section = config["source"]
        credentials = Credentials(section["username"], (folder / "source-password.txt").read_text().strip())
        server = Configuration(
            service_endpoint=section["url"], credentials=credentials, auth_type=BASIC, version=Version(EXCHANGE_2016)
        )
        self.account = Account(address, config=server, access_type=IMPERSONATION, autodiscover=False)
        self.folders = {"inbox": self.account.inbox, "sentitems": self.account.sent, "deleteditems": self.account.trash}

    def exported(self, name: str) -> Iterator[list[str]]:
        ids = [(item.id, item.changekey) for item in self.folders[name].all().only("id", "changekey")]
        for at in range(0, len(ids), LOT):
            yield list(self.account.export(ids[at : at + LOT]))

    def messages(self, name: str) -> Iterator[list[Any]]:
        found = list(self.folders[name].all().only("id", "changekey"))
        for at in range(0, len(found), LOT):
            lot = list(self.account.fetch(found[at : at + LOT]))
            for item in lot:
                for part in item.attachments:
                    part.content  # noqa: B018 - reading it fetches it
            yield lot


class Target:
    """One mailbox through the SDK."""

    def __init__(self, config: dict[str, Any], folder: Path, address: str) -> None:
        import httpx
        from azure.identity import ClientSecretCredential
        from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
        from msgraph.graph_request_adapter import GraphRequestAdapter, options
        from msgraph.graph_service_client import GraphServiceClient
        from msgraph_core import GraphClientFactory

        tenant = config["target"]
        self.credential = ClientSecretCredential(
            tenant["tenant_id"], tenant["client_id"], (folder / "target-secret.txt").read_text().strip(),
            authority=tenant["authority"], disable_instance_discovery=True,
        )  # fmt: skip
        host = tenant["graph_url"]
        provider = AzureIdentityAuthenticationProvider(
            self.credential, scopes=[f"{host}/.default"], allowed_hosts=[urlsplit(host).hostname or ""]
        )
        self.http = httpx.AsyncClient(verify=str(folder / "ca.pem"), timeout=100)
        self.bare = httpx.AsyncClient(verify=str(folder / "ca.pem"), timeout=100)
        self.adapter = GraphRequestAdapter(
            provider, GraphClientFactory.create_with_default_middleware(options=options, client=self.http, host=host)
        )
        self.root = self.adapter.base_url = f"{host}/v1.0"
        self.graph = GraphServiceClient(request_adapter=self.adapter)
        self.address = address
        self.requests = 0
        self.import_url = ""

    async def place(self, name: str) -> str:
        self.requests += 1
        found = await self.graph.users.by_user_id(self.address).mail_folders.by_mail_folder_id(name).get()
        return str(found.id)  # type: ignore[union-attr]

    async def open_import(self) -> None:
        mailbox = json.loads(await self.send("GET", f"{self.root}/users/{self.address}/settings/exchange"))["primaryMailboxId"]
        self.requests += 1
        session = await self.graph.admin.exchange.mailboxes.by_mailbox_id(mailbox).create_import_session.post()
        self.import_url = str(session.import_url)  # type: ignore[union-attr]

    async def send(self, method: str, url: str, body: Any = None) -> bytes:
        """The raw way: a request of one's own through the SDK's adapter."""
        from kiota_abstractions.method import Method
        from kiota_abstractions.request_information import RequestInformation

        self.requests += 1
        asked = RequestInformation()
        asked.http_method, asked.url = Method(method), url
        if body is not None:
            asked.set_stream_content(json.dumps(body).encode(), "application/json")
        asked.headers.try_add("Accept", "application/json")
        return await self.adapter.send_primitive_async(asked, "bytes", {})  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self.http.aclose()
        await self.bare.aclose()
        self.credential.close()


async def import_raw(target: Target, place: str, stream: str) -> None:
    await target.send("POST", target.import_url, {"FolderId": place, "Mode": "create", "Data": stream})


async def import_models(target: Target, place: str, stream: str) -> None:
    target.requests += 1
    answer = await target.bare.post(target.import_url, json={"FolderId": place, "Mode": "create", "Data": stream})
    answer.raise_for_status()


STAMPS = (("SystemTime 0x0039", "datetime_sent"), ("SystemTime 0x0E06", "datetime_received"))


async def compose_raw(target: Target, place: str, item: Any) -> None:
    def people(found: Any) -> list[dict[str, Any]]:
        return [{"emailAddress": {"name": one.name, "address": one.email_address}} for one in found or ()]

    parts = list(item.attachments)
    inline = sum(len(part.content) for part in parts) <= SMALL
    body = {
        "subject": item.subject, "internetMessageId": item.message_id, "isRead": item.is_read,
        "body": {"contentType": "html" if type(item.body).__name__ == "HTMLBody" else "text", "content": str(item.body)},
        "from": people([item.author])[0], "sender": people([item.sender])[0], "toRecipients": people(item.to_recipients),
        "singleValueExtendedProperties": [
            {"id": "Integer 0x0E07", "value": "1"},
            *({"id": name, "value": getattr(item, field).isoformat()} for name, field in STAMPS),
        ],
    }  # fmt: skip
    if parts and inline:
        body["attachments"] = [
            {
                "@odata.type": "#microsoft.graph.fileAttachment", "name": part.name, "contentType": part.content_type,
                "contentBytes": base64.b64encode(part.content).decode(),
            }
            for part in parts
        ]  # fmt: skip
    made = json.loads(await target.send("POST", f"{target.root}/users/{target.address}/mailFolders/{place}/messages", body))
    for part in () if inline else parts:
        await upload(target, made["id"], part)


async def compose_models(target: Target, place: str, item: Any) -> None:
    from msgraph.generated.models.body_type import BodyType
    from msgraph.generated.models.email_address import EmailAddress
    from msgraph.generated.models.file_attachment import FileAttachment
    from msgraph.generated.models.item_body import ItemBody
    from msgraph.generated.models.message import Message
    from msgraph.generated.models.recipient import Recipient
    from msgraph.generated.models.single_value_legacy_extended_property import SingleValueLegacyExtendedProperty as Property

    def person(one: Any) -> Recipient:
        return Recipient(email_address=EmailAddress(name=one.name, address=one.email_address))

    parts = list(item.attachments)
    inline = sum(len(part.content) for part in parts) <= SMALL
    kind = BodyType.Html if type(item.body).__name__ == "HTMLBody" else BodyType.Text
    dates = [Property(id=name, value=getattr(item, field).isoformat()) for name, field in STAMPS]
    message = Message(
        subject=item.subject, internet_message_id=item.message_id, is_read=item.is_read, from_=person(item.author),
        sender=person(item.sender), to_recipients=[person(one) for one in item.to_recipients or ()],
        body=ItemBody(content_type=kind, content=str(item.body)),
        single_value_extended_properties=[Property(id="Integer 0x0E07", value="1"), *dates],
    )  # fmt: skip
    if parts and inline:
        message.attachments = [
            FileAttachment(
                odata_type="#microsoft.graph.fileAttachment", name=part.name, content_type=part.content_type,
                content_bytes=base64.b64encode(part.content),
            )
            for part in parts
        ]  # fmt: skip
    target.requests += 1
    folder = target.graph.users.by_user_id(target.address).mail_folders.by_mail_folder_id(place)
    made = await folder.messages.post(message)
    for part in () if inline else parts:
        await upload(target, str(made.id), part)  # type: ignore[union-attr]


async def upload(target: Target, message: str, part: Any) -> None:
    """A large attachment in pieces, as the documentation shows."""
    wish = {"AttachmentItem": {"attachmentType": "file", "name": part.name, "size": len(part.content)}}
    url = f"{target.root}/users/{target.address}/messages/{message}/attachments/createUploadSession"
    session = json.loads(await target.send("POST", url, wish))
    piece = 3_932_160
    for at in range(0, len(part.content), piece):
        chunk = part.content[at : at + piece]
        target.requests += 1
        span = f"bytes {at}-{at + len(chunk) - 1}/{len(part.content)}"
        answer = await target.bare.put(session["uploadUrl"], content=chunk, headers={"Content-Range": span})
        answer.raise_for_status()


async def carry(config: dict[str, Any], folder: Path, address: str, place: str, way: str, lane: str) -> dict[str, Any]:
    source, target = Source(config, folder, address), Target(config, folder, place)
    send: Callable[[Target, str, Any], Awaitable[None]]
    send = {
        "import raw": import_raw, "import models": import_models, "compose raw": compose_raw, "compose models": compose_models,
    }[f"{lane} {way}"]  # fmt: skip
    if lane == "import":
        await target.open_import()
    done, slots = 0, asyncio.Semaphore(4)

    async def one(where: str, item: Any) -> None:
        async with slots:
            await send(target, where, item)

    for name in FOLDERS:
        where = await target.place(name)
        lots = source.exported(name) if lane == "import" else source.messages(name)
        while (lot := await asyncio.to_thread(next, lots, None)) is not None:
            await asyncio.gather(*(one(where, item) for item in lot))
            done += len(lot)
    await target.close()
    source.account.protocol.close()
    return {"items": done, "source requests": 0, "target requests": target.requests}


def main(folder: Path, way: str, lane: str) -> int:
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    config = tomllib.loads((folder / "lab.toml").read_text())
    told: dict[str, Any] = {}
    for line in (folder / "waves.csv").read_text().split()[1:]:
        _, address, place = line.split(",")[:3]
        began, wall = time.process_time(), time.perf_counter()
        told = asyncio.run(carry(config, folder, address, place, way, lane))
        told |= {"cpu": time.process_time() - began, "seconds": time.perf_counter() - wall}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
