"""Nobody hears of a migration: whatever users do with meetings and with mail that asks for receipts, in either lane, over
several passes. The simulated tenant writes down everything that a real one would e-mail; and whoever asks it the forbidden way
is written down, which is what shows that it would have been.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.graph.client import GraphClient
from connectors.graph.silence import ForbiddenRequest
from connectors.lab import churn
from connectors.lab.oddities import APPOINTMENT
from connectors.lab.people import make_path
from connectors.lab.server import CLIENT_ID, TENANT_ID, Lab, LabPlan
from connectors.lab.tenant_calendar import people_of
from connectors.lab.truth import Item, Person, seeded_bytes
from migrator import app
from migrator.config import load
from state.store import Ledger

WHEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
OUTSIDERS = [Person("Olga Outside", "olga@outside.example"), Person("Otto Outside", "otto@outside.example")]
OWN = Person("Anna Becker", "anna.becker@contoso.test")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path, mailboxes=1, items=0)) as lab:
        yield lab


class Story:
    """One mailbox of people who meet and mail with the outside, carried by the real command."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        [self.source] = lab.source.mailboxes.values()
        [self.target] = lab.target.mailboxes.values()
        self.items: dict[str, Item] = {}
        with self.source.lock:
            self.other_calendar = make_path(self.source, ["Team calendar"], "IPF.Appointment")
            self.other_folder = make_path(self.source, ["Projects"])

    def meet(self, *names: str) -> None:
        """A meeting that the mailbox's owner called, with people from outside."""
        for name in names:
            start = WHEN + timedelta(days=len(self.items))
            meeting = {
                f"SystemTime {APPOINTMENT} Id 0x820D": start,
                f"SystemTime {APPOINTMENT} Id 0x820E": start + timedelta(hours=1),
                f"Integer {APPOINTMENT} Id 0x8217": 1,
            }
            self._put(name, "calendar", item_class="IPM.Appointment", to=OUTSIDERS, extended=meeting, is_read=True, sender=OWN)

    def mail(self, *names: str, is_read: bool) -> None:
        """A mail from outside whose sender wants to know when it is read."""
        for name in names:
            self._put(
                name, "inbox", sender=OUTSIDERS[0], author=OUTSIDERS[0], to=[OWN], wants_read_receipt=True, is_read=is_read,
                message_id=f"<{name}@outside.example>",
            )  # fmt: skip

    def _put(self, name: str, role: str, **fields: Any) -> None:
        number = len(self.items)
        moment = WHEN + timedelta(minutes=number)
        box = self.source.by_role(role)
        assert box is not None
        item = Item(
            id=seeded_bytes("silence", name, length=12).hex(), folder_id=box.id, subject=name, body_text=f"About {name}.",
            search_key=seeded_bytes("key", name), submitted=moment, received=moment, created=moment, modified=moment, **fields,
        )  # fmt: skip
        with self.source.lock:
            self.items[name] = self.source.add(item)

    def edit(self, *names: str) -> None:
        for name in names:
            churn.edit(self.items[name], self.source, {"subject": f"{name}, changed"})

    def move(self, *names: str) -> None:
        for name in names:
            item = self.items[name]
            to = self.other_calendar if item.item_class == "IPM.Appointment" else self.other_folder
            self.items[name] = churn.move(item, self.source, to, "source")

    def read(self, *names: str, is_read: bool = True) -> None:
        for name in names:
            churn.read(self.items[name], self.source, is_read)

    def delete(self, *names: str, hard: bool) -> None:
        for name in names:
            churn.delete(self.items[name], self.source, "source", hard=hard)

    def told(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "migrator", "-c", str(self.lab.config_file), "--json", *words]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=100)
        assert done.returncode in (0, 2), done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def carry(self, lane: str) -> Counter[str]:
        """One pass; nobody may have been told anything after it."""
        [mailbox] = self.told("run", "--lane", lane)["mailboxes"]
        assert self.source.sent + self.target.sent == []
        return Counter(mailbox["figures"])

    def reasons(self) -> Counter[str]:
        """What is listed as not done, by its reason."""
        with Ledger.open(load(self.lab.config_file).ledger.url) as ledger:
            return Counter(one.reason for one in ledger.refusals())


def everybody_at_work(lab: Lab, lanes: tuple[str, str, str]) -> tuple[Story, Counter[str]]:
    """Three passes over what people do with meetings and with mail that asks for receipts; adds up what the passes did."""
    story = Story(lab)
    story.meet("stays", "edited", "moved", "gone", "binned", "edited twice", "goes later")
    story.mail("unread stays", "unread edited", "unread moved", "unread to read", "unread gone", "unread binned", is_read=False)
    story.mail("read stays", "read edited", "read moved", "read to unread", "read gone", "read binned", is_read=True)
    figures = story.carry(lanes[0])
    story.edit("edited", "edited twice", "unread edited", "read edited")
    story.move("moved", "unread moved", "read moved")
    story.read("unread to read")
    story.read("read to unread", is_read=False)
    story.delete("gone", "unread gone", "read gone", hard=True)
    story.delete("binned", "unread binned", "read binned", hard=False)
    story.meet("new meeting")
    story.mail("new mail", is_read=False)
    figures += story.carry(lanes[1])
    story.edit("edited twice", "moved", "unread moved")
    story.read("unread edited", "new mail")
    story.read("unread to read", is_read=False)
    story.delete("goes later", "read to unread", "new meeting", hard=True)
    figures += story.carry(lanes[2])
    return story, figures


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("lanes", "listed", "unread"),
    [
        (("import",) * 3, {"could-send-cancellation": 5, "could-send-receipt": 2}, 2),
        (("compose",) * 3, {"not-a-calendar": 1, "could-send-receipt": 4}, 1),
        (
            ("import", "compose", "compose"),
            {"no-lane": 5, "not-a-calendar": 1, "could-send-cancellation": 4, "could-send-receipt": 2},
            1,
        ),
    ],
    ids=["import", "compose", "imported, then composed"],
)
def test_nobody_hears_of_meetings_and_receipts_whatever_users_do(
    lab: Lab, lanes: tuple[str, str, str], listed: dict[str, int], unread: int
) -> None:
    story, figures = everybody_at_work(lab, lanes)
    assert story.reasons() == listed, "what can't go in silence is listed by its reason"
    assert figures["withheld"] == sum(number for reason, number in listed.items() if reason.startswith("could-send"))
    assert figures["created"] >= 13
    assert min(figures[word] for word in ("moved", "flagged", "removed")) >= 1, "and what can go in silence was carried"
    verdict = story.told("verify")
    [mailbox] = verdict["mailboxes"]
    counted = mailbox["figures"]
    assert verdict["differences"] == 0, mailbox["differences"]
    assert counted["source"] == len(story.source.items)
    assert counted["withheld"] == figures["withheld"]
    # Read at the source since; marking the copies read would tell their senders.
    assert counted["flag_withheld"] == unread
    assert not next(item.is_read for item in story.target.items.values() if item.subject == "new mail")
    meetings = [item for item in story.target.items.values() if item.item_class == "IPM.Appointment"]
    assert meetings
    if lanes[-1] == "import":
        assert all(item.to for item in meetings), "a meeting without people could not have told anybody"
    if lanes[0] == "compose":
        assert not any(people_of(item) for item in meetings)
        assert all("olga@outside.example" in (item.body_text or "") for item in meetings), "people are kept as text"
    figures = story.carry(lanes[2])
    assert sum(figures[word] for word in ("created", "updated", "moved", "flagged", "removed", "withheld")) == 0


# ---- the guard at the last door, by itself


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("lab"), mailboxes=1, items=0)) as lab:
        yield lab


@pytest.fixture(scope="module")
def client(shared_lab: Lab) -> Iterator[GraphClient]:
    """The product's own client, as the product makes it."""
    with app.Connected(load(shared_lab.config_file), threading.Event()) as connected:
        yield connected.client


@pytest.fixture(scope="module")
def plain(shared_lab: Lab) -> Iterator[requests.Session]:
    """Any HTTP client with the app's token."""
    with requests.Session() as session:
        session.verify, session.trust_env = str(shared_lab.ca_file), False
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": shared_lab.secret, "scope": "x"}
        answer = session.post(f"{shared_lab.authority}/{TENANT_ID}/oauth2/v2.0/token", data=form, timeout=20)
        session.headers.update({"Authorization": f"Bearer {answer.json()['access_token']}", "Prefer": 'IdType="ImmutableId"'})
        yield session


@pytest.fixture
def places(shared_lab: Lab) -> dict[str, str]:
    """Ids for the paths: a meeting with people from outside and an unread mail whose sender wants to know, both just there."""
    [mailbox] = shared_lab.target.mailboxes.values()
    found = {"user": f"/users/{mailbox.address}", "admin": f"/admin/exchange/mailboxes/MBX:{mailbox.guid}@{TENANT_ID}"}
    with mailbox.lock:
        for item_id in list(mailbox.items):
            mailbox.remove(item_id)
        mailbox.sent.clear()
        for name, role, item in (
            ("event", "calendar", Item(item_class="IPM.Appointment", subject="meeting", to=OUTSIDERS)),
            ("mail", "inbox", Item(subject="mail", author=OUTSIDERS[0], sender=OUTSIDERS[0], wants_read_receipt=True)),
        ):
            box = mailbox.by_role(role)
            assert box is not None
            item.id, item.folder_id, item.search_key = seeded_bytes(name, mailbox.clock).hex(), box.id, seeded_bytes(name)
            found[name] = mailbox.add(item).id
    return found


MEETING = {"subject": "x", "attendees": [{"emailAddress": {"address": OUTSIDERS[0].address}}]}
FORWARDING = {
    "displayName": "x",
    "sequence": 1,
    "actions": {"forwardTo": [{"emailAddress": {"address": OUTSIDERS[0].address}}]},
}
FILE = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "x", "contentBytes": "eA=="}
FORBIDDEN: list[tuple[str, str, object, str]] = [
    ("POST", "{user}/sendMail", {"message": {"subject": "x"}}, "mail"),
    ("POST", "{user}/messages/{mail}/send", None, "mail"),
    ("POST", "{user}/messages/{mail}/reply", {}, "mail"),
    ("POST", "{user}/messages/{mail}/replyAll", {}, "mail"),
    ("POST", "{user}/messages/{mail}/forward", {}, "mail"),
    ("POST", "{user}/events", MEETING, "invitation"),
    ("POST", "{user}/calendar/events", MEETING, "invitation"),
    ("POST", "{user}/calendars/calendar/events", MEETING, "invitation"),
    ("PATCH", "{user}/events/{event}", {"subject": "later"}, "update"),
    ("POST", "{user}/events/{event}/attachments", FILE, "update"),
    ("DELETE", "{user}/events/{event}", None, "cancellation"),
    ("DELETE", "{user}/calendars/calendar", None, "cancellation"),
    ("DELETE", "{admin}/folders/calendar/items/{event}", None, "cancellation"),
    ("POST", "{user}/events/{event}/accept", {}, "meeting accept"),
    ("POST", "{user}/events/{event}/decline", {}, "meeting decline"),
    ("POST", "{user}/events/{event}/tentativelyAccept", {}, "meeting tentativelyaccept"),
    ("POST", "{user}/events/{event}/cancel", {}, "meeting cancel"),
    ("POST", "{user}/events/{event}/forward", {}, "meeting forward"),
    ("POST", "{user}/calendar/calendarPermissions", {"role": "read"}, "sharing invitation"),
    ("PATCH", "{user}/messages/{mail}", {"isRead": True}, "read receipt"),
    ("DELETE", "{user}/messages/{mail}", None, "not-read receipt"),
    ("DELETE", "{admin}/folders/inbox/items/{mail}", None, "not-read receipt"),
    ("PATCH", "{user}/calendar/calendarPermissions/RGVmYXVsdA==", {"role": "read"}, "sharing invitation"),
    ("POST", "{user}/mailFolders/inbox/messageRules", FORWARDING, "forwarding rule"),
    ("PATCH", "{user}/mailboxSettings", {"automaticRepliesSetting": {"status": "alwaysEnabled"}}, "automatic replies"),
]
"""Every request of the interface that e-mails somebody, and what the tenant writes down when it comes."""

Sender = Callable[[str, str, object], None]


def wire_id(plain: requests.Session, lab: Lab, places: dict[str, str], name: str) -> str:
    """The id by which a path names the item of ``places``."""
    where = f"{places['admin']}/folders/{'calendar' if name == 'event' else 'inbox'}/items"
    [found] = plain.get(f"{lab.graph_url}/v1.0{where}", timeout=20).json()["value"]
    return str(found["id"])


@pytest.fixture
def path_of(shared_lab: Lab, plain: requests.Session, places: dict[str, str]) -> Callable[[str], str]:
    ids = {name: wire_id(plain, shared_lab, places, name) for name in ("event", "mail")}
    return lambda template: template.format(**{**places, **ids})


def sent(lab: Lab) -> list[str]:
    return [str(one["kind"]) for mailbox in lab.target.mailboxes.values() for one in mailbox.sent]


@pytest.mark.parametrize(("method", "template", "body", "kind"), FORBIDDEN, ids=lambda value: str(value)[:60])
def test_what_would_be_e_mailed_never_leaves_though_the_tenant_would_take_it(
    shared_lab: Lab,
    client: GraphClient,
    plain: requests.Session,
    path_of: Callable[[str], str],
    method: str,
    template: str,
    body: object,
    kind: str,
) -> None:
    [mailbox] = shared_lab.target.mailboxes
    path, content = path_of(template), None if body is None else json.dumps(body).encode()
    before = Counter(shared_lab.seen.requests)
    with pytest.raises(ForbiddenRequest):
        client.run(client.ask(mailbox, method, path, kind="forbidden", body=content))
    part = {"id": "1", "method": method, "url": path, **({} if body is None else {"body": body})}
    with pytest.raises(ForbiddenRequest):
        client.run(client.ask(mailbox, "POST", "/$batch", kind="batch", body=json.dumps({"requests": [part]}).encode()))
    assert Counter(shared_lab.seen.requests) == before, "nothing left"
    assert sent(shared_lab) == []
    answer = plain.request(method, f"{shared_lab.graph_url}/v1.0{path}", json=body, timeout=20)
    assert answer.status_code < 300, answer.text
    assert sent(shared_lab) == [kind], "the same request from elsewhere is carried out, and somebody is told"


def test_the_tenants_own_routes_that_send_are_all_in_the_list() -> None:
    from connectors.lab.tenant_sending import SENDING

    tried = [
        (method, "/v1.0" + template.format(user="/users/u", admin="/a", event="e", mail="m"))
        for method, template, *_ in FORBIDDEN
    ]
    for route in SENDING:
        assert any(method == route.method and route.path.match(path) for method, path in tried), route.path.pattern
