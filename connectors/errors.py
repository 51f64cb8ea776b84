"""Everything that can go wrong on a wire, by blast radius and recovery.

    WireError                      base; never raised itself
    ├── Throttled                  later: the server did nothing and said when to come back
    ├── Unavailable                this call failed, the world may heal
    ├── StaleCursor                the cursor means nothing any more: list the folder again
    ├── MailboxBlocked             this mailbox can't proceed (quota, licence, access)      exit 4
    ├── Halt                       nobody can proceed (secret, consent, tenant)             exit 5
    └── UnknownAnswer              an answer no table of ours knows: a bug, never retried   exit 70

An item's failure is no exception but a value: ``connectors.base.Refusal``.
Messages are for people and name no subject, body, token or import URL.
"""

from __future__ import annotations


class WireError(Exception):
    """Base of all that a connector raises.

    ``code`` is the vendor's own code (``ErrorServerBusy``, ``http 503``), for the log and the catalogue.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Throttled(WireError):
    """The server did nothing and asks to come back; only the Pacer handles it.

    ``after`` is in seconds, fractions kept; None when the server named no time. ``budget`` names the limit.
    """

    def __init__(self, message: str, *, code: str = "", after: float | None = None, budget: str = "server") -> None:
        super().__init__(message, code=code)
        self.after = after
        self.budget = budget


class Unavailable(WireError):
    """This call failed; the world may heal.

    ``did_nothing`` is True only when no byte of the request can have been acted on (refused connection, failed name
    look-up). A read is then simply tried again; a write with ``did_nothing=False`` is in doubt and is never sent again
    before a look-up.
    """

    def __init__(self, message: str, *, code: str = "", did_nothing: bool = False) -> None:
        super().__init__(message, code=code)
        self.did_nothing = did_nothing


class StaleCursor(WireError):
    """The cursor means nothing to the server any more; the folder is listed again from its beginning."""


class MailboxBlocked(WireError):
    """This mailbox can't proceed until a person acts; others go on.

    ``side`` is ``source`` or ``target``; ``mend`` is one sentence that says what the operator can do.
    """

    def __init__(self, message: str, *, code: str = "", side: str = "", mend: str = "") -> None:
        super().__init__(message, code=code)
        self.side = side
        self.mend = mend


class Halt(WireError):
    """Nobody can proceed until a person acts: a secret is wrong, a consent is missing, a tenant is closed."""

    def __init__(self, message: str, *, code: str = "", side: str = "", mend: str = "") -> None:
        super().__init__(message, code=code)
        self.side = side
        self.mend = mend


class UnknownAnswer(WireError):
    """The server said something that no table of ours knows; a bug to report, never a silent retry."""
