"""The kit's PowerShell, as text: nine steps that people do outside of this program, and one script that only reads.

Every script stands alone and has the same frame: who it is for as data at its top, ``-WhatIf``, ``-Only ADDRESS,…``, ``-Undo``,
and a result file beside it to which a row is added as soon as a mailbox is done, so that a script that breaks off loses nothing.
What was there before stands in that row, and the undo restores just that. No text of a wave is code: ``quoted`` wraps them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from migrator.cutover import table as cutover
from migrator.kit.powershell import (
    ADDRESSES,
    COLLECT,
    COLLECTED,
    FORWARDS,
    FRAME,
    HOLDS,
    LAST_WAVE,
    LOCK,
    LOOP,
    PERMISSIONS,
    REVOKE,
    ROUTE,
    RULES,
    UNLOCK,
)
from migrator.settings.scripts import quoted, remark

RESULTS = ("Wave", "Mailbox", "Step", "Result", "Detail", "Was", "At", "Who")
"""The columns of a result file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One mailbox as the scripts need it. ``route`` is domain, forward or none; ``access`` impersonation or full-access."""

    source: str
    target: str
    route: str = "domain"
    access: str = "impersonation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One script: its number and name, the step that it confirms (empty: it only reads), which side's shell it runs in.

    ``more`` is a further parameter; ``after`` stands behind the loop over the mailboxes.
    """

    number: int
    name: str
    step: str
    place: Literal["source", "target"]
    about: tuple[str, ...]
    more: str = ""
    body: str
    after: str = ""

    @property
    def file(self) -> str:
        """Its file name without an ending."""
        return f"{self.number:02}-{self.name}"


_SHELLS = {
    "source": ("the Exchange Management Shell of the source", "Get-Mailbox", "Start the Exchange Management Shell first."),
    "target": ("Exchange Online", "Get-EXOMailbox", "Run Connect-ExchangeOnline first."),
}

SCRIPTS: tuple[Script, ...] = (
    Script(
        number=0, name="collect-source", step="", place="source", body=COLLECT,
        about=(
            "reads full access, send as, X.500 and further addresses, and the names of the rules that are on, and writes them",
            "into 00-collect-source.csv beside it. It changes nothing. Put that file beside the other scripts.",
        ),
    ),
    Script(
        number=1, name="lock-source", step=cutover.LOCK, place="source", body=LOCK,
        about=(
            "closes Outlook, OWA, phones, POP and IMAP to these mailboxes: nothing changes in them but what is delivered.",
            "EWS stays open: the migration itself reads by it. Whoever is signed in may go on for some minutes.",
        ),
    ),
    Script(
        number=2, name="route", step=cutover.ROUTE, place="source", body=ROUTE, more="[string]$RoutingDomain = ''",
        about=(
            "forwards new mail of the mailboxes whose route is `forward` to the target, and keeps none back.",
            "Where source and target have the same address, name the tenant's own domain with -RoutingDomain.",
        ),
    ),
    Script(
        number=3, name="permissions", step=cutover.PERMISSIONS, place="target", body=PERMISSIONS,
        about=(
            "grants full access and send as in Exchange Online to whoever had it at the source (00-collect-source.csv).",
            "Folder permissions and delegates are in the script that `migrator settings --apply` writes. Nobody is notified.",
        ),
    ),
    Script(
        number=4, name="rules", step=cutover.RULES, place="target", body=RULES, more="[switch]$WithForwarding",
        about=(
            "switches on the rules that were carried switched off and are on at the source (00-collect-source.csv).",
            "Rules that forward, redirect or send stay off unless -WithForwarding is given: look at them first.",
        ),
    ),
    Script(
        number=5, name="addresses", step=cutover.ADDRESSES, place="target", body=ADDRESSES,
        about=(
            "adds the X.500 addresses, without which replies to old mail bounce, and the source's further SMTP addresses.",
            "Where a directory is synchronised they have to be added at the source instead; the cmdlet then says so.",
        ),
    ),
    Script(
        number=6, name="unlock", step=cutover.UNLOCK, place="source", body=UNLOCK,
        about=(
            "opens the source again as it was before 01-lock-source.ps1: for mailboxes that were withdrawn or rolled back.",
            "Name them with -Only. Its undo locks them again.",
        ),
    ),
    Script(
        number=7, name="forwards", step=cutover.FORWARDS, place="source", body=FORWARDS,
        about=("removes the forwards from the source to the target, for the close of the wave.",),
    ),
    Script(
        number=8, name="holds", step=cutover.HOLDS, place="target", body=HOLDS,
        about=("takes off the retention hold that kept policies away from these mailboxes while they were filled.",),
    ),
    Script(
        number=9, name="revoke", step=cutover.REVOKE, place="source", body=REVOKE, more="[switch]$LastWave", after=LAST_WAVE,
        about=(
            "takes the rights of the service account away: full access, and with -LastWave impersonation.",
            "The app in the tenant is revoked by hand: Entra admin center, Enterprise applications, the app, Permissions.",
        ),
    ),
)  # fmt: skip
"""All scripts, in the order of a weekend."""


def script_text(
    script: Script, wave: str, mailboxes: Sequence[Moved], people: Sequence[tuple[str, str]], account: str
) -> str:  # fmt: skip
    """One script for one wave. ``people`` are (source, target) of everybody; ``account`` reads the source."""
    place, probe, mend = _SHELLS[script.place]
    parameters = ["[string[]]$Only", *(["[switch]$Undo"] if script.step else []), *filter(None, [script.more])]
    lines = [
        remark(f"Wave {wave}: {script.file}.ps1, for {place}"),
        remark(f"What this script does: {script.about[0]}"),
        *(remark(line) for line in script.about[1:]),
        f"# Try it first: -WhatIf. {'Take it back: -Undo. ' if script.step else ''}Some mailboxes only: -Only ADDRESS,ADDRESS",
        "",
        "[CmdletBinding(SupportsShouldProcess = $true)]",
        f"param({', '.join(parameters)})",
        "",
        f"$Name = {quoted(script.file)}",
        f"$Step = {quoted(script.step)}",
        f"$Wave = {quoted(wave)}",
        f"$Account = {quoted(account)}",
        "$Mailboxes = @(",
        *(
            f"    @{{ Source = {quoted(one.source)}; Target = {quoted(one.target)}; Route = {quoted(one.route)};"
            f" Access = {quoted(one.access)} }}"
            for one in mailboxes
        ),
        ")",
        "$People = @{",
        *(f"    {quoted(source)} = {quoted(target)}" for source, target in people if script.step == cutover.PERMISSIONS),
        "}",
        "",
    ]  # fmt: skip
    frame = FRAME.format(probe=probe, mend=mend)
    if not script.step:
        return "\n".join(lines) + frame + script.body
    reads = script.step in (cutover.PERMISSIONS, cutover.RULES, cutover.ADDRESSES)
    return "\n".join(lines) + frame + (COLLECTED if reads else "") + LOOP.format(body=script.body) + script.after
