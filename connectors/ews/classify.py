"""What an answer of Exchange means: one table over every response code of the schema, and the functions that act on it.

A code is judged by what follows from it. A code that asks to come back is Throttled; one that tells of trouble in the server or
behind it is Unavailable; one about an item's content refuses that item alone; one that says that our request was wrong is a bug
to report, never a retry. So is a code that no schema knows. All requests are reads, so that none is ever in doubt.
[MS docs: EWS ResponseCode; code names from the messages schema of Exchange Server SE]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NoReturn

from connectors.base import Gone, Ref, Refusal
from connectors.errors import Halt, MailboxBlocked, StaleCursor, Throttled, Unavailable, UnknownAnswer


class Meaning(StrEnum):
    """What follows from a code."""

    THROTTLED = "throttled"  # the server did nothing and asks to come back
    UNAVAILABLE = "unavailable"  # the server or something behind it is in trouble
    STALE = "stale"  # the sync state is dead
    GONE = "gone"  # what was asked for is not there any more
    REFUSED = "refused"  # this item can't be read
    BLOCKED = "blocked"  # this mailbox can't proceed
    HALT = "halt"  # nobody can proceed
    BUG = "bug"  # our request was wrong


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a code means. ``reason`` is the catalogue's word, empty for a bug; ``sentence`` and ``mend`` are for people."""

    meaning: Meaning
    reason: str = ""
    sentence: str = ""
    mend: str = ""


_M = Meaning
_BUG = Verdict(_M.BUG, sentence="the server did not accept our request")

_GROUPS: tuple[tuple[Verdict, str], ...] = (
    (
        Verdict(_M.THROTTLED, "throttled", "the server asks to wait"),
        """ErrorServerBusy ErrorExceededConnectionCount ErrorExceededFindCountLimit ErrorTooManyObjectsOpened""",
    ),
    (
        Verdict(_M.UNAVAILABLE, "unavailable", "the server can't answer now"),
        """ErrorADOperation ErrorADUnavailable ErrorServiceUnavailable ErrorBatchProcessingStopped ErrorClientDisconnected
ErrorConnectionFailed ErrorDataSourceOperation ErrorInsufficientResources ErrorInternalServerError
ErrorInternalServerTransientError ErrorLogonAsNetworkServiceFailed ErrorMailboxFailover ErrorMailboxLogonFailed
ErrorMailboxMoveInProgress ErrorMailboxStoreUnavailable ErrorNotEnoughMemory ErrorNoPublicFolderReplicaAvailable
ErrorNoPublicFolderServerAvailable ErrorNoApplicableProxyCASServersAvailable ErrorNoRespondingCASInDestinationSite
ErrorParsingXMLResponse ErrorProxyCallFailed ErrorProxyRequestProcessingFailed ErrorProxyServiceDiscoveryFailed
ErrorProxySoapException ErrorProxyTokenExpired ErrorPublicFolderMailboxDiscoveryFailed
ErrorPublicFolderOperationFailed ErrorPublicFolderRequestProcessingFailed ErrorPublicFolderSyncException
ErrorRequestAborted ErrorServiceDiscoveryFailed ErrorTimeoutExpired ErrorWebRequestInInvalidState
ErrorWin32InteropError ErrorAutoDiscoverFailed""",
    ),
    (
        Verdict(_M.STALE, "stale-cursor", "the sync state means nothing to the server any more"),
        """ErrorInvalidSyncStateData""",
    ),
    (
        Verdict(_M.GONE, "gone", "it is not in the source any more"),
        """ErrorItemNotFound ErrorFolderNotFound ErrorSyncFolderNotFound ErrorParentFolderNotFound ErrorInvalidAttachmentId
ErrorObjectTypeChanged ErrorCalendarOccurrenceIsDeletedFromRecurrence ErrorCannotAccessDeletedPublicFolder""",
    ),
    (
        Verdict(
            _M.REFUSED, "corrupt", "the source can't read it", "repair the mailbox (New-MailboxRepairRequest), then run again"
        ),
        """ErrorCorruptData ErrorItemCorrupt ErrorContentConversionFailed ErrorMimeContentConversionFailed
ErrorMimeContentInvalid ErrorMimeContentInvalidBase64String ErrorItemPropertyRequestFailed
ErrorPropertyValidationFailure ErrorResponseSchemaValidation ErrorUnsupportedMapiPropertyType ErrorTimeZone
ErrorCalendarDurationIsTooLong ErrorCalendarEndDateIsEarlierThanStartDate ErrorCalendarInvalidPropertyState
ErrorCalendarInvalidPropertyValue ErrorCalendarInvalidRecurrence ErrorCalendarInvalidTimeZone ErrorCalendarOutOfRange
ErrorRecurrenceEndDateTooBig ErrorRecurrenceHasNoOccurrence ErrorUnsupportedRecurrence ErrorOccurrenceTimeSpanTooBig
ErrorOccurrenceCrossingBoundary ErrorCannotOpenFileAttachment""",
    ),
    (
        Verdict(_M.REFUSED, "no-mime", "the source has no MIME form of items of this class", "use the import lane"),
        """ErrorUnsupportedMimeConversion ErrorUnsupportedTypeForConversion""",
    ),
    (
        Verdict(
            _M.REFUSED,
            "too-large",
            "it is larger or deeper than the source hands out",
            "raise the size limits of EWS in web.config, then run again",
        ),
        """ErrorMessageSizeExceeded ErrorDataSizeLimitExceeded ErrorAttachmentSizeLimitExceeded
ErrorAttachmentNestLevelLimitExceeded""",
    ),
    (
        Verdict(_M.REFUSED, "virus", "the source's virus scanner holds it back", "look at the item in the source mailbox"),
        """ErrorVirusDetected ErrorVirusMessageDeleted""",
    ),
    (
        Verdict(
            _M.REFUSED,
            "archived-elsewhere",
            "its archive is hosted on another server",
            "migrate the archive from where it is hosted",
        ),
        """ErrorExportRemoteArchiveItemsFailed ErrorGetRemoteArchiveItemFailed""",
    ),
    (
        Verdict(
            _M.REFUSED,
            "access-denied",
            "the account may not read it",
            "grant the account full read access to the mailbox, best by ApplicationImpersonation",
        ),
        """ErrorAccessDenied""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "impersonation-denied",
            "the account may not impersonate this mailbox",
            "include the mailbox in the scope of the account's ApplicationImpersonation role",
        ),
        """ErrorImpersonateUserDenied ErrorImpersonationFailed""",
    ),
    (
        Verdict(_M.BLOCKED, "no-mailbox", "the server has no such mailbox", "check the source address in the waves file"),
        """ErrorNonExistentMailbox ErrorInvalidMailbox ErrorMissingExchangePrincipal ErrorCannotFindUser
ErrorMailboxConfiguration ErrorMissingEmailAddress ErrorNoCalendar ErrorArchiveMailboxNotEnabled
ErrorMailRecipientNotFound""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "not-primary",
            "the address is not the primary one of a mailbox",
            "put the primary SMTP address in the waves file",
        ),
        """ErrorNonPrimarySmtpAddress ErrorInvalidSmtpAddress ErrorInvalidUserPrincipalName
ErrorInvalidExchangeImpersonationHeaderData ErrorEmailAddressMismatch""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "account-disabled",
            "the mailbox's account is disabled",
            "enable the account in Active Directory, or link the mailbox to one that is",
        ),
        """ErrorAccountDisabled ErrorAccountSuspend ErrorAccountSuspendShowTierUpgrade""",
    ),
    (
        Verdict(
            _M.BLOCKED, "archived-elsewhere", "the archive of this mailbox can't be reached", "check where the archive is hosted"
        ),
        """ErrorArchiveMailboxServiceDiscoveryFailed ErrorArchiveMailboxSearchFailed ErrorGetRemoteArchiveFolderFailed
ErrorFindRemoteArchiveFolderFailed ErrorArchiveFolderPathCreation""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "folder-corrupt",
            "a folder of this mailbox is damaged",
            "repair the mailbox (New-MailboxRepairRequest), then run again",
        ),
        """ErrorFolderCorrupt ErrorFolderPropertRequestFailed""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "quota",
            "the source mailbox is full and the server refuses work on it",
            "raise the quota of the source mailbox",
        ),
        """ErrorQuotaExceeded""",
    ),
    (
        Verdict(
            _M.BLOCKED,
            "wrong-server",
            "the mailbox lives where this server can't pass the request on to",
            "give the EWS address of a server of the mailbox's own site and version",
        ),
        """ErrorCrossSiteRequest ErrorNoDestinationCASDueToKerberosRequirements ErrorNoDestinationCASDueToSSLRequirements
ErrorNoDestinationCASDueToVersionMismatch ErrorInvalidSchemaVersionForMailboxVersion ErrorWrongServerVersion
ErrorWrongServerVersionDelegate ErrorMultiLegacyMailboxAccess""",
    ),
    (
        Verdict(_M.HALT, "password-expired", "the password of the account has expired", "set a new password for the account"),
        """ErrorPasswordChangeRequired ErrorPasswordExpired""",
    ),
    (
        Verdict(
            _M.HALT,
            "account-refused",
            "the server does not take requests of this account",
            "check the account's rights in Exchange, its group memberships and the trust of its domain",
        ),
        """ErrorCallerIsInvalidADAccount ErrorImpersonationDenied ErrorInvalidAuthorizationContext
ErrorInvalidClientSecurityContext ErrorInvalidCrossForestCredentials ErrorInvalidLogonType
ErrorInvalidManagementRoleHeader ErrorInvalidNetworkServiceContext ErrorInvalidProxySecurityContext
ErrorInvalidSerializedAccessToken ErrorTokenSerializationDenied ErrorProxyGroupSidLimitExceeded
ErrorProxyRequestNotAllowed ErrorGetServerSecurityDescriptorFailed ErrorInvalidSecurityDescriptor
ErrorNoOAuthServerAvailableForRequest ErrorInvalidClientAccessTokenRequest ErrorUnauthorizedClientAccessTokenRequest
ErrorInvalidAccessLevel""",
    ),
    (
        Verdict(
            _M.HALT,
            "server-too-old",
            "the server is older than what this program speaks",
            "use a server with Exchange 2010 SP2 or newer",
        ),
        """ErrorIncorrectSchemaVersion ErrorInvalidServerVersion""",
    ),
    (
        Verdict(
            _M.HALT,
            "organisation-blocked",
            "the organisation does not let programs in",
            "allow EWS for this program in the organisation's settings",
        ),
        """ErrorOrganizationAccessBlocked ErrorInvalidLicense""",
    ),
    (
        # About writing, sharing, search and calls that we never make, and requests that were malformed.
        _BUG,
        """ErrorAccessModeSpecified ErrorAddDelegatesFailed ErrorAddressSpaceNotFound ErrorADSessionFilter
ErrorAffectedTaskOccurrencesRequired ErrorAvailabilityConfigNotFound ErrorCalendarCannotMoveOrCopyOccurrence
ErrorCalendarCannotUpdateDeletedItem ErrorCalendarCannotUseIdForOccurrenceId
ErrorCalendarCannotUseIdForRecurringMasterId ErrorCalendarFolderIsInvalidForCalendarView
ErrorCalendarInvalidAttributeValue ErrorCalendarInvalidDayForTimeChangePattern
ErrorCalendarInvalidDayForWeeklyRecurrence ErrorCalendarIsCancelledForAccept ErrorCalendarIsCancelledForDecline
ErrorCalendarIsCancelledForRemove ErrorCalendarIsCancelledForTentative ErrorCalendarIsDelegatedForAccept
ErrorCalendarIsDelegatedForDecline ErrorCalendarIsDelegatedForRemove ErrorCalendarIsDelegatedForTentative
ErrorCalendarIsNotOrganizer ErrorCalendarIsOrganizerForAccept ErrorCalendarIsOrganizerForDecline
ErrorCalendarIsOrganizerForRemove ErrorCalendarIsOrganizerForTentative
ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange ErrorCalendarMeetingRequestIsOutOfDate ErrorCalendarViewRangeTooBig
ErrorCannotArchiveCalendarContactTaskFolderException ErrorCannotArchiveItemsInPublicFolders
ErrorCannotArchiveItemsInArchiveMailbox ErrorCannotCreateCalendarItemInNonCalendarFolder
ErrorCannotCreateContactInNonContactFolder ErrorCannotCreatePostItemInNonMailFolder
ErrorCannotCreateTaskInNonTaskFolder ErrorCannotDeleteObject ErrorCannotDisableMandatoryExtension
ErrorCannotGetSourceFolderPath ErrorCannotGetExternalEcpUrl ErrorCannotDeleteTaskOccurrence ErrorCannotEmptyFolder
ErrorCannotSetCalendarPermissionOnNonCalendarFolder ErrorCannotSetNonCalendarPermissionOnCalendarFolder
ErrorCannotSetPermissionUnknownEntries ErrorCannotSpecifySearchFolderAsSourceFolder ErrorCannotUseFolderIdForItemId
ErrorCannotUseItemIdForFolderId ErrorChangeKeyRequired ErrorChangeKeyRequiredForWriteOperations
ErrorClientIntentInvalidStateDefinition ErrorClientIntentNotFound ErrorContainsFilterWrongType
ErrorContentIndexingNotEnabled ErrorCreateItemAccessDenied ErrorCreateManagedFolderPartialCompletion
ErrorCreateSubfolderAccessDenied ErrorCrossMailboxMoveCopy ErrorDelegateAlreadyExists ErrorDelegateCannotAddOwner
ErrorDelegateMissingConfiguration ErrorDelegateNoUser ErrorDelegateValidationFailed ErrorDeleteDistinguishedFolder
ErrorDeleteItemsFailed ErrorDeleteUnifiedMessagingPromptFailed ErrorDistinguishedUserNotSupported
ErrorDistributionListMemberNotExist ErrorDuplicateInputFolderNames ErrorDuplicateUserIdsSpecified ErrorEventNotFound
ErrorExceededSubscriptionCount ErrorExpiredSubscription ErrorExtensionNotFound ErrorExtensionsNotAuthorized
ErrorFolderSave ErrorFolderSaveFailed ErrorFolderSavePropertyError ErrorFolderExists ErrorFreeBusyGenerationFailed
ErrorImContactLimitReached ErrorImGroupDisplayNameAlreadyExists ErrorImGroupLimitReached
ErrorIncorrectUpdatePropertyCount ErrorIndividualMailboxLimitReached ErrorInvalidArgument
ErrorInvalidAttachmentSubfilter ErrorInvalidAttachmentSubfilterTextFilter ErrorInvalidChangeKey
ErrorInvalidCompleteDate ErrorInvalidContactEmailAddress ErrorInvalidContactEmailIndex ErrorInvalidDelegatePermission
ErrorInvalidDelegateUserId ErrorInvalidExcludesRestriction ErrorInvalidExpressionTypeForSubFilter
ErrorInvalidExtendedProperty ErrorInvalidExtendedPropertyValue ErrorInvalidFolderId ErrorInvalidFolderTypeForOperation
ErrorInvalidFractionalPagingParameters ErrorInvalidFreeBusyViewType ErrorInvalidId ErrorInvalidIdEmpty
ErrorInvalidIdMalformed ErrorInvalidIdMalformedEwsLegacyIdFormat ErrorInvalidIdMonikerTooLong
ErrorInvalidIdNotAnItemAttachmentId ErrorInvalidIdReturnedByResolveNames ErrorInvalidIdStoreObjectIdTooLong
ErrorInvalidIdTooManyAttachmentLevels ErrorInvalidIdXml ErrorInvalidImContactId
ErrorInvalidImDistributionGroupSmtpAddress ErrorInvalidImGroupId ErrorInvalidIndexedPagingParameters
ErrorInvalidInternetHeaderChildNodes ErrorInvalidItemForOperationArchiveItem
ErrorInvalidItemForOperationCreateItemAttachment ErrorInvalidItemForOperationCreateItem
ErrorInvalidItemForOperationAcceptItem ErrorInvalidItemForOperationDeclineItem ErrorInvalidItemForOperationCancelItem
ErrorInvalidItemForOperationExpandDL ErrorInvalidItemForOperationRemoveItem ErrorInvalidItemForOperationSendItem
ErrorInvalidItemForOperationTentative ErrorInvalidLikeRequest ErrorInvalidManagedFolderProperty
ErrorInvalidManagedFolderQuota ErrorInvalidManagedFolderSize ErrorInvalidMergedFreeBusyInterval
ErrorInvalidNameForNameResolution ErrorInvalidOperation ErrorInvalidOofParameter ErrorInvalidPagingMaxRows
ErrorInvalidParentFolder ErrorInvalidPercentCompleteValue ErrorInvalidPermissionSettings ErrorInvalidPhoneCallId
ErrorInvalidPhoneNumber ErrorInvalidUserInfo ErrorInvalidPropertyAppend ErrorInvalidPropertyDelete
ErrorInvalidPropertyForExists ErrorInvalidPropertyForOperation ErrorInvalidPropertyRequest ErrorInvalidPropertySet
ErrorInvalidPropertyUpdateSentMessage ErrorInvalidPullSubscriptionId ErrorInvalidPushSubscriptionUrl
ErrorInvalidRecipients ErrorInvalidRecipientSubfilter ErrorInvalidRecipientSubfilterComparison
ErrorInvalidRecipientSubfilterOrder ErrorInvalidRecipientSubfilterTextFilter ErrorInvalidReferenceItem
ErrorInvalidRequest ErrorInvalidRestriction ErrorInvalidRetentionTagTypeMismatch ErrorInvalidRetentionTagInvisible
ErrorInvalidRetentionTagInheritance ErrorInvalidRetentionTagIdGuid ErrorInvalidRoutingType
ErrorInvalidScheduledOofDuration ErrorInvalidSendItemSaveSettings ErrorInvalidSid ErrorInvalidSIPUri
ErrorInvalidSubfilterType ErrorInvalidSubfilterTypeNotAttendeeType ErrorInvalidSubfilterTypeNotRecipientType
ErrorInvalidSubscription ErrorInvalidSubscriptionRequest ErrorInvalidTimeInterval ErrorInvalidUserOofSettings
ErrorInvalidUserSid ErrorInvalidUserSidMissingUPN ErrorInvalidValueForProperty ErrorInvalidWatermark
ErrorIPGatewayNotFound ErrorIrresolvableConflict ErrorItemSave ErrorItemSavePropertyError
ErrorLegacyMailboxFreeBusyViewTypeNotMerged ErrorLocalServerObjectNotFound ErrorMailboxDataArrayEmpty
ErrorMailboxDataArrayTooBig ErrorMailboxHoldNotFound ErrorMailTipsDisabled ErrorManagedFolderAlreadyExists
ErrorManagedFolderNotFound ErrorManagedFoldersRootFailure ErrorMeetingSuggestionGenerationFailed
ErrorMessageDispositionRequired ErrorMissingArgument ErrorMissingEmailAddressForManagedFolder
ErrorMissingInformationEmailAddress ErrorMissingInformationReferenceItemId ErrorMissingItemForCreateItemAttachment
ErrorMissingManagedFolderId ErrorMissingRecipients ErrorMissingUserIdInformation ErrorMoreThanOneAccessModeSpecified
ErrorMoveCopyFailed ErrorMoveDistinguishedFolder ErrorNameResolutionMultipleResults ErrorNameResolutionNoMailbox
ErrorNameResolutionNoResults ErrorNoFolderClassOverride ErrorNoFreeBusyAccess ErrorNoPropertyTagForCustomProperties
ErrorNotDelegate ErrorOperationNotAllowedWithPublicFolderRoot ErrorParentFolderIdRequired ErrorPhoneNumberNotDialable
ErrorPropertyUpdate ErrorPromptPublishingOperationFailed ErrorProxiedSubscriptionCallFailure
ErrorPublicFolderServerNotFound ErrorQueryFilterTooLong ErrorReadEventsFailed ErrorReadReceiptNotPending
ErrorRemoveDelegatesFailed ErrorRequestStreamTooBig ErrorRequiredPropertyMissing ErrorResolveNamesInvalidFolderType
ErrorResolveNamesOnlyOneContactsFolderAllowed ErrorRestrictionTooLong ErrorRestrictionTooComplex ErrorResultSetTooBig
ErrorSavedItemFolderNotFound ErrorSchemaValidation ErrorSearchFolderNotInitialized ErrorSendAsDenied
ErrorSendMeetingCancellationsRequired ErrorSendMeetingInvitationsOrCancellationsRequired
ErrorSendMeetingInvitationsRequired ErrorSentMeetingRequestUpdate ErrorSentTaskRequestUpdate ErrorStaleObject
ErrorSubmissionQuotaExceeded ErrorSubscriptionAccessDenied ErrorSubscriptionDelegateAccessNotSupported
ErrorSubscriptionNotFound ErrorSubscriptionUnsubscribed ErrorTeamMailboxNotFound ErrorTeamMailboxNotLinkedToSharePoint
ErrorTeamMailboxUrlValidationFailed ErrorTeamMailboxNotAuthorizedOwner ErrorTeamMailboxActiveToPendingDelete
ErrorTeamMailboxFailedSendingNotifications ErrorTeamMailboxErrorUnknown ErrorTimeIntervalTooBig ErrorToFolderNotFound
ErrorUpdatePropertyMismatch ErrorUnifiedGroupMailboxAADCreationFailed ErrorUnifiedGroupMailboxAADDeleteFailed
ErrorUnifiedGroupMailboxNamingPolicy ErrorUnifiedGroupMailboxDeleteFailed ErrorUnifiedGroupMailboxNotFound
ErrorUnifiedGroupMailboxUpdateDelayed ErrorUnifiedGroupMailboxUpdatedPartialProperties
ErrorUnifiedGroupMailboxUpdateFailed ErrorUnifiedGroupMailboxProvisionFailed ErrorUnifiedMessagingDialPlanNotFound
ErrorUnifiedMessagingReportDataNotFound ErrorUnifiedMessagingPromptNotFound ErrorUnifiedMessagingRequestFailed
ErrorUnifiedMessagingServerNotFound ErrorUnableToGetUserOofSettings ErrorUnableToRemoveImContactFromGroup
ErrorUnsupportedSubFilter ErrorUnsupportedCulture ErrorUnsupportedPathForQuery ErrorUnsupportedPathForSortGroup
ErrorUnsupportedPropertyDefinition ErrorUnsupportedQueryFilter ErrorUpdateDelegatesFailed
ErrorUserNotUnifiedMessagingEnabled ErrorVoiceMailNotImplemented ErrorValueOutOfRange ErrorWorkingHoursSaveFailed
ErrorWorkingHoursXmlMalformed ErrorMissingInformationSharingFolderId ErrorDuplicateSOAPHeader
ErrorSharingSynchronizationFailed ErrorSharingNoExternalEwsAvailable ErrorFreeBusyDLLimitReached
ErrorInvalidGetSharingFolderRequest ErrorNotAllowedExternalSharingByPolicy ErrorUserNotAllowedByPolicy
ErrorPermissionNotAllowedByPolicy ErrorOrganizationNotFederated ErrorInvalidExternalSharingInitiator
ErrorMessageTrackingPermanentError ErrorMessageTrackingTransientError ErrorMessageTrackingNoSuchDomain
ErrorUserWithoutFederatedProxyAddress ErrorInvalidOrganizationRelationshipForFreeBusy
ErrorInvalidFederatedOrganizationId ErrorInvalidExternalSharingSubscriber ErrorInvalidSharingData
ErrorInvalidSharingMessage ErrorNotSupportedSharingMessage ErrorApplyConversationActionFailed
ErrorInboxRulesValidationError ErrorOutlookRuleBlobExists ErrorRulesOverQuota ErrorNewEventStreamConnectionOpened
ErrorMissedNotificationEvents ErrorDuplicateLegacyDistinguishedName ErrorNoSpeechDetected ErrorUMServerUnavailable
ErrorRecipientNotFound ErrorRecognizerNotInstalled ErrorSpeechGrammarError ErrorLocationServicesDisabled
ErrorLocationServicesRequestTimedOut ErrorLocationServicesRequestFailed ErrorLocationServicesInvalidRequest
ErrorWeatherServiceDisabled ErrorMailboxScopeNotAllowedWithoutQueryString ErrorInvalidPhotoSize
ErrorSearchQueryHasTooManyKeywords ErrorSearchTooManyMailboxes ErrorInvalidRetentionTagNone
ErrorDiscoverySearchesDisabled ErrorCalendarSeekToConditionNotSupported ErrorCalendarIsGroupMailboxForAccept
ErrorCalendarIsGroupMailboxForDecline ErrorCalendarIsGroupMailboxForTentative
ErrorCalendarIsGroupMailboxForSuppressReadReceipt ErrorMessagePerFolderCountReceiveQuotaExceeded
ErrorInvalidBulkActionType ErrorInvalidKeepNCount ErrorInvalidKeepNType ErrorInstantSearchSessionExpired
ErrorInstantSearchTimeout ErrorInstantSearchFailed ErrorUnsupportedUserForExecuteSearch
ErrorDuplicateExtendedKeywordDefinition ErrorUnexpectedUnifiedGroupsCount ErrorInvalidFederationOrganizationIdentifier
ErrorInvalidSweepRule ErrorInvalidSweepRuleOperationType ErrorTargetDomainNotSupported
ErrorInvalidInternetWebProxyOnLocalServer ErrorNoSenderRestrictionsSettingsFoundInRequest
ErrorDuplicateSenderRestrictionsInputFound ErrorSenderRestrictionsUpdateFailed ErrorMessageSubmissionBlocked
ErrorExceededMessageLimit ErrorExceededMaxRecipientLimitBlock ErrorExceededMaxRecipientLimit ErrorMessageBlocked
ErrorExceededMessageLimitShowTierUpgrade ErrorExceededMaxRecipientLimitShowTierUpgrade ErrorInvalidLongitude
ErrorInvalidLatitude ErrorUnifiedGroupAlreadyExists ErrorUnifiedGroupAadAuthorizationRequestDenied
ErrorUnifiedGroupCreationDisabled ErrorMarketPlaceExtensionAlreadyInstalledForOrg ErrorExtensionAlreadyInstalledForOrg
ErrorNewerExtensionAlreadyInstalled ErrorNewerMarketPlaceExtensionAlreadyInstalled ErrorInvalidExtensionId
ErrorCannotUninstallProvidedExtensions ErrorNoRbacPermissionToInstallMarketPlaceExtensions
ErrorNoRbacPermissionToInstallReadWriteMailboxExtensions ErrorInvalidReportMessageActionType
ErrorCannotDownloadExtensionManifest ErrorCalendarForwardActionNotAllowed ErrorUnifiedGroupAliasNamingPolicy
ErrorSubscriptionsDisabledForGroup""",
    ),
)

CODES: Mapping[str, Verdict] = MappingProxyType({code: verdict for verdict, codes in _GROUPS for code in codes.split()})
"""What every code of the schema means; NoError is none."""

WHOLE = "source"
"""Name of the budget of the whole server, whatever the mailbox."""

_INNER = "InnerErrorResponseCode"
_BACK_OFF = "BackOffMilliseconds"


def verdict(code: str) -> Verdict:
    """What the code means; a code that no schema knows is a bug."""
    return CODES.get(code, _BUG)


def raise_for(code: str, *, text: str = "", values: Mapping[str, str] = MappingProxyType({}), status: int = 200) -> NoReturn:
    """Raise what a code means for a whole call: a SOAP fault, or the one message of an answer.

    ``text`` is the server's own; it can quote private content and is never shown. ``values`` are those of MessageXml.
    What was asked for being gone is Unavailable: the next listing shows that it is. A refused item that was asked for alone, or
    that failed a whole call, blocks the mailbox, because nothing says which item it was.
    """
    code = _told(code, values)
    found = CODES.get(code)
    shown = code or f"http {status}"
    if found is None:
        raise UnknownAnswer(f"Exchange answered {status} with a code that no table knows: {shown}", code=shown)
    message = f"{found.sentence} ({shown})"
    match found.meaning:
        case _M.THROTTLED:
            raise Throttled(message, code=shown, after=back_off(values))
        case _M.UNAVAILABLE | _M.GONE:
            raise Unavailable(message, code=shown)
        case _M.STALE:
            raise StaleCursor(message, code=shown)
        case _M.REFUSED | _M.BLOCKED:
            raise MailboxBlocked(message, code=shown, side="source", mend=found.mend)
        case _M.HALT:
            raise Halt(message, code=shown, side="source", mend=found.mend)
        case _:
            raise UnknownAnswer(message, code=shown)


def item_answer(ref: Ref, code: str, *, values: Mapping[str, str] = MappingProxyType({})) -> Gone | Refusal | None:
    """What a code means for one item of a batch; None where it says nothing of this item: then ``raise_for`` does."""
    code = _told(code, values)
    found = verdict(code)
    if found.meaning is _M.GONE:
        return Gone(ref)
    if found.meaning is _M.REFUSED:
        return Refusal(reason=found.reason, detail=f"{found.sentence} ({code})", code=code)
    return None


def back_off(values: Mapping[str, str]) -> float | None:
    """The seconds that the server asks to wait; None if it names none, nonsense, or nothing at all.

    A server with too many connections may suggest no wait [github.com/OfficeDev/ews-managed-api/issues/293]; heeding that
    would be asking without end.
    """
    try:
        seconds = int(values.get(_BACK_OFF, "")) / 1000
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _told(code: str, values: Mapping[str, str]) -> str:
    # A busy back end is told through the front end as an internal error, with the true code inside.
    inner = values.get(_INNER, "")
    return inner if code == "ErrorInternalServerError" and verdict(inner).meaning is _M.THROTTLED else code


def raise_for_http(status: int, headers: Mapping[str, str]) -> NoReturn:
    """Raise what a status without a SOAP body means. ``headers`` are read without regard to case.

    503 comes from the web server before Exchange: its queue is full, or its application is down.
    """
    code = f"http {status}"
    sent = {name.casefold(): value for name, value in headers.items()}
    after = _retry_after(sent.get("retry-after", ""))
    if status == 429 or (status == 503 and after is not None):
        raise Throttled(f"the server asks to wait ({code})", code=code, after=after, budget=WHOLE)
    if status >= 500 or status == 408:
        raise Unavailable(f"the server can't answer now ({code})", code=code)
    sentence, mend = _STATUSES.get(
        status, ("the server turned the request away", "check the EWS address and any proxy before it")
    )
    if 300 <= status < 400:
        sentence, mend = _MOVED
    raise Halt(f"{sentence} ({code})", code=code, side="source", mend=mend)


_MOVED = (
    "the server sends the request to another address",
    "give the final EWS address, https://…/EWS/Exchange.asmx; a sign-in page before it can't be used",
)
_WRONG = ("the address is not that of an EWS service", "give the address that ends in /EWS/Exchange.asmx")
_STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("the server refuses the sign-in", "check the user name and the password, and whether the account is locked"),
    403: ("the server forbids EWS to this account", "enable EWS for the account and the organisation, and allow this program"),
    404: _WRONG,
    405: _WRONG,
    410: _WRONG,
    407: ("a proxy before the server asks for a sign-in", "let requests to the EWS address pass the proxy"),
    413: ("the web server takes no request of this size", "raise the request limits of EWS on the server"),
    415: ("the address does not take SOAP requests", "give the address that ends in /EWS/Exchange.asmx"),
    440: ("a sign-in page stands before EWS", "publish EWS without forms-based sign-in"),
    456: ("the account is blocked", "unlock the account"),
}


def _retry_after(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
