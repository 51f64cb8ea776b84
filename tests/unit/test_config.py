"""The config file: what is read, and what is said about each kind of mistake."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from migrator import app
from migrator import config as configs
from migrator.config import BadInput, Document, PassSettings, keys, load

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "example.toml"

LEAST = """
[source]
url = "https://mail.example.com/EWS/Exchange.asmx"
username = 'EXAMPLE\\svc'
password = "env:SOURCE_PASSWORD"

[target]
tenant_id = "contoso"
client_id = "app"
secret = "env:TARGET_SECRET"
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "migrator.toml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(tmp_path: Path, text: str) -> str:
    file = written(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        load(file)
    said = str(caught.value)
    assert str(file) in said, "the file is named"
    assert said.endswith(".")
    assert "\n" not in said
    return said


def changed(old: str, new: str) -> str:
    assert old in LEAST
    return LEAST.replace(old, new)


def hours(text: str, *, zone: str = "", most: int = 5) -> str:
    more = f"business_hours = '{text}'\nbusiness_time_zone = '{zone}'\nbusiness_connections = {most}\n"
    return changed("[source]\n", "[source]\n" + more)


def apps(*tables: str) -> str:
    return LEAST + "".join(f"[[target.apps]]\n{table}\n" for table in tables)


def test_the_least_config_gets_every_default(tmp_path: Path) -> None:
    config = load(written(tmp_path, LEAST))
    assert config.source.auth == "ntlm"
    assert config.target.limits.requests == 10_000
    assert config.pass_settings() == PassSettings()


def test_the_example_holds_every_key_and_no_other() -> None:
    def walk(values: dict[str, object], prefix: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            found.extend(walk(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key])
        return found

    assert sorted(walk(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))) == sorted(keys())


def test_the_example_shows_the_defaults() -> None:
    example = msgspec.convert(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")), Document)
    plain = msgspec.convert(tomllib.loads(LEAST), Document)
    assert example.target.limits == plain.target.limits
    assert (example.run, example.rails, example.ledger, example.waves) == (plain.run, plain.rails, plain.ledger, plain.waves)


def test_every_key_of_the_example_has_a_comment() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"\w+ = ", line) and " # " not in line] == []


def test_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    text = changed('secret = "env:TARGET_SECRET"', 'certificate = "keys/app.pem"') + '[waves]\nfile = "lists/all.csv"\n'
    config = load(written(tmp_path, text))
    assert Path(config.target.certificate) == tmp_path / "keys" / "app.pem"
    assert Path(config.waves.file) == tmp_path / "lists" / "all.csv"
    assert config.ledger_file == tmp_path / "migrator.db"


def test_an_absolute_ledger_stays_where_it_is(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ledger.db"
    config = load(written(tmp_path, LEAST + f'[ledger]\nurl = "sqlite:///{elsewhere.as_posix()}"\n'))
    assert config.ledger_file == elsewhere


def test_a_ledger_server_has_no_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, LEAST + '[ledger]\nurl = "postgresql://me@db/ledger"\n'))
    assert config.ledger_file is None
    assert config.ledger.url == "postgresql://me@db/ledger"


@pytest.mark.parametrize(
    ("text", "key", "mend"),
    [
        (LEAST + "[run]\nlanes = 'auto'\n", "run.lanes", "`lane`"),
        (LEAST + "[whatever]\n", "[whatever]", "take it out"),
        (LEAST + "[run]\nbogus = 1\n", "run.bogus", "known here: lane"),
        (LEAST + "[target.limits]\nrequest = 1\n", "target.limits.request", "`requests`"),
        (changed("username = 'EXAMPLE\\svc'\n", ""), "source.username", "add it"),
        ("[source]\n" + LEAST.split("[target]")[0].replace("[source]", ""), "[target]", "add it"),
        (LEAST + "[run]\nmailboxes_at_once = '4'\n", "run.mailboxes_at_once", "a whole number"),
        (LEAST + "[run]\nmailboxes_at_once = 0\n", "run.mailboxes_at_once", "at least 1"),
        (LEAST + "[run]\nlease = 0\n", "run.lease", "more than 0"),
        (LEAST + "[rails]\nmax_delete_share = 5\n", "rails.max_delete_share", "at most 1"),
        (LEAST + "[run]\nlane = 'fast'\n", "run.lane", '"compose"'),
        (LEAST + "[waves]\nfile = ''\n", "waves.file", "fill it in"),
        ("waves = 1\n" + LEAST, "waves", "a section"),
        (changed('secret = "env:TARGET_SECRET"', ""), "target.secret", "exactly one"),
        (LEAST.rstrip() + '\ncertificate = "app.pem"\n', "target.certificate", "exactly one"),
        (changed("https://mail", "http://mail"), "source.url", "https://"),
        (LEAST + "[ledger]\nurl = 'mysql://x'\n", "ledger.url", "postgresql://"),
        (hours("Mon-Fri 8:00-18:00"), "source.business_hours", "Mon-Fri 08:00-18:00"),
        (hours("Mon-Fri"), "source.business_hours", "write it so"),
        (hours("Mon-Fry 08:00-18:00"), "source.business_hours", "Mon, Tue"),
        (hours("Mon-Fri 08:00-24:01"), "source.business_hours", "00:00 to 24:00"),
        (hours("Mon-Fri 08:60-18:00"), "source.business_hours", "00:00 to 24:00"),
        (hours("Mon-Fri 08:00-08:00"), "source.business_hours", "end later"),
        (hours("Mon-Fri 08:00-18:00,"), "source.business_hours", "write it so"),
        (hours("Mon-Fri 08:00-18:00", zone="Mars/Olympus"), "source.business_time_zone", "Europe/Berlin"),
        (hours("Mon-Fri 08:00-18:00", zone="../etc/passwd"), "source.business_time_zone", "Europe/Berlin"),
        (hours("Mon-Fri 08:00-18:00", zone="Europe"), "source.business_time_zone", "Europe/Berlin"),
        (hours("Mon-Fri 08:00-18:00", most=0), "source.business_connections", "give both"),
        (hours(""), "source.business_hours", "give both"),
        (hours("Mon-Fri 08:00-18:00", most=21), "source.business_connections", "lower it"),
        (hours("Mon-Fri 08:00-18:00", most=-1), "source.business_connections", "at least 0"),
        (LEAST + "[run]\nlink_mbit = -1\n", "run.link_mbit", "at least 0"),
        (LEAST + "[run]\nlink_hours = 'always'\nlink_mbit_in_hours = 1\n", "run.link_hours", "write it so"),
        (LEAST + "[run]\nlink_hours = 'Sat 08:00-18:00'\n", "run.link_mbit_in_hours", "give both"),
        (LEAST + "[run]\nlink_mbit_in_hours = 5\n", "run.link_hours", "give both"),
        (apps("client_id = 'second'"), "target.apps[0]", "exactly one"),
        (apps("client_id = 'second'\nsecret = 'env:A'\ncertificate = 'b.pem'"), "target.apps[0]", "exactly one"),
        (apps("secret = 'env:A'"), "target.apps[0].client_id", "add it"),
        (apps("client_id = 'APP'\nsecret = 'env:A'"), "target.apps[0].client_id", "target.client_id again"),
        (apps(*["client_id = 'second'\nsecret = 'env:A'"] * 2), "target.apps[1].client_id", "target.apps[0].client_id again"),
        (apps("client_id = 'second'\nsecrets = 'env:A'"), "target.apps[0].secrets", "`secret`"),
        (apps("client_id = 2\nsecret = 'env:A'"), "target.apps[0].client_id", "text in quotes"),
        (apps("client_id = 'second'\nsecret = 'env:'"), "target.apps[0].secret", "names nothing"),
        (LEAST + "apps = 'second'\n", "target.apps", "a list"),
        (LEAST + "[ledger]\nurl = 'sqlite:///:memory:'\n", "ledger.url", "sqlite:///migrator.db"),
        (LEAST + "proxy = 'proxy.example.com:8080'\n", "target.proxy ", "http://proxy.example.com:8080"),
        (LEAST + "proxy = 'http://proxy.example.com'\n", "target.proxy ", "http://proxy.example.com:8080"),
        (LEAST + "proxy = 'http://me:hunter2@proxy.example.com:8080'\n", "target.proxy ", "target.proxy_password"),
        (LEAST + "proxy = 'http://proxy:8080'\nproxy_password = 'env:A'\n", "target.proxy_password", "http://USER@"),
    ],
)
def test_a_mistake_is_one_sentence_with_key_and_mend(tmp_path: Path, text: str, key: str, mend: str) -> None:
    said = complaint(tmp_path, text)
    assert key in said
    assert mend in said


@pytest.mark.parametrize(
    "text",
    [
        changed('"env:SOURCE_PASSWORD"', '"hunter2-in-clear"'),
        changed('"env:TARGET_SECRET"', '"hunter2-in-clear"'),
        apps("client_id = 'second'\nsecret = 'hunter2-in-clear'"),
        apps("client_id = 'second'\ncertificate = 'a.pfx'\ncertificate_password = 'hunter2-in-clear'"),
        LEAST + "[ledger]\nurl = 'postgresql://me:hunter2-in-clear@db/ledger'\n",
        LEAST + "[ledger]\nurl = 'postgresql://me@db/ledger?password=hunter2-in-clear'\n",
        changed("https://mail", "https://me:hunter2-in-clear@mail"),
    ],
)
def test_a_secret_in_clear_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    said = complaint(tmp_path, text)
    assert "hunter2" not in said


def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path) -> None:
    said = complaint(tmp_path, changed("'EXAMPLE\\svc'", '"EXAMPLE\\svc"'))
    assert "line 4" in said
    assert "'single quotes'" in said


def test_a_file_that_is_not_there_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="migrator init"):
        load(tmp_path / "none.toml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "migrator.toml"
    file.write_text(LEAST, encoding="utf-8-sig")
    assert load(file).target.tenant_id == "contoso"


def test_a_file_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    file = tmp_path / "migrator.toml"
    file.write_bytes(LEAST.replace("contoso", "kontör").encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8"):
        load(file)


def test_the_command_line_overrides_the_lane_and_lifts_the_rails(tmp_path: Path) -> None:
    config = load(written(tmp_path, LEAST + "[rails]\nmax_deletes = 7\n"))
    settings = config.pass_settings(lane="compose", approve_deletes=True)
    assert (settings.lane, settings.max_deletes, settings.approve_deletes) == ("compose", 7, True)


def test_a_missing_secret_names_file_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_PASSWORD", raising=False)
    config = load(written(tmp_path, LEAST))
    with pytest.raises(BadInput, match=r"migrator\.toml: source\.password .*SOURCE_PASSWORD"):
        config.secret("source.password")
    monkeypatch.setenv("SOURCE_PASSWORD", "here it is")
    assert config.secret("source.password") == "here it is"
    assert config.secret("target.certificate_password") is None


def test_no_secret_shows_in_what_a_config_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_PASSWORD", "hunter2")
    config = load(written(tmp_path, LEAST))
    config.secret("source.password")
    assert "hunter2" not in repr(config)


def test_every_secret_key_exists() -> None:
    assert set(configs.SECRET_KEYS) <= set(keys())


def test_further_apps_have_secrets_and_certificates_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND", "hunter2")
    second, third = "client_id = 'second'\nsecret = 'env:SECOND'", "client_id = 'third'\ncertificate = 'keys/third.pem'"
    config = load(written(tmp_path, apps(second, third)))
    assert [app.client_id for app in config.target.apps] == ["second", "third"]
    assert Path(config.target.apps[1].certificate) == tmp_path / "keys" / "third.pem"
    assert config.secret("target.apps[0].secret") == "hunter2"
    assert config.secret("target.apps[1].secret") is None
    assert {"source.password", "target.apps[0].secret", "target.apps[1].certificate_password"} <= set(config.secret_keys)
    assert "hunter2" not in repr(config)


def test_the_hours_of_a_cap_are_read(tmp_path: Path) -> None:
    config = load(written(tmp_path, hours("Mon-Fri 08:00-18:00, Sat 09:00-12:00", zone="Europe/Berlin")))
    assert config.source.hours() is not None
    assert config.run.hours() is None


def test_a_ledger_whose_disk_is_nearly_full_is_said_with_figures(tmp_path: Path) -> None:
    sentence = app.no_room(load(written(tmp_path, LEAST + "[ledger]\nmin_free_mb = 900000000\n")))
    assert "ledger.min_free_mb (900,000,000)" in sentence
    assert app.no_room(load(written(tmp_path, LEAST + "[ledger]\nmin_free_mb = 0\n"))) == ""
