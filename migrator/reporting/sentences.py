"""What the program says in the ledger (causes, details of refusals), in another language: sentence by sentence, by a table.

``[sentence]`` of a language file has each of them; English is as the ledger has it, with ``{blanks}`` for what varies. A sentence
that no row knows stays as it is, so that nothing that was said is ever lost.

    items     "3 items"       state    HELD           cause, who   sentences in their turn
    time      "3 d"           n, m     numbers        grade    a word of the scoring rule

Any other blank is taken over as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Show: TypeAlias = Callable[[str, str], str]
"""Puts the value of a blank of that name into a language."""

SECTION: Final = "sentence."

_BLANK: Final = re.compile(r"\{(\w+)\}")
_SHAPES: Final[Mapping[str, str]] = {
    "n": r"[\d.,]+", "m": r"[\d.,]+", "items": r"[\d,]+ items?", "state": r"[A-Z]+", "time": r"[\d.]+ (?:s|min|h|d)",
    "word": r"[^ ]+", "grade": r"[^:]+", "command": r"[^`]+", "kind": r"[a-z ]+",
}  # fmt: skip
_CODE: Final = re.compile(r" \(([\w][\w .-]*)\)$")
_ENDS: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z\d])")


class Sentences:
    """The table of what the program says; ``english`` are the words of ``en.toml``."""

    def __init__(self, english: Mapping[str, str]) -> None:
        self._plain: dict[str, str] = {}
        shaped: list[tuple[int, re.Pattern[str], str]] = []
        for key, text in english.items():
            if not key.startswith(SECTION):
                continue
            parts = _BLANK.split(text)
            if len(parts) == 1:
                self._plain[_low(text)] = key
            else:
                # Of two rows that fit the one that says more is meant.
                shaped.append((sum(map(len, parts[::2])), _pattern(parts), key))
        self._shaped = [(shape, key) for _, shape, key in sorted(shaped, key=lambda row: -row[0])]

    def say(self, text: str, words: Mapping[str, str], show: Show) -> str:
        """A text of the ledger with the words of another language; what is not known of it stays."""
        said = _ENDS.split(text)
        found, at = [], 0
        while at < len(said):
            # A cause within a cause may go on over several sentences, so the longest run that a row knows is taken.
            for end in range(len(said), at, -1):
                told = self._sentence(" ".join(said[at:end]), words, show)
                if told is not None:
                    break
            else:
                told, end = said[at], at + 1
            found.append(told)
            at = end
        return " ".join(found)

    def knows(self, sentence: str) -> bool:
        """Whether there is a row for it."""
        return self._row(sentence.removesuffix(".")) is not None

    def _sentence(self, text: str, words: Mapping[str, str], show: Show) -> str | None:
        bare = text.removesuffix(".")
        row = self._row(bare)
        if row is None:
            return None
        key, blanks, code = row
        told = words[key].format(**{name: show(name, value) for name, value in blanks.items()}) + code
        if bare[:1].isupper() and "." not in told.partition(" ")[0]:  # the name of a key stays as it is
            told = told[:1].upper() + told[1:]
        return told if told.endswith(".") else told + text[len(bare) :]

    def _row(self, bare: str) -> tuple[str, dict[str, str], str] | None:
        """The key of a sentence, what stands in its blanks, and the code behind it."""
        code = _CODE.search(bare)
        for text, rest in ((bare, ""), (bare[: code.start()], code[0])) if code else ((bare, ""),):
            if key := self._plain.get(_low(text)):
                return key, {}, rest
            for shape, key in self._shaped:
                if found := shape.fullmatch(text):
                    return key, found.groupdict(), rest
        return None


def _low(text: str) -> str:
    return text[:1].lower() + text[1:]


def _pattern(parts: list[str]) -> re.Pattern[str]:
    """Words and the names of blanks in turn, as an expression; whether it begins with a capital does not matter."""
    shape = "".join(re.escape(part) if at % 2 == 0 else f"(?P<{part}>{_SHAPES.get(part, '.+')})" for at, part in enumerate(parts))
    first = shape[:1]
    return re.compile(f"[{first.upper()}{first.lower()}]{shape[1:]}" if first.isalpha() else shape, re.DOTALL)
