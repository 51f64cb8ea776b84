"""Every response code of Exchange has a meaning, and the meaning is acted on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lxml import etree

from connectors.base import Gone, Ref, Refusal
from connectors.errors import Halt, MailboxBlocked, StaleCursor, Throttled, Unavailable, UnknownAnswer, WireError
from connectors.ews.classify import CODES, Meaning, item_answer, raise_for, raise_for_http, verdict

REF = Ref("an-id", "a-key", 5)
RAISES: dict[Meaning, type[WireError]] = {
    Meaning.THROTTLED: Throttled,
    Meaning.UNAVAILABLE: Unavailable,
    Meaning.GONE: Unavailable,
    Meaning.STALE: StaleCursor,
    Meaning.REFUSED: MailboxBlocked,
    Meaning.BLOCKED: MailboxBlocked,
    Meaning.HALT: Halt,
    Meaning.BUG: UnknownAnswer,
}


def raised(code: str, **values: str) -> WireError:
    with pytest.raises(WireError) as caught:
        raise_for(code, text="secret subject", values=values)
    return caught.value


def from_http(status: int, headers: dict[str, str] | None = None) -> WireError:
    with pytest.raises(WireError) as caught:
        raise_for_http(status, headers or {})
    return caught.value


def the_schema() -> Path:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "contracts"
    return Path(os.environ.get("MIGRATOR_CONTRACTS", beside)) / "ews-xsd" / "se" / "compiled" / "messages.xsd"


# --- the table


def test_the_table_holds_exactly_the_codes_of_the_schema() -> None:
    if not the_schema().exists():
        pytest.skip("no schema beside the project")
    space = {"xs": "http://www.w3.org/2001/XMLSchema"}
    root = etree.parse(the_schema())
    codes = root.xpath("//xs:simpleType[@name='ResponseCodeType']//xs:enumeration/@value", namespaces=space)
    assert set(codes) - {"NoError"} == set(CODES)


def test_the_table_is_complete_and_success_is_not_in_it() -> None:
    assert len(CODES) == 520
    assert "NoError" not in CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_verdict_has_words_and_is_raised_as_it_says(code: str) -> None:
    found = CODES[code]
    error = raised(code)
    assert type(error) is RAISES[found.meaning]
    assert error.code == code
    assert code in str(error)
    assert "secret" not in str(error)
    assert (found.reason == "") == (found.meaning is Meaning.BUG)
    if isinstance(error, MailboxBlocked | Halt):
        assert error.side == "source"
        assert error.mend


def test_reasons_are_short_words_of_a_catalogue() -> None:
    for found in CODES.values():
        assert found.reason == found.reason.lower().replace(" ", "-")
        assert len(found.reason) <= 24


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("ErrorServerBusy", Meaning.THROTTLED),
        ("ErrorExceededConnectionCount", Meaning.THROTTLED),
        ("ErrorExceededFindCountLimit", Meaning.THROTTLED),
        ("ErrorTooManyObjectsOpened", Meaning.THROTTLED),
        ("ErrorTimeoutExpired", Meaning.UNAVAILABLE),
        ("ErrorMailboxStoreUnavailable", Meaning.UNAVAILABLE),
        ("ErrorConnectionFailed", Meaning.UNAVAILABLE),
        ("ErrorMailboxFailover", Meaning.UNAVAILABLE),
        ("ErrorADUnavailable", Meaning.UNAVAILABLE),
        ("ErrorInsufficientResources", Meaning.UNAVAILABLE),
        ("ErrorInternalServerError", Meaning.UNAVAILABLE),
        ("ErrorInternalServerTransientError", Meaning.UNAVAILABLE),
        ("ErrorNotEnoughMemory", Meaning.UNAVAILABLE),
        ("ErrorMailboxMoveInProgress", Meaning.UNAVAILABLE),
        ("ErrorBatchProcessingStopped", Meaning.UNAVAILABLE),
        ("ErrorInvalidSyncStateData", Meaning.STALE),
        ("ErrorItemNotFound", Meaning.GONE),
        ("ErrorFolderNotFound", Meaning.GONE),
        ("ErrorSyncFolderNotFound", Meaning.GONE),
        ("ErrorCrossSiteRequest", Meaning.BLOCKED),
        ("ErrorNonExistentMailbox", Meaning.BLOCKED),
        ("ErrorImpersonateUserDenied", Meaning.BLOCKED),
        ("ErrorAccountDisabled", Meaning.BLOCKED),
        ("ErrorNonPrimarySmtpAddress", Meaning.BLOCKED),
        ("ErrorImpersonationDenied", Meaning.HALT),
        ("ErrorPasswordExpired", Meaning.HALT),
        ("ErrorIncorrectSchemaVersion", Meaning.HALT),
        ("ErrorSchemaValidation", Meaning.BUG),
        ("ErrorInvalidIdMalformed", Meaning.BUG),
        ("ErrorInvalidPropertyRequest", Meaning.BUG),
        ("ErrorOfTomorrow", Meaning.BUG),
        ("", Meaning.BUG),
    ],
)
def test_codes_that_a_migration_meets(code: str, meaning: Meaning) -> None:
    assert verdict(code).meaning is meaning


# --- a whole call


def test_a_busy_server_is_waited_for_as_long_as_it_says() -> None:
    error = raised("ErrorServerBusy", BackOffMilliseconds="2500")
    assert isinstance(error, Throttled)
    assert (error.after, error.budget) == (2.5, "server"), "the mailbox alone waits"


@pytest.mark.parametrize("told", ["", "soon", "-1", "0"])
def test_no_time_is_made_of_nonsense_or_of_none(told: str) -> None:
    error = raised("ErrorServerBusy", BackOffMilliseconds=told)
    assert isinstance(error, Throttled)
    assert error.after is None


def test_a_busy_server_behind_an_internal_error_is_a_busy_server() -> None:
    error = raised("ErrorInternalServerError", InnerErrorResponseCode="ErrorServerBusy", BackOffMilliseconds="10")
    assert isinstance(error, Throttled)
    assert (error.after, error.code) == (0.01, "ErrorServerBusy")
    assert isinstance(raised("ErrorInternalServerError", InnerErrorResponseCode="ErrorItemNotFound"), Unavailable)
    assert isinstance(raised("ErrorTimeoutExpired", InnerErrorResponseCode="ErrorServerBusy"), Unavailable)


def test_a_code_that_no_table_knows_stops_and_is_named() -> None:
    error = raised("ErrorOfTomorrow")
    assert isinstance(error, UnknownAnswer)
    assert "ErrorOfTomorrow" in str(error)
    assert raised("").code == "http 200"


# --- one item


def test_an_item_that_went_away_is_gone() -> None:
    for code in ("ErrorItemNotFound", "ErrorInvalidAttachmentId", "ErrorObjectTypeChanged"):
        assert item_answer(REF, code) == Gone(REF)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ErrorCorruptData", "corrupt"),
        ("ErrorItemCorrupt", "corrupt"),
        ("ErrorContentConversionFailed", "corrupt"),
        ("ErrorMimeContentConversionFailed", "corrupt"),
        ("ErrorUnsupportedMimeConversion", "no-mime"),
        ("ErrorMessageSizeExceeded", "too-large"),
        ("ErrorDataSizeLimitExceeded", "too-large"),
        ("ErrorAccessDenied", "access-denied"),
        ("ErrorVirusDetected", "virus"),
        ("ErrorExportRemoteArchiveItemsFailed", "archived-elsewhere"),
    ],
)
def test_an_item_that_can_not_be_read_is_refused_with_a_reason(code: str, reason: str) -> None:
    answer = item_answer(REF, code)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.code) == (reason, code)
    assert code in answer.detail


@pytest.mark.parametrize(
    "code",
    [
        "ErrorServerBusy",
        "ErrorMailboxStoreUnavailable",
        "ErrorBatchProcessingStopped",
        "ErrorNonExistentMailbox",
        "ErrorOfTomorrow",
    ],
)
def test_what_is_not_the_items_fault_is_no_answer_for_it(code: str) -> None:
    assert item_answer(REF, code) is None


def test_a_busy_server_behind_an_internal_error_refuses_no_item() -> None:
    values = {"InnerErrorResponseCode": "ErrorServerBusy"}
    assert item_answer(REF, "ErrorInternalServerError", values=values) is None


# --- statuses without SOAP


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Halt) for status in (301, 302, 307, 400, 401, 403, 404, 405, 407, 413, 415, 440)),
        *((status, Unavailable) for status in (408, 500, 502, 503, 504)),
        (429, Throttled),
    ],
)
def test_statuses_without_soap(status: int, kind: type[WireError]) -> None:
    error = from_http(status)
    assert type(error) is kind
    assert error.code == f"http {status}"
    if isinstance(error, Halt):
        assert error.side == "source"
        assert error.mend


def test_a_full_queue_says_when_to_come_back() -> None:
    error = from_http(503, {"retry-AFTER": "7"})
    assert isinstance(error, Throttled)
    assert (error.after, error.budget) == (7.0, "source")
    assert type(from_http(503, {"Retry-After": "tomorrow"})) is Unavailable


def test_different_causes_are_told_apart() -> None:
    assert len({str(from_http(status)).rsplit(" (", 1)[0] for status in (302, 401, 403, 404, 407, 413, 415, 440)}) == 8
