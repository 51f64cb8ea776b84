"""Text in mail: fields in any charset, their parameters, and bodies whose charset is wrong or missing. Pure, and never raises."""

from __future__ import annotations

import codecs
import email.header
import email.message
import email.utils
import re

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(r'\\([\\"])')
"""A backslash before anything else belongs to a path of Windows, which programs write as it is."""

_FOLD = re.compile(r"\r?\n[ \t]?")
_META = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""", re.IGNORECASE)
_SNIFFED = 2048
_MEANT = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "latin-1": "cp1252", "iso-8859-8-i": "iso-8859-8"}
"""Charsets that mail programs read as the larger one that writers mean. [WHATWG Encoding Standard]"""
_NO_CHARSETS = frozenset({"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined", "mbcs", "oem"})


def header_text(value: bytes) -> str:
    """A field's value as text, unfolded; UTF-8 if it is that, else Windows' Latin."""
    if value.isascii():
        text = value.decode("ascii")
    else:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("cp1252", "replace")
    return _FOLD.sub(" ", text).strip()


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """A field's first word in lower case, and its parameters by lower-case name; of two with one name the first counts."""
    given: dict[str, str] = {}
    word, semicolon, rest = value.partition(";")
    for name, found in _PARAMETER.findall(semicolon + rest):
        given.setdefault(name.lower(), _unquoted(found))
    return word.strip().lower(), given


def _unquoted(found: str) -> str:
    found = found.strip()
    return _ESCAPED.sub(r"\1", found[1:].removesuffix('"')) if found.startswith('"') else found


def first_parameter(value: str, name: str) -> str:
    """A parameter with its encoded words read; a percent-encoded or split form comes first [RFC 2231]; empty if there is none."""
    if name not in value.lower():
        return ""
    split = [f"{key}={found}" for key, found in _PARAMETER.findall(value) if key.lower().startswith(f"{name}*")]
    if split:
        holder = email.message.Message()
        holder["Content-Disposition"] = "; ".join(["attachment", *split])
        try:
            if found := holder.get_param(name, header="content-disposition"):
                return email.utils.collapse_rfc2231_value(found)
        except (ValueError, LookupError, TypeError):
            pass
    return encoded_words(parameters(value)[1].get(name, ""))


def encoded_words(text: str) -> str:
    """Text with its encoded words read, a language behind a charset left out [RFC 2047, RFC 2231 5]; where one can't be read, all
    stay as they are."""
    if "=?" not in text:
        return text
    try:
        pieces = email.header.decode_header(text)
        return "".join(piece if isinstance(piece, str) else _word(piece, charset) for piece, charset in pieces)
    except (ValueError, LookupError, AssertionError):
        return text


def _word(piece: bytes, charset: str | None) -> str:
    # What stands between encoded words comes back encoded like this by Python's parser.
    return piece.decode("raw-unicode-escape") if charset is None else piece.decode(charset.partition("*")[0])


def read_text(raw: bytes, charset: str, *, is_html: bool = False) -> tuple[str, bool]:
    """A body as text, and whether its charset could be taken at its word."""
    charset = charset.strip().strip("'\"").lower()
    if not charset and is_html and (found := _META.search(raw, 0, _SNIFFED)):
        charset = found[1].decode("ascii").lower()
        if charset.startswith(("utf-16", "utf-32", "unicode")):
            charset = ""  # what could be read so far proves that it is not
    text = _decoded(raw, charset or "us-ascii")
    if text is not None:
        return text, True
    text = _decoded(raw, "utf-8")
    return (raw.decode("cp1252", "replace") if text is None else text), False


def _decoded(raw: bytes, charset: str) -> str | None:
    for meant in dict.fromkeys((_MEANT.get(charset, charset), charset)):
        try:
            known = codecs.lookup(meant)
            if known.name.replace("_", "-") not in _NO_CHARSETS:
                return raw.decode(known.name)
        except (LookupError, ValueError):
            continue
    return None
