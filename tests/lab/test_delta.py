"""Delta queries of the tenant: everything first, then only what happened since."""

from __future__ import annotations

import pytest
import requests

from connectors.lab.server import CLIENT_ID, TENANT_ID, Lab, LabPlan
from connectors.lab.truth import Item


@pytest.fixture(scope="module")
def lab() -> Lab:  # type: ignore[misc]
    with Lab(LabPlan(mailboxes=1, items=5)) as lab:
        yield lab


@pytest.fixture(scope="module")
def session(lab: Lab) -> requests.Session:  # type: ignore[misc]
    with requests.Session() as session:
        session.verify, session.trust_env = str(lab.ca_file), False
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": lab.secret, "scope": "x"}
        token = session.post(f"{lab.authority}/{TENANT_ID}/oauth2/v2.0/token", data=form).json()["access_token"]
        session.headers.update({"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId", odata.maxpagesize=2'})
        yield session


def rounds(session: requests.Session, link: str) -> tuple[list[dict], str]:  # type: ignore[type-arg]
    """All pages of one round, and the link for the next."""
    rows = []
    while True:
        page = session.get(link).json()
        rows += page["value"]
        if "@odata.deltaLink" in page:
            return rows, page["@odata.deltaLink"]
        link = page["@odata.nextLink"]


@pytest.mark.parametrize(
    "face", ["users/{user}/mailFolders/inbox/messages", "admin/exchange/mailboxes/{box}/folders/inbox/items"]
)
def test_a_folder_tells_everything_and_then_only_the_news(lab: Lab, session: requests.Session, face: str) -> None:
    [mailbox] = lab.target.mailboxes.values()
    inbox = mailbox.by_role("inbox")
    assert inbox is not None
    with mailbox.lock:
        items = [mailbox.add(Item(id=f"{face[:5]}{n}", folder_id=inbox.id, subject=f"m{n}")) for n in range(5)]
    path = face.format(user=mailbox.address, box=f"MBX:{mailbox.guid}@{TENANT_ID}")
    first, link = rounds(session, f"{lab.graph_url}/v1.0/{path}/delta")
    assert len(first) >= 5
    assert rounds(session, link)[0] == []
    with mailbox.lock:
        mailbox.remove(items[0].id)
        mailbox.touch(items[1])
        new = mailbox.add(Item(id=f"{face[:5]}new", folder_id=inbox.id))
    news, _ = rounds(session, link)
    assert [("@removed" in row) for row in news] == [True, False, False]
    assert news[0]["id"] in {row["id"] for row in first}
    assert new.id not in {row["id"] for row in first}


def test_the_folder_tree_tells_its_news(lab: Lab, session: requests.Session) -> None:
    [mailbox] = lab.target.mailboxes.values()
    root = f"{lab.graph_url}/v1.0/users/{mailbox.address}/mailFolders"
    first, link = rounds(session, f"{root}/delta")
    made = session.post(root, json={"displayName": "New"}).json()
    assert len(first) == len(mailbox.boxes) - 2
    assert [row["id"] for row in rounds(session, link)[0]] == [made["id"]]
    assert session.delete(f"{root}/{made['id']}").status_code == 204
    assert rounds(session, link)[0] == [{"id": made["id"], "@removed": {"reason": "deleted"}}]


def test_a_foreign_token_is_dead(lab: Lab, session: requests.Session) -> None:
    [mailbox] = lab.target.mailboxes.values()
    answer = session.get(f"{lab.graph_url}/v1.0/users/{mailbox.address}/mailFolders/delta?$deltatoken=abc")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "SyncStateNotFound")
