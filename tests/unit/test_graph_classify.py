"""What Graph's answers mean: total over every code that the facts list, and never a silent retry."""

from __future__ import annotations

import pytest

from connectors.base import Doubt, Refusal, Unsent
from connectors.errors import Halt, MailboxBlocked, StaleCursor, Throttled, Unavailable, UnknownAnswer, WireError
from connectors.graph.classify import CODES, Meaning, Rejected, error_of, retry_after, row_of

# Every code that is known from the field or the documents, with a status it comes with and what has to follow.
KNOWN: list[tuple[int, str, type[WireError]]] = [
    (429, "ApplicationThrottled", Throttled),
    (429, "TooManyRequests", Throttled),
    (429, "activityLimitReached", Throttled),
    (429, "ErrorServerBusy", Throttled),
    (404, "ErrorItemNotFound", Rejected),
    (404, "itemNotFound", Rejected),
    (409, "ErrorFolderExists", Rejected),
    (507, "ErrorQuotaExceeded", MailboxBlocked),
    (403, "ErrorQuotaExceeded", MailboxBlocked),
    (404, "MailboxNotEnabledForRESTAPI", MailboxBlocked),
    (404, "ErrorInvalidUser", MailboxBlocked),
    (404, "ResourceNotFound", MailboxBlocked),
    (404, "Request_ResourceNotFound", MailboxBlocked),
    (403, "ErrorAccessDenied", MailboxBlocked),
    (403, "extensionError", MailboxBlocked),
    (403, "Authorization_RequestDenied", Halt),
    (401, "InvalidAuthenticationToken", Rejected),
    (400, "ErrorCannotOpenFileAttachment", Rejected),
    (400, "ErrorCorruptData", Rejected),
    (400, "ErrorInvalidRecipients", Rejected),
    (400, "ErrorTooManyObjectsOpened", Rejected),
    (400, "ErrorMimeContentInvalidBase64String", Rejected),
    (400, "UnableToDeserializePostBody", UnknownAnswer),
    (400, "InvalidInternetMessageHeader", Rejected),
    (400, "InvalidInternetMessageHeaderCollection", Rejected),
    (400, "ErrorOccurrenceCrossingBoundary", Rejected),
    (410, "SyncStateNotFound", StaleCursor),
    (410, "SyncStateInvalid", StaleCursor),
    (410, "ResyncRequired", StaleCursor),
    (400, "InefficientFilter", UnknownAnswer),
    (413, "", Rejected),
    (410, "", StaleCursor),
    (507, "", MailboxBlocked),
]


@pytest.mark.parametrize(("status", "code", "expected"), KNOWN)
def test_every_listed_code_has_its_row(status: int, code: str, expected: type[WireError]) -> None:
    assert type(error_of(status, code)) is expected


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_row_leads_to_an_error_with_a_sentence_and_its_code(code: str) -> None:
    error = error_of(400, code)
    assert error.code == code
    assert code in str(error)
    assert CODES[code].mend or CODES[code].meaning not in (Meaning.BLOCKED, Meaning.HALT)


def test_codes_are_recognised_in_any_letter_case() -> None:
    assert isinstance(error_of(404, "erroritemnotfound"), Rejected)


def test_an_unknown_code_is_a_bug_and_not_a_retry() -> None:
    assert type(error_of(400, "ErrorOfTheYear3000")) is UnknownAnswer
    assert type(error_of(418, "")) is UnknownAnswer
    assert type(error_of(302, "")) is UnknownAnswer


@pytest.mark.parametrize("status", [500, 502, 503, 504, 509])
@pytest.mark.parametrize("code", ["", "ErrorServerBusy", "UnknownError", "ErrorOfTheYear3000", "InternalServerError"])
def test_a_bare_5xx_proves_nothing(status: int, code: str) -> None:
    error = error_of(status, code)
    assert isinstance(error, Unavailable)
    assert not error.did_nothing


@pytest.mark.parametrize("status", [429, 503])
def test_a_named_wait_means_that_nothing_was_done(status: int) -> None:
    error = error_of(status, "whatever", after=2.128)
    assert isinstance(error, Throttled)
    assert error.after == 2.128


def test_429_did_nothing_even_without_a_named_wait() -> None:
    error = error_of(429, "")
    assert isinstance(error, Throttled)
    assert error.after is None


def test_a_lasting_cause_counts_under_500_but_not_under_a_gateway_timeout() -> None:
    assert isinstance(error_of(500, "ErrorCorruptData"), Rejected)
    assert isinstance(error_of(504, "ErrorCorruptData"), Unavailable)


def test_a_bad_request_over_four_megabytes_is_an_item_too_large_and_no_bug() -> None:
    row = row_of(400, "BadRequest", "The maximum request length supported is 4MB.")
    assert row is not None
    assert row.reason == "too-large"


@pytest.mark.parametrize(
    ("text", "seconds"), [("2.128", 2.128), ("30", 30.0), ("", None), ("soon", None), ("-1", None), ("nan", None)]
)
def test_retry_after_keeps_fractions_and_ignores_nonsense(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_what_an_exception_says_about_its_write() -> None:
    from connectors.graph.destination import outcome_of

    assert isinstance(outcome_of(error_of(400, "ErrorCorruptData")), Refusal)
    assert isinstance(outcome_of(error_of(504, "")), Doubt)
    assert isinstance(outcome_of(Unavailable("refused", did_nothing=True)), Unsent)
    assert isinstance(outcome_of(error_of(429, "")), Unsent)
    assert isinstance(outcome_of(error_of(507, "")), Unsent)
    assert isinstance(outcome_of(error_of(400, "ErrorOfTheYear3000")), Unsent)
