"""The PowerShell of the kit: the frame that every script has, and what each does for one mailbox.

``FRAME`` and ``LOOP`` are filled in by ``str.format``, so their braces are doubled; the others stand as they are. In a body
``$One`` is the mailbox, ``$Before`` what its first run since the last undo found, ``$Since`` what each run since then did.
"""

from __future__ import annotations

FRAME = """\
$ErrorActionPreference = 'Stop'
if (-not (Get-Command {probe} -ErrorAction SilentlyContinue)) {{
    throw '{mend}'
}}
$Results = Join-Path $PSScriptRoot ($Name + '.result.csv')
$Said = $Results
if ($WhatIfPreference) {{ $Said = Join-Path $PSScriptRoot ($Name + '.whatif.csv') }}
$Troubles = 0

# One row a mailbox, written at once. Result: done, failed, undone, left (nothing to do), would (with -WhatIf).
function Write-Result([string]$Mailbox, [string]$Result, [string]$Detail, [string]$Was) {{
    if ($WhatIfPreference -and ($Result -ne 'failed')) {{ $Result = 'would' }}
    $At = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    $Row = [pscustomobject]@{{
        Wave = $Wave; Mailbox = $Mailbox; Step = $Step; Result = $Result; Detail = $Detail; Was = $Was; At = $At
        Who = ($env:USERDOMAIN + '/' + $env:USERNAME)
    }}
    $Row | Export-Csv -LiteralPath $Said -Append -NoTypeInformation -Encoding UTF8 -WhatIf:$false -Confirm:$false
    Write-Host ($Mailbox + ': ' + $Result + ' ' + $Detail)
}}

# What was there before the first run since the last undo, and what each run since then did, by mailbox.
$Before = @{{}}
$Since = @{{}}
if (Test-Path -LiteralPath $Results) {{
    foreach ($Row in Import-Csv -LiteralPath $Results -Encoding UTF8) {{
        if ($Row.Result -eq 'undone') {{ $Before.Remove($Row.Mailbox); $Since.Remove($Row.Mailbox) }}
        if (($Row.Result -eq 'done') -or (($Row.Result -eq 'failed') -and $Row.Was)) {{
            if (-not $Before.ContainsKey($Row.Mailbox)) {{ $Before[$Row.Mailbox] = $Row.Was; $Since[$Row.Mailbox] = @() }}
            $Since[$Row.Mailbox] += $Row.Was
        }}
    }}
}}
if ($Only) {{ $Mailboxes = @($Mailboxes | Where-Object {{ $Only -contains $_.Source }}) }}
"""

LOOP = """
foreach ($One in $Mailboxes) {{
    try {{
        if ($Undo -and -not $Before.ContainsKey($One.Source)) {{
            Write-Result $One.Source 'left' 'Nothing of it was done by this script.' ''
            continue
        }}
{body}
    }} catch {{
        $Troubles = $Troubles + 1
        Write-Result $One.Source 'failed' $_.Exception.Message ''
    }}
}}
Write-Host ('Mailboxes: ' + @($Mailboxes).Count + ', troubles: ' + $Troubles + ', results: ' + $Said)
"""

LOCK = """\
        $Keys = @('OWAEnabled', 'MAPIEnabled', 'ActiveSyncEnabled', 'PopEnabled', 'ImapEnabled')
        $Keys += @('EwsAllowOutlook', 'EwsAllowMacOutlook')
        if (-not $PSCmdlet.ShouldProcess($One.Source, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        if ($Undo) {
            $Old = ConvertFrom-Json $Before[$One.Source]
            $Set = @{}
            foreach ($Key in $Keys) { $Set[$Key] = $Old.$Key }
            Set-CASMailbox -Identity $One.Source @Set -Confirm:$false
            Write-Result $One.Source 'undone' '' ''
        } else {
            $Now = Get-CASMailbox -Identity $One.Source
            $Was = @{}
            foreach ($Key in $Keys) { $Was[$Key] = $Now.$Key }
            $Set = @{}
            foreach ($Key in $Keys) { $Set[$Key] = $false }
            Set-CASMailbox -Identity $One.Source @Set -Confirm:$false
            Write-Result $One.Source 'done' '' (ConvertTo-Json $Was -Compress)
        }"""

ROUTE = """\
        if ($One.Route -ne 'forward') {
            Write-Result $One.Source 'left' ('It is routed by ' + $One.Route + ', not by a forward: see the checklist.') ''
            continue
        }
        $To = $One.Target
        if ($RoutingDomain) { $To = $One.Target.Split('@')[0] + '@' + $RoutingDomain }
        if ($To -eq $One.Source) { throw 'Source and target are the same address: name the routing domain with -RoutingDomain.' }
        if (-not $PSCmdlet.ShouldProcess($One.Source, 'forward to ' + $To)) { Write-Result $One.Source 'would' $To ''; continue }
        $Now = Get-Mailbox -Identity $One.Source
        if ($Undo) {
            $Old = ConvertFrom-Json $Before[$One.Source]
            $Address = $null
            if ($Old.Address) { $Address = $Old.Address }
            Set-Mailbox $One.Source -ForwardingSmtpAddress $Address -DeliverToMailboxAndForward $Old.Both -Confirm:$false
            Write-Result $One.Source 'undone' '' ''
        } else {
            if ("$($Now.ForwardingAddress)") { throw 'It has a forward of its own (ForwardingAddress): decide by hand.' }
            $Was = @{ Address = "$($Now.ForwardingSmtpAddress)"; Both = [bool]$Now.DeliverToMailboxAndForward }
            Set-Mailbox -Identity $One.Source -ForwardingSmtpAddress $To -DeliverToMailboxAndForward $false -Confirm:$false
            Write-Result $One.Source 'done' $To (ConvertTo-Json $Was -Compress)
        }"""

COLLECTED = """
$Collected = Join-Path $PSScriptRoot '00-collect-source.csv'
if (-not (Test-Path -LiteralPath $Collected)) {
    throw '00-collect-source.csv is not beside this script: run 00-collect-source.ps1 at the source first.'
}
$Rows = @(Import-Csv -LiteralPath $Collected -Encoding UTF8)
function Get-Target([string]$Address) {
    if ($People.ContainsKey($Address)) { return $People[$Address] }
    return $Address
}
"""

PERMISSIONS = """\
        if (-not $PSCmdlet.ShouldProcess($One.Target, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        $Done = @()
        $Bad = @()
        if ($Undo) {
            foreach ($Text in $Since[$One.Source]) {
                $Old = ConvertFrom-Json $Text
                foreach ($Part in $Old) {
                    $Own = @{ Identity = $One.Target; AccessRights = $Part.Kind; Confirm = $false }
                    if ($Part.Kind -eq 'FullAccess') {
                        Remove-MailboxPermission @Own -User $Part.Who | Out-Null
                    } else {
                        Remove-RecipientPermission @Own -Trustee $Part.Who | Out-Null
                    }
                }
            }
            Write-Result $One.Source 'undone' '' ''
            continue
        }
        foreach ($Row in @($Rows | Where-Object { $_.Mailbox -eq $One.Source })) {
            $Who = Get-Target $Row.Value
            try {
                if ($Row.Kind -eq 'FullAccess') {
                    $Has = @(Get-MailboxPermission -Identity $One.Target -User $Who)
                    if (@($Has | Where-Object { $_.AccessRights -contains 'FullAccess' }).Count) { continue }
                    Add-MailboxPermission -Identity $One.Target -User $Who -AccessRights FullAccess -InheritanceType All `
                        -AutoMapping $true -Confirm:$false | Out-Null
                    $Done += @{ Kind = 'FullAccess'; Who = $Who }
                }
                if ($Row.Kind -eq 'SendAs') {
                    if (@(Get-RecipientPermission -Identity $One.Target -Trustee $Who).Count) { continue }
                    Add-RecipientPermission -Identity $One.Target -Trustee $Who -AccessRights SendAs -Confirm:$false | Out-Null
                    $Done += @{ Kind = 'SendAs'; Who = $Who }
                }
            } catch { $Bad += ($Row.Kind + ' ' + $Who + ': ' + $_.Exception.Message) }
        }
        $Word = 'done'
        if ($Bad.Count) { $Word = 'failed'; $Troubles = $Troubles + 1 }
        $Detail = (@('granted: ' + $Done.Count) + $Bad) -join '; '
        Write-Result $One.Source $Word $Detail (ConvertTo-Json @($Done) -Compress)"""

RULES = """\
        if (-not $PSCmdlet.ShouldProcess($One.Target, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        $There = @(Get-InboxRule -Mailbox $One.Target)
        if ($Undo) {
            foreach ($Text in $Since[$One.Source]) {
                $Old = ConvertFrom-Json $Text
                foreach ($Rule in @($There | Where-Object { @($Old) -contains $_.Name })) {
                    Disable-InboxRule -Identity $Rule.Identity -Mailbox $One.Target -Confirm:$false
                }
            }
            Write-Result $One.Source 'undone' '' ''
            continue
        }
        $On = @()
        $Left = 0
        foreach ($Row in @($Rows | Where-Object { ($_.Mailbox -eq $One.Source) -and ($_.Kind -eq 'Rule') })) {
            foreach ($Rule in @($There | Where-Object { ($_.Name -eq $Row.Value) -and -not $_.Enabled })) {
                $Sends = $Rule.ForwardTo -or $Rule.RedirectTo -or $Rule.ForwardAsAttachmentTo
                if ($Sends -and -not $WithForwarding) { $Left = $Left + 1; continue }
                Enable-InboxRule -Identity $Rule.Identity -Mailbox $One.Target -Confirm:$false
                $On += $Rule.Name
            }
        }
        $Detail = 'switched on: ' + $On.Count + ', left off because they send: ' + $Left
        Write-Result $One.Source 'done' $Detail (ConvertTo-Json @($On) -Compress)"""

ADDRESSES = """\
        if (-not $PSCmdlet.ShouldProcess($One.Target, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        if ($Undo) {
            foreach ($Text in $Since[$One.Source]) {
                $Old = ConvertFrom-Json $Text
                foreach ($Address in $Old) {
                    Set-Mailbox -Identity $One.Target -EmailAddresses @{ Remove = $Address } -Confirm:$false
                }
            }
            Write-Result $One.Source 'undone' '' ''
            continue
        }
        $There = @((Get-Mailbox -Identity $One.Target).EmailAddresses | ForEach-Object { "$_" })
        $Done = @()
        $Bad = @()
        foreach ($Row in @($Rows | Where-Object { $_.Mailbox -eq $One.Source })) {
            if (@('X500', 'Proxy') -notcontains $Row.Kind) { continue }
            if ($There -contains $Row.Value) { continue }
            try {
                Set-Mailbox -Identity $One.Target -EmailAddresses @{ Add = $Row.Value } -Confirm:$false
                $Done += $Row.Value
            } catch { $Bad += ($Row.Value + ': ' + $_.Exception.Message) }
        }
        $Word = 'done'
        if ($Bad.Count) { $Word = 'failed'; $Troubles = $Troubles + 1 }
        $Detail = (@('added: ' + $Done.Count) + $Bad) -join '; '
        Write-Result $One.Source $Word $Detail (ConvertTo-Json @($Done) -Compress)"""

UNLOCK = """\
        $Lock = @{ Only = @($One.Source); WhatIf = [bool]$WhatIfPreference; Undo = -not $Undo }
        & (Join-Path $PSScriptRoot '01-lock-source.ps1') @Lock
        if ($WhatIfPreference) { continue }
        $Lines = @(Import-Csv -LiteralPath (Join-Path $PSScriptRoot '01-lock-source.result.csv') -Encoding UTF8)
        $Last = @($Lines | Where-Object { $_.Mailbox -eq $One.Source })[-1].Result
        if ($Last -eq 'failed') { throw 'The other script failed for it: see 01-lock-source.result.csv.' }
        $Word = 'done'
        if ($Undo) { $Word = 'undone' }
        Write-Result $One.Source $Word 'By 01-lock-source.ps1; its result file says how.' ''"""

FORWARDS = """\
        $Now = Get-Mailbox -Identity $One.Source
        if (-not $PSCmdlet.ShouldProcess($One.Source, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        if ($Undo) {
            $Old = ConvertFrom-Json $Before[$One.Source]
            if ($Old.Address) {
                Set-Mailbox $One.Source -ForwardingSmtpAddress $Old.Address -DeliverToMailboxAndForward $Old.Both -Confirm:$false
            }
            Write-Result $One.Source 'undone' '' ''
            continue
        }
        $Was = @{ Address = "$($Now.ForwardingSmtpAddress)"; Both = [bool]$Now.DeliverToMailboxAndForward }
        $Detail = 'there was none'
        if ($Was.Address) {
            Set-Mailbox $One.Source -ForwardingSmtpAddress $null -DeliverToMailboxAndForward $false -Confirm:$false
            $Detail = 'removed'
        }
        Write-Result $One.Source 'done' $Detail (ConvertTo-Json $Was -Compress)"""

HOLDS = """\
        if (-not $PSCmdlet.ShouldProcess($One.Target, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        if ($Undo) {
            $Old = ConvertFrom-Json $Before[$One.Source]
            if ($Old.Hold) { Set-Mailbox -Identity $One.Target -RetentionHoldEnabled $true -Confirm:$false }
            Write-Result $One.Source 'undone' '' ''
            continue
        }
        $Was = @{ Hold = [bool](Get-Mailbox -Identity $One.Target).RetentionHoldEnabled }
        if ($Was.Hold) { Set-Mailbox -Identity $One.Target -RetentionHoldEnabled $false -Confirm:$false }
        $Detail = 'there was none'
        if ($Was.Hold) { $Detail = 'taken off' }
        Write-Result $One.Source 'done' $Detail (ConvertTo-Json $Was -Compress)"""

REVOKE = """\
        if ($One.Access -ne 'full-access') {
            $Word = 'done'
            if ($Undo) { $Word = 'undone' }
            Write-Result $One.Source $Word 'Nothing of its own: impersonation is taken away once, with -LastWave.' ''
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($One.Source, $Step)) { Write-Result $One.Source 'would' '' ''; continue }
        if ($Undo) {
            $Own = @{ Identity = $One.Source; User = $Account; AccessRights = 'FullAccess'; Confirm = $false }
            Add-MailboxPermission @Own -AutoMapping $false | Out-Null
            Write-Result $One.Source 'undone' '' ''
        } else {
            Remove-MailboxPermission -Identity $One.Source -User $Account -AccessRights FullAccess -Confirm:$false | Out-Null
            Write-Result $One.Source 'done' '' 'FullAccess'
        }"""

LAST_WAVE = """
# Impersonation is one assignment for all mailboxes: it goes with the last wave, and not before.
if ($LastWave -and -not $Undo) {
    foreach ($Role in @(Get-ManagementRoleAssignment -RoleAssignee $Account -Role ApplicationImpersonation)) {
        Write-Host ('Assignment: ' + $Role.Name + ', scope: ' + $Role.CustomRecipientWriteScope)
        if ($PSCmdlet.ShouldProcess($Role.Name, $Step)) { Remove-ManagementRoleAssignment -Identity $Role.Name -Confirm:$false }
    }
}
"""

COLLECT = """
function Get-Address($User) {
    $Found = Get-Recipient -Identity "$User" -ErrorAction SilentlyContinue
    if ($Found) { return "$($Found.PrimarySmtpAddress)" }
    return "$User"
}
$Said = Join-Path $PSScriptRoot '00-collect-source.csv'
$Rows = foreach ($One in $Mailboxes) {
    $Mailbox = Get-Mailbox -Identity $One.Source -ErrorAction SilentlyContinue
    if (-not $Mailbox) { Write-Warning ('not found: ' + $One.Source); continue }
    Get-MailboxPermission -Identity $Mailbox.DistinguishedName |
        Where-Object { ($_.AccessRights -contains 'FullAccess') -and -not $_.IsInherited -and -not $_.Deny } |
        Where-Object { "$($_.User)" -notlike 'NT AUTHORITY\\*' -and "$($_.User)" -notlike 'S-1-5-*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $One.Source; Kind = 'FullAccess'; Value = (Get-Address $_.User) } }
    Get-ADPermission -Identity $Mailbox.DistinguishedName |
        Where-Object { ("$($_.ExtendedRights)" -like '*Send-As*') -and -not $_.IsInherited -and -not $_.Deny } |
        Where-Object { "$($_.User)" -notlike 'NT AUTHORITY\\*' -and "$($_.User)" -notlike 'S-1-5-*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $One.Source; Kind = 'SendAs'; Value = (Get-Address $_.User) } }
    [pscustomobject]@{ Mailbox = $One.Source; Kind = 'X500'; Value = ('X500:' + $Mailbox.LegacyExchangeDN) }
    $Mailbox.EmailAddresses | Where-Object { "$_" -like 'X500:*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $One.Source; Kind = 'X500'; Value = "$_" } }
    $Mailbox.EmailAddresses | Where-Object { "$_" -like 'smtp:*' } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $One.Source; Kind = 'Proxy'; Value = ('smtp:' + "$_".Substring(5)) } }
    Get-InboxRule -Mailbox $One.Source -ErrorAction SilentlyContinue | Where-Object { $_.Enabled } |
        ForEach-Object { [pscustomobject]@{ Mailbox = $One.Source; Kind = 'Rule'; Value = $_.Name } }
}
$Rows | Export-Csv -LiteralPath $Said -NoTypeInformation -Encoding UTF8 -WhatIf:$false -Confirm:$false
Write-Host ('Rows: ' + @($Rows).Count)
"""
