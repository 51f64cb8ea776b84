"""Tells a team what happens: Teams, Slack, any webhook, or mail through the operator's own relay. Never an owner of a mailbox.

    Event     what happened, in words that are the same everywhere
    channels  where it goes, as the config says; each has its own form of it
    Notifier  one thread that gathers what comes within some seconds, sends it, and never holds anybody up

Trouble here never fails a run: it is logged, and told at the end. Addresses of channels are secrets: they are in no message of an
error and in no log.
"""

from __future__ import annotations

import json
import queue
import smtplib
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

from migrator import logs
from migrator.config import BadInput

if TYPE_CHECKING:
    from migrator.config import Config

Kind = Literal["started", "finished", "held", "approval", "digest", "test"]

TITLES: dict[str, str] = {
    "started": "Wave started",
    "finished": "Wave finished",
    "held": "Mailboxes need a person",
    "approval": "Approvals are wanted",
    "digest": "Daily digest",
    "test": "Test message",
}

TIMEOUT = 15.0
"""Seconds that a channel may take."""

SHOWN = 20
"""Lines of one kind in a message; the rest is counted."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell. ``line`` is a sentence; ``about`` what a program may want to know of it."""

    kind: Kind
    line: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Letter:
    """Events of one kind, put together. ``at`` is wall-clock seconds."""

    kind: Kind
    lines: tuple[str, ...]
    about: tuple[Mapping[str, Any], ...]
    at: float

    @property
    def title(self) -> str:
        """What it is about, in a few words."""
        return f"{TITLES[self.kind]} ({len(self.lines)})" if len(self.lines) > 1 else TITLES[self.kind]

    @property
    def shown(self) -> list[str]:
        """The lines that a person gets to see."""
        more = len(self.lines) - SHOWN
        return [*self.lines[:SHOWN], *([f"and {more:,} more"] if more > 0 else [])]


class Failed(Exception):
    """A channel did not take it; the text says why, without its address."""


class Channel(Protocol):
    """Somewhere to send a letter."""

    @property
    def name(self) -> str: ...

    def send(self, letter: Letter) -> None:
        """Send it, or raise Failed."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """A channel that takes JSON by POST. ``url`` is a secret; ``form`` makes the body."""

    name: str
    url: str = field(repr=False)
    form: Callable[[Letter], dict[str, Any]]

    def send(self, letter: Letter) -> None:
        request = urllib.request.Request(
            self.url,
            data=json.dumps(self.form(letter), ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "mailbox-migrator"},
            method="POST",
        )
        try:
            with _opener().open(request, timeout=TIMEOUT) as answer:
                answer.read(4096)
        except urllib.error.HTTPError as error:
            error.close()
            raise Failed(f"it answered with status {error.code}") from None
        except urllib.error.URLError as error:
            raise Failed(f"it can't be reached ({_why(error.reason)})") from None
        except (OSError, ValueError) as error:
            raise Failed(f"it can't be reached ({_why(error)})") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that is a secret is not handed on to wherever an answer points."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect())


def _why(error: object) -> str:
    # The text of such an error may hold the address.
    return getattr(error, "strerror", None) or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Mail through the operator's relay. ``security``: starttls, tls or none; ``ca_file`` instead of the system's authorities."""

    host: str
    port: int
    security: str
    user: str
    password: str = field(repr=False)
    sender: str
    to: tuple[str, ...]
    ca_file: str = ""

    @property
    def name(self) -> str:
        """The word for it in messages."""
        return "smtp"

    def send(self, letter: Letter) -> None:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT, context=context)
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)
            with server:
                if self.security == "starttls":
                    server.starttls(context=context)
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(mail_of(letter, self.sender, self.to))
        except smtplib.SMTPResponseException as error:
            raise Failed(f"it answered with code {error.smtp_code}") from None
        except smtplib.SMTPException as error:
            raise Failed(f"it refused ({type(error).__name__})") from None
        except ssl.SSLCertVerificationError:
            raise Failed(
                "nobody vouches for its certificate; notify.smtp_ca_file names the authority of a relay of your own"
            ) from None
        except OSError as error:
            raise Failed(f"it can't be reached ({_why(error)})") from None


# -- forms


def card(letter: Letter) -> dict[str, Any]:
    """The body for a Teams Workflow that waits for a webhook: one Adaptive Card
    [https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using]."""
    color = {"held": "Attention", "approval": "Warning", "finished": "Good"}.get(letter.kind, "Default")
    title = {"type": "TextBlock", "size": "Medium", "weight": "Bolder", "text": letter.title, "wrap": True, "color": color}
    body = [{"type": "TextBlock", "text": _plain(line), "wrap": True} for line in letter.shown]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [title, *body],
        "msteams": {"width": "Full"},
    }
    card_ = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [card_]}


def _plain(text: str) -> str:
    """A text that holds no markup of a card: what looks like a link or emphasis is a name."""
    return "".join(f"\\{letter}" if letter in "*_[]`~" else letter for letter in text)


def slack(letter: Letter) -> dict[str, Any]:
    """The body for an incoming webhook of Slack; control characters are escaped as it asks
    [https://api.slack.com/reference/surfaces/formatting#escaping]."""
    lines = "\n".join(_slack_plain(line) for line in letter.shown)
    return {"text": f"*{letter.title}*\n{lines}"}


def _slack_plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def generic(letter: Letter) -> dict[str, Any]:
    """The body for any webhook."""
    return {
        "event": letter.kind,
        "title": letter.title,
        "at": datetime.fromtimestamp(letter.at, UTC).isoformat(timespec="seconds"),
        "lines": list(letter.lines),
        "about": [dict(one) for one in letter.about],
    }


def mail_of(letter: Letter, sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail to the team. Marked as made by a program, so that nobody's absence answers it (RFC 3834)."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = f"[migrator] {letter.title}"
    message["Date"] = format_datetime(datetime.fromtimestamp(letter.at, UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(letter.shown) + "\n")
    return message


# -- where it goes


def channels(config: Config) -> list[Channel]:
    """What ``[notify]`` names, with secrets resolved. Raises BadInput."""
    section = config.notify
    found: list[Channel] = []
    for name, form in (("teams", card), ("slack", slack), ("webhook", generic)):
        url = config.secret(f"notify.{name}")
        if not url:
            continue
        logs.hide(url)
        parts = urlsplit(url.strip())
        if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
            raise BadInput(f"{config.file}: notify.{name} refers to something that is no https address; correct that secret.")
        found.append(Post(name, url.strip(), form))
    if section.smtp_host:
        password = config.secret("notify.smtp_password") or ""
        logs.hide(password)
        if not section.smtp_from or not section.smtp_to:
            raise BadInput(
                f"{config.file}: notify.smtp_host means nothing without notify.smtp_from and notify.smtp_to; give all."
            )
        if section.smtp_user and section.smtp_security == "none":
            raise BadInput(
                f"{config.file}: notify.smtp_security is none, so the password of notify.smtp_user would travel in clear;"
                " use starttls or tls, or take the user out."
            )
        found.append(
            Relay(
                host=section.smtp_host,
                port=section.smtp_port,
                security=section.smtp_security,
                user=section.smtp_user,
                password=password,
                sender=section.smtp_from,
                to=section.smtp_to,
                ca_file=section.smtp_ca_file,
            )
        )
    return found


class Notifier:
    """Sends what it is told from a thread of its own; events of one kind that come within ``gather`` seconds go together.

    ``tell`` never waits and never raises. Leaving sends what is left, for ``patience`` seconds at most.
    """

    def __init__(
        self,
        to: Sequence[Channel],
        kinds: Sequence[str],
        *,
        gather: float = 10.0,
        patience: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._to = list(to)
        self._kinds = frozenset(kinds)
        self._gather = gather
        self._patience = patience
        self._clock = clock
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        self._log = logs.logger("migrator.notify")
        self.failures: list[str] = []
        """What could not be sent, in sentences."""

    def __enter__(self) -> Notifier:
        if self._to:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._to:
            self._queue.put(None)
            self._thread.join(self._patience)

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told anything."""
        return bool(self._to)

    def tell(self, event: Event) -> None:
        """Let the team know."""
        if self._to and (event.kind in self._kinds or event.kind == "test"):
            self._queue.put(event)

    def _work(self) -> None:
        over = False
        while not over:
            first = self._queue.get()
            if first is None:
                return
            some, until = [first], time.monotonic() + self._gather
            while (left := until - time.monotonic()) > 0:
                try:
                    event = self._queue.get(timeout=left)
                except queue.Empty:
                    break
                if event is None:
                    over = True
                    break
                some.append(event)
            for letter in letters(some, self._clock()):
                self._send(letter)

    def _send(self, letter: Letter) -> None:
        for channel in self._to:
            try:
                channel.send(letter)
                self._log.info("notified", channel=channel.name, event_kind=letter.kind, lines=len(letter.lines))
            except Failed as error:
                self._failed(channel.name, letter, str(error))
            except Exception as error:
                # A channel is a convenience: whatever goes wrong in it must not end a migration. Its text may hold a secret.
                self._failed(channel.name, letter, f"it failed ({type(error).__name__})")

    def _failed(self, name: str, letter: Letter, why: str) -> None:
        self.failures.append(f"{TITLES[letter.kind]} was not sent to {name}: {why}.")
        self._log.warning("not notified", channel=name, event_kind=letter.kind, why=why)


def letters(events: Sequence[Event], at: float) -> list[Letter]:
    """Events put together by kind, in the order of the first of each."""
    found: dict[Kind, list[Event]] = {}
    for event in events:
        found.setdefault(event.kind, []).append(event)
    return [Letter(kind, tuple(one.line for one in some), tuple(one.about for one in some), at) for kind, some in found.items()]
