"""The PowerShell for what no interface of the target takes silently, written and never run.

    collect-onprem.ps1     for the source's own shell: what no wire shows, into mailbox-access.csv; only reads
    settings-WAVE.ps1      for Exchange Online: folder permissions, delegates, and what the first one collected
    settings-WAVE.csv      the same as a table, with what has to be done by hand

Every script says at its top what it does, and changes nothing until one variable there is set. No text from a mailbox can
become code: it stands in single quotes, where PowerShell expands nothing.
[learn.microsoft.com/powershell, about_Quoting_Rules; PowerShell language specification 2.3.5.2]
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.base import Role
from connectors.settings import Delegate, Holder, Kind, Permission, Place
from migrator.settings.access import hindrance_of, worth_carrying
from migrator.settings.words import Verdict, digest

if TYPE_CHECKING:
    from migrator.settings.run import Carried

SINGLE = "'\u2018\u2019\u201a\u201b"
"""Every letter that PowerShell takes for a single quote; two of them in a row stand for one."""

_QUOTES = re.compile(f"[{SINGLE}]")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
_SCOPES: Mapping[Role, str] = {
    Role.INBOX: "Inbox",
    Role.DRAFTS: "Drafts",
    Role.SENT: "SentItems",
    Role.DELETED: "DeletedItems",
    Role.JUNK: "JunkEmail",
    Role.OUTBOX: "Outbox",
    Role.CALENDAR: "Calendar",
    Role.CONTACTS: "Contacts",
    Role.TASKS: "Tasks",
    Role.NOTES: "Notes",
    Role.JOURNAL: "Journal",
    Role.CONVERSATION_HISTORY: "ConversationHistory",
    Role.ARCHIVE: "Archive",
}
_HOLDERS = {Holder.EVERYBODY: "Default", Holder.ANONYMOUS: "Anonymous"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("mailbox", "target", "kind", "folder", "who", "rights", "flags", "by")


def quoted(text: str) -> str:
    """A text as PowerShell reads it back letter by letter, whatever is in it; an expression that fits where one argument does."""
    pieces: list[str] = []
    at = 0
    for found in _UNSAFE.finditer(text):
        if found.start() > at:
            pieces.append(_literal(text[at : found.start()]))
        pieces.append(f"[char]{ord(found.group())}")
        at = found.end()
    if at < len(text) or not pieces:
        pieces.append(_literal(text[at:]))
    if len(pieces) == 1 and pieces[0].startswith("'"):
        return pieces[0]
    # The empty text first makes a text of what follows, not a number of the characters.
    return "(" + " + ".join(["''", *pieces]) + ")"


def _literal(text: str) -> str:
    return "'" + _QUOTES.sub(lambda one: one.group() * 2, text) + "'"


def remark(text: str) -> str:
    """A text as one line of comment; letters that could end the line are shown as question marks."""
    return "# " + _UNSAFE.sub("?", text)


def write_scripts(folder: Path, done: Sequence[Carried], people: Mapping[str, str]) -> list[Path]:
    """Write the scripts of these mailboxes, a set a wave; the files, those of the source first. Raises BadInput.

    ``people`` has target addresses by source address in lower case.
    """
    waves: dict[str, list[Carried]] = defaultdict(list)
    for one in done:
        waves[one.mailbox.wave].append(one)
    files: dict[str, str] = {"collect-onprem.ps1": collecting(done)}
    for wave, mine in waves.items():
        name = f"settings-{file_name(wave)}"
        files[f"{name}.ps1"] = applying(wave, mine, people, f"{name}.csv")
        files[f"{name}.csv"] = table(mine, people)
    return put_files(folder, files, "--scripts")


def put_files(folder: Path, files: Mapping[str, str], option: str) -> list[Path]:
    """Write these texts as Windows reads them, each whole or not at all. Raises BadInput, which names the option."""
    from migrator.config import BadInput

    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            fresh = folder / f"{name}.new"
            # With a mark at its beginning, without which Windows PowerShell takes a file for one of the local code page.
            fresh.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
            os.replace(fresh, folder / name)
            written.append(folder / name)
    except OSError as error:
        raise BadInput(f"{folder} can't be written ({error.strerror}); name another folder with {option}.") from None
    return written


def file_name(wave: str) -> str:
    """A wave's name as a part of a file's name; two waves never get the same."""
    plain = re.sub(r"[^\w.-]|\.$", "_", wave)  # Windows drops a dot at the end, and two names would be one
    return plain if plain == wave else f"{plain}-{digest(wave).hex()[:6]}"


# -- for Exchange Online

_TOP = """\
# What this script does: grants in Exchange Online what the mailboxes of this wave granted at their source, as far as no
# other interface takes it without e-mailing somebody: folder permissions, delegates, full access, send as, X.500 addresses.
# It changes nothing until $WhatIf is $false, sends no notification, and leaves alone whoever has another permission already.
# Before: Install-Module ExchangeOnlineManagement; Connect-ExchangeOnline. Names of folders are those after the migration.

$WhatIf = $true

$ErrorActionPreference = 'Stop'
if (-not (Get-Command Add-MailboxFolderPermission -ErrorAction SilentlyContinue)) {
    throw 'Run Connect-ExchangeOnline first.'
}
$Troubles = 0

# A folder as the cmdlets name it. Special folders are found by what they are for: their names depend on the language.
function Find-Folder([string]$Mailbox, [string]$Scope, [string]$Below) {
    $Path = ''
    if ($Scope) {
        $Found = Get-MailboxFolderStatistics -Identity $Mailbox -FolderScope $Scope |
            Where-Object { $_.FolderType -eq $Scope } | Select-Object -First 1
        if (-not $Found) { throw ('There is no folder of that kind: ' + $Scope) }
        $Path = $Found.FolderPath.Replace('/', '\\')
    }
    if ($Below) { $Path = $Path + '\\' + $Below }
    if (-not $Path) { $Path = '\\' }
    return ($Mailbox + ':' + $Path)
}

# One permission of one folder. Flags make a delegate. -SendNotificationToUser exists for calendars and plain levels alone;
# elsewhere nobody is notified anyway.
function Grant-Folder([string]$Mailbox, [string]$Scope, [string]$Below, [string]$User, [string[]]$Rights, [string[]]$Flags) {
    try {
        $Folder = Find-Folder $Mailbox $Scope $Below
        $Own = @{ Identity = $Folder; User = $User; AccessRights = $Rights; WhatIf = $WhatIf; Confirm = $false }
        $Plain = @('AvailabilityOnly', 'LimitedDetails', 'Reviewer', 'Editor')
        if (($Scope -eq 'Calendar') -and ($Rights.Count -eq 1) -and ($Plain -contains $Rights[0])) {
            $Own['SendNotificationToUser'] = $false
        }
        if ($Flags) { $Own['SharingPermissionFlags'] = $Flags }
        # Whoever has none yet is an error to this cmdlet.
        $There = $null
        try { $There = Get-MailboxFolderPermission -Identity $Folder -User $User } catch { $There = $null }
        $Has = "$($There.AccessRights)"
        if (-not $There) {
            Add-MailboxFolderPermission @Own | Out-Null
        } elseif ((@($There.AccessRights | Sort-Object) -join ' ') -eq (@($Rights | Sort-Object) -join ' ') -and -not $Flags) {
            Write-Host ('there already: ' + $Folder + ' ' + $User)
        } elseif ((@('Default', 'Anonymous') -contains $User) -and (@('None', 'AvailabilityOnly') -contains $Has)) {
            Set-MailboxFolderPermission @Own
        } elseif ($Flags -and ($Has -eq "$Rights") -and -not "$($There.SharingPermissionFlags)") {
            Set-MailboxFolderPermission @Own
        } else {
            Write-Warning ('left as it is: ' + $Folder + ' ' + $User + ' has ' + $Has)
        }
    } catch {
        $script:Troubles = $script:Troubles + 1
        Write-Warning ($Mailbox + ' ' + $Scope + ' ' + $Below + ' ' + $User + ': ' + $_.Exception.Message)
    }
}
"""

_ACCESS = """
# Full access, send as and X.500 addresses: collect-onprem.ps1 writes mailbox-access.csv at the source; put it beside this
# script. Where a directory is synchronised, X.500 addresses have to be added at the source instead; the cmdlet then says so.
$Collected = Join-Path $PSScriptRoot 'mailbox-access.csv'
if (Test-Path -LiteralPath $Collected) {
    foreach ($Row in Import-Csv -LiteralPath $Collected -Encoding UTF8) {
        if ($Wave -notcontains $Row.Mailbox) { continue }
        $Target = $People[$Row.Mailbox]
        $Who = $Row.Value
        if ($People.ContainsKey($Who)) { $Who = $People[$Who] }
        try {
            switch ($Row.Kind) {
                'FullAccess' {
                    Add-MailboxPermission -Identity $Target -User $Who -AccessRights FullAccess -InheritanceType All `
                        -AutoMapping $true -Confirm:$false -WhatIf:$WhatIf | Out-Null
                }
                'SendAs' {
                    Add-RecipientPermission -Identity $Target -Trustee $Who -AccessRights SendAs `
                        -Confirm:$false -WhatIf:$WhatIf | Out-Null
                }
                'X500' { Set-Mailbox -Identity $Target -EmailAddresses @{ Add = $Row.Value } -Confirm:$false -WhatIf:$WhatIf }
            }
        } catch {
            $Troubles = $Troubles + 1
            Write-Warning ($Target + ' ' + $Row.Kind + ' ' + $Who + ': ' + $_.Exception.Message)
        }
    }
} else {
    Write-Warning 'mailbox-access.csv is not beside this script: full access, send as and X.500 addresses are not carried.'
}

if ($WhatIf) { Write-Host 'Nothing was changed: $WhatIf is $true.' }
Write-Host ('Troubles: ' + $Troubles)
"""


def applying(wave: str, done: Sequence[Carried], people: Mapping[str, str], table_name: str) -> str:
    """The script of one wave for Exchange Online."""
    lines = [remark(f"Wave {wave}; the same as a table: {table_name}"), *_TOP.splitlines()]
    lines += ["", "# Where everybody went: target addresses by source address.", "$People = @{"]
    lines += [f"    {quoted(source)} = {quoted(target)}" for source, target in sorted(people.items())]
    lines += ["}", f"$Wave = @({', '.join(quoted(one.mailbox.source) for one in done)})"]
    for one in done:
        lines += ["", remark(f"{one.mailbox.source} to {one.mailbox.target}")]
        lines += _grants(one, people)
        for entry in one.entries:
            if entry.verdict is Verdict.LISTED:
                lines.append(remark(f"By hand: {entry.kind.value} {entry.name}: {entry.why}"))
    return "\n".join([*lines, *_ACCESS.splitlines(), ""])


def _grants(one: Carried, people: Mapping[str, str]) -> Iterator[str]:
    for grant in grants(one, people):
        scope, below = _SCOPES.get(grant.place.role, "") if grant.place.role else "", "\\".join(grant.place.names)
        words = [quoted(word) for word in (one.mailbox.target, scope, below, grant.who)]
        rights, flags = (f"@({', '.join(map(quoted, some))})" for some in (grant.rights, grant.flags))
        if grant.remark:
            yield remark(grant.remark)
        yield f"Grant-Folder {' '.join(words)} {rights} {flags}"


class Grant:
    """One line of a script: who gets what in which folder."""

    __slots__ = ("flags", "place", "remark", "rights", "who")

    def __init__(self, place: Place, who: str, rights: Sequence[str], flags: Sequence[str] = (), remark: str = "") -> None:
        self.place, self.who, self.rights, self.flags, self.remark = place, who, tuple(rights), tuple(flags), remark


def grants(one: Carried, people: Mapping[str, str]) -> Iterator[Grant]:
    """Everything that a mailbox's script grants, in the order of the plan."""
    scripted = {entry.key for entry in one.entries if entry.verdict is Verdict.SCRIPTED}
    for delegate in one.source.delegates:
        if digest(Kind.DELEGATE, delegate) in scripted:
            yield from _of_delegate(delegate, people)
    for permission in worth_carrying(one.source):
        if digest(Kind.PERMISSION, permission) in scripted and not hindrance_of(permission.place):
            who = _HOLDERS.get(permission.holder) or _target(permission.address, people)
            yield Grant(permission.place, who, _rights(permission), remark=_stranger(permission, people))


def _of_delegate(delegate: Delegate, people: Mapping[str, str]) -> Iterator[Grant]:
    who = _target(delegate.address, people)
    for role, level in delegate.levels:
        flags: list[str] = []
        note = f"Delegate {delegate.address}"
        if role is Role.CALENDAR and level == "Editor" and delegate.gets_meetings:
            flags = ["Delegate", *(["CanViewPrivateItems"] if delegate.sees_private else [])]
        elif role is Role.CALENDAR and delegate.sees_private:
            note += ": may see private items, which only somebody who gets meeting requests can; set that by hand"
        yield Grant(Place(role, (), role is Role.CALENDAR), who, (level,), flags, note)


def _rights(permission: Permission) -> tuple[str, ...]:
    return permission.rights or (permission.level,)


def _target(address: str, people: Mapping[str, str]) -> str:
    return people.get(address.casefold(), address)


def _stranger(permission: Permission, people: Mapping[str, str]) -> str:
    known = permission.holder is not Holder.PERSON or permission.address.casefold() in people
    return "" if known else "Not in the waves file: this address has to be known in Exchange Online."


# -- for the source

_COLLECT = """\
# What this script does: reads full access, send as and X.500 addresses of the mailboxes below, which no mailbox protocol
# shows, and writes them into mailbox-access.csv beside it. It changes nothing. Run it in the Exchange Management Shell of the
# source, then put the file beside the settings scripts.

$ErrorActionPreference = 'Stop'
$Mailboxes = @(
"""

_COLLECT_REST = """\
)

function Get-Address($User) {
    $Found = Get-Recipient -Identity "$User" -ErrorAction SilentlyContinue
    if ($Found) { return "$($Found.PrimarySmtpAddress)" }
    return "$User"
}

$Rows = foreach ($Address in $Mailboxes) {
    $Mailbox = Get-Mailbox -Identity $Address -ErrorAction SilentlyContinue
    if (-not $Mailbox) { Write-Warning ('not found: ' + $Address); continue }
    Get-MailboxPermission -Identity $Mailbox.DistinguishedName |
        Where-Object { ($_.AccessRights -contains 'FullAccess') -and -not $_.IsInherited -and -not $_.Deny } |
        Where-Object { "$($_.User)" -notlike 'NT AUTHORITY\\*' -and "$($_.User)" -notlike 'S-1-5-*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $Address; Kind = 'FullAccess'; Value = (Get-Address $_.User) } }
    Get-ADPermission -Identity $Mailbox.DistinguishedName |
        Where-Object { ("$($_.ExtendedRights)" -like '*Send-As*') -and -not $_.IsInherited -and -not $_.Deny } |
        Where-Object { "$($_.User)" -notlike 'NT AUTHORITY\\*' -and "$($_.User)" -notlike 'S-1-5-*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $Address; Kind = 'SendAs'; Value = (Get-Address $_.User) } }
    [pscustomobject]@{ Mailbox = $Address; Kind = 'X500'; Value = ('X500:' + $Mailbox.LegacyExchangeDN) }
    $Mailbox.EmailAddresses | Where-Object { "$_" -like 'X500:*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $Address; Kind = 'X500'; Value = "$_" } }
}
$Rows | Export-Csv -LiteralPath (Join-Path $PSScriptRoot 'mailbox-access.csv') -NoTypeInformation -Encoding UTF8
Write-Host ('Rows: ' + @($Rows).Count)
"""


def collecting(done: Sequence[Carried]) -> str:
    """The script for the source's own shell; it only reads."""
    return _COLLECT + "\n".join(f"    {quoted(one.mailbox.source)}" for one in done) + "\n" + _COLLECT_REST


# -- as a table


def table(done: Sequence[Carried], people: Mapping[str, str]) -> str:
    """What the script of a wave grants, and what is left to be done by hand."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in done:
        for grant in grants(one, people):
            row = ("permission", grant.place.path, grant.who, " ".join(grant.rights), " ".join(grant.flags), "script")
            writer.writerow([_cell(cell) for cell in (one.mailbox.source, one.mailbox.target, *row)])
        for entry in one.entries:
            if entry.verdict is Verdict.LISTED:
                row = (entry.kind.value, "", entry.name, "", "", f"hand: {entry.why}")
                writer.writerow([_cell(cell) for cell in (one.mailbox.source, one.mailbox.target, *row)])
        for kind in ("full access", "send as", "X.500 addresses"):
            writer.writerow([_cell(cell) for cell in (one.mailbox.source, one.mailbox.target, kind, "", "", "", "", "collected")])
    return out.getvalue()


def _cell(cell: str) -> str:
    # A name that begins like a formula must stay a name in a spreadsheet.
    return _UNSAFE.sub("?", f"'{cell}" if cell[:1] in _FORMULA else cell)
