"""Contacts by the compose lane, from server to server of the lab: every property arrives, or is named as what it lost.

Each row is one property of a contact at the source; it is looked for in the target's own store, so that a row fails when the lane
loses it in silence as well as when it says that it lost what arrived.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fidelity_world import Row, all_the_same

from connectors.graph.contacts import NOTES_LIMIT
from connectors.lab.exchange_properties import own_value, place_of
from connectors.lab.login import ROLES
from connectors.lab.oddities import ADDRESS
from connectors.lab.people import an_empty, make_path
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Mailbox, Part
from migrator import app, cli, config
from state.model import ItemState

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
COMMON = "{00062008-0000-0000-c000-000000000046}"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))
X500 = "/o=Contoso/ou=Exchange Administrative Group/cn=Recipients/cn=anna"

TEXTS = {
    "display-name": "String 0x3001", "given-name": "String 0x3A06", "middle-name": "String 0x3A44", "surname": "String 0x3A11",
    "title": "String 0x3A45", "generation": "String 0x3A05", "initials": "String 0x3A0A", "nickname": "String 0x3A4F",
    "file-as": f"String {ADDRESS} Id 0x8005", "phonetic-given-name": f"String {ADDRESS} Id 0x802C",
    "phonetic-surname": f"String {ADDRESS} Id 0x802D", "phonetic-company": f"String {ADDRESS} Id 0x802E",
    "company": "String 0x3A16", "department": "String 0x3A18", "job-title": "String 0x3A17", "office": "String 0x3A19",
    "profession": "String 0x3A46", "manager": "String 0x3A4E", "assistant": "String 0x3A30", "spouse": "String 0x3A48",
    "home-page": "String 0x3A51", "mobile-phone": "String 0x3A1C",
    "business-phone": "String 0x3A08", "business-phone-2": "String 0x3A1B",
    "home-phone": "String 0x3A09", "home-phone-2": "String 0x3A2F",
    "business-fax": "String 0x3A24", "home-fax": "String 0x3A25", "other-fax": "String 0x3A23",
    "assistant-phone": "String 0x3A2E", "callback-phone": "String 0x3A02", "car-phone": "String 0x3A1E",
    "company-phone": "String 0x3A57", "isdn": "String 0x3A2D", "other-phone": "String 0x3A1F", "pager": "String 0x3A21",
    "primary-phone": "String 0x3A1A", "radio-phone": "String 0x3A1D", "telex": "String 0x3A2C", "tty-phone": "String 0x3A4B",
    "hobbies": "String 0x3A43", "personal-home-page": "String 0x3A50", "ftp-site": "String 0x3A4C",
    "government-id": "String 0x3A07", "account": "String 0x3A00", "customer-id": "String 0x3A4A",
    "organisation-id": "String 0x3A10", "computer-network": "String 0x3A49", "language": "String 0x3A0C",
    "location": "String 0x3A0D", "referred-by": "String 0x3A47",
    "work-street": f"String {ADDRESS} Id 0x8045", "work-city": f"String {ADDRESS} Id 0x8046",
    "work-state": f"String {ADDRESS} Id 0x8047", "work-postal-code": f"String {ADDRESS} Id 0x8048",
    "work-country": f"String {ADDRESS} Id 0x8049",
    "home-street": "String 0x3A5D", "home-city": "String 0x3A59", "home-state": "String 0x3A5C",
    "home-postal-code": "String 0x3A5B", "home-country": "String 0x3A5A",
    "other-street": "String 0x3A63", "other-city": "String 0x3A5F", "other-state": "String 0x3A62",
    "other-postal-code": "String 0x3A61", "other-country": "String 0x3A60",
    "home-address-text": f"String {ADDRESS} Id 0x801A", "work-address-text": f"String {ADDRESS} Id 0x801B",
    "other-address-text": f"String {ADDRESS} Id 0x801C", "web-page": f"String {ADDRESS} Id 0x802B",
    "free-busy": f"String {ADDRESS} Id 0x80D8",
    "im-1": f"String {ADDRESS} Id 0x8062", "im-2": f"String {ADDRESS} Name AirSync:IMAddress2",
    "im-3": f"String {ADDRESS} Name AirSync:IMAddress3",
    "email-1-name": f"String {ADDRESS} Id 0x8080", "email-2-name": f"String {ADDRESS} Id 0x8090",
    "email-3-name": f"String {ADDRESS} Id 0x80A0", "email-1-original": f"String {ADDRESS} Id 0x8084",
    "user-field-1": f"String {ADDRESS} Id 0x804F", "user-field-2": f"String {ADDRESS} Id 0x8050",
    "user-field-3": f"String {ADDRESS} Id 0x8051", "user-field-4": f"String {ADDRESS} Id 0x8052",
    "mileage": f"String {COMMON} Id 0x8534", "billing": f"String {COMMON} Id 0x8535",
}  # fmt: skip
OTHERS: dict[str, tuple[str, Any]] = {
    "birthday": ("SystemTime 0x3A42", datetime(1970, 2, 3, 11, 59, tzinfo=UTC)),
    "anniversary": ("SystemTime 0x3A41", datetime(1999, 9, 9, 11, 59, tzinfo=UTC)),
    "gender": ("Short 0x3A4D", 1),
    "children": ("StringArray 0x3A58", ["Emil", "Zoë"]),
    "mailing-address": (f"Integer {ADDRESS} Id 0x8022", 2),
    "email-1": (f"String {ADDRESS} Id 0x8083", "anna@example.com"),
    "email-1-type": (f"String {ADDRESS} Id 0x8082", "SMTP"),
    "email-2": (f"String {ADDRESS} Id 0x8093", X500),
    "email-2-type": (f"String {ADDRESS} Id 0x8092", "EX"),
    "email-3": (f"String {ADDRESS} Id 0x80A3", "anna.private@example.net"),
}
LOST: dict[str, tuple[str, Any]] = {
    "user-property": ("String {00020329-0000-0000-c000-000000000046} Name Shoe size", "45"),
    "certificate": ("BinaryArray 0x3A70", [b"certificate"]),
}
OF_ITS_OWN = {"class", "subject", "submitted", "categories", "importance", "sensitivity", "notes", "photo"}
"""What is kept and looked for by tests of their own."""


def a_contact(name: str, **fields: Any) -> Item:
    given: dict[str, Any] = {"created": WHEN, "modified": WHEN, "submitted": WHEN, "is_read": True, **fields}
    extended = {"String 0x3001": name, **given.pop("extended", {})}
    return Item(item_class=given.pop("item_class", "IPM.Contact"), subject=name, extended=extended, **given)


def a_full_contact() -> Item:
    """A contact that has every property that both wires know."""
    extended: dict[str, object] = {key: f"{name} Ünïq 李" for name, key in TEXTS.items()}
    extended |= dict(OTHERS.values())
    found = a_contact("full", extended=extended, body_text="Line one\r\nLine two", categories=["Red", "Müller"])
    found.extended.update(LOST.values())
    found.subject, found.importance, found.sensitivity = "Another subject", 2, 2
    found.parts.append(Part("ContactPicture.jpg", "image/jpeg", JPEG, photo=True))
    return found


def odd_contacts() -> dict[str, Item]:
    """Contacts with something that the lane can't carry whole, by the name under which it says so."""
    return {
        "notes-formatting": a_contact("formatted", body_html="<html><body><p>a <b>bold</b> word</p></body></html>"),
        "follow-up": a_contact("flagged", extended={"Integer 0x1090": 2}),
        "contact-attachments": a_contact("attached", parts=[Part("plan.txt", "text/plain", b"plan")]),
        "photo": a_contact("png", parts=[Part("ContactPicture.png", "image/png", b"\x89PNG\r\n\x1a\n.", photo=True)]),
        "phone-order": a_contact("second", extended={"String 0x3A1B": "2"}),
        "characters": a_contact("chars", extended={"String 0x3A17": "Bo\x01ss"}),
        "notes": a_contact("talkative", body_text="n" * (NOTES_LIMIT + 1)),
    }


DEGRADED: dict[str, Callable[[Item], object]] = {
    "notes-formatting": lambda item: item.body_html,
    "follow-up": lambda item: item.extended.get("Integer 0x1090"),
    "contact-attachments": lambda item: len(item.parts),
    "photo": lambda item: len(item.parts),
    "phone-order": lambda item: item.extended.get("String 0x3A1B"),
    "characters": lambda item: item.extended.get("String 0x3A17"),
    "notes": lambda item: item.body_text,
}
"""What each of them has less, as both stores hold it."""


def simple_contacts() -> list[Item]:
    return [
        a_contact("nobody"),
        a_contact("", extended={"String 0x3A16": "Only a company"}),
        a_contact("special", item_class="IPM.Contact.Custom"),
        a_contact("third", extended={f"String {ADDRESS} Id 0x80A3": "third@example.com"}),
    ]


@dataclass
class Carried:
    """A mailbox whose contacts went through the compose lane, twice."""

    lab: Lab
    source: Mailbox
    target: Mailbox
    codes: list[int]
    degraded: dict[str, int]
    figures: dict[str, int] = field(default_factory=dict)

    def copy(self, name: str) -> Item:
        found = [item for item in self.target.items.values() if item.extended.get("String 0x3001", "") == name]
        assert len(found) == 1, f"{name}: {len(found)} copies"
        return found[0]


def filled() -> tuple[Estate, Mailbox]:
    """A mailbox of contacts, in the default folder and in one below it."""
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    home = mailbox.by_role("contacts")
    assert home is not None
    below = make_path(mailbox, [home.name, "Familie & Freunde"], "IPF.Contact")
    everybody = [a_full_contact(), *odd_contacts().values(), *simple_contacts()]
    for item in everybody:
        item.id, item.folder_id, item.search_key = f"p{len(mailbox.items):023}", home.id, b"k%015d" % len(mailbox.items)
        mailbox.add(item)
    lower = a_contact("below")
    lower.id, lower.folder_id, lower.search_key = "below" + "0" * 19, below.id, b"below search key"
    mailbox.add(lower)
    return estate, mailbox


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    estate, mailbox = filled()
    folder, unlawful = tmp_path_factory.mktemp("contacts"), {"illegal_characters": True}
    with Lab(LabPlan(folder=folder, source=estate, mailboxes=1, exchange=unlawful)) as lab:
        codes = [cli.run(["-c", str(lab.config_file), "run", "--lane", "compose"]) for _ in range(2)]
        target = next(iter(lab.target.mailboxes.values()))
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            runs = ledger.passes(ledger.mailboxes()[0].id)
        figures: Counter[str] = Counter()
        for run in runs:
            figures.update({name: int(value) for name, value in run.figures.items()})
        degraded = {name.removeprefix("degraded."): int(value) for name, value in figures.items() if name.startswith("degraded.")}
        yield Carried(lab, mailbox, target, codes, degraded, figures)


def _held(item: Item, key: str) -> object:
    place = place_of(key)
    assert place is not None, key
    return own_value(item.extended, place[0])


@pytest.mark.parametrize("name", [*TEXTS, *OTHERS])
def test_each_property_of_a_contact_arrives(carried: Carried, name: str) -> None:
    key = TEXTS.get(name) or OTHERS[name][0]
    ours = next(item for item in carried.source.items.values() if item.subject == "Another subject")
    copy = carried.copy(str(_held(ours, "String 0x3001")))
    assert _held(copy, key) == _held(ours, key)


def test_what_is_no_property_of_its_own_arrives_too(carried: Carried) -> None:
    ours = next(item for item in carried.source.items.values() if item.subject == "Another subject")
    copy = carried.copy(str(_held(ours, "String 0x3001")))
    assert (copy.subject, copy.categories, copy.importance, copy.sensitivity) == (
        ours.subject, ours.categories, ours.importance, ours.sensitivity,
    )  # fmt: skip
    assert (copy.body_text or "").splitlines() == (ours.body_text or "").splitlines()
    assert copy.submitted == ours.submitted
    assert [part.content for part in copy.parts if part.photo] == [JPEG]


@pytest.mark.parametrize("name", LOST)
def test_what_is_said_to_be_lost_is_lost(carried: Carried, name: str) -> None:
    ours = next(item for item in carried.source.items.values() if item.subject == "Another subject")
    assert _held(ours, LOST[name][0]) is not None
    assert _held(carried.copy(str(_held(ours, "String 0x3001"))), LOST[name][0]) is None


def test_search_key_and_time_of_creation_are_new(carried: Carried) -> None:
    ours = next(item for item in carried.source.items.values() if item.subject == "Another subject")
    copy = carried.copy(str(_held(ours, "String 0x3001")))
    assert copy.search_key != ours.search_key
    assert copy.created != ours.created


ROWS: set[Row] = {
    *(("compose", "contact", name, "kept") for name in (*TEXTS, *OTHERS, *OF_ITS_OWN)),
    *(("compose", "contact", name, "degraded") for name in DEGRADED),
    *(("compose", "contact", name, "lost") for name in (*LOST, "search-key", "created")),
    ("import", "contact", "every property", "kept"),
}


def test_every_contact_that_is_less_is_one_that_is_looked_at() -> None:
    assert odd_contacts().keys() == DEGRADED.keys()


@pytest.mark.parametrize("name", DEGRADED)
def test_what_is_said_to_be_less_is_less(carried: Carried, name: str) -> None:
    ours = odd_contacts()[name]
    assert DEGRADED[name](carried.copy(ours.subject)) != DEGRADED[name](ours)


def test_nothing_of_a_contact_is_less_by_the_import_lane(tmp_path: Path) -> None:
    estate, mailbox = filled()
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab:
        assert cli.run(["-c", str(lab.config_file), "run", "--lane", "import"]) == 0
        [target] = lab.target.mailboxes.values()
    all_the_same(mailbox, target)


@pytest.mark.parametrize("name", sorted(odd_contacts()))
def test_what_the_lane_can_not_carry_is_named_once(carried: Carried, name: str) -> None:
    assert carried.degraded.get(name) == 1


def test_nothing_else_is_named_as_lost(carried: Carried) -> None:
    assert set(carried.degraded) == set(odd_contacts())


def test_every_contact_is_there_once_with_a_whole_stamp_and_nobody_got_mail(carried: Carried) -> None:
    assert carried.codes == [0, 0]
    stamps = [str(value) for item in carried.target.items.values() for key, value in item.extended.items() if "Stamp" in key]
    assert len(stamps) == len(set(stamps)) == len(carried.source.items) == len(carried.target.items)
    assert not any(stamp.endswith("-partial") for stamp in stamps)
    assert carried.target.sent == []


def test_classes_below_that_of_contacts_and_names_that_are_empty_are_kept(carried: Carried) -> None:
    assert carried.copy("special").item_class == "IPM.Contact.Custom"
    nameless = [item for item in carried.target.items.values() if item.extended.get("String 0x3A16") == "Only a company"]
    assert [item.extended.get("String 0x3001", "") for item in nameless] == [""]


def test_a_lonely_third_address_stays_the_third(carried: Carried) -> None:
    copy = carried.copy("third")
    assert _held(copy, f"String {ADDRESS} Id 0x80A3") == "third@example.com"
    assert _held(copy, f"String {ADDRESS} Id 0x8083") is None


def test_folders_of_contacts_lie_below_the_default_one(carried: Carried) -> None:
    copy = carried.copy("below")
    box = carried.target.boxes[copy.folder_id]
    assert (box.name, box.kind) == ("Familie & Freunde", "IPF.Contact")
    parent = carried.target.boxes[box.parent_id or ""]
    assert parent.role == "contacts"


def test_the_source_is_asked_seldom(carried: Carried) -> None:
    asked = sum(value for name, value in carried.figures.items() if name in ("source.requests.GetItem", "requests.GetItem"))
    assert asked <= 0.12 * len(carried.source.items) + 1


def test_verification_finds_no_difference(carried: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = cli.run(["-c", str(carried.lab.config_file), "verify", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0, told


@pytest.mark.parametrize(("missing", "reason"), [("Contacts.", "no-contact-access"), ("MailboxFolder.", "no-folder-access")])
def test_an_app_without_the_permission_has_its_contacts_refused_by_name_and_all_else_carried(
    tmp_path: Path, missing: str, reason: str
) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    for number, (role, item) in enumerate(
        (("contacts", a_full_contact()), ("contacts", a_contact("plain")), ("inbox", a_mail()))
    ):
        box = mailbox.by_role(role)
        assert box is not None
        item.id, item.folder_id, item.search_key = f"d{number:023}", box.id, b"d%015d" % number
        mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab:
        lab.options[1].roles = tuple(role for role in ROLES if not role.startswith(missing))
        run = ["-c", str(lab.config_file), "run", "--lane"]
        assert cli.run([*run, "compose"]) == 2
        target = next(iter(lab.target.mailboxes.values()))
        assert [item.subject for item in target.items.values()] == ["mail"]
        with app.open_ledger(config.load(lab.config_file)) as ledger:
            refused = ledger.open_rows(ledger.mailboxes()[0].id, {ItemState.REFUSED})
            assert {opened.reason for _, opened in refused} == {reason}
        if missing != "Contacts.":
            return  # nor do streams find a place to go to
        assert cli.run(["-c", str(lab.config_file), "errors", "retry", "--all", "--why", "by streams"]) == 0
        assert cli.run([*run, "import"]) == 0
        assert len(target.items) == 3
        assert cli.run(["-c", str(lab.config_file), "verify", "--deep"]) == 0


def a_mail() -> Item:
    return Item(
        subject="mail",
        body_text="x",
        submitted=WHEN,
        received=WHEN,
        created=WHEN,
        modified=WHEN,
        message_id="<m@x>",
        is_read=True,
    )


def test_a_contact_whose_answer_was_lost_is_found_again_and_not_written_twice(tmp_path: Path) -> None:
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    home = mailbox.by_role("contacts")
    assert home is not None
    for number, item in enumerate((a_full_contact(), *odd_contacts().values(), *simple_contacts())):
        item.id, item.folder_id, item.search_key = f"l{number:023}", home.id, b"l%015d" % number
        mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path, source=estate, mailboxes=1)) as lab:
        options = lab.options[1]
        options.commit_after_timeout = 0.05
        run = ["-c", str(lab.config_file), "run", "--lane", "compose"]
        cli.run(run)
        options.commit_after_timeout = 0.0
        assert cli.run(run) == 0
        target = next(iter(lab.target.mailboxes.values()))
        stamps = [str(value) for item in target.items.values() for key, value in item.extended.items() if "Stamp" in key]
        # Half a copy whose answer was lost may stay; nobody takes it for the contact.
        whole = [stamp for stamp in stamps if not stamp.endswith("-partial")]
        assert len(whole) == len(set(whole)) == len(mailbox.items)
        assert target.sent == []
