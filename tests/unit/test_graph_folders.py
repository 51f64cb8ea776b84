"""Folders in the target: found by role or by place, made once, renamed and moved to fit. Against a scripted server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from graph_script import Answer, Server, client_of, failing, serving

from connectors.base import Folder, Role
from connectors.graph.client import GraphClient
from connectors.graph.destination import GraphDestination

SPECIAL = {
    "inbox": "Posteingang",
    "drafts": "Entwürfe",
    "sentitems": "Gesendet",
    "deleteditems": "Papierkorb",
    "outbox": "Ausgang",
}


class Tree:
    """A mailbox's folders behind both interfaces."""

    def __init__(self, server: Server, *, admin: bool = True) -> None:
        self.folders: dict[str, dict[str, Any]] = {
            "root": {"id": "root", "displayName": "Top", "parentFolderId": "", "type": "IPF.Note"}
        }
        self.admin = admin
        for name, shown in SPECIAL.items():
            self.add(shown, id=name)
        self.add("Kalender", "IPF.Appointment", id="cal", wellKnownName="calendar")
        server.route = self.route

    def add(self, name: str, kind: str = "IPF.Note", parent: str = "root", **more: Any) -> str:
        number = str(more.pop("id", f"n{len(self.folders)}"))
        self.folders[number] = {"id": number, "displayName": name, "parentFolderId": parent, "type": kind, **more}
        return number

    def shown(self, number: str) -> dict[str, Any]:
        below = sum(each["parentFolderId"] == number for each in self.folders.values())
        return {**self.folders[number], "childFolderCount": below, "totalItemCount": 0}

    def route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        path = unquote(path.split("?")[0])
        if path == "/$batch":
            answers = []
            for part in orjson.loads(body)["requests"]:
                answer = self.route(part["method"], part["url"], {}, b"")
                assert not isinstance(answer, str)
                answers.append({"id": part["id"], "status": answer[0], "body": answer[2]})
            return 200, {}, {"responses": answers}
        if path.endswith("/settings/exchange"):
            return 200, {}, {"primaryMailboxId": "MBX:1@2"}
        if path.startswith("/admin/") and not self.admin:
            return failing(403, "Authorization_RequestDenied")
        found = re.search(r"/(?:mailFolders|folders)(?:/([^/]+))?(/childFolders|/move)?$", path)
        assert found, path
        number, action = found.groups()
        number = "root" if number in (None, "msgfolderroot") else number
        if number not in self.folders:
            return failing(404, "ErrorItemNotFound")
        if method == "GET" and (action or path.endswith("olders")):
            return (
                200,
                {},
                {"value": [self.shown(each["id"]) for each in self.folders.values() if each["parentFolderId"] == number]},
            )
        if method == "GET":
            return 200, {}, self.shown(number)
        if method == "DELETE":
            del self.folders[number]
            return 204, {}, None
        sent = orjson.loads(body)
        if action == "/move":
            self.folders[number]["parentFolderId"] = sent["destinationId"]
            return 201, {}, self.shown(number)
        parent = self.folders[number]["parentFolderId"] if method == "PATCH" else number
        for each in self.folders.values():
            same = each["parentFolderId"] == parent and each["displayName"].casefold() == sent["displayName"].casefold()
            if same and (method == "POST" or each["id"] != number):
                return failing(409, "ErrorFolderExists")
        if method == "PATCH":
            self.folders[number]["displayName"] = sent["displayName"]
            return 200, {}, self.shown(number)
        return 201, {}, self.shown(self.add(sent["displayName"], sent.get("type", "IPF.Note"), number))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def destination(server: Server) -> Iterator[GraphDestination]:
    with client_of(server) as client:
        yield GraphDestination(client, "a")


def _again(destination: GraphDestination) -> GraphDestination:
    client: GraphClient = destination._client
    return GraphDestination(client, "a")


def test_special_folders_are_found_by_role_whatever_they_are_called(server: Server, destination: GraphDestination) -> None:
    Tree(server)
    assert destination.place_folder(Folder("s1", None, "Inbox", role=Role.INBOX), None, None) == "inbox"
    assert destination.place_folder(Folder("s2", None, "Calendar", "IPF.Appointment", Role.CALENDAR), None, None) == "cal"


def test_a_plain_folder_called_like_a_special_one_does_not_pour_into_it(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    made = destination.place_folder(Folder("s1", None, "Posteingang"), None, None)
    assert tree.folders[made]["displayName"] == "Posteingang (mail)"
    assert destination.renamed == {made: "Posteingang (mail)"}
    before = len(server.asked)
    assert destination.place_folder(Folder("s1", None, "Posteingang"), None, made) == made
    assert len(server.asked) == before


def test_a_new_folder_costs_one_request_and_a_known_one_none(server: Server, destination: GraphDestination) -> None:
    Tree(server)
    destination.place_folder(Folder("s1", None, "Inbox", role=Role.INBOX), None, None)
    before = len(server.asked)
    made = destination.place_folder(Folder("s2", None, "Work"), None, None)
    below = destination.place_folder(Folder("s3", "s2", "Deep"), made, None)
    assert len(server.asked) == before + 2
    assert destination.place_folder(Folder("s3", "s2", "Deep"), made, below) == below
    assert len(server.asked) == before + 2


def test_a_folder_of_that_name_is_used_again_in_any_letter_case(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    there = tree.add("WORK")
    assert destination.place_folder(Folder("s1", None, "Work"), None, None) == there


def test_folders_of_other_kinds_are_made_with_their_class_and_share_with_no_mail(
    server: Server, destination: GraphDestination
) -> None:
    tree = Tree(server)
    tree.add("Family")
    made = destination.place_folder(Folder("s1", None, "Family", "IPF.Contact"), None, None)
    assert tree.folders[made]["type"] == "IPF.Contact"
    assert tree.folders[made]["displayName"] == "Family (contacts)"


def test_a_known_folder_is_renamed_and_moved_to_fit(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    old, new = tree.add("Old"), tree.add("New home")
    assert destination.place_folder(Folder("s1", "s0", "Fresh"), new, old) == old
    assert tree.folders[old]["displayName"] == "Fresh"
    assert tree.folders[old]["parentFolderId"] == new


def test_a_known_folder_that_is_gone_is_made_again(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    made = destination.place_folder(Folder("s1", None, "Work"), None, "long-gone")
    assert tree.folders[made]["displayName"] == "Work"


def test_two_source_folders_that_differ_in_case_share_one_and_do_not_rename_it_in_turn(
    server: Server, destination: GraphDestination
) -> None:
    tree = Tree(server)
    first = destination.place_folder(Folder("s1", None, "Work"), None, None)
    assert destination.place_folder(Folder("s2", None, "work"), None, None) == first
    later = _again(destination)
    later.place_folder(Folder("s1", None, "Work"), None, first)
    later.place_folder(Folder("s2", None, "work"), None, first)
    assert tree.folders[first]["displayName"] == "Work"
    assert not server.paths("PATCH")


def test_a_folder_that_appeared_since_the_listing_is_used_and_no_error(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    destination.place_folder(Folder("s0", None, "Inbox", role=Role.INBOX), None, None)
    there = tree.add("work")
    assert destination.place_folder(Folder("s1", None, "Work"), None, None) == there


def test_a_lost_answer_to_a_creation_makes_no_second_folder(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    plain = tree.route

    def lossy(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        found = plain(method, path, headers, body)
        return "reset" if method == "POST" and path.endswith("/mailFolders") else found

    server.route = lossy
    made = destination.place_folder(Folder("s1", None, "Work"), None, None)
    assert [each["id"] for each in tree.folders.values() if each["displayName"] == "Work"] == [made]


def test_only_empty_plain_folders_are_removed(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server)
    top = tree.add("Top")
    tree.add("Below", parent=top)
    empty = tree.add("Empty")
    assert not destination.remove_folder(top)
    assert not destination.remove_folder("inbox")
    assert destination.remove_folder(empty)
    assert destination.remove_folder(empty)
    assert empty not in tree.folders


def test_without_the_admin_interface_mail_folders_still_work(server: Server, destination: GraphDestination) -> None:
    tree = Tree(server, admin=False)
    there = tree.add("Work")
    assert destination.place_folder(Folder("s1", None, "Work"), None, None) == there
    made = destination.place_folder(Folder("s2", None, "People", "IPF.Contact"), None, None)
    assert tree.folders[made]["displayName"] == "People"
