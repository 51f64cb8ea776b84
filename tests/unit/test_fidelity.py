"""The fidelity table holds: every word that a receipt can hold has a row, and every row of a degraded property can happen."""

from __future__ import annotations

import ast
import base64
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Address, Attachment, FollowUp, Message, Refusal
from connectors.contact import Contact, Kept, Task
from connectors.ews.mime import take_apart
from connectors.ews.tasks import KEPT
from connectors.graph.contacts import NOTES_LIMIT, compose_contact
from connectors.graph.convert import BODY_LIMIT, HEADER_LIMIT, compose
from connectors.graph.task_json import BODY_LIMIT as TASK_BODY_LIMIT
from connectors.graph.task_json import compose_task
from connectors.reading import ATTACHMENT_PROPERTIES, PROPERTIES
from migrator import fidelity

ROOT = Path(__file__).parents[2] / "connectors"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
STAMP = "m1-00112233445566778899aabbccddeeff"
SOURCES = {
    "mail": ("graph/convert.py", "ews/mime.py"),
    "contact": ("graph/contacts.py", "graph/people.py"),
    "task": ("graph/task_json.py", "graph/todo.py"),
    "appointment": ("graph/event_json.py", "graph/events.py"),
}
"""Where each kind of item gets its words from."""

MULTIPART = "MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
RAW: dict[str, bytes] = {
    "empty": b"",
    "no-headers": b"nothing but a body\r\n",
    "broken-structure": b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n",
    "charset": b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\xfd\r\n",
    "broken-base64": b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nabc!\r\n",
    "smime": b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n",
    "pgp": b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n",
    "tnef": b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n",
    "signed": MULTIPART.format(kind="signed").encode(),
    "encrypted": MULTIPART.format(kind="encrypted").encode(),
}


def _file(content: bytes = b"x", kind: str = "text/plain", **more: Any) -> Attachment:
    return Attachment("a.txt", kind, base64.b64encode(content), len(content), **more)


MESSAGES: dict[str, dict[str, Any]] = {
    "characters": {"subject": "half \ud83d"},
    "subject": {"subject": "s" * 300},
    "body": {"body": "b" * (BODY_LIMIT + 1)},
    "dates": {"submitted": None, "received": None},
    "headers": {"headers": "X: " + "y" * HEADER_LIMIT},
    "reply-to": {"reply_to": (Address("Nobody", "nobody"),)},
    "flag-dates": {"follow_up": FollowUp("flagged", start=NOW)},
    "nested-attachments": {"attachments": (_file(kind="message/rfc822"),)},
}
CONTACTS: dict[str, Contact] = {
    "characters": Contact(job_title="half \ud83d"),
    "notes": Contact(notes="n" * (NOTES_LIMIT + 1)),
    "notes-formatting": Contact(notes="n", notes_formatted=True),
    "photo": Contact(photo=_file(b"\x89PNG", "image/png")),
    "phone-order": Contact(home_phones=("", "2")),
    "follow-up": Contact(follow_up=True),
    "contact-attachments": Contact(attachments=(_file(),)),
}
TASKS: dict[str, Task] = {
    "characters": Task(subject="half \ud83d"),
    "subject": Task(subject="s" * 300),
    "task-body": Task(subject="t", body="b" * (TASK_BODY_LIMIT + 1)),
    "task-title": Task(subject=" "),
    "task-percent": Task(subject="t", percent=50.0),
    "task-sensitivity": Task(subject="t", sensitivity="private"),
    "task-recurrence": Task(subject="t", repeats=True, due=date(2026, 1, 1)),
    "reminder-over": Task(subject="t", reminder=datetime(2020, 1, 1, tzinfo=UTC)),
    "task-attachments": Task(subject="t", attachments=(_file(b"x" * 3_200_000),)),
    "task-inline": Task(subject="t", attachments=(_file(inline=True),)),
    "task-companies": Task(subject="t", companies=("Contoso",)),
    "task-people": Task(subject="t", people=("Anna",)),
    **{f"task-{name}": Task(subject="t", kept=(Kept(name, kind, space, own, "1"),)) for name, kind, space, own in KEPT},
}
ELSEWHERE = {"task": {"task-class"}, "mail": {"unreadable-mime"}}
"""Words that only the resource itself or a bug brings: the one is carried by tests/lab/test_tasks.py."""


def _words(kind: str) -> set[str]:
    """Every word that these modules append to what was lost, or note."""
    found: set[str] = set()
    for source in SOURCES[kind]:
        tree = ast.parse((ROOT / source).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                if (node.func.attr, owner) in (("append", "lost"), ("note", "apart")):
                    found |= {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == "lost":
                found |= {
                    one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                named = [one.id for one in node.targets if isinstance(one, ast.Name)]
                if named == ["degraded"]:
                    found |= {
                        one.value for one in node.value.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)
                    }
    return found - {"task-", "/"}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_word_that_the_code_can_say_has_a_row(kind: str) -> None:
    words = _words(kind) | ({f"task-{name}" for name, *_ in KEPT} if kind == "task" else set())
    assert len(words) > 5
    assert words <= fidelity.names(kind)


@pytest.mark.parametrize("name", sorted(fidelity.names("mail") - ELSEWHERE["mail"]))
def test_every_row_of_mail_happens_and_alone(name: str) -> None:
    if name in RAW:
        assert name in take_apart(RAW[name]).odd
        return
    plain: dict[str, Any] = {"subject": "s", "submitted": NOW, "received": NOW}
    composed = compose(Message(**{**plain, **MESSAGES[name]}), STAMP)
    assert not isinstance(composed, Refusal)
    assert composed.degraded == (name,)


@pytest.mark.parametrize("name", sorted(fidelity.names("contact")))
def test_every_row_of_contacts_happens_and_alone(name: str) -> None:
    composed = compose_contact(CONTACTS[name], STAMP)
    assert not isinstance(composed, Refusal)
    assert composed.degraded == (name,)


@pytest.mark.parametrize("name", sorted(fidelity.names("task") - ELSEWHERE["task"]))
def test_every_row_of_tasks_happens_and_alone(name: str) -> None:
    composed = compose_task(TASKS[name], STAMP, NOW)
    assert not isinstance(composed, Refusal)
    assert composed.degraded == (name,)


def test_what_is_said_to_be_kept_of_mail_is_what_deep_verification_compares() -> None:
    assert fidelity.what("mail", "kept") == {*PROPERTIES, *ATTACHMENT_PROPERTIES}


def test_no_row_is_there_twice_and_all_but_what_is_kept_says_how() -> None:
    rows = [(line.lane, line.kind, line.what, line.fate) for line in fidelity.TABLE]
    assert len(rows) == len(set(rows))
    assert all(line.how for line in fidelity.TABLE if line.fate != "kept")


def test_the_table_can_be_read_by_people_and_programs() -> None:
    shown = " ".join("\n".join(fidelity.text()).split())
    assert "compose: contact" in shown
    assert all(line.how in shown for line in fidelity.TABLE)
    assert len(fidelity.as_json()) == len(fidelity.TABLE)


def test_the_table_fits_a_terminal_and_cuts_no_word() -> None:
    lines = list(fidelity.text())
    assert max(map(len, lines)) <= 100
    told = " ".join("\n".join(lines).split())
    assert all(line.what in told for line in fidelity.TABLE)
