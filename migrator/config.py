"""The config file: what it may hold, read into typed values. A mistake is one sentence: file, key, what is wrong, how to mend it.

Paths in the file start at the file's folder and are absolute once read. Secrets are references (``migrator.secrets``) and are
only resolved when somebody signs in.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from migrator.complaints import explain
from migrator.engine.rules import BadRule, FilterRule, FolderRule, check_rules
from migrator.secrets import BadSecret, parse_reference, resolve
from migrator.waves.hours import BadHours, Hours, parse_hours

LaneChoice = Literal["auto", "import", "compose"]

_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]


class BadInput(Exception):
    """A file, line or key that the operator gave is wrong; the message is one sentence with the mend in it. Exit code 65."""


class SourceSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source]``: the Exchange server that is read."""

    url: _Text
    username: _Text
    password: _Text
    auth: Literal["ntlm", "basic", "kerberos"] = "ntlm"
    access: Literal["impersonation", "full-access"] = "impersonation"
    ca_file: str = ""
    connections_per_server: _Count = 20
    connections_per_mailbox: _Count = 3
    business_hours: str = ""
    business_time_zone: str = ""
    business_connections: Annotated[int, Meta(ge=0)] = 0
    timeout: _Seconds = 120.0

    def hours(self) -> Hours | None:
        """When ``business_connections`` is the most; None: never. Raises BadHours."""
        return parse_hours(self.business_hours, self.business_time_zone)


class LimitsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[target.limits]``: the documented limits of the service, for one app registration and one mailbox."""

    requests: _Count = 10_000
    requests_window: _Seconds = 600.0
    upload_bytes: _Count = 150_000_000
    upload_window: _Seconds = 300.0
    concurrency: _Count = 4
    concurrency_scope: Literal["mailbox", "app"] = "mailbox"


class AppSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[target.apps]]``: a further app registration. Exactly one of ``secret`` and ``certificate`` is given."""

    client_id: _Text
    secret: str = ""
    certificate: str = ""
    certificate_password: str = ""


class TargetSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[target]``: the tenant that is written to. Exactly one of ``secret`` and ``certificate`` is given."""

    tenant_id: _Text
    client_id: _Text
    secret: str = ""
    certificate: str = ""
    certificate_password: str = ""
    graph_url: _Text = "https://graph.microsoft.com"
    authority: _Text = "https://login.microsoftonline.com"
    ca_file: str = ""
    proxy: str = ""
    proxy_password: str = ""
    timeout: _Seconds = 100.0
    apps: tuple[AppSection, ...] = ()
    limits: LimitsSection = LimitsSection()


class LedgerSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[ledger]``: where the memory of every item lies."""

    url: _Text = "sqlite:///migrator.db"
    min_free_mb: Annotated[int, Meta(ge=0)] = 200


class RunSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[run]``: how a pass goes about it. Times in seconds."""

    lane: LaneChoice = "auto"
    mailboxes_at_once: _Count = 4
    in_flight_mb: _Count = 48
    spool: _Text = "spool"
    archive: str = ""
    recoverable: str = ""
    recoverable_holds: bool = False
    only_trees: bool = False
    processes: _Count = 1
    settle_horizon: Annotated[float, Meta(ge=0)] = 120.0
    lease: _Seconds = 300.0
    look_first: bool = False
    list_fully_hours: Annotated[float, Meta(ge=0)] = 24.0
    required_since: str = ""
    backfill_minutes: Annotated[float, Meta(ge=0)] = 1440.0
    meetings_without_attendees: bool = False
    others_as: Literal["refuse", "attachment"] = "refuse"
    link_mbit: Annotated[float, Meta(ge=0)] = 0.0
    link_hours: str = ""
    link_time_zone: str = ""
    link_mbit_in_hours: Annotated[float, Meta(ge=0)] = 0.0

    def hours(self) -> Hours | None:
        """When ``link_mbit_in_hours`` holds instead of ``link_mbit``; None: never. Raises BadHours."""
        return parse_hours(self.link_hours, self.link_time_zone)


class RailsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[rails]``: more deletions than both of these in one pass stop it, and somebody is asked."""

    max_deletes: Annotated[int, Meta(ge=0)] = 100
    max_delete_share: Annotated[float, Meta(ge=0, le=1)] = 0.05


class WavesSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[waves]``: which mailbox goes where, and when."""

    file: _Text = "waves.csv"


class ErrorsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[errors]``: what is kept of items that the target refuses, and the rule by which mailboxes are graded."""

    keep: str = "refused"
    key: str = ""
    scoring: str = ""


class CutoverSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cutover]``: what a cutover asks beside the ledger. An empty ``public_dns``: no resolver but this machine's is asked."""

    public_dns: str = ""
    score_blocks: bool = True


class NotifySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[notify]``: where the team is told what happens; the addresses of channels are references to secrets."""

    teams: str = ""
    slack: str = ""
    webhook: str = ""
    smtp_host: str = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65535)] = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_ca_file: str = ""
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_from: str = ""
    smtp_to: tuple[str, ...] = ()
    events: tuple[Literal["started", "finished", "held", "approval", "digest"], ...] = (
        "started",
        "finished",
        "held",
        "approval",
        "digest",
    )
    digest_at: str = "07:00"


class MappingSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mapping]``: folders that go elsewhere."""

    rules: tuple[FolderRule, ...] = ()


class FiltersSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[filters]``: items that stay behind."""

    rules: tuple[FilterRule, ...] = ()


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file as it is written."""

    source: SourceSection
    target: TargetSection
    ledger: LedgerSection = LedgerSection()
    run: RunSection = RunSection()
    rails: RailsSection = RailsSection()
    waves: WavesSection = WavesSection()
    errors: ErrorsSection = ErrorsSection()
    cutover: CutoverSection = CutoverSection()
    notify: NotifySection = NotifySection()
    mapping: MappingSection = MappingSection()
    filters: FiltersSection = FiltersSection()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """What one pass may do. Times in seconds; the rails are those of ``[rails]``, and ``approve_deletes`` lifts them once.

    A folder's feed is read at least once in ``list_fully_hours``, whatever its change stamp says; 0: in every pass.
    ``answer`` is how long the target may take for an answer: nothing leaves when the lease would end before that.
    ``required_since`` is as in the config; old mail is carried for ``backfill_minutes`` after the rest, or with ``backfill`` as
    long as it takes; a sweep carries it until the next one is due, ``sweep_minutes`` after its begin.
    """

    lane: LaneChoice = "auto"
    max_deletes: int = 100
    max_delete_share: float = 0.05
    settle_horizon: float = 120.0
    lease: float = 300.0
    answer: float = 100.0
    look_first: bool = False
    approve_deletes: bool = False
    list_fully_hours: float = 24.0
    folder_rules: tuple[FolderRule, ...] = ()
    filter_rules: tuple[FilterRule, ...] = ()
    required_since: str = ""
    backfill_minutes: float = 1440.0
    sweep_minutes: float = 15.0
    backfill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A config that was read and checked: paths absolute, secrets still references."""

    file: Path
    source: SourceSection
    target: TargetSection
    ledger: LedgerSection
    run: RunSection
    rails: RailsSection
    waves: WavesSection
    errors: ErrorsSection
    cutover: CutoverSection
    notify: NotifySection
    mapping: MappingSection
    filters: FiltersSection

    @property
    def folder(self) -> Path:
        """Where relative paths of the file start."""
        return self.file.parent

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file; None if it is a database server."""
        return Path(self.ledger.url.removeprefix(_SQLITE)) if self.ledger.url.startswith(_SQLITE) else None

    def pass_settings(
        self, *, lane: LaneChoice | None = None, approve_deletes: bool = False, backfill: bool = False
    ) -> PassSettings:
        """What a pass may do by this config, with what the command line says instead."""
        return PassSettings(
            lane=lane or self.run.lane,
            max_deletes=self.rails.max_deletes,
            max_delete_share=self.rails.max_delete_share,
            settle_horizon=self.run.settle_horizon,
            lease=self.run.lease,
            answer=self.target.timeout,
            look_first=self.run.look_first,
            list_fully_hours=self.run.list_fully_hours,
            folder_rules=self.mapping.rules,
            filter_rules=self.filters.rules,
            required_since=self.run.required_since,
            backfill_minutes=self.run.backfill_minutes,
            backfill=backfill,
            approve_deletes=approve_deletes,
        )

    @property
    def secret_keys(self) -> list[str]:
        """Every key of this config whose value is a reference to a secret, or empty."""
        return _secret_keys(self.target)

    def text(self, key: str) -> str:
        """The text of a key such as ``target.apps[0].secret``, as it stands in the file."""
        return _text_at(self, key)

    def secret(self, key: str) -> str | None:
        """The secret that a key such as ``source.password`` refers to; None if the key is empty. Raises BadInput."""
        text = self.text(key)
        if not text:
            return None
        try:
            return resolve(parse_reference(text), self.folder)
        except BadSecret as error:
            raise BadInput(f"{self.file}: {key} {error}.") from None


SECRET_KEYS = (
    "source.password", "target.secret", "target.certificate_password", "target.proxy_password", "errors.key",
    "notify.teams", "notify.slack", "notify.webhook", "notify.smtp_password",
)  # fmt: skip
"""Keys whose value is a reference to a secret; each of ``target.apps`` has more."""


def _secret_keys(target: TargetSection) -> list[str]:
    further = (f"target.apps[{index}].{name}" for index in range(len(target.apps)) for name in ("secret", "certificate_password"))
    return [*SECRET_KEYS, *further]


def _text_at(start: object, key: str) -> str:
    found: Any = start
    for part in re.findall(r"\w+", key):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return str(found)


_SQLITE = "sqlite:///"
_POSTGRES = "postgresql://"


def load(file: Path) -> Config:
    """Read and check a config file. Raises BadInput with one sentence."""
    file = file.absolute()
    document = _decode(file)
    source, target = document.source, document.target
    for key in _secret_keys(target):
        value = _text_at(document, key)
        if value:
            try:
                parse_reference(value)
            except BadSecret as error:
                raise BadInput(f"{file}: {key} {error}.") from None
    _check_apps(file, target)
    run = document.run
    values: dict[str, str | float] = {
        "source.business_hours": source.business_hours,
        "source.business_time_zone": source.business_time_zone,
        "source.business_connections": source.business_connections,
        "run.link_hours": run.link_hours,
        "run.link_time_zone": run.link_time_zone,
        "run.link_mbit_in_hours": run.link_mbit_in_hours,
    }
    _check_hours(file, values, "source.business_hours", "source.business_time_zone", "source.business_connections")
    _check_hours(file, values, "run.link_hours", "run.link_time_zone", "run.link_mbit_in_hours")
    if source.business_connections > source.connections_per_server:
        raise BadInput(f"{file}: source.business_connections is more than source.connections_per_server; lower it.")
    if document.notify.digest_at and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", document.notify.digest_at):
        raise BadInput(f"{file}: notify.digest_at is no time of day; write it as 07:00, or empty for no digest.")
    try:
        check_rules(document.filters.rules, document.mapping.rules, run.required_since)
    except BadRule as error:
        raise BadInput(f"{file}: {error.key} {error}.") from None
    for key, url in (("source.url", source.url), ("target.graph_url", target.graph_url), ("target.authority", target.authority)):
        _check_address(file, key, url)
    _check_proxy(file, target)
    return Config(
        file=file,
        source=msgspec.structs.replace(source, ca_file=_absolute(file, source.ca_file)),
        target=msgspec.structs.replace(
            target,
            ca_file=_absolute(file, target.ca_file),
            certificate=_absolute(file, target.certificate),
            apps=tuple(msgspec.structs.replace(app, certificate=_absolute(file, app.certificate)) for app in target.apps),
        ),
        ledger=msgspec.structs.replace(document.ledger, url=_ledger_url(file, document.ledger.url)),
        run=msgspec.structs.replace(run, spool=_absolute(file, run.spool)),
        rails=document.rails,
        waves=WavesSection(file=_absolute(file, document.waves.file)),
        mapping=document.mapping,
        filters=document.filters,
        errors=msgspec.structs.replace(
            document.errors, keep=_absolute(file, document.errors.keep), scoring=_absolute(file, document.errors.scoring)
        ),
        cutover=document.cutover,
        notify=msgspec.structs.replace(document.notify, smtp_ca_file=_absolute(file, document.notify.smtp_ca_file)),
    )


def _check_proxy(file: Path, target: TargetSection) -> None:
    form = "write it as http://proxy.example.com:8080, or http://USER@proxy.example.com:8080 with target.proxy_password"
    try:
        parts = urlsplit(target.proxy)
        wrong = bool(target.proxy) and (
            parts.scheme != "http" or not parts.hostname or parts.port is None or parts.path not in ("", "/")
        )
    except ValueError:
        wrong, parts = True, urlsplit("")
    if wrong:
        raise BadInput(f"{file}: target.proxy is no proxy's address; {form}.")
    if parts.password is not None:
        raise BadInput(f"{file}: target.proxy holds a password; name it in target.proxy_password as a reference.")
    if target.proxy_password and not parts.username:
        raise BadInput(f"{file}: target.proxy_password is set, but target.proxy names no user; {form}.")


def _decode(file: Path) -> Document:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"{file} is not there; write one with `migrator init`, or name yours with -c.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise BadInput(f"{file} can't be read ({error.strerror}); check the path and its permissions.") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = " (a backslash in double quotes starts an escape: use 'single quotes')" if "\\" in text else ""
        raise BadInput(f"{file} is not TOML: {error}; correct that place{hint}.") from None
    try:
        return msgspec.convert(values, Document)
    except msgspec.ValidationError as error:
        raise BadInput(f"{file}: {explain(str(error), values, Document)}.") from None


def _check_apps(file: Path, target: TargetSection) -> None:
    """Each app has one credential, and no app is there twice, because the service would count it once."""
    seen: dict[str, str] = {}
    apps: list[tuple[str, TargetSection | AppSection]] = [("target", target)]
    apps += ((f"target.apps[{index}]", app) for index, app in enumerate(target.apps))
    for key, app in apps:
        if bool(app.secret) == bool(app.certificate):
            found = "both a secret and a certificate" if app.secret else "neither a secret nor a certificate"
            place = f"[{key}]" if key == "target" else key
            raise BadInput(f"{file}: {place} names {found}; give exactly one of {key}.secret and {key}.certificate.")
        if (before := seen.setdefault(app.client_id.casefold(), f"{key}.client_id")) != f"{key}.client_id":
            raise BadInput(f"{file}: {key}.client_id is the app of {before} again; name another app, or take it out.")


def _check_hours(file: Path, values: dict[str, str | float], hours: str, zone: str, cap: str) -> None:
    """Check a cap that holds in some hours: its three keys, of which ``values`` has the values."""
    text, name = str(values[hours]), str(values[zone])
    for key, given in ((zone, ("", name)), (hours, (text, ""))):
        try:
            parse_hours(*given)
        except BadHours as error:
            raise BadInput(f"{file}: {key} {error}.") from None
    if bool(text.strip()) != bool(values[cap]):
        there, missing = (hours, cap) if text.strip() else (cap, hours)
        raise BadInput(f"{file}: {there} means nothing without {missing}; give both, or neither.")


def _check_address(file: Path, key: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise BadInput(f"{file}: {key} is no https address; write it as https://host/…, because mail and secrets travel on it.")
    if parts.password is not None:
        raise BadInput(f"{file}: {key} has a password in it; take it out, sign-in has keys of its own.")


def _absolute(file: Path, path: str) -> str:
    try:
        return str((file.parent / Path(path).expanduser()).resolve()) if path else ""
    except (RuntimeError, ValueError, OSError):  # a home of nobody, a zero in it, more than the system takes
        raise BadInput(f"{file}: {path!r} is no path here; write it from the top, or from the config's folder.") from None


def _ledger_url(file: Path, url: str) -> str:
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        if not path or path.startswith(":"):
            raise BadInput(f"{file}: ledger.url names no file; write sqlite:///migrator.db, the ledger has to outlive the run.")
        return _SQLITE + Path(_absolute(file, path)).as_posix()
    if not url.startswith(_POSTGRES):
        raise BadInput(f"{file}: ledger.url is no ledger; write sqlite:///FILE or postgresql://USER@HOST/DATABASE.")
    try:
        secret = urlsplit(url).password
    except ValueError:
        raise BadInput(f"{file}: ledger.url can't be read; write postgresql://USER@HOST/DATABASE.") from None
    if secret or "password=" in url.lower():
        raise BadInput(
            f"{file}: ledger.url has a password in clear; take it out and give it in PGPASSWORD or in a pgpass file,"
            " where Postgres looks for it."
        )
    return url


def keys(kind: type[Struct] = Document, prefix: str = "") -> list[str]:
    """Every key that a config may hold, dotted, in the order of the example."""
    found = []
    for field in msgspec.structs.fields(kind):
        name = prefix + field.name
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found.extend(keys(field.type, name + "."))
        else:
            found.append(name)
    return found
