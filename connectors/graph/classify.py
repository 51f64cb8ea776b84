"""What an answer of Graph means: one table by code, one by status, and one function over both.

An answer is first judged by whether the server acted: 429, and 503 with Retry-After, did nothing; any other 5xx and 408 prove
nothing, so that a write behind them is in doubt. Then by its code; then, for answers that carry no code, by its status. A code
that no row knows is a bug of ours to report, never a retry.
[learn.microsoft.com/graph/throttling, learn.microsoft.com/graph/errors]
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from connectors.base import Refusal
from connectors.errors import Halt, MailboxBlocked, StaleCursor, Throttled, Unavailable, UnknownAnswer, WireError

T = TypeVar("T")


class Meaning(StrEnum):
    """What follows from an answer."""

    LATER = "later"  # the server did nothing and asks to come back
    DOUBT = "doubt"  # the server may or may not have acted
    REFUSED = "refused"  # this item can never go as it is
    GONE = "gone"  # what was asked for is not there
    EXISTS = "exists"  # a folder of that name is there already
    CHANGED = "changed"  # the item was changed since its change key was read
    SIGN_IN = "sign-in"  # sign in again; the server did nothing
    STALE = "stale"  # a delta token is dead
    BLOCKED = "blocked"  # this mailbox can't proceed
    HALT = "halt"  # nobody can proceed
    BUG = "bug"  # our request was wrong: never retried


class Rejected(WireError):
    """The server turned one request down for certain; nothing was done. Never leaves this connector."""

    def __init__(self, message: str, *, code: str, status: int, meaning: Meaning, reason: str) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.meaning = meaning
        self.reason = reason

    def refusal(self) -> Refusal:
        """The same as a value."""
        return Refusal(reason=self.reason, detail=str(self), code=self.code)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tables: what an answer means, the catalogue's word for it, a sentence, and what mends it."""

    meaning: Meaning
    reason: str
    sentence: str
    mend: str = ""


_M = Meaning
_WAIT = "the server asks to wait"
_TRANSIENT = "the server failed without saying whether it acted"
_TOKEN = Row(_M.SIGN_IN, "token", "the access token is no longer accepted", "check the app registration's consent and secret")
_GONE = Row(_M.GONE, "target-gone", "it is not in the target any more")
_CHANGED = Row(_M.CHANGED, "target-changed", "the target item was changed since it was last seen")
_DENIED = Row(
    _M.BLOCKED,
    "access-denied",
    "the app may not open this mailbox",
    "include the mailbox in the app's access policy or RBAC scope; changes take up to two hours",
)
_NO_USER = Row(_M.BLOCKED, "no-user", "the tenant has no such user", "check the target address in the waves file")
_NO_MAILBOX = Row(
    _M.BLOCKED,
    "no-mailbox",
    "the user has no Exchange Online mailbox",
    "assign a licence with Exchange Online, or finish the provisioning, and run again",
)
_FULL = Row(_M.BLOCKED, "quota", "the target mailbox is full", "raise its quota or assign a larger plan, then run again")
_CONSENT = Row(
    _M.HALT,
    "consent-missing",
    "the app lacks a permission for this request",
    "grant the application permissions that `migrator check` lists, with admin consent",
)
_LARGE = Row(_M.REFUSED, "too-large", "it is larger than the target takes")
_CORRUPT = Row(_M.REFUSED, "corrupt", "the target can't read it")
_RECIPIENTS = Row(_M.REFUSED, "recipients", "the target takes none of its recipients")
_MALFORMED = Row(_M.REFUSED, "malformed", "the target refuses one of its properties")
_LATER = Row(_M.LATER, "throttled", _WAIT)
_DOUBT = Row(_M.DOUBT, "unavailable", _TRANSIENT)
_STALE = Row(_M.STALE, "stale-cursor", "the delta token means nothing to the server any more")
_EXISTS = Row(_M.EXISTS, "folder-exists", "a folder of that name is there already")
_BUG = Row(_M.BUG, "bad-request", "the server did not understand our request")
_SERIES = Row(_M.REFUSED, "recurrence", "the target can't hold a series of this kind")
_NAME = Row(_M.REFUSED, "folder-name", "the target refuses the folder's name")
_DEPTH = Row(_M.REFUSED, "folder-limit", "the target's limit of folders or depth is reached")

CODES: dict[str, Row] = {
    # later: nothing was done
    "ApplicationThrottled": _LATER,
    "TooManyRequests": _LATER,
    "activityLimitReached": _LATER,
    "ErrorServerBusy": _LATER,
    "ErrorExceededConnectionCount": _LATER,
    "ErrorMailboxConcurrency": _LATER,
    "MailboxConcurrency": _LATER,
    # may have happened
    "serviceNotAvailable": _DOUBT,
    "ServiceUnavailable": _DOUBT,
    "UnknownError": _DOUBT,
    "generalException": _DOUBT,
    "InternalServerError": _DOUBT,
    "ErrorInternalServerError": _DOUBT,
    "ErrorInternalServerTransientError": _DOUBT,
    "ErrorTimeoutExpired": _DOUBT,
    "ErrorMailboxStoreUnavailable": _DOUBT,
    "ErrorMailboxMoveInProgress": _DOUBT,
    "ErrorBatchProcessingStopped": _DOUBT,
    "RequestTimeout": _DOUBT,
    "GatewayTimeout": _DOUBT,
    "BadGateway": _DOUBT,
    "timeout": _DOUBT,
    # not there
    "ErrorItemNotFound": _GONE,
    "itemNotFound": _GONE,
    "ErrorFolderNotFound": _GONE,
    "ErrorParentFolderNotFound": _GONE,
    "ErrorNonExistentMailboxFolder": _GONE,
    "ErrorNoSuchFolder": _GONE,
    # there already, or changed
    "ErrorFolderExists": _EXISTS,
    "nameAlreadyExists": _EXISTS,
    "ErrorIrresolvableConflict": _CHANGED,
    "ErrorChangeKeyRequired": _CHANGED,
    "ErrorChangeKeyRequiredForWriteOperations": _CHANGED,
    "ErrorStaleObject": _CHANGED,
    "ErrorInvalidChangeKey": _CHANGED,
    "resourceModified": _CHANGED,
    "PreconditionFailed": _CHANGED,
    # the item can't go
    "ErrorMessageSizeExceeded": _LARGE,
    "ErrorAttachmentSizeLimitExceeded": _LARGE,
    "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize": Row(
        _M.REFUSED, "attachment-size", "an attachment is too small to be uploaded in parts"
    ),
    "RequestEntityTooLarge": _LARGE,
    "RequestBodyTooLarge": _LARGE,
    "MaximumRequestLengthExceeded": _LARGE,
    "ErrorCannotOpenFileAttachment": _CORRUPT,
    "ErrorCorruptData": _CORRUPT,
    "ErrorImportItemCorrupt": _CORRUPT,
    "ErrorItemCorrupt": _CORRUPT,
    "ErrorContentConversionFailed": _CORRUPT,
    "ErrorMimeContentInvalid": _CORRUPT,
    "ErrorMimeContentInvalidBase64String": _CORRUPT,
    "ErrorMimeContentConversionFailed": _CORRUPT,
    "ErrorInvalidItemForOperation": _CORRUPT,
    "ErrorUnsupportedMimeConversion": _CORRUPT,
    "ErrorObjectTypeChanged": Row(_M.REFUSED, "class-refused", "the target takes no item of this class this way"),
    "ErrorItemSave": _CORRUPT,
    "ErrorItemSavePropertyError": _MALFORMED,
    "ErrorPropertyValidationFailure": _MALFORMED,
    "ErrorInvalidProperty": _MALFORMED,
    "ErrorInvalidPropertySet": _MALFORMED,
    "ErrorInvalidExtendedPropertyValue": _MALFORMED,
    "ErrorInvalidRecipients": _RECIPIENTS,
    "ErrorMissingRecipients": _RECIPIENTS,
    "ErrorTooManyObjectsOpened": Row(_M.REFUSED, "too-many-parts", "it holds more nested objects than the target opens"),
    "ErrorMaximumAttachmentsExceeded": Row(_M.REFUSED, "too-many-attachments", "it has more attachments than the target takes"),
    "InvalidInternetMessageHeader": _MALFORMED,
    "InvalidInternetMessageHeaderCollection": _MALFORMED,
    "ErrorOccurrenceCrossingBoundary": Row(_M.REFUSED, "recurrence", "an exception of its series crosses a neighbour"),
    "ErrorRecurrenceHasNoOccurrence": _SERIES,
    "ErrorRecurrenceEndDateTooBig": _SERIES,
    "ErrorOccurrenceTimeSpanTooBig": _SERIES,
    "ErrorInvalidRecurrence": _SERIES,
    "ErrorCalendarInvalidRecurrence": _SERIES,
    "ErrorCalendarInvalidDayForWeeklyRecurrence": _SERIES,
    "ErrorCalendarEndDateIsEarlierThanStartDate": _MALFORMED,
    "ErrorCalendarDurationIsTooLong": _MALFORMED,
    "ErrorInvalidTimeZone": _MALFORMED,
    "TimeZoneNotSupportedException": _MALFORMED,
    "ErrorDuplicateTransactionId": Row(_M.EXISTS, "already-there", "it was made by an earlier request"),
    "ErrorFolderSavePropertyError": _NAME,
    "ErrorInvalidFolderName": _NAME,
    "ErrorFolderHierarchyTooDeep": _DEPTH,
    "ErrorFolderQuotaExceeded": _DEPTH,
    "ErrorDeleteDistinguishedFolder": Row(_M.REFUSED, "special-folder", "a special folder can't be removed"),
    "ErrorMoveDistinguishedFolder": Row(_M.REFUSED, "special-folder", "a special folder can't be moved"),
    # a setting can't go
    "ErrorRulesOverQuota": Row(_M.REFUSED, "rule-quota", "the target's room for rules is used up"),
    "ErrorInboxRulesValidationError": Row(_M.REFUSED, "rule-refused", "the target does not take a rule like this"),
    "ErrorInvalidTimeSettings": Row(_M.REFUSED, "time-refused", "the target does not take these times"),
    "ErrorPropertyUpdate": Row(_M.REFUSED, "category-exists", "the target has a category of that name already"),
    "InvalidArguments": Row(_M.REFUSED, "malformed", "the target refuses one of its properties"),
    # the mailbox can't
    "ErrorQuotaExceeded": _FULL,
    "quotaLimitReached": _FULL,
    "insufficientStorage": _FULL,
    "MailboxNotEnabledForRESTAPI": _NO_MAILBOX,
    "MailboxNotSupportedForRESTAPI": _NO_MAILBOX,
    "MailboxNotHostedInExchangeOnline": _NO_MAILBOX,
    "ErrorMissingMailbox": _NO_MAILBOX,
    "ErrorNonExistentMailbox": _NO_MAILBOX,
    "ErrorInvalidUser": _NO_USER,
    "ResourceNotFound": _NO_USER,
    "Request_ResourceNotFound": _NO_USER,
    "ErrorAccessDenied": _DENIED,
    "extensionError": _DENIED,
    "ErrorAccountDisabled": Row(
        _M.BLOCKED, "account-disabled", "the target account is disabled", "enable the account or mailbox"
    ),
    "ErrorMailboxInactive": _NO_MAILBOX,
    # nobody can
    "Authorization_RequestDenied": _CONSENT,
    "accessDenied": _DENIED,
    "Authorization_IdentityNotFound": Row(
        _M.HALT, "no-app", "the tenant doesn't know the app", "register the app in this tenant and grant admin consent"
    ),
    "InvalidAuthenticationToken": _TOKEN,
    "AuthenticationError": _TOKEN,
    "CompactToken": _TOKEN,
    "unauthenticated": _TOKEN,
    "TokenExpired": _TOKEN,
    "ErrorTokenExpired": _TOKEN,
    # dead cursors
    "SyncStateNotFound": _STALE,
    "SyncStateInvalid": _STALE,
    "ResyncRequired": _STALE,
    "ErrorInvalidSyncStateData": _STALE,
    # our own mistakes
    "UnableToDeserializePostBody": _BUG,
    "RequestBodyRead": _BUG,
    "BadRequest": _BUG,
    "invalidRequest": _BUG,
    "ErrorInvalidRequest": _BUG,
    "ErrorInvalidArgument": _BUG,
    "ErrorInvalidParameter": _BUG,
    "ErrorInvalidIdMalformed": _BUG,
    "ErrorInvalidId": _BUG,
    "ErrorInvalidUrlQueryFilter": _BUG,
    "ErrorInvalidUrlQuery": _BUG,
    "InefficientFilter": _BUG,
    "ErrorSchemaValidation": _BUG,
    "ErrorUnsupportedPropertyDefinition": _BUG,
    "Request_BadRequest": _BUG,
    "Request_UnsupportedQuery": _BUG,
    "notSupported": _BUG,
    "FailedDependency": _BUG,
}
"""Every code of this project's tables; compared without regard to case, because Graph's services differ in it."""

STATUSES: dict[int, Row] = {
    401: _TOKEN,
    403: _DENIED,
    404: _GONE,
    408: _DOUBT,
    409: _CHANGED,
    410: _STALE,
    412: _CHANGED,
    413: _LARGE,
    429: _LATER,
    507: _FULL,
}
"""What an answer means that carries no code; other 5xx prove nothing, other 4xx are unknown."""

_BY_FOLDED = {code.casefold(): row for code, row in CODES.items()}
_LENGTH_HINT = "maximum request length"
_OUTRANKS_5XX = frozenset({_M.BLOCKED, _M.HALT, _M.GONE, _M.REFUSED, _M.CHANGED, _M.EXISTS})


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a Retry-After names, fractions kept; None if it names none. A date is not documented for Graph."""
    text = headers.get("Retry-After") or headers.get("retry-after") or ""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def row_of(status: int, code: str, hint: str = "", after: float | None = None) -> Row | None:
    """The row for an answer; None if no table knows it. ``hint`` is the message, read only where one code means two things."""
    if status == 429 or (status == 503 and after is not None):
        return _LATER
    row = _BY_FOLDED.get(code.casefold()) if code else None
    if row is None and not code:
        row = STATUSES.get(status)
    if status >= 500:
        # Only a code that names a lasting cause says more than the status; "busy" under a bare 5xx proves nothing.
        return row if status == 507 or (row is not None and status != 504 and row.meaning in _OUTRANKS_5XX) else _DOUBT
    if row is None and status in (408, 413):
        return STATUSES[status]
    if row is _BUG and _LENGTH_HINT in hint.casefold():
        return _LARGE
    return row


def error_of(
    status: int, code: str, hint: str = "", after: float | None = None, *, budget: str = "server", side: str = "target"
) -> WireError:
    """The exception for an answer that is no success. Messages are ours; the server's may quote private content."""
    row = row_of(status, code, hint, after)
    shown = code or f"http {status}"
    if row is None:
        return UnknownAnswer(f"Graph answered {status} with a code that no table knows: {shown}", code=shown)
    text = f"{row.sentence} ({shown})"
    match row.meaning:
        case _M.LATER:
            return Throttled(text, code=shown, after=after, budget=budget)
        case _M.DOUBT:
            return Unavailable(text, code=shown)
        case _M.STALE:
            return StaleCursor(text, code=shown)
        case _M.BLOCKED:
            return MailboxBlocked(text, code=shown, side=side, mend=row.mend)
        case _M.HALT:
            return Halt(text, code=shown, side=side, mend=row.mend)
        case _M.BUG:
            return UnknownAnswer(text, code=shown)
        case _:
            return Rejected(text, code=shown, status=status, meaning=row.meaning, reason=row.reason)


async def clear_of_rejections(asking: Awaitable[T]) -> T:
    """A Rejected outside of a write is no item's fault: it blocks the mailbox, by name."""
    try:
        return await asking
    except Rejected as error:
        raise MailboxBlocked(str(error), code=error.code, side="target", mend="see the code; run `migrator check`") from error
