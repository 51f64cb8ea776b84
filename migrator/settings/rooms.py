"""The PowerShell for rooms and equipment: how they answer requests, which no wire of the source shows. Written and never run.

    rooms-onprem.ps1    for the source's own shell: how each one answers, into rooms.xml; only reads
    rooms-WAVE.ps1      for Exchange Online: sets that; whether a room answers by itself has a switch of its own

A room that answers by itself e-mails whoever asks it, so it stays silent until somebody says that the cutover is over.
[learn.microsoft.com/powershell: Get-CalendarProcessing, Set-CalendarProcessing]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from migrator.settings.scripts import file_name, quoted
from state.model import MailboxRow

PLAIN = (
    "AllowConflicts", "AllowRecurringMeetings", "BookingWindowInDays", "MaximumDurationInMinutes", "ConflictPercentageAllowed",
    "MaximumConflictInstances", "EnforceSchedulingHorizon", "ScheduleOnlyDuringWorkHours", "DeleteAttachments", "DeleteComments",
    "DeleteNonCalendarItems", "DeleteSubject", "AddOrganizerToSubject", "RemovePrivateProperty",
    "RemoveForwardedMeetingNotifications", "RemoveOldMeetingMessages", "ProcessExternalMeetingMessages",
    "ForwardRequestsToDelegates", "TentativePendingApproval", "EnableResponseDetails", "OrganizerInfo",
    "AddNewRequestsTentatively", "AddAdditionalResponse", "AdditionalResponse", "AllBookInPolicy", "AllRequestInPolicy",
    "AllRequestOutOfPolicy",
)  # fmt: skip
"""What is set as it was."""

PEOPLE = ("BookInPolicy", "RequestInPolicy", "RequestOutOfPolicy", "ResourceDelegates")
"""Lists of people: they are read as addresses, and set as those that they have in the target."""

KINDS = frozenset({"room", "equipment"})

_READ = """\
# What this script does: reads how the rooms and equipment below answer requests, and writes it into rooms.xml beside itself.
# It changes nothing. Run it in the Exchange Management Shell of the source, and put rooms.xml beside rooms-WAVE.ps1.

$ErrorActionPreference = 'Stop'
if (-not (Get-Command Get-CalendarProcessing -ErrorAction SilentlyContinue)) {
    throw 'Run this in the Exchange Management Shell.'
}
$Plain = @(%(plain)s, 'AutomateProcessing')
$People = @(%(people)s)
$Rooms = @(
%(rooms)s
)
$Found = @()
foreach ($Room in $Rooms) {
    try {
        $Old = Get-CalendarProcessing -Identity $Room
        $Own = @{ Mailbox = $Room }
        foreach ($Name in $Plain) { if ($null -ne $Old.$Name) { $Own[$Name] = "$($Old.$Name)" } }
        foreach ($Name in $People) {
            $Own[$Name] = @($Old.$Name | Where-Object { $_ } | ForEach-Object { "$_" } | ForEach-Object {
                (Get-Recipient -Identity $_).PrimarySmtpAddress.ToString()
            })
        }
        $Found += $Own
    } catch {
        Write-Warning ($Room + ': ' + $_.Exception.Message)
    }
}
$Found | Export-Clixml -LiteralPath (Join-Path $PSScriptRoot 'rooms.xml')
Write-Host ('Rooms: ' + @($Found).Count)
"""

_SET = """\
# What this script does: lets the rooms and equipment of this wave answer requests in Exchange Online as they did at the source.
# It changes nothing until $WhatIf is $false. While $Answer is $false every room stays silent, whatever it did before: set it to
# $true after cutover, and run it again. Before: Connect-ExchangeOnline, and rooms.xml beside this script (rooms-onprem.ps1).

$WhatIf = $true
$Answer = $false

$ErrorActionPreference = 'Stop'
if (-not (Get-Command Set-CalendarProcessing -ErrorAction SilentlyContinue)) {
    throw 'Run Connect-ExchangeOnline first.'
}
$Plain = @(%(plain)s)
$Lists = @(%(people)s)
$Rooms = @{
%(rooms)s
}
$People = @{
%(addresses)s
}
$Troubles = 0
foreach ($Old in @(Import-Clixml -LiteralPath (Join-Path $PSScriptRoot 'rooms.xml'))) {
    $Target = $Rooms[$Old.Mailbox]
    if (-not $Target) { continue }
    try {
        $Own = @{ Identity = $Target; AutomateProcessing = 'None'; WhatIf = $WhatIf; Confirm = $false }
        if ($Answer -and $Old.AutomateProcessing) { $Own['AutomateProcessing'] = $Old.AutomateProcessing }
        foreach ($Name in $Plain) {
            if ($null -eq $Old[$Name]) { continue }
            $Own[$Name] = $Old[$Name]
            if (@('True', 'False') -contains $Old[$Name]) { $Own[$Name] = ($Old[$Name] -eq 'True') }
        }
        foreach ($Name in $Lists) {
            $Who = @($Old[$Name] | Where-Object { $_ } | ForEach-Object {
                if ($People.ContainsKey($_)) { $People[$_] } else { $_ }
            })
            if ($Who.Count) { $Own[$Name] = $Who }
        }
        Set-CalendarProcessing @Own
    } catch {
        $Troubles = $Troubles + 1
        Write-Warning ($Target + ': ' + $_.Exception.Message)
    }
}
if ($WhatIf) { Write-Host 'Nothing was changed: $WhatIf is $true.' }
Write-Host ('Troubles: ' + $Troubles)
"""


def rooms_of(mailboxes: Sequence[MailboxRow], details: Mapping[int, Mapping[str, object]]) -> list[MailboxRow]:
    """Those that the waves file calls rooms or equipment."""
    return [one for one in mailboxes if details.get(one.id, {}).get("kind") in KINDS]


def room_files(rooms: Sequence[MailboxRow], people: Mapping[str, str]) -> dict[str, str]:
    """The scripts by name, one for the source and one for each wave; none without rooms. ``people`` has target addresses by
    source address in lower case."""
    if not rooms:
        return {}
    names = {"plain": _listed(PLAIN), "people": _listed(PEOPLE)}
    files = {"rooms-onprem.ps1": _READ % {**names, "rooms": "\n".join(f"    {quoted(one.source)}" for one in rooms)}}
    waves: dict[str, list[MailboxRow]] = defaultdict(list)
    for one in rooms:
        waves[one.wave].append(one)
    addresses = "\n".join(f"    {quoted(old)} = {quoted(new)}" for old, new in sorted(people.items()))
    for wave, mine in waves.items():
        told = "\n".join(f"    {quoted(one.source)} = {quoted(one.target)}" for one in mine)
        files[f"rooms-{file_name(wave)}.ps1"] = _SET % {**names, "rooms": told, "addresses": addresses}
    return files


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)
