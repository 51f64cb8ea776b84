"""What is wrong with a value of the config, in one clause for people out of the decoder's message."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec
from msgspec import Struct

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "object": "a section",
    "array": "a list",
    "null": "nothing",
}
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<key>[^`]*)`)?$", re.DOTALL)


def explain(text: str, values: dict[str, Any], document: type[Struct]) -> str:
    """The clause for a message of ``msgspec.convert`` over ``values``; ``document`` is what was wanted. Never repeats a value."""
    match = _PLACE.match(text)
    what, key = (match["what"], match["key"] or "") if match else (text, "")
    if named := re.search(r"unknown field `([^`]*)`", what):
        return _explain_unknown(document, key, named[1])
    if named := re.search(r"missing required field `([^`]*)`", what):
        full = f"{key}.{named[1]}" if key else f"[{named[1]}]"
        return f"{full} is missing; add it (`migrator init` writes an example with every key)"
    if named := re.search(r"Expected `([^`]*)`, got `([^`]*)`", what):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in named[1].split(" | "))
        return f"{key} is {_KINDS.get(named[2], named[2])}, but has to be {wanted}; change it"
    if "Invalid enum value" in what:
        choices = ", ".join(f'"{choice}"' for choice in _choices(document, key))
        return f"{key} is none of {choices}; choose one of them"
    if named := re.search(r"Expected `\w+` (of length )?([<>]=?) ([\d.]+)", what):
        if named[1]:
            return f"{key} is empty; fill it in"
        words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
        return f"{key} has to be {words[named[2]]} {named[3]}; change it"
    return f"{key or 'the file'} is not as it should be ({what}); compare it with the example that `migrator init` writes"


def _explain_unknown(document: type[Struct], key: str, name: str) -> str:
    fields = [field.name for field in msgspec.structs.fields(_struct_at(document, key))]
    full = f"{key}.{name}" if key else f"[{name}]"
    near = difflib.get_close_matches(name, fields, n=1)
    if near:
        return f"{full} is no key; write `{near[0]}` if that is meant, or take it out"
    return f"{full} is no key; take it out (known here: {', '.join(fields)})"


def _struct_at(document: type[Struct], key: str) -> type[Struct]:
    kind: Any = document
    for part in key.split(".") if key else ():
        name, _, index = part.partition("[")
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
        kind = kind.__args__[0] if index else kind
    found: type[Struct] = kind
    return found


def _choices(document: type[Struct], key: str) -> tuple[str, ...]:
    section, _, name = key.rpartition(".")
    name, _, index = name.partition("[")
    kind = next(field.type for field in msgspec.structs.fields(_struct_at(document, section)) if field.name == name)
    return tuple(kind.__args__[0].__args__ if index else kind.__args__)
