"""Settings as Exchange writes them, the odd ones too: nothing is dropped without a word."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import closing

import pytest
from ews_script import ANNA, Answer, Request, T, answers, envelope, message, scripted, source_of
from lxml import etree

from connectors.base import Role
from connectors.ews import settings_shape
from connectors.ews.settings import ExchangeSettings
from connectors.settings import Action, Clause, Deed, Holder, Kind, Place, ReplyState, Rule, Settings, Test


def element(body: str) -> etree._Element:
    return etree.fromstring(f'<x xmlns="{T}">{body}</x>')[0]


def rule(inner: str) -> Rule:
    head = "<DisplayName>x</DisplayName><Priority>1</Priority><IsEnabled>true</IsEnabled>"
    return settings_shape.rule_of(element(f"<Rule>{head}{inner}</Rule>"))


CONDITIONS = [
    ("<Categories><String>a</String><String>b</String></Categories>", Clause(Test.CATEGORIES, ("a", "b"))),
    ("<FlaggedForAction>FollowUp</FlaggedForAction>", Clause(Test.ACTION_FLAG, ("followup",))),
    ("<Importance>High</Importance>", Clause(Test.IMPORTANCE, ("high",))),
    ("<IsNDR>true</IsNDR>", Clause(Test.NOT_DELIVERED)),
    ("<IsNDR>1</IsNDR>", Clause(Test.NOT_DELIVERED)),
    ("<WithinSizeRange><MinimumSize>5</MinimumSize></WithinSizeRange>", Clause(Test.SIZE, ("5", ""))),
    ("<WithinDateRange><EndDateTime>2020-01-01</EndDateTime></WithinDateRange>", Clause(Test.DATES, ("", "2020-01-01"))),
    (
        "<FromAddresses><Address><Name>N</Name><EmailAddress>a@x.test</EmailAddress></Address></FromAddresses>",
        Clause(Test.FROM, ("a@x.test",)),
    ),
]


@pytest.mark.parametrize(("xml", "clause"), CONDITIONS)
def test_a_condition_and_the_same_as_an_exception(xml: str, clause: Clause) -> None:
    assert rule(f"<Conditions>{xml}</Conditions>").conditions == (clause,)
    assert rule(f"<Exceptions>{xml}</Exceptions>").exceptions == (clause,)


def test_a_condition_that_says_no_is_none() -> None:
    assert rule("<Conditions><IsSigned>false</IsSigned></Conditions><Actions><Delete>false</Delete></Actions>").content() == ()


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("<Conditions><NewThing>x</NewThing></Conditions>", "a condition of a kind that is not known (NewThing)"),
        ("<Actions><NewDeed>x</NewDeed></Actions>", "an action of a kind that is not known (NewDeed)"),
        ("<IsNotSupported>true</IsNotSupported>", "parts that the source shows to Outlook alone"),
        ("<IsInError>true</IsInError>", "parts that the source itself calls faulty"),
        ("<Actions><MoveToFolder/></Actions>", "a folder that the source does not name"),
    ],
)
def test_what_has_no_word_is_told(inner: str, told: str) -> None:
    assert rule(inner).untold == (told,)


def test_folders_are_named_by_id_or_by_what_they_are_for() -> None:
    found = rule(
        '<Actions><CopyToFolder><FolderId Id="F"/></CopyToFolder>'
        '<MoveToFolder><DistinguishedFolderId Id="junkemail"/></MoveToFolder></Actions>'
    )
    assert found.actions == (Action(Deed.COPY, ("F",)), Action(Deed.MOVE, ("junkemail",)))


def test_old_addresses_are_replaced_and_the_lost_ones_told() -> None:
    mixed = Rule(
        name="x", order=1, enabled=True, conditions=(Clause(Test.FROM, ("/o=a", "b@x.test")), Clause(Test.SUBJECT, ("/o=a",))),
        actions=(Action(Deed.FORWARD, ("/o=gone",)),),
    )  # fmt: skip
    found = settings_shape.with_addresses(mixed, {"/o=a": "a@x.test"})
    assert found.conditions == (Clause(Test.FROM, ("a@x.test", "b@x.test")), Clause(Test.SUBJECT, ("/o=a",)))
    assert found.untold == ("the name of somebody who has no address any more",)


@pytest.mark.parametrize("document", [b"", b"<a", b"not xml"])
def test_a_list_of_categories_that_is_none(document: bytes) -> None:
    with pytest.raises(ValueError, match="no document"):
        settings_shape.categories_of(document)


def test_categories_have_one_colour_of_twenty_five_and_names_once() -> None:
    given = "".join(
        f'<category name="{name}" color="{colour}"/>' for name, colour in (("a", 3), ("A", 4), ("b", 25), ("", 1), ("c", -1))
    )
    found = settings_shape.categories_of(f'<categories xmlns="CategoryList.xsd">{given}</categories>'.encode())
    assert [(one.name, one.colour) for one in found] == [("a", 3), ("b", None), ("c", None)]


@pytest.mark.parametrize(("start", "read"), [("08:00", "08:00:00"), ("08:00:30", "08:00:30")])
def test_working_hours(start: str, read: str) -> None:
    document = (
        '<Root xmlns="WorkingHours.xsd"><WorkHoursVersion1><TimeZone><Name> UTC </Name></TimeZone><TimeSlot>'
        f"<Start>{start}</Start><End>17:00:00</End></TimeSlot><WorkDays>Sunday Weekday monday</WorkDays>"
        "</WorkHoursVersion1></Root>"
    )
    found = settings_shape.hours_of(document.encode())
    assert (found.start, found.days, found.zone) == (read, ("sunday", "monday"), "UTC")
    with pytest.raises(ValueError, match="time of day"):
        settings_shape.hours_of(document.replace(start, "25:00").encode())


def test_a_custom_permission_is_spelt_out_as_the_scripts_name_it() -> None:
    folder = element(
        "<Folder><PermissionSet><Permissions><Permission><UserId><PrimarySmtpAddress>a@x.test</PrimarySmtpAddress></UserId>"
        "<CanCreateItems>true</CanCreateItems><IsFolderVisible>true</IsFolderVisible><EditItems>All</EditItems>"
        "<DeleteItems>Owned</DeleteItems><ReadItems>FullDetails</ReadItems><PermissionLevel>Custom</PermissionLevel></Permission>"
        "</Permissions><UnknownEntries><UnknownEntry>S-1</UnknownEntry></UnknownEntries></PermissionSet></Folder>"
    )
    [found], lost = settings_shape.permissions_of(folder, Place(Role.INBOX))
    assert found.holder is Holder.PERSON
    assert found.rights == ("CreateItems", "FolderVisible", "ReadItems", "EditOwnedItems", "EditAllItems", "DeleteOwnedItems")
    assert lost == 1


TOP = '<t:Folder><t:FolderId Id="top"/></t:Folder>'


def told(parts: Mapping[str, bytes | Callable[[Request], bytes]]) -> Settings:
    """What is read from a server that answers these operations so, has one folder, and no other settings."""

    def answer(request: Request) -> bytes | Answer:
        kind = request.kind
        if kind in parts:
            found = parts[kind]
            return found if isinstance(found, bytes) else found(request)
        if kind == "FindFolder":
            page = '<m:RootFolder IncludesLastItemInRange="true"><t:Folders/></m:RootFolder>'
            return answers("FindFolder", message("FindFolder", page))
        if kind == "GetFolder":
            asked = request.body.count("<t:DistinguishedFolderId")
            gone = [message("GetFolder", "<m:Folders/>", "ErrorFolderNotFound")] * (asked - 1)
            return answers("GetFolder", message("GetFolder", f"<m:Folders>{TOP}</m:Folders>"), *gone)
        if kind == "GetUserConfiguration":
            return answers(kind, message(kind, "", "ErrorItemNotFound"))
        if kind == "GetDelegate":
            return lone("GetDelegate", "ErrorDelegateMissingConfiguration")
        if kind == "GetInboxRules":
            return lone("GetInboxRules", "NoError")
        return envelope(
            "<m:GetUserOofSettingsResponse><m:ResponseMessage><m:ResponseCode>NoError</m:ResponseCode></m:ResponseMessage>"
            "</m:GetUserOofSettingsResponse>"
        )

    with scripted(answer) as server, source_of(server.url) as source:
        with closing(ExchangeSettings(source.client.server, ANNA)) as settings:
            found = settings.read()
        assert all(one.kind.startswith(("Get", "Find", "Resolve")) for one in server.requests), "it only reads"
        return found


def lone(kind: str, code: str, inner: str = "") -> bytes:
    return envelope(f"<m:{kind}Response><m:ResponseCode>{code}</m:ResponseCode>{inner}</m:{kind}Response>")


def test_a_mailbox_without_any_settings_tells_none_and_misses_none() -> None:
    assert told({}) == Settings()


@pytest.mark.parametrize(
    ("kind", "answer", "about"),
    [
        ("GetInboxRules", lone("GetInboxRules", "ErrorAccessDenied"), Kind.RULE),
        ("GetDelegate", lone("GetDelegate", "ErrorAccessDenied"), Kind.DELEGATE),
        ("GetDelegate", lone("GetDelegate", "ErrorCorruptData"), Kind.DELEGATE),
        ("GetInboxRules", lone("GetInboxRules", "ErrorSomethingNew"), Kind.RULE),
    ],
)
def test_a_part_that_is_refused_is_told_with_its_code(kind: str, answer: bytes, about: Kind) -> None:
    [found] = told({kind: answer}).untold
    assert found.kind is about
    assert "does not give it (Error" in found.why


def test_a_delegate_that_has_no_name_any_more_is_told() -> None:
    one = '<m:DelegateUserResponseMessageType ResponseClass="Error"><m:ResponseCode>ErrorDelegateNoUser</m:ResponseCode>'
    messages = f"<m:ResponseMessages>{one}</m:DelegateUserResponseMessageType></m:ResponseMessages>"
    found = told({"GetDelegate": lone("GetDelegate", "NoError", messages)})
    assert found.delegates == ()
    assert [one.why for one in found.untold] == ["the source can't name a delegate (ErrorDelegateNoUser)"]


def test_a_document_that_can_not_be_read_is_told() -> None:
    broken = f"<m:UserConfiguration><t:XmlData>{base64.b64encode(b'<a').decode()}</t:XmlData></m:UserConfiguration>"
    found = told({"GetUserConfiguration": answers("GetUserConfiguration", message("GetUserConfiguration", broken))})
    assert {(one.kind, one.why) for one in found.untold} == {
        (Kind.CATEGORY, "what the source holds can't be read"),
        (Kind.HOURS, "what the source holds can't be read"),
    }


def test_replies_of_a_state_that_is_not_known_are_told() -> None:
    def replies(state: str) -> bytes:
        return envelope(
            "<m:GetUserOofSettingsResponse><m:ResponseMessage><m:ResponseCode>NoError</m:ResponseCode></m:ResponseMessage>"
            f"<t:OofSettings><t:OofState>{state}</t:OofState><t:ExternalAudience>All</t:ExternalAudience></t:OofSettings>"
            "</m:GetUserOofSettingsResponse>"
        )

    found = told({"GetUserOofSettingsRequest": replies("Enabled")})
    assert found.reply is not None
    assert found.reply.state is ReplyState.ON
    assert [one.kind for one in told({"GetUserOofSettingsRequest": replies("Odd")}).untold] == [Kind.REPLY]


def test_an_old_address_is_looked_up_and_one_that_means_several_is_lost() -> None:
    person = "<t:Address><t:EmailAddress>/o=a/cn={}</t:EmailAddress></t:Address>"
    one = (
        "<t:Rule><t:DisplayName>{0}</t:DisplayName><t:Priority>1</t:Priority><t:IsEnabled>true</t:IsEnabled>"
        "<t:Conditions><t:FromAddresses>{1}</t:FromAddresses></t:Conditions></t:Rule>"
    )
    rules = one.format("known", person.format("b")) + one.format("lost", person.format("b") + person.format("c"))

    def mailbox(address: str) -> str:
        return f"<t:Resolution><t:Mailbox><t:EmailAddress>{address}</t:EmailAddress></t:Mailbox></t:Resolution>"

    def answer(request: Request) -> bytes:
        b = "cn=b" in request.body
        inner = f"<m:ResolutionSet>{mailbox('b@x.test')}</m:ResolutionSet>"
        return answers(
            "ResolveNames", message("ResolveNames", inner if b else "", "NoError" if b else "ErrorNameResolutionNoResults")
        )

    with_names = {"GetInboxRules": lone("GetInboxRules", "NoError", f"<m:InboxRules>{rules}</m:InboxRules>")}
    found = told(with_names | {"ResolveNames": answer})
    assert [one.conditions[0].values for one in found.rules] == [("b@x.test",), ("b@x.test", "/o=a/cn=c")]
    assert [bool(one.untold) for one in found.rules] == [False, True]
