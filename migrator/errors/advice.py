"""What every reason means, what the engine does about it, and what the operator can do: the one place that says so.

``migrator errors`` shows these words and ``docs/errors.md`` is written from them (``migrator.errors.catalogue``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """About one reason: what it means, what the engine does, what the operator can do; a sentence or two each.

    ``again`` says whether trying again is safe; where it is not, ``migrator errors retry`` leaves the item alone.
    """

    meaning: str
    engine: str
    operator: str
    again: bool = True


_SETTLED = "Leaves it out, by name, and goes on. It is not tried again until it changes at the source or you say so."
_OTHER_LANE = 'With `lane = "auto"` tries the compose lane first if that takes the class; then leaves it out, by name.'
_SILENT = "Leaves the target as it is, because nobody may be e-mailed by a migration, and lists it."

OF_ITEMS: Final[dict[str, Advice]] = {
    # the source can't give it
    "corrupt": Advice(
        "One of the two servers can't read the item; if nothing of it is kept, it is the source.",
        _OTHER_LANE,
        "Open it in Outlook, save and import it by hand; or repair the mailbox (New-MailboxRepairRequest) and retry.",
    ),
    "no-mime": Advice(
        "The source has no MIME form of items of this class, so the compose lane has nothing to work with.",
        _SETTLED,
        'Let the import lane carry it (`lane = "auto"` or `import`), then retry.',
    ),
    "virus": Advice(
        "The virus scanner of the source holds it back.",
        _SETTLED,
        "Look at the item in the source mailbox; approve leaving it behind, or release it there and retry.",
    ),
    "archived-elsewhere": Advice(
        "The item, or the whole archive, is hosted on another server.",
        _SETTLED,
        "Migrate the archive from where it is hosted.",
    ),
    "access-denied": Advice(
        "The account may not read this item, or the app may not open this mailbox.",
        "An item: leaves it out, by name. A mailbox: it is HELD and the others go on.",
        "Grant full read access (best by ApplicationImpersonation) or widen the app's access policy; then retry or run again.",
    ),
    "source-cannot-deliver": Advice(
        "The source fails whenever it is asked for this item, and delivers its neighbours.",
        "Halves the lot until the item stands alone, asks for it four times, then leaves it out, by name.",
        "Repair the mailbox (New-MailboxRepairRequest), or let its owner move the item to another folder; then retry.",
    ),
    # the target can't take it
    "too-large": Advice(
        "It is larger, or nested deeper, than one of the two servers handles.",
        _OTHER_LANE,
        "Source: raise the size limits of EWS in web.config. Target: save large attachments elsewhere; then retry or approve.",
    ),
    "too-large-to-carry": Advice(
        "It is larger than each lane that is open to it takes, by what a probe measured or what is documented.",
        "Leaves it out, by name, before anything of it is fetched. It is judged again when it changes, or when you say so.",
        "Ask for the real limit with `migrator probe --allow traffic`, or open the other lane; then retry. Or let its owner save"
        " its attachments elsewhere, and approve.",
    ),
    "too-many-attachments": Advice(
        "It has more attachments than the target takes.",
        _SETTLED,
        "Let its owner split the item at the source, or hand over what is kept of it; then approve.",
    ),
    "too-many-parts": Advice(
        "It holds more nested objects than the target opens.",
        _OTHER_LANE,
        "Hand over what is kept of it and approve.",
    ),
    "attachment-size": Advice(
        "An attachment has a size that neither way of uploading takes.",
        _SETTLED,
        "Report it, with the size from `migrator errors show`; hand over what is kept of it.",
    ),
    "class-refused": Advice(
        "The target takes no item of this class this way.",
        _OTHER_LANE,
        "Try the other lane for it (`migrator run --lane import`) after a retry; else approve.",
    ),
    "recipients": Advice(
        "The target takes none of the item's recipients.",
        _OTHER_LANE,
        "Let its owner mend the addresses of the draft at the source, or hand over what is kept of it.",
    ),
    "malformed": Advice(
        "The target refuses one of the item's properties.",
        _OTHER_LANE,
        "Let its owner open and save the item at the source, then retry; else hand over what is kept of it.",
    ),
    "recurrence": Advice(
        "The target can't hold the series: an exception lies across its neighbour, or its rule is none that the target knows.",
        _SETTLED,
        "Let its owner mend the series at the source; it is then tried again by itself.",
    ),
    "no-folder-access": Advice(
        "Contacts and tasks need folders of their own kind, which the app may not make.",
        _SETTLED,
        "Grant the app permission MailboxFolder.ReadWrite.All, then retry.",
    ),
    "no-contact-access": Advice(
        "The app may not write contacts.",
        _SETTLED,
        "Grant the app permission Contacts.ReadWrite, or open the import lane, then retry.",
    ),
    "no-task-access": Advice(
        "The app may not write To Do lists, which tasks become in the compose lane.",
        _SETTLED,
        "Grant the app permission Tasks.ReadWrite.All, for the whole tenant, or open the import lane; then retry.",
    ),
    "list-needs-import": Advice(
        "It is a personal distribution list, which only the import lane carries.",
        _SETTLED,
        'Open the import lane (`lane = "auto"`, and the app permission MailboxItem.ImportExport.All), or say '
        '`run.others_as = "attachment"`, which makes a message of it that holds it; then retry; else approve.',
    ),
    "note-needs-import": Advice(
        "It is a sticky note, which only the import lane carries.",
        _SETTLED,
        'Open the import lane (`lane = "auto"`, and the app permission MailboxItem.ImportExport.All), or say '
        '`run.others_as = "attachment"`, which makes a message of it that holds it; then retry; else approve.',
    ),
    "journal-needs-import": Advice(
        "It is a journal entry, which only the import lane carries.",
        _SETTLED,
        'Open the import lane (`lane = "auto"`, and the app permission MailboxItem.ImportExport.All), or say '
        '`run.others_as = "attachment"`, which makes a message of it that holds it; then retry; else approve.',
    ),
    "meeting-without-attendees": Advice(
        "The mailbox's owner called this meeting, and it is still to come: composed, its attendees would be mere text, and the "
        "owner could neither update nor cancel it for them.",
        _SETTLED,
        "Open the import lane, which carries attendees as they are; or say `run.meetings_without_attendees = true`, which lets "
        "them become text; then retry.",
    ),
    "not-a-calendar": Advice(
        "It is an appointment in a folder of mail, where nothing but the import lane can put one.",
        _SETTLED,
        "Let the import lane carry it, or let its owner move it into a calendar at the source; then retry, or approve.",
    ),
    "no-lane": Advice(
        "No lane that is open carries this item class.",
        _SETTLED,
        'Open the import lane (`lane = "auto"`, and the app permission MailboxItem.ImportExport.All), or say '
        '`run.others_as = "attachment"`, which makes a message of it that holds it; then retry.',
    ),
    "not-movable": Advice(
        "The target can't move items of this class.",
        "The copy stays in the folder where it was.",
        "Let its owner move it in the target, then approve.",
    ),
    "no-admin-access": Advice(
        "Items of this class can only be removed with a permission that the app does not have.",
        "The copy stays in the target.",
        "Grant MailboxItem.ReadWrite.All (or what `migrator check` lists) and retry; or let its owner delete the copy.",
    ),
    "folder-name": Advice(
        "The target refuses the folder's name.",
        "Holds the mailbox: without its folder nothing in it has a place.",
        "Rename the folder at the source and run again.",
    ),
    "folder-limit": Advice(
        "The target's limit of folders, or of their depth, is reached.",
        "Holds the mailbox.",
        "Let its owner merge or flatten folders at the source, and run again.",
    ),
    "already-there": Advice(
        "An earlier request for the same appointment was carried out after all.",
        "Takes what that request made, once it can be seen.",
        "Nothing.",
    ),
    "folder-exists": Advice(
        "A folder of that name is there already.",
        "Takes that folder, or another name with a number behind it.",
        "Nothing.",
    ),
    "special-folder": Advice(
        "A special folder of the target can be neither moved nor removed.",
        "Leaves it where it is.",
        "Nothing.",
    ),
    # the target's user was there first
    "target-changed": Advice(
        "The copy in the target was changed since we last saw it.",
        "The target's user wins: the copy is left alone, and counted.",
        "Nothing; or copy the newer version by hand if its owner wants it.",
    ),
    "target-gone": Advice(
        "The copy is not in the target any more: its user deleted or moved it.",
        "Leaves it so.",
        "Ask its owner; a retry carries the item anew only if it is new, so a deleted copy stays deleted. Then approve.",
    ),
    "after-cutover": Advice(
        "It changed at the source after the mailbox was cut over.",
        "The copy in the target is left as its user has it; only new items are still carried.",
        "Nothing; or copy the change by hand if its owner wants it.",
    ),
    "place-kept": Advice(
        "A rule of [mapping] gave its folder another place after the item was carried, and its class can't be moved.",
        "Leaves the copy where it is; what the folder gets from now on goes to the new place.",
        "Nothing; or move the copy by hand.",
    ),
    # a person said so
    "skipped": Advice(
        "A person left it behind for good; `migrator errors show` says who and why.",
        "Leaves it, whatever becomes of it at the source, as long as no copy of it is in the target.",
        "Nothing; `migrator errors retry` takes the word back.",
    ),
    # withheld: it could go, but somebody might be e-mailed
    "could-send-cancellation": Advice(
        "A meeting left the source; removing its copy could send cancellations to those invited.",
        _SILENT,
        "Its owner can remove it in Outlook, where the question is asked. Approve it then. It is never retried.",
        again=False,
    ),
    "could-send-receipt": Advice(
        "Removing or replacing the copy of an unread mail that asks for a receipt could send one to its sender.",
        _SILENT,
        "Its owner can read or delete it in the target. Approve it then. It is never retried.",
        again=False,
    ),
    "old-copy-stays": Advice(
        "A newer version arrived, and the copy of the older one could not be removed.",
        "Both stay in the target.",
        "Delete the older one of the two in the target, then approve. It is not retried: that would make a third.",
        again=False,
    ),
}
"""Reasons that an item carries in the ledger, in the order of the catalogue."""

_SETTING = "Leaves this one setting out, by name (`migrator settings` lists it), and goes on with the others."

OF_MORE: Final[dict[str, Advice]] = {
    "rule-quota": Advice(
        "The room that a mailbox of the target has for inbox rules, about 256 KB, is used up.",
        _SETTING,
        "Let its owner make some rules shorter or remove some, then run `migrator settings --apply` again.",
    ),
    "rule-refused": Advice(
        "The target does not take an inbox rule like this one.",
        _SETTING,
        "Let its owner make the rule anew in Outlook on the web.",
    ),
    "time-refused": Advice(
        "The target does not take these times of automatic replies, or these working hours.",
        _SETTING,
        "Let its owner set them in Outlook on the web.",
    ),
    "category-exists": Advice(
        "The target has a category of that name already.",
        _SETTING,
        "Nothing; run `migrator settings` again to see how it differs.",
    ),
    "setting-refused": Advice(
        "The target does not take a setting as the source has it.",
        _SETTING,
        "Let its owner set it by hand; report it if it looks ordinary.",
    ),
    "throttled": Advice(
        "The server did nothing and asks to come back later.",
        "Waits as long as asked, to the fraction, and sends it again; the seconds are in the report.",
        "Nothing; if it goes on for hours, look at the throttling policy of the source, or at who else writes to the tenant.",
    ),
    "unavailable": Advice(
        "The server, or something behind it, fails for now, and does not say whether it acted.",
        "A read is asked again. A write is in doubt: it is looked up in the target before anything is sent again.",
        "Nothing, unless a pass ends PAUSED because of it: see that the server is well, then run again.",
    ),
    "stale-cursor": Advice(
        "The server has forgotten how far we had read.",
        "Lists the folder again from its beginning; what is done stays done.",
        "Nothing.",
    ),
    "gone": Advice(
        "What was asked for is not in the source any more.",
        "Leaves it; the next listing tells where it went.",
        "Nothing.",
    ),
    "token": Advice(
        "The access token is no longer accepted.",
        "Signs in again once; the request did nothing. If that does not help, the run ends with 5.",
        "Check the app registration's consent, secret and certificate (`migrator check`).",
    ),
    "bad-request": Advice(
        "The server did not understand our request: a mistake of this program.",
        "Is never tried again in silence; the mailbox is FAILED and the others go on.",
        "Report it; the log file has the details.",
    ),
    "impersonation-denied": Advice(
        "The account may not impersonate this mailbox.",
        "Holds the mailbox; the others go on.",
        "Include the mailbox in the scope of the account's ApplicationImpersonation role, then run again.",
    ),
    "no-mailbox": Advice(
        "There is no such mailbox on that side.",
        "Holds the mailbox; the others go on.",
        "Source: check the address in the waves file. Target: assign a licence with Exchange Online; then run again.",
    ),
    "no-user": Advice(
        "The tenant has no such user.",
        "Holds the mailbox; the others go on.",
        "Check the target address in the waves file, or make the user; then run again.",
    ),
    "not-primary": Advice(
        "The address is not the primary one of a mailbox.",
        "Holds the mailbox; the others go on.",
        "Put the primary SMTP address into the waves file, then run again.",
    ),
    "account-disabled": Advice(
        "The account of the mailbox is disabled.",
        "Holds the mailbox; the others go on.",
        "Enable the account, or link the mailbox to one that is enabled; then run again.",
    ),
    "folder-corrupt": Advice(
        "A folder of this mailbox is damaged.",
        "Holds the mailbox; the others go on.",
        "Repair the mailbox (New-MailboxRepairRequest), then run again.",
    ),
    "quota": Advice(
        "The mailbox is full.",
        "Holds the mailbox; the item is not refused and goes with the next pass.",
        "Raise the quota, assign a larger plan, or let its owner make room; then run again.",
    ),
    "wrong-server": Advice(
        "The mailbox lives where this server can't pass the request on to.",
        "Holds the mailbox; the others go on.",
        "Give the EWS address of a server of the mailbox's own site and version, in a config of its own if need be.",
    ),
    "password-expired": Advice(
        "The password of the account that reads has expired.",
        "Stops the run: nobody can proceed.",
        "Set a new password where the config says it is kept, then run again.",
    ),
    "account-refused": Advice(
        "The server does not take requests of this account.",
        "Stops the run: nobody can proceed.",
        "Check the account's rights in Exchange, its group memberships and the trust of its domain.",
    ),
    "server-too-old": Advice(
        "The server is older than what this program speaks.",
        "Stops the run: nobody can proceed.",
        "Use a server with Exchange 2010 SP2 or newer.",
    ),
    "organisation-blocked": Advice(
        "The organisation does not let programs in.",
        "Stops the run: nobody can proceed.",
        "Allow EWS for this program in the organisation's settings.",
    ),
    "consent-missing": Advice(
        "The app lacks a permission for this request.",
        "Stops the run: nobody can proceed.",
        "Grant the application permissions that `migrator check` lists, with admin consent.",
    ),
    "no-app": Advice(
        "The tenant does not know the app.",
        "Stops the run: nobody can proceed.",
        "Register the app in this tenant and grant admin consent; check tenant_id and client_id.",
    ),
    "foreign-claim": Advice(
        "Another ledger writes into this target mailbox.",
        "Holds the mailbox: two ledgers would double it.",
        "Use the ledger that began it; if that is lost, `migrator db rebuild --take-over` for this mailbox.",
    ),
    "mapping": Advice(
        "A rule of [mapping] can't be followed for this mailbox: it merges folders of two kinds, or into one without a place.",
        "Holds the mailbox; nothing of it was carried in this pass.",
        "Change that rule in the config, and run again.",
    ),
    "ledger-behind": Advice(
        "This ledger is older than what it wrote to the target: it was restored from a copy.",
        "Holds the mailbox: what it forgot would be written twice.",
        "Restore the newest ledger, or `migrator db rebuild` for this mailbox.",
    ),
    "change-stamp": Advice(
        "Folders changed although the change stamps that the source shows for them did not.",
        "Found when every folder was read, as is done each run.list_fully_hours. From then on every pass reads every folder.",
        "Nothing for this mailbox. If it happens to many, set `run.list_fully_hours = 0`: then no stamp is trusted at all.",
    ),
    # notes of the engine on what is still open; nobody has to act on them
    "changed-since": Advice(
        "It changed at the source while its last write was still under way.",
        "Settles that write, then carries the newer version.",
        "Nothing.",
    ),
    "probe folder": Advice(
        "The probe's hidden folder in the target still holds what an earlier probe put there.",
        "Holds the mailbox, or ends the probe: removing it could tell somebody, or the server has not caught up yet.",
        "Probe again; after a probe that was ended midway with `--allow meetings --allow receipts`, which removes it.",
    ),
    "no-archive": Advice(
        "The mailbox is said to have an online archive, or had one, and the source shows none.",
        "Holds the mailbox, the others go on. Nothing is removed in the target.",
        "Bring the archive back, or write `no` into the column `archive` if it never was carried.",
    ),
    "no-recoverable": Advice(
        "Recoverable items were carried, and the source does not show where they lie any more.",
        "Holds the mailbox, the others go on. Nothing is removed in the target.",
        "Let the account see them again.",
    ),
    "archive-left-out": Advice(
        "The online archive was carried before, and is not named any more.",
        "Holds the mailbox, the others go on: without it its folders would look deleted.",
        "Name it again, as `run.archive` or in the column `archive`.",
    ),
    "recoverable-left-out": Advice(
        "Recoverable items were carried before, and are not named any more.",
        "Holds the mailbox, the others go on: without them their folders would look deleted.",
        "Name `run.recoverable` again.",
    ),
    "mailbox-left-out": Advice(
        "The mailbox's own folders were carried before, and `run.only_trees` leaves them out.",
        "Holds the mailbox, the others go on: its folders would look deleted.",
        "Set `run.only_trees` to false; archives that go into other mailboxes get a project of their own.",
    ),
    "no-tree": Advice(
        "`run.only_trees` is set, and neither an archive nor recoverable items are named.",
        "Holds the mailbox.",
        "Name `run.archive` or `run.recoverable`, or set `run.only_trees` to false.",
    ),
    "too-old-for-trees": Advice(
        "The source server is older than Exchange 2010 SP1 and shows neither archives nor recoverable items.",
        "Holds the mailbox.",
        "Leave `run.archive` and `run.recoverable` empty.",
    ),
    "absent": Advice(
        "A whole listing did not show it, or its folder is gone.",
        "Waits for a second whole listing that does not show it either, before its copy is removed.",
        "Nothing.",
    ),
}
"""Reasons that are told of a whole call, a mailbox or a run, and notes of the engine on what is still open."""

REASONS: Final = OF_ITEMS | OF_MORE

_ASKED_AGAIN = "Throws the whole answer away and asks again; what was read before it counts."
_ALONE = "Asks again and for less, until the item that spoils the answer stands alone; that one is refused by name."
_WELL = "Nothing, unless a pass ends PAUSED because of it: look at the server and at what stands before it."

CODES: Final[dict[str, Advice]] = {
    "time-out": Advice(
        "No answer came in time.",
        "A read is asked again, and for less. A write is in doubt: it is looked up before anything is sent again.",
        "Nothing; if it goes on, raise `source.timeout` or `target.timeout`.",
    ),
    "tls": Advice(
        "The server's certificate is not trusted here, or TLS failed.",
        "Stops the run: nobody can proceed.",
        "Name the authority that signed it in `source.ca_file` or `target.ca_file`.",
    ),
    "malformed": Advice("The answer is no well-formed XML.", _ALONE, _WELL),
    "truncated": Advice("The answer ended before its end.", _ASKED_AGAIN, _WELL),
    "cut short": Advice("The answer ended in the middle of an item.", _ASKED_AGAIN, _WELL),
    "no-room": Advice(
        "The disk that large items pass through has too little room.",
        "Stops the run in good order; what is done stays done.",
        "Make room there, or name a folder on another disk in `run.spool`; then run again.",
    ),
    "spool": Advice(
        "A large item can't be laid down in `run.spool` on its way, or not be read back from there.",
        "Stops the run in good order; what is done stays done.",
        "Make that folder writable, or name another one; then run again.",
    ),
    "empty": Advice("The answer lacks what it is about.", _ASKED_AGAIN, _WELL),
    "answer count": Advice("The server gave another number of answers than it was asked questions.", _ALONE, _WELL),
    "no content": Advice("An item came without its content.", _ALONE, _WELL),
    "no stream": Advice("An item came without its export stream.", _ALONE, _WELL),
    "no attachment": Advice("One of an item's attachments is not in the answer.", _ALONE, _WELL),
    "no item": Advice("An answer says that all is well, and holds no item.", _ALONE, _WELL),
    "stream": Advice(
        "An export stream does not hold together.",
        "Asks again; if it comes the same twice, the item is refused as corrupt.",
        "As for the reason corrupt.",
    ),
    "no id": Advice("A listing shows something without an id.", _ASKED_AGAIN, _WELL),
    "no state": Advice("A page of changes came without the place where the next one begins.", _ASKED_AGAIN, _WELL),
    "unknown change": Advice(
        "A page of changes holds a kind of change that is not known.",
        "Is never skipped: asks again, and in the end the pass is PAUSED.",
        "Report it; the log file has the details.",
    ),
    "no progress": Advice("A listing does not get on.", _ASKED_AGAIN, _WELL),
    "folder circle": Advice("The folders form a circle, for a moment: somebody moves them about.", _ASKED_AGAIN, _WELL),
    "translate": Advice(
        "The target took an item and would not say under which id it can be found later.",
        "Leaves the item in doubt: it is looked up in the target before anything is sent again.",
        "Nothing; if it goes on, grant the app User.Read.All.",
    ),
    "lease": Advice(
        "The lease on the mailbox would end before an answer could come.",
        "Lets nothing leave any more; the pass ends PAUSED.",
        "Run again. If it happens often, raise `run.lease`, or look why the ledger is slow.",
    ),
}
"""Codes of our own, for what a server did not name itself."""

UNKNOWN: Final = Advice(
    "This version has no entry for it.",
    _SETTLED,
    "Look at the detail and the code; report that the reason is missing in the catalogue.",
)


def advice(reason: str) -> Advice:
    """What there is to say about a reason; for one that no entry knows, that it is so."""
    return REASONS.get(reason, UNKNOWN)
