"""A language for reports: one file of words in ``languages/``, and how it writes numbers, sizes, days and lengths of time.

A further language is a further file there, with the keys of ``en.toml``. A key with ``.one`` beside it is used where ``n`` is 1.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from importlib import resources
from typing import Any, Final

from migrator.config import BadInput
from migrator.reporting.facts import Saying
from migrator.reporting.sentences import Sentences

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_MOMENTS: Final = ("due", "early", "late", "at")
"""Values of a saying that are moments: they are written as days."""


@dataclass(frozen=True, slots=True)
class Language:
    """Words and forms of one language. ``zone`` is where moments are shown; None: by this machine's clock."""

    code: str
    words: Mapping[str, str]
    zone: tzinfo | None = UTC

    def __call__(self, key: str, /, **values: object) -> str:
        """The words of a key with these values filled in; a key that no file knows is its last part, so nothing is ever blank."""
        if values.get("n") == 1 and f"{key}.one" in self.words:
            key = f"{key}.one"
        form = self.words.get(key)
        if form is None:
            return key.partition(".")[2] or key
        return form.format(**{name: self._shown(name, value) for name, value in values.items()}) if values else form

    def say(self, saying: Saying) -> str:
        """A whole sentence. A ``reason`` is told by its words; where a range is one day, ``.same`` beside the key is taken."""
        early, late = saying.values.get("early"), saying.values.get("late")
        same = isinstance(early, float) and isinstance(late, float) and self.day(early) == self.day(late)
        return self(f"{saying.key}.same" if same and f"{saying.key}.same" in self.words else saying.key, **saying.values)

    def reason(self, word: str) -> str:
        """What a reason is called."""
        return self.words.get(f"reason.{word}", word)

    def degraded(self, word: str) -> str:
        """What an item arrived without."""
        return self.words.get(f"degraded.{word}", word)

    def act(self, what: str) -> str:
        """What somebody did, as the trail of acts names it."""
        return self.words.get(f"act.{what}", what)

    def told(self, text: str) -> str:
        """A sentence or several that the program wrote into the ledger, such as a cause."""
        if not text or self.code == "en":
            return text
        return _sentences().say(text, self.words, self._blank)

    def _blank(self, name: str, value: str) -> str:
        match name:
            case "cause" | "who":
                return self.told(value)
            case "state":
                return self(f"state.{value}")
            case "grade":
                return self.words.get(f"grade.{value}", value)
            case "n" | "m" if value.replace(",", "").isdigit():
                return self.number(int(value.replace(",", "")))
            case "items":
                return self("form.items", n=int(value.split(" ")[0].replace(",", "")))
            case "time":
                number, _, unit = value.replace(".", self.words["form.decimal"]).partition(" ")
                return f"{number}\u00a0{self.words['form.days'] if unit == 'd' else unit}"
            case "kind":
                return self.words.get(f"form.{value.replace(' ', '-')}", value)
        return value

    def number(self, value: float) -> str:
        """A whole number with its thousands apart."""
        return f"{round(value):,}".replace(",", self.words["form.thousands"])

    def decimal(self, value: float, digits: int = 1) -> str:
        """A number with its decimals."""
        whole, _, part = f"{value:,.{digits}f}".partition(".")
        whole = whole.replace(",", self.words["form.thousands"])
        return f"{whole}{self.words['form.decimal']}{part}" if part else whole

    def size(self, value: float) -> str:
        """Bytes in the unit that suits (10^3)."""
        unit = 0
        while abs(value) >= 1000 and unit < len(_UNITS) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.number(value) if unit == 0 else self.decimal(value)}\u00a0{_UNITS[unit]}"

    def percent(self, share: float | None) -> str:
        """A share; never rounded up to 100."""
        if share is None:
            return "–"
        return "100\u00a0%" if share >= 1 else f"{self.decimal(min(99.9, share * 100))}\u00a0%"

    def day(self, moment: float | date | None) -> str:
        """A day."""
        if moment is None:
            return "–"
        day = moment if isinstance(moment, date) else self._there(moment).date()
        return self.words["form.day"].format(day=day.day, month=self.words[f"month.{day.month}"], year=day.year)

    def between(self, early: float | None, late: float | None) -> str:
        """A range of days; one day if both ends lie on it."""
        first, last = self.day(early), self.day(late)
        return first if first == last else self("head.range", early=first, late=last)

    def short_day(self, day: date) -> str:
        """A day without its year, for an axis."""
        return self.words["form.short-day"].format(day=day.day, month=self.words[f"month.{day.month}"])

    def moment(self, moment: float | None) -> str:
        """A day and time."""
        if moment is None:
            return "–"
        return f"{self.day(moment)} {self._there(moment):%H:%M}"

    def planned(self, moment: float) -> str:
        """A day and time that somebody named; the day alone where it is midnight, because then no time was named."""
        return self.day(moment) if f"{self._there(moment):%H:%M}" == "00:00" else self.moment(moment)

    def stamp(self, moment: float) -> str:
        """A day and time with its zone."""
        ahead = self._there(moment).utcoffset() or timedelta()
        minutes = round(ahead.total_seconds() / 60)
        hours = f"{minutes / 60:+g}".replace("-", "−") if minutes else ""
        return f"{self.moment(moment)} UTC{hours}"

    def _there(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self.zone) if self.zone else datetime.fromtimestamp(moment).astimezone()

    def length(self, seconds: float) -> str:
        """A length of time in its two largest units."""
        minutes = int(seconds) // 60
        if minutes < 1:
            return f"{int(seconds)}\u00a0s"
        if minutes < 60:
            return f"{minutes}\u00a0min"
        hours, minutes = divmod(minutes, 60)
        if hours < 48:
            return f"{hours}\u00a0h {minutes:02}\u00a0min"
        days, hours = divmod(hours, 24)
        return f"{self.number(days)}\u00a0{self.words['form.days']} {hours}\u00a0h"

    def _shown(self, name: str, value: object) -> str:
        if name in _MOMENTS and (value is None or isinstance(value, int | float)):
            return self.day(value)
        if name == "reason":
            return self.reason(str(value))
        if name == "state":
            return self(f"state.{value}")
        if name == "cause":
            return self.told(str(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return str(value)
        return self.number(value)


def codes() -> list[str]:
    """The languages that there are."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in resources.files("migrator.reporting").joinpath("languages").iterdir()
        if entry.name.endswith(".toml")
    )  # fmt: skip


@cache
def _words(code: str) -> dict[str, str]:
    file = resources.files("migrator.reporting").joinpath("languages", f"{code}.toml")
    return dict(_flat(tomllib.loads(file.read_text("utf-8")), ""))


@cache
def _sentences() -> Sentences:
    return Sentences(_words("en"))


def _flat(tree: Mapping[str, Any], above: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{above}{key}.")
        else:
            found.append((f"{above}{key}", str(value)))
    return found


def language(code: str, zone: tzinfo | None = UTC) -> Language:
    """The language of a code; raises BadInput for one that there is no file of."""
    if code not in codes():
        raise BadInput(f"There are no words for the language {code!r}; there are: {', '.join(codes())}.")
    return Language(code, _words(code), zone)
