"""Sets the log up: JSON lines into a file, a line for people on stderr from warnings up; secrets are blotted out of both.

Events carry wave, mailbox and pass; never a subject, a body, an address of a third person, a token or an import URL.
Libraries' own log records take the same way, from warnings up only, because some of them log requests whole below that.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import re
import sys
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import structlog

BLOT = "(hidden)"

_ROLL_AGAIN = 600.0
"""Seconds until a log file that could not be turned over is tried again."""

_hidden: set[str] = set()
_lock = threading.Lock()

_TOKENS = re.compile(
    r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"  # a JSON web token
    r"|(?<=Bearer )\S+|(?<=Basic )\S+|(?<=NTLM )\S+|(?<=Negotiate )\S+"
    r"|(?<=authtoken=)[^\s&\"']+"
    r"|(?<=\?)[^\s\"'<>]+(?=[\s\"'<>]|$)",  # what follows a question mark in an address: signatures and keys
    re.IGNORECASE,
)


def hide(secret: str | None) -> None:
    """From now on, blot this value out wherever it turns up in the log. Very short ones would blot out plain words."""
    if secret and len(secret) >= 4:
        with _lock:
            _hidden.add(secret)


def redact(text: str) -> str:
    """The text without hidden values, tokens and query strings."""
    with _lock:
        hidden = sorted(_hidden, key=len, reverse=True)
    for secret in hidden:
        text = text.replace(secret, BLOT)
    return _TOKENS.sub(BLOT, text)


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _redact_value(value) if key[:1] != "_" else value for key, value in event.items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redact_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(one) for one in value]
    if isinstance(value, int | float | bool) or value is None:
        return value
    return redact(str(value))


def _for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """``warning: event (mailbox=…, …)``; a traceback is for the file only."""
    for internal in ("_record", "_from_structlog", "timestamp", "exception", "logger"):
        event.pop(internal, None)
    level, said = event.pop("level", "info"), event.pop("event", "")
    rest = ", ".join(f"{key}={value}" for key, value in event.items())
    return f"{level}: {said}" + (f" ({rest})" if rest else "")


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever stderr is now: a live display puts itself in its place for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _File(logging.handlers.RotatingFileHandler):
    """The log file. Trouble with it never ends up as a traceback on the screen of whoever runs something else.

    Windows lets nobody rename a file that another process has open; then this one grows on, and is tried again in a while.
    """

    _again = 0.0
    _told = False

    def shouldRollover(self, record: logging.LogRecord) -> int:
        return int(time.monotonic() >= self._again and super().shouldRollover(record))

    def doRollover(self) -> None:
        if self.stream is not None:
            self.stream.close()
        turned = f"{self.baseFilename}.turned"
        try:
            os.replace(self.baseFilename, turned)
        except OSError:
            self._again = time.monotonic() + _ROLL_AGAIN
        else:
            for number in range(self.backupCount, 0, -1):
                with contextlib.suppress(OSError):
                    os.replace(f"{self.baseFilename}.{number - 1}" if number > 1 else turned, f"{self.baseFilename}.{number}")
        self.stream = self._open()

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            with contextlib.suppress(Exception):
                sys.stderr.write(f"warning: {self.baseFilename} can't be written ({sys.exc_info()[1]}); going on without it\n")


class _Relay(logging.Handler):
    """Hands every record on as a level and a line of JSON, for another process to write down."""

    def __init__(self, send: Callable[[int, str], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(record.levelno, self.format(record))
        except Exception:
            self.handleError(record)


def set_up(file: Path, *, quiet: bool = False) -> None:
    """Send all logging to ``file``, and to stderr unless ``quiet``. May be called again: the last call counts.

    The file turns over at 20 MB, five old ones are kept. Raises OSError when it can't be opened.
    """
    to_file = _File(file, maxBytes=20_000_000, backupCount=5, encoding="utf-8", delay=True)
    outlets: list[tuple[logging.Handler, Any, int]] = [(to_file, structlog.processors.JSONRenderer(), logging.INFO)]
    if not quiet:
        outlets.append((_Stderr(), _for_people, logging.WARNING))
    _send_to(outlets)


def relay(send: Callable[[int, str], None]) -> None:
    """Send all logging to another process, which writes it down with ``repeat``; ``send`` takes a level and a line of JSON."""
    _send_to([(_Relay(send), structlog.processors.JSONRenderer(), logging.INFO)])


def repeat(level: int, line: str) -> None:
    """Log what another process's ``relay`` sent, with the time that it has there."""
    event = json.loads(line)
    about = {"name": __name__, "levelno": level, "levelname": logging.getLevelName(level), "msg": event}
    logging.getLogger().handle(logging.makeLogRecord({**about, "_logger": None, "_name": event.get("level", "info")}))


def _send_to(outlets: Sequence[tuple[logging.Handler, Any, int]]) -> None:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    take_down()
    for handler, renderer, level in outlets:
        handler.setLevel(level)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                # Once more at the end: a library's record may bring its own arguments and traceback.
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, renderer],
            )
        )
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for ours in ("migrator", "connectors", "state"):
        logging.getLogger(ours).setLevel(logging.INFO)


def take_down() -> None:
    """Close what ``set_up`` or ``relay`` opened."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.handlers.RotatingFileHandler | _Stderr | _Relay):
            root.removeHandler(handler)
            handler.close()


def logger(name: str) -> Any:
    """A logger that takes an event and named values."""
    return structlog.get_logger(name)


def writable(file: Path) -> bool:
    """Whether the log file can be opened for writing."""
    try:
        with file.open("a", encoding="utf-8"):
            return True
    except OSError:
        return os.access(file, os.W_OK)
