"""Deep verification over both servers of the lab: it finds nothing where nothing differs, and names whatever was altered.

The proof is by mutation: a small mailbox is carried, then one property after the other is altered in the target, behind
everybody's back, and exactly that one has to be named.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fidelity_world import Row

from connectors.lab.faults import FaultPlan
from connectors.lab.oddities import ADDRESS, APPOINTMENT
from connectors.lab.people import an_empty
from connectors.lab.server import Lab, LabPlan
from connectors.lab.truth import Estate, Item, Part, Person
from connectors.reading import ATTACHMENT_PROPERTIES, PROPERTIES
from migrator import app, cli, config
from migrator.checking.deep import DeepJob, DeepVerdict, verify_content
from migrator.checking.verify import Difference

WHEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
TASK, NOTE = "{00062003-0000-0000-c000-000000000046}", "{0006200e-0000-0000-c000-000000000046}"
INNER = (
    b"From: inner@nested.example\r\nSubject: Inside\r\nMessage-ID: <inside@nested.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nWithin.\r\n"
)


def a_rich_mail() -> Item:
    """A message that has every property that is compared."""
    return Item(
        subject="Offer & demand",
        body_html='<html><body><p>Good <b>morning</b></p><a href="https://example.com/a">there</a></body></html>',
        sender=Person("Søren Ødegård", "soren@fjord.example"),
        author=Person("O'Brien, Pat", "pat@dublin.example"),
        to=[Person("Anna", "anna@contoso.test"), Person("", "ben@contoso.test")],
        cc=[Person("Clara", "clara@contoso.test")],
        bcc=[Person("Dora", "dora@contoso.test")],
        reply_to=[Person("Answers", "answers@contoso.test")],
        message_id="<rich@contoso.test>",
        in_reply_to="<before@contoso.test>",
        references="<first@contoso.test> <before@contoso.test>",
        headers="Received: from a by b;\r\n\tThu, 4 Mar 2021 05:06:07 +0000\r\nX-Mailer: Example 7\r\nX-Other: no matter\r\n",
        search_key=b"rich mail search",
        submitted=WHEN,
        received=WHEN + timedelta(seconds=3),
        created=WHEN + timedelta(seconds=4),
        modified=WHEN + timedelta(seconds=5),
        is_read=True,
        importance=2,
        sensitivity=2,
        categories=["Red", "Müller & Söhne"],
        flag="flagged",
        flag_start=WHEN + timedelta(days=1),
        flag_due=WHEN + timedelta(days=3),
        wants_read_receipt=True,
        wants_delivery_receipt=True,
        extended={"Integer 0x1080": 261, "Integer 0x1081": 102},
        parts=[
            Part("offer.pdf", "application/pdf", b"%PDF-1.4 offer"),
            Part("logo.png", "image/png", b"\x89PNG logo", inline=True, content_id="logo@contoso"),
            Part("Inside", "message/rfc822", INNER, kind="message"),
        ],
    )


def a_done_mail() -> Item:
    return Item(
        subject="Done", body_text="All done.\r\n\r\nBye", message_id="<done@contoso.test>", search_key=b"done mail search",
        author=Person("Anna", "anna@contoso.test"), submitted=WHEN, received=WHEN, created=WHEN, modified=WHEN,
        flag="complete", flag_completed=WHEN + timedelta(days=2),
    )  # fmt: skip


def others() -> dict[str, Item]:
    """Items that are no messages, by the role of their folder."""
    common: dict[str, Any] = {"created": WHEN, "modified": WHEN, "submitted": WHEN, "is_read": True}
    return {
        "calendar": Item(
            item_class="IPM.Appointment", subject="Meeting", body_text="Bring the plan", search_key=b"a", **common,
            extended={
                f"SystemTime {APPOINTMENT} Id 0x820D": WHEN, f"SystemTime {APPOINTMENT} Id 0x820E": WHEN + timedelta(hours=1),
                f"String {APPOINTMENT} Id 0x8208": "Room 3", f"Integer {APPOINTMENT} Id 0x8205": 2,
                f"Boolean {APPOINTMENT} Id 0x8215": True, f"String {APPOINTMENT} Id 0x8232": "every day",
                f"Boolean {APPOINTMENT} Id 0x8223": True, f"Integer {APPOINTMENT} Id 0x8217": 0,
            },
        ),
        "contacts": Item(
            item_class="IPM.Contact", subject="Ben Bank", search_key=b"b", **common,
            parts=[Part("ContactPicture.jpg", "image/jpeg", b"\xff\xd8\xff\xe0 Ben", photo=True)],
            extended={
                "String 0x3A06": "Ben", "String 0x3A11": "Bank", "String 0x3001": "Ben Bank", "String 0x3A08": "+49 221 555 0100",
                "String 0x3A16": "Bank & Co", "String 0x3A17": "Clerk", f"String {ADDRESS} Id 0x8083": "ben@bank.example",
                "SystemTime 0x3A42": WHEN - timedelta(days=9000), f"String {ADDRESS} Id 0x801B": "1 Road\r\nTown",
            },
        ),
        "tasks": Item(
            item_class="IPM.Task", subject="Tidy", body_text="Everything", search_key=b"c", **common,
            extended={f"Integer {TASK} Id 0x8101": 1, f"Boolean {TASK} Id 0x811C": True, f"Double {TASK} Id 0x8102": 0.5},
        ),
        "notes": Item(
            item_class="IPM.StickyNote", subject="Milk", body_text="Milk\r\nBread", search_key=b"d", **common,
            extended={f"Integer {NOTE} Id 0x8B00": 3},
        ),
    }  # fmt: skip


class Carried:
    """Mailboxes that were carried by one lane, and the checker over them."""

    def __init__(self, lab: Lab, lane: str, resources: ExitStack) -> None:
        self.lab, self.lane = lab, lane
        loaded = config.load(lab.config_file)
        self.code = cli.run(["-c", str(lab.config_file), "run", "--lane", lane])
        self.ledger = resources.enter_context(app.open_ledger(loaded))
        stop = threading.Event()
        connected = resources.enter_context(app.Connected(loaded, stop))
        self._sides = [
            (
                row.id,
                resources.enter_context(closing(connected.source(row, stop))),
                resources.enter_context(closing(connected.source_reader(row, stop))),
                resources.enter_context(closing(connected.destination_reader(row, stop))),
            )
            for row in self.ledger.mailboxes()
        ]

    def item(self, subject: str) -> Item:
        """The copy with that subject in the first mailbox."""
        target = next(iter(self.lab.target.mailboxes.values()))
        return next(item for item in target.items.values() if item.subject == subject)

    def check(self, sample: int | None = None) -> DeepVerdict:
        """Deep verification of all mailboxes, as one verdict."""
        differences: list[Difference] = []
        figures: Counter[str] = Counter()
        for mailbox_id, source, ours, theirs in self._sides:
            verdict = verify_content(
                DeepJob(
                    ledger=self.ledger,
                    mailbox_id=mailbox_id,
                    source=source,
                    source_reader=ours,
                    destination_reader=theirs,
                    sample=sample,
                )
            )
            differences += verdict.differences
            figures.update(verdict.figures)
        return DeepVerdict(tuple(differences), dict(figures))

    def named(self) -> list[str]:
        """The names of all that differs."""
        return sorted({one.what for one in self.check().differences})


@pytest.fixture(scope="module", params=["import", "compose"])
def carried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """The rich mailbox, at the other side; compose carries what has a resource of its own."""
    estate = Estate()
    mailbox = estate.add(an_empty(0, 1))
    items = {"inbox": [a_rich_mail(), a_done_mail()]}
    items |= {role: [item] for role, item in others().items()}
    if request.param == "compose":
        # What an export stream carries, however it contradicts itself, is not what a calendar shows of it.
        for number in (0x8215, 0x8223):
            del items["calendar"][0].extended[f"Boolean {APPOINTMENT} Id 0x{number:X}"]
        del items["calendar"][0].extended[f"String {APPOINTMENT} Id 0x8232"]
    for role, some in items.items():
        box = mailbox.by_role(role)
        assert box is not None
        for item in some:
            item.id, item.folder_id = f"deep{len(mailbox.items):020}", box.id
            mailbox.add(item)
    with Lab(LabPlan(folder=tmp_path_factory.mktemp("deep"), source=estate, mailboxes=1)) as lab, ExitStack() as resources:
        yield Carried(lab, request.param, resources)


Change = Callable[[Item], None]


def setting(name: str, value: object) -> Change:
    return lambda item: setattr(item, name, value)


def part(number: int, name: str, value: object) -> Change:
    return lambda item: setattr(item.parts[number], name, value)


def more(key: str, value: object) -> Change:
    return lambda item: item.extended.__setitem__(key, value)


def first(people: str, name: str, value: str) -> Change:
    return lambda item: setattr(getattr(item, people)[0], name, value)


RICH: list[tuple[str, Change]] = [
    ("class", setting("item_class", "IPM.Note.Custom")),
    ("subject", setting("subject", "Offer & demands")),
    ("text", lambda item: setattr(item, "body_html", item.body_html.replace("morning", "evening"))),  # type: ignore[union-attr]
    ("html", lambda item: setattr(item, "body_html", item.body_html.replace("b>", "i>"))),  # type: ignore[union-attr]
    ("html", lambda item: setattr(item, "body_html", item.body_html.replace("com/a", "com/b"))),  # type: ignore[union-attr]
    ("from", lambda item: setattr(item.author, "address", "patricia@dublin.example")),
    ("sender", lambda item: setattr(item.sender, "address", "sven@fjord.example")),
    ("to", lambda item: item.to.pop()),  # type: ignore[list-item]
    ("to", first("to", "address", "hanna@contoso.test")),
    ("cc", first("cc", "address", "carla@contoso.test")),
    ("bcc", lambda item: item.bcc.clear()),
    ("reply-to", first("reply_to", "address", "questions@contoso.test")),
    ("names", first("to", "name", "Hanna")),
    ("names", lambda item: setattr(item.author, "name", "Pat")),
    ("message-id", setting("message_id", "<poor@contoso.test>")),
    ("in-reply-to", setting("in_reply_to", "<after@contoso.test>")),
    ("references", setting("references", "<first@contoso.test>")),
    ("headers", lambda item: setattr(item, "headers", item.headers.replace("Example 7", "Example 8"))),  # type: ignore[union-attr]
    ("headers", setting("headers", None)),
    ("submitted", setting("submitted", WHEN + timedelta(seconds=60))),
    ("submitted", setting("submitted", None)),
    ("received", setting("received", WHEN - timedelta(hours=1))),
    ("importance", setting("importance", 1)),
    ("sensitivity", setting("sensitivity", 0)),
    ("categories", setting("categories", ["Red"])),
    ("read", setting("is_read", False)),
    ("draft", setting("is_draft", True)),
    ("read-receipt", setting("wants_read_receipt", False)),
    ("delivery-receipt", setting("wants_delivery_receipt", False)),
    ("flag", setting("flag", "notFlagged")),
    ("flag-start", setting("flag_start", WHEN + timedelta(days=2))),
    ("flag-due", setting("flag_due", WHEN + timedelta(days=4))),
    ("icon", more("Integer 0x1080", 262)),
    ("last-verb", more("Integer 0x1081", 104)),
    ("attachment-missing", lambda item: item.parts.pop(0)),  # type: ignore[list-item]
    ("attachment-missing", lambda item: item.parts.pop(2)),  # type: ignore[list-item]
    ("attachment-surplus", lambda item: item.parts.append(Part("more.txt", "text/plain", b"more"))),
    ("attachment-name", part(0, "name", "demand.pdf")),
    ("attachment-type", part(0, "content_type", "application/octet-stream")),
    ("attachment-size", part(0, "content", b"%PDF-1.4 offers")),
    ("attachment-content", part(0, "content", b"%PDF-1.5 offer")),
    ("attachment-content", part(2, "content", INNER.replace(b"Within", b"Beyond"))),
    ("attachment-inline", part(1, "inline", False)),
    ("attachment-content-id", part(1, "content_id", "picture@contoso")),
]

OTHERS: list[tuple[str, str, Change]] = [
    ("Meeting", "class", setting("item_class", "IPM.Appointment.Custom")),
    ("Meeting", "subject", setting("subject", "Meetings")),
    ("Meeting", "text", setting("body_text", "Bring the plans")),
    ("Meeting", "categories", setting("categories", ["Blue"])),
    ("Meeting", "importance", setting("importance", 2)),
    ("Meeting", "sensitivity", setting("sensitivity", 2)),
    ("Meeting", "start", more(f"SystemTime {APPOINTMENT} Id 0x820D", WHEN + timedelta(hours=1))),
    ("Meeting", "end", more(f"SystemTime {APPOINTMENT} Id 0x820E", WHEN + timedelta(hours=2))),
    ("Meeting", "all-day", more(f"Boolean {APPOINTMENT} Id 0x8215", False)),
    ("Meeting", "location", more(f"String {APPOINTMENT} Id 0x8208", "Room 4")),
    ("Meeting", "shown-as", more(f"Integer {APPOINTMENT} Id 0x8205", 3)),
    ("Meeting", "recurrence", more(f"String {APPOINTMENT} Id 0x8232", "every week")),
    ("Meeting", "recurring", more(f"Boolean {APPOINTMENT} Id 0x8223", False)),
    ("Ben Bank", "given-name", more("String 0x3A06", "Benjamin")),
    ("Ben Bank", "surname", more("String 0x3A11", "Banks")),
    ("Ben Bank", "display-name", more("String 0x3001", "Bank, Ben")),
    ("Ben Bank", "business-phone", more("String 0x3A08", "+49 221 555 0101")),
    ("Ben Bank", "company", more("String 0x3A16", "Bank")),
    ("Ben Bank", "job-title", more("String 0x3A17", "Boss")),
    ("Ben Bank", "email-1", more(f"String {ADDRESS} Id 0x8083", "benjamin@bank.example")),
    ("Ben Bank", "birthday", more("SystemTime 0x3A42", WHEN)),
    ("Ben Bank", "work-address", more(f"String {ADDRESS} Id 0x801B", "2 Road\r\nTown")),
    ("Ben Bank", "mobile-phone", more("String 0x3A1C", "+49 170 5550100")),
    ("Ben Bank", "photo", part(0, "content", b"\xff\xd8\xff\xe0 Ken")),
    ("Ben Bank", "photo", lambda item: item.parts.clear()),
    ("Tidy", "task-status", more(f"Integer {TASK} Id 0x8101", 2)),
    ("Tidy", "task-complete", more(f"Boolean {TASK} Id 0x811C", False)),
    ("Tidy", "task-percent", more(f"Double {TASK} Id 0x8102", 0.75)),
    ("Tidy", "task-due", more(f"SystemTime {TASK} Id 0x8105", WHEN)),
    ("Milk", "note-color", more(f"Integer {NOTE} Id 0x8B00", 4)),
    ("Milk", "text", setting("body_text", "Milk\r\nButter")),
]  # fmt: skip


def altered(carried: Carried, subject: str, change: Change) -> list[str]:
    """What deep verification names after a change behind everybody's back, which is taken back."""
    item = carried.item(subject)
    before = copy.deepcopy(item)
    change(item)
    try:
        return carried.named()
    finally:
        for name in Item.__slots__:
            setattr(item, name, getattr(before, name))


def test_nothing_differs_where_nothing_was_altered(carried: Carried) -> None:
    verdict = carried.check()
    assert verdict.differences == ()
    items = {"import": 6, "compose": 3 + len(COMPOSED)}[carried.lane]
    assert verdict.figures["compared"] == verdict.figures["equal"] == items
    # Half done and complete at once is a thing that To Do has no word for; the lane says so.
    explained = {"import": set(), "compose": {"explained.task-complete"}}[carried.lane]
    assert {word for word in verdict.figures if word.startswith("explained.")} == explained


@pytest.mark.parametrize(("name", "change"), RICH, ids=[f"{number}-{name}" for number, (name, _) in enumerate(RICH)])
def test_what_is_altered_in_a_message_is_named_and_nothing_else(carried: Carried, name: str, change: Change) -> None:
    assert altered(carried, "Offer & demand", change) == [name]


def test_another_day_of_completion_is_named(carried: Carried) -> None:
    assert altered(carried, "Done", setting("flag_completed", WHEN)) == ["flag-completed"]


COMPOSED = ("Ben Bank", "Tidy")
"""Subjects of those of them that the compose lane carries."""

NOT_IN_TO_DO = ("task-percent", "task-complete")
"""What a task of To Do does not show, or not apart from its status."""


@pytest.mark.parametrize("carried", ["compose"], indirect=True)
@pytest.mark.parametrize(
    ("subject", "name", "change"),
    [one for one in OTHERS if one[0] in COMPOSED and one[1] not in NOT_IN_TO_DO],
    ids=[f"{subject}-{name}" for subject, name, _ in OTHERS if subject in COMPOSED and name not in NOT_IN_TO_DO],
)
def test_what_is_altered_in_what_was_composed_is_named_and_nothing_else(
    carried: Carried, subject: str, name: str, change: Change
) -> None:
    assert altered(carried, subject, change) == [name]


@pytest.mark.parametrize("carried", ["import"], indirect=True)  # the compose lane carries not all of them
@pytest.mark.parametrize(
    ("subject", "name", "change"), OTHERS, ids=[f"{number}-{one[0]}-{one[1]}" for number, one in enumerate(OTHERS)]
)
def test_what_is_altered_in_other_items_is_named_and_nothing_else(
    carried: Carried, subject: str, name: str, change: Change
) -> None:
    assert altered(carried, subject, change) == [name]


@pytest.fixture(scope="module", params=["import", "compose"])
def nasty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """Sample mailboxes with every oddity that the lab knows."""
    plan = LabPlan(folder=tmp_path_factory.mktemp("nasty"), mailboxes=3, items=120)
    with Lab(plan) as lab, ExitStack() as resources:
        yield Carried(lab, request.param, resources)


@pytest.mark.timeout(600)
def test_the_nasty_mailboxes_arrive_without_an_unexplained_difference(nasty: Carried) -> None:
    verdict = nasty.check()
    assert verdict.differences == ()
    assert verdict.figures["compared"] > 250


@pytest.mark.timeout(600)
def test_a_hostile_wire_makes_no_difference(nasty: Carried) -> None:
    before = nasty.check(sample=30)
    nasty.lab.faults.arm(FaultPlan(share=0.08, seed=7, slow=0.01, wait=0.01))
    try:
        assert nasty.check(sample=30) == before
    finally:
        nasty.lab.faults.disarm()


def test_a_sample_is_always_the_same_and_no_larger_than_asked_for(nasty: Carried) -> None:
    first, second = nasty.check(sample=20), nasty.check(sample=20)
    assert first == second
    assert first.figures["compared"] == 60


CORPUS = Path(os.environ.get("MIGRATOR_CORPUS", Path(__file__).parents[3] / "shared" / "corpus" / "eml"))

ODD = {
    "bare": "Subject: Bare\n\nJust text.\n",
    "no-blank-line": "Subject: No blank line\nFrom: a@odd.example\n",
    "no-headers": "\nOnly a body, and not a single header.\n",
    "latin": "Subject: Latin\nContent-Type: text/plain\n\nGr\xfc\xdfe\n",
    "two-texts": (
        "Subject: Two texts\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nFirst\n"
        "--b\nContent-Type: text/html\n\n<p>Second</p>\n--b--\n"
    ),
    "unfinished": "Subject: Unfinished\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nFirst\n--b\n\nSecond",
    "no-parts": "Subject: No parts\nContent-Type: multipart/mixed; boundary=b\n\nNothing of the kind.\n",
    "folded-boundary": (
        'Subject: Folded\nContent-Type: multipart/mixed;\n boundary="=_a\n _b"\n\n--=_a _b\n\nText\n'
        "--=_a _b\nContent-Type: image/gif\nContent-Disposition: attachment; filename=C:\\a.gif\n\nGIF89a\n--=_a _b--\n"
    ),
    "raw-name": (
        "Subject: Raw name\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nText\n--b\n"
        "Content-Type: application/pdf; name=\xc3\xa9t\xc3\xa9.pdf\nContent-Transfer-Encoding: base64 \n\nJVBERg==\n--b--\n"
    ),
    "encoded-nested": (
        "Subject: Nested\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nText\n--b\n"
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogSW5zaWRlCgpIZWxsbwo=\n--b--\n"
    ),
    "report": (
        "Subject: Report\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nIt failed.\n--b\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; a.example\n\nFinal-Recipient: rfc822; b@b.example\n"
        "--b--\n"
    ),
    "alternative": (
        "Subject: Alternative\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nPlain\n--b\n"
        "Content-Type: text/html\n\n<b>Rich</b> <a href='https://a.example'>a</a>\n--b\n"
        "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n--b--\n"
    ),
    "meta": (
        "Subject: Meta\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<html><head>"
        '<meta http-equiv=3D"Content-Type" content=3D"text/html; charset=3Dgb2312"></head>=D6=D0=B9=FA</html>\n'
    ),
}
"""Mail that breaks the rules in ways that occur, in Latin-1."""


def carry_mail(folder: Path, mail: Path, lane: str) -> DeepVerdict:
    """Carry the mail of a folder by a lane, and check it."""
    with Lab(LabPlan(folder=folder, mail=mail, mailboxes=1)) as lab, ExitStack() as resources:
        return Carried(lab, lane, resources).check()


@pytest.mark.parametrize("lane", ["import", "compose"])
def test_odd_mail_arrives_without_a_difference(tmp_path: Path, lane: str) -> None:
    (tmp_path / "mail").mkdir()
    for name, text in ODD.items():
        (tmp_path / "mail" / f"{name}.eml").write_bytes(text.encode("latin-1"))
    verdict = carry_mail(tmp_path / "lab", tmp_path / "mail", lane)
    assert verdict.differences == ()
    assert verdict.figures == {"compared": len(ODD), "equal": len(ODD)}


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the real mail is not at hand")
@pytest.mark.parametrize("lane", ["import", "compose"])
def test_real_mail_arrives_without_a_difference(tmp_path: Path, lane: str) -> None:
    verdict = carry_mail(tmp_path / "lab", CORPUS, lane)
    assert verdict.differences == ()
    assert verdict.figures["compared"] == verdict.figures["equal"] >= 1000
    assert not [word for word in verdict.figures if word.startswith("explained.")]


ALTERED = {name for name, _ in RICH} | {"flag-completed"}
ROWS: set[Row] = {("import", "mail", "every property", "kept"), *(("compose", "mail", name, "kept") for name in ALTERED)}


def test_every_property_of_a_message_was_altered_once() -> None:
    assert {*PROPERTIES, *ATTACHMENT_PROPERTIES} == ALTERED
