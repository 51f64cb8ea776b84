"""The Exchange connector on a bad day: it waits as told, asks again only for what is missing, and believes nothing half."""

from __future__ import annotations

import base64
import re
import ssl
import subprocess
import sys
import threading

import pytest
from ews_script import (
    ANNA,
    Answer,
    Request,
    Time,
    answers,
    envelope,
    exported,
    fault,
    message,
    page,
    scripted,
    source_of,
    stream,
)

from connectors.base import Drop, Folder, Gone, Item, Lane, Put, Ref, Refusal
from connectors.errors import Halt, MailboxBlocked, StaleCursor, Unavailable, UnknownAnswer
from connectors.ews.client import ExchangeServer, MailboxClient
from connectors.ews.endpoint import Exchange
from connectors.pacer import Stopped

INBOX = Folder("f-inbox", None, "Inbox")
THREE = [Ref("a"), Ref("b"), Ref("c")]


def export_all(request: Request) -> bytes:
    return answers("ExportItems", *map(exported, request.ids))


def is_whole(answer: object, own: str) -> bool:
    return isinstance(answer, Item) and answer.ref.id == own and answer.stream == stream(own.encode()).encode()


# --- what is sent


def test_a_request_says_for_whom_it_is_and_who_may_answer_how() -> None:
    with scripted([page()]) as served, source_of(served.url) as source:
        source.changes(INBOX, None)
    [request] = served.requests
    assert "<t:PrimarySmtpAddress>anna@lab.test</t:PrimarySmtpAddress>" in request.body
    assert '<t:RequestServerVersion Version="Exchange2010_SP2"/>' in request.body
    assert request.headers["X-AnchorMailbox"] == ANNA
    assert request.headers["Accept-Encoding"] == "identity"
    assert len(request.headers["client-request-id"]) == 36


def test_full_access_impersonates_nobody_but_names_the_mailbox() -> None:
    def answer(request: Request) -> bytes:
        if request.kind == "GetFolder":
            one = message("GetFolder", '<m:Folders><t:Folder><t:FolderId Id="r"/></t:Folder></m:Folders>')
            return answers("GetFolder", one, *[message("GetFolder", code="ErrorFolderNotFound")] * 12)
        empty = '<m:RootFolder IncludesLastItemInRange="true"><t:Folders/></m:RootFolder>'
        return answers("FindFolder", message("FindFolder", empty))

    with scripted(answer) as served, source_of(served.url, access="full-access") as source:
        assert list(source.folders()) == []
    for request in served.requests:
        assert "ExchangeImpersonation" not in request.body
        assert f"<t:EmailAddress>{ANNA}</t:EmailAddress>" in request.body


def test_the_environment_does_not_redirect_or_reassure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with scripted([page()]) as served, source_of(served.url) as source:
        assert source.changes(INBOX, None).last


def test_settings_are_light_to_import() -> None:
    code = "import sys, connectors.ews.endpoint; sys.exit(any(one in sys.modules for one in ('exchangelib', 'requests', 'lxml')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_password_in_any_script_is_sent_as_it_is() -> None:
    with scripted([page()]) as served, source_of(served.url, username="Zoë", password="pässwörd ŵ") as source:
        source.changes(INBOX, None)
    sent = served.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == "Zoë:pässwörd ŵ"


# --- waiting


def test_a_server_that_suggests_no_wait_is_given_one_all_the_same() -> None:
    time = Time()
    full = fault("ErrorExceededConnectionCount", BackOffMilliseconds=0)
    with scripted([full, full, full, page()]) as served, source_of(served.url, time) as source:
        source.changes(INBOX, None)
    assert len(served.requests) == 4
    assert time.waits == sorted(time.waits)
    assert sum(time.waits) > 3


def test_a_busy_server_is_waited_for_as_long_as_it_says_and_no_longer() -> None:
    time = Time()
    with scripted([fault("ErrorServerBusy", BackOffMilliseconds=2500), page()]) as served, source_of(served.url, time) as source:
        assert source.changes(INBOX, None).cursor == "s2"
        assert source.figures()["waited.server"] == pytest.approx(2.5)
    assert time.waits == [pytest.approx(2.5)]
    assert len(served.requests) == 2


def test_a_server_that_is_busy_in_one_message_only_is_waited_for_too() -> None:
    busy = answers("SyncFolderItems", message("SyncFolderItems", code="ErrorServerBusy", BackOffMilliseconds=700))
    time = Time()
    with scripted([busy, page()]) as served, source_of(served.url, time) as source:
        assert source.changes(INBOX, None).cursor == "s2"
    assert time.waits == [pytest.approx(0.7)]


def test_a_full_queue_of_the_web_server_is_waited_for() -> None:
    time = Time()
    full = Answer(status=503, headers={"Retry-After": "7"})
    with scripted([full, page()]) as served, source_of(served.url, time) as source:
        source.changes(INBOX, None)
    assert time.waits == [pytest.approx(7.0)]


def test_whoever_stops_wakes_every_wait() -> None:
    stop = threading.Event()

    def answer(request: Request) -> Answer:
        stop.set()
        return fault("ErrorServerBusy", BackOffMilliseconds=600_000)

    with scripted(answer) as served, source_of(served.url, stop=stop) as source, pytest.raises(Stopped):
        source.changes(INBOX, None)
    assert len(served.requests) == 1


def test_an_outage_ends_in_its_last_error() -> None:
    with scripted([page()]) as served:
        pass
    time = Time()
    with source_of(served.url, time) as source, pytest.raises(Unavailable):
        source.changes(INBOX, None)
    assert len(time.waits) > 5


def test_the_server_is_never_asked_by_more_at_once_than_allowed() -> None:
    under_way, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    def answer(request: Request) -> bytes:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == 2:
                gate.set()
        gate.wait(5)
        with lock:
            under_way -= 1
        return page()

    with scripted(answer) as served:
        settings = Exchange(url=served.url, username="u", password="p", auth="basic", connections_per_server=2)
        server = ExchangeServer(settings)
        clients = [MailboxClient(server, f"{number}@lab.test") for number in range(6)]
        threads = [
            threading.Thread(target=client.ask, args=("SyncFolderItems", "<m:SyncFolderItems/>", len)) for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
    assert most == 2
    assert len(served.requests) == 6


# --- answers that are not whole


@pytest.mark.parametrize(
    "broken",
    [
        Answer(page(), cut=0.6),
        page()[:-30],
        page().replace(b"</s:Envelope>", b"=== Truncated Data ==="),
        page().replace(b"</m:Changes>", b"=== Truncated Data ===</m:Changes>"),
        page().replace(b"<m:Changes>", b"<m:Changed>"),
        b"",
        b"<html>Service Unavailable</html>",
        envelope(""),
        answers("SyncFolderItems"),
        answers("SyncFolderItems", message("SyncFolderItems"), message("SyncFolderItems")),
        Answer(b"<html>Fault</html>", 500),
        Answer(b"gateway", 502),
    ],
)
def test_an_answer_that_is_not_whole_is_asked_for_again(broken: Answer | bytes) -> None:
    with scripted([broken, page(state="s9")]) as served, source_of(served.url) as source:
        assert source.changes(INBOX, "s1").cursor == "s9"
    assert len(served.requests) == 2
    assert served.requests[1].body.count("s1") == served.requests[0].body.count("s1")


def test_no_state_is_ever_taken_from_a_listing_that_was_cut() -> None:
    whole = page('<t:Delete><t:ItemId Id="a"/></t:Delete>' * 50)
    with scripted(lambda _: whole[: len(whole) // 2]) as served, source_of(served.url) as source, pytest.raises(Unavailable):
        source.changes(INBOX, "s1")


def test_an_answer_that_stops_coming_is_given_up_and_asked_for_in_smaller_lots() -> None:
    held = threading.Event()

    def answer(request: Request) -> Answer | bytes:
        whole = export_all(request)
        return Answer(whole, cut=0.5, held=held) if len(request.ids) == 3 else whole

    with scripted(answer) as served, source_of(served.url, timeout=0.1) as source:
        found = list(source.fetch(THREE, Lane.IMPORT))
        held.set()
    assert all(is_whole(one, own) for one, own in zip(found, "abc", strict=True))
    assert [len(ids) for ids in served.asked] == [3, 1, 1, 1]


# --- refusals of the whole


def test_a_wrong_password_is_sent_once() -> None:
    with scripted([Answer(status=401)]) as served, source_of(served.url) as source, pytest.raises(Halt) as caught:
        source.changes(INBOX, None)
    assert len(served.requests) == 1
    assert "pass word" not in str(caught.value) + caught.value.mend


def test_a_refused_sign_in_in_mid_run_is_tried_again_but_not_for_ever() -> None:
    with scripted([page(), Answer(status=401), page(state="s3")]) as served, source_of(served.url) as source:
        source.changes(INBOX, None)
        assert source.changes(INBOX, "s2").cursor == "s3"
    with scripted([page(), Answer(status=401)]) as served, source_of(served.url) as source:
        source.changes(INBOX, None)
        with pytest.raises(Halt):
            source.changes(INBOX, "s2")
    assert len(served.requests) == 4


@pytest.mark.parametrize("status", [302, 403, 404])
def test_a_door_that_was_open_before_is_knocked_at_again(status: int) -> None:
    shut = Answer(status=status, headers={"Location": "/owa/auth/errorfe.aspx"})
    with scripted([page(), shut, page(state="s3")]) as served, source_of(served.url) as source:
        source.changes(INBOX, None)
        assert source.changes(INBOX, "s2").cursor == "s3"
    with scripted([shut]) as served, source_of(served.url) as source, pytest.raises(Halt):
        source.changes(INBOX, None)
    assert len(served.requests) == 1, "nothing is followed or repeated"


def test_a_mailbox_that_is_not_there_is_no_reason_to_ask_again() -> None:
    with scripted([fault("ErrorNonExistentMailbox")]) as served, source_of(served.url) as source, pytest.raises(MailboxBlocked):
        source.changes(INBOX, None)
    assert len(served.requests) == 1


def test_a_code_of_tomorrow_is_a_bug_and_no_reason_to_ask_again() -> None:
    with scripted([fault("ErrorOfTomorrow")]) as served, source_of(served.url) as source, pytest.raises(UnknownAnswer):
        source.changes(INBOX, None)
    assert len(served.requests) == 1


# --- listings


def test_a_dead_cursor_is_stale() -> None:
    dead = answers("SyncFolderItems", message("SyncFolderItems", code="ErrorInvalidSyncStateData"))
    with scripted([dead]) as served, source_of(served.url) as source, pytest.raises(StaleCursor):
        source.changes(INBOX, "s1")
    assert len(served.requests) == 1


@pytest.mark.parametrize("changes", ["", '<t:Delete><t:ItemId Id="a"/></t:Delete>'])
def test_a_feed_that_does_not_get_on_ends(changes: str) -> None:
    with scripted([page(changes, "s1", last=False)]) as served, source_of(served.url) as source:
        found = source.changes(INBOX, "s1")
    assert found.last
    assert len(found.changes) == bool(changes)


@pytest.mark.parametrize("whole_call", [False, True])
def test_a_server_that_lists_only_ids_is_asked_for_the_rest(whole_call: bool) -> None:
    def answer(request: Request) -> Answer | bytes:
        if request.kind == "GetItem":
            first = (
                '<t:Message><t:ItemId Id="a" ChangeKey="k"/><t:ItemClass>IPM.Note.X</t:ItemClass><t:Size>9</t:Size></t:Message>'
            )
            found = message("GetItem", f"<m:Items>{first}</m:Items>")
            return answers("GetItem", found, message("GetItem", "<m:Items/>", "ErrorItemNotFound"))
        if "AdditionalProperties" in request.body:
            if whole_call:
                return fault("ErrorInvalidPropertyRequest")
            return answers("SyncFolderItems", message("SyncFolderItems", code="ErrorInvalidPropertyRequest"))
        items = "".join(f'<t:Create><t:Message><t:ItemId Id="{own}"/></t:Message></t:Create>' for own in "ab")
        return page(items + '<t:Delete><t:ItemId Id="c"/></t:Delete>')

    with scripted(answer) as served, source_of(served.url) as source:
        first, second, third = source.changes(INBOX, None).changes
        source.changes(INBOX, "s2")
    assert isinstance(first, Put)
    assert (first.facts.item_class, first.ref.size) == ("IPM.Note.X", 9)
    assert isinstance(second, Put), "one that went away since stays in the listing; its fetch tells"
    assert third == Drop("c")
    assert [one.kind for one in served.requests] == [
        "SyncFolderItems",
        "SyncFolderItems",
        "GetItem",
        "SyncFolderItems",
        "GetItem",
    ]


def test_a_server_that_does_not_know_a_role_is_asked_for_the_others() -> None:
    def answer(request: Request) -> Answer | bytes:
        if request.kind == "FindFolder":
            inbox = '<t:Folder><t:FolderId Id="i"/><t:ParentFolderId Id="r"/><t:DisplayName>In</t:DisplayName></t:Folder>'
            root = f'<m:RootFolder IncludesLastItemInRange="true"><t:Folders>{inbox}</t:Folders></m:RootFolder>'
            return answers("FindFolder", message("FindFolder", root))
        if '<t:FolderId Id="i"' in request.body:  # its change stamp, which this server does not have
            return answers("GetFolder", message("GetFolder", '<m:Folders><t:Folder><t:FolderId Id="i"/></t:Folder></m:Folders>'))
        if "conversationhistory" in request.body:
            return fault("ErrorSchemaValidation")
        known = {"msgfolderroot": "r", "inbox": "i"}
        told = []
        for name in request.body.split('<t:DistinguishedFolderId Id="')[1:]:
            own = known.get(name.partition('"')[0])
            inner = f'<m:Folders><t:Folder><t:FolderId Id="{own}"/></t:Folder></m:Folders>' if own else ""
            told.append(message("GetFolder", inner, "NoError" if own else "ErrorFolderNotFound"))
        return answers("GetFolder", *told)

    with scripted(answer) as served, source_of(served.url) as source:
        for _ in range(2):
            [folder] = source.folders()
            assert (folder.id, folder.parent_id, folder.role) == ("i", None, "inbox")
    about_roles = [one for one in served.requests if one.kind == "GetFolder" and "DistinguishedFolderId" in one.body]
    assert ["conversationhistory" in one.body for one in about_roles] == [True, False, False]


def test_a_page_that_takes_too_long_is_asked_for_in_smaller_ones_from_then_on() -> None:
    def most(request: Request) -> int:
        found = re.search(r"<m:MaxChangesReturned>(\d+)<|MaxEntriesReturned=\"(\d+)\"", request.body)
        assert found is not None
        return int(found[1] or found[2])

    def answer(request: Request) -> Answer | bytes:
        if most(request) > 128:
            late = message(request.kind, code="ErrorTimeoutExpired")
            return answers(request.kind, late)
        if request.kind == "SyncFolderItems":
            return page()
        return answers("FindItem", message("FindItem", '<m:RootFolder IncludesLastItemInRange="true"><t:Items/></m:RootFolder>'))

    with scripted(answer) as served, source_of(served.url) as source:
        for _ in range(2):
            assert source.changes(INBOX, None).last
        assert list(source.inventory(INBOX)) == []
    assert [most(one) for one in served.requests] == [512, 256, 128, 128, 1000, 500, 250, 125]


# --- lots of items


def test_only_the_item_that_was_busy_is_asked_for_again() -> None:
    def answer(request: Request) -> bytes:
        told = [exported(own) for own in request.ids]
        if len(told) == 3:
            told[1] = message("ExportItems", code="ErrorServerBusy", BackOffMilliseconds=300)
        return answers("ExportItems", *told)

    time = Time()
    with scripted(answer) as served, source_of(served.url, time) as source:
        found = list(source.fetch(THREE, Lane.IMPORT))
    assert all(is_whole(one, own) for one, own in zip(found, "abc", strict=True))
    assert served.asked == [["a", "b", "c"], ["b"]]
    assert time.waits == [pytest.approx(0.3)]


def test_what_the_server_did_not_come_to_is_asked_for_again() -> None:
    stopped = message("ExportItems", code="ErrorBatchProcessingStopped")
    with (
        scripted(
            [answers("ExportItems", exported("a"), stopped, stopped), answers("ExportItems", exported("b"), exported("c"))]
        ) as served,
        source_of(served.url) as source,
    ):
        found = list(source.fetch(THREE, Lane.IMPORT))
    assert all(is_whole(one, own) for one, own in zip(found, "abc", strict=True))
    assert served.asked == [["a", "b", "c"], ["b", "c"]]


def test_items_that_are_gone_or_damaged_are_told_in_their_place() -> None:
    told = [message("ExportItems", code=code) for code in ("ErrorItemNotFound", "ErrorCorruptData")]
    with scripted([answers("ExportItems", told[0], exported("b"), told[1])]) as served, source_of(served.url) as source:
        first, second, third = source.fetch(THREE, Lane.IMPORT)
    assert first == Gone(Ref("a"))
    assert is_whole(second, "b")
    assert isinstance(third, Refusal)
    assert third.reason == "corrupt"
    assert len(served.requests) == 1


def test_another_number_of_answers_is_never_matched_with_the_questions() -> None:
    with scripted([answers("ExportItems", exported("b"), exported("c")), *[b""] * 2]) as served:
        served.script = lambda request: export_all(request) if len(served.requests) > 1 else answers("ExportItems", exported("b"))
        with source_of(served.url) as source:
            found = list(source.fetch(THREE, Lane.IMPORT))
    assert all(is_whole(one, own) for one, own in zip(found, "abc", strict=True))


def test_a_lot_that_takes_too_long_is_halved() -> None:
    def answer(request: Request) -> Answer | bytes:
        return export_all(request) if len(request.ids) <= 2 else fault("ErrorTimeoutExpired")

    refs = [Ref(str(number)) for number in range(8)]
    with scripted(answer) as served, source_of(served.url) as source:
        found = list(source.fetch(refs, Lane.IMPORT))
    assert [is_whole(one, ref.id) for one, ref in zip(found, refs, strict=True)] == [True] * 8
    assert [len(ids) for ids in served.asked] == [8, 4, 2, 2, 2, 2]


@pytest.mark.parametrize("bad", ["0", "5", "7"])
@pytest.mark.parametrize("lane", list(Lane))
def test_one_item_that_spoils_every_answer_is_refused_and_the_rest_delivered(lane: Lane, bad: str) -> None:
    def answer(request: Request) -> bytes:
        if lane is Lane.IMPORT:
            whole = answers("ExportItems", *map(exported, request.ids))
        else:
            inner = "<m:Items><t:Message><t:MimeContent>YQ==</t:MimeContent></t:Message></m:Items>"
            whole = answers("GetItem", *[message("GetItem", inner)] * len(request.ids))
        return whole.replace(b"NoError", b"<NoError", 1) if bad in request.ids else whole

    refs = [Ref(str(number)) for number in range(8)]
    with scripted(answer) as served, source_of(served.url) as source:
        found = list(source.fetch(refs, lane))
    assert [ref.id for ref, one in zip(refs, found, strict=True) if isinstance(one, Refusal)] == [bad]
    assert [ref.id for ref, one in zip(refs, found, strict=True) if isinstance(one, Item)] == [
        ref.id for ref in refs if ref.id != bad
    ]
    assert len(served.requests) < 20
    assert all(served.asked)


def test_a_stream_that_comes_damaged_twice_in_the_same_way_is_refused() -> None:
    broken = message("ExportItems", f"<m:Data>{stream()[:-8]}</m:Data>")
    with (
        scripted(
            lambda request: answers("ExportItems", *[exported(own) if own != "b" else broken for own in request.ids])
        ) as served,
        source_of(served.url) as source,
    ):
        first, second, third = source.fetch(THREE, Lane.IMPORT)
    assert is_whole(first, "a")
    assert is_whole(third, "c")
    assert isinstance(second, Refusal)
    assert second.reason == "corrupt"
    assert served.asked == [["a", "b", "c"], ["b"]]


def test_a_stream_that_was_damaged_on_its_way_is_fetched_again() -> None:
    broken = message("ExportItems", f"<m:Data>{stream(b'b')[:-8]}</m:Data>")
    with (
        scripted([answers("ExportItems", exported("a"), broken, exported("c")), answers("ExportItems", exported("b"))]) as served,
        source_of(served.url) as source,
    ):
        found = list(source.fetch(THREE, Lane.IMPORT))
    assert all(is_whole(one, own) for one, own in zip(found, "abc", strict=True))


def test_an_item_that_breaks_the_server_is_refused_where_its_neighbours_arrive() -> None:
    def answer(request: Request) -> bytes:
        broken = message("ExportItems", code="ErrorInternalServerError")
        return answers("ExportItems", *[broken if own == "b" else exported(own) for own in request.ids])

    with scripted(answer) as served, source_of(served.url) as source:
        first, second, third = source.fetch(THREE, Lane.IMPORT)
        assert isinstance(second, Refusal)
        assert (second.reason, second.code) == ("source-cannot-deliver", "ErrorInternalServerError")
        assert is_whole(first, "a")
        assert is_whole(third, "c")
        with pytest.raises(Unavailable):
            list(source.fetch([Ref("b")], Lane.IMPORT))


def test_a_store_that_is_away_is_no_items_fault() -> None:
    away = message("ExportItems", code="ErrorMailboxStoreUnavailable")
    script: list[Answer | bytes] = [answers("ExportItems", exported("a"), away), answers("ExportItems", away)]
    with scripted(script) as served, source_of(served.url) as source, pytest.raises(Unavailable):
        list(source.fetch(THREE[:2], Lane.IMPORT))


# --- TLS


def test_the_authorities_are_loaded_once_for_all_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str | None] = []
    make = ssl.create_default_context

    def load(*, cafile: str | None) -> ssl.SSLContext:
        loaded.append(cafile)
        return make(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", load)
    server = ExchangeServer(Exchange(url="https://127.0.0.1:9/EWS/Exchange.asmx", username="u", password="p"))
    for _ in range(3):
        server.open_session().close()
    assert loaded == [None]


def test_a_file_of_authorities_that_is_none_stops_everything(tmp_path: object) -> None:
    with (
        source_of("https://127.0.0.1:9/EWS/Exchange.asmx", ca_file=f"{tmp_path}/none.pem") as source,
        pytest.raises(Halt) as caught,
    ):
        source.changes(INBOX, None)
    assert "ca_file" in caught.value.mend


def test_a_server_without_tls_is_away_and_not_distrusted() -> None:
    with scripted([page()]) as served, source_of(served.url.replace("http:", "https:")) as source, pytest.raises(Unavailable):
        source.changes(INBOX, None)
